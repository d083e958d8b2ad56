//! Reading a unit, chunk by chunk.

use super::{Archive, Decoded};
use crate::error::Result;

/// A unit being read.
#[derive(Debug)]
pub struct UnitReader<'a> {
    #[expect(dead_code, reason = "signatures first")]
    archive: &'a Archive,
}

impl UnitReader<'_> {
    /// The next chunk; `None` after the last one, when the file has been found unchanged.
    #[expect(clippy::should_implement_trait, reason = "an iterator could not fail once and end")]
    pub fn next(&mut self) -> Result<Option<Decoded>> {
        Ok(None)
    }
}
