//! NC1: variability within classes.

mod pinv;
#[cfg(test)]
mod tests;
mod vci;

pub use pinv::{Pinv, pinv};
pub use vci::{Vci, vci};

use super::{Normaliser, Options, Value, finite};
use crate::kernels::pairs::{Cdnv, Points};
use crate::state::Statistics;

/// What `S_W` is divided by.
///
/// # Errors
///
/// `no_degrees_of_freedom` with `N − K = 0`, `needs_per_class_scatter` if every class is to count the same.
fn normaliser(statistics: &Statistics, options: &Options) -> Value {
    let (rows, classes) = (statistics.rows(), statistics.classes() as u64);
    match options.normaliser {
        Normaliser::Rows => Ok(rows as f64),
        Normaliser::RowsLessClasses if rows == classes => Err("no_degrees_of_freedom"),
        Normaliser::RowsLessClasses => Ok((rows - classes) as f64),
        Normaliser::Balanced => Err("needs_per_class_scatter"),
    }
}

/// `tr Σ_W`, from the classes' variances alone.
fn within_trace(statistics: &Statistics, options: &Options) -> Value {
    let classes = statistics.variances.iter().zip(&statistics.counts);
    finite(match options.normaliser {
        Normaliser::Balanced => statistics.variances.iter().sum::<f64>() / statistics.classes() as f64,
        _ => classes.map(|(v, &n)| v * n as f64).sum::<f64>() / normaliser(statistics, options)?,
    })
}

/// `tr Σ_B = (1/K) Σ ‖c_k‖²`.
fn between_trace(means: &Points<'_>) -> Value {
    if means.len() < 2 {
        return Err("single_class");
    }
    finite(means.norms.iter().map(|norm| (norm * means.unit).powi(2)).sum::<f64>() / means.len() as f64)
}

/// `nc1_trace_ratio`, `tr Σ_W / tr Σ_B` (Tirer et al. 2023). No unit; `[0, ∞)`, lower is more collapsed, 0 at full
/// collapse. Needs no scatter matrix.
///
/// # Errors
///
/// `single_class`, `zero_between` if all means are equal, `no_degrees_of_freedom`.
pub fn trace_ratio(statistics: &Statistics, means: &Points<'_>, options: &Options) -> Value {
    let (between, within) = (between_trace(means)?, within_trace(statistics, options)?);
    if between > 0.0 { finite(within / between) } else { Err("zero_between") }
}

/// `nc1_within_fraction`, `tr Σ_W / (tr Σ_W + tr Σ_B)` (Rangamani et al. 2023). No unit; `[0, 1]`, lower is more
/// collapsed, 0 at full collapse. Needs no scatter matrix.
///
/// # Errors
///
/// `single_class`, `zero_variance` if all rows are equal, `no_degrees_of_freedom`.
pub fn within_fraction(statistics: &Statistics, means: &Points<'_>, options: &Options) -> Value {
    let (between, within) = (between_trace(means)?, within_trace(statistics, options)?);
    if within + between > 0.0 { finite(within / (within + between)) } else { Err("zero_variance") }
}

/// Which classes have rows enough for a variance: two, unless `min_count` says otherwise.
pub fn varied(statistics: &Statistics, options: &Options) -> Vec<bool> {
    let least = options.min_count.unwrap_or(2);
    statistics.counts.iter().map(|&count| count >= least).collect()
}

/// `nc1_class_variance`, `v_k = (1/n_k) Σ ‖x − μ_k‖²`. Feature units squared; lower is more collapsed.
///
/// # Errors
///
/// `too_few_rows` if the class is not among the [`varied`].
pub fn class_variance(statistics: &Statistics, class: usize, options: &Options) -> Value {
    if statistics.counts[class] < options.min_count.unwrap_or(2) {
        return Err("too_few_rows");
    }
    finite(statistics.variances[class])
}

