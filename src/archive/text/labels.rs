//! Labels alone: one a line, or the columns of a table.

use std::sync::Arc;

use super::file::TextFile;
use super::format::mark_of;
use super::kinds::{Field, Kind};
use super::records::{BYTE_ORDER_MARK, Columns, Form, Place, Records, START};
use super::survey::{Survey, header};
use crate::archive::container::LABEL;
use crate::archive::escape::escaped;
use crate::archive::names::is_label_name;
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::{Error, Result};

/// The most columns that an error shows.
const SHOWN: usize = 12;

/// Labels in a text. It is a table if its first line has several fields, and then that line has the names of the columns.
/// Else every line is a label, and an empty one a label that is missing, but for those at the end. The first one is a header if
/// it has a well-known name of labels that no other line has, or if it is a word and all other lines are numbers.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) if it is not clear what the fields of the first line are;
/// [`Data`](crate::error::ErrorKind::Data) with the line if the text is broken.
pub(in crate::archive) fn open_labels(bytes: &Arc<dyn ReadAt>) -> Result<TextFile> {
    let start = start(bytes)?;
    let one = Columns::new(vec![LABEL.to_owned()]);
    let list = Form::Lines;
    let mut lines = Records::open(bytes, list, start, &one);
    let first = loop {
        match (lines.next()?, lines.text(0)) {
            (true, None) => {}
            (true, Some(text)) => break text.to_vec(),
            (false, _) => break Vec::new(),
        }
    };
    let mark = mark_of(&String::from_utf8_lossy(&first));
    let table = Form::Csv(mark);
    let mut fields = Records::open(bytes, table, start, &Columns::default());
    if fields.next()? && fields.fields() > 1 {
        let names: Vec<&[u8]> = (0..fields.fields()).map(|at| fields.text(at).unwrap_or_default()).collect();
        if names.iter().any(|name| is_name(name)) {
            let (columns, start) = header(bytes, mark)?;
            return TextFile::new(bytes, Survey::new(bytes, table, columns, start)?);
        }
        if mark != b';' {
            let shown = names.iter().take(SHOWN).map(|name| String::from_utf8_lossy(name).trim().to_owned());
            return Err(Error::usage("it is not clear which column of the table holds the labels")
                .with("columns", escaped(&shown.collect::<Vec<_>>().join(", ")))
                .help(
                    "call one of them label in the first line, or write labels alone, in quotes if they have commas",
                ));
        }
    }
    let second = lines.place();
    let (mut rest, mut again) = (Kind::Nothing, false);
    while lines.next()? {
        rest = rest.and(Kind::of(lines.field(0), rest));
        again |= lines.text(0) == Some(&first);
    }
    let is_odd = rest.is_number() && Kind::of(Field::Plain(first.trim_ascii()), rest) == Kind::Text;
    let has_header = is_odd || (is_name(&first) && !again);
    TextFile::new(bytes, Survey::new(bytes, list, one, if has_header { second } else { start })?)
}

fn is_name(field: &[u8]) -> bool {
    std::str::from_utf8(field).is_ok_and(|name| is_label_name(name.trim()))
}

/// Where the text begins.
fn start(bytes: &Arc<dyn ReadAt>) -> Result<Place> {
    let mut head = [0; BYTE_ORDER_MARK.len()];
    if bytes.size() < head.len() as u64 {
        return Ok(START);
    }
    read_exact_at(&**bytes, 0, &mut head)?;
    Ok(if head == BYTE_ORDER_MARK { Place { byte: head.len() as u64, ..START } } else { START })
}
