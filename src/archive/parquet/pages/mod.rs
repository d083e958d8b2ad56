//! Reads the vectors of a row group straight from its pages.
//!
//! Almost always there are no nulls, and all rows have `D` elements. Then levels carry no information: they are checked run
//! by run, and the values are copied as they are. Everything else is left to the Arrow reader, which is much slower but
//! complete, and which words the errors.
//!
//! Pages come through parquet's reader, except those whose values look the same in the file as in memory: PLAIN, without
//! compression and checksum. These are read directly to where they are used.

mod checked;
mod levels;
mod runs;
mod values;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use super::parquet_bytes::{Headers, ParquetBytes};
use super::thrift::Levels;
use crate::archive::floats::Float;
use crate::error::{Error, Result};
pub(super) use checked::CheckedGroup;
use checked::indices_fill;
use levels::{all_defined, rows_of};
use values::Indices;

/// Reads pages whose levels carry no information.
pub(super) struct Pages<V> {
    reader: SerializedPageReader<ParquetBytes>,
    source: ParquetBytes,
    /// The headers of pages to come, where pages are not compressed.
    headers: Option<Headers>,
    shape: Shape,
    dictionary: Option<Vec<V>>,
    page: Option<DataPage>,
    /// Levels seen so far, of the row group.
    at: u64,
}

/// How rows become values.
#[derive(Clone, Copy, Debug)]
struct Shape {
    dim: usize,
    /// Whether vectors are lists, which have levels of repetition.
    lists: bool,
    /// Stored values of a row: `D` in lists, 1 in binary.
    stored: usize,
    /// Elements of a stored value: 1 in lists, `D` in binary.
    lanes: usize,
    /// The highest definition level.
    defined: u8,
}

/// What is left of a data page.
struct DataPage {
    values: PageValues,
    /// Stored values.
    count: usize,
    taken: usize,
}

enum PageValues {
    /// PLAIN, still in the file, from this byte on.
    InFile(u64),
    Plain(Bytes),
    Split(Bytes),
    Dictionary(Indices),
}

/// Why there are no values.
enum Stop {
    /// The Arrow reader has to decode this page.
    Unusual,
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

type Taken<T> = std::result::Result<T, Stop>;

/// Bytes that are taken and looked through while they are in the nearest cache.
const BLOCK_BYTES: usize = 16 << 10;

/// The same where they come from a file: the next cache is near enough, and calls are fewer.
const FILE_BLOCK_BYTES: usize = 256 << 10;

impl<V: Float> Pages<V> {
    /// Begins to read a leaf of a row group, of vectors of `dim` elements.
    ///
    /// `None` if pages of this type are not read directly, or if the statistics report nulls.
    pub(super) fn open(
        source: &ParquetBytes,
        row_group: &RowGroupMetaData,
        leaf: usize,
        dim: usize,
    ) -> Result<Option<Self>> {
        let column = row_group.column(leaf);
        let descriptor = column.column_descr();
        let width = usize::try_from(descriptor.type_length()).unwrap_or(0);
        let lists = match (descriptor.physical_type(), descriptor.max_rep_level(), V::BYTES) {
            (Type::FLOAT, 1, 4) | (Type::DOUBLE, 1, 8) => true,
            (Type::FIXED_LEN_BYTE_ARRAY, 1, 2) if width == 2 => true,
            (Type::FIXED_LEN_BYTE_ARRAY, 0, 4) if dim.checked_mul(4) == Some(width) => false,
            _ => return Ok(None),
        };
        let nulls = column.statistics().and_then(Statistics::null_count_opt).unwrap_or(0);
        let (Ok(defined @ 0..=7), Ok(rows)) =
            (u8::try_from(descriptor.max_def_level()), usize::try_from(row_group.num_rows()))
        else {
            return Ok(None);
        };
        if nulls > 0 || dim == 0 {
            return Ok(None);
        }
        source.expect(row_group, &[leaf])?;
        let reader = source.guarded(|| SerializedPageReader::new(Arc::new(source.clone()), column, rows, None))?;
        let (stored, lanes) = if lists { (dim, 1) } else { (1, dim) };
        let shape = Shape { dim, lists, stored, lanes, defined };
        let plain = matches!(column.compression(), Compression::UNCOMPRESSED);
        let headers = if plain { Some(source.headers(column)?) } else { None };
        let source = source.clone();
        Ok(Some(Self { reader, source, headers, shape, dictionary: None, page: None, at: 0 }))
    }

