//! Rows in memory, measured as they come.

use std::collections::BTreeSet;

use super::accumulator::Counted;
use super::{Accumulator, Finish, Job, Rounding, Task, Watch};
use crate::archive::Policy;
use crate::batch::{Features, Label, LabelKind};
use crate::error::{Error, Result};
use crate::metrics::Selection;
use crate::report::GroupReport;
use crate::state::State;
use crate::store::{Filters, GroupState, Groups, Ledger, LedgerEntry, Provenance, SourceFile, StateFile};

/// Measures rows that a program holds in memory, as they come, in batches of any size.
///
/// The state is the one that `nckit accumulate` makes of a file with these rows in this order in one row group, stored in
/// this type `T` (`f16`, `f32` or `f64`), so that the sizes of the batches change no bit. States of several processes are
/// added up with [`StateFile::merge`], and written and read with [`StateFile::write`] and [`StateFile::read`].
///
/// ```
/// let mut rows = nckit::Collapse::new(2);
/// rows.update(&[1.0_f32, 0.25, 0.5, -0.25], &[0, 0])?;
/// rows.update(&[0.25, 1.0, -0.25, 0.5], &[1, 1])?;
/// // Variances of 0.125, and a squared distance of 1.125 between the means.
/// assert_eq!(rows.measure()?.value("nc1_cdnv"), Some(0.125 / 1.125));
/// # Ok::<(), nckit::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Collapse<T = f32> {
    rows: Accumulator<State, T>,
    scatter: bool,
    rounding: Rounding,
}

/// The names of columns in states of rows that have none, as of arrays in files.
const FEATURE: &str = "feature";
const LABEL: &str = "label";

impl<T: Copy> Collapse<T>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    /// Begins with no rows of `dim` values, for all metrics.
    pub fn new(dim: usize) -> Self {
        Self::with(dim, &Selection::default(), Rounding::default())
    }

    /// Begins with no rows of `dim` values, for these metrics: the state is smaller if none of them needs the scatter matrix,
    /// `D × D`.
    pub fn with(dim: usize, selection: &Selection, rounding: Rounding) -> Self {
        let scatter = Task::needs_scatter(selection);
        Self { rows: Accumulator::adding_to(State::new(scatter), dim, rounding), scatter, rounding }
    }

    /// Adds rows: `features` is rows × D, row-major, and `labels` has the class of each row.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulator::update`].
    pub fn update<L: Clone + Into<Label>>(&mut self, features: &[T], labels: &[L]) -> Result<()> {
        self.rows.update(features, labels)
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.rows.dim()
    }

    /// `N`, the rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.rows()
    }

    /// The state of all rows so far, to be written, merged, subtracted or finished; more rows can be added here.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulator::state`].
    pub fn state(&mut self) -> Result<StateFile> {
        let significand_bits = self.rows.significand_bits();
        let Counted { rows, digest, .. } = self.rows.counted();
        let mut group = GroupState { state: self.rows.state()?, ..GroupState::default() };
        group.precisions.count(significand_bits, rows)?;
        let (mut ledger, mut groups) = (Ledger::default(), Groups::new());
        if rows > 0 {
            // Rows that are equal, and come in one order, are the same rows, wherever they are counted.
            let bytes = rows * self.rows.dim() as u64 * size_of::<T>() as u64;
            let source = SourceFile { name: "memory".to_owned(), size: bytes, footer_hash: digest };
            ledger.insert(&source, 0, LedgerEntry { used: rows, skipped: 0, digest })?;
            groups.insert(Vec::new(), group.encode()?);
        }
        Ok(StateFile { provenance: self.provenance(), ledger, groups, unfinished: None })
    }

    /// The metrics of all rows so far, those that need neither a classifier nor further rows.
    ///
    /// # Errors
    ///
    /// Those of [`measure_as`](Self::measure_as).
    pub fn measure(&mut self) -> Result<GroupReport> {
        self.measure_as(Job::new::<&str>([]))
    }

    /// What a job makes of all rows so far: its metrics, classifier, conventions and further rows count, and not its inputs.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) without rows; those of [`Finish::new`] and [`Finish::run`].
    pub fn measure_as(&mut self, job: Job) -> Result<GroupReport> {
        let mut report = Finish::new(job, self.state()?)?.run(&Watch::default())?;
        report.groups.pop().ok_or_else(|| Error::missing("no rows are left to measure"))
    }

    fn provenance(&self) -> Provenance {
        Provenance {
            group_by: Vec::new(),
            features: FEATURE.to_owned(),
            dtype: None,
            labels: Some(LABEL.to_owned()),
            label_kind: self.rows.classes().first().map_or(LabelKind::Int, Label::kind),
            ignore_label: None,
            normalize: false,
            blocks: None,
            scatter: self.scatter,
            filters: BTreeSet::from([Filters::default()]),
            exponents: BTreeSet::from([self.rounding.exponent]),
            extra_bits: BTreeSet::from([self.rounding.extra_bits]),
            nulls: BTreeSet::from([Policy::Fail]),
            nonfinite: BTreeSet::from([Policy::Fail]),
        }
    }
}
