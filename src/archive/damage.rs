//! Errors of files that are damaged.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::escape::escaped;
use crate::error::{Error, ErrorKind, Result};

/// The message of all errors about a damaged file or one in an unknown format.
pub(super) const DAMAGED: &str = "the file is damaged, or its format is not known";

/// The error of a file that is damaged or in an unknown format.
pub(super) fn damaged(detail: impl Display) -> Error {
    Error::data(DAMAGED).with("detail", escaped(&detail.to_string()))
}

/// Why a file is left out: what is wrong with it, or with the file of its labels, which is then named.
pub(crate) fn reason(error: &Error, shown: &str) -> String {
    let detail = error.fact("detail").unwrap_or(error.message());
    match error.fact("file").filter(|file| *file != shown) {
        Some(labels) => format!("its labels {labels}: {detail}; rows and labels are left out"),
        None => detail.to_owned(),
    }
}

/// Runs code of a decoder, which may panic on damaged bytes.
pub(super) fn guarded<T, E: Display>(work: impl FnOnce() -> Result<T, E>) -> Result<T> {
    // What the closure held is not used again after an error.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome.map_err(damaged),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(damaged(text.unwrap_or("the decoder gave up")))
        }
    }
}

/// Whether an error says that a file is damaged or in an unknown format, which [`Policy::Skip`](super::Policy::Skip) allows.
///
/// Damage in the pages of a unit is found only when the unit is read.
pub fn is_damage(error: &Error) -> bool {
    error.kind() == ErrorKind::Data && error.message() == DAMAGED
}
