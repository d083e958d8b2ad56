//! HUG: the two parts of the hyperspherical uniformity gap (Liu et al. 2023). Each formula of a catalogue's key is a
//! function here.

use super::context::MetricContext;
use super::doubt::{DistanceErrors, arithmetic};
use super::geometry::Geometry;
use super::gnc2;
use super::outcome::Outcome;

/// The exponent `s` of the minimum hyperspherical energy.
pub(super) const ENERGY_S: f64 = 2.0;

/// `hug_inter`: the mean over pairs of `‖u_i − u_j‖⁻²`, at least `(K−1)/(2K)` for `K ≤ D + 1`, which a simplex attains.
pub(super) fn inter(of: &Geometry) -> Outcome {
    let outcome = gnc2::with_error(of, of.energy.as_ref(), gnc2::riesz, DistanceErrors::riesz_mean);
    if of.undefined().is_some() {
        return outcome;
    }
    outcome.floor(inter_floor(of.vectors.len(), of.vectors.dim))
}

/// `hug_intra`: `Σ_k mean_{i in k} ‖x̂_i − ŵ_k‖`, the distances of unit rows to the unit classifier row of their class, from
/// a second read of the rows.
pub(super) fn intra(context: &MetricContext<'_>) -> Outcome {
    let zeros = context.evidence.findings.is_some_and(|found| found.hug_zero_rows > 0);
    let reason = match context.evidence.head {
        None => "no_head",
        Some(_) if zeros => "zero_rows",
        Some(_) => "no_rows",
    };
    let statistics = context.evidence.statistics;
    Outcome::number_or(context.findings(|findings| findings.hug_intra), reason)
        .off_by(|_| statistics.classes() as f64 * arithmetic(statistics.dim))
        .flag_if(zeros, "zero_rows")
}

/// The least `hug_inter` of `K ≤ D + 1` directions, that of a simplex: `(K − 1)/(2K)`.
fn inter_floor(classes: usize, dim: usize) -> Option<f64> {
    let k = classes as f64;
    (classes > 1 && classes <= dim + 1).then(|| (k - 1.0) / (2.0 * k))
}
