//! Errors of files that are damaged.

use std::fmt::Display;

use super::escape::escaped;
use crate::error::{Error, ErrorKind};

/// The message of all errors about a damaged file or one in an unknown format.
pub(super) const DAMAGED: &str = "the file is damaged, or its format is not known";

/// The error of a file that is damaged or in an unknown format.
pub(super) fn damaged(detail: impl Display) -> Error {
    Error::data(DAMAGED).with("detail", escaped(&detail.to_string()))
}

/// Whether an error says that a file is damaged or in an unknown format, which [`Policy::Skip`](super::Policy::Skip) allows.
///
/// Damage in the pages of a unit is found only when the unit is read.
pub fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Data && error.message() == DAMAGED
}
