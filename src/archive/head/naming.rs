//! Which row of a head is which class, and what classes are called: decided once, the same for every group of a run.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::{ClassNames, Outline};
use crate::archive::escaped;
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result, nearest};

/// How classes find their rows in a head that does not name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadRows {
    /// The label's number is the row, of texts that are numbers too.
    Label,
    /// The label's number less one is the row.
    OneBased,
    /// Row `i` is the `i`-th of all labels of the run: numbers by value, texts as texts sort.
    Rank,
    /// Row `i` is the class of name `i`.
    Names(ClassNames),
}

impl HeadRows {
    /// Parses `label`, `rank`, `one-based` or `names:FILE`, and reads the file.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for anything else; those of [`ClassNames::read`].
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            _ if text == "label" => Ok(Self::Label),
            _ if text == "one-based" => Ok(Self::OneBased),
            _ if text == "rank" => Ok(Self::Rank),
            Some(("names", file)) if !file.is_empty() => Ok(Self::Names(ClassNames::read(Path::new(file))?)),
            _ => {
                let near = nearest(text, ["label", "one-based", "rank", "names:FILE"]);
                let near = near.first().map_or(String::new(), |near| format!("did you mean {near}? "));
                Err(Error::usage("rows of a head cannot be found so")
                    .with("head rows", escaped(text))
                    .help(format!("{near}One of label, one-based, rank, names:FILE")))
            }
        }
    }
}

/// How classes are found in heads, and what they are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// How classes find their rows; `None` leaves it to the labels and the head, where they are clear.
    pub rows: Option<HeadRows>,
    /// What the classes of rows 0, 1, … are called.
    pub names: Option<ClassNames>,
    /// All labels of the run, by which [`HeadRows::Rank`] counts; a group's own labels where they are not known.
    pub labels: Option<Arc<BTreeSet<Label>>>,
}

/// How the classes of a run find their rows, once it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// The head's column `class` names its rows.
    Named,
    /// [`HeadRows::Label`]
    Label,
    /// [`HeadRows::OneBased`]
    OneBased,
    /// [`HeadRows::Rank`]
    Rank,
    /// [`HeadRows::Names`]
    Names(&'a ClassNames),
}

impl Way<'_> {
    /// What records say: what `--head-rows` takes, or `class` for the head's own column.
    pub fn code(self) -> String {
        match self {
            Self::Named => "class".to_owned(),
            Self::Label => "label".to_owned(),
            Self::OneBased => "one-based".to_owned(),
            Self::Rank => "rank".to_owned(),
            Self::Names(names) => format!("names:{}", names.file()),
        }
    }
}

impl fmt::Display for Way<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("by the head's column `class`"),
            Self::Label => f.write_str("label = number of the row, from 0"),
            Self::OneBased => f.write_str("label − 1 = number of the row, from 0"),
            Self::Rank => f.write_str("row i is the i-th label in order"),
            Self::Names(names) => write!(f, "row i is entry i of {}", escaped(names.file())),
        }
    }
}

