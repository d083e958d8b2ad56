//! Sums over all pairs of classes, in one sweep over tiles: nothing of size `K × K` is stored.
//!
//! A tile is one matrix product and one pass over its entries; tiles run in parallel and are merged in their order, so
//! the number of threads changes no bit. Where `‖a‖² + ‖b‖² − 2 a·b` would lose the digits of a small distance, it is
//! computed from differences.

#![expect(clippy::inline_always, reason = "a call in loops over pairs would keep them from being vectorised")]

mod angles;
mod cdnv;
mod distances;
mod distribution;
mod lanes;
mod moments;
#[cfg(test)]
mod tests;

pub use angles::{AngleErrors, Angles};
pub use cdnv::{Cdnv, ClassCdnv, WorstPair};
pub use distances::{Distances, distances};
pub use distribution::Distribution;
pub use moments::{Moments, ScaledMoments};

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

/// How many points a side of a tile has.
const TILE: usize = 256;

/// Tiles that are swept before their results are merged: more than any machine's threads.
const WAVE: usize = 512;

/// Squared distances below this share of the sum of squared norms are computed from differences.
const NEAR: f64 = 1e-3;

/// Squared distances up to this many times the mean squared distance that rounding puts between equal points count as 0:
/// about six standard deviations in one dimension, and far more in several.
pub(crate) const UNRESOLVED: f64 = 32.0;

/// Points, one for each class: centred means or classifier rows.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// `D`.
    pub dim: usize,
    /// `K × D`, row-major, in units of `unit`.
    pub values: &'a [f64],
    /// The norms of the points, `K`, in units of `unit`; 0 for a point without a direction.
    pub norms: &'a [f64],
    /// The unit, in feature units: a power of two that keeps squares in range.
    pub unit: f64,
    /// The noise that rounding leaves: the mean squared distance of each point from the true one, `K`, in units of `unit`
    /// squared.
    pub noise: &'a [f64],
    /// The largest share of that noise along one direction: `1/D` if it is the same in all directions, and at most 1.
    pub along: f64,
}

/// What CDNV needs besides means.
#[derive(Clone, Copy, Debug)]
pub struct Variances<'a> {
    /// `v_k`, `K`, feature units squared.
    pub values: &'a [f64],
    /// Which classes have enough rows, `K`.
    pub used: &'a [bool],
    /// `p`.
    pub exponent: f64,
    /// How many of the worst pairs to keep.
    pub worst: usize,
}

/// The result of a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sweep {
    /// Present if variances were given.
    pub cdnv: Option<Cdnv>,
    /// Present if the exponent of the Riesz energy was given.
    pub angles: Option<Angles>,
}

impl<'a> Points<'a> {
    /// `K`.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// Point `k`, in units of `unit`.
    pub fn row(&self, k: usize) -> &'a [f64] {
        &self.values[k * self.dim..][..self.dim]
    }

    /// A squared distance up to this share of the sum of squared norms is rounding: `4 D ε`.
    fn tolerance(&self) -> f64 {
        4.0 * self.dim as f64 * f64::EPSILON
    }

    /// The relative error of a distance, about one standard deviation: `noise` is that of both points, over the square of
    /// the distance.
    #[inline(always)]
    pub fn error(&self, noise: f64) -> f64 {
        (self.along * noise).sqrt() + 0.5 * noise
    }
}

/// Sweeps all pairs of points once: CDNV if there are variances, angles if there is an exponent of the Riesz energy.
pub fn sweep(points: &Points<'_>, variances: Option<&Variances<'_>>, riesz_s: Option<f64>) -> Sweep {
    sweep_some(points, variances, riesz_s, points.norms.iter().filter(|&&norm| norm > 0.0).count())
}

