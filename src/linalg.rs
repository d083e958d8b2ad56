//! Dense linear algebra for the metrics. No other room but `kernels` sees a type of faer.
//!
//! Matrices are row-major slices. Every result has the same bits for any number of threads: factorizations run on one
//! thread, and products in parallel over panels of fixed size, each of them one product on one thread.

use std::ops::Range;

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::linalg::{evd, qr::no_pivoting::factor as qr, svd};
use faer::{Accum, MatMut, MatRef, Par, Spec};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kernels::cholesky::factorize;

/// Rows of a panel of a product: enough for the product to be efficient, few enough for all threads to have one.
const PANEL: usize = 128;

/// Rows of a panel that is reduced to a triangle, at least.
const TALL: usize = 1024;

/// Eigenvalues, largest first, and their eigenvectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// Descending.
    pub values: Vec<f64>,
    /// Orthonormal rows, `dim × dim`.
    pub vectors: Vec<f64>,
}

/// Singular values, largest first, and the singular vectors of one side.
#[derive(Clone, Debug, PartialEq)]
pub struct Singular {
    /// Descending, at least 0.
    pub values: Vec<f64>,
    /// Orthonormal rows, one for each value, each as long as a row of the matrix.
    pub vectors: Vec<f64>,
}

/// Decomposes a symmetric matrix, `dim × dim`.
///
/// # Errors
///
/// [`Internal`](crate::error::ErrorKind::Internal) if entries are not finite, or the iteration does not converge.
pub fn symmetric_eigen(matrix: &[f64], dim: usize) -> Result<Eigen> {
    check_finite(matrix)?;
    let (mut values, mut vectors) = (vec![0.0; dim], vec![0.0; dim * dim]);
    let scratch = evd::self_adjoint_evd_scratch::<f64>(dim, evd::ComputeEigenvectors::Yes, Par::Seq, Spec::default());
    evd::self_adjoint_evd(
        MatRef::from_column_major_slice(matrix, dim, dim),
        faer::diag::DiagMut::from_slice_mut(&mut values),
        Some(MatMut::from_column_major_slice_mut(&mut vectors, dim, dim)),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Spec::default(),
    )
    .map_err(|_| not_converged())?;
    values.reverse();
    for r in 0..dim / 2 {
        let (head, tail) = vectors.split_at_mut((dim - 1 - r) * dim);
        head[r * dim..][..dim].swap_with_slice(&mut tail[..dim]);
    }
    Ok(Eigen { values, vectors })
}

/// Singular values and right singular vectors of a matrix with rows of length `dim`.
///
/// # Errors
///
/// Those of [`symmetric_eigen`].
pub fn right_singular(rows: &[f64], dim: usize) -> Result<Singular> {
    right_singular_of(rows.len() / dim, dim, |at, row| row.copy_from_slice(&rows[at * dim..][..dim]))
}

/// The same for so many rows that `fill` writes, each by its number: a tall matrix is never held as a whole. It is first
/// reduced to triangles, panel by panel.
///
/// # Errors
///
/// Those of [`symmetric_eigen`].
pub fn right_singular_of(count: usize, dim: usize, fill: impl Fn(usize, &mut [f64]) + Sync) -> Result<Singular> {
    let panel = TALL.max(2 * dim);
    let (mut rows, mut count) =
        if count > 2 * panel { triangles(count, dim, panel, fill)? } else { (filled(0..count, dim, fill)?, count) };
    while count > 2 * panel {
        (rows, count) = triangles(count, dim, panel, |at, row| row.copy_from_slice(&rows[at * dim..][..dim]))?;
    }
    let rank = count.min(dim);
    let (mut values, mut vectors) = (vec![0.0; rank], vec![0.0; rank * dim]);
    let (left, right) = (svd::ComputeSvdVectors::Thin, svd::ComputeSvdVectors::No);
    let scratch = svd::svd_scratch::<f64>(dim, count, left, right, Par::Seq, Spec::default());
    svd::svd(
        MatRef::from_column_major_slice(&rows, dim, count),
        faer::diag::DiagMut::from_slice_mut(&mut values),
        Some(MatMut::from_column_major_slice_mut(&mut vectors, dim, rank)),
        None,
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Spec::default(),
    )
    .map_err(|_| not_converged())?;
    Ok(Singular { values, vectors })
}

/// Rows of these numbers, all finite.
fn filled(numbers: Range<usize>, dim: usize, fill: impl Fn(usize, &mut [f64])) -> Result<Vec<f64>> {
    let mut rows = vec![0.0; numbers.len() * dim];
    rows.chunks_exact_mut(dim).zip(numbers).for_each(|(row, number)| fill(number, row));
    check_finite(&rows)?;
    Ok(rows)
}

