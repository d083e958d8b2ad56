//! The hyperspherical uniformity gap's parts. Liu et al. (2023).

use super::{Value, gnc2};
use crate::kernels::pairs::Angles;

/// The exponent of the minimum hyperspherical energy.
pub(super) const ENERGY_S: f64 = 2.0;

/// `hug_inter`: mean over pairs of `‖u_i − u_j‖⁻²`, from a sweep with `s` = [`ENERGY_S`].
pub(super) fn inter(angles: &Angles) -> Value {
    gnc2::riesz_mean(angles)
}

/// The least `hug_inter` of `K ≤ D + 1` directions, a simplex's: `(K − 1)/(2K)`.
pub(super) fn inter_floor(classes: usize, dim: usize) -> Option<f64> {
    let k = classes as f64;
    (classes > 1 && classes <= dim + 1).then(|| (k - 1.0) / (2.0 * k))
}
