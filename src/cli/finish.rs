//! `nckit finish`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::{Display, Finish};
use super::command_line::command_line;
use super::console::{Console, bytes, counted};
use super::measure::{describe_further, time, use_threads, warn_of_failures};
use super::merge;
use super::outputs::{Targets, describe_heads, job};
use super::progress::{Stopping, Watcher};
use crate::archive::Request;
use crate::error::Result;
use crate::pipeline::{self, Job, Rounding, RowSource};
use crate::report::Report;
use crate::store::StateFile;

pub(super) fn run(args: &Finish, typed: &[OsString], display: &Display, console: &Console) -> Result<()> {
    use_threads(&args.machine, true, console)?;
    let (report, targets) = report(args, None, typed, &Watcher::User(display), console, |_| ())?;
    targets.write(&report, display, console)
}

/// What the command finds, and where that goes; of states in memory, if there are any. `adjust` changes the job that the
/// flags describe.
pub(super) fn report<'a>(
    args: &'a Finish,
    in_memory: Option<StateFile>,
    typed: &[OsString],
    watcher: &Watcher<'_>,
    console: &Console,
    adjust: impl FnOnce(&mut Job),
) -> Result<(Report, Targets<'a>)> {
    let parts = (&args.further, &args.conventions, &args.outputs);
    let mut job = job(&[], Request::default(), Rounding::default(), parts, &args.machine)?;
    adjust(&mut job);
    let mut targets = Targets::new(&args.outputs, &args.conventions.metrics, watcher.reads_stdout())?;
    let sources: Vec<RowSource> = args.states.iter().map(|path| state_source(path)).collect();
    let files = sources.iter().map(|source| (Path::new(&source.path), source.filters.as_slice()));
    let from_memory = in_memory.is_some();
    let states = in_memory.map_or_else(|| merge::merged(files, args.allow_duplicates), Ok)?;
    let text = described(&states, sources.iter().any(|source| !source.filters.is_empty()));
    let group_by = states.provenance.group_by.clone();
    let finish = pipeline::Finish::new(job, states)?;
    // An allocation that fails would end the program that holds the rows.
    let finish = if from_memory { finish.within_memory() } else { finish };
    targets.refuse_inputs(sources.iter().map(|source| PathBuf::from(&source.path)).chain(finish.inputs()))?;
    targets.check_figure(Some(&finish.keys()), finish.given())?;
    console.fact("states", &text);
    describe_heads(finish.heads().as_ref(), console);
    finish.further().iter().for_each(|(name, text)| console.fact(name, text));
    describe_further(finish.further_archives(), console);
    finish.notes().iter().for_each(|note| console.warn(note));
    if watcher.reads_stdout() {
        args.outputs.warn_of_no_effect(false, console);
    }
    if finish.bytes() > 0 {
        console.fact("plan", &format!("{} of further rows", bytes(finish.bytes())));
    }
    let start = Instant::now();
    let mut report = watcher.run(finish.bytes(), Stopping::AtOnce, |watch| {
        targets.scored(&group_by, finish.label_kind(), |score| finish.run_scored(watch, score))
    })?;
    if let Some(device) = finish.device() {
        console.detail("device", device);
    }
    warn_of_failures(&finish.device_failures(), console);
    time(start, finish.bytes(), console);
    report.command = Some(command_line(typed));
    Ok((report, targets))
}

/// A state file, with the groups of it that are asked for. A file that is there is meant as it is written.
fn state_source(path: &Path) -> RowSource {
    let whole = || RowSource { path: path.to_string_lossy().into_owned(), filters: Vec::new() };
    match path.to_str() {
        Some(text) if !path.exists() => RowSource::parse(text),
        _ => whole(),
    }
}

/// What states hold: for people.
fn described(states: &StateFile, is_part: bool) -> String {
    let groups = merge::groups(states);
    if is_part {
        return groups;
    }
    let (used, _) = states.ledger.rows();
    let units = counted(states.ledger.units() as u64, "unit", "s");
    format!("{} · {units} · {groups}", counted(used, "row", "s"))
}
