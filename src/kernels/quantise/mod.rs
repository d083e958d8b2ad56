//! Rounds rows to the grid, `δ = round_ties_even(x / g) − c`, and adds up `Σ δ`, `Σ δ²` and the residuals of rounding.
//!
//! Every operation is exact except the one rounding, so the width of the registers cannot change a bit.

use arrow::datatypes::i256;

use crate::grid::{DELTA_LIMIT, Grid, RESIDUAL_BITS, Value, power_of_two, vectorised, wide};

/// `|δ|` of a short row is below `2^21`.
pub(super) const SHORT_BITS: u32 = 21;

/// Added to an integer of magnitude up to `2^51`, it leaves that integer in the low bits of the sum. Added to any number
/// of that size and subtracted again, it rounds the number to an integer, ties to even.
pub(crate) const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52

/// Added to a number below 1, it rounds that to a multiple of `2^-20`, ties to even, and leaves the multiple in the low
/// bits of the sum.
const RESIDUAL_MAGIC: f64 = MAGIC / (1_u64 << RESIDUAL_BITS) as f64; // 1.5 · 2^32

/// Adding and subtracting 1.5 · 2^52 rounds `x / g` to an integer below this magnitude.
pub(crate) const NARROW_LIMIT: f64 = 2_251_799_813_685_248.0; // 2^51

/// The bits of `2^21` as an `f64`.
const LONG_BITS: u64 = 2_097_152_f64.to_bits();

/// The low 32 bits of an integer held in an `f64`, `|x| ≤ 2^51`.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call in loops over values would keep them from being vectorised")]
pub(super) fn low_word(x: f64) -> i32 {
    (x + MAGIC).to_bits() as i32
}

/// Exponents this far apart share a pass over `Σ δ²`.
const BAND: u32 = 6;

/// Rows of a class that are rounded at a time, so that what they share is loaded once.
const GROUP: usize = 4;

/// Dimensions whose squares share a lane: those of [`GROUP`] rows in `2^10` of them, each `δ² · 4^5 < 2^52`, stay below
/// `2^64`.
const LANE_DIMS: usize = 1 << 10;

/// The dimensions whose squares are summed in one pass.
#[derive(Clone, Debug)]
struct Band {
    /// By how many bits the sum over the band moves left.
    shift: u32,
    /// By how many bits a dimension's square moves left within the band.
    shifts: Vec<u64>,
    /// All bits of a square in the dimensions of the band, no bits in the others.
    mask: Vec<u64>,
}

/// A grid, prepared for rounding rows to it.
#[derive(Clone, Debug)]
pub(super) struct Quantiser {
    grid: Grid,
    inverse: Vec<f64>,
    weights: Vec<u32>,
    bands: Vec<Band>,
    narrow: bool,
}

/// Some rows of a chunk, class after class, and the shift of each class.
#[derive(Clone, Copy, Debug)]
pub struct ShiftedRows<'a> {
    /// Row indices into the features.
    pub rows: &'a [u32],
    /// The class of each of those rows.
    pub classes: &'a [u32],
    /// The class that comes first in `shifts` and in the totals.
    pub first_class: u32,
    /// Shifts, classes × D, in steps of the grid of the totals; they lie on the grid of the rows.
    pub shifts: &'a [i64],
}

/// What rounding adds up for each class, with `q = round_ties_even(x / g)` and `δ = q − shift`.
#[derive(Debug)]
pub struct Totals<'a> {
    /// `Σ δ`, classes × D.
    pub sums: &'a mut [i64],
    /// `Σ round_ties_even((x / g − q) · 2^20)`, classes × D.
    pub low: &'a mut [i64],
    /// `Σ_j (g_j / g_min)² Σ δ_j²`, classes.
    pub squares: &'a mut [i256],
    /// Rows whose value the rounding changed, D.
    pub changed: &'a mut [u64],
    /// By how many bits the grid of the rows is coarser than that of sums and residuals, D; not more than 16.
    pub left: &'a [u32],
    /// By how many bits squares of the finest step of the rows are more than those of the totals.
    pub squares_left: u32,
}

/// The rounded rows of a block.
#[derive(Debug, Default)]
pub(super) struct Rounded {
    /// Short rows, rows × D.
    pub(super) short: Vec<f64>,
    /// Long rows, with some `|δ| ≥ 2^21`, rows × D.
    pub(super) long: Vec<i128>,
    /// A class's shift.
    shift: Vec<f64>,
    /// `Σ δ²` of a class's rows, one a band.
    squares: Vec<u128>,
}

