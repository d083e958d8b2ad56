//! Columns of vectors: values are read in place, and lengths and nulls only where there are any.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::DataType;
use half::bf16;

use super::buffers::{Body, BufferReader};
use super::file::{Batches, Outer, Segment};
use super::layout::{Node, Walk};
use crate::archive::container::VectorStream;
use crate::archive::damage::damaged;
use crate::archive::dtype::{Dtype, ElementType, VectorType};
use crate::archive::floats::{Float, find_nonfinite};
use crate::archive::read_at::ReadAt;
use crate::archive::row_policy::{RAGGED, RowDefect};
use crate::archive::rows::Values;
use crate::archive::vectors::Vectors;
use crate::error::{Error, Result};

/// Bits of a buffer, one after the other.
#[derive(Debug)]
struct Bits {
    reader: BufferReader,
    byte: u8,
    left: u8,
}

impl Bits {
    /// From bit `first` on.
    fn new(mut reader: BufferReader, first: u64) -> Result<Self> {
        reader.skip(first / 8)?;
        let mut bits = Self { reader: reader.buffered(), byte: 0, left: 0 };
        (0..first % 8).try_for_each(|_| bits.next().map(drop))?;
        Ok(bits)
    }

    fn next(&mut self) -> Result<bool> {
        if self.left == 0 {
            let mut byte = [0];
            self.reader.fill(&mut byte)?;
            (self.byte, self.left) = (byte[0], 8);
        }
        let bit = self.byte & 1 == 1;
        self.byte >>= 1;
        self.left -= 1;
        Ok(bit)
    }
}

/// How long the vectors of a batch are.
#[derive(Debug)]
enum Lengths {
    /// All as long as the type says.
    Fixed(u64),
    /// By offsets of so many bytes; the last one that was read.
    Offsets { reader: BufferReader, width: usize, last: u64 },
}

impl Lengths {
    fn next(&mut self) -> Result<u64> {
        match self {
            Self::Fixed(length) => Ok(*length),
            Self::Offsets { reader, width, last } => {
                let offset = offset(reader, *width)?;
                let length = offset.checked_sub(*last).ok_or_else(|| damaged("the offsets of lists descend"))?;
                *last = offset;
                Ok(length)
            }
        }
    }
}

fn offset(reader: &mut BufferReader, width: usize) -> Result<u64> {
    let mut bytes = [0; 8];
    reader.fill(&mut bytes[..width])?;
    let offset = u64::from_le_bytes(bytes);
    // Offsets are signed.
    if offset >> (8 * width - 1) != 0 { Err(damaged("an offset of lists is negative")) } else { Ok(offset) }
}

/// The vectors of a batch from some row on.
#[derive(Debug)]
struct Lists {
    /// Rows to come.
    left: u64,
    /// The validity of rows, and of the structs around them, where any is null.
    valid: Vec<Bits>,
    lengths: Lengths,
    /// The validity of elements, if any is null.
    elements: Option<Bits>,
    values: BufferReader,
    /// Bytes of an element.
    width: u64,
    /// The type of elements that are integers.
    integers: Option<DataType>,
}

/// Whether the next row is there.
fn next_valid(valid: &mut [Bits]) -> Result<bool> {
    valid.iter_mut().try_fold(true, |all, bits| Ok(bits.next()? & all))
}

fn validity(body: &Body, walk: &mut Walk<'_>, node: Node, first: u64) -> Result<Option<Bits>> {
    let range = walk.buffer()?;
    if node.nulls == 0 { Ok(None) } else { Bits::new(body.buffer(range)?, first).map(Some) }
}

