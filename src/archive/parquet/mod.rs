//! Parquet: the footer of a file, and the rows of its row groups.

mod arrays;
mod batches;
mod columns;
mod file;
mod footer;
mod footer_bytes;
mod format;
mod leaves;
mod pages;
mod parquet_bytes;
mod row_group;
mod statistics;
mod thrift;
mod vectors;

pub(super) use format::Parquet;
