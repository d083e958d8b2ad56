//! Rows in memory become a state.

use std::collections::HashMap;

use super::Rounding;
use super::digest::share_of_rows;
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
    /// What a ledger would say of the chunks that are in the state.
    counted: Counted,
}

impl<S: Clone, T: Clone> Clone for Accumulator<S, T> {
    /// A copy that goes on by itself, with memory of its own to work in.
    fn clone(&self) -> Self {
        Self {
            dim: self.dim,
            rounding: self.rounding,
            state: self.state.clone(),
            shifts: Shifts::default(),
            workspace: Workspace::default(),
            values: self.values.clone(),
            codes: self.codes.clone(),
            classes: self.classes.clone(),
            code_of: self.code_of.clone(),
            counted: self.counted,
        }
    }
}

/// Rows that are in a state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    chunks: usize,
    pub(super) rows: u64,
    pub(super) digest: u64,
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
        Self::adding_to(S::identity(), dim, rounding)
    }

    /// Adds rows to a state that has none.
    pub(super) fn adding_to(state: S, dim: usize, rounding: Rounding) -> Self {
        Self {
            dim,
            rounding,
            state,
            shifts: Shifts::default(),
            workspace: Workspace::default(),
            values: Vec::new(),
            codes: Vec::new(),
            classes: Vec::new(),
            code_of: HashMap::new(),
            counted: Counted::default(),
        }
    }

    /// `D`.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Significand bits of the type of the values: 11, 24 or 53.
    pub(super) fn significand_bits(&self) -> u32 {
        match Features::from(self.values.as_slice()) {
            Features::F16(_) => 11,
            Features::F32(_) => 24,
            Features::F64(_) => 53,
        }
    }

    /// The classes seen, in the order in which they came.
    pub(super) fn classes(&self) -> &[Label] {
        &self.classes
    }

    /// Adds rows: `features` is rows × D, row-major, and `labels` has the class of each row.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the shapes differ, a label is negative or of another type than the ones
    /// before, or a value is not finite; the row is counted within `features`, and none of them is added. Those of
    /// [`Accumulate::update`] for a chunk that is full, after which the state is unspecified.
    pub fn update<L: Clone + Into<Label>>(&mut self, features: &[T], labels: &[L]) -> Result<()> {
        let known = self.classes.len();
        let codes = self.codes_of(labels).and_then(|codes| {
            Batch::new(self.dim, features.into(), &codes, &self.classes)?;
            Ok(codes)
        });
        let codes = codes.inspect_err(|_| {
            for label in self.classes.drain(known..) {
                self.code_of.remove(&label);
            }
        })?;
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

    /// The state of all rows so far; more can be added to it.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulate::update`] for the rows that do not fill a chunk yet.
    pub fn state(&mut self) -> Result<S> {
        let mut state = self.state.clone();
        if !self.codes.is_empty() {
            self.add_to(&mut state)?;
        }
        Ok(state)
    }

    /// `N`, the rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.counted.rows + self.codes.len() as u64
    }

    /// What a ledger says of all rows so far; those that do not fill a chunk yet are hashed for it.
    pub(super) fn counted(&self) -> Counted {
        if self.codes.is_empty() { self.counted } else { self.counted_with_chunk() }
    }

    /// Adds the chunk to the state.
    fn round(&mut self) -> Result<()> {
        let mut state = std::mem::replace(&mut self.state, S::identity());
        self.add_to(&mut state)?;
        self.state = state;
        self.counted = self.counted_with_chunk();
        self.values.clear();
        self.codes.clear();
        Ok(())
    }

    fn add_to(&mut self, state: &mut S) -> Result<()> {
        let batch = Batch::of_finite(self.dim, self.values.as_slice().into(), &self.codes, &self.classes)?;
        let profile = self.rounding.profile(&batch, &mut self.workspace)?;
        state.update(&Chunk { batch, profile: &profile }, None, &self.shifts, &mut self.workspace)?;
        self.workspace.recycle(profile);
        Ok(())
    }

    fn counted_with_chunk(&self) -> Counted {
        let Counted { chunks, rows, digest } = self.counted;
        let share = share_of_rows(self.values.as_slice().into(), &self.codes, &self.classes, chunks);
        Counted { chunks: chunks + 1, rows: rows + self.codes.len() as u64, digest: digest.wrapping_add(share) }
    }

    /// The codes of labels, in their order.
    fn codes_of<L: Clone + Into<Label>>(&mut self, labels: &[L]) -> Result<Vec<u32>> {
        let code = |(row, label): (usize, &L)| self.code(label.clone().into()).map_err(|error| error.with("row", row));
        labels.iter().enumerate().map(code).collect()
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
