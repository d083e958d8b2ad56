//! Where results go: to files, which are reserved before the first row is read, and to standard output.
#![warn(clippy::wildcard_enum_match_arm)]

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::args::{Conventions, Display, FormatName, Further, Machine, Outputs, check_named, pair};
use super::console::{Console, counted, wants_color};
use super::stdout;
use crate::archive::{ClassNames, HeadRows, HeadSource, Key, Naming, Policy, Request, Skipped};
use crate::batch::LabelKind;
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::metrics::{Extras, Options, Selection};
use crate::pipeline::{AtHand, HeadRules, HeadSummary, Job, Resources, Rounding, RowSource, ScoreSink};
use crate::report::{Format, Given, Plot, Report, ScoreWriter, Style};
use crate::store::{Output, refuse_inputs};

/// The files that will be written. Nobody else can write them in the meantime.
pub(super) struct Targets<'a> {
    flags: &'a Outputs,
    /// Whether a table shows the headline only.
    headline: bool,
    files: Vec<(Output, Contents)>,
    scores: Option<Output>,
}

/// What of a report a file holds.
#[derive(Clone, Copy)]
enum Contents {
    Groups(Format),
    Classes(Format),
    Bins(Format),
    Figure(Plot),
}

/// Whether a file gets one figure.
fn is_figure(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("svg"))
}

impl<'a> Targets<'a> {
    /// Reserves all files to be written, before the first row is read; `printed` says whether standard output is one.
    pub(super) fn new(args: &'a Outputs, metrics: &[String], printed: bool) -> Result<Self> {
        let plot = args.plot()?;
        let of_groups = |path: &PathBuf| match plot {
            Some(plot) if is_figure(path) => Ok(Contents::Figure(plot)),
            _ => Format::from_path(path).map(Contents::Groups).map_err(|error| match error.advice() {
                Some(advice) => {
                    let advice = format!("{advice}; --plot draws a figure into .svg");
                    error.help(advice)
                }
                None => error,
            }),
        };
        let of_classes = |flag: &str, path: &PathBuf| {
            Format::from_path(path)
                .map_err(|error| error.help(format!("{flag} FILE.csv, .json, .ndjson, .parquet, .md, …")))
        };
        let groups = args.result.output.iter().map(|path| Ok((path, of_groups(path)?)));
        let classes = args.per_class.iter().map(|path| Ok((path, Contents::Classes(of_classes("--per-class", path)?))));
        let bins =
            args.per_class_bins.iter().map(|path| Ok((path, Contents::Bins(of_classes("--per-class-bins", path)?))));
        let asked: Vec<_> = groups.chain(classes).chain(bins).collect::<Result<_>>()?;
        let is_parquet = |path: &Path| Format::from_path(path).is_ok_and(|format| format == Format::Parquet);
        if let Some(path) = args.scores.as_ref().filter(|path| !is_parquet(path)) {
            return Err(Error::usage("scores are written as Parquet only")
                .with("file", path.display())
                .help("--scores FILE.parquet"));
        }
        let is_page = |path: &Path| Format::from_path(path).is_ok_and(|format| format == Format::Html);
        for (flag, path) in [("--per-class", &args.per_class), ("--per-class-bins", &args.per_class_bins)] {
            if let Some(path) = path.as_ref().filter(|path| is_page(path)) {
                return Err(Error::usage("classes are not written as a page")
                    .with("file", path.display())
                    .help(format!("{flag} FILE.csv")));
            }
        }
        let paths: Vec<&Path> = asked.iter().map(|(path, _)| path.as_path()).chain(args.scores.as_deref()).collect();
        let mut outputs = Output::reserve_all(&paths, args.result.overwrite)?;
        let scores = args.scores.as_ref().and_then(|_| outputs.pop());
        let files = outputs.into_iter().zip(asked).map(|(file, (_, contents))| (file, contents));
        let targets = Self { flags: args, headline: metrics.is_empty(), files: files.collect(), scores };
        if printed && args.stdout().is_some() {
            stdout::open()?;
        }
        Ok(targets)
    }

    /// Fails if an output is also an input.
    pub(super) fn refuse_inputs(&self, inputs: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        let files = self.files.iter().map(|(file, _)| file);
        refuse_inputs(files.chain(&self.scores).map(Output::path), inputs)
    }

