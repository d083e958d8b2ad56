//! Long work on a thread of its own, while the calling one listens for Ctrl-C.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nckit::cli::library::guarded;
use nckit::error::{Error, Result};
use pyo3::prelude::*;

use crate::errors::exception;

/// How often signals are looked for.
const POLL: Duration = Duration::from_millis(50);

/// Does some work; a signal sets `stop`, which the work looks at between its parts.
///
/// Work that does not stop within `patience` is left alone and its result dropped.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    stop: &Arc<AtomicBool>,
    patience: Option<Duration>,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> PyResult<T> {
    let (sender, mut receiver) = channel();
    let spawned = std::thread::Builder::new().name("nckit".to_owned()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(guarded(work));
    });
    spawned.map_err(|error| exception(py, &Error::resource("cannot start a thread").with("detail", error)))?;
    let mut interrupt: Option<(PyErr, Instant)> = None;
    loop {
        let outcome = py.detach(move || {
            let outcome = receiver.recv_timeout(POLL);
            (receiver, outcome)
        });
        receiver = outcome.0;
        match outcome.1 {
            Ok(_) if interrupt.is_some() => {}
            Ok(result) => return result.map_err(|error| exception(py, &error)),
            Err(RecvTimeoutError::Timeout) => {
                if interrupt.is_none()
                    && let Err(signal) = py.check_signals()
                {
                    stop.store(true, Ordering::Relaxed);
                    interrupt = Some((signal, Instant::now()));
                }
                let is_late = |since: &Instant| patience.is_some_and(|patience| since.elapsed() >= patience);
                if !interrupt.as_ref().is_some_and(|(_, since)| is_late(since)) {
                    continue;
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(exception(py, &Error::internal("the work ended without a result")));
            }
        }
        if let Some((signal, _)) = interrupt {
            return Err(signal);
        }
    }
}
