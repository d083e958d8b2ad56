//! The types in which vectors are stored.

use arrow::datatypes::DataType;

/// The significand bits of bf16, which are read as `f32`.
pub(super) const BF16_BITS: u32 = 8;

/// The element type of stored vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    F16,
    F32,
    F64,
}

impl ElementType {
    pub(super) fn of(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Float16 => Some(Self::F16),
            DataType::Float32 => Some(Self::F32),
            DataType::Float64 => Some(Self::F64),
            _ => None,
        }
    }

    /// The type that holds all integers of a type exactly; `None` for types of 64 bits, and for what is no integer.
    pub(super) fn of_integers(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16 => Some(Self::F32),
            DataType::Int32 | DataType::UInt32 => Some(Self::F64),
            _ => None,
        }
    }

    pub(super) fn significand_bits(self) -> u32 {
        match self {
            Self::F16 => 11,
            Self::F32 => 24,
            Self::F64 => 53,
        }
    }

    pub(super) fn value_bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::F16 => DataType::Float16,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// The type of the little-endian numbers in a column of fixed-size binary, which the file does not record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// The upper half of IEEE single precision, to which it is widened exactly.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F16, Self::Bf16, Self::F32, Self::F64];

    /// The type of that [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// `f16`, `bf16`, `f32` or `f64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes of a number.
    pub(super) fn width(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// The type that the numbers have in memory.
    fn element(self) -> ElementType {
        match self {
            Self::F16 => ElementType::F16,
            Self::Bf16 | Self::F32 => ElementType::F32,
            Self::F64 => ElementType::F64,
        }
    }
}

/// Columns whose bytes are numbers of a type.
pub(super) type Dtypes = [(String, Dtype)];

/// How vectors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VectorType {
    /// A list of any kind.
    List(ElementType),
    /// `dim` little-endian numbers of a type.
    Bytes { dim: usize, dtype: Dtype },
}

impl VectorType {
    pub(super) fn element(self) -> ElementType {
        match self {
            Self::List(element) => element,
            Self::Bytes { dtype, .. } => dtype.element(),
        }
    }
}
