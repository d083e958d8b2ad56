//! NC2: do class means, and classifier rows, form a simplex equiangular tight frame?
//!
//! Papyan et al. (2020), Zhu et al. (2021), Wu & Papyan (2024). Every function takes [`Vectors`]: centred class means
//! `c_k`, or classifier rows as they are.

use super::vectors::{Vectors, dot, mean_and_variance};
use crate::linalg;

/// Lengths of the vectors and their logarithms; variances over vectors, divisor `K − 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lengths {
    /// Mean length.
    pub mean: f64,
    /// Variance of the lengths.
    pub var: f64,
    /// Mean and variance of the natural logarithm, over vectors that have a length; if two do.
    pub log: Option<(f64, f64)>,
}

impl Lengths {
    /// `None` for fewer than two vectors.
    pub(super) fn of(vectors: &Vectors) -> Option<Self> {
        let (mean, var) = mean_and_variance(&vectors.norms)?;
        let unit = vectors.unit;
        let logs: Vec<f64> =
            vectors.norms.iter().filter(|norm| **norm > 0.0).map(|norm| norm.ln() + unit.ln()).collect();
        let log = mean_and_variance(&logs).and_then(|(mean, var)| Some((mean, var?)));
        Some(Self { mean: mean * unit, var: var? * unit * unit, log })
    }

    /// `std ‖x_k‖ / mean ‖x_k‖`; `None` if all have length 0.
    pub(super) fn cv(&self) -> Option<f64> {
        (self.mean > 0.0).then(|| self.var.sqrt() / self.mean)
    }

    /// `std ln ‖x_k‖ / mean ln ‖x_k‖`; `None` where [`Lengths::log`] is, or its mean is 0.
    pub(super) fn log_cv(&self) -> Option<f64> {
        self.log.filter(|(mean, _)| *mean != 0.0).map(|(mean, var)| var.sqrt() / mean)
    }
}

/// Mean and population variance over pairs `i < j` of `x_i · x_j`; `None` for fewer than two vectors.
///
/// With `m` the mean of the vectors, `d_i = x_i − m`, `a_i = m · d_i` and `e_ij = x_i · x_j − ‖m‖² = a_i + a_j + d_i · d_j`,
///
/// ```text
/// Σ_ij e_ij = 0        Σ_ij e_ij² = 2K Σ a_i² + ‖DᵀD‖²        e_ii = 2 a_i + ‖d_i‖²
/// ```
///
/// so the sums over pairs need no more than a `D × D` Gram, and do not cancel when all vectors are nearly the same. Near a
/// simplex they do; that takes `K ≤ D + 1`, where the products themselves are the smaller matrix.
pub(super) fn pair_products(vectors: &Vectors) -> Option<(f64, f64)> {
    let classes = vectors.len();
    if classes < 2 {
        return None;
    }
    let k = classes as f64;
    let pairs = k * (k - 1.0);
    let square = vectors.unit * vectors.unit;
    if vectors.few() {
        let products = linalg::outer_gram(&vectors.values, vectors.dim);
        let above = || (0..classes).flat_map(|i| &products[i * classes + i + 1..(i + 1) * classes]);
        let mean = above().sum::<f64>() * 2.0 / pairs;
        let var = above().map(|product| (product - mean).powi(2)).sum::<f64>() * 2.0 / pairs;
        return Some((mean * square, var * square * square));
    }
    let mean: Vec<f64> = vectors.sum().iter().map(|sum| sum / k).collect();
    let deviations: Vec<f64> =
        vectors.values.chunks_exact(vectors.dim).flat_map(|row| row.iter().zip(&mean).map(|(x, m)| x - m)).collect();
    let (mut along, mut diagonal, mut diagonal_squares) = (0.0, 0.0, 0.0);
    for d in deviations.chunks_exact(vectors.dim) {
        let a = dot(&mean, d);
        let e = 2.0 * a + dot(d, d);
        along += a * a;
        diagonal += e;
        diagonal_squares += e * e;
    }
    let shift = -diagonal / pairs;
    let second = (2.0 * k * along + squared_norm(&linalg::gram(&deviations, vectors.dim)) - diagonal_squares) / pairs;
    Some(((dot(&mean, &mean) + shift) * square, (second - shift * shift).max(0.0) * square * square))
}

