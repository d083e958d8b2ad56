//! Vectors whose elements are in columns of their own, as `f0`, `f1`, …: one column of all that match a pattern.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float16Type, Float32Type, Float64Type};
use glob::Pattern;

use super::container::{ArrayStream, Container, OpenUnit, StoredColumn, Strings, Unread, VectorStream};
use super::damage::damaged;
use super::dtype::{ElementType, VectorType};
use super::escape::escaped;
use super::fingerprint::fnv1a;
use super::floats::{Float, find_nonfinite};
use super::natural::natural;
use super::read_at::ReadAt;
use super::row_policy::RowDefect;
use super::rows::Values;
use super::vectors::Vectors;
use crate::batch::Label;
use crate::error::{Error, Result};

/// Whether the name of a column is a pattern of many.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// A file whose columns of elements are one column of vectors, the last one; all other columns are as they were.
#[derive(Debug)]
pub(super) struct WideFile {
    inner: Arc<dyn Container>,
    columns: Vec<StoredColumn>,
    /// Which column of the file each of the others is.
    roots: Vec<usize>,
    elements: Arc<Elements>,
}

/// The columns of elements.
#[derive(Debug)]
struct Elements {
    /// In the order of the file.
    roots: Vec<usize>,
    /// The dimension of each.
    dimensions: Vec<usize>,
    kind: ElementType,
}

/// The type that holds all values of these types exactly.
fn common<'a>(kinds: impl Iterator<Item = &'a DataType> + Clone) -> Option<ElementType> {
    let mut floats = kinds.clone().map(ElementType::of);
    if let Some(first) = floats.next().flatten()
        && floats.all(|kind| kind == Some(first))
    {
        return Some(first);
    }
    let bits = |kind: &DataType| match kind {
        DataType::Float16 | DataType::Float32 => Some(ElementType::F32),
        DataType::Float64 => Some(ElementType::F64),
        kind => ElementType::of_integers(kind),
    };
    let kinds: Vec<ElementType> = kinds.map(bits).collect::<Option<_>>()?;
    let is_wide = kinds.contains(&ElementType::F64);
    Some(if is_wide { ElementType::F64 } else { ElementType::F32 })
}

/// A name with `#` in place of its numbers.
fn form(name: &str) -> String {
    let mut form = String::with_capacity(name.len());
    for c in name.chars() {
        if !c.is_ascii_digit() {
            form.push(c);
        } else if !form.ends_with('#') {
            form.push('#');
        }
    }
    form
}

/// Fails if some names differ in more than numbers, where others differ in numbers alone: `fold` beside `f0`, `f1`, ….
fn refuse_strangers(names: &[&str], pattern: &str) -> Result<()> {
    let mut forms: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for name in names {
        forms.entry(form(name)).or_default().push(name);
    }
    let most = forms.iter().filter(|(form, _)| form.contains('#')).max_by_key(|(_, names)| names.len());
    let Some((numbered, of_most)) = most.filter(|(_, of_most)| forms.len() > 1 && of_most.len() > 1) else {
        return Ok(());
    };
    let stranger = forms.values().flatten().find(|name| !of_most.contains(name)).copied().unwrap_or_default();
    let error = Error::usage("the columns that match the pattern of features differ in more than numbers")
        .with("pattern", escaped(pattern))
        .with("columns", escaped(&shortened(of_most)))
        .with("column", escaped(stranger));
    let narrower = narrower(numbered, of_most, names);
    Err(error.help(match narrower {
        Some(pattern) => format!("a narrower pattern: --features '{}'", escaped(&pattern)),
        None => format!("give {} another name: no pattern tells it from the others", escaped(stranger)),
    }))
}

/// A pattern of names of one form that no other name matches.
fn narrower(form: &str, wanted: &[&str], names: &[&str]) -> Option<String> {
    let longest = wanted.iter().map(|name| name.chars().filter(char::is_ascii_digit).count()).max().unwrap_or(1);
    let digits = form.replacen('#', &"[0-9]".repeat(longest), 1);
    let candidates = [form.replacen('#', "[0-9]*", 1).replace('#', "*"), digits];
    candidates.into_iter().find(|candidate| {
        let fits = |pattern: Pattern| names.iter().all(|name| pattern.matches(name) == wanted.contains(name));
        Pattern::new(candidate).is_ok_and(fits)
    })
}

/// The first names and the last one.
fn shortened(names: &[&str]) -> String {
    match names {
        [first, second, _, .., last] => format!("{first}, {second}, …, {last}"),
        _ => names.join(", "),
    }
}

