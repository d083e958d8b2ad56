//! Columns of single values as arrays.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, BooleanArray, DictionaryArray, make_array, new_empty_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Int32Type};

use super::buffers::Body;
use super::file::{Batches, Outer, Segment, in_batch};
use super::layout::Walk;
use super::messages::{Block, parsed, record_batch};
use crate::archive::container::{ArrayStream, Strings};
use crate::archive::damage::{damaged, guarded};
use crate::archive::nested::with_nulls;
use crate::archive::read_at::ReadAt;
use crate::error::{Error, Result};

/// Columns of a unit.
#[derive(Debug)]
pub(super) struct ArrowArrays {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) batches: Arc<Batches>,
    /// Columns, and the types in which they are read.
    pub(super) columns: Vec<(usize, DataType)>,
    pub(super) strings: Strings,
    /// The next row.
    pub(super) next: u64,
    pub(super) end: u64,
}

impl ArrayStream for ArrowArrays {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        if rows as u64 > self.end - self.next {
            return Err(damaged("rows are missing"));
        }
        let segments = self.batches.segments(self.next, rows as u64);
        let column = |(root, kind): &(usize, DataType)| {
            let pieces =
                segments.iter().map(|&segment| self.piece(segment, *root, kind)).collect::<Result<Vec<_>>>()?;
            match &pieces[..] {
                [only] => Ok(only.clone()),
                _ => concat(&pieces.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>()).map_err(damaged),
            }
        };
        let columns = self.columns.iter().map(column).collect();
        self.next += rows as u64;
        columns
    }

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.next == self.end)
    }
}

impl ArrowArrays {
    fn piece(&self, segment: Segment, root: usize, kind: &DataType) -> Result<ArrayRef> {
        let written = self.batches.data_type(root);
        let rows = (segment.from, segment.rows);
        let array = self.batches.at(&self.bytes, segment.batch, root, |body, walk, outer| {
            let mut array = column(body, walk, in_batch(written), rows)?;
            for Outer { node, validity } in outer.iter().filter(|outer| outer.node.nulls > 0) {
                debug_assert!(node.rows >= rows.1);
                array = with_nulls(&array, Some(&NullBuffer::new(bits(body, *validity, rows.0, rows.1)?)))?;
            }
            Ok(array)
        })?;
        let DataType::Dictionary(_, value) = written else { return cast(&array, kind).map_err(damaged) };
        let values = self.dictionary(root, value, &self.batches.blocks[segment.batch])?;
        let values = cast(&values, kind).map_err(damaged)?;
        let keys = cast(&array, &DataType::Int32).map_err(damaged)?;
        if array.null_count() != keys.null_count() {
            return Err(damaged("a key of a dictionary is too large"));
        }
        let keys = keys.as_primitive::<Int32Type>();
        let dictionary = DictionaryArray::<Int32Type>::try_new(keys.clone(), values.clone()).map_err(damaged)?;
        if *kind == DataType::Utf8 && self.strings == Strings::Dictionary {
            return Ok(Arc::new(dictionary));
        }
        take(&values, keys, None).map_err(damaged)
    }

    /// The values of a column's dictionary, as they are when a batch is read.
    fn dictionary(&self, root: usize, kind: &DataType, batch: &Block) -> Result<ArrayRef> {
        let id = self.batches.dictionary_ids[self.batches.roots[root].field];
        let mut values: Option<ArrayRef> = None;
        let Batches { dictionaries, is_stream, .. } = &*self.batches;
        for block in dictionaries.iter().filter(|block| !is_stream || block.start < batch.start) {
            let metadata = block.metadata(&*self.bytes)?;
            let message = parsed(&metadata)?;
            let header = message.header_as_dictionary_batch().ok_or_else(|| damaged("a dictionary has no values"))?;
            if Some(header.id()) != id {
                continue;
            }
            let mut walk = Walk::new(record_batch(&message)?, self.batches.is_v5);
            let body = Body { bytes: self.bytes.clone(), block: *block, codec: walk.codec()? };
            let more = column(&body, &mut walk, kind, (0, block.rows))?;
            values = Some(match values.filter(|_| header.isDelta()) {
                Some(values) => concat(&[&*values, &*more]).map_err(damaged)?,
                None => more,
            });
        }
        values.ok_or_else(|| damaged("a dictionary is missing"))
    }
}

