//! The bytes of a state file.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crc32fast::Hasher;

use super::group::Group;
use super::{Entry, Groups, Ledger, Settings, Source, StateFile, Unfinished};
use crate::archive::{Key, Planned, Skipped};
use crate::error::{Error, Result};
use crate::state::{Input, put_label, put_text};

/// A byte that is no text, the name, and line ends that a transfer as text would change.
pub(super) const MAGIC: &[u8; 8] = b"\x89NCST\r\n\n";

/// The version that is written; all versions up to it are read.
const VERSION: u16 = 1;

const SETTINGS: &[u8; 4] = b"SETS";
const LEDGER: &[u8; 4] = b"LEDG";
const PLAN: &[u8; 4] = b"PLAN";
const GROUP: &[u8; 4] = b"GRUP";
const END: &[u8; 4] = b"END.";

/// What is said of bytes that are no state file.
fn damaged(detail: &str) -> Error {
    Error::data("the state file is damaged").with("detail", detail)
}

/// A section: its payload is the head, and the body behind it.
struct Section<'a> {
    kind: &'static [u8; 4],
    head: Vec<u8>,
    body: &'a [u8],
}

/// All sections of a file but the last, which counts them.
pub(super) struct Sections<'a>(Vec<Section<'a>>);

impl<'a> Sections<'a> {
    pub(super) fn of(file: &'a StateFile) -> Result<Self> {
        let whole = |kind, head| Section { kind, head, body: &[] };
        let mut sections = vec![whole(SETTINGS, settings(&file.settings)), whole(LEDGER, ledger(&file.ledger))];
        if let Some(plan) = &file.unfinished {
            sections.push(whole(PLAN, self::plan(plan)?));
        }
        for (key, group) in &file.groups {
            sections.push(Section { kind: GROUP, head: group_head(key, group), body: &group.state });
        }
        Ok(Self(sections))
    }

    /// The bytes of the file.
    pub(super) fn len(&self) -> u64 {
        let lengths = self.0.iter().map(|section| section.head.len() + section.body.len() + 16);
        lengths.sum::<usize>() as u64 + 14 + 20
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut start = MAGIC.to_vec();
        start.extend(VERSION.to_le_bytes());
        let checksum = crc32fast::hash(&start);
        start.extend(checksum.to_le_bytes());
        out.write_all(&start)?;
        let end = Section { kind: END, head: (self.0.len() as u32).to_le_bytes().to_vec(), body: &[] };
        for section in self.0.iter().chain([&end]) {
            let mut checksum = Hasher::new();
            let length = (section.head.len() + section.body.len()) as u64;
            for part in [&section.kind[..], &length.to_le_bytes(), &section.head, section.body] {
                checksum.update(part);
                out.write_all(part)?;
            }
            out.write_all(&checksum.finalize().to_le_bytes())?;
        }
        Ok(())
    }
}

/// Reads a file of `size` bytes.
pub(super) fn read(input: &mut dyn Read, size: u64) -> Result<StateFile> {
    let mut input = Reader { input, left: size };
    let start = input.fixed::<14>().map_err(|error| too_short(error, "it is shorter than its beginning"))?;
    if start[..8] != *MAGIC {
        return Err(Error::data("not a state file"));
    }
    if crc32fast::hash(&start[..10]).to_le_bytes() != start[10..] {
        return Err(damaged("the checksum of its beginning is wrong"));
    }
    let version = u16::from_le_bytes([start[8], start[9]]);
    if version == 0 || version > VERSION {
        return Err(Error::data("a state file of a newer version")
            .with("version", version)
            .with("known", VERSION)
            .help("read it with the nckit that wrote it, or a newer one"));
    }
    let mut parts = Parts::default();
    let mut number = 0;
    loop {
        let (kind, payload) = input.section(number)?;
        if &kind == END {
            if payload != number.to_le_bytes() || input.left > 0 {
                return Err(damaged("its end is not where it says"));
            }
            return parts.file();
        }
        parts.take(kind, payload)?;
        number += 1;
    }
}

