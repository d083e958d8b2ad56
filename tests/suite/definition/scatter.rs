//! What needs the scatter within classes: NC1, VCI, the parts of the squared loss, NECO's scores.

use nckit::linalg;
use nckit::state::Head;

use super::Truth;
use crate::exact::Double;

/// Rows times squared dimensions up to which the scatter is summed in twice the precision: a second's work.
const EXACT_SCATTER: f64 = 1e8;

/// Below this share of the largest, what is left of a vector is the rounding of its sums.
const NOTHING: f64 = 1e-22;

/// The parts of the squared loss.
pub(crate) struct Mse {
    pub(crate) nc1: f64,
    pub(crate) nc23: f64,
    pub(crate) perp: f64,
}

/// Scores of rows of the classes, and of others.
#[derive(Default)]
pub(crate) struct Scores {
    pub(crate) inside: Vec<f64>,
    pub(crate) outside: Vec<f64>,
    /// The class of the nearest mean, of rows of the classes.
    pub(crate) nearest: Vec<usize>,
}

pub(super) fn dot(a: &[Double], b: &[Double]) -> Double {
    let mut sum = Double::default();
    a.iter().zip(b).for_each(|(&a, &b)| sum += a * b);
    sum
}

/// `row ← row − factor · other`.
fn subtract(row: &mut [Double], factor: Double, other: &[Double]) {
    row.iter_mut().zip(other).for_each(|(x, &y)| *x -= factor * y);
}

/// `A = L Q`, `Q` an orthonormal basis of the rows (Gram and Schmidt, the longest row first). `L` is rows × rank, `Q` is
/// rank × `dim`.
fn row_basis(a: &[Double], dim: usize, most: usize) -> (Vec<Double>, Vec<Double>) {
    let mut rest: Vec<Vec<Double>> = a.chunks(dim).map(<[Double]>::to_vec).collect();
    let mut basis: Vec<Vec<Double>> = Vec::new();
    let mut coefficients: Vec<Vec<Double>> = vec![Vec::new(); rest.len()];
    let mut first = 0.0;
    while basis.len() < most {
        let norms: Vec<f64> =
            rest.iter().map(|row| row.iter().map(|x| x.value().powi(2)).sum::<f64>().sqrt()).collect();
        let (longest, norm) = norms.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        first = if basis.is_empty() { norm } else { first };
        if norm <= NOTHING * first || norm == 0.0 {
            break;
        }
        let mut axis = rest[longest].clone();
        for known in &basis {
            let along = dot(&axis, known);
            subtract(&mut axis, along, known);
        }
        let length = dot(&axis, &axis).sqrt();
        for x in &mut axis {
            *x = *x / length;
        }
        for (row, coefficients) in rest.iter_mut().zip(&mut coefficients) {
            let along = dot(row, &axis);
            subtract(row, along, &axis);
            coefficients.push(along);
        }
        basis.push(axis);
    }
    (coefficients.concat(), basis.concat())
}

/// `R`, upper triangular, with `RᵀR = LᵀL`; `l` is rows × `rank`.
fn triangle(l: &[Double], rank: usize) -> Vec<Double> {
    let mut columns: Vec<Vec<Double>> = (0..rank).map(|r| l.iter().skip(r).step_by(rank).copied().collect()).collect();
    let mut triangle = vec![Double::default(); rank * rank];
    for r in 0..rank {
        let (done, rest) = columns.split_at_mut(r + 1);
        let axis = &mut done[r];
        let length = dot(axis, axis).sqrt();
        for x in axis.iter_mut() {
            *x = *x / length;
        }
        triangle[r * rank + r] = length;
        for (c, column) in rest.iter_mut().enumerate() {
            let along = dot(axis, column);
            subtract(column, along, axis);
            triangle[r * rank + r + 1 + c] = along;
        }
    }
    triangle
}

