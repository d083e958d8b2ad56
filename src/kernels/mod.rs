//! What hardware does: rounding rows to the grid, exact Gram matrices, projections.

pub mod gram;
mod projection;
pub mod quantise;

pub use projection::Projection;
