//! Variability collapse index without a difference from 1.

use crate::kernels::pairs::UNRESOLVED;
use crate::linalg::{self, Cholesky};
use crate::metrics::noise::{SIGNIFICANT, along, of_means, of_rows, significant_of_means};
use crate::metrics::{Normaliser, Options, finite};
use crate::state::Statistics;

/// `nc1_vci` and the directions that it is made of.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::metrics) struct Vci {
    /// The value.
    pub value: f64,
    /// `rank(Σ_B)`.
    pub rank: usize,
    /// The rank that means in general position have: `K − 1`, or the number of dimensions that vary if that is less.
    pub full_rank: usize,
    /// Directions that were left out because rounding alone could make what varies along them within classes.
    pub dropped: usize,
    /// `λ_r`, descending: what means vary along `x_r`, in units of what rows do within classes.
    pub(in crate::metrics) ratios: Vec<f64>,
    /// `x_r` with `x_rᵀ Σ_W x_r = 1` and `x_rᵀ Σ_B x_r = λ_r`, rank × D.
    pub(in crate::metrics) directions: Vec<f64>,
    /// The largest eigenvalue of the scaled `Σ_B`.
    pub(in crate::metrics) strength: f64,
    /// The trace of what rounding to the grid adds to `Σ_W`, in units of `Σ_W`, over the directions in which means do not
    /// differ.
    pub(in crate::metrics) hidden: f64,
}

impl Vci {
    /// `nc1_vci`, `1 − tr(Σ_T⁺ Σ_B) / rank(Σ_B)` with the weighted `Σ_B` (Xu & Liu 2023). No unit; `[0, 1]`, lower is more
    /// collapsed, 0 at full collapse. Invariant to invertible linear maps of the features.
    ///
    /// ```text
    /// mean_r 1/(1 + λ_r),   √λ_r the singular values of L⁻¹ C_wᵀ diag(√(n_k/N)),   L Lᵀ = Σ_W = S_W/N
    /// ```
    ///
    /// since a difference from 1 cancels exactly where features collapse. Features are scaled so that `Σ_W` has a unit
    /// diagonal. `r` runs over the directions in which means differ by more than rounding makes of equal ones,
    /// `s_r² > max(4 ν_r, (D ε s_1)²)` (more than 4 for `D > K`) for singular values `s_r` of the means. Of all other directions those are taken out
    /// first in which rows agree up to rounding, as after layer normalisation: eigenvectors of `Σ_W`, restricted to them, up to
    /// `max(D ε, 4 ν)`. The normaliser of `Σ_W` is `N`, whatever the options say: `Σ_T` is the covariance of all rows.
    ///
    /// # Errors
    ///
    /// `single_class`, `no_scatter`, `needs_per_class_scatter` (if every class is to count the same), `zero_between` if all
    /// means are equal up to rounding, `within_singular` if in some direction means vary, and rows within classes do not by more
    /// than rounding to the grid makes, `out_of_range`.
    pub(in crate::metrics) fn of(
        statistics: &Statistics,
        significand_bits: u32,
        options: &Options,
    ) -> Result<Self, &'static str> {
        if statistics.classes() < 2 {
            return Err("single_class");
        }
        if options.normaliser == Normaliser::Balanced {
            return Err("needs_per_class_scatter");
        }
        let scatter = statistics.scatter.as_ref().ok_or("no_scatter")?;
        let scaled = Scaled::new(statistics, scatter, significand_bits)?;
        let between = scaled.between(statistics)?;
        let rest = scaled.rest(statistics, &between)?;
        if statistics.rows() < (statistics.classes() + rest.size) as u64 {
            return Err("within_singular"); // N − K rows too few to span what is left
        }
        let (ratios, directions) = scaled.ratios(between.means, &rest)?;
        let directions = scaled.spread(&directions, statistics.dim);
        let varies = |x: &[f64]| SIGNIFICANT * along(x, &statistics.rounding) < 1.0;
        if !directions.chunks_exact(statistics.dim).all(varies) {
            return Err("within_singular");
        }
        let width = scaled.dimensions.len();
        Ok(Self {
            value: finite(ratios.iter().map(|ratio| 1.0 / (1.0 + ratio)).sum::<f64>() / between.rank as f64)?,
            rank: between.rank,
            full_rank: width.min(statistics.classes() - 1),
            dropped: width - rest.size,
            ratios,
            directions,
            strength: between.strength,
            hidden: rest.hidden,
        })
    }

    /// `directions_dropped` if some were left out, `rank_lowered` if means differ in fewer directions than as many means
    /// in general position do.
    pub(in crate::metrics) fn flags(&self) -> Vec<&'static str> {
        let flags = [("directions_dropped", self.dropped > 0), ("rank_lowered", self.rank < self.full_rank)];
        flags.into_iter().filter(|(_, raised)| *raised).map(|(flag, _)| flag).collect()
    }

    /// The counts that belong to the flags: the directions left out, the rank, and the rank in general.
    pub(in crate::metrics) fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = [("directions_dropped", self.dropped), ("rank", self.rank), ("full_rank", self.full_rank)];
        let counted = counts.into_iter().filter(|(_, count)| *count > 0 && !self.flags().is_empty());
        counted.map(|(what, count)| (what, count as u64)).collect()
    }
}

