//! The exact Gram matrix of a chunk's rows.

use super::{NARROW_BLOCKS, Par, add_block, add_product, packed_len};
use crate::error::Result;
use crate::kernels::quantise::Rounded;

/// `Σ δ δᵀ` of rows of a chunk, exactly: the lower triangle by columns, as [`packed_column`](super::packed_column) says.
///
/// What short rows add stays in 64 bits as long as it fits.
#[derive(Debug, Default)]
pub struct GramSum {
    dim: usize,
    narrow: Vec<i64>,
    /// How many blocks `narrow` holds.
    blocks: usize,
    /// Empty as long as it is not needed.
    wide: Vec<i128>,
}

impl GramSum {
    /// Makes it the sum of no rows of `dim` dimensions.
    pub fn clear(&mut self, dim: usize) {
        self.dim = dim;
        self.narrow.clear();
        self.narrow.resize(packed_len(dim), 0);
        self.wide = Vec::new();
        self.blocks = 0;
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Adds a triangle, entry by entry.
    pub fn add(&mut self, entries: &[i128]) {
        self.widen();
        self.wide.iter_mut().zip(entries).for_each(|(sum, entry)| *sum += entry);
    }

    /// Adds the rows of a block.
    pub(in crate::kernels) fn add_rows(&mut self, rounded: &Rounded) -> Result<()> {
        let dim = self.dim;
        if self.blocks == NARROW_BLOCKS {
            self.widen();
            self.wide.iter_mut().zip(&mut self.narrow).for_each(|(wide, narrow)| {
                *wide += i128::from(std::mem::take(narrow));
            });
            self.blocks = 0;
        }
        add_block(&mut self.narrow, &rounded.short, dim, Par::Seq)?;
        self.blocks += 1;
        if rounded.long.is_empty() {
            return Ok(());
        }
        self.widen();
        add_product(&mut self.wide, &rounded.long, &rounded.long, dim, Par::Seq)
    }

    /// An entry of the triangle.
    pub fn entry(&self, at: usize) -> i128 {
        i128::from(self.narrow[at]) + self.wide.get(at).copied().unwrap_or(0)
    }

    /// Adds all entries to a triangle, modulo `2^128`.
    pub fn add_to(&self, sums: &mut [i128]) {
        for (sum, &entry) in sums.iter_mut().zip(&self.narrow) {
            *sum = sum.wrapping_add(entry.into());
        }
        for (sum, &entry) in sums.iter_mut().zip(&self.wide) {
            *sum = sum.wrapping_add(entry);
        }
    }

    fn widen(&mut self) {
        self.wide.resize(self.narrow.len(), 0);
    }
}
