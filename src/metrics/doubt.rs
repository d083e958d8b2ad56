//! How far rounding may have moved metrics of vectors: first-order bounds on what the errors of the vectors do to each
//! metric, and second-order ones where a number near 0 leaves no first order.

use super::geometry::Geometry;
use super::vectors::{Vectors, dot};
use crate::kernels::pairs::Angles;

/// Errors of several numbers, taken to point all in the worst direction.
pub(super) struct Errors(Vec<f64>);

impl Errors {
    pub(super) fn of(errors: Vec<f64>) -> Self {
        Self(errors)
    }

    /// The error of the numbers' mean.
    pub(super) fn of_mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// The error of their standard deviation, whatever its divisor.
    pub(super) fn of_std(&self) -> f64 {
        let n = self.0.len() as f64;
        (self.0.iter().map(|e| e * e).sum::<f64>() / (n - 1.0).max(1.0)).sqrt()
    }

    fn largest(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }
}

/// The error of the square of a number that is off by `error`.
pub(super) fn of_square(number: f64, error: f64) -> f64 {
    2.0 * number * error + error * error
}

/// The error of a number that is the root of one that is off by `error`.
pub(super) fn of_root(number: f64, error: f64) -> f64 {
    if number * number > error { error / number } else { error.sqrt() }
}

/// The error of `ratio = std / mean`.
pub(super) fn of_ratio(ratio: f64, mean: f64, of_std: f64, of_mean: f64) -> f64 {
    (of_std + ratio.abs() * of_mean) / mean.abs()
}

/// The relative error of a matrix product, or of a sum over many pairs, that its own arithmetic makes.
pub(super) fn arithmetic(terms: usize) -> f64 {
    (4.0 + (terms as f64).sqrt()) * f64::EPSILON
}

/// `√Σ e²` over vectors.
pub(super) fn whole(errors: &[f64]) -> f64 {
    dot(errors, errors).sqrt()
}

/// The error of [`frame_error`](super::nc2::frame_error) of vectors with themselves, which is `value`: the structure
/// `S = X Xᵀ` is off by `2 ‖X‖ ‖δ‖`, and its norm is at least `‖X‖²/√rank`.
pub(super) fn of_frame(vectors: &Vectors, value: f64) -> f64 {
    let (size, errors) = (vectors.square().sqrt(), vectors.errors());
    let rank = vectors.len().min(vectors.dim) as f64;
    let moved = 2.0 * rank.sqrt() * whole(&errors) / size;
    moved + of_difference(vectors, value)
}

/// The error of `‖S/‖S‖ − F/‖F‖‖`, which is `value`, that its own arithmetic makes: the closed form is the root of a
/// difference of two numbers near 1.
pub(super) fn of_difference(vectors: &Vectors, value: f64) -> f64 {
    let lost = arithmetic(vectors.len() * vectors.dim);
    if vectors.few() { lost } else { of_root(value, 2.0 * lost) }
}

/// Errors of statistics over pairs of inner products, in units of the vectors.
pub(super) struct ProductErrors {
    /// Of the mean.
    pub mean: f64,
    /// Of the standard deviation.
    pub std: f64,
    /// What the closed form of the variance loses.
    pub arithmetic: f64,
}

/// Errors of statistics over pairs of the vectors' inner products.
pub(super) fn of_products(vectors: &Vectors) -> ProductErrors {
    let errors = vectors.errors();
    let k = vectors.len() as f64;
    let sum = vectors.sum();
    let all: f64 = errors.iter().sum();
    let mean = (2.0 * (dot(sum, sum).sqrt() + all) * all + 2.0 * dot(&vectors.norms, &errors)) / (k * (k - 1.0));
    let square = dot(&vectors.norms, &vectors.norms) / k;
    let std = 2.0 * (square * dot(&errors, &errors) / k).sqrt();
    let arithmetic = if vectors.few() { 0.0 } else { arithmetic(vectors.dim) * square * square };
    ProductErrors { mean, std, arithmetic }
}

impl Geometry {
    /// Errors of the lengths, in units of the vectors.
    pub(super) fn length_errors(&self) -> Errors {
        Errors::of(self.vectors.errors())
    }

    /// Errors of the directions, over vectors that have one: angles.
    pub(super) fn direction_errors(&self) -> Errors {
        let errors = self.vectors.errors();
        let directed = errors.iter().zip(&self.vectors.norms).filter(|(_, norm)| **norm > 0.0);
        Errors::of(directed.map(|(e, norm)| e / norm).collect())
    }

    /// Errors of the lengths' logarithms, over vectors that have one.
    pub(super) fn log_errors(&self) -> Errors {
        let mean = self.lengths().and_then(|lengths| lengths.log).map_or(0.0, |(mean, _)| mean);
        Errors::of(self.direction_errors().0.iter().map(|error| error + f64::EPSILON * mean.abs()).collect())
    }

    /// What the closed form of the variance of cosines loses.
    pub(super) fn cos_arithmetic(&self) -> f64 {
        if self.vectors.few() { 0.0 } else { arithmetic(self.vectors.dim) }
    }
}

/// Errors of distances between unit vectors: those of their directions, which are all that classifier rows have, and those
/// of the sweep's own arithmetic, which are all that is left where a number is near 0.
pub(super) struct DistanceErrors {
    /// Of a distance.
    pub distance: f64,
    /// Of the logarithm of a distance.
    pub ln: f64,
    /// The mean of `−ln` of a distance.
    log_energy: f64,
    /// The mean of a distance to the power `−s`.
    riesz: f64,
    riesz_s: f64,
}

impl DistanceErrors {
    /// `None` if two vectors have the same direction, or there is no pair.
    pub(super) fn of(geometry: &Geometry, angles: &Angles) -> Option<Self> {
        let least = angles.min_distance.filter(|&least| least > 0.0)?;
        // Distances are taken from cosines as long as these leave them three digits fewer than they have.
        let lost = arithmetic(geometry.vectors.dim) / least.max(0.04);
        let distance = 2.0 * geometry.direction_errors().largest() + lost;
        Some(Self {
            distance,
            ln: distance / least,
            log_energy: angles.log_energy.mean,
            riesz: angles.riesz.moments.mean * angles.riesz.ln_scale.exp(),
            riesz_s: angles.riesz_s,
        })
    }

    /// Of `of` times a distance to the power `−s`.
    fn of_riesz(&self, of: f64) -> f64 {
        self.riesz_s.abs() * self.ln * of
    }

    /// Of a variance of `−ln` of a distance.
    pub(super) fn log_energy_var(&self, var: f64) -> f64 {
        of_square(var.sqrt(), self.ln)
    }

    /// Of a standard deviation over a mean of `−ln` of a distance.
    pub(super) fn log_energy_cv(&self, cv: f64) -> f64 {
        of_ratio(cv, self.log_energy, self.ln, self.ln)
    }

    /// Of a Riesz energy.
    pub(super) fn riesz_mean(&self, mean: f64) -> f64 {
        if self.riesz_s == 0.0 { self.ln } else { self.of_riesz(mean.abs()) }
    }

    /// Of a variance of the Riesz kernel.
    pub(super) fn riesz_var(&self, var: f64) -> f64 {
        if self.riesz_s == 0.0 {
            return self.log_energy_var(var);
        }
        of_square(var.sqrt(), self.of_riesz((var + self.riesz * self.riesz).sqrt()))
    }

    /// Of the logarithm of a Riesz energy.
    pub(super) fn riesz_ln_mean(&self) -> f64 {
        self.of_riesz(1.0) + f64::EPSILON * self.riesz_s.abs()
    }
}
