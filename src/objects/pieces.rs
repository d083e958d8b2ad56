//! Which ranges of an object are asked for, and when: what is going to be read is fetched ahead, in pieces, many at a time.

use std::collections::VecDeque;

use bytes::Bytes;

use super::READ_AHEAD;
use super::recent::SMALL;
use super::runtime::Pending;
use crate::error::Result;

/// The usual length of a piece; none is half as long again.
const PIECE: u64 = 4 << 20;

/// The least that is fetched: headers are read a few bytes at a time.
const LEAST: u64 = 64 << 10;

/// Bytes of pieces that are on their way or have not been read.
const WINDOW: u64 = 20 << 20;

/// Bytes of pieces that have been read, or that nobody announced: they are often read again.
const SPENT: u64 = READ_AHEAD - WINDOW;

/// Reads of more than this are fetched in several pieces at a time.
const LARGE: u64 = 1 << 20;

/// A request for a range.
pub(super) type Request = Pending<Result<Bytes>>;

/// A range that was asked for.
#[derive(Debug)]
struct Piece {
    start: u64,
    end: u64,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Coming(Request),
    Here(Bytes),
}

/// A range that will be read from its beginning to its end; what lies before `next` has been asked for.
#[derive(Debug)]
struct Stream {
    next: u64,
    end: u64,
    /// The length of its pieces, such that the last one is not a small rest.
    piece: u64,
}

/// The pieces of one object.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    size: u64,
    streams: Vec<Stream>,
    /// In the order in which they were asked for.
    asked: Vec<Piece>,
    spent: VecDeque<(u64, Bytes)>,
    /// The end of the last piece that nobody announced, and its length: if the next one follows, it is longer.
    last: (u64, u64),
}

impl Pieces {
    pub(super) fn new(size: u64) -> Self {
        Self { size, ..Self::default() }
    }

    /// Takes note of a range that will be read in order.
    pub(super) fn announce(&mut self, start: u64, end: u64) {
        let end = end.min(self.size);
        // A small object is fetched as a whole.
        if start < end && self.size > SMALL {
            let length = end - start;
            let piece = length.div_ceil(((length + PIECE / 2) / PIECE).max(1));
            self.streams.push(Stream { next: start, end, piece });
        }
    }

    /// Bytes from `offset` on, at least one, for a read of so many; `ask` makes requests of ranges.
    pub(super) fn bytes(
        &mut self,
        offset: u64,
        length: u64,
        ask: &mut dyn FnMut(u64, u64) -> Result<Request>,
    ) -> Result<Bytes> {
        if let Some(bytes) = self.spent(offset) {
            return Ok(bytes);
        }
        if self.size <= SMALL {
            let bytes = ask(0, self.size)?.wait().flatten()?;
            self.spend(0, bytes.clone());
            return Ok(bytes.slice(offset as usize..));
        }
        let at = match self.asked.iter().position(|piece| (piece.start..piece.end).contains(&offset)) {
            Some(at) => at,
            None => match self.streams.iter().position(|stream| (stream.next..stream.end).contains(&offset)) {
                Some(stream) => {
                    self.streams[stream].next = offset;
                    self.ask_for(stream, ask)?;
                    self.asked.len() - 1
                }
                None if length > LARGE => {
                    self.announce(offset, offset + length);
                    self.ask_for(self.streams.len() - 1, ask)?;
                    self.asked.len() - 1
                }
                None => return self.unannounced(offset, length, ask),
            },
        };
        // Others are asked for before this one is waited for.
        self.ask_ahead(ask)?;
        let piece = &mut self.asked[at];
        let bytes = match &piece.content {
            Content::Here(bytes) => bytes.clone(),
            Content::Coming(request) => match request.wait().flatten() {
                Ok(bytes) => bytes,
                Err(error) => {
                    self.asked.clear();
                    return Err(error);
                }
            },
        };
        piece.content = Content::Here(bytes.clone());
        let (start, end) = (piece.start, piece.end);
        if offset + length >= end {
            self.asked.swap_remove(at);
            self.spend(start, bytes.clone());
            self.ask_ahead(ask)?;
        }
        Ok(bytes.slice((offset - start) as usize..))
    }

    fn spent(&mut self, offset: u64) -> Option<Bytes> {
        let at = self.spent.iter().position(|(start, bytes)| (*start..start + bytes.len() as u64).contains(&offset))?;
        let (start, bytes) = self.spent.remove(at)?;
        let found = bytes.slice((offset - start) as usize..);
        self.spent.push_back((start, bytes));
        Some(found)
    }

    fn spend(&mut self, start: u64, bytes: Bytes) {
        let mut held: u64 = self.spent.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        while held + bytes.len() as u64 > SPENT {
            let Some((_, first)) = self.spent.pop_front() else { break };
            held -= first.len() as u64;
        }
        self.spent.push_back((start, bytes));
    }

    /// Fetches what nobody announced, with some of what lies around it.
    fn unannounced(
        &mut self,
        offset: u64,
        length: u64,
        ask: &mut dyn FnMut(u64, u64) -> Result<Request>,
    ) -> Result<Bytes> {
        let (end, before) = self.last;
        let step = if offset == end { (2 * before).min(PIECE) } else { LEAST };
        // Footers are read from their ends.
        let start = offset.min(self.size.saturating_sub(LEAST));
        let end = (offset + length.max(step)).min(self.size);
        let bytes = ask(start, end)?.wait().flatten()?;
        self.last = (end, end - start);
        self.spend(start, bytes.clone());
        Ok(bytes.slice((offset - start) as usize..))
    }

    fn held(&self) -> u64 {
        self.asked.iter().map(|piece| piece.end - piece.start).sum()
    }

    /// Asks for the next piece of a stream, a short one if much is on its way.
    fn ask_for(&mut self, stream: usize, ask: &mut dyn FnMut(u64, u64) -> Result<Request>) -> Result<()> {
        let has_room = self.held() + PIECE <= WINDOW;
        let Stream { next, end, piece } = &mut self.streams[stream];
        let most = if has_room { *piece } else { 4 * LEAST };
        let until = (*next + most).min(*end);
        let content = Content::Coming(ask(*next, until)?);
        self.asked.push(Piece { start: *next, end: until, content });
        *next = until;
        Ok(())
    }

    /// Asks for the next pieces of all streams, in turn, as long as there is room.
    fn ask_ahead(&mut self, ask: &mut dyn FnMut(u64, u64) -> Result<Request>) -> Result<()> {
        self.streams.retain(|stream| stream.next < stream.end);
        let mut stream = 0;
        while self.held() + PIECE <= WINDOW && !self.streams.is_empty() {
            stream %= self.streams.len();
            self.ask_for(stream, ask)?;
            if self.streams[stream].next == self.streams[stream].end {
                self.streams.remove(stream);
            } else {
                stream += 1;
            }
        }
        Ok(())
    }
}
