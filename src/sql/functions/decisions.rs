//! NC4 of decisions: `<key>_of(decisions)`.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Result;
use crate::metrics::{Card, card, cards, of_decisions};
use crate::sql::error::external;
use crate::sql::functions::arguments::Arguments;
use crate::sql::functions::catalogue;
use crate::sql::functions::evaluate::MetricInput;
use crate::sql::settings::Settings;
use crate::sql::values::decisions::{are_decisions, decode};

/// `<key>_of(decisions)`, for each metric of NC4.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) struct DecisionsFunction {
    name: String,
    key: &'static str,
    signature: Signature,
}

impl DecisionsFunction {
    pub(in crate::sql) fn all() -> Vec<Self> {
        cards().iter().filter(|card| MetricInput::of(card) == MetricInput::Decisions).map(Self::of).collect()
    }

    pub(in crate::sql) fn of(card: &Card) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name: format!("{}_of", card.key), key: card.key, signature }
    }

    /// The call with these decisions.
    pub(in crate::sql) fn call(key: &str, decisions: Expr) -> Option<Expr> {
        let function = Arc::new(ScalarUDF::new_from_impl(Self::of(card(key)?)));
        Some(Expr::ScalarFunction(ScalarFunction::new_udf(function, vec![decisions])))
    }
}

impl ScalarUDFImpl for DecisionsFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        Ok(DataType::Float64)
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        match types {
            [one] if are_decisions(one) => Ok(types.to_vec()),
            _ => plan_err!("{0} takes decisions, as nc_decisions makes: {0}(decisions)", self.name),
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(&self.name)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> SqlResult<ColumnarValue> {
        let doubts = Settings::of(&args.config_options).doubts;
        let arguments = Arguments::of(&args)?;
        let column = arguments.array(0);
        let value = |row: usize| -> Result<Option<f64>> {
            let Some(decisions) = column.as_struct_opt() else { return Ok(None) };
            let Some((decisions, head)) = decode(decisions, row)? else { return Ok(None) };
            let Some(made) = of_decisions(self.key, &decisions, head) else { return Ok(None) };
            doubts.note(&made, true);
            Ok(made.value(self.key))
        };
        let values: Vec<Option<f64>> = (0..column.len()).map(value).collect::<Result<_>>().map_err(external)?;
        arguments.give_back(Arc::new(Float64Array::from(values)))
    }
}
