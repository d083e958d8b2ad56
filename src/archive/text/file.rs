//! A table in text as a container.

use std::sync::Arc;

use super::records::Place;
use super::streams::{Layout, TextUnit};
use super::survey::Survey;
use crate::archive::container::{Container, OpenUnit, StoredColumn};
use crate::archive::fingerprint::sampled;
use crate::archive::read_at::ReadAt;
use crate::error::{Error, Result};

use super::kinds::Kind;
use super::records::Form;

/// A table that has been read through once.
#[derive(Debug)]
pub(in crate::archive) struct TextFile {
    fingerprint: u64,
    columns: Vec<StoredColumn>,
    layout: Arc<Layout>,
    lengths: Vec<Option<usize>>,
    rows: u64,
    unit_rows: u64,
    /// Where each unit begins.
    units: Vec<Place>,
    /// Bytes of the file.
    size: u64,
}

impl TextFile {
    /// Reads a file through.
    ///
    /// # Errors
    ///
    /// Those of [`Survey::of_table`].
    pub(super) fn open(bytes: &Arc<dyn ReadAt>, form: Form) -> Result<Self> {
        Self::new(bytes, Survey::of_table(bytes, form)?)
    }

    /// The file that was surveyed.
    pub(super) fn new(bytes: &Arc<dyn ReadAt>, survey: Survey) -> Result<Self> {
        let Survey { form, columns, kinds, lengths, first_texts, rows, unit_rows, units } = survey;
        let column = |((name, kind), first_text): ((&String, &Kind), Option<(u64, String)>)| StoredColumn {
            is_decimal: kind.is_numeric(),
            first_text,
            ..StoredColumn::new(name, kind.data_type())
        };
        Ok(Self {
            fingerprint: sampled(&**bytes)?,
            columns: columns.names.iter().zip(&kinds).zip(first_texts).map(column).collect(),
            layout: Arc::new(Layout { form, columns, kinds }),
            lengths,
            rows,
            unit_rows,
            units,
            size: bytes.size(),
        })
    }

    /// Bytes of a unit.
    fn bytes(&self, unit: usize) -> u64 {
        let end = self.units.get(unit + 1).map_or(self.size, |next| next.byte);
        end.saturating_sub(self.units[unit].byte)
    }
}

impl Container for TextFile {
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn memory(&self) -> u64 {
        (size_of_val(&self.units[..]) + 256 * self.columns.len()) as u64
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn units(&self) -> usize {
        self.units.len()
    }

    fn rows(&self, unit: usize) -> u64 {
        (self.rows - unit as u64 * self.unit_rows).min(self.unit_rows)
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        // To find a field, all before it are read.
        if columns.is_empty() { 0 } else { self.bytes(unit) }
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let has_text = columns.iter().any(|&column| self.layout.kinds[column] == Kind::Text);
        if has_text { self.bytes(unit) } else { 0 }
    }

    fn first_length(&self, _: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        match self.lengths[column] {
            Some(0) => Err(Error::data("the first feature vector is empty")),
            length => Ok(length),
        }
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let (bytes, layout) = (bytes.clone(), self.layout.clone());
        Box::new(TextUnit { bytes, layout, place: self.units[unit], rows: self.rows(unit) })
    }
}
