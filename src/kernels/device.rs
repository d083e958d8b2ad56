//! What a device may take over from the CPU.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::i256;

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
        gram: Option<&mut GramSum>,
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
}

/// By how many bits a chunk's step may be coarser than that of the sums to which its rows are added.
pub const MAX_LEFT: u32 = 24;

/// Sums over rows of many chunks that stay on a device until they are taken.
///
/// Sums are integers on one grid, and rows are added to slots, one for each class. A row's `δ = q − c/g` is taken in steps `g`
/// of its chunk's grid, from the shift `c` of its slot, and moved left to the grid of the sums.
///
/// # Errors
///
/// All methods: [`Resource`](crate::error::ErrorKind::Resource) if the device has too little memory, and then nothing has
/// changed; any other error means that the device has failed, and that all its sums are lost.
pub trait DeviceSums {
    /// Whether the user asked for this device, so that the CPU must not take its place.
    fn is_required(&self) -> bool;

    /// Begins sums over no rows. `exponents`, D, are those of the grid; with `gram`, `Σ δ δᵀ` is kept too.
    fn open(&mut self, exponents: &[i16], gram: bool) -> Result<SumsId>;

    /// Adds slots. `shifts`, new slots × D, are finite and in the unit of the features. They lie on the grid of every chunk
    /// whose rows are added later.
    fn extend(&mut self, sums: SumsId, shifts: &[f64]) -> Result<()>;

    /// Adds rows, but not those with some `|δ| ≥ 2^21`, whose indices into the batch are appended to `long`.
    ///
    /// The caller sees to it that no sum overflows. With `l` the largest `left` of a chunk, `Σ rows · 2^(21 + l)` over all
    /// chunks stays below `2^62`, and `Σ rows · D · 2^(52 + 2 l)` below `2^126`.
    fn add(&mut self, sums: SumsId, rows: &SlotRows<'_>, long: &mut Vec<u32>) -> Result<()>;

    /// Ends sums and hands them over.
    fn take(&mut self, sums: SumsId) -> Result<TakenSums>;
}

/// Which sums on a device, among those of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SumsId(pub usize);

/// Rows of a chunk, and where they are added.
#[derive(Clone, Copy, Debug)]
pub struct SlotRows<'a> {
    /// The rows, of which `order` selects.
    pub batch: &'a Batch<'a>,
    /// How the chunk is rounded; all `|x / g|` are below `2^51`.
    pub profile: &'a Profile,
    /// The rows to be added, class after class.
    pub order: &'a ByClass,
    /// The slot of each class of `order`.
    pub slots: &'a [u32],
    /// The exponent of the chunk less that of the sums, D, each at most [`MAX_LEFT`]; 0 where the chunk is all zeros.
    pub left: &'a [u32],
}

/// Sums that a device has handed over. Integers are in steps of the grid of the sums.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenSums {
    /// `Σ δ`, slots × D.
    pub sums: Vec<i64>,
    /// `Σ round_ties_even((x / g − q) · 2^20) · 2^left`, slots × D.
    pub low: Vec<i64>,
    /// `Σ_j (g_j / g_min)² Σ δ_j²`, slots.
    pub squares: Vec<i256>,
    /// Rows whose value the rounding changed, D × ([`MAX_LEFT`] + 1): those of each `left` apart.
    pub changed: Vec<u64>,
    /// `Σ δ δᵀ`, the lower triangle by columns, if it was wanted.
    pub gram: Option<Vec<i128>>,
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
