//! The aggregates of rows: `nc_state`, `nc_moments`, `nc_measure`, and one for each metric that a state makes.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Signature, Volatility,
    udaf_default_schema_name, udaf_default_window_function_schema_name,
};

use crate::error::Error;
use crate::metrics::{Card, card, cards};
use crate::sql::aggregates::accumulator::{ManyGroups, OneGroup};
use crate::sql::aggregates::finish::{FinishGroups, ToMeasurements, ToMetric, ToStates};
use crate::sql::aggregates::groups::RowAggregation;
use crate::sql::error::external;
use crate::sql::functions::catalogue;
use crate::sql::functions::evaluate::{MetricInput, keys_of_states, needs_scatter, table_fields};
use crate::sql::functions::of_state::StateFunction;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;
use crate::sql::values::rows::{is_label, is_vector};
use crate::sql::values::state_column;
use crate::sql::values::{grid_column, head};

/// An aggregate of labelled rows.
#[derive(Clone, Debug)]
pub(in crate::sql) struct RowAggregate {
    name: String,
    output: Output,
    /// Whether its state holds the scatter.
    scatter: bool,
    /// Of the session that plans the query; the defaults until the analyzer has seen the call.
    settings: Settings,
    budget: Budget,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Output {
    State,
    Metric(&'static str),
    Measurements,
}

impl PartialEq for RowAggregate {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.output, self.scatter, &self.settings)
            == (&other.name, other.output, other.scatter, &other.settings)
    }
}

impl Eq for RowAggregate {}

impl Hash for RowAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.output, self.scatter, &self.settings).hash(state);
    }
}

impl RowAggregate {
    fn new(name: &str, output: Output, scatter: bool) -> Self {
        Self {
            name: name.to_owned(),
            output,
            scatter,
            settings: Settings::default(),
            budget: Budget::default(),
            signature: Signature::user_defined(Volatility::Immutable),
        }
    }

    /// All aggregates of rows whose states are those of the first read.
    pub(in crate::sql) fn all() -> Vec<Self> {
        let metric = |card: &Card| match MetricInput::of(card) {
            MetricInput::State | MetricInput::StateAndHead => {
                Some(Self::new(card.key, Output::Metric(card.key), needs_scatter(card)))
            }
            MetricInput::StateAndOod | MetricInput::Decisions | MetricInput::Rows => None,
        };
        let states = [
            Self::new("nc_state", Output::State, true),
            Self::new("nc_moments", Output::State, false),
            Self::new("nc_measure", Output::Measurements, true),
        ];
        states.into_iter().chain(cards().iter().filter_map(metric)).collect()
    }

    #[cfg(feature = "cluster")]
    pub(in crate::sql) fn is_called(&self, name: &str) -> bool {
        self.name == name
    }

    #[cfg(feature = "cluster")]
    pub(in crate::sql) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the state holds the scatter.
    pub(in crate::sql) fn scatter(&self) -> bool {
        self.scatter
    }

    /// Whether other aggregates of the same rows may decide that the state holds the scatter.
    pub(in crate::sql) fn shares(&self) -> bool {
        matches!(self.output, Output::Metric(_))
    }

    /// The same aggregate in a query: with the session's settings, and a state that serves its siblings too.
    pub(in crate::sql) fn bound(&self, settings: &Settings, scatter: bool, budget: &Budget) -> Self {
        let scatter = if self.shares() { scatter } else { self.scatter };
        Self { scatter, settings: settings.clone(), budget: budget.clone(), ..self.clone() }
    }

    fn card(&self) -> Option<&'static Card> {
        match self.output {
            Output::Metric(key) => card(key),
            Output::State | Output::Measurements => None,
        }
    }

    fn takes_head(&self) -> bool {
        match self.output {
            Output::State => false,
            Output::Measurements => true,
            Output::Metric(_) => self.card().is_some_and(|card| MetricInput::of(card) == MetricInput::StateAndHead),
        }
    }

    fn needs_head(&self) -> bool {
        self.takes_head() && self.output != Output::Measurements
    }

    fn value_type(&self) -> DataType {
        match self.output {
            Output::State => state_column::data_type(),
            Output::Metric(_) => DataType::Float64,
            Output::Measurements => DataType::Struct(table_fields(&keys_of_states())),
        }
    }

    fn groups(&self, args: &AccumulatorArgs<'_>) -> SqlResult<RowAggregation> {
        if args.is_distinct {
            return distinct(&self.name);
        }
        let finish: Box<dyn FinishGroups> = match self.output {
            Output::State => Box::new(ToStates),
            Output::Metric(key) => Box::new(ToMetric { key, settings: self.settings.clone() }),
            Output::Measurements => Box::new(ToMeasurements { settings: self.settings.clone() }),
        };
        Ok(RowAggregation::new(self.scatter, self.takes_head(), self.settings.clone(), self.budget.clone(), finish))
    }

    fn usage(&self) -> String {
        let head = match (self.takes_head(), self.needs_head()) {
            (true, true) => ", head",
            (true, false) => " [, head]",
            (false, _) => "",
        };
        format!("{}(feature, label{head} [, grid])", self.name)
    }
}

