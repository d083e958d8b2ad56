//! What SQL calls a state: a state of the `state` room, and what else a metric wants to know of the rows.

use crate::error::{Error, Result};
use crate::kernels::Workspace;
use crate::state::Accumulate;
use crate::state::{Chunk, ClassSums, Merge, Parts, Scatter, Shifts, Statistics};

/// A mergeable summary of labelled rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    pub(super) sums: Sums,
    /// Significand bits of the features: 11, 24 or 53; 0 before the first row.
    pub(super) significand_bits: u32,
    /// Whether some rows were rounded on a grid that their batch made, so that the last bits depend on batches.
    pub(super) own_grid: bool,
    /// Rows left out for a null, under `nc.nulls = 'skip'`.
    pub(super) skipped_nulls: u64,
    /// Rows left out for a NaN or an infinity, under `nc.nonfinite = 'skip'`.
    pub(super) skipped_nonfinite: u64,
}

/// The exact state.
#[derive(Clone, Debug)]
pub(super) enum Sums {
    /// Class sums alone.
    Moments(ClassSums),
    /// With the pooled scatter.
    Full(Scatter),
}

impl Default for Sums {
    fn default() -> Self {
        Self::Moments(ClassSums::identity())
    }
}

impl Summary {
    /// The summary of no rows.
    pub(super) fn new(scatter: bool) -> Self {
        let sums = if scatter { Sums::Full(Scatter::identity()) } else { Sums::default() };
        Self { sums, ..Self::default() }
    }

    pub(super) fn class_sums(&self) -> &ClassSums {
        match &self.sums {
            Sums::Moments(sums) => sums,
            Sums::Full(scatter) => scatter.sums(),
        }
    }

    /// Whether it has seen no row, not even one left out.
    pub(super) fn is_empty(&self) -> bool {
        self.class_sums().rows() == 0 && self.skipped_nulls == 0 && self.skipped_nonfinite == 0
    }

    /// Bytes that it holds while rows are added: class sums grow by doubling, and labels are there twice.
    pub(super) fn bytes(&self) -> u64 {
        let sums = self.class_sums();
        let (classes, dim) = (sums.classes(), sums.dim());
        let scatter = match &self.sums {
            Sums::Moments(_) => 0,
            Sums::Full(_) => Scatter::bytes(0, dim),
        };
        (scatter + 2 * (ClassSums::bytes(classes, dim) + sums.text_bytes())) as u64
    }

    pub(super) fn update(
        &mut self,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        match &mut self.sums {
            Sums::Moments(sums) => sums.update(chunk, rows, shifts, workspace),
            Sums::Full(scatter) => scatter.update(chunk, rows, shifts, workspace),
        }
    }

    /// Does one of these with what both have.
    fn combine(
        &mut self,
        other: &Self,
        scatters: fn(&mut Scatter, &Scatter) -> Result<()>,
        moments: fn(&mut ClassSums, &ClassSums) -> Result<()>,
    ) -> Result<()> {
        check_kinds(self, other)?;
        match (&mut self.sums, &other.sums) {
            (Sums::Full(mine), Sums::Full(theirs)) => scatters(mine, theirs),
            (Sums::Moments(mine), _) => moments(mine, other.class_sums()),
            (Sums::Full(mine), Sums::Moments(theirs)) => {
                let mut sums = mine.sums().clone();
                moments(&mut sums, theirs)?;
                self.sums = Sums::Moments(sums);
                Ok(())
            }
        }
    }

    /// Adds the rows of another; a scatter is kept only if both have it.
    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        if other.is_empty() {
            return Ok(());
        }
        if self.is_empty() {
            *self = other.clone();
            return Ok(());
        }
        self.combine(other, Scatter::merge, ClassSums::merge)?;
        self.significand_bits = self.significand_bits.max(other.significand_bits);
        self.own_grid |= other.own_grid;
        self.skipped_nulls += other.skipped_nulls;
        self.skipped_nonfinite += other.skipped_nonfinite;
        Ok(())
    }

    /// Takes the rows of another out again.
    pub(super) fn subtract(&mut self, other: &Self) -> Result<()> {
        if other.is_empty() {
            return Ok(());
        }
        self.combine(other, Scatter::subtract, ClassSums::subtract)?;
        let less = |mine: u64, theirs: u64| {
            let error = || Error::data("the rows to be subtracted are not in the state");
            mine.checked_sub(theirs).ok_or_else(error)
        };
        self.skipped_nulls = less(self.skipped_nulls, other.skipped_nulls)?;
        self.skipped_nonfinite = less(self.skipped_nonfinite, other.skipped_nonfinite)?;
        Ok(())
    }

    pub(super) fn statistics(&self) -> Result<Statistics> {
        match &self.sums {
            Sums::Moments(sums) => sums.statistics(),
            Sums::Full(scatter) => scatter.statistics(),
        }
    }

    pub(super) fn parts(&self) -> Result<Parts> {
        match &self.sums {
            Sums::Moments(sums) => sums.to_parts(),
            Sums::Full(scatter) => scatter.to_parts(),
        }
    }
}

/// Classes of one state are all integers, all strings or all booleans.
fn check_kinds(mine: &Summary, theirs: &Summary) -> Result<()> {
    let kind = |summary: &Summary| summary.class_sums().label_kind();
    match (kind(mine), kind(theirs)) {
        (Some(mine), Some(theirs)) if mine != theirs => {
            Err(Error::data("the labels of two states differ in type").with("detail", format!("{mine} and {theirs}")))
        }
        _ => Ok(()),
    }
}