fn too_short(error: Error, detail: &str) -> Error {
    if error.kind() == crate::error::ErrorKind::Data { damaged(detail) } else { error }
}

struct Reader<'a> {
    input: &'a mut dyn Read,
    left: u64,
}

impl Reader<'_> {
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| damaged("it ends too early"))?;
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => damaged("it ends too early"),
            kind => Error::io("cannot read").with("detail", kind).caused_by(error),
        })
    }

    fn section(&mut self, number: u32) -> Result<([u8; 4], Vec<u8>)> {
        let kind = self.fixed::<4>()?;
        let length = u64::from_le_bytes(self.fixed()?);
        // The checksum follows.
        if length.checked_add(4).is_none_or(|length| length > self.left) {
            return Err(damaged("a section is longer than the file").with("section", number));
        }
        let mut payload = Vec::new();
        payload.try_reserve_exact(length as usize).map_err(|error| {
            Error::resource("not enough memory to read the state").with("needed", length).caused_by(error)
        })?;
        payload.resize(length as usize, 0);
        self.fill(&mut payload)?;
        let mut checksum = Hasher::new();
        for part in [&kind[..], &length.to_le_bytes(), &payload] {
            checksum.update(part);
        }
        if checksum.finalize().to_le_bytes() != self.fixed::<4>()? {
            return Err(damaged("a checksum is wrong").with("section", number));
        }
        Ok((kind, payload))
    }
}

/// The sections read so far. Their order is fixed, so that there is one way to write a file.
#[derive(Default)]
struct Parts {
    settings: Option<Settings>,
    ledger: Option<Ledger>,
    plan: Option<Unfinished>,
    groups: Groups,
}

impl Parts {
    fn take(&mut self, kind: [u8; 4], mut payload: Vec<u8>) -> Result<()> {
        let disorder = || damaged("its sections are out of order");
        let mut input = Input::new(&payload);
        match &kind {
            SETTINGS if self.settings.is_none() => self.settings = Some(read_settings(&mut input)?),
            LEDGER if self.settings.is_some() && self.ledger.is_none() => self.ledger = Some(read_ledger(&mut input)?),
            PLAN if self.ledger.is_some() && self.plan.is_none() && self.groups.is_empty() => {
                self.plan = Some(read_plan(&mut input)?);
            }
            GROUP => {
                let keys = self.ledger.as_ref().and(self.settings.as_ref()).ok_or_else(disorder)?.keys.len();
                let (key, mut group) = read_group_head(&mut input, keys)?;
                if self.groups.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(disorder());
                }
                let head = payload.len() - input.remaining();
                payload.drain(..head);
                group.state = payload;
                if group.is_empty() || group.state.is_empty() != (group.rows() == 0) {
                    return Err(damaged("a group without rows"));
                }
                self.groups.insert(key, group);
                return Ok(());
            }
            _ => return Err(disorder()),
        }
        if input.is_empty() { Ok(()) } else { Err(damaged("a section is longer than what it holds")) }
    }

    fn file(self) -> Result<StateFile> {
        let (Some(settings), Some(ledger)) = (self.settings, self.ledger) else {
            return Err(damaged("sections are missing"));
        };
        let file = StateFile { settings, ledger, groups: self.groups, unfinished: self.plan };
        let sum = |of: fn(&Group) -> u64| file.groups.values().fold(0_u64, |sum, group| sum.saturating_add(of(group)));
        if file.ledger.rows() != (sum(Group::rows), sum(|group| group.skipped.total())) {
            return Err(damaged("its groups do not have the rows of its ledger"));
        }
        let kinds = |key: &Key| key.iter().map(crate::batch::Label::kind).collect::<Vec<_>>();
        let first = file.groups.keys().next().map(kinds);
        if file.groups.keys().any(|key| Some(kinds(key)) != first) {
            return Err(damaged("its keys differ in type"));
        }
        Ok(file)
    }
}

fn count(out: &mut Vec<u8>, count: usize) {
    out.extend((count as u64).to_le_bytes());
}

fn read_count(input: &mut Input<'_>) -> Result<usize> {
    usize::try_from(u64::from_le_bytes(input.take()?)).map_err(|_| damaged("a count is too large"))
}

