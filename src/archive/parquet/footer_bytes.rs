//! Reads the bytes of a footer and hashes them.

use std::sync::Arc;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::Length as _;

use super::parquet_bytes::ParquetBytes;
use crate::archive::damage::{DAMAGED, damaged, guarded};
use crate::archive::fingerprint::fnv1a;
use crate::error::{Error, Result};

/// What stands at the end of a file.
#[derive(Debug)]
pub(super) struct Footer {
    pub(super) arrow: ArrowReaderMetadata,
    /// FNV-1a of its bytes.
    pub(super) hash: u64,
    /// Its bytes as stored.
    pub(super) bytes: u64,
}

/// The magic of Parquet, at both ends of a file.
pub(super) const MAGIC: &[u8; 4] = b"PAR1";

/// What encrypted files end with.
pub(super) const ENCRYPTED: &[u8; 4] = b"PARE";

/// The largest footer that is read; real ones take some hundred bytes for each column of each row group.
const FOOTER_LIMIT: u64 = 512 << 20;

/// The length of the footer, which lies within the file.
pub(super) fn footer_length(source: &ParquetBytes) -> Result<u64> {
    let size = source.len();
    if size < 12 {
        return Err(damaged(format!("{size} bytes are too few for a Parquet file")));
    }
    let tail = source.bytes(size - 8, 8)?;
    if tail[4..] == *ENCRYPTED {
        return Err(Error::data(DAMAGED).with("detail", "its footer is encrypted"));
    }
    if tail[4..] != *MAGIC {
        let begun = source.bytes(0, 4)? == MAGIC;
        return Err(damaged(if begun {
            "it ends before its footer: truncated"
        } else {
            "it is not Parquet: it does not end with PAR1"
        }));
    }
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if length > FOOTER_LIMIT || length > size - 12 {
        return Err(damaged(format!("the footer claims {length} bytes")));
    }
    Ok(length)
}

/// Reads the footer; every size in it is checked before it is used.
pub(super) fn read_footer(source: &ParquetBytes) -> Result<Footer> {
    let length = footer_length(source)?;
    let start = source.len() - 8 - length;
    let bytes = source.bytes(start, length)?;
    let metadata = super::footer::read(&bytes, start)?;
    // The embedded Arrow schema is where decoders break most often on damage, and reading does not need it.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let arrow = guarded(|| ArrowReaderMetadata::try_new(Arc::new(metadata), options))?;
    check_rows(arrow.metadata())?;
    Ok(Footer { arrow, hash: fnv1a(&bytes), bytes: length })
}

/// Checks that row counts are not negative and add up, and that all pages are in this file.
fn check_rows(metadata: &ParquetMetaData) -> Result<()> {
    let mut total = 0_u64;
    for (index, group) in metadata.row_groups().iter().enumerate() {
        let rows = u64::try_from(group.num_rows()).ok().and_then(|rows| total.checked_add(rows));
        total = rows.ok_or_else(|| damaged("a row count is negative or too large").with("row group", index))?;
        if group.columns().iter().any(|column| column.file_path().is_some()) {
            return Err(damaged("its columns lie in other files").with("row group", index));
        }
    }
    if u64::try_from(metadata.file_metadata().num_rows()) != Ok(total) {
        return Err(damaged("its row groups do not add up to its rows"));
    }
    Ok(())
}
