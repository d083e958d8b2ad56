//! The catalogue: the files of an archive, their units, and how a later run recognises them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use super::container::Container;
use super::discover::Found;
use super::dtype::VectorType;
use super::open_files::OpenedFile;
use super::read_at::{ReadAt, Version};
use super::rows::Unit;
use super::schema::Schema;
use super::source::Source;
use crate::error::{Error, ErrorKind, Result};

/// A file of an archive.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is opened; [`paths`](Self::paths) has the file of its labels too, if there is one.
    pub path: PathBuf,
    /// The path as the input named it, control characters escaped: for people.
    pub shown: String,
    /// The path below the input's root, control characters escaped: the same wherever the archive lies. Keys that braces
    /// have captured stand before it as directories, and in braces where their values were.
    ///
    /// Names of one archive are distinct.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// When it was last written.
    pub modified: SystemTime,
    /// The fingerprint of its container: in Parquet, FNV-1a of the footer's bytes.
    pub footer_hash: u64,
    /// The keys of its path, hive keys and those that braces have captured, as written.
    pub keys: BTreeMap<String, String>,
    /// Bytes of memory that its container takes.
    pub(super) memory: u64,
    pub(super) version: Version,
    pub(super) source: Source,
}

/// A planned file, as ledgers keep it, to be found again in a later run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Where it is opened, from the root of the file system. Behind a zero follows whatever else is to be opened: the file
    /// of the labels, or the names of arrays.
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

/// The message of all errors about a file that has changed since it was planned.
pub(super) const CHANGED: &str = "the file has changed since the plan was made";
/// What must be true of a file when it is opened again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pinned<'a> {
    pub(super) source: &'a Source,
    pub(super) shown: &'a str,
    pub(super) version: Version,
    pub(super) footer_hash: u64,
}

/// The files of an archive or a table, and the containers of those that are being read.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) files: Vec<File>,
    containers: Containers,
}

/// A column of vectors in one file.
#[derive(Clone, Debug)]
pub(super) struct VectorColumn {
    /// Its position in the file.
    pub(super) root: usize,
    pub(super) kind: VectorType,
    /// The significand bits of its numbers as they are stored.
    pub(super) significand_bits: u32,
    /// `D`, if the type of the column fixes it.
    pub(super) dim: Option<usize>,
    /// `D` of the first vector, once the column has been looked at; the inner `None` stands for a column without vectors.
    first_length: OnceLock<Option<usize>>,
}

impl VectorColumn {
    /// The vectors in a column of that schema.
    pub(super) fn of(schema: &Schema<'_>, root: usize, kind: VectorType) -> Self {
        let (significand_bits, dim) = (schema.significand_bits(root, kind), schema.dim(root));
        Self { root, kind, significand_bits, dim, first_length: OnceLock::new() }
    }
}

impl Catalogue {
    pub(super) fn new(files: Vec<File>) -> Self {
        Self { files, containers: Containers::default() }
    }

    /// A file, opened again, and its container.
    pub(super) fn open(&self, file: usize) -> Result<(Arc<dyn ReadAt>, Arc<dyn Container>)> {
        self.containers.open(file, &self.files[file].pinned())
    }

    /// `D` of a column of a file, from its schema or its first vector; `None` if all its vectors are null.
    pub(super) fn dim(&self, file: usize, column: &VectorColumn) -> Result<Option<usize>> {
        if column.dim.is_some() {
            return Ok(column.dim);
        }
        if let Some(&dim) = column.first_length.get() {
            return Ok(dim);
        }
        let (bytes, container) = self.open(file)?;
        let dim = container.first_length(&bytes, column.root);
        let failed = |error| bytes.failure().unwrap_or(error).with_default("file", &self.files[file].shown);
        let dim = dim.map_err(failed)?;
        Ok(*column.first_length.get_or_init(|| dim))
    }
}

/// The units of a file that have rows, in order; `columns` of them are read.
pub(super) fn units(container: &dyn Container, file: usize, columns: &[usize]) -> impl Iterator<Item = Unit> {
    let mut first = 0;
    let unit = move |row_group: usize| {
        let rows = container.rows(row_group);
        first += rows;
        Unit {
            file,
            row_group,
            first: first - rows,
            rows,
            bytes: container.stored_bytes(row_group, columns),
            text_bytes: container.text_bytes(row_group, columns),
            key: None,
        }
    };
    (0..container.units()).map(unit).filter(|unit| unit.rows > 0)
}

