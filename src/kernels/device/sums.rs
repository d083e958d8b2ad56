//! Sums that stay on a device.

use arrow::datatypes::i256;

use super::Profile;
use crate::batch::{Batch, ByClass};
use crate::error::{Error, ErrorKind, Result};

/// By how many bits a chunk's step may be coarser than that of the sums to which its rows are added.
pub const MAX_LEFT: u32 = 24;

/// Sums over rows of many chunks that stay on a device until they are taken.
///
/// Sums are integers on one grid, and rows are added to slots, one for each class. A row's `δ = q − c/g` is taken in steps `g`
/// of its chunk's grid, from the shift `c` of its slot, and moved left to the grid of the sums.
///
/// # Errors
///
/// All methods: [`lacks_device_memory`] holds if the device has too little memory, and then nothing has changed;
/// [`is_device_failure`] if the device has failed, and then all its sums are lost.
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

/// Whether an error says that the device has too little memory: sums that it holds can make room.
pub fn lacks_device_memory(error: &Error) -> bool {
    error.kind() == ErrorKind::Resource && error.fact("device").is_some()
}

/// Whether an error says that the device has failed: what it held is lost, and the CPU can do the work again.
pub fn is_device_failure(error: &Error) -> bool {
    error.kind() == ErrorKind::Io && error.fact("device").is_some()
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
