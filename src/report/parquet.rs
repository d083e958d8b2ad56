//! Records in Parquet, with the conventions as key-value metadata.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use serde_json::Value;

use super::records::{Cells, Records};
use crate::error::{Error, Result};

/// A whole file. Its metadata hold the version under `nckit` and every convention, in JSON, under `nckit.NAME`.
pub(super) fn records(records: &Records, conventions: &[(&str, Value)]) -> Result<Vec<u8>> {
    let failed = |error| Error::internal("the columns of the records differ in length").caused_by(error);
    let fields =
        records.columns.iter().map(|column| Field::new(&column.name, array(&column.cells).data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()).with_metadata(metadata(conventions)));
    let columns = records.columns.iter().map(|column| array(&column.cells)).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(records.rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(failed)?;

    let properties = properties(conventions);
    let failed = |error| Error::internal("cannot encode the records").caused_by(error);
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, schema, Some(properties)).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    writer.close().map_err(failed)?;
    Ok(file)
}

/// The version and the conventions, as metadata of a schema.
fn metadata(conventions: &[(&str, Value)]) -> HashMap<String, String> {
    let conventions = conventions.iter().map(|(name, value)| (format!("nckit.{name}"), value.to_string()));
    let version = ("nckit".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    std::iter::once(version).chain(conventions).collect()
}

/// The properties of every file: compression, and the same metadata for readers that do not look into the Arrow schema.
pub(super) fn properties(conventions: &[(&str, Value)]) -> WriterProperties {
    let metadata: BTreeMap<String, String> = metadata(conventions).into_iter().collect();
    let metadata = metadata.into_iter().map(|(name, value)| KeyValue::new(name, value));
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(parquet::basic::ZstdLevel::default()))
        .set_key_value_metadata(Some(metadata.collect()))
        .build()
}

fn array(cells: &Cells) -> ArrayRef {
    match cells {
        Cells::Bool(cells) => Arc::new(BooleanArray::from(cells.clone())),
        Cells::Int(cells) => Arc::new(Int64Array::from(cells.clone())),
        Cells::Unsigned(cells) => Arc::new(UInt64Array::from(cells.clone())),
        // A NaN becomes null; infinities stay.
        Cells::Float(cells) => {
            Arc::new(cells.iter().map(|cell| cell.filter(|value| !value.is_nan())).collect::<Float64Array>())
        }
        Cells::Text(cells) => Arc::new(StringArray::from(cells.clone())),
        Cells::Json(cells) => Arc::new(StringArray::from_iter_values(cells.iter().map(Value::to_string))),
    }
}
