//! The mean squared error's decomposition along the least-squares classifier (Han et al. 2022).
//!
//! With `λ` half of the weight decay and balanced classes, the three parts sum to
//! `(1/2N) Σ ‖W x + b − onehot‖² + (λ/2)(‖W‖² + ‖b‖²)`.

use super::Centring;
use super::vectors::{Vectors, centre, dot};
use crate::linalg::{self, Cholesky};
use crate::state::{Head, Statistics};

/// The parts of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Parts {
    /// Of the least-squares classifier, from variability within classes.
    pub nc1: f64,
    /// Of the least-squares classifier, from the class means.
    pub nc23: f64,
    /// What the classifier loses against the least-squares one; `None` without a classifier.
    pub perp: Option<f64>,
}

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
/// `singular` if `A` is not positive definite in floating point.
pub(super) fn parts(
    statistics: &Statistics,
    within: &[f64],
    head: Option<&Head>,
    lambda: f64,
) -> Result<Parts, &'static str> {
    let (dim, classes) = (statistics.dim, statistics.classes());
    let k = classes as f64;
    let offset = centre(statistics, Centring::Class);
    let mean: Vec<f64> = statistics.origin.iter().zip(&offset).map(|(origin, offset)| origin + offset).collect();
    let centred: Vec<f64> = (0..classes)
        .flat_map(|class| statistics.offset(class).iter().zip(&offset).map(|(x, centre)| x - centre))
        .collect();
    let shrink = lambda / (1.0 + lambda);

    // Σ_W + CᵀC/K + λI
    let mut total = linalg::gram(&centred, dim);
    total.iter_mut().zip(within).for_each(|(total, within)| *total = *total / k + within);
    (0..dim).for_each(|j| total[j * dim + j] += lambda);
    let mut system = total.clone();
    for (row, a) in system.chunks_exact_mut(dim).zip(&mean) {
        row.iter_mut().zip(&mean).for_each(|(entry, b)| *entry += shrink * a * b);
    }
    let mut weights: Vec<f64> =
        centred.chunks_exact(dim).flat_map(|row| row.iter().zip(&mean).map(|(c, m)| (c + shrink * m) / k)).collect();
    Cholesky::new(&system, dim).ok_or("singular")?.solve(&mut weights);
    let bias: Vec<f64> =
        weights.chunks_exact(dim).map(|row| (1.0 / k - dot(row, &mean)) / (1.0 + lambda)).collect();

    let weight_gram = linalg::gram(&weights, dim);
    let nc1 = 0.5 * (dot(&weight_gram, within) + lambda * dot(&weights, &weights) + lambda * dot(&bias, &bias));
    let level: Vec<f64> = weights.chunks_exact(dim).zip(&bias).map(|(row, bias)| dot(row, &mean) + bias).collect();
    let nc23 = misfit(&weights, &weight_gram, &centred, &level, dim) / (2.0 * k);

    let perp = head.map(|head| {
        let delta: Vec<f64> = head.weights.iter().zip(&weights).map(|(w, least)| w - least).collect();
        let beta: Vec<f64> = match &head.bias {
            Some(given) => given.iter().zip(&bias).map(|(b, least)| b - least).collect(),
            None => bias.iter().map(|least| -least).collect(),
        };
        let level = delta.chunks_exact(dim).zip(&beta).map(|(row, beta)| (dot(row, &mean) + beta).powi(2));
        0.5 * (dot(&linalg::gram(&delta, dim), &total) + level.sum::<f64>() + lambda * dot(&beta, &beta))
    });
    Ok(Parts { nc1, nc23, perp })
}

/// `‖W Cᵀ + h1ᵀ − I‖²`, where `1ᵀC = 0`.
///
/// ```text
/// ⟨WᵀW, CᵀC⟩ + K‖h‖² + K − 2 Σ w_k · c_k − 2 Σ h_k
/// ```
///
/// for `K > D + 1`; below, where it can come near 0 and the terms cancel, from the `K × K` difference.
fn misfit(weights: &[f64], weight_gram: &[f64], centred: &[f64], level: &[f64], dim: usize) -> f64 {
    let classes = level.len();
    if classes <= dim + 1 {
        let outputs = linalg::product_transposed(weights, centred, dim);
        let entry = |(at, output): (usize, &f64)| {
            (output + level[at / classes] - f64::from(at / classes == at % classes)).powi(2)
        };
        return outputs.iter().enumerate().map(entry).sum();
    }
    let k = classes as f64;
    dot(weight_gram, &linalg::gram(centred, dim)) + k * dot(level, level) + k
        - 2.0 * dot(weights, centred)
        - 2.0 * level.iter().sum::<f64>()
}
