//! What hardware does: rounding rows, exact Gram matrices, nearest centres, sweeps over pairs, projections,
//! triangular factors.

pub mod cholesky;
pub mod dot;
mod exact_sum;
pub mod gram;
pub mod lines;
pub mod nearest;
pub mod pairs;
mod projection;
pub mod quantise;

pub use exact_sum::ExactSum;
pub use projection::Projection;