/// A row that lies too far from its class's shift for this grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFar {
    /// Index into the values.
    pub row: usize,
    /// Its dimension.
    pub dimension: usize,
}

impl Quantiser {
    /// Prepares for `grid`; `largest` bounds |x| in each dimension.
    pub(super) fn new(grid: Grid, largest: &[f64]) -> Self {
        let weights = grid.weights();
        let inverse: Vec<f64> = grid.exponents().iter().map(|e| power_of_two(-e.unwrap_or(0))).collect();
        let narrow = inverse.iter().zip(largest).all(|(inverse, largest)| largest * inverse < NARROW_LIMIT);
        let mut occupied: Vec<u32> = weights.iter().map(|weight| weight / BAND).collect();
        occupied.sort_unstable();
        occupied.dedup();
        let band = |band: u32| Band {
            shift: 2 * BAND * band,
            shifts: weights.iter().map(|weight| u64::from(2 * (weight % BAND))).collect(),
            mask: weights.iter().map(|weight| if weight / BAND == band { (1 << 52) - 1 } else { 0 }).collect(),
        };
        let bands = occupied.into_iter().map(band).collect();
        Self { grid, inverse, weights, bands, narrow }
    }

    /// Whether all `|x / g|` are below `2^51`.
    pub(super) fn is_narrow(&self) -> bool {
        self.narrow
    }

    /// The grid.
    pub(super) fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Rounds rows and adds them to the totals. Leaves long rows in `out`, and with `keep` short rows too.
    ///
    /// # Errors
    ///
    /// The first row, by index, with some `|δ|` at [`DELTA_LIMIT`] or beyond; then the totals are undefined.
    pub(super) fn round<T: Value>(
        &self,
        values: &[T],
        rows: &ShiftedRows<'_>,
        totals: &mut Totals<'_>,
        keep: bool,
        out: &mut Rounded,
    ) -> Result<(), TooFar> {
        out.long.clear();
        let same_grid = totals.left.iter().all(|&bits| bits == 0);
        let failed = if self.narrow && same_grid {
            vectorised(
                #[inline(always)]
                || self.round_narrow::<T, false>(values, rows, totals, keep, out),
            )
        } else if self.narrow {
            vectorised(
                #[inline(always)]
                || self.round_narrow::<T, true>(values, rows, totals, keep, out),
            )
        } else {
            self.round_wide(values, rows, totals, keep, out)
        };
        failed.map_or(Ok(()), Err)
    }

    /// Where all `x / g` are below `2^51`: everything stays in `f64` registers. `LEFT` says whether the totals lie on a finer
    /// grid in some dimension.
    #[inline(always)]
    fn round_narrow<T: Value, const LEFT: bool>(
        &self,
        values: &[T],
        rows: &ShiftedRows<'_>,
        totals: &mut Totals<'_>,
        keep: bool,
        out: &mut Rounded,
    ) -> Option<TooFar> {
        let (dim, squares_left) = (self.grid.dim(), totals.squares_left);
        let left = &totals.left[..dim];
        out.short.resize(if keep { rows.rows.len() } else { GROUP } * dim, 0.0);
        out.shift.resize(dim, 0.0);
        let (mut kept, mut failed) = (0, None);
        let mut first = 0;
        while first < rows.rows.len() {
            let class = rows.classes[first];
            let end = first + rows.classes[first..].iter().take_while(|&&other| other == class).count();
            let class = (class - rows.first_class) as usize;
            let sums = &mut totals.sums[class * dim..][..dim];
            let low = &mut totals.low[class * dim..][..dim];
            let shift = &mut out.shift[..dim];
            let steps = &rows.shifts[class * dim..][..dim];
            for j in 0..dim {
                shift[j] = if LEFT { steps[j] >> left[j] } else { steps[j] } as f64;
            }
            out.squares.clear();
            out.squares.resize(self.bands.len(), 0);
            for group in rows.rows[first..end].chunks(GROUP) {
                let x = |row: u32| &values[row as usize * dim..][..dim];
                let shifted = Shifted { inverse: &self.inverse, shift };
                let deltas = &mut out.short[if keep { kept * dim } else { 0 }..][..group.len() * dim];
                let mut long = [false; GROUP];
                if let &[a, b, c, d] = group {
                    let (front, back) = deltas.split_at_mut(2 * dim);
                    let ((first, second), (third, fourth)) = (front.split_at_mut(dim), back.split_at_mut(dim));
                    let parts = [&mut *first, &mut *second, &mut *third, &mut *fourth];
                    long = shifted.round::<T, LEFT, 4>([x(a), x(b), x(c), x(d)], parts, low, totals.changed, left);
                    if long == [false; GROUP] {
                        self.add_short::<LEFT, 4>([first, second, third, fourth], sums, &mut out.squares, left);
                        kept += GROUP;
                        continue;
                    }
                } else {
                    for (at, &row) in group.iter().enumerate() {
                        let delta = &mut deltas[at * dim..][..dim];
                        [long[at]] = shifted.round::<T, LEFT, 1>([x(row)], [delta], low, totals.changed, left);
                    }
                }
                // The last rows of the class, or some of these rows are long.
                let mut place = 0;
                for (at, (&row, long)) in group.iter().zip(long).enumerate() {
                    let delta = &deltas[at * dim..][..dim];
                    if long {
                        let start = out.long.len();
                        out.long.extend(delta.iter().map(|&x| x as i128));
                        let square = &mut totals.squares[class];
                        let added = self.add_long(row as usize, &out.long[start..], sums, square, (left, squares_left));
                        failed = earlier(failed, added.err());
                    } else {
                        self.add_short::<LEFT, 1>([delta], sums, &mut out.squares, left);
                        deltas.copy_within(at * dim..(at + 1) * dim, place * dim);
                        place += 1;
                    }
                }
                kept += place;
            }
            self.add_squares(&out.squares, &mut totals.squares[class], squares_left);
            first = end;
        }
        out.short.truncate(if keep { kept * dim } else { 0 });
        failed
    }

