//! Finds files with the same content under two names.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use rayon::prelude::*;

use super::catalogue::Pinned;
use super::read_at::{ReadAt, unreadable};
use crate::error::{Error, Result};

/// Bytes that are read at a time. Most files differ in the first step.
const STEP: usize = 64 << 10;

/// Refuses files with the same content.
pub(super) fn refuse_duplicates<'a>(files: impl Iterator<Item = Pinned<'a>>) -> Result<()> {
    match first_duplicate(files)? {
        None => Ok(()),
        Some((one, other)) => Err(Error::data("the same content under two names would be counted twice")
            .with("file", one.shown)
            .with("same as", other.shown)
            .help("leave one of them out, or --allow-duplicates")),
    }
}

/// The first file with the content of another, and that one before it. Files of equal size and fingerprint are compared by
/// a digest, and those of equal digest byte by byte.
pub(super) fn first_duplicate<'a>(files: impl Iterator<Item = Pinned<'a>>) -> Result<Option<(Pinned<'a>, Pinned<'a>)>> {
    let mut alike: BTreeMap<(u64, u64), Alike<'_>> = BTreeMap::new();
    for (at, file) in files.enumerate() {
        alike.entry((file.version.size, file.footer_hash)).or_default().push((at, file));
    }
    // The key of the digest is random, so nobody can craft files that collide.
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
    Ok(first.map(|(_, one, other)| (one, other)))
}

type Alike<'a> = Vec<(usize, Pinned<'a>)>;

/// Splits groups by a digest of each file, many at a time, and drops files that are alone.
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

/// A digest of a file's first `length` bytes; files of a group have the same size.
fn digest(key: &RandomState, file: &Pinned<'_>, length: u64) -> Result<u64> {
    let mut steps = Steps::open(file, length)?;
    let mut hasher = key.build_hasher();
    while let Some(step) = steps.next()? {
        hasher.write(step);
    }
    Ok(hasher.finish())
}

fn equal_bytes(a: &Pinned<'_>, b: &Pinned<'_>) -> Result<bool> {
    let (mut left, mut right) = (Steps::open(a, u64::MAX)?, Steps::open(b, u64::MAX)?);
    loop {
        match (left.next()?, right.next()?) {
            (None, None) => return Ok(true),
            (left, right) if left != right => return Ok(false),
            _ => {}
        }
    }
}

/// The bytes of a file, step by step.
struct Steps<'a> {
    file: &'a Pinned<'a>,
    bytes: Arc<dyn ReadAt>,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl<'a> Steps<'a> {
    /// The first `length` bytes of a file, or all of them.
    fn open(file: &'a Pinned<'a>, length: u64) -> Result<Self> {
        let (bytes, version) = file.source.open().map_err(|error| error.with("file", file.shown))?;
        let end = length.min(version.size);
        bytes.announce(0, end);
        Ok(Self { file, bytes, at: 0, end, buffer: vec![0; STEP] })
    }

    fn next(&mut self) -> Result<Option<&[u8]>> {
        let step = (self.end - self.at).min(STEP as u64);
        if step == 0 {
            return Ok(None);
        }
        let buffer = &mut self.buffer[..step as usize];
        self.bytes.read_at(self.at, buffer).map_err(|error| unreadable(error).with("file", self.file.shown))?;
        self.at += step;
        Ok(Some(buffer))
    }
}
