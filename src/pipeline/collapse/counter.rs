//! Chunks of rows in memory become states, on several threads.
//!
//! Any split of a chunk's rows adds up to the same state, and states add up in any order. So threads change no bit: they share
//! the rows of a chunk, class by class or block by block, or take whole chunks where there are several.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

use crate::archive::{Key, at_unit_length, chunk_rows};
use crate::batch::{Batch, ByClass, Features, Label};
use crate::error::{Error, Result};
use crate::kernels::{Profile, Workspace};
use crate::pipeline::digest::{mixed, share_of_rows};
use crate::pipeline::first_pass::{Blocking, Counting, deal, of_file};
use crate::pipeline::gathered::Rows;
use crate::state::{Accumulate, Chunk, Merge, Shifts, State};

/// The name that rows in memory have in place of a file's.
pub(super) const NAME: &str = "memory";

/// Fewer rows of a chunk than this are not worth a worker's scatter matrix.
const LEAST_ROWS: usize = 256;

/// Fewer values than this are not worth a thread.
const LEAST_VALUES: usize = 1 << 16;

/// Which rows of a chunk go to the state with which key; `None` is all of them.
type Share = (Key, Option<Vec<u32>>);

/// What counts rows, and the states of those that were counted.
#[derive(Debug)]
pub(super) struct Counter {
    pub(super) counting: Counting,
    /// Whether rows are divided by their length first.
    pub(super) normalize: bool,
    pub(super) threads: usize,
    shifts: Shifts,
    workers: Vec<Worker>,
    /// What a ledger says of the chunks that were counted.
    digest: u64,
}

/// A part of the states, which add up with those of the other workers.
#[derive(Debug, Default)]
struct Worker {
    states: BTreeMap<Key, State>,
    workspace: Workspace,
}

impl Clone for Counter {
    /// A copy that goes on by itself, with memory of its own to work in.
    fn clone(&self) -> Self {
        let copy = |worker: &Worker| Worker { states: worker.states.clone(), workspace: Workspace::default() };
        Self {
            counting: self.counting.clone(),
            normalize: self.normalize,
            threads: self.threads,
            shifts: Shifts::default(),
            workers: self.workers.iter().map(copy).collect(),
            digest: self.digest,
        }
    }
}

impl Counter {
    pub(super) fn new(counting: Counting, normalize: bool, threads: usize) -> Self {
        let workers = (0..threads.max(1)).map(|_| Worker::default()).collect();
        Self { counting, normalize, threads: threads.max(1), shifts: Shifts::default(), workers, digest: 0 }
    }

