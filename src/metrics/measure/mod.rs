//! All metrics of a group, and what is asked for beside them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::catalogue::{Card, Family, card};
use super::context::MetricContext;
use super::figures::{FigureData, WORST};
use super::nc1::{classes, solved};
use super::nc4;
use super::outcome::Outcome;
use super::swept;
use super::{ClassMeans, ClassRow, Evidence, Extras, Measured, Measurements, Options, Pair, Selection};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::state::{DecisionCounts, Decisions};

/// Makes the metrics selected, and what is asked for beside them, of a group.
///
/// A metric that cannot be made is there all the same, with the reason.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) if the classifier or the out-of-distribution mean is not of the statistics'
/// shape.
pub fn measure(
    evidence: &Evidence<'_>,
    options: &Options,
    selection: &Selection,
    extras: Extras,
) -> Result<Measurements> {
    let statistics = evidence.statistics;
    let (classes, dim) = (statistics.classes(), statistics.dim);
    if let Some(head) = evidence.head
        && (head.weights.len() != classes * dim || head.bias.as_ref().is_some_and(|bias| bias.len() != classes))
    {
        return Err(Error::data("the classifier does not have a row for each class")
            .with("classes", classes)
            .with("dim", dim)
            .with("weights", head.weights.len()));
    }
    if evidence.ood_mean.is_some_and(|mean| mean.len() != dim) {
        return Err(Error::data("the out-of-distribution rows have another length").with("dim", dim));
    }
    if classes == 0 {
        let metrics = selection.cards().map(|card| measured(card, Outcome::null("no_rows"))).collect();
        return Ok(Measurements { metrics, ..Measurements::default() });
    }
    let mut context = MetricContext::new(evidence, options, selection, extras);
    context.prepare();
    let outcomes: Vec<_> = selection.cards().map(|card| (card, outcome(card, &context))).collect();
    let (mut accuracy, mut flags) = context.accuracy();
    let is_rounded = statistics.rounding_changed.iter().any(|&noise| noise > 0.0);
    let made: Vec<_> = outcomes.iter().map(|(card, outcome)| (*card, outcome.value.ok())).collect();
    let bars = swept::error_bars(&mut context, &made);
    let judge =
        |((card, outcome), error_bar)| Measured { error_bar, ..judged(card, outcome, is_rounded, &mut accuracy) };
    let metrics = outcomes.into_iter().zip(bars).map(judge).collect();
    if statistics.counts.contains(&1) {
        flags.push("singleton_classes");
    }
    if classes > dim + 1 {
        flags.push("simplex_unattainable");
    }
    let mut worst_pairs = worst_pairs(&context);
    let figures = extras.figures.then(|| {
        let asked = if extras.worst_pairs > 0 { extras.worst_pairs } else { WORST };
        let worst = worst_pairs.iter().take(asked).cloned().collect();
        Box::new(FigureData::of(&context, extras, class_rows(&context), worst))
    });
    worst_pairs.truncate(extras.worst_pairs);
    Ok(Measurements {
        classes: classes as u64,
        flags,
        accuracy,
        metrics,
        per_class: if extras.per_class { class_rows(&context) } else { Vec::new() },
        worst_pairs,
        class_means: extras.class_means.then(|| ClassMeans::of(statistics)),
        figures,
    })
}

/// Makes the metric of NC4 with that key, and its remarks, from decisions alone; `None` if no metric has the key.
pub fn of_decisions(key: &str, decisions: &Decisions, has_head: bool) -> Option<Measurements> {
    let card = card(key)?;
    let mut accuracy = BTreeMap::new();
    let metric = judged(card, nc4::of_decisions(card, decisions, has_head), false, &mut accuracy);
    Some(Measurements { metrics: vec![metric], accuracy, ..Measurements::default() })
}

/// What the formula of a card gives, with remarks on the classes of which pairs are made.
fn outcome(card: &Card, context: &MetricContext<'_>) -> Outcome {
    let mut outcome = card.outcome(context);
    if let Some(swept) = context.swept.as_ref().filter(|_| swept::is_of_pairs(card)) {
        outcome.flags.extend(swept.flags());
        outcome.counts.push(("classes_swept", swept.classes.len() as u64));
    }
    outcome
}

/// The numbers of the metrics selected, by their keys, of a classifier that has a row for each class. Nothing is said of
/// their accuracy. Metrics for which `leaves_nothing_out` holds, since no direction of these features does, are made without
/// the decomposition of a matrix where that is faster.
pub(super) fn values(
    evidence: &Evidence<'_>,
    options: &Options,
    selection: &Selection,
    leaves_nothing_out: impl Fn(&str) -> bool,
) -> Vec<(&'static str, Option<f64>)> {
    if evidence.statistics.classes() == 0 {
        return selection.keys().map(|key| (key, None)).collect();
    }
    let context = MetricContext::new(evidence, options, selection, Extras::default());
    let mut pinv = None;
    let solved = |card: &Card, pinv: &mut Option<Option<f64>>| match card.key {
        "nc1_pinv" | "nc1_svd" => {
            *pinv.get_or_insert_with(|| solved::pinv(evidence.statistics, &context.means.vectors, options))
        }
        "nc1_vci" => solved::vci(evidence.statistics),
        _ => None,
    };
    let value = |card: &'static Card| {
        let solved = if leaves_nothing_out(card.key) { solved(card, &mut pinv) } else { None };
        (card.key, solved.or_else(|| card.outcome(&context).value.ok()))
    };
    selection.cards().map(value).collect()
}

