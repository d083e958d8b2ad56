//! The parts of states that lie on a device while rows are added to them.
//!
//! A device keeps sums on one grid, a few bits finer than that of their first chunk, and one shift for each class. What does
//! not fit there goes the CPU's way, to the state itself: any split of a chunk's rows adds up to the same state.

mod sums;

use std::collections::BTreeMap;

use self::sums::Sums;
use super::{Accumulate, Chunk, Merge, Shifts, State};
use crate::batch::{ByClass, Label};
use crate::error::{Error, Result};
use crate::kernels::{SlotRows, Workspace, lacks_device_memory};

/// After so many chunks in a row that do not fit the sums, new sums begin on the grid of the last of them.
const MISFITS: u32 = 2;

/// The states that one worker adds rows to, by key.
pub trait StatesByKey<K> {
    /// The state of this key; `None` is a bug.
    fn state(&mut self, key: &K) -> Option<&mut State>;
}

fn state_of<'a, K>(states: &'a mut impl StatesByKey<K>, key: &K) -> Result<&'a mut State> {
    states.state(key).ok_or_else(|| Error::internal("a state of which the device holds a part is not there"))
}

/// What a worker's device holds of its states. [`settle`](Self::settle) completes them.
#[derive(Debug)]
pub struct DeviceParts<K> {
    parts: BTreeMap<K, Part>,
    /// Counts the chunks.
    clock: u64,
}

impl<K> Default for DeviceParts<K> {
    fn default() -> Self {
        Self { parts: BTreeMap::new(), clock: 0 }
    }
}

/// The part of one state.
#[derive(Debug, Default)]
struct Part {
    sums: Option<Sums>,
    misfits: u32,
    /// When rows were last added.
    used: u64,
    /// Whether the device has too little memory for these sums alone.
    too_large: bool,
}

impl<K: Clone + Ord> DeviceParts<K> {
    /// Adds rows of a chunk to a state, all or the ones listed: on the device as far as it takes them.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulate::update`]; those of the device, after which the states are unspecified.
    pub fn update(
        &mut self,
        key: &K,
        states: &mut impl StatesByKey<K>,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        if workspace.kernels.device_sums().is_none() {
            self.check_none_is_lost()?;
            return state_of(states, key)?.update(chunk, rows, shifts, workspace);
        }
        if !self.parts.contains_key(key) {
            self.parts.insert(key.clone(), Part::default());
        }
        self.clock += 1;
        let mut emptied = false;
        loop {
            let Some(part) = self.parts.get_mut(key) else { return Err(Error::internal("a part has vanished")) };
            part.used = self.clock;
            let error = match part.update(state_of(states, key)?, chunk, rows, shifts, workspace) {
                Err(error) if lacks_device_memory(&error) => error,
                outcome => return outcome,
            };
            if self.make_room(Some(key), states, workspace)? {
                continue;
            }
            // Nothing else is left on the device.
            let Some(part) = self.parts.get_mut(key) else { return Err(error) };
            part.settle(state_of(states, key)?, workspace)?;
            if emptied {
                if workspace.kernels.device_sums().is_some_and(|device| device.is_required()) {
                    return Err(error);
                }
                part.too_large = true;
            }
            emptied = true;
        }
    }

    /// Completes the state whose sums were not used for the longest time, other than that of `key`, so that the device has
    /// memory for something else. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// Those of [`settle`](Self::settle).
    pub fn make_room(
        &mut self,
        key: Option<&K>,
        states: &mut impl StatesByKey<K>,
        workspace: &mut Workspace,
    ) -> Result<bool> {
        let others = self.parts.iter_mut().filter(|(other, part)| Some(*other) != key && part.sums.is_some());
        let Some((oldest, part)) = others.min_by_key(|(_, part)| part.used) else { return Ok(false) };
        part.settle(state_of(states, oldest)?, workspace)?;
        Ok(true)
    }

