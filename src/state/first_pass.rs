//! The state of the first pass: class sums, with the scatter matrix where a metric needs it.

use super::{Accumulate, Chunk, ClassSums, Merge, RawState, Scatter, Shifts, Statistics, encoding};
use crate::error::{Error, Result};
use crate::kernels::Workspace;

/// What one pass over the rows of a group keeps of them.
///
/// States with and without a scatter matrix do not merge. A state of no rows merges with both, and all states of no rows
/// have one encoding, whichever [`new`](Self::new) made them.
#[derive(Clone, Debug)]
pub enum State {
    /// Class sums alone.
    ClassSums(ClassSums),
    /// Class sums with the pooled within-class scatter.
    Scatter(Scatter),
}

impl Default for State {
    fn default() -> Self {
        Self::ClassSums(ClassSums::identity())
    }
}

impl From<ClassSums> for State {
    fn from(sums: ClassSums) -> Self {
        Self::ClassSums(sums)
    }
}

impl From<Scatter> for State {
    fn from(scatter: Scatter) -> Self {
        Self::Scatter(scatter)
    }
}

impl State {
    /// The state of no rows; `scatter` says whether rows that are added to it are kept with a scatter matrix.
    pub fn new(scatter: bool) -> Self {
        if scatter { Scatter::identity().into() } else { ClassSums::identity().into() }
    }

    /// Whether it holds a scatter matrix, or will once it has rows.
    pub fn has_scatter(&self) -> bool {
        matches!(self, Self::Scatter(_))
    }

    /// The class sums.
    pub fn class_sums(&self) -> &ClassSums {
        match self {
            Self::ClassSums(sums) => sums,
            Self::Scatter(scatter) => scatter.sums(),
        }
    }

    /// The class sums, without the scatter.
    pub fn into_class_sums(self) -> ClassSums {
        match self {
            Self::ClassSums(sums) => sums,
            Self::Scatter(scatter) => scatter.sums,
        }
    }

    /// `N`, the number of rows.
    pub fn rows(&self) -> u64 {
        self.class_sums().rows()
    }

    /// `D`, 0 before the first row.
    pub fn dim(&self) -> usize {
        self.class_sums().dim()
    }

    /// The bytes that a state of this size holds.
    pub fn bytes(scatter: bool, classes: usize, dim: usize) -> usize {
        if scatter { Scatter::bytes(classes, dim) } else { ClassSums::bytes(classes, dim) }
    }

    /// Means and variances, with the pooled scatter if the state holds it.
    ///
    /// # Errors
    ///
    /// Those of [`ClassSums::statistics`] and [`Scatter::statistics`].
    pub fn statistics(&self) -> Result<Statistics> {
        match self {
            Self::ClassSums(sums) => sums.statistics(),
            Self::Scatter(scatter) => scatter.statistics(),
        }
    }

    /// The integers of the canonical form.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`].
    pub fn to_raw(&self) -> Result<RawState> {
        match self {
            Self::ClassSums(sums) => sums.to_raw(),
            Self::Scatter(scatter) => scatter.to_raw(),
        }
    }

    /// The state that [`encode`](Merge::encode) wrote, which must hold a scatter matrix if and only if `scatter` says so.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::decode`]; [`Data`](crate::error::ErrorKind::Data) if the state is of the other kind.
    pub fn decode_as(scatter: bool, bytes: &[u8]) -> Result<Self> {
        if scatter { Scatter::decode(bytes).map(Self::from) } else { ClassSums::decode(bytes).map(Self::from) }
    }

    fn is_empty(&self) -> bool {
        self.rows() == 0
    }
}

fn kinds_differ() -> Error {
    Error::data("one state has a scatter matrix, and the other has class sums alone")
        .help("make both with the same --metrics")
}

impl Merge for State {
    fn identity() -> Self {
        Self::default()
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        match (self, other) {
            (Self::ClassSums(mine), Self::ClassSums(theirs)) => mine.merge(theirs),
            (Self::Scatter(mine), Self::Scatter(theirs)) => mine.merge(theirs),
            (_, theirs) if theirs.is_empty() => Ok(()),
            (mine, theirs) if mine.is_empty() => {
                *mine = theirs.clone();
                Ok(())
            }
            _ => Err(kinds_differ()),
        }
    }

    fn subtract(&mut self, other: &Self) -> Result<()> {
        match (self, other) {
            (Self::ClassSums(mine), Self::ClassSums(theirs)) => mine.subtract(theirs),
            (Self::Scatter(mine), Self::Scatter(theirs)) => mine.subtract(theirs),
            (_, theirs) if theirs.is_empty() => Ok(()),
            _ => Err(kinds_differ()),
        }
    }

    fn canonical(&self) -> Result<Self> {
        match self {
            _ if self.is_empty() => Ok(Self::identity()),
            Self::ClassSums(sums) => sums.canonical().map(Self::from),
            Self::Scatter(scatter) => scatter.canonical().map(Self::from),
        }
    }

    fn encode(&self) -> Result<Vec<u8>> {
        match self {
            _ if self.is_empty() => ClassSums::identity().encode(),
            Self::ClassSums(sums) => sums.encode(),
            Self::Scatter(scatter) => scatter.encode(),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        encoding::decode(bytes)?.into_state()
    }
}

impl Accumulate for State {
    fn update(
        &mut self,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        match self {
            Self::ClassSums(sums) => sums.update(chunk, rows, shifts, workspace),
            Self::Scatter(scatter) => scatter.update(chunk, rows, shifts, workspace),
        }
    }
}
