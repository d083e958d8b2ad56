//! The payloads of the sections of a state file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::format::damaged;
use super::group::{EncodedGroup, Precisions};
use super::{Ledger, LedgerEntry, Provenance, SourceFile, Unfinished};
use crate::archive::{Key, Planned, Skipped};
use crate::error::{Error, Result};
use crate::state::{Input, put_label, put_text};

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

fn read_count(input: &mut Input<'_>) -> Result<usize> {
    usize::try_from(u64::from_le_bytes(input.take()?)).map_err(|_| damaged("a count is too large"))
}

/// A list of items of at least `size` bytes each.
fn many<T>(input: &mut Input<'_>, size: usize, item: impl FnMut(&mut Input<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = read_count(input)?;
    input.many(count, size, item)
}

fn texts<'a>(out: &mut Vec<u8>, items: impl ExactSizeIterator<Item = &'a String>) {
    count(out, items.len());
    items.for_each(|item| put_text(out, item));
}

fn read_texts(input: &mut Input<'_>) -> Result<Vec<String>> {
    many(input, 4, |input| Ok(input.text()?.to_owned()))
}

/// Refuses a list that does not ascend, so that there is one way to write it.
fn ascending<T: Ord>(items: &[T]) -> Result<()> {
    if items.windows(2).all(|pair| pair[0] < pair[1]) { Ok(()) } else { Err(damaged("a list is out of order")) }
}

pub(super) fn provenance(provenance: &Provenance) -> Vec<u8> {
    let mut out = Vec::new();
    texts(&mut out, provenance.group_by.iter());
    let settings = provenance.texts();
    count(&mut out, settings.len());
    for (name, values) in &settings {
        put_text(&mut out, name);
        texts(&mut out, values.iter());
    }
    out
}

pub(super) fn read_provenance(input: &mut Input<'_>) -> Result<Provenance> {
    let keys = read_texts(input)?;
    let values = many(input, 12, |input| {
        let name = input.text()?.to_owned();
        let values = read_texts(input)?;
        ascending(&values)?;
        if values.is_empty() {
            return Err(damaged("a setting has no value"));
        }
        Ok((name, values.into_iter().collect::<BTreeSet<_>>()))
    })?;
    ascending(&values.iter().map(|(name, _)| name).collect::<Vec<_>>())?;
    Provenance::from_texts(keys, &values.into_iter().collect())
        .ok_or_else(|| damaged("a setting is missing, unknown, or has an impossible value"))
}

pub(super) fn ledger(ledger: &Ledger) -> Vec<u8> {
    let mut out = Vec::new();
    count(&mut out, ledger.files.len());
    for (source, units) in &ledger.files {
        put_text(&mut out, &source.name);
        out.extend(source.size.to_le_bytes());
        out.extend(source.footer_hash.to_le_bytes());
        count(&mut out, units.len());
        for (row_group, entry) in units {
            out.extend(row_group.to_le_bytes());
            out.extend(entry.used.to_le_bytes());
            out.extend(entry.skipped.to_le_bytes());
            out.extend(entry.digest.to_le_bytes());
        }
    }
    texts(&mut out, ledger.left_out.iter().collect::<Vec<_>>().into_iter());
    out
}

pub(super) fn read_ledger(input: &mut Input<'_>) -> Result<Ledger> {
    let files = many(input, 28, |input| {
        let source = SourceFile {
            name: input.text()?.to_owned(),
            size: u64::from_le_bytes(input.take()?),
            footer_hash: u64::from_le_bytes(input.take()?),
        };
        let units = many(input, 28, |input| {
            let row_group = u32::from_le_bytes(input.take()?);
            let entry = LedgerEntry {
                used: u64::from_le_bytes(input.take()?),
                skipped: u64::from_le_bytes(input.take()?),
                digest: u64::from_le_bytes(input.take()?),
            };
            if entry.used.checked_add(entry.skipped).is_none() {
                return Err(damaged("a count is too large"));
            }
            Ok((row_group, entry))
        })?;
        ascending(&units.iter().map(|(row_group, _)| row_group).collect::<Vec<_>>())?;
        if units.is_empty() {
            return Err(damaged("a file without a counted row group"));
        }
        Ok((source, units.into_iter().collect::<BTreeMap<_, _>>()))
    })?;
    ascending(&files.iter().map(|(source, _)| source).collect::<Vec<_>>())?;
    let left_out = read_texts(input)?;
    ascending(&left_out)?;
    let files: BTreeMap<_, _> = files.into_iter().collect();
    let left_out: BTreeSet<String> = left_out.into_iter().collect();
    if files.keys().any(|source| left_out.contains(&source.name)) {
        return Err(damaged("a file is both counted and left out"));
    }
    Ok(Ledger { files, left_out })
}

