//! Functions of a state: `<key>_of`, and what else can be asked of one.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use rayon::prelude::*;

use crate::error::{Error, Result, nearest};
use crate::metrics::{Card, Extras, Measurements, card, cards, spectrum};
use crate::sql::error::external;
use crate::sql::functions::arguments::Arguments;
use crate::sql::functions::catalogue;
use crate::sql::functions::evaluate::{self, Beside, MetricInput, keys_of_states, measurements, table_fields};
use crate::sql::functions::{remarks, tables};
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;
use crate::sql::values::head::{self, Classifier};
use crate::sql::values::sql_state::SqlState;
use crate::sql::values::state_column;

/// A function whose first argument is a state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) struct StateFunction {
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

impl StateFunction {
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
        let metrics = cards().iter().filter(|card| {
            matches!(MetricInput::of(card), MetricInput::State | MetricInput::StateAndHead | MetricInput::StateAndOod)
        });
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
            Output::Metric(key) => match card(key).map(MetricInput::of) {
                Some(MetricInput::StateAndHead) => ", head",
                Some(MetricInput::StateAndOod) => ", state of out-of-distribution rows",
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
                (Output::Metric(key), rest) => match (card(key).map(MetricInput::of), rest) {
                    (Some(MetricInput::StateAndHead), [one]) => head(one),
                    (Some(MetricInput::StateAndOod), [one]) => state_column::is_state(one),
                    (Some(MetricInput::StateAndHead | MetricInput::StateAndOod), _) => false,
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
        let call = Call { states: arguments.states(0)?, arguments, settings };
        match &self.output {
            Output::Metric(key) => call.metric(key),
            Output::Metrics(keys) => call.metrics(keys),
            Output::Reason => call.reasons(),
            Output::Accuracy => call.accuracies(),
            Output::Flags => call.flags(),
            Output::Classes => call.classes(),
            Output::WorstPairs => call.worst_pairs(),
            Output::Spectrum => call.spectra(),
            Output::Difference => call.differences(),
        }
    }
}

/// A call of one of the functions: a state a row, and what stands beside it.
struct Call<'a> {
    states: Vec<Option<SqlState>>,
    arguments: &'a Arguments,
    settings: &'a Settings,
}

