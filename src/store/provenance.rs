//! What decides the numbers of a state besides its rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Filters;
use crate::archive::{Dtype, Key, Policy};
use crate::batch::LabelKind;
use crate::error::{Error, Result};

/// Under which conventions the rows of a state were counted.
///
/// States merge if they agree on all of them but the sets. The arithmetic is exact across the sets, and every row is
/// counted once whatever they are; so a merged state has those of all its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The names of the keys that make the groups, in their order.
    pub group_by: Vec<String>,
    /// The column of the vectors.
    pub features: String,
    /// The type of the numbers in it, if it holds bytes.
    pub dtype: Option<Dtype>,
    /// The column of the labels, if there is one.
    pub labels: Option<String>,
    /// The type of the labels.
    pub label_kind: LabelKind,
    /// The label whose rows were left out, as typed.
    pub ignore_label: Option<String>,
    /// Whether rows were divided by their length.
    pub normalize: bool,
    /// Whether the states hold scatter matrices.
    pub scatter: bool,
    /// Which rows were read.
    pub filters: BTreeSet<Filters>,
    /// The exponents of fixed grids; `None` stands for each chunk's own grid.
    pub exponents: BTreeSet<Option<i16>>,
    /// By how many bits each chunk's own grid was made finer.
    pub extra_bits: BTreeSet<u32>,
    /// What was done with nulls.
    pub nulls: BTreeSet<Policy>,
    /// What was done with NaN and infinities.
    pub nonfinite: BTreeSet<Policy>,
    /// How the rows of each group were dealt into blocks, if they were. Then each state is of a block, whose number comes
    /// after the keys of its group.
    pub blocks: Option<Dealing>,
}

/// The name of the key that blocks are: it comes after those of the groups.
pub const BLOCK: &str = "block";

/// How rows were dealt into blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dealing {
    /// How many blocks there are.
    pub blocks: u32,
    /// The key whose values were dealt, so that rows of one value lie in one block; `None` if single rows were.
    pub key: Option<String>,
}

impl fmt::Display for Dealing {
    /// `32`, `32 by document`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{} by {key}", self.blocks),
            None => self.blocks.fmt(f),
        }
    }
}

impl Dealing {
    /// The dealing that is [displayed](fmt::Display) as `text`.
    fn parse(text: &str) -> Option<Self> {
        let (blocks, key) = match text.split_once(" by ") {
            Some((blocks, key)) => (blocks, Some(key.to_owned())),
            None => (text, None),
        };
        Some(Self { blocks: blocks.parse().ok().filter(|&blocks| blocks >= 2)?, key })
    }
}

/// The names of the sets in files and records.
const SETS: [&str; 5] = ["extra_bits", "grid", "nonfinite", "nulls", "where"];

/// The grid of each chunk's own in files and records.
const CHUNK: &str = "chunk";

/// Values by the names that they have in files and records.
pub(super) type Texts = BTreeMap<String, BTreeSet<String>>;

/// A convention on which two states do not agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name in files and records.
    pub name: String,
    /// Its value in one, as text.
    pub mine: String,
    /// Its value in the other.
    pub theirs: String,
}

impl Provenance {
    /// All conventions but the keys, by their names in files and records, each with its values as text. Here alone they
    /// become text; [`from_texts`](Self::from_texts) reads it.
    pub(super) fn texts(&self) -> Texts {
        let one = |text: String| BTreeSet::from([text]);
        let optional = |text: &Option<String>| one(text.clone().unwrap_or_default());
        let policies = |set: &BTreeSet<Policy>| set.iter().map(|&policy| policy_name(policy).to_owned()).collect();
        let exponent = |exponent: &Option<i16>| exponent.map_or(CHUNK.to_owned(), |exponent| exponent.to_string());
        let texts = [
            ("extra_bits", self.extra_bits.iter().map(u32::to_string).collect()),
            ("features", one(self.features.clone())),
            ("grid", self.exponents.iter().map(exponent).collect()),
            ("ignore_label", optional(&self.ignore_label)),
            ("label_kind", one(self.label_kind.to_string())),
            ("labels", optional(&self.labels)),
            ("nonfinite", policies(&self.nonfinite)),
            ("nulls", policies(&self.nulls)),
            ("scatter", one(self.scatter.to_string())),
            ("where", self.filters.iter().map(Filters::to_string).collect()),
        ];
        // Only states of bytes have the first, and only those of rows at length 1 the second.
        let dtype = self.dtype.map(|dtype| ("dtype", one(dtype.name().to_owned())));
        let normalize = self.normalize.then(|| ("normalize", one("true".to_owned())));
        // And only states of blocks this one.
        let blocks = self.blocks.as_ref().map(|blocks| ("blocks", one(blocks.to_string())));
        let optional = dtype.into_iter().chain(normalize).chain(blocks);
        texts.into_iter().chain(optional).map(|(name, values)| (name.to_owned(), values)).collect()
    }

