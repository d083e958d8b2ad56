//! Groups and filters: which rows belong together, and which are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::DataType;

use super::codes::{Coded, label_kind};
use super::container::Container;
use super::discover::Found;
use super::escape::escaped;
use super::schema::Schema;
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};

/// The value that Hive, Spark and pyarrow write for a null key.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The keys of all paths. A key is an integer if all its values are, apart from nulls.
#[derive(Debug, Default)]
pub(super) struct Hive {
    keys: BTreeMap<String, KeyValues>,
    files: usize,
}

/// How many files have the key, and in how many its value is text.
#[derive(Debug, Default)]
struct KeyValues {
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

    /// Takes out a file that turned out to have no rows.
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

    /// Whether the keys, or their kinds, could change if a file were taken out.
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

    /// The keys whose values are texts.
    pub(super) fn texts(&self) -> BTreeSet<String> {
        let texts = self.keys.iter().filter(|(_, values)| values.texts > 0);
        texts.map(|(key, _)| key.clone()).collect()
    }

    /// The same keys of more files, in which the values of `texts` are texts.
    pub(super) fn with_texts(mut self, texts: &BTreeSet<String>) -> Self {
        for (key, values) in &mut self.keys {
            if texts.contains(key) {
                values.texts = values.files;
            }
        }
        self
    }

    /// The kind of a key's values, if any path has the key.
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

/// A column that repeats a key of its file's path: both must have the same value.
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
    /// Finds the column that repeats a key of the path, if its type can be compared.
    pub(super) fn find(name: &str, in_path: &str, schema: &Schema<'_>) -> Result<Option<Self>> {
        let root = schema.position(name)?.filter(|&root| key_kind(&schema.column(root).data_type).is_some());
        let in_path = (in_path != NULL_PARTITION).then(|| in_path.to_owned());
        Ok(root.map(|root| Self { name: name.to_owned(), in_path, root }))
    }

    /// Whether statistics show for every unit that the column agrees with the path; if not, [`check`](Self::check) has to
    /// compare the rows.
    pub(super) fn is_settled(&self, container: &dyn Container) -> Result<bool> {
        let mut settled = true;
        for unit in (0..container.units()).filter(|&unit| container.rows(unit) > 0) {
            match container.constant(unit, self.root) {
                Some(value) => self.compare(Some(&value)).map_err(|error| error.with("row group", unit))?,
                None => settled = false,
            }
        }
        Ok(settled)
    }

    /// Checks the values of some rows, the first of which is `base` of the row group.
    pub(super) fn check(&self, coded: &Coded, base: u64) -> Result<()> {
        for (row, &code) in coded.codes.iter().enumerate() {
            // Mostly there is one value, which is compared once.
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
            .help(format!(
                "rename the directory {name}=… or the key {{{name}}}, or write the file again without the column {name}"
            )))
    }
}

/// Whether two texts are the same integer.
pub(super) fn same_number(a: &str, b: &str) -> bool {
    matches!((a.parse::<i64>(), b.parse::<i64>()), (Ok(a), Ok(b)) if a == b)
}

/// The values that a filter accepts for one key.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub(super) name: String,
    texts: Vec<String>,
    /// The parsed values, once the kind of the key is known.
    accepted: Option<Vec<Label>>,
    /// Which of them rows have, as far as rows were looked at, by whoever reads.
    met: Arc<OnceLock<Vec<AtomicBool>>>,
    /// Whether only the rows themselves say which values they have.
    pub(super) is_open: bool,
}

impl Filter {
    /// Groups filters by key: values of one key are alternatives.
    pub(super) fn all(filters: &[(String, String)]) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for (name, text) in filters {
            match all.iter_mut().find(|filter| filter.name == *name) {
                Some(filter) => filter.texts.push(text.clone()),
                None => all.push(Self {
                    name: name.clone(),
                    texts: vec![text.clone()],
                    accepted: None,
                    met: Arc::default(),
                    is_open: false,
                }),
            }
        }
        all
    }

    /// Parses the values as the kind of the key.
    pub(super) fn resolve(&mut self, kind: LabelKind) -> Result<()> {
        let parsed: Result<Vec<Label>> = self.texts.iter().map(|text| parse(kind, text)).collect();
        self.accepted = Some(parsed.map_err(|error| {
            let name = escaped(&self.name);
            error.help(format!("--where {name}=VALUE, once for each value that is wanted")).with("key", name)
        })?);
        Ok(())
    }

    /// Whether a value written in a path may pass, while the kind of the key is not final.
    pub(super) fn may_accept(&self, value: &str) -> bool {
        value != NULL_PARTITION && self.texts.iter().any(|text| text == value || same_number(text, value))
    }

    /// The value as it was typed that none of the values in paths matches, if there is one.
    pub(super) fn unmatched<'a>(&self, values: &(impl Iterator<Item = &'a String> + Clone)) -> Option<&str> {
        let matched = |text: &String| values.clone().any(|value| text == value || same_number(text, value));
        self.texts.iter().find(|text| !matched(text)).map(String::as_str)
    }

    /// Notes that there are rows of a value.
    pub(super) fn meet(&self, value: &Label) {
        let Some(accepted) = &self.accepted else { return };
        let met = self.met.get_or_init(|| accepted.iter().map(|_| AtomicBool::new(false)).collect());
        for (met, _) in met.iter().zip(accepted).filter(|(_, accepted)| *accepted == value) {
            met.store(true, Ordering::Relaxed);
        }
    }

    /// Fails if no row has one of the values, as far as rows were [met](Self::meet).
    pub(super) fn check_met(&self) -> Result<()> {
        let unmet = self.met.get().and_then(|met| met.iter().position(|met| !met.load(Ordering::Relaxed)));
        match unmet.and_then(|at| self.texts.get(at)) {
            Some(value) => Err(Error::missing("no row matches a value of the filters")
                .with("key", escaped(&self.name))
                .with("value", escaped(value))
                .help("leave the value out")),
            None => Ok(()),
        }
    }

    pub(super) fn accepts(&self, value: &Label) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.contains(value))
    }
}

/// The label to be ignored, as it is typed: of floats that hold integers too.
pub(super) fn parse_ignored(kind: LabelKind, text: &str) -> Result<Label> {
    let whole = text.strip_suffix('0').map(|text| text.trim_end_matches('0')).and_then(|text| text.strip_suffix('.'));
    let whole = whole.filter(|whole| kind == LabelKind::Int && whole.parse::<i128>().is_ok());
    let label = parse(kind, whole.unwrap_or(text)).map_err(|error| error.with("flag", "--ignore-label"));
    match text.to_ascii_lowercase().as_str() {
        "nan" => label.map_err(|error| error.help("--nulls skip leaves out rows whose label is NaN")),
        _ => label,
    }
}

/// A label as it is typed on the command line.
pub(super) fn parse(kind: LabelKind, text: &str) -> Result<Label> {
    kind.parse(text).ok_or_else(|| {
        Error::usage("the value is not of the column's type").with("value", escaped(text)).with("type", kind)
    })
}

/// The kind of a column that can be a group key; floats cannot.
pub(super) fn key_kind(kind: &DataType) -> Option<LabelKind> {
    label_kind(kind).filter(|_| !kind.is_floating())
}