/// `L` with `L Lᵀ = a`, D × rank, columns as they were chosen: the largest pivot first, until only rounding is left.
fn pivoted_cholesky(a: &[Double], size: usize) -> Vec<Vec<Double>> {
    let mut diagonal: Vec<Double> = (0..size).map(|j| a[j * size + j]).collect();
    let mut columns: Vec<Vec<Double>> = Vec::new();
    let largest = diagonal.iter().map(|x| x.value()).fold(0.0, f64::max);
    while columns.len() < size {
        let pivots = diagonal.iter().map(|x| x.value()).enumerate();
        let (pivot, value) = pivots.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        if value <= 1e-27 * largest {
            break;
        }
        let root = diagonal[pivot].sqrt();
        let mut column: Vec<Double> = (0..size).map(|i| a[i * size + pivot]).collect();
        for known in &columns {
            subtract(&mut column, known[pivot], known);
        }
        for x in &mut column {
            *x = *x / root;
        }
        diagonal.iter_mut().zip(&column).for_each(|(d, x)| *d -= x.squared());
        diagonal[pivot] = Double::default();
        columns.push(column);
    }
    columns
}

/// `L` with `L Lᵀ = a`, row-major; `None` if `a` is not positive definite.
pub(super) fn cholesky(a: &[Double], size: usize) -> Option<Vec<Double>> {
    let mut factor = vec![Double::default(); size * size];
    for i in 0..size {
        for j in 0..=i {
            let rest = a[i * size + j] - dot(&factor[i * size..][..j], &factor[j * size..][..j]);
            if i == j && (rest.value().is_nan() || rest.value() <= 0.0) {
                return None;
            }
            factor[i * size + j] = if i == j { rest.sqrt() } else { rest / factor[j * size + j] };
        }
    }
    Some(factor)
}

/// `L⁻¹ x`, with the factor `L`.
pub(super) fn forward(factor: &[Double], x: &[Double]) -> Vec<Double> {
    let size = x.len();
    let mut x = x.to_vec();
    for i in 0..size {
        let known = dot(&factor[i * size..][..i], &x[..i]);
        x[i] = (x[i] - known) / factor[i * size + i];
    }
    x
}

/// `a⁻¹ x`, with the factor of `a`.
fn solve(factor: &[Double], x: &[Double]) -> Vec<Double> {
    let size = x.len();
    let mut x = forward(factor, x);
    for i in (0..size).rev() {
        for j in i + 1..size {
            x[i] = x[i] - factor[j * size + i] * x[j];
        }
        x[i] = x[i] / factor[i * size + i];
    }
    x
}

/// `Xᵀ X` and more: `into += Σ x xᵀ` over rows of length `dim`, both triangles.
fn add_gram(into: &mut [Double], rows: &[Double], dim: usize) {
    for row in rows.chunks(dim) {
        for i in 0..dim {
            for j in 0..=i {
                into[i * dim + j] += row[i] * row[j];
            }
        }
    }
    for i in 0..dim {
        for j in 0..i {
            into[j * dim + i] = into[i * dim + j];
        }
    }
}

impl Truth {
    /// `tr(Σ_W Σ_B⁺) / K`, means centred with these weights: with `C = L Q` and `R` of `L`, the mean over rows of
    /// `‖R⁻ᵀ Q δ‖²`.
    ///
    /// Eigenvalues of `Σ_B` up to `D ε` of the largest are 0, by definition. With such, directions and singular values in
    /// `f64` do: those that are left are above `√(D ε)` of the largest.
    pub(crate) fn nc1(&self, weights: &[f64]) -> f64 {
        let (dim, classes) = (self.dim(), self.labels.len());
        let centred = self.centred(weights);
        let singular = linalg::right_singular(&centred.iter().map(|x| x.value()).collect::<Vec<_>>(), dim).unwrap();
        let cut = (dim as f64 * f64::EPSILON).sqrt() * singular.values[0];
        let kept = singular.values.iter().take(classes - 1).filter(|value| **value > cut).count();
        if kept < (classes - 1).min(dim) {
            let images = linalg::product_transposed(&self.deviations, &singular.vectors[..kept * dim], dim);
            let squares = images.iter().enumerate().map(|(at, x)| (x / singular.values[at % kept]).powi(2));
            return squares.sum::<f64>() / self.rows();
        }
        let (l, basis) = row_basis(&centred, dim, (classes - 1).min(dim));
        let rank = basis.len() / dim;
        let triangle = triangle(&l, rank);
        let mut through: Vec<Vec<Double>> = basis.chunks(dim).map(<[Double]>::to_vec).collect();
        for r in 0..rank {
            let (done, rest) = through.split_at_mut(r);
            let row = &mut rest[0];
            done.iter().enumerate().for_each(|(s, known)| subtract(row, triangle[s * rank + r], known));
            for x in row.iter_mut() {
                *x = *x / triangle[r * rank + r];
            }
        }
        let through: Vec<f64> = through.concat().into_iter().map(Double::value).collect();
        let images = linalg::product_transposed(&self.deviations, &through, dim);
        images.iter().map(|x| x * x).sum::<f64>() / self.rows()
    }

