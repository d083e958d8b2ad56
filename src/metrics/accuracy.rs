//! What rounding to the grid left of each number (METRICS 4.7).

use std::collections::BTreeMap;

use super::nc1::{Pinv, Vci};
use crate::kernels::pairs::{Cdnv, Points};
use crate::state::Statistics;

/// What estimates are made of; numbers that were not asked for are `None`.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The classes.
    pub statistics: &'a Statistics,
    /// Their centred means.
    pub means: &'a Points<'a>,
    /// Significand bits of the stored features.
    pub significand_bits: u32,
    /// `nc1_pinv`.
    pub pinv: Option<&'a Pinv>,
    /// `nc1_vci`.
    pub vci: Option<&'a Vci>,
    /// `nc1_cdnv`.
    pub cdnv: Option<&'a Cdnv>,
}

/// Relative accuracy by metric key or quantity, and flags that concern the whole group.
pub fn estimate(inputs: &Inputs<'_>) -> (BTreeMap<&'static str, f64>, Vec<&'static str>) {
    todo!()
}
