//! A job becomes a plan, a plan runs, a run gives a report.
//!
//! The first read makes a state of every group ([`Accumulation`] keeps them in a file); a second one, of the same rows or
//! others, is made only for metrics that need means or classifier beside each row. Groups are taken in waves that fit
//! into memory, and a wave's states are gone before the next begins. Measuring is both in one process, and [`Finish`] is
//! the second half alone.

mod accumulate;
mod accumulation;
mod accumulator;
mod bench;
mod differences;
mod digest;
mod estimate;
mod finish;
mod heads;
mod job;
mod memory;
mod plan;
mod present;
mod resources;
mod scan;
mod second;
mod task;
mod waves;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use rayon::prelude::*;

pub use accumulate::Rounding;
pub use accumulation::{Accumulation, Saving};
pub use accumulator::Accumulator;
pub use bench::{Bench, Stage, bench};
pub use differences::{Comparison, differences};
pub use finish::Finish;
use heads::Heads;
pub use heads::{HeadRules, HeadSummary};
pub use job::{Job, Source};
pub use plan::Summary;
pub use resources::Resources;
pub use scan::Watch;
pub use task::Task;

use crate::archive::{Archive, Key, Pooled, Skipped};
use crate::error::{Error, Result};
use crate::report::{GroupReport, Report, Scored};
use crate::state::{ClassSums, Scatter};
use accumulate::{Gathered, Present, accumulate, ood_means};
use plan::Reading;
use present::{Finished, Presentation};

/// A job whose files are open and whose passes are settled. Nothing but footers has been read.
#[derive(Debug)]
pub struct Plan {
    reading: Reading,
    presentation: Presentation,
}

impl Plan {
    /// Opens all files of a job.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::open`]; [`Missing`](crate::error::ErrorKind::Missing) for heads that are not there;
    /// [`Usage`](crate::error::ErrorKind::Usage) or [`Data`](crate::error::ErrorKind::Data) for heads that do not fit, or do
    /// not say which row is which class; [`Resource`](crate::error::ErrorKind::Resource) if the memory does not suffice.
    pub fn new(job: Job) -> Result<Self> {
        let mut job = job;
        job.request.memory = Some(job.memory);
        let archive = Archive::open(&job.inputs, &job.request)?;
        let (request, rounding, threads, memory) = (job.request.clone(), job.rounding, job.threads, job.memory);
        let mut presentation = Presentation::new(job, true, archive.labels())?;
        presentation.check_kind(archive.label_kind())?;
        let reading = Reading::new(archive, request, rounding, presentation.needs.scatter, threads, memory)?;
        reading.check_metrics()?;
        if presentation.job.head.is_some() {
            let (groups, labels) = reading.survey(presentation.job.head_rules.ranks())?;
            presentation.settle_heads(&groups, labels, &reading.archive.spellings())?;
        }
        let threads = reading.threads;
        Ok(Self { reading, presentation: Presentation { threads, ..presentation } })
    }

    /// The archive of the first read.
    pub fn archive(&self) -> &Archive {
        &self.reading.archive
    }

    /// About how long [`run`](Self::run) takes, from a first chunk; metrics themselves, once rows are read, are not counted.
    ///
    /// # Errors
    ///
    /// Those of the first chunk.
    pub fn estimate(&self) -> Result<Duration> {
        self.reading.estimate(&self.summary())
    }

    /// What is known of the heads, if there are any.
    pub fn heads(&self) -> Option<HeadSummary> {
        self.presentation.head_summary()
    }

    /// What the user should know before rows are read: what is pooled, and what no filter reaches.
    pub fn notes(&self) -> Vec<String> {
        let pooled = self.archive().pooled();
        pooled.iter().map(Pooled::describe).chain(self.presentation.notes.iter().cloned()).collect()
    }

    /// Further rows, the flag's name and what is taken of them: for people.
    pub fn further(&self) -> Vec<(&'static str, String)> {
        self.presentation.further()
    }

    /// The files that are read.
    pub fn inputs(&self) -> Vec<PathBuf> {
        let own = self.reading.archive.files().iter().map(|file| file.path.clone());
        own.chain(self.presentation.inputs()).collect()
    }

    /// `D`, and about how long the decomposition of `nc1_vci` takes for a group, where that is asked for and is long.
    ///
    /// # Errors
    ///
    /// Those of the decomposition.
    pub fn decomposition(&self) -> Result<Option<(usize, Duration)>> {
        let wanted = self.reading.scatter && self.presentation.job.selection.contains("nc1_vci");
        let dim = self.reading.largest_dim();
        let time = if wanted { estimate::decomposition(dim)? } else { None };
        Ok(time.map(|time| (dim, time)))
    }

    /// The plan in numbers.
    pub fn summary(&self) -> Summary {
        let summary = self.reading.summary();
        let judged_of_own = self.presentation.reads_again() && self.presentation.decisions.is_none();
        let again = self.presentation.reads_own() || judged_of_own;
        Summary {
            bytes: summary.bytes * (1 + u64::from(again)) + self.presentation.bytes(),
            passes: 1 + usize::from(self.presentation.reads_again()),
            ..summary
        }
    }