/// The triangular factors of panels of so many rows, one below the other, and how many rows these are: the Gram matrix is the
/// same. A last panel of no more than `dim` rows stays as it is.
fn triangles(
    count: usize,
    dim: usize,
    panel: usize,
    fill: impl Fn(usize, &mut [f64]) + Sync,
) -> Result<(Vec<f64>, usize)> {
    let left = count / panel * dim + (count % panel).min(dim);
    let mut factors = vec![0.0; left * dim];
    let reduced: Vec<Result<()>> = factors
        .par_chunks_mut(dim * dim)
        .enumerate()
        .map(|(at, factor)| {
            triangle(&filled(at * panel..count.min((at + 1) * panel), dim, &fill)?, dim, factor);
            Ok(())
        })
        .collect();
    reduced.into_iter().collect::<Result<()>>()?;
    Ok((factors, left))
}

/// Writes the triangular factor of a matrix with rows of length `dim`, or its rows if there are no more than `dim`.
fn triangle(rows: &[f64], dim: usize, triangle: &mut [f64]) {
    let count = rows.len() / dim;
    if count <= dim {
        return triangle.copy_from_slice(rows);
    }
    let mut factor = vec![0.0; count * dim];
    let mut matrix = MatMut::from_column_major_slice_mut(&mut factor, count, dim);
    matrix.copy_from(MatRef::from_row_major_slice(rows, count, dim));
    let block = qr::recommended_block_size::<f64>(count, dim);
    let mut householder = vec![0.0; block * dim];
    let scratch = qr::qr_in_place_scratch::<f64>(count, dim, block, Par::Seq, Spec::default());
    qr::qr_in_place(
        matrix,
        MatMut::from_column_major_slice_mut(&mut householder, block, dim),
        Par::Seq,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Spec::default(),
    );
    for i in 0..dim {
        for j in i..dim {
            triangle[i * dim + j] = factor[j * count + i];
        }
    }
}

/// `a b`: `a` has rows of length `inner`, `b` is `inner × cols`.
pub fn product(a: &[f64], b: &[f64], inner: usize, cols: usize) -> Vec<f64> {
    multiply(
        MatRef::from_row_major_slice(a, a.len() / inner.max(1), inner),
        MatRef::from_row_major_slice(b, inner, cols),
    )
}

/// `a bᵀ`: both have rows of length `inner`.
pub fn product_transposed(a: &[f64], b: &[f64], inner: usize) -> Vec<f64> {
    multiply(
        MatRef::from_row_major_slice(a, a.len() / inner.max(1), inner),
        MatRef::from_row_major_slice(b, b.len() / inner.max(1), inner).transpose(),
    )
}

/// `aᵀ b`: `a` has rows of length `a_cols`, `b` as many rows of length `b_cols`.
pub fn transposed_product(a: &[f64], b: &[f64], a_cols: usize, b_cols: usize) -> Vec<f64> {
    let rows = a.len() / a_cols.max(1);
    multiply(MatRef::from_row_major_slice(a, rows, a_cols).transpose(), MatRef::from_row_major_slice(b, rows, b_cols))
}