/// The same for points that are some of more, of which `directions` have a direction: that makes the simplex with which
/// angles are compared.
pub fn sweep_some(
    points: &Points<'_>,
    variances: Option<&Variances<'_>>,
    riesz_s: Option<f64>,
    directions: usize,
) -> Sweep {
    let cdnv = variances.map(|variances| cdnv::Task::new(points, variances));
    let angles = riesz_s.map(|s| angles::Task::new(points, s, directions));
    let mut cdnv_total = cdnv.as_ref().map(cdnv::Task::total);
    let mut angles_total = angles::AngleSums::default();
    let idle: Mutex<Vec<Scratch>> = Mutex::default();
    let blocks = points.len().div_ceil(TILE);
    let tiles: Vec<(usize, usize)> = (0..blocks).flat_map(|a| (a..blocks).map(move |b| (a, b))).collect();
    let span = |block: usize| block * TILE..((block + 1) * TILE).min(points.len());
    for wave in tiles.chunks(WAVE) {
        let swept: Vec<_> = wave
            .par_iter()
            .map(|&(a, b)| {
                let lock = || idle.lock().unwrap_or_else(PoisonError::into_inner);
                let mut scratch = lock().pop().unwrap_or_else(|| Scratch::new(cdnv.as_ref()));
                let (rows, cols) = (span(a), span(b));
                products(points, &rows, &cols, &mut scratch.products);
                let tile = Tile { rows, cols, products: &scratch.products };
                let parts = (
                    cdnv.as_ref().map(|task| task.tile(&tile, &mut scratch.buffers, &mut scratch.counts)),
                    angles.as_ref().map(|task| task.tile(&tile, &mut scratch.buffers)),
                );
                lock().push(scratch);
                parts
            })
            .collect();
        for (&(a, b), (cdnv, angles)) in wave.iter().zip(swept) {
            if let (Some(total), Some(part)) = (&mut cdnv_total, cdnv) {
                total.merge(&span(a), &span(b), part);
            }
            if let Some(part) = angles {
                angles_total.merge(&part);
            }
        }
    }
    let scratches = idle.into_inner().unwrap_or_else(PoisonError::into_inner);
    let counts = scratches.into_iter().filter_map(|scratch| scratch.counts);
    Sweep {
        cdnv: cdnv.zip(cdnv_total).map(|(task, total)| task.finish(total, counts)),
        angles: angles.map(|task| task.finish(&angles_total)),
    }
}

/// Inner products of two ranges of points; on the diagonal only pairs `i < j` count.
struct Tile<'a> {
    rows: Range<usize>,
    cols: Range<usize>,
    /// Rows × columns, row-major.
    products: &'a [f64],
}

impl Tile<'_> {
    /// Each row's point, the points after it in the tile, and its products with them.
    #[inline(always)]
    fn pairs(&self) -> impl Iterator<Item = (usize, Range<usize>, &[f64])> {
        let (width, last) = (self.cols.len(), self.cols.end);
        self.rows.clone().zip(self.products.chunks_exact(width)).map(move |(i, products)| {
            let first = self.cols.start.max(i + 1);
            (i, first..last, &products[first - self.cols.start..])
        })
    }
}

/// The memory of a thread for a tile.
struct Scratch {
    products: Vec<f64>,
    buffers: Buffers,
    /// Sums of integers, so it does not matter which thread counts which tile.
    counts: Option<distribution::Histogram>,
}

/// Memory for several rows of a tile.
struct Buffers([[f64; TILE]; 6]);

impl Scratch {
    fn new(cdnv: Option<&cdnv::Task<'_>>) -> Self {
        Self {
            products: vec![0.0; TILE * TILE],
            buffers: Buffers([[0.0; TILE]; 6]),
            counts: cdnv.filter(|task| task.binned()).map(|_| distribution::Histogram::new()),
        }
    }
}

fn products(points: &Points<'_>, rows: &Range<usize>, cols: &Range<usize>, out: &mut Vec<f64>) {
    let dim = points.dim;
    let part = |range: &Range<usize>| {
        MatRef::from_row_major_slice(&points.values[range.start * dim..range.end * dim], range.len(), dim)
    };
    out.resize(rows.len() * cols.len(), 0.0);
    let dst = MatMut::from_row_major_slice_mut(out, rows.len(), cols.len());
    matmul(dst, Accum::Replace, part(rows), part(cols).transpose(), 1.0, Par::Seq);
}
