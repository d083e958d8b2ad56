//! `tr Σ_W` and `tr Σ_B`, without a scatter matrix.

use crate::kernels::pairs::Points;
use crate::metrics::{Normaliser, Options, Value, finite};
use crate::state::Statistics;

/// The traces of the covariances within and between classes, feature units squared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::metrics) struct Traces {
    within: f64,
    between: f64,
}

impl Traces {
    /// `means` are the centred class means.
    ///
    /// # Errors
    ///
    /// `single_class`, `no_degrees_of_freedom`, `out_of_range`.
    pub(in crate::metrics) fn of(
        statistics: &Statistics,
        means: &Points<'_>,
        options: &Options,
    ) -> Result<Self, &'static str> {
        Ok(Self { between: between(means)?, within: within(statistics, options)? })
    }

    /// `tr Σ_W / tr Σ_B`.
    ///
    /// # Errors
    ///
    /// `zero_between` if all means are equal, `out_of_range`.
    pub(super) fn ratio(self) -> Value {
        if self.between > 0.0 { finite(self.within / self.between) } else { Err("zero_between") }
    }

    /// `tr Σ_W / (tr Σ_W + tr Σ_B)`.
    ///
    /// # Errors
    ///
    /// `zero_variance` if all rows are equal, `out_of_range`.
    pub(in crate::metrics) fn within_fraction(self) -> Value {
        let total = self.within + self.between;
        if total > 0.0 { finite(self.within / total) } else { Err("zero_variance") }
    }
}

/// The divisor of `S_W`.
///
/// # Errors
///
/// `no_degrees_of_freedom` with `N − K = 0`, `needs_per_class_scatter` if every class is to count the same.
pub(in crate::metrics) fn normaliser(statistics: &Statistics, options: &Options) -> Value {
    let (rows, classes) = (statistics.rows(), statistics.classes() as u64);
    match options.normaliser {
        Normaliser::Rows => Ok(rows as f64),
        Normaliser::RowsLessClasses if rows == classes => Err("no_degrees_of_freedom"),
        Normaliser::RowsLessClasses => Ok((rows - classes) as f64),
        Normaliser::Balanced => Err("needs_per_class_scatter"),
    }
}

/// `tr Σ_W`, from the classes' variances alone.
fn within(statistics: &Statistics, options: &Options) -> Value {
    let classes = statistics.variances.iter().zip(&statistics.counts);
    finite(match options.normaliser {
        Normaliser::Balanced => statistics.variances.iter().sum::<f64>() / statistics.classes() as f64,
        _ => classes.map(|(v, &n)| v * n as f64).sum::<f64>() / normaliser(statistics, options)?,
    })
}

/// `tr Σ_B = (1/K) Σ ‖c_k‖²`.
fn between(means: &Points<'_>) -> Value {
    if means.len() < 2 {
        return Err("single_class");
    }
    finite(means.norms.iter().map(|norm| (norm * means.unit).powi(2)).sum::<f64>() / means.len() as f64)
}
