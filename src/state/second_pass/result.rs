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
    /// The same of Mahalanobis scores.
    pub mahalanobis: Option<Separation>,
    /// The same of relative Mahalanobis scores; `None` for a single class.
    pub relative_mahalanobis: Option<Separation>,
    /// The decisions of linear discriminant analysis over the rows of the decisions.
    pub lda: Option<LdaDecisions>,
    /// Directions that Mahalanobis distances leave out, because rows of a class vary in them by nothing but rounding.
    pub mahalanobis_directions_dropped: u64,
}

impl SecondPassResult {
    /// Rows of classes without a mean, which are not decided.
    pub fn unseen(&self) -> u64 {
        let of_lda = self.lda.map_or(0, |lda| lda.unseen);
        self.decisions.as_ref().map_or(of_lda, |decisions| decisions.unseen)
    }
}

/// Rows of classes with a mean, by the nearest mean in the metric of the covariance within classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LdaDecisions {
    /// Rows decided.
    pub rows: u64,
    /// Rows whose nearest mean is their own class's.
    pub right: u64,
    /// Rows whose two nearest means are as far from each other as distances may be off.
    pub unsure: u64,
    /// Rows of classes without a mean, which are not decided.
    pub unseen: u64,
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
