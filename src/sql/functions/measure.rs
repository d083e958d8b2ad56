//! Functions of a state: `<key>_of`, and what else can be asked of one.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Float64Builder, LargeListBuilder, StringArray, StringBuilder, StructArray,
    UInt64Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;
use rayon::prelude::*;

use crate::archive::StoredHead;
use crate::error::{Error, Result, nearest};
use crate::metrics::{Card, ClassRow, Extras, Measurements, Pair, card, cards, spectrum};
use crate::sql::error::external;
use crate::sql::functions::catalogue;
use crate::sql::functions::evaluate::{self, Beside, Source, keys_of_states, measurements, table_fields};
use crate::sql::functions::remarks;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;
use crate::sql::values::head::{self, Library};
use crate::sql::values::state_column::{self, States};
use crate::sql::values::summary::Summary;

/// A function whose first argument is a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) struct Measure {
    name: String,
    output: Output,
    signature: Signature,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Output {
    /// One metric.
    Metric(&'static str),
    /// Several, as a struct: what is made once where a query asks for each.
    Metrics(Vec<&'static str>),
    /// Why a metric has no value.
    Reason,
    /// What rounding left of it.
    Accuracy,
    /// What is remarked of it.
    Flags,
    Classes,
    WorstPairs,
    Spectrum,
    /// One state less another.
    Difference,
}

impl Measure {
    fn new(name: &str, output: Output) -> Self {
        Self { name: name.to_owned(), output, signature: Signature::user_defined(Volatility::Immutable) }
    }

    pub(in crate::sql) fn of_metric(card: &Card) -> Self {
        Self::new(&format!("{}_of", card.key), Output::Metric(card.key))
    }

    pub(in crate::sql) fn of_all() -> Self {
        Self::new("nc_measure_of", Output::Metrics(keys_of_states()))
    }

    /// Several metrics of the same arguments.
    pub(in crate::sql) fn of_several(keys: Vec<&'static str>) -> Self {
        Self::new("__nc_metrics_of", Output::Metrics(keys))
    }

    /// All functions of states.
    pub(in crate::sql) fn all() -> Vec<Self> {
        let metrics = cards()
            .iter()
            .filter(|card| matches!(Source::of(card), Source::State | Source::StateAndHead | Source::StateAndOutside));
        let others = [
            Self::of_all(),
            Self::new("nc_reason", Output::Reason),
            Self::new("nc_accuracy", Output::Accuracy),
            Self::new("nc_flags", Output::Flags),
            Self::new("nc_classes", Output::Classes),
            Self::new("nc_worst_pairs", Output::WorstPairs),
            Self::new("nc_spectrum", Output::Spectrum),
            Self::new("nc_subtract", Output::Difference),
        ];
        others.into_iter().chain(metrics.map(Self::of_metric)).collect()
    }

    /// The key, if it is the function of one metric.
    pub(in crate::sql) fn key(&self) -> Option<&'static str> {
        match self.output {
            Output::Metric(key) => Some(key),
            _ => None,
        }
    }

    /// The call with these arguments.
    pub(in crate::sql) fn call(&self, arguments: Vec<Expr>) -> Expr {
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(self.clone())), arguments))
    }

    fn usage(&self) -> String {
        let more = match &self.output {
            Output::Metric(key) => match card(key).map(Source::of) {
                Some(Source::StateAndHead) => ", head",
                Some(Source::StateAndOutside) => ", state of out-of-distribution rows",
                _ => "",
            },
            Output::Metrics(_) => " [, head [, state of out-of-distribution rows]]",
            Output::Reason | Output::Accuracy | Output::Flags => {
                ", metric [, head [, state of out-of-distribution rows]]"
            }
            Output::Classes => " [, head]",
            Output::WorstPairs => ", number of pairs",
            Output::Spectrum => "",
            Output::Difference => ", state",
        };
        format!("{}(state{more})", self.name)
    }

    fn fits(&self, types: &[DataType]) -> bool {
        let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let head = |t: &DataType| head::is_head(t) || t == &DataType::Null;
        let Some((first, rest)) = types.split_first() else { return false };
        state_column::is_state(first)
            && match (&self.output, rest) {
                (Output::Metric(key), rest) => match (card(key).map(Source::of), rest) {
                    (Some(Source::StateAndHead), [one]) => head(one),
                    (Some(Source::StateAndOutside), [one]) => state_column::is_state(one),
                    (_, rest) => rest.is_empty(),
                },
                (Output::Spectrum | Output::Classes | Output::Metrics(_), []) => true,
                (Output::Metrics(_), [one, two]) => head(one) && state_column::is_state(two),
                (Output::Metrics(_), [one]) => head(one) || state_column::is_state(one),
                (Output::Classes, [one]) => head(one),
                (Output::Reason | Output::Accuracy | Output::Flags, [key, rest @ ..]) => {
                    text(key)
                        && match rest {
                            [] => true,
                            [one] => head(one),
                            [one, two] => head(one) && state_column::is_state(two),
                            _ => false,
                        }
                }
                (Output::WorstPairs, [pairs]) => pairs.is_integer(),
                (Output::Difference, [other]) => state_column::is_state(other),
                _ => false,
            }
    }

    fn make(&self, arguments: &Arguments, settings: &Settings) -> Result<ArrayRef> {
        // All states of the batch are decoded before the first is looked at.
        let _decoded = Budget::of(settings).hold(arguments.state_bytes(), settings.memory)?;
        let states = arguments.states(0)?;
        let none = || vec![None; states.len()];
        match &self.output {
            Output::Metric(key) => {
                let source = card(key).map(Source::of);
                let heads = if source == Some(Source::StateAndHead) { arguments.heads(1)? } else { none() };
                let outside = match source {
                    Some(Source::StateAndOutside) => arguments.states(1)?,
                    _ => states.iter().map(|_| None).collect(),
                };
                evaluate::metric(key, &beside(&states, &heads, &outside), settings)
            }
            Output::Metrics(keys) => {
                let sources = |wanted| keys.iter().any(|key| card(key).map(Source::of) == Some(wanted));
                let more = arguments.count() > 1;
                // A lone second argument is the one that the metrics stand on.
                let second_is_state = more && !sources(Source::StateAndHead) && sources(Source::StateAndOutside);
                let heads = if more && !second_is_state { arguments.heads(1)? } else { none() };
                let outside = match (second_is_state, arguments.count()) {
                    (true, _) => arguments.states(1)?,
                    (false, 3) => arguments.states(2)?,
                    _ => states.iter().map(|_| None).collect(),
                };
                Ok(Arc::new(evaluate::table(keys, &beside(&states, &heads, &outside), settings)?))
            }
            Output::Reason => {
                let reasons = of_a_metric(&states, arguments, settings, |made| made.metrics.first()?.reason)?;
                Ok(Arc::new(reasons.into_iter().map(Option::flatten).collect::<StringArray>()))
            }
            Output::Accuracy => {
                let errors = of_a_metric(&states, arguments, settings, |made| {
                    made.accuracy.get(made.metrics.first()?.key).copied()
                })?;
                Ok(Arc::new(errors.into_iter().map(Option::flatten).collect::<Float64Array>()))
            }
            Output::Flags => {
                let flags = of_a_metric(&states, arguments, settings, |made| {
                    made.metrics.first().map(|metric| metric.flags.clone()).unwrap_or_default()
                })?;
                Ok(remarks::lists(&flags))
            }
            Output::Classes => {
                let heads = if arguments.count() > 1 { arguments.heads(1)? } else { none() };
                let extras = Extras { per_class: true, worst_pairs: 0 };
                let rows = each(&states, |row, state| {
                    // The cheapest metric: only what stands beside it is wanted.
                    let keys = &["nc1_trace_ratio"];
                    Ok(measurements(state, keys, heads[row].as_deref(), None, extras, settings)?.per_class)
                })?;
                classes(&rows)
            }
            Output::WorstPairs => {
                let counts = arguments.integers(1)?;
                let rows = each(&states, |row, state| {
                    let pairs = counts[row].and_then(|count| usize::try_from(count).ok());
                    let worst_pairs = pairs.ok_or_else(|| Error::usage("the number of pairs is 0 or above"))?;
                    let extras = Extras { per_class: false, worst_pairs };
                    Ok(measurements(state, &["nc1_cdnv"], None, None, extras, settings)?.worst_pairs)
                })?;
                pairs(&rows)
            }
            Output::Spectrum => {
                let spectra = each(&states, |_, state| {
                    let (statistics, _) = evaluate::statistics(state, settings)?;
                    spectrum(&statistics, &settings.options)
                })?;
                let mut within = LargeListBuilder::new(Float64Builder::new());
                let mut between = LargeListBuilder::new(Float64Builder::new());
                for spectrum in &spectra {
                    let inside = spectrum.as_ref().and_then(|spectrum| spectrum.within.as_ref().ok());
                    for (list, values) in
                        [(&mut within, inside), (&mut between, spectrum.as_ref().map(|spectrum| &spectrum.between))]
                    {
                        list.values().append_slice(values.map_or(&[], Vec::as_slice));
                        list.append(values.is_some());
                    }
                }
                let columns: Vec<ArrayRef> = vec![Arc::new(within.finish()), Arc::new(between.finish())];
                let valid = spectra.iter().map(Option::is_some).collect::<Vec<_>>();
                structs(spectrum_fields(), columns, Some(valid.into())).map(|array| Arc::new(array) as ArrayRef)
            }
            Output::Difference => {
                let others = arguments.states(1)?;
                let less = each(&states, |row, state| {
                    let mut state = state.clone();
                    others[row].as_ref().map_or(Ok(()), |other| state.subtract(other))?;
                    Ok(state)
                })?;
                Ok(Arc::new(state_column::encode(less.iter().map(Option::as_ref))?))
            }
        }
    }
}