    /// Adds chunks of rows.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulate::update`], after which the states are unspecified.
    pub(super) fn add<T: Copy + Sync>(&mut self, rows: &Rows<'_, T>) -> Result<()>
    where
        for<'a> Features<'a>: From<&'a [T]>,
    {
        let useful =
            if rows.count() > chunk_rows(rows.dim) { self.threads } else { most_parts(rows.count(), rows.dim) };
        let digest = in_pool(self.threads.min(useful), || self.add_here(rows))??;
        self.digest = self.digest.wrapping_add(digest);
        Ok(())
    }

    /// The states of all rows, those that were added and the rest, which is added to copies; and the digest of all. Works on
    /// the threads of the current pool.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add) for the rest.
    pub(super) fn states<T: Copy + Sync>(&mut self, rest: &Rows<'_, T>) -> Result<(BTreeMap<Key, State>, u64)>
    where
        for<'a> Features<'a>: From<&'a [T]>,
    {
        let mut digest = self.digest;
        let mut all: BTreeMap<Key, State> = BTreeMap::new();
        self.workers.iter().try_for_each(|worker| merge(&mut all, worker.states.clone()))?;
        if rest.count() > 0 {
            let kept: Vec<_> = self.workers.iter_mut().map(|worker| take(&mut worker.states)).collect();
            let added = self.add_here(rest);
            let of_rest: Vec<_> = self.workers.iter_mut().map(|worker| take(&mut worker.states)).collect();
            self.workers.iter_mut().zip(kept).for_each(|(worker, states)| worker.states = states);
            digest = digest.wrapping_add(added?);
            of_rest.into_iter().try_for_each(|states| merge(&mut all, states))?;
        }
        Ok((all, digest))
    }

    /// Adds chunks on the threads of the current pool; returns their digest.
    fn add_here<T: Copy + Sync>(&mut self, rows: &Rows<'_, T>) -> Result<u64>
    where
        for<'a> Features<'a>: From<&'a [T]>,
    {
        let chunks = rows.chunks();
        if chunks.len() == 1 || self.counting.blocking.is_some() {
            // The states of blocks are many: each of them has one worker.
            return chunks.iter().try_fold(0_u64, |digest, chunk| Ok(digest.wrapping_add(self.share_chunk(chunk)?)));
        }
        let Self { counting, normalize, shifts, workers, .. } = self;
        let (counting, shifts, next) = (&*counting, &*shifts, AtomicUsize::new(0));
        let outcomes: Vec<Result<u64>> = workers
            .par_iter_mut()
            .map(|worker| {
                let mut digest = 0_u64;
                while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let added = with_batch(chunk, *normalize, |batch| {
                        let profile = counting.rounding.profile(batch, &mut worker.workspace)?;
                        worker.add(counting, batch, &profile, &[(Vec::new(), None)], shifts)?;
                        worker.workspace.recycle(profile);
                        Ok(share(chunk, batch))
                    });
                    digest = digest.wrapping_add(added?);
                }
                Ok(digest)
            })
            .collect();
        outcomes.into_iter().try_fold(0_u64, |sum, digest| Ok(sum.wrapping_add(digest?)))
    }

    /// Adds one chunk, whose rows the workers share.
    fn share_chunk<T: Copy + Sync>(&mut self, chunk: &Rows<'_, T>) -> Result<u64>
    where
        for<'a> Features<'a>: From<&'a [T]>,
    {
        let Self { counting, normalize, threads, shifts, workers, .. } = self;
        let (counting, shifts) = (&*counting, &*shifts);
        with_batch(chunk, *normalize, |batch| {
            let first = workers.first_mut().ok_or_else(|| Error::internal("there is no worker"))?;
            let profile = counting.rounding.profile(batch, &mut first.workspace)?;
            let shares = shares(counting, chunk, batch, *threads);
            let mut of_worker: Vec<Vec<Share>> = vec![Vec::new(); workers.len()];
            for (at, share) in shares.into_iter().enumerate() {
                // A block has the same worker in all chunks.
                let place = match share.0.last() {
                    Some(Label::Int(block)) => *block as usize,
                    _ => at,
                };
                of_worker[place % workers.len()].push(share);
            }
            let add =
                |(worker, shares): (&mut Worker, &Vec<Share>)| worker.add(counting, batch, &profile, shares, shifts);
            let (digest, outcomes) = rayon::join(
                || share(chunk, batch),
                || workers.par_iter_mut().zip(&of_worker).map(add).collect::<Vec<Result<()>>>(),
            );
            let row = |error: &Error| error.fact("row").and_then(|row| row.parse::<u64>().ok());
            if let Some(error) = outcomes.into_iter().filter_map(Result::err).min_by_key(row) {
                return Err(error);
            }
            if let Some(first) = workers.first_mut() {
                first.workspace.recycle(profile);
            }
            Ok(digest)
        })
    }
}

impl Worker {
    fn add(
        &mut self,
        counting: &Counting,
        batch: &Batch<'_>,
        profile: &Profile,
        shares: &[Share],
        shifts: &Shifts,
    ) -> Result<()> {
        for (key, rows) in shares {
            let state = self.states.entry(key.clone()).or_insert_with(|| State::new(counting.scatter));
            state.update(&Chunk { batch: *batch, profile }, rows.as_deref(), shifts, &mut self.workspace)?;
        }
        Ok(())
    }
}

/// Who adds which rows of a chunk.
fn shares<T: Copy>(counting: &Counting, chunk: &Rows<'_, T>, batch: &Batch<'_>, threads: usize) -> Vec<Share> {
    let rows = batch.rows();
    if let Blocking::Dealt(dealing) = &counting.blocking {
        let mut dealt = vec![Vec::new(); dealing.blocks as usize];
        if dealing.key.is_some() {
            (0..).zip(chunk.blocks).for_each(|(row, &block)| dealt[block as usize].push(row));
        } else {
            let file = of_file(NAME, &[]);
            dealt = deal(batch, None, dealing.blocks as usize, |row| mixed(file, chunk.first + u64::from(row)));
        }
        let block = |(block, rows): (usize, Vec<u32>)| (vec![Label::Int(block as i128)], Some(rows));
        return dealt.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty()).map(block).collect();
    }
    let parts = threads.min(most_parts(rows, batch.dim()));
    if parts == 1 {
        return vec![(Vec::new(), None)];
    }
    // Class by class: each class then has the sums of one worker, or of two.
    let order = ByClass::of(batch, None);
    let size = rows.div_ceil(parts);
    order.rows().chunks(size).map(|rows| (Vec::new(), Some(rows.to_vec()))).collect()
}

/// Into how many parts so many rows are split at most.
fn most_parts(rows: usize, dim: usize) -> usize {
    (rows / LEAST_ROWS.max(LEAST_VALUES.div_ceil(dim))).max(1)
}

/// The chunk as it is counted: as it is, or with rows at length 1.
fn with_batch<T: Copy, R>(chunk: &Rows<'_, T>, normalize: bool, work: impl FnOnce(&Batch<'_>) -> Result<R>) -> Result<R>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    if !normalize {
        return work(&chunk.batch()?);
    }
    let (values, _) = at_unit_length(chunk.values.into(), chunk.dim);
    work(&Batch::of_finite(chunk.dim, Features::F64(&values), chunk.codes, chunk.classes)?)
}

/// The share of a chunk in the digest.
fn share<T: Copy>(chunk: &Rows<'_, T>, batch: &Batch<'_>) -> u64 {
    let number = chunk.first as usize / chunk_rows(chunk.dim);
    share_of_rows(batch.features(), batch.codes(), batch.classes(), number)
}

fn merge(all: &mut BTreeMap<Key, State>, states: BTreeMap<Key, State>) -> Result<()> {
    for (key, state) in states {
        match all.get_mut(&key) {
            Some(known) => known.merge(&state)?,
            None => {
                all.insert(key, state);
            }
        }
    }
    Ok(())
}

/// Does work in a pool of threads that ends with it: a process that is forked later has no threads of it to miss.
pub(super) fn in_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> Result<R> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.map_err(|error| Error::resource("cannot start threads").with("detail", &error).caused_by(error))?;
    Ok(pool.install(work))
}
