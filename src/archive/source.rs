//! What is opened as one file of an archive: a file, some arrays of it, or features with their labels in a second file.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::{fs, io};

use super::braces::{has_keys, last_outside};
use super::by_path::LabelledByPath;
use super::container::{ArrayNames, Container, Format};
use super::damage::{damaged, is_damage};
use super::escape::escaped;
use super::foreign::{self, KINDS_OF_LABELS};
use super::formats::{self, HEAD};
use super::labelled::LabelledFile;
use super::names::{is_feature_name, is_label_file, is_label_name, label_parts};
use super::read_at::{self, Part, ReadAt, TwoFiles, Version, read_exact_at};
use super::tensor_index::{LIMIT, beside, files, is_index};
use super::text::{is_text, open_labels};
use super::wide::WideFile;
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::objects;

/// What is opened as one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// Where the labels of its rows are, if they are in a file of their own; an array or column of it may be named behind a
    /// colon.
    pub(super) labels: Option<PathBuf>,
    /// Which of its arrays are read; `None` finds them. An array of labels is in the file of the labels, if there is one.
    pub(super) arrays: Option<ArrayNames>,
    /// Which columns are the elements of its vectors, unless a column has this name.
    pub(super) wide: Option<String>,
    /// A key of its path that is the label of all of its rows, unless a column has this name.
    pub(super) by_path: Option<(String, Label)>,
}

impl Source {
    /// A file that has all of its rows.
    pub(super) fn of(path: PathBuf) -> Self {
        Self { path, labels: None, arrays: None, wide: None, by_path: None }
    }

    /// What an input names: a path or pattern; behind a comma the file of its labels; or behind a colon the arrays of an
    /// `.npz`, `.safetensors` or `.pt` file that hold features and labels. An input that exists as a path is that path, with its commas and
    /// colons.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) if there is no such file of labels.
    pub(super) fn parse(input: &str) -> Result<Self> {
        let whole = Self::of(PathBuf::from(input));
        if whole.path.symlink_metadata().is_ok() {
            return if is_index(input) { of_index(&whole.path, None) } else { Ok(whole) };
        }
        if let Some((path, names)) = input.rsplit_once(':')
            && is_index(path)
        {
            return of_index(Path::new(path), Some(names));
        }
        // An array of a file of labels is named, and perhaps one of features before it.
        if let Some((features, labels)) = last_outside(input, ',').map(|at| (&input[..at], &input[at + 1..]))
            && !features.is_empty()
            && label_parts(Path::new(labels)).1.is_some()
        {
            return Ok(Self { labels: Some(label_file(labels)?), ..Self::parse(features)? });
        }
        if let Some((path, names)) = last_outside(input, ':').map(|at| (&input[..at], &input[at + 1..]))
            && [".npz", ".safetensors", ".pt", ".pth"]
                .iter()
                .any(|extension| path.to_ascii_lowercase().ends_with(extension))
            && !names.is_empty()
        {
            let (features, labels) = match names.split_once(',') {
                Some((features, labels)) => (features, Some(labels.to_owned())),
                None => (names, None),
            };
            return match labels.as_deref().filter(|labels| is_label_file(labels)) {
                Some(file) => Ok(Self {
                    path: PathBuf::from(path),
                    labels: Some(label_file(file)?),
                    arrays: Some(ArrayNames { features: features.to_owned(), labels: None }),
                    wide: None,
                    by_path: None,
                }),
                None => Ok(Self {
                    arrays: Some(ArrayNames { features: features.to_owned(), labels }),
                    ..Self::of(PathBuf::from(path))
                }),
            };
        }
        if let Some((path, labels)) = last_outside(input, ',').map(|at| (&input[..at], &input[at + 1..]))
            && is_label_file(labels)
            && !path.is_empty()
        {
            return Ok(Self { labels: Some(label_file(labels)?), ..Self::of(PathBuf::from(path)) });
        }
        Ok(whole)
    }

