//! `.npz`: arrays in a zip archive.

use std::sync::Arc;

use super::format::check_length;
use super::header::{self, Header, pickled};
use crate::archive::arrays::{ArrayFile, Deflated, Inflater, Place, StoredArray};
use crate::archive::container::{ArrayNames, Container, Format};
use crate::archive::damage::damaged;
use crate::archive::escape::escaped;
use crate::archive::fingerprint::{fnv1a, joined};
use crate::archive::names::{is_feature_name, is_label_name};
use crate::archive::read_at::{Part, ReadAt, read_exact_at};
use crate::archive::zip::{Directory, Member, Method, first_name};
use crate::error::{Error, Result};

/// The format.
#[derive(Debug)]
pub(in crate::archive) struct Npz;

/// Bytes of memory for the directory and the headers, beside the bytes of the file's end.
const MEMORY: u64 = 1 << 20;

impl Format for Npz {
    fn what(&self) -> &'static str {
        "NumPy arrays (.npz)"
    }

    fn precedence(&self) -> u8 {
        2
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["npz"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        first_name(head).is_some_and(|name| name.ends_with(b".npy"))
    }

    fn memory(&self, _: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(MEMORY)
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        open(bytes, None)
    }

    fn open_arrays(&self, bytes: &Arc<dyn ReadAt>, names: &ArrayNames) -> Result<Arc<dyn Container>> {
        open(bytes, Some(names))
    }

    fn feature_arrays(&self, bytes: &Arc<dyn ReadAt>) -> Result<Vec<String>> {
        // Whether an array can be read is seen when it is wanted.
        let none = ArrayNames { features: String::new(), labels: None };
        let arrays = arrays(bytes, &Directory::read(&**bytes)?, Some(&none))?;
        Ok(arrays.into_iter().filter(StoredArray::may_be_features).map(|array| array.name).collect())
    }
}

/// All arrays of a file, those that are not `names` without complaint.
fn arrays(bytes: &Arc<dyn ReadAt>, directory: &Directory, names: Option<&ArrayNames>) -> Result<Vec<StoredArray>> {
    let mut arrays = Vec::new();
    for member in &directory.members {
        let Some(name) = member.name.strip_suffix(".npy") else { continue };
        arrays.push(array(bytes, member, name, names)?);
    }
    if arrays.is_empty() {
        return Err(damaged("it is a zip archive without arrays"));
    }
    Ok(arrays)
}

fn open(bytes: &Arc<dyn ReadAt>, names: Option<&ArrayNames>) -> Result<Arc<dyn Container>> {
    let directory = Directory::read(&**bytes)?;
    let arrays = arrays(bytes, &directory, names)?;
    let chosen = names.map_or(0, |names| fnv1a(format!("{names:?}").as_bytes()));
    let fingerprint = joined(&[directory.hash, bytes.size(), chosen]);
    Ok(Arc::new(ArrayFile::new(&arrays, names, false, fingerprint)?))
}

/// A member as an array.
fn array(bytes: &Arc<dyn ReadAt>, member: &Member, name: &str, names: Option<&ArrayNames>) -> Result<StoredArray> {
    let unread = |type_name: String| StoredArray {
        name: name.to_owned(),
        element: None,
        type_name,
        shape: Vec::new(),
        column_major: false,
        place: Place::At(0),
    };
    let (header, place) = match member.method {
        Method::Stored => stored(bytes, member)?,
        Method::Deflated => deflated(bytes, member)?,
        Method::Other(method) => {
            let name = match method {
                12 => " (bzip2)",
                14 => " (lzma)",
                93 => " (zstd)",
                _ => "",
            };
            return Ok(unread(format!(
                "compressed by method {method}{name} of zip, which is not read: save it by numpy.savez_compressed"
            )));
        }
    };
    let is_wanted = match names {
        Some(names) => names.features == name || names.labels.as_deref() == Some(name),
        None => is_feature_name(name) || is_label_name(name),
    };
    if header.is_pickled() && is_wanted {
        return Err(pickled([
            "z = numpy.load(\"FILE\", allow_pickle=True)",
            "numpy.savez(\"FILE\", **{k: numpy.array(z[k].tolist()) for k in z})",
        ])
        .with("array", escaped(name)));
    }
    let element = header.element();
    if let Some(element) = element {
        let content = member.uncompressed.checked_sub(header.length).ok_or_else(|| damaged("a header is too long"))?;
        check_length(&header, element, content).map_err(|error| in_array(error, name))?;
    }
    Ok(StoredArray {
        name: name.to_owned(),
        element,
        type_name: header.descr,
        shape: header.shape,
        column_major: header.column_major,
        place,
    })
}

fn in_array(error: Error, name: &str) -> Error {
    error.with("array", escaped(name))
}

/// The header of a member that is not compressed, and where its elements lie.
fn stored(bytes: &Arc<dyn ReadAt>, member: &Member) -> Result<(Header, Place)> {
    let part = Part::new(bytes.clone(), member.start, member.compressed);
    let mut at = 0;
    let header = header::read(|buffer| {
        read_exact_at(&part, at, buffer)?;
        at += buffer.len() as u64;
        Ok(())
    });
    let header = header.map_err(|error| in_array(error, &member.name))?;
    let place = Place::At(member.start + header.length);
    Ok((header, place))
}

/// The same of one that is compressed.
fn deflated(bytes: &Arc<dyn ReadAt>, member: &Member) -> Result<(Header, Place)> {
    let Member { start, compressed, uncompressed, crc, .. } = *member;
    let range = Deflated { start, compressed, uncompressed, crc, skipped: 0 };
    if !range.is_possible() {
        return Err(in_array(damaged(format!("{compressed} bytes cannot become {uncompressed}")), &member.name));
    }
    let mut inflater = Inflater::new(bytes.clone(), &range);
    let header = header::read(|buffer| inflater.fill(buffer)).map_err(|error| in_array(error, &member.name))?;
    let place = Place::Deflated(Deflated { skipped: header.length, ..range });
    Ok((header, place))
}
