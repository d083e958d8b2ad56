//! NC2: do class means, and classifier rows, form a simplex equiangular tight frame?
//!
//! Papyan et al. (2020), Zhu et al. (2021), Wu & Papyan (2024). Each formula of a catalogue's key is a function here. `x_k`
//! stands for the centred class means `c_k`, or for the classifier's rows `w_k` in the keys that end in `_weights`.

mod structure;

pub(super) use structure::{Frame, Lengths, frame_error, pair_cosines, pair_products, simplex_floor, structure_norm};

use structure::{orthogonal_floor, variation};

use super::context::MetricContext;
use super::doubt::{arithmetic, of_frame, of_products, of_ratio, of_root, of_square, whole};
use super::geometry::Geometry;
use super::gnc2;
use super::outcome::{Outcome, TOO_FEW, ZERO_NORMS};
use super::vectors::{Vectors, dot};

/// `nc0_row_sum`: `‖Σ_k w_k‖/(√K ‖W‖)`: 0 where the rows of the classifier sum to 0, 1 where all are the same.
pub(super) fn row_sum(of: &Geometry) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    let (vectors, sum) = (&of.vectors, of.vectors.sum());
    let classes = vectors.len() as f64;
    let size = (classes * vectors.square()).sqrt();
    Outcome::from(dot(sum, sum).sqrt() / size)
        .off_by(|value| whole(&vectors.errors()) * (classes.sqrt() + value) / size + arithmetic(vectors.len()))
}

/// `nc2_norm_mean`: the mean of `‖x_k‖`. Equal means have lengths too, all 0.
pub(super) fn norm_mean(of: &Geometry) -> Outcome {
    Outcome::number_or(of.lengths().map(|lengths| lengths.mean), "single_class")
        .off_by(|_| of.length_errors().of_mean() * of.vectors.unit)
}

/// `nc2_norm_var`: the variance of `‖x_k‖` over classes, divisor `K − 1`.
pub(super) fn norm_var(of: &Geometry) -> Outcome {
    Outcome::number_or(of.lengths().map(|lengths| lengths.var), "single_class")
        .off_by(|var| of_square(var.sqrt(), of.length_errors().of_std() * of.vectors.unit))
}

/// `nc2_log_norm_mean`: the mean of `ln ‖x_k‖`.
pub(super) fn log_norm_mean(of: &Geometry) -> Outcome {
    logarithms(of, |(mean, _)| Some(mean)).off_by(|_| of.log_errors().of_mean())
}

/// `nc2_log_norm_var`: the variance of `ln ‖x_k‖` over classes, divisor `K − 1`.
pub(super) fn log_norm_var(of: &Geometry) -> Outcome {
    logarithms(of, |(_, var)| Some(var)).off_by(|var| of_square(var.sqrt(), of.log_errors().of_std()))
}

/// `nc2_equinorm_cv`: `std ‖x_k‖ / mean ‖x_k‖`, divisor `K − 1`.
pub(super) fn equinorm_cv(of: &Geometry) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    Outcome::number_or(of.lengths().and_then(|lengths| lengths.cv), TOO_FEW).off_by(|cv| {
        let mean = of.lengths().map_or(f64::NAN, |lengths| lengths.mean);
        let errors = of.length_errors();
        of_ratio(cv, mean, errors.of_std() * of.vectors.unit, errors.of_mean() * of.vectors.unit)
    })
}

/// `nc2_log_norm_cv`: `std ln ‖x_k‖ / mean ln ‖x_k‖`, divisor `K − 1`.
pub(super) fn log_norm_cv(of: &Geometry) -> Outcome {
    logarithms(of, variation).off_by(|cv| {
        let (mean, errors) =
            (of.lengths().and_then(|lengths| lengths.log).map_or(f64::NAN, |log| log.0), of.log_errors());
        of_ratio(cv, mean, errors.of_std(), errors.of_mean())
    })
}

/// `nc2_cos_mean`: the mean over pairs of `cos(x_i, x_j)`.
pub(super) fn cos_mean(of: &Geometry) -> Outcome {
    cosines(of, |(mean, _)| Some(mean)).off_by(|_| 2.0 * of.direction_errors().of_mean())
}

/// `nc2_equiangular_std`: the standard deviation over pairs of `cos(x_i, x_j)`.
pub(super) fn equiangular_std(of: &Geometry) -> Outcome {
    cosines(of, |(_, var)| Some(var.sqrt()))
        .off_by(|std| 2.0 * of.direction_errors().of_std() + of_root(std, of.cos_arithmetic()))
}

/// `nc2_max_angle`: the mean over pairs of `|cos(x_i, x_j) + 1/(K − 1)|`, `K` the number of vectors with a direction.
pub(super) fn max_angle(of: &Geometry) -> Outcome {
    gnc2::over_pairs(of, of.angles.as_ref(), gnc2::simplex_deviation).off_by(|_| 2.0 * of.direction_errors().of_mean())
}

