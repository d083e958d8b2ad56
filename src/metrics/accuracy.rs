//! Estimates of what rounding to the grid does to each number, about one standard deviation.
//!
//! `Γ_j` is the mean squared rounding error of dimension `j`: over all rows in bias terms, over the rows that rounding
//! changed in random (square-root) terms, since on sparse data the noise sits on the large rows.

mod pairs;

use std::collections::BTreeMap;

use super::nc1::{Pinv, Traces, Vci};
use super::noise::{along, of_means, ulp};
use super::{Normaliser, Options};
use crate::kernels::pairs::{Angles, Cdnv, Points};
use crate::linalg;
use crate::state::Statistics;

/// What the estimates are made from; numbers that were not asked for are `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inputs<'a> {
    /// The classes.
    pub statistics: &'a Statistics,
    /// Their centred means.
    pub means: &'a Points<'a>,
    /// The conventions of the metrics.
    pub options: &'a Options,
    /// Significand bits of the stored features.
    pub significand_bits: u32,
    /// `nc1_pinv`.
    pub pinv: Option<&'a Pinv>,
    /// `nc1_vci`.
    pub vci: Option<&'a Vci>,
    /// `nc1_cdnv` and its relatives.
    pub cdnv: Option<&'a Cdnv>,
    /// `nc1_cdnv_directional`.
    pub directional: Option<f64>,
    /// Angles of the centred means, with the exponent of the options.
    pub angles: Option<&'a Angles>,
    /// The same with the exponent of `hug_inter`.
    pub energy: Option<&'a Angles>,
}

/// NC1 says little where rounding in the stored type makes more than this share of the variance.
const FLOOR: f64 = 0.1;

/// Relative accuracy by metric key or quantity, and flags that concern the whole group.
///
/// | key | of |
/// |---|---|
/// | `nc1_…`, `gnc2_…`, `nc2_max_angle`, `hug_inter` | that metric, of class means |
/// | `variance_max` | the within-class variance of the worst dimension; needs the scatter |
/// | `class_variance_max` | the variance of the worst class of two or more rows |
/// | `means_max` | the centred mean of the worst class |
/// | `quantisation_floor` | the share of the classes' variance that the stored type's rounding makes; not an accuracy |
///
/// A number that is 0 has no relative accuracy, and is left out. Flags: `at_quantisation_floor`,
/// and `zero_variance_classes` if all rows of a class of two or more are equal, which rounding may have done.
pub(super) fn estimate(inputs: &Inputs<'_>) -> (BTreeMap<&'static str, f64>, Vec<&'static str>) {
    let statistics = inputs.statistics;
    let noise = GridNoise::of(statistics);
    let mut estimates = BTreeMap::new();
    let mut add = |key, estimate: Option<f64>| {
        if let Some(estimate) = estimate.filter(|estimate| estimate.is_finite()) {
            estimates.insert(key, estimate);
        }
    };
    let balanced = inputs.options.normaliser == Normaliser::Balanced;
    let ratio = noise.trace(statistics, balanced).map(|within| within + between(inputs.means));
    add("nc1_trace_ratio", ratio);
    let of_ratio = Traces::of(statistics, inputs.means, inputs.options).and_then(Traces::within_fraction).ok();
    add("nc1_within_fraction", ratio.zip(of_ratio).map(|(error, fraction)| error * (1.0 - fraction)));
    add("variance_max", noise.variance_max(statistics));
    add("class_variance_max", noise.class_variance_max(statistics));
    add("means_max", GridNoise::means_max(inputs.means));
    let pinv = inputs.pinv.and_then(|pinv| noise.pinv(pinv, statistics, inputs.means));
    add("nc1_pinv", pinv);
    add("nc1_svd", pinv);
    add("nc1_vci", inputs.vci.and_then(|vci| noise.vci(vci, statistics)));
    if let Some(cdnv) = inputs.cdnv {
        noise.of_cdnv(cdnv, inputs).into_iter().for_each(|(key, estimate)| add(key, estimate));
    }
    if let Some(angles) = inputs.angles {
        for (key, estimate) in pairs::of_angles(angles) {
            add(key, estimate);
        }
    }
    add("hug_inter", inputs.energy.and_then(pairs::riesz_mean));
    let mut flags = Vec::new();
    if let Some(floor) = quantisation_floor(statistics, inputs.significand_bits) {
        if floor > FLOOR {
            flags.push("at_quantisation_floor");
        }
        estimates.insert("quantisation_floor", floor);
    }
    if statistics.counts.iter().zip(&statistics.variances).any(|(&count, &v)| count > 1 && v == 0.0) {
        flags.push("zero_variance_classes");
    }
    (estimates, flags)
}

