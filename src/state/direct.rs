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
use crate::kernels::{ShiftedRows, TooFar, Totals, Workspace, prefetch};

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

/// Values of class sums that are added to at a time: they, and as many to come, stay in the cache.
const SUMS_AT_A_TIME: usize = 1 << 12;

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
        let Self { sums: state, mut gram } = self;
        let Chunk { batch, profile } = chunk;
        let (dim, grid) = (batch.dim(), profile.grid());
        if state.dim != dim || state.rows().checked_add(order.rows().len() as u64).is_none() {
            return Ok(None);
        }
        let left = grid.shifts_to(&state.grid);
        let most = left.iter().copied().max().unwrap_or(0);
        let rows_of_class = order.counts().iter().copied().max().unwrap_or(0);
        let more = u128::from(rows_of_class) << (ROW_BITS + most.min(MOST_LEFT));
        if most > MOST_LEFT || !state.has_room(more) {
            return Ok(None);
        }
        let steps = Steps::of(grid);
        let squares_left = 2 * finest_shift(grid, &state.grid);
        let known: Vec<Option<usize>> =
            order.codes().iter().map(|&code| state.position(&batch.classes()[code as usize])).collect();
        // A Gram matrix is made of all rows at once. Else the sums of a few classes are added to, while those of the next ones
        // come into the cache.
        let at_a_time = if gram.is_some() { usize::MAX } else { (SUMS_AT_A_TIME / dim).max(1) };
        let mut rest = Rest { rows: Vec::new(), history: History::default(), too_far: None };
        let (mut changed, mut rows, mut classes) = (vec![0; dim], Vec::new(), Vec::new());
        let mut added = 0;
        for range in order.parts(at_a_time) {
            let (known, next) = known[range.first_class as usize..].split_at(range.codes.len());
            next.iter().take(at_a_time).flatten().for_each(|&k| state.prefetch(k));
            rows.clear();
            classes.clear();
            let mut all = range.rows;
            for ((&code, &count), known) in range.codes.iter().zip(range.counts).zip(known) {
                let (of_class, others) = all.split_at(count as usize);
                all = others;
                let serves = |&k: &usize| {
                    let shift = &state.shifts[k * dim..][..dim];
                    let mean = profile.mean(code, batch, of_class);
                    mean.is_some_and(|mean| steps.serve(shift, &left, &mean, near_steps(count)))
                };
                match known.filter(serves) {
                    Some(k) => {
                        rows.extend_from_slice(of_class);
                        classes.resize(rows.len(), k as u32);
                        state.counts[k] += count;
                    }
                    None => rest.rows.extend_from_slice(of_class),
                }
            }
            if rows.is_empty() {
                continue;
            }
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
            let found = workspace.kernels.round(batch.features(), &shifted, profile, &mut totals, gram.take())?;
            rest.too_far = rest.too_far.into_iter().chain(found).min_by_key(|far| far.row);
            added += rows.len() as u64;
            classes.dedup();
            for &k in &classes {
                shift_left(state.squares[k as usize], 0).ok_or_else(out_of_range)?;
            }
        }
        if added == 0 {
            return Ok(None);
        }
        state.bound += more;
        state.rows += added;
        rest.history = History::of(grid, added, &changed);
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

    /// Asks for the numbers of a class, which will soon be added to.
    fn prefetch(&self, k: usize) {
        let row = k * self.dim..(k + 1) * self.dim;
        prefetch(&self.shifts[row.clone()]);
        prefetch(&self.sums[row.clone()]);
        if let Low::Narrow(low) = &self.low {
            prefetch(&low[row]);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Features, Label};
    use crate::kernels::Profile;
    use crate::state::{Accumulate, Merge, Scatter, Shifts};

    const DIM: usize = 700;

    /// Rows of so many classes, some of which are met once; `scale` decides the chunk's grid, and one row in `far` lies far out.
    fn rows(seed: u64, count: usize, scale: f64, far: usize) -> (Vec<f64>, Vec<u32>) {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / 16_777_216.0
        };
        let codes: Vec<u32> = (0..count).map(|_| (next().powi(3) * 40.0) as u32).collect();
        let values = (0..count * DIM).map(|at| {
            let row = at / DIM;
            let size = if row % far == 1 { 3000.0 } else { 1.0 };
            f64::from(codes[row]) + scale * size * (next() - 0.5)
        });
        (values.collect(), codes.clone())
    }

    /// Adds chunks one after the other, and the states that each makes by itself.
    fn states<S: Accumulate + Merge>(chunks: &[(Vec<f64>, Vec<u32>)]) -> [S; 2] {
        let labels: Vec<Label> = (0..40).map(Label::Int).collect();
        let (mut workspace, shifts) = (Workspace::default(), Shifts::default());
        let [mut together, mut merged] = [S::identity(), S::identity()];
        for (values, codes) in chunks {
            let batch = Batch::new(DIM, Features::F64(values), codes, &labels).unwrap();
            let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
            let chunk = Chunk { batch, profile: &profile };
            together.update(&chunk, None, &shifts, &mut workspace).unwrap();
            let mut alone = S::identity();
            alone.update(&chunk, None, &Shifts::default(), &mut workspace).unwrap();
            merged.merge(&alone).unwrap();
        }
        [together, merged]
    }

    #[test]
    fn rows_of_known_classes_make_the_sums_of_states_that_are_merged() {
        // Several classes at a time, and several times.
        const { assert!(SUMS_AT_A_TIME / DIM > 1) };
        // Finer and coarser grids, rows far out, and classes that come late.
        let chunks = [(1, 90, 1.0, 70), (2, 300, 1.0, 50), (3, 200, 0.01, 1000), (4, 200, 8.0, 90), (5, 9, 1.0, 1000)];
        let chunks = chunks.map(|(seed, count, scale, far)| rows(seed, count, scale, far));
        let [together, merged] = states::<ClassSums>(&chunks);
        assert_eq!(together.rows(), 799);
        assert!(together.encode().unwrap() == merged.encode().unwrap());
        let [together, merged] = states::<Scatter>(&chunks[..3]);
        assert!(together.encode().unwrap() == merged.encode().unwrap());
    }

    #[test]
    fn sums_that_leave_no_room_take_no_rows_directly() {
        let labels: Vec<Label> = (0..40).map(Label::Int).collect();
        let (values, codes) = rows(7, 60, 1.0, 1000);
        let mut workspace = Workspace::default();
        let batch = Batch::new(DIM, Features::F64(&values), &codes, &labels).unwrap();
        let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
        let order = ByClass::of(&batch, None);
        let chunk = Chunk { batch, profile: &profile };
        let mut state = ClassSums::identity();
        state.update(&chunk, None, &Shifts::default(), &mut workspace).unwrap();
        let mut added = |state: &ClassSums| {
            let mut state = state.clone();
            let rest = Direct { sums: &mut state, gram: None }.add(&chunk, &order, &mut workspace).unwrap();
            (rest.map(|rest| rest.rows.len()), state.rows())
        };
        assert_eq!(added(&state), (Some(0), 120));
        // A bound that is too high is made anew; sums that are near the limit are what it says.
        state.bound = ROOM;
        assert_eq!(added(&state), (Some(0), 120));
        state.sums[5] = 1 << 61;
        state.bound = bound(&state.sums, &state.low);
        assert_eq!(added(&state), (None, 60));
        (state.sums[5], state.bound) = (0, bound(&[0], &state.low));
        let Low::Narrow(low) = &mut state.low else { panic!("{:?}", state.low) };
        low[5] = -(1 << 61) - 1;
        state.bound = bound(&state.sums, &state.low);
        assert_eq!(added(&state), (None, 60));
    }

    #[test]
    fn every_row_that_is_added_raises_the_bound() {
        let labels = [Label::Int(3)];
        let values: Vec<f64> = (0..64 * DIM).map(|at| (at % 97) as f64).collect();
        let mut workspace = Workspace::default();
        let batch = Batch::new(DIM, Features::F64(&values), &[0; 64], &labels).unwrap();
        let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
        let chunk = Chunk { batch, profile: &profile };
        let (mut state, shifts) = (ClassSums::identity(), Shifts::default());
        for _ in 0..5 {
            state.update(&chunk, None, &shifts, &mut workspace).unwrap();
            let largest = state.sums.iter().map(|sum| u128::from(sum.unsigned_abs())).max().unwrap();
            assert!(state.bound > largest, "{} {largest}", state.bound);
        }
        assert!(state.bound >= (4 * 64) << ROW_BITS);
    }
}
