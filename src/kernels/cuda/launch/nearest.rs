//! The kernels of `nearest.cu`.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, DriverError};
use cudarc::nvrtc::Ptx;

use super::super::size::{LIST, NEAR_TILE, padded};
use super::{Arg, Stream, View, blocks, check_length};
use crate::error::Result;

const PTX: &str = include_str!("../nearest.ptx");

/// Bytes of shared memory of a block of `tile_scores`: two stages of rows and candidates, 2 digits, and lines of 64
/// dimensions and 16 bytes. A tile of scores and what threads find in it take less.
const SCORES_SHARED: u32 = (2 * 2 * 2 * NEAR_TILE * (NEAR_TILE + 16)) as u32;

/// Vectors of a block of `round_vectors`, and rows of one of `select_candidates`: a warp each.
const WARPS: usize = 4;

/// The kernels of the second read.
pub(in super::super) struct NearestKernels {
    round_vectors: CudaFunction,
    tile_scores: CudaFunction,
    select_candidates: CudaFunction,
}

/// Vectors as integers of two digits. Counts and `D` are padded to whole tiles.
#[derive(Clone, Copy)]
pub(in super::super) struct RoundedVectors<'a> {
    /// How many vectors there are.
    pub(in super::super) count: usize,
    /// `D`.
    pub(in super::super) dim: usize,
    /// 2 × padded count × padded D.
    pub(in super::super) digits: View<'a, i8>,
    /// The unit of the integers, the norm, and the norm of what rounding left, each of padded count.
    pub(in super::super) units: View<'a, f64>,
    pub(in super::super) lengths: View<'a, f64>,
    pub(in super::super) rests: View<'a, f64>,
}

/// Candidates and what bounds their scores.
#[derive(Clone, Copy)]
pub(in super::super) struct Bounded<'a> {
    /// Of `K` vectors.
    pub(in super::super) rounded: RoundedVectors<'a>,
    /// How many rules there are.
    pub(in super::super) rules: usize,
    /// K × D.
    pub(in super::super) vectors: View<'a, f64>,
    /// What is subtracted from rows, D.
    pub(in super::super) origin: View<'a, f64>,
    /// Padded K.
    pub(in super::super) norms: View<'a, f64>,
    /// Rules × padded K.
    pub(in super::super) offsets: View<'a, f64>,
    /// Rules × padded K.
    pub(in super::super) slacks: View<'a, f64>,
    /// The largest norms of tiles, the largest rests, and for each rule the largest slacks.
    pub(in super::super) tile_norms: View<'a, f64>,
    pub(in super::super) tile_rests: View<'a, f64>,
    pub(in super::super) tile_slacks: View<'a, f64>,
    /// The error of a score of `D` products, relative to the norms.
    pub(in super::super) relative: f64,
    /// How far the errors of vectors move a score, relative to the norm of the row.
    pub(in super::super) blur: f64,
}

/// The two best scores of rows in each tile, rules × padded rows × tiles, and which candidate of the tile has the best.
#[derive(Clone, Copy)]
pub(in super::super) struct Bests<'a> {
    pub(in super::super) best: View<'a, f64>,
    pub(in super::super) next: View<'a, f64>,
    pub(in super::super) which: View<'a, u32>,
}

impl NearestKernels {
    pub(in super::super) fn load(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        let module = context.load_module(Ptx::from_src(PTX))?;
        Ok(Self {
            round_vectors: module.load_function("round_vectors")?,
            tile_scores: module.load_function("tile_scores")?,
            select_candidates: module.load_function("select_candidates")?,
        })
    }

    /// Rounds `x − origin`; `x` is count × D.
    pub(in super::super) fn round(
        &self,
        stream: &Stream,
        x: View<'_, f64>,
        origin: View<'_, f64>,
        relative: f64,
        to: &RoundedVectors<'_>,
    ) -> Result<()> {
        to.check()?;
        check_length(x.len >= to.count * to.dim && origin.len >= to.dim)?;
        let args = [
            x.into(),
            origin.into(),
            Arg::from(to.count as u32),
            Arg::from(padded(to.count) as u32),
            Arg::from(to.dim as u32),
            Arg::from(padded(to.dim) as u32),
            relative.into(),
            to.digits.into(),
            to.units.into(),
            to.lengths.into(),
            to.rests.into(),
        ];
        let grid = (blocks(padded(to.count), WARPS), 1);
        // SAFETY: the lengths are checked above.
        unsafe { stream.launch(&self.round_vectors, grid, (32, WARPS as u32), &args) }
    }

