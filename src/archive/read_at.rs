//! Bytes that are read by position, and how they are known to be the same later.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use std::{fmt, fs, io};

use super::damage::damaged;
use crate::error::{Error, Result};
use crate::objects::{self, Reading};

/// The content of one file, read by position: readers of several columns share it without moving each other.
pub(super) trait ReadAt: fmt::Debug + Send + Sync {
    /// How many bytes there are.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if there are fewer.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// The version of the content, asked for anew at each call.
    fn version(&self) -> io::Result<Version>;

    /// How many bytes the first of two files has that are read as one.
    fn first_of_two(&self) -> Option<u64> {
        None
    }

    /// Says that the bytes from `start` to `end` will be read soon, in order: what is far away can be fetched ahead.
    fn announce(&self, _start: u64, _end: u64) {}

    /// Why a read failed, if that is more than the system says. Decoders take errors of reading for damage.
    fn failure(&self) -> Option<Error> {
        None
    }
}

/// The error of a read that failed.
pub(super) fn unreadable(error: io::Error) -> Error {
    let detail = error.kind();
    match error.downcast::<Error>() {
        Ok(error) => error,
        Err(error) => Error::io("cannot read").with("detail", detail).caused_by(error),
    }
}

/// Fills `buffer` with the bytes from `offset` on.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) if there are fewer, [`Io`](crate::error::ErrorKind::Io) if they cannot be read.
pub(super) fn read_exact_at(bytes: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<()> {
    bytes.read_at(offset, buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends before its rows do: truncated"),
        _ => unreadable(error),
    })
}

/// Two files as one, the second behind the first: features, and the labels of their rows.
#[derive(Debug)]
pub(super) struct TwoFiles {
    first: Arc<dyn ReadAt>,
    second: Arc<dyn ReadAt>,
}

impl TwoFiles {
    pub(super) fn new(first: Arc<dyn ReadAt>, second: Arc<dyn ReadAt>) -> Self {
        Self { first, second }
    }
}

impl ReadAt for TwoFiles {
    fn size(&self) -> u64 {
        self.first.size().saturating_add(self.second.size())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let in_first = self.first.size().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let (front, back) = buffer.split_at_mut(in_first);
        if !front.is_empty() {
            self.first.read_at(offset, front)?;
        }
        if back.is_empty() {
            return Ok(());
        }
        self.second.read_at(offset.saturating_sub(self.first.size()), back)
    }

    fn version(&self) -> io::Result<Version> {
        Ok(self.first.version()?.and(self.second.version()?))
    }

    fn first_of_two(&self) -> Option<u64> {
        Some(self.first.size())
    }

    fn announce(&self, start: u64, end: u64) {
        let split = self.first.size();
        if start < split {
            self.first.announce(start, end.min(split));
        }
        if end > split {
            self.second.announce(start.saturating_sub(split), end - split);
        }
    }

    fn failure(&self) -> Option<Error> {
        self.first.failure().or_else(|| self.second.failure())
    }
}

/// A part of other bytes, as a file of its own.
#[derive(Debug)]
pub(super) struct Part {
    whole: Arc<dyn ReadAt>,
    start: u64,
    size: u64,
}

impl Part {
    /// `size` bytes from `start` on, which `whole` has.
    pub(super) fn new(whole: Arc<dyn ReadAt>, start: u64, size: u64) -> Self {
        Self { whole, start, size }
    }
}

impl ReadAt for Part {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.whole.read_at(self.start + offset, buffer)
    }

    fn version(&self) -> io::Result<Version> {
        self.whole.version()
    }

    fn announce(&self, start: u64, end: u64) {
        self.whole.announce(self.start + start.min(self.size), self.start + end.min(self.size));
    }

    fn failure(&self) -> Option<Error> {
        self.whole.failure()
    }
}

/// What says that content has not changed: equal versions have equal bytes.
///
/// Size and time of writing go into ledgers; a difference in the tag alone makes readers compare fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// Whatever else changes with the content: of a local file the device, the inode and the time of its last change; of an
    /// object the hash of its `ETag`.
    pub(super) tag: [u64; 4],
}