/// Rows of a column of a batch: the first one, and how many.
fn column(body: &Body, walk: &mut Walk<'_>, kind: &DataType, (first, rows): (u64, u64)) -> Result<ArrayRef> {
    let node = walk.node()?;
    if node.rows != body.block.rows {
        return Err(damaged("a column has not as many rows as its batch"));
    }
    if rows == 0 {
        return Ok(new_empty_array(kind));
    }
    let length = usize::try_from(rows).map_err(damaged)?;
    let range = walk.buffer()?;
    let nulls = if node.nulls == 0 { None } else { Some(NullBuffer::new(bits(body, range, first, rows)?)) };
    if *kind == DataType::Boolean {
        let values = bits(body, walk.buffer()?, first, rows)?;
        return Ok(Arc::new(BooleanArray::new(values, nulls)));
    }
    let mut buffers = Vec::new();
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 => {
            let width = if *kind == DataType::Utf8 { 4 } else { 8 };
            let mut offsets = body.buffer(walk.buffer()?)?;
            offsets.skip(first.saturating_mul(width))?;
            let mut offsets = offsets.take((rows + 1).saturating_mul(width))?;
            let number = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
            let width = width as usize;
            let (start, end) = (number(&offsets[..width]), number(&offsets[offsets.len() - width..]));
            let length = end.checked_sub(start).filter(|&length| i32::try_from(length).is_ok());
            let length = length.ok_or_else(|| damaged("the offsets of texts cannot be"))?;
            for offset in offsets.chunks_exact_mut(width) {
                let moved = number(offset).checked_sub(start).ok_or_else(|| damaged("the offsets of texts descend"))?;
                offset.copy_from_slice(&moved.to_le_bytes()[..width]);
            }
            let mut values = body.buffer(walk.buffer()?)?;
            values.skip(start)?;
            buffers.extend([Buffer::from_vec(offsets), Buffer::from_vec(values.take(length)?)]);
        }
        DataType::Utf8View => {
            let mut views = body.buffer(walk.buffer()?)?;
            views.skip(first.saturating_mul(16))?;
            buffers.push(Buffer::from_vec(views.take(rows.saturating_mul(16))?));
            for _ in 0..walk.variadic()? {
                let range = walk.buffer()?;
                let length = body.length(range)?;
                buffers.push(Buffer::from_vec(body.buffer(range)?.take(length)?));
            }
        }
        DataType::FixedSizeBinary(width) => {
            let width = u64::try_from(*width).map_err(damaged)?;
            buffers.push(plain(body, walk, (first, rows), width)?);
        }
        kind => {
            let width = kind.primitive_width().ok_or_else(|| Error::internal("the type of a column is not read"))?;
            buffers.push(plain(body, walk, (first, rows), width as u64)?);
        }
    }
    let data = ArrayData::builder(kind.clone()).len(length).nulls(nulls).buffers(buffers).align_buffers(true);
    // Checks offsets, and that texts are Unicode.
    Ok(make_array(guarded(|| data.build())?))
}

/// Values of so many bytes each.
fn plain(body: &Body, walk: &mut Walk<'_>, (first, rows): (u64, u64), width: u64) -> Result<Buffer> {
    let mut values = body.buffer(walk.buffer()?)?;
    values.skip(first.saturating_mul(width))?;
    Ok(Buffer::from_vec(values.take(rows.saturating_mul(width))?))
}

fn bits(body: &Body, range: super::layout::Range, first: u64, rows: u64) -> Result<BooleanBuffer> {
    let mut reader = body.buffer(range)?;
    reader.skip(first / 8)?;
    let skipped = (first % 8) as usize;
    let bytes = reader.take((skipped as u64 + rows).div_ceil(8))?;
    Ok(BooleanBuffer::new(Buffer::from_vec(bytes), skipped, usize::try_from(rows).map_err(damaged)?))
}
