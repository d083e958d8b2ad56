//! What a footer says of its schema.

use super::{Checked, DEPTH, Flaw, says};
use crate::archive::parquet::thrift::{BINARY, I32, STRUCT, Walker};

/// The elements of the schema.
pub(super) struct FooterSchema<'a> {
    pub(super) elements: Vec<SchemaElement<'a>>,
    /// Which elements are columns.
    pub(super) leaves: Vec<usize>,
}

#[derive(Default)]
pub(super) struct SchemaElement<'a> {
    name: &'a [u8],
    parent: usize,
    /// How many names lead to it, its own included.
    depth: usize,
    pub(super) kind: Option<i32>,
    length: i32,
    repetition: Option<i32>,
    children: i32,
    converted: Option<i32>,
    logical: Option<Logical>,
    /// Whether it has the digits of a decimal.
    decimal: bool,
    /// Whether it or something around it is repeated.
    pub(super) repeated: bool,
}

/// Parquet's numbers of types.
const FIXED_LEN_BYTE_ARRAY: i32 = 7;

/// Parquet's number of a repetition.
const REPEATED: i32 = 2;

impl<'a> FooterSchema<'a> {
    pub(super) fn read(walker: &mut Walker<'a>) -> Checked<Self> {
        let mut schema = Self { elements: Vec::new(), leaves: Vec::new() };
        let count = walker.list(STRUCT)?;
        // Those around the next element, and how many children of each are to come.
        let mut open: Vec<(usize, i32)> = Vec::new();
        for at in 0..count as usize {
            let mut element = SchemaElement::read(walker)?;
            if let Some((parent, left)) = open.last_mut() {
                *left -= 1;
                let around = &schema.elements[*parent];
                (element.parent, element.depth) = (*parent, around.depth + 1);
                if !matches!(element.repetition, Some(0..=REPEATED)) {
                    return says("a column does not say whether it may be null");
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
    pub(super) fn is_path(&self, leaf: usize, names: &[&[u8]]) -> bool {
        let mut at = leaf;
        names.len() == self.elements[leaf].depth
            && names.iter().rev().all(|&name| {
                let element = &self.elements[at];
                at = element.parent;
                element.name == name
            })
    }
}

impl<'a> SchemaElement<'a> {
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
                // An unknown field may change the meaning of the column.
                _ => return says("its schema has an unknown field, perhaps of a newer version of the format"),
            }
            Ok(())
        })?;
        element.name = name.ok_or(Flaw::Malformed)?;
        Ok(element)
    }

    fn check_column(&self) -> Checked<()> {
        let Some(kind @ 0..=FIXED_LEN_BYTE_ARRAY) = self.kind else { return says("a column has no type") };
        if kind == FIXED_LEN_BYTE_ARRAY && self.length <= 0 {
            return says("a fixed-length column has no length");
        }
        Ok(())
    }

    /// Checks that the logical type and the older converted type agree.
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

/// A logical type, compared with the older converted types.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Logical {
    /// The converted type of this number.
    As(i32),
    /// A logical type without a converted twin: it stands alone.
    Alone,
    /// Several converted types, or none, may stand beside it.
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
