//! Which block each row of a group lies in, for error bars.
//!
//! A block is one more value at the end of a state's key. Blocks of a group share its grid and its shifts, so that their
//! states add up to the group's state.

use std::borrow::Cow;

use crate::archive::{DecodedChunk, Key, Request, escaped};
use crate::batch::{Batch, ByClass, Label};
use crate::error::{Error, Result};
use crate::pipeline::digest::{mixed, of_label, of_text};
use crate::pipeline::error_bars::ErrorBars;
use crate::store::{BLOCK, Dealing};

/// How rows are put into blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::pipeline) enum Blocking {
    /// They are not.
    #[default]
    None,
    /// Each value of a key is a block.
    Key(String),
    /// Rows, or whole values of a key, are dealt.
    Dealt(Dealing),
}

/// The rows of a chunk that go to one state; `None` is all of them.
pub(super) type StateRows<'a> = (Key, Option<Cow<'a, [u32]>>);

impl Blocking {
    /// The blocks that are asked for.
    pub(in crate::pipeline) fn of(error_bars: Option<&ErrorBars>) -> Self {
        match error_bars {
            None => Self::None,
            Some(ErrorBars { blocks: None, block_by: Some(key) }) => Self::Key(key.clone()),
            Some(ErrorBars { blocks, block_by }) => {
                Self::Dealt(Dealing { blocks: blocks.unwrap_or(ErrorBars::BLOCKS), key: block_by.clone() })
            }
        }
    }

    /// Whether a state's key has a block at its end.
    pub(in crate::pipeline) fn is_some(&self) -> bool {
        *self != Self::None
    }

    /// The key of the rows that decides their block.
    fn key(&self) -> Option<&String> {
        match self {
            Self::None => None,
            Self::Key(key) => Some(key),
            Self::Dealt(dealing) => dealing.key.as_ref(),
        }
    }

    /// How many blocks a group has at most; `None` if only rows tell.
    pub(in crate::pipeline) fn count(&self) -> Option<u64> {
        match self {
            Self::None => Some(1),
            Self::Key(_) => None,
            Self::Dealt(dealing) => Some(dealing.blocks.into()),
        }
    }

    /// The request for the rows, in which the key of the blocks comes after those of the groups.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if it is one of those of the groups, or one of them has the name that
    /// blocks have.
    pub(in crate::pipeline) fn request(&self, mut request: Request) -> Result<Request> {
        if self.is_some() && request.group_by.iter().any(|key| key == BLOCK) {
            return Err(Error::usage("a key of the groups has the name that blocks have")
                .with("key", BLOCK)
                .help("give it another name, or leave --error-bars out"));
        }
        if let Some(key) = self.key() {
            if request.group_by.contains(key) {
                return Err(Error::usage("each group would be a single block")
                    .with("key", escaped(key))
                    .help("leave the key out of --group-by, or choose another for --block-by"));
            }
            request.group_by.push(key.clone());
        }
        Ok(request)
    }

    /// The group of rows with this key.
    pub(in crate::pipeline) fn group<'a>(&self, key: &'a Key) -> &'a [Label] {
        &key[..key.len() - usize::from(self.key().is_some())]
    }

    /// The key of the state to which rows of this key go, or of the first of them if they are dealt.
    pub(super) fn state_key(&self, key: &Key) -> Key {
        match self {
            Self::None | Self::Key(_) => key.clone(),
            Self::Dealt(Dealing { blocks, key: by }) => {
                let value = key.last().filter(|_| by.is_some());
                [self.group(key), &[value.map_or(Label::Int(0), |value| dealt_block(value, *blocks))]].concat()
            }
        }
    }

    /// What rows of a chunk go to which states: all rows, or those listed, whose first state has the key `first`.
    pub(super) fn states<'a>(
        &self,
        first: Key,
        chunk: &DecodedChunk,
        batch: &Batch<'_>,
        rows: Option<&'a [u32]>,
        file: u64,
    ) -> Vec<StateRows<'a>> {
        let Self::Dealt(Dealing { blocks, key: None }) = self else { return vec![(first, rows.map(Cow::Borrowed))] };
        let with_block = |block: usize| {
            let mut key = first.clone();
            key.pop();
            key.push(Label::Int(block as i128));
            key
        };
        let dealt = deal(batch, rows, *blocks as usize, |row| mixed(file, chunk.file_rows[row as usize]));
        let filled = dealt.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        filled.map(|(block, rows)| (with_block(block), Some(Cow::Owned(rows)))).collect()
    }
}

/// The block of so many in which rows with this value of a key lie.
pub(in crate::pipeline) fn dealt_block(value: &Label, blocks: u32) -> Label {
    Label::Int((of_label(value) % u64::from(blocks)).into())
}

