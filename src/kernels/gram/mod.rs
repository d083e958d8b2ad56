//! Exact integer Gram matrices by ordinary `f64` products.
//!
//! A product of two integers below `2^21` is below `2^42`, and 2048 of them sum to at most `2^53`. So every partial
//! sum, in any order, fused or not, is an integer that `f64` holds exactly, and any matrix product returns the exact
//! answer. Each block's product is folded into 128-bit integers before the next (Ozaki et al. 2012).

mod sum;

pub use sum::{GramSum, GramTarget, rows_with_room};

use std::ops::Range;
use std::sync::OnceLock;

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::reborrow::ReborrowMut;
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;

use super::quantise::{MAGIC, SHORT_BITS, low_word};
use crate::error::{Error, Result};
use crate::grid::vectorised;

/// Rows in a block: one more, and a sum of squares of `2^21 − 1` passes `2^53`.
pub const BLOCK_ROWS: usize = 2048;

/// Values of a block that is still in the second cache when it is multiplied.
const CACHED_VALUES: usize = 1 << 17;

/// How many rows to multiply at a time: as many as stay in cache, but not so few that adding products up takes longer than
/// making them.
pub fn rows_at_a_time(dim: usize) -> usize {
    (CACHED_VALUES / dim.max(1)).clamp(FEW_ROWS, BLOCK_ROWS)
}

/// How many columns of the triangle are computed at a time: the product stays in cache, and threads share the panels.
const PANEL: usize = 256;

/// Bits in a slice of a long integer; slices are balanced, hence at most `2^20` in magnitude.
const SLICE_BITS: u32 = SHORT_BITS;

/// Every integer up to `2^53` is an `f64`.
const SUM_BITS: u32 = 53;

/// Products of fewer rows take longer than slices of their values do.
const FEW_ROWS: usize = 256;

/// Where the panels of one product run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Par {
    /// On this thread, one after the other.
    Seq,
    /// In the current rayon pool.
    Pool,
}

/// Address space that a thread reserves for its first product and keeps: twice the last cache, which the packed panels
/// of a product can take at most. Small products use little of it. If it cannot be allocated, the process ends.
pub fn scratch_bytes() -> u64 {
    const LEAST: u64 = 32 << 20;
    last_cache().map_or(LEAST, |cache| (2 * cache).max(LEAST))
}