    /// Adds short rows to the sums of their class, and their squares to the sum of each band.
    #[inline(always)]
    fn add_short<const LEFT: bool, const N: usize>(
        &self,
        deltas: [&[f64]; N],
        sums: &mut [i64],
        squares: &mut [u128],
        left: &[u32],
    ) {
        let dim = self.grid.dim();
        let (deltas, sums, left) = (deltas.map(|delta| &delta[..dim]), &mut sums[..dim], &left[..dim]);
        for j in 0..dim {
            let both: f64 = deltas.iter().map(|delta| delta[j]).sum();
            let both = ((both + MAGIC).to_bits() as i64).wrapping_sub(MAGIC.to_bits() as i64);
            sums[j] += if LEFT { both << left[j] } else { both };
        }
        for (band, square) in self.bands.iter().zip(squares) {
            let (shifts, mask) = (&band.shifts[..dim], &band.mask[..dim]);
            for start in (0..dim).step_by(LANE_DIMS) {
                let mut sum = 0_u64;
                for j in start..dim.min(start + LANE_DIMS) {
                    // A square is below 2^42, so it is the low bits of its sum with 2^52.
                    let square = |delta: &[f64]| (delta[j] * delta[j] + 4_503_599_627_370_496.0).to_bits() & mask[j];
                    let both: u64 = deltas.iter().map(|delta| square(delta)).sum();
                    sum = sum.wrapping_add(both.wrapping_shl(shifts[j] as u32));
                }
                *square += u128::from(sum);
            }
        }
    }

    fn add_squares(&self, squares: &[u128], total: &mut i256, left: u32) {
        for (band, &square) in self.bands.iter().zip(squares) {
            *total = total.wrapping_add(i256::from_i128(square as i128) << (band.shift + left) as u8);
        }
    }

    fn add_long(
        &self,
        row: usize,
        delta: &[i128],
        sums: &mut [i64],
        square: &mut i256,
        (left, squares_left): (&[u32], u32),
    ) -> Result<(), TooFar> {
        if let Some(dimension) = delta.iter().position(|d| d.unsigned_abs() >= DELTA_LIMIT as u128) {
            return Err(TooFar { row, dimension });
        }
        for (dimension, ((sum, &delta), &weight)) in sums.iter_mut().zip(delta).zip(&self.weights).enumerate() {
            let too_far = || TooFar { row, dimension };
            // The short rows of a batch, fewer than 2^32, cannot make it overflow from there.
            let within = |sum: &i64| sum.unsigned_abs() < 1 << 62;
            let moved = (delta as i64) << left[dimension];
            *sum = sum.checked_add(moved).filter(within).ok_or_else(too_far)?;
            let term = wide(delta * delta, 2 * weight + squares_left).ok_or_else(too_far)?;
            *square = square.checked_add(term).ok_or_else(too_far)?;
        }
        Ok(())
    }

