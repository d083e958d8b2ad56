//! The first pass: rows become states. Here it is planned: what is read, in which order, and what that takes.

mod blocks;
mod count;
mod ood;
mod shared;

pub(super) use blocks::{Blocking, deal, dealt_block, of_file};
pub use count::Rounding;
pub(super) use count::{Counted, accumulate, accumulate_until, at_row, merge, sound_units};
pub(super) use ood::ood_means;
use shared::unshared;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rayon::prelude::*;

use crate::archive::{Archive, Key, LabelsSeen, Policy, Request, Unit, chunk_rows, is_damage, pooled_summary};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::kernels::{ChunkShape, Device};
use crate::pipeline::group_batches::group_batches;
use crate::pipeline::heads::{Candidate, Labels};
use crate::pipeline::memory::{Meter, MetricMemory, class_bytes};
use crate::pipeline::provenance::{of_rows, provenance};
use crate::state::{Scatter, State};
use crate::store::{Provenance, locate};

/// A first pass that is planned: files are open, and only their footers have been read.
#[derive(Debug)]
pub(in crate::pipeline) struct FirstPass {
    pub(in crate::pipeline) archive: Archive,
    pub(in crate::pipeline) request: Request,
    pub(in crate::pipeline) rounding: Rounding,
    pub(in crate::pipeline) device: Device,
    /// Whether second moments are kept.
    pub(in crate::pipeline) scatter: bool,
    /// How rows of a group are put into blocks. The archive's keys are those of the request, and then that of the blocks.
    pub(in crate::pipeline) blocking: Blocking,
    /// `D` of each file of the archive; 0 where it has no row.
    dims: Vec<usize>,
    /// Units that are read together.
    pub(in crate::pipeline) group_batches: Vec<Vec<usize>>,
    pub(in crate::pipeline) threads: usize,
    pub(in crate::pipeline) memory: u64,
    /// What has grown with the rows.
    pub(in crate::pipeline) meter: Meter,
}

/// How rows become states.
#[derive(Clone, Debug)]
pub(in crate::pipeline) struct Counting {
    /// How rows are rounded.
    pub(in crate::pipeline) rounding: Rounding,
    /// Whether second moments are kept.
    pub(in crate::pipeline) scatter: bool,
    /// How rows are put into blocks.
    pub(in crate::pipeline) blocking: Blocking,
}

/// A plan in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files of the first read.
    pub files: usize,
    /// Their rows, before filters on columns.
    pub rows: u64,
    /// Whether there are such filters, so that fewer rows may count.
    pub filtered: bool,
    /// Bytes of the columns read, over all passes, as stored.
    pub bytes: u64,
    /// How often rows are read.
    pub passes: usize,
    /// Groups, where all units say theirs.
    pub groups: Option<usize>,
    /// Bytes of memory for buffers and second moments; classes come on top.
    pub memory: u64,
    /// Bytes that a class takes at most: its sums, or what metrics make of them.
    pub class_memory: u64,
    /// Bytes of sums that threads add up apart at most, before they share them.
    pub unshared_memory: u64,
    /// Worker threads.
    pub threads: usize,
    /// What works on the rows, with the reason where the program chose it.
    pub device: String,
    /// Bytes that buffers and second moments take on the device, and how many are free there; `None` on the CPU. Class sums
    /// come on top, as in [`memory`](Self::memory).
    pub device_memory: Option<(u64, u64)>,
}

/// The rows of a group make sums of one length.
pub(in crate::pipeline) fn differ_in_length(expected: usize, found: usize) -> Error {
    Error::data("the rows of a group differ in length")
        .with("expected", expected)
        .with("found", found)
        .help("add the key that tells them apart to --group-by, or leave some out: --where, and behind the path of further rows ?key=value")
}

/// Units whose labels are looked at together.
const FEW: usize = 64;

/// Chunks in hand per thread: the one worked on, one decoded in advance, and Arrow's buffers for it.
const CHUNKS_PER_THREAD: u64 = 3;