/// Something of the metric that the second argument names, of each state; nothing where either is null.
fn of_a_metric<T: Send>(
    states: &[Option<Summary>],
    arguments: &Arguments,
    settings: &Settings,
    of: impl Fn(&Measurements) -> T + Sync,
) -> Result<Vec<Option<T>>> {
    let keys = arguments.texts(1)?;
    let heads = if arguments.count() > 2 { arguments.heads(2)? } else { vec![None; states.len()] };
    let outside = if arguments.count() > 3 { arguments.states(3)? } else { vec![None; states.len()] };
    let each = (0..states.len()).into_par_iter().map(|row| {
        let (Some(state), Some(key)) = (&states[row], &keys[row]) else { return Ok(None) };
        let key = card(key).ok_or_else(|| unknown(key))?.key;
        let (head, outside) = (heads[row].as_deref(), outside[row].as_ref());
        Ok(Some(of(&measurements(state, &[key], head, outside, Extras::default(), settings)?)))
    });
    // An error is the same whichever thread comes first.
    each.collect::<Vec<_>>().into_iter().collect()
}

fn unknown(key: &str) -> Error {
    let near = nearest(key, cards().iter().map(|card| card.key));
    let error = Error::usage("no such metric").with("metric", key.escape_debug());
    if near.is_empty() { error } else { error.help(format!("did you mean {}?", near.join(", "))) }
}

