//! Files that are written whole or not at all.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};

use super::failpoint::{Point, point};
use super::temporary::{Temporary, adopt, cannot, identity};
use crate::error::{Error, Result};
use crate::objects::{Writing, is_address};

/// The right to write a file. No other process has it until this one has written the file or given up the right.
#[derive(Debug)]
pub struct Output {
    /// As it was typed.
    path: PathBuf,
    overwrite: bool,
    place: Place,
}

/// Where an output goes.
#[derive(Debug)]
enum Place {
    File {
        /// The file itself, links resolved.
        target: PathBuf,
        /// Taken once the file is written.
        temporary: Option<Temporary>,
    },
    /// An object of a store; taken once it is written.
    Object(Option<Writing>),
}

impl Output {
    /// Takes the right to write `path`, before any work is done for it.
    ///
    /// # Errors
    ///
    /// [`Output`](crate::error::ErrorKind::Output) if it exists and `overwrite` is off, is not a regular file, or its folder is
    /// missing or not writable; [`Resource`](crate::error::ErrorKind::Resource) if another process is writing it;
    /// [`Io`](crate::error::ErrorKind::Io) if the disk is full.
    pub fn reserve(path: &Path, overwrite: bool) -> Result<Self> {
        let place = if is_address(path) {
            Place::Object(Some(Writing::new(path, overwrite)?))
        } else {
            let target = resolve(path, overwrite)?;
            let temporary = Some(Temporary::beside(&target, path)?);
            Place::File { target, temporary }
        };
        Ok(Self { path: path.to_owned(), overwrite, place })
    }

    /// Takes the right to write several files.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if two paths lead to one file; those of [`reserve`](Self::reserve).
    pub fn reserve_all(paths: &[&Path], overwrite: bool) -> Result<Vec<Self>> {
        let target = |path: &Path| if is_address(path) { Ok(path.to_owned()) } else { resolve(path, overwrite) };
        let targets = paths.iter().map(|path| target(path)).collect::<Result<Vec<_>>>()?;
        for (at, target) in targets.iter().enumerate() {
            let same =
                |other: &PathBuf| other == target || known(other).is_some_and(|file| Some(file) == known(target));
            if let Some(twice) = targets[..at].iter().position(same) {
                return Err(Error::usage("two outputs are one file")
                    .with("outputs", format!("{} and {}", paths[twice].display(), paths[at].display()))
                    .help("give each a name of its own"));
            }
        }
        paths.iter().map(|path| Self::reserve(path, overwrite)).collect()
    }

    /// The path as it was typed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the file by `write`, into a temporary file in the same folder that is renamed once it is on disk. A file that
    /// it replaces passes on its mode, and its owner as far as that is permitted.
    ///
    /// The file can be written again; the right to write it is then taken again.
    ///
    /// # Errors
    ///
    /// Those of [`reserve`](Self::reserve) and of `write`; [`Io`](crate::error::ErrorKind::Io) if the disk is full. An
    /// existing file is then left as it was. An object of a store appears at the end as a whole.
    pub fn write(&mut self, write: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>) -> Result<()> {
        let path = self.path.clone();
        write_together(std::slice::from_mut(self), |files| match files {
            [file] => write(*file).map_err(|error| error.with_default("file", path.display())),
            _ => Err(Error::internal("an output is one file")),
        })
    }

    fn begin(&mut self) -> Result<Begun> {
        if matches!(self.place, Place::File { temporary: None, .. } | Place::Object(None)) {
            *self = Self::reserve(&self.path, self.overwrite)?;
        }
        match &mut self.place {
            Place::File { target, temporary } => {
                let temporary = temporary.take().ok_or_else(|| Error::internal("no file"))?;
                let target = target.clone();
                if let Some(old) = existing(&target) {
                    adopt(&temporary.file, &old).map_err(|error| self.failed(error))?;
                }
                Ok(Begun::File(target, temporary))
            }
            Place::Object(object) => object.take().map(Begun::Object).ok_or_else(|| Error::internal("no object")),
        }
    }

    /// The error of a failure while the file is put on disk and renamed.
    fn failed(&self, error: io::Error) -> Error {
        match error.kind() {
            IoErrorKind::AlreadyExists => exists(&self.path),
            IoErrorKind::NotFound => cannot(&self.path, error),
            _ => Error::io("the output cannot be written")
                .with("file", self.path.display())
                .with("detail", &error)
                .caused_by(error),
        }
    }
}