    /// The best scores of rows in each tile of candidates.
    pub(in super::super) fn score(
        &self,
        stream: &Stream,
        rows: &RoundedVectors<'_>,
        candidates: &Bounded<'_>,
        bests: &Bests<'_>,
    ) -> Result<()> {
        rows.check()?;
        candidates.check()?;
        bests.check(rows, candidates)?;
        check_length(rows.dim == candidates.rounded.dim)?;
        let of = &candidates.rounded;
        let args = [
            rows.digits.into(),
            Arg::from(padded(rows.count) as u32),
            of.digits.into(),
            Arg::from(padded(of.count) as u32),
            Arg::from(padded(of.dim) as u32),
            rows.units.into(),
            of.units.into(),
            candidates.offsets.into(),
            Arg::from(candidates.rules as u32),
            bests.best.into(),
            bests.next.into(),
            bests.which.into(),
        ];
        let grid = (blocks(of.count, NEAR_TILE), blocks(rows.count, NEAR_TILE));
        // SAFETY: the lengths are checked above.
        unsafe { stream.launch_with(&self.tile_scores, grid, (128, 1), SCORES_SHARED, &args) }
    }

    /// Lists of at most [`LIST`] candidates for each row and rule, rows × rules × [`LIST`], and their lengths.
    #[expect(clippy::too_many_arguments, reason = "arrays that the kernel reads and writes")]
    pub(in super::super) fn select(
        &self,
        stream: &Stream,
        x: View<'_, f64>,
        rows: &RoundedVectors<'_>,
        candidates: &Bounded<'_>,
        bests: &Bests<'_>,
        places: usize,
        counts: View<'_, u32>,
        lists: View<'_, u32>,
    ) -> Result<()> {
        rows.check()?;
        candidates.check()?;
        bests.check(rows, candidates)?;
        let of_rules = rows.count * candidates.rules;
        check_length(rows.dim == candidates.rounded.dim && x.len >= rows.count * rows.dim)?;
        check_length(counts.len >= of_rules && lists.len >= of_rules * LIST)?;
        let args = [
            x.into(),
            candidates.origin.into(),
            Arg::from(rows.count as u32),
            Arg::from(padded(rows.count) as u32),
            Arg::from(rows.dim as u32),
            candidates.vectors.into(),
            Arg::from(padded(candidates.rounded.count) as u32),
            candidates.norms.into(),
            candidates.offsets.into(),
            candidates.slacks.into(),
            candidates.tile_norms.into(),
            candidates.tile_rests.into(),
            candidates.tile_slacks.into(),
            candidates.relative.into(),
            candidates.blur.into(),
            rows.units.into(),
            rows.lengths.into(),
            rows.rests.into(),
            bests.best.into(),
            bests.next.into(),
            bests.which.into(),
            Arg::from(places as u32),
            Arg::from(LIST as u32),
            counts.into(),
            lists.into(),
        ];
        let grid = (blocks(rows.count, WARPS), candidates.rules as u32);
        // SAFETY: the lengths are checked above. Padding has the offset −∞, and its vectors are not read.
        unsafe { stream.launch(&self.select_candidates, grid, (32, WARPS as u32), &args) }
    }
}

impl RoundedVectors<'_> {
    fn check(&self) -> Result<()> {
        let (count, wide) = (padded(self.count), padded(self.dim));
        check_length(self.count > 0 && self.dim > 0 && self.digits.len >= 2 * count * wide)?;
        check_length([self.units.len, self.lengths.len, self.rests.len].iter().all(|&len| len >= count))
    }
}

impl Bounded<'_> {
    fn check(&self) -> Result<()> {
        self.rounded.check()?;
        let (count, tiles) = (padded(self.rounded.count), padded(self.rounded.count) / NEAR_TILE);
        check_length(self.rules > 0 && self.vectors.len >= self.rounded.count * self.rounded.dim)?;
        check_length(self.origin.len >= self.rounded.dim && self.norms.len >= count)?;
        check_length(self.offsets.len >= self.rules * count && self.slacks.len >= self.rules * count)?;
        check_length(self.tile_norms.len >= tiles && self.tile_rests.len >= tiles)?;
        check_length(self.tile_slacks.len >= self.rules * tiles)
    }
}

impl Bests<'_> {
    fn check(&self, rows: &RoundedVectors<'_>, candidates: &Bounded<'_>) -> Result<()> {
        let tiles = padded(candidates.rounded.count) / NEAR_TILE;
        let entries = candidates.rules * padded(rows.count) * tiles;
        check_length([self.best.len, self.next.len, self.which.len].iter().all(|&len| len >= entries))
    }
}
