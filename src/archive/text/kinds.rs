//! What the fields of a column are, judged by all of them.

use arrow::datatypes::{DataType, Field as ArrowField};
use std::str::FromStr;
use std::sync::Arc;

use super::decimals::is_number;

/// A field of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Null,
    /// A number, a boolean or a list by its characters, without blanks around it; in CSV a text too.
    Plain(&'a [u8]),
    /// A text whatever is in it.
    Text(&'a [u8]),
}

/// What the fields of a column are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// All are null.
    #[default]
    Nothing,
    Bool,
    /// Integers that fit an `i64`, none of them negative.
    Natural,
    /// Integers that fit an `i64`, some of them negative.
    Int,
    /// Integers that fit a `u64`, some of them beyond an `i64`.
    Large,
    Float,
    /// Lists of numbers in brackets.
    List,
    Text,
}

impl Kind {
    /// What one field is, in a column that is of the kind `known` so far.
    pub(super) fn of(field: Field<'_>, known: Self) -> Self {
        match field {
            Field::Null => Self::Nothing,
            Field::Text(_) => Self::Text,
            Field::Plain(text) => Self::of_plain(text, known),
        }
    }

    fn of_plain(text: &[u8], known: Self) -> Self {
        if text.first() == Some(&b'[') && text.last() == Some(&b']') {
            let is_nested = text[1..].iter().find(|byte| !byte.is_ascii_whitespace());
            return if is_nested.is_some_and(|byte| b"[{\"'".contains(byte)) { Self::Text } else { Self::List };
        }
        let digits = text.strip_prefix(b"-").unwrap_or(text);
        let integer = if digits.len() == text.len() { Self::Natural } else { Self::Int };
        if !digits.is_empty() && digits.len() < 19 && digits.iter().all(u8::is_ascii_digit) {
            return integer;
        }
        // Whether these characters are a number is found out when the number is read, and said with its line.
        if known == Self::Float && digits.iter().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(byte)) {
            return Self::Float;
        }
        match text {
            b"true" | b"false" | b"True" | b"False" | b"TRUE" | b"FALSE" => Self::Bool,
            text if is::<i64>(text) => integer,
            text if is::<u64>(text) => Self::Large,
            text if is_number(text) => Self::Float,
            _ => Self::Text,
        }
    }

    /// What a column of both is.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, kind) | (kind, Self::Nothing) => kind,
            (one, other) if one == other => one,
            (Self::Natural, Self::Int) | (Self::Int, Self::Natural) => Self::Int,
            (Self::Natural, Self::Large) | (Self::Large, Self::Natural) => Self::Large,
            (one, other) if one.is_number() && other.is_number() => Self::Float,
            _ => Self::Text,
        }
    }

    /// The type of its arrays.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Nothing | Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Natural | Self::Int => DataType::Int64,
            Self::Large => DataType::UInt64,
            Self::List => DataType::List(Arc::new(ArrowField::new_list_field(DataType::Float64, true))),
            Self::Text => DataType::Utf8,
        }
    }

    /// Whether its fields are single numbers.
    pub(super) fn is_number(self) -> bool {
        matches!(self, Self::Natural | Self::Int | Self::Large | Self::Float)
    }

    /// Whether its fields are single numbers, or lists of numbers.
    pub(super) fn is_numeric(self) -> bool {
        self.is_number() || matches!(self, Self::Nothing | Self::List)
    }
}

/// Whether a text is an integer of this type.
fn is<T: FromStr>(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<T>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_known_by_their_characters() {
        let of = |text: &str| Kind::of(Field::Plain(text.as_bytes()), Kind::Nothing);
        for (text, kind) in [
            ("12", Kind::Natural),
            ("+12", Kind::Natural),
            ("-3", Kind::Int),
            ("-9223372036854775808", Kind::Int),
            ("9223372036854775808", Kind::Large),
            ("18446744073709551616", Kind::Float),
            ("1e3", Kind::Float),
            ("-.5", Kind::Float),
            ("NaN", Kind::Float),
            ("-inf", Kind::Float),
            ("True", Kind::Bool),
            ("[1, 2]", Kind::List),
            ("[]", Kind::List),
            ("[[1], [2]]", Kind::Text),
            ("[\"a\"]", Kind::Text),
            ("cat", Kind::Text),
            ("2020-01-02", Kind::Text),
            ("-", Kind::Text),
        ] {
            assert_eq!(of(text), kind, "{text}");
        }
        assert_eq!(Kind::of(Field::Text(b"12"), Kind::Nothing), Kind::Text);
        assert_eq!(Kind::Int.and(Kind::Float).and(Kind::Nothing), Kind::Float);
        assert_eq!(Kind::Natural.and(Kind::Int), Kind::Int);
        assert_eq!(Kind::Natural.and(Kind::Large), Kind::Large);
        assert_eq!(Kind::Int.and(Kind::Large), Kind::Float);
        assert_eq!(Kind::Int.and(Kind::Bool), Kind::Text);
        assert_eq!(Kind::List.and(Kind::Float), Kind::Text);
    }
}
