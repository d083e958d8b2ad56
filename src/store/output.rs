//! Files that are written whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};

use super::fault::{Point, point};
use crate::error::{Error, Result};

/// Finds out whether `path` can be written before any work is done for it.
///
/// # Errors
///
/// [`Output`](crate::error::ErrorKind::Output) if it exists and `overwrite` is off, is a directory, or its directory is not there or not
/// writable.
pub fn check_output(path: &Path, overwrite: bool) -> Result<()> {
    let Target::File(target) = Target::of(path, overwrite)? else { return Ok(()) };
    let (temporary, _) = Temporary::beside(&target).map_err(|error| cannot(path, error))?;
    drop(temporary);
    Ok(())
}

/// Writes `path` by `write`: into a temporary file of the same directory, which takes its name once it is on disk.
///
/// A pipe or a device is written to directly.
///
/// # Errors
///
/// Those of [`check_output`] and of `write`; [`Io`](crate::error::ErrorKind::Io) if the disk is full. What was there before is then untouched.
pub fn write_whole(
    path: &Path,
    overwrite: bool,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
) -> Result<()> {
    let failed = |error: io::Error| {
        Error::io("the output cannot be written").with("file", path.display()).with("detail", &error).caused_by(error)
    };
    let target = match Target::of(path, overwrite)? {
        Target::File(target) => target,
        Target::Stream => {
            let mut stream = OpenOptions::new().write(true).open(path).map_err(|error| cannot(path, error))?;
            write(&mut stream).map_err(|error| error.with_default("file", path.display()))?;
            return stream.flush().map_err(failed);
        }
    };
    let (temporary, file) = Temporary::beside(&target).map_err(|error| cannot(path, error))?;
    let mut buffer = BufWriter::with_capacity(1 << 16, Watched(file));
    write(&mut buffer).map_err(|error| error.with_default("file", path.display()))?;
    let file = buffer.into_inner().map_err(|error| failed(error.into_error()))?;
    point(Point::Sync).and_then(|()| file.0.sync_all()).map_err(failed)?;
    // Somebody may have made the file in the meantime.
    Target::of(path, overwrite)?;
    temporary.rename(&target).map_err(failed)
}

/// A file whose writes can be made to fail.
struct Watched(File);

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        point(Point::Write)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What a path stands for.
pub(super) enum Target {
    /// A regular file, there or not, links resolved.
    File(PathBuf),
    /// A pipe or a device.
    Stream,
}

impl Target {
    pub(super) fn of(path: &Path, overwrite: bool) -> Result<Self> {
        match path.metadata() {
            Ok(metadata) if metadata.is_dir() => {
                Err(Error::output("the output is a directory").with("file", path.display()))
            }
            Ok(metadata) if !metadata.is_file() => Ok(Self::Stream),
            Ok(_) if !overwrite => Err(Error::output("the output exists")
                .with("file", path.display())
                .help("--overwrite replaces it, another -o keeps it")),
            // Renaming would replace the link, not what it points to.
            Ok(_) => path.canonicalize().map(Self::File).map_err(|error| cannot(path, error)),
            Err(error) if error.kind() == IoErrorKind::NotFound => Ok(Self::File(path.to_owned())),
            Err(error) => Err(cannot(path, error)),
        }
    }
}

/// What the names of all temporary files beside a file begin with.
pub(super) fn temporary_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    prefix
}

/// A file that is removed unless it is renamed.
struct Temporary {
    path: PathBuf,
    keep: bool,
}

impl Temporary {
    fn beside(target: &Path) -> io::Result<(Self, File)> {
        let name = target.file_name().ok_or(IoErrorKind::InvalidInput)?;
        point(Point::Create)?;
        let mut attempt = 0_u32;
        loop {
            let mut hidden = temporary_prefix(name);
            hidden.push(format!("{}-{attempt}.tmp", std::process::id()));
            let path = target.with_file_name(hidden);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Self { path, keep: false }, file)),
                // Another thread's, or left behind by a process of the same number.
                Err(error) if error.kind() == IoErrorKind::AlreadyExists && attempt < 1000 => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn rename(mut self, target: &Path) -> io::Result<()> {
        point(Point::Rename)?;
        fs::rename(&self.path, target)?;
        self.keep = true;
        point(Point::SyncDirectory)?;
        // The name is on disk only when its directory is.
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(directory)?.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing can be done about a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn cannot(path: &Path, error: io::Error) -> Error {
    Error::output("the output cannot be created").with("file", path.display()).with("detail", &error).caused_by(error)
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

    fn put(text: &'static str) -> impl FnOnce(&mut (dyn Write + Send)) -> Result<()> {
        |out| out.write_all(text.as_bytes()).map_err(|error| Error::io(error.to_string()))
    }

    #[test]
    fn a_file_is_written_once_and_replaced_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        check_output(&path, false).unwrap();
        assert!(names(dir.path()).is_empty());
        write_whole(&path, false, put("first")).unwrap();
        assert_eq!(check_output(&path, false).unwrap_err().kind(), ErrorKind::Output);
        assert_eq!(write_whole(&path, false, put("second")).unwrap_err().kind(), ErrorKind::Output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        check_output(&path, true).unwrap();
        write_whole(&path, true, put("second")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(names(dir.path()), ["a.csv"]);
    }

    #[test]
    fn what_fails_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        write_whole(&path, false, put("first")).unwrap();
        let error = write_whole(&path, true, |out| {
            put("half of it")(out)?;
            Err(Error::data("and then no more"))
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Data);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        assert_eq!(names(dir.path()), ["a.csv"]);
    }

    #[test]
    fn a_file_made_in_the_meantime_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let error =
            write_whole(&path, false, |_| fs::write(&path, "another's").map_err(|error| Error::io(error.to_string())));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
        assert_eq!(names(dir.path()), ["a.csv"]);
    }

    #[test]
    fn places_that_cannot_be_are_found_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("none/a.csv"), dir.path().join("..")] {
            assert_eq!(check_output(&path, true).unwrap_err().kind(), ErrorKind::Output, "{}", path.display());
        }
        fs::write(dir.path().join("file"), "").unwrap();
        assert_eq!(check_output(&dir.path().join("file/a.csv"), true).unwrap_err().kind(), ErrorKind::Output);
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_to_and_links_followed() {
        check_output(Path::new("/dev/null"), false).unwrap();
        write_whole(Path::new("/dev/null"), false, put("gone")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a.csv"), dir.path().join("link.csv"));
        fs::write(&file, "first").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_whole(&link, true, put("second")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "second");
        assert!(link.is_symlink());
    }
}
