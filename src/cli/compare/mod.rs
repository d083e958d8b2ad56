//! `nckit compare`.
#![warn(clippy::wildcard_enum_match_arm)]

pub(super) mod args;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use self::args::Compare;
use super::args::{Display, Outputs, check_named};
use super::command_line::command_line;
use super::console::{Console, counted};
use super::measure::{describe_columns, use_threads, warn_of_failures};
use super::outputs::{describe_heads, job, print, stdout_format};
use super::progress::{Stopping, watched};
use super::stdout;
use crate::archive::{Request, escaped};
use crate::error::{Error, Result};
use crate::metrics::{Extras, Selection, card};
use crate::pipeline::{Finish, Job, Plan, RowSource};
use crate::report::{Comparison, Condition, Format, Report, Side, Style};
use crate::store::{Output, StateFile, refuse_inputs};

/// Bytes by which records are known.
const HEAD: usize = 4096;

/// Compares, and says whether no condition of `--fail-if` holds.
pub(super) fn run(args: &Compare, typed: &[OsString], display: &Display, console: &Console) -> Result<bool> {
    let conditions: Vec<Condition> = args.fail_if.iter().map(|text| Condition::parse(text)).collect::<Result<_>>()?;
    check_named("--metrics", &args.conventions.metrics)?;
    let sources: Vec<RowSource> = args.input.inputs.iter().map(|text| RowSource::parse(text)).collect();
    let mut targets = Targets::new(args)?;
    use_threads(&args.machine, true, console)?;
    let texts = sources.iter().map(|source| records(&source.path)).collect::<Result<Vec<_>>>()?;
    if texts.iter().all(Option::is_some) {
        refuse_without_effect(args)?;
    }
    let mut sides = Vec::new();
    for ((source, text), typed) in sources.iter().zip(texts).zip(&args.input.inputs) {
        sides.push(side(args, (source, text), typed, &targets, display, console)?);
    }
    let (base, others) = sides.split_first().ok_or_else(|| Error::usage("nothing is compared"))?;
    let mut comparison = Comparison::of(base, others)?;
    comparison.command = Some(command_line(typed));
    for condition in &conditions {
        let failures = condition.failures(&comparison)?;
        if failures.is_empty() {
            comparison.remarks.extend(condition.remark(&comparison));
        }
        comparison.failures.extend(failures);
    }
    if !conditions.is_empty() {
        comparison.failures.extend(comparison.lacking.iter().cloned());
    }
    targets.write(&comparison, args, display)?;
    // A table shows them; what reads the other formats may not look there.
    if targets.stdout != Some(Format::Table) {
        comparison.remarks.iter().for_each(|remark| console.warn(remark));
        comparison.failures.iter().for_each(|failure| console.warn(&format!("fails: {failure}")));
    }
    Ok(comparison.failures.is_empty())
}

