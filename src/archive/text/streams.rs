//! The rows of a unit: vectors in lists, vectors in columns of one element each, and other columns as arrays.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, StringDictionaryBuilder, UInt64Builder,
};
use arrow::array::{ArrayBuilder, ArrayRef};
use arrow::datatypes::Int32Type;

use super::decimals::{Decimal, list, number, shown};
use super::kinds::{Field, Kind};
use super::records::{Columns, Form, Place, Records};
use crate::archive::container::{ArrayStream, OpenUnit, Strings, VectorStream};
use crate::archive::damage::damaged;
use crate::archive::dtype::{ElementType, VectorType};
use crate::archive::floats::find_nonfinite;
use crate::archive::read_at::ReadAt;
use crate::archive::row_policy::{RAGGED, RowDefect};
use crate::archive::rows::Values;
use crate::archive::vectors::Vectors;
use crate::error::{Error, Result};

/// How records become columns.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) form: Form,
    pub(super) columns: Columns,
    pub(super) kinds: Vec<Kind>,
}

/// Records of a unit.
#[derive(Debug)]
pub(super) struct TextUnit {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) layout: Arc<Layout>,
    pub(super) place: Place,
    pub(super) rows: u64,
}

impl TextUnit {
    fn records(&self) -> RowRecords {
        let Layout { form, columns, .. } = &*self.layout;
        RowRecords { records: Records::open(&self.bytes, *form, self.place, columns), left: self.rows }
    }
}

impl OpenUnit for TextUnit {
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, _: usize) -> Result<Box<dyn VectorStream>> {
        Ok(Box::new(TextVectors { records: self.records(), place: Elements::List(column), kind, dim, spare: None }))
    }

    fn wide(&self, columns: &[usize], kind: VectorType) -> Result<Option<Box<dyn VectorStream>>> {
        let (records, dim) = (self.records(), columns.len());
        let place = Elements::Columns(columns.to_vec());
        Ok(Some(Box::new(TextVectors { records, place, kind, dim, spare: None })))
    }

    fn arrays(&self, columns: &[usize], _: usize, strings: Strings) -> Result<Box<dyn ArrayStream>> {
        let columns = columns.iter().map(|&column| (column, self.layout.kinds[column])).collect();
        Ok(Box::new(TextArrays { records: self.records(), columns, strings }))
    }
}

/// Records, as far as they are rows of the unit.
#[derive(Debug)]
struct RowRecords {
    records: Records,
    left: u64,
}

impl RowRecords {
    /// Goes on to the next row.
    fn next(&mut self) -> Result<&Records> {
        if self.left == 0 || !self.records.next()? {
            return Err(damaged("rows are missing"));
        }
        self.left -= 1;
        Ok(&self.records)
    }
}

/// Where the elements of vectors are.
#[derive(Debug)]
enum Elements {
    List(usize),
    /// Element by element.
    Columns(Vec<usize>),
}

/// Vectors of a unit.
#[derive(Debug)]
struct TextVectors {
    records: RowRecords,
    place: Elements,
    kind: VectorType,
    dim: usize,
    /// Memory for the next ones.
    spare: Option<Values>,
}

impl TextVectors {
    fn read<V: Decimal>(
        &mut self,
        rows: usize,
        base: u64,
        mut values: Vec<V>,
        wrap: impl FnOnce(Vec<V>) -> Values,
    ) -> Result<Vectors> {
        let (dim, mut defects) = (self.dim, Vec::new());
        values.clear();
        for row in 0..rows {
            values.try_reserve(dim).map_err(|error| {
                let bytes = rows.saturating_mul(dim).saturating_mul(V::BYTES);
                Error::resource("not enough memory for a chunk").with("bytes", bytes).caused_by(error)
            })?;
            let records = self.records.next()?;
            let place = |error: Error| records.located(error.with_default("row", base + row as u64));
            let is_null = match &self.place {
                Elements::List(column) => vector(records.field(*column), dim, &mut values),
                Elements::Columns(columns) => elements(records, columns, &mut values),
            };
            if is_null.map_err(place)? {
                values.resize((row + 1) * dim, V::default());
                defects.push((row as u32, RowDefect::Null));
            }
        }
        find_nonfinite(&values, dim.max(1), 0, &mut defects);
        Ok(Vectors { values: wrap(values), defects })
    }
}

/// Appends a vector in a list, and says whether it or an element is null.
fn vector<V: Decimal>(field: Field<'_>, dim: usize, values: &mut Vec<V>) -> Result<bool> {
    let text = match field {
        Field::Null => return Ok(true),
        Field::Plain(text) | Field::Text(text) => text,
    };
    let start = values.len();
    let has_null = list(text, values)?;
    let found = values.len() - start;
    if found != dim {
        return Err(Error::data("feature vector has the wrong length")
            .with("expected", format_args!("{dim} values"))
            .with("found", found)
            .help(RAGGED));
    }
    Ok(has_null)
}

