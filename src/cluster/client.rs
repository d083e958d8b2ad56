//! Gives parts to a cluster, some jobs at a time, until all are counted.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::job::{self, Desk, Executors, Failed, connect};
use super::{parse_address, runtime};
use crate::error::{Error, Result};
use crate::pipeline::{Elsewhere, Part, Watch};
use crate::store::{Ledger, SourceFile, StateFile};

/// How a cluster is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `df://HOST:PORT` of the scheduler.
    pub address: String,
    /// About how long a job should take: what a scheduler loses with a job is counted again.
    pub every: Duration,
    /// How long a job may take.
    pub deadline: Duration,
    /// How long the scheduler may be silent.
    pub patience: Duration,
}

/// How far a cluster has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Jobs that were done.
    pub jobs: u64,
    /// Units that they have counted.
    pub units: usize,
    /// Executors that have returned states.
    pub executors: usize,
}

/// A cluster that counts parts.
pub struct Cluster<'a> {
    /// Is told after every job.
    tell: Box<dyn FnMut(Progress) + 'a>,
    runtime: Runtime,
    desk: Desk,
    every: Duration,
    /// Parts of the next job.
    size: usize,
    /// Executors that have returned states.
    executors: Executors,
    progress: Progress,
}

/// Jobs at a time: while states of one are fetched, executors count the next.
const JOBS: usize = 2;

/// Parts of the first job, of the smallest and of the largest one.
const FIRST: usize = 32;
const FEWEST: usize = 4;
const MOST: usize = 4096;

/// The most bytes of the descriptions of a job, half of what a message holds.
const DESCRIPTIONS: usize = 8 << 20;

/// How often a job is given to machines that fail with it.
pub(super) const ATTEMPTS: u32 = 3;

/// How long a cancelled job may take to end.
pub(super) const LAST_WORDS: Duration = Duration::from_secs(5);

/// A part that is to be counted.
struct Waiting {
    bytes: Vec<u8>,
    /// Its units, as a ledger without rows.
    units: Ledger,
}

impl Waiting {
    fn new(part: &Part) -> Result<Self> {
        Ok(Self { bytes: part.encode()?, units: part.ledger().clone() })
    }
}

/// A job on its way.
struct Running {
    parts: Vec<Waiting>,
    attempts: u32,
    begun: Instant,
}

type Outcome = (u64, Result<(Vec<StateFile>, Executors), Failed>);

impl Settings {
    pub(super) fn desk(&self) -> Result<Desk> {
        let (host, port) = parse_address(&self.address)?;
        let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Ok(Desk {
            scheduler: format!("http://{host}:{port}"),
            session: format!("nckit-{}-{:x}", std::process::id(), begun.as_nanos()),
            deadline: self.deadline,
            patience: self.patience,
        })
    }
}

impl<'a> Cluster<'a> {
    /// A cluster whose scheduler answers; `tell` is told after every job.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for an address of another form; [`Io`](crate::error::ErrorKind::Io) if no
    /// scheduler answers.
    pub fn new(settings: &Settings, tell: impl FnMut(Progress) + 'a) -> Result<Self> {
        let desk = settings.desk()?;
        let runtime = runtime(2)?;
        runtime.block_on(connect(&desk))?;
        let (executors, progress) = (Executors::new(), Progress::default());
        Ok(Self { tell: Box::new(tell), runtime, desk, every: settings.every, size: FIRST, executors, progress })
    }

    /// How far it has come.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn begin(&self, number: u64, parts: &[Waiting], cancel: &Arc<AtomicBool>, outcomes: &Sender<Outcome>) {
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.bytes.clone()).collect();
        let (desk, cancel, outcomes) = (self.desk.clone(), cancel.clone(), outcomes.clone());
        let job = self.runtime.spawn(async move { job::count(&desk, &parts, &cancel).await });
        self.runtime.spawn(async move {
            let panicked = |_| Err(Failed::for_good(Error::internal("a worker panicked")));
            // Whoever waits for it may have given up.
            let _ = outcomes.send((number, job.await.unwrap_or_else(panicked)));
        });
    }

    /// Takes the parts of the next job.
    fn next(&self, queue: &mut VecDeque<Waiting>) -> Vec<Waiting> {
        let mut bytes = 0;
        let mut parts = Vec::new();
        while parts.len() < self.size
            && let Some(part) = queue.front()
            && (parts.is_empty() || bytes + part.bytes.len() <= DESCRIPTIONS)
        {
            bytes += part.bytes.len();
            parts.extend(queue.pop_front());
        }
        parts
    }

    /// Makes the next jobs larger or smaller, after one that took so long.
    fn adapt(&mut self, took: Duration, parts: usize) {
        let wanted = self.every.as_secs_f64() / took.as_secs_f64().max(1e-3);
        let size = parts as f64 * wanted.clamp(0.25, 4.0);
        self.size = (size as usize).clamp(FEWEST, MOST);
    }

    fn work(
        &mut self,
        mut queue: VecDeque<Waiting>,
        watch: &Watch,
        cancel: &Arc<AtomicBool>,
        enter: &mut dyn FnMut(StateFile) -> Result<()>,
    ) -> Result<()> {
        let (sender, outcomes): (_, Receiver<Outcome>) = channel();
        let mut running: Vec<(u64, Running)> = Vec::new();
        let mut number = 0;
        while !queue.is_empty() || !running.is_empty() {
            watch.check()?;
            while running.len() < JOBS && !queue.is_empty() {
                let parts = self.next(&mut queue);
                number += 1;
                self.begin(number, &parts, cancel, &sender);
                running.push((number, Running { parts, attempts: 1, begun: Instant::now() }));
            }
            let (done, outcome) = match outcomes.recv_timeout(Duration::from_millis(50)) {
                Ok(outcome) => outcome,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("a job ended without a word")),
            };
            let Some(at) = running.iter().position(|(number, _)| *number == done) else { continue };
            let (_, job) = running.swap_remove(at);
            match outcome.and_then(|(states, executors)| Ok((complete(states, &job.parts)?, executors))) {
                Ok((states, executors)) => {
                    self.adapt(job.begun.elapsed(), job.parts.len());
                    self.executors.extend(executors);
                    states.into_iter().try_for_each(&mut *enter)?;
                    self.progress = Progress {
                        jobs: self.progress.jobs + 1,
                        units: self.progress.units + job.parts.iter().map(|part| part.units.units()).sum::<usize>(),
                        executors: self.executors.len(),
                    };
                    (self.tell)(self.progress);
                }
                Err(Failed { by_machines: true, .. }) if job.attempts < ATTEMPTS => {
                    number += 1;
                    self.begin(number, &job.parts, cancel, &sender);
                    running.push((number, Running { attempts: job.attempts + 1, begun: Instant::now(), ..job }));
                }
                Err(Failed { error, by_machines }) => {
                    return Err(if by_machines { error.with("attempts", job.attempts) } else { error });
                }
            }
        }
        Ok(())
    }
}

