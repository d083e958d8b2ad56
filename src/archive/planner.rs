//! Plans one file after the other: which of its columns are read, and which units.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;

use super::catalogue::{File, VectorColumn, units};
use super::container::Container;
use super::discover::Found;
use super::dtype::{Dtype, VectorType};
use super::escape::escaped;
use super::file_columns::{FileColumns, KeyOrigin};
use super::keys::{self, Filter, Hive, Twin};
use super::open_files::OpenedFile;
use super::opened::ColumnChoice;
use super::pooling::KEY_COLUMNS;
use super::request::{Key, Request};
use super::rows::Unit;
use super::rows_seen::{Ranges, widen};
use super::schema::{self, Schema};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result, did_you_mean};

#[derive(Default)]
pub(super) struct Listing {
    pub(super) files: Vec<File>,
    /// The columns of each file.
    pub(super) columns: Vec<FileColumns>,
    pub(super) units: Vec<Unit>,
    pub(super) ranges: Ranges,
}

/// What all files of an archive have in common: the first file decides, and the others must agree.
pub(super) struct Planner {
    hive: Hive,
    /// The `group_by` keys that there are.
    pub(super) group_by: Vec<String>,
    pub(super) filters: Vec<Filter>,
    pub(super) features: ColumnChoice,
    pub(super) vectors: VectorType,
    /// What [`StoredColumn::elements`](super::container::StoredColumn) is in all files.
    elements: Option<(u64, String)>,
    dtypes: Vec<(String, Dtype)>,
    pub(super) labels: Option<ColumnChoice>,
    pub(super) label_kind: LabelKind,
    any_labels: bool,
    /// Columns whose ranges are recorded although the request does not group or filter by them.
    mixable: Vec<String>,
    /// What the classes of labels are called by each of the files so far; `None` if files differ.
    pub(super) class_names: Option<Vec<String>>,
    key_kinds: BTreeMap<String, LabelKind>,
}

impl Planner {
    /// Chooses columns by the first file.
    pub(super) fn new(request: &Request, hive: Hive, filters: Vec<Filter>, container: &dyn Container) -> Result<Self> {
        let dtypes = dtypes(request, container)?;
        let schema = Schema::new(container.columns(), &dtypes).asking(request.features.as_deref());
        let with_unread = |error: Error| match container.unread() {
            [] => error,
            unread => {
                let shown: Vec<String> = unread.iter().map(|one| format!("{} ({})", one.name, one.kind)).collect();
                error.with(
                    "of types that are not read",
                    schema::list(&shown.iter().map(String::as_str).collect::<Vec<_>>()),
                )
            }
        };
        let features = schema.choose_features(request).map_err(with_unread)?;
        if request.features.is_none() {
            schema.check_chosen_dtype(features.0, request.dtype)?;
        }
        let schema = schema.asking(Some(&container.columns()[features.0].name));
        let column =
            |(root, why)| ColumnChoice { name: schema.column(root).name.clone(), kind: schema.kind(root), why };
        let labels = schema.choose_labels(request).map_err(with_unread)?;
        let vectors =
            schema.vectors(features.0).ok_or_else(|| Error::internal("the feature column does not hold vectors"))?;
        let label_kind = labels.map_or(Ok(LabelKind::Int), |(root, _)| schema.label_kind(root))?;
        let elements = schema.column(features.0).elements.clone();
        let (features, labels) = (column(features), labels.map(column));
        let mut group_by = request.group_by.clone();
        if request.keys_optional {
            let known =
                |name: &String| hive.names().any(|key| key == name) || matches!(schema.position(name), Ok(Some(_)));
            group_by.retain(known);
        }
        let asked = |name: &String| !group_by.contains(name) && filters.iter().all(|filter| filter.name != *name);
        let mixable = KEY_COLUMNS.into_iter().map(str::to_owned).chain(request.notice.iter().cloned());
        let mixable: Vec<String> = mixable.filter(asked).collect();
        let (any_labels, key_kinds) = (request.any_labels, BTreeMap::new());
        Ok(Self {
            hive,
            group_by,
            filters,
            features,
            vectors,
            elements,
            dtypes,
            labels,
            label_kind,
            any_labels,
            mixable,
            class_names: None,
            key_kinds,
        })
    }

