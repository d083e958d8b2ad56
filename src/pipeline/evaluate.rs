//! From states to numbers: the classifier, further rows, the metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;

use super::at_hand::{IN_MEMORY, Readable};
use super::first_pass::{self, bytes};
use super::heads::{self, Candidate, HeadSummary, Heads, Labels};
use super::memory::MetricMemory;
use super::scan::Watch;
use super::{ErrorBars, Job, RowSource, ScoreSink};
use crate::archive::{Archive, ColumnChoice, File, Key, Naming, Policy, Pooled, Request, Skipped, Spellings, escaped};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::metrics::{Blocks, Evidence, Extras, Need, Needs, OodMean, error_bars, measure};
use crate::report::{Given, GroupReport, counted, drawn};
use crate::state::{Head, SecondPassResult, State, Statistics};
use crate::store::locate;

/// How states are presented, with further rows open.
#[derive(Debug)]
pub(super) struct Evaluation {
    pub(super) job: Job,
    /// What works on the second pass. Where the user left it open, it is chosen when the groups are known.
    pub(super) device: OnceLock<Device>,
    pub(super) decisions: Option<FurtherRows>,
    pub(super) ood: Option<FurtherRows>,
    pub(super) needs: Needs,
    pub(super) threads: usize,
    pub(super) heads: Option<Heads>,
    /// The groups that have figures of their own, once all groups are known.
    pub(super) drawn: OnceLock<BTreeSet<Key>>,
    /// What the files of the rows call the classes 0, 1, …
    pub(super) label_names: Vec<String>,
    /// What the user should know before rows are read.
    pub(super) notes: Vec<String>,
    /// How many rows were left out of those of each flag, `--decisions` and `--ood`.
    pub(super) left_out: Mutex<BTreeMap<&'static str, Skipped>>,
    /// How many rows of `--decisions` are of classes without a mean, in all groups.
    pub(super) undecided: AtomicU64,
    /// Bytes of the class means that reports keep.
    pub(super) kept: AtomicU64,
}

/// Further rows, matched to the groups on the keys that they have.
#[derive(Debug)]
pub(super) struct FurtherRows {
    pub(super) archive: Archive,
    /// The job's `group_by` keys.
    names: Vec<String>,
    /// Which of them these rows have.
    positions: Vec<usize>,
    /// Known once the files were looked through.
    sound: OnceLock<Sound>,
}

/// What is left of rows some of whose files are damaged.
#[derive(Debug)]
struct Sound {
    /// The units of files without damage.
    units: Vec<usize>,
    /// The files that are left out, with the reason.
    left_out: Vec<(String, String)>,
}

impl Evaluation {
    /// Keeps what was left out of all rows of a flag. Where the rows are read twice, the second reading replaces the first.
    pub(super) fn leave_out(&self, flag: &'static str, skipped: &Skipped) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.insert(flag, skipped.clone());
    }

    /// Leaves damaged files of `--decisions` and `--ood` out, before a row of theirs counts.
    pub(super) fn look_through(&self, watch: &Watch) -> Result<()> {
        self.further_rows().try_for_each(|(_, rows)| rows.look_through(self.job.request.bad_files, watch))
    }

    /// Fails if a value of the filters of `--decisions` matches no row, once the second pass over all groups is made.
    pub(super) fn check_decisions(&self) -> Result<()> {
        self.decisions.as_ref().map_or(Ok(()), FurtherRows::check_filters_of_groups)
    }

    /// The files of `--decisions` and `--ood` that are left out, with the reason.
    pub(super) fn bad_files(&self) -> Vec<(String, String)> {
        self.further_rows().flat_map(|(_, rows)| rows.bad_files()).collect()
    }

    /// The files of `--decisions` and `--ood`, each with its flag.
    pub(super) fn further_archives(&self) -> impl Iterator<Item = (&'static str, &Archive)> {
        self.further_rows().map(|(flag, rows)| (flag, &rows.archive))
    }

    fn further_rows(&self) -> impl Iterator<Item = (&'static str, &FurtherRows)> {
        [("--decisions", &self.decisions), ("--ood", &self.ood)]
            .into_iter()
            .filter_map(|(flag, rows)| Some((flag, rows.as_ref()?)))
    }

