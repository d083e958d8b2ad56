//! The bytes of an array's rows, one after the other.

use std::fmt;
use std::sync::Arc;

use flate2::{Decompress, FlushDecompress, Status};

use crate::archive::damage::damaged;
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::Result;

/// Where the elements of an array lie.
#[derive(Clone, Copy, Debug)]
pub(in crate::archive) enum Place {
    /// From this byte of the file on.
    At(u64),
    /// From this byte on, each row this many bytes behind the one before; the elements of a row follow one another.
    Pitched {
        start: u64,
        pitch: u64,
    },
    Deflated(Deflated),
}

/// A compressed range of a file, in which the elements of an array follow `skipped` other bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::archive) struct Deflated {
    pub(in crate::archive) start: u64,
    pub(in crate::archive) compressed: u64,
    pub(in crate::archive) uncompressed: u64,
    pub(in crate::archive) crc: u32,
    pub(in crate::archive) skipped: u64,
}

/// Deflate makes at most so many bytes of one.
const GROWTH: u64 = 1032;

impl Deflated {
    /// Whether so few bytes can become so many.
    pub(in crate::archive) fn is_possible(&self) -> bool {
        self.uncompressed <= self.compressed.saturating_mul(GROWTH)
    }
}

/// Bytes of a file that are read at a time to be inflated.
const INPUT: u64 = 128 << 10;

/// A compressed range that is being inflated.
pub(in crate::archive) struct Inflater {
    bytes: Arc<dyn ReadAt>,
    /// The compressed bytes that have not been read from the file.
    at: u64,
    end: u64,
    input: Vec<u8>,
    /// How many of them have been used.
    used: usize,
    state: Decompress,
    hasher: crc32fast::Hasher,
    crc: u32,
    /// Bytes to come.
    left: u64,
    ended: bool,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("at", &self.at).field("left", &self.left).finish_non_exhaustive()
    }
}

impl Inflater {
    pub(in crate::archive) fn new(bytes: Arc<dyn ReadAt>, range: &Deflated) -> Self {
        Self {
            bytes,
            at: range.start,
            end: range.start.saturating_add(range.compressed),
            input: Vec::new(),
            used: 0,
            state: Decompress::new(false),
            hasher: crc32fast::Hasher::new(),
            crc: range.crc,
            left: range.uncompressed,
            ended: false,
        }
    }

    /// Fills `out` with the next bytes.
    pub(in crate::archive) fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        let mut filled = 0;
        while filled < out.len() {
            let made = self.step(&mut out[filled..])?;
            if self.ended && made == 0 {
                return Err(damaged("a compressed array ends before its rows do"));
            }
            filled += made;
        }
        self.left = self.left.checked_sub(out.len() as u64).ok_or_else(too_long)?;
        self.hasher.update(out);
        Ok(())
    }

    /// Passes over the next `count` bytes.
    fn skip(&mut self, count: u64) -> Result<()> {
        let mut buffer = [0; 4096];
        let mut left = count;
        while left > 0 {
            let step = left.min(buffer.len() as u64);
            self.fill(&mut buffer[..step as usize])?;
            left -= step;
        }
        Ok(())
    }

    /// Inflates some bytes into `out`; returns how many.
    fn step(&mut self, out: &mut [u8]) -> Result<usize> {
        if self.ended {
            return Ok(0);
        }
        if self.used == self.input.len() && self.at < self.end {
            let length = (self.end - self.at).min(INPUT);
            self.input.resize(length as usize, 0);
            read_exact_at(&*self.bytes, self.at, &mut self.input)?;
            self.at += length;
            self.used = 0;
        }
        let before = (self.state.total_in(), self.state.total_out());
        let broken = |_| damaged("a compressed array is broken");
        let status = self.state.decompress(&self.input[self.used..], out, FlushDecompress::None).map_err(broken)?;
        let taken = (self.state.total_in() - before.0) as usize;
        let made = (self.state.total_out() - before.1) as usize;
        self.used += taken;
        self.ended = status == Status::StreamEnd;
        if !self.ended && taken == 0 && made == 0 {
            return Err(damaged("a compressed array ends before its rows do"));
        }
        Ok(made)
    }

    /// Checks that nothing follows, and that all bytes together have the checksum that was stored with them.
    fn finish(&mut self) -> Result<()> {
        while !self.ended {
            if self.step(&mut [0])? > 0 {
                return Err(too_long());
            }
        }
        if self.left > 0 || self.used < self.input.len() || self.at < self.end {
            return Err(too_long());
        }
        if self.hasher.clone().finalize() != self.crc {
            return Err(damaged("the checksum of a compressed array does not match"));
        }
        Ok(())
    }
}

fn too_long() -> crate::error::Error {
    damaged("a compressed array is not as long as the file says")
}

/// The rows of an array, from some row on.
#[derive(Debug)]
pub(super) struct RowBytes {
    way: Way,
    /// Bytes of a row.
    width: usize,
    /// Rows to come.
    left: u64,
}

#[derive(Debug)]
enum Way {
    /// Row after row, from a byte on.
    Rows {
        bytes: Arc<dyn ReadAt>,
        at: u64,
    },
    Columns(Columns),
    Pitched(Pitched),
    /// All rows of the array, from the first one on.
    Inflated(Box<Inflater>),
}

/// A matrix that is stored column after column.
#[derive(Debug)]
struct Columns {
    bytes: Arc<dyn ReadAt>,
    /// The first byte of its first column.
    start: u64,
    /// Rows of the matrix.
    rows: u64,
    /// Bytes of an element.
    element: usize,
    /// The next row.
    next: u64,
    buffer: Vec<u8>,
}

