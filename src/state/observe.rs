//! From rows to integers.

use std::cell::Cell;

use arrow::datatypes::i256;

use super::class_sums::ClassSums;
use super::low::Low;
use super::shifts::Steps;
use super::{Chunk, Shifts};
use crate::batch::{Batch, ByClass, Features};
use crate::error::{Error, Result};
use crate::grid::{History, Profile, VALUE_BITS, Value};
use crate::kernels::gram::BLOCK_ROWS;
use crate::kernels::quantise::{Quantiser, Rounded, Rows, TooFar, Totals};

thread_local! {
    static SPARE: Cell<Spare> = Cell::default();
}

/// Memory of the size of a chunk or more: asked for once and not for every chunk.
#[derive(Default)]
struct Spare {
    rounded: Rounded,
    shifts: Vec<i64>,
    sums: Vec<i64>,
    low: Vec<i64>,
}

/// What is told of the rows of a chunk.
pub(super) trait Observer {
    /// Whether it wants rounded rows; then all classes come at once, after them.
    const ROWS: bool;

    /// A block of rounded rows, if it wants them.
    fn rounded(&mut self, _block: &Rounded) -> Result<()> {
        Ok(())
    }

    /// The sums of some classes, or of all; with the last ones the history of all rows.
    fn summed(&mut self, sums: &ClassSums) -> Result<()>;
}

/// Sums of classes that are made at a time where rows are not wanted, so that they stay in cache until they are added.
const SUMS_AT_A_TIME: usize = 1 << 15;

/// Rounds rows of a chunk, all or the ones listed, on the chunk's grid.
pub(super) fn observe<O: Observer>(
    chunk: &Chunk<'_>,
    rows: Option<&[u32]>,
    shifts: &Shifts,
    observer: &mut O,
) -> Result<()> {
    match chunk.batch.features() {
        Features::F16(values) => observe_values(values, chunk, rows, shifts, observer),
        Features::F32(values) => observe_values(values, chunk, rows, shifts, observer),
        Features::F64(values) => observe_values(values, chunk, rows, shifts, observer),
    }
}

fn observe_values<T: Value, O: Observer>(
    values: &[T],
    chunk: &Chunk<'_>,
    rows: Option<&[u32]>,
    shifts: &Shifts,
    observer: &mut O,
) -> Result<()> {
    let Chunk { batch, profile } = chunk;
    let (dim, grid) = (batch.dim(), profile.grid());
    if rows.map_or(batch.rows(), <[u32]>::len) == 0 {
        return Ok(());
    }
    if profile.grid().dim() != dim {
        return Err(Error::internal("a batch and its profile do not belong together"));
    }
    check_range(values, batch, profile)?;
    let by_class = ByClass::of(batch, rows);
    let (steps, quantiser) = (Steps::of(grid), Quantiser::new(grid, profile.largest()));
    let at_a_time = if O::ROWS { usize::MAX } else { (SUMS_AT_A_TIME / dim).max(1) };
    let mut spare = SPARE.take();
    let mut changed = vec![0_u64; dim];
    let mut failed: Option<TooFar> = None;
    for part in by_class.parts(at_a_time) {
        let labels: Vec<_> = part.codes.iter().map(|&code| batch.classes()[code as usize].clone()).collect();
        let (mut shift_steps, mut sums, mut low) = (spare.shifts, spare.sums, spare.low);
        shift_steps.clear();
        for ((&code, label), &count) in part.codes.iter().zip(&labels).zip(part.counts) {
            let mean = profile.mean(code);
            let mean = mean.ok_or_else(|| Error::internal("a class of the chunk is not in its profile"))?;
            shifts.in_steps(label, &steps, mean, count, &mut shift_steps);
        }
        for zeros in [&mut sums, &mut low] {
            zeros.clear();
            zeros.resize(labels.len() * dim, 0);
        }
        let mut squares = vec![i256::ZERO; labels.len()];
        for (rows, classes) in part.rows.chunks(BLOCK_ROWS).zip(part.classes.chunks(BLOCK_ROWS)) {
            let mut totals = Totals { sums: &mut sums, low: &mut low, squares: &mut squares, changed: &mut changed };
            let rows = Rows { rows, classes, first_class: part.first_class, shifts: &shift_steps };
            if let Err(far) = quantiser.round(values, &rows, &mut totals, O::ROWS, &mut spare.rounded) {
                failed = Some(failed.filter(|other| other.row < far.row).unwrap_or(far));
            } else if O::ROWS && failed.is_none() {
                observer.rounded(&spare.rounded)?;
            }
        }
        // The last classes bring what is known of all rows.
        let rows = by_class.rows().len();
        let history = if part.is_last { History::of(grid, rows as u64, &changed) } else { History::default() };
        let counts = part.counts.to_vec();
        let low = Low::Narrow(low);
        let seen = ClassSums::from_parts(grid.clone(), history, labels, counts, shift_steps, sums, low, squares);
        if failed.is_none() {
            observer.summed(&seen)?;
        }
        (spare.shifts, spare.sums) = (seen.shifts, seen.sums);
        spare.low = if let Low::Narrow(low) = seen.low { low } else { Vec::new() };
    }
    SPARE.set(spare);
    failed.map_or(Ok(()), |TooFar { row, dimension }| Err(too_fine(row, dimension)))
}

/// Every `q` must fit; only a grid that the user chose can be too fine for that.
fn check_range<T: Value>(values: &[T], batch: &Batch<'_>, profile: &Profile) -> Result<()> {
    let dim = batch.dim();
    let limit: Vec<f64> = profile.grid().steps().iter().map(|step| step * 2f64.powi(VALUE_BITS as i32)).collect();
    let beyond = |(x, limit): (&f64, &f64)| x >= limit;
    let Some(dimension) = profile.largest().iter().zip(&limit).position(|(x, limit)| beyond((x, limit))) else {
        return Ok(());
    };
    let row = values.iter().skip(dimension).step_by(dim).position(|x| beyond((&x.widen().abs(), &limit[dimension])));
    Err(too_fine(row.unwrap_or(0), dimension))
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
        let (dim, classes) = (SUMS_AT_A_TIME / 8, 21);
        let labels: Vec<Label> = (0..classes).map(Label::Int).collect();
        let codes: Vec<u32> = (0..50).map(|row| row * 8 % classes as u32).collect();
        let values: Vec<f32> = (0..50 * dim).map(|at| ((at * 7919) % 1009) as f32 + codes[at / dim] as f32).collect();
        let batch = Batch::new(dim, Features::F32(&values), &codes, &labels).unwrap();
        let profile = Profile::of(&batch, 0);
        let chunk = Chunk { batch, profile: &profile };
        let mut together = ClassSums::identity();
        together.update(&chunk, None, &Shifts::default()).unwrap();
        let mut apart = ClassSums::identity();
        for code in 0..classes as u32 {
            let rows: Vec<u32> = (0..50).filter(|&row| codes[row as usize] == code).collect();
            apart.update(&chunk, Some(&rows), &Shifts::default()).unwrap();
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
                    let profile = Profile::of(&batch, 0);
                    let mut state = Scatter::identity();
                    state.update(&Chunk { batch, profile: &profile }, None, &Shifts::default()).unwrap();
                    let means: Vec<u64> =
                        (0..5).flat_map(|code| profile.mean(code).unwrap()).map(|mean| mean.to_bits()).collect();
                    (means, state.encode().unwrap())
                });
                assert!(others.iter().all(|other| *other == common), "{count} × {dim}");
            }
        }
    }
}
