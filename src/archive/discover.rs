//! Finds the files that inputs lead to, their names and their hive keys.

mod arrays;
mod captured;
mod data_set;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

pub(super) use self::captured::check_labels;
use self::captured::{existing_prefix, reached_by_another_way, read, shape_of};
use super::braces::has_keys;
use super::captures::{Captured, Captures};
use super::container::Format;
use super::damage::damaged;
use super::escape::escaped;
use super::foreign::{self, TEXT};
use super::formats::{self, HEAD, JSON_LINES, TAIL};
use super::many;
use super::natural::natural;
use super::passed::Passed;
use super::pattern::{self, Ways, is_marker, is_pattern};
use super::places::Places;
use super::read_at::{self, kind_of, not_a_file, read_exact_at};
use super::source::Source;
use crate::error::{Error, Result};
use crate::objects::{self, is_address};

/// A file that an input leads to.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) source: Source,
    pub(super) canonical: PathBuf,
    pub(super) shown: String,
    pub(super) name: String,
    /// Those of its path, and those that braces have captured.
    pub(super) keys: BTreeMap<String, String>,
    /// Those that braces have captured, and no directory called `key=value` has.
    pub(super) captured: BTreeMap<String, String>,
}

/// What the inputs lead to.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    /// The files, in the order of their names.
    pub(super) files: Vec<Found>,
    /// What was passed over.
    pub(super) passed: Vec<Passed>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
}

/// Where files are looked for.
#[derive(Debug, Default)]
struct Search {
    places: Places,
    found: Vec<Found>,
    /// Objects whose names do not say what is in them, with the `fixed` part of their paths: they are looked into together.
    unread: Vec<(PathBuf, usize)>,
    /// The formats of those files that no input names, but a search has found.
    formats: HashMap<PathBuf, &'static dyn Format>,
    passed: Vec<Passed>,
    warnings: Vec<String>,
    /// The files of the data set that each folder holds, if it holds one.
    data_sets: HashMap<PathBuf, Option<BTreeSet<String>>>,
    /// What braces have captured of the path that is being looked through.
    captured: Captured,
}

/// All files that the inputs lead to, and the labels of those that have them in other files: in `labels`, or in files that
/// are found by their names.
///
/// A file that is reached twice counts once, unless its hive keys differ; then the duplicate is reported later.
pub(super) fn discover(inputs: &[String], labels: Option<&Path>) -> Result<Discovered> {
    let mut search = Search::default();
    for input in inputs {
        search.expand(input).map_err(|error| error.with_default("input", escaped(input)))?;
    }
    search.find_labels(labels)?;
    let Search { mut found, passed, mut warnings, .. } = search;
    // The longest of several names stays, so that the order of the inputs does not matter.
    found.sort_by(|a, b| {
        let depth = |file: &Found| file.name.split('/').count();
        (&a.canonical, &a.source, depth(b), &a.shown).cmp(&(&b.canonical, &b.source, depth(a), &b.shown))
    });
    let mut again = Vec::new();
    let mut files: Vec<Found> = Vec::with_capacity(found.len());
    for file in found {
        let before = files.iter().rev().take_while(|other| other.canonical == file.canonical);
        if before.into_iter().any(|other| other.keys == file.keys && other.source.is_same_part(&file.source)) {
            again.push(file.shown);
        } else {
            files.push(file);
        }
    }
    distinguish(&mut files);
    files.iter_mut().for_each(Found::enter_captured);
    files.sort_by(|a, b| natural(&a.name, &b.name).then_with(|| a.canonical.cmp(&b.canonical)));
    if let Some(first) = again.first() {
        let more = if again.len() > 1 { format!(" and {} more", again.len() - 1) } else { String::new() };
        warnings.push(format!("files that the inputs name twice are counted once: {first}{more}"));
    }
    Ok(Discovered { files, passed, warnings })
}

/// What writers leave beside data: nobody needs to know of it.
const METADATA: [&str; 3] = ["state.json", "dataset_info.json", "dataset_dict.json"];

/// What lies at a path.
enum Content {
    Data(&'static dyn Format),
    /// Something else, as `a NumPy array (.npy)`, and what to do with it.
    Other(String, Option<String>),
}

impl Search {
    fn expand(&mut self, input: &str) -> Result<()> {
        let source = Source::parse(input)?;
        let path = source.path.as_path();
        let input = &*path.to_string_lossy();
        let begun = self.found.len();
        self.expand_path(path, input)?;
        self.name_parts(begun, &source)?;
        self.keep_first_format(begun);
        Ok(())
    }