impl File {
    /// The entry of a file that has been opened.
    pub(super) fn new(found: Found, file: &OpenedFile) -> Self {
        let OpenedFile { version, container } = file;
        Self {
            path: found.source.path.clone(),
            shown: found.shown,
            name: found.name,
            size: version.size,
            modified: version.modified,
            footer_hash: container.fingerprint(),
            keys: found.keys,
            memory: container.memory(),
            version: *version,
            source: found.source,
        }
    }

    /// The files that are opened for it.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.source.paths()
    }

    pub(super) fn pinned(&self) -> Pinned<'_> {
        Pinned { source: &self.source, shown: &self.shown, version: self.version, footer_hash: self.footer_hash }
    }

    /// What has to be kept to plan it again.
    pub fn planned(&self) -> io::Result<Planned> {
        Ok(Planned {
            path: self.source.encoded()?,
            shown: self.shown.clone(),
            name: self.name.clone(),
            keys: self.keys.clone(),
            size: self.size,
            modified: self.modified,
            footer_hash: self.footer_hash,
        })
    }
}

/// A file that was opened again.
struct Reopened {
    bytes: Arc<dyn ReadAt>,
    /// If it had to be read to check that the file has not changed.
    container: Option<Arc<dyn Container>>,
}

impl Pinned<'_> {
    /// Opens the file and checks that it has not changed; reads its container only if the version alone does not show that.
    fn reopen(&self) -> Result<Reopened> {
        let changed = |what: &str| Error::data(CHANGED).with("detail", what);
        let (bytes, version) = self.source.open().map_err(|error| match error.kind() {
            ErrorKind::Missing => changed("it is gone"),
            _ => error,
        })?;
        if version == self.version {
            return Ok(Reopened { bytes, container: None });
        }
        if version.size != self.version.size || version.modified != self.version.modified {
            return Err(changed("size or time of writing"));
        }
        // Perhaps a copy with the same times, or only its mode or links have changed.
        let container = self.source.container(&bytes);
        let container = container.map_err(|_| bytes.failure().unwrap_or_else(|| changed("its footer")))?;
        if container.fingerprint() != self.footer_hash {
            return Err(changed("its footer"));
        }
        Ok(Reopened { bytes, container: Some(container) })
    }

    /// Checks that the file was not changed while it was read from `bytes`.
    pub(super) fn check_unchanged(&self, bytes: &dyn ReadAt) -> Result<()> {
        let planned = (self.version.size, self.version.modified);
        if !bytes.version().is_ok_and(|now| (now.size, now.modified) == planned) {
            return Err(Error::data(CHANGED).with("detail", "it was written to while it was read"));
        }
        self.reopen().map(drop)
    }
}

/// The containers of the files that are being read, each made once.
#[derive(Debug, Default)]
pub(super) struct Containers(Mutex<VecDeque<(usize, Arc<dyn Container>)>>);

/// Containers that are kept: one for each file that threads are likely to be in, since all of them may not fit in memory.
const CONTAINERS: usize = 64;

/// Bytes of containers beyond which only the last one is kept.
pub(super) const CONTAINER_BYTES: u64 = 16 << 20;

impl Containers {
    /// File number `file`, opened again, and its container.
    pub(super) fn open(&self, file: usize, pinned: &Pinned<'_>) -> Result<(Arc<dyn ReadAt>, Arc<dyn Container>)> {
        let place = |error: Error| error.with_default("file", pinned.shown);
        let Reopened { bytes, container } = pinned.reopen().map_err(place)?;
        if let Some(container) = container {
            return Ok((bytes, container));
        }
        let cached = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, container)) = cached().iter().find(|(known, _)| *known == file) {
            return Ok((bytes, container.clone()));
        }
        let container = pinned.source.container(&bytes);
        let container = container.map_err(|error| place(bytes.failure().unwrap_or(error)))?;
        if container.fingerprint() != pinned.footer_hash {
            return Err(place(Error::data(CHANGED).with("detail", "its footer")));
        }
        let mut containers = cached();
        if !containers.iter().any(|(known, _)| *known == file) {
            containers.truncate(CONTAINERS - 1);
            containers.push_front((file, container.clone()));
            let mut kept = 0_u64;
            let fit = containers.iter().take_while(|(_, container)| {
                kept = kept.saturating_add(container.memory());
                kept <= CONTAINER_BYTES
            });
            let fit = fit.count().max(1);
            containers.truncate(fit);
        }
        Ok((bytes, container))
    }
}
