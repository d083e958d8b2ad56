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
use super::class_sums::ClassSums;
use super::parts::{Parts, broken};
use crate::error::{Error, Result};
use crate::grid::Tally;
use crate::kernels::gram::packed_column;

const MAGIC: &[u8; 4] = b"NCST";
const VERSION: u16 = 1;

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

/// Reads the parts of a state, which are still to be checked.
pub(super) fn decode(bytes: &[u8]) -> Result<Parts> {
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
    let labels = input.many(classes, 2, Input::label)?;
    let counts = input.many(classes, 8, |input| Ok(u64::from_le_bytes(input.take()?)))?;
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
    if !input.is_empty() {
        return Err(broken());
    }
    Ok(Parts { dim, history, labels, counts, shifts, sums, squares, gram })
}
