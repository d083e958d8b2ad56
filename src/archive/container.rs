//! What every format of files has to offer: columns, and units of rows that are read in chunks.
//!
//! Nothing above these traits knows a format. One is added as `docs/adding-a-format.md` describes.

use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;

use super::dtype::VectorType;
use super::read_at::ReadAt;
use super::rows::Values;
use super::vectors::Vectors;
use crate::batch::Label;
use crate::error::{Error, Result};

/// Which arrays of a file are read, by their names in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ArrayNames {
    pub(super) features: String,
    /// `None` if the labels are elsewhere, or there are none.
    pub(super) labels: Option<String>,
}

/// A format of files.
pub(super) trait Format: fmt::Debug + Sync {
    /// What a file of this format is, as `a NumPy array (.npy)`.
    fn what(&self) -> &'static str;

    /// Of several formats that a search finds, only files of the one with the least number are read: weights, caches and
    /// parts of tables often lie beside the tables themselves.
    fn precedence(&self) -> u8;

    /// Extensions, in small letters, of files that are of this format whatever is in them.
    fn extensions(&self) -> &'static [&'static str];

    /// Whether a file with these first and last bytes looks like this format, even if it is damaged.
    fn recognises(&self, head: &[u8], tail: &[u8]) -> bool;

    /// Whether its files are tables with marks between fields, as files of labels are too, with a header or without.
    fn is_table_in_text(&self) -> bool {
        false
    }

    /// Bytes of memory that [`open`](Self::open) takes.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64>;

    /// Reads what a file says of its rows, and no rows.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>>;

    /// The same of these arrays of a file, as the columns [`FEATURE`] and [`LABEL`].
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open); [`Usage`](crate::error::ErrorKind::Usage) if there are no such arrays.
    fn open_arrays(&self, _bytes: &Arc<dyn ReadAt>, _names: &ArrayNames) -> Result<Arc<dyn Container>> {
        Err(no_arrays(self.what()))
    }

    /// One column of a file, whatever else is in it, where a name says which; all of them in files whose columns go together.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    fn open_one(&self, bytes: &Arc<dyn ReadAt>, _name: &str) -> Result<Arc<dyn Container>> {
        self.open(bytes)
    }

    /// The names of its arrays that have more than one number a row, as features do.
    ///
    /// # Errors
    ///
    /// Those of [`open_arrays`](Self::open_arrays).
    fn feature_arrays(&self, _bytes: &Arc<dyn ReadAt>) -> Result<Vec<String>> {
        Err(no_arrays(self.what()))
    }
}

fn no_arrays(what: &str) -> Error {
    Error::usage("only .npz, .safetensors and .pt files have arrays to choose from").with("file is", what)
}

/// The columns of files that do not name them.
pub(super) const FEATURE: &str = "feature";
pub(super) const LABEL: &str = "label";

/// What a file says of its columns and units. The file itself may be closed, so containers of many files can be kept.
pub(super) trait Container: fmt::Debug + Send + Sync {
    /// A hash of whatever describes the content, as a footer does. Ledgers keep it, together with size and time of
    /// writing, so it has to stay the same in every version of this crate.
    fn fingerprint(&self) -> u64;

    /// Bytes of memory that this takes.
    fn memory(&self) -> u64;

    /// The columns, in the order of the file.
    fn columns(&self) -> &[StoredColumn];

    /// Columns and arrays of the file that are not among [`columns`](Self::columns), since they are not read.
    fn unread(&self) -> &[Unread] {
        &[]
    }

    /// How many units the file has. One thread reads a unit, and a ledger counts it as one entry. A chunk lies within one unit,
    /// so results depend on where units begin. Formats without row groups have units of one fixed number of rows.
    fn units(&self) -> usize;

    /// The rows of a unit; they add up to no more than `u64::MAX`.
    fn rows(&self, unit: usize) -> u64;

    /// Bytes of some columns of a unit, as stored.
    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64;

    /// Bytes of the strings among some columns of a unit, before compression.
    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64;

    /// The least and the greatest value of a column in a unit, nulls aside, if that is known without reading rows.
    fn range(&self, _unit: usize, _column: usize) -> Option<(Label, Label)> {
        None
    }

    /// The one value that a column has in every row of a unit, if that is known without reading rows.
    fn constant(&self, _unit: usize, _column: usize) -> Option<Label> {
        None
    }

