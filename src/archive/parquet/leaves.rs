//! Which leaf columns lie below the roots of a schema.

use std::ops::Range;

use parquet::file::metadata::ParquetMetaData;

/// The leaf columns below a root. They follow one another, in the order of the roots.
pub(super) fn leaves_of(metadata: &ParquetMetaData, root: usize) -> Range<usize> {
    let schema = metadata.file_metadata().schema_descr();
    let first = |root: usize| {
        let (mut low, mut high) = (0, schema.num_columns());
        while low < high {
            let middle = usize::midpoint(low, high);
            if schema.get_column_root_idx(middle) < root {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    first(root)..first(root + 1)
}
