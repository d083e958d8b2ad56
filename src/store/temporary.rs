//! The temporary file into which an output is written. Its lock is the right to write the output.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind as IoErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::failpoint::{Point, point};
use crate::error::{Error, Result};

/// Bytes of the longest file name that common file systems allow.
const LONGEST_NAME: usize = 255;

/// How often a name may lead to another file than the one just opened; more than that is interference.
const ATTEMPTS: usize = 100;

/// A name made from another one; from a long one, of its beginning and a checksum.
pub(super) fn sibling(before: &str, name: &OsStr, after: &str) -> OsString {
    if before.len() + name.len() + after.len() <= LONGEST_NAME {
        let mut sibling = OsString::from(before);
        sibling.push(name);
        sibling.push(after);
        return sibling;
    }
    let checksum = format!("~{:08x}", crc32fast::hash(name.as_encoded_bytes()));
    let room = LONGEST_NAME - before.len() - checksum.len() - after.len();
    let name = name.to_string_lossy();
    format!("{before}{}{checksum}{after}", &name[..name.floor_char_boundary(room)]).into()
}

/// The identity of a file, independent of its name.
pub(super) fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// Whether an open file is the one at this path, without following links.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(identity(&metadata) == identity(&file.metadata()?)),
        Err(error) if error.kind() == IoErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The error of an output that cannot be made: the disk is full, or the file is not possible.
pub(super) fn cannot(path: &Path, error: io::Error) -> Error {
    let full = matches!(error.kind(), IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded);
    let message = "the output cannot be created";
    let told = if full { Error::io(message) } else { Error::output(message) };
    told.with("file", path.display()).with("detail", &error).caused_by(error)
}

/// A file `.NAME.nckit.tmp` beside an output. It is locked while it is open, and removed unless it is renamed to the output.
///
/// Its name is always the same, so an unlocked one was left behind by a run that died. Files of other names are not ours.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) file: File,
    path: PathBuf,
    placed: bool,
}

