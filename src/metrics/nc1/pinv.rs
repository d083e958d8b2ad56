//! `tr(Σ_W Σ_B⁺) / K` without a pseudo-inverse.

use super::normaliser;
use crate::kernels::pairs::{Points, UNRESOLVED};
use crate::linalg;
use crate::metrics::noise::{SIGNIFICANT, along, of_means, significant_of_means};
use crate::metrics::{Options, finite};
use crate::state::Statistics;

/// `nc1_pinv` and the eigenvalues that it is made of.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::metrics) struct Pinv {
    /// `tr(Σ_W Σ_B⁺) / K`, or without the `1/K`.
    pub value: f64,
    /// Eigenvalues of `Σ_B` kept.
    pub rank: usize,
    /// How many eigenvalues means in general position have: `K − 1`, or the number of dimensions along which means differ by
    /// more than rounding if that is less.
    pub full_rank: usize,
    /// Eigenvalues above `D ε l_1` that were left out nevertheless, since rounding alone could make them.
    pub dropped: usize,
    /// The largest eigenvalue over the least one kept.
    pub condition: f64,
    /// The share of the largest eigenvalue above which the least one kept had to be.
    pub cut_off: f64,
    /// The value with the cut-off `D ε` of `f64` alone; `None` if it leaves the range of numbers.
    pub value_f64: Option<f64>,
    /// The value with the cut-off `D ε` of `f32` alone, the default of the Python package `neural_collapse`.
    pub value_reference_f32: Option<f64>,
    /// Classes of one row, whose scatter is 0, which makes the value too small.
    pub singleton_classes: usize,
    /// The eigenvalues kept, descending; units of the points squared.
    pub(in crate::metrics) eigenvalues: Vec<f64>,
    /// Their eigenvectors, rank × D.
    pub(in crate::metrics) eigenvectors: Vec<f64>,
    /// Those times `S_W / N`, rank × D; units of the points squared.
    pub(in crate::metrics) images: Vec<f64>,
}

impl Pinv {
    /// `nc1_pinv`, `tr(Σ_W Σ_B⁺) / K` (Papyan et al. 2020). No unit; `[0, ∞)`, lower is more collapsed, 0 at full collapse.
    ///
    /// ```text
    /// (1/K) Σ_r (u_rᵀ Σ_W u_r) / l_r,   l_r = σ_r²/K,   σ_r and u_r of the centred means' singular value decomposition
    /// ```
    ///
    /// over eigenvalues `l_r` above `max(D ε l_1, 4 ν_r)` (more than 4 for `D > K`), where `ν_r` is what rounding leaves of the means along `u_r`, and at
    /// most `min(K − 1, D)` of them. Every term is at least 0. `nc1_svd` (Han et al. 2022) is the same number: it asks for `K − 1`
    /// triplets, of which there are never more here.
    ///
    /// Singular values are those of the means themselves: their squares have twice the digits of eigenvalues of `Σ_B`.
    ///
    /// # Errors
    ///
    /// `single_class`, `no_scatter`, `no_degrees_of_freedom`, `needs_per_class_scatter`, `zero_between` if all means are
    /// equal up to rounding, `out_of_range`.
    pub(in crate::metrics) fn of(
        statistics: &Statistics,
        means: &Points<'_>,
        significand_bits: u32,
        options: &Options,
    ) -> Result<Self, &'static str> {
        let (dim, classes) = (statistics.dim, statistics.classes());
        if classes < 2 {
            return Err("single_class");
        }
        let normaliser = normaliser(statistics, options)?;
        let scatter = statistics.scatter.as_ref().ok_or("no_scatter")?;
        if means.norms.iter().all(|&norm| norm == 0.0) {
            return Err("zero_between");
        }
        let spectrum = linalg::right_singular(means.values, dim).map_err(|_| "out_of_range")?;
        let candidates = spectrum.values.len().min(classes - 1);
        let eigenvalues: Vec<f64> = spectrum.values[..candidates].iter().map(|s| s * s / classes as f64).collect();
        let largest = eigenvalues.first().copied().filter(|&largest| largest > 0.0).ok_or("zero_between")?;

