//! A job becomes a plan, a plan runs, a run gives a report.
//!
//! The first read makes a state of every group; a second one, of the same rows or others, is made only for metrics that
//! need means or classifier beside each row. Groups are taken in waves that fit into memory, and a wave's states are
//! gone before the next begins.

mod accumulate;
mod bench;
mod estimate;
mod plan;
mod scan;
mod second;
mod waves;

use rayon::prelude::*;

pub use accumulate::Rounding;
pub use bench::{Bench, Stage, bench};
pub use plan::{Plan, Summary};
pub use scan::Watch;

use crate::archive::{HeadSource, Key, Request};
use crate::error::{Error, Result};
use crate::metrics::{Evidence, Extras, Options, Selection, measure};
use crate::report::{Group, Report, Scored};
use crate::state::{ClassSums, Scatter, Statistics};
use accumulate::{Gathered, Present, accumulate, ood_means};

/// What is to be measured, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// Files, directories and globs.
    pub inputs: Vec<String>,
    /// Which columns, groups and rows of them.
    pub request: Request,
    /// The classifier, one for all groups or one for each.
    pub head: Option<HeadSource>,
    /// Whether heads are stored dimension × class.
    pub head_transposed: bool,
    /// The rows of NC4 and the in-distribution rows of NECO; the group's own when `None`.
    pub decisions: Option<Source>,
    /// The out-of-distribution rows of NC5.
    pub ood: Option<Source>,
    /// Which metrics.
    pub selection: Selection,
    /// Their conventions.
    pub options: Options,
    /// What else.
    pub extras: Extras,
    /// The grid.
    pub rounding: Rounding,
    /// Whether every row of the decisions and every out-of-distribution row is to be scored.
    pub scores: bool,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Bytes that the run may use.
    pub memory: u64,
}

/// Further rows, `PATH[?key=value&…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// File, directory or glob.
    pub path: String,
    /// `(key, value)`, as in [`Request::filters`].
    pub filters: Vec<(String, String)>,
}

impl Source {
    /// Parses `PATH[?key=value&…]`; a `?` that a `key=value` does not follow belongs to a glob.
    pub fn parse(text: &str) -> Self {
        let split = text.rsplit_once('?').and_then(|(path, query)| {
            let filters: Option<Vec<_>> = query
                .split('&')
                .map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
                .collect();
            filters.map(|filters| Self { path: path.to_owned(), filters })
        });
        split.unwrap_or_else(|| Self { path: text.to_owned(), filters: Vec::new() })
    }
}

impl Plan {
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
        if self.needs.scatter {
            self.run_with::<Scatter>(watch, score)
        } else {
            self.run_with::<ClassSums>(watch, score)
        }
    }

    fn run_with<S: Present>(&self, watch: &Watch, score: Score<'_>) -> Result<Report> {
        let (sound, damaged) = self.sound_units();
        let waves = self.waves.iter().map(|wave| wave.iter().copied().filter(|&unit| sound[unit]).collect::<Vec<_>>());
        let kept = self.count_classes(&sound, watch)?;
        let ood_means = ood_means(self, watch)?;
        let mut groups = Vec::new();
        for wave in waves {
            let gathered = accumulate::<S>(self, &wave, kept.as_ref(), watch)?;
            let mut finished: Vec<Finished> = gathered
                .into_par_iter()
                .filter(|(_, gathered)| gathered.dim > 0)
                .map(|(key, gathered)| self.finish(key, gathered))
                .collect::<Vec<Result<Finished>>>()
                .into_iter()
                .collect::<Result<_>>()?;
            self.second_read(&wave, &mut finished, watch, score)?;
            let ood_mean = |key: &Key| self.ood.as_ref().and_then(|rows| ood_means.get(&rows.key_of(key)));
            let measured: Vec<Result<Group>> = finished
                .into_par_iter()
                .map(|group| {
                    let dropped = kept.as_ref().map_or(0, |kept| kept.dropped(&group.key));
                    self.measure(&group, ood_mean(&group.key).map(Vec::as_slice), dropped)
                })
                .collect();
            for group in measured {
                groups.push(group?);
            }
        }
        if groups.is_empty() {
            return Err(
                Error::missing("no rows are left to measure").help("loosen --where, --ignore-label or the counts")
            );
        }
        groups.sort_by(|a, b| a.key.iter().map(|(_, value)| value).cmp(b.key.iter().map(|(_, value)| value)));
        Ok(Report {
            options: self.job.options,
            settings: self.settings(),
            groups,
            bad_files: self.archive.bad_files().iter().cloned().chain(damaged).collect(),
        })
    }

    fn finish<S: Present>(&self, key: Key, gathered: Gathered<S>) -> Result<Finished> {
        let statistics = gathered.state.statistics().map_err(|error| self.locate(error, &key))?;
        let head = match self.read_head(&key)? {
            Some(head) => {
                let head = head.for_classes(&statistics.labels, statistics.dim);
                Some(head.map_err(|error| self.locate(error, &key))?)
            }
            None => None,
        };
        Ok(Finished {
            key,
            statistics,
            head,
            findings: None,
            skipped: gathered.skipped,
            significand_bits: gathered.significand_bits,
        })
    }

    fn measure(&self, group: &Finished, ood_mean: Option<&[f64]>, dropped_classes: u64) -> Result<Group> {
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
            dropped_classes,
        };
        let measurements = measure(&evidence, &self.job.options, &self.job.selection, self.job.extras)
            .map_err(|error| self.locate(error, &group.key))?;
        Ok(Group {
            key: self.named(&group.key),
            rows: group.statistics.rows(),
            dim: group.statistics.dim,
            significand_bits: group.significand_bits,
            dropped_classes,
            skipped: group.skipped.clone(),
            measurements,
        })
    }

    /// Says which group an error is about.
    fn locate(&self, error: Error, key: &Key) -> Error {
        self.named(key).into_iter().fold(error, |error, (name, value)| error.with("group", format!("{name}={value}")))
    }
}

/// Takes the rows that were judged.
pub type Score<'a> = &'a mut (dyn FnMut(&Scored<'_>) -> Result<()> + Send);

/// A group after the first read.
struct Finished {
    key: Key,
    statistics: Statistics,
    head: Option<crate::state::Head>,
    findings: Option<crate::state::Findings>,
    skipped: crate::archive::Skipped,
    significand_bits: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_with_filters() {
        let filters = vec![("split".to_owned(), "test".to_owned()), ("epoch".to_owned(), "3".to_owned())];
        assert_eq!(Source::parse("a/b?split=test&epoch=3"), Source { path: "a/b".to_owned(), filters });
        assert_eq!(Source::parse("part-?.parquet"), Source { path: "part-?.parquet".to_owned(), filters: vec![] });
    }
}
