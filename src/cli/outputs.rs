//! Where results go: to files, which are reserved before the first row is read, and to standard output.
#![warn(clippy::wildcard_enum_match_arm)]

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::args::{Conventions, Display, FormatName, Further, Machine, Outputs, pair};
use super::console::{Console, counted, wants_color};
use super::stdout;
use crate::archive::{ClassNames, HeadRows, HeadSource, Naming, Request};
use crate::batch::LabelKind;
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::metrics::{Extras, Options, Selection};
use crate::pipeline::{HeadRules, HeadSummary, Job, Resources, Rounding, RowSource, ScoreSink};
use crate::report::{Format, Report, ScoreWriter, Style};
use crate::store::{Output, refuse_inputs};

/// The files that will be written. Nobody else can write them in the meantime.
pub(super) struct Targets<'a> {
    flags: &'a Outputs,
    /// Whether a table shows the headline only.
    headline: bool,
    files: Vec<(Output, Format, Contents)>,
    scores: Option<Output>,
}

/// What of a report a file holds.
#[derive(Clone, Copy)]
enum Contents {
    Groups,
    Classes,
}

impl<'a> Targets<'a> {
    /// Reserves all files to be written, before the first row is read.
    pub(super) fn new(args: &'a Outputs, metrics: &[String]) -> Result<Self> {
        let groups = args.result.output.iter().map(|path| (path, Contents::Groups));
        let classes = args.per_class.iter().map(|path| (path, Contents::Classes));
        let asked: Vec<_> = groups.chain(classes).collect();
        let formats: Vec<Format> = asked.iter().map(|(path, _)| Format::from_path(path)).collect::<Result<_>>()?;
        let is_parquet = |path: &Path| Format::from_path(path).is_ok_and(|format| format == Format::Parquet);
        if let Some(path) = args.scores.as_ref().filter(|path| !is_parquet(path)) {
            return Err(Error::usage("scores are written as Parquet only")
                .with("file", path.display())
                .help("--scores FILE.parquet"));
        }
        if let Some(path) =
            args.per_class.as_ref().filter(|path| Format::from_path(path).is_ok_and(|it| it == Format::Html))
        {
            return Err(Error::usage("classes are not written as a page")
                .with("file", path.display())
                .help("--per-class FILE.csv"));
        }
        let paths: Vec<&Path> = asked.iter().map(|(path, _)| path.as_path()).chain(args.scores.as_deref()).collect();
        let mut outputs = Output::reserve_all(&paths, args.result.overwrite)?;
        let scores = args.scores.as_ref().and_then(|_| outputs.pop());
        let files = outputs.into_iter().zip(formats).zip(asked);
        let files = files.map(|((file, format), (_, contents))| (file, format, contents));
        let targets = Self { flags: args, headline: metrics.is_empty(), files: files.collect(), scores };
        if args.stdout().is_some() {
            stdout::open()?;
        }
        Ok(targets)
    }

    /// Fails if an output is also an input.
    pub(super) fn refuse_inputs(&self, inputs: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        let files = self.files.iter().map(|(file, _, _)| file);
        refuse_inputs(files.chain(&self.scores).map(Output::path), inputs)
    }

    /// Runs `work` and writes the scores as they come, if they are asked for. Their file gets its name only if all goes
    /// well.
    pub(super) fn scored(
        &mut self,
        group_by: &[String],
        labels: LabelKind,
        work: impl FnOnce(ScoreSink<'_>) -> Result<Report>,
    ) -> Result<Report> {
        let Some(file) = &mut self.scores else { return work(&mut |_| Ok(())) };
        let mut result = None;
        file.write(|out| {
            let mut writer = ScoreWriter::new(out, group_by, labels)?;
            result = Some(work(&mut |scored| writer.write(scored))?);
            writer.finish()
        })?;
        result.ok_or_else(|| Error::internal("the run has no report"))
    }

    /// Writes the report to all files, and to standard output.
    pub(super) fn write(&mut self, report: &Report, display: &Display, console: &Console) -> Result<()> {
        for (file, reason) in &report.bad_files {
            console.warn(&format!("left out: {file}: {reason}"));
        }
        report.remarks.iter().for_each(|remark| console.warn(remark));
        for (file, format, contents) in &mut self.files {
            file.write(|out| match contents {
                Contents::Groups => report.write(*format, out, Style::default()),
                Contents::Classes => report.write_per_class(*format, out, Style::default()),
            })?;
        }
        let Some(format) = self.flags.stdout() else { return Ok(()) };
        let colour = wants_color(display.color, std::io::stdout().is_terminal());
        let mut text = Vec::new();
        report.write(format, &mut text, Style { width: Some(width()), colour, headline: self.headline })?;
        stdout::write(&text)
    }
}

impl Outputs {
    /// The format of standard output, if anything goes there.
    fn stdout(&self) -> Option<Format> {
        stdout_format(self.result.format, std::io::stdout().is_terminal(), !self.result.output.is_empty())
    }

