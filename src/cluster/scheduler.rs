//! The server that gives tasks to executors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ballista_core::config::TaskSchedulingPolicy;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::{create_scheduler, start_grpc_service_with_listener};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};

use super::codec::Codec;
use super::runtime;
use crate::error::{Error, Result};

/// A scheduler, to be run.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// Where it listens.
    pub bind: String,
    /// The port; 0 takes one that is free.
    pub port: u16,
    /// The name under which executors reach it.
    pub host: String,
    /// How long an executor may be silent before its tasks are given to others, and how long a job waits for executors when
    /// there are none.
    pub patience: Duration,
}

/// How often a task is tried that fails in reading or writing.
const ATTEMPTS: usize = 4;

/// How often a step is tried whose executors die.
const STEP_ATTEMPTS: usize = 16;

/// Seconds for which the results of jobs are kept; clients ask for their removal.
const KEPT: u64 = 3600;

type Server = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// Cancels jobs for which there has been no executor for as long as `patience`. The engine does so only with those that
/// were running when the last executor died.
async fn give_up(server: Server, patience: Duration) {
    let mut idle = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let jobs = server.state.task_manager.get_running_job_cache();
        // Ready is a scheduler with an executor.
        if jobs.is_empty() || server.is_ready() {
            idle = Instant::now();
        } else if idle.elapsed() > patience {
            for job in jobs.keys() {
                // It is tried again, a second later.
                let _ = server.cancel_job(job.clone()).await;
            }
        }
    }
}

impl Scheduler {
    /// Serves until the process ends; `ready` gets the address once there is one.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if it cannot listen.
    pub fn run(&self, ready: impl FnOnce(SocketAddr)) -> Result<()> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        runtime(threads)?.block_on(self.serve(ready))
    }

    async fn serve(&self, ready: impl FnOnce(SocketAddr)) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::io("the scheduler cannot listen")
                .with("address", format!("{}:{}", self.bind, self.port))
                .with("detail", error)
        };
        let listener = tokio::net::TcpListener::bind((self.bind.as_str(), self.port));
        let listener = listener.await.map_err(|error| failed(&error))?;
        let address = listener.local_addr().map_err(|error| failed(&error))?;
        let seconds = self.patience.as_secs().max(1);
        let config = SchedulerConfig {
            external_host: self.host.clone(),
            bind_host: self.bind.clone(),
            bind_port: address.port(),
            scheduling_policy: TaskSchedulingPolicy::PullStaged,
            executor_timeout_seconds: seconds,
            expire_dead_executor_interval_seconds: 1,
            no_executors_grace_period_seconds: seconds,
            finished_job_data_clean_up_interval_seconds: KEPT,
            finished_job_state_clean_up_interval_seconds: KEPT,
            task_max_failures: ATTEMPTS,
            stage_max_failures: STEP_ATTEMPTS,
            min_ready_executors: 1,
            override_physical_codec: Some(Codec::new(None)),
            ..SchedulerConfig::default()
        };
        let engine = |error: ballista_core::error::BallistaError| {
            Error::io("the scheduler failed").with("detail", &error).caused_by(error)
        };
        let cluster = BallistaCluster::new_from_config(&config).await.map_err(engine)?;
        let server = create_scheduler::<LogicalPlanNode, PhysicalPlanNode>(cluster, Arc::new(config));
        let server = server.await.map_err(engine)?;
        tokio::spawn(give_up(server.clone(), self.patience));
        ready(address);
        start_grpc_service_with_listener(listener, server).await.map_err(engine)
    }
}
