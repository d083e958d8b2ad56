//! GNC2: how evenly directions spread over the sphere (Liu et al. 2023; Wu & Papyan 2024).
//!
//! Statistics over unordered pairs of unit vectors `u_k`, of centred means or of classifier rows, with population
//! variances. Vectors without a direction are left out and counted; the energies also leave out and count the pairs of
//! one direction. Each formula of a catalogue's key is a function here.

use super::doubt::{DistanceErrors, of_square};
use super::geometry::Geometry;
use super::outcome::{Outcome, TOO_FEW};
use super::{Value, finite};
use crate::kernels::pairs::{Angles, Moments};

/// `gnc2_distance_mean`: the mean of `‖u_i − u_j‖`, at most `√(2K/(K−1))`, which a simplex attains.
pub(super) fn distance_mean(of: &Geometry) -> Outcome {
    statistic(of, |angles| mean(angles, &angles.distance), |errors, _| errors.distance)
}

/// `gnc2_distance_var`: the variance of `‖u_i − u_j‖`.
pub(super) fn distance_var(of: &Geometry) -> Outcome {
    statistic(of, |angles| variance(angles, &angles.distance), |errors, var| of_square(var.sqrt(), errors.distance))
}

/// `gnc2_log_energy_mean`: the mean of `−ln ‖u_i − u_j‖`; see [`log_energy_floor`].
pub(super) fn log_energy_mean(of: &Geometry) -> Outcome {
    let (classes, dim) = (of.vectors.len(), of.vectors.dim);
    let outcome = statistic(of, log_energy, |errors, _| errors.ln);
    if of.undefined().is_some() {
        return outcome;
    }
    outcome.floor(log_energy_floor(classes, dim)).flag_if(classes > dim + 1, "random_baseline")
}

/// `gnc2_log_energy_var`: the variance of `−ln ‖u_i − u_j‖`.
pub(super) fn log_energy_var(of: &Geometry) -> Outcome {
    statistic(of, |angles| variance(angles, &angles.log_energy), DistanceErrors::log_energy_var)
}

/// `gnc2_log_energy_cv`: standard deviation over mean of `−ln ‖u_i − u_j‖`, with the sign of the mean.
pub(super) fn log_energy_cv(of: &Geometry) -> Outcome {
    let cv = |angles: &Angles| {
        let (mean, variance) = (log_energy(angles)?, variance(angles, &angles.log_energy)?);
        if mean == 0.0 { Err("zero_mean") } else { finite(variance.sqrt() / mean) }
    };
    statistic(of, cv, DistanceErrors::log_energy_cv)
}

/// `gnc2_riesz_mean`: the mean of `sign(s) ‖u_i − u_j‖^−s`; the log energy for `s = 0`. `out_of_range` where a large `s`
/// leaves the range of `f64`.
pub(super) fn riesz_mean(of: &Geometry) -> Outcome {
    statistic(of, riesz, DistanceErrors::riesz_mean)
}

/// `gnc2_riesz_var`: the variance of `‖u_i − u_j‖^−s`; of the log energy for `s = 0`.
pub(super) fn riesz_var(of: &Geometry) -> Outcome {
    let var = |angles: &Angles| {
        if angles.riesz_s == 0.0 {
            return variance(angles, &angles.log_energy);
        }
        riesz(angles)?;
        let (variance, scale) = (variance(angles, &angles.riesz.moments)?, angles.riesz.ln_scale.exp());
        let scaled = finite(variance * scale * scale)?;
        if scaled == 0.0 && variance > 0.0 { Err("out_of_range") } else { Ok(scaled) }
    };
    statistic(of, var, DistanceErrors::riesz_var)
}

/// `gnc2_riesz_ln_mean`: `ln` of the mean of `‖u_i − u_j‖^−s`, for exponents at which the mean itself leaves `f64`.
pub(super) fn riesz_ln_mean(of: &Geometry) -> Outcome {
    statistic(of, riesz_ln, |errors, _| errors.riesz_ln_mean())
}

/// `gnc2_min_distance`: the least `‖u_i − u_j‖`, at most `√(2K/(K−1))`, which a simplex attains.
pub(super) fn min_distance(of: &Geometry) -> Outcome {
    let least = |angles: &Angles| angles.min_distance.ok_or_else(|| no_pair(angles)).and_then(finite);
    statistic(of, least, |errors, _| errors.distance)
}

/// A statistic over pairs with the exponent of the options, and its error where no two directions are the same.
fn statistic(
    of: &Geometry,
    number: impl FnOnce(&Angles) -> Value,
    error: impl FnOnce(&DistanceErrors, f64) -> f64,
) -> Outcome {
    with_error(of, of.angles.as_ref(), number, error)
}

