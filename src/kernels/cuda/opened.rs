//! Devices that were found and tried.

use std::fmt;
use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError, sys};

use super::session::Session;
use super::size::PLANE_BYTES;
use super::{Absent, launch, trial};
use crate::error::{ErrorKind, Result};
use crate::kernels::{Kernels, lacks_device_memory};

/// The compute capability that the kernels are compiled for.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// The digits of rows take at most this share of the device's memory.
const PLANE_SHARE: usize = 64;

/// A device that can be used.
#[derive(Clone)]
pub struct CudaDevice {
    pub(super) opened: Arc<Opened>,
    required: bool,
}

/// What the sessions of a device share.
pub(super) struct Opened {
    pub(super) name: String,
    pub(super) ordinal: usize,
    pub(super) context: Arc<CudaContext>,
    pub(super) multiprocessors: usize,
    /// How many bytes the digits of rows may take.
    pub(super) plane_bytes: usize,
    pub(super) map: launch::MapKernels,
    pub(super) nearest: launch::NearestKernels,
}

/// Opens one device by its number, or all that can be used.
///
/// Each device first has to find sums whose values are known. With `required`, the user asked for a device, and the CPU must
/// not take its place.
///
/// # Errors
///
/// Why there is none, or why the first one cannot be used.
pub fn open(which: Option<usize>, required: bool) -> Result<Vec<CudaDevice>, Absent> {
    let count = launch::devices()?;
    let one = |ordinal: usize| open_one(ordinal).map(|opened| CudaDevice { opened: Arc::new(opened), required });
    let found: Vec<Result<CudaDevice, Absent>> = match which {
        Some(ordinal) if ordinal >= count => return Err(Absent::NoSuchDevice { ordinal, count }),
        Some(ordinal) => vec![tried(one(ordinal))],
        None => (0..count).map(|ordinal| tried(one(ordinal))).collect(),
    };
    let mut first = None;
    let mut usable = Vec::new();
    for device in found {
        match device {
            Ok(device) => usable.push(device),
            Err(absent) => first = first.or(Some(absent)),
        }
    }
    if usable.is_empty() { Err(first.unwrap_or(Absent::NoDevice)) } else { Ok(usable) }
}

fn open_one(ordinal: usize) -> Result<Opened, Absent> {
    let context = launch::context(ordinal).map_err(Absent::failed)?;
    let name = context.name().map_err(Absent::failed)?;
    let capability = context.compute_capability().map_err(Absent::failed)?;
    if capability < LEAST_CAPABILITY {
        return Err(Absent::OldDevice { name, capability });
    }
    let count = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
    let multiprocessors = context.attribute(count).map_err(Absent::failed)?.max(1) as usize;
    let plane_bytes = PLANE_BYTES.min(context.total_mem().map_err(Absent::failed)? / PLANE_SHARE);
    let map = launch::MapKernels::load(&context).map_err(Absent::failed)?;
    let nearest = launch::NearestKernels::load(&context).map_err(Absent::failed)?;
    Ok(Opened { name, ordinal, context, multiprocessors, plane_bytes, map, nearest })
}

/// Lets a device find sums and choices that are known.
fn tried(device: Result<CudaDevice, Absent>) -> Result<CudaDevice, Absent> {
    let device = device?;
    let mut session = Session::new(device.opened.clone(), true);
    match trial::is_right(&mut session).and_then(|is_right| Ok(is_right && trial::chooses_right(&mut session)?)) {
        Ok(true) => Ok(device),
        Ok(false) => Err(Absent::Wrong { name: device.opened.name.clone() }),
        Err(error) if error.kind() == ErrorKind::Internal => Err(Absent::Wrong { name: device.opened.name.clone() }),
        Err(error) if lacks_device_memory(&error) => Err(Absent::NoMemory { name: device.opened.name.clone() }),
        Err(error) => Err(Absent::Failed { detail: error.fact("detail").unwrap_or(error.message()).to_owned() }),
    }
}

impl CudaDevice {
    /// What people call it.
    pub fn name(&self) -> &str {
        &self.opened.name
    }

    /// Its number among the devices of the driver.
    pub fn ordinal(&self) -> usize {
        self.opened.ordinal
    }

    /// Its free and its total memory, in bytes.
    ///
    /// # Errors
    ///
    /// Those of the device.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let found = self.opened.context.mem_get_info();
        let (free, total) = found.map_err(|error| launch::failed(self.name(), error))?;
        Ok((free as u64, total as u64))
    }

    /// The kernels for one worker. Memory of the device is taken when they are first used.
    pub fn session(&self) -> Box<dyn Kernels> {
        Box::new(Session::new(self.opened.clone(), self.required))
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CudaDevice")
            .field("name", &self.name())
            .field("ordinal", &self.ordinal())
            .finish_non_exhaustive()
    }
}

impl Absent {
    pub(super) fn failed(error: DriverError) -> Self {
        Self::Failed { detail: launch::detail(error) }
    }
}
