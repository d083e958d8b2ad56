//! Making the plan: which files, which columns, which units.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, OnceLock};

use arrow::datatypes::DataType;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;
use rayon::prelude::*;

use super::chunk::Rules;
use super::discover::{Found, discover};
use super::duplicates::refuse_duplicates;
use super::file::{self, FOOTER_GROWTH, Footer, Footers, Stamp};
use super::keys::{self, Filter, Hive};
use super::schema::{self, Columns, Origin, Schema, VectorType};
use super::source::Source;
use super::{Archive, Column, File, Key, Planned, Policy, Request, Unit, escaped, is_damage};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, ErrorKind, Result};

/// A file whose footer has been read.
pub(super) type Opened = (Found, Stamp, Footer);

pub(super) fn open(inputs: &[String], request: &Request) -> Result<Archive> {
    if inputs.is_empty() {
        return Err(Error::usage("no input"));
    }
    let (found, again) = discover(inputs)?;
    let hive = Hive::of(&found);
    let mut filters = Filter::all(&request.filters);
    let found = select(found, &hive, &mut filters)?;
    let mut bad_files = Vec::new();
    let mut bad_names = Vec::new();
    let mut making = Making::new(hive, filters, request);
    open_each(found, request.memory, |found, outcome| {
        let name = found.name.clone();
        match good(found, outcome, request.bad_files, &mut bad_files)? {
            Some(opened) => making.add(opened),
            None => {
                bad_names.push(name);
                Ok(())
            }
        }
    })?;
    bad_names.sort();
    making.archive(bad_names, bad_files, warnings(&again))
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
    let mut making = Making::new(hive, filters, request);
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
    making.archive(Vec::new(), Vec::new(), Vec::new())
}

/// An archive in the making: files come one after the other, and their footers go.
struct Making<'a> {
    request: &'a Request,
    /// Hive keys and filters until there is a planner.
    begun: Option<(Hive, Vec<Filter>)>,
    planner: Option<Planner>,
    plan: Plan,
}

impl<'a> Making<'a> {
    fn new(hive: Hive, filters: Vec<Filter>, request: &'a Request) -> Self {
        Self { request, begun: Some((hive, filters)), planner: None, plan: Plan::default() }
    }

    fn add(&mut self, (found, stamp, footer): Opened) -> Result<()> {
        if let Some((hive, filters)) = self.begun.take() {
            let planner = Planner::new(self.request, hive, filters, &footer);
            self.planner = Some(planner.map_err(|error| error.with("file", &found.shown))?);
        }
        let planner = self.planner.as_mut().ok_or_else(|| Error::internal("there is no plan to add to"))?;
        let added = planner.add(found, stamp, &footer, &mut self.plan);
        added.map_err(|(shown, error)| error.with_default("file", shown))
    }

    /// Settles what is read.
    fn archive(
        self,
        bad_names: Vec<String>,
        bad_files: Vec<(String, String)>,
        warnings: Vec<String>,
    ) -> Result<Archive> {
        let Self { request, planner, plan: Plan { files, units, starts }, .. } = self;
        let Some(planner) = planner else {
            return Err(Error::missing("no file can be read").with("bad files", bad_files.len()));
        };
        if units.is_empty() {
            return Err(Error::missing(if request.filters.is_empty() {
                "no rows"
            } else {
                "no row matches the filters"
            }));
        }
        if !request.allow_duplicates {
            refuse_duplicates(files.iter().filter(|file| file.rows > 0).map(File::pinned))?;
        }
        let ignored = request.ignore_label.as_ref();
        let ignored = ignored
            .map(|text| keys::parse(planner.label_kind, text))
            .transpose()
            .map_err(|error| error.with("flag", "--ignore-label"))?;
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
            },
            features: planner.features,
            labels: planner.labels,
            label_kind: planner.label_kind,
            group_by: planner.group_by,
            filters: planner.filters,
            bad_files,
            bad_names,
            warnings,
        })
    }
}

pub(super) fn warnings(again: &[String]) -> Vec<String> {
    let Some(first) = again.first() else { return Vec::new() };
    let more = if again.len() > 1 { format!(" and {} more", again.len() - 1) } else { String::new() };
    vec![format!("files that the inputs name twice are counted once: {first}{more}")]
}

