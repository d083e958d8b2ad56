//! Without the feature `cloud` every address is refused.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{Listed, Object};
use crate::error::{Error, Result};

fn refused<T>(path: &Path) -> Result<T> {
    Err(Error::usage("this program was built without the feature `cloud`, and reads and writes local files only")
        .with("address", path.display())
        .help("build it with --features cloud, or fetch the file first"))
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Reading {}

impl Reading {
    pub(crate) fn object(&self) -> &Object {
        match *self {}
    }

    pub(crate) fn fill(&self, _offset: u64, _buffer: &mut [u8]) -> Result<()> {
        match *self {}
    }

    pub(crate) fn announce(&self, _start: u64, _end: u64) {
        match *self {}
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Writing {}

impl Writing {
    pub(crate) fn new(path: &Path, _overwrite: bool) -> Result<Self> {
        refused(path)
    }

    pub(crate) fn over_seen(path: &Path) -> Result<Self> {
        refused(path)
    }

    pub(crate) fn finish(self) -> Result<()> {
        match self {}
    }
}

impl Write for Writing {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        match *self {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match *self {}
    }
}

pub(crate) fn look(path: &Path) -> Result<Option<Object>> {
    refused(path)
}

pub(crate) fn seen(path: &Path) -> Result<Option<Object>> {
    refused(path)
}

pub(crate) fn is_there(_path: &Path) -> bool {
    // Whoever opens it is refused.
    true
}

pub(crate) fn open(path: &Path) -> Result<Option<Reading>> {
    refused(path)
}

pub(crate) fn list(folders: &[PathBuf]) -> Result<Vec<Vec<(PathBuf, Listed)>>> {
    folders.first().map_or_else(|| Ok(Vec::new()), |folder| refused(folder))
}

pub(crate) fn list_below(folders: &[PathBuf]) -> Result<Vec<Vec<(PathBuf, Object)>>> {
    folders.first().map_or_else(|| Ok(Vec::new()), |folder| refused(folder))
}

pub(crate) fn remove(path: &Path) -> Result<()> {
    refused(path)
}

/// Lets a signal end requests that hang: there are none.
#[cfg(feature = "cli")]
pub(crate) fn stop_with(_stop: &std::sync::Arc<std::sync::atomic::AtomicBool>) {}
