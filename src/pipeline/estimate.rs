//! About how long a run takes, from its first rows.

use std::time::{Duration, Instant};

use super::first_pass::{FirstPass, Summary};
use crate::archive::DecodedChunk;
use crate::error::Result;
use crate::kernels::gram;
use crate::linalg::symmetric_eigen;
use crate::state::{Shifts, State};

/// What the first chunk took, on one thread.
struct Sample {
    rows: f64,
    dim: f64,
    /// In the chunk, perhaps fewer than there are.
    classes: f64,
    /// Seconds to decode it.
    decode: f64,
    /// Seconds to add it to a state.
    add: f64,
    /// Seconds that a multiplication with its addition takes in a matrix product.
    product: f64,
}

impl FirstPass {
    /// About how long a run of these numbers takes: one chunk is read and added to a state, and all others are taken to
    /// be like it. Metrics themselves, once rows are read, are not counted.
    ///
    /// # Errors
    ///
    /// Those of the first chunk.
    pub(super) fn estimate(&self, summary: &Summary) -> Result<Duration> {
        let Some(sample) = self.sample()? else { return Ok(Duration::ZERO) };
        let first = summary.rows as f64 / sample.rows * (sample.decode + sample.add);
        let more = summary.passes.saturating_sub(1) as f64 * summary.rows as f64;
        let decision = sample.dim * sample.classes * sample.product;
        let second = more * (sample.decode / sample.rows + decision);
        let units = self.archive.units().len().max(1) as f64;
        // A unit is decoded by one thread, whose chunks the others work on.
        let decoding = summary.rows as f64 / sample.rows * sample.decode / units.min(self.threads as f64);
        Ok(Duration::from_secs_f64(((first + second) / self.threads as f64).max(decoding)))
    }

    fn sample(&self) -> Result<Option<Sample>> {
        let decode = || -> Result<(Option<DecodedChunk>, f64)> {
            let start = Instant::now();
            let chunk = self.archive.read(0)?.next()?;
            Ok((chunk, start.elapsed().as_secs_f64()))
        };
        // The first time, memory is asked for and the file may come from the disk.
        if let (Some(chunk), _) = decode()? {
            self.archive.recycle(chunk);
        }
        let (Some(chunk), decode) = decode()? else { return Ok(None) };
        if chunk.codes.is_empty() {
            return Ok(None);
        }
        let (mut state, shifts, mut workspace) = (State::new(self.scatter), Shifts::default(), self.device.workspace());
        let mut add = || -> Result<f64> {
            let start = Instant::now();
            self.rounding.add(&chunk, &mut state, &shifts, &mut workspace)?;
            Ok(start.elapsed().as_secs_f64())
        };
        add()?;
        let add = add()?;
        let (rows, dim) = (chunk.codes.len() as f64, chunk.dim as f64);
        let product = if self.scatter { 2.0 * add / (rows * dim * (dim + 1.0)) } else { product()? };
        Ok(Some(Sample { rows, dim, classes: chunk.classes.len() as f64, decode, add, product }))
    }
}

/// Dimensions from which on decompositions take longer than anybody would take for granted.
const MANY_DIMENSIONS: usize = 2048;

/// The size of the matrix that is decomposed to see how long that takes.
const SMALL: usize = 384;

/// About how long it takes to decompose a matrix of `dim × dim`, as `nc1_vci` does it for each group on one thread, if
/// that is long.
pub(super) fn decomposition(dim: usize) -> Result<Option<Duration>> {
    if dim < MANY_DIMENSIONS {
        return Ok(None);
    }
    // The entries of a symmetric matrix without pattern.
    let entry = |at: usize| ((at / SMALL + 1) * (at % SMALL + 1) % 1009) as f64 / 1009.0;
    let matrix: Vec<f64> = (0..SMALL * SMALL).map(entry).collect();
    let start = Instant::now();
    symmetric_eigen(&matrix, SMALL)?;
    Ok(Some(start.elapsed().mul_f64((dim as f64 / SMALL as f64).powi(3))))
}

/// Seconds that a multiplication with its addition takes in a matrix product.
fn product() -> Result<f64> {
    let (rows, dim) = (1024, 256);
    let (block, mut sums) = (vec![1.0; rows * dim], vec![0; gram::packed_len(dim)]);
    gram::add_block(&mut sums, &block, dim)?;
    let start = Instant::now();
    gram::add_block(&mut sums, &block, dim)?;
    Ok(2.0 * start.elapsed().as_secs_f64() / (rows * dim * (dim + 1)) as f64)
}
