//! Columns of a row group as Arrow arrays.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Fields};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader};

use super::batches::batches;
use super::columns::Column;
use super::parquet_bytes::ParquetBytes;
use crate::archive::container::{ArrayStream, Strings};
use crate::archive::damage::damaged;
use crate::archive::nested::array_at;
use crate::error::Result;

/// Reads columns of a row group as arrays.
#[derive(Debug)]
pub(super) struct ArrayReader {
    batches: ParquetRecordBatchReader,
    source: ParquetBytes,
    columns: Vec<Column>,
    /// Which column of a batch has each of them.
    places: Vec<usize>,
}

impl ArrayReader {
    /// Reads columns in steps of `rows` rows.
    pub(super) fn open(
        source: &ParquetBytes,
        metadata: &ArrowReaderMetadata,
        row_group: usize,
        columns: Vec<Column>,
        rows: usize,
        strings: Strings,
    ) -> Result<Self> {
        let hint = (strings == Strings::Dictionary).then(|| with_dictionaries(metadata));
        let mut leaves: Vec<usize> = columns.iter().flat_map(|column| column.leaves.clone()).collect();
        leaves.sort_unstable();
        let mut roots: Vec<usize> = columns.iter().map(|column| column.root).collect();
        roots.sort_unstable();
        roots.dedup();
        let places = columns.iter().map(|column| roots.partition_point(|&root| root < column.root)).collect();
        let batches = batches(source, metadata, (row_group, 0), &leaves, rows, hint.as_ref())?;
        Ok(Self { batches, source: source.clone(), columns, places })
    }
}

/// The fields of a file, strings as dictionaries: they are long and few, and so each is held once.
fn with_dictionaries(metadata: &ArrowReaderMetadata) -> Fields {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let fields = metadata.schema().fields().iter().map(|field| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(dictionary.clone())),
        _ => field.clone(),
    });
    fields.collect()
}

impl ArrayStream for ArrayReader {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let Self { batches, source, columns, places } = self;
        let batch = source.guarded(|| batches.next().transpose())?;
        let batch = batch.filter(|batch| batch.num_rows() == rows).ok_or_else(|| damaged("rows are missing"))?;
        let array = |(column, &place): (&Column, &usize)| match batch.columns().get(place) {
            Some(root) => array_at(root, &column.names),
            None => Err(damaged("a column is missing")),
        };
        columns.iter().zip(&*places).map(array).collect()
    }

    fn is_at_end(&mut self) -> Result<bool> {
        let Self { batches, source, .. } = self;
        Ok(source.guarded(|| batches.next().transpose())?.is_none())
    }
}
