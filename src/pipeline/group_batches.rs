//! Which groups are open at once.

use std::collections::BTreeMap;

use super::first_pass::Blocking;
use crate::archive::Archive;
use crate::batch::Label;

/// The units of groups that are read together, group after group, so that the states of a batch fit into `budget`
/// bytes; `dims` has the `D` of each file, `state_bytes` says how much a group of so many rows and dimensions takes. All blocks
/// of a group are read together.
///
/// Where some unit does not say which groups it holds, all are one batch.
pub(super) fn group_batches(
    archive: &Archive,
    dims: &[usize],
    blocking: &Blocking,
    budget: u64,
    state_bytes: impl Fn(u64, usize) -> u64,
) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<&[Label], Vec<usize>> = BTreeMap::new();
    for (at, unit) in archive.units().iter().enumerate() {
        match &unit.key {
            Some(key) => groups.entry(blocking.group(key)).or_default().push(at),
            None => return vec![(0..archive.units().len()).collect()],
        }
    }
    let mut group_batches: Vec<Vec<usize>> = Vec::new();
    let mut open = 0;
    for units in groups.into_values() {
        let rows = units.iter().map(|&unit| archive.units()[unit].rows).sum();
        let dim = units.iter().map(|&unit| dims[archive.units()[unit].file]).max().unwrap_or(0);
        let bytes = state_bytes(rows, dim);
        match group_batches.last_mut() {
            Some(batch) if open + bytes <= budget => batch.extend(units),
            _ => {
                group_batches.push(units);
                open = 0;
            }
        }
        open += bytes;
    }
    group_batches
}