impl Call<'_> {
    fn metric(&self, key: &'static str) -> Result<ArrayRef> {
        let source = card(key).map(MetricInput::of);
        let heads = if source == Some(MetricInput::StateAndHead) { self.arguments.heads(1)? } else { self.none() };
        let ood = if source == Some(MetricInput::StateAndOod) { self.arguments.states(1)? } else { self.none() };
        evaluate::metric(key, &self.beside(&heads, &ood), self.settings)
    }

    fn metrics(&self, keys: &[&'static str]) -> Result<ArrayRef> {
        let arguments = self.arguments;
        let sources = |wanted| keys.iter().any(|key| card(key).map(MetricInput::of) == Some(wanted));
        let more = arguments.count() > 1;
        // A lone second argument is the one that the metrics stand on.
        let second_is_state = more && !sources(MetricInput::StateAndHead) && sources(MetricInput::StateAndOod);
        let heads = if more && !second_is_state { arguments.heads(1)? } else { self.none() };
        let ood = match (second_is_state, arguments.count()) {
            (true, _) => arguments.states(1)?,
            (false, 3) => arguments.states(2)?,
            _ => self.none(),
        };
        Ok(Arc::new(evaluate::table(keys, &self.beside(&heads, &ood), self.settings)?))
    }

    fn reasons(&self) -> Result<ArrayRef> {
        let reasons = self.of_a_metric(|made| made.metrics.first()?.reason)?;
        Ok(Arc::new(reasons.into_iter().map(Option::flatten).collect::<StringArray>()))
    }

    fn accuracies(&self) -> Result<ArrayRef> {
        let errors = self.of_a_metric(|made| made.accuracy.get(made.metrics.first()?.key).copied())?;
        Ok(Arc::new(errors.into_iter().map(Option::flatten).collect::<Float64Array>()))
    }

    fn flags(&self) -> Result<ArrayRef> {
        let flags =
            self.of_a_metric(|made| made.metrics.first().map(|metric| metric.flags.clone()).unwrap_or_default());
        Ok(remarks::lists(&flags?))
    }

    fn classes(&self) -> Result<ArrayRef> {
        let heads = if self.arguments.count() > 1 { self.arguments.heads(1)? } else { self.none() };
        let extras = Extras { per_class: true, ..Extras::default() };
        let rows = self.each(|row, state| {
            // The cheapest metric: only what stands beside it is wanted.
            let keys = &["nc1_trace_ratio"];
            Ok(measurements(state, keys, heads[row].as_deref(), None, extras, self.settings)?.per_class)
        })?;
        tables::classes(&rows)
    }

    fn worst_pairs(&self) -> Result<ArrayRef> {
        let counts = self.arguments.integers(1)?;
        let rows = self.each(|row, state| {
            let pairs = counts[row].and_then(|count| usize::try_from(count).ok());
            let worst_pairs = pairs.ok_or_else(|| Error::usage("the number of pairs is 0 or above"))?;
            let extras = Extras { worst_pairs, ..Extras::default() };
            Ok(measurements(state, &["nc1_cdnv"], None, None, extras, self.settings)?.worst_pairs)
        })?;
        tables::pairs(&rows)
    }

    fn spectra(&self) -> Result<ArrayRef> {
        let spectra = self.each(|_, state| {
            let (statistics, _) = evaluate::statistics(state, self.settings)?;
            spectrum(&statistics, &self.settings.options)
        })?;
        tables::spectra(&spectra)
    }

    fn differences(&self) -> Result<ArrayRef> {
        let others = self.arguments.states(1)?;
        let less = self.each(|row, state| {
            let mut state = state.clone();
            others[row].as_ref().map_or(Ok(()), |other| state.subtract(other))?;
            Ok(state)
        })?;
        Ok(Arc::new(state_column::encode(less.iter().map(Option::as_ref))?))
    }

    /// Nothing beside any state.
    fn none<T: Clone>(&self) -> Vec<Option<T>> {
        vec![None; self.states.len()]
    }

    fn beside<'a>(&'a self, heads: &'a [Option<Arc<Classifier>>], ood: &'a [Option<SqlState>]) -> Vec<Beside<'a>> {
        let row = |row: usize| (self.states[row].as_ref(), heads[row].as_deref(), ood[row].as_ref());
        (0..self.states.len()).map(row).collect()
    }

    /// Makes something of each state that has rows, many at a time; null for the others.
    fn each<T: Send>(&self, make: impl Fn(usize, &SqlState) -> Result<T> + Sync) -> Result<Vec<Option<T>>> {
        let made = self.states.par_iter().enumerate().map(|(row, state)| {
            let state = state.as_ref().filter(|state| state.class_sums().rows() > 0);
            state.map(|state| make(row, state)).transpose()
        });
        let made: Vec<Result<Option<T>>> = made.collect();
        made.into_iter().collect()
    }

    /// Reads something off the metric that the second argument names, for each state; null where either is null.
    fn of_a_metric<T: Send>(&self, of: impl Fn(&Measurements) -> T + Sync) -> Result<Vec<Option<T>>> {
        let (states, arguments) = (&self.states, self.arguments);
        let keys = arguments.texts(1)?;
        let heads = if arguments.count() > 2 { arguments.heads(2)? } else { self.none() };
        let ood = if arguments.count() > 3 { arguments.states(3)? } else { self.none() };
        let each = (0..states.len()).into_par_iter().map(|row| {
            let (Some(state), Some(key)) = (&states[row], &keys[row]) else { return Ok(None) };
            let key = card(key).ok_or_else(|| unknown(key))?.key;
            let (head, ood) = (heads[row].as_deref(), ood[row].as_ref());
            Ok(Some(of(&measurements(state, &[key], head, ood, Extras::default(), self.settings)?)))
        });
        // An error is the same whichever thread comes first.
        each.collect::<Vec<_>>().into_iter().collect()
    }
}

pub(super) fn unknown(key: &str) -> Error {
    let near = nearest(key, cards().iter().map(|card| card.key));
    let error = Error::usage("no such metric").with("metric", key.escape_debug());
    if near.is_empty() { error } else { error.help(format!("did you mean {}?", near.join(", "))) }
}

/// Whether the call of a metric can be made with others of the same arguments.
pub(in crate::sql) fn metric_call(call: &ScalarFunction) -> Option<&'static str> {
    call.func.inner().downcast_ref::<StateFunction>()?.key()
}

impl ScalarUDFImpl for StateFunction {
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
            Output::Classes => list(tables::class_fields()),
            Output::WorstPairs => list(tables::pair_fields()),
            Output::Spectrum => DataType::Struct(tables::spectrum_fields()),
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
