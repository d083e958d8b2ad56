//! A file as a container: columns, and units of rows that batches share.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use super::arrays::ArrowArrays;
use super::buffers::Body;
use super::layout::{Node, Range, Walk};
use super::messages::{Block, Messages, parsed, record_batch};
use super::vectors::{ArrowVectors, first_length};
use crate::archive::class_names;
use crate::archive::container::{ArrayStream, Container, OpenUnit, StoredColumn, Strings, Unread, VectorStream};
use crate::archive::damage::damaged;
use crate::archive::dtype::{ElementType, VectorType};
use crate::archive::fingerprint::{joined, sampled};
use crate::archive::nested::{StructField, fields, type_at};
use crate::archive::read_at::ReadAt;
use crate::archive::rows::chunk_rows;
use crate::archive::schema::type_name;
use crate::error::{Error, Result};

/// A file whose messages are known.
#[derive(Debug)]
pub(super) struct ArrowFile {
    fingerprint: u64,
    columns: Vec<StoredColumn>,
    unread: Vec<Unread>,
    /// What `datasets` says of the columns.
    features: Option<String>,
    batches: Arc<Batches>,
    unit_rows: u64,
}

/// The record batches of a file.
#[derive(Debug)]
pub(super) struct Batches {
    /// All columns of the file.
    pub(super) fields: Vec<FieldRef>,
    pub(super) dictionary_ids: Vec<Option<i64>>,
    /// Which of them are columns of the container.
    pub(super) roots: Vec<Root>,
    pub(super) is_v5: bool,
    pub(super) dictionaries: Vec<Block>,
    /// [`Messages::is_stream`].
    pub(super) is_stream: bool,
    pub(super) blocks: Vec<Block>,
    /// The first row of each batch, and the row behind the last.
    starts: Vec<u64>,
}

/// Where a column of the container is.
#[derive(Clone, Debug)]
pub(super) struct Root {
    /// Among the columns of the file.
    pub(super) field: usize,
    /// Which field of each struct on the way.
    path: Vec<usize>,
}

/// The validity of a struct around a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    pub(super) node: Node,
    pub(super) validity: Range,
}

/// The fewest bytes that a unit takes, however well it is compressed.
const LEAST_UNIT_BYTES: u64 = 8;

/// Rows of one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) batch: usize,
    /// The first row within the batch.
    pub(super) from: u64,
    pub(super) rows: u64,
}

impl Batches {
    pub(super) fn rows(&self) -> u64 {
        self.starts[self.starts.len() - 1]
    }

    /// The rows from `first` on, by batch.
    pub(super) fn segments(&self, first: u64, rows: u64) -> Vec<Segment> {
        let end = first + rows;
        let mut batch = self.starts.partition_point(|&start| start <= first).saturating_sub(1);
        let mut segments = Vec::new();
        while batch < self.blocks.len() && self.starts[batch] < end {
            let from = first.max(self.starts[batch]);
            let to = end.min(self.starts[batch + 1]);
            if from < to {
                segments.push(Segment { batch, from: from - self.starts[batch], rows: to - from });
            }
            batch += 1;
        }
        segments
    }

    /// Walks to a column of a batch, and hands it on, with the structs around it.
    pub(super) fn at<T>(
        &self,
        bytes: &Arc<dyn ReadAt>,
        batch: usize,
        root: usize,
        work: impl FnOnce(&Body, &mut Walk<'_>, &[Outer]) -> Result<T>,
    ) -> Result<T> {
        let block = self.blocks[batch];
        let metadata = block.metadata(&**bytes)?;
        let mut walk = Walk::new(record_batch(&parsed(&metadata)?)?, self.is_v5);
        let body = Body { bytes: bytes.clone(), block, codec: walk.codec()? };
        let Root { field, path } = &self.roots[root];
        for field in &self.fields[..*field] {
            walk.skip(in_batch(field.data_type()))?;
        }
        let (mut outer, mut kind) = (Vec::new(), self.fields[*field].data_type());
        for &at in path {
            let node = walk.node()?;
            if node.rows != block.rows {
                return Err(damaged("a column has not as many rows as its batch"));
            }
            outer.push(Outer { node, validity: walk.buffer()? });
            let DataType::Struct(fields) = kind else { return Err(Error::internal("a column is no struct")) };
            for field in &fields[..at] {
                walk.skip(in_batch(field.data_type()))?;
            }
            kind = fields[at].data_type();
        }
        work(&body, &mut walk, &outer)
    }

    /// The type of a column.
    pub(super) fn data_type(&self, root: usize) -> &DataType {
        let Root { field, path } = &self.roots[root];
        let kind = self.fields[*field].data_type();
        type_at(kind, path).unwrap_or(kind)
    }
}

/// The type of a column within a batch: the keys of dictionaries.
pub(super) fn in_batch(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(key, _) => key,
        kind => kind,
    }
}

