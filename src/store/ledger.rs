//! Which row groups were counted, so that none is counted twice.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::hive_keys;
use crate::error::{Error, Result};

/// A file, recognised wherever it lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// The path below the input's root, behind the keys that braces have captured.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// FNV-1a of the footer's bytes.
    pub footer_hash: u64,
}

/// A row group that was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerEntry {
    /// Rows in the state.
    pub used: u64,
    /// Rows left out by a flag.
    pub skipped: u64,
    /// A hash of the rows that were read.
    pub digest: u64,
}

/// Row groups of a file, by number.
type Units = BTreeMap<u32, LedgerEntry>;

/// The row groups that were counted into a state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(super) files: BTreeMap<SourceFile, Units>,
    /// Names of files that were left out as damaged.
    pub(super) left_out: BTreeSet<String>,
}

impl Ledger {
    /// Enters a row group.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if it is in the ledger already.
    pub fn insert(&mut self, source: &SourceFile, row_group: u32, entry: LedgerEntry) -> Result<()> {
        if self.contains(source, row_group) {
            return Err(Error::data("the same rows would be counted twice")
                .with("file", &source.name)
                .with("row group", row_group));
        }
        self.files.entry(source.clone()).or_default().insert(row_group, entry);
        self.left_out.remove(&source.name);
        Ok(())
    }

    /// Notes a file that was left out as damaged.
    pub fn leave_out(&mut self, name: &str) {
        if self.of_name(name).next().is_none() {
            self.left_out.insert(name.to_owned());
        }
    }

    /// Whether a row group was counted.
    pub fn contains(&self, source: &SourceFile, row_group: u32) -> bool {
        self.entry(source, row_group).is_some()
    }

    /// What is known of a row group, if it was counted.
    pub fn entry(&self, source: &SourceFile, row_group: u32) -> Option<&LedgerEntry> {
        self.files.get(source)?.get(&row_group)
    }

    /// Files with their counted row groups.
    pub fn files(&self) -> impl Iterator<Item = (&SourceFile, &BTreeMap<u32, LedgerEntry>)> {
        self.files.iter()
    }

    /// Names of files that were left out as damaged.
    pub fn left_out(&self) -> impl Iterator<Item = &str> {
        self.left_out.iter().map(String::as_str)
    }

    /// How many row groups were counted.
    pub fn units(&self) -> usize {
        self.files.values().map(BTreeMap::len).sum()
    }

    /// Rows in the state, and rows left out.
    pub fn rows(&self) -> (u64, u64) {
        let entries = self.files.values().flat_map(BTreeMap::values);
        entries.fold((0, 0), |(used, skipped), entry| {
            (entry.used.saturating_add(used), entry.skipped.saturating_add(skipped))
        })
    }

    /// Whether a file of that name, but of another size or footer, was counted.
    pub fn knows_otherwise(&self, source: &SourceFile) -> bool {
        self.of_name(&source.name).any(|known| known != source)
    }

    /// Counted files of that name.
    fn of_name<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a SourceFile> {
        let first = SourceFile { name: name.to_owned(), size: 0, footer_hash: 0 };
        self.files.range(first..).map(|(source, _)| source).take_while(move |source| source.name == name)
    }

    /// Adds the row groups of another ledger. Errors call the two by `names`. `keys` are the keys of their groups; with
    /// `None` the same rows may be counted under two names.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the overlap if row groups are in both, or if the same rows are in both
    /// under two names of one group.
    pub fn merge(&mut self, other: &Self, names: (&str, &str), keys: Option<&[String]>) -> Result<()> {
        self.refuse_overlap(other, names)?;
        if let Some(keys) = keys {
            self.refuse_duplicates(other, names, keys)?;
        }
        for (source, units) in &other.files {
            self.files.entry(source.clone()).or_default().extend(units);
        }
        self.left_out.extend(other.left_out.iter().cloned());
        let counted: Vec<String> =
            self.left_out.iter().filter(|name| self.of_name(name).next().is_some()).cloned().collect();
        self.left_out.retain(|name| !counted.contains(name));
        Ok(())
    }

