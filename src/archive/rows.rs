//! Units, and chunks of their rows.

use std::collections::BTreeMap;

use super::request::Key;
use crate::batch::{Batch, Features, Label};
use crate::error::Result;

/// One unit of one file, in Parquet a row group: what is read, counted and retried.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Which of [`Archive::files`](super::Archive::files).
    pub file: usize,
    /// Which unit of the file, in Parquet the row group.
    pub row_group: usize,
    /// Its first row in the file.
    pub first: u64,
    /// Its rows.
    pub rows: u64,
    /// Bytes of the columns read, as stored.
    pub bytes: u64,
    /// Bytes of the strings among them, before compression.
    pub text_bytes: u64,
    /// The group that all its rows belong to, if the path or statistics determine it.
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
/// Rows outside the filters and rows of the ignored label are included, since they count towards the grid, but they are in
/// no group. A chunk may have no rows at all if all were left out; then `dim` has no meaning.
#[derive(Clone, Debug)]
pub struct DecodedChunk {
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
    pub parts: Vec<GroupRows>,
}

/// The rows of a chunk that belong to one group.
#[derive(Clone, Debug)]
pub struct GroupRows {
    /// The group.
    pub key: Key,
    /// Their indices in the chunk; `None` is all of them.
    pub rows: Option<Vec<u32>>,
    /// What was left out of this group in this chunk.
    pub skipped: Skipped,
}

impl DecodedChunk {
    /// The rows as a batch.
    ///
    /// # Errors
    ///
    /// Those of [`Batch::new`], if the chunk is not what a reader made.
    pub fn batch(&self) -> Result<Batch<'_>> {
        Batch::new(self.dim, self.values.features(), &self.codes, &self.classes)
    }

    /// The same without looking for NaN and infinities, which the reader has left out.
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
    /// What was left out of several groups together.
    pub fn of_all<'a>(each: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        each.into_iter().for_each(|skipped| all.add(skipped));
        all
    }

    /// Adds what was left out elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.nulls += other.nulls;
        self.ignored += other.ignored;
        self.filtered += other.filtered;
        for (label, rows) in &other.nonfinite {
            *self.nonfinite.entry(label.clone()).or_default() += rows;
        }
    }

    /// Takes away what was added before; `None` if it was not added.
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

    /// How many rows were left out for which flag: `20 by --ignore-label, 1 by --nonfinite`. Empty if none were.
    pub fn by_flag(&self) -> String {
        let counts = [
            (self.ignored, "--ignore-label"),
            (self.nulls, "--nulls"),
            (self.not_finite(), "--nonfinite"),
            (self.filtered, "--min-count and --max-count"),
        ];
        let told = counts.iter().filter(|(rows, _)| *rows > 0).map(|(rows, flag)| format!("{rows} by {flag}"));
        told.collect::<Vec<_>>().join(", ")
    }

    /// Those with a NaN or an infinity, of all classes.
    pub fn not_finite(&self) -> u64 {
        self.nonfinite.values().copied().fold(0, u64::saturating_add)
    }

    /// All rows left out.
    pub fn total(&self) -> u64 {
        (self.nulls + self.ignored + self.filtered).saturating_add(self.not_finite())
    }
}
/// `R`, the rows of a chunk of vectors of length `dim`: the largest power of two with `4·R·D ≤ 16 MiB`, at least 2048.
pub fn chunk_rows(dim: usize) -> usize {
    let most = (1 << 22) / dim.max(1);
    (1 << most.max(1).ilog2()).max(2048)
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
}
