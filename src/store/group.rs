//! What is kept of a group: its state, and which of its rows are in it.

use std::collections::BTreeMap;

use crate::archive::{Key, Skipped};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::state::{Merge, State};

/// The groups of a file by the values of their keys.
pub type Groups = BTreeMap<Key, EncodedGroup>;

/// The significand bits of half, single and double precision, and of bf16.
const SIGNIFICANDS: [u32; 4] = [11, 24, 53, 8];

/// Rows by the precision in which their features are stored: half, single, double, bf16.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precisions(pub(super) [u64; 4]);

impl Precisions {
    /// Adds rows whose features have so many significand bits: 8, 11, 24 or 53.
    ///
    /// # Errors
    ///
    /// [`Internal`](crate::error::ErrorKind::Internal) for any other number of bits.
    pub fn count(&mut self, significand_bits: u32, rows: u64) -> Result<()> {
        let at = SIGNIFICANDS.iter().position(|&known| known == significand_bits);
        self.0[at.ok_or_else(|| Error::internal("features of an unknown precision"))?] += rows;
        Ok(())
    }

    /// Whether rows of bf16 are among them.
    pub(super) fn has_bf16(&self) -> bool {
        self.0[3] > 0
    }

    /// All rows.
    pub fn rows(&self) -> u64 {
        self.0.iter().fold(0, |sum, &rows| rows.saturating_add(sum))
    }

    /// The significand bits of the least precise features, whose rounding is the largest; 0 without rows.
    pub fn significand_bits(&self) -> u32 {
        let stored = SIGNIFICANDS.into_iter().zip(self.0).filter(|&(_, rows)| rows > 0);
        stored.map(|(bits, _)| bits).min().unwrap_or(0)
    }

    /// Changes each count by the other's, or says that one of them cannot.
    fn combine(&mut self, other: &Self, change: fn(u64, u64) -> Option<u64>) -> Option<()> {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = change(*mine, theirs)?;
        }
        Some(())
    }
}

/// A group in memory, to which rows can be added.
#[derive(Clone, Debug, Default)]
pub struct GroupState {
    /// The rows used.
    pub state: State,
    /// Rows left out, by reason.
    pub skipped: Skipped,
    /// The rows used, by precision.
    pub precisions: Precisions,
}

/// A group as files keep it: a fifth of the memory of a [`GroupState`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedGroup {
    /// Rows left out, by reason.
    pub skipped: Skipped,
    /// The rows used, by precision.
    pub precisions: Precisions,
    /// The state as [`Merge::encode`] writes it; empty without rows.
    pub(super) state: Vec<u8>,
}

impl GroupState {
    /// A group of no rows; `scatter` says whether a scatter matrix is kept of those that come.
    pub fn new(scatter: bool) -> Self {
        Self { state: State::new(scatter), ..Self::default() }
    }

    /// Whether it has no row, not even one left out.
    pub fn is_empty(&self) -> bool {
        self.state.rows() == 0 && self.skipped.total() == 0
    }

    /// Adds the rows of another.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::merge`]; [`Data`](crate::error::ErrorKind::Data) for more rows than can be counted.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.state.merge(&other.state)?;
        self.skipped.add(&other.skipped);
        let too_many = || Error::data("more rows than can be counted");
        self.precisions.combine(&other.precisions, u64::checked_add).ok_or_else(too_many)
    }

    /// Takes the rows of another out again.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::subtract`]; [`Data`](crate::error::ErrorKind::Data) if the rows are not all in this group.
    pub fn subtract(&mut self, other: &Self) -> Result<()> {
        let absent = || Error::data("the rows to be subtracted are not in the state");
        self.state.subtract(&other.state)?;
        self.skipped.subtract(&other.skipped).ok_or_else(absent)?;
        self.precisions.combine(&other.precisions, u64::checked_sub).ok_or_else(absent)
    }

    /// The group as files keep it.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::encode`].
    pub fn encode(&self) -> Result<EncodedGroup> {
        let state = if self.state.rows() == 0 { Vec::new() } else { self.state.encode()? };
        Ok(EncodedGroup { skipped: self.skipped.clone(), precisions: self.precisions, state })
    }
}

impl EncodedGroup {
    /// The group in memory; `scatter` says whether the states of its file hold scatter matrices.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the state is damaged or of the other kind, if its labels are not those of
    /// classes, or if its number of rows is not the group's.
    pub fn decode(&self, scatter: bool) -> Result<GroupState> {
        let state = if self.state.is_empty() { State::new(scatter) } else { State::decode_as(scatter, &self.state)? };
        let damaged = |why: &str| Err(Error::data("the state is damaged").with("detail", why));
        if state.rows() != self.rows() {
            return damaged("its rows are not those of the group");
        }
        let mut labels = state.class_sums().labels().iter().chain(self.skipped.nonfinite.keys());
        let kind = labels.clone().next().map(Label::kind);
        if !labels.all(|label| label.is_class() && Some(label.kind()) == kind) {
            return damaged("its labels are negative, or of several types");
        }
        Ok(GroupState { state, skipped: self.skipped.clone(), precisions: self.precisions })
    }

    /// `N`, rows used.
    pub fn rows(&self) -> u64 {
        self.precisions.rows()
    }

    /// Bytes of the encoded state.
    pub fn bytes(&self) -> usize {
        self.state.len()
    }

    /// Whether it has no row, not even one left out.
    pub(super) fn is_empty(&self) -> bool {
        self.rows() == 0 && self.skipped.total() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_precise_rows_count() {
        let mut all = Precisions::default();
        assert_eq!(all.significand_bits(), 0);
        for (bits, rows) in [(53, 1), (24, 2), (11, 3), (8, 4)] {
            all.count(bits, rows).unwrap();
            assert_eq!(all.significand_bits(), bits);
        }
        assert!(all.count(10, 1).is_err());
        let halves = Precisions([3, 0, 0, 4]);
        all.combine(&halves, u64::checked_sub).unwrap();
        assert_eq!((all.significand_bits(), all.rows(), all.has_bf16()), (24, 3, false));
    }
}
