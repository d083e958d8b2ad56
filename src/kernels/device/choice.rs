//! The device of a run, and where it is chosen.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::cuda::{self, Absent, CudaDevice};
use super::guarded::Guarded;
use super::{Batch, Cpu, Kernels, Workspace, is_device_failure, lacks_device_memory};
use crate::error::{Error, ErrorKind, Result};

/// The device that a run works on: it opens [`Kernels`] for each worker.
#[derive(Clone)]
pub struct Device(Arc<Inner>);

type Open = dyn Fn() -> Box<dyn Kernels> + Send + Sync;

struct Inner {
    name: String,
    /// `None` is the CPU.
    open: Option<Box<Open>>,
    devices: Vec<CudaDevice>,
    is_required: bool,
    /// Whether [`Device::decided`] may still choose another.
    is_open: bool,
    /// What a worker's kernels said when the device failed.
    failure: OnceLock<String>,
}

/// The largest chunks of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkShape {
    /// Rows.
    pub rows: usize,
    /// `D`.
    pub dim: usize,
    /// Bytes of a value: 2, 4 or 8.
    pub value_bytes: usize,
    /// Whether a scatter matrix is kept.
    pub gram: bool,
}

/// How long a device takes for a chunk, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChunkTimes {
    /// To pinned memory and from there to the device.
    pub upload: f64,
    /// A copy within the device.
    pub copy: f64,
    /// The spread of its values.
    pub spread: f64,
    /// Rounding, with class sums.
    pub rounding: f64,
    /// What the Gram matrix adds to that.
    pub gram: f64,
    /// As many products of integers of 8 bits as the Gram matrix needs, without anything else.
    pub products: f64,
}

/// A device pays where the CPU takes longer than this.
const LONG: Duration = Duration::from_secs(3);

impl Device {
    /// A device of this name, and what opens its kernels for a worker. If the device fails, the CPU goes on in its place,
    /// unless it is required.
    pub fn new(
        name: impl Into<String>,
        is_required: bool,
        open: impl Fn() -> Box<dyn Kernels> + Send + Sync + 'static,
    ) -> Self {
        Self::of(name.into(), Some(Box::new(open)), Vec::new(), is_required, false)
    }

    /// The CPU.
    pub fn cpu() -> Self {
        Self::of("cpu".to_owned(), None, Vec::new(), false, false)
    }

    /// The device for work whose user names none: the CPU, unless [`decided`](Self::decided) finds that another pays.
    pub fn detect() -> Self {
        Self::of("cpu".to_owned(), None, Vec::new(), false, true)
    }

    fn of(name: String, open: Option<Box<Open>>, devices: Vec<CudaDevice>, is_required: bool, is_open: bool) -> Self {
        Self(Arc::new(Inner { name, open, devices, is_required, is_open, failure: OnceLock::new() }))
    }

    /// The device that was asked for.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) with the reason if there is no such device.
    pub fn chosen(choice: DeviceChoice) -> Result<Self> {
        match choice {
            DeviceChoice::Auto => Ok(Self::detect()),
            DeviceChoice::Cpu => Ok(Self::cpu()),
            DeviceChoice::Cuda(which) => {
                let unusable = |absent: Absent| {
                    // Another process may hold the memory, and end.
                    let is_full = matches!(absent, Absent::NoMemory { .. });
                    let kind = if is_full { ErrorKind::Resource } else { ErrorKind::Usage };
                    let error = Error::new(kind, "the device cannot be used");
                    error.with("device", choice).with("detail", absent)
                };
                let devices = cuda::open(which, true).map_err(unusable)?;
                Ok(Self::cuda(devices, true))
            }
        }
    }

