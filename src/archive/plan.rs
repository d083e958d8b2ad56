//! Makes an archive of inputs: which files, which columns, which units.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use super::catalogue::{CHANGED, Catalogue, File, Pinned, Planned};
use super::choose::NO_LABEL_COLUMN;
use super::discover::{Discovered, Found, check_labels, discover};
use super::duplicates::refuse_duplicates;
use super::escape::escaped;
use super::file_columns::{FileColumns, KeyOrigin};
use super::keys::{self, Filter, Hive};
use super::many;
use super::open_files::{OpenedFile, good, open_each, passed_without_rows};
use super::opened::Archive;
use super::passed::Passed;
use super::planner::{Listing, Planner};
use super::request::Request;
use super::row_policy::{FLAGS, RowPolicy};
use super::schema;
use super::source::{Source, requested_labels};
use super::wide::is_pattern;
use crate::batch::Label;
use crate::error::{Error, ErrorKind, Result};
use crate::objects::{is_address, look};

impl Archive {
    /// Finds the files, chooses the columns, lists the units.
    ///
    /// An input is a file, a directory or a pattern; `x.npz:FEATURES,LABELS` names arrays of a file, and `x.npy,y.npy` a
    /// second file with the labels. Braces in a pattern capture keys, as in `run_{run}/epoch_{epoch}.npy`; in the file of
    /// labels they are filled. Directories are searched for files of all formats, which are known by their names or
    /// else by what is in them, hidden files and those that begin with an underscore aside; directories called
    /// `key=value` are hive keys, wherever in a path.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) if there is no file or no row;
    /// [`Usage`](crate::error::ErrorKind::Usage) for columns and keys that are not there or not clear;
    /// [`Data`](crate::error::ErrorKind::Data) for files that are damaged, disagree in their schema, or hold the same
    /// bytes under two names.
    pub fn open(inputs: &[String], request: &Request) -> Result<Self> {
        open(inputs, request)
    }

    /// The same of files that were planned before, whatever else is there by now.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open); [`Data`](crate::error::ErrorKind::Data) if a file is gone or has changed.
    pub fn reopen(files: &[Planned], request: &Request) -> Result<Self> {
        reopen(files, &BTreeSet::new(), request)
    }

    /// Some files of a plan as they are now, whatever this process has learned of them before. `text_keys` are the
    /// [keys](Self::text_keys) of the whole plan.
    ///
    /// # Errors
    ///
    /// Those of [`reopen`](Self::reopen).
    pub fn open_part(files: &[Planned], text_keys: &BTreeSet<String>, request: &Request) -> Result<Self> {
        let sources: Vec<Source> = files.iter().map(|file| Source::decoded(&file.path)).collect();
        let far: Vec<&Path> = sources.iter().flat_map(Source::paths).filter(|path| is_address(path)).collect();
        let looked =
            many::each(far.clone(), far, |path| look(path).map_err(|error| error.with("file", path.display())));
        looked.into_iter().try_for_each(|found| found.map(drop))?;
        reopen(files, text_keys, request)
    }
}

fn open(inputs: &[String], request: &Request) -> Result<Archive> {
    if inputs.is_empty() {
        return Err(Error::usage("no input"));
    }
    for (at, key) in request.group_by.iter().enumerate() {
        if request.group_by[..at].contains(key) {
            return Err(Error::usage("the groups have one key twice").with("key", escaped(key)).help("name it once"));
        }
    }
    // A file of labels belongs to all features; a name is that of a column.
    let labels = requested_labels(request.labels.as_deref())?;
    let request = &request.clone().without_label_file();
    let Discovered { files: mut found, passed, warnings } = discover(inputs, labels.as_deref())?;
    let wide = request.features.as_ref().filter(|features| is_pattern(features));
    for found in &mut found {
        found.source.wide = wide.cloned();
    }
    let hive = Hive::of(&found);
    if let Some(name) = &request.labels {
        for found in &mut found {
            let label = found.keys.get(name).and_then(|value| hive.label(name, value));
            found.source.by_path = label.map(|label| (name.clone(), label));
        }
    }
    let mut filters = Filter::all(&request.filters);
    let found = select(found, &hive, &mut filters, !request.filters_optional)?;
    check_labels(&found)?;
    let captured = found.iter().flat_map(|found| found.captured.keys().cloned()).collect();
    let mut bad_files = Vec::new();
    let mut bad_names = Vec::new();
    let mut builder = ArchiveBuilder::new(&found, hive, filters, request)?;
    open_each(found, request.memory, |found, outcome| {
        let name = found.name.clone();
        if let Some((found, file)) = good(found, outcome, request.bad_files, &mut bad_files)? {
            return builder.add(found, &file);
        }
        bad_names.push(name);
        Ok(())
    })?;
    bad_names.sort();
    let archive = builder.archive(BesideData { bad_names, bad_files, passed, warnings, captured })?;
    // Files that were left out may have had the rows.
    if !request.filters_optional && archive.bad_files.is_empty() {
        archive.filters.iter().filter(|filter| !filter.is_open).try_for_each(Filter::check_met)?;
    }
    Ok(archive)
}

