//! Scores: one Parquet record per row of the data, with the findings of the second read.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::state::Verdict;

/// Rows of one chunk that were judged for one group.
#[derive(Debug)]
pub struct Scored<'a> {
    /// The group's values, in the order of its keys.
    pub key: &'a [Label],
    /// `decisions`, or `ood` for out-of-distribution rows.
    pub rows: &'static str,
    /// The file they come from.
    pub file: &'a str,
    /// Row numbers in that file, one per verdict.
    pub file_rows: &'a [u64],
    /// The labels of the rows, one per verdict.
    pub labels: &'a [&'a Label],
    /// The group's classes; decisions are indices into them.
    pub classes: &'a [Label],
    /// The findings, one per row.
    pub verdicts: &'a [Verdict],
}

/// Writes scores as they come.
pub struct ScoreWriter<W: Write + Send> {
    schema: SchemaRef,
    writer: ArrowWriter<W>,
}

fn label_type(kind: LabelKind) -> DataType {
    match kind {
        LabelKind::Bool => DataType::Boolean,
        LabelKind::Int => DataType::Int64,
        LabelKind::Text => DataType::Utf8,
    }
}

fn cannot(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    Error::io("cannot write the scores").with("detail", &error).caused_by(error)
}

impl<W: Write + Send> ScoreWriter<W> {
    /// Begins a file with these keys, which are text, and labels of this kind.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if `out` cannot be written to.
    pub fn new(out: W, keys: &[String], labels: LabelKind) -> Result<Self> {
        let label = label_type(labels);
        let key = |name: &String| Field::new(name, DataType::Utf8, false);
        let fixed = [
            Field::new("rows", DataType::Utf8, false),
            Field::new("file", DataType::Utf8, false),
            Field::new("row", DataType::UInt64, false),
            Field::new("label", label.clone(), true),
            Field::new("nearest", label.clone(), true),
            Field::new("nearest_margin", DataType::Float64, true),
            Field::new("classifier", label, true),
            Field::new("classifier_margin", DataType::Float64, true),
            Field::new("agreement", DataType::Boolean, true),
            Field::new("neco", DataType::Float64, true),
            Field::new("mahalanobis", DataType::Float64, true),
            Field::new("relative_mahalanobis", DataType::Float64, true),
        ];
        let schema = Arc::new(Schema::new(keys.iter().map(key).chain(fixed).collect::<Vec<_>>()));
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
        let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(cannot)?;
        Ok(Self { schema, writer })
    }

    /// Adds rows.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new); [`Data`](crate::error::ErrorKind::Data) for a label that does not fit `i64`.
    pub fn write(&mut self, scored: &Scored<'_>) -> Result<()> {
        let count = scored.verdicts.len();
        let same = |text: String| Arc::new(StringArray::from(vec![text; count])) as ArrayRef;
        let keys = scored.key.len();
        let label = self.schema.field(keys + 3).data_type().clone();
        let class = |decision: Option<crate::state::Decision>| decision.map(|d| &scored.classes[d.class as usize]);
        let verdicts = || scored.verdicts.iter();
        let mut columns: Vec<ArrayRef> = scored.key.iter().map(|value| same(value.to_string())).collect();
        columns.push(same(scored.rows.to_owned()));
        columns.push(same(scored.file.to_owned()));
        columns.push(Arc::new(UInt64Array::from(scored.file_rows.to_vec())));
        // Labels of out-of-distribution rows are not the group's classes, and may have another type.
        let meaningful = scored.rows != "ood";
        columns.push(labels(&label, scored.labels.iter().map(|&label| meaningful.then_some(label)))?);
        columns.push(labels(&label, verdicts().map(|verdict| class(verdict.nearest)))?);
        columns.push(Arc::new(
            verdicts().map(|verdict| verdict.nearest.and_then(|found| found.margin)).collect::<Float64Array>(),
        ));
        columns.push(labels(&label, verdicts().map(|verdict| class(verdict.classifier)))?);
        columns.push(Arc::new(
            verdicts().map(|verdict| verdict.classifier.and_then(|found| found.margin)).collect::<Float64Array>(),
        ));
        columns.push(Arc::new(verdicts().map(Verdict::agreement).collect::<BooleanArray>()));
        let score = |of: fn(&Verdict) -> Option<f64>| Arc::new(verdicts().map(of).collect::<Float64Array>());
        columns.push(score(|verdict| verdict.neco));
        columns.push(score(|verdict| verdict.mahalanobis));
        columns.push(score(|verdict| verdict.relative_mahalanobis));
        let batch = RecordBatch::try_new(self.schema.clone(), columns).map_err(cannot)?;
        self.writer.write(&batch).map_err(cannot)
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn finish(self) -> Result<()> {
        self.writer.close().map(drop).map_err(cannot)
    }
}

fn labels<'a>(kind: &DataType, labels: impl Iterator<Item = Option<&'a Label>>) -> Result<ArrayRef> {
    Ok(match kind {
        DataType::Boolean => {
            Arc::new(labels.map(|label| label.map(|label| *label == Label::Bool(true))).collect::<BooleanArray>())
        }
        DataType::Int64 => {
            let number = |label: &Label| match label {
                Label::Int(value) => i64::try_from(*value).ok(),
                _ => None,
            };
            let beyond = |label: &Label| {
                Error::data("a label is too large for scores, which hold labels up to 2^63 − 1").with("label", label)
            };
            let numbers = labels.map(|label| label.map(|label| number(label).ok_or_else(|| beyond(label))).transpose());
            Arc::new(numbers.collect::<Result<Vec<_>>>().map(Int64Array::from)?)
        }
        _ => Arc::new(labels.map(|label| label.map(Label::to_string)).collect::<StringArray>()),
    })
}
