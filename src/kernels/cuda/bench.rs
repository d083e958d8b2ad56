//! How long a device takes for a chunk, beside what bounds it.

use std::time::Instant;

use super::CudaDevice;
use super::launch::{BenchKernels, Memory, failed};
use super::session::{Session, Work};
use crate::batch::{Batch, ByClass};
use crate::error::{Error, Result};
use crate::grid::Spread;
use crate::kernels::{ChunkTimes, Cpu, DeviceSums, Profile, SlotRows, SumsId, Workspace};

/// Each part is measured so often, and its best time counts.
const REPEATS: usize = 9;

/// Each of three digits is multiplied by each.
const DIGIT_PRODUCTS: f64 = 9.0;

impl CudaDevice {
    /// How long a chunk takes. It has at least eight rows more than classes, and no row that would be left to the CPU.
    ///
    /// # Errors
    ///
    /// Those of the device.
    pub fn times(&self, chunk: &Batch<'_>) -> Result<ChunkTimes> {
        let profile = Profile::of(chunk, 0, &mut Workspace::new(Box::<Cpu>::default()))?;
        let order = ByClass::of(chunk, None);
        let (rows, dim) = (chunk.rows(), chunk.dim());
        let freedom = rows - order.counts().len();
        if freedom < Spread::MIN_FREEDOM {
            return Err(Error::usage("the chunk has too few rows to measure a device with"));
        }
        let mut session = Session::new(self.opened.clone(), true);
        let upload = session.best(|work| {
            work.forget();
            work.load(chunk).map(drop)
        })?;
        let bytes = chunk.features().bytes();
        let copy = session.with(|work| Memory::<u8>::new(&work.stream, bytes))?;
        let copy = session.best(|work| work.stream.copy(work.features.view(bytes)?, copy.view()))?;
        let spread = session.best(|work| work.spread(chunk, &order, freedom).map(drop))?;
        let (rounding, _) = session.adding(chunk, &profile, &order, false)?;
        let (with_gram, long) = session.adding(chunk, &profile, &order, true)?;
        if long > 0 {
            return Err(Error::internal("rows of the chunk were left to the CPU"));
        }
        let kernels = BenchKernels::load(&self.opened.context, self.opened.multiprocessors)
            .map_err(|error| failed(self.name(), error))?;
        let out = session.with(|work| Memory::<u32>::new(&work.stream, kernels.threads()))?;
        let wanted = DIGIT_PRODUCTS * rows as f64 * (dim * (dim + 1) / 2) as f64;
        let mut made = wanted;
        let products = session.best(|work| {
            made = kernels.products(&work.stream, wanted, out.view())?;
            Ok(())
        })?;
        let (gram, products) = ((with_gram - rounding).max(0.0), products * wanted / made);
        Ok(ChunkTimes { upload, copy, spread, rounding, gram, products })
    }
}

impl Session {
    /// The best time of some work, to its end.
    fn best(&mut self, mut act: impl FnMut(&mut Work) -> Result<()>) -> Result<f64> {
        let mut best = f64::INFINITY;
        for _ in 0..REPEATS {
            self.with(|work| work.stream.finish())?;
            let start = Instant::now();
            self.with(&mut act)?;
            self.with(|work| work.stream.finish())?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(best)
    }

    /// The best time to add a chunk to sums, and how many rows were long.
    fn adding(&mut self, chunk: &Batch<'_>, profile: &Profile, order: &ByClass, gram: bool) -> Result<(f64, usize)> {
        let exponents: Vec<i16> = profile.grid().exponents().iter().map(|e| e.unwrap_or(0)).collect();
        let inverse: Vec<f64> = profile.grid().steps().iter().map(|step| 1.0 / step).collect();
        let (slots, left) = ((0..order.counts().len() as u32).collect::<Vec<_>>(), vec![0; chunk.dim()]);
        let id: SumsId = self.open(&exponents, gram)?;
        let steps = |mean: &[f64]| -> Vec<f64> {
            mean.iter().zip(&inverse).map(|(mean, inverse)| (mean * inverse).round_ties_even() / inverse).collect()
        };
        let means = order.codes().iter().zip(order.each()).filter_map(|(&code, rows)| profile.mean(code, chunk, rows));
        let shifts: Vec<f64> = means.flat_map(|mean| steps(&mean)).collect();
        self.extend(id, &shifts)?;
        let rows = SlotRows { batch: chunk, profile, order, slots: &slots, left: &left };
        let mut long = Vec::new();
        let mut best = f64::INFINITY;
        for _ in 0..REPEATS {
            self.with(|work| work.stream.finish())?;
            let start = Instant::now();
            self.add(id, &rows, &mut long)?;
            self.with(|work| work.stream.finish())?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        self.take(id)?;
        Ok((best, long.len()))
    }
}
