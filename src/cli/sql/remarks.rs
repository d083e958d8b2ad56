//! Notes on doubtful numbers among those that a query shows.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::record_batch::RecordBatch;

use crate::cli::console::{Console, counted};
use crate::sql::{Doubt, Doubts};

/// The most columns that name a row.
const NAMING: usize = 3;

/// The most lines; the rest are counted.
const LINES: usize = 10;

/// Looks for doubtful numbers among those that are shown.
pub(super) struct Remarks {
    doubts: Doubts,
    /// By column and metric.
    found: BTreeMap<(String, &'static str), Found>,
    rows: usize,
}

struct Found {
    worst: Doubt,
    /// The row of the worst doubt.
    place: String,
    rows: u64,
}

impl Remarks {
    pub(super) fn new(doubts: &Doubts) -> Self {
        Self { doubts: doubts.clone(), found: BTreeMap::new(), rows: 0 }
    }

    /// Looks at the rows that are shown next.
    pub(super) fn look(&mut self, batch: &RecordBatch) {
        let first = self.rows;
        self.rows += batch.num_rows();
        if self.doubts.is_empty() {
            return;
        }
        let schema = batch.schema();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            self.look_at(field.name(), None, column, &|row| place(batch, row, first + row + 1));
        }
    }

    /// A field of a struct has the name of its metric. Any other column may show any metric, under any name.
    fn look_at(&mut self, name: &str, field: Option<&str>, column: &ArrayRef, place: &dyn Fn(usize) -> String) {
        if let Some(fields) = column.as_struct_opt() {
            for (field, child) in fields.fields().iter().zip(fields.columns()) {
                self.look_at(&format!("{name}.{}", field.name()), Some(field.name()), child, place);
            }
        }
        if column.data_type() != &DataType::Float64 {
            return;
        }
        for (row, value) in column.as_primitive::<Float64Type>().iter().enumerate() {
            for doubt in value.map(|value| self.doubts.of(value)).unwrap_or_default() {
                if field.is_some_and(|field| field != doubt.metric) {
                    continue;
                }
                let found = self.found.entry((name.to_owned(), doubt.metric)).or_insert_with(|| Found {
                    worst: Doubt { error: None, ..doubt.clone() },
                    place: place(row),
                    rows: 0,
                });
                found.rows += 1;
                if doubt.error > found.worst.error {
                    found.place = place(row);
                }
                found.worst.merge(&doubt);
            }
        }
    }

    /// Prints the doubts that were found, and those about numbers from which the result was computed.
    pub(super) fn tell(&self, console: &Console) {
        let lines = self.lines();
        lines.iter().take(LINES).for_each(|line| console.note(&format!("note: {line}")));
        if lines.len() > LINES {
            let more = counted((lines.len() - LINES) as u64, "further column", "s");
            console.note(&format!(
                "note: {more} like these; nc_accuracy(state, metric) and nc_flags(state, metric) show each"
            ));
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for ((column, metric), found) in &self.found {
            let of = if column == metric { String::new() } else { format!(" ({metric})") };
            let worst = if found.rows > 1 { format!(", the worst of {} rows", found.rows) } else { String::new() };
            let (column, place) = (crate::archive::escaped(column), &found.place);
            lines.push(format!("column {column}{of}, {place}{worst}: {}", said(&found.worst)));
        }
        for (count, doubt) in self.doubts.made() {
            if !self.found.keys().any(|(_, metric)| *metric == doubt.metric) {
                let numbers = counted(count, "number", "s");
                lines.push(format!("{}, from which the result is computed, {numbers}: {}", doubt.metric, said(&doubt)));
            }
        }
        lines
    }
}

fn said(doubt: &Doubt) -> String {
    let error = doubt.error.map(|error| format!("rounding error up to {error:.0e} of the value"));
    error.into_iter().chain(doubt.flags.iter().map(|flag| (*flag).to_owned())).collect::<Vec<_>>().join("; ")
}

/// `row 3 (epoch=4, layer=h3)`: names a row by its first columns that are not floating-point numbers.
fn place(batch: &RecordBatch, row: usize, number: usize) -> String {
    let schema = batch.schema();
    let names = schema.fields().iter().zip(batch.columns()).filter(|(field, column)| {
        let data_type = field.data_type();
        !data_type.is_nested() && !data_type.is_floating() && column.is_valid(row)
    });
    let text = |(field, column): (&std::sync::Arc<arrow::datatypes::Field>, &ArrayRef)| {
        let value = cast(&column.slice(row, 1), &DataType::Utf8).ok()?;
        let value = value.as_string::<i32>().value(0).to_owned();
        Some(crate::archive::escaped(&format!("{}={value}", field.name())))
    };
    let names: Vec<String> = names.take(NAMING).filter_map(text).collect();
    if names.is_empty() { format!("row {number}") } else { format!("row {number} ({})", names.join(", ")) }
}
