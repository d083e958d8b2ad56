//! What a device may take over from the CPU.

mod choice;
mod guarded;
mod sums;

pub use choice::{ChunkShape, ChunkTimes, Device, DeviceChoice};
pub use sums::{DeviceSums, MAX_LEFT, SlotRows, SumsId, TakenSums, is_device_failure, lacks_device_memory};

use super::gram::GramTarget;
use super::nearest::{Candidates, Contenders};
use super::quantise::{ShiftedRows, TooFar, Totals};
use super::{Cpu, Profile, Workspace, cuda};
use crate::batch::{Batch, ByClass, Features};
use crate::error::Result;
use crate::grid::Spread;

/// The work on whole chunks of rows that a device may take over. Each worker has one of its own.
///
/// All results are exact or defined to the last bit, so every implementation gives the same bits. One that cannot take
/// some work hands it to [`Cpu`] and changes nothing by that: any split of a chunk's rows adds up to the same state.
///
/// # Errors
///
/// Those of the device; [`Internal`](crate::error::ErrorKind::Internal) if an exact product fails its check.
pub trait Kernels: Send + Sync {
    /// Measures how the values of a chunk spread within its classes, which decides the chunk's grid.
    ///
    /// `order` holds all rows of the chunk. `means`, whatever it holds, becomes the mean of each class, classes × D, in the order of
    /// `order`. Means need only be near: class shifts are made of them, and no result depends on shifts. A device that
    /// would have to send them leaves `means` empty: then means are made on the CPU, of the few classes that need them.
    fn spread(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Spread>;

    /// The same for a chunk whose grid is known already: returns the largest `|x|` of each dimension.
    fn outline(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Vec<f64>>;

    /// Rounds rows to the grid of `profile`, and adds up what [`Totals`] lists.
    ///
    /// With `gram`, it also adds `Σ δ δᵀ` of these rows. Returns the first row, by index, that lies too far from the
    /// shift of its class, if there is one: then nobody looks at the totals.
    fn round(
        &mut self,
        features: Features<'_>,
        rows: &ShiftedRows<'_>,
        profile: &Profile,
        totals: &mut Totals<'_>,
        gram: Option<GramTarget<'_>>,
    ) -> Result<Option<TooFar>>;

    /// Pushes one list of candidates for each row and, within a row, for each rule of choice.
    ///
    /// `rows` is rows × D, row-major, finite. A list holds, in ascending order, every representative whose score may be
    /// among the `places` largest of all representatives or too near to them to be told apart, as [`Candidates`] defines
    /// it. It may hold more: the choice among them is exact, and is made on the CPU.
    fn contenders(
        &mut self,
        candidates: &Candidates<'_>,
        rows: &[f64],
        places: usize,
        lists: &mut Contenders,
    ) -> Result<()>;

    /// The part of the device that keeps sums for itself over many chunks. The CPU keeps none.
    fn device_sums(&mut self) -> Option<&mut dyn DeviceSums> {
        None
    }

    /// How many classes to hand to [`round`](Self::round) at a time when no Gram is wanted. No result depends on it.
    fn classes_at_a_time(&self, _dim: usize) -> usize {
        usize::MAX
    }

    /// How many rows to hand to [`contenders`](Self::contenders) at a time. No result depends on it.
    fn rows_at_a_time(&self, _dim: usize) -> usize {
        usize::MAX
    }

    /// Whether it pays to look for proofs that rows need not come to [`contenders`](Self::contenders): products take longer.
    fn spares_rows(&self) -> bool {
        false
    }
}
