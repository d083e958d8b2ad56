//! What rounding to the grid left of each number: estimates of about one standard deviation (METRICS 4.7).
//!
//! `Γ_j` is the mean squared rounding error of dimension `j`: over all rows in bias terms, over the rows that rounding
//! changed in random (square-root) terms, since on sparse data the noise sits on the large rows.

use std::collections::BTreeMap;

use super::nc1::{Pinv, Vci};
use super::noise::ulp;
use crate::kernels::pairs::{Cdnv, Points};
use crate::linalg;
use crate::state::Statistics;

/// What estimates are made of; numbers that were not asked for are `None`.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The classes.
    pub statistics: &'a Statistics,
    /// Their centred means.
    pub means: &'a Points<'a>,
    /// Significand bits of the stored features.
    pub significand_bits: u32,
    /// `nc1_pinv`.
    pub pinv: Option<&'a Pinv>,
    /// `nc1_vci`.
    pub vci: Option<&'a Vci>,
    /// `nc1_cdnv`.
    pub cdnv: Option<&'a Cdnv>,
}

/// An estimate above it is worth a warning, and `--extra-bits`.
const WARN: f64 = 1e-6;

/// A share of the variance that rounding in the stored type makes, above which NC1 says little.
const FLOOR: f64 = 0.1;

/// Relative accuracy by metric key or quantity, and flags that concern the whole group.
///
/// | key | of |
/// |---|---|
/// | `nc1_pinv`, `nc1_vci`, `nc1_cdnv`, `nc1_trace_ratio`, `nc1_within_fraction` | that metric |
/// | `variance_max` | the within-class variance of the worst dimension; needs the scatter |
/// | `class_variance_max` | the variance of the worst class of two or more rows |
/// | `means_max` | the centred mean of the worst class |
/// | `quantisation_floor` | no accuracy: the share of the classes' variance that the stored type's rounding makes |
///
/// A number that is 0 has no relative accuracy, and is left out. Flags: `accuracy_above_1e-6`, `at_quantisation_floor`,
/// and `zero_variance_classes` if two or more rows of a class are all equal, which at the floor may be rounding.
pub fn estimate(inputs: &Inputs<'_>) -> (BTreeMap<&'static str, f64>, Vec<&'static str>) {
    let statistics = inputs.statistics;
    let noise = Noise::of(statistics);
    let mut estimates = BTreeMap::new();
    let mut add = |key, estimate: Option<f64>| {
        if let Some(estimate) = estimate.filter(|estimate| estimate.is_finite()) {
            estimates.insert(key, estimate);
        }
    };
    let trace = noise.trace(statistics);
    add("nc1_trace_ratio", trace);
    add("nc1_within_fraction", trace);
    add("variance_max", noise.variance_max(statistics));
    add("class_variance_max", noise.class_variance_max(statistics));
    add("means_max", noise.means_max(statistics, inputs.means));
    add("nc1_pinv", inputs.pinv.and_then(|pinv| noise.pinv(pinv, statistics, inputs.means)));
    add("nc1_vci", inputs.vci.and_then(|vci| noise.vci(vci, statistics)));
    add("nc1_cdnv", inputs.cdnv.and_then(|cdnv| noise.cdnv(cdnv, statistics)));
    let mut flags = Vec::new();
    if estimates.values().any(|&estimate| estimate > WARN) {
        flags.push("accuracy_above_1e-6");
    }
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

/// `Γ` and its sums.
struct Noise<'a> {
    /// `Γ_j` of bias terms.
    bias: &'a [f64],
    /// `Γ_j` of random terms.
    random: &'a [f64],
    /// `G`, the sum of the first.
    total: f64,
    /// `Gw`, the mean of the second weighted by the dimensions' variances; the largest where those are not known.
    weighted: f64,
}

