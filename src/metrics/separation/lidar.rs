//! LiDAR: the effective rank of class means, seen in units of the variation within classes.

use crate::linalg::{self, Cholesky};
use crate::metrics::context::MetricContext;
use crate::metrics::noise::{along, of_means};
use crate::metrics::outcome::Outcome;
use crate::metrics::spectrum::{Eigenvalues, SMOOTHING, effective_number, effective_number_error};
use crate::state::Statistics;

/// What LiDAR adds to the diagonal of `Σ_W`, feature units squared.
const REGULARISATION: f64 = 1e-4;

/// Above this relative error, the system is taken to be singular.
const UNSOLVED: f64 = 0.1;

/// `separation_lidar`: `exp(−Σ q ln q)` with `q_r = λ_r/Σλ + 10⁻⁷` over the `D` eigenvalues of `S^(−½) Σ_B S^(−½)`,
/// `S = S_W/(N − K) + 10⁻⁴ I` and `Σ_B = CᵀC/(K − 1)` (Thilak et al. 2024).
pub(in crate::metrics) fn lidar(context: &MetricContext<'_>) -> Outcome {
    match eigenvalues(context) {
        Ok(eigen) => Outcome::from(effective_number(&eigen.values, SMOOTHING))
            .off_by(|number| effective_number_error(&eigen, SMOOTHING, number)),
        Err(reason) => Outcome::null(context.scatter_reason(reason)),
    }
}

fn eigenvalues(context: &MetricContext<'_>) -> Result<Eigenvalues, &'static str> {
    let statistics = context.evidence.statistics;
    let (dim, classes) = (statistics.dim, statistics.classes());
    if classes < 2 {
        return Err("single_class");
    }
    let scatter = context.scatter()?;
    let degrees = (statistics.rows() - classes as u64) as f64;
    if degrees == 0.0 {
        return Err("no_degrees_of_freedom");
    }
    let mut within: Vec<f64> = scatter.iter().map(|entry| entry / degrees).collect();
    (0..dim).for_each(|j| within[j * dim + j] += REGULARISATION);
    if within.iter().any(|entry| !entry.is_finite()) {
        return Err("out_of_range");
    }
    if let Some(reason) = context.means.undefined() {
        return Err(reason);
    }
    let factor = Cholesky::new(&within, dim).ok_or("singular")?;
    let solution = solution_error(&factor, &within, dim);
    if solution > UNSOLVED {
        return Err("singular");
    }
    let means = &context.means.vectors;
    let scale = means.unit / ((classes - 1) as f64).sqrt();
    let mut rows: Vec<f64> = means.values.iter().map(|x| x * scale).collect();
    factor.solve_lower(&mut rows);
    let singular = linalg::right_singular(&rows, dim).map_err(|_| "out_of_range")?;
    let mut directions = singular.vectors;
    factor.solve_lower_transposed(&mut directions);
    let mut values: Vec<f64> = singular.values.iter().map(|s| s * s).collect();
    let noise = Noise::of(statistics, degrees);
    let (bias, deviation): (Vec<f64>, Vec<f64>) = directions
        .chunks_exact(dim)
        .zip(&values)
        .map(|(x, &value)| noise.of_value(x, value, solution * value + f64::EPSILON * values[0]))
        .unzip();
    let fill = |mut of: Vec<f64>| {
        of.resize(dim, 0.0);
        of
    };
    values.resize(dim, 0.0);
    Ok(Eigenvalues { unit: 1.0, values, bias: fill(bias), deviation: fill(deviation), vectors: Vec::new() })
}

/// `Σ_j A_jj A⁻¹_jj ε`: the relative error that arithmetic leaves in solutions of a system.
fn solution_error(factor: &Cholesky, matrix: &[f64], dim: usize) -> f64 {
    let mut identity: Vec<f64> = (0..dim * dim).map(|at| f64::from(u8::from(at % (dim + 1) == 0))).collect();
    factor.solve_lower(&mut identity);
    // Row j is L⁻¹ e_j, whose square is A⁻¹_jj.
    let inverse = identity.chunks_exact(dim).map(|row| row.iter().map(|x| x * x).sum::<f64>());
    f64::EPSILON * inverse.enumerate().map(|(j, inverse)| inverse * matrix[j * dim + j]).sum::<f64>()
}

/// What rounding adds to the variances of each dimension.
struct Noise<'a> {
    statistics: &'a Statistics,
    /// Of means, summed over `K − 1` and divided by `K`.
    means: Vec<f64>,
    /// `N/(N − K)`, and `N − K`.
    factor: f64,
    degrees: f64,
}

