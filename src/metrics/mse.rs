//! MSE: the mean squared error, decomposed along the least-squares classifier (Han et al. 2022).
//!
//! Each formula of a catalogue's key is a function here, a part of what [`decompose`] gives.
//! With `λ` half of the weight decay and balanced classes, the three parts sum to
//! `(1/2N) Σ ‖W x + b − onehot‖² + (λ/2)(‖W‖² + ‖b‖²)`.

use std::ops::Range;

use super::Centring;
use super::context::MetricContext;
use super::doubt::{arithmetic, of_square};
use super::outcome::Outcome;
use super::vectors::{centre, dot};
use crate::linalg::{self, Cholesky};
use crate::state::{Head, Statistics};

/// `mse_nc1`: the part of the least-squares classifier's loss that is due to variability within classes.
pub(super) fn nc1(context: &MetricContext<'_>) -> Outcome {
    part(context, |parts| Outcome::from(parts.nc1).off_by(|_| parts.errors[0]))
}

/// `mse_nc23`: the part of the least-squares classifier's loss that is due to the class means.
pub(super) fn nc23(context: &MetricContext<'_>) -> Outcome {
    part(context, |parts| Outcome::from(parts.nc23).off_by(|_| parts.errors[1]))
}

/// `mse_perp`: the part of the loss by which the classifier exceeds the least-squares one.
pub(super) fn perp(context: &MetricContext<'_>) -> Outcome {
    let no_bias = context.evidence.head.is_some_and(|head| head.bias.is_none());
    part(context, |parts| {
        Outcome::number_or(parts.perp, "no_head").off_by(|_| parts.errors[2]).flag_if(no_bias, "no_bias")
    })
}

fn part(context: &MetricContext<'_>, outcome: impl FnOnce(&Decomposition) -> Outcome) -> Outcome {
    let counts = &context.evidence.statistics.counts;
    match context.decomposition() {
        Ok(parts) => outcome(parts).flag_if(counts.windows(2).any(|pair| pair[0] != pair[1]), "unbalanced"),
        Err(reason) => Outcome::null(context.scatter_reason(reason)),
    }
}

/// The parts of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decomposition {
    /// Of the least-squares classifier, from variability within classes.
    pub nc1: f64,
    /// Of the least-squares classifier, from the class means.
    pub nc23: f64,
    /// What the classifier loses against the least-squares one; `None` without a classifier.
    pub perp: Option<f64>,
    /// How far rounding may have moved each of the three.
    pub errors: [f64; 3],
}

/// Above this relative error, the least-squares classifier is taken not to exist.
const UNSOLVED: f64 = 0.1;

