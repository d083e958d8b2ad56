//! The kernels of the CPU.

mod spread;

pub(super) use spread::class_mean;

use super::gram::{GramTarget, rows_at_a_time};
use super::nearest::{Candidates, Contenders, TILE_ROWS, TileScratch};
use super::quantise::{Rounded, ShiftedRows, TooFar, Totals, earlier};
use super::{Kernels, Profile};
use crate::batch::{Batch, ByClass, Features};
use crate::error::Result;
use crate::grid::{Spread, Value};

/// Values of class sums that are made at a time when no Gram is wanted, so that they stay in cache until they are added to
/// a state.
const SUMS_AT_A_TIME: usize = 1 << 15;

/// Runs on the thread that calls it.
#[derive(Debug, Default)]
pub struct Cpu {
    rounded: Rounded,
    tile: TileScratch,
}

impl Cpu {
    fn round_values<T: Value>(
        &mut self,
        values: &[T],
        rows: &ShiftedRows<'_>,
        profile: &Profile,
        totals: &mut Totals<'_>,
        mut gram: Option<GramTarget<'_>>,
    ) -> Result<Option<TooFar>> {
        let mut too_far = None;
        let at_a_time = rows_at_a_time(profile.grid().dim());
        for (block, classes) in rows.rows.chunks(at_a_time).zip(rows.classes.chunks(at_a_time)) {
            let block = ShiftedRows { rows: block, classes, ..*rows };
            let outcome = profile.quantiser().round(values, &block, totals, gram.is_some(), &mut self.rounded);
            too_far = earlier(too_far, outcome.err());
            if let (Some(gram), None) = (&mut gram, too_far) {
                gram.sum.add_rows(&mut self.rounded, gram.left)?;
            }
        }
        Ok(too_far)
    }
}

impl Kernels for Cpu {
    fn spread(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Spread> {
        Ok(match chunk.features() {
            Features::F16(values) => spread::spread(values, chunk.dim(), order, means),
            Features::F32(values) => spread::spread(values, chunk.dim(), order, means),
            Features::F64(values) => spread::spread(values, chunk.dim(), order, means),
        })
    }

    fn outline(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Vec<f64>> {
        Ok(match chunk.features() {
            Features::F16(values) => spread::outline(values, chunk.dim(), order, means),
            Features::F32(values) => spread::outline(values, chunk.dim(), order, means),
            Features::F64(values) => spread::outline(values, chunk.dim(), order, means),
        })
    }

    fn round(
        &mut self,
        features: Features<'_>,
        rows: &ShiftedRows<'_>,
        profile: &Profile,
        totals: &mut Totals<'_>,
        gram: Option<GramTarget<'_>>,
    ) -> Result<Option<TooFar>> {
        match features {
            Features::F16(values) => self.round_values(values, rows, profile, totals, gram),
            Features::F32(values) => self.round_values(values, rows, profile, totals, gram),
            Features::F64(values) => self.round_values(values, rows, profile, totals, gram),
        }
    }

    fn contenders(
        &mut self,
        candidates: &Candidates<'_>,
        rows: &[f64],
        places: usize,
        lists: &mut Contenders,
    ) -> Result<()> {
        for tile in rows.chunks(TILE_ROWS * candidates.dim()) {
            candidates.bound(tile, places, &mut self.tile, lists);
        }
        Ok(())
    }

    fn classes_at_a_time(&self, dim: usize) -> usize {
        (SUMS_AT_A_TIME / dim).max(1)
    }

    fn rows_at_a_time(&self, _dim: usize) -> usize {
        TILE_ROWS
    }

    fn spares_rows(&self) -> bool {
        true
    }
}
