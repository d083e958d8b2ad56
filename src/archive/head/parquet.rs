//! Heads in Parquet: the columns `class`, `weight` and `bias`, one row a class.

use std::io::{BufReader, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, OffsetSizeTrait, RecordBatch};
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::Result as ParquetResult;
use parquet::file::reader::{ChunkReader, Length};

use super::elements::{Element, Elements, Tensor};
use super::file::HeadFile;
use super::{HeadParts, Wanted, damaged, open};
use crate::archive::codes::{label_kind, labels};
use crate::archive::escaped;
use crate::batch::Label;
use crate::error::{Error, Result};

const COLUMNS: [&str; 3] = ["class", "weight", "bias"];

/// Rows decoded at a time.
const BATCH: usize = 1024;

/// Reads weights, and classes and biases where there are such columns; for the shape no more than one row of weights.
pub(super) fn read(path: &Path, transposed: bool, wanted: Wanted) -> Result<HeadParts> {
    let (file, _) = open(path)?;
    // The decoder of damaged files may panic.
    let parts = catch_unwind(AssertUnwindSafe(|| {
        let mut rows = ReadRows::default();
        match wanted {
            Wanted::Numbers => rows.read(path, &file, &COLUMNS, None)?,
            Wanted::Shape => {
                rows.read(path, &file, &["class"], None)?;
                rows.read(path, &file, &["weight", "bias"], Some(1))?;
            }
        }
        rows.parts(transposed)
    }));
    parts.unwrap_or_else(|_| Err(damaged(path, "its decoder failed")))
}

/// What was read so far.
#[derive(Default)]
struct ReadRows {
    count: usize,
    /// Rows of the file.
    total: usize,
    labels: Option<Vec<Label>>,
    weights: NumberColumn,
    bias: Option<NumberColumn>,
}

/// Numbers of one type.
#[derive(Default)]
struct NumberColumn {
    element: Option<Element>,
    /// Numbers a row, once there is a row.
    width: Option<usize>,
    bytes: Vec<u8>,
}

impl ReadRows {
    /// Reads these columns of all rows, or of the first few.
    fn read(&mut self, path: &Path, file: &HeadFile, columns: &[&str], limit: Option<usize>) -> Result<()> {
        let file = file.clone();
        // Without the embedded Arrow schema a list is a list and a string a string, however they were written.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)
            .map_err(|error| damaged(path, error))?;
        let names = builder.schema().fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        if !names.iter().any(|name| name == "weight") {
            let names: Vec<String> = names.iter().map(|name| escaped(name)).collect();
            return Err(Error::data("the head has no column `weight`").with("columns", names.join(" ")));
        }
        self.total = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let roots = names.iter().enumerate().filter(|(_, name)| columns.contains(&name.as_str()));
        let roots: Vec<usize> = roots.map(|(root, _)| root).collect();
        if roots.is_empty() {
            return Ok(());
        }
        self.count = 0;
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let builder = builder.with_projection(mask).with_batch_size(BATCH);
        let builder = limit.into_iter().fold(builder, ParquetRecordBatchReaderBuilder::with_limit);
        for batch in builder.build().map_err(|error| damaged(path, error))? {
            self.push(&batch.map_err(|error| damaged(path, error))?)?;
        }
        if self.count != limit.unwrap_or(self.total).min(self.total) {
            return Err(damaged(path, "its number of rows is not what it says"));
        }
        Ok(())
    }

    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let base = self.count;
        let column = |name: &str| batch.column_by_name(name).map(|column| (column, base));
        if let Some((weights, base)) = column("weight") {
            no_nulls(weights, "weight", base)?;
            match weights.data_type() {
                DataType::List(_) => self.weights.push_lists::<i32>(weights, base)?,
                DataType::LargeList(_) => self.weights.push_lists::<i64>(weights, base)?,
                other => return Err(Error::data("the column `weight` holds no lists").with("type", other)),
            }
        }
        if let Some((bias, base)) = column("bias").filter(|(bias, _)| bias.data_type() != &DataType::Null) {
            no_nulls(bias, "bias", base)?;
            self.bias.get_or_insert_default().push(bias, "bias")?;
        }
        if let Some((classes, base)) = column("class") {
            no_nulls(classes, "class", base)?;
            if label_kind(classes.data_type()).is_none() {
                return Err(Error::data("the column `class` holds no labels").with("type", classes.data_type()));
            }
            let labels = labels(classes, base as u64).map_err(|error| error.with("column", "class"))?;
            self.labels.get_or_insert_default().extend(labels);
        }
        self.count += batch.num_rows();
        Ok(())
    }

    fn parts(self, transposed: bool) -> Result<HeadParts> {
        if transposed && (self.labels.is_some() || self.bias.is_some()) {
            return Err(Error::usage("a head with a column `class` or `bias` has one row a class")
                .help("leave --head-transposed out"));
        }
        let width = self.weights.width.unwrap_or(0);
        Ok(HeadParts {
            weights: self.weights.tensor(vec![self.total, width]),
            bias: self.bias.map(|bias| bias.tensor(vec![self.total])),
            labels: self.labels,
        })
    }
}

