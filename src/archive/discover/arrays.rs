//! Which of the files found are features, and where the labels of arrays are.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{Found, Search, look};
use crate::archive::container::Format;
use crate::archive::escape::escaped;
use crate::archive::formats::recognise;
use crate::archive::label_files::filled;
use crate::archive::many;
use crate::archive::names::label_parts;
use crate::archive::places::Places;
use crate::archive::siblings::labels_beside;
use crate::archive::source::Source;
use crate::error::{Error, Result};
use crate::objects::is_address;

impl Search {
    /// Of the files that a search has found, keeps those of the format that comes first, and files of labels.
    pub(super) fn keep_first_format(&mut self, begun: usize) {
        let format =
            |found: &Found, formats: &HashMap<PathBuf, &'static dyn Format>| formats.get(&found.source.path).copied();
        let precedences = |found: &[Found], formats: &HashMap<PathBuf, &'static dyn Format>| -> BTreeSet<u8> {
            found.iter().filter_map(|found| format(found, formats)).map(Format::precedence).collect()
        };
        if precedences(&self.found[begun..], &self.formats).len() < 2 {
            return;
        }
        // They are known by their names so far.
        for found in &self.found[begun..] {
            let path = &found.source.path;
            if !is_address(path)
                && let Ok((head, tail)) = look(path)
                && let Some(format) = recognise(&head, &tail)
            {
                self.formats.insert(path.clone(), format);
            }
        }
        let arrays = self.found[begun..].iter().filter(|found| is_named_array(&found.source.path));
        // Several that could be labels are an error later, if these are features.
        let labels = arrays.filter_map(|found| {
            let path = &found.source.path;
            Some((labels_beside(path, &self.places).ok()??, path.clone()))
        });
        let labels: HashMap<PathBuf, PathBuf> = labels.collect();
        let (beside, rest): (Vec<Found>, Vec<Found>) =
            self.found.split_off(begun).into_iter().partition(|found| labels.contains_key(&found.source.path));
        let first = precedences(&rest, &self.formats).first().copied();
        for found in rest {
            match format(&found, &self.formats).filter(|format| Some(format.precedence()) > first) {
                Some(format) => self.pass(&found.source.path, format.what(), false),
                None => self.found.push(found),
            }
        }
        let kept: HashSet<PathBuf> = self.found[begun..].iter().map(|found| found.source.path.clone()).collect();
        for found in beside {
            match format(&found, &self.formats).filter(|_| !kept.contains(&labels[&found.source.path])) {
                Some(format) => self.pass(&found.source.path, format.what(), false),
                None => self.found.push(found),
            }
        }
    }

    /// Finds the labels of files that have none of their own.
    pub(super) fn find_labels(&mut self, labels: Option<&Path>) -> Result<()> {
        let mut used: HashSet<PathBuf> = HashSet::new();
        let mut is_asked = labels.is_none();
        let mut beside: Vec<(String, String)> = Vec::new();
        for found in &mut self.found {
            let source = &mut found.source;
            let has_labels =
                source.labels.is_some() || source.arrays.as_ref().is_some_and(|names| names.labels.is_some());
            if let Some(labels) = labels.filter(|_| !has_labels) {
                let labels = filled(labels, &found.keys).map_err(|error| error.with_default("file", &found.shown))?;
                source.labels = Some(labels);
                is_asked = true;
            } else if !has_labels && source.arrays.is_none() && is_one_array(source) {
                source.labels = labels_beside(&source.path, &self.places)?;
                let shown = source.labels.iter().map(|labels| escaped(&labels.to_string_lossy()));
                beside.extend(shown.map(|labels| (found.shown.clone(), labels)));
            }
            let file = source.labels.as_deref().map(|labels| label_parts(labels).0);
            used.extend(file.and_then(|labels| Places::canonical(labels).ok()));
            // What was passed over is known by its path as the search found it.
            used.extend(file.map(Path::to_owned));
        }
        if let Some(labels) = labels.filter(|_| !is_asked) {
            return Err(Error::usage("--labels names a file, but every INPUT names labels of its own")
                .with("labels", escaped(&labels.to_string_lossy())));
        }
        let (labels, features): (Vec<Found>, Vec<Found>) =
            std::mem::take(&mut self.found).into_iter().partition(|found| used.contains(&found.canonical));
        self.found = if features.is_empty() { labels } else { features };
        self.passed.retain(|passed| !used.contains(Path::new(&passed.file)));
        self.pass_single_numbers();
        match &beside[..] {
            [] => {}
            [(features, labels)] => self.warnings.push(format!("the labels of {features} are those of {labels}")),
            [(features, labels), ..] => self.warnings.push(format!(
                "the labels of {} files are those of files beside them: of {features} those of {labels}",
                beside.len()
            )),
        }
        Ok(())
    }

    /// Passes over arrays of single numbers that a search has found beside features: they are labels of nothing here.
    fn pass_single_numbers(&mut self) {
        let formats = &self.formats;
        let is_single = |found: &Found| {
            let is_searched = formats.contains_key(&found.source.path);
            is_searched && found.source.labels.is_none() && is_named_array(&found.source.path) && {
                let container = found.source.open().and_then(|(bytes, _)| found.source.container(&bytes));
                container.is_ok_and(|container| container.columns().iter().all(|column| !column.data_type.is_nested()))
            }
        };
        let paths = self.found.iter().map(|found| found.source.path.as_path());
        let single = many::each(self.found.iter().collect(), paths, is_single);
        if single.iter().all(|&single| single) {
            return;
        }
        for (found, is_single) in std::mem::take(&mut self.found).into_iter().zip(single) {
            if is_single {
                self.pass(&found.source.path, "single numbers, as labels are", false);
            } else {
                self.found.push(found);
            }
        }
    }
}

/// Whether a file is called an array, features or labels, as a `.pt` file can be one too.
fn is_named_array(path: &Path) -> bool {
    has_extension(path, &["npy", "pt", "pth"])
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().is_some_and(|extension| known.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

/// Whether a file holds one array, so that its labels are elsewhere.
fn is_one_array(source: &Source) -> bool {
    let has_one = |source: &Source| {
        let container = source.open().and_then(|(bytes, _)| source.container(&bytes));
        container.is_ok_and(|container| container.columns().len() == 1)
    };
    has_extension(&source.path, &["npy"]) || (is_named_array(&source.path) && has_one(source))
}
