//! An archive as a table: every column of its files, hive keys among them, and the grid of every chunk beside the rows.

mod filter;
mod open;
mod read;

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::catalogue::{Catalogue, File, VectorColumn};
use super::dtype::Dtype;
use super::fingerprint::{fnv1a, joined};
use super::keys::Twin;
use super::rows::Unit;
use crate::batch::Label;
use crate::grid::Grid;

pub use filter::TableFilter;
pub use read::TableReader;

/// Files of one schema with all their columns, opened and planned: only their footers have been read.
#[derive(Debug)]
pub struct Table {
    catalogue: Catalogue,
    /// What is read of each file.
    files: Vec<TableFile>,
    units: Vec<Unit>,
    /// The values of columns that are constant within a unit, by column, if the path or statistics show them.
    constants: Vec<BTreeMap<usize, Label>>,
    columns: Vec<TableColumn>,
    /// Columns of the files that the table leaves out.
    left_out: Vec<LeftOut>,
    warnings: Vec<String>,
    /// What it was opened with.
    inputs: Vec<String>,
    dtypes: Vec<(String, Dtype)>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableColumn {
    /// Its name: a hive key's, or that in the files.
    pub name: String,
    /// The Arrow type of its arrays. Vectors are a `FixedSizeList` if all files have the same `D` by their schema, and a
    /// `LargeList` otherwise.
    pub data_type: DataType,
    /// Whether it holds vectors.
    pub is_vector: bool,
    /// Whether its values can be labels.
    pub is_label: bool,
}

/// A column of files that the table leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) name: String,
    /// Why, as `only in some files`.
    pub(crate) why: String,
}

/// What is read of one file.
#[derive(Debug)]
struct TableFile {
    /// Where each column is.
    places: Vec<Place>,
    /// Columns that repeat a key of the path, unless statistics show already that both agree.
    twins: Vec<Twin>,
}

/// Where a file has the values of a column.
#[derive(Clone, Debug)]
enum Place {
    /// In its path; `None` is null.
    Key(Option<Label>),
    /// In a column of vectors.
    Vectors(VectorColumn),
    /// In any other column, by its position in the file.
    Root(usize),
}

/// What is to be read of a table.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Columns, in the order in which they are wanted.
    pub columns: Vec<usize>,
    /// Pairs of a vector column and a label column whose chunks' grids are wanted.
    pub grids: Vec<(usize, usize)>,
    /// By how many bits the chunks' own grids are made finer.
    pub extra_bits: u32,
    /// Whether the grids are those of rows at length 1; the columns are as they are.
    pub normalize: bool,
}

/// Consecutive rows of a unit.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// How many.
    pub rows: usize,
    /// The columns wanted. A vector that is null, or has an element which is, is null.
    pub columns: Vec<ArrayRef>,
    /// For each pair wanted, its chunks among these rows, which follow one another.
    pub grids: Vec<Vec<ChunkGrid>>,
}

/// The grid of a chunk, which its rows are rounded with wherever a query takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkGrid {
    /// Rows of the chunk, those left out included.
    pub rows: usize,
    /// The grid of its well-formed rows; `None` if it has none.
    pub grid: Option<Grid>,
    /// The significand bits of the vectors as they are stored.
    pub significand_bits: u32,
}

impl Table {
    /// The columns: those of the files, then the hive keys.
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The row groups: by file, in the order of names, then by row group.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The values of columns that are constant within a unit, by column, if the path or statistics show them.
    pub fn constants(&self, unit: usize) -> &BTreeMap<usize, Label> {
        &self.constants[unit]
    }

    /// Where its files are opened.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.catalogue.files.iter().flat_map(File::paths)
    }

    /// The inputs that it was opened with, and the types of numbers in columns of bytes.
    pub fn opened_as(&self) -> (&[String], &[(String, Dtype)]) {
        (&self.inputs, &self.dtypes)
    }

    /// A hash of all columns, and of what tells that the files are the same: their names, sizes and footers.
    pub fn fingerprint(&self) -> u64 {
        let columns = self.columns.iter().map(|column| fnv1a(format!("{column:?}").as_bytes()));
        let files =
            self.catalogue.files.iter().map(|file| joined(&[fnv1a(file.name.as_bytes()), file.size, file.footer_hash]));
        joined(&columns.chain(files).collect::<Vec<_>>())
    }

    /// Columns of the files that the table leaves out, with the reason.
    pub(crate) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Columns that the table leaves out since only some of the files have them.
    #[cfg(feature = "sql")]
    pub(crate) fn columns_of_some_files(&self) -> Vec<&str> {
        let some = self.left_out.iter().filter(|left_out| left_out.why == open::SOME_FILES);
        some.map(|left_out| left_out.name.as_str()).collect()
    }

    /// What the user should know, as files named twice.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The values of the keys in the path of a unit's file; `None` is null.
    pub(crate) fn path_keys(&self, unit: usize) -> Vec<Option<&Label>> {
        let places = self.files[self.units[unit].file].places.iter();
        let in_path = |place: &'_ Place| matches!(place, Place::Key(_));
        let keys = places.filter(|place| in_path(place));
        keys.map(|place| if let Place::Key(label) = place { label.as_ref() } else { None }).collect()
    }

    /// A unit's file, as it was named, and its row group: for people.
    pub fn place(&self, unit: usize) -> (&str, usize) {
        let unit = &self.units[unit];
        (&self.catalogue.files[unit.file].shown, unit.row_group)
    }

    /// `D` of a unit's vectors in a column, if its type fixes it.
    pub fn dim(&self, unit: usize, column: usize) -> Option<usize> {
        match &self.files[self.units[unit].file].places[column] {
            Place::Vectors(vectors) => vectors.dim,
            Place::Key(_) | Place::Root(_) => None,
        }
    }
}
