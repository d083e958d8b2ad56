//! Arrow IPC: files (Feather) and streams, as `datasets` of Hugging Face are saved.
//!
//! Record batches can be any number of rows, so units are not batches: they are the rows of a chunk, [`chunk_rows`], or of the
//! largest batch if batches are compressed, rounded up to a power of two. What a unit needs of a batch is read in place.
//!
//! [`chunk_rows`]: crate::archive::chunk_rows

mod arrays;
mod buffers;
mod file;
mod format;
mod layout;
mod messages;
mod vectors;

pub(super) use format::{IpcFile, IpcStream};
