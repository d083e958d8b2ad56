//! Runs statements one after the other until a signal asks to stop.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::output::Outputs;
use super::remarks::Remarks;
use super::watch::{PATIENCE, Watch};
use crate::cli::bug;
use crate::cli::console::Console;
use crate::error::{Error, Result};
use crate::sql::{Access, Query, SessionOptions, conventions, doubts, session};

/// Bytes of stack per thread: recursion walks plans, as deep as statements may nest.
const STACK: usize = 8 << 20;

/// The most batches that wait to be written.
const WAITING: usize = 2;

/// How long threads may take to release what an aborted statement holds before they are abandoned.
const FAREWELL: Duration = Duration::from_millis(200);

/// A session and its threads.
pub(super) struct Runner {
    /// `None` once it is dropped.
    runtime: RefCell<Option<Runtime>>,
    threads: usize,
    context: SessionContext,
    access: Access,
    watch: Watch,
    /// When signals and memory were last looked at.
    looked: Cell<Instant>,
    /// What aggregates archives, if not this process.
    #[cfg(feature = "cluster")]
    cluster: Option<crate::cluster::QueryCluster>,
}

/// A message from a statement: first its columns, then its rows.
enum Said {
    Columns(SchemaRef, Vec<BTreeSet<&'static str>>, bool),
    Rows(RecordBatch),
}

/// Aborts a statement when nobody waits for it any more.
struct Abort(JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Runner {
    pub(super) fn new(options: &SessionOptions, access: Access) -> Result<Self> {
        let runtime = runtime(options.threads)?;
        let context = runtime.block_on(session(options))?;
        let watch = Watch::begin(options.memory)?;
        let (runtime, looked) = (RefCell::new(Some(runtime)), Cell::new(Instant::now()));
        Ok(Self {
            runtime,
            threads: options.threads,
            context,
            access,
            watch,
            looked,
            #[cfg(feature = "cluster")]
            cluster: None,
        })
    }

    /// The same with archives aggregated by the cluster that is asked for, if one is.
    #[cfg(feature = "cluster")]
    pub(super) fn on(mut self, flags: &crate::cli::cluster::args::QueryFlags) -> Result<Self> {
        self.cluster = flags.attach(&self.context)?;
        Ok(self)
    }

    /// The watch that ends statements.
    pub(super) fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Runs a statement, writes its result, and prints remarks on its numbers. Returns the number of rows, or `None` if
    /// nobody reads them any more.
    pub(super) fn run(&self, query: Query, outputs: &Outputs, console: &Console) -> Result<Option<usize>> {
        self.watch.busy();
        let doubts = doubts(&self.context);
        doubts.clear();
        let mut remarks = Remarks::new(&doubts);
        let result = self.run_to_end(query, outputs, &mut remarks);
        if result.is_err() {
            self.leave_behind()?;
        }
        self.watch.idle();
        #[cfg(feature = "cluster")]
        self.cluster.iter().flat_map(crate::cluster::QueryCluster::take_notes).for_each(|note| console.note(&note));
        doubts.take_warnings().iter().for_each(|warning| console.warn(warning));
        remarks.tell(console);
        result
    }

    /// Replaces the threads, so that work left over from an aborted statement does not delay the next one.
    fn leave_behind(&self) -> Result<()> {
        let fresh = runtime(self.threads)?;
        if let Some(old) = self.runtime.borrow_mut().replace(fresh) {
            old.shutdown_timeout(FAREWELL);
        }
        Ok(())
    }

    fn with_runtime<T>(&self, work: impl FnOnce(&Runtime) -> T) -> Result<T> {
        self.runtime.borrow().as_ref().map(work).ok_or_else(|| Error::internal("there are no threads"))
    }

    fn run_to_end(&self, mut query: Query, outputs: &Outputs, remarks: &mut Remarks) -> Result<Option<usize>> {
        let (returns_rows, may_stop) = (query.returns_rows(), query.only_answers());
        if returns_rows {
            query.write_to(outputs.paths());
        }
        let (sender, receiver) = sync_channel(WAITING);
        let (context, access) = (self.context.clone(), self.access);
        let work = async move {
            // If the receiver is gone, nobody needs the error.
            let failed = |error| drop(sender.send(Err(error)));
            let mut answer = match query.run(&context, access).await {
                Ok(answer) => answer,
                Err(error) => return failed(error),
            };
            let mut said =
                sender.send(Ok(Said::Columns(answer.schema().clone(), answer.metrics().to_vec(), answer.is_plan())));
            while said.is_ok() {
                match answer.next().await {
                    Ok(Some(batch)) => said = sender.send(Ok(Said::Rows(batch))),
                    Ok(None) => return,
                    Err(error) => return failed(error),
                }
            }
        };
        let mut work = Abort(self.with_runtime(|runtime| runtime.spawn(work))?);
        let Some(Said::Columns(schema, metrics, is_plan)) = self.next(&receiver, &mut work)? else {
            return Err(Error::internal("a statement has no columns"));
        };
        remarks.begin(metrics);
        let mut rows = || match self.next(&receiver, &mut work)? {
            Some(Said::Rows(batch)) => {
                remarks.look(&batch);
                Ok(Some(batch))
            }
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
            let said = receiver.recv_timeout(PATIENCE);
            if self.looked.get().elapsed() >= PATIENCE {
                self.watch.check()?;
                self.looked.set(Instant::now());
            }
            match said {
                Ok(said) => return said.map(Some),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    // A task that panics closes the channel without a message.
                    return match self.with_runtime(|runtime| runtime.block_on(&mut work.0))? {
                        Err(error) if error.is_panic() => Err(bug(error.into_panic().as_ref())),
                        _ => Ok(None),
                    };
                }
            }
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get_mut().take() {
            runtime.shutdown_timeout(FAREWELL);
        }
    }
}

pub(super) fn runtime(threads: usize) -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        .thread_stack_size(STACK)
        .build()
        .map_err(|error| Error::resource("cannot start threads").with("detail", &error).caused_by(error))
}
