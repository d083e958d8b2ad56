//! Whether a number is right, or says itself that it may not be.

use std::collections::BTreeMap;

use nckit::metrics::{Measured, Measurements};

/// What a number has to be within, relative, unless its estimate allows more.
const TARGET: f64 = 1e-6;

/// How many standard deviations a number may be off.
const DEVIATIONS: f64 = 6.0;

/// Flags that say in words that a number may be off, or is of less than everything.
const EXCUSES: [&str; 9] = [
    "degenerate_pairs",
    "directions_dropped",
    "pinv_tolerance_sensitive",
    "at_quantisation_floor",
    "ties",
    "nothing_but_rounding",
    "zero_norm_classes",
    "unresolved_pairs",
    "rank_lowered",
];

/// How one number fared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Within the target.
    Right { error: f64 },
    /// Within what its estimate allows.
    Estimated { error: f64, share: f64 },
    /// A flag says that it may be off.
    Flagged { flag: &'static str },
    /// There is none, and says why.
    Null { reason: &'static str },
    /// There is none on either side.
    Neither,
    /// The definition takes too long for a set of this size.
    Unjudged,
    /// Wrong, without a word.
    Silent { error: f64, estimate: Option<f64> },
    /// None, for a reason that does not hold.
    WrongReason { reason: &'static str },
}

impl Verdict {
    /// Whether it is a number that misleads.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::WrongReason { .. })
    }
}

/// Reasons that are facts about the data: the definition must have no value either.
const FACTS: [&str; 7] = [
    "single_class",
    "zero_weights",
    "zero_mean",
    "too_few_rows",
    "no_degrees_of_freedom",
    "seli_unattainable",
    "balanced",
];

/// Judges the metrics of a set against `truth`: keys that it lacks are not judged.
pub(crate) fn judge(made: &Measurements, truth: &BTreeMap<&str, Option<f64>>) -> Vec<(&'static str, Verdict)> {
    made.metrics.iter().map(|metric| (metric.key, verdict(metric, &made.accuracy, truth))).collect()
}

fn verdict(metric: &Measured, accuracy: &BTreeMap<&'static str, f64>, truth: &BTreeMap<&str, Option<f64>>) -> Verdict {
    let Some(&truth) = truth.get(metric.key) else { return Verdict::Unjudged };
    let truth = truth.filter(|truth| truth.is_finite());
    let flag = metric.flags.iter().copied().find(|flag| EXCUSES.contains(flag));
    let (found, truth) = match (metric.value, metric.reason, truth) {
        (None, Some(_), None) => return Verdict::Neither,
        (None, Some(reason), Some(_)) if FACTS.contains(&reason) => return Verdict::WrongReason { reason },
        (None, reason, Some(_)) => return Verdict::Null { reason: reason.unwrap_or("none given") },
        (None, None, None) => return Verdict::WrongReason { reason: "none given" },
        (Some(_), _, None) => {
            return flag
                .map_or(Verdict::Silent { error: f64::INFINITY, estimate: None }, |flag| Verdict::Flagged { flag });
        }
        (Some(found), _, Some(truth)) => (found, truth),
    };
    let error = (found - truth).abs();
    let relative = if error == 0.0 { 0.0 } else { error / truth.abs() };
    if relative <= TARGET {
        return Verdict::Right { error: relative };
    }
    let estimate = accuracy.get(metric.key).copied();
    let share = estimate.map(|estimate| error / (estimate * found.abs()));
    match (share, flag) {
        (Some(share), _) if share <= DEVIATIONS => Verdict::Estimated { error: relative, share },
        (_, Some(flag)) => Verdict::Flagged { flag },
        _ => Verdict::Silent { error: relative, estimate },
    }
}
