//! The numbers to begin with: where each line of groups ends, and how far it has come.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::figures::{Figures, name};
use crate::metrics::{Card, Direction, HEADLINE, card, common_flags, flags, group_flags, reasons};
use crate::report::records::metric_keys;
use crate::report::svg::markup;
use crate::report::text::{NOTHING, significant, with_error};
use crate::report::{GroupReport, Report};

/// The most lines that are shown.
const MOST_LINES: usize = 40;

/// A table with a row for each line of groups, and their last group in it.
pub(super) fn table(report: &Report) -> String {
    let cards: Vec<&Card> = metric_keys(&report.groups)
        .into_iter()
        .filter(|key| HEADLINE.contains(key) && report.groups.iter().any(|group| group.value(key).is_some()))
        .filter_map(card)
        .collect();
    if cards.is_empty() {
        return "<p>None of these metrics was asked for, or none has a value.</p>\n".to_owned();
    }
    let lines = lines(report);
    let mut text = String::from("<div class=\"wide\">\n<table>\n<thead>\n<tr><th class=\"left\"></th>");
    for card in &cards {
        // Writing to a string cannot fail.
        let (summary, key) = (markup(card.summary), card.key.replace('_', "_<wbr>"));
        let _ = write!(text, "<th><abbr title=\"{summary}\">{key}</abbr></th>");
    }
    text += "</tr>\n<tr><td class=\"left soft\">at full collapse</td>";
    for card in &cards {
        let ideal = if card.ideal.is_empty() { NOTHING } else { card.ideal };
        let _ = write!(text, "<td class=\"soft\">{}</td>", markup(ideal));
    }
    text += "</tr>\n</thead>\n<tbody>\n";
    for (name, first, last) in lines.iter().take(MOST_LINES) {
        let _ = write!(text, "<tr><th class=\"left\">{}</th>", markup(name.trim()));
        for card in &cards {
            text += &cell(card, *first, last);
        }
        text += "</tr>\n";
    }
    text += "</tbody>\n</table>\n</div>\n";
    if lines.len() > MOST_LINES {
        let _ = writeln!(text, "<p class=\"soft\">The first {MOST_LINES} of {} lines.</p>", lines.len());
    }
    if lines.iter().any(|(_, first, _)| first.is_some()) {
        text += "<p class=\"soft\">Each row ends a line of the figures below; the second number says how far it has come since the \
                 line's first group, green where that is nearer to collapse.</p>\n";
    }
    text
}

/// A value with its floor, and how it has changed.
fn cell(card: &Card, first: Option<&GroupReport>, last: &GroupReport) -> String {
    let Some(metric) = last.metric(card.key) else { return format!("<td>{NOTHING}</td>") };
    let Some(value) = metric.value else {
        let reason = metric.reason.map_or(String::new(), |reason| reason.replace('_', " "));
        return format!("<td>{NOTHING}<small>{}</small></td>", markup(&reason));
    };
    let floor = metric.floor.map_or(String::new(), |floor| format!("<small>least {}</small>", significant(floor)));
    let change = first.and_then(|first| first.value(card.key)).map_or(String::new(), |from| {
        let (text, rises) = change(from, value);
        let class = match (card.direction, rises) {
            (Direction::None, _) | (_, None) => "",
            (Direction::Lower, Some(false)) | (Direction::Higher, Some(true)) => " class=\"good\"",
            (Direction::Lower, Some(true)) | (Direction::Higher, Some(false)) => " class=\"bad\"",
        };
        format!("<small{class}>{text}</small>")
    });
    let error = metric.bar().map(|bar| with_error(value, bar.se));
    format!("<td>{}{change}{floor}</td>", error.unwrap_or_else(|| significant(value)))
}

/// How far a value is from another one, and whether it is larger; `None` if it is less than 1 % away.
fn change(from: f64, to: f64) -> (String, Option<bool>) {
    if (to - from).abs() <= 0.01 * from.abs().max(to.abs()) || !(to - from).is_finite() {
        return ("as before".to_owned(), None);
    }
    let text = match () {
        () if from > 0.0 && to > 0.0 && from >= 2.0 * to => format!("÷ {}", significant(from / to)),
        () if from > 0.0 && to > 0.0 && to >= 2.0 * from => format!("× {}", significant(to / from)),
        () if to > from => format!("+{}", significant(to - from)),
        () => format!("−{}", significant(from - to)),
    };
    (text, Some(to > from))
}

/// A line of groups: the name of its last one, the first if there are several, and the last.
type Line<'a> = (String, Option<&'a GroupReport>, &'a GroupReport);

/// The lines of the figures; without an axis of numbers, every group.
fn lines(report: &Report) -> Vec<Line<'_>> {
    let Some(figures) = Figures::of(report) else {
        return report.groups.iter().map(|group| (key_text(group), None, group)).collect();
    };
    if figures.axis().is_none() {
        let groups = figures.series().iter().flat_map(|(_, groups)| groups);
        return groups.map(|&group| (key_text(group), None, group)).collect();
    }
    let ends = figures.series().iter().map(|(_, groups)| {
        let (first, last) = (groups[0], groups[groups.len() - 1]);
        (key_text(last), Some(first).filter(|_| groups.len() > 1), last)
    });
    ends.collect()
}

fn key_text(group: &GroupReport) -> String {
    if group.key.is_empty() { "all rows".to_owned() } else { name(group, None) }
}

/// The reasons and flags in a report, with what they mean.
pub(super) fn words_used(report: &Report) -> Vec<(&'static str, &'static str)> {
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for group in &report.groups {
        used.extend(&group.measurements.flags);
        used.extend(group.measurements.metrics.iter().flat_map(|metric| metric.reason.iter().chain(&metric.flags)));
    }
    let known = [reasons(), flags(), common_flags(), group_flags()].into_iter().flatten();
    let known: BTreeMap<&str, &str> = known.map(|remark| (remark.word, remark.meaning)).collect();
    known.into_iter().filter(|(word, _)| used.contains(word)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_in_the_way_in_which_they_are_seen() {
        assert_eq!(change(2.113, 0.000_747_3), ("÷ 2828".to_owned(), Some(false)));
        assert_eq!(change(0.1185, 1.0), ("× 8.439".to_owned(), Some(true)));
        assert_eq!(change(0.9, 0.95), ("+0.05000".to_owned(), Some(true)));
        assert_eq!(change(-0.2, -0.5), ("−0.3000".to_owned(), Some(false)));
        assert_eq!(change(0.5, 0.5001), ("as before".to_owned(), None));
        assert_eq!(change(0.0, 0.0), ("as before".to_owned(), None));
    }
}
