//! Assembles a chunk: leaves out rows that cannot be used, and gives all others their class and their group.

use std::collections::HashMap;

use super::codes::Coded;
use super::grouping::Grouping;
use super::normalise::normalised;
use super::row_policy::{RowCheck, RowPolicy, RowStatus, counts_towards_grid};
use super::rows::{DecodedChunk, GroupRows, Skipped, Values};
use super::vectors::Vectors;
use crate::batch::Label;
use crate::error::{Error, Result};

/// Where the rows of a chunk lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// In the row group.
    pub(super) base: u64,
    /// In the file.
    pub(super) in_file: u64,
}

/// Makes a chunk. `labels` has a code for every row.
pub(super) fn assemble(
    policy: &RowPolicy,
    dim: usize,
    position: Position,
    vectors: Vectors,
    labels: Coded,
    grouping: Grouping,
) -> Result<DecodedChunk> {
    let vectors = if policy.normalize { normalised(vectors, dim) } else { vectors };
    let rows = labels.codes.len();
    let check = RowCheck::new(policy, &labels.codes, &labels.values);
    let mut defects = vectors.defects.iter().copied().peekable();
    let mut skipped: Vec<Skipped> = vec![Skipped::default(); grouping.keys.len()];
    let mut parts: Vec<Vec<u32>> = vec![Vec::new(); grouping.keys.len()];
    let mut kept: Vec<u32> = Vec::with_capacity(rows);
    for row in 0..rows {
        let defect = defects.next_if(|&(at, _)| at as usize == row).map(|(_, defect)| defect);
        let code = labels.codes[row];
        if let Some(group) = grouping.of(row) {
            let place = |error: Error| error.with("row", position.base + row as u64);
            let skipped = &mut skipped[group];
            match check.status(row, defect).map_err(place)? {
                RowStatus::Used => parts[group].push(kept.len() as u32),
                RowStatus::Null => skipped.nulls += 1,
                RowStatus::Ignored => skipped.ignored += 1,
                RowStatus::NonFinite => {
                    *skipped.nonfinite.entry(labels.values[code as usize].clone()).or_default() += 1;
                }
            }
        }
        if counts_towards_grid(code, defect) {
            kept.push(row as u32);
        }
    }
    let mut values = vectors.values;
    let (mut codes, mut classes) = (labels.codes, labels.values);
    if kept.len() < rows {
        match &mut values {
            Values::F16(values) => retain(values, dim, &kept),
            Values::F32(values) => retain(values, dim, &kept),
            Values::F64(values) => retain(values, dim, &kept),
        }
        retain(&mut codes, 1, &kept);
        drop_unused(&mut codes, &mut classes);
    }
    let file_rows = kept.iter().map(|&row| position.in_file + u64::from(row)).collect();
    let all = codes.len();
    let mut parts: Vec<GroupRows> = (grouping.keys.into_iter().zip(parts).zip(skipped))
        .map(|((key, rows), skipped)| GroupRows { key, rows: (rows.len() < all).then_some(rows), skipped })
        .collect();
    parts.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(DecodedChunk { dim: dim.max(1), values, codes, classes, file_rows, parts })
}

/// Keeps these rows of `dim` values; `rows` ascend.
fn retain<T: Copy>(values: &mut Vec<T>, dim: usize, rows: &[u32]) {
    for (to, &from) in rows.iter().enumerate() {
        let from = from as usize * dim;
        values.copy_within(from..from + dim, to * dim);
    }
    values.truncate(rows.len() * dim);
}

/// Drops classes without rows.
fn drop_unused(codes: &mut [u32], classes: &mut Vec<Label>) {
    let mut new: HashMap<u32, u32> = HashMap::new();
    for code in codes {
        let next = new.len() as u32;
        *code = *new.entry(*code).or_insert(next);
    }
    let mut used: Vec<(u32, u32)> = new.into_iter().map(|(old, new)| (new, old)).collect();
    used.sort_unstable();
    *classes = used.into_iter().map(|(_, old)| classes[old as usize].clone()).collect();
}