/// The type in which a column is read; `None` if it is not.
fn read_type(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            let element = ElementType::of(item.data_type()).or_else(|| ElementType::of_integers(item.data_type()));
            element.map(|_| kind.clone())
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        DataType::Dictionary(_, value) if !value.is_nested() => read_type(value),
        DataType::Boolean
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::FixedSizeBinary(_) => Some(kind.clone()),
        kind if kind.is_integer() => Some(kind.clone()),
        _ => None,
    }
}

fn column(field: &Field) -> Option<StoredColumn> {
    let data_type = read_type(field.data_type())?;
    Some(StoredColumn {
        name: field.name().clone(),
        data_type,
        written_type: field.data_type().clone(),
        ..StoredColumn::new("", DataType::Null)
    })
}

/// The fields of a struct that can be columns. Whether vectors of Spark ML are whole is not looked up here, so they are none.
fn fields_within(at: usize, field: &Field) -> Vec<(Root, StoredColumn)> {
    let found = fields(field.name(), field.data_type()).into_iter();
    let can_be = |found: &StructField| !found.is_spark && !matches!(found.data_type, DataType::Dictionary(..));
    let column = |found: StructField| {
        let data_type = read_type(&found.data_type)?;
        let column = StoredColumn {
            data_type,
            is_field: true,
            is_plain: false,
            ..StoredColumn::new(found.name, found.data_type)
        };
        Some((Root { field: at, path: found.path }, column))
    };
    found.filter(can_be).filter_map(column).collect()
}

impl ArrowFile {
    pub(super) fn open(bytes: &Arc<dyn ReadAt>, messages: Messages) -> Result<Self> {
        let Messages { schema, dictionary_ids, is_v5, hash, dictionaries, is_stream, batches: blocks } = messages;
        let mut starts = vec![0_u64];
        for block in &blocks {
            let end = starts[starts.len() - 1].checked_add(block.rows);
            starts.push(end.ok_or_else(|| damaged("it has too many rows"))?);
        }
        let described = schema.metadata().get(class_names::KEY).cloned();
        let all: Vec<FieldRef> = schema.fields().iter().cloned().collect();
        let (mut roots, mut columns) = (Vec::new(), Vec::new());
        let mut unread = Vec::new();
        for (at, field) in all.iter().enumerate() {
            if let Some(column) = column(field) {
                roots.push(Root { field: at, path: Vec::new() });
                columns.push(column);
            } else if fields_within(at, field).is_empty() {
                unread.push(Unread { name: field.name().clone(), kind: type_name(field.data_type()), is_told: false });
            }
        }
        for (root, column) in all.iter().enumerate().flat_map(|(at, field)| fields_within(at, field)) {
            roots.push(root);
            columns.push(column);
        }
        let largest = blocks.iter().filter(|block| block.is_compressed).map(|block| block.rows).max().unwrap_or(0);
        let batches = Batches { fields: all, dictionary_ids, roots, is_v5, dictionaries, is_stream, blocks, starts };
        let dims = (0..columns.len()).filter_map(|root| match &columns[root].data_type {
            kind if kind.is_nested() => first_length(&batches, bytes, root).ok().flatten(),
            _ => None,
        });
        // What is wrong with a column is said once it is read.
        let widest = dims.max();
        let least = largest.checked_next_power_of_two().unwrap_or(1 << 63);
        let unit_rows = (chunk_rows(widest.unwrap_or(1)) as u64).max(least);
        let fingerprint = joined(&[hash, sampled(&**bytes)?]);
        // A batch only claims its rows. Those of a unit take megabytes before compression, and never fewer bytes than these.
        let body_bytes = batches.blocks.iter().map(|block| block.body_length).fold(0, u64::saturating_add);
        let units = batches.rows().div_ceil(unit_rows);
        if units > 1 + body_bytes / LEAST_UNIT_BYTES {
            return Err(damaged(format!("{body_bytes} bytes cannot hold {} rows", batches.rows())));
        }
        u32::try_from(units).map_err(|_| Error::resource("the file has too many rows"))?;
        Ok(Self { fingerprint, columns, unread, features: described, batches: Arc::new(batches), unit_rows })
    }