/// Drops the files whose hive keys no filter lets through.
fn select(found: Vec<Found>, hive: &Hive, filters: &mut [Filter]) -> Result<Vec<Found>> {
    for filter in filters.iter_mut() {
        let value = found.iter().find_map(|file| file.keys.get(&filter.name));
        if let Some(value) = value {
            filter.resolve(hive.label(&filter.name, value).kind())?;
        }
    }
    let passes = |file: &Found| {
        filters.iter().all(|filter| {
            file.keys.get(&filter.name).is_none_or(|value| filter.accepts(&hive.label(&filter.name, value)))
        })
    };
    let (kept, dropped): (Vec<Found>, Vec<Found>) = found.into_iter().partition(passes);
    if kept.is_empty() {
        let mut error = Error::missing("no file matches the filters");
        for filter in filters.iter() {
            let values: BTreeSet<Label> = dropped
                .iter()
                .filter_map(|file| file.keys.get(&filter.name).map(|value| hive.label(&filter.name, value)))
                .collect();
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
    match outcome {
        Ok((stamp, footer)) => Ok(Some((found, stamp, footer))),
        Err(error) if policy == Policy::Skip && is_damage(&error) => {
            let reason = error.fact("detail").unwrap_or(error.message()).to_owned();
            bad_files.push((found.shown, reason));
            Ok(None)
        }
        Err(error) => {
            let damage = is_damage(&error);
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
}

/// What all files share, and what it asks of each.
struct Planner {
    hive: Hive,
    /// The `group_by` keys that there are.
    group_by: Vec<String>,
    filters: Vec<Filter>,
    features: Column,
    vectors: VectorType,
    labels: Option<Column>,
    label_kind: LabelKind,
    key_kinds: BTreeMap<String, LabelKind>,
}

impl Planner {
    /// The first file decides.
    fn new(request: &Request, hive: Hive, filters: Vec<Filter>, footer: &Footer) -> Result<Self> {
        let schema = Schema::new(footer);
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
        Ok(Self { hive, group_by, filters, features, vectors, labels, label_kind, key_kinds: BTreeMap::new() })
    }

    fn add(&mut self, found: Found, stamp: Stamp, footer: &Footer, plan: &mut Plan) -> Result<(), (String, Error)> {
        let schema = Schema::new(footer);
        let columns = self.columns(&schema, &found).map_err(|error| (found.shown.clone(), error))?;
        let metadata = footer.parquet();
        let scalars = columns.scalars();
        let read: Vec<usize> = scalars.iter().copied().chain([columns.features]).collect();
        let read = schema::leaves(metadata, &read);
        readable(metadata, &read).map_err(|error| (found.shown.clone(), error))?;
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
            let bytes = |&leaf: &usize| u64::try_from(group.column(leaf).compressed_size()).unwrap_or(0);
            plan.units.push(Unit {
                file: plan.files.len(),
                row_group,
                rows: here,
                bytes: read.iter().map(bytes).fold(0, u64::saturating_add),
                text_bytes: texts.iter().map(unpacked).fold(0, u64::saturating_add),
                key: columns.keys.iter().map(value).collect::<Option<Key>>(),
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
            row_groups: metadata.num_row_groups(),
            rows,
            dim: schema.dim(columns.features),
            keys: found.keys,
            stamp,
            columns,
        });
        Ok(())
    }

    fn columns(&mut self, schema: &Schema<'_>, found: &Found) -> Result<Columns> {
        let features = present(schema, &self.features.name)?;
        let vectors = schema.vectors(features);
        let vectors = vectors.filter(|vectors| vectors.element() == self.vectors.element()).ok_or_else(|| {
            Error::data("files differ in the type of their features")
                .with("column", escaped(&self.features.name))
                .with("expected", &self.features.kind)
                .with("found", schema.kind(features))
        })?;
        let labels = self.labels.as_ref().map(|labels| -> Result<usize> {
            let root = present(schema, &labels.name)?;
            if schema.label_kind(root).ok() != Some(self.label_kind) {
                return Err(Error::data("files differ in the type of their labels")
                    .with("column", escaped(&labels.name))
                    .with("expected", &labels.kind)
                    .with("found", schema.kind(root)));
            }
            Ok(root)
        });
        let labels = labels.transpose()?;
        let names = self.group_by.clone();
        let keys = names.iter().map(|name| self.key(name, schema, found)).collect::<Result<_>>()?;
        let names: Vec<String> = self.filters.iter().map(|filter| filter.name.clone()).collect();
        let filters: Vec<Origin> = names.iter().map(|name| self.key(name, schema, found)).collect::<Result<_>>()?;
        for filter in &mut self.filters {
            filter.resolve(self.key_kinds[&filter.name])?;
        }
        Ok(Columns { features, vectors, labels, keys, filters })
    }

    /// Where a file has the value of a key: in its path, or else in a column.
    fn key(&mut self, name: &str, schema: &Schema<'_>, found: &Found) -> Result<Origin> {
        let (origin, kind) = if let Some(value) = found.keys.get(name) {
            let label = self.hive.label(name, value);
            let kind = label.kind();
            (Origin::Path(label), kind)
        } else {
            let Some(root) = schema.position(name)? else {
                return Err(Error::usage("there is no such key or column")
                    .with("key", escaped(name))
                    .with("hive keys", schema::list(&self.hive.names().collect::<Vec<_>>()))
                    .with("columns", schema::list(&schema.scalars())));
            };
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