    /// What its input says behind the path: of arrays, and of the file of labels.
    pub(super) fn suffixes(&self) -> (String, String) {
        let arrays = self.arrays.as_ref().map(|ArrayNames { features, labels }| {
            let labels = labels.iter().flat_map(|labels| [",", labels]).collect::<String>();
            format!(":{features}{labels}")
        });
        let labels = self.labels.as_ref().map(|labels| format!(",{}", labels.to_string_lossy()));
        (arrays.unwrap_or_default(), labels.unwrap_or_default())
    }

    /// Whether both name the same rows of one file.
    pub(super) fn is_same_part(&self, other: &Self) -> bool {
        (&self.labels, &self.arrays) == (&other.labels, &other.arrays)
    }

    /// Its files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let labels = self.labels.as_deref().map(|labels| label_parts(labels).0);
        std::iter::once(self.path.as_path()).chain(labels)
    }

    /// Opens its files.
    ///
    /// # Errors
    ///
    /// Those of [`read_at::open`], with the file of the labels if it is at fault.
    pub(super) fn open(&self) -> Result<(Arc<dyn ReadAt>, Version)> {
        let (bytes, version) = read_at::open(&self.path)?;
        let Some(labels) = &self.labels else { return Ok((bytes, version)) };
        let (labels, _) = label_parts(labels);
        let (labels, of_labels) = read_at::open(labels).map_err(|error| error.with("labels", shown(labels)))?;
        Ok((Arc::new(TwoFiles::new(bytes, labels)), version.and(of_labels)))
    }

    /// The names of those arrays of its first file that may be features.
    ///
    /// # Errors
    ///
    /// Those of opening it; [`Usage`](crate::error::ErrorKind::Usage) if files of its format have no arrays to choose from.
    pub(super) fn feature_arrays(&self) -> Result<Vec<String>> {
        let (bytes, _) = read_at::open(&self.path)?;
        formats::of(&bytes, &self.path)?.feature_arrays(&bytes)
    }

    /// Bytes of memory that its container takes.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if a file is damaged.
    pub(super) fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        let (first, second) = parted(bytes);
        let own = formats::of(&first, &self.path)?.memory(&first)?;
        let Some(second) = second else { return Ok(own) };
        let of_labels = self.label_format(&second).and_then(|format| match format {
            Some(format) => format.memory(&second),
            None => Ok(0),
        });
        of_labels.map(|labels| own.saturating_add(labels)).map_err(|error| self.in_labels(error, &second))
    }

    /// An error of the file of the labels, which it names.
    fn in_labels(&self, error: Error, bytes: &Arc<dyn ReadAt>) -> Error {
        let Some((path, _)) = self.labels.as_deref().map(label_parts) else { return error };
        let error = bytes.failure().unwrap_or(error);
        // What is said of features does not serve those who look for labels.
        let error = match error.fact("arrays").filter(|_| error.message().starts_with("no array holds vectors")) {
            Some(arrays) => Error::data("the file holds no labels: they are one integer, text or boolean a row")
                .with("arrays", arrays)
                .help(
                    "save y.argmax(1) if its rows are one-hot, y.ravel() if it has two dimensions, y.astype(str) if it \
                         holds dates",
                ),
            None => error,
        };
        let error = if is_damage(&error) { other_format(error, bytes) } else { error };
        advising(error, path).with_default("file", shown(path))
    }

    /// What its files and its path say of its rows.
    ///
    /// # Errors
    ///
    /// Those of [`Format::open`]; [`Data`](crate::error::ErrorKind::Data) if features and labels do not fit.
    pub(super) fn container(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        let container = self.container_of_files(bytes)?;
        Ok(match &self.by_path {
            Some((name, label)) if container.columns().iter().all(|column| column.name != *name) => {
                Arc::new(LabelledByPath::new(container, name, label))
            }
            _ => container,
        })
    }

    fn container_of_files(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        let (first, second) = parted(bytes);
        let format = formats::of(&first, &self.path)?;
        let container = match (&self.arrays, &self.labels) {
            (Some(names), None) => format.open_arrays(&first, names),
            (Some(names), Some(_)) => format.open_arrays(&first, &ArrayNames { labels: None, ..names.clone() }),
            (None, _) => format.open(&first),
        };
        let mut container = container.map_err(|error| advising(error, &self.path))?;
        if let Some(pattern) = &self.wide
            && container.columns().iter().all(|column| column.name != *pattern)
        {
            container = Arc::new(WideFile::new(container, pattern)?);
        }
        let (Some(second), Some(path)) = (second, &self.labels) else { return Ok(container) };
        let (path, within) = label_parts(path);
        let place = |error: Error| self.in_labels(error, &second);
        let named = within.or_else(|| self.arrays.as_ref().and_then(|names| names.labels.as_deref()));
        let labels = match (self.label_format(&second).map_err(place)?, named) {
            (Some(format), Some(name)) => format.open_one(&second, name).map_err(place)?,
            (Some(format), None) => format.open(&second).map_err(place)?,
            (None, _) => Arc::new(open_labels(&second).map_err(place)?),
        };
        let file = LabelledFile::new(container, (labels, named), first.size(), &shown(path))?;
        Ok(Arc::new(match within {
            Some(name) => file.choosing(name),
            None => file,
        }))
    }

    /// The format of the labels; `None` is text.
    fn label_format(&self, bytes: &Arc<dyn ReadAt>) -> Result<Option<&'static dyn Format>> {
        if let Some(format) = formats::recognised(bytes)?.filter(|format| !format.is_table_in_text()) {
            return Ok(Some(format));
        }
        let mut head = vec![0; bytes.size().min(HEAD as u64) as usize];
        read_exact_at(&**bytes, 0, &mut head)?;
        let path = self.labels.as_deref().map_or(&*self.path, |labels| label_parts(labels).0);
        if is_text(&head) {
            // A list in brackets would be read as one line of a table.
            let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
            let error = || Error::data("labels are not read from a document of JSON").help(KINDS_OF_LABELS);
            return if is_json { Err(error().with("file", shown(path))) } else { Ok(None) };
        }
        let is_named = formats::named(path).is_some_and(|format| !format.is_table_in_text());
        if let Some(encoding) = other_encoding(&head).filter(|_| !is_named) {
            return Err(damaged("the text of the labels is not in UTF-8")
                .with("file", shown(path))
                .with("encoding", encoding)
                .help(format!("iconv -f {encoding} -t UTF-8 {} > labels-utf8.txt", shown(path))));
        }
        formats::of(bytes, path).map(Some)
    }

    /// A source as a path from the root, as ledgers keep it: what the path alone does not say follows after zeros, which no
    /// path can have.
    pub(super) fn encoded(&self) -> io::Result<PathBuf> {
        let from_root = |path: &Path| if objects::is_address(path) { Ok(path.to_owned()) } else { absolute(path) };
        let mut bytes = from_root(&self.path)?.into_os_string().into_vec();
        if let Some(labels) = &self.labels {
            bytes.extend(b"\0labels\0");
            bytes.extend(from_root(labels)?.as_os_str().as_bytes());
        }
        if let Some(ArrayNames { features, labels }) = &self.arrays {
            bytes.extend(format!("\0features\0{features}").into_bytes());
            bytes.extend(labels.iter().flat_map(|labels| format!("\0array of labels\0{labels}").into_bytes()));
        }
        if let Some(pattern) = &self.wide {
            bytes.extend(format!("\0wide\0{pattern}").into_bytes());
        }
        if let Some((name, label)) = &self.by_path {
            let kind = if matches!(label, Label::Text(_)) { "text" } else { "integer" };
            bytes.extend(format!("\0label by path\0{name}\0{kind}\0{label}").into_bytes());
        }
        Ok(OsString::from_vec(bytes).into())
    }

    /// The source that a path of a ledger stands for.
    pub(super) fn decoded(path: &Path) -> Self {
        let mut parts = path.as_os_str().as_bytes().split(|&byte| byte == 0);
        let to_path = |bytes: &[u8]| PathBuf::from(OsString::from_vec(bytes.to_vec()));
        let mut source = Self::of(to_path(parts.next().unwrap_or_default()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        while let Some(part) = parts.next() {
            match part {
                b"labels" => source.labels = parts.next().map(to_path),
                b"features" => {
                    let features = parts.next().map(text).unwrap_or_default();
                    source.arrays = Some(ArrayNames { features, labels: None });
                }
                b"array of labels" => {
                    if let Some(names) = &mut source.arrays {
                        names.labels = parts.next().map(text);
                    }
                }
                b"wide" => source.wide = parts.next().map(text),
                b"label by path" => {
                    let [name, kind, value] = [(); 3].map(|()| parts.next().map(text).unwrap_or_default());
                    let kind = if kind == "text" { LabelKind::Text } else { LabelKind::Int };
                    source.by_path = kind.parse(&value).map(|label| (name, label));
                }
                _ => {}
            }
        }
        source
    }
}

/// The error of a damaged file of labels, which says what the file is, if that is known.
fn other_format(error: Error, bytes: &Arc<dyn ReadAt>) -> Error {
    let mut head = vec![0; bytes.size().min(HEAD as u64) as usize];
    if head.is_empty() {
        return damaged("it is empty");
    }
    if read_exact_at(&**bytes, 0, &mut head).is_err() || formats::recognise(&head, &[]).is_some() {
        return error;
    }
    match foreign::recognise(&head, "FILE") {
        Some(foreign) => damaged(format!("it is {}", foreign.what)).help(foreign.labels),
        None => error,
    }
}

/// The encoding in which bytes are a text, if that is not UTF-8.
fn other_encoding(head: &[u8]) -> Option<&'static str> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Some("UTF-16");
    }
    let is_letter = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0xa0..);
    (!head.is_empty() && head.iter().all(is_letter)).then_some("LATIN1")
}

