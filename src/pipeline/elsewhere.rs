//! Counts the units of a plan on other machines, and merges what comes back.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::checkpointed::{CheckpointedPass, Saving, checkpoint, keep};
use super::first_pass::FirstPass;
use super::part::Part;
use super::scan::Watch;
use super::task::identity;
use crate::archive::{Key, escaped};
use crate::error::{Error, ErrorKind, Result};
use crate::store::{GroupState, Ledger, Provenance, SourceFile, StateFile};

/// What counts parts on other machines.
pub trait Elsewhere {
    /// Counts parts, in any order, and hands over finished states as they come: together they hold every unit of the parts
    /// once. A stop that the watch asks for ends the work.
    ///
    /// # Errors
    ///
    /// That of a part; that of the machines; those of `enter`; [`Interrupted`](crate::error::ErrorKind::Interrupted).
    fn count(&mut self, parts: Vec<Part>, watch: &Watch, enter: &mut dyn FnMut(StateFile) -> Result<()>) -> Result<()>;
}

/// How large parts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSize {
    /// About how many bytes of columns, as stored, a part has at least.
    pub bytes: u64,
    /// The most units of a part.
    pub units: usize,
}

impl CheckpointedPass {
    /// Counts what is left elsewhere, and writes the finished state: the bytes that [`run`](Self::run) writes. What has been
    /// merged is saved, as often as `saving` says and when the machines fail, so that a run can go on from there.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run) and of [`Elsewhere::count`]; [`Data`](crate::error::ErrorKind::Data) if a unit comes back
    /// twice, or under other conventions than those of the run.
    pub fn run_elsewhere(
        &mut self,
        size: PartSize,
        elsewhere: &mut dyn Elsewhere,
        watch: &Watch,
        saving: &Saving,
    ) -> Result<()> {
        self.run_by(watch, saving, |this, watch, saving| this.count_elsewhere(size, elsewhere, watch, saving))
    }

    fn count_elsewhere(
        &mut self,
        size: PartSize,
        elsewhere: &mut dyn Elsewhere,
        watch: &Watch,
        saving: &Saving,
    ) -> Result<()> {
        self.check_named()?;
        let mut live: BTreeMap<Key, GroupState> = BTreeMap::new();
        let mut written = Instant::now();
        let conventions = self.first_pass.provenance();
        let empty = StateFile {
            provenance: conventions.clone(),
            ledger: Ledger::default(),
            groups: BTreeMap::new(),
            unfinished: None,
        };
        for batch in self.first_pass.group_batches.clone() {
            let parts = parted(&batch, size, |unit| self.first_pass.archive.units()[unit].bytes);
            let parts: Result<Vec<Part>> =
                parts.into_iter().map(|units| Part::new(&self.first_pass.archive, units, &empty)).collect();
            let mut expected = Expected::new(self, &batch);
            let counted = elsewhere.count(parts?, watch, &mut |state| {
                let (bytes, rows) = expected.take(&state, &conventions)?;
                self.enter_state(state, &mut live)?;
                watch.bytes.fetch_add(bytes, Ordering::Relaxed);
                watch.rows.fetch_add(rows, Ordering::Relaxed);
                if written.elapsed() >= saving.every {
                    checkpoint(&mut self.file, &live, Some(&self.plan), saving)?;
                    written = Instant::now();
                }
                Ok(())
            });
            match counted {
                Ok(()) => expected.check_complete()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => return self.stop(&live, saving),
                Err(error) => {
                    if self.file.ledger.units() > 0 {
                        checkpoint(&mut self.file, &live, Some(&self.plan), saving)?;
                    }
                    return Err(error);
                }
            }
            keep(&mut self.file, &live)?;
            live.clear();
            self.first_pass.meter.set(0);
        }
        checkpoint(&mut self.file, &live, None, saving)
    }

    /// Conventions keep the name of the column that was chosen, and a type holds for a column of the name that was typed.
    fn check_named(&self) -> Result<()> {
        let FirstPass { archive, request, .. } = &self.first_pass;
        match (request.dtype, &request.features) {
            (Some(_), Some(typed)) if *typed != archive.features().name => {
                let name = escaped(&archive.features().name);
                Err(Error::usage("--dtype needs the whole name of the field, where a cluster counts")
                    .with("column", &name)
                    .help(format!("--features {name}")))
            }
            _ => Ok(()),
        }
    }

    fn enter_state(&mut self, state: StateFile, live: &mut BTreeMap<Key, GroupState>) -> Result<()> {
        let scatter = self.first_pass.scatter;
        let decoded = state.groups.into_iter().map(|(key, group)| {
            let group = group.decode(scatter).map_err(|error| self.first_pass.locate(error, &key))?;
            Ok((key, group))
        });
        let groups = decoded.collect::<Result<_>>()?;
        self.enter_groups(&state.ledger, groups, live)
    }
}

/// The units of a batch that have not come back.
struct Expected {
    /// Bytes and rows of each.
    units: BTreeMap<(SourceFile, u32), (u64, u64)>,
}

impl Expected {
    fn new(pass: &CheckpointedPass, batch: &[usize]) -> Self {
        let archive = &pass.first_pass.archive;
        let unit = |&unit: &usize| (identity(archive, unit), (archive.units()[unit].bytes, archive.units()[unit].rows));
        Self { units: batch.iter().map(unit).collect() }
    }

