//! The vectors of a unit, whole chunks at a time: what a faster reader of pages would replace.

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::datatypes::{ArrowNativeType, Float16Type, Float32Type, Float64Type};
use half::f16;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::Values;
use super::schema::{Element, VectorType, leaves};
use super::source::{Source, damaged};
use crate::error::{Error, Result};

/// The vectors of some rows, all of one length.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    /// Rows × D, row-major; what is at null rows and elements means nothing.
    pub(super) values: Values,
    /// The rows that are no finite vectors, ascending.
    pub(super) faults: Vec<(u32, Fault)>,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is null, or one of its elements is.
    Null,
    /// The first value that is a NaN or an infinity.
    NonFinite { dimension: usize, value: f64 },
}

/// Arrow batches of this many bytes stay in the cache while they are taken apart.
const BATCH_BYTES: usize = 1 << 20;

/// Reads the vectors of a unit.
#[derive(Debug)]
pub(super) struct VectorReader {
    batches: ParquetRecordBatchReader,
    source: Source,
    vectors: VectorType,
    dim: usize,
}

impl VectorReader {
    /// Reads the column at `root`; rows must hold `dim` elements, or any number of them while it is unknown.
    ///
    /// `chunk` is a power of two: all calls of [`next`](Self::next) but the last ask for so many rows.
    pub(super) fn open(
        source: &Source,
        metadata: &ArrowReaderMetadata,
        row_group: usize,
        root: usize,
        vectors: VectorType,
        (dim, chunk): (usize, usize),
    ) -> Result<Self> {
        let largest = (BATCH_BYTES / 4 / dim.max(1)).clamp(1, chunk);
        let batch = 1 << largest.ilog2();
        let batches = batches(source, metadata, row_group, root, batch)?;
        Ok(Self { batches, source: source.clone(), vectors, dim })
    }

    /// The next `rows` rows, the first of which is `base` of the row group.
    pub(super) fn next(&mut self, rows: usize, base: u64) -> Result<Vectors> {
        match self.vectors {
            VectorType::List(Element::F16) => {
                self.take(rows, Values::F16, |taken, batch| taken.lists::<Float16Type>(batch, base))
            }
            VectorType::List(Element::F32) => {
                self.take(rows, Values::F32, |taken, batch| taken.lists::<Float32Type>(batch, base))
            }
            VectorType::List(Element::F64) => {
                self.take(rows, Values::F64, |taken, batch| taken.lists::<Float64Type>(batch, base))
            }
            VectorType::Bytes { .. } => self.take(rows, Values::F32, |taken, batch| {
                taken.bytes(batch);
                Ok(())
            }),
        }
    }

    /// Whether there is nothing more.
    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.batch()?.is_none())
    }

    fn batch(&mut self) -> Result<Option<ArrayRef>> {
        let Self { batches, source, .. } = self;
        let batch = source.guarded(|| batches.next().transpose())?;
        Ok(batch.map(|batch| batch.column(0).clone()))
    }

    fn take<V: Float>(
        &mut self,
        rows: usize,
        wrap: impl FnOnce(Vec<V>) -> Values,
        append: impl Fn(&mut Taken<V>, &ArrayRef) -> Result<()>,
    ) -> Result<Vectors> {
        let mut taken = Taken { dim: self.dim, rows: 0, values: Vec::new(), faults: Vec::new() };
        while taken.rows < rows {
            let left = rows - taken.rows;
            let batch = self.batch()?.filter(|batch| !batch.is_empty() && batch.len() <= left);
            let batch = batch.ok_or_else(|| damaged("rows are missing"))?;
            append(&mut taken, &batch)?;
            taken.find_nonfinite();
            if taken.rows == 0 {
                // By now some rows have been seen to be so long; no schema alone can ask for this memory.
                let more = (left - batch.len()).saturating_mul(self.dim);
                taken.values.try_reserve_exact(more).map_err(|error| {
                    let bytes = more.saturating_mul(size_of::<V>());
                    Error::resource("not enough memory for a chunk").with("bytes", bytes).caused_by(error)
                })?;
            }
            taken.rows += batch.len();
        }
        Ok(Vectors { values: wrap(taken.values), faults: taken.faults })
    }
}

