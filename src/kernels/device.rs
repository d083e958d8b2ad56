//! What a device may take over from the CPU, and where the device of a run is chosen.

use std::fmt;
use std::sync::Arc;

use super::cpu::Cpu;
use super::gram::GramSum;
use super::nearest::{Candidates, Contenders};
use super::quantise::{ShiftedRows, TooFar, Totals};
use super::{Profile, Workspace};
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
    /// `order` holds all rows of the chunk. `means` becomes the mean of each class, classes × D, in the order of
    /// `order`. Means need only be near: class shifts are made of them, and no result depends on shifts.
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
        gram: Option<&mut GramSum>,
    ) -> Result<Option<TooFar>>;

    /// Pushes one list of candidates for each row and, within a row, for each rule of choice.
    ///
    /// `rows` is rows × D, row-major, finite. A list holds, in ascending order, every candidate whose score may be among
    /// the `places` largest or too near to them to be told apart, as [`Candidates`] defines it. It may hold more: the
    /// choice among them is exact, and is made on the CPU.
    fn contenders(
        &mut self,
        candidates: &Candidates<'_>,
        rows: &[f64],
        places: usize,
        lists: &mut Contenders,
    ) -> Result<()>;

    /// How many classes to hand to [`round`](Self::round) at a time when no Gram is wanted. No result depends on it.
    fn classes_at_a_time(&self, _dim: usize) -> usize {
        usize::MAX
    }

    /// How many rows to hand to [`contenders`](Self::contenders) at a time. No result depends on it.
    fn rows_at_a_time(&self, _dim: usize) -> usize {
        usize::MAX
    }
}

/// The device that a run works on: it opens [`Kernels`] for each worker.
#[derive(Clone)]
pub struct Device {
    name: &'static str,
    open: Arc<dyn Fn() -> Box<dyn Kernels> + Send + Sync>,
}

impl Device {
    /// A device of this name, and what opens its kernels for a worker. A device that cannot be opened says so when its
    /// kernels are first used.
    pub fn new(name: &'static str, open: impl Fn() -> Box<dyn Kernels> + Send + Sync + 'static) -> Self {
        Self { name, open: Arc::new(open) }
    }

    /// The device for a run whose user names none: the CPU.
    ///
    /// Every run, query and accumulator that is not given a device asks this function, and no other place chooses one.
    pub fn detect() -> Self {
        Self::new("cpu", || Box::<Cpu>::default())
    }

    /// What people call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A workspace for one worker.
    pub fn workspace(&self) -> Workspace {
        Workspace::new((self.open)())
    }
}

impl Default for Device {
    fn default() -> Self {
        Self::detect()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.name).finish()
    }
}