/// `√(n_k/N) (μ_k − μ_G)` with the mean of all rows, K × D: `Σ_B` is its Gram matrix.
pub(super) struct WeightedMeans<'a> {
    statistics: &'a Statistics,
    /// `N`.
    rows: f64,
    /// `μ_G − origin`.
    centre: Vec<f64>,
}

impl<'a> WeightedMeans<'a> {
    pub(super) fn of(statistics: &'a Statistics) -> Self {
        let rows = statistics.rows() as f64;
        let mut centre = vec![0.0; statistics.dim];
        for (class, &count) in statistics.counts.iter().enumerate() {
            centre.iter_mut().zip(statistics.offset(class)).for_each(|(centre, x)| *centre += count as f64 / rows * x);
        }
        Self { statistics, rows, centre }
    }

    fn weight(&self, class: usize) -> f64 {
        (self.statistics.counts[class] as f64 / self.rows).sqrt()
    }

    /// A row of them.
    fn row(&self, class: usize) -> impl Iterator<Item = f64> {
        let weight = self.weight(class);
        self.statistics.offset(class).iter().zip(&self.centre).map(move |(x, centre)| weight * (x - centre))
    }

    /// All of them.
    pub(super) fn matrix(&self) -> Vec<f64> {
        (0..self.statistics.classes()).flat_map(|class| self.row(class)).collect()
    }

    /// The squared length of a column.
    fn column_square(&self, j: usize) -> f64 {
        let entry = |class: usize| self.weight(class) * (self.statistics.offset(class)[j] - self.centre[j]);
        (0..self.statistics.classes()).map(|class| entry(class).powi(2)).sum()
    }
}

/// `Σ_W` and the means in units of the standard deviation within classes.
struct Scaled<'a> {
    /// Not scaled, K × D.
    means: WeightedMeans<'a>,
    /// The dimensions that vary within classes, `d` of them.
    dimensions: Vec<usize>,
    /// Their standard deviations, `√Σ_W,jj`.
    deviations: Vec<f64>,
    /// `Σ_W`, d × d; the diagonal is 1.
    within: Vec<f64>,
    /// What rounding adds to `Σ_W`, d.
    row_noise: Vec<f64>,
    /// What it adds to `Σ_B`, d.
    mean_noise: Vec<f64>,
}

/// The directions in which means differ.
struct Between {
    rank: usize,
    /// The largest eigenvalue.
    strength: f64,
    /// The directions, rank × d, orthonormal.
    vectors: Vec<f64>,
    /// The same, each as long as means differ along it: `Σ_B` is their Gram matrix.
    means: Vec<f64>,
}

/// The directions that are left without those in which nothing varies.
struct Rest {
    /// How many directions.
    size: usize,
    /// The directions, size × d; `None` if none was taken out, and they are the axes.
    basis: Option<Vec<f64>>,
    /// See [`Vci`].
    hidden: f64,
}

