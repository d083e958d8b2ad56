//! The class shifts that all partial states of a group share.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::batch::Label;
use crate::grid::{Grid, VALUE_BITS, vectorised};
use crate::kernels::quantise::{MAGIC, NARROW_LIMIT};

/// A class's shift is a multiple of this many steps, so that it lies on the grids of coarser chunks too.
const SHIFT_STEPS: f64 = 65_536.0;

/// Rows that lie this many steps or more from their shift are long: they take the slower path.
const NEAR_STEPS: f64 = 1_048_576.0;

/// The mean of fewer rows than this says little, and a shift of their own costs no less than two long rows.
const FEW_ROWS: u64 = 4;

/// Shifts by class, in feature units; append-only, shared by all partial states of a group.
///
/// They keep `δ` short and merging an addition. No result depends on them.
#[derive(Debug, Default)]
pub struct Shifts(RwLock<HashMap<Label, Arc<[f64]>>>);

/// The steps of a grid, and their inverses, which are exact.
pub(super) struct Steps {
    sizes: Vec<f64>,
    inverse: Vec<f64>,
    /// What the magnitude of a shift must stay below. A dimension that is all zeros has no step, and only a shift of 0
    /// lies on every grid.
    limits: Vec<f64>,
}

impl Steps {
    pub(super) fn of(grid: &Grid) -> Self {
        let sizes = grid.steps();
        let inverse = sizes.iter().map(|step| 1.0 / step).collect();
        let largest = 2f64.powi(VALUE_BITS as i32);
        let limit = |e: &Option<i16>| if e.is_some() { largest } else { f64::MIN_POSITIVE };
        Self { sizes, inverse, limits: grid.exponents().iter().map(limit).collect() }
    }
}

impl Shifts {
    /// Appends the shift of a class, in steps of a grid: the one in the table if it is usable here, else the class's mean.
    ///
    /// `mean` is the approximate mean of the chunk's `rows` rows of that class.
    pub(super) fn in_steps(&self, label: &Label, grid: &Steps, mean: &[f64], rows: u64, out: &mut Vec<i64>) {
        let near = if rows < FEW_ROWS { 2.0 * NEAR_STEPS } else { NEAR_STEPS };
        let shift = self.of(label, grid, mean);
        let first = out.len();
        out.resize(first + mean.len(), 0);
        vectorised(
            #[inline(always)]
            || {
                let out = &mut out[first..];
                if grid.serves(&shift, mean, near) { grid.convert(&shift, out) } else { grid.convert(mean, out) }
            },
        );
    }

    /// The shift of a class for sums on a device, which keep one for all chunks: the one in the table if it lies on this
    /// grid, else one near the class's mean.
    pub(super) fn on_device(&self, label: &Label, grid: &Steps, mean: &[f64]) -> Arc<[f64]> {
        let shift = self.of(label, grid, mean);
        if grid.serves(&shift, mean, f64::INFINITY) { shift } else { grid.coarse(mean) }
    }

    /// The shift in the table, which becomes one near the mean if there was none.
    fn of(&self, label: &Label, grid: &Steps, mean: &[f64]) -> Arc<[f64]> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).get(label).cloned();
        known.unwrap_or_else(|| {
            let proposed = grid.coarse(mean);
            let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
            table.entry(label.clone()).or_insert(proposed).clone()
        })
    }
}

impl Steps {
    /// A mean, rounded so far that it lies on the grids of coarser chunks too; 0 where that leaves the range of `f64`.
    fn coarse(&self, mean: &[f64]) -> Arc<[f64]> {
        let coarse = |((mean, inverse), step): ((&f64, &f64), &f64)| {
            let shift = (mean * inverse / SHIFT_STEPS).round_ties_even() * SHIFT_STEPS * step;
            if shift.is_finite() { shift } else { 0.0 }
        };
        mean.iter().zip(&self.inverse).zip(&self.sizes).map(coarse).collect()
    }

    /// Whether a shift lies on this grid, and fewer than `near` steps from the mean.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled for the registers of the caller")]
    #[expect(clippy::float_cmp, reason = "a multiple of a power of two is one exactly or not at all")]
    fn serves(&self, shift: &[f64], mean: &[f64], near: f64) -> bool {
        let dim = mean.len();
        let (shift, inverse, limits) = (&shift[..dim], &self.inverse[..dim], &self.limits[..dim]);
        let mut serves = true;
        for j in 0..dim {
            let (shift, mean) = (shift[j] * inverse[j], mean[j] * inverse[j]);
            let lies = (shift == shift.round_ties_even()) & (shift.abs() < limits[j]);
            serves &= lies & ((shift - mean).abs() < near);
        }
        serves
    }

    /// Values in steps, rounded.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled for the registers of the caller")]
    fn convert(&self, values: &[f64], out: &mut [i64]) {
        let dim = out.len();
        let (values, inverse) = (&values[..dim], &self.inverse[..dim]);
        let mut narrow = true;
        for j in 0..dim {
            let steps = values[j] * inverse[j];
            narrow &= steps.abs() < NARROW_LIMIT;
            out[j] = ((steps + MAGIC).to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64);
        }
        if !narrow {
            // Slower: few machines convert several `f64` to `i64` in one instruction.
            for j in 0..dim {
                out[j] = (values[j] * inverse[j]).round_ties_even() as i64;
            }
        }
    }
}
