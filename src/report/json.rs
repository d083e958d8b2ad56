//! One JSON document with everything, or one flat JSON record per line.

use serde_json::{Map, Value, json};

use super::records::{BAR, Records, key_json};
use super::text::json as label_json;
use super::{GroupReport, Report};
use crate::archive::Skipped;
use crate::metrics::Measured;

/// The whole report as one document.
pub(super) fn report(report: &Report) -> String {
    let bad_files = report.bad_files.iter().map(|(file, reason)| json!({"file": file, "reason": reason}));
    document(
        report,
        "groups",
        report.groups.iter().map(|one| group(report, one)).collect(),
        ("bad_files", bad_files.collect()),
    )
}

/// The classes of all groups as one document.
pub(super) fn classes(report: &Report, records: &Records) -> String {
    let mut document = header(report);
    document.insert("classes".to_owned(), (0..records.rows).map(|row| record(records, row)).collect());
    pretty(document)
}

/// One record per line.
pub(super) fn lines(records: &Records) -> String {
    (0..records.rows).flat_map(|row| [record(records, row).to_string(), "\n".to_owned()]).collect()
}

/// The names of columns, and the cells of each record: no name is said twice.
pub(super) fn columns(records: &Records) -> String {
    let names: Vec<&str> = records.columns.iter().map(|column| column.name.as_str()).collect();
    let cells =
        |row: usize| Value::from(records.columns.iter().map(|column| column.cells.json(row)).collect::<Vec<_>>());
    let rows: Vec<String> = (0..records.rows).map(|row| cells(row).to_string()).collect();
    format!("{{\"columns\":{},\n\"rows\":[\n{}\n]}}\n", json!(names), rows.join(",\n"))
}

/// Records as items of a list, one per line.
pub(super) fn items(records: &Records, first: bool) -> String {
    let item = |row: usize| {
        let comma = if first && row == 0 { "" } else { "," };
        format!("{comma}\n{}", record(records, row))
    };
    (0..records.rows).map(item).collect()
}

fn document(report: &Report, name: &str, items: Value, (other, others): (&str, Value)) -> String {
    let mut document = header(report);
    document.insert(name.to_owned(), items);
    document.insert(other.to_owned(), others);
    pretty(document)
}

fn header(report: &Report) -> Map<String, Value> {
    let options: Map<_, _> = report.conventions().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Map::from_iter([("nckit".to_owned(), env!("CARGO_PKG_VERSION").into()), ("options".to_owned(), options.into())])
}

fn pretty(document: Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(document))
}

fn record(records: &Records, row: usize) -> Value {
    let cells = records.columns.iter().map(|column| (column.name.clone(), column.cells.json(row)));
    cells.collect::<Map<_, _>>().into()
}

fn group(report: &Report, group: &GroupReport) -> Value {
    let made = &group.measurements;
    let metrics: Map<_, _> = made.metrics.iter().map(|metric| (metric.key.to_owned(), measured(metric))).collect();
    let pairs = made.worst_pairs.iter().map(|pair| {
        let mut pair_json = json!({
            "first": label_json(&pair.first),
            "second": label_json(&pair.second),
            "cdnv": pair.cdnv,
            "distance": pair.distance,
        });
        for (key, label) in [("first_name", &pair.first), ("second_name", &pair.second)] {
            if let Some(name) = report.class_names.get(label) {
                pair_json[key] = name.as_str().into();
            }
        }
        pair_json
    });
    let mut document = json!({
        "key": key_json(group),
        "rows": group.rows,
        "classes": made.classes,
        "dim": group.dim,
        "significand_bits": group.significand_bits,
        "dropped_classes": group.dropped_classes,
        "skipped": skipped(&group.skipped),
        "accuracy": made.accuracy,
        "metrics": metrics,
        "flags": made.flags,
        "worst_pairs": pairs.collect::<Vec<_>>(),
    });
    if let Some(replicates) = &group.replicates {
        document["replicates"] = json!({
            "blocks": replicates.blocks.iter().map(label_json).collect::<Vec<_>>(),
            "rows": replicates.rows,
            "classes_left_out": replicates.classes_left_out,
            "whole": replicates.whole,
            "values": replicates.values,
        });
    }
    document
}

fn skipped(skipped: &Skipped) -> Value {
    let nonfinite: Map<_, _> =
        skipped.nonfinite.iter().map(|(class, &count)| (class.to_string(), count.into())).collect();
    json!({
        "nulls": skipped.nulls,
        "nonfinite": nonfinite,
        "ignored": skipped.ignored,
        "filtered": skipped.filtered,
    })
}

/// JSON has no infinities and no NaN: such a value is null, and the reason names it.
fn measured(metric: &Measured) -> Value {
    let reason = metric.reason.or(match metric.value {
        Some(value) if value.is_nan() => Some("not_a_number"),
        Some(value) if value.is_infinite() => Some("infinite"),
        _ => None,
    });
    let mut json = json!({"value": metric.value, "floor": metric.floor, "reason": reason, "flags": metric.flags});
    if let Some(bar) = &metric.error_bar {
        for (name, of) in BAR {
            json[name] = bar.as_ref().ok().map(of).into();
        }
        json["bias"] = bar.as_ref().ok().map(|bar| bar.bias).into();
        json["no_error_bar"] = bar.as_ref().err().copied().into();
    }
    if !metric.counts.is_empty() {
        let counts = metric.counts.iter().map(|&(what, count)| (what.to_owned(), Value::from(count)));
        json["counts"] = counts.collect::<Map<_, _>>().into();
    }
    json
}
