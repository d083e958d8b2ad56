//! Whether files are still what was counted.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::first_pass::sound_units;
use super::scan::Watch;
use super::task::{identity, source_file};
use super::{digest, provenance};
use crate::archive::{Archive, Policy, Request};
use crate::error::{ErrorKind, Result};
use crate::store::{Filters, LedgerEntry, SourceFile, StateFile};

/// How inputs compare with a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// What differs, a line each.
    pub differences: Vec<String>,
    /// Files whose size and footer agree with the ledger.
    pub files: usize,
    /// Row groups whose rows were read again, and are those that were counted.
    pub row_groups: usize,
}

/// Compares the ledger with the files that the inputs lead to: sizes and footers, and the rows themselves if `deep`.
///
/// # Errors
///
/// Those of [`Archive::open`].
pub fn differences(state: &StateFile, inputs: &[String], deep: bool) -> Result<Comparison> {
    let mut found = Found::default();
    // Every filter has its own units; a state that was merged may have had several.
    for filters in &state.provenance.filters {
        found.look(state, inputs, filters, deep)?;
    }
    let mut comparison = Comparison::default();
    let mut names = found.files.keys().cloned().collect::<BTreeSet<String>>();
    for (source, counted) in state.ledger.files() {
        names.remove(&source.name);
        found.compare(source, counted, deep, &mut comparison);
    }
    // A file without a wanted row has nothing to count.
    names.retain(|name| found.files.get(name).is_some_and(|(_, row_groups)| !row_groups.is_empty()));
    comparison.differences.extend(names.into_iter().map(|name| format!("{name}: not counted")));
    comparison.differences.extend(found.damaged);
    Ok(comparison)
}

/// What the inputs lead to.
#[derive(Default)]
struct Found {
    /// Size and footer of each file by its name, and the row groups in which there may be rows that were asked for, with
    /// the digests that their rows have, as far as they were read.
    files: BTreeMap<String, (SourceFile, BTreeMap<u32, Vec<u64>>)>,
    damaged: BTreeSet<String>,
}

impl Found {
    fn look(&mut self, state: &StateFile, inputs: &[String], filters: &Filters, deep: bool) -> Result<()> {
        let archive = match Archive::open(inputs, &request(state, filters)) {
            Ok(archive) => archive,
            // No row passes this filter any more, which the ledger's files will tell.
            Err(error) if error.kind() == ErrorKind::Missing && error.message().contains("filters") => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Usage && error.message().ends_with("for labels") => {
                return Err(error.help(
                    "if the labels are in files of their own, the inputs name them behind a comma: \
                       --inputs 'features.npy,labels.npy'",
                ));
            }
            Err(error) => return Err(error),
        };
        for file in archive.files() {
            self.files.entry(file.name.clone()).or_insert_with(|| (source_file(file), BTreeMap::new()));
        }
        let left_out: BTreeSet<&str> = state.ledger.left_out().collect();
        let is_left_out = |shown: &str| left_out.iter().any(|name| shown.ends_with(name));
        let bad_files = archive.bad_files().iter().filter(|(file, _)| !is_left_out(file));
        self.damaged.extend(bad_files.map(|(file, reason)| format!("{file}: {reason}")));
        // Of a file that was left out for its damage nothing was to be counted, as long as it is damaged.
        let is_wanted = |file: usize| left_out.contains(archive.files()[file].name.as_str());
        let (_, still) = sound_units(&archive, Policy::Skip, is_wanted, &Watch::default())?;
        for file in still.into_keys() {
            self.files.remove(&archive.files()[file].name);
        }
        // A file that has changed need not be read to be told.
        let wanted = |unit: usize| {
            let (source, row_group) = identity(&archive, unit);
            deep && state.ledger.contains(&source, row_group)
        };
        let digest = |unit: usize| {
            if wanted(unit) { digest_of(&archive, unit).map(Some) } else { Ok(None) }
        };
        let digests: Vec<Result<Option<u64>>> = (0..archive.units().len()).into_par_iter().map(digest).collect();
        for (unit, digest) in digests.into_iter().enumerate() {
            let (SourceFile { name, .. }, row_group) = identity(&archive, unit);
            let Some((_, row_groups)) = self.files.get_mut(&name) else { continue };
            let digests = row_groups.entry(row_group).or_default();
            match digest {
                Ok(digest) => digests.extend(digest),
                Err(error) => drop(self.damaged.insert(format!("{name}: row group {row_group}: {error}"))),
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        source: &SourceFile,
        counted: &BTreeMap<u32, LedgerEntry>,
        deep: bool,
        comparison: &mut Comparison,
    ) {
        let name = &source.name;
        let mut differs = |what: String| comparison.differences.push(format!("{name}: {what}"));
        let Some((found, row_groups)) = self.files.get(name) else { return differs("not among the inputs".to_owned()) };
        if found != source {
            return differs("has changed since it was counted".to_owned());
        }
        let missing = row_groups.keys().filter(|row_group| !counted.contains_key(row_group)).count();
        if missing > 0 {
            differs(format!("{} of {} row groups counted", row_groups.len() - missing, row_groups.len()));
        }
        let mut same = 0;
        for (row_group, digests) in row_groups.iter().filter(|_| deep) {
            let Some(entry) = counted.get(row_group) else { continue };
            match digests.contains(&entry.digest) {
                true => same += 1,
                false if digests.is_empty() => {}
                false => differs(format!("row group {row_group}: its rows are not those that were counted")),
            }
        }
        comparison.files += 1;
        comparison.row_groups += same;
    }
}

/// What was asked of the files when they were counted.
fn request(state: &StateFile, filters: &Filters) -> Request {
    let base = Request {
        filters: filters.pairs().to_vec(),
        labels_optional: true,
        bad_files: Policy::Skip,
        allow_duplicates: true,
        filters_optional: true,
        ..Request::default()
    };
    provenance::request(&state.provenance, base)
}

/// The digest of a unit's rows, computed as for the ledger.
fn digest_of(archive: &Archive, unit: usize) -> Result<u64> {
    let mut reader = archive.read(unit)?;
    let mut digest = 0_u64;
    for number in 0.. {
        let Some(chunk) = reader.next()? else { break };
        digest = digest.wrapping_add(digest::share(&chunk, number));
        archive.recycle(chunk);
    }
    Ok(digest)
}
