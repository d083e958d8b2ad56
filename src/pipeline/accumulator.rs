//! Rows in memory become a state.

use std::collections::HashMap;

use super::Rounding;
use crate::archive::chunk_rows;
use crate::batch::{Batch, Features, Label};
use crate::error::{Error, Result};
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
    dim: usize,
    rounding: Rounding,
    state: S,
    shifts: Shifts,
    workspace: Workspace,
    /// The chunk that is being filled, rows × D.
    values: Vec<T>,
    /// The class of each of its rows, an index into `classes`.
    codes: Vec<u32>,
    classes: Vec<Label>,
    code_of: HashMap<Label, u32>,
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
            dim,
            rounding,
            state: S::identity(),
            shifts: Shifts::default(),
            workspace: Workspace::default(),
            values: Vec::new(),
            codes: Vec::new(),
            classes: Vec::new(),
            code_of: HashMap::new(),
        }
    }

    /// Adds rows: `features` is rows × D, row-major, and `labels` has the class of each row.
    ///
    /// After an error the state is unspecified.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the shapes differ, a label is negative or of another type than the ones
    /// before, or a value is not finite; the row is counted within `features`. Those of
    /// [`Accumulate::update`] for a chunk that is full.
    pub fn update<L: Clone + Into<Label>>(&mut self, features: &[T], labels: &[L]) -> Result<()> {
        let codes = labels
            .iter()
            .enumerate()
            .map(|(row, label)| self.code(label.clone().into()).map_err(|error| error.with("row", row)));
        let codes: Vec<u32> = codes.collect::<Result<_>>()?;
        Batch::new(self.dim, features.into(), &codes, &self.classes)?;
        let (mut features, mut codes) = (features, codes.as_slice());
        while !codes.is_empty() {
            let rows = codes.len().min(chunk_rows(self.dim) - self.codes.len());
            let (values, further) = features.split_at(rows * self.dim);
            self.values.extend_from_slice(values);
            self.codes.extend_from_slice(&codes[..rows]);
            (features, codes) = (further, &codes[rows..]);
            if self.codes.len() == chunk_rows(self.dim) {
                self.round()?;
            }
        }
        Ok(())
    }

    /// The state of all rows.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulate::update`] for the last chunk.
    pub fn finish(mut self) -> Result<S> {
        if !self.codes.is_empty() {
            self.round()?;
        }
        Ok(self.state)
    }

    /// Adds the chunk to the state.
    fn round(&mut self) -> Result<()> {
        let batch = Batch::of_finite(self.dim, self.values.as_slice().into(), &self.codes, &self.classes)?;
        let profile = self.rounding.profile(&batch, &mut self.workspace)?;
        self.state.update(&Chunk { batch, profile: &profile }, None, &self.shifts, &mut self.workspace)?;
        self.workspace.recycle(profile);
        self.values.clear();
        self.codes.clear();
        Ok(())
    }

    /// The code of a label, a new one if it was not seen before.
    fn code(&mut self, label: Label) -> Result<u32> {
        if let Some(&code) = self.code_of.get(&label) {
            return Ok(code);
        }
        if !label.is_class() {
            return Err(Error::data("negative label").with("label", label));
        }
        if self.classes.first().is_some_and(|first| first.kind() != label.kind()) {
            return Err(Error::data("the labels have several types").with("label", label));
        }
        let code = u32::try_from(self.classes.len()).map_err(|_| Error::data("more classes than can be counted"))?;
        self.classes.push(label.clone());
        self.code_of.insert(label, code);
        Ok(code)
    }
}
