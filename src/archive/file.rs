//! One file of an archive, and how it is known again.

use std::path::PathBuf;
use std::time::SystemTime;

/// A Parquet file of an archive.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is opened.
    pub path: PathBuf,
    /// The path as the input named it, control characters escaped: for people.
    pub shown: String,
    /// The path below the input's root, control characters escaped: the same wherever the archive lies.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: SystemTime,
    /// FNV-1a of the footer's bytes.
    pub footer_hash: u64,
    /// How many row groups it has.
    pub row_groups: usize,
    /// Its rows.
    pub rows: u64,
    /// `D`, where the schema tells.
    pub dim: Option<usize>,
}
