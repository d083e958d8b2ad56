//! The two formats: with a footer that lists the batches, and without.

use std::sync::Arc;

use super::file::ArrowFile;
use super::messages::{CONTINUATION, MAGIC, Messages};
use crate::archive::container::{Container, Format};
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::Result;

/// A file with a footer, as Feather is.
#[derive(Debug)]
pub(in crate::archive) struct IpcFile;

/// A stream, saved to a file.
#[derive(Debug)]
pub(in crate::archive) struct IpcStream;

/// Bytes of memory for the schema and, for each MiB of a file, its batches.
const MEMORY: u64 = 1 << 20;
const MEMORY_OF_MIB: u64 = 1 << 10;

fn memory(bytes: &Arc<dyn ReadAt>) -> u64 {
    MEMORY + (bytes.size() >> 20) * MEMORY_OF_MIB
}

impl Format for IpcFile {
    fn what(&self) -> &'static str {
        "an Arrow IPC file (Feather)"
    }

    fn precedence(&self) -> u8 {
        1
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["arrow", "feather", "ipc"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(memory(bytes))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        // Streams of the first versions begin without a mark, and only the name says that they are Arrow.
        let mut head = [0; MAGIC.len()];
        let has_head = bytes.size() >= head.len() as u64;
        if has_head {
            read_exact_at(&**bytes, 0, &mut head)?;
        }
        let messages = match Messages::of_file(&**bytes) {
            Err(error) if has_head && head != *MAGIC => Messages::of_stream(&**bytes).map_err(|_| error)?,
            messages => messages?,
        };
        Ok(Arc::new(ArrowFile::open(bytes, messages)?))
    }
}

impl Format for IpcStream {
    fn what(&self) -> &'static str {
        "an Arrow IPC stream"
    }

    fn precedence(&self) -> u8 {
        1
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["arrows"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        head.starts_with(&CONTINUATION)
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(memory(bytes))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        Ok(Arc::new(ArrowFile::open(bytes, Messages::of_stream(&**bytes)?)?))
    }
}
