//! The bytes of a Parquet file; checks page headers before parquet decodes the pages.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, BufReader, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::basic::{Compression, Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::thrift::{self, Malformed};
use crate::archive::damage::{damaged, guarded};
use crate::archive::read_at::{ReadAt, unreadable};
use crate::error::{Error, Result};

/// Pages are a mebibyte in practice, and `i32::MAX` bytes in the format.
const PAGE_LIMIT: u64 = 1 << 30;

/// Pages up to this size are accepted whatever the footer says about their column.
const PAGE_ALWAYS: u64 = 64 << 20;

/// Headers carry statistics, whose values may be long; they end well before this.
const HEADER_LIMIT: usize = 16 << 20;

/// One open file, read by position: readers of several columns share it without moving each other.
#[derive(Clone, Debug)]
pub(super) struct ParquetBytes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes: Arc<dyn ReadAt>,
    guard: Mutex<Guard>,
    buffers: Buffers,
}

/// Memory of pages that have been read, for the next ones.
type Buffers = Arc<Mutex<Vec<Vec<u8>>>>;

/// Pages of this size are read into memory that is reused: for smaller ones it does not pay, and larger ones are rare.
const KEPT_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=4 << 20;

/// Buffers that are kept; a page is mostly gone before the next one is read.
const KEPT_BUFFERS: usize = 4;

/// A page in memory that is returned to the pool when it is dropped.
struct Lent {
    buffer: Vec<u8>,
    length: usize,
    buffers: Buffers,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.length]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < KEPT_BUFFERS {
            buffers.push(std::mem::take(&mut self.buffer));
        }
    }
}

/// Where page headers are expected, and why one was refused.
#[derive(Debug, Default)]
struct Guard {
    expected: HashMap<u64, ChunkClaims>,
    refusal: Option<Error>,
}

/// What the footer claims about a column of a row group.
#[derive(Clone, Copy, Debug)]
struct ChunkClaims {
    start: u64,
    end: u64,
    uncompressed: u64,
    values: u64,
    /// Values of the pages before.
    seen: u64,
    /// The fewest bytes that a value of a dictionary takes.
    width: u64,
    compressed: bool,
}

impl ParquetBytes {
    /// Reads the content of a file.
    pub(super) fn new(bytes: Arc<dyn ReadAt>) -> Self {
        Self(Arc::new(Inner { bytes, guard: Mutex::default(), buffers: Buffers::default() }))
    }

    /// Bytes from `start`.
    pub(super) fn bytes(&self, start: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read(start, length, &mut bytes)?;
        Ok(bytes)
    }

    /// The same in memory that is used again.
    fn page(&self, start: u64, length: usize) -> Result<Bytes> {
        if !KEPT_BYTES.contains(&length) {
            return self.bytes(start, length as u64).map(Bytes::from);
        }
        let buffers = self.0.buffers.clone();
        let spare = buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut page = Lent { buffer: spare.unwrap_or_default(), length, buffers };
        self.read(start, length as u64, &mut page.buffer)?;
        Ok(Bytes::from_owner(page))
    }

    /// Reads to the beginning of `bytes`, which becomes longer if it is too short.
    fn read(&self, start: u64, length: u64, bytes: &mut Vec<u8>) -> Result<()> {
        let inside = start.checked_add(length).is_some_and(|end| end <= self.0.bytes.size());
        if !inside {
            return Err(damaged(format!("{length} bytes from {start} are not in a file of {}", self.0.bytes.size())));
        }
        let length = length as usize;
        if bytes.len() < length {
            *bytes = reserve(length as u64)?;
            bytes.resize(length, 0);
        }
        self.fill(start, &mut bytes[..length])
    }

    /// Fills a buffer with the bytes from `start`.
    pub(super) fn fill(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        match self.0.bytes.read_at(start, buffer) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(damaged("the file became shorter")),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Expects pages from the beginnings of these columns of a row group, and from there on one after the other.
    pub(super) fn expect(&self, row_group: &RowGroupMetaData, leaves: &[usize]) -> Result<()> {
        let mut guard = self.guard();
        for &leaf in leaves {
            let column = ChunkClaims::new(row_group.column(leaf), self.0.bytes.size())?;
            self.0.bytes.announce(column.start, column.end);
            guard.expected.insert(column.start, column);
        }
        Ok(())
    }

    /// Whether the first page of a column carries a checksum.
    pub(super) fn checksum(&self, chunk: &ColumnChunkMetaData) -> Result<bool> {
        let mut column = ChunkClaims::new(chunk, self.0.bytes.size())?;
        Ok(self.header(column.start, &mut column)?.checksum)
    }

    /// The headers of a column's pages.
    pub(super) fn headers(&self, chunk: &ColumnChunkMetaData) -> Result<Headers> {
        let column = ChunkClaims::new(chunk, self.0.bytes.size())?;
        Ok(Headers { source: self.clone(), at: column.start, column })
    }

    /// Runs code of parquet on this file. It may panic on damaged bytes; errors that were kept aside replace its own.
    pub(super) fn guarded<T, E: Display>(&self, work: impl FnOnce() -> Result<T, E>) -> Result<T> {
        let outcome = guarded(work);
        match self.guard().refusal.take() {
            Some(refusal) => Err(refusal),
            None => outcome,
        }
    }

    fn guard(&self) -> MutexGuard<'_, Guard> {
        // The table is consistent between any two of its operations.
        self.0.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an error for [`guarded`](Self::guarded), and converts it for parquet.
    pub(super) fn refuse(&self, error: Error) -> ParquetError {
        let text = error.to_string();
        self.guard().refusal.get_or_insert(error);
        ParquetError::General(text)
    }

    /// If a page is expected at `start`: checks its header and expects the next one.
    fn check(&self, start: u64) -> Result<()> {
        let Some(mut column) = self.guard().expected.remove(&start) else { return Ok(()) };
        let header = self.header(start, &mut column)?;
        let next = start + header.length + header.compressed as u64;
        if next < column.end {
            self.guard().expected.insert(next, column);
        }
        Ok(())
    }

    /// The page header at `start`, whose values are counted.
    fn header(&self, start: u64, column: &mut ChunkClaims) -> Result<thrift::PageHeader> {
        let most = column.end - start;
        let mut length = most.min(4096);
        let header = loop {
            match thrift::page_header(&self.bytes(start, length)?) {
                Ok(header) => break header,
                Err(Malformed) if length < most.min(HEADER_LIMIT as u64) => length = most.min(length * 8),
                Err(Malformed) => return Err(damaged("a page header is malformed").with("offset", start)),
            }
        };
        column.admit(&header, start).map_err(|error| error.with("offset", start))?;
        // A failing allocation would end the process, so it is tried first.
        reserve(header.uncompressed as u64)?;
        Ok(header)
    }
}

/// The headers of a column's pages, one after the other.
#[derive(Debug)]
pub(super) struct Headers {
    source: ParquetBytes,
    column: ChunkClaims,
    at: u64,
}

impl Headers {
    /// The next header, and where its page begins; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<(thrift::PageHeader, u64)>> {
        if self.at >= self.column.end {
            return Ok(None);
        }
        let header = self.source.header(self.at, &mut self.column)?;
        let page = self.at + header.length;
        self.at = page + header.compressed as u64;
        Ok(Some((header, page)))
    }
}

