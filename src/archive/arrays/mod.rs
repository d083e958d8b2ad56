//! Files of plain arrays: what `.npy`, `.npz`, `.safetensors` and `.pt` have in common once their headers are read.
//!
//! Units are the rows that a chunk of the widest vectors has, [`chunk_rows`], or 65,536 in a file without vectors. A file
//! with compressed arrays is one unit, since these can only be read from their beginning; its chunks are the same.

mod bytes;
mod columns;
mod elements;
mod streams;

use std::sync::Arc;

use self::columns::{Chosen, Column, Content};
use self::streams::ArrayUnit;
use super::checksums::{Checksums, Summed, SummedFile};
use super::container::{ArrayNames, Container, OpenUnit, StoredColumn, Unread};
use super::read_at::ReadAt;
use super::rows::chunk_rows;
use crate::batch::Label;
use crate::error::{Error, Result};

pub(super) use bytes::{Deflated, Inflater, Place};
pub(super) use columns::{StoredArray, unequal_rows};
pub(super) use elements::{Element, Kind};

/// Rows of a unit of labels alone.
const LABEL_ROWS: u64 = 1 << 16;

/// Bytes of memory for each array of a file.
const ARRAY_MEMORY: u64 = 512;

/// A file whose arrays are known.
#[derive(Debug)]
pub(super) struct ArrayFile {
    fingerprint: u64,
    columns: Vec<StoredColumn>,
    contents: Arc<Vec<Column>>,
    /// Rows of a layer.
    rows: u64,
    layers: u64,
    unit_rows: u64,
    checksums: Arc<Checksums>,
    unread: Vec<Unread>,
}

impl ArrayFile {
    /// Chooses the columns among arrays whose elements lie within the file: those of `names`, or all that can be columns.
    /// `layers` says whether arrays of three dimensions are layer × row × D.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if there are no such arrays, or it is not clear which are meant;
    /// [`Data`](crate::error::ErrorKind::Data) if they hold no vectors or labels, or differ in their rows.
    pub(super) fn new(
        arrays: &[StoredArray],
        names: Option<&ArrayNames>,
        layers: bool,
        fingerprint: u64,
    ) -> Result<Self> {
        let chosen = match names {
            Some(names) => columns::named(arrays, names, layers)?,
            None => columns::all(arrays, layers)?,
        };
        let Chosen { columns, contents, rows, layers } = chosen;
        let arrays = || {
            contents.iter().filter_map(|column| match column {
                Column::Array(content) => Some(content),
                Column::Layer => None,
            })
        };
        let widest = arrays().filter(|content| content.is_vectors()).map(|content| content.dim).max();
        let is_deflated = arrays().any(|content| matches!(content.place, Place::Deflated(_)));
        let unit_rows = match widest {
            _ if is_deflated => rows.max(1),
            Some(dim) => chunk_rows(dim) as u64,
            None => LABEL_ROWS,
        };
        usize::try_from(rows.div_ceil(unit_rows))
            .ok()
            .and_then(|units| units.checked_mul(usize::try_from(layers).ok()?))
            .filter(|units| u32::try_from(*units).is_ok())
            .ok_or_else(|| Error::resource("the file has too many rows"))?;
        let (contents, checksums) = (Arc::new(contents), Arc::default());
        Ok(Self { fingerprint, columns, contents, rows, layers, unit_rows, checksums, unread: Vec::new() })
    }

    /// The same, in which these members have checksums.
    pub(super) fn with_checksums(self, members: Vec<Summed>) -> Self {
        Self { checksums: Arc::new(Checksums::new(members)), ..self }
    }

    /// The same, which has these arrays besides.
    pub(super) fn with_unread(self, unread: Vec<Unread>) -> Self {
        Self { unread, ..self }
    }

    /// The layer of a unit, and its first row there.
    fn place(&self, unit: usize) -> (u64, u64) {
        let each = self.rows.div_ceil(self.unit_rows).max(1);
        (unit as u64 / each, unit as u64 % each * self.unit_rows)
    }

    fn content(&self, column: usize) -> Option<&Content> {
        match &self.contents[column] {
            Column::Array(content) => Some(content),
            Column::Layer => None,
        }
    }
}

impl Container for ArrayFile {
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn memory(&self) -> u64 {
        ARRAY_MEMORY * self.columns.len() as u64 + self.checksums.memory()
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn unread(&self) -> &[Unread] {
        &self.unread
    }

    fn units(&self) -> usize {
        (self.rows.div_ceil(self.unit_rows) * self.layers) as usize
    }

    fn rows(&self, unit: usize) -> u64 {
        let (_, first) = self.place(unit);
        (self.rows - first).min(self.unit_rows)
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let rows = self.rows(unit);
        let bytes = |content: &Content| match content.place {
            Place::Deflated(range) => range.compressed,
            Place::At(_) | Place::Pitched { .. } => rows.saturating_mul(content.width() as u64),
        };
        columns.iter().filter_map(|&column| self.content(column)).map(bytes).fold(0, u64::saturating_add)
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let rows = self.rows(unit);
        let texts =
            columns.iter().filter_map(|&column| self.content(column)).filter(|content| content.element.is_text());
        texts.map(|content| rows.saturating_mul(content.width() as u64)).fold(0, u64::saturating_add)
    }

    fn range(&self, unit: usize, column: usize) -> Option<(Label, Label)> {
        let layer = self.constant(unit, column)?;
        Some((layer.clone(), layer))
    }

    fn constant(&self, unit: usize, column: usize) -> Option<Label> {
        let (layer, _) = self.place(unit);
        self.content(column).is_none().then_some(Label::Int(layer.into()))
    }

    fn check_readable(&self, columns: &[usize]) -> Result<()> {
        let deflated =
            |content: &&Content| content.column_major && content.dim > 1 && matches!(content.place, Place::Deflated(_));
        if columns.iter().filter_map(|&column| self.content(column)).any(|content| deflated(&content)) {
            return Err(Error::data("a compressed array in Fortran order would have to be held in memory as a whole")
                .help("save it in C order, np.ascontiguousarray(x), or without compression, np.savez"));
        }
        Ok(())
    }

    fn has_checksums(&self, _: &Arc<dyn ReadAt>, column: usize) -> Result<bool> {
        Ok(self.content(column).is_some_and(|content| match content.place {
            Place::Deflated(_) => true,
            Place::At(start) => {
                let bytes = content.rows.checked_mul(content.width() as u64);
                bytes.is_some_and(|bytes| self.checksums.cover(start, bytes))
            }
            Place::Pitched { .. } => false,
        }))
    }

    fn first_length(&self, _: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        Ok(self.content(column).map(|content| content.dim))
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let (layer, first) = self.place(unit);
        let (bytes, columns) = (SummedFile::over(bytes, &self.checksums), self.contents.clone());
        Box::new(ArrayUnit { bytes, columns, layer, first, rows: self.rows(unit) })
    }
}