/// Deals rows, class by class: those of a class in the order of their hashes, to one block after the other, beginning with one
/// that the first hash decides. So each block has its share of every class, and no row's block depends on its values.
pub(in crate::pipeline) fn deal(
    batch: &Batch<'_>,
    rows: Option<&[u32]>,
    blocks: usize,
    hash: impl Fn(u32) -> u64,
) -> Vec<Vec<u32>> {
    let mut dealt = vec![Vec::new(); blocks];
    for class in ByClass::of(batch, rows).each() {
        let mut order: Vec<(u64, u32)> = class.iter().map(|&row| (hash(row), row)).collect();
        order.sort_unstable();
        let start = order.first().map_or(0, |&(first, _)| mixed(first, 0) as usize % blocks);
        for (at, (_, row)) in order.into_iter().enumerate() {
            dealt[(start + at) % blocks].push(row);
        }
    }
    for rows in &mut dealt {
        rows.sort_unstable();
    }
    dealt
}

/// The keys that have one value within a group: those of the groups, and those of which one value is asked for.
pub(super) fn fixed_keys(request: &Request) -> Vec<&str> {
    let named = |key: &str| request.filters.iter().filter(|(name, _)| name == key).count();
    let picked = request.filters.iter().map(|(name, _)| name.as_str()).filter(|name| named(name) == 1);
    request.group_by.iter().map(String::as_str).chain(picked).collect()
}

/// A file's share in the hashes of its rows: its name without the keys that are fixed within a group, so that equal rows of two
/// groups, as of two epochs, lie in equal blocks, however the groups are asked for.
pub(in crate::pipeline) fn of_file(name: &str, fixed: &[&str]) -> u64 {
    let is_fixed = |part: &str| part.split_once('=').is_some_and(|(key, _)| fixed.contains(&key));
    name.split('/').filter(|part| !is_fixed(part)).fold(0, |state, part| mixed(state, of_text(part)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Features;

    #[test]
    fn each_block_has_its_share_of_every_class() {
        let labels: Vec<Label> = (0..3).map(Label::Int).collect();
        let codes: Vec<u32> = (0..700).map(|row| u32::from(row % 7 == 0) + u32::from(row % 5 == 0)).collect();
        let batch = Batch::new(1, Features::F32(&[0.0; 700]), &codes, &labels).unwrap();
        let dealt = deal(&batch, None, 8, |row| mixed(5, row.into()));
        for code in 0..3 {
            let of_class = |rows: &Vec<u32>| rows.iter().filter(|&&row| codes[row as usize] == code).count();
            let counts: Vec<usize> = dealt.iter().map(of_class).collect();
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
        let mut all = dealt.concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..700));
        // Neighbours do not go together.
        assert!(dealt.iter().all(|rows| rows.windows(2).any(|pair| pair[1] - pair[0] != 8)));
    }

    #[test]
    fn few_rows_do_not_all_go_to_the_first_blocks() {
        let batch = Batch::new(1, Features::F32(&[0.0]), &[0], &[Label::Int(0)]).unwrap();
        let first =
            |file: u64| deal(&batch, None, 8, |row| mixed(file, row.into())).iter().position(|rows| !rows.is_empty());
        let mut blocks: Vec<_> = (0..100).map(first).collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), 8);
    }

    #[test]
    fn files_of_two_groups_are_alike_and_files_of_one_are_not() {
        let by = ["epoch"];
        assert_eq!(of_file("epoch=3/layer=a/x.parquet", &by), of_file("epoch=12/layer=a/x.parquet", &by));
        assert_ne!(of_file("epoch=3/layer=a/x.parquet", &by), of_file("epoch=3/layer=b/x.parquet", &by));
        assert_ne!(of_file("epoch=3/x.parquet", &by), of_file("epoch=3/y.parquet", &by));
    }

    #[test]
    fn a_key_is_fixed_where_one_value_is_asked_for() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let request = Request {
            group_by: vec!["epoch".to_owned()],
            filters: vec![pair("run", "a"), pair("split", "train"), pair("split", "test")],
            ..Request::default()
        };
        assert_eq!(fixed_keys(&request), ["epoch", "run"]);
    }

    #[test]
    fn a_key_that_is_dealt_stays_whole() {
        let dealing = Dealing { blocks: 4, key: Some("doc".to_owned()) };
        let blocking = Blocking::Dealt(dealing);
        let key = |doc: i128| vec![Label::Int(7), Label::Int(doc)];
        assert_eq!(blocking.group(&key(3)), [Label::Int(7)]);
        assert_eq!(blocking.state_key(&key(3)), blocking.state_key(&key(3)));
        let blocks: std::collections::BTreeSet<Key> = (0..50).map(|doc| blocking.state_key(&key(doc))).collect();
        assert_eq!(blocks.len(), 4);
        let grouped = Request { group_by: vec!["doc".to_owned()], ..Request::default() };
        assert!(blocking.request(grouped).is_err());
    }
}
