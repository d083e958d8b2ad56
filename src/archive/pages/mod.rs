//! The vectors of a unit straight from its pages.
//!
//! Nearly everywhere no row and no element is null, and all rows have `D` elements. Then levels say nothing that is not
//! known: they are checked run by run, and the values are taken as they lie. Anything else is left to the Arrow reader,
//! which is slower by far and knows all there is to know; it also finds the words for what is wrong.

mod levels;
mod runs;
mod values;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::statistics::Statistics;

use super::source::Source;
use crate::error::{Error, Result};
use levels::{all_defined, rows_of};
use values::Indices;
pub(super) use values::{Float, all_finite};

/// Reads pages whose levels say nothing.
pub(super) struct Pages<V> {
    reader: SerializedPageReader<Source>,
    source: Source,
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
    bytes: Bytes,
    encoding: Values,
    /// Stored values.
    count: usize,
    taken: usize,
}

enum Values {
    Plain,
    Split,
    Dictionary(Indices),
}

/// Why there are no values.
enum Stop {
    /// Levels or values are not so plain that they can be taken as they are.
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

impl<V: Float> Pages<V> {
    /// Begins to read a leaf of a row group, of vectors of `dim` elements.
    ///
    /// `None` if the column is not of a kind that is read here, or says that it has nulls.
    pub(super) fn open(source: &Source, row_group: &RowGroupMetaData, leaf: usize, dim: usize) -> Result<Option<Self>> {
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
        let (Ok(defined @ 0..=3), Ok(rows)) =
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
        Ok(Some(Self { reader, source: source.clone(), shape, dictionary: None, page: None, at: 0 }))
    }

    /// Appends the next `rows` rows and says whether all of their values are finite; `None`, after some of them, where
    /// the Arrow reader has to look.
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
        let Shape { dim, stored, lanes, .. } = self.shape;
        let elements = rows.checked_mul(dim).ok_or(Stop::Unusual)?;
        let mut left = rows * stored;
        let mut finite = true;
        while left > 0 {
            if !self.load()? {
                return Err(Stop::Unusual);
            }
            let Some(page) = &mut self.page else { return Err(Stop::Unusual) };
            let from_page = left.min(page.count - page.taken);
            if out.len() < dim {
                reserve(out, from_page * lanes)?;
            } else {
                // By now some rows have been seen to be so long; no schema alone can ask for this memory.
                reserve(out, elements - out.len())?;
            }
            left -= from_page;
            let end = page.taken + from_page;
            let step = (BLOCK_BYTES / V::BYTES / lanes).max(1);
            while page.taken < end {
                let (first, count) = (out.len(), step.min(end - page.taken));
                page.append(count, lanes, self.dictionary.as_deref(), out)?;
                finite &= all_finite(&out[first..]);
            }
        }
        Ok(finite)
    }

    /// Makes sure that there is a page with values left; `false` at the end.
    fn load(&mut self) -> Taken<bool> {
        while self.page.as_ref().is_none_or(|page| page.taken == page.count) {
            self.page = None;
            let Self { reader, source, .. } = self;
            let Some(page) = source.guarded(|| reader.get_next_page())? else { return Ok(false) };
            self.page = self.open_page(page)?;
        }
        Ok(true)
    }

