//! Spectrum: how many directions the rows fill, and how their variance falls from one to the next.
//!
//! Each formula of a catalogue's key is a function here. `λ_r` are the eigenvalues of `Σ_T`, the covariance of all rows, or
//! of the covariance in the key's suffix: `_within` of `Σ_W`, `_between` of `Σ_B`. `σ_r` are the singular values of the rows
//! as they are, not centred. None depends on the scale of the features.

mod eigenvalues;
mod values;

pub(in crate::metrics) use eigenvalues::{Covariance, Eigenvalues, effective_number, effective_number_error};
pub use values::{Spectrum, spectrum};

use super::Centring;
use super::accuracy::GridNoise;
use super::context::MetricContext;
use super::doubt::{arithmetic, of_square, whole};
use super::geometry::Geometry;
use super::outcome::Outcome;
use super::vectors::{Vectors, dot};
use crate::linalg;

/// What RankMe and LiDAR add to each share.
pub(super) const SMOOTHING: f64 = 1e-7;

/// A singular value below this share of the largest does not count to the numerical rank.
const NUMERICAL: f64 = 1e-3;

/// The share of the variance that `spectrum_dim95` directions hold.
const MOST: f64 = 0.95;

/// The first and last eigenvalue that the line of `spectrum_alpha_req` is fitted to, and the dimensions that it takes.
const FITTED: std::ops::RangeInclusive<usize> = 10..=99;
const FITTED_DIM: usize = 100;

/// How many standard deviations an integer is taken to be off by, and below how many an eigenvalue is rounding.
pub(in crate::metrics) const DEVIATIONS: f64 = 6.0;

/// `spectrum_effective_rank`: `exp(−Σ p ln p)` with `p_r = λ_r/Σλ`.
pub(super) fn effective_rank(context: &MetricContext<'_>) -> Outcome {
    of(context, Covariance::Rows, |eigen| number(eigen, 0.0))
}

/// `spectrum_effective_rank_within`: the same of `Σ_W`.
pub(super) fn effective_rank_within(context: &MetricContext<'_>) -> Outcome {
    of(context, Covariance::Within, |eigen| number(eigen, 0.0))
}

/// `spectrum_effective_rank_between`: the same of `Σ_B`, from the singular values of the centred means.
pub(super) fn effective_rank_between(means: &Geometry) -> Outcome {
    if let Some(reason) = means.undefined() {
        return Outcome::null(reason);
    }
    let vectors = &means.vectors;
    match linalg::right_singular(&vectors.values, vectors.dim) {
        Ok(singular) => {
            let rank = singular.values.len().min(vectors.len() - 1);
            let error = whole(&vectors.errors()) + arithmetic(vectors.len().max(vectors.dim)) * singular.values[0];
            number(&Eigenvalues::of_singular(&singular.values[..rank], error), 0.0)
        }
        Err(_) => Outcome::null("out_of_range"),
    }
}

/// `spectrum_rankme`: `exp(−Σ q ln q)` with `q_r = σ_r/Σσ + 10⁻⁷`, over the `min(N, D)` singular values of the rows.
pub(super) fn rankme(context: &MetricContext<'_>) -> Outcome {
    let rows = usize::try_from(context.evidence.statistics.rows()).unwrap_or(usize::MAX);
    of(context, Covariance::Uncentred, |eigen| number(&eigen.roots().largest(rows), SMOOTHING))
}

