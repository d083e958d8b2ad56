//! Error bars: what is asked for, and what it takes.

use super::first_pass::{Blocking, merge};
use super::memory::MetricMemory;
use crate::archive::{Key, escaped};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::state::State;
use crate::store::GroupState;

/// Into which blocks the rows of each group are put, to see how far its metrics move without each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBars {
    /// How many blocks, at least 2. `None` is [`BLOCKS`](Self::BLOCKS), or each value of `block_by` a block; of states that
    /// have blocks, as many as they have.
    pub blocks: Option<u32>,
    /// A key of the rows whose values stay together, as of documents; rows are dealt one by one without it.
    pub block_by: Option<String>,
}

impl ErrorBars {
    /// How many blocks there are by default.
    pub const BLOCKS: u32 = 32;

    /// The most blocks: each takes as long as the metrics themselves.
    pub const MOST_BLOCKS: u32 = 1000;

    /// Parses `jackknife[:BLOCKS]`.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for anything else, or a number that is not between 2 and
    /// [`MOST_BLOCKS`](Self::MOST_BLOCKS).
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || {
            Error::usage("error bars are made by jackknife, or jackknife:BLOCKS")
                .with("error bars", escaped(text))
                .help(format!("--error-bars jackknife:{}, with 2 to {} blocks", Self::BLOCKS, Self::MOST_BLOCKS))
        };
        let rest = text.strip_prefix("jackknife").ok_or_else(wrong)?;
        if rest.is_empty() {
            return Ok(Self::default());
        }
        let blocks = rest.strip_prefix(':').and_then(|blocks| blocks.parse().ok());
        let blocks = blocks.filter(|blocks| (2..=Self::MOST_BLOCKS).contains(blocks)).ok_or_else(wrong)?;
        Ok(Self { blocks: Some(blocks), block_by: None })
    }

    /// As it is typed, and by which key: for records.
    pub(super) fn text(&self) -> String {
        let blocks = match (self.blocks, &self.block_by) {
            (Some(blocks), _) => format!(":{blocks}"),
            (None, None) => format!(":{}", Self::BLOCKS),
            (None, Some(_)) => String::new(),
        };
        let by = self.block_by.as_ref().map_or(String::new(), |key| format!(" by {key}"));
        format!("jackknife{blocks}{by}")
    }
}

/// A group whose rows are counted, with its blocks if there are some.
#[derive(Debug, Default)]
pub(super) struct BlockedGroup {
    /// All rows.
    pub(super) all: GroupState,
    pub(super) blocks: Vec<(Label, State)>,
}

impl BlockedGroup {
    /// Adds the rows of a block.
    pub(super) fn add(&mut self, block: Label, state: GroupState) -> Result<()> {
        if self.all.is_empty() {
            self.all = state.clone();
        } else {
            merge(&mut self.all, &state)?;
        }
        if state.state.rows() > 0 {
            self.blocks.push((block, state.state));
        }
        if self.blocks.len() > ErrorBars::MOST_BLOCKS as usize {
            return Err(Error::usage("a group has too many blocks").with("most", ErrorBars::MOST_BLOCKS).help(
                format!("--error-bars jackknife:{} puts several values of the key into one block", ErrorBars::BLOCKS),
            ));
        }
        Ok(())
    }

    /// Bytes that a replicate of the group takes while it is made: its state, and its metrics.
    pub(super) fn replicate_bytes(&self, memory: MetricMemory) -> u64 {
        let (classes, dim, scatter) =
            (self.all.state.class_sums().classes(), self.all.state.dim(), self.all.state.has_scatter());
        let (of_state, classes, dim) = (State::bytes(scatter, classes, dim) as u64, classes as u64, dim as u64);
        2 * of_state + memory.held(classes, dim) + memory.measuring(classes, dim)
    }
}

/// The groups of states whose keys end with a block, if they do.
pub(super) fn blocked(
    states: impl IntoIterator<Item = (Key, GroupState)>,
    blocking: &Blocking,
    locate: impl Fn(Error, &Key) -> Error,
) -> Result<Vec<(Key, BlockedGroup)>> {
    let mut groups: Vec<(Key, BlockedGroup)> = Vec::new();
    for (mut key, state) in states {
        let block = if blocking.is_some() { key.pop() } else { None };
        let Some(block) = block else {
            groups.push((key, BlockedGroup { all: state, blocks: Vec::new() }));
            continue;
        };
        // Keys ascend, so the blocks of a group come together.
        if groups.last().is_none_or(|(last, _)| *last != key) {
            groups.push((key.clone(), BlockedGroup::default()));
        }
        if let Some((_, group)) = groups.last_mut() {
            group.add(block, state).map_err(|error| locate(error, &key))?;
        }
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_shown() {
        for (text, shown) in
            [("jackknife", "jackknife:32"), ("jackknife:2", "jackknife:2"), ("jackknife:1000", "jackknife:1000")]
        {
            assert_eq!(ErrorBars::parse(text).unwrap().text(), shown);
        }
        for text in ["bootstrap", "jackknife:", "jackknife:1", "jackknife:1001", "jackknife32", "jackknife:-3", ""] {
            assert!(ErrorBars::parse(text).is_err(), "{text}");
        }
        let by = |blocks| ErrorBars { blocks, block_by: Some("doc".to_owned()) }.text();
        assert_eq!([by(None), by(Some(8))], ["jackknife by doc", "jackknife:8 by doc"]);
    }
}
