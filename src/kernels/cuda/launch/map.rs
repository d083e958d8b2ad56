//! The kernels of `map.cu`.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, CudaModule, DriverError, sys};
use cudarc::nvrtc::Ptx;

use super::super::size::{GRAM_TILE, LEFTS, SPAN_ROWS, padded, slot_words};
use super::{Arg, Stream, View, check_length};
use crate::error::Result;

const PTX: &str = include_str!("../map.ptx");

/// Bytes of shared memory of a block of `gram`: two stages of 2 sides, 3 digits, and lines of 64 positions and 16 bytes.
const GRAM_SHARED: u32 = (2 * 2 * 3 * GRAM_TILE * (GRAM_TILE + 16)) as u32;

/// The threads of most blocks: 8 warps.
const BLOCK: (u32, u32) = (32, 8);

/// The kernels of the first pass, those that read features for f16, f32 and f64.
pub(in super::super) struct MapKernels {
    magnitudes: [CudaFunction; 3],
    factors: CudaFunction,
    class_squares: [CudaFunction; 3],
    totals: [CudaFunction; 3],
    sigma: CudaFunction,
    long_rows: [CudaFunction; 3],
    round_rows: [CudaFunction; 3],
    gram: CudaFunction,
    fold: CudaFunction,
    row_sums: CudaFunction,
    guard: CudaFunction,
}

/// The features of a batch, rows × D.
#[derive(Clone, Copy)]
pub(in super::super) struct Values<'a> {
    /// The values.
    pub(in super::super) bytes: View<'a, u8>,
    /// The number of their type, as [`stored`](super::stored) tells it.
    pub(in super::super) stored: usize,
    /// `D`.
    pub(in super::super) dim: usize,
}

/// Rows of a batch.
#[derive(Clone, Copy)]
pub(in super::super) struct Chunk<'a> {
    /// The features of all rows of the batch.
    pub(in super::super) features: Values<'a>,
    /// The rows in question, class after class: indices into the batch, which the host has checked.
    pub(in super::super) rows: View<'a, u32>,
}

/// How rows are rounded, and where their sums go.
#[derive(Clone, Copy)]
pub(in super::super) struct Rounding<'a> {
    /// The slot of each row, which the host has checked.
    pub(in super::super) slots: View<'a, u32>,
    /// Which rows are long.
    pub(in super::super) is_long: View<'a, u8>,
    /// Inverse steps, D.
    pub(in super::super) inverse: View<'a, f64>,
    /// By how many bits the grid of the sums is finer, D.
    pub(in super::super) left: View<'a, u32>,
    /// By how many bits the finest step of the sums is finer, D.
    pub(in super::super) weights: View<'a, u32>,
    /// Shifts, slots × D.
    pub(in super::super) shifts: View<'a, f64>,
    /// How many bands of squares there are.
    pub(in super::super) bands: usize,
    /// The sums of the slots.
    pub(in super::super) sums: View<'a, u64>,
    /// Values that rounding changed, D × [`LEFTS`].
    pub(in super::super) changed: View<'a, u64>,
}

/// Digits of rows, and what is made of them.
#[derive(Clone, Copy)]
pub(in super::super) struct Planes<'a> {
    /// `D`.
    pub(in super::super) dim: usize,
    /// How many rows there are.
    pub(in super::super) rows: usize,
    /// 3 × padded D × padded rows.
    pub(in super::super) digits: View<'a, i8>,
    /// The Gram matrix, padded D × padded D, zeros between parts.
    pub(in super::super) gram: View<'a, u64>,
    /// Sums of rows of digits, padded rows.
    pub(in super::super) row_sums: View<'a, u32>,
    /// Sums of rows of the Gram matrix, D.
    pub(in super::super) found: View<'a, u32>,
}

impl MapKernels {
    pub(in super::super) fn load(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        let module: Arc<CudaModule> = context.load_module(Ptx::from_src(PTX))?;
        let one = |name: &str| module.load_function(name);
        let each = |name: &str| -> Result<_, DriverError> {
            Ok([one(&format!("{name}_f16"))?, one(&format!("{name}_f32"))?, one(&format!("{name}_f64"))?])
        };
        let gram = one("gram")?;
        let shared = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        gram.set_attribute(shared, GRAM_SHARED as i32)?;
        Ok(Self {
            magnitudes: each("magnitudes")?,
            factors: one("factors")?,
            class_squares: each("class_squares")?,
            totals: each("totals")?,
            sigma: one("sigma")?,
            long_rows: each("long_rows")?,
            round_rows: each("round_rows")?,
            gram,
            fold: one("fold")?,
            row_sums: one("row_sums")?,
            guard: one("guard")?,
        })
    }

