//! Notes on doubtful numbers among those that a query shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

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
    /// The metrics that each column may show.
    metrics: Vec<BTreeSet<&'static str>>,
    /// By column and metric.
    found: BTreeMap<(String, &'static str), Found>,
    rows: usize,
}

struct Found {
    worst: Doubt,
    /// The row of the worst doubt.
    place: String,
    rows: u64,
    /// How many rows show each number, by its bits.
    shown: HashMap<u64, u64>,
}

impl Remarks {
    pub(super) fn new(doubts: &Doubts) -> Self {
        Self { doubts: doubts.clone(), metrics: Vec::new(), found: BTreeMap::new(), rows: 0 }
    }

    /// Takes note of the metrics that each column may show.
    pub(super) fn begin(&mut self, metrics: Vec<BTreeSet<&'static str>>) {
        self.metrics = metrics;
    }

    /// Looks at the rows that are shown next.
    pub(super) fn look(&mut self, batch: &RecordBatch) {
        let first = self.rows;
        self.rows += batch.num_rows();
        if self.doubts.is_empty() {
            return;
        }
        let schema = batch.schema();
        let metrics = std::mem::take(&mut self.metrics);
        for ((field, column), metrics) in schema.fields().iter().zip(batch.columns()).zip(&metrics) {
            self.look_at(field.name(), None, (column, metrics), &|row| place(batch, row, first + row + 1));
        }
        self.metrics = metrics;
    }

    /// A field of a struct has the name of its metric. Any other column may show one of its metrics under any name.
    fn look_at(
        &mut self,
        name: &str,
        field: Option<&str>,
        (column, metrics): (&ArrayRef, &BTreeSet<&'static str>),
        place: &dyn Fn(usize) -> String,
    ) {
        if let Some(fields) = column.as_struct_opt() {
            for (field, child) in fields.fields().iter().zip(fields.columns()) {
                self.look_at(&format!("{name}.{}", field.name()), Some(field.name()), (child, metrics), place);
            }
        }
        if column.data_type() != &DataType::Float64 {
            return;
        }
        for (row, value) in column.as_primitive::<Float64Type>().iter().enumerate() {
            let Some(value) = value else { continue };
            for (_, doubt) in self.doubts.of(value) {
                if field.is_some_and(|field| field != doubt.metric) || !metrics.contains(doubt.metric) {
                    continue;
                }
                let found = self.found.entry((name.to_owned(), doubt.metric)).or_insert_with(|| Found {
                    worst: Doubt { error: None, ..doubt.clone() },
                    place: place(row),
                    rows: 0,
                    shown: HashMap::new(),
                });
                found.rows += 1;
                *found.shown.entry(value.to_bits()).or_default() += 1;
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
            // Numbers without a doubt may be equal to those with one.
            let made = |bits: u64| {
                let of_metric =
                    self.doubts.of(f64::from_bits(bits)).into_iter().filter(|(_, doubt)| doubt.metric == *metric);
                of_metric.map(|(made, _)| made).sum::<u64>()
            };
            let is_certain = found.shown.iter().all(|(&bits, &rows)| rows <= made(bits));
            let (or_equal, most) =
                if is_certain { ("", "") } else { (" or one that shows the same number", "at most ") };
            let worst =
                if found.rows > 1 { format!(", the worst of {most}{} rows", found.rows) } else { String::new() };
            let (column, place) = (crate::archive::escaped(column), &found.place);
            lines.push(format!("column {column}{of}, {place}{or_equal}{worst}: {}", said(&found.worst)));
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
