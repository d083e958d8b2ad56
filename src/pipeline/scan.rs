//! Units and chunks on several threads.
//!
//! Every worker takes a unit, decodes its chunks and works on them itself, unless another has nothing to do: then the
//! chunk is handed over. So many small units keep all threads busy as well as one large one does.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::archive::{Archive, DecodedChunk};
use crate::error::{Error, Result};

/// How far a run has come, and whether it should stop.
#[derive(Debug, Default)]
pub struct Watch {
    /// Bytes of column data read, as stored, over all passes.
    pub bytes: AtomicU64,
    /// Rows read, over all passes.
    pub rows: AtomicU64,
    /// Set to stop after the chunks in hand.
    pub stop: Arc<AtomicBool>,
    /// What other machines have done.
    pub cluster: ClusterWatch,
}

/// How far a cluster has come with a run; all 0 where none counts.
#[derive(Debug, Default)]
pub struct ClusterWatch {
    /// Units that it has counted.
    pub units: AtomicU64,
    /// Units that it is to count.
    pub total_units: AtomicU64,
    /// Executors that have returned states.
    pub executors: AtomicU64,
}

impl Watch {
    /// Bytes and rows read so far.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.rows.load(Ordering::Relaxed))
    }

    /// Forgets what was read since: it is read again.
    pub(super) fn go_back_to(&self, (bytes, rows): (u64, u64)) {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.rows.store(rows, Ordering::Relaxed);
    }

    /// Fails once a stop was asked for.
    pub(crate) fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) { Err(Error::interrupted("stopped before the end")) } else { Ok(()) }
    }
}

/// A chunk's place among all: the unit's position in the list of units, and the chunk's within the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) unit: usize,
    pub(super) chunk: usize,
}

/// Reads `units` and hands each chunk to one of the workers that `worker` makes; returns the workers.
///
/// # Errors
///
/// That of the first unit and chunk, in the order given, which has one; [`Interrupted`](crate::error::ErrorKind::Interrupted).
pub(super) fn scan<W: Send>(
    archive: &Archive,
    units: &[usize],
    threads: usize,
    watch: &Watch,
    worker: impl Fn() -> W + Sync,
    look: impl Fn(&mut W, Place, &DecodedChunk) -> Result<()> + Sync,
) -> Result<Vec<W>> {
    let (workers, _) = scan_until(archive, units, threads, watch, None, worker, look)?;
    if watch.stop.load(Ordering::Relaxed) { Err(Error::interrupted("stopped before the end")) } else { Ok(workers) }
}

/// The same up to the unit at which `pause` first holds, which is not the first: returns how many units were read, and
/// every one of them to its end. What stops a run otherwise is left to `pause`.
///
/// # Errors
///
/// That of the first unit and chunk, in the order given, which has one.
pub(super) fn scan_until<W: Send>(
    archive: &Archive,
    units: &[usize],
    threads: usize,
    watch: &Watch,
    pause: Option<&(dyn Fn() -> bool + Sync)>,
    worker: impl Fn() -> W + Sync,
    look: impl Fn(&mut W, Place, &DecodedChunk) -> Result<()> + Sync,
) -> Result<(Vec<W>, usize)> {
    let queue = Queue { units: units.len(), threads, state: Mutex::default(), changed: Condvar::new(), watch, pause };
    let work = || {
        let mut state = worker();
        let run = AssertUnwindSafe(|| {
            while let Some(task) = queue.take() {
                match task {
                    Task::Chunk(place, chunk) => {
                        queue.attempt(place, || look(&mut state, place, &chunk));
                        archive.recycle(*chunk);
                    }
                    Task::Unit(unit) => {
                        read_unit(archive, units[unit], unit, &queue, &mut state, &look);
                        queue.finish_reading();
                    }
                }
            }
        });
        if catch_unwind(run).is_err() {
            queue.abort(Error::internal("a worker panicked"));
        }
        state
    };
    let workers = std::thread::scope(|scope| {
        // The calling thread is one of them: a small archive needs no other.
        let handles: Vec<_> = (1..threads.min(chunks_at_most(archive, units))).map(|_| scope.spawn(work)).collect();
        let mut workers = vec![work()];
        for handle in handles {
            workers.extend(handle.join());
        }
        workers
    });
    let state = queue.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some((_, error)) => Err(error),
        None => Ok((workers, state.next_unit)),
    }
}

/// No more threads than there are pieces of work.
fn chunks_at_most(archive: &Archive, units: &[usize]) -> usize {
    let rows: u64 = units.iter().map(|&unit| archive.units()[unit].rows).sum();
    // A chunk has at least 2048 rows unless its unit is shorter.
    units.len().max((rows / 2048) as usize)
}

