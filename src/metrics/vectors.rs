//! Vectors, one a class: centred means or classifier rows.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::{Centring, noise};
pub(super) use crate::kernels::dot::dot;
use crate::kernels::pairs::{Points, UNRESOLVED};
use crate::linalg;
use crate::state::Statistics;

/// `K` vectors of length `D`, held as multiples of a power of two, so that their squares and fourth powers stay in range.
#[derive(Clone, Debug)]
pub(super) struct Vectors {
    /// `D`.
    pub dim: usize,
    /// `K × D`, row-major, in units of `unit`.
    pub values: Vec<f64>,
    /// The norms, in units of `unit`; one that is only rounding is 0.
    pub norms: Vec<f64>,
    /// A power of two near the largest entry.
    pub unit: f64,
    /// What rounding left in them, see [`Points`].
    noise: Vec<f64>,
    along: f64,
    sums: Sums,
}

/// What several metrics make of all vectors together, once it is asked for.
#[derive(Clone, Debug, Default)]
struct Sums {
    sum: OnceLock<Vec<f64>>,
    square: OnceLock<f64>,
    gram: OnceLock<Vec<f64>>,
}

impl Vectors {
    /// Vectors that are differences of values up to `scale` in norm: the difference of equal values is rounding alone.
    pub(super) fn new(dim: usize, mut values: Vec<f64>, scale: f64) -> Self {
        let part = PART * dim.max(1);
        let largest_of = |values: &[f64]| values.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        let largest = values.par_chunks(part).map(largest_of).reduce(|| 0.0, f64::max);
        let unit = if largest > 0.0 { 2.0_f64.powi(largest.log2().floor().clamp(-1000.0, 1000.0) as i32) } else { 1.0 };
        let noise = 4.0 * (dim as f64).sqrt() * f64::EPSILON * (scale / unit);
        let mut norms = vec![0.0; values.len() / dim.max(1)];
        values.par_chunks_mut(part).zip(norms.par_chunks_mut(PART)).for_each(|(values, norms)| {
            for x in &mut *values {
                *x /= unit;
            }
            for (norm, row) in norms.iter_mut().zip(values.chunks_exact(dim.max(1))) {
                *norm = dot(row, row).sqrt();
                if *norm <= noise {
                    *norm = 0.0;
                }
            }
        });
        let noise = norms.iter().map(|norm| (f64::EPSILON * norm).powi(2)).collect();
        Self { dim, values, norms, unit, noise, along: 1.0, sums: Sums::default() }
    }

    /// `μ_k`, as they are.
    pub(super) fn uncentred(statistics: &Statistics) -> Self {
        let origin = &statistics.origin;
        let means = made(statistics, |class, mean| {
            let offset = statistics.offset(class);
            mean.iter_mut().zip(origin.iter().zip(offset)).for_each(|(mean, (origin, offset))| *mean = origin + offset);
        });
        let mut vectors = Self::new(statistics.dim, means, 0.0);
        let square = vectors.unit * vectors.unit;
        for (class, noise) in vectors.noise.iter_mut().enumerate() {
            *noise += statistics.mean_noise(class) / square;
        }
        vectors
    }

    /// `c_k = μ_k − μ_G`.
    pub(super) fn centred(statistics: &Statistics, centring: Centring) -> Self {
        let centre = centre(statistics, centring);
        let rows = (0..statistics.classes()).into_par_iter().map(|class| statistics.offset(class));
        let scale = rows.map(|row| dot(row, row)).reduce(|| 0.0, f64::max).sqrt();
        let values = made(statistics, |class, row| {
            let offset = statistics.offset(class);
            row.iter_mut().zip(offset.iter().zip(&centre)).for_each(|(to, (x, centre))| *to = x - centre);
        });
        let mut vectors = Self::new(statistics.dim, values, scale);
        vectors.add_noise(statistics);
        vectors
    }

    /// Adds the rounding noise of the class means; a mean that lies within that noise of the centre has no direction.
    fn add_noise(&mut self, statistics: &Statistics) {
        let classes = statistics.classes() as f64;
        let by_dimension = noise::of_means(statistics, None, |_| 1.0 / classes);
        let (total, most) = by_dimension.iter().fold((0.0, 0.0), |(sum, most): (f64, f64), x| (sum + x, most.max(*x)));
        if total > 0.0 {
            self.along = most / total;
        }
        // The centre's own noise is that of a mean over classes, about.
        let square = self.unit * self.unit;
        for (class, (noise, norm)) in self.noise.iter_mut().zip(&mut self.norms).enumerate() {
            *noise += (statistics.mean_noise(class) + total / classes) / square;
            if *norm * *norm <= UNRESOLVED * *noise {
                *norm = 0.0;
            }
        }
    }

    /// The same vectors, each of which may lie that far from the true one, in its own units; none of them for no errors. A
    /// vector that may be nothing but that has no direction.
    #[must_use]
    pub(super) fn off_by(mut self, errors: &[f64]) -> Self {
        for ((noise, norm), error) in self.noise.iter_mut().zip(&mut self.norms).zip(errors) {
            *noise += (error / self.unit).powi(2);
            if *norm * *norm <= UNRESOLVED * *noise {
                *norm = 0.0;
            }
        }
        self
    }

