//! The shifts that the partial states of a group agree upon.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::batch::Label;
use crate::grid::{Grid, VALUE_BITS, vectorised};

/// A class's shift is a multiple of this many steps, so that it lies on coarser chunks' grids too.
const SHIFT_STEPS: f64 = 65_536.0;

/// A shift that lies this many steps or more from a chunk's class makes its rows long.
const NEAR_STEPS: f64 = 1_048_576.0;

/// Shifts by class, in feature units; append-only, shared by all partial states of a group.
///
/// They keep `δ` short and merging an addition. No result depends on them.
#[derive(Debug, Default)]
pub struct Shifts(RwLock<HashMap<Label, Arc<[f64]>>>);

/// The steps of a grid, and their inverses, which are exact.
pub(super) struct Steps {
    sizes: Vec<f64>,
    inverse: Vec<f64>,
    /// Whether a dimension has a step.
    present: Vec<bool>,
}

impl Steps {
    pub(super) fn of(grid: &Grid) -> Self {
        let sizes = grid.steps();
        let inverse = sizes.iter().map(|step| 1.0 / step).collect();
        Self { sizes, inverse, present: grid.exponents().iter().map(Option::is_some).collect() }
    }
}

impl Shifts {
    /// Appends the shift of a class, in steps of a grid: the table's where it serves, else one of the class's own.
    ///
    /// `mean` is about where the chunk's rows of that class lie.
    pub(super) fn in_steps(&self, label: &Label, grid: &Steps, mean: &[f64], out: &mut Vec<i64>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(label).cloned();
        let shift = known.unwrap_or_else(|| {
            let coarse = |((mean, inverse), step): ((&f64, &f64), &f64)| {
                (mean * inverse / SHIFT_STEPS).round_ties_even() * SHIFT_STEPS * step
            };
            let proposed: Arc<[f64]> = mean.iter().zip(&grid.inverse).zip(&grid.sizes).map(coarse).collect();
            let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
            table.entry(label.clone()).or_insert(proposed).clone()
        });
        // With the registers of the machine, rounding is an instruction and not a call.
        vectorised(
            #[inline(always)]
            || {
                if grid.serves(&shift, mean) {
                    out.extend(shift.iter().zip(&grid.inverse).map(|(shift, inverse)| (shift * inverse) as i64));
                } else {
                    let own = |(mean, inverse): (&f64, &f64)| (mean * inverse).round_ties_even() as i64;
                    out.extend(mean.iter().zip(&grid.inverse).map(own));
                }
            },
        );
    }
}

impl Steps {
    /// Whether a shift lies on this grid, and near rows with that mean.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "it has to be compiled for the registers of the caller")]
    #[expect(clippy::float_cmp, reason = "a multiple of a power of two is one exactly or not at all")]
    fn serves(&self, shift: &[f64], mean: &[f64]) -> bool {
        let limit = 2f64.powi(VALUE_BITS as i32);
        (0..self.inverse.len()).all(|j| {
            let (shift, mean) = (shift[j] * self.inverse[j], mean[j] * self.inverse[j]);
            // Where the chunk is all zeros there is no step, and only 0 lies on every grid.
            (shift == 0.0 || self.present[j])
                && shift == shift.round_ties_even()
                && shift.abs() < limit
                && (shift - mean).abs() < NEAR_STEPS
        })
    }
}