    /// The metrics that the flag asks for; without it, those of the headline if nothing but a table is written.
    fn selection(&self, metrics: &[String]) -> Result<Selection> {
        if metrics.is_empty() && self.result.output.is_empty() && self.stdout() == Some(Format::Table) {
            return Ok(Selection::headline());
        }
        Selection::parse(metrics)
    }
}

/// The job that the flags describe.
pub(super) fn job(
    inputs: &[String],
    request: Request,
    rounding: Rounding,
    (further, conventions, outputs): (&Further, &Conventions, &Outputs),
    machine: &Machine,
) -> Result<Job> {
    let mut options = Options::default();
    for text in &conventions.option {
        let (key, value) = pair("--option", text)?;
        options.set(&key, &value)?;
    }
    for (key, value) in [("centring", &conventions.centring), ("normaliser", &conventions.normaliser)] {
        if let Some(value) = value {
            options.set(key, value)?;
        }
    }
    options.min_count = conventions.min_count.or(options.min_count);
    options.max_count = conventions.max_count.or(options.max_count);
    let Resources { threads, memory } = machine.resources();
    Ok(Job {
        inputs: inputs.to_vec(),
        request,
        head: further.head.as_deref().map(HeadSource::parse).transpose()?,
        head_transposed: further.head_transposed,
        head_rules: head_rules(further, outputs)?,
        decisions: further.decisions.as_deref().map(RowSource::parse),
        ood: further.ood.as_deref().map(RowSource::parse),
        selection: outputs.selection(&conventions.metrics)?,
        options,
        error_bars: conventions.error_bars.parse()?,
        extras: Extras { per_class: outputs.per_class.is_some(), worst_pairs: outputs.worst_pairs },
        rounding,
        scores: outputs.scores.is_some(),
        device: Device::chosen(machine.device)?,
        threads,
        memory,
    })
}

/// The rules for heads and names. A flag that would have no effect is an error.
fn head_rules(further: &Further, outputs: &Outputs) -> Result<HeadRules> {
    let shown = outputs.per_class.is_some() || outputs.worst_pairs > 0;
    if further.class_names.is_some() && further.head.is_none() && !shown {
        return Err(Error::usage("--class-names has no effect without a head or output that names classes")
            .help("add --head, --per-class or --worst-pairs"));
    }
    if further.head_rows.is_some() && further.head.is_none() && further.class_names.is_none() {
        return Err(Error::usage("--head-rows has no effect without a head").help("add --head FILE"));
    }
    let naming = Naming {
        rows: further.head_rows.as_deref().map(HeadRows::parse).transpose()?,
        names: further.class_names.as_deref().map(ClassNames::read).transpose()?,
        labels: None,
    };
    if further.head.is_none() && naming.rows == Some(HeadRows::Rank) {
        return Err(Error::usage("--head-rows rank has no effect without a head").help("add --head FILE"));
    }
    let only_for = further.head_for.iter().map(|text| pair("--head-for", text)).collect::<Result<_>>()?;
    Ok(HeadRules { naming, only_for, missing: further.on_missing_head.into() })
}

/// Prints what is known of the heads before the run.
pub(super) fn describe_heads(heads: Option<&HeadSummary>, console: &Console) {
    let Some(heads) = heads else { return };
    console.fact("head", &format!("{}   ({})", heads.source, counted(heads.files as u64, "file", "s")));
    if !heads.rows.is_empty() {
        console.fact("head rows", &heads.rows);
    }
    heads.notes.iter().for_each(|note| console.warn(note));
}

/// The format of standard output, if anything goes there; `written` says whether the result goes to a file too.
pub(super) fn stdout_format(name: FormatName, terminal: bool, written: bool) -> Option<Format> {
    match name {
        FormatName::Named(format) => Some(format),
        FormatName::Automatic if terminal => Some(Format::Table),
        FormatName::Automatic if written => None,
        FormatName::Automatic => Some(Format::Ndjson),
    }
}

/// The width of the terminal in columns, 100 if it is unknown.
pub(super) fn width() -> usize {
    let typed = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    typed.or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0.into())).unwrap_or(100)
}
