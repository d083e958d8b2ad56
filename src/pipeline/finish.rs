//! States that were kept become numbers: no row of theirs is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::error_bars::BlockedGroup;
use super::evaluate::{Evaluation, GroupEvidence};
use super::first_pass::{self, dealt_block, ood_means};
use super::heads::{Candidate, HeadSummary, Labels, parts_by_width};
use super::plan::{group_evidence, report};
use super::provenance::{self, of_rows, rounding_note};
use super::{ErrorBars, Job, Rounding, ScoreSink, Watch};
use crate::archive::{Archive, Key, Pooled, Spellings, escaped, pooled, pooled_summary};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::report::{Given, Report};
use crate::store::{EncodedGroup, Filters, GroupState, Provenance, StateFile};

/// A job whose states are there.
#[derive(Debug)]
pub struct Finish {
    evaluation: Evaluation,
    states: StateFile,
    /// Where in the key of a state its block stands, if it does not belong to the group.
    block_at: Option<usize>,
    /// Whether the memory that metrics need is checked.
    within_memory: bool,
}

impl Finish {
    /// Opens what a job reads beside its states. The inputs of the job mean nothing here, and columns, keys, rounding and
    /// what is left out of further rows are those of the states.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for a state that is not finished; those of opening further rows and heads.
    pub fn new(mut job: Job, states: StateFile) -> Result<Self> {
        let provenance = &states.provenance;
        job.request = provenance::request(provenance, job.request);
        job.request.filters = filters(provenance);
        job.request.group_by.clone_from(&provenance.group_by);
        let block_at = settle_blocks(&mut job, provenance)?;
        job.rounding = Rounding::beside(provenance);
        let rounding_note = job.ood.as_ref().and_then(|_| rounding_note(provenance));
        let mut evaluation = Evaluation::new(job, false, None)?;
        evaluation.notes.extend(rounding_note);
        let mut finish = Self { evaluation, states, block_at, within_memory: false };
        let kind = finish.label_kind();
        finish.evaluation.check_kind(kind)?;
        let job = &finish.evaluation.job;
        if let Some(source) = &job.head {
            let every = job.head_rules.ranks() || parts_by_width(source, &job.head_rules, &job.request.group_by);
            let (groups, labels) = finish.survey(every)?;
            let files = finish.states.ledger.files().map(|(source, _)| source.name.as_str());
            let spellings = Spellings::of_paths(files);
            finish.evaluation.settle_heads(&groups, labels, &spellings)?;
        }
        Ok(finish)
    }

    /// Refuses groups whose metrics need more memory than the job may use. Without it each group is measured whatever it takes,
    /// one after the other if they must.
    #[must_use]
    pub fn within_memory(self) -> Self {
        Self { within_memory: true, ..self }
    }

    /// The groups and the labels of the first of them, or `D` and labels of every one.
    fn survey(&self, every: bool) -> Result<(Vec<Candidate>, Labels)> {
        let (mut groups, mut labels) = (Vec::new(), Labels::of(self.label_kind()));
        for (group, states) in self.groups() {
            let mut dim = None;
            let is_first = groups.is_empty();
            for (key, state) in states.into_iter().filter(|(_, state)| state.rows() > 0) {
                if every || is_first {
                    let state = self.decode(key, state)?.state;
                    let found = state.class_sums().labels().iter().cloned().collect();
                    labels.add(is_first.then(|| group.clone()), found);
                    dim = Some(state.dim());
                } else {
                    dim = dim.or(Some(0));
                }
            }
            // A group without rows has no head.
            if dim.is_some() {
                groups.push(Candidate { key: group, dim: dim.filter(|&dim| dim > 0) });
            }
        }
        Ok((groups, labels))
    }

    /// The states of each group: those of its blocks, if there are some.
    fn groups(&self) -> BTreeMap<Key, Vec<(&Key, &EncodedGroup)>> {
        let mut groups: BTreeMap<Key, Vec<_>> = BTreeMap::new();
        for (key, state) in &self.states.groups {
            groups.entry(self.group_of(key)).or_default().push((key, state));
        }
        groups
    }

    fn group_of(&self, key: &Key) -> Key {
        let mut group = key.clone();
        // The number of a block that nobody asked for comes last.
        group.truncate(self.states.provenance.group_by.len());
        if let Some(at) = self.block_at.filter(|&at| at < group.len()) {
            group.remove(at);
        }
        group
    }

    fn decode(&self, key: &Key, group: &EncodedGroup) -> Result<GroupState> {
        group.decode(self.states.provenance.scatter).map_err(|error| self.evaluation.locate(error, key))
    }

    /// All rows of a group, and its blocks if error bars are asked for.
    fn blocked(&self, group: &Key, states: &[(&Key, &EncodedGroup)]) -> Result<BlockedGroup> {
        let [(key, state)] = states else { return self.merged(group, states) };
        match self.block_at {
            Some(_) => self.merged(group, states),
            None => Ok(BlockedGroup { all: self.decode(key, state)?, blocks: Vec::new() }),
        }
    }