fn open(body: &Body, walk: &mut Walk<'_>, outer: &[Outer], kind: &DataType, segment: Segment) -> Result<Lists> {
    let node = walk.node()?;
    if node.rows != body.block.rows {
        return Err(damaged("a column has not as many rows as its batch"));
    }
    let block_rows = node.rows;
    let mut valid: Vec<Bits> = validity(body, walk, node, segment.from)?.into_iter().collect();
    for Outer { validity, .. } in outer.iter().filter(|outer| outer.node.nulls > 0) {
        valid.push(Bits::new(body.buffer(*validity)?, segment.from)?);
    }
    let (lengths, first, item) = match kind {
        DataType::FixedSizeList(item, dim) => {
            let dim = u64::try_from(*dim).map_err(damaged)?;
            (Lengths::Fixed(dim), segment.from.saturating_mul(dim), item)
        }
        DataType::List(item) | DataType::LargeList(item) => {
            let width = if matches!(kind, DataType::List(_)) { 4 } else { 8 };
            let mut reader = body.buffer(walk.buffer()?)?;
            reader.skip(segment.from * width as u64)?;
            let mut reader = reader.buffered();
            let last = offset(&mut reader, width)?;
            (Lengths::Offsets { reader, width, last }, last, item)
        }
        DataType::FixedSizeBinary(width) => {
            let width = u64::try_from(*width).map_err(damaged)?;
            let range = walk.buffer()?;
            let (needed, length) = (block_rows.checked_mul(width), body.length(range)?);
            if needed.is_none_or(|needed| length < needed || length - needed >= ALIGNMENT) {
                return Err(damaged("values of a fixed size fill another number of bytes"));
            }
            let mut values = body.buffer(range)?;
            values.skip(segment.from.saturating_mul(width))?;
            let lengths = Lengths::Fixed(width);
            return Ok(Lists { left: segment.rows, valid, lengths, elements: None, values, width: 1, integers: None });
        }
        _ => return Err(Error::internal("the column holds no vectors")),
    };
    let element = item.data_type();
    let width = u64::from(element.primitive_width().unwrap_or(1) as u32);
    let integers = ElementType::of_integers(element).map(|_| element.clone());
    let node = walk.node()?;
    if let Lengths::Fixed(dim) = lengths
        && block_rows.checked_mul(dim) != Some(node.rows)
    {
        return Err(damaged("vectors of a fixed size have another number of elements"));
    }
    let elements = validity(body, walk, node, first)?;
    let mut values = body.buffer(walk.buffer()?)?;
    values.skip(first.saturating_mul(width))?;
    Ok(Lists { left: segment.rows, valid, lengths, elements, values, width, integers })
}

/// Buffers are filled up to multiples of so many bytes.
const ALIGNMENT: u64 = 64;

/// The length of the first list that is not null, of all batches.
pub(super) fn first_length(batches: &Batches, bytes: &Arc<dyn ReadAt>, root: usize) -> Result<Option<usize>> {
    let kind = batches.data_type(root);
    let empty = || Error::data("the first feature vector is empty");
    if let DataType::FixedSizeList(_, dim) = kind {
        // The schema alone may claim anything.
        if let Some(batch) = batches.blocks.iter().position(|block| block.rows > 0) {
            let segment = Segment { batch, from: 0, rows: batches.blocks[batch].rows };
            batches.at(bytes, batch, root, |body, walk, outer| open(body, walk, outer, kind, segment))?;
        }
        let dim = usize::try_from(*dim).ok().filter(|&dim| dim > 0);
        return dim.map(Some).ok_or_else(empty);
    }
    for batch in 0..batches.blocks.len() {
        let segment = Segment { batch, from: 0, rows: batches.blocks[batch].rows };
        if segment.rows == 0 {
            continue;
        }
        let mut lists = batches.at(bytes, batch, root, |body, walk, outer| open(body, walk, outer, kind, segment))?;
        for _ in 0..segment.rows {
            let valid = next_valid(&mut lists.valid)?;
            let length = lists.lengths.next()?;
            // Null rows take memory for vectors of this length, so they have to be there.
            lists.values.skip(length.saturating_mul(lists.width))?;
            if valid {
                return match length {
                    0 => Err(empty()),
                    length => usize::try_from(length).map(Some).map_err(damaged),
                };
            }
        }
    }
    Ok(None)
}

/// The vectors of a unit.
#[derive(Debug)]
pub(super) struct ArrowVectors {
    bytes: Arc<dyn ReadAt>,
    batches: Arc<Batches>,
    segments: VecDeque<Segment>,
    lists: Option<Lists>,
    root: usize,
    kind: VectorType,
    dim: usize,
    /// Memory for the next ones.
    spare: Option<Values>,
}