    /// The largest magnitudes of so many rows go to `largest`, D.
    pub(in super::super) fn magnitudes(
        &self,
        stream: &Stream,
        features: &Values<'_>,
        rows: usize,
        largest: View<'_, f64>,
    ) -> Result<()> {
        let dim = features.dim;
        check_length(features.bytes.len >= rows * dim * [2, 4, 8][features.stored])?;
        let largest = largest.part(0, dim)?;
        stream.zero(largest)?;
        let args = [features.bytes.into(), Arg::from(rows as u32), Arg::from(dim as u32), largest.into()];
        let grid = (blocks(rows, 512), blocks(dim, 32));
        // SAFETY: the features have so many rows, and `largest` has D values.
        unsafe { stream.launch(&self.magnitudes[features.stored], grid, BLOCK, &args) }
    }

    /// By what doubles are multiplied before they are subtracted, from their largest magnitudes; both D.
    pub(in super::super) fn factors(
        &self,
        stream: &Stream,
        dim: usize,
        largest: View<'_, f64>,
        factors: View<'_, f64>,
    ) -> Result<()> {
        check_length(largest.len >= dim && factors.len >= dim)?;
        let args = [largest.into(), Arg::from(dim as u32), factors.into()];
        // SAFETY: both have D values.
        unsafe { stream.launch(&self.factors, (blocks(dim, 64), 1), (64, 1), &args) }
    }

    /// `√((Σ δ² − Σ_k (Σ_k δ)² / n_k) / freedom)`, the largest `|δ|`, rows with `δ ≠ 0` and the largest `|x|`, each D, go to
    /// `totals`. `classes` are those of the rows, `starts` says where each class begins and where the last one ends, and
    /// `class_squares` is room for classes × D values.
    #[expect(clippy::too_many_arguments, reason = "arrays that kernels read and write")]
    pub(in super::super) fn spread(
        &self,
        stream: &Stream,
        chunk: &Chunk<'_>,
        classes: View<'_, u32>,
        starts: View<'_, u32>,
        freedom: usize,
        factors: View<'_, f64>,
        class_squares: View<'_, f64>,
        totals: View<'_, f64>,
    ) -> Result<()> {
        let Values { bytes, stored, dim } = chunk.features;
        let class_count = starts.len.saturating_sub(1);
        check_length(classes.len >= chunk.rows.len && factors.len >= dim)?;
        check_length(class_squares.len >= class_count * dim && totals.len >= 4 * dim)?;
        let args = [
            bytes.into(),
            chunk.rows.into(),
            starts.into(),
            Arg::from(class_count as u32),
            Arg::from(dim as u32),
            factors.into(),
            class_squares.into(),
        ];
        let grid = (blocks(class_count, 8), blocks(dim, 32));
        // SAFETY: the lengths are checked above; rows, classes and starts are those of a `ByClass`.
        unsafe { stream.launch(&self.class_squares[stored], grid, BLOCK, &args) }?;
        let args = [
            bytes.into(),
            chunk.rows.into(),
            classes.into(),
            starts.into(),
            Arg::from(chunk.rows.len as u32),
            Arg::from(dim as u32),
            factors.into(),
            totals.into(),
        ];
        // SAFETY: as above.
        unsafe { stream.launch(&self.totals[stored], (blocks(dim, 32), 1), BLOCK, &args) }?;
        let args = [
            class_squares.into(),
            Arg::from(class_count as u32),
            Arg::from(dim as u32),
            Arg::from(freedom as f64),
            totals.into(),
        ];
        // SAFETY: as above; the squares are the first D totals.
        unsafe { stream.launch(&self.sigma, (blocks(dim, 64), 1), (64, 1), &args) }
    }

    /// Says of each row whether it is long.
    pub(in super::super) fn long_rows(&self, stream: &Stream, chunk: &Chunk<'_>, to: &Rounding<'_>) -> Result<()> {
        to.check(chunk)?;
        let (Values { bytes, stored, dim }, count) = (chunk.features, chunk.rows.len);
        let args = [
            bytes.into(),
            chunk.rows.into(),
            to.slots.into(),
            Arg::from(count as u32),
            Arg::from(dim as u32),
            to.inverse.into(),
            to.shifts.into(),
            to.is_long.into(),
        ];
        // SAFETY: the lengths are checked above; rows lie in the features, and slots in the shifts.
        unsafe { stream.launch(&self.long_rows[stored], (blocks(count, 8), 1), BLOCK, &args) }
    }

