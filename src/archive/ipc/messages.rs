//! The messages of a file: its schema, and where dictionaries and record batches lie.

use arrow::datatypes::Schema;
use arrow_ipc::convert::fb_to_schema;
use arrow_ipc::{Endianness, Message, MessageHeader, MetadataVersion, RecordBatch, root_as_footer, root_as_message};

use crate::archive::damage::{damaged, guarded};
use crate::archive::fingerprint::fnv1a;
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::{Error, Result};

/// What a file with a footer begins and ends with.
pub(super) const MAGIC: &[u8; 6] = b"ARROW1";

/// What each message begins with.
pub(super) const CONTINUATION: [u8; 4] = [0xff; 4];

/// The longest description of a message; wide schemas take the most.
const METADATA_LIMIT: u64 = 64 << 20;

/// The schema of a file, and its messages.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) schema: Schema,
    /// The number of the dictionary of each column that has one.
    pub(super) dictionary_ids: Vec<Option<i64>>,
    /// Whether unions have no nulls of their own.
    pub(super) is_v5: bool,
    /// A hash of the schema's bytes.
    pub(super) hash: u64,
    /// In the order of the file.
    pub(super) dictionaries: Vec<Block>,
    /// Whether a batch knows those dictionaries alone that stand before it. That is so in a stream, which may replace them;
    /// a file has one for all batches, anywhere.
    pub(super) is_stream: bool,
    pub(super) batches: Vec<Block>,
}

/// A message with rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block {
    /// Its description.
    pub(super) start: u64,
    pub(super) length: u64,
    /// Its buffers.
    pub(super) body: u64,
    pub(super) body_length: u64,
    pub(super) rows: u64,
    pub(super) is_compressed: bool,
}

/// Where a message begins, and its description.
struct Found {
    start: u64,
    metadata: Vec<u8>,
    body: u64,
}

/// Reads the description of the message at `at`; `None` is the mark at the end of a stream, which has to end the file.
fn message(bytes: &dyn ReadAt, at: u64) -> Result<Option<Found>> {
    let size = bytes.size();
    if at == size {
        return Err(damaged("it ends without the mark that ends a stream: truncated"));
    }
    let mut word = [0; 4];
    read_exact_at(bytes, at, &mut word)?;
    // Files of the first versions have no mark before the length.
    let mut start = at + 4;
    if word == CONTINUATION {
        read_exact_at(bytes, start, &mut word)?;
        start += 4;
    }
    let length = u64::from(u32::from_le_bytes(word));
    if length == 0 {
        return match size - start {
            0 => Ok(None),
            more => Err(damaged(format!("{more} bytes follow the end of its stream"))
                .help("write one stream to a file: the rows behind its end would not be read")),
        };
    }
    let body = start.checked_add(length).filter(|&body| body <= size && length <= METADATA_LIMIT);
    let body = body.ok_or_else(|| damaged(format!("a message claims {length} bytes")))?;
    let mut metadata = vec![0; length as usize];
    read_exact_at(bytes, start, &mut metadata)?;
    Ok(Some(Found { start, metadata, body }))
}

/// A description as the message that it is.
pub(super) fn parsed(metadata: &[u8]) -> Result<Message<'_>> {
    root_as_message(metadata).map_err(|error| damaged(format!("a message: {error}")))
}

/// The record batch that a message or a dictionary is.
pub(super) fn record_batch<'a>(message: &Message<'a>) -> Result<RecordBatch<'a>> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()),
        _ => None,
    };
    batch.ok_or_else(|| damaged("a message is not the record batch that it should be"))
}

impl Block {
    /// `has_columns` says whether the batch has to have some.
    fn of(found: &Found, message: &Message<'_>, size: u64, has_columns: bool) -> Result<Self> {
        let body_length = u64::try_from(message.bodyLength()).ok();
        let body_length = body_length.filter(|length| found.body.checked_add(*length).is_some_and(|end| end <= size));
        let body_length =
            body_length.ok_or_else(|| damaged(format!("a message claims {} bytes", message.bodyLength())))?;
        let batch = record_batch(message)?;
        let of_column = batch.nodes().filter(|nodes| !nodes.is_empty()).map(|nodes| nodes.get(0).length());
        if has_columns && of_column != Some(batch.length()) {
            return Err(damaged("a batch has not as many rows as its columns"));
        }
        Ok(Self {
            start: found.start,
            length: found.metadata.len() as u64,
            body: found.body,
            body_length,
            rows: u64::try_from(batch.length()).map_err(|_| damaged("a row count is negative"))?,
            is_compressed: batch.compression().is_some(),
        })
    }