impl Temporary {
    /// Makes the temporary file of the output `target`, which errors call `shown`.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) if another process has it; otherwise those of [`cannot`].
    pub(super) fn beside(target: &Path, shown: &Path) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| cannot(shown, IoErrorKind::InvalidInput.into()))?;
        let path = target.with_file_name(sibling(".", name, ".nckit.tmp"));
        point(Point::Create).map_err(|error| cannot(shown, error))?;
        for _ in 0..ATTEMPTS {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                // Where files cannot be locked, having made the file is enough.
                Ok(file) => match file.try_lock() {
                    Err(TryLockError::WouldBlock) => return Err(busy(shown)),
                    Ok(()) | Err(TryLockError::Error(_)) => {
                        if is_at(&file, &path).map_err(|error| cannot(shown, error))? {
                            return Ok(Self { file, path, placed: false });
                        }
                    }
                },
                Err(error) if error.kind() == IoErrorKind::AlreadyExists => remove_abandoned(&path, shown)?,
                Err(error) => return Err(cannot(shown, error)),
            }
        }
        Err(busy(shown))
    }

    /// Renames it to the output, and replaces an existing file only if `overwrite` says so.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](IoErrorKind::AlreadyExists) if a file is there that may not be replaced.
    pub(super) fn place(mut self, target: &Path, overwrite: bool) -> io::Result<()> {
        point(Point::Rename)?;
        self.placed = place(&self.path, target, overwrite)?;
        point(Point::SyncDirectory)?;
        sync_folder(target)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.placed {
            // An error here cannot be helped.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Gives a file or folder the mode of the one that it will replace, and its owner and group as far as permitted.
pub(super) fn adopt(file: &File, old: &Metadata) -> io::Result<()> {
    let owned = || file.metadata().map(|metadata| (metadata.uid(), metadata.gid()));
    let (user, group) = (old.uid(), old.gid());
    if owned()? != (user, group) && fchown(file, Some(user), Some(group)).is_err() {
        // The group alone may be permitted.
        let _ = fchown(file, None, Some(group));
    }
    let mut mode = old.mode() & 0o777;
    if owned()?.1 != group {
        // The rights of its group are not meant for ours.
        mode &= 0o707 | (mode & 0o007) << 3;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

/// Renames a file; returns whether the old name is gone.
fn place(from: &Path, target: &Path, overwrite: bool) -> io::Result<bool> {
    if !overwrite {
        // A hard link fails if the name exists; a rename would replace what others have made meanwhile.
        match fs::hard_link(from, target) {
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == IoErrorKind::AlreadyExists => return Err(error),
            // Not every file system has hard links.
            Err(_) if target.symlink_metadata().is_ok() => return Err(IoErrorKind::AlreadyExists.into()),
            Err(_) => {}
        }
    }
    fs::rename(from, target).map(|()| true)
}

/// Puts the folder entry of `path` on disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn busy(shown: &Path) -> Error {
    Error::resource("another process is writing this output")
        .with("file", shown.display())
        .help("wait until it has ended, or write to another file")
}

/// Removes the temporary file of a run that died; one that is locked belongs to another process.
fn remove_abandoned(path: &Path, shown: &Path) -> Result<()> {
    let in_the_way = || {
        Error::output("something is in the way of the output's temporary file")
            .with("file", path.display())
            .help("remove it if no other process is writing the output")
    };
    let vanished = |error: &io::Error| error.kind() == IoErrorKind::NotFound;
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(in_the_way()),
        Err(error) if vanished(&error) => return Ok(()),
        Err(error) => return Err(cannot(shown, error)),
    }
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if vanished(&error) => return Ok(()),
        Err(error) => return Err(in_the_way().with("detail", &error).caused_by(error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy(shown)),
        Err(TryLockError::Error(error)) => return Err(in_the_way().with("detail", &error).caused_by(error)),
    }
    if is_at(&file, path).map_err(|error| cannot(shown, error))? {
        fs::remove_file(path).map_err(|error| in_the_way().with("detail", &error).caused_by(error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn one_of_many_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.csv");
        let first = Temporary::beside(&target, &target).unwrap();
        assert_eq!(Temporary::beside(&target, &target).unwrap_err().kind(), ErrorKind::Resource);
        drop(first);
        assert!(names(dir.path()).is_empty());
        // One thread at a time has it, however many begin at once.
        let inside = std::sync::atomic::AtomicUsize::new(0);
        let had = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        if let Ok(temporary) = Temporary::beside(&target, &target) {
                            use std::sync::atomic::Ordering::SeqCst;
                            assert_eq!(inside.fetch_add(1, SeqCst), 0);
                            assert!(is_at(&temporary.file, &temporary.path).unwrap());
                            had.fetch_add(1, SeqCst);
                            inside.fetch_sub(1, SeqCst);
                        }
                    }
                });
            }
        });
        assert!(had.into_inner() > 0 && names(dir.path()).is_empty());
    }

    #[test]
    fn what_a_dead_run_left_is_removed_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("a.csv");
        for name in [".a.csv.nckit.tmp", ".a.csv.77-0.tmp", ".a.csv.tmp"] {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        drop(Temporary::beside(&target, &target).unwrap());
        assert_eq!(names(dir.path()), [".a.csv.77-0.tmp", ".a.csv.tmp"]);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (target, victim) = (dir.path().join("a.csv"), dir.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        let path = dir.path().join(".a.csv.nckit.tmp");
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert_eq!(Temporary::beside(&target, &target).unwrap_err().kind(), ErrorKind::Output);
        fs::remove_file(&path).unwrap();
        // Removing a hard link leaves the file.
        fs::hard_link(&victim, &path).unwrap();
        drop(Temporary::beside(&target, &target).unwrap());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    }

    #[test]
    fn long_names_are_shortened() {
        let long = "é".repeat(127);
        assert_eq!(sibling(".", OsStr::new("a"), ".tmp"), ".a.tmp");
        let short = sibling(".", OsStr::new(&long), ".tmp").into_string().unwrap();
        assert!(short.len() <= LONGEST_NAME && short.starts_with(".éé") && short.ends_with("tmp"), "{short}");
        let other = "é".repeat(126) + "è";
        assert_ne!(sibling(".", OsStr::new(&other), ".tmp").into_string().unwrap(), short);
    }
}
