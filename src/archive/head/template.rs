//! `{key}` and `{key:03}` in the path of a head, and what stands for them.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::braces::{self, is_component, padded};
use crate::archive::discover::hive;
use crate::archive::escaped;
use crate::batch::Label;
use crate::error::{Error, Result};

/// Numbers as paths write them: `003` where the group's value is 3.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spellings(BTreeMap<String, BTreeMap<i128, BTreeSet<String>>>);

impl Spellings {
    /// Of pairs of a key and its value as written.
    pub fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut spellings = Self::default();
        for (key, value) in pairs {
            let Ok(number) = value.parse::<i64>() else { continue };
            let known = spellings.0.entry(key.to_owned()).or_default().entry(number.into()).or_default();
            if !known.contains(value) {
                known.insert(value.to_owned());
            }
        }
        spellings
    }

    /// Of the directories called `key=value` in paths.
    pub fn of_paths<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let pairs: BTreeSet<(String, String)> = paths.flat_map(|path| path.split('/').filter_map(hive)).collect();
        Self::of(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
    }

    /// The ways in which a value is written; its plain form if no directory says otherwise.
    fn of_value(&self, key: &str, value: &Label) -> Vec<String> {
        let written = match value {
            Label::Int(number) => self.0.get(key).and_then(|values| values.get(number)),
            Label::Bool(_) | Label::Text(_) => None,
        };
        written.map_or_else(|| vec![value.to_string()], |written| written.iter().cloned().collect())
    }

    /// In how many ways the values of a group are written, the most of any key.
    pub(super) fn ways(&self, key: &[(String, Label)]) -> usize {
        key.iter().map(|(name, value)| self.of_value(name, value).len()).max().unwrap_or(1)
    }
}

/// How numbers are written into a path.
#[derive(Clone, Copy)]
pub(super) enum Spelling<'a> {
    /// The way of this number, of those in which paths write them.
    Written(&'a Spellings, usize),
    /// Without leading zeros.
    Plain,
}

/// Fills a template of a path: every value is one component of it, or a part of one.
pub(super) fn fill_path(text: &str, key: &[(String, Label)], spelling: Spelling<'_>) -> Result<String> {
    fill(text, key, spelling, |name, value| {
        if !is_component(value) {
            return Err(Error::usage("a value cannot stand in the path of a head")
                .with("key", escaped(name))
                .with("value", format!("\"{}\"", escaped(value)))
                .with("detail", "it is not the name of one file or directory")
                .help(format!("name the head without {{{}}}; --head-for says where it belongs", escaped(name))));
        }
        Ok(())
    })
}

/// Fills a template of a name, which may hold anything.
pub(super) fn fill_name(text: &str, key: &[(String, Label)], spelling: Spelling<'_>) -> Result<String> {
    fill(text, key, spelling, |_, _| Ok(()))
}

fn fill(
    text: &str,
    key: &[(String, Label)],
    spelling: Spelling<'_>,
    check: impl Fn(&str, &str) -> Result<()>,
) -> Result<String> {
    braces::fill(text, |wanted, width| {
        let (name, value) = key.iter().find(|(name, _)| name == wanted).ok_or_else(|| {
            Error::usage("the head names a key that the groups do not have")
                .with("head", escaped(text))
                .with("key", escaped(wanted))
                .help(format!("--group-by {}", escaped(wanted)))
        })?;
        let value = match (width, spelling) {
            (0, Spelling::Plain) => value.to_string(),
            (0, Spelling::Written(spellings, way)) => {
                let written = spellings.of_value(name, value);
                written[way.min(written.len() - 1)].clone()
            }
            (width, _) => padded(&value.to_string(), width),
        };
        check(name, &value)?;
        Ok(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn key() -> Vec<(String, Label)> {
        vec![("epoch".to_owned(), Label::Int(3)), ("layer".to_owned(), Label::Text("h3".into()))]
    }

    #[test]
    fn numbers_are_filled_as_they_are_written_or_padded() {
        let spellings = Spellings::of([("epoch", "003"), ("epoch", "010"), ("layer", "h3")].into_iter());
        let written = |text: &str| fill_path(text, &key(), Spelling::Written(&spellings, 0)).unwrap();
        assert_eq!(written("{layer}/e{epoch}.npy"), "h3/e003.npy");
        assert_eq!(written("e{epoch:05}.npy"), "e00003.npy");
        assert_eq!(written("e{epoch:02d}.npy"), "e03.npy");
        assert_eq!(fill_path("e{epoch}.npy", &key(), Spelling::Plain).unwrap(), "e3.npy");
        assert_eq!(Spellings::of_paths(["a/epoch=003/p.parquet", "epoch=x/q"].into_iter()).ways(&key()), 1);
        let both = Spellings::of_paths(["epoch=003/p", "epoch=3/p"].into_iter());
        assert_eq!(both.ways(&key()), 2);
        let none = Spellings::default();
        assert_eq!(fill_name("{layer}", &key(), Spelling::Written(&none, 0)).unwrap(), "h3");
    }

    #[test]
    fn a_value_fills_one_component_of_a_path() {
        for value in ["../../secret", "..", ".", "", "a/b", "a\\b", "a\0b", "/etc"] {
            let key = vec![("run".to_owned(), Label::Text(value.into()))];
            for text in ["heads/{run}.npy", "{run}"] {
                let error = fill_path(text, &key, Spelling::Plain).unwrap_err();
                assert_eq!((error.kind(), error.fact("key")), (ErrorKind::Usage, Some("run")), "{value}");
            }
            assert_eq!(fill_name("{run}", &key, Spelling::Plain).unwrap(), value);
        }
        let key = vec![("run".to_owned(), Label::Text("..a".into()))];
        assert_eq!(fill_path("{run}.npy", &key, Spelling::Plain).unwrap(), "..a.npy");
    }
}
