//! The one form that all states of the same rows share: the grid of the history, classes in label order, and as shift the
//! rounded mean.
//!
//! It is made class by class, so that what is made of it needs no second state beside the first.

use arrow::datatypes::i256;
use rayon::prelude::*;

use super::ClassSums;
use super::class::{ClassIntegers, Moves, Sign, fits_shift, out_of_range};
use super::low::{Low, coarsened_narrow};
use super::merge::finest_shift;
use super::narrow::Narrow;
use crate::error::{Error, Result};
use crate::grid::{shift_left, shift_right};

/// Numbers of the classes that threads centre together, and classes that are not worth another thread.
const AT_A_TIME: usize = 1 << 18;
const FEW: usize = 16;

impl ClassSums {
    /// Hands over every class in canonical form, in label order.
    ///
    /// `moves` is called for every move on the grid that this state has, which is that of the history or a finer one.
    pub(super) fn each_canonical(
        &self,
        moves: &mut impl Moves,
        mut each: impl FnMut(&ClassIntegers<'_>) -> Result<()>,
    ) -> Result<()> {
        let broken = || Error::internal("a state does not lie on the grid of its history");
        let target = self.history.grid();
        let coarser = target.shifts_to(&self.grid);
        let squares_right = 2 * finest_shift(&target, &self.grid);
        let right: Vec<_> = coarser.iter().zip(target.exponents()).map(|(&bits, to)| to.map(|_| bits)).collect();
        let (weights, as_they_are) = (self.grid.weights(), vec![0; self.dim]);
        let (mut shifts, mut sums, mut low) = (vec![0; self.dim], vec![0; self.dim], Low::default());
        let order = self.in_label_order();
        let at_a_time = (AT_A_TIME / self.dim.max(1)).clamp(1, order.len().max(1));
        let mut room: Vec<Narrow> = (0..at_a_time).map(|_| Narrow::new(self.dim)).collect();
        for part in order.chunks(at_a_time) {
            let centre = |(narrow, &k): (&mut Narrow, &usize)| {
                let fits = narrow.take(self, k, &as_they_are);
                let change = if fits { narrow.centre(&coarser, &weights) } else { None };
                self.squares[k].checked_add(i256::from_i128(change?))
            };
            let moved: Vec<Option<i256>> = room.par_iter_mut().zip(part).with_min_len(FEW).map(centre).collect();
            for ((&k, narrow), moved) in part.iter().zip(&room).zip(moved) {
                let square = if let Some(square) = moved {
                    narrow.tell(Sign::Plus, moves)?;
                    shifts.copy_from_slice(&narrow.shifts);
                    sums.copy_from_slice(&narrow.sums);
                    square
                } else {
                    let mut class = self.class(k, &as_they_are, 0)?;
                    class.move_to(&class.centre(&coarser)?, &weights, Sign::Plus, moves)?;
                    for ((shift, sum), (&c, &s)) in shifts.iter_mut().zip(&mut sums).zip(class.c.iter().zip(&class.s)) {
                        *shift = if fits_shift(c) { c as i64 } else { return Err(out_of_range()) };
                        *sum = i64::try_from(s).map_err(|_| out_of_range())?;
                    }
                    class.t
                };
                // Squares of a state have at most 252 bits.
                let square = shift_left(square, 0).ok_or_else(out_of_range)?;
                for values in [&mut shifts, &mut sums] {
                    for (value, &right) in values.iter_mut().zip(&right) {
                        *value = coarsened_narrow(*value, right).ok_or_else(broken)?;
                    }
                }
                if !self.low.coarsen(k * self.dim, &right, &mut low) {
                    return Err(broken());
                }
                each(&ClassIntegers {
                    label: &self.labels[k],
                    count: self.counts[k],
                    shifts: &shifts,
                    sums: &sums,
                    low: &low,
                    square: shift_right(square, squares_right).ok_or_else(broken)?,
                })?;
            }
        }
        Ok(())
    }

    /// Hands over every class as it is, on the grid of the integers, in label order.
    pub(super) fn each_as_it_is(&self, mut each: impl FnMut(&ClassIntegers<'_>) -> Result<()>) -> Result<()> {
        let (dim, mut low) = (self.dim, Low::default());
        for k in self.in_label_order() {
            let row = k * dim..(k + 1) * dim;
            low.copy_from(&self.low, row.clone());
            each(&ClassIntegers {
                label: &self.labels[k],
                count: self.counts[k],
                shifts: &self.shifts[row.clone()],
                sums: &self.sums[row],
                low: &low,
                square: self.squares[k],
            })?;
        }
        Ok(())
    }

    fn in_label_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.classes()).collect();
        order.sort_unstable_by(|&a, &b| self.labels[a].cmp(&self.labels[b]));
        order
    }

    /// The canonical form of the whole state; `moves` as for [`each_canonical`](Self::each_canonical).
    pub(super) fn canonical_with(&self, moves: &mut impl Moves) -> Result<Self> {
        let (classes, cells) = (self.classes(), self.shifts.len());
        let mut labels = Vec::with_capacity(classes);
        let (mut counts, mut squares) = (Vec::with_capacity(classes), Vec::with_capacity(classes));
        let (mut shifts, mut sums, mut low) =
            (Vec::with_capacity(cells), Vec::with_capacity(cells), Low::with_capacity(cells));
        self.each_canonical(moves, |class| {
            labels.push(class.label.clone());
            counts.push(class.count);
            squares.push(class.square);
            shifts.extend_from_slice(class.shifts);
            sums.extend_from_slice(class.sums);
            low.extend(class.low);
            Ok(())
        })?;
        let (grid, history) = (self.history.grid(), self.history.clone());
        Ok(Self::from_parts(grid, history, labels, counts, shifts, sums, low, squares))
    }
}
