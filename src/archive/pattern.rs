//! Paths that match a pattern, and directories whose links lead back to themselves.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::escape::escaped;
use super::places::{Places, unlistable};
use crate::error::{Error, Result};
use crate::objects::is_address;

/// How often one directory may be entered by different ways: links to other groups are few, and links from every
/// directory to every other lead to more ways than anybody can wait for.
const WAYS: u32 = 4096;

/// Stars stop at a slash, and match no hidden name.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// The directories that led here, so that links cannot circle.
#[derive(Debug, Default)]
pub(super) struct Ways {
    above: Vec<PathBuf>,
    entered: HashMap<PathBuf, u32>,
}

impl Ways {
    /// Does `work` inside of a directory, unless it is inside of it already.
    pub(super) fn enter(&mut self, directory: &Path, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let canonical = Places::canonical(directory).map_err(|error| unlistable(directory, error))?;
        if self.above.contains(&canonical) {
            return Ok(());
        }
        let times = self.entered.entry(canonical.clone()).or_default();
        *times += 1;
        if *times > WAYS {
            return Err(Error::data("links lead to one directory over and over")
                .with("path", shown(directory))
                .help("name the files or directories themselves"));
        }
        self.above.push(canonical);
        work(self)?;
        self.above.pop();
        Ok(())
    }
}

/// Whether a text has a wildcard.
pub(super) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Hidden files, and what writers leave beside data, as `_SUCCESS` and `_metadata`.
pub(super) fn is_marker(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with('.') || (name.starts_with('_') && !name.contains('='))
    })
}

/// The files and directories that match, each once, in the order of their names.
///
/// `*` and `?` match within a name, `[…]` one of some characters, and `**` any number of directories; none of them
/// matches a hidden name, and `**` passes markers over. A link that leads back to a directory it lies in is not followed.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) for a malformed pattern; [`Io`](crate::error::ErrorKind::Io) for a directory
/// that cannot be listed.
pub(super) fn matches(pattern: &str, places: &Places) -> Result<Vec<PathBuf>> {
    let (store, rest) = parted(pattern);
    let mut start = PathBuf::from(store);
    let mut parts = Vec::new();
    for component in Path::new(rest).components() {
        let text = component.as_os_str().to_string_lossy();
        match component {
            Component::RootDir | Component::Prefix(_) if store.is_empty() => start.push(component),
            Component::RootDir | Component::Prefix(_) => {}
            Component::Normal(_) if text == "**" => parts.push(Part::Directories),
            Component::Normal(_) if is_pattern(&text) => parts.push(Part::Like(
                Pattern::new(&text)
                    .map_err(|error| Error::usage("not a pattern of file names").with("detail", error.msg))?,
            )),
            _ => parts.push(Part::Named(component.as_os_str().into())),
        }
    }
    let mut found = BTreeSet::new();
    descend(&start, &parts, places, &mut Ways::default(), &mut found)?;
    Ok(found.into_iter().collect())
}

/// Whether the pattern would match a path from the root, or a directory above it.
#[cfg(feature = "cli")]
pub(super) fn would_match(pattern: &str, path: &Path) -> bool {
    let pattern = std::path::absolute(pattern).ok();
    let pattern = pattern.and_then(|pattern| Pattern::new(&pattern.to_string_lossy()).ok());
    let matches = |path: &Path| pattern.as_ref().is_some_and(|pattern| pattern.matches_path_with(path, OPTIONS));
    !is_marker(path) && path.ancestors().any(matches)
}

/// The bucket that a pattern names, as a part of an address, and what follows it; a pattern of local files has none.
fn parted(pattern: &str) -> (&str, &str) {
    if !is_address(Path::new(pattern)) {
        return ("", pattern);
    }
    let scheme = pattern.find("://").map_or(0, |at| at + 3);
    pattern.split_at(pattern[scheme..].find('/').map_or(pattern.len(), |at| scheme + at))
}

/// A component of a pattern.
enum Part {
    Named(PathBuf),
    Like(Pattern),
    /// `**`
    Directories,
}

