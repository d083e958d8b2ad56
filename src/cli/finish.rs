//! `nckit finish`.

use std::ffi::OsString;
use std::time::Instant;

use super::args::{Display, Finish};
use super::command_line::command_line;
use super::console::{Console, bytes, counted};
use super::measure::{time, use_threads, warn_of_failures};
use super::merge;
use super::outputs::{Targets, describe_heads, job};
use super::progress::{Stopping, Watcher};
use crate::archive::Request;
use crate::error::Result;
use crate::pipeline::{self, Job, Rounding};
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
    let states = in_memory.map_or_else(|| merge::read(&args.states, args.allow_duplicates), Ok)?;
    let (used, _) = states.ledger.rows();
    let text = format!(
        "{} · {} · {}",
        counted(used, "row", "s"),
        counted(states.ledger.units() as u64, "unit", "s"),
        counted(states.groups.len() as u64, "group", "s"),
    );
    let group_by = states.provenance.group_by.clone();
    let finish = pipeline::Finish::new(job, states)?;
    targets.refuse_inputs(args.states.iter().cloned().chain(finish.inputs()))?;
    console.fact("states", &text);
    describe_heads(finish.heads().as_ref(), console);
    finish.further().iter().for_each(|(name, text)| console.fact(name, text));
    finish.notes().iter().for_each(|note| console.warn(note));
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