    /// Fails if it is known that there will be nothing to draw; `groups` are the keys of all groups, if they are known.
    pub(super) fn check_figure(&self, groups: Option<&[Key]>, given: Given) -> Result<()> {
        self.files.iter().try_for_each(|(_, contents)| match contents {
            Contents::Figure(plot) => plot.check(groups, given),
            Contents::Groups(_) | Contents::Classes(_) | Contents::Bins(_) => Ok(()),
        })
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
    pub(super) fn write(mut self, report: &Report, display: &Display, console: &Console) -> Result<()> {
        let not_drawn = self.write_files(report, console)?;
        if let Some(format) = self.flags.stdout() {
            // Tables say it in a note.
            if format != Format::Table {
                let skipped = Skipped::of_all(report.groups.iter().map(|group| &group.skipped));
                if skipped.total() > 0 {
                    console.fact("left out", &format!("rows: {}", skipped.by_flag()));
                }
            }
            print(display, self.headline, |out, style| report.write(format, out, style))?;
        }
        not_drawn.map_or(Ok(()), Err)
    }

    /// Writes the report to all files; returns the error of a figure in which there is nothing to draw.
    pub(super) fn write_files(&mut self, report: &Report, console: &Console) -> Result<Option<Error>> {
        for (file, reason) in &report.bad_files {
            console.warn(&format!("left out: {file}: {reason}"));
        }
        report.remarks.iter().for_each(|remark| console.warn(remark));
        let mut figures = Ok(());
        for (file, contents) in &mut self.files {
            match *contents {
                Contents::Groups(format) => file.write(|out| report.write(format, out, Style::default()))?,
                Contents::Classes(format) => file.write(|out| report.write_per_class(format, out, Style::default()))?,
                Contents::Bins(format) => {
                    file.write(|out| report.write_per_class_bins(format, out, Style::default()))?;
                }
                // Where there is nothing to draw, all else is written first.
                Contents::Figure(plot) => {
                    figures = file.write(|out| report.write_plot(plot, out));
                    if let Some(text) = report.shown_in(plot).filter(|_| figures.is_ok()) {
                        console.fact("figure", &format!("{}   {text}", plot.name()));
                    }
                }
            }
        }
        Ok(figures.err())
    }
}

impl Outputs {
    /// Whether the report has classes one by one.
    fn has_classes(&self) -> bool {
        self.per_class.is_some() || self.classes_to_program
    }

    /// Says which flags change nothing; `dry_run` says that the plan alone is printed.
    pub(super) fn warn_of_no_effect(&self, dry_run: bool, console: &Console) {
        if dry_run {
            let written = [
                ("-o", !self.result.output.is_empty()),
                ("--per-class", self.per_class.is_some()),
                ("--per-class-bins", self.per_class_bins.is_some()),
                ("--scores", self.scores.is_some()),
                ("--format", self.result.format != FormatName::Automatic),
            ];
            let flags: Vec<&str> =
                written.into_iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| flag).collect();
            if !flags.is_empty() {
                let flags = flags.join(", ");
                console.warn(&format!("--dry-run prints the plan alone: nothing is written for {flags}"));
            }
            return;
        }
        let files = self.result.output.iter().filter_map(|path| Format::from_path(path).ok());
        let shows = |format: Format| matches!(format, Format::Table | Format::Markdown | Format::Json | Format::Html);
        if self.worst_pairs > 0 && !self.stdout().into_iter().chain(files).any(shows) {
            console.warn(
                "--worst-pairs has no effect on records a line: --format json, table or markdown shows the pairs, and so does \
                 -o FILE.json, .md or .html",
            );
        }
    }

    /// The format of standard output, if anything goes there.
    fn stdout(&self) -> Option<Format> {
        stdout_format(self.result.format, std::io::stdout().is_terminal(), !self.result.output.is_empty())
    }

    /// The figure that a file gets.
    fn plot(&self) -> Result<Option<Plot>> {
        let files: Vec<&PathBuf> = self.result.output.iter().filter(|path| is_figure(path)).collect();
        let names = || Plot::names().collect::<Vec<_>>().join(", ");
        match (&self.plot, files.as_slice()) {
            (None, []) => Ok(None),
            (None, [file, ..]) => Err(Error::usage("--plot is missing: it names the figure for this file")
                .with("file", file.display())
                .help(format!("--plot KEY of a metric, map:KEY, or one of {}", names()))),
            (Some(_), []) => Err(Error::usage("--plot has no effect without a file for the figure")
                .help("add -o FILE.svg: figures are SVG")),
            (Some(name), [_]) => Plot::parse(name).map(Some),
            (Some(_), [_, second, ..]) => Err(Error::usage("one figure goes to one file")
                .with("file", second.display())
                .help("give -o FILE.svg once")),
        }
    }

    /// Whether any output shows classes or spectra of single groups, and whether the eigenvalues of `Σ_W` have to be there.
    fn figures(&self) -> Result<(bool, bool)> {
        let plot = self.plot()?;
        let is_page = |path: &PathBuf| Format::from_path(path).is_ok_and(|format| format == Format::Html);
        let has_page = self.result.output.iter().any(is_page) || self.result.format == FormatName::Named(Format::Html);
        let of_group = plot.is_some_and(|plot| plot.metric().is_none());
        Ok((has_page || of_group, plot.is_some_and(Plot::is_of_within)))
    }