/// `nc2_interference_mean`: the mean over pairs of `x_i · x_j`.
pub(super) fn interference_mean(of: &Geometry) -> Outcome {
    let unit = of.vectors.unit;
    products(of, |(mean, _)| mean).off_by(|_| of_products(&of.vectors).mean * unit * unit)
}

/// `nc2_interference_var`: the population variance over pairs of `x_i · x_j`.
pub(super) fn interference_var(of: &Geometry) -> Outcome {
    products(of, |(_, var)| var).off_by(|var| {
        let (errors, square) = (of_products(&of.vectors), of.vectors.unit * of.vectors.unit);
        of_square(var.sqrt(), errors.std * square) + errors.arithmetic * square * square
    })
}

/// `nc2_interference_cv`: standard deviation over mean of `cos(x_i, x_j)` over pairs; flagged above 10, since the mean is
/// near 0.
pub(super) fn interference_cv(of: &Geometry) -> Outcome {
    let outcome = cosines(of, variation);
    let large = outcome.value.is_ok_and(|cv| cv.abs() > 10.0);
    outcome.flag_if(large, "ill_conditioned").off_by(|cv| {
        let Some((mean, var)) = of.cosines() else { return 0.0 };
        let errors = of.direction_errors();
        let of_std = 2.0 * errors.of_std() + of_root(var.sqrt(), of.cos_arithmetic());
        of_ratio(cv, mean, of_std, 2.0 * errors.of_mean())
    })
}

/// `nc2_etf_error`: `‖S/‖S‖ − P/√(K−1)‖` with `S = X Xᵀ` and `P = I − 11ᵀ/K`, the distance to a simplex equiangular tight
/// frame.
pub(super) fn etf_error(of: &Geometry) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    let vectors = &of.vectors;
    Outcome::number_or(frame_error(vectors, vectors, Frame::Simplex), of.all_zero)
        .floor(simplex_floor(vectors.len(), vectors.dim))
        .off_by(|error| of_frame(vectors, error))
}

/// `nc2_of_error`: `‖S/‖S‖ − I/√K‖` with `S = M Mᵀ`, the distance of the class means, which are not centred here, to an
/// orthogonal frame.
pub(super) fn of_error(context: &MetricContext<'_>) -> Outcome {
    let means = Vectors::uncentred(context.evidence.statistics);
    if means.len() < 2 {
        return Outcome::null("single_class");
    }
    orthogonal_error(&means, "zero_means")
}

/// `nc2_of_error_weights`: the same with `S = W Wᵀ`.
pub(super) fn of_error_weights(of: &Geometry) -> Outcome {
    of.undefined().map_or_else(|| orthogonal_error(&of.vectors, of.all_zero), Outcome::null)
}

/// `nc2_participation_ratio`: `(tr XᵀX)² / ‖XᵀX‖²`, the number of directions that the vectors fill evenly.
pub(super) fn participation_ratio(of: &Geometry) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    let vectors = &of.vectors;
    Outcome::number_or(structure::participation_ratio(vectors), of.all_zero).off_by(|ratio| {
        let rank = vectors.len().min(vectors.dim) as f64;
        let size = vectors.square().sqrt();
        let moved = 4.0 * (1.0 + rank.sqrt()) * whole(&vectors.errors()) / size;
        ratio * (moved + arithmetic(vectors.len() * vectors.dim))
    })
}

/// Of mean and variance of `ln ‖x_k‖` over vectors that have a length; `zero_mean` where `number` gives none.
fn logarithms(of: &Geometry, number: fn((f64, f64)) -> Option<f64>) -> Outcome {
    statistic(of, of.lengths().and_then(|lengths| lengths.log), number)
}

/// Of mean and variance over pairs of `cos(x_i, x_j)`; `zero_mean` where `number` gives none.
fn cosines(of: &Geometry, number: fn((f64, f64)) -> Option<f64>) -> Outcome {
    statistic(of, of.cosines(), number)
}

fn statistic(of: &Geometry, moments: Option<(f64, f64)>, number: fn((f64, f64)) -> Option<f64>) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    let value = moments.ok_or(TOO_FEW).and_then(|moments| number(moments).ok_or("zero_mean"));
    Outcome::from(value).flag_if(of.vectors.zeros() > 0, ZERO_NORMS)
}

/// Of mean and variance over pairs of `x_i · x_j`.
fn products(of: &Geometry, number: fn((f64, f64)) -> f64) -> Outcome {
    of.undefined().map_or_else(|| Outcome::number_or(of.products().map(number), TOO_FEW), Outcome::null)
}

fn orthogonal_error(vectors: &Vectors, all_zero: &'static str) -> Outcome {
    Outcome::number_or(frame_error(vectors, vectors, Frame::Orthogonal), all_zero)
        .floor(orthogonal_floor(vectors.len(), vectors.dim))
        .off_by(|error| of_frame(vectors, error))
}
