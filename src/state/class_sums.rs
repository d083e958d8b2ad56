//! Counts, sums and sums of squares by class: what metrics without a `D × D` matrix need.

use std::collections::HashMap;
use std::sync::OnceLock;

use arrow::datatypes::i256;

use super::class::{NoMoves, Sign, out_of_range};
use super::direct::{Direct, bound};
use super::low::Low;
use super::observe::{Observer, observe};
use super::{Accumulate, Chunk, Merge, Shifts, encoding};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::grid::{Grid, History};
use crate::kernels::Workspace;

/// Exact class sums. Two are equal if [`encode`](Merge::encode) writes the same bytes for both.
///
/// ```text
/// n_k           rows
/// c_k           shift, in steps of the grid; near the class's mean, and no result depends on it
/// s_k = Σ δ     δ = q(x) − c_k
/// low_k = Σ round_ties_even((x/g − q(x)) · 2^20)
/// t_k = Σ_j (g_j / g_min)² Σ δ_j²
/// ```
///
/// The mean is `g (c_k + (s_k + 2^-20 low_k) / n_k)`. `t` and second moments are those of the rounded rows; so is `s`,
/// and nothing ever moves from `low` into it.
#[derive(Clone, Debug, Default)]
pub struct ClassSums {
    /// `D`; 0 before the first row.
    pub(super) dim: usize,
    /// The grid of the integers below; never coarser than the history's grid.
    pub(super) grid: Grid,
    /// `h`.
    pub(super) history: History,
    /// The classes, each with a row.
    pub(super) labels: Vec<Label>,
    /// `n`, K.
    pub(super) counts: Vec<u64>,
    /// `c`, K × D.
    pub(super) shifts: Vec<i64>,
    /// `s`, K × D.
    pub(super) sums: Vec<i64>,
    /// The sums of what rounding took off, K × D.
    pub(super) low: Low,
    /// `t`, K.
    pub(super) squares: Vec<i256>,
    /// `N`.
    pub(super) rows: u64,
    /// No sum of steps or residuals is larger in magnitude; see `direct.rs`.
    pub(super) bound: u128,
    /// Where each class is, made when a class is first looked up.
    pub(super) index: OnceLock<HashMap<Label, usize>>,
}

impl ClassSums {
    /// The sums of classes, all different, from their integers.
    #[expect(clippy::too_many_arguments, reason = "one argument for each field of a state")]
    pub(super) fn from_parts(
        grid: Grid,
        history: History,
        labels: Vec<Label>,
        counts: Vec<u64>,
        shifts: Vec<i64>,
        sums: Vec<i64>,
        low: Low,
        squares: Vec<i256>,
    ) -> Self {
        let (rows, bound, index) = (counts.iter().sum(), bound(&sums, &low), OnceLock::new());
        Self { dim: grid.dim(), grid, history, labels, counts, shifts, sums, low, squares, rows, bound, index }
    }

    /// What is known of rows whose sums are in a state already.
    pub(super) fn known(grid: Grid, history: History) -> Self {
        Self { dim: grid.dim(), grid, history, ..Self::default() }
    }

    /// Where the class of that label is.
    pub(super) fn position(&self, label: &Label) -> Option<usize> {
        self.index.get_or_init(|| self.labels.iter().cloned().zip(0..).collect()).get(label).copied()
    }

    /// `D`, 0 before the first row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Whether there are rows of that class.
    pub fn contains(&self, label: &Label) -> bool {
        self.position(label).is_some()
    }

    /// How many rows there are of the class of that label.
    pub fn count(&self, label: &Label) -> u64 {
        self.position(label).map_or(0, |class| self.counts[class])
    }

    /// `K`, the number of classes with rows.
    pub fn classes(&self) -> usize {
        self.labels.len()
    }

    /// `N`, the number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The classes with rows, in the order in which they came.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The type of the labels; `None` before the first row.
    pub fn label_kind(&self) -> Option<LabelKind> {
        self.labels.first().map(Label::kind)
    }