/// A number with a relative error above this carries the remark [`ROUNDED`].
const ROUNDING: f64 = 1e-6;

/// The remark on a number that rounding may have moved by more than 1e-6 of it; `accuracy` says by how much.
pub const ROUNDED: &str = "rounding_above_1e-6";

/// A relative error below this is not reported.
const NEGLIGIBLE: f64 = 1e-7;

/// Adds the estimated error of the number to `accuracy`, and a remark on it to the flags if it is large. `is_rounded` says
/// whether rounding changed any row: then no spread within classes is 0 but by rounding.
fn judged(card: &Card, mut outcome: Outcome, is_rounded: bool, accuracy: &mut BTreeMap<&'static str, f64>) -> Measured {
    if let Ok(value) = outcome.value {
        let relative = outcome.error / value.abs();
        if relative > NEGLIGIBLE && relative.is_finite() {
            let known = accuracy.entry(card.key).or_insert(0.0);
            *known = known.max(relative);
        }
        let relative = accuracy.get(card.key).copied().unwrap_or(0.0);
        let nothing = value == 0.0 && (outcome.error > 0.0 || (is_rounded && card.family == Family::Nc1));
        if nothing || relative >= 1.0 {
            outcome.flags.push("nothing_but_rounding");
        } else if relative > ROUNDING {
            outcome.flags.push(ROUNDED);
        }
    }
    measured(card, outcome)
}

fn measured(card: &Card, outcome: Outcome) -> Measured {
    let Outcome { value, floor, flags, counts, .. } = outcome;
    // Every test that measures checks the card too.
    let on_card = match value {
        Ok(value) => card.range.contains(value),
        Err(reason) => card.nulls.contains(&reason),
    };
    debug_assert!(on_card, "{} is {value:?}, which its card does not say", card.key);
    Measured { key: card.key, value: value.ok(), floor, reason: value.err(), flags, counts, error_bar: None }
}

/// The pairs hardest to tell apart, worst first.
fn worst_pairs(context: &MetricContext<'_>) -> Vec<Pair> {
    let labels = &context.evidence.statistics.labels;
    let pairs = context.cdnv.iter().flat_map(|cdnv| &cdnv.worst);
    pairs
        .map(|pair| Pair {
            first: labels[pair.classes.0].clone(),
            second: labels[pair.classes.1].clone(),
            cdnv: pair.cdnv,
            distance: pair.distance,
        })
        .collect()
}

/// One row a class.
fn class_rows(context: &MetricContext<'_>) -> Vec<ClassRow> {
    let Evidence { statistics, head, .. } = *context.evidence;
    let means = &context.means.vectors;
    let alignment = context.alignment();
    (0..statistics.classes())
        .map(|class| {
            let label = &statistics.labels[class];
            let tally = tally(context, label);
            let with_head = tally.filter(|_| head.is_some());
            let worst = context.cdnv.as_ref().and_then(|cdnv| classes::cdnv_worst(cdnv, class));
            ClassRow {
                label: label.clone(),
                count: statistics.counts[class],
                variance: classes::variance(statistics, class, context.options).ok(),
                distance: means.norms[class] * means.unit,
                snr: classes::snr(statistics, &means.points(), class, context.options).ok(),
                cdnv_mean: context.cdnv.as_ref().and_then(|cdnv| classes::cdnv_mean(cdnv, class).ok()),
                cdnv_worst: worst.map(|(cdnv, _)| cdnv),
                worst_neighbour: worst.map(|(_, other)| statistics.labels[other].clone()),
                cos_head: alignment.and_then(|alignment| alignment.cosines[class]),
                dot_head: alignment.map(|alignment| alignment.dots[class]),
                agreements: with_head.map(|tally| tally.agreements),
                decisions: tally.map(|tally| tally.rows),
                ncc_hits: tally.map(|tally| tally.ncc_right),
                classifier_hits: with_head.map(|tally| tally.classifier_right),
            }
        })
        .collect()
}

/// The decisions on rows of this class.
fn tally<'a>(context: &MetricContext<'a>, label: &Label) -> Option<&'a DecisionCounts> {
    let decisions = context.findings(|findings| findings.decisions.as_ref())?;
    decisions.labels.binary_search(label).ok().and_then(|at| decisions.tallies.get(at))
}
