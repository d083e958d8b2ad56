//! The directory of a zip archive: which members it has, and where they lie.
//!
//! A member is only ever read as bytes of this file; its name is a name, and never a path.

use crate::archive::damage::damaged;
use crate::archive::fingerprint::fnv1a;
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::Result;

/// A member of an archive.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) method: Method,
    pub(super) crc: u32,
    pub(super) compressed: u64,
    pub(super) uncompressed: u64,
    /// Where its bytes begin.
    pub(super) start: u64,
}

/// How a member is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
    Other(u16),
}

/// The members of an archive, and a hash of its directory, in which their checksums are.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) members: Vec<Member>,
    pub(super) hash: u64,
}

/// What an archive begins with, unless it is empty.
const MAGIC: &[u8; 4] = b"PK\x03\x04";

/// The name of the first member of an archive that begins with these bytes.
pub(super) fn first_name(head: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_le_bytes(head.get(26..28)?.try_into().ok()?));
    head.get(30..30 + length).filter(|_| head.starts_with(MAGIC))
}

/// Bytes of a directory, of which arrays take about a hundred each.
const DIRECTORY_LIMIT: u64 = 64 << 20;

/// Bytes of the record at the end, and of the longest comment behind it.
const END: u64 = 22;
const COMMENT: u64 = 65_535;

