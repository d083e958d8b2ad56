//! The first look at a report: one table that fits a screen.

use super::layout::{Layout, label, valued_keys};
use super::notes::{Note, notes};
use super::text::counted;
use super::text_table::{TextTable, Trend};
use super::{GroupReport, Report};
use crate::batch::Label;
use crate::metrics::HEADLINE;

/// The most groups that are all shown; of more, the first and the last.
const MOST_GROUPS: usize = 30;
const EDGE: usize = 12;

/// The most series that have a trend below the table.
const MOST_SERIES: usize = 12;
/// The least groups of a series with a trend.
const LEAST_POINTS: usize = 3;
/// Columns of a trend.
const BARS: usize = 8;

/// Reasons of metrics that lack an input, not a value, and what was not given.
const NOT_GIVEN: [(&str, &str); 3] = [
    ("no_head", "no classifier (--head)"),
    ("no_decisions", "no second read (--decisions)"),
    ("no_ood", "no out-of-distribution rows (--ood)"),
];

impl Layout {
    /// The [`HEADLINE`] metrics of a report.
    pub(super) fn headline(report: &Report) -> Self {
        let missing = missing(report);
        let mut report = report.with_headline_only();
        for group in &mut report.groups {
            let is_given = |key: &str| missing.iter().all(|(_, keys)| !keys.contains(&key));
            group.measurements.metrics.retain(|metric| is_given(metric.key));
        }
        // The trends show the others, and what is remarkable is so of all groups.
        let ends = if report.groups.len() > MOST_GROUPS { last_of_lines(&report.groups) } else { None };
        let shown = ends.as_ref().map(|ends| Report { groups: ends.clone(), ..report.clone() });
        let shown = shown.as_ref().unwrap_or(&report);
        let mut layout = Self::of(shown);
        if ends.is_some() {
            layout.notes = notes(&report);
        }
        let groups = &report.groups;
        if let (Some(table), true) = (layout.tables.first_mut(), groups.len() > 1) {
            table.close = true;
            if groups.iter().all(|group| group.rows == groups[0].rows) {
                table.tail.retain(|column| column.head != "rows");
                let rows = counted(groups[0].rows, "row", "rows") + " each";
                layout.title = Some(layout.title.map_or_else(|| rows.clone(), |title| format!("{title} · {rows}")));
            }
            for column in &mut table.body {
                column.head = broken(&column.head);
            }
            let series = series(groups);
            if let Some((name, _)) = groups[0].key.last().filter(|_| !series.is_empty()) {
                let keys = valued_keys(&shown.groups);
                let columns: Vec<(&str, bool)> = keys.iter().map(|&key| (key, is_wide(&series, key))).collect();
                table.trends = series.iter().map(|series| trend(series, &columns)).collect();
                let text =
                    format!("▁█ least to greatest over {name}; a column with a hundredfold has a logarithmic scale");
                layout.notes.insert(0, Note { text, warning: false });
            }
            let hidden = match &ends {
                Some(ends) => {
                    let name = groups[0].key.last().map_or("", |(name, _)| name.as_str());
                    Some((groups.len() - ends.len(), format!("of each line the last {name} is shown, ")))
                }
                None if groups.len() > MOST_GROUPS => {
                    table.elide();
                    Some((groups.len() - 2 * EDGE, "… ".to_owned()))
                }
                None => None,
            };
            if let Some((hidden, how)) = hidden {
                let more = counted(hidden as u64, "group", "groups");
                let text = format!("{how}{more} more: -o FILE or --metrics all shows them");
                layout.notes.insert(0, Note { text, warning: false });
            }
        }
        if !missing.is_empty() {
            let text = missing.iter().map(|(what, keys)| format!("{what}: {}", keys.join(", ")));
            let text = text.collect::<Vec<_>>().join(" · ");
            layout.notes.insert(0, Note { text, warning: false });
        }
        layout
    }
}

impl Report {
    /// The same report without other metrics.
    pub(super) fn with_headline_only(&self) -> Self {
        let mut report = self.clone();
        for group in &mut report.groups {
            group.measurements.metrics.retain(|metric| HEADLINE.contains(&metric.key));
        }
        report
    }
}

/// The metrics that have no value in any group because no group has their input, by what is missing.
fn missing(report: &Report) -> Vec<(&'static str, Vec<&'static str>)> {
    let lacks = |group: &GroupReport, key: &str, reason: &str| {
        group.metric(key).is_some_and(|metric| metric.reason == Some(reason))
    };
    let of_reason = |(reason, what): (&str, &'static str)| {
        let lack = HEADLINE.into_iter().filter(|key| report.groups.iter().all(|group| lacks(group, key, reason)));
        (what, if report.groups.is_empty() { Vec::new() } else { lack.collect() })
    };
    NOT_GIVEN.into_iter().map(of_reason).filter(|(_, keys)| !keys.is_empty()).collect()
}

