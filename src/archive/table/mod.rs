//! An archive as a table: every column of its files, hive keys among them, and the grid of every chunk beside the rows.

mod open;
mod read;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::container::Format;
use super::dtype::VectorType;
use super::file::{Containers, Pinned};
use super::keys::Twin;
use super::read_at::Version;
use crate::batch::Label;
use crate::grid::Grid;

pub use read::TableReader;

/// Files of one schema with all their columns, opened and planned: only their footers have been read.
#[derive(Debug)]
pub struct Table {
    files: Vec<TableFile>,
    units: Vec<TableUnit>,
    columns: Vec<TableColumn>,
    warnings: Vec<String>,
    containers: Containers,
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

/// One row group of one file.
#[derive(Clone, Debug)]
pub struct TableUnit {
    file: usize,
    row_group: usize,
    /// The unit's first row in its file.
    first: u64,
    /// Its rows.
    pub rows: u64,
    /// Bytes of all its columns, as stored.
    pub bytes: u64,
    /// The values of columns in which all its rows agree, as far as path or column statistics tell, by column.
    pub constants: BTreeMap<usize, Label>,
}

/// A file of a table.
#[derive(Debug)]
struct TableFile {
    path: PathBuf,
    shown: String,
    version: Version,
    footer_hash: u64,
    format: &'static dyn Format,
    /// Where each column is.
    places: Vec<Place>,
    /// Columns that have the name of a key in the path, where statistics do not show that both agree.
    twins: Vec<Twin>,
    /// `D` of each vector column, where it had to be read from the file.
    dims: Vec<OnceLock<Option<usize>>>,
}

/// Where a file has the values of a column.
#[derive(Clone, Debug)]
enum Place {
    /// In its path; `None` is null.
    Key(Option<Label>),
    /// In a column of vectors, at a root of the schema; `D` where the schema tells.
    Vectors { root: usize, vectors: VectorType, dim: Option<usize> },
    /// In any other column.
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

/// The grid of a chunk: what its rows have to be rounded with, wherever they go.
#[derive(Clone, Debug, PartialEq)]
pub struct ChunkGrid {
    /// Rows of the chunk, those included that are no well-formed rows.
    pub rows: usize,
    /// The grid of its well-formed rows; `None` if it has none.
    pub grid: Option<Grid>,
}

impl Table {
    /// The columns: those of the files, then the hive keys.
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The row groups: by file, in the order of names, then by row group.
    pub fn units(&self) -> &[TableUnit] {
        &self.units
    }

    /// Where its files are opened.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// What the user should know, as files named twice.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// A unit's file, as it was named, and its row group: for people.
    pub fn place(&self, unit: usize) -> (&str, usize) {
        let unit = &self.units[unit];
        (&self.files[unit.file].shown, unit.row_group)
    }

    /// `D` of a unit's vectors in a column, where the schema of its file tells.
    pub fn dim(&self, unit: usize, column: usize) -> Option<usize> {
        match self.files[self.units[unit].file].places[column] {
            Place::Vectors { dim, .. } => dim,
            Place::Key(_) | Place::Root(_) => None,
        }
    }
}

impl TableFile {
    fn pinned(&self) -> Pinned<'_> {
        Pinned {
            path: &self.path,
            shown: &self.shown,
            version: self.version,
            footer_hash: self.footer_hash,
            format: self.format,
        }
    }
}