/// What was found beside the files that are read.
#[derive(Default)]
struct BesideData {
    bad_names: Vec<String>,
    bad_files: Vec<(String, String)>,
    passed: Vec<Passed>,
    warnings: Vec<String>,
    captured: BTreeSet<String>,
}

/// Takes files without rows out of the keys wherever they would change which keys there are or what kind of values they
/// have. The footers of these few files are read twice.
fn forget_empty(found: &[Found], hive: &mut Hive, memory: Option<u64>) -> Result<()> {
    let contested = found.iter().filter(|file| hive.is_contested(file)).cloned().collect();
    open_each(contested, memory, |found, outcome| {
        // Errors are reported when the file is planned.
        if outcome.is_ok_and(|file| !file.has_rows()) {
            hive.forget(&found);
        }
        Ok(())
    })
}

/// Opens the files of a plan, and no others.
fn reopen(planned: &[Planned], text_keys: &BTreeSet<String>, request: &Request) -> Result<Archive> {
    let found = |file: &Planned| Found {
        source: Source::decoded(&file.path),
        canonical: file.path.clone(),
        shown: file.shown.clone(),
        name: file.name.clone(),
        keys: file.keys.clone(),
        captured: BTreeMap::new(),
    };
    let found: Vec<Found> = planned.iter().map(found).collect();
    // The plan knows the files of labels.
    let request = &request.clone().without_label_file();
    let hive = Hive::of(&found).with_texts(text_keys);
    let mut filters = Filter::all(&request.filters);
    let found = select(found, &hive, &mut filters, false)?;
    let changed = |error: Error| match error.kind() {
        ErrorKind::Io | ErrorKind::Resource => error,
        ErrorKind::Missing => Error::data(CHANGED).with("detail", "it is gone"),
        _ => Error::data(CHANGED).with("detail", "its footer"),
    };
    let mut builder = ArchiveBuilder::new(&found, hive, filters, request)?;
    let mut planned = planned.iter();
    open_each(found, request.memory, |found, outcome| {
        let place = |error: Error| error.with("file", &found.shown);
        let file = outcome.map_err(changed).map_err(place)?;
        let planned = planned.next().ok_or_else(|| Error::internal("there are more files than were planned"))?;
        let what = if (file.version.size, file.version.modified) != (planned.size, planned.modified) {
            "size or time of writing"
        } else if file.container.fingerprint() != planned.footer_hash {
            "its footer"
        } else {
            return builder.add(found, &file);
        };
        Err(place(Error::data(CHANGED).with("detail", what)))
    })?;
    builder.archive(BesideData::default())
}

/// Builds an archive file by file; the container of a file is dropped once the file is planned.
struct ArchiveBuilder<'a> {
    request: &'a Request,
    /// Hive keys and filters until there is a planner.
    begun: Option<(Hive, Vec<Filter>)>,
    planner: Option<Planner>,
    plan: Listing,
    /// Files without a row.
    empty: Vec<Passed>,
}

impl<'a> ArchiveBuilder<'a> {
    fn new(found: &[Found], mut hive: Hive, filters: Vec<Filter>, request: &'a Request) -> Result<Self> {
        forget_empty(found, &mut hive, request.memory)?;
        let begun = Some((hive, filters));
        Ok(Self { request, begun, planner: None, plan: Listing::default(), empty: Vec::new() })
    }

    fn add(&mut self, found: Found, file: &OpenedFile) -> Result<()> {
        if !file.has_rows() {
            self.empty.push(passed_without_rows(found));
            return Ok(());
        }
        if let Some((hive, filters)) = self.begun.take() {
            let planner = Planner::new(self.request, hive, filters, &*file.container);
            let apart = |error: Error| {
                // Where arrays are named behind a colon, that of the labels has to be named there too.
                let arrays = found.source.arrays.as_ref().filter(|arrays| arrays.labels.is_none());
                match (&self.request.labels, arrays.is_some() && found.source.labels.is_none()) {
                    (Some(name), true) if error.message() == NO_LABEL_COLUMN => error.help(format!(
                        "name the array of labels with that of the features: {},{}",
                        found.shown,
                        escaped(name)
                    )),
                    _ => error,
                }
            };
            self.planner = Some(planner.map_err(|error| apart(error).with("file", &found.shown))?);
        }
        for unread in file.container.unread().iter().filter(|unread| unread.is_told) {
            let file = format!("{} of {}", escaped(&unread.name), found.shown);
            self.empty.push(Passed { file, reason: unread.kind.clone(), ..Passed::default() });
        }
        let planner = self.planner.as_mut().ok_or_else(|| Error::internal("there is no plan to add to"))?;
        let added = planner.add(found, file, &mut self.plan);
        added.map_err(|(shown, error)| error.with_default("file", shown))
    }

