//! Converts Arrow columns to cells of records: numbers stay numbers, nested values become JSON or a few words.

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, FixedSizeListArray, GenericListArray, OffsetSizeTrait,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int64Type, UInt64Type};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Value};

use super::records::Cells;
use super::text::{NOTHING, significant};
use crate::archive::escaped;
use crate::error::{Error, Result};

/// Describes the nested value in a row of a column in a few words; `None` leaves it to the general rule.
pub type Describe = fn(&ArrayRef, usize) -> Option<String>;

/// The most items of a list that a table shows.
const SHOWN: usize = 4;

/// A table shows no further fields of a struct after this many characters.
const STRUCT_WIDTH: usize = 40;

/// How nested values are shown.
#[derive(Clone, Copy)]
pub(super) enum Nested {
    /// In full.
    Json,
    /// In a few words.
    Short(Describe),
}

/// The cells of a column.
pub(super) fn cells(column: &ArrayRef, nested: Nested) -> Result<Cells> {
    Ok(match column.data_type() {
        DataType::Dictionary(_, values) => {
            return cells(&cast(column, values).map_err(failed)?, nested);
        }
        DataType::Boolean => Cells::Bool(column.as_boolean().iter().collect()),
        DataType::Null => Cells::Text(vec![None; column.len()]),
        DataType::UInt64 => {
            let numbers = column.as_primitive::<UInt64Type>();
            match numbers.iter().map(|number| number.map(i64::try_from).transpose()).collect() {
                Ok(signed) => Cells::Int(signed),
                Err(_) => Cells::Unsigned(numbers.iter().collect()),
            }
        }
        data_type if data_type.is_integer() => Cells::Int(numbers::<Int64Type>(column, &DataType::Int64)?),
        DataType::Float64 => Cells::Float(column.as_primitive::<Float64Type>().iter().collect()),
        DataType::Float16 | DataType::Float32 => {
            let numbers = numbers::<Float32Type>(column, &DataType::Float32)?;
            Cells::Float(numbers.into_iter().map(|number| number.map(widened)).collect())
        }
        data_type if data_type.is_nested() => match nested {
            Nested::Json => Cells::Json(values(column)?),
            Nested::Short(describe) => {
                let text = |row| if column.is_null(row) { Ok(None) } else { short(column, row, describe).map(Some) };
                Cells::Text((0..column.len()).map(text).collect::<Result<_>>()?)
            }
        },
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = cast(column, &DataType::LargeUtf8).map_err(failed)?;
            Cells::Text(texts.as_string::<i64>().iter().map(|text| text.map(str::to_owned)).collect())
        }
        // Dates, times, decimals and bytes become text, since JSON has no such values.
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(failed)?;
            let text = |row| column.is_valid(row).then(|| formatter.value(row).try_to_string()).transpose();
            Cells::Text((0..column.len()).map(text).collect::<Result<_, _>>().map_err(failed)?)
        }
    })
}

fn failed(error: ArrowError) -> Error {
    Error::data("cannot convert a value for output").with("detail", &error).caused_by(error)
}

fn numbers<T: ArrowPrimitiveType>(column: &ArrayRef, data_type: &DataType) -> Result<Vec<Option<T::Native>>> {
    Ok(cast(column, data_type).map_err(failed)?.as_primitive::<T>().iter().collect())
}

/// The `f64` with the same shortest digits: 0.1 becomes 0.1, and not 0.10000000149.
fn widened(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

/// The values of a column in JSON.
fn values(column: &ArrayRef) -> Result<Vec<Value>> {
    if let DataType::Struct(fields) = column.data_type() {
        let column = column.as_struct();
        let mut children: Vec<_> =
            column.columns().iter().map(|child| values(child).map(Vec::into_iter)).collect::<Result<_>>()?;
        let row = |row: usize| {
            let cells = fields.iter().zip(&mut children);
            // A child has a value for every row, even where the struct is null.
            let cells = cells.map(|(field, child)| (field.name().clone(), child.next().unwrap_or_default()));
            let cells: Map<String, Value> = cells.collect();
            if column.is_null(row) { Value::Null } else { cells.into() }
        };
        return Ok((0..column.len()).map(row).collect());
    }
    if let Some(maps) = column.as_map_opt() {
        let keys = cast(maps.keys(), &DataType::Utf8).map_err(failed)?;
        let (keys, values) = (keys.as_string::<i32>(), values(maps.values())?);
        let map = |row: usize| {
            let entries = maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
            let entries = entries.map(|at| (keys.value(at).to_owned(), values[at].clone()));
            if maps.is_null(row) { Value::Null } else { entries.collect::<Map<_, _>>().into() }
        };
        return Ok((0..column.len()).map(map).collect());
    }
    if let Some(row) = items(column) {
        let list = |at: usize| {
            if column.is_null(at) { Ok(Value::Null) } else { values(&row(at)).map(Value::Array) }
        };
        return (0..column.len()).map(list).collect();
    }
    if column.data_type().is_nested() {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).map_err(failed)?;
        let text = |row| formatter.value(row).try_to_string().map(Value::String);
        return (0..column.len()).map(text).collect::<Result<_, _>>().map_err(failed);
    }
    let cells = cells(column, Nested::Json)?;
    Ok((0..column.len()).map(|row| cells.json(row)).collect())
}