    /// Removes the row groups of another ledger.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with those that are missing, or were counted differently, in this one.
    pub fn subtract(&mut self, other: &Self, names: (&str, &str)) -> Result<()> {
        let mut missing = Vec::new();
        for (source, units) in &other.files {
            let mine = self.files.get(source);
            let absent = |(row_group, entry): (&u32, &LedgerEntry)| {
                (mine.and_then(|mine| mine.get(row_group)) != Some(entry)).then_some(*row_group)
            };
            let row_groups: Vec<u32> = units.iter().filter_map(absent).collect();
            if !row_groups.is_empty() {
                missing.push((&source.name, row_groups));
            }
        }
        if let Some(what) = listed(&missing) {
            return Err(Error::data("the rows to be subtracted are not in the state")
                .with("detail", format!("{} lacks {what} of {}", names.0, names.1)));
        }
        for (source, units) in &other.files {
            if let Some(mine) = self.files.get_mut(source) {
                mine.retain(|row_group, _| !units.contains_key(row_group));
            }
        }
        self.files.retain(|_, units| !units.is_empty());
        self.left_out.retain(|name| !other.left_out.contains(name));
        Ok(())
    }

    fn refuse_overlap(&self, other: &Self, (mine, theirs): (&str, &str)) -> Result<()> {
        let common = other.files.iter().filter_map(|(source, units)| {
            let known = self.files.get(source)?;
            let both: Vec<u32> = units.keys().filter(|row_group| known.contains_key(row_group)).copied().collect();
            (!both.is_empty()).then_some((&source.name, both))
        });
        match listed(&common.collect::<Vec<_>>()) {
            Some(what) => Err(Error::data("the same rows would be counted twice")
                .with("detail", format!("{mine} and {theirs} both contain {what}"))
                .help("leave one of them out")),
            None => Ok(()),
        }
    }

    /// Files of equal size and footer are candidates; a row group that both have counted with the same digest decides.
    fn refuse_duplicates(&self, other: &Self, (mine, theirs): (&str, &str), keys: &[String]) -> Result<()> {
        // Most often few are added to many, so the added ones are indexed.
        let mut added: BTreeMap<(u64, u64), Vec<(&SourceFile, &Units)>> = BTreeMap::new();
        for (source, units) in &other.files {
            added.entry((source.size, source.footer_hash)).or_default().push((source, units));
        }
        for (known, counted) in &self.files {
            for &(source, units) in added.get(&(known.size, known.footer_hash)).into_iter().flatten() {
                let same = |(row_group, entry): (&u32, &LedgerEntry)| {
                    entry.used + entry.skipped > 0 && counted.get(row_group) == Some(entry)
                };
                if known != source && units.iter().any(same) && same_group(&known.name, &source.name, keys) {
                    return Err(Error::data("the same content under two names would be counted twice")
                        .with("detail", format!("{} of {mine}, {} of {theirs}", known.name, source.name))
                        .help("leave one of them out, or --allow-duplicates"));
                }
            }
        }
        Ok(())
    }
}

/// Whether two files may be of one group, by the hive keys of their names: a frozen layer has the same rows at two epochs.
fn same_group(a: &str, b: &str, keys: &[String]) -> bool {
    let (a, b) = (hive_keys(a), hive_keys(b));
    keys.iter().all(|key| match (a.get(key), b.get(key)) {
        (Some(a), Some(b)) => a == b || a.parse::<i64>().is_ok_and(|value| b.parse() == Ok(value)),
        _ => true,
    })
}