/// What a structure `S` of the classes should be, up to scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// `P = I − 11ᵀ/K`, the simplex equiangular tight frame.
    Simplex,
    /// `I`, the orthogonal frame.
    Orthogonal,
}

/// `‖S/‖S‖ − F/‖F‖‖` with `S = A Bᵀ`; `None` if `S` or `F` is 0. In `[0, 2]`, and in `[0, √2]` when `A` is `B`.
///
/// ```text
/// e² = 2 − 2 ⟨S, F⟩ / (‖S‖ ‖F‖)
/// ⟨S, I⟩ = Σ a_k · b_k        ⟨S, P⟩ = Σ a_k · b_k − (1ᵀA)·(1ᵀB)/K        ‖S‖² = ⟨AᵀA, BᵀB⟩
/// ```
///
/// This is used when `K > D + 1`, where the rank of `S` keeps `e` away from 0; otherwise the `K × K` difference is formed.
pub(super) fn frame_error(a: &Vectors, b: &Vectors, frame: Frame) -> Option<f64> {
    let classes = a.len();
    let k = classes as f64;
    let (off_diagonal, frame_norm) = match frame {
        Frame::Simplex => (-1.0 / k, (k - 1.0).sqrt()),
        Frame::Orthogonal => (0.0, k.sqrt()),
    };
    if classes == 0 || frame_norm == 0.0 {
        return None;
    }
    if a.few() {
        let mut structure = linalg::product_transposed(&a.values, &b.values, a.dim);
        let norm = squared_norm(&structure).sqrt();
        for (at, s) in structure.iter_mut().enumerate() {
            let ideal = f64::from(at / classes == at % classes) + off_diagonal;
            *s = *s / norm - ideal / frame_norm;
        }
        return (norm > 0.0).then(|| squared_norm(&structure).sqrt());
    }
    let left = linalg::gram(&a.values, a.dim);
    let norm = dot(&left, &linalg::gram(&b.values, b.dim)).max(0.0).sqrt();
    let inner = dot(&a.values, &b.values) + off_diagonal * dot(&a.sum(), &b.sum());
    (norm > 0.0).then(|| (2.0 - 2.0 * inner / (norm * frame_norm)).max(0.0).sqrt())
}

/// The least [`frame_error`] from a simplex that `K` vectors of length `D` can have, 0 for `K ≤ D + 1`:
/// `√(2 − 2 √(min(D, K−1)/(K−1)))`, since the rank of `S` is bounded.
pub(super) fn simplex_floor(classes: usize, dim: usize) -> Option<f64> {
    rank_floor(classes.checked_sub(1)?, dim)
}

/// The same for the orthogonal frame, 0 for `K ≤ D`: `√(2 − 2 √(min(D, K)/K))`.
pub(super) fn orthogonal_floor(classes: usize, dim: usize) -> Option<f64> {
    rank_floor(classes, dim)
}

fn rank_floor(full: usize, dim: usize) -> Option<f64> {
    (full > 0).then(|| (2.0 - 2.0 * (full.min(dim) as f64 / full as f64).sqrt()).sqrt())
}

/// `(tr XᵀX)² / ‖XᵀX‖²`: how many directions the vectors fill evenly; `None` if all are 0.
pub(super) fn participation_ratio(vectors: &Vectors) -> Option<f64> {
    let trace = dot(&vectors.values, &vectors.values);
    (trace > 0.0).then(|| trace * trace / squared_norm(&vectors.smaller_gram()))
}

fn squared_norm(values: &[f64]) -> f64 {
    dot(values, values)
}
