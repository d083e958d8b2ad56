//! Reading a unit: columns of vectors, and others as arrays beside them.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;

use super::catalogue::{Catalogue, VectorColumn};
use super::codes::coded;
use super::container::{ArrayStream, Container, Strings, VectorStream};
use super::damage::damaged;
use super::escape::escaped;
use super::keys::Twin;
use super::read_at::ReadAt;
use super::rows::{Unit, Values, chunk_rows};
use super::vectors::Vectors;
use crate::error::{Error, Result};

/// A unit being read.
#[derive(Debug)]
pub(super) struct UnitRows {
    unit: Unit,
    bytes: Arc<dyn ReadAt>,
    container: Arc<dyn Container>,
    vectors: Vec<Box<dyn VectorStream>>,
    /// The columns of the arrays.
    roots: Vec<usize>,
    /// `None` if there are no such columns.
    arrays: Option<Box<dyn ArrayStream>>,
    /// Rows read.
    done: u64,
}

impl UnitRows {
    /// Opens a unit, if its file still is what was planned: columns of vectors with their `D`, which are read in chunks,
    /// and the columns at `roots`, which ascend, as arrays of `rows` rows.
    pub(super) fn open(
        catalogue: &Catalogue,
        unit: &Unit,
        vectors: &[(&VectorColumn, usize)],
        roots: Vec<usize>,
        rows: usize,
        strings: Strings,
    ) -> Result<Self> {
        let (bytes, container) = catalogue.open(unit.file)?;
        let mut this = Self { unit: unit.clone(), bytes, container, vectors: Vec::new(), roots, arrays: None, done: 0 };
        this.open_columns(vectors, rows, strings).map_err(|error| this.locate(catalogue, error))?;
        Ok(this)
    }

    fn open_columns(&mut self, vectors: &[(&VectorColumn, usize)], rows: usize, strings: Strings) -> Result<()> {
        let unit = self.container.open_unit(&self.bytes, self.unit.row_group);
        if !self.roots.is_empty() {
            self.arrays = Some(unit.arrays(&self.roots, rows, strings)?);
        }
        for &(column, dim) in vectors {
            self.vectors.push(unit.vectors(column.root, column.kind, dim, chunk_rows(dim))?);
        }
        Ok(())
    }

    pub(super) fn unit(&self) -> &Unit {
        &self.unit
    }

    /// Rows that have been read: the next one's number in the unit.
    pub(super) fn done(&self) -> u64 {
        self.done
    }

    /// How many rows come next, `most` at most; `None` after the last one.
    pub(super) fn left(&self, most: usize) -> Option<usize> {
        let left = self.unit.rows - self.done;
        (left > 0).then(|| left.min(most as u64) as usize)
    }

    /// Moves on to the rows after the next `rows` ones, which have been read.
    pub(super) fn advance(&mut self, rows: usize) {
        self.done += rows as u64;
    }

    /// The name of a column, safe to show.
    pub(super) fn name(&self, root: usize) -> String {
        escaped(&self.container.columns()[root].name)
    }

    /// Says which column an error is about, and which file, if that is not the one of the features.
    pub(super) fn in_column(&self, error: Error, root: usize) -> Error {
        match self.container.file_of(root) {
            Some(file) => error.with("file", file),
            None => error.with("column", self.name(root)),
        }
    }

    /// The next `rows` rows of the arrays, by column; checks the columns that have the name of a key.
    pub(super) fn arrays(&mut self, rows: usize, twins: &[Twin]) -> Result<BTreeMap<usize, ArrayRef>> {
        let Some(stream) = &mut self.arrays else { return Ok(BTreeMap::new()) };
        let arrays: BTreeMap<usize, ArrayRef> = self.roots.iter().copied().zip(stream.next(rows)?).collect();
        for twin in twins {
            let array = arrays.get(&twin.root).ok_or_else(|| Error::internal("a key's column was not read"))?;
            let column = coded(array, self.done).map_err(|error| error.with("column", self.name(twin.root)))?;
            twin.check(&column, self.done)?;
        }
        Ok(arrays)
    }

    /// The next `rows` rows of the vector column `at`, of which the step has `before` already.
    pub(super) fn vectors(&mut self, at: usize, rows: usize, before: usize) -> Result<Vectors> {
        self.vectors[at].next(rows, self.done + before as u64)
    }

    /// Gives memory for the next vectors of the column `at`.
    pub(super) fn reuse(&mut self, at: usize, values: Values) {
        self.vectors[at].reuse(values);
    }

    /// Fails if the unit has more rows, or if the file is no longer what it was.
    pub(super) fn finish(&mut self, catalogue: &Catalogue) -> Result<()> {
        let mut ended = true;
        for vectors in &mut self.vectors {
            ended &= vectors.is_at_end()?;
        }
        if let Some(arrays) = &mut self.arrays {
            ended &= arrays.is_at_end()?;
        }
        if !ended {
            return Err(damaged("there are more rows than the footer says"));
        }
        catalogue.files[self.unit.file].pinned().check_unchanged(&*self.bytes)
    }

    /// Says where an error arose; its row, if any, is counted within the unit.
    pub(super) fn locate(&self, catalogue: &Catalogue, error: Error) -> Error {
        let error = self.bytes.failure().unwrap_or(error);
        let row: Option<u64> = error.fact("row").and_then(|row| row.parse().ok());
        let file = &catalogue.files[self.unit.file].shown;
        let error = error.with_default("file", file).with_default("row group", self.unit.row_group);
        match row {
            Some(row) => error.with_default("row in file", self.unit.first + row),
            None => error,
        }
    }
}
