//! Whether files are still what was counted.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::parse_filters;
use crate::archive::{Archive, File, Policy, Request};
use crate::error::Result;
use crate::store::{Entry, Source, StateFile};

/// What differs between the ledger and the files that the inputs lead to.
///
/// # Errors
///
/// Those of [`Archive::open`].
pub fn differences(state: &StateFile, inputs: &[String]) -> Result<Vec<String>> {
    let column = |name| Some(state.settings.get(name)).filter(|column| !column.is_empty());
    // Under several filters all files may have been counted.
    let filters = state.settings.get("where");
    let filters = if filters.contains(" | ") { Vec::new() } else { parse_filters(&filters) };
    let request = Request {
        filters,
        features: column("features"),
        labels: column("labels"),
        labels_optional: true,
        bad_files: Policy::Skip,
        allow_duplicates: true,
        ..Request::default()
    };
    let archive = Archive::open(inputs, &request)?;
    let mut found: BTreeMap<&str, &File> = archive.files().iter().map(|file| (file.name.as_str(), file)).collect();
    let mut differences = Vec::new();
    let mut known: BTreeSet<&str> = BTreeSet::new();
    for (source, units) in state.ledger.files() {
        known.insert(&source.name);
        differences.extend(difference(source, units, found.get(source.name.as_str()).copied()));
    }
    found.retain(|name, _| !known.contains(name));
    differences.extend(found.into_keys().map(|name| format!("{name}: not counted")));
    let damaged = archive.bad_files().iter().map(|(file, reason)| format!("{file}: {reason}"));
    differences.extend(damaged);
    Ok(differences)
}

fn difference(source: &Source, units: &BTreeMap<u32, Entry>, file: Option<&File>) -> Option<String> {
    let Some(file) = file else { return Some(format!("{}: not among the inputs", source.name)) };
    if (file.size, file.footer_hash) != (source.size, source.footer_hash) {
        return Some(format!("{}: has changed since it was counted", source.name));
    }
    let row_groups = file.row_groups;
    (units.len() < row_groups).then(|| format!("{}: {} of {row_groups} row groups counted", source.name, units.len()))
}