/// Appends a vector whose elements are in columns of their own, and says whether one of them is null.
fn elements<V: Decimal>(records: &Records, columns: &[usize], values: &mut Vec<V>) -> Result<bool> {
    let mut has_null = false;
    for &column in columns {
        values.push(match records.field(column) {
            Field::Null => {
                has_null = true;
                V::default()
            }
            Field::Plain(text) | Field::Text(text) => number(text)?,
        });
    }
    Ok(has_null)
}

impl VectorStream for TextVectors {
    fn next(&mut self, rows: usize, base: u64) -> Result<Vectors> {
        match (self.kind.element(), self.spare.take()) {
            (ElementType::F32, Some(Values::F32(spare))) => self.read(rows, base, spare, Values::F32),
            (ElementType::F32, _) => self.read(rows, base, Vec::new(), Values::F32),
            (ElementType::F64, Some(Values::F64(spare))) => self.read(rows, base, spare, Values::F64),
            (ElementType::F64, _) => self.read(rows, base, Vec::new(), Values::F64),
            (ElementType::F16, _) => Err(Error::internal("decimals are not read as f16")),
        }
    }

    fn reuse(&mut self, values: Values) {
        self.spare = Some(values);
    }

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.records.left == 0)
    }
}

/// Columns of a unit as arrays.
#[derive(Debug)]
struct TextArrays {
    records: RowRecords,
    columns: Vec<(usize, Kind)>,
    strings: Strings,
}

/// An array that grows row by row.
enum Growing {
    Bool(BooleanBuilder),
    Int(Int64Builder),
    Large(UInt64Builder),
    Float(Float64Builder),
    Text(StringBuilder),
    Dictionary(Box<StringDictionaryBuilder<Int32Type>>),
}

/// Bytes of the texts of one array: its offsets have 32 bits.
const TEXT_LIMIT: usize = i32::MAX as usize;

impl Growing {
    fn new(kind: Kind, strings: Strings) -> Result<Self> {
        Ok(match (kind, strings) {
            (Kind::Bool, _) => Self::Bool(BooleanBuilder::new()),
            (Kind::Natural | Kind::Int, _) => Self::Int(Int64Builder::new()),
            (Kind::Large, _) => Self::Large(UInt64Builder::new()),
            (Kind::Float | Kind::Nothing, _) => Self::Float(Float64Builder::new()),
            (Kind::Text, Strings::Plain) => Self::Text(StringBuilder::new()),
            (Kind::Text, Strings::Dictionary) => Self::Dictionary(Box::default()),
            (Kind::List, _) => return Err(Error::internal("vectors are not read as arrays")),
        })
    }

    fn push(&mut self, records: &Records, column: usize) -> Result<()> {
        let text = match (&self, records.field(column)) {
            (Self::Text(_) | Self::Dictionary(_), _) => records.text(column),
            (_, Field::Null) => None,
            (_, Field::Plain(text) | Field::Text(text)) => Some(text),
        };
        match self {
            Self::Bool(builder) => builder.append_option(text.map(|text| text.eq_ignore_ascii_case(b"true"))),
            Self::Int(builder) => builder.append_option(text.map(integer).transpose()?),
            Self::Large(builder) => builder.append_option(text.map(integer).transpose()?),
            Self::Float(builder) => builder.append_option(text.map(number).transpose()?),
            Self::Text(builder) => {
                let text = text.map(unicode).transpose()?;
                let bytes = builder.values_slice().len() + text.map_or(0, str::len);
                if bytes > TEXT_LIMIT {
                    return Err(Error::resource("the texts of a column are too long to be read together"));
                }
                builder.append_option(text);
            }
            Self::Dictionary(builder) => match text.map(unicode).transpose()? {
                Some(text) => drop(builder.append(text).map_err(damaged)?),
                None => builder.append_null(),
            },
        }
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Bool(mut builder) => ArrayBuilder::finish(&mut builder),
            Self::Int(mut builder) => ArrayBuilder::finish(&mut builder),
            Self::Large(mut builder) => ArrayBuilder::finish(&mut builder),
            Self::Float(mut builder) => ArrayBuilder::finish(&mut builder),
            Self::Text(mut builder) => ArrayBuilder::finish(&mut builder),
            Self::Dictionary(mut builder) => ArrayBuilder::finish(&mut *builder),
        }
    }
}

fn unicode(text: &[u8]) -> Result<&str> {
    std::str::from_utf8(text).map_err(|_| damaged("a text is not Unicode"))
}

fn integer<T: FromStr>(text: &[u8]) -> Result<T> {
    unicode(text)?.parse().map_err(|_| changed(text))
}

/// The error of a field that is not what the survey found.
fn changed(text: &[u8]) -> Error {
    damaged(format!("\"{}\" is not what was there before", shown(text)))
}

impl ArrayStream for TextArrays {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let Self { records, columns, strings } = self;
        let mut arrays = columns.iter().map(|&(_, kind)| Growing::new(kind, *strings)).collect::<Result<Vec<_>>>()?;
        for _ in 0..rows {
            let records = records.next()?;
            for (array, &(column, _)) in arrays.iter_mut().zip(&*columns) {
                array.push(records, column).map_err(|error| records.located(error))?;
            }
        }
        Ok(arrays.into_iter().map(Growing::finish).collect())
    }

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.records.left == 0)
    }
}
