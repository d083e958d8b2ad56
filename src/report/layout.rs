//! Lays a report out for reading: tables with remarks below them.

use super::notes::{Note, notes};
use super::records::{Count, Records, metric_keys};
use super::text::{counted, grouped, words};
use super::text_table::{TextColumn, TextTable};
use super::{GroupReport, Report};
use crate::archive::escaped;
use crate::metrics::{Measured, ROUNDED, card};

/// The tables and remarks of a report, in the order in which they are shown.
#[derive(Debug, Default)]
pub(super) struct Layout {
    pub(super) title: Option<String>,
    pub(super) tables: Vec<TextTable>,
    pub(super) notes: Vec<Note>,
}

impl Layout {
    /// A single group has one metric per line; several have one group per line.
    pub(super) fn of(report: &Report) -> Self {
        let mut layout = Self { notes: notes(report), ..Self::default() };
        if let [group] = report.groups.as_slice() {
            layout.title = Some(title(group));
            layout.tables.push(by_metric(group));
        } else {
            let (title, table) = by_group(report);
            layout.title = title;
            layout.tables.push(table);
        }
        layout.tables.extend(worst_pairs(report));
        layout
    }
}

/// `epoch=4000 · 1,257 rows · 10 classes · dim 64`
fn title(group: &GroupReport) -> String {
    let mut parts: Vec<String> =
        group.key.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(&value.to_string()))).collect();
    parts.push(counted(group.rows, "row", "rows"));
    parts.extend([classes(group), dim(group)]);
    parts.join(" · ")
}

fn classes(group: &GroupReport) -> String {
    counted(group.measurements.classes, "class", "classes")
}

fn dim(group: &GroupReport) -> String {
    format!("dim {}", grouped(&group.dim))
}

fn by_metric(group: &GroupReport) -> TextTable {
    let metrics = &group.measurements.metrics;
    let column = |text: fn(&Measured) -> String| metrics.iter().map(text).collect::<Vec<_>>();
    let remark = |metric: &Measured| {
        let remarks = metric.reason.iter().chain(metric.flags.iter().filter(|&&flag| flag != ROUNDED));
        let remarks = remarks.map(|remark| words(remark));
        remarks.collect::<Vec<_>>().join(", ")
    };
    let keys = vec![TextColumn::names("metric", column(|metric| arrowed(metric.key)))];
    let mut body = vec![TextColumn::metrics("value".to_owned(), metrics.iter().map(Some))];
    if metrics.iter().any(|metric| metric.floor.is_some()) {
        let mut floors = TextColumn::numbers("floor".to_owned(), metrics.iter().map(|metric| metric.floor));
        // Most metrics have no floor; their cells stay empty.
        floors
            .cells
            .iter_mut()
            .zip(metrics)
            .filter(|(_, metric)| metric.floor.is_none())
            .for_each(|(cell, _)| cell.clear());
        body.push(floors);
    }
    let tail = [
        TextColumn::names("unit", column(|metric| card(metric.key).map_or("", |card| card.unit).to_owned())),
        TextColumn::names("remark", column(remark)),
    ];
    let families = metrics.iter().map(|metric| card(metric.key).map(|card| card.family)).collect::<Vec<_>>();
    TextTable {
        title: None,
        keys,
        body,
        tail: tail.into_iter().filter(|column| column.cells.iter().any(|cell| !cell.is_empty())).collect(),
        gaps: (1..families.len()).filter(|&row| families[row] != families[row - 1]).collect(),
        ..TextTable::default()
    }
}

/// A line per group. Shapes that all groups share are in the title, others in the table.
fn by_group(report: &Report) -> (Option<String>, TextTable) {
    let groups = &report.groups;
    let records = Records::of_groups(report);
    let mut table = TextTable {
        keys: records.columns[..records.keys].iter().map(TextColumn::of_record).collect(),
        short_keys: true,
        ..TextTable::default()
    };
    for key in valued_keys(groups) {
        let mut column = TextColumn::metrics(arrowed(key), groups.iter().map(|group| group.metric(key)));
        column.section = card(key).map_or(0, |card| card.family as usize);
        table.body.push(column);
    }
    table.tail.push(TextColumn::counts("rows", groups.iter().map(|group| group.rows)));
    let shapes: [(&str, Count); 2] =
        [("classes", |group| group.measurements.classes), ("dim", |group| group.dim as u64)];
    let mut shared = Vec::new();
    for ((name, count), text) in shapes.into_iter().zip([classes as fn(&GroupReport) -> String, dim]) {
        match groups.first().filter(|first| groups.iter().all(|group| count(group) == count(first))) {
            Some(first) => shared.push(text(first)),
            None => table.tail.push(TextColumn::counts(name, groups.iter().map(count))),
        }
    }
    ((!shared.is_empty()).then(|| shared.join(" · ")), table)
}

/// The metrics that have a value in some group; notes say why others have none.
pub(super) fn valued_keys(groups: &[GroupReport]) -> Vec<&'static str> {
    let has_value = |key: &&str| groups.iter().any(|group| group.value(key).is_some());
    metric_keys(groups).into_iter().filter(has_value).collect()
}

fn worst_pairs(report: &Report) -> Option<TextTable> {
    let pairs =
        report.groups.iter().flat_map(|group| group.measurements.worst_pairs.iter().map(move |pair| (group, pair)));
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() {
        return None;
    }
    let mut keys = Vec::new();
    if report.groups.len() > 1 {
        let names = report.groups[0].key.iter().enumerate();
        keys.extend(names.map(|(at, (name, _))| {
            TextColumn::names(&escaped(name), pairs.iter().map(|(group, _)| label(&group.key[at].1)).collect())
        }));
    }
    let class = |of: &crate::batch::Label| match report.class_names.get(of) {
        Some(name) => format!("{} ({})", label(of), escaped(name)),
        None => label(of),
    };
    keys.push(TextColumn::names("class", pairs.iter().map(|(_, pair)| class(&pair.first)).collect()));
    keys.push(TextColumn::names("class", pairs.iter().map(|(_, pair)| class(&pair.second)).collect()));
    Some(TextTable {
        title: Some("pairs of classes hardest to tell apart".to_owned()),
        keys,
        short_keys: true,
        body: vec![
            TextColumn::numbers("cdnv".to_owned(), pairs.iter().map(|(_, pair)| Some(pair.cdnv))),
            TextColumn::numbers("distance".to_owned(), pairs.iter().map(|(_, pair)| Some(pair.distance))),
        ],
        ..TextTable::default()
    })
}

pub(super) fn label(label: &crate::batch::Label) -> String {
    escaped(&label.to_string())
}

/// A key with an arrow in the direction of collapse.
pub(super) fn arrowed(key: &str) -> String {
    match card(key).and_then(|card| card.direction.arrow()) {
        Some(arrow) => format!("{key} {arrow}"),
        None => key.to_owned(),
    }
}