    /// The bytes of the labels' texts, which [`bytes`](Self::bytes) leaves out.
    pub fn text_bytes(&self) -> usize {
        let text = |label: &Label| if let Label::Text(text) = label { text.len() } else { 0 };
        // Labels of one state are of one type.
        if self.label_kind() == Some(LabelKind::Text) { self.labels.iter().map(text).sum() } else { 0 }
    }

    /// The bytes that a state of this size holds, as long as [`wide_bytes`](Self::wide_bytes) are none.
    pub fn bytes(classes: usize, dim: usize) -> usize {
        classes * (24 * dim + 40 + 64)
    }

    /// The bytes that the state holds beyond [`bytes`](Self::bytes): 8 a class and dimension where chunks differ so much
    /// in scale that what rounding took off does not fit 64 bits.
    pub fn wide_bytes(&self) -> usize {
        match &self.low {
            Low::Narrow(_) => 0,
            Low::Wide(low) => 8 * low.len(),
        }
    }

    /// `Σ_k t_k`, in units of the finest step squared.
    pub(super) fn total_square(&self) -> Result<i256> {
        let mut total = TotalSquare::default();
        self.squares.iter().for_each(|&square| total.add(square));
        total.finish()
    }
}

/// `Σ_k t_k`, class by class.
pub(super) struct TotalSquare(Option<i256>);

impl Default for TotalSquare {
    fn default() -> Self {
        Self(Some(i256::ZERO))
    }
}

impl TotalSquare {
    pub(super) fn add(&mut self, square: i256) {
        self.0 = self.0.and_then(|sum| sum.checked_add(square));
    }

    pub(super) fn finish(self) -> Result<i256> {
        self.0.ok_or_else(out_of_range)
    }
}

/// Adds to an error of a merge the dimension in which the steps of both sides lie furthest apart, and these steps.
pub(super) fn with_grids(error: Error, mine: &Grid, theirs: &Grid) -> Error {
    let pairs = mine.exponents().iter().zip(theirs.exponents()).enumerate();
    if mine.dim() != theirs.dim() {
        return error;
    }
    let apart = pairs.filter_map(|(j, (a, b))| Some((j, (*a)?, (*b)?))).max_by_key(|(_, a, b)| a.abs_diff(*b));
    match apart {
        Some((j, a, b)) => error.with_default("dimension", j).with("steps", format!("2^{a} and 2^{b}")),
        None => error,
    }
}

/// No state has more rows, so that the sum of two counts does not overflow.
pub(super) const MAX_ROWS: u64 = 1 << 62;

impl Merge for ClassSums {
    fn identity() -> Self {
        Self::default()
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        let grid = self.common_grid(&other.grid)?;
        let steps = self.grid.clone();
        self.absorb(other, &grid, Sign::Plus, &mut NoMoves).map_err(|error| with_grids(error, &steps, &other.grid))
    }

    fn subtract(&mut self, other: &Self) -> Result<()> {
        let grid = self.common_grid(&other.grid)?;
        self.absorb(other, &grid, Sign::Minus, &mut NoMoves)
    }

    fn canonical(&self) -> Result<Self> {
        self.canonical_with(&mut NoMoves)
    }

    fn encode(&self) -> Result<Vec<u8>> {
        Ok(encoding::encode(&self.to_raw()?))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        encoding::decode(bytes)?.into_class_sums()
    }
}

impl PartialEq for ClassSums {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.encode(), other.encode()), (Ok(mine), Ok(theirs)) if mine == theirs)
    }
}

impl Accumulate for ClassSums {
    fn update(
        &mut self,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        if self.dim > 0 {
            let grid = self.common_grid(chunk.profile.grid())?;
            self.refine(&grid, &mut NoMoves)?;
        }
        observe(chunk, rows, shifts, workspace, self)
    }
}

impl Observer for ClassSums {
    fn direct(&mut self) -> Option<Direct<'_>> {
        Some(Direct { sums: self, gram: None })
    }

    fn summed(&mut self, sums: &ClassSums) -> Result<()> {
        self.merge(sums)
    }
}
