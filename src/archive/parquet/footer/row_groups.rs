//! What a footer says of its row groups and their columns.

use super::schema::FooterSchema;
use super::{Checked, DEPTH, Flaw, GROUPS_AT_ONCE, Outline, says};
use crate::archive::parquet::thrift::{BINARY, I16, I32, I64, LIST, STRUCT, Walker};

pub(super) fn row_groups(
    walker: &mut Walker<'_>,
    schema: &FooterSchema<'_>,
    end: u64,
    chunks: &mut Vec<(u64, u64)>,
) -> Checked<Outline> {
    let list = walker.at();
    let groups = walker.list(STRUCT)? as usize;
    let (mut cuts, mut has_zeros) = (Vec::new(), false);
    for group in 0..groups {
        if group.is_multiple_of(GROUPS_AT_ONCE) {
            cuts.push(walker.at());
        }
        has_zeros |= row_group(walker, schema, end, chunks).map_err(|flaw| match flaw {
            Flaw::Says(error) => Flaw::Says(error.with("row group", group)),
            flaw @ Flaw::Malformed => flaw,
        })?;
    }
    cuts.push(walker.at());
    Ok(Outline { groups, list, cuts, has_zeros })
}

/// Checks a row group. Returns whether a column says 0 for the place of its dictionary.
fn row_group(
    walker: &mut Walker<'_>,
    schema: &FooterSchema<'_>,
    end: u64,
    chunks: &mut Vec<(u64, u64)>,
) -> Checked<bool> {
    let (mut rows, mut most_values, mut found) = (None, None, false);
    let mut has_zeros = false;
    walker.fields(|walker, id, kind| -> Checked<()> {
        match (id, kind) {
            (1, LIST) => {
                if walker.list(STRUCT)? != schema.leaves.len() as u64 {
                    return says("a row group has more or fewer columns than the schema");
                }
                found = true;
                for &leaf in &schema.leaves {
                    let chunk = ChunkEntry::read(walker, schema, leaf)?;
                    has_zeros |= chunk.dictionary == Some(0);
                    chunks.push(chunk.range(end)?);
                    if !schema.elements[leaf].repeated && *most_values.get_or_insert(chunk.values) != chunk.values {
                        return says("its columns differ in their number of values");
                    }
                }
            }
            (3, I64) => rows = Some(walker.long()?),
            (2 | 5 | 6, I64) | (7, I16) => drop(walker.long()?),
            (4, LIST) => walker.skip_value(kind)?,
            (1..=7, _) => return Err(Flaw::Malformed),
            _ => walker.skip_value(kind)?,
        }
        Ok(())
    })?;
    let Some(rows) = rows.filter(|_| found) else { return Err(Flaw::Malformed) };
    if rows < 0 {
        return says("a row count is negative");
    }
    match most_values {
        Some(values) if values != rows => says(format_args!("a column claims {values} values for {rows} rows")),
        _ => Ok(has_zeros),
    }
}

/// What a row group says of a column.
#[derive(Default)]
struct ChunkEntry {
    values: i64,
    bytes: i64,
    data: i64,
    dictionary: Option<i64>,
}

impl ChunkEntry {
    fn read(walker: &mut Walker<'_>, schema: &FooterSchema<'_>, leaf: usize) -> Checked<Self> {
        let mut chunk = None;
        let mut placed = false;
        walker.fields(|walker, id, kind| -> Checked<()> {
            match (id, kind) {
                (2, I64) => {
                    placed = true;
                    walker.long()?;
                }
                (3, STRUCT) => chunk = Some(Self::read_metadata(walker, schema, leaf)?),
                (4 | 6, I64) => drop(walker.long()?),
                (5 | 7, I32) => drop(walker.int()?),
                (1, BINARY) => drop(walker.binary()?),
                (8 | 9, _) => return says("its columns are encrypted"),
                (1..=7, _) => return Err(Flaw::Malformed),
                _ => walker.skip_value(kind)?,
            }
            Ok(())
        })?;
        chunk.filter(|_| placed).ok_or(Flaw::Malformed)
    }

    fn read_metadata(walker: &mut Walker<'_>, schema: &FooterSchema<'_>, leaf: usize) -> Checked<Self> {
        // Those that every writer has to say.
        const REQUIRED: u32 = 0b10_1111_1110;
        let mut chunk = Self::default();
        let mut seen = 0_u32;
        walker.fields(|walker, id, kind| -> Checked<()> {
            if let known @ 0..32 = id {
                seen |= 1 << known;
            }
            match (id, kind) {
                (1, I32) => {
                    if Some(walker.int()?) != schema.elements[leaf].kind {
                        return says("a column has another type in the schema than in a row group");
                    }
                }
                (3, LIST) => {
                    let names = (0..walker.list(BINARY)?.min(DEPTH as u64 + 1))
                        .map(|_| walker.binary())
                        .collect::<std::result::Result<Vec<_>, _>>()?;
                    if !schema.is_path(leaf, &names) {
                        return says("a column has another name in the schema than in a row group");
                    }
                }
                (4 | 15, I32) => drop(walker.int()?),
                (5, I64) => chunk.values = walker.long()?,
                (7, I64) => chunk.bytes = walker.long()?,
                (9, I64) => chunk.data = walker.long()?,
                (11, I64) => chunk.dictionary = Some(walker.long()?),
                (6 | 10 | 14, I64) => drop(walker.long()?),
                (2 | 8 | 13, LIST) | (12 | 16 | 17, STRUCT) => walker.skip_value(kind)?,
                (1..=17, _) => return Err(Flaw::Malformed),
                _ => walker.skip_value(kind)?,
            }
            Ok(())
        })?;
        if seen & REQUIRED == REQUIRED { Ok(chunk) } else { Err(Flaw::Malformed) }
    }

    /// Where its pages are.
    fn range(&self, end: u64) -> Checked<(u64, u64)> {
        let start = self.dictionary.filter(|&start| start != 0).unwrap_or(self.data);
        let range = u64::try_from(start).ok().zip(u64::try_from(self.bytes).ok()).and_then(|(start, length)| {
            let last = start.checked_add(length)?;
            (last <= end).then_some((start, last))
        });
        let Some((start, last)) = range.filter(|_| self.values >= 0) else {
            return says("a column lies outside of the file");
        };
        // Some writers say of a column without values that its pages are anywhere.
        if self.values > 0 && start < last && !(start..last).contains(&u64::try_from(self.data).unwrap_or(u64::MAX)) {
            return says("the pages of a column lie outside of it");
        }
        Ok((start, last))
    }
}
