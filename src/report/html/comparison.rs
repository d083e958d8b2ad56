//! A comparison as a page: what differs, over the groups and group by group.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::figures::Figure;
use super::groups::{grid, paragraph};
use super::page::{Page, facts_list};
use crate::archive::escaped;
use crate::batch::Label;
use crate::error::Result;
use crate::metrics::{Card, Direction, HEADLINE, card};
use crate::report::comparison::{Change, Comparison, GroupPair, Verdict};
use crate::report::drawn::{axis, by_nature};
use crate::report::svg::{Horizontal, LinePlot, Series, markup};
use crate::report::text::{NOTHING, grouped, interval, significant};

/// Pairs of groups that have tables of their own.
const MOST_TABLES: usize = 40;

/// The page of a comparison.
///
/// # Errors
///
/// Those of its records.
pub(in crate::report) fn comparison(comparison: &Comparison) -> Result<String> {
    let sides = comparison.others.len() + 1;
    let mut page =
        Page::begin(&if sides == 2 { "Two runs compared".to_owned() } else { format!("{sides} runs compared") });
    page.push(&facts(comparison));
    if !comparison.failures.is_empty() {
        page.section("Conditions that hold");
        let items = comparison.failures.iter().map(|failure| format!("<li class=\"bad\">{}</li>\n", markup(failure)));
        page.push(&format!("<ul>\n{}</ul>\n", items.collect::<String>()));
    }
    if let Some(figures) = over_groups(comparison) {
        page.push(&figures);
    }
    page.push(&class_means(comparison));
    for pair in comparison.pairs.iter().take(MOST_TABLES) {
        page.section(&comparison.title(pair));
        page.push(&table(pair));
    }
    if comparison.pairs.len() > MOST_TABLES {
        let text = format!("The first {MOST_TABLES} of {} pairs of groups.", grouped(&comparison.pairs.len()));
        page.push(&paragraph(&[text]));
    }
    page.section("Remarks");
    let notes = comparison.notes();
    let items = notes
        .iter()
        .map(|(warning, text)| format!("<li{}>{}</li>\n", if *warning { " class=\"bad\"" } else { "" }, markup(text)));
    let items: String = items.collect();
    page.push(&if items.is_empty() { paragraph(&["None.".to_owned()]) } else { format!("<ul>\n{items}</ul>\n") });
    page.section("Numbers");
    if !page.try_records(&comparison.records(), "all metrics")? {
        page.push("<p>The records are too large for a page; -o FILE.csv has them.</p>\n");
    }
    page.foot(comparison.command.as_deref());
    Ok(page.end())
}

fn facts(comparison: &Comparison) -> String {
    let compared: Vec<&Change> = comparison.pairs.iter().flat_map(|pair| &pair.changes).collect();
    let count = |verdict: Verdict| compared.iter().filter(|change| change.verdict == verdict).count();
    let verdicts = [
        Verdict::Better,
        Verdict::Worse,
        Verdict::Differs,
        Verdict::WithinNoise,
        Verdict::NoiseUnknown,
        Verdict::WithinRounding,
        Verdict::Same,
    ];
    let verdicts = verdicts.into_iter().filter(|&verdict| count(verdict) > 0);
    let verdicts: Vec<String> =
        verdicts.map(|verdict| format!("{} {}", grouped(&count(verdict)), verdict.words())).collect();
    let facts = [
        ("base", comparison.base.clone()),
        ("other", comparison.others.join(", ")),
        ("pairs of groups", grouped(&comparison.pairs.len())),
        ("numbers", verdicts.join(", ")),
    ];
    facts_list(&facts)
}

/// A metric a row.
fn table(pair: &GroupPair) -> String {
    let changes: Vec<&Change> =
        pair.changes.iter().filter(|change| change.base.is_some() || change.other.is_some()).collect();
    if changes.is_empty() {
        return paragraph(&["No metric has a value on either side.".to_owned()]);
    }
    let has_noise = changes.iter().any(|change| change.interval.is_some());
    let noise = if has_noise { "<th>95 % interval</th>" } else { "" };
    let mut text = format!(
        "<div class=\"wide\">\n<table>\n<thead>\n<tr><th class=\"left\"></th><th>base</th><th>other</th><th>other − base</th>\
         {noise}<th>ratio</th><th class=\"left\">verdict</th></tr>\n</thead>\n<tbody>\n"
    );
    let number = |value: Option<f64>| value.map_or_else(|| NOTHING.to_owned(), significant);
    for change in changes {
        let class = match change.verdict {
            Verdict::Better => " good",
            Verdict::Worse => " bad",
            _ => "",
        };
        let noise = match change.interval {
            Some(ends) => format!("<td>{}</td>", interval(ends)),
            None if has_noise => format!("<td>{NOTHING}</td>"),
            None => String::new(),
        };
        let summary = card(change.key).map_or("", |card| card.summary);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<tr><th class=\"left\"><abbr title=\"{}\">{}</abbr></th><td>{}</td><td>{}</td><td>{}</td>{noise}<td>{}</td>\
             <td class=\"left{class}\">{}</td></tr>",
            markup(summary),
            change.key,
            number(change.base),
            number(change.other),
            number(change.difference()),
            number(change.ratio()),
            markup(&change.told())
        );
    }
    text + "</tbody>\n</table>\n</div>\n"
}

