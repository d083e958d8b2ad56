//! Counting labels, without reading vectors.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::container::Strings;
use super::opened::Archive;
use super::read::labels_and_groups;
use super::request::Key;
use super::row_policy::{RowCheck, RowStatus};
use super::rows_seen::Noted;
use super::unit_rows::UnitRows;
use crate::batch::Label;
use crate::error::Result;

/// Rows by group and label.
pub type LabelCounts = BTreeMap<Key, BTreeMap<Label, u64>>;

/// The labels of groups.
pub type LabelsSeen = BTreeMap<Key, BTreeSet<Label>>;

impl Archive {
    /// Counts the labels of a unit by group, without its vectors: `each` gets every pair of group and label once.
    ///
    /// Rows with a null label, under [`ignore_label`](super::Request::ignore_label) or outside the filters are not counted;
    /// rows whose vectors cannot be used are.
    pub fn read_labels(&self, unit: usize, each: &mut dyn FnMut(&Key, &Label, u64)) -> Result<()> {
        count_labels(self, unit, each)
    }

    /// The labels of each group in a unit, of the rows that [`read_labels`](Self::read_labels) counts.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for labels and keys that cannot be used, or if the file has changed.
    pub fn seen_in(&self, unit: usize) -> Result<LabelsSeen> {
        let mut seen = LabelsSeen::new();
        self.read_labels(unit, &mut |key, label, _| {
            if let Some(labels) = seen.get_mut(key) {
                labels.insert(label.clone());
            } else {
                seen.insert(key.clone(), BTreeSet::from([label.clone()]));
            }
        })?;
        Ok(seen)
    }

    /// The labels of all rows, many units read at a time.
    ///
    /// # Errors
    ///
    /// That of the first unit which has one.
    pub fn all_labels(&self) -> Result<BTreeSet<Label>> {
        let units: Vec<usize> = (0..self.units.len()).collect();
        let mut labels = BTreeSet::new();
        // A few at a time: what many units have in common is kept once.
        for few in units.chunks(64) {
            let found: Vec<Result<LabelsSeen>> = few.par_iter().map(|&unit| self.seen_in(unit)).collect();
            for seen in found {
                labels.extend(seen?.into_values().flatten());
            }
        }
        Ok(labels)
    }

    /// Rows by group and label of these units, many read at a time; what is counted is what
    /// [`read_labels`](Self::read_labels) counts.
    ///
    /// # Errors
    ///
    /// That of the first unit which has one.
    pub fn count_labels(&self, units: &[usize]) -> Result<LabelCounts> {
        let count = |&unit: &usize| {
            let mut counts = LabelCounts::new();
            self.read_labels(unit, &mut |key, label, rows| {
                *counts.entry(key.clone()).or_default().entry(label.clone()).or_default() += rows;
            })?;
            Ok(counts)
        };
        let counted: Vec<Result<LabelCounts>> = units.par_iter().map(count).collect();
        let mut all = LabelCounts::new();
        for counts in counted {
            add_counts(&mut all, counts?);
        }
        Ok(all)
    }
}

/// Adds the counts of some rows to those of others.
pub(crate) fn add_counts(all: &mut LabelCounts, more: LabelCounts) {
    for (key, labels) in more {
        let group = all.entry(key).or_default();
        for (label, rows) in labels {
            *group.entry(label).or_default() += rows;
        }
    }
}

/// Rows that are read at a time where only labels are.
const LABEL_ROWS: usize = 1 << 16;

/// Counts the labels of a unit.
fn count_labels(archive: &Archive, unit: usize, each: &mut dyn FnMut(&Key, &Label, u64)) -> Result<()> {
    let unit = &archive.units()[unit];
    let (catalogue, roots) = (&archive.catalogue, archive.columns[unit.file].scalars());
    let mut rows = UnitRows::open(catalogue, unit, &[], roots, LABEL_ROWS, Strings::Dictionary)?;
    let mut counts: BTreeMap<Key, BTreeMap<Label, u64>> = BTreeMap::new();
    while let Some(count) = rows.left(LABEL_ROWS) {
        let counted = count_chunk(archive, &mut rows, count, &mut counts);
        counted.map_err(|error| rows.locate(catalogue, error))?;
        rows.advance(count);
    }
    rows.finish(catalogue).map_err(|error| rows.locate(catalogue, error))?;
    for (key, labels) in &counts {
        for (label, &count) in labels {
            each(key, label, count);
        }
    }
    Ok(())
}

fn count_chunk(
    archive: &Archive,
    rows: &mut UnitRows,
    count: usize,
    counts: &mut BTreeMap<Key, BTreeMap<Label, u64>>,
) -> Result<()> {
    let columns = &archive.columns[rows.unit().file];
    let (labels, grouping, watched) = labels_and_groups(archive, columns, rows, count)?;
    let check = RowCheck::new(&archive.policy, &labels.codes, &labels.values);
    let mut here = vec![0_u64; grouping.keys.len() * labels.values.len()];
    let mut used: Vec<Vec<usize>> = vec![Vec::new(); grouping.keys.len()];
    for row in 0..count {
        let Some(group) = grouping.of(row) else { continue };
        let status = check.status(row, None).map_err(|error| error.with("row", rows.done() + row as u64))?;
        if status == RowStatus::Used {
            here[group * labels.values.len() + labels.codes[row] as usize] += 1;
            used[group].push(row);
        }
    }
    let file = columns.groups_by_rows().then_some(rows.unit().file);
    let groups = grouping.keys.iter().zip(&used);
    archive.note(groups.filter_map(|(key, used)| Noted::of(key, file, &watched, &used.iter().copied())));
    for (group, key) in grouping.keys.iter().enumerate() {
        let known = counts.entry(key.clone()).or_default();
        for (code, label) in labels.values.iter().enumerate() {
            match here[group * labels.values.len() + code] {
                0 => {}
                count => *known.entry(label.clone()).or_default() += count,
            }
        }
    }
    Ok(())
}
