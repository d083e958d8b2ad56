//! Checksums of members of a zip archive that are not compressed. Rows are read in any order and by several threads: what was
//! read is summed range by range, and once ranges cover a member, its sum is compared.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crc32fast::Hasher;

use super::damage::damaged;
use super::escape::escaped;
use super::read_at::{ReadAt, Version};
use super::zip::{Member, Method};
use crate::error::{Error, Result};

/// The members of an archive that have a checksum, by their places.
#[derive(Debug, Default)]
pub(super) struct Checksums(Vec<Summed>);

/// A member that has a checksum.
#[derive(Debug)]
pub(super) struct Summed {
    name: String,
    start: u64,
    end: u64,
    crc: u32,
    /// Bytes of a header, which was read before the rows are.
    header: u64,
    seen: Mutex<Seen>,
}

/// What is known of a member.
enum Seen {
    /// Ranges that do not overlap, by their first byte: their ends and sums, and how many bytes they have.
    Ranges(BTreeMap<u64, (u64, Hasher)>, u64),
    Sound,
    Broken,
    /// There were too many ranges.
    Unknown,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ranges(ranges, bytes) => write!(f, "{} ranges of {bytes} bytes", ranges.len()),
            Self::Sound => f.write_str("sound"),
            Self::Broken => f.write_str("broken"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The most ranges that are kept of a member.
const RANGES: usize = 1 << 16;

/// Bytes of memory for each member.
const MEMORY: u64 = 256;

impl Summed {
    /// A member whose first bytes, `header`, were read already; `None` if it is compressed, or its checksum is 0, which
    /// `torch.save` writes where it is told to take none.
    pub(super) fn of(member: &Member, name: &str, header: &[u8]) -> Option<Self> {
        if member.method != Method::Stored || member.crc == 0 || member.uncompressed == 0 {
            return None;
        }
        let Member { start, uncompressed, crc, .. } = *member;
        let end = start.checked_add(uncompressed)?;
        let summed = Self {
            name: name.to_owned(),
            start,
            end,
            crc,
            header: header.len() as u64,
            seen: Mutex::new(Seen::Ranges(BTreeMap::new(), 0)),
        };
        // An array without rows is complete with its header, and nobody reads it.
        let is_all = header.len() as u64 == uncompressed;
        if !header.is_empty() && !is_all {
            summed.add(start, &sum(header));
        }
        Some(summed)
    }

    /// Takes the sum of the bytes from `from` on. Once ranges cover the member, their sum is compared.
    fn add(&self, from: u64, sum: &(u64, Hasher)) {
        let to = from + sum.0;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen::Ranges(ranges, bytes) = &mut *seen else { return };
        let before = ranges.range(..=from).next_back();
        let overlaps_before = before.is_some_and(|(&start, (end, _))| *end > from && (start < from || *end >= to));
        let within: Vec<u64> = ranges.range(from..to).map(|(&start, _)| start).collect();
        let overlaps_behind = within.last().is_some_and(|last| ranges[last].0 > to);
        // What was read before counts, unless all of it was read again.
        if overlaps_before || overlaps_behind {
            return;
        }
        for start in within {
            *bytes -= ranges.remove(&start).map_or(0, |(end, _)| end - start);
        }
        ranges.insert(from, (to, sum.1.clone()));
        *bytes += sum.0;
        if *bytes < self.end - self.start {
            if ranges.len() > RANGES {
                *seen = Seen::Unknown;
            }
            return;
        }
        let mut all = Hasher::new();
        for (_, hasher) in ranges.values() {
            all.combine(hasher);
        }
        *seen = if all.finalize() == self.crc { Seen::Sound } else { Seen::Broken };
    }

    /// Fails if the checksum of the member is known not to match; returns whether more bytes need be summed.
    fn check(&self) -> Result<bool> {
        match &*self.seen.lock().unwrap_or_else(PoisonError::into_inner) {
            Seen::Ranges(..) => Ok(true),
            Seen::Sound | Seen::Unknown => Ok(false),
            Seen::Broken => Err(damaged("the checksum of an array does not match").with("array", escaped(&self.name))),
        }
    }
}

/// Bytes, and their sum.
fn sum(bytes: &[u8]) -> (u64, Hasher) {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    (bytes.len() as u64, hasher)
}

impl Checksums {
    pub(super) fn new(mut members: Vec<Summed>) -> Self {
        members.sort_by_key(|member| member.start);
        Self(members)
    }

    /// The member that has all of these bytes.
    fn member(&self, from: u64, length: u64) -> Option<&Summed> {
        let member = self.0.get(self.0.partition_point(|member| member.end <= from))?;
        (member.start <= from && from.checked_add(length)? <= member.end).then_some(member)
    }

    /// Whether these bytes are all of a member that has a checksum, but for its header.
    pub(super) fn cover(&self, from: u64, length: u64) -> bool {
        self.member(from, length)
            .is_some_and(|member| member.start + member.header == from && from + length == member.end && length > 0)
    }

    /// Takes bytes that were read.
    fn saw(&self, from: u64, bytes: &[u8]) -> Result<()> {
        let Some(member) = self.member(from, bytes.len() as u64).filter(|_| !bytes.is_empty()) else { return Ok(()) };
        if !member.check()? {
            return Ok(());
        }
        member.add(from, &sum(bytes));
        member.check().map(drop)
    }

    /// Bytes of memory.
    pub(super) fn memory(&self) -> u64 {
        self.0.len() as u64 * MEMORY
    }
}

/// A file whose members are summed as they are read.
#[derive(Debug)]
pub(super) struct SummedFile {
    file: Arc<dyn ReadAt>,
    checksums: Arc<Checksums>,
}

impl SummedFile {
    /// The file as it is, if no member has a checksum.
    pub(super) fn over(file: &Arc<dyn ReadAt>, checksums: &Arc<Checksums>) -> Arc<dyn ReadAt> {
        if checksums.0.is_empty() {
            return file.clone();
        }
        Arc::new(Self { file: file.clone(), checksums: checksums.clone() })
    }
}

impl ReadAt for SummedFile {
    fn size(&self) -> u64 {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, buffer)?;
        self.checksums.saw(offset, buffer).map_err(io::Error::other)
    }

    fn version(&self) -> io::Result<Version> {
        self.file.version()
    }

    fn first_of_two(&self) -> Option<u64> {
        self.file.first_of_two()
    }

    fn announce(&self, start: u64, end: u64) {
        self.file.announce(start, end);
    }

    fn failure(&self) -> Option<Error> {
        self.file.failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(content: &[u8]) -> Member {
        let size = content.len() as u64;
        Member {
            name: "x.npy".to_owned(),
            method: Method::Stored,
            crc: crc32fast::hash(content),
            compressed: size,
            uncompressed: size,
            start: 100,
        }
    }

    #[test]
    fn ranges_that_cover_a_member_are_compared_in_any_order() {
        let content: Vec<u8> = (0..200_u8).collect();
        let mut flipped = content.clone();
        flipped[77] ^= 4;
        let ranges = [(0, 50), (0, 20), (150, 50), (20, 80), (60, 30), (40, 20), (100, 50), (0, 200)];
        for (bytes, is_sound) in [(&content, true), (&flipped, false)] {
            let sums = Checksums::new(Summed::of(&member(&content), "x", &bytes[..10]).into_iter().collect());
            assert!(sums.cover(110, 190) && !sums.cover(100, 200) && !sums.cover(110, 189) && !sums.cover(0, 1));
            let mut outcomes = Vec::new();
            for (from, length) in ranges {
                outcomes.push(sums.saw(100 + from as u64, &bytes[from..from + length]).is_ok());
            }
            // Only the last range has what those that overlapped have left out.
            let (last, before) = outcomes.split_last().unwrap();
            assert!(before.iter().all(|ok| *ok) && *last == is_sound, "{outcomes:?}");
            // What is read of it later fails too.
            assert_eq!(sums.saw(100, &bytes[..1]).is_ok(), is_sound);
            // Bytes of no member, or of more than it, are not looked at.
            assert!(sums.saw(0, &bytes[..50]).is_ok() && sums.saw(290, &bytes[..20]).is_ok());
        }
    }

    #[test]
    fn there_is_nothing_to_compare_without_a_checksum() {
        let content = [1, 2, 3];
        assert!(Summed::of(&Member { crc: 0, ..member(&content) }, "x", &[]).is_none());
        assert!(Summed::of(&Member { method: Method::Deflated, ..member(&content) }, "x", &[]).is_none());
        assert!(Summed::of(&member(&[]), "x", &[]).is_none());
    }
}
