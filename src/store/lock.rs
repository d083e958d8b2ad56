//! The lock of a state file, which has one writer at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind as IoErrorKind};
use std::path::Path;

use super::output::resolve;
use super::temporary::{cannot, is_at, sibling};
use crate::error::{Error, Result};
use crate::objects::is_address;

/// The right to write a state file. It ends with the process at the latest.
///
/// The lock is on a sibling `NAME.lock` that is never removed or replaced. A lock on the state file itself would stay with
/// the old file when another is renamed to its name, and a second writer could lock the new one.
#[derive(Debug)]
pub struct Lock {
    /// None in an object store, where each write replaces only what this process has seen, so a second writer fails.
    _file: Option<File>,
}

impl Lock {
    /// Takes the lock.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) if another process has it;
    /// [`Output`](crate::error::ErrorKind::Output) if such a file cannot be made, or the lock is not a file.
    pub fn acquire(state: &Path) -> Result<Self> {
        if is_address(state) {
            return Ok(Self { _file: None });
        }
        // Two paths of one folder must lead to one lock.
        let target = resolve(state, true)?;
        let name = target.file_name().ok_or_else(|| cannot(state, IoErrorKind::InvalidInput.into()))?;
        let path = target.with_file_name(sibling("", name, ".lock"));
        let no_file = || {
            Error::output("the state's lock is a link, a pipe or a device, not a file")
                .with("file", path.display())
                .help("remove it, or write the state elsewhere")
        };
        if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(no_file());
        }
        let file = open(&path).map_err(|error| cannot(&path, error))?;
        // Others may exchange files at any moment, so the opened file is checked and not the path.
        if !is_at(&file, &path).map_err(|error| cannot(&path, error))? {
            return Err(no_file());
        }
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(Error::resource("another process is writing this state")
                .with("file", state.display())
                .help("wait until it has ended, or write to another file with -o")),
            Err(TryLockError::Error(error)) => Err(cannot(&path, error)),
        }
    }
}

/// Opens a lock; a new one is not made through a link. Opening a pipe for both reading and writing does not wait.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => options.open(path),
        made => made,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_second_writer_is_turned_away_until_the_first_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a.ncst");
        let lock = Lock::acquire(&state).unwrap();
        assert_eq!(Lock::acquire(&state).unwrap_err().kind(), ErrorKind::Resource);
        // The lock holds when the state is replaced, and on another path to it.
        fs::write(dir.path().join("new"), "").unwrap();
        fs::rename(dir.path().join("new"), &state).unwrap();
        assert_eq!(Lock::acquire(&state).unwrap_err().kind(), ErrorKind::Resource);
        symlink(&state, dir.path().join("b.ncst")).unwrap();
        assert_eq!(Lock::acquire(&dir.path().join("b.ncst")).unwrap_err().kind(), ErrorKind::Resource);
        drop(lock);
        Lock::acquire(&state).unwrap();
    }

    #[test]
    fn no_file_but_the_lock_is_made_or_removed() {
        let dir = tempfile::tempdir().unwrap();
        let strangers = [".a.ncst.77-0.tmp", ".a.ncst.b.ncst.tmp", "a.ncst.tmp"];
        for name in &strangers {
            fs::write(dir.path().join(name), "theirs").unwrap();
        }
        drop(Lock::acquire(&dir.path().join("a.ncst")).unwrap());
        assert!(strangers.iter().all(|name| fs::read_to_string(dir.path().join(name)).unwrap() == "theirs"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    }

    #[test]
    fn a_lock_that_is_a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, lock) = (dir.path().join("victim"), dir.path().join("a.ncst.lock"));
        for there in [false, true] {
            if there {
                fs::write(&victim, "mine").unwrap();
            }
            symlink(&victim, &lock).unwrap();
            let error = Lock::acquire(&dir.path().join("a.ncst")).unwrap_err();
            assert!(error.kind() == ErrorKind::Output && error.to_string().contains("a.ncst.lock"), "{error}");
            assert_eq!(victim.exists(), there);
            fs::remove_file(&lock).unwrap();
        }
        fs::create_dir(&lock).unwrap();
        assert_eq!(Lock::acquire(&dir.path().join("a.ncst")).unwrap_err().kind(), ErrorKind::Output);
        Lock::acquire(&dir.path().join("a".repeat(255))).unwrap();
    }

    #[test]
    fn a_state_is_no_device_and_needs_its_folder() {
        assert_eq!(Lock::acquire(Path::new("/dev/null")).unwrap_err().kind(), ErrorKind::Output);
        assert_eq!(Lock::acquire(Path::new("/no/such/a.ncst")).unwrap_err().kind(), ErrorKind::Output);
    }
}