/// Whether the call of a metric can be made with others of the same arguments.
pub(in crate::sql) fn metric_call(call: &ScalarFunction) -> Option<&'static str> {
    call.func.inner().downcast_ref::<Measure>()?.key()
}

impl ScalarUDFImpl for Measure {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        let list =
            |fields: Fields| DataType::LargeList(Arc::new(Field::new_list_field(DataType::Struct(fields), true)));
        Ok(match &self.output {
            Output::Metric(_) | Output::Accuracy => DataType::Float64,
            Output::Metrics(keys) => DataType::Struct(table_fields(keys)),
            Output::Reason => DataType::Utf8,
            Output::Flags => remarks::list_type(),
            Output::Classes => list(class_fields()),
            Output::WorstPairs => list(pair_fields()),
            Output::Spectrum => DataType::Struct(spectrum_fields()),
            Output::Difference => state_column::data_type(),
        })
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        if self.fits(types) {
            return Ok(types.to_vec());
        }
        let types = types.iter().map(short).collect::<Vec<_>>().join(", ");
        plan_err!("{} does not take ({types}): {}", self.name, self.usage())
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(&self.name)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> SqlResult<ColumnarValue> {
        let settings = Settings::of(&args.config_options);
        let arguments = Arguments::of(&args)?;
        let made = self.make(&arguments, &settings).map_err(external)?;
        arguments.give_back(made)
    }
}

/// A type in few words.
fn short(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(_) if state_column::is_state(data_type) => "state".to_owned(),
        DataType::Struct(_) if head::is_head(data_type) => "head".to_owned(),
        DataType::Struct(_) => "struct".to_owned(),
        other => other.to_string(),
    }
}

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
    fn state_bytes(&self) -> u64 {
        let states = self.arrays.iter().filter(|(array, _)| state_column::is_state(array.data_type()));
        states.map(|(array, _)| array.to_data().get_slice_memory_size().unwrap_or_default() as u64).sum()
    }

    fn states(&self, argument: usize) -> Result<Vec<Option<Summary>>> {
        let (array, at) = self.at(argument);
        let states = States::of(array)?;
        (0..self.rows).map(|row| states.get(at(row))).collect()
    }

    fn heads(&self, argument: usize) -> Result<Vec<Option<Arc<StoredHead>>>> {
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

    fn integers(&self, argument: usize) -> Result<Vec<Option<i64>>> {
        let (array, at) = self.at(argument);
        let whole =
            cast(array, &DataType::Int64).map_err(|error| Error::data("an integer was expected").caused_by(error))?;
        let whole = whole.as_primitive::<Int64Type>();
        Ok((0..self.rows).map(at).map(|at| whole.is_valid(at).then(|| whole.value(at))).collect())
    }
}

