//! Eigenvalues of covariances of rows, and how far rounding may have moved each.

use crate::linalg;
use crate::metrics::Centring;
use crate::metrics::doubt::{arithmetic, of_root};
use crate::metrics::noise::{along, of_means};
use crate::metrics::vectors::centre;
use crate::state::Statistics;

/// Which rows vary, and about what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::metrics) enum Covariance {
    /// `Σ_T`: all rows about their mean.
    Rows,
    /// `Σ_W`: the rows of each class about its mean.
    Within,
    /// `XᵀX/N`: all rows about 0.
    Uncentred,
}

impl Covariance {
    /// Why there are no eigenvalues where the matrix is 0.
    pub(in crate::metrics) fn zero(self) -> &'static str {
        match self {
            Self::Rows => "zero_variance",
            Self::Within => "zero_within",
            Self::Uncentred => "zero_rows",
        }
    }

    /// The matrix, `D × D`, feature units squared: `S_W/N`, and what class means add to it.
    pub(in crate::metrics) fn matrix(self, statistics: &Statistics, scatter: &[f64]) -> Vec<f64> {
        let (dim, rows) = (statistics.dim, statistics.rows() as f64);
        let mut matrix: Vec<f64> = scatter.iter().map(|entry| entry / rows).collect();
        if self == Self::Within {
            return matrix;
        }
        let centre: Vec<f64> = match self {
            Self::Uncentred => statistics.origin.iter().map(|origin| -origin).collect(),
            _ => centre(statistics, Centring::Sample),
        };
        let weighted: Vec<f64> = (0..statistics.classes())
            .flat_map(|class| {
                let weight = (statistics.counts[class] as f64 / rows).sqrt();
                statistics.offset(class).iter().zip(&centre).map(move |(x, centre)| weight * (x - centre))
            })
            .collect();
        matrix.iter_mut().zip(linalg::gram(&weighted, dim)).for_each(|(entry, between)| *entry += between);
        matrix
    }
}

/// Eigenvalues, each with the largest part of it that may be rounding.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::metrics) struct Eigenvalues {
    /// A power of two near the trace, feature units squared.
    pub unit: f64,
    /// Descending, at least 0, in units of `unit`.
    pub values: Vec<f64>,
    /// What rounding of rows adds to each on average, and what the decomposition may have added.
    pub bias: Vec<f64>,
    /// The standard deviation of what rounding of rows and means adds to each.
    pub deviation: Vec<f64>,
    /// The eigenvectors, `D × D`, one a row.
    pub vectors: Vec<f64>,
}

