//! Rows of features in Parquet, laid out as they are read fastest.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{Error, Result};

/// Writes rows as they come: vectors PLAIN and without compression, so that they are read straight to where they are used.
pub struct RowWriter<W: Write + Send> {
    writer: ArrowWriter<W>,
    /// Rows of a row group.
    most: usize,
    /// Rows of the one that is being written.
    rows: usize,
}

fn failed(error: ParquetError) -> Error {
    Error::io("cannot write the rows").with("detail", &error).caused_by(error)
}

impl<W: Write + Send> RowWriter<W> {
    /// Begins a file whose column `features` holds the vectors, with row groups of at most `most` rows.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if `out` cannot be written to.
    pub fn new(out: W, schema: SchemaRef, features: &str, most: usize) -> Result<Self> {
        // The path of the elements, by the names that the writer gives the levels of a list.
        let elements = ColumnPath::new(vec![features.to_owned(), "list".to_owned(), "element".to_owned()]);
        let metadata = schema.metadata().iter().map(|(key, text)| KeyValue::new(key.clone(), text.clone())).collect();
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_max_row_group_row_count(None)
            .set_column_dictionary_enabled(elements.clone(), false)
            .set_column_encoding(elements.clone(), Encoding::PLAIN)
            .set_column_statistics_enabled(elements, EnabledStatistics::None)
            .set_coerce_types(true)
            .set_key_value_metadata(Some(metadata))
            .build();
        let writer = ArrowWriter::try_new(out, schema, Some(properties)).map_err(failed)?;
        Ok(Self { writer, most: most.max(1), rows: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut done = 0;
        while done < batch.num_rows() {
            let some = (self.most - self.rows).min(batch.num_rows() - done);
            self.writer.write(&batch.slice(done, some)).map_err(failed)?;
            (done, self.rows) = (done + some, self.rows + some);
            if self.rows == self.most {
                self.end_group()?;
            }
        }
        Ok(())
    }

    /// Begins a new row group with the next row.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn end_group(&mut self) -> Result<()> {
        self.rows = 0;
        self.writer.flush().map_err(failed)
    }

    /// Ends the file.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn finish(self) -> Result<()> {
        self.writer.close().map(drop).map_err(failed)
    }
}
