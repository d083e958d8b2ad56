//! Parquet: the footer of a file, and the rows of its row groups.

mod batches;
mod file;
mod footer;
mod leaves;
mod nonfinite;
mod pages;
mod scalars;
mod source;
mod statistics;
mod thrift;
mod vectors;

pub(super) use batches::{batches, first_length};
pub(super) use file::{FOOTER_GROWTH, Footer, footer, footer_length};
pub(super) use leaves::{first_leaves, leaves};
pub(super) use scalars::ScalarReader;
pub(super) use source::{Source, guarded};
pub(super) use statistics::{constant, range};
pub(super) use vectors::VectorReader;
