//! Counts the rows of units into states.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::blocks::{fixed_keys, of_file};
use super::shared::SharedStates;
use super::{Blocking, FirstPass, differ_in_length};
use crate::archive::{Archive, DecodedChunk, Key, LabelCounts, Policy, add_counts, bad_file_reason, is_damage};
use crate::batch::{Batch, Label};
use crate::error::{Error, Result};
use crate::kernels::{Device, Profile, Workspace, lacks_device_memory};
use crate::metrics::Options;
use crate::pipeline::digest;
use crate::pipeline::memory::{Meter, class_bytes, held};
use crate::pipeline::scan::{Place, Watch, scan_until};
use crate::state::{Accumulate, Chunk, DeviceParts, Shifts, State, StatesByKey};
use crate::store::{GroupState, LedgerEntry};

/// How rows are rounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rounding {
    /// One exponent for all chunks and dimensions; `None` is each chunk's own.
    pub exponent: Option<i16>,
    /// By how many bits each chunk's own grid is made finer.
    pub extra_bits: u32,
}

impl Rounding {
    pub(in crate::pipeline) fn profile(self, batch: &Batch<'_>, workspace: &mut Workspace) -> Result<Profile> {
        match self.exponent {
            Some(exponent) => Profile::with_exponent(batch, exponent, workspace),
            None => Profile::of(batch, self.extra_bits, workspace),
        }
    }

    /// Adds all rows of a chunk, whatever their groups.
    pub(in crate::pipeline) fn add(
        self,
        chunk: &DecodedChunk,
        state: &mut State,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let batch = chunk.finite_batch()?;
        let profile = self.profile(&batch, workspace)?;
        state.update(&Chunk { batch, profile: &profile }, None, shifts, workspace)?;
        workspace.recycle(profile);
        Ok(())
    }
}

/// Refuses rows of another length than those of the group.
fn check_dim(group: &GroupState, dim: usize) -> Result<()> {
    match group.state.dim() {
        0 => Ok(()),
        known if known == dim => Ok(()),
        known => Err(differ_in_length(known, dim)),
    }
}

/// Adds rows that were counted elsewhere to those of a group.
pub(in crate::pipeline) fn merge(group: &mut GroupState, other: &GroupState) -> Result<()> {
    if other.state.dim() != 0 {
        check_dim(group, other.state.dim())?;
    }
    group.merge(other)
}

/// The classes that `--min-count` and `--max-count` leave.
pub(in crate::pipeline) struct KeptClasses {
    classes: BTreeMap<Key, BTreeSet<Label>>,
    dropped: BTreeMap<Key, u64>,
}

impl KeptClasses {
    /// How many classes of the group were left out.
    pub(in crate::pipeline) fn dropped(&self, key: &Key) -> u64 {
        self.dropped.get(key).copied().unwrap_or(0)
    }

    /// The rows of a part that are of a class kept.
    fn rows(&self, chunk: &DecodedChunk, key: &[Label], rows: Option<&[u32]>) -> Vec<u32> {
        let kept: Vec<bool> = match self.classes.get(key) {
            Some(classes) => chunk.classes.iter().map(|label| classes.contains(label)).collect(),
            None => vec![false; chunk.classes.len()],
        };
        let is_kept = |row: &u32| kept[chunk.codes[*row as usize] as usize];
        match rows {
            Some(rows) => rows.iter().copied().filter(is_kept).collect(),
            None => (0..chunk.codes.len() as u32).filter(is_kept).collect(),
        }
    }
}

/// Which units are of files without damage, and the files that are not, with the reason.
///
/// Under `--on-bad-file skip` all files are decoded once before any row counts: damage may lie behind rows that
/// would be counted already, and a file is left out as a whole. Only files for which `wanted` holds are looked at.
pub(in crate::pipeline) fn sound_units(
    archive: &Archive,
    policy: Policy,
    wanted: impl Fn(usize) -> bool + Sync,
    watch: &Watch,
) -> Result<(Vec<bool>, BTreeMap<usize, String>)> {
    if policy == Policy::Fail {
        return Ok((vec![true; archive.units().len()], BTreeMap::new()));
    }
    let damage = |unit: usize| {
        let read = || {
            let mut reader = archive.read(unit)?;
            while reader.next()?.is_some() {
                watch.check()?;
            }
            Ok::<_, Error>(())
        };
        // Whatever else is wrong comes up again when the rows are counted.
        read().err().filter(is_damage).map(|error| (archive.units()[unit].file, error))
    };
    let units = (0..archive.units().len()).into_par_iter().filter(|&unit| wanted(archive.units()[unit].file));
    let found: Vec<(usize, Error)> = units.filter_map(damage).collect();
    let mut reasons: BTreeMap<usize, String> = BTreeMap::new();
    for (file, error) in found {
        reasons.entry(file).or_insert_with(|| bad_file_reason(&error, &archive.files()[file].shown));
    }
    let sound: Vec<bool> = archive.units().iter().map(|unit| !reasons.contains_key(&unit.file)).collect();
    watch.check()?;
    Ok((sound, reasons))
}

