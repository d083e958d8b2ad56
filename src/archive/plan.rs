//! Making the plan: which files, which columns, which units.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock};

use arrow::datatypes::DataType;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;
use rayon::prelude::*;

use super::chunk::Rules;
use super::discover::{Discovered, Found, discover, explained};
use super::duplicates::refuse_duplicates;
use super::file::{self, FOOTER_GROWTH, Footer, Footers, Pinned, Stamp};
use super::keys::{self, Filter, Hive, Twin};
use super::pooling::{KEY_COLUMNS, Ranges};
use super::schema::{self, Columns, Dtype, Origin, Schema, VectorType};
use super::source::Source;
use super::{Archive, Column, File, Key, Passed, Planned, Policy, Request, Unit, escaped, is_damage};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

/// A file whose footer has been read.
pub(super) type Opened = (Found, Stamp, Footer);

pub(super) fn open(inputs: &[String], request: &Request) -> Result<Archive> {
    if inputs.is_empty() {
        return Err(Error::usage("no input"));
    }
    let Discovered { files: found, passed, warnings } = discover(inputs)?;
    let hive = Hive::of(&found);
    let mut filters = Filter::all(&request.filters);
    let found = select(found, &hive, &mut filters)?;
    let mut bad_files = Vec::new();
    let mut bad_names = Vec::new();
    let mut making = Making::new(&found, hive, filters, request)?;
    open_each(found, request.memory, |found, outcome| {
        let name = found.name.clone();
        if let Some(opened) = good(found, outcome, request.bad_files, &mut bad_files)? {
            return making.add(opened);
        }
        bad_names.push(name);
        Ok(())
    })?;
    bad_names.sort();
    making.archive(Seen { bad_names, bad_files, passed, warnings })
}

/// What was seen beside the files that are read.
#[derive(Default)]
struct Seen {
    bad_names: Vec<String>,
    bad_files: Vec<(String, String)>,
    passed: Vec<Passed>,
    warnings: Vec<String>,
}

/// Whether a file has a row; without one it need not agree with others in anything.
pub(super) fn has_rows(footer: &Footer) -> bool {
    footer.parquet().file_metadata().num_rows() > 0
}

/// What is said of a file without a row.
pub(super) fn passed_without_rows(found: Found) -> Passed {
    Passed { file: found.shown, reason: "without rows".to_owned(), ..Passed::default() }
}

/// Takes files without a row out of the keys, where they would have a say in which keys there are, or in what kind of
/// values they have. These few footers are read once more than others.
fn forget_empty(found: &[Found], hive: &mut Hive, memory: Option<u64>) -> Result<()> {
    let contested = found.iter().filter(|file| hive.is_contested(file)).cloned().collect();
    open_each(contested, memory, |found, outcome| {
        // What is wrong with a file is told when its turn comes.
        if outcome.is_ok_and(|(_, footer)| !has_rows(&footer)) {
            hive.forget(&found);
        }
        Ok(())
    })
}

/// Opens the files of a plan, and no others.
pub(super) fn reopen(planned: &[Planned], request: &Request) -> Result<Archive> {
    let found = |file: &Planned| Found {
        path: file.path.clone(),
        canonical: file.path.clone(),
        shown: file.shown.clone(),
        name: file.name.clone(),
        keys: file.keys.clone(),
    };
    let found: Vec<Found> = planned.iter().map(found).collect();
    let hive = Hive::of(&found);
    let mut filters = Filter::all(&request.filters);
    let found = select(found, &hive, &mut filters)?;
    let changed = |error: Error| match error.kind() {
        ErrorKind::Io | ErrorKind::Resource => error,
        ErrorKind::Missing => Error::data(file::CHANGED).with("detail", "it is gone"),
        _ => Error::data(file::CHANGED).with("detail", "its footer"),
    };
    let mut making = Making::new(&found, hive, filters, request)?;
    let mut planned = planned.iter();
    open_each(found, request.memory, |found, outcome| {
        let place = |error: Error| error.with("file", &found.shown);
        let (stamp, footer) = outcome.map_err(changed).map_err(place)?;
        let planned = planned.next().ok_or_else(|| Error::internal("there are more files than were planned"))?;
        let what = if (stamp.size, stamp.modified) != (planned.size, planned.modified) {
            "size or time of writing"
        } else if footer.hash != planned.footer_hash {
            "its footer"
        } else {
            return making.add((found, stamp, footer));
        };
        Err(place(Error::data(file::CHANGED).with("detail", what)))
    })?;
    making.archive(Seen::default())
}

