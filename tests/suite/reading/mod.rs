//! Archives are read as they were written, or not at all.

mod damage;
mod files;
mod layouts;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Float32Array, Int32Array, ListArray, RecordBatch, StringArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use nckit::archive::{Archive, DecodedChunk, Request, Values};
use nckit::batch::Label;
use nckit::error::{Error, ErrorKind, Result};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use tempfile::TempDir;

/// A directory of Parquet files that goes with the test.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as an input.
    pub(crate) fn input(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes columns in row groups of so many rows.
    pub(crate) fn write(&self, name: &str, columns: &[(&str, ArrayRef)], row_group: usize) -> PathBuf {
        self.write_with(name, columns, WriterProperties::builder().set_max_row_group_row_count(Some(row_group)))
    }

    fn write_with(&self, name: &str, columns: &[(&str, ArrayRef)], properties: WriterPropertiesBuilder) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let fields = columns.iter().map(|(name, array)| (*name, array.clone(), array.null_count() > 0));
        let batch = RecordBatch::try_from_iter_with_nullable(fields).unwrap();
        let file = fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }

    fn open(&self, request: &Request) -> Result<Archive> {
        Archive::open(&[self.input("")], request)
    }

    /// All chunks of all units.
    fn read(&self, request: &Request) -> Result<Vec<DecodedChunk>> {
        self.open(request).and_then(|archive| read(&archive))
    }

    /// The error of the default request, once rows are read.
    fn error(&self, request: &Request) -> Error {
        self.read(request).unwrap_err()
    }
}

fn read(archive: &Archive) -> Result<Vec<DecodedChunk>> {
    let mut chunks = Vec::new();
    for unit in 0..archive.units().len() {
        let mut reader = archive.read(unit)?;
        while let Some(chunk) = reader.next()? {
            chunk.batch()?;
            chunks.push(chunk);
        }
    }
    Ok(chunks)
}

/// The one chunk of an archive.
fn only(chunks: Result<Vec<DecodedChunk>>) -> DecodedChunk {
    let mut chunks = chunks.unwrap();
    assert_eq!(chunks.len(), 1);
    chunks.remove(0)
}

/// Rows of `D` values, row `i` dimension `j` being `i + j / 16`.
fn vectors(rows: usize, dim: usize) -> ArrayRef {
    let values = (0..rows * dim).map(|at| (at / dim) as f32 + (at % dim) as f32 / 16.0);
    let item = Arc::new(Field::new("element", DataType::Float32, false));
    Arc::new(FixedSizeListArray::new(item, dim as i32, Arc::new(Float32Array::from_iter_values(values)), None))
}

/// Lists of these lengths, of the values 0, 1, 2, …
fn ragged(lengths: &[usize]) -> ArrayRef {
    let values: Vec<f32> = (0..lengths.iter().sum::<usize>()).map(|at| at as f32).collect();
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(item, offsets, Arc::new(Float32Array::from(values)), None))
}

fn ints(values: impl IntoIterator<Item = i32>) -> ArrayRef {
    Arc::new(Int32Array::from_iter_values(values))
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn labels_of(chunk: &DecodedChunk) -> Vec<Label> {
    chunk.codes.iter().map(|&code| chunk.classes[code as usize].clone()).collect()
}

/// All values, exactly.
fn wide(values: &Values) -> Vec<f64> {
    match values {
        Values::F16(values) => values.iter().map(|value| value.to_f64()).collect(),
        Values::F32(values) => values.iter().map(|&value| value.into()).collect(),
        Values::F64(values) => values.clone(),
    }
}

fn text(value: &str) -> Label {
    Label::Text(value.into())
}

fn assert_fact(error: &Error, name: &str, value: &str) {
    assert_eq!(error.fact(name), Some(value), "{name} of {error:?}");
}

fn name_of(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn assert_kind(error: &Error, kind: ErrorKind) {
    assert_eq!(error.kind(), kind, "{error:?}");
}
