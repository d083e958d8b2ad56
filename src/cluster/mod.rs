//! A cluster counts the units of a plan: Ballista, the distributed engine of DataFusion, moves descriptions of units to
//! executors and states back.
//!
//! The client plans as always, and its ledger decides what is counted; the cluster is given units and returns states. So
//! whatever a cluster loses, repeats or delivers late, the state that is written is the one that a single process writes, or
//! there is an error.
//!
//! | file | purpose |
//! |---|---|
//! | `nodes` | the two steps of a job: units become states, and states are merged |
//! | `blocks` | states as rows, in blocks that fit into messages |
//! | `codec` | how the steps are written into messages |
//! | `error` | errors that pass through the engine and keep their kind and facts |
//! | `job` | one job: submitted, watched, fetched |
//! | `client` | many jobs, a few at a time, until all units are counted |
//! | `queries` | the first halves of aggregations in SQL, which `sql::travel` takes out of plans |
//! | `stamped` | rows of queries that say of which part they are, so that none counts twice |
//! | `scheduler`, `executor` | the two kinds of servers |
//! | `log` | what the engine tells of itself |

mod blocks;
mod client;
mod codec;
mod error;
mod executor;
mod job;
mod log;
mod nodes;
mod queries;
mod scheduler;
mod stamped;

pub use client::{Cluster, Progress, Settings};
pub use executor::Executor;
pub use log::tell;
pub use queries::QueryCluster;
pub use scheduler::Scheduler;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Parses `df://HOST:PORT`.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) for anything else.
pub fn parse_address(text: &str) -> Result<(String, u16)> {
    let parsed = || {
        let (host, port) = text.strip_prefix("df://")?.trim_end_matches('/').rsplit_once(':')?;
        let is_host = !host.is_empty() && !host.contains(['/', '@', ' ']);
        Some((host.to_owned(), port.parse().ok()?)).filter(|_| is_host)
    };
    parsed().ok_or_else(|| {
        Error::usage("the address of a scheduler is df://HOST:PORT").with("address", crate::archive::escaped(text))
    })
}

/// Asks work elsewhere to stop, once whoever waits for it drops this.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The threads on which messages are sent and awaited.
fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    built.map_err(|error| Error::resource("cannot start threads").with("detail", &error).caused_by(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_a_port() {
        assert_eq!(parse_address("df://node7:50050").unwrap(), ("node7".to_owned(), 50050));
        assert_eq!(parse_address("df://[::1]:1/").unwrap(), ("[::1]".to_owned(), 1));
        for wrong in ["node7:50050", "df://node7", "df://:5", "df://a/b:5", "df://a:port", "http://a:5"] {
            assert!(parse_address(wrong).is_err(), "{wrong}");
        }
    }
}
