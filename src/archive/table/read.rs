//! Reading a unit of a table.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeListArray, Int64Array, LargeListArray, PrimitiveArray, StringArray, new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef, Float16Type, Float32Type, Float64Type};

use super::{ChunkGrid, Place, Table, TableRows, Wanted};
use crate::archive::codes::{Coded, NULL, coded, nan_as_null};
use crate::archive::container::Strings;
use crate::archive::damage::damaged;
use crate::archive::normalise::normalised;
use crate::archive::row_policy::{RowDefect, counts_towards_grid};
use crate::archive::schema::type_name;
use crate::archive::unit_rows::UnitRows;
use crate::archive::vectors::Vectors;
use crate::archive::{Values, chunk_rows, escaped};
use crate::batch::{Batch, Features, Label};
use crate::error::{Error, Result};
use crate::grid::Grid;
use crate::kernels::{Profile, Workspace};

/// Rows that are read at a time where no vectors are.
const SCALAR_ROWS: usize = 1 << 16;

/// A unit of a table being read.
#[derive(Debug)]
pub struct TableReader {
    table: Arc<Table>,
    wanted: Wanted,
    rows: UnitRows,
    vectors: Vec<Stream>,
    /// Rows of a step: whole chunks of every vector column.
    step: usize,
    /// For the grids of chunks.
    workspace: Workspace,
}

/// A column of vectors being read.
#[derive(Debug)]
struct Stream {
    column: usize,
    dim: usize,
    significand_bits: u32,
    chunk: usize,
}

impl Table {
    /// Opens a unit, if its file still is what was planned.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file has changed or is damaged.
    pub fn read(self: &Arc<Self>, unit: usize, wanted: &Wanted) -> Result<TableReader> {
        TableReader::open(self.clone(), unit, wanted)
    }

    fn name(&self, column: usize) -> String {
        escaped(&self.columns[column].name)
    }
}

impl TableReader {
    fn open(table: Arc<Table>, unit: usize, wanted: &Wanted) -> Result<Self> {
        let unit = &table.units[unit];
        let file = &table.files[unit.file];
        let pairs = wanted.grids.iter().flat_map(|&(vectors, label)| [vectors, label]);
        let columns: BTreeSet<usize> = wanted.columns.iter().copied().chain(pairs).collect();
        let mut roots: BTreeSet<usize> = file.twins.iter().map(|twin| twin.root).collect();
        let (mut streams, mut vectors) = (Vec::new(), Vec::new());
        for column in columns {
            match &file.places[column] {
                Place::Key(_) => {}
                Place::Root(root) => drop(roots.insert(*root)),
                Place::Vectors(found) => {
                    let dim = table.catalogue.dim(unit.file, found);
                    let dim = dim.map_err(|error| error.with_default("column", table.name(column)))?.unwrap_or(0);
                    let significand_bits = found.significand_bits;
                    streams.push(Stream { column, dim, significand_bits, chunk: chunk_rows(dim) });
                    vectors.push((found, dim));
                }
            }
        }
        let step = streams.iter().map(|stream| stream.chunk).max().unwrap_or(SCALAR_ROWS);
        let roots = roots.into_iter().collect();
        let rows = UnitRows::open(&table.catalogue, unit, &vectors, roots, step, Strings::Plain)?;
        Ok(Self { wanted: wanted.clone(), rows, vectors: streams, step, workspace: Workspace::default(), table })
    }

    /// The next rows; `None` after the last ones, when the file has been found unchanged. After an error the reader is of
    /// no more use.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with file, row group and row for vectors of the wrong length, labels that
    /// cannot be read, and a file that is damaged or has changed.
    #[expect(clippy::should_implement_trait, reason = "an iterator would have to say what comes after an error")]
    pub fn next(&mut self) -> Result<Option<TableRows>> {
        let Some(rows) = self.rows.left(self.step) else {
            self.rows.finish(&self.table.catalogue).map_err(|error| self.locate(error))?;
            return Ok(None);
        };
        let read = self.read(rows).map_err(|error| self.locate(error))?;
        self.rows.advance(rows);
        Ok(Some(read))
    }

