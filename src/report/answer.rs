//! The rows that answer a query, written as they come.
#![warn(clippy::wildcard_enum_match_arm)]

use std::collections::HashSet;
use std::io::Write;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use serde_json::{Map, Value};

use super::columns::{Describe, Nested, cells};
use super::format::{Format, Style};
use super::records::{RecordColumn, Records};
use super::{csv, json, markdown, parquet, put, table};
use crate::error::{Error, Result};

/// Rows of a table that are laid out together; further rows get further tables, so that memory stays bounded.
const TABLE_ROWS: usize = 10_000;

/// Bytes of a Parquet row group in memory.
const ROW_GROUP: usize = 128 << 20;

/// How an answer is written.
#[derive(Clone, Debug)]
pub struct AnswerStyle {
    /// Its format.
    pub format: Format,
    /// How a table looks.
    pub style: Style,
    /// The conventions of its numbers; JSON and Parquet hold them.
    pub conventions: Vec<(String, Value)>,
    /// Describes a nested value in a few words, for tables.
    pub describe: Describe,
}

/// Writes an answer, batch by batch.
///
/// Columns with equal names are numbered. A table shows four digits and nested values in a few words. All other formats
/// hold everything: Parquet keeps nested values as they are, the text formats write them as JSON.
pub struct AnswerWriter<'a> {
    body: Body<'a>,
    schema: SchemaRef,
    rows: usize,
}

type Out<'a> = Box<dyn Write + Send + 'a>;