    fn expand_path(&mut self, path: &Path, input: &str) -> Result<()> {
        if is_address(path) {
            return self.expand_address(path, input);
        }
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                let before = (self.found.len(), self.passed.len());
                self.walk(path, path.components().count(), &mut Ways::default())?;
                if let Some(store) = foreign::directory(path).filter(|_| self.found.len() == before.0) {
                    return Err(Error::missing("the directory holds no file of features")
                        .with("found", store.what)
                        .help(store.help));
                }
                return self.check_found(before, "the directory holds no file of features");
            }
            Ok(metadata) if !metadata.is_file() => return Err(not_a_file(&metadata)),
            Ok(_) => return self.push(path, path.components().count() - 1),
            // A pattern can be too long for a file name, or pass through a file.
            Err(error) if is_pattern(input) || error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("cannot open").with("detail", error.kind()).caused_by(error)),
        }
        if let Some(help) = foreign::fetching(input) {
            return Err(Error::usage("nckit does not read from there").help(help));
        }
        let captures = Captures::of_path(input, existing_prefix(input))?;
        let input = captures.as_ref().map_or(input, Captures::glob);
        if !is_pattern(input) {
            let error = Error::missing("no such file or directory");
            let is_open = input.matches('{').count() != input.matches('}').count();
            return Err(if is_open { error.help("a brace in its name is not closed: {key}") } else { error });
        }
        self.expand_pattern(input, captures.as_ref())
    }

    fn expand_address(&mut self, path: &Path, input: &str) -> Result<()> {
        if objects::is_web(path) {
            let without = objects::without_query(path).to_string_lossy();
            if is_pattern(&without) || without.ends_with('/') {
                return Err(Error::usage("a web server lists no files")
                    .help("name the files one by one, or the bucket behind the server"));
            }
        } else {
            // Braces that belong to the name of an object capture nothing.
            if has_keys(input) && self.places.is_file(path) {
                return self.push(path, path.components().count() - 1);
            }
            let captures = Captures::of_path(input, existing_prefix(input))?;
            // Patterns are put together of names, and a scheme has none behind its first slash.
            let glob = captures.as_ref().map(|captures| captures.glob().replacen(":/", "://", 1));
            let input = glob.as_deref().unwrap_or(input);
            if is_pattern(input) {
                return self.expand_pattern(input, captures.as_ref());
            }
        }
        if objects::look(path)?.is_some() {
            return self.push(path, path.components().count() - 1);
        }
        let missing = || Error::missing("there is no such object");
        if objects::is_web(path) {
            return Err(missing());
        }
        self.places.expect_below(&[path.to_owned()])?;
        if self.places.entries(path)?.is_empty() {
            return Err(missing().with("detail", "nor a folder of this name"));
        }
        let before = (self.found.len(), self.passed.len());
        self.walk(path, path.components().count(), &mut Ways::default())?;
        self.take_unread()?;
        self.check_found(before, "the folder holds no file of features")
    }

    fn expand_pattern(&mut self, input: &str, captures: Option<&Captures>) -> Result<()> {
        let path = Path::new(input);
        let fixed = path.components().take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy())).count();
        let names_markers = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
        let before = (self.found.len(), self.passed.len());
        let matches: BTreeSet<PathBuf> = pattern::matches(input, &self.places)?.into_iter().collect();
        let folders = matches.iter().filter(|path| is_address(path) && self.places.is_folder(path));
        self.places.expect_below(&folders.cloned().collect::<Vec<_>>())?;
        for path in &matches {
            let mut above = path.ancestors().skip(1).filter(|above| matches.contains(*above));
            if let Some(captures) = captures {
                // Objects that wait to be looked into belong to the name before.
                self.take_unread()?;
                let Some(captured) = read(captures, path)? else {
                    self.pass(path, "its name does not fit the pattern", false);
                    continue;
                };
                if reached_by_another_way(captures, &captured, path, above)? {
                    continue;
                }
                self.captured = captured;
            } else if above.next().is_some() {
                // The walk through the directory that matches finds it.
                continue;
            }
            if is_marker(path) && !names_markers {
                self.pass(path, "metadata by its name", true);
                continue;
            }
            self.enter_or_take(path, fixed, &mut Ways::default())?;
        }
        self.take_unread()?;
        self.captured = Captured::default();
        self.check_found(before, "no file of features matches")
    }

    /// All files of features below a directory, whatever they are called.
    fn walk(&mut self, directory: &Path, fixed: usize, ways: &mut Ways) -> Result<()> {
        ways.enter(directory, |ways| {
            let splits = data_set::splits(directory, &self.places)?;
            for path in self.places.entries(directory)? {
                let is_split = splits.as_ref().is_none_or(|splits| splits.iter().any(|name| path.ends_with(name)));
                if !is_split && self.places.is_folder(&path) {
                    self.pass(&path, "no split of the data set", false);
                } else if is_marker(&path) {
                    self.pass_marker(&path, directory);
                } else {
                    self.enter_or_take(&path, fixed, ways)?;
                }
            }
            Ok(())
        })
    }

    /// Walks through a directory, or adds a file. In object stores a name can be both.
    fn enter_or_take(&mut self, path: &Path, fixed: usize, ways: &mut Ways) -> Result<()> {
        let is_folder = self.places.is_folder(path);
        if is_folder {
            self.walk(path, fixed, ways)?;
        }
        if !is_folder || (is_address(path) && self.places.is_file(path)) {
            self.take(path, fixed)?;
        }
        Ok(())
    }

    /// Adds what lies in a directory or matches a pattern, if it is data.
    fn take(&mut self, path: &Path, fixed: usize) -> Result<()> {
        // Some are one line of JSON.
        if METADATA.iter().any(|name| path.ends_with(name)) {
            self.pass(path, "metadata of a data set", true);
            return Ok(());
        }
        if !self.is_of_data_set(path)? {
            self.pass(path, "not one of the files of the data set beside it", false);
            return Ok(());
        }
        if is_address(path) && formats::named(path).is_none() {
            self.unread.push((path.to_owned(), fixed));
            return Ok(());
        }
        let content = content(path).map_err(|error| error.with("file", escaped(&path.to_string_lossy())))?;
        self.add(path, fixed, content)
    }

    /// Whether the data set in whose folder a file lies, if there is one, has it among its own.
    fn is_of_data_set(&mut self, path: &Path) -> Result<bool> {
        let Some(folder) = path.parent().filter(|_| path.extension().is_some_and(|extension| extension == "arrow"))
        else {
            return Ok(true);
        };
        if !self.data_sets.contains_key(folder) {
            let files = data_set::files(folder, &self.places)?;
            self.data_sets.insert(folder.to_owned(), files);
        }
        let files = self.data_sets.get(folder).and_then(Option::as_ref);
        Ok(files.is_none_or(|files| files.iter().any(|name| path.ends_with(name))))
    }

    /// Adds those objects that are data by their first and last bytes.
    fn take_unread(&mut self) -> Result<()> {
        let unread = std::mem::take(&mut self.unread);
        let paths: Vec<&Path> = unread.iter().map(|(path, _)| path.as_path()).collect();
        let contents = many::each(paths.clone(), paths, content);
        for ((path, fixed), content) in unread.iter().zip(contents) {
            let content = content.map_err(|error| error.with("file", escaped(&path.to_string_lossy())))?;
            self.add(path, *fixed, content)?;
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, fixed: usize, content: Content) -> Result<()> {
        match content {
            Content::Data(format) => {
                self.push(path, fixed)?;
                self.formats.insert(path.to_owned(), format);
            }
            Content::Other(what, help) => {
                self.pass(path, &what, false);
                if let (Some(passed), Some(help)) = (self.passed.last_mut(), help) {
                    passed.help = help;
                }
            }
        }
        Ok(())
    }

    fn pass_marker(&mut self, path: &Path, directory: &Path) {
        let shown = escaped(&directory.to_string_lossy());
        let tables = [("_delta_log", "a Delta Lake table"), (".hoodie", "a Hudi table")];
        if let Some((_, table)) = tables.iter().find(|(marker, _)| path.file_name().is_some_and(|name| name == *marker))
        {
            self.warnings.push(format!("{shown} is {table}: rows that it has replaced or deleted are read too"));
        }
        // Metadata of writers is expected. Data that somebody has hidden by its name is worth a note.
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('_'));
        let metadata = ["_metadata", "_common_metadata"].iter().any(|known| path.ends_with(known));
        let data = named && !metadata && self.places.is_file(path) && matches!(content(path), Ok(Content::Data(_)));
        self.pass(path, if data { "features, but hidden by its name" } else { "metadata by its name" }, !data);
    }

    fn pass(&mut self, path: &Path, reason: &str, expected: bool) {
        let file = escaped(&path.to_string_lossy());
        self.passed.push(Passed { file, reason: reason.to_owned(), expected, help: String::new() });
    }

    /// Fails if an input has led to no file, and says what was found in its place.
    fn check_found(&self, (found, passed): (usize, usize), message: &str) -> Result<()> {
        if self.found.len() > found {
            return Ok(());
        }
        let error = Error::missing(message);
        let mut kinds: BTreeMap<&str, Vec<&Passed>> = BTreeMap::new();
        for other in self.passed[passed..].iter().filter(|other| !other.expected) {
            kinds.entry(&other.reason).or_default().push(other);
        }
        let Some(most) = kinds.values().max_by_key(|others| others.len()) else { return Err(error) };
        let shown: Vec<String> = kinds.iter().map(|(what, others)| format!("{} × {what}", others.len())).collect();
        let error = error.with("found", shown.join(", "));
        Err(if most[0].help.is_empty() { error } else { error.help(&most[0].help) })
    }
}

