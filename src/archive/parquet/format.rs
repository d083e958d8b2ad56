//! Parquet as a format of files.

use std::sync::Arc;

use super::file::{FOOTER_GROWTH, ParquetFile};
use super::footer_bytes::{ENCRYPTED, MAGIC, footer_length};
use super::parquet_bytes::ParquetBytes;
use crate::archive::container::{Container, Format};
use crate::archive::read_at::ReadAt;
use crate::error::Result;

/// The format.
#[derive(Debug)]
pub(in crate::archive) struct Parquet;

impl Format for Parquet {
    fn what(&self) -> &'static str {
        "a Parquet file"
    }

    fn precedence(&self) -> u8 {
        0
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["parquet", "pq", "parq"]
    }

    fn recognises(&self, head: &[u8], tail: &[u8]) -> bool {
        // One end alone is a file that was damaged.
        head.starts_with(MAGIC) || tail.ends_with(MAGIC) || tail.ends_with(ENCRYPTED)
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(footer_length(&ParquetBytes::new(bytes.clone()))?.saturating_mul(FOOTER_GROWTH))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        Ok(Arc::new(ParquetFile::open(&ParquetBytes::new(bytes.clone()))?))
    }
}