/// Decomposes the loss; `within` is `Σ_W`, `lambda` half of the weight decay.
///
/// With `C` the means centred without weights and `μ` their mean:
///
/// ```text
/// A     = Σ_W + CᵀC/K + λ/(1+λ) μμᵀ + λI
/// W_LS  = (1/K) (C + λ/(1+λ) 1μᵀ) A⁻¹           b_LS = (1/K − W_LS μ)/(1+λ)
/// nc1   = ½ [tr(W_LS (Σ_W + λI) W_LSᵀ) + λ ‖b_LS‖²]
/// nc23  = 1/(2K) ‖W_LS Cᵀ + h1ᵀ − I‖²           h = W_LS μ + b_LS
/// perp  = ½ [tr(Δ (Σ_W + CᵀC/K + λI) Δᵀ) + ‖Δμ + β‖² + λ ‖β‖²]   Δ = W − W_LS, β = b − b_LS
/// ```
///
/// # Errors
///
/// `singular` if `A` is not positive definite in floating point, or so nearly singular that the solution has no digits.
pub(super) fn decompose(
    statistics: &Statistics,
    within: &[f64],
    head: Option<&Head>,
    lambda: f64,
) -> Result<Decomposition, &'static str> {
    let (dim, classes) = (statistics.dim, statistics.classes());
    let k = classes as f64;
    let offset = centre(statistics, Centring::Class);
    let mean: Vec<f64> = statistics.origin.iter().zip(&offset).map(|(origin, offset)| origin + offset).collect();
    let centred = |of: Range<usize>| -> Vec<f64> {
        of.flat_map(|class| statistics.offset(class).iter().zip(&offset).map(|(x, centre)| x - centre)).collect()
    };
    // The K × K difference of few classes needs all of them at once.
    let panel = PANEL.max(dim + 1);
    let panels = || (0..classes).step_by(panel).map(|first| first..(first + panel).min(classes));
    let shrink = lambda / (1.0 + lambda);

    let mut between = vec![0.0; dim * dim];
    panels().for_each(|of| add(&mut between, &linalg::gram(&centred(of), dim)));
    // Σ_W + CᵀC/K + λI
    let mut total: Vec<f64> = between.iter().zip(within).map(|(between, within)| between / k + within).collect();
    (0..dim).for_each(|j| total[j * dim + j] += lambda);
    let mut system = total.clone();
    for (row, a) in system.chunks_exact_mut(dim).zip(&mean) {
        row.iter_mut().zip(&mean).for_each(|(entry, b)| *entry += shrink * a * b);
    }
    let factor = Cholesky::new(&system, dim).ok_or("singular")?;
    let noise = SystemNoise::of(statistics, &factor, &system, within);
    if noise.solution > UNSOLVED {
        return Err("singular");
    }

    let (mut solved, mut beyond) = (Sums::new(dim), Sums::new(dim));
    let (mut along, mut misfit_of_few) = (0.0, 0.0);
    for of in panels() {
        let centred = centred(of.clone());
        let mut weights: Vec<f64> = centred
            .chunks_exact(dim)
            .flat_map(|row| row.iter().zip(&mean).map(|(c, m)| (c + shrink * m) / k))
            .collect();
        factor.solve(&mut weights);
        let bias: Vec<f64> =
            weights.chunks_exact(dim).map(|row| (1.0 / k - dot(row, &mean)) / (1.0 + lambda)).collect();
        let level = solved.add(&weights, &bias, of.clone(), (&mean, statistics));
        along += dot(&weights, &centred);
        if classes <= dim + 1 {
            misfit_of_few = misfit(&weights, &centred, &level, dim);
        }
        if let Some(head) = head {
            let given = &head.weights[of.start * dim..of.end * dim];
            let delta: Vec<f64> = given.iter().zip(&weights).map(|(w, least)| w - least).collect();
            let beta: Vec<f64> = match &head.bias {
                Some(given) => given[of.clone()].iter().zip(&bias).map(|(b, least)| b - least).collect(),
                None => bias.iter().map(|least| -least).collect(),
            };
            beyond.add(&delta, &beta, of, (&mean, statistics));
        }
    }
    let nc1 = 0.5 * (dot(&solved.gram, within) + lambda * solved.square + lambda * solved.bias_square);
    // ⟨WᵀW, CᵀC⟩ + K‖h‖² + K − 2 Σ w_k · c_k − 2 Σ h_k is ‖W Cᵀ + h1ᵀ − I‖², where 1ᵀC = 0. Where that can come near 0, and
    // the terms cancel, it is made of the K × K difference.
    let misfit = if classes <= dim + 1 {
        misfit_of_few
    } else {
        dot(&solved.gram, &between) + k * solved.level_square + k - 2.0 * along - 2.0 * solved.level
    };
    let nc23 = misfit / (2.0 * k);

    let of_weights = noise.moves(&solved);
    let of_level = arithmetic(dim) * solved.square.sqrt() * size(&mean);
    let mut errors =
        [nc1, nc23].map(|part| of_weights.error + of_square(part.sqrt(), noise.solution + of_level)).to_vec();
    let perp = head.map(|head| {
        let perp = 0.5 * (dot(&beyond.gram, &total) + beyond.level_square + lambda * beyond.bias_square);
        let of_delta = noise.moves(&beyond);
        let of_level = arithmetic(dim) * beyond.square.sqrt() * size(&mean);
        let trace: f64 = (0..dim).map(|j| total[j * dim + j]).sum();
        let of_head = size(&head.errors) * (trace + dot(&mean, &mean)).sqrt();
        let of_solution = noise.solution + of_level + of_head;
        errors.push(of_delta.error + of_delta.beside(&of_weights) + of_square(perp.sqrt(), of_solution));
        perp
    });
    Ok(Decomposition { nc1, nc23, perp, errors: [errors[0], errors[1], errors.get(2).copied().unwrap_or(0.0)] })
}

/// Classes whose rows are held at a time.
const PANEL: usize = 16_384;

/// What is summed over the rows of a matrix `X`, `K × D`, and a bias, panel by panel.
struct Sums {
    /// `XᵀX`.
    gram: Vec<f64>,
    /// `‖X‖²`, and that of the bias.
    square: f64,
    bias_square: f64,
    /// Of `X μ + b`: the sum, and that of squares.
    level: f64,
    level_square: f64,
    /// `Σ_k Σ_j x_kj² m_j / n_k`, with what rounding leaves in means.
    of_means: f64,
}

impl Sums {
    fn new(dim: usize) -> Self {
        let gram = vec![0.0; dim * dim];
        Self { gram, square: 0.0, bias_square: 0.0, level: 0.0, level_square: 0.0, of_means: 0.0 }
    }

