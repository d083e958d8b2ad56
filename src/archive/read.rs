//! Reading a unit, chunk by chunk.

use std::collections::HashMap;

use arrow::array::ArrayRef;

use super::chunk::{Position, assemble};
use super::codes::{Coded, coded, coded_any, nan_as_null};
use super::container::Strings;
use super::damage::damaged;
use super::escape::escaped;
use super::file_columns::FileColumns;
use super::grouping::Grouping;
use super::opened::Archive;
use super::request::Policy;
use super::rows::{DecodedChunk, chunk_rows};
use super::rows_seen::{Noted, Watched};
use super::unit_rows::UnitRows;
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
    archive: &'a Archive,
    columns: &'a FileColumns,
    rows: UnitRows,
    dim: usize,
}

impl<'a> UnitReader<'a> {
    fn open(archive: &'a Archive, unit: usize) -> Result<Self> {
        let unit = &archive.units()[unit];
        let dim = archive.file_dim(unit.file)?.unwrap_or(0);
        let columns = &archive.columns[unit.file];
        let (vectors, roots) = ([(&columns.features, dim)], columns.scalars());
        let rows = UnitRows::open(&archive.catalogue, unit, &vectors, roots, chunk_rows(dim), Strings::Dictionary)?;
        Ok(Self { archive, columns, rows, dim })
    }

    /// The next chunk that holds rows which are asked for; `None` after the last one, when the file has been found
    /// unchanged. After an error the reader is of no more use.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with file, row group and row for what cannot be used, and for a file
    /// that is damaged or has changed.
    #[expect(clippy::should_implement_trait, reason = "an iterator would have to say what comes after an error")]
    pub fn next(&mut self) -> Result<Option<DecodedChunk>> {
        let catalogue = &self.archive.catalogue;
        while let Some(count) = self.rows.left(chunk_rows(self.dim)) {
            let decoded = self.decode(count).map_err(|error| self.rows.locate(catalogue, error))?;
            self.rows.advance(count);
            if !decoded.parts.is_empty() {
                return Ok(Some(decoded));
            }
        }
        self.rows.finish(catalogue).map_err(|error| self.rows.locate(catalogue, error))?;
        Ok(None)
    }

    fn decode(&mut self, count: usize) -> Result<DecodedChunk> {
        let base = self.rows.done();
        let position = Position { base, in_file: self.rows.unit().first + base };
        let archive = self.archive;
        if let Some(values) = self.archive.spare() {
            self.rows.reuse(0, values);
        }
        let vectors = self.rows.vectors(0, count, 0);
        let vectors = vectors.map_err(|error| error.with_default("column", escaped(&archive.features.name)))?;
        let (labels, grouping, watched) = labels_and_groups(self.archive, self.columns, &mut self.rows, count)?;
        let chunk = assemble(&archive.policy, self.dim, position, vectors, labels, grouping)?;
        self.note(&chunk, position.in_file, &watched);
        Ok(chunk)
    }

    /// Keeps what the rows that are used show beside their groups; `first` is that of the chunk in the file.
    fn note(&self, chunk: &DecodedChunk, first: u64, watched: &Watched) {
        let file = self.columns.groups_by_rows().then_some(self.rows.unit().file);
        let row = |at: usize| (chunk.file_rows[at] - first) as usize;
        self.archive.note(chunk.parts.iter().filter_map(|part| match &part.rows {
            Some(rows) => Noted::of(&part.key, file, watched, &rows.iter().map(|&at| row(at as usize))),
            None => Noted::of(&part.key, file, watched, &(0..chunk.file_rows.len()).map(row)),
        }));
    }
}

/// The same array; if these are labels and rows with nulls are skipped, a NaN stands for a label that is missing.
fn missing(array: ArrayRef, archive: &Archive, are_labels: bool) -> ArrayRef {
    if are_labels && archive.policy.nulls == Policy::Skip { nan_as_null(array) } else { array }
}

/// Labels and groups of the next `count` rows, and the columns that are watched.
pub(super) fn labels_and_groups(
    archive: &Archive,
    columns: &FileColumns,
    rows: &mut UnitRows,
    count: usize,
) -> Result<(Coded, Grouping, Watched)> {
    let any_labels = archive.policy.any_labels;
    let base = rows.done();
    let mut columns_read = HashMap::new();
    for (root, array) in rows.arrays(count, &columns.twins)? {
        // In a column whose values only tell rows apart, no value is refused.
        let any = any_labels && columns.labels == Some(root);
        let coded =
            if any { coded_any(&array) } else { coded(&missing(array, archive, columns.labels == Some(root)), base) };
        columns_read.insert(root, coded.map_err(|error| rows.in_column(error, root))?);
    }
    let grouping = Grouping::new(&archive.group_by, columns, &archive.filters, &columns_read, count, base)?;
    if let Some(key) = &rows.unit().key
        && grouping.keys.iter().any(|found| found != key)
    {
        return Err(damaged("the statistics of a group column contradict its rows"));
    }
    let watched = columns.watched.iter();
    let watched = watched.filter_map(|(name, root)| Some((name.clone(), columns_read.remove(root)?))).collect();
    let labels = match columns.labels {
        Some(root) => columns_read.remove(&root).ok_or_else(|| Error::internal("the labels were not read"))?,
        None if any_labels => Coded::unlabelled(count),
        None => Coded { codes: vec![0; count], values: vec![Label::Int(0)] },
    };
    let labels = if any_labels { labels.with_nulls_as_class() } else { labels };
    Ok((labels, grouping, watched))
}
