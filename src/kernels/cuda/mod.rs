//! NVIDIA devices, through their driver.
//!
//! A device gives the same bits as the CPU: every result is an exact integer, or an `f64` whose operations `map.cu` lists in
//! the CPU's order. For the second read, `nearest.cu` leaves few candidates of each row, among which the CPU decides exactly.
//! The driver is looked for when somebody asks for a device, and nothing is linked.
//!
//! The kernels are compiled beforehand. `ptx.py` makes a PTX file of each `.cu` file, and a test compares the two. The tests
//! run the same source on an emulated driver, so no test needs a device.

use std::fmt;

mod size;

#[cfg(feature = "cuda")]
mod bench;
#[cfg(feature = "cuda")]
mod contenders;
#[cfg(feature = "cuda")]
mod held;
#[cfg(feature = "cuda")]
mod launch;
#[cfg(feature = "cuda")]
mod opened;
#[cfg(feature = "cuda")]
mod session;
#[cfg(feature = "cuda")]
mod trial;
#[cfg(feature = "cuda")]
pub use opened::{CudaDevice, open};

#[cfg(not(feature = "cuda"))]
mod absent;
#[cfg(not(feature = "cuda"))]
pub use absent::{CudaDevice, open};

pub use size::{session_bytes, sums_bytes};

/// Why no device can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// The program was built without the feature `cuda`.
    NotBuilt,
    /// The machine has no driver.
    NoDriver,
    /// The driver supports only this version of CUDA.
    OldDriver {
        /// The version before the point.
        major: i32,
        /// The version behind it.
        minor: i32,
    },
    /// The driver knows no device.
    NoDevice,
    /// The driver knows fewer devices than the one asked for.
    NoSuchDevice {
        /// The number asked for, from 0 on.
        ordinal: usize,
        /// How many there are.
        count: usize,
    },
    /// The device has no instructions that the kernels need.
    OldDevice {
        /// What the device is called.
        name: String,
        /// Its compute capability.
        capability: (i32, i32),
    },
    /// The driver failed.
    Failed {
        /// In its words.
        detail: String,
    },
    /// The device has too little free memory to be tried.
    NoMemory {
        /// What the device is called.
        name: String,
    },
    /// The device gave a wrong answer to a question whose answer is known.
    Wrong {
        /// What the device is called.
        name: String,
    },
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBuilt => f.write_str("this program was built without the feature cuda"),
            Self::NoDriver => f.write_str("there is no NVIDIA driver (libcuda.so)"),
            Self::OldDriver { major, minor } => {
                write!(f, "the NVIDIA driver supports CUDA {major}.{minor}, and 12.0 is needed")
            }
            Self::NoDevice => f.write_str("the NVIDIA driver finds no device"),
            Self::NoSuchDevice { ordinal, count: 1 } => write!(f, "there is one device, cuda:0, and no cuda:{ordinal}"),
            Self::NoSuchDevice { ordinal, count } => {
                write!(f, "there are {count} devices, cuda:0 to cuda:{}, and no cuda:{ordinal}", count - 1)
            }
            Self::OldDevice { name, capability: (major, minor) } => {
                write!(f, "{name} has compute capability {major}.{minor}, and 8.0 is needed")
            }
            Self::Failed { detail } => write!(f, "the NVIDIA driver failed: {detail}"),
            Self::NoMemory { name } => write!(f, "{name} has too little free memory"),
            Self::Wrong { name } => write!(f, "{name} computes wrong sums of integers"),
        }
    }
}

impl std::error::Error for Absent {}
