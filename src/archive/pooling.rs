//! Finds what is pooled into one group without the user asking for it: epochs, layers, runs or splits.

use std::collections::{BTreeMap, BTreeSet};

use super::discover::hive_keys;
use super::escape::escaped;
use super::keys::same_number;
use super::natural::natural;
use super::opened::Archive;
use super::rows_seen::{Ranges, widen};

/// Something in which rows of one group differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pooled {
    /// Its name, as `epoch`.
    pub(crate) key: String,
    /// Its values as they are written, in their order; of a column the least and the greatest.
    pub(crate) values: Vec<String>,
    pub(crate) place: PooledBy,
}

/// Where the values were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PooledBy {
    /// A hive key.
    Path,
    /// A number or a word in the names of files and directories.
    Name,
    /// A column of a well-known name.
    Column,
}

/// Words before a number that counts pieces of one thing. Other words before a number are taken for keys.
const PIECES: [&str; 34] = [
    "part",
    "parts",
    "shard",
    "chunk",
    "piece",
    "file",
    "bucket",
    "partition",
    "row",
    "rows",
    "group",
    "batch",
    "rank",
    "worker",
    "proc",
    "process",
    "gpu",
    "node",
    "host",
    "device",
    "task",
    "job",
    "of",
    "c",
    "data",
    "emb",
    "embs",
    "embedding",
    "embeddings",
    "feature",
    "features",
    "feat",
    "feats",
    "output",
];

/// Words that name a split, and what they name.
const SPLITS: [(&str, &str); 11] = [
    ("train", "train"),
    ("training", "train"),
    ("val", "val"),
    ("valid", "val"),
    ("validation", "val"),
    ("dev", "val"),
    ("test", "test"),
    ("testing", "test"),
    ("eval", "eval"),
    ("evaluation", "eval"),
    ("ood", "ood"),
];

/// Columns whose values are rarely pooled on purpose.
pub(super) const KEY_COLUMNS: [&str; 12] =
    ["epoch", "layer", "split", "run", "seed", "step", "iteration", "checkpoint", "fold", "model", "trial", "subset"];

/// Hive keys as they are written in a path.
type Keys = BTreeMap<String, String>;

/// What files of these [names](super::File::name) differ in within their groups, apart from keys that are filtered.
pub(crate) fn pooled(names: &BTreeSet<&str>, group_by: &[String], filtered: &BTreeSet<&str>) -> Vec<Pooled> {
    // Keys that are not in the paths may separate files whose names differ.
    let mut by_path = true;
    let mut groups: BTreeMap<Vec<Option<String>>, Vec<(&str, Keys)>> = BTreeMap::new();
    for &name in names {
        let keys = hive_keys(name);
        by_path &= group_by.iter().all(|key| keys.contains_key(key));
        groups.entry(group_by.iter().map(|key| keys.get(key).cloned()).collect()).or_default().push((name, keys));
    }
    differing(groups.into_values(), by_path, group_by, filtered)
}

/// The same of groups whose files are known; `by_name` says whether names apart from keys are compared too.
fn differing<'a>(
    groups: impl Iterator<Item = Vec<(&'a str, Keys)>>,
    by_name: bool,
    group_by: &[String],
    filtered: &BTreeSet<&str>,
) -> Vec<Pooled> {
    let mut differing: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
    for files in groups {
        let mut values: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
        let keys = files.iter().flat_map(|(_, keys)| keys);
        let free = keys.filter(|(key, _)| !group_by.contains(key) && !filtered.contains(key.as_str()));
        for (key, value) in free {
            values.entry(key).or_default().insert(value);
        }
        for (key, values) in values.into_iter().filter(|(_, values)| values.len() > 1) {
            differing.entry((key.clone(), true)).or_default().extend(values.into_iter().cloned());
        }
        if by_name {
            let names: Vec<String> = files.iter().map(|(name, _)| without_keys(name)).collect();
            for (key, values) in numbered(&names).into_iter().chain(splits(&names)) {
                differing.entry((key, false)).or_default().extend(values);
            }
        }
    }
    let pooled = differing.into_iter().map(|((key, in_path), values)| {
        let mut values: Vec<String> = values.into_iter().collect();
        values.sort_by(|a, b| natural(a, b));
        Pooled { key, values, place: if in_path { PooledBy::Path } else { PooledBy::Name } }
    });
    pooled.collect()
}

