//! The classifier of a state itself, so that NC3 and NC4 exist where no head was trained. Han et al. (2022).

use super::Centring;
use super::doubt::arithmetic;
use super::spectrum::Covariance;
use super::vectors::{centre, dot};
use crate::linalg::{self, Cholesky};
use crate::state::{Head, Statistics};

/// Above this share of arithmetic or of rounding in some direction, the classifier is taken not to exist.
const UNSOLVED: f64 = 0.1;

/// The classifier that ridge regression finds for one-hot targets, with an intercept that is not regularised: it minimises
///
/// ```text
/// (1/N) Σ ‖W x + b − onehot‖² + r ‖W‖²        r = λ tr(Σ_T)/D
/// ```
///
/// so that with `π_k = n_k/N`, `μ` the mean of all rows and `Σ_T` their covariance
///
/// ```text
/// w_k = (Σ_T + r I)⁻¹ π_k (μ_k − μ)            b_k = π_k − w_k · μ
/// ```
///
/// `λ` is a share of the mean variance of a dimension: features in other units have the same classifier, in theirs.
///
/// # Errors
///
/// `single_class`, `no_scatter`, `zero_variance` if all rows are equal, `out_of_range`, and `singular` if there is a direction
/// in which `Σ_T + r I` holds nothing but what rounding could make, at `λ = 0` one in which rows do not vary; or if rounding
/// makes a tenth of the weights.
pub fn least_squares(statistics: &Statistics, lambda: f64) -> Result<Head, &'static str> {
    let (dim, classes) = (statistics.dim, statistics.classes());
    if classes < 2 {
        return Err("single_class");
    }
    let scatter = statistics.scatter.as_deref().ok_or("no_scatter")?;
    let rows = statistics.rows() as f64;
    let system = System::of(statistics, scatter, lambda)?;
    let offset = centre(statistics, Centring::Sample);
    let share = |class: usize| statistics.counts[class] as f64 / rows;
    let targets: Vec<f64> = (0..classes)
        .flat_map(|class| {
            statistics.offset(class).iter().zip(&offset).map(move |(x, centre)| share(class) * (x - centre))
        })
        .collect();
    let weights = linalg::product(&targets, &system.inverse, dim, dim);
    let mean: Vec<f64> = statistics.origin.iter().zip(&offset).map(|(origin, offset)| origin + offset).collect();
    let bias: Vec<f64> = weights.chunks_exact(dim).enumerate().map(|(k, row)| share(k) - dot(row, &mean)).collect();
    if !weights.iter().chain(&bias).all(|entry| entry.is_finite()) {
        return Err("out_of_range");
    }
    let errors = system.errors(statistics, &weights, &targets);
    if dot(&errors, &errors) > UNSOLVED * UNSOLVED * dot(&weights, &weights) {
        return Err("singular");
    }
    Ok(Head { weights, bias: Some(bias), errors })
}

/// `A = Σ_T + r I`.
struct System {
    /// `A⁻¹`.
    inverse: Vec<f64>,
    /// `r`.
    ridge: f64,
    /// The relative error that arithmetic leaves in a solution.
    own: f64,
}

