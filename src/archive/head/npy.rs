//! `numpy`'s `.npy` files, format versions 1 to 3.

use std::io::Read;
use std::path::Path;

use super::elements::{Element, Elements, Tensor};
use super::file::HeadFile;
use super::{HeadParts, Wanted, damaged, open, unreadable};
use crate::error::{Error, Result};

/// What `numpy` itself refuses to read without being told that the file is trusted.
const HEADER_LIMIT: u64 = 10_000;

/// Weights from one file, the bias from another.
pub(super) fn read(weights: &Path, bias: Option<&Path>, wanted: Wanted) -> Result<HeadParts> {
    let bias = bias.map(|bias| array(bias, wanted)).transpose()?;
    Ok(HeadParts { weights: array(weights, wanted)?, bias, labels: None })
}

fn array(path: &Path, wanted: Wanted) -> Result<Tensor> {
    let (mut file, len) = open(path)?;
    let (text, start) = header_text(&mut file, path)?;
    let header = Header::parse(&text).ok_or_else(|| damaged(path, "its header is not a .npy header"))?;
    let (element, big_endian) = header.element().ok_or_else(|| {
        Error::data("the type of the head is not a real floating-point type")
            .with("file", path.display())
            .with("type", &header.descr)
    })?;
    let size = header.shape.iter().try_fold(element.size(), |size, &extent| size.checked_mul(extent));
    let size = size.filter(|&size| len.checked_sub(start) == Some(size as u64)).ok_or_else(|| {
        damaged(path, "its length is not what its header says")
            .with("shape", super::shape(&header.shape))
            .with("bytes", len.saturating_sub(start))
    })?;
    let elements = match wanted {
        Wanted::Shape => Elements::new(element, Vec::new()),
        Wanted::Numbers => Elements::read(element, &mut file, path, start, size)?,
    };
    Ok(Tensor {
        shape: header.shape,
        column_major: header.column_major,
        elements: if big_endian { elements.swapped() } else { elements },
    })
}

/// The header's dictionary, and where the numbers begin.
fn header_text(file: &mut HeadFile, path: &Path) -> Result<(String, u64)> {
    let bytes = |file: &mut HeadFile, count: u64| {
        let mut bytes = Vec::new();
        file.take(count).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
        if bytes.len() as u64 == count { Ok(bytes) } else { Err(damaged(path, "it ends within its header")) }
    };
    let start = bytes(file, 8)?;
    if !start.starts_with(b"\x93NUMPY") {
        return Err(damaged(path, "it does not begin like a .npy file"));
    }
    // Version 1 has two bytes of length, 2 and 3 have four.
    let width = match start[6] {
        1 => 2,
        2 | 3 => 4,
        version => return Err(damaged(path, format!("its format version {version} is not known"))),
    };
    let length = bytes(file, width)?.iter().rev().fold(0, |length, &byte| length << 8 | u64::from(byte));
    if length > HEADER_LIMIT {
        return Err(damaged(path, format!("its header of {length} bytes is too long")));
    }
    let text = String::from_utf8(bytes(file, length)?).map_err(|_| damaged(path, "its header is not text"))?;
    Ok((text, 8 + width + length))
}

/// `{'descr': '<f4', 'fortran_order': False, 'shape': (10, 64), }`
#[derive(Debug, PartialEq, Eq)]
struct Header {
    descr: String,
    column_major: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Reads the dictionary's three keys, in any order. Other headers, as of structured types, are refused.
    fn parse(text: &str) -> Option<Self> {
        let (mut descr, mut column_major, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            let after = match key {
                "descr" => {
                    let (value, after) = quoted(value)?;
                    descr = Some(value.to_owned());
                    after
                }
                "fortran_order" => {
                    let word = value.split([',', ' ']).next()?;
                    column_major = Some(word == "True");
                    value.strip_prefix("True").or_else(|| value.strip_prefix("False"))?
                }
                "shape" => {
                    let (extents, after) = value.strip_prefix('(')?.split_once(')')?;
                    let extents = extents.split(',').map(str::trim).filter(|extent| !extent.is_empty());
                    shape = Some(extents.map(|extent| extent.parse().ok()).collect::<Option<_>>()?);
                    after
                }
                _ => return None,
            };
            let after = after.trim_start();
            rest = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
        }
        Some(Self { descr: descr?, column_major: column_major?, shape: shape? })
    }

    /// The type, and whether its most significant byte comes first.
    fn element(&self) -> Option<(Element, bool)> {
        let (order, kind) = self.descr.split_at_checked(1)?;
        let element = match kind {
            "f2" => Element::F16,
            "f4" => Element::F32,
            "f8" => Element::F64,
            _ => return None,
        };
        match order {
            "<" => Some((element, false)),
            ">" => Some((element, true)),
            "=" => Some((element, cfg!(target_endian = "big"))),
            _ => None,
        }
    }
}

/// The string at the start, and what follows it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote)
}
