//! Opening files, many at a time.

use std::collections::VecDeque;

use rayon::prelude::*;

use super::damage::is_damage;
use super::discover::{Found, explained};
use super::parquet::{FOOTER_GROWTH, Footer, Source, footer, footer_length};
use super::passed::Passed;
use super::read_at::{self, Version};
use super::request::Policy;
use crate::error::{Error, Result};

/// A file whose footer has been read.
pub(super) type Opened = (Found, Version, Footer);

/// Whether a file has a row; without one it need not agree with others in anything.
pub(super) fn has_rows(footer: &Footer) -> bool {
    footer.parquet().file_metadata().num_rows() > 0
}

/// What is said of a file without a row.
pub(super) fn passed_without_rows(found: Found) -> Passed {
    Passed { file: found.shown, reason: "without rows".to_owned(), ..Passed::default() }
}

/// Files that are open at once.
const FILES_AT_ONCE: usize = 128;

/// Reads all footers, many at a time, and hands them over in order; those in hand together take no more than `memory`
/// bytes.
pub(super) fn open_each(
    found: Vec<Found>,
    memory: Option<u64>,
    mut each: impl FnMut(Found, Result<(Version, Footer)>) -> Result<()>,
) -> Result<()> {
    let mut found = found.into_iter();
    loop {
        let batch: Vec<Found> = found.by_ref().take(FILES_AT_ONCE).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let open = |found: Found| {
            let opened = read_at::open(&found.path).and_then(|(bytes, version)| {
                let source = Source::new(bytes);
                let bytes = footer_length(&source, version.size)?.saturating_mul(FOOTER_GROWTH);
                let fits = memory.is_none_or(|memory| bytes <= memory);
                if fits { Ok((source, version, bytes)) } else { Err(too_large(bytes, memory)) }
            });
            (found, opened)
        };
        let mut rest: VecDeque<_> = batch.into_par_iter().map(open).collect::<Vec<_>>().into();
        while !rest.is_empty() {
            let mut taken = 0_u64;
            let fit = rest.iter().take_while(|(_, opened)| {
                taken = taken.saturating_add(opened.as_ref().map_or(0, |(_, _, bytes)| *bytes));
                memory.is_none_or(|memory| taken <= memory)
            });
            let fit = fit.count();
            let read = |(found, opened): (Found, Result<(Source, Version, u64)>)| {
                let read = opened.and_then(|(source, version, _)| Ok((version, footer(&source, version.size)?)));
                (found, read)
            };
            let outcomes: Vec<_> = rest.drain(..fit).collect::<Vec<_>>().into_par_iter().map(read).collect();
            outcomes.into_iter().try_for_each(|(found, outcome)| each(found, outcome))?;
        }
    }
}

fn too_large(bytes: u64, memory: Option<u64>) -> Error {
    Error::resource("the footer of a file needs more memory than the run may use")
        .with("needed", format!("{bytes} bytes"))
        .with("allowed", format!("{} bytes", memory.unwrap_or(u64::MAX)))
        .help(format!("--memory {}MiB", bytes.div_ceil(1 << 20)))
}

/// A file that could be opened; `None`, and a note, for one that is damaged and may be.
pub(super) fn good(
    found: Found,
    outcome: Result<(Version, Footer)>,
    policy: Policy,
    bad_files: &mut Vec<(String, String)>,
) -> Result<Option<Opened>> {
    let explain = |error| if is_damage(&error) { explained(error, &found.path, &found.shown) } else { error };
    match outcome.map_err(explain) {
        Ok((version, footer)) => Ok(Some((found, version, footer))),
        Err(error) if policy == Policy::Skip && is_damage(&error) => {
            let reason = error.fact("detail").unwrap_or(error.message()).to_owned();
            bad_files.push((found.shown, reason));
            Ok(None)
        }
        Err(error) => {
            // What a file is that is no Parquet comes with what to do about it.
            let damage = is_damage(&error) && error.advice().is_none();
            let error = error.with("file", found.shown);
            Err(if damage { error.help("--on-bad-file skip leaves such files out and lists them") } else { error })
        }
    }
}

/// Reads all footers of files that must all be sound.
pub(super) fn open_all(found: Vec<Found>) -> Result<Vec<Opened>> {
    let mut opened = Vec::with_capacity(found.len());
    open_each(found, None, |found, outcome| {
        opened.extend(good(found, outcome, Policy::Fail, &mut Vec::new())?);
        Ok(())
    })?;
    Ok(opened)
}
