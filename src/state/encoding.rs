//! States as bytes: little-endian, canonical, every length checked before anything is allocated.
//!
//! ```text
//! "NCST"  version u16  kind u8 (0 class sums, 1 scatter)  D u32  K u64
//! D ×     count u32, count × (exponent i16, rows u64, changed u64)
//! K ×     label: kind u8 (0 bool, 1 integer, 2 text), then u8 | i128 | length u32 and UTF-8
//! K ×     n u64
//! K × D × c i64
//! K × D × s i64
//! K ×     t i256
//! D(D+1)/2 × Q i128, the lower triangle by columns; scatter only
//! ```

use arrow::datatypes::i256;

use super::class_sums::ClassSums;
use super::parts::{Parts, broken};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::grid::Tally;
use crate::kernels::gram::packed_len;

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
    for label in &sums.labels {
        match label {
            Label::Bool(value) => out.extend([0, u8::from(*value)]),
            Label::Int(value) => {
                out.push(1);
                out.extend(value.to_le_bytes());
            }
            Label::Text(value) => {
                out.push(2);
                out.extend((value.len() as u32).to_le_bytes());
                out.extend(value.as_bytes());
            }
        }
    }
    sums.counts.iter().for_each(|n| out.extend(n.to_le_bytes()));
    sums.shifts.iter().for_each(|c| out.extend(c.to_le_bytes()));
    sums.sums.iter().for_each(|s| out.extend(s.to_le_bytes()));
    sums.squares.iter().for_each(|t| out.extend(t.to_le_bytes()));
    gram.into_iter().flatten().for_each(|q| out.extend(q.to_le_bytes()));
    out
}

/// Reads the parts of a state, which are still to be checked.
pub(super) fn decode(bytes: &[u8]) -> Result<Parts> {
    let mut input = Input(bytes);
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
    let cells = classes.checked_mul(dim).ok_or_else(broken)?;
    let shifts = input.many(cells, 8, |input| Ok(i64::from_le_bytes(input.take()?)))?;
    let sums = input.many(cells, 8, |input| Ok(i64::from_le_bytes(input.take()?)))?;
    let squares = input.many(classes, 32, |input| Ok(i256::from_le_bytes(input.take()?)))?;
    let gram = if has_gram {
        Some(input.many(packed_len(dim), 16, |input| Ok(i128::from_le_bytes(input.take()?)))?)
    } else {
        None
    };
    if !input.0.is_empty() {
        return Err(broken());
    }
    Ok(Parts { dim, history, labels, counts, shifts, sums, squares, gram })
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(broken)?;
        self.0 = rest;
        Ok(*head)
    }

    /// `count` items of at least `size` bytes each, refused before any memory is taken if there are not so many bytes.
    fn many<T>(&mut self, count: usize, size: usize, mut item: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(broken());
        }
        (0..count).map(|_| item(self)).collect()
    }

    fn label(&mut self) -> Result<Label> {
        Ok(match self.take()? {
            [0] => match self.take()? {
                [bit @ 0..=1] => Label::Bool(bit == 1),
                _ => return Err(broken()),
            },
            [1] => Label::Int(i128::from_le_bytes(self.take()?)),
            [2] => {
                let length = u32::from_le_bytes(self.take()?) as usize;
                let (text, rest) = self.0.split_at_checked(length).ok_or_else(broken)?;
                self.0 = rest;
                Label::Text(std::str::from_utf8(text).map_err(|_| broken())?.into())
            }
            _ => return Err(broken()),
        })
    }
}
