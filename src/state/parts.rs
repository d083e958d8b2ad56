//! The integers of a state one by one, for whoever stores them under names of their own.

use arrow::datatypes::i256;

use super::class_sums::{ClassSums, MAX_ROWS};
use super::{Low, Merge, Scatter};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::grid::{Grid, History, RESIDUAL_BITS, Tally, VALUE_BITS, f64_from_i256, shift_left};
use crate::kernels::gram::{packed_column, packed_len};

/// For the roundings of comparisons in `f64`; sums of up to 2^32 squares are that good.
const ROOM: f64 = 1.0 + 1e-6;

/// A canonical state in parts: equal states have equal parts. The grid is that of the history.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// `D`; 0 for the state of no rows.
    pub dim: usize,
    /// `h`, by dimension: the exponents in use, ascending.
    pub history: Vec<Vec<Tally>>,
    /// The labels, ascending, K.
    pub labels: Vec<Label>,
    /// `n`, K.
    pub counts: Vec<u64>,
    /// `c`, K × D, in steps.
    pub shifts: Vec<i64>,
    /// `s = Σ δ`, K × D, in steps.
    pub sums: Vec<i64>,
    /// What rounding took off, K × D, in units of `2^-20` steps.
    pub low: Low,
    /// `t`, K, in squares of the finest step.
    pub squares: Vec<i256>,
    /// The lower triangle of `Q` by columns, D(D+1)/2, where the state has it; entry i, j in steps of i times those of j.
    pub gram: Option<Vec<i128>>,
}

impl Parts {
    /// The class sums.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the parts contradict each other, or hold a scatter.
    pub fn into_class_sums(self) -> Result<ClassSums> {
        match self.check()? {
            (sums, None) => Ok(sums),
            (_, Some(_)) => Err(Error::data("the state has a scatter matrix, and class sums were expected")),
        }
    }

    /// The class sums with the scatter.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the parts contradict each other, or lack the scatter.
    pub fn into_scatter(self) -> Result<Scatter> {
        match self.check()? {
            (sums, Some(gram)) => Scatter::from_parts(sums, gram)
                .map_err(|error| Error::data("the state contradicts itself").caused_by(error)),
            (_, None) => Err(Error::data("the state has class sums alone, and a scatter matrix was expected")),
        }
    }

    /// Refuses what is no canonical state; that the trace of a scatter is right is left to the caller.
    pub(super) fn check(self) -> Result<(ClassSums, Option<Vec<i128>>)> {
        let Self { dim, history, labels, counts, shifts, sums, low, squares, gram } = self;
        let classes = labels.len();
        let cells = classes.checked_mul(dim).ok_or_else(broken)?;
        let whole = (dim == 0) == (classes == 0)
            && history.len() == dim
            && counts.len() == classes
            && shifts.len() == cells
            && sums.len() == cells
            && low.len() == cells
            && squares.len() == classes
            && gram.as_ref().is_none_or(|gram| gram.len() == packed_len(dim));
        if !whole {
            return Err(broken());
        }
        let history = History::from_tallies(history).ok_or_else(broken)?;
        let rows = counts.iter().try_fold(0_u64, |rows, &n| rows.checked_add(n));
        let grid = history.grid();
        // The shift is the mean, rounded to even: what is left of it is at most half a step.
        let centred = |at: usize| {
            let (n, c, twice) = (counts[at / dim], shifts[at], u128::from(sums[at].unsigned_abs()) * 2);
            twice < u128::from(n) || (twice == u128::from(n) && c & 1 == 0)
        };
        let on_grid = |at: usize| grid.exponents()[at % dim].is_some() || (shifts[at] == 0 && sums[at] == 0);
        let canonical = rows.is_some_and(|rows| rows <= MAX_ROWS && history.covers_at_most(rows))
            && labels.windows(2).all(|pair| pair[0] < pair[1])
            && counts.iter().all(|&n| n > 0)
            && shifts.iter().all(|c| c.unsigned_abs() < 1 << VALUE_BITS)
            && (0..cells).all(|at| centred(at) && on_grid(at))
            && is_sum_of_residuals(&low, &counts, &history)
            && (0..classes).all(|k| is_sum_of_squares(squares[k], &sums[k * dim..][..dim], counts[k], &grid))
            && gram.as_ref().is_none_or(|gram| is_sum_of_products(gram, &grid));
        if !canonical {
            return Err(broken());
        }
        Ok((ClassSums::from_parts(grid, history, labels, counts, shifts, sums, low, squares).indexed(), gram))
    }
}