impl FirstPass {
    /// The [sound units](sound_units) of these files, for which `wanted` holds.
    pub(in crate::pipeline) fn sound_units(
        &self,
        wanted: impl Fn(usize) -> bool + Sync,
        watch: &Watch,
    ) -> Result<(Vec<bool>, BTreeMap<usize, String>)> {
        sound_units(&self.archive, self.request.bad_files, wanted, watch)
    }

    /// Finds the classes that `--min-count` and `--max-count` keep, by reading labels alone, and vectors too where some may leave
    /// their rows out; `None` if neither is given.
    pub(in crate::pipeline) fn count_classes(
        &self,
        sound: &[bool],
        options: &Options,
        watch: &Watch,
    ) -> Result<Option<KeptClasses>> {
        let counts = options.class_counts();
        if *counts.start() <= 1 && *counts.end() == u64::MAX {
            return Ok(None);
        }
        let units: Vec<usize> = (0..sound.len()).filter(|&unit| sound[unit]).collect();
        let by_vectors = self.request.nulls == Policy::Skip || self.request.nonfinite == Policy::Skip;
        let found = if by_vectors { self.count_rows(&units, watch)? } else { self.archive.count_labels(&units)? };
        watch.check()?;
        let mut kept = KeptClasses { classes: BTreeMap::new(), dropped: BTreeMap::new() };
        let mut groups = LabelCounts::new();
        for (key, classes) in found {
            add_counts(&mut groups, LabelCounts::from([(self.blocking.group(&key).to_vec(), classes)]));
        }
        for (key, classes) in groups {
            let all = classes.len();
            let classes: BTreeSet<Label> =
                classes.into_iter().filter(|(_, n)| counts.contains(n)).map(|(label, _)| label).collect();
            kept.dropped.insert(key.clone(), (all - classes.len()) as u64);
            kept.classes.insert(key, classes);
        }
        Ok(Some(kept))
    }

    /// How many rows of each label there are in each group of rows, without those that are left out.
    fn count_rows(&self, units: &[usize], watch: &Watch) -> Result<LabelCounts> {
        let count = |counts: Result<LabelCounts>, &unit: &usize| {
            let (mut counts, mut reader) = (counts?, self.archive.read(unit)?);
            while let Some(chunk) = reader.next()? {
                watch.check()?;
                for part in &chunk.parts {
                    let mut here = vec![0_u64; chunk.classes.len()];
                    match &part.rows {
                        Some(rows) => rows.iter().for_each(|&row| here[chunk.codes[row as usize] as usize] += 1),
                        None => chunk.codes.iter().for_each(|&code| here[code as usize] += 1),
                    }
                    let group = counts.entry(part.key.clone()).or_default();
                    for (label, &rows) in chunk.classes.iter().zip(&here).filter(|(_, rows)| **rows > 0) {
                        *group.entry(label.clone()).or_default() += rows;
                    }
                }
            }
            Ok(counts)
        };
        let both = |mine: Result<LabelCounts>, theirs: Result<LabelCounts>| {
            let mut all = mine?;
            add_counts(&mut all, theirs?);
            Ok(all)
        };
        let none = || Ok(LabelCounts::new());
        units.par_iter().fold(none, count).reduce(none, both)
    }
}

/// What a worker, or all of them, made of some units.
pub(in crate::pipeline) struct Counted {
    pub(in crate::pipeline) groups: BTreeMap<Key, GroupState>,
    /// What the ledger says of each unit, by its position in the list of units; empty if no ledger is kept.
    pub(in crate::pipeline) entries: BTreeMap<usize, LedgerEntry>,
    /// How many of the units were read.
    pub(in crate::pipeline) units: usize,
}

/// The states of all groups of these units.
pub(in crate::pipeline) fn accumulate(
    first_pass: &FirstPass,
    units: &[usize],
    kept: Option<&KeptClasses>,
    watch: &Watch,
) -> Result<BTreeMap<Key, GroupState>> {
    first_pass.meter.set(0);
    let counted = replaceable(&first_pass.device, watch, &first_pass.meter, |device| {
        count(device, first_pass, units, kept, false, watch, None)
    })?;
    watch.check()?;
    first_pass.meter.set(counted.groups.values().map(|group| held(group.state.class_sums())).sum());
    Ok(counted.groups)
}

