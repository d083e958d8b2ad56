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
/// They keep `δ` short and merging an addition. No result depends on them. In single precision, which is as good, they take
/// half the memory.
#[derive(Debug, Default)]
pub struct Shifts(RwLock<Table>);

/// Shifts one behind the other, in blocks each of which is as large as all before it. Large blocks are memory that the
/// allocator gives back at the end, and what nobody has written to is none.
#[derive(Debug, Default)]
struct Table {
    places: HashMap<Label, usize>,
    blocks: Vec<Vec<f32>>,
}

/// Classes of the first block.
const FIRST: usize = 16;

impl Table {
    /// The block of the shift of that place, and the place in it.
    fn lies(place: usize) -> (usize, usize) {
        let block = (place / FIRST + 1).ilog2() as usize;
        (block, place - FIRST * ((1 << block) - 1))
    }

    /// Writes the shift of a class to `shift`, if there is one.
    fn read(&self, label: &Label, shift: &mut [f32]) -> bool {
        let Some(&place) = self.places.get(label) else { return false };
        let (block, at) = Self::lies(place);
        shift.copy_from_slice(&self.blocks[block][at * shift.len()..][..shift.len()]);
        true
    }

    /// Adds the shift of a class that has none.
    fn add(&mut self, label: &Label, shift: &[f32]) {
        let (block, at) = Self::lies(self.places.len());
        if block == self.blocks.len() {
            self.blocks.push(vec![0.0; (FIRST << block) * shift.len()]);
        }
        self.blocks[block][at * shift.len()..][..shift.len()].copy_from_slice(shift);
        self.places.insert(label.clone(), self.places.len());
    }
}

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

/// How near to the mean of so many rows of a class its shift has to be, in steps.
pub(super) fn near_steps(rows: u64) -> f64 {
    if rows < FEW_ROWS { 2.0 * NEAR_STEPS } else { NEAR_STEPS }
}

impl Shifts {
    /// Appends the shift of a class, in steps of a grid: the one in the table if it is usable here, else the class's mean.
    ///
    /// `mean` is the approximate mean of the chunk's `rows` rows of that class.
    pub(super) fn in_steps(&self, label: &Label, grid: &Steps, mean: &[f64], rows: u64, out: &mut Vec<i64>) {
        let near = near_steps(rows);
        let mut shift = vec![0.0; mean.len()];
        self.of(label, grid, mean, &mut shift);
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
        let mut shift = vec![0.0; mean.len()];
        self.of(label, grid, mean, &mut shift);
        if !grid.serves(&shift, mean, f64::INFINITY) {
            grid.coarse(mean, &mut shift);
        }
        shift.iter().map(|&x| f64::from(x)).collect()
    }

    /// Writes the shift in the table to `shift`; if there was none, it becomes one near the mean.
    fn of(&self, label: &Label, grid: &Steps, mean: &[f64], shift: &mut [f32]) {
        if self.0.read().unwrap_or_else(PoisonError::into_inner).read(label, shift) {
            return;
        }
        grid.coarse(mean, shift);
        let mut table = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        if !table.read(label, shift) {
            table.add(label, shift);
        }
    }
}

impl Steps {
    /// Writes a mean, rounded so far that it lies on the grids of coarser chunks too; 0 where that leaves the range of `f32`.
    /// What rounding to `f32` takes off makes it coarser still.
    fn coarse(&self, mean: &[f64], coarse: &mut [f32]) {
        let dim = mean.len();
        let coarse = &mut coarse[..dim];
        let (inverse, sizes) = (&self.inverse[..dim], &self.sizes[..dim]);
        vectorised(
            #[inline(always)]
            || {
                for j in 0..dim {
                    let steps = (mean[j] * inverse[j] / SHIFT_STEPS).round_ties_even() * SHIFT_STEPS;
                    let shift = (steps * sizes[j]) as f32;
                    coarse[j] = if shift.is_finite() { shift } else { 0.0 };
                }
            },
        );
    }

    /// Whether a shift lies on this grid, and fewer than `near` steps from the mean.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled for the registers of the caller")]
    #[expect(clippy::float_cmp, reason = "a multiple of a power of two is one exactly or not at all")]
    fn serves(&self, shift: &[f32], mean: &[f64], near: f64) -> bool {
        let dim = mean.len();
        let (shift, inverse, limits) = (&shift[..dim], &self.inverse[..dim], &self.limits[..dim]);
        let mut serves = true;
        for j in 0..dim {
            let (shift, mean) = (f64::from(shift[j]) * inverse[j], mean[j] * inverse[j]);
            let lies = (shift == shift.round_ties_even()) & (shift.abs() < limits[j]);
            serves &= lies & ((shift - mean).abs() < near);
        }
        serves
    }

    /// Whether a shift on a grid that is finer by these bits lies on this one, and fewer than `near` steps from the mean.
    pub(super) fn serve(&self, shift: &[i64], left: &[u32], mean: &[f64], near: f64) -> bool {
        let dim = mean.len();
        let (shift, left, inverse, limits) = (&shift[..dim], &left[..dim], &self.inverse[..dim], &self.limits[..dim]);
        vectorised(
            #[inline(always)]
            || {
                let (mut lost, mut serves) = (0, true);
                for j in 0..dim {
                    let steps = shift[j] >> left[j];
                    lost |= (steps << left[j]) ^ shift[j];
                    let steps = steps as f64;
                    serves &= (steps.abs() < limits[j]) & ((steps - mean[j] * inverse[j]).abs() < near);
                }
                serves && lost == 0
            },
        )
    }

    /// Values in steps, rounded.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "must be compiled for the registers of the caller")]
    fn convert<T: Copy + Into<f64>>(&self, values: &[T], out: &mut [i64]) {
        let dim = out.len();
        let (values, inverse) = (&values[..dim], &self.inverse[..dim]);
        let mut narrow = true;
        for j in 0..dim {
            let steps = values[j].into() * inverse[j];
            narrow &= steps.abs() < NARROW_LIMIT;
            out[j] = ((steps + MAGIC).to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64);
        }
        if !narrow {
            // Slower: few machines convert several `f64` to `i64` in one instruction.
            for j in 0..dim {
                out[j] = (values[j].into() * inverse[j]).round_ties_even() as i64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_shift_of_a_class_stays() {
        let mut table = Table::default();
        let (label, mut found) = (|k: i128| Label::Int(7 * k), [0.0; 3]);
        for k in 0..1000 {
            assert!(!table.read(&label(k), &mut found));
            table.add(&label(k), &[k as f32, 1.0, -(k as f32)]);
        }
        for k in 0..1000 {
            assert!(table.read(&label(k), &mut found));
            assert_eq!(found, [k as f32, 1.0, -(k as f32)]);
        }
        let shifts = Shifts::default();
        let grid = Steps::of(&Grid::new(vec![Some(-20); 3]));
        let (near, far) = ([1.0, 2.0, 3.0], [1.0 + 1e-9, 2.0, 3.0]);
        let mut steps = Vec::new();
        for mean in [&near, &far] {
            shifts.in_steps(&label(1), &grid, mean, 9, &mut steps);
        }
        assert_eq!(steps, [1 << 20, 2 << 20, 3 << 20, 1 << 20, 2 << 20, 3 << 20]);
    }
}
