//! The residuals of rounding, summed by class: what means have beyond `s`.

use std::ops::Range;

use super::class::{Sign, out_of_range};
use crate::error::Result;
use crate::grid::{divide, narrow, vectorised};

/// `Σ round_ties_even((x/g − q) · 2^20)`, classes × D, in units of `2^-20` steps of the state's grid.
///
/// Each takes 19 bits and those of the number of rows, and one more for each bit by which a row's grid is coarser than the
/// state's. If one does not fit 64 bits, all are held in 128.
#[derive(Clone, Debug, PartialEq)]
pub enum Low {
    /// In 64 bits each.
    Narrow(Vec<i64>),
    /// In 128 bits each.
    Wide(Vec<i128>),
}

/// Two integers of this many bits can be added in 64 without a check.
const ROOM_BITS: u32 = 62;

impl Default for Low {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

/// In 64 bits if all fit.
impl FromIterator<i128> for Low {
    fn from_iter<I: IntoIterator<Item = i128>>(values: I) -> Self {
        let mut low = Self::default();
        values.into_iter().for_each(|value| low.push(value));
        low
    }
}

impl Low {
    /// The residuals of no rows, or of rows whose residuals were not kept.
    pub fn zeros(len: usize) -> Self {
        Self::Narrow(vec![0; len])
    }

    /// None, with room for so many of 64 bits each.
    pub(super) fn with_capacity(len: usize) -> Self {
        Self::Narrow(Vec::with_capacity(len))
    }

