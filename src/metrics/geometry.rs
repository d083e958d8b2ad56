//! NC2, GNC2 and the hyperspherical energy of one set of vectors: centred class means, or classifier rows.

use std::cell::OnceCell;

use super::nc2::{self, Frame, Lengths};
use super::outcome::Outcome;
use super::vectors::Vectors;
use super::{Value, doubt, gnc2, hug};
use crate::kernels::pairs::Angles;

/// Vectors, and what was found of them so far.
pub(super) struct Geometry {
    /// The vectors.
    pub vectors: Vectors,
    /// The reason given where all of them are 0.
    all_zero: &'static str,
    /// From a sweep with the exponent of the options, and from one with that of the hyperspherical energy.
    pub angles: Option<Angles>,
    pub energy: Option<Angles>,
    lengths: OnceCell<Option<Lengths>>,
    cosines: OnceCell<Option<(f64, f64)>>,
    products: OnceCell<Option<(f64, f64)>>,
}

impl Geometry {
    /// `all_zero` is the reason why there is no number where all vectors are 0.
    pub(super) fn new(
        vectors: Vectors,
        all_zero: &'static str,
        angles: Option<Angles>,
        energy: Option<Angles>,
    ) -> Self {
        let (lengths, cosines, products) = Default::default();
        Self { vectors, all_zero, angles, energy, lengths, cosines, products }
    }

