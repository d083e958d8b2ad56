//! `nckit measure`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};

use super::args::{Display, Exactness, Machine, Measure};
use super::command_line::command_line;
use super::console::{Console, bytes, count, counted};
use super::outputs::{Targets, describe_heads, job};
use super::progress::{Stopping, Watcher};
use super::stdout;
use crate::archive::{Archive, escaped};
use crate::error::{Error, Result};
use crate::objects::without_query;
use crate::pipeline::{Decompositions, Job, Plan, Resources, Rounding, Summary};
use crate::report::Report;

pub(super) fn run(args: &Measure, typed: &[OsString], display: &Display, console: &Console) -> Result<()> {
    use_threads(&args.machine, true, console)?;
    match report(args, typed, &Watcher::User(display), console, |_| ())? {
        Some((report, targets)) => targets.write(&report, display, console),
        None => Ok(()),
    }
}

/// What the command finds, and where that goes; nothing if the plan alone was asked for, and printed. `adjust` changes the
/// job that the flags describe.
pub(super) fn report<'a>(
    args: &'a Measure,
    typed: &[OsString],
    watcher: &Watcher<'_>,
    console: &Console,
    adjust: impl FnOnce(&mut Job),
) -> Result<Option<(Report, Targets<'a>)>> {
    let parts = (&args.further, &args.conventions, &args.outputs);
    let mut job = job(&args.input.inputs, args.input.request()?, args.exactness.rounding(), parts, &args.machine)?;
    adjust(&mut job);
    let mut targets = Targets::new(&args.outputs, &args.conventions.metrics, watcher.reads_stdout())?;
    let plan = Plan::new(job)?;
    targets.refuse_inputs(plan.inputs())?;
    targets.check_figure(plan.known_groups().as_deref(), plan.given())?;
    describe_columns(plan.archive(), console);
    describe_heads(plan.heads().as_ref(), console);
    plan.further().iter().for_each(|(name, text)| console.fact(name, text));
    describe_further(plan.further_archives(), console);
    let summary = plan.summary();
    if let Some(Decompositions { keys, dim, time }) = plan.decompositions()? {
        let (dim, seconds) = (count(dim as u64), time.as_secs_f64());
        let time = if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) };
        let (what, them) = match keys.as_slice() {
            [key] => (format!("{key} decomposes a matrix of {dim} × {dim}"), "it"),
            keys => (format!("{} decompose matrices of {dim} × {dim}", keys.join(", ")), "them"),
        };
        console.warn(&format!("{what}: about {time} for each group; the run is faster if --metrics leaves {them} out"));
    }
    if watcher.reads_stdout() {
        args.outputs.warn_of_no_effect(args.dry_run, console);
    }
    if args.dry_run {
        plan.notes().iter().for_each(|note| console.warn(note));
        return dry_run(&summary, &plan.estimate()).map(|()| None);
    }
    console.fact("plan", &plan_text(&summary));
    plan.notes().iter().for_each(|note| console.warn(note));
    console.detail("memory", &memory_text(&summary));
    console.detail("device", &device_text(&summary));

    let start = Instant::now();
    let mut report = watcher.run(summary.bytes, Stopping::AtOnce, |watch| {
        targets.scored(&args.input.group_by, plan.archive().label_kind(), |score| plan.run_scored(watch, score))
    })?;
    if let Some(device) = plan.second_device() {
        console.detail("device of the second pass", device);
    }
    warn_of_failures(&plan.device_failures(), console);
    time(start, summary.bytes, console);
    report.command = Some(command_line(typed));
    Ok(Some((report, targets)))
}

/// Says that the CPU did the work of a device that failed.
pub(super) fn warn_of_failures(failures: &[&str], console: &Console) {
    for failure in failures {
        console.warn(&format!("the CPU did the work: {failure}"));
    }
}

/// The plan in one line.
pub(super) fn plan_text(summary: &Summary) -> String {
    let groups = summary.groups.map_or(String::new(), |groups| format!(" · {}", counted(groups as u64, "group", "s")));
    format!(
        "{} · {}{} · {} · {}{groups}",
        counted(summary.files as u64, "file", "s"),
        if summary.filtered { "at most " } else { "" },
        counted(summary.rows, "row", "s"),
        bytes(summary.bytes),
        counted(summary.passes as u64, "pass", "es"),
    )
}

pub(super) fn memory_text(summary: &Summary) -> String {
    let threads = counted(summary.threads as u64, "thread", "s");
    let unshared = match summary.unshared_memory {
        0 => String::new(),
        most => format!(" and {} for sums that threads do not share yet", bytes(most)),
    };
    format!("{} on {threads}, and at most {} a class{unshared}", bytes(summary.memory), bytes(summary.class_memory))
}

/// The device, with its memory if it has its own.
pub(super) fn device_text(summary: &Summary) -> String {
    match summary.device_memory {
        Some((needed, free)) => {
            let least = if needed > free { "; with less, groups take turns" } else { "" };
            format!("{}: up to {} of {} that are free{least}", summary.device, bytes(needed), bytes(free))
        }
        None => summary.device.clone(),
    }
}

/// Prints the plan as the result.
pub(super) fn dry_run(summary: &Summary, estimate: &Result<Duration>) -> Result<()> {
    let time = time_text(estimate);
    let (plan, memory, device) = (plan_text(summary), memory_text(summary), device_text(summary));
    let plan = format!("plan    {plan}\nmemory  {memory}\ndevice  {device}\ntime    {time}\n");
    stdout::print(&plan)
}

