//! `.npy`: one array, features or labels.

use std::sync::Arc;

use super::header::{self, Header, MAGIC, pickled};
use crate::archive::arrays::{ArrayFile, Element, Place, StoredArray};
use crate::archive::container::{Container, FEATURE, Format, LABEL};
use crate::archive::damage::damaged;
use crate::archive::fingerprint::sampled;
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::error::Result;

/// The format.
#[derive(Debug)]
pub(in crate::archive) struct Npy;

/// Bytes of memory for a header.
const MEMORY: u64 = 16 << 10;

impl Format for Npy {
    fn what(&self) -> &'static str {
        "a NumPy array (.npy)"
    }

    fn precedence(&self) -> u8 {
        2
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["npy"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        head.starts_with(MAGIC)
    }

    fn memory(&self, _: &Arc<dyn ReadAt>) -> Result<u64> {
        Ok(MEMORY)
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        let header = read_header(&**bytes)?;
        if header.is_pickled() {
            return Err(pickled(&header, None));
        }
        let element = header.element();
        if let Some(element) = element {
            check_length(&header, element, bytes.size() - header.length)?;
        }
        let mut array = StoredArray {
            name: FEATURE.to_owned(),
            element,
            type_name: header.descr,
            shape: header.shape,
            column_major: header.column_major,
            place: Place::At(header.length),
        };
        if array.is_single() {
            LABEL.clone_into(&mut array.name);
        }
        Ok(Arc::new(ArrayFile::new(&[array], None, false, sampled(&**bytes)?)?))
    }
}

/// The header of a file.
pub(super) fn read_header(bytes: &dyn ReadAt) -> Result<Header> {
    let mut at = 0;
    header::read(|buffer| {
        read_exact_at(bytes, at, buffer)?;
        at += buffer.len() as u64;
        Ok(())
    })
}

/// Fails unless exactly `bytes` bytes follow a header.
pub(super) fn check_length(header: &Header, element: Element, bytes: u64) -> Result<()> {
    if header.content_bytes(element) == Some(bytes) {
        return Ok(());
    }
    let shape: Vec<String> = header.shape.iter().map(ToString::to_string).collect();
    let (shape, descr) = (shape.join(" × "), &header.descr);
    Err(damaged(format!("{bytes} bytes follow a header that says {shape} of type {descr}")))
}
