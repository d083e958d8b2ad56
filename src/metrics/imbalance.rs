//! Imbalance: the geometry that unequal class sizes call for, and what becomes of the small classes.
//!
//! Each formula of a catalogue's key is a function here. `x_k` stands for the centred class means `c_k`, or for the classifier's
//! rows `w_k` in the keys that end in `_weights`.

use super::context::MetricContext;
use super::doubt::{arithmetic, of_frame};
use super::geometry::Geometry;
use super::nc2::pair_products;
use super::outcome::{Outcome, TOO_FEW, ZERO_NORMS};
use super::vectors::Vectors;
use crate::linalg;

/// What the weights' structure is a power of, and the power of the means' structure.
const ROOT: f64 = 0.5;

/// `imbalance_seli_error`: `‖G/‖G‖ − G*/‖G*‖‖` with `G = C Cᵀ` and `G* = (P diag(n) P)^(+½)`; see [`seli_error_of`].
pub(super) fn seli_error(context: &MetricContext<'_>) -> Outcome {
    seli(&context.means, &context.evidence.statistics.counts, -ROOT)
}

/// `imbalance_seli_error_weights`: the same with `G = W Wᵀ` and `G* = (P diag(n) P)^½`.
pub(super) fn seli_error_weights(context: &MetricContext<'_>) -> Outcome {
    let counts = &context.evidence.statistics.counts;
    context.weights().map_or_else(Outcome::null, |weights| seli(weights, counts, ROOT))
}

fn seli(of: &Geometry, counts: &[u64], power: f64) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    let vectors = &of.vectors;
    if !vectors.few() {
        return Outcome::null("seli_unattainable");
    }
    let spread = counts.iter().max().zip(counts.iter().min()).map_or(1.0, |(&most, &least)| most as f64 / least as f64);
    Outcome::from(seli_error_of(vectors, counts, power))
        .off_by(|error| of_frame(vectors, error) + spread * arithmetic(vectors.len()))
}

/// `‖G/‖G‖ − G*/‖G*‖‖` with `G = X Xᵀ` and `G*` a power of `A = P diag(n) P` on the space where `A` is not 0: the geometry of
/// the simplex-encoded labels interpolation (Thrampoulidis et al. 2022). Both are `K × K`, so `K ≤ D + 1`, which the geometry
/// takes anyway.
///
/// # Errors
///
/// `out_of_range`.
fn seli_error_of(vectors: &Vectors, counts: &[u64], power: f64) -> Result<f64, &'static str> {
    let classes = counts.len();
    let ideal = power_of_labels(counts, power)?;
    let structure = linalg::outer_gram(&vectors.values, vectors.dim);
    let norm = |matrix: &[f64]| matrix.iter().map(|x| x * x).sum::<f64>().sqrt();
    let (of_ideal, of_structure) = (norm(&ideal), norm(&structure));
    debug_assert_eq!(structure.len(), classes * classes);
    let difference = structure.iter().zip(&ideal).map(|(s, i)| (s / of_structure - i / of_ideal).powi(2));
    Ok(difference.sum::<f64>().sqrt())
}

/// `(P diag(n) P)^power`, K × K, without the direction `1`, along which the matrix is 0.
fn power_of_labels(counts: &[u64], power: f64) -> Result<Vec<f64>, &'static str> {
    let classes = counts.len();
    let k = classes as f64;
    let rows = counts.iter().map(|&n| n as f64).sum::<f64>();
    let entry = |at: usize| {
        let (i, j) = (at / classes, at % classes);
        let diagonal = if i == j { counts[i] as f64 } else { 0.0 };
        diagonal - (counts[i] as f64 + counts[j] as f64) / k + rows / (k * k)
    };
    let matrix: Vec<f64> = (0..classes * classes).map(entry).collect();
    let eigen = linalg::symmetric_eigen(&matrix, classes).map_err(|_| "out_of_range")?;
    let mut scaled = eigen.vectors[..(classes - 1) * classes].to_vec();
    for (row, value) in scaled.chunks_exact_mut(classes).zip(&eigen.values) {
        let factor = value.powf(0.5 * power);
        for x in row {
            *x *= factor;
        }
    }
    Ok(linalg::gram(&scaled, classes))
}

/// `imbalance_minority_cos`: the mean over pairs of `cos(c_i, c_j)` among the classes with fewer rows than the median class.
pub(super) fn minority_cos(context: &MetricContext<'_>) -> Outcome {
    minority(&context.means, &context.evidence.statistics.counts)
}

/// `imbalance_minority_cos_weights`: the mean over pairs of `cos(w_i, w_j)` among them.
pub(super) fn minority_cos_weights(context: &MetricContext<'_>) -> Outcome {
    let counts = &context.evidence.statistics.counts;
    context.weights().map_or_else(Outcome::null, |weights| minority(weights, counts))
}

