//! The elements of arrays as files store them.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BooleanArray, PrimitiveArray, StringArray, StringDictionaryBuilder};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use half::{bf16, f16};

use crate::archive::container::Strings;
use crate::archive::damage::damaged;
use crate::archive::dtype::ElementType;
use crate::error::{Error, Result};

/// What an element is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) enum Kind {
    Bool,
    /// Bytes of one.
    Int(usize),
    UInt(usize),
    F16,
    Bf16,
    F32,
    F64,
    /// So many characters of four bytes; zeros at the end fill the place and are dropped.
    Utf32(usize),
    /// So many bytes of UTF-8; zeros at the end fill the place and are dropped.
    Utf8(usize),
}

/// How an element is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::archive) struct Element {
    pub(in crate::archive) kind: Kind,
    /// Whether its most significant byte comes first.
    pub(in crate::archive) big_endian: bool,
}

impl Element {
    /// Bytes of one.
    pub(in crate::archive) fn width(self) -> usize {
        match self.kind {
            Kind::Bool => 1,
            Kind::Int(width) | Kind::UInt(width) | Kind::Utf8(width) => width,
            Kind::F16 | Kind::Bf16 => 2,
            Kind::F32 => 4,
            Kind::F64 => 8,
            Kind::Utf32(characters) => characters.saturating_mul(4),
        }
    }

    /// Whether an element is a text.
    pub(super) fn is_text(self) -> bool {
        matches!(self.kind, Kind::Utf32(_) | Kind::Utf8(_))
    }

    /// The type in which vectors of it are read, which holds all its values exactly; `None` for types that vectors cannot have.
    pub(super) fn vector(self) -> Option<ElementType> {
        match self.kind {
            Kind::F16 => Some(ElementType::F16),
            Kind::F32 | Kind::Bf16 | Kind::Int(1) | Kind::UInt(1) => Some(ElementType::F32),
            Kind::F64 => Some(ElementType::F64),
            _ => None,
        }
    }

    /// The type of an array of them.
    pub(super) fn data_type(self) -> DataType {
        match self.kind {
            Kind::Bool => DataType::Boolean,
            Kind::Int(1) => DataType::Int8,
            Kind::Int(2) => DataType::Int16,
            Kind::Int(4) => DataType::Int32,
            Kind::Int(_) => DataType::Int64,
            Kind::UInt(1) => DataType::UInt8,
            Kind::UInt(2) => DataType::UInt16,
            Kind::UInt(4) => DataType::UInt32,
            Kind::UInt(_) => DataType::UInt64,
            Kind::F16 => DataType::Float16,
            Kind::Bf16 | Kind::F32 => DataType::Float32,
            Kind::F64 => DataType::Float64,
            Kind::Utf32(_) | Kind::Utf8(_) => DataType::Utf8,
        }
    }

    /// Puts the bytes of each number into the order of little-endian ones.
    pub(super) fn order(self, bytes: &mut [u8]) {
        if self.big_endian && !self.is_text() {
            bytes.chunks_exact_mut(self.width()).for_each(<[u8]>::reverse);
        }
    }

    /// Numbers that are widened to `f32`, from bytes in the order of the file.
    pub(super) fn widen(self, bytes: &[u8], values: &mut Vec<f32>) {
        values.clear();
        match self.kind {
            Kind::Int(_) => values.extend(bytes.iter().map(|&byte| f32::from(byte.cast_signed()))),
            Kind::UInt(_) => values.extend(bytes.iter().map(|&byte| f32::from(byte))),
            _ => {
                let wide = |bytes: &[u8; 2]| {
                    let half = if self.big_endian { bf16::from_be_bytes(*bytes) } else { bf16::from_le_bytes(*bytes) };
                    half.to_f32()
                };
                values.extend(bytes.as_chunks().0.iter().map(wide));
            }
        }
    }

