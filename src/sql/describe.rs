//! States and heads in a few words, for tables.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};

use super::{columns, head};

/// What a value is, if it is a state (`state(N=1257, K=10, D=64)`) or a head; `None` for any other.
pub fn describe(array: &ArrayRef, row: usize) -> Option<String> {
    let data_type = array.data_type();
    if !matches!(data_type, DataType::Struct(_)) || array.is_null(row) {
        return None;
    }
    let value = array.slice(row, 1);
    let field = |name: &str| value.as_struct().column_by_name(name).cloned();
    let dim = |name| cast(&field(name)?, &DataType::Int64).ok().map(|dim| dim.as_primitive::<Int64Type>().value(0));
    if columns::is_state(data_type) {
        let counts = items(&field("counts")?)?;
        let counts = cast(&counts, &DataType::UInt64).ok()?;
        let counts = counts.as_primitive::<UInt64Type>().values();
        let rows: u128 = counts.iter().map(|&count| u128::from(count)).sum();
        let name = if field("gram")?.is_null(0) { "moments" } else { "state" };
        return Some(format!("{name}(N={rows}, K={}, D={})", counts.len(), dim("dim")?));
    }
    if head::is_head(data_type) {
        let weights = items(&field("weights")?)?.len();
        let dim = dim("dim")?;
        let classes = i64::try_from(weights).ok()?.checked_div(dim)?;
        return Some(format!("head(K={classes}, D={dim})"));
    }
    None
}

/// The items of the only list of a column, whatever its offsets.
fn items(column: &ArrayRef) -> Option<ArrayRef> {
    match column.data_type() {
        DataType::List(_) => Some(column.as_list::<i32>().value(0)),
        DataType::LargeList(_) => Some(column.as_list::<i64>().value(0)),
        _ => None,
    }
}
