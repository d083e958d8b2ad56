//! The page: what was measured, the numbers, the figures, what is remarked, the records.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::figures::{self, Figures};
use super::groups::{Room, grid, of_groups};
use super::headline;
use crate::archive::escaped;
use crate::batch::Label;
use crate::error::Result;
use crate::metrics::{Card, Family, HEADLINE, card};
use crate::report::drawn::by_nature;
use crate::report::notes::{DOUBTFUL, notes};
use crate::report::records::{Records, metric_keys};
use crate::report::svg::{self, markup};
use crate::report::text::{counted, grouped};
use crate::report::{GroupReport, Report, csv, json};

/// Bytes of records in a page, as CSV and as JSON; larger ones are left to other outputs.
const MOST_RECORDS: usize = 630_000;
/// Maps, and figures of metrics beyond the headline, are drawn while all figures take no more than so many bytes.
const MOST_FIGURES: usize = 350_000;

const STYLE: &str = "\
:root{color-scheme:light dark;--page:#fff;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--good:#1a7f37;--bad:#b35900;--mark:#0072b2}\
@media(prefers-color-scheme:dark){:root{--page:#0d1117;--ink:#f0f6fc;--soft:#9198a1;--line:#3d444d;--good:#3fb950;--bad:#d29922;--mark:#56b4e9}}\
body{max-width:82rem;margin:0 auto;padding:1rem 1.25rem 3rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2.25rem 0 .5rem;border-bottom:1px solid var(--line)}\
p,ul,dl{margin:.5rem 0;max-width:70rem}.soft,dt,small,caption{color:var(--soft)}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem}dd{margin:0;overflow-wrap:anywhere}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}caption{text-align:left;padding:.75rem 0 .25rem}\
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap;vertical-align:top}thead th{vertical-align:bottom}\
th.left,td.left{text-align:left}td.name{white-space:normal}td small{display:block}.good{color:var(--good)}.bad{color:var(--bad)}\
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr));gap:.75rem}\
figure{margin:0;border:1px solid var(--line);border-radius:6px;padding:.5rem}figcaption{color:var(--soft);font-size:.8rem}\
figure svg{display:block;width:100%;max-width:46rem;height:auto}details{margin:.75rem 0}summary{cursor:pointer;font-weight:600}\
code{overflow-wrap:anywhere;font-size:.85rem}a{color:inherit}\
@media(max-width:36rem){body{padding:.5rem .5rem 2rem}figure{padding:.25rem}}\
@media print{:root{--page:#fff;--ink:#000;--soft:#444;--line:#bbb;--good:#060;--bad:#840;--mark:#0072b2}body{padding:0;font-size:10pt}\
figure,tr{break-inside:avoid}h2,h2+p{break-after:avoid}.more,details>summary{display:none}.wide{overflow:visible}table{font-size:.6rem}th,td{padding:.2rem .35rem}\
.figures{grid-template-columns:1fr 1fr}}";

/// The page of a report.
///
/// # Errors
///
/// Those of its records.
pub(in crate::report) fn report(report: &Report) -> Result<String> {
    let mut page = Page::begin(&title(report));
    page.facts(report);
    page.section("Headline");
    page.push(&headline::table(report));
    page.figures(report);
    page.remarks(report);
    page.records(report)?;
    page.foot(report.command.as_deref());
    Ok(page.end())
}

/// `Neural collapse over layer, epoch`, or of the one group that there is.
fn title(report: &Report) -> String {
    match report.groups.as_slice() {
        [] => "Neural collapse".to_owned(),
        [group] => {
            let key: Vec<String> =
                group.key.iter().map(|(name, value)| format!("{name} {}", escaped(&value.to_string()))).collect();
            let of = if key.is_empty() { String::new() } else { format!(" of {}", markup(&key.join(", "))) };
            format!("Neural collapse{of}")
        }
        groups => {
            let names: Vec<String> = groups[0].key.iter().map(|(name, _)| markup(&escaped(name))).collect();
            format!("Neural collapse over {}", names.join(", "))
        }
    }
}

/// A page that is being written.
pub(super) struct Page {
    text: String,
}

