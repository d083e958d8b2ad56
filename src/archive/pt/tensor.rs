//! A tensor as it was saved: a view of a storage, whose bytes are a member of the archive.

use std::collections::HashMap;

use super::pickle::{Id, Maker, Node, Pickle};
use crate::archive::arrays::{Element, Kind};
use crate::archive::damage::damaged;
use crate::archive::escape::escaped;
use crate::archive::zip::{Member, Method};
use crate::error::{Error, Result};

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::archive) struct SavedTensor {
    /// `None` if its elements cannot be read.
    pub(in crate::archive) element: Option<Element>,
    /// The type as torch names it.
    pub(in crate::archive) type_name: String,
    pub(in crate::archive) shape: Vec<u64>,
    pub(in crate::archive) layout: Layout,
}

/// Where the elements of a tensor lie; `start` is a byte of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Layout {
    /// One after the other, the last index varying fastest.
    Rows { start: u64 },
    /// One after the other, the first index of a matrix varying fastest.
    Columns { start: u64 },
    /// Rows of elements that follow one another, so many bytes apart: some columns or some rows of a larger tensor.
    Pitched { start: u64, pitch: u64 },
    /// In another way.
    Strided,
}

/// The storages of a file by their keys, and the order of their bytes.
#[derive(Debug)]
pub(super) struct Storages<'a> {
    pub(super) members: HashMap<&'a str, &'a Member>,
    pub(super) big_endian: bool,
}

/// The element of a class of storages, or of a type; and its name.
fn element(name: &str) -> (Option<Kind>, String) {
    let (kind, shown) = match name {
        "FloatStorage" | "float32" => (Kind::F32, "float32"),
        "DoubleStorage" | "float64" => (Kind::F64, "float64"),
        "HalfStorage" | "float16" => (Kind::F16, "float16"),
        "BFloat16Storage" | "bfloat16" => (Kind::Bf16, "bfloat16"),
        "LongStorage" | "int64" => (Kind::Int(8), "int64"),
        "IntStorage" | "int32" => (Kind::Int(4), "int32"),
        "ShortStorage" | "int16" => (Kind::Int(2), "int16"),
        "CharStorage" | "int8" => (Kind::Int(1), "int8"),
        "ByteStorage" | "uint8" => (Kind::UInt(1), "uint8"),
        "BoolStorage" | "bool" => (Kind::Bool, "bool"),
        "uint16" => (Kind::UInt(2), "uint16"),
        "uint32" => (Kind::UInt(4), "uint32"),
        "uint64" => (Kind::UInt(8), "uint64"),
        other => return (None, other.to_owned()),
    };
    (Some(kind), shown.to_owned())
}

impl SavedTensor {
    /// A tensor that a call makes; `None` if it is none that can be read, as one whose numbers are to be conjugated.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if it lies outside of its storage, or that is not in the file.
    pub(super) fn of(pickle: &Pickle, maker: Maker, arguments: Id, storages: &Storages<'_>) -> Result<Option<Self>> {
        let Node::Tuple(given) = pickle.node(arguments) else { return Err(unclear()) };
        let &[storage, offset, shape, strides, ref more @ ..] = &given[..] else { return Err(unclear()) };
        let (metadata, dtype) = match maker {
            Maker::Typed => (more.get(2), None),
            Maker::Untyped => (more.get(3), Some(more.get(2).copied().ok_or_else(unclear)?)),
        };
        if let Some(&metadata) = metadata
            && !matches!(pickle.node(metadata), Node::None)
            && !matches!(pickle.node(metadata), Node::Dict(entries) if entries.is_empty())
        {
            return Ok(None);
        }
        let counts = |id: Id| pickle.as_counts(id).ok_or_else(unclear);
        let (offset, shape, strides) = (pickle.as_count(offset).ok_or_else(unclear)?, counts(shape)?, counts(strides)?);
        if shape.len() != strides.len() {
            return Err(unclear());
        }
        let (class, key, count) = stored(pickle, storage)?;
        let (kind, type_name) = match dtype {
            Some(dtype) => element(&pickle.as_global(dtype).ok_or_else(unclear)?.1),
            None => element(&class),
        };
        let member = storages
            .members
            .get(&*key)
            .ok_or_else(|| damaged(format!("the bytes of the storage {} are not in the file", escaped(&key))))?;
        let mut tensor = Self { element: None, type_name, shape, layout: Layout::Strided };
        let Some(kind) = kind else { return Ok(Some(tensor)) };
        if member.method != Method::Stored {
            return Err(compressed());
        }
        let element = Element { kind, big_endian: storages.big_endian };
        let width = element.width() as u64;
        // The count of a storage without a type is that of its bytes.
        let bytes = if dtype.is_some() { Some(count) } else { count.checked_mul(width) };
        if bytes != Some(member.uncompressed) {
            let has = member.uncompressed;
            return Err(damaged(format!("the storage {} has {has} bytes, not {count} elements", escaped(&key))));
        }
        tensor.element = Some(element);
        tensor.layout = layout(&tensor.shape, &strides, offset, width, member)
            .ok_or_else(|| damaged(format!("a tensor lies outside of its storage {}", escaped(&key))))?;
        Ok(Some(tensor))
    }

    /// The elements; `None` if they are too many.
    pub(in crate::archive) fn count(&self) -> Option<u64> {
        self.shape.iter().try_fold(1_u64, |count, &extent| count.checked_mul(extent))
    }
}

fn unclear() -> Error {
    damaged("a tensor is not described as torch.save does it")
}

