//! States, decisions and heads in a few words, for tables.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, UInt64Type};

use crate::archive::escaped;
use crate::sql::values::{head, state_column};

/// What a value is, if it is a state (`state(N=1257, K=10, D=64)`), decisions or a head; `None` for any other.
pub fn describe(array: &ArrayRef, row: usize) -> Option<String> {
    let data_type = array.data_type();
    if !matches!(data_type, DataType::Struct(_)) || array.is_null(row) {
        return None;
    }
    let value = array.slice(row, 1);
    let field = |name: &str| value.as_struct().column_by_name(name).cloned();
    if state_column::is_state(data_type) {
        let (rows, classes) = counted(&field("counts")?)?;
        let dim = cast(&field("dim")?, &DataType::Int64).ok()?;
        let name = if field("gram")?.is_null(0) { "moments" } else { "state" };
        return Some(format!("{name}(N={rows}, K={classes}, D={})", dim.as_primitive::<Int64Type>().value(0)));
    }
    if head::is_head(data_type) {
        let file = cast(&field("file")?, &DataType::Utf8).ok()?;
        return Some(format!("head({})", escaped(file.as_string::<i32>().value(0))));
    }
    if field("ncc_right").is_some() {
        let (rows, classes) = counted(&field("rows")?)?;
        return Some(format!("decisions(N={rows}, K={classes})"));
    }
    None
}

/// The sum of the only list of counts in a column, and how many there are.
fn counted(column: &ArrayRef) -> Option<(u128, usize)> {
    let items = match column.data_type() {
        DataType::List(_) => column.as_list_opt::<i32>()?.value(0),
        DataType::LargeList(_) => column.as_list_opt::<i64>()?.value(0),
        _ => return None,
    };
    let counts = cast(&items, &DataType::UInt64).ok()?;
    let counts = counts.as_primitive::<UInt64Type>().values();
    Some((counts.iter().map(|&count| u128::from(count)).sum(), counts.len()))
}