impl Page {
    /// Begins a page; the title is markup.
    pub(super) fn begin(title: &str) -> Self {
        Self {
            text: format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
                 <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
                 <title>{title}</title>\n<style>{STYLE}\n{}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
                svg::STYLE
            ),
        }
    }

    /// The whole page.
    pub(super) fn end(self) -> String {
        self.text + "</body>\n</html>\n"
    }

    pub(super) fn push(&mut self, text: &str) {
        self.text += text;
    }

    pub(super) fn section(&mut self, title: &str) {
        self.push(&format!("<h2>{}</h2>\n", markup(title)));
    }

    /// What was measured, and how.
    fn facts(&mut self, report: &Report) {
        let groups = &report.groups;
        let range = |of: fn(&GroupReport) -> u64| {
            let least = groups.iter().map(of).min().unwrap_or(0);
            let most = groups.iter().map(of).max().unwrap_or(0);
            if least == most { grouped(&least) } else { format!("{} to {}", grouped(&least), grouped(&most)) }
        };
        let total = groups.iter().map(|group| group.rows).fold(0, u64::saturating_add);
        let mut facts = vec![
            ("groups", grouped(&groups.len())),
            ("rows N", format!("{} a group, {} in all", range(|group| group.rows), grouped(&total))),
            ("classes K", range(|group| group.measurements.classes)),
            ("dimensions D", range(|group| group.dim as u64)),
        ];
        let first = groups.first().map_or(&[][..], |group| &group.key);
        for (at, (name, _)) in first.iter().enumerate() {
            let values: BTreeSet<&Label> = groups.iter().map(|group| &group.key[at].1).collect();
            let mut values: Vec<&Label> = values.into_iter().collect();
            values.sort_by(|a, b| by_nature(&[a], &[b]));
            let texts: Vec<String> = values.iter().map(ToString::to_string).collect();
            let text = match texts.as_slice() {
                [first, .., last] if texts.len() > 12 => format!("{} values, {first} to {last}", texts.len()),
                _ => texts.join(", "),
            };
            facts.push((name.as_str(), text));
        }
        self.push(&facts_list(&facts));
    }

    /// Figures of the headline over all groups, then of a few groups by themselves, then those of other metrics by family.
    fn figures(&mut self, report: &Report) {
        let keys = metric_keys(&report.groups);
        let cards: Vec<&Card> = keys.iter().filter_map(|key| card(key)).collect();
        let (shown, others): (Vec<&Card>, Vec<&Card>) =
            cards.into_iter().partition(|card| HEADLINE.contains(&card.key));
        let figures = Figures::of(report);
        let mut room = Room::new(MOST_FIGURES);
        if let Some(figures) = &figures {
            self.section(&format!("Over {}", figures.axis_name()));
            let plots: Vec<String> =
                shown.iter().filter_map(|card| figures.lines(card)).map(|figure| figure.element()).collect();
            room.take(plots.iter().map(String::len).sum());
            self.push(&grid(&plots));
        }
        // They are few, and drawn whatever else there is room for.
        let of_groups = of_groups(report, &mut room);
        if let Some(figures) = &figures {
            let maps: Vec<String> =
                shown.iter().filter_map(|card| room.fitting(card.key, &figures.map(card)?)).collect();
            if !maps.is_empty() {
                self.section("All groups at a glance");
                self.push(&grid(&maps));
            }
        }
        self.push(&of_groups);
        if let Some(figures) = &figures {
            let mut more = String::new();
            for family in Family::ALL {
                let of_family = others.iter().filter(|card| card.family == family);
                let drawn: Vec<String> =
                    of_family.filter_map(|card| room.fitting(card.key, &figures.lines(card)?)).collect();
                if !drawn.is_empty() {
                    // Writing to a string cannot fail.
                    let _ = writeln!(
                        more,
                        "<details><summary>More of {}: {}</summary>\n{}</details>",
                        family.name(),
                        family.text(),
                        grid(&drawn)
                    );
                }
            }
            if !more.is_empty() {
                // What is folded is not printed.
                self.push("<div class=\"more\">\n");
                self.section(&format!("All other metrics over {}", figures.axis_name()));
                self.push(&format!("{more}</div>\n"));
            }
        }
        if !room.left_out().is_empty() {
            let text = format!("Left out, so that the page stays small: figures of {}.", room.left_out().join(", "));
            self.push(&format!("<p class=\"soft\">{}</p>\n", markup(&text)));
        }
    }

    /// Reasons, remarks and conventions in sentences.
    fn remarks(&mut self, report: &Report) {
        let notes = notes(report);
        self.section("Remarks");
        self.push(&format!("<p>{}</p>\n", markup(&accuracy(report))));
        if notes.is_empty() && report.remarks.is_empty() {
            return;
        }
        self.push("<ul>\n");
        for remark in &report.remarks {
            self.push(&format!("<li class=\"bad\">{}</li>\n", markup(remark)));
        }
        for note in notes {
            let class = if note.warning { " class=\"bad\"" } else { "" };
            self.push(&format!("<li{class}>{}</li>\n", markup(&note.text)));
        }
        self.push("</ul>\n");
        let words = headline::words_used(report);
        if !words.is_empty() {
            self.push("<details open><summary>What these words mean</summary>\n<dl>\n");
            for (word, meaning) in words {
                self.push(&format!("<dt>{}</dt><dd>{}</dd>\n", markup(&word.replace('_', " ")), markup(meaning)));
            }
            self.push("</dl>\n</details>\n");
        }
    }

    /// All numbers, to be read by programs; those of the headline where all are too many for a page.
    fn records(&mut self, report: &Report) -> Result<()> {
        self.section("Numbers");
        let all = Records::of_groups(report);
        if self.try_records(&all, "all metrics")? {
            return Ok(());
        }
        let brief = Records::of_groups(&report.with_headline_only());
        if self.try_records(&brief, "the metrics of the headline; -o FILE.csv has all")? {
            return Ok(());
        }
        self.push("<p>The records are too large for a page; -o FILE.csv has them.</p>\n");
        Ok(())
    }

    /// Adds records unless they are too large.
    pub(super) fn try_records(&mut self, records: &Records, what: &str) -> Result<bool> {
        let (csv, json) = (percent_encoded(&csv::records(records, true)?), json::columns(records));
        if csv.len() + json.len() > MOST_RECORDS {
            return Ok(false);
        }
        let count = counted(records.rows as u64, "record", "records");
        self.push(&format!(
            "<p><a download=\"nckit.csv\" href=\"data:text/csv;charset=utf-8,{csv}\">nckit.csv</a>: {count}, {what}. The same is \
             in this page as JSON, in the element with the id <code>records</code>.</p>\n"
        ));
        // In a script element nothing is markup but what begins like this.
        let json = json.replace('<', "\\u003c");
        self.push(&format!("<script type=\"application/json\" id=\"records\">\n{json}</script>\n"));
        Ok(true)
    }

    /// The command and the version.
    pub(super) fn foot(&mut self, command: Option<&str>) {
        let command =
            command.map_or(String::new(), |command| format!("<br>\n<code>{}</code>", markup(&escaped(command))));
        let version = env!("CARGO_PKG_VERSION");
        self.push(&format!("<p class=\"soft\">Made by nckit {version}.{command}</p>\n"));
    }
}