impl Version {
    /// The version of two files as one: what changes with either changes with both.
    pub(super) fn and(self, other: Self) -> Self {
        let nanoseconds = |time: SystemTime| match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as u64,
            Err(before) => (before.duration().as_nanos() as u64).wrapping_neg(),
        };
        let mixed = |a: u64, b: u64| a.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ b;
        let [device, inode, seconds, rest] = std::array::from_fn(|at| mixed(self.tag[at], other.tag[at]));
        // Only the later time is kept, and the sum of the sizes: the tag has the rest.
        let times = mixed(nanoseconds(self.modified), nanoseconds(other.modified));
        Self {
            size: self.size.saturating_add(other.size),
            modified: self.modified.max(other.modified),
            tag: [device, inode ^ self.size, seconds ^ times, rest],
        }
    }
}

/// A file of this machine.
#[derive(Debug)]
struct LocalFile {
    file: fs::File,
    size: u64,
}

impl ReadAt for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn version(&self) -> io::Result<Version> {
        let metadata = self.file.metadata()?;
        Ok(Version {
            size: metadata.len(),
            modified: metadata.modified()?,
            tag: [
                metadata.dev(),
                metadata.ino(),
                metadata.ctime().cast_unsigned(),
                metadata.ctime_nsec().cast_unsigned(),
            ],
        })
    }
}

/// A file in an object store. All that is read of it is of one version, or the read fails.
impl ReadAt for Reading {
    fn size(&self) -> u64 {
        self.object().size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if offset.checked_add(buffer.len() as u64).is_none_or(|end| end > self.size()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.fill(offset, buffer).map_err(io::Error::other)
    }

    fn version(&self) -> io::Result<Version> {
        Ok(version_of(self))
    }

    fn announce(&self, start: u64, end: u64) {
        Reading::announce(self, start, end);
    }

    fn failure(&self) -> Option<Error> {
        Reading::failure(self)
    }
}

fn version_of(reading: &Reading) -> Version {
    let objects::Object { size, modified, tag, .. } = reading.object();
    let mut hasher = DefaultHasher::new();
    tag.as_deref().map(|tag| tag.trim_matches('"')).hash(&mut hasher);
    Version { size: *size, modified: *modified, tag: [hasher.finish(), 0, 0, 0] }
}

/// Opens a file, of this machine or by its address.
///
/// # Errors
///
/// [`Missing`](crate::error::ErrorKind::Missing) if it does not exist, and [`Usage`](crate::error::ErrorKind::Usage) if it is
/// a directory, a FIFO or a device; those of [`objects::open`].
pub(super) fn open(path: &Path) -> Result<(Arc<dyn ReadAt>, Version)> {
    if objects::is_address(path) {
        let reading = objects::open(path)?.ok_or_else(|| Error::missing("there is no such object"))?;
        let version = version_of(&reading);
        return Ok((Arc::new(reading), version));
    }
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Error::missing("no such file").caused_by(error),
        _ => Error::io("cannot open").with("detail", error.kind()).caused_by(error),
    };
    // Opening a FIFO would wait for somebody who writes to it.
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(not_a_file(&metadata));
    }
    let mut opened = LocalFile { file: fs::File::open(path).map_err(failed)?, size: 0 };
    let version = opened.version().map_err(failed)?;
    opened.size = version.size;
    Ok((Arc::new(opened), version))
}

/// Whether there is such a file. One that cannot be asked for may be there, and whoever opens it learns why.
pub(super) fn is_file(path: &Path) -> bool {
    if objects::is_address(path) { objects::is_there(path) } else { path.is_file() }
}

/// The error of what cannot be read twice, and may keep whoever opens it waiting.
pub(super) fn not_a_file(metadata: &fs::Metadata) -> Error {
    Error::usage("not a file that can be read more than once")
        .with("detail", format!("it is {}", kind_of(metadata)))
        .help("write the rows to a file, and name that")
}

/// What lies at a path that is not a file, as `a FIFO`.
pub(super) fn kind_of(metadata: &fs::Metadata) -> &'static str {
    let kind = metadata.file_type();
    match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    }
}