impl ChunkClaims {
    fn new(chunk: &ColumnChunkMetaData, size: u64) -> Result<Self> {
        let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
        let range = (u64::try_from(start).ok())
            .zip(u64::try_from(chunk.compressed_size()).ok())
            .and_then(|(start, length)| Some((start, start.checked_add(length)?)))
            .filter(|&(_, end)| end <= size);
        let (Some((start, end)), Ok(values)) = (range, u64::try_from(chunk.num_values())) else {
            return Err(damaged("a column lies outside of the file"));
        };
        Ok(Self {
            start,
            end,
            uncompressed: u64::try_from(chunk.uncompressed_size()).unwrap_or(0),
            values,
            seen: 0,
            width: match chunk.column_type() {
                Type::BOOLEAN => 1,
                Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
                Type::INT64 | Type::DOUBLE => 8,
                Type::INT96 => 12,
                Type::FIXED_LEN_BYTE_ARRAY => u64::try_from(chunk.column_descr().type_length()).unwrap_or(1).max(1),
            },
            compressed: chunk.compression() != Compression::UNCOMPRESSED,
        })
    }

    /// Checks the header of the page at `start` and counts its values.
    fn admit(&mut self, header: &thrift::PageHeader, start: u64) -> Result<()> {
        let claim = |what: &str, value: i64| Err(damaged(format!("a page claims {value} {what}")));
        let Ok(uncompressed) = u64::try_from(header.uncompressed) else {
            return claim("uncompressed bytes", header.uncompressed.into());
        };
        if uncompressed > self.uncompressed.clamp(PAGE_ALWAYS, PAGE_LIMIT) {
            return claim("uncompressed bytes", header.uncompressed.into());
        }
        let left = self.end - start;
        if u64::try_from(header.compressed).is_err() || header.length + header.compressed as u64 > left {
            return claim("bytes", header.compressed.into());
        }
        if header.compressed != header.uncompressed && !(self.compressed && header.may_be_compressed) {
            let (here, before) = (header.compressed, header.uncompressed);
            return Err(damaged(format!("a page without compression claims {before} bytes in {here}")));
        }
        if header.dictionary_values.is_some() && start != self.start {
            return Err(damaged("a dictionary comes after other pages of its column"));
        }
        if let Some(values) = header.values {
            let values = u64::try_from(values).ok().and_then(|values| self.seen.checked_add(values));
            self.seen = match values.filter(|&seen| seen <= self.values) {
                Some(seen) => seen,
                None => return claim("values", header.values.unwrap_or_default().into()),
            };
        }
        if let Some(values) = header.dictionary_values
            && u64::try_from(values).map_or(true, |values| values * self.width > uncompressed)
        {
            return claim("values in its dictionary", values.into());
        }
        if header.length + header.compressed as u64 == left && self.seen != self.values {
            let (held, claimed) = (self.seen, self.values);
            return Err(damaged(format!("the pages of a column hold {held} values where it claims {claimed}")));
        }
        Ok(())
    }
}

fn reserve(length: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX))
        .map_err(|error| Error::resource("not enough memory for a page").with("bytes", length).caused_by(error))?;
    Ok(bytes)
}

impl Length for ParquetBytes {
    fn len(&self) -> u64 {
        self.0.bytes.size()
    }
}

impl ChunkReader for ParquetBytes {
    type T = BufReader<At>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.check(start).map_err(|error| self.refuse(error))?;
        Ok(BufReader::with_capacity(4096, At { source: self.clone(), at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.page(start, length).map_err(|error| self.refuse(error))
    }
}

/// A position in a file.
#[derive(Debug)]
pub(super) struct At {
    source: ParquetBytes,
    at: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = &self.source.0.bytes;
        let left = bytes.size().saturating_sub(self.at);
        let read = (buffer.len() as u64).min(left) as usize;
        bytes.read_at(self.at, &mut buffer[..read])?;
        self.at += read as u64;
        Ok(read)
    }
}
