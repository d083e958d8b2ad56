//! Ends queries on signals, and when they take too much memory.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::cli::console;
use crate::error::{Error, Result};

/// How long a signal may go unnoticed.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);

/// How long the program may take to end by itself after a signal.
const GRACE: Duration = Duration::from_millis(600);

/// Bytes that a query may take beyond `--memory`: for buffers of readers and writers, threads, and the allocator.
const SLACK: u64 = 64 << 20;

/// Knows which signals have arrived, and when else to end a query.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    terminated: Arc<AtomicBool>,
    /// Whether a shell waits for a statement; then an interrupt ends the program at once.
    idle: Arc<AtomicBool>,
    /// The terminal's settings before the prompt changed them; only a shell sets them.
    terminal: Arc<OnceLock<String>>,
    memory: Option<u64>,
}

impl Watch {
    /// Watches for SIGINT and SIGTERM. The first signal lets the statement clean up and then ends the program; in a shell,
    /// an interrupt ends the statement alone. A second signal ends the program at once.
    pub(super) fn begin(memory: Option<u64>) -> Result<Self> {
        let flag = |set| Arc::new(AtomicBool::new(set));
        let watch =
            Self { stop: flag(false), terminated: flag(false), idle: flag(false), terminal: Arc::default(), memory };
        let register = || {
            use signal_hook::consts::{SIGINT, SIGTERM};
            signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&watch.idle))?;
            signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&watch.stop))?;
            signal_hook::flag::register_conditional_shutdown(SIGTERM, 143, Arc::clone(&watch.terminated))?;
            signal_hook::flag::register(SIGTERM, Arc::clone(&watch.terminated))?;
            signal_hook::flag::register(SIGTERM, Arc::clone(&watch.stop))?;
            signal_hook::flag::register(SIGINT, Arc::clone(&watch.stop))
        };
        register().map_err(|error| Error::io("cannot watch for signals").caused_by(error))?;
        let watching = watch.clone();
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watching.end_what_does_not_end())
            .map_err(|error| Error::resource("cannot start threads").with("detail", &error).caused_by(error))?;
        Ok(watch)
    }

    /// To be called before the first prompt of a shell. Saves the terminal's settings, so that they can be restored at the
    /// end.
    pub(super) fn at_a_terminal(&self) {
        let shown = Command::new("stty").arg("-g").stdin(Stdio::inherit()).stderr(Stdio::null()).output();
        let settings = shown.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
        // It is set only once.
        let _ = self.terminal.set(settings.trim().to_owned());
        self.idle();
    }

    /// To be called when a statement begins.
    pub(super) fn busy(&self) {
        self.idle.store(false, Ordering::Relaxed);
    }

    /// To be called when it has ended. Outside a shell the program goes on to the next statement, or to its end, and a
    /// signal must not end it before it has removed outputs that it reserved.
    pub(super) fn idle(&self) {
        if self.terminal.get().is_some() && !self.terminated.load(Ordering::Relaxed) {
            self.stop.store(false, Ordering::Relaxed);
            self.idle.store(true, Ordering::Relaxed);
        }
    }

    /// Fails once the statement has to end.
    pub(super) fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            let error = Error::interrupted("interrupted");
            let terminated = self.terminated.load(Ordering::Relaxed);
            return Err(if terminated { error.with("signal", "SIGTERM") } else { error });
        }
        let Some((limit, taken)) = self.memory.zip(anonymous_memory()) else { return Ok(()) };
        if taken <= limit + limit / 4 + SLACK {
            return Ok(());
        }
        Err(Error::resource("the query uses more memory than it may")
            .with("used", console::bytes(taken))
            .with("allowed", console::bytes(limit))
            .help("raise --memory, or hold fewer and shorter values at once: WHERE, LIMIT, no array_repeat, repeat or window over all rows"))
    }

    /// Ends the program if the statement's own thread does not notice a signal: it may hang in a write that nobody reads,
    /// or in a plan that does not yield.
    fn end_what_does_not_end(&self) {
        let mut since: Option<Instant> = None;
        loop {
            std::thread::sleep(PATIENCE);
            let terminated = self.terminated.load(Ordering::Relaxed);
            let asked = terminated || (self.stop.load(Ordering::Relaxed) && self.terminal.get().is_none());
            if !asked {
                since = None;
                continue;
            }
            let waited = since.get_or_insert_with(Instant::now).elapsed();
            if waited >= GRACE || self.idle.load(Ordering::Relaxed) {
                self.restore_terminal();
                std::process::exit(if terminated { 143 } else { 130 });
            }
        }
    }

    /// Restores the terminal's settings; after an aborted prompt it would not show what is typed.
    fn restore_terminal(&self) {
        if let Some(settings) = self.terminal.get().filter(|settings| !settings.is_empty()) {
            // If this fails, nothing else can be done.
            let _ = Command::new("stty").arg(settings).stdin(Stdio::inherit()).stderr(Stdio::null()).status();
        }
    }
}

/// Bytes of memory that the process itself holds, without mapped files.
fn anonymous_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