    /// Fails if these columns cannot be read, as for a compression that is not supported.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the column.
    fn check_readable(&self, _columns: &[usize]) -> Result<()> {
        Ok(())
    }

    /// Whether a checksum protects the values of a column.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn has_checksums(&self, _bytes: &Arc<dyn ReadAt>, _column: usize) -> Result<bool> {
        Ok(false)
    }

    /// The file that holds a column, for people, if that is not the file of the features.
    fn file_of(&self, _column: usize) -> Option<&str> {
        None
    }

    /// What the classes 0, 1, … of a column of labels are called, if the file says so.
    fn class_names(&self, _column: usize) -> Option<Vec<String>> {
        None
    }

    /// The length of the first vector in a column that is not null; for columns whose type does not say it.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the unit if the vector is empty or the file is damaged.
    fn first_length(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>>;

    /// Opens a unit. `bytes` is the file that this container was made from, or one of the same content.
    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit>;
}

/// A column or an array that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) name: String,
    /// Its type, or what it is: for people.
    pub(super) kind: String,
    /// Whether whoever measures the file should know.
    pub(super) is_told: bool,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StoredColumn {
    pub(super) name: String,
    /// The type of its arrays. Vectors are lists of any kind, or fixed-size binary.
    pub(super) data_type: DataType,
    /// The type that its writer gave it, which may say more: that lists have a fixed size, or that strings are in a
    /// dictionary.
    pub(super) written_type: DataType,
    /// Whether a column of fixed-size binary may hold numbers; UUIDs, decimals and intervals do not.
    pub(super) is_plain: bool,
    /// Whether its numbers are decimals in a text, which have no type until they are read.
    pub(super) is_decimal: bool,
    /// Whether its `f32` are bf16 in the file.
    pub(super) is_bf16: bool,
    /// Whether it is a field of a struct, which is a column of the file as a whole too.
    pub(super) is_field: bool,
    /// Of a column in a text that holds no numbers: the first line on which it has something else, and what.
    pub(super) first_text: Option<(u64, String)>,
    /// Of vectors whose elements are in columns of their own: a hash of the names of these, and some of them for people.
    pub(super) elements: Option<(u64, String)>,
}

impl StoredColumn {
    /// A column of a type that says all of it.
    pub(super) fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            written_type: data_type.clone(),
            data_type,
            is_plain: true,
            is_decimal: false,
            is_bf16: false,
            is_field: false,
            first_text: None,
            elements: None,
        }
    }
}

/// A unit whose rows are being read.
pub(super) trait OpenUnit: fmt::Debug + Send {
    /// Reads a column of vectors of `dim` elements; `dim` is 0 if all vectors of the column are null.
    ///
    /// `chunk` is a power of two: all calls of [`VectorStream::next`] but the last ask for so many rows.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, chunk: usize) -> Result<Box<dyn VectorStream>>;

    /// Reads columns of one element each as vectors, element by element. `None` if that is not done better than through
    /// [`arrays`](Self::arrays); texts do it, whose decimals have no type before they are read.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn wide(&self, _columns: &[usize], _kind: VectorType) -> Result<Option<Box<dyn VectorStream>>> {
        Ok(None)
    }

    /// Reads columns of any type, which ascend, `rows` rows at a time.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn arrays(&self, columns: &[usize], rows: usize, strings: Strings) -> Result<Box<dyn ArrayStream>>;
}

/// How strings are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strings {
    /// As arrays of `Utf8`.
    Plain,
    /// As dictionaries of `Int32` and `Utf8`, in which a string that repeats itself is held once, or else as `Utf8`.
    Dictionary,
}

/// The vectors of a unit, in order.
pub(super) trait VectorStream: fmt::Debug + Send {
    /// The next `rows` rows, the first of which is row `base` of the unit.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the row for a vector of another length, and if the file is damaged.
    fn next(&mut self, rows: usize, base: u64) -> Result<Vectors>;

    /// Takes memory for the next rows.
    fn reuse(&mut self, values: Values);

    /// Whether all rows have been read.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn is_at_end(&mut self) -> Result<bool>;
}

/// Columns of a unit as arrays, in order.
pub(super) trait ArrayStream: fmt::Debug + Send {
    /// The next `rows` rows of each column.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged or has fewer rows.
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>>;

    /// Whether all rows have been read.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    fn is_at_end(&mut self) -> Result<bool>;
}
