//! Vectors as a unit stores them.

use super::rows::Values;

/// The vectors of some rows, all of one length.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    /// Rows × D, row-major; what is at null rows and elements means nothing.
    pub(super) values: Values,
    /// The rows that are no finite vectors, ascending.
    pub(super) faults: Vec<(u32, Fault)>,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is null, or one of its elements is.
    Null,
    /// The first value that is a NaN or an infinity.
    NonFinite { dimension: usize, value: f64 },
}