/// A statistic of these angles, and its error where no two directions are the same.
pub(super) fn with_error(
    of: &Geometry,
    angles: Option<&Angles>,
    number: impl FnOnce(&Angles) -> Value,
    error: impl FnOnce(&DistanceErrors, f64) -> f64,
) -> Outcome {
    let errors = angles.and_then(|angles| DistanceErrors::of(of, angles));
    over_pairs(of, angles, number).off_by(|value| errors.map_or(0.0, |errors| error(&errors, value)))
}

/// A statistic of these angles, with remarks on the vectors and pairs that were left out.
pub(super) fn over_pairs(of: &Geometry, angles: Option<&Angles>, number: impl FnOnce(&Angles) -> Value) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    let Some(angles) = angles else { return Outcome::null(TOO_FEW) };
    Outcome::from(number(angles))
        .count("zero_norm_classes", angles.zeros as u64)
        .count("degenerate_pairs", angles.degenerate)
        .flag_if(angles.zeros > 0, "zero_norm_classes")
        .flag_if(angles.degenerate > 0, "degenerate_pairs")
}

/// The mean of `|cos(u_i, u_j) + 1/(K − 1)|`.
pub(super) fn simplex_deviation(angles: &Angles) -> Value {
    if angles.cos.count == 0 { Err(no_pair(angles)) } else { finite(angles.simplex_deviation) }
}

/// The mean of `−ln ‖u_i − u_j‖`.
fn log_energy(angles: &Angles) -> Value {
    mean(angles, &angles.log_energy)
}

/// The mean of `sign(s) ‖u_i − u_j‖^−s`, or of the log energy for `s = 0`.
pub(super) fn riesz(angles: &Angles) -> Value {
    if angles.riesz_s == 0.0 {
        return log_energy(angles);
    }
    if riesz_ln(angles)? < f64::MIN_POSITIVE.ln() {
        return Err("out_of_range"); // it would underflow
    }
    finite(angles.riesz_s.signum() * angles.riesz.moments.mean * angles.riesz.ln_scale.exp())
}

/// `ln` of the mean of `‖u_i − u_j‖^−s`.
fn riesz_ln(angles: &Angles) -> Value {
    let mean = mean(angles, &angles.riesz.moments)?;
    finite(angles.riesz.ln_scale + mean.ln())
}

fn mean(angles: &Angles, moments: &Moments) -> Value {
    if moments.count == 0 { Err(no_pair(angles)) } else { finite(moments.mean) }
}

fn variance(angles: &Angles, moments: &Moments) -> Value {
    moments.variance().ok_or_else(|| no_pair(angles)).and_then(finite)
}

/// Why a statistic has no pair of directions.
fn no_pair(angles: &Angles) -> &'static str {
    if angles.degenerate > 0 { "degenerate_pairs" } else { TOO_FEW }
}

/// The least [`log_energy_mean`]: `−½ ln(2K/(K−1))`, that of a simplex, for `K ≤ D + 1`. More points are compared with points
/// at random on the sphere, `−½ (ln 4 + ψ((D−1)/2) − ψ(D−1))`. `None` for fewer than two points, and for more than two on
/// a line.
fn log_energy_floor(points: usize, dim: usize) -> Option<f64> {
    let (k, d) = (points as f64, dim as f64);
    if points < 2 || dim == 0 {
        None
    } else if points <= dim + 1 {
        Some(-0.5 * (2.0 * k / (k - 1.0)).ln())
    } else if dim == 1 {
        None
    } else {
        Some(-0.5 * (4_f64.ln() + digamma(0.5 * (d - 1.0)) - digamma(d - 1.0)))
    }
}