/// Names, each with what is said of it.
pub(super) fn facts_list(facts: &[(&str, String)]) -> String {
    let fact = |(name, text): &(&str, String)| {
        format!("<dt>{}</dt><dd>{}</dd>\n", markup(&escaped(name)), markup(&escaped(text)))
    };
    format!("<dl>\n{}</dl>\n", facts.iter().map(fact).collect::<Vec<_>>().concat())
}

/// How far rounding may have moved the numbers, in a sentence.
fn accuracy(report: &Report) -> String {
    let errors = report.groups.iter().flat_map(|group| {
        let metrics = group.measurements.metrics.iter().filter(|metric| metric.value.is_some());
        metrics
            .map(move |metric| (group.measurements.accuracy.get(metric.key).copied().unwrap_or(0.0), metric.key, group))
    });
    let errors: Vec<(f64, &str, &GroupReport)> = errors.collect();
    let count = counted(errors.len() as u64, "number", "numbers");
    let flagged = errors.iter().filter(|(error, ..)| *error > DOUBTFUL).count() as u64;
    match errors.iter().max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(error, ..)| *error > 0.0) {
        None => format!("{count}; by its estimates, rounding has moved none by more than 1e-7 of itself."),
        Some((error, key, group)) => {
            let name = figures::name(group, None);
            let at = if name.is_empty() { String::new() } else { format!(" at {name}") };
            let most = format!("most {key}{at}, by {error:.0e}");
            match flagged {
                0 => format!("{count}; by its estimates, rounding has moved none by more than 1e-6 of itself, {most}."),
                _ => format!(
                    "{count}; by its estimates, rounding has moved {} by more than 1e-6 of itself, {most}.",
                    grouped(&flagged)
                ),
            }
        }
    }
}

/// A text in a URL.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + text.len() / 8);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b',' | b':' | b';' | b'+' => {
                encoded.push(byte as char);
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_holds_any_text() {
        assert_eq!(percent_encoded("a,1.5\n\"ä\""), "a,1.5%0A%22%C3%A4%22");
    }
}
