//! Notes below a table: reasons, remarks, rows left out, doubtful digits, conventions.

use std::collections::BTreeMap;

use serde_json::Value;

use super::records::{Count, metric_keys};
use super::text::{counted, significant, words};
use super::{GroupReport, Report};
use crate::archive::{HeadSource, escaped};
use crate::metrics::{Family, Measured, Need, Options, ROUNDED, Remark, card, common_flags, flags, group_flags};

/// A smaller relative rounding error gets no note.
pub(super) const DOUBTFUL: f64 = 1e-6;

/// A note below a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) text: String,
    /// Whether it makes a number doubtful.
    pub(super) warning: bool,
}

/// All notes. The first say why numbers are missing, the last one lists conventions.
pub(super) fn notes(report: &Report) -> Vec<Note> {
    let groups = &report.groups;
    let mut notes = Vec::new();
    let mut note = |warning: bool, text: String| notes.push(Note { text, warning });
    if groups.len() > 1 {
        for (reason, keys) in collected(groups, |metric| metric.reason.as_slice()) {
            note(false, format!("— {}: {}", words(reason), keys.join(", ")));
        }
        for (flag, keys) in collected(groups, |metric| &metric.flags) {
            // `doubtful` makes this note, for digits that are shown.
            if flag == ROUNDED {
                continue;
            }
            note(true, format!("{}: {}", meaning(flag, flags()), keys.join(", ")));
        }
        let floors = metric_keys(groups).into_iter().filter_map(|key| floor(groups, key)).collect::<Vec<_>>();
        if !floors.is_empty() {
            note(false, format!("least attainable: {}", floors.join(", ")));
        }
    }
    if let Some(text) = error_bars(groups) {
        note(false, text);
    }
    let mut flags: BTreeMap<&str, Vec<&GroupReport>> = BTreeMap::new();
    for group in groups {
        group.measurements.flags.iter().for_each(|&flag| flags.entry(flag).or_default().push(group));
    }
    for (flag, at) in flags {
        note(true, format!("{}{}", meaning(flag, group_flags()), among(groups, &at)));
    }
    if let Some(text) = doubtful(groups) {
        note(true, text);
    }
    if let Some(text) = own_head(report) {
        note(false, text);
    }
    for text in counted_out(groups) {
        note(true, text);
    }
    for (file, reason) in &report.bad_files {
        note(true, format!("file left out: {} ({})", escaped(file), escaped(reason)));
    }
    if let Some(text) = conventions(report) {
        note(false, text);
    }
    notes
}

/// A flag in a sentence, as one of those says it or all metrics do.
fn meaning(flag: &str, known: &[Remark]) -> String {
    let known = known.iter().chain(common_flags()).find(|remark| remark.word == flag);
    known.map_or_else(|| words(flag), |remark| remark.meaning.replace('`', ""))
}

/// The metrics with each remark, and the groups in which they have it.
fn collected<'a>(
    groups: &'a [GroupReport],
    remarks: impl Fn(&'a Measured) -> &'a [&'static str],
) -> BTreeMap<&'static str, Vec<String>> {
    let mut collected: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for key in metric_keys(groups) {
        let mut at: BTreeMap<&'static str, Vec<&GroupReport>> = BTreeMap::new();
        for group in groups {
            let remarks = group.metric(key).map(&remarks).into_iter().flatten();
            remarks.for_each(|&remark| at.entry(remark).or_default().push(group));
        }
        for (remark, at) in at {
            collected.entry(remark).or_default().push(format!("{key}{}", among(groups, &at)));
        }
    }
    collected
}

/// ` (epoch=3)` or ` (3 of 21 groups)`; empty for all groups.
fn among(groups: &[GroupReport], at: &[&GroupReport]) -> String {
    match at {
        _ if at.len() == groups.len() => String::new(),
        [group] => format!(" ({})", name(group)),
        _ => format!(" ({} of {} groups)", at.len(), groups.len()),
    }
}

fn name(group: &GroupReport) -> String {
    let parts = group.key.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(&value.to_string())));
    parts.collect::<Vec<_>>().join(", ")
}

/// What error bars are, and which numbers have none, by their reasons.
fn error_bars(groups: &[GroupReport]) -> Option<String> {
    let blocks = || groups.iter().filter_map(|group| Some(group.replicates.as_ref()?.blocks.len()));
    let Some((least, most)) = blocks().min().zip(blocks().max()) else {
        let sampled = groups.iter().any(GroupReport::has_error_bars);
        return sampled.then(|| "± standard error of the draw of classes (--sweep-sample)".to_owned());
    };
    let range =
        if least == most { counted(most as u64, "block", "blocks") } else { format!("{least} to {most} blocks") };
    let mut without: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for key in metric_keys(groups) {
        let mut reasons = groups.iter().filter_map(|group| group.metric(key)?.error_bar.as_ref()?.as_ref().err());
        let reason = reasons.next().filter(|&&reason| reason != "no_value");
        if let Some(reason) = reason {
            without.entry(reason).or_default().push(key);
        }
    }
    let without = without.iter().map(|(reason, keys)| format!("; none for {} ({})", keys.join(", "), words(reason)));
    Some(format!("± standard error of a jackknife over {range}{}", without.collect::<String>()))
}

