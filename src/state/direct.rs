//! Adds rows straight to the sums of classes that a state knows already. Sums of the chunk would be read and written once more.

use super::Chunk;
use super::class::out_of_range;
use super::class_sums::ClassSums;
use super::low::Low;
use super::merge::finest_shift;
use super::narrow::largest;
use super::shifts::{Steps, near_steps};
use crate::batch::ByClass;
use crate::error::{Error, Result};
use crate::grid::{DELTA_LIMIT, History, shift_left};
use crate::kernels::gram::GramTarget;
use crate::kernels::{ShiftedRows, TooFar, Totals, Workspace};

/// A state that rows may be added to directly. Its grid is that of the chunk or a finer one.
pub(super) struct Direct<'a> {
    pub(super) sums: &'a mut ClassSums,
    /// Where the Gram matrix of the rows goes, if it is wanted.
    pub(super) gram: Option<GramTarget<'a>>,
}

/// Rows move left by no more bits than this.
const MOST_LEFT: u32 = 16;

/// Sums stay below this in magnitude: then none is refused as too large, and none overflows.
const ROOM: u128 = 1 << 62;

/// A row adds less than `2^42` of its own steps.
const ROW_BITS: u32 = DELTA_LIMIT.ilog2() + 1;

/// What is left for the other way.
pub(super) struct Rest {
    /// The rows of classes that are not known, or whose shift does not serve the chunk.
    pub(super) rows: Vec<u32>,
    /// What is known of the rows that have been added; the state has their sums, but not this.
    pub(super) history: History,
    /// The first row that lies too far from its class's shift.
    pub(super) too_far: Option<TooFar>,
}

impl Direct<'_> {
    /// Adds the rows of classes whose shift serves this chunk; `None` and nothing if none can be added so.
    pub(super) fn add(self, chunk: &Chunk<'_>, order: &ByClass, workspace: &mut Workspace) -> Result<Option<Rest>> {
        let Self { sums: state, gram } = self;
        let Chunk { batch, profile } = chunk;
        let (dim, grid) = (batch.dim(), profile.grid());
        if state.dim != dim || state.rows().checked_add(order.rows().len() as u64).is_none() {
            return Ok(None);
        }
        let left = grid.shifts_to(&state.grid);
        let most = left.iter().copied().max().unwrap_or(0);
        let more = (order.rows().len() as u128) << (ROW_BITS + most.min(MOST_LEFT));
        if most > MOST_LEFT || !state.has_room(more) {
            return Ok(None);
        }
        let steps = Steps::of(grid);
        let (mut rows, mut classes) = (Vec::with_capacity(order.rows().len()), Vec::new());
        let mut rest = Rest { rows: Vec::new(), history: History::default(), too_far: None };
        let mut counted: Vec<(usize, u64)> = Vec::new();
        for range in order.parts(usize::MAX) {
            let mut all = range.rows;
            for (&code, &count) in range.codes.iter().zip(range.counts) {
                let (of_class, others) = all.split_at(count as usize);
                all = others;
                let known = state.position(&batch.classes()[code as usize]);
                let serves = |&k: &usize| {
                    let shift = &state.shifts[k * dim..][..dim];
                    let mean = profile.mean(code, batch, of_class);
                    mean.is_some_and(|mean| steps.serve(shift, &left, &mean, near_steps(count)))
                };
                match known.filter(serves) {
                    Some(k) => {
                        rows.extend_from_slice(of_class);
                        classes.resize(rows.len(), k as u32);
                        counted.push((k, count));
                    }
                    None => rest.rows.extend_from_slice(of_class),
                }
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let squares_left = 2 * finest_shift(grid, &state.grid);
        let mut changed = vec![0; dim];
        let Low::Narrow(low) = &mut state.low else {
            return Err(Error::internal("rows were to be added to sums that do not take them"));
        };
        let mut totals = Totals {
            sums: &mut state.sums,
            low,
            squares: &mut state.squares,
            changed: &mut changed,
            left: &left,
            squares_left,
        };
        let shifted = ShiftedRows { rows: &rows, classes: &classes, first_class: 0, shifts: &state.shifts };
        rest.too_far = workspace.kernels.round(batch.features(), &shifted, profile, &mut totals, gram)?;
        for (k, count) in counted {
            state.counts[k] += count;
            shift_left(state.squares[k], 0).ok_or_else(out_of_range)?;
            state.raise_bound(k);
        }
        state.rows += rows.len() as u64;
        rest.history = History::of(grid, rows.len() as u64, &changed);
        rest.rows.sort_unstable();
        Ok(Some(rest))
    }
}

impl ClassSums {
    /// Whether sums can take so much more. The bound is made anew where it leaves no room.
    fn has_room(&mut self, more: u128) -> bool {
        if self.bound + more >= ROOM {
            self.bound = bound(&self.sums, &self.low);
        }
        self.bound + more < ROOM
    }

    /// Raises the bound to the sums of a class.
    pub(super) fn raise_bound(&mut self, k: usize) {
        let row = k * self.dim..(k + 1) * self.dim;
        let of_low = if let Low::Narrow(low) = &self.low { largest(&low[row.clone()]) } else { 0 };
        self.bound = self.bound.max(1 << largest(&self.sums[row]).max(of_low));
    }
}

/// More than the magnitude of every sum and residual.
pub(super) fn bound(sums: &[i64], low: &Low) -> u128 {
    match low {
        Low::Narrow(low) => 1 << largest(sums).max(largest(low)),
        Low::Wide(_) => UNBOUNDED,
    }
}

/// The bound of sums that take no rows directly.
pub(super) const UNBOUNDED: u128 = 1 << 100;