impl ClassSums {
    /// The parts of the canonical form.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`].
    pub fn to_parts(&self) -> Result<Parts> {
        Ok(self.canonical()?.into_parts())
    }

    /// The parts of a state in canonical form.
    fn into_parts(self) -> Parts {
        let Self { dim, history, labels, counts, shifts, sums, low, squares, .. } = self;
        let history = history.tallies().to_vec();
        Parts { dim, history, labels, counts, shifts, sums, low, squares, gram: None }
    }
}

impl Scatter {
    /// The parts of the canonical form.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`].
    pub fn to_parts(&self) -> Result<Parts> {
        let Self { sums, gram } = self.canonical()?;
        Ok(Parts { gram: Some(gram), ..sums.into_parts() })
    }
}

/// Whether `low` can be the residuals of these rows, of which each is at most half a step of the grid that it was rounded
/// on; those whose value rounding did not change have none.
fn is_sum_of_residuals(low: &Low, counts: &[u64], history: &History) -> bool {
    let mut left: Vec<(u128, u128)> = history.tallies().iter().map(|tallies| of_residuals(tallies)).collect();
    let dim = left.len();
    (0..low.len()).all(|at| {
        let (total, each) = &mut left[at % dim];
        let size = low.get(at).unsigned_abs();
        let rest = total.checked_sub(size);
        *total = rest.unwrap_or(0);
        rest.is_some() && size <= each.saturating_mul(counts[at / dim].into())
    })
}

/// The most that all residuals of a dimension can add up to, and the most that one can be.
fn of_residuals(tallies: &[Tally]) -> (u128, u128) {
    let finest = tallies.first().map_or(0, |tally| tally.exponent);
    let half = |tally: &Tally| {
        let bits = RESIDUAL_BITS - 1 + (i32::from(tally.exponent) - i32::from(finest)) as u32;
        if bits < 127 { 1_u128 << bits } else { u128::MAX }
    };
    let resolved = tallies.iter().filter(|tally| tally.changed > tally.unresolved);
    resolved.fold((0, 0), |(total, each), tally| {
        let rows = u128::from(tally.changed - tally.unresolved);
        (total.saturating_add(rows.saturating_mul(half(tally))), each.max(half(tally)))
    })
}

/// Whether `t` can be `Σ_j (g_j / g_min)² Σ δ_j²`, which is at least what the mean's share in it is.
fn is_sum_of_squares(t: i256, s: &[i64], n: u64, grid: &Grid) -> bool {
    let weighted = s.iter().zip(grid.weights()).filter(|(s, _)| **s != 0);
    let of_mean: f64 = weighted.map(|(&s, weight)| (s as f64).powi(2) / n as f64 * 4_f64.powi(weight as i32)).sum();
    !t.is_negative() && shift_left(t, 0).is_some() && of_mean <= f64_from_i256(t) * ROOM
}

/// Whether a triangle can be `Σ δ δᵀ`: its diagonal is not negative, bounds all other entries, and is 0 where a
/// dimension has held nothing but zeros.
fn is_sum_of_products(gram: &[i128], grid: &Grid) -> bool {
    let dim = grid.dim();
    let diagonal: Vec<i128> = (0..dim).map(|j| gram[packed_column(dim, j)]).collect();
    let on_grid = |(&entry, e): (&i128, &Option<i16>)| entry >= 0 && (e.is_some() || entry == 0);
    let bound: Vec<f64> = diagonal.iter().map(|&entry| (entry as f64).sqrt() * ROOM).collect();
    diagonal.iter().zip(grid.exponents()).all(on_grid)
        && (0..dim).all(|j| {
            let column = &gram[packed_column(dim, j)..][..dim - j];
            column.iter().zip(&bound[j..]).all(|(&entry, row)| entry.unsigned_abs() as f64 <= row * bound[j])
        })
}

pub(super) fn broken() -> Error {
    Error::data("the state is damaged")
}
