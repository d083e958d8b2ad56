//! States as rows of a table, so that an engine can move them: each state is cut into blocks, a row each.
//!
//! Rows are sent in messages, and messages are bound to some megabytes; a state of many classes is larger.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, LargeBinaryArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;

use crate::error::{Error, Result};

/// Bytes of a block at most.
const BLOCK: usize = 4 << 20;

/// The columns of states on their way.
static BLOCKS: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![
        // Which states are merged with each other.
        Field::new("bucket", DataType::UInt32, false),
        // Which state the block is of.
        Field::new("state", DataType::UInt64, false),
        Field::new("block", DataType::UInt32, false),
        Field::new("blocks", DataType::UInt32, false),
        Field::new("bytes", DataType::LargeBinary, false),
    ]))
});

/// The columns of states on their way.
pub(super) fn schema() -> SchemaRef {
    BLOCKS.clone()
}

/// The number that a state has among others on their way, and the number of those with which it is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    pub(super) bucket: u32,
    pub(super) state: u64,
}

/// The blocks of a state, a batch each.
pub(super) fn blocks(ticket: Ticket, bytes: &[u8]) -> Result<Vec<RecordBatch>> {
    let pieces: Vec<&[u8]> = bytes.chunks(BLOCK).collect();
    let count = u32::try_from(pieces.len()).map_err(|_| Error::resource("a state is too large to be sent"))?;
    let batch = |(at, piece): (usize, &&[u8])| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(vec![ticket.bucket])),
            Arc::new(UInt64Array::from(vec![ticket.state])),
            Arc::new(UInt32Array::from(vec![at as u32])),
            Arc::new(UInt32Array::from(vec![count])),
            Arc::new(LargeBinaryArray::from(vec![*piece])),
        ];
        RecordBatch::try_new(schema(), columns)
            .map_err(|error| Error::internal("cannot build a block of a state").caused_by(error))
    };
    pieces.iter().enumerate().map(batch).collect()
}

/// Blocks that have come, of states that are not complete.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pending: BTreeMap<u64, Pending>,
}

#[derive(Debug)]
struct Pending {
    blocks: Vec<Option<Vec<u8>>>,
    missing: usize,
}

impl Assembly {
    /// Takes the rows of a batch; returns the states that they complete.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for rows of another form, or a block that came before.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<Vec<(Ticket, Vec<u8>)>> {
        let broken = || Error::data("a block of a state is damaged");
        let [bucket, state, block, blocks, bytes] = batch.columns() else { return Err(broken()) };
        let numbers = |column: &ArrayRef| column.as_primitive_opt::<UInt32Type>().cloned().ok_or_else(broken);
        let (buckets, at, counts) = (numbers(bucket)?, numbers(block)?, numbers(blocks)?);
        let states = state.as_primitive_opt::<UInt64Type>().ok_or_else(broken)?;
        let bytes = bytes.as_binary_opt::<i64>().ok_or_else(broken)?;
        let mut complete = Vec::new();
        for row in 0..batch.num_rows() {
            let (state, at, count) = (states.value(row), at.value(row) as usize, counts.value(row) as usize);
            let empty = || Pending { blocks: vec![None; count], missing: count };
            let pending = self.pending.entry(state).or_insert_with(empty);
            if pending.blocks.len() != count || pending.blocks.get(at).is_none_or(Option::is_some) {
                return Err(Error::data("a block of a state came twice").with("state", state).with("block", at));
            }
            pending.blocks[at] = Some(bytes.value(row).to_vec());
            pending.missing -= 1;
            if pending.missing == 0
                && let Some(pending) = self.pending.remove(&state)
            {
                let ticket = Ticket { bucket: buckets.value(row), state };
                complete.push((ticket, pending.blocks.into_iter().flatten().flatten().collect()));
            }
        }
        Ok(complete)
    }

    /// Fails if a block has not come.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) with the state.
    pub(super) fn finish(&self) -> Result<()> {
        match self.pending.first_key_value() {
            None => Ok(()),
            Some((state, pending)) => {
                Err(Error::io("a state came in part").with("state", state).with("blocks missing", pending.missing))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_put_together_whatever_the_order_of_their_blocks() {
        let ticket = |state| Ticket { bucket: 3, state };
        let long: Vec<u8> = (0..2 * BLOCK + 5).map(|at| (at % 251) as u8).collect();
        let mut batches = blocks(ticket(0), &long).unwrap();
        batches.extend(blocks(ticket(1), b"short").unwrap());
        assert_eq!(batches.len(), 4);
        let mut assembly = Assembly::default();
        let mut complete = Vec::new();
        for batch in batches.iter().rev() {
            complete.extend(assembly.take(batch).unwrap());
        }
        assembly.finish().unwrap();
        assert_eq!(complete, [(ticket(1), b"short".to_vec()), (ticket(0), long)]);
    }

    #[test]
    fn blocks_that_are_missing_or_come_twice_are_errors() {
        let batches = blocks(Ticket { bucket: 0, state: 7 }, &vec![1; BLOCK + 1]).unwrap();
        let mut assembly = Assembly::default();
        assert!(assembly.take(&batches[0]).unwrap().is_empty());
        assert_eq!(assembly.finish().unwrap_err().fact("blocks missing"), Some("1"));
        assert!(assembly.take(&batches[0]).is_err());
    }
}