/// `mean_k Σ_j ulp(|μ_kj|)²/12 / v_k` over classes whose variance is not 0; `None` without such.
fn quantisation_floor(statistics: &Statistics, significand_bits: u32) -> Option<f64> {
    let shares: Vec<f64> = (0..statistics.classes())
        .filter(|&class| statistics.variances[class] > 0.0)
        .map(|class| {
            let squares = statistics.mean(class).into_iter().map(|mean| ulp(mean, significand_bits).powi(2));
            squares.sum::<f64>() / 12.0 / statistics.variances[class]
        })
        .collect();
    let floor = shares.iter().sum::<f64>() / shares.len() as f64;
    floor.is_finite().then_some(floor)
}

/// The relative error that the noise of means leaves in `tr Σ_B`, a mean over classes of squared norms.
fn between(means: &Points<'_>) -> f64 {
    let squares: f64 = means.norms.iter().map(|norm| norm * norm).sum();
    let random: f64 = means.norms.iter().zip(means.noise).map(|(norm, noise)| norm * norm * noise).sum();
    (means.noise.iter().sum::<f64>() + 2.0 * (means.along * random).sqrt()) / squares
}

/// `Γ` and its sums.
pub(super) struct GridNoise<'a> {
    /// `Γ_j` of bias terms.
    bias: &'a [f64],
    /// `Γ_j` of random terms.
    random: &'a [f64],
    /// `G`, the sum of the first.
    pub(super) total: f64,
    /// `Gw`, the mean of the second weighted by the dimensions' variances; the largest where those are not known.
    weighted: f64,
}

impl<'a> GridNoise<'a> {
    pub(super) fn of(statistics: &'a Statistics) -> Self {
        let (bias, random) = (&statistics.rounding, &statistics.rounding_changed);
        let largest = random.iter().fold(0.0, |largest: f64, &x| largest.max(x));
        let weighted = diagonal(statistics).and_then(|variances| {
            let (sum, weights) = variances
                .zip(random)
                .fold((0.0, 0.0), |(sum, weights), (variance, noise)| (sum + variance * noise, weights + variance));
            (weights > 0.0).then(|| sum / weights)
        });
        Self { bias, random, total: bias.iter().sum(), weighted: weighted.unwrap_or(largest) }
    }

    /// `G/tr Σ_W + 2 √(Gw/(N tr Σ_W))`; where every class counts the same, of the mean of `v_k` instead.
    pub(super) fn trace(&self, statistics: &Statistics, balanced: bool) -> Option<f64> {
        if balanced {
            let variances = &statistics.variances;
            let (sum, classes) = (variances.iter().sum::<f64>(), variances.len() as f64);
            let random: f64 = variances.iter().zip(&statistics.counts).map(|(v, &n)| v / n as f64).sum();
            return (sum > 0.0).then(|| (classes * self.total + 2.0 * (self.weighted * random).sqrt()) / sum);
        }
        let rows = statistics.rows() as f64;
        let classes = statistics.variances.iter().zip(&statistics.counts);
        let trace = classes.map(|(v, &n)| v * n as f64).sum::<f64>() / rows;
        (trace > 0.0).then(|| self.total / trace + 2.0 * (self.weighted / (rows * trace)).sqrt())
    }

    /// The largest of `Γ_j/var_j + 2 √(Γ_j/(N var_j))`.
    fn variance_max(&self, statistics: &Statistics) -> Option<f64> {
        let rows = statistics.rows() as f64;
        diagonal(statistics)?
            .zip(self.bias.iter().zip(self.random))
            .filter(|(variance, _)| *variance > 0.0)
            .map(|(variance, (bias, random))| bias / variance + 2.0 * (random / (rows * variance)).sqrt())
            .reduce(f64::max)
    }

    /// `G + 2 √(Gw v_k/n_k)`, of `v_k`, absolute.
    pub(super) fn class_variance(&self, statistics: &Statistics, class: usize) -> f64 {
        let (v, n) = (statistics.variances[class], statistics.counts[class] as f64);
        self.total + 2.0 * (self.weighted * v / n).sqrt()
    }