/// The same up to a pause, with the ledger.
pub(in crate::pipeline) fn accumulate_until(
    first_pass: &FirstPass,
    units: &[usize],
    watch: &Watch,
    pause: &(dyn Fn() -> bool + Sync),
) -> Result<Counted> {
    replaceable(&first_pass.device, watch, &first_pass.meter, |device| {
        count(device, first_pass, units, None, true, watch, Some(pause))
    })
}

/// Does work on a device whose results are there at the end alone. If the device fails, the CPU does all of it again: what
/// the device held is lost, and nothing of it has been used yet.
pub(super) fn replaceable<T>(
    device: &Device,
    watch: &Watch,
    meter: &Meter,
    work: impl Fn(&Device) -> Result<T>,
) -> Result<T> {
    let (progress, grown) = (watch.progress(), meter.grown());
    match work(device) {
        Err(error) if device.is_replaced_after(&error) => {
            watch.go_back_to(progress);
            meter.set(grown);
            work(&Device::cpu())
        }
        outcome => outcome,
    }
}

/// What a worker counts, and with what.
struct Worker {
    counted: Counted,
    parts: DeviceParts<Key>,
    workspace: Workspace,
}

impl StatesByKey<Key> for BTreeMap<Key, GroupState> {
    fn state(&mut self, key: &Key) -> Option<&mut State> {
        self.get_mut(key).map(|group| &mut group.state)
    }
}

/// Profiles a chunk. Sums on the device make room for it.
pub(super) fn profile(
    rounding: Rounding,
    batch: &Batch<'_>,
    parts: &mut DeviceParts<Key>,
    groups: &mut BTreeMap<Key, GroupState>,
    workspace: &mut Workspace,
) -> Result<Profile> {
    loop {
        match rounding.profile(batch, workspace) {
            Err(error) if lacks_device_memory(&error) && parts.make_room(None, groups, workspace)? => {}
            outcome => return outcome,
        }
    }
}

fn count(
    device: &Device,
    first_pass: &FirstPass,
    units: &[usize],
    kept: Option<&KeptClasses>,
    ledger: bool,
    watch: &Watch,
    pause: Option<&(dyn Fn() -> bool + Sync)>,
) -> Result<Counted> {
    let shifts = ShiftTables::default();
    let shared = SharedStates::new(first_pass.meter.limit(), first_pass.threads);
    let blocking = &first_pass.blocking;
    let fixed = fixed_keys(&first_pass.request);
    let file_of = |unit: usize| match blocking {
        Blocking::Dealt(_) => {
            let file = first_pass.archive.units()[unit].file;
            of_file(&first_pass.archive.files()[file].name, &fixed)
        }
        Blocking::None | Blocking::Key(_) => 0,
    };
    let look = |worker: &mut Worker, place: Place, chunk: &DecodedChunk| {
        let Worker { counted, parts, workspace } = worker;
        let batch = chunk.finite_batch()?;
        let profile = profile(first_pass.rounding, &batch, parts, &mut counted.groups, workspace)?;
        let mut entry = LedgerEntry::default();
        let file = file_of(units[place.unit]);
        for part in &chunk.parts {
            let (group, key) = (blocking.group(&part.key), blocking.state_key(&part.key));
            let new_group = || GroupState::new(first_pass.scatter);
            let state = counted.groups.entry(key.clone()).or_insert_with(new_group);
            state.skipped.add(&part.skipped);
            entry.skipped += part.skipped.total();
            let filtered = kept.map(|kept| kept.rows(chunk, group, part.rows.as_deref()));
            let listed = part.rows.as_ref().map_or(batch.rows(), Vec::len);
            let rows = filtered.as_deref().or(part.rows.as_deref());
            let used = rows.map_or(batch.rows(), <[u32]>::len);
            state.skipped.filtered += (listed - used) as u64;
            if used == 0 {
                continue;
            }
            entry.used += used as u64;
            let shifts = shifts.of(group, chunk.dim)?;
            for (key, rows) in blocking.states(key, chunk, &batch, rows, file) {
                let rows = rows.as_deref();
                let state = counted.groups.entry(key.clone()).or_insert_with(new_group);
                let bits = first_pass.archive.file_significand_bits(first_pass.archive.units()[units[place.unit]].file);
                state.precisions.count(bits, rows.map_or(batch.rows(), <[u32]>::len) as u64)?;
                let (sums, wide) = (state.state.class_sums(), state.state.class_sums().wide_bytes());
                let new = new_classes(chunk, rows, |label| sums.contains(label) || parts.contains(&key, label));
                first_pass.meter.check_growth(new)?;
                parts.update(
                    &key,
                    &mut counted.groups,
                    &Chunk { batch, profile: &profile },
                    rows,
                    &shifts,
                    workspace,
                )?;
                let widened = counted.groups[&key].state.class_sums().wide_bytes().saturating_sub(wide) as u64;
                first_pass.meter.grow(new + widened);
            }
        }
        workspace.recycle(profile);
        if !device.is_offload() {
            shared
                .take_large(&mut counted.groups, first_pass.scatter, &first_pass.meter)
                .map_err(|(error, key)| first_pass.locate(error, &key))?;
        }
        if ledger {
            let unit = counted.entries.entry(place.unit).or_default();
            unit.used += entry.used;
            unit.skipped += entry.skipped;
            unit.digest = unit.digest.wrapping_add(digest::share(chunk, place.chunk));
        }
        Ok(())
    };
    let new = || Counted { groups: BTreeMap::new(), entries: BTreeMap::new(), units: 0 };
    let worker = || Worker { counted: new(), parts: DeviceParts::default(), workspace: device.workspace() };
    let (workers, read) =
        scan_until(&first_pass.archive, units, first_pass.threads, watch, pause, worker, |worker, place, chunk| {
            look(worker, place, chunk).map_err(|error| at_row(error, &first_pass.archive, units[place.unit], chunk))
        })?;
    let mut all = Counted { groups: shared.into_groups(), units: read, ..new() };
    // A unit without a wanted row was read all the same.
    all.entries.extend((0..if ledger { read } else { 0 }).map(|unit| (unit, LedgerEntry::default())));
    for Worker { mut counted, mut parts, mut workspace } in workers {
        parts.settle(&mut counted.groups, &mut workspace)?;
        for (key, group) in counted.groups {
            match all.groups.get_mut(&key) {
                Some(merged) => merge(merged, &group).map_err(|error| first_pass.locate(error, &key))?,
                None => {
                    all.groups.insert(key, group);
                }
            }
        }
        for (unit, entry) in counted.entries {
            let sum = all.entries.entry(unit).or_default();
            sum.used += entry.used;
            sum.skipped += entry.skipped;
            sum.digest = sum.digest.wrapping_add(entry.digest);
        }
    }
    Ok(all)
}