/// The components of a name that are not hive keys.
fn without_keys(name: &str) -> String {
    let (directories, file) = name.rsplit_once('/').unwrap_or(("", name));
    let plain = directories.split('/').filter(|part| !part.is_empty() && !part.contains('='));
    plain.chain([file]).collect::<Vec<_>>().join("/")
}

/// Names alike but for a number, by the word before it.
fn numbered(names: &[String]) -> BTreeMap<String, BTreeSet<String>> {
    let mut alike: BTreeMap<String, Vec<Vec<&str>>> = BTreeMap::new();
    for name in names {
        let digits = |c: char| c.is_ascii_digit();
        let template = name.split(|c| !digits(c)).filter(|run| !run.is_empty()).fold(name.clone(), |rest, run| {
            // From left to right: replaced runs contain no digits.
            rest.replacen(run, "#", 1)
        });
        alike.entry(template).or_default().push(name.split(|c| !digits(c)).filter(|run| !run.is_empty()).collect());
    }
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (template, numbers) in alike {
        let texts: Vec<&str> = template.split('#').collect();
        for (at, pair) in texts.windows(2).enumerate() {
            let values: BTreeSet<&str> = numbers.iter().filter_map(|numbers| numbers.get(at).copied()).collect();
            let after = pair[1].trim_start_matches(['-', '_', '.']);
            let counted = after == "of" || after.starts_with("of-") || after.starts_with("of_");
            if values.len() > 1
                && !counted
                && let Some(word) = last_word(pair[0])
                && !PIECES.contains(&word.as_str())
                && !SPLITS.iter().any(|(split, _)| *split == word)
            {
                found.entry(word).or_default().extend(values.into_iter().map(str::to_owned));
            }
        }
    }
    found
}

/// The letters before a number, apart from what separates them.
fn last_word(text: &str) -> Option<String> {
    let text = text.rsplit('/').next().unwrap_or(text).trim_end_matches(['-', '_', '.', ' ', '=']);
    let start = text.char_indices().rev().take_while(|(_, c)| c.is_alphabetic()).last().map(|(at, _)| at)?;
    Some(text[start..].to_lowercase())
}

/// What stands for the split of a name that has no word for one.
const NO_SPLIT: &str = "none";

/// Names of several splits, or of one split beside the same names without its word, as `test/x.npy` beside `x.npy`.
fn splits(names: &[String]) -> Option<(String, BTreeSet<String>)> {
    let split = |word: &String| SPLITS.iter().find(|(known, _)| known == word).map(|(_, split)| *split);
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut rest: [BTreeSet<Vec<String>>; 2] = Default::default();
    for name in names {
        let words: Vec<String> = name.split(|c: char| !c.is_alphabetic()).map(str::to_lowercase).collect();
        let own = words.iter().filter_map(split).next_back();
        found.extend(own);
        rest[usize::from(own.is_some())]
            .insert(words.into_iter().filter(|word| !word.is_empty() && split(word).is_none()).collect());
    }
    let [without, with] = rest;
    if !with.is_disjoint(&without) {
        found.insert(NO_SPLIT);
    }
    (found.len() > 1).then(|| ("split".to_owned(), found.into_iter().map(str::to_owned).collect()))
}

impl Pooled {
    /// What is pooled, and how to separate it.
    pub(crate) fn describe(&self) -> String {
        const SHOWN: usize = 6;
        let Self { key, values, place } = self;
        let key = escaped(key);
        let mut shown: Vec<String> = values.iter().take(SHOWN).map(|value| escaped(value)).collect();
        if let Some(last) = values.get(SHOWN..).and_then(<[String]>::last) {
            shown.truncate(SHOWN - 1);
            shown.extend(["…".to_owned(), escaped(last)]);
        }
        let count = values.len();
        let shown = shown.join(", ");
        match place {
            PooledBy::Path => format!("one group pools {count} values of {key} ({shown}): --group-by {key} parts them"),
            PooledBy::Name if values.iter().any(|value| value == NO_SPLIT) => format!(
                "one group pools files that differ in {key} ({shown}) by their names: name those that belong together"
            ),
            PooledBy::Name => format!(
                "one group pools files that differ in {key} ({shown}) by their names: name those that belong together, or \
                 write {{{key}}} into INPUT where it stands, for --group-by {key}"
            ),
            PooledBy::Column => {
                let (least, greatest) = (escaped(&values[0]), escaped(&values[count - 1]));
                format!(
                    "one group pools values of the column {key} from {least} to {greatest}: --group-by {key} parts them"
                )
            }
        }
    }
}

