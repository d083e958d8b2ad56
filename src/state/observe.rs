//! From rows to integers.

use std::mem::take;

use arrow::datatypes::i256;

use super::class_sums::ClassSums;
use super::direct::Direct;
use super::low::Low;
use super::shifts::Steps;
use super::{Chunk, Shifts};
use crate::batch::{Batch, ByClass, Features};
use crate::error::{Error, Result};
use crate::grid::{History, VALUE_BITS, Value};
use crate::kernels::gram::GramTarget;
use crate::kernels::{Profile, ShiftedRows, TooFar, Totals, Workspace};

/// What takes the sums over the rows of a chunk.
pub(super) trait Observer {
    /// Where the Gram matrix of all rows goes, if it is wanted; then the sums of all classes come at once, after it.
    fn gram(&mut self) -> Option<GramTarget<'_>> {
        None
    }

    /// The state, if rows may be added to it directly.
    fn direct(&mut self) -> Option<Direct<'_>> {
        None
    }

    /// Takes the sums of some classes, or of all. The last ones bring the history of all rows.
    fn summed(&mut self, sums: &ClassSums) -> Result<()>;
}

/// Rounds rows of a chunk, all or the ones listed, on the chunk's grid.
pub(super) fn observe(
    chunk: &Chunk<'_>,
    rows: Option<&[u32]>,
    shifts: &Shifts,
    workspace: &mut Workspace,
    observer: &mut impl Observer,
) -> Result<()> {
    let Chunk { batch, profile } = chunk;
    let (dim, grid) = (batch.dim(), profile.grid());
    if rows.map_or(batch.rows(), <[u32]>::len) == 0 {
        return Ok(());
    }
    if grid.dim() != dim {
        return Err(Error::internal("a batch and its profile do not belong together"));
    }
    check_range(batch, profile)?;
    let mut by_class = ByClass::of(batch, rows);
    let mut too_far: Option<TooFar> = None;
    let direct = observer.direct().map(|state| state.add(chunk, &by_class, workspace));
    if let Some(rest) = direct.transpose()?.flatten() {
        too_far = rest.too_far;
        if too_far.is_none() {
            observer.summed(&ClassSums::known(grid.clone(), rest.history))?;
        }
        if rest.rows.is_empty() {
            return too_far.map_or(Ok(()), |TooFar { row, dimension }| Err(too_fine(row, dimension)));
        }
        by_class = ByClass::of(batch, Some(&rest.rows));
    }
    let steps = Steps::of(grid);
    let at_a_time =
        if observer.gram().is_some() { usize::MAX } else { workspace.kernels.classes_at_a_time(dim).max(1) };
    let (mut changed, left) = (vec![0_u64; dim], vec![0; dim]);
    for range in by_class.parts(at_a_time) {
        let labels: Vec<_> = range.codes.iter().map(|&code| batch.classes()[code as usize].clone()).collect();
        let (mut shift_steps, mut sums, mut low) =
            (take(&mut workspace.shifts), take(&mut workspace.sums), take(&mut workspace.low));
        shift_steps.clear();
        let mut rest = range.rows;
        for ((&code, label), &count) in range.codes.iter().zip(&labels).zip(range.counts) {
            let (rows, others) = rest.split_at(count as usize);
            rest = others;
            let mean = profile.mean(code, batch, rows).ok_or_else(foreign_class)?;
            shifts.in_steps(label, &steps, &mean, count, &mut shift_steps);
        }
        for zeros in [&mut sums, &mut low] {
            zeros.clear();
            zeros.resize(labels.len() * dim, 0);
        }
        let mut squares = vec![i256::ZERO; labels.len()];
        let mut totals = Totals {
            sums: &mut sums,
            low: &mut low,
            squares: &mut squares,
            changed: &mut changed,
            left: &left,
            squares_left: 0,
        };
        let (rows, classes, first_class) = (range.rows, range.classes, range.first_class);
        let rows = ShiftedRows { rows, classes, first_class, shifts: &shift_steps };
        let found = workspace.kernels.round(batch.features(), &rows, profile, &mut totals, observer.gram())?;
        too_far = too_far.into_iter().chain(found).min_by_key(|far| far.row);
        // The last classes bring what is known of all rows.
        let rows = by_class.rows().len();
        let history = if range.is_last { History::of(grid, rows as u64, &changed) } else { History::default() };
        let counts = range.counts.to_vec();
        let low = Low::Narrow(low);
        let seen = ClassSums::from_parts(grid.clone(), history, labels, counts, shift_steps, sums, low, squares);
        if too_far.is_none() {
            observer.summed(&seen)?;
        }
        (workspace.shifts, workspace.sums) = (seen.shifts, seen.sums);
        workspace.low = if let Low::Narrow(low) = seen.low { low } else { Vec::new() };
    }
    too_far.map_or(Ok(()), |TooFar { row, dimension }| Err(too_fine(row, dimension)))
}

