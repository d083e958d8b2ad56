//! The metrics: each is a card in the catalogue, and the card names the pure function that computes it.

mod accuracy;
mod catalogue;
mod class_means;
mod context;
mod doubt;
mod error_bars;
mod figures;
#[cfg(test)]
pub(crate) mod fixture;
mod geometry;
mod gnc2;
mod hug;
mod imbalance;
mod least_squares;
mod mahalanobis;
mod measure;
mod mse;
mod nc1;
mod nc2;
mod nc3;
mod nc4;
mod nc5;
mod noise;
mod options;
mod outcome;
mod selection;
mod separation;
mod spectrum;
pub(crate) mod student_t;
mod swept;
mod transfer;
mod vectors;

pub use catalogue::{
    Card, Direction, Family, Need, Paper, Remark, ValueRange, card, cards, common_flags, error_bar_reasons, flags,
    group_flags, papers, reasons,
};
pub use class_means::{ClassChange, ClassMeans, MeansChange};
pub use error_bars::{Blocks, ErrorBar, Replicates, error_bars};
pub use figures::{FigureData, NOT_DECOMPOSED, SpectrumValues};
pub use least_squares::least_squares;
pub use mahalanobis::mahalanobis;
pub use measure::{ROUNDED, measure, of_decisions};
pub use nc5::neco_projection;
pub use options::{Centring, NecoDenominator, NecoDim, Normaliser, OodMean, Options, SweepSample};
pub(crate) use selection::advice;
pub use selection::{HEADLINE, Selection};
pub use spectrum::{Spectrum, spectrum};

use crate::batch::Label;
use crate::state::{Head, SecondPassResult, Statistics};

/// A metric's number, finite, or the machine-readable reason why there is none.
pub type Value = std::result::Result<f64, &'static str>;

/// The number, or `out_of_range` if it has left the range of `f64`.
fn finite(x: f64) -> Value {
    if x.is_finite() { Ok(x) } else { Err("out_of_range") }
}

/// What the metrics of a group of rows are made from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The classes, without those that `--min-count` and `--max-count` leave out.
    pub statistics: &'a Statistics,
    /// Significand bits of the stored features: 11, 24 or 53.
    pub significand_bits: u32,
    /// The classifier of these classes.
    pub head: Option<&'a Head>,
    /// What a second pass over the rows found, if there was one.
    pub findings: Option<&'a SecondPassResult>,
    /// The mean that stands for the out-of-distribution rows ([`OodMean`]), `D`.
    pub ood_mean: Option<&'a [f64]>,
    /// Classes that were left out before the scatter was pooled.
    pub dropped_classes: u64,
    /// Whether rows were divided by their length.
    pub normalized: bool,
}

impl<'a> Evidence<'a> {
    /// Statistics alone: no classifier, no second pass, no out-of-distribution rows, and no class left out.
    pub fn new(statistics: &'a Statistics, significand_bits: u32) -> Self {
        Self {
            statistics,
            significand_bits,
            head: None,
            findings: None,
            ood_mean: None,
            dropped_classes: 0,
            normalized: false,
        }
    }
}

/// What to make besides the metrics themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Whether to fill [`Measurements::per_class`].
    pub per_class: bool,
    /// How many of the pairs hardest to tell apart to keep.
    pub worst_pairs: usize,
    /// Whether to keep the class means.
    pub class_means: bool,
    /// Whether to fill [`Measurements::figures`].
    pub figures: bool,
    /// Whether figures have the eigenvalues of `Σ_W` however long that takes.
    pub spectrum: bool,
}

/// What a run must accumulate and read for the metrics selected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a piece of work of its own")]
pub struct Needs {
    /// The pooled scatter, `D × D`.
    pub scatter: bool,
    /// Nearest class means and the classifier's choices (NC4), over the rows that are decided.
    pub decisions: bool,
    /// Variances along the lines between means, over the group's own rows.
    pub directional: bool,
    /// Distances of unit rows to their unit weights, over the group's own rows.
    pub hug_intra: bool,
    /// NECO scores, over the rows that are decided and the out-of-distribution rows.
    pub neco: bool,
    /// Mahalanobis scores, over the same rows.
    pub mahalanobis: bool,
    /// The decisions of linear discriminant analysis, over the rows that are decided.
    pub lda: bool,
}

/// The metrics of a group, and what was asked for besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurements {
    /// `K`, the classes of a metric that leaves none out.
    pub classes: u64,
    /// Remarks that concern the whole group.
    pub flags: Vec<&'static str>,
    /// Estimated relative rounding errors, by metric key or quantity; negligible ones are missing.
    pub accuracy: std::collections::BTreeMap<&'static str, f64>,
    /// The metrics selected, in the catalogue's order.
    pub metrics: Vec<Measured>,
    /// One row a class, in label order, if asked for.
    pub per_class: Vec<ClassRow>,
    /// The pairs hardest to tell apart, worst first, if asked for.
    pub worst_pairs: Vec<Pair>,
    /// The class means, if asked for.
    pub class_means: Option<ClassMeans>,
    /// What figures are drawn from, if asked for.
    pub figures: Option<Box<FigureData>>,
}

impl Measurements {
    /// The metric with this key, if it was selected.
    pub fn metric(&self, key: &str) -> Option<&Measured> {
        self.metrics.iter().find(|metric| metric.key == key)
    }

    /// Puts the reason why there is no classifier, where that is known, in the place of `no_head`.
    pub(crate) fn explain(&mut self, headless: Option<&'static str>) {
        for metric in self.metrics.iter_mut().filter(|metric| metric.reason == Some("no_head")) {
            metric.reason = headless.or(metric.reason);
        }
    }

    /// The number of the metric with this key, if it was selected and has one.
    pub fn value(&self, key: &str) -> Option<f64> {
        self.metric(key)?.value
    }
}

/// A metric's number, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The key of its card, `nc1_pinv`.
    pub key: &'static str,
    /// The number; where it is `None`, `reason` says why.
    pub value: Option<f64>,
    /// The least value that data of these shapes can attain, where that is known; with the flag `random_baseline`, the
    /// value of random directions.
    pub floor: Option<f64>,
    /// Machine-readable: `no_head`, `single_class`, `zero_between`, …
    pub reason: Option<&'static str>,
    /// Machine-readable remarks: `singleton_classes`, `pinv_tolerance_sensitive`, …
    pub flags: Vec<&'static str>,
    /// Counts that belong to the remarks: `directions_dropped` and the `rank` that is left, `degenerate_pairs`, …
    pub counts: Vec<(&'static str, u64)>,
    /// Its error bar if asked for, or a machine-readable reason why there is none.
    pub error_bar: Option<std::result::Result<ErrorBar, &'static str>>,
}

impl Measured {
    /// The error bar, if it was asked for and there is one.
    pub fn bar(&self) -> Option<&ErrorBar> {
        self.error_bar.as_ref()?.as_ref().ok()
    }
}

/// The numbers of one class, for `--per-class`; `None` where one does not apply or was not asked for.
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
    /// Rows of this class that were decided.
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