    /// Where some `x / g` may pass `2^51`: with integers from the start.
    #[expect(clippy::float_cmp, reason = "whether rounding changed a value")]
    fn round_wide<T: Value>(
        &self,
        values: &[T],
        rows: &ShiftedRows<'_>,
        totals: &mut Totals<'_>,
        keep: bool,
        out: &mut Rounded,
    ) -> Option<TooFar> {
        let (dim, left, squares_left) = (self.grid.dim(), totals.left, totals.squares_left);
        let mut failed = None;
        out.short.clear();
        let mut delta = vec![0_i128; dim];
        let mut short = vec![0.0; dim];
        for (&row, &class) in rows.rows.iter().zip(rows.classes) {
            let (row, class) = (row as usize, (class - rows.first_class) as usize);
            for (j, (delta, x)) in delta.iter_mut().zip(&values[row * dim..][..dim]).enumerate() {
                let steps = x.widen() * self.inverse[j];
                let rounded = steps.round_ties_even();
                totals.changed[j] += u64::from(rounded != steps);
                totals.low[class * dim + j] += residual(steps - rounded) << left[j];
                *delta = rounded as i128 - i128::from(rows.shifts[class * dim + j] >> left[j]);
            }
            let sums = &mut totals.sums[class * dim..][..dim];
            if delta.iter().all(|delta| delta.unsigned_abs() < 1 << SHORT_BITS) {
                short.iter_mut().zip(&delta).for_each(|(short, &delta)| *short = delta as f64);
                out.squares.clear();
                out.squares.resize(self.bands.len(), 0);
                self.add_short::<true, 1>([&short], sums, &mut out.squares, left);
                self.add_squares(&out.squares, &mut totals.squares[class], squares_left);
                if keep {
                    out.short.extend_from_slice(&short);
                }
            } else {
                let square = &mut totals.squares[class];
                let added = self.add_long(row, &delta, sums, square, (left, squares_left));
                failed = earlier(failed, added.err());
                out.long.extend_from_slice(&delta);
            }
        }
        failed
    }
}

/// The residual of rounding, at most half a step, in units of `2^-20` steps. `taken` is exact.
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call in loops over values would keep them from being vectorised")]
fn residual(taken: f64) -> i64 {
    (taken + RESIDUAL_MAGIC).to_bits() as i64 - RESIDUAL_MAGIC.to_bits() as i64
}

/// The inverse steps and the shift by which the rows of a class are rounded.
struct Shifted<'a> {
    inverse: &'a [f64],
    shift: &'a [f64],
}

impl Shifted<'_> {
    /// Rounds rows, each into its `delta`, and returns which of them are long. There is one lane per dimension, and no
    /// branch.
    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "whether rounding changed a value")]
    fn round<T: Value, const LEFT: bool, const N: usize>(
        &self,
        x: [&[T]; N],
        mut deltas: [&mut [f64]; N],
        low: &mut [i64],
        changed: &mut [u64],
        left: &[u32],
    ) -> [bool; N] {
        let dim = self.shift.len();
        let (inverse, shift) = (&self.inverse[..dim], &self.shift[..dim]);
        let (low, changed, left) = (&mut low[..dim], &mut changed[..dim], &left[..dim]);
        let x = x.map(|x| &x[..dim]);
        for delta in &mut deltas {
            *delta = &mut std::mem::take(delta)[..dim];
        }
        let mut beyond = [0; N];
        for j in 0..dim {
            let (mut changes, mut residuals, mut delta) = (0, 0, [0.0; N]);
            for row in 0..N {
                let steps = x[row][j].widen() * inverse[j];
                let rounded = (steps + MAGIC) - MAGIC;
                changes += u64::from(rounded != steps);
                residuals += residual(steps - rounded);
                delta[row] = rounded - shift[j];
                // The bits of |δ| are ordered as the numbers are, so they can be compared as integers.
                beyond[row] |= (LONG_BITS - 1).wrapping_sub(delta[row].to_bits() & (u64::MAX >> 1));
            }
            // Everything is loaded before anything is stored, since the compiler cannot rule out that the slices overlap.
            changed[j] += changes;
            low[j] += if LEFT { residuals << left[j] } else { residuals };
            for row in 0..N {
                deltas[row][j] = delta[row];
            }
        }
        beyond.map(|beyond| beyond >> 63 != 0)
    }
}

/// Of two rows the one with the lower index.
pub(super) fn earlier(a: Option<TooFar>, b: Option<TooFar>) -> Option<TooFar> {
    a.into_iter().chain(b).min_by_key(|far| far.row)
}

#[cfg(test)]
mod tests;