/// The tensors that an index leads to, by their names or by well-known ones.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) if there are no such tensors, or it is not clear which are meant;
/// [`Data`](crate::error::ErrorKind::Data) if the file is no index.
fn of_index(path: &Path, names: Option<&str>) -> Result<Source> {
    let place = |error: Error| error.with("index", shown(path));
    let (bytes, _) = read_at::open(path).map_err(place)?;
    let no_index = || place(Error::data("the file is no index of tensors"));
    if bytes.size() > LIMIT {
        return Err(no_index());
    }
    let mut text = vec![0; bytes.size() as usize];
    read_exact_at(&*bytes, 0, &mut text)?;
    let files = files(&String::from_utf8_lossy(&text)).ok_or_else(no_index)?;
    let unclear = |what: &str| {
        let tensors: Vec<String> = files.keys().take(12).map(|name| escaped(name)).collect();
        let error = Error::usage(format!("the index names no tensor that is clearly that of the {what}"));
        place(error.with("tensors", tensors.join(", "))).help(format!("name them: {}:FEATURES,LABELS", shown(path)))
    };
    let known = |is_known: fn(&str) -> bool| {
        let mut known = files.keys().filter(|name| is_known(name));
        known.next().filter(|_| known.next().is_none()).cloned()
    };
    let (features, labels) = match names.map(|names| names.split_once(',').map_or((names, None), |(x, y)| (x, Some(y))))
    {
        Some((features, labels)) => (features.to_owned(), labels.map(str::to_owned)),
        None => (known(is_feature_name).ok_or_else(|| unclear("features"))?, known(is_label_name)),
    };
    let file = |name: &String| {
        let file = files.get(name).ok_or_else(|| unclear("name that was given").with("tensor", escaped(name)))?;
        let elsewhere = || Error::data("the index names a file that is not beside it").with("file", escaped(file));
        let found = beside(path, file).ok_or_else(|| place(elsewhere()))?;
        if !read_at::is_file(&found) {
            return Err(place(Error::missing("a file that the index names is not there").with("file", shown(&found))));
        }
        Ok(found)
    };
    let own = file(&features)?;
    if let Some(apart) = labels.as_deref().filter(|labels| is_label_file(labels)) {
        let labels = Some(label_file(apart)?);
        return Ok(Source { labels, arrays: Some(ArrayNames { features, labels: None }), ..Source::of(own) });
    }
    let apart = labels.as_ref().map(file).transpose()?.filter(|file| *file != own);
    Ok(Source { labels: apart, arrays: Some(ArrayNames { features, labels }), ..Source::of(own) })
}

