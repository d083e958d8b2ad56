//! Groups and filters: which rows belong together, and which are asked for.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::DataType;
use parquet::data_type::AsBytes;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::discover::Found;
use super::scalars::{Coded, NULL};
use super::schema::{Columns, Origin};
use super::{Key, escaped};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};

/// The keys of all paths, and what their values are: integers if all of a key's are.
#[derive(Debug, Default)]
pub(super) struct Hive(BTreeMap<String, LabelKind>);

impl Hive {
    pub(super) fn of(files: &[Found]) -> Self {
        let mut kinds = BTreeMap::new();
        for (key, value) in files.iter().flat_map(|file| &file.keys) {
            let kind = if value.parse::<i64>().is_ok() { LabelKind::Int } else { LabelKind::Text };
            let known = kinds.entry(key.clone()).or_insert(kind);
            if kind == LabelKind::Text {
                *known = kind;
            }
        }
        Self(kinds)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(super) fn label(&self, key: &str, value: &str) -> Label {
        match (self.0.get(key), value.parse::<i64>()) {
            (Some(LabelKind::Int), Ok(value)) => Label::Int(value.into()),
            _ => Label::Text(value.into()),
        }
    }
}

/// What one key may be.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) name: String,
    texts: Vec<String>,
    /// Once the kind of the key is known.
    accepted: Option<Vec<Label>>,
}

impl Filter {
    /// Different keys are and, the same key twice is or.
    pub(super) fn all(filters: &[(String, String)]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (name, text) in filters {
            match all.iter_mut().find(|filter| filter.name == *name) {
                Some(filter) => filter.texts.push(text.clone()),
                None => all.push(Self { name: name.clone(), texts: vec![text.clone()], accepted: None }),
            }
        }
        all
    }

    /// Reads the values as the key's are.
    pub(super) fn resolve(&mut self, kind: LabelKind) -> Result<()> {
        let parsed: Result<Vec<Label>> = self.texts.iter().map(|text| parse(kind, text)).collect();
        self.accepted = Some(parsed.map_err(|error| error.with("key", escaped(&self.name)))?);
        Ok(())
    }

    pub(super) fn accepts(&self, value: &Label) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.contains(value))
    }
}

/// A label as it is typed on the command line.
pub(super) fn parse(kind: LabelKind, text: &str) -> Result<Label> {
    kind.parse(text).ok_or_else(|| {
        Error::usage("the value is not of the column's type").with("value", escaped(text)).with("type", kind)
    })
}

/// The kind of a column that may make groups; floats may not.
pub(super) fn key_kind(kind: &DataType) -> Option<LabelKind> {
    super::schema::label_kind(kind).filter(|_| !kind.is_floating())
}

/// The one value of a column in a row group, if its statistics say so beyond doubt.
pub(super) fn constant(group: &RowGroupMetaData, leaf: usize, kind: &DataType) -> Option<Label> {
    fn one<T: PartialEq>(statistics: &ValueStatistics<T>) -> Option<&T> {
        let (min, max) = (statistics.min_opt()?, statistics.max_opt()?);
        (statistics.null_count_opt() == Some(0) && min == max).then_some(min)
    }
    let statistics = group.column(leaf).statistics()?;
    Some(match statistics {
        Statistics::Boolean(values) => Label::Bool(*one(values)?),
        Statistics::Int32(values) => {
            let value = *one(values)?;
            Label::Int(if kind.is_unsigned_integer() { i128::from(value as u32) } else { value.into() })
        }
        Statistics::Int64(values) => {
            let value = *one(values)?;
            Label::Int(if kind.is_unsigned_integer() { i128::from(value as u64) } else { value.into() })
        }
        // Long texts are cut short in statistics.
        Statistics::ByteArray(values) if values.min_is_exact() && values.max_is_exact() => {
            Label::Text(std::str::from_utf8(one(values)?.as_bytes()).ok()?.into())
        }
        _ => return None,
    })
}

/// Which group each row of a chunk belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    /// The groups that are there.
    pub(super) keys: Vec<Key>,
    /// The group of each row, or [`NULL`] for rows that no filter lets through; `None` if all are of the first group.
    pub(super) of_row: Option<Vec<u32>>,
}

impl Grouping {
    /// Groups `rows` rows by keys of these names; the first row is `base` of the row group.
    pub(super) fn new(
        names: &[String],
        columns: &Columns,
        filters: &[Filter],
        coded: &HashMap<usize, Coded>,
        rows: usize,
        base: u64,
    ) -> Result<Self> {
        let column = |origin: &Origin| match origin {
            Origin::Path(_) => None,
            Origin::Column(root) => coded.get(root),
        };
        let tests: Vec<(&Coded, Vec<bool>)> = (columns.filters.iter().zip(filters))
            .filter_map(|(origin, filter)| column(origin).map(|coded| (coded, filter)))
            .map(|(coded, filter)| (coded, coded.values.iter().map(|value| filter.accepts(value)).collect()))
            .collect();
        let varying: Vec<&Coded> = columns.keys.iter().filter_map(column).collect();
        let key = |codes: &[u32]| {
            let mut codes = codes.iter();
            let value = |origin: &Origin| match (origin, column(origin)) {
                (Origin::Path(value), _) => value.clone(),
                // `codes` has one for each column among the keys.
                (_, coded) => {
                    coded.zip(codes.next()).map_or(Label::Bool(false), |(c, &code)| c.values[code as usize].clone())
                }
            };
            columns.keys.iter().map(value).collect::<Key>()
        };
        if tests.is_empty() && varying.is_empty() {
            return Ok(Self { keys: vec![key(&[])], of_row: None });
        }
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut keys = Vec::new();
        let mut of_row = Vec::with_capacity(rows);
        let mut codes = Vec::new();
        for row in 0..rows {
            let passes = |(coded, accepted): &(&Coded, Vec<bool>)| {
                accepted.get(coded.codes[row] as usize).copied().unwrap_or(false)
            };
            if !tests.iter().all(passes) {
                of_row.push(NULL);
                continue;
            }
            codes.clear();
            codes.extend(varying.iter().map(|coded| coded.codes[row]));
            if let Some(at) = codes.iter().position(|&code| code == NULL) {
                let name = columns.keys.iter().zip(names).filter(|(origin, _)| column(origin).is_some()).nth(at);
                return Err(Error::data("null in a group column")
                    .with("row", base + row as u64)
                    .with("column", name.map_or_else(String::new, |(_, name)| escaped(name))));
            }
            let group = if let Some(&group) = known.get(&codes) {
                group
            } else {
                keys.push(key(&codes));
                known.insert(codes.clone(), keys.len() as u32 - 1);
                keys.len() as u32 - 1
            };
            of_row.push(group);
        }
        if keys.len() == 1 && !of_row.contains(&NULL) {
            return Ok(Self { keys, of_row: None });
        }
        Ok(Self { keys, of_row: Some(of_row) })
    }

    /// The group of a row.
    pub(super) fn of(&self, row: usize) -> Option<usize> {
        let group = self.of_row.as_ref().map_or(0, |groups| groups[row]);
        (group != NULL).then_some(group as usize)
    }
}