impl<'a> Noise<'a> {
    fn of(statistics: &'a Statistics, degrees: f64) -> Self {
        let classes = statistics.classes() as f64;
        let means = of_means(statistics, None, |_| 1.0 / (classes - 1.0));
        let means = means.iter().map(|noise| noise / classes).collect();
        Self { statistics, means, factor: statistics.rows() as f64 / degrees, degrees }
    }

    /// The bias and the standard deviation of an eigenvalue whose direction `x` has `xᵀSx = 1`.
    fn of_value(&self, x: &[f64], value: f64, arithmetic: f64) -> (f64, f64) {
        let bias = value * along(x, &self.statistics.rounding) * self.factor;
        let within = value * value * along(x, &self.statistics.rounding_changed) * self.factor / self.degrees;
        (bias + arithmetic, 2.0 * (within + value * along(x, &self.means)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, statistics};
    use crate::metrics::{Evidence, Extras, Options, Selection, measure};

    fn lidar_of(statistics: &Statistics) -> crate::metrics::Measured {
        let selection = Selection::parse(&["separation_lidar".to_owned()]).unwrap();
        let made = measure(&Evidence::new(statistics, 53), &Options::default(), &selection, Extras::default());
        made.unwrap().metrics.remove(0)
    }

    /// Four classes at ±(a, 0) and ±(0, b), each of four rows ±(w, 0) and ±(0, w) about its mean.
    fn square(a: f64, b: f64, w: f64) -> Statistics {
        let means = [[a, 0.0], [-a, 0.0], [0.0, b], [0.0, -b]];
        let about = [[w, 0.0], [-w, 0.0], [0.0, w], [0.0, -w]];
        let rows: Vec<f64> =
            (0..16).flat_map(|row| [0, 1].map(|j: usize| means[row / 4][j] + about[row % 4][j])).collect();
        statistics(2, &rows, &(0..16).map(|row| row / 4).collect::<Vec<u32>>())
    }

    #[test]
    fn eigenvalues_are_those_of_means_in_units_of_rows() {
        // In both directions the rows vary alike, so that λ are in the ratio a² : b².
        let q = [0.8 + 1e-7_f64, 0.2 + 1e-7];
        let expected = (-q[0] * q[0].ln() - q[1] * q[1].ln()).exp();
        assert_close(lidar_of(&square(4.0, 2.0, 1.0)).value.unwrap(), expected, 1e-13);
        assert_close(lidar_of(&square(4.0, 4.0, 1e-3)).value.unwrap(), 2.0, 1e-6);
    }

    #[test]
    fn what_is_added_to_the_diagonal_counts_where_rows_hardly_vary() {
        // Rows of no variation along the second axis: 10⁻⁴ alone. λ_1 = (2·16/3)/(S_W/N−K + 10⁻⁴), λ_2 = (2·10⁻⁴/3)/10⁻⁴.
        let means = [[4.0, 0.0], [-4.0, 0.0], [0.0, 0.01], [0.0, -0.01]];
        let rows: Vec<f64> = (0..8)
            .flat_map(|row| [means[row / 2][0] + if row % 2 == 0 { 1.0 } else { -1.0 }, means[row / 2][1]])
            .collect();
        let found = lidar_of(&statistics(2, &rows, &(0..8).map(|row| row / 2).collect::<Vec<u32>>()));
        let (first, second) = (32.0 / 3.0 / (2.0 + 1e-4), 2e-4 / 3.0 / 1e-4_f64);
        let q = [first, second].map(|x| x / (first + second) + 1e-7);
        assert_close(found.value.unwrap(), (-q[0] * q[0].ln() - q[1] * q[1].ln()).exp(), 1e-9);
    }
}