/// The file of labels that was named, or a path with keys in braces, which are filled when the features are found.
fn label_file(text: &str) -> Result<PathBuf> {
    let (file, _) = label_parts(Path::new(text));
    if objects::is_address(file) {
        return match objects::look(file)? {
            Some(_) => Ok(PathBuf::from(text)),
            None if has_keys(text) => Ok(PathBuf::from(text)),
            None => Err(Error::missing("there is no such file of labels").with("labels", escaped(text))),
        };
    }
    match fs::metadata(file) {
        Ok(_) => Ok(PathBuf::from(text)),
        Err(_) if has_keys(text) => Ok(PathBuf::from(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::missing("there is no such file of labels").with("labels", escaped(text)).caused_by(error))
        }
        Err(error) => {
            Err(Error::io("cannot open").with("labels", escaped(text)).with("detail", error.kind()).caused_by(error))
        }
    }
}

/// The file of labels that a request names, if it names one and no column.
///
/// # Errors
///
/// [`Missing`](crate::error::ErrorKind::Missing) if there is no such file.
pub(super) fn requested_labels(labels: Option<&str>) -> Result<Option<PathBuf>> {
    labels.filter(|labels| is_label_file(labels)).map(label_file).transpose()
}

/// The bytes of the first file, and those of the second if there are two.
fn parted(bytes: &Arc<dyn ReadAt>) -> (Arc<dyn ReadAt>, Option<Arc<dyn ReadAt>>) {
    let Some(split) = bytes.first_of_two() else { return (bytes.clone(), None) };
    let part = |start, size| -> Arc<dyn ReadAt> { Arc::new(Part::new(bytes.clone(), start, size)) };
    (part(0, split), Some(part(split, bytes.size().saturating_sub(split))))
}

