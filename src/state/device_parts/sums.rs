//! Sums on a device, and what the CPU knows of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::lost;
use crate::batch::{Batch, ByClass, Label};
use crate::error::{Error, Result};
use crate::grid::{EXPONENTS, ExponentRows, Grid, History, divide, power_of_two, shift_right};
use crate::kernels::gram::GramSum;
use crate::kernels::{MAX_LEFT, SlotRows, SumsId, TakenSums, Workspace};
use crate::state::observe::foreign_class;
use crate::state::shifts::Steps;
use crate::state::{Chunk, ClassSums, Low, Scatter, Shifts, State};

/// Sums on a device are this many bits finer than their first chunk, so that chunks with a somewhat finer grid fit them.
const FINER: i16 = 8;

/// `|x|` in steps of the sums stays below this, so that shifts fit an `i64`.
const STEPS_LIMIT: f64 = (1_u64 << 60) as f64;

/// Sums on the device, and what the CPU knows of them.
#[derive(Debug)]
pub(super) struct Sums {
    pub(super) id: SumsId,
    pub(super) exponents: Vec<i16>,
    inverse: Vec<f64>,
    pub(super) slot_of: HashMap<Label, u32>,
    pub(super) labels: Vec<Label>,
    /// The shift of each slot, D.
    shifts: Vec<Arc<[f64]>>,
    /// Rows of each slot.
    counts: Vec<u64>,
    /// The exponent of the lowest bit that is set in some shift, D.
    lowest: Vec<i32>,
    /// Rows by dimension and `left`, D × (`MAX_LEFT` + 1).
    rows: Vec<u64>,
    /// Bounds on what a class sum, and a sum of squares, may hold.
    sum_bound: f64,
    square_bound: f64,
}

impl Sums {
    /// Sums over no rows, on a grid somewhat finer than this one.
    pub(super) fn open(grid: &Grid, gram: bool, workspace: &mut Workspace) -> Result<Self> {
        let finest = grid.finest().unwrap_or_default();
        // A dimension of zeros may have any step. That of the finest serves most chunks in which it is not all zeros.
        let finer = |e: &Option<i16>| (e.unwrap_or(finest) - FINER).max(*EXPONENTS.start());
        let exponents: Vec<i16> = grid.exponents().iter().map(finer).collect();
        let device = workspace.kernels.device_sums().ok_or_else(lost)?;
        let dim = exponents.len();
        Ok(Self {
            id: device.open(&exponents, gram)?,
            inverse: exponents.iter().map(|&e| power_of_two(-e)).collect(),
            exponents,
            slot_of: HashMap::new(),
            labels: Vec::new(),
            shifts: Vec::new(),
            counts: Vec::new(),
            lowest: vec![i32::MAX; dim],
            rows: vec![0; dim * LEFTS],
            sum_bound: 0.0,
            square_bound: 0.0,
        })
    }

    /// By how many bits a chunk's steps lie left of those of the sums, D; `None` if its rows cannot be added.
    pub(super) fn fit(&self, grid: &Grid, largest: &[f64], rows: usize) -> Option<Vec<u32>> {
        if grid.dim() != self.exponents.len() {
            return None;
        }
        let mut left = Vec::with_capacity(grid.dim());
        for (j, exponent) in grid.exponents().iter().enumerate() {
            let Some(exponent) = *exponent else {
                // Zeros lie on any grid, but a class whose shift is not zero does not lie at them.
                if self.lowest[j] != i32::MAX {
                    return None;
                }
                left.push(0);
                continue;
            };
            let bits = u32::try_from(i32::from(exponent) - i32::from(self.exponents[j])).ok()?;
            if bits > MAX_LEFT || self.lowest[j] < exponent.into() || largest[j] * self.inverse[j] >= STEPS_LIMIT {
                return None;
            }
            left.push(bits);
        }
        let (sum, square) = bounds(&left, rows);
        (self.sum_bound + sum < 2_f64.powi(62) && self.square_bound + square < 2_f64.powi(126)).then_some(left)
    }

