//! The formats in which a comparison is written.
#![warn(clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde_json::{Map, Value, json};

use super::{Change, Comparison, GroupPair, Verdict};
use crate::archive::escaped;
use crate::batch::Label;
use crate::error::Result;
use crate::metrics::{ClassChange, MeansChange, card};
use crate::report::format::{Format, Style};
use crate::report::layout::{Layout, arrowed, label};
use crate::report::notes::Note;
use crate::report::records::{Cells, RecordColumn, Records, labels_of};
use crate::report::text::{NOTHING, counted, grouped, interval, json as label_json, significant};
use crate::report::text_table::{TextColumn, TextTable};
use crate::report::{csv, html, json as json_text, markdown, parquet, put, table};

/// Returns a number of a metric of two groups.
type OfChange = fn(&Change) -> Option<f64>;

/// Returns a count of a class of two groups.
type CountOfClass = fn(&ClassChange) -> u64;

/// Pairs of groups that a table shows.
const MOST_TABLES: usize = 12;

impl Comparison {
    /// Writes all pairs of groups: tables, Markdown and HTML for reading, one JSON document with everything, or a flat record
    /// a pair and metric.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if `out` cannot be written to; its source is the [`std::io::Error`].
    pub fn write(&self, format: Format, out: &mut dyn Write, style: Style) -> Result<()> {
        let text = match format {
            Format::Table => table::layout(&self.layout(), style),
            Format::Markdown => markdown::layout(&self.layout()),
            Format::Json => self.json(),
            Format::Ndjson => json_text::lines(&self.records()),
            Format::Csv => csv::records(&self.records(), true)?,
            Format::Html => html::comparison(self)?,
            Format::Parquet => return put(out, &parquet::records(&self.records(), &self.conventions())?),
        };
        put(out, text.as_bytes())
    }

    /// Writes one record a pair and class: `base_count`, `other_count`, `drift`, `cosine`.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write); [`Usage`](crate::error::ErrorKind::Usage) for a page.
    pub fn write_per_class(&self, format: Format, out: &mut dyn Write, style: Style) -> Result<()> {
        let records = self.class_records();
        let text = match format {
            Format::Table => table::records(&records, style),
            Format::Markdown => markdown::records(&records),
            Format::Html => {
                return Err(crate::error::Error::usage("classes are not written as a page").help("use csv or parquet"));
            }
            Format::Json | Format::Ndjson => json_text::lines(&records),
            Format::Csv => csv::records(&records, true)?,
            Format::Parquet => return put(out, &parquet::records(&records, &self.conventions())?),
        };
        put(out, text.as_bytes())
    }

    fn conventions(&self) -> Vec<(&'static str, Value)> {
        let known = crate::metrics::Options::default().describe().into_iter().map(|(name, _)| name);
        known.filter_map(|name| self.options.get(name).map(|value| (name, value.clone()))).collect()
    }

    /// Tables for reading.
    fn layout(&self) -> Layout {
        let mut layout = Layout::default();
        let others: Vec<String> = self.others.iter().map(|other| escaped(other)).collect();
        layout.title = Some(format!("base {} · other {}", escaped(&self.base), others.join(", ")));
        layout.tables.extend(self.pairs.iter().take(MOST_TABLES).map(|pair| self.table(pair)));
        layout.tables.extend(self.means_table());
        let mut note = |warning: bool, text: String| layout.notes.push(Note { text, warning });
        if self.pairs.len() > MOST_TABLES {
            let more = counted((self.pairs.len() - MOST_TABLES) as u64, "pair", "pairs");
            note(false, format!("… {more} of groups more: -o FILE has them"));
        }
        self.notes().into_iter().for_each(|(warning, text)| note(warning, text));
        layout
    }

