//! State files: states with the ledger of the row groups that were counted, in one file that is written whole or not at
//! all; and outputs, which are written in the same way.
//!
//! A state file is a sequence of sections, each with a checksum of its own. A finished one holds nothing of the run that
//! made it: no plan, shard, clock, time of writing or absolute path. Everything in it has one order and one encoding, so
//! equal work gives equal bytes. `docs/state-file.md` describes it for readers in other languages; `docs/read_state.py` is
//! such a reader.
//!
//! ```text
//! 89 'NCST' 0D 0A 0A   version u16   CRC-32 of the ten bytes before
//! section × n:         kind, 4 ASCII letters   length u64   payload   CRC-32 of kind, length and payload
//!
//! SETS   the conventions that decide the numbers: the names of the keys, then names with one or more values
//! LEDG   files (name below the input's root, size, hash of the footer), each with its row groups:
//!        number, rows used, rows skipped, digest of the rows
//! PLAN   only while unfinished: the planned files with path and time of writing, the inputs and the shard
//! GRUP   one for each group, in the order of their keys: key, skipped rows by reason, rows by precision, the state as
//!        `state` encodes it
//! END.   how many sections came before
//! ```
//!
//! Integers are little-endian; texts are a length `u32` and UTF-8. A state of 30,000 classes and 768 dimensions takes
//! 96 MB where classes have a few rows: 4 bytes a class and dimension, 5 from 128 rows a class on. The scatter matrix
//! of 768 dimensions is 2 to 4 MB of that.
//!
//! # Why not Arrow IPC or Parquet
//!
//! Both would let other tools read the integers as columns. But their writers change from release to release what they put
//! into a file (encodings, statistics, padding, their own name and version), so equal states would be equal bytes only
//! under one version of a library. Neither has a checksum over its metadata, and decoders of both take sizes from there
//! before anything is checked. A state file must refuse every flipped bit and keep its bytes for ever. So it has a
//! container of its own, of a hundred lines, and SQL reads it through a table provider.

mod failpoint;
mod filters;
mod format;
mod group;
mod ledger;
mod lock;
mod output;
mod payload;
mod plan;
mod provenance;
mod staged;
mod state_file;
mod temporary;

pub use filters::Filters;
pub use group::{EncodedGroup, GroupState, Groups, Precisions};
pub use ledger::{Ledger, LedgerEntry, SourceFile};
pub use lock::Lock;
pub use output::{Output, refuse_inputs, write_together, write_whole};
pub use plan::Unfinished;
pub use provenance::{BLOCK, Dealing, Difference, Provenance};
pub(crate) use provenance::{locate, or_none};
pub use staged::Staged;
pub use state_file::{Shape, StateFile};

/// The names of all files in a directory, sorted.
#[cfg(test)]
fn names(dir: &std::path::Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(dir).unwrap().map(name).collect();
    names.sort();
    names
}