/// `spectrum_pair_cosine`: the mean of `x · y` over pairs of different rows of length 1, `1 − N tr Σ_T/(N − 1)` since
/// `‖x − y‖² = 2 − 2 x · y`.
pub(super) fn pair_cosine(context: &MetricContext<'_>) -> Outcome {
    if !context.evidence.normalized {
        return Outcome::null("not_normalized");
    }
    let statistics = context.evidence.statistics;
    let rows = statistics.rows() as f64;
    if rows < 2.0 {
        return Outcome::null("too_few_rows");
    }
    let centred = Vectors::centred(statistics, Centring::Sample);
    let square = centred.unit * centred.unit;
    let (mut scatter, mut error) = (0.0, 0.0);
    let noise = GridNoise::of(statistics);
    for (class, (row, of_mean)) in centred.values.chunks_exact(statistics.dim).zip(centred.errors()).enumerate() {
        let count = statistics.counts[class] as f64;
        let size = dot(row, row);
        scatter += count * (statistics.variances[class] + size * square);
        error += count * (noise.class_variance(statistics, class) + of_square(size.sqrt(), of_mean) * square);
    }
    Outcome::from(1.0 - scatter / (rows - 1.0)).off_by(|_| error / (rows - 1.0) + arithmetic(statistics.dim))
}

/// `spectrum_participation`: `(Σλ)²/Σλ²`.
pub(super) fn participation(context: &MetricContext<'_>) -> Outcome {
    participation_of(context, Covariance::Rows)
}

/// `spectrum_participation_within`: the same of `Σ_W`.
pub(super) fn participation_within(context: &MetricContext<'_>) -> Outcome {
    participation_of(context, Covariance::Within)
}

/// `spectrum_stable_rank`: `Σλ/λ_1`.
pub(super) fn stable_rank(context: &MetricContext<'_>) -> Outcome {
    of(context, Covariance::Rows, |eigen| {
        Outcome::from(eigen.trace() / eigen.values[0]).off_by(|rank| rank * share_error(eigen))
    })
}

/// `spectrum_top_share`: `λ_1/Σλ`.
pub(super) fn top_share(context: &MetricContext<'_>) -> Outcome {
    of(context, Covariance::Rows, |eigen| {
        Outcome::from(eigen.values[0] / eigen.trace()).off_by(|share| share * share_error(eigen))
    })
}

/// `spectrum_numerical_rank`: how many `σ_r > 10⁻³ σ_1`.
pub(super) fn numerical_rank(context: &MetricContext<'_>) -> Outcome {
    of(context, Covariance::Uncentred, |eigen| {
        let square = NUMERICAL * NUMERICAL;
        let least = square * eigen.values[0];
        let off = |r: usize| DEVIATIONS * (eigen.error(r) + square * eigen.error(0));
        let rank = eigen.values.iter().filter(|value| **value > least).count();
        let doubtful = (0..eigen.values.len()).filter(|&r| (eigen.values[r] - least).abs() <= off(r)).count();
        Outcome::from(rank as f64).off_by(|_| doubtful as f64)
    })
}

/// `spectrum_dim95`: the least number of directions that hold 95 % of the variance.
pub(super) fn dim95(context: &MetricContext<'_>) -> Outcome {
    of(context, Covariance::Rows, |eigen| {
        let total = eigen.trace();
        let off = DEVIATIONS * eigen.moved(|_| 1.0 / total);
        let mut held = 0.0;
        let shares: Vec<f64> = eigen
            .values
            .iter()
            .map(|value| {
                held += value / total;
                held
            })
            .collect();
        let few = shares.iter().filter(|share| **share < MOST).count();
        let doubtful = shares.iter().filter(|share| (**share - MOST).abs() <= off).count();
        // All shares may fall short of it by rounding alone.
        Outcome::from((few + 1).min(shares.len()) as f64).off_by(|_| doubtful as f64)
    })
}

/// `spectrum_alpha_req`: `α` of `λ_r ∝ r^−α`, a straight line of `ln λ_r` over `ln r` for `r` from 10 to 99, each with the
/// weight `1/r`.
pub(super) fn alpha_req(context: &MetricContext<'_>) -> Outcome {
    of(context, Covariance::Rows, |eigen| {
        let resolved = |r: usize| eigen.values[r - 1] > DEVIATIONS * eigen.error(r - 1);
        if eigen.values.len() < FITTED_DIM || !FITTED.clone().all(resolved) {
            return Outcome::null("short_spectrum");
        }
        let weight: f64 = FITTED.map(|r| 1.0 / r as f64).sum();
        let centre = FITTED.map(|r| (r as f64).ln() / r as f64).sum::<f64>() / weight;
        let spread: f64 = FITTED.map(|r| ((r as f64).ln() - centre).powi(2) / r as f64).sum();
        let slope = |r: usize| ((r as f64).ln() - centre) / r as f64 / spread;
        let alpha = -FITTED.map(|r| slope(r) * eigen.values[r - 1].ln()).sum::<f64>();
        let fitted = |at: usize| if FITTED.contains(&(at + 1)) { slope(at + 1) / eigen.values[at] } else { 0.0 };
        Outcome::from(alpha).off_by(|_| eigen.moved(fitted) + arithmetic(FITTED_DIM))
    })
}

