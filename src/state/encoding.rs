//! States as bytes: little-endian, canonical, every length checked before anything is allocated.
//!
//! ```text
//! "NCST"  version u16  kind u8 (0 class sums, 1 scatter)  D u32  K u64
//! D ×     count u32, count × (exponent i16, rows u64, changed u64)
//! K ×     label: kind u8 (0 bool, 1 integer, 2 text), then u8 | i128 | length u32 and UTF-8
//! K ×     n u64
//! K ×     width u8, D × c in so many bytes
//! K ×     width u8, D × s
//! K ×     t i256
//! D ×     width u8, (D − j) × Q: column j of the lower triangle; scatter only
//! ```
//!
//! Where a width is given, integers stand in the fewest bytes that hold the largest of that row or column, as two's
//! complement. Means lie some 2^20 steps from zero and `s` is at most half of `n`, so a class takes 4 to 6 bytes a
//! dimension instead of 16.

use arrow::datatypes::i256;

use super::bytes::{Input, put_label, put_packed};
use super::class_sums::{ClassSums, MAX_ROWS};
use crate::error::{Error, Result};
use crate::grid::{Grid, History, Tally, VALUE_BITS, f64_from_i256, shift_left};
use crate::kernels::gram::packed_column;

const MAGIC: &[u8; 4] = b"NCST";
const VERSION: u16 = 1;

/// For the roundings of comparisons in `f64`; sums of up to 2^32 squares are that good.
const ROOM: f64 = 1.0 + 1e-6;

/// Writes a canonical state.
pub(super) fn encode(sums: &ClassSums, gram: Option<&[i128]>) -> Vec<u8> {
    let mut out =
        Vec::with_capacity(64 + ClassSums::bytes(sums.classes(), sums.dim()) + gram.map_or(0, |q| 16 * q.len()));
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.push(u8::from(gram.is_some()));
    out.extend((sums.dim() as u32).to_le_bytes());
    out.extend((sums.classes() as u64).to_le_bytes());
    for tallies in sums.history.tallies() {
        out.extend((tallies.len() as u32).to_le_bytes());
        for tally in tallies {
            out.extend(tally.exponent.to_le_bytes());
            out.extend(tally.rows.to_le_bytes());
            out.extend(tally.changed.to_le_bytes());
        }
    }
    sums.labels.iter().for_each(|label| put_label(&mut out, label));
    sums.counts.iter().for_each(|n| out.extend(n.to_le_bytes()));
    for rows in [&sums.shifts, &sums.sums] {
        rows.chunks_exact(sums.dim.max(1)).for_each(|row| put_packed(&mut out, row));
    }
    sums.squares.iter().for_each(|t| out.extend(t.to_le_bytes()));
    if let Some(gram) = gram {
        let column = |j| &gram[packed_column(sums.dim, j)..][..sums.dim - j];
        (0..sums.dim).for_each(|j| put_packed(&mut out, column(j)));
    }
    out
}

/// Reads a canonical state, and refuses what is none; that the trace of a scatter is right is left to the caller.
pub(super) fn decode(bytes: &[u8]) -> Result<(ClassSums, Option<Vec<i128>>)> {
    let mut input = Input::new(bytes);
    if input.take::<4>()? != *MAGIC {
        return Err(Error::data("not a state"));
    }
    let version = u16::from_le_bytes(input.take()?);
    if version != VERSION {
        return Err(Error::data("a state of another version").with("version", version).with("known", VERSION));
    }
    let has_gram = match input.take()? {
        [0] => false,
        [1] => true,
        _ => return Err(broken()),
    };
    let dim = u32::from_le_bytes(input.take()?) as usize;
    let classes = usize::try_from(u64::from_le_bytes(input.take()?)).map_err(|_| broken())?;
    if (dim == 0) != (classes == 0) {
        return Err(broken());
    }
    let history = input.many(dim, 4, |input| {
        let count = u32::from_le_bytes(input.take()?) as usize;
        input.many(count, 18, |input| {
            Ok(Tally {
                exponent: i16::from_le_bytes(input.take()?),
                rows: u64::from_le_bytes(input.take()?),
                changed: u64::from_le_bytes(input.take()?),
            })
        })
    })?;
    let history = History::from_tallies(history).ok_or_else(broken)?;
    let labels = input.many(classes, 2, Input::label)?;
    let counts = input.many(classes, 8, |input| Ok(u64::from_le_bytes(input.take()?)))?;
    let cells = classes.checked_mul(dim).ok_or_else(broken)?;
    let mut rows = || Ok(input.many(classes, 2, |input| input.packed(dim))?.concat());
    let (shifts, sums): (Vec<i64>, Vec<i64>) = (rows()?, rows()?);
    let squares = input.many(classes, 32, |input| Ok(i256::from_le_bytes(input.take()?)))?;
    let gram = if has_gram {
        let mut left = dim;
        let columns = input.many(dim, 2, |input| {
            left -= 1;
            input.packed(left + 1)
        });
        Some(columns?.concat())
    } else {
        None
    };
    let rows = counts.iter().try_fold(0_u64, |rows, &n| rows.checked_add(n));
    let grid = history.grid();
    // The shift is the mean, rounded to even: what is left of it is at most half a step.
    let centred = |at: usize| {
        let (n, c, twice) = (counts[at / dim], shifts[at], u128::from(sums[at].unsigned_abs()) * 2);
        twice < u128::from(n) || (twice == u128::from(n) && c & 1 == 0)
    };
    let on_grid = |at: usize| grid.exponents()[at % dim].is_some() || (shifts[at] == 0 && sums[at] == 0);
    let canonical = input.is_empty()
        && rows.is_some_and(|rows| rows <= MAX_ROWS && history.covers_at_most(rows))
        && labels.windows(2).all(|pair| pair[0] < pair[1])
        && counts.iter().all(|&n| n > 0)
        && shifts.iter().all(|c| c.unsigned_abs() < 1 << VALUE_BITS)
        && (0..cells).all(|at| centred(at) && on_grid(at))
        && (0..classes).all(|k| is_sum_of_squares(squares[k], &sums[k * dim..][..dim], counts[k], &grid))
        && gram.as_ref().is_none_or(|gram| is_sum_of_products(gram, &grid));
    if !canonical {
        return Err(broken());
    }
    Ok((ClassSums::from_parts(grid, history, labels, counts, shifts, sums, squares), gram))
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
