//! The bytes of a buffer, from some byte on, compressed or not.

use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use arrow_ipc::CompressionType;

use super::layout::Range;
use super::messages::Block;
use crate::archive::damage::damaged;
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::{Error, Result};

/// The buffers of a batch.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) block: Block,
    pub(super) codec: Option<CompressionType>,
}

/// Bytes of a buffer that have not been read.
pub(super) struct BufferReader(Source);

enum Source {
    Plain {
        bytes: Arc<dyn ReadAt>,
        at: u64,
        end: u64,
    },
    /// Compressed, or read a few bytes at a time.
    Streamed(Box<dyn Read + Send>),
}

impl fmt::Debug for BufferReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BufferReader")
    }
}

/// A range of a file as a stream.
struct Section {
    bytes: Arc<dyn ReadAt>,
    at: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (self.end - self.at).min(buffer.len() as u64) as usize;
        self.bytes.read_at(self.at, &mut buffer[..length])?;
        self.at += length as u64;
        Ok(length)
    }
}

/// Bytes of a file that are read at a time to be decompressed.
const INPUT: usize = 128 << 10;

/// Bytes that are read at a time of which few are taken at a time.
const SMALL: usize = 16 << 10;

impl Body {
    /// The bytes of a buffer before compression.
    pub(super) fn length(&self, range: Range) -> Result<u64> {
        if self.codec.is_none() || range.length < 8 {
            return Ok(range.length);
        }
        let mut length = [0; 8];
        read_exact_at(&*self.bytes, self.block.body.saturating_add(range.start), &mut length)?;
        match i64::from_le_bytes(length) {
            -1 => Ok(range.length - 8),
            length => u64::try_from(length).map_err(|_| damaged("a compressed buffer has a negative length")),
        }
    }

    /// Opens a buffer.
    pub(super) fn buffer(&self, range: Range) -> Result<BufferReader> {
        let Self { bytes, block, codec } = self;
        let end = range.start.checked_add(range.length).filter(|&end| end <= block.body_length);
        let end = block.body + end.ok_or_else(|| damaged("a buffer lies outside of its batch"))?;
        let start = block.body + range.start;
        let bytes = bytes.clone();
        let plain = |bytes, at| Ok(BufferReader(Source::Plain { bytes, at, end }));
        let Some(codec) = codec.filter(|_| range.length > 0) else { return plain(bytes, start) };
        // A compressed buffer begins with its length before compression, or with -1 if it is not compressed after all.
        let mut length = [0; 8];
        if range.length < 8 {
            return Err(damaged("a compressed buffer is too short"));
        }
        read_exact_at(&*bytes, start, &mut length)?;
        if i64::from_le_bytes(length) == -1 {
            return plain(bytes, start + 8);
        }
        let section = BufReader::with_capacity(INPUT, Section { bytes, at: start + 8, end });
        Ok(BufferReader(Source::Streamed(match codec {
            CompressionType::ZSTD => {
                Box::new(zstd::stream::read::Decoder::with_buffer(section).map_err(|error| damaged(error.kind()))?)
            }
            _ => Box::new(lz4_flex::frame::FrameDecoder::new(section)),
        })))
    }
}

impl BufferReader {
    /// The same for reading a few bytes at a time.
    pub(super) fn buffered(self) -> Self {
        let reader: Box<dyn Read + Send> = match self.0 {
            Source::Plain { bytes, at, end } => Box::new(BufReader::with_capacity(SMALL, Section { bytes, at, end })),
            Source::Streamed(reader) => Box::new(BufReader::with_capacity(SMALL, reader)),
        };
        Self(Source::Streamed(reader))
    }

    /// Fills `out` with the next bytes.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<()> {
        match &mut self.0 {
            Source::Plain { bytes, at, end } => {
                let after = at.checked_add(out.len() as u64).filter(|after| after <= end);
                let after = after.ok_or_else(|| damaged("a buffer is too short"))?;
                read_exact_at(&**bytes, *at, out)?;
                *at = after;
                Ok(())
            }
            Source::Streamed(reader) => reader.read_exact(out).map_err(|error| match error.raw_os_error() {
                None => damaged("a buffer is broken or too short"),
                Some(_) => Error::io("cannot read").with("detail", error.kind()).caused_by(error),
            }),
        }
    }

    /// Passes over the next bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<()> {
        match &mut self.0 {
            Source::Plain { at, end, .. } => {
                *at = at.checked_add(count).filter(|at| at <= end).ok_or_else(|| damaged("a buffer is too short"))?;
                Ok(())
            }
            Source::Streamed(_) => {
                let mut sink = vec![0; count.min(INPUT as u64) as usize];
                let mut left = count;
                while left > 0 {
                    let step = left.min(sink.len() as u64);
                    self.fill(&mut sink[..step as usize])?;
                    left -= step;
                }
                Ok(())
            }
        }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let length = usize::try_from(count).unwrap_or(usize::MAX);
        // What a file claims is only taken once it is there.
        if let Source::Plain { at, end, .. } = &self.0
            && count > end - at
        {
            return Err(damaged("a buffer is too short"));
        }
        while bytes.len() < length {
            let step = (length - bytes.len()).min(STEP.max(bytes.len()));
            bytes.try_reserve_exact(step).map_err(|error| {
                Error::resource("not enough memory for a buffer").with("bytes", count).caused_by(error)
            })?;
            let start = bytes.len();
            bytes.resize(start + step, 0);
            self.fill(&mut bytes[start..])?;
        }
        Ok(bytes)
    }
}

/// Bytes that are asked for before any was read.
const STEP: usize = 1 << 20;