    /// Why there is no geometry, if there is none.
    pub(super) fn undefined(&self) -> Option<&'static str> {
        if self.vectors.len() < 2 {
            Some("single_class")
        } else if self.vectors.zeros() == self.vectors.len() {
            Some(self.all_zero)
        } else {
            None
        }
    }

    pub(super) fn lengths(&self) -> Option<&Lengths> {
        self.lengths.get_or_init(|| Lengths::of(&self.vectors)).as_ref()
    }

    /// Mean and variance over pairs.
    pub(super) fn cosines(&self) -> Option<(f64, f64)> {
        *self.cosines.get_or_init(|| nc2::pair_products(&self.vectors.units()))
    }

    /// The metric of that key, without `_weights`.
    pub(super) fn outcome(&self, key: &str) -> Option<Outcome> {
        let outcome = self.number(key)?;
        let error = outcome.value.map_or(0.0, |value| self.doubt(key, value));
        Some(outcome.off_by(error))
    }

    fn number(&self, key: &str) -> Option<Outcome> {
        let (vectors, dim) = (&self.vectors, self.vectors.dim);
        let classes = vectors.len();
        // Equal means have lengths still, all 0.
        let undefined = match key {
            "nc2_norm_mean" | "nc2_norm_var" => (classes < 2).then_some("single_class"),
            _ => self.undefined(),
        };
        if let Some(reason) = undefined {
            return Some(Outcome::null(reason));
        }
        let lengths = || self.lengths();
        let of_lengths = |number: fn(&Lengths) -> Option<f64>, reason| value(lengths().and_then(number), reason);
        let of_logs = |number: fn(&Lengths) -> Option<f64>| {
            let reason = if lengths().is_some_and(|lengths| lengths.log.is_some()) { "zero_mean" } else { TOO_FEW };
            of_lengths(number, reason).flag_if(vectors.zeros() > 0, ZERO_NORMS)
        };
        let of_cosines = |number: fn((f64, f64)) -> Option<f64>| {
            let cosines = self.cosines();
            let reason = if cosines.is_some() { "zero_mean" } else { TOO_FEW };
            value(cosines.and_then(number), reason).flag_if(vectors.zeros() > 0, ZERO_NORMS)
        };
        let of_products = |number: fn((f64, f64)) -> f64| {
            let products = self.products.get_or_init(|| nc2::pair_products(vectors));
            value(products.map(number), TOO_FEW)
        };
        Some(match key {
            "nc2_norm_mean" => of_lengths(|lengths| Some(lengths.mean), TOO_FEW),
            "nc2_norm_var" => of_lengths(|lengths| Some(lengths.var), TOO_FEW),
            "nc2_equinorm_cv" => of_lengths(Lengths::cv, TOO_FEW),
            "nc2_log_norm_mean" => of_logs(|lengths| lengths.log.map(|(mean, _)| mean)),
            "nc2_log_norm_var" => of_logs(|lengths| lengths.log.map(|(_, var)| var)),
            "nc2_log_norm_cv" => of_logs(Lengths::log_cv),
            "nc2_cos_mean" => of_cosines(|(mean, _)| Some(mean)),
            "nc2_equiangular_std" => of_cosines(|(_, var)| Some(var.sqrt())),
            "nc2_interference_cv" => {
                let outcome = of_cosines(|(mean, var)| (mean != 0.0).then(|| var.sqrt() / mean));
                let large = outcome.value.is_ok_and(|cv| cv.abs() > 10.0);
                outcome.flag_if(large, "ill_conditioned")
            }
            "nc2_interference_mean" => of_products(|(mean, _)| mean),
            "nc2_interference_var" => of_products(|(_, var)| var),
            "nc2_etf_error" => value(nc2::frame_error(vectors, vectors, Frame::Simplex), self.all_zero)
                .floor(nc2::simplex_floor(classes, dim)),
            "nc2_of_error" => orthogonal(vectors, self.all_zero),
            "nc2_participation_ratio" => value(nc2::participation_ratio(vectors), self.all_zero),
            "nc2_max_angle" => of_angles(self.angles.as_ref(), gnc2::max_angle),
            "gnc2_distance_mean" => of_angles(self.angles.as_ref(), gnc2::distance_mean),
            "gnc2_distance_var" => of_angles(self.angles.as_ref(), gnc2::distance_var),
            "gnc2_log_energy_mean" => of_angles(self.angles.as_ref(), gnc2::log_energy_mean)
                .floor(gnc2::log_energy_floor(classes, dim))
                .flag_if(classes > dim + 1, "random_baseline"),
            "gnc2_log_energy_var" => of_angles(self.angles.as_ref(), gnc2::log_energy_var),
            "gnc2_log_energy_cv" => of_angles(self.angles.as_ref(), gnc2::log_energy_cv),
            "gnc2_riesz_mean" => of_angles(self.angles.as_ref(), gnc2::riesz_mean),
            "gnc2_riesz_var" => of_angles(self.angles.as_ref(), gnc2::riesz_var),
            "gnc2_riesz_ln_mean" => of_angles(self.angles.as_ref(), gnc2::riesz_ln_mean),
            "gnc2_min_distance" => of_angles(self.angles.as_ref(), gnc2::min_distance),
            "hug_inter" => of_angles(self.energy.as_ref(), hug::inter).floor(hug::inter_floor(classes, dim)),
            _ => return None,
        })
    }
}

/// Fewer than two vectors have a direction.
pub(super) const TOO_FEW: &str = "too_few_directions";

/// Vectors of length 0 were left out.
pub(super) const ZERO_NORMS: &str = "zero_norm_classes";

/// `nc2_of_error`: of classifier rows, or of means that are not centred.
pub(super) fn orthogonal(vectors: &Vectors, all_zero: &'static str) -> Outcome {
    let outcome = value(nc2::frame_error(vectors, vectors, Frame::Orthogonal), all_zero);
    let error = outcome.value.map_or(0.0, |value| doubt::of_frame(vectors, value));
    outcome.floor(nc2::orthogonal_floor(vectors.len(), vectors.dim)).off_by(error)
}

/// The number, or the reason.
pub(super) fn value(number: Option<f64>, reason: &'static str) -> Outcome {
    number.ok_or(reason).into()
}

fn of_angles(angles: Option<&Angles>, number: fn(&Angles) -> Value) -> Outcome {
    let Some(angles) = angles else { return Outcome::null(TOO_FEW) };
    let mut outcome = Outcome::from(number(angles))
        .count("zero_norm_classes", angles.zeros as u64)
        .count("degenerate_pairs", angles.degenerate);
    outcome.flags.extend(gnc2::flags(angles));
    outcome
}