/// ` 1.295`, or the range over groups.
fn floor(groups: &[GroupReport], key: &str) -> Option<String> {
    let floors = groups.iter().filter_map(|group| group.metric(key)?.floor).collect::<Vec<_>>();
    let least = floors.iter().copied().reduce(f64::min)?;
    let most = floors.iter().copied().reduce(f64::max)?;
    let (from, to) = (significant(least), significant(most));
    Some(if from == to { format!("{key} {from}") } else { format!("{key} {from} to {to}") })
}

/// The estimated relative error of a metric, if it may change a digit that a table shows.
pub(super) fn seen_error(group: &GroupReport, metric: &Measured) -> Option<f64> {
    let value = metric.value?;
    let error = group.measurements.accuracy.get(metric.key).copied().filter(|&error| error > DOUBTFUL)?;
    // A number that is nothing but rounding has another flag, with a note of its own.
    let told = metric.flags.contains(&ROUNDED);
    (told && significant(value * (1.0 - error)) != significant(value * (1.0 + error))).then_some(error)
}

/// Metrics in which rounding may have changed a digit that is shown, each with its worst error.
fn doubtful(groups: &[GroupReport]) -> Option<String> {
    let mut parts = Vec::new();
    let mut finer = false;
    for key in metric_keys(groups) {
        let errors = groups.iter().filter_map(|group| Some((seen_error(group, group.metric(key)?)?, group)));
        let at: Vec<(f64, &GroupReport)> = errors.collect();
        if let Some(worst) = at.iter().map(|(error, _)| *error).reduce(f64::max) {
            let among = among(groups, &at.iter().map(|(_, group)| *group).collect::<Vec<_>>());
            parts.push(format!("{worst:.0e} in {key}{among}"));
            finer |= card(key).is_some_and(|card| card.family == Family::Nc1 || card.needs.contains(&Need::Scatter));
        }
    }
    if parts.is_empty() {
        return None;
    }
    // A finer grid helps where variances limit the accuracy; elsewhere the arithmetic does.
    let help = if finer { "; --extra-bits B makes the grid finer" } else { "" };
    Some(format!("rounding error up to {}{help}", parts.join(", ")))
}

/// That the classifier is no trained one.
fn own_head(report: &Report) -> Option<String> {
    let head = HeadSource::parse(report.settings.get("head")?).ok()?;
    let lambda = head.least_squares()?;
    Some(format!(
        "the classifier is each group's own, ridge regression on its classes with λ = {lambda}: NC3 and NC4 say how well a \
         linear classifier fits these rows, not what one that was trained does"
    ))
}

/// Rows and classes that flags left out, summed over all groups.
fn counted_out(groups: &[GroupReport]) -> Vec<String> {
    let counts: [(&str, &str, Count, &str); 5] = [
        ("row", "rows", |group| group.skipped.nulls, "with nulls left out (--nulls)"),
        ("row", "rows", |group| group.skipped.not_finite(), "not finite left out (--nonfinite)"),
        ("row", "rows", |group| group.skipped.ignored, "with the ignored label left out (--ignore-label)"),
        ("row", "rows", |group| group.skipped.filtered, "of classes left out (--min-count, --max-count)"),
        ("class", "classes", |group| group.dropped_classes, "left out (--min-count, --max-count)"),
    ];
    let mut texts = Vec::new();
    for (singular, plural, count, what) in counts {
        let at = groups.iter().filter(|group| count(group) > 0).collect::<Vec<_>>();
        if !at.is_empty() {
            let total = at.iter().map(|group| count(group)).fold(0, u64::saturating_add);
            texts.push(format!("{} {what}{}", counted(total, singular, plural), among(groups, &at)));
        }
    }
    texts
}

/// Options that differ from the default, and all settings.
fn conventions(report: &Report) -> Option<String> {
    let default = Options::default().describe();
    let mut conventions = report.conventions();
    conventions.retain(|convention| !default.contains(convention));
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), escaped);
    let words = conventions.iter().map(|(name, value)| format!("{name}={}", word(value))).collect::<Vec<_>>();
    (!words.is_empty()).then(|| format!("conventions: {}", words.join(" ")))
}