    /// Adds short rows to the sums of their slots, and writes their digits if there are planes for them.
    pub(in super::super) fn round_rows(
        &self,
        stream: &Stream,
        chunk: &Chunk<'_>,
        to: &Rounding<'_>,
        planes: Option<&Planes<'_>>,
    ) -> Result<()> {
        to.check(chunk)?;
        let (Values { bytes, stored, dim }, count) = (chunk.features, chunk.rows.len);
        let mut padded_rows = 0;
        if let Some(planes) = planes {
            planes.check()?;
            check_length(planes.dim == dim && planes.rows == count)?;
            padded_rows = padded(count);
        }
        let wide = padded(dim);
        let digits = planes.map_or(Arg(0), |planes| planes.digits.into());
        let args = [
            bytes.into(),
            chunk.rows.into(),
            to.slots.into(),
            to.is_long.into(),
            Arg::from(count as u32),
            Arg::from(dim as u32),
            to.inverse.into(),
            to.shifts.into(),
            to.left.into(),
            to.weights.into(),
            Arg::from(to.bands as u32),
            to.sums.into(),
            to.changed.into(),
            Arg::from(wide as u32),
            Arg::from(padded_rows as u32),
            digits,
        ];
        let grid = (blocks(count, 128), blocks(wide, 32));
        // SAFETY: the lengths are checked above; rows lie in the features, slots in the shifts and sums, `left` is below
        // `LEFTS`, and weights lie in the bands. Without planes there are no padded rows, and no digit is written.
        unsafe { stream.launch(&self.round_rows[stored], grid, BLOCK, &args) }
    }

    /// `Q += δᵀ δ 2^(left_i + left_j)`, 128 bits an entry of the lower triangle by columns. If a check of the product fails,
    /// `is_wrong` becomes other than 0.
    pub(in super::super) fn gram(
        &self,
        stream: &Stream,
        planes: &Planes<'_>,
        multiprocessors: usize,
        left: View<'_, u32>,
        q: View<'_, u64>,
        is_wrong: View<'_, u32>,
    ) -> Result<()> {
        planes.check()?;
        let (dim, rows, wide) = (planes.dim, padded(planes.rows), padded(planes.dim));
        check_length(left.len >= dim && q.len >= dim * (dim + 1) && is_wrong.len >= 1)?;
        let shape = [Arg::from(dim as u32), Arg::from(wide as u32), Arg::from(rows as u32)];
        let [dims, wides, padded_rows] = shape;

        stream.zero(planes.found)?;
        let args = [planes.digits.into(), dims, wides, padded_rows, planes.row_sums.into()];
        // SAFETY: the lengths are checked above.
        unsafe { stream.launch(&self.row_sums, (blocks(rows, 128), 1), (128, 1), &args) }?;

        // Blocks for all multiprocessors, and in each no more rows than are exact.
        let tiles = wide / GRAM_TILE * (wide / GRAM_TILE + 1) / 2;
        let parts = (2 * multiprocessors / tiles).clamp(1, rows / GRAM_TILE).max(rows.div_ceil(SPAN_ROWS));
        let span = padded(rows.div_ceil(parts));
        let grid = (tiles as u32, blocks(rows, span));
        let args = [planes.digits.into(), dims, wides, padded_rows, Arg::from(span as u32), planes.gram.into()];
        // SAFETY: as above; spans are whole stages, and so are padded rows.
        unsafe { stream.launch_with(&self.gram, grid, (128, 1), GRAM_SHARED, &args) }?;

        let args = [planes.gram.into(), dims, wides, left.into(), q.into(), planes.found.into()];
        // SAFETY: as above.
        unsafe { stream.launch(&self.fold, (dim as u32, blocks(dim, 128)), (128, 1), &args) }?;

        let args = [
            planes.digits.into(),
            dims,
            wides,
            padded_rows,
            planes.row_sums.into(),
            planes.found.into(),
            is_wrong.into(),
        ];
        // SAFETY: as above.
        unsafe { stream.launch(&self.guard, (blocks(dim, 8), 1), BLOCK, &args) }
    }
}

impl Rounding<'_> {
    fn check(&self, chunk: &Chunk<'_>) -> Result<()> {
        let (rows, dim) = (chunk.rows.len, chunk.features.dim);
        check_length(self.slots.len >= rows && self.is_long.len >= rows)?;
        check_length([self.left.len, self.weights.len, self.inverse.len].iter().all(|&len| len >= dim))?;
        check_length(self.sums.len / slot_words(dim, self.bands) >= self.shifts.len / dim)?;
        check_length(self.changed.len >= dim * LEFTS)
    }
}

impl Planes<'_> {
    fn check(&self) -> Result<()> {
        let (wide, rows) = (padded(self.dim), padded(self.rows));
        check_length(self.digits.len >= 3 * wide * rows && self.gram.len >= wide * wide)?;
        check_length(self.row_sums.len >= rows && self.found.len >= self.dim && self.dim > 0 && self.rows > 0)
    }
}

/// How many blocks of so many threads or rows cover a length: at least one.
fn blocks(length: usize, of: usize) -> u32 {
    length.div_ceil(of).max(1) as u32
}
