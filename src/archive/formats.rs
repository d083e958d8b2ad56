//! The formats of files, told apart by what is in them.

use std::sync::Arc;

use super::container::Format;
use super::parquet::Parquet;
use super::read_at::ReadAt;
use crate::error::{Error, Result};

/// All formats; the first one says what is wrong with files of none.
const FORMATS: &[&dyn Format] = &[
    &Parquet,
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

/// Whether files with an extension, in small letters, are data whatever is in them.
pub(super) fn is_named(extension: &str) -> bool {
    FORMATS.iter().any(|format| format.extensions().contains(&extension))
}

/// The format of a file; files of none are left to the first one, which refuses them.
pub(super) fn of(bytes: &Arc<dyn ReadAt>) -> Result<&'static dyn Format> {
    let size = bytes.size();
    let read = |from: u64, length: u64| -> Result<Vec<u8>> {
        let mut buffer = vec![0; length as usize];
        bytes.read_at(from, &mut buffer).map_err(|error| Error::io("cannot read").caused_by(error))?;
        Ok(buffer)
    };
    let tail = size.min(TAIL as u64);
    let found = recognise(&read(0, size.min(HEAD as u64))?, &read(size - tail, tail)?);
    Ok(found.unwrap_or(FORMATS[0]))
}
