//! From inputs to columns and units.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};

use super::{LeftOut, Place, Table, TableColumn, TableFile};
use crate::archive::catalogue::{Catalogue, File, Pinned, VectorColumn, units};
use crate::archive::choose::check_dtypes;
use crate::archive::codes::label_kind;
use crate::archive::container::Container;
use crate::archive::discover::{Discovered, Found, check_labels, discover};
use crate::archive::dtype::{Dtype, ElementType};
use crate::archive::duplicates::{first_duplicate, refuse_duplicates};
use crate::archive::escaped;
use crate::archive::keys::{Filter, Hive, Twin};
use crate::archive::open_files::{OpenedFile, open_all, passed_without_rows};
use crate::archive::passed::passed_over;
use crate::archive::planner::present;
use crate::archive::request::Request;
use crate::archive::schema::{Schema, type_name};
use crate::archive::source::requested_labels;
use crate::archive::wide::is_pattern;
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};

impl Table {
    /// Finds the files and their columns; inputs are those of [`Archive::open`](crate::archive::Archive::open). Columns of
    /// fixed-size binary are vectors if `dtypes` names them with the type of their numbers.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) if there is no file;
    /// [`Data`](crate::error::ErrorKind::Data) for files that are damaged, disagree in their columns, or hold the same
    /// bytes under two names.
    pub fn open(inputs: &[String], dtypes: &[(String, Dtype)]) -> Result<Self> {
        open(inputs, &Asked { dtypes, ..Asked::default() })
    }

    /// The table whose columns `features` and `label` hold the vectors and labels of an archive: the fields of structs are
    /// columns, labels may be in a file of their own, files that the filters leave out are not opened, and other columns than
    /// these that only some files have are left out.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub(crate) fn of_request(
        inputs: &[String],
        request: &Request,
        features: &str,
        label: Option<&str>,
    ) -> Result<Self> {
        let dtypes: Vec<(String, Dtype)> =
            request.dtype.map(|dtype| (features.to_owned(), dtype)).into_iter().collect();
        let labels = requested_labels(request.labels.as_deref())?;
        open(inputs, &Asked { dtypes: &dtypes, features: Some(features), label, labels, filters: &request.filters })
    }
}

/// What is asked for beside the inputs.
#[derive(Default)]
struct Asked<'a> {
    dtypes: &'a [(String, Dtype)],
    /// The column of vectors, if one is asked for.
    features: Option<&'a str>,
    /// The column of labels, if there is one.
    label: Option<&'a str>,
    /// The file of labels.
    labels: Option<PathBuf>,
    filters: &'a [(String, String)],
}

fn open(inputs: &[String], asked: &Asked<'_>) -> Result<Table> {
    if inputs.is_empty() {
        return Err(Error::usage("no input"));
    }
    let Asked { dtypes, features, label, labels, filters } = asked;
    let Discovered { files: mut found, mut passed, mut warnings } = discover(inputs, labels.as_deref())?;
    let filters = Filter::all(filters);
    found.retain(|file| {
        filters.iter().all(|filter| file.keys.get(&filter.name).is_none_or(|value| filter.may_accept(value)))
    });
    check_labels(&found)?;
    for found in &mut found {
        found.source.wide = features.filter(|features| is_pattern(features)).map(str::to_owned);
    }
    let mut hive = Hive::of(&found);
    let opened = open_all(found)?;
    // A table without rows has the columns of its first file.
    let (mut filled, empty): (Vec<_>, Vec<_>) = opened.into_iter().partition(|(_, file)| file.has_rows());
    let mut empty = empty.into_iter();
    if filled.is_empty() {
        filled.extend(empty.next());
    }
    for (found, _) in empty {
        hive.forget(&found);
        passed.push(passed_without_rows(found));
    }
    let opened = filled;
    warnings.extend(passed_over(&passed).map(|text| format!("passed {text}")));
    let mut columns = TableLayout::of(&opened, &hive, dtypes, *features, *label)
        .map_err(|error| error.with_default("file", &opened[0].0.shown))?;
    let (mut entries, mut files, mut constants, mut all) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (found, file) in opened {
        let container = &*file.container;
        let schema = Schema::new(container.columns(), dtypes).asking(*features);
        let (places, twins) = columns
            .places(&schema, container, &found, &hive)
            .map_err(|error| error.with_default("file", &found.shown))?;
        let read: Vec<usize> = places.iter().filter_map(Place::root).collect();
        container.check_readable(&read).map_err(|error| error.with_default("file", &found.shown))?;
        for mut unit in units(container, files.len(), &read) {
            let known = |(column, place): (usize, &Place)| {
                let value = match place {
                    Place::Key(label) => label.clone(),
                    Place::Vectors(_) => None,
                    Place::Root(root) => container.constant(unit.row_group, *root),
                };
                value.map(|value| (column, value))
            };
            constants.push(places.iter().enumerate().filter_map(known).collect());
            // There are no group keys: queries group the rows.
            unit.key = Some(Vec::new());
            all.push(unit);
        }
        entries.push(File::new(found, &file));
        files.push(TableFile { places, twins });
    }
    refuse_duplicates_of_keys(&entries, &files)?;
    // Whether a query parts them by their keys is not known yet.
    if let Some((one, other)) = first_duplicate(entries.iter().map(File::pinned))? {
        warnings.push(format!(
            "{} and {} hold the same content under different keys: a query that does not part these counts it twice",
            one.shown, other.shown
        ));
    }
    let left_out = std::mem::take(&mut columns.left_out);
    let columns = columns.table_columns(&files);
    let (inputs, dtypes) = (inputs.to_vec(), dtypes.to_vec());
    Ok(Table {
        catalogue: Catalogue::new(entries),
        files,
        units: all,
        constants,
        columns,
        left_out,
        warnings,
        inputs,
        dtypes,
    })
}