    /// `Σ_W`, D × D; `None` where it takes too long.
    pub(super) fn within(&self) -> Option<&[Double]> {
        let make = || {
            let dim = self.dim();
            if self.rows() * (dim * dim) as f64 > EXACT_SCATTER {
                return None;
            }
            let mut within = vec![Double::default(); dim * dim];
            for row in self.deviations.chunks(dim) {
                for i in 0..dim {
                    for j in 0..=i {
                        within[i * dim + j] += Double::product(row[i], row[j]);
                    }
                }
            }
            add_gram(&mut within, &[], dim);
            Some(within.into_iter().map(|sum| sum.over(self.rows())).collect())
        };
        self.scatter.get_or_init(make).as_deref()
    }

    /// `1 − tr(Σ_T⁺ Σ_B) / rank Σ_B`, classes weighted by their rows; `None` where it takes too long, or has no value.
    pub(crate) fn vci(&self) -> Option<f64> {
        let (trace, rank) = self.between_over_total()?;
        (rank > 0).then(|| (Double::from(1.0) - trace.over(rank as f64)).value())
    }

    /// `tr(Σ_T⁺ Σ_B)`, and the rank of `Σ_B`.
    pub(super) fn between_over_total(&self) -> Option<(Double, usize)> {
        let dim = self.dim();
        let mut total = self.within()?.to_vec();
        let mut between = self.centred(&self.counts);
        for (row, count) in between.chunks_mut(dim).zip(&self.counts) {
            let share = Double::from(*count).over(self.rows()).sqrt();
            for x in row.iter_mut() {
                *x = *x * share;
            }
        }
        add_gram(&mut total, &between, dim);
        let rank = row_basis(&between, dim, (self.labels.len() - 1).min(dim)).1.len() / dim;
        // Σ_T⁺ = L (LᵀL)⁻² Lᵀ
        let columns = pivoted_cholesky(&total, dim);
        let size = columns.len();
        let mut gram = Vec::with_capacity(size * size);
        for a in &columns {
            gram.extend(columns.iter().map(|b| dot(a, b)));
        }
        let factor = cholesky(&gram, size)?;
        let mut trace = Double::default();
        for row in between.chunks(dim) {
            let along: Vec<Double> = columns.iter().map(|column| dot(column, row)).collect();
            for x in solve(&factor, &along) {
                trace += x.squared();
            }
        }
        Some((trace, rank))
    }