impl NumberColumn {
    fn push_lists<O: OffsetSizeTrait>(&mut self, array: &ArrayRef, base: usize) -> Result<()> {
        let lists = array.as_list::<O>();
        let offsets = lists.value_offsets();
        for (row, pair) in offsets.windows(2).enumerate() {
            let length = pair[1].as_usize() - pair[0].as_usize();
            let width = *self.width.get_or_insert(length);
            if length != width {
                return Err(Error::data("a row of the head has another length")
                    .with("row", base + row)
                    .with("expected", width)
                    .with("found", length));
            }
        }
        let (Some(first), Some(last)) = (offsets.first(), offsets.last()) else { return Ok(()) };
        let values = lists.values().slice(first.as_usize(), last.as_usize() - first.as_usize());
        if let Some(at) = (0..values.len()).find(|&at| values.is_null(at)) {
            let width = self.width.unwrap_or(1).max(1);
            return Err(Error::data("a weight of the head is null")
                .with("row", base + at / width)
                .with("dimension", at % width));
        }
        self.push(&values, "weight")
    }

    fn push(&mut self, array: &ArrayRef, name: &str) -> Result<()> {
        let (element, bytes) = &mut (&mut self.element, &mut self.bytes);
        match array.data_type() {
            DataType::Float16 => {
                **element = Some(Element::F16);
                extend::<Float16Type, 2>(bytes, array, half::f16::to_le_bytes);
            }
            DataType::Float32 => {
                **element = Some(Element::F32);
                extend::<Float32Type, 4>(bytes, array, f32::to_le_bytes);
            }
            DataType::Float64 => {
                **element = Some(Element::F64);
                extend::<Float64Type, 8>(bytes, array, f64::to_le_bytes);
            }
            other => {
                return Err(Error::data("the type of the head is not a floating-point type")
                    .with("column", name)
                    .with("type", other));
            }
        }
        Ok(())
    }

    fn tensor(self, shape: Vec<usize>) -> Tensor {
        // Without a row there is no type, and no number either.
        let elements = Elements::new(self.element.unwrap_or(Element::F64), self.bytes);
        Tensor { shape, column_major: false, elements }
    }
}

fn extend<T: ArrowPrimitiveType, const SIZE: usize>(
    bytes: &mut Vec<u8>,
    array: &ArrayRef,
    to_bytes: impl Fn(T::Native) -> [u8; SIZE],
) {
    bytes.extend(array.as_primitive::<T>().values().iter().flat_map(|&value| to_bytes(value)));
}

fn no_nulls(array: &ArrayRef, column: &str, base: usize) -> Result<()> {
    match (0..array.len()).find(|&row| array.is_null(row)) {
        Some(row) => Err(Error::data("the head has a null").with("column", column).with("row", base + row)),
        None => Ok(()),
    }
}

impl Length for HeadFile {
    fn len(&self) -> u64 {
        self.size()
    }
}

impl ChunkReader for HeadFile {
    type T = BufReader<Self>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(BufReader::new(self.from(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // A file may claim anything.
        let mut buffer = vec![0; length.min(self.size() as usize)];
        self.from(start).read_exact(&mut buffer)?;
        Ok(buffer.into())
    }
}