/// Refuses equal files, unless their keys differ: then their rows differ too.
fn refuse_duplicates_of_keys(entries: &[File], files: &[TableFile]) -> Result<()> {
    let mut keyed: BTreeMap<Vec<Option<&Label>>, Vec<Pinned<'_>>> = BTreeMap::new();
    for (entry, file) in entries.iter().zip(files) {
        let mut key = Vec::new();
        for place in &file.places {
            if let Place::Key(label) = place {
                key.push(label.as_ref());
            }
        }
        keyed.entry(key).or_default().push(entry.pinned());
    }
    keyed.into_values().try_for_each(|files| refuse_duplicates(files.into_iter()))
}

/// Why a column is left out.
pub(super) const SOME_FILES: &str = "only in some files";

/// The columns of the first file, which all others must have too.
struct TableLayout {
    files: Vec<FileColumn>,
    left_out: Vec<LeftOut>,
    /// Hive keys and the kind of their values.
    keys: Vec<(String, LabelKind)>,
}

struct FileColumn {
    name: String,
    kind: ColumnKind,
    /// Whether its numbers are decimals in texts, in every file.
    is_decimal: bool,
}

#[derive(PartialEq)]
enum ColumnKind {
    Vectors(ElementType),
    Other(DataType),
}

impl ColumnKind {
    fn of(schema: &Schema<'_>, root: usize) -> Self {
        match schema.vectors(root) {
            Some(vectors) => Self::Vectors(vectors.element()),
            None => Self::Other(schema.column(root).data_type.clone()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Vectors(element) => format!("vectors of {}", element.name()),
            Self::Other(kind) => type_name(kind),
        }
    }

    /// The type that holds the values of both; `None` if no type does.
    fn with(self, other: Self, are_labels: bool, are_decimals: bool) -> Option<Self> {
        match (self, other) {
            (Self::Other(one), Self::Other(other)) => {
                let common = common_type(&one, &other, are_labels);
                // A decimal without a fraction is a number as any other, and one that an f64 does not hold is refused later.
                let of_decimals = (are_decimals && is_number(&one) && is_number(&other)).then_some(DataType::Float64);
                common.or(of_decimals).map(Self::Other)
            }
            (one, other) => (one == other).then_some(one),
        }
    }
}

fn is_number(kind: &DataType) -> bool {
    kind.is_integer() || kind.is_floating()
}

/// The type that holds the numbers of both types. Floats that are labels hold integers, and are read as that.
fn common_type(one: &DataType, other: &DataType, are_labels: bool) -> Option<DataType> {
    if one == other {
        return Some(one.clone());
    }
    let width = |kind: &DataType| kind.primitive_width().unwrap_or(0);
    if !is_number(one) || !is_number(other) {
        return None;
    }
    let wider = if width(one) >= width(other) { one } else { other };
    match (one.is_integer(), other.is_integer()) {
        (true, true) if one.is_signed_integer() == other.is_signed_integer() => Some(wider.clone()),
        (true, true) => Some(DataType::Int64),
        (false, false) => Some(wider.clone()),
        _ if are_labels => Some(DataType::Int64),
        _ => {
            let integer = if one.is_integer() { one } else { other };
            (width(integer) < 8).then_some(DataType::Float64)
        }
    }
}

impl TableLayout {
    fn of(
        opened: &[(Found, OpenedFile)],
        hive: &Hive,
        dtypes: &[(String, Dtype)],
        features: Option<&str>,
        label: Option<&str>,
    ) -> Result<Self> {
        let (first, file) = &opened[0];
        let schema = Schema::new(file.container.columns(), dtypes).asking(features);
        check_dtypes(&schema, dtypes)?;
        let mut files = Vec::new();
        let mut keys: BTreeMap<&str, LabelKind> = BTreeMap::new();
        for name in hive.names() {
            if !first.keys.contains_key(name) {
                let other = opened.iter().map(|(found, _)| found).find(|found| found.keys.contains_key(name));
                return Err(Error::data("files differ in the hive keys of their paths")
                    .with("key", escaped(name))
                    .with("file", &first.shown)
                    .with("other file", other.map_or("", |found| &found.shown)));
            }
            keys.insert(name, hive.kind(name).unwrap_or(LabelKind::Text));
        }
        // A query takes the fields of a struct from the struct.
        for name in schema.names_of(|schema, root| features.is_some() || !schema.column(root).is_field) {
            let root = schema.position(name)?;
            // A column that repeats a key is checked against the path and left out.
            if let Some(root) = root.filter(|_| !keys.contains_key(name)) {
                let is_decimal = schema.column(root).is_decimal;
                files.push(FileColumn { name: name.to_owned(), kind: ColumnKind::of(&schema, root), is_decimal });
            }
        }
        let mut left_out: Vec<LeftOut> = Vec::new();
        let mut leave_out = |name: &str, why: &str| {
            if left_out.iter().all(|known| known.name != name) {
                left_out.push(LeftOut { name: name.to_owned(), why: why.to_owned() });
            }
        };
        for (found, file) in opened {
            let container = &*file.container;
            let other = Schema::new(container.columns(), dtypes).asking(features);
            container.unread().iter().for_each(|unread| leave_out(&unread.name, &unread.kind));
            let of_first: BTreeSet<&str> = schema.names().into_iter().collect();
            let only_here = |name: &&str| !of_first.contains(name) && !keys.contains_key(name);
            other.names().into_iter().filter(only_here).for_each(|name| leave_out(name, SOME_FILES));
            let mut kept = Vec::with_capacity(files.len());
            for FileColumn { name, kind, is_decimal } in files {
                let is_asked = features == Some(name.as_str()) || label == Some(name.as_str());
                if features.is_some() && !is_asked && other.position(&name)?.is_none() {
                    leave_out(&name, SOME_FILES);
                    continue;
                }
                let place = |error: Error| error.with_default("file", &found.shown);
                let root = present(&other, &name).map_err(place)?;
                let shown = kind.shown();
                let is_decimal = is_decimal && other.column(root).is_decimal;
                match kind.with(ColumnKind::of(&other, root), label == Some(name.as_str()), is_decimal) {
                    Some(kind) => kept.push(FileColumn { name, kind, is_decimal }),
                    None if features.is_some() && !is_asked => leave_out(&name, "of another type in some files"),
                    None => {
                        return Err(place(
                            Error::data("files differ in the type of a column")
                                .with("column", escaped(&name))
                                .with("expected", shown)
                                .with("found", other.kind(root)),
                        ));
                    }
                }
            }
            files = kept;
        }
        Ok(Self { files, left_out, keys: keys.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect() })
    }

