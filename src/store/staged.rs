//! Outputs that other code writes, a file or a folder: into a hidden folder, from which the finished output is moved.

use std::fs::{self, File};
use std::io::{self, ErrorKind as IoErrorKind};
use std::path::{Path, PathBuf};

use super::failpoint::{Point, point};
use super::output::{existing, resolve};
use super::temporary::{Temporary, adopt, cannot, sibling, sync_folder};
use crate::error::{Error, Result};
use crate::objects::is_address;

/// An output that is made in a hidden folder `.NAME.nckit.dir` beside it. Without [`commit`](Self::commit) all of it is
/// removed.
#[derive(Debug)]
pub struct Staged {
    /// As it was typed.
    path: PathBuf,
    target: PathBuf,
    is_folder: bool,
    folder: PathBuf,
    place: PathBuf,
    /// The right to write the output; given up after the folder is removed.
    temporary: Option<Temporary>,
}

impl Staged {
    /// Takes the right to write `path`. An existing file will be replaced, if that is permitted; a folder must be new or empty.
    ///
    /// # Errors
    ///
    /// Those of [`Output::reserve`](super::Output::reserve); [`Output`](crate::error::ErrorKind::Output) for a folder that
    /// is not empty.
    pub fn new(path: &Path, is_folder: bool, replace: bool) -> Result<Self> {
        if is_address(path) {
            return Err(Error::output("COPY writes to files of this machine only")
                .with("file", path.display())
                .help("nckit sql -o writes the result of a query to an object store"));
        }
        let target = if is_folder { resolve_folder(path)? } else { resolve(path, replace)? };
        let temporary = Temporary::beside(&target, path)?;
        let failed = |error| cannot(path, error);
        let name = target.file_name().ok_or_else(|| failed(IoErrorKind::InvalidInput.into()))?;
        let folder = target.with_file_name(sibling(".", name, ".nckit.dir"));
        // Only who has the right makes such a folder, so an existing one was left behind by a run that died.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != IoErrorKind::NotFound => return Err(failed(error)),
            _ => fs::create_dir(&folder).map_err(failed)?,
        }
        let mut place = folder.join("new");
        if let Some(extension) = target.extension() {
            place.set_extension(extension);
        }
        Ok(Self { path: path.to_owned(), target, is_folder, folder, place, temporary: Some(temporary) })
    }

    /// Where the output is to be written: an absolute path with the same extension.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Moves the output to its path once all of it is on disk. If nothing was written, a folder output is empty.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if the disk is full; [`Output`](crate::error::ErrorKind::Output) if another
    /// process has put something in the way meanwhile.
    pub fn commit(self) -> Result<()> {
        let moved = || -> io::Result<()> {
            if self.is_folder && !self.place.exists() {
                fs::create_dir(&self.place)?;
            }
            point(Point::Sync)?;
            sync_all(&self.place)?;
            if let Some(old) = existing(&self.target) {
                adopt(&File::open(&self.place)?, &old)?;
            }
            point(Point::Rename)?;
            // Only a file or an empty folder is replaced.
            fs::rename(&self.place, &self.target)?;
            point(Point::SyncDirectory)?;
            sync_folder(&self.target)
        };
        moved().map_err(|error| match error.kind() {
            IoErrorKind::DirectoryNotEmpty | IoErrorKind::NotADirectory | IoErrorKind::IsADirectory => {
                cannot(&self.path, error)
            }
            _ => Error::io("the output cannot be written")
                .with("file", self.path.display())
                .with("detail", &error)
                .caused_by(error),
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // An error here cannot be helped.
        let _ = fs::remove_dir_all(&self.folder);
        self.temporary.take();
    }
}

/// The folder that a path leads to, new or empty, with links resolved.
fn resolve_folder(path: &Path) -> Result<PathBuf> {
    let failed = |error: io::Error| cannot(path, error);
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            if fs::read_dir(path).map_err(failed)?.next().is_some() {
                return Err(Error::output("the output folder is not empty")
                    .with("file", path.display())
                    .help("write to a new folder: files that are added to others one by one cannot be whole"));
            }
            path.canonicalize().map_err(failed)
        }
        Ok(_) => Err(Error::output("the output must be a folder, and a file is there").with("file", path.display())),
        // `folder/` names the same folder as `folder`.
        Err(_) => resolve(&path.components().collect::<PathBuf>(), false),
    }
}

/// Puts a file, or all files of a folder, on disk.
fn sync_all(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            sync_all(&entry?.path())?;
        }
    }
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_file_takes_its_place_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let count = || fs::read_dir(dir.path()).unwrap().count();
        let staged = Staged::new(&path, false, true).unwrap();
        assert_eq!(Staged::new(&path, false, true).unwrap_err().kind(), ErrorKind::Resource);
        fs::write(staged.place(), "half").unwrap();
        drop(staged);
        assert_eq!(count(), 0);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(Staged::new(&path, false, false).unwrap_err().kind(), ErrorKind::Output);
        let staged = Staged::new(&path, false, true).unwrap();
        assert_eq!(staged.place().extension().unwrap(), "csv");
        fs::write(staged.place(), "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        staged.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(count(), 1);
    }

    #[test]
    fn a_folder_is_new_or_was_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out/");
        let make = || {
            let staged = Staged::new(&path, true, true).unwrap();
            fs::create_dir_all(staged.place().join("k=1")).unwrap();
            fs::write(staged.place().join("k=1/a.csv"), "rows").unwrap();
            staged.commit().unwrap();
        };
        make();
        assert_eq!(fs::read_to_string(path.join("k=1/a.csv")).unwrap(), "rows");
        assert_eq!(Staged::new(&path, true, true).unwrap_err().kind(), ErrorKind::Output);
        fs::remove_dir_all(&path).unwrap();
        fs::create_dir(&path).unwrap();
        make();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // What others have put there meanwhile stays.
        let other = dir.path().join("other");
        let staged = Staged::new(&other, true, true).unwrap();
        fs::create_dir(&other).unwrap();
        fs::write(other.join("theirs"), "").unwrap();
        assert_eq!(staged.commit().unwrap_err().kind(), ErrorKind::Output);
        assert!(other.join("theirs").exists());
        Staged::new(&dir.path().join("nothing"), true, true).unwrap().commit().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("nothing")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(Staged::new(&dir.path().join("file"), true, true).unwrap_err().kind(), ErrorKind::Output);
    }
}
