//! From states to numbers: the classifier, further rows, the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rayon::prelude::*;

use super::plan::{self, bytes};
use super::scan::Watch;
use super::{Job, Score, Source};
use crate::archive::{Archive, Key, Request, Skipped, StoredHead};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::{Evidence, Needs, measure};
use crate::report::Group;
use crate::state::{Findings, Head, Statistics};

/// How states are presented, with further rows open.
#[derive(Debug)]
pub(super) struct Presentation {
    pub(super) job: Job,
    pub(super) decisions: Option<Rows>,
    pub(super) ood: Option<Rows>,
    pub(super) needs: Needs,
    pub(super) threads: usize,
}

/// Further rows, matched to the groups on the keys that they have.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) archive: Archive,
    /// Which of the job's `group_by` keys these rows have.
    positions: Vec<usize>,
}

impl Rows {
    fn open(source: &Source, request: &Request, labels_optional: bool) -> Result<Self> {
        let request =
            Request { filters: source.filters.clone(), labels_optional, keys_optional: true, ..request.clone() };
        let archive = Archive::open(std::slice::from_ref(&source.path), &request)?;
        let position = |key| request.group_by.iter().position(|known| known == key);
        let positions = archive.keys().iter().filter_map(position).collect();
        Ok(Self { archive, positions })
    }

    /// The key under which these rows serve a group.
    pub(super) fn key_of(&self, group: &Key) -> Key {
        self.positions.iter().map(|&at| group[at].clone()).collect()
    }
}

/// The rows that states were made of, where they can be read again, and which units of them.
pub(super) type Own<'a> = Option<(&'a Archive, &'a [usize])>;

/// A group after the first read.
pub(super) struct Finished {
    pub(super) key: Key,
    pub(super) statistics: Statistics,
    pub(super) head: Option<Head>,
    pub(super) findings: Option<Findings>,
    pub(super) skipped: Skipped,
    pub(super) significand_bits: u32,
    /// Classes left out before anything was pooled.
    pub(super) dropped_classes: u64,
}

impl Presentation {
    /// Opens what is read beside states; `own` says whether the rows that the states are made of can be read again.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::open`]; [`Usage`](crate::error::ErrorKind::Usage) for a head whose path names a key that makes
    /// no groups, or scores of no rows.
    pub(super) fn new(job: Job, own: bool) -> Result<Self> {
        let open = |source: &Option<Source>, labels_optional| {
            source.as_ref().map(|source| Rows::open(source, &job.request, labels_optional)).transpose()
        };
        let (decisions, ood) = (open(&job.decisions, false)?, open(&job.ood, true)?);
        // Without other rows to decide, the group's own are read again.
        let decided = own || decisions.is_some();
        let mut needs = job.selection.needs(job.head.is_some(), ood.is_some(), decided, job.extras, &job.options);
        if job.scores {
            if !decided {
                return Err(Error::usage("there are no rows to score").help("--decisions INPUT"));
            }
            needs.decisions = true;
            needs.neco |= ood.is_some() && (job.head.is_some() || !job.options.neco_max_logit);
            needs.scatter |= needs.neco;
        }
        needs.directional &= own;
        needs.hug_intra &= own;
        let threads = job.threads.max(1);
        let presentation = Self { job, decisions, ood, needs, threads };
        presentation.check_head_keys()?;
        Ok(presentation)
    }

    pub(super) fn named(&self, key: &Key) -> Vec<(String, Label)> {
        plan::named(&self.job.request.group_by, key)
    }

    /// Says which group an error is about.
    pub(super) fn locate(&self, error: Error, key: &Key) -> Error {
        plan::locate(error, &self.job.request.group_by, key)
    }

    /// Whether some metric needs to see rows beside means or classifier.
    pub(super) fn reads_again(&self) -> bool {
        self.reads_own() || self.needs.decisions || self.needs.neco
    }

    /// Whether some metric needs to see a group's own rows again, whatever the decisions are made on.
    pub(super) fn reads_own(&self) -> bool {
        self.needs.directional || self.needs.hug_intra
    }

    /// Bytes of further rows, as stored, over all passes.
    pub(super) fn bytes(&self) -> u64 {
        let judged = self.needs.decisions || self.needs.neco;
        let decisions = self.decisions.as_ref().filter(|_| judged).map_or(0, |rows| bytes(&rows.archive));
        let ood = self.ood.as_ref().map_or(0, |rows| bytes(&rows.archive) * (1 + u64::from(self.needs.neco)));
        decisions + ood
    }

    /// The classifier of a group as stored.
    fn read_head(&self, key: &Key) -> Result<Option<StoredHead>> {
        let Some(source) = &self.job.head else { return Ok(None) };
        StoredHead::read(&source.fill(&self.named(key))?, self.job.head_transposed).map(Some)
    }

