//! The exact Gram matrix of rows.

use super::{
    BLOCK_ROWS, Par, SUM_BITS, Sum, add_sliced, block_product, integer_bits, narrow_product, packed_column, packed_len,
};
use crate::error::Result;
use crate::grid::{bits_i128, divide};
use crate::kernels::quantise::Rounded;

/// `Σ δ δᵀ`, exactly: the lower triangle by columns, as [`packed_column`] says.
///
/// Entries take 64 bits as long as all of them fit with room, and 128 from then on: half the memory to go through for each
/// block of rows.
#[derive(Clone, Debug, Default)]
pub struct GramSum {
    dim: usize,
    entries: Entries,
    /// No entry of 64 bits takes more. It is looked at anew where it leaves no room: that takes a walk over the diagonal.
    bits: u32,
}

#[derive(Clone, Debug)]
enum Entries {
    Narrow(Vec<i64>),
    Wide(Vec<i128>),
}

impl Default for Entries {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

/// Two integers of this many bits can be added in 64.
const ROOM_BITS: u32 = 61;

/// What rows are added to, and by how many bits their grid is coarser than that of the sum, D.
#[derive(Debug)]
pub struct GramTarget<'a> {
    /// The sum.
    pub sum: &'a mut GramSum,
    /// Bits. Where some are more than 0, the caller adds at most [`rows_with_room`] rows.
    pub left: &'a [u32],
}

/// How many rows may be moved left by up to so many bits and still have an exact product.
pub fn rows_with_room(left: u32) -> usize {
    if left == 0 { usize::MAX } else { BLOCK_ROWS.checked_shr(2 * left).unwrap_or(0) }
}

impl GramSum {
    /// The sum of no rows of `dim` dimensions.
    pub fn zeros(dim: usize) -> Self {
        Self { dim, entries: Entries::Narrow(vec![0; packed_len(dim)]), bits: 0 }
    }

    /// The sum with these entries, the lower triangle by columns.
    pub fn of(dim: usize, entries: Vec<i128>) -> Self {
        let bits = entries.iter().map(|&entry| bits_i128(entry)).max().unwrap_or(0);
        let narrow = || entries.iter().map(|&entry| entry as i64).collect();
        Self { dim, entries: if bits <= ROOM_BITS { Entries::Narrow(narrow()) } else { Entries::Wide(entries) }, bits }
    }

