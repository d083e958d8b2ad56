//! Flat records: typed columns with one row per group or class.

use std::collections::HashSet;

use serde_json::Value;

use super::text::json;
use super::{GroupReport, Report};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::{ClassRow, ErrorBar, Measured, card};

/// Returns a count of a group.
pub(super) type Count = fn(&GroupReport) -> u64;

/// Returns a number of a class.
type OfClass<T> = fn(&ClassRow) -> Option<T>;

/// Returns a number of an error bar.
pub(super) type OfBar = fn(&ErrorBar) -> f64;

/// What of an error bar has a column of its own, named after the metric and this.
pub(super) const BAR: [(&str, OfBar); 3] = [("se", |bar| bar.se), ("lo", |bar| bar.lo), ("hi", |bar| bar.hi)];

/// Typed columns of equal length.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) columns: Vec<RecordColumn>,
    /// How many columns at the left identify the record; the others measure it.
    pub(super) keys: usize,
    pub(super) rows: usize,
}

#[derive(Clone, Debug)]
pub(super) struct RecordColumn {
    pub(super) name: String,
    /// Whether it holds labels; integers among them are not counts, so their digits are not grouped.
    pub(super) is_label: bool,
    pub(super) cells: Cells,
}

#[derive(Clone, Debug)]
pub(super) enum Cells {
    Bool(Vec<Option<bool>>),
    Int(Vec<Option<i64>>),
    /// Labels beyond `i64`.
    Unsigned(Vec<Option<u64>>),
    Float(Vec<Option<f64>>),
    Text(Vec<Option<String>>),
    /// Nested values in full.
    Json(Vec<Value>),
}

impl Records {
    /// One record per group.
    pub(super) fn of_groups(report: &Report) -> Self {
        let groups = &report.groups;
        let keys = metric_keys(groups);
        let fixed = ["rows", "classes", "dim", "dropped_classes", "flags"];
        let has_bars = groups.iter().any(GroupReport::has_error_bars);
        let of_bar = |key: &str| BAR.map(|(suffix, of)| (format!("{key}_{suffix}"), of));
        let can_have_one = |key: &str| has_bars && card(key).is_some_and(|card| card.no_error_bar().is_none());
        let bars: Vec<_> = keys.iter().filter(|key| can_have_one(key)).flat_map(|key| of_bar(key)).collect();
        let of_bars = bars.iter().map(|(name, _)| name.as_str());
        let taken = fixed.into_iter().chain(keys.iter().copied()).chain(of_bars).collect();
        let mut records = Self::keyed(&groups.iter().collect::<Vec<_>>(), &taken);
        let counts: [(&str, Count); 4] = [
            ("rows", |group| group.rows),
            ("classes", |group| group.measurements.classes),
            ("dim", |group| group.dim as u64),
            ("dropped_classes", |group| group.dropped_classes),
        ];
        for (name, count) in counts {
            records.push(name, counts_of(groups.iter().map(|group| Some(count(group)))));
        }
        records.push("flags", Cells::Text(groups.iter().map(|group| Some(flags(group).join(";"))).collect()));
        for key in keys {
            let values = groups.iter().map(|group| group.metric(key).and_then(|metric| metric.value));
            records.push(key, Cells::Float(values.collect()));
            if can_have_one(key) {
                for (name, of) in of_bar(key) {
                    let numbers = groups.iter().map(|group| group.metric(key).and_then(Measured::bar).map(of));
                    records.push(&name, Cells::Float(numbers.collect()));
                }
            }
        }
        records
    }

