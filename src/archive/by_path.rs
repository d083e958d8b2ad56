//! Labels that the path of a file says: a column of one value for all of its rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::container::{ArrayStream, Container, OpenUnit, StoredColumn, Strings, Unread, VectorStream};
use super::damage::damaged;
use super::dtype::VectorType;
use super::read_at::ReadAt;
use crate::batch::Label;
use crate::error::Result;

/// The columns of a file, and behind them the label of all of its rows.
#[derive(Debug)]
pub(super) struct LabelledByPath {
    inner: Arc<dyn Container>,
    columns: Vec<StoredColumn>,
    label: Label,
}

fn data_type(label: &Label) -> DataType {
    match label {
        Label::Bool(_) => DataType::Boolean,
        Label::Int(value) if i64::try_from(*value).is_ok() => DataType::Int64,
        Label::Int(_) => DataType::UInt64,
        Label::Text(_) => DataType::Utf8,
    }
}

impl LabelledByPath {
    pub(super) fn new(inner: Arc<dyn Container>, name: &str, label: &Label) -> Self {
        let mut columns = inner.columns().to_vec();
        columns.push(StoredColumn::new(name, data_type(label)));
        Self { inner, columns, label: label.clone() }
    }

    fn is_label(&self, column: usize) -> bool {
        column + 1 == self.columns.len()
    }

    /// These columns but for the label.
    fn own(&self, columns: &[usize]) -> Vec<usize> {
        columns.iter().copied().filter(|&column| !self.is_label(column)).collect()
    }
}

impl Container for LabelledByPath {
    fn fingerprint(&self) -> u64 {
        self.inner.fingerprint()
    }

    fn memory(&self) -> u64 {
        self.inner.memory()
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn unread(&self) -> &[Unread] {
        self.inner.unread()
    }

    fn units(&self) -> usize {
        self.inner.units()
    }

    fn rows(&self, unit: usize) -> u64 {
        self.inner.rows(unit)
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        self.inner.stored_bytes(unit, &self.own(columns))
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        self.inner.text_bytes(unit, &self.own(columns))
    }

    fn range(&self, unit: usize, column: usize) -> Option<(Label, Label)> {
        if self.is_label(column) {
            return Some((self.label.clone(), self.label.clone()));
        }
        self.inner.range(unit, column)
    }

    fn constant(&self, unit: usize, column: usize) -> Option<Label> {
        if self.is_label(column) { Some(self.label.clone()) } else { self.inner.constant(unit, column) }
    }

    fn check_readable(&self, columns: &[usize]) -> Result<()> {
        self.inner.check_readable(&self.own(columns))
    }

    fn has_checksums(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<bool> {
        if self.is_label(column) { Ok(true) } else { self.inner.has_checksums(bytes, column) }
    }

    fn file_of(&self, column: usize) -> Option<&str> {
        if self.is_label(column) { None } else { self.inner.file_of(column) }
    }

    fn class_names(&self, column: usize) -> Option<Vec<String>> {
        if self.is_label(column) { None } else { self.inner.class_names(column) }
    }

    fn first_length(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        self.inner.first_length(bytes, column)
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let (inner, label) = (self.inner.open_unit(bytes, unit), self.label.clone());
        Box::new(Unit { inner, column: self.columns.len() - 1, label, rows: self.rows(unit) })
    }
}

#[derive(Debug)]
struct Unit {
    inner: Box<dyn OpenUnit>,
    /// That of the label.
    column: usize,
    label: Label,
    rows: u64,
}

impl OpenUnit for Unit {
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, chunk: usize) -> Result<Box<dyn VectorStream>> {
        self.inner.vectors(column, kind, dim, chunk)
    }

    fn wide(&self, columns: &[usize], kind: VectorType) -> Result<Option<Box<dyn VectorStream>>> {
        self.inner.wide(columns, kind)
    }

    fn arrays(&self, columns: &[usize], rows: usize, strings: Strings) -> Result<Box<dyn ArrayStream>> {
        let own: Vec<usize> = columns.iter().copied().filter(|&column| column != self.column).collect();
        let inner = if own.is_empty() { None } else { Some(self.inner.arrays(&own, rows, strings)?) };
        if own.len() == columns.len()
            && let Some(inner) = inner
        {
            return Ok(inner);
        }
        Ok(Box::new(Arrays { inner, label: self.label.clone(), strings, left: self.rows }))
    }
}

/// Columns of the file, and the label last.
#[derive(Debug)]
struct Arrays {
    inner: Option<Box<dyn ArrayStream>>,
    label: Label,
    strings: Strings,
    left: u64,
}

impl ArrayStream for Arrays {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut arrays = self.inner.as_mut().map_or(Ok(Vec::new()), |inner| inner.next(rows))?;
        self.left = self.left.saturating_sub(rows as u64);
        let labels: ArrayRef = match &self.label {
            Label::Bool(value) => Arc::new(BooleanArray::from(vec![*value; rows])),
            Label::Int(value) => match i64::try_from(*value) {
                Ok(value) => Arc::new(Int64Array::from(vec![value; rows])),
                Err(_) => Arc::new(UInt64Array::from(vec![u64::try_from(*value).map_err(damaged)?; rows])),
            },
            Label::Text(text) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(text, rows))),
        };
        arrays.push(match (&self.label, self.strings) {
            (Label::Text(_), Strings::Dictionary) => {
                let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                cast(&labels, &kind).map_err(damaged)?
            }
            _ => labels,
        });
        Ok(arrays)
    }

    fn is_at_end(&mut self) -> Result<bool> {
        match &mut self.inner {
            Some(inner) => inner.is_at_end(),
            None => Ok(self.left == 0),
        }
    }
}