    pub(super) fn add(&mut self, found: Found, file: &OpenedFile, plan: &mut Listing) -> Result<(), (String, Error)> {
        let container = &*file.container;
        let dtypes = self.dtypes.clone();
        let asked = self.features.name.clone();
        let schema = Schema::new(container.columns(), &dtypes).asking(Some(&asked));
        let mut columns = self.columns(&schema, container, &found).map_err(|error| (found.shown.clone(), error))?;
        let read = |columns: &FileColumns| [columns.scalars(), vec![columns.features.root]].concat();
        container.check_readable(&read(&columns)).map_err(|error| (found.shown.clone(), error))?;
        let mixable = self.mixable(&schema, &found);
        columns.watched =
            mixable.iter().filter(|(name, root)| is_watched(name, *root, &columns, container)).cloned().collect();
        let read = read(&columns);
        let names = columns.labels.and_then(|root| container.class_names(root));
        self.class_names = if plan.files.is_empty() {
            names
        } else {
            self.class_names.take().filter(|known| names.as_ref() == Some(known))
        };
        for mut unit in units(container, plan.files.len(), &read) {
            let value = |origin: &KeyOrigin| known_value(origin, container, unit.row_group);
            let may_pass =
                |(origin, filter): (&KeyOrigin, &Filter)| value(origin).is_none_or(|value| filter.accepts(&value));
            if !columns.filters.iter().zip(&self.filters).all(may_pass) {
                continue;
            }
            for (origin, filter) in columns.filters.iter().zip(&mut self.filters) {
                match value(origin) {
                    Some(value) => filter.meet(&value),
                    None => filter.is_open = true,
                }
            }
            let key = columns.keys.iter().map(value).collect::<Option<Key>>();
            for (name, root) in &mixable {
                let Some(key) = &key else { continue };
                if let Some(range) = container.range(unit.row_group, *root) {
                    widen(plan.ranges.entry(name.clone()).or_default(), key, range);
                }
            }
            unit.key = key;
            plan.units.push(unit);
        }
        plan.files.push(File::new(found, file));
        plan.columns.push(columns);
        Ok(())
    }

    fn columns(&mut self, schema: &Schema<'_>, container: &dyn Container, found: &Found) -> Result<FileColumns> {
        let features = present(schema, &self.features.name)?;
        let vectors = schema.vectors(features);
        let vectors = vectors.filter(|vectors| vectors.element() == self.vectors.element()).ok_or_else(|| {
            Error::data("files differ in the type of their features")
                .with("column", escaped(&self.features.name))
                .with("expected", &self.features.kind)
                .with("found", schema.kind(features))
                .help("measure files of each type apart, or write them all in one type")
        })?;
        let of_elements =
            |elements: &Option<(u64, String)>| elements.clone().map_or_else(String::new, |(_, names)| names);
        let elements = &schema.column(features).elements;
        if *elements != self.elements {
            return Err(Error::data("files differ in the columns that are the elements of their vectors")
                .with("expected", escaped(&of_elements(&self.elements)))
                .with("found", escaped(&of_elements(elements)))
                .help("measure them apart, or give the columns of both the same names"));
        }
        let labels = self.labels.as_ref().and_then(|labels| -> Option<Result<usize>> {
            if self.any_labels {
                let root = schema.position(&labels.name).transpose()?;
                return Some(root).filter(|root| root.as_ref().map_or(true, |&root| schema.label_kind(root).is_ok()));
            }
            Some(self.label_column(labels, schema))
        });
        let labels = labels.transpose()?;
        let names = self.group_by.clone();
        let keys = names.iter().map(|name| self.key(name, schema, found)).collect::<Result<_>>()?;
        let names: Vec<String> = self.filters.iter().map(|filter| filter.name.clone()).collect();
        let filters: Vec<KeyOrigin> = names.iter().map(|name| self.key(name, schema, found)).collect::<Result<_>>()?;
        for filter in &mut self.filters {
            filter.resolve(self.key_kinds[&filter.name])?;
        }
        let twins = self.twins(schema, container, found)?;
        let features = VectorColumn::of(schema, features, vectors);
        Ok(FileColumns { features, labels, keys, filters, twins, watched: Vec::new() })
    }

    /// The columns of a file whose ranges are recorded.
    fn mixable(&self, schema: &Schema<'_>, found: &Found) -> Vec<(String, usize)> {
        let labels = self.labels.as_ref().map(|labels| &labels.name);
        let free = self.mixable.iter().filter(|name| !found.keys.contains_key(*name) && labels != Some(name));
        let column = |name: &String| {
            let root = schema.position(name).ok().flatten()?;
            keys::key_kind(&schema.column(root).data_type).map(|_| (name.clone(), root))
        };
        free.filter_map(column).collect()
    }

    fn label_column(&self, labels: &ColumnChoice, schema: &Schema<'_>) -> Result<usize> {
        let root = present(schema, &labels.name)?;
        if schema.label_kind(root).ok() != Some(self.label_kind) {
            return Err(Error::data("files differ in the type of their labels")
                .with("column", escaped(&labels.name))
                .with("expected", &labels.kind)
                .with("found", schema.kind(root)));
        }
        Ok(root)
    }

