//! The header of an array, format versions 1 to 3.

use crate::archive::arrays::{Element, Kind};
use crate::archive::damage::damaged;
use crate::archive::escape::escaped;
use crate::error::{Error, Result};

/// What arrays begin with.
pub(super) const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// `numpy` itself refuses longer ones unless it is told that the file is trusted; structured types take the most.
const HEADER_LIMIT: u64 = 10_000;

/// The longest text that can be a label.
const TEXT_LIMIT: usize = 1 << 16;

/// What a header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type as it is written.
    pub(super) descr: String,
    pub(super) column_major: bool,
    pub(super) shape: Vec<u64>,
    /// Where the elements begin.
    pub(super) length: u64,
}

/// Reads a header by calls of `next`, each of which fills a buffer with the next bytes.
pub(super) fn read(mut next: impl FnMut(&mut [u8]) -> Result<()>) -> Result<Header> {
    let mut start = [0; 8];
    next(&mut start)?;
    if !start.starts_with(MAGIC) {
        return Err(damaged("it does not begin like a .npy file"));
    }
    // Version 1 has two bytes of length, 2 and 3 have four.
    let mut bytes = [0; 4];
    let width = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => return Err(damaged(format!("its format version {version} is not known"))),
    };
    next(&mut bytes[..width])?;
    let length = u64::from(u32::from_le_bytes(bytes));
    if length > HEADER_LIMIT {
        return Err(damaged(format!("its header of {length} bytes is too long")));
    }
    let mut text = vec![0; length as usize];
    next(&mut text)?;
    let text = String::from_utf8(text).map_err(|_| damaged("its header is not text"))?;
    parse(&text, 8 + width as u64 + length).ok_or_else(|| damaged("its header is not that of an array"))
}

/// Reads the dictionary's three keys, in any order: `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 64), }`.
fn parse(text: &str, length: u64) -> Option<Header> {
    let (mut descr, mut column_major, mut shape) = (None, None, None);
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    while !rest.is_empty() {
        let (key, after) = quoted(rest)?;
        let value = after.trim_start().strip_prefix(':')?.trim_start();
        let after = match key {
            "descr" => {
                let (value, after) = quoted(value).or_else(|| bracketed(value))?;
                descr = Some(value.to_owned());
                after
            }
            "fortran_order" => {
                let after = value.strip_prefix("True").or_else(|| value.strip_prefix("False"))?;
                column_major = Some(value.starts_with("True"));
                after
            }
            "shape" => {
                let (extents, after) = value.strip_prefix('(')?.split_once(')')?;
                let extents = extents.split(',').map(str::trim).filter(|extent| !extent.is_empty());
                // Python 2 wrote long integers as `10L`.
                let extents = extents.map(|extent| extent.strip_suffix('L').unwrap_or(extent).parse().ok());
                shape = Some(extents.collect::<Option<_>>()?);
                after
            }
            _ => return None,
        };
        let after = after.trim_start();
        rest = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
    }
    Some(Header { descr: descr?, column_major: column_major?, shape: shape?, length })
}

/// The string at the start, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}

/// The list at the start, as structured types are described, and what follows it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return text.starts_with('[').then(|| text.split_at(at + c.len_utf8()));
        }
    }
    None
}

impl Header {
    /// The element; `None` if its type is none that is read.
    pub(super) fn element(&self) -> Option<Element> {
        let (order, kind) = self.descr.split_at_checked(1)?;
        let big_endian = match order {
            "<" | "|" => false,
            ">" => true,
            "=" => cfg!(target_endian = "big"),
            _ => return None,
        };
        let (letter, size) = kind.split_at_checked(1)?;
        let size: usize = size.parse().ok()?;
        let kind = match (letter, size) {
            ("b", 1) => Kind::Bool,
            ("i", 1 | 2 | 4 | 8) => Kind::Int(size),
            ("u", 1 | 2 | 4 | 8) => Kind::UInt(size),
            ("f", 2) => Kind::F16,
            ("f", 4) => Kind::F32,
            ("f", 8) => Kind::F64,
            // As ml_dtypes saves it: NumPy has no name for this type.
            ("V", 2) => Kind::Bf16,
            ("U", _) if size <= TEXT_LIMIT => Kind::Utf32(size),
            ("S", _) if size <= TEXT_LIMIT => Kind::Utf8(size),
            _ => return None,
        };
        Some(Element { kind, big_endian })
    }

