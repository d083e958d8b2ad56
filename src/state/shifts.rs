//! The shifts that the partial states of a group agree upon.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::batch::Label;
use crate::grid::{Grid, VALUE_BITS};

/// A class's shift is a multiple of this many steps, so that it lies on coarser chunks' grids too.
const SHIFT_STEPS: f64 = 65_536.0;

/// A shift that lies this many steps or more from a chunk's class makes its rows long.
const NEAR_STEPS: f64 = 1_048_576.0;

/// Shifts by class, in feature units; append-only, shared by all partial states of a group.
///
/// They keep `δ` short and merging an addition. No result depends on them.
#[derive(Debug, Default)]
pub struct Shifts(RwLock<HashMap<Label, Arc<[f64]>>>);

impl Shifts {
    /// The shift of a class, in steps of `grid`: the table's where it serves, else one of the class's own.
    ///
    /// `mean` is about where the chunk's rows of that class lie.
    #[expect(clippy::float_cmp, reason = "a multiple of a power of two is one exactly or not at all")]
    pub(super) fn in_steps(&self, label: &Label, grid: &Grid, mean: &[f64]) -> Vec<i64> {
        let steps = grid.steps();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(label).cloned();
        let shift = known.unwrap_or_else(|| {
            let coarse =
                |(mean, step): (&f64, &f64)| (mean / step / SHIFT_STEPS).round_ties_even() * SHIFT_STEPS * step;
            let proposed: Arc<[f64]> = mean.iter().zip(&steps).map(coarse).collect();
            let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
            table.entry(label.clone()).or_insert(proposed).clone()
        });
        let limit = 2f64.powi(VALUE_BITS as i32);
        let near = (0..grid.dim()).all(|j| {
            let (shift, step, mean) = (shift[j], steps[j], mean[j]);
            let in_steps = shift / step;
            // Where the chunk is all zeros there is no step, and only 0 lies on every grid.
            (shift == 0.0 || grid.exponents()[j].is_some())
                && in_steps == in_steps.round_ties_even()
                && in_steps.abs() < limit
                && (in_steps - mean / step).abs() < NEAR_STEPS
        });
        let own = |(mean, step): (&f64, &f64)| (mean / step).round_ties_even() as i64;
        if near {
            shift.iter().zip(&steps).map(|(shift, step)| (shift / step) as i64).collect()
        } else {
            mean.iter().zip(&steps).map(own).collect()
        }
    }
}
