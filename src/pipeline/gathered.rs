//! Rows in memory that come in batches of any size, and are handed on in whole chunks.

use std::collections::HashMap;

use crate::archive::chunk_rows;
use crate::batch::{Batch, Features, Label};
use crate::error::{Error, Result};

/// The rows that do not fill a chunk yet, and the classes of all rows so far.
#[derive(Clone, Debug)]
pub(super) struct Gathered<T> {
    dim: usize,
    /// Rows × D.
    values: Vec<T>,
    /// The class of each row, an index into `classes`.
    codes: Vec<u32>,
    /// The block of each row; empty if rows bring none.
    blocks: Vec<u32>,
    classes: Vec<Label>,
    code_of: HashMap<Label, u32>,
    /// Rows that were handed on.
    passed: u64,
}

/// Rows that follow each other, checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a, T> {
    pub(super) dim: usize,
    /// Rows × D.
    pub(super) values: &'a [T],
    pub(super) codes: &'a [u32],
    /// The block of each row; empty if rows bring none.
    pub(super) blocks: &'a [u32],
    pub(super) classes: &'a [Label],
    /// How many rows came before them.
    pub(super) first: u64,
}

impl<'a, T: Copy> Rows<'a, T>
where
    Features<'a>: From<&'a [T]>,
{
    pub(super) fn count(&self) -> usize {
        self.codes.len()
    }

    /// The rows as a batch.
    pub(super) fn batch(&self) -> Result<Batch<'a>> {
        Batch::of_finite(self.dim, self.values.into(), self.codes, self.classes)
    }

    /// The chunks that they make; the last may be smaller than the others.
    pub(super) fn chunks(&self) -> Vec<Self> {
        let size = chunk_rows(self.dim);
        (0..self.count()).step_by(size).map(|start| self.part(start, (start + size).min(self.count()))).collect()
    }

    fn part(&self, start: usize, end: usize) -> Self {
        Self {
            values: &self.values[start * self.dim..end * self.dim],
            codes: &self.codes[start..end],
            blocks: self.blocks.get(start..end).unwrap_or_default(),
            first: self.first + start as u64,
            ..*self
        }
    }
}

impl<T: Copy> Gathered<T>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    /// No rows of `dim` values.
    pub(super) fn new(dim: usize) -> Self {
        Self {
            dim,
            values: Vec::new(),
            codes: Vec::new(),
            blocks: Vec::new(),
            classes: Vec::new(),
            code_of: HashMap::new(),
            passed: 0,
        }
    }

    /// `D`.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// `N`, the rows so far.
    pub(super) fn count(&self) -> u64 {
        self.passed + self.codes.len() as u64
    }

    /// The classes seen, in the order in which they came.
    pub(super) fn classes(&self) -> &[Label] {
        &self.classes
    }

    /// The rows that do not fill a chunk yet.
    pub(super) fn rest(&self) -> Rows<'_, T> {
        Rows {
            dim: self.dim,
            values: &self.values,
            codes: &self.codes,
            blocks: &self.blocks,
            classes: &self.classes,
            first: self.passed,
        }
    }

    /// The codes of the labels of rows that are to be [added](Self::add). If the rows are refused, no class is new.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the shapes differ, a label is negative or of another type than the ones
    /// before, or a value is not finite; those of `check`.
    pub(super) fn codes_of<L: Clone + Into<Label>>(
        &mut self,
        features: &[T],
        labels: &[L],
        check: impl FnOnce(&Batch<'_>) -> Result<()>,
    ) -> Result<Vec<u32>> {
        let known = self.classes.len();
        let code = |(row, label): (usize, &L)| self.code(label.clone().into()).map_err(|error| error.with("row", row));
        let codes: Result<Vec<u32>> = labels.iter().enumerate().map(code).collect();
        let codes = codes.and_then(|codes| {
            check(&Batch::new(self.dim, features.into(), &codes, &self.classes)?)?;
            Ok(codes)
        });
        codes.inspect_err(|_| {
            for label in self.classes.drain(known..) {
                self.code_of.remove(&label);
            }
        })
    }

    /// Adds rows whose codes are known, and the block of each if rows bring blocks; `pass` gets whole chunks, one or several
    /// at a time. What lies in one piece already is not copied.
    ///
    /// # Errors
    ///
    /// Those of `pass`.
    pub(super) fn add(
        &mut self,
        features: &[T],
        codes: &[u32],
        blocks: &[u32],
        mut pass: impl FnMut(&Rows<'_, T>) -> Result<()>,
    ) -> Result<()> {
        let size = chunk_rows(self.dim);
        let new = Rows { dim: self.dim, values: features, codes, blocks, classes: &[], first: 0 };
        let missing = if self.codes.is_empty() { 0 } else { (size - self.codes.len()).min(new.count()) };
        self.keep(&new.part(0, missing));
        if self.codes.len() == size {
            let first = self.passed;
            self.passed += size as u64;
            let (mut values, mut codes, mut blocks) =
                (std::mem::take(&mut self.values), std::mem::take(&mut self.codes), std::mem::take(&mut self.blocks));
            let classes = &self.classes;
            pass(&Rows { dim: self.dim, values: &values, codes: &codes, blocks: &blocks, classes, first })?;
            // The next chunk takes the same memory.
            values.clear();
            codes.clear();
            blocks.clear();
            (self.values, self.codes, self.blocks) = (values, codes, blocks);
        }
        let end = missing + (new.count() - missing) / size * size;
        if end > missing {
            let whole = Rows { classes: &self.classes, first: self.passed, ..new.part(missing, end) };
            self.passed += whole.count() as u64;
            pass(&whole)?;
        }
        self.keep(&new.part(end, new.count()));
        Ok(())
    }

    fn keep(&mut self, rows: &Rows<'_, T>) {
        self.values.extend_from_slice(rows.values);
        self.codes.extend_from_slice(rows.codes);
        self.blocks.extend_from_slice(rows.blocks);
    }

    /// The code of a label, a new one if it was not seen before.
    fn code(&mut self, label: Label) -> Result<u32> {
        if let Some(&code) = self.code_of.get(&label) {
            return Ok(code);
        }
        if !label.is_class() {
            return Err(Error::data("negative label").with("label", label));
        }
        if self.classes.first().is_some_and(|first| first.kind() != label.kind()) {
            return Err(Error::data("the labels have several types").with("label", label));
        }
        let code = u32::try_from(self.classes.len()).map_err(|_| Error::data("more classes than can be counted"))?;
        self.classes.push(label.clone());
        self.code_of.insert(label, code);
        Ok(code)
    }
}
