//! A job whose files are open, and its run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use super::error_bars::{BlockedGroup, blocked};
use super::evaluate::{Evaluation, GroupBlocks, GroupEvidence};
use super::first_pass::{Blocking, Counting, FirstPass, accumulate, ood_means};
use super::heads::Heads;
use super::memory::{MetricMemory, held};
use super::{HeadSummary, Job, Summary, Watch, estimate};
use crate::archive::{Archive, FOOTER_MEMORY, File, Key, Pooled, Skipped};
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::report::{Given, GroupReport, Report, Scored};

/// Metrics that decompose a matrix of each group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decompositions {
    /// Their keys.
    pub keys: Vec<&'static str>,
    /// `D`.
    pub dim: usize,
    /// About how long they take for a group.
    pub time: Duration,
}

/// The error of a footer that takes too much memory, with what the whole run takes: nobody is to be asked twice.
fn in_all(error: Error, job: &Job) -> Error {
    match Plan::new(Job { memory: u64::MAX, threads: 1, ..job.clone() }) {
        Ok(plan) => error.help(format!("--memory {}MiB", plan.first_pass.memory.div_ceil(1 << 20))),
        Err(_) => error,
    }
}

/// A job whose files are open and whose passes are settled. Nothing but footers has been read.
#[derive(Debug)]
pub struct Plan {
    first_pass: FirstPass,
    evaluation: Evaluation,
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
        let blocking = Blocking::of(job.error_bars.as_ref());
        let archive = Archive::open(&job.inputs, &blocking.request(job.request.clone())?);
        let archive =
            archive.map_err(|error| if error.message() == FOOTER_MEMORY { in_all(error, &job) } else { error })?;
        let (request, rounding, device) = (job.request.clone(), job.rounding, job.device.clone());
        let (threads, memory) = (job.threads, job.memory);
        let mut evaluation = Evaluation::new(job, true, archive.labels())?;
        evaluation.check_kind(archive.label_kind())?;
        evaluation.label_names = archive.class_names().map(<[String]>::to_vec).unwrap_or_default();
        let counting = Counting { rounding, scatter: evaluation.needs.scatter, blocking };
        let first_pass = FirstPass::new(archive, request, counting, device, threads, memory)?;
        first_pass.check_metrics()?;
        if evaluation.job.head.is_some() {
            let (groups, labels) = first_pass.survey(evaluation.job.head_rules.ranks())?;
            evaluation.settle_heads(&groups, labels, &first_pass.archive.spellings())?;
        }
        let threads = first_pass.threads;
        if first_pass.device.is_offload() {
            evaluation.job.device = first_pass.device.clone();
        }
        Ok(Self { first_pass, evaluation: Evaluation { threads, ..evaluation } })
    }

    /// The archive of the first read.
    pub fn archive(&self) -> &Archive {
        &self.first_pass.archive
    }

    /// About how long [`run`](Self::run) takes, from a first chunk; metrics themselves, once rows are read, are not counted.
    ///
    /// # Errors
    ///
    /// Those of the first chunk.
    pub fn estimate(&self) -> Result<Duration> {
        self.first_pass.estimate(&self.summary())
    }

    /// What has worked on the rows of the second pass, once it is made; with the reason where the program chose it.
    pub fn second_device(&self) -> Option<&str> {
        self.evaluation.device.get().map(Device::name)
    }

    /// How devices have failed whose work the CPU did.
    pub fn device_failures(&self) -> Vec<&str> {
        let devices = [Some(&self.first_pass.device), self.evaluation.device.get()];
        let mut failures: Vec<&str> = devices.into_iter().flatten().filter_map(Device::failure).collect();
        failures.dedup();
        failures
    }

    /// What is known of the heads, if there are any.
    pub fn heads(&self) -> Option<HeadSummary> {
        self.evaluation.head_summary()
    }

    /// What the user should know before rows are read: what is pooled, and what no filter reaches.
    pub fn notes(&self) -> Vec<String> {
        let pooled = self.archive().pooled();
        pooled.iter().map(Pooled::describe).chain(self.evaluation.notes.iter().cloned()).collect()
    }

    /// Further rows, the flag's name and what is taken of them: for people.
    pub fn further(&self) -> Vec<(&'static str, String)> {
        self.evaluation.further()
    }

    /// The files of `--decisions` and `--ood`, each with its flag.
    pub fn further_archives(&self) -> impl Iterator<Item = (&'static str, &Archive)> {
        self.evaluation.further_archives()
    }

    /// The files that are read.
    pub fn inputs(&self) -> Vec<PathBuf> {
        let own = self.first_pass.archive.files().iter().flat_map(File::paths).map(Path::to_path_buf);
        own.chain(self.evaluation.inputs()).collect()
    }

    /// The keys of the groups, where all units say theirs.
    pub fn known_groups(&self) -> Option<Vec<Key>> {
        self.first_pass.known_groups()
    }

    /// What there is beside the rows.
    pub fn given(&self) -> Given {
        self.evaluation.given(true)
    }

    /// What decomposes matrices, where that is asked for and takes long.
    ///
    /// # Errors
    ///
    /// Those of a decomposition.
    pub fn decompositions(&self) -> Result<Option<Decompositions>> {
        let matrices = self.evaluation.job.selection.decomposing();
        let dim = self.first_pass.largest_dim();
        let wanted = self.first_pass.scatter && !matrices.is_empty();
        let time = if wanted { estimate::decomposition(dim)? } else { None };
        Ok(time.map(|time| Decompositions { time: time * matrices.len() as u32, keys: matrices.concat(), dim }))
    }

    /// The plan in numbers.
    pub fn summary(&self) -> Summary {
        let summary = self.first_pass.summary();
        let judged_of_own = self.evaluation.reads_again() && self.evaluation.decisions.is_none();
        let again = self.evaluation.reads_own() || judged_of_own;
        let dim = self.first_pass.largest_dim() as u64;
        Summary {
            bytes: summary.bytes * (1 + u64::from(again)) + self.evaluation.bytes(),
            passes: 1 + usize::from(self.evaluation.reads_again()),
            class_memory: summary.class_memory.max(self.metric_memory().of_class(dim)),
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
    pub fn run_scored(&self, watch: &Watch, score: ScoreSink<'_>) -> Result<Report> {
        let Self { first_pass, evaluation } = self;
        let (sound, damaged) = first_pass.sound_units(|_| true, watch)?;
        let group_batches =
            first_pass.group_batches.iter().map(|batch| batch.iter().copied().filter(|&unit| sound[unit]).collect());
        let kept = first_pass.count_classes(&sound, &evaluation.job.options, watch)?;
        evaluation.look_through(watch)?;
        let ood_means = ood_means(evaluation, watch)?;
        if let Some(known) = first_pass.known_groups() {
            evaluation.settle_figures(&known.iter().collect::<Vec<_>>());
        }
        let mut groups = Vec::new();
        for batch in group_batches {
            let batch: Vec<usize> = batch;
            let states = accumulate(first_pass, &batch, kept.as_ref(), watch)?;
            let groups_counted = blocked(states, &first_pass.blocking, |error, key| first_pass.locate(error, key))?;
            if first_pass.blocking.is_some() {
                let totals = groups_counted.iter().map(|(_, group)| held(group.all.state.class_sums()));
                first_pass.meter.grow(totals.sum());
            }
            self.check_memory(&groups_counted)?;
            let dropped = |key: &Key| kept.as_ref().map_or(0, |kept| kept.dropped(key));
            let group_evidence = groups_counted
                .into_par_iter()
                .filter(|(_, group)| !group.all.is_empty())
                .map(|(key, group)| group_evidence(group, dropped(&key), key, evaluation))
                .collect::<Vec<Result<GroupEvidence>>>();
            let group_evidence = group_evidence.into_iter().collect::<Result<_>>()?;
            let own = Some((&first_pass.archive, batch.as_slice()));
            groups.extend(evaluation.evaluate(
                group_evidence,
                own,
                &ood_means,
                first_pass.meter.room(),
                watch,
                &mut *score,
            )?);
        }
        evaluation.check_decisions()?;
        // Where no row is left at all, the report says what has left them out.
        if damaged.is_empty() && groups.iter().any(|group| group.rows > 0) {
            first_pass.archive.check_filters()?;
        }
        let damaged =
            damaged.into_iter().map(|(file, reason)| (first_pass.archive.files()[file].shown.clone(), reason));
        let bad_files = first_pass.archive.bad_files().iter().cloned().chain(damaged).chain(evaluation.bad_files());
        let pooled = first_pass.archive.pooled_by_rows();
        let mut report = report(evaluation, first_pass.of_rows(), groups, bad_files.collect())?;
        report.remarks.splice(..0, pooled.iter().map(Pooled::describe));
        Ok(report)
    }
}

impl Plan {
    /// What takes memory once rows are counted.
    fn metric_memory(&self) -> MetricMemory {
        let Self { first_pass, evaluation } = self;
        evaluation.metric_memory(first_pass.scatter)
    }

    /// Whether there is memory for the numbers of groups whose rows are counted. First each state becomes class means, with
    /// all others beside it; then groups are measured, with the means and classifiers of all.
    fn check_memory(&self, groups: &[(Key, BlockedGroup)]) -> Result<()> {
        let Self { first_pass, evaluation } = self;
        let memory = self.metric_memory();
        let at_once = groups.len().min(evaluation.threads) as u64;
        let (mut means, mut all, mut measuring) = (0, 0, 0);
        for (_, group) in groups {
            let (classes, dim) = (group.all.state.class_sums().classes() as u64, group.all.state.dim() as u64);
            let replicate = if first_pass.blocking.is_some() { group.replicate_bytes(memory) } else { 0 };
            means = means.max(MetricMemory::default().held(classes, dim));
            all += memory.held(classes, dim);
            measuring = measuring.max(memory.measuring(classes, dim) + replicate);
        }
        first_pass.meter.check_more(at_once * means)?;
        let states = if first_pass.blocking.is_some() { first_pass.meter.grown() } else { 0 };
        first_pass.meter.check_all(states + all + at_once * measuring)
    }
}

/// A state that is complete, as numbers.
pub(super) fn group_evidence(
    group: BlockedGroup,
    dropped_classes: u64,
    key: Key,
    evaluation: &Evaluation,
) -> Result<GroupEvidence> {
    let replicate_bytes = group.replicate_bytes(evaluation.metric_memory(group.all.state.has_scatter()));
    let BlockedGroup { all: group, blocks } = group;
    Ok(GroupEvidence {
        statistics: group.state.statistics().map_err(|error| evaluation.locate(error, &key))?,
        blocks: evaluation.job.error_bars.as_ref().map(|_| GroupBlocks {
            total: group.state,
            parts: blocks,
            replicate_bytes,
        }),
        significand_bits: group.precisions.significand_bits(),
        key,
        head: None,
        headless: None,
        second_pass: None,
        skipped: group.skipped,
        dropped_classes,
    })
}

pub(super) fn report(
    evaluation: &Evaluation,
    of_rows: BTreeMap<&'static str, String>,
    mut groups: Vec<GroupReport>,
    bad_files: Vec<(String, String)>,
) -> Result<Report> {
    // Groups without rows are reported beside others; a run with nothing else has failed.
    if groups.iter().all(|group| group.rows == 0) {
        return Err(nothing_left(&groups));
    }
    groups.sort_by(|a, b| a.key.iter().map(|(_, value)| value).cmp(b.key.iter().map(|(_, value)| value)));
    let mut remarks = evaluation.heads.as_ref().map(Heads::afterthoughts).unwrap_or_default();
    remarks.extend(evaluation.told_left_out());
    Ok(Report {
        command: None,
        options: evaluation.job.options,
        settings: evaluation.settings(of_rows),
        remarks,
        class_names: evaluation.class_names(&groups),
        groups,
        bad_files,
    })
}

/// The error of a run that has no row to measure, with what was left out.
fn nothing_left(groups: &[GroupReport]) -> Error {
    let skipped = Skipped::of_all(groups.iter().map(|group| &group.skipped));
    let counts = [
        ("rows ignored", skipped.ignored, "--ignore-label"),
        ("rows of classes left out", skipped.filtered, "--min-count and --max-count"),
        ("rows with nulls", skipped.nulls, "--nulls"),
        ("rows not finite", skipped.not_finite(), "--nonfinite"),
    ];
    let counts: Vec<_> = counts.into_iter().filter(|(_, rows, _)| *rows > 0).collect();
    let error = counts
        .iter()
        .fold(Error::missing("no rows are left to measure"), |error, &(what, rows, _)| error.with(what, rows));
    let flags: Vec<&str> = counts.iter().map(|(_, _, flag)| *flag).collect();
    error.help(if flags.is_empty() {
        "there are none, or none that passes --where".to_owned()
    } else {
        format!("every row is left out by {}", flags.join(", "))
    })
}

/// Takes the rows that were judged.
pub type ScoreSink<'a> = &'a mut (dyn FnMut(&Scored<'_>) -> Result<()> + Send);
