//! What hardware does: rounding rows to the grid, exact Gram matrices, nearest centres, projections.

pub mod dot;
mod exact_sum;
pub mod gram;
pub mod lines;
pub mod nearest;
mod projection;
pub mod quantise;

pub use exact_sum::ExactSum;
pub use projection::Projection;
