//! Mahalanobis distances of rows: out-of-distribution scores (Lee et al. 2018, Ren et al. 2021) and the decisions of linear
//! discriminant analysis.
//!
//! Each formula of a catalogue's key is a function here.

use super::Centring;
use super::context::MetricContext;
use super::doubt::arithmetic;
use super::nc4::undecided;
use super::noise::{SIGNIFICANT, along, of_means};
use super::outcome::Outcome;
use super::spectrum::{Covariance, Eigenvalues};
use super::vectors::centre;
use crate::kernels::{Mahalanobis, Whitening};
use crate::linalg;
use crate::state::{SecondPassResult, Separation, Statistics};

/// `nc5_mahalanobis_auroc`: the area under the ROC curve of `−min_k (x − μ_k)ᵀ Σ_W⁺ (x − μ_k)`, in-distribution rows positive.
pub(super) fn auroc(context: &MetricContext<'_>) -> Outcome {
    separation(context, |found| found.mahalanobis.as_ref(), |found| (found.auroc, found.auroc_error))
}

/// `nc5_mahalanobis_fpr95`: the share of out-of-distribution rows at or above the score that 95 % of the other rows reach.
pub(super) fn fpr95(context: &MetricContext<'_>) -> Outcome {
    separation(context, |found| found.mahalanobis.as_ref(), |found| (found.fpr95, found.fpr95_error))
}

/// `nc5_relative_mahalanobis_auroc`: the same of the score with `(x − μ)ᵀ Σ_T⁺ (x − μ)` added to it.
pub(super) fn relative_auroc(context: &MetricContext<'_>) -> Outcome {
    relative(context, |found| (found.auroc, found.auroc_error))
}

/// `nc5_relative_mahalanobis_fpr95`: the same of the score with `(x − μ)ᵀ Σ_T⁺ (x − μ)` added to it.
pub(super) fn relative_fpr95(context: &MetricContext<'_>) -> Outcome {
    relative(context, |found| (found.fpr95, found.fpr95_error))
}

/// A number of the relative scores, which a single class does not have.
fn relative(context: &MetricContext<'_>, number: fn(&Separation) -> (f64, f64)) -> Outcome {
    if context.evidence.ood_mean.is_some() && context.evidence.statistics.classes() < 2 {
        return Outcome::null("single_class");
    }
    separation(context, |found| found.relative_mahalanobis.as_ref(), number)
}

/// `lda_accuracy`: the share of rows whose nearest class mean in the metric of `Σ_W⁺` is their own: the decisions of linear
/// discriminant analysis with equal priors and without shrinkage.
pub(super) fn lda_accuracy(context: &MetricContext<'_>) -> Outcome {
    if context.evidence.statistics.classes() < 2 {
        return Outcome::null("single_class");
    }
    let found = context.findings(|findings| findings.lda.as_ref().map(|lda| (lda, findings)));
    let Some((lda, findings)) = found else { return Outcome::null(no_scores(context)) };
    if lda.rows == 0 {
        return Outcome::null(undecided(lda.unseen));
    }
    let share = |count: u64| count as f64 / lda.rows as f64;
    Outcome::from(share(lda.right))
        .off_by(|_| share(lda.unsure))
        .flag_if(lda.unsure > 0, "ties")
        .flag_if(lda.unseen > 0, "unseen_classes")
        .flag_if(findings.mahalanobis_directions_dropped > 0, "directions_dropped")
}

/// A number of the scores, and its error.
fn separation(
    context: &MetricContext<'_>,
    scores: fn(&SecondPassResult) -> Option<&Separation>,
    number: fn(&Separation) -> (f64, f64),
) -> Outcome {
    let found = context.findings(|findings| scores(findings).map(|found| (number(found), findings)));
    match found {
        Some(((number, error), findings)) => Outcome::from(number)
            .off_by(|_| error)
            .flag_if(findings.mahalanobis_directions_dropped > 0, "directions_dropped"),
        None if context.evidence.ood_mean.is_none() => Outcome::null("no_ood"),
        None => Outcome::null(no_scores(context)),
    }
}

