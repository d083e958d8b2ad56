//! Moves of a class's shift where all of it fits 64 bits with room, as it nearly always does.

use super::ClassSums;
use super::class::{Moves, Sign};
use crate::error::Result;
use crate::grid::vectorised;

/// Integers below this power of two can be added and doubled in 64 bits.
const NARROW_BITS: u32 = 59;

/// One class's integers, and where its shift moves. It does what [`Class`](super::class::Class) does in 128 bits.
pub(super) struct Narrow {
    n: i64,
    c: Vec<i64>,
    s: Vec<i64>,
    /// The shift to which it moves, and the sums about that, D.
    pub(super) shifts: Vec<i64>,
    pub(super) sums: Vec<i64>,
    /// By how much the shift becomes less, D, and whether it does in any dimension.
    deltas: Vec<i64>,
    moves: bool,
}

impl Narrow {
    pub(super) fn new(dim: usize) -> Self {
        let [c, s, shifts, sums, deltas] = [(); 5].map(|()| vec![0; dim]);
        Self { n: 0, c, s, shifts, sums, deltas, moves: false }
    }

    /// `n`.
    pub(super) fn rows(&self) -> u64 {
        self.n as u64
    }

    /// Takes class `k` of a state, its integers moved left by these bits, and says whether they fit.
    pub(super) fn take(&mut self, state: &ClassSums, k: usize, left: &[u32]) -> bool {
        let mut lost = 0;
        for (to, from) in [(&mut self.c, &state.shifts), (&mut self.s, &state.sums)] {
            for ((to, &from), &left) in to.iter_mut().zip(&from[k * state.dim..]).zip(left) {
                *to = from.wrapping_shl(left);
                lost |= if left < 64 { (*to >> left) ^ from } else { from };
            }
        }
        let n = state.counts[k];
        self.n = n as i64;
        lost == 0 && largest(&self.c) + bits(n) <= NARROW_BITS && largest(&self.s) <= NARROW_BITS
    }

    /// Moves the class to the multiple of `2^coarser` steps that is nearest to its mean, ties to even. Returns what that adds
    /// to `t`; `None` where something might not fit.
    pub(super) fn centre(&mut self, coarser: &[u32], weights: &[u32]) -> Option<i128> {
        let coarsest = coarser.iter().copied().max().unwrap_or(0);
        if bits(self.n as u64) + coarsest > NARROW_BITS {
            return None;
        }
        for (j, (to, &coarser)) in self.shifts.iter_mut().zip(coarser).enumerate() {
            *to = div_round_ties_even(self.c[j] * self.n + self.s[j], self.n << coarser) << coarser;
        }
        self.moved(weights)
    }

    /// The same to a shift that is given.
    pub(super) fn move_to(&mut self, to: &[i64], weights: &[u32]) -> Option<i128> {
        self.shifts.copy_from_slice(to);
        if largest(to) + bits(self.n as u64) > NARROW_BITS {
            return None;
        }
        self.moved(weights)
    }

    /// `Δ = c − to`, `s' = s + nΔ`, `t' − t = Σ_j w_j (2 s_j + nΔ_j) Δ_j`.
    fn moved(&mut self, weights: &[u32]) -> Option<i128> {
        let (n, dim) = (self.n, self.c.len());
        let (c, s, to) = (&self.c[..dim], &self.s[..dim], &self.shifts[..dim]);
        let (sums, deltas) = (&mut self.sums[..dim], &mut self.deltas[..dim]);
        let (mut twice_bits, mut delta_bits) = (0, 0);
        for j in 0..dim {
            let delta = c[j] - to[j];
            let moved = n * delta;
            let twice = 2 * s[j] + moved;
            (deltas[j], sums[j]) = (delta, s[j] + moved);
            twice_bits |= (twice ^ (twice >> 63)) as u64;
            delta_bits |= (delta ^ (delta >> 63)) as u64;
        }
        self.moves = delta_bits != 0 || deltas.contains(&-1);
        let heaviest = weights.iter().copied().max().unwrap_or(0);
        if bits(twice_bits) + bits(delta_bits) + 2 * heaviest + bits(dim as u64) + 2 > 126 {
            return None;
        }
        let change = |((&s, &delta), &weight): ((&i64, &i64), &u32)| {
            (i128::from(2 * s + n * delta) * i128::from(delta)) << (2 * weight)
        };
        Some(s.iter().zip(&*deltas).zip(weights).map(change).sum())
    }

    /// Tells of the move.
    pub(super) fn tell(&self, sign: Sign, moves: &mut impl Moves) -> Result<()> {
        if self.moves { moves.moved_narrow(sign, self.n as u64, &self.s, &self.deltas) } else { Ok(()) }
    }
}

/// How many bits the largest magnitude takes, or one less for a negative power of two.
pub(super) fn largest(values: &[i64]) -> u32 {
    let bits_of_all = vectorised(
        #[inline(always)]
        || values.iter().fold(0, |bits, &x| bits | (x ^ (x >> 63)) as u64),
    );
    bits(bits_of_all)
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
    use arrow::datatypes::i256;

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
        for (bits, left, coarser, weights) in [
            (20, [0; 5], [0; 5], [0; 5]),
            (20, [3, 0, 9, 1, 0], [0; 5], [0, 1, 2, 0, 0]),
            (40, [0; 5], [0, 3, 1, 0, 9], [2, 0, 1, 7, 20]),
            (57, [0; 5], [0, 1, 0, 0, 0], [0, 0, 8, 0, 0]),
            (40, [0, 30, 0, 0, 0], [0; 5], [0; 5]),
            (60, [0; 5], [0; 5], [0; 5]),
        ] {
            let (state, other) = (state(bits, classes, dim), self::state(bits / 2, classes, dim));
            let mut narrow = Narrow::new(dim);
            for k in 0..classes {
                if !narrow.take(&state, k, &left) {
                    continue;
                }
                for to_mean in [true, false] {
                    let to = &other.shifts[k * dim..][..dim];
                    let change = if to_mean { narrow.centre(&coarser, &weights) } else { narrow.move_to(to, &weights) };
                    let Some(change) = change else { continue };
                    let mut class: Class = state.class(k, &left, 0).unwrap();
                    let wide = |values: &[i64]| values.iter().map(|&x| i128::from(x)).collect::<Vec<_>>();
                    let to = if to_mean { class.centre(&coarser).unwrap() } else { wide(to) };
                    class.move_to(&to, &weights, Sign::Plus, &mut NoMoves).unwrap();
                    let square = state.squares[k].wrapping_add(i256::from_i128(change));
                    assert_eq!(
                        (wide(&narrow.shifts), wide(&narrow.sums), square),
                        (class.c, class.s, class.t),
                        "{bits} {k}"
                    );
                    short += 1;
                }
            }
        }
        assert!(short > 4 * classes && short < 10 * classes, "{short}");
    }

    #[test]
    fn bits_that_are_moved_out_are_seen() {
        let mut state = state(20, 1, 3);
        state.shifts = vec![0, 1, -1];
        state.sums = vec![0; 3];
        let mut narrow = Narrow::new(3);
        assert!(narrow.take(&state, 0, &[200, 3, 57]));
        assert!(!narrow.take(&state, 0, &[0, 64, 0]));
        assert!(!narrow.take(&state, 0, &[0, 0, 63]));
    }

    #[test]
    fn halves_go_to_the_even_neighbour() {
        let rounded = [-6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6].map(|a| div_round_ties_even(a, 4));
        assert_eq!(rounded, [-2, -1, -1, 0, 0, 0, 0, 0, 1, 1, 2]);
    }
}