/// Something of each state, many at a time; nothing of none.
fn each<T: Send>(
    states: &[Option<Summary>],
    make: impl Fn(usize, &Summary) -> Result<T> + Sync,
) -> Result<Vec<Option<T>>> {
    let made = states.par_iter().enumerate().map(|(row, state)| {
        let state = state.as_ref().filter(|state| state.class_sums().rows() > 0);
        state.map(|state| make(row, state)).transpose()
    });
    let made: Vec<Result<Option<T>>> = made.collect();
    made.into_iter().collect()
}

fn beside<'a>(
    states: &'a [Option<Summary>],
    heads: &'a [Option<Arc<StoredHead>>],
    outside: &'a [Option<Summary>],
) -> Vec<Beside<'a>> {
    let row = |row: usize| (states[row].as_ref(), heads[row].as_deref(), outside[row].as_ref());
    (0..states.len()).map(row).collect()
}

fn structs(fields: Fields, columns: Vec<ArrayRef>, nulls: Option<NullBuffer>) -> Result<StructArray> {
    StructArray::try_new(fields, columns, nulls)
        .map_err(|error| Error::internal("a result makes no columns").caused_by(error))
}

/// Lists of structs, one a state.
fn lists<T>(rows: &[Option<Vec<T>>], items: StructArray) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let lengths = rows.iter().map(|row| row.as_ref().map_or(0, Vec::len));
    let valid = NullBuffer::from(rows.iter().map(Option::is_some).collect::<Vec<_>>());
    arrow::array::LargeListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(items), Some(valid))
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|error| Error::internal("a result makes no list").caused_by(error))
}

fn fields(columns: &[(&str, DataType)]) -> Fields {
    columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect()
}

fn spectrum_fields() -> Fields {
    let list = DataType::LargeList(Arc::new(Field::new_list_field(DataType::Float64, true)));
    fields(&[("within", list.clone()), ("between", list)])
}

/// A number of a class.
type ClassNumber = fn(&ClassRow) -> Option<f64>;

const CLASS_NUMBERS: [(&str, ClassNumber); 7] = [
    ("variance", |row| row.variance),
    ("distance", |row| Some(row.distance)),
    ("snr", |row| row.snr),
    ("cdnv_mean", |row| row.cdnv_mean),
    ("cdnv_worst", |row| row.cdnv_worst),
    ("cos_head", |row| row.cos_head),
    ("dot_head", |row| row.dot_head),
];

fn class_fields() -> Fields {
    let texts = [("label", DataType::Utf8), ("count", DataType::UInt64), ("worst_neighbour", DataType::Utf8)];
    let numbers = CLASS_NUMBERS.iter().map(|(name, _)| (*name, DataType::Float64));
    fields(&texts.into_iter().chain(numbers).collect::<Vec<_>>())
}

fn classes(rows: &[Option<Vec<ClassRow>>]) -> Result<ArrayRef> {
    let mut label = StringBuilder::new();
    let mut count = UInt64Builder::new();
    let mut neighbour = StringBuilder::new();
    let mut numbers = CLASS_NUMBERS.map(|_| Float64Builder::new());
    for row in rows.iter().flatten().flatten() {
        label.append_value(row.label.to_string());
        count.append_value(row.count);
        neighbour.append_option(row.worst_neighbour.as_ref().map(ToString::to_string));
        for (column, (_, number)) in numbers.iter_mut().zip(CLASS_NUMBERS) {
            column.append_option(number(row));
        }
    }
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(label.finish()), Arc::new(count.finish()), Arc::new(neighbour.finish())];
    columns.extend(numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
    lists(rows, structs(class_fields(), columns, None)?)
}

fn pair_fields() -> Fields {
    fields(&[
        ("first", DataType::Utf8),
        ("second", DataType::Utf8),
        ("cdnv", DataType::Float64),
        ("distance", DataType::Float64),
    ])
}

fn pairs(rows: &[Option<Vec<Pair>>]) -> Result<ArrayRef> {
    let (mut first, mut second) = (StringBuilder::new(), StringBuilder::new());
    let (mut cdnv, mut distance) = (Float64Builder::new(), Float64Builder::new());
    for pair in rows.iter().flatten().flatten() {
        first.append_value(pair.first.to_string());
        second.append_value(pair.second.to_string());
        cdnv.append_value(pair.cdnv);
        distance.append_value(pair.distance);
    }
    let columns: Vec<ArrayRef> =
        vec![Arc::new(first.finish()), Arc::new(second.finish()), Arc::new(cdnv.finish()), Arc::new(distance.finish())];
    lists(rows, structs(pair_fields(), columns, None)?)
}
