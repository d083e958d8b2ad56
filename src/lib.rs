//! nckit
pub mod batch;
pub mod error;
pub mod kernels;
pub mod metrics;
pub mod report;
pub mod state;
