//! Rows in memory become a state.

use super::Rounding;
use super::gathered::{Gathered, Rows};
use crate::batch::{Features, Label};
use crate::error::Result;
use crate::kernels::Workspace;
use crate::state::{Accumulate, Chunk, Shifts};

/// Makes a state of labelled rows in memory, as they come, in batches of any size.
///
/// Rows are gathered into whole chunks before they are rounded, so that the sizes of the batches change no bit: the state
/// is the one that [`CheckpointedPass`](super::CheckpointedPass) makes of a file with these rows in this order in one row group,
/// and stored in this type `T` (`f16`, `f32` or `f64`). States of several accumulators [merge](crate::state::Merge::merge)
/// like those of several files. Memory beside the state is one chunk, about 16 MiB.
///
/// ```
/// use nckit::metrics::{Evidence, Extras, Options, Selection, measure};
/// use nckit::pipeline::Accumulator;
/// use nckit::state::Scatter;
///
/// let mut rows = Accumulator::<Scatter>::new(2);
/// rows.update(&[1.0_f32, 0.25, 0.5, -0.25], &[0, 0])?;
/// rows.update(&[0.25, 1.0, -0.25, 0.5], &[1, 1])?;
/// let statistics = rows.finish()?.statistics()?;
/// let evidence = Evidence::new(&statistics, f32::MANTISSA_DIGITS);
/// let made = measure(&evidence, &Options::default(), &Selection::default(), Extras::default())?;
/// // Variances of 0.125, and a squared distance of 1.125 between the means.
/// assert_eq!(made.value("nc1_cdnv"), Some(0.125 / 1.125));
/// # Ok::<(), nckit::error::Error>(())
/// ```
#[derive(Debug)]
pub struct Accumulator<S, T = f32> {
    rows: Gathered<T>,
    rounding: Rounding,
    state: S,
    shifts: Shifts,
    workspace: Workspace,
}

impl<S: Accumulate, T: Copy> Accumulator<S, T>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    /// Begins a state of rows of `dim` values, which are rounded to the grid of their chunk.
    pub fn new(dim: usize) -> Self {
        Self::rounded(dim, Rounding::default())
    }

    /// Begins a state of rows of `dim` values, which are rounded like this.
    pub fn rounded(dim: usize, rounding: Rounding) -> Self {
        Self {
            rows: Gathered::new(dim),
            rounding,
            state: S::identity(),
            shifts: Shifts::default(),
            workspace: Workspace::default(),
        }
    }

    /// Adds rows: `features` is rows × D, row-major, and `labels` has the class of each row.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the shapes differ, a label is negative or of another type than the ones
    /// before, or a value is not finite; the row is counted within `features`, and none of them is added. Those of
    /// [`Accumulate::update`] for a chunk that is full, after which the state is unspecified.
    pub fn update<L: Clone + Into<Label>>(&mut self, features: &[T], labels: &[L]) -> Result<()> {
        let codes = self.rows.codes_of(features, labels, |_| Ok(()))?;
        let Self { rows, rounding, state, shifts, workspace } = self;
        rows.add(features, &codes, &[], |whole| add(whole, *rounding, state, shifts, workspace))
    }

    /// The state of all rows.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulate::update`] for the last chunk.
    pub fn finish(mut self) -> Result<S> {
        let rest = self.rows.rest();
        add(&rest, self.rounding, &mut self.state, &self.shifts, &mut self.workspace)?;
        Ok(self.state)
    }
}

/// Adds rows to a state, chunk by chunk.
fn add<S: Accumulate, T: Copy>(
    rows: &Rows<'_, T>,
    rounding: Rounding,
    state: &mut S,
    shifts: &Shifts,
    workspace: &mut Workspace,
) -> Result<()>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    for chunk in rows.chunks() {
        let batch = chunk.batch()?;
        let profile = rounding.profile(&batch, workspace)?;
        state.update(&Chunk { batch, profile: &profile }, None, shifts, workspace)?;
        workspace.recycle(profile);
    }
    Ok(())
}
