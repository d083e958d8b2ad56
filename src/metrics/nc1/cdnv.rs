//! Statistics of `V_ij = (v_i + v_j) / (2 ‖μ_i − μ_j‖^2p)` over pairs of classes (Galanti et al. 2021). Their unit is that of
//! features to the power `2 − 2p`.

use crate::kernels::pairs::Cdnv;
use crate::metrics::{Value, finite};

/// The mean over pairs whose means are not the same up to rounding.
///
/// # Errors
///
/// `single_class`, `too_few_rows` (fewer than two classes with a variance), `degenerate_pairs` (all means equal),
/// `out_of_range`.
pub(in crate::metrics) fn mean(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    finite(cdnv.mean)
}

/// The mean over all pairs.
///
/// # Errors
///
/// Those of [`mean`]; `degenerate_pairs` also if it is infinite because two means are equal.
pub(super) fn strict_mean(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    if cdnv.degenerate > 0 { Err("degenerate_pairs") } else { finite(cdnv.mean) }
}

/// The mean of `log10 V_ij` over pairs with `V_ij > 0`.
///
/// # Errors
///
/// Those of [`mean`], and `zero_within` if all `V_ij` are 0.
pub(super) fn log10_mean(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    cdnv.log10_mean.ok_or("zero_within").and_then(finite)
}

/// A quantile: exact for up to half a million pairs, within 0.2 % for more.
///
/// # Errors
///
/// Those of [`mean`].
pub(super) fn quantile(cdnv: &Cdnv, quantile: f64) -> Value {
    check(cdnv)?;
    cdnv.distribution.quantile(quantile).ok_or("too_few_rows").and_then(finite)
}

/// The largest `V_ij`.
///
/// # Errors
///
/// Those of [`mean`].
pub(super) fn max(cdnv: &Cdnv) -> Value {
    check(cdnv)?;
    finite(cdnv.max)
}

/// Fails if no pair is left, or the `V_ij` of one is not finite.
pub(super) fn check(cdnv: &Cdnv) -> Result<(), &'static str> {
    match cdnv.pairs {
        0 if cdnv.degenerate > 0 => Err("degenerate_pairs"),
        0 if cdnv.by_class.len() < 2 => Err("single_class"),
        0 => Err("too_few_rows"),
        _ => finite(cdnv.mean).map(|_| ()),
    }
}