impl WideFile {
    /// The columns that match a pattern as one column of its name, ordered by the numbers in their names.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if no column matches, or one that does holds no numbers that `f64` has all of,
    /// or has a name unlike the others.
    pub(super) fn new(inner: Arc<dyn Container>, pattern: &str) -> Result<Self> {
        let matcher = Pattern::new(pattern).map_err(|error| {
            Error::usage("not a pattern of column names").with("column", escaped(pattern)).with("detail", error.msg)
        })?;
        let own = inner.columns();
        let (matching, roots): (Vec<usize>, Vec<usize>) =
            (0..own.len()).partition(|&at| matcher.matches(&own[at].name));
        if matching.is_empty() {
            let names: Vec<String> = own.iter().take(12).map(|column| escaped(&column.name)).collect();
            return Err(Error::usage("no column matches the pattern of features")
                .with("pattern", escaped(pattern))
                .with("columns", names.join(", ")));
        }
        // Decimals are read in the type that is asked for, whether they look like integers or not.
        let is_decimal = matching.iter().all(|&at| own[at].is_decimal && !own[at].data_type.is_nested());
        let kind =
            if is_decimal { Some(ElementType::F64) } else { common(matching.iter().map(|&at| &own[at].data_type)) };
        let Some(kind) = kind else {
            let is_other = |at: usize| {
                let StoredColumn { data_type, is_decimal, .. } = &own[at];
                if *is_decimal { data_type.is_nested() } else { common(std::iter::once(data_type)).is_none() }
            };
            let other = matching.iter().find(|&&at| is_other(at));
            let other = other.map_or(&own[matching[0]], |&at| &own[at]);
            let error = Error::usage(
                "a column that matches the pattern of features holds no numbers of at most 32 bits, or f64",
            )
            .with("pattern", escaped(pattern))
            .with("column", escaped(&other.name));
            let Some((line, text)) = &other.first_text else { return Err(error.with("type", &other.data_type)) };
            let error = error.with("line", line).with("found", escaped(text));
            let has_comma = text.contains(',') && text.replace(',', ".").parse::<f64>().is_ok();
            let is_missing = ["na", "n/a", "null", "none", "-", "?"].contains(&&*text.trim().to_ascii_lowercase());
            return Err(if has_comma {
                error.help("write decimal points")
            } else if is_missing {
                error.help("leave the field of a missing value empty; --nulls skip then leaves such rows out")
            } else {
                error
            });
        };
        let mut order: Vec<usize> = (0..matching.len()).collect();
        order.sort_by(|&a, &b| natural(&own[matching[a]].name, &own[matching[b]].name));
        let mut dimensions = vec![0; matching.len()];
        for (dimension, &at) in order.iter().enumerate() {
            dimensions[at] = dimension;
        }
        let dim = i32::try_from(matching.len()).map_err(damaged)?;
        let item = Arc::new(Field::new_list_field(kind.data_type(), true));
        let mut columns: Vec<StoredColumn> = roots.iter().map(|&at| own[at].clone()).collect();
        let names: Vec<&str> = order.iter().map(|&at| own[matching[at]].name.as_str()).collect();
        refuse_strangers(&names, pattern)?;
        let elements = Some((fnv1a(names.join("\0").as_bytes()), shortened(&names)));
        let vectors = StoredColumn::new(pattern, DataType::FixedSizeList(item, dim));
        columns.push(StoredColumn { is_decimal, elements, ..vectors });
        let elements = Arc::new(Elements { roots: matching, dimensions, kind });
        Ok(Self { inner, columns, roots, elements })
    }

    /// These columns as the file numbers them.
    fn inner_columns(&self, columns: &[usize]) -> Vec<usize> {
        let mut inner: Vec<usize> = columns
            .iter()
            .flat_map(|&column| match self.roots.get(column) {
                Some(root) => std::slice::from_ref(root),
                None => &self.elements.roots,
            })
            .copied()
            .collect();
        inner.sort_unstable();
        inner
    }
}

impl Container for WideFile {
    fn fingerprint(&self) -> u64 {
        self.inner.fingerprint()
    }

