//! Values that are no numbers.

use super::pages::Float;
use crate::archive::vectors::Fault;

/// Adds the rows that hold a NaN or an infinity and are no faults yet; the first of them is row `first` of the chunk.
pub(super) fn find_nonfinite<V: Float>(values: &[V], dim: usize, first: usize, faults: &mut Vec<(u32, Fault)>) {
    // One pass without a branch; where values are in order, as nearly everywhere, the next loop is not needed.
    if V::all_finite(values) {
        return;
    }
    let mut more = Vec::new();
    for (row, vector) in values.chunks_exact(dim).enumerate() {
        let row = (first + row) as u32;
        if let Some(dimension) = vector.iter().position(|value| !value.finite())
            && faults.binary_search_by_key(&row, |&(at, _)| at).is_err()
        {
            more.push((row, Fault::NonFinite { dimension, value: vector[dimension].wide() }));
        }
    }
    faults.extend(more);
    faults.sort_unstable_by_key(|&(row, _)| row);
}