    /// The parts of the loss with `λ`; `None` where it takes too long, or has no value.
    ///
    /// ```text
    /// A    = Σ_W + CᵀC/K + λ/(1+λ) μμᵀ + λI
    /// W_LS = (1/K) (M − 1μᵀ/(1+λ)) A⁻¹            b_LS = (1/K − W_LS μ)/(1+λ)
    /// ```
    pub(crate) fn mse(&self, head: &Head, lambda: f64) -> Option<Mse> {
        let (dim, classes) = (self.dim(), self.labels.len());
        let (k, lambda, half) = (classes as f64, Double::from(lambda), 0.5);
        let one = Double::from(1.0);
        let weights = self.equal_weights();
        let (centre, centred) = (self.centre(&weights), self.centred(&weights));
        let within = self.within()?;
        let mut total = vec![Double::default(); dim * dim];
        add_gram(&mut total, &centred, dim);
        total.iter_mut().zip(within).for_each(|(total, &within)| *total = total.over(k) + within);
        (0..dim).for_each(|j| total[j * dim + j] += lambda);
        let shrink = lambda / (one + lambda);
        let mut system = total.clone();
        for i in 0..dim {
            (0..dim).for_each(|j| system[i * dim + j] += shrink * centre[i] * centre[j]);
        }
        let factor = cholesky(&system, dim)?;
        let (mut nc1, mut nc23, mut perp) = (Double::default(), Double::default(), Double::default());
        let quadratic = |matrix: &[Double], x: &[Double]| {
            let mut sum = Double::default();
            matrix.chunks(dim).zip(x).for_each(|(row, &x_i)| sum += x_i * dot(row, x));
            sum
        };
        for (class, mean) in self.means.chunks(dim).enumerate() {
            let right: Vec<Double> =
                mean.iter().zip(&centre).map(|(&m, &c)| (m - c / (one + lambda)).over(k)).collect();
            let w = solve(&factor, &right);
            let b = (one.over(k) - dot(&w, &centre)) / (one + lambda);
            nc1 += quadratic(within, &w) + lambda * dot(&w, &w) + lambda * b.squared();
            for (other, mean) in self.means.chunks(dim).enumerate() {
                let target = Double::from(f64::from(u8::from(class == other)));
                nc23 += (dot(&w, mean) + b - target).squared();
            }
            let given = &head.weights[class * dim..][..dim];
            let delta: Vec<Double> = given.iter().zip(&w).map(|(&given, &w)| Double::from(given) - w).collect();
            let beta = Double::from(head.bias.as_ref().map_or(0.0, |bias| bias[class])) - b;
            perp += quadratic(&total, &delta) + (dot(&delta, &centre) + beta).squared() + lambda * beta.squared();
        }
        Some(Mse { nc1: half * nc1.value(), nc23: half * nc23.value() / k, perp: half * perp.value() })
    }

