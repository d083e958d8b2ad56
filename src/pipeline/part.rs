//! A part of a plan, as it travels to another machine, and how it is counted there.
//!
//! A part is a state file that holds no row yet: its conventions are those of the run, its plan lists the files, and its
//! ledger the units that are to be counted. What comes back is a finished state file whose ledger lists the same units. So
//! a part has a version and checksums, and is counted under the conventions that will be compared when it is merged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::Rounding;
use super::first_pass::{Blocking, Counting, FirstPass, accumulate_until};
use super::provenance;
use super::scan::Watch;
use super::task::identity;
use crate::archive::{Archive, File, Planned, Request};
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::state::{Input, put_text};
use crate::store::{Groups, Ledger, LedgerEntry, StateFile, Unfinished};

/// Units of a plan that are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    file: StateFile,
    /// [`Archive::text_keys`] of the whole plan.
    text_keys: BTreeSet<String>,
}

impl Part {
    /// The part of these units, all of which are of one run under the conventions of `file`, which holds nothing.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if the working directory is not known.
    pub(super) fn new(archive: &Archive, units: &[usize], conventions: &StateFile) -> Result<Self> {
        let mut ledger = Ledger::default();
        let mut files: BTreeMap<usize, &File> = BTreeMap::new();
        for &unit in units {
            let (source, row_group) = identity(archive, unit);
            ledger.insert(&source, row_group, LedgerEntry::default())?;
            let file = archive.units()[unit].file;
            files.insert(file, &archive.files()[file]);
        }
        let files: std::io::Result<Vec<Planned>> = files.into_values().map(File::planned).collect();
        let files = files.map_err(|error| Error::io("cannot find the working directory").caused_by(error))?;
        let plan =
            Unfinished { inputs: Vec::new(), shard: None, files, damaged: Vec::new(), units: units.len() as u64 };
        let file = StateFile { ledger, unfinished: Some(plan), ..conventions.clone() };
        Ok(Self { file, text_keys: archive.text_keys().clone() })
    }

    /// How many units it has.
    pub fn units(&self) -> usize {
        self.file.ledger.units()
    }

    /// Its units, as a ledger without rows.
    pub fn ledger(&self) -> &Ledger {
        &self.file.ledger
    }

    /// The part as bytes.
    ///
    /// # Errors
    ///
    /// Those of [`StateFile::encode`].
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        out.extend((self.text_keys.len() as u64).to_le_bytes());
        self.text_keys.iter().for_each(|key| put_text(&mut out, key));
        out.extend(self.file.encode()?);
        Ok(out)
    }

    /// The part of these bytes.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if they are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Input::new(bytes);
        let keys = usize::try_from(u64::from_le_bytes(input.take()?));
        let keys = keys.map_err(|_| Error::data("the description of units is damaged"))?;
        let text_keys = input.many(keys, 4, |input| Ok(input.text()?.to_owned()))?.into_iter().collect();
        let rest = input.remaining();
        let file = StateFile::decode(&bytes[bytes.len() - rest..])?;
        Ok(Self { file, text_keys })
    }

    /// Counts the units, on so many threads with so many bytes of memory.
    ///
    /// # Errors
    ///
    /// The first error in the order of the units; [`Data`](crate::error::ErrorKind::Data) if a file is not what was planned;
    /// [`Interrupted`](crate::error::ErrorKind::Interrupted) if a stop is asked for.
    pub fn count(&self, device: &Device, threads: usize, memory: u64, watch: &Watch) -> Result<StateFile> {
        let plan = self.file.unfinished.as_ref().ok_or_else(|| Error::internal("a part without a plan"))?;
        let conventions = &self.file.provenance;
        let filters = conventions.filters.first().map(|filters| filters.pairs().to_vec()).unwrap_or_default();
        let request = Request {
            group_by: conventions.group_by.clone(),
            filters,
            // Files with equal bytes were refused when the whole was planned.
            allow_duplicates: true,
            filters_optional: true,
            memory: Some(memory),
            ..Request::default()
        };
        let request = provenance::request(conventions, request);
        let blocking = conventions.blocks.clone().map_or(Blocking::None, Blocking::Dealt);
        let archive = Archive::open_part(&plan.files, &self.text_keys, &blocking.request(request.clone())?)?;
        let (rounding, scatter) = (Rounding::beside(conventions), conventions.scatter);
        let counting = Counting { rounding, scatter, blocking };
        let first_pass = FirstPass::new(archive, request, counting, device.clone(), threads, memory)?;
        if first_pass.provenance() != *conventions {
            return Err(Error::data("the units are not counted here as they were planned"));
        }
        let wanted = |unit: &usize| {
            let (source, row_group) = identity(&first_pass.archive, *unit);
            self.file.ledger.contains(&source, row_group)
        };
        let batches = first_pass.group_batches.iter();
        let batches: Vec<Vec<usize>> = batches.map(|batch| batch.iter().copied().filter(wanted).collect()).collect();
        let (mut ledger, mut groups) = (Ledger::default(), Groups::new());
        for batch in &batches {
            if batch.is_empty() {
                continue;
            }
            let counted = accumulate_until(&first_pass, batch, watch, &|| watch.stop.load(Ordering::Relaxed))?;
            watch.check()?;
            for (position, entry) in counted.entries {
                let (source, row_group) = identity(&first_pass.archive, batch[position]);
                ledger.insert(&source, row_group, entry)?;
            }
            for (key, group) in counted.groups {
                if !group.is_empty() {
                    let encoded = group.encode().map_err(|error| first_pass.locate(error, &key))?;
                    groups.insert(key, encoded);
                }
            }
            first_pass.meter.set(0);
        }
        if ledger.units() != self.units() {
            return Err(Error::data("a file lacks units that were planned")
                .with("planned", self.units())
                .with("found", ledger.units()));
        }
        Ok(StateFile { provenance: conventions.clone(), ledger, groups, unfinished: None })
    }
}
