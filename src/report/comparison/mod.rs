//! How the numbers of one run differ from those of another, and which differences are more than noise.

mod change;
mod condition;
mod parse;
mod side;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub use self::change::{Change, Verdict};
pub use self::condition::Condition;
pub use self::side::Side;
use self::side::SideGroup;
use crate::archive::escaped;
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::{MeansChange, cards};

/// The groups of one run beside the same groups of others.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The command that made it, as it was typed.
    pub command: Option<String>,
    /// What the others are compared with.
    pub base: String,
    /// What is compared with it.
    pub others: Vec<String>,
    /// The names of keys, in the order in which the base has them.
    pub key_order: Vec<String>,
    /// The conventions of all numbers.
    pub options: BTreeMap<String, Value>,
    /// Two groups each, by the others and their keys.
    pub pairs: Vec<GroupPair>,
    /// Groups that have no counterpart, and further remarks.
    pub remarks: Vec<String>,
    /// Groups of the base that one of the others lacks, for people.
    pub lacking: Vec<String>,
    /// The [conditions](Condition) that hold, with what holds.
    pub failures: Vec<String>,
}

/// A group of the base, and the same group of another run.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupPair {
    /// Which of the others, by its place.
    pub other: usize,
    /// The keys of both groups, as far as they are equal.
    pub key: BTreeMap<String, Label>,
    /// `N` of both.
    pub rows: (u64, u64),
    /// `K` of both.
    pub classes: (u64, u64),
    /// `D` of both.
    pub dims: (u64, u64),
    /// The metrics of both, in the catalogue's order.
    pub changes: Vec<Change>,
    /// How the class means differ; `None` if one side is records alone.
    pub means: Option<MeansChange>,
}

impl Comparison {
    /// Compares every group of `others` with the group of `base` that has the same keys. Two sides of one group each are
    /// compared whatever their keys are.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if keys or conventions differ; [`Missing`](crate::error::ErrorKind::Missing)
    /// if no two groups are the same.
    pub fn of(base: &Side, others: &[Side]) -> Result<Self> {
        let mut comparison = Self {
            command: None,
            base: base.name.clone(),
            others: others.iter().map(|other| other.name.clone()).collect(),
            key_order: base.key_order.clone(),
            options: base.options.clone(),
            pairs: Vec::new(),
            remarks: Vec::new(),
            lacking: Vec::new(),
            failures: Vec::new(),
        };
        for (at, other) in others.iter().enumerate() {
            comparison.check_conventions(base, other)?;
            comparison.match_groups(base, other, at)?;
        }
        Ok(comparison)
    }

    /// All changes, with the pair that each belongs to.
    pub(in crate::report) fn changes(&self) -> impl Iterator<Item = (&GroupPair, &Change)> {
        self.pairs.iter().flat_map(|pair| pair.changes.iter().map(move |change| (pair, change)))
    }

    /// The names of the base and of the others, without the beginning that all of them share, as far as that ends a part of
    /// a path or of what picks groups.
    pub(in crate::report) fn short_names(&self) -> Vec<String> {
        let names: Vec<&str> = std::iter::once(&self.base).chain(&self.others).map(String::as_str).collect();
        let is_shared = |&(at, c): &(usize, char)| names.iter().all(|name| name[at..].starts_with(c));
        let shared = names[0].char_indices().take_while(is_shared);
        let ends = shared.filter(|(_, c)| matches!(c, '/' | '?' | '&' | '=')).map(|(at, _)| at + 1);
        let start = ends.last().unwrap_or(0);
        let is_short = names.iter().all(|name| name.len() > start);
        names.iter().map(|name| name[if is_short { start } else { 0 }..].to_owned()).collect()
    }

