//! Checks a footer against itself before it is decoded.
//!
//! Footers have no checksum, and a decoder would not notice a flipped bit. But types and names are stored in the schema and
//! again with every column of every row group, counts and offsets have to agree, and no list can be longer than its bytes.

mod row_groups;
mod schema;

use std::fmt::Display;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};

use self::row_groups::row_groups;
use self::schema::FooterSchema;
use super::thrift::{self, I32, I64, LIST, Malformed, STRUCT, Walker};
use crate::archive::damage::{damaged, guarded};
use crate::error::{Error, Result};

/// How deep schemas may be nested: vectors take two levels, and decoders call themselves for each.
const DEPTH: usize = 64;

/// Row groups that Parquet's decoder takes at once: it numbers them with 16 bits.
const GROUPS_AT_ONCE: usize = 1 << 15;

/// Where the row groups of a footer are.
struct Outline {
    /// How many there are.
    groups: usize,
    /// The byte at which their list begins, its head included.
    list: usize,
    /// The bytes at which every [`GROUPS_AT_ONCE`]th of them begins, and where the last one ends.
    cuts: Vec<usize>,
    /// Whether a column says 0 for the place of its dictionary, as old writers do of a column without one.
    has_zeros: bool,
}

/// What is wrong with a footer.
enum Flaw {
    Malformed,
    /// It contradicts itself.
    Says(Error),
}

impl From<Malformed> for Flaw {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

type Checked<T> = std::result::Result<T, Flaw>;

fn says<T>(detail: impl Display) -> Checked<T> {
    Err(Flaw::Says(damaged(detail)))
}

/// Reads the footer of a file whose pages end before byte `end`.
///
/// # Errors
///
/// [`Data`](crate::error::ErrorKind::Data) if it is malformed or contradicts itself.
pub(super) fn read(bytes: &[u8], end: u64) -> Result<ParquetMetaData> {
    let outline = outline(bytes, end).map_err(|flaw| match flaw {
        Flaw::Malformed => damaged("the footer is malformed"),
        Flaw::Says(error) => error,
    })?;
    let decode = |bytes: &[u8]| guarded(|| ParquetMetaDataReader::decode_metadata(bytes));
    if outline.groups <= GROUPS_AT_ONCE {
        let metadata = decode(bytes)?;
        if !outline.has_zeros {
            return Ok(metadata);
        }
        let mut metadata = metadata.into_builder();
        let groups = metadata.take_row_groups().into_iter().map(without_zeros).collect::<Result<_>>()?;
        return Ok(metadata.set_row_groups(groups).build());
    }
    // Decodes several footers, each with as many row groups as can be numbered.
    let (before, after) = (&bytes[..outline.list], &bytes[outline.cuts[outline.cuts.len() - 1]..]);
    let (mut whole, mut groups) = (None, Vec::with_capacity(outline.groups));
    for part in outline.cuts.windows(2) {
        let count = (outline.groups - groups.len()).min(GROUPS_AT_ONCE);
        let part = [before, &thrift::list_head(STRUCT, count as u64), &bytes[part[0]..part[1]], after].concat();
        let mut part = decode(&part)?.into_builder();
        for group in part.take_row_groups() {
            groups.push(if outline.has_zeros { without_zeros(group)? } else { group });
        }
        whole = Some(part);
    }
    whole.map(|whole| whole.set_row_groups(groups).build()).ok_or_else(|| damaged("the footer is malformed"))
}

/// The same row group, in which a dictionary at 0 is none.
fn without_zeros(group: RowGroupMetaData) -> Result<RowGroupMetaData> {
    let mut group = group.into_builder();
    let column = |column: ColumnChunkMetaData| match column.dictionary_page_offset() {
        Some(0) => column.into_builder().set_dictionary_page_offset(None).build(),
        _ => Ok(column),
    };
    let columns = group.take_columns().into_iter().map(column).collect::<std::result::Result<_, _>>();
    columns.and_then(|columns| group.set_column_metadata(columns).build()).map_err(damaged)
}

fn outline(bytes: &[u8], end: u64) -> Checked<Outline> {
    let mut walker = Walker::new(bytes);
    let mut schema = None;
    let mut outline = None;
    let mut chunks = Vec::new();
    walker.fields(|walker, id, kind| {
        match (id, kind) {
            (1, I32) => drop(walker.int()?),
            (2, LIST) => schema = Some(FooterSchema::read(walker)?),
            (3, I64) => drop(walker.long()?),
            (4, LIST) => {
                let Some(schema) = &schema else { return Err(Flaw::Malformed) };
                outline = Some(row_groups(walker, schema, end, &mut chunks)?);
            }
            (1..=4, _) => return Err(Flaw::Malformed),
            _ => walker.skip_value(kind)?,
        }
        Ok(())
    })?;
    if walker.at() != bytes.len() || walker.is_odd() {
        return Err(Flaw::Malformed);
    }
    chunks.sort_unstable();
    if chunks.array_windows().any(|[a, b]| a.1 > b.0) {
        return says("two columns lie in the same bytes");
    }
    outline.ok_or(Flaw::Malformed)
}

#[cfg(test)]
mod tests;