fn descend(at: &Path, parts: &[Part], places: &Places, ways: &mut Ways, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let Some((part, rest)) = parts.split_first() else {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        // What a wildcard matched is there; what was named may not be.
        if places.is_there(at) {
            found.insert(at.to_owned());
        }
        return Ok(());
    };
    match part {
        Part::Named(name) => descend(&at.join(name), rest, places, ways, found),
        Part::Like(pattern) => {
            let is_like = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                pattern.matches_with(&name, OPTIONS)
            };
            let paths: Vec<PathBuf> = places.entries(at)?.into_iter().filter(is_like).collect();
            list_next(&paths, rest, places)?;
            paths.iter().try_for_each(|path| descend(path, rest, places, ways, found))
        }
        Part::Directories => {
            places.expect_below(&[at.to_owned()])?;
            descend(at, rest, places, ways, found)?;
            // All that lies below a directory belongs to it.
            if rest.is_empty() || !(at.as_os_str().is_empty() || places.is_folder(at)) {
                return Ok(());
            }
            ways.enter(if at.as_os_str().is_empty() { Path::new(".") } else { at }, |ways| {
                for path in places.entries(at)?.into_iter().filter(|path| !is_marker(path) && places.is_folder(path)) {
                    descend(&path, parts, places, ways, found)?;
                }
                Ok(())
            })
        }
    }
}

/// Asks object stores, many times at once, for the listings that the rest of a pattern needs next.
fn list_next(paths: &[PathBuf], rest: &[Part], places: &Places) -> Result<()> {
    let names: Vec<&PathBuf> =
        rest.iter().map_while(|part| if let Part::Named(name) = part { Some(name) } else { None }).collect();
    let next = rest.get(names.len());
    // A name at the end is looked up in the folder above it.
    let names = if next.is_none() { names.split_last().map_or(&[][..], |(_, above)| above) } else { &names[..] };
    if rest.is_empty() {
        return Ok(());
    }
    let folders: Vec<PathBuf> =
        paths.iter().map(|path| names.iter().fold(path.clone(), |path, name| path.join(name))).collect();
    match next {
        Some(Part::Directories) => places.expect_below(&folders),
        _ => places.expect(&folders),
    }
}

fn shown(path: &Path) -> String {
    escaped(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn matched(root: &Path, pattern: &str) -> Vec<String> {
        let found = matches(root.join(pattern).to_str().unwrap(), &Places::default()).unwrap();
        let name = |path: &PathBuf| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        found.iter().map(name).collect()
    }

    #[test]
    fn stars_match_names_and_two_of_them_directories() {
        let root = tempfile::tempdir().unwrap();
        for file in ["a.p", "b.q", "x/a.p", "x/y/c.p", "x/.z/d.p", "_tmp/e.p", ".hidden.p", "k=1/f[1].p"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let matched = |pattern| matched(root.path(), pattern);
        assert_eq!(matched("*.p"), ["a.p"]);
        assert_eq!(matched("?.[pq]"), ["a.p", "b.q"]);
        assert_eq!(matched("*/*.p"), ["_tmp/e.p", "k=1/f[1].p", "x/a.p"]);
        assert_eq!(matched("**/*.p"), ["a.p", "k=1/f[1].p", "x/a.p", "x/y/c.p"]);
        assert_eq!(matched("x/**/y/**/c.p"), ["x/y/c.p"]);
        assert_eq!(matched("x/**"), ["x"]);
        assert_eq!(matched("*/nothing"), [] as [&str; 0]);
        assert_eq!(matched("a.p/*"), [] as [&str; 0]);
        assert_eq!(matches("a**b", &Places::default()).unwrap_err().kind(), crate::error::ErrorKind::Usage);
    }

    #[test]
    fn links_that_lead_back_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        fs::write(at("a/b/x.p"), "").unwrap();
        for (name, to) in [("a/one", "a"), ("a/two", "a"), ("a/b/three", "a"), ("a/b/four", ".")] {
            symlink(at(to), at(name)).unwrap();
        }
        assert_eq!(matched(root.path(), "**/*.p"), ["a/b/x.p"]);
        // A link to a directory beside it is another way to the same files.
        symlink(at("a/b"), at("c")).unwrap();
        assert_eq!(matched(root.path(), "*/x.p"), ["c/x.p"]);
    }

    #[test]
    fn links_from_everywhere_to_everywhere_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let directories: Vec<PathBuf> = (0..12).map(|at| root.path().join(format!("d{at}"))).collect();
        for directory in &directories {
            fs::create_dir(directory).unwrap();
        }
        for from in &directories {
            for (number, to) in directories.iter().enumerate() {
                symlink(to, from.join(format!("to{number}"))).unwrap();
            }
        }
        let error = matches(root.path().join("**/*.p").to_str().unwrap(), &Places::default()).unwrap_err();
        assert!(error.message().contains("over and over"), "{error}");
    }
}