/// Why no row has a distance.
fn no_scores(context: &MetricContext<'_>) -> &'static str {
    let reason = mahalanobis(context.evidence.statistics, false).err();
    reason.map_or("no_decisions", |reason| context.scatter_reason(reason))
}

/// The metric of `Σ_W = S_W/N`, whatever the normaliser of NC1, and the class means in it; with `total`, that of `Σ_T` too.
///
/// Both are pseudo-inverses without shrinkage: directions in which rounding alone could make the variance are left out.
///
/// # Errors
///
/// `no_scatter`, `zero_within` if rows of a class do not differ beyond rounding, and `out_of_range`.
pub fn mahalanobis(statistics: &Statistics, total: bool) -> Result<Mahalanobis, &'static str> {
    let scatter = statistics.scatter.as_deref().ok_or("no_scatter")?;
    let (dim, classes) = (statistics.dim, statistics.classes() as f64);
    let (axes, mut error) = axes(statistics, scatter, Covariance::Within)?;
    let rank = axes.len() / dim;
    let within = Whitening { centre: statistics.origin.clone(), axes };
    let means = linalg::product_transposed(&statistics.offsets, &within.axes, dim);
    // A mean that is off moves a squared distance of about `rank` by twice its length.
    let noise = of_means(statistics, None, |_| 1.0 / classes);
    let moved: f64 = within.axes.chunks_exact(dim).map(|axis| along(axis, &noise)).sum();
    error += 2.0 * (moved / rank as f64).sqrt();
    let total = if total {
        let (axes, of_total) = self::axes(statistics, scatter, Covariance::Rows)?;
        error = error.max(of_total);
        let offset = centre(statistics, Centring::Sample);
        let centre = statistics.origin.iter().zip(&offset).map(|(origin, offset)| origin + offset).collect();
        Some(Whitening { centre, axes })
    } else {
        None
    };
    Ok(Mahalanobis { within, means, total, directions_dropped: (dim - rank) as u64, error })
}

/// Eigenvectors over the roots of their eigenvalues, and how far off squares of coordinates may be, relative.
fn axes(statistics: &Statistics, scatter: &[f64], of: Covariance) -> Result<(Vec<f64>, f64), &'static str> {
    let dim = statistics.dim;
    let eigen = Eigenvalues::of(of, statistics, scatter)?;
    let kept: Vec<usize> = (0..dim).filter(|&r| eigen.values[r] > SIGNIFICANT * eigen.error(r)).collect();
    let (Some(&first), Some(&last)) = (kept.first(), kept.last()) else { return Err(of.zero()) };
    let axis = |&r: &usize| {
        let root = (eigen.values[r] * eigen.unit).sqrt();
        eigen.vectors[r * dim..][..dim].iter().map(move |u| u / root).collect::<Vec<f64>>()
    };
    let error = kept.iter().map(|&r| eigen.error(r) / eigen.values[r]).fold(0.0, f64::max);
    // Large coordinates cancel in small ones.
    let cancelled = arithmetic(dim) * (eigen.values[first] / eigen.values[last]).sqrt();
    Ok((kept.iter().flat_map(axis).collect(), error + cancelled))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, golden, golden_rows, statistics};

    fn square(x: &[f64]) -> f64 {
        x.iter().map(|x| x * x).sum()
    }

    /// The mean of `(x − μ_k)ᵀ Σ_W⁻¹ (x − μ_k)` over rows of their own classes is `tr Σ_W⁻¹ Σ_W`, and so it is for `Σ_T`.
    #[test]
    fn own_distances_are_d_on_average() {
        let (rows, labels) = golden_rows();
        let made = mahalanobis(&golden(), true).unwrap();
        assert_eq!((made.within.rank(), made.directions_dropped), (3, 0));
        let (mut own, mut all) = (0.0, 0.0);
        for (row, &label) in rows.chunks(3).zip(&labels) {
            let (mut coordinates, mut about_mean) = (Vec::new(), Vec::new());
            made.within.append(row, &mut coordinates);
            let mean = &made.means[3 * label as usize..][..3];
            own += square(&coordinates.iter().zip(mean).map(|(x, mean)| x - mean).collect::<Vec<f64>>());
            made.total.as_ref().unwrap().append(row, &mut about_mean);
            all += square(&about_mean);
        }
        assert_close(own / labels.len() as f64, 3.0, 1e-12);
        assert_close(all / labels.len() as f64, 3.0, 1e-12);
        assert!(made.error < 1e-12);
    }

    #[test]
    fn directions_without_variance_within_classes_are_left_out() {
        // The second dimension tells the classes apart, and nothing else.
        let flat = statistics(2, &[1.0, 0.0, 3.0, 0.0, 1.0, 5.0, 3.0, 5.0], &[0, 0, 1, 1]);
        let made = mahalanobis(&flat, true).unwrap();
        assert_eq!((made.within.rank(), made.directions_dropped, made.total.unwrap().rank()), (1, 1, 2));
        assert_eq!(mahalanobis(&statistics(1, &[1.0, 1.0, 2.0], &[0, 0, 1]), false), Err("zero_within"));
        let mut bare = golden();
        bare.scatter = None;
        assert_eq!(mahalanobis(&bare, false), Err("no_scatter"));
    }
}
