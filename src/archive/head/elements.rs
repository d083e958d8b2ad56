//! Numbers as they are stored.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use half::{bf16, f16};

use super::file::HeadFile;
use super::{damaged, unreadable};
use crate::error::{Error, Result};

/// The type of a stored number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    Bf16,
    F32,
    F64,
}

impl Element {
    /// Bytes of one.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Numbers in the type of their file: a vocabulary in bf16 would take four times its size as f64.
#[derive(Clone, Debug)]
pub(super) struct Elements {
    element: Element,
    /// Little-endian.
    bytes: Vec<u8>,
}

/// An array as it is stored.
#[derive(Debug)]
pub(super) struct Tensor {
    pub(super) shape: Vec<usize>,
    /// Whether the first index varies fastest.
    pub(super) column_major: bool,
    pub(super) elements: Elements,
}

impl Elements {
    /// From whole little-endian numbers.
    pub(super) fn new(element: Element, bytes: Vec<u8>) -> Self {
        Self { element, bytes }
    }

    /// Reads `len` bytes at `offset`, which the caller has compared with the length of the file.
    pub(super) fn read(element: Element, file: &mut HeadFile, path: &Path, offset: u64, len: usize) -> Result<Self> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| {
            Error::resource("there is not enough memory for the head").with("file", path.display()).with("bytes", len)
        })?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| unreadable(path, error))?;
        file.take(len as u64).read_to_end(&mut bytes).map_err(|error| unreadable(path, error))?;
        if bytes.len() != len {
            return Err(damaged(path, "it ends before its numbers do"));
        }
        Ok(Self { element, bytes })
    }

    /// The same numbers, had they been stored with the most significant byte first.
    pub(super) fn swapped(mut self) -> Self {
        self.bytes.chunks_exact_mut(self.element.size()).for_each(<[u8]>::reverse);
        self
    }

    /// The `index`-th number; exact, since f64 holds all of them.
    pub(super) fn get(&self, index: usize) -> f64 {
        match self.element {
            Element::F16 => f16::from_le_bytes(self.at(index)).to_f64(),
            Element::Bf16 => bf16::from_le_bytes(self.at(index)).to_f64(),
            Element::F32 => f32::from_le_bytes(self.at(index)).into(),
            Element::F64 => f64::from_le_bytes(self.at(index)),
        }
    }

    fn at<const SIZE: usize>(&self, index: usize) -> [u8; SIZE] {
        self.bytes.as_chunks().0[index]
    }
}
