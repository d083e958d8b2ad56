//! NC1: variability within classes.
//!
//! Each formula of a catalogue's key is a function here.

pub(super) mod cdnv;
pub(super) mod classes;
#[cfg(test)]
mod oracle;
mod pinv;
pub(super) mod solved;
#[cfg(test)]
mod tests;
mod traces;
mod vci;

pub(super) use pinv::Pinv;
pub(super) use traces::{Traces, normaliser};
pub(super) use vci::Vci;

use super::Value;
use super::context::MetricContext;
use super::outcome::Outcome;
use crate::kernels::pairs::Cdnv;

/// `nc1_pinv`: `tr(Σ_W Σ_B⁺) / K`; [`Pinv::of`] makes it.
pub(super) fn pinv(context: &MetricContext<'_>) -> Outcome {
    match context.pinv() {
        Ok(pinv) => Outcome { flags: pinv.flags(), counts: pinv.counts(), ..pinv.value.into() },
        Err(reason) => Outcome::null(context.scatter_reason(reason)),
    }
}

/// `nc1_svd`: `tr(Σ_W Σ_B⁺) / K` over the `K − 1` leading singular triplets. It is [`pinv`]'s number, which never has more
/// than `K − 1`.
pub(super) fn svd(context: &MetricContext<'_>) -> Outcome {
    pinv(context)
}

/// `nc1_trace_ratio`: `tr Σ_W / tr Σ_B`. Needs no scatter matrix.
pub(super) fn trace_ratio(context: &MetricContext<'_>) -> Outcome {
    traces(context).and_then(Traces::ratio).into()
}

/// `nc1_within_fraction`: `tr Σ_W / (tr Σ_W + tr Σ_B)`. Needs no scatter matrix.
pub(super) fn within_fraction(context: &MetricContext<'_>) -> Outcome {
    traces(context).and_then(Traces::within_fraction).into()
}

fn traces(context: &MetricContext<'_>) -> Result<Traces, &'static str> {
    Traces::of(context.evidence.statistics, &context.means.vectors.points(), context.options)
}

/// `nc1_cdnv`: the mean of `V_ij = (v_i + v_j) / (2 ‖μ_i − μ_j‖^2p)` over pairs `i < j` whose means are not the same up to
/// rounding.
pub(super) fn cdnv(context: &MetricContext<'_>) -> Outcome {
    over_pairs(context, cdnv::mean)
}

/// `nc1_cdnv_strict`: the mean of `V_ij` over all pairs; null if two means are equal, which makes it infinite.
pub(super) fn cdnv_strict(context: &MetricContext<'_>) -> Outcome {
    over_pairs(context, cdnv::strict_mean)
}

/// `nc1_cdnv_log10_mean`: the mean of `log10 V_ij` over pairs with `V_ij > 0`.
pub(super) fn cdnv_log10_mean(context: &MetricContext<'_>) -> Outcome {
    let zeros = context.cdnv.as_ref().map_or(0, |cdnv| cdnv.distribution.zeros());
    over_pairs(context, cdnv::log10_mean).count("zero_pairs", zeros).flag_if(zeros > 0, "zero_pairs")
}

/// `nc1_cdnv_q50`: the median of `V_ij`; see [`cdnv::quantile`].
pub(super) fn cdnv_q50(context: &MetricContext<'_>) -> Outcome {
    quantile(context, 0.5)
}

/// `nc1_cdnv_q90`: the 90 % quantile of `V_ij`; see [`cdnv::quantile`].
pub(super) fn cdnv_q90(context: &MetricContext<'_>) -> Outcome {
    quantile(context, 0.9)
}

/// `nc1_cdnv_q99`: the 99 % quantile of `V_ij`; see [`cdnv::quantile`].
pub(super) fn cdnv_q99(context: &MetricContext<'_>) -> Outcome {
    quantile(context, 0.99)
}

/// `nc1_cdnv_max`: the largest `V_ij`.
pub(super) fn cdnv_max(context: &MetricContext<'_>) -> Outcome {
    over_pairs(context, cdnv::max)
}

/// `nc1_cdnv_directional`: the mean over ordered pairs of the variance of class `i` along the line to `μ_j`, over
/// `‖μ_j − μ_i‖²`, from a second read of the rows.
pub(super) fn cdnv_directional(context: &MetricContext<'_>) -> Outcome {
    let degenerate = context.evidence.findings.is_some_and(|found| found.directional_degenerate_pairs > 0);
    let statistics = context.evidence.statistics;
    let used = classes::with_variance(statistics, context.options);
    let left_out = used.contains(&false);
    let none = match (degenerate, used.contains(&true)) {
        (true, _) => "degenerate_pairs",
        (false, true) => "no_rows",
        (false, false) => "too_few_rows",
    };
    let reason = context.means.undefined().unwrap_or(none);
    Outcome::number_or(context.findings(|findings| findings.directional), reason)
        .flag_if(degenerate, "degenerate_pairs")
        .flag_if(left_out, "classes_left_out")
}

/// `nc1_vci`: the variability collapse index `1 − tr(Σ_T⁺ Σ_B) / rank Σ_B`, with `Σ_B` weighted by class sizes; [`Vci::of`]
/// makes it.
pub(super) fn vci(context: &MetricContext<'_>) -> Outcome {
    match context.vci() {
        Ok(vci) => Outcome { flags: vci.flags(), counts: vci.counts(), ..vci.value.into() },
        Err(reason) => Outcome::null(context.scatter_reason(reason)),
    }
}

fn quantile(context: &MetricContext<'_>, q: f64) -> Outcome {
    let binned = context.cdnv.as_ref().is_some_and(|cdnv| cdnv.distribution.error() > 0.0);
    over_pairs(context, |cdnv| cdnv::quantile(cdnv, q)).flag_if(binned, "binned")
}

/// A statistic of `V_ij`, with remarks on the pairs and classes that were left out.
fn over_pairs(context: &MetricContext<'_>, number: impl FnOnce(&Cdnv) -> Value) -> Outcome {
    let Some(cdnv) = &context.cdnv else { return Outcome::null("single_class") };
    Outcome::from(number(cdnv))
        .count("degenerate_pairs", cdnv.degenerate)
        .flag_if(cdnv.degenerate > 0, "degenerate_pairs")
        .flag_if(cdnv.classes < context.classes_swept(), "classes_left_out")
}