    /// Mahalanobis scores of rows, of the classes and others, and relative ones; nothing where a covariance is singular, or
    /// nearly.
    pub(crate) fn mahalanobis(&self, inside: &[f64], outside: &[f64]) -> Option<[Scores; 2]> {
        let dim = self.dim();
        let factor_of = |matrix: &[Double]| {
            let factor = cholesky(matrix, dim)?;
            let pivots: Vec<f64> =
                (0..dim).map(|j| (factor[j * dim + j].squared() / matrix[j * dim + j]).value()).collect();
            pivots.iter().all(|pivot| *pivot > 1e-9).then_some(factor)
        };
        let within = self.within()?;
        let mut total = within.to_vec();
        let mut between = self.centred(&self.counts);
        for (row, count) in between.chunks_mut(dim).zip(&self.counts) {
            let share = Double::from(*count).over(self.rows()).sqrt();
            for x in row.iter_mut() {
                *x = *x * share;
            }
        }
        add_gram(&mut total, &between, dim);
        let (within, total, centre) = (factor_of(within)?, factor_of(&total)?, self.centre(&self.counts));
        let square = |factor: &[Double], x: &[f64], about: &[Double]| {
            let centred: Vec<Double> = x.iter().zip(about).map(|(&x, &about)| Double::from(x) - about).collect();
            let y = forward(factor, &centred);
            dot(&y, &y).value()
        };
        let mut near = Scores::default();
        let mut relative = Scores::default();
        for (rows, is_inside) in [(inside, true), (outside, false)] {
            for x in rows.chunks(dim) {
                let squares: Vec<f64> = self.means.chunks(dim).map(|mean| square(&within, x, mean)).collect();
                let best = squares.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1))?.0;
                let scores = [-squares[best], square(&total, x, &centre) - squares[best]];
                for (all, score) in [&mut near, &mut relative].into_iter().zip(scores) {
                    if is_inside { all.inside.push(score) } else { all.outside.push(score) }
                }
                if is_inside {
                    near.nearest.push(best);
                }
            }
        }
        Some([near, relative])
    }

    /// The least-squares classifier of rows with an intercept, `λ` in units of the mean variance; `None` where it takes too
    /// long, or has no value.
    ///
    /// `w_k = (Σ_T + λ tr(Σ_T)/D)⁻¹ (n_k/N) (μ_k − μ)`, `b_k = n_k/N − w_k · μ`
    pub(crate) fn least_squares(&self, lambda: f64) -> Option<Head> {
        let dim = self.dim();
        let (mean, mut targets) = (self.centre(&self.counts), self.centred(&self.counts));
        let share = |class: usize| Double::from(self.counts[class]).over(self.rows());
        let mut between = targets.clone();
        for (class, (target, row)) in targets.chunks_mut(dim).zip(between.chunks_mut(dim)).enumerate() {
            let (share, root) = (share(class), share(class).sqrt());
            for x in target.iter_mut() {
                *x = *x * share;
            }
            for x in row.iter_mut() {
                *x = *x * root;
            }
        }
        let mut system = self.within()?.to_vec();
        add_gram(&mut system, &between, dim);
        let mut trace = Double::default();
        (0..dim).for_each(|j| trace += system[j * dim + j]);
        let ridge = Double::from(lambda) * trace.over(dim as f64);
        (0..dim).for_each(|j| system[j * dim + j] += ridge);
        let factor = cholesky(&system, dim)?;
        let weights: Vec<Vec<Double>> = targets.chunks(dim).map(|target| solve(&factor, target)).collect();
        let bias = weights.iter().enumerate().map(|(class, row)| (share(class) - dot(row, &mean)).value()).collect();
        let weights = weights.concat().into_iter().map(Double::value).collect();
        Some(Head { weights, bias: Some(bias), errors: Vec::new() })
    }

    /// NECO's scores `‖P_q z‖ / ‖z‖` of rows: those of the classes, and others. Nothing if 90 % of the variance takes all
    /// directions in which rows vary, for then every score is 1; an error if there is no decomposition.
    pub(crate) fn neco(&self, inside: &[f64], outside: &[f64]) -> nckit::error::Result<Option<(Vec<f64>, Vec<f64>)>> {
        let (dim, rows) = (self.dim(), self.rows());
        let mean = self.centre(&self.counts);
        let mut deviations = self.deviations.clone();
        for (row, count) in self.centred(&self.counts).chunks(dim).zip(&self.counts) {
            deviations.extend(row.iter().map(|x| x.value() * count.sqrt()));
        }
        let squares = |j: usize| deviations.iter().skip(j).step_by(dim).map(|x| x * x).sum::<f64>() / rows;
        let scale: Vec<f64> = (0..dim).map(squares).map(|v| if v > 0.0 { v.sqrt() } else { 1.0 }).collect();
        let scaled: Vec<f64> = deviations.iter().enumerate().map(|(at, x)| x / scale[at % dim] / rows.sqrt()).collect();
        let eigen = linalg::symmetric_eigen(&linalg::gram(&scaled, dim), dim)?;
        let total: f64 = eigen.values.iter().map(|x| x.max(0.0)).sum();
        let mut explained = 0.0;
        let enough = |value: &f64| {
            explained += value.max(0.0);
            explained >= 0.9 * total
        };
        let Some(last) = eigen.values.iter().position(enough) else { return Ok(None) };
        let axes = last + 1;
        let rest: f64 = eigen.values[axes..].iter().map(|x| x.max(0.0)).sum();
        if rest <= 1e-16 * total {
            return Ok(None);
        }
        let score = |row: &[f64]| {
            let z: Vec<f64> = (0..dim).map(|j| (Double::from(row[j]) - mean[j]).value() / scale[j]).collect();
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let along: Vec<f64> = eigen.vectors[..axes * dim]
                .chunks(dim)
                .map(|axis| axis.iter().zip(&z).map(|(a, z)| a * z).sum())
                .collect();
            if norm(&z) > 0.0 { norm(&along) / norm(&z) } else { 0.0 }
        };
        Ok(Some((inside.chunks(dim).map(score).collect(), outside.chunks(dim).map(score).collect())))
    }
}

/// Area under the ROC curve, and the false positive rate at a true positive rate of 95 %.
pub(crate) fn separation(inside: &[f64], outside: &[f64]) -> (f64, f64) {
    let mut sorted = outside.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut twice = 0;
    for score in inside {
        twice += sorted.partition_point(|x| x < score) + sorted.partition_point(|x| x <= score);
    }
    let mut positive = inside.to_vec();
    positive.sort_by(|a, b| b.total_cmp(a));
    let reached = (positive.len() * 95).div_ceil(100);
    let threshold = positive[reached - 1];
    let above = sorted.len() - sorted.partition_point(|x| *x < threshold);
    (twice as f64 / (2 * inside.len() * outside.len()) as f64, above as f64 / outside.len() as f64)
}
