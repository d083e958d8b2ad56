//! The vectors of a unit, whole chunks at a time.

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use half::f16;

use super::arrays::ArrayReader;
use super::batches::Batches;
use super::columns::Column;
use super::pages::Pages;
use super::row_group::RowGroup;
use crate::archive::Values;
use crate::archive::container::{ArrayStream as _, Strings, VectorStream};
use crate::archive::damage::damaged;
use crate::archive::dtype::{ElementType, VectorType};
use crate::archive::floats::{Float, find_nonfinite};
use crate::archive::vectors::Vectors;
use crate::error::{Error, Result};

/// Reads the vectors of a unit.
#[derive(Debug)]
pub(super) struct VectorReader {
    route: Route,
    column: VectorSource,
    /// Of vectors of Spark ML, whether they are dense.
    kinds: Option<ArrayReader>,
    /// Rows read.
    done: usize,
    /// Memory for the next ones.
    spare: Option<Values>,
}

/// Where vectors are, and what they should be.
#[derive(Debug)]
struct VectorSource {
    unit: RowGroup,
    column: Column,
    vectors: VectorType,
    dim: usize,
    chunk: usize,
}

/// How they are read.
#[derive(Debug)]
enum Route {
    PagesF16(Pages<f16>),
    PagesF32(Pages<f32>),
    PagesF64(Pages<f64>),
    /// As Arrow arrays: slower, and for everything.
    Batches(Batches),
}

impl VectorReader {
    /// Reads a column; rows must hold `dim` elements, or any number of them while it is unknown.
    ///
    /// `chunk` is a power of two: all calls of [`next`](VectorStream::next) but the last ask for so many rows.
    pub(super) fn open(
        unit: &RowGroup,
        column: Column,
        vectors: VectorType,
        (dim, chunk): (usize, usize),
    ) -> Result<Self> {
        let RowGroup { source, metadata, index } = unit;
        let kinds = column.spark_type.map(|leaf| {
            let kinds = vec![column.sibling(leaf, "type")];
            ArrayReader::open(source, metadata, *index, kinds, chunk, Strings::Plain)
        });
        let kinds = kinds.transpose()?;
        let column = VectorSource { unit: unit.clone(), column, vectors, dim, chunk };
        let route = match vectors.element() {
            ElementType::F16 => column.pages()?.map(Route::PagesF16),
            ElementType::F32 => column.pages()?.map(Route::PagesF32),
            ElementType::F64 => column.pages()?.map(Route::PagesF64),
        };
        let route = route.map_or_else(|| column.batches(0).map(Route::Batches), Ok)?;
        Ok(Self { route, column, kinds, done: 0, spare: None })
    }

    /// The Arrow reader, from the next row on.
    fn batches(&mut self) -> Result<&mut Batches> {
        if !matches!(self.route, Route::Batches(_)) {
            self.route = Route::Batches(self.column.batches(self.done)?);
        }
        match &mut self.route {
            Route::Batches(batches) => Ok(batches),
            _ => Err(Error::internal("the route of reading did not change")),
        }
    }
}

impl VectorStream for VectorReader {
    fn next(&mut self, rows: usize, base: u64) -> Result<Vectors> {
        if let Some(kinds) = &mut self.kinds {
            check_dense(kinds, rows, base)?;
        }
        let dim = self.column.dim;
        let vectors = match (&mut self.route, self.spare.take()) {
            (Route::PagesF16(pages), Some(Values::F16(spare))) => take(pages, rows, dim, spare, Values::F16)?,
            (Route::PagesF32(pages), Some(Values::F32(spare))) => take(pages, rows, dim, spare, Values::F32)?,
            (Route::PagesF64(pages), Some(Values::F64(spare))) => take(pages, rows, dim, spare, Values::F64)?,
            (Route::PagesF16(pages), _) => take(pages, rows, dim, Vec::new(), Values::F16)?,
            (Route::PagesF32(pages), _) => take(pages, rows, dim, Vec::new(), Values::F32)?,
            (Route::PagesF64(pages), _) => take(pages, rows, dim, Vec::new(), Values::F64)?,
            (Route::Batches(_), _) => None,
        };
        let vectors = match vectors {
            Some(vectors) => vectors,
            None => self.batches()?.next(rows, base)?,
        };
        self.done += rows;
        Ok(vectors)
    }

    fn reuse(&mut self, values: Values) {
        self.spare = Some(values);
    }

    fn is_at_end(&mut self) -> Result<bool> {
        let end = match &mut self.route {
            Route::PagesF16(pages) => pages.is_at_end()?,
            Route::PagesF32(pages) => pages.is_at_end()?,
            Route::PagesF64(pages) => pages.is_at_end()?,
            Route::Batches(_) => None,
        };
        end.map_or_else(|| self.batches()?.is_at_end(), Ok)
    }
}

impl VectorSource {
    fn pages<V: Float>(&self) -> Result<Option<Pages<V>>> {
        let RowGroup { source, metadata, index } = &self.unit;
        let metadata = metadata.metadata();
        let leaves = &self.column.leaves;
        if leaves.len() != 1 {
            return Ok(None);
        }
        Pages::open(source, metadata.row_group(*index), leaves.start, self.dim)
    }

    fn batches(&self, skipped: usize) -> Result<Batches> {
        let Self { unit: RowGroup { source, metadata, index }, column, vectors, dim, chunk } = self;
        Batches::open(source, metadata, (*index, skipped), column, *vectors, (*dim, *chunk))
    }
}

/// Fails if one of the next vectors is sparse, so that only some of its elements are there.
fn check_dense(kinds: &mut ArrayReader, rows: usize, base: u64) -> Result<()> {
    const DENSE: i64 = 1;
    let arrays = kinds.next(rows)?;
    let array = arrays.first().ok_or_else(|| Error::internal("the types of vectors were not read"))?;
    let array = cast(array, &DataType::Int64).map_err(damaged)?;
    let types = array.as_primitive::<Int64Type>();
    match (0..types.len()).find(|&row| types.is_valid(row) && types.value(row) != DENSE) {
        Some(row) => Err(Error::data("a vector of Spark ML is sparse: only some of its elements are there")
            .with("row", base + row as u64)
            .help(
                "in Spark: from pyspark.ml.functions import vector_to_array, and write vector_to_array(\"features\")",
            )),
        None => Ok(()),
    }
}

fn take<V: Float>(
    pages: &mut Pages<V>,
    rows: usize,
    dim: usize,
    mut values: Vec<V>,
    wrap: impl FnOnce(Vec<V>) -> Values,
) -> Result<Option<Vectors>> {
    let Some(finite) = pages.next(rows, &mut values)? else { return Ok(None) };
    let mut defects = Vec::new();
    if !finite {
        find_nonfinite(&values, dim, 0, &mut defects);
    }
    Ok(Some(Vectors { values: wrap(values), defects }))
}

#[cfg(test)]
mod tests;
