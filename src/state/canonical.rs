//! The one form that all states of the same rows share: the grid of the history, classes in label order, and as shift the
//! rounded mean.
//!
//! It is made class by class, so that what is made of it needs no second state beside the first.

use arrow::datatypes::i256;
use rayon::prelude::*;

use super::ClassSums;
use super::class::{Moves, Sign, out_of_range};
use super::low::{Low, coarsened_narrow};
use super::merge::{finest_shift, fits_shift};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::grid::{shift_left, shift_right};

/// Numbers of the classes that threads centre together, and classes that are not worth another thread.
const AT_A_TIME: usize = 1 << 18;
const FEW: usize = 16;

/// A class in canonical form, on the grid of the history.
pub(super) struct CanonicalClass<'a> {
    pub(super) label: &'a Label,
    /// `n`.
    pub(super) count: u64,
    /// `c`, D.
    pub(super) shifts: &'a [i64],
    /// `s`, D.
    pub(super) sums: &'a [i64],
    /// What rounding took off, D.
    pub(super) low: &'a Low,
    /// `t`.
    pub(super) square: i256,
}

impl ClassSums {
    /// Hands over every class in canonical form, in label order.
    ///
    /// `moves` is called for every move on the grid that this state has, which is that of the history or a finer one.
    pub(super) fn each_canonical(
        &self,
        moves: &mut impl Moves,
        mut each: impl FnMut(&CanonicalClass<'_>) -> Result<()>,
    ) -> Result<()> {
        let broken = || Error::internal("a state does not lie on the grid of its history");
        let target = self.history.grid();
        let coarser = target.shifts_to(&self.grid);
        let squares_right = 2 * finest_shift(&target, &self.grid);
        let right: Vec<_> = coarser.iter().zip(target.exponents()).map(|(&bits, to)| to.map(|_| bits)).collect();
        let (weights, as_they_are) = (self.grid.weights(), vec![0; self.dim]);
        let mut order: Vec<usize> = (0..self.classes()).collect();
        order.sort_unstable_by(|&a, &b| self.labels[a].cmp(&self.labels[b]));
        let (mut shifts, mut sums, mut low) = (vec![0; self.dim], vec![0; self.dim], Low::default());
        let at_a_time = (AT_A_TIME / self.dim.max(1)).clamp(1, order.len().max(1));
        let mut room: Vec<Narrow> = (0..at_a_time).map(|_| Narrow::new(self.dim)).collect();
        for part in order.chunks(at_a_time) {
            let centre = |(narrow, &k): (&mut Narrow, &usize)| narrow.centre(self, k, &coarser, &weights);
            let squares: Vec<Option<i256>> = room.par_iter_mut().zip(part).with_min_len(FEW).map(centre).collect();
            for ((&k, narrow), square) in part.iter().zip(&room).zip(squares) {
                let square = if let Some(square) = square {
                    if narrow.moves {
                        moves.moved(Sign::Plus, self.counts[k], self.sums_of(k), &narrow.deltas)?;
                    }
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
                each(&CanonicalClass {
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

/// A class about its mean where all of it fits 64 bits with room, as it nearly always does.
struct Narrow {
    /// The mean, rounded, and the sums about it, D.
    shifts: Vec<i64>,
    sums: Vec<i64>,
    /// By how much the shift has become less, D, and whether it has in any dimension.
    deltas: Vec<i64>,
    moves: bool,
}

/// Integers below this power of two can be added and doubled in 64 bits.
const NARROW_BITS: u32 = 59;

impl Narrow {
    fn new(dim: usize) -> Self {
        Self { shifts: vec![0; dim], sums: vec![0; dim], deltas: vec![0; dim], moves: false }
    }

    /// Moves a class to its mean, rounded to multiples of `2^coarser` steps, and returns `t`; `None` where something might not
    /// fit. It does what [`Class::centre`](super::class::Class::centre) and
    /// [`move_to`](super::class::Class::move_to) do.
    fn centre(&mut self, state: &ClassSums, k: usize, coarser: &[u32], weights: &[u32]) -> Option<i256> {
        let (dim, n) = (state.dim, state.counts[k]);
        let (c, s) = (&state.shifts[k * dim..][..dim], state.sums_of(k));
        let largest = |values: &[i64]| bits(values.iter().fold(0, |bits, &x| bits | (x ^ (x >> 63)) as u64));
        let coarsest = coarser.iter().copied().max().unwrap_or(0);
        if largest(c) + bits(n) > NARROW_BITS || largest(s) > NARROW_BITS || bits(n) + coarsest > NARROW_BITS {
            return None;
        }
        let n = n as i64;
        let (mut twice_bits, mut delta_bits) = (0, 0);
        for j in 0..dim {
            let to = div_round_ties_even(c[j] * n + s[j], n << coarser[j]) << coarser[j];
            let delta = c[j] - to;
            let moved = n * delta;
            let twice = 2 * s[j] + moved;
            (self.shifts[j], self.deltas[j], self.sums[j]) = (to, delta, s[j] + moved);
            twice_bits |= (twice ^ (twice >> 63)) as u64;
            delta_bits |= (delta ^ (delta >> 63)) as u64;
        }
        self.moves = self.deltas.iter().any(|&delta| delta != 0);
        let heaviest = weights.iter().copied().max().unwrap_or(0);
        if bits(twice_bits) + bits(delta_bits) + 2 * heaviest + bits(dim as u64) + 2 > 126 {
            return None;
        }
        let change = |((&s, &delta), &weight): ((&i64, &i64), &u32)| {
            (i128::from(2 * s + n * delta) * i128::from(delta)) << (2 * weight)
        };
        let change: i128 = s.iter().zip(&self.deltas).zip(weights).map(change).sum();
        state.squares[k].checked_add(i256::from_i128(change))
    }
}

/// How many bits a number takes.
fn bits(x: u64) -> u32 {
    64 - x.leading_zeros()
}

/// `a / b` to the nearest integer, ties to even; `b` is positive, and both are below `2^62`.
fn div_round_ties_even(a: i64, b: i64) -> i64 {
    let (quotient, remainder) = (a.div_euclid(b), a.rem_euclid(b));
    quotient + i64::from(2 * remainder > b || (2 * remainder == b && quotient & 1 == 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::Grid;
    use crate::state::class::{Class, NoMoves};

    /// The classes of a state whose integers take so many bits.
    fn state(bits: u32, classes: usize, dim: usize) -> ClassSums {
        let mut seed = u64::from(bits);
        let mut number = |bits: u32| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed as i64) >> (63 - bits)
        };
        let cells = classes * dim;
        ClassSums {
            dim,
            grid: Grid::new(vec![Some(0); dim]),
            counts: (0..classes as u64).map(|k| 1 + k * k * k).collect(),
            shifts: (0..cells).map(|_| number(bits)).collect(),
            sums: (0..cells).map(|_| number(bits)).collect(),
            squares: (0..classes).map(|_| i256::from_i128(i128::from(number(60)).pow(2))).collect(),
            ..ClassSums::default()
        }
    }

    #[test]
    fn the_short_way_finds_what_the_long_one_does() {
        let (dim, classes) = (5, 40);
        let mut short = 0;
        for (bits, coarser, weights) in [
            (20, [0; 5], [0; 5]),
            (40, [0, 3, 1, 0, 9], [2, 0, 1, 7, 20]),
            (57, [0, 1, 0, 0, 0], [0, 0, 8, 0, 0]),
            (60, [0; 5], [0; 5]),
        ] {
            let state = state(bits, classes, dim);
            let mut narrow = Narrow::new(dim);
            for k in 0..classes {
                let Some(square) = narrow.centre(&state, k, &coarser, &weights) else { continue };
                let mut class: Class = state.class(k, &[0; 5], 0).unwrap();
                let to = class.centre(&coarser).unwrap();
                class.move_to(&to, &weights, Sign::Plus, &mut NoMoves).unwrap();
                let wide = |values: &[i64]| values.iter().map(|&x| i128::from(x)).collect::<Vec<_>>();
                assert_eq!(
                    (wide(&narrow.shifts), wide(&narrow.sums), square),
                    (class.c, class.s, class.t),
                    "{bits} {k}"
                );
                short += 1;
            }
        }
        assert!(short > classes && short < 4 * classes, "{short}");
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        let rounded = [-6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6].map(|a| div_round_ties_even(a, 4));
        assert_eq!(rounded, [-2, -1, -1, 0, 0, 0, 0, 0, 1, 1, 2]);
    }
}
