//! The file of a head, read from its beginning or from any place.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::archive::read_at::ReadAt;

/// A file that is open, and where it is read next.
#[derive(Clone, Debug)]
pub(super) struct HeadFile {
    bytes: Arc<dyn ReadAt>,
    at: u64,
}

impl HeadFile {
    pub(super) fn new(bytes: Arc<dyn ReadAt>) -> Self {
        Self { bytes, at: 0 }
    }

    /// The same file, read from another place on.
    pub(super) fn from(&self, at: u64) -> Self {
        Self { bytes: self.bytes.clone(), at }
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> u64 {
        self.bytes.size()
    }
}

impl Read for HeadFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.bytes.size().saturating_sub(self.at).min(buffer.len() as u64);
        self.bytes.read_at(self.at, &mut buffer[..length as usize])?;
        self.at += length;
        Ok(length as usize)
    }
}

impl Seek for HeadFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.bytes.size().checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