    /// One record per class of a group.
    pub(super) fn of_classes(report: &Report) -> Self {
        let rows: Vec<(&GroupReport, &ClassRow)> = report
            .groups
            .iter()
            .flat_map(|group| group.measurements.per_class.iter().map(move |class| (group, class)))
            .collect();
        let numbers: [(&str, OfClass<f64>); 7] = [
            ("variance", |class| class.variance),
            ("distance", |class| Some(class.distance)),
            ("snr", |class| class.snr),
            ("cdnv_mean", |class| class.cdnv_mean),
            ("cdnv_worst", |class| class.cdnv_worst),
            ("cos_head", |class| class.cos_head),
            ("dot_head", |class| class.dot_head),
        ];
        let counts: [(&str, OfClass<u64>); 4] = [
            ("agreements", |class| class.agreements),
            ("decisions", |class| class.decisions),
            ("ncc_hits", |class| class.ncc_hits),
            ("classifier_hits", |class| class.classifier_hits),
        ];
        let fixed = ["class", "name", "count", "worst_neighbour", "worst_neighbour_name"];
        let taken =
            fixed.into_iter().chain(numbers.map(|(name, _)| name)).chain(counts.map(|(name, _)| name)).collect();
        let mut records = Self::keyed(&rows.iter().map(|&(group, _)| group).collect::<Vec<_>>(), &taken);
        records.push_labels("class", rows.iter().map(|(_, class)| Some(&class.label)));
        records.keys += 1;
        let called = |label: &Label| report.class_names.get(label).cloned();
        let has_names = !report.class_names.is_empty();
        if has_names {
            records.push("name", Cells::Text(rows.iter().map(|(_, class)| called(&class.label)).collect()));
            records.keys += 1;
        }
        records.push("count", counts_of(rows.iter().map(|(_, class)| Some(class.count))));
        for (name, number) in numbers {
            records.push(name, Cells::Float(rows.iter().map(|(_, class)| number(class)).collect()));
            if name == "cdnv_worst" {
                let neighbours = rows.iter().map(|(_, class)| class.worst_neighbour.as_ref());
                records.push_labels("worst_neighbour", neighbours);
                if has_names {
                    let neighbours = rows.iter().map(|(_, class)| class.worst_neighbour.as_ref().and_then(called));
                    records.push("worst_neighbour_name", Cells::Text(neighbours.collect()));
                }
            }
        }
        for (name, count) in counts {
            records.push(name, counts_of(rows.iter().map(|(_, class)| count(class))));
        }
        records
    }

    /// Columns for the groups' keys, renamed if another column has their name.
    pub(super) fn keyed(groups: &[&GroupReport], taken: &HashSet<&str>) -> Self {
        let mut records = Self { rows: groups.len(), ..Self::default() };
        let names = groups.first().map(|group| group.key.iter().map(|(name, _)| name.clone())).into_iter().flatten();
        for (at, name) in names.enumerate() {
            let mut unique = name;
            while taken.contains(unique.as_str()) || records.columns.iter().any(|column| column.name == unique) {
                unique.insert_str(0, "key_");
            }
            let labels = groups.iter().map(|group| group.key.get(at).map(|(_, label)| label));
            records.push_labels(&unique, labels);
        }
        records.keys = records.columns.len();
        records
    }

    /// Appends records with the same columns.
    pub(super) fn append(&mut self, other: Self) -> Result<()> {
        self.rows += other.rows;
        self.columns.iter_mut().zip(other.columns).try_for_each(|(mine, more)| mine.cells.append(more.cells))
    }

    pub(super) fn push(&mut self, name: &str, cells: Cells) {
        self.columns.push(RecordColumn { name: name.to_owned(), is_label: false, cells });
    }

    fn push_labels<'a>(&mut self, name: &str, labels: impl Iterator<Item = Option<&'a Label>>) {
        self.columns.push(RecordColumn { name: name.to_owned(), is_label: true, cells: labels_of(labels) });
    }
}

impl Cells {
    /// Whether they are floating-point numbers.
    pub(super) fn are_floats(&self) -> bool {
        matches!(self, Self::Float(_))
    }