    /// What a reader has to know, and whether it is a warning.
    pub(in crate::report) fn notes(&self) -> Vec<(bool, String)> {
        let mut notes: Vec<(bool, String)> = self.remarks.iter().map(|remark| (true, remark.clone())).collect();
        let mut absent: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (_, change) in self.changes().filter(|(_, change)| change.is_absent()) {
            absent.entry(change.reason.as_deref().unwrap_or_default()).or_default().insert(change.key);
        }
        for (reason, keys) in absent {
            let reason = reason.rsplit(": ").next().unwrap_or(reason).replace('_', " ");
            notes.push((false, format!("— {reason}: {}", keys.into_iter().collect::<Vec<_>>().join(", "))));
        }
        let mut unknown: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (_, change) in self.changes().filter(|(_, change)| change.verdict == Verdict::NoiseUnknown) {
            unknown.entry(change.reason.as_deref().unwrap_or_default()).or_default().insert(change.key);
        }
        for (reason, keys) in unknown {
            let keys = keys.into_iter().collect::<Vec<_>>().join(", ");
            notes.push((false, format!("{}: {keys}", reason.replace('_', " "))));
        }
        let known: Vec<&Change> =
            self.changes().map(|(_, change)| change).filter(|change| change.p.is_some()).collect();
        if self.changes().any(|(_, change)| change.verdict.is_difference()) {
            let noise = if known.is_empty() {
                "; noise is not known: --error-bars jackknife"
            } else {
                ", each at 95 %: of twenty metrics one differs by chance"
            };
            notes.push((false, format!("better: nearer to full collapse{noise}")));
        }
        if !known.is_empty() {
            let way = match known.iter().filter(|change| change.is_paired).count() {
                0 => "the two sides are taken as independent samples",
                paired if paired == known.len() => "differences are taken block by block",
                _ => "differences are taken block by block where both sides have the same blocks",
            };
            let text = format!("noise of these rows: {way}; other runs of the training move the numbers too");
            notes.push((false, text));
        }
        notes.extend(self.failures.iter().map(|failure| (true, format!("fails: {failure}"))));
        notes
    }

    /// The shapes of both groups: `epoch=3 · 1,257 rows · 10 classes · dim 64`.
    pub(in crate::report) fn title(&self, pair: &GroupPair) -> String {
        let both = |(a, b): (u64, u64), one: &str, many: &str| {
            if a == b { counted(a, one, many) } else { format!("{} → {}", grouped(&a), counted(b, one, many)) }
        };
        let (from, to) = pair.dims;
        let dim = if from == to {
            format!("dim {}", grouped(&from))
        } else {
            format!("dim {} → {}", grouped(&from), grouped(&to))
        };
        let shapes = [both(pair.rows, "row", "rows"), both(pair.classes, "class", "classes"), dim];
        let name = self.pair_name(pair);
        let name = Some(name).filter(|name| !name.is_empty());
        name.into_iter().chain(shapes).collect::<Vec<_>>().join(" · ")
    }

    fn table(&self, pair: &GroupPair) -> TextTable {
        // What neither side has is named below.
        let changes: Vec<&Change> = pair.changes.iter().filter(|change| !change.is_absent()).collect();
        let numbers = |head: &str, number: &dyn Fn(&Change) -> Option<f64>| {
            TextColumn::numbers(head.to_owned(), changes.iter().map(|change| number(change)))
        };
        let mut body = vec![
            numbers("base", &|change| change.base),
            numbers("other", &|change| change.other),
            numbers("other − base", &Change::difference),
        ];
        let has_noise = changes.iter().any(|change| change.interval.is_some());
        if has_noise {
            let cells = changes.iter().map(|change| change.interval.map_or_else(String::new, interval)).collect();
            body.push(TextColumn { cells, ..numbers("95 % interval", &|change| change.se) });
        }
        // With intervals the table is wide enough.
        if !has_noise {
            body.push(numbers("ratio", &Change::ratio));
        }
        let families: Vec<_> = changes.iter().map(|change| card(change.key).map(|card| card.family)).collect();
        TextTable {
            title: Some(self.title(pair)),
            keys: vec![TextColumn::names("metric", changes.iter().map(|change| arrowed(change.key)).collect())],
            body,
            tail: vec![TextColumn::names("verdict", changes.iter().map(|change| change.told()).collect())],
            gaps: (1..families.len()).filter(|&row| families[row] != families[row - 1]).collect(),
            ..TextTable::default()
        }
    }