impl Eigenvalues {
    /// Those of a covariance.
    ///
    /// The rounding `e` of rows adds `xeᵀ + exᵀ + eeᵀ` to `xxᵀ`, so that an eigenvalue `λ` with the eigenvector `u` moves by
    /// `uᵀΓu` on average, and by `2 √(λ uᵀΓu/N)` at random. Rounding of means does the same, once a class.
    ///
    /// # Errors
    ///
    /// That of [`Covariance::zero`] if the matrix is 0, `out_of_range` if its entries are.
    pub(in crate::metrics) fn of(
        covariance: Covariance,
        statistics: &Statistics,
        scatter: &[f64],
    ) -> Result<Self, &'static str> {
        let (dim, rows, classes) = (statistics.dim, statistics.rows() as f64, statistics.classes() as f64);
        let mut matrix = covariance.matrix(statistics, scatter);
        let trace: f64 = (0..dim).map(|j| matrix[j * dim + j]).sum();
        if !trace.is_finite() {
            return Err("out_of_range");
        }
        if trace <= 0.0 {
            return Err(covariance.zero());
        }
        let unit = 2.0_f64.powi(trace.log2().floor() as i32);
        for entry in &mut matrix {
            *entry /= unit;
        }
        let eigen = linalg::symmetric_eigen(&matrix, dim).map_err(|_| "out_of_range")?;
        let mut mean_noise = of_means(statistics, None, |n| n / rows);
        if covariance == Covariance::Within {
            mean_noise.fill(0.0);
        }
        let random = |j: usize| mean_noise[j] / classes + statistics.rounding_changed[j] / rows;
        let random: Vec<f64> = (0..dim).map(random).collect();
        let bias: Vec<f64> = mean_noise.iter().zip(&statistics.rounding).map(|(a, b)| a + b).collect();
        let own = arithmetic(dim + statistics.classes()) * eigen.values[0];
        let values: Vec<f64> = eigen.values.iter().map(|value| value.max(0.0)).collect();
        let vector = |r: usize| &eigen.vectors[r * dim..][..dim];
        Ok(Self {
            unit,
            bias: (0..dim).map(|r| along(vector(r), &bias) / unit + own).collect(),
            deviation: (0..dim).map(|r| 2.0 * (values[r] * along(vector(r), &random) / unit).sqrt()).collect(),
            values,
            vectors: eigen.vectors,
        })
    }

    /// Those of `CᵀC` of vectors whose singular values are given, each off by at most `error`.
    pub(in crate::metrics) fn of_singular(singular: &[f64], error: f64) -> Self {
        let square = |s: &f64| 2.0 * s * error + error * error;
        Self {
            unit: 1.0,
            values: singular.iter().map(|s| s * s).collect(),
            bias: singular.iter().map(square).collect(),
            deviation: vec![0.0; singular.len()],
            vectors: Vec::new(),
        }
    }

    /// `Σ λ`.
    pub(in crate::metrics) fn trace(&self) -> f64 {
        self.values.iter().sum()
    }

    /// How far each may be from the true one.
    pub(in crate::metrics) fn error(&self, r: usize) -> f64 {
        self.bias[r] + self.deviation[r]
    }

    /// The error of a function of the eigenvalues, from what its value changes with each of them.
    pub(in crate::metrics) fn moved(&self, slope: impl Fn(usize) -> f64) -> f64 {
        let (mut bias, mut square) = (0.0, 0.0);
        for r in 0..self.values.len() {
            let slope = slope(r).abs();
            bias += slope * self.bias[r];
            square += (slope * self.deviation[r]).powi(2);
        }
        bias + square.sqrt()
    }

    /// Singular values: the roots of the eigenvalues, with errors of their own.
    pub(in crate::metrics) fn roots(&self) -> Self {
        let root = |of: &[f64]| -> Vec<f64> {
            let pairs = of.iter().zip(&self.values);
            pairs.map(|(&error, value)| of_root(value.sqrt(), error)).collect()
        };
        Self {
            unit: self.unit.sqrt(),
            values: self.values.iter().map(|value| value.sqrt()).collect(),
            bias: root(&self.bias),
            deviation: root(&self.deviation),
            vectors: Vec::new(),
        }
    }

    /// The largest of them, no more than `count`.
    pub(in crate::metrics) fn largest(mut self, count: usize) -> Self {
        for values in [&mut self.values, &mut self.bias, &mut self.deviation] {
            values.truncate(count);
        }
        self
    }
}

/// `exp(−Σ q ln q)` with `q = λ/Σλ + smoothing`: how many of the eigenvalues there are, were they all alike. Not a number if
/// the sum is none.
pub(in crate::metrics) fn effective_number(values: &[f64], smoothing: f64) -> f64 {
    let total: f64 = values.iter().sum();
    if !total.is_finite() {
        return f64::NAN;
    }
    let terms = values.iter().map(|value| value / total + smoothing).filter(|q| *q > 0.0).map(|q| -q * q.ln());
    terms.sum::<f64>().exp()
}