/// A metric of the eigenvalues of a covariance.
fn of(context: &MetricContext<'_>, covariance: Covariance, number: impl FnOnce(&Eigenvalues) -> Outcome) -> Outcome {
    match context.eigenvalues(covariance) {
        Ok(eigen) => number(eigen),
        Err(reason) => Outcome::null(context.scatter_reason(reason)),
    }
}

fn number(eigen: &Eigenvalues, smoothing: f64) -> Outcome {
    Outcome::from(effective_number(&eigen.values, smoothing))
        .off_by(|number| effective_number_error(eigen, smoothing, number))
}

/// The relative error of `λ_1/Σλ`.
fn share_error(eigen: &Eigenvalues) -> f64 {
    let (total, largest) = (eigen.trace(), eigen.values[0]);
    let slope = |r: usize| if r == 0 { 1.0 / largest - 1.0 / total } else { 1.0 / total };
    eigen.moved(slope) + arithmetic(eigen.values.len())
}

/// `tr² / ‖Σ‖²`, which takes no eigenvalues.
fn participation_of(context: &MetricContext<'_>, covariance: Covariance) -> Outcome {
    let statistics = context.evidence.statistics;
    let scatter = match context.scatter() {
        Ok(scatter) => scatter,
        Err(reason) => return Outcome::null(context.scatter_reason(reason)),
    };
    let mut matrix = covariance.matrix(statistics, scatter);
    let dim = statistics.dim;
    let trace: f64 = (0..dim).map(|j| matrix[j * dim + j]).sum();
    if !trace.is_finite() {
        return Outcome::null("out_of_range");
    }
    if trace <= 0.0 {
        return Outcome::null(covariance.zero());
    }
    for entry in &mut matrix {
        *entry /= trace;
    }
    let square = dot(&matrix, &matrix);
    // With the trace 1, what the value changes with Σ is 2/q (1 − Σ/q), q = ‖Σ‖².
    Outcome::from(1.0 / square).off_by(|value| {
        let most = |noise: &[f64]| noise.iter().copied().fold(0.0, f64::max) / trace;
        let slope = |j: usize| 2.0 * value * (1.0 - matrix[j * dim + j] * value).abs();
        let bias: f64 = (0..dim).map(|j| slope(j) * statistics.rounding[j] / trace).sum();
        // tr Σ³ ≤ q^1.5
        let length = 2.0 * value * (square.powf(-0.5) - 1.0).max(0.0).sqrt();
        let rows = statistics.rows() as f64;
        let random =
            2.0 * length * ((most(&statistics.rounding_changed) + most(&statistics.mean_rounding)) / rows).sqrt();
        bias + random + value * arithmetic(dim + statistics.classes())
    })
}

#[cfg(test)]
mod tests {
    use crate::metrics::fixture::{assert_close, statistics};
    use crate::metrics::{Evidence, Extras, Measurements, Options, Selection, measure};
    use crate::state::Statistics;

    fn family(statistics: &Statistics) -> Measurements {
        let selection = Selection::parse(&["spectrum".to_owned()]).unwrap();
        measure(&Evidence::new(statistics, 53), &Options::default(), &selection, Extras::default()).unwrap()
    }

