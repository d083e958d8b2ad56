//! What a second read finds in rows, once means and classifier are known.

use super::Decisions;

/// Sums over rows, exact and mergeable: the same bits whatever the order, the threads or the batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecondPassResult {
    /// Nearest centres and the classifier's choices, over the rows of the decisions.
    pub decisions: Option<Decisions>,
    /// Mean over ordered pairs of the variance along the line between two means over their squared distance
    /// (`nc1_cdnv_directional`), over the group's own rows. `None` also if no two means are apart.
    pub directional: Option<f64>,
    /// Unordered pairs of means too near to each other for a line, which `directional` leaves out.
    pub directional_degenerate_pairs: u64,
    /// `Σ_k mean_{i in k} ‖x̂_i − ŵ_k‖`, over the group's own rows. `None` also if all rows are left out.
    pub hug_intra: Option<f64>,
    /// Rows that `hug_intra` leaves out, because they or their class's weights are zero.
    pub hug_zero_rows: u64,
    /// How well NECO scores separate the rows of the decisions from the out-of-distribution rows; `None` also without
    /// rows of either kind.
    pub neco: Option<Separation>,
}

/// How well a score tells in-distribution rows (positive) from out-of-distribution rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separation {
    /// Area under the receiver operating characteristic; ties count half.
    pub auroc: f64,
    /// The share of out-of-distribution rows at or above the score that 95 % of the others reach.
    pub fpr95: f64,
    /// How far `auroc` may be off: the share of pairs whose scores are as near to each other as scores may be off.
    pub auroc_error: f64,
    /// How far `fpr95` may be off: the share of out-of-distribution rows as near to that score.
    pub fpr95_error: f64,
}
