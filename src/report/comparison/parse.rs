//! Records that were written earlier, as one side of a comparison.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Side;
use super::side::{Noise, SETTINGS, SideGroup, SideNumber};
use crate::archive::escaped;
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::cards;

/// What flat records hold beside keys and metrics.
const COUNTS: [&str; 5] = ["rows", "classes", "dim", "dropped_classes", "flags"];

impl Side {
    /// Whether this is how records in JSON begin, one document or a record a line.
    pub fn recognises_records(head: &[u8]) -> bool {
        let text = String::from_utf8_lossy(head);
        let text = text.trim_start();
        text.starts_with('{') && (text.contains("\"nckit\"") || text.contains("\"dropped_classes\""))
    }

    /// Reads the JSON or ndjson that `measure` and `finish` write.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for any other text.
    pub fn of_records(name: impl Into<String>, text: &str) -> Result<Self> {
        let name = name.into();
        let other = |detail: String| {
            Error::data("these are no records of metrics")
                .with("file", &name)
                .with("detail", detail)
                .help("nckit measure INPUT -o records.json writes them")
        };
        let values: Vec<Value> = serde_json::Deserializer::from_str(text)
            .into_iter()
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| other(error.to_string()))?;
        let side = match values.as_slice() {
            [Value::Object(document)] if document.contains_key("nckit") => of_document(document),
            records => of_lines(records),
        };
        let (options, settings, (key_order, groups)) =
            side.ok_or_else(|| other("a group lacks its numbers".to_owned()))?;
        if groups.is_empty() {
            return Err(other("they hold no group".to_owned()));
        }
        let mut known = BTreeSet::new();
        if let Some(twice) = groups.iter().find(|group| !known.insert(&group.key)) {
            let key: Vec<String> = twice.key.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let what = if key.is_empty() { "two records have no key".to_owned() } else { key.join(" ") };
            return Err(other(format!("a group is there twice: {}", escaped(&what))));
        }
        Ok(Self { name, options, settings, key_order, groups })
    }
}

/// Options, settings, and the groups with the names of their keys in order.
type Parts = (BTreeMap<String, Value>, BTreeMap<String, String>, (Vec<String>, Vec<SideGroup>));

fn of_document(document: &Map<String, Value>) -> Option<Parts> {
    let mut options: BTreeMap<String, Value> =
        document.get("options")?.as_object()?.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    // What was chosen beside the conventions stands among them, as text.
    let chosen = |name: &&str| Some(((*name).to_owned(), options.get(*name)?.as_str()?.to_owned()));
    let settings = SETTINGS.iter().filter_map(chosen).collect();
    let conventions: BTreeSet<&str> =
        crate::metrics::Options::default().describe().into_iter().map(|(name, _)| name).collect();
    options.retain(|name, _| conventions.contains(name.as_str()));
    let groups = document.get("groups")?.as_array()?;
    let first = groups.first().and_then(|group| group.get("key")?.as_object());
    let key_order = first.map_or_else(Vec::new, |key| key.keys().cloned().collect());
    Some((options, settings, (key_order, groups.iter().map(of_group).collect::<Option<_>>()?)))
}

fn of_group(group: &Value) -> Option<SideGroup> {
    let key = group.get("key")?.as_object()?.iter().map(|(name, value)| Some((name.clone(), label(value)?)));
    let accuracy = |metric: &str| group.get("accuracy").and_then(|all| all.get(metric)).and_then(Value::as_f64);
    let replicates = group.get("replicates");
    let number = |(metric, all): (&String, &Value)| {
        let of = |name: &str| all.get(name).and_then(Value::as_f64);
        let noise = || {
            let list = |name: &str| replicates?.get(name)?.as_array();
            let without = replicates?.get("values")?.get(metric)?.as_array()?;
            let blocks = list("blocks")?.iter().zip(list("rows")?).zip(without);
            let block = |((block, rows), value): ((&Value, &Value), &Value)| {
                Some((label(block)?.to_string(), rows.as_u64().filter(|&rows| rows > 0)?, value.as_f64()?))
            };
            let without: Vec<(String, u64, f64)> = blocks.map(block).collect::<Option<_>>()?;
            let whole = replicates?.get("whole")?.get(metric)?.as_f64()?;
            Some(Noise::new(of("value")?, (of("se")?, of("bias")?), whole, &without))
        };
        let noise = noise();
        let text = |name: &str| all.get(name).and_then(Value::as_str).map(str::to_owned);
        let (reason, no_noise) = (text("reason"), text("no_error_bar"));
        let number =
            SideNumber { value: of("value"), reason, rounding: accuracy(metric).unwrap_or(0.0), noise, no_noise };
        (metric.clone(), number)
    };
    let count = |name: &str| group.get(name).and_then(Value::as_u64);
    Some(SideGroup {
        key: key.collect::<Option<_>>()?,
        rows: count("rows")?,
        classes: count("classes")?,
        dim: count("dim")?,
        numbers: group.get("metrics")?.as_object()?.iter().map(number).collect(),
        means: None,
    })
}

/// Flat records: what is no metric and no count is a key.
fn of_lines(records: &[Value]) -> Option<Parts> {
    let metrics: BTreeSet<&str> = cards().iter().map(|card| card.key).collect();
    let is_of_metric = |name: &str| {
        metrics.contains(name)
            || ["_se", "_lo", "_hi"].iter().any(|end| name.strip_suffix(end).is_some_and(|key| metrics.contains(key)))
    };
    let is_key = |name: &str| !COUNTS.contains(&name) && !is_of_metric(name);
    let group = |record: &Value| {
        let record = record.as_object()?;
        let keys = record.iter().filter(|(name, _)| is_key(name));
        let number = |(name, value): (&String, &Value)| {
            metrics
                .contains(name.as_str())
                .then(|| (name.clone(), SideNumber { value: value.as_f64(), ..SideNumber::default() }))
        };
        let count = |name: &str| record.get(name).and_then(Value::as_u64);
        Some(SideGroup {
            key: keys.map(|(name, value)| Some((name.clone(), label(value)?))).collect::<Option<_>>()?,
            rows: count("rows")?,
            classes: count("classes")?,
            dim: count("dim")?,
            numbers: record.iter().filter_map(number).collect(),
            means: None,
        })
    };
    let first = records.first().and_then(Value::as_object);
    let key_order = first.map_or_else(Vec::new, |record| record.keys().filter(|name| is_key(name)).cloned().collect());
    Some((BTreeMap::new(), BTreeMap::new(), (key_order, records.iter().map(group).collect::<Option<_>>()?)))
}

fn label(value: &Value) -> Option<Label> {
    match value {
        Value::Bool(value) => Some(Label::Bool(*value)),
        Value::Number(number) => number.as_i128().map(Label::Int),
        Value::String(text) => Some(Label::Text(text.as_str().into())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