/// Bytes of the classes of these rows that are not known yet.
fn new_classes(chunk: &DecodedChunk, rows: Option<&[u32]>, is_known: impl Fn(&Label) -> bool) -> u64 {
    let mut wanted = vec![rows.is_none(); chunk.classes.len()];
    rows.unwrap_or_default().iter().for_each(|&row| wanted[chunk.codes[row as usize] as usize] = true);
    let new = chunk.classes.iter().zip(wanted).filter(|(label, wanted)| *wanted && !is_known(label));
    new.map(|(label, _)| class_bytes(label, chunk.dim)).sum()
}

/// Says where the row of a chunk is in its file.
pub(in crate::pipeline) fn at_row(error: Error, archive: &Archive, unit: usize, chunk: &DecodedChunk) -> Error {
    let unit = &archive.units()[unit];
    let row = error.fact("row").and_then(|row| row.parse::<usize>().ok()).and_then(|row| chunk.file_rows.get(row));
    let error = match row {
        Some(row) => error.with("row in file", row),
        None => error,
    };
    error.with_default("file", &archive.files()[unit.file].shown).with_default("row group", unit.row_group)
}

/// A table of shifts for every group.
#[derive(Default)]
pub(super) struct ShiftTables(Mutex<BTreeMap<Key, (usize, Arc<Shifts>)>>);

impl ShiftTables {
    /// The table of a group whose rows have this length, whichever worker has counted rows of it before.
    pub(super) fn of(&self, key: &[Label], dim: usize) -> Result<Arc<Shifts>> {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (known, shifts) = tables.entry(key.to_vec()).or_insert_with(|| (dim, Arc::default()));
        if *known == dim { Ok(shifts.clone()) } else { Err(differ_in_length(*known, dim)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_find_rows_of_different_length_in_one_group() {
        let (tables, key) = (ShiftTables::default(), vec![Label::Int(3)]);
        let first = tables.of(&key, 6).unwrap();
        assert!(Arc::ptr_eq(&first, &tables.of(&key, 6).unwrap()));
        let error = tables.of(&key, 5).unwrap_err();
        assert_eq!((error.fact("expected"), error.fact("found")), (Some("6"), Some("5")));
        assert!(tables.of(&[Label::Int(4)], 5).is_ok());
    }
}
