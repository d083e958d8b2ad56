//! Separation: how far apart classes lie, measured by what people use besides neural collapse.
//!
//! Each formula of a catalogue's key is a function here. Those that compare all rows with all rows, or take distances of rows
//! from means one by one, are not among them: a state does not hold them.

mod lda;
mod lidar;
mod normal;

pub(super) use lda::{Errors, lda_error_max, lda_error_mean};
pub(super) use lidar::lidar;

use std::ops::Range;

use super::accuracy::GridNoise;
use super::context::MetricContext;
use super::doubt::arithmetic;
use super::nc1::Vci;
use super::outcome::Outcome;
use super::vectors::Vectors;
use super::{Centring, Value, finite};
use crate::kernels::pairs::{self, Distances, Points};
use crate::state::Statistics;

/// `separation_calinski_harabasz`: `(tr S_B/(K − 1)) / (tr S_W/(N − K))` with `S_B = Σ n_k c_k c_kᵀ` about the mean of all
/// rows, whatever the centring of other metrics. Needs no scatter matrix.
pub(super) fn calinski_harabasz(context: &MetricContext<'_>) -> Outcome {
    let statistics = context.evidence.statistics;
    let means = Vectors::centred(statistics, Centring::Sample);
    let value = calinski_harabasz_of(statistics, &means);
    Outcome::from(value).off_by(|value| {
        let noise = GridNoise::of(statistics).trace(statistics, false).unwrap_or(0.0);
        value * (noise + between_error(statistics, &means.points()) + arithmetic(statistics.classes()))
    })
}

fn calinski_harabasz_of(statistics: &Statistics, means: &Vectors) -> Value {
    let (rows, classes) = (statistics.rows(), statistics.classes() as u64);
    if classes < 2 {
        return Err("single_class");
    }
    if rows == classes {
        return Err("no_degrees_of_freedom");
    }
    let weighted = |of: &[f64]| -> f64 { of.iter().zip(&statistics.counts).map(|(x, &n)| n as f64 * x).sum() };
    let squares: Vec<f64> = means.norms.iter().map(|norm| (norm * means.unit).powi(2)).collect();
    let (between, within) = (weighted(&squares), weighted(&statistics.variances));
    let within = finite(within)?;
    if within > 0.0 {
        Ok(between / (classes - 1) as f64 / (within / (rows - classes) as f64))
    } else {
        Err("zero_within")
    }
}

/// The relative error that the noise of means leaves in `Σ n_k ‖c_k‖²`; 0 where that is 0.
fn between_error(statistics: &Statistics, means: &Points<'_>) -> f64 {
    let (mut squares, mut noise, mut random) = (0.0, 0.0, 0.0);
    for ((&n, norm), of_mean) in statistics.counts.iter().zip(means.norms).zip(means.noise) {
        let n = n as f64;
        squares += n * norm * norm;
        noise += n * of_mean;
        random += (n * norm).powi(2) * of_mean;
    }
    if squares > 0.0 { (noise + 2.0 * (means.along * random).sqrt()) / squares } else { 0.0 }
}

/// `separation_davies_bouldin_rms`: `mean_k max_j (s_k + s_j)/‖μ_k − μ_j‖` with `s_k = √v_k`, the index of Davies & Bouldin
/// with their `q = 2`. Others take mean distances for `s_k`, which a state does not hold.
pub(super) fn davies_bouldin(context: &MetricContext<'_>) -> Outcome {
    let statistics = context.evidence.statistics;
    if statistics.classes() < 2 {
        return Outcome::null("single_class");
    }
    let points = context.means.vectors.points();
    let spreads: Vec<f64> = statistics.variances.iter().map(|v| v.sqrt() / points.unit).collect();
    let Some(worst) = worst_neighbours(&points, &spreads) else { return Outcome::null("degenerate_pairs") };
    let mean = worst.iter().map(|(ratio, _)| ratio).sum::<f64>() / worst.len() as f64;
    let singletons = statistics.counts.contains(&1);
    Outcome::from(mean).flag_if(singletons, "singleton_classes").off_by(|mean| {
        let noise = GridNoise::of(statistics);
        // s is the root of a variance.
        let spread_error = |k: usize| {
            let error = noise.class_variance(statistics, k).sqrt() / points.unit;
            if spreads[k] > error { error * error / (2.0 * spreads[k]) } else { error }
        };
        let of_class = |(k, &(ratio, j)): (usize, &(f64, usize))| {
            let sum = spreads[k] + spreads[j];
            if sum == 0.0 {
                return 0.0;
            }
            let relative = points.error((points.noise[k] + points.noise[j]) * (ratio / sum).powi(2));
            ratio * ((spread_error(k) + spread_error(j)) / sum + relative)
        };
        let total: f64 = worst.iter().enumerate().map(of_class).sum();
        total / worst.len() as f64 + mean * arithmetic(statistics.dim)
    })
}