    /// Columns that repeat a key of the path which the request uses, unless statistics show already that they agree.
    fn twins(&self, schema: &Schema<'_>, container: &dyn Container, found: &Found) -> Result<Vec<Twin>> {
        let mut twins = Vec::new();
        let asked = self.group_by.iter().chain(self.filters.iter().map(|filter| &filter.name));
        for name in asked.collect::<BTreeSet<_>>() {
            let Some(value) = found.keys.get(name) else { continue };
            if let Some(twin) = Twin::find(name, value, schema)?
                && !twin.is_settled(container)?
            {
                twins.push(twin);
            }
        }
        Ok(twins)
    }

    /// Where a file has the value of a key: in its path or in a column.
    fn key(&mut self, name: &str, schema: &Schema<'_>, found: &Found) -> Result<KeyOrigin> {
        let (origin, kind) = if let Some(value) = found.keys.get(name) {
            let label = self.hive.label(name, value).ok_or_else(|| {
                let name = escaped(name);
                Error::data("null in a group key, by the file's path")
                    .with("key", &name)
                    .help(format!("leave such files out: --where {name}=VALUE for each value that is wanted"))
            })?;
            let kind = label.kind();
            (KeyOrigin::Path(label), kind)
        } else {
            let Some(root) = schema.position(name)? else { return Err(self.no_key(name, schema)) };
            let kind = &schema.column(root).data_type;
            let kind = keys::key_kind(kind).ok_or_else(|| not_a_key(name, kind))?;
            (KeyOrigin::Column(root), kind)
        };
        let known = *self.key_kinds.entry(name.to_owned()).or_insert(kind);
        if known != kind {
            return Err(Error::data("files differ in the type of a key")
                .with("key", escaped(name))
                .with("expected", known)
                .with("found", kind));
        }
        Ok(origin)
    }
}

impl Planner {
    /// The keys of paths whose values are texts.
    pub(super) fn text_keys(&self) -> BTreeSet<String> {
        self.hive.texts()
    }

    fn no_key(&self, name: &str, schema: &Schema<'_>) -> Error {
        let (keys, scalars) = (self.hive.names().collect::<Vec<_>>(), schema.scalars());
        if keys.contains(&name) {
            return Error::usage("a file has no such key in its path, and others have")
                .with("key", escaped(name))
                .with("columns", schema::list(&scalars))
                .help("give the paths of all files the key, or name those that have it");
        }
        let near = did_you_mean(name, keys.iter().chain(&scalars).copied()).map(|near| escaped(&near));
        let error = Error::usage("there is no such key or column")
            .with("key", escaped(name))
            .with("hive keys", schema::list(&keys))
            .with("columns", schema::list(&scalars));
        error.help(near.unwrap_or_else(|| {
            let name = escaped(name);
            format!("a key is a column, a directory called {name}=VALUE, or what {{{name}}} stands for in INPUT")
        }))
    }
}

/// The type that is given for a column: that which is named, or else that which is chosen.
fn dtypes(request: &Request, container: &dyn Container) -> Result<Vec<(String, Dtype)>> {
    let Some(dtype) = request.dtype else { return Ok(Vec::new()) };
    let name = if let Some(name) = &request.features {
        name.clone()
    } else {
        let schema = Schema::new(container.columns(), &[]);
        schema.column(schema.choose_features(request)?.0).name.clone()
    };
    Ok(vec![(name, dtype)])
}

/// The value of a key in all rows of a unit, if the path or statistics say it.
fn known_value(origin: &KeyOrigin, container: &dyn Container, unit: usize) -> Option<Label> {
    match origin {
        KeyOrigin::Path(label) => Some(label.clone()),
        KeyOrigin::Column(root) => container.constant(unit, *root),
    }
}

/// Whether only rows say what a column by which nobody groups has in each group: statistics do not, or not by group.
fn is_watched(name: &str, root: usize, columns: &FileColumns, container: &dyn Container) -> bool {
    let is_known = |unit: usize| {
        let is_one_group = columns.keys.iter().all(|key| known_value(key, container, unit).is_some());
        is_one_group && container.range(unit, root).is_some()
    };
    let mut units = (0..container.units()).filter(|&unit| container.rows(unit) > 0);
    // Nobody has asked for this column: one that cannot be read is left alone.
    KEY_COLUMNS.contains(&name) && !units.all(is_known) && container.check_readable(&[root]).is_ok()
}

pub(super) fn present(schema: &Schema<'_>, name: &str) -> Result<usize> {
    schema.position(name)?.ok_or_else(|| {
        Error::data("a file lacks a column that others have")
            .with("column", escaped(name))
            .with("columns", schema::list(&schema.names()))
            .help(
                "if it is a head, or another table, it does not belong to INPUT: name the files of features, quote a pattern that \
                 matches them alone, as 'DIR/*.npy', or move it elsewhere",
            )
    })
}

fn not_a_key(name: &str, kind: &DataType) -> Error {
    Error::usage("groups and filters take columns of integers, strings or booleans")
        .with("column", escaped(name))
        .with("type", escaped(&kind.to_string()))
}
