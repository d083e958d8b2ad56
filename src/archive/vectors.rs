//! Vectors as a unit stores them.

use super::row_policy::RowDefect;
use super::rows::Values;

/// The vectors of some rows, all of one length.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    /// Rows × D, row-major; what is at null rows and elements means nothing.
    pub(super) values: Values,
    /// The rows that are no finite vectors, ascending.
    pub(super) defects: Vec<(u32, RowDefect)>,
}