    fn read(&mut self, rows: usize) -> Result<TableRows> {
        let table = self.table.clone();
        let base = self.rows.done();
        let mut arrays = self.arrays(&table, rows)?;
        let mut grids = vec![Vec::new(); self.wanted.grids.len()];
        for (at, stream) in self.vectors.iter().enumerate() {
            let pairs = self.wanted.grids.iter().zip(&mut grids).filter(|((vectors, _), _)| *vectors == stream.column);
            let mut pairs: Vec<(Coded, &mut Vec<ChunkGrid>)> = pairs
                .map(|((_, label), grids)| {
                    let labels = arrays.get(label).ok_or_else(|| Error::internal("the labels were not read"))?;
                    // Whether a NaN may stand for a label that is missing is asked where the row is used.
                    let labels = coded(&nan_as_null(labels.clone()), base)
                        .map_err(|error| error.with_default("column", table.name(*label)));
                    Ok((labels?, grids))
                })
                .collect::<Result<_>>()?;
            let mut read: Option<Vectors> = None;
            for start in (0..rows).step_by(stream.chunk) {
                let count = stream.chunk.min(rows - start);
                let vectors = self.rows.vectors(at, count, start);
                let vectors = vectors.map_err(|error| error.with_default("column", table.name(stream.column)))?;
                let of_length_one =
                    (self.wanted.normalize && !pairs.is_empty()).then(|| normalised(vectors.clone(), stream.dim));
                for (labels, grids) in &mut pairs {
                    let vectors = of_length_one.as_ref().unwrap_or(&vectors);
                    let grid =
                        chunk_grid(vectors, stream.dim, (labels, start), self.wanted.extra_bits, &mut self.workspace)?;
                    grids.push(ChunkGrid { rows: count, grid, significand_bits: stream.significand_bits });
                }
                match &mut read {
                    Some(read) => append(read, vectors, start)?,
                    None => read = Some(vectors),
                }
            }
            if let Some(vectors) = read {
                let data_type = &table.columns[stream.column].data_type;
                arrays.insert(stream.column, vector_array(vectors, stream.dim, rows, data_type)?);
            }
        }
        let column =
            |column: &usize| arrays.get(column).cloned().ok_or_else(|| Error::internal("a column was not read"));
        let columns = self.wanted.columns.iter().map(column).collect::<Result<_>>()?;
        Ok(TableRows { rows, columns, grids })
    }

    /// The next rows of all columns but vectors, by column.
    fn arrays(&mut self, table: &Table, rows: usize) -> Result<HashMap<usize, ArrayRef>> {
        let file = &table.files[self.rows.unit().file];
        let read = self.rows.arrays(rows, &file.twins)?;
        let mut arrays = HashMap::new();
        for (column, place) in file.places.iter().enumerate() {
            let array = match place {
                Place::Key(Some(label)) => Some(constant(label, rows)?),
                Place::Key(None) => Some(new_null_array(&table.columns[column].data_type, rows)),
                Place::Root(root) => match read.get(root) {
                    Some(array) => Some(
                        in_type(array, &table.columns[column].data_type, self.rows.done())
                            .map_err(|error| error.with_default("column", table.name(column)))?,
                    ),
                    None => None,
                },
                Place::Vectors(_) => None,
            };
            arrays.extend(array.map(|array| (column, array)));
        }
        Ok(arrays)
    }

    fn locate(&self, error: Error) -> Error {
        self.rows.locate(&self.table.catalogue, error)
    }
}

/// An array in the type of a column that other files have in another one; `base` is the number of its first row.
fn in_type(array: &ArrayRef, kind: &DataType, base: u64) -> Result<ArrayRef> {
    if array.data_type() == kind {
        return Ok(array.clone());
    }
    let wanted = cast(array, kind).map_err(damaged)?;
    // What does not fit is null, and a fraction is cut off.
    let back = cast(&wanted, array.data_type()).map_err(damaged)?;
    let same = not_distinct(&back, array).map_err(damaged)?;
    match same.values().iter().position(|same| !same) {
        None => Ok(wanted),
        Some(row) => Err(Error::data("a value does not fit the type that other files have")
            .with("type", type_name(kind))
            .with("row", base + row as u64)
            .help("convert the files one by one, or write this column in one type")),
    }
}

/// A hive key's value in every row.
fn constant(label: &Label, rows: usize) -> Result<ArrayRef> {
    Ok(match label {
        Label::Int(value) => {
            let value = i64::try_from(*value).map_err(|_| Error::internal("a hive key does not fit an i64"))?;
            Arc::new(Int64Array::from_value(value, rows))
        }
        Label::Text(value) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, rows))),
        Label::Bool(_) => return Err(Error::internal("a hive key is a boolean")),
    })
}

