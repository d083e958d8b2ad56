//! From rows to integers.

use std::cell::Cell;

use arrow::datatypes::i256;

use super::class_sums::ClassSums;
use super::shifts::Steps;
use super::{Chunk, Shifts};
use crate::batch::{Batch, Features};
use crate::error::{Error, Result};
use crate::grid::{History, Profile, VALUE_BITS, Value};
use crate::kernels::gram::BLOCK_ROWS;
use crate::kernels::quantise::{Quantiser, Rounded, Rows, TooFar, Totals};

thread_local! {
    /// A block of rounded rows, of the size of a chunk or more: asked for once and not for every chunk.
    static SCRATCH: Cell<Rounded> = Cell::default();
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
    let everything: Vec<u32>;
    let selected = if let Some(rows) = rows {
        rows
    } else {
        everything = (0..batch.rows() as u32).collect();
        &everything
    };
    let classes = Classes::of(batch, selected);
    let labels: Vec<_> = classes.codes.iter().map(|&code| batch.classes()[code as usize].clone()).collect();
    let steps = Steps::of(grid);
    let mut shift_steps = Vec::with_capacity(labels.len() * dim);
    for ((&code, label), &count) in classes.codes.iter().zip(&labels).zip(&classes.counts) {
        let mean = profile.mean(code).ok_or_else(|| Error::internal("a class of the chunk is not in its profile"))?;
        shifts.in_steps(label, &steps, mean, count, &mut shift_steps);
    }

    let quantiser = Quantiser::new(grid, profile.largest());
    let mut sums = vec![0; labels.len() * dim];
    let mut squares = vec![i256::ZERO; labels.len()];
    let mut changed = vec![0_u64; dim];
    let mut rounded = SCRATCH.take();
    let mut failed: Option<TooFar> = None;
    for (rows, classes) in classes.rows.chunks(BLOCK_ROWS).zip(classes.of_row.chunks(BLOCK_ROWS)) {
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
    SCRATCH.set(rounded);
    let history = History::of(grid, selected.len() as u64, &changed);
    Ok(ClassSums::from_parts(grid.clone(), history, labels, classes.counts, shift_steps, sums, squares))
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

/// The classes among the rows selected, in order of first rows.
struct Classes {
    /// The batch's code of each.
    codes: Vec<u32>,
    /// Rows of each.
    counts: Vec<u64>,
    /// The rows selected, class after class: what a class needs stays in cache for all of its rows.
    rows: Vec<u32>,
    /// The class of each of them.
    of_row: Vec<u32>,
}

impl Classes {
    fn of(batch: &Batch<'_>, selected: &[u32]) -> Self {
        const NONE: u32 = u32::MAX;
        let mut of_code = vec![NONE; batch.classes().len()];
        let (mut codes, mut counts) = (Vec::new(), Vec::new());
        for &row in selected {
            let code = batch.codes()[row as usize];
            let class = &mut of_code[code as usize];
            if *class == NONE {
                *class = codes.len() as u32;
                codes.push(code);
                counts.push(0);
            }
            counts[*class as usize] += 1;
        }
        let mut next: Vec<usize> = Vec::with_capacity(counts.len());
        let mut of_row = Vec::with_capacity(selected.len());
        for (class, &count) in counts.iter().enumerate() {
            next.push(of_row.len());
            of_row.extend(std::iter::repeat_n(class as u32, count as usize));
        }
        let mut rows = vec![0; selected.len()];
        for &row in selected {
            let class = of_code[batch.codes()[row as usize] as usize] as usize;
            rows[next[class]] = row;
            next[class] += 1;
        }
        Self { codes, counts, rows, of_row }
    }
}