    /// Reads what [`texts`](Self::texts) wrote; `None` for anything that it does not write.
    pub(super) fn from_texts(group_by: Vec<String>, texts: &Texts) -> Option<Self> {
        let one = |name: &str| texts.get(name)?.first().cloned();
        let optional = |name: &str| one(name).filter(|text| !text.is_empty());
        let policies = |name: &str| texts.get(name)?.iter().map(|text| policy_of(text)).collect::<Option<_>>();
        let exponent = |text: &String| if text == CHUNK { Some(None) } else { text.parse().ok().map(Some) };
        let provenance = Self {
            group_by,
            features: one("features")?,
            dtype: one("dtype").and_then(|name| Dtype::from_name(&name)),
            labels: optional("labels"),
            label_kind: LabelKind::from_name(&one("label_kind")?)?,
            ignore_label: optional("ignore_label"),
            normalize: texts.contains_key("normalize"),
            scatter: one("scatter")?.parse().ok()?,
            filters: texts.get("where")?.iter().map(|text| Filters::parse(text)).collect(),
            exponents: texts.get("grid")?.iter().map(exponent).collect::<Option<_>>()?,
            extra_bits: texts.get("extra_bits")?.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?,
            nulls: policies("nulls")?,
            nonfinite: policies("nonfinite")?,
            blocks: one("blocks").and_then(|text| Dealing::parse(&text)),
        };
        // Unknown names and other spellings of a value are not written.
        (provenance.texts() == *texts).then_some(provenance)
    }

    /// All conventions but the keys, for people: several values are joined by ` | `, and what is not set is empty.
    pub fn shown(&self) -> BTreeMap<String, String> {
        self.texts().into_iter().map(|(name, values)| (name, joined(&values))).collect()
    }

    /// The names of the values in each state's key: those of its group, then that of its block.
    pub fn key_names(&self) -> Vec<String> {
        let block = self.blocks.as_ref().map(|_| BLOCK.to_owned());
        self.group_by.iter().cloned().chain(block).collect()
    }

    /// Adds the conventions of rows that are merged in.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the difference if the sums of both do not belong together.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if let Some(Difference { name, mine, theirs }) = self.difference_outside(other, &SETS) {
            return Err(Error::data("the states were made under different settings")
                .with("detail", format!("{name}: {} and {}", or_none(&mine), or_none(&theirs))));
        }
        self.filters.extend(other.filters.iter().cloned());
        self.exponents.extend(&other.exponents);
        self.extra_bits.extend(&other.extra_bits);
        self.nulls.extend(&other.nulls);
        self.nonfinite.extend(&other.nonfinite);
        Ok(())
    }

    /// The first convention that differs.
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        self.difference_outside(other, &[])
    }

    /// The first convention that differs, the filters aside.
    pub(super) fn difference_beyond_filters(&self, other: &Self) -> Option<Difference> {
        self.difference_outside(other, &["where"])
    }

    fn difference_outside(&self, other: &Self, left_out: &[&str]) -> Option<Difference> {
        if self.group_by != other.group_by {
            let (mine, theirs) = (self.group_by.join(","), other.group_by.join(","));
            return Some(Difference { name: "group-by".to_owned(), mine, theirs });
        }
        let (mine, theirs) = (self.texts(), other.texts());
        let names: BTreeSet<&String> = mine.keys().chain(theirs.keys()).collect();
        let mut names = names.into_iter().filter(|name| !left_out.contains(&name.as_str()));
        let name = names.find(|name| mine.get(*name) != theirs.get(*name))?;
        let text = |texts: &Texts| texts.get(name).map(joined).unwrap_or_default();
        Some(Difference { name: name.clone(), mine: text(&mine), theirs: text(&theirs) })
    }

    /// Says which group an error is about.
    pub(super) fn locate(&self, error: Error, key: &Key) -> Error {
        locate(error, &self.group_by, key)
    }
}

/// Says which group an error is about: the values of its keys, with their names.
pub(crate) fn locate(error: Error, names: &[String], key: &Key) -> Error {
    names.iter().zip(key).fold(error, |error, (name, value)| error.with("group", format!("{name}={value}")))
}

fn joined(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
}