/// Bytes of values that are asked for at a time: memory is taken only for what a file has.
const STEP: usize = 4 << 20;

/// Vectors of a chunk that were read.
struct Taken<V> {
    /// Perhaps more than there are rows, from an earlier chunk.
    values: Vec<V>,
    defects: Vec<(u32, RowDefect)>,
    rows: usize,
}

impl ArrowVectors {
    pub(super) fn new(
        bytes: &Arc<dyn ReadAt>,
        batches: &Arc<Batches>,
        segments: Vec<Segment>,
        root: usize,
        (kind, dim): (VectorType, usize),
    ) -> Self {
        let (bytes, batches) = (bytes.clone(), batches.clone());
        Self { bytes, batches, segments: segments.into(), lists: None, root, kind, dim, spare: None }
    }

    /// The batch in hand, or the next one.
    fn lists(&mut self) -> Result<&mut Lists> {
        if self.lists.as_ref().is_none_or(|lists| lists.left == 0) {
            let segment = self.segments.pop_front().ok_or_else(|| damaged("rows are missing"))?;
            let kind = self.batches.data_type(self.root).clone();
            let open = |body: &Body, walk: &mut Walk<'_>, outer: &[Outer]| open(body, walk, outer, &kind, segment);
            self.lists = Some(self.batches.at(&self.bytes, segment.batch, self.root, open)?);
        }
        self.lists.as_mut().ok_or_else(|| Error::internal("a batch was not opened"))
    }

    fn read<V: Float>(&mut self, rows: usize, base: u64, spare: Vec<V>) -> Result<Taken<V>> {
        let mut taken = Taken { values: spare, defects: Vec::new(), rows: 0 };
        let dim = self.dim;
        let step = (STEP / (dim.max(1) * V::BYTES)).max(1);
        while taken.rows < rows {
            let lists = self.lists()?;
            let some = (rows - taken.rows).min(step).min(usize::try_from(lists.left).unwrap_or(usize::MAX));
            lists.read(some, dim, base, &mut taken)?;
        }
        taken.values.truncate(rows * dim);
        find_nonfinite(&taken.values, dim.max(1), 0, &mut taken.defects);
        Ok(taken)
    }
}

impl Lists {
    /// Appends the next `rows` vectors of `dim` elements.
    fn read<V: Float>(&mut self, rows: usize, dim: usize, base: u64, taken: &mut Taken<V>) -> Result<()> {
        let stored = if self.integers.is_some() { self.width as usize } else { V::BYTES };
        let (elements, bytes) = (dim as u64, (dim * stored) as u64);
        let start = taken.rows * dim;
        let is_plain = self.valid.is_empty() && self.elements.is_none();
        // Consecutive rows of the right length are read together.
        let mut waiting = start..start;
        for row in 0..rows {
            let place = start + row * dim;
            let valid = next_valid(&mut self.valid)?;
            let length = self.lengths.next()?;
            let length_bytes = length.saturating_mul(self.width);
            if valid && length_bytes != bytes {
                return Err(Error::data("feature vector has the wrong length")
                    .with("row", base + (taken.rows + row) as u64)
                    .with("expected", format_args!("{elements} values"))
                    .with("found", length)
                    .help(RAGGED));
            }
            if is_plain {
                waiting.end = place + dim;
                continue;
            }
            let mut has_null = false;
            if let Some(elements) = &mut self.elements {
                for _ in 0..length {
                    has_null |= !elements.next()?;
                }
            }
            if valid {
                self.fill(&mut taken.values, place..place + dim)?;
            } else {
                self.values.skip(length_bytes)?;
                grow(&mut taken.values, place + dim)?;
            }
            if !valid || has_null {
                taken.defects.push(((taken.rows + row) as u32, RowDefect::Null));
            }
        }
        if !waiting.is_empty() {
            self.fill(&mut taken.values, waiting)?;
        }
        self.left -= rows as u64;
        taken.rows += rows;
        Ok(())
    }