/// Writes `path` by `write`, as [`Output`] does.
///
/// # Errors
///
/// Those of [`Output::reserve`] and [`Output::write`].
pub fn write_whole(
    path: &Path,
    overwrite: bool,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<()>,
) -> Result<()> {
    Output::reserve(path, overwrite)?.write(write)
}

/// Writes several files by `write`, which gets them in their order. None has its name before all are on disk, and no object
/// is there before all are written.
///
/// # Errors
///
/// Those of [`Output::write`].
pub fn write_together(
    outputs: &mut [Output],
    write: impl FnOnce(&mut [&mut (dyn Write + Send)]) -> Result<()>,
) -> Result<()> {
    let mut begun = outputs.iter_mut().map(Output::begin).collect::<Result<Vec<_>>>()?;
    let mut buffers: Vec<Buffer<'_>> = begun.iter_mut().map(Begun::buffer).collect();
    let mut writers: Vec<&mut (dyn Write + Send)> = Vec::new();
    for buffer in &mut buffers {
        writers.push(buffer);
    }
    write(&mut writers)?;
    for (output, buffer) in outputs.iter().zip(&mut buffers) {
        buffer.settle().map_err(|error| output.failed(error))?;
    }
    drop(buffers);
    for (output, begun) in outputs.iter().zip(begun) {
        match begun {
            Begun::File(target, temporary) => {
                temporary.place(&target, output.overwrite).map_err(|error| output.failed(error))?;
            }
            Begun::Object(object) => object.finish()?,
        }
    }
    Ok(())
}

/// An output that is being written: the file that it will be and the one that it is meanwhile, or an object.
enum Begun {
    File(PathBuf, Temporary),
    Object(Writing),
}

impl Begun {
    fn buffer(&mut self) -> Buffer<'_> {
        match self {
            Self::File(_, temporary) => Buffer::File(BufWriter::with_capacity(1 << 16, Watched(&temporary.file))),
            Self::Object(object) => Buffer::Object(object),
        }
    }
}

enum Buffer<'a> {
    File(BufWriter<Watched<'a>>),
    Object(&'a mut Writing),
}

impl Buffer<'_> {
    /// Puts a file on disk.
    fn settle(&mut self) -> io::Result<()> {
        match self {
            Self::File(buffer) => {
                buffer.flush()?;
                point(Point::Sync)?;
                buffer.get_ref().0.sync_all()
            }
            Self::Object(_) => Ok(()),
        }
    }
}

impl Write for Buffer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(buffer) => buffer.write(bytes),
            Self::Object(object) => object.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(buffer) => buffer.flush(),
            Self::Object(object) => object.flush(),
        }
    }
}

/// Fails if one of the files to be written is also read, under any name.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) with both names.
pub fn refuse_inputs<'a>(
    outputs: impl IntoIterator<Item = &'a Path>,
    inputs: impl IntoIterator<Item = PathBuf>,
) -> Result<()> {
    let outputs: Vec<_> = outputs.into_iter().filter_map(|path| Some((known(path)?, path))).collect();
    if outputs.is_empty() {
        return Ok(());
    }
    for input in inputs {
        let Some(read) = known(&input) else { continue };
        if let Some((_, output)) = outputs.iter().find(|(written, _)| *written == read) {
            return Err(Error::usage("the output is one of the inputs")
                .with("output", output.display())
                .with("input", input.display())
                .help("write to another file"));
        }
    }
    Ok(())
}

/// What tells a file from others.
#[derive(Debug, PartialEq, Eq)]
enum Identity {
    File((u64, u64)),
    Object(PathBuf),
}

/// The identity of the file that a path leads to, if there is one.
fn known(path: &Path) -> Option<Identity> {
    if is_address(path) {
        return Some(Identity::Object(path.to_owned()));
    }
    existing(path).map(|metadata| Identity::File(identity(&metadata)))
}

/// The metadata of the file at a path, if there is one.
pub(super) fn existing(path: &Path) -> Option<Metadata> {
    path.metadata().ok()
}

fn exists(path: &Path) -> Error {
    Error::output("the output exists")
        .with("file", path.display())
        .help("--overwrite replaces it, another name keeps it")
}