    /// The largest of `G/v_k + 2 √(Gw/(v_k n_k))`.
    fn class_variance_max(&self, statistics: &Statistics) -> Option<f64> {
        (0..statistics.classes())
            .filter(|&k| statistics.counts[k] > 1 && statistics.variances[k] > 0.0)
            .map(|k| self.class_variance(statistics, k) / statistics.variances[k])
            .reduce(f64::max)
    }

    /// The largest share that noise has in the norm of a centred mean.
    fn means_max(means: &Points<'_>) -> Option<f64> {
        let classes = means.norms.iter().zip(means.noise);
        classes.filter(|&(&norm, _)| norm > 0.0).map(|(norm, noise)| noise.sqrt() / norm).reduce(f64::max)
    }

    /// `Γ_j` of bias terms, and what rounding to `f64` adds to each variance, in units of `scale`.
    fn of_variances(&self, statistics: &Statistics, scale: f64) -> Option<Vec<f64>> {
        let noise = diagonal(statistics)?.zip(self.bias);
        Some(noise.map(|(variance, bias)| (bias + 2.0 * f64::EPSILON * variance) / scale).collect())
    }

    /// With `P = Σ_B⁺`, `H = P Σ_W P`, `M` the noise of means (a mean over classes) and `Q` the projection onto what `Σ_B`
    /// leaves out: `(tr(PΓ)/K + √(a² + b²) + c) / nc1`, `a = 2/(K √N) √tr(PΓP Σ_W)`, `b = 2/K^1.5 √tr(M A Σ_B Aᵀ)` with
    /// `A = Q Σ_W P² − H`, and `c` what squares of the noise of means come to.
    fn pinv(&self, pinv: &Pinv, statistics: &Statistics, means: &Points<'_>) -> Option<f64> {
        let (dim, rank) = (statistics.dim, pinv.rank);
        let (classes, rows) = (statistics.classes() as f64, statistics.rows() as f64);
        // Γ is in feature units.
        let scale = means.unit * means.unit;
        let bias_noise = self.of_variances(statistics, scale)?;
        let variances: Vec<f64> = diagonal(statistics)?.map(|variance| variance / scale).collect();
        let decomposition = f64::EPSILON.powi(2) * classes * pinv.eigenvalues[0];
        let mut mean_noise = of_means(statistics, None, |_| 1.0 / classes);
        for noise in &mut mean_noise {
            *noise = *noise / scale + decomposition;
        }
        let all_noise: f64 = mean_noise.iter().sum::<f64>() / classes;
        let leak = along_each(&mean_noise, &variances) / classes;

        let vector = |r: usize| &pinv.eigenvectors[r * dim..][..dim];
        let value = |r: usize| pinv.eigenvalues[r];
        // S = U Σ_W Uᵀ, so Σ_W P = (Σ_W U)ᵀ L⁻¹ U and H = Uᵀ L⁻¹ S L⁻¹ U.
        let within = linalg::product_transposed(&pinv.images, &pinv.eigenvectors, dim);
        let trace: f64 = (0..rank).map(|r| within[r * rank + r] / value(r)).sum();
        let inside = linalg::product(&within, &pinv.eigenvectors, rank, dim);
        let inverse: Vec<f64> = (0..rank).flat_map(|r| vector(r).iter().map(move |u| u / value(r))).collect();
        let images = linalg::product(&within, &inverse, rank, dim);
        let (mut bias, mut of_rows, mut of_means, mut squares) = (0.0, 0.0, 0.0, 0.0);
        for r in 0..rank {
            let row = |values: &'_ [f64]| values[r * dim..][..dim].to_vec();
            let (image, inside, whole) = (row(&images), row(&inside), row(&pinv.images));
            for j in 0..dim {
                let u = vector(r)[j];
                bias += bias_noise[j] * u * u / value(r);
                of_rows += self.random[j] / scale * u * image[j] / value(r);
                let gradient = (whole[j] - inside[j]) / value(r) - image[j];
                of_means += mean_noise[j] * gradient * gradient / value(r);
            }
            let term = within[r * rank + r] / value(r);
            squares += (term * (along(vector(r), &mean_noise) + all_noise) + leak / value(r)) / value(r);
        }
        let a = 2.0 / (classes * rows.sqrt()) * of_rows.max(0.0).sqrt();
        let b = 2.0 / classes.powf(1.5) * of_means.sqrt();
        (trace > 0.0).then(|| ((bias + squares) / classes + a.hypot(b)) / (trace / classes))
    }