    /// The slot of each class of `order`; classes that come for the first time get one.
    pub(super) fn slots(
        &mut self,
        chunk: &Chunk<'_>,
        order: &ByClass,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<Vec<u32>> {
        let Chunk { batch, profile } = chunk;
        let steps = Steps::of(profile.grid());
        let label = |code: u32| &batch.classes()[code as usize];
        let (mut new, mut new_labels) = (Vec::new(), Vec::new());
        for (&code, rows) in order.codes().iter().zip(order.each()) {
            if !self.slot_of.contains_key(label(code)) {
                let mean = profile.mean(code, batch, rows).ok_or_else(foreign_class)?;
                new.push(shifts.on_device(label(code), &steps, &mean));
                new_labels.push(label(code).clone());
            }
        }
        if !new.is_empty() {
            let device = workspace.kernels.device_sums().ok_or_else(lost)?;
            let values: Vec<f64> = new.iter().flat_map(|shift| shift.iter().copied()).collect();
            device.extend(self.id, &values)?;
            for (shift, label) in new.into_iter().zip(new_labels) {
                for (lowest, &x) in self.lowest.iter_mut().zip(shift.iter()).filter(|(_, x)| **x != 0.0) {
                    *lowest = (*lowest).min(lowest_bit(x));
                }
                self.slot_of.insert(label.clone(), self.labels.len() as u32);
                self.labels.push(label);
                self.shifts.push(shift);
                self.counts.push(0);
            }
        }
        Ok(order.codes().iter().map(|&code| self.slot_of[label(code)]).collect())
    }

    /// Counts the rows that the device has added: all but the long ones.
    pub(super) fn count(&mut self, batch: &Batch<'_>, grid: &Grid, rows: &SlotRows<'_>, long: &[u32]) {
        let SlotRows { order, slots, left, .. } = *rows;
        for (&slot, &count) in slots.iter().zip(order.counts()) {
            self.counts[slot as usize] += count;
        }
        for &row in long {
            let label = &batch.classes()[batch.codes()[row as usize] as usize];
            self.counts[self.slot_of[label] as usize] -= 1;
        }
        let added = (order.rows().len() - long.len()) as u64;
        for (j, (&left, exponent)) in left.iter().zip(grid.exponents()).enumerate() {
            if exponent.is_some() {
                self.rows[j * LEFTS + left as usize] += added;
            }
        }
        let (sum, square) = bounds(left, order.rows().len());
        self.sum_bound += sum;
        self.square_bound += square;
    }

    /// The state of the rows that were added, on the coarsest grid on which they lie; `None` if there are none.
    pub(super) fn into_state(self, taken: TakenSums) -> Result<Option<State>> {
        let (dim, slots) = (self.exponents.len(), self.labels.len());
        if taken.sums.len() != slots * dim || taken.squares.len() != slots || taken.changed.len() != dim * LEFTS {
            return Err(Error::internal("a device has handed over sums of another shape"));
        }
        let kept: Vec<usize> = (0..slots).filter(|&slot| self.counts[slot] > 0).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let history = self.history(&taken.changed)?;
        let grid = history.grid();
        // By how many bits that grid is coarser than the one on the device.
        let right: Vec<u32> = grid
            .exponents()
            .iter()
            .zip(&self.exponents)
            .map(|(e, &fine)| e.map_or(0, |e| (i32::from(e) - i32::from(fine)) as u32))
            .collect();
        let inexact = || Error::internal("the sums of a device do not lie on the grid of its chunks");
        let coarsened = |values: &[i64]| -> Result<Vec<i64>> {
            let moved = |(j, &value): (usize, &i64)| divide(value.into(), right[j]).map(|value| value as i64);
            kept.iter()
                .flat_map(|&slot| values[slot * dim..][..dim].iter().enumerate())
                .map(|entry| moved(entry).ok_or_else(inexact))
                .collect()
        };
        let steps: Vec<f64> = grid.exponents().iter().map(|e| power_of_two(-e.unwrap_or(0))).collect();
        let shifts = kept.iter().flat_map(|&slot| self.shifts[slot].iter().zip(&steps));
        let shifts = shifts.map(|(shift, inverse)| (shift * inverse) as i64).collect();
        let fine = self.exponents.iter().min().map_or(0, |&e| i32::from(e));
        let squares_right = 2 * (i32::from(grid.finest().unwrap_or_default()) - fine) as u32;
        let square = |&slot: &usize| shift_right(taken.squares[slot], squares_right).ok_or_else(inexact);
        let sums = ClassSums::from_parts(
            grid.clone(),
            history,
            kept.iter().map(|&slot| self.labels[slot].clone()).collect(),
            kept.iter().map(|&slot| self.counts[slot]).collect(),
            shifts,
            coarsened(&taken.sums)?,
            Low::Narrow(coarsened(&taken.low)?),
            kept.iter().map(square).collect::<Result<_>>()?,
        );
        let Some(gram) = taken.gram else { return Ok(Some(sums.into())) };
        let mut gram = GramSum::of(dim, gram);
        if !gram.coarsen(&right) {
            return Err(inexact());
        }
        // This checks that the trace of the matrix is the sum of the classes' squares.
        Ok(Some(Scatter::from_parts(sums, gram)?.into()))
    }

    fn history(&self, changed: &[u64]) -> Result<History> {
        let tallies = |(j, &fine): (usize, &i16)| {
            let of_left = |left: usize| {
                let (rows, changed) = (self.rows[j * LEFTS + left], changed[j * LEFTS + left]);
                (rows > 0).then(|| ExponentRows { exponent: fine + left as i16, rows, changed, unresolved: 0 })
            };
            (0..LEFTS).filter_map(of_left).collect()
        };
        History::from_exponents(self.exponents.iter().enumerate().map(tallies).collect())
            .ok_or_else(|| Error::internal("a device has counted more changed rows than rows"))
    }
}

/// How many values `left` may have.
const LEFTS: usize = MAX_LEFT as usize + 1;

/// What rows of a chunk may add at most to a class sum, and to a sum of squares.
fn bounds(left: &[u32], rows: usize) -> (f64, f64) {
    let most = left.iter().copied().max().unwrap_or(0) as i32;
    (rows as f64 * 2_f64.powi(21 + most), rows as f64 * left.len() as f64 * 2_f64.powi(52 + 2 * most))
}

/// The exponent of the lowest bit of a number other than 0.
fn lowest_bit(x: f64) -> i32 {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    match exponent {
        0 => fraction.trailing_zeros() as i32 - 1074,
        _ => (fraction | 1 << 52).trailing_zeros() as i32 + exponent - 1075,
    }
}
