//! The kernel of `bench.cu`.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, DriverError};
use cudarc::nvrtc::Ptx;

use super::{Arg, Stream, View, check_length};
use crate::error::Result;

const PTX: &str = include_str!("../bench.ptx");

/// Threads of a block.
const THREADS: usize = 256;

/// Products of two integers that a warp makes each time.
const WARP_PRODUCTS: usize = 8 * 16 * 8 * 32;

/// Makes products on all multiprocessors.
pub(in super::super) struct BenchKernels {
    products: CudaFunction,
    blocks: usize,
}

impl BenchKernels {
    pub(in super::super) fn load(context: &Arc<CudaContext>, multiprocessors: usize) -> Result<Self, DriverError> {
        let products = context.load_module(Ptx::from_src(PTX))?.load_function("products")?;
        Ok(Self { products, blocks: 2 * multiprocessors })
    }

    /// How many threads there are.
    pub(in super::super) fn threads(&self) -> usize {
        self.blocks * THREADS
    }

    /// Makes about so many products of integers of 8 bits, and returns how many. `out` has one sum for each thread.
    pub(in super::super) fn products(&self, stream: &Stream, about: f64, out: View<'_, u32>) -> Result<f64> {
        check_length(out.len >= self.threads())?;
        let each = (self.blocks * THREADS / 32 * WARP_PRODUCTS) as f64;
        let count = (about / each).ceil().clamp(1.0, f64::from(u32::MAX));
        let args = [Arg::from(count as u32), out.into()];
        // SAFETY: `out` has a value for each thread.
        unsafe { stream.launch(&self.products, (self.blocks as u32, 1), (THREADS as u32, 1), &args) }?;
        Ok(count * each)
    }
}
