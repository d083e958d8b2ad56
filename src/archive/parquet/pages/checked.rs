//! Checks pages for the Arrow reader, which trusts their headers.
//!
//! A page may be decoded wrongly even though its checksum is right, if a bit of its header or of the schema has flipped. Then
//! levels and values no longer fill the page exactly.

use std::sync::Arc;

use bytes::Bytes;
use parquet::arrow::arrow_reader::RowGroups;
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageIterator, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result as Read};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::levels;
use super::runs::{Run, run_at};
use crate::archive::damage::damaged;
use crate::archive::parquet::parquet_bytes::ParquetBytes;

/// A row group whose pages are checked.
pub(in crate::archive::parquet) struct CheckedGroup<'a> {
    pub(in crate::archive::parquet) source: &'a ParquetBytes,
    pub(in crate::archive::parquet) metadata: &'a ParquetMetaData,
    pub(in crate::archive::parquet) row_group: usize,
}

impl CheckedGroup<'_> {
    fn group(&self) -> &RowGroupMetaData {
        self.metadata.row_group(self.row_group)
    }
}

impl RowGroups for CheckedGroup<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.group().num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, leaf: usize) -> Read<Box<dyn PageIterator>> {
        let column = self.group().column(leaf);
        let descriptor = column.column_descr();
        let reader = SerializedPageReader::new(Arc::new(self.source.clone()), column, self.num_rows(), None)?;
        let level = |most| u8::try_from(most).map_err(|_| ParquetError::General("nested too deep".to_owned()));
        let column = ColumnShape {
            repetition: level(descriptor.max_rep_level())?,
            definition: level(descriptor.max_def_level())?,
            values: Fixed::of(descriptor.physical_type(), descriptor.type_length()),
        };
        let pages = CheckedPages {
            reader,
            source: self.source.clone(),
            column,
            rows: 0,
            left: self.num_rows(),
            skipped: false,
        };
        Ok(Box::new(OneColumn(Some(pages))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.group()))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

/// The pages of one column of one row group.
struct OneColumn(Option<CheckedPages>);

impl Iterator for OneColumn {
    type Item = Read<Box<dyn PageReader>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|pages| Ok(Box::new(pages) as Box<dyn PageReader>))
    }
}

impl PageIterator for OneColumn {}

struct CheckedPages {
    reader: SerializedPageReader<ParquetBytes>,
    source: ParquetBytes,
    column: ColumnShape,
    /// Rows that have begun.
    rows: usize,
    /// Rows of the row group.
    left: usize,
    /// Whether some pages were passed over, so that rows cannot be added up.
    skipped: bool,
}

/// What the schema says of the values of a column.
#[derive(Clone, Copy, Debug)]
struct ColumnShape {
    /// The highest repetition level.
    repetition: u8,
    /// The highest definition level.
    definition: u8,
    values: Fixed,
}

/// What `fastparquet` writes behind the values of each page.
const PADDING: [u8; 8] = [0; 8];

/// How many bits a value takes that lies in a page as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fixed {
    Bits(usize),
    /// Each says its own length.
    Varies,
}

impl Fixed {
    fn of(kind: Type, length: i32) -> Self {
        Self::Bits(match kind {
            Type::BOOLEAN => 1,
            Type::INT32 | Type::FLOAT => 32,
            Type::INT64 | Type::DOUBLE => 64,
            Type::INT96 => 96,
            Type::FIXED_LEN_BYTE_ARRAY => 8 * usize::try_from(length).unwrap_or(0),
            Type::BYTE_ARRAY => return Self::Varies,
        })
    }

    /// Whether `bytes` are a dictionary of `count` such values. Arrow's writer in C++ leaves room for each text of a category,
    /// and writes equal ones once: zeros may follow, which no index can reach.
    fn fill_dictionary(self, bytes: &[u8], count: usize) -> bool {
        let used = match self {
            Self::Bits(_) => return self.fill(bytes, count),
            Self::Varies => bytes.len() - bytes.iter().rev().take_while(|&&byte| byte == 0).count(),
        };
        let mut end = 0_usize;
        for _ in 0..count {
            let Some(length) = bytes.get(end..).and_then(|rest| rest.first_chunk::<4>()) else { return false };
            end = end.saturating_add(4).saturating_add(u32::from_le_bytes(*length) as usize);
        }
        (used..=bytes.len()).contains(&end)
    }

    /// Whether `bytes` are `count` such values, and nothing else.
    fn fill(self, bytes: &[u8], count: usize) -> bool {
        match self {
            Self::Bits(bits) => bits.checked_mul(count).is_some_and(|bits| bits.div_ceil(8) == bytes.len()),
            Self::Varies => {
                let mut rest = bytes;
                for _ in 0..count {
                    let Some((length, tail)) = rest.split_first_chunk::<4>() else { return false };
                    let Some(tail) = tail.get(u32::from_le_bytes(*length) as usize..) else { return false };
                    rest = tail;
                }
                rest.is_empty()
            }
        }
    }
}

impl ColumnShape {
    /// Whether values of that encoding fill the rest of a page. Zeros of [`PADDING`] may follow.
    fn values_fill(self, encoding: Encoding, bytes: &[u8], count: usize) -> bool {
        let fill = |bytes: &[u8]| self.fill_exactly(encoding, bytes, count);
        fill(bytes) || bytes.strip_suffix(&PADDING).is_some_and(fill)
    }

