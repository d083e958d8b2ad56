//! NC3: are classifier and class means dual? Papyan et al. (2020), Zhu et al. (2021), Wu & Papyan (2024).
//!
//! The distance of `W Cᵀ` from a simplex (`nc3_duality_error`) is [`frame_error`](super::nc2::frame_error).

use super::vectors::{Vectors, dot, mean_and_variance};

/// Mean, and variance over classes with divisor `K − 1`.
pub(super) type Moments = (f64, Option<f64>);

/// What classifier and centred means have in common, class by class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Duality {
    /// `w_k · c_k`.
    pub dots: Vec<f64>,
    /// `cos(w_k, c_k)`; `None` where either has length 0.
    pub cosines: Vec<Option<f64>>,
    /// `‖w_k/‖w_k‖ − c_k/‖c_k‖‖`, where the cosine is.
    distances: Vec<f64>,
}

impl Duality {
    /// Of `K` rows and `K` centred means.
    pub(super) fn of(weights: &Vectors, means: &Vectors) -> Self {
        let unit = weights.unit * means.unit;
        let classes = 0..means.len();
        let units = |k: usize| Some((weights.unit_row(k)?, means.unit_row(k)?));
        Self {
            dots: classes.clone().map(|k| dot(weights.row(k), means.row(k)) * unit).collect(),
            cosines: classes.clone().map(|k| units(k).map(|(w, c)| w.zip(c).map(|(w, c)| w * c).sum())).collect(),
            // From the difference: a cosine near 1 has lost the digits of the distance.
            distances: classes
                .filter_map(units)
                .map(|(w, c)| w.zip(c).map(|(w, c)| (w - c).powi(2)).sum::<f64>().sqrt())
                .collect(),
        }
    }

    /// Of `w_k · c_k`.
    pub(super) fn dot(&self) -> Option<Moments> {
        mean_and_variance(&self.dots)
    }

    /// Of the cosines, over classes that have one.
    pub(super) fn cos(&self) -> Option<Moments> {
        mean_and_variance(&self.cosines.iter().flatten().copied().collect::<Vec<f64>>())
    }

    /// Of the distances of unit vectors, over classes that have one.
    pub(super) fn dist(&self) -> Option<Moments> {
        mean_and_variance(&self.distances)
    }
}

/// `‖W/‖W‖ − C/‖C‖‖²`; `None` if either is 0. In `[0, 4]`.
pub(super) fn self_duality_sq(weights: &Vectors, means: &Vectors) -> Option<f64> {
    let norm = |vectors: &Vectors| dot(&vectors.values, &vectors.values).sqrt();
    let (weights_norm, means_norm) = (norm(weights), norm(means));
    let difference =
        weights.values.iter().zip(&means.values).map(|(w, c)| (w / weights_norm - c / means_norm).powi(2)).sum();
    (weights_norm > 0.0 && means_norm > 0.0).then_some(difference)
}

/// `‖W μ_G + b‖`, without a bias `‖W μ_G‖`; `weights` are `K × D`.
pub(super) fn bias_collapse(weights: &[f64], bias: Option<&[f64]>, global_mean: &[f64]) -> f64 {
    let logits = weights.chunks_exact(global_mean.len()).map(|row| dot(row, global_mean));
    let squares = logits.enumerate().map(|(k, logit)| (logit + bias.map_or(0.0, |bias| bias[k])).powi(2));
    squares.sum::<f64>().sqrt()
}