/// Many items of at least `size` bytes each.
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

/// What ascends is in its one order.
fn ascending<T: Ord>(items: &[T]) -> Result<()> {
    if items.windows(2).all(|pair| pair[0] < pair[1]) { Ok(()) } else { Err(damaged("what it lists is out of order")) }
}

fn settings(settings: &Settings) -> Vec<u8> {
    let mut out = Vec::new();
    texts(&mut out, settings.keys.iter());
    count(&mut out, settings.values.len());
    for (name, values) in &settings.values {
        put_text(&mut out, name);
        texts(&mut out, values.iter());
    }
    out
}

fn read_settings(input: &mut Input<'_>) -> Result<Settings> {
    let keys = read_texts(input)?;
    let values = many(input, 12, |input| {
        let name = input.text()?.to_owned();
        let values = read_texts(input)?;
        ascending(&values)?;
        if values.is_empty() {
            return Err(damaged("a setting without a value"));
        }
        Ok((name, values.into_iter().collect::<BTreeSet<_>>()))
    })?;
    ascending(&values.iter().map(|(name, _)| name).collect::<Vec<_>>())?;
    Ok(Settings { keys, values: values.into_iter().collect() })
}

fn ledger(ledger: &Ledger) -> Vec<u8> {
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

fn read_ledger(input: &mut Input<'_>) -> Result<Ledger> {
    let files = many(input, 28, |input| {
        let source = Source {
            name: input.text()?.to_owned(),
            size: u64::from_le_bytes(input.take()?),
            footer_hash: u64::from_le_bytes(input.take()?),
        };
        let units = many(input, 28, |input| {
            let row_group = u32::from_le_bytes(input.take()?);
            let entry = Entry {
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
            return Err(damaged("a file of which nothing was counted"));
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

fn group_head(key: &Key, group: &Group) -> Vec<u8> {
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
    group.precisions.iter().for_each(|rows| out.extend(rows.to_le_bytes()));
    out
}

fn read_group_head(input: &mut Input<'_>, keys: usize) -> Result<(Key, Group)> {
    let key = input.many(keys, 2, Input::label)?;
    let mut number = || -> Result<u64> { Ok(u64::from_le_bytes(input.take()?)) };
    let (nulls, ignored, filtered) = (number()?, number()?, number()?);
    let nonfinite = many(input, 10, |input| Ok((input.label()?, u64::from_le_bytes(input.take()?))))?;
    ascending(&nonfinite.iter().map(|(label, _)| label).collect::<Vec<_>>())?;
    let mut precisions = [0; 3];
    for rows in &mut precisions {
        *rows = u64::from_le_bytes(input.take()?);
    }
    let all = nonfinite.iter().map(|(_, rows)| *rows).chain([nulls, ignored, filtered]).chain(precisions);
    let sum = all.into_iter().try_fold(0_u64, u64::checked_add);
    if sum.is_none() || nonfinite.iter().any(|(_, rows)| *rows == 0) {
        return Err(damaged("a count that cannot be"));
    }
    let skipped = Skipped { nulls, nonfinite: nonfinite.into_iter().collect(), ignored, filtered };
    Ok((key, Group { skipped, precisions, state: Vec::new() }))
}

fn plan(plan: &Unfinished) -> Result<Vec<u8>> {
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

/// Whole seconds, which may be before the epoch, and nanoseconds after them.
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

fn read_plan(input: &mut Input<'_>) -> Result<Unfinished> {
    let inputs = read_texts(input)?;
    let (part, parts) = (u32::from_le_bytes(input.take()?), u32::from_le_bytes(input.take()?));
    let shard = match (part, parts) {
        (0, 0) => None,
        (part, parts) if part < parts => Some((part, parts)),
        _ => return Err(damaged("a shard that cannot be")),
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
        let modified = modified.ok_or_else(|| damaged("a time that cannot be"))?;
        Ok(Planned { path, shown, name, keys: keys.into_iter().collect(), size, modified, footer_hash })
    })?;
    Ok(Unfinished { inputs, shard, files, damaged: damaged_files, units })
}
