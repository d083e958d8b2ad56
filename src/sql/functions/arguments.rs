//! The arguments of a scalar function, one value a row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result as SqlResult;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};
use crate::sql::values::head::{self, Classifier, Library};
use crate::sql::values::sql_state::SqlState;
use crate::sql::values::state_column::{self, States};

/// Arguments as arrays, constants as arrays of one row.
pub(in crate::sql) struct Arguments {
    arrays: Vec<(ArrayRef, bool)>,
    rows: usize,
    constant: bool,
}

impl Arguments {
    pub(in crate::sql) fn of(args: &ScalarFunctionArgs) -> SqlResult<Self> {
        let array = |value: &ColumnarValue| match value {
            ColumnarValue::Array(array) => Ok((array.clone(), false)),
            ColumnarValue::Scalar(scalar) => Ok((scalar.to_array()?, true)),
        };
        let arrays: Vec<(ArrayRef, bool)> = args.args.iter().map(array).collect::<SqlResult<_>>()?;
        let constant = arrays.iter().all(|(_, constant)| *constant);
        Ok(Self { arrays, rows: if constant { 1 } else { args.number_rows }, constant })
    }

    /// The result as DataFusion wants it: a constant of constants.
    pub(in crate::sql) fn give_back(&self, made: ArrayRef) -> SqlResult<ColumnarValue> {
        if self.constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&made, 0)?));
        }
        Ok(ColumnarValue::Array(made))
    }

    pub(in crate::sql) fn count(&self) -> usize {
        self.arrays.len()
    }

    /// An argument as it is; a constant has one row.
    pub(in crate::sql) fn array(&self, argument: usize) -> &ArrayRef {
        &self.arrays[argument].0
    }

    pub(in crate::sql) fn rows(&self) -> usize {
        self.rows
    }

    /// Where each row's value of an argument is.
    fn at(&self, argument: usize) -> (&ArrayRef, impl Fn(usize) -> usize + Sync + use<>) {
        let (array, constant) = &self.arrays[argument];
        let constant = *constant;
        (array, move |row| if constant { 0 } else { row })
    }

    /// Bytes of the states among the arguments.
    pub(in crate::sql) fn state_bytes(&self) -> u64 {
        let states = self.arrays.iter().filter(|(array, _)| state_column::is_state(array.data_type()));
        states.map(|(array, _)| array.to_data().get_slice_memory_size().unwrap_or_default() as u64).sum()
    }

    pub(in crate::sql) fn states(&self, argument: usize) -> Result<Vec<Option<SqlState>>> {
        let (array, at) = self.at(argument);
        let states = States::of(array)?;
        (0..self.rows).map(|row| states.get(at(row))).collect()
    }

    /// The values of a list in each row; `None` for a null.
    pub(in crate::sql) fn lists(&self, argument: usize) -> Result<Vec<Option<ArrayRef>>> {
        let (array, at) = self.at(argument);
        let list = |row: usize| match array.data_type() {
            DataType::LargeList(_) => array.as_list::<i64>().value(row),
            _ => array.as_list::<i32>().value(row),
        };
        if !matches!(array.data_type(), DataType::List(_) | DataType::LargeList(_)) {
            return Err(Error::data("a list was expected").with("found", array.data_type()));
        }
        Ok((0..self.rows).map(at).map(|at| array.is_valid(at).then(|| list(at))).collect())
    }

    pub(in crate::sql) fn heads(&self, argument: usize) -> Result<Vec<Option<Arc<Classifier>>>> {
        let (array, at) = self.at(argument);
        let Some(places) = head::decode(array)? else { return Ok(vec![None; self.rows]) };
        let heads = Library::default().read_all(&places)?;
        Ok((0..self.rows).map(|row| heads[at(row)].clone()).collect())
    }

    pub(in crate::sql) fn texts(&self, argument: usize) -> Result<Vec<Option<String>>> {
        let (array, at) = self.at(argument);
        let texts =
            cast(array, &DataType::Utf8).map_err(|error| Error::data("a text was expected").caused_by(error))?;
        let texts = texts.as_string::<i32>();
        Ok((0..self.rows).map(at).map(|at| texts.is_valid(at).then(|| texts.value(at).to_owned())).collect())
    }

    pub(in crate::sql) fn integers(&self, argument: usize) -> Result<Vec<Option<i64>>> {
        let (array, at) = self.at(argument);
        let whole =
            cast(array, &DataType::Int64).map_err(|error| Error::data("an integer was expected").caused_by(error))?;
        let whole = whole.as_primitive::<Int64Type>();
        Ok((0..self.rows).map(at).map(|at| whole.is_valid(at).then(|| whole.value(at))).collect())
    }
}
