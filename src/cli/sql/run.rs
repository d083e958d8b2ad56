//! Running statements, one after the other, until somebody asks to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::output::Outputs;
use crate::cli::bug;
use crate::error::{Error, Result};
use crate::sql::{Access, Query, SessionOptions, conventions, session};

/// How long an interrupt may go unnoticed.
const PATIENCE: Duration = Duration::from_millis(50);

/// Batches that wait to be written.
const WAITING: usize = 2;

/// A session, and the threads that it runs on.
pub(super) struct Runner {
    runtime: Runtime,
    context: SessionContext,
    access: Access,
    stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
    /// Whether no statement runs, so that a signal may end the program at once.
    idle: Arc<AtomicBool>,
}

/// What a statement says, in this order: its columns, then its rows.
enum Said {
    Columns(SchemaRef, bool),
    Rows(RecordBatch),
}

/// Ends a statement that is not waited for any more.
struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Runner {
    pub(super) fn new(options: &SessionOptions, access: Access) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_stack_size(8 << 20)
            .build()
            .map_err(|error| Error::resource("cannot start threads").with("detail", &error).caused_by(error))?;
        let context = runtime.block_on(session(options))?;
        let flag = |set| Arc::new(AtomicBool::new(set));
        let (stop, terminated, idle) = (flag(false), flag(false), flag(true));
        for (signal, code) in [(signal_hook::consts::SIGINT, 130), (signal_hook::consts::SIGTERM, 143)] {
            let register = || {
                signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&idle))?;
                signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&stop))?;
                if code == 143 {
                    signal_hook::flag::register(signal, Arc::clone(&terminated))?;
                }
                signal_hook::flag::register(signal, Arc::clone(&stop))
            };
            register().map_err(|error| Error::io("cannot watch for signals").caused_by(error))?;
        }
        Ok(Self { runtime, context, access, stop, terminated, idle })
    }

    /// Runs a statement and writes what comes of it; how many rows, or nothing if nobody reads them.
    pub(super) fn run(&self, query: Query, outputs: &Outputs) -> Result<Option<usize>> {
        self.idle.store(false, Ordering::Relaxed);
        let result = self.run_to_end(query, outputs);
        self.stop.store(false, Ordering::Relaxed);
        self.idle.store(true, Ordering::Relaxed);
        result
    }

    fn run_to_end(&self, mut query: Query, outputs: &Outputs) -> Result<Option<usize>> {
        let (returns_rows, may_stop) = (query.returns_rows(), query.only_answers());
        if returns_rows {
            query.write_to(outputs.paths());
        }
        let (sender, receiver) = sync_channel(WAITING);
        let (context, access) = (self.context.clone(), self.access);
        let work = self.runtime.spawn(async move {
            // Who does not listen any more wants nothing more.
            let failed = |error| drop(sender.send(Err(error)));
            let mut answer = match query.run(&context, access).await {
                Ok(answer) => answer,
                Err(error) => return failed(error),
            };
            let mut said = sender.send(Ok(Said::Columns(answer.schema().clone(), answer.is_plan())));
            while said.is_ok() {
                match answer.next().await {
                    Ok(Some(batch)) => said = sender.send(Ok(Said::Rows(batch))),
                    Ok(None) => return,
                    Err(error) => return failed(error),
                }
            }
        });
        let mut work = Abort(work);
        let Some(Said::Columns(schema, is_plan)) = self.next(&receiver, &mut work)? else {
            return Err(Error::internal("a statement has no columns"));
        };
        let mut rows = || match self.next(&receiver, &mut work)? {
            Some(Said::Rows(batch)) => Ok(Some(batch)),
            _ => Ok(None),
        };
        if !returns_rows {
            while rows()?.is_some() {}
            return Ok(Some(0));
        }
        outputs.write(&schema, (is_plan, may_stop), &conventions(&self.context), &mut rows)
    }

    /// The names of the session's tables.
    pub(super) fn tables(&self) -> Vec<String> {
        let schema = self.context.catalog("datafusion").and_then(|catalog| catalog.schema("public"));
        let mut names = schema.map_or_else(Vec::new, |schema| schema.table_names());
        names.sort();
        names
    }

    fn next(&self, receiver: &Receiver<Result<Said>>, work: &mut Abort) -> Result<Option<Said>> {
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(said) => return said.map(Some),
                Err(RecvTimeoutError::Disconnected) => {
                    // A task that panicked hung up without a word.
                    return match self.runtime.block_on(&mut work.0) {
                        Err(error) if error.is_panic() => Err(bug(error.into_panic().as_ref())),
                        _ => Ok(None),
                    };
                }
                Err(RecvTimeoutError::Timeout) if self.stop.load(Ordering::Relaxed) => {
                    let error = Error::interrupted("interrupted");
                    let terminated = self.terminated.load(Ordering::Relaxed);
                    return Err(if terminated { error.with("signal", "SIGTERM") } else { error });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}