/// A key with its arrow in lines: `nc2 etf` above `error ↓`.
fn broken(head: &str) -> String {
    const WIDTH: usize = 9;
    let mut lines: Vec<String> = Vec::new();
    for word in head.split(['_', ' ']) {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= WIDTH) {
            Some(line) => *line = format!("{line} {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// Runs of groups that differ in their last key alone; none if that is no number.
fn lines(groups: &[GroupReport]) -> Vec<&[GroupReport]> {
    let is_number = |group: &GroupReport| matches!(group.key.last(), Some((_, Label::Int(_))));
    if !groups.iter().all(is_number) {
        return Vec::new();
    }
    let others = |group: &GroupReport| group.key[..group.key.len() - 1].to_vec();
    groups.chunk_by(|a, b| others(a) == others(b)).collect()
}

/// The last group of each line, if there are fewer lines than groups and not too many.
fn last_of_lines(groups: &[GroupReport]) -> Option<Vec<GroupReport>> {
    let lines = lines(groups);
    let is_fewer = !lines.is_empty() && lines.len() < groups.len() && lines.len() <= MOST_GROUPS;
    is_fewer.then(|| lines.iter().filter_map(|line| line.last()).cloned().collect())
}

/// The lines that have a trend; none if there are too many, or too short ones.
fn series(groups: &[GroupReport]) -> Vec<&[GroupReport]> {
    let mut all = lines(groups);
    all.retain(|series| series.len() >= LEAST_POINTS);
    if all.len() <= MOST_SERIES { all } else { Vec::new() }
}

/// Whether the values of a column differ by a hundredfold within some series, so that all of them take a logarithmic scale.
fn is_wide(series: &[&[GroupReport]], key: &str) -> bool {
    let finite = |series: &[GroupReport]| {
        let values = series.iter().filter_map(|group| group.value(key)).filter(|value| value.is_finite());
        values.map(|value| (value, value)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    };
    let ranges: Vec<(f64, f64)> = series.iter().filter_map(|series| finite(series)).collect();
    ranges.iter().all(|range| range.0 > 0.0) && ranges.iter().any(|&(least, greatest)| greatest >= 100.0 * least)
}

/// Pictures of the columns of metrics over a series, on a linear or a logarithmic scale.
fn trend(series: &[GroupReport], columns: &[(&str, bool)]) -> Trend {
    let values = |&(key, is_logarithmic): &(&str, bool)| {
        bars(&series.iter().map(|group| group.value(key)).collect::<Vec<_>>(), is_logarithmic)
    };
    let shown = |group: &GroupReport| group.key.iter().map(|(_, value)| label(value)).collect::<Vec<_>>();
    let (mut cells, last) = (shown(&series[0]), shown(&series[series.len() - 1]));
    if let (Some(first), Some(last)) = (cells.last_mut(), last.last()) {
        *first = format!("{first}…{last}");
    }
    Trend { keys: cells, body: columns.iter().map(values).collect() }
}

/// Values as bars of at most [`BARS`] characters, the mean of as many neighbours as share one; a space where there is no
/// value.
fn bars(values: &[Option<f64>], is_logarithmic: bool) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let finite = || values.iter().flatten().copied().filter(|value| value.is_finite());
    let Some((least, greatest)) = finite().map(|value| (value, value)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    else {
        return String::new();
    };
    let scaled = |value: f64| if is_logarithmic { value.ln() } else { value };
    let (low, high) = (scaled(least), scaled(greatest));
    let count = values.len().min(BARS);
    let bar = |at: usize| {
        let shared = &values[at * values.len() / count..(at + 1) * values.len() / count];
        let shared: Vec<f64> = shared.iter().flatten().copied().filter(|value| value.is_finite()).map(scaled).collect();
        if shared.is_empty() {
            return ' ';
        }
        let mean = shared.iter().sum::<f64>() / shared.len() as f64;
        let height = if high > low { (mean - low) / (high - low) } else { 0.0 };
        LEVELS[((height * LEVELS.len() as f64) as usize).min(LEVELS.len() - 1)]
    };
    (0..count).map(bar).collect()
}

impl TextTable {
    /// Leaves out the rows between the first and the last ones.
    fn elide(&mut self) {
        for (at, column) in self.keys.iter_mut().chain(&mut self.body).chain(&mut self.tail).enumerate() {
            let end = column.cells.len() - EDGE;
            let mark = if at == 0 { "…" } else { "" };
            column.cells.splice(EDGE..end, [mark.to_owned()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_broken_between_words() {
        assert_eq!(broken("nc2_etf_error ↓"), "nc2 etf\nerror ↓");
        assert_eq!(broken("nc2_equiangular_std ↓"), "nc2\nequiangular\nstd ↓");
        assert_eq!(broken("nc4_agreement ↑"), "nc4\nagreement\n↑");
    }

    #[test]
    fn bars_rise_with_values() {
        let scaled = |values: &[f64], log| bars(&values.iter().map(|&value| Some(value)).collect::<Vec<_>>(), log);
        let of = |values: &[f64]| scaled(values, false);
        assert_eq!(of(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), "▁▂▃▄▅▆▇█");
        assert_eq!(of(&[7.0, 0.0]), "█▁");
        assert_eq!(of(&[2.0, 2.0, 2.0]), "▁▁▁");
        assert_eq!(of(&[1.0, 10.0, 100.0]), "▁▁█");
        assert_eq!(scaled(&[1.0, 10.0, 100.0], true), "▁▅█");
        // Neighbours share a bar.
        assert_eq!(of(&(0..80).map(f64::from).collect::<Vec<_>>()), "▁▂▃▄▅▆▇█");
        assert_eq!(bars(&[Some(1.0), None, Some(f64::INFINITY), Some(2.0)], false), "▁  █");
        assert_eq!(bars(&[None], false), "");
    }
}
