//! Variability collapse index without a difference from 1.

use crate::linalg::{self, Cholesky};
use crate::metrics::noise::{SIGNIFICANT, along, noise};
use crate::metrics::{Normaliser, Options, finite};
use crate::state::Statistics;

/// `nc1_vci` and what it stands on.
#[derive(Clone, Debug, PartialEq)]
pub struct Vci {
    /// The value.
    pub value: f64,
    /// `rank(Σ_B)`.
    pub rank: usize,
    /// Directions that were left out because rounding alone could make what varies along them. Where rows do vary
    /// along some, the value is that of the others, and no estimate of rounding says so.
    pub dropped: usize,
    /// `λ_r`, descending.
    pub(in crate::metrics) ratios: Vec<f64>,
    /// `x_r` with `x_rᵀ Σ_W x_r = 1` and `x_rᵀ Σ_B x_r = λ_r`, rank × D.
    pub(in crate::metrics) directions: Vec<f64>,
}

/// `nc1_vci`, `1 − tr(Σ_T⁺ Σ_B) / rank(Σ_B)` with the weighted `Σ_B` (Xu & Liu 2023). No unit; `[0, 1]`, lower is more
/// collapsed, 0 at full collapse. Invariant to invertible linear maps of the features.
///
/// ```text
/// mean_r 1/(1 + λ_r),   √λ_r the singular values of L⁻¹ C_wᵀ diag(√(n_k/N)),   L Lᵀ = Σ_W = S_W/N
/// ```
///
/// since a difference from 1 cancels exactly where features collapse. Directions in which all rows agree up to rounding
/// (those of layer normalisation) are taken out first: eigenvectors of `Σ_T`, scaled to unit diagonal, below
/// `max(D ε, 64 ν_r)`. The normaliser of `Σ_W` is `N`, whatever the options say: `Σ_T` is the covariance of all rows.
///
/// # Errors
///
/// `single_class`, `no_scatter`, `needs_per_class_scatter` (if every class is to count the same), `zero_between` if all
/// means are equal up to rounding, `within_singular` if in some direction only the means vary, `out_of_range`.
pub fn vci(statistics: &Statistics, significand_bits: u32, options: &Options) -> Result<Vci, &'static str> {
    if statistics.classes() < 2 {
        return Err("single_class");
    }
    if options.normaliser == Normaliser::Balanced {
        return Err("needs_per_class_scatter");
    }
    let scatter = statistics.scatter.as_ref().ok_or("no_scatter")?;
    let scaled = Scaled::new(statistics, scatter, &weighted_means(statistics))?;
    let deflated = scaled.deflate(statistics, significand_bits)?;

    let size = deflated.size;
    if statistics.rows() < (statistics.classes() + size) as u64 {
        return Err("within_singular"); // N − K rows too few to span what is left
    }
    let deviations: Vec<f64> = (0..size).map(|i| deflated.within[i * size + i].sqrt()).collect();
    if deviations.iter().any(|&deviation| deviation.is_nan() || deviation <= 0.0) {
        return Err("within_singular");
    }
    let mut within = deflated.within;
    for (i, row) in within.chunks_exact_mut(size).enumerate() {
        row.iter_mut().zip(&deviations).for_each(|(x, deviation)| *x /= deviation * deviations[i]);
    }
    let factor = Cholesky::new(&within, size).ok_or("within_singular")?;
    if factor.pivots().any(|pivot| pivot <= size as f64 * f64::EPSILON) {
        return Err("within_singular");
    }
    let mut means = deflated.means;
    scale_columns(&mut means, &deviations);
    factor.solve_lower(&mut means);
    let spectrum = linalg::right_singular(&means, size).map_err(|_| "out_of_range")?;

    let mut directions = spectrum.vectors;
    factor.solve_lower_transposed(&mut directions);
    scale_columns(&mut directions, &deviations);
    if let Some(basis) = &deflated.basis {
        directions = linalg::product(&directions, basis, size, scaled.dimensions.len());
    }
    let directions = scaled.spread(&directions, statistics.dim);
    let ratios: Vec<f64> = spectrum.values.iter().map(|s| s * s).collect();
    let kept = scaled.significant(statistics, significand_bits, &ratios, &directions);
    if kept.is_empty() {
        return Err("zero_between");
    }
    let (rank, dim) = (kept.len(), statistics.dim);
    Ok(Vci {
        value: finite(kept.iter().map(|&r| 1.0 / (1.0 + ratios[r])).sum::<f64>() / rank as f64)?,
        rank,
        dropped: scaled.dimensions.len() - size,
        ratios: kept.iter().map(|&r| ratios[r]).collect(),
        directions: kept.iter().flat_map(|&r| &directions[r * dim..][..dim]).copied().collect(),
    })
}

/// `√(n_k/N) (μ_k − μ_G)` with the mean of all rows, K × D: `Σ_B` is its Gram matrix.
fn weighted_means(statistics: &Statistics) -> Vec<f64> {
    let (dim, rows) = (statistics.dim, statistics.rows() as f64);
    let mut centre = vec![0.0; dim];
    for (class, &count) in statistics.counts.iter().enumerate() {
        centre.iter_mut().zip(statistics.offset(class)).for_each(|(centre, x)| *centre += count as f64 / rows * x);
    }
    let row = |(class, &count): (usize, &u64)| {
        let weight = (count as f64 / rows).sqrt();
        statistics.offset(class).iter().zip(&centre).map(move |(x, centre)| weight * (x - centre)).collect::<Vec<_>>()
    };
    statistics.counts.iter().enumerate().flat_map(row).collect()
}