impl<'a> Scaled<'a> {
    fn new(statistics: &'a Statistics, scatter: &[f64], significand_bits: u32) -> Result<Self, &'static str> {
        let (dim, rows) = (statistics.dim, statistics.rows() as f64);
        let variances: Vec<f64> = (0..dim).map(|j| scatter[j * dim + j].max(0.0) / rows).collect();
        let means = WeightedMeans::of(statistics);
        let is_finite = |class: usize| means.row(class).all(f64::is_finite);
        if !variances.iter().all(|x| x.is_finite()) || !(0..statistics.classes()).all(is_finite) {
            return Err("out_of_range");
        }
        let mean_noise = of_means(statistics, Some(significand_bits), |n| n / rows);
        if (0..dim).any(|j| variances[j] == 0.0 && means.column_square(j) > SIGNIFICANT * mean_noise[j]) {
            return Err("within_singular");
        }
        let dimensions: Vec<usize> = (0..dim).filter(|&j| variances[j] > 0.0).collect();
        if dimensions.is_empty() {
            return Err("zero_between");
        }
        let deviations: Vec<f64> = dimensions.iter().map(|&j| variances[j].sqrt()).collect();
        let select = |row: &[f64]| -> Vec<f64> {
            dimensions.iter().zip(&deviations).map(|(&j, deviation)| row[j] / deviation).collect()
        };
        let shares = |noise: &[f64]| dimensions.iter().map(|&j| noise[j] / variances[j]).collect();
        let within = dimensions.iter().zip(&deviations).flat_map(|(&i, deviation)| {
            let factor = 1.0 / (deviation * rows);
            select(&scatter[i * dim..][..dim]).into_iter().map(move |x| x * factor)
        });
        let within = within.collect();
        let row_noise = shares(&of_rows(statistics, significand_bits));
        let mean_noise = shares(&mean_noise);
        Ok(Self { means, dimensions, deviations, within, row_noise, mean_noise })
    }

    /// The variances that rounding makes, in units of the features' variances within classes.
    fn share(&self, noise: &[f64]) -> Vec<f64> {
        self.dimensions.iter().zip(&self.deviations).map(|(&j, deviation)| noise[j] / (deviation * deviation)).collect()
    }

    fn between(&self, statistics: &Statistics) -> Result<Between, &'static str> {
        let (width, rows) = (self.dimensions.len(), statistics.rows() as f64);
        let scaled = |class: usize, scaled: &mut [f64]| {
            let (weight, offset, centre) = (self.means.weight(class), statistics.offset(class), &self.means.centre);
            for ((scaled, &j), deviation) in scaled.iter_mut().zip(&self.dimensions).zip(&self.deviations) {
                *scaled = weight * (offset[j] - centre[j]) / deviation;
            }
        };
        let spectrum = linalg::right_singular_of(statistics.classes(), width, scaled).map_err(|_| "out_of_range")?;
        let strength = spectrum.values[0].powi(2);
        // The difference of two means that should be equal is a direction with the noise of all dimensions.
        let computed = self.share(&of_means(statistics, None, |n| n / rows));
        let anywhere = computed.iter().sum::<f64>() / statistics.classes() as f64;
        let least = (statistics.dim as f64 * f64::EPSILON).powi(2) * strength;
        let significant = significant_of_means(statistics.classes(), statistics.dim);
        let (mut vectors, mut means) = (Vec::new(), Vec::new());
        let candidates = spectrum.values.iter().zip(spectrum.vectors.chunks_exact(width));
        for (s, direction) in candidates.take(statistics.classes() - 1) {
            if s * s > least.max(significant * along(direction, &self.mean_noise) + UNRESOLVED * anywhere) {
                vectors.extend_from_slice(direction);
                means.extend(direction.iter().map(|x| s * x));
            }
        }
        let rank = vectors.len() / width;
        if rank == 0 { Err("zero_between") } else { Ok(Between { rank, strength, vectors, means }) }
    }

