//! What a job will read, in which order, and what that takes.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::waves::waves;
use super::{Job, Source, Watch};
use crate::archive::{Archive, Key, Request, StoredHead};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::Needs;
use crate::state::{ClassSums, Scatter};

/// A job whose files are open and whose passes are settled. Nothing but footers has been read.
#[derive(Debug)]
pub struct Plan {
    pub(super) job: Job,
    pub(super) archive: Archive,
    pub(super) decisions: Option<Rows>,
    pub(super) ood: Option<Rows>,
    pub(super) needs: Needs,
    /// `D` of each file of the archive; 0 where it has no row.
    dims: Vec<usize>,
    /// Units that are read together.
    pub(super) waves: Vec<Vec<usize>>,
    pub(super) threads: usize,
    memory: u64,
}

/// Further rows, matched to the groups on the keys that they have.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) archive: Archive,
    /// Which of the job's `group_by` keys these rows have.
    positions: Vec<usize>,
}

impl Rows {
    fn open(source: &Source, request: &Request, labels_optional: bool) -> Result<Self> {
        let request =
            Request { filters: source.filters.clone(), labels_optional, keys_optional: true, ..request.clone() };
        let archive = Archive::open(std::slice::from_ref(&source.path), &request)?;
        let position = |key| request.group_by.iter().position(|known| known == key);
        let positions = archive.keys().iter().filter_map(position).collect();
        Ok(Self { archive, positions })
    }

    /// The key under which these rows serve a group.
    pub(super) fn key_of(&self, group: &Key) -> Key {
        self.positions.iter().map(|&at| group[at].clone()).collect()
    }
}

/// A plan in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files of the first read.
    pub files: usize,
    /// Their rows, before filters.
    pub rows: u64,
    /// Bytes of the columns read, over all passes, as stored.
    pub bytes: u64,
    /// How often rows are read.
    pub passes: usize,
    /// Groups, where all units say theirs.
    pub groups: Option<usize>,
    /// Bytes of memory for buffers and second moments; class sums come on top, 16 bytes a class, dimension and thread.
    pub memory: u64,
    /// Worker threads.
    pub threads: usize,
}

/// The rows of a group make sums of one length.
pub(super) fn differ_in_length(expected: usize, found: usize) -> Error {
    Error::data("the rows of a group differ in length")
        .with("expected", expected)
        .with("found", found)
        .help("add the key that tells them apart to --group-by, or leave some out with --where")
}

/// Chunks in hand per thread: the one worked on, one decoded in advance, and Arrow's buffers for it.
const CHUNKS_PER_THREAD: u64 = 3;

impl Plan {
    /// Opens all files of a job.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::open`]; [`Missing`](crate::error::ErrorKind::Missing) for a head that is not there;
    /// [`Resource`](crate::error::ErrorKind::Resource) if the memory does not suffice.
    pub fn new(job: Job) -> Result<Self> {
        let archive = Archive::open(&job.inputs, &job.request)?;
        let open = |source: &Option<Source>, labels_optional| {
            source.as_ref().map(|source| Rows::open(source, &job.request, labels_optional)).transpose()
        };
        let decisions = open(&job.decisions, false)?;
        let ood = open(&job.ood, true)?;
        // There are always rows to decide: without others, the group's own are read again.
        let mut needs = job.selection.needs(job.head.is_some(), ood.is_some(), true, job.extras, &job.options);
        if job.scores {
            needs.decisions = true;
            needs.neco |= ood.is_some() && (job.head.is_some() || !job.options.neco_max_logit);
            needs.scatter |= needs.neco;
        }
        let dims = (0..archive.files().len())
            .map(|file| archive.file_dim(file).map(Option::unwrap_or_default))
            .collect::<Result<_>>()?;
        let threads = job.threads.max(1);
        let mut plan = Self { job, archive, decisions, ood, needs, dims, waves: Vec::new(), threads, memory: 0 };
        plan.check_heads()?;
        plan.check_dims()?;
        plan.fit_memory()?;
        Ok(plan)
    }

    /// The archive of the first read.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The plan in numbers.
    pub fn summary(&self) -> Summary {
        let bytes = |archive: &Archive| archive.units().iter().map(|unit| unit.bytes).sum::<u64>();
        let own = self.needs.directional || self.needs.hug_intra;
        let judged = self.needs.decisions || self.needs.neco;
        let second_of_own = own || (judged && self.decisions.is_none());
        let mut summary = Summary {
            files: self.archive.files().len(),
            rows: self.archive.units().iter().map(|unit| unit.rows).sum(),
            bytes: bytes(&self.archive) * (1 + u64::from(second_of_own)),
            passes: 1 + usize::from(own || judged),
            groups: self.known_groups().map(|groups| groups.len()),
            memory: self.memory,
            threads: self.threads,
        };
        if let Some(rows) = &self.decisions
            && judged
        {
            summary.bytes += bytes(&rows.archive);
        }
        if let Some(rows) = &self.ood {
            summary.bytes += bytes(&rows.archive) * (1 + u64::from(self.needs.neco));
        }
        summary
    }

    /// The keys of the groups with their names, where all units say theirs.
    fn known_groups(&self) -> Option<Vec<Key>> {
        let keys: Option<Vec<Key>> = self.archive.units().iter().map(|unit| unit.key.clone()).collect();
        keys.map(|mut keys| {
            keys.sort();
            keys.dedup();
            keys
        })
    }

