//! States that the workers of a pass share once they are large.
//!
//! Each worker adds rows to a state of its own, which needs no lock. With many classes these states would take as much memory
//! for each thread as the whole group: so a worker whose state has grown large adds it to the one that all share, and begins
//! again. Adding is exact, so no result depends on when that happens.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::merge;
use crate::archive::Key;
use crate::error::Error;
use crate::pipeline::memory::{Meter, held};
use crate::store::GroupState;

/// The share of the memory that the states of all workers may take besides the shared ones.
const OWN_SHARE: u64 = 8;

/// Smaller states are not worth a lock.
const LEAST: u64 = 16 << 20;

/// The shared states of all groups.
#[derive(Debug)]
pub(super) struct SharedStates {
    groups: Mutex<BTreeMap<Key, GroupState>>,
    /// A state of a worker that takes more bytes than this is shared.
    most: u64,
}

/// Bytes that the states of so many workers take at most besides the shared ones.
pub(super) fn unshared(memory: u64, threads: usize) -> u64 {
    if threads > 1 { (memory / OWN_SHARE).max(threads as u64 * LEAST) } else { 0 }
}

impl SharedStates {
    /// For workers that share so much memory.
    pub(super) fn new(memory: u64, threads: usize) -> Self {
        let most = if threads > 1 { unshared(memory, threads) / threads as u64 } else { u64::MAX };
        Self { groups: Mutex::default(), most }
    }

    /// Adds a worker's states that have grown too large; `scatter` says whether they have one, and `meter` counts their memory.
    ///
    /// # Errors
    ///
    /// Those of [`merge`], with the key of the group.
    pub(super) fn take_large(
        &self,
        groups: &mut BTreeMap<Key, GroupState>,
        scatter: bool,
        meter: &Meter,
    ) -> Result<(), (Error, Key)> {
        let is_large = |group: &GroupState| self.most < u64::MAX && held(group.state.class_sums()) > self.most;
        for (key, group) in groups.iter_mut().filter(|(_, group)| is_large(group)) {
            let own = std::mem::replace(group, GroupState::new(scatter));
            let freed = held(own.state.class_sums());
            let mut shared = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(all) = shared.get_mut(key) else {
                shared.insert(key.clone(), own);
                continue;
            };
            let before = held(all.state.class_sums());
            merge(all, &own).map_err(|error| (error, key.clone()))?;
            let grown = held(all.state.class_sums()).saturating_sub(before);
            meter.shrink(freed.saturating_sub(grown));
        }
        Ok(())
    }

    /// What is shared in the end.
    pub(super) fn into_groups(self) -> BTreeMap<Key, GroupState> {
        self.groups.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Features, Label};
    use crate::kernels::{Profile, Workspace};
    use crate::state::{Accumulate, Chunk, Merge, Shifts};

    const DIM: usize = 3;

    /// Adds a row of each of these classes to a group.
    fn count(group: &mut GroupState, labels: &[i128], shifts: &Shifts) {
        let classes: Vec<Label> = labels.iter().map(|&label| Label::Int(label)).collect();
        let codes: Vec<u32> = (0..labels.len() as u32).collect();
        let values: Vec<f32> =
            (0..labels.len() * DIM).map(|at| (at * at % 97) as f32 + labels[at / DIM] as f32).collect();
        let batch = Batch::new(DIM, Features::F32(&values), &codes, &classes).unwrap();
        let mut workspace = Workspace::default();
        let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
        let chunk = Chunk { batch, profile: &profile };
        group.state.update(&chunk, None, shifts, &mut workspace).unwrap();
        group.precisions.count(24, labels.len() as u64).unwrap();
    }

    #[test]
    fn what_is_shared_adds_up_and_gives_its_memory_back() {
        let key = vec![Label::Int(7)];
        for scatter in [false, true] {
            let shared = SharedStates { groups: Mutex::default(), most: 1 };
            let (meter, shifts) = (Meter::new(u64::MAX, 0), Shifts::default());
            let mut whole = GroupState::new(scatter);
            let mut workers = vec![BTreeMap::from([(key.clone(), GroupState::new(scatter))]); 2];
            // Both workers meet classes 3 and 4, and each meets them again once they are shared.
            for (worker, labels) in [(0, [1, 2, 3, 4]), (1, [3, 4, 5, 6]), (0, [4, 7, 3, 8]), (1, [9, 3, 2, 4])] {
                let group = workers[worker].get_mut(&key).unwrap();
                count(group, &labels, &shifts);
                count(&mut whole, &labels, &shifts);
                meter.grow(held(group.state.class_sums()));
                shared.take_large(&mut workers[worker], scatter, &meter).unwrap();
                assert_eq!(workers[worker][&key].state.rows(), 0);
                let all = &shared.groups.lock().unwrap()[&key];
                assert_eq!(meter.grown(), held(all.state.class_sums()));
            }
            let all = shared.into_groups().remove(&key).unwrap();
            assert_eq!((all.state.class_sums().classes(), all.state.rows()), (9, 16));
            assert!(all.state.encode().unwrap() == whole.state.encode().unwrap());
            assert_eq!(all.precisions, whole.precisions);
        }
    }

    #[test]
    fn a_single_thread_and_small_states_share_nothing() {
        let alone = SharedStates::new(1 << 40, 1);
        let several = SharedStates::new(0, 3);
        assert_eq!((alone.most, several.most), (u64::MAX, LEAST));
        assert_eq!((unshared(1 << 40, 1), unshared(0, 3), unshared(1 << 40, 4)), (0, 3 * LEAST, 1 << 37));
        let mut groups = BTreeMap::from([(Vec::new(), GroupState::new(false))]);
        count(groups.get_mut(&Vec::new()).unwrap(), &[1, 2], &Shifts::default());
        several.take_large(&mut groups, false, &Meter::new(u64::MAX, 0)).unwrap();
        assert_eq!(groups[&Vec::new()].state.rows(), 2);
        assert!(several.into_groups().is_empty());
    }
}
