//! Rows become a state file, with checkpoints on the way.
//!
//! Units are counted in rounds. A round ends when a checkpoint is due or a stop is asked for: no further unit is begun,
//! those in hand are ended, by all threads together, and what the workers have is merged. Then the next round begins, and
//! beside it the file is written. So a checkpoint holds whole units, and its ledger says which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::first_pass::{Counted, FirstPass, Summary, accumulate_until, merge};
use super::memory::held;
use super::scan::Watch;
use super::task::{Task, identity, shard_of};
use crate::archive::{Archive, File, Key, Planned, Pooled};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{Difference, GroupState, Groups, Ledger, Provenance, StateFile, Unfinished, or_none};

/// Where the state goes.
#[derive(Clone, Debug)]
pub struct Saving {
    /// The state file. The caller holds its [lock](crate::store::Lock).
    pub path: PathBuf,
    /// How often it is written at most; zero is after every unit.
    pub every: Duration,
}

impl Saving {
    /// How often the state is written by default.
    pub const EVERY: Duration = Duration::from_mins(1);

    /// Writes the state to this file, as often as `nckit accumulate` does by default.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), every: Self::EVERY }
    }
}

/// A task whose files are open, and the state that it adds to.
#[derive(Debug)]
pub struct CheckpointedPass {
    pub(super) first_pass: FirstPass,
    pub(super) file: StateFile,
    pub(super) plan: Unfinished,
    /// Whether files have been looked through for damage, when the run began; nothing is counted before.
    looked_through: bool,
    warnings: Vec<String>,
    /// Whether content may be in the state already under another name: within one archive bytes have been compared.
    may_repeat: bool,
}

/// Checkpoints take no more than this share of the time.
const SHARE: u32 = 50;

impl CheckpointedPass {
    /// Begins a state, or extends one by what it does not hold yet; what an unfinished one had planned is planned anew.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::open`]; [`Data`](crate::error::ErrorKind::Data) if the settings are not those of the state, or a
    /// file has changed since it was counted.
    pub fn begin(task: &Task, base: Option<StateFile>) -> Result<Self> {
        let archive = Archive::open(&task.inputs, &task.request()?)?;
        let provenance = task.provenance(&archive);
        let file = match base {
            Some(mut file) => {
                refuse_other_rows(&archive, &file, &provenance)?;
                file.provenance.merge(&provenance)?;
                StateFile { unfinished: None, ..file }
            }
            None => StateFile { provenance, ledger: Ledger::default(), groups: Groups::new(), unfinished: None },
        };
        let files = archive.files().iter().map(File::planned).collect::<std::io::Result<_>>();
        let files: Vec<Planned> =
            files.map_err(|error| Error::io("cannot find the working directory").caused_by(error))?;
        let plan = Unfinished { inputs: task.inputs.clone(), shard: task.shard, files, damaged: Vec::new(), units: 0 };
        let mut this = Self::new(task, archive, file, plan, false)?;
        if !task.request.allow_duplicates {
            this.refuse_changed()?;
        }
        this.plan.units = (this.file.ledger.units() + this.left().count()) as u64;
        Ok(this)
    }

    /// Goes on with a state that is unfinished.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the difference if the task is not the one that was begun, or with the
    /// file that has changed or vanished.
    pub fn resume(task: &Task, mut file: StateFile) -> Result<Self> {
        let plan = file.unfinished.take().ok_or_else(|| Error::internal("the state is finished"))?;
        let shard = |shard: Option<(u32, u32)>| shard.map_or("none".to_owned(), |(i, n)| format!("{i}/{n}"));
        if plan.inputs != task.inputs {
            return Err(differs("inputs", &plan.inputs.join(" "), &task.inputs.join(" ")));
        }
        if plan.shard != task.shard {
            return Err(differs("shard", &shard(plan.shard), &shard(task.shard)));
        }
        if file.provenance.group_by != task.request.group_by {
            return Err(differs("group-by", &file.provenance.group_by.join(","), &task.request.group_by.join(",")));
        }
        let archive = Archive::reopen(&plan.files, &task.request()?)
            .map_err(|error| error.help("--extend goes on with the files as they are, --overwrite begins again"))?;
        refuse_other_settings(&file, &task.provenance(&archive))?;
        Self::new(task, archive, file, plan, true)
    }

