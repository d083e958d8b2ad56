//! NC3: are classifier and class means dual? Papyan et al. (2020), Zhu et al. (2021), Wu & Papyan (2024).
//!
//! Each formula of a catalogue's key is a function here. `c_k` are the centred class means, `w_k` the classifier's rows.

use super::Centring;
use super::context::MetricContext;
use super::doubt::{Errors, arithmetic, of_difference, of_ratio, of_square, whole};
use super::nc2::{Frame, frame_error, simplex_floor, structure_norm};
use super::outcome::{Outcome, TOO_FEW, ZERO_NORMS};
use super::vectors::{Vectors, centre, dot, length, mean_and_variance};

/// A classifier and centred class means, neither of them all 0.
#[derive(Clone, Copy)]
pub(super) struct Duality<'a> {
    /// `W`.
    pub weights: &'a Vectors,
    /// `C`.
    pub means: &'a Vectors,
    /// The two, class by class.
    pub classes: &'a Alignment,
}

/// `nc3_self_duality_sq`: `‖W/‖W‖ − C/‖C‖‖²`.
pub(super) fn self_duality_sq(duality: &Duality<'_>) -> Outcome {
    Outcome::number_or(scaled_difference(duality.weights, duality.means), "zero_between").off_by(|value| {
        let relative = |vectors: &Vectors| whole(&vectors.errors()) / size(vectors);
        of_square(value.sqrt(), relative(duality.means) + relative(duality.weights))
    })
}

/// `nc3_duality_error`: `‖S/‖S‖ − P/√(K−1)‖` with `S = W Cᵀ` and `P = I − 11ᵀ/K`.
pub(super) fn duality_error(duality: &Duality<'_>) -> Outcome {
    let (weights, means) = (duality.weights, duality.means);
    Outcome::number_or(frame_error(weights, means, Frame::Simplex), "orthogonal_spaces")
        .floor(simplex_floor(means.len(), means.dim))
        .off_by(|value| {
            let product = size(weights) * whole(&means.errors()) + whole(&weights.errors()) * size(means);
            2.0 * product / structure_norm(weights, means) + of_difference(means, value)
        })
}

/// `nc3_dot_mean`: the mean of `w_k · c_k`.
pub(super) fn dot_mean(duality: &Duality<'_>) -> Outcome {
    mean(duality.classes.dot()).off_by(|_| duality.dot_errors().of_mean())
}

/// `nc3_dot_var` and `unc3_dot_var`: the variance of `w_k · c_k` over classes, divisor `K − 1`.
pub(super) fn dot_var(duality: &Duality<'_>) -> Outcome {
    variance(duality.classes.dot()).off_by(|var| of_square(var.sqrt(), duality.dot_errors().of_std()))
}

/// `nc3_cos_mean`: the mean of `cos(w_k, c_k)`.
pub(super) fn cos_mean(duality: &Duality<'_>) -> Outcome {
    duality.directed(mean(duality.classes.cos())).off_by(|_| duality.cos_errors().of_mean())
}

/// `nc3_cos_var`: the variance of `cos(w_k, c_k)` over classes, divisor `K − 1`.
pub(super) fn cos_var(duality: &Duality<'_>) -> Outcome {
    duality.directed(variance(duality.classes.cos())).off_by(|var| of_square(var.sqrt(), duality.cos_errors().of_std()))
}

/// `nc3_dist_mean`: the mean of `‖w_k/‖w_k‖ − c_k/‖c_k‖‖`.
pub(super) fn dist_mean(duality: &Duality<'_>) -> Outcome {
    duality.directed(mean(duality.classes.dist())).off_by(|_| duality.angle_errors().of_mean())
}

/// `nc3_dist_var`: the variance of `‖w_k/‖w_k‖ − c_k/‖c_k‖‖` over classes, divisor `K − 1`.
pub(super) fn dist_var(duality: &Duality<'_>) -> Outcome {
    duality
        .directed(variance(duality.classes.dist()))
        .off_by(|var| of_square(var.sqrt(), duality.angle_errors().of_std()))
}

/// `unc3_cos_cv`: standard deviation over mean of `cos(w_k, c_k)`, divisor `K − 1`.
pub(super) fn cos_cv(duality: &Duality<'_>) -> Outcome {
    let outcome = match duality.classes.cos() {
        Some((0.0, _)) => return Outcome::null("zero_mean"),
        Some((mean, Some(var))) => Outcome::from(var.sqrt() / mean),
        _ => return Outcome::null(TOO_FEW),
    };
    duality.directed(outcome).off_by(|cv| {
        let (mean, errors) = (duality.classes.cos().map_or(f64::NAN, |(mean, _)| mean), duality.cos_errors());
        of_ratio(cv, mean, errors.of_std(), errors.of_mean())
    })
}