    /// How many there are, `K × D`.
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(values) => values.len(),
            Self::Wide(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    pub fn get(&self, at: usize) -> i128 {
        match self {
            Self::Narrow(values) => values[at].into(),
            Self::Wide(values) => values[at],
        }
    }

    /// Adds one at the end.
    pub(super) fn push(&mut self, value: i128) {
        match (&mut *self, i64::try_from(value)) {
            (Self::Narrow(values), Ok(value)) => values.push(value),
            (Self::Wide(values), _) => values.push(value),
            (Self::Narrow(values), Err(_)) => {
                *self = Self::Wide(values.iter().map(|&value| value.into()).chain([value]).collect());
            }
        }
    }

    /// Makes room for more classes, without rows.
    pub(super) fn resize(&mut self, len: usize) {
        match self {
            Self::Narrow(values) => values.resize(len, 0),
            Self::Wide(values) => values.resize(len, 0),
        }
    }

    /// Adds the D integers of `other` from `from` on, moved left by these bits, to those from `to` on, or takes them away.
    pub(super) fn add(&mut self, to: usize, other: &Self, from: usize, left: &[u32], sign: Sign) -> Result<()> {
        let dim = left.len();
        if let (Self::Narrow(mine), Self::Narrow(theirs)) = (&mut *self, other)
            && add_narrow(&mut mine[to..][..dim], &theirs[from..][..dim], left, sign)
        {
            return Ok(());
        }
        let mut sums = match std::mem::take(self) {
            Self::Wide(sums) => sums,
            Self::Narrow(sums) => sums.into_iter().map(i128::from).collect(),
        };
        for (j, (sum, &bits)) in sums[to..][..dim].iter_mut().zip(left).enumerate() {
            let term = narrow(other.get(from + j), bits).ok_or_else(out_of_range)?;
            let total = if sign == Sign::Plus { *sum + term } else { *sum - term };
            *sum = narrow(total, 0).ok_or_else(out_of_range)?;
        }
        *self = Self::Wide(sums);
        Ok(())
    }

    /// Moves all to a grid that is finer by these bits.
    pub(super) fn refine(&mut self, left: &[u32]) -> Result<()> {
        let dim = left.len().max(1);
        if let Self::Narrow(values) = self {
            let stopped = values.chunks_exact_mut(dim).position(|values| !refine_narrow(values, left));
            let Some(done) = stopped.map(|rows| rows * dim) else { return Ok(()) };
            // Those that are left do not all fit 64 bits; the others are where they belong.
            let mut values: Vec<i128> = std::mem::take(values).into_iter().map(i128::from).collect();
            refine_wide(&mut values[done..], left)?;
            *self = Self::Wide(values);
            return Ok(());
        }
        if let Self::Wide(values) = self { refine_wide(values, left) } else { Ok(()) }
    }

    /// Writes the D integers from `from` on, on a grid that is coarser by these bits. A dimension without bits must be zero.
    /// Returns `false` unless the result is exact.
    pub(super) fn coarsen(&self, from: usize, right: &[Option<u32>], out: &mut Self) -> bool {
        match self {
            Self::Narrow(values) => {
                let values = &values[from..][..right.len()];
                if let Self::Narrow(out) = out {
                    out.clear();
                    out.extend(values.iter().zip(right).map_while(|(&value, &right)| coarsened_narrow(value, right)));
                    return out.len() == right.len();
                }
                *out = Self::default();
                self.coarsen(from, right, out)
            }
            Self::Wide(values) => {
                let values = values[from..].iter().zip(right);
                let coarse: Vec<i128> = values.map_while(|(&value, &right)| coarsened(value, right)).collect();
                let exact = coarse.len() == right.len();
                *out = Self::Wide(coarse);
                exact
            }
        }
    }

    /// Becomes a part of another.
    pub(super) fn copy_from(&mut self, other: &Self, part: Range<usize>) {
        match (&mut *self, other) {
            (Self::Narrow(mine), Self::Narrow(theirs)) => {
                mine.clear();
                mine.extend_from_slice(&theirs[part]);
            }
            (_, Self::Narrow(theirs)) => *self = Self::Narrow(theirs[part].to_vec()),
            (_, Self::Wide(theirs)) => *self = Self::Wide(theirs[part].to_vec()),
        }
    }

    /// Adds those of another at the end.
    pub(super) fn extend(&mut self, other: &Self) {
        match (&mut *self, other) {
            (Self::Narrow(mine), Self::Narrow(theirs)) => mine.extend_from_slice(theirs),
            _ => (0..other.len()).for_each(|at| self.push(other.get(at))),
        }
    }

    /// Keeps the classes at these positions, of D integers each, in this order.
    pub(super) fn select(&mut self, order: &[usize], dim: usize) {
        fn rows<T: Copy>(values: &[T], order: &[usize], dim: usize) -> Vec<T> {
            order.iter().flat_map(|&k| &values[k * dim..][..dim]).copied().collect()
        }
        *self = match self {
            Self::Narrow(values) => Self::Narrow(rows(values, order, dim)),
            Self::Wide(values) => Self::Wide(rows(values, order, dim)),
        };
    }
}

/// An integer on a grid that is coarser by these bits, where that is exact. In a dimension without bits all are zero.
pub(super) fn coarsened(value: i128, right: Option<u32>) -> Option<i128> {
    match right {
        Some(bits) => divide(value, bits),
        None => (value == 0).then_some(0),
    }
}

/// The same in 64 bits.
pub(super) fn coarsened_narrow(value: i64, right: Option<u32>) -> Option<i64> {
    match right {
        Some(0) => Some(value),
        Some(bits) if value.trailing_zeros() >= bits => Some(if value == 0 { 0 } else { value >> bits }),
        _ => (value == 0).then_some(0),
    }
}

/// Moves integers left. Returns `false` and does nothing if one might not fit 64 bits with room.
pub(super) fn refine_narrow(values: &mut [i64], left: &[u32]) -> bool {
    let dim = left.len();
    let values = &mut values[..dim];
    if left.iter().any(|&bits| bits > ROOM_BITS) {
        return false;
    }
    vectorised(
        #[inline(always)]
        || {
            let mut beyond = 0;
            for j in 0..dim {
                beyond |= ((values[j] ^ (values[j] >> 63)) as u64) >> (ROOM_BITS - left[j]);
            }
            if beyond != 0 {
                return false;
            }
            for j in 0..dim {
                values[j] <<= left[j];
            }
            true
        },
    )
}

fn refine_wide(values: &mut [i128], left: &[u32]) -> Result<()> {
    for (value, &bits) in values.iter_mut().zip(left.iter().cycle()) {
        *value = narrow(*value, bits).ok_or_else(out_of_range)?;
    }
    Ok(())
}

/// Returns `false` and does nothing if an integer might not fit.
fn add_narrow(mine: &mut [i64], theirs: &[i64], left: &[u32], sign: Sign) -> bool {
    let dim = left.len();
    let (mine, theirs) = (&mut mine[..dim], &theirs[..dim]);
    if left.iter().any(|&bits| bits > ROOM_BITS) {
        return false;
    }
    vectorised(
        #[inline(always)]
        || {
            let mut beyond = 0;
            for j in 0..dim {
                let (mine, theirs) = ((mine[j] ^ (mine[j] >> 63)) as u64, (theirs[j] ^ (theirs[j] >> 63)) as u64);
                beyond |= (mine >> ROOM_BITS) | (theirs >> (ROOM_BITS - left[j]));
            }
            if beyond != 0 {
                return false;
            }
            if sign == Sign::Plus {
                for j in 0..dim {
                    mine[j] += theirs[j] << left[j];
                }
            } else {
                for j in 0..dim {
                    mine[j] -= theirs[j] << left[j];
                }
            }
            true
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(low: &Low) -> Vec<i128> {
        (0..low.len()).map(|at| low.get(at)).collect()
    }

    /// All of them on a coarser grid, if that is exact.
    fn coarse(low: &Low, right: &[Option<u32>]) -> Option<Low> {
        let (mut all, mut row) = (Low::default(), Low::default());
        for from in (0..low.len()).step_by(right.len()) {
            if !low.coarsen(from, right, &mut row) {
                return None;
            }
            all.extend(&row);
        }
        Some(all)
    }

    #[test]
    fn integers_move_left_and_are_held_in_as_many_bits_as_they_need() {
        let mut low = Low::Narrow(vec![1, 2, 3, 4]);
        low.add(2, &Low::Narrow(vec![-5, 6]), 0, &[0, 3], Sign::Plus).unwrap();
        assert_eq!(low, Low::Narrow(vec![1, 2, -2, 52]));
        for bits in [61, 62, 63, 100] {
            let mut large = low.clone();
            large.add(0, &Low::Narrow(vec![-1, 3]), 0, &[bits, 0], Sign::Minus).unwrap();
            assert_eq!(wide(&large), [1 + (1 << bits), -1, -2, 52], "{bits}");
            large.add(0, &Low::Narrow(vec![-1, 0]), 0, &[bits, 0], Sign::Plus).unwrap();
            assert_eq!(coarse(&large, &[Some(0); 2]), Some(Low::Narrow(vec![1, -1, -2, 52])), "{bits}");
        }
        assert!(low.add(0, &Low::Narrow(vec![1, 0]), 0, &[126, 0], Sign::Plus).is_err(), "beyond 126 bits");
    }

    #[test]
    fn what_is_refined_can_be_made_coarse_again() {
        for bits in [[0, 5], [40, 60], [0, 99]] {
            let first = Low::Narrow(vec![1, -2, 0, 1 << 20]);
            let mut low = first.clone();
            low.refine(&bits).unwrap();
            assert_eq!(wide(&low), [1 << bits[0], -2 << bits[1], 0, 1 << (bits[1] + 20)]);
            assert_eq!(coarse(&low, &bits.map(Some)), Some(first));
            assert_eq!(coarse(&low, &[Some(bits[0] + 1), Some(bits[1])]), None);
            assert_eq!(coarse(&low, &[None, Some(bits[1])]), None);
        }
    }

    #[test]
    fn classes_are_chosen() {
        for mut low in [Low::Narrow(vec![1, 2, 3, 4]), Low::Wide(vec![1, 2, 3, 4])] {
            low.select(&[1, 0], 2);
            assert_eq!(wide(&low), [3, 4, 1, 2]);
        }
        assert_eq!([1, 1 << 70].into_iter().collect::<Low>(), Low::Wide(vec![1, 1 << 70]));
    }
}