    /// Appends cells of another batch of the same column.
    fn append(&mut self, other: Self) -> Result<()> {
        match (self, other) {
            (Self::Bool(mine), Self::Bool(more)) => mine.extend(more),
            (Self::Int(mine), Self::Int(more)) => mine.extend(more),
            (Self::Unsigned(mine), Self::Unsigned(more)) => mine.extend(more),
            (Self::Unsigned(mine), Self::Int(more)) => {
                mine.extend(more.into_iter().map(|cell| cell.and_then(|value| u64::try_from(value).ok())));
            }
            (mine @ Self::Int(_), more @ Self::Unsigned(_)) => {
                let mut first = Self::Unsigned(Vec::new());
                first.append(std::mem::replace(mine, Self::Bool(Vec::new())))?;
                first.append(more)?;
                *mine = first;
            }
            (Self::Float(mine), Self::Float(more)) => mine.extend(more),
            (Self::Text(mine), Self::Text(more)) => mine.extend(more),
            (Self::Json(mine), Self::Json(more)) => mine.extend(more),
            _ => return Err(Error::internal("the batches of a column differ in type")),
        }
        Ok(())
    }

    /// A cell in JSON; infinities and NaN become null.
    pub(super) fn json(&self, row: usize) -> Value {
        match self {
            Self::Bool(cells) => cells[row].into(),
            Self::Int(cells) => cells[row].into(),
            Self::Unsigned(cells) => cells[row].into(),
            Self::Float(cells) => cells[row].into(),
            Self::Text(cells) => cells[row].as_deref().into(),
            Self::Json(cells) => cells[row].clone(),
        }
    }
}

/// The keys of the metrics that any group has, in the order of the catalogue.
pub(super) fn metric_keys(groups: &[GroupReport]) -> Vec<&'static str> {
    let made: HashSet<_> =
        groups.iter().flat_map(|group| &group.measurements.metrics).map(|metric| metric.key).collect();
    let known = crate::metrics::cards().iter().map(|card| card.key).filter(|key| made.contains(key));
    known.collect()
}

/// The flags of a group, then each flag of metrics with their keys: `ties:nc4_agreement ncc_accuracy`.
fn flags(group: &GroupReport) -> Vec<String> {
    let mut flags: Vec<String> = group.measurements.flags.iter().map(|&flag| flag.to_owned()).collect();
    let mut of_metrics: Vec<(&str, Vec<&str>)> = Vec::new();
    for metric in &group.measurements.metrics {
        for &flag in &metric.flags {
            match of_metrics.iter_mut().find(|(known, _)| *known == flag) {
                Some((_, keys)) => keys.push(metric.key),
                None => of_metrics.push((flag, vec![metric.key])),
            }
        }
    }
    flags.extend(of_metrics.into_iter().map(|(flag, keys)| format!("{flag}:{}", keys.join(" "))));
    flags
}

pub(super) fn counts_of(counts: impl Iterator<Item = Option<u64>>) -> Cells {
    // Counts of rows stay far below 2^63.
    Cells::Int(counts.map(|count| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX))).collect())
}

fn integer<T: TryFrom<i128>>(label: Option<&Label>) -> Option<T> {
    match label {
        Some(Label::Int(value)) => T::try_from(*value).ok(),
        _ => None,
    }
}

/// The narrowest type that holds all of the labels.
pub(super) fn labels_of<'a>(labels: impl Iterator<Item = Option<&'a Label>>) -> Cells {
    let labels: Vec<Option<&Label>> = labels.collect();
    let integers = |fits: fn(i128) -> bool| {
        labels.iter().flatten().all(|label| matches!(label, Label::Int(value) if fits(*value)))
    };
    if integers(|value| i64::try_from(value).is_ok()) {
        return Cells::Int(labels.into_iter().map(integer).collect());
    }
    if integers(|value| u64::try_from(value).is_ok()) {
        return Cells::Unsigned(labels.into_iter().map(integer).collect());
    }
    if labels.iter().flatten().all(|label| matches!(label, Label::Bool(_))) {
        let value = |label: &Label| matches!(label, Label::Bool(true));
        return Cells::Bool(labels.into_iter().map(|label| label.map(value)).collect());
    }
    Cells::Text(labels.into_iter().map(|label| label.map(ToString::to_string)).collect())
}

/// The keys of a group as a JSON object.
pub(super) fn key_json(group: &GroupReport) -> Value {
    group.key.iter().map(|(name, label)| (name.clone(), json(label))).collect::<serde_json::Map<_, _>>().into()
}