/// `nc1_class_snr`, `‖c_k‖² / v_k`. No unit; higher is more collapsed.
///
/// # Errors
///
/// Those of [`class_variance`], and `zero_within` if `v_k = 0`.
pub fn class_snr(statistics: &Statistics, means: &Points<'_>, class: usize, options: &Options) -> Value {
    let variance = class_variance(statistics, class, options)?;
    if variance > 0.0 { finite((means.norms[class] * means.unit).powi(2) / variance) } else { Err("zero_within") }
}

/// Why there is no pair, if there is none, or a pair's CDNV is not finite.
fn check(cdnv: &Cdnv) -> Result<(), &'static str> {
    match cdnv.pairs {
        0 if cdnv.degenerate > 0 => Err("degenerate_pairs"),
        0 if cdnv.by_class.len() < 2 => Err("single_class"),
        0 => Err("too_few_rows"),
        _ => finite(cdnv.mean).map(|_| ()),
    }
}

/// `nc1_cdnv`, the mean of `V_ij = (v_i + v_j) / (2 ‖μ_i − μ_j‖^2p)` over pairs `i < j` whose means are not the same up to
/// rounding (Galanti et al. 2021). Unit: features to the power `2 − 2p`; `[0, ∞)`, lower is more collapsed.
///
/// # Errors
///
/// `single_class`, `too_few_rows` (fewer than two classes with a variance), `degenerate_pairs` (all means equal).
pub fn cdnv_mean(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    finite(cdnv.mean)
}

/// `nc1_cdnv_strict`, the same over all pairs.
///
/// # Errors
///
/// Those of [`cdnv_mean`]; `degenerate_pairs` also if it is infinite because two means are equal.
pub fn cdnv_strict(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    if cdnv.degenerate > 0 { Err("degenerate_pairs") } else { finite(cdnv.mean) }
}

/// `nc1_cdnv_log10_mean`, the mean of `log10 V_ij` over pairs with `V_ij > 0`.
///
/// # Errors
///
/// Those of [`cdnv_mean`], and `zero_within` if all are 0.
pub fn cdnv_log10_mean(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    cdnv.log10_mean.ok_or("zero_within").and_then(finite)
}

/// `nc1_cdnv_q50`, `_q90`, `_q99`: a quantile of `V_ij`, exact of up to half a million pairs, within 0.2 % of more.
///
/// # Errors
///
/// Those of [`cdnv_mean`].
pub fn cdnv_quantile(cdnv: &Cdnv, quantile: f64) -> Value {
    check(cdnv)?;
    cdnv.distribution.quantile(quantile).ok_or("too_few_rows").and_then(finite)
}

/// `nc1_cdnv_max`, the largest `V_ij`.
///
/// # Errors
///
/// Those of [`cdnv_mean`].
pub fn cdnv_max(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    finite(cdnv.max)
}

/// `nc1_cdnv_class_mean`, the mean of `V_kj` over the other classes.
///
/// # Errors
///
/// Those of [`cdnv_mean`]; `too_few_rows` also if the class itself has no variance.
pub fn cdnv_class_mean(cdnv: &Cdnv, class: usize) -> Value {
    check(cdnv)?;
    if cdnv.by_class[class].pairs == 0 { Err("too_few_rows") } else { finite(cdnv.by_class[class].mean) }
}

/// `nc1_cdnv_class_worst`, the largest `V_kj`, and `j`; `None` where [`cdnv_class_mean`] has no value.
pub fn cdnv_class_worst(cdnv: &Cdnv, class: usize) -> Option<(f64, usize)> {
    check(cdnv).ok()?;
    cdnv.by_class[class].worst.filter(|(v, _)| v.is_finite())
}

/// `degenerate_pairs`, if some pairs were left out because their means are equal.
pub fn cdnv_flags(cdnv: &Cdnv) -> Vec<&'static str> {
    if cdnv.degenerate > 0 { vec!["degenerate_pairs"] } else { Vec::new() }
}
