//! One class's integers about any shift.

use arrow::datatypes::i256;

use super::low::Low;
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::grid::{VALUE_BITS, narrow, shift_left, wide};

/// Whether rows are added or taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    Plus,
    Minus,
}

/// Is called for every class whose shift moves, so that second moments can follow.
pub(super) trait Moves {
    /// The shift of `n` rows whose sum about it is `s` becomes less by `delta`: their `Σ δ δᵀ` grows by
    /// `s Δᵀ + Δ sᵀ + n Δ Δᵀ`. With [`Sign::Minus`] these are rows that are taken away.
    fn moved(&mut self, sign: Sign, n: u64, s: &[i128], delta: &[i128]) -> Result<()>;

    /// The same for integers of which 64 bits hold `2s + nΔ` too.
    fn moved_narrow(&mut self, sign: Sign, n: u64, s: &[i64], delta: &[i64]) -> Result<()>;
}

/// For states without second moments.
pub(super) struct NoMoves;

impl Moves for NoMoves {
    fn moved(&mut self, _: Sign, _: u64, _: &[i128], _: &[i128]) -> Result<()> {
        Ok(())
    }

    fn moved_narrow(&mut self, _: Sign, _: u64, _: &[i64], _: &[i64]) -> Result<()> {
        Ok(())
    }
}

/// One class's integers on a grid that is known.
pub(super) struct ClassIntegers<'a> {
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

/// One class's integers, wide enough for any intermediate result.
#[derive(Clone)]
pub(super) struct Class {
    pub(super) n: u64,
    pub(super) c: Vec<i128>,
    pub(super) s: Vec<i128>,
    pub(super) t: i256,
}

pub(super) fn out_of_range() -> Error {
    Error::data("the rows differ too much in scale for the exact sums")
        .help("fix one step for all rows with --grid, give fewer --extra-bits, or measure the parts apart")
}

impl Class {
    /// Moves the class to the shift `to`, exactly: `s' = s + nΔ`, `t' = t + Σ_j w_j (2 s_j + nΔ_j) Δ_j`, `Δ = c − to`.
    pub(super) fn move_to(&mut self, to: &[i128], weights: &[u32], sign: Sign, moves: &mut impl Moves) -> Result<()> {
        let delta: Vec<i128> = self.c.iter().zip(to).map(|(c, to)| c - to).collect();
        if delta.iter().all(|&d| d == 0) {
            return Ok(());
        }
        moves.moved(sign, self.n, &self.s, &delta)?;
        for ((s, &d), &weight) in self.s.iter_mut().zip(&delta).zip(weights) {
            let shift = i128::from(self.n).checked_mul(d).ok_or_else(out_of_range)?;
            let twice = s.checked_mul(2).and_then(|s| s.checked_add(shift)).ok_or_else(out_of_range)?;
            let change = match twice.checked_mul(d) {
                Some(change) => wide(change, 2 * weight),
                None => shift_left(i256::from_i128(twice).wrapping_mul(i256::from_i128(d)), 2 * weight),
            };
            let change = change.ok_or_else(out_of_range)?;
            self.t = self.t.checked_add(change).ok_or_else(out_of_range)?;
            *s = s.checked_add(shift).ok_or_else(out_of_range)?;
        }
        self.c.copy_from_slice(to);
        Ok(())
    }

    /// The multiple of `2^coarser` steps that is nearest to the mean, ties to even.
    pub(super) fn centre(&self, coarser: &[u32]) -> Result<Vec<i128>> {
        let n = i128::from(self.n);
        let nearest = |((&c, &s), &bits): ((&i128, &i128), &u32)| {
            let total = c.checked_mul(n).and_then(|total| total.checked_add(s))?;
            if total == 0 {
                return Some(0);
            }
            narrow(div_round_ties_even(total, narrow(n, bits)?), bits)
        };
        self.c.iter().zip(&self.s).zip(coarser).map(|parts| nearest(parts).ok_or_else(out_of_range)).collect()
    }

    /// Whether a state has room for the sums and the shift, which may lie far from the mean.
    pub(super) fn fits(&self) -> bool {
        self.s.iter().all(|&s| i64::try_from(s).is_ok()) && self.c.iter().all(|&c| fits_shift(c))
    }

    /// Moves the shift to the mean if a state has no room for the sums or the shift.
    pub(super) fn centre_if_large(&mut self, weights: &[u32], moves: &mut impl Moves) -> Result<()> {
        if self.fits() {
            return Ok(());
        }
        let centre = self.centre(&vec![0; self.c.len()])?;
        self.move_to(&centre, weights, Sign::Plus, moves)
    }
}

pub(super) fn fits_shift(c: i128) -> bool {
    c.unsigned_abs() < 1 << VALUE_BITS
}

/// `a / b` to the nearest integer, ties to even; `0 < b ≤ 2^126`.
fn div_round_ties_even(a: i128, b: i128) -> i128 {
    let (quotient, remainder) = match (i64::try_from(a), i64::try_from(b)) {
        // Most values fit 64 bits, which machines divide at once.
        (Ok(a), Ok(b)) => (a.div_euclid(b).into(), a.rem_euclid(b).into()),
        _ => (a.div_euclid(b), a.rem_euclid(b)),
    };
    let up = match remainder.cmp(&(b - remainder)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient & 1 == 1,
        std::cmp::Ordering::Greater => true,
    };
    quotient + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_rounds_ties_to_even() {
        let rounded = [-6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6].map(|a| div_round_ties_even(a, 4));
        assert_eq!(rounded, [-2, -1, -1, 0, 0, 0, 0, 0, 1, 1, 2]);
        assert_eq!(div_round_ties_even(i128::MAX, 1 << 126), 2);
        let wide = [-6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6].map(|a| div_round_ties_even(a << 80, 4 << 80));
        assert_eq!(wide, rounded);
    }

    #[test]
    fn a_shift_by_one_moves_sums_and_squares() {
        // δ = 3, −1 and 0, 2 about (5, 5): about (4, 6) they are 4, 0 and −1, 1.
        let mut class = Class { n: 2, c: vec![5, 5], s: vec![2, 2], t: i256::from_i128(9 + 1 + 16 * 4) };
        class.move_to(&[4, 6], &[0, 2], Sign::Plus, &mut NoMoves).unwrap();
        assert_eq!((class.c, class.s, class.t), (vec![4, 6], vec![4, 0], i256::from_i128(16 + 16 * 2)));
    }

    #[test]
    fn the_centre_is_the_nearest_multiple() {
        let class = Class { n: 2, c: vec![10, 10], s: vec![3, 0], t: i256::ZERO };
        assert_eq!(class.centre(&[0, 0]).unwrap(), [12, 10]);
        assert_eq!(class.centre(&[3, 2]).unwrap(), [8, 8]);
        assert!(class.centre(&[200, 0]).is_err());
    }
}
