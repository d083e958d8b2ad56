//! Chooses the grid of a chunk from how its values spread.

use super::{EXPONENTS, Grid, VALUE_BITS, ceil_log2};

/// How the values of a chunk spread within their classes. Every vector has one entry per dimension.
///
/// `δ` is the difference between a row and the first row of its class in the chunk. All sums run over rows class after
/// class, in the order of [`ByClass`](crate::batch::ByClass), one sum per dimension, in `f64` without fused operations:
/// so the same rows have the same spread on any hardware.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// The largest `|x|`.
    pub largest: Vec<f64>,
    /// The exponent `p` of the power of two `2^p` that divides values before they are subtracted and squared:
    /// `⌈log2⌉` of the largest `|x|`, between −1022 and 1022, where features are `f64`; 0 where they are narrower, whose
    /// squares cannot leave the range of `f64`, and where all values are 0.
    pub scale: Vec<i32>,
    /// The largest `|δ|`, divided by `2^scale`.
    pub deviation: Vec<f64>,
    /// The standard deviation within classes, `√((Σ δ² − Σ_k (Σ_k δ)² / n_k) / freedom)`, divided by `2^scale`; 0 where
    /// rounding makes the variance negative.
    pub sigma: Vec<f64>,
    /// The number of rows with `δ ≠ 0`.
    pub hits: Vec<f64>,
    /// `N`.
    pub rows: usize,
    /// `Σ_k (n_k − 1)`, the degrees of freedom.
    pub freedom: usize,
    /// The largest difference from the first row of the chunk, divided by `2^scale`: only below
    /// [`MIN_FREEDOM`](Self::MIN_FREEDOM) degrees of freedom.
    pub about_first: Option<Vec<f64>>,
}

/// Bits below the largest deviation that a step lies: |δ| fits 21 bits and a sign.
const DEVIATION_BITS: i32 = 21;

/// How many bits finer than a chunk's coarsest step another may be.
///
/// A standard deviation 2^37 times smaller than the largest still has 2^10 steps, and `Q` of 2^28 rows of a class
/// stays in range even if a dimension hardly varies in this chunk and varies as much as the others elsewhere.
const MAX_FINER: i32 = 32;

/// Bits below the largest |x| at which a dimension is rounded that is constant within classes.
///
/// Nothing says how finely it would vary. An f16 or f32 stays exact down to 2^-12 of the largest, so that classes whose
/// constant is small keep their digits. With more bits, a chunk of one row could not be added to chunks with a spread.
const CONSTANT_BITS: i32 = 36;

/// A chunk with few degrees of freedom needs this many rows before its dimensions are judged one by one.
const FEW_ROWS: usize = 32;

/// In a chunk of few rows no step is this many bits finer than the median: by chance some dimension is nearly zero, or
/// hardly varies, in any chunk of one row or two.
const FEW_ROWS_FINER: i32 = 8;

impl Spread {
    /// With fewer degrees of freedom than this, the spread within classes says too little.
    pub const MIN_FREEDOM: usize = 8;

    /// The grid of a chunk with this spread, `extra_bits` finer than by itself.
    pub fn grid(&self, extra_bits: u32) -> Grid {
        // Beyond 128 every step is at its finest already.
        let extra_bits = extra_bits.min(128) as i32;
        let dims = 0..self.largest.len();
        let own: Vec<Option<i32>> = dims.clone().map(|j| self.own_exponent(j)).collect();
        let few_rows = self.about_first.is_some() && self.rows < FEW_ROWS;
        let enough_hits = (self.freedom as f64 / 2.0).min(32.0);
        let rare = |j: usize| self.about_first.is_none() && self.deviation[j] > 0.0 && self.hits[j] < enough_hits;
        // The median is taken over the dimensions whose own spread can be trusted.
        let trusted = |&j: &usize| few_rows || (self.deviation[j] > 0.0 && !rare(j));
        let mut others: Vec<i32> = dims.clone().filter(trusted).filter_map(|j| own[j]).collect();
        others.sort_unstable();
        let median = others.get(others.len() / 2).copied();
        let chosen: Vec<Option<i32>> = dims
            .map(|j| {
                let finest = match median {
                    Some(median) if few_rows => median - FEW_ROWS_FINER,
                    Some(median) if rare(j) => median,
                    _ => i32::MIN,
                };
                own[j].map(|e| e.max(finest) - extra_bits)
            })
            .collect();
        let floor = chosen.iter().flatten().max().map_or(0, |coarsest| coarsest - MAX_FINER);
        let bounded = |(e, largest): (&Option<i32>, &f64)| {
            e.map(|e| {
                let e = e.max(floor).max(ceil_log2(*largest) - (VALUE_BITS as i32 - 1));
                e.clamp(i32::from(*EXPONENTS.start()), i32::from(*EXPONENTS.end())) as i16
            })
        };
        Grid::new(chosen.iter().zip(&self.largest).map(bounded).collect())
    }

    /// The exponent that a dimension asks for by itself; `None` if all its values are 0.
    fn own_exponent(&self, j: usize) -> Option<i32> {
        if self.largest[j] == 0.0 {
            return None;
        }
        let (size, bits) = match &self.about_first {
            Some(about) => (about[j], DEVIATION_BITS + 1),
            None => (self.deviation[j].max(8.0 * self.sigma[j]), DEVIATION_BITS),
        };
        Some(if size == 0.0 {
            ceil_log2(self.largest[j]) - CONSTANT_BITS
        } else {
            ceil_log2(size) + self.scale[j] - bits
        })
    }
}
