//! Named numbers with units and reasons, and their forms: table, JSON, CSV, Markdown, Parquet.

use std::collections::BTreeMap;

use crate::archive::Skipped;
use crate::batch::Label;
use crate::metrics::{Measurements, Options};

/// What a run found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The conventions under which every number was made.
    pub options: Options,
    /// Further conventions, as typed (`grid`, `extra_bits`, `where`, …).
    pub settings: BTreeMap<&'static str, String>,
    /// The metrics, sorted by group key.
    pub groups: Vec<Group>,
    /// Inputs left out under `--on-bad-file skip`, with the reason.
    pub bad_files: Vec<(String, String)>,
}

/// The numbers of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// The group's keys and their values, in the order of `--group-by`.
    pub key: Vec<(String, Label)>,
    /// `N`, rows used.
    pub rows: u64,
    /// `D`.
    pub dim: usize,
    /// The significand bits of the stored features: 11, 24 or 53.
    pub significand_bits: u32,
    /// Classes left out by `--min-count` and `--max-count`.
    pub dropped_classes: u64,
    /// Rows left out, by reason.
    pub skipped: Skipped,
    /// The metrics and what was made beside them.
    pub measurements: Measurements,
}
