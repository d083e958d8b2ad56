//! Bytes that are read by position, and how they are known to be the same later.

use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use std::{fmt, fs, io};

use super::damage::damaged;
use crate::error::{Error, Result};

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
}

/// Fills `buffer` with the bytes from `offset` on.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) if there are fewer, [`Io`](crate::error::ErrorKind::Io) if they cannot be read.
pub(super) fn read_exact_at(bytes: &dyn ReadAt, offset: u64, buffer: &mut [u8]) -> Result<()> {
    bytes.read_at(offset, buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("it ends before its rows do: truncated"),
        kind => Error::io("cannot read").with("detail", kind).caused_by(error),
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
}

/// What says that content has not changed: equal versions have equal bytes.
///
/// Size and time of writing go into ledgers; a difference in the tag alone makes readers compare fingerprints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// Whatever else changes with the content: of a local file the device, the inode and the time of its last change.
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

/// Opens a file.
///
/// # Errors
///
/// [`Missing`](crate::error::ErrorKind::Missing) if it does not exist, and [`Usage`](crate::error::ErrorKind::Usage) if it is
/// a directory, a FIFO or a device.
pub(super) fn open(path: &Path) -> Result<(Arc<dyn ReadAt>, Version)> {
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
