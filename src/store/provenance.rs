//! What decides the numbers of a state, as far as it is not in the rows.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::Key;
use crate::error::{Error, Result};

/// Settings of which a merged state may have several: the arithmetic is exact across them, and rows are counted once
/// whatever they were.
const JOINED: [&str; 5] = ["extra_bits", "grid", "nonfinite", "nulls", "where"];

/// The conventions under which rows were counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The names of the keys that make the groups, in their order.
    pub keys: Vec<String>,
    pub(super) values: BTreeMap<String, BTreeSet<String>>,
}

impl Settings {
    /// Conventions `name`, `value`, under these keys.
    pub fn new(keys: Vec<String>, values: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), BTreeSet::from([value])));
        Self { keys, values: values.collect() }
    }

    /// The value of a setting; several are joined by ` | `, and what was never set is empty.
    pub fn get(&self, name: &str) -> String {
        let values = self.values.get(name).into_iter().flatten();
        values.map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// All settings by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, String)> {
        self.values.keys().map(|name| (name.as_str(), self.get(name)))
    }

    /// Takes over the settings of rows that are merged in.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the difference if the sums of both do not belong together.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if let Some((name, mine, theirs)) = self.difference(other, &JOINED) {
            return Err(Error::data("the states were made under different settings")
                .with("detail", format!("{name}: {} and {}", shown(&mine), shown(&theirs))));
        }
        for (name, values) in &other.values {
            self.values.entry(name.clone()).or_default().extend(values.iter().cloned());
        }
        Ok(())
    }

    /// The first setting that differs, apart from those `left_out`: its name, ours, and theirs.
    pub fn difference(&self, other: &Self, left_out: &[&str]) -> Option<(String, String, String)> {
        if self.keys != other.keys {
            return Some(("group-by".to_owned(), self.keys.join(","), other.keys.join(",")));
        }
        let names: BTreeSet<&String> = self.values.keys().chain(other.values.keys()).collect();
        let mut names = names.into_iter().filter(|name| !left_out.contains(&name.as_str()));
        let differs = names.find(|name| self.values.get(*name) != other.values.get(*name))?;
        Some((differs.clone(), self.get(differs), other.get(differs)))
    }

    /// Says which group an error is about.
    pub(super) fn locate(&self, error: Error, key: &Key) -> Error {
        self.keys.iter().zip(key).fold(error, |error, (name, value)| error.with("group", format!("{name}={value}")))
    }
}

fn shown(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(features: &str, grid: &str) -> Settings {
        Settings::new(vec!["epoch".to_owned()], [("features", features.to_owned()), ("grid", grid.to_owned())])
    }

    #[test]
    fn settings_join_where_the_arithmetic_does() {
        let mut one = settings("x", "chunk");
        one.merge(&settings("x", "-20")).unwrap();
        let mut other = settings("x", "-20");
        other.merge(&settings("x", "chunk")).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.get("grid"), "-20 | chunk");
        let error = one.merge(&settings("y", "chunk")).unwrap_err();
        assert_eq!(error.fact("detail"), Some("features: x and y"));
        let error = one.merge(&Settings::default()).unwrap_err();
        assert_eq!(error.fact("detail"), Some("group-by: epoch and none"));
    }
}