    /// Takes out the directions, among those in which means do not differ, in which rows do not vary either.
    fn rest(&self, statistics: &Statistics, between: &Between) -> Result<Rest, &'static str> {
        let width = self.dimensions.len();
        if between.rank == width {
            return Ok(Rest { size: width, basis: None, hidden: 0.0 });
        }
        let grid = self.share(&statistics.rounding);
        let least = statistics.dim as f64 * f64::EPSILON;
        let most = self.row_noise.iter().fold(least, |most, &noise| most.max(SIGNIFICANT * noise));
        let restricted = self.restricted(between, 1.0 + most);
        if let Some(inverse) = inverse_diagonal(&restricted, width)
            // No eigenvalue is below the inverse of the sum of all inverses.
            && 1.0 / inverse.iter().sum::<f64>() > most
        {
            let hidden = inverse.iter().zip(&grid).map(|(x, noise)| x * noise).sum();
            return Ok(Rest { size: width, basis: None, hidden });
        }
        let eigen = linalg::symmetric_eigen(&restricted, width).map_err(|_| "out_of_range")?;
        let (mut basis, mut hidden) = (Vec::new(), 0.0);
        for (value, direction) in eigen.values.iter().zip(eigen.vectors.chunks_exact(width)) {
            if *value > least.max(SIGNIFICANT * along(direction, &self.row_noise)) {
                basis.extend_from_slice(direction);
                hidden += along(direction, &grid) / value;
            }
        }
        let size = basis.len() / width;
        Ok(Rest { size, basis: (size < width).then_some(basis), hidden })
    }

    /// `Σ_W` restricted to the directions in which means do not differ. Along those in which they do, its eigenvalue is `kept`,
    /// which is more than that of any direction that may be taken out.
    fn restricted(&self, between: &Between, kept: f64) -> Vec<f64> {
        let width = self.dimensions.len();
        let v = &between.vectors;
        // (1 − VᵀV) Σ (1 − VᵀV) + c VᵀV = Σ + Vᵀ Z + Zᵀ V with Z = ½ (V Σ Vᵀ + c) V − V Σ.
        let images = linalg::product(v, &self.within, width, width);
        let inner = linalg::product_transposed(&images, v, width);
        let mut z = linalg::product(&inner, v, between.rank, width);
        for ((z, v), image) in z.iter_mut().zip(v).zip(&images) {
            *z = 0.5 * (*z + kept * v) - image;
        }
        let cross = linalg::transposed_product(v, &z, width, width);
        let mut restricted = self.within.clone();
        for i in 0..width {
            for j in 0..width {
                restricted[i * width + j] += cross[i * width + j] + cross[j * width + i];
            }
        }
        restricted
    }

    /// `λ_r` and their directions, rank × d, of weighted means in the directions that are left.
    fn ratios(&self, mut means: Vec<f64>, rest: &Rest) -> Result<(Vec<f64>, Vec<f64>), &'static str> {
        let (size, width) = (rest.size, self.dimensions.len());
        let mut within = self.within.clone();
        if let Some(basis) = &rest.basis {
            let images = linalg::product(basis, &within, width, width);
            within = linalg::product_transposed(&images, basis, width);
            means = linalg::product_transposed(&means, basis, width);
        }
        let deviations: Vec<f64> = (0..size).map(|i| within[i * size + i].sqrt()).collect();
        if deviations.iter().any(|&deviation| deviation.is_nan() || deviation <= 0.0) {
            return Err("within_singular");
        }
        for (i, row) in within.chunks_exact_mut(size).enumerate() {
            row.iter_mut().zip(&deviations).for_each(|(x, deviation)| *x /= deviation * deviations[i]);
        }
        let factor = Cholesky::new(&within, size).ok_or("within_singular")?;
        if factor.pivots().any(|pivot| pivot <= size as f64 * f64::EPSILON) {
            return Err("within_singular");
        }
        scale_columns(&mut means, &deviations);
        factor.solve_lower(&mut means);
        let spectrum = linalg::right_singular(&means, size).map_err(|_| "out_of_range")?;
        let mut directions = spectrum.vectors;
        factor.solve_lower_transposed(&mut directions);
        scale_columns(&mut directions, &deviations);
        if let Some(basis) = &rest.basis {
            directions = linalg::product(&directions, basis, size, width);
        }
        Ok((spectrum.values.iter().map(|s| s * s).collect(), directions))
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
}

/// The diagonal of the inverse of a symmetric matrix; `None` unless that is positive definite.
fn inverse_diagonal(matrix: &[f64], size: usize) -> Option<Vec<f64>> {
    let factor = Cholesky::new(matrix, size)?;
    let mut columns: Vec<f64> = (0..size * size).map(|at| f64::from(u8::from(at % (size + 1) == 0))).collect();
    factor.solve_lower(&mut columns);
    Some(columns.chunks_exact(size).map(|column| column.iter().map(|x| x * x).sum()).collect())
}

/// Divides each column by its divisor.
fn scale_columns(rows: &mut [f64], divisors: &[f64]) {
    for row in rows.chunks_exact_mut(divisors.len()) {
        row.iter_mut().zip(divisors).for_each(|(x, divisor)| *x /= divisor);
    }
}
