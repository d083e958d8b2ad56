//! NC1 without the decomposition of a matrix, for the many replicates of error bars.
//!
//! Where no direction is left out, the same numbers come from systems of linear equations, in a twentieth of the time and
//! with fewer digits: enough for differences between replicates.

use super::normaliser;
use super::vci::WeightedMeans;
use crate::kernels::dot::dot;
use crate::linalg::{self, Cholesky};
use crate::metrics::vectors::Vectors;
use crate::metrics::{Centring, Options};
use crate::state::Statistics;

/// Matrices of fewer rows are decomposed quickly.
const LARGE: usize = 128;

/// A pivot below this share of the largest leaves too few digits.
const LEAST_PIVOT: f64 = 1e-7;

/// `nc1_pinv` if all directions count; `None` if it is not to be had in this way.
///
/// ```text
/// K > D:  tr(S_W (CᵀC)⁻¹)/n          K ≤ D:  tr(Yᵀ S_W Y)/n,   Y = Cᵀ (C Cᵀ + α 1 1ᵀ)⁻¹
/// ```
///
/// with the centred means `C` and the divisor `n` of `Σ_W`; any `α > 0` will do, since `1ᵀ C = 0`.
pub(in crate::metrics) fn pinv(statistics: &Statistics, means: &Vectors, options: &Options) -> Option<f64> {
    let (dim, classes) = (statistics.dim, statistics.classes());
    let scatter = statistics.scatter.as_ref()?;
    if dim.min(classes) < LARGE || options.centring != Centring::Class {
        return None;
    }
    let trace = if classes > dim {
        dot(&factor(means.gram(), dim)?.inverse(), scatter)
    } else {
        let mut gram = linalg::outer_gram(&means.values, dim);
        let shift = (0..classes).map(|k| gram[k * classes + k]).sum::<f64>() / (classes * classes) as f64;
        for entry in &mut gram {
            *entry += shift;
        }
        let mut solved: Vec<f64> = (0..dim).flat_map(|j| means.values.iter().skip(j).step_by(dim).copied()).collect();
        factor(&gram, classes)?.solve(&mut solved);
        let images = linalg::product(scatter, &solved, dim, classes);
        solved.iter().zip(&images).map(|(x, image)| x * image).sum()
    };
    let factor = if options.divide_by_k { 1.0 } else { classes as f64 };
    let value = factor * trace / (normaliser(statistics, options).ok()? * means.unit * means.unit);
    value.is_finite().then_some(value)
}

/// `nc1_vci` if all directions count; `None` if it is not to be had in this way.
///
/// ```text
/// K > D:  tr(Σ_T⁻¹ Σ_W)/D          K ≤ D:  (tr((I + Z Zᵀ)⁻¹) − 1)/(K − 1),   Z = M L⁻ᵀ,   L Lᵀ = Σ_W
/// ```
///
/// with the weighted means `M`, `Σ_B = MᵀM`, which are of rank `K − 1`.
pub(in crate::metrics) fn vci(statistics: &Statistics) -> Option<f64> {
    let (dim, classes, rows) = (statistics.dim, statistics.classes(), statistics.rows() as f64);
    let scatter = statistics.scatter.as_ref()?;
    if dim.min(classes) < LARGE {
        return None;
    }
    // In units of the deviations within classes.
    let inverse: Vec<f64> = (0..dim).map(|j| (scatter[j * dim + j] / rows).sqrt().recip()).collect();
    if !inverse.iter().all(|x| x.is_finite()) {
        return None;
    }
    let mut within = scatter.clone();
    for (row, a) in within.chunks_exact_mut(dim).zip(&inverse) {
        row.iter_mut().zip(&inverse).for_each(|(entry, b)| *entry *= a * b / rows);
    }
    let mut means = WeightedMeans::of(statistics).matrix();
    means.chunks_exact_mut(dim).for_each(|row| row.iter_mut().zip(&inverse).for_each(|(x, scale)| *x *= scale));
    if classes > dim {
        let mut total = linalg::gram(&means, dim);
        total.iter_mut().zip(&within).for_each(|(total, within)| *total += within);
        return Some(dot(&factor(&total, dim)?.inverse(), &within) / dim as f64);
    }
    factor(&within, dim)?.solve_lower(&mut means);
    let mut gram = linalg::outer_gram(&means, dim);
    (0..classes).for_each(|k| gram[k * classes + k] += 1.0);
    let mut inverse = vec![0.0; classes * classes];
    (0..classes).for_each(|k| inverse[k * classes + k] = 1.0);
    Cholesky::new(&gram, classes)?.solve_lower(&mut inverse);
    Some((inverse.iter().map(|x| x * x).sum::<f64>() - 1.0) / (classes - 1) as f64)
}

/// The factor of a matrix that is far from singular.
fn factor(matrix: &[f64], dim: usize) -> Option<Cholesky> {
    let factor = Cholesky::new(matrix, dim)?;
    let largest = factor.pivots().fold(0.0, f64::max);
    let is_far = factor.pivots().all(|pivot| pivot > LEAST_PIVOT * largest);
    is_far.then_some(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{self, assert_close};
    use crate::metrics::nc1::{Pinv, Vci};

    #[test]
    fn the_same_numbers_as_from_decompositions() {
        let mut state = 5_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        let options = Options::default();
        for (classes, dim) in [(200_u32, 130), (130, 140), (129, 128)] {
            let labels: Vec<u32> = (0..classes * 4).map(|row| row % classes).collect();
            let means: Vec<f64> = (0..classes as usize * dim).map(|_| next()).collect();
            let row = |&label: &u32| label as usize * dim..(label as usize + 1) * dim;
            let rows: Vec<f64> =
                labels.iter().flat_map(|label| means[row(label)].to_vec()).map(|x| x + 0.3 * next()).collect();
            let statistics = fixture::statistics(dim, &rows, &labels);
            let centred = Vectors::centred(&statistics, options.centring);
            let expected = Pinv::of(&statistics, &centred.points(), 53, &options).unwrap().value;
            assert_close(pinv(&statistics, &centred, &options).unwrap(), expected, 1e-7);
            let undivided = Options { divide_by_k: false, ..options };
            let expected = Pinv::of(&statistics, &centred.points(), 53, &undivided).unwrap().value;
            assert_close(pinv(&statistics, &centred, &undivided).unwrap(), expected, 1e-7);
            assert_close(vci(&statistics).unwrap(), Vci::of(&statistics, 53, &options).unwrap().value, 1e-7);
        }
        assert_eq!(
            (
                pinv(&fixture::golden(), &Vectors::centred(&fixture::golden(), Centring::Class), &options),
                vci(&fixture::golden())
            ),
            (None, None)
        );
    }
}
