//! Labels in a text file: one a line, or a column of a table (CSV).

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::DataType;
use csv::{ByteRecord, Reader, ReaderBuilder};

use super::container::{ArrayStream, Container, LABEL, OpenUnit, StoredColumn, Strings, VectorStream};
use super::damage::damaged;
use super::dtype::VectorType;
use super::escape::escaped;
use super::fingerprint::sampled;
use super::names::is_label_name;
use super::read_at::ReadAt;
use super::text::{BUFFER, TextBytes, unreadable as cannot_read};
use crate::error::{Error, Result};

/// Rows of a unit. Where each one begins is kept.
const UNIT_ROWS: u64 = 1 << 16;

/// Labels of a text file, which has been read once to find out their type.
#[derive(Debug)]
pub(super) struct LabelText {
    fingerprint: u64,
    columns: [StoredColumn; 1],
    layout: Layout,
    rows: u64,
    /// The byte at which each unit begins.
    units: Vec<u64>,
    bytes: u64,
}

/// How lines become labels.
#[derive(Clone, Copy, Debug)]
struct Layout {
    mark: u8,
    /// Which field of a line.
    field: usize,
    is_integer: bool,
}

/// The longest line: a file without ends of lines is no text.
const LINE_LIMIT: usize = 1 << 20;

fn reader(bytes: &Arc<dyn ReadAt>, at: u64, mark: u8) -> Reader<TextBytes> {
    let mut builder = ReaderBuilder::new();
    let builder = builder.has_headers(false).flexible(true).delimiter(mark).buffer_capacity(BUFFER);
    builder.from_reader(TextBytes::new(bytes, at, LINE_LIMIT))
}

/// Goes on to the next line; `false` after the last one.
fn next_line(reader: &mut Reader<TextBytes>, record: &mut ByteRecord) -> Result<bool> {
    reader.get_mut().begin_record();
    reader.read_byte_record(record).map_err(unreadable)
}

/// Fails if the text cannot be read.
fn unreadable(error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => cannot_read(error, "a line is too long for one label"),
        other => damaged(format!("{other:?}")),
    }
}

