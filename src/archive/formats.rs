//! The formats of files, told apart by what is in them.

use std::path::Path;
use std::sync::Arc;

use super::container::Format;
use super::ipc::{IpcFile, IpcStream};
use super::npy::{Npy, Npz};
use super::parquet::Parquet;
use super::pt::Pt;
use super::read_at::{ReadAt, read_exact_at};
use super::safetensors::Safetensors;
pub(super) use super::text::JSON_LINES;
use super::text::{Csv, JsonArray, JsonLines};
use crate::error::Result;
use crate::objects::without_query;

/// All formats; the first one says what is wrong with files of none.
const FORMATS: &[&dyn Format] = &[
    &Parquet,
    &Npy,
    &Npz,
    &Safetensors,
    &Pt,
    &IpcFile,
    &IpcStream,
    &JsonLines,
    &JsonArray,
    &Csv,
    #[cfg(test)]
    &super::rows_format::RowsFormat,
];

/// So many bytes from the beginning, and [`TAIL`] from the end, tell the format of a file.
pub(super) const HEAD: usize = 512;

/// So many bytes from the end.
pub(super) const TAIL: usize = 8;

/// The format of a file with these first and last bytes.
pub(super) fn recognise(head: &[u8], tail: &[u8]) -> Option<&'static dyn Format> {
    FORMATS.iter().find(|format| format.recognises(head, tail)).copied()
}

/// The format whose extension, in small letters, a file has: it is of that format whatever is in it.
pub(super) fn named(path: &Path) -> Option<&'static dyn Format> {
    let extension = without_query(path).extension()?.to_string_lossy().to_ascii_lowercase();
    FORMATS.iter().find(|format| format.extensions().contains(&&*extension)).copied()
}

/// The format of a file; one of none is left to the format of its name, or else to the first one, which refuses it.
pub(super) fn of(bytes: &Arc<dyn ReadAt>, path: &Path) -> Result<&'static dyn Format> {
    Ok(recognised(bytes)?.or_else(|| named(path)).unwrap_or(FORMATS[0]))
}

/// The format of a file by its first and last bytes.
pub(super) fn recognised(bytes: &Arc<dyn ReadAt>) -> Result<Option<&'static dyn Format>> {
    let size = bytes.size();
    let read = |from: u64, length: u64| -> Result<Vec<u8>> {
        let mut buffer = vec![0; length as usize];
        read_exact_at(&**bytes, from, &mut buffer)?;
        Ok(buffer)
    };
    let tail = size.min(TAIL as u64);
    Ok(recognise(&read(0, size.min(HEAD as u64))?, &read(size - tail, tail)?))
}
