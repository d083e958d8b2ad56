//! The same bytes under two names.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read};

use rayon::prelude::*;

use super::catalogue::Pinned;
use crate::error::{Error, ErrorKind, Result};

/// Bytes that are read at a time, and first of every file: most files differ in them.
const STEP: usize = 64 << 10;

/// Finds the same bytes under two names. Size and footer nominate, then a digest of each file does; equal means equal
/// bytes.
pub(super) fn refuse_duplicates<'a>(files: impl Iterator<Item = Pinned<'a>>) -> Result<()> {
    let mut alike: BTreeMap<(u64, u64), Alike<'_>> = BTreeMap::new();
    for (at, file) in files.enumerate() {
        alike.entry((file.version.size, file.footer_hash)).or_default().push((at, file));
    }
    // Nobody knows the key of the digest, so nobody can make files that share one.
    let key = RandomState::new();
    let mut groups: Vec<Alike<'_>> = alike.into_values().filter(|files| files.len() > 1).collect();
    for length in [STEP as u64, u64::MAX] {
        groups = split(groups, |file| digest(&key, file, length))?;
    }
    let mut first: Option<(usize, Pinned<'_>, Pinned<'_>)> = None;
    for files in groups {
        for (at, (number, file)) in files.iter().enumerate() {
            if first.as_ref().is_some_and(|(earliest, ..)| earliest < number) {
                break;
            }
            let same =
                files[..at].iter().map(|(_, other)| equal_bytes(other, file).map(|equal| equal.then_some(*other)));
            if let Some(other) = same.collect::<Result<Vec<_>>>()?.into_iter().flatten().next() {
                first = Some((*number, other, *file));
                break;
            }
        }
    }
    match first {
        None => Ok(()),
        Some((_, one, other)) => Err(Error::data("the same content under two names would be counted twice")
            .with("file", one.shown)
            .with("same as", other.shown)
            .help("leave one of them out, or --allow-duplicates")),
    }
}

type Alike<'a> = Vec<(usize, Pinned<'a>)>;

/// Parts groups by a digest of each file, many at a time; who is alone has no duplicate.
fn split(groups: Vec<Alike<'_>>, digest: impl Fn(&Pinned<'_>) -> Result<u64> + Sync) -> Result<Vec<Alike<'_>>> {
    let mut parted = Vec::new();
    for group in groups {
        let digests: Vec<Result<u64>> = group.par_iter().map(|(_, file)| digest(file)).collect();
        let mut alike: BTreeMap<u64, Alike<'_>> = BTreeMap::new();
        for (file, digest) in group.into_iter().zip(digests) {
            alike.entry(digest?).or_default().push(file);
        }
        parted.extend(alike.into_values().filter(|files| files.len() > 1));
    }
    Ok(parted)
}

/// A digest of a file's first `length` bytes. It leaves out the length of the file, which is the same in a group.
fn digest(key: &RandomState, file: &Pinned<'_>, length: u64) -> Result<u64> {
    let mut bytes = open(file)?.take(length.min(file.version.size));
    let (mut hasher, mut step) = (key.build_hasher(), vec![0; STEP.min(file.version.size as usize)]);
    loop {
        match bytes.read(&mut step).map_err(|error| unreadable(file, error))? {
            0 => return Ok(hasher.finish()),
            read => hasher.write(&step[..read]),
        }
    }
}

fn equal_bytes(a: &Pinned<'_>, b: &Pinned<'_>) -> Result<bool> {
    let (mut left, mut right) = (open(a)?, open(b)?);
    let (mut x, mut y) = (Vec::new(), Vec::new());
    loop {
        x.clear();
        y.clear();
        (&mut left).take(STEP as u64).read_to_end(&mut x).map_err(|error| unreadable(a, error))?;
        (&mut right).take(STEP as u64).read_to_end(&mut y).map_err(|error| unreadable(b, error))?;
        if x != y {
            return Ok(false);
        }
        if x.is_empty() {
            return Ok(true);
        }
    }
}

fn open(file: &Pinned<'_>) -> Result<fs::File> {
    fs::File::open(file.path).map_err(|error| unreadable(file, error))
}

fn unreadable(file: &Pinned<'_>, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot read").with("file", file.shown).with("detail", error.kind()).caused_by(error)
}
