//! From rows to integers.

use std::cell::Cell;

use arrow::datatypes::i256;

use super::class_sums::ClassSums;
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
}

/// Keeps the memory of what a chunk was observed to be for the next one.
pub(super) fn recycle(seen: ClassSums) {
    SPARE.set(Spare { shifts: seen.shifts, sums: seen.sums, ..SPARE.take() });
}

/// Takes the rounded rows of each block.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&Rounded) -> Result<()>;

/// The class sums of rows of a chunk, all or the ones listed, on the chunk's grid.
pub(super) fn observe(
    chunk: &Chunk<'_>,
    rows: Option<&[u32]>,
    shifts: &Shifts,
    sink: Option<Sink<'_>>,
) -> Result<ClassSums> {
    match chunk.batch.features() {
        Features::F16(values) => observe_values(values, chunk, rows, shifts, sink),
        Features::F32(values) => observe_values(values, chunk, rows, shifts, sink),
        Features::F64(values) => observe_values(values, chunk, rows, shifts, sink),
    }
}

fn observe_values<T: Value>(
    values: &[T],
    chunk: &Chunk<'_>,
    rows: Option<&[u32]>,
    shifts: &Shifts,
    mut sink: Option<Sink<'_>>,
) -> Result<ClassSums> {
    let Chunk { batch, profile } = chunk;
    let (dim, grid) = (batch.dim(), profile.grid());
    if rows.map_or(batch.rows(), <[u32]>::len) == 0 {
        return Ok(ClassSums::default());
    }
    if profile.grid().dim() != dim || u32::try_from(batch.rows()).is_err() {
        return Err(Error::internal("a batch and its profile do not belong together"));
    }
    check_range(values, batch, profile)?;
    let selected = rows.map(|rows| ByClass::of(batch, Some(rows)));
    let classes = selected.as_ref().unwrap_or(profile.classes());
    let labels: Vec<_> = classes.codes().iter().map(|&code| batch.classes()[code as usize].clone()).collect();
    let steps = Steps::of(grid);
    let Spare { shifts: mut shift_steps, mut sums, mut rounded } = SPARE.take();
    shift_steps.clear();
    for ((&code, label), &count) in classes.codes().iter().zip(&labels).zip(classes.counts()) {
        let mean = profile.mean(code).ok_or_else(|| Error::internal("a class of the chunk is not in its profile"))?;
        shifts.in_steps(label, &steps, mean, count, &mut shift_steps);
    }

    let quantiser = Quantiser::new(grid, profile.largest());
    sums.clear();
    sums.resize(labels.len() * dim, 0);
    let mut squares = vec![i256::ZERO; labels.len()];
    let mut changed = vec![0_u64; dim];
    let mut failed: Option<TooFar> = None;
    for (rows, classes) in classes.rows().chunks(BLOCK_ROWS).zip(classes.classes().chunks(BLOCK_ROWS)) {
        let mut totals = Totals { sums: &mut sums, squares: &mut squares, changed: &mut changed };
        let rows = Rows { rows, classes, shifts: &shift_steps };
        if let Err(far) = quantiser.round(values, &rows, &mut totals, sink.is_some(), &mut rounded) {
            failed = Some(failed.filter(|other| other.row < far.row).unwrap_or(far));
        } else if let (Some(sink), None) = (&mut sink, failed) {
            sink(&rounded)?;
        }
    }
    if let Some(TooFar { row, dimension }) = failed {
        return Err(too_fine(row, dimension));
    }
    SPARE.set(Spare { rounded, ..Spare::default() });
    let history = History::of(grid, classes.rows().len() as u64, &changed);
    Ok(ClassSums::from_parts(grid.clone(), history, labels, classes.counts().to_vec(), shift_steps, sums, squares))
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
