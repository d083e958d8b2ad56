//! States that were kept become numbers: no row of theirs is read again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rayon::prelude::*;

use super::evaluate::{Evaluation, GroupEvidence};
use super::first_pass::ood_means;
use super::heads::{Candidate, HeadSummary, Labels, parts_by_width};
use super::plan::{group_evidence, report};
use super::provenance::{self, of_rows, rounding_note};
use super::{Job, Rounding, ScoreSink, Watch};
use crate::archive::{Key, Pooled, Spellings, pooled, pooled_summary};
use crate::batch::LabelKind;
use crate::error::Result;
use crate::kernels::Device;
use crate::report::Report;
use crate::store::{EncodedGroup, Filters, GroupState, Provenance, StateFile};

/// A job whose states are there.
#[derive(Debug)]
pub struct Finish {
    evaluation: Evaluation,
    states: StateFile,
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
        job.rounding = Rounding::beside(provenance);
        let rounding_note = job.ood.as_ref().and_then(|_| rounding_note(provenance));
        let mut evaluation = Evaluation::new(job, false, None)?;
        evaluation.notes.extend(rounding_note);
        let mut finish = Self { evaluation, states };
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

    /// The groups and the labels of the first of them, or `D` and labels of every one.
    fn survey(&self, every: bool) -> Result<(Vec<Candidate>, Labels)> {
        let (mut groups, mut labels) = (Vec::new(), Labels::of(self.label_kind()));
        for (key, group) in self.states.groups.iter().filter(|(_, group)| group.rows() > 0) {
            let mut dim = None;
            if every || groups.is_empty() {
                let state = self.decode(key, group)?.state;
                let found = state.class_sums().labels().iter().cloned().collect();
                labels.add(groups.is_empty().then(|| key.clone()), found);
                dim = Some(state.dim());
            }
            groups.push(Candidate { key: key.clone(), dim });
        }
        Ok((groups, labels))
    }

    fn decode(&self, key: &Key, group: &EncodedGroup) -> Result<GroupState> {
        group.decode(self.states.provenance.scatter).map_err(|error| self.evaluation.locate(error, key))
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
        pooled(&names, &self.states.provenance.group_by, &filters.iter().map(|(key, _)| key.as_str()).collect())
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
        let Self { evaluation, states } = self;
        let ood_means = ood_means(evaluation, watch)?;
        let with_rows = states.groups.iter().filter(|(_, group)| group.rows() > 0).map(|(key, _)| key);
        evaluation.settle_figures(&with_rows.collect::<Vec<_>>());
        let mut groups = Vec::new();
        for batch in self.group_batches() {
            watch.check()?;
            let numbers = |&(key, group): &(&Key, &EncodedGroup)| -> Result<GroupEvidence> {
                group_evidence(self.decode(key, group)?, 0, key.clone(), evaluation).map(|group| self.leave_out(group))
            };
            let batch: Vec<Result<GroupEvidence>> = batch.par_iter().map(numbers).collect();
            let batch: Vec<GroupEvidence> = batch.into_iter().collect::<Result<_>>()?;
            groups.extend(evaluation.evaluate(batch, None, &ood_means, watch, &mut *score)?);
        }
        let of_rows = of_rows(&states.provenance, pooled_summary(&self.pooled()));
        let left_out = states.ledger.left_out().map(|name| (name.to_owned(), "damaged when it was read".to_owned()));
        report(evaluation, of_rows, groups, left_out.collect())
    }

    /// Leaves out the classes under `--min-count` and over `--max-count`, and counts them with their rows.
    fn leave_out(&self, mut group: GroupEvidence) -> GroupEvidence {
        let rows = group.statistics.rows();
        let (statistics, dropped_classes) = self.evaluation.job.options.select_classes(group.statistics);
        group.skipped.filtered += rows - statistics.rows();
        GroupEvidence { statistics, dropped_classes, ..group }
    }

    /// Groups whose numbers fit into half of the memory, together.
    fn group_batches(&self) -> Vec<Vec<(&Key, &EncodedGroup)>> {
        let budget = self.evaluation.job.memory / 2;
        let mut group_batches: Vec<Vec<_>> = Vec::new();
        let mut open = 0;
        for (key, group) in &self.states.groups {
            // Integers and their numbers are some four times the encoded bytes each.
            let bytes = 8 * group.bytes() as u64;
            match group_batches.last_mut() {
                Some(batch) if open + bytes <= budget => batch.push((key, group)),
                _ => {
                    group_batches.push(vec![(key, group)]);
                    open = 0;
                }
            }
            open += bytes;
        }
        group_batches
    }
}

/// The filters under which rows were counted; several states may have had several.
fn filters(provenance: &Provenance) -> Vec<(String, String)> {
    let pairs: BTreeSet<_> = provenance.filters.iter().flat_map(Filters::pairs).cloned().collect();
    pairs.into_iter().collect()
}