fn class_means(comparison: &Comparison) -> String {
    let pairs: Vec<_> =
        comparison.pairs.iter().filter_map(|pair| pair.means.as_ref().map(|means| (pair, means))).collect();
    if pairs.is_empty() {
        return String::new();
    }
    let mut text = String::from("<h2>Class means</h2>\n");
    text += &paragraph(&[
        "CKA says how alike the class means lie, 1 where one configuration is the other one turned, moved and \
                          scaled. Drift is how far a class mean has moved, in units of the spread of the base's means."
            .to_owned(),
    ]);
    text += "<div class=\"wide\">\n<table>\n<thead>\n<tr><th class=\"left\"></th><th>classes of both</th><th>CKA</th>\
             <th>median cosine</th><th>median drift</th><th>most drift</th></tr>\n</thead>\n<tbody>\n";
    let number = |value: Option<f64>| value.map_or_else(|| NOTHING.to_owned(), significant);
    for (pair, means) in pairs.iter().take(MOST_TABLES) {
        let most = means.farthest().and_then(|class| Some((class, class.drift?)));
        let most = most.map_or_else(
            || NOTHING.to_owned(),
            |(class, drift)| {
                format!("{}<small>class {}</small>", significant(drift), markup(&escaped(&class.label.to_string())))
            },
        );
        let name = comparison.pair_name(pair);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "<tr><th class=\"left\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{most}</td></tr>",
            markup(if name.is_empty() { "all rows" } else { &name }),
            grouped(&means.classes.len()),
            number(means.cka),
            number(means.median_cosine()),
            number(means.median_drift()),
        );
    }
    text + "</tbody>\n</table>\n</div>\n"
}

/// Both sides over the numeric key of the groups, a figure a metric; `None` without such a key.
fn over_groups(comparison: &Comparison) -> Option<String> {
    let keys: Vec<Vec<&Label>> = comparison.pairs.iter().map(|pair| pair.key.values().collect()).collect();
    if keys.iter().collect::<BTreeSet<_>>().len() < 2 {
        return None;
    }
    let at = axis(&keys)?;
    let name = comparison.pairs[0].key.keys().nth(at)?;
    let figures = HEADLINE.iter().filter_map(|key| lines(comparison, card(key)?, (at, name)));
    let figures: Vec<String> = figures.map(|figure| figure.element()).collect();
    let drawn = grid(&figures);
    (!figures.is_empty()).then(|| format!("<h2>Over {}</h2>\n{drawn}", markup(&escaped(name))))
}

fn lines(comparison: &Comparison, card: &Card, (at, name): (usize, &str)) -> Option<Figure> {
    let mut series: Vec<Series> = Vec::new();
    let names = comparison.short_names();
    let mut add = |name: String, step: f64, value: Option<f64>| match series.iter_mut().find(|known| known.name == name)
    {
        Some(known) => known.points.push((step, value)),
        None => series.push(Series { name, points: vec![(step, value)], bars: Vec::new() }),
    };
    let mut pairs: Vec<&GroupPair> = comparison.pairs.iter().collect();
    pairs.sort_by(|a, b| by_nature(&a.key.values().collect::<Vec<_>>(), &b.key.values().collect::<Vec<_>>()));
    for pair in pairs {
        let Some(change) = pair.changes.iter().find(|change| change.key == card.key) else { continue };
        let step = match pair.key.values().nth(at)? {
            Label::Int(step) => *step as f64,
            Label::Bool(_) | Label::Text(_) => return None,
        };
        let varies = |name: &String| comparison.pairs.iter().any(|other| other.key.get(name) != pair.key.get(name));
        let others = pair.key.iter().enumerate().filter(|(other, (name, _))| *other != at && varies(name));
        // Values alone: a legend is narrow.
        let parts: Vec<String> = others.map(|(_, (_, value))| format!(" · {value}")).collect();
        let of = parts.concat();
        if pair.other == 0 {
            add(escaped(&format!("{}{of}", names[0])), step, change.base);
        }
        add(escaped(&format!("{}{of}", names[pair.other + 1])), step, change.other);
    }
    for series in &mut series {
        series.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    let plot =
        LinePlot { title: card.key.to_owned(), horizontal: Horizontal::Steps(escaped(name)), series, floor: None };
    let reading = match card.direction {
        Direction::Lower => "; lower is more collapsed",
        Direction::Higher => "; higher is more collapsed",
        Direction::None => "",
    };
    Some(Figure { svg: plot.draw()?, caption: format!("{}{reading}", card.summary) })
}
