//! Counts of rows on which the classifier and the nearest class centre agree, and of rows that each gets right.

use crate::batch::Label;

/// Decisions on the rows of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecisionCounts {
    /// Rows decided.
    pub rows: u64,
    /// Rows whose nearest centre is their own class's.
    pub ncc_right: u64,
    /// Rows that the classifier puts into their own class; 0 without a head.
    pub classifier_right: u64,
    /// Rows that both get right.
    pub both_right: u64,
    /// Rows on which classifier and nearest centre agree.
    pub agreements: u64,
    /// The same with the bias left out.
    pub agreements_no_bias: u64,
    /// Rows whose two nearest centres are at the same distance, within the noise that rounding leaves in the means.
    pub ties: u64,
}

impl DecisionCounts {
    /// `self ← self · other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.ncc_right += other.ncc_right;
        self.classifier_right += other.classifier_right;
        self.both_right += other.both_right;
        self.agreements += other.agreements;
        self.agreements_no_bias += other.agreements_no_bias;
        self.ties += other.ties;
    }
}

/// Decisions by class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decisions {
    /// The classes, in the order of the statistics that made the centres.
    pub labels: Vec<Label>,
    /// One entry for each class.
    pub tallies: Vec<DecisionCounts>,
    /// Rows of classes that have no centre; they are not decided.
    pub unseen: u64,
}