/// Refuses flags that change nothing where every side has its numbers already.
fn refuse_without_effect(args: &Compare) -> Result<()> {
    let (conventions, further, input) = (&args.conventions, &args.further, &args.input);
    let given = [
        ("--error-bars", conventions.error_bars.parse()?.is_some()),
        ("--option", !conventions.option.is_empty()),
        ("--normaliser", conventions.normaliser.is_some()),
        ("--centring", conventions.centring.is_some()),
        ("--min-count", conventions.min_count.is_some()),
        ("--max-count", conventions.max_count.is_some()),
        ("--head", further.head.is_some()),
        ("--decisions", further.decisions.is_some()),
        ("--ood", further.ood.is_some()),
        ("--features", input.features.is_some()),
        ("--labels", input.labels.is_some()),
        ("--group-by", !input.group_by.is_empty()),
        ("--where", !input.filters.is_empty()),
        ("--normalize", input.normalize),
        ("--per-class", args.per_class.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((flag, _)) => {
            Err(Error::usage(format!("{flag} has no effect: all sides are numbers that were measured before"))
                .help("give states or archives, or measure again with the flag; 'FILE.json?key=value' picks groups"))
        }
        None => Ok(()),
    }
}

/// One side, whatever it is; with its text if it is records.
fn side(
    args: &Compare,
    (source, text): (&RowSource, Option<String>),
    typed: &str,
    targets: &Targets,
    display: &Display,
    console: &Console,
) -> Result<Side> {
    let name = escaped(typed);
    if StateFile::is_at(Path::new(&source.path)) {
        let mut states = StateFile::read(Path::new(&source.path))?;
        states.pick(&source.filters).map_err(|error| error.with("file", &name))?;
        let job = job_of(args, &[], Request::default())?;
        let finish = Finish::new(job, states)?;
        targets.refuse_inputs(finish.inputs().into_iter().chain([PathBuf::from(&source.path)]))?;
        finish.notes().iter().for_each(|note| console.warn(note));
        describe_heads(finish.heads().as_ref(), console);
        let report = watched(display, finish.bytes(), Stopping::AtOnce, |watch| finish.run(watch))?;
        warn_of_failures(&finish.device_failures(), console);
        return picked(&name, &report, source, console);
    }
    if let Some(text) = text {
        targets.refuse_inputs([PathBuf::from(&source.path)])?;
        let mut side = Side::of_records(&name, &text)?;
        side.pick(&source.filters)?;
        if !args.conventions.metrics.is_empty() {
            side.select(&Selection::parse(&args.conventions.metrics)?);
        }
        if args.conventions.error_bars.parse()?.is_some() && !side.has_noise() {
            console.warn(&format!("{name} is without error bars, as it was measured: --error-bars cannot add them"));
        }
        return Ok(side);
    }
    // Rows are picked before they are read; what is left of a key that makes groups is taken off below.
    let mut request = args.input.request()?;
    request.filters.extend(source.filters.iter().cloned());
    let plan = Plan::new(job_of(args, std::slice::from_ref(&source.path), request)?)?;
    targets.refuse_inputs(plan.inputs())?;
    describe_columns(plan.archive(), console);
    describe_heads(plan.heads().as_ref(), console);
    plan.notes().iter().for_each(|note| console.warn(note));
    let report = watched(display, plan.summary().bytes, Stopping::AtOnce, |watch| plan.run(watch))?;
    warn_of_failures(&plan.device_failures(), console);
    let in_groups = |(key, _): &&(String, String)| args.input.group_by.contains(key);
    let filters = source.filters.iter().filter(in_groups).cloned().collect();
    picked(&name, &report, &RowSource { path: source.path.clone(), filters }, console)
}

fn picked(name: &str, report: &Report, source: &RowSource, console: &Console) -> Result<Side> {
    report.bad_files.iter().for_each(|(file, reason)| console.warn(&format!("left out: {file}: {reason}")));
    report.remarks.iter().for_each(|remark| console.warn(remark));
    let mut side = Side::of_report(name, report);
    side.pick(&source.filters)?;
    let (groups, rows) = side.size();
    console.fact("compared", &format!("{name}   {} · {}", counted(rows, "row", "s"), counted(groups, "group", "s")));
    Ok(side)
}

fn job_of(args: &Compare, inputs: &[String], request: Request) -> Result<Job> {
    let outputs = Outputs {
        per_class: None,
        classes_to_program: false,
        per_class_bins: None,
        scores: None,
        worst_pairs: 0,
        plot: None,
        result: args.result.clone(),
    };
    let parts = (&args.further, &args.conventions, &outputs);
    let job = job(inputs, request, args.exactness.rounding(), parts, &args.machine)?;
    let names = &args.conventions.metrics;
    let selection = if names.is_empty() { Selection::headline() } else { Selection::parse(names)? };
    Ok(Job { selection, extras: Extras { class_means: true, ..job.extras }, ..job })
}

/// The text of records in JSON; `None` if the file is anything else, or is not there.
fn records(path: &str) -> Result<Option<String>> {
    let Ok(file) = std::fs::File::open(path) else { return Ok(None) };
    let mut head = Vec::new();
    let read = std::io::Read::read_to_end(&mut std::io::Read::take(file, HEAD as u64), &mut head);
    if read.is_ok() && is_table_of_records(&head) {
        return Err(Error::usage(
            "numbers in CSV are not compared: they lack their conventions and what errors are made of",
        )
        .with("file", escaped(path))
        .help("measure again with -o FILE.json, and compare that"));
    }
    if read.is_err() || !Side::recognises_records(&head) {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path);
    text.map(Some)
        .map_err(|error| Error::io("cannot read").with("file", escaped(path)).with("detail", &error).caused_by(error))
}

/// Whether a file begins as records in CSV do, with keys of metrics in its first line.
fn is_table_of_records(head: &[u8]) -> bool {
    let line = head.split(|&byte| byte == b'\n').next().map(String::from_utf8_lossy).unwrap_or_default();
    let names: Vec<&str> = line.trim_end().split(',').collect();
    ["rows", "classes", "dim"].iter().all(|name| names.contains(name)) && names.iter().any(|name| card(name).is_some())
}

/// Where the comparison goes.
struct Targets {
    files: Vec<(Output, Format)>,
    per_class: Option<(Output, Format)>,
    stdout: Option<Format>,
}

impl Targets {
    /// Reserves all files, before the first row is read.
    fn new(args: &Compare) -> Result<Self> {
        let paths: Vec<&Path> = args.result.output.iter().chain(&args.per_class).map(PathBuf::as_path).collect();
        let formats: Vec<Format> = paths.iter().map(|path| Format::from_path(path)).collect::<Result<_>>()?;
        if args.per_class.is_some() && formats.last() == Some(&Format::Html) {
            return Err(Error::usage("classes are not written as a page").help("--per-class FILE.csv"));
        }
        let mut files: Vec<_> = Output::reserve_all(&paths, args.result.overwrite)?.into_iter().zip(formats).collect();
        let per_class = args.per_class.as_ref().and_then(|_| files.pop());
        let is_written = !args.result.output.is_empty();
        let stdout = stdout_format(args.result.format, std::io::stdout().is_terminal(), is_written);
        if stdout.is_some() {
            stdout::open()?;
        }
        Ok(Self { files, per_class, stdout })
    }

    fn refuse_inputs(&self, inputs: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        refuse_inputs(self.files.iter().chain(&self.per_class).map(|(file, _)| file.path()), inputs)
    }

    fn write(&mut self, comparison: &Comparison, args: &Compare, display: &Display) -> Result<()> {
        for (file, format) in &mut self.files {
            file.write(|out| comparison.write(*format, out, Style::default()))?;
        }
        if let Some((file, format)) = &mut self.per_class {
            file.write(|out| comparison.write_per_class(*format, out, Style::default()))?;
        }
        let Some(format) = self.stdout else { return Ok(()) };
        print(display, args.conventions.metrics.is_empty(), |out, style| comparison.write(format, out, style))
    }
}