    /// Numbers as an array.
    pub(super) fn numbers(self, mut bytes: Vec<u8>) -> Result<ArrayRef> {
        fn array<T: ArrowPrimitiveType, const W: usize>(bytes: &[u8], number: fn([u8; W]) -> T::Native) -> ArrayRef {
            let numbers = bytes.as_chunks().0.iter().map(|&bytes| number(bytes));
            Arc::new(PrimitiveArray::<T>::from_iter_values(numbers))
        }
        self.order(&mut bytes);
        Ok(match self.kind {
            Kind::Bool => {
                if let Some(row) = bytes.iter().position(|&byte| byte > 1) {
                    return Err(damaged("a boolean is neither 0 nor 1").with("row", row));
                }
                Arc::new(bytes.iter().map(|&byte| Some(byte == 1)).collect::<BooleanArray>())
            }
            Kind::Int(1) => array::<Int8Type, 1>(&bytes, i8::from_le_bytes),
            Kind::Int(2) => array::<Int16Type, 2>(&bytes, i16::from_le_bytes),
            Kind::Int(4) => array::<Int32Type, 4>(&bytes, i32::from_le_bytes),
            Kind::Int(_) => array::<Int64Type, 8>(&bytes, i64::from_le_bytes),
            Kind::UInt(1) => array::<UInt8Type, 1>(&bytes, u8::from_le_bytes),
            Kind::UInt(2) => array::<UInt16Type, 2>(&bytes, u16::from_le_bytes),
            Kind::UInt(4) => array::<UInt32Type, 4>(&bytes, u32::from_le_bytes),
            Kind::UInt(_) => array::<UInt64Type, 8>(&bytes, u64::from_le_bytes),
            Kind::F16 => array::<Float16Type, 2>(&bytes, f16::from_le_bytes),
            Kind::Bf16 => array::<Float32Type, 2>(&bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Kind::F32 => array::<Float32Type, 4>(&bytes, f32::from_le_bytes),
            Kind::F64 => array::<Float64Type, 8>(&bytes, f64::from_le_bytes),
            Kind::Utf32(_) | Kind::Utf8(_) => return Err(Error::internal("texts are no numbers")),
        })
    }

    /// The text of one element; `None` if it is not text.
    fn text(self, bytes: &[u8]) -> Option<String> {
        if let Kind::Utf32(_) = self.kind {
            let code = |bytes: &[u8; 4]| {
                if self.big_endian { u32::from_be_bytes(*bytes) } else { u32::from_le_bytes(*bytes) }
            };
            let codes: Vec<u32> = bytes.as_chunks().0.iter().map(code).collect();
            let end = codes.iter().rposition(|&code| code != 0).map_or(0, |last| last + 1);
            return codes[..end].iter().map(|&code| char::from_u32(code)).collect();
        }
        let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
    }
}

/// Texts that become an array: few and long ones are held once.
pub(super) enum Texts {
    Plain(Vec<String>),
    Dictionary(Box<StringDictionaryBuilder<Int32Type>>),
}

/// Bytes of the texts of one array: its offsets have 32 bits.
const TEXT_LIMIT: usize = i32::MAX as usize;

impl Texts {
    pub(super) fn new(strings: Strings) -> Self {
        match strings {
            Strings::Plain => Self::Plain(Vec::new()),
            Strings::Dictionary => Self::Dictionary(Box::default()),
        }
    }

    /// Adds elements; the first one is that of row `row`.
    pub(super) fn add(&mut self, element: Element, bytes: &[u8], row: u64) -> Result<()> {
        for (at, bytes) in bytes.chunks_exact(element.width()).enumerate() {
            let text = element.text(bytes);
            let text = text.ok_or_else(|| damaged("a text is not Unicode").with("row", row + at as u64))?;
            match self {
                Self::Plain(texts) => texts.push(text),
                Self::Dictionary(builder) => drop(builder.append(&text).map_err(damaged)?),
            }
        }
        Ok(())
    }

    pub(super) fn array(self) -> Result<ArrayRef> {
        Ok(match self {
            Self::Plain(texts) if texts.iter().map(String::len).sum::<usize>() > TEXT_LIMIT => {
                return Err(Error::resource("the texts of a column are too long to be read together"));
            }
            Self::Plain(texts) => Arc::new(StringArray::from_iter_values(texts)),
            Self::Dictionary(mut builder) => Arc::new(builder.finish()),
        })
    }
}