/// The split that a file belongs to, if it lies in a dictionary of data sets as Hugging Face saves them: its directory.
fn split_of(path: &Path, places: &Places) -> Option<String> {
    let split = path.parent().filter(|_| path.extension().is_some_and(|extension| extension == "arrow"))?;
    let is_dictionary = places.is_file(&split.parent()?.join("dataset_dict.json"));
    is_dictionary.then(|| split.file_name().map(|name| name.to_string_lossy().into_owned()))?
}

/// What a file holds, by its name or else by its first and last bytes.
fn content(path: &Path) -> Result<Content> {
    let named = formats::named(path);
    if is_address(path) {
        if let Some(format) = named {
            return Ok(Content::Data(format));
        }
        let (head, tail) = look_far(path)?;
        return Ok(recognised(path, &head, &tail));
    }
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // A broken link with that name is missing data.
        Err(error) => {
            let other = Content::Other(format!("cannot be opened ({})", error.kind()), None);
            return Ok(named.map_or(other, Content::Data));
        }
    };
    if !metadata.is_file() {
        let other = Content::Other(kind_of(&metadata).to_owned(), None);
        return if named.is_some() { Err(not_a_file(&metadata)) } else { Ok(other) };
    }
    if let Some(format) = named {
        return Ok(Content::Data(format));
    }
    let looked = look(path);
    let (head, tail) = match looked {
        Ok(looked) => looked,
        Err(error) => return Ok(Content::Other(format!("cannot be opened ({})", error.kind()), None)),
    };
    Ok(recognised(path, &head, &tail))
}