/// A rough duration; unknown if the first chunk has an error, which the run itself will report.
pub(super) fn time_text(estimate: &Result<Duration>) -> String {
    match estimate.as_ref().map(Duration::as_secs_f64) {
        Ok(seconds) if seconds < 1.0 => "less than a second".to_owned(),
        Ok(seconds) => format!("about {} s", seconds.round()),
        Err(_) => "unknown".to_owned(),
    }
}

pub(super) fn time(start: Instant, bytes: u64, console: &Console) {
    let seconds = start.elapsed().as_secs_f64();
    console.detail("time", &format!("{seconds:.2} s · {:.2} GB/s", bytes as f64 / seconds / 1e9));
}

impl Exactness {
    pub(super) fn rounding(&self) -> Rounding {
        Rounding { exponent: self.grid, extra_bits: self.extra_bits }
    }
}

/// Starts the thread pool that the kernels below the workers share. `products` says whether the command makes matrix
/// products, which need address space.
pub(super) fn use_threads(machine: &Machine, products: bool, console: &Console) -> Result<()> {
    thread_pool(machine, products, console)?.build_global().map_err(cannot_start_threads)
}

/// The thread pool that a command uses, to be built.
pub(super) fn thread_pool(machine: &Machine, products: bool, console: &Console) -> Result<ThreadPoolBuilder> {
    if products {
        Resources::check_address_space()?;
    }
    if let Some(text) = machine.threads.and_then(|asked| Resources::fewer_threads(asked.into())) {
        console.warn(&text);
    }
    Ok(ThreadPoolBuilder::new().num_threads(machine.resources().threads))
}

pub(super) fn cannot_start_threads(error: ThreadPoolBuildError) -> Error {
    Error::resource("cannot start threads").with("detail", &error).caused_by(error)
}

pub(super) fn describe_columns(archive: &Archive, console: &Console) {
    let features = archive.features();
    let dim = archive.dim().map_or(String::new(), |dim| format!(" · D={}", count(dim as u64)));
    console.fact("features", &format!("{}   {}{dim}   ({})", features.name, features.kind, features.why));
    match archive.labels() {
        Some(labels) => {
            let why = of_label_files(archive).unwrap_or_else(|| labels.why.to_owned());
            console.fact("labels", &format!("{}   {}   ({why})", labels.name, labels.kind));
        }
        None => console.fact("labels", "none"),
    }
    if let Some(names) = archive.class_names() {
        console.fact("classes", &names_text(names));
    }
    describe_keys(archive, console);
    passed_over(archive, "", console);
    archive.warnings().iter().for_each(|warning| console.warn(warning));
}

/// Says of further rows what is said of the inputs: which files are passed over, and which are named twice.
pub(super) fn describe_further<'a>(archives: impl Iterator<Item = (&'static str, &'a Archive)>, console: &Console) {
    for (flag, archive) in archives {
        passed_over(archive, &format!("{flag}: "), console);
        archive.warnings().iter().for_each(|warning| console.warn(&format!("{flag}: {warning}")));
    }
}

/// The files that the labels are in, if they are not those of the features.
fn of_label_files(archive: &Archive) -> Option<String> {
    let files: BTreeSet<&Path> = archive.files().iter().filter_map(|file| file.paths().nth(1)).collect();
    let first = escaped(&without_query(files.first()?).to_string_lossy());
    Some(if files.len() > 1 { format!("of {first} and {} more", files.len() - 1) } else { format!("of {first}") })
}

/// What the files call the classes, the first few.
pub(super) fn names_text(names: &[String]) -> String {
    const MOST: usize = 4;
    let shown = names.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = if names.len() > MOST { ", …" } else { "" };
    format!("{shown}{more}   ({} by the ClassLabel of the files)", counted(names.len() as u64, "name", "s"))
}

/// Says what braces have captured.
pub(super) fn describe_keys(archive: &Archive, console: &Console) {
    let keys: Vec<String> = archive.captured().map(|key| key_text(archive, key)).collect();
    if !keys.is_empty() {
        console.fact("keys", &format!("{}   (captured)", keys.join(" · ")));
    }
}

/// A key of the paths with the first of its values, as they are written.
pub(super) fn key_text(archive: &Archive, key: &str) -> String {
    // Numbers come first, in their order.
    let values: BTreeSet<(i64, &String)> = archive
        .files()
        .iter()
        .filter_map(|file| file.keys.get(key))
        .map(|value| (value.parse().unwrap_or(i64::MAX), value))
        .collect();
    let shown: Vec<&str> = values.iter().take(8).map(|(_, value)| value.as_str()).collect();
    let more = if values.len() > shown.len() { format!(", … ({} values)", values.len()) } else { String::new() };
    format!("{key} = {}{more}", shown.join(", "))
}

/// Names files that lie among the inputs and are not read: each of them with `--verbose`, else in one line.
/// `whose` comes first.
pub(super) fn passed_over(archive: &Archive, whose: &str, console: &Console) {
    if console.tells_details() {
        archive
            .passed()
            .iter()
            .for_each(|passed| console.detail("passed", &format!("{whose}{}   {}", passed.file, passed.reason)));
    } else if let Some(text) = archive.passed_text() {
        console.fact("passed", &format!("{whose}{text}; -v names them"));
    }
}