/// The size of the last caches of all processors together, in bytes, if the system tells it.
fn last_cache() -> Option<u64> {
    let of = |name: &str| std::fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index3/{name}")).ok();
    let size = of("size")?;
    let (number, unit) = size.trim().split_at_checked(size.trim().len().checked_sub(1)?)?;
    let unit = match unit {
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    let shared = of("shared_cpu_list")?;
    let count = |range: &str| -> Option<u64> {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(last.parse::<u64>().ok()?.checked_sub(first.parse().ok()?)? + 1)
    };
    let shared: u64 = shared.trim().split(',').map(count).sum::<Option<u64>>()?;
    let processors = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let processors = processors.lines().filter(|line| line.starts_with("processor")).count() as u64;
    let bytes = number.parse::<u64>().ok()?.checked_mul(unit)?;
    Some(bytes / shared.max(1) * processors.max(1))
}

/// How many entries the triangle of a `dim × dim` matrix has.
pub fn packed_len(dim: usize) -> usize {
    dim * (dim + 1) / 2
}

/// Where column `j` of the lower triangle begins: its entries `j..dim` follow.
pub fn packed_column(dim: usize, j: usize) -> usize {
    j * dim - j * j.saturating_sub(1) / 2
}

/// `acc += δᵀ δ`, the lower triangle by columns.
///
/// `block` is rows × D, row-major, of integers `|δ| < 2^21`, at most [`BLOCK_ROWS`] rows, or of larger ones whose product is as
/// small.
///
/// # Errors
///
/// [`Internal`](crate::error::ErrorKind::Internal) if the product is not what it must be, `G · 1 = Σ δ (δ · 1)`.
pub fn add_block(acc: &mut [i64], block: &[f64], dim: usize) -> Result<()> {
    block_product(acc, block, dim)
}

fn block_product<S: Sum>(acc: &mut [S], block: &[f64], dim: usize) -> Result<()> {
    check_once()?;
    exact_product(acc, block, block, dim, 0, Par::Seq)
}

/// `acc += aᵀ b`, the lower triangle by columns, modulo the range.
///
/// `a` and `b` are rows × D, row-major, of any integers.
fn add_sliced<S: Sum>(acc: &mut [S], a: &[i128], b: &[i128], dim: usize, par: Par) -> Result<()> {
    check_once()?;
    for (a, b) in a.chunks(BLOCK_ROWS * dim).zip(b.chunks(BLOCK_ROWS * dim)) {
        let (a, b) = (slices(a), slices(b));
        for (p, a) in a.iter().enumerate() {
            for (q, b) in b.iter().enumerate() {
                let shift = (p + q) as u32 * SLICE_BITS;
                if shift < S::BITS {
                    exact_product(acc, a, b, dim, shift, par)?;
                }
            }
        }
    }
    Ok(())
}

/// The same for integers below `2^51` held in `f64`. One product is exact where their sizes leave room, as they mostly do.
fn narrow_product<S: Sum>(acc: &mut [S], a: &[f64], b: &[f64], dim: usize, par: Par) -> Result<()> {
    let bits = integer_bits(a) + integer_bits(b);
    // So many rows add up to less than 2^53.
    let rows = if bits < SUM_BITS { (1 << (SUM_BITS - bits)).min(BLOCK_ROWS) } else { 0 };
    if rows < FEW_ROWS {
        let wide = |values: &[f64]| values.iter().map(|&x| x as i128).collect::<Vec<_>>();
        return add_sliced(acc, &wide(a), &wide(b), dim, par);
    }
    check_once()?;
    for (a, b) in a.chunks(rows * dim).zip(b.chunks(rows * dim)) {
        exact_product(acc, a, b, dim, 0, par)?;
    }
    Ok(())
}

/// How many bits the largest magnitude takes.
fn integer_bits(values: &[f64]) -> u32 {
    let largest = values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    u64::BITS - (largest as u64).leading_zeros()
}

/// `acc += aᵀ a`, the lower triangle by columns, for real numbers; `a` is rows × D, row-major.
///
/// The same bits whatever the number of threads: every panel is one product on one thread.
pub fn plain_gram(acc: &mut [f64], a: &[f64], dim: usize) {
    let rows = MatRef::from_row_major_slice(a, a.len() / dim, dim);
    panels(acc, dim).into_par_iter().for_each(|(columns, panel)| {
        let height = dim - columns.start;
        let mut product = Vec::new();
        let product = lower_product(&columns, rows, rows, &mut product);
        let mut rest = panel;
        for (j, column) in product.chunks_exact(height).enumerate() {
            let (acc, tail) = rest.split_at_mut(height - j);
            rest = tail;
            acc.iter_mut().zip(&column[j..]).for_each(|(acc, value)| *acc += value);
        }
    });
}

/// Writes the lower triangle of `aᵀ a` to the columns of `out`, D × D: the plain product on one thread, which benchmarks
/// compare exact products with.
pub fn plain_product(out: &mut [f64], a: &[f64], dim: usize) {
    use BlockStructure::{Rectangular, TriangularLower};
    let out = MatMut::from_column_major_slice_mut(out, dim, dim);
    let rows = MatRef::from_row_major_slice(a, a.len() / dim, dim);
    let lhs = rows.transpose();
    matmul(out, TriangularLower, Accum::Replace, lhs, Rectangular, rows, Rectangular, 1.0, faer::Par::Seq);
}

/// The panels of a packed lower triangle, with their columns.
fn panels<T>(packed: &mut [T], dim: usize) -> Vec<(Range<usize>, &mut [T])> {
    let mut panels = Vec::with_capacity(dim.div_ceil(PANEL));
    let mut rest = packed;
    for start in (0..dim).step_by(PANEL) {
        let end = (start + PANEL).min(dim);
        let (panel, tail) = rest.split_at_mut(packed_column(dim, end) - packed_column(dim, start));
        panels.push((start..end, panel));
        rest = tail;
    }
    panels
}

/// Columns of the lower triangle of `aᵀ b`, from the diagonal block down, column-major.
///
/// Entries above the diagonal are undefined.
fn lower_product<'a>(
    columns: &Range<usize>,
    a: MatRef<'_, f64>,
    b: MatRef<'_, f64>,
    scratch: &'a mut Vec<f64>,
) -> &'a [f64] {
    let (dim, start, width) = (a.ncols(), columns.start, columns.len());
    let height = dim - start;
    if scratch.len() < height * width {
        scratch.resize(height * width, 0.0);
    }
    let product = &mut scratch[..height * width];
    let mut out = MatMut::from_column_major_slice_mut(product, height, width);
    let rhs = b.subcols(start, width);
    let multiply = |out: MatMut<'_, f64>, structure, lhs: MatRef<'_, f64>| {
        use BlockStructure::Rectangular;
        let lhs = lhs.transpose();
        matmul(out, structure, Accum::Replace, lhs, Rectangular, rhs, Rectangular, 1.0, faer::Par::Seq);
    };
    multiply(out.rb_mut().subrows_mut(0, width), BlockStructure::TriangularLower, a.subcols(start, width));
    if height > width {
        let below = a.subcols(columns.end, dim - columns.end);
        multiply(out.subrows_mut(width, height - width), BlockStructure::Rectangular, below);
    }
    product
}

