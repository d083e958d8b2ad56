//! The records of a text, one after the other.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::bytes::{BUFFER, TextBytes, unreadable};
use super::json::{Value, members};
use super::kinds::Field;
use super::lines::Lines;
use crate::archive::damage::damaged;
use crate::archive::read_at::ReadAt;
use crate::error::{Error, Result};

/// The longest record; a vector of a million elements takes some 20 MB.
const RECORD_LIMIT: usize = 64 << 20;

/// What some writers begin a text with.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What is too long if a record is.
const LONG: &str = "a record is too long, perhaps after a quote that is never closed";

/// The most columns of JSON lines, which may have new ones in every line.
const COLUMN_LIMIT: usize = 1 << 17;

/// How a text is parted into records and fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The byte between fields.
    Csv(u8),
    /// A line is a field.
    Lines,
    /// A line is an object.
    Json,
    /// An element of one array is an object.
    Array,
}

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) byte: u64,
    /// Counted from 1.
    pub(super) line: u64,
}

/// The beginning of a file.
pub(super) const START: Place = Place { byte: 0, line: 1 };

/// Records from some place on.
pub(super) struct Records {
    source: Source,
    /// Where the reader began.
    start: Place,
    /// The line of the record in hand.
    line: u64,
}

enum Source {
    Csv { reader: Box<Reader<TextBytes>>, record: ByteRecord, fields: usize },
    Lines(Lines),
    Json(JsonRecords),
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("line", &self.line).finish_non_exhaustive()
    }
}

/// Objects of JSON, and the fields of the one in hand.
struct JsonRecords {
    reader: BufReader<TextBytes>,
    /// Whether they are elements of an array, or else lines.
    in_array: bool,
    next: Place,
    text: Vec<u8>,
    /// The number of each name.
    names: Arc<HashMap<String, usize>>,
    /// Names that came up while the file was surveyed, in the order in which they did.
    new: Option<Vec<String>>,
    /// The values of the fields, one behind the other.
    values: Vec<u8>,
    /// Where each column has its value, and whether it is a text.
    spans: Vec<Option<(usize, usize, bool)>>,
}

impl Records {
    /// From `place` on. `columns` are the names of all of them; of CSV only their number counts, and 0 is any number.
    pub(super) fn open(bytes: &Arc<dyn ReadAt>, form: Form, place: Place, columns: &Columns) -> Self {
        let text = TextBytes::new(bytes, place.byte, RECORD_LIMIT);
        let source = match form {
            Form::Csv(mark) => {
                let mut builder = ReaderBuilder::new();
                let builder = builder.has_headers(false).flexible(true).delimiter(mark).buffer_capacity(BUFFER);
                let reader = Box::new(builder.from_reader(text));
                Source::Csv { reader, record: ByteRecord::new(), fields: columns.names.len() }
            }
            Form::Lines => Source::Lines(Lines::new(text, place)),
            Form::Json | Form::Array => Source::Json(JsonRecords {
                reader: BufReader::with_capacity(BUFFER, text),
                in_array: form == Form::Array,
                next: place,
                text: Vec::new(),
                names: columns.numbers.clone(),
                new: None,
                values: Vec::new(),
                spans: vec![None; columns.names.len()],
            }),
        };
        Self { source, start: place, line: place.line }
    }

    /// The same of a file whose names are to be found.
    pub(super) fn survey(bytes: &Arc<dyn ReadAt>, form: Form, place: Place, columns: &Columns) -> Self {
        let mut records = Self::open(bytes, form, place, columns);
        if let Source::Json(json) = &mut records.source {
            json.new = Some(Vec::new());
        }
        records
    }