/// The length of the first vector of a row group that is not null.
pub(super) fn first_length(
    source: &Source,
    metadata: &ArrowReaderMetadata,
    row_group: usize,
    root: usize,
) -> Result<Option<usize>> {
    // Few rows, since one may hold a million values.
    let mut batches = batches(source, metadata, row_group, root, 16)?;
    while let Some(batch) = source.guarded(|| batches.next().transpose())? {
        let lists = batch.column(0).as_list::<i32>();
        if let Some(row) = (0..lists.len()).find(|&row| lists.is_valid(row)) {
            return match lists.value_length(row) {
                0 => Err(Error::data("the first feature vector is empty")),
                length => Ok(Some(length as usize)),
            };
        }
    }
    Ok(None)
}

pub(super) fn batches(
    source: &Source,
    metadata: &ArrowReaderMetadata,
    row_group: usize,
    root: usize,
    rows: usize,
) -> Result<ParquetRecordBatchReader> {
    source.expect(metadata.metadata().row_group(row_group), &leaves(metadata.metadata(), &[root]))?;
    source.guarded(|| {
        ParquetRecordBatchReaderBuilder::new_with_metadata(source.clone(), metadata.clone())
            .with_projection(ProjectionMask::roots(metadata.parquet_schema(), [root]))
            .with_row_groups(vec![row_group])
            .with_batch_size(rows)
            .build()
    })
}

/// A type that vectors are stored in.
trait Float: ArrowNativeType {
    fn finite(self) -> bool;
    fn wide(self) -> f64;
}

macro_rules! floats {
    ($($type:ty),*) => {$(
        impl Float for $type {
            fn finite(self) -> bool {
                self.is_finite()
            }
            fn wide(self) -> f64 {
                self.into()
            }
        }
    )*};
}
floats!(f16, f32, f64);

/// The rows of a chunk so far.
struct Taken<V> {
    dim: usize,
    /// Rows of the batches before this one.
    rows: usize,
    values: Vec<V>,
    faults: Vec<(u32, Fault)>,
}

impl<V: Float> Taken<V> {
    /// Appends a batch of lists; the chunk's first row is `base` of the row group.
    fn lists<T: ArrowPrimitiveType<Native = V>>(&mut self, batch: &ArrayRef, base: u64) -> Result<()> {
        let lists = batch.as_list::<i32>();
        let items = lists.values().as_primitive::<T>();
        let offsets = lists.value_offsets();
        let range = |row: usize| offsets[row] as usize..offsets[row + 1] as usize;
        if let Some(row) = (0..lists.len()).find(|&row| lists.is_valid(row) && range(row).len() != self.dim) {
            return Err(Error::data("feature vector has the wrong length")
                .with("row", base + (self.rows + row) as u64)
                .with("expected", format_args!("{} values", self.dim))
                .with("found", range(row).len()));
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
                self.faults.push(((self.rows + row) as u32, Fault::Null));
            }
        }
        Ok(())
    }

    fn push_null(&mut self, row: usize) {
        self.values.resize(self.values.len() + self.dim, V::default());
        self.faults.push(((self.rows + row) as u32, Fault::Null));
    }

    /// Adds the rows of the last batch that hold a NaN or an infinity and are not null.
    fn find_nonfinite(&mut self) {
        let added = &self.values[self.rows * self.dim..];
        // One pass without a branch; where values are in order, as nearly everywhere, the next loop is not needed.
        if added.iter().fold(true, |all, value| all & value.finite()) {
            return;
        }
        let mut more = Vec::new();
        for (row, vector) in added.chunks_exact(self.dim).enumerate() {
            let row = (self.rows + row) as u32;
            if let Some(dimension) = vector.iter().position(|value| !value.finite())
                && self.faults.binary_search_by_key(&row, |&(at, _)| at).is_err()
            {
                more.push((row, Fault::NonFinite { dimension, value: vector[dimension].wide() }));
            }
        }
        self.faults.extend(more);
        self.faults.sort_unstable_by_key(|&(row, _)| row);
    }
}

impl Taken<f32> {
    /// Appends a batch of fixed-size binary.
    fn bytes(&mut self, batch: &ArrayRef) {
        let array = batch.as_fixed_size_binary();
        for row in 0..array.len() {
            if array.is_null(row) {
                self.push_null(row);
            } else {
                let (quads, _) = array.value(row).as_chunks::<4>();
                self.values.extend(quads.iter().map(|&quad| f32::from_le_bytes(quad)));
            }
        }
    }
}