/// A batch was profiled as part of another chunk.
pub(super) fn foreign_class() -> Error {
    Error::internal("a class of the chunk is not in its profile")
}

/// Every `q` must fit; only a grid that the user chose can be too fine for that.
fn check_range(batch: &Batch<'_>, profile: &Profile) -> Result<()> {
    let limit: Vec<f64> = profile.grid().steps().iter().map(|step| step * 2f64.powi(VALUE_BITS as i32)).collect();
    let Some(dimension) = profile.largest().iter().zip(&limit).position(|(x, limit)| x >= limit) else {
        return Ok(());
    };
    let row = match batch.features() {
        Features::F16(values) => first_beyond(values, batch.dim(), dimension, limit[dimension]),
        Features::F32(values) => first_beyond(values, batch.dim(), dimension, limit[dimension]),
        Features::F64(values) => first_beyond(values, batch.dim(), dimension, limit[dimension]),
    };
    Err(too_fine(row.unwrap_or(0), dimension))
}

/// The first row whose value in a dimension is at the limit or beyond.
fn first_beyond<T: Value>(values: &[T], dim: usize, dimension: usize, limit: f64) -> Option<usize> {
    values.iter().skip(dimension).step_by(dim).position(|x| x.widen().abs() >= limit)
}

fn too_fine(row: usize, dimension: usize) -> Error {
    Error::data("a value is too large for the step of the grid")
        .with("row", row)
        .with("dimension", dimension)
        .help("choose a larger --grid exponent or fewer --extra-bits")
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::batch::Label;
    use crate::grid::Registers;
    use crate::state::{Accumulate, Merge, Scatter};

    /// Rows of five classes whose dimensions differ in scale; some rows lie far out, and some dimensions are zero.
    fn rows(count: usize, dim: usize) -> (Vec<f64>, Vec<u32>) {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / 16_777_216.0
        };
        let codes: Vec<u32> = (0..count).map(|_| (next() * 5.0) as u32).collect();
        let mut value = |row: usize, j: usize| {
            let size = [1.0, 0.01, 30.0, 0.0][j % 4] * if next() < 0.01 { 900.0 } else { 1.0 };
            size * (f64::from(codes[row]) + next())
        };
        let values = (0..count * dim).map(|at| value(at / dim, at % dim)).collect();
        (values, codes)
    }

    #[test]
    fn more_classes_than_are_summed_at_a_time() {
        let mut workspace = Workspace::default();
        let (dim, classes) = (4096, 21);
        assert!(workspace.kernels.classes_at_a_time(dim) < classes as usize);
        let labels: Vec<Label> = (0..classes).map(Label::Int).collect();
        let codes: Vec<u32> = (0..50).map(|row| row * 8 % classes as u32).collect();
        let values: Vec<f32> = (0..50 * dim).map(|at| ((at * 7919) % 1009) as f32 + codes[at / dim] as f32).collect();
        let batch = Batch::new(dim, Features::F32(&values), &codes, &labels).unwrap();
        let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
        let chunk = Chunk { batch, profile: &profile };
        let mut together = ClassSums::identity();
        together.update(&chunk, None, &Shifts::default(), &mut workspace).unwrap();
        let mut apart = ClassSums::identity();
        for code in 0..classes as u32 {
            let rows: Vec<u32> = (0..50).filter(|&row| codes[row as usize] == code).collect();
            apart.update(&chunk, Some(&rows), &Shifts::default(), &mut workspace).unwrap();
        }
        assert_eq!(together.rows(), 50);
        assert_eq!(together.encode().unwrap(), apart.encode().unwrap());
    }

    #[test]
    fn registers_of_any_width_make_the_same_state() {
        let labels: Vec<Label> = (0..5).map(Label::Int).collect();
        for (count, dim) in [(301, 37), (64, 1), (2100, 16)] {
            let (values, codes) = rows(count, dim);
            let halves: Vec<f16> = values.iter().map(|&x| f16::from_f64(x.clamp(-65_000.0, 65_000.0))).collect();
            let singles: Vec<f32> = values.iter().map(|&x| x as f32).collect();
            for features in [Features::F16(&halves), Features::F32(&singles), Features::F64(&values)] {
                let batch = Batch::new(dim, features, &codes, &labels).unwrap();
                let [common, others @ ..] = Registers::each(|| {
                    let mut workspace = Workspace::default();
                    let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
                    let mut state = Scatter::identity();
                    state
                        .update(&Chunk { batch, profile: &profile }, None, &Shifts::default(), &mut workspace)
                        .unwrap();
                    let mean = |code| profile.mean(code, &batch, &[]).unwrap().into_owned();
                    let means: Vec<u64> = (0..5).flat_map(mean).map(f64::to_bits).collect();
                    (means, state.encode().unwrap())
                });
                assert!(others.iter().all(|other| *other == common), "{count} × {dim}");
            }
        }
    }
}
