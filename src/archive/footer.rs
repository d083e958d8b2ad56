//! What a footer says twice, compared: a decoder takes one of the two, and a flipped bit in it would go unseen.
//!
//! The footer has no checksum in any file. But types and names stand in the schema and again with every column of every
//! row group, counts and places have to agree with each other, and nothing may be nested deeper, or claim to hold more,
//! than there are bytes for. This is looked at before anything is built.

use std::fmt::Display;

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::source::{damaged, guarded};
use super::thrift::{self, BINARY, I16, I32, I64, LIST, Malformed, STRUCT, Walker};
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
}

/// Why a footer is none.
enum Flaw {
    Malformed,
    /// What it says cannot be.
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
/// [`Data`](crate::error::ErrorKind::Data) if it is none, or contradicts itself.
pub(super) fn read(bytes: &[u8], end: u64) -> Result<ParquetMetaData> {
    let outline = outline(bytes, end).map_err(|flaw| match flaw {
        Flaw::Malformed => damaged("the footer is malformed"),
        Flaw::Says(error) => error,
    })?;
    let decode = |bytes: &[u8]| guarded(|| ParquetMetaDataReader::decode_metadata(bytes));
    if outline.groups <= GROUPS_AT_ONCE {
        return decode(bytes);
    }
    // A footer of so many row groups as can be numbered, over and over.
    let (before, after) = (&bytes[..outline.list], &bytes[outline.cuts[outline.cuts.len() - 1]..]);
    let (mut whole, mut groups) = (None, Vec::with_capacity(outline.groups));
    for part in outline.cuts.windows(2) {
        let count = (outline.groups - groups.len()).min(GROUPS_AT_ONCE);
        let part = [before, &thrift::list_head(STRUCT, count as u64), &bytes[part[0]..part[1]], after].concat();
        let mut part = decode(&part)?.into_builder();
        groups.extend(part.take_row_groups());
        whole = Some(part);
    }
    whole.map(|whole| whole.set_row_groups(groups).build()).ok_or_else(|| damaged("the footer is malformed"))
}

fn outline(bytes: &[u8], end: u64) -> Checked<Outline> {
    let mut walker = Walker::new(bytes);
    let mut schema = None;
    let mut outline = None;
    let mut chunks = Vec::new();
    walker.fields(|walker, id, kind| {
        match (id, kind) {
            (1, I32) => drop(walker.int()?),
            (2, LIST) => schema = Some(Schema::read(walker)?),
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

/// The columns that the schema tells of.
struct Schema<'a> {
    elements: Vec<Element<'a>>,
    /// Which elements are columns.
    leaves: Vec<usize>,
}

#[derive(Default)]
struct Element<'a> {
    name: &'a [u8],
    parent: usize,
    /// How many names lead to it, its own included.
    depth: usize,
    kind: Option<i32>,
    length: i32,
    repetition: Option<i32>,
    children: i32,
    converted: Option<i32>,
    logical: Option<Logical>,
    /// Whether it has the digits of a decimal.
    decimal: bool,
    /// Whether it or something around it is repeated.
    repeated: bool,
}

/// Parquet's numbers of types.
const FIXED_LEN_BYTE_ARRAY: i32 = 7;

/// Parquet's number of a repetition.
const REPEATED: i32 = 2;

impl<'a> Schema<'a> {
    fn read(walker: &mut Walker<'a>) -> Checked<Self> {
        let mut schema = Self { elements: Vec::new(), leaves: Vec::new() };
        let count = walker.list(STRUCT)?;
        // Those around the next element, and how many children of each are to come.
        let mut open: Vec<(usize, i32)> = Vec::new();
        for at in 0..count as usize {
            let mut element = Element::read(walker)?;
            if let Some((parent, left)) = open.last_mut() {
                *left -= 1;
                let around = &schema.elements[*parent];
                (element.parent, element.depth) = (*parent, around.depth + 1);
                if !matches!(element.repetition, Some(0..=REPEATED)) {
                    return says("a column says neither that it may be null nor that it may not");
                }
                element.repeated = around.repeated || element.repetition == Some(REPEATED);
            } else if at > 0 {
                return says("its schema has two roots");
            }
            if element.children < 0 || element.children as u64 >= count - at as u64 {
                let claim = element.children;
                return says(format_args!(
                    "its schema claims {claim} columns where there are {}",
                    count - at as u64 - 1
                ));
            }
            if element.depth > DEPTH {
                return says(format_args!("its schema is nested more than {DEPTH} deep"));
            }
            element.check_meaning()?;
            if element.children > 0 || at == 0 {
                if element.kind.is_some() {
                    return says("a column has a type and columns within");
                }
                open.push((at, element.children));
            } else {
                element.check_column()?;
                schema.leaves.push(at);
            }
            schema.elements.push(element);
            while open.last().is_some_and(|&(_, left)| left == 0) {
                open.pop();
            }
        }
        if open.is_empty() { Ok(schema) } else { says("its schema ends before its columns") }
    }

    /// Whether these names lead to the column.
    fn is_path(&self, leaf: usize, names: &[&[u8]]) -> bool {
        let mut at = leaf;
        names.len() == self.elements[leaf].depth
            && names.iter().rev().all(|&name| {
                let element = &self.elements[at];
                at = element.parent;
                element.name == name
            })
    }
}

impl<'a> Element<'a> {
    fn read(walker: &mut Walker<'a>) -> Checked<Self> {
        let mut element = Self::default();
        let mut name = None;
        walker.fields(|walker, id, kind| -> Checked<()> {
            match (id, kind) {
                (1, I32) => element.kind = Some(walker.int()?),
                (2, I32) => element.length = walker.int()?,
                (3, I32) => element.repetition = Some(walker.int()?),
                (4, BINARY) => name = Some(walker.binary()?),
                (5, I32) => element.children = walker.int()?,
                (6, I32) => element.converted = Some(walker.int()?),
                (7 | 8, I32) => {
                    walker.int()?;
                    element.decimal = true;
                }
                (9, I32) => drop(walker.int()?),
                (10, STRUCT) => {
                    let logical = &mut element.logical;
                    walker.fields(|walker, id, kind| read_logical(walker, id, kind, logical))?;
                }
                (1..=10, _) => return Err(Flaw::Malformed),
                // What it says of the column cannot be left aside.
                _ => return says("its schema has a field that is of a newer version of the format, if of any"),
            }
            Ok(())
        })?;
        element.name = name.ok_or(Flaw::Malformed)?;
        Ok(element)
    }

    fn check_column(&self) -> Checked<()> {
        let Some(kind @ 0..=FIXED_LEN_BYTE_ARRAY) = self.kind else { return says("a column has no type") };
        if kind == FIXED_LEN_BYTE_ARRAY && self.length <= 0 {
            return says("a column of a fixed length has none");
        }
        Ok(())
    }

    /// Types of meaning are told in two ways, a newer and an older one.
    fn check_meaning(&self) -> Checked<()> {
        let agree = match (self.logical, self.converted) {
            (Some(Logical::As(logical)), Some(converted)) => logical == converted,
            (Some(Logical::Alone), Some(_)) => false,
            _ => true,
        };
        let decimal = self.logical == Some(Logical::As(DECIMAL)) || self.converted == Some(DECIMAL);
        if agree && (decimal || !self.decimal) {
            Ok(())
        } else {
            says("a column has two types that contradict each other")
        }
    }
}

/// A logical type, as far as the older converted types know it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Logical {
    /// By that number.
    As(i32),
    /// It is newer than they are.
    Alone,
    /// By one number or another, or none.
    Other,
}

/// The number of decimals among the converted types.
const DECIMAL: i32 = 5;

fn read_logical(walker: &mut Walker<'_>, id: i64, kind: u8, logical: &mut Option<Logical>) -> Checked<()> {
    const INTEGER: i64 = 10;
    if kind != STRUCT || logical.is_some() {
        return Err(Flaw::Malformed);
    }
    if id == INTEGER {
        let (bits, signed) = walker.width_and_sign()?;
        // UINT_8 to UINT_64 are 11 to 14, and INT_8 to INT_64 follow.
        let width = [8, 16, 32, 64].iter().position(|&width| width == bits).ok_or(Flaw::Malformed)?;
        *logical = Some(Logical::As(11 + width as i32 + if signed { 4 } else { 0 }));
        return Ok(());
    }
    walker.skip_value(kind)?;
    *logical = Some(match id {
        // Texts, maps, lists, enumerations, decimals, dates, JSON, BSON.
        1 => Logical::As(0),
        2 => Logical::As(1),
        3 => Logical::As(3),
        4 => Logical::As(4),
        5 => Logical::As(DECIMAL),
        6 => Logical::As(6),
        12 => Logical::As(19),
        13 => Logical::As(20),
        // UUIDs and halves.
        14 | 15 => Logical::Alone,
        _ => Logical::Other,
    });
    Ok(())
}

fn row_groups(
    walker: &mut Walker<'_>,
    schema: &Schema<'_>,
    end: u64,
    chunks: &mut Vec<(u64, u64)>,
) -> Checked<Outline> {
    let list = walker.at();
    let groups = walker.list(STRUCT)? as usize;
    let mut cuts = Vec::new();
    for group in 0..groups {
        if group.is_multiple_of(GROUPS_AT_ONCE) {
            cuts.push(walker.at());
        }
        row_group(walker, schema, end, chunks).map_err(|flaw| match flaw {
            Flaw::Says(error) => Flaw::Says(error.with("row group", group)),
            flaw @ Flaw::Malformed => flaw,
        })?;
    }
    cuts.push(walker.at());
    Ok(Outline { groups, list, cuts })
}

fn row_group(walker: &mut Walker<'_>, schema: &Schema<'_>, end: u64, chunks: &mut Vec<(u64, u64)>) -> Checked<()> {
    let (mut rows, mut most_values, mut found) = (None, None, false);
    walker.fields(|walker, id, kind| -> Checked<()> {
        match (id, kind) {
            (1, LIST) => {
                if walker.list(STRUCT)? != schema.leaves.len() as u64 {
                    return says("a row group has more or fewer columns than the schema");
                }
                found = true;
                for &leaf in &schema.leaves {
                    let chunk = Chunk::read(walker, schema, leaf)?;
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
        return says("a count of rows is none");
    }
    match most_values {
        Some(values) if values != rows => says(format_args!("a column claims {values} values for {rows} rows")),
        _ => Ok(()),
    }
}

/// What a row group says of a column.
#[derive(Default)]
struct Chunk {
    values: i64,
    bytes: i64,
    data: i64,
    dictionary: Option<i64>,
}

impl Chunk {
    fn read(walker: &mut Walker<'_>, schema: &Schema<'_>, leaf: usize) -> Checked<Self> {
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

    fn read_metadata(walker: &mut Walker<'_>, schema: &Schema<'_>, leaf: usize) -> Checked<Self> {
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
        let start = self.dictionary.unwrap_or(self.data);
        let range = u64::try_from(start).ok().zip(u64::try_from(self.bytes).ok()).and_then(|(start, length)| {
            let last = start.checked_add(length)?;
            (last <= end).then_some((start, last))
        });
        let Some((start, last)) = range.filter(|_| self.values >= 0) else {
            return says("a column lies outside of the file");
        };
        if start < last && !(start..last).contains(&u64::try_from(self.data).unwrap_or(u64::MAX)) {
            return says("the pages of a column lie outside of it");
        }
        Ok((start, last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure of these fields: their number, type and bytes.
    fn structure(fields: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, kind, value) in fields {
            bytes.extend([*kind, 2 * id]);
            bytes.extend(value);
        }
        bytes.push(0);
        bytes
    }

    fn number(value: i64) -> Vec<u8> {
        let mut raw = ((value << 1) ^ (value >> 63)) as u64;
        let mut bytes = Vec::new();
        while raw >= 0x80 {
            bytes.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        bytes.push(raw as u8);
        bytes
    }

    fn text(value: &str) -> Vec<u8> {
        [&[value.len() as u8], value.as_bytes()].concat()
    }

    fn list(kind: u8, elements: &[Vec<u8>]) -> Vec<u8> {
        [thrift::list_head(kind, elements.len() as u64), elements.concat()].concat()
    }

    type Fields = Vec<(u8, u8, Vec<u8>)>;

    /// What a footer of one column `a` of 64-bit integers has, each part to be changed.
    struct Made {
        schema: Vec<Fields>,
        column: Fields,
        rows: i64,
        groups: usize,
    }

    impl Made {
        fn new() -> Self {
            let root = vec![(4, BINARY, text("schema")), (5, I32, number(1))];
            let leaf = vec![
                (1, I32, number(2)),
                (3, I32, number(0)),
                (4, BINARY, text("a")),
                (6, I32, number(18)),
                (10, STRUCT, structure(&[(10, STRUCT, vec![0x13, 64, 0x11, 0])])),
            ];
            let column = vec![
                (1, I32, number(2)),
                (2, LIST, list(I32, &[number(0)])),
                (3, LIST, list(BINARY, &[text("a")])),
                (4, I32, number(0)),
                (5, I64, number(10)),
                (6, I64, number(100)),
                (7, I64, number(100)),
                (9, I64, number(4)),
            ];
            Self { schema: vec![root, leaf], column, rows: 10, groups: 1 }
        }

        fn bytes(&self) -> Vec<u8> {
            let group = |at: usize| {
                let mut column = self.column.clone();
                if at > 0 {
                    *field(&mut column, 9) = number(4 + 100 * at as i64);
                }
                let chunk = structure(&[(2, I64, number(0)), (3, STRUCT, structure(&column))]);
                structure(&[(1, LIST, list(STRUCT, &[chunk])), (2, I64, number(100)), (3, I64, number(self.rows))])
            };
            let groups: Vec<Vec<u8>> = (0..self.groups).map(group).collect();
            let schema: Vec<Vec<u8>> = self.schema.iter().map(|element| structure(element)).collect();
            structure(&[
                (1, I32, number(2)),
                (2, LIST, list(STRUCT, &schema)),
                (3, I64, number(self.rows * self.groups as i64)),
                (4, LIST, list(STRUCT, &groups)),
            ])
        }

        fn read(&self) -> Result<ParquetMetaData> {
            read(&self.bytes(), 4 + 100 * self.groups as u64)
        }

        fn refused(&self, detail: &str) {
            let error = self.read().unwrap_err();
            assert!(error.fact("detail").unwrap().contains(detail), "{error:?}");
        }
    }

    fn field(fields: &mut Fields, id: u8) -> &mut Vec<u8> {
        &mut fields.iter_mut().find(|(known, ..)| *known == id).unwrap().2
    }

    #[test]
    fn a_footer_that_agrees_with_itself_is_read() {
        let metadata = Made::new().read().unwrap();
        assert_eq!((metadata.num_row_groups(), metadata.row_group(0).column(0).num_values()), (1, 10));
    }

    #[test]
    fn what_stands_twice_must_be_the_same() {
        let column = |id, value: Vec<u8>, detail| {
            let mut made = Made::new();
            *field(&mut made.column, id) = value;
            made.refused(detail);
        };
        column(1, number(1), "another type");
        column(3, list(BINARY, &[text("b")]), "another name");
        column(3, list(BINARY, &[text("a"), text("a")]), "another name");
        column(5, number(9), "claims 9 values for 10 rows");
        column(7, number(101), "lies outside of the file");
        column(9, number(-4), "lies outside of the file");
        let leaf = |id, value: Vec<u8>, detail| {
            let mut made = Made::new();
            *field(&mut made.schema[1], id) = value;
            made.refused(detail);
        };
        leaf(1, number(1), "another type");
        leaf(3, number(3), "neither that it may be null");
        leaf(6, number(14), "contradict each other");
        leaf(10, structure(&[(1, STRUCT, vec![0])]), "contradict each other");
        let mut made = Made::new();
        made.schema[1].push((7, I32, number(0)));
        made.refused("contradict each other");
        made.schema[1].pop();
        made.schema[1].push((11, I32, number(0)));
        made.refused("newer version");
    }

    #[test]
    fn columns_do_not_share_bytes() {
        let mut made = Made::new();
        made.groups = 2;
        made.read().unwrap();
        *field(&mut made.column, 7) = number(101);
        let error = read(&made.bytes(), 1000).unwrap_err();
        assert_eq!(error.fact("detail"), Some("two columns lie in the same bytes"));
    }

    #[test]
    fn a_schema_is_bounded_before_it_is_built() {
        // A group within a group within a group.
        let nested = |depth: usize| {
            let mut made = Made::new();
            let group = vec![(3, I32, number(0)), (4, BINARY, text("g")), (5, I32, number(1))];
            (0..depth).for_each(|_| made.schema.insert(1, group.clone()));
            let names: Vec<Vec<u8>> = (0..depth).map(|_| text("g")).chain([text("a")]).collect();
            *field(&mut made.column, 3) = list(BINARY, &names);
            made
        };
        nested(DEPTH - 1).read().unwrap();
        nested(DEPTH).refused("nested more than 64 deep");
        nested(10_000).refused("nested more than 64 deep");
        for claim in [2, i64::from(i32::MAX), -1] {
            let mut made = Made::new();
            *field(&mut made.schema[0], 5) = number(claim);
            made.refused("where there are 1");
        }
        let mut made = Made::new();
        *field(&mut made.schema[0], 5) = number(0);
        made.refused("two roots");
    }

    #[test]
    fn more_row_groups_than_can_be_numbered_are_read() {
        for groups in [GROUPS_AT_ONCE, GROUPS_AT_ONCE + 1, 2 * GROUPS_AT_ONCE + 5] {
            let mut made = Made::new();
            made.groups = groups;
            let metadata = made.read().unwrap();
            assert_eq!(metadata.num_row_groups(), groups);
            let offsets = metadata.row_groups().iter().map(|group| group.column(0).data_page_offset());
            assert!(offsets.eq((0..groups as i64).map(|at| 4 + 100 * at)));
        }
    }
}