    /// What is said of the rows that were left out of `--decisions` and `--ood`, of those that were not decided, and of what
    /// only these rows themselves have shown to be pooled.
    pub(super) fn told_left_out(&self) -> Vec<String> {
        let left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        let told = left_out.iter().filter(|(_, skipped)| skipped.total() > 0);
        let told = told.map(|(flag, skipped)| format!("rows of {flag} are left out: {}", skipped.by_flag()));
        let undecided = Some(self.undecided.load(Ordering::Relaxed)).filter(|&rows| rows > 0);
        let undecided = undecided.map(|rows| {
            let rows = counted(rows, "row", "rows");
            format!("{rows} of --decisions not decided: there is no mean of their classes")
        });
        let pooled = self.further_rows().flat_map(|(flag, rows)| {
            FurtherRows::told_pooled(flag, &rows.archive.pooled_by_rows(), &self.job.request.filters)
        });
        told.chain(undecided).chain(pooled).collect()
    }
}

impl FurtherRows {
    fn open(source: &RowSource, request: &Request) -> Result<Self> {
        let request = Request { filters: source.filters.clone(), keys_optional: true, ..request.clone() };
        let archive = Archive::open(std::slice::from_ref(&source.path), &request)?;
        let position = |key| request.group_by.iter().position(|known| known == key);
        let positions = archive.keys().iter().filter_map(position).collect();
        Ok(Self { archive, names: request.group_by, positions, sound: OnceLock::new() })
    }

    /// Leaves damaged files out, if the policy is to skip them.
    fn look_through(&self, policy: Policy, watch: &Watch) -> Result<()> {
        let (sound, damaged) = first_pass::sound_units(&self.archive, policy, |_| true, watch)?;
        let units = (0..sound.len()).filter(|&unit| sound[unit]).collect();
        let shown = |(file, reason): (usize, String)| (self.archive.files()[file].shown.clone(), reason);
        self.sound.get_or_init(|| Sound { units, left_out: damaged.into_iter().map(shown).collect() });
        Ok(())
    }

    /// The units that are read.
    pub(super) fn units(&self) -> Vec<usize> {
        self.sound.get().map_or_else(|| (0..self.archive.units().len()).collect(), |sound| sound.units.clone())
    }

    /// Fails if a value of the filters matches no row, once all units were read.
    pub(super) fn check_filters(&self) -> Result<()> {
        if self.bad_files().next().is_none() { self.archive.check_filters() } else { Ok(()) }
    }

    /// The same, once all units were read that hold rows of some group.
    fn check_filters_of_groups(&self) -> Result<()> {
        if self.check_filters().is_ok() {
            return Ok(());
        }
        // Units that serve no group may have rows of the value.
        self.units().into_iter().try_for_each(|unit| self.archive.seen_in(unit).map(drop))?;
        self.check_filters()
    }

    /// The files that are left out, with the reason.
    fn bad_files(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let damaged = self.sound.get().into_iter().flat_map(|sound| &sound.left_out);
        self.archive.bad_files().iter().chain(damaged).cloned()
    }

    /// What no filter reaches, and what is pooled; `flag` names these rows, and `input` is what the input is filtered by.
    fn notes(&self, flag: &str, source: &RowSource, input: &[(String, String)]) -> Vec<String> {
        let path = escaped(&source.path);
        let (mut keys, mut read) = (Vec::new(), Vec::new());
        let free = input.iter().map(|(key, _)| key).filter(|key| source.filters.iter().all(|(own, _)| own != *key));
        for key in free.collect::<BTreeSet<_>>() {
            let wanted: Vec<&str> = input.iter().filter(|(other, _)| other == key).map(|(_, value)| &**value).collect();
            if self.positions.iter().any(|&at| self.names[at] == *key) {
                // Groups that are not asked for of the input are not asked for here either.
                continue;
            }
            if let Some(values) = self.archive.beyond(key, &wanted) {
                keys.push(format!("{}=…", escaped(key)));
                read.push(format!("{} {}", escaped(key), values.join(", ")));
            }
        }
        let mut notes = Vec::new();
        if !keys.is_empty() {
            let (keys, read) = (keys.join("&"), read.join(" and "));
            notes.push(format!("--where filters INPUT alone, {flag} reads {read}: {flag} '{path}?{keys}' filters it"));
        }
        notes.extend(Self::told_pooled(flag, &self.archive.pooled(), input));
        notes
    }