/// Columns that are read together: their elements of a row fill a line of the cache.
const TOGETHER: usize = 16;

impl Columns {
    fn fill(&mut self, rows: usize, width: usize, out: &mut [u8]) -> Result<()> {
        let Self { bytes, start, rows: all, element, next, buffer } = self;
        let (element, columns) = (*element, width / *element);
        let column_bytes = rows * element;
        for first in (0..columns).step_by(TOGETHER) {
            let count = TOGETHER.min(columns - first);
            buffer.resize(count * column_bytes, 0);
            for (at, column) in buffer.chunks_exact_mut(column_bytes).enumerate() {
                let row = (first + at) as u64 * *all + *next;
                read_exact_at(&**bytes, *start + row * element as u64, column)?;
            }
            for row in 0..rows {
                let place = &mut out[row * width + first * element..][..count * element];
                for (at, value) in place.chunks_exact_mut(element).enumerate() {
                    value.copy_from_slice(&buffer[at * column_bytes + row * element..][..element]);
                }
            }
        }
        *next += rows as u64;
        Ok(())
    }
}

/// Rows that are some bytes apart.
#[derive(Debug)]
struct Pitched {
    bytes: Arc<dyn ReadAt>,
    /// The first byte of the next row.
    next: u64,
    pitch: u64,
    buffer: Vec<u8>,
}

/// Rows that are fewer bytes apart are read with what lies between them, so many bytes at a time.
const NEAR: u64 = 16 << 10;
const SPAN: u64 = 256 << 10;

impl Pitched {
    fn fill(&mut self, width: usize, out: &mut [u8]) -> Result<()> {
        let Self { bytes, next, pitch, buffer } = self;
        if *pitch >= NEAR {
            for row in out.chunks_exact_mut(width) {
                read_exact_at(&**bytes, *next, row)?;
                *next += *pitch;
            }
            return Ok(());
        }
        let together = (SPAN / *pitch) as usize;
        for rows in out.chunks_mut(together * width) {
            let count = rows.len() / width;
            // Nothing need follow the last row.
            buffer.resize((count - 1) * *pitch as usize + width, 0);
            read_exact_at(&**bytes, *next, buffer)?;
            for (row, from) in rows.chunks_exact_mut(width).zip(buffer.chunks(*pitch as usize)) {
                row.copy_from_slice(&from[..width]);
            }
            *next += count as u64 * *pitch;
        }
        Ok(())
    }
}

/// Rows of an array: where it lies, and which of its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowRange {
    pub(super) place: Place,
    pub(super) column_major: bool,
    /// Bytes of an element.
    pub(super) element: usize,
    /// Bytes of a row.
    pub(super) width: usize,
    /// Rows of the array.
    pub(super) all: u64,
    /// The first one that is read; 0 where the array is deflated.
    pub(super) first: u64,
    /// How many are read.
    pub(super) rows: u64,
}

impl RowBytes {
    pub(super) fn open(bytes: &Arc<dyn ReadAt>, range: &RowRange) -> Result<Self> {
        let RowRange { place, column_major, element, width, all, first, rows } = *range;
        let (from, to) = match place {
            // Of a matrix that is stored column after column, a part of each is read.
            Place::At(start) if column_major => (start, start),
            Place::At(start) => (start + first * width as u64, start + (first + rows) * width as u64),
            Place::Pitched { start, pitch } if pitch < NEAR => (start + first * pitch, start + (first + rows) * pitch),
            Place::Pitched { start, .. } => (start, start),
            Place::Deflated(Deflated { start, compressed, .. }) => (start, start.saturating_add(compressed)),
        };
        bytes.announce(from, to);
        let bytes = bytes.clone();
        let way = match place {
            Place::At(start) if column_major => {
                Way::Columns(Columns { bytes, start, rows: all, element, next: first, buffer: Vec::new() })
            }
            Place::At(start) => Way::Rows { bytes, at: start + first * width as u64 },
            Place::Pitched { start, pitch } => {
                Way::Pitched(Pitched { bytes, next: start + first * pitch, pitch, buffer: Vec::new() })
            }
            Place::Deflated(range) => {
                let mut inflater = Inflater::new(bytes, &range);
                inflater.skip(range.skipped)?;
                Way::Inflated(Box::new(inflater))
            }
        };
        Ok(Self { way, width, left: rows })
    }

    /// Fills `out` with the next `rows` rows.
    pub(super) fn fill(&mut self, rows: usize, out: &mut [u8]) -> Result<()> {
        self.left = self.left.checked_sub(rows as u64).ok_or_else(|| damaged("rows are missing"))?;
        match &mut self.way {
            Way::Rows { bytes, at } => {
                read_exact_at(&**bytes, *at, out)?;
                *at += out.len() as u64;
                Ok(())
            }
            Way::Pitched(pitched) => pitched.fill(self.width, out),
            Way::Columns(columns) => columns.fill(rows, self.width, out),
            Way::Inflated(inflater) => inflater.fill(out),
        }
    }

    /// Whether all rows have been read; then a checksum is compared, if there is one.
    pub(super) fn is_at_end(&mut self) -> Result<bool> {
        if self.left > 0 {
            return Ok(false);
        }
        if let Way::Inflated(inflater) = &mut self.way {
            inflater.finish()?;
        }
        Ok(true)
    }
}