    /// How class means differ, a row a pair; `None` if no pair has them.
    fn means_table(&self) -> Option<TextTable> {
        let pairs: Vec<(&GroupPair, &MeansChange)> =
            self.pairs.iter().filter_map(|pair| pair.means.as_ref().map(|means| (pair, means))).collect();
        if pairs.is_empty() {
            return None;
        }
        let mut keys = Vec::new();
        if self.pairs.len() > 1 {
            keys.push(TextColumn::names("groups", pairs.iter().map(|(pair, _)| self.pair_name(pair)).collect()));
        }
        keys.push(TextColumn::counts("classes of both", pairs.iter().map(|(_, means)| means.classes.len() as u64)));
        let numbers = |head: &str, number: &dyn Fn(&MeansChange) -> Option<f64>| {
            TextColumn::numbers(head.to_owned(), pairs.iter().map(|(_, means)| number(means)))
        };
        let farthest = |means: &MeansChange| {
            let drift = |class: &ClassChange| class.drift.map_or_else(String::new, significant);
            let named = |class| format!("{} (class {})", drift(class), label(&class.label));
            means.farthest().map_or_else(|| NOTHING.to_owned(), named)
        };
        Some(TextTable {
            title: Some("class means".to_owned()),
            keys,
            body: vec![
                numbers("CKA", &|means| means.cka),
                numbers("median cosine", &MeansChange::median_cosine),
                numbers("median drift", &MeansChange::median_drift),
                TextColumn::names("most drift", pairs.iter().map(|(_, means)| farthest(means)).collect()),
            ],
            ..TextTable::default()
        })
    }

    fn json(&self) -> String {
        let pairs = self.pairs.iter().map(|pair| {
            let key: Map<String, Value> =
                self.keys_of(pair).map(|(name, value)| (name.clone(), label_json(value))).collect();
            let metrics: Map<String, Value> =
                pair.changes.iter().map(|change| (change.key.to_owned(), change_json(change))).collect();
            let mut json = json!({
                "other": self.others[pair.other],
                "key": key,
                "rows": [pair.rows.0, pair.rows.1],
                "classes": [pair.classes.0, pair.classes.1],
                "dim": [pair.dims.0, pair.dims.1],
                "metrics": metrics,
            });
            if let Some(means) = &pair.means {
                json["class_means"] = means_json(means);
            }
            json
        });
        let document = json!({
            "nckit": env!("CARGO_PKG_VERSION"),
            "options": self.options,
            "base": self.base,
            "others": self.others,
            "pairs": pairs.collect::<Vec<_>>(),
            "remarks": self.remarks,
            "failures": self.failures,
        });
        format!("{document:#}\n")
    }

    /// One record a pair and metric.
    pub(in crate::report) fn records(&self) -> Records {
        let rows: Vec<(&GroupPair, &Change)> = self.changes().collect();
        let pairs: Vec<&GroupPair> = rows.iter().map(|(pair, _)| *pair).collect();
        let mut records = self.keyed(&pairs, &CHANGE_COLUMNS);
        records.text("metric", rows.iter().map(|(_, change)| Some(change.key.to_owned())));
        records.keys += 1;
        let numbers: [(&str, OfChange); 8] = [
            ("base", |change| change.base),
            ("other", |change| change.other),
            ("difference", Change::difference),
            ("ratio", Change::ratio),
            ("se", |change| change.se),
            ("lo", |change| change.interval.map(|(low, _)| low)),
            ("hi", |change| change.interval.map(|(_, high)| high)),
            ("p", |change| change.p),
        ];
        for (name, number) in numbers {
            records.floats(name, rows.iter().map(|(_, change)| number(change)));
        }
        records.text("verdict", rows.iter().map(|(_, change)| Some(change.verdict.words().replace(' ', "_"))));
        records.text("reason", rows.iter().map(|(_, change)| change.reason.clone()));
        records
    }

