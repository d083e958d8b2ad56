//! What the statistics of a row group say of its columns.

use arrow::datatypes::DataType;
use parquet::data_type::AsBytes;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};

use crate::batch::Label;

/// The one value of a column in a row group, if its statistics say so beyond doubt.
pub(super) fn constant(group: &RowGroupMetaData, leaf: usize, kind: &DataType) -> Option<Label> {
    let no_nulls = group.column(leaf).statistics()?.null_count_opt() == Some(0);
    let (min, max) = range(group, leaf, kind)?;
    (no_nulls && min == max).then_some(min)
}

/// The least and the greatest value of a column in a row group, nulls aside, if its statistics say so beyond doubt.
pub(super) fn range(group: &RowGroupMetaData, leaf: usize, kind: &DataType) -> Option<(Label, Label)> {
    fn both<T>(statistics: &ValueStatistics<T>, label: impl Fn(&T) -> Option<Label>) -> Option<(Label, Label)> {
        Some((label(statistics.min_opt()?)?, label(statistics.max_opt()?)?))
    }
    let unsigned = kind.is_unsigned_integer();
    match group.column(leaf).statistics()? {
        Statistics::Boolean(values) => both(values, |&value| Some(Label::Bool(value))),
        Statistics::Int32(values) => {
            both(values, |&value| Some(Label::Int(if unsigned { i128::from(value as u32) } else { value.into() })))
        }
        Statistics::Int64(values) => {
            both(values, |&value| Some(Label::Int(if unsigned { i128::from(value as u64) } else { value.into() })))
        }
        // Long texts are cut short in statistics.
        Statistics::ByteArray(values) if values.min_is_exact() && values.max_is_exact() => {
            both(values, |value| Some(Label::Text(std::str::from_utf8(value.as_bytes()).ok()?.into())))
        }
        _ => None,
    }
}
