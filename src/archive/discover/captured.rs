//! Files whose keys are captured by braces in an input.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use super::{Found, Search, hive, percent_decoded};
use crate::archive::braces::has_keys;
use crate::archive::captures::{Captured, Captures};
use crate::archive::container::ArrayNames;
use crate::archive::escape::escaped;
use crate::archive::label_files::{filled, filled_name};
use crate::archive::names::label_parts;
use crate::archive::read_at::is_file;
use crate::archive::source::Source;
use crate::error::{Error, Result};
use crate::objects::is_address;

/// How many bytes of a pattern are a directory that has braces in its own name.
pub(super) fn existing_prefix(pattern: &str) -> usize {
    let mut ends = pattern.match_indices('/').map(|(at, _)| at);
    let exists = |at: &usize| has_keys(&pattern[..*at]) && Path::new(&pattern[..*at]).symlink_metadata().is_ok();
    ends.rfind(exists).unwrap_or(0)
}

/// What a path says of the keys; `None` if it does not fit, or is not UTF-8.
pub(super) fn read(captures: &Captures, path: &Path) -> Result<Option<Captured>> {
    path.to_str().map_or(Ok(None), |path| captures.read(path, &BTreeMap::new()))
}

/// Whether one of the directories `above` a path fits too, so that the walk through it finds the path.
pub(super) fn reached_by_another_way<'a>(
    captures: &Captures,
    captured: &Captured,
    path: &Path,
    above: impl Iterator<Item = &'a Path>,
) -> Result<bool> {
    for directory in above {
        let Some(other) = read(captures, directory)? else { continue };
        if other.keys != captured.keys {
            return Err(Error::usage("a pattern with keys fits a directory and what lies in it")
                .with("directory", escaped(&directory.to_string_lossy()))
                .with("file", escaped(&path.to_string_lossy()))
                .help("name the files: {run}/*.npy, or **/{run}.npy"));
        }
        return Ok(true);
    }
    Ok(false)
}

/// The components of a path as its name shows them: keys in place of the values that were captured, so that nothing is
/// said twice.
pub(super) fn shape_of(path: &Path, parts: &[String], captured: &Captured) -> Vec<String> {
    let is_place = |part: &Component<'_>| matches!(part, Component::RootDir | Component::CurDir);
    let first = path.components().filter(is_place).count();
    let mut shape = parts.to_vec();
    for (part, masked) in shape.iter_mut().skip(first).zip(&captured.shape) {
        if hive(part).is_none() {
            part.clone_from(masked);
        }
    }
    shape
}

impl Found {
    /// Adds keys that braces have captured.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if a directory of the path says something else of a key.
    pub(super) fn capture(&mut self, captured: &BTreeMap<String, String>) -> Result<()> {
        for (key, value) in captured {
            match self.keys.get(key) {
                Some(known) if known == value || *known == percent_decoded(value) => {}
                Some(known) => {
                    return Err(Error::data("the path of a file says different things of one key")
                        .with("file", &self.shown)
                        .with("key", escaped(key))
                        .with("in braces", escaped(value))
                        .with("in the directory", escaped(known))
                        .help(format!("give the key in braces another name than {}", escaped(key))));
                }
                None => {
                    self.keys.insert(key.clone(), value.clone());
                    self.captured.insert(key.clone(), value.clone());
                }
            }
        }
        Ok(())
    }

    /// Puts what was captured before the name as directories `key=value`, so that whoever has the name has the keys.
    pub(super) fn enter_captured(&mut self) {
        let directory = |(key, value): (&String, &String)| escaped(&format!("{key}={}/", value.replace('%', "%25")));
        let directories: String = self.captured.iter().map(directory).collect();
        self.name.insert_str(0, &directories);
    }
}

