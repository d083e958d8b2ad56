//! `nckit scheduler`, `nckit executor`, and counting on their cluster.

pub(super) mod args;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use args::{ClusterFlags, Executor, QueryFlags, Scheduler};
use datafusion::prelude::SessionContext;
use rayon::ThreadPoolBuilder;

use super::console::{Console, count, counted};
use super::measure::cannot_start_threads;
use crate::cluster::{self, Cluster, Progress, QueryCluster, Settings};
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::pipeline::{CheckpointedPass, PartSize, Resources, Saving, Watch};

/// A silent executor counts as dead after this time at the earliest.
const LEAST_TIMEOUT: Duration = Duration::from_secs(6);

/// About how many tasks there are, and how large they are: small ones keep many executors busy and repeat little if they are
/// lost, but the scheduler has a millisecond's work with each.
const PARTS: u64 = 1000;
const SMALLEST: u64 = 256 << 20;
const LARGEST: u64 = 1 << 30;

/// The most units of a task: their descriptions travel with it.
const UNITS: usize = 4096;

pub(super) fn schedule(args: &Scheduler, console: &Console) -> Result<()> {
    cluster::tell(console.tells_details());
    let host = host(args.host.as_ref(), &args.bind)?;
    if args.executor_timeout < LEAST_TIMEOUT {
        return Err(Error::usage("executors with work ask for more every 5 seconds only")
            .with("executor timeout", format!("{} s", args.executor_timeout.as_secs()))
            .help("--executor-timeout 6s or more"));
    }
    let scheduler = cluster::Scheduler {
        bind: args.bind.clone(),
        port: args.port,
        host: host.clone(),
        patience: args.executor_timeout,
    };
    scheduler.run(|address| console.fact("scheduler", &format!("df://{host}:{}", address.port())))
}

pub(super) fn execute(args: &Executor, console: &Console) -> Result<()> {
    cluster::tell(console.tells_details());
    let Resources { threads: slots, memory } = Resources::new(args.slots.map(usize::from), args.memory);
    ThreadPoolBuilder::new().num_threads(slots).build_global().map_err(cannot_start_threads)?;
    let own = args.work_dir.is_none();
    let folder = match &args.work_dir {
        Some(folder) => folder.clone(),
        None => own_folder(),
    };
    let executor = cluster::Executor {
        scheduler: cluster::parse_address(&args.scheduler)?,
        bind: args.bind.clone(),
        host: host(args.host.as_ref(), &args.bind)?,
        port: args.port,
        folder: folder.clone(),
        slots,
        memory,
        device: Device::chosen(args.device)?,
    };
    let slots = counted(slots as u64, "slot", "s");
    let ended = executor.run(|name| console.fact("executor", &format!("{name}   {slots}   of {}", args.scheduler)));
    if own {
        // What is left in it is of no use to anybody.
        let _ = std::fs::remove_dir_all(&folder);
    }
    ended
}

/// A folder that no other process has.
fn own_folder() -> PathBuf {
    let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    std::env::temp_dir().join(format!("nckit-executor-{}-{:x}", std::process::id(), begun.as_nanos()))
}

/// The name under which others reach a server.
fn host(asked: Option<&String>, bind: &str) -> Result<String> {
    match asked {
        Some(host) => Ok(host.clone()),
        None if bind.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_unspecified()) => {
            Err(Error::usage("a server that listens on all addresses needs a name for others")
                .help("--host NAME says under which name or address they reach this machine"))
        }
        None => Ok(bind.to_owned()),
    }
}

impl QueryFlags {
    /// The cluster that is asked for, attached to a session.
    pub(super) fn attach(&self, session: &SessionContext) -> Result<Option<QueryCluster>> {
        let Some(address) = &self.cluster else { return Ok(None) };
        let settings = Settings {
            address: address.clone(),
            every: Saving::EVERY,
            deadline: self.job_deadline,
            patience: self.patience,
        };
        let cluster = QueryCluster::new(&settings, self.task_size)?;
        cluster.attach(session);
        Ok(Some(cluster))
    }
}

impl ClusterFlags {
    /// Counts on the cluster that is asked for.
    pub(super) fn count(
        &self,
        address: &str,
        accumulation: &mut CheckpointedPass,
        watch: &Watch,
        saving: &Saving,
        console: &Console,
    ) -> Result<()> {
        let settings = Settings {
            address: address.to_owned(),
            every: saving.every,
            deadline: self.job_deadline,
            patience: self.patience,
        };
        let (before, units) = accumulation.progress();
        watch.cluster.units.store(before, Ordering::Relaxed);
        watch.cluster.total_units.store(units, Ordering::Relaxed);
        let mut cluster = Cluster::new(&settings, |Progress { jobs, units: done, executors }| {
            let (done, executors) = (before + done as u64, executors as u64);
            watch.cluster.units.store(done, Ordering::Relaxed);
            watch.cluster.executors.store(executors, Ordering::Relaxed);
            let (done, executors) = (count(done), counted(executors, "executor", "s"));
            console.detail("job", &format!("{jobs} done   {done} of {} · {executors}", counted(units, "unit", "s")));
        })?;
        let bytes = accumulation.summary().bytes / PARTS;
        let bytes = self.task_size.unwrap_or_else(|| bytes.clamp(SMALLEST, LARGEST));
        let size = PartSize { bytes, units: UNITS };
        let run = accumulation.run_elsewhere(size, &mut cluster, watch, saving);
        let Progress { jobs, executors, .. } = cluster.progress();
        if jobs > 0 {
            let (jobs, executors) = (counted(jobs, "job", "s"), counted(executors as u64, "executor", "s"));
            console.fact("cluster", &format!("{address}   {jobs} · states from {executors}"));
        }
        run
    }
}
