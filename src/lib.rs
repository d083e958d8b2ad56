//! nckit
pub mod batch;
pub mod error;
pub mod metrics;
pub mod report;
pub mod state;