    /// Bytes of all buffers of a unit's rows.
    fn body_bytes(&self, unit: usize) -> u64 {
        let share = |segment: Segment| {
            let block = &self.batches.blocks[segment.batch];
            let bytes = u128::from(block.body_length) * u128::from(segment.rows) / u128::from(block.rows.max(1));
            bytes as u64
        };
        let segments = self.batches.segments(unit as u64 * self.unit_rows, self.rows(unit));
        segments.into_iter().map(share).fold(0, u64::saturating_add)
    }
}

impl Container for ArrowFile {
    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    fn memory(&self) -> u64 {
        let blocks = self.batches.blocks.len() + self.batches.dictionaries.len();
        (blocks * (size_of::<Block>() + 8) + self.batches.fields.len() * 512) as u64
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn unread(&self) -> &[Unread] {
        &self.unread
    }

    fn units(&self) -> usize {
        self.batches.rows().div_ceil(self.unit_rows) as usize
    }

    fn rows(&self, unit: usize) -> u64 {
        (self.batches.rows() - unit as u64 * self.unit_rows).min(self.unit_rows)
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        // Vectors are almost all of a batch.
        if columns.iter().any(|&column| self.columns[column].data_type.is_nested()) {
            return self.body_bytes(unit);
        }
        self.rows(unit).saturating_mul(8 * columns.len() as u64).min(self.body_bytes(unit))
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let is_text = |column: &&usize| {
            let StoredColumn { data_type, written_type, .. } = &self.columns[**column];
            *data_type == DataType::Utf8 && !matches!(written_type, DataType::Dictionary(..))
        };
        if columns.iter().any(|column| is_text(&column)) { self.body_bytes(unit) } else { 0 }
    }

    fn class_names(&self, column: usize) -> Option<Vec<String>> {
        class_names::of_metadata(self.features.as_ref()?, &self.columns[column].name)
    }

    fn first_length(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        first_length(&self.batches, bytes, column)
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let (bytes, batches) = (bytes.clone(), self.batches.clone());
        let types = self.columns.iter().map(|column| column.data_type.clone()).collect();
        Box::new(ArrowUnit { bytes, batches, types, first: unit as u64 * self.unit_rows, rows: self.rows(unit) })
    }
}

/// Rows of a file.
#[derive(Debug)]
struct ArrowUnit {
    bytes: Arc<dyn ReadAt>,
    batches: Arc<Batches>,
    /// The types in which columns are read.
    types: Vec<DataType>,
    first: u64,
    rows: u64,
}

impl OpenUnit for ArrowUnit {
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, _: usize) -> Result<Box<dyn VectorStream>> {
        let segments = self.batches.segments(self.first, self.rows);
        Ok(Box::new(ArrowVectors::new(&self.bytes, &self.batches, segments, column, (kind, dim))))
    }

    fn arrays(&self, columns: &[usize], _: usize, strings: Strings) -> Result<Box<dyn ArrayStream>> {
        let columns = columns.iter().map(|&column| (column, self.types[column].clone())).collect();
        let (bytes, batches) = (self.bytes.clone(), self.batches.clone());
        Ok(Box::new(ArrowArrays { bytes, batches, columns, strings, next: self.first, end: self.first + self.rows }))
    }
}