/// An archive in the making: files come one after the other, and their footers go.
struct Making<'a> {
    request: &'a Request,
    /// Hive keys and filters until there is a planner.
    begun: Option<(Hive, Vec<Filter>)>,
    planner: Option<Planner>,
    plan: Plan,
    /// Files without a row.
    empty: Vec<Passed>,
}

impl<'a> Making<'a> {
    fn new(found: &[Found], mut hive: Hive, filters: Vec<Filter>, request: &'a Request) -> Result<Self> {
        forget_empty(found, &mut hive, request.memory)?;
        let begun = Some((hive, filters));
        Ok(Self { request, begun, planner: None, plan: Plan::default(), empty: Vec::new() })
    }

    fn add(&mut self, (found, stamp, footer): Opened) -> Result<()> {
        if !has_rows(&footer) {
            self.empty.push(passed_without_rows(found));
            return Ok(());
        }
        if let Some((hive, filters)) = self.begun.take() {
            let planner = Planner::new(self.request, hive, filters, &footer);
            self.planner = Some(planner.map_err(|error| error.with("file", &found.shown))?);
        }
        let planner = self.planner.as_mut().ok_or_else(|| Error::internal("there is no plan to add to"))?;
        let added = planner.add(found, stamp, &footer, &mut self.plan);
        added.map_err(|(shown, error)| error.with_default("file", shown))
    }

    /// Settles what is read.
    fn archive(self, seen: Seen) -> Result<Archive> {
        let Self { request, planner, plan: Plan { files, units, starts, ranges }, empty, .. } = self;
        let Seen { bad_names, bad_files, mut passed, warnings } = seen;
        let Some(planner) = planner else {
            return Err(match empty.first() {
                None => Error::missing("no file can be read").with("bad files", bad_files.len()),
                Some(file) => {
                    let error = Error::missing("no rows").with("file", &file.file);
                    if empty.len() > 1 { error.with("files without rows", empty.len()) } else { error }
                }
            });
        };
        passed.extend(empty);
        if units.is_empty() {
            return Err(Error::missing(if request.filters.is_empty() {
                "no rows"
            } else {
                "no row matches the filters"
            }));
        }
        if !request.allow_duplicates {
            refuse_duplicates_in_groups(&files)?;
        }
        let ignored = match &request.ignore_label {
            Some(text) if request.any_labels => planner.label_kind.parse(text),
            Some(text) => {
                Some(keys::parse(planner.label_kind, text).map_err(|error| error.with("flag", "--ignore-label"))?)
            }
            None => None,
        };
        Ok(Archive {
            dims: files.iter().map(|_| OnceLock::new()).collect(),
            footers: Footers::default(),
            spare: Mutex::default(),
            files,
            units,
            starts,
            element: planner.vectors.element(),
            rules: Rules {
                features: escaped(&planner.features.name),
                labels: planner.labels.as_ref().map_or_else(String::new, |labels| escaped(&labels.name)),
                nulls: request.nulls,
                nonfinite: request.nonfinite,
                ignored,
                any_labels: request.any_labels,
            },
            features: planner.features,
            labels: planner.labels,
            label_kind: planner.label_kind,
            group_by: planner.group_by,
            filters: planner.filters,
            bad_files,
            bad_names,
            passed,
            ranges,
            warnings,
        })
    }
}