    fn fill_exactly(self, encoding: Encoding, bytes: &[u8], count: usize) -> bool {
        match (encoding, self.values) {
            (Encoding::PLAIN, values) => values.fill(bytes, count),
            (Encoding::BYTE_STREAM_SPLIT, Fixed::Bits(_)) => self.values.fill(bytes, count),
            (Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY, _) => indices_fill(bytes, count),
            (Encoding::RLE, _) => bytes.split_first_chunk::<4>().is_some_and(|(length, runs)| {
                u32::from_le_bytes(*length) as usize == runs.len() && runs_fill(runs, count, 1)
            }),
            (Encoding::DELTA_BINARY_PACKED | Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY, _) => {
                count == 0 || delta_count(bytes) == Some(count as u64)
            }
            _ => true,
        }
    }
}

/// Whether a page of indices holds so many, and nothing else.
pub(super) fn indices_fill(bytes: &[u8], count: usize) -> bool {
    match bytes.split_first() {
        Some((&width @ 0..=32, runs)) => runs_fill(runs, count, width.into()),
        Some(_) => false,
        None => count == 0,
    }
}

/// Whether runs hold so many values; the last one may hold some more.
fn runs_fill(bytes: &[u8], count: usize, width: u32) -> bool {
    let (mut held, mut at) = (0_usize, 0);
    while held < count {
        let Some((Run::Repeated { count, .. } | Run::Packed { count, .. }, next)) = run_at(bytes, at, width) else {
            return false;
        };
        held = held.saturating_add(count);
        at = next;
    }
    at == bytes.len()
}

/// How many values a page of differences says that it holds: behind the sizes of its blocks.
fn delta_count(bytes: &[u8]) -> Option<u64> {
    let mut bytes = bytes.iter();
    let mut varint = || {
        let mut value = 0_u64;
        for shift in (0..63).step_by(7) {
            let byte = *bytes.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    varint()?;
    varint()?;
    varint()
}

/// A page's levels, and what is behind them.
struct PageParts {
    repetition: Option<Bytes>,
    definition: Option<Bytes>,
    values: Bytes,
}

impl CheckedPages {
    /// What a page says, if that is what it holds.
    fn look(&mut self, page: &Page) -> Option<()> {
        let (parts, encoding, count) = match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                return self.column.values.fill_dictionary(buf, *num_values as usize).then_some(());
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, rep_level_encoding, .. } => {
                let count = *num_values as usize;
                let mut values = buf.clone();
                let repetition = first(&mut values, count, self.column.repetition, *rep_level_encoding)?;
                let definition = first(&mut values, count, self.column.definition, *def_level_encoding)?;
                (PageParts { repetition, definition, values }, *encoding, count)
            }
            Page::DataPageV2 {
                buf, num_values, encoding, num_rows, rep_levels_byte_len, def_levels_byte_len, ..
            } => {
                let count = *num_values as usize;
                let mut values = buf.clone();
                let mut take = |length: u32, most: u8| -> Option<Levels> {
                    let length = length as usize;
                    // Without levels there is nothing that they could say.
                    (length <= values.len() && (most > 0 || length == 0)).then_some(())?;
                    let levels = values.split_to(length);
                    Some((most > 0).then_some(levels))
                };
                let repetition = take(*rep_levels_byte_len, self.column.repetition)?;
                let definition = take(*def_levels_byte_len, self.column.definition)?;
                let rows = match &repetition {
                    Some(levels) => levels::count(levels, count, self.column.repetition, 0)?,
                    None => count,
                };
                (rows == *num_rows as usize).then_some(())?;
                (PageParts { repetition, definition, values }, *encoding, count)
            }
        };
        self.rows += match &parts.repetition {
            Some(levels) => levels::count(levels, count, self.column.repetition, 0)?,
            None if self.column.repetition > 0 => {
                self.skipped = true;
                return Some(());
            }
            None => count,
        };
        let defined = match &parts.definition {
            Some(levels) => levels::count(levels, count, self.column.definition, self.column.definition)?,
            None if self.column.definition > 0 => return Some(()),
            None => count,
        };
        self.column.values_fill(encoding, &parts.values, defined).then_some(())
    }
}

/// The levels of a page, where it stores any that are to be counted.
type Levels = Option<Bytes>;

/// Takes the levels off the beginning of a page of the first version. The inner `None` stands for a page without levels, or
/// with levels in the deprecated bit-packed encoding, which are not counted.
fn first(bytes: &mut Bytes, count: usize, most: u8, encoding: Encoding) -> Option<Levels> {
    if most == 0 {
        return Some(None);
    }
    if encoding != Encoding::RLE {
        let length = count.checked_mul(levels::width(most) as usize)?.div_ceil(8);
        (length <= bytes.len()).then(|| bytes.split_to(length))?;
        return Some(None);
    }
    let length = u32::from_le_bytes(*bytes.first_chunk::<4>()?) as usize;
    (length <= bytes.len() - 4).then(|| {
        drop(bytes.split_to(4));
        Some(bytes.split_to(length))
    })
}

impl PageReader for CheckedPages {
    fn get_next_page(&mut self) -> Read<Option<Page>> {
        let refused = |this: &Self, detail: &str| Err(this.source.refuse(damaged(detail)));
        let Some(page) = self.reader.get_next_page()? else {
            let known = self.column.repetition > 0 && !self.skipped;
            return if known && self.rows != self.left {
                refused(self, "its pages hold more or fewer rows than the footer says")
            } else {
                Ok(None)
            };
        };
        match self.look(&page) {
            Some(()) => Ok(Some(page)),
            None => refused(self, "a page does not hold what its header and the schema say"),
        }
    }

    fn peek_next_page(&mut self) -> Read<Option<PageMetadata>> {
        self.reader.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Read<()> {
        self.skipped = true;
        self.reader.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Read<bool> {
        self.reader.at_record_boundary()
    }
}

impl Iterator for CheckedPages {
    type Item = Read<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}