/// The file that a path leads to, existing or not, with links resolved.
pub(super) fn resolve(path: &Path, overwrite: bool) -> Result<PathBuf> {
    let refused = |message: &str| Err(Error::output(message).with("file", path.display()));
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => refused("the output is a folder"),
        Ok(metadata) if !metadata.is_file() => refused("the output is a pipe or a device, and no file"),
        Ok(_) if !overwrite => Err(exists(path)),
        // Renaming to the path itself would replace the link.
        Ok(_) => path.canonicalize().map_err(|error| cannot(path, error)),
        Err(error) if error.kind() != IoErrorKind::NotFound => Err(cannot(path, error)),
        Err(_) if path.symlink_metadata().is_ok() => refused("the output is a link that leads nowhere"),
        Err(_) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => refused("the output is a folder"),
        Err(error) => {
            let Some(name) = path.file_name() else { return Err(cannot(path, error)) };
            let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let folder = folder.canonicalize().map_err(|error| cannot(path, error))?;
            Ok(folder.join(name))
        }
    }
}

/// A file whose writes can be made to fail.
struct Watched<'a>(&'a File);

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        point(Point::Write)?;
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::error::ErrorKind;
    use crate::store::names;

    fn put(text: &'static str) -> impl FnOnce(&mut (dyn Write + Send)) -> Result<()> {
        |out| out.write_all(text.as_bytes()).map_err(|error| Error::io(error.to_string()))
    }

    fn kind(result: Result<Output>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn a_file_is_written_once_and_replaced_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        drop(Output::reserve(&path, false).unwrap());
        assert!(names(dir.path()).is_empty());
        write_whole(&path, false, put("first")).unwrap();
        assert_eq!(kind(Output::reserve(&path, false)), ErrorKind::Output);
        assert_eq!(write_whole(&path, false, put("second")).unwrap_err().kind(), ErrorKind::Output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        let mut output = Output::reserve(&path, true).unwrap();
        output.write(put("second")).unwrap();
        output.write(put("third")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third");
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
    fn one_output_is_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        let both = |a: &str, b: &str| Output::reserve_all(&[&file(a), &file(b)], true);
        assert_eq!(both("a.csv", "./a.csv").unwrap_err().kind(), ErrorKind::Usage);
        fs::write(file("a.csv"), "").unwrap();
        fs::hard_link(file("a.csv"), file("hard.csv")).unwrap();
        symlink(file("a.csv"), file("link.csv")).unwrap();
        symlink(dir.path(), file("again")).unwrap();
        for other in ["hard.csv", "link.csv", "again/a.csv", "again/./a.csv"] {
            assert_eq!(both("a.csv", other).unwrap_err().kind(), ErrorKind::Usage, "{other}");
        }
        assert_eq!(both("again/b.csv", "b.csv").unwrap_err().kind(), ErrorKind::Usage);
        let mut two = both("a.csv", "b.csv").unwrap();
        two.iter_mut().try_for_each(|output| output.write(put("text"))).unwrap();
        for input in ["a.csv", "link.csv", "again/b.csv"] {
            let error = refuse_inputs(two.iter().map(Output::path), [file("none"), file(input)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
        }
        refuse_inputs(two.iter().map(Output::path), [file("hard.csv"), file("none")]).unwrap();
    }

    #[test]
    fn mode_and_owner_of_what_is_replaced_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, "first").unwrap();
        // Root may give files away.
        let given = std::os::unix::fs::chown(&path, Some(7), Some(8)).is_ok();
        for mode in [0o600, 0o644, 0o460, 0o777] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            write_whole(&path, true, put("second")).unwrap();
            let metadata = path.metadata().unwrap();
            assert_eq!(metadata.mode() & 0o7777, mode);
            assert!(!given || (metadata.uid(), metadata.gid()) == (7, 8));
        }
    }

    #[test]
    fn places_that_cannot_be_are_found_before_the_work() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        fs::write(file("file"), "").unwrap();
        symlink(file("nowhere"), file("dangling.csv")).unwrap();
        symlink(file("loop.csv"), file("loop.csv")).unwrap();
        for name in ["", "none/a.csv", "..", "file/a.csv", "a.csv/", "dangling.csv", "loop.csv"] {
            assert_eq!(kind(Output::reserve(&file(name), true)), ErrorKind::Output, "{name}");
        }
        assert_eq!(kind(Output::reserve(Path::new(""), true)), ErrorKind::Output);
        assert_eq!(kind(Output::reserve(Path::new("/dev/null"), true)), ErrorKind::Output);
        assert_eq!(kind(Output::reserve(&file(&"a".repeat(256)), true)), ErrorKind::Output);
        write_whole(&file(&"a".repeat(255)), false, put("long")).unwrap();
    }

    #[test]
    fn links_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("a.csv"), dir.path().join("link.csv"));
        fs::write(&file, "first").unwrap();
        symlink(&file, &link).unwrap();
        write_whole(&link, true, put("second")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "second");
        assert!(link.is_symlink());
    }
}
