//! The server that counts units.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};

use super::codec::Codec;
use super::nodes::Host;
use super::runtime;
use crate::error::{Error, Result};
use crate::kernels::Device;

/// An executor, to be run.
#[derive(Clone, Debug)]
pub struct Executor {
    /// Host and port of the scheduler.
    pub scheduler: (String, u16),
    /// Where it listens.
    pub bind: String,
    /// The name under which the scheduler, other executors and clients reach it.
    pub host: String,
    /// The port that gives states; 0 takes one that is free.
    pub port: u16,
    /// Where states lie between two steps.
    pub folder: PathBuf,
    /// Tasks at a time.
    pub slots: usize,
    /// Bytes for all tasks together.
    pub memory: u64,
    /// What works on the rows.
    pub device: Device,
}

/// Seconds in which the scheduler must be reached.
const CONNECT: u16 = 20;

/// Seconds after which states are removed that nobody has asked to remove, and how often they are looked for.
const KEPT: u64 = 3600;
const SWEEP: u64 = 300;

impl Executor {
    /// Serves until the process is asked to end; `ready` gets its name before.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if the scheduler is not reached, or it cannot listen.
    pub fn run(&self, ready: impl FnOnce(&str)) -> Result<()> {
        let port = self.free_port()?;
        self.await_scheduler()?;
        let name = format!("{}:{port}", self.host);
        std::fs::create_dir_all(&self.folder).map_err(|error| {
            Error::output("cannot create the folder for states").with("file", self.folder.display()).caused_by(error)
        })?;
        let folder = self.folder.to_str().ok_or_else(|| Error::usage("the name of the folder is not Unicode"))?;
        let memory = self.memory / self.slots.max(1) as u64;
        let host = Host { name: name.clone(), device: self.device.clone(), memory };
        let begun = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let config = ExecutorProcessConfig {
            // Another one may have had the same port, and may still be awaited.
            executor_id: format!("{}-{port}-{:x}", self.host, begun.as_nanos()),
            bind_host: self.bind.clone(),
            external_host: Some(self.host.clone()),
            port,
            scheduler_host: self.scheduler.0.clone(),
            scheduler_port: self.scheduler.1,
            scheduler_connect_timeout_seconds: CONNECT,
            vcores: self.slots,
            // Executors say how many slots are free. A scheduler that counts them itself loses those of tasks whose results
            // it no longer wants, as after the death of another executor, and nothing runs any more.
            task_scheduling_policy: TaskSchedulingPolicy::PullStaged,
            work_dir: Some(folder.to_owned()),
            job_data_ttl_seconds: KEPT,
            job_data_clean_up_interval_seconds: SWEEP,
            // Our steps hold to the share of each task by themselves, and states that spill are written many times.
            memory_pool_size: Some(0),
            override_physical_codec: Some(Codec::new(Some(host))),
            ..ExecutorProcessConfig::default()
        };
        ready(&name);
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        runtime(threads)?.block_on(start_executor_process(Arc::new(config))).map_err(|error| {
            Error::io("the executor failed")
                .with("scheduler", format!("df://{}:{}", self.scheduler.0, self.scheduler.1))
                .with("detail", &error)
                .caused_by(error)
        })
    }

    /// The port that is asked for, if it is free, or one that is.
    fn free_port(&self) -> Result<u16> {
        let free = TcpListener::bind((self.bind.as_str(), self.port)).and_then(|listener| listener.local_addr());
        let free = free.map_err(|error| {
            Error::io("the executor cannot listen")
                .with("address", format!("{}:{}", self.bind, self.port))
                .with("detail", &error)
                .caused_by(error)
        })?;
        Ok(free.port())
    }

    /// Waits for the scheduler, which may be started at the same time. The engine would try for ever.
    fn await_scheduler(&self) -> Result<()> {
        let (host, port) = &self.scheduler;
        let begun = Instant::now();
        loop {
            let Err(error) = TcpStream::connect((host.as_str(), *port)) else { return Ok(()) };
            if begun.elapsed() > Duration::from_secs(CONNECT.into()) {
                return Err(Error::io("the scheduler does not answer")
                    .with("scheduler", format!("df://{host}:{port}"))
                    .with("detail", &error)
                    .help("nckit scheduler starts one")
                    .caused_by(error));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
