//! The pass over a file that finds its columns, their types, its rows, and where units begin.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::decimals::{is_number, length};
use super::kinds::{Field, Kind};
use super::records::{BYTE_ORDER_MARK, Columns, Form, Place, Records, START};
use crate::archive::damage::damaged;
use crate::archive::escape::escaped;
use crate::archive::read_at::ReadAt;
use crate::archive::rows::chunk_rows;
use crate::error::{Error, Result};

/// What a file says of itself once it has been read through.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) form: Form,
    pub(super) columns: Columns,
    pub(super) kinds: Vec<Kind>,
    /// The length of the first list of each column.
    pub(super) lengths: Vec<Option<usize>>,
    /// The first line on which each column of texts holds no number, and what stands there.
    pub(super) first_texts: Vec<Option<(u64, String)>>,
    pub(super) rows: u64,
    pub(super) unit_rows: u64,
    /// Where each unit begins.
    pub(super) units: Vec<Place>,
}

/// The fewest rows of a unit. All numbers of rows that a unit may have are multiples of it.
const STEP: u64 = 2048;

/// Bytes of a text that an error shows.
const SHOWN: usize = 24;

/// What one column has been so far.
#[derive(Clone, Debug, Default)]
struct Seen {
    kind: Kind,
    length: Option<usize>,
    first_text: Option<(u64, String)>,
}

impl Survey {
    /// Reads a file through.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the line if a record is broken, or if there is no header.
    pub(super) fn of_table(bytes: &Arc<dyn ReadAt>, form: Form) -> Result<Self> {
        let (columns, start) = match form {
            Form::Csv(mark) => header(bytes, mark)?,
            Form::Lines | Form::Json | Form::Array => (Columns::default(), START),
        };
        Self::new(bytes, form, columns, start)
    }

    /// Reads the records from `start` on through. Of JSON the columns are found.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the line if a record is broken.
    pub(super) fn new(bytes: &Arc<dyn ReadAt>, form: Form, columns: Columns, start: Place) -> Result<Self> {
        let mut records = Records::survey(bytes, form, start, &columns);
        let mut seen = vec![Seen::default(); columns.names.len()];
        let (mut rows, mut places) = (0_u64, Vec::new());
        loop {
            let place = records.place();
            if !records.next()? {
                break;
            }
            if rows.is_multiple_of(STEP) {
                places.push(place);
            }
            rows += 1;
            if seen.len() < records.fields() {
                seen.resize(records.fields(), Seen::default());
            }
            for (column, seen) in seen.iter_mut().enumerate() {
                let field = records.field(column);
                seen.look(field, records.line()).map_err(|error| records.located(error))?;
            }
        }
        let columns = match form {
            Form::Csv(_) | Form::Lines => columns,
            Form::Json | Form::Array => Columns::new(records.new_names()),
        };
        let kinds: Vec<Kind> = seen.iter().map(|seen| seen.kind).collect();
        let lengths: Vec<Option<usize>> =
            seen.iter().map(|seen| seen.length.filter(|_| seen.kind == Kind::List)).collect();
        let widest = lengths.iter().flatten().copied().max();
        let dim = widest.unwrap_or(0).max(numbered(&columns.names, &kinds)).max(1);
        let unit_rows = chunk_rows(dim) as u64;
        let units = places.into_iter().step_by((unit_rows / STEP) as usize).collect();
        let first_texts = seen.into_iter().map(|seen| seen.first_text).collect();
        Ok(Self { form, columns, kinds, lengths, first_texts, rows, unit_rows, units })
    }
}

impl Seen {
    fn look(&mut self, field: Field<'_>, line: u64) -> Result<()> {
        let kind = Kind::of(field, self.kind);
        if kind == Kind::Text
            && self.first_text.is_none()
            && let Field::Plain(text) | Field::Text(text) = field
        {
            self.first_text = Some((line, String::from_utf8_lossy(&text[..text.len().min(SHOWN)]).into_owned()));
        }
        if kind == Kind::List
            && self.length.is_none()
            && let Field::Plain(text) = field
        {
            self.length = Some(length(text)?);
        }
        self.kind = self.kind.and(kind);
        Ok(())
    }
}

/// How many columns of numbers have names that differ in a number at their end alone, as `f0`, `f1`, …: the dimensions of
/// vectors whose elements are in columns of their own.
fn numbered(names: &[String], kinds: &[Kind]) -> usize {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, kind) in names.iter().zip(kinds) {
        let prefix = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if prefix.len() < name.len() && kind.is_numeric() && *kind != Kind::List {
            *counts.entry(prefix).or_default() += 1;
        }
    }
    counts.into_values().max().unwrap_or(0)
}

/// The names in the first line, and where the rows begin.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) if that line holds numbers.
pub(super) fn header(bytes: &Arc<dyn ReadAt>, mark: u8) -> Result<(Columns, Place)> {
    let mut records = Records::open(bytes, Form::Csv(mark), START, &Columns::default());
    if !records.next()? {
        return Ok((Columns::default(), START));
    }
    let name = |column| match records.field(column) {
        Field::Plain(text) | Field::Text(text) => {
            let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
            std::str::from_utf8(text).map(|name| name.trim().to_owned())
        }
        Field::Null => Ok(String::new()),
    };
    let names: Vec<String> = (0..records.fields())
        .map(name)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| damaged("its header is not Unicode"))?;
    if !is_header(&names) {
        let shown: Vec<String> = names.iter().take(4).map(|name| escaped(name)).collect();
        return Err(Error::data("a table in text needs a header: its first line holds numbers, and no names")
            .with("first line", format!("{}{}", shown.join(", "), if names.len() > 4 { ", …" } else { "" }))
            .help("put a line of names before it, as f0,f1,f2,label"));
    }
    let place = records.place();
    Ok((Columns::new(names), place))
}

/// Whether these are names of columns. Numbers may be names too, as pandas gives them: 0, 1, 2 and so on.
fn is_header(names: &[String]) -> bool {
    let numbers: Vec<&str> = names.iter().map(String::as_str).filter(|name| is_number(name.as_bytes())).collect();
    let first: u64 = match numbers.first().map(|first| first.parse()) {
        None => return true,
        Some(Ok(first @ 0..=1)) => first,
        Some(_) => return false,
    };
    let counts = numbers.iter().zip(first..).all(|(name, at)| *name == at.to_string());
    let distinct: HashSet<&String> = names.iter().collect();
    counts && distinct.len() == names.len() && numbers.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_names_or_counts_its_columns() {
        let is = |line: &str| is_header(&line.split(',').map(str::to_owned).collect::<Vec<_>>());
        for line in ["f0,f1,label", ",0,1,2,label", "0,1,2,3", "1,2,3,label", "label", ",x,y"] {
            assert!(is(line), "{line}");
        }
        for line in ["0.5,1.5,cat", "0,2,1", "3,4,5", "1", "0,0,1", "1,1", "cat,1.0"] {
            assert!(!is(line), "{line}");
        }
    }

    #[test]
    fn columns_of_elements_are_counted_by_their_names() {
        let names: Vec<String> = ["f0", "f1", "f2", "g7", "label", "f3"].map(str::to_owned).to_vec();
        let kinds = [Kind::Float, Kind::Int, Kind::Nothing, Kind::Float, Kind::Natural, Kind::Text];
        assert_eq!(numbered(&names, &kinds), 3);
    }
}
