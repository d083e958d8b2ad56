//! What people measure beside neural collapse, by its definitions: over rows, and over all pairs of classes.

use std::f64::consts::PI;

use nckit::linalg;
use nckit::state::Head;

use super::Truth;
use super::scatter::{cholesky, dot, forward};
use crate::exact::Double;

type Numbers = Vec<(&'static str, Option<f64>)>;

/// Rows times squared dimensions up to which rows are decomposed: a second's work.
const DECOMPOSED: f64 = 1e8;

/// `exp(−Σ q ln q)`, `q = x/Σx + smoothing`.
fn effective(values: &[f64], smoothing: f64) -> f64 {
    let total: f64 = values.iter().sum();
    let shares = values.iter().map(|x| x / total + smoothing);
    shares.map(|q| if q > 0.0 { -q * q.ln() } else { 0.0 }).sum::<f64>().exp()
}

/// Singular values of rows of length `dim`; zeros to the number of dimensions.
fn singular(rows: &[f64], dim: usize) -> Vec<f64> {
    let mut values = linalg::right_singular(rows, dim).unwrap().values;
    values.resize(dim, 0.0);
    values
}

fn squares(values: &[f64]) -> Vec<f64> {
    values.iter().map(|x| x * x).collect()
}

fn participation(values: &[f64]) -> f64 {
    let shares: Vec<f64> = values.iter().map(|x| x / values[0]).collect();
    shares.iter().sum::<f64>().powi(2) / shares.iter().map(|x| x * x).sum::<f64>()
}

/// `Φ(−x)`: a series up to 3, a continued fraction beyond.
fn tail(x: f64) -> f64 {
    let density = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
    if x < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..80 {
            term *= x * x / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 - density * sum;
    }
    let fraction = (1..300).rev().fold(x, |rest, n| x + f64::from(n) / rest);
    density / fraction
}

/// The slope of the line through `ln λ_r` over `ln r`, `r` from 10 to 99 with weights `1/r`, and its sign changed.
fn exponent(values: &[f64]) -> Option<f64> {
    if values.len() < 100 || values[98] <= 0.0 {
        return None;
    }
    let points: Vec<(f64, f64, f64)> =
        (10..100).map(|r| ((r as f64).ln(), values[r - 1].ln(), 1.0 / r as f64)).collect();
    let sum = |of: &dyn Fn(&(f64, f64, f64)) -> f64| points.iter().map(of).sum::<f64>();
    let (w, x, y) = (sum(&|p| p.2), sum(&|p| p.2 * p.0), sum(&|p| p.2 * p.1));
    let (xx, xy) = (sum(&|p| p.2 * p.0 * p.0), sum(&|p| p.2 * p.0 * p.1));
    Some(-(w * xy - x * y) / (w * xx - x * x))
}

impl Truth {
    fn is_decomposed(&self) -> bool {
        self.rows() * (self.dim() * self.dim()) as f64 <= DECOMPOSED
    }

    /// The spectrum, of rows as they are, N × D; means centred with these weights.
    pub(crate) fn spectrum(&self, rows: &[f64], weights: &[f64]) -> Numbers {
        let dim = self.dim();
        let between: Vec<f64> = self.centred(weights).into_iter().map(Double::value).collect();
        let mut between = squares(&singular(&between, dim));
        between.truncate(self.labels.len() - 1);
        let mut all = vec![("spectrum_effective_rank_between", Some(effective(&between, 0.0)))];
        if !self.is_decomposed() {
            return all;
        }
        let centre = self.centre(&self.counts);
        let centred: Vec<f64> =
            rows.iter().enumerate().map(|(at, &x)| (Double::from(x) - centre[at % dim]).value()).collect();
        let (whole, within) = (squares(&singular(&centred, dim)), squares(&singular(&self.deviations, dim)));
        let raw = singular(rows, dim);
        let total: f64 = whole.iter().sum();
        let mut held = 0.0;
        let dim95 = whole.iter().position(|value| {
            held += value;
            held >= 0.95 * total
        });
        all.extend([
            ("spectrum_effective_rank", Some(effective(&whole, 0.0))),
            ("spectrum_effective_rank_within", Some(effective(&within, 0.0))),
            ("spectrum_rankme", Some(effective(&raw, 1e-7))),
            ("spectrum_participation", Some(participation(&whole))),
            ("spectrum_participation_within", Some(participation(&within))),
            ("spectrum_stable_rank", Some(total / whole[0])),
            ("spectrum_top_share", Some(whole[0] / total)),
            ("spectrum_numerical_rank", Some(raw.iter().filter(|s| **s > 1e-3 * raw[0]).count() as f64)),
            ("spectrum_dim95", dim95.map(|at| (at + 1) as f64)),
            ("spectrum_alpha_req", exponent(&whole)),
        ]);
        all
    }

    /// Separation, means centred with these weights where all classes count the same.
    pub(crate) fn separation(&self, weights: &[f64]) -> Numbers {
        let (dim, classes, rows) = (self.dim(), self.labels.len(), self.rows());
        let k = classes as f64;
        let weighted = self.centred(&self.counts);
        let mut between = Double::default();
        let mut within = Double::default();
        for (class, mean) in weighted.chunks(dim).enumerate() {
            between += Double::from(self.counts[class]) * dot(mean, mean);
            within += Double::product(self.counts[class], self.classes[class]);
        }
        let calinski = (between.over(k - 1.0) / within.over(rows - k)).value();
        let used: Vec<usize> = (0..classes).filter(|&class| self.counts[class] > 1.0).collect();
        let spread = |&class: &usize| 2.0 * self.counts[class] * self.classes[class] / (self.counts[class] - 1.0);
        let alignment = used.iter().map(spread).sum::<f64>() / used.len() as f64;
        let mut all = vec![
            ("separation_calinski_harabasz", (classes > 1 && rows > k).then_some(calinski)),
            ("separation_davies_bouldin_rms", Some(self.davies_bouldin())),
            ("separation_alignment", (!used.is_empty()).then_some(alignment)),
        ];
        all.extend(self.between_over_total().map(|(trace, _)| ("separation_h_score", Some(trace.value()))));
        let Some(covariance) = self.within() else { return all };
        if let Some(factor) = cholesky(covariance, dim) {
            let seen: Vec<Vec<Double>> = weighted.chunks(dim).map(|mean| forward(&factor, mean)).collect();
            let trace =
                seen.iter().zip(&self.counts).map(|(x, count)| (dot(x, x) * (*count).into()).over(rows).value());
            all.push(("separation_fisher_trace", Some(trace.sum())));
            let mut errors = Vec::new();
            for (at, a) in seen.iter().enumerate() {
                for b in &seen[..at] {
                    let difference: Vec<Double> = a.iter().zip(b).map(|(&a, &b)| a - b).collect();
                    errors.push(tail(0.5 * dot(&difference, &difference).sqrt().value()));
                }
            }
            all.push(("separation_lda_error_mean", Some(errors.iter().sum::<f64>() / errors.len() as f64)));
            all.push(("separation_lda_error_max", errors.iter().copied().reduce(f64::max)));
        }
        let mut system: Vec<Double> = covariance.iter().map(|&x| (x * rows.into()).over(rows - k)).collect();
        (0..dim).for_each(|j| system[j * dim + j] += 1e-4.into());
        if let Some(factor) = cholesky(&system, dim).filter(|_| rows > k) {
            let seen: Vec<f64> =
                self.centred(weights).chunks(dim).flat_map(|mean| forward(&factor, mean)).map(Double::value).collect();
            all.push(("separation_lidar", Some(effective(&squares(&singular(&seen, dim)), 1e-7))));
        }
        all
    }

    /// Infinite where two means are equal.
    fn davies_bouldin(&self) -> f64 {
        let (dim, classes) = (self.dim(), self.labels.len());
        let mean = |k: usize| &self.means[k * dim..][..dim];
        let ratio = |i: usize, j: usize| {
            let difference: Vec<Double> = mean(i).iter().zip(mean(j)).map(|(&a, &b)| a - b).collect();
            let scale = dot(mean(i), mean(i)).value() + dot(mean(j), mean(j)).value();
            let square = dot(&difference, &difference).value();
            // Nothing but the rounding of sums.
            let square = if square <= 1e-56 * scale { 0.0 } else { square };
            (self.classes[i].sqrt() + self.classes[j].sqrt()) / square.sqrt()
        };
        let worst = |i: usize| (0..classes).filter(|&j| j != i).map(|j| ratio(i, j)).fold(0.0, f64::max);
        (0..classes).map(worst).sum::<f64>() / classes as f64
    }

    /// Imbalance of centred means and of the classifier.
    pub(crate) fn imbalance(&self, weights: &[f64], head: &Head) -> Numbers {
        let dim = self.dim();
        let means = self.centred(weights);
        let scale = self.means.iter().map(|x| x.value().powi(2)).sum::<f64>().sqrt();
        let rows: Vec<Double> = head.weights.iter().map(|&w| w.into()).collect();
        let few = self.labels.len() <= dim + 1;
        let seli = |of: &[Double], power: f64| self.seli_error(of, power).filter(|_| few);
        vec![
            ("imbalance_seli_error", seli(&means, -0.5)),
            ("imbalance_seli_error_weights", seli(&rows, 0.5)),
            ("imbalance_minority_cos", self.minority_cos(&means, scale)),
            ("imbalance_minority_cos_weights", self.minority_cos(&rows, 0.0)),
        ]
    }

    fn seli_error(&self, vectors: &[Double], power: f64) -> Option<f64> {
        let (dim, classes) = (self.dim(), self.labels.len());
        let row = |k: usize| &vectors[k * dim..][..dim];
        let cell = |at: usize| (at / classes, at % classes);
        let k = classes as f64;
        let simplex = |i: usize, j: usize| f64::from(u8::from(i == j)) - 1.0 / k;
        let labels: Vec<f64> = (0..classes * classes)
            .map(cell)
            .map(|(i, j)| (0..classes).map(|l| simplex(i, l) * self.counts[l] * simplex(l, j)).sum())
            .collect();
        let eigen = linalg::symmetric_eigen(&labels, classes).ok()?;
        let power_of = |(i, j): (usize, usize)| -> f64 {
            let term = |r: usize| {
                eigen.values[r].powf(power) * eigen.vectors[r * classes + i] * eigen.vectors[r * classes + j]
            };
            (0..classes - 1).map(term).sum()
        };
        let ideal: Vec<f64> = (0..classes * classes).map(cell).map(power_of).collect();
        let gram: Vec<f64> = (0..classes * classes).map(cell).map(|(i, j)| dot(row(i), row(j)).value()).collect();
        let norm = |matrix: &[f64]| matrix.iter().map(|x| x * x).sum::<f64>().sqrt();
        let trace: f64 = gram.iter().step_by(classes + 1).sum();
        let gram: Vec<f64> = gram.iter().map(|x| x / trace).collect();
        let (a, b) = (norm(&gram), norm(&ideal));
        (a > 0.0).then(|| gram.iter().zip(&ideal).map(|(g, i)| (g / a - i / b).powi(2)).sum::<f64>().sqrt())
    }

    fn minority_cos(&self, vectors: &[Double], scale: f64) -> Option<f64> {
        let dim = self.dim();
        let mut sorted = self.counts.clone();
        sorted.sort_by(f64::total_cmp);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let row = |k: usize| &vectors[k * dim..][..dim];
        let norm = |k: usize| dot(row(k), row(k)).sqrt();
        let small: Vec<usize> =
            (0..sorted.len()).filter(|&k| self.counts[k] < median && norm(k).value() > 1e-28 * scale).collect();
        let mut cosines = Vec::new();
        for (at, &i) in small.iter().enumerate() {
            cosines.extend(small[..at].iter().map(|&j| (dot(row(i), row(j)) / (norm(i) * norm(j))).value()));
        }
        (!cosines.is_empty()).then(|| cosines.iter().sum::<f64>() / cosines.len() as f64)
    }

    /// LogME of rows as they are, N × D, whose classes are `classes`; missing where it takes too long.
    pub(crate) fn logme(&self, rows: &[f64], classes: &[usize]) -> Numbers {
        if !self.is_decomposed() {
            return Vec::new();
        }
        let dim = self.dim();
        let decomposition = linalg::right_singular(rows, dim).unwrap();
        let kept = decomposition.values.iter().filter(|s| **s > 1e-13 * decomposition.values[0]).count();
        let axes = &decomposition.vectors[..kept * dim];
        let values = squares(&decomposition.values[..kept]);
        let evidence = |class: usize| {
            let count = self.counts[class];
            let sum: Vec<f64> = self.means[class * dim..][..dim].iter().map(|x| x.value() * count).collect();
            let target = linalg::product_transposed(&sum, axes, dim);
            self.evidence(&values, axes, &target, rows, &classes.iter().map(move |&other| other == class))
        };
        let all: Option<Vec<f64>> = (0..self.labels.len()).map(evidence).collect();
        vec![("transfer_logme", all.map(|all| all.iter().sum::<f64>() / all.len() as f64))]
    }

    /// The evidence at the fixed point of both precisions, over N.
    fn evidence(
        &self,
        values: &[f64],
        axes: &[f64],
        target: &[f64],
        rows: &[f64],
        of_class: &(impl Iterator<Item = bool> + Clone),
    ) -> Option<f64> {
        let (dim, n) = (self.dim(), self.rows());
        let (mut alpha, mut beta) = (1.0_f64, 1.0_f64);
        let at = |lambda: f64| {
            let weights: Vec<f64> = values.iter().zip(target).map(|(s, z)| z / (s + lambda)).collect();
            let free: f64 = values.iter().map(|s| s / (s + lambda)).sum();
            let model = linalg::product(&weights, axes, values.len(), dim);
            let outputs = rows.chunks(dim).map(|row| row.iter().zip(&model).map(|(x, w)| x * w).sum::<f64>());
            let residual: f64 =
                outputs.zip(of_class.clone()).map(|(y, own)| (f64::from(u8::from(own)) - y).powi(2)).sum();
            (free, weights.iter().map(|m| m * m).sum::<f64>(), residual)
        };
        for _ in 0..1500 {
            let (free, square, residual) = at(alpha / beta);
            let (a, b) = (free / square, (n - free) / residual);
            let moved = (a / b) / (alpha / beta) - 1.0;
            (alpha, beta) = (a, b);
            if !(alpha / beta > 0.0 && (alpha / beta).is_finite()) {
                return None;
            }
            if moved.abs() < 1e-10 {
                let (_, square, residual) = at(alpha / beta);
                let logs: f64 = values.iter().map(|s| (alpha + beta * s).ln() - alpha.ln()).sum();
                let log = n * beta.ln() - n * (2.0 * PI).ln() - beta * residual - alpha * square - logs;
                return Some(0.5 * log / n);
            }
        }
        None
    }
}
