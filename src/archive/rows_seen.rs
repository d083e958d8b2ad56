//! What the rows that were read have in columns by which nobody groups, and which files they are of.

use std::collections::{BTreeMap, BTreeSet};

use super::codes::{Coded, NULL};
use super::request::Key;
use crate::batch::Label;

/// The least and the greatest value of columns by name, in each group.
pub(super) type Ranges = BTreeMap<String, BTreeMap<Key, (Label, Label)>>;

/// Widens the range of a group.
pub(super) fn widen(ranges: &mut BTreeMap<Key, (Label, Label)>, key: &Key, (least, greatest): (Label, Label)) {
    match ranges.get_mut(key) {
        Some(known) => {
            if least < known.0 {
                known.0 = least;
            }
            if greatest > known.1 {
                known.1 = greatest;
            }
        }
        None => {
            ranges.insert(key.clone(), (least, greatest));
        }
    }
}

/// What rows have shown so far. It says the same whichever rows came first, and however often.
#[derive(Debug, Default)]
pub(super) struct RowsSeen {
    pub(super) ranges: Ranges,
    /// The files of each group, where columns make the groups.
    pub(super) files: BTreeMap<Key, BTreeSet<usize>>,
}

/// The columns of a chunk that are [watched](super::file_columns::FileColumns::watched), by name.
pub(super) type Watched = Vec<(String, Coded)>;

/// What some rows of one group show.
#[derive(Debug)]
pub(super) struct Noted {
    key: Key,
    file: Option<usize>,
    ranges: Vec<(String, (Label, Label))>,
}

impl Noted {
    /// What these rows show, if anything. `file` is the one that they are in, where columns make the groups.
    pub(super) fn of(
        key: &Key,
        file: Option<usize>,
        watched: &Watched,
        rows: &(impl Iterator<Item = usize> + Clone),
    ) -> Option<Self> {
        let file = file.filter(|_| rows.clone().next().is_some());
        let range = |(name, coded): &(String, Coded)| Some((name.clone(), range(coded, rows.clone())?));
        let ranges: Vec<_> = watched.iter().filter_map(range).collect();
        (file.is_some() || !ranges.is_empty()).then(|| Self { key: key.clone(), file, ranges })
    }
}

impl RowsSeen {
    pub(super) fn add(&mut self, noted: Noted) {
        let Noted { key, file, ranges } = noted;
        for (name, range) in ranges {
            widen(self.ranges.entry(name).or_default(), &key, range);
        }
        if let Some(file) = file {
            self.files.entry(key).or_default().insert(file);
        }
    }
}

/// The least and the greatest value of some rows; `None` if all are null.
fn range(coded: &Coded, rows: impl Iterator<Item = usize>) -> Option<(Label, Label)> {
    let mut occurs = vec![false; coded.values.len()];
    rows.map(|row| coded.codes[row]).filter(|&code| code != NULL).for_each(|code| occurs[code as usize] = true);
    let values = || coded.values.iter().zip(&occurs).filter(|(_, occurs)| **occurs).map(|(value, _)| value);
    values().min().cloned().zip(values().max().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_group_are_noted_by_their_extremes() {
        let int = |value: i128| Label::Int(value);
        let coded = Coded { codes: vec![0, 1, NULL, 2, 0], values: vec![int(5), int(9), int(1), int(100)] };
        let watched = vec![("epoch".to_owned(), coded)];
        let mut seen = RowsSeen::default();
        let mut note = |key: i128, file: usize, rows: &[usize]| {
            if let Some(noted) = Noted::of(&vec![int(key)], Some(file), &watched, &rows.iter().copied()) {
                seen.add(noted);
            }
        };
        note(0, 3, &[1]);
        note(0, 4, &[0, 4]);
        note(1, 3, &[2, 3]);
        note(2, 3, &[2]);
        note(3, 3, &[]);
        let epochs = &seen.ranges["epoch"];
        assert_eq!(epochs[&vec![int(0)]], (int(5), int(9)));
        assert_eq!(epochs[&vec![int(1)]], (int(1), int(1)));
        assert_eq!(epochs.len(), 2, "a group of nulls alone has no range");
        assert_eq!(seen.files[&vec![int(0)]], BTreeSet::from([3, 4]));
        assert_eq!(seen.files.len(), 3, "no row is of no file");
    }
}