    /// Says what is pooled, apart from keys that the input is filtered by.
    fn told_pooled(flag: &str, pooled: &[Pooled], input: &[(String, String)]) -> Vec<String> {
        let free = pooled.iter().filter(|pooled| !input.iter().any(|(key, _)| *key == pooled.key));
        free.map(|pooled| format!("{flag}: {}", pooled.describe())).collect()
    }

    /// The key under which these rows serve a group.
    pub(super) fn key_of(&self, group: &Key) -> Key {
        self.positions.iter().map(|&at| group[at].clone()).collect()
    }
}

/// Flags that change nothing, since no metric that is asked for needs what they give, and one without which there is none.
fn without_effect(job: &Job, needs: Needs) -> Vec<String> {
    let asked = |need: Need| job.selection.asks_for(need);
    let judged = needs.decisions || needs.lda || needs.neco || needs.mahalanobis;
    let ood = asked(Need::OodMean) || asked(Need::Neco) || asked(Need::Mahalanobis) || job.scores;
    let of_classes = job.extras != Extras { class_means: job.extras.class_means, ..Extras::default() };
    let head = asked(Need::Head) || of_classes || judged;
    let mut notes = Vec::new();
    if job.head.is_none() && job.selection.always_needs(&[Need::Head, Need::Decisions]) {
        notes.push(
            "every metric that is asked for needs a classifier: --head FILE, or --head lstsq for the least-squares one of \
             each group"
                .to_owned(),
        );
    }
    if job.decisions.is_some() && !judged {
        let head = if job.head.is_none() && asked(Need::Decisions) { " without a classifier (--head)" } else { "" };
        notes.push(format!("--decisions has no effect: no metric that is asked for needs it{head}"));
    }
    if job.ood.is_some() && !ood {
        notes.push("--ood has no effect: no metric that is asked for needs it".to_owned());
    }
    if job.head.is_some() && !head {
        notes.push("--head has no effect: no metric that is asked for needs it".to_owned());
    }
    notes
}

/// The rows that states were made of, where they can be read again, and which units of them.
pub(super) type TrainUnits<'a> = Option<(&'a Archive, &'a [usize])>;

/// A group after the first read.
pub(super) struct GroupEvidence {
    pub(super) key: Key,
    pub(super) statistics: Statistics,
    pub(super) head: Option<Head>,
    /// Why it has no head, although the run has heads.
    pub(super) headless: Option<&'static str>,
    pub(super) second_pass: Option<SecondPassResult>,
    pub(super) skipped: Skipped,
    pub(super) significand_bits: u32,
    /// Classes left out before anything was pooled.
    pub(super) dropped_classes: u64,
    /// What error bars are made of, if they are asked for.
    pub(super) blocks: Option<GroupBlocks>,
}

/// The states of a group and of its blocks.
#[derive(Debug)]
pub(super) struct GroupBlocks {
    pub(super) total: State,
    pub(super) parts: Vec<(Label, State)>,
    /// Bytes that a replicate takes while it is made.
    pub(super) replicate_bytes: u64,
}

