//! What stands for devices in a program that was built without them.

use std::convert::Infallible;

use super::Absent;
use crate::batch::Batch;
use crate::error::Result;
use crate::kernels::{ChunkTimes, Kernels};

/// A device, of which there is none.
#[derive(Clone, Debug)]
pub struct CudaDevice(Infallible);

/// Finds no device.
///
/// # Errors
///
/// [`Absent::NotBuilt`].
pub fn open(_which: Option<usize>, _required: bool) -> Result<Vec<CudaDevice>, Absent> {
    Err(Absent::NotBuilt)
}

impl CudaDevice {
    /// What people call it.
    pub fn name(&self) -> &str {
        match self.0 {}
    }

    /// Its number among the devices of the driver.
    pub fn ordinal(&self) -> usize {
        match self.0 {}
    }

    /// Its free and its total memory, in bytes.
    ///
    /// # Errors
    ///
    /// None: there is no device.
    pub fn memory(&self) -> Result<(u64, u64)> {
        match self.0 {}
    }

    /// How long a chunk takes.
    ///
    /// # Errors
    ///
    /// None: there is no device.
    pub fn times(&self, _chunk: &Batch<'_>) -> Result<ChunkTimes> {
        match self.0 {}
    }

    /// The kernels for one worker.
    pub fn session(&self) -> Box<dyn Kernels> {
        match self.0 {}
    }
}
