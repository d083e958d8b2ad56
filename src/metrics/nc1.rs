//! NC1: variability within classes.

use super::{Options, Value};
use crate::kernels::pairs::{Cdnv, Points};
use crate::state::Statistics;

/// `nc1_pinv` and what it stands on.
#[derive(Clone, Debug)]
pub struct Pinv {
    /// `tr(Σ_W Σ_B⁺) / K`, or without the `1/K`.
    pub value: f64,
    /// Eigenvalues of `Σ_B` kept.
    pub rank: usize,
    /// The largest eigenvalue over the least one kept.
    pub condition: f64,
    /// The least eigenvalue that would have been kept, over the largest.
    pub cut_off: f64,
    /// The value with the cut-off `D ε` of `f64`.
    pub value_f64: Option<f64>,
    /// The value with the cut-off `D ε` of `f32`, the reference's default.
    pub value_reference_f32: Option<f64>,
}

/// `nc1_pinv`, `nc1_svd` (the same with at most `K − 1` eigenvalues, which is always so here).
pub fn pinv(
    statistics: &Statistics,
    means: &Points<'_>,
    significand_bits: u32,
    options: &Options,
) -> Result<Pinv, &'static str> {
    todo!()
}

impl Pinv {
    /// `pinv_tolerance_sensitive`, if the presets differ by more than 1 %.
    pub fn flags(&self) -> Vec<&'static str> {
        todo!()
    }
}

/// `nc1_vci` and what it stands on.
#[derive(Clone, Debug)]
pub struct Vci {
    /// The value.
    pub value: f64,
    /// `rank(Σ_B)`.
    pub rank: usize,
}

/// `nc1_vci`.
pub fn vci(statistics: &Statistics, significand_bits: u32, options: &Options) -> Result<Vci, &'static str> {
    todo!()
}

/// `nc1_trace_ratio`.
pub fn trace_ratio(statistics: &Statistics, means: &Points<'_>, options: &Options) -> Value {
    todo!()
}

/// `nc1_within_fraction`.
pub fn within_fraction(statistics: &Statistics, means: &Points<'_>, options: &Options) -> Value {
    todo!()
}

/// Which classes have rows enough for variances: two, unless told otherwise.
pub fn varied(statistics: &Statistics, options: &Options) -> Vec<bool> {
    todo!()
}

/// `nc1_class_variance` of a class.
pub fn class_variance(statistics: &Statistics, class: usize, options: &Options) -> Value {
    todo!()
}

/// `nc1_class_snr` of a class.
pub fn class_snr(statistics: &Statistics, means: &Points<'_>, class: usize, options: &Options) -> Value {
    todo!()
}

/// `nc1_cdnv`: the mean over pairs that are not degenerate.
pub fn cdnv_mean(cdnv: &Cdnv) -> Value {
    todo!()
}

/// `nc1_cdnv_strict`: the mean over all pairs.
pub fn cdnv_strict(cdnv: &Cdnv) -> Value {
    todo!()
}

/// `nc1_cdnv_log10_mean`.
pub fn cdnv_log10_mean(cdnv: &Cdnv) -> Value {
    todo!()
}

/// `nc1_cdnv_q50`, `_q90`, `_q99`.
pub fn cdnv_quantile(cdnv: &Cdnv, quantile: f64) -> Value {
    todo!()
}

/// `nc1_cdnv_max`.
pub fn cdnv_max(cdnv: &Cdnv) -> Value {
    todo!()
}

/// `nc1_cdnv_class_mean` of a class.
pub fn cdnv_class_mean(cdnv: &Cdnv, class: usize) -> Value {
    todo!()
}

/// `nc1_cdnv_class_worst` of a class, and the class that it is with.
pub fn cdnv_class_worst(cdnv: &Cdnv, class: usize) -> Option<(f64, usize)> {
    todo!()
}

/// `degenerate_pairs`, if any was left out.
pub fn cdnv_flags(cdnv: &Cdnv) -> Vec<&'static str> {
    todo!()
}