/// An integer as a label is written.
fn integer(field: &[u8]) -> Option<i64> {
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

fn text(field: &[u8], row: u64) -> Result<&str> {
    let text = std::str::from_utf8(field).map_err(|_| damaged("a label is not Unicode").with("row", row))?;
    Ok(text.trim())
}

impl LabelText {
    /// Whether bytes at the beginning of a file are text.
    pub(super) fn is_text(head: &[u8]) -> bool {
        let text = match std::str::from_utf8(head) {
            Ok(text) => text,
            // A character may be cut at the end.
            Err(error) if error.error_len().is_none() => {
                std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return false,
        };
        !text.is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace())
    }

    /// Reads all labels to find out how many they are, and whether all are integers.
    ///
    /// The first line is a header if it has a well-known name of labels, or if it is the only one that is no integer. Of a
    /// table with several columns, the header says which one holds the labels.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if that is not clear; [`Data`](crate::error::ErrorKind::Data) if the file
    /// is no text.
    pub(super) fn open(bytes: &Arc<dyn ReadAt>) -> Result<Self> {
        let mut first = ByteRecord::new();
        next_line(&mut reader(bytes, 0, b','), &mut first)?;
        let is_tabbed = first.len() == 1 && first.get(0).is_some_and(|line| line.contains(&b'\t'));
        let mark = if is_tabbed { b'\t' } else { b',' };
        next_line(&mut reader(bytes, 0, mark), &mut first)?;
        let fields: Vec<String> = first
            .iter()
            .map(|field| String::from_utf8_lossy(field).trim().trim_start_matches('\u{feff}').to_owned())
            .collect();
        let known: Vec<usize> = (0..fields.len()).filter(|&at| is_label_name(&fields[at])).collect();
        let field = match (fields.len(), &known[..]) {
            (_, [only]) => *only,
            (0 | 1, _) => 0,
            _ => {
                return Err(Error::usage("it is not clear which column of the table holds the labels")
                    .with("columns", escaped(&fields.iter().take(12).cloned().collect::<Vec<_>>().join(", ")))
                    .help("call one of them label in the first line, or write the labels alone, one a line"));
            }
        };
        let mut lines = reader(bytes, 0, mark);
        let mut record = ByteRecord::new();
        // Rows and the beginnings of units, if the first line is a label, and if it is a header.
        let mut counted = [(0_u64, Vec::new()), (0, Vec::new())];
        let mut integers = [false, true];
        for row in 0.. {
            let place = lines.position().byte();
            if !next_line(&mut lines, &mut record)? {
                break;
            }
            let value = record.get(field).ok_or_else(|| damaged("a line has no label").with("row", row))?;
            text(value, row)?;
            let is_integer = integer(value).is_some();
            let all = usize::from(row > 0);
            integers[all] = is_integer && (row == 0 || integers[1]);
            for (rows, units) in counted.iter_mut().take(1 + all) {
                if rows.is_multiple_of(UNIT_ROWS) {
                    units.push(place);
                }
                *rows += 1;
            }
        }
        let [first_is_integer, others_are] = integers;
        let has_header = !known.is_empty() || (!first_is_integer && others_are && counted[1].0 > 0);
        let is_integer = others_are && (has_header || first_is_integer);
        let [with_first, without] = counted;
        let (rows, units) = if has_header { without } else { with_first };
        let kind = if is_integer { DataType::Int64 } else { DataType::Utf8 };
        Ok(Self {
            fingerprint: sampled(&**bytes)?,
            columns: [StoredColumn::new(LABEL, kind)],
            layout: Layout { mark, field, is_integer },
            rows,
            units,
            bytes: bytes.size(),
        })
    }
}

impl Container for LabelText {
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn memory(&self) -> u64 {
        (size_of_val(&self.units[..])) as u64
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn units(&self) -> usize {
        self.units.len()
    }

    fn rows(&self, unit: usize) -> u64 {
        (self.rows - unit as u64 * UNIT_ROWS).min(UNIT_ROWS)
    }

    fn stored_bytes(&self, _: usize, _: &[usize]) -> u64 {
        self.bytes / self.units.len().max(1) as u64
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        if self.layout.is_integer { 0 } else { self.stored_bytes(unit, columns) }
    }

    fn first_length(&self, _: &Arc<dyn ReadAt>, _: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let (bytes, layout, place) = (bytes.clone(), self.layout, self.units[unit]);
        Box::new(TextUnit { bytes, layout, place, rows: self.rows(unit) })
    }
}

/// Lines of a unit.
#[derive(Debug)]
struct TextUnit {
    bytes: Arc<dyn ReadAt>,
    layout: Layout,
    /// The byte at which they begin.
    place: u64,
    rows: u64,
}

impl OpenUnit for TextUnit {
    fn vectors(&self, _: usize, _: VectorType, _: usize, _: usize) -> Result<Box<dyn VectorStream>> {
        Err(Error::internal("a text of labels holds no vectors"))
    }

    fn arrays(&self, _: &[usize], _: usize, _: Strings) -> Result<Box<dyn ArrayStream>> {
        let reader = reader(&self.bytes, self.place, self.layout.mark);
        Ok(Box::new(Lines { reader, layout: self.layout, done: 0, rows: self.rows }))
    }
}

/// Labels, line by line.
struct Lines {
    reader: Reader<TextBytes>,
    layout: Layout,
    done: u64,
    rows: u64,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("done", &self.done).finish_non_exhaustive()
    }
}

impl ArrayStream for Lines {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let (mut integers, mut texts) = (Vec::new(), Vec::new());
        let mut record = ByteRecord::new();
        for row in self.done..self.done + rows as u64 {
            let changed = || damaged("the labels are not those that were counted").with("row", row);
            if !next_line(&mut self.reader, &mut record)? {
                return Err(changed());
            }
            let value = record.get(self.layout.field).ok_or_else(changed)?;
            if self.layout.is_integer {
                integers.push(integer(value).ok_or_else(changed)?);
            } else {
                texts.push(text(value, row)?.to_owned());
            }
        }
        self.done += rows as u64;
        Ok(vec![if self.layout.is_integer {
            Arc::new(Int64Array::from(integers))
        } else {
            Arc::new(StringArray::from_iter_values(texts))
        }])
    }

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.done == self.rows)
    }
}
