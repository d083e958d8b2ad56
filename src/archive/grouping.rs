//! Assigns rows to groups.

use std::collections::HashMap;

use super::codes::{Coded, NULL};
use super::escape::escaped;
use super::file_columns::{FileColumns, KeyOrigin};
use super::keys::Filter;
use super::request::Key;
use crate::batch::Label;
use crate::error::{Error, Result};

/// Which group each row of a chunk belongs to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    /// The keys of the groups that occur.
    pub(super) keys: Vec<Key>,
    /// The group of each row, or [`NULL`] for rows that do not pass the filters; `None` if all rows are of the first group.
    pub(super) of_row: Option<Vec<u32>>,
}

impl Grouping {
    /// Groups `rows` rows by keys of these names; the first row is `base` of the row group.
    pub(super) fn new(
        names: &[String],
        columns: &FileColumns,
        filters: &[Filter],
        coded: &HashMap<usize, Coded>,
        rows: usize,
        base: u64,
    ) -> Result<Self> {
        let column = |origin: &KeyOrigin| match origin {
            KeyOrigin::Path(_) => None,
            KeyOrigin::Column(root) => coded.get(root),
        };
        let tests: Vec<(&Coded, Vec<bool>)> = (columns.filters.iter().zip(filters))
            .filter_map(|(origin, filter)| column(origin).map(|coded| (coded, filter)))
            .map(|(coded, filter)| {
                coded.values.iter().for_each(|value| filter.meet(value));
                (coded, coded.values.iter().map(|value| filter.accepts(value)).collect())
            })
            .collect();
        let varying: Vec<&Coded> = columns.keys.iter().filter_map(column).collect();
        let key = |codes: &[u32]| {
            let mut codes = codes.iter();
            let value = |origin: &KeyOrigin| match (origin, column(origin)) {
                (KeyOrigin::Path(value), _) => value.clone(),
                // `codes` has one for each column among the keys.
                (_, coded) => {
                    coded.zip(codes.next()).map_or(Label::Bool(false), |(c, &code)| c.values[code as usize].clone())
                }
            };
            columns.keys.iter().map(value).collect::<Key>()
        };
        if tests.is_empty() && varying.is_empty() {
            return Ok(Self { keys: vec![key(&[])], of_row: None });
        }
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut keys = Vec::new();
        let mut of_row = Vec::with_capacity(rows);
        let mut codes = Vec::new();
        for row in 0..rows {
            let passes = |(coded, accepted): &(&Coded, Vec<bool>)| {
                accepted.get(coded.codes[row] as usize).copied().unwrap_or(false)
            };
            if !tests.iter().all(passes) {
                of_row.push(NULL);
                continue;
            }
            codes.clear();
            codes.extend(varying.iter().map(|coded| coded.codes[row]));
            if let Some(at) = codes.iter().position(|&code| code == NULL) {
                let name = columns.keys.iter().zip(names).filter(|(origin, _)| column(origin).is_some()).nth(at);
                let name = name.map_or_else(String::new, |(_, name)| escaped(name));
                return Err(Error::data("null in a group column")
                    .with("row", base + row as u64)
                    .with("column", &name)
                    .help(format!("--where {name}=VALUE for each value that is wanted leaves such rows out")));
            }
            let group = if let Some(&group) = known.get(&codes) {
                group
            } else {
                keys.push(key(&codes));
                known.insert(codes.clone(), keys.len() as u32 - 1);
                keys.len() as u32 - 1
            };
            of_row.push(group);
        }
        if keys.len() == 1 && !of_row.contains(&NULL) {
            return Ok(Self { keys, of_row: None });
        }
        Ok(Self { keys, of_row: Some(of_row) })
    }

    /// The group of a row.
    pub(super) fn of(&self, row: usize) -> Option<usize> {
        let group = self.of_row.as_ref().map_or(0, |groups| groups[row]);
        (group != NULL).then_some(group as usize)
    }
}
