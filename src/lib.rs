//! nckit
pub mod archive;
pub mod batch;
pub mod error;
pub mod grid;
pub mod kernels;
pub mod linalg;
pub mod metrics;
pub mod report;
pub mod state;
