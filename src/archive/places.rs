//! What lies where files are looked for: on this machine, and in object stores by what listings have shown.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::escape::escaped;
use crate::error::{Error, Result};
use crate::objects::{self, Listed, is_address};

/// One look at folders and files. What a store has listed is not asked again, and no object is asked for by itself.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Folders of object stores, with what lies in each.
    listings: RefCell<HashMap<PathBuf, Folder>>,
}

type Folder = BTreeMap<PathBuf, Named>;

/// What a name stands for. An object and a folder can have the same one.
#[derive(Clone, Copy, Debug, Default)]
struct Named {
    folder: bool,
    file: bool,
    empty_file: bool,
}

impl Named {
    fn add(&mut self, listed: &Listed) {
        match listed {
            Listed::Folder => self.folder = true,
            Listed::Object(object) if object.size == 0 => self.empty_file = true,
            Listed::Object(_) => self.file = true,
        }
    }

    /// Some programs store a folder as an empty object of its name.
    fn is_file(self) -> bool {
        self.file || (self.empty_file && !self.folder)
    }
}

impl Places {
    /// The path from the root, links resolved; an address as it is.
    pub(super) fn canonical(path: &Path) -> io::Result<PathBuf> {
        if is_address(path) { Ok(path.to_owned()) } else { path.canonicalize() }
    }

    /// Whether a folder is there.
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        if !is_address(path) {
            return path.is_dir();
        }
        if let Some(named) = self.named(path) {
            return named.folder;
        }
        self.entries(path).is_ok_and(|entries| !entries.is_empty())
    }

    /// Whether a file is there.
    pub(super) fn is_file(&self, path: &Path) -> bool {
        if !is_address(path) {
            return path.is_file();
        }
        let Some(folder) = path.parent().filter(|_| !objects::is_web(path)) else { return false };
        self.expect(&[folder.to_owned()]).is_ok() && self.named(path).is_some_and(Named::is_file)
    }

    /// Whether anything is there.
    pub(super) fn is_there(&self, path: &Path) -> bool {
        if is_address(path) { self.is_file(path) || self.is_folder(path) } else { path.symlink_metadata().is_ok() }
    }

    /// What lies in a folder; nothing if it is not there.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) for a folder that cannot be listed; those of [`objects::list`].
    pub(super) fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        if is_address(folder) {
            self.expect(&[folder.to_owned()])?;
            return Ok(self.listings.borrow().get(folder).map_or_else(Vec::new, |held| held.keys().cloned().collect()));
        }
        let here = folder.as_os_str().is_empty();
        let entries = match fs::read_dir(if here { Path::new(".") } else { folder }) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(unlistable(folder, error)),
        };
        let path = |entry: io::Result<fs::DirEntry>| {
            let name = entry.map_err(|error| unlistable(folder, error))?.file_name();
            Ok(folder.join(name))
        };
        entries.map(path).collect()
    }

    /// Lists folders of object stores, many at a time, one level of each.
    ///
    /// # Errors
    ///
    /// Those of [`objects::list`].
    pub(super) fn expect(&self, folders: &[PathBuf]) -> Result<()> {
        let unknown = self.unknown(folders);
        for (folder, listed) in unknown.iter().zip(objects::list(&unknown)?) {
            let mut held = Folder::new();
            for (path, listed) in &listed {
                held.entry(path.clone()).or_default().add(listed);
            }
            self.listings.borrow_mut().insert(folder.clone(), held);
        }
        Ok(())
    }

    /// The same with all that lies below them.
    ///
    /// # Errors
    ///
    /// Those of [`objects::list`].
    pub(super) fn expect_below(&self, folders: &[PathBuf]) -> Result<()> {
        let unknown = self.unknown(folders);
        for (folder, found) in unknown.iter().zip(objects::list_below(&unknown)?) {
            let mut listings = self.listings.borrow_mut();
            listings.insert(folder.clone(), Folder::new());
            for (path, object) in found {
                let (mut path, mut listed) = (path, Listed::Object(object));
                while let Some(parent) = path.parent().map(Path::to_owned) {
                    let is_known = listings.contains_key(&parent);
                    listings.entry(parent.clone()).or_default().entry(path).or_default().add(&listed);
                    if is_known {
                        break;
                    }
                    (path, listed) = (parent, Listed::Folder);
                }
            }
        }
        Ok(())
    }

    fn unknown(&self, folders: &[PathBuf]) -> Vec<PathBuf> {
        let listings = self.listings.borrow();
        folders.iter().filter(|folder| is_address(folder) && !listings.contains_key(*folder)).cloned().collect()
    }

    /// What a listing of the folder above says of a name.
    fn named(&self, path: &Path) -> Option<Named> {
        let listings = self.listings.borrow();
        Some(listings.get(path.parent()?)?.get(path).copied().unwrap_or_default())
    }
}

/// The error of a folder that cannot be listed.
pub(super) fn unlistable(folder: &Path, error: io::Error) -> Error {
    Error::io("cannot list a directory")
        .with("path", escaped(&folder.to_string_lossy()))
        .with("detail", error.kind())
        .caused_by(error)
}