impl Naming {
    /// How classes of this kind find their rows in a head: no matter which of them a group has.
    ///
    /// Unless the user says so, names of rows are looked up, and integers are numbers of rows; `false` and `true` are rows
    /// 0 and 1 of two. Nothing else is guessed.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if the head names its rows and the user does so, too;
    /// [`Data`](crate::error::ErrorKind::Data) if it is not clear which row is whose, with some of the labels.
    pub fn way(&self, outline: &Outline, kind: LabelKind, labels: &BTreeSet<Label>) -> Result<Way<'_>> {
        match (&self.rows, &self.names) {
            (Some(_), _) if outline.row_of.is_some() => Err(outline.located(
                Error::usage("the head names its rows itself, by its column `class`").help("leave --head-rows out"),
            )),
            _ if outline.row_of.is_some() => Ok(Way::Named),
            (Some(HeadRows::Label), _) => Ok(Way::Label),
            (Some(HeadRows::OneBased), _) => Ok(Way::OneBased),
            (Some(HeadRows::Rank), _) => Ok(Way::Rank),
            (Some(HeadRows::Names(names)), _) => Ok(Way::Names(names)),
            (None, Some(names)) if kind == LabelKind::Text => Ok(Way::Names(names)),
            (None, _) if kind == LabelKind::Int || (kind == LabelKind::Bool && outline.rows == 2) => Ok(Way::Label),
            (None, _) => Err(unclear(outline, labels, None)),
        }
    }

    /// The rows of these classes, in their order.
    ///
    /// # Errors
    ///
    /// Those of [`way`](Self::way); [`Data`](crate::error::ErrorKind::Data) if a class has no row, or two have one.
    pub fn rows(&self, outline: &Outline, labels: &[Label]) -> Result<Vec<usize>> {
        let Some(kind) = labels.first().map(Label::kind) else { return Ok(Vec::new()) };
        let known = || labels.iter().cloned().collect();
        let rows = match self.way(outline, kind, &known())? {
            Way::Named => named_rows(outline, labels),
            Way::Label => self.numbered_rows(outline, labels, 0),
            Way::OneBased => self.numbered_rows(outline, labels, 1),
            Way::Rank => match &self.labels {
                Some(all) => ranked_rows(outline, labels, all),
                None => ranked_rows(outline, labels, &known()),
            },
            Way::Names(names) if names.are_those_of(outline.rows) => {
                labels.iter().map(|label| names.number(&label.to_string())).collect()
            }
            Way::Names(names) => Err(Error::data("the head has not as many rows as there are names")
                .with("head", outline.shape())
                .with("names", format!("{} in {}", names.count(), escaped(names.file())))),
        };
        rows.and_then(|rows| distinct(labels, rows)).map_err(|error| outline.located(error))
    }

    /// Rows by number, which begins at `first`.
    fn numbered_rows(&self, outline: &Outline, labels: &[Label], first: i128) -> Result<Vec<usize>> {
        let row = |label: &Label| {
            let row = usize::try_from(number(label)?.checked_sub(first)?).ok();
            row.filter(|&row| row < outline.rows)
        };
        let rows: Vec<usize> = labels.iter().map_while(row).collect();
        let Some(stranger) = labels.get(rows.len()) else { return Ok(rows) };
        if self.rows.is_none() {
            return Err(unclear(outline, &labels.iter().cloned().collect(), Some(stranger)));
        }
        let error = Error::data("the head has no row for a class")
            .with("class", shown(stranger))
            .with("head", outline.shape())
            .with("expected", format!("labels {first} to {}", outline.rows as i128 - 1 + first));
        Err(if number(stranger).is_none() {
            error.help("only numbers are labels of rows; --head-rows names:FILE takes names")
        } else {
            error.help(format!(
                "--head-rows {}",
                if first == 0 { "one-based, rank or names:FILE" } else { "label, rank or names:FILE" }
            ))
        })
    }

    /// What a class is called, where its label does not say it.
    pub fn name(&self, label: &Label) -> Option<&str> {
        let names = self.names.as_ref()?;
        if label.kind() == LabelKind::Text {
            return None;
        }
        let number = match &self.rows {
            None | Some(HeadRows::Label) => usize::try_from(number(label)?).ok()?,
            Some(HeadRows::OneBased) => usize::try_from(number(label)?.checked_sub(1)?).ok()?,
            Some(HeadRows::Rank) => self.labels.as_ref()?.iter().position(|known| known == label)?,
            Some(HeadRows::Names(rows)) => rows.number(&label.to_string()).ok()?,
        };
        names.name(number)
    }

    /// Fails unless every class has a name, if names are given.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with the first class that has none.
    pub fn check_names(&self, labels: &[Label]) -> Result<()> {
        let Some(names) = &self.names else { return Ok(()) };
        let Some(nameless) = labels.iter().find(|label| label.kind() != LabelKind::Text && self.name(label).is_none())
        else {
            let texts = labels.iter().filter(|label| label.kind() == LabelKind::Text);
            return texts.map(|label| names.number(&label.to_string())).try_for_each(|number| number.map(|_| ()));
        };
        let error = Error::data("a class has no name")
            .with("file", escaped(names.file()))
            .with("class", nameless)
            .with("names", names.count());
        // Labels that count from 1 have none that is 0.
        let first = labels.iter().filter_map(number).min();
        let one_based = self.rows.is_none() && first == Some(1) && number(nameless) == Some(names.count() as i128);
        Err(error.help(if one_based {
            "if labels count from 1: --head-rows one-based"
        } else {
            "a file of names has a line for each class, that of class 0 first"
        }))
    }
}

/// A label as a number, if it is one.
fn number(label: &Label) -> Option<i128> {
    match label {
        Label::Int(number) => Some(*number),
        Label::Bool(truth) => Some((*truth).into()),
        Label::Text(text) => text.parse().ok(),
    }
}