/// The error of files that were packed anew.
pub(super) fn compressed() -> Error {
    Error::data("the members of the file are compressed, which torch.save does not do")
        .help("save it again, in Python:\n    import torch\n    torch.save(torch.load(\"FILE\"), \"FILE\")")
}

/// Class, key and count of elements of a storage.
fn stored(pickle: &Pickle, id: Id) -> Result<(String, String, u64)> {
    let Node::Storage(id) = pickle.node(id) else { return Err(unclear()) };
    let Node::Tuple(parts) = pickle.node(*id) else { return Err(unclear()) };
    let &[word, class, key, _, count, ..] = &parts[..] else { return Err(unclear()) };
    if pickle.as_text(word).as_deref() != Some("storage") {
        return Err(unclear());
    }
    let (_, class) = pickle.as_global(class).ok_or_else(unclear)?;
    let key = pickle.as_text(key).ok_or_else(unclear)?;
    Ok((class, key, pickle.as_count(count).ok_or_else(unclear)?))
}

/// Where the elements lie; `None` if some of them lie outside of the storage.
fn layout(shape: &[u64], strides: &[u64], offset: u64, width: u64, member: &Member) -> Option<Layout> {
    let all = member.uncompressed / width;
    // The stride of an index that has one value says nothing.
    let real: Vec<(u64, u64)> =
        shape.iter().copied().zip(strides.iter().copied()).filter(|&(extent, _)| extent != 1).collect();
    if real.iter().any(|&(extent, _)| extent == 0) {
        // The other extents may be anything, and are not multiplied with one another.
        return Some(Layout::Rows { start: member.start });
    }
    let last = real.iter().try_fold(offset, |last, &(extent, stride)| {
        (extent - 1).checked_mul(stride).and_then(|distance| last.checked_add(distance))
    });
    if last? >= all {
        return None;
    }
    let start = member.start + offset * width;
    let count = shape.iter().try_fold(1_u64, |count, &extent| count.checked_mul(extent));
    // A view that repeats elements claims more of them than there are.
    if count.is_none_or(|count| count > all) || real.iter().any(|&(_, stride)| stride == 0) {
        return Some(Layout::Strided);
    }
    let (&dim, dim_stride) = match (shape.last(), strides.last()) {
        (Some(dim), Some(&stride)) if shape.len() > 1 => (dim, if *dim == 1 { 1 } else { stride }),
        // One value a row.
        _ => (&1, 1),
    };
    let outer = match shape.len() {
        0 | 1 => &real[..],
        _ => &real[..real.len() - usize::from(dim != 1)],
    };
    // The rows of all outer indices, if they lie at one distance from each other.
    let mut pitch = None;
    let mut rows = 1_u64;
    let mut even = true;
    for &(extent, stride) in outer.iter().rev() {
        match pitch {
            None => pitch = Some(stride),
            Some(pitch) => even &= rows.checked_mul(pitch) == Some(stride),
        }
        rows *= extent;
    }
    let pitch = pitch.unwrap_or(dim);
    Some(match () {
        () if dim_stride == 1 && even && pitch == dim => Layout::Rows { start },
        () if dim_stride == 1 && even && pitch > dim => Layout::Pitched { start, pitch: pitch * width },
        () if shape.len() == 2 && pitch == 1 && dim_stride == shape[0] => Layout::Columns { start },
        () => Layout::Strided,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_are_rows_columns_or_neither() {
        let member = Member {
            name: String::new(),
            method: Method::Stored,
            crc: 0,
            compressed: 4 * 24,
            uncompressed: 4 * 24,
            start: 1000,
        };
        let of = |shape: &[u64], strides: &[u64], offset: u64| layout(shape, strides, offset, 4, &member);
        let rows = |start: u64| Some(Layout::Rows { start });
        assert_eq!(of(&[6, 4], &[4, 1], 0), rows(1000));
        assert_eq!(of(&[2, 3, 4], &[12, 4, 1], 0), rows(1000));
        assert_eq!(of(&[5, 4], &[4, 1], 4), rows(1016));
        assert_eq!(of(&[6, 4], &[4, 1], 1), None);
        assert_eq!(of(&[1, 4], &[99, 1], 20), rows(1080));
        assert_eq!(of(&[24, 1], &[1, 7], 0), rows(1000));
        assert_eq!(of(&[24], &[1], 0), rows(1000));
        assert_eq!(of(&[], &[], 23), rows(1092));
        assert_eq!(of(&[], &[], 24), None);
        assert_eq!(of(&[0, u64::MAX], &[u64::MAX, 1], 99), rows(1000));
        let pitched = |start: u64, pitch: u64| Some(Layout::Pitched { start, pitch });
        assert_eq!(of(&[6, 2], &[4, 1], 1), pitched(1004, 16));
        assert_eq!(of(&[3, 4], &[8, 1], 4), pitched(1016, 32));
        assert_eq!(of(&[6], &[4], 2), pitched(1008, 16));
        assert_eq!(of(&[6, 1], &[4, 1], 2), pitched(1008, 16));
        assert_eq!(of(&[4, 6], &[1, 4], 0), Some(Layout::Columns { start: 1000 }));
        assert_eq!(of(&[3, 6], &[1, 4], 0), Some(Layout::Strided));
        assert_eq!(of(&[6, 2], &[4, 2], 0), Some(Layout::Strided));
        assert_eq!(of(&[3, 2, 4], &[4, 12, 1], 0), Some(Layout::Strided));
        assert_eq!(of(&[1 << 62, 4], &[0, 1], 0), Some(Layout::Strided));
        assert_eq!(of(&[6, 4], &[1, 1], 0), Some(Layout::Strided));
        assert_eq!(of(&[u64::MAX, 2], &[u64::MAX, 1], 0), None);
    }
}
