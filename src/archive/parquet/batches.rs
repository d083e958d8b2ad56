//! Reads the vectors of a row group as Arrow arrays: everything that Parquet can hold.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{Fields, Float16Type, Float32Type, Float64Type};
use half::f16;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, RowGroups, RowSelection, RowSelector,
};
use parquet::arrow::{ProjectionMask, parquet_to_arrow_field_levels};

use super::columns::Column;
use super::pages::CheckedGroup;
use super::parquet_bytes::ParquetBytes;
use crate::archive::Values;
use crate::archive::damage::damaged;
use crate::archive::dtype::{Dtype, ElementType, VectorType};
use crate::archive::floats::{Float, find_nonfinite};
use crate::archive::nested::array_at;
use crate::archive::row_policy::{RAGGED, RowDefect};
use crate::archive::vectors::Vectors;
use crate::error::{Error, Result};

/// Arrow batches of this many bytes stay in the cache while they are taken apart.
const BATCH_BYTES: usize = 1 << 20;

/// Reads the vectors of a unit as Arrow arrays.
#[derive(Debug)]
pub(super) struct Batches {
    reader: ParquetRecordBatchReader,
    source: ParquetBytes,
    column: Column,
    vectors: VectorType,
    dim: usize,
}

impl Batches {
    /// Reads a column of a row group from its row `skipped` on, a multiple of `chunk`; rows must hold `dim`
    /// elements, or any number of them while it is unknown.
    ///
    /// `chunk` is a power of two: all calls of [`next`](Self::next) but the last ask for so many rows.
    pub(super) fn open(
        source: &ParquetBytes,
        metadata: &ArrowReaderMetadata,
        (row_group, skipped): (usize, usize),
        column: &Column,
        vectors: VectorType,
        (dim, chunk): (usize, usize),
    ) -> Result<Self> {
        let largest = (BATCH_BYTES / 4 / dim.max(1)).clamp(1, chunk);
        let batch = 1 << largest.ilog2();
        let leaves: Vec<usize> = column.leaves.clone().collect();
        let reader = batches(source, metadata, (row_group, skipped), &leaves, batch, None)?;
        Ok(Self { reader, source: source.clone(), column: column.clone(), vectors, dim })
    }

    /// The next `rows` rows, the first of which is `base` of the row group.
    pub(super) fn next(&mut self, rows: usize, base: u64) -> Result<Vectors> {
        match self.vectors {
            VectorType::List(ElementType::F16) => {
                self.take(rows, Values::F16, |taken, batch| taken.lists::<Float16Type>(batch, base))
            }
            VectorType::List(ElementType::F32) => {
                self.take(rows, Values::F32, |taken, batch| taken.lists::<Float32Type>(batch, base))
            }
            VectorType::List(ElementType::F64) => {
                self.take(rows, Values::F64, |taken, batch| taken.lists::<Float64Type>(batch, base))
            }
            VectorType::Bytes { dtype: Dtype::F16, .. } => self.numbers(rows, Values::F16, f16::from_le_bytes),
            VectorType::Bytes { dtype: Dtype::Bf16, .. } => {
                self.numbers(rows, Values::F32, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
            }
            VectorType::Bytes { dtype: Dtype::F32, .. } => self.numbers(rows, Values::F32, f32::from_le_bytes),
            VectorType::Bytes { dtype: Dtype::F64, .. } => self.numbers(rows, Values::F64, f64::from_le_bytes),
        }
    }

    /// The same of fixed-size binary, whose numbers take `W` bytes each.
    fn numbers<V: Float, const W: usize>(
        &mut self,
        rows: usize,
        wrap: impl FnOnce(Vec<V>) -> Values,
        number: impl Fn([u8; W]) -> V,
    ) -> Result<Vectors> {
        self.take(rows, wrap, |taken, batch| {
            taken.bytes(batch, &number);
            Ok(())
        })
    }

    /// Whether there is nothing more.
    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.batch()?.is_none())
    }

    fn batch(&mut self) -> Result<Option<ArrayRef>> {
        let Self { reader, source, column, .. } = self;
        let batch = source.guarded(|| reader.next().transpose())?;
        batch.map(|batch| array_at(batch.column(0), &column.names)).transpose()
    }

    fn take<V: Float>(
        &mut self,
        rows: usize,
        wrap: impl FnOnce(Vec<V>) -> Values,
        append: impl Fn(&mut Taken<V>, &ArrayRef) -> Result<()>,
    ) -> Result<Vectors> {
        let mut taken = Taken { dim: self.dim, rows: 0, values: Vec::new(), defects: Vec::new() };
        while taken.rows < rows {
            let left = rows - taken.rows;
            let batch = self.batch()?.filter(|batch| !batch.is_empty() && batch.len() <= left);
            let batch = batch.ok_or_else(|| damaged("rows are missing"))?;
            append(&mut taken, &batch)?;
            find_nonfinite(&taken.values[taken.rows * self.dim..], self.dim, taken.rows, &mut taken.defects);
            if taken.rows == 0 {
                // Memory for the whole chunk is taken only after a row of this length was seen: a schema alone may lie.
                let more = (left - batch.len()).saturating_mul(self.dim);
                taken.values.try_reserve_exact(more).map_err(|error| {
                    let bytes = more.saturating_mul(size_of::<V>());
                    Error::resource("not enough memory for a chunk").with("bytes", bytes).caused_by(error)
                })?;
            }
            taken.rows += batch.len();
        }
        Ok(Vectors { values: wrap(taken.values), defects: taken.defects })
    }
}