        // Σ_B is the mean over classes. The difference of two means that should be equal is a direction with the noise of all
        // dimensions.
        let share = |_| 1.0 / classes as f64;
        let noise = of_means(statistics, Some(significand_bits), share);
        let anywhere = of_means(statistics, None, share).iter().sum::<f64>() / classes as f64;
        let scale = means.unit * means.unit;
        let least = dim as f64 * f64::EPSILON * largest;
        let significant = significant_of_means(classes, dim);
        let cut_offs: Vec<f64> = spectrum
            .vectors
            .chunks_exact(dim)
            .map(|u| least.max((significant * along(u, &noise) + UNRESOLVED * anywhere) / scale))
            .collect();
        let kept: Vec<usize> = (0..candidates).filter(|&r| eigenvalues[r] > cut_offs[r]).collect();
        let (&last, rank) = (kept.last().ok_or("zero_between")?, kept.len());

        let mut squares = vec![0.0; dim];
        for mean in means.values.chunks_exact(dim) {
            squares.iter_mut().zip(mean).for_each(|(square, x)| *square += x * x);
        }
        let differs = |j: usize| squares[j] / classes as f64 > SIGNIFICANT * noise[j] / scale;
        let full_rank = (0..dim).filter(|&j| differs(j)).count().min(classes - 1);

        let rows = statistics.rows() as f64;
        let vectors = &spectrum.vectors[..candidates * dim];
        let mut images = linalg::product(vectors, scatter, dim, dim);
        for x in &mut images {
            *x /= scale * rows;
        }
        let terms: Vec<f64> = (0..candidates)
            .map(|r| dot(&vectors[r * dim..][..dim], &images[r * dim..][..dim]).max(0.0) / eigenvalues[r])
            .collect();
        let divisor = if options.divide_by_k { classes as f64 } else { 1.0 };
        let total =
            |kept: &mut dyn Iterator<Item = usize>| kept.map(|r| terms[r]).sum::<f64>() / divisor * (rows / normaliser);
        let preset = |epsilon: f64| {
            let kept = &mut (0..candidates).filter(|&r| eigenvalues[r] > dim as f64 * epsilon * largest);
            Some(total(kept)).filter(|value| value.is_finite())
        };
        let select = |rows: &[f64]| kept.iter().flat_map(|&r| &rows[r * dim..][..dim]).copied().collect();
        Ok(Self {
            value: finite(total(&mut kept.iter().copied()))?,
            rank,
            full_rank,
            dropped: eigenvalues.iter().filter(|&&value| value > least).count() - rank,
            condition: largest / eigenvalues[last],
            cut_off: cut_offs[last] / largest,
            value_f64: preset(f64::EPSILON),
            value_reference_f32: preset(f32::EPSILON.into()),
            singleton_classes: statistics.counts.iter().filter(|&&count| count == 1).count(),
            eigenvalues: kept.iter().map(|&r| eigenvalues[r]).collect(),
            eigenvectors: select(vectors),
            images: select(&images),
        })
    }

    /// `directions_dropped` if rounding hides some, `rank_lowered` if there are fewer than in general, `pinv_tolerance_sensitive` if the value under a preset differs by more
    /// than 1 %, `singleton_classes` if there are some.
    pub(super) fn flags(&self) -> Vec<&'static str> {
        let mut flags = Vec::new();
        if self.dropped > 0 {
            flags.push("directions_dropped");
        }
        if self.rank < self.full_rank {
            flags.push("rank_lowered");
        }
        let agrees = |preset: Option<f64>| {
            preset.is_some_and(|preset| (preset - self.value).abs() <= 0.01 * preset.abs().max(self.value.abs()))
        };
        if !agrees(self.value_f64) || !agrees(self.value_reference_f32) {
            flags.push("pinv_tolerance_sensitive");
        }
        if self.singleton_classes > 0 {
            flags.push("singleton_classes");
        }
        flags
    }

    /// Where there are fewer directions than in general, how many rounding hides, how many there are, and would be.
    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = [("directions_dropped", self.dropped), ("rank", self.rank), ("full_rank", self.full_rank)];
        let lowered = self.dropped > 0 || self.rank < self.full_rank;
        let counted = counts.into_iter().filter(|(_, count)| *count > 0 && lowered);
        counted.map(|(what, count)| (what, count as u64)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
