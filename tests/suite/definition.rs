//! What rows say by definition: two passes over them, deviations in twice the precision of `f64`.

mod decisions;
mod families;
mod geometry;
mod scatter;

use std::cell::OnceCell;

use nckit::batch::Label;

pub(crate) use decisions::hug_intra;
pub(crate) use geometry::{Duality, Vectors, ortho_dev};
pub(crate) use scatter::separation;

use crate::exact::Double;
use crate::rows::Rows;

/// Statistics and metrics of rows, classes in label order.
pub(crate) struct Truth {
    pub(crate) labels: Vec<Label>,
    pub(crate) counts: Vec<f64>,
    /// Variance within classes, by dimension.
    pub(crate) dimensions: Vec<f64>,
    /// `v_k`.
    pub(crate) classes: Vec<f64>,
    /// `μ_k`, K × D.
    pub(crate) means: Vec<Double>,
    /// Rows less their class's mean, N × D.
    pub(crate) deviations: Vec<f64>,
    /// `Σ_W`, made when first asked for.
    scatter: OnceCell<Option<Vec<Double>>>,
}

impl Truth {
    pub(crate) fn of(chunks: &[Rows]) -> Self {
        let dim = chunks[0].dim;
        let mut labels: Vec<Label> = chunks.iter().flat_map(|rows| rows.classes.iter().cloned()).collect();
        labels.sort_unstable();
        labels.dedup();
        let mut counts = vec![0.0; labels.len()];
        let mut means = vec![Double::default(); labels.len() * dim];
        each_row(chunks, &labels, |class, row| {
            counts[class] += 1.0;
            means[class * dim..][..dim].iter_mut().zip(row).for_each(|(mean, &x)| *mean += x.into());
        });
        for (class, &count) in counts.iter().enumerate() {
            means[class * dim..][..dim].iter_mut().for_each(|mean| *mean = mean.over(count));
        }
        let (mut dimensions, mut classes) = (vec![Double::default(); dim], vec![Double::default(); labels.len()]);
        let mut deviations = Vec::new();
        each_row(chunks, &labels, |class, row| {
            for (j, &x) in row.iter().enumerate() {
                let deviation = Double::from(x) - means[class * dim + j];
                dimensions[j] += deviation.squared();
                classes[class] += deviation.squared();
                deviations.push(deviation.value());
            }
        });
        let total: f64 = counts.iter().sum();
        Self {
            labels,
            dimensions: dimensions.into_iter().map(|sum| sum.over(total).value()).collect(),
            classes: classes.into_iter().zip(&counts).map(|(sum, &count)| sum.over(count).value()).collect(),
            counts,
            means,
            deviations,
            scatter: OnceCell::new(),
        }
    }

    pub(crate) fn dim(&self) -> usize {
        self.dimensions.len()
    }

    pub(crate) fn rows(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// Every class counts the same.
    pub(crate) fn equal_weights(&self) -> Vec<f64> {
        vec![1.0; self.labels.len()]
    }

    /// `Σ_k w_k μ_k / Σ_k w_k`.
    pub(crate) fn centre(&self, weights: &[f64]) -> Vec<Double> {
        let mut centre = vec![Double::default(); self.dim()];
        for (mean, &weight) in self.means.chunks(self.dim()).zip(weights) {
            centre.iter_mut().zip(mean).for_each(|(centre, &mean)| *centre += mean * weight.into());
        }
        let total: f64 = weights.iter().sum();
        centre.into_iter().map(|sum| sum.over(total)).collect()
    }

    /// The means less their [centre](Self::centre).
    pub(crate) fn centred(&self, weights: &[f64]) -> Vec<Double> {
        let centre = self.centre(weights);
        self.means.iter().enumerate().map(|(at, &mean)| mean - centre[at % self.dim()]).collect()
    }

    /// `tr Σ_W` and `tr Σ_B`, means centred with these weights.
    fn traces(&self, weights: &[f64]) -> (f64, f64) {
        let mut between = Double::default();
        self.centred(weights).into_iter().for_each(|x| between += x.squared());
        (self.dimensions.iter().sum(), between.over(self.labels.len() as f64).value())
    }

    /// `tr Σ_W / tr Σ_B`.
    pub(crate) fn trace_ratio(&self, weights: &[f64]) -> f64 {
        let (within, between) = self.traces(weights);
        within / between
    }

    /// `tr Σ_W / (tr Σ_W + tr Σ_B)`.
    pub(crate) fn within_fraction(&self, weights: &[f64]) -> f64 {
        let (within, between) = self.traces(weights);
        within / (within + between)
    }

    /// `(v_i + v_j) / (2 ‖μ_i − μ_j‖^2p)` of all pairs of classes of two rows or more; infinite where means are equal.
    pub(crate) fn cdnv(&self, exponent: f64) -> Vec<f64> {
        let used: Vec<usize> = (0..self.labels.len()).filter(|&k| self.counts[k] > 1.0).collect();
        let mean = |k: usize| &self.means[k * self.dim()..][..self.dim()];
        let mut pairs = Vec::new();
        for (at, &a) in used.iter().enumerate() {
            for &b in &used[..at] {
                let (mut square, mut scale) = (Double::default(), 0.0);
                for (&x, &y) in mean(a).iter().zip(mean(b)) {
                    square += (x - y).squared();
                    scale += x.value().powi(2) + y.value().powi(2);
                }
                // Nothing but the rounding of sums.
                let square = if square.value() <= 1e-56 * scale { 0.0 } else { square.value() };
                pairs.push((self.classes[a] + self.classes[b]) / (2.0 * square.powf(exponent)));
            }
        }
        pairs
    }
}

/// The class of each row, and the row.
pub(crate) fn each_row(chunks: &[Rows], labels: &[Label], mut row: impl FnMut(usize, &[f64])) {
    for rows in chunks {
        let class_of: Vec<usize> = rows.classes.iter().map(|label| labels.binary_search(label).unwrap()).collect();
        for (i, &code) in rows.codes.iter().enumerate() {
            row(class_of[code as usize], &rows.row(i));
        }
    }
}