fn multiply(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Vec<f64> {
    let cols = b.ncols();
    let mut out = vec![0.0; a.nrows() * cols];
    out.par_chunks_mut((PANEL * cols).max(1)).enumerate().for_each(|(panel, out)| {
        let height = out.len() / cols;
        let rows = a.subrows(panel * PANEL, height);
        matmul(MatMut::from_row_major_slice_mut(out, height, cols), Accum::Replace, rows, b, 1.0, Par::Seq);
    });
    out
}

/// `aᵀ a` of a matrix with rows of length `dim`: `dim × dim`, both triangles.
pub fn gram(a: &[f64], dim: usize) -> Vec<f64> {
    symmetric_product(MatRef::from_row_major_slice(a, a.len() / dim.max(1), dim).transpose())
}

/// `a aᵀ` of a matrix with rows of length `dim`: rows × rows, both triangles.
pub fn outer_gram(a: &[f64], dim: usize) -> Vec<f64> {
    symmetric_product(MatRef::from_row_major_slice(a, a.len() / dim.max(1), dim))
}

/// `a aᵀ`, panel by panel: each panel of rows up to the end of its diagonal block, and then the mirror image.
fn symmetric_product(a: MatRef<'_, f64>) -> Vec<f64> {
    let size = a.nrows();
    let mut out = vec![0.0; size * size];
    out.par_chunks_mut((PANEL * size).max(1)).enumerate().for_each(|(panel, out)| {
        let (start, height) = (panel * PANEL, out.len() / size);
        let dst = MatMut::from_row_major_slice_mut(out, height, size).subcols_mut(0, start + height);
        let (rows, cols) = (a.subrows(start, height), a.subrows(0, start + height).transpose());
        matmul(dst, Accum::Replace, rows, cols, 1.0, Par::Seq);
    });
    mirror(&mut out, size);
    out
}

/// Copies the lower triangle of a matrix to the upper one, tile by tile.
fn mirror(matrix: &mut [f64], size: usize) {
    const TILE: usize = 32;
    for rows in (0..size).step_by(TILE) {
        for cols in (0..=rows).step_by(TILE) {
            for i in rows..(rows + TILE).min(size) {
                for j in cols..(cols + TILE).min(i) {
                    matrix[j * size + i] = matrix[i * size + j];
                }
            }
        }
    }
}

/// `A = L Lᵀ` of a symmetric positive definite matrix.
#[derive(Clone, Debug)]
pub struct Cholesky {
    /// The lower triangle by columns, `dim × dim`.
    factor: Vec<f64>,
    dim: usize,
}

impl Cholesky {
    /// Factorizes a symmetric matrix, `dim × dim`; `None` unless it is positive definite.
    pub fn new(matrix: &[f64], dim: usize) -> Option<Self> {
        let mut factor = matrix.to_vec();
        factorize(&mut factor, dim).then_some(Self { factor, dim })
    }

    /// The squared diagonal of `L`: the part of the variance of each variable that the ones before it do not explain.
    pub fn pivots(&self) -> impl Iterator<Item = f64> {
        (0..self.dim).map(|j| self.factor[j * self.dim + j].powi(2))
    }

    /// Replaces each row `y` by `L⁻¹ y`.
    pub fn solve_lower(&self, rows: &mut [f64]) {
        self.panels(rows, |factor, columns| solve_lower_triangular_in_place(factor, columns, Par::Seq));
    }

    /// Replaces each row `y` by `L⁻ᵀ y`.
    pub fn solve_lower_transposed(&self, rows: &mut [f64]) {
        self.panels(rows, |factor, columns| solve_upper_triangular_in_place(factor.transpose(), columns, Par::Seq));
    }

    /// Replaces each row `y` by `A⁻¹ y`: the matrix `X` by `X A⁻¹`.
    pub fn solve(&self, rows: &mut [f64]) {
        self.solve_lower(rows);
        self.solve_lower_transposed(rows);
    }

    /// `A⁻¹`, both triangles: `L⁻ᵀ L⁻¹`, of which only what is not 0 is made.
    pub fn inverse(&self) -> Vec<f64> {
        let dim = self.dim;
        let factor = MatRef::from_column_major_slice(&self.factor, dim, dim);
        // L⁻¹ by columns, a panel of them at a time. Above its first column a panel is 0.
        let mut root = vec![0.0; dim * dim];
        root.par_chunks_mut((PANEL * dim).max(1)).enumerate().for_each(|(panel, columns)| {
            let (start, width) = (panel * PANEL, columns.len() / dim);
            (0..width).for_each(|j| columns[j * dim + start + j] = 1.0);
            let below = MatMut::from_column_major_slice_mut(columns, dim, width).subrows_mut(start, dim - start);
            solve_lower_triangular_in_place(factor.submatrix(start, start, dim - start, dim - start), below, Par::Seq);
        });
        let root = MatRef::from_column_major_slice(&root, dim, dim);
        let mut inverse = vec![0.0; dim * dim];
        inverse.par_chunks_mut((PANEL * dim).max(1)).enumerate().for_each(|(panel, out)| {
            let (start, height) = (panel * PANEL, out.len() / dim);
            let below = root.subrows(start, dim - start);
            let (rows, cols) = (below.subcols(start, height).transpose(), below.subcols(0, start + height));
            let dst = MatMut::from_row_major_slice_mut(out, height, dim).subcols_mut(0, start + height);
            matmul(dst, Accum::Replace, rows, cols, 1.0, Par::Seq);
        });
        mirror(&mut inverse, dim);
        inverse
    }

    /// Rows are the columns of a column-major matrix.
    fn panels(&self, rows: &mut [f64], solve: impl Fn(MatRef<'_, f64>, MatMut<'_, f64>) + Sync) {
        let dim = self.dim;
        let factor = MatRef::from_column_major_slice(&self.factor, dim, dim);
        rows.par_chunks_mut((PANEL * dim).max(1)).for_each(|rows| {
            let count = rows.len() / dim;
            solve(factor, MatMut::from_column_major_slice_mut(rows, dim, count));
        });
    }
}

fn check_finite(matrix: &[f64]) -> Result<()> {
    if matrix.iter().all(|entry| entry.is_finite()) {
        Ok(())
    } else {
        Err(Error::internal("a matrix to be decomposed has entries that are not finite"))
    }
}

fn not_converged() -> Error {
    Error::internal("a matrix decomposition does not converge")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize) -> Vec<f64> {
        let mut state = 11_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn naive(a: &[f64], b: &[f64], inner: usize, cols: usize) -> Vec<f64> {
        let entry = |i: usize, j: usize| (0..inner).map(|l| a[i * inner + l] * b[l * cols + j]).sum();
        (0..a.len() / inner).flat_map(|i| (0..cols).map(move |j| (i, j))).map(|(i, j)| entry(i, j)).collect()
    }

    fn transpose(a: &[f64], cols: usize) -> Vec<f64> {
        (0..cols).flat_map(|j| a.iter().skip(j).step_by(cols).copied()).collect()
    }

    fn assert_close(a: &[f64], b: &[f64], tolerance: f64) {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() <= tolerance, "{a} {b}"));
    }

    #[test]
    fn products_equal_the_naive_ones() {
        for (rows, inner, cols) in [(1, 1, 1), (3, 5, 2), (300, 7, 130)] {
            let (a, b) = (numbers(rows * inner), numbers(inner * cols));
            let expected = naive(&a, &b, inner, cols);
            assert_close(&product(&a, &b, inner, cols), &expected, 1e-13);
            assert_close(&product_transposed(&a, &transpose(&b, cols), inner), &expected, 1e-13);
            assert_close(&transposed_product(&transpose(&a, inner), &b, rows, cols), &expected, 1e-13);
            assert_close(&outer_gram(&a, inner), &naive(&a, &transpose(&a, inner), inner, rows), 1e-13);
            assert_close(&gram(&a, inner), &naive(&transpose(&a, inner), &a, rows, inner), 1e-12);
        }
    }

    #[test]
    fn a_diagonal_matrix_has_its_entries_as_eigenvalues() {
        let eigen = symmetric_eigen(&[2.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0], 3).unwrap();
        assert_close(&eigen.values, &[5.0, 2.0, -1.0], 1e-15);
        let magnitudes: Vec<f64> = eigen.vectors.iter().map(|x| x.abs()).collect();
        assert_close(&magnitudes, &[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 1e-15);
        assert!(symmetric_eigen(&[f64::NAN], 1).is_err());
    }

    #[test]
    fn eigenvectors_are_rows_that_rebuild_the_matrix() {
        let dim = 40;
        let matrix = gram(&numbers(60 * dim), dim);
        let Eigen { values, vectors } = symmetric_eigen(&matrix, dim).unwrap();
        let scaled: Vec<f64> =
            vectors.chunks(dim).zip(&values).flat_map(|(row, value)| row.iter().map(move |x| x * value)).collect();
        assert_close(&product(&transpose(&vectors, dim), &scaled, dim, dim), &matrix, 1e-12);
        assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn singular_values_squared_are_eigenvalues_whatever_the_shape() {
        for (count, dim) in [(3, 8), (8, 3), (20, 20), (5000, 6)] {
            let rows = numbers(count * dim);
            let Singular { values, vectors } = right_singular(&rows, dim).unwrap();
            let eigen = symmetric_eigen(&gram(&rows, dim), dim).unwrap();
            let squares: Vec<f64> = values.iter().map(|s| s * s).collect();
            assert_close(&squares, &eigen.values[..values.len()], 1e-12 * count as f64);
            // ‖A v‖ = σ
            let images = product_transposed(&vectors, &rows, dim);
            let norms: Vec<f64> =
                images.chunks(count).map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
            assert_close(&norms, &values, 1e-12 * count as f64);
        }
    }

    #[test]
    fn systems_are_solved_and_indefinite_ones_refused() {
        // More than a panel, and not a multiple of one.
        let dim = 150;
        let mut matrix = gram(&numbers(400 * dim), dim);
        let cholesky = Cholesky::new(&matrix, dim).unwrap();
        let x = numbers(200 * dim);
        let mut solved = product(&x, &matrix, dim, dim);
        cholesky.solve(&mut solved);
        assert_close(&solved, &x, 1e-11);
        let inverse = cholesky.inverse();
        let identity: Vec<f64> = (0..dim * dim).map(|at| f64::from(u8::from(at / dim == at % dim))).collect();
        assert_close(&product(&inverse, &matrix, dim, dim), &identity, 1e-11);
        matrix[0] = -1.0;
        assert!(Cholesky::new(&matrix, dim).is_none());
        assert!(Cholesky::new(&[1.0, 1.0, 1.0, 1.0], 2).is_none());
        assert!(Cholesky::new(&[f64::NAN], 1).is_none());
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let dim = 150;
        let rows = numbers(3000 * dim);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let gram = gram(&rows, dim);
                let mut solved = rows.clone();
                let cholesky = Cholesky::new(&gram, dim).unwrap();
                cholesky.solve(&mut solved);
                (gram, solved, cholesky.inverse(), right_singular(&rows, dim).unwrap().values)
            })
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(7));
    }
}