    pub(super) fn named(&self, key: &Key) -> Vec<(String, Label)> {
        self.job.request.group_by.iter().cloned().zip(key.iter().cloned()).collect()
    }

    /// The classifier of a group as stored.
    pub(super) fn read_head(&self, key: &Key) -> Result<Option<StoredHead>> {
        let Some(source) = &self.job.head else { return Ok(None) };
        StoredHead::read(&source.fill(&self.named(key))?, self.job.head_transposed).map(Some)
    }

    /// Finds rows of one group that differ in length before the first row is read, where the units say their groups.
    fn check_dims(&self) -> Result<()> {
        let mut known: BTreeMap<&Key, usize> = BTreeMap::new();
        for unit in self.archive.units() {
            let dim = self.dims[unit.file];
            let Some(key) = unit.key.as_ref().filter(|_| dim > 0) else { continue };
            let expected = *known.entry(key).or_insert(dim);
            if expected != dim {
                return Err(self
                    .locate(differ_in_length(expected, dim), key)
                    .with("file", &self.archive.files()[unit.file].shown));
            }
        }
        Ok(())
    }

    /// Finds a missing head before the first row is read.
    fn check_heads(&self) -> Result<()> {
        let Some(source) = &self.job.head else { return Ok(()) };
        if let Some(unknown) = source.keys().iter().find(|key| !self.job.request.group_by.iter().any(|by| by == *key)) {
            return Err(Error::usage("the head's path names a key that makes no groups")
                .with("key", unknown)
                .help(format!("add it: --group-by {unknown}")));
        }
        for key in self.known_groups().unwrap_or_default() {
            source.fill(&self.named(&key))?.check_exists()?;
        }
        Ok(())
    }

    /// How many heads there are, one for all groups or one for each.
    pub fn heads(&self) -> Option<usize> {
        self.job.head.as_ref().map(|source| {
            let fill = |key: &Key| source.fill(&self.named(key)).ok().map(|path| path.to_string());
            let paths: std::collections::BTreeSet<_> =
                self.known_groups().unwrap_or_default().iter().filter_map(fill).collect();
            paths.len().max(1)
        })
    }

    /// Takes as many threads as the memory allows, and settles the waves.
    fn fit_memory(&mut self) -> Result<()> {
        let dim = self.dims.iter().copied().max().unwrap_or(0);
        let value_bytes = if self.archive.significand_bits() > 24 { 8 } else { 4 };
        let chunk = (crate::archive::chunk_rows(dim.max(1)) * dim * value_bytes) as u64;
        // Rounded rows are blocks of f64, and a chunk's scatter is made beside the group's.
        let block = (2048 * dim * 8) as u64;
        let scatter = if self.needs.scatter { Scatter::bytes(0, dim) as u64 } else { 0 };
        let per_thread = CHUNKS_PER_THREAD * chunk + block + 2 * scatter;
        let needed = |threads: usize| threads as u64 * per_thread + scatter;
        while self.threads > 1 && needed(self.threads) > self.job.memory {
            self.threads -= 1;
        }
        self.memory = needed(self.threads);
        if self.memory > self.job.memory {
            return Err(Error::resource("the run needs more memory than it may use")
                .with("needed", format!("{} bytes", self.memory))
                .with("allowed", format!("{} bytes", self.job.memory))
                .help(format!("--memory {}MiB, or --metrics without a D × D matrix", self.memory.div_ceil(1 << 20))));
        }
        // Every thread holds a state of each group of its own.
        let budget = (self.job.memory - self.memory) / 2 / self.threads as u64;
        let with_scatter = self.needs.scatter;
        self.waves = waves(&self.archive, &self.dims, budget, |rows, dim| {
            // No more classes than rows; and a group seldom has more than one class in eight rows.
            let classes = (rows / 8 + 1) as usize;
            (if with_scatter { Scatter::bytes(classes, dim) } else { ClassSums::bytes(classes, dim) }) as u64
        });
        Ok(())
    }

    /// What the records say of the run besides the metrics' own conventions.
    pub(super) fn settings(&self) -> BTreeMap<&'static str, String> {
        let job = &self.job;
        let pairs = |filters: &[(String, String)]| {
            filters.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        };
        let source = |source: &Source| match source.filters.as_slice() {
            [] => source.path.clone(),
            filters => format!("{}?{}", source.path, pairs(filters).replace(' ', "&")),
        };
        let mut settings = BTreeMap::new();
        settings.insert("group_by", job.request.group_by.join(","));
        settings.insert("where", pairs(&job.request.filters));
        settings.insert("features", self.archive.features().name.clone());
        settings.insert("labels", self.archive.labels().map_or(String::new(), |column| column.name.clone()));
        settings.insert("grid", job.rounding.exponent.map_or("chunk".to_owned(), |e| e.to_string()));
        settings.insert("extra_bits", job.rounding.extra_bits.to_string());
        settings.insert("ignore_label", job.request.ignore_label.clone().unwrap_or_default());
        settings.insert("head", job.head.as_ref().map_or(String::new(), ToString::to_string));
        settings.insert("decisions", job.decisions.as_ref().map_or(String::new(), source));
        settings.insert("ood", job.ood.as_ref().map_or(String::new(), source));
        settings.retain(|_, value| !value.is_empty());
        settings
    }
}

impl Watch {
    /// Fails once a stop was asked for.
    pub(super) fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::interrupted("stopped before the end")) } else { Ok(()) }
    }
}