/// Chunks per thread in the memory from which a device copies: one is copied while the next is written.
const STAGED_CHUNKS: u64 = 2;

/// Times that the texts of a row group are in memory.
const TEXT_COPIES: u64 = 3;

/// Bytes that a text of a chunk takes beside itself, as a label and where it is looked up.
const TEXT_BYTES: u64 = 120;

/// So many workers more than asked for, where a device works: they wait for it while the others decode.
const WAITING: usize = 4;

/// About as many values one core decodes and adds to class sums in a second, and as many products it adds to a Gram matrix.
const VALUES_PER_SECOND: f64 = 4e8;
pub(in crate::pipeline) const PRODUCTS_PER_SECOND: f64 = 2e10;

impl FirstPass {
    /// Plans to read an archive on so many threads, with so many bytes of memory. The archive was opened as the blocks
    /// [ask](Blocking::request) for.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the rows of a group differ in length;
    /// [`Resource`](crate::error::ErrorKind::Resource) if the memory does not suffice.
    pub(in crate::pipeline) fn new(
        archive: Archive,
        request: Request,
        Counting { rounding, scatter, blocking }: Counting,
        device: Device,
        threads: usize,
        memory: u64,
    ) -> Result<Self> {
        let dims = (0..archive.files().len())
            .map(|file| archive.file_dim(file).map(Option::unwrap_or_default))
            .collect::<Result<_>>()?;
        let mut first_pass = Self {
            archive,
            request,
            rounding,
            device,
            scatter,
            blocking,
            dims,
            group_batches: Vec::new(),
            threads: threads.max(1),
            memory,
            meter: Meter::default(),
        };
        first_pass.check_dims()?;
        first_pass.device = first_pass.device.decided(first_pass.rough_time());
        if first_pass.device.is_offload() {
            first_pass.threads += WAITING;
        }
        first_pass.fit_memory()?;
        Ok(first_pass)
    }

    /// About how long the CPU takes for the rows, from their number alone.
    fn rough_time(&self) -> Duration {
        let of_unit = |unit: &Unit| {
            let (rows, dim) = (unit.rows as f64, self.dims[unit.file] as f64);
            let products = if self.scatter { rows * dim * dim / 2.0 } else { 0.0 };
            rows * dim / VALUES_PER_SECOND + products / PRODUCTS_PER_SECOND
        };
        let seconds: f64 = self.archive.units().iter().map(of_unit).sum();
        Duration::from_secs_f64(seconds / self.threads as f64)
    }

    /// One read of all units, in numbers.
    pub(in crate::pipeline) fn summary(&self) -> Summary {
        Summary {
            files: self.archive.files().len(),
            rows: self.archive.units().iter().map(|unit| unit.rows).sum(),
            filtered: self.archive.filters_rows(),
            bytes: bytes(&self.archive),
            passes: 1,
            groups: self.known_groups().map(|groups| groups.len()),
            memory: self.memory,
            class_memory: class_bytes(&Label::Int(0), self.largest_dim()),
            unshared_memory: unshared(self.meter.limit(), self.threads),
            threads: self.threads,
            device: self.device.name().to_owned(),
            device_memory: self.device.memory(&self.shape(), self.threads),
        }
    }

    /// The largest chunks that a worker hands to its device.
    fn shape(&self) -> ChunkShape {
        let dim = self.largest_dim().max(1);
        let stored = self.archive.value_bytes();
        let value_bytes = if self.request.normalize { 8 } else { stored };
        let rows = self.archive.units().iter().map(|unit| unit.rows).max().unwrap_or(0);
        ChunkShape { rows: chunk_rows(dim).min(rows as usize), dim, value_bytes, gram: self.scatter }
    }