/// `emb/00192.parquet, row groups 0–1 (and 127 more files)`.
fn listed(found: &[(&String, Vec<u32>)]) -> Option<String> {
    let (name, row_groups) = found.first()?;
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &row_group in row_groups {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == row_group => *end = row_group,
            _ => ranges.push((row_group, row_group)),
        }
    }
    let range = |&(start, end): &(u32, u32)| if start == end { start.to_string() } else { format!("{start}–{end}") };
    let shown: Vec<String> = ranges.iter().take(8).map(range).collect();
    let dots = if ranges.len() > shown.len() { ", …" } else { "" };
    let plural = if row_groups.len() == 1 { "" } else { "s" };
    let more = match found.len() - 1 {
        0 => String::new(),
        1 => " (and 1 more file)".to_owned(),
        more => format!(" (and {more} more files)"),
    };
    Some(format!("{name}, row group{plural} {}{dots}{more}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, footer_hash: u64) -> SourceFile {
        SourceFile { name: name.to_owned(), size: 100, footer_hash }
    }

    fn ledger(units: &[(&str, u64, u32)]) -> Ledger {
        let mut ledger = Ledger::default();
        for &(name, hash, row_group) in units {
            let entry = LedgerEntry { used: 5, skipped: 1, digest: hash * 1000 + u64::from(row_group) };
            ledger.insert(&source(name, hash), row_group, entry).unwrap();
        }
        ledger
    }

    const NAMES: (&str, &str) = ("p.ncst", "q.ncst");

    #[test]
    fn an_overlap_is_listed() {
        let mut one = ledger(&[("a", 1, 0), ("a", 1, 1), ("a", 1, 2), ("a", 1, 5), ("b", 2, 0), ("c", 3, 7)]);
        let other = ledger(&[("a", 1, 0), ("a", 1, 1), ("a", 1, 5), ("b", 2, 0), ("d", 4, 0)]);
        let error = one.merge(&other, NAMES, None).unwrap_err();
        let detail = "p.ncst and q.ncst both contain a, row groups 0–1, 5 (and 1 more file)";
        assert_eq!(error.fact("detail"), Some(detail));
    }

    #[test]
    fn equal_content_under_two_names_is_found() {
        let mut one = ledger(&[("a", 1, 0), ("b", 2, 0)]);
        assert!(one.clone().merge(&ledger(&[("z", 1, 0)]), NAMES, Some(&[])).is_err());
        one.merge(&ledger(&[("z", 1, 0)]), NAMES, None).unwrap();
        // Another row group of a copy, and other rows under an equal footer, are other rows.
        one.merge(&ledger(&[("y", 1, 1)]), NAMES, Some(&[])).unwrap();
        let mut same_footer = Ledger::default();
        same_footer.insert(&source("x", 2), 0, LedgerEntry { used: 5, skipped: 1, digest: 77 }).unwrap();
        one.merge(&same_footer, NAMES, Some(&[])).unwrap();
        assert_eq!((one.units(), one.rows()), (5, (25, 5)));
    }

    #[test]
    fn equal_content_in_two_groups_is_two_groups() {
        let keys = ["epoch".to_owned()];
        let one = ledger(&[("epoch=1/layer=a/x", 1, 0)]);
        let merge =
            |name: &str, keys: &[String]| one.clone().merge(&ledger(&[(name, 1, 0)]), NAMES, Some(keys)).is_ok();
        assert!(merge("epoch=2/layer=a/x", &keys) && !merge("epoch=2/layer=a/x", &[]));
        assert!(!merge("epoch=01/layer=a/y", &keys) && !merge("epoch=1/layer=b/x", &keys) && !merge("z", &keys));
    }

    #[test]
    fn what_is_subtracted_must_be_there() {
        let whole = ledger(&[("a", 1, 0), ("a", 1, 1), ("b", 2, 0)]);
        let mut rest = whole.clone();
        rest.subtract(&ledger(&[("a", 1, 1), ("b", 2, 0)]), NAMES).unwrap();
        assert_eq!(rest, ledger(&[("a", 1, 0)]));
        let error = rest.subtract(&ledger(&[("a", 1, 0), ("a", 1, 1)]), NAMES).unwrap_err();
        assert_eq!(error.fact("detail"), Some("p.ncst lacks a, row group 1 of q.ncst"));
        rest.merge(&ledger(&[("a", 1, 1), ("b", 2, 0)]), NAMES, Some(&[])).unwrap();
        assert_eq!(rest, whole);
    }

    #[test]
    fn a_file_that_was_left_out_may_be_counted_later() {
        let mut one = ledger(&[("a", 1, 0)]);
        one.leave_out("b");
        one.leave_out("a");
        assert_eq!(one.left_out().collect::<Vec<_>>(), ["b"]);
        one.merge(&ledger(&[("b", 2, 0)]), NAMES, Some(&[])).unwrap();
        assert_eq!(one, ledger(&[("a", 1, 0), ("b", 2, 0)]));
    }
}