/// Slices with `values = Σ_p 2^(21 p) slice_p` and `|slice_p| ≤ 2^20`, in `f64`; as many as the largest value needs.
fn slices(values: &[i128]) -> Vec<Vec<f64>> {
    let mut rest = values.to_vec();
    let mut slices = Vec::new();
    while rest.iter().any(|&value| value != 0) {
        slices.push(
            rest.iter_mut()
                .map(|value| {
                    let half = 1_i128 << (SLICE_BITS - 1);
                    let low = ((*value + half) & ((1 << SLICE_BITS) - 1)) - half;
                    *value = (*value - low) >> SLICE_BITS;
                    low as f64
                })
                .collect(),
        );
    }
    slices
}

/// An integer that products are added to.
trait Sum: Copy + Send {
    /// How many there are.
    const BITS: u32;

    /// `self + value · 2^shift`, modulo the range.
    fn plus(self, value: i64, shift: u32) -> Self;

    /// `self + other`, modulo the range.
    fn with(self, other: Self) -> Self;

    /// `self − other`, modulo the range.
    fn without(self, other: Self) -> Self;

    /// `self · 2^bits`. It is 0 for 0, whatever the bits.
    fn moved(self, bits: u32) -> Self;
}

macro_rules! sum {
    ($integer:ty) => {
        impl Sum for $integer {
            const BITS: u32 = <$integer>::BITS;

            #[inline(always)]
            fn plus(self, value: i64, shift: u32) -> Self {
                self.wrapping_add(Self::from(value) << shift)
            }

            #[inline(always)]
            fn with(self, other: Self) -> Self {
                self.wrapping_add(other)
            }

            #[inline(always)]
            fn without(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }

            #[inline(always)]
            fn moved(self, bits: u32) -> Self {
                self.checked_shl(bits).unwrap_or(0)
            }
        }
    };
}

sum!(i64);
sum!(i128);

fn exact_product<S: Sum>(acc: &mut [S], a: &[f64], b: &[f64], dim: usize, shift: u32, par: Par) -> Result<()> {
    let rows = a.len() / dim;
    debug_assert!(rows <= BLOCK_ROWS && a.len() == b.len() && acc.len() == packed_len(dim));
    if rows == 0 {
        return Ok(());
    }
    let panels = panels(acc, dim);
    let run = |product: &mut Vec<f64>, (columns, panel): (Range<usize>, &mut [S])| {
        let (a, b) = (MatRef::from_row_major_slice(a, rows, dim), MatRef::from_row_major_slice(b, rows, dim));
        let product = lower_product(&columns, a, b, product);
        let mut check = Checksum::new(&columns, dim);
        vectorised(
            #[inline(always)]
            || add_panel(panel, product, shift, &mut check),
        );
        check
    };
    let checks: Vec<Checksum> = match par {
        Par::Seq => {
            let mut product = Vec::new();
            panels.into_iter().map(|panel| run(&mut product, panel)).collect()
        }
        Par::Pool => panels.into_par_iter().map_init(Vec::new, run).collect(),
    };
    // Only the lower triangle is computed. The upper one is its mirror image if the product is symmetric.
    let expected = if std::ptr::eq(a, b) { symmetric_checksum(a, dim) } else { lower_checksum(a, b, dim) };
    let mut sums = vec![0_i32; dim];
    for check in checks {
        for (sum, found) in sums[check.start..].iter_mut().zip(check.below) {
            *sum = sum.wrapping_add(found);
        }
        if std::ptr::eq(a, b) {
            for (sum, found) in sums[check.start..].iter_mut().zip(check.right) {
                *sum = sum.wrapping_add(found);
            }
        }
    }
    if sums == expected { Ok(()) } else { Err(Error::internal("a matrix product of integers is not exact")) }
}