/// The states of a job, if they hold every unit of its parts once. After machines have died, the engine may hand over the
/// result of a task twice.
fn complete(states: Vec<StateFile>, parts: &[Waiting]) -> Result<Vec<StateFile>, Failed> {
    let units = |ledger: &'_ Ledger| {
        let files = ledger.files().map(|(source, units)| (source.clone(), units.keys().copied().collect::<Vec<_>>()));
        files.flat_map(|(source, units)| units.into_iter().map(move |unit| (source.clone(), unit))).collect::<Vec<_>>()
    };
    let mut missing: BTreeSet<(SourceFile, u32)> = parts.iter().flat_map(|part| units(&part.units)).collect();
    for unit in states.iter().flat_map(|state| units(&state.ledger)) {
        if !missing.remove(&unit) {
            return Err(Failed::by_machines(
                Error::io("a cluster has handed over rows twice").with("file", unit.0.name).with("row group", unit.1),
            ));
        }
    }
    match missing.first() {
        None => Ok(states),
        Some((source, row_group)) => Err(Failed::by_machines(
            Error::io("a cluster has lost rows").with("file", &source.name).with("row group", row_group),
        )),
    }
}

impl Elsewhere for Cluster<'_> {
    fn count(&mut self, parts: Vec<Part>, watch: &Watch, enter: &mut dyn FnMut(StateFile) -> Result<()>) -> Result<()> {
        let queue = parts.iter().map(Waiting::new).collect::<Result<_>>()?;
        let cancel = Arc::new(AtomicBool::new(false));
        let worked = self.work(queue, watch, &cancel, enter);
        if worked.is_err() {
            cancel.store(true, Ordering::Relaxed);
            let begun = Instant::now();
            // Each job holds the flag until it has been cancelled.
            while Arc::strong_count(&cancel) > 1 && begun.elapsed() < LAST_WORDS {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        worked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Device;
    use crate::pipeline::{CheckpointedPass, PartSize, Saving, Task};

    /// Keeps the parts of a plan, and what becomes of each.
    #[derive(Default)]
    struct Kept(Vec<Waiting>, Vec<StateFile>);

    impl Elsewhere for Kept {
        fn count(&mut self, parts: Vec<Part>, watch: &Watch, _: &mut dyn FnMut(StateFile) -> Result<()>) -> Result<()> {
            for part in parts {
                self.1.push(part.count(&Device::cpu(), 1, 1 << 30, watch)?);
                self.0.push(Waiting::new(&part)?);
            }
            Err(Error::interrupted("enough"))
        }
    }

    #[test]
    fn a_job_is_done_when_every_unit_has_come_once() {
        let place = tempfile::tempdir().unwrap();
        let mut task = Task::new(["tests/data/digits/hive/epoch=9"]);
        task.request.group_by = vec!["layer".to_owned(), "split".to_owned()];
        let mut kept = Kept::default();
        let saving = Saving::new(place.path().join("x.ncst"));
        let mut pass = CheckpointedPass::begin(&task, None).unwrap();
        let size = PartSize { bytes: 1, units: 1 };
        pass.run_elsewhere(size, &mut kept, &Watch::default(), &saving).unwrap_err();
        let Kept(parts, states) = kept;
        assert!(parts.len() > 2);
        let units = |states: &[StateFile]| -> BTreeSet<SourceFile> {
            states.iter().flat_map(|state| state.ledger.files().map(|(source, _)| source.clone())).collect()
        };
        let all = units(&states);
        assert_eq!(units(&complete(states.clone(), &parts).unwrap()), all);
        let twice = [states.clone(), vec![states[1].clone()]].concat();
        let failed = complete(twice, &parts).unwrap_err();
        assert!(failed.by_machines && failed.error.message().contains("twice"));
        let failed = complete(states[1..].to_vec(), &parts).unwrap_err();
        assert!(failed.by_machines && failed.error.message().contains("lost"));
    }
}