    /// Adds rows of these classes, and returns `X μ + b`.
    fn add(
        &mut self,
        rows: &[f64],
        bias: &[f64],
        of: Range<usize>,
        (mean, statistics): (&[f64], &Statistics),
    ) -> Vec<f64> {
        let dim = mean.len();
        let level: Vec<f64> = rows.chunks_exact(dim).zip(bias).map(|(row, bias)| dot(row, mean) + bias).collect();
        add(&mut self.gram, &linalg::gram(rows, dim));
        self.square += dot(rows, rows);
        self.bias_square += dot(bias, bias);
        self.level += level.iter().sum::<f64>();
        self.level_square += dot(&level, &level);
        let noise = |row: &[f64]| row.iter().zip(&statistics.mean_rounding).map(|(x, m)| m * (x * x)).sum::<f64>();
        let counts = &statistics.counts[of];
        self.of_means += rows.chunks_exact(dim).zip(counts).map(|(row, &n)| noise(row) / n as f64).sum::<f64>();
        level
    }
}

fn add(sums: &mut [f64], terms: &[f64]) {
    sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

fn size(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// The rounding noise in `A` and in the means, and how `A⁻¹` enlarges it.
struct SystemNoise<'a> {
    within: &'a [f64],
    statistics: &'a Statistics,
    rows: f64,
    /// `Σ_j A_jj A⁻¹_jj ε`: the relative error of the solution that arithmetic leaves.
    solution: f64,
    /// `tr(A⁻¹ Γ)` of rows, and `tr(A⁻¹ Σ_W)`.
    rounding: f64,
    spread: f64,
    /// `tr(A⁻¹ Γ)` of means, times the mean of `1/n_k`, over `K`.
    means: f64,
}

/// What that noise does to `½ tr(X A Xᵀ)` for a matrix `X`, `K × D`.
struct Moved {
    /// Its error.
    error: f64,
    /// `tr(X Γ Xᵀ)` and `tr(X Σ_W Xᵀ)`, and `N`.
    noise: f64,
    spread: f64,
    rows: f64,
}

impl<'a> SystemNoise<'a> {
    fn of(statistics: &'a Statistics, factor: &Cholesky, system: &[f64], within: &'a [f64]) -> Self {
        let dim = statistics.dim;
        let inverse = factor.inverse();
        let diagonal = |matrix: &[f64]| (0..dim).map(|j| matrix[j * dim + j]).collect::<Vec<f64>>();
        let of_inverse = diagonal(&inverse);
        let classes = statistics.classes() as f64;
        let inverse_count = statistics.counts.iter().map(|&n| 1.0 / n as f64).sum::<f64>() / classes;
        Self {
            within,
            statistics,
            rows: statistics.rows() as f64,
            solution: f64::EPSILON * dot(&of_inverse, &diagonal(system)),
            rounding: dot(&of_inverse, &statistics.rounding_changed),
            spread: dot(&inverse, within),
            means: dot(&of_inverse, &statistics.mean_rounding) * inverse_count / classes,
        }
    }

    /// To first order, the bias and the random part of `Γ` in `X A Xᵀ` and in the solution, and the noise of means; to second
    /// order, what lies in directions in which `A` is small and holds rounding alone.
    fn moves(&self, x: &Sums) -> Moved {
        let (statistics, dim, gram) = (self.statistics, self.statistics.dim, &x.gram);
        let images = linalg::product(gram, self.within, dim, dim);
        let weighted = |noise: &[f64], of: &dyn Fn(usize) -> f64| (0..dim).map(|j| noise[j] * of(j)).sum::<f64>();
        let square = |j: usize| gram[j * dim + j];
        let image = |j: usize| dot(&images[j * dim..][..dim], &gram[j * dim..][..dim]);
        let bias = weighted(&statistics.rounding, &square);
        let noise = weighted(&statistics.rounding_changed, &square);
        let random = (weighted(&statistics.rounding_changed, &image).max(0.0) / self.rows).sqrt();
        let spread = dot(gram, self.within).max(0.0);
        let second = (self.rounding * spread + self.spread * noise) / self.rows + self.means;
        let error = 1.5 * bias + 3.0 * random + 4.0 * x.of_means.sqrt() / statistics.classes() as f64 + second;
        Moved { error, noise, spread, rows: self.rows }
    }
}

impl Moved {
    /// What `Γ` does to `tr(X A Yᵀ)`.
    fn beside(&self, other: &Self) -> f64 {
        (self.noise * other.noise).sqrt()
            + ((self.spread * other.noise).sqrt() + (other.spread * self.noise).sqrt()) / self.rows.sqrt()
    }
}

/// `‖W Cᵀ + h1ᵀ − I‖²`, from the `K × K` difference.
fn misfit(weights: &[f64], centred: &[f64], level: &[f64], dim: usize) -> f64 {
    let classes = level.len();
    let outputs = linalg::product_transposed(weights, centred, dim);
    let entry =
        |(at, output): (usize, &f64)| (output + level[at / classes] - f64::from(at / classes == at % classes)).powi(2);
    outputs.iter().enumerate().map(entry).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, golden, golden_head, statistics};

    fn within(statistics: &Statistics) -> Vec<f64> {
        let rows = statistics.rows() as f64;
        statistics.scatter.iter().flatten().map(|entry| entry / rows).collect()
    }

    #[test]
    fn the_golden_fixture() {
        let golden = golden();
        let parts = decompose(&golden, &within(&golden), Some(&golden_head()), 2.5e-4).unwrap();
        assert_close(parts.nc1, 0.028_074_235_159_616_337, 1e-12);
        assert_close(parts.nc23, 0.010_179_414_791_519_492, 1e-12);
        assert_close(parts.perp.unwrap(), 57.590_769_263_098_64, 1e-12);
    }

    /// `(1/2N) Σ ‖W x + b − onehot‖² + (λ/2)(‖W‖² + ‖b‖²)`.
    fn loss(rows: &[f64], labels: &[u32], dim: usize, head: &Head, lambda: f64) -> f64 {
        let bias = head.bias.clone().unwrap_or_else(|| vec![0.0; head.weights.len() / dim]);
        let logit = |row: &[f64], k: usize| dot(row, &head.weights[k * dim..][..dim]) + bias[k];
        let rows = rows.chunks_exact(dim).zip(labels);
        let errors: f64 = rows
            .flat_map(|(row, &label)| (0..bias.len()).map(move |k| (row, k, f64::from(k == label as usize))))
            .map(|(row, k, target)| (logit(row, k) - target).powi(2))
            .sum();
        let decay = dot(&head.weights, &head.weights) + dot(&bias, &bias);
        errors / (2.0 * labels.len() as f64) + lambda / 2.0 * decay
    }

    #[test]
    fn the_parts_sum_to_the_loss_of_balanced_classes() {
        // K ≤ D + 1 and K > D + 1: the difference itself and its expansion.
        for (classes, dim) in [(3, 4), (3, 2), (7, 2)] {
            let labels: Vec<u32> = (0..4 * classes as u32).map(|row| row % classes as u32).collect();
            let value = |at: usize| ((at * at * 13 + at * 5) % 97) as f64 / 16.0;
            let rows: Vec<f64> = (0..labels.len() * dim).map(value).collect();
            let statistics = statistics(dim, &rows, &labels);
            let weights: Vec<f64> = (0..classes * dim).map(|at| value(at + 3) / 8.0 - 0.3).collect();
            for bias in [None, Some((0..classes).map(|k| 0.1 * k as f64).collect())] {
                let head = Head { weights: weights.clone(), bias, errors: Vec::new() };
                let lambda = 0.01;
                let parts = decompose(&statistics, &within(&statistics), Some(&head), lambda).unwrap();
                let sum = parts.nc1 + parts.nc23 + parts.perp.unwrap();
                assert_close(sum, loss(&rows, &labels, dim, &head, lambda), 1e-12);
            }
        }
    }

    #[test]
    fn without_a_head_or_without_a_solution() {
        let golden = golden();
        assert_eq!(decompose(&golden, &within(&golden), None, 2.5e-4).unwrap().perp, None);
        let flat = statistics(2, &[1.0, 1.0, 2.0, 2.0], &[0, 1]);
        assert_eq!(decompose(&flat, &within(&flat), None, 0.0), Err("singular"));
        // A direction without variance: positive definite by the weight decay alone, which arithmetic hardly sees.
        let rows: Vec<f64> = (0..12).flat_map(|row| [1e4 * f64::from(row * row % 7), f64::from(row % 2)]).collect();
        let labels: Vec<u32> = (0..12).map(|row| row % 2).collect();
        let tilted: Vec<f64> = rows.chunks(2).flat_map(|x| [0.6 * x[0], 0.8 * x[0]]).collect();
        let statistics = statistics(2, &tilted, &labels);
        let solved =
            |lambda| decompose(&statistics, &within(&statistics), None, lambda).map(|parts| parts.nc1.is_finite());
        assert_eq!((solved(1e-3), solved(2e-7)), (Ok(true), Err("singular")));
    }
}
