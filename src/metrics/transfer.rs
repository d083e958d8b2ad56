//! Transfer: how well a linear model of the features would explain the labels.

use rayon::prelude::*;

use super::context::MetricContext;
use super::doubt::arithmetic;
use super::noise::along;
use super::outcome::Outcome;
use super::spectrum::{Covariance, Eigenvalues};
use super::vectors::dot;
use crate::linalg;
use crate::state::Statistics;

/// How often the two precisions are made anew before they count as not converging. A quotient that grows without end is seen long
/// before.
const ITERATIONS: usize = 50_000;

/// Far above all values the quotient grows by a constant factor, to within so many times the largest value over the quotient.
const SLACK: f64 = 10.0;

/// The relative change at which they have converged. The evidence changes with the square of it.
const CONVERGED: f64 = 1e-9;

/// A dimension is hidden if its variance is below so many times what counts as rounding.
const HIDDEN: f64 = 1e3;

/// Labels are explained if the loss of a class is below this share of its rows.
const EXPLAINED: f64 = 0.5;

/// A loss is known if its relative error is below this: six times as much still leaves its logarithm a first digit.
const RESOLVED: f64 = 0.05;

/// `transfer_logme`: the mean over classes of the logarithm of the maximum evidence, divided by `N`, that Bayesian ridge
/// regression finds for the class's indicator `y` (You et al. 2021).
///
/// With `XᵀX = V diag(s) Vᵀ`, `z = Vᵀ Xᵀy = n_k Vᵀ μ_k`, `λ = α/β` the quotient of the precisions of weights and noise:
///
/// ```text
/// γ = Σ s/(s + λ)     m = z/(s + λ)     α = γ/‖m‖²     β = (N − γ)/‖y − X V m‖²
/// log evidence / N = ½ [ln β − ln 2π − 1 − (1/N) Σ ln(1 + s/λ)]     β = N/(n_k − Σ z²/(s + λ))
/// ```
///
/// `λ` is that at which these hold together, reached from `α = β = 1`. Features are not centred.
pub(super) fn logme(context: &MetricContext<'_>) -> Outcome {
    let statistics = context.evidence.statistics;
    if statistics.classes() < 2 {
        return Outcome::null("single_class");
    }
    let eigen = match context.eigenvalues(Covariance::Uncentred) {
        Ok(eigen) => eigen,
        Err(reason) => return Outcome::null(context.scatter_reason(reason)),
    };
    let ridge = Ridge::of(statistics, eigen);
    let classes: Vec<Option<(f64, f64)>> =
        (0..statistics.classes()).into_par_iter().map(|class| ridge.evidence(class)).collect();
    let Some(classes) = classes.into_iter().collect::<Option<Vec<_>>>() else {
        return Outcome::null("no_fixed_point");
    };
    let mean = |of: fn(&(f64, f64)) -> f64| classes.iter().map(of).sum::<f64>() / classes.len() as f64;
    Outcome::from(mean(|(value, _)| *value)).off_by(|_| mean(|(_, error)| *error))
}

/// The normal equations of all classes, in the axes of `XᵀX` and in units of `N · eigen.unit`.
struct Ridge<'a> {
    statistics: &'a Statistics,
    eigen: &'a Eigenvalues,
    /// `s/(N unit)`, of the axes that are more than rounding.
    values: &'a [f64],
    /// `z/√(N unit)`, classes × axes.
    targets: Vec<f64>,
    /// What of `s` is left out with an axis, at most.
    cut: f64,
    /// Whether axes are left out although rows vary in some dimension by no more than what counts as rounding.
    hides: bool,
}

impl<'a> Ridge<'a> {
    fn of(statistics: &'a Statistics, eigen: &'a Eigenvalues) -> Self {
        let (dim, rows) = (statistics.dim, statistics.rows() as f64);
        let cut = dim as f64 * f64::EPSILON * eigen.values[0];
        let axes = eigen.values.iter().filter(|value| **value > cut).count();
        let scale = 1.0 / (rows * eigen.unit).sqrt();
        let sums: Vec<f64> = (0..statistics.classes())
            .flat_map(|class| {
                let factor = statistics.counts[class] as f64 * scale;
                statistics.mean(class).into_iter().map(move |x| x * factor)
            })
            .collect();
        let targets = linalg::product_transposed(&sums, &eigen.vectors[..axes * dim], dim);
        let is_hidden = |variance: f64| variance > 0.0 && variance < HIDDEN * cut * eigen.unit;
        let hides = axes < dim && total_variances(statistics).into_iter().any(is_hidden);
        Self { statistics, eigen, values: &eigen.values[..axes], targets, cut, hides }
    }

