//! The flags of clusters.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;

use crate::cli::units::{parse_duration, parse_size};
use crate::kernels::DeviceChoice;

pub(in crate::cli) const SCHEDULER_EXAMPLES: &str = "\
Examples:
  nckit scheduler
  nckit scheduler --bind 0.0.0.0 --host node1

Whoever reaches the port can run jobs. docs/cluster.md has more.";

pub(in crate::cli) const EXECUTOR_EXAMPLES: &str = "\
Examples:
  nckit executor --scheduler df://127.0.0.1:50050
  nckit executor --scheduler df://node1:50050 --bind 0.0.0.0 --host node2 --slots 16 --memory 64GiB

Whoever reaches the ports can read files as this process can. docs/cluster.md has more.";

/// Counting on a cluster.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct ClusterFlags {
    /// Count on the executors of this scheduler: df://HOST:PORT. They must see the inputs under the same paths or addresses
    #[arg(long, value_name = "ADDRESS", help_heading = "Cluster")]
    pub(in crate::cli) cluster: Option<String>,
    /// How many bytes of columns a task counts at least; a task that is lost is repeated [default: a thousandth of all, 256MiB
    /// to 1GiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, requires = "cluster", help_heading = "Cluster")]
    pub(in crate::cli) task_size: Option<u64>,
    /// How long a job may take before the run ends with what is merged; jobs are sized to take as long as --checkpoint-every
    #[arg(long, value_name = "DUR", default_value = "1h", value_parser = parse_duration, requires = "cluster", help_heading = "Cluster")]
    pub(in crate::cli) job_deadline: Duration,
    /// How long the scheduler may be silent
    #[arg(long, value_name = "DUR", default_value = "15s", value_parser = parse_duration, requires = "cluster", help_heading = "Cluster")]
    pub(in crate::cli) patience: Duration,
}

/// Queries on a cluster.
#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct QueryFlags {
    /// Aggregate archives on the executors of this scheduler: df://HOST:PORT. All else of a query is done here, and so is an
    /// archive whose rows are not aggregated first; the run says which
    #[arg(long, value_name = "ADDRESS", help_heading = "Cluster")]
    pub(in crate::cli) cluster: Option<String>,
    /// How many bytes of columns a task reads at least
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size, requires = "cluster", help_heading = "Cluster")]
    pub(in crate::cli) task_size: u64,
    /// How long a job may take
    #[arg(long, value_name = "DUR", default_value = "1h", value_parser = parse_duration, requires = "cluster", help_heading = "Cluster")]
    pub(in crate::cli) job_deadline: Duration,
    /// How long the scheduler may be silent
    #[arg(long, value_name = "DUR", default_value = "15s", value_parser = parse_duration, requires = "cluster", help_heading = "Cluster")]
    pub(in crate::cli) patience: Duration,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct Scheduler {
    /// The address to listen on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(super) bind: String,
    /// The port to listen on; 0 takes one that is free
    #[arg(long, value_name = "PORT", default_value_t = 50050)]
    pub(super) port: u16,
    /// The name under which executors reach this machine [default: the address to listen on]
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
    /// How long an executor may be silent before others do its tasks, and how long a job waits for a first executor
    #[arg(long, value_name = "DUR", default_value = "20s", value_parser = parse_duration)]
    pub(super) executor_timeout: Duration,
}

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct Executor {
    /// The scheduler: df://HOST:PORT
    #[arg(long, value_name = "ADDRESS", required = true)]
    pub(super) scheduler: String,
    /// The address to listen on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    pub(super) bind: String,
    /// The name under which the scheduler, other executors and clients reach this machine [default: the address to listen on]
    #[arg(long, value_name = "HOST")]
    pub(super) host: Option<String>,
    /// The port that gives states; 0 takes one that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(super) port: u16,
    /// The folder for states between two steps [default: one of its own below the folder of temporary files]
    #[arg(long, value_name = "DIR")]
    pub(super) work_dir: Option<PathBuf>,
    /// Tasks at a time, each on one thread [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) slots: Option<u16>,
    /// The most memory for all tasks together, such as 8GiB [default: 60 % of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(super) memory: Option<u64>,
    /// Where rows are worked on: auto, cpu, or an NVIDIA GPU, cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t, env = "NCKIT_DEVICE")]
    pub(super) device: DeviceChoice,
}
