//! Shows how far a run has come, and stops it on a signal.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::args::{Display, ProgressName};
use super::console::{bytes, count, counted, eprint};
use crate::error::{Error, Result};
use crate::objects;
use crate::pipeline::{ClusterWatch, Watch};

/// What the first signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopping {
    /// The run ends after the chunks in hand.
    AtOnce,
    /// The run finishes the units in hand and saves the state.
    AfterUnits,
}

/// Who watches a run.
pub(super) enum Watcher<'a> {
    /// The user: progress is shown, and signals stop the run.
    User(&'a Display),
    /// The caller of the library, through its own watch.
    Caller(&'a Watch),
}

impl Watcher<'_> {
    /// Runs `work`, which reads `total` bytes.
    pub(super) fn run<T>(&self, total: u64, stopping: Stopping, work: impl FnOnce(&Watch) -> Result<T>) -> Result<T> {
        match self {
            Self::User(display) => watched(display, total, stopping, work),
            Self::Caller(watch) => {
                objects::stop_with(&watch.stop);
                work(watch)
            }
        }
    }

    /// Whether the result is printed.
    pub(super) fn reads_stdout(&self) -> bool {
        matches!(self, Self::User(_))
    }
}

/// Runs `work` and shows how many of `total` bytes it has read. The first SIGINT or SIGTERM asks it to stop, the second
/// one ends the process.
pub(super) fn watched<T>(
    display: &Display,
    total: u64,
    stopping: Stopping,
    work: impl FnOnce(&Watch) -> Result<T>,
) -> Result<T> {
    let watch = Watch::default();
    objects::stop_with(&watch.stop);
    let terminated = Arc::new(AtomicBool::new(false));
    for (signal, code) in [(signal_hook::consts::SIGINT, 130), (signal_hook::consts::SIGTERM, 143)] {
        let register = || {
            signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(&watch.stop))?;
            if code == 143 {
                signal_hook::flag::register(signal, Arc::clone(&terminated))?;
            }
            signal_hook::flag::register(signal, Arc::clone(&watch.stop))
        };
        register().map_err(|error| Error::io("cannot watch for signals").caused_by(error))?;
    }
    let style = Style::of(display);
    let result = std::thread::scope(|scope| {
        let (done, waiting) = channel::<()>();
        if let Some(style) = style {
            let watch = &watch;
            scope.spawn(move || show(style, watch, total, stopping, &waiting));
        }
        let result = work(&watch);
        drop(done);
        result
    });
    result.map_err(|error| if terminated.load(Ordering::Relaxed) { error.with("signal", "SIGTERM") } else { error })
}

#[derive(Clone, Copy)]
enum Style {
    Bar,
    Plain,
    Json,
}

impl Style {
    fn of(display: &Display) -> Option<Self> {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        match display.progress {
            _ if display.quiet => None,
            ProgressName::None => None,
            ProgressName::Auto if terminal => Some(Self::Bar),
            ProgressName::Auto | ProgressName::Plain => Some(Self::Plain),
            ProgressName::Json => Some(Self::Json),
        }
    }

    fn interval(self) -> Duration {
        match self {
            Self::Bar => Duration::from_millis(100),
            Self::Plain => Duration::from_secs(30),
            Self::Json => Duration::from_secs(1),
        }
    }
}

/// What a cluster has done of a run.
struct Cluster {
    units: u64,
    total: u64,
    executors: u64,
}

impl Cluster {
    /// None where no cluster counts.
    fn of(watch: &Watch) -> Option<Self> {
        let seen = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let ClusterWatch { units, total_units, executors } = &watch.cluster;
        let cluster = Self { units: seen(units), total: seen(total_units), executors: seen(executors) };
        (cluster.total > 0).then_some(cluster)
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (done, total) = (count(self.units), counted(self.total, "unit", "s"));
        write!(out, "  {done} of {total} · {}", counted(self.executors, "executor", "s"))
    }
}

fn show(style: Style, watch: &Watch, total: u64, stopping: Stopping, done: &std::sync::mpsc::Receiver<()>) {
    let bar = ProgressBar::with_draw_target(
        Some(total),
        match style {
            Style::Bar => ProgressDrawTarget::stderr(),
            Style::Plain | Style::Json => ProgressDrawTarget::hidden(),
        },
    );
    let template =
        "  {bar:24} {percent:>3}%  {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}  ETA {eta}{msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    let start = Instant::now();
    let mut shown = start;
    let mut told = stopping == Stopping::AtOnce;
    while done.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
        if !told && watch.stop.load(Ordering::Relaxed) {
            bar.suspend(|| eprint("stopping after the current unit …"));
            told = true;
        }
        if shown.elapsed() < style.interval() {
            continue;
        }
        shown = Instant::now();
        let read = watch.bytes.load(Ordering::Relaxed).min(total);
        let seconds = start.elapsed().as_secs_f64();
        let rate = read as f64 / seconds;
        let eta = (total - read) as f64 / rate.max(1.0);
        let cluster = Cluster::of(watch);
        let share = cluster.as_ref().map_or(String::new(), Cluster::to_string);
        match style {
            Style::Bar => {
                bar.set_position(read);
                bar.set_message(share);
            }
            Style::Plain => eprint(&format!(
                "  {:3.0}%  {} of {}  {:.2} GB/s  ETA {eta:.0} s{share}",
                read as f64 / total.max(1) as f64 * 100.0,
                bytes(read),
                bytes(total),
                rate / 1e9
            )),
            Style::Json => {
                let mut seen = json!({"level": "progress", "bytes": read, "total_bytes": total, "seconds": seconds, "eta_seconds": eta});
                if let Some(Cluster { units, total, executors }) = cluster {
                    seen["units"] = units.into();
                    seen["total_units"] = total.into();
                    seen["executors"] = executors.into();
                }
                eprint(&seen.to_string());
            }
        }
    }
    bar.finish_and_clear();
}
