//! Class labels.

use std::fmt;

/// A class label. Labels are ordered by value, and not by where they come first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    /// From boolean columns.
    Bool(bool),
    /// From integer columns, and float columns that hold integers: wide enough for both `i64` and `u64`.
    Int(i128),
    /// From string columns.
    Text(Box<str>),
}

/// The type that the labels of an archive share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelKind {
    /// [`Label::Bool`].
    Bool,
    /// [`Label::Int`].
    Int,
    /// [`Label::Text`].
    Text,
}

impl Label {
    /// Its type.
    pub fn kind(&self) -> LabelKind {
        match self {
            Self::Bool(_) => LabelKind::Bool,
            Self::Int(_) => LabelKind::Int,
            Self::Text(_) => LabelKind::Text,
        }
    }

    /// Whether a text as it is typed means this value.
    pub fn is_typed(&self, text: &str) -> bool {
        self.kind().parse(text).as_ref() == Some(self)
    }

    /// Whether readers accept it as a class: an integer must not be negative and must fit 64 bits.
    pub fn is_class(&self) -> bool {
        !matches!(self, Self::Int(value) if u64::try_from(*value).is_err())
    }
}

impl From<bool> for Label {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Label {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Label {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

macro_rules! from_integers {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Label {
            fn from(value: $integer) -> Self {
                Self::Int(value.into())
            }
        })*
    };
}

from_integers!(u8, i32, u32, i64, u64);

impl LabelKind {
    /// The kind that is [displayed](fmt::Display) as `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Bool, Self::Int, Self::Text].into_iter().find(|kind| kind.to_string() == name)
    }

    /// The label of this kind that is [displayed](fmt::Display) as `text`.
    pub fn parse(self, text: &str) -> Option<Label> {
        match self {
            Self::Bool => text.parse().ok().map(Label::Bool),
            Self::Int => text.parse().ok().map(Label::Int),
            Self::Text => Some(Label::Text(text.into())),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}

impl fmt::Display for LabelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int => "integer",
            Self::Text => "string",
        })
    }
}
