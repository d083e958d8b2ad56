//! Which files, which schema, which groups, which head; the only reader.

mod batches;
mod chunk;
mod discover;
mod duplicates;
mod file;
mod footer;
mod foreign;
mod head;
mod keys;
mod open;
mod pages;
mod pattern;
mod plan;
mod pooling;
mod read;
mod scalars;
mod schema;
mod source;
mod table;
mod thrift;
mod unusable;
mod vectors;

use std::collections::BTreeMap;

use crate::batch::{Batch, Features, Label};
use crate::error::{Error, ErrorKind, Result};

pub(crate) use discover::hive_keys;
pub use file::{File, Planned};
pub use head::{ClassNames, HeadPath, HeadRows, HeadSource, Naming, Outline, Spellings, StoredHead, Way};
pub use open::{Archive, Column, LabelCounts, Seen};
#[cfg(feature = "sql")]
pub(crate) use pattern::matches;
pub(crate) use pooling::{Pooled, pooled, summary as pooled_summary};
pub use read::UnitReader;
pub use schema::Dtype;
pub use table::{ChunkGrid, Table, TableColumn, TableReader, TableRows, TableUnit, Wanted};

/// What to do with rows or files that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Stop with an error that says where.
    #[default]
    Fail,
    /// Leave them out, and count them.
    Skip,
}

/// What lies where files are looked for, and is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Its path, control characters escaped.
    pub file: String,
    /// What it is instead of data, as `a NumPy array (.npy)`.
    pub reason: String,
    /// Whether it is no news, as `_SUCCESS` is.
    pub expected: bool,
    /// What makes data of it, if that is known.
    pub help: String,
}

/// What is not read though it lies there, in a line; `None` if that is no news.
pub(crate) fn passed_over(passed: &[Passed]) -> Option<String> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let news: Vec<&Passed> = passed.iter().filter(|passed| !passed.expected).collect();
    for passed in &news {
        *kinds.entry(&passed.reason).or_default() += 1;
    }
    match news[..] {
        [] => None,
        [only] => Some(format!("over {} ({})", only.file, only.reason)),
        _ => {
            let kinds: Vec<String> = kinds.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
            Some(format!("over {} files ({})", news.len(), kinds.join(", ")))
        }
    }
}

/// What is asked of an archive.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The vector column; `None` finds the only one, or one of a well-known name.
    pub features: Option<String>,
    /// What the bytes of the vector column are; only for fixed-size binary, which is never chosen by itself.
    pub dtype: Option<Dtype>,
    /// The label column; `None` finds one of a well-known name.
    pub labels: Option<String>,
    /// Whether there may be no label column: then all rows are of the one class 0.
    pub labels_optional: bool,
    /// Whether labels of any kind will do, or none, file by file: nulls are a class, negative integers and floats of any
    /// value are classes, and a column that holds no labels is no label column.
    pub any_labels: bool,
    /// Columns or hive keys whose values make the groups, in this order.
    pub group_by: Vec<String>,
    /// Whether keys that are not there are left out of the groups' keys, and not an error.
    pub keys_optional: bool,
    /// `(key, value)` on group columns: different keys are and, the same key twice is or.
    pub filters: Vec<(String, String)>,
    /// Keys of which it is told what values they have, though nobody groups or filters by them.
    pub notice: Vec<String>,
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
    ///
    /// # Errors
    ///
    /// Those of [`Batch::new`], if the chunk is not what a reader made.
    pub fn batch(&self) -> Result<Batch<'_>> {
        Batch::new(self.dim, self.values.features(), &self.codes, &self.classes)
    }

    /// The same of a chunk as a reader made it, whose values are known to be finite.
    pub(crate) fn finite_batch(&self) -> Result<Batch<'_>> {
        Batch::of_finite(self.dim, self.values.features(), &self.codes, &self.classes)
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

/// Text from outside, safe to show on a terminal: control characters, and those that reorder text, hide in it or break its
/// lines, are `\u{…}`.
pub(crate) fn escaped(text: &str) -> String {
    if !text.contains(commands_terminal) {
        return text.to_owned();
    }
    let escape = |c: char| if commands_terminal(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Whether a terminal does something else with a character than to show it.
pub(crate) fn commands_terminal(c: char) -> bool {
    // Cc; then Cf, which Unicode calls format characters, and the two separators Zl and Zp.
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}')
        || matches!(c, '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}')
        || matches!(c, '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
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
    fn names_cannot_command_a_terminal() {
        assert_eq!(escaped("layer.3 – été 'ß' \u{5d0} 🧮"), "layer.3 – été 'ß' \u{5d0} 🧮");
        assert_eq!(escaped("a\x1b[31m\u{85}é'; DROP"), "a\\u{1b}[31m\\u{85}é'; DROP");
        for c in "\0\t\n\r\u{7f}\u{9b}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}".chars() {
            let shown = escaped(&format!("x{c}y"));
            assert!(shown.is_ascii() && shown.len() > 3 && !shown.contains(char::is_control), "{shown:?}");
            // Escaping twice is escaping once.
            assert_eq!(escaped(&shown), shown);
        }
    }
}