    /// Reads these values, and takes memory for them as they come: a file may claim vectors of any length.
    fn fill<V: Float>(&mut self, values: &mut Vec<V>, mut range: Range<usize>) -> Result<()> {
        while !range.is_empty() {
            let end = range.end.min(range.start + STEP / V::BYTES);
            grow(values, end)?;
            let part = &mut values[range.start..end];
            match &self.integers {
                None => V::fill_plain(part, |bytes| self.values.fill(bytes))?,
                Some(kind) => {
                    let mut bytes = vec![0; part.len() * self.width as usize];
                    self.values.fill(&mut bytes)?;
                    widen(kind, &bytes, part);
                }
            }
            range.start = end;
        }
        Ok(())
    }
}

/// Integers as numbers of a type that holds them exactly.
fn widen<V: Float>(kind: &DataType, bytes: &[u8], values: &mut [V]) {
    fn each<V: Float, const W: usize>(bytes: &[u8], values: &mut [V], number: fn([u8; W]) -> f64) {
        for (value, &bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
            *value = V::of_wide(number(bytes));
        }
    }
    match kind {
        DataType::Int8 => each(bytes, values, |bytes| i8::from_le_bytes(bytes).into()),
        DataType::UInt8 => each(bytes, values, |bytes| u8::from_le_bytes(bytes).into()),
        DataType::Int16 => each(bytes, values, |bytes| i16::from_le_bytes(bytes).into()),
        DataType::UInt16 => each(bytes, values, |bytes| u16::from_le_bytes(bytes).into()),
        DataType::Int32 => each(bytes, values, |bytes| i32::from_le_bytes(bytes).into()),
        _ => each(bytes, values, |bytes| u32::from_le_bytes(bytes).into()),
    }
}

/// Makes room for so many values; there may be more, of an earlier chunk.
fn grow<V: Float>(values: &mut Vec<V>, length: usize) -> Result<()> {
    if values.len() < length {
        values.try_reserve(length - values.len()).map_err(|error| {
            Error::resource("not enough memory for a chunk").with("bytes", length * V::BYTES).caused_by(error)
        })?;
        values.resize(length, V::default());
    }
    Ok(())
}

impl VectorStream for ArrowVectors {
    fn next(&mut self, rows: usize, base: u64) -> Result<Vectors> {
        if let VectorType::Bytes { dtype: Dtype::Bf16, .. } = self.kind {
            // Numbers of 16 bits that mean something else are read as such, and then widened.
            let Taken { values, defects, .. } = self.read::<half::f16>(rows, base, Vec::new())?;
            let values: Vec<f32> = values.iter().map(|value| bf16::from_bits(value.to_bits()).to_f32()).collect();
            let mut defects: Vec<_> = defects.into_iter().filter(|(_, defect)| *defect == RowDefect::Null).collect();
            find_nonfinite(&values, self.dim.max(1), 0, &mut defects);
            return Ok(Vectors { values: Values::F32(values), defects });
        }
        let spare = self.spare.take();
        let (values, defects) = match self.kind.element() {
            ElementType::F16 => {
                let spare = if let Some(Values::F16(spare)) = spare { spare } else { Vec::new() };
                let Taken { values, defects, .. } = self.read(rows, base, spare)?;
                (Values::F16(values), defects)
            }
            ElementType::F32 => {
                let spare = if let Some(Values::F32(spare)) = spare { spare } else { Vec::new() };
                let Taken { values, defects, .. } = self.read(rows, base, spare)?;
                (Values::F32(values), defects)
            }
            ElementType::F64 => {
                let spare = if let Some(Values::F64(spare)) = spare { spare } else { Vec::new() };
                let Taken { values, defects, .. } = self.read(rows, base, spare)?;
                (Values::F64(values), defects)
            }
        };
        Ok(Vectors { values, defects })
    }

    fn reuse(&mut self, values: Values) {
        self.spare = Some(values);
    }

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.segments.is_empty() && self.lists.as_ref().is_none_or(|lists| lists.left == 0))
    }
}