    /// Whether it holds Python objects, which only running code can read.
    pub(super) fn is_pickled(&self) -> bool {
        self.descr.contains('O')
    }

    /// How many bytes follow the header.
    pub(super) fn content_bytes(&self, element: Element) -> Option<u64> {
        self.shape.iter().try_fold(element.width() as u64, |bytes, &extent| bytes.checked_mul(extent))
    }
}

/// The error of arrays of Python objects, those of a file of their own or the `member` of an archive, with statements that
/// save them as what they are: without an extent a dictionary, else values, vectors or batches of rows.
pub(super) fn pickled(header: &Header, member: Option<&str>) -> Error {
    let array = member.map_or_else(|| "x".to_owned(), |name| format!("x[\"{}\"]", escaped(name)));
    let rows = "numpy.concatenate(y) if parts else numpy.array(y.tolist())";
    let mut lines = vec!["import numpy".to_owned(), "x = numpy.load(\"FILE\", allow_pickle=True)".to_owned()];
    if header.shape.is_empty() {
        lines.push(format!("numpy.savez(\"arrays.npz\", **{array}.item())"));
    } else {
        lines.push(format!("y = {array}"));
        lines.push("parts = numpy.ndim(y[0]) > 1 or len({numpy.shape(v) for v in y}) > 1".to_owned());
        lines.push(match member {
            None => format!("numpy.save(\"array.npy\", {rows})"),
            Some(name) => format!("numpy.savez(\"arrays.npz\", **{{**x, \"{}\": {rows}}})", escaped(name)),
        });
    }
    Error::data("the array holds pickled Python objects, which could run any program")
        .help(format!("save it as numbers or texts, in Python:\n    {}", lines.join("\n    ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Option<Header> {
        parse(text, 0)
    }

    #[test]
    fn headers_are_read_in_any_order_and_spelling() {
        let expected = Header { descr: "<f4".into(), column_major: false, shape: vec![10, 64], length: 0 };
        for text in [
            "{'descr': '<f4', 'fortran_order': False, 'shape': (10, 64), }          \n",
            "{\"shape\":(10L,64L),\"fortran_order\":False,\"descr\":\"<f4\"}",
        ] {
            assert_eq!(header(text).as_ref(), Some(&expected), "{text}");
        }
        assert_eq!(header("{'descr': '|O', 'fortran_order': True, 'shape': (3,)}").unwrap().shape, [3]);
        let fields =
            header("{'descr': [('a', '<f4', (2,)), ('b', '<i8')], 'fortran_order': False, 'shape': ()}").unwrap();
        assert_eq!((fields.element(), fields.shape.len()), (None, 0));
        for text in [
            "",
            "{}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,)}",
            "{'descr': [[, 'fortran_order': False, 'shape': (1,)}",
            "{'a': 1, 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        ] {
            assert_eq!(header(text), None, "{text}");
        }
    }

    #[test]
    fn types_are_known_by_letter_and_size() {
        let element =
            |descr: &str| Header { descr: descr.into(), column_major: false, shape: vec![], length: 0 }.element();
        let kind = |descr: &str| element(descr).map(|element| (element.kind, element.big_endian));
        for (descr, expected) in [
            ("<f2", Some((Kind::F16, false))),
            (">f8", Some((Kind::F64, true))),
            ("<V2", Some((Kind::Bf16, false))),
            ("|V2", Some((Kind::Bf16, false))),
            ("|b1", Some((Kind::Bool, false))),
            ("|u1", Some((Kind::UInt(1), false))),
            ("<U12", Some((Kind::Utf32(12), false))),
            ("|S3", Some((Kind::Utf8(3), false))),
            ("<i3", None),
            ("<f16", None),
            ("<c8", None),
            ("<M8[ns]", None),
            ("<U999999999", None),
            ("|O", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(kind(descr), expected, "{descr}");
        }
    }
}
