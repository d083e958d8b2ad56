//! GNC2: how evenly directions spread over the sphere (Liu et al. 2023; Wu & Papyan 2024).
//!
//! Statistics over unordered pairs of unit vectors `u_k`, of centred means or of classifier rows, with population
//! variances. Points without a direction are left out and counted; so are pairs of one direction, from the energies.

use super::{Value, finite};
use crate::kernels::pairs::{Angles, Moments};

/// Why there is no pair.
fn none(angles: &Angles) -> &'static str {
    if angles.points + angles.zeros < 2 {
        "single_class"
    } else if angles.degenerate > 0 {
        "degenerate_pairs"
    } else {
        "too_few_directions"
    }
}

fn mean(angles: &Angles, moments: &Moments) -> Value {
    if moments.count == 0 { Err(none(angles)) } else { finite(moments.mean) }
}

fn variance(angles: &Angles, moments: &Moments) -> Value {
    moments.variance().ok_or_else(|| none(angles)).and_then(finite)
}

/// `gnc2_distance_mean`, the mean of `‖u_i − u_j‖`. No unit; at most `√(2K/(K−1))`, which a simplex attains.
///
/// # Errors
///
/// `single_class`, `too_few_directions` if fewer than two points have a direction.
pub fn distance_mean(angles: &Angles) -> Value {
    mean(angles, &angles.distance)
}

/// `gnc2_distance_var`, the variance of `‖u_i − u_j‖`. No unit; lower is more even, 0 at a simplex.
///
/// # Errors
///
/// Those of [`distance_mean`].
pub fn distance_var(angles: &Angles) -> Value {
    variance(angles, &angles.distance)
}

/// `gnc2_log_energy_mean`, the mean of `−ln ‖u_i − u_j‖`. No unit; lower is more even, see [`log_energy_floor`].
///
/// # Errors
///
/// Those of [`distance_mean`], and `degenerate_pairs` if all pairs are of one direction.
pub fn log_energy_mean(angles: &Angles) -> Value {
    mean(angles, &angles.log_energy)
}

/// `gnc2_log_energy_var`, the variance of `−ln ‖u_i − u_j‖`. No unit; lower is more even, 0 at a simplex.
///
/// # Errors
///
/// Those of [`log_energy_mean`].
pub fn log_energy_var(angles: &Angles) -> Value {
    variance(angles, &angles.log_energy)
}

/// `gnc2_log_energy_cv`, standard deviation over mean, whose sign it has. No unit; 0 at a simplex.
///
/// # Errors
///
/// Those of [`log_energy_mean`], and `zero_mean`.
pub fn log_energy_cv(angles: &Angles) -> Value {
    let (mean, variance) = (log_energy_mean(angles)?, log_energy_var(angles)?);
    if mean == 0.0 { Err("zero_mean") } else { finite(variance.sqrt() / mean) }
}

/// `gnc2_riesz_mean`, the mean of `sign(s) ‖u_i − u_j‖^−s`; the log energy for `s = 0`. No unit; lower is more even.
///
/// # Errors
///
/// Those of [`log_energy_mean`], and `out_of_range` where a large `s` leaves the range of `f64`.
pub fn riesz_mean(angles: &Angles) -> Value {
    if angles.riesz_s == 0.0 {
        return log_energy_mean(angles);
    }
    if riesz_ln_mean(angles)? < f64::MIN_POSITIVE.ln() {
        return Err("out_of_range"); // it would underflow
    }
    finite(angles.riesz_s.signum() * angles.riesz.moments.mean * angles.riesz.ln_scale.exp())
}

/// `gnc2_riesz_var`, the variance of `‖u_i − u_j‖^−s`; of the log energy for `s = 0`. No unit; 0 at a simplex.
///
/// # Errors
///
/// Those of [`riesz_mean`].
pub fn riesz_var(angles: &Angles) -> Value {
    if angles.riesz_s == 0.0 {
        return log_energy_var(angles);
    }
    riesz_mean(angles)?;
    let (variance, scale) = (variance(angles, &angles.riesz.moments)?, angles.riesz.ln_scale.exp());
    let scaled = finite(variance * scale * scale)?;
    if scaled == 0.0 && variance > 0.0 { Err("out_of_range") } else { Ok(scaled) }
}

/// `gnc2_riesz_ln_mean`, `ln` of the mean of `‖u_i − u_j‖^−s`, for exponents at which the mean itself has no `f64`.
///
/// # Errors
///
/// Those of [`log_energy_mean`].
pub fn riesz_ln_mean(angles: &Angles) -> Value {
    let mean = mean(angles, &angles.riesz.moments)?;
    finite(angles.riesz.ln_scale + mean.ln())
}

/// `gnc2_min_distance`, the least `‖u_i − u_j‖`. No unit; higher is more even, at most `√(2K/(K−1))`, at a simplex.
///
/// # Errors
///
/// Those of [`distance_mean`].
pub fn min_distance(angles: &Angles) -> Value {
    angles.min_distance.ok_or_else(|| none(angles)).and_then(finite)
}

/// `nc2_max_angle`, the mean of `|cos(c_i, c_j) + 1/(K − 1)|` (Papyan et al. 2020). No unit; lower is more collapsed, 0 at
/// a simplex. `K` is the number of points that have a direction.
///
/// # Errors
///
/// Those of [`distance_mean`].
pub fn max_angle(angles: &Angles) -> Value {
    if angles.cos.count == 0 { Err(none(angles)) } else { finite(angles.simplex_deviation) }
}