fn policy_name(policy: Policy) -> &'static str {
    match policy {
        Policy::Fail => "fail",
        Policy::Skip => "skip",
    }
}

fn policy_of(name: &str) -> Option<Policy> {
    [Policy::Fail, Policy::Skip].into_iter().find(|&policy| policy_name(policy) == name)
}

/// A value for people who read an error.
pub(crate) fn or_none(value: &str) -> &str {
    if value.is_empty() { "none" } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provenance(features: &str, exponent: Option<i16>) -> Provenance {
        Provenance {
            group_by: vec!["epoch".to_owned()],
            features: features.to_owned(),
            dtype: None,
            labels: Some("label".to_owned()),
            label_kind: LabelKind::Int,
            ignore_label: None,
            normalize: false,
            scatter: true,
            filters: BTreeSet::from([Filters::new(vec![("a".to_owned(), "b | c".to_owned())])]),
            exponents: BTreeSet::from([exponent]),
            extra_bits: BTreeSet::from([0]),
            nulls: BTreeSet::from([Policy::Fail]),
            nonfinite: BTreeSet::from([Policy::Skip]),
            blocks: None,
        }
    }

    #[test]
    fn conventions_join_where_the_arithmetic_does() {
        let mut one = provenance("x", None);
        one.merge(&provenance("x", Some(-20))).unwrap();
        let mut other = provenance("x", Some(-20));
        other.merge(&provenance("x", None)).unwrap();
        assert_eq!(one, other);
        assert_eq!(one.shown()["grid"], "-20 | chunk");
        let error = one.merge(&provenance("y", None)).unwrap_err();
        assert_eq!(error.fact("detail"), Some("features: x and y"));
        let error = one.merge(&Provenance { group_by: Vec::new(), ..provenance("x", None) }).unwrap_err();
        assert_eq!(error.fact("detail"), Some("group-by: epoch and none"));
        let error = one.merge(&Provenance { dtype: Some(Dtype::Bf16), ..provenance("x", None) }).unwrap_err();
        assert_eq!(error.fact("detail"), Some("dtype: none and bf16"));
        let error = one.merge(&Provenance { normalize: true, ..provenance("x", None) }).unwrap_err();
        assert_eq!(error.fact("detail"), Some("normalize: none and true"));
    }

    #[test]
    fn text_is_read_as_it_was_written_and_no_other_text_is() {
        let mut merged = Provenance {
            dtype: Some(Dtype::F16),
            labels: None,
            ignore_label: Some("-1".to_owned()),
            normalize: true,
            blocks: Some(Dealing { blocks: 32, key: Some("doc by doc".to_owned()) }),
            ..provenance("x", None)
        };
        merged.exponents.extend([Some(-3), Some(-20), Some(7)]);
        merged.extra_bits.insert(10);
        merged.nulls.insert(Policy::Skip);
        merged.filters.insert(Filters::default());
        let keys = || merged.group_by.clone();
        for provenance in [&merged, &provenance("x", Some(-1))] {
            assert_eq!(Provenance::from_texts(keys(), &provenance.texts()).as_ref(), Some(provenance));
        }
        assert!(Provenance::from_texts(keys(), &Texts::new()).is_none());
        let wrong = [
            ("grid", "-020"),
            ("grid", "-20 | chunk"),
            ("grid", "fine"),
            ("extra_bits", "+3"),
            ("extra_bits", "-1"),
            ("nulls", "Skip"),
            ("nonfinite", ""),
            ("scatter", "yes"),
            ("label_kind", "float"),
            ("dtype", "f8"),
            ("normalize", "false"),
            ("where", "b=2 a=1"),
            ("where", "a"),
            ("blocks", "1"),
            ("blocks", "32 by"),
            ("blocks", "032"),
            ("device", "cpu"),
        ];
        for (name, value) in wrong {
            let mut texts = merged.texts();
            texts.insert(name.to_owned(), BTreeSet::from([value.to_owned()]));
            assert_eq!(Provenance::from_texts(keys(), &texts), None, "{name}: {value}");
        }
        let optional = ["dtype", "normalize", "blocks"];
        for name in merged.texts().into_keys().filter(|name| !optional.contains(&name.as_str())) {
            let mut texts = merged.texts();
            texts.remove(&name);
            assert_eq!(Provenance::from_texts(keys(), &texts), None, "without {name}");
        }
        // What only one value can be is not of two.
        let mut texts = merged.texts();
        texts.insert("features".to_owned(), BTreeSet::from(["x".to_owned(), "y".to_owned()]));
        assert_eq!(Provenance::from_texts(keys(), &texts), None);
    }
}
