//! The threads on which requests run, and waiting for what they bring.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

use crate::error::{Error, Result};

/// Decrypting takes about a core for each gigabyte a second.
const THREADS: usize = 4;

/// How often a signal is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// How long a request may still take once the run has been asked to stop.
const GRACE: Duration = Duration::from_millis(500);

fn runtime() -> Result<&'static Runtime> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS);
    let start = || Builder::new_multi_thread().worker_threads(threads).thread_name("nckit-io").enable_all().build();
    RUNTIME
        .get_or_init(start)
        .as_ref()
        .map_err(|error| Error::resource("cannot start the threads of requests").with("detail", error))
}

fn stopping() -> &'static Mutex<Option<Arc<AtomicBool>>> {
    static STOP: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);
    &STOP
}

/// From here on, requests that bring nothing are given up soon after `stop` has been set.
#[cfg(feature = "cli")]
pub(crate) fn stop_with(stop: &Arc<AtomicBool>) {
    *stopping().lock().unwrap_or_else(PoisonError::into_inner) = Some(stop.clone());
}

/// A request on its way; dropping it ends it.
#[derive(Debug)]
pub(super) struct Pending<T> {
    reply: Receiver<T>,
    /// `None` if the reply was there at once.
    task: Option<AbortHandle>,
}

/// Begins a request.
pub(super) fn begin<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<Pending<T>> {
    let (sender, reply) = sync_channel(1);
    let task = runtime()?.spawn(async move {
        // Whoever asked may have gone.
        let _ = sender.send(work.await);
    });
    Ok(Pending { reply, task: Some(task.abort_handle()) })
}

impl<T> Pending<T> {
    /// A request whose reply is known.
    pub(super) fn ready(reply: T) -> Self {
        let (sender, replies) = sync_channel(1);
        // There is room for one, and its receiver is here.
        let _ = sender.send(reply);
        Self { reply: replies, task: None }
    }

    /// Waits for the reply.
    ///
    /// # Errors
    ///
    /// [`Interrupted`](crate::error::ErrorKind::Interrupted) if the run is asked to stop and nothing comes.
    pub(super) fn wait(&self) -> Result<T> {
        let stop = stopping().lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut asked: Option<Instant> = None;
        loop {
            match self.reply.recv_timeout(LOOK) {
                Ok(reply) => return Ok(reply),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(Error::internal("a request ended without a reply")),
            }
            if stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
                && asked.get_or_insert_with(Instant::now).elapsed() >= GRACE
            {
                return Err(Error::interrupted("stopped while the server did not answer"));
            }
        }
    }

    /// Waits for the reply, whatever signals come: what is being saved has to be.
    pub(super) fn wait_to_the_end(&self) -> Result<T> {
        self.reply.recv().map_err(|error| Error::internal("a request ended without a reply").caused_by(error))
    }
}

impl<T> Drop for Pending<T> {
    fn drop(&mut self) {
        self.task.iter().for_each(AbortHandle::abort);
    }
}
