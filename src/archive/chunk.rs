//! From what was read to a chunk: rows that cannot be used go, all others get their class and their group.

use std::collections::HashMap;

use super::codes::{Coded, NULL};
use super::grouping::Grouping;
use super::request::Policy;
use super::rows::{Decoded, Part, Skipped, Values};
use super::vectors::{Fault, Vectors};
use crate::batch::Label;
use crate::error::{Error, Result};

/// What to do with rows that cannot be used, and what their columns are called in errors.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) features: String,
    pub(super) labels: String,
    pub(super) nulls: Policy,
    pub(super) nonfinite: Policy,
    pub(super) ignored: Option<Label>,
    /// Whether labels only tell rows apart, so that any will do.
    pub(super) any_labels: bool,
}

/// What a label makes of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Used,
    Ignored,
    Null,
}

/// The standings of labels that have codes.
pub(super) struct Standings<'a> {
    rules: &'a Rules,
    labels: &'a Coded,
    ignored: Option<u32>,
    negative: Vec<bool>,
}

impl<'a> Standings<'a> {
    pub(super) fn new(rules: &'a Rules, labels: &'a Coded) -> Self {
        let ignored = rules.ignored.as_ref();
        let ignored = ignored.and_then(|ignored| labels.values.iter().position(|label| label == ignored));
        let negative = labels.values.iter().map(|label| matches!(label, Label::Int(value) if *value < 0)).collect();
        Self { rules, labels, ignored: ignored.map(|code| code as u32), negative }
    }

    /// The standing of a row that is asked for.
    pub(super) fn of(&self, row: usize) -> Result<Standing> {
        let code = self.labels.codes[row];
        if code == NULL {
            return match self.rules.nulls {
                Policy::Skip => Ok(Standing::Null),
                Policy::Fail => Err(Error::data("null label")
                    .with("column", &self.rules.labels)
                    .help("--nulls skip leaves such rows out and counts them")),
            };
        }
        if Some(code) == self.ignored {
            return Ok(Standing::Ignored);
        }
        if self.negative[code as usize] && !self.rules.any_labels {
            let label = &self.labels.values[code as usize];
            return Err(Error::data("negative label")
                .with("label", label)
                .with("column", &self.rules.labels)
                .help(format!("--ignore-label {label} leaves such rows out and counts them")));
        }
        Ok(Standing::Used)
    }
}

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
    rules: &Rules,
    dim: usize,
    position: Position,
    vectors: Vectors,
    labels: Coded,
    grouping: Grouping,
) -> Result<Decoded> {
    let rows = labels.codes.len();
    let standings = Standings::new(rules, &labels);
    let mut faults = vectors.faults.iter().copied().peekable();
    let mut skipped: Vec<Skipped> = vec![Skipped::default(); grouping.keys.len()];
    let mut parts: Vec<Vec<u32>> = vec![Vec::new(); grouping.keys.len()];
    let mut kept: Vec<u32> = Vec::with_capacity(rows);
    for row in 0..rows {
        let fault = faults.next_if(|&(at, _)| at as usize == row).map(|(_, fault)| fault);
        let code = labels.codes[row];
        if let Some(group) = grouping.of(row) {
            let place = |error: Error| error.with("row", position.base + row as u64);
            let skipped = &mut skipped[group];
            match (standings.of(row).map_err(place)?, fault) {
                (Standing::Null, _) => skipped.nulls += 1,
                // What the user leaves out need not be in order.
                (Standing::Ignored, _) => skipped.ignored += 1,
                (Standing::Used, None) => parts[group].push(kept.len() as u32),
                (Standing::Used, Some(fault)) => {
                    pass(rules, fault).map_err(place)?;
                    match fault {
                        Fault::Null => skipped.nulls += 1,
                        Fault::NonFinite { .. } => {
                            *skipped.nonfinite.entry(labels.values[code as usize].clone()).or_default() += 1;
                        }
                    }
                }
            }
        }
        if fault.is_none() && code != NULL {
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
    let mut parts: Vec<Part> = (grouping.keys.into_iter().zip(parts).zip(skipped))
        .map(|((key, rows), skipped)| Part { key, rows: (rows.len() < all).then_some(rows), skipped })
        .collect();
    parts.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(Decoded { dim: dim.max(1), values, codes, classes, file_rows, parts })
}

/// An error unless the rules let such rows be skipped.
fn pass(rules: &Rules, fault: Fault) -> Result<()> {
    match fault {
        Fault::Null if rules.nulls == Policy::Fail => Err(Error::data("null in a feature vector")
            .with("column", &rules.features)
            .help("--nulls skip leaves such rows out and counts them")),
        Fault::NonFinite { dimension, value } if rules.nonfinite == Policy::Fail => {
            Err(Error::data("feature is not finite")
                .with("column", &rules.features)
                .with("dimension", dimension)
                .with("found", value)
                .help("--nonfinite skip leaves such rows out and counts them"))
        }
        _ => Ok(()),
    }
}

/// Keeps these rows of `dim` values, which ascend.
fn retain<T: Copy>(values: &mut Vec<T>, dim: usize, rows: &[u32]) {
    for (to, &from) in rows.iter().enumerate() {
        let from = from as usize * dim;
        values.copy_within(from..from + dim, to * dim);
    }
    values.truncate(rows.len() * dim);
}

/// Drops classes that no row has any more.
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
