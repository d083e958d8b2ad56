//! From inputs to files: directories, globs, hive keys, names.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use glob::MatchOptions;

use super::escaped;
use crate::error::{Error, Result};

/// A file that an input leads to.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) canonical: PathBuf,
    pub(super) shown: String,
    pub(super) name: String,
    pub(super) keys: BTreeMap<String, String>,
}

/// All files that the inputs lead to, in the order of their names, and how many more names led to one of them.
///
/// A file reached twice is one file, unless its hive keys differ: then somebody has to say which group it is.
pub(super) fn discover(inputs: &[String]) -> Result<(Vec<Found>, Vec<String>)> {
    let mut found = Vec::new();
    for input in inputs {
        expand(input, &mut found).map_err(|error| error.with_default("input", escaped(input)))?;
    }
    // Which of several names stays must not depend on the order of the inputs: the longest one.
    found.sort_by(|a, b| {
        let depth = |file: &Found| file.name.split('/').count();
        (&a.canonical, depth(b), &a.shown).cmp(&(&b.canonical, depth(a), &b.shown))
    });
    let mut again = Vec::new();
    let mut files: Vec<Found> = Vec::with_capacity(found.len());
    for file in found {
        let before = files.iter().rev().take_while(|other| other.canonical == file.canonical);
        if before.into_iter().any(|other| other.keys == file.keys) {
            again.push(file.shown);
        } else {
            files.push(file);
        }
    }
    distinguish(&mut files);
    files.sort_by(|a, b| natural(&a.name, &b.name).then_with(|| a.canonical.cmp(&b.canonical)));
    Ok((files, again))
}

fn expand(input: &str, found: &mut Vec<Found>) -> Result<()> {
    let path = Path::new(input);
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let before = found.len();
            walk(path, path.components().count(), &mut Vec::new(), found)?;
            if found.len() == before {
                return Err(Error::missing("the directory holds no .parquet file"));
            }
            return Ok(());
        }
        Ok(_) => return push(path, path.components().count() - 1, found),
        // A pattern can be too long for a file name, or pass through a file.
        Err(error) if is_pattern(input) || error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("cannot open").with("detail", error.kind()).caused_by(error)),
    }
    if !is_pattern(input) {
        return Err(Error::missing("no such file or directory"));
    }
    let options =
        MatchOptions { require_literal_separator: true, require_literal_leading_dot: true, ..Default::default() };
    let matches = glob::glob_with(input, options)
        .map_err(|error| Error::usage("not a pattern of file names").with("detail", error.msg))?;
    let fixed = path.components().take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy())).count();
    let names_markers = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
    let before = found.len();
    for path in matches {
        let path = path.map_err(|error| {
            let shown = escaped(&error.path().to_string_lossy());
            Error::io("cannot list a directory").with("path", shown).caused_by(error)
        })?;
        if path.is_dir() {
            walk(&path, fixed, &mut Vec::new(), found)?;
        } else if names_markers || !is_marker(&path) {
            push(&path, fixed, found)?;
        }
    }
    if found.len() == before {
        return Err(Error::missing("no file matches"));
    }
    Ok(())
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Hidden files, and what writers leave beside data, as `_SUCCESS` and `_metadata`.
fn is_marker(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
    })
}

/// All `.parquet` files below a directory; `above` are the directories that led here, so that links cannot circle.
fn walk(directory: &Path, fixed: usize, above: &mut Vec<PathBuf>, found: &mut Vec<Found>) -> Result<()> {
    let failed = |error: io::Error| {
        let shown = escaped(&directory.to_string_lossy());
        Error::io("cannot list a directory").with("path", shown).with("detail", error.kind()).caused_by(error)
    };
    let canonical = directory.canonicalize().map_err(failed)?;
    if above.contains(&canonical) {
        return Ok(());
    }
    above.push(canonical);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if is_marker(&path) {
            continue;
        }
        if path.is_dir() {
            walk(&path, fixed, above, found)?;
        } else if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("parquet")) {
            push(&path, fixed, found)?;
        }
    }
    above.pop();
    Ok(())
}