/// `Σ_W` and the means in units of the standard deviation of all rows.
struct Scaled {
    /// The dimensions that vary, `d` of them.
    dimensions: Vec<usize>,
    /// Their standard deviations, `√Σ_T,jj`.
    deviations: Vec<f64>,
    /// `Σ_W`, d × d.
    within: Vec<f64>,
    /// Weighted means, K × d.
    means: Vec<f64>,
}

/// What is left without the directions in which nothing varies.
struct Deflated {
    /// How many directions.
    size: usize,
    /// They, size × d; `None` if none is missing: then they are the axes.
    basis: Option<Vec<f64>>,
    /// `Σ_W`, size × size.
    within: Vec<f64>,
    /// Weighted means, K × size.
    means: Vec<f64>,
}

impl Scaled {
    fn new(statistics: &Statistics, scatter: &[f64], means: &[f64]) -> Result<Self, &'static str> {
        let (dim, rows) = (statistics.dim, statistics.rows() as f64);
        let mut total: Vec<f64> = (0..dim).map(|j| scatter[j * dim + j].max(0.0) / rows).collect();
        for row in means.chunks_exact(dim) {
            total.iter_mut().zip(row).for_each(|(total, x)| *total += x * x);
        }
        if total.iter().any(|total| !total.is_finite()) {
            return Err("out_of_range");
        }
        let dimensions: Vec<usize> = (0..dim).filter(|&j| total[j] > 0.0).collect();
        if dimensions.is_empty() {
            return Err("zero_between");
        }
        let deviations: Vec<f64> = dimensions.iter().map(|&j| total[j].sqrt()).collect();
        let select = |row: &[f64]| -> Vec<f64> {
            dimensions.iter().zip(&deviations).map(|(&j, deviation)| row[j] / deviation).collect()
        };
        let within = dimensions.iter().zip(&deviations).flat_map(|(&i, deviation)| {
            let factor = 1.0 / (deviation * rows);
            select(&scatter[i * dim..][..dim]).into_iter().map(move |x| x * factor)
        });
        let within = within.collect();
        let means = means.chunks_exact(dim).flat_map(select).collect();
        Ok(Self { dimensions, deviations, within, means })
    }

    fn deflate(&self, statistics: &Statistics, significand_bits: u32) -> Result<Deflated, &'static str> {
        let dim = self.dimensions.len();
        let rows = statistics.rows() as f64;
        let mut total = linalg::gram(&self.means, dim);
        total.iter_mut().zip(&self.within).for_each(|(total, within)| *total += within);
        let eigen = linalg::symmetric_eigen(&total, dim).map_err(|_| "out_of_range")?;
        let noise = noise(statistics, significand_bits, |n| n / rows);
        let noise: Vec<f64> = self
            .dimensions
            .iter()
            .zip(&self.deviations)
            .map(|(&j, deviation)| noise[j] / (deviation * deviation))
            .collect();
        let least = statistics.dim as f64 * f64::EPSILON;
        let kept: Vec<usize> = (0..dim)
            .filter(|&r| {
                let direction = &eigen.vectors[r * dim..][..dim];
                eigen.values[r] > least.max(SIGNIFICANT * along(direction, &noise))
            })
            .collect();
        if kept.len() == dim {
            let (within, means) = (self.within.clone(), self.means.clone());
            return Ok(Deflated { size: dim, basis: None, within, means });
        }
        if kept.is_empty() {
            return Err("zero_between");
        }
        let size = kept.len();
        let basis: Vec<f64> = kept.iter().flat_map(|&r| &eigen.vectors[r * dim..][..dim]).copied().collect();
        let images = linalg::product(&basis, &self.within, dim, dim);
        let within = linalg::product_transposed(&images, &basis, dim);
        let means = linalg::product_transposed(&self.means, &basis, dim);
        Ok(Deflated { size, basis: Some(basis), within, means })
    }

    /// Directions in scaled dimensions as directions in features, rows of length `dim`.
    fn spread(&self, directions: &[f64], dim: usize) -> Vec<f64> {
        let width = self.dimensions.len();
        let mut spread = vec![0.0; directions.len() / width * dim];
        for (to, from) in spread.chunks_exact_mut(dim).zip(directions.chunks_exact(width)) {
            for ((&j, deviation), x) in self.dimensions.iter().zip(&self.deviations).zip(from) {
                to[j] = x / deviation;
            }
        }
        spread
    }

    /// The ratios that are more than rounding, of rows or of this arithmetic, makes in their direction: as many as
    /// `rank(Σ_B)`.
    fn significant(
        &self,
        statistics: &Statistics,
        significand_bits: u32,
        ratios: &[f64],
        directions: &[f64],
    ) -> Vec<usize> {
        let (dim, rows) = (statistics.dim, statistics.rows() as f64);
        let mut noise = noise(statistics, significand_bits, |_| 1.0 / rows);
        let width = self.dimensions.len();
        for (at, (&j, deviation)) in self.dimensions.iter().zip(&self.deviations).enumerate() {
            let between: f64 = self.means.iter().skip(at).step_by(width).map(|x| x * x).sum();
            noise[j] += dim as f64 * f64::EPSILON.powi(2) * between * deviation * deviation;
        }
        let least = (dim as f64 * f64::EPSILON).powi(2) * ratios.first().copied().unwrap_or(0.0);
        let direction = |r: usize| &directions[r * dim..][..dim];
        (0..ratios.len())
            .filter(|&r| ratios[r] > least.max(SIGNIFICANT * along(direction(r), &noise)))
            .take(statistics.classes() - 1)
            .collect()
    }
}

/// Divides each column by its divisor.
fn scale_columns(rows: &mut [f64], divisors: &[f64]) {
    for row in rows.chunks_exact_mut(divisors.len()) {
        row.iter_mut().zip(divisors).for_each(|(x, divisor)| *x /= divisor);
    }
}