/// The same content in two groups, as a frozen layer at two epochs is, counts in both of them; in one it counts twice.
fn refuse_duplicates_in_groups(files: &[File]) -> Result<()> {
    let mut groups: BTreeMap<Vec<Option<&Label>>, Vec<Pinned<'_>>> = BTreeMap::new();
    for file in files {
        // Equal content has equal columns: only paths part it into groups.
        groups.entry(file.columns.keys.iter().map(Origin::in_path).collect()).or_default().push(file.pinned());
    }
    let refused = groups.into_values().try_for_each(|files| refuse_duplicates(files.into_iter()));
    refused.map_err(|error| {
        let file = |fact: &str| files.iter().find(|file| error.fact(fact) == Some(&file.shown));
        let parting = file("file").zip(file("same as")).and_then(|(one, other)| {
            let differs = |(key, value): &(&String, &String)| other.keys.get(*key).is_some_and(|other| other != *value);
            one.keys.iter().find(differs).map(|(key, _)| escaped(key))
        });
        match parting {
            Some(key) => error
                .help(format!("--group-by {key} makes two groups of them; else leave one out, or --allow-duplicates")),
            None => error,
        }
    })
}

/// Drops the files whose hive keys no filter lets through.
fn select(found: Vec<Found>, hive: &Hive, filters: &mut [Filter]) -> Result<Vec<Found>> {
    for filter in filters.iter_mut() {
        if let Some(kind) = hive.kind(&filter.name) {
            filter.resolve(kind)?;
        }
    }
    // Files without a row have no say in what kind of values a key has, and which they are is not known yet.
    let passes = |file: &Found| {
        filters.iter().all(|filter| file.keys.get(&filter.name).is_none_or(|value| filter.may_accept(value)))
    };
    let (kept, dropped): (Vec<Found>, Vec<Found>) = found.into_iter().partition(passes);
    if kept.is_empty() {
        let mut error = Error::missing("no file matches the filters");
        for filter in filters.iter() {
            let values: BTreeSet<Label> =
                dropped.iter().filter_map(|file| hive.label(&filter.name, file.keys.get(&filter.name)?)).collect();
            let values: Vec<String> = values.iter().map(Label::to_string).collect();
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            error = error.with("key", escaped(&filter.name)).with("values", schema::list(&values));
        }
        return Err(error);
    }
    Ok(kept)
}

/// Files that are open at once.
const FILES_AT_ONCE: usize = 128;

/// Reads all footers, many at a time, and hands them over in order; those in hand together take no more than `memory`
/// bytes.
fn open_each(
    found: Vec<Found>,
    memory: Option<u64>,
    mut each: impl FnMut(Found, Result<(Stamp, Footer)>) -> Result<()>,
) -> Result<()> {
    let mut found = found.into_iter();
    loop {
        let batch: Vec<Found> = found.by_ref().take(FILES_AT_ONCE).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let open = |found: Found| {
            let opened = file::open(&found.path).and_then(|(source, stamp)| {
                let bytes = file::footer_length(&source, stamp.size)?.saturating_mul(FOOTER_GROWTH);
                let fits = memory.is_none_or(|memory| bytes <= memory);
                if fits { Ok((source, stamp, bytes)) } else { Err(too_large(bytes, memory)) }
            });
            (found, opened)
        };
        let mut rest: VecDeque<_> = batch.into_par_iter().map(open).collect::<Vec<_>>().into();
        while !rest.is_empty() {
            let mut taken = 0_u64;
            let fit = rest.iter().take_while(|(_, opened)| {
                taken = taken.saturating_add(opened.as_ref().map_or(0, |(_, _, bytes)| *bytes));
                memory.is_none_or(|memory| taken <= memory)
            });
            let fit = fit.count();
            let read = |(found, opened): (Found, Result<(Source, Stamp, u64)>)| {
                let read = opened.and_then(|(source, stamp, _)| Ok((stamp, file::footer(&source, stamp.size)?)));
                (found, read)
            };
            let outcomes: Vec<_> = rest.drain(..fit).collect::<Vec<_>>().into_par_iter().map(read).collect();
            outcomes.into_iter().try_for_each(|(found, outcome)| each(found, outcome))?;
        }
    }
}