    /// The keys of the groups, where all units say theirs.
    pub(in crate::pipeline) fn known_groups(&self) -> Option<Vec<Key>> {
        let group = |unit: &Unit| unit.key.as_ref().map(|key| self.blocking.group(key).to_vec());
        let keys: Option<Vec<Key>> = self.archive.units().iter().map(group).collect();
        keys.map(|mut keys| {
            keys.sort();
            keys.dedup();
            keys
        })
    }

    /// The groups with their `D`, and some labels, or all of them: what there is to be known before vectors are read.
    /// Labels and keys are read where the units do not say theirs.
    ///
    /// # Errors
    ///
    /// That of the first unit which has one; damage is for the run to tell where files may be bad.
    pub(in crate::pipeline) fn survey(&self, all_labels: bool) -> Result<(Vec<Candidate>, Labels)> {
        let units = self.archive.units();
        let last = units.len().saturating_sub(1);
        let read = |&unit: &usize| all_labels || units[unit].key.is_none() || unit == 0 || unit == last;
        let seen = |&unit: &usize| match self.archive.seen_in(unit) {
            Err(error) if is_damage(&error) && self.request.bad_files == Policy::Skip => Ok((unit, LabelsSeen::new())),
            seen => seen.map(|seen| (unit, seen)),
        };
        let mut dims: BTreeMap<Key, usize> = BTreeMap::new();
        let mut enter = |key: &Key, file: usize| {
            let dim = dims.entry(self.blocking.group(key).to_vec()).or_default();
            *dim = self.dims[file].max(*dim);
        };
        for unit in units {
            unit.key.iter().for_each(|key| enter(key, unit.file));
        }
        let mut labels = Labels::of(self.archive.label_kind());
        // A few at a time: what many units have in common is kept once.
        for few in (0..units.len()).filter(read).collect::<Vec<_>>().chunks(FEW) {
            let looked: Vec<Result<(usize, LabelsSeen)>> = few.par_iter().map(seen).collect();
            for seen in looked {
                let (unit, seen) = seen?;
                let probe = unit == 0 || unit == last;
                for (key, found) in seen {
                    enter(&key, units[unit].file);
                    labels.add(probe.then(|| self.blocking.group(&key).to_vec()), found);
                }
            }
        }
        let candidate = |(key, dim)| Candidate { key, dim: Some(dim).filter(|&dim| dim > 0) };
        Ok((dims.into_iter().map(candidate).collect(), labels))
    }

    /// Says which group an error is about.
    pub(in crate::pipeline) fn locate(&self, error: Error, key: &Key) -> Error {
        locate(error, &self.request.group_by, key)
    }

    /// Finds rows of one group that differ in length before the first row is read, where the units say their groups.
    fn check_dims(&self) -> Result<()> {
        let mut known: BTreeMap<&[Label], usize> = BTreeMap::new();
        for unit in self.archive.units() {
            let dim = self.dims[unit.file];
            let Some(key) = unit.key.as_ref().filter(|_| dim > 0) else { continue };
            let expected = *known.entry(self.blocking.group(key)).or_insert(dim);
            if expected != dim {
                return Err(self
                    .locate(differ_in_length(expected, dim), key)
                    .with("file", &self.archive.files()[unit.file].shown));
            }
        }
        Ok(())
    }

