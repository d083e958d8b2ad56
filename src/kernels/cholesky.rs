//! Triangular factors of symmetric matrices.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor;
use faer::{MatMut, Par, Spec};

/// Replaces the lower triangle of a symmetric matrix `A`, `dim × dim` by columns, by `L` with `A = L Lᵀ`. Does not read
/// the rest. Returns `false` unless the matrix is positive definite in `f64`.
pub fn factorize(matrix: &mut [f64], dim: usize) -> bool {
    let scratch = factor::cholesky_in_place_scratch::<f64>(dim, Par::Seq, Spec::default());
    let factorized = factor::cholesky_in_place(
        MatMut::from_column_major_slice_mut(matrix, dim, dim),
        factor::LltRegularization::default(),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Spec::default(),
    );
    // With a NaN in the matrix some pivot is not positive.
    let positive = |pivot: f64| pivot > 0.0 && pivot.is_finite();
    factorized.is_ok() && (0..dim).all(|j| positive(matrix[j * dim + j].powi(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definite_is_what_has_a_factor() {
        let mut matrix = [4.0, 2.0, 9.0, 5.0];
        assert!(factorize(&mut matrix, 2), "the upper triangle is not looked at");
        assert_eq!([matrix[0], matrix[1], matrix[3]], [2.0, 1.0, 2.0]);
        assert!(!factorize(&mut [1.0, 2.0, 0.0, 1.0], 2));
        assert!(!factorize(&mut [1.0, f64::NAN, 0.0, 1.0], 2));
        assert!(factorize(&mut [], 0));
    }
}