/// Adds a file; the first `fixed` components of its path are the input's root, as far as they hold no hive key.
fn push(path: &Path, fixed: usize, found: &mut Vec<Found>) -> Result<()> {
    let shown = escaped(&path.to_string_lossy());
    let canonical = path.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::missing("no such file").with("file", &shown).caused_by(error),
        kind => Error::io("cannot open").with("file", &shown).with("detail", kind).caused_by(error),
    })?;
    let parts: Vec<String> = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    let directories = &parts[..parts.len() - 1];
    let first_key = directories.iter().position(|part| hive(part).is_some()).unwrap_or(parts.len());
    let name = escaped(&parts[fixed.min(first_key).min(directories.len())..].join("/"));
    let keys = directories.iter().filter_map(|part| hive(part)).collect();
    found.push(Found { path: path.to_owned(), canonical, shown, name, keys });
    Ok(())
}

/// The key and the value of a directory called `key=value`, percent-decoded.
pub(super) fn hive(part: &str) -> Option<(String, String)> {
    let (key, value) = part.split_once('=')?;
    (!key.is_empty()).then(|| (percent_decoded(key), percent_decoded(value)))
}

/// `%2F` as `/`; what is no such code, or makes no text, stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digit = |at: usize| tail.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        if let (b'%', Some(high), Some(low)) = (first, digit(0), digit(1)) {
            bytes.push((high * 16 + low) as u8);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Two files of one name take more of their canonical paths, until all names differ.
fn distinguish(files: &mut [Found]) {
    loop {
        let mut times: HashMap<&str, u32> = HashMap::new();
        for file in files.iter() {
            *times.entry(&file.name).or_default() += 1;
        }
        let twice: Vec<usize> = (0..files.len()).filter(|&i| times[files[i].name.as_str()] > 1).collect();
        let mut longer = false;
        for i in twice {
            let file = &mut files[i];
            let parts: Vec<_> = file
                .canonical
                .components()
                .filter(|part| matches!(part, Component::Normal(_)))
                .map(|part| part.as_os_str().to_string_lossy())
                .collect();
            let depth = file.name.split('/').count();
            if depth < parts.len() {
                file.name = escaped(&parts[parts.len() - depth - 1..].join("/"));
                longer = true;
            }
        }
        if !longer {
            return;
        }
    }
}

/// Text in which numbers are ordered as numbers: `part-2` before `part-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.as_bytes(), b.as_bytes());
    while let (Some(&p), Some(&q)) = (x.first(), y.first()) {
        let order = if p.is_ascii_digit() && q.is_ascii_digit() {
            let (m, n) = (number(&mut x), number(&mut y));
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (x, y) = (&x[1..], &y[1..]);
            p.cmp(&q)
        };
        if order.is_ne() {
            return order;
        }
    }
    x.len().cmp(&y.len()).then_with(|| a.cmp(b))
}

/// Takes the digits off the beginning of `text`, without leading zeros.
fn number<'a>(text: &mut &'a [u8]) -> &'a [u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    &digits[digits.iter().position(|&digit| digit != b'0').unwrap_or(end)..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_ordered_as_numbers() {
        let mut names = ["e=10/p", "e=9/p", "e=09/p", "e=9/o", "f", "e=", "e=9/p2", "e=9/p10"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["e=", "e=9/o", "e=09/p", "e=9/p", "e=9/p2", "e=9/p10", "e=10/p", "f"]);
    }

    #[test]
    fn hive_keys_are_percent_decoded() {
        assert_eq!(hive("a%20b=x%2Fy"), Some(("a b".into(), "x/y".into())));
        assert_eq!(hive("a=b=c"), Some(("a".into(), "b=c".into())));
        assert_eq!(hive("a=100%"), Some(("a".into(), "100%".into())));
        assert_eq!(hive("a=%ff"), Some(("a".into(), "%ff".into())));
        assert_eq!(hive("=b"), None);
        assert_eq!(hive("plain"), None);
    }
}