/// The little-endian number at a place.
fn number<const W: usize>(bytes: &[u8], at: usize) -> Result<u64> {
    let field = bytes.get(at..at + W).ok_or_else(|| damaged("its directory is cut"))?;
    Ok(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

/// Where the directory lies, and how many members it lists.
struct Place {
    start: u64,
    length: u64,
    members: u64,
    /// Where the records at the end begin.
    end: u64,
}

fn place(bytes: &dyn ReadAt) -> Result<Place> {
    let size = bytes.size();
    let length = size.min(END + COMMENT);
    let mut tail = vec![0; length as usize];
    read_exact_at(bytes, size - length, &mut tail)?;
    let is_end = |at: &usize| {
        let fits = number::<2>(&tail, at + 20).is_ok_and(|comment| *at as u64 + END + comment == length);
        tail[*at..].starts_with(b"PK\x05\x06") && fits
    };
    let at = (0..(tail.len() + 1).saturating_sub(END as usize)).rev().find(is_end);
    let at = at.ok_or_else(|| damaged("it does not end with the directory of a zip archive: truncated"))?;
    let end = size - length + at as u64;
    let (members, length, start) =
        (number::<2>(&tail, at + 10)?, number::<4>(&tail, at + 12)?, number::<4>(&tail, at + 16)?);
    if [length, start].contains(&0xffff_ffff) || (members == 0xffff && is_large(bytes, end)?) {
        return large_place(bytes, end);
    }
    Ok(Place { start, length, members, end })
}

/// Whether a record with 64-bit sizes precedes the one at the end.
fn is_large(bytes: &dyn ReadAt, end: u64) -> Result<bool> {
    let mut magic = [0; 4];
    let Some(at) = end.checked_sub(20) else { return Ok(false) };
    read_exact_at(bytes, at, &mut magic)?;
    Ok(magic == *b"PK\x06\x07")
}

/// The same of an archive with 64-bit sizes.
fn large_place(bytes: &dyn ReadAt, end: u64) -> Result<Place> {
    let cut = || damaged("its directory is cut");
    let mut locator = [0; 20];
    read_exact_at(bytes, end.checked_sub(20).ok_or_else(cut)?, &mut locator)?;
    let at = number::<8>(&locator, 8)?;
    if !locator.starts_with(b"PK\x06\x07") || at.checked_add(56).is_none_or(|after| after > end) {
        return Err(damaged("its directory is elsewhere than the file says"));
    }
    let mut record = [0; 56];
    read_exact_at(bytes, at, &mut record)?;
    if !record.starts_with(b"PK\x06\x06") {
        return Err(damaged("its directory is elsewhere than the file says"));
    }
    let (members, length, start) = (number::<8>(&record, 32)?, number::<8>(&record, 40)?, number::<8>(&record, 48)?);
    Ok(Place { start, length, members, end: at })
}

impl Directory {
    /// Reads the directory of an archive.
    pub(super) fn read(bytes: &dyn ReadAt) -> Result<Self> {
        let Place { start, length, members: count, end } = place(bytes)?;
        if start.checked_add(length).is_none_or(|after| after > end) || length > DIRECTORY_LIMIT {
            return Err(damaged(format!("its directory claims {length} bytes")));
        }
        let mut directory = vec![0; length as usize];
        read_exact_at(bytes, start, &mut directory)?;
        let mut members = Vec::new();
        let mut rest = &directory[..];
        while !rest.is_empty() {
            let (entry, length) = Entry::read(rest)?;
            rest = rest.get(length..).ok_or_else(|| damaged("its directory is cut"))?;
            members.push(entry.member(bytes, start)?);
        }
        if members.len() as u64 != count {
            return Err(damaged(format!("its directory lists {} members and claims {count}", members.len())));
        }
        Ok(Self { members, hash: fnv1a(&directory) })
    }
}

/// An entry of the directory.
struct Entry {
    member: Member,
    /// Where the header of the member lies.
    header: u64,
}

impl Entry {
    /// Reads the first entry of the rest of a directory, and its length.
    fn read(rest: &[u8]) -> Result<(Self, usize)> {
        if !rest.starts_with(b"PK\x01\x02") {
            return Err(damaged("its directory is broken"));
        }
        let (flags, method) = (number::<2>(rest, 8)?, number::<2>(rest, 10)?);
        if flags & 1 != 0 {
            return Err(damaged("its members are encrypted"));
        }
        let lengths = [28, 30, 32].map(|at| number::<2>(rest, at));
        let [name_length, extra_length, comment_length] = lengths;
        let (name_length, extra_length) = (name_length? as usize, extra_length? as usize);
        let name = rest.get(46..46 + name_length).ok_or_else(|| damaged("its directory is cut"))?;
        let extra = rest.get(46 + name_length..46 + name_length + extra_length);
        let extra = extra.ok_or_else(|| damaged("its directory is cut"))?;
        let mut sizes = [number::<4>(rest, 24)?, number::<4>(rest, 20)?, number::<4>(rest, 42)?];
        widen(&mut sizes, extra)?;
        let [uncompressed, compressed, header] = sizes;
        let member = Member {
            name: String::from_utf8_lossy(name).into_owned(),
            method: match method {
                0 => Method::Stored,
                8 => Method::Deflated,
                other => Method::Other(other as u16),
            },
            crc: number::<4>(rest, 16)? as u32,
            compressed,
            uncompressed,
            start: 0,
        };
        Ok((Self { member, header }, 46 + name_length + extra_length + comment_length? as usize))
    }

    /// The member, whose bytes lie before the directory.
    fn member(self, bytes: &dyn ReadAt, directory: u64) -> Result<Member> {
        let Self { member, header } = self;
        let outside = || damaged("a member lies outside of the file");
        if header.checked_add(30).is_none_or(|after| after > directory) {
            return Err(outside());
        }
        let mut local = [0; 30];
        read_exact_at(bytes, header, &mut local)?;
        if !local.starts_with(MAGIC) {
            return Err(damaged("a member is elsewhere than the directory says"));
        }
        // Its extra fields may be others than those of the directory.
        let start = header + 30 + number::<2>(&local, 26)? + number::<2>(&local, 28)?;
        if start.checked_add(member.compressed).is_none_or(|after| after > directory) {
            return Err(outside());
        }
        if member.method == Method::Stored && member.compressed != member.uncompressed {
            return Err(damaged("a member that is not compressed has two sizes"));
        }
        Ok(Member { start, ..member })
    }
}

/// Takes sizes that do not fit 32 bits from the extra fields, in which they follow one another.
fn widen(sizes: &mut [u64; 3], mut extra: &[u8]) -> Result<()> {
    while extra.len() >= 4 {
        let (kind, length) = (number::<2>(extra, 0)?, number::<2>(extra, 2)? as usize);
        let field = extra.get(4..4 + length).ok_or_else(|| damaged("its directory is cut"))?;
        if kind == 1 {
            let mut at = 0;
            for size in sizes.iter_mut().filter(|size| **size == 0xffff_ffff) {
                *size = number::<8>(field, at)?;
                at += 8;
            }
            return Ok(());
        }
        extra = &extra[4 + length..];
    }
    Ok(())
}