fn read_unit<W>(
    archive: &Archive,
    unit: usize,
    position: usize,
    queue: &Queue<'_>,
    worker: &mut W,
    look: &impl Fn(&mut W, Place, &DecodedChunk) -> Result<()>,
) {
    let start = Place { unit: position, chunk: 0 };
    let Some(mut reader) = queue.attempt(start, || archive.read(unit)) else { return };
    let (bytes, rows) = (archive.units()[unit].bytes, archive.units()[unit].rows.max(1));
    let (mut seen, mut counted) = (0, 0);
    for number in 0.. {
        let place = Place { unit: position, chunk: number };
        if queue.doomed(place) {
            return;
        }
        let Some(next) = queue.attempt(place, || reader.next()) else { return };
        let Some(chunk) = next else { break };
        seen += chunk.codes.len() as u64;
        let share = (u128::from(bytes) * u128::from(seen.min(rows)) / u128::from(rows)) as u64;
        queue.watch.bytes.fetch_add(share - counted, Ordering::Relaxed);
        queue.watch.rows.fetch_add(chunk.codes.len() as u64, Ordering::Relaxed);
        counted = share;
        if let Some(chunk) = queue.offer(place, chunk) {
            queue.attempt(place, || look(worker, place, &chunk));
            archive.recycle(chunk);
        }
    }
    queue.watch.bytes.fetch_add(bytes - counted, Ordering::Relaxed);
}

enum Task {
    Unit(usize),
    Chunk(Place, Box<DecodedChunk>),
}

struct Queue<'a> {
    units: usize,
    threads: usize,
    state: Mutex<Pending>,
    changed: Condvar,
    watch: &'a Watch,
    /// Whether no further unit is to be begun. Without it a stop ends the work after the chunks in hand.
    pause: Option<&'a (dyn Fn() -> bool + Sync)>,
}

#[derive(Default)]
struct Pending {
    next_unit: usize,
    /// Workers with a unit open.
    readers: usize,
    chunks: VecDeque<(Place, Box<DecodedChunk>)>,
    /// The failure of the earliest place so far.
    failure: Option<(Place, Error)>,
    aborted: bool,
}

impl Queue<'_> {
    fn stops_at_once(&self) -> bool {
        self.pause.is_none() && self.watch.stop.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<Task> {
        let mut pending = self.lock();
        loop {
            if pending.aborted || self.stops_at_once() {
                self.changed.notify_all();
                return None;
            }
            if let Some((place, chunk)) = pending.chunks.pop_front() {
                return Some(Task::Chunk(place, chunk));
            }
            // Units after a failure are not begun; those before it may hold an earlier one.
            let more = pending.next_unit < self.units && pending.failure.is_none();
            if more && (pending.next_unit == 0 || !self.pause.is_some_and(|pause| pause())) {
                pending.next_unit += 1;
                pending.readers += 1;
                return Some(Task::Unit(pending.next_unit - 1));
            }
            if pending.readers == 0 {
                self.changed.notify_all();
                return None;
            }
            pending = self.changed.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives a chunk to a worker without a unit, or back.
    fn offer(&self, place: Place, chunk: DecodedChunk) -> Option<DecodedChunk> {
        let mut pending = self.lock();
        if pending.chunks.len() >= self.threads - pending.readers {
            return Some(chunk);
        }
        pending.chunks.push_back((place, Box::new(chunk)));
        self.changed.notify_all();
        None
    }

    fn finish_reading(&self) {
        self.lock().readers -= 1;
        self.changed.notify_all();
    }

    /// Whether something before this place has failed, so that it does not matter any more.
    fn doomed(&self, place: Place) -> bool {
        let pending = self.lock();
        pending.aborted || self.stops_at_once() || pending.failure.as_ref().is_some_and(|(earlier, _)| *earlier < place)
    }

    /// The result, or nothing and its error kept if it is the earliest.
    fn attempt<T>(&self, place: Place, work: impl FnOnce() -> Result<T>) -> Option<T> {
        let error = match work() {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let mut pending = self.lock();
        if pending.failure.as_ref().is_none_or(|(earlier, _)| place < *earlier) {
            pending.failure = Some((place, error));
        }
        None
    }

    fn abort(&self, error: Error) {
        let mut pending = self.lock();
        pending.aborted = true;
        pending.failure = Some((Place { unit: 0, chunk: 0 }, error));
        drop(pending);
        self.changed.notify_all();
    }
}
