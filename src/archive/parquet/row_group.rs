//! A row group whose rows are being read.

use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::arrays::ArrayReader;
use super::columns::Column;
use super::parquet_bytes::ParquetBytes;
use super::vectors::VectorReader;
use crate::archive::container::{ArrayStream, OpenUnit, Strings, VectorStream};
use crate::archive::dtype::VectorType;
use crate::error::Result;

/// A row group, and where its pages are.
#[derive(Clone, Debug)]
pub(super) struct RowGroup {
    pub(super) source: ParquetBytes,
    pub(super) metadata: ArrowReaderMetadata,
    pub(super) index: usize,
}

impl OpenUnit for RowGroup {
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, chunk: usize) -> Result<Box<dyn VectorStream>> {
        Ok(Box::new(VectorReader::open(self, Column::of(&self.metadata, column), kind, (dim, chunk))?))
    }

    fn arrays(&self, columns: &[usize], rows: usize, strings: Strings) -> Result<Box<dyn ArrayStream>> {
        let Self { source, metadata, index } = self;
        let columns = columns.iter().map(|&column| Column::of(metadata, column)).collect();
        Ok(Box::new(ArrayReader::open(source, metadata, *index, columns, rows, strings)?))
    }
}