/// Sums of a panel's product, modulo `2^32`.
struct Checksum {
    /// The panel's first column.
    start: usize,
    /// Over the panel's columns, for each row from `start` on.
    below: Vec<i32>,
    /// Over the rows strictly below the diagonal, for each column.
    right: Vec<i32>,
}

impl Checksum {
    fn new(columns: &Range<usize>, dim: usize) -> Self {
        Self { start: columns.start, below: vec![0; dim - columns.start], right: vec![0; columns.len()] }
    }
}

/// Adds a panel's product to the packed triangle, and its entries to the check.
#[inline(always)]
fn add_panel<S: Sum>(panel: &mut [S], product: &[f64], shift: u32, check: &mut Checksum) {
    let height = check.below.len();
    let mut rest = panel;
    for (j, column) in product.chunks_exact(height).enumerate() {
        let (acc, tail) = rest.split_at_mut(height - j);
        rest = tail;
        let (below, column) = (&mut check.below[j..], &column[j..]);
        let mut sum = 0_i32;
        for i in 0..height - j {
            let value = integer(column[i]);
            acc[i] = acc[i].plus(value, shift);
            let low = value as i32;
            below[i] = below[i].wrapping_add(low);
            sum = sum.wrapping_add(low);
        }
        check.right[j] = sum.wrapping_sub(integer(column[0]) as i32);
    }
}

/// An integer up to `2^53` held in an `f64`, in operations that all registers have.
#[inline(always)]
fn integer(value: f64) -> i64 {
    let high = value * (1.0 / 4_194_304.0) + MAGIC; // 2^22
    let low = value - (high - MAGIC) * 4_194_304.0;
    let bits = |x: f64| (x.to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64);
    (bits(high) << 22) + bits(low + MAGIC)
}

/// `Σ δ (δ · 1)` modulo `2^32`: the sums of the rows of `δᵀδ`.
fn symmetric_checksum(block: &[f64], dim: usize) -> Vec<i32> {
    let mut sums = vec![0_i32; dim];
    vectorised(
        #[inline(always)]
        || {
            for row in block.chunks_exact(dim) {
                let total = row.iter().fold(0_i32, |total, &x| total.wrapping_add(low_word(x)));
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum = sum.wrapping_add(low_word(x).wrapping_mul(total));
                }
            }
        },
    );
    sums
}

/// `Σ a_i (b_0 + … + b_i)` modulo `2^32`: the sums of the rows of the lower triangle of `aᵀb`.
fn lower_checksum(a: &[f64], b: &[f64], dim: usize) -> Vec<i32> {
    let mut sums = vec![0_i32; dim];
    for (a, b) in a.chunks_exact(dim).zip(b.chunks_exact(dim)) {
        let mut total = 0_i32;
        for (sum, (&a, &b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            total = total.wrapping_add(low_word(b));
            *sum = sum.wrapping_add(low_word(a).wrapping_mul(total));
        }
    }
    sums
}

/// Checks once per process that the product of a full block of the largest values is the known one.
fn check_once() -> Result<()> {
    static CHECKED: OnceLock<bool> = OnceLock::new();
    let exact = || {
        let (dim, largest) = (40, (1_i64 << SHORT_BITS) - 1);
        let sign = |row: usize, j: usize| if (row >> (j % 11)) & 1 == 0 { 1 } else { -1 };
        let block: Vec<f64> = (0..BLOCK_ROWS * dim).map(|at| (sign(at / dim, at % dim) * largest) as f64).collect();
        let mut acc = vec![0_i64; packed_len(dim)];
        let product = exact_product(&mut acc, &block, &block, dim, 0, Par::Seq);
        // The signs are eleven orthogonal Walsh functions, repeated.
        let square = largest * largest * BLOCK_ROWS as i64;
        let known = |i: usize, j: usize| if i % 11 == j % 11 { square } else { 0 };
        product.is_ok() && (0..dim).all(|j| (j..dim).all(|i| acc[packed_column(dim, j) + i - j] == known(i, j)))
    };
    if *CHECKED.get_or_init(exact) {
        Ok(())
    } else {
        Err(Error::internal("the matrix product of this machine is not exact on a block of known answer"))
    }
}

#[cfg(test)]
mod tests;
