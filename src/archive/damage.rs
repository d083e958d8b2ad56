//! Errors of files that are damaged.

use std::fmt::Display;

use super::escape::escaped;
use crate::error::{Error, ErrorKind};

/// The message of every error that says that a file is no Parquet, or damaged.
pub(super) const DAMAGED: &str = "not a Parquet file, or a damaged one";

/// The error of a file that is none, or damaged.
pub(super) fn damaged(detail: impl Display) -> Error {
    Error::data(DAMAGED).with("detail", escaped(&detail.to_string()))
}

/// Whether an error says that a file is no Parquet, or damaged: what [`Policy::Skip`](super::Policy::Skip) forgives a file.
///
/// Damage in the pages of a unit is found only when the unit is read.
pub fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Data && error.message() == DAMAGED
}
