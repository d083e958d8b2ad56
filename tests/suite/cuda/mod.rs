//! The kernels of NVIDIA devices, on an emulated driver, or on a device. Everything equals the CPU's to the last bit.

mod contenders;
pub(crate) mod emulator;
mod faults;
#[cfg(feature = "cli")]
mod program;
mod ptx;
mod spread;
mod sums;
