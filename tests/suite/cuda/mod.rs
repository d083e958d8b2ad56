//! The kernels of NVIDIA devices, on an emulated driver. Everything equals the CPU's to the last bit.

pub(crate) mod emulator;
mod spread;