    fn new(task: &Task, archive: Archive, file: StateFile, plan: Unfinished, looked_through: bool) -> Result<Self> {
        let (request, device) = (task.request.clone(), task.device.clone());
        let mut first_pass = FirstPass::new(archive, request, task.counting()?, device, task.threads, task.memory)?;
        let mine = shard_of(&first_pass.archive, plan.shard);
        let counted = |unit: usize| {
            let (source, row_group) = identity(&first_pass.archive, unit);
            file.ledger.contains(&source, row_group)
        };
        let damaged = |unit: usize| {
            plan.damaged.contains(&first_pass.archive.files()[first_pass.archive.units()[unit].file].name)
        };
        let left: Vec<bool> = (0..mine.len()).map(|unit| mine[unit] && !counted(unit) && !damaged(unit)).collect();
        first_pass.group_batches.iter_mut().for_each(|batch| batch.retain(|&unit| left[unit]));
        let may_repeat = !task.request.allow_duplicates && file.ledger.units() > 0;
        Ok(Self { first_pass, file, plan, looked_through, warnings: Vec::new(), may_repeat })
    }

    /// Of a task whose state is finished: how many of its units the state holds, and how many it does not.
    ///
    /// # Errors
    ///
    /// Those of [`begin`](Self::begin); [`Data`](crate::error::ErrorKind::Data) if a file has changed since it was counted.
    pub fn compare(task: &Task, finished: &StateFile) -> Result<(usize, usize)> {
        let archive = Archive::open(&task.inputs, &task.request()?)?;
        refuse_other_settings(finished, &task.provenance(&archive))?;
        let mine = shard_of(&archive, task.shard);
        let units = (0..mine.len()).filter(|&unit| mine[unit]);
        let (known, new): (Vec<usize>, Vec<usize>) = units.partition(|&unit| {
            let (source, row_group) = identity(&archive, unit);
            finished.ledger.contains(&source, row_group)
        });
        if !task.request.allow_duplicates {
            for &unit in &new {
                let (source, _) = identity(&archive, unit);
                if finished.ledger.knows_otherwise(&source) {
                    let shown = &archive.files()[archive.units()[unit].file].shown;
                    return Err(known_otherwise(shown, source.name));
                }
            }
        }
        Ok((known.len(), new.len()))
    }

    /// The archive.
    pub fn archive(&self) -> &Archive {
        &self.first_pass.archive
    }

    /// How the device has failed whose work the CPU did.
    pub fn device_failures(&self) -> Vec<&str> {
        self.first_pass.device.failure().into_iter().collect()
    }

    /// What the user should know before rows are read: what is pooled.
    pub fn notes(&self) -> Vec<String> {
        self.archive().pooled().iter().map(Pooled::describe).collect()
    }

    /// About how long it takes to read what is left, from a first chunk.
    ///
    /// # Errors
    ///
    /// Those of the first chunk.
    pub fn estimate(&self) -> Result<Duration> {
        self.first_pass.estimate(&self.summary())
    }

    /// What is left to read, in numbers.
    pub fn summary(&self) -> Summary {
        let units = || self.left().map(|unit| &self.first_pass.archive.units()[unit]);
        let files: BTreeSet<usize> = units().map(|unit| unit.file).collect();
        Summary {
            files: files.len(),
            rows: units().map(|unit| unit.rows).sum(),
            bytes: units().map(|unit| unit.bytes).sum(),
            groups: units().map(|unit| unit.key.as_ref()).collect::<Option<BTreeSet<_>>>().map(|groups| groups.len()),
            ..self.first_pass.summary()
        }
    }

