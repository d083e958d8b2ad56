//! The columns of a file, by name and type.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field};

use super::codes::label_kind;
use super::container::StoredColumn;
use super::dtype::{BF16_BITS, Dtype, Dtypes, ElementType, VectorType};
use super::escape::escaped;
use crate::batch::LabelKind;
use crate::error::{Error, Result};

/// The columns of a file, and which of them hold vectors.
pub(super) struct Schema<'a> {
    columns: &'a [StoredColumn],
    /// Columns of fixed-size binary that the user has declared to be vectors.
    dtypes: &'a Dtypes,
    /// The column that is to hold vectors, so that lists of integers in it are.
    asked: Option<&'a str>,
    /// The column of each name; `None` if several columns share it.
    positions: HashMap<&'a str, Option<usize>>,
}

impl<'a> Schema<'a> {
    pub(super) fn new(columns: &'a [StoredColumn], dtypes: &'a Dtypes) -> Self {
        let mut positions = HashMap::new();
        for (at, column) in columns.iter().enumerate() {
            let position = positions.entry(column.name.as_str());
            // The field of a struct stands behind a column that has its name with the dot.
            let is_taken =
                |known: &Option<usize>| known.is_some_and(|known| column.is_field && !columns[known].is_field);
            let join = |known: &mut Option<usize>| {
                if !is_taken(known) {
                    *known = None;
                }
            };
            position.and_modify(join).or_insert(Some(at));
        }
        Self { columns, dtypes, asked: None, positions }
    }

    /// The same where a column was named for vectors: a list of integers of up to 32 bits is one then. Others may be tokens
    /// or masks.
    pub(super) fn asking(self, features: Option<&'a str>) -> Self {
        Self { asked: features, ..self }
    }