    /// Makes it the sum of no rows of `dim` dimensions.
    pub fn clear(&mut self, dim: usize) {
        match &mut self.entries {
            Entries::Narrow(entries) => {
                entries.clear();
                entries.resize(packed_len(dim), 0);
            }
            Entries::Wide(_) => self.entries = Entries::Narrow(vec![0; packed_len(dim)]),
        }
        (self.dim, self.bits) = (dim, 0);
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// An entry of the triangle.
    pub fn entry(&self, at: usize) -> i128 {
        match &self.entries {
            Entries::Narrow(entries) => entries[at].into(),
            Entries::Wide(entries) => entries[at],
        }
    }

    /// All entries.
    pub fn into_entries(self) -> Vec<i128> {
        match self.entries {
            Entries::Narrow(entries) => entries.into_iter().map(i128::from).collect(),
            Entries::Wide(entries) => entries,
        }
    }

    /// The diagonal, D.
    pub fn diagonal(&self) -> impl Iterator<Item = i128> {
        (0..self.dim).map(|j| self.entry(packed_column(self.dim, j)))
    }

    /// Whether all entries are 0.
    pub fn is_zero(&self) -> bool {
        match &self.entries {
            Entries::Narrow(entries) => entries.iter().all(|&entry| entry == 0),
            Entries::Wide(entries) => entries.iter().all(|&entry| entry == 0),
        }
    }

    /// Adds the entries of a sum on a grid that is coarser by these bits, or takes them away. The caller has bounded what comes
    /// out: those on the diagonal bound all others.
    pub fn add(&mut self, other: &Self, left: &[u32], negative: bool) {
        let theirs = other.diagonal().zip(left).map(|(entry, bits)| bits_i128(entry) + 2 * bits).max();
        self.make_room(theirs.unwrap_or(0));
        match (&mut self.entries, &other.entries) {
            (Entries::Narrow(mine), Entries::Narrow(theirs)) => add_shifted(mine, theirs, left, negative),
            // A sum in 128 bits whose entries fit 64.
            (Entries::Narrow(mine), Entries::Wide(theirs)) => {
                let theirs: Vec<i64> = theirs.iter().map(|&entry| entry as i64).collect();
                add_shifted(mine, &theirs, left, negative);
            }
            (Entries::Wide(mine), Entries::Narrow(theirs)) => {
                let theirs: Vec<i128> = theirs.iter().map(|&entry| entry.into()).collect();
                add_shifted(mine, &theirs, left, negative);
            }
            (Entries::Wide(mine), Entries::Wide(theirs)) => add_shifted(mine, theirs, left, negative),
        }
    }

    /// Moves all entries to a grid that is finer by these bits. The caller has bounded what comes out.
    pub fn refine(&mut self, left: &[u32]) {
        let most = self.diagonal().zip(left).map(|(entry, bits)| bits_i128(entry) + 2 * bits).max();
        self.make_room(most.unwrap_or(0));
        match &mut self.entries {
            Entries::Narrow(entries) => each_shifted(left, |at, bits| entries[at] = entries[at].moved(bits)),
            Entries::Wide(entries) => each_shifted(left, |at, bits| entries[at] = entries[at].moved(bits)),
        }
    }

    /// Moves all entries to a grid that is coarser by these bits. Returns `false` unless that is exact.
    pub fn coarsen(&mut self, right: &[u32]) -> bool {
        if right.iter().all(|&bits| bits == 0) {
            return true;
        }
        let mut exact = true;
        let mut coarse = |entry: i128, bits: u32| {
            divide(entry, bits).unwrap_or_else(|| {
                exact = false;
                0
            })
        };
        match &mut self.entries {
            Entries::Narrow(entries) => {
                each_shifted(right, |at, bits| entries[at] = coarse(entries[at].into(), bits) as i64);
            }
            Entries::Wide(entries) => each_shifted(right, |at, bits| entries[at] = coarse(entries[at], bits)),
        }
        exact
    }

    /// Adds the rows of a block, on a grid that is coarser by these bits. Where some are more than 0, the caller adds at most
    /// [`rows_with_room`] rows.
    pub(in crate::kernels) fn add_rows(&mut self, rounded: &mut Rounded, left: &[u32]) -> Result<()> {
        let dim = self.dim;
        let is_finer = left.iter().any(|&bits| bits > 0);
        if is_finer {
            let scale: Vec<f64> = left.iter().map(|&bits| 2_f64.powi(bits as i32)).collect();
            for row in rounded.short.chunks_exact_mut(dim) {
                row.iter_mut().zip(&scale).for_each(|(x, scale)| *x *= scale);
            }
        }
        self.make_room(SUM_BITS);
        match &mut self.entries {
            Entries::Narrow(entries) => block_product(entries, &rounded.short, dim)?,
            Entries::Wide(entries) => block_product(entries, &rounded.short, dim)?,
        }
        if rounded.long.is_empty() {
            return Ok(());
        }
        if is_finer {
            for row in rounded.long.chunks_exact_mut(dim) {
                row.iter_mut().zip(left).for_each(|(x, bits)| *x <<= bits);
            }
        }
        self.add_product(&rounded.long, &rounded.long, Par::Seq)
    }

    /// Adds `aᵀ b`, of which it holds the lower triangle; both are rows × D, of any integers. Modulo `2^128`.
    ///
    /// # Errors
    ///
    /// [`Internal`](crate::error::ErrorKind::Internal) if a product is not what it must be.
    pub fn add_product(&mut self, a: &[i128], b: &[i128], par: Par) -> Result<()> {
        let bits = |values: &[i128]| values.iter().map(|&x| bits_i128(x)).max().unwrap_or(0);
        self.make_room_for_product(bits(a), bits(b), a.len());
        match &mut self.entries {
            Entries::Narrow(entries) => add_sliced(entries, a, b, self.dim, par),
            Entries::Wide(entries) => add_sliced(entries, a, b, self.dim, par),
        }
    }

    /// The same for integers below `2^51` held in `f64`.
    ///
    /// # Errors
    ///
    /// Those of [`add_product`](Self::add_product).
    pub fn add_narrow_product(&mut self, a: &[f64], b: &[f64], par: Par) -> Result<()> {
        self.make_room_for_product(integer_bits(a), integer_bits(b), a.len());
        match &mut self.entries {
            Entries::Narrow(entries) => narrow_product(entries, a, b, self.dim, par),
            Entries::Wide(entries) => narrow_product(entries, a, b, self.dim, par),
        }
    }

    /// Makes room for a product of factors of so many bits. While products are added, the diagonal bounds nothing.
    fn make_room_for_product(&mut self, a: u32, b: u32, len: usize) {
        let product = a + b + usize::BITS - (len / self.dim.max(1)).leading_zeros();
        if let Entries::Narrow(entries) = &self.entries
            && self.bits.max(product) > ROOM_BITS
        {
            let known = entries.iter().fold(0, |bits, &x| bits | x.unsigned_abs());
            self.bits = u64::BITS - known.leading_zeros();
        }
        self.widen_unless_room_for(product);
    }

    /// Makes room for what is a Gram matrix again once it is added, of so many bits.
    fn make_room(&mut self, bits: u32) {
        if matches!(self.entries, Entries::Narrow(_)) && self.bits.max(bits) > ROOM_BITS {
            // The largest entry lies on the diagonal.
            self.bits = self.diagonal().map(bits_i128).max().unwrap_or(0);
        }
        self.widen_unless_room_for(bits);
    }

    /// Goes over to 128 bits unless entries of so many bits can be added in 64.
    fn widen_unless_room_for(&mut self, bits: u32) {
        let Entries::Narrow(entries) = &self.entries else { return };
        if self.bits.max(bits) > ROOM_BITS {
            self.entries = Entries::Wide(entries.iter().map(|&entry| entry.into()).collect());
        } else {
            self.bits = self.bits.max(bits) + 1;
        }
    }
}

/// Adds entries moved left by these bits, or takes them away.
fn add_shifted<S: Sum>(sums: &mut [S], entries: &[S], left: &[u32], negative: bool) {
    match (left.iter().all(|&bits| bits == 0), negative) {
        (true, false) => sums.iter_mut().zip(entries).for_each(|(sum, &entry)| *sum = sum.with(entry)),
        (true, true) => sums.iter_mut().zip(entries).for_each(|(sum, &entry)| *sum = sum.without(entry)),
        (false, false) => each_shifted(left, |at, bits| sums[at] = sums[at].with(entries[at].moved(bits))),
        (false, true) => each_shifted(left, |at, bits| sums[at] = sums[at].without(entries[at].moved(bits))),
    }
}

/// Calls `entry` for every entry of the lower triangle, with its index and the sum of the bits of its row and column.
fn each_shifted(bits: &[u32], mut entry: impl FnMut(usize, u32)) {
    let mut at = 0;
    for j in 0..bits.len() {
        for &row in &bits[j..] {
            entry(at, bits[j] + row);
            at += 1;
        }
    }
}