/// `nc3_bias_collapse`: `‖W μ_G + b‖`, without a bias `‖W μ_G‖`.
pub(super) fn bias_collapse(context: &MetricContext<'_>) -> Outcome {
    let Some(head) = context.evidence.head else { return Outcome::null("no_head") };
    let statistics = context.evidence.statistics;
    let offset = centre(statistics, context.options.centring);
    let mean: Vec<f64> = statistics.origin.iter().zip(&offset).map(|(origin, offset)| origin + offset).collect();
    let size = |x: &[f64]| length(x.iter().copied());
    let vectors = &context.means.vectors;
    let of_mean = vectors.errors().into_iter().fold(0.0, f64::max) * vectors.unit;
    // The bias of a least-squares classifier makes up for its weights at the mean of all rows.
    let rows = centre(statistics, Centring::Sample);
    let apart: Vec<f64> = offset.iter().zip(&rows).map(|(a, b)| a - b).collect();
    let error =
        size(&head.weights) * (of_mean + arithmetic(statistics.dim) * size(&mean)) + size(&head.errors) * size(&apart);
    Outcome::from(logits_norm(&head.weights, head.bias.as_deref(), &mean))
        .off_by(|_| error)
        .flag_if(head.bias.is_none(), "no_bias")
}

/// Mean, and variance over classes with divisor `K − 1` if there are two classes.
type MeanAndVariance = (f64, Option<f64>);

fn mean(of: Option<MeanAndVariance>) -> Outcome {
    Outcome::number_or(of.map(|(mean, _)| mean), TOO_FEW)
}

fn variance(of: Option<MeanAndVariance>) -> Outcome {
    Outcome::number_or(of.and_then(|(_, var)| var), TOO_FEW)
}

impl Duality<'_> {
    /// With a remark if a class without a direction was left out.
    fn directed(&self, outcome: Outcome) -> Outcome {
        outcome.flag_if(self.classes.cosines.contains(&None), ZERO_NORMS)
    }

    /// Errors of `w_k · c_k`.
    fn dot_errors(&self) -> Errors {
        let (weights, means) = (self.weights, self.means);
        let (of_weights, of_means) = (weights.errors(), means.errors());
        let unit = weights.unit * means.unit;
        let error = |k: usize| (weights.norms[k] * of_means[k] + of_weights[k] * means.norms[k]) * unit;
        Errors::of((0..means.len()).map(error).collect())
    }

    /// Errors of the angle between `w_k` and `c_k`, over classes that have one.
    fn angles(&self) -> Vec<f64> {
        let (weights, means) = (self.weights, self.means);
        let (of_weights, of_means) = (weights.errors(), means.errors());
        let directed = (0..means.len()).filter(|&k| self.classes.cosines[k].is_some());
        directed.map(|k| of_means[k] / means.norms[k] + of_weights[k] / weights.norms[k]).collect()
    }

    fn angle_errors(&self) -> Errors {
        Errors::of(self.angles())
    }

    /// Errors of `cos(w_k, c_k)`, which changes with the sine of the angle; the distance of the unit vectors bounds that.
    fn cos_errors(&self) -> Errors {
        let of_cos = |(angle, distance): (&f64, &f64)| angle * (distance + angle) + arithmetic(self.means.dim);
        Errors::of(self.angles().iter().zip(&self.classes.distances).map(of_cos).collect())
    }
}

/// `‖X‖`, in units of the vectors.
fn size(vectors: &Vectors) -> f64 {
    vectors.square().sqrt()
}

/// Classifier and centred means, class by class.
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
    fn dot(&self) -> Option<MeanAndVariance> {
        mean_and_variance(&self.dots)
    }

    /// Of the cosines, over classes that have one.
    fn cos(&self) -> Option<MeanAndVariance> {
        mean_and_variance(&self.cosines.iter().flatten().copied().collect::<Vec<f64>>())
    }

    /// Of the distances of unit vectors, over classes that have one.
    fn dist(&self) -> Option<MeanAndVariance> {
        mean_and_variance(&self.distances)
    }
}

/// `‖W/‖W‖ − C/‖C‖‖²`; `None` if either is 0. In `[0, 4]`.
fn scaled_difference(weights: &Vectors, means: &Vectors) -> Option<f64> {
    let (weights_norm, means_norm) = (size(weights), size(means));
    let difference =
        weights.values.iter().zip(&means.values).map(|(w, c)| (w / weights_norm - c / means_norm).powi(2)).sum();
    (weights_norm > 0.0 && means_norm > 0.0).then_some(difference)
}

/// `‖W μ_G + b‖`, without a bias `‖W μ_G‖`; `weights` are `K × D`.
fn logits_norm(weights: &[f64], bias: Option<&[f64]>, global_mean: &[f64]) -> f64 {
    let logits = weights.chunks_exact(global_mean.len()).map(|row| dot(row, global_mean));
    length(logits.enumerate().map(|(k, logit)| logit + bias.map_or(0.0, |bias| bias[k])))
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
        assert_close(scaled_difference(&weights, &means).unwrap(), 0.602_369_316_816_863_7, 1e-12);
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
        assert!(scaled_difference(&weights, &means).unwrap() < 1e-30);
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
        assert_eq!(scaled_difference(&vectors(2, &[0.0; 6]), &means), None);
    }

    #[test]
    fn the_bias_collapses_where_it_undoes_the_global_mean() {
        let weights = [1.0, 2.0, 0.0, -1.0];
        assert_close(logits_norm(&weights, Some(&[-5.0, 2.0]), &[1.0, 2.0]), 0.0, 0.0);
        assert_close(logits_norm(&weights, None, &[1.0, 2.0]), 29_f64.sqrt(), 1e-15);
        for power in [-900, 900] {
            let scale = 2_f64.powi(power);
            let scaled: Vec<f64> = weights.iter().map(|w| w * scale).collect();
            assert_close(logits_norm(&scaled, None, &[1.0, 2.0]) / scale, 29_f64.sqrt(), 1e-15);
        }
    }
}
