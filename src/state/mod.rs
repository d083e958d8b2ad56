//! The laws and the states.

mod decisions;
mod statistics;

pub use decisions::{Decisions, Tally};
pub use statistics::Statistics;
