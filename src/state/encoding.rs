//! States as bytes: little-endian and canonical. Every length is checked before memory is allocated for it.
//!
//! ```text
//! "NCST"  version u16  kind u8 (0 class sums, 1 scatter)  D u32  K u64
//! D ×     count u32, count × (exponent i16, rows u64, changed u64, unresolved u64)
//! K ×     label: kind u8 (0 bool, 1 integer, 2 text), then u8 | i128 | length u32 and UTF-8
//! K ×     n u64
//! K ×     width u8, D × c in so many bytes
//! K ×     width u8, D × s
//! K ×     width u8, D × low
//! K ×     t i256
//! D ×     width u8, (D − j) × Q: column j of the lower triangle; scatter only
//! ```
//!
//! A width is the number of bytes of each integer in that row or column: the fewest that hold the largest, as two's
//! complement. Means lie some 2^20 steps from zero, `s` is at most half of `n`, and `low` is about as large as the square
//! root of `n`, so a class takes 7 to 9 bytes a dimension instead of 24.
//!
//! Version 1 has neither `unresolved` nor `low`: it has no residuals of the rows that it counts as changed.

use arrow::datatypes::i256;

use super::bytes::{Input, put_label, put_packed};
use super::low::Low;
use super::raw::{RawState, broken};
use crate::error::{Error, Result};
use crate::grid::ExponentRows;
use crate::kernels::gram::packed_column;

const MAGIC: &[u8; 4] = b"NCST";
/// The version that is written; all versions up to it are read.
const VERSION: u16 = 2;

/// Writes a state.
pub(super) fn encode(raw: &RawState) -> Vec<u8> {
    let RawState { dim, history, labels, counts, shifts, sums, low, squares, gram } = raw;
    let (dim, row) = (*dim, (*dim).max(1));
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.push(u8::from(gram.is_some()));
    out.extend((dim as u32).to_le_bytes());
    out.extend((labels.len() as u64).to_le_bytes());
    for tallies in history {
        out.extend((tallies.len() as u32).to_le_bytes());
        for tally in tallies {
            out.extend(tally.exponent.to_le_bytes());
            out.extend(tally.rows.to_le_bytes());
            out.extend(tally.changed.to_le_bytes());
            out.extend(tally.unresolved.to_le_bytes());
        }
    }
    for label in labels {
        put_label(&mut out, label);
    }
    for n in counts {
        out.extend(n.to_le_bytes());
    }
    for integers in [shifts, sums] {
        integers.chunks_exact(row).for_each(|integers| put_packed(&mut out, integers));
    }
    match low {
        Low::Narrow(low) => low.chunks_exact(row).for_each(|integers| put_packed(&mut out, integers)),
        Low::Wide(low) => low.chunks_exact(row).for_each(|integers| put_packed(&mut out, integers)),
    }
    for t in squares {
        out.extend(t.to_le_bytes());
    }
    if let Some(gram) = gram {
        let column = |j| &gram[packed_column(dim, j)..][..dim - j];
        (0..dim).for_each(|j| put_packed(&mut out, column(j)));
    }
    out
}

/// The version of an encoded state; `None` if there are too few bytes.
pub(crate) fn version(bytes: &[u8]) -> Option<u16> {
    bytes.get(4..6).map(|version| u16::from_le_bytes([version[0], version[1]]))
}

/// Writes an encoded state of any version again as this version does.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) if the bytes are not a state.
pub(crate) fn renew(bytes: &[u8]) -> Result<Vec<u8>> {
    decode(bytes).map(|raw| encode(&raw))
}

/// Reads a state; the caller checks its integers.
pub(super) fn decode(bytes: &[u8]) -> Result<RawState> {
    let mut input = Input::new(bytes);
    if input.take::<4>()? != *MAGIC {
        return Err(Error::data("not a state"));
    }
    let version = u16::from_le_bytes(input.take()?);
    if version == 0 || version > VERSION {
        return Err(Error::data("a state of another version").with("version", version).with("known", VERSION));
    }
    let with_residuals = version > 1;
    let has_gram = match input.take()? {
        [0] => false,
        [1] => true,
        _ => return Err(broken()),
    };
    let dim = u32::from_le_bytes(input.take()?) as usize;
    let classes = usize::try_from(u64::from_le_bytes(input.take()?)).map_err(|_| broken())?;
    let history = input.many(dim, 4, |input| {
        let count = u32::from_le_bytes(input.take()?) as usize;
        let number = |input: &mut Input<'_>| Ok(u64::from_le_bytes(input.take()?));
        input.many(count, if with_residuals { 26 } else { 18 }, |input| {
            let exponent = i16::from_le_bytes(input.take()?);
            let (rows, changed) = (number(input)?, number(input)?);
            let unresolved = if with_residuals { number(input)? } else { changed };
            Ok(ExponentRows { exponent, rows, changed, unresolved })
        })
    })?;
    let labels = input.many(classes, 2, Input::label)?;
    let counts = input.many(classes, 8, |input| Ok(u64::from_le_bytes(input.take()?)))?;
    let mut rows = || Ok(input.many(classes, 2, |input| input.packed(dim))?.concat());
    let (shifts, sums): (Vec<i64>, Vec<i64>) = (rows()?, rows()?);
    let low = if with_residuals {
        let mut low = Low::default();
        input.many(classes, 2, |input| {
            input.packed(dim)?.into_iter().for_each(|value| low.push(value));
            Ok(())
        })?;
        low
    } else {
        Low::zeros(shifts.len())
    };
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
    Ok(RawState { dim, history, labels, counts, shifts, sums, low, squares, gram })
}