/// Refuses `nc_…(DISTINCT …)`: it would leave equal rows out, and change the means.
pub(in crate::sql) fn distinct<T>(name: &str) -> SqlResult<T> {
    Err(external(
        Error::usage("DISTINCT is not supported: rows are counted as often as they are there").with("function", name),
    ))
}

/// A name that tells calls apart whose vectors or labels are cast to different types: DataFusion leaves casts out of names,
/// and DataFusion rejects a plan with two columns of one name.
pub(in crate::sql) fn with_casts(name: String, args: &[Expr]) -> String {
    let is_cast = |part: &Expr| matches!(part, Expr::Cast(_) | Expr::TryCast(_));
    let casts: Vec<String> = args
        .iter()
        .take(2)
        .filter(|argument| argument.exists(|part| Ok(is_cast(part))).unwrap_or(false))
        .map(ToString::to_string)
        .collect();
    if casts.is_empty() { name } else { format!("{name} [{}]", casts.join(", ")) }
}

/// Refuses arguments by their types: a vector, a label, and `more` in any order.
pub(in crate::sql) fn check_rows(name: &str, usage: &str, types: &[DataType]) -> SqlResult<()> {
    let [feature, label, ..] = types else {
        return plan_err!("{name} takes a vector and a label: {usage}");
    };
    if let DataType::FixedSizeBinary(_) = feature {
        return plan_err!(
            "{name}: the first argument is bytes, and the type of their numbers is not known: FROM 'PATH?COLUMN=f32' says it (or f16, bf16, f64)"
        );
    }
    if matches!(feature, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
        return plan_err!(
            "{name}: the first argument is text, and no vector: nckit convert FILE -o FILE.parquet writes vectors of what measure reads as such"
        );
    }
    if !is_vector(feature) {
        return plan_err!(
            "{name}: the first argument is not a vector: {feature}; vectors are lists of f16, f32 or f64: {usage}"
        );
    }
    if !is_label(label) {
        return plan_err!(
            "{name}: the second argument is not a label: {label}; labels are integers, booleans, strings or floats that hold integers: {usage}"
        );
    }
    Ok(())
}

impl AggregateUDFImpl for RowAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        Ok(self.value_type())
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        let usage = self.usage();
        check_rows(&self.name, &usage, types)?;
        let mut coerced = types[..2].to_vec();
        let (mut heads, mut grids) = (0, 0);
        for argument in &types[2..] {
            if argument.is_integer() && *argument != DataType::UInt64 {
                grids += 1;
                coerced.push(DataType::Int64);
            } else if *argument == grid_column::data_type() {
                coerced.push(argument.clone());
            } else if head::is_head(argument) && self.takes_head() {
                heads += 1;
                coerced.push(argument.clone());
            } else {
                return plan_err!("{}: no such argument: {argument}; {usage}", self.name);
            }
        }
        if heads > 1 || grids > 1 || (heads == 0 && self.needs_head()) {
            return plan_err!("{} takes other arguments: {usage}", self.name);
        }
        Ok(coerced)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> SqlResult<Box<dyn Accumulator>> {
        Ok(Box::new(OneGroup::new(self.groups(&args)?)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> SqlResult<Vec<FieldRef>> {
        let mut fields =
            vec![Field::new(format_state_name(args.name, "state"), state_column::data_type(), true).into()];
        if self.takes_head() {
            fields.push(Field::new(format_state_name(args.name, "head"), head::data_type(), true).into());
        }
        Ok(fields)
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> SqlResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(ManyGroups(self.groups(&args)?)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(&self.name)
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> SqlResult<String> {
        Ok(with_casts(udaf_default_schema_name(self, params)?, &params.args))
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> SqlResult<String> {
        Ok(with_casts(udaf_default_window_function_schema_name(self, params)?, &params.args))
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let measure = match self.output {
            Output::State => return None,
            Output::Metric(key) => StateFunction::of_metric(card(key)?),
            Output::Measurements => StateFunction::of_all(),
        };
        let name = if self.scatter { "nc_state" } else { "nc_moments" };
        let state = Self { name: name.to_owned(), output: Output::State, ..self.clone() };
        let takes_head = self.takes_head();
        Some(Box::new(move |call: AggregateFunction, info| {
            let AggregateFunctionParams { args, distinct, filter, null_treatment, .. } = call.params;
            if distinct {
                return crate::sql::aggregates::of_rows::distinct(&state.name);
            }
            let mut of_state = Vec::with_capacity(args.len());
            let mut of_measure = Vec::with_capacity(2);
            for (at, argument) in args.into_iter().enumerate() {
                let to_head = takes_head && at >= 2 && head::is_head(&info.get_data_type(&argument)?);
                if to_head { of_measure.push(argument) } else { of_state.push(argument) }
            }
            // Rows are summed in any order, so calls that differ in theirs are one.
            let state = Expr::AggregateFunction(AggregateFunction::new_udf(
                Arc::new(AggregateUDF::new_from_impl(state.clone())),
                of_state,
                false,
                filter,
                Vec::new(),
                null_treatment,
            ));
            of_measure.insert(0, state);
            Ok(measure.call(of_measure))
        }))
    }
}
