//! Groups and filters: which rows belong together, and which are asked for.

use std::collections::{BTreeMap, HashMap};

use arrow::datatypes::DataType;
use parquet::data_type::AsBytes;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::discover::Found;
use super::scalars::{Coded, NULL};
use super::schema::{Columns, Origin, Schema};
use super::{Key, escaped};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};

/// What Hive, Spark and pyarrow call the directory of rows whose key is null.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The keys of all paths, and what their values are: integers if all of a key's are, apart from nulls.
#[derive(Debug, Default)]
pub(super) struct Hive {
    keys: BTreeMap<String, Values>,
    files: usize,
}

/// How many files have the key, and in how many its value is no integer.
#[derive(Debug, Default)]
struct Values {
    files: usize,
    texts: usize,
}

impl Hive {
    pub(super) fn of(files: &[Found]) -> Self {
        let mut hive = Self { files: files.len(), ..Self::default() };
        for (key, value) in files.iter().flat_map(|file| &file.keys) {
            let values = hive.keys.entry(key.clone()).or_default();
            values.files += 1;
            values.texts += usize::from(is_text(value));
        }
        hive
    }

    /// Takes a file out again, which has no row that would have these keys.
    pub(super) fn forget(&mut self, file: &Found) {
        self.files = self.files.saturating_sub(1);
        for (key, value) in &file.keys {
            if let Some(values) = self.keys.get_mut(key) {
                values.files = values.files.saturating_sub(1);
                values.texts = values.texts.saturating_sub(usize::from(is_text(value)));
            }
        }
        self.keys.retain(|_, values| values.files > 0);
    }

    /// Whether a file alone, or with few others, decides that there is a key or of what kind its values are.
    pub(super) fn is_contested(&self, file: &Found) -> bool {
        let contested = |(key, value): (&String, &String)| {
            let values = self.keys.get(key)?;
            Some(values.files < self.files || (is_text(value) && values.texts < values.files))
        };
        file.keys.iter().any(|key| contested(key).unwrap_or(false))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// What the values of a key are, if a path has it.
    pub(super) fn kind(&self, key: &str) -> Option<LabelKind> {
        self.keys.get(key).map(|values| if values.texts > 0 { LabelKind::Text } else { LabelKind::Int })
    }

    /// A value as it is written in a path; `None` is null.
    pub(super) fn label(&self, key: &str, value: &str) -> Option<Label> {
        if value == NULL_PARTITION {
            return None;
        }
        Some(match (self.kind(key), value.parse::<i64>()) {
            (Some(LabelKind::Int), Ok(value)) => Label::Int(value.into()),
            _ => Label::Text(value.into()),
        })
    }
}

fn is_text(value: &str) -> bool {
    value != NULL_PARTITION && value.parse::<i64>().is_err()
}

/// A column that has the name of a key of its file's path: both must say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Twin {
    /// The key.
    pub(super) name: String,
    /// Its value as it is written in the path; `None` is null.
    pub(super) in_path: Option<String>,
    /// The column, by its position among the roots of the schema.
    pub(super) root: usize,
}

impl Twin {
    /// The column of a key that a path has, if there is one whose values can be told.
    pub(super) fn find(name: &str, in_path: &str, schema: &Schema<'_>) -> Result<Option<Self>> {
        let root = schema.position(name)?.filter(|&root| key_kind(schema.field(root).data_type()).is_some());
        let in_path = (in_path != NULL_PARTITION).then(|| in_path.to_owned());
        Ok(root.map(|root| Self { name: name.to_owned(), in_path, root }))
    }

    /// Whether the row groups of a file show by their statistics that the column says the same; all that they cannot show
    /// is for [`check`](Self::check).
    pub(super) fn is_settled(&self, metadata: &ParquetMetaData, schema: &Schema<'_>) -> Result<bool> {
        let Some(&leaf) = super::schema::leaves(metadata, &[self.root]).first() else { return Ok(true) };
        let mut settled = true;
        for (row_group, group) in metadata.row_groups().iter().enumerate().filter(|(_, group)| group.num_rows() > 0) {
            match constant(group, leaf, schema.field(self.root).data_type()) {
                Some(value) => self.compare(Some(&value)).map_err(|error| error.with("row group", row_group))?,
                None => settled = false,
            }
        }
        Ok(settled)
    }

    /// Checks the values of some rows, the first of which is `base` of the row group.
    pub(super) fn check(&self, coded: &Coded, base: u64) -> Result<()> {
        for (row, &code) in coded.codes.iter().enumerate() {
            // Nearly always there is one value, and comparing it once is enough.
            if row == 0 || code != coded.codes[row - 1] {
                let value = coded.values.get(code as usize);
                self.compare(value).map_err(|error| error.with("row", base + row as u64))?;
            }
        }
        Ok(())
    }

    fn compare(&self, in_column: Option<&Label>) -> Result<()> {
        let same = match (&self.in_path, in_column) {
            (None, None) => true,
            (Some(path), Some(Label::Int(value))) => path.parse::<i128>() == Ok(*value),
            (Some(path), Some(Label::Bool(value))) => path.eq_ignore_ascii_case(&value.to_string()),
            (Some(path), Some(Label::Text(value))) => **value == **path || same_number(path, value),
            _ => false,
        };
        if same {
            return Ok(());
        }
        let name = escaped(&self.name);
        let shown = |value: Option<String>| value.map_or("null".to_owned(), |value| escaped(&value));
        Err(Error::data("the path of a file and a column in it say different things of one key")
            .with("key", &name)
            .with("in the path", shown(self.in_path.clone()))
            .with("in the column", shown(in_column.map(Label::to_string)))
            .help(format!("rename the directory {name}=…, or write the file again without the column {name}")))
    }
}

/// Whether two texts are the same integer.
pub(super) fn same_number(a: &str, b: &str) -> bool {
    matches!((a.parse::<i64>(), b.parse::<i64>()), (Ok(a), Ok(b)) if a == b)
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

    /// Whether a value may be let through, as it is written in a path, whatever the kind of the key turns out to be.
    pub(super) fn may_accept(&self, value: &str) -> bool {
        value != NULL_PARTITION && self.texts.iter().any(|text| text == value || same_number(text, value))
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
    let no_nulls = group.column(leaf).statistics()?.null_count_opt() == Some(0);
    let (min, max) = range(group, leaf, kind)?;
    (no_nulls && min == max).then_some(min)
}

/// The least and the greatest value of a column in a row group, nulls aside, if its statistics say so beyond doubt.
pub(super) fn range(group: &RowGroupMetaData, leaf: usize, kind: &DataType) -> Option<(Label, Label)> {
    fn both<T>(statistics: &ValueStatistics<T>, label: impl Fn(&T) -> Option<Label>) -> Option<(Label, Label)> {
        Some((label(statistics.min_opt()?)?, label(statistics.max_opt()?)?))
    }
    let unsigned = kind.is_unsigned_integer();
    match group.column(leaf).statistics()? {
        Statistics::Boolean(values) => both(values, |&value| Some(Label::Bool(value))),
        Statistics::Int32(values) => {
            both(values, |&value| Some(Label::Int(if unsigned { i128::from(value as u32) } else { value.into() })))
        }
        Statistics::Int64(values) => {
            both(values, |&value| Some(Label::Int(if unsigned { i128::from(value as u64) } else { value.into() })))
        }
        // Long texts are cut short in statistics.
        Statistics::ByteArray(values) if values.min_is_exact() && values.max_is_exact() => {
            both(values, |value| Some(Label::Text(std::str::from_utf8(value.as_bytes()).ok()?.into())))
        }
        _ => None,
    }
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
