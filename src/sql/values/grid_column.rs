//! How a row brings the grid of its chunk along: one column, hidden from the user.
//!
//! Its type is a dictionary of binary values, one value a chunk: the exponents of the chunk's grid, where the chunk lies, and
//! how precisely its vectors are stored. A batch of rows shares its few values, whatever is filtered, sorted, joined or repartitioned.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, DictionaryArray, Int32Array};
use arrow::datatypes::{DataType, Int32Type};

use crate::archive::ChunkGrid;
use crate::error::{Error, Result};
use crate::grid::Grid;

/// The type of the column.
pub(in crate::sql) fn data_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Binary))
}

/// Where a chunk lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sql) struct Origin {
    pub(in crate::sql) file: String,
    pub(in crate::sql) row_group: u32,
}

/// The grids of consecutive chunks as a column. Rows of a chunk without a well-formed row are null.
pub(in crate::sql) fn encode(chunks: &[ChunkGrid], origin: &Origin) -> Result<ArrayRef> {
    let mut keys: Vec<Option<i32>> = Vec::new();
    let mut values: Vec<Vec<u8>> = Vec::new();
    for chunk in chunks {
        let key = chunk.grid.as_ref().map(|grid| {
            values.push(value(grid, chunk.significand_bits, origin));
            values.len() as i32 - 1
        });
        keys.extend(std::iter::repeat_n(key, chunk.rows));
    }
    let values = Arc::new(BinaryArray::from_iter_values(values));
    let array = DictionaryArray::<Int32Type>::try_new(Int32Array::from(keys), values)
        .map_err(|error| Error::internal("cannot build the hidden grid column").caused_by(error))?;
    Ok(Arc::new(array))
}

/// An exponent that stands for none.
const NONE: i16 = i16::MIN;

fn value(grid: &Grid, significand_bits: u32, origin: &Origin) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + origin.file.len() + 2 * grid.dim());
    bytes.extend(significand_bits.to_le_bytes());
    bytes.extend(origin.row_group.to_le_bytes());
    bytes.extend((origin.file.len() as u32).to_le_bytes());
    bytes.extend(origin.file.as_bytes());
    for exponent in grid.exponents() {
        bytes.extend(exponent.unwrap_or(NONE).to_le_bytes());
    }
    bytes
}

/// What a column says of its rows.
pub(in crate::sql) struct Grids {
    /// For each row an index into `chunks`; `None` where the row brings nothing along.
    pub(in crate::sql) of_row: Vec<Option<u32>>,
    pub(in crate::sql) chunks: Vec<Carried>,
}

/// A chunk that rows bring along.
pub(in crate::sql) struct Carried {
    pub(in crate::sql) grid: Grid,
    /// Of its vectors as they are stored.
    pub(in crate::sql) significand_bits: u32,
    pub(in crate::sql) origin: Origin,
}

/// Reads a column; equal values, which joins and unions may repeat, are one chunk.
pub(in crate::sql) fn decode(column: &ArrayRef) -> Result<Grids> {
    let broken = || Error::internal("the hidden grid column has the wrong type");
    let dictionary = column.as_any_dictionary_opt().ok_or_else(broken)?;
    let keys = dictionary.keys().as_primitive_opt::<Int32Type>().ok_or_else(broken)?;
    let values = dictionary.values().as_binary_opt::<i32>().ok_or_else(broken)?;
    let mut chunks: Vec<Carried> = Vec::new();
    let mut texts: Vec<&[u8]> = Vec::new();
    let mut known: Vec<Option<u32>> = vec![None; values.len()];
    let mut of_row = Vec::with_capacity(keys.len());
    for key in keys {
        let Some(key) = key.filter(|&key| values.is_valid(key as usize)) else {
            of_row.push(None);
            continue;
        };
        let key = key as usize;
        if known[key].is_none() {
            let text = values.value(key);
            let at = if let Some(at) = texts.iter().position(|other| *other == text) {
                at
            } else {
                texts.push(text);
                chunks.push(parse(text).ok_or_else(broken)?);
                chunks.len() - 1
            };
            known[key] = Some(at as u32);
        }
        of_row.push(known[key]);
    }
    Ok(Grids { of_row, chunks })
}

fn parse(bytes: &[u8]) -> Option<Carried> {
    let (significand_bits, rest) = bytes.split_first_chunk::<4>()?;
    let (row_group, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (file, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let (exponents, []) = rest.as_chunks::<2>() else { return None };
    let exponents = exponents.iter().map(|&bytes| Some(i16::from_le_bytes(bytes)).filter(|&e| e != NONE)).collect();
    let file = String::from_utf8(file.to_vec()).ok()?;
    let origin = Origin { file, row_group: u32::from_le_bytes(*row_group) };
    Some(Carried { grid: Grid::new(exponents), significand_bits: u32::from_le_bytes(*significand_bits), origin })
}

#[cfg(test)]
mod tests {
    use arrow::compute::{concat, take};

    use super::*;

    fn origin() -> Origin {
        Origin { file: "a b/é.parquet".to_owned(), row_group: 7 }
    }

    #[test]
    fn rows_keep_their_grid_through_selection_and_concatenation() {
        let grid = |e: i16| Grid::new(vec![Some(e), None, Some(-1022)]);
        let chunks = [
            ChunkGrid { rows: 2, grid: Some(grid(-5)), significand_bits: 8 },
            ChunkGrid { rows: 1, grid: None, significand_bits: 8 },
            ChunkGrid { rows: 2, grid: Some(grid(3)), significand_bits: 8 },
        ];
        let column = encode(&chunks, &origin()).unwrap();
        assert_eq!(column.data_type(), &data_type());
        let both = concat(&[&column, &column]).unwrap();
        let taken = take(&both, &Int32Array::from(vec![9, 0, 2, 5]), None).unwrap();
        let grids = decode(&taken).unwrap();
        let found: Vec<Option<i16>> =
            (grids.of_row.iter()).map(|at| at.and_then(|at| grids.chunks[at as usize].grid.exponents()[0])).collect();
        assert_eq!(found, [Some(3), Some(-5), None, Some(-5)]);
        assert_eq!(grids.chunks.len(), 2);
        assert!(grids.chunks.iter().all(|chunk| chunk.origin == origin() && chunk.significand_bits == 8));
    }

    #[test]
    fn what_is_no_grid_is_refused() {
        let column: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"x"]));
        assert!(decode(&column).is_err());
        assert!(parse(&value(&Grid::new(vec![Some(1)]), 24, &origin())[..24]).is_none());
    }
}
