//! What hardware does: rounding rows to the grid, exact Gram matrices, pairs of classes, projections.

pub mod gram;
pub mod pairs;
mod projection;
pub mod quantise;

pub use projection::Projection;