fn minority(of: &Geometry, counts: &[u64]) -> Outcome {
    if let Some(reason) = of.undefined() {
        return Outcome::null(reason);
    }
    let small = below_median(counts);
    if small.len() < 2 {
        return Outcome::null("balanced");
    }
    let few = of.vectors.select(&small);
    let units = few.units();
    Outcome::number_or(pair_products(&units).map(|(mean, _)| mean), TOO_FEW)
        .flag_if(few.zeros() > 0, ZERO_NORMS)
        .off_by(|_| 2.0 * units.errors().iter().sum::<f64>() / units.len() as f64)
}

/// The classes with fewer rows than the median of all.
fn below_median(counts: &[u64]) -> Vec<usize> {
    let mut sorted = counts.to_vec();
    sorted.sort_unstable();
    // Twice the median: of an even number of classes it is the mean of the two in the middle.
    let median = sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2];
    (0..counts.len()).filter(|&k| 2 * counts[k] < median).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, statistics};
    use crate::metrics::{Evidence, Extras, Options, Selection, measure};
    use crate::state::{Head, Statistics};

    fn number(statistics: &Statistics, head: Option<&Head>, key: &str) -> Result<f64, &'static str> {
        let selection = Selection::parse(&[key.to_owned()]).unwrap();
        let evidence = Evidence { head, ..Evidence::new(statistics, 53) };
        let made = measure(&evidence, &Options::default(), &selection, Extras::default()).unwrap();
        made.metrics[0].value.ok_or_else(|| made.metrics[0].reason.unwrap())
    }

    #[test]
    fn powers_of_the_labels_multiply() {
        let counts = [1, 4, 9, 30, 2];
        let classes = counts.len();
        let root = power_of_labels(&counts, 0.5).unwrap();
        let whole = power_of_labels(&counts, 1.0).unwrap();
        let inverse = power_of_labels(&counts, -0.5).unwrap();
        let squared = linalg::product(&root, &root, classes, classes);
        squared.iter().zip(&whole).for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{a} {b}"));
        // A^½ A^(+½) = P
        let unit = linalg::product(&root, &inverse, classes, classes);
        for (at, x) in unit.iter().enumerate() {
            let expected = f64::from(u8::from(at / classes == at % classes)) - 0.2;
            assert!((x - expected).abs() < 1e-12, "{x} {expected}");
        }
        // P diag(n) P itself.
        assert_close(whole[0], 1.0 - 2.0 / 5.0 + 46.0 / 25.0, 1e-13);
    }

    #[test]
    fn equal_sizes_ask_for_a_simplex() {
        let rows = [4.0, 0.0, 0.5, 5.0, 1.0, 0.0, 0.0, 3.0, 2.0, 1.0, 4.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 6.0];
        let statistics = statistics(3, &rows, &[0, 0, 1, 1, 2, 2]);
        let head = Head { weights: vec![2.0, 0.0, 1.0, -1.0, 3.0, 0.0, 0.0, 1.0, 1.0], bias: None, errors: Vec::new() };
        for suffix in ["", "_weights"] {
            let seli = number(&statistics, Some(&head), &format!("imbalance_seli_error{suffix}")).unwrap();
            let simplex = number(&statistics, Some(&head), &format!("nc2_etf_error{suffix}")).unwrap();
            assert_close(seli, simplex, 1e-12);
            let small = number(&statistics, Some(&head), &format!("imbalance_minority_cos{suffix}"));
            assert_eq!(small, Err("balanced"));
        }
    }

    #[test]
    fn a_head_with_the_geometry_of_its_sizes_has_no_error() {
        // Rows of A^¼: their products are A^½.
        let counts = [1_u32, 2, 3, 6];
        let rows: Vec<f64> = (0..12 * 4).map(|at| f64::from((at * at * 7 + at) % 13)).collect();
        let labels: Vec<u32> = (0..4).flat_map(|k| std::iter::repeat_n(k, counts[k as usize] as usize)).collect();
        let statistics = statistics(4, &rows, &labels);
        let weights = power_of_labels(&statistics.counts, 0.25).unwrap();
        let head = Head { weights, bias: None, errors: Vec::new() };
        assert!(number(&statistics, Some(&head), "imbalance_seli_error_weights").unwrap() < 1e-13);
        assert!(number(&statistics, Some(&head), "nc2_etf_error_weights").unwrap() > 0.1);
    }

    #[test]
    fn small_classes_are_those_below_the_median() {
        assert_eq!(below_median(&[5, 1, 9, 2]), [1, 3]);
        assert_eq!(below_median(&[5, 1, 9]), [1]);
        assert_eq!(below_median(&[2, 2, 3]), Vec::<usize>::new());
        assert_eq!(below_median(&[2, 2, 3, 3]), [0, 1]);
    }

    #[test]
    fn more_classes_than_directions_have_no_such_geometry() {
        let rows: Vec<f64> = (0..20).map(|at| f64::from((at * at * 7 + at) % 31)).collect();
        let labels: Vec<u32> = (0..10).map(|row| row / 2).collect();
        let statistics = statistics(2, &rows, &labels);
        assert_eq!(number(&statistics, None, "imbalance_seli_error"), Err("seli_unattainable"));
        assert_eq!(number(&statistics, None, "imbalance_seli_error_weights"), Err("no_head"));
    }
}