    /// With `T = Σ_T⁺`, `H = T Σ_B T`, `J = T Σ_W T`, `R` the rank and `M` the noise of means:
    /// `(tr(HΓ)/R + 2/R √(tr(HΓH Σ_W)/N + tr(JMJ Σ_B)) + tr(H Σ_W) h/(R N)) / vci`, all diagonal in the directions of VCI;
    /// `h` is what of `Σ_W` in the other directions is noise.
    fn vci(&self, vci: &Vci, statistics: &Statistics) -> Option<f64> {
        let error = self.of_ratios(vci, statistics, |ratio| 1.0 / (1.0 + ratio).powi(2))?;
        (vci.value > 0.0).then(|| error / vci.rank as f64 / vci.value)
    }

    /// The error of `Σ f(λ_r)` over the ratios of VCI, `slope` the size of the derivative of `f`, absolute.
    pub(super) fn of_ratios(&self, vci: &Vci, statistics: &Statistics, slope: impl Fn(f64) -> f64) -> Option<f64> {
        let rows = statistics.rows() as f64;
        let bias_noise = self.of_variances(statistics, 1.0)?;
        let decomposition = f64::EPSILON.powi(2) * vci.strength;
        let mut mean_noise = of_means(statistics, None, |n| n / rows);
        let classes = statistics.classes() as f64;
        for (noise, variance) in mean_noise.iter_mut().zip(diagonal(statistics)?) {
            *noise = *noise / classes + decomposition * variance;
        }
        let (mut bias, mut random, mut hidden) = (0.0, 0.0, 0.0);
        for (x, ratio) in vci.directions.chunks_exact(statistics.dim).zip(&vci.ratios) {
            let slope = slope(*ratio);
            let between = ratio * slope;
            bias += between * along(x, &bias_noise);
            random += between * between * along(x, self.random) / rows + between * slope * along(x, &mean_noise);
            hidden += between * vci.hidden / rows;
        }
        Some(bias + 2.0 * random.sqrt() + hidden)
    }
}

