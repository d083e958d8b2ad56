//! Tables in text: CSV with any of three marks between fields, JSON lines, and arrays of JSON objects.
//!
//! One pass over a file (`survey`) finds the type of every column, from all of its rows, and where units begin; that is
//! all that is kept. Numbers stay decimals until they are read, and become the nearest `f64` or `f32`, as is asked for.

mod bytes;
mod decimals;
mod file;
mod format;
mod json;
mod kinds;
mod labels;
mod lines;
mod records;
mod streams;
mod survey;

pub(super) use format::{Csv, JSON_LINES, JsonArray, JsonLines, is_text};
pub(super) use labels::open_labels;
