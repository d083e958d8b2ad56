//! What a second read finds in rows, once means and classifier are known.

use super::Decisions;

/// Sums over rows, exact and mergeable: the same bits whatever the order, the threads or the batches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// Nearest centres and the classifier's choices, over the rows of the decisions.
    pub decisions: Option<Decisions>,
    /// Mean over ordered pairs of the variance along the line between two means over their squared distance
    /// (`nc1_cdnv_directional`), over the group's own rows.
    pub directional: Option<f64>,
    /// `Σ_k mean_{i in k} ‖x̂_i − ŵ_k‖`, over the group's own rows.
    pub hug_intra: Option<f64>,
    /// How NECO scores separate the rows of the decisions from the out-of-distribution rows.
    pub neco: Option<Separation>,
}

/// How well a score tells in-distribution rows (positive) from out-of-distribution rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Separation {
    /// Area under the receiver operating characteristic; ties count half.
    pub auroc: f64,
    /// The share of out-of-distribution rows at or above the score that 95 % of the others reach.
    pub fpr95: f64,
}
