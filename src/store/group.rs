//! A group's state, encoded: a fifth of the memory that it takes to calculate with.

use std::collections::BTreeMap;

use crate::archive::{Key, Skipped};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::state::{ClassSums, Merge, Scatter};

/// Groups by the values of their keys.
pub type Groups = BTreeMap<Key, Group>;

/// The significand bits of the stored features, for each of which rows are counted.
pub(super) const PRECISIONS: [u32; 3] = [11, 24, 53];

/// A group as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Rows left out, by reason.
    pub skipped: Skipped,
    /// Rows by the precision in which they were stored: half, single, double.
    pub(super) precisions: [u64; 3],
    /// As [`Merge::encode`] made it; empty without rows.
    pub(super) state: Vec<u8>,
}

/// A state that files hold.
pub trait Kept: Merge {
    /// `N`, rows in it.
    fn rows(&self) -> u64;

    /// `D`; 0 before the first row.
    fn dim(&self) -> usize;

    /// `K`, classes with rows.
    fn classes(&self) -> usize;

    /// The classes.
    fn labels(&self) -> &[Label];
}

impl Kept for ClassSums {
    fn rows(&self) -> u64 {
        self.rows()
    }

    fn dim(&self) -> usize {
        self.dim()
    }

    fn classes(&self) -> usize {
        self.classes()
    }

    fn labels(&self) -> &[Label] {
        self.labels()
    }
}

impl Kept for Scatter {
    fn rows(&self) -> u64 {
        self.sums().rows()
    }

    fn dim(&self) -> usize {
        self.sums().dim()
    }

    fn classes(&self) -> usize {
        self.sums().classes()
    }

    fn labels(&self) -> &[Label] {
        self.sums().labels()
    }
}

impl Group {
    /// Encodes a state of rows whose features have so many significand bits (11, 24 or 53) each.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::encode`].
    pub fn new<S: Kept>(state: &S, skipped: Skipped, rows_of_bits: &[(u32, u64)]) -> Result<Self> {
        let mut precisions = [0; 3];
        for &(bits, rows) in rows_of_bits {
            let at = PRECISIONS.iter().position(|&known| known == bits);
            precisions[at.ok_or_else(|| Error::internal("features of no known precision"))?] += rows;
        }
        let state = if state.rows() == 0 { Vec::new() } else { state.encode()? };
        Ok(Self { skipped, precisions, state })
    }

    /// The state.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if it is none, or not one of rows that a reader read, or of another number
    /// of rows than the file says.
    pub fn decode<S: Kept>(&self) -> Result<S> {
        let state = if self.state.is_empty() { S::identity() } else { S::decode(&self.state)? };
        let damaged = |why: &str| Err(Error::data("the state is damaged").with("detail", why));
        if state.rows() != self.rows() {
            return damaged("its rows are not those of the group");
        }
        let mut labels = state.labels().iter().chain(self.skipped.nonfinite.keys());
        let kind = labels.clone().next().map(Label::kind);
        if !labels.all(|label| label.is_class() && Some(label.kind()) == kind) {
            return damaged("its labels are negative, or of several types");
        }
        Ok(state)
    }

    /// `N`, rows used.
    pub fn rows(&self) -> u64 {
        self.precisions.iter().fold(0, |sum, &rows| rows.saturating_add(sum))
    }

    /// Rows by the significand bits of their features.
    pub fn rows_of_bits(&self) -> impl Iterator<Item = (u32, u64)> {
        PRECISIONS.into_iter().zip(self.precisions)
    }

    /// The significand bits of the most precise features.
    pub fn significand_bits(&self) -> u32 {
        self.rows_of_bits().filter(|&(_, rows)| rows > 0).map(|(bits, _)| bits).max().unwrap_or(0)
    }

    /// Bytes of the state.
    pub fn bytes(&self) -> usize {
        self.state.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0 && self.skipped.total() == 0
    }

    pub(super) fn merge<S: Kept>(&mut self, others: &[&Self]) -> Result<()> {
        let mut state = self.decode::<S>()?;
        for other in others {
            state.merge(&other.decode::<S>()?)?;
            self.skipped.add(&other.skipped);
            for (mine, theirs) in self.precisions.iter_mut().zip(other.precisions) {
                *mine = mine.checked_add(theirs).ok_or_else(|| Error::data("more rows than can be counted"))?;
            }
        }
        self.put(&state)
    }

    pub(super) fn subtract<S: Kept>(&mut self, other: &Self) -> Result<()> {
        let absent = || Error::data("the rows to be subtracted are not in the state");
        let mut state = self.decode::<S>()?;
        state.subtract(&other.decode::<S>()?)?;
        self.skipped.subtract(&other.skipped).ok_or_else(absent)?;
        for (mine, theirs) in self.precisions.iter_mut().zip(other.precisions) {
            *mine = mine.checked_sub(theirs).ok_or_else(absent)?;
        }
        self.put(&state)
    }

    fn put<S: Kept>(&mut self, state: &S) -> Result<()> {
        self.state = if state.rows() == 0 { Vec::new() } else { state.encode()? };
        Ok(())
    }
}