    /// How far each vector may lie from the true one, and its own arithmetic with it, in units of `unit`.
    pub(super) fn errors(&self) -> Vec<f64> {
        let arithmetic = (4.0 + (self.dim as f64).sqrt()) * f64::EPSILON;
        self.noise.iter().zip(&self.norms).map(|(noise, norm)| noise.sqrt() + arithmetic * norm).collect()
    }

    /// The vectors as the points of a sweep over pairs.
    pub(super) fn points(&self) -> Points<'_> {
        Points {
            dim: self.dim,
            values: &self.values,
            norms: &self.norms,
            unit: self.unit,
            noise: &self.noise,
            along: self.along,
        }
    }

    /// `K`.
    pub(super) fn len(&self) -> usize {
        self.norms.len()
    }

    /// Vector `k`, in units of `unit`.
    pub(super) fn row(&self, k: usize) -> &[f64] {
        &self.values[k * self.dim..][..self.dim]
    }

    /// Vector `k` at length 1; `None` if its length is 0.
    pub(super) fn unit_row(&self, k: usize) -> Option<impl Iterator<Item = f64> + '_> {
        let norm = self.norms[k];
        (norm > 0.0).then(|| self.row(k).iter().map(move |x| x / norm))
    }

    /// The vectors at length 1, those of length 0 left out.
    pub(super) fn units(&self) -> Self {
        let mut values = Vec::with_capacity((self.len() - self.zeros()) * self.dim);
        (0..self.len()).filter_map(|k| self.unit_row(k)).for_each(|row| values.extend(row));
        let norms = vec![1.0; values.len() / self.dim.max(1)];
        let directed = self.noise.iter().zip(&self.norms).filter(|(_, norm)| **norm > 0.0);
        let noise = directed.map(|(noise, norm)| noise / (norm * norm)).collect();
        Self { dim: self.dim, values, norms, unit: 1.0, noise, along: self.along, sums: Sums::default() }
    }

    /// Some of the vectors.
    pub(super) fn select(&self, vectors: &[usize]) -> Self {
        Self {
            values: vectors.iter().flat_map(|&k| self.row(k)).copied().collect(),
            norms: vectors.iter().map(|&k| self.norms[k]).collect(),
            noise: vectors.iter().map(|&k| self.noise[k]).collect(),
            sums: Sums::default(),
            ..*self
        }
    }

    /// How many have length 0.
    pub(super) fn zeros(&self) -> usize {
        self.norms.iter().filter(|norm| **norm == 0.0).count()
    }

    /// `Σ_k x_k`.
    pub(super) fn sum(&self) -> &[f64] {
        self.sums.sum.get_or_init(|| {
            let mut sum = vec![0.0; self.dim];
            for row in self.values.chunks_exact(self.dim) {
                sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
            sum
        })
    }

    /// `‖X‖²`, in units of `unit` squared.
    pub(super) fn square(&self) -> f64 {
        *self.sums.square.get_or_init(|| dot(&self.values, &self.values))
    }

    /// `Xᵀ X`, in units of `unit` squared.
    pub(super) fn gram(&self) -> &[f64] {
        self.sums.gram.get_or_init(|| linalg::gram(&self.values, self.dim))
    }

    /// Whether to use the `K × K` products in place of closed forms over the `D × D` Gram matrix, which cancel near a simplex:
    /// a simplex takes `K ≤ D + 1`, and then the products are the smaller matrix, about.
    pub(super) fn few(&self) -> bool {
        self.len() <= self.dim + 1
    }

    /// `‖X Xᵀ‖²`, in units of `unit` to the fourth, by the smaller of `X Xᵀ` and `Xᵀ X`.
    pub(super) fn squared_gram(&self) -> f64 {
        let square = |gram: &[f64]| dot(gram, gram);
        if self.few() { square(&linalg::outer_gram(&self.values, self.dim)) } else { square(self.gram()) }
    }
}

/// Vectors that a thread makes at a time.
const PART: usize = 256;

/// A vector for each class, `K × D`, each made by its number.
fn made(statistics: &Statistics, make: impl Fn(usize, &mut [f64]) + Sync) -> Vec<f64> {
    let dim = statistics.dim.max(1);
    let mut values = vec![0.0; statistics.offsets.len()];
    values.par_chunks_mut(PART * dim).enumerate().for_each(|(part, values)| {
        values.chunks_exact_mut(dim).enumerate().for_each(|(at, vector)| make(part * PART + at, vector));
    });
    values
}

/// `μ_G − origin`.
pub(super) fn centre(statistics: &Statistics, centring: Centring) -> Vec<f64> {
    let mut centre = vec![0.0; statistics.dim];
    let total = match centring {
        Centring::Class => statistics.classes() as f64,
        Centring::Sample => statistics.rows() as f64,
    };
    for (class, &count) in statistics.counts.iter().enumerate() {
        let weight = if centring == Centring::Class { 1.0 } else { count as f64 };
        centre.iter_mut().zip(statistics.offset(class)).for_each(|(centre, x)| *centre += weight * x);
    }
    for x in &mut centre {
        *x /= total;
    }
    centre
}

/// `‖x‖`, whose square may leave the range of `f64`.
pub(super) fn length(x: impl Iterator<Item = f64>) -> f64 {
    x.fold(0.0, f64::hypot)
}

/// Mean, and the variance with divisor `n − 1` where there are two or more.
pub(super) fn mean_and_variance(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (n > 0.0).then_some((mean, (n > 1.0).then_some(squares / (n - 1.0))))
}