    /// Finishes the archive.
    fn archive(self, seen: BesideData) -> Result<Archive> {
        let Self { request, planner, plan: Listing { files, columns, units, ranges }, empty, .. } = self;
        let BesideData { bad_names, bad_files, mut passed, warnings, captured } = seen;
        let Some(planner) = planner else {
            return Err(match empty.first() {
                None => {
                    let error = Error::missing("no file can be read").with("bad files", bad_files.len());
                    let first = bad_files.first().into_iter();
                    first.fold(error, |error, (file, reason)| error.with("file", file).with("detail", reason))
                }
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
            refuse_duplicates_in_groups(&files, &columns)?;
        }
        let ignored = match &request.ignore_label {
            Some(text) if request.any_labels => planner.label_kind.parse(text),
            Some(text) => Some(keys::parse_ignored(planner.label_kind, text)?),
            None => None,
        };
        let text_keys = planner.text_keys();
        Ok(Archive {
            catalogue: Catalogue::new(files),
            columns,
            units,
            spare: Mutex::default(),
            element: planner.vectors.element(),
            policy: RowPolicy {
                nulls: request.nulls,
                nonfinite: request.nonfinite,
                ignored,
                any_labels: request.any_labels,
                normalize: request.normalize,
                columns: Some((
                    escaped(&planner.features.name),
                    planner.labels.as_ref().map_or_else(String::new, |labels| escaped(&labels.name)),
                )),
                advice: &FLAGS,
            },
            features: planner.features,
            labels: planner.labels,
            label_kind: planner.label_kind,
            class_names: planner.class_names,
            group_by: planner.group_by,
            filters: planner.filters,
            bad_files,
            bad_names,
            passed,
            ranges,
            seen: Mutex::default(),
            warnings,
            captured,
            text_keys,
        })
    }
}

/// Refuses equal files within a group, where rows would count twice. In two groups they are fine, as a frozen layer at two
/// epochs is.
fn refuse_duplicates_in_groups(files: &[File], columns: &[FileColumns]) -> Result<()> {
    let mut groups: BTreeMap<Vec<Option<&Label>>, Vec<Pinned<'_>>> = BTreeMap::new();
    for (file, columns) in files.iter().zip(columns) {
        // Equal files have equal columns, so only their paths can put them into different groups.
        groups.entry(columns.keys.iter().map(KeyOrigin::in_path).collect()).or_default().push(file.pinned());
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

/// Drops the files whose hive keys do not pass the filters. Where `each` is asked for, each value has to match some file.
fn select(found: Vec<Found>, hive: &Hive, filters: &mut [Filter], each: bool) -> Result<Vec<Found>> {
    for filter in filters.iter_mut() {
        if let Some(kind) = hive.kind(&filter.name) {
            filter.resolve(kind)?;
        }
    }
    // The kind of a key's values is not final yet: files without rows will be taken out.
    let passes = |file: &Found| {
        filters.iter().all(|filter| file.keys.get(&filter.name).is_none_or(|value| filter.may_accept(value)))
    };
    let (kept, dropped): (Vec<Found>, Vec<Found>) = found.into_iter().partition(passes);
    let values = |files: &[&Found], key: &str| {
        let labels = files.iter().filter_map(|file| hive.label(key, file.keys.get(key)?));
        let texts: Vec<String> = labels.collect::<BTreeSet<Label>>().iter().map(Label::to_string).collect();
        schema::list(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    if kept.is_empty() {
        let mut error = Error::missing("no file matches the filters");
        for filter in filters.iter() {
            let values = values(&dropped.iter().collect::<Vec<_>>(), &filter.name);
            error = error.with("key", escaped(&filter.name)).with("values", values);
        }
        return Err(error);
    }
    // Where a file has no such key in its path, rows may have it in a column.
    for filter in filters.iter().filter(|filter| each && kept.iter().all(|file| file.keys.contains_key(&filter.name))) {
        if let Some(value) = filter.unmatched(&kept.iter().filter_map(|file| file.keys.get(&filter.name))) {
            return Err(Error::missing("no file matches a value of the filters")
                .with("key", escaped(&filter.name))
                .with("value", escaped(value))
                .with("values", values(&kept.iter().chain(&dropped).collect::<Vec<_>>(), &filter.name)));
        }
    }
    Ok(kept)
}
