//! Errors of the library become exceptions of the package.

use nckit::cli::library;
use nckit::error::{Error, ErrorKind};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;

/// The exception for an error: its class says whose fault it is, and it carries text, facts and advice.
pub(crate) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let text = library::text(error);
    let class = match error.kind() {
        ErrorKind::Usage => "UsageError",
        ErrorKind::Data => "DataError",
        ErrorKind::Missing => "MissingError",
        ErrorKind::Internal => "InternalError",
        ErrorKind::Output => "OutputError",
        ErrorKind::Io => "IoError",
        ErrorKind::Resource => "ResourceError",
        ErrorKind::Interrupted => return PyKeyboardInterrupt::new_err(text),
    };
    let facts: Vec<(&str, &str)> = error.facts().iter().map(|(name, value)| (*name, value.as_str())).collect();
    let made = py
        .import("nckit._errors")
        .and_then(|errors| errors.call_method1("make", (class, text, error.message(), facts, error.advice())));
    made.map_or_else(|failed| failed, PyErr::from_value)
}
