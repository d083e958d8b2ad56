//! NC1 class by class, for `--per-class`.

use super::cdnv::check;
use crate::kernels::pairs::{Cdnv, Points};
use crate::metrics::{Options, Value, finite};
use crate::state::Statistics;

/// Whether each class has enough rows for a variance: two, unless `min_count` says otherwise.
pub(in crate::metrics) fn with_variance(statistics: &Statistics, options: &Options) -> Vec<bool> {
    let least = options.variance_count();
    statistics.counts.iter().map(|&count| count >= least).collect()
}

/// `v_k = (1/n_k) Σ ‖x − μ_k‖²`. Feature units squared; lower is more collapsed.
///
/// # Errors
///
/// `too_few_rows` if the class is not among those [`with_variance`].
pub(in crate::metrics) fn variance(statistics: &Statistics, class: usize, options: &Options) -> Value {
    if statistics.counts[class] < options.variance_count() {
        return Err("too_few_rows");
    }
    finite(statistics.variances[class])
}

/// The signal-to-noise ratio `‖c_k‖² / v_k`. No unit; higher is more collapsed.
///
/// # Errors
///
/// Those of [`variance`], and `zero_within` if `v_k = 0`.
pub(in crate::metrics) fn snr(statistics: &Statistics, means: &Points<'_>, class: usize, options: &Options) -> Value {
    let variance = variance(statistics, class, options)?;
    if variance > 0.0 { finite((means.norms[class] * means.unit).powi(2) / variance) } else { Err("zero_within") }
}

/// The mean of `V_kj` over the other classes.
///
/// # Errors
///
/// Those of [`cdnv::mean`](super::cdnv::mean); `too_few_rows` also if the class itself has no variance.
pub(in crate::metrics) fn cdnv_mean(cdnv: &Cdnv, class: usize) -> Value {
    check(cdnv)?;
    if cdnv.by_class[class].pairs == 0 { Err("too_few_rows") } else { finite(cdnv.by_class[class].mean) }
}

/// The largest `V_kj`, and `j`; `None` where [`cdnv_mean`] has no value.
pub(in crate::metrics) fn cdnv_worst(cdnv: &Cdnv, class: usize) -> Option<(f64, usize)> {
    check(cdnv).ok()?;
    cdnv.by_class[class].worst.filter(|(v, _)| v.is_finite())
}