    fn check_head_keys(&self) -> Result<()> {
        let Some(source) = &self.job.head else { return Ok(()) };
        match source.keys().iter().find(|key| !self.job.request.group_by.iter().any(|by| by == *key)) {
            Some(unknown) => Err(Error::usage("the head's path names a key that makes no groups")
                .with("key", unknown)
                .help(format!("add it: --group-by {unknown}"))),
            None => Ok(()),
        }
    }

    /// Finds a missing head before the first row is read.
    pub(super) fn check_heads(&self, groups: &[Key]) -> Result<()> {
        let Some(source) = &self.job.head else { return Ok(()) };
        groups.iter().try_for_each(|key| source.fill(&self.named(key))?.check_exists())
    }

    /// The files that are read beside states, for these groups.
    pub(super) fn inputs(&self, groups: &[Key]) -> Vec<PathBuf> {
        let rows = self.decisions.iter().chain(&self.ood).flat_map(|rows| rows.archive.files());
        let keys = std::iter::once(Vec::new()).chain(groups.iter().map(|key| self.named(key)));
        let heads = self.job.head.iter().flat_map(|source| keys.clone().filter_map(|key| source.fill(&key).ok()));
        let heads = heads.flat_map(|head| std::iter::once(head.weights).chain(head.bias));
        rows.map(|file| file.path.clone()).chain(heads).collect()
    }

    /// How many heads serve these groups.
    pub(super) fn heads(&self, groups: &[Key]) -> Option<usize> {
        self.job.head.as_ref().map(|source| {
            let fill = |key: &Key| source.fill(&self.named(key)).ok().map(|path| path.to_string());
            groups.iter().filter_map(fill).collect::<BTreeSet<_>>().len().max(1)
        })
    }

    /// What the records say of the run besides the metrics' own conventions; `of_rows` says what the states are of.
    pub(super) fn settings(&self, of_rows: BTreeMap<&'static str, String>) -> BTreeMap<&'static str, String> {
        let job = &self.job;
        let source = |source: &Source| match source.filters.as_slice() {
            [] => source.path.clone(),
            filters => {
                let pairs: Vec<String> = filters.iter().map(|(key, value)| format!("{key}={value}")).collect();
                format!("{}?{}", source.path, pairs.join("&"))
            }
        };
        let mut settings = of_rows;
        settings.insert("head", job.head.as_ref().map_or(String::new(), ToString::to_string));
        settings.insert("decisions", job.decisions.as_ref().map_or(String::new(), source));
        settings.insert("ood", job.ood.as_ref().map_or(String::new(), source));
        settings.retain(|_, value| !value.is_empty());
        settings
    }

    /// The numbers of groups whose states are complete, in the order given.
    pub(super) fn present(
        &self,
        mut groups: Vec<Finished>,
        own: Own<'_>,
        ood_means: &BTreeMap<Key, Vec<f64>>,
        watch: &Watch,
        score: Score<'_>,
    ) -> Result<Vec<Group>> {
        for group in &mut groups {
            group.head = match self.read_head(&group.key)? {
                Some(head) => {
                    let head = head.for_classes(&group.statistics.labels, group.statistics.dim);
                    Some(head.map_err(|error| self.locate(error, &group.key))?)
                }
                None => None,
            };
        }
        self.second_read(own, &mut groups, watch, score)?;
        let ood_mean = |key: &Key| self.ood.as_ref().and_then(|rows| ood_means.get(&rows.key_of(key)));
        let measured: Vec<Result<Group>> =
            groups.into_par_iter().map(|group| self.measure(&group, ood_mean(&group.key).map(Vec::as_slice))).collect();
        measured.into_iter().collect()
    }

    fn measure(&self, group: &Finished, ood_mean: Option<&[f64]>) -> Result<Group> {
        if let Some(mean) = ood_mean
            && mean.len() != group.statistics.dim
        {
            let error = Error::data("the out-of-distribution rows have another length")
                .with("expected", group.statistics.dim)
                .with("found", mean.len());
            return Err(self.locate(error, &group.key));
        }
        let evidence = Evidence {
            statistics: &group.statistics,
            significand_bits: group.significand_bits,
            head: group.head.as_ref(),
            findings: group.findings.as_ref(),
            ood_mean,
            dropped_classes: group.dropped_classes,
        };
        let measurements = measure(&evidence, &self.job.options, &self.job.selection, self.job.extras)
            .map_err(|error| self.locate(error, &group.key))?;
        Ok(Group {
            key: self.named(&group.key),
            rows: group.statistics.rows(),
            dim: group.statistics.dim,
            significand_bits: group.significand_bits,
            dropped_classes: group.dropped_classes,
            skipped: group.skipped.clone(),
            measurements,
        })
    }
}