/// An answer that has been begun, in its format.
enum Body<'a> {
    Json(Out<'a>),
    Ndjson(Out<'a>),
    Csv(Out<'a>),
    Drawn(Drawn<'a>),
    Parquet(Box<ArrowWriter<Out<'a>>>),
}

/// A table, which needs many rows at once to know how wide its columns are.
struct Drawn<'a> {
    out: Out<'a>,
    waiting: Option<Records>,
    describe: Describe,
    draw: Box<dyn Fn(&Records) -> String + Send>,
}

impl<'a> AnswerWriter<'a> {
    /// Begins an answer with these columns.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if `out` cannot be written to; its source is the [`std::io::Error`].
    /// [`Usage`](crate::error::ErrorKind::Usage) for [`Format::Html`].
    pub fn new(mut out: Out<'a>, schema: &Schema, style: AnswerStyle) -> Result<Self> {
        let schema = Arc::new(unique(schema));
        let AnswerStyle { format, style, conventions, describe } = style;
        let drawn = |out, draw| Body::Drawn(Drawn { out, waiting: None, describe, draw });
        let body = match format {
            Format::Table => drawn(out, Box::new(move |records: &Records| table::answer(records, style))),
            Format::Markdown => drawn(out, Box::new(markdown::answer)),
            Format::Html => return Err(Error::usage("an answer of SQL is not written as a page").help("use md or csv")),
            Format::Json => {
                let options: Map<String, Value> = conventions.into_iter().collect();
                let begin = format!(
                    "{{\n\"nckit\": \"{}\",\n\"options\": {},\n\"rows\": [",
                    env!("CARGO_PKG_VERSION"),
                    Value::Object(options)
                );
                put(&mut *out, begin.as_bytes())?;
                Body::Json(out)
            }
            Format::Ndjson => Body::Ndjson(out),
            Format::Csv => Body::Csv(out),
            Format::Parquet => {
                let conventions: Vec<(&str, Value)> =
                    conventions.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
                let properties = parquet::properties(&conventions);
                let writer = ArrowWriter::try_new(out, schema.clone(), Some(properties)).map_err(cannot)?;
                Body::Parquet(Box::new(writer))
            }
        };
        Ok(Self { body, schema, rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let is_first = self.rows == 0;
        self.rows += batch.num_rows();
        let full = || records(batch, &self.schema, Nested::Json);
        match &mut self.body {
            Body::Json(out) => put(out.as_mut(), json::items(&full()?, is_first).as_bytes()),
            Body::Ndjson(out) => put(out.as_mut(), json::lines(&full()?).as_bytes()),
            Body::Csv(out) => put(out.as_mut(), csv::records(&full()?, is_first)?.as_bytes()),
            Body::Drawn(drawn) => drawn.add(records(batch, &self.schema, Nested::Short(drawn.describe))?),
            Body::Parquet(writer) => {
                let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                let columns = batch.columns().to_vec();
                let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
                let batch =
                    batch.map_err(|error| Error::internal("the columns do not match the answer's").caused_by(error))?;
                writer.write(&batch).map_err(cannot)?;
                if writer.in_progress_size() > ROW_GROUP {
                    writer.flush().map_err(cannot)?;
                }
                Ok(())
            }
        }
    }

    /// Ends the answer and returns its number of rows.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn finish(self) -> Result<usize> {
        let Self { body, schema, rows } = self;
        let nothing = |nested| records(&RecordBatch::new_empty(schema.clone()), &schema, nested);
        match body {
            Body::Json(mut out) => put(out.as_mut(), if rows == 0 { b"]\n}\n" } else { b"\n]\n}\n" })?,
            // The header stands without rows too.
            Body::Csv(mut out) if rows == 0 => {
                put(out.as_mut(), csv::records(&nothing(Nested::Json)?, true)?.as_bytes())?;
            }
            Body::Ndjson(_) | Body::Csv(_) => {}
            Body::Drawn(mut drawn) => {
                if rows == 0 {
                    drawn.waiting = Some(nothing(Nested::Short(drawn.describe))?);
                }
                drawn.draw()?;
            }
            Body::Parquet(writer) => {
                writer.close().map_err(cannot)?;
            }
        }
        Ok(rows)
    }
}

impl Drawn<'_> {
    fn add(&mut self, records: Records) -> Result<()> {
        match &mut self.waiting {
            Some(waiting) => waiting.append(records)?,
            None => self.waiting = Some(records),
        }
        if self.waiting.as_ref().is_some_and(|records| records.rows >= TABLE_ROWS) { self.draw() } else { Ok(()) }
    }

    /// Draws the rows that wait, if there are any.
    fn draw(&mut self) -> Result<()> {
        self.waiting.take().map_or(Ok(()), |records| put(self.out.as_mut(), (self.draw)(&records).as_bytes()))
    }
}

fn cannot(error: ::parquet::errors::ParquetError) -> Error {
    Error::io("cannot write the result").with("detail", &error).caused_by(error)
}

/// The same columns; where several have one name, the later ones are numbered.
fn unique(schema: &Schema) -> Schema {
    let mut taken: HashSet<String> = HashSet::new();
    let fields = schema.fields().iter().map(|field| {
        let mut name = field.name().clone();
        let mut number = 2;
        while taken.contains(&name) {
            name = format!("{}_{number}", field.name());
            number += 1;
        }
        taken.insert(name.clone());
        // A query's columns may hold nulls although its plan says that they do not.
        field.as_ref().clone().with_name(name).with_nullable(true)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn records(batch: &RecordBatch, schema: &Schema, nested: Nested) -> Result<Records> {
    let columns = schema.fields().iter().zip(batch.columns()).map(|(field, column)| {
        // Integers may be labels, epochs or counts, so their digits are not grouped.
        Ok(RecordColumn { name: field.name().clone(), is_label: true, cells: cells(column, nested)? })
    });
    Ok(Records { columns: columns.collect::<Result<_>>()?, keys: 0, rows: batch.num_rows() })
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;

    fn style(format: Format) -> AnswerStyle {
        let conventions = vec![("centring".to_owned(), "class".into())];
        AnswerStyle { format, style: Style::default(), conventions, describe: |_, _| None }
    }

    fn batch(epochs: &[i64]) -> RecordBatch {
        let numbers = epochs.iter().map(|&epoch| (epoch > 0).then(|| 1.0 / epoch as f64));
        let columns: [(&str, ArrayRef); 3] = [
            ("epoch", Arc::new(Int64Array::from(epochs.to_vec()))),
            ("nc1", Arc::new(numbers.collect::<Float64Array>())),
            ("split", Arc::new(StringArray::from_iter_values(epochs.iter().map(|_| "a,\"b\"")))),
        ];
        RecordBatch::try_from_iter(columns.map(|(name, column)| (name, column))).unwrap()
    }

    fn written(format: Format, batches: &[RecordBatch]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = AnswerWriter::new(Box::new(&mut out), &batch(&[]).schema(), style(format)).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), batches.iter().map(RecordBatch::num_rows).sum::<usize>());
        out
    }

    fn text(format: Format, batches: &[RecordBatch]) -> String {
        String::from_utf8(written(format, batches)).unwrap()
    }

    #[test]
    fn batches_leave_no_trace_in_any_form() {
        let (parts, whole) = ([batch(&[0]), batch(&[]), batch(&[3, 4000])], [batch(&[0, 3, 4000])]);
        for format in [Format::Table, Format::Markdown, Format::Json, Format::Ndjson, Format::Csv] {
            assert_eq!(text(format, &parts), text(format, &whole), "{format:?}");
        }
    }

    #[test]
    fn a_form_looks_like_itself() {
        let rows = [batch(&[0, 3])];
        let table =
            " epoch │ nc1     split\n───────┼───────────────\n     0 │ —       a,\"b\"\n     3 │ 0.3333  a,\"b\"\n";
        assert_eq!(text(Format::Table, &rows), table);
        assert_eq!(
            text(Format::Ndjson, &rows),
            "{\"epoch\":0,\"nc1\":null,\"split\":\"a,\\\"b\\\"\"}\n{\"epoch\":3,\"nc1\":0.3333333333333333,\"split\":\"a,\\\"b\\\"\"}\n"
        );
        assert_eq!(
            text(Format::Csv, &rows),
            "epoch,nc1,split\n0,,\"a,\"\"b\"\"\"\n3,0.3333333333333333,\"a,\"\"b\"\"\"\n"
        );
        let json: Value = serde_json::from_str(&text(Format::Json, &rows)).unwrap();
        assert_eq!(json["options"]["centring"], "class");
        assert_eq!(json["rows"][1]["epoch"], 3);
        assert_eq!(text(Format::Markdown, &rows).lines().count(), 4);
    }

    #[test]
    fn no_rows_are_an_answer_too() {
        assert_eq!(text(Format::Csv, &[]), "epoch,nc1,split\n");
        assert_eq!(text(Format::Ndjson, &[]), "");
        assert_eq!(serde_json::from_str::<Value>(&text(Format::Json, &[])).unwrap()["rows"], Value::Array(Vec::new()));
        assert!(text(Format::Table, &[]).contains("epoch"));
        assert!(written(Format::Parquet, &[]).starts_with(b"PAR1"));
    }

    #[test]
    fn parquet_holds_what_came_and_the_conventions() {
        let bytes: bytes::Bytes = written(Format::Parquet, &[batch(&[0, 3]), batch(&[9])]).into();
        let reader = ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
        let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(metadata.iter().any(|pair| pair.key == "nckit.centring" && pair.value.as_deref() == Some("\"class\"")));
        let rows: Vec<RecordBatch> = reader.build().unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].columns(), batch(&[0, 3, 9]).columns());
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = unique(&Schema::new(vec![field("a"), field("a_2"), field("a"), field("b"), field("a")]));
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(names, ["a", "a_2", "a_3", "b", "a_4"]);
    }
}
