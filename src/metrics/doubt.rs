//! How far rounding may have moved metrics of vectors: bounds of first order on what the errors of the vectors do to each,
//! and the squares of errors where numbers near 0 leave nothing else.

use super::geometry::Geometry;
use super::nc2::Lengths;
use super::nc3::Alignment;
use super::vectors::{Vectors, dot};

/// Errors of some numbers, one by one, all in the worst direction.
pub(super) struct Errors(Vec<f64>);

impl Errors {
    pub(super) fn of(errors: Vec<f64>) -> Self {
        Self(errors)
    }

    /// Of the numbers' mean.
    pub(super) fn of_mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// Of their standard deviation, whatever its divisor.
    pub(super) fn of_std(&self) -> f64 {
        let n = self.0.len() as f64;
        (self.0.iter().map(|e| e * e).sum::<f64>() / (n - 1.0).max(1.0)).sqrt()
    }

    fn largest(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

/// Of the square of a number that is off by `error`.
pub(super) fn of_square(number: f64, error: f64) -> f64 {
    2.0 * number * error + error * error
}

/// Of a number that is the root of one that is off by `error`.
fn of_root(number: f64, error: f64) -> f64 {
    if number * number > error { error / number } else { error.sqrt() }
}

/// Of `std / mean`.
pub(super) fn of_ratio(ratio: f64, mean: f64, of_std: f64, of_mean: f64) -> f64 {
    (of_std + ratio.abs() * of_mean) / mean.abs()
}

/// What a product of matrices, or a sum over many pairs, loses of `1` by itself.
pub(super) fn arithmetic(terms: usize) -> f64 {
    (4.0 + (terms as f64).sqrt()) * f64::EPSILON
}

/// `√Σ e²` over vectors.
fn whole(errors: &[f64]) -> f64 {
    dot(errors, errors).sqrt()
}

/// Of [`frame_error`](super::nc2::frame_error) of vectors with themselves, which is `value`: the structure `S = X Xᵀ` is
/// off by `2 ‖X‖ ‖δ‖`, and its norm is at least `‖X‖²/√rank`.
pub(super) fn of_frame(vectors: &Vectors, value: f64) -> f64 {
    let (size, errors) = (dot(&vectors.values, &vectors.values).sqrt(), vectors.errors());
    let rank = vectors.len().min(vectors.dim) as f64;
    let moved = 2.0 * rank.sqrt() * whole(&errors) / size;
    moved + of_difference(vectors, value)
}

/// Of `‖S/‖S‖ − F/‖F‖‖`, which is `value`, by its own arithmetic: the closed form is the root of a difference of ones.
fn of_difference(vectors: &Vectors, value: f64) -> f64 {
    let lost = arithmetic(vectors.len() * vectors.dim);
    if vectors.few() { lost } else { of_root(value, 2.0 * lost) }
}

impl Geometry {
    /// Of the metric of that key, which is `value`.
    pub(super) fn doubt(&self, key: &str, value: f64) -> f64 {
        let vectors = &self.vectors;
        let (unit, errors) = (vectors.unit, vectors.errors());
        let relative: Vec<f64> =
            errors.iter().zip(&vectors.norms).filter(|(_, norm)| **norm > 0.0).map(|(e, norm)| e / norm).collect();
        let (lengths, directions) = (Errors::of(errors.clone()), Errors::of(relative));
        // Both vectors of a pair err.
        let (cos_mean, cos_std) = (2.0 * directions.of_mean(), 2.0 * directions.of_std());
        match key {
            "nc2_norm_mean" => lengths.of_mean() * unit,
            "nc2_norm_var" => of_square(value.sqrt(), lengths.of_std() * unit),
            "nc2_equinorm_cv" => {
                let mean = self.lengths().map_or(f64::NAN, |lengths| lengths.mean);
                of_ratio(value, mean, lengths.of_std() * unit, lengths.of_mean() * unit)
            }
            "nc2_log_norm_mean" | "nc2_log_norm_var" | "nc2_log_norm_cv" => {
                self.lengths().map_or(0.0, |lengths| of_logs(key, value, lengths, &directions))
            }
            "nc2_cos_mean" | "nc2_max_angle" => cos_mean,
            "nc2_equiangular_std" => cos_std + of_root(value, self.cos_arithmetic()),
            "nc2_interference_cv" => match self.cosines() {
                Some((mean, var)) => {
                    of_ratio(value, mean, cos_std + of_root(var.sqrt(), self.cos_arithmetic()), cos_mean)
                }
                None => 0.0,
            },
            "nc2_interference_mean" => of_products(vectors, &errors).0 * unit * unit,
            "nc2_interference_var" => {
                let (_, of_std, arithmetic) = of_products(vectors, &errors);
                let square = unit * unit;
                of_square(value.sqrt(), of_std * square) + arithmetic * square * square
            }
            "nc2_etf_error" | "nc2_of_error" => of_frame(vectors, value),
            "nc2_participation_ratio" => {
                let rank = vectors.len().min(vectors.dim) as f64;
                let size = dot(&vectors.values, &vectors.values).sqrt();
                value * (4.0 * (1.0 + rank.sqrt()) * whole(&errors) / size + arithmetic(vectors.len() * vectors.dim))
            }
            _ => self.doubt_of_pairs(key, value, &directions),
        }
    }

    /// What the closed form of the variance of cosines loses.
    fn cos_arithmetic(&self) -> f64 {
        if self.vectors.few() { 0.0 } else { arithmetic(self.vectors.dim) }
    }

    /// Of energies and distances: the kernel's own arithmetic and the errors of directions, which are all that classifier
    /// rows have, and all that is left where a number is near 0.
    fn doubt_of_pairs(&self, key: &str, value: f64, directions: &Errors) -> f64 {
        let energy = key == "hug_inter";
        let Some(angles) = (if energy { &self.energy } else { &self.angles }) else { return 0.0 };
        let Some(least) = angles.min_distance.filter(|&least| least > 0.0) else { return 0.0 };
        // Distances are taken from cosines as long as these leave them three digits fewer than they have.
        let distance = 2.0 * directions.largest() + arithmetic(self.vectors.dim) / least.max(0.04);
        let s = if energy { 2.0 } else { angles.riesz_s };
        // Of a logarithm of a distance.
        let ln = distance / least;
        let riesz = |of: f64| s.abs() * ln * of;
        match key {
            "gnc2_distance_mean" | "gnc2_min_distance" => distance,
            "gnc2_distance_var" => of_square(value.sqrt(), distance),
            "gnc2_log_energy_mean" => ln,
            "gnc2_log_energy_var" => of_square(value.sqrt(), ln),
            "gnc2_log_energy_cv" => of_ratio(value, angles.log_energy.mean, ln, ln),
            "gnc2_riesz_mean" if s == 0.0 => ln,
            "gnc2_riesz_var" if s == 0.0 => of_square(value.sqrt(), ln),
            "gnc2_riesz_mean" | "hug_inter" => riesz(value.abs()),
            "gnc2_riesz_ln_mean" => riesz(1.0) + f64::EPSILON * s.abs(),
            "gnc2_riesz_var" => {
                let mean = angles.riesz.moments.mean * angles.riesz.ln_scale.exp();
                of_square(value.sqrt(), riesz((value + mean * mean).sqrt()))
            }
            _ => 0.0,
        }
    }
}

fn of_logs(key: &str, value: f64, lengths: &Lengths, directions: &Errors) -> f64 {
    let Some((mean, _)) = lengths.log else { return 0.0 };
    let logs = Errors::of(directions.0.iter().map(|error| error + f64::EPSILON * mean.abs()).collect());
    match key {
        "nc2_log_norm_mean" => logs.of_mean(),
        "nc2_log_norm_var" => of_square(value.sqrt(), logs.of_std()),
        _ => of_ratio(value, mean, logs.of_std(), logs.of_mean()),
    }
}

/// Of the mean of products over pairs, of their standard deviation, and what the closed form of their variance loses; in
/// units of the vectors.
fn of_products(vectors: &Vectors, errors: &[f64]) -> (f64, f64, f64) {
    let k = vectors.len() as f64;
    let sum = vectors.sum();
    let all: f64 = errors.iter().sum();
    let mean = (2.0 * (dot(&sum, &sum).sqrt() + all) * all + 2.0 * dot(&vectors.norms, errors)) / (k * (k - 1.0));
    let square = dot(&vectors.norms, &vectors.norms) / k;
    let of_std = 2.0 * (square * dot(errors, errors) / k).sqrt();
    let closed = if vectors.few() { 0.0 } else { arithmetic(vectors.dim) * square * square };
    (mean, of_std, closed)
}

/// Of the NC3 metric of that key, which is `value`; `structure` is `‖W Cᵀ‖`, in units of both, for the key that needs it.
pub(super) fn of_duality(
    key: &str,
    value: f64,
    (weights, means): (&Vectors, &Vectors),
    duality: &Alignment,
    structure: impl FnOnce() -> f64,
) -> f64 {
    let (of_weights, of_means) = (weights.errors(), means.errors());
    let size = |vectors: &Vectors| dot(&vectors.values, &vectors.values).sqrt();
    let moved = whole(&of_means) / size(means) + whole(&of_weights) / size(weights);
    let unit = weights.unit * means.unit;
    let classes = 0..means.len();
    let dots = Errors::of(
        classes.clone().map(|k| (weights.norms[k] * of_means[k] + of_weights[k] * means.norms[k]) * unit).collect(),
    );
    let directed = classes.filter(|&k| duality.cosines[k].is_some());
    let angles: Vec<f64> = directed.map(|k| of_means[k] / means.norms[k] + of_weights[k] / weights.norms[k]).collect();
    // A cosine changes with the sine of the angle, which the distance bounds.
    let of_cos = |(angle, distance): (&f64, &f64)| angle * (distance + angle) + arithmetic(means.dim);
    let cosines = Errors::of(angles.iter().zip(&duality.distances).map(of_cos).collect());
    let angles = Errors::of(angles);
    match key {
        "nc3_self_duality_sq" => of_square(value.sqrt(), moved),
        "nc3_duality_error" => {
            let structure = structure();
            let product = size(weights) * whole(&of_means) + whole(&of_weights) * size(means);
            2.0 * product / structure + of_difference(means, value)
        }
        "nc3_dot_mean" => dots.of_mean(),
        "nc3_dot_var" | "unc3_dot_var" => of_square(value.sqrt(), dots.of_std()),
        "nc3_cos_mean" => cosines.of_mean(),
        "nc3_cos_var" => of_square(value.sqrt(), cosines.of_std()),
        "unc3_cos_cv" => {
            duality.cos().map_or(0.0, |(mean, _)| of_ratio(value, mean, cosines.of_std(), cosines.of_mean()))
        }
        "nc3_dist_mean" => angles.of_mean(),
        "nc3_dist_var" => of_square(value.sqrt(), angles.of_std()),
        _ => 0.0,
    }
}
