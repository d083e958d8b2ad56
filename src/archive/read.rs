//! Reading a unit, chunk by chunk.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::chunk::{Position, assemble};
use super::codes::{Coded, coded, coded_any};
use super::container::{ArrayStream, Container, OpenUnit, Strings, VectorStream};
use super::damage::damaged;
use super::escape::escaped;
use super::file::File;
use super::grouping::Grouping;
use super::opened::Archive;
use super::read_at::ReadAt;
use super::rows::{Decoded, Unit, chunk_rows};
use crate::batch::Label;
use crate::error::{Error, Result};

impl Archive {
    /// Opens a unit, if its file still is what was planned.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file has changed or is damaged.
    pub fn read(&self, unit: usize) -> Result<UnitReader<'_>> {
        UnitReader::open(self, unit)
    }
}

/// A unit being read.
#[derive(Debug)]
pub struct UnitReader<'a> {
    rows: Rows<'a>,
    vectors: Box<dyn VectorStream>,
    dim: usize,
}

/// The rows of a unit without their vectors, and where they lie.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    pub(super) archive: &'a Archive,
    unit: &'a Unit,
    file: &'a File,
    bytes: Arc<dyn ReadAt>,
    container: Arc<dyn Container>,
    /// Columns of labels and keys.
    roots: Vec<usize>,
    /// `None` if neither labels nor keys are columns.
    scalars: Option<Box<dyn ArrayStream>>,
    /// The unit's first row in its file.
    first: u64,
    pub(super) done: u64,
}

impl<'a> UnitReader<'a> {
    fn open(archive: &'a Archive, unit: usize) -> Result<Self> {
        let at = &archive.units()[unit];
        let dim = archive.file_dim(at.file)?.unwrap_or(0);
        let rows = chunk_rows(dim);
        let (rows, opened) = Rows::open(archive, unit, rows)?;
        let columns = &rows.file.columns;
        let vectors = opened.vectors(columns.features, columns.vectors, dim, chunk_rows(dim));
        let vectors = vectors.map_err(|error| rows.locate(error))?;
        Ok(Self { rows, vectors, dim })
    }

    /// The next chunk that holds rows which are asked for; `None` after the last one, when the file has been found
    /// unchanged. After an error the reader is of no more use.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with file, row group and row for what cannot be used, and for a file
    /// that is damaged or has changed.
    #[expect(clippy::should_implement_trait, reason = "an iterator would have to say what comes after an error")]
    pub fn next(&mut self) -> Result<Option<Decoded>> {
        while let Some(count) = self.rows.left(chunk_rows(self.dim)) {
            let decoded = self.decode(count).map_err(|error| self.rows.locate(error))?;
            self.rows.done += count as u64;
            if !decoded.parts.is_empty() {
                return Ok(Some(decoded));
            }
        }
        let more = self.vectors.is_at_end().map(|end| !end);
        more.and_then(|more| self.rows.finish(more)).map_err(|error| self.rows.locate(error))?;
        Ok(None)
    }

    fn decode(&mut self, count: usize) -> Result<Decoded> {
        let position = Position { base: self.rows.done, in_file: self.rows.first + self.rows.done };
        let rules = &self.rows.archive.rules;
        if let Some(values) = self.rows.archive.spare() {
            self.vectors.reuse(values);
        }
        let vectors = self.vectors.next(count, position.base);
        let vectors = vectors.map_err(|error| error.with_default("column", &rules.features))?;
        let (labels, grouping) = self.rows.next(count)?;
        assemble(rules, self.dim, position, vectors, labels, grouping)
    }
}

impl<'a> Rows<'a> {
    pub(super) fn open(archive: &'a Archive, unit: usize, rows: usize) -> Result<(Self, Box<dyn OpenUnit>)> {
        let first = archive.starts[unit];
        let unit = &archive.units()[unit];
        let file = &archive.files()[unit.file];
        let (bytes, container) = archive.container(unit.file)?;
        let opened = container.open_unit(&bytes, unit.row_group);
        let roots = file.columns.scalars();
        let mut this = Self { archive, unit, file, bytes, container, roots, scalars: None, first, done: 0 };
        if !this.roots.is_empty() {
            let scalars = opened.arrays(&this.roots, rows, Strings::Dictionary);
            this.scalars = Some(scalars.map_err(|error| this.locate(error))?);
        }
        Ok((this, opened))
    }

    /// How many rows the next chunk has; `None` after the last one.
    pub(super) fn left(&self, most: usize) -> Option<usize> {
        let left = self.unit.rows - self.done;
        (left > 0).then(|| left.min(most as u64) as usize)
    }

    /// Labels and groups of the next `count` rows.
    pub(super) fn next(&mut self, count: usize) -> Result<(Coded, Grouping)> {
        let columns = &self.file.columns;
        let mut coded = self.scalars(count)?;
        for twin in &columns.twins {
            let column = coded.get(&twin.root).ok_or_else(|| Error::internal("a key's column was not read"))?;
            twin.check(column, self.done)?;
        }
        let grouping = Grouping::new(&self.archive.group_by, columns, &self.archive.filters, &coded, count, self.done)?;
        if let Some(key) = &self.unit.key
            && grouping.keys.iter().any(|found| found != key)
        {
            return Err(damaged("the statistics of a group column contradict its rows"));
        }
        let any = self.archive.rules.any_labels;
        let labels = match columns.labels {
            Some(root) => coded.remove(&root).ok_or_else(|| Error::internal("the labels were not read"))?,
            None if any => Coded::unlabelled(count),
            None => Coded { codes: vec![0; count], values: vec![Label::Int(0)] },
        };
        let labels = if any { labels.with_nulls_as_class() } else { labels };
        Ok((labels, grouping))
    }

    /// The columns of labels and keys in the next `count` rows.
    fn scalars(&mut self, count: usize) -> Result<HashMap<usize, Coded>> {
        let Some(scalars) = &mut self.scalars else { return Ok(HashMap::new()) };
        // In a column whose values only tell rows apart, no value is refused.
        let any = self.file.columns.labels.filter(|_| self.archive.rules.any_labels);
        let encode = |(&root, array): (&usize, ArrayRef)| {
            let coded = if any == Some(root) { coded_any(&array) } else { coded(&array, self.done) };
            let name = || escaped(&self.container.columns()[root].name);
            Ok((root, coded.map_err(|error| error.with("column", name()))?))
        };
        self.roots.iter().zip(scalars.next(count)?).map(encode).collect()
    }

    /// Nothing may be left, and the file must be what it was.
    pub(super) fn finish(&mut self, more: bool) -> Result<()> {
        let end = self.scalars.as_mut().map_or(Ok(true), |scalars| scalars.is_at_end())?;
        if more || !end {
            return Err(damaged("there are more rows than the footer says"));
        }
        self.file.pinned().check_unchanged(&*self.bytes)
    }

    /// Says where an error arose; its row, if any, is counted within the row group.
    pub(super) fn locate(&self, error: Error) -> Error {
        let row: Option<u64> = error.fact("row").and_then(|row| row.parse().ok());
        let error = error.with_default("file", &self.file.shown).with_default("row group", self.unit.row_group);
        match row {
            Some(row) => error.with_default("row in file", self.first + row),
            None => error,
        }
    }
}
