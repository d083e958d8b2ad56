//! Named numbers with units and reasons, and their forms: table, JSON, CSV, Markdown, Parquet.

use std::collections::BTreeMap;

use crate::batch::Label;
use crate::metrics::{Measured, Options};

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
    /// `K`, classes used.
    pub classes: u64,
    /// `D`.
    pub dim: usize,
    /// The significand bits of the stored features: 11, 24 or 53.
    pub significand_bits: u32,
    /// Classes left out by `--min-count` and `--max-count`.
    pub dropped_classes: u64,
    /// Rows left out, by reason.
    pub skipped: Skipped,
    /// Remarks that concern the whole group.
    pub flags: Vec<&'static str>,
    /// Relative accuracy that rounding to the grid left, by metric key or quantity.
    pub accuracy: BTreeMap<&'static str, f64>,
    /// The metrics in the catalogue's order.
    pub metrics: Vec<Measured>,
    /// One row a class, for `--per-class`.
    pub per_class: Vec<ClassRow>,
    /// The pairs hardest to tell apart, worst first.
    pub worst_pairs: Vec<Pair>,
}

/// Rows that a flag left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// With a null label, a null vector or a null inside the vector (`--nulls skip`).
    pub nulls: u64,
    /// With a NaN or an infinity (`--nonfinite skip`), by class.
    pub nonfinite: BTreeMap<Label, u64>,
    /// Of the label under `--ignore-label`.
    pub ignored: u64,
    /// Of classes with too few or too many rows.
    pub filtered: u64,
}

/// What `--per-class` says of a class. `None` where the metric does not apply or was not asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassRow {
    /// The class.
    pub label: Label,
    /// `n_k`.
    pub count: u64,
    /// `v_k`, feature units squared.
    pub variance: Option<f64>,
    /// `‖μ_k − μ_G‖`, feature units.
    pub distance: f64,
    /// `‖μ_k − μ_G‖² / v_k`.
    pub snr: Option<f64>,
    /// Mean CDNV with all other classes.
    pub cdnv_mean: Option<f64>,
    /// Largest CDNV with another class.
    pub cdnv_worst: Option<f64>,
    /// The class of that largest CDNV.
    pub worst_neighbour: Option<Label>,
    /// Cosine with the classifier's row.
    pub cos_head: Option<f64>,
    /// Inner product with the classifier's row.
    pub dot_head: Option<f64>,
    /// Rows on which classifier and nearest centre agree.
    pub agreements: Option<u64>,
    /// Rows of the decisions of this class.
    pub decisions: Option<u64>,
    /// Rows that the nearest centre gets right.
    pub ncc_hits: Option<u64>,
    /// Rows that the classifier gets right.
    pub classifier_hits: Option<u64>,
}

/// Two classes and their CDNV.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The class that comes first in label order.
    pub first: Label,
    /// The other.
    pub second: Label,
    /// `V_ij`.
    pub cdnv: f64,
    /// `‖μ_i − μ_j‖`, feature units.
    pub distance: f64,
}
