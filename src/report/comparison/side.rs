//! One side of a comparison: groups with their numbers, wherever they come from.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::{ClassMeans, Measured, Selection};
use crate::report::{GroupReport, Report};

/// The groups of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What people call it: the path as it was typed.
    pub name: String,
    /// The conventions of its numbers.
    pub(super) options: BTreeMap<String, Value>,
    /// What else was chosen, as far as it is known.
    pub(super) settings: BTreeMap<String, String>,
    /// The names of the keys of its groups, in their order.
    pub(super) key_order: Vec<String>,
    pub(super) groups: Vec<SideGroup>,
}

/// A group and its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SideGroup {
    pub(super) key: BTreeMap<String, Label>,
    pub(super) rows: u64,
    pub(super) classes: u64,
    pub(super) dim: u64,
    pub(super) numbers: BTreeMap<String, SideNumber>,
    pub(super) means: Option<ClassMeans>,
}

/// A metric of a group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct SideNumber {
    pub(super) value: Option<f64>,
    pub(super) reason: Option<String>,
    /// By how much rounding may have moved it, relative to it; 0 if that is negligible.
    pub(super) rounding: f64,
    pub(super) noise: Option<Noise>,
    /// Why there is no noise although it was asked for.
    pub(super) no_noise: Option<String>,
}

/// How far other rows of the same kind would move a number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Noise {
    /// Its standard error.
    pub(super) se: f64,
    /// The number less its bias.
    pub(super) centre: f64,
    /// Degrees of freedom of the standard error.
    pub(super) freedom: f64,
    /// What each block of rows adds to it, by the block's name.
    pub(super) influences: BTreeMap<String, Influence>,
}

/// What a block of `m` of all `n` rows adds to a number `θ`, which is `θ_(j)` without it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Influence {
    /// `(n/m − 1)(θ − θ_(j))`.
    pub(super) amount: f64,
    /// `n/m − 1`.
    pub(super) weight: f64,
}

impl Noise {
    /// Of an error bar, and what it was made of: the number of all blocks together, and the number without each of them, with
    /// the block's name and its rows.
    pub(super) fn new(value: f64, (se, bias): (f64, f64), whole: f64, without: &[(String, u64, f64)]) -> Self {
        let all = without.iter().map(|(_, rows, _)| rows).sum::<u64>() as f64;
        let influence = |(block, rows, without): &(String, u64, f64)| {
            let weight = all / *rows as f64 - 1.0;
            (block.clone(), Influence { amount: weight * (whole - without), weight })
        };
        let freedom = (without.len() as f64 - 1.0).max(1.0);
        Self { se, centre: value - bias, freedom, influences: without.iter().map(influence).collect() }
    }
}

impl Side {
    /// The groups of a report.
    pub fn of_report(name: impl Into<String>, report: &Report) -> Self {
        let options = report.options.describe().into_iter().map(|(name, value)| (name.to_owned(), value));
        let settings = report.settings.iter().filter(|(name, _)| SETTINGS.contains(name));
        Self {
            name: name.into(),
            options: options.collect(),
            settings: settings.map(|(&name, value)| (name.to_owned(), value.clone())).collect(),
            key_order: report
                .groups
                .first()
                .map_or_else(Vec::new, |group| group.key.iter().map(|(name, _)| name.clone()).collect()),
            groups: report.groups.iter().map(SideGroup::of).collect(),
        }
    }

    /// Leaves the groups that have these values: different keys must all match, and one key may have any of its values. A
    /// key that is left with one value no longer tells groups apart.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for a key that the groups do not have;
    /// [`Missing`](crate::error::ErrorKind::Missing) if no group is left.
    pub fn pick(&mut self, filters: &[(String, String)]) -> Result<()> {
        let names: BTreeSet<&String> = filters.iter().map(|(name, _)| name).collect();
        for name in names {
            if let Some(group) = self.groups.iter().find(|group| !group.key.contains_key(name)) {
                let known: Vec<&str> = group.key.keys().map(String::as_str).collect();
                return Err(Error::usage("the groups have no such key")
                    .with("key", name)
                    .with("keys", if known.is_empty() { "none".to_owned() } else { known.join(", ") })
                    .with("of", &self.name));
            }
            let values: Vec<&str> =
                filters.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
            self.groups.retain(|group| values.iter().any(|value| group.key[name].is_typed(value)));
            if let [_] = values.as_slice() {
                self.groups.iter_mut().for_each(|group| drop(group.key.remove(name)));
            }
        }
        if self.groups.is_empty() {
            return Err(Error::missing("no group has these keys").with("of", &self.name));
        }
        Ok(())
    }

    /// Leaves the metrics of a selection.
    pub fn select(&mut self, selection: &Selection) {
        for group in &mut self.groups {
            group.numbers.retain(|key, _| selection.contains(key));
        }
    }

    /// Whether any number of it says how far other rows would move it.
    pub fn has_noise(&self) -> bool {
        self.groups.iter().flat_map(|group| group.numbers.values()).any(|number| number.noise.is_some())
    }

    /// How many groups it has, and how many rows they have together.
    pub fn size(&self) -> (u64, u64) {
        (self.groups.len() as u64, self.groups.iter().map(|group| group.rows).fold(0, u64::saturating_add))
    }

    /// The keys that tell its groups apart.
    pub(super) fn key_names(&self) -> BTreeSet<&str> {
        self.groups.iter().flat_map(|group| group.key.keys()).map(String::as_str).collect()
    }
}

/// Settings that change what numbers mean, beside the conventions.
pub(super) const SETTINGS: [&str; 4] = ["normalize", "features", "labels", "head_rows"];

impl SideGroup {
    fn of(group: &GroupReport) -> Self {
        let made = &group.measurements;
        let replicates = group.replicates.as_ref();
        let noise = |metric: &Measured| {
            let (bar, replicates, value) = (metric.bar()?, replicates?, metric.value?);
            let (whole, without) = (replicates.whole.get(metric.key)?, replicates.values.get(metric.key)?);
            let blocks = replicates.blocks.iter().zip(&replicates.rows).zip(without);
            let without: Option<Vec<_>> =
                blocks.map(|((block, &rows), value)| Some((block.to_string(), rows, (*value)?))).collect();
            Some(Noise::new(value, (bar.se, bar.bias), *whole, &without?))
        };
        let number = |metric: &Measured| {
            let number = SideNumber {
                value: metric.value.filter(|value| value.is_finite()),
                reason: metric.reason.map(str::to_owned),
                rounding: made.accuracy.get(metric.key).copied().unwrap_or(0.0),
                noise: noise(metric),
                no_noise: metric.error_bar.and_then(std::result::Result::err).map(str::to_owned),
            };
            (metric.key.to_owned(), number)
        };
        Self {
            key: group.key.iter().cloned().collect(),
            rows: group.rows,
            classes: made.classes,
            dim: group.dim as u64,
            numbers: made.metrics.iter().map(number).collect(),
            means: made.class_means.clone(),
        }
    }
}