    /// Its description, read again.
    pub(super) fn metadata(&self, bytes: &dyn ReadAt) -> Result<Vec<u8>> {
        let mut metadata = vec![0; self.length as usize];
        read_exact_at(bytes, self.start, &mut metadata)?;
        Ok(metadata)
    }
}

fn schema(schema: arrow_ipc::Schema<'_>) -> Result<(Schema, Vec<Option<i64>>)> {
    if schema.endianness() != Endianness::Little {
        return Err(Error::data("Arrow IPC files with the most significant byte first are not read"));
    }
    // It may panic on damaged bytes.
    let read = guarded(|| Ok::<_, String>(fb_to_schema(schema)))?;
    let id = |field: arrow_ipc::Field<'_>| field.dictionary().map(|dictionary| dictionary.id());
    let ids: Vec<Option<i64>> = schema.fields().iter().flatten().map(id).collect();
    if ids.len() != read.fields().len() {
        return Err(damaged("its schema is broken"));
    }
    Ok((read, ids))
}

impl Messages {
    /// The messages that the footer of a file lists.
    pub(super) fn of_file(bytes: &dyn ReadAt) -> Result<Self> {
        let size = bytes.size();
        let mut tail = [0; 10];
        let cut = || damaged("it ends before its footer: truncated");
        read_exact_at(bytes, size.checked_sub(18).ok_or_else(cut)? + 8, &mut tail)?;
        if tail[4..] != *MAGIC {
            return Err(cut());
        }
        let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
        if length > METADATA_LIMIT || length > size - 18 {
            return Err(damaged(format!("the footer claims {length} bytes")));
        }
        let mut footer = vec![0; length as usize];
        read_exact_at(bytes, size - 10 - length, &mut footer)?;
        let hash = fnv1a(&footer);
        let footer = root_as_footer(&footer).map_err(|error| damaged(format!("its footer: {error}")))?;
        let written = footer.schema().ok_or_else(|| damaged("its footer has no schema"))?;
        let block = |block: &arrow_ipc::Block| {
            let at = u64::try_from(block.offset()).ok().filter(|&at| at < size);
            let at = at.ok_or_else(|| damaged("a batch lies outside of the file"))?;
            let found = message(bytes, at)?.ok_or_else(|| damaged("a batch is not where the footer says"))?;
            let has_columns = written.fields().is_some_and(|fields| !fields.is_empty());
            Block::of(&found, &parsed(&found.metadata)?, size, has_columns)
        };
        let dictionaries = footer.dictionaries().iter().flatten().map(block).collect::<Result<_>>()?;
        let batches = footer.recordBatches().iter().flatten().map(block).collect::<Result<_>>()?;
        let (schema, dictionary_ids) = schema(written)?;
        Ok(Self {
            schema,
            dictionary_ids,
            is_v5: footer.version() == MetadataVersion::V5,
            hash,
            dictionaries,
            is_stream: false,
            batches,
        })
    }

    /// The messages of a stream, one after the other.
    pub(super) fn of_stream(bytes: &dyn ReadAt) -> Result<Self> {
        let size = bytes.size();
        let found = message(bytes, 0)?.ok_or_else(|| damaged("it is a stream without a schema"))?;
        let first = parsed(&found.metadata)?;
        let written = first.header_as_schema().ok_or_else(|| damaged("it is a stream without a schema"))?;
        let (schema, dictionary_ids) = schema(written)?;
        let mut messages = Self {
            schema,
            dictionary_ids,
            is_v5: first.version() == MetadataVersion::V5,
            hash: fnv1a(&found.metadata),
            dictionaries: Vec::new(),
            is_stream: true,
            batches: Vec::new(),
        };
        let mut at = found.body;
        while let Some(found) = message(bytes, at)? {
            let header = parsed(&found.metadata)?;
            let block = Block::of(&found, &header, size, !messages.schema.fields().is_empty())?;
            match header.header_type() {
                MessageHeader::DictionaryBatch => messages.dictionaries.push(block),
                _ => messages.batches.push(block),
            }
            at = block.body + block.body_length;
        }
        Ok(messages)
    }
}