/// `zero_norm_classes` and `degenerate_pairs`, where some were left out.
pub fn flags(angles: &Angles) -> Vec<&'static str> {
    let flags = [("zero_norm_classes", angles.zeros > 0), ("degenerate_pairs", angles.degenerate > 0)];
    flags.into_iter().filter(|(_, raised)| *raised).map(|(flag, _)| flag).collect()
}

/// What [`log_energy_mean`] is at its best: of a simplex, `−½ ln(2K/(K−1))`, where there is one (`K ≤ D + 1`), else of
/// points spread evenly over the sphere at random, `−½ (ln 4 + ψ((D−1)/2) − ψ(D−1))`. `None` for fewer than two points,
/// and for more than two on a line.
pub fn log_energy_floor(points: usize, dim: usize) -> Option<f64> {
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
    use crate::kernels::pairs::{Points, sweep};
    use crate::metrics::fixture::{assert_close, centred, golden, golden_head};

    fn angles(dim: usize, values: &[f64], s: f64) -> Angles {
        let norms: Vec<f64> = values.chunks(dim).map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let noise = vec![0.0; norms.len()];
        sweep(&Points { dim, values, norms: &norms, unit: 1.0, noise: &noise, along: 1.0 }, None, Some(s))
            .angles
            .unwrap()
    }

    #[test]
    #[expect(clippy::unreadable_literal, reason = "digits as the formula sheet has them")]
    fn golden_values() {
        let means = centred(&golden());
        let one = angles(3, &means, 1.0);
        let two = angles(3, &means, 2.0);
        assert_close(distance_mean(&one).unwrap(), 1.5625340715816225, 1e-12);
        assert_close(distance_var(&one).unwrap(), 0.13348986760908632, 1e-12);
        assert_close(log_energy_mean(&one).unwrap(), -0.40622083794005087, 1e-12);
        assert_close(log_energy_var(&one).unwrap(), 0.09665382496922172, 1e-12);
        assert_close(log_energy_cv(&one).unwrap(), 0.09665382496922172_f64.sqrt() / -0.40622083794005087, 1e-12);
        assert_close(riesz_mean(&one).unwrap(), 0.7054933428058181, 1e-12);
        assert_close(riesz_var(&one).unwrap(), 0.07878099129473011, 1e-12);
        assert_close(riesz_ln_mean(&one).unwrap(), 0.7054933428058181_f64.ln(), 1e-12);
        assert_close(riesz_mean(&two).unwrap(), 0.5765018480380578, 1e-12);
        assert_close(min_distance(&one).unwrap(), 0.7505561538737074, 1e-12);
        assert_close(max_angle(&one).unwrap(), 0.30472331732276003, 1e-12);
        assert_close(max_angle(&angles(3, &golden_head().weights, 2.0)).unwrap(), 0.32550539211619917, 1e-12);
        // hug_inter
        assert_close(riesz_mean(&angles(3, &golden_head().weights, 2.0)).unwrap(), 0.405287335382904, 1e-12);
        assert!(flags(&one).is_empty());
    }

    #[test]
    fn a_simplex_attains_the_floors() {
        let (classes, dim) = (7, 9);
        let simplex: Vec<f64> = (0..classes * dim)
            .map(|at| {
                f64::from(u8::from(at / dim == at % dim)) - if at % dim < classes { 1.0 / classes as f64 } else { 0.0 }
            })
            .collect();
        let angles = angles(dim, &simplex, 2.0);
        assert_close(distance_mean(&angles).unwrap(), (14.0_f64 / 6.0).sqrt(), 1e-14);
        assert!(distance_var(&angles).unwrap() < 1e-30);
        assert_close(log_energy_mean(&angles).unwrap(), log_energy_floor(classes, dim).unwrap(), 1e-14);
        assert!(max_angle(&angles).unwrap() < 1e-15);
        assert_close(min_distance(&angles).unwrap(), (14.0_f64 / 6.0).sqrt(), 1e-14);
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
        assert_eq!(distance_mean(&angles(2, &[1.0, 0.0], 2.0)), Err("single_class"));
        assert_eq!(max_angle(&angles(2, &[0.0; 6], 2.0)), Err("too_few_directions"));
        let same = angles(2, &[1.0, 1.0, 2.0, 2.0], 2.0);
        assert_eq!(log_energy_mean(&same), Err("degenerate_pairs"));
        assert_eq!(riesz_ln_mean(&same), Err("degenerate_pairs"));
        assert!(min_distance(&same).unwrap() < 1e-15);
        let some = angles(2, &[1.0, 1.0, 2.0, 2.0, 0.0, 0.0, 0.0, -1.0], 2.0);
        assert_eq!(flags(&some), ["zero_norm_classes", "degenerate_pairs"]);
        assert!(log_energy_mean(&some).is_ok());
    }

    #[test]
    fn exponents_beyond_f64_have_a_logarithm_and_zero_is_the_log_energy() {
        let values = [1.0, 0.0, 0.0, 1.0];
        let large = angles(2, &values, 4000.0);
        assert_eq!(riesz_mean(&large), Err("out_of_range"));
        assert_close(riesz_ln_mean(&large).unwrap(), -2000.0 * 2_f64.ln(), 1e-14);
        let zero = angles(2, &values, 0.0);
        assert_eq!(riesz_mean(&zero), log_energy_mean(&zero));
        assert_close(riesz_mean(&angles(2, &values, -1.0)).unwrap(), -2_f64.sqrt(), 1e-14);
    }
}
