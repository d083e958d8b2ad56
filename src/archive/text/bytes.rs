//! The bytes of a text as a stream that ends with an error where a record is too long.

use std::io::{self, Read};
use std::sync::Arc;

use crate::archive::damage::damaged;
use crate::archive::read_at::ReadAt;
use crate::error::Error;

/// Bytes that are read at a time.
pub(in crate::archive) const BUFFER: usize = 64 << 10;

/// The bytes of a file from some byte on.
pub(in crate::archive) struct TextBytes {
    source: Arc<dyn ReadAt>,
    at: u64,
    /// Bytes since a record began.
    taken: usize,
    /// The longest record: a quote that is never closed would make one of all that follows.
    limit: usize,
}

impl TextBytes {
    /// From byte `at` on; a record of more than `limit` bytes is an error.
    pub(in crate::archive) fn new(source: &Arc<dyn ReadAt>, at: u64, limit: usize) -> Self {
        Self { source: source.clone(), at, taken: 0, limit }
    }

    /// A record begins.
    pub(in crate::archive) fn begin_record(&mut self) {
        self.taken = 0;
    }
}

impl Read for TextBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.source.size().saturating_sub(self.at)).min(buffer.len() as u64) as usize;
        self.source.read_at(self.at, &mut buffer[..length])?;
        self.at += length as u64;
        self.taken += length;
        if self.taken > self.limit + BUFFER {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(length)
    }
}

/// The error of a text that cannot be read on; `long` says what is too long.
pub(in crate::archive) fn unreadable(error: io::Error, long: &'static str) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData => damaged(long),
        io::ErrorKind::UnexpectedEof => damaged("it ends before its rows do: truncated"),
        kind => Error::io("cannot read").with("detail", kind).caused_by(error),
    }
}
