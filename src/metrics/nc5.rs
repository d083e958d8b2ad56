//! NC5: out-of-distribution rows beside the classes. Ammar et al. (2024).
//!
//! Each formula of a catalogue's key is a function here.

use super::context::MetricContext;
use super::doubt::arithmetic;
use super::noise::SIGNIFICANT;
use super::outcome::{Outcome, ZERO_NORMS};
use super::vectors::{centre, dot, length};
use super::{Centring, NecoDenominator, NecoDim, Options};
use crate::kernels::Projection;
use crate::linalg;
use crate::state::{Separation, Statistics};

/// `nc5_ortho_dev`: the mean of `|cos(μ_k, o)|`, `o` the mean of the out-of-distribution rows; `μ_G` is taken off both if
/// `ood_centred`.
pub(super) fn ortho_dev(context: &MetricContext<'_>) -> Outcome {
    let Some(ood_mean) = context.evidence.ood_mean else { return Outcome::null("no_ood") };
    let (statistics, options) = (context.evidence.statistics, context.options);
    match mean_cosine(statistics, ood_mean, options) {
        Ok((deviation, left_out)) => Outcome::from(deviation)
            .off_by(|_| mean_cosine_error(statistics, ood_mean, options))
            .flag_if(left_out > 0, ZERO_NORMS),
        Err(reason) => Outcome::null(reason),
    }
}

/// `nc5_neco_auroc`: the area under the ROC curve of NECO scores `‖P_q z‖ / ‖z‖`, in-distribution rows positive, from a
/// second read of the rows. `z` is the standardised row, `P_q` the projection onto the `q` principal axes of
/// [`neco_projection`].
pub(super) fn neco_auroc(context: &MetricContext<'_>) -> Outcome {
    separation(context, |found| (found.auroc, found.auroc_error))
}

/// `nc5_neco_fpr95`: the share of out-of-distribution rows at or above the NECO score that 95 % of the other rows reach.
pub(super) fn neco_fpr95(context: &MetricContext<'_>) -> Outcome {
    separation(context, |found| (found.fpr95, found.fpr95_error))
}

/// A number of the NECO scores, and its error.
fn separation(context: &MetricContext<'_>, number: fn(&Separation) -> (f64, f64)) -> Outcome {
    let found = context.findings(|findings| findings.neco.as_ref()).map(number);
    found.map_or_else(|| Outcome::null(no_scores(context)), |(number, error)| Outcome::from(number).off_by(|_| error))
}

/// Why there are no NECO scores.
fn no_scores(context: &MetricContext<'_>) -> &'static str {
    if context.evidence.ood_mean.is_none() {
        return "no_ood";
    }
    if context.options.neco_max_logit && context.evidence.head.is_none() {
        return "no_head";
    }
    let reason = neco_projection(context.evidence.statistics, context.options).err();
    reason.map_or("no_decisions", |reason| context.scatter_reason(reason))
}

/// `mean_k |cos(μ_k, o)|`, with `μ_G` taken off both if `ood_centred`, and how many means were left out that have length 0, but
/// for rounding.
///
/// # Errors
///
/// `zero_ood_mean` if `o` has length 0, `zero_means` if all means have.
fn mean_cosine(statistics: &Statistics, ood_mean: &[f64], options: &Options) -> Result<(f64, usize), &'static str> {
    let shift = shift(statistics, options);
    let ood = direction(&less(ood_mean, &shift)).ok_or("zero_ood_mean")?;
    let noise = mean_noise(statistics, &shift);
    let cosines: Vec<f64> = (0..statistics.classes())
        .map(|class| (shifted(statistics, class, &shift), noise[class]))
        .filter(|(mean, noise)| length(mean.iter().copied()) > *noise)
        .filter_map(|(mean, _)| direction(&mean).map(|mean| dot(&mean, &ood).abs()))
        .collect();
    if cosines.is_empty() {
        return Err("zero_means");
    }
    Ok((cosines.iter().sum::<f64>() / cosines.len() as f64, statistics.classes() - cosines.len()))
}

