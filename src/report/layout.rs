//! What a reader sees of a report: tables, and remarks below them.

use super::notes::{Note, notes};
use super::records::{Count, Records, metric_keys};
use super::text::{counted, grouped, words};
use super::text_table::{Column, Sheet};
use super::{Group, Report};
use crate::archive::escaped;
use crate::metrics::{Card, Direction, Measured, ROUNDED, card};

/// Tables and remarks, in the order in which they are shown.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) title: Option<String>,
    pub(super) sheets: Vec<Sheet>,
    pub(super) notes: Vec<Note>,
}

impl Page {
    /// One group stands upright, a metric a line; several lie side by side, a group a line.
    pub(super) fn of(report: &Report) -> Self {
        let mut page = Self { notes: notes(report), ..Self::default() };
        if let [group] = report.groups.as_slice() {
            page.title = Some(title(group));
            page.sheets.push(upright(group));
        } else {
            let (title, sheet) = lying(report);
            page.title = title;
            page.sheets.push(sheet);
        }
        page.sheets.extend(worst_pairs(report));
        page
    }
}

/// `epoch=4000 · 1,257 rows · 10 classes · dim 64`
fn title(group: &Group) -> String {
    let mut parts: Vec<String> =
        group.key.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(&value.to_string()))).collect();
    parts.push(counted(group.rows, "row", "rows"));
    parts.extend([classes(group), dim(group)]);
    parts.join(" · ")
}

fn classes(group: &Group) -> String {
    counted(group.measurements.classes, "class", "classes")
}

fn dim(group: &Group) -> String {
    format!("dim {}", grouped(&group.dim))
}

fn upright(group: &Group) -> Sheet {
    let metrics = &group.measurements.metrics;
    let column = |text: fn(&Measured) -> String| metrics.iter().map(text).collect::<Vec<_>>();
    let remark = |metric: &Measured| {
        let remarks = metric.reason.iter().chain(metric.flags.iter().filter(|&&flag| flag != ROUNDED));
        let remarks = remarks.map(|remark| words(remark));
        remarks.collect::<Vec<_>>().join(", ")
    };
    let keys = vec![Column::names("metric", column(|metric| arrowed(metric.key)))];
    let mut body = vec![Column::numbers("value".to_owned(), metrics.iter().map(|metric| metric.value))];
    if metrics.iter().any(|metric| metric.floor.is_some()) {
        let mut floors = Column::numbers("floor".to_owned(), metrics.iter().map(|metric| metric.floor));
        // Most metrics have none, which is no news.
        floors
            .cells
            .iter_mut()
            .zip(metrics)
            .filter(|(_, metric)| metric.floor.is_none())
            .for_each(|(cell, _)| cell.clear());
        body.push(floors);
    }
    let tail = [
        Column::names("unit", column(|metric| card(metric.key).map_or("", |card| card.unit).to_owned())),
        Column::names("remark", column(remark)),
    ];
    let families = metrics.iter().map(|metric| card(metric.key).map(|card| card.family)).collect::<Vec<_>>();
    Sheet {
        title: None,
        keys,
        body,
        tail: tail.into_iter().filter(|column| column.cells.iter().any(|cell| !cell.is_empty())).collect(),
        gaps: (1..families.len()).filter(|&row| families[row] != families[row - 1]).collect(),
    }
}

/// What all groups share stands above, what differs in the table.
fn lying(report: &Report) -> (Option<String>, Sheet) {
    let groups = &report.groups;
    let records = Records::of_groups(report);
    let mut sheet =
        Sheet { keys: records.columns[..records.keys].iter().map(Column::of_record).collect(), ..Sheet::default() };
    for key in metric_keys(groups) {
        let values = groups.iter().map(|group| group.metric(key).and_then(|metric| metric.value));
        let mut column = Column::numbers(arrowed(key), values);
        column.section = card(key).map_or(0, |card| card.family as usize);
        sheet.body.push(column);
    }
    sheet.tail.push(Column::counts("rows", groups.iter().map(|group| group.rows)));
    let shapes: [(&str, Count); 2] =
        [("classes", |group| group.measurements.classes), ("dim", |group| group.dim as u64)];
    let mut shared = Vec::new();
    for ((name, count), text) in shapes.into_iter().zip([classes as fn(&Group) -> String, dim]) {
        match groups.first().filter(|first| groups.iter().all(|group| count(group) == count(first))) {
            Some(first) => shared.push(text(first)),
            None => sheet.tail.push(Column::counts(name, groups.iter().map(count))),
        }
    }
    ((!shared.is_empty()).then(|| shared.join(" · ")), sheet)
}

fn worst_pairs(report: &Report) -> Option<Sheet> {
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
            Column::names(&escaped(name), pairs.iter().map(|(group, _)| label(&group.key[at].1)).collect())
        }));
    }
    let class = |of: &crate::batch::Label| match report.class_names.get(of) {
        Some(name) => format!("{} ({})", label(of), escaped(name)),
        None => label(of),
    };
    keys.push(Column::names("class", pairs.iter().map(|(_, pair)| class(&pair.first)).collect()));
    keys.push(Column::names("class", pairs.iter().map(|(_, pair)| class(&pair.second)).collect()));
    Some(Sheet {
        title: Some("pairs of classes hardest to tell apart".to_owned()),
        keys,
        body: vec![
            Column::numbers("cdnv".to_owned(), pairs.iter().map(|(_, pair)| Some(pair.cdnv))),
            Column::numbers("distance".to_owned(), pairs.iter().map(|(_, pair)| Some(pair.distance))),
        ],
        ..Sheet::default()
    })
}

fn label(label: &crate::batch::Label) -> String {
    escaped(&label.to_string())
}

/// A key and the way in which collapse lies.
fn arrowed(key: &str) -> String {
    match card(key).map(|card: &Card| card.direction) {
        Some(Direction::Lower) => format!("{key} ↓"),
        Some(Direction::Higher) => format!("{key} ↑"),
        Some(Direction::None) | None => key.to_owned(),
    }
}