impl Search {
    /// Gives the files found since `begun` what their input says behind the path: arrays, each of those that fit a name
    /// with keys, and the file of labels.
    pub(super) fn name_parts(&mut self, begun: usize, named: &Source) -> Result<()> {
        let found = self.found.split_off(begun);
        for found in found {
            let place = |error: Error| error.with_default("file", &found.shown);
            for (arrays, captured) in arrays_of(&found, named).map_err(place)? {
                let mut part = found.clone();
                part.capture(&captured)?;
                let source = &mut part.source;
                source.arrays = arrays;
                source.labels =
                    named.labels.as_ref().map(|labels| filled(labels, &part.keys)).transpose().map_err(place)?;
                let (arrays, labels) = source.suffixes();
                part.shown += &escaped(&format!("{arrays}{labels}"));
                // Ledgers know features by their file, wherever their labels are.
                part.name += &escaped(&named.suffixes().0);
                self.found.push(part);
            }
        }
        Ok(())
    }
}

/// Arrays of a file, and the keys that their names capture.
type CapturedArrays = (Option<ArrayNames>, BTreeMap<String, String>);

/// The arrays of a file that an input names, and what is captured by that. An array with braces in its own name is that one.
fn arrays_of(found: &Found, named: &Source) -> Result<Vec<CapturedArrays>> {
    let Some(names) = &named.arrays else { return Ok(vec![(None, BTreeMap::new())]) };
    let with_labels = |features: String, keys: &BTreeMap<String, String>| {
        let labels = names.labels.as_ref().map(|labels| filled_name(labels, keys)).transpose()?;
        Ok(Some(ArrayNames { features, labels }))
    };
    if !has_keys(&names.features) {
        return Ok(vec![(with_labels(names.features.clone(), &found.keys)?, BTreeMap::new())]);
    }
    let all = found.source.feature_arrays()?;
    if all.contains(&names.features) {
        return Ok(vec![(with_labels(names.features.clone(), &found.keys)?, BTreeMap::new())]);
    }
    let captures = Captures::of_name(&names.features)?;
    let mut parts = Vec::new();
    for name in &all {
        let Some(captured) = captures.read(name, &found.keys)? else { continue };
        let keys = found.keys.iter().chain(&captured.keys).map(|(key, value)| (key.clone(), value.clone())).collect();
        parts.push((with_labels(name.clone(), &keys)?, captured.keys));
    }
    if parts.is_empty() {
        let shown: Vec<String> = all.iter().map(|name| escaped(name)).collect();
        return Err(Error::missing("no array of the file fits the pattern")
            .with("pattern", escaped(&names.features))
            .with("arrays", shown.join(", ")));
    }
    Ok(parts)
}

/// Fails if the labels of a file are not there.
///
/// # Errors
///
/// [`Missing`](crate::error::ErrorKind::Missing) with both files.
pub(in crate::archive) fn check_labels(found: &[Found]) -> Result<()> {
    let is_there = |labels: &Path| if is_address(labels) { is_file(labels) } else { labels.symlink_metadata().is_ok() };
    let missing =
        |found: &&Found| found.source.labels.as_deref().is_some_and(|labels| !is_there(label_parts(labels).0));
    let mut all = found.iter().filter(missing);
    let Some(first) = all.next() else { return Ok(()) };
    let labels = first.source.labels.iter().map(|labels| escaped(&labels.to_string_lossy())).collect::<String>();
    let mut error =
        Error::missing("there is no such file of labels").with("file", &first.shown).with("labels", &labels);
    let more = all.count();
    if more > 0 {
        error = error.with("files without labels", more + 1);
    }
    let has_zeros = |value: &str| value.len() > 1 && value.starts_with('0') && value.parse::<i64>().is_ok();
    Err(match first.keys.iter().find(|(_, value)| has_zeros(value) && labels.contains(value.as_str())) {
        Some((key, _)) => {
            let key = escaped(key);
            error.help(format!("{{{key}}} is filled as it is written; {{{key}:01}} writes no zeros in front"))
        }
        None => error,
    })
}
