//! One file of an archive, its footer, and how it is known again.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::file_columns::Columns;
use super::parquet::{Footer, Source, footer};
use super::read_at::{self, Version};
use crate::error::{Error, ErrorKind, Result};

/// A Parquet file of an archive.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is opened.
    pub path: PathBuf,
    /// The path as the input named it, control characters escaped: for people.
    pub shown: String,
    /// The path below the input's root, control characters escaped: the same wherever the archive lies.
    ///
    /// Names of one archive are distinct.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: SystemTime,
    /// FNV-1a of the footer's bytes.
    pub footer_hash: u64,
    /// How many row groups it has.
    pub row_groups: usize,
    /// Its rows.
    pub rows: u64,
    /// `D`, where the schema tells.
    pub dim: Option<usize>,
    /// The hive keys of its path, as written.
    pub keys: BTreeMap<String, String>,
    /// Bytes of its footer, as stored.
    pub(super) footer_bytes: u64,
    pub(super) version: Version,
    pub(super) columns: Columns,
}

/// A file as a plan has it, to be found again later and elsewhere in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Where it is opened, from the root of the file system.
    pub path: PathBuf,
    /// [`File::shown`].
    pub shown: String,
    /// [`File::name`].
    pub name: String,
    /// [`File::keys`].
    pub keys: BTreeMap<String, String>,
    /// [`File::size`].
    pub size: u64,
    /// [`File::modified`].
    pub modified: SystemTime,
    /// [`File::footer_hash`].
    pub footer_hash: u64,
}

/// The message of every error that says that a file is no longer what was planned.
pub(super) const CHANGED: &str = "the file has changed since the plan was made";
/// What a file has to be when it is opened again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pinned<'a> {
    pub(super) path: &'a Path,
    pub(super) shown: &'a str,
    pub(super) version: Version,
    pub(super) footer_hash: u64,
}

impl File {
    pub(super) fn pinned(&self) -> Pinned<'_> {
        Pinned { path: &self.path, shown: &self.shown, version: self.version, footer_hash: self.footer_hash }
    }

    /// What has to be kept to plan it again.
    pub fn planned(&self) -> io::Result<Planned> {
        Ok(Planned {
            path: std::path::absolute(&self.path)?,
            shown: self.shown.clone(),
            name: self.name.clone(),
            keys: self.keys.clone(),
            size: self.size,
            modified: self.modified,
            footer_hash: self.footer_hash,
        })
    }
}

impl Pinned<'_> {
    /// Opens the file if it still is what was planned.
    fn reopen(&self) -> Result<(Source, Option<Footer>)> {
        let changed = |what: &str| Error::data(CHANGED).with("detail", what);
        let (bytes, version) = read_at::open(self.path).map_err(|error| match error.kind() {
            ErrorKind::Missing => changed("it is gone"),
            _ => error,
        })?;
        let source = Source::new(bytes);
        if version == self.version {
            return Ok((source, None));
        }
        if version.size != self.version.size || version.modified != self.version.modified {
            return Err(changed("size or time of writing"));
        }
        // A copy with the same times, or a change of mode or links.
        let footer = footer(&source, version.size).map_err(|_| changed("its footer"))?;
        if footer.hash != self.footer_hash {
            return Err(changed("its footer"));
        }
        Ok((source, Some(footer)))
    }

    /// Whether what was read from `source` is what still lies there.
    pub(super) fn check_unchanged(&self, source: &Source) -> Result<()> {
        let planned = (self.version.size, self.version.modified);
        if !source.version().is_ok_and(|now| (now.size, now.modified) == planned) {
            return Err(Error::data(CHANGED).with("detail", "it was written to while it was read"));
        }
        self.reopen().map(drop)
    }
}

/// The footers of the files that are being read, each parsed once.
#[derive(Debug, Default)]
pub(super) struct Footers(Mutex<VecDeque<(usize, Arc<Footer>)>>);

/// Footers that are kept: one for each file that threads are likely to be in, since all of them may not fit in memory.
const FOOTERS: usize = 64;

/// Bytes of footers, as stored, beyond which only the last one is kept.
pub(super) const FOOTER_BYTES: u64 = 4 << 20;

impl Footers {
    /// File number `file`, opened again, and its footer.
    pub(super) fn open(&self, file: usize, pinned: &Pinned<'_>) -> Result<(Source, Arc<Footer>)> {
        let place = |error: Error| error.with_default("file", pinned.shown);
        let (source, fresh) = pinned.reopen().map_err(place)?;
        if let Some(footer) = fresh {
            return Ok((source, Arc::new(footer)));
        }
        let cached = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, footer)) = cached().iter().find(|(known, _)| *known == file) {
            return Ok((source, footer.clone()));
        }
        let footer = Arc::new(footer(&source, pinned.version.size).map_err(place)?);
        if footer.hash != pinned.footer_hash {
            return Err(place(Error::data(CHANGED).with("detail", "its footer")));
        }
        let mut footers = cached();
        if !footers.iter().any(|(known, _)| *known == file) {
            footers.truncate(FOOTERS - 1);
            footers.push_front((file, footer.clone()));
            let mut kept = 0;
            let fit = footers.iter().take_while(|(_, footer)| {
                kept += footer.bytes;
                kept <= FOOTER_BYTES
            });
            let fit = fit.count().max(1);
            footers.truncate(fit);
        }
        Ok((source, footer))
    }
}
