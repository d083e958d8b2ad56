//! `nckit measure`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::{Display, FormatName, Machine, Measure, pair};
use super::console::{Console, bytes, count, counted, wants_color};
use super::forgive_broken_pipe;
use super::progress::watched;
use crate::archive::HeadSource;
use crate::error::{Error, Result};
use crate::metrics::{Extras, Options, Selection};
use crate::pipeline::{Job, Plan, Rounding, Source, Watch};
use crate::report::{self, Format, Report, ScoreWriter, Style};

pub(super) fn run(args: &Measure, display: &Display, console: &Console) -> Result<()> {
    let job = job(args)?;
    let outputs = outputs(args)?;
    use_threads(&args.machine)?;
    let plan = Plan::new(job)?;
    describe_columns(&plan, console);
    if let Some(heads) = plan.heads() {
        let head = args.head.as_deref().unwrap_or_default();
        console.fact("head", &format!("{head}   ({})", counted(heads as u64, "file", "s")));
    }
    let summary = plan.summary();
    let groups = summary.groups.map_or(String::new(), |groups| format!(" · {}", counted(groups as u64, "group", "s")));
    let text = format!(
        "{} · {} · {} · {}{groups}",
        counted(summary.files as u64, "file", "s"),
        counted(summary.rows, "row", "s"),
        bytes(summary.bytes),
        counted(summary.passes as u64, "pass", "es"),
    );
    let memory =
        format!("{} on {} threads, and 16 bytes a class, dimension and thread", bytes(summary.memory), summary.threads);
    if args.dry_run {
        // Rows that cannot be used are for the run to tell.
        let time = match plan.estimate().map(|time| time.as_secs_f64()) {
            Ok(seconds) if seconds < 1.0 => "less than a second".to_owned(),
            Ok(seconds) => format!("about {} s", seconds.round()),
            Err(_) => "unknown".to_owned(),
        };
        let plan = format!("plan    {text}\nmemory  {memory}\ntime    {time}\n");
        return forgive_broken_pipe(std::io::stdout().write_all(plan.as_bytes()));
    }
    console.fact("plan", &text);
    console.detail("memory", &memory);
    console.detail("device", "cpu");

    let start = Instant::now();
    let report = watched(display, summary.bytes, |watch| match &args.scores {
        Some(path) => run_scored(&plan, watch, path, args),
        None => plan.run(watch),
    })?;
    let seconds = start.elapsed().as_secs_f64();
    console.detail("time", &format!("{seconds:.2} s · {:.2} GB/s", summary.bytes as f64 / seconds / 1e9));
    for (file, reason) in &report.bad_files {
        console.warn(&format!("left out: {file}: {reason}"));
    }

    for (path, format, part) in &outputs {
        report::write_whole(path, args.overwrite, |out| match part {
            Part::Groups => report.write(*format, out, Style::default()),
            Part::Classes => report.write_per_class(*format, out, Style::default()),
        })?;
    }
    let stdout = std::io::stdout();
    let Some(format) = stdout_format(args.format, stdout.is_terminal(), !args.output.is_empty()) else { return Ok(()) };
    let style = Style { width: Some(width()), colour: wants_color(display.color, stdout.is_terminal()) };
    let mut text = Vec::new();
    report.write(format, &mut text, style)?;
    forgive_broken_pipe(stdout.lock().write_all(&text).and_then(|()| stdout.lock().flush()))
}

/// Runs the plan and writes the scores as they come; they take their name only if all goes well.
fn run_scored(plan: &Plan, watch: &Watch, path: &Path, args: &Measure) -> Result<Report> {
    let mut result = None;
    report::write_whole(path, args.overwrite, |out| {
        let mut writer = ScoreWriter::new(out, &args.input.group_by, plan.archive().label_kind())?;
        result = Some(plan.run_scored(watch, &mut |scored| writer.write(scored))?);
        writer.finish()
    })?;
    result.ok_or_else(|| Error::internal("the run has no report"))
}