/// How far rounding may have moved [`mean_cosine`]: by the angles that it may have turned the means and `o` by. `o` is taken
/// to be as exact as the least exact mean.
fn mean_cosine_error(statistics: &Statistics, ood_mean: &[f64], options: &Options) -> f64 {
    let shift = shift(statistics, options);
    let noise = mean_noise(statistics, &shift);
    let of_ood = noise.iter().copied().fold(f64::EPSILON * length(ood_mean.iter().copied()), f64::max);
    let turned = of_ood / length(less(ood_mean, &shift).into_iter());
    let angles =
        noise.iter().enumerate().map(|(class, noise)| noise / length(shifted(statistics, class, &shift).into_iter()));
    let angles: Vec<f64> = angles.filter(|angle| angle.is_finite()).collect();
    turned + angles.iter().sum::<f64>() / angles.len().max(1) as f64 + arithmetic(statistics.dim)
}

/// How far rounding may have moved each class mean less the shift.
fn mean_noise(statistics: &Statistics, shift: &[f64]) -> Vec<f64> {
    let arithmetic = f64::EPSILON * (length(shift.iter().copied()) + length(statistics.origin.iter().copied()));
    (0..statistics.classes()).map(|class| statistics.mean_noise(class).sqrt() + arithmetic).collect()
}

/// The vector that is taken off all means: `μ_G` if `ood_centred`, else 0.
fn shift(statistics: &Statistics, options: &Options) -> Vec<f64> {
    if !options.ood_centred {
        return vec![0.0; statistics.dim];
    }
    let centre = centre(statistics, options.centring);
    statistics.origin.iter().zip(&centre).map(|(origin, centre)| origin + centre).collect()
}

fn less(x: &[f64], shift: &[f64]) -> Vec<f64> {
    x.iter().zip(shift).map(|(x, shift)| x - shift).collect()
}

/// The mean of a class less the shift. The shift is taken off the origin first, since both are far from 0 where the means
/// are.
fn shifted(statistics: &Statistics, class: usize, shift: &[f64]) -> Vec<f64> {
    let offset = statistics.offset(class).iter().zip(&statistics.origin).zip(shift);
    offset.map(|((offset, origin), shift)| (origin - shift) + offset).collect()
}

/// The vector at length 1; `None` if its length is 0.
fn direction(vector: &[f64]) -> Option<Vec<f64>> {
    // Scaled first, so that squares neither vanish nor overflow.
    let largest = vector.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    let scaled: Vec<f64> = vector.iter().map(|x| x / largest).collect();
    let norm = dot(&scaled, &scaled).sqrt();
    (largest > 0.0).then(|| scaled.iter().map(|x| x / norm).collect())
}

/// NECO's fit: standardisation and principal axes, both from the covariance `Σ_T` of all rows.
///
/// A column without variance is not scaled. `Σ_T = S_W/N + Σ (n_k/N) (μ_k − μ)(μ_k − μ)ᵀ` with `μ` the mean of all rows,
/// whatever the conventions of NC1.
///
/// # Errors
///
/// `no_scatter`, `zero_variance` if all rows are equal, `neco_dim_above_dim` if more axes are asked for than there are
/// dimensions, `not_converged`, and `neco_all_axes` if the axes hold all of the variance, or all but rounding: then every
/// score is 1.
pub fn neco_projection(statistics: &Statistics, options: &Options) -> Result<Projection, &'static str> {
    let dim = statistics.dim;
    let mean = centre(statistics, Centring::Sample);
    let mut covariance = total_covariance(statistics, &mean).ok_or("no_scatter")?;
    let scale: Vec<f64> = (0..dim)
        .map(|j| covariance[j * dim + j])
        .map(|variance| if options.neco_scale && variance > 0.0 { variance.sqrt() } else { 1.0 })
        .collect();
    for (row, a) in covariance.chunks_exact_mut(dim).zip(&scale) {
        row.iter_mut().zip(&scale).for_each(|(entry, b)| *entry /= a * b);
    }
    let eigen = linalg::symmetric_eigen(&covariance, dim).map_err(|_| "not_converged")?;
    let variances: Vec<f64> = eigen.values.iter().map(|value| value.max(0.0)).collect();
    let total: f64 = variances.iter().sum();
    if total == 0.0 {
        return Err("zero_variance");
    }
    let noise = of_covariance(statistics, &scale, &variances);
    let axes = match options.neco_dim {
        NecoDim::Axes(axes) if axes > dim => return Err("neco_dim_above_dim"),
        NecoDim::Axes(axes) => axes,
        NecoDim::Fraction(share) => variances
            .iter()
            .scan(0.0, |explained, variance| {
                *explained += variance;
                Some(*explained)
            })
            .position(|explained| explained >= share * total)
            .map_or(dim, |last| last + 1),
    };
    let rest: f64 = variances[axes..].iter().sum();
    let plain = options.neco_denominator == NecoDenominator::Scaled && !options.neco_max_logit;
    if plain && rest <= SIGNIFICANT * noise.bias {
        return Err("neco_all_axes");
    }
    let mean: Vec<f64> = statistics.origin.iter().zip(&mean).map(|(origin, mean)| origin + mean).collect();
    let cancelled = mean.iter().zip(&scale).map(|(mean, scale)| (mean / scale).abs()).fold(0.0, f64::max);
    let turned = if certain(options, &variances, axes, noise.whole) {
        // Davis & Kahan (1970): a subspace turns by no more than the change over the gap beside it.
        noise.whole / (variances[axes - 1] - variances.get(axes).copied().unwrap_or(0.0))
    } else {
        1.0
    };
    Ok(Projection {
        error: turned.min(1.0) + f64::EPSILON * cancelled + arithmetic(dim),
        mean,
        scale,
        axes: eigen.vectors[..axes * dim].to_vec(),
        raw_denominator: options.neco_denominator == NecoDenominator::Raw,
    })
}

