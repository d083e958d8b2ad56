//! How often linear discriminant analysis confuses two classes.

use super::normal::{density, upper_tail};
use crate::kernels::pairs::{self, Distances, Points};
use crate::linalg;
use crate::metrics::context::MetricContext;
use crate::metrics::doubt::arithmetic;
use crate::metrics::nc1::{Vci, normaliser};
use crate::metrics::noise::along;
use crate::metrics::outcome::Outcome;
use crate::metrics::vectors::dot;
use crate::state::Statistics;

/// Errors of all pairs of classes, were both normal with the covariance `Σ_W` and equally frequent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::metrics) struct Errors {
    mean: f64,
    max: f64,
    /// How far rounding may have moved the two.
    mean_error: f64,
    max_error: f64,
}

/// `separation_lda_error_mean`: the mean over pairs of `Φ(−Δ_ij/2)`, `Δ_ij² = (μ_i − μ_j)ᵀ Σ_W⁻¹ (μ_i − μ_j)`.
pub(in crate::metrics) fn lda_error_mean(context: &MetricContext<'_>) -> Outcome {
    outcome(context, |errors| (errors.mean, errors.mean_error))
}

/// `separation_lda_error_max`: the largest `Φ(−Δ_ij/2)`.
pub(in crate::metrics) fn lda_error_max(context: &MetricContext<'_>) -> Outcome {
    outcome(context, |errors| (errors.max, errors.max_error))
}

fn outcome(context: &MetricContext<'_>, number: fn(&Errors) -> (f64, f64)) -> Outcome {
    match context.vci().and_then(|vci| Ok((vci, context.lda_errors()?))) {
        Ok((vci, errors)) => {
            let (value, error) = number(errors);
            Outcome { flags: vci.flags(), counts: vci.counts(), ..value.into() }.off_by(|_| error)
        }
        Err(reason) => Outcome::null(context.scatter_reason(reason)),
    }
}

impl Errors {
    /// Means are seen along the directions of [`Vci::of`], in which `Σ_W` is 1: there `Δ` is the distance, and there are fewer
    /// of them than classes. `Σ_W` has the divisor of the options.
    ///
    /// # Errors
    ///
    /// Those of [`normaliser`], which has none where VCI has a value.
    pub(in crate::metrics) fn of(context: &MetricContext<'_>, vci: &Vci) -> Result<Self, &'static str> {
        let statistics = context.evidence.statistics;
        let (dim, rows) = (statistics.dim, statistics.rows() as f64);
        let scale = (normaliser(statistics, context.options)? / rows).sqrt();
        let rank = vci.ratios.len();
        let means = &context.means.vectors;
        let mut values = linalg::product_transposed(&means.values, &vci.directions, dim);
        for x in &mut values {
            *x *= scale * means.unit;
        }
        let norms: Vec<f64> = values.chunks_exact(rank).map(|row| dot(row, row).sqrt()).collect();
        let noise = mean_noise(statistics, vci, scale, &norms);
        let points = Points { dim: rank, values: &values, norms: &norms, unit: 1.0, noise: &noise, along: 1.0 };
        Ok(Sums::over(&points).finish(&points, distance_error(statistics, vci)))
    }
}

/// The mean squared distance of each point from the true one.
fn mean_noise(statistics: &Statistics, vci: &Vci, scale: f64, norms: &[f64]) -> Vec<f64> {
    let rounding: f64 = vci.directions.chunks_exact(statistics.dim).map(|x| along(x, &statistics.mean_rounding)).sum();
    let of_class = |(&n, norm): (&u64, &f64)| rounding * scale * scale / n as f64 + (f64::EPSILON * norm).powi(2);
    statistics.counts.iter().zip(norms).map(of_class).collect()
}

/// The relative error of a squared distance that rounding within classes makes: with `y = Σ_W⁻¹ (μ_i − μ_j)`, `yᵀΓy` on
/// average and `2 √(yᵀΓy Δ²/N)` at random. `yᵀΓy/Δ²` is at most the norm of `XΓXᵀ`. Close to each other, points have three
/// digits fewer.
fn distance_error(statistics: &Statistics, vci: &Vci) -> f64 {
    let most = |noise: &[f64]| {
        let scaled: Vec<f64> = vci
            .directions
            .chunks_exact(statistics.dim)
            .flat_map(|x| x.iter().zip(noise).map(|(x, noise)| x * noise.sqrt()))
            .collect();
        let gram = linalg::outer_gram(&scaled, statistics.dim);
        gram.iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    let random = 2.0 * (most(&statistics.rounding_changed) / statistics.rows() as f64).sqrt();
    most(&statistics.rounding) + random + vci.hidden / statistics.rows() as f64 + 1e3 * arithmetic(statistics.dim)
}

/// Sums over pairs.
#[derive(Clone, Copy, Debug)]
struct Sums {
    pairs: u64,
    errors: f64,
    /// `Σ φ(Δ/2) Δ`: what a relative change of all distances comes to.
    stretch: f64,
    /// `Σ φ(Δ/2) e`, `e` the noise of both means.
    noise: f64,
    /// The least squared distance, and the noise of both means.
    nearest: (f64, f64),
}

impl Sums {
    const NONE: Self = Self { pairs: 0, errors: 0.0, stretch: 0.0, noise: 0.0, nearest: (f64::INFINITY, 0.0) };

    fn over(points: &Points<'_>) -> Self {
        let mut all = Self::NONE;
        let add = |sums: &mut Self, Distances { point, first, squared }: &Distances<'_>| {
            for (at, &squared) in squared.iter().enumerate() {
                let (distance, noise) = (squared.sqrt(), points.noise[*point] + points.noise[first + at]);
                let density = density(0.5 * distance);
                sums.pairs += 1;
                sums.errors += upper_tail(0.5 * distance);
                sums.stretch += density * distance;
                sums.noise += density * noise.sqrt();
                if squared < sums.nearest.0 {
                    sums.nearest = (squared, noise);
                }
            }
        };
        pairs::distances(points, |_, _| Self::NONE, add, |_, _, part| all.merge(&part));
        all
    }

    fn merge(&mut self, other: &Self) {
        self.pairs += other.pairs;
        self.errors += other.errors;
        self.stretch += other.stretch;
        self.noise += other.noise;
        if other.nearest.0 < self.nearest.0 {
            self.nearest = other.nearest;
        }
    }

    /// `relative` is the error of a squared distance: `Φ(−Δ/2)` moves by `φ(Δ/2) Δ/4` times that.
    fn finish(&self, points: &Points<'_>, relative: f64) -> Errors {
        let pairs = self.pairs.max(1) as f64;
        let (nearest, noise) = (self.nearest.0.sqrt(), self.nearest.1.sqrt());
        let own = arithmetic(points.dim);
        let mean = self.errors / pairs;
        let max = upper_tail(0.5 * nearest);
        let of_max = density(0.5 * nearest);
        Errors {
            mean,
            max,
            mean_error: (0.25 * relative * self.stretch + 0.5 * self.noise) / pairs + own * mean,
            max_error: of_max * (0.25 * relative * nearest + 0.5 * noise) + own * max,
        }
    }
}