    /// Takes the units of a state off the list; returns their bytes and rows.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for a unit that is not on it, as one that comes a second time, and for a state
    /// that was counted otherwise.
    fn take(&mut self, state: &StateFile, conventions: &Provenance) -> Result<(u64, u64)> {
        state.refuse_unfinished("what was counted elsewhere")?;
        if state.provenance != *conventions {
            return Err(Error::data("rows were counted elsewhere under other conventions"));
        }
        let (mut bytes, mut rows) = (0, 0);
        for (source, units) in state.ledger.files() {
            for &row_group in units.keys() {
                let Some(unit) = self.units.remove(&(source.clone(), row_group)) else {
                    return Err(Error::data("the same rows would be counted twice")
                        .with("file", &source.name)
                        .with("row group", row_group));
                };
                bytes += unit.0;
                rows += unit.1;
            }
        }
        Ok((bytes, rows))
    }

    /// Fails if a unit has not come back.
    fn check_complete(&self) -> Result<()> {
        match self.units.keys().next() {
            None => Ok(()),
            Some((source, row_group)) => Err(Error::internal("a unit was not counted elsewhere")
                .with("file", &source.name)
                .with("row group", row_group)
                .with("units", self.units.len())),
        }
    }
}

/// Neighbouring units put together until they have the size.
fn parted(units: &[usize], size: PartSize, bytes: impl Fn(usize) -> u64) -> Vec<&[usize]> {
    let mut parts = Vec::new();
    let (mut start, mut held) = (0, 0_u64);
    for (at, &unit) in units.iter().enumerate() {
        held = held.saturating_add(bytes(unit));
        if held >= size.bytes || at + 1 - start >= size.units {
            parts.push(&units[start..=at]);
            (start, held) = (at + 1, 0);
        }
    }
    if start < units.len() {
        parts.push(&units[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::kernels::Device;
    use crate::pipeline::{ErrorBars, Task};

    const INPUT: &str = "tests/data/digits/hive";

    /// What becomes of the states of parts on their way back.
    type Tamper = fn(Vec<StateFile>) -> Vec<StateFile>;

    /// Counts parts as another machine does that gets their bytes.
    struct Here(Tamper);

    impl Elsewhere for Here {
        fn count(
            &mut self,
            parts: Vec<Part>,
            watch: &Watch,
            enter: &mut dyn FnMut(StateFile) -> Result<()>,
        ) -> Result<()> {
            let count = |part: &Part| {
                let sent = Part::decode(&part.encode()?)?;
                assert_eq!(sent, *part);
                let state = sent.count(&Device::cpu(), 1, 1 << 30, watch)?;
                StateFile::decode(&state.encode()?)
            };
            let states = parts.iter().map(count).collect::<Result<Vec<_>>>()?;
            (self.0)(states).into_iter().try_for_each(enter)
        }
    }

    fn task() -> Task {
        let mut task = Task::new([INPUT]);
        task.request.group_by = vec!["layer".to_owned(), "epoch".to_owned()];
        task.request.filters = vec![("split".to_owned(), "train".to_owned())];
        task.error_bars = Some(ErrorBars { blocks: Some(4), block_by: None });
        task
    }

    fn counted(name: &Path, tamper: Option<Tamper>) -> Result<Vec<u8>> {
        let mut pass = CheckpointedPass::begin(&task(), None)?;
        let saving = Saving::new(name);
        match tamper {
            None => pass.run(&Watch::default(), &saving)?,
            Some(tamper) => {
                let size = PartSize { bytes: 1, units: 2 };
                pass.run_elsewhere(size, &mut Here(tamper), &Watch::default(), &saving)?;
            }
        }
        Ok(std::fs::read(name).unwrap())
    }

    #[test]
    fn what_is_counted_elsewhere_makes_the_same_bytes() {
        let place = tempfile::tempdir().unwrap();
        let here = counted(&place.path().join("here.ncst"), None).unwrap();
        let elsewhere = counted(&place.path().join("elsewhere.ncst"), Some(|states| states)).unwrap();
        assert!(here == elsewhere);
        // Whatever the order, and whoever merges.
        let reversed = counted(&place.path().join("r.ncst"), Some(|states| states.into_iter().rev().collect()));
        assert!(reversed.unwrap() == here);
        let merged: Tamper = |mut states| {
            let mut first = states.remove(0);
            let others: Vec<_> = states.into_iter().map(|state| ("other".to_owned(), state)).collect();
            first.merge("first", &others, true).unwrap();
            vec![first]
        };
        assert!(counted(&place.path().join("m.ncst"), Some(merged)).unwrap() == here);
    }

    #[test]
    fn units_that_come_twice_or_not_at_all_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let refused = |name: &str, tamper: Tamper| {
            let path = place.path().join(name);
            let error = counted(&path, Some(tamper)).unwrap_err();
            // What was merged before is there, and unfinished.
            assert!(StateFile::read(&path).map_or(true, |file| file.unfinished.is_some()), "{name}");
            error
        };
        let twice = refused("twice", |mut states| {
            states.push(states[1].clone());
            states
        });
        assert_eq!(twice.message(), "the same rows would be counted twice");
        assert!(twice.fact("file").is_some());
        let lost = refused("lost", |mut states| {
            states.pop();
            states
        });
        assert_eq!(lost.message(), "a unit was not counted elsewhere");
        let other = refused("other", |mut states| {
            states[0].provenance.normalize = true;
            states
        });
        assert_eq!(other.message(), "rows were counted elsewhere under other conventions");
    }

    #[test]
    fn neighbours_are_put_together() {
        let size = |bytes, units| PartSize { bytes, units };
        let parts =
            |size| parted(&[4, 5, 6, 7], size, |unit| unit as u64).into_iter().map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(parts(size(9, 10)), [2, 2]);
        assert_eq!(parts(size(1, 10)), [1, 1, 1, 1]);
        assert_eq!(parts(size(100, 3)), [3, 1]);
        assert!(parted(&[], size(1, 1), |_| 0).is_empty());
    }
}
