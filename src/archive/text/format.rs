//! The formats, and how their files are known.

use std::sync::Arc;

use super::file::TextFile;
use super::records::Form;
use crate::archive::container::{Container, Format};
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::Result;

/// A table with a header, and commas, tabs or semicolons between fields.
#[derive(Debug)]
pub(in crate::archive) struct Csv;

/// An object of JSON in each line.
#[derive(Debug)]
pub(in crate::archive) struct JsonLines;

/// One array of objects of JSON.
#[derive(Debug)]
pub(in crate::archive) struct JsonArray;

/// What the files of the second are.
pub(in crate::archive) const JSON_LINES: &str = "JSON lines";

/// Bytes of memory while a file is read through: its longest record, and where its rows begin.
const MEMORY: u64 = 1 << 20;

/// Marks between fields; of equally many the first counts.
const MARKS: [u8; 3] = [b',', b'\t', b';'];

/// How many marks a line has outside of quotes.
fn marks(line: &str, mark: u8) -> usize {
    let mut quoted = false;
    let is_mark = |byte: &u8| {
        quoted ^= *byte == b'"';
        *byte == mark && !quoted
    };
    line.bytes().filter(is_mark).count()
}

/// The mark of a table that begins with this line.
pub(super) fn mark_of(first: &str) -> u8 {
    MARKS.into_iter().rev().max_by_key(|&mark| marks(first, mark)).unwrap_or(b',')
}

/// Bytes at the beginning of a file as text; `None` if they are something else.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    let text = text.trim_start_matches('\u{feff}');
    (!text.chars().any(|c| c.is_control() && !c.is_whitespace())).then_some(text)
}

/// Whether bytes at the beginning of a file are text.
pub(in crate::archive) fn is_text(head: &[u8]) -> bool {
    text(head).is_some_and(|text| !text.is_empty())
}

/// Whether the lines have equally many fields, and more than one.
fn is_table(text: &str) -> bool {
    let mut lines = text.lines();
    let Some(first) = lines.next() else { return false };
    let (second, third) = (lines.next(), lines.next());
    if text.starts_with(['{', '[', '<']) {
        return false;
    }
    MARKS.iter().any(|&mark| {
        let count = marks(first, mark);
        // A line may be cut off where the head ends.
        count > 0
            && match second.map(|line| (marks(line, mark), line)) {
                None => count > 2,
                Some((others, line)) => {
                    let may_be_cut = third.is_none() && others < count && (others > 0 || line.contains('"'));
                    others == count || may_be_cut
                }
            }
    })
}

/// Whether it begins as an array of objects does, or is one without elements.
fn is_json_array(text: &str) -> bool {
    let inner = text.trim_start().strip_prefix('[').map(str::trim_start);
    inner.is_some_and(|inner| match inner.strip_prefix('{') {
        Some(object) => object.trim_start().starts_with('"'),
        None => inner.trim_end() == "]",
    })
}

/// Whether each line begins as an object does. Of a first line that does not end here nothing more is known; an object
/// over several lines is JSON, but not of this kind.
fn is_json_lines(text: &str) -> bool {
    let mut lines = text.lines();
    let begins = |line: &str| {
        let inner = line.trim_start().strip_prefix('{');
        inner.is_some_and(|inner| inner.trim_start().starts_with('"'))
    };
    let (first, second) = (lines.next().unwrap_or_default(), lines.next());
    begins(first)
        && match second {
            Some(second) => first.trim_end().ends_with('}') && begins(second),
            // One object of columns begins with rows in rows.
            None => !first.trim_end().ends_with('}') && !first.replace(' ', "").contains("[["),
        }
}

impl Format for Csv {
    fn what(&self) -> &'static str {
        "a table in text (CSV)"
    }

    fn precedence(&self) -> u8 {
        TEXTS
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["csv", "tsv"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        text(head).is_some_and(is_table)
    }

    fn is_table_in_text(&self) -> bool {
        true
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(memory(bytes))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        // A header may be long: one name for each dimension.
        let mut head = vec![0; bytes.size().min(1 << 16) as usize];
        read_exact_at(&**bytes, 0, &mut head)?;
        let head = String::from_utf8_lossy(&head);
        let mark = mark_of(head.lines().next().unwrap_or_default());
        Ok(Arc::new(TextFile::open(bytes, Form::Csv(mark))?))
    }
}

impl Format for JsonLines {
    fn what(&self) -> &'static str {
        JSON_LINES
    }

    fn precedence(&self) -> u8 {
        TEXTS
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jsonl", "ndjson"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        text(head).is_some_and(is_json_lines)
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(memory(bytes))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        Ok(Arc::new(TextFile::open(bytes, Form::Json)?))
    }
}

impl Format for JsonArray {
    fn what(&self) -> &'static str {
        "an array of JSON objects"
    }

    fn precedence(&self) -> u8 {
        DOCUMENTS
    }

    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        text(head).is_some_and(is_json_array)
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(memory(bytes))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        Ok(Arc::new(TextFile::open(bytes, Form::Array)?))
    }
}

/// After all other formats: results, labels and logs are tables in text too, and often lie beside features.
const TEXTS: u8 = 9;

/// After these: results lie beside tables in text too.
const DOCUMENTS: u8 = 10;

fn memory(bytes: &Arc<dyn ReadAt>) -> u64 {
    // Sixteen bytes for 2048 rows, which take two bytes each at least.
    MEMORY + bytes.size() / 256
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_lines_of_json_are_known_by_how_they_begin() {
        let long = format!("{{\"feature\": [{}", "0.25, ".repeat(80));
        for (head, csv, json) in [
            ("a,b,label\n1,2,0\n3,4,1\n", true, false),
            ("a\tb\n1\t2\n", true, false),
            ("label,emb\n0,\"[1.0, 2.0]\"\n1,\"[1.0, 2.0]\"\n", true, false),
            ("label;f0;f1;f2", true, false),
            ("0\n1\n2\n", false, false),
            ("Hello, world\nand more\nand more", false, false),
            ("{\"a\": 1}\n{\"a\": 2}\n", false, true),
            (&long, false, true),
            ("{\n  \"a\": 1\n}\n", false, false),
            ("{\"splits\": [\"train\", \"test\"]}", false, false),
            ("[{\"a\": 1}, {\"a\": 2}]", false, false),
            ("", false, false),
        ] {
            let found = (Csv.recognises(head.as_bytes(), b""), JsonLines.recognises(head.as_bytes(), b""));
            assert_eq!(found, (csv, json), "{head}");
        }
        for head in ["[{\"a\": 1}, {\"a\": 2}]", "\u{feff}[\n  {\n    \"a\": 1", "[ ]\n"] {
            assert!(JsonArray.recognises(head.as_bytes(), b""), "{head}");
        }
        for head in ["[1, 2]", "[section]", "[[1]]", "[] x", "{\"a\": [{\"b\": 1}]}", "[{}]"] {
            assert!(!JsonArray.recognises(head.as_bytes(), b""), "{head}");
        }
        assert!(!Csv.recognises(b"PAR1,\x01,\n,,", b""));
        assert_eq!(
            (mark_of("a;b"), mark_of("a\tb;c\td"), mark_of("\"a;b;c\",d"), mark_of("a")),
            (b';', b'\t', b',', b',')
        );
    }
}
