//! `nc_head`, and what keeps a head or a state beside rows from being copied for every row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::Result;
use crate::sql::error::external;
use crate::sql::functions::arguments::Arguments;
use crate::sql::functions::catalogue;
use crate::sql::values::head::{self, HeadPlace};
use crate::sql::values::shared::shared;

/// `nc_head(path [, key [, transposed]])`: a classifier in a file, as `--head` reads it. That it is there is seen at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) struct HeadFunction {
    signature: Signature,
}

impl HeadFunction {
    pub(in crate::sql) fn new() -> Self {
        // A file may be another one in the next query, though not within one.
        Self { signature: Signature::user_defined(Volatility::Stable) }
    }
}

impl ScalarUDFImpl for HeadFunction {
    fn name(&self) -> &'static str {
        "nc_head"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        Ok(head::data_type())
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let fits = match types {
            [path] => text(path),
            [path, key] => text(path) && (text(key) || key == &DataType::Null),
            [path, key, transposed] => {
                text(path) && (text(key) || key == &DataType::Null) && transposed == &DataType::Boolean
            }
            _ => false,
        };
        if fits { Ok(types.to_vec()) } else { plan_err!("nc_head takes nc_head(path [, key [, transposed]])") }
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(self.name())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> SqlResult<ColumnarValue> {
        let arguments = Arguments::of(&args)?;
        arguments.give_back(places(&arguments).map_err(external)?)
    }
}

fn places(arguments: &Arguments) -> Result<ArrayRef> {
    let paths = arguments.texts(0)?;
    let keys = if arguments.count() > 1 { arguments.texts(1)? } else { vec![None; arguments.rows()] };
    let transposed = if arguments.count() > 2 { arguments.texts(2)? } else { vec![None; arguments.rows()] };
    let head = |row: usize| -> Result<Option<HeadPlace>> {
        let Some(path) = &paths[row] else { return Ok(None) };
        let text = keys[row].as_ref().map_or_else(|| path.clone(), |key| format!("{path}:{key}"));
        let place = HeadPlace { text, transposed: transposed[row].as_deref() == Some("true") };
        place.check()?;
        Ok(Some(place))
    };
    let heads: Vec<_> = (0..arguments.rows()).map(head).collect::<Result<_>>()?;
    head::encode(heads.iter().map(Option::as_ref))
}

/// `nc_share(x)`: values as a dictionary, so that the rows which they are joined with share them and do not copy them.
///
/// A constant becomes a dictionary of one value: the analyzer wraps states and heads beside rows in it, so a subquery is run
/// first and its value handed on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) struct ShareFunction {
    signature: Signature,
}

impl ShareFunction {
    pub(in crate::sql) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }

    /// The call with this argument.
    pub(in crate::sql) fn call(argument: Expr) -> Expr {
        let function = Arc::new(ScalarUDF::new_from_impl(Self::new()));
        Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![argument]))
    }
}

impl ScalarUDFImpl for ShareFunction {
    fn name(&self) -> &'static str {
        "nc_share"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> SqlResult<DataType> {
        Ok(DataType::Dictionary(Box::new(DataType::Int32), Box::new(shared(&types[0]).clone())))
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(self.name())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> SqlResult<ColumnarValue> {
        match &args.args[..] {
            [shared @ ColumnarValue::Scalar(ScalarValue::Dictionary(..))] => Ok(shared.clone()),
            [ColumnarValue::Scalar(value)] => {
                Ok(ColumnarValue::Scalar(ScalarValue::Dictionary(Box::new(DataType::Int32), Box::new(value.clone()))))
            }
            [ColumnarValue::Array(array)] if array.as_any_dictionary_opt().is_some() => {
                Ok(ColumnarValue::Array(array.clone()))
            }
            [ColumnarValue::Array(array)] => {
                let keys = (0..array.len()).map(|row| array.is_valid(row).then_some(row as i32));
                let shared = DictionaryArray::<Int32Type>::try_new(keys.collect(), array.clone())?;
                Ok(ColumnarValue::Array(Arc::new(shared)))
            }
            _ => plan_err!("nc_share takes one value"),
        }
    }
}
