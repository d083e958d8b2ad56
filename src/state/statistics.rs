//! The statistics of a state, in floating point.

use crate::batch::Label;

/// Class statistics of one group of rows, classes in label order. Units are those of the features.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// `D`.
    pub dim: usize,
    /// The `K` labels of classes with rows, ascending.
    pub labels: Vec<Label>,
    /// `n_k`, each at least 1.
    pub counts: Vec<u64>,
    /// A point among the data, `D`. Means are relative to it, so that a large common offset costs no digits.
    pub origin: Vec<f64>,
    /// `μ_k − origin`, `K × D`, row-major.
    pub offsets: Vec<f64>,
    /// `v_k = (1/n_k) Σ ‖x − μ_k‖²`, `K`.
    pub variances: Vec<f64>,
    /// `S_W`, the pooled within-class scatter, `D × D`, both triangles. `None` when only class sums were kept.
    pub scatter: Option<Vec<f64>>,
    /// `Γ_j`, `D`: the mean squared rounding error of dimension `j` over all rows (METRICS 4.7, bias terms).
    pub rounding: Vec<f64>,
    /// `Γ_j` over the rows that rounding changed, 0 if there are none (METRICS 4.7, random terms). It is more if rounding
    /// moved them all to one side, since that does not average out.
    pub rounding_changed: Vec<f64>,
    /// `D`: the mean squared rounding error of a row that is left in the means of dimension `j`. The mean of class `k` is
    /// off by about `√(mean_rounding_j / n_k)`.
    pub mean_rounding: Vec<f64>,
}

impl Statistics {
    /// `N`, the number of rows.
    pub fn rows(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// `K`, the number of classes.
    pub fn classes(&self) -> usize {
        self.labels.len()
    }

    /// `μ_k − origin`, `D`.
    pub fn offset(&self, class: usize) -> &[f64] {
        &self.offsets[class * self.dim..][..self.dim]
    }

    /// `μ_k`, `D`.
    pub fn mean(&self, class: usize) -> Vec<f64> {
        self.offset(class).iter().zip(&self.origin).map(|(offset, origin)| origin + offset).collect()
    }

    /// The mean squared distance between the mean of `class` and the true one, from the rounding of its rows and from its
    /// own rounding to `f64`. Feature units squared.
    pub fn mean_noise(&self, class: usize) -> f64 {
        let rounding: f64 = self.mean_rounding.iter().sum();
        let own: f64 = self.offset(class).iter().map(|x| (f64::EPSILON * x).powi(2)).sum();
        rounding / self.counts[class] as f64 + own
    }

    /// The unweighted mean of the class means, `D`.
    pub fn mean_of_means(&self) -> Vec<f64> {
        let classes = self.classes() as f64;
        // Means of offsets, so that a large common offset costs no digits.
        let mean = |(j, origin): (usize, &f64)| {
            origin + (0..self.classes()).map(|class| self.offset(class)[j]).sum::<f64>() / classes
        };
        self.origin.iter().enumerate().map(mean).collect()
    }

    /// The mean of all rows, `D`.
    pub fn mean_of_rows(&self) -> Vec<f64> {
        let rows = self.rows() as f64;
        let mean = |(j, origin): (usize, &f64)| {
            let sum = (0..self.classes()).map(|class| self.counts[class] as f64 * self.offset(class)[j]).sum::<f64>();
            origin + sum / rows
        };
        self.origin.iter().enumerate().map(mean).collect()
    }

    /// The statistics of the classes for which `keep` holds. The scatter is pooled over all classes, so it is dropped unless
    /// every class that is left out has a single row, and with that no scatter of its own.
    #[must_use]
    pub fn retain(&self, keep: impl Fn(usize) -> bool) -> Self {
        let scatter_is_theirs = (0..self.classes()).all(|class| keep(class) || self.counts[class] == 1);
        self.restricted(keep, scatter_is_theirs)
    }

    /// The same with or without the pooled scatter, of which nothing is taken off.
    #[must_use]
    pub fn restricted(&self, keep: impl Fn(usize) -> bool, with_scatter: bool) -> Self {
        let kept: Vec<usize> = (0..self.classes()).filter(|&class| keep(class)).collect();
        Self {
            dim: self.dim,
            labels: kept.iter().map(|&class| self.labels[class].clone()).collect(),
            counts: kept.iter().map(|&class| self.counts[class]).collect(),
            origin: self.origin.clone(),
            offsets: kept.iter().flat_map(|&class| self.offset(class)).copied().collect(),
            variances: kept.iter().map(|&class| self.variances[class]).collect(),
            scatter: self.scatter.clone().filter(|_| with_scatter),
            rounding: self.rounding.clone(),
            rounding_changed: self.rounding_changed.clone(),
            mean_rounding: self.mean_rounding.clone(),
        }
    }
}