/// What is pooled, for records.
pub(crate) fn summary(pooled: &[Pooled]) -> String {
    let words = pooled.iter().map(|Pooled { key, values, place }| match (place, values.as_slice()) {
        (PooledBy::Column, [least, greatest]) => {
            format!("{} ({} to {})", escaped(key), escaped(least), escaped(greatest))
        }
        _ => format!("{} ({} values)", escaped(key), values.len()),
    });
    words.collect::<Vec<_>>().join(", ")
}

impl Archive {
    /// The values of a key, if paths or statistics show others than those wanted.
    pub(crate) fn beyond(&self, key: &str, wanted: &[&str]) -> Option<Vec<String>> {
        let wanted = |value: &str| wanted.iter().any(|wanted| *wanted == value || same_number(wanted, value));
        let in_paths = self.units.iter().filter_map(|unit| self.catalogue.files[unit.file].keys.get(key));
        let in_paths: BTreeSet<&String> = in_paths.collect();
        if in_paths.iter().any(|value| !wanted(value)) {
            let mut values: Vec<&String> = in_paths.into_iter().collect();
            values.sort_by(|a, b| natural(a, b));
            return Some(values.into_iter().map(|value| escaped(value)).collect());
        }
        let ranges = self.ranges.get(key)?.values();
        let (least, greatest) = ranges.cloned().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        let (least, greatest) = (least.to_string(), greatest.to_string());
        let beyond = !wanted(&least) || !wanted(&greatest);
        beyond.then(|| vec![format!("from {} to {}", escaped(&least), escaped(&greatest))])
    }

    /// What rows of one group differ in, as far as it is known before they are read: by the names of their files, and by
    /// statistics of columns of well-known names.
    pub(crate) fn pooled(&self) -> Vec<Pooled> {
        let names = self.units.iter().map(|unit| self.catalogue.files[unit.file].name.as_str()).collect();
        let mut found = pooled(&names, &self.group_by, &self.filtered());
        add_new(&mut found, mixed(&self.ranges));
        found
    }

    /// What only the rows have shown, as far as they were read.
    pub(crate) fn pooled_by_rows(&self) -> Vec<Pooled> {
        self.shown_by_rows(&self.pooled())
    }

    /// All of it, once rows were read.
    pub(crate) fn all_pooled(&self) -> Vec<Pooled> {
        let mut all = self.pooled();
        let more = self.shown_by_rows(&all);
        all.extend(more);
        all
    }

    /// What rows have shown besides what is known.
    fn shown_by_rows(&self, known: &[Pooled]) -> Vec<Pooled> {
        let seen = self.seen();
        let name = |file: &usize| self.catalogue.files[*file].name.as_str();
        let files = |files: &BTreeSet<usize>| files.iter().map(name).map(|name| (name, hive_keys(name))).collect();
        // Most groups are of the same files.
        let groups: BTreeSet<&BTreeSet<usize>> = seen.files.values().collect();
        let mut found = differing(groups.into_iter().map(files), true, &self.group_by, &self.filtered());
        let mut ranges = self.ranges.clone();
        for (key, groups) in &seen.ranges {
            let known = ranges.entry(key.clone()).or_default();
            for (group, range) in groups {
                widen(known, group, range.clone());
            }
        }
        add_new(&mut found, mixed(&ranges));
        found.retain(|pooled| !known.iter().any(|known| known.key == pooled.key));
        found
    }

    fn filtered(&self) -> BTreeSet<&str> {
        self.filters.iter().map(|filter| filter.name.as_str()).collect()
    }
}

/// Columns that have several values in one group, with the extremes of the first such group.
fn mixed(ranges: &Ranges) -> impl Iterator<Item = Pooled> {
    let columns = ranges.iter().filter(|(key, _)| KEY_COLUMNS.contains(&key.as_str()));
    columns.filter_map(|(key, groups)| {
        let (least, greatest) = groups.values().find(|(least, greatest)| least != greatest)?;
        let values = vec![least.to_string(), greatest.to_string()];
        Some(Pooled { key: key.clone(), values, place: PooledBy::Column })
    })
}

