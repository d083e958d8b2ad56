//! Which leaf columns lie below the roots of a schema.

use std::collections::{HashMap, HashSet};

use parquet::file::metadata::ParquetMetaData;

/// The leaf columns of Parquet below these roots.
pub(in crate::archive) fn leaves(metadata: &ParquetMetaData, roots: &[usize]) -> Vec<usize> {
    let schema = metadata.file_metadata().schema_descr();
    let roots: HashSet<usize> = roots.iter().copied().collect();
    (0..schema.num_columns()).filter(|&leaf| roots.contains(&schema.get_column_root_idx(leaf))).collect()
}

/// The first leaf column of Parquet below each root that has one.
pub(in crate::archive) fn first_leaves(metadata: &ParquetMetaData) -> HashMap<usize, usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).rev().map(|leaf| (schema.get_column_root_idx(leaf), leaf)).collect()
}
