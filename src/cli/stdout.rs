//! Standard output, which may be closed, full, or a pipe that nobody reads any more.

use std::fs::File;
use std::io::{self, ErrorKind as IoErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use super::console::escaped_lines;
use crate::error::{Error, Result};

/// Whether the program was started without standard output.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Checks whether there is a standard output. Must be called before `main`: the standard library opens /dev/null in place
/// of a closed stream, and everything written to it would be lost silently.
pub extern "C" fn look_for_stdout() {
    if let Err(error) = io::stdout().as_fd().try_clone_to_owned() {
        // EBADF.
        IS_CLOSED.store(error.raw_os_error() == Some(9), Ordering::Relaxed);
    }
}

/// Standard output, unbuffered.
///
/// [`io::Stdout`] reports success for writes to a descriptor that is not open for writing; this does not.
///
/// # Errors
///
/// [`Io`](crate::error::ErrorKind::Io) if it is closed.
pub(super) fn open() -> Result<File> {
    if IS_CLOSED.load(Ordering::Relaxed) {
        return Err(Error::io("standard output is closed, so the result would be lost")
            .help("leave it open, or redirect it to a file or to /dev/null"));
    }
    io::stdout().as_fd().try_clone_to_owned().map(File::from).map_err(cannot)
}

/// Writes a result unchanged.
pub(super) fn write(bytes: &[u8]) -> Result<()> {
    Hearing::new(open()?, &AtomicBool::new(true)).write_all(bytes).map_err(cannot)
}

/// Writes lines for people, escaped so that text from outside cannot command the terminal.
pub(super) fn print(text: &str) -> Result<()> {
    write(escaped_lines(text).as_bytes())
}

fn cannot(error: io::Error) -> Error {
    Error::io("cannot write to standard output").with("detail", &error).caused_by(error)
}

/// A stream whose reader may go away. That is not a failure: further output is dropped.
pub(super) struct Hearing<'a, W> {
    out: W,
    is_heard: &'a AtomicBool,
}

impl<'a, W: Write> Hearing<'a, W> {
    /// `is_heard` becomes false when the reader is gone.
    pub(super) fn new(out: W, is_heard: &'a AtomicBool) -> Self {
        Self { out, is_heard }
    }

    /// Acts on the stream while it has a reader; afterwards returns `dropped`.
    fn while_heard<T>(&mut self, dropped: T, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if !self.is_heard.load(Ordering::Relaxed) {
            return Ok(dropped);
        }
        match act(&mut self.out) {
            Err(error) if error.kind() == IoErrorKind::BrokenPipe => {
                self.is_heard.store(false, Ordering::Relaxed);
                Ok(dropped)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Hearing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.while_heard(bytes.len(), |out| out.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.while_heard((), W::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes four bytes, then fails with this error.
    struct Failing(IoErrorKind, Vec<u8>);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.1.len() >= 4 {
                return Err(self.0.into());
            }
            self.1.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_a_failure_and_a_reader_that_goes_away_is_not() {
        let is_heard = AtomicBool::new(true);
        let mut out = Hearing::new(Failing(IoErrorKind::BrokenPipe, Vec::new()), &is_heard);
        out.write_all(b"read").unwrap();
        assert!(is_heard.load(Ordering::Relaxed));
        out.write_all(b"not read").unwrap();
        out.flush().unwrap();
        assert!(!is_heard.load(Ordering::Relaxed));
        assert_eq!(out.out.1, b"read");
        let is_heard = AtomicBool::new(true);
        let mut out = Hearing::new(Failing(IoErrorKind::StorageFull, Vec::new()), &is_heard);
        out.write_all(b"kept").unwrap();
        assert_eq!(out.write_all(b"more").unwrap_err().kind(), IoErrorKind::StorageFull);
    }
}
