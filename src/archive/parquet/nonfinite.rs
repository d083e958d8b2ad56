//! Finds values that are not finite.

use super::pages::Float;
use crate::archive::row_policy::RowDefect;

/// Adds the rows that hold a NaN or an infinity and have no other defect; the first row is row `first` of the chunk.
pub(super) fn find_nonfinite<V: Float>(values: &[V], dim: usize, first: usize, defects: &mut Vec<(u32, RowDefect)>) {
    // One pass without branches. Values are almost always finite, and then the loop below is not needed.
    if V::all_finite(values) {
        return;
    }
    let mut more = Vec::new();
    for (row, vector) in values.chunks_exact(dim).enumerate() {
        let row = (first + row) as u32;
        if let Some(dimension) = vector.iter().position(|value| !value.finite())
            && defects.binary_search_by_key(&row, |&(at, _)| at).is_err()
        {
            more.push((row, RowDefect::NonFinite { dimension, value: vector[dimension].wide() }));
        }
    }
    defects.extend(more);
    defects.sort_unstable_by_key(|&(row, _)| row);
}