/// Rows are counted by so many `known` precisions.
pub(super) fn group_head(key: &Key, group: &EncodedGroup, known: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for value in key {
        put_label(&mut out, value);
    }
    let Skipped { nulls, nonfinite, ignored, filtered } = &group.skipped;
    for rows in [nulls, ignored, filtered] {
        out.extend(rows.to_le_bytes());
    }
    count(&mut out, nonfinite.len());
    for (label, rows) in nonfinite {
        put_label(&mut out, label);
        out.extend(rows.to_le_bytes());
    }
    group.precisions.0[..known].iter().for_each(|rows| out.extend(rows.to_le_bytes()));
    out
}

/// What [`group_head`] wrote.
pub(super) fn read_group_head(input: &mut Input<'_>, keys: usize, known: usize) -> Result<(Key, EncodedGroup)> {
    let key = input.many(keys, 2, Input::label)?;
    let mut number = || -> Result<u64> { Ok(u64::from_le_bytes(input.take()?)) };
    let (nulls, ignored, filtered) = (number()?, number()?, number()?);
    let nonfinite = many(input, 10, |input| Ok((input.label()?, u64::from_le_bytes(input.take()?))))?;
    ascending(&nonfinite.iter().map(|(label, _)| label).collect::<Vec<_>>())?;
    let mut precisions = [0; 4];
    for rows in &mut precisions[..known] {
        *rows = u64::from_le_bytes(input.take()?);
    }
    let all = nonfinite.iter().map(|(_, rows)| *rows).chain([nulls, ignored, filtered]).chain(precisions);
    let sum = all.into_iter().try_fold(0_u64, u64::checked_add);
    if sum.is_none() || nonfinite.iter().any(|(_, rows)| *rows == 0) {
        return Err(damaged("an impossible count"));
    }
    let skipped = Skipped { nulls, nonfinite: nonfinite.into_iter().collect(), ignored, filtered };
    Ok((key, EncodedGroup { skipped, precisions: Precisions(precisions), state: Vec::new() }))
}

pub(super) fn plan(plan: &Unfinished) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    texts(&mut out, plan.inputs.iter());
    let (part, parts) = plan.shard.unwrap_or((0, 0));
    out.extend(part.to_le_bytes());
    out.extend(parts.to_le_bytes());
    out.extend(plan.units.to_le_bytes());
    texts(&mut out, plan.damaged.iter());
    count(&mut out, plan.files.len());
    for file in &plan.files {
        let path = file.path.as_os_str().as_bytes();
        count(&mut out, path.len());
        out.extend(path);
        put_text(&mut out, &file.shown);
        put_text(&mut out, &file.name);
        out.extend(file.size.to_le_bytes());
        out.extend(file.footer_hash.to_le_bytes());
        let (seconds, nanoseconds) = since_epoch(file.modified)?;
        out.extend(seconds.to_le_bytes());
        out.extend(nanoseconds.to_le_bytes());
        count(&mut out, file.keys.len());
        for (key, value) in &file.keys {
            put_text(&mut out, key);
            put_text(&mut out, value);
        }
    }
    Ok(out)
}

/// Whole seconds, negative before the epoch, and the nanoseconds after them.
fn since_epoch(time: SystemTime) -> Result<(i64, u32)> {
    let out_of_range = || Error::data("a file's time of writing is out of range");
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Ok((i64::try_from(after.as_secs()).map_err(|_| out_of_range())?, after.subsec_nanos())),
        Err(error) => {
            let before = error.duration();
            let seconds = i64::try_from(before.as_secs()).map_err(|_| out_of_range())?;
            Ok(match before.subsec_nanos() {
                0 => (-seconds, 0),
                nanoseconds => (-seconds - 1, 1_000_000_000 - nanoseconds),
            })
        }
    }
}

pub(super) fn read_plan(input: &mut Input<'_>) -> Result<Unfinished> {
    let inputs = read_texts(input)?;
    let (part, parts) = (u32::from_le_bytes(input.take()?), u32::from_le_bytes(input.take()?));
    let shard = match (part, parts) {
        (0, 0) => None,
        (part, parts) if part < parts => Some((part, parts)),
        _ => return Err(damaged("an impossible shard")),
    };
    let units = u64::from_le_bytes(input.take()?);
    let damaged_files = read_texts(input)?;
    let files = many(input, 56, |input| {
        let length = read_count(input)?;
        let path = OsString::from_vec(input.bytes(length)?.to_vec()).into();
        let (shown, name) = (input.text()?.to_owned(), input.text()?.to_owned());
        let (size, footer_hash) = (u64::from_le_bytes(input.take()?), u64::from_le_bytes(input.take()?));
        let (seconds, nanoseconds) = (i64::from_le_bytes(input.take()?), u32::from_le_bytes(input.take()?));
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let start = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
        let modified = start.and_then(|start| start.checked_add(Duration::from_nanos(nanoseconds.into())));
        let keys = many(input, 8, |input| Ok((input.text()?.to_owned(), input.text()?.to_owned())))?;
        let modified = modified.ok_or_else(|| damaged("an impossible time"))?;
        Ok(Planned { path, shown, name, keys: keys.into_iter().collect(), size, modified, footer_hash })
    })?;
    Ok(Unfinished { inputs, shard, files, damaged: damaged_files, units })
}
