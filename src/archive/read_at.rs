//! Bytes that are read by position, and how they are known to be the same later.

use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;
use std::{fmt, fs, io};

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
