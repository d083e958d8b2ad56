//! The residuals of rounding, summed by class: what means have beyond `s`.

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
        let mut refined = Self::zeros(self.len());
        for row in (0..self.len()).step_by(left.len().max(1)) {
            refined.add(row, self, row, left, Sign::Plus)?;
        }
        *self = refined;
        Ok(())
    }

    /// Moves all to a grid that is coarser by these bits, in 64 bits each if they fit. A dimension without bits must be zero.
    /// `None` unless the result is exact.
    pub(super) fn coarsen(&self, right: &[Option<u32>]) -> Option<Self> {
        let value = |(value, &right): (i128, &Option<u32>)| match right {
            Some(bits) => divide(value, bits),
            None => (value == 0).then_some(0),
        };
        let rights = right.iter().cycle();
        match self {
            Self::Narrow(values) => {
                let values = values.iter().map(|&value| value.into()).zip(rights);
                values.map(|pair| value(pair).map(|value| value as i64)).collect::<Option<_>>().map(Self::Narrow)
            }
            Self::Wide(values) => values.iter().copied().zip(rights).map(value).collect(),
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
            assert_eq!(large.coarsen(&[Some(0); 2]), Some(Low::Narrow(vec![1, -1, -2, 52])), "{bits}");
        }
        assert!(low.add(0, &Low::Narrow(vec![1, 0]), 0, &[126, 0], Sign::Plus).is_err(), "beyond 126 bits");
    }

    #[test]
    fn what_is_refined_can_be_made_coarse_again() {
        for bits in [[0, 5], [40, 60], [0, 99]] {
            let coarse = Low::Narrow(vec![1, -2, 0, 1 << 20]);
            let mut low = coarse.clone();
            low.refine(&bits).unwrap();
            assert_eq!(wide(&low), [1 << bits[0], -2 << bits[1], 0, 1 << (bits[1] + 20)]);
            assert_eq!(low.coarsen(&bits.map(Some)), Some(coarse));
            assert_eq!(low.coarsen(&[Some(bits[0] + 1), Some(bits[1])]), None);
            assert_eq!(low.coarsen(&[None, Some(bits[1])]), None);
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