    /// Reads, and measures every group.
    ///
    /// # Errors
    ///
    /// The first error in the order of the units; [`Missing`](crate::error::ErrorKind::Missing) if no row is left.
    pub fn run(&self, watch: &Watch) -> Result<Report> {
        self.run_scored(watch, &mut |_| Ok(()))
    }

    /// The same; `score` gets the rows of a job that asks for [`scores`](Job::scores), in the order of groups and files.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run) and of `score`.
    pub fn run_scored(&self, watch: &Watch, score: Score<'_>) -> Result<Report> {
        if self.reading.scatter {
            self.run_with::<Scatter>(watch, score)
        } else {
            self.run_with::<ClassSums>(watch, score)
        }
    }

    fn run_with<S: Present>(&self, watch: &Watch, score: Score<'_>) -> Result<Report> {
        let Self { reading, presentation } = self;
        let (sound, damaged) = reading.sound_units(|_| true, watch)?;
        let waves = reading.waves.iter().map(|wave| wave.iter().copied().filter(|&unit| sound[unit]).collect());
        let kept = reading.count_classes(&sound, &presentation.job.options, watch)?;
        let ood_means = ood_means(presentation, watch)?;
        let mut groups = Vec::new();
        for wave in waves {
            let wave: Vec<usize> = wave;
            let gathered = accumulate::<S>(reading, &wave, kept.as_ref(), watch)?;
            // Metrics of several groups are made at once; those of the largest take most.
            let largest = gathered.values().map(|group| group.metric_bytes(reading.scatter)).max().unwrap_or(0);
            reading.meter.check_more(largest)?;
            let dropped = |key: &Key| kept.as_ref().map_or(0, |kept| kept.dropped(key));
            let finished = gathered
                .into_par_iter()
                .filter(|(_, gathered)| gathered.dim > 0 || gathered.skipped.total() > 0)
                .map(|(key, gathered)| finished(gathered, dropped(&key), key, presentation))
                .collect::<Vec<Result<Finished>>>();
            let finished = finished.into_iter().collect::<Result<_>>()?;
            let own = Some((&reading.archive, wave.as_slice()));
            groups.extend(presentation.present(finished, own, &ood_means, watch, &mut *score)?);
        }
        let damaged = damaged.into_iter().map(|(file, reason)| (reading.archive.files()[file].shown.clone(), reason));
        let bad_files = reading.archive.bad_files().iter().cloned().chain(damaged).collect();
        report(presentation, reading.settings(), groups, bad_files)
    }
}

/// A state that is complete, as numbers.
fn finished<S: Present>(
    gathered: Gathered<S>,
    dropped_classes: u64,
    key: Key,
    presentation: &Presentation,
) -> Result<Finished> {
    Ok(Finished {
        statistics: gathered.state.statistics().map_err(|error| presentation.locate(error, &key))?,
        significand_bits: gathered.significand_bits(),
        key,
        head: None,
        headless: None,
        findings: None,
        skipped: gathered.skipped,
        dropped_classes,
    })
}

fn report(
    presentation: &Presentation,
    of_rows: BTreeMap<&'static str, String>,
    mut groups: Vec<GroupReport>,
    bad_files: Vec<(String, String)>,
) -> Result<Report> {
    // Groups without a row are told beside others; alone they are nothing to tell.
    if groups.iter().all(|group| group.rows == 0) {
        return Err(nothing_left(&groups));
    }
    groups.sort_by(|a, b| a.key.iter().map(|(_, value)| value).cmp(b.key.iter().map(|(_, value)| value)));
    Ok(Report {
        options: presentation.job.options,
        settings: presentation.settings(of_rows),
        remarks: presentation.heads.as_ref().map(Heads::afterthoughts).unwrap_or_default(),
        class_names: presentation.class_names(&groups),
        groups,
        bad_files,
    })
}

/// The error of a run that has no row to measure, with what was left out.
fn nothing_left(groups: &[GroupReport]) -> Error {
    let mut skipped = Skipped::default();
    for group in groups {
        skipped.add(&group.skipped);
    }
    let nonfinite = skipped.nonfinite.values().sum();
    let counts = [
        ("rows ignored", skipped.ignored, "--ignore-label"),
        ("rows of classes left out", skipped.filtered, "--min-count and --max-count"),
        ("rows with nulls", skipped.nulls, "--nulls"),
        ("rows not finite", nonfinite, "--nonfinite"),
    ];
    let counts: Vec<_> = counts.into_iter().filter(|(_, rows, _)| *rows > 0).collect();
    let error = counts
        .iter()
        .fold(Error::missing("no rows are left to measure"), |error, &(what, rows, _)| error.with(what, rows));
    let flags: Vec<&str> = counts.iter().map(|(_, _, flag)| *flag).collect();
    error.help(if flags.is_empty() {
        "no row passes the filters: loosen --where".to_owned()
    } else {
        format!("every row is left out by {}", flags.join(", "))
    })
}

/// Takes the rows that were judged.
pub type Score<'a> = &'a mut (dyn FnMut(&Scored<'_>) -> Result<()> + Send);