/// A function that returns the items of the list in a row, if the column holds lists.
fn items(column: &ArrayRef) -> Option<Box<dyn Fn(usize) -> ArrayRef + '_>> {
    fn of<O: OffsetSizeTrait>(lists: &GenericListArray<O>) -> Box<dyn Fn(usize) -> ArrayRef + '_> {
        Box::new(|row| lists.value(row))
    }
    match column.data_type() {
        DataType::List(_) => Some(of(column.as_list::<i32>())),
        DataType::LargeList(_) => Some(of(column.as_list::<i64>())),
        DataType::FixedSizeList(..) => {
            let lists: &FixedSizeListArray = column.as_fixed_size_list();
            Some(Box::new(|row| lists.value(row)))
        }
        _ => None,
    }
}

/// A value in a few words.
fn short(column: &ArrayRef, row: usize, describe: Describe) -> Result<String> {
    if column.is_null(row) {
        return Ok(NOTHING.to_owned());
    }
    if let Some(text) = describe(column, row) {
        return Ok(text);
    }
    if let DataType::Struct(fields) = column.data_type() {
        let children = fields.iter().zip(column.as_struct().columns());
        let mut text = String::from("{");
        for (at, (field, child)) in children.enumerate() {
            if text.len() > STRUCT_WIDTH {
                text.extend([", … ", &fields.len().to_string(), " in all"]);
                break;
            }
            let between = if at == 0 { "" } else { ", " };
            text.extend([between, &escaped(field.name()), ": ", &short(child, row, describe)?]);
        }
        return Ok(text + "}");
    }
    if let Some(maps) = column.as_map_opt() {
        let count = maps.value_length(row);
        return Ok(format!("{count} {}", if count == 1 { "entry" } else { "entries" }));
    }
    if let Some(items) = items(column) {
        let items = items(row);
        if let DataType::Struct(fields) = items.data_type() {
            let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            return Ok(format!("{} of ({})", items.len(), names.join(", ")));
        }
        let shown = if items.len() > SHOWN { SHOWN - 1 } else { items.len() };
        let mut parts = (0..shown).map(|row| short(&items, row, describe)).collect::<Result<Vec<_>>>()?;
        if shown < items.len() {
            parts.push(format!("… {} in all", items.len()));
        }
        return Ok(format!("[{}]", parts.join(", ")));
    }
    Ok(match cells(&column.slice(row, 1), Nested::Json)? {
        Cells::Float(numbers) => numbers[0].map_or_else(|| NOTHING.to_owned(), significant),
        cells => match cells.json(0) {
            Value::String(text) => escaped(&text),
            value => value.to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Decimal128Array, DictionaryArray, Float32Array, Int32Array, ListArray, StringArray, StructArray,
        TimestampSecondArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Float64Type as F64, Int32Type};

    use super::*;

    const PLAIN: Nested = Nested::Short(|_, _| None);

    fn json(column: impl Array + 'static) -> String {
        let column: ArrayRef = Arc::new(column);
        let cells = cells(&column, Nested::Json).unwrap();
        (0..column.len()).map(|row| cells.json(row).to_string()).collect::<Vec<_>>().join(" ")
    }

    fn texts(column: &ArrayRef) -> Vec<Option<String>> {
        match cells(column, PLAIN).unwrap() {
            Cells::Text(texts) => texts,
            other => panic!("{other:?}"),
        }
    }

    fn lists(lengths: &[usize]) -> ListArray {
        let rows = lengths.iter().map(|&length| Some((0..length).map(|at| Some(at as f64 / 8.0))));
        ListArray::from_iter_primitive::<F64, _, _>(rows)
    }

    #[test]
    fn scalars_keep_their_type_and_digits() {
        assert_eq!(json(Int32Array::from(vec![Some(-3), None])), "-3 null");
        assert_eq!(json(UInt64Array::from(vec![3, u64::MAX])), "3 18446744073709551615");
        assert_eq!(json(Float32Array::from(vec![0.1, f32::NAN])), "0.1 null");
        assert_eq!(json(["a", "b", "a"].into_iter().collect::<DictionaryArray<Int32Type>>()), r#""a" "b" "a""#);
        assert_eq!(json(TimestampSecondArray::from(vec![0])), r#""1970-01-01T00:00:00""#);
        let wide = Decimal128Array::from(vec![i128::from(u64::MAX) * 4]).with_precision_and_scale(38, 0).unwrap();
        // More digits than a number in JSON can be trusted to keep.
        assert_eq!(json(wide), r#""73786976294838206460""#);
    }

    #[test]
    fn nested_values_are_json_or_a_few_words() {
        let column = lists(&[0, 2, 64]);
        assert_eq!(json(lists(&[0, 2])), "[] [0.0,0.125]");
        assert_eq!(
            texts(&(Arc::new(column) as ArrayRef)),
            ["[]", "[0, 0.1250]", "[0, 0.1250, 0.2500, … 64 in all]"].map(|text| Some(text.to_owned()))
        );
        let fields = [
            (Arc::new(Field::new("name", DataType::Utf8, true)), Arc::new(StringArray::from(vec!["x"])) as ArrayRef),
            (Arc::new(Field::new("list", lists(&[1]).data_type().clone(), true)), Arc::new(lists(&[1]))),
        ];
        let column: ArrayRef = Arc::new(StructArray::from(fields.to_vec()));
        assert_eq!(texts(&column), [Some("{name: x, list: [0]}".to_owned())]);
        assert_eq!(json(column.as_struct().clone()), r#"{"name":"x","list":[0.0]}"#);
    }

    #[test]
    fn who_knows_better_is_asked_first() {
        let column: ArrayRef = Arc::new(lists(&[3]));
        let Cells::Text(texts) =
            cells(&column, Nested::Short(|array, row| Some(format!("{} {row}", array.len())))).unwrap()
        else {
            panic!("no text")
        };
        assert_eq!(texts, [Some("1 0".to_owned())]);
    }
}