fn too_large(bytes: u64, memory: Option<u64>) -> Error {
    Error::resource("the footer of a file needs more memory than the run may use")
        .with("needed", format!("{bytes} bytes"))
        .with("allowed", format!("{} bytes", memory.unwrap_or(u64::MAX)))
        .help(format!("--memory {}MiB", bytes.div_ceil(1 << 20)))
}

/// A file that could be opened; `None`, and a note, for one that is damaged and may be.
fn good(
    found: Found,
    outcome: Result<(Stamp, Footer)>,
    policy: Policy,
    bad_files: &mut Vec<(String, String)>,
) -> Result<Option<Opened>> {
    let explain = |error| if is_damage(&error) { explained(error, &found.path, &found.shown) } else { error };
    match outcome.map_err(explain) {
        Ok((stamp, footer)) => Ok(Some((found, stamp, footer))),
        Err(error) if policy == Policy::Skip && is_damage(&error) => {
            let reason = error.fact("detail").unwrap_or(error.message()).to_owned();
            bad_files.push((found.shown, reason));
            Ok(None)
        }
        Err(error) => {
            // What a file is that is no Parquet comes with what to do about it.
            let damage = is_damage(&error) && error.advice().is_none();
            let error = error.with("file", found.shown);
            Err(if damage { error.help("--on-bad-file skip leaves such files out and lists them") } else { error })
        }
    }
}

/// Reads all footers of files that must all be sound.
pub(super) fn open_all(found: Vec<Found>) -> Result<Vec<Opened>> {
    let mut opened = Vec::with_capacity(found.len());
    open_each(found, None, |found, outcome| {
        opened.extend(good(found, outcome, Policy::Fail, &mut Vec::new())?);
        Ok(())
    })?;
    Ok(opened)
}

#[derive(Default)]
struct Plan {
    files: Vec<File>,
    units: Vec<Unit>,
    starts: Vec<u64>,
    ranges: Ranges,
}

/// What all files share, and what it asks of each.
struct Planner {
    hive: Hive,
    /// The `group_by` keys that there are.
    group_by: Vec<String>,
    filters: Vec<Filter>,
    features: Column,
    vectors: VectorType,
    dtypes: Vec<(String, Dtype)>,
    labels: Option<Column>,
    label_kind: LabelKind,
    any_labels: bool,
    /// Columns that may be keys though nobody has asked for them.
    mixable: Vec<String>,
    key_kinds: BTreeMap<String, LabelKind>,
}