    /// How many units the state holds, and how many it will hold.
    pub fn progress(&self) -> (u64, u64) {
        (self.file.ledger.units() as u64, self.plan.units)
    }

    /// Whether rows are being counted, so that a run that is stopped has saved the state.
    pub fn has_begun(&self) -> bool {
        self.looked_through
    }

    /// What has turned out in the run that the user should know, beside the archive's own warnings.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Counts what is left, and writes the finished state.
    ///
    /// # Errors
    ///
    /// The first error in the order of the units, those of writing, and
    /// [`Interrupted`](crate::error::ErrorKind::Interrupted) once a stop was asked for and the state is saved.
    pub fn run(&mut self, watch: &Watch, saving: &Saving) -> Result<()> {
        self.run_by(watch, saving, Self::count)
    }

    /// The same with what counts the units and writes the state.
    pub(super) fn run_by(
        &mut self,
        watch: &Watch,
        saving: &Saving,
        count: impl FnOnce(&mut Self, &Watch, &Saving) -> Result<()>,
    ) -> Result<()> {
        self.look_through(watch)?;
        let new = StateFile::size_at(&saving.path)?.is_none();
        if new {
            // The plan is frozen from here on. What is extended or replaced stays as it was until there is more.
            checkpoint(&mut self.file, &BTreeMap::new(), Some(&self.plan), saving)?;
        }
        let counted = count(self, watch, saving);
        if counted.as_ref().is_err_and(|error| error.kind() != ErrorKind::Interrupted)
            && new
            && StateFile::read(&saving.path).is_ok_and(|saved| saved.ledger.units() == 0)
        {
            // Nothing is in it that anybody would go on with; and if it cannot be removed it does no harm.
            let _ = StateFile::remove(&saving.path);
        }
        counted
    }

    fn left(&self) -> impl Iterator<Item = usize> {
        self.first_pass.group_batches.iter().flatten().copied()
    }

    /// Leaves damaged files out, before a row of theirs is counted.
    fn look_through(&mut self, watch: &Watch) -> Result<()> {
        if self.looked_through {
            return Ok(());
        }
        let archive = &self.first_pass.archive;
        let mut wanted = vec![false; archive.files().len()];
        self.left().for_each(|unit| wanted[archive.units()[unit].file] = true);
        let (sound, damaged) = self.first_pass.sound_units(|file| wanted[file], watch)?;
        let reasons = damaged.into_iter().map(|(file, reason)| (archive.files()[file].name.clone(), reason));
        let damaged: Vec<(String, String)> = reasons.collect();
        self.plan.units -= self.left().filter(|&unit| !sound[unit]).count() as u64;
        self.plan.damaged = damaged.iter().map(|(name, _)| name.clone()).collect();
        // One shard has them, so that shards together have them once.
        if self.plan.shard.is_none_or(|(part, _)| part == 0) {
            let unreadable = archive.bad_names().iter().map(String::as_str);
            let names = unreadable.chain(self.plan.damaged.iter().map(String::as_str));
            names.for_each(|name| self.file.ledger.leave_out(name));
        }
        let shown = |(name, reason)| format!("left out: {name}: {reason}");
        self.warnings.extend(damaged.into_iter().map(shown));
        self.first_pass.group_batches.iter_mut().for_each(|batch| batch.retain(|&unit| sound[unit]));
        self.looked_through = true;
        Ok(())
    }

    /// A file that was counted and has changed would be counted again, as a whole.
    fn refuse_changed(&self) -> Result<()> {
        for unit in self.left() {
            let (source, _) = identity(&self.first_pass.archive, unit);
            if self.file.ledger.knows_otherwise(&source) {
                let archive = &self.first_pass.archive;
                return Err(known_otherwise(&archive.files()[archive.units()[unit].file].shown, source.name));
            }
        }
        Ok(())
    }