/// `Σ_j a_j b_j`.
fn along_each(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The within-class variance of each dimension, `S_W,jj / N`.
fn diagonal(statistics: &Statistics) -> Option<impl Iterator<Item = f64> + '_> {
    let (dim, rows) = (statistics.dim, statistics.rows() as f64);
    statistics.scatter.as_ref().map(|scatter| (0..dim).map(move |j| scatter[j * dim + j] / rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::pairs::{Variances, sweep};
    use crate::metrics::fixture::{assert_close, golden, statistics};
    use crate::metrics::vectors::Vectors;
    use crate::metrics::{Centring, Options, nc1};

    fn estimates(statistics: &Statistics, significand_bits: u32) -> (BTreeMap<&'static str, f64>, Vec<&'static str>) {
        let means = Vectors::centred(statistics, Centring::Class);
        let means = means.points();
        let options = Options::default();
        let used = nc1::classes::with_variance(statistics, &options);
        let variances = Variances { values: &statistics.variances, used: &used, exponent: 1.0, worst: 0 };
        let swept = sweep(&means, Some(&variances), Some(2.0));
        estimate(&Inputs {
            statistics,
            means: &means,
            options: &options,
            significand_bits,
            pinv: nc1::Pinv::of(statistics, &means, significand_bits, &options).ok().as_ref(),
            vci: nc1::Vci::of(statistics, significand_bits, &options).ok().as_ref(),
            cdnv: swept.cdnv.as_ref(),
            directional: None,
            angles: swept.angles.as_ref(),
            energy: swept.angles.as_ref(),
        })
    }

    /// Eight rows of two classes on a line, with noise that is given instead of made.
    fn line() -> Statistics {
        let rows = [1.0, 3.0, 1.0, 3.0, -1.0, -3.0, -1.0, -3.0];
        let mut statistics = statistics(1, &rows, &[0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(statistics.rounding, [0.0]);
        statistics.rounding = vec![1e-8];
        statistics.rounding_changed = vec![4e-8];
        statistics.mean_rounding = vec![2e-8];
        statistics
    }

    #[test]
    fn on_a_line_all_estimates_are_known() {
        // Σ_W = 1, Σ_B = 4, N = 8, K = 2, P = 1/4, H = 1/16, c = ±2, d² = 16; a mean of four rows has the noise m.
        let (m, near) = (2e-8_f64 / 4.0, 1e-6);
        let (found, flags) = estimates(&line(), 53);
        let variance = 1e-8 + 2.0 * (4e-8_f64 / 8.0).sqrt();
        assert_close(found["variance_max"], variance, 1e-12);
        // A centred mean has the noise of the centre too, m/2.
        let of_mean = 1.5 * m;
        let trace = variance + (2.0 * of_mean + 2.0 * (8.0 * of_mean).sqrt()) / 8.0;
        assert_close(found["nc1_trace_ratio"], trace, near);
        assert_close(found["nc1_within_fraction"], 0.8 * trace, near);
        assert_close(found["class_variance_max"], 1e-8 + 2.0 * (4e-8_f64 / 4.0).sqrt(), 1e-12);
        assert_close(found["means_max"], of_mean.sqrt() / 2.0, near);
        let a = 2.0 / (2.0 * 8_f64.sqrt()) * (4e-8_f64 / 16.0).sqrt();
        let b = 2.0 / 2_f64.powf(1.5) * (m / 256.0 * 4.0).sqrt();
        let squares = (1.5 * m / 4.0 + m / 2.0 / 4.0) / 4.0;
        assert_close(found["nc1_pinv"], (f64::midpoint(1e-8 / 4.0, squares) + a.hypot(b)) / 0.125, near);
        // T = 1/5, H' = 4/25, J = 1/25, vci = 1/5.
        let random = 2.0 * (4e-8_f64 / 8.0 * 16.0 / 625.0 + m / 2.0 * 4.0 / 625.0).sqrt();
        assert_close(found["nc1_vci"], (1e-8 * 4.0 / 25.0 + random) / 0.2, near);
        // a_k = 1/32, V = 1/16, twice.
        let random = (2.0 * 4.0 * 4e-8_f64 / 1024.0 / 4.0).sqrt();
        let t = 2.0 * of_mean / 16.0;
        let distance = 2.0 * t.sqrt() + t;
        assert_close(found["nc1_cdnv"], (1e-8 / 16.0 + random) * 16.0 + distance, near);
        let class = 1e-8 + 2.0 * (4e-8_f64 / 4.0).sqrt();
        assert_close(found["nc1_cdnv_max"], class + distance, near);
        assert_close(found["nc1_cdnv_q50"], class + distance, near);
        assert_close(found["nc1_cdnv_log10_mean"], (2.0 * class + distance) / 16_f64.ln(), near);
        assert!(flags.is_empty());
    }

    #[test]
    fn what_the_grid_holds_exactly_has_no_error() {
        let (found, flags) = estimates(&golden(), 24);
        let mut keys: Vec<&str> = found.keys().copied().collect();
        keys.retain(|&key| key != "quantisation_floor");
        assert_eq!(keys.len(), 26);
        assert!(keys.iter().all(|&key| found[key] < 1e-12), "{found:?}");
        assert!(flags.is_empty());
    }

    #[test]
    fn the_floor_of_the_stored_type() {
        let mut line = line();
        // ulp(2) of 11 bits is 2^-9, the variance 1.
        let (found, flags) = estimates(&line, 11);
        assert_close(found["quantisation_floor"], 2_f64.powi(-18) / 12.0, 1e-12);
        assert!(!flags.contains(&"at_quantisation_floor"));
        line.variances = vec![1e-6, 0.0];
        let (found, flags) = estimates(&line, 11);
        assert_close(found["quantisation_floor"], 2_f64.powi(-18) / 12.0 * 1e6, 1e-12);
        assert!(flags.contains(&"at_quantisation_floor") && flags.contains(&"zero_variance_classes"));
    }

    #[test]
    fn without_a_scatter_or_variance_some_are_missing() {
        let mut statistics = golden();
        statistics.scatter = None;
        let (found, _) = estimates(&statistics, 53);
        assert!(!found.contains_key("variance_max") && !found.contains_key("nc1_pinv"));
        assert!(found.contains_key("nc1_cdnv") && found.contains_key("nc1_trace_ratio"));
    }
}