    /// The metrics that the flag asks for; without it, those of the headline if nothing but a table and a figure is
    /// written, and that of the figure.
    fn selection(&self, metrics: &[String]) -> Result<Selection> {
        let key = self.plot()?.and_then(Plot::metric);
        let only_figures = self.result.output.iter().all(|path| is_figure(path));
        let selection = match self.stdout() {
            Some(Format::Table) if metrics.is_empty() && only_figures => Selection::headline(),
            None if metrics.is_empty() && only_figures => Selection::none(),
            _ => Selection::parse(metrics)?,
        };
        Ok(key.map_or(selection.clone(), |key| selection.with(key)))
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
    check_named("--metrics", &conventions.metrics)?;
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
    if let Some(sample) = &conventions.sweep_sample {
        options.set("sweep_sample", sample)?;
    }
    options.sweep_min_count = conventions.sweep_min_count.or(options.sweep_min_count);
    if options.sweep_sample.is_some() && conventions.error_bars.parse()?.is_some() {
        return Err(Error::usage("--sweep-sample and --error-bars each have error bars of their own")
            .help("leave out one of them"));
    }
    options.min_count = conventions.min_count.or(options.min_count);
    options.max_count = conventions.max_count.or(options.max_count);
    let Resources { threads, memory } = machine.resources();
    let (figures, spectrum) = outputs.figures()?;
    let head = further.head.as_deref().map(HeadSource::parse).transpose()?;
    let head_rules = head_rules(further, outputs, head.as_ref())?;
    Ok(Job {
        inputs: inputs.to_vec(),
        request,
        head,
        head_transposed: further.head_transposed,
        head_rules,
        decisions: further.decisions.as_deref().map(RowSource::parse),
        ood: further.ood.as_deref().map(RowSource::parse),
        at_hand: AtHand::default(),
        selection: outputs.selection(&conventions.metrics)?,
        options,
        error_bars: conventions.error_bars.parse()?,
        extras: Extras {
            per_class: outputs.has_classes() || outputs.per_class_bins.is_some(),
            worst_pairs: outputs.worst_pairs,
            figures,
            spectrum,
            ..Extras::default()
        },
        rounding,
        scores: outputs.scores.is_some(),
        device: Device::chosen(machine.device)?,
        threads,
        memory,
    })
}

/// The rules for heads and names. A flag that would have no effect is an error.
fn head_rules(further: &Further, outputs: &Outputs, head: Option<&HeadSource>) -> Result<HeadRules> {
    if let Some(head) = head.filter(|head| head.least_squares().is_some()) {
        check_own_head(further, head)?;
    }
    let in_file = head.is_some_and(|head| head.least_squares().is_none());
    let shown = outputs.has_classes() || outputs.worst_pairs > 0 || outputs.figures()?.0;
    if further.class_names.is_some() && !in_file && !shown {
        return Err(Error::usage("--class-names has no effect without a head or output that names classes")
            .help("add --head, --per-class, --worst-pairs or -o FILE.html"));
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

/// The classifier of each state itself has its classes and its shape: flags that say how a file has them are a mistake.
fn check_own_head(further: &Further, head: &HeadSource) -> Result<()> {
    let set = [
        ("--head-rows", further.head_rows.is_some() && further.class_names.is_none()),
        ("--head-transposed", further.head_transposed),
        ("--on-missing-head", Policy::from(further.on_missing_head) != HeadRules::default().missing),
    ];
    match set.into_iter().find(|(_, is_set)| *is_set) {
        Some((flag, _)) => Err(Error::usage(format!("{flag} has no effect on a least-squares head"))
            .with("head", head)
            .help("each state has one of its own, with a row for each of its classes")),
        None => Ok(()),
    }
}

/// Prints what is known of the heads before the run.
pub(super) fn describe_heads(heads: Option<&HeadSummary>, console: &Console) {
    let Some(heads) = heads else { return };
    let from = match heads.files {
        0 => "each state's own: ridge regression on its classes".to_owned(),
        files => counted(files as u64, "file", "s"),
    };
    console.fact("head", &format!("{}   ({from})", heads.source));
    if !heads.rows.is_empty() {
        console.fact("head rows", &heads.rows);
    }
    heads.notes.iter().for_each(|note| console.warn(note));
}

/// Prints what `write` writes in the style of standard output.
pub(super) fn print(
    display: &Display,
    headline: bool,
    write: impl FnOnce(&mut Vec<u8>, Style) -> Result<()>,
) -> Result<()> {
    let colour = wants_color(display.color, std::io::stdout().is_terminal());
    let mut text = Vec::new();
    write(&mut text, Style { width: Some(width()), colour, headline })?;
    stdout::write(&text)
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