    fn count(&mut self, watch: &Watch, saving: &Saving) -> Result<()> {
        // Only a run that reads all units knows which values no row has.
        let reads_all = self.file.ledger.units() == 0 && self.plan.shard.is_none() && self.plan.damaged.is_empty();
        let mut live: BTreeMap<Key, GroupState> = BTreeMap::new();
        let mut written = Instant::now();
        let mut every = saving.every;
        let group_batches = std::mem::take(&mut self.first_pass.group_batches);
        for batch in &group_batches {
            let mut rest = batch.as_slice();
            let mut due = false;
            while !rest.is_empty() {
                if watch.stop.load(Ordering::Relaxed) {
                    return self.stop(&live, saving);
                }
                let writing = AtomicBool::new(due);
                let failed = AtomicBool::new(false);
                if due {
                    written = Instant::now();
                }
                let pause = || {
                    watch.stop.load(Ordering::Relaxed)
                        || failed.load(Ordering::Relaxed)
                        || every.is_zero()
                        || (!writing.load(Ordering::Relaxed) && written.elapsed() >= every)
                };
                let Self { first_pass, file, plan, .. } = &mut *self;
                let (counted, saved) = std::thread::scope(|scope| {
                    let writer = due.then(|| {
                        scope.spawn(|| {
                            let start = Instant::now();
                            let saved = checkpoint(file, &live, Some(plan), saving);
                            failed.store(saved.is_err(), Ordering::Relaxed);
                            writing.store(false, Ordering::Relaxed);
                            saved.map(|()| start.elapsed())
                        })
                    });
                    let counted = accumulate_until(first_pass, rest, watch, &pause);
                    let joined = writer.map(|writer| {
                        writer.join().unwrap_or_else(|_| Err(Error::internal("the writer of the state panicked")))
                    });
                    (counted, joined.transpose())
                });
                if let Some(took) = saved?
                    && !saving.every.is_zero()
                {
                    every = saving.every.max(took * SHARE);
                }
                let counted = match counted {
                    // A request was given up: what came before this round is saved.
                    Err(error) if error.kind() == ErrorKind::Interrupted => return self.stop(&live, saving),
                    counted => counted?,
                };
                let units = counted.units;
                self.enter(counted, rest, &mut live)?;
                rest = &rest[units..];
                due = written.elapsed() >= every;
            }
            keep(&mut self.file, &live)?;
            live.clear();
            self.first_pass.meter.set(0);
        }
        self.first_pass.group_batches = group_batches;
        checkpoint(&mut self.file, &live, None, saving)?;
        let pooled = self.first_pass.archive.pooled_by_rows();
        self.warnings.extend(pooled.iter().map(Pooled::describe));
        if let Some(error) = self.first_pass.archive.check_filters().err().filter(|_| reads_all) {
            // What was counted is right, and saved.
            self.warnings.push(error.to_string());
        }
        Ok(())
    }

    /// Adds what a round has counted.
    fn enter(&mut self, counted: Counted, units: &[usize], live: &mut BTreeMap<Key, GroupState>) -> Result<()> {
        let mut ledger = Ledger::default();
        for (&position, &entry) in &counted.entries {
            let (source, row_group) = identity(&self.first_pass.archive, units[position]);
            ledger.insert(&source, row_group, entry)?;
        }
        self.enter_groups(&ledger, counted.groups, live)
    }

