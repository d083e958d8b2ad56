//! Commands as functions: their words come from Python, which makes them of keyword arguments.

use std::ffi::OsString;
use std::time::Duration;

use nckit::cli::library::{self, InMemory};
use nckit::error::Result;
use nckit::pipeline::{AtHand, Watch};
use nckit::store::StateFile;
use pyo3::prelude::*;

use crate::errors::exception;
use crate::report::Report;
use crate::rows::{Further, Head};
use crate::waiting::interruptible;

/// How long a run may go on after Ctrl-C before it is left alone.
pub(crate) const PATIENCE: Duration = Duration::from_millis(600);

/// Runs `nckit measure` or `nckit finish`.
#[pyfunction]
#[pyo3(signature = (words, head=None, per_class=false, further=None))]
pub(crate) fn report(
    py: Python<'_>,
    words: Vec<OsString>,
    head: Option<Head<'_>>,
    per_class: bool,
    further: Option<Further<'_>>,
) -> PyResult<Report> {
    let made = in_memory(None, head.as_ref(), per_class, further.as_ref());
    report_of(py, words, made.map_err(|error| exception(py, &error))?)
}

/// What words cannot say.
pub(crate) fn in_memory(
    states: Option<StateFile>,
    head: Option<&Head<'_>>,
    per_class: bool,
    further: Option<&Further<'_>>,
) -> Result<InMemory> {
    let head = head.map(Head::source).transpose()?;
    let at_hand = further.map_or_else(|| Ok(AtHand::default()), Further::at_hand)?;
    Ok(InMemory { states, head, per_class, at_hand })
}

/// Fails for words of `nckit finish` that contradict each other.
#[pyfunction]
#[pyo3(signature = (words, head=None, per_class=false))]
pub(crate) fn check_finish(
    py: Python<'_>,
    words: Vec<OsString>,
    head: Option<Head<'_>>,
    per_class: bool,
) -> PyResult<()> {
    let checked = library::guarded(|| library::check_finish(&words, &in_memory(None, head.as_ref(), per_class, None)?));
    checked.map_err(|error| exception(py, &error))
}

/// The same of states in memory, if there are any.
pub(crate) fn report_of(py: Python<'_>, words: Vec<OsString>, in_memory: InMemory) -> PyResult<Report> {
    let watch = Watch::default();
    let stop = watch.stop.clone();
    interruptible(py, &stop, Some(PATIENCE), move || library::report(&words, in_memory, &watch)).map(Report::new)
}

/// Runs `nckit accumulate`; returns its warnings. Ctrl-C saves the state before it is raised.
#[pyfunction]
pub(crate) fn accumulate(py: Python<'_>, words: Vec<OsString>) -> PyResult<Vec<String>> {
    let watch = Watch::default();
    let stop = watch.stop.clone();
    interruptible(py, &stop, None, move || library::accumulate(&words, &watch))
}

/// Runs `nckit inspect`; returns its text and its warnings.
#[pyfunction]
pub(crate) fn inspect(py: Python<'_>, words: Vec<OsString>) -> PyResult<(String, Vec<String>)> {
    interruptible(py, &Watch::default().stop, Some(PATIENCE), move || library::inspect(&words))
}

/// Runs `nckit metrics`; returns its text.
#[pyfunction]
pub(crate) fn metrics(py: Python<'_>, words: Vec<OsString>) -> PyResult<String> {
    library::guarded(|| library::metrics(&words)).map_err(|error| exception(py, &error))
}

/// The flags of a command: name, whether a value follows, whether it repeats, and what it does.
#[pyfunction]
pub(crate) fn flags(command: &str) -> Vec<(String, bool, bool, String)> {
    let flags = library::flags(command).into_iter();
    flags.map(|flag| (flag.name, flag.takes_value, flag.repeats, flag.help)).collect()
}

/// Runs the command line; returns the exit code.
#[pyfunction]
pub(crate) fn run(py: Python<'_>, words: Vec<OsString>) -> u8 {
    py.detach(|| {
        nckit::cli::look_for_stdout();
        nckit::cli::run(words)
    })
}
