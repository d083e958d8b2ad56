//! Which files, which schema, which groups, which head; the only reader.

mod batches;
mod chunk;
mod discover;
mod duplicates;
mod file;
mod footer;
pub mod head;
mod keys;
mod open;
mod pages;
mod plan;
mod read;
mod scalars;
mod schema;
mod source;
mod table;
mod thrift;
mod vectors;

use std::collections::BTreeMap;

use crate::batch::{Batch, Features, Label};
use crate::error::{Error, ErrorKind, Result};

pub use file::{File, Planned};
pub use head::{HeadPath, HeadSource, StoredHead};
pub use open::{Archive, Column, LabelCounts};
pub use read::UnitReader;
pub use table::{ChunkGrid, Table, TableColumn, TableReader, TableRows, TableUnit, Wanted};

/// What to do with rows or files that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Stop with an error that says where.
    #[default]
    Fail,
    /// Leave them out, and count them.
    Skip,
}

/// What is asked of an archive.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The vector column; `None` finds the only one, or one of a well-known name.
    pub features: Option<String>,
    /// The label column; `None` finds one of a well-known name.
    pub labels: Option<String>,
    /// Whether there may be no label column: then all rows are of the one class 0.
    pub labels_optional: bool,
    /// Columns or hive keys whose values make the groups, in this order.
    pub group_by: Vec<String>,
    /// Whether keys that are not there are left out of the groups' keys, and not an error.
    pub keys_optional: bool,
    /// `(key, value)` on group columns: different keys are and, the same key twice is or.
    pub filters: Vec<(String, String)>,
    /// Rows with a null label, vector or vector element.
    pub nulls: Policy,
    /// Rows with a NaN or an infinity.
    pub nonfinite: Policy,
    /// Files that are no Parquet, or damaged.
    pub bad_files: Policy,
    /// Rows of this label count towards the grid of their chunk and nothing else.
    pub ignore_label: Option<String>,
    /// Whether the same content under two names counts twice.
    pub allow_duplicates: bool,
    /// Bytes that footers may take while files are opened; `None` is no limit.
    pub memory: Option<u64>,
}

/// The values of the `group_by` keys, in their order.
pub type Key = Vec<Label>;

/// One row group of one file: what is read, counted and retried.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Which of [`Archive::files`].
    pub file: usize,
    /// Which row group of it.
    pub row_group: usize,
    /// Its rows.
    pub rows: u64,
    /// Bytes of the columns read, as stored.
    pub bytes: u64,
    /// Bytes of the texts among them, before compression.
    pub text_bytes: u64,
    /// The group that all its rows belong to, where path or column statistics tell.
    pub key: Option<Key>,
}

/// The values of a chunk, in the type in which they are stored.
#[derive(Clone, Debug)]
pub enum Values {
    /// IEEE half precision.
    F16(Vec<half::f16>),
    /// IEEE single precision.
    F32(Vec<f32>),
    /// IEEE double precision.
    F64(Vec<f64>),
}

/// A chunk: the consecutive rows of a unit that are rounded together, well-formed ones only.
///
/// Rows outside the filters and under the ignored label are there, since the grid is of the chunk; they are in no part.
/// A chunk may have no rows at all, but parts that skipped some; its `dim` means nothing then.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// `D`.
    pub dim: usize,
    /// Rows × D, row-major, all finite.
    pub values: Values,
    /// The class of each row, an index into `classes`.
    pub codes: Vec<u32>,
    /// The labels of the chunk, in no order.
    pub classes: Vec<Label>,
    /// Row numbers within the file, one a row.
    pub file_rows: Vec<u64>,
    /// Which rows belong to which group.
    pub parts: Vec<Part>,
}

/// The rows of a chunk that belong to one group.
#[derive(Clone, Debug)]
pub struct Part {
    /// The group.
    pub key: Key,
    /// Their indices in the chunk; `None` is all of them.
    pub rows: Option<Vec<u32>>,
    /// What was left out of this group here.
    pub skipped: Skipped,
}

impl Decoded {
    /// The rows as a batch.
    pub fn batch(&self) -> Result<Batch<'_>> {
        Batch::new(self.dim, self.values.features(), &self.codes, &self.classes)
    }
}

impl Values {
    /// The values, borrowed.
    pub fn features(&self) -> Features<'_> {
        match self {
            Self::F16(values) => Features::F16(values),
            Self::F32(values) => Features::F32(values),
            Self::F64(values) => Features::F64(values),
        }
    }
}

/// Rows that a flag left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// With a null label, a null vector or a null inside the vector (`--nulls skip`).
    pub nulls: u64,
    /// With a NaN or an infinity (`--nonfinite skip`), by class.
    pub nonfinite: BTreeMap<Label, u64>,
    /// Of the label under `--ignore-label`.
    pub ignored: u64,
    /// Of classes with too few or too many rows.
    pub filtered: u64,
}

impl Skipped {
    /// Adds what was left out elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.nulls += other.nulls;
        self.ignored += other.ignored;
        self.filtered += other.filtered;
        for (label, rows) in &other.nonfinite {
            *self.nonfinite.entry(label.clone()).or_default() += rows;
        }
    }

    /// Takes away what was added; `None` if it was not.
    pub fn subtract(&mut self, other: &Self) -> Option<()> {
        self.nulls = self.nulls.checked_sub(other.nulls)?;
        self.ignored = self.ignored.checked_sub(other.ignored)?;
        self.filtered = self.filtered.checked_sub(other.filtered)?;
        for (label, rows) in &other.nonfinite {
            let mine = self.nonfinite.get_mut(label)?;
            *mine = mine.checked_sub(*rows)?;
        }
        self.nonfinite.retain(|_, rows| *rows > 0);
        Some(())
    }

    /// All rows left out.
    pub fn total(&self) -> u64 {
        self.nonfinite.values().fold(self.nulls + self.ignored + self.filtered, |sum, rows| sum.saturating_add(*rows))
    }
}

/// Whether an error says that a file is no Parquet, or damaged: what [`Policy::Skip`] forgives a file.
///
/// Damage in the pages of a unit is found only when the unit is read.
pub fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Data && error.message() == source::DAMAGED
}

/// `R`, the rows of a chunk of vectors of length `dim`: the largest power of two with `4·R·D ≤ 16 MiB`, at least 2048.
pub fn chunk_rows(dim: usize) -> usize {
    let most = (1 << 22) / dim.max(1);
    (1 << most.max(1).ilog2()).max(2048)
}

/// The code of a row without a label in [`code_labels`].
pub const NO_LABEL: u32 = scalars::NULL;

/// The labels of an array as codes, one a row, and the values that they stand for; [`NO_LABEL`] is a null.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) with the row for a float that is no certain integer.
pub fn code_labels(array: &arrow::array::ArrayRef) -> Result<(Vec<u32>, Vec<Label>)> {
    let scalars::Coded { codes, values } = scalars::coded(array, 0)?;
    Ok((codes, values))
}

/// Text without control characters: names come from strangers.
pub(crate) fn escaped(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_fill_sixteen_mebibytes_but_hold_at_least_2048_rows() {
        for (dim, rows) in
            [(1, 1 << 22), (2, 1 << 21), (64, 65_536), (65, 32_768), (768, 4096), (2048, 2048), (9999, 2048)]
        {
            assert_eq!(chunk_rows(dim), rows, "{dim}");
        }
    }

    #[test]
    fn names_are_shown_without_control_characters() {
        assert_eq!(escaped("a\x1b[31m\u{85}é'; DROP"), "a\\u{1b}[31m\\u{85}é'; DROP");
    }
}