    fn merged(&self, group: &Key, states: &[(&Key, &EncodedGroup)]) -> Result<BlockedGroup> {
        let dealt =
            self.evaluation.job.error_bars.as_ref().filter(|bars| bars.block_by.is_some()).and_then(|bars| bars.blocks);
        let is_dealt_key = self.block_at.is_some_and(|at| at < self.states.provenance.group_by.len());
        let mut blocks: BTreeMap<Label, GroupState> = BTreeMap::new();
        for (key, state) in states {
            let block = match self.block_at {
                None => Label::Int(0),
                Some(at) => match dealt.filter(|_| is_dealt_key) {
                    Some(blocks) => dealt_block(&key[at], blocks),
                    None => key[at].clone(),
                },
            };
            let state = self.decode(key, state)?;
            match blocks.get_mut(&block) {
                Some(known) => {
                    first_pass::merge(known, &state).map_err(|error| self.evaluation.locate(error, group))?;
                }
                None => {
                    blocks.insert(block, state);
                }
            }
        }
        let mut all = BlockedGroup::default();
        for (block, state) in blocks {
            all.add(block, state).map_err(|error| self.evaluation.locate(error, group))?;
        }
        Ok(all)
    }

    /// What has worked on rows, once some were read; with the reason where the program chose it.
    pub fn device(&self) -> Option<&str> {
        self.evaluation.device.get().map(Device::name)
    }

    /// How the device has failed whose work the CPU did.
    pub fn device_failures(&self) -> Vec<&str> {
        self.evaluation.device.get().and_then(Device::failure).into_iter().collect()
    }

    /// What is known of the heads, if there are any.
    pub fn heads(&self) -> Option<HeadSummary> {
        self.evaluation.head_summary()
    }

    /// What the states' files differ in within their groups.
    fn pooled(&self) -> Vec<Pooled> {
        let names = self.states.ledger.files().map(|(source, _)| source.name.as_str()).collect();
        let filters = filters(&self.states.provenance);
        let provenance = &self.states.provenance;
        let block = provenance.blocks.as_ref().and_then(|dealing| dealing.key.clone());
        let keys: Vec<String> = provenance.group_by.iter().cloned().chain(block).collect();
        pooled(&names, &keys, &filters.iter().map(|(key, _)| key.as_str()).collect())
    }

    /// What the user should know before rows are read.
    pub fn notes(&self) -> Vec<String> {
        let pooled = self.pooled();
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

    /// The keys of the groups that have rows.
    pub fn keys(&self) -> Vec<Key> {
        let with_rows = self.states.groups.iter().filter(|(_, group)| group.rows() > 0);
        let keys: BTreeSet<Key> = with_rows.map(|(key, _)| self.group_of(key)).collect();
        keys.into_iter().collect()
    }

    /// What there is beside the states.
    pub fn given(&self) -> Given {
        self.evaluation.given(false)
    }

    /// Bytes of further rows that will be read.
    pub fn bytes(&self) -> u64 {
        self.evaluation.bytes()
    }

    /// The files that are read beside the states.
    pub fn inputs(&self) -> Vec<PathBuf> {
        self.evaluation.inputs()
    }

    /// The type of the labels.
    pub fn label_kind(&self) -> LabelKind {
        self.states.provenance.label_kind
    }

    /// Measures every group.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) if there is no row; [`Data`](crate::error::ErrorKind::Data) for states
    /// that contradict themselves.
    pub fn run(&self, watch: &Watch) -> Result<Report> {
        self.run_scored(watch, &mut |_| Ok(()))
    }

    /// The same; `score` gets the rows of a job that asks for [`scores`](Job::scores).
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run) and of `score`.
    pub fn run_scored(&self, watch: &Watch, score: ScoreSink<'_>) -> Result<Report> {
        let Self { evaluation, states, .. } = self;
        evaluation.look_through(watch)?;
        let ood_means = ood_means(evaluation, watch)?;
        let with_rows = states.groups.iter().filter(|(_, group)| group.rows() > 0).map(|(key, _)| key);
        evaluation.settle_figures(&with_rows.collect::<Vec<_>>());
        let mut groups = Vec::new();
        for batch in self.group_batches() {
            watch.check()?;
            let numbers = |(key, states): (Key, Vec<(&Key, &EncodedGroup)>)| -> Result<GroupEvidence> {
                let group = self.blocked(&key, &states)?;
                self.check_memory(&group.all).map_err(|error| evaluation.locate(error, &key))?;
                group_evidence(group, 0, key, evaluation).map(|group| self.leave_out(group))
            };
            let batch: Vec<Result<GroupEvidence>> = batch.into_par_iter().map(numbers).collect();
            let batch: Vec<GroupEvidence> = batch.into_iter().collect::<Result<_>>()?;
            groups.extend(evaluation.evaluate(
                batch,
                None,
                &ood_means,
                evaluation.job.memory / 2,
                watch,
                &mut *score,
            )?);
        }
        evaluation.check_decisions()?;
        let provenance = Provenance { group_by: evaluation.job.request.group_by.clone(), ..states.provenance.clone() };
        let of_rows = of_rows(&provenance, pooled_summary(&self.pooled()));
        let left_out = states.ledger.left_out().map(|name| (name.to_owned(), "damaged when it was read".to_owned()));
        let left_out = left_out.chain(evaluation.bad_files()).collect();
        report(evaluation, of_rows, groups, left_out).map_err(|error| match error.advice() {
            // Filters are those of the rows that were counted.
            Some(advice) if advice.contains("--where") => {
                error.help("the state holds no row: accumulate counts some into it")
            }
            _ => error,
        })
    }

