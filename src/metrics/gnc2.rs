//! GNC2: how evenly directions spread over the sphere.

use super::Value;
use crate::kernels::pairs::Angles;

/// `gnc2_distance_mean`.
pub fn distance_mean(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_distance_var`.
pub fn distance_var(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_log_energy_mean`.
pub fn log_energy_mean(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_log_energy_var`.
pub fn log_energy_var(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_log_energy_cv`.
pub fn log_energy_cv(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_riesz_mean`.
pub fn riesz_mean(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_riesz_var`.
pub fn riesz_var(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_riesz_ln_mean`.
pub fn riesz_ln_mean(angles: &Angles) -> Value {
    todo!()
}

/// `gnc2_min_distance`.
pub fn min_distance(angles: &Angles) -> Value {
    todo!()
}

/// `nc2_max_angle`.
pub fn max_angle(angles: &Angles) -> Value {
    todo!()
}

/// `zero_norm_classes`, `degenerate_pairs`, where some were left out.
pub fn flags(angles: &Angles) -> Vec<&'static str> {
    todo!()
}

/// The log energy of a simplex (`K ≤ D + 1`), else that of points spread at random; `None` where there is none.
pub fn log_energy_floor(classes: usize, dim: usize) -> Option<f64> {
    todo!()
}
