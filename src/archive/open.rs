//! Finding files, choosing columns, planning units.

use super::{File, Key, Request, Unit, UnitReader};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};

/// A column that is read, and why it was chosen: for people.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name, as stored.
    pub name: String,
    /// Its type, as `fixed_size_list<f32>` or `int32`.
    pub kind: String,
    /// Why it was chosen, as `only vector column`.
    pub why: &'static str,
}

/// Files of one schema, opened and planned: only their footers have been read.
#[derive(Debug)]
pub struct Archive {}

impl Archive {
    /// Finds the files, chooses the columns, lists the units.
    pub fn open(_inputs: &[String], _request: &Request) -> Result<Self> {
        Err(Error::internal("not yet"))
    }

    /// The files that hold units, in the order of their names.
    pub fn files(&self) -> &[File] {
        &[]
    }

    /// What is read: by file, then by row group, whatever the order of the inputs.
    pub fn units(&self) -> &[Unit] {
        &[]
    }

    /// `D`, where the schema tells it and all files agree.
    pub fn dim(&self) -> Option<usize> {
        None
    }

    /// `D` of a file's vectors, from its schema or its first row; `None` if it holds no vector.
    pub fn file_dim(&self, _file: usize) -> Result<Option<usize>> {
        Ok(None)
    }

    /// The column of the vectors.
    pub fn features(&self) -> &Column {
        unimplemented!()
    }

    /// The column of the labels; `None` if all rows are of the one class 0.
    pub fn labels(&self) -> Option<&Column> {
        None
    }

    /// The type of the labels.
    pub fn label_kind(&self) -> LabelKind {
        LabelKind::Int
    }

    /// The significand bits of the stored features: 11, 24 or 53.
    pub fn significand_bits(&self) -> u32 {
        24
    }

    /// Inputs left out under [`bad_files`](Request::bad_files), with the reason.
    pub fn bad_files(&self) -> &[(String, String)] {
        &[]
    }

    /// What the user should know, as files named twice.
    pub fn warnings(&self) -> &[String] {
        &[]
    }

    /// Whether the pages of a file carry checksums, from its first page.
    pub fn checksums(&self, _file: usize) -> Result<bool> {
        Ok(false)
    }

    /// Opens a unit.
    pub fn read(&self, _unit: usize) -> Result<UnitReader<'_>> {
        Err(Error::internal("not yet"))
    }

    /// Counts the labels of a unit by group, without its vectors: `each` gets every pair of group and label once.
    ///
    /// Rows with a null label, under [`ignore_label`](Request::ignore_label) or outside the filters are not counted;
    /// rows whose vectors cannot be used are.
    pub fn read_labels(&self, _unit: usize, _each: &mut dyn FnMut(&Key, &Label, u64)) -> Result<()> {
        Err(Error::internal("not yet"))
    }
}
