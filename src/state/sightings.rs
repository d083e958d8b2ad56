//! What workers of a second read have seen so far.

use super::decisions::Tally;
use super::scores::Scores;
use crate::kernels::ExactSum;

/// A part of a second read, filled by [`Judge::look`](super::Judge::look).
///
/// Counts and exact sums: merging is associative and commutative, bit for bit, and equality is that of the rows seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sightings {
    /// Decisions by class; empty before the first.
    pub(super) tallies: Vec<Tally>,
    /// Rows of the decisions whose class has no centre.
    pub(super) unseen: u64,
    /// The group's own rows by class; empty before the first.
    pub(super) own: Vec<Own>,
    /// NECO scores of the rows of the decisions.
    pub(super) inside: Scores,
    /// NECO scores of the out-of-distribution rows.
    pub(super) outside: Scores,
}

/// The group's own rows of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Own {
    /// Rows looked at.
    pub(super) rows: u64,
    /// `Σ r(x)`, the spread along the lines to the other means.
    pub(super) spread: ExactSum,
    /// `Σ ‖x̂ − ŵ‖`.
    pub(super) distances: ExactSum,
    /// Rows that `distances` leaves out.
    pub(super) zero_rows: u64,
}

impl Sightings {
    /// `self ← self · other`; both are of the same judge.
    pub fn merge(&mut self, other: &Self) {
        let classes = self.tallies.len().max(other.tallies.len());
        self.tallies.resize(classes, Tally::default());
        self.tallies.iter_mut().zip(&other.tallies).for_each(|(mine, theirs)| mine.merge(theirs));
        self.unseen += other.unseen;
        let classes = self.own.len().max(other.own.len());
        self.own.resize(classes, Own::default());
        for (mine, theirs) in self.own.iter_mut().zip(&other.own) {
            mine.rows += theirs.rows;
            mine.spread.merge(&theirs.spread);
            mine.distances.merge(&theirs.distances);
            mine.zero_rows += theirs.zero_rows;
        }
        self.inside.merge(&other.inside);
        self.outside.merge(&other.outside);
    }
}
