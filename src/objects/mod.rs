//! Files in object stores and on web servers: what is there, the bytes of it, and writing it.
//!
//! A file is named by its address: `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/KEY`, `http://…` or `https://…`.
//! An address is kept in a [`Path`] as it was typed, like the path of any other file, so everything between the command line
//! and the ledger holds one type. Whether a path is an address is asked in one place, [`is_address`]. Joining names to it,
//! and taking names away, works as with other paths; no component of an address is ever followed through links.
//!
//! All functions here wait for the answer of the server. Requests run on threads of their own, which are started by the
//! first one and end with the process; nothing else in the crate is asynchronous because of them.
//!
//! What this process has once learned of an object, its size, time of writing and `ETag`, holds from then on: every
//! range that is read is pinned to it, and an object that has changed is an error and never read in part. A write replaces
//! only what this process has seen, so two writers notice each other.
//!
//! | file | purpose |
//! |---|---|
//! | `address` | the parts of an address |
//! | `runtime` | the threads of requests; waiting for them, and giving up on a signal |
//! | `stores`, `profile` | one client for each bucket, made of what the environment and `~/.aws` say |
//! | `failure` | errors of stores as errors of this crate |
//! | `object` | what is known of objects: asking, listing |
//! | `reading`, `pieces` | ranges of one object, many in flight |
//! | `recent` | short ranges of objects that are opened again and again |
//! | `writing` | objects that are written whole or not at all |
//! | `absent` | the same without the feature `cloud`: everything is refused |

#[cfg(not(feature = "cloud"))]
mod absent;
mod address;
#[cfg(feature = "cloud")]
mod failure;
#[cfg(feature = "cloud")]
mod object;
#[cfg(feature = "cloud")]
mod pieces;
#[cfg(feature = "cloud")]
mod profile;
#[cfg(feature = "cloud")]
mod reading;
#[cfg(feature = "cloud")]
mod recent;
#[cfg(feature = "cloud")]
mod runtime;
#[cfg(feature = "cloud")]
mod stores;
#[cfg(feature = "cloud")]
mod writing;

use std::path::Path;
use std::time::SystemTime;

use crate::error::{Error, Result};

#[cfg(all(feature = "cli", not(feature = "cloud")))]
pub(crate) use absent::stop_with;
#[cfg(not(feature = "cloud"))]
pub(crate) use absent::{Reading, Writing, is_there, list, list_below, look, open, remove, seen};
#[cfg(feature = "cloud")]
pub(crate) use object::{is_there, list, list_below, look, seen};
#[cfg(feature = "cloud")]
pub(crate) use reading::{Reading, open};
#[cfg(all(feature = "cli", feature = "cloud"))]
pub(crate) use runtime::stop_with;
#[cfg(feature = "cloud")]
pub(crate) use writing::{Writing, remove};

/// Bytes that an open object holds at most: ranges that have arrived or are on their way.
pub(crate) const READ_AHEAD: u64 = 32 << 20;

/// What lies at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    /// Bytes.
    pub(crate) size: u64,
    /// When it was last written.
    pub(crate) modified: SystemTime,
    /// Its `ETag`; web servers may have none.
    pub(crate) tag: Option<String>,
    /// What some stores call a version of it, which writes are conditional on.
    pub(crate) version: Option<String>,
}

/// What a listing shows below an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// A name under which there are more objects.
    Folder,
    Object(Object),
}

/// Whether a path is an address, and no path of this machine.
pub(crate) fn is_address(path: &Path) -> bool {
    address::Scheme::of(path).is_some()
}

/// Whether an address is one of a web server, which lists nothing, and whose addresses may have a query.
pub(crate) fn is_web(path: &Path) -> bool {
    address::Scheme::of(path) == Some(address::Scheme::Web)
}

/// An address without its query, which names a file as little as the password of a page does.
pub(crate) fn without_query(path: &Path) -> &Path {
    match path.to_str().and_then(|text| text.split_once('?')) {
        Some((text, _)) if is_web(path) => Path::new(text),
        _ => path,
    }
}

/// The bytes of a small object.
///
/// # Errors
///
/// [`Missing`](crate::error::ErrorKind::Missing) if it is not there; [`Data`](crate::error::ErrorKind::Data) if it is
/// larger than `limit` bytes, or changes meanwhile.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let missing = || Error::missing("there is no such object").with("address", path.display());
    // What has been learned before may be of yesterday.
    look(path)?.ok_or_else(missing)?;
    let reading = open(path)?.ok_or_else(missing)?;
    let size = reading.object().size;
    if size > limit {
        return Err(Error::data("the object is too large").with("bytes", size).with("most", limit));
    }
    let mut bytes = vec![0; size as usize];
    reading.fill(0, &mut bytes)?;
    Ok(bytes)
}