    /// The keys of a pair, in the order of the base.
    pub(in crate::report) fn keys_of<'a>(
        &'a self,
        pair: &'a GroupPair,
    ) -> impl Iterator<Item = (&'a String, &'a Label)> {
        self.key_order.iter().filter_map(|name| pair.key.get_key_value(name))
    }

    /// A pair for people: the name of its second side, and its keys.
    pub(in crate::report) fn pair_name(&self, pair: &GroupPair) -> String {
        let keys = self.keys_of(pair).map(|(name, value)| format!("{}={}", escaped(name), escaped(&value.to_string())));
        let of = (self.others.len() > 1).then(|| self.short_names()[pair.other + 1].clone());
        of.into_iter().chain(keys).collect::<Vec<_>>().join(" · ")
    }

    fn check_conventions(&mut self, base: &Side, other: &Side) -> Result<()> {
        for (name, mine) in &base.options {
            match other.options.get(name) {
                Some(theirs) if theirs != mine => {
                    return Err(Error::usage("the two were measured under different conventions")
                        .with("convention", name)
                        .with("base", format!("{} ({mine})", base.name))
                        .with("other", format!("{} ({theirs})", other.name))
                        .help(format!("measure both with the same --option {name}=…")));
                }
                _ => {}
            }
        }
        let is_several = self.others.len() > 1;
        let place = |side: &Side, place: &str| if is_several { side.name.clone() } else { format!("the {place}") };
        let (mine, theirs) = (place(base, "base"), place(other, "other"));
        // Records a line hold numbers alone.
        for (side, place) in [(base, &mine), (other, &theirs)] {
            let remark =
                format!("under which conventions {place} was measured is not known: records a line do not say it");
            if side.options.is_empty() && !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
        if base.options.is_empty() || other.options.is_empty() {
            return Ok(());
        }
        for name in base.settings.keys().chain(other.settings.keys()).collect::<BTreeSet<_>>() {
            let shown = |side: &Side| escaped(side.settings.get(name).map_or("none", String::as_str));
            if shown(base) != shown(other) {
                self.remarks.push(format!("{name} differs: {} in {mine}, {} in {theirs}", shown(base), shown(other)));
            }
        }
        Ok(())
    }

    fn match_groups(&mut self, base: &Side, other: &Side, at: usize) -> Result<()> {
        if let ([mine], [theirs]) = (base.groups.as_slice(), other.groups.as_slice()) {
            self.pairs.push(pair(mine, theirs, at));
            return Ok(());
        }
        let (mine, theirs) = (base.key_names(), other.key_names());
        if mine != theirs {
            let listed = |names: &BTreeSet<&str>| match names.iter().map(|name| escaped(name)).collect::<Vec<_>>() {
                names if names.is_empty() => "none".to_owned(),
                names => names.join(", "),
            };
            let more = if theirs.is_superset(&mine) { Some(other) } else { mine.is_superset(&theirs).then_some(base) };
            let grouped = more.map_or_else(String::new, |side| {
                let keys: Vec<String> = side.key_order.iter().map(|key| escaped(key)).collect();
                format!("--group-by {} makes such groups of rows that are read now; or ", keys.join(","))
            });
            return Err(Error::usage("the groups of the two have different keys")
                .with("base", format!("{} ({})", base.name, listed(&mine)))
                .with("other", format!("{} ({})", other.name, listed(&theirs)))
                .help(format!("{grouped}pick one value of a key that only one side has: 'PATH?key=value'")));
        }
        let known: BTreeMap<&BTreeMap<String, Label>, &SideGroup> =
            base.groups.iter().map(|group| (&group.key, group)).collect();
        let mut matched = BTreeSet::new();
        let mut only_other = 0;
        for group in &other.groups {
            match known.get(&group.key) {
                Some(mine) => {
                    matched.insert(&group.key);
                    self.pairs.push(pair(mine, group, at));
                }
                None => only_other += 1,
            }
        }
        if matched.is_empty() {
            return Err(Error::missing("no group of the one is a group of the other")
                .with("base", &base.name)
                .with("other", &other.name)
                .help("pick groups: 'PATH?key=value'; a key with one value is not compared"));
        }
        let lacks = base.groups.iter().filter(|group| !matched.contains(&group.key)).map(|group| {
            let keys: Vec<String> = group.key.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} has no group {}", other.name, escaped(&keys.join(" ")))
        });
        self.lacking.extend(lacks);
        for (count, name) in [(base.groups.len() - matched.len(), &base.name), (only_other, &other.name)] {
            if count > 0 {
                let groups = if count == 1 { "1 group is".to_owned() } else { format!("{count} groups are") };
                self.remarks.push(format!("{groups} only in {name}, and not compared"));
            }
        }
        Ok(())
    }
}

fn pair(base: &SideGroup, other: &SideGroup, at: usize) -> GroupPair {
    let same = |(name, value): &(&String, &Label)| other.key.get(*name) == Some(*value);
    let key = base.key.iter().filter(same).map(|(name, value)| (name.clone(), value.clone()));
    let both =
        cards().iter().filter_map(|card| Some((card, base.numbers.get(card.key)?, other.numbers.get(card.key)?)));
    GroupPair {
        other: at,
        key: key.collect(),
        rows: (base.rows, other.rows),
        classes: (base.classes, other.classes),
        dims: (base.dim, other.dim),
        changes: both.map(|(card, mine, theirs)| Change::between(card, mine, theirs)).collect(),
        means: base.means.as_ref().zip(other.means.as_ref()).map(|(mine, theirs)| mine.change_to(theirs)),
    }
}

#[cfg(test)]
mod tests;
