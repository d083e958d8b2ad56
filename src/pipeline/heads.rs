//! Which group gets which head, settled before the first row is read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

mod settle;

pub(super) use self::settle::check_keys;
use self::settle::unsaid_layers;
use crate::archive::{HeadPath, HeadRows, HeadSource, Key, Naming, Outline, Policy, Spellings, StoredHead};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::metrics::least_squares;
use crate::state::{Head, Statistics};
use crate::store::locate;

/// Where heads belong, and how they are read.
#[derive(Clone, Debug, Default)]
pub struct HeadRules {
    /// Which row is which class, and what classes are called.
    pub naming: Naming,
    /// `(key, value)` of groups that get a head: every key named has to match, in one of the values given for it. Empty is all groups.
    pub only_for: Vec<(String, String)>,
    /// What happens to a group whose head is missing: the run fails, or metrics that need a head are null.
    pub missing: Policy,
}

/// The heads of a run, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadSummary {
    /// As typed.
    pub source: String,
    /// How many there are, one for all groups or one for each; none where the head is each state's own.
    pub files: usize,
    /// Which row is which class.
    pub rows: String,
    /// What should be known besides.
    pub notes: Vec<String>,
}

/// A group whose rows are about to be read.
pub(super) struct Candidate {
    pub(super) key: Key,
    /// `D`, where it is known.
    pub(super) dim: Option<usize>,
}

/// What is known of the labels before the first row is read.
pub(super) struct Labels {
    kind: LabelKind,
    /// Some of them, or all of them where [`ranks`](HeadRules::ranks) asks for that.
    all: BTreeSet<Label>,
    /// Those of some groups.
    of_groups: BTreeMap<Key, BTreeSet<Label>>,
}

impl Labels {
    /// Nothing but their type.
    pub(super) fn of(kind: LabelKind) -> Self {
        Self { kind, all: BTreeSet::new(), of_groups: BTreeMap::new() }
    }

    /// How many classes a group has at least.
    fn least_classes(&self, group: &Key) -> usize {
        self.of_groups.get(group).map_or(1, BTreeSet::len)
    }

    /// Adds labels that were seen, in this group if that is to be remembered.
    pub(super) fn add(&mut self, group: Option<Key>, labels: BTreeSet<Label>) {
        if let Some(key) = group {
            self.of_groups.entry(key).or_default().extend(labels.iter().cloned());
        }
        self.all.extend(labels);
    }
}

/// The heads of a run.
#[derive(Debug)]
pub(super) struct Heads {
    source: HeadSource,
    transposed: bool,
    rules: HeadRules,
    group_by: Vec<String>,
    kind: LabelKind,
    services: BTreeMap<Key, Service>,
    /// What the user should know, besides which row is whose.
    notes: Vec<String>,
    /// The head that was read last: often it serves all groups.
    last: Mutex<Option<Arc<StoredHead>>>,
    /// The least label seen beside a head.
    least: Mutex<Option<Label>>,
}

/// What a group gets.
#[derive(Clone, Debug)]
enum Service {
    Head(Arc<Outline>),
    /// The least-squares classifier of its own state, with this `λ`.
    LeastSquares(f64),
    /// Nothing, for this reason.
    None(&'static str),
}

impl HeadRules {
    /// Whether all labels of the run must be known before a row of a head is.
    pub(super) fn ranks(&self) -> bool {
        self.naming.rows == Some(HeadRows::Rank)
    }
}

/// Whether the widths of the groups are needed to tell whose a head is.
pub(super) fn parts_by_width(source: &HeadSource, rules: &HeadRules, group_by: &[String]) -> bool {
    !unsaid_layers(source, rules, group_by).is_empty()
}

impl Heads {
    /// Settles which of the groups gets which head; of heads only names and shapes are read.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) with all heads that are not there;
    /// [`Usage`](crate::error::ErrorKind::Usage) if it is not clear which layer a head belongs to, or `--head-for` speaks
    /// of no group; those of [`Outline::read`], [`Naming::way`] and [`Outline::check_dim`], with the group.
    pub(super) fn plan(
        source: HeadSource,
        transposed: bool,
        rules: HeadRules,
        group_by: &[String],
        spellings: &Spellings,
        groups: &[Candidate],
        labels: &Labels,
    ) -> Result<Self> {
        let mut heads = Self {
            source,
            transposed,
            rules,
            group_by: group_by.to_vec(),
            kind: labels.kind,
            services: BTreeMap::new(),
            notes: Vec::new(),
            last: Mutex::default(),
            least: Mutex::default(),
        };
        if heads.rules.ranks() {
            heads.rules.naming.labels = Some(Arc::new(labels.all.clone()));
        }
        heads.find(groups, labels, spellings)?;
        heads.part_layers(groups)?;
        heads.check(groups, labels)?;
        heads.note_models();
        Ok(heads)
    }