    /// The logarithm of the evidence over `N`, and its error; `None` without a fixed point.
    fn evidence(&self, class: usize) -> Option<(f64, f64)> {
        let (rows, count) = (self.statistics.rows() as f64, self.statistics.counts[class] as f64);
        let axes = self.values.len();
        let targets = &self.targets[class * axes..][..axes];
        let lambda = self.fixed_point(targets, count)?;
        let weights: Vec<f64> = self.values.iter().zip(targets).map(|(s, z)| z / (s + lambda)).collect();
        let loss = count - weights.iter().zip(targets).map(|(m, z)| m * z).sum::<f64>();
        let sum_of_logs: f64 = self.values.iter().map(|s| (s / lambda).ln_1p()).sum();
        let value = 0.5 * ((rows / loss).ln() - (2.0 * std::f64::consts::PI).ln() - 1.0 - sum_of_logs / rows);
        let lost = self.loss_error(&weights, loss, lambda, count) / loss;
        let moved = self.eigen.moved(|r| if r < axes { 1.0 / (self.values[r] + lambda) } else { 0.0 });
        let hidden = (self.statistics.dim - axes) as f64 * (self.cut / lambda).ln_1p();
        // Axes that explain little may stand before others that explain the labels.
        let is_known = loss > 0.0 && lost < RESOLVED && !(self.hides && loss > EXPLAINED * count);
        is_known.then(|| (value, 0.5 * (lost + (moved + hidden) / rows)))
    }

    /// `λ`, in units of the values.
    fn fixed_point(&self, targets: &[f64], count: f64) -> Option<f64> {
        let rows = self.statistics.rows() as f64;
        let mut lambda = 1.0 / (rows * self.eigen.unit);
        for _ in 0..ITERATIONS {
            let (mut free, mut square, mut explained) = (0.0, 0.0, 0.0);
            for (s, z) in self.values.iter().zip(targets) {
                let m = z / (s + lambda);
                free += s / (s + lambda);
                square += m * m;
                explained += m * (2.0 * z - s * m);
            }
            let next = free * (count - explained) / ((rows - free) * square);
            if !(next > 0.0 && next.is_finite()) {
                return None;
            }
            let growth = next / lambda - 1.0;
            // Where labels are explained but for a tiny part, that part is known no better than the difference.
            let unknown = arithmetic(self.values.len()) * count / (count - explained);
            if growth.abs() < CONVERGED.max(unknown) {
                return Some(next);
            }
            // With λ far above s, γ = Σs/λ, ‖m‖² = Σz²/λ², and nothing is explained: the factor n Σs/(N Σz²) no longer changes.
            let near = SLACK * self.values[0] / lambda;
            if near < 1.0 && growth > near {
                return None;
            }
            lambda = next;
        }
        None
    }

    /// How far rounding may have moved `n_k − Σ z²/(s + λ)`: by `mᵀΓm` on average, by `2 √(loss mᵀΓm/N)` at random, and by the
    /// arithmetic of a difference, which may be far below `n_k`. Axes that were left out may explain what is left.
    fn loss_error(&self, weights: &[f64], loss: f64, lambda: f64, count: f64) -> f64 {
        let (dim, axes) = (self.statistics.dim, self.values.len());
        let rows = self.statistics.rows() as f64;
        let direction = linalg::product(weights, &self.eigen.vectors[..axes * dim], axes, dim);
        let bias = along(&direction, &self.statistics.rounding) / self.eigen.unit;
        let noise = along(&direction, &self.statistics.rounding_changed) / self.eigen.unit;
        let random = 2.0 * (loss.max(0.0) * noise / rows).sqrt();
        let size = dot(weights, weights);
        let own = arithmetic(dim) * (count + self.eigen.values[0] * size);
        let hidden = if axes < dim { self.cut / (self.cut + lambda) * loss.max(0.0) } else { 0.0 };
        bias + random + own + hidden
    }
}