    /// Fails if the metrics of a group need more memory than the run may use.
    fn check_memory(&self, group: &GroupState) -> Result<()> {
        let state = &group.state;
        let memory = self.evaluation.metric_memory(self.states.provenance.scatter);
        let (classes, dim) = (state.class_sums().classes() as u64, state.dim() as u64);
        let needed = memory.held(classes, dim) + memory.measuring(classes, dim);
        let allowed = self.evaluation.job.memory;
        if needed <= allowed || !self.within_memory {
            return Ok(());
        }
        Err(Error::resource("the metrics need more memory than the run may use")
            .with("needed", format!("{needed} bytes"))
            .with("allowed", format!("{allowed} bytes"))
            .help(format!("--memory {}MiB, or a state without a D × D matrix", needed.div_ceil(1 << 20))))
    }

    /// Leaves out the classes under `--min-count` and over `--max-count`, and counts them with their rows.
    fn leave_out(&self, mut group: GroupEvidence) -> GroupEvidence {
        let rows = group.statistics.rows();
        let (statistics, dropped_classes) = self.evaluation.job.options.select_classes(group.statistics);
        group.skipped.filtered += rows - statistics.rows();
        GroupEvidence { statistics, dropped_classes, ..group }
    }

    /// Groups whose numbers fit into half of the memory, together.
    fn group_batches(&self) -> Vec<Vec<GroupStates<'_>>> {
        let budget = self.evaluation.job.memory / 2;
        let mut group_batches: Vec<Vec<_>> = Vec::new();
        let mut open = 0;
        for (key, states) in self.groups() {
            // Integers and their numbers are some four times the encoded bytes each.
            let bytes = states.iter().map(|(_, state)| 8 * state.bytes() as u64).sum::<u64>();
            match group_batches.last_mut() {
                Some(batch) if open + bytes <= budget => batch.push((key, states)),
                _ => {
                    group_batches.push(vec![(key, states)]);
                    open = 0;
                }
            }
            open += bytes;
        }
        group_batches
    }
}

/// A group, and the states that make it.
type GroupStates<'a> = (Key, Vec<(&'a Key, &'a EncodedGroup)>);

/// Settles which value of a state's key is its block, and takes it out of the keys of the groups; `None` if none is asked
/// for.
fn settle_blocks(job: &mut Job, provenance: &Provenance) -> Result<Option<usize>> {
    let Some(bars) = &mut job.error_bars else { return Ok(None) };
    if let Some(key) = &bars.block_by
        && let Some(at) = provenance.group_by.iter().position(|name| name == key)
    {
        job.request.group_by.remove(at);
        return Ok(Some(at));
    }
    let keys = || match provenance.group_by.as_slice() {
        [] => "none".to_owned(),
        keys => escaped(&keys.join(", ")),
    };
    let kept = provenance.blocks.as_ref();
    match kept {
        Some(kept)
            if bars.blocks.is_none_or(|blocks| blocks == kept.blocks)
                && (bars.block_by.is_none() || bars.block_by == kept.key) =>
        {
            *bars = ErrorBars { blocks: Some(kept.blocks), block_by: kept.key.clone() };
            Ok(Some(provenance.group_by.len()))
        }
        Some(kept) if bars.block_by.is_none() => Err(Error::usage("the state has other blocks")
            .with("blocks", kept)
            .help(format!("--error-bars jackknife:{}", kept.blocks))),
        _ => match &bars.block_by {
            Some(key) => Err(Error::usage("the states have no such key to block by")
                .with("key", escaped(key))
                .with("keys", keys())
                .help("add it to --group-by of accumulate, or leave --block-by out if the state has blocks")),
            None => Err(Error::usage("the state has no blocks").with("keys", keys()).help(
                "count it with accumulate --error-bars jackknife, or choose one of its keys with --block-by KEY",
            )),
        },
    }
}

/// The filters under which rows were counted; several states may have had several.
fn filters(provenance: &Provenance) -> Vec<(String, String)> {
    let pairs: BTreeSet<_> = provenance.filters.iter().flat_map(Filters::pairs).cloned().collect();
    pairs.into_iter().collect()
}
