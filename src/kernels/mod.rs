//! What hardware does: rounding rows, exact Gram matrices, nearest centres, sweeps over pairs, projections,
//! triangular factors.
//!
//! [`Kernels`] is the part of it that a device may take over: the work on chunks of rows. A worker reaches it through its
//! [`Workspace`], which the [`Device`] of a run opens.

pub mod cholesky;
mod cpu;
pub mod cuda;
mod device;
pub mod dot;
mod exact_sum;
pub mod gram;
pub mod lines;
mod mahalanobis;
pub mod nearest;
pub mod pairs;
mod prefetch;
mod profile;
mod projection;
pub(crate) mod quantise;
mod workspace;

pub use cpu::Cpu;
pub use device::{
    ChunkShape, ChunkTimes, Device, DeviceChoice, DeviceSums, Kernels, MAX_LEFT, SlotRows, SumsId, TakenSums,
    is_device_failure, lacks_device_memory,
};
pub use exact_sum::ExactSum;
pub use mahalanobis::{Mahalanobis, Whitening};
pub(crate) use prefetch::prefetch;
pub use profile::Profile;
pub use projection::Projection;
pub use quantise::{ShiftedRows, TooFar, Totals};
pub use workspace::Workspace;
