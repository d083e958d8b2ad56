//! Where the buffers of a column are among those of a record batch.

use arrow::datatypes::{DataType, UnionMode};
use arrow_ipc::{CompressionType, RecordBatch};

use crate::archive::damage::damaged;
use crate::error::{Error, Result};

/// A step through the nodes and buffers of a record batch, in which the columns follow one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    node: usize,
    buffer: usize,
    /// How many columns of views came before: the number of their buffers is written aside.
    views: usize,
}

/// Bytes of a batch's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u64,
    pub(super) length: u64,
}

/// Rows of an array and of its nulls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) rows: u64,
    pub(super) nulls: u64,
}

/// The places of a batch, as far as they have been walked through.
pub(super) struct Walk<'a> {
    batch: RecordBatch<'a>,
    is_v5: bool,
    at: Cursor,
}

impl<'a> Walk<'a> {
    pub(super) fn new(batch: RecordBatch<'a>, is_v5: bool) -> Self {
        Self { batch, is_v5, at: Cursor { node: 0, buffer: 0, views: 0 } }
    }

    /// How its buffers are compressed.
    pub(super) fn codec(&self) -> Result<Option<CompressionType>> {
        let Some(compression) = self.batch.compression() else { return Ok(None) };
        match compression.codec() {
            codec @ (CompressionType::LZ4_FRAME | CompressionType::ZSTD) => Ok(Some(codec)),
            other => Err(Error::data("its compression is not supported").with("compression", other.0)),
        }
    }

    pub(super) fn node(&mut self) -> Result<Node> {
        let nodes = self.batch.nodes().filter(|nodes| self.at.node < nodes.len());
        let node = *nodes.ok_or_else(|| damaged("a batch has too few columns"))?.get(self.at.node);
        self.at.node += 1;
        let (rows, nulls) = (u64::try_from(node.length()), u64::try_from(node.null_count()));
        match (rows, nulls) {
            (Ok(rows), Ok(nulls)) if nulls <= rows => Ok(Node { rows, nulls }),
            _ => Err(damaged("the rows and nulls of a column cannot be")),
        }
    }

    pub(super) fn buffer(&mut self) -> Result<Range> {
        let buffers = self.batch.buffers().filter(|buffers| self.at.buffer < buffers.len());
        let buffer = *buffers.ok_or_else(|| damaged("a batch has too few buffers"))?.get(self.at.buffer);
        self.at.buffer += 1;
        match (u64::try_from(buffer.offset()), u64::try_from(buffer.length())) {
            (Ok(start), Ok(length)) => Ok(Range { start, length }),
            _ => Err(damaged("a buffer lies outside of the file")),
        }
    }

    /// How many buffers of texts the next column of views has.
    pub(super) fn variadic(&mut self) -> Result<usize> {
        let counts = self.batch.variadicBufferCounts().filter(|counts| self.at.views < counts.len());
        let count = counts.ok_or_else(|| damaged("a batch has too few buffers"))?.get(self.at.views);
        self.at.views += 1;
        let left = self.batch.buffers().map_or(0, |buffers| buffers.len()) - self.at.buffer;
        usize::try_from(count).ok().filter(|count| *count <= left).ok_or_else(|| damaged("a batch has too few buffers"))
    }

    /// Passes over a column.
    pub(super) fn skip(&mut self, kind: &DataType) -> Result<()> {
        self.node()?;
        let buffers = match kind {
            DataType::Null | DataType::RunEndEncoded(..) => 0,
            DataType::Struct(_) | DataType::FixedSizeList(..) => 1,
            DataType::Utf8
            | DataType::LargeUtf8
            | DataType::Binary
            | DataType::LargeBinary
            | DataType::ListView(_)
            | DataType::LargeListView(_) => 3,
            DataType::Union(_, mode) => {
                // Before version 5 unions had nulls.
                let offsets = if *mode == UnionMode::Dense { 2 } else { 1 };
                if self.is_v5 { offsets } else { offsets + 1 }
            }
            _ => 2,
        };
        (0..buffers).try_for_each(|_| self.buffer().map(drop))?;
        match kind {
            DataType::Utf8View | DataType::BinaryView => {
                let count = self.variadic()?;
                (0..count).try_for_each(|_| self.buffer().map(drop))
            }
            DataType::List(item)
            | DataType::LargeList(item)
            | DataType::ListView(item)
            | DataType::LargeListView(item)
            | DataType::FixedSizeList(item, _)
            | DataType::Map(item, _) => self.skip(item.data_type()),
            DataType::Struct(fields) => fields.iter().try_for_each(|field| self.skip(field.data_type())),
            DataType::Union(fields, _) => fields.iter().try_for_each(|(_, field)| self.skip(field.data_type())),
            DataType::RunEndEncoded(ends, values) => {
                self.skip(ends.data_type())?;
                self.skip(values.data_type())
            }
            _ => Ok(()),
        }
    }
}
