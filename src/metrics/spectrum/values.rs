//! The eigenvalues behind NC1 and NC2.

use crate::error::Result;
use crate::linalg;
use crate::metrics::nc1::normaliser;
use crate::metrics::vectors::Vectors;
use crate::metrics::{Options, Value};
use crate::state::Statistics;

/// Eigenvalues of the covariances within and between classes, feature units squared, descending.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// Of `Σ_W`, D; or why there are none: `no_scatter`, `no_degrees_of_freedom`, `needs_per_class_scatter`.
    pub within: std::result::Result<Vec<f64>, &'static str>,
    /// Of `Σ_B = CᵀC/K`, the `min(K, D)` that may differ from 0.
    pub between: Vec<f64>,
}

/// The spectrum of a group under the conventions of `options`.
///
/// # Errors
///
/// [`Internal`](crate::error::ErrorKind::Internal) if a decomposition does not converge.
pub fn spectrum(statistics: &Statistics, options: &Options) -> Result<Spectrum> {
    let divisor: Value = normaliser(statistics, options);
    let within = match (divisor, &statistics.scatter) {
        (Err(reason), _) => Err(reason),
        (_, None) => Err("no_scatter"),
        (Ok(divisor), Some(scatter)) => {
            let values = linalg::symmetric_eigen(scatter, statistics.dim)?.values;
            // Rounding makes some negative where the scatter does not have full rank.
            Ok(descending(values.into_iter().map(|value| (value / divisor).max(0.0))))
        }
    };
    let means = Vectors::centred(statistics, options.centring);
    let singular = linalg::right_singular(means.points().values, statistics.dim)?.values;
    let classes = statistics.classes() as f64;
    let between = descending(singular.into_iter().map(|value| (value * means.unit).powi(2) / classes));
    Ok(Spectrum { within, between })
}

fn descending(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, centred, golden, statistics};

    #[test]
    fn the_sums_of_eigenvalues_are_the_traces() {
        let golden = golden();
        let found = spectrum(&golden, &Options::default()).unwrap();
        let scatter = golden.scatter.as_ref().unwrap();
        let trace: f64 = (0..3).map(|j| scatter[4 * j]).sum();
        let within = found.within.unwrap();
        assert_close(within.iter().sum(), trace / golden.rows() as f64, 1e-13);
        assert_close(found.between.iter().sum(), centred(&golden).iter().map(|c| c * c).sum::<f64>() / 4.0, 1e-13);
        assert!(within.windows(2).all(|pair| pair[0] >= pair[1]) && found.between.windows(2).all(|p| p[0] >= p[1]));
    }

    #[test]
    fn along_the_axes_eigenvalues_are_variances() {
        // Two classes at ±(3, 0), each ±(0, 2) and ±(1, 0) about its mean.
        let rows = [2., 0., 4., 0., 3., 2., 3., -2., -2., 0., -4., 0., -3., 2., -3., -2.];
        let found = spectrum(&statistics(2, &rows, &[0, 0, 0, 0, 1, 1, 1, 1]), &Options::default()).unwrap();
        let expected = [2.0, 0.5];
        found.within.unwrap().iter().zip(expected).for_each(|(found, expected)| assert_close(*found, expected, 1e-14));
        assert_close(found.between[0], 9.0, 1e-14);
    }
}