/// The error of the [`effective_number`] of eigenvalues, which is `number`.
pub(in crate::metrics) fn effective_number_error(of: &Eigenvalues, smoothing: f64, number: f64) -> f64 {
    let total = of.trace();
    // −q ln q rises without bound at 0, so its slope is taken at what the eigenvalue may be.
    let slope = |r: usize| {
        let most = (of.values[r] + of.error(r)) / total + smoothing;
        if most > 0.0 { -most.ln() - 1.0 } else { 0.0 }
    };
    let mean: f64 = (0..of.values.len()).map(|r| slope(r) * of.values[r] / total).sum();
    number * (of.moved(|r| (slope(r) - mean) / total) + arithmetic(of.values.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, golden, statistics};

    fn of(covariance: Covariance, statistics: &Statistics) -> Eigenvalues {
        Eigenvalues::of(covariance, statistics, statistics.scatter.as_ref().unwrap()).unwrap()
    }

    /// Two classes at (2, 3) and (−2, 3), each ±(1, 0) and ±(0, 2) about its mean: `Σ_W = diag(½, 2)`.
    fn cross() -> Statistics {
        let about = [[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]];
        let rows: Vec<f64> = (0..8)
            .flat_map(|row| {
                let mean = if row < 4 { 2.0 } else { -2.0 };
                [about[row % 4][0] + mean, about[row % 4][1] + 3.0]
            })
            .collect();
        statistics(2, &rows, &[0, 0, 0, 0, 1, 1, 1, 1])
    }

    #[test]
    fn rows_vary_within_classes_between_them_and_about_zero() {
        let cross = cross();
        let values = |covariance| {
            let eigen = of(covariance, &cross);
            [eigen.values[0] * eigen.unit, eigen.values[1] * eigen.unit]
        };
        let close = |found: [f64; 2], expected: [f64; 2]| {
            found.iter().zip(expected).for_each(|(found, expected)| assert_close(*found, expected, 1e-14));
        };
        close(values(Covariance::Within), [2.0, 0.5]);
        close(values(Covariance::Rows), [4.5, 2.0]);
        close(values(Covariance::Uncentred), [11.0, 4.5]);
    }

    #[test]
    fn equal_eigenvalues_count_all_and_one_counts_one() {
        assert_close(effective_number(&[3.0; 5], 0.0), 5.0, 1e-14);
        assert_close(effective_number(&[3.0, 0.0, 0.0], 0.0), 1.0, 1e-14);
        // Each of three zeros adds −10⁻⁷ ln 10⁻⁷, and 1 + 10⁻⁷ takes 10⁻⁷ away.
        let smoothed = (3e-7 * 7.0 * 10_f64.ln() - 1e-7_f64).exp();
        assert_close(effective_number(&[1.0, 0.0, 0.0, 0.0], 1e-7), smoothed, 1e-13);
    }

    #[test]
    fn noise_along_an_eigenvector_moves_its_value() {
        let mut cross = cross();
        cross.rounding = vec![1e-6, 3e-6];
        cross.rounding_changed = vec![4e-6, 8e-6];
        cross.mean_rounding = vec![0.0, 0.0];
        let eigen = of(Covariance::Within, &cross);
        assert_close(eigen.bias[0] * eigen.unit, 3e-6, 1e-6);
        assert_close(eigen.bias[1] * eigen.unit, 1e-6, 1e-6);
        assert_close(eigen.deviation[0] * eigen.unit, 2.0 * (2.0 * 8e-6_f64 / 8.0).sqrt(), 1e-12);
        // The sum moves with each, and twice the first moves by twice its own.
        assert_close(
            eigen.moved(|_| 1.0),
            eigen.bias.iter().sum::<f64>() + eigen.deviation[0].hypot(eigen.deviation[1]),
            1e-12,
        );
    }

    #[test]
    fn what_is_exact_has_an_error_of_arithmetic_alone() {
        let golden = golden();
        for covariance in [Covariance::Rows, Covariance::Within, Covariance::Uncentred] {
            let eigen = of(covariance, &golden);
            let number = effective_number(&eigen.values, 0.0);
            assert!(effective_number_error(&eigen, 0.0, number) < 1e-12 * number);
        }
    }
}