impl<'a> Noise<'a> {
    fn of(statistics: &'a Statistics) -> Self {
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

    /// `G/tr Σ_W + 2 √(Gw/(N tr Σ_W))`.
    fn trace(&self, statistics: &Statistics) -> Option<f64> {
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

    /// The largest of `G/v_k + 2 √(Gw/(v_k n_k))`.
    fn class_variance_max(&self, statistics: &Statistics) -> Option<f64> {
        let classes = statistics.variances.iter().zip(&statistics.counts);
        classes
            .filter(|&(&v, &n)| n > 1 && v > 0.0)
            .map(|(&v, &n)| self.total / v + 2.0 * (self.weighted / (v * n as f64)).sqrt())
            .reduce(f64::max)
    }

    /// The largest of `√(G/n_k) / ‖c_k‖`.
    fn means_max(&self, statistics: &Statistics, means: &Points<'_>) -> Option<f64> {
        let total: f64 = self.random.iter().sum();
        let classes = means.norms.iter().zip(&statistics.counts);
        classes
            .filter(|&(&norm, _)| norm > 0.0)
            .map(|(&norm, &n)| (total / n as f64).sqrt() / (norm * means.unit))
            .reduce(f64::max)
    }

    /// With `P = Σ_B⁺` and `H = P Σ_W P`: `(tr(PΓ)/K + √(a² + b²)) / nc1`, `a = 2/(K √N) √tr(PΓP Σ_W)`,
    /// `b = 2/K^1.5 √(mean_k(1/n_k) tr(HΓH Σ_B))`.
    fn pinv(&self, pinv: &Pinv, statistics: &Statistics, means: &Points<'_>) -> Option<f64> {
        let (dim, rank) = (statistics.dim, pinv.rank);
        let (classes, rows) = (statistics.classes() as f64, statistics.rows() as f64);
        let vector = |r: usize| &pinv.eigenvectors[r * dim..][..dim];
        // P = Uᵀ L⁻¹ U and S = U Σ_W Uᵀ, so H = Uᵀ (L⁻¹ S L⁻¹) U and H Σ_B H = (S L⁻¹ U)ᵀ-columns over L.
        let within = linalg::product_transposed(&pinv.images, &pinv.eigenvectors, dim);
        let trace: f64 = (0..rank).map(|r| within[r * rank + r] / pinv.eigenvalues[r]).sum();
        let inverse: Vec<f64> =
            (0..rank).flat_map(|r| vector(r).iter().map(move |u| u / pinv.eigenvalues[r])).collect();
        let images = linalg::product(&within, &inverse, rank, dim);
        let (mut bias, mut of_rows, mut of_means) = (0.0, 0.0, 0.0);
        for r in 0..rank {
            let (image, inverse) = (&images[r * dim..][..dim], &inverse[r * dim..][..dim]);
            for j in 0..dim {
                bias += self.bias[j] * vector(r)[j] * inverse[j];
                of_rows += self.random[j] * inverse[j] * image[j];
                of_means += self.random[j] * image[j] * image[j] / pinv.eigenvalues[r];
            }
        }
        let inverse_count = statistics.counts.iter().map(|&n| 1.0 / n as f64).sum::<f64>() / classes;
        // Γ is in feature units.
        let scale = means.unit * means.unit;
        let a = 2.0 / (classes * rows.sqrt()) * (of_rows.max(0.0) / scale).sqrt();
        let b = 2.0 / classes.powf(1.5) * (inverse_count * of_means / scale).sqrt();
        (trace > 0.0).then(|| (bias / scale / classes + a.hypot(b)) / (trace / classes))
    }

    /// With `T = Σ_T⁺`, `H = T Σ_B T`, `J = T Σ_W T` and `R` the rank:
    /// `(tr(HΓ)/R + 2/(R √N) √(tr(HΓH Σ_W) + tr(JΓJ Σ_B))) / vci`, all diagonal in the directions of VCI.
    fn vci(&self, vci: &Vci, statistics: &Statistics) -> Option<f64> {
        let (mut bias, mut random) = (0.0, 0.0);
        for (direction, ratio) in vci.directions.chunks_exact(statistics.dim).zip(&vci.ratios) {
            let total = 1.0 + ratio;
            let between = ratio / (total * total);
            let both = between * between + ratio / total.powi(4);
            for (x, (gamma, changed)) in direction.iter().zip(self.bias.iter().zip(self.random)) {
                bias += x * x * between * gamma;
                random += x * x * both * changed;
            }
        }
        let rank = vci.rank as f64;
        let random = 2.0 / (rank * (statistics.rows() as f64).sqrt()) * random.sqrt();
        (vci.value > 0.0).then(|| (bias / rank + random) / vci.value)
    }

    /// With `a_k = Σ_{i≠k} 1/(2 d²_ik)` over the number of pairs: `(G Σ a_k + √(Σ a_k² 4 Gw v_k/n_k)) / cdnv`.
    fn cdnv(&self, cdnv: &Cdnv, statistics: &Statistics) -> Option<f64> {
        let pairs = cdnv.pairs as f64;
        let (mut sum, mut squares) = (0.0, 0.0);
        for (class, of_class) in cdnv.by_class.iter().enumerate() {
            let a = of_class.inverse_distances / pairs;
            sum += a;
            squares += a * a * 4.0 * self.weighted * statistics.variances[class] / statistics.counts[class] as f64;
        }
        (pairs > 0.0 && cdnv.mean > 0.0).then(|| (self.total * sum + squares.sqrt()) / cdnv.mean)
    }
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
    use crate::metrics::fixture::{assert_close, centred, golden, statistics};
    use crate::metrics::{Options, nc1};

    fn estimates(statistics: &Statistics, significand_bits: u32) -> (BTreeMap<&'static str, f64>, Vec<&'static str>) {
        let values = centred(statistics);
        let norms: Vec<f64> =
            values.chunks(statistics.dim).map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let means = Points { dim: statistics.dim, values: &values, norms: &norms, unit: 1.0 };
        let options = Options::default();
        let used = nc1::varied(statistics, &options);
        let variances = Variances { values: &statistics.variances, used: &used, exponent: 1.0, worst: 0 };
        estimate(&Inputs {
            statistics,
            means: &means,
            significand_bits,
            pinv: nc1::pinv(statistics, &means, significand_bits, &options).ok().as_ref(),
            vci: nc1::vci(statistics, significand_bits, &options).ok().as_ref(),
            cdnv: sweep(&means, Some(&variances), None).cdnv.as_ref(),
        })
    }

    /// Eight rows of two classes on a line, with noise that is given instead of made.
    fn line() -> Statistics {
        let rows = [1.0, 3.0, 1.0, 3.0, -1.0, -3.0, -1.0, -3.0];
        let mut statistics = statistics(1, &rows, &[0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(statistics.rounding, [0.0]);
        statistics.rounding = vec![1e-8];
        statistics.rounding_changed = vec![4e-8];
        statistics
    }

    #[test]
    fn on_a_line_all_estimates_are_known() {
        // Σ_W = 1, Σ_B = 4, N = 8, K = 2, P = 1/4, H = 1/16, c = ±2, d² = 16.
        let (found, flags) = estimates(&line(), 53);
        let variance = 1e-8 + 2.0 * (4e-8_f64 / 8.0).sqrt();
        assert_close(found["variance_max"], variance, 1e-12);
        assert_close(found["nc1_trace_ratio"], variance, 1e-12);
        assert_close(found["nc1_within_fraction"], variance, 1e-12);
        assert_close(found["class_variance_max"], 1e-8 + 2.0 * (4e-8_f64 / 4.0).sqrt(), 1e-12);
        assert_close(found["means_max"], (4e-8_f64 / 4.0).sqrt() / 2.0, 1e-12);
        let a = 2.0 / (2.0 * 8_f64.sqrt()) * (4e-8_f64 / 16.0).sqrt();
        let b = 2.0 / 2_f64.powf(1.5) * (0.25 * 4e-8_f64 / 256.0 * 4.0).sqrt();
        assert_close(found["nc1_pinv"], (1e-8 / 4.0 / 2.0 + a.hypot(b)) / 0.125, 1e-12);
        // T = 1/5, H' = 4/25, J = 1/25, vci = 1/5.
        let random = 2.0 / 8_f64.sqrt() * (4e-8_f64 * (16.0 / 625.0 + 4.0 / 625.0)).sqrt();
        assert_close(found["nc1_vci"], (1e-8 * 4.0 / 25.0 + random) / 0.2, 1e-12);
        // a_k = 1/32, V = 1/16.
        let random = (2.0 * 4.0 * 4e-8_f64 / 1024.0 / 4.0).sqrt();
        assert_close(found["nc1_cdnv"], (1e-8 / 16.0 + random) * 16.0, 1e-12);
        assert_eq!(flags, ["accuracy_above_1e-6"]);
    }

    #[test]
    fn what_the_grid_holds_exactly_has_no_error() {
        let (found, flags) = estimates(&golden(), 24);
        let mut keys: Vec<&str> = found.keys().copied().collect();
        keys.retain(|&key| key != "quantisation_floor");
        assert_eq!(keys.len(), 8);
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
