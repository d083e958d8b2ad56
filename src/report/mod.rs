//! Named numbers with reasons, and the formats in which they are written: table, JSON, CSV, Markdown, HTML, Parquet.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::Value;

mod answer;
mod bins;
mod columns;
mod comparison;
mod csv;
mod drawn;
mod format;
mod headline;
mod html;
mod json;
mod layout;
mod markdown;
mod notes;
mod parquet;
mod plot;
mod records;
mod rows;
mod scores;
mod svg;
mod table;
mod text;
mod text_table;

pub use self::answer::{AnswerStyle, AnswerWriter};
pub use self::columns::Describe;
pub use self::comparison::{Change, Comparison, Condition, GroupPair, Side, Verdict};
pub use self::drawn::drawn;
pub use self::format::{Format, Style};
pub use self::html::Given;
pub use self::plot::Plot;
use self::records::Records;
pub use self::rows::RowWriter;
pub use self::scores::{ScoreWriter, Scored};
pub(crate) use self::text::counted;
#[cfg(feature = "cli")]
pub(crate) use self::text::wrapped;
use crate::archive::Skipped;
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::{Measured, Measurements, Options, Replicates};

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The conventions under which every number was made.
    pub options: Options,
    /// Further conventions as they were typed (`grid`, `extra_bits`, `where`, …).
    pub settings: BTreeMap<&'static str, String>,
    /// Remarks from the run that may change how its numbers are read.
    pub remarks: Vec<String>,
    /// The command that made it, as it was typed.
    pub command: Option<String>,
    /// Names of classes, by their labels.
    pub class_names: BTreeMap<Label, String>,
    /// One entry per group, sorted by key.
    pub groups: Vec<GroupReport>,
    /// Inputs that `--on-bad-file skip` left out, with the reason.
    pub bad_files: Vec<(String, String)>,
}

/// The numbers of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupReport {
    /// The group's keys and their values, in the order of `--group-by`.
    pub key: Vec<(String, Label)>,
    /// `N`, the rows used.
    pub rows: u64,
    /// `D`.
    pub dim: usize,
    /// The significand bits of the stored features: 11, 24 or 53.
    pub significand_bits: u32,
    /// Classes that `--min-count` and `--max-count` left out.
    pub dropped_classes: u64,
    /// Rows that were left out, by reason.
    pub skipped: Skipped,
    /// The metrics, and what was asked for besides.
    pub measurements: Measurements,
    /// The metrics without each block of the rows, if error bars were asked for.
    pub replicates: Option<Replicates>,
}

#[warn(clippy::wildcard_enum_match_arm)]
impl Report {
    /// Writes the metrics of all groups.
    ///
    /// A table, Markdown or a page of HTML is for reading: it shows a few digits, and why a metric has no number. JSON holds
    /// everything. A page shows spectra and classes of groups whose [`figures`](Measurements::figures) were asked for. The
    /// other formats hold one flat record per group: its keys, `rows`, `classes`, `dim`, `dropped_classes`, `flags` (joined
    /// by `;`), and a column per metric. A group key with the name of another column gets the prefix `key_`.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if `out` cannot be written to; its source is the [`std::io::Error`].
    pub fn write(&self, format: Format, out: &mut dyn Write, style: Style) -> Result<()> {
        let text = match format {
            Format::Table => table::report(self, style),
            Format::Markdown => markdown::report(self),
            Format::Json => json::report(self),
            Format::Ndjson => json::lines(&Records::of_groups(self)),
            Format::Csv => csv::records(&Records::of_groups(self), true)?,
            Format::Html => html::report(self)?,
            Format::Parquet => return put(out, &parquet::records(&Records::of_groups(self), &self.conventions())?),
        };
        put(out, text.as_bytes())
    }

    /// Writes one record per class, under the keys of its group.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if `out` cannot be written to; its source is the [`std::io::Error`].
    pub fn write_per_class(&self, format: Format, out: &mut dyn Write, style: Style) -> Result<()> {
        self.write_records(&Records::of_classes(self), format, out, style)
    }

    /// Writes one record for the classes of every range of sizes: 1 row, 2 and 3 rows, 4 to 7 rows, and so on. They are made of
    /// the same rows by class.
    ///
    /// # Errors
    ///
    /// Those of [`write_per_class`](Self::write_per_class).
    pub fn write_per_class_bins(&self, format: Format, out: &mut dyn Write, style: Style) -> Result<()> {
        self.write_records(&Records::of_bins(self), format, out, style)
    }

    fn write_records(&self, records: &Records, format: Format, out: &mut dyn Write, style: Style) -> Result<()> {
        let text = match format {
            Format::Table => table::records(records, style),
            Format::Markdown => markdown::records(records),
            Format::Html => return Err(Error::usage("classes are not written as a page").help("use csv or parquet")),
            Format::Json => json::classes(self, records),
            Format::Ndjson => json::lines(records),
            Format::Csv => csv::records(records, true)?,
            Format::Parquet => return put(out, &parquet::records(records, &self.conventions())?),
        };
        put(out, text.as_bytes())
    }

    /// Writes one figure, as SVG that needs nothing else.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if there is nothing to draw, with the reason;
    /// [`Io`](crate::error::ErrorKind::Io) if `out` cannot be written to.
    pub fn write_plot(&self, plot: Plot, out: &mut dyn Write) -> Result<()> {
        put(out, html::alone(self, plot)?.as_bytes())
    }

    /// Which of several groups a figure of single groups shows, in a sentence; `None` if it shows all.
    pub fn shown_in(&self, plot: Plot) -> Option<String> {
        html::chosen(self, plot)
    }

    /// The options, then the settings.
    fn conventions(&self) -> Vec<(&'static str, Value)> {
        let settings = self.settings.iter().map(|(&name, value)| (name, Value::from(value.as_str())));
        self.options.describe().into_iter().chain(settings).collect()
    }
}

impl GroupReport {
    /// The metric with this key, if it was selected.
    pub fn metric(&self, key: &str) -> Option<&Measured> {
        self.measurements.metric(key)
    }

    /// The number of the metric with this key, if it was selected and has one.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.measurements.value(key)
    }

    /// Whether error bars were asked for.
    pub fn has_error_bars(&self) -> bool {
        self.replicates.is_some() || self.measurements.metrics.iter().any(|metric| metric.error_bar.is_some())
    }
}

fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| Error::io("cannot write the result").with("detail", &error).caused_by(error))
}

#[cfg(test)]
mod tests;