    fn class_records(&self) -> Records {
        let of_pair = |pair| {
            let GroupPair { means, .. }: &GroupPair = pair;
            means.iter().flat_map(|means| &means.classes).map(move |class| (pair, class))
        };
        let rows: Vec<(&GroupPair, &ClassChange)> = self.pairs.iter().flat_map(of_pair).collect();
        let pairs: Vec<&GroupPair> = rows.iter().map(|(pair, _)| *pair).collect();
        let mut records = self.keyed(&pairs, &["class", "base_count", "other_count", "drift", "cosine"]);
        records.labels("class", rows.iter().map(|(_, class)| Some(&class.label)));
        records.keys += 1;
        let counts: [(&str, CountOfClass); 2] =
            [("base_count", |class| class.counts.0), ("other_count", |class| class.counts.1)];
        for (name, count) in counts {
            let cells = rows.iter().map(|(_, class)| i64::try_from(count(class)).ok()).collect();
            records.columns.push(RecordColumn { name: name.to_owned(), is_label: false, cells: Cells::Int(cells) });
        }
        records.floats("drift", rows.iter().map(|(_, class)| class.drift));
        records.floats("cosine", rows.iter().map(|(_, class)| class.cosine));
        records
    }

    /// Columns that say which groups a record compares.
    fn keyed(&self, pairs: &[&GroupPair], taken: &[&str]) -> Records {
        let mut records = Records { rows: pairs.len(), ..Records::default() };
        if self.others.len() > 1 {
            records.text("compared", pairs.iter().map(|pair| Some(self.others[pair.other].clone())));
        }
        let names = self.key_order.iter().filter(|name| self.pairs.iter().any(|pair| pair.key.contains_key(*name)));
        for name in names {
            let mut unique = name.clone();
            while taken.contains(&unique.as_str()) || records.columns.iter().any(|column| column.name == unique) {
                unique.insert_str(0, "key_");
            }
            records.labels(&unique, pairs.iter().map(|pair| pair.key.get(name)));
        }
        records.keys = records.columns.len();
        records
    }
}

/// The columns of a record beside its keys.
const CHANGE_COLUMNS: [&str; 12] =
    ["compared", "metric", "base", "other", "difference", "ratio", "se", "lo", "hi", "p", "verdict", "reason"];

impl Records {
    fn floats(&mut self, name: &str, numbers: impl Iterator<Item = Option<f64>>) {
        self.columns.push(RecordColumn {
            name: name.to_owned(),
            is_label: false,
            cells: Cells::Float(numbers.collect()),
        });
    }

    fn text(&mut self, name: &str, texts: impl Iterator<Item = Option<String>>) {
        self.columns.push(RecordColumn { name: name.to_owned(), is_label: true, cells: Cells::Text(texts.collect()) });
    }

    fn labels<'a>(&mut self, name: &str, labels: impl Iterator<Item = Option<&'a Label>>) {
        self.columns.push(RecordColumn { name: name.to_owned(), is_label: true, cells: labels_of(labels) });
    }
}

fn change_json(change: &Change) -> Value {
    let mut json = json!({
        "base": change.base,
        "other": change.other,
        "difference": change.difference(),
        "ratio": change.ratio(),
        "verdict": change.verdict.words().replace(' ', "_"),
    });
    if let Some(reason) = &change.reason {
        json["reason"] = reason.as_str().into();
    }
    if let Some(((low, high), p)) = change.interval.zip(change.p) {
        json["se"] = change.se.into();
        json["lo"] = low.into();
        json["hi"] = high.into();
        json["p"] = p.into();
        json["paired"] = change.is_paired.into();
    }
    json
}

fn means_json(means: &MeansChange) -> Value {
    let farthest = means.farthest();
    json!({
        "classes": means.classes.len(),
        "only_base": means.unmatched.0,
        "only_other": means.unmatched.1,
        "cka": means.cka,
        "median_cosine": means.median_cosine(),
        "median_drift": means.median_drift(),
        "most_drift": farthest.and_then(|class| class.drift),
        "most_drift_class": farthest.map(|class| label_json(&class.label)),
    })
}