    /// Takes as many threads as the memory allows, and settles the batches of groups.
    fn fit_memory(&mut self) -> Result<()> {
        let limit = self.memory;
        let dim = self.largest_dim();
        let stored = self.archive.value_bytes().max(4);
        // Rows at length 1 are f64, beside the rows as they are.
        let value_bytes = if self.request.normalize { stored + 8 } else { stored };
        let chunk = (chunk_rows(dim.max(1)) * dim * value_bytes) as u64;
        // Rounded rows are blocks of f64, and a chunk's scatter is made beside the group's.
        let block = (2048 * dim * 8) as u64;
        let scatter = if self.scatter { Scatter::bytes(0, dim) as u64 } else { 0 };
        // Labels and keys: as pages, as an array, and the different ones apart. Each takes four bytes at least.
        let most = chunk_rows(dim.max(1)) as u64;
        let texts =
            |unit: &Unit| TEXT_COPIES * unit.text_bytes + TEXT_BYTES * (unit.text_bytes / 4).min(unit.rows).min(most);
        let texts = self.archive.units().iter().map(texts).max().unwrap_or(0);
        let staging = if self.device.is_offload() { STAGED_CHUNKS * chunk } else { 0 };
        // A thread has a scatter for each block of a group; then there are those of all threads, and the group's.
        let blocks = self.blocks();
        let all = if self.blocking.is_some() { (blocks + 1) * scatter } else { scatter };
        let per_thread = CHUNKS_PER_THREAD * chunk + staging + block + (blocks + 1) * scatter + texts;
        let footers = |threads: usize| self.archive.footer_memory(threads);
        let needed = |threads: usize| threads as u64 * per_thread + all + footers(threads);
        let threads = (1..=self.threads).rev().find(|&threads| needed(threads) <= limit).unwrap_or(1);
        let needed = needed(threads);
        (self.threads, self.memory) = (threads, needed);
        self.meter = Meter::new(limit, needed);
        if self.memory > limit {
            return Err(Error::resource("the run needs more memory than it may use")
                .with("needed", format!("{} bytes", self.memory))
                .with("allowed", format!("{limit} bytes"))
                .help(format!(
                    "--memory {}MiB, {}or --metrics without a D × D matrix",
                    self.memory.div_ceil(1 << 20),
                    if self.blocking.is_some() { "fewer blocks for --error-bars, " } else { "" }
                )));
        }
        // Every thread holds a state of each group of its own, with the maps that find classes.
        let budget = (limit - self.memory) / 2 / self.threads as u64;
        let with_scatter = self.scatter;
        self.group_batches = group_batches(&self.archive, &self.dims, &self.blocking, budget, |rows, dim| {
            // No more classes than rows; and a group seldom has more than one class in eight rows.
            let classes = (rows / 8 + 1) as usize;
            blocks * State::bytes(with_scatter, classes, dim) as u64
        });
        Ok(())
    }

    /// How many states a group has: the blocks that are asked for, or those of all groups where a key of the rows makes them.
    fn blocks(&self) -> u64 {
        let values = || {
            let keys = self.archive.units().iter().filter_map(|unit| unit.key.as_ref()?.last());
            keys.collect::<BTreeSet<&Label>>().len().max(1) as u64
        };
        self.blocking.count().unwrap_or_else(values)
    }

    /// The largest `D` of the files.
    pub(in crate::pipeline) fn largest_dim(&self) -> usize {
        self.dims.iter().copied().max().unwrap_or(0)
    }

    /// Whether there is memory for what metrics make of a scatter, whatever the classes.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) with the number if there is not.
    pub(in crate::pipeline) fn check_metrics(&self) -> Result<()> {
        let dim = self.largest_dim() as u64;
        let memory = MetricMemory { scatter: self.scatter, ..MetricMemory::default() };
        self.meter.check_all(memory.held(0, dim) + memory.measuring(0, dim))
    }

    /// Under which conventions the rows are counted.
    pub(in crate::pipeline) fn provenance(&self) -> Provenance {
        provenance(&self.archive, &self.request, self.rounding, self.scatter, &self.blocking)
    }

    /// What the records say of the rows, once they were read.
    pub(in crate::pipeline) fn of_rows(&self) -> BTreeMap<&'static str, String> {
        of_rows(&self.provenance(), pooled_summary(&self.archive.all_pooled()))
    }
}

/// Bytes of the columns read, as stored.
pub(in crate::pipeline) fn bytes(archive: &Archive) -> u64 {
    archive.units().iter().map(|unit| unit.bytes).sum()
}

/// The keys of a group with their names.
pub(in crate::pipeline) fn named(names: &[String], key: &Key) -> Vec<(String, Label)> {
    names.iter().cloned().zip(key.iter().cloned()).collect()
}
