//! The laws and the states.
//!
//! A state is made of integers. Every row is rounded once, to the grid of its chunk, and everything after that is exact.
//! So merging is addition, and equal rows make equal states, bit for bit, whatever the order, the threads or the batches
//! in which they come.

mod bytes;
mod canonical;
mod class;
mod class_sums;
mod device_parts;
mod direct;
mod encoding;
mod finish;
mod first_pass;
mod gram_moves;
mod head;
mod low;
mod merge;
mod narrow;
mod observe;
mod raw;
mod scatter;
mod second_pass;
mod shifts;
mod sound;
mod statistics;
mod whole;

pub(crate) use bytes::{Input, put_label, put_text};
pub use class_sums::ClassSums;
pub use device_parts::{DeviceParts, StatesByKey};
pub(crate) use encoding::{renew, version};
pub use first_pass::State;
pub use head::Head;
pub use low::Low;
pub use raw::RawState;
pub use scatter::Scatter;
pub use second_pass::{
    Decision, DecisionCounts, Decisions, LdaDecisions, Role, SecondPass, SecondPassResult, SecondPassSpec,
    SecondPassState, Separation, Verdict,
};
pub use shifts::Shifts;
pub use statistics::Statistics;
pub use whole::Whole;

use crate::batch::Batch;
use crate::error::Result;
use crate::kernels::{Profile, Workspace};

/// A commutative group of summaries: all that map-reduce asks of a state, and a way back.
///
/// `merge` is associative and commutative, merging [`identity`](Self::identity) changes nothing, and
/// [`subtract`](Self::subtract) undoes a merge. All of this holds bitwise between [canonical](Self::canonical) forms.
/// After an error the state is unspecified.
pub trait Merge: Clone {
    /// The state of no rows.
    fn identity() -> Self;

    /// `self ← self · other`.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the two differ in `D`, or the sums leave the range of the integers.
    fn merge(&mut self, other: &Self) -> Result<()>;

    /// `self ← self · other⁻¹`.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the rows of `other` are not all in `self`.
    fn subtract(&mut self, other: &Self) -> Result<()>;

    /// The one form that all states of the same rows share.
    ///
    /// # Errors
    ///
    /// [`Internal`](crate::error::ErrorKind::Internal) if the state breaks its invariants.
    fn canonical(&self) -> Result<Self>;

    /// The canonical form as bytes: equal states are equal bytes.
    ///
    /// # Errors
    ///
    /// Those of [`canonical`](Self::canonical).
    fn encode(&self) -> Result<Vec<u8>>;

    /// The state that [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the bytes are not a state, or contradict themselves.
    fn decode(bytes: &[u8]) -> Result<Self>;
}

/// A state that rows can be added to.
pub trait Accumulate: Merge {
    /// Adds rows of a chunk, all or the ones listed.
    ///
    /// This equals a merge with the state of these rows alone, and any split of a chunk's rows gives the same state.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::merge`], with the row for a value too large for its grid.
    fn update(
        &mut self,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()>;
}

/// Rows that are rounded together, and the profile that says how.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'a> {
    /// The rows.
    pub batch: Batch<'a>,
    /// The grid of the whole chunk; `batch` may be a part of it.
    pub profile: &'a Profile,
}