    /// Goes on to the next record; `false` after the last one.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the line of a record that has too few or too many fields, or is broken.
    pub(super) fn next(&mut self) -> Result<bool> {
        if let Source::Json(json) = &mut self.source {
            json.enter()?;
        }
        self.line = self.place().line;
        let line = self.line;
        match &mut self.source {
            Source::Csv { reader, record, fields } => {
                reader.get_mut().begin_record();
                let more = reader.read_byte_record(record).map_err(|error| match error.into_kind() {
                    csv::ErrorKind::Io(error) => unreadable(error, LONG).with("line", line),
                    other => damaged(format!("{other:?}")).with("line", line),
                })?;
                if more && *fields > 0 && record.len() != *fields {
                    return Err(damaged("a line has not as many fields as the header")
                        .with("line", line)
                        .with("expected", *fields)
                        .with("found", record.len()));
                }
                Ok(more)
            }
            Source::Lines(lines) => lines.next().map_err(|error| unreadable(error, LONG).with("line", line)),
            Source::Json(json) => {
                let more = if json.in_array { json.next_element() } else { json.next_line() };
                more.map_err(|error| error.with_default("line", json.next.line))
            }
        }
    }

    /// The line of the record in hand, the first one being 1.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The field of a column in the record in hand.
    pub(super) fn field(&self, column: usize) -> Field<'_> {
        fn plain(text: Option<&[u8]>) -> Field<'_> {
            match text.map(<[u8]>::trim_ascii) {
                None | Some([]) => Field::Null,
                Some(text) => Field::Plain(text),
            }
        }
        match &self.source {
            Source::Csv { record, .. } => plain(record.get(column)),
            Source::Lines(lines) => plain(Some(lines.label()).filter(|_| column == 0)),
            Source::Json(json) => match json.spans.get(column).copied().flatten() {
                None => Field::Null,
                Some((start, end, true)) => Field::Text(&json.values[start..end]),
                Some((start, end, false)) => Field::Plain(&json.values[start..end]),
            },
        }
    }

    /// The same as a text, whose blanks count.
    pub(super) fn text(&self, column: usize) -> Option<&[u8]> {
        match (&self.source, self.field(column)) {
            (Source::Csv { record, .. }, _) => record.get(column).filter(|text| !text.is_empty()),
            (Source::Lines(lines), _) => Some(lines.label()).filter(|text| column == 0 && !text.is_empty()),
            (_, Field::Null) => None,
            (_, Field::Plain(text) | Field::Text(text)) => Some(text),
        }
    }

    /// How many fields the record in hand has.
    pub(super) fn fields(&self) -> usize {
        match &self.source {
            Source::Csv { record, .. } => record.len(),
            Source::Lines(_) => 1,
            Source::Json(json) => json.spans.len(),
        }
    }

    /// Where the next record begins.
    pub(super) fn place(&self) -> Place {
        match &self.source {
            Source::Csv { reader, .. } => {
                let position = reader.position();
                Place { byte: self.start.byte + position.byte(), line: self.start.line + position.line() - 1 }
            }
            Source::Lines(lines) => lines.place(),
            Source::Json(json) => json.next,
        }
    }

    /// The names that have come up.
    pub(super) fn new_names(self) -> Vec<String> {
        match self.source {
            Source::Json(JsonRecords { new: Some(new), .. }) => new,
            _ => Vec::new(),
        }
    }

    /// Puts the line of the record in hand into an error.
    pub(super) fn located(&self, error: Error) -> Error {
        error.with_default("line", self.line)
    }
}

impl JsonRecords {
    /// Passes over what stands before the first element of an array.
    fn enter(&mut self) -> Result<()> {
        if !self.in_array || self.next.byte > 0 {
            return Ok(());
        }
        if self.reader.fill_buf().map_err(|error| unreadable(error, LONG))?.starts_with(BYTE_ORDER_MARK) {
            self.reader.consume(BYTE_ORDER_MARK.len());
            self.next.byte += BYTE_ORDER_MARK.len() as u64;
        }
        match self.peek()? {
            Some(b'[') => self.pass(b'['),
            _ => return Err(damaged("it is not an array of JSON")),
        }
        self.peek().map(drop)
    }

    /// The next element of an array. The reader stands at an object, or at the end of the array.
    fn next_element(&mut self) -> Result<bool> {
        self.reader.get_mut().begin_record();
        let line = self.next.line;
        match self.peek()? {
            Some(b'{') => {}
            Some(b']') => {
                self.pass(b']');
                return if self.peek()?.is_none() {
                    Ok(false)
                } else {
                    Err(damaged("its array ends, and text follows"))
                };
            }
            Some(_) => return Err(damaged("an element of its array is not an object")),
            None => return Err(cut_off()),
        }
        self.take_object()?;
        self.read_object().map_err(|error| error.with_default("line", line))?;
        match self.peek()? {
            Some(b',') => {
                self.pass(b',');
                match self.peek()? {
                    Some(b'{') => Ok(true),
                    Some(_) => Err(damaged("an element of its array is not an object")),
                    None => Err(cut_off()),
                }
            }
            Some(b']') => Ok(true),
            Some(_) => Err(damaged("between two elements of its array stands no comma")),
            None => Err(cut_off()),
        }
    }