impl Evaluation {
    /// Opens what is read beside states; `own` says whether the rows that the states are made of can be read again, and
    /// `labels` their label column, if it is known.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::open`]; [`Usage`](crate::error::ErrorKind::Usage) for a head whose path names a key that makes
    /// no groups, or scores of no rows.
    pub(super) fn new(job: Job, own: bool, labels: Option<&ColumnChoice>) -> Result<Self> {
        let open = |source: &Option<RowSource>, request: &Request| {
            source.as_ref().map(|source| FurtherRows::open(source, request)).transpose()
        };
        let notice: Vec<String> = job.request.filters.iter().map(|(key, _)| key.clone()).collect();
        // Other rows have labels of their own.
        let request = Request { notice, ..job.request.clone() }.without_label_file();
        let decisions = open(&job.decisions, &request)?;
        // Out-of-distribution rows may have labels of their own, in the same column, or none.
        let labels = labels.map(|labels| labels.name.clone()).or_else(|| request.labels.clone());
        let ood = open(&job.ood, &Request { labels, labels_optional: true, any_labels: true, ..request })?;
        let mut notes = Vec::new();
        for (flag, source, rows) in [("--decisions", &job.decisions, &decisions), ("--ood", &job.ood, &ood)] {
            if let Some((source, rows)) = source.as_ref().zip(rows.as_ref()) {
                notes.extend(rows.notes(flag, source, &job.request.filters));
            }
        }
        // Without other rows to decide, the group's own are read again.
        let own = own || job.at_hand.own.is_some();
        let decided = own || decisions.is_some() || job.at_hand.decisions.is_some();
        let has_ood = ood.is_some() || job.at_hand.ood.is_some();
        let mut needs = job.selection.needs(job.head.is_some(), has_ood, decided, job.extras, &job.options);
        if job.scores {
            if !decided {
                return Err(Error::usage("there are no rows to score").help("--decisions INPUT"));
            }
            needs.decisions = true;
            needs.neco |= has_ood && (job.head.is_some() || !job.options.neco_max_logit);
            needs.scatter |= needs.neco;
        }
        notes.extend(without_effect(&job, needs));
        // The least-squares classifier stands on the scatter.
        needs.scatter |= job.head.as_ref().is_some_and(|head| head.least_squares().is_some());
        needs.directional &= own;
        needs.hug_intra &= own;
        let threads = job.threads.max(1);
        if let Some(source) = &job.head {
            heads::check_keys(source, &job.head_rules, &job.request.group_by)?;
        }
        Ok(Self {
            job,
            device: OnceLock::new(),
            decisions,
            ood,
            needs,
            threads,
            heads: None,
            drawn: OnceLock::new(),
            label_names: Vec::new(),
            notes,
            left_out: Mutex::default(),
            undecided: AtomicU64::new(0),
            kept: AtomicU64::new(0),
        })
    }

    pub(super) fn named(&self, key: &Key) -> Vec<(String, Label)> {
        first_pass::named(&self.job.request.group_by, key)
    }

    /// Says which group an error is about.
    pub(super) fn locate(&self, error: Error, key: &Key) -> Error {
        locate(error, &self.job.request.group_by, key)
    }

    /// What metrics take; `scatter` says whether states have one.
    pub(super) fn metric_memory(&self, scatter: bool) -> MetricMemory {
        MetricMemory { scatter, head: self.job.head.is_some() }
    }

    /// Whether some metric needs to see rows beside means or classifier.
    pub(super) fn reads_again(&self) -> bool {
        self.reads_own() || self.judges()
    }

    /// Whether rows are decided, or scored beside out-of-distribution rows.
    pub(super) fn judges(&self) -> bool {
        self.needs.decisions || self.needs.lda || self.scores_ood()
    }

    /// Whether out-of-distribution rows are read again, to be scored.
    pub(super) fn scores_ood(&self) -> bool {
        self.needs.neco || self.needs.mahalanobis
    }

    /// Whether some metric needs to see a group's own rows again, whatever the decisions are made on.
    pub(super) fn reads_own(&self) -> bool {
        self.needs.directional || self.needs.hug_intra
    }