    fn memory(&self) -> u64 {
        self.inner.memory()
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn unread(&self) -> &[Unread] {
        self.inner.unread()
    }

    fn units(&self) -> usize {
        self.inner.units()
    }

    fn rows(&self, unit: usize) -> u64 {
        self.inner.rows(unit)
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        self.inner.stored_bytes(unit, &self.inner_columns(columns))
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        self.inner.text_bytes(unit, &self.inner_columns(columns))
    }

    fn range(&self, unit: usize, column: usize) -> Option<(Label, Label)> {
        self.inner.range(unit, *self.roots.get(column)?)
    }

    fn constant(&self, unit: usize, column: usize) -> Option<Label> {
        self.inner.constant(unit, *self.roots.get(column)?)
    }

    fn check_readable(&self, columns: &[usize]) -> Result<()> {
        self.inner.check_readable(&self.inner_columns(columns))
    }

    fn has_checksums(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<bool> {
        self.inner.has_checksums(bytes, self.inner_columns(&[column])[0])
    }

    fn class_names(&self, column: usize) -> Option<Vec<String>> {
        self.inner.class_names(*self.roots.get(column)?)
    }

    fn first_length(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        match self.roots.get(column) {
            Some(&root) => self.inner.first_length(bytes, root),
            None => Ok(Some(self.elements.roots.len())),
        }
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let (roots, elements) = (self.roots.clone(), self.elements.clone());
        Box::new(WideUnit { inner: self.inner.open_unit(bytes, unit), roots, elements, rows: self.inner.rows(unit) })
    }
}

/// A unit of the file.
#[derive(Debug)]
struct WideUnit {
    inner: Box<dyn OpenUnit>,
    roots: Vec<usize>,
    elements: Arc<Elements>,
    rows: u64,
}

impl OpenUnit for WideUnit {
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, chunk: usize) -> Result<Box<dyn VectorStream>> {
        if let Some(&root) = self.roots.get(column) {
            return self.inner.vectors(root, kind, dim, chunk);
        }
        let mut in_order = vec![0; self.elements.roots.len()];
        for (&root, &dimension) in self.elements.roots.iter().zip(&self.elements.dimensions) {
            in_order[dimension] = root;
        }
        if let Some(vectors) = self.inner.wide(&in_order, kind)? {
            return Ok(vectors);
        }
        let arrays = self.inner.arrays(&self.elements.roots, chunk, Strings::Plain)?;
        Ok(Box::new(WideVectors { arrays, elements: self.elements.clone(), left: self.rows }))
    }

    fn arrays(&self, columns: &[usize], rows: usize, strings: Strings) -> Result<Box<dyn ArrayStream>> {
        let roots: Option<Vec<usize>> = columns.iter().map(|&column| self.roots.get(column).copied()).collect();
        let roots = roots.ok_or_else(|| Error::internal("vectors are not read as arrays"))?;
        self.inner.arrays(&roots, rows, strings)
    }
}

/// The vectors of a unit.
#[derive(Debug)]
struct WideVectors {
    arrays: Box<dyn ArrayStream>,
    elements: Arc<Elements>,
    left: u64,
}

/// Values, and the rows that cannot be used.
type Woven<V> = (Vec<V>, Vec<(u32, RowDefect)>);

/// Vectors of which column `j` of `arrays` has element `dimensions[j]`; and the rows that have a null.
fn woven<T: ArrowPrimitiveType>(arrays: &[ArrayRef], dimensions: &[usize], rows: usize) -> Result<Woven<T::Native>>
where
    T::Native: Float,
{
    let dim = arrays.len();
    let mut values = vec![T::Native::default(); rows * dim];
    let mut is_null = vec![false; rows];
    for (array, &dimension) in arrays.iter().zip(dimensions) {
        let array = cast(array, &T::DATA_TYPE).map_err(damaged)?;
        let array = array.as_primitive::<T>();
        for (row, &value) in array.values().iter().enumerate() {
            values[row * dim + dimension] = value;
        }
        if array.null_count() > 0 {
            is_null.iter_mut().enumerate().for_each(|(row, is_null)| *is_null |= array.is_null(row));
        }
    }
    let nulls = is_null.iter().enumerate().filter(|(_, is_null)| **is_null);
    let mut defects: Vec<_> = nulls.map(|(row, _)| (row as u32, RowDefect::Null)).collect();
    find_nonfinite(&values, dim, 0, &mut defects);
    Ok((values, defects))
}

impl VectorStream for WideVectors {
    fn next(&mut self, rows: usize, _: u64) -> Result<Vectors> {
        let arrays = self.arrays.next(rows)?;
        if arrays.iter().any(|array| array.len() != rows) {
            return Err(damaged("rows are missing"));
        }
        self.left = self.left.saturating_sub(rows as u64);
        let dimensions = &self.elements.dimensions;
        Ok(match self.elements.kind {
            ElementType::F16 => {
                let (values, defects) = woven::<Float16Type>(&arrays, dimensions, rows)?;
                Vectors { values: Values::F16(values), defects }
            }
            ElementType::F32 => {
                let (values, defects) = woven::<Float32Type>(&arrays, dimensions, rows)?;
                Vectors { values: Values::F32(values), defects }
            }
            ElementType::F64 => {
                let (values, defects) = woven::<Float64Type>(&arrays, dimensions, rows)?;
                Vectors { values: Values::F64(values), defects }
            }
        })
    }

    fn reuse(&mut self, _: Values) {}

    fn is_at_end(&mut self) -> Result<bool> {
        Ok(self.left == 0 && self.arrays.is_at_end()?)
    }
}