/// The job that the flags describe.
fn job(args: &Measure) -> Result<Job> {
    let mut options = Options::default();
    for text in &args.option {
        let (key, value) = pair("--option", text)?;
        options.set(&key, &value)?;
    }
    for (key, value) in [("centring", &args.centring), ("normaliser", &args.normaliser)] {
        if let Some(value) = value {
            options.set(key, value)?;
        }
    }
    options.min_count = args.min_count.or(options.min_count);
    options.max_count = args.max_count.or(options.max_count);
    Ok(Job {
        inputs: args.input.inputs.clone(),
        request: args.input.request()?,
        head: args.head.as_deref().map(HeadSource::parse).transpose()?,
        head_transposed: args.head_transposed,
        decisions: args.decisions.as_deref().map(Source::parse),
        ood: args.ood.as_deref().map(Source::parse),
        selection: Selection::parse(&args.metrics)?,
        options,
        extras: Extras { per_class: args.per_class.is_some(), worst_pairs: args.worst_pairs },
        rounding: Rounding { exponent: args.grid, extra_bits: args.extra_bits },
        scores: args.scores.is_some(),
        threads: args.machine.thread_count(),
        memory: args.machine.memory_limit(),
    })
}

#[derive(Clone, Copy)]
enum Part {
    Groups,
    Classes,
}

/// All files to be written, checked before the first row is read.
fn outputs(args: &Measure) -> Result<Vec<(PathBuf, Format, Part)>> {
    let groups = args.output.iter().map(|path| (path, Part::Groups));
    let classes = args.per_class.iter().map(|path| (path, Part::Classes));
    let outputs: Vec<_> = groups
        .chain(classes)
        .map(|(path, part)| Ok((path.clone(), Format::from_path(path)?, part)))
        .collect::<Result<_>>()?;
    if let Some(path) = args.scores.as_ref().filter(|path| !matches!(Format::from_path(path), Ok(Format::Parquet))) {
        return Err(Error::usage("scores are written in Parquet")
            .with("file", path.display())
            .help("--scores FILE.parquet"));
    }
    let mut paths: Vec<&Path> =
        outputs.iter().map(|(path, _, _)| path.as_path()).chain(args.scores.as_deref()).collect();
    paths.iter().try_for_each(|path| report::check_output(path, args.overwrite))?;
    paths.sort_unstable();
    if let Some(twice) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::usage("two outputs of the same name").with("file", twice[0].display()));
    }
    Ok(outputs)
}

fn stdout_format(name: FormatName, terminal: bool, written: bool) -> Option<Format> {
    Some(match name {
        FormatName::Automatic if terminal => Format::Table,
        FormatName::Automatic if written => return None,
        FormatName::Automatic | FormatName::Ndjson => Format::Ndjson,
        FormatName::Table => Format::Table,
        FormatName::Json => Format::Json,
        FormatName::Csv => Format::Csv,
        FormatName::Markdown => Format::Markdown,
    })
}

/// Columns of the terminal, or of paper.
fn width() -> usize {
    let typed = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    typed.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into())).unwrap_or(100)
}

/// Kernels below the workers share one pool of that many threads.
pub(super) fn use_threads(machine: &Machine) -> Result<()> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(machine.thread_count())
        .build_global()
        .map_err(|error| Error::resource("cannot start threads").with("detail", &error).caused_by(error))
}

pub(super) fn describe_columns(plan: &Plan, console: &Console) {
    let archive = plan.archive();
    let features = archive.features();
    let dim = archive.dim().map_or(String::new(), |dim| format!(" · D={}", count(dim as u64)));
    console.fact("features", &format!("{}   {}{dim}   ({})", features.name, features.kind, features.why));
    match archive.labels() {
        Some(labels) => console.fact("labels", &format!("{}   {}   ({})", labels.name, labels.kind, labels.why)),
        None => console.fact("labels", "none"),
    }
    archive.warnings().iter().for_each(|warning| console.warn(warning));
}
