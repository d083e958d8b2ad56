//! `nc_jackknife(array_agg(state), metric [, head])`: the error bar of a metric, of the states of blocks.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Float64Array, Int64Array, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};

use crate::batch::Label;
use crate::error::{Error, Result};
use crate::metrics::{Blocks, Evidence, Extras, Measured, Selection, card, error_bars, measure};
use crate::sql::error::external;
use crate::sql::functions::arguments::Arguments;
use crate::sql::functions::catalogue;
use crate::sql::functions::evaluate::workspace;
use crate::sql::functions::of_state::unknown;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;
use crate::sql::values::head::{self, Classifier};
use crate::sql::values::sql_state::SqlState;
use crate::sql::values::state_column::{self, States};
use crate::state::State;

/// The function.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) struct JackknifeFunction {
    signature: Signature,
}

/// What it returns beside the numbers: how many blocks have rows, and why there is no error bar.
const NUMBERS: [&str; 5] = ["value", "se", "lo", "hi", "bias"];

fn fields() -> Fields {
    let numbers = NUMBERS.iter().map(|name| Field::new(*name, DataType::Float64, true));
    let others = [Field::new("blocks", DataType::Int64, true), Field::new("reason", DataType::Utf8, true)];
    numbers.chain(others).collect()
}

impl JackknifeFunction {
    pub(in crate::sql) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

/// The type of the values of a list.
fn items(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) => Some(item.data_type()),
        _ => None,
    }
}

impl ScalarUDFImpl for JackknifeFunction {
    fn name(&self) -> &'static str {
        "nc_jackknife"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        Ok(DataType::Struct(fields()))
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let states = |t: &DataType| items(t).is_some_and(state_column::is_state);
        let fits = match types {
            [list, metric] => states(list) && text(metric),
            [list, metric, one] => states(list) && text(metric) && (head::is_head(one) || one == &DataType::Null),
            _ => false,
        };
        if fits {
            return Ok(types.to_vec());
        }
        plan_err!("nc_jackknife takes the states of blocks as a list: nc_jackknife(array_agg(state), metric [, head])")
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(self.name())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> SqlResult<ColumnarValue> {
        let settings = Settings::of(&args.config_options);
        let arguments = Arguments::of(&args)?;
        let made = made(&arguments, &settings).map_err(external)?;
        arguments.give_back(made)
    }
}

fn made(arguments: &Arguments, settings: &Settings) -> Result<ArrayRef> {
    let keys = arguments.texts(1)?;
    let heads = if arguments.count() > 2 { arguments.heads(2)? } else { vec![None; arguments.rows()] };
    let lists = arguments.lists(0)?;
    let rows = lists.iter().zip(&keys).zip(&heads).map(|((list, key), head)| {
        let (Some(list), Some(key)) = (list, key) else { return Ok(None) };
        let key = card(key).ok_or_else(|| unknown(key))?.key;
        of_blocks(list, key, head.as_deref(), settings)
    });
    let rows: Vec<Option<(Measured, i64)>> = rows.collect::<Result<_>>()?;
    let bar = |of: fn(&Measured) -> Option<f64>| {
        let numbers = rows.iter().map(|row| row.as_ref().and_then(|(metric, _)| of(metric)));
        Arc::new(numbers.collect::<Float64Array>()) as ArrayRef
    };
    let reason = |metric: &Measured| metric.reason.or(metric.error_bar.and_then(Result::err));
    let mut columns = vec![
        bar(|metric| metric.value),
        bar(|metric| Some(metric.bar()?.se)),
        bar(|metric| Some(metric.bar()?.lo)),
        bar(|metric| Some(metric.bar()?.hi)),
        bar(|metric| Some(metric.bar()?.bias)),
    ];
    columns.push(Arc::new(rows.iter().map(|row| row.as_ref().map(|(_, blocks)| *blocks)).collect::<Int64Array>()));
    let reasons = rows.iter().map(|row| row.as_ref().and_then(|(metric, _)| reason(metric)));
    columns.push(Arc::new(reasons.collect::<StringArray>()));
    let valid = rows.iter().map(Option::is_some).collect::<Vec<_>>();
    let made = StructArray::try_new(fields(), columns, Some(valid.into()));
    Ok(Arc::new(made.map_err(|error| Error::internal("cannot build the columns of a result").caused_by(error))?))
}

/// A metric of the states of blocks together, with its error bar, and how many blocks have rows; `None` if none has.
fn of_blocks(
    list: &ArrayRef,
    key: &'static str,
    head: Option<&Classifier>,
    settings: &Settings,
) -> Result<Option<(Measured, i64)>> {
    let bytes = list.to_data().get_slice_memory_size().unwrap_or_default() as u64;
    // As they come, decoded, and all together.
    let _decoded = Budget::of(settings).hold(2 * bytes, settings.memory)?;
    let states = States::of(list)?;
    let mut total: Option<SqlState> = None;
    let mut parts: Vec<(Label, State)> = Vec::new();
    for row in 0..states.len() {
        let Some(state) = states.get(row)? else { continue };
        match &mut total {
            Some(total) => total.merge(&state)?,
            None => total = Some(state.clone()),
        }
        parts.push((Label::from(row as u64), state.state));
    }
    let Some(total) = total.filter(|total| total.class_sums().rows() > 0) else { return Ok(None) };
    let replicate = workspace(&total) + total.bytes();
    let _held = Budget::of(settings).hold(replicate, settings.memory)?;
    let (statistics, dropped_classes) = settings.options.select_classes(total.state.statistics()?);
    let head = head.map(|head| head.of(&statistics, settings)).transpose()?;
    let headless = head.as_ref().and_then(|head| head.as_ref().err()).copied();
    let head = head.and_then(std::result::Result::ok);
    let evidence = Evidence {
        head: head.as_ref(),
        dropped_classes,
        normalized: total.normalized,
        ..Evidence::new(&statistics, total.significand_bits)
    };
    let selection = Selection::parse(&[key.to_owned()])?;
    let mut measurements = measure(&evidence, &settings.options, &selection, Extras::default())?;
    let blocks = Blocks { total: &total.state, parts: &parts };
    // One replicate at a time, as other functions hold one state at a time.
    let made = error_bars(&blocks, &evidence, &settings.options, &mut measurements, 1)?;
    measurements.explain(headless);
    Ok(measurements.metrics.pop().map(|metric| (metric, made.blocks.len() as i64)))
}