    /// The rows of `--decisions`, if there are some.
    pub(super) fn decided(&self) -> Option<Readable<'_>> {
        let stored = self.decisions.as_ref().map(|rows| Readable::Stored(&rows.archive));
        stored.or(self.job.at_hand.decisions.as_ref().map(Readable::AtHand))
    }

    /// The rows of `--ood`, if there are some.
    pub(super) fn outside(&self) -> Option<Readable<'_>> {
        let stored = self.ood.as_ref().map(|rows| Readable::Stored(&rows.archive));
        stored.or(self.job.at_hand.ood.as_ref().map(Readable::AtHand))
    }

    /// What there is beside the groups' own rows, which are decided themselves where `own` says that they can be read again.
    pub(super) fn given(&self, own: bool) -> Given {
        let own = own || self.job.at_hand.own.is_some();
        Given {
            head: self.job.head.is_some(),
            decisions: own || self.decided().is_some(),
            ood: self.outside().is_some(),
        }
    }

    /// Further rows and what is taken of them: for people.
    pub(super) fn further(&self) -> Vec<(&'static str, String)> {
        let mut further = Vec::new();
        let rows = |source: &RowSource, rows: &FurtherRows| {
            let most = if rows.archive.filters_rows() { "at most " } else { "" };
            let count = rows.archive.units().iter().map(|unit| unit.rows).sum::<u64>();
            format!("{source}   {most}{}", counted(count, "row", "rows"))
        };
        if let Some((source, decisions)) = self.job.decisions.as_ref().zip(self.decisions.as_ref()) {
            further.push(("decisions", rows(source, decisions)));
        }
        if let Some((source, ood)) = self.job.ood.as_ref().zip(self.ood.as_ref()) {
            let mean = match ood.archive.labels().filter(|_| self.job.options.ood_mean != OodMean::Rows) {
                Some(labels) => format!("mean of the means by {}", labels.name),
                None => "mean of all rows".to_owned(),
            };
            further.push(("ood", format!("{} · {mean}", rows(source, ood))));
        }
        further
    }

    /// Bytes of further rows, as stored, over all passes.
    pub(super) fn bytes(&self) -> u64 {
        let judged = self.judges();
        let decisions = self.decisions.as_ref().filter(|_| judged).map_or(0, |rows| bytes(&rows.archive));
        let ood = self.ood.as_ref().map_or(0, |rows| bytes(&rows.archive) * (1 + u64::from(self.scores_ood())));
        decisions + ood
    }

    /// Settles which group gets which head, with what is known of groups and labels: all labels, if the rules ask for that.
    ///
    /// # Errors
    ///
    /// Those of [`Heads::plan`].
    pub(super) fn settle_heads(
        &mut self,
        groups: &[Candidate],
        mut labels: Labels,
        spellings: &Spellings,
    ) -> Result<()> {
        let Some(source) = self.job.head.clone() else { return Ok(()) };
        let (transposed, rules) = (self.job.head_transposed, self.job.head_rules.clone());
        if let Some(rows) = self.decided().filter(|_| rules.ranks()) {
            let decided = match rows {
                Readable::Stored(archive) => archive.all_labels()?,
                Readable::AtHand(rows) => rows.labels(),
            };
            labels.add(None, decided);
        }
        let named = Heads::plan(source, transposed, rules, &self.job.request.group_by, spellings, groups, &labels)?;
        self.heads = Some(named);
        Ok(())
    }

    /// What is known of the heads before the run.
    pub(super) fn head_summary(&self) -> Option<HeadSummary> {
        self.heads.as_ref().map(Heads::summary)
    }

    /// Fails if the rows of decisions have labels of another kind than the classes: not one of them would be known.
    pub(super) fn check_kind(&self, kind: LabelKind) -> Result<()> {
        let decided = match self.decided() {
            Some(Readable::Stored(archive)) => Some(archive.label_kind()),
            Some(Readable::AtHand(rows)) => rows.kind(),
            None => None,
        };
        match decided.filter(|decided| *decided != kind) {
            Some(decided) => Err(Error::data("the rows of --decisions have labels of another kind")
                .with("labels", format!("{decided}s"))
                .with("expected", format!("{kind}s, as the classes"))),
            None => Ok(()),
        }
    }

    /// Settles which of all groups have figures of their own, if figures are asked for. Where the groups are not known
    /// before they are read, all are evaluated at once, and that settles it.
    pub(super) fn settle_figures(&self, groups: &[&Key]) {
        let keys: Vec<Vec<&Label>> = groups.iter().map(|key| key.iter().collect()).collect();
        self.drawn.get_or_init(|| drawn(&keys).into_iter().map(|at| groups[at].clone()).collect());
    }

    fn naming(&self) -> &Naming {
        self.heads.as_ref().map_or(&self.job.head_rules.naming, Heads::naming)
    }

    /// What the classes of these groups are called, as far as their output names classes.
    pub(super) fn class_names(&self, groups: &[GroupReport]) -> BTreeMap<Label, String> {
        let of_group = |group: &GroupReport| {
            let made = &group.measurements;
            let classes = made.per_class.iter().map(|class| class.label.clone());
            let pairs = made.worst_pairs.iter().flat_map(|pair| [pair.first.clone(), pair.second.clone()]);
            let drawn = made.figures.iter().flat_map(|figures| &figures.classes).map(|class| class.label.clone());
            classes.chain(pairs).chain(drawn).collect::<Vec<Label>>()
        };
        let naming = self.naming();
        // The user's names come first, and then they are all of them.
        let in_files = |label: &Label| match label {
            Label::Int(number) if naming.names.is_none() => self.label_names.get(usize::try_from(*number).ok()?),
            _ => None,
        };
        let named = |label: Label| {
            let name = naming.name(&label).map(str::to_owned).or_else(|| in_files(&label).cloned());
            name.map(|name| (label, name))
        };
        groups.iter().flat_map(of_group).filter_map(named).collect()
    }

    /// The files that are read beside states.
    pub(super) fn inputs(&self) -> Vec<PathBuf> {
        let rows = self.decisions.iter().chain(&self.ood).flat_map(|rows| rows.archive.files());
        let heads = self.heads.iter().flat_map(Heads::inputs);
        rows.flat_map(File::paths).map(Path::to_path_buf).chain(heads).collect()
    }

    /// What the records say of the run besides the metrics' own conventions; `of_rows` says what the states are of.
    pub(super) fn settings(&self, of_rows: BTreeMap<&'static str, String>) -> BTreeMap<&'static str, String> {
        let job = &self.job;
        let mut settings = of_rows;
        settings.extend(self.heads.iter().flat_map(Heads::settings));
        let names = job.head_rules.naming.names.as_ref();
        settings.insert("class_names", names.map_or(String::new(), |names| names.file().to_owned()));
        let further = |stored: &Option<RowSource>, at_hand: bool| match stored {
            Some(stored) => stored.to_string(),
            None => if at_hand { IN_MEMORY } else { "" }.to_owned(),
        };
        settings.insert("decisions", further(&job.decisions, job.at_hand.decisions.is_some()));
        settings.insert("error_bars", job.error_bars.as_ref().map_or(String::new(), ErrorBars::text));
        settings.insert("ood", further(&job.ood, job.at_hand.ood.is_some()));
        // Classes have no means where rows have no labels.
        let is_of_classes = job.options.ood_mean != OodMean::Rows;
        let is_without_labels = |rows| match rows {
            Readable::Stored(archive) => archive.labels().is_none(),
            Readable::AtHand(rows) => !rows.has_labels(),
        };
        if is_of_classes && self.outside().is_some_and(is_without_labels) {
            settings.insert("ood_labels", "none".to_owned());
        }
        settings.retain(|_, value| !value.is_empty());
        settings
    }

    /// The numbers of groups whose states are complete, in the order given; `room` is how many bytes they may take.
    pub(super) fn evaluate(
        &self,
        groups: Vec<GroupEvidence>,
        own: TrainUnits<'_>,
        ood_means: &BTreeMap<Key, Vec<f64>>,
        room: u64,
        watch: &Watch,
        score: ScoreSink<'_>,
    ) -> Result<Vec<GroupReport>> {
        // A group without rows needs no second pass.
        let has_rows = |group: &GroupEvidence| group.statistics.classes() > 0;
        let (mut groups, empty): (Vec<GroupEvidence>, Vec<GroupEvidence>) = groups.into_iter().partition(has_rows);
        for group in &groups {
            self.naming().check_names(&group.statistics.labels).map_err(|error| self.locate(error, &group.key))?;
        }
        if let Some(heads) = &self.heads {
            let head = |group: &GroupEvidence| heads.of(&group.key, &group.statistics);
            // A file is read once where groups come one after the other; what is made of states is made at once.
            let made: Vec<Result<Result<Head, &'static str>>> =
                if heads.are_own() { groups.par_iter().map(head).collect() } else { groups.iter().map(head).collect() };
            for (group, head) in groups.iter_mut().zip(made) {
                match head? {
                    Ok(head) => group.head = Some(head),
                    Err("no_scatter") if group.dropped_classes > 0 => group.headless = Some("filter_after_pooling"),
                    Err(reason) => group.headless = Some(reason),
                }
            }
        }
        self.settle_figures(&groups.iter().map(|group| &group.key).collect::<Vec<_>>());
        self.second_pass(own, &mut groups, watch, score)?;
        let key_of = |key: &Key| self.ood.as_ref().map_or(Key::new(), |rows| rows.key_of(key));
        let ood_mean = |key: &Key| ood_means.get(&key_of(key));
        let measure =
            |group: GroupEvidence| self.measure(&group, ood_mean(&group.key).map(Vec::as_slice), (room, watch));
        let measured: Vec<Result<GroupReport>> = match &self.job.error_bars {
            None => groups.into_par_iter().map(measure).collect(),
            // The replicates of one group keep all threads busy, and hold memory.
            Some(_) => groups.into_iter().map(measure).collect(),
        };
        measured.into_iter().chain(empty.iter().map(|group| self.measure(group, None, (room, watch)))).collect()
    }

    /// Fails if the means that are kept of all groups take more than half of the memory.
    fn keep_means(&self, statistics: &Statistics) -> Result<()> {
        if !self.job.extras.class_means {
            return Ok(());
        }
        let bytes = size_of_val(&statistics.offsets[..]) as u64;
        let needed = 2 * (self.kept.fetch_add(bytes, Ordering::Relaxed) + bytes);
        if needed <= self.job.memory {
            return Ok(());
        }
        Err(Error::resource("the class means of all groups need more memory than the run may use")
            .with("needed so far", format!("{needed} bytes"))
            .with("allowed", format!("{} bytes", self.job.memory))
            .help("compare fewer groups at a time, or --memory"))
    }

    fn measure(
        &self,
        group: &GroupEvidence,
        ood_mean: Option<&[f64]>,
        (room, watch): (u64, &Watch),
    ) -> Result<GroupReport> {
        if let Some(mean) = ood_mean
            && mean.len() != group.statistics.dim
        {
            let error = Error::data("the out-of-distribution rows have another length")
                .with("expected", group.statistics.dim)
                .with("found", mean.len());
            return Err(self.locate(error, &group.key));
        }
        self.keep_means(&group.statistics)?;
        let evidence = Evidence {
            statistics: &group.statistics,
            significand_bits: group.significand_bits,
            head: group.head.as_ref(),
            findings: group.second_pass.as_ref(),
            ood_mean,
            dropped_classes: group.dropped_classes,
            normalized: self.job.request.normalize,
        };
        let is_drawn = self.drawn.get().is_some_and(|drawn| drawn.contains(&group.key));
        let extras = Extras { figures: self.job.extras.figures && is_drawn, ..self.job.extras };
        let mut measurements = measure(&evidence, &self.job.options, &self.job.selection, extras)
            .map_err(|error| self.locate(error, &group.key))?;
        let replicates = group.blocks.as_ref().map(|GroupBlocks { total, parts, replicate_bytes }| {
            watch.check()?;
            let at_once = (room / (*replicate_bytes).max(1)).clamp(1, self.threads as u64) as usize;
            let blocks = Blocks { total, parts };
            let made = error_bars(&blocks, &evidence, &self.job.options, &mut measurements, at_once);
            made.map_err(|error| self.locate(error, &group.key))
        });
        let replicates = replicates.transpose()?;
        measurements.explain(group.headless);
        // Of no row nothing is known, whatever the rows that were left out were like.
        let has_rows = group.statistics.classes() > 0;
        Ok(GroupReport {
            key: self.named(&group.key),
            rows: group.statistics.rows(),
            dim: if has_rows { group.statistics.dim } else { 0 },
            significand_bits: if has_rows { group.significand_bits } else { 0 },
            dropped_classes: group.dropped_classes,
            skipped: group.skipped.clone(),
            measurements,
            replicates,
        })
    }
}