/// The length of the first vector of a file that is not null; an error says in which row group it arose.
pub(super) fn first_length(
    source: &ParquetBytes,
    metadata: &ArrowReaderMetadata,
    column: &Column,
) -> Result<Option<usize>> {
    for row_group in 0..metadata.metadata().num_row_groups() {
        let length = first_length_of(source, metadata, row_group, column)
            .map_err(|error| error.with_default("row group", row_group))?;
        if length.is_some() {
            return Ok(length);
        }
    }
    Ok(None)
}

fn first_length_of(
    source: &ParquetBytes,
    metadata: &ArrowReaderMetadata,
    row_group: usize,
    column: &Column,
) -> Result<Option<usize>> {
    // Few rows, since one may hold a million values.
    let leaves: Vec<usize> = column.leaves.clone().collect();
    let mut batches = batches(source, metadata, (row_group, 0), &leaves, 16, None)?;
    while let Some(batch) = source.guarded(|| batches.next().transpose())? {
        let array = array_at(batch.column(0), &column.names)?;
        let lists = array.as_list::<i32>();
        if let Some(row) = (0..lists.len()).find(|&row| lists.is_valid(row)) {
            return match lists.value_length(row) {
                0 => Err(Error::data("the first feature vector is empty")),
                length => Ok(Some(length as usize)),
            };
        }
    }
    Ok(None)
}

/// Reads leaf columns, which ascend, from row `skipped` of a row group on, `rows` rows at a time, as the types
/// in `hint` or those of the schema.
pub(super) fn batches(
    source: &ParquetBytes,
    metadata: &ArrowReaderMetadata,
    (row_group, skipped): (usize, usize),
    leaves: &[usize],
    rows: usize,
    hint: Option<&Fields>,
) -> Result<ParquetRecordBatchReader> {
    let parquet = metadata.metadata();
    source.expect(parquet.row_group(row_group), leaves)?;
    source.guarded(|| {
        let wanted = ProjectionMask::leaves(metadata.parquet_schema(), leaves.iter().copied());
        let levels = parquet_to_arrow_field_levels(metadata.parquet_schema(), wanted, hint)?;
        let group = CheckedGroup { source, metadata: parquet, row_group };
        let left = group.num_rows().saturating_sub(skipped);
        let selected = RowSelection::from(vec![RowSelector::skip(skipped), RowSelector::select(left)]);
        let selected = (skipped > 0).then_some(selected);
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, &group, rows, selected)
    })
}

/// The rows of a chunk so far.
struct Taken<V> {
    dim: usize,
    /// Rows of the batches before this one.
    rows: usize,
    values: Vec<V>,
    defects: Vec<(u32, RowDefect)>,
}

impl<V: Float> Taken<V> {
    /// Appends a batch of lists; the chunk's first row is `base` of the row group.
    fn lists<T: ArrowPrimitiveType<Native = V>>(&mut self, batch: &ArrayRef, base: u64) -> Result<()> {
        let lists = batch.as_list::<i32>();
        // Integers that the type holds exactly.
        let items = cast(lists.values(), &T::DATA_TYPE).map_err(damaged)?;
        let items = items.as_primitive::<T>();
        let offsets = lists.value_offsets();
        let range = |row: usize| offsets[row] as usize..offsets[row + 1] as usize;
        if let Some(row) = (0..lists.len()).find(|&row| lists.is_valid(row) && range(row).len() != self.dim) {
            return Err(Error::data("feature vector has the wrong length")
                .with("row", base + (self.rows + row) as u64)
                .with("expected", format_args!("{} values", self.dim))
                .with("found", range(row).len())
                .help(RAGGED));
        }
        if lists.null_count() == 0 && items.null_count() == 0 {
            self.values.extend_from_slice(&items.values()[range(0).start..range(lists.len() - 1).end]);
            return Ok(());
        }
        for row in 0..lists.len() {
            if lists.is_null(row) {
                self.push_null(row);
                continue;
            }
            self.values.extend_from_slice(&items.values()[range(row)]);
            if range(row).any(|at| items.is_null(at)) {
                self.defects.push(((self.rows + row) as u32, RowDefect::Null));
            }
        }
        Ok(())
    }

    /// Appends a batch of fixed-size binary, whose numbers take `W` bytes each.
    fn bytes<const W: usize>(&mut self, batch: &ArrayRef, number: impl Fn([u8; W]) -> V) {
        let array = batch.as_fixed_size_binary();
        for row in 0..array.len() {
            if array.is_null(row) {
                self.push_null(row);
            } else {
                let (numbers, _) = array.value(row).as_chunks::<W>();
                self.values.extend(numbers.iter().map(|&bytes| number(bytes)));
            }
        }
    }

    fn push_null(&mut self, row: usize) {
        self.values.resize(self.values.len() + self.dim, V::default());
        self.defects.push(((self.rows + row) as u32, RowDefect::Null));
    }
}