impl System {
    fn of(statistics: &Statistics, scatter: &[f64], lambda: f64) -> Result<Self, &'static str> {
        let dim = statistics.dim;
        let mut matrix = Covariance::Rows.matrix(statistics, scatter);
        let trace: f64 = (0..dim).map(|j| matrix[j * dim + j]).sum();
        if !trace.is_finite() {
            return Err("out_of_range");
        }
        if trace <= 0.0 {
            return Err("zero_variance");
        }
        let ridge = lambda * trace / dim as f64;
        for j in 0..dim {
            matrix[j * dim + j] += ridge;
        }
        let mut inverse: Vec<f64> = (0..dim * dim).map(|at| f64::from(u8::from(at / dim == at % dim))).collect();
        Cholesky::new(&matrix, dim).ok_or("singular")?.solve(&mut inverse);
        let scale: f64 = (0..dim).map(|j| matrix[j * dim + j] * inverse[j * dim + j]).sum();
        let own = arithmetic(dim) * scale;
        let rounding: f64 = (0..dim).map(|j| statistics.rounding[j] * inverse[j * dim + j]).sum();
        if own.max(rounding) > UNSOLVED { Err("singular") } else { Ok(Self { inverse, ridge, own }) }
    }

    /// How far rounding may have moved each row of `W`.
    ///
    /// The rounding `e` of a row `x` with the residual `y − ŷ` moves `w A` by `((y − ŷ) e − (w·e) x − (w·e) e)/N`: with
    /// the mean squared residual `R`, by `√(R tr(A⁻¹ΓA⁻¹)/N)` and `√(wᵀΓw tr(A⁻¹Σ_T A⁻¹)/N)` at random, and by `A⁻¹Γw`
    /// on average.
    fn errors(&self, statistics: &Statistics, weights: &[f64], targets: &[f64]) -> Vec<f64> {
        let (dim, rows) = (statistics.dim, statistics.rows() as f64);
        let column = |j: usize| &self.inverse[j * dim..][..dim];
        let squares: Vec<f64> = (0..dim).map(|j| dot(column(j), column(j))).collect();
        let of_residuals = dot(&squares, &statistics.rounding_changed);
        let trace: f64 = (0..dim).map(|j| self.inverse[j * dim + j]).sum();
        let of_rows = (trace - self.ridge * squares.iter().sum::<f64>()).max(0.0);
        let pulled: Vec<f64> = weights
            .chunks_exact(dim)
            .flat_map(|row| row.iter().zip(&statistics.rounding).map(|(w, g)| w * g))
            .collect();
        let pulled = linalg::product(&pulled, &self.inverse, dim, dim);
        let of_class = |class: usize| {
            let row = |of: &'_ [f64]| of[class * dim..][..dim].to_vec();
            let (weights, target, pulled) = (row(weights), row(targets), row(&pulled));
            let share = statistics.counts[class] as f64 / rows;
            let size = dot(&weights, &weights);
            let residual = (share * (1.0 - share) - dot(&weights, &target) - self.ridge * size).max(0.0);
            let noise: f64 = weights.iter().zip(&statistics.rounding_changed).map(|(w, g)| w * w * g).sum();
            let random = (residual * of_residuals / rows).sqrt().hypot((noise * of_rows / rows).sqrt());
            random + dot(&pulled, &pulled).sqrt() + self.own * size.sqrt()
        };
        (0..statistics.classes()).map(of_class).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, golden, golden_rows, statistics};

    /// `Σ (W x + b − onehot) (x, 1)ᵀ/N + r (W, 0)`, which is 0 at the minimum.
    fn gradient(head: &Head, dim: usize, rows: &[f64], labels: &[u32], ridge: f64) -> f64 {
        let bias = head.bias.as_ref().unwrap();
        let n = labels.len() as f64;
        let mut worst: f64 = 0.0;
        for (k, w) in head.weights.chunks(dim).enumerate() {
            let residual =
                |i: usize| dot(w, &rows[i * dim..][..dim]) + bias[k] - f64::from(u8::from(labels[i] as usize == k));
            let of_bias: f64 = (0..labels.len()).map(residual).sum::<f64>() / n;
            worst = worst.max(of_bias.abs());
            for j in 0..dim {
                let sum: f64 = (0..labels.len()).map(|i| residual(i) * rows[i * dim + j]).sum();
                worst = worst.max((sum / n + ridge * w[j]).abs());
            }
        }
        worst
    }

    #[test]
    fn it_is_where_the_gradient_of_the_loss_is_zero() {
        let (rows, labels) = golden_rows();
        let golden = golden();
        // tr Σ_T of METRICS 6.
        let unit = 7.574_942_129_629_63 / 3.0;
        for lambda in [0.025, 1.0, 0.0] {
            let head = least_squares(&golden, lambda).unwrap();
            assert!(gradient(&head, 3, &rows, &labels, lambda * unit) < 1e-13, "{lambda}");
            // Rows of the classifier sum to 0, and its biases to 1: so do the targets.
            for j in 0..3 {
                assert!(head.weights.iter().skip(j).step_by(3).sum::<f64>().abs() < 1e-13);
            }
            assert_close(head.bias.unwrap().iter().sum(), 1.0, 1e-13);
            assert!(head.errors.iter().all(|error| *error < 1e-12));
        }
    }

    #[test]
    fn units_of_features_do_not_change_it() {
        let (rows, labels) = golden_rows();
        let larger: Vec<f64> = rows.iter().map(|x| 1024.0 * x).collect();
        let (one, other) = (golden(), statistics(3, &larger, &labels));
        for lambda in [0.0, 0.025] {
            let (one, other) = (least_squares(&one, lambda).unwrap(), least_squares(&other, lambda).unwrap());
            one.weights.iter().zip(&other.weights).for_each(|(a, b)| assert_close(1024.0 * b, *a, 1e-10));
        }
    }

    #[test]
    fn without_a_ridge_rows_have_to_vary_in_every_direction() {
        // The fourth dimension repeats the first, and the fifth is constant.
        let (rows, labels) = golden_rows();
        let wide: Vec<f64> = rows.chunks(3).flat_map(|x| [x[0], x[1], x[2], x[0], 7.0]).collect();
        let statistics = statistics(5, &wide, &labels);
        for lambda in [0.0, 1e-17] {
            assert_eq!(least_squares(&statistics, lambda).map(|_| ()), Err("singular"));
        }
        let head = least_squares(&statistics, 1e-9).unwrap();
        let narrow = least_squares(&golden(), 0.0).unwrap();
        for (wide, narrow) in head.weights.chunks(5).zip(narrow.weights.chunks(3)) {
            // The least norm shares the weight of the first dimension.
            assert_close(wide[0], narrow[0] / 2.0, 1e-3);
            assert_close(wide[3], narrow[0] / 2.0, 1e-3);
            assert_eq!(wide[4], 0.0);
        }
        // What is as small as rounding of rows counts as none.
        let mut golden = golden();
        golden.rounding = vec![0.1; 3];
        assert_eq!(least_squares(&golden, 0.0).map(|_| ()), Err("singular"));
    }

    #[test]
    fn rounding_of_rows_is_in_the_errors() {
        let mut golden = golden();
        let exact = least_squares(&golden, 0.025).unwrap();
        golden.rounding = vec![1e-8; 3];
        golden.rounding_changed = vec![1e-8; 3];
        let rounded = least_squares(&golden, 0.025).unwrap();
        assert_eq!(rounded.weights, exact.weights);
        assert!(rounded.errors.iter().all(|error| *error > 1e-7 && *error < 1e-3), "{:?}", rounded.errors);
    }

    #[test]
    fn reasons_why_there_is_none() {
        let refused = |statistics: &Statistics| least_squares(statistics, 0.025).unwrap_err();
        let mut golden = golden();
        golden.scatter = None;
        assert_eq!(refused(&golden), "no_scatter");
        assert_eq!(refused(&statistics(1, &[1.0, 2.0], &[0, 0])), "single_class");
        assert_eq!(refused(&statistics(1, &[2.0; 4], &[0, 0, 1, 1])), "zero_variance");
    }
}
