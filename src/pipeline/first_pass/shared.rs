//! States that the workers of a pass share once they are large.
//!
//! Each worker adds rows to a state of its own, which needs no lock. With many classes these states would take as much memory
//! for each thread as the whole group: so a worker whose state has grown large adds it to the one that all share, and begins
//! again. Adding is exact, so no result depends on when that happens.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::{FirstPass, merge};
use crate::archive::Key;
use crate::error::Result;
use crate::pipeline::memory::held;
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

impl SharedStates {
    /// For workers that share so much memory.
    pub(super) fn new(memory: u64, threads: usize) -> Self {
        let most = if threads > 1 { (memory / OWN_SHARE / threads as u64).max(LEAST) } else { u64::MAX };
        Self { groups: Mutex::default(), most }
    }

    /// Adds a worker's states that have grown too large.
    ///
    /// # Errors
    ///
    /// Those of [`merge`].
    pub(super) fn take_large(&self, groups: &mut BTreeMap<Key, GroupState>, first_pass: &FirstPass) -> Result<()> {
        let is_large = |group: &GroupState| self.most < u64::MAX && held(group.state.class_sums()) > self.most;
        for (key, group) in groups.iter_mut().filter(|(_, group)| is_large(group)) {
            let own = std::mem::replace(group, GroupState::new(first_pass.scatter));
            let freed = held(own.state.class_sums());
            let mut shared = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(all) = shared.get_mut(key) else {
                shared.insert(key.clone(), own);
                continue;
            };
            let before = held(all.state.class_sums());
            merge(all, &own).map_err(|error| first_pass.locate(error, key))?;
            let grown = held(all.state.class_sums()).saturating_sub(before);
            first_pass.meter.shrink(freed.saturating_sub(grown));
        }
        Ok(())
    }

    /// What is shared in the end.
    pub(super) fn into_groups(self) -> BTreeMap<Key, GroupState> {
        self.groups.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
