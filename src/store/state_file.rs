//! A state file in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, ErrorKind as IoErrorKind, Read, Write};
use std::ops::RangeInclusive;
use std::path::Path;

use super::format::{self, MAGIC, Sections};
use super::group::{EncodedGroup, GroupState};
use super::provenance::Difference;
use super::{Groups, Ledger, Provenance, Unfinished, write_whole};
use crate::archive::{Key, escaped};
use crate::batch::Label;
use crate::error::{Error, ErrorKind, Result};
use crate::objects::{self, Reading, Writing, is_address};

/// States of groups, with the ledger of the units that were counted in them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// Under which conventions the rows were counted.
    pub provenance: Provenance,
    /// The row groups that were counted.
    pub ledger: Ledger,
    /// The states.
    pub groups: Groups,
    /// The plan of a run that is not finished.
    pub unfinished: Option<Unfinished>,
}

/// The shape of a group, all of its blocks together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The values of its keys.
    pub key: Key,
    /// `N`, the number of rows.
    pub rows: u64,
    /// `K`, the number of classes with rows.
    pub classes: usize,
    /// `D`.
    pub dim: usize,
    /// How many blocks have rows; 1 where rows are not dealt into blocks.
    pub blocks: usize,
    /// How many rows they have, from the smallest block to the largest.
    pub rows_of_blocks: RangeInclusive<u64>,
}

impl StateFile {
    /// Whether a file begins as a state file does.
    pub fn is_at(path: &Path) -> bool {
        let mut start = [0; 8];
        if is_address(path) {
            let is_one = path.to_str().is_some_and(|text| !text.contains(['*', '[']) && !text.ends_with('/'));
            let opened = || objects::look(path).ok().flatten().and_then(|_| objects::open(path).ok().flatten());
            let begins = |reading: &Reading| {
                reading.object().size >= 8 && reading.fill(0, &mut start).is_ok() && start == *MAGIC
            };
            return is_one && opened().as_ref().is_some_and(begins);
        }
        // Opening a pipe without a writer would wait.
        path.is_file()
            && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok_and(|()| start == *MAGIC)
    }

    /// Bytes of the file at a path, if there is one; in an object store as this process has seen it last.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if a store cannot be asked.
    pub fn size_at(path: &Path) -> Result<Option<u64>> {
        if is_address(path) {
            return Ok(objects::seen(path)?.map(|object| object.size));
        }
        Ok(path.metadata().ok().map(|metadata| metadata.len()))
    }

    /// Removes the file at a path.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if it cannot be removed.
    pub fn remove(path: &Path) -> Result<()> {
        if is_address(path) {
            return objects::remove(path);
        }
        std::fs::remove_file(path)
            .map_err(|error| Error::io("cannot remove").with("file", path.display()).caused_by(error))
    }