/// For each class the largest `(s_k + s_j)/‖μ_k − μ_j‖`, and `j`; `None` if two means are equal up to rounding.
fn worst_neighbours(points: &Points<'_>, spreads: &[f64]) -> Option<Vec<(f64, usize)>> {
    type Worst = Vec<(f64, usize)>;
    let larger = |worst: &mut (f64, usize), ratio: f64, other: usize| {
        // Of equal ones the first, whichever tile is merged first.
        if ratio > worst.0 || (ratio == worst.0 && other < worst.1) {
            *worst = (ratio, other);
        }
    };
    let none = |count: usize| -> Worst { vec![(-1.0, usize::MAX); count] };
    let mut all = none(points.len());
    let mut degenerate = false;
    pairs::distances(
        points,
        |rows, cols| (rows.start, none(rows.len()), cols.start, none(cols.len()), false),
        |(rows_start, rows, cols_start, cols, degenerate), Distances { point, first, squared }| {
            for (at, &squared) in squared.iter().enumerate() {
                let other = first + at;
                *degenerate |= points.unresolved(*point, other, squared);
                let ratio = (spreads[*point] + spreads[other]) / squared.sqrt();
                larger(&mut rows[point - *rows_start], ratio, other);
                larger(&mut cols[other - *cols_start], ratio, *point);
            }
        },
        |rows: &Range<usize>, cols: &Range<usize>, (_, of_rows, _, of_cols, found)| {
            degenerate |= found;
            for (range, worst) in [(rows, of_rows), (cols, of_cols)] {
                range.clone().zip(worst).for_each(|(k, (ratio, other))| larger(&mut all[k], ratio, other));
            }
        },
    );
    (!degenerate).then_some(all)
}

/// `separation_fisher_trace`: `tr(S_W⁻¹ S_B) = Σ λ_r`, with the `λ_r` of [`Vci::of`].
pub(super) fn fisher_trace(context: &MetricContext<'_>) -> Outcome {
    of_ratios(context, |ratio| ratio, |_| 1.0)
}

/// `separation_h_score`: `tr(S_T⁺ S_B) = Σ λ_r/(1 + λ_r)`, `rank Σ_B · (1 − nc1_vci)`.
pub(super) fn h_score(context: &MetricContext<'_>) -> Outcome {
    of_ratios(context, |ratio| ratio / (1.0 + ratio), |ratio| 1.0 / (1.0 + ratio).powi(2))
}

/// The sum of a function of the `λ_r`, of which `slope` is the derivative.
fn of_ratios(context: &MetricContext<'_>, number: fn(f64) -> f64, slope: fn(f64) -> f64) -> Outcome {
    match context.vci() {
        Ok(vci) => {
            let sum: f64 = vci.ratios.iter().map(|&ratio| number(ratio)).sum();
            Outcome { flags: vci.flags(), counts: vci.counts(), ..sum.into() }
                .off_by(|value| ratio_error(context.evidence.statistics, vci, slope) + value * arithmetic(vci.rank))
        }
        Err(reason) => Outcome::null(context.scatter_reason(reason)),
    }
}

fn ratio_error(statistics: &Statistics, vci: &Vci, slope: fn(f64) -> f64) -> f64 {
    GridNoise::of(statistics).of_ratios(vci, statistics, slope).unwrap_or(0.0)
}