/// The rounding noise in the scaled covariance.
struct OfCovariance {
    /// The variance that rounding adds, over all directions.
    bias: f64,
    /// The norm of all that rounding changes.
    whole: f64,
}

fn of_covariance(statistics: &Statistics, scale: &[f64], variances: &[f64]) -> OfCovariance {
    let total: f64 = variances.iter().sum();
    let scaled = |noise: &[f64]| noise.iter().zip(scale).map(|(noise, scale)| noise / (scale * scale)).sum::<f64>();
    let own = arithmetic(statistics.dim) * total;
    let random = scaled(&statistics.rounding_changed) * total / statistics.rows() as f64;
    let bias = scaled(&statistics.rounding) + own;
    OfCovariance { bias, whole: bias + 2.0 * random.sqrt() }
}

/// Whether the share that was asked for takes that many axes whatever rounding did.
fn certain(options: &Options, variances: &[f64], axes: usize, noise: f64) -> bool {
    let NecoDim::Fraction(share) = options.neco_dim else { return axes > 0 };
    let wanted = share * variances.iter().sum::<f64>();
    let explained = |axes: usize| variances[..axes].iter().sum::<f64>();
    axes > 0 && explained(axes) - wanted > noise && wanted - explained(axes - 1) > noise
}

/// `Σ_T`, `D × D`; `mean` is the mean of all rows, relative to the origin. `None` without the scatter.
fn total_covariance(statistics: &Statistics, mean: &[f64]) -> Option<Vec<f64>> {
    let rows = statistics.rows() as f64;
    let within = statistics.scatter.as_ref()?;
    let deviations: Vec<f64> = (0..statistics.classes())
        .flat_map(|class| {
            let weight = (statistics.counts[class] as f64 / rows).sqrt();
            statistics.offset(class).iter().zip(mean).map(move |(x, mean)| weight * (x - mean))
        })
        .collect();
    let mut covariance = linalg::gram(&deviations, statistics.dim);
    covariance.iter_mut().zip(within).for_each(|(total, within)| *total += within / rows);
    Some(covariance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{GOLDEN_OOD, assert_close, golden, golden_rows, statistics};

    fn options() -> Options {
        Options { neco_dim: NecoDim::Axes(2), ..Options::default() }
    }

    #[test]
    fn the_golden_fixture() {
        let (rows, _) = golden_rows();
        let golden = golden();
        let (deviation, left_out) = mean_cosine(&golden, &GOLDEN_OOD, &options()).unwrap();
        assert_close(deviation, 0.566_119_158_736_322_6, 1e-12);
        assert_eq!(left_out, 0);
        let projection = neco_projection(&golden, &options()).unwrap();
        assert_close(projection.score(&GOLDEN_OOD), 0.901_213_986_028_313_5, 1e-12);
        assert_close(projection.score(&rows[..3]), 0.999_137_022_586_991_4, 1e-12);
    }

    #[test]
    fn the_covariance_of_all_rows() {
        let golden = golden();
        let covariance = total_covariance(&golden, &centre(&golden, Centring::Sample)).unwrap();
        assert_close(covariance[0] + covariance[4] + covariance[8], 7.574_942_129_629_63, 1e-12);
    }

    #[test]
    fn a_share_of_the_variance_takes_the_fewest_axes_that_reach_it() {
        // Columns of variance 9, 4 and 1, without correlation.
        let rows = [3.0, 2.0, 1.0, -3.0, -2.0, 1.0, 3.0, -2.0, -1.0, -3.0, 2.0, -1.0];
        let statistics = statistics(3, &rows, &[0; 4]);
        let axes = |dim, scale| {
            let options = Options { neco_dim: dim, neco_scale: scale, ..Options::default() };
            neco_projection(&statistics, &options).map(|projection| projection.axes.len() / 3)
        };
        assert_eq!(axes(NecoDim::Fraction(0.64), false), Ok(1));
        assert_eq!(axes(NecoDim::Fraction(0.65), false), Ok(2));
        assert_eq!(axes(NecoDim::Fraction(0.93), false), Err("neco_all_axes"));
        assert_eq!(axes(NecoDim::Axes(3), false), Err("neco_all_axes"), "every score would be 1");
        assert_eq!(axes(NecoDim::Fraction(0.65), true), Ok(2), "one third each");
        assert_eq!(axes(NecoDim::Axes(2), false), Ok(2));
        assert_eq!(axes(NecoDim::Axes(4), false), Err("neco_dim_above_dim"));
    }

    #[test]
    fn a_mean_that_differs_from_the_centre_by_rounding_has_no_direction() {
        let rows = [0.1, 0.7, -0.3, 0.9, 0.2, 0.4, -0.6, 1.1, 0.5];
        let centred = Options { ood_centred: true, ..options() };
        for rows in [rows.to_vec(), [rows, rows].concat()] {
            let codes: Vec<u32> = (0..rows.len() as u32 / 3).map(|row| row / 3).collect();
            let statistics = statistics(3, &rows, &codes);
            assert_eq!(mean_cosine(&statistics, &GOLDEN_OOD, &centred), Err("zero_means"));
            assert!(mean_cosine(&statistics, &GOLDEN_OOD, &options()).is_ok());
        }
    }

    #[test]
    fn conventions_of_the_projection() {
        let rows = [3.0, 7.0, 1.0, -1.0, 7.0, 3.0, 3.0, 7.0, 3.0, -1.0, 7.0, 1.0];
        let fit = |options: &Options| neco_projection(&statistics(3, &rows, &[0; 4]), options).unwrap();
        let options = || Options { neco_dim: NecoDim::Axes(1), ..Options::default() };
        let scaled = fit(&options());
        assert_eq!((scaled.mean, scaled.scale), (vec![1.0, 7.0, 2.0], vec![2.0, 1.0, 1.0]));
        assert!(!scaled.raw_denominator);
        let raw = Options { neco_scale: false, neco_denominator: NecoDenominator::Raw, ..options() };
        assert_eq!(fit(&raw).scale, [1.0; 3]);
        assert!(fit(&raw).raw_denominator);
    }

    #[test]
    fn reasons_why_there_is_no_projection_and_no_deviation() {
        let mut golden = golden();
        assert_eq!(mean_cosine(&golden, &[0.0; 3], &options()), Err("zero_ood_mean"));
        golden.scatter = None;
        assert_eq!(neco_projection(&golden, &options()), Err("no_scatter"));
        assert_eq!(neco_projection(&statistics(1, &[2.0, 2.0], &[0, 0]), &Options::default()), Err("zero_variance"));
        let zeros = statistics(2, &[0.0, 0.0, 0.0, 5.0], &[0, 1]);
        assert_eq!(mean_cosine(&zeros, &[0.0, -2.0], &options()), Ok((1.0, 1)));
        assert_eq!(mean_cosine(&statistics(1, &[0.0], &[0]), &[1.0], &options()), Err("zero_means"));
    }

    #[test]
    fn centring_takes_the_common_part_off() {
        // Two means 1 apart at 100 from the origin; o lies on the other side of their middle.
        let statistics = statistics(2, &[100.0, 0.0, 100.0, 1.0], &[0, 1]);
        let centred = Options { ood_centred: true, ..options() };
        assert!(mean_cosine(&statistics, &[90.0, 0.5], &options()).unwrap().0 > 0.999);
        assert!(mean_cosine(&statistics, &[90.0, 0.5], &centred).unwrap().0 < 1e-12);
    }
}
