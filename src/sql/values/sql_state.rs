//! What SQL calls a state: a state of the `state` room, and what else a metric wants to know of the rows.

use crate::error::{Error, Result};
use crate::state::{ClassSums, Merge, Scatter, State};

/// A mergeable summary of labelled rows.
#[derive(Clone, Debug, Default)]
pub(in crate::sql) struct SqlState {
    /// The rows used.
    pub(in crate::sql) state: State,
    /// Significand bits of the features: 11, 24 or 53; 0 before the first row.
    pub(in crate::sql) significand_bits: u32,
    /// Whether some rows were rounded on a grid that their batch made, so that the last bits depend on batches.
    pub(in crate::sql) own_grid: bool,
    /// Whether rows were divided by their length, under `nc.normalize`.
    pub(in crate::sql) normalized: bool,
    /// Rows left out for a null, under `nc.nulls = 'skip'`.
    pub(in crate::sql) skipped_nulls: u64,
    /// Rows left out for a NaN or an infinity, under `nc.nonfinite = 'skip'`.
    pub(in crate::sql) skipped_nonfinite: u64,
}

impl SqlState {
    /// The summary of no rows; `scatter` says whether a scatter matrix is kept of those that come.
    pub(in crate::sql) fn new(scatter: bool) -> Self {
        Self { state: State::new(scatter), ..Self::default() }
    }

    pub(in crate::sql) fn class_sums(&self) -> &ClassSums {
        self.state.class_sums()
    }

    /// Whether it has seen no row, not even one left out.
    pub(in crate::sql) fn is_empty(&self) -> bool {
        self.class_sums().rows() == 0 && self.skipped_nulls == 0 && self.skipped_nonfinite == 0
    }

    /// Bytes that it holds while rows are added: class sums grow by doubling, and labels are there twice.
    pub(in crate::sql) fn bytes(&self) -> u64 {
        let sums = self.class_sums();
        let (classes, dim) = (sums.classes(), sums.dim());
        let scatter = if self.state.has_scatter() { Scatter::bytes(0, dim) } else { 0 };
        (scatter + 2 * (ClassSums::bytes(classes, dim) + sums.wide_bytes() + sums.text_bytes())) as u64
    }

    /// Changes the state by the other's; a scatter is kept only if both have it.
    fn combine(
        &mut self,
        other: &Self,
        states: fn(&mut State, &State) -> Result<()>,
        class_sums: fn(&mut ClassSums, &ClassSums) -> Result<()>,
    ) -> Result<()> {
        check_kinds(self, other)?;
        if self.normalized != other.normalized {
            return Err(Error::data("one state is of rows at length 1, and the other is not"));
        }
        if self.state.has_scatter() == other.state.has_scatter() {
            return states(&mut self.state, &other.state);
        }
        let mut sums = std::mem::take(&mut self.state).into_class_sums();
        class_sums(&mut sums, other.class_sums())?;
        self.state = sums.into();
        Ok(())
    }

    /// Adds the rows of another; a scatter is kept only if both have it.
    pub(in crate::sql) fn merge(&mut self, other: &Self) -> Result<()> {
        if other.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            *self = other.clone();
            return Ok(());
        }
        self.combine(other, State::merge, ClassSums::merge)?;
        self.lower_precision(other.significand_bits);
        self.own_grid |= other.own_grid;
        self.skipped_nulls += other.skipped_nulls;
        self.skipped_nonfinite += other.skipped_nonfinite;
        Ok(())
    }

    /// Takes note that rows of so many significand bits are in it: those of the least precise rows count, whose rounding is the
    /// largest.
    pub(in crate::sql) fn lower_precision(&mut self, significand_bits: u32) {
        let known = if self.significand_bits == 0 { significand_bits } else { self.significand_bits };
        self.significand_bits = known.min(significand_bits);
    }

    /// Takes the rows of another out again.
    pub(in crate::sql) fn subtract(&mut self, other: &Self) -> Result<()> {
        if other.is_empty() {
            return Ok(());
        }
        self.combine(other, State::subtract, ClassSums::subtract)?;
        let less = |mine: u64, theirs: u64| {
            let error = || Error::data("the rows to be subtracted are not in the state");
            mine.checked_sub(theirs).ok_or_else(error)
        };
        self.skipped_nulls = less(self.skipped_nulls, other.skipped_nulls)?;
        self.skipped_nonfinite = less(self.skipped_nonfinite, other.skipped_nonfinite)?;
        Ok(())
    }
}

/// Classes of one state are all integers, all strings or all booleans.
fn check_kinds(mine: &SqlState, theirs: &SqlState) -> Result<()> {
    let kind = |summary: &SqlState| summary.class_sums().label_kind();
    match (kind(mine), kind(theirs)) {
        (Some(mine), Some(theirs)) if mine != theirs => {
            Err(Error::data("the labels of two states differ in type").with("detail", format!("{mine} and {theirs}")))
        }
        _ => Ok(()),
    }
}
