//! Lists of tensors as one: the bytes of a file, behind which those of the lists follow as if they were stored there.

use std::io;
use std::sync::Arc;

use crate::archive::arrays::ArrayFile;
use crate::archive::checksums::{Checksums, SummedFile};
use crate::archive::container::{Container, OpenUnit, StoredColumn, Unread};
use crate::archive::read_at::{ReadAt, Version};
use crate::batch::Label;
use crate::error::{Error, Result};

/// A range of a file that is read as if it lay elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Where it seems to lie.
    pub(super) seen: u64,
    /// Where it lies.
    pub(super) start: u64,
    pub(super) length: u64,
}

/// A file with pieces behind its end, which follow one another.
#[derive(Debug)]
struct Pieced {
    file: Arc<dyn ReadAt>,
    pieces: Arc<[Piece]>,
}

impl ReadAt for Pieced {
    fn size(&self) -> u64 {
        self.pieces.last().map_or(self.file.size(), |last| last.seen + last.length)
    }

    fn read_at(&self, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        if offset < self.file.size() {
            return self.file.read_at(offset, buffer);
        }
        let mut at = self.pieces.partition_point(|piece| piece.seen + piece.length <= offset);
        while !buffer.is_empty() {
            let piece = self.pieces.get(at).ok_or(io::ErrorKind::UnexpectedEof)?;
            let within = offset - piece.seen;
            let length = (piece.length - within).min(buffer.len() as u64);
            let (some, rest) = buffer.split_at_mut(length as usize);
            self.file.read_at(piece.start + within, some)?;
            buffer = rest;
            offset += length;
            at += 1;
        }
        Ok(())
    }

    fn version(&self) -> io::Result<Version> {
        self.file.version()
    }

    fn announce(&self, start: u64, end: u64) {
        self.file.announce(start, end.min(self.file.size()));
        let first = self.pieces.partition_point(|piece| piece.seen + piece.length <= start);
        for piece in self.pieces[first..].iter().take_while(|piece| piece.seen < end) {
            let (from, until) = (start.max(piece.seen) - piece.seen, end.min(piece.seen + piece.length) - piece.seen);
            self.file.announce(piece.start + from, piece.start + until);
        }
    }

    fn failure(&self) -> Option<Error> {
        self.file.failure()
    }
}

/// A file of arrays, some of which lie in pieces.
#[derive(Debug)]
pub(super) struct PiecedFile {
    pub(super) arrays: ArrayFile,
    pub(super) pieces: Arc<[Piece]>,
    pub(super) checksums: Arc<Checksums>,
}

impl PiecedFile {
    fn bytes(&self, file: &Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        Arc::new(Pieced { file: SummedFile::over(file, &self.checksums), pieces: self.pieces.clone() })
    }
}

impl Container for PiecedFile {
    fn fingerprint(&self) -> u64 {
        self.arrays.fingerprint()
    }

    fn memory(&self) -> u64 {
        self.arrays.memory().saturating_add(size_of_val(&*self.pieces) as u64 + self.checksums.memory())
    }

    fn columns(&self) -> &[StoredColumn] {
        self.arrays.columns()
    }

    fn unread(&self) -> &[Unread] {
        self.arrays.unread()
    }

    fn units(&self) -> usize {
        self.arrays.units()
    }

    fn rows(&self, unit: usize) -> u64 {
        self.arrays.rows(unit)
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        self.arrays.stored_bytes(unit, columns)
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        self.arrays.text_bytes(unit, columns)
    }

    fn range(&self, unit: usize, column: usize) -> Option<(Label, Label)> {
        self.arrays.range(unit, column)
    }

    fn constant(&self, unit: usize, column: usize) -> Option<Label> {
        self.arrays.constant(unit, column)
    }

    fn check_readable(&self, columns: &[usize]) -> Result<()> {
        self.arrays.check_readable(columns)
    }

    fn has_checksums(&self, _: &Arc<dyn ReadAt>, _: usize) -> Result<bool> {
        Ok(self.pieces.iter().all(|piece| self.checksums.cover(piece.start, piece.length)))
    }

    fn first_length(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        self.arrays.first_length(bytes, column)
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        self.arrays.open_unit(&self.bytes(bytes), unit)
    }
}
