//! Quantiles of many positive numbers.

use std::sync::OnceLock;

use rayon::slice::ParallelSliceMut;

/// How many bits of the significand are part of a bin's number.
const BIN_BITS: u32 = 9;

/// The exponent of the smallest value with a bin of its own.
const LEAST_EXPONENT: i32 = -192;

/// How many powers of two the bins cover.
const OCTAVES: usize = 256;

/// The bits of the first bin's lower edge, in units of a bin.
const FIRST: u64 = ((1023 + LEAST_EXPONENT) as u64) << BIN_BITS;

/// Counts in bins of equal ratio, `2^-9` wide. They are integers, so the order of additions does not matter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram(Vec<u64>);

impl Histogram {
    pub(super) fn new() -> Self {
        Self(vec![0; OCTAVES << BIN_BITS])
    }

    /// Counts positive values. Values beyond the bins count in the outermost ones.
    #[inline(always)]
    pub(super) fn add(&mut self, values: &[f64]) {
        for &x in values {
            let bin = (x.to_bits() >> (52 - BIN_BITS)).saturating_sub(FIRST).min((OCTAVES << BIN_BITS) as u64 - 1);
            self.0[bin as usize] += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The value of rank `rank`, counted from 0, as if values were spread evenly over their bin.
    fn at(&self, rank: u64) -> f64 {
        let mut below = 0;
        for (bin, &count) in self.0.iter().enumerate() {
            if rank < below + count {
                let edge = |bin: u64| f64::from_bits((bin + FIRST) << (52 - BIN_BITS));
                let within = ((rank - below) as f64 + 0.5) / count as f64;
                let (low, high) = (edge(bin as u64), edge(bin as u64 + 1));
                return low + within * (high - low);
            }
            below += count;
        }
        0.0
    }
}

/// Non-negative numbers, for their quantiles.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// How many of them are 0.
    pub(super) zeros: u64,
    /// How many are positive.
    pub(super) positive: u64,
    pub(super) values: Values,
    /// What positive values are multiplied by.
    pub(super) factor: f64,
}

#[derive(Clone, Debug)]
pub(super) enum Values {
    /// In any order, and ascending once a quantile is asked for.
    Exact(Vec<f64>, OnceLock<Vec<f64>>),
    Binned(Histogram),
}

impl Values {
    pub(super) fn exact(values: Vec<f64>) -> Self {
        Self::Exact(values, OnceLock::new())
    }
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.par_sort_unstable_by(f64::total_cmp);
    sorted
}

/// Equal if all values are the same.
impl PartialEq for Values {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(mine, _), Self::Exact(theirs, _)) => sorted(mine) == sorted(theirs),
            (Self::Binned(mine), Self::Binned(theirs)) => mine == theirs,
            _ => false,
        }
    }
}

impl Distribution {
    /// How many of them are 0.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The quantile `q` in `[0, 1]`, linear between the two values next to it; `None` without values.
    ///
    /// It is exact for up to a million values, and within 0.2 % for more.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let last = (self.zeros + self.positive).checked_sub(1)?;
        let rank = q * last as f64;
        let low = self.at((rank.floor() as u64).min(last));
        let high = self.at((rank.ceil() as u64).min(last));
        Some(low + (rank - rank.floor()) * (high - low))
    }

    /// The relative error of a quantile: a sixth of the width of a bin, which no error is larger than; 0 where all values
    /// are known.
    pub fn error(&self) -> f64 {
        match self.values {
            Values::Exact(..) => 0.0,
            Values::Binned(_) => 0.5_f64.powi(BIN_BITS as i32) / 6.0,
        }
    }

    fn at(&self, rank: u64) -> f64 {
        match rank.checked_sub(self.zeros) {
            None => 0.0,
            Some(rank) => {
                self.factor
                    * match &self.values {
                        Values::Exact(values, ascending) => ascending.get_or_init(|| sorted(values))[rank as usize],
                        Values::Binned(histogram) => histogram.at(rank),
                    }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_as_good_as_they_say() {
        let values: Vec<f64> = (0..5000).map(|i| 1e-7 * 1.01_f64.powi((i * 7919) % 5000)).collect();
        let mut histogram = Histogram::new();
        values.chunks(77).for_each(|part| {
            let mut other = Histogram::new();
            other.add(part);
            histogram.merge(&other);
        });
        let distribution = |values| Distribution { zeros: 1, positive: 5000, values, factor: 2.0 };
        let (exact, binned) = (distribution(Values::exact(values)), distribution(Values::Binned(histogram)));
        assert_eq!((exact.quantile(0.0), binned.quantile(0.0)), (Some(0.0), Some(0.0)));
        assert_eq!((exact.error(), binned.error() < 4e-4), (0.0, true));
        for q in [0.001, 0.25, 0.5, 0.9, 0.99, 1.0] {
            let (truth, found) = (exact.quantile(q).unwrap(), binned.quantile(q).unwrap());
            assert!((found / truth - 1.0).abs() < 6.0 * binned.error(), "{q}: {truth} {found}");
        }
    }

    #[test]
    fn quantiles_lie_between_values() {
        let values = Values::exact(vec![4.0, 1.0, 2.0]);
        let distribution = Distribution { zeros: 0, positive: 3, values, factor: 1.0 };
        assert_eq!(distribution.quantile(0.5), Some(2.0));
        assert_eq!(distribution.quantile(0.75), Some(3.0));
        let none = Distribution { zeros: 0, positive: 0, values: Values::exact(vec![]), factor: 1.0 };
        assert_eq!(none.quantile(0.5), None);
    }
}