/// Puts the path of a file into advice that says FILE.
fn advising(error: Error, path: &Path) -> Error {
    match error.advice().filter(|advice| advice.contains("FILE")) {
        Some(advice) => {
            let advice = advice.replace("FILE", &shown(path));
            error.help(advice)
        }
        None => error,
    }
}

fn shown(path: &Path) -> String {
    escaped(&objects::without_query(path).to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_found_again_in_a_ledger() {
        let names =
            |labels: Option<&str>| ArrayNames { features: "x\u{e9}".to_owned(), labels: labels.map(str::to_owned) };
        for labels in [None, Some(PathBuf::from("/l/y.npy"))] {
            for arrays in [None, Some(names(None)), Some(names(Some("y")))] {
                for wide in [None, Some("f*".to_owned())] {
                    for label in [None, Some(Label::Int(-3)), Some(Label::Text("3".into()))] {
                        let (path, labels) = (PathBuf::from("/a/x.npz"), labels.clone());
                        let by_path = label.map(|label| ("class".to_owned(), label));
                        let source = Source { path, labels, arrays: arrays.clone(), wide: wide.clone(), by_path };
                        assert_eq!(Source::decoded(&source.encoded().unwrap()), source);
                    }
                }
            }
        }
        // A path alone is kept as it is.
        assert_eq!(Source::of(PathBuf::from("/a/b")).encoded().unwrap(), PathBuf::from("/a/b"));
    }
}
