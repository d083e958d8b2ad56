//! Opening files, many at a time.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::container::Container;
use super::damage::{is_damage, reason};
use super::discover::{Found, explained};
use super::many;
use super::passed::Passed;
use super::read_at::{ReadAt, Version};
use super::request::Policy;
use super::source::Source;
use crate::error::{Error, Result};

/// A file of which everything but its rows has been read.
#[derive(Debug)]
pub(super) struct OpenedFile {
    pub(super) version: Version,
    pub(super) container: Arc<dyn Container>,
}

impl OpenedFile {
    /// Whether the file has rows; without rows it need not agree with other files.
    pub(super) fn has_rows(&self) -> bool {
        (0..self.container.units()).any(|unit| self.container.rows(unit) > 0)
    }
}

/// A file whose container has not been read.
struct Begun {
    source: Source,
    bytes: Arc<dyn ReadAt>,
    version: Version,
    /// Bytes that its container takes.
    memory: u64,
}

impl Begun {
    fn open(found: &Found, most: Option<u64>) -> Result<Self> {
        let source = found.source.clone();
        let (bytes, version) = source.open()?;
        let memory = source.memory(&bytes).map_err(|error| bytes.failure().unwrap_or(error))?;
        if most.is_some_and(|most| memory > most) {
            return Err(too_large(memory, most));
        }
        Ok(Self { source, bytes, version, memory })
    }

    fn finish(self) -> Result<OpenedFile> {
        let Self { source, bytes, version, .. } = self;
        let container = source.container(&bytes).map_err(|error| bytes.failure().unwrap_or(error))?;
        Ok(OpenedFile { version, container })
    }
}

/// The note about a file without rows.
pub(super) fn passed_without_rows(found: Found) -> Passed {
    Passed { file: found.shown, reason: "without rows".to_owned(), ..Passed::default() }
}

/// Files that are open at once.
const FILES_AT_ONCE: usize = 128;

/// Opens files, many at a time, and hands them on in order. Containers that are held together take at most `memory` bytes.
pub(super) fn open_each(
    found: Vec<Found>,
    memory: Option<u64>,
    mut each: impl FnMut(Found, Result<OpenedFile>) -> Result<()>,
) -> Result<()> {
    let mut found = found.into_iter();
    loop {
        let batch: Vec<Found> = found.by_ref().take(FILES_AT_ONCE).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let open = |found: Found| {
            let begun = Begun::open(&found, memory);
            (found, begun)
        };
        let paths: Vec<PathBuf> = batch.iter().flat_map(|found| found.source.paths()).map(Path::to_owned).collect();
        let far = || paths.iter().map(PathBuf::as_path);
        let mut rest: VecDeque<_> = many::each(batch, far(), open).into();
        while !rest.is_empty() {
            let mut taken = 0_u64;
            let fit = rest.iter().take_while(|(_, begun)| {
                taken = taken.saturating_add(begun.as_ref().map_or(0, |begun| begun.memory));
                memory.is_none_or(|memory| taken <= memory)
            });
            let fit = fit.count();
            let finish = |(found, begun): (Found, Result<Begun>)| (found, begun.and_then(Begun::finish));
            let outcomes = many::each(rest.drain(..fit).collect(), far(), finish);
            outcomes.into_iter().try_for_each(|(found, outcome)| each(found, outcome))?;
        }
    }
}

/// The message of the error that a footer alone takes more memory than there is.
pub(crate) const FOOTER_MEMORY: &str = "the footer of a file needs more memory than the run may use";

fn too_large(bytes: u64, memory: Option<u64>) -> Error {
    Error::resource(FOOTER_MEMORY)
        .with("needed", format!("{bytes} bytes"))
        .with("allowed", format!("{} bytes", memory.unwrap_or(u64::MAX)))
        .help(format!("--memory {}MiB", bytes.div_ceil(1 << 20)))
}

/// Decides what becomes of a file that was opened: `None`, and an entry in `bad_files`, if it is damaged and the policy
/// skips such files.
pub(super) fn good(
    found: Found,
    outcome: Result<OpenedFile>,
    policy: Policy,
    bad_files: &mut Vec<(String, String)>,
) -> Result<Option<(Found, OpenedFile)>> {
    let is_of_labels = |error: &Error| error.fact("file").is_some_and(|file| file != found.shown);
    let explain = |error| {
        let is_of_features = is_damage(&error) && !is_of_labels(&error);
        if is_of_features { explained(error, &found.source.path, &found.shown) } else { error }
    };
    match outcome.map_err(explain) {
        Ok(file) => Ok(Some((found, file))),
        Err(error) if policy == Policy::Skip && is_damage(&error) => {
            let reason = reason(&error, &found.shown);
            bad_files.push((found.shown, reason));
            Ok(None)
        }
        Err(error) => {
            // The error of a file in a known other format has advice already.
            let damage = is_damage(&error) && error.advice().is_none();
            if is_of_labels(&error) {
                let error = error.with("features", &found.shown);
                let help =
                    "fetch or write the labels again; --on-bad-file skip leaves them out together with their features";
                return Err(if damage { error.help(help) } else { error });
            }
            let error = error.with_default("file", found.shown);
            Err(if damage { error.help("--on-bad-file skip leaves such files out and lists them") } else { error })
        }
    }
}

/// Opens files that must all be sound.
pub(super) fn open_all(found: Vec<Found>) -> Result<Vec<(Found, OpenedFile)>> {
    let mut opened = Vec::with_capacity(found.len());
    open_each(found, None, |found, outcome| {
        opened.extend(good(found, outcome, Policy::Fail, &mut Vec::new())?);
        Ok(())
    })?;
    Ok(opened)
}
