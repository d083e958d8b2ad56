//! What is to be measured, and how.

use super::{HeadRules, Rounding};
use crate::archive::{HeadSource, Request};
use crate::kernels::Device;
use crate::metrics::{Extras, Options, Selection};

/// What is to be measured, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// Files, directories and globs.
    pub inputs: Vec<String>,
    /// Which columns, groups and rows of them.
    pub request: Request,
    /// The classifier, one for all groups or one for each.
    pub head: Option<HeadSource>,
    /// Whether heads are stored dimension × class.
    pub head_transposed: bool,
    /// Where heads belong, which row of theirs is which class, and what classes are called.
    pub head_rules: HeadRules,
    /// The rows of NC4 and the in-distribution rows of NECO; the group's own when `None`.
    pub decisions: Option<RowSource>,
    /// The out-of-distribution rows of NC5.
    pub ood: Option<RowSource>,
    /// Which metrics.
    pub selection: Selection,
    /// Their conventions.
    pub options: Options,
    /// What else.
    pub extras: Extras,
    /// The grid.
    pub rounding: Rounding,
    /// Whether every row of the decisions and every out-of-distribution row is to be scored.
    pub scores: bool,
    /// What works on the rows.
    pub device: Device,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Bytes that the run may use.
    pub memory: u64,
}

/// Further rows, `PATH[?key=value&…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSource {
    /// File, directory or glob.
    pub path: String,
    /// `(key, value)`, as in [`Request::filters`].
    pub filters: Vec<(String, String)>,
}

impl RowSource {
    /// Parses `PATH[?key=value&…]`; a `?` that a `key=value` does not follow belongs to a glob.
    pub fn parse(text: &str) -> Self {
        let split = text.rsplit_once('?').and_then(|(path, query)| {
            let filters: Option<Vec<_>> = query
                .split('&')
                .map(|pair| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
                .collect();
            filters.map(|filters| Self { path: path.to_owned(), filters })
        });
        split.unwrap_or_else(|| Self { path: text.to_owned(), filters: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_with_filters() {
        let filters = vec![("split".to_owned(), "test".to_owned()), ("epoch".to_owned(), "3".to_owned())];
        assert_eq!(RowSource::parse("a/b?split=test&epoch=3"), RowSource { path: "a/b".to_owned(), filters });
        assert_eq!(
            RowSource::parse("part-?.parquet"),
            RowSource { path: "part-?.parquet".to_owned(), filters: vec![] }
        );
    }
}