    /// Reads a state file, and checks all of it but the states themselves, which [`EncodedGroup::decode`] checks.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing), [`Io`](crate::error::ErrorKind::Io), or
    /// [`Data`](crate::error::ErrorKind::Data) if it is damaged or of a newer version.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || {
            if is_address(path) {
                let bytes = objects::read(path, u64::MAX).map_err(|error| match error.kind() {
                    ErrorKind::Missing => Error::missing("no such state file").caused_by(error),
                    _ => error,
                })?;
                return Self::decode(&bytes);
            }
            let failed = |error: std::io::Error| match error.kind() {
                IoErrorKind::NotFound => Error::missing("no such state file").caused_by(error),
                kind => Error::io("cannot read the state").with("detail", kind).caused_by(error),
            };
            // Checked before opening, because opening a pipe without a writer would wait.
            if !path.metadata().map_err(failed)?.is_file() {
                return Err(Error::data("not a state file"));
            }
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            format::read(&mut BufReader::with_capacity(1 << 16, file), metadata.len())
        };
        read().map_err(|error| error.with("file", path.display()))
    }

    /// Leaves the groups that have these values: different keys must all match, and one key may have any of its values. The
    /// ledger stays that of all groups.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for a key that the groups do not have;
    /// [`Missing`](crate::error::ErrorKind::Missing) if no group is left.
    pub fn pick(&mut self, filters: &[(String, String)]) -> Result<()> {
        let names = &self.provenance.group_by;
        for (name, _) in filters {
            let Some(at) = names.iter().position(|known| known == name) else {
                return Err(Error::usage("the groups have no such key")
                    .with("key", escaped(name))
                    .with("keys", if names.is_empty() { "none".to_owned() } else { escaped(&names.join(", ")) })
                    .help(
                        "what comes behind `?` picks groups by a key of --group-by, as it was when rows were counted",
                    ));
            };
            let is_asked = |value: &Label| filters.iter().any(|(other, asked)| other == name && value.is_typed(asked));
            self.groups.retain(|key, _| key.get(at).is_some_and(is_asked));
        }
        let unmatched = |(name, value): &&(String, String)| {
            let at = names.iter().position(|known| known == name);
            let is_asked = |key: &Key| at.and_then(|at| key.get(at)).is_some_and(|found| found.is_typed(value));
            !self.groups.keys().any(is_asked)
        };
        let unmatched: Vec<&(String, String)> = filters.iter().filter(unmatched).collect();
        if !unmatched.is_empty() {
            let asked: Vec<String> = unmatched.iter().map(|(name, value)| format!("{name}={value}")).collect();
            return Err(Error::missing("no group has these keys").with("asked for", escaped(&asked.join(" "))));
        }
        Ok(())
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    ///
    /// Those of [`write_whole`], with the bytes needed.
    pub fn write(&self, path: &Path, overwrite: bool) -> Result<()> {
        let sections = Sections::of(self)?;
        let write = |out: &mut (dyn Write + Send)| {
            sections
                .write(out)
                .map_err(|error| Error::io("the state cannot be written").with("detail", &error).caused_by(error))
        };
        if is_address(path) && overwrite {
            let mut object = Writing::over_seen(path)?;
            write(&mut object)?;
            return object.finish();
        }
        let written = write_whole(path, overwrite, write);
        written.map_err(|error| match error.kind() {
            ErrorKind::Io => error.with("bytes needed", sections.len()),
            _ => error,
        })
    }

    /// The file's bytes.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if a planned file's time of writing is out of range.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        Sections::of(self)?.write(&mut out).map_err(|error| Error::io("cannot write").caused_by(error))?;
        Ok(out)
    }

    /// The file of these bytes.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read).
    pub fn decode(mut bytes: &[u8]) -> Result<Self> {
        let size = bytes.len() as u64;
        format::read(&mut bytes, size)
    }

    /// Merges others into this one, which errors call `name`; each other comes with its name.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if one is unfinished, settings or dimensions differ, or rows would be
    /// counted twice.
    pub fn merge(&mut self, name: &str, others: &[(String, Self)], allow_duplicates: bool) -> Result<()> {
        self.refuse_unfinished(name)?;
        let mut merged: Vec<(&str, &Ledger)> = Vec::new();
        let mut ledger = self.ledger.clone();
        let keys = self.provenance.group_by.clone();
        let keys = (!allow_duplicates).then_some(keys.as_slice());
        for (theirs, other) in others {
            other.refuse_unfinished(theirs)?;
            let named = |error: Error| error.with("states", format!("{name} and {theirs}"));
            self.provenance.merge(&other.provenance).map_err(named)?;
            self.refuse_other_keys(other).map_err(named)?;
            if let Err(error) = ledger.merge(&other.ledger, (name, theirs), keys) {
                // Name the one of those before it that holds the same rows.
                let of = |(earlier, known): &(&str, &Ledger)| {
                    (*known).clone().merge(&other.ledger, (earlier, theirs), keys).err()
                };
                let error = merged.iter().find_map(of).unwrap_or(error);
                return Err(match error.fact("detail") {
                    Some(detail) if detail.contains(" both contain ") && self.provenance.filters != other.provenance.filters => {
                        error.help(
                            "leave one of them out: also where --where took other rows, a row group is counted in one state only; \
                             count the files once with --group-by that key",
                        )
                    }
                    _ => error,
                });
            }
            merged.push((theirs, &other.ledger));
        }
        self.ledger = ledger;
        let mut groups: BTreeMap<_, Vec<&EncodedGroup>> = BTreeMap::new();
        for (_, other) in others {
            other.groups.iter().for_each(|(key, group)| groups.entry(key).or_default().push(group));
        }
        // Groups to which nothing is added are checked too.
        let alone = self.groups.iter().filter(|(key, _)| !groups.contains_key(key));
        alone.map(|(key, group)| self.group(key, group)).try_for_each(|group| group.map(drop))?;
        let scatter = self.provenance.scatter;
        for (key, theirs) in groups {
            let mine = self.groups.entry(key.clone()).or_default();
            let merge = || {
                let mut all = mine.decode(scatter)?;
                for group in theirs {
                    all.merge(&group.decode(scatter)?)?;
                }
                all.encode()
            };
            *mine = merge().map_err(|error| self.provenance.locate(error, key))?;
        }
        Ok(())
    }

    /// Takes the rows of another state out again.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if they are not all in this one, or one of the two is unfinished.
    pub fn subtract(&mut self, name: &str, (theirs, other): (&str, &Self)) -> Result<()> {
        self.refuse_unfinished(name)?;
        other.refuse_unfinished(theirs)?;
        let mut joined = self.provenance.clone();
        joined.merge(&other.provenance)?;
        // Which rows the other asked for may be said in other words; the ledger and the groups tell whether they are here.
        if let Some(Difference { name: setting, mine, .. }) = self.provenance.difference_beyond_filters(&joined) {
            let other = other.provenance.shown().remove(&setting).unwrap_or_default();
            return Err(Error::data("the states were made under different settings")
                .with("detail", format!("{setting}: {mine} in {name}, {other} in {theirs}")));
        }
        self.ledger.subtract(&other.ledger, (name, theirs))?;
        let scatter = self.provenance.scatter;
        for (key, other) in &other.groups {
            let absent = || Error::data("the rows to be subtracted are not in the state");
            let mine = self.groups.get_mut(key).ok_or_else(absent)?;
            let subtract = || {
                let mut rest = mine.decode(scatter)?;
                rest.subtract(&other.decode(scatter)?)?;
                rest.encode()
            };
            *mine = subtract().map_err(|error| self.provenance.locate(error, key))?;
        }
        self.groups.retain(|_, group| !group.is_empty());
        Ok(())
    }

    /// How many groups there are, however many blocks each has.
    pub fn group_count(&self) -> usize {
        let by = self.provenance.group_by.len();
        self.groups.keys().map(|key| &key[..by.min(key.len())]).collect::<BTreeSet<_>>().len()
    }

    /// Decodes every state; returns the shapes of the groups, in the order of their keys.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the group of a state that contradicts itself or the file.
    pub fn shapes(&self) -> Result<Vec<Shape>> {
        let by = self.provenance.group_by.len();
        let mut groups: BTreeMap<&[Label], (Shape, BTreeSet<Label>)> = BTreeMap::new();
        for (key, group) in &self.groups {
            let group = self.group(key, group)?;
            let sums = group.state.class_sums();
            let key = &key[..by.min(key.len())];
            let (shape, classes) = groups.entry(key).or_insert_with(|| {
                let rows_of_blocks = sums.rows()..=sums.rows();
                (Shape { key: key.to_vec(), rows: 0, classes: 0, dim: 0, blocks: 0, rows_of_blocks }, BTreeSet::new())
            });
            shape.rows += sums.rows();
            shape.dim = shape.dim.max(group.state.dim());
            shape.blocks += 1;
            let (fewest, most) = shape.rows_of_blocks.clone().into_inner();
            shape.rows_of_blocks = fewest.min(sums.rows())..=most.max(sums.rows());
            classes.extend(sums.labels().iter().cloned());
        }
        Ok(groups.into_values().map(|(shape, classes)| Shape { classes: classes.len(), ..shape }).collect())
    }

    fn group(&self, key: &Key, group: &EncodedGroup) -> Result<GroupState> {
        group.decode(self.provenance.scatter).map_err(|error| self.provenance.locate(error, key))
    }

    /// Fails for the state of an unfinished run.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with its progress.
    pub fn refuse_unfinished(&self, name: &str) -> Result<()> {
        match &self.unfinished {
            Some(plan) => Err(Error::data("the state is not finished")
                .with("file", name)
                .with("detail", format!("{} of {} units were counted", self.ledger.units(), plan.units))
                .help("finish it with the command that began it and --resume")),
            None => Ok(()),
        }
    }

    /// The values of a key must all be of one type, or their order would depend on the order of merging.
    fn refuse_other_keys(&self, other: &Self) -> Result<()> {
        let (Some(mine), Some(theirs)) = (self.groups.keys().next(), other.groups.keys().next()) else {
            return Ok(());
        };
        let names = self.provenance.key_names();
        let mut pairs = names.iter().zip(mine.iter().zip(theirs));
        match pairs.find(|(_, (mine, theirs))| mine.kind() != theirs.kind()) {
            Some((name, (mine, theirs))) => Err(Error::data("the states differ in the type of a key")
                .with("detail", format!("{name}: {} and {}", mine.kind(), theirs.kind()))),
            None => Ok(()),
        }
    }
}