    pub(super) fn columns(&self) -> &'a [StoredColumn] {
        self.columns
    }

    pub(super) fn column(&self, root: usize) -> &'a StoredColumn {
        &self.columns[root]
    }

    /// The position of the column of that name.
    pub(super) fn position(&self, name: &str) -> Result<Option<usize>> {
        match self.positions.get(name) {
            Some(None) => Err(Error::data("two columns have one name").with("column", escaped(name))),
            Some(only) => Ok(*only),
            None => Ok(None),
        }
    }

    /// How a column stores vectors, if it does.
    pub(super) fn vectors(&self, root: usize) -> Option<VectorType> {
        let column = self.column(root);
        match &column.data_type {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                let element = ElementType::of(item.data_type()).map(|element| self.read_as(column, element));
                let integers = || self.integers(root).filter(|_| self.asked == Some(column.name.as_str()));
                element.or_else(integers).map(VectorType::List)
            }
            // Bytes could be ids, hashes, f16 or f32: only the user knows.
            DataType::FixedSizeBinary(_) => {
                let &(_, dtype) = self.dtypes.iter().find(|(name, _)| *name == column.name)?;
                let width = self.plain_bytes(root)?;
                (width > 0 && width.is_multiple_of(dtype.width()))
                    .then_some(VectorType::Bytes { dim: width / dtype.width(), dtype })
            }
            _ => None,
        }
    }

    /// The significand bits of the numbers of a column of vectors as they are stored: bf16 is widened when it is read.
    pub(super) fn significand_bits(&self, root: usize, vectors: VectorType) -> u32 {
        match vectors {
            VectorType::Bytes { dtype: Dtype::Bf16, .. } => BF16_BITS,
            _ if self.column(root).is_bf16 => BF16_BITS,
            _ => vectors.element().significand_bits(),
        }
    }

    /// The type in which lists of integers are read; `None` if the column holds no such lists.
    pub(super) fn integers(&self, root: usize) -> Option<ElementType> {
        match &self.column(root).data_type {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                ElementType::of_integers(item.data_type())
            }
            _ => None,
        }
    }

    /// The type in which the elements of a column are read: of decimals the one that is asked for, and `f64` keeps most digits.
    fn read_as(&self, column: &StoredColumn, element: ElementType) -> ElementType {
        let asked = self.dtypes.iter().find(|(name, _)| column.is_decimal && *name == column.name);
        if matches!(asked, Some((_, Dtype::F32))) { ElementType::F32 } else { element }
    }

    /// The fields with vectors of the struct of that name, which need not be a column itself.
    pub(super) fn vectors_within(&self, name: &str) -> Vec<usize> {
        let is_within = |at: &usize| {
            let field = self.column(*at);
            let inner = field.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            field.is_field && inner && self.vectors(*at).is_some()
        };
        (0..self.columns.len()).filter(is_within).collect()
    }

    /// The width of a column of fixed-size binary that may hold numbers: UUIDs, decimals and intervals do not.
    pub(super) fn plain_bytes(&self, root: usize) -> Option<usize> {
        let column = self.column(root);
        let DataType::FixedSizeBinary(width) = column.data_type else { return None };
        column.is_plain.then(|| usize::try_from(width).unwrap_or(0))
    }

    /// `D`, if the type of the column fixes it.
    pub(super) fn dim(&self, root: usize) -> Option<usize> {
        match (self.vectors(root)?, &self.column(root).written_type) {
            (VectorType::Bytes { dim, .. }, _) => Some(dim),
            (VectorType::List(_), DataType::FixedSizeList(_, size)) => usize::try_from(*size).ok().filter(|&d| d > 0),
            _ => None,
        }
    }

    /// The type that the writer gave a column, for people.
    pub(super) fn kind(&self, root: usize) -> String {
        match self.vectors(root) {
            Some(VectorType::Bytes { dim, dtype }) => {
                let widened = if dtype == Dtype::Bf16 { ", widened to f32" } else { "" };
                format!("fixed_size_binary({}) as {}{widened}", dtype.width() * dim, dtype.name())
            }
            Some(VectorType::List(_)) if self.column(root).is_bf16 => {
                format!("{} of bf16", type_name(&self.column(root).written_type))
            }
            Some(VectorType::List(element)) if self.column(root).is_decimal => {
                format!("decimals in text, read as {}", element.name())
            }
            Some(VectorType::List(element)) if self.integers(root).is_some() => {
                format!("{}, read as {}", type_name(&self.column(root).written_type), element.name())
            }
            _ => type_name(&self.column(root).written_type),
        }
    }

    pub(super) fn names_of(&self, keep: impl Fn(&Self, usize) -> bool) -> Vec<&'a str> {
        (0..self.columns.len()).filter(|&root| keep(self, root)).map(|root| self.column(root).name.as_str()).collect()
    }

    /// All columns.
    pub(super) fn names(&self) -> Vec<&'a str> {
        self.names_of(|_, _| true)
    }

    /// The columns of single values.
    pub(super) fn scalars(&self) -> Vec<&'a str> {
        self.names_of(|schema, root| label_kind(&schema.column(root).data_type).is_some())
    }

    /// The kind of label that a column's values are.
    pub(super) fn label_kind(&self, root: usize) -> Result<LabelKind> {
        label_kind(&self.column(root).data_type).ok_or_else(|| {
            Error::usage("the column holds no labels: they are integers, booleans, strings or floats holding integers")
                .with("column", escaped(&self.column(root).name))
                .with("type", self.kind(root))
        })
    }
}

/// Names as they are listed in errors.
pub(super) fn list(names: &[&str]) -> String {
    const MOST: usize = 20;
    let mut shown: Vec<String> = names.iter().take(MOST).map(|name| escaped(name)).collect();
    if names.len() > MOST {
        shown.push(format!("and {} more", names.len() - MOST));
    }
    if shown.is_empty() { "none".into() } else { shown.join(", ") }
}

/// A short name of an Arrow type.
pub(crate) fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::FixedSizeList(item, _) => format!("fixed_size_list<{}>", element_name(item)),
        DataType::List(item) => format!("list<{}>", element_name(item)),
        DataType::LargeList(item) => format!("large_list<{}>", element_name(item)),
        DataType::Dictionary(_, values) => format!("dictionary<{}>", type_name(values)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Boolean => "bool".into(),
        DataType::FixedSizeBinary(width) => format!("fixed_size_binary({width})"),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", escaped(field.name()), type_name(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        other => escaped(&other.to_string().to_lowercase()),
    }
}

fn element_name(item: &Field) -> String {
    ElementType::of(item.data_type()).map_or_else(|| type_name(item.data_type()), |element| element.name().into())
}