/// `separation_alignment`: `mean_k 2 T_k/(n_k − 1)` with `T_k = n_k v_k`: the mean of `‖x − y‖²` over pairs of different rows
/// of a class, averaged over the classes of two rows or more.
pub(super) fn alignment(context: &MetricContext<'_>) -> Outcome {
    let statistics = context.evidence.statistics;
    let used: Vec<usize> = (0..statistics.classes()).filter(|&k| statistics.counts[k] > 1).collect();
    if used.is_empty() {
        return Outcome::null("too_few_rows");
    }
    let factor = |k: usize| {
        let n = statistics.counts[k] as f64;
        2.0 * n / (n - 1.0) / used.len() as f64
    };
    let value: f64 = used.iter().map(|&k| factor(k) * statistics.variances[k]).sum();
    Outcome::from(value)
        .off_by(|_| {
            let noise = GridNoise::of(statistics);
            let factors: Vec<f64> = used.iter().map(|&k| factor(k)).collect();
            let random: Vec<f64> = used.iter().map(|&k| noise.class_variance(statistics, k) - noise.total).collect();
            let random = factors.iter().zip(&random).map(|(f, r)| (f * r).powi(2)).sum::<f64>().sqrt();
            noise.total * factors.iter().sum::<f64>() + random
        })
        .flag_if(used.len() < statistics.classes(), "classes_left_out")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, statistics};
    use crate::metrics::{Evidence, Extras, Measurements, Options, Selection, measure};

    fn family(statistics: &Statistics) -> Measurements {
        let selection = Selection::parse(&["separation".to_owned()]).unwrap();
        measure(&Evidence::new(statistics, 53), &Options::default(), &selection, Extras::default()).unwrap()
    }

    fn value(found: &Measurements, key: &str) -> f64 {
        let metric = found.metric(key).unwrap();
        metric.value.unwrap_or_else(|| panic!("{key}: {:?}", metric.reason))
    }

    /// Classes at these places of a line, each of two rows one away from its mean.
    fn line(places: &[f64]) -> Statistics {
        let rows: Vec<f64> = places.iter().flat_map(|x| [x - 1.0, x + 1.0]).collect();
        let labels: Vec<u32> = (0..2 * places.len() as u32).map(|row| row / 2).collect();
        statistics(1, &rows, &labels)
    }

    #[test]
    fn three_classes_on_a_line() {
        // v = 1, means 0, 4, 20 about 8; S_W = 6, S_B = 2 (64 + 16 + 144) = 448.
        let found = family(&line(&[0.0, 4.0, 20.0]));
        assert_close(value(&found, "separation_calinski_harabasz"), (448.0 / 2.0) / (6.0 / 3.0), 1e-13);
        assert_close(value(&found, "separation_davies_bouldin_rms"), (0.5 + 0.5 + 0.125) / 3.0, 1e-13);
        assert_close(value(&found, "separation_fisher_trace"), 448.0 / 6.0, 1e-13);
        assert_close(value(&found, "separation_h_score"), 448.0 / 454.0, 1e-13);
        // One direction counts as one, but for what smoothing adds.
        assert_close(value(&found, "separation_lidar"), 1.0, 1e-6);
        assert_close(value(&found, "separation_alignment"), 4.0, 1e-13);
        // Σ_W = 1: errors at Δ = 4, 20 and 16.
        let [near, far, middle] = [2.275_013_194_817_921e-2, 7.619_853_024_160_526e-24, 6.220_960_574_271_784e-16];
        assert_close(value(&found, "separation_lda_error_max"), near, 1e-13);
        assert_close(value(&found, "separation_lda_error_mean"), (near + middle + far) / 3.0, 1e-13);
    }

    #[test]
    fn sizes_weigh_where_rows_are_summed() {
        // Means 0 and 3 of one and two pairs of rows about 2: S_B = 2·4 + 4·1, S_W = 6.
        let rows = [-1.0, 1.0, 2.0, 4.0, 2.0, 4.0];
        let found = family(&statistics(1, &rows, &[0, 0, 1, 1, 1, 1]));
        assert_close(value(&found, "separation_calinski_harabasz"), 12.0 / (6.0 / 4.0), 1e-13);
        assert_close(value(&found, "separation_fisher_trace"), 2.0, 1e-13);
        assert_close(value(&found, "separation_alignment"), f64::midpoint(4.0, 8.0 / 3.0), 1e-13);
    }

    #[test]
    fn equal_means_have_no_index_and_singletons_no_width() {
        let reason = |found: &Measurements, key: &str| found.metric(key).unwrap().reason;
        let twins = family(&line(&[0.0, 0.0, 5.0]));
        assert_eq!(reason(&twins, "separation_davies_bouldin_rms"), Some("degenerate_pairs"));
        // Two classes with the same mean are told apart as well as by chance.
        assert_close(value(&twins, "separation_lda_error_max"), 0.5, 1e-13);
        let one = family(&statistics(1, &[0.0, 2.0, 10.0], &[0, 0, 1]));
        assert_eq!(one.metric("separation_davies_bouldin_rms").unwrap().flags, ["singleton_classes"]);
        assert_close(value(&one, "separation_davies_bouldin_rms"), 1.0 / 9.0, 1e-13);
        assert_eq!(one.metric("separation_alignment").unwrap().flags, ["classes_left_out"]);
        let alone = family(&statistics(1, &[0.0, 2.0], &[0, 1]));
        assert_eq!(reason(&alone, "separation_alignment"), Some("too_few_rows"));
        assert_eq!(reason(&alone, "separation_calinski_harabasz"), Some("no_degrees_of_freedom"));
        assert_eq!(reason(&alone, "separation_lidar"), Some("no_degrees_of_freedom"));
    }

    #[test]
    fn more_classes_than_a_tile_are_swept_in_any_number_of_threads() {
        // The farther along the line, the wider apart: each class's worst neighbour is the one before it.
        let places: Vec<f64> = (0..600).map(|k| 4.0 * f64::from(k) + f64::from(k * k) / 64.0).collect();
        let statistics = line(&places);
        let ratio = |k: usize| 2.0 / (places[k + 1] - places[k]);
        let expected = (ratio(0) + (0..599).map(ratio).sum::<f64>()) / 600.0;
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| family(&statistics))
        };
        let found = run(1);
        assert_close(value(&found, "separation_davies_bouldin_rms"), expected, 1e-12);
        for threads in [2, 7] {
            let other = run(threads);
            assert!(found.metrics.iter().zip(&other.metrics).all(|(a, b)| a == b), "{threads} threads");
        }
    }
}
