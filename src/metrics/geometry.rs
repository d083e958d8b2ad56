//! One vector a class, and what several metrics share of them: the centred class means, or the classifier's rows.

use std::sync::OnceLock;

use super::nc2::{Lengths, pair_cosines, pair_products};
use super::vectors::Vectors;
use crate::kernels::pairs::Angles;

/// The vectors of all classes, and the quantities that several metrics of NC2, GNC2 and HUG share, made when first asked
/// for.
pub(super) struct Geometry {
    /// The centred class means `c_k`, or the classifier's rows `w_k`.
    pub vectors: Vectors,
    /// The reason for null where all vectors are 0.
    pub all_zero: &'static str,
    /// Angles between the vectors, with the exponent of the options; if a selected metric needs them.
    pub angles: Option<Angles>,
    /// The same with the exponent of the hyperspherical energy.
    pub energy: Option<Angles>,
    lengths: OnceLock<Option<Lengths>>,
    cosines: OnceLock<Option<(f64, f64)>>,
    products: OnceLock<Option<(f64, f64)>>,
}

impl Geometry {
    /// `all_zero` is the reason for null where all vectors are 0.
    pub(super) fn new(
        vectors: Vectors,
        all_zero: &'static str,
        angles: Option<Angles>,
        energy: Option<Angles>,
    ) -> Self {
        let (lengths, cosines, products) = Default::default();
        Self { vectors, all_zero, angles, energy, lengths, cosines, products }
    }

    /// Why the vectors have no directions to compare, if they have none: `single_class`, or that all are 0.
    pub(super) fn undefined(&self) -> Option<&'static str> {
        if self.vectors.len() < 2 {
            Some("single_class")
        } else if self.vectors.zeros() == self.vectors.len() {
            Some(self.all_zero)
        } else {
            None
        }
    }

    /// Makes what several metrics share and takes long, as far as one of their keys was chosen.
    pub(super) fn prepare(&self, chosen: impl Fn(&str) -> bool) {
        if self.undefined().is_some() {
            return;
        }
        if ["nc2_cos_mean", "nc2_equiangular_std", "nc2_interference_cv"].into_iter().any(&chosen) {
            self.cosines();
        }
        if ["nc2_interference_mean", "nc2_interference_var"].into_iter().any(&chosen) {
            self.products();
        }
        if !self.vectors.few() && ["nc2_etf_error", "nc2_participation_ratio"].into_iter().any(&chosen) {
            self.vectors.gram();
        }
    }

    /// The lengths' mean and variance; `None` for fewer than two vectors.
    pub(super) fn lengths(&self) -> Option<&Lengths> {
        self.lengths.get_or_init(|| Lengths::of(&self.vectors)).as_ref()
    }

    /// Mean and variance over pairs of cosines; `None` for fewer than two vectors with a direction.
    pub(super) fn cosines(&self) -> Option<(f64, f64)> {
        *self.cosines.get_or_init(|| pair_cosines(&self.vectors))
    }

    /// Mean and variance over pairs of inner products; `None` for fewer than two vectors.
    pub(super) fn products(&self) -> Option<(f64, f64)> {
        *self.products.get_or_init(|| pair_products(&self.vectors))
    }
}