    /// Checks the levels of a data page; keeps a dictionary.
    fn open_page(&mut self, page: Page) -> Taken<Option<DataPage>> {
        let (bytes, encoding, count) = match page {
            Page::DictionaryPage { buf, num_values, encoding, .. } => {
                self.keep_dictionary(&buf, num_values as usize, encoding)?;
                return Ok(None);
            }
            Page::DataPage { mut buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                let count = num_values as usize;
                if self.shape.lists {
                    let levels = prefixed(&mut buf, rep_level_encoding)?;
                    self.check_rows(&levels, count)?;
                }
                if self.shape.defined > 0 {
                    let levels = prefixed(&mut buf, def_level_encoding)?;
                    self.check_defined(&levels, count)?;
                }
                (buf, encoding, count)
            }
            Page::DataPageV2 {
                mut buf,
                num_values,
                encoding,
                num_nulls,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let count = num_values as usize;
                let repetition = front(&mut buf, rep_levels_byte_len as usize)?;
                let definition = front(&mut buf, def_levels_byte_len as usize)?;
                if num_nulls > 0 {
                    return Err(Stop::Unusual);
                }
                if self.shape.lists {
                    self.check_rows(&repetition, count)?;
                }
                if self.shape.defined > 0 {
                    self.check_defined(&definition, count)?;
                }
                (buf, encoding, count)
            }
        };
        self.at += count as u64;
        let whole = count.checked_mul(self.shape.lanes * V::BYTES) == Some(bytes.len());
        let encoding = match encoding {
            Encoding::PLAIN if whole => Values::Plain,
            Encoding::BYTE_STREAM_SPLIT if whole && self.shape.lists => Values::Split,
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                Values::Dictionary(Indices::new(bytes.clone()).ok_or(Stop::Unusual)?)
            }
            _ => return Err(Stop::Unusual),
        };
        Ok(Some(DataPage { bytes, encoding, count, taken: 0 }))
    }

    fn check_rows(&self, levels: &[u8], count: usize) -> Taken<()> {
        usual(rows_of(levels, count, self.at, self.shape.stored as u64))
    }

    fn check_defined(&self, levels: &[u8], count: usize) -> Taken<()> {
        usual(all_defined(levels, count, self.shape.defined))
    }

    fn keep_dictionary(&mut self, bytes: &[u8], count: usize, encoding: Encoding) -> Taken<()> {
        let length = count.checked_mul(self.shape.lanes * V::BYTES);
        usual(self.dictionary.is_none() && matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY))?;
        usual(length == Some(bytes.len()))?;
        let mut values = Vec::new();
        reserve(&mut values, count * self.shape.lanes)?;
        V::append_plain(bytes, &mut values);
        self.dictionary = Some(values);
        Ok(())
    }
}

impl DataPage {
    fn append<V: Float>(
        &mut self,
        count: usize,
        lanes: usize,
        dictionary: Option<&[V]>,
        out: &mut Vec<V>,
    ) -> Taken<()> {
        let end = self.taken + count;
        match &mut self.encoding {
            Values::Plain => {
                let width = lanes * V::BYTES;
                V::append_plain(&self.bytes[self.taken * width..end * width], out);
            }
            Values::Split => V::append_split(&self.bytes, self.count, self.taken, end, out),
            Values::Dictionary(indices) => {
                let appended = dictionary.and_then(|dictionary| indices.append(count, lanes, dictionary, out));
                usual(appended.is_some())?;
            }
        }
        self.taken = end;
        Ok(())
    }
}

/// The first bytes, taken off.
fn front(bytes: &mut Bytes, length: usize) -> Taken<Bytes> {
    usual(length <= bytes.len())?;
    Ok(bytes.split_to(length))
}

/// The levels of a page of the first version, taken off.
fn prefixed(bytes: &mut Bytes, encoding: Encoding) -> Taken<Bytes> {
    usual(encoding == Encoding::RLE)?;
    let prefix = front(bytes, 4)?;
    front(bytes, u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize)
}

fn usual(is_so: bool) -> Taken<()> {
    if is_so { Ok(()) } else { Err(Stop::Unusual) }
}

fn reserve<V>(values: &mut Vec<V>, more: usize) -> Result<()> {
    values.try_reserve_exact(more).map_err(|error| {
        let bytes = more.saturating_mul(size_of::<V>());
        Error::resource("not enough memory for a chunk").with("bytes", bytes).caused_by(error)
    })
}

impl<V> fmt::Debug for Pages<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("shape", &self.shape).field("at", &self.at).finish_non_exhaustive()
    }
}