/// What a file with these first and last bytes holds.
fn recognised(path: &Path, head: &[u8], tail: &[u8]) -> Content {
    if let Some(format) = formats::recognise(head, tail) {
        return Content::Data(format);
    }
    let shown = escaped(&path.to_string_lossy());
    match foreign::recognise(head, &shown) {
        Some(foreign) => Content::Other(foreign.what.to_owned(), Some(foreign.help)),
        None if head.is_empty() => Content::Other("empty".to_owned(), None),
        None => Content::Other("of no known format".to_owned(), None),
    }
}

/// The first and the last bytes of an object.
fn look_far(path: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let (bytes, version) = read_at::open(path)?;
    let (head, tail) = (version.size.min(HEAD as u64), version.size.min(TAIL as u64));
    let (mut first, mut last) = (vec![0; head as usize], vec![0; tail as usize]);
    read_exact_at(&*bytes, 0, &mut first)?;
    read_exact_at(&*bytes, version.size - tail, &mut last)?;
    Ok((first, last))
}

/// A file that begins with so many letters is a text.
const LETTERS: usize = 8;

/// Adds to the error of a damaged file which other format it has, if that is known.
pub(super) fn explained(error: Error, path: &Path, shown: &str) -> Error {
    let looked = if is_address(path) { look_far(path).ok() } else { look(path).ok() };
    if looked.as_ref().is_some_and(|(head, _)| head.is_empty()) {
        return damaged("it is empty");
    }
    let head = looked.map(|(head, _)| head).unwrap_or_default();
    let is_text = |path: &Path| {
        formats::named(path).is_some_and(|format| format.is_table_in_text() || format.what() == JSON_LINES)
    };
    // A few bytes of any file can be letters.
    let is_known = |what: &str| what != TEXT || (head.len() >= LETTERS && !is_text(path));
    let known = foreign::recognise(&head, shown).filter(|foreign| is_known(foreign.what));
    // An object in a file of such a name is one of its lines.
    let is_line = head.starts_with(b"{") && formats::named(path).is_some_and(|format| format.what() == JSON_LINES);
    let known = known.filter(|_| !is_line);
    match known.filter(|_| formats::recognise(&head, &[]).is_none()) {
        Some(foreign) => damaged(format!("it is {}", foreign.what)).help(foreign.help),
        None => error,
    }
}