    /// Whether no state has a part on the device.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether the device holds rows of that class for a state.
    pub fn contains(&self, key: &K, label: &Label) -> bool {
        self.sums(key).is_some_and(|sums| sums.slot_of.contains_key(label))
    }

    /// `D` of the rows that the device holds for a state, if it holds some.
    pub fn dim(&self, key: &K) -> Option<usize> {
        self.sums(key).map(|sums| sums.exponents.len())
    }

    /// The labels of the classes that the device holds for a state.
    pub fn labels(&self, key: &K) -> &[Label] {
        self.sums(key).map_or(&[], |sums| &sums.labels)
    }

    /// A device that is gone has taken its sums along.
    fn check_none_is_lost(&self) -> Result<()> {
        if self.parts.values().any(|part| part.sums.is_some()) { Err(lost()) } else { Ok(()) }
    }

    fn sums(&self, key: &K) -> Option<&Sums> {
        self.parts.get(key)?.sums.as_ref()
    }

    /// Brings everything that the device holds to the states.
    ///
    /// # Errors
    ///
    /// Those of the device, and of [`Merge::merge`].
    pub fn settle(&mut self, states: &mut impl StatesByKey<K>, workspace: &mut Workspace) -> Result<()> {
        for (key, part) in &mut self.parts {
            if part.sums.is_some() {
                part.settle(state_of(states, key)?, workspace)?;
            }
        }
        self.parts.clear();
        Ok(())
    }
}

impl Part {
    fn update(
        &mut self,
        state: &mut State,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let Chunk { batch, profile } = chunk;
        let grid = profile.grid();
        let none = rows.map_or(batch.rows(), <[u32]>::len) == 0;
        if none || self.too_large || !profile.is_narrow() || grid.dim() != batch.dim() || grid.finest().is_none() {
            return state.update(chunk, rows, shifts, workspace);
        }
        let order = ByClass::of(batch, rows);
        let mut left = self.sums.as_ref().and_then(|sums| sums.fit(grid, profile.largest(), order.rows().len()));
        if left.is_none() {
            self.misfits += 1;
            if self.sums.is_some() && self.misfits < MISFITS {
                return state.update(chunk, rows, shifts, workspace);
            }
            self.settle(state, workspace)?;
            self.sums = Some(Sums::open(grid, state.has_scatter(), workspace)?);
            left = self.sums.as_ref().and_then(|sums| sums.fit(grid, profile.largest(), order.rows().len()));
        }
        let (Some(sums), Some(left)) = (&mut self.sums, left) else {
            return state.update(chunk, rows, shifts, workspace);
        };
        self.misfits = 0;
        let slots = sums.slots(chunk, &order, shifts, workspace)?;
        let mut long = Vec::new();
        let device = workspace.kernels.device_sums().ok_or_else(lost)?;
        let rows = SlotRows { batch, profile, order: &order, slots: &slots, left: &left };
        device.add(sums.id, &rows, &mut long)?;
        sums.count(batch, grid, &rows, &long);
        if long.is_empty() {
            return Ok(());
        }
        long.sort_unstable();
        state.update(chunk, Some(&long), shifts, workspace)
    }

    /// Brings the sums to the state.
    fn settle(&mut self, state: &mut State, workspace: &mut Workspace) -> Result<()> {
        let Some(id) = self.sums.as_ref().map(|sums| sums.id) else { return Ok(()) };
        // A device that lacks memory to hand sums over keeps them.
        let taken = workspace.kernels.device_sums().ok_or_else(lost)?.take(id)?;
        match self.sums.take().map(|sums| sums.into_state(taken)).transpose()?.flatten() {
            Some(part) => state.merge(&part),
            None => Ok(()),
        }
    }
}

/// The device has failed since rows were added to sums on it.
fn lost() -> Error {
    Error::io("the device failed").with("device", "gone").help("--device cpu does without it")
}