/// `Σ_T,jj`, feature units squared; 0 for a dimension in which all rows are equal.
fn total_variances(statistics: &Statistics) -> Vec<f64> {
    let (dim, rows) = (statistics.dim, statistics.rows() as f64);
    let mut variances: Vec<f64> =
        statistics.scatter.iter().flat_map(|scatter| (0..dim).map(|j| scatter[j * dim + j] / rows)).collect();
    variances.resize(dim, 0.0);
    let mean: Vec<f64> =
        statistics.mean_of_rows().iter().zip(&statistics.origin).map(|(mean, origin)| mean - origin).collect();
    for (class, &count) in statistics.counts.iter().enumerate() {
        for (j, (variance, offset)) in variances.iter_mut().zip(statistics.offset(class)).enumerate() {
            *variance += count as f64 / rows * (offset - mean[j]).powi(2);
        }
    }
    variances
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, golden, statistics};
    use crate::metrics::{Evidence, Extras, Measured, Options, Selection, measure};

    fn logme_of(statistics: &Statistics) -> Measured {
        let selection = Selection::parse(&["transfer_logme".to_owned()]).unwrap();
        let made = measure(&Evidence::new(statistics, 53), &Options::default(), &selection, Extras::default());
        made.unwrap().metrics.remove(0)
    }

    /// Along one axis all is known: eight rows ±1 by class, and two on the wrong side.
    #[test]
    fn one_axis_by_hand() {
        let rows = [1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0];
        let statistics = statistics(1, &rows, &[0, 0, 0, 0, 1, 1, 1, 1, 0, 1]);
        // N = 10, s = 10, n = 5, z = ±3: with γ = 10/(10 + λ), m = 3/(10 + λ), the residual 5 − 6m + 10m².
        let mut lambda = 1.0_f64;
        for _ in 0..10_000 {
            let (m, free) = (3.0 / (10.0 + lambda), 10.0 / (10.0 + lambda));
            lambda = free * (5.0 - 6.0 * m + 10.0 * m * m) / ((10.0 - free) * m * m);
        }
        let (alpha_over_beta, m) = (lambda, 3.0 / (10.0 + lambda));
        let beta = (10.0 - 10.0 / (10.0 + lambda)) / (5.0 - 6.0 * m + 10.0 * m * m);
        let alpha = alpha_over_beta * beta;
        let residual = 5.0 - 6.0 * m + 10.0 * m * m;
        let evidence = 5.0 * beta.ln() + 0.5 * alpha.ln()
            - 5.0 * (2.0 * std::f64::consts::PI).ln()
            - 0.5 * (beta * residual + alpha * m * m + (alpha + 10.0 * beta).ln());
        assert_close(logme_of(&statistics).value.unwrap(), evidence / 10.0, 1e-12);
    }

    /// The closer rows lie to their means, the fewer digits the loss has.
    #[test]
    fn collapsed_rows_have_a_fixed_point_too() {
        let mut state = 5_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / 16_777_216.0 - 0.5
        };
        for spread in [1e-3, 3e-4, 1e-4, 3e-5] {
            let values: Vec<Option<f64>> = (0..20)
                .map(|_| {
                    let means: Vec<f64> = (0..8).map(|_| 6.0 * next()).collect();
                    let rows: Vec<f64> = (0..64).map(|at| means[at / 32 * 4 + at % 4] + spread * next()).collect();
                    let codes: Vec<u32> = (0..16).map(|row| row / 8).collect();
                    logme_of(&statistics(4, &rows, &codes)).value
                })
                .collect();
            // The evidence grows with the logarithm of the spread.
            assert!(values.iter().all(|value| value.is_some_and(|value| value > 2.0)), "{spread}: {values:?}");
        }
    }

    #[test]
    fn the_scale_of_the_features_does_not_matter() {
        let golden = golden();
        let value = logme_of(&golden).value.unwrap();
        let mut larger = golden.clone();
        let times = |values: &mut Vec<f64>, factor: f64| values.iter_mut().for_each(|x| *x *= factor);
        times(&mut larger.origin, 1024.0);
        times(&mut larger.offsets, 1024.0);
        times(&mut larger.variances, 1024.0 * 1024.0);
        times(larger.scatter.as_mut().unwrap(), 1024.0 * 1024.0);
        assert_close(logme_of(&larger).value.unwrap(), value, 1e-10);
    }

    /// A large offset in one dimension, or a large spread, leaves nothing of the others but rounding.
    #[test]
    fn dimensions_that_rounding_hides_are_not_passed_over() {
        let wave = |row: usize, j: usize| (((row * 7 + j * 3) % 11) as f64 - 5.0) / 5.0;
        let codes: Vec<u32> = (0..40).map(|row| row % 2).collect();
        let rows = |first: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let row = |row: usize| [first(row), wave(row, 1) + 3.0 * (row % 2) as f64, wave(row, 2), 1.0];
            (0..40).flat_map(row).collect()
        };
        let reason = |first: &dyn Fn(usize) -> f64| logme_of(&statistics(4, &rows(first), &codes)).reason;
        assert_eq!(reason(&|row| wave(row, 0)), None);
        assert_eq!(reason(&|row| 1e3 + wave(row, 0)), None);
        for large in [1e8, 1e9] {
            assert_eq!(reason(&|row| large + wave(row, 0)), Some("no_fixed_point"), "{large:e}");
            assert_eq!(reason(&|row| large * wave(row, 0)), Some("no_fixed_point"), "{large:e}");
        }
        // A dimension without variance is not hidden.
        assert_eq!(reason(&|_| 0.0), None);
    }

    /// Weak features: the quotient of the precisions grows by less and less, for more than a thousand steps.
    #[test]
    fn a_fixed_point_that_is_far_is_found() {
        let (wave, rows) = (|at: usize| ((at * 7919 % 1009) as f64 / 1009.0 - 0.5) * 3.0, 100);
        let codes: Vec<u32> = (0..rows).map(|row| (row % 2) as u32).collect();
        let mut steps = Vec::new();
        for shift in (0..16).map(|step| 0.322 + 0.000_15 * f64::from(step)) {
            let values: Vec<f64> = (0..rows * 8)
                .map(|at| wave(at) + if at % 8 == 0 { shift * f64::from(codes[at / 8]) } else { 0.0 })
                .collect();
            let statistics = statistics(8, &values, &codes);
            let eigen = Eigenvalues::of(Covariance::Uncentred, &statistics, statistics.scatter.as_deref().unwrap());
            let eigen = eigen.unwrap();
            let ridge = Ridge::of(&statistics, &eigen);
            for class in 0..2 {
                let targets = &ridge.targets[class * ridge.values.len()..][..ridge.values.len()];
                let (mut lambda, mut taken) = (1.0 / (rows as f64 * eigen.unit), 0);
                let mut next = |lambda: f64| {
                    taken += 1;
                    let sum = |term: &dyn Fn(f64, f64) -> f64| -> f64 {
                        ridge.values.iter().zip(targets).map(|(s, z)| term(*s, z / (s + lambda))).sum()
                    };
                    let free = sum(&|s, _| s / (s + lambda));
                    let residual = 50.0 - sum(&|s, m| m * (2.0 * m * (s + lambda) - s * m));
                    free * residual / ((rows as f64 - free) * sum(&|_, m| m * m))
                };
                let limit = (0..100_000).find_map(|_| {
                    let (before, after) = (lambda, next(lambda));
                    lambda = after;
                    ((after / before - 1.0).abs() < CONVERGED).then_some(after)
                });
                match (ridge.fixed_point(targets, 50.0), limit) {
                    (Some(found), Some(limit)) => assert_close(found, limit, 1e-3),
                    (None, None) => {}
                    (found, limit) => panic!("{shift}: {found:?} {limit:?}"),
                }
                steps.push(taken);
            }
        }
        assert!(steps.iter().any(|steps| (1001..50_000).contains(steps)), "{steps:?}");
    }

    #[test]
    fn labels_that_features_say_nothing_of_have_no_fixed_point() {
        // Both means are 0: no weight explains anything, and the precision of weights grows without end.
        let rows = [1.0, -1.0, 2.0, -2.0];
        assert_eq!(logme_of(&statistics(1, &rows, &[0, 0, 1, 1])).reason, Some("no_fixed_point"));
        assert_eq!(logme_of(&statistics(1, &rows, &[0, 0, 0, 0])).reason, Some("single_class"));
        assert_eq!(logme_of(&statistics(1, &[0.0; 4], &[0, 0, 1, 1])).reason, Some("zero_rows"));
    }
}