impl Planner {
    /// The first file decides.
    fn new(request: &Request, hive: Hive, filters: Vec<Filter>, footer: &Footer) -> Result<Self> {
        let dtypes: Vec<(String, Dtype)> = request.features.clone().zip(request.dtype).into_iter().collect();
        let schema = Schema::new(footer, &dtypes);
        let column = |(root, why)| Column { name: schema.field(root).name().clone(), kind: schema.kind(root), why };
        let features = schema.choose_features(request)?;
        let labels = schema.choose_labels(request)?;
        let vectors = schema.vectors(features.0).ok_or_else(|| Error::internal("the features are no vectors"))?;
        let label_kind = labels.map_or(Ok(LabelKind::Int), |(root, _)| schema.label_kind(root))?;
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
            dtypes,
            labels,
            label_kind,
            any_labels,
            mixable,
            key_kinds,
        })
    }

    fn add(&mut self, found: Found, stamp: Stamp, footer: &Footer, plan: &mut Plan) -> Result<(), (String, Error)> {
        let dtypes = self.dtypes.clone();
        let schema = Schema::new(footer, &dtypes);
        let metadata = footer.parquet();
        let columns = self.columns(&schema, metadata, &found).map_err(|error| (found.shown.clone(), error))?;
        let scalars = columns.scalars();
        let read: Vec<usize> = scalars.iter().copied().chain([columns.features]).collect();
        let read = schema::leaves(metadata, &read);
        readable(metadata, &read).map_err(|error| (found.shown.clone(), error))?;
        let mixable = self.mixable(&schema, &found);
        let is_text = |&leaf: &usize| {
            metadata.file_metadata().schema_descr().column(leaf).physical_type() == parquet::basic::Type::BYTE_ARRAY
        };
        let texts: Vec<usize> = schema::leaves(metadata, &scalars).into_iter().filter(is_text).collect();
        let mut rows = 0;
        for (row_group, group) in metadata.row_groups().iter().enumerate() {
            let first = rows;
            // The footer's counts were checked when it was read.
            let here = group.num_rows() as u64;
            rows += here;
            let unpacked = |&leaf: &usize| u64::try_from(group.column(leaf).uncompressed_size()).unwrap_or(0);
            let value = |origin: &Origin| match origin {
                Origin::Path(label) => Some(label.clone()),
                Origin::Column(root) => {
                    let leaf = schema::leaves(metadata, &[*root]).first().copied()?;
                    keys::constant(group, leaf, schema.field(*root).data_type())
                }
            };
            let may_pass =
                |(origin, filter): (&Origin, &Filter)| value(origin).is_none_or(|value| filter.accepts(&value));
            if here == 0 || !columns.filters.iter().zip(&self.filters).all(may_pass) {
                continue;
            }
            let key = columns.keys.iter().map(value).collect::<Option<Key>>();
            for (name, root) in &mixable {
                let leaf = schema::leaves(metadata, &[*root]).first().copied();
                let Some((key, leaf)) = key.as_ref().zip(leaf) else { continue };
                if let Some(range) = keys::range(group, leaf, schema.field(*root).data_type()) {
                    let known = plan.ranges.entry(name.clone()).or_default();
                    let (least, greatest) = known.entry(key.clone()).or_insert_with(|| range.clone());
                    *least = range.0.min(least.clone());
                    *greatest = range.1.max(greatest.clone());
                }
            }
            let bytes = |&leaf: &usize| u64::try_from(group.column(leaf).compressed_size()).unwrap_or(0);
            plan.units.push(Unit {
                file: plan.files.len(),
                row_group,
                rows: here,
                bytes: read.iter().map(bytes).fold(0, u64::saturating_add),
                key,
                text_bytes: texts.iter().map(unpacked).fold(0, u64::saturating_add),
            });
            plan.starts.push(first);
        }
        plan.files.push(File {
            path: found.path,
            shown: found.shown,
            name: found.name,
            size: stamp.size,
            modified: stamp.modified,
            footer_hash: footer.hash,
            footer_bytes: footer.bytes,
            dim: schema.dim(columns.features),
            keys: found.keys,
            stamp,
            columns,
        });
        Ok(())
    }

    fn columns(&mut self, schema: &Schema<'_>, metadata: &ParquetMetaData, found: &Found) -> Result<Columns> {
        let features = present(schema, &self.features.name)?;
        let vectors = schema.vectors(features);
        let vectors = vectors.filter(|vectors| vectors.element() == self.vectors.element()).ok_or_else(|| {
            Error::data("files differ in the type of their features")
                .with("column", escaped(&self.features.name))
                .with("expected", &self.features.kind)
                .with("found", schema.kind(features))
        })?;
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
        let filters: Vec<Origin> = names.iter().map(|name| self.key(name, schema, found)).collect::<Result<_>>()?;
        for filter in &mut self.filters {
            filter.resolve(self.key_kinds[&filter.name])?;
        }
        let twins = self.twins(schema, metadata, found)?;
        Ok(Columns { features, vectors, labels, keys, filters, twins })
    }

    /// Columns with the names of keys that nobody has asked for.
    fn mixable(&self, schema: &Schema<'_>, found: &Found) -> Vec<(String, usize)> {
        let labels = self.labels.as_ref().map(|labels| &labels.name);
        let free = self.mixable.iter().filter(|name| !found.keys.contains_key(*name) && labels != Some(name));
        let column = |name: &String| {
            let root = schema.position(name).ok().flatten()?;
            keys::key_kind(schema.field(root).data_type()).map(|_| (name.clone(), root))
        };
        free.filter_map(column).collect()
    }

    fn label_column(&self, labels: &Column, schema: &Schema<'_>) -> Result<usize> {
        let root = present(schema, &labels.name)?;
        if schema.label_kind(root).ok() != Some(self.label_kind) {
            return Err(Error::data("files differ in the type of their labels")
                .with("column", escaped(&labels.name))
                .with("expected", &labels.kind)
                .with("found", schema.kind(root)));
        }
        Ok(root)
    }

    /// Columns with the names of keys that are asked for and stand in the path, as far as they must be read to be compared.
    fn twins(&self, schema: &Schema<'_>, metadata: &ParquetMetaData, found: &Found) -> Result<Vec<Twin>> {
        let mut twins = Vec::new();
        let asked = self.group_by.iter().chain(self.filters.iter().map(|filter| &filter.name));
        for name in asked.collect::<BTreeSet<_>>() {
            let Some(value) = found.keys.get(name) else { continue };
            if let Some(twin) = Twin::find(name, value, schema)?
                && !twin.is_settled(metadata, schema)?
            {
                twins.push(twin);
            }
        }
        Ok(twins)
    }

    /// Where a file has the value of a key: in its path, or else in a column.
    fn key(&mut self, name: &str, schema: &Schema<'_>, found: &Found) -> Result<Origin> {
        let (origin, kind) = if let Some(value) = found.keys.get(name) {
            let label = self.hive.label(name, value).ok_or_else(|| {
                let name = escaped(name);
                Error::data("null in a group key, by the file's path")
                    .with("key", &name)
                    .help(format!("leave such files out: --where {name}=VALUE for each value that is wanted"))
            })?;
            let kind = label.kind();
            (Origin::Path(label), kind)
        } else {
            let Some(root) = schema.position(name)? else { return Err(self.no_key(name, schema)) };
            let kind = schema.field(root).data_type();
            let kind = keys::key_kind(kind).ok_or_else(|| not_a_key(name, kind))?;
            (Origin::Column(root), kind)
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
    fn no_key(&self, name: &str, schema: &Schema<'_>) -> Error {
        let (keys, scalars) = (self.hive.names().collect::<Vec<_>>(), schema.scalars());
        let near = did_you_mean(name, keys.iter().chain(&scalars).copied()).map(|near| escaped(&near));
        let error = Error::usage("there is no such key or column")
            .with("key", escaped(name))
            .with("hive keys", schema::list(&keys))
            .with("columns", schema::list(&scalars));
        near.into_iter().fold(error, Error::help)
    }
}

/// Refuses a compression that would be taken for damage once pages are read.
pub(super) fn readable(metadata: &ParquetMetaData, leaves: &[usize]) -> Result<()> {
    let columns = metadata.row_groups().iter().flat_map(|group| leaves.iter().map(|&leaf| group.column(leaf)));
    for column in columns {
        let compression = column.compression();
        if matches!(compression, Compression::BROTLI(_) | Compression::LZO) {
            return Err(Error::data("its compression is not supported")
                .with("column", escaped(&column.column_path().string()))
                .with("compression", compression)
                .help("write the file again with zstd, snappy, lz4, gzip or without compression"));
        }
    }
    Ok(())
}

pub(super) fn present(schema: &Schema<'_>, name: &str) -> Result<usize> {
    schema.position(name)?.ok_or_else(|| {
        Error::data("a file lacks a column that others have")
            .with("column", escaped(name))
            .with("columns", schema::list(&schema.names()))
    })
}

fn not_a_key(name: &str, kind: &DataType) -> Error {
    Error::usage("groups and filters take columns of integers, strings or booleans")
        .with("column", escaped(name))
        .with("type", escaped(&kind.to_string()))
}