    /// The device for work that takes the CPU about so long, where the user left the choice open.
    ///
    /// Other devices are looked for only where one would pay, so that short work begins at once.
    #[must_use]
    pub fn decided(&self, on_cpu: Duration) -> Self {
        if !self.0.is_open {
            return self.clone();
        }
        let cpu = |why: String| Self::of(format!("cpu: {why}"), None, Vec::new(), false, false);
        if on_cpu < LONG {
            return cpu(format!("the work takes less than {} s", LONG.as_secs()));
        }
        match cuda::open(None, false) {
            Ok(devices) => Self::cuda(devices, false),
            Err(absent) => cpu(absent.to_string()),
        }
    }

    /// Workers are spread over these devices, of which there is at least one.
    fn cuda(devices: Vec<CudaDevice>, is_required: bool) -> Self {
        let names: Vec<String> = devices.iter().map(name_of).collect();
        let (next, workers) = (AtomicUsize::new(0), devices.clone());
        let open = move || workers[next.fetch_add(1, Ordering::Relaxed) % workers.len()].session();
        Self::of(names.join("; "), Some(Box::new(open)), devices, is_required, false)
    }

    /// Bytes that so many workers take on a device at most, without class sums, and how many are free there; `None` on the
    /// CPU, or if the device does not tell.
    pub fn memory(&self, shape: &ChunkShape, workers: usize) -> Option<(u64, u64)> {
        let ChunkShape { rows, dim, value_bytes, gram } = *shape;
        let free = self.0.devices.iter().filter_map(|device| device.memory().ok()).map(|(free, _)| free).min()?;
        let each = cuda::session_bytes(rows, dim, value_bytes, gram) + cuda::sums_bytes(0, dim, gram);
        Some((workers.div_ceil(self.0.devices.len()) as u64 * each, free))
    }

    /// How long a device takes for a chunk, by the name of each device; none on the CPU.
    ///
    /// # Errors
    ///
    /// Those of the devices.
    pub fn times(&self, chunk: &Batch<'_>) -> Result<Vec<(String, ChunkTimes)>> {
        let named = |device: &CudaDevice| Ok((name_of(device), device.times(chunk)?));
        self.0.devices.iter().map(named).collect()
    }

    /// What people call it; with the reason where the program chose it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether work is done elsewhere than on the CPU.
    pub fn is_offload(&self) -> bool {
        self.0.open.is_some()
    }

    /// A workspace for one worker: of the CPU, once the device has failed.
    pub fn workspace(&self) -> Workspace {
        let is_cpu = !self.is_offload() || self.failure().is_some();
        Workspace::new(if is_cpu { Box::<Cpu>::default() } else { Box::new(Guarded::new(self.clone())) })
    }

    /// The kernels of one worker.
    pub(super) fn open(&self) -> Box<dyn Kernels> {
        self.0.open.as_ref().map_or_else(|| Box::<Cpu>::default() as Box<dyn Kernels>, |open| open())
    }

    /// How the device has failed, if the CPU goes on in its place.
    pub fn failure(&self) -> Option<&str> {
        self.0.failure.get().map(String::as_str)
    }

    /// Whether the CPU takes over after this error: the device has failed, or found no memory where nothing could make room,
    /// and is not required.
    pub fn is_replaced_after(&self, error: &Error) -> bool {
        let replaced = (is_device_failure(error) || lacks_device_memory(error)) && !self.0.is_required;
        if replaced {
            // Several workers may see it fail; the first one says how.
            let _ = self.0.failure.set(error.to_string());
        }
        replaced
    }
}

fn name_of(device: &CudaDevice) -> String {
    format!("cuda:{}, {}", device.ordinal(), device.name())
}

impl Default for Device {
    fn default() -> Self {
        Self::detect()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.0.name).finish()
    }
}

/// Where the user wants the work to be done: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// Where it takes less time.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On all CUDA devices, or on one.
    Cuda(Option<usize>),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected auto, cpu, cuda or cuda:N".to_owned();
        match text {
            // A variable of the environment that is empty says nothing.
            "auto" | "" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(None)),
            _ => {
                let digits = text.strip_prefix("cuda:").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let number = digits.and_then(|digits| digits.parse().ok());
                number.map(|number| Self::Cuda(Some(number))).ok_or_else(wrong)
            }
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
        }
    }
}
