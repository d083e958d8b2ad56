//! `.npz`: arrays in a zip archive.

use std::sync::Arc;

use super::format::check_length;
use super::header::{self, Header, pickled};
use crate::archive::arrays::{ArrayFile, Deflated, Inflater, Place, StoredArray};
use crate::archive::checksums::Summed;
use crate::archive::container::{ArrayNames, Container, Format, Unread};
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
        let Listed { arrays, .. } = list(bytes, &Directory::read(&**bytes)?, Some(&none))?;
        Ok(arrays.into_iter().filter(StoredArray::may_be_features).map(|array| array.name).collect())
    }
}

/// The arrays of a file.
#[derive(Default)]
struct Listed {
    arrays: Vec<StoredArray>,
    /// Those that are not compressed.
    checksums: Vec<Summed>,
    /// Members that have the name of an array and other contents.
    unread: Vec<Unread>,
}

/// All arrays of a file, those that are not `names` without complaint.
fn list(bytes: &Arc<dyn ReadAt>, directory: &Directory, names: Option<&ArrayNames>) -> Result<Listed> {
    let mut listed = Listed::default();
    for member in &directory.members {
        let Some(name) = member.name.strip_suffix(".npy") else { continue };
        let is_named = names.is_some_and(|names| names.features == name || names.labels.as_deref() == Some(name));
        if is_of_finder(name) && !is_named {
            let kind = "what macOS packs beside files".to_owned();
            listed.unread.push(Unread { name: member.name.clone(), kind, is_told: true });
            continue;
        }
        let is_wanted = is_named || (names.is_none() && (is_feature_name(name) || is_label_name(name)));
        let (array, checksum) = array(bytes, member, name, is_wanted)?;
        listed.arrays.push(array);
        listed.checksums.extend(checksum);
    }
    if listed.arrays.is_empty() {
        return Err(damaged("it is a zip archive without arrays"));
    }
    Ok(listed)
}

/// Whether a member is what macOS packs beside a file of that name.
fn is_of_finder(name: &str) -> bool {
    name.starts_with("__MACOSX/") && name.rsplit('/').next().is_some_and(|file| file.starts_with("._"))
}

fn open(bytes: &Arc<dyn ReadAt>, names: Option<&ArrayNames>) -> Result<Arc<dyn Container>> {
    let directory = Directory::read(&**bytes)?;
    let Listed { arrays, checksums, unread } = list(bytes, &directory, names)?;
    let chosen = names.map_or(0, |names| fnv1a(format!("{names:?}").as_bytes()));
    let fingerprint = joined(&[directory.hash, bytes.size(), chosen]);
    let file = ArrayFile::new(&arrays, names, false, fingerprint)?;
    Ok(Arc::new(file.with_checksums(checksums).with_unread(unread)))
}

/// A member as an array, and its checksum.
fn array(
    bytes: &Arc<dyn ReadAt>,
    member: &Member,
    name: &str,
    is_wanted: bool,
) -> Result<(StoredArray, Option<Summed>)> {
    let unread = |type_name: String| StoredArray {
        name: name.to_owned(),
        element: None,
        type_name,
        shape: Vec::new(),
        column_major: false,
        place: Place::At(0),
    };
    let mut checksum = None;
    let (header, place) = match member.method {
        Method::Stored => {
            let (header, place, read) = stored(bytes, member)?;
            checksum = Summed::of(member, name, &read);
            (header, place)
        }
        Method::Deflated => deflated(bytes, member)?,
        Method::Other(method) => {
            let what = match method {
                12 => " (bzip2)",
                14 => " (lzma)",
                93 => " (zstd)",
                _ => "",
            };
            if is_wanted {
                return Err(Error::data("the array is compressed in a way of zip that is not read")
                    .with("array", escaped(name))
                    .with("method", format!("{method}{what}"))
                    .help("save it by numpy.savez_compressed or numpy.savez"));
            }
            return Ok((unread(format!("compressed by method {method}{what} of zip, which is not read")), None));
        }
    };
    if header.is_pickled() && is_wanted {
        return Err(pickled(&header, Some(name)).with("array", escaped(name)));
    }
    let element = header.element();
    if let Some(element) = element {
        let content = member.uncompressed.checked_sub(header.length).ok_or_else(|| damaged("a header is too long"))?;
        check_length(&header, element, content).map_err(|error| in_array(error, name))?;
    }
    let array = StoredArray {
        name: name.to_owned(),
        element,
        type_name: header.descr,
        shape: header.shape,
        column_major: header.column_major,
        place,
    };
    Ok((array, checksum))
}

fn in_array(error: Error, name: &str) -> Error {
    error.with("array", escaped(name))
}

/// The header of a member that is not compressed, where its elements lie, and the bytes of the header.
fn stored(bytes: &Arc<dyn ReadAt>, member: &Member) -> Result<(Header, Place, Vec<u8>)> {
    let part = Part::new(bytes.clone(), member.start, member.compressed);
    let mut read = Vec::new();
    let header = header::read(|buffer| {
        read_exact_at(&part, read.len() as u64, buffer)?;
        read.extend_from_slice(buffer);
        Ok(())
    });
    let header = header.map_err(|error| in_array(error, &member.name))?;
    let place = Place::At(member.start + header.length);
    Ok((header, place, read))
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