fn shown(label: &Label) -> String {
    match label {
        Label::Text(text) => format!("\"{}\"", escaped(text)),
        other => other.to_string(),
    }
}

fn either(words: &[&str]) -> String {
    match words {
        [words @ .., last] if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        _ => words.join(""),
    }
}

/// Rows by their own names: equal, or written alike.
fn named_rows(outline: &Outline, labels: &[Label]) -> Result<Vec<usize>> {
    let row_of = outline.row_of.as_ref().ok_or_else(|| Error::internal("the head names no rows"))?;
    let kind = row_of.keys().next().map(Label::kind);
    let mut written: HashMap<String, usize> = HashMap::new();
    if kind != labels.first().map(Label::kind) {
        written.extend(row_of.iter().map(|(label, &row)| (label.to_string(), row)));
    }
    let find = |label: &Label| row_of.get(label).or_else(|| written.get(&label.to_string())).copied();
    let rows: Vec<usize> = labels.iter().filter_map(find).collect();
    let Some(class) = labels.iter().find(|&label| find(label).is_none()) else { return Ok(rows) };
    let error = Error::data("the head has no row for a class")
        .with("class", class)
        .with("head", outline.shape())
        .with("missing", format!("{} of {} classes", labels.len() - rows.len(), labels.len()));
    Err(match kind.filter(|&kind| kind != class.kind()) {
        Some(kind) => error.help(format!("the head's classes are {kind}s, the labels {}s", class.kind())),
        None => error,
    })
}

/// Rows by the order of all labels, which must be as many.
fn ranked_rows(outline: &Outline, labels: &[Label], all: &BTreeSet<Label>) -> Result<Vec<usize>> {
    if all.len() != outline.rows {
        return Err(Error::data("rows cannot be counted in the order of labels, which are not as many")
            .with("head", outline.shape())
            .with("labels", all.len())
            .help("--head-rows names:FILE, with one name a line"));
    }
    let ranks: HashMap<&Label, usize> = all.iter().enumerate().map(|(rank, label)| (label, rank)).collect();
    let rank =
        |label| ranks.get(label).copied().ok_or_else(|| Error::data("a label came up later").with("class", label));
    labels.iter().map(rank).collect()
}

/// Refuses two classes of one row.
fn distinct(labels: &[Label], rows: Vec<usize>) -> Result<Vec<usize>> {
    let mut class_of: HashMap<usize, &Label> = HashMap::with_capacity(rows.len());
    for (label, &row) in labels.iter().zip(&rows) {
        if let Some(other) = class_of.insert(row, label) {
            return Err(Error::data("two classes would have one row of the head")
                .with("classes", format!("{} and {}", shown(other), shown(label)))
                .with("at", format!("row {row}")));
        }
    }
    Ok(rows)
}

/// The error if it is not clear which row belongs to which class: says what there is, and which flag decides.
fn unclear(outline: &Outline, labels: &BTreeSet<Label>, stranger: Option<&Label>) -> Error {
    let message = if labels.len() > outline.rows {
        "the head has fewer rows than there are classes"
    } else {
        "the head does not say which of its rows is which class"
    };
    let mut error = Error::data(message).with("head", outline.shape());
    let (Some(first), Some(last)) = (labels.first(), labels.last()) else {
        return outline.located(error.help("--class-names FILE (one a line), or --head-rows rank"));
    };
    error = error.with("labels", format!("{} to {}", shown(first), shown(last)));
    if let Some(stranger) = stranger {
        error = error.with("class", shown(stranger));
    }
    let rows = |from: i128| {
        let last = outline.rows as i128 - 1 + from;
        labels.iter().all(|label| number(label).is_some_and(|number| (from..=last).contains(&number)))
    };
    let is_text = first.kind() == LabelKind::Text;
    let mut readings = Vec::new();
    let mut flags = Vec::new();
    if rows(0) {
        readings.push("label: the number is the row".to_owned());
        flags.push("label");
    }
    if rows(1) {
        readings.push("one-based: label 1 is row 0".to_owned());
        flags.push("one-based");
    }
    if labels.len() <= outline.rows {
        let order = if is_text { ", as texts sort" } else { "" };
        readings.push(format!("rank: {} is row 0{order}", shown(first)));
        flags.push("rank");
    }
    if !readings.is_empty() {
        error = error.with("detail", readings.join("; "));
    }
    flags.push("names:FILE");
    outline.located(error.help(format!("--head-rows {}", either(&flags))))
}