    fn served(&self) -> impl Iterator<Item = (&Key, &Arc<Outline>)> {
        self.services.iter().filter_map(|(key, service)| match service {
            Service::Head(outline) => Some((key, outline)),
            Service::LeastSquares(_) | Service::None(_) => None,
        })
    }

    /// Whether the head of each group is made of its own state.
    pub(super) fn are_own(&self) -> bool {
        self.source.least_squares().is_some()
    }

    /// How classes find their rows, and what they are called.
    pub(super) fn naming(&self) -> &Naming {
        &self.rules.naming
    }

    /// The files that they are read from.
    pub(super) fn inputs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.served().flat_map(|(_, outline)| outline.path().files().cloned())
    }

    /// What the user should know before the run.
    pub(super) fn summary(&self) -> HeadSummary {
        let files: BTreeSet<String> = self.served().map(|(_, outline)| outline.path().to_string()).collect();
        let rows = self.ways(|way| way.to_string()).into_iter().collect::<Vec<_>>().join("; ");
        HeadSummary { source: self.source.to_string(), files: files.len(), rows, notes: self.notes.clone() }
    }

    fn ways(&self, text: impl Fn(&crate::archive::Way<'_>) -> String) -> BTreeSet<String> {
        let way = |outline: &Arc<Outline>| self.rules.naming.way(outline, self.kind, &BTreeSet::new()).ok();
        self.served().filter_map(|(_, outline)| way(outline)).map(|way| text(&way)).collect()
    }

    /// What turned out in the run.
    pub(super) fn afterthoughts(&self) -> Vec<String> {
        let least = self.least.lock().unwrap_or_else(PoisonError::into_inner);
        let by_number = self.ways(|way| way.code()).contains("label");
        let from_one = *least == Some(Label::Int(1)) && by_number && self.rules.naming.rows.is_none();
        if from_one { vec![FROM_ONE.to_owned()] } else { Vec::new() }
    }

    /// What records say of the heads.
    pub(super) fn settings(&self) -> Vec<(&'static str, String)> {
        let only_for: Vec<String> = self.rules.only_for.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let notes: Vec<String> = self.notes.iter().cloned().chain(self.afterthoughts()).collect();
        vec![
            ("head", self.source.to_string()),
            ("head_rows", self.ways(|way| way.code()).into_iter().collect::<Vec<_>>().join(";")),
            ("head_for", only_for.join(" ")),
            ("head_transposed", if self.transposed { "true".to_owned() } else { String::new() }),
            ("head_notes", notes.join("; ")),
        ]
    }

    /// The head of a group, its rows in the order of the classes, or the reason why it has none: those of
    /// [`least_squares`] too.
    ///
    /// # Errors
    ///
    /// Those of [`StoredHead::read`] and [`StoredHead::for_classes`], with the group.
    pub(super) fn of(&self, key: &Key, statistics: &Statistics) -> Result<Result<Head, &'static str>> {
        let outline = match self.services.get(key) {
            Some(Service::Head(outline)) => outline,
            Some(Service::LeastSquares(lambda)) => return Ok(least_squares(statistics, *lambda)),
            Some(Service::None(reason)) => return Ok(Err(reason)),
            None => {
                let error = Error::internal("a group came up after the heads were settled");
                return Err(locate(error, &self.group_by, key));
            }
        };
        let head = self
            .read(outline.path())
            .and_then(|head| head.for_classes(&statistics.labels, statistics.dim, &self.rules.naming));
        let head = head.map_err(|error| locate(error, &self.group_by, key))?;
        let mut least = self.least.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = statistics.labels.first()
            && least.as_ref().is_none_or(|least| first < least)
        {
            *least = Some(first.clone());
        }
        Ok(Ok(head))
    }

    fn read(&self, path: &HeadPath) -> Result<Arc<StoredHead>> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(head) = last.as_ref().filter(|head| head.outline().path() == path) {
            return Ok(head.clone());
        }
        let head = Arc::new(StoredHead::read(path, self.transposed)?);
        // A single group needs it once, and it may be as large as a matrix of K × D.
        if self.services.len() > 1 {
            *last = Some(head.clone());
        }
        Ok(head)
    }
}

const FROM_ONE: &str = "no label is 0: label 1 was read as the head's row 1; if it is row 0: --head-rows one-based";
