//! One writer a state file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::output::{Target, temporary_prefix};
use crate::error::{Error, Result};

/// The right to write a state file, which ends with the process at the latest.
///
/// It is a lock on a sibling `NAME.lock`, which is never removed or replaced: a rename would leave a lock on the state file
/// itself with the old file, and a second writer would lock the new one.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, and removes what killed writers of this file have left behind.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) if another process has it;
    /// [`Output`](crate::error::ErrorKind::Output) if there cannot be such a file.
    pub fn acquire(state: &Path) -> Result<Self> {
        let cannot = |error: std::io::Error| {
            Error::output("the state cannot be created")
                .with("file", state.display())
                .with("detail", &error)
                .caused_by(error)
        };
        let target = match Target::of(state, true)? {
            Target::File(target) => target,
            Target::Stream => {
                return Err(Error::output("a state is written to a file, not to a pipe or a device")
                    .with("file", state.display()));
            }
        };
        // Two ways to one directory must lead to one lock.
        let name = target.file_name().ok_or_else(|| cannot(std::io::ErrorKind::InvalidInput.into()))?;
        let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = parent.canonicalize().map_err(cannot)?;
        let mut sibling = name.to_owned();
        sibling.push(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(directory.join(sibling));
        let file = file.map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::resource("another process is writing this state")
                    .with("file", state.display())
                    .help("wait until it has ended, or write to another file with -o"));
            }
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
        }
        for path in leftovers(&directory, &temporary_prefix(name)) {
            // They only take up space.
            let _ = fs::remove_file(path);
        }
        Ok(Self { _file: file })
    }
}

/// Temporary files of writers that were killed. Whoever holds the lock is the only writer there is.
fn leftovers(directory: &Path, prefix: &std::ffi::OsStr) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "tmp")
            && path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_encoded_bytes()))
    };
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).filter(is_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_second_writer_is_turned_away_until_the_first_has_gone() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a.ncst");
        let lock = Lock::acquire(&state).unwrap();
        assert_eq!(Lock::acquire(&state).unwrap_err().kind(), ErrorKind::Resource);
        // The state being replaced changes nothing, and neither does another way to it.
        fs::write(dir.path().join("new"), "").unwrap();
        fs::rename(dir.path().join("new"), &state).unwrap();
        assert_eq!(Lock::acquire(&state).unwrap_err().kind(), ErrorKind::Resource);
        std::os::unix::fs::symlink(&state, dir.path().join("b.ncst")).unwrap();
        assert_eq!(Lock::acquire(&dir.path().join("b.ncst")).unwrap_err().kind(), ErrorKind::Resource);
        drop(lock);
        Lock::acquire(&state).unwrap();
    }

    #[test]
    fn what_a_killed_writer_left_behind_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".a.ncst.77-0.tmp", ".b.ncst.77-0.tmp", "a.ncst.tmp"] {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        drop(Lock::acquire(&dir.path().join("a.ncst")).unwrap());
        assert!(!dir.path().join(".a.ncst.77-0.tmp").exists());
        assert!(dir.path().join(".b.ncst.77-0.tmp").exists() && dir.path().join("a.ncst.tmp").exists());
    }

    #[test]
    fn a_state_is_no_device_and_needs_its_directory() {
        assert_eq!(Lock::acquire(Path::new("/dev/null")).unwrap_err().kind(), ErrorKind::Output);
        assert_eq!(Lock::acquire(Path::new("/no/such/a.ncst")).unwrap_err().kind(), ErrorKind::Output);
    }
}
