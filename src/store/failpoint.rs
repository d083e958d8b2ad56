//! Points at which tests make writing fail, to see what is left behind.
//!
//! `NCKIT_FAIL=rename:3:abort` ends the process at the third rename, as if it were killed; `write:1:full` makes the
//! first write fail as on a full disk. Only builds with debug assertions read the variable.

use std::io;

/// An operation that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Create,
    Write,
    Sync,
    Rename,
    SyncDirectory,
}

#[cfg(not(debug_assertions))]
#[expect(clippy::unnecessary_wraps, reason = "with debug assertions it can fail")]
pub(super) fn point(_: Point) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
pub(super) fn point(point: Point) -> io::Result<()> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let Ok(wish) = std::env::var("NCKIT_FAIL") else { return Ok(()) };
    let mut words = wish.split(':');
    let name = match point {
        Point::Create => "create",
        Point::Write => "write",
        Point::Sync => "sync",
        Point::Rename => "rename",
        Point::SyncDirectory => "sync_directory",
    };
    if words.next() != Some(name) {
        return Ok(());
    }
    let at: u32 = words.next().and_then(|number| number.parse().ok()).unwrap_or(1);
    if SEEN.fetch_add(1, Ordering::Relaxed) + 1 != at {
        return Ok(());
    }
    match words.next() {
        // ENOSPC.
        Some("full") => Err(io::Error::from_raw_os_error(28)),
        _ => std::process::abort(),
    }
}
