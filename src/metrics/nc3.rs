//! NC3: are classifier and class means dual? Papyan et al. (2020), Zhu et al. (2021), Wu & Papyan (2024).
//!
//! The distance of `W Cᵀ` from a simplex (`nc3_duality_error`) is [`frame_error`](super::nc2::frame_error).

use super::vectors::{Vectors, dot, mean_and_variance};

/// Mean, and variance over classes with divisor `K − 1`.
pub(super) type MeanAndVariance = (f64, Option<f64>);

/// What classifier and centred means have in common, class by class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alignment {
    /// `w_k · c_k`.
    pub dots: Vec<f64>,
    /// `cos(w_k, c_k)`; `None` where either has length 0.
    pub cosines: Vec<Option<f64>>,
    /// `‖w_k/‖w_k‖ − c_k/‖c_k‖‖`, where the cosine is.
    pub distances: Vec<f64>,
}

impl Alignment {
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
    pub(super) fn dot(&self) -> Option<MeanAndVariance> {
        mean_and_variance(&self.dots)
    }

    /// Of the cosines, over classes that have one.
    pub(super) fn cos(&self) -> Option<MeanAndVariance> {
        mean_and_variance(&self.cosines.iter().flatten().copied().collect::<Vec<f64>>())
    }

    /// Of the distances of unit vectors, over classes that have one.
    pub(super) fn dist(&self) -> Option<MeanAndVariance> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Centring;
    use crate::metrics::fixture::{assert_close, golden, golden_head};

    fn vectors(dim: usize, values: &[f64]) -> Vectors {
        Vectors::new(dim, values.to_vec(), 0.0)
    }

    #[test]
    fn the_golden_fixture() {
        let means = Vectors::centred(&golden(), Centring::Class);
        let weights = vectors(3, &golden_head().weights);
        assert_close(self_duality_sq(&weights, &means).unwrap(), 0.602_369_316_816_863_7, 1e-12);
        let duality = Alignment::of(&weights, &means);
        for (moments, mean, var) in [
            (duality.dot(), 4.780_208_333_333_333, 8.907_185_646_339_7),
            (duality.cos(), 0.683_576_358_827_386_1, 0.154_195_026_898_580_86),
            (duality.dist(), 0.694_598_189_339_063_3, 0.200_507_516_949_496_9),
        ] {
            let found = moments.unwrap();
            assert_close(found.0, mean, 1e-12);
            assert_close(found.1.unwrap(), var, 1e-12);
        }
    }

    #[test]
    fn the_same_up_to_scale_is_dual() {
        let means = vectors(2, &[1.0, 0.0, -0.5, 0.8, -0.5, -0.8]);
        let weights = vectors(2, &[3.0, 0.0, -1.5, 2.4, -1.5, -2.4]);
        assert!(self_duality_sq(&weights, &means).unwrap() < 1e-30);
        let duality = Alignment::of(&weights, &means);
        assert_close(duality.cos().unwrap().0, 1.0, 1e-15);
        assert!(duality.dist().unwrap().0 < 1e-15);
        // 1 − cos is 5e-19 here, which no cosine shows.
        let turned = vectors(2, &[3.0, 3e-9, -1.5, 2.4, -1.5, -2.4]);
        assert_close(Alignment::of(&turned, &means).dist().unwrap().0, 1e-9 / 3.0, 1e-9);
    }

    #[test]
    fn a_row_of_length_0_has_no_direction() {
        let means = vectors(2, &[1.0, 0.0, 0.0, 1.0, -1.0, -1.0]);
        let weights = vectors(2, &[0.0, 0.0, 0.0, 2.0, 1.0, 1.0]);
        let duality = Alignment::of(&weights, &means);
        assert_eq!(duality.cosines[0], None);
        assert_eq!(duality.dots, [0.0, 2.0, -2.0]);
        assert_close(duality.cos().unwrap().1.unwrap(), 2.0, 1e-15);
        assert_eq!(self_duality_sq(&vectors(2, &[0.0; 6]), &means), None);
    }

    #[test]
    fn the_bias_collapses_where_it_undoes_the_global_mean() {
        let weights = [1.0, 2.0, 0.0, -1.0];
        assert_close(bias_collapse(&weights, Some(&[-5.0, 2.0]), &[1.0, 2.0]), 0.0, 0.0);
        assert_close(bias_collapse(&weights, None, &[1.0, 2.0]), 29_f64.sqrt(), 1e-15);
    }
}
