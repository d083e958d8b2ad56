//! Lines of labels: each line is a record of one field, and an empty line is a record without a value.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Result};

use super::bytes::{BUFFER, TextBytes};
use super::records::Place;

/// Lines, and the one in hand. Empty lines at the end of the text do not count.
pub(super) struct Lines {
    reader: BufReader<TextBytes>,
    /// Where the reader stands.
    at: Place,
    /// The beginnings of empty lines which a line with a label follows.
    empty: VecDeque<Place>,
    /// The line that follows them, and where it begins.
    ahead: Option<Place>,
    text: Vec<u8>,
    /// Whether the record in hand is an empty line.
    is_empty: bool,
}

impl Lines {
    pub(super) fn new(text: TextBytes, place: Place) -> Self {
        let reader = BufReader::with_capacity(BUFFER, text);
        Self { reader, at: place, empty: VecDeque::new(), ahead: None, text: Vec::new(), is_empty: true }
    }

    /// Goes on to the next line; `false` after the last one that is not empty.
    pub(super) fn next(&mut self) -> Result<bool> {
        if self.empty.is_empty() && self.ahead.is_none() {
            self.look_ahead()?;
        }
        self.is_empty = self.ahead.is_some() && self.empty.pop_front().is_some();
        Ok(self.is_empty || self.ahead.take().is_some())
    }

    /// Reads on to the next line that is not empty.
    fn look_ahead(&mut self) -> Result<()> {
        loop {
            let begin = self.at;
            self.text.clear();
            self.reader.get_mut().begin_record();
            if !self.read_line()? {
                self.empty.clear();
                return Ok(());
            }
            if !self.text.is_empty() {
                self.ahead = Some(begin);
                return self.unquote();
            }
            self.empty.push_back(begin);
        }
    }

    /// Adds the next line, without what ends it; `false` at the end of the text.
    fn read_line(&mut self) -> Result<bool> {
        let mut is_any = false;
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(is_any);
            }
            is_any = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let length = end.unwrap_or(buffer.len());
            self.text.extend_from_slice(&buffer[..length]);
            let Some(end) = end else {
                self.pass(length);
                continue;
            };
            let is_return = buffer[end] == b'\r';
            self.pass(end + 1);
            if is_return && self.reader.fill_buf()?.first() == Some(&b'\n') {
                self.pass(1);
            }
            self.at.line += 1;
            return Ok(true);
        }
    }

    fn pass(&mut self, bytes: usize) {
        self.reader.consume(bytes);
        self.at.byte += bytes as u64;
    }

    /// Takes the quotes off a label that begins with one. It may go on over several lines, and two quotes in it are one.
    fn unquote(&mut self) -> Result<()> {
        if self.text.first() != Some(&b'"') {
            return Ok(());
        }
        let (mut label, mut at) = (Vec::new(), 1);
        loop {
            match (self.text.get(at).copied(), self.text.get(at + 1)) {
                (Some(b'"'), Some(b'"')) => {
                    label.push(b'"');
                    at += 2;
                }
                (Some(b'"'), _) => {
                    label.extend_from_slice(&self.text[at + 1..]);
                    break;
                }
                (Some(byte), _) => {
                    label.push(byte);
                    at += 1;
                }
                (None, _) => {
                    self.text.push(b'\n');
                    if !self.read_line()? {
                        label.push(b'\n');
                        break;
                    }
                }
            }
        }
        self.text = label;
        Ok(())
    }

    /// The label of the line in hand.
    pub(super) fn label(&self) -> &[u8] {
        if self.is_empty { &[] } else { &self.text }
    }

    /// Where the next line begins.
    pub(super) fn place(&self) -> Place {
        self.empty.front().copied().or(self.ahead).unwrap_or(self.at)
    }
}