    fn places(
        &self,
        schema: &Schema<'_>,
        container: &dyn Container,
        found: &Found,
        hive: &Hive,
    ) -> Result<(Vec<Place>, Vec<Twin>)> {
        let mut twins = Vec::new();
        for (key, value) in &found.keys {
            if let Some(twin) = Twin::find(key, value, schema)?
                && !twin.is_settled(container)?
            {
                twins.push(twin);
            }
        }
        let in_file = self.files.iter().map(|column| {
            let root = present(schema, &column.name)?;
            Ok(match schema.vectors(root) {
                Some(kind) => Place::Vectors(VectorColumn::of(schema, root, kind)),
                None => Place::Root(root),
            })
        });
        let in_path = self.keys.iter().map(|(key, _)| match found.keys.get(key) {
            Some(value) => Ok(Place::Key(hive.label(key, value))),
            None => Err(Error::data("files differ in the hive keys of their paths").with("key", escaped(key))),
        });
        Ok((in_file.chain(in_path).collect::<Result<_>>()?, twins))
    }

    fn table_columns(self, files: &[TableFile]) -> Vec<TableColumn> {
        let in_files = self.files.into_iter().enumerate().map(|(at, column)| {
            let FileColumn { name, kind, .. } = column;
            match kind {
                ColumnKind::Vectors(element) => {
                    let item = Arc::new(Field::new_list_field(element.data_type(), true));
                    let dim = |file: &TableFile| match &file.places[at] {
                        Place::Vectors(vectors) => vectors.dim.and_then(|dim| i32::try_from(dim).ok()),
                        _ => None,
                    };
                    let first = dim(&files[0]);
                    let data_type = match first.filter(|_| files.iter().all(|file| dim(file) == first)) {
                        Some(dim) => DataType::FixedSizeList(item, dim),
                        None => DataType::LargeList(item),
                    };
                    TableColumn { name, data_type, is_vector: true, is_label: false }
                }
                ColumnKind::Other(data_type) => {
                    let is_label = label_kind(&data_type).is_some();
                    TableColumn { name, data_type, is_vector: false, is_label }
                }
            }
        });
        let in_paths = self.keys.into_iter().map(|(name, kind)| TableColumn {
            name,
            data_type: if kind == LabelKind::Int { DataType::Int64 } else { DataType::Utf8 },
            is_vector: false,
            is_label: true,
        });
        in_files.chain(in_paths).collect()
    }
}

impl Place {
    pub(super) fn root(&self) -> Option<usize> {
        match self {
            Self::Key(_) => None,
            Self::Vectors(vectors) => Some(vectors.root),
            Self::Root(root) => Some(*root),
        }
    }
}
