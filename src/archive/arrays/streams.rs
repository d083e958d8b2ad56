//! The rows of a unit: vectors, and labels as arrays.

use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Int64Array};
use arrow::datatypes::{DataType, Field};

use super::bytes::{RowBytes, RowRange};
use super::columns::{Column, Content};
use super::elements::{Element, Kind, Texts};
use crate::archive::container::{ArrayStream, OpenUnit, Strings, VectorStream};
use crate::archive::damage::damaged;
use crate::archive::dtype::{ElementType, VectorType};
use crate::archive::floats::{Float, find_nonfinite};
use crate::archive::read_at::ReadAt;
use crate::archive::rows::Values;
use crate::archive::vectors::Vectors;
use crate::error::{Error, Result};

/// A unit of a file: rows of one layer.
#[derive(Debug)]
pub(super) struct ArrayUnit {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) columns: Arc<Vec<Column>>,
    pub(super) layer: u64,
    /// The first row within the layer, and how many.
    pub(super) first: u64,
    pub(super) rows: u64,
}

impl ArrayUnit {
    fn open(&self, content: &Content) -> Result<RowBytes> {
        let range = RowRange {
            place: content.place,
            column_major: content.column_major,
            element: content.element.width(),
            width: content.width(),
            all: content.rows,
            first: self.first + if content.is_layered { self.layer * content.layer_rows } else { 0 },
            rows: self.rows,
        };
        RowBytes::open(&self.bytes, &range)
    }
}

impl OpenUnit for ArrayUnit {
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, _: usize) -> Result<Box<dyn VectorStream>> {
        let Column::Array(content) = &self.columns[column] else {
            return Err(Error::internal("the column holds no vectors"));
        };
        if content.dim != dim || content.element.vector() != Some(kind.element()) {
            return Err(Error::internal("the vectors are not those that were planned"));
        }
        let (rows, element) = (self.open(content)?, content.element);
        Ok(Box::new(ArrayVectors { rows, element, dim, spare: None, raw: Vec::new() }))
    }

    fn arrays(&self, columns: &[usize], _: usize, strings: Strings) -> Result<Box<dyn ArrayStream>> {
        let open = |&column: &usize| match &self.columns[column] {
            Column::Array(content) => {
                let rows = self.open(content)?;
                Ok(ColumnRows::Array { rows, element: content.element, dim: content.listed(), done: 0, strings })
            }
            Column::Layer => Ok(ColumnRows::Layer(self.layer as i64)),
        };
        Ok(Box::new(Arrays(columns.iter().map(open).collect::<Result<_>>()?)))
    }
}

/// Vectors of a unit.
#[derive(Debug)]
struct ArrayVectors {
    rows: RowBytes,
    element: Element,
    dim: usize,
    /// Memory for the next ones.
    spare: Option<Values>,
    /// Bytes of numbers that are widened.
    raw: Vec<u8>,
}

impl ArrayVectors {
    fn read<V: Float>(&mut self, rows: usize, mut values: Vec<V>) -> Result<Vec<V>> {
        let Self { rows: source, element, dim, .. } = self;
        values.try_reserve_exact((rows * *dim).saturating_sub(values.len())).map_err(|error| {
            Error::resource("not enough memory for a chunk").with("bytes", rows * *dim * V::BYTES).caused_by(error)
        })?;
        values.resize(rows * *dim, V::default());
        V::fill_plain(&mut values, |bytes| {
            source.fill(rows, bytes)?;
            element.order(bytes);
            Ok::<_, Error>(())
        })?;
        Ok(values)
    }
}