    /// Two rows along each axis, `±scale(j)` about a common mean: `λ_j = scale(j)²/D`.
    fn axes(dim: usize, scale: impl Fn(usize) -> f64) -> Statistics {
        let rows: Vec<f64> = (0..2 * dim)
            .flat_map(|row| {
                let sign = if row.is_multiple_of(2) { 1.0 } else { -1.0 };
                let length = sign * scale(row / 2);
                (0..dim).map(move |j| if j == row / 2 { length } else { 0.0 })
            })
            .collect();
        statistics(dim, &rows, &vec![0; 2 * dim])
    }

    #[test]
    fn directions_that_are_alike_all_count() {
        let found = family(&axes(4, |_| 3.0));
        for key in
            ["effective_rank", "effective_rank_within", "participation", "stable_rank", "numerical_rank", "dim95"]
        {
            assert_close(found.value(&format!("spectrum_{key}")).unwrap(), 4.0, 1e-12);
        }
        assert_close(found.value("spectrum_top_share").unwrap(), 0.25, 1e-14);
        // Four shares of ¼ + 10⁻⁷.
        let q = 0.25 + 1e-7_f64;
        assert_close(found.value("spectrum_rankme").unwrap(), (-4.0 * q * q.ln()).exp(), 1e-13);
        let reason = |key: &str| found.metric(key).unwrap().reason;
        assert_eq!(reason("spectrum_effective_rank_between"), Some("single_class"));
        assert_eq!(reason("spectrum_alpha_req"), Some("short_spectrum"));
    }

    /// Those that are 0 for want of rows have no share, not even the one that smoothing adds.
    #[test]
    fn fewer_rows_than_dimensions_have_as_many_singular_values() {
        let rows: Vec<f64> =
            (0..3 * 40).map(|at| if at % 40 == at / 40 { [1.0, 2.0, 1.0][at / 40] } else { 0.0 }).collect();
        let statistics = statistics(40, &rows, &[0, 0, 1]);
        let (half, quarter) = (0.5 + 1e-7_f64, 0.25 + 1e-7_f64);
        let expected = (-half * half.ln() - 2.0 * quarter * quarter.ln()).exp();
        assert_close(family(&statistics).value("spectrum_rankme").unwrap(), expected, 1e-12);
    }

    #[test]
    fn integers_count_what_is_large() {
        // λ in the ratio 64 : 16 : 4 : 1 : 2^-6 : 2^-20; the fifth is below 10⁻³ of the first, its root is not.
        let found = family(&axes(6, |j| [8.0, 4.0, 2.0, 1.0, 0.125, 2_f64.powi(-10)][j]));
        assert_close(found.value("spectrum_dim95").unwrap(), 3.0, 0.0);
        assert_close(found.value("spectrum_numerical_rank").unwrap(), 5.0, 0.0);
        assert_close(found.value("spectrum_top_share").unwrap(), 64.0 / (85.0 + 1.0 / 64.0), 1e-6);
    }

    #[test]
    fn the_exponent_of_a_power_law() {
        let found = family(&axes(120, |j| ((j + 1) as f64).powf(-0.75)));
        assert_close(found.value("spectrum_alpha_req").unwrap(), 1.5, 1e-6);
        // 40 of 120 directions do not vary.
        let found = family(&axes(120, |j| if j < 80 { 1.0 } else { 0.0 }));
        assert_eq!(found.metric("spectrum_alpha_req").unwrap().reason, Some("short_spectrum"));
        assert_close(found.value("spectrum_effective_rank").unwrap(), 80.0, 1e-9);
    }

    #[test]
    fn a_threshold_that_falls_between_two_numbers_is_told() {
        // 19 of 20 equal directions hold 95 %, or do not, by rounding.
        let found = family(&axes(20, |_| 0.7));
        let dim95 = found.metric("spectrum_dim95").unwrap();
        assert!([Some(19.0), Some(20.0)].contains(&dim95.value));
        assert_eq!(dim95.flags, ["rounding_above_1e-6"]);
        assert!(found.metric("spectrum_numerical_rank").unwrap().flags.is_empty());
    }
}