/// The first and the last bytes of a file.
fn look(path: &Path) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut file = fs::File::open(path)?;
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    (&mut file).take(HEAD as u64).read_to_end(&mut head)?;
    let end = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(end.saturating_sub(TAIL as u64)))?;
    file.take(TAIL as u64).read_to_end(&mut tail)?;
    Ok((head, tail))
}

impl Search {
    /// Adds a file; the first `fixed` components of its path are the input's root, as far as they hold no hive key.
    fn push(&mut self, path: &Path, fixed: usize) -> Result<()> {
        let named = objects::without_query(path);
        let shown = escaped(&named.to_string_lossy());
        let canonical = Places::canonical(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::missing("no such file").with("file", &shown).caused_by(error),
            kind => Error::io("cannot open").with("file", &shown).with("detail", kind).caused_by(error),
        })?;
        let parts: Vec<String> =
            named.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        let directories = &parts[..parts.len() - 1];
        let first_key = directories.iter().position(|part| hive(part).is_some()).unwrap_or(parts.len());
        let shape = shape_of(path, &parts, &self.captured);
        let name = escaped(&shape[fixed.min(first_key).min(directories.len())..].join("/"));
        let mut keys: BTreeMap<String, String> = directories.iter().filter_map(|part| hive(part)).collect();
        if let Some(split) = split_of(path, &self.places) {
            keys.entry("split".to_owned()).or_insert(split);
        }
        let (source, captured) = (Source::of(path.to_owned()), BTreeMap::new());
        let mut found = Found { source, canonical, shown, name, keys, captured };
        found.capture(&self.captured.keys)?;
        self.found.push(found);
        Ok(())
    }
}

/// The first of the inputs whose search would find a file of features at `path`, which need not be there yet.
#[cfg(feature = "cli")]
pub(crate) fn would_read<'a>(inputs: &'a [String], path: &Path) -> Option<&'a str> {
    let in_place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Some(Places::canonical(folder).ok()?.join(path.file_name()?))
    };
    let places = [in_place(path), std::path::absolute(path).ok()];
    let leads_to = |input: &&String| {
        let Ok(Source { path: named, .. }) = Source::parse(input) else { return false };
        if is_address(&named) || is_address(path) {
            return is_address(&named) && path.starts_with(&named);
        }
        if named.is_dir() {
            let below = Places::canonical(&named).ok().zip(places[0].as_deref());
            let below = below.and_then(|(folder, place)| place.strip_prefix(folder).map(Path::to_owned).ok());
            return below.is_some_and(|below| !below.ancestors().any(is_marker));
        }
        let text = named.to_string_lossy();
        let captures = Captures::of_path(&text, existing_prefix(&text)).ok().flatten();
        let text = captures.as_ref().map_or(&*text, Captures::glob);
        is_pattern(text) && places.iter().flatten().any(|place| pattern::would_match(text, place))
    };
    inputs.iter().find(leads_to).map(String::as_str)
}

/// The hive keys of a file, by its [name](super::File::name).
pub(crate) fn hive_keys(name: &str) -> BTreeMap<String, String> {
    let directories = name.rsplit_once('/').map_or("", |(directories, _)| directories);
    directories.split('/').filter_map(hive).collect()
}

/// The key and the value of a directory called `key=value`, percent-decoded.
pub(super) fn hive(part: &str) -> Option<(String, String)> {
    let (key, value) = part.split_once('=')?;
    (!key.is_empty()).then(|| (percent_decoded(key), percent_decoded(value)))
}

/// Decodes `%2F` to `/`. Malformed codes stay as they are, and so does text that is not UTF-8 after decoding.
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

/// Lengthens equal names by more of the canonical paths until all names differ.
fn distinguish(files: &mut [Found]) {
    loop {
        let mut times: HashMap<(&BTreeMap<String, String>, &str), u32> = HashMap::new();
        for file in files.iter() {
            *times.entry((&file.captured, &file.name)).or_default() += 1;
        }
        let is_twice = |file: &Found| times[&(&file.captured, file.name.as_str())] > 1;
        let twice: Vec<usize> = (0..files.len()).filter(|&i| is_twice(&files[i])).collect();
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

#[cfg(test)]
mod tests {
    use super::*;

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
