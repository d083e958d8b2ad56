//! The single-valued columns of a unit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader};

use super::batches::batches;
use super::source::Source;
use crate::archive::codes::{Coded, coded, coded_any};
use crate::archive::damage::damaged;
use crate::archive::escape::escaped;
use crate::error::Result;

/// Reads the single-valued columns of a unit, some rows at a time.
#[derive(Debug)]
pub(in crate::archive) struct ScalarReader {
    batches: ParquetRecordBatchReader,
    source: Source,
    roots: Vec<usize>,
    /// A column whose values only tell rows apart.
    any: Option<usize>,
}

impl ScalarReader {
    /// Reads the columns at `roots`, which ascend, in steps of `rows` rows; in that at `any` no value is refused.
    pub(in crate::archive) fn open(
        source: &Source,
        metadata: &ArrowReaderMetadata,
        row_group: usize,
        (roots, any): (Vec<usize>, Option<usize>),
        rows: usize,
    ) -> Result<Self> {
        // Texts are long and few: each stays where it is, once.
        let kept = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = metadata.schema().fields().iter().map(|field| match field.data_type() {
            DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(kept.clone())),
            _ => field.clone(),
        });
        let batches = batches(source, metadata, (row_group, 0), &roots, rows, Some(&fields.collect()))?;
        Ok(Self { batches, source: source.clone(), roots, any })
    }

    /// The next `rows` rows of every column, with its root; the first row is `base` of the row group.
    pub(in crate::archive) fn next(&mut self, rows: usize, base: u64) -> Result<HashMap<usize, Coded>> {
        let Self { batches, source, roots, any } = self;
        let batch = source.guarded(|| batches.next().transpose())?;
        let batch = batch.filter(|batch| batch.num_rows() == rows).ok_or_else(|| damaged("rows are missing"))?;
        let named = batch.schema_ref().fields().iter().zip(batch.columns());
        let encode = |(&root, (field, column)): (&usize, (&Arc<Field>, &ArrayRef))| {
            let coded = if *any == Some(root) { coded_any(column) } else { coded(column, base) };
            let coded = coded.map_err(|error| error.with("column", escaped(field.name())))?;
            Ok((root, coded))
        };
        roots.iter().zip(named).map(encode).collect()
    }

    /// Whether there is nothing more.
    pub(in crate::archive) fn is_at_end(&mut self) -> Result<bool> {
        let Self { batches, source, .. } = self;
        Ok(source.guarded(|| batches.next().transpose())?.is_none())
    }
}