impl VectorStream for ArrayVectors {
    fn next(&mut self, rows: usize, _: u64) -> Result<Vectors> {
        let kind = self.element.vector().ok_or_else(|| Error::internal("the column holds no vectors"))?;
        let spare = self.spare.take();
        let mut defects = Vec::new();
        let values = match (kind, spare) {
            (ElementType::F32, spare) if self.element.kind != Kind::F32 => {
                let mut values = if let Some(Values::F32(spare)) = spare { spare } else { Vec::new() };
                self.raw.resize(rows * self.dim * self.element.width(), 0);
                self.rows.fill(rows, &mut self.raw)?;
                self.element.widen(&self.raw, &mut values);
                Values::F32(values)
            }
            (ElementType::F16, Some(Values::F16(spare))) => Values::F16(self.read(rows, spare)?),
            (ElementType::F32, Some(Values::F32(spare))) => Values::F32(self.read(rows, spare)?),
            (ElementType::F64, Some(Values::F64(spare))) => Values::F64(self.read(rows, spare)?),
            (ElementType::F16, _) => Values::F16(self.read(rows, Vec::new())?),
            (ElementType::F32, _) => Values::F32(self.read(rows, Vec::new())?),
            (ElementType::F64, _) => Values::F64(self.read(rows, Vec::new())?),
        };
        match &values {
            Values::F16(values) => find_nonfinite(values, self.dim, 0, &mut defects),
            Values::F32(values) => find_nonfinite(values, self.dim, 0, &mut defects),
            Values::F64(values) => find_nonfinite(values, self.dim, 0, &mut defects),
        }
        Ok(Vectors { values, defects })
    }

    fn reuse(&mut self, values: Values) {
        self.spare = Some(values);
    }

    fn is_at_end(&mut self) -> Result<bool> {
        self.rows.is_at_end()
    }
}

/// Columns of a unit as arrays.
#[derive(Debug)]
struct Arrays(Vec<ColumnRows>);

#[derive(Debug)]
enum ColumnRows {
    Array {
        rows: RowBytes,
        element: Element,
        /// The length of lists; `None` for single values.
        dim: Option<usize>,
        /// Rows read.
        done: u64,
        strings: Strings,
    },
    /// The number of the layer.
    Layer(i64),
}

/// Bytes of texts that are taken at a time.
const TEXT_BYTES: usize = 1 << 20;

impl ColumnRows {
    fn next(&mut self, count: usize) -> Result<ArrayRef> {
        let (rows, element, dim, done, strings) = match self {
            Self::Layer(layer) => return Ok(Arc::new(Int64Array::from_value(*layer, count))),
            Self::Array { rows, element, dim, done, strings } => (rows, *element, *dim, done, *strings),
        };
        let base = *done;
        *done += count as u64;
        let width = element.width();
        if element.is_text() {
            let mut texts = Texts::new(strings);
            let mut raw = Vec::new();
            let step = (TEXT_BYTES / width.max(1)).max(1);
            for start in (0..count).step_by(step) {
                let some = step.min(count - start);
                raw.resize(some * width, 0);
                rows.fill(some, &mut raw)?;
                texts.add(element, &raw, base + start as u64)?;
            }
            return texts.array();
        }
        let mut raw = vec![0; count * dim.unwrap_or(1) * width];
        rows.fill(count, &mut raw)?;
        let numbers = element.numbers(raw).map_err(|error| in_unit(error, base, dim.unwrap_or(1)))?;
        let Some(dim) = dim else { return Ok(numbers) };
        let item = Arc::new(Field::new_list_field(numbers.data_type().clone(), true));
        let dim = i32::try_from(dim).map_err(damaged)?;
        Ok(Arc::new(FixedSizeListArray::try_new(item, dim, numbers, None).map_err(damaged)?))
    }

    fn is_at_end(&mut self) -> Result<bool> {
        match self {
            Self::Layer(_) => Ok(true),
            Self::Array { rows, .. } => rows.is_at_end(),
        }
    }
}

/// Counts the element at which an error arose in rows of the unit.
fn in_unit(error: Error, base: u64, dim: usize) -> Error {
    match error.fact("row").and_then(|row| row.parse::<u64>().ok()) {
        Some(at) => damaged(error.fact("detail").unwrap_or_default()).with("row", base + at / dim as u64),
        None => error,
    }
}

impl ArrayStream for Arrays {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        self.0.iter_mut().map(|column| column.next(rows)).collect()
    }

    fn is_at_end(&mut self) -> Result<bool> {
        self.0.iter_mut().try_fold(true, |ended, column| Ok(ended & column.is_at_end()?))
    }
}

/// The type of a column of lists.
pub(super) fn list_type(item: DataType, dim: usize) -> Option<DataType> {
    Some(DataType::FixedSizeList(Arc::new(Field::new_list_field(item, true)), i32::try_from(dim).ok()?))
}