    /// Makes `out` the next `rows` rows and says whether all of their values are finite; `None`, after some of them,
    /// where the Arrow reader has to look. What was in `out` saves asking for memory.
    pub(super) fn next(&mut self, rows: usize, out: &mut Vec<V>) -> Result<Option<bool>> {
        match self.take(rows, out) {
            Ok(finite) => Ok(Some(finite)),
            Err(Stop::Unusual) => Ok(None),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    /// Whether there is nothing more; `None` where the Arrow reader has to look.
    pub(super) fn is_at_end(&mut self) -> Result<Option<bool>> {
        match self.load() {
            Ok(more) => Ok(Some(!more)),
            Err(Stop::Unusual) => Ok(None),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn take(&mut self, rows: usize, out: &mut Vec<V>) -> Taken<bool> {
        let Shape { dim, lanes, .. } = self.shape;
        let elements = rows.checked_mul(dim).ok_or(Stop::Unusual)?;
        let (mut filled, mut finite) = (0, true);
        while filled < elements {
            if !self.load()? {
                return Err(Stop::Unusual);
            }
            let Some(page) = &mut self.page else { return Err(Stop::Unusual) };
            let count = ((elements - filled) / lanes).min(page.count - page.taken);
            let end = filled + count * lanes;
            // Memory for the whole chunk is taken only after a row of this length was seen: a schema alone may lie.
            grow(out, if filled < dim { end } else { elements })?;
            let block = if matches!(page.values, PageValues::InFile(_)) { FILE_BLOCK_BYTES } else { BLOCK_BYTES };
            for part in out[filled..end].chunks_mut((block / V::BYTES / lanes).max(1) * lanes) {
                page.fill(part, lanes, &self.source, self.dictionary.as_deref())?;
                finite &= V::all_finite(part);
            }
            filled = end;
        }
        out.truncate(elements);
        Ok(finite)
    }

    /// Makes sure that there is a page with values left; `false` at the end.
    fn load(&mut self) -> Taken<bool> {
        while self.page.as_ref().is_none_or(|page| page.taken == page.count) {
            self.page = self.page_in_file()?;
            if self.page.is_none() {
                let Self { reader, source, .. } = self;
                let Some(page) = source.guarded(|| reader.get_next_page())? else { return Ok(false) };
                self.page = self.open_page(page)?;
            }
        }
        Ok(true)
    }

    /// The next page, if its values can be read directly from the file: PLAIN, uncompressed, without a checksum.
    fn page_in_file(&mut self) -> Taken<Option<DataPage>> {
        let Some(headers) = &mut self.headers else { return Ok(None) };
        // A header that parquet may read in another way is left to parquet, and so is the rest of the column, since the
        // next offset is uncertain.
        let Some((header, start)) = headers.next().ok().flatten().filter(|(header, _)| !header.odd) else {
            self.headers = None;
            return Ok(None);
        };
        let (Some(levels), Some(count), false) = (header.plain, header.values, header.checksum) else {
            return Ok(None);
        };
        let bytes = u64::from(count.unsigned_abs()).checked_mul((self.shape.lanes * V::BYTES) as u64);
        let before = bytes.and_then(|bytes| (header.compressed as u64).checked_sub(bytes));
        let (Some(before), true) = (before, header.compressed == header.uncompressed) else { return Ok(None) };
        let mut levels = LevelBytes { bytes: self.source.bytes(start, before)?.into(), kind: levels };
        let count = count as usize;
        self.check_levels(&mut levels, count)?;
        usual(levels.bytes.is_empty())?;
        let Self { reader, source, .. } = self;
        source.guarded(|| reader.skip_next_page())?;
        self.at += count as u64;
        Ok(Some(DataPage { values: PageValues::InFile(start + before), count, taken: 0 }))
    }

    /// Checks the levels of a data page; keeps a dictionary.
    fn open_page(&mut self, page: Page) -> Taken<Option<DataPage>> {
        let (mut levels, encoding, count) = match page {
            Page::DictionaryPage { buf, num_values, encoding, .. } => {
                self.keep_dictionary(&buf, num_values as usize, encoding)?;
                return Ok(None);
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                usual(!self.shape.lists || rep_level_encoding == Encoding::RLE)?;
                usual(self.shape.defined == 0 || def_level_encoding == Encoding::RLE)?;
                (LevelBytes { bytes: buf, kind: Levels::Prefixed }, encoding, num_values as usize)
            }
            Page::DataPageV2 {
                buf,
                encoding,
                num_values,
                num_nulls,
                num_rows,
                rep_levels_byte_len,
                def_levels_byte_len,
                ..
            } => {
                let rows = num_rows as i32;
                let (nulls, repetition, definition) = (num_nulls, rep_levels_byte_len, def_levels_byte_len);
                let kind = Levels::Sized {
                    rows,
                    nulls: nulls as i32,
                    repetition: repetition as i32,
                    definition: definition as i32,
                };
                (LevelBytes { bytes: buf, kind }, encoding, num_values as usize)
            }
        };
        self.check_levels(&mut levels, count)?;
        self.at += count as u64;
        let bytes = levels.bytes;
        let whole = count.checked_mul(self.shape.lanes * V::BYTES) == Some(bytes.len());
        let values = match encoding {
            Encoding::PLAIN if whole => PageValues::Plain(bytes),
            Encoding::BYTE_STREAM_SPLIT if whole && self.shape.lists => PageValues::Split(bytes),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY if indices_fill(&bytes, count) => {
                PageValues::Dictionary(Indices::new(bytes).ok_or(Stop::Unusual)?)
            }
            _ => return Err(Stop::Unusual),
        };
        Ok(Some(DataPage { values, count, taken: 0 }))
    }

    /// Takes the levels of `count` values off a page and checks that they carry no information.
    fn check_levels(&self, page: &mut LevelBytes, count: usize) -> Taken<()> {
        let Shape { lists, stored, defined, .. } = self.shape;
        let (repetition, definition) = match page.kind {
            Levels::Prefixed => {
                let repetition = if lists { prefixed(&mut page.bytes)? } else { Bytes::new() };
                let definition = if defined > 0 { prefixed(&mut page.bytes)? } else { Bytes::new() };
                (repetition, definition)
            }
            Levels::Sized { rows, nulls, repetition, definition } => {
                let begun = |at: u64| if lists { at.div_ceil(stored as u64) } else { at };
                let begin = begun(self.at + count as u64) - begun(self.at);
                usual(nulls == 0 && u64::try_from(rows) == Ok(begin))?;
                (front(&mut page.bytes, repetition)?, front(&mut page.bytes, definition)?)
            }
        };
        usual(!lists || rows_of(&repetition, count, self.at, stored as u64))?;
        usual(defined == 0 || all_defined(&definition, count, defined))
    }

    fn keep_dictionary(&mut self, bytes: &[u8], count: usize, encoding: Encoding) -> Taken<()> {
        let length = count.checked_mul(self.shape.lanes * V::BYTES);
        usual(self.dictionary.is_none() && matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY))?;
        usual(length == Some(bytes.len()))?;
        let mut values = Vec::new();
        grow(&mut values, count * self.shape.lanes)?;
        fill_plain(&mut values, bytes);
        self.dictionary = Some(values);
        Ok(())
    }
}

/// A page's levels, before whatever else there is.
struct LevelBytes {
    bytes: Bytes,
    kind: Levels,
}

impl DataPage {
    /// Fills `values` with the next ones of the page, which has as many.
    fn fill<V: Float>(
        &mut self,
        values: &mut [V],
        lanes: usize,
        source: &ParquetBytes,
        dictionary: Option<&[V]>,
    ) -> Taken<()> {
        let (first, width) = (self.taken, lanes * V::BYTES);
        self.taken += values.len() / lanes;
        match &mut self.values {
            PageValues::InFile(start) => {
                V::fill_plain(values, |out| source.fill(*start + (first * width) as u64, out))?;
            }
            PageValues::Plain(bytes) => fill_plain(values, &bytes[first * width..self.taken * width]),
            PageValues::Split(bytes) => V::fill_split(values, bytes, self.count, first),
            PageValues::Dictionary(indices) => {
                usual(dictionary.and_then(|dictionary| indices.fill(values, lanes, dictionary)).is_some())?;
            }
        }
        Ok(())
    }
}

fn fill_plain<V: Float>(values: &mut [V], bytes: &[u8]) {
    let Ok(()) = V::fill_plain(values, |out| {
        out.copy_from_slice(bytes);
        Ok::<_, std::convert::Infallible>(())
    });
}

/// The first bytes, taken off.
fn front(bytes: &mut Bytes, length: impl TryInto<usize>) -> Taken<Bytes> {
    let length = length.try_into().map_err(|_| Stop::Unusual)?;
    usual(length <= bytes.len())?;
    Ok(bytes.split_to(length))
}

/// The levels of a page of the first version, taken off.
fn prefixed(bytes: &mut Bytes) -> Taken<Bytes> {
    let prefix = front(bytes, 4)?;
    front(bytes, u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]))
}

fn usual(is_so: bool) -> Taken<()> {
    if is_so { Ok(()) } else { Err(Stop::Unusual) }
}

/// Makes room for so many values, if there is less.
fn grow<V: Float>(values: &mut Vec<V>, length: usize) -> Result<()> {
    let more = length.saturating_sub(values.len());
    values.try_reserve_exact(more).map_err(|error| {
        let bytes = more.saturating_mul(size_of::<V>());
        Error::resource("not enough memory for a chunk").with("bytes", bytes).caused_by(error)
    })?;
    values.resize(values.len() + more, V::default());
    Ok(())
}

impl<V> fmt::Debug for Pages<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("shape", &self.shape).field("at", &self.at).finish_non_exhaustive()
    }
}