/// `ψ(x)` for `x > 0`: recurrence up to where the asymptotic series has all digits.
fn digamma(mut x: f64) -> f64 {
    let mut below = 0.0;
    while x < 12.0 {
        below += 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    // Bernoulli numbers, B_2k / 2k.
    let series = z
        * (1.0 / 12.0
            - z * (1.0 / 120.0
                - z * (1.0 / 252.0 - z * (1.0 / 240.0 - z * (1.0 / 132.0 - z * (691.0 / 32_760.0 - z / 12.0))))));
    x.ln() - 0.5 / x - series - below
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pairs::sweep;
    use crate::metrics::fixture::{assert_close, centred, golden, golden_head};
    use crate::metrics::nc2::max_angle;
    use crate::metrics::vectors::Vectors;

    fn geometry(dim: usize, values: &[f64], s: f64) -> Geometry {
        let vectors = Vectors::new(dim, values.to_vec(), 0.0);
        let angles = sweep(&vectors.points(), None, Some(s)).angles;
        Geometry::new(vectors, "zero_between", angles, None)
    }

    #[test]
    #[expect(clippy::unreadable_literal, reason = "digits as the formula sheet has them")]
    fn golden_values() {
        let means = centred(&golden());
        let one = geometry(3, &means, 1.0);
        let two = geometry(3, &means, 2.0);
        assert_close(distance_mean(&one).value.unwrap(), 1.5625340715816225, 1e-12);
        assert_close(distance_var(&one).value.unwrap(), 0.13348986760908632, 1e-12);
        assert_close(log_energy_mean(&one).value.unwrap(), -0.40622083794005087, 1e-12);
        assert_close(log_energy_var(&one).value.unwrap(), 0.09665382496922172, 1e-12);
        assert_close(log_energy_cv(&one).value.unwrap(), 0.09665382496922172_f64.sqrt() / -0.40622083794005087, 1e-12);
        assert_close(riesz_mean(&one).value.unwrap(), 0.7054933428058181, 1e-12);
        assert_close(riesz_var(&one).value.unwrap(), 0.07878099129473011, 1e-12);
        assert_close(riesz_ln_mean(&one).value.unwrap(), 0.7054933428058181_f64.ln(), 1e-12);
        assert_close(riesz_mean(&two).value.unwrap(), 0.5765018480380578, 1e-12);
        assert_close(min_distance(&one).value.unwrap(), 0.7505561538737074, 1e-12);
        assert_close(max_angle(&one).value.unwrap(), 0.30472331732276003, 1e-12);
        assert_close(max_angle(&geometry(3, &golden_head().weights, 2.0)).value.unwrap(), 0.32550539211619917, 1e-12);
        // hug_inter
        assert_close(riesz_mean(&geometry(3, &golden_head().weights, 2.0)).value.unwrap(), 0.405287335382904, 1e-12);
        assert!(distance_mean(&one).flags.is_empty());
    }

    #[test]
    fn a_simplex_attains_the_floors() {
        let (classes, dim) = (7, 9);
        let simplex: Vec<f64> = (0..classes * dim)
            .map(|at| {
                f64::from(u8::from(at / dim == at % dim)) - if at % dim < classes { 1.0 / classes as f64 } else { 0.0 }
            })
            .collect();
        let simplex = geometry(dim, &simplex, 2.0);
        assert_close(distance_mean(&simplex).value.unwrap(), (14.0_f64 / 6.0).sqrt(), 1e-14);
        assert!(distance_var(&simplex).value.unwrap() < 1e-30);
        assert_close(log_energy_mean(&simplex).value.unwrap(), log_energy_floor(classes, dim).unwrap(), 1e-14);
        assert!(max_angle(&simplex).value.unwrap() < 1e-15);
        assert_close(min_distance(&simplex).value.unwrap(), (14.0_f64 / 6.0).sqrt(), 1e-14);
    }

    #[test]
    #[expect(clippy::unreadable_literal, reason = "digits as the formula sheet has them")]
    fn the_uniform_baseline_is_that_of_the_sheet() {
        let known = [(64, -0.342574), (128, -0.344597), (256, -0.345591), (512, -0.346084), (1024, -0.346329)];
        for (dim, expected) in known {
            assert!((log_energy_floor(30_000, dim).unwrap() - expected).abs() < 6e-7);
        }
        assert_close(digamma(1.0), -0.577_215_664_901_532_9, 1e-14);
        assert_close(digamma(0.5), -1.963_510_026_021_423_5, 1e-14);
        assert_eq!((log_energy_floor(1, 5), log_energy_floor(3, 1)), (None, None));
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        assert_eq!(distance_mean(&geometry(2, &[1.0, 0.0], 2.0)).value, Err("single_class"));
        assert_eq!(max_angle(&geometry(2, &[0.0; 6], 2.0)).value, Err("zero_between"));
        assert_eq!(max_angle(&geometry(2, &[1.0, 0.0, 0.0, 0.0], 2.0)).value, Err("too_few_directions"));
        let same = geometry(2, &[1.0, 1.0, 2.0, 2.0], 2.0);
        assert_eq!(log_energy_mean(&same).value, Err("degenerate_pairs"));
        assert_eq!(riesz_ln_mean(&same).value, Err("degenerate_pairs"));
        assert!(min_distance(&same).value.unwrap() < 1e-15);
        let some = geometry(2, &[1.0, 1.0, 2.0, 2.0, 0.0, 0.0, 0.0, -1.0], 2.0);
        let outcome = log_energy_var(&some);
        assert_eq!(outcome.flags, ["zero_norm_classes", "degenerate_pairs"]);
        assert!(outcome.value.is_ok());
    }

    #[test]
    fn exponents_beyond_f64_have_a_logarithm_and_zero_is_the_log_energy() {
        let values = [1.0, 0.0, 0.0, 1.0];
        let large = geometry(2, &values, 4000.0);
        assert_eq!(riesz_mean(&large).value, Err("out_of_range"));
        assert_close(riesz_ln_mean(&large).value.unwrap(), -2000.0 * 2_f64.ln(), 1e-14);
        let zero = geometry(2, &values, 0.0);
        assert_eq!(riesz_mean(&zero).value, log_energy_mean(&zero).value);
        assert_close(riesz_mean(&geometry(2, &values, -1.0)).value.unwrap(), -2_f64.sqrt(), 1e-14);
    }
}
