//! The bytes of a state file.

use std::io::{Read, Write};

use crc32fast::Hasher;

use super::group::EncodedGroup;
use super::payload::{group_head, ledger, plan, provenance, read_group_head, read_ledger, read_plan, read_provenance};
use super::{Groups, Ledger, Provenance, StateFile, Unfinished};
use crate::archive::Key;
use crate::error::{Error, Result};
use crate::state::{self, Input};

/// A byte that no text has, the name, and line ends that a transfer as text would change.
pub(super) const MAGIC: &[u8; 8] = b"\x89NCST\r\n\n";

/// All versions up to this one are read. It counts rows of bf16 apart, and is written where there are some.
const VERSION: u16 = 3;

/// The version that is written else, and that of the states in both.
const STATE_VERSION: u16 = 2;

const SETTINGS: &[u8; 4] = b"SETS";
const LEDGER: &[u8; 4] = b"LEDG";
const PLAN: &[u8; 4] = b"PLAN";
const GROUP: &[u8; 4] = b"GRUP";
const END: &[u8; 4] = b"END.";

/// The error of a damaged file.
pub(super) fn damaged(detail: &str) -> Error {
    Error::data("the state file is damaged").with("detail", detail)
}

/// A section. Its payload is the head, followed by the body.
struct Section<'a> {
    kind: &'static [u8; 4],
    head: Vec<u8>,
    body: &'a [u8],
}

/// All sections of a file but the last one, which holds their number.
pub(super) struct Sections<'a> {
    version: u16,
    sections: Vec<Section<'a>>,
}

impl<'a> Sections<'a> {
    pub(super) fn of(file: &'a StateFile) -> Result<Self> {
        let whole = |kind, head| Section { kind, head, body: &[] };
        let mut sections = vec![whole(SETTINGS, provenance(&file.provenance)), whole(LEDGER, ledger(&file.ledger))];
        if let Some(unfinished) = &file.unfinished {
            sections.push(whole(PLAN, plan(unfinished)?));
        }
        let version = version_of(&file.groups);
        for (key, group) in &file.groups {
            let head = group_head(key, group, precisions(version));
            sections.push(Section { kind: GROUP, head, body: &group.state });
        }
        Ok(Self { version, sections })
    }

    /// How many bytes the file has.
    pub(super) fn len(&self) -> u64 {
        let lengths = self.sections.iter().map(|section| section.head.len() + section.body.len() + 16);
        lengths.sum::<usize>() as u64 + 14 + 20
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut start = MAGIC.to_vec();
        start.extend(self.version.to_le_bytes());
        let checksum = crc32fast::hash(&start);
        start.extend(checksum.to_le_bytes());
        out.write_all(&start)?;
        let end = Section { kind: END, head: (self.sections.len() as u32).to_le_bytes().to_vec(), body: &[] };
        for section in self.sections.iter().chain([&end]) {
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

/// The version that groups are written in: the oldest that can say what they hold.
fn version_of(groups: &Groups) -> u16 {
    if groups.values().any(|group| group.precisions.has_bf16()) { VERSION } else { STATE_VERSION }
}

/// By how many precisions files of a version count rows.
fn precisions(version: u16) -> usize {
    if version < VERSION { 3 } else { 4 }
}

/// Reads a file of `size` bytes.
pub(super) fn read(input: &mut dyn Read, size: u64) -> Result<StateFile> {
    let mut input = Reader { input, left: size };
    let start = input.fixed::<14>().map_err(|error| too_short(error, "it is shorter than its header"))?;
    if start[..8] != *MAGIC {
        return Err(Error::data("not a state file")
            .help("state files are what accumulate and merge write; nckit sql reads states in Parquet"));
    }
    if crc32fast::hash(&start[..10]).to_le_bytes() != start[10..] {
        return Err(damaged("the checksum of its header is wrong"));
    }
    let version = u16::from_le_bytes([start[8], start[9]]);
    if version == 0 || version > VERSION {
        return Err(Error::data("a state file of a newer version")
            .with("version", version)
            .with("known", VERSION)
            .help("read it with the nckit that wrote it, or a newer one"));
    }
    let mut sections = SectionsRead { version, ..SectionsRead::default() };
    let mut number = 0;
    loop {
        let (kind, payload) = input.section(number)?;
        if &kind == END {
            if payload != number.to_le_bytes() || input.left > 0 {
                return Err(damaged("its last section is not at its end"));
            }
            return sections.file();
        }
        sections.take(kind, payload)?;
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
struct SectionsRead {
    /// The version of the file. Every state in it has the same, up to [`STATE_VERSION`].
    version: u16,
    provenance: Option<Provenance>,
    ledger: Option<Ledger>,
    plan: Option<Unfinished>,
    groups: Groups,
}

impl SectionsRead {
    fn take(&mut self, kind: [u8; 4], mut payload: Vec<u8>) -> Result<()> {
        let disorder = || damaged("its sections are out of order");
        let mut input = Input::new(&payload);
        match &kind {
            SETTINGS if self.provenance.is_none() => self.provenance = Some(read_provenance(&mut input)?),
            LEDGER if self.provenance.is_some() && self.ledger.is_none() => {
                self.ledger = Some(read_ledger(&mut input)?);
            }
            PLAN if self.ledger.is_some() && self.plan.is_none() && self.groups.is_empty() => {
                self.plan = Some(read_plan(&mut input)?);
            }
            GROUP => {
                let keys = self.ledger.as_ref().and(self.provenance.as_ref()).ok_or_else(disorder)?.key_names().len();
                let (key, mut group) = read_group_head(&mut input, keys, precisions(self.version))?;
                if self.groups.last_key_value().is_some_and(|(last, _)| *last >= key) {
                    return Err(disorder());
                }
                let head = payload.len() - input.remaining();
                payload.drain(..head);
                group.state = payload;
                if group.is_empty() || group.state.is_empty() != (group.rows() == 0) {
                    return Err(damaged("a group has no rows"));
                }
                if !group.state.is_empty() {
                    if state::version(&group.state) != Some(self.version.min(STATE_VERSION)) {
                        return Err(damaged("a state has another version than the file's"));
                    }
                    // What is written later is of this version.
                    if self.version < STATE_VERSION {
                        group.state = state::renew(&group.state)?;
                    }
                }
                self.groups.insert(key, group);
                return Ok(());
            }
            _ => return Err(disorder()),
        }
        if input.is_empty() { Ok(()) } else { Err(damaged("a section has bytes behind its last item")) }
    }

    fn file(self) -> Result<StateFile> {
        let (Some(provenance), Some(ledger)) = (self.provenance, self.ledger) else {
            return Err(damaged("a section is missing"));
        };
        let file = StateFile { provenance, ledger, groups: self.groups, unfinished: self.plan };
        if self.version > version_of(&file.groups) {
            return Err(damaged("its version is newer than what it holds"));
        }
        let sum =
            |of: fn(&EncodedGroup) -> u64| file.groups.values().fold(0_u64, |sum, group| sum.saturating_add(of(group)));
        if file.ledger.rows() != (sum(EncodedGroup::rows), sum(|group| group.skipped.total())) {
            return Err(damaged("its groups and its ledger differ in their numbers of rows"));
        }
        let kinds = |key: &Key| key.iter().map(crate::batch::Label::kind).collect::<Vec<_>>();
        let first = file.groups.keys().next().map(kinds);
        if file.groups.keys().any(|key| Some(kinds(key)) != first) {
            return Err(damaged("its keys differ in type"));
        }
        Ok(file)
    }
}