    /// Takes the text of an object, up to the brace that closes it.
    fn take_object(&mut self) -> Result<()> {
        self.text.clear();
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        loop {
            let byte = self.byte()?.ok_or_else(cut_off)?;
            self.pass(byte);
            self.text.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over blanks, and looks at the byte behind them.
    fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            match self.byte()? {
                Some(blank) if blank.is_ascii_whitespace() => self.pass(blank),
                byte => return Ok(byte),
            }
        }
    }

    /// The next byte.
    fn byte(&mut self) -> Result<Option<u8>> {
        let buffer = self.reader.fill_buf().map_err(|error| unreadable(error, LONG))?;
        Ok(buffer.first().copied())
    }

    /// Passes over the next byte.
    fn pass(&mut self, byte: u8) {
        self.reader.consume(1);
        self.next = Place { byte: self.next.byte + 1, line: self.next.line + u64::from(byte == b'\n') };
    }

    fn next_line(&mut self) -> Result<bool> {
        loop {
            self.text.clear();
            self.reader.get_mut().begin_record();
            let length = self.reader.read_until(b'\n', &mut self.text).map_err(|error| unreadable(error, LONG))?;
            if length == 0 {
                return Ok(false);
            }
            if self.next.byte == 0 && self.text.starts_with(BYTE_ORDER_MARK) {
                self.text.drain(..3);
            }
            if self.text.trim_ascii().is_empty() {
                self.next = Place { byte: self.next.byte + length as u64, line: self.next.line + 1 };
                continue;
            }
            self.read_object()?;
            self.next = Place { byte: self.next.byte + length as u64, line: self.next.line + 1 };
            return Ok(true);
        }
    }

    /// Finds the fields in the text of an object.
    fn read_object(&mut self) -> Result<()> {
        let Self { in_array, text, names, new, values, spans, .. } = self;
        values.clear();
        spans.fill(None);
        let mut wrong = None;
        let read = members(text, &mut |name, value| {
            let known = names.get(name).copied();
            let column = match (known, &mut *new) {
                (Some(column), _) => column,
                (None, Some(new)) if new.len() < COLUMN_LIMIT => {
                    let column = new.len();
                    Arc::make_mut(names).insert(name.to_owned(), column);
                    new.push(name.to_owned());
                    spans.push(None);
                    column
                }
                (None, Some(_)) => {
                    wrong = Some(damaged("its rows have too many names"));
                    return None;
                }
                (None, None) => {
                    wrong = Some(damaged("a row has a name that was not there before"));
                    return None;
                }
            };
            let start = values.len();
            let is_text = match &value {
                Value::Null => return Some(()),
                Value::Plain(text) => {
                    values.extend_from_slice(text);
                    false
                }
                Value::Text(text) => {
                    values.extend_from_slice(text.as_bytes());
                    true
                }
            };
            if spans[column].is_some() {
                wrong = Some(damaged(format!("a row has the name \"{name}\" twice")));
                return None;
            }
            spans[column] = Some((start, values.len(), is_text));
            Some(())
        });
        read.map_err(|broken| {
            wrong.unwrap_or_else(|| {
                let what = if *in_array { "an element" } else { "a line" };
                damaged(format!("{what} is no object of JSON")).with("character", broken.0 + 1)
            })
        })
    }
}

/// The error of an array that its file does not close.
fn cut_off() -> Error {
    damaged("it ends before its array does: truncated")
}

/// The columns of a file by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    numbers: Arc<HashMap<String, usize>>,
}

impl Columns {
    pub(super) fn new(names: Vec<String>) -> Self {
        let numbers = names.iter().cloned().zip(0..).collect();
        Self { names, numbers: Arc::new(numbers) }
    }
}
