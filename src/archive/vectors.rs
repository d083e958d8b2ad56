//! The vectors of some rows.

use super::row_policy::RowDefect;
use super::rows::Values;

/// The vectors of some rows, all of one length.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    /// Rows × D, row-major; the values of null rows and elements have no meaning.
    pub(super) values: Values,
    /// The rows whose vector is null or not finite, ascending.
    pub(super) defects: Vec<(u32, RowDefect)>,
}