/// Adds what has no entry yet.
fn add_new(pooled: &mut Vec<Pooled>, more: impl Iterator<Item = Pooled>) {
    for one in more {
        if !pooled.iter().any(|known| known.key == one.key) {
            pooled.push(one);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(names: &[&str], group_by: &[&str], filtered: &[&str]) -> Vec<String> {
        let group_by: Vec<String> = group_by.iter().map(ToString::to_string).collect();
        let pooled = pooled(&names.iter().copied().collect(), &group_by, &filtered.iter().copied().collect());
        pooled.into_iter().map(|pooled| format!("{}: {}", pooled.key, pooled.values.join(" "))).collect()
    }

    const HIVE: [&str; 4] = [
        "epoch=10/layer=h1/part-0.parquet",
        "epoch=9/layer=h1/part-0.parquet",
        "epoch=9/layer=h1/part-1.parquet",
        "epoch=9/layer=h2/part-0.parquet",
    ];

    #[test]
    fn hive_keys_that_make_no_groups_are_pooled() {
        assert_eq!(found(&HIVE, &[], &[]), ["epoch: 9 10", "layer: h1 h2"]);
        assert_eq!(found(&HIVE, &["layer"], &[]), ["epoch: 9 10"]);
        assert_eq!(found(&HIVE, &["layer"], &["epoch"]), [] as [&str; 0]);
        assert_eq!(found(&HIVE, &["epoch", "layer"], &[]), [] as [&str; 0]);
        // A key that follows another parts nothing that is not parted.
        assert_eq!(found(&["epoch=1/run=a/x", "epoch=2/run=b/x"], &["epoch"], &[]), [] as [&str; 0]);
    }

    #[test]
    fn names_alike_but_for_a_number_are_pooled_unless_it_counts_pieces() {
        let epochs = ["epoch_000.parquet", "epoch_001.parquet", "epoch_010.parquet"];
        assert_eq!(found(&epochs, &[], &[]), ["epoch: 000 001 010"]);
        assert_eq!(found(&["run1/h3.parquet", "run1/h4.parquet"], &[], &[]), ["h: 3 4"]);
        assert_eq!(found(&["run1/x.parquet", "run2/x.parquet"], &[], &[]), ["run: 1 2"]);
        assert_eq!(found(&["ckpt-5/part-0.parquet", "ckpt-5/part-1.parquet"], &[], &[]), [] as [&str; 0]);
        let pieces = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"];
        assert_eq!(found(&pieces, &[], &[]), [] as [&str; 0]);
        assert_eq!(found(&["0000.parquet", "0001.parquet"], &[], &[]), [] as [&str; 0]);
        // A column may be what parts them.
        assert_eq!(found(&epochs, &["epoch"], &[]), [] as [&str; 0]);
        assert_eq!(found(&["a1b.parquet", "c2d.parquet"], &[], &[]), [] as [&str; 0]);
    }

    #[test]
    fn splits_are_words() {
        assert_eq!(found(&["train.parquet", "Test.parquet"], &[], &[]), ["split: test train"]);
        assert_eq!(found(&["val/0.parquet", "validation/1.parquet"], &[], &[]), [] as [&str; 0]);
        assert_eq!(found(&["trained/0.parquet", "tests/1.parquet"], &[], &[]), [] as [&str; 0]);
        // A file may stand for a split that nobody named.
        assert_eq!(found(&["x.npy", "test/x.npy"], &[], &[]), ["split: none test"]);
        assert_eq!(found(&["part_0.parquet", "part_1.parquet", "part_val_0.parquet"], &[], &[]), ["split: none val"]);
        assert_eq!(found(&["heads.npy", "test/x.npy"], &[], &[]), [] as [&str; 0]);
    }

    #[test]
    fn what_is_pooled_is_said_with_what_parts_it() {
        let values = (0..9).map(|epoch| epoch.to_string()).collect();
        let mut pooled = Pooled { key: "epoch".to_owned(), values, place: PooledBy::Path };
        assert_eq!(
            pooled.describe(),
            "one group pools 9 values of epoch (0, 1, 2, 3, 4, …, 8): --group-by epoch parts them"
        );
        assert_eq!(summary(std::slice::from_ref(&pooled)), "epoch (9 values)");
        pooled = Pooled { key: "epoch".to_owned(), values: vec!["0".into(), "9".into()], place: PooledBy::Column };
        assert!(pooled.describe().contains("from 0 to 9"), "{}", pooled.describe());
        assert_eq!(summary(&[pooled]), "epoch (0 to 9)");
        let values = vec!["none".into(), "test".into()];
        let named = Pooled { key: "split".to_owned(), values, place: PooledBy::Name };
        assert!(named.describe().ends_with("(none, test) by their names: name those that belong together"));
    }
}
