//! A second format, for tests alone: one label and one vector a row, in units of a fixed number of rows.
//!
//! What is read from it is compared with the same rows in Parquet, so that nothing above [`Container`] can come to depend
//! on Parquet.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};

use super::container::{ArrayStream, Container, Format, OpenUnit, StoredColumn, Strings, VectorStream};
use super::damage::damaged;
use super::dtype::VectorType;
use super::read_at::ReadAt;
use super::row_policy::RowDefect;
use super::rows::Values;
use super::vectors::Vectors;
use crate::batch::Label;
use crate::error::{Error, Result};

/// What files begin with.
const MAGIC: &[u8; 8] = b"NCROWS\0\0";

/// The columns.
const LABEL: usize = 0;
const FEATURE: usize = 1;

/// The format: after the magic the rows of a unit and `D`, then each row as a label and `D` numbers, little-endian.
#[derive(Debug)]
pub(super) struct RowsFormat;

/// All rows of a file.
#[derive(Debug)]
struct RowsFile {
    fingerprint: u64,
    columns: Vec<StoredColumn>,
    unit_rows: usize,
    dim: usize,
    labels: Vec<i64>,
    values: Vec<f32>,
}

/// The rows of a unit, as far as they have not been read.
#[derive(Clone, Debug)]
struct UnitRows {
    labels: Vec<i64>,
    values: Vec<f32>,
    dim: usize,
    columns: Vec<usize>,
}

/// A file of these rows.
fn file_of(unit_rows: usize, dim: usize, labels: &[i64], values: &[f32]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((unit_rows as u64).to_le_bytes());
    bytes.extend((dim as u64).to_le_bytes());
    for (label, vector) in labels.iter().zip(values.chunks(dim)) {
        bytes.extend(label.to_le_bytes());
        bytes.extend(vector.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}

impl Format for RowsFormat {
    fn what(&self) -> &'static str {
        "rows"
    }

    fn precedence(&self) -> u8 {
        0
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(bytes.size())
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        let mut all = vec![0; bytes.size() as usize];
        bytes.read_at(0, &mut all).map_err(|error| Error::io("cannot read").caused_by(error))?;
        let words = all[8..].as_chunks::<4>().0;
        let long = |at: usize| i64::from_le_bytes([words[at], words[at + 1]].concat().try_into().unwrap());
        let (unit_rows, dim) = (long(0) as usize, long(2) as usize);
        let rows = (words.len() - 4) / (2 + dim);
        if words.len() != 4 + rows * (2 + dim) {
            return Err(damaged("a row is not whole"));
        }
        let start = |row: usize| 4 + row * (2 + dim);
        let labels = (0..rows).map(|row| long(start(row))).collect();
        let vector = |row: usize| words[start(row) + 2..start(row + 1)].iter().map(|&word| f32::from_le_bytes(word));
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        Ok(Arc::new(RowsFile {
            fingerprint: all.iter().fold(7, |hash: u64, &byte| hash.wrapping_mul(31).wrapping_add(byte.into())),
            columns: vec![
                StoredColumn::new("label", DataType::Int64),
                StoredColumn::new("feature", DataType::FixedSizeList(item, dim as i32)),
            ],
            unit_rows,
            dim,
            labels,
            values: (0..rows).flat_map(vector).collect(),
        }))
    }
}

impl Container for RowsFile {
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn memory(&self) -> u64 {
        (size_of_val(&self.labels[..]) + size_of_val(&self.values[..])) as u64
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn units(&self) -> usize {
        self.labels.len().div_ceil(self.unit_rows)
    }

    fn rows(&self, unit: usize) -> u64 {
        (self.labels.len() - unit * self.unit_rows).min(self.unit_rows) as u64
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let width = |&column: &usize| if column == LABEL { 8 } else { 4 * self.dim as u64 };
        columns.iter().map(width).sum::<u64>() * self.rows(unit)
    }

    fn text_bytes(&self, _: usize, _: &[usize]) -> u64 {
        0
    }

    fn first_length(&self, _: &Arc<dyn ReadAt>, _: usize) -> Result<Option<usize>> {
        Ok(Some(self.dim))
    }

    fn open_unit(&self, _: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let first = unit * self.unit_rows;
        let rows = first..first + self.rows(unit) as usize;
        Box::new(UnitRows {
            labels: self.labels[rows.clone()].to_vec(),
            values: self.values[rows.start * self.dim..rows.end * self.dim].to_vec(),
            dim: self.dim,
            columns: Vec::new(),
        })
    }
}

impl OpenUnit for UnitRows {
    fn vectors(&self, column: usize, _: VectorType, dim: usize, _: usize) -> Result<Box<dyn VectorStream>> {
        assert_eq!((column, dim), (FEATURE, self.dim));
        Ok(Box::new(self.clone()))
    }

    fn arrays(&self, columns: &[usize], _: usize, _: Strings) -> Result<Box<dyn ArrayStream>> {
        Ok(Box::new(Self { columns: columns.to_vec(), ..self.clone() }))
    }
}

impl VectorStream for UnitRows {
    fn next(&mut self, rows: usize, _: u64) -> Result<Vectors> {
        let values: Vec<f32> = self.values.drain(..rows * self.dim).collect();
        let defect = |(row, vector): (usize, &[f32])| {
            let dimension = vector.iter().position(|value| !value.is_finite())?;
            Some((row as u32, RowDefect::NonFinite { dimension, value: vector[dimension].into() }))
        };
        let defects = values.chunks(self.dim).enumerate().filter_map(defect).collect();
        Ok(Vectors { values: Values::F32(values), defects })
    }

    fn reuse(&mut self, _: Values) {}

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.values.is_empty())
    }
}

impl ArrayStream for UnitRows {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        assert!(self.columns.iter().all(|&column| column == LABEL));
        let labels: Vec<i64> = self.labels.drain(..rows).collect();
        Ok(self.columns.iter().map(|_| Arc::new(Int64Array::from(labels.clone())) as ArrayRef).collect())
    }

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.labels.is_empty())
    }
}

mod tests;