/// The grid of a chunk, whose labels begin at `start`: that of its rows which have a label and a finite vector.
fn chunk_grid(
    vectors: &Vectors,
    dim: usize,
    (labels, start): (&Coded, usize),
    extra_bits: u32,
    workspace: &mut Workspace,
) -> Result<Option<Grid>> {
    let codes = &labels.codes[start..][..rows_of(&vectors.values, dim)];
    let mut profile = |features: Features<'_>, codes: &[u32]| -> Result<_> {
        let profile = Profile::of(&Batch::of_finite(dim, features, codes, &labels.values)?, extra_bits, workspace)?;
        let grid = profile.grid().clone();
        workspace.recycle(profile);
        Ok(Some(grid))
    };
    if vectors.defects.is_empty() && !codes.contains(&NULL) {
        return if codes.is_empty() || dim == 0 { Ok(None) } else { profile(vectors.values.features(), codes) };
    }
    let mut defects = vectors.defects.iter().peekable();
    let mut counts = |row: &usize| {
        let defect = defects.next_if(|(at, _)| *at as usize == *row).map(|&(_, defect)| defect);
        counts_towards_grid(codes[*row], defect)
    };
    let kept: Vec<usize> = (0..codes.len()).filter(|row| counts(row)).collect();
    if kept.is_empty() {
        return Ok(None);
    }
    let codes: Vec<u32> = kept.iter().map(|&row| codes[row]).collect();
    match &vectors.values {
        Values::F16(values) => profile(Features::F16(&gather(values, dim, &kept)), &codes),
        Values::F32(values) => profile(Features::F32(&gather(values, dim, &kept)), &codes),
        Values::F64(values) => profile(Features::F64(&gather(values, dim, &kept)), &codes),
    }
}

fn rows_of(values: &Values, dim: usize) -> usize {
    values.features().len().checked_div(dim).unwrap_or(0)
}

fn gather<T: Copy>(values: &[T], dim: usize, rows: &[usize]) -> Vec<T> {
    rows.iter().flat_map(|&row| &values[row * dim..][..dim]).copied().collect()
}

/// Appends the vectors of a chunk that begins at row `start` of the step.
fn append(to: &mut Vectors, from: Vectors, start: usize) -> Result<()> {
    match (&mut to.values, from.values) {
        (Values::F16(to), Values::F16(from)) => to.extend(from),
        (Values::F32(to), Values::F32(from)) => to.extend(from),
        (Values::F64(to), Values::F64(from)) => to.extend(from),
        _ => return Err(Error::internal("the chunks of a column differ in type")),
    }
    to.defects.extend(from.defects.into_iter().map(|(row, defect)| (row + start as u32, defect)));
    Ok(())
}

fn vector_array(vectors: Vectors, dim: usize, rows: usize, data_type: &DataType) -> Result<ArrayRef> {
    let null = vectors.defects.iter().filter(|(_, defect)| *defect == RowDefect::Null).map(|&(row, _)| row as usize);
    let mut valid = vec![true; rows];
    null.for_each(|row| valid[row] = false);
    let nulls = valid.contains(&false).then(|| NullBuffer::from(valid));
    match vectors.values {
        Values::F16(values) => list::<Float16Type>(values, dim, rows, nulls, data_type),
        Values::F32(values) => list::<Float32Type>(values, dim, rows, nulls, data_type),
        Values::F64(values) => list::<Float64Type>(values, dim, rows, nulls, data_type),
    }
}

fn list<T: ArrowPrimitiveType>(
    values: Vec<T::Native>,
    dim: usize,
    rows: usize,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let items = Arc::new(PrimitiveArray::<T>::new(values.into(), None));
    let made: Result<ArrayRef, arrow::error::ArrowError> = match data_type {
        DataType::FixedSizeList(item, size) => fixed(item, *size, items, nulls),
        DataType::LargeList(item) => {
            let offsets = OffsetBuffer::from_repeated_length(dim, rows);
            LargeListArray::try_new(item.clone(), offsets, items, nulls).map(|array| Arc::new(array) as ArrayRef)
        }
        other => return Err(Error::internal("vectors are not lists").with("type", other)),
    };
    made.map_err(|error| Error::internal("an array of vectors cannot be made").caused_by(error))
}

fn fixed(
    item: &FieldRef,
    size: i32,
    items: ArrayRef,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, arrow::error::ArrowError> {
    FixedSizeListArray::try_new(item.clone(), size, items, nulls).map(|array| Arc::new(array) as ArrayRef)
}