    /// Adds the groups of units that were counted.
    pub(super) fn enter_groups(
        &mut self,
        ledger: &Ledger,
        groups: BTreeMap<Key, GroupState>,
        live: &mut BTreeMap<Key, GroupState>,
    ) -> Result<()> {
        let keys = self.may_repeat.then_some(self.file.provenance.group_by.as_slice());
        self.file.ledger.merge(ledger, ("the state", "the input"), keys)?;
        for (key, group) in groups {
            if !live.contains_key(&key)
                && let Some(kept) = self.file.groups.get(&key)
            {
                let kept = kept.decode(self.first_pass.scatter);
                live.insert(key.clone(), kept.map_err(|error| self.first_pass.locate(error, &key))?);
            }
            match live.get_mut(&key) {
                Some(all) => merge(all, &group).map_err(|error| self.first_pass.locate(error, &key))?,
                None => {
                    live.insert(key, group);
                }
            }
        }
        let held = live.values().map(|group| held(group.state.class_sums())).sum();
        self.first_pass.meter.set(held);
        // The file's bytes, of the group and of the whole.
        self.first_pass.meter.check_more(held)
    }

    pub(super) fn stop(&mut self, live: &BTreeMap<Key, GroupState>, saving: &Saving) -> Result<()> {
        checkpoint(&mut self.file, live, Some(&self.plan), saving)?;
        Err(Error::interrupted("stopped before the end"))
    }
}

/// Fails if the state holds no row under the settings that are asked for.
fn refuse_other_settings(file: &StateFile, asked: &Provenance) -> Result<()> {
    let mut joined = file.provenance.clone();
    let difference = match joined.merge(asked) {
        Ok(()) => file.provenance.difference(&joined),
        Err(_) => file.provenance.difference(asked),
    };
    match difference {
        Some(Difference { name, mine, .. }) => {
            Err(differs(&name, &mine, &asked.shown().remove(&name).unwrap_or_default()))
        }
        None => Ok(()),
    }
}

/// Fails if the state holds a part of a unit, and other rows of it are asked for now: the ledger knows whole units.
fn refuse_other_rows(archive: &Archive, file: &StateFile, asked: &Provenance) -> Result<()> {
    if file.provenance.filters == asked.filters {
        return Ok(());
    }
    for (at, unit) in archive.units().iter().enumerate() {
        let (source, row_group) = identity(archive, at);
        let known = file.ledger.entry(&source, row_group);
        if known.is_some_and(|known| known.used.saturating_add(known.skipped) < unit.rows) {
            return Err(Error::data("the state holds other rows of the same row group, under another --where")
                .with("file", &archive.files()[unit.file].shown)
                .with("row group", row_group)
                .with("where", or_none(&file.provenance.shown().remove("where").unwrap_or_default()))
                .help("begin again and count both at once, as by --group-by, or keep a state for each"));
        }
    }
    Ok(())
}

/// The error of a file that a state holds under the same name with other content.
fn known_otherwise(shown: &str, name: String) -> Error {
    Error::data("a file of this name was counted before, with other content")
        .with("file", shown)
        .with("name in the state", name)
        .help(
            "if the file was written anew, --overwrite counts all files again; if it is another one, name the input from \
               further up, as in 'data/*/part-*.parquet', or --allow-duplicates",
        )
}

fn differs(name: &str, before: &str, now: &str) -> Error {
    Error::data("the state was begun under other settings")
        .with("detail", format!("{name}: {} then, {} now", or_none(before), or_none(now)))
        .help(
            "give the same command as before; --extend goes on under other settings where sums allow it, \
               --overwrite begins again",
        )
}

/// Encodes the groups that are open.
pub(super) fn keep(file: &mut StateFile, live: &BTreeMap<Key, GroupState>) -> Result<()> {
    for (key, group) in live {
        if !group.is_empty() {
            file.groups.insert(key.clone(), group.encode()?);
        }
    }
    Ok(())
}

pub(super) fn checkpoint(
    file: &mut StateFile,
    live: &BTreeMap<Key, GroupState>,
    plan: Option<&Unfinished>,
    saving: &Saving,
) -> Result<()> {
    keep(file, live)?;
    file.unfinished = plan.cloned();
    let written = file.write(&saving.path, true);
    file.unfinished = None;
    written
}
