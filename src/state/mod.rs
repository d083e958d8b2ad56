//! The laws and the states.

mod statistics;

pub use statistics::Statistics;
