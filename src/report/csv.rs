//! Comma-separated values; a null is an empty field.

use csv::Writer;

use super::records::{Cells, Records};
use super::text::shortest;
use crate::error::{Error, Result};

/// All records, with the header before them if `header` holds.
pub(super) fn records(records: &Records, header: bool) -> Result<String> {
    let mut writer = Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Error::internal("a record does not fit its header").caused_by(error);
    if header {
        writer.write_record(records.columns.iter().map(|column| &column.name)).map_err(failed)?;
    }
    for row in 0..records.rows {
        writer.write_record(records.columns.iter().map(|column| cell(&column.cells, row))).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::internal(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| Error::internal("a CSV record is not UTF-8").caused_by(error))
}

fn cell(cells: &Cells, row: usize) -> String {
    match cells {
        Cells::Bool(cells) => cells[row].map(|value| value.to_string()),
        Cells::Int(cells) => cells[row].map(|value| value.to_string()),
        Cells::Unsigned(cells) => cells[row].map(|value| value.to_string()),
        Cells::Float(cells) => cells[row].map(shortest),
        Cells::Text(cells) => cells[row].clone(),
        Cells::Json(cells) => Some(&cells[row]).filter(|value| !value.is_null()).map(ToString::to_string),
    }
    .unwrap_or_default()
}
