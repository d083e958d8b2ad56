//! The archive: finds files, chooses columns, lists units of rows, and reads them chunk by chunk.
//!
//! `container` is the interface to formats of files, `read_at` the one to their bytes; `parquet`, `npy`,
//! `safetensors`, `pt`, `ipc` and `text` are formats, and `source` opens what is read as one file. Above them, `plan` makes an `Archive` of inputs, `read` gives its chunks, and `table` shows the same files to
//! SQL. `row_policy` says which rows are used.

mod arrays;
mod braces;
mod by_path;
mod captures;
mod catalogue;
mod checksums;
mod choose;
mod chunk;
mod class_names;
mod codes;
mod container;
mod damage;
mod discover;
mod dtype;
mod duplicates;
mod escape;
mod file_columns;
mod fingerprint;
mod floats;
mod foreign;
mod formats;
mod grouping;
mod head;
mod ipc;
mod keys;
mod label_files;
mod labelled;
mod labels;
mod many;
mod names;
mod natural;
mod nested;
mod normalise;
mod npy;
mod open_files;
mod opened;
mod parquet;
mod passed;
mod pattern;
mod places;
mod plan;
mod planner;
mod pooling;
mod pt;
mod read;
mod read_at;
mod request;
mod row_policy;
mod rows;
#[cfg(test)]
mod rows_format;
mod rows_seen;
mod safetensors;
mod schema;
mod siblings;
mod source;
mod table;
mod tensor_index;
mod text;
mod unit_rows;
mod unusable;
mod vectors;
mod wide;
mod zip;

use crate::batch::Label;
use crate::error::Result;

pub use catalogue::{File, Planned};
pub(crate) use class_names::metadata as class_names_metadata;
#[cfg(feature = "sql")]
pub(crate) use codes::nan_as_null;
pub use damage::is_damage;
pub(crate) use damage::reason as bad_file_reason;
pub(crate) use discover::hive_keys;
#[cfg(feature = "cli")]
pub(crate) use discover::would_read;
pub use dtype::Dtype;
#[cfg(feature = "cli")]
pub(crate) use escape::commands_terminal;
pub(crate) use escape::escaped;
#[cfg(feature = "sql")]
pub(crate) use head::LEAST_SQUARES;
pub use head::{ClassNames, HeadInMemory, HeadPath, HeadRows, HeadSource, Naming, Outline, Spellings, StoredHead, Way};
pub(crate) use labels::add_counts;
pub use labels::{LabelCounts, LabelsSeen};
pub(crate) use names::is_label_name;
pub(crate) use natural::natural;
#[cfg(feature = "sql")]
pub(crate) use normalise::to_unit_length;
pub(crate) use normalise::{at_unit_length, first_of_zeros};
pub(crate) use open_files::FOOTER_MEMORY;
pub use opened::{Archive, ColumnChoice};
pub use passed::Passed;
pub(crate) use pooling::{Pooled, pooled, summary as pooled_summary};
pub use read::UnitReader;
pub use request::{Key, Policy, Request};
#[cfg(feature = "sql")]
pub(crate) use row_policy::{RowAdvice, RowCheck, RowDefect, RowPolicy, RowStatus};
pub use rows::{DecodedChunk, GroupRows, Skipped, Unit, Values, chunk_rows};
pub(crate) use schema::type_name;
pub(crate) use table::LeftOut;
pub use table::{ChunkGrid, Table, TableColumn, TableFilter, TableReader, TableRows, Wanted};

/// The code of a row without a label in [`code_labels`].
pub const NO_LABEL: u32 = codes::NULL;

/// Encodes the labels of an array: one code a row, and the labels that the codes stand for; [`NO_LABEL`] is a null.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) with the row for a float that is not an exactly representable integer.
pub fn code_labels(array: &arrow::array::ArrayRef) -> Result<(Vec<u32>, Vec<Label>)> {
    let codes::Coded { codes, values } = codes::coded(array, 0)?;
    Ok((codes, values))
}
