//! The aggregates of a second read: rows beside a state and a head that are made already.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams, WindowFunctionParams};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, EmitTo, Expr, GroupsAccumulator, Signature, Volatility,
    udaf_default_schema_name, udaf_default_window_function_schema_name,
};

use crate::batch::{Batch, Label};
use crate::error::{Error, Result};
use crate::kernels::{Mahalanobis, Projection, Workspace};
use crate::metrics::{Evidence, Extras, Need, Selection, card, cards, mahalanobis, measure, neco_projection};
use crate::sql::aggregates::accumulator::{Aggregation, ManyGroups, OneGroup};
use crate::sql::aggregates::groups::differ_in_length;
use crate::sql::aggregates::of_rows::{check_rows, distinct, with_casts};
use crate::sql::functions::catalogue;
use crate::sql::functions::decisions::DecisionsFunction;
use crate::sql::functions::evaluate::{self, MetricInput};
use crate::sql::settings::Settings;
use crate::sql::settings::budget::{Budget, Held};
use crate::sql::values::decisions;
use crate::sql::values::head::{self, HeadPlace, Library};
use crate::sql::values::rows::LabelledRows;
use crate::sql::values::shared::{Shared, shared};
use crate::sql::values::state_column::{self, States};
use crate::state::{Head, Role, SecondPass, SecondPassResult, SecondPassSpec, SecondPassState, Statistics};

/// An aggregate of rows beside a state.
#[derive(Clone, Debug)]
pub(in crate::sql) struct SecondPassAggregate {
    name: String,
    output: Output,
    settings: Settings,
    budget: Budget,
    signature: Signature,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Output {
    Decisions,
    Metric(&'static str),
}

impl PartialEq for SecondPassAggregate {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.settings) == (&other.name, &other.settings)
    }
}

impl Eq for SecondPassAggregate {}

impl Hash for SecondPassAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, &self.settings).hash(state);
    }
}

impl SecondPassAggregate {
    fn new(name: &str, output: Output) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { name: name.to_owned(), output, settings: Settings::default(), budget: Budget::default(), signature }
    }

    /// All aggregates of a second read.
    pub(in crate::sql) fn all() -> Vec<Self> {
        let metrics =
            cards().iter().filter(|card| matches!(MetricInput::of(card), MetricInput::Decisions | MetricInput::Rows));
        let metrics = metrics.map(|card| Self::new(card.key, Output::Metric(card.key)));
        [Self::new("nc_decisions", Output::Decisions)].into_iter().chain(metrics).collect()
    }

    /// The same aggregate under a session's settings.
    pub(in crate::sql) fn bound(&self, settings: &Settings, budget: &Budget) -> Self {
        Self { settings: settings.clone(), budget: budget.clone(), ..self.clone() }
    }

    fn needs(&self, need: Need) -> bool {
        match self.output {
            Output::Decisions => need == Need::Decisions,
            Output::Metric(key) => card(key).is_some_and(|card| card.needs.contains(&need)),
        }
    }

    /// Whether an argument says which rows are out of distribution.
    fn takes_ood(&self) -> bool {
        self.needs(Need::Neco) || self.needs(Need::Mahalanobis)
    }

    fn needs_head(&self) -> bool {
        self.needs(Need::HugIntra) || (self.needs(Need::Head) && !self.takes_ood())
    }

    fn usage(&self) -> String {
        let ood = if self.takes_ood() { ", is_out_of_distribution" } else { "" };
        let head = if self.needs_head() { ", head" } else { " [, head]" };
        format!("{}(feature, label, state{ood}{head})", self.name)
    }
}

impl AggregateUDFImpl for SecondPassAggregate {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        Ok(match self.output {
            Output::Decisions => decisions::data_type(),
            Output::Metric(_) => DataType::Float64,
        })
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        let usage = self.usage();
        check_rows(&self.name, &usage, types)?;
        let mut rest = types[2..].iter();
        let state = rest.next().is_some_and(|state| state_column::is_state(shared(state)));
        let ood = !self.takes_ood() || rest.next() == Some(&DataType::Boolean);
        let head = rest.next();
        let fits = head.map_or(!self.needs_head(), |head| head::is_head(shared(head)) || head == &DataType::Null);
        if state && ood && fits && rest.next().is_none() {
            Ok(types.to_vec())
        } else {
            plan_err!("{} takes other arguments: {usage}", self.name)
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> SqlResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return distinct(&self.name);
        }
        Ok(Box::new(OneGroup::new(SecondPassGroups::new(self))))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> SqlResult<Vec<FieldRef>> {
        let field = |name: &str, data_type| Field::new(format_state_name(args.name, name), data_type, true).into();
        Ok(vec![
            field("state", state_column::data_type()),
            field("head", head::data_type()),
            field("partial", DataType::Binary),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> SqlResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(ManyGroups(SecondPassGroups::new(self))))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn schema_name(&self, params: &AggregateFunctionParams) -> SqlResult<String> {
        Ok(with_casts(udaf_default_schema_name(self, params)?, &params.args))
    }

    fn window_function_schema_name(&self, params: &WindowFunctionParams) -> SqlResult<String> {
        Ok(with_casts(udaf_default_window_function_schema_name(self, params)?, &params.args))
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(&self.name)
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let Output::Metric(key) = self.output else { return None };
        if !self.needs(Need::Decisions) {
            return None;
        }
        let decisions = Self { name: "nc_decisions".to_owned(), output: Output::Decisions, ..self.clone() };
        Some(Box::new(move |call: AggregateFunction, _| {
            let AggregateFunctionParams { args, distinct: is_distinct, filter, null_treatment, .. } = call.params;
            if is_distinct {
                return distinct(key);
            }
            let function = Arc::new(AggregateUDF::new_from_impl(decisions.clone()));
            let made = AggregateFunction::new_udf(function, args, false, filter, Vec::new(), null_treatment);
            DecisionsFunction::call(key, Expr::AggregateFunction(made)).map_or_else(|| plan_err!("no metric {key}"), Ok)
        }))
    }
}

/// What the second pass stands on: means and classifier.
struct Context {
    /// The state and the head as they came, one row each, to be recognised by and to be handed on.
    state: ArrayRef,
    head: Option<ArrayRef>,
    statistics: Statistics,
    dropped_classes: u64,
    classifier: Option<Head>,
    projection: Option<Projection>,
    mahalanobis: Option<Mahalanobis>,
    _held: Held,
}

impl Context {
    fn is(&self, state: &ArrayRef, head: Option<&ArrayRef>) -> bool {
        let equal = |a: &ArrayRef, b: &ArrayRef| {
            let (a, b) = (a.to_data(), b.to_data());
            a.ptr_eq(&b) || a == b
        };
        equal(&self.state, state)
            && match (&self.head, head) {
                (None, None) => true,
                (Some(mine), Some(theirs)) => equal(mine, theirs),
                _ => false,
            }
    }
}

/// What was seen of a group.
#[derive(Clone, Default)]
struct SecondPassGroup {
    context: Option<Arc<Context>>,
    seen: SecondPassState,
}

/// Makes the second pass over the rows of each group.
struct SecondPassGroups {
    function: SecondPassAggregate,
    contexts: Vec<Arc<Context>>,
    groups: Vec<SecondPassGroup>,
    workspace: Workspace,
}

impl SecondPassGroups {
    fn new(function: &SecondPassAggregate) -> Self {
        let workspace = function.settings.device.workspace();
        Self { function: function.clone(), contexts: Vec::new(), groups: Vec::new(), workspace }
    }

    /// The context of a state and a head, each an array of one row.
    fn context(&mut self, state: &ArrayRef, head: Option<&ArrayRef>) -> Result<Option<Arc<Context>>> {
        let known = self.contexts.iter().find(|context| context.is(state, head));
        if let Some(known) = known {
            return Ok(Some(known.clone()));
        }
        let settings = &self.function.settings;
        let Some(summary) = States::of(state)?.get(0)?.filter(|summary| summary.class_sums().rows() > 0) else {
            return Ok(None);
        };
        if summary.normalized != settings.normalize {
            let (is, set) = if summary.normalized { ("at length 1", "true") } else { ("as they are", "false") };
            return Err(Error::usage(format!("the state is of rows {is}, unlike the rows beside it"))
                .help(format!("SET nc.normalize = {set}")));
        }
        let held = self.function.budget.hold(summary.bytes(), settings.memory)?;
        let (statistics, dropped_classes) = evaluate::statistics(&summary, settings)?;
        if statistics.classes() == 0 {
            return Ok(None);
        }
        let place = head.map(head::decode).transpose()?.flatten().and_then(|mut places| places.pop().flatten());
        let stored = place.map(|place| Library::default().read(&place)).transpose()?;
        let classifier = stored.as_ref().map(|head| head.of(&statistics, settings)).transpose()?;
        let classifier = classifier.map(made).transpose()?.flatten();
        let has_logits = classifier.is_some() || stored.is_none() || !settings.options.neco_max_logit;
        let projection = (self.function.needs(Need::Neco) && has_logits)
            .then(|| made(neco_projection(&statistics, &settings.options)))
            .transpose()?
            .flatten();
        let distances = self.function.needs(Need::Mahalanobis);
        let mahalanobis = (distances || self.function.needs(Need::Lda))
            .then(|| made(mahalanobis(&statistics, distances)))
            .transpose()?
            .flatten();
        let (state, head) = (state.clone(), head.cloned());
        let context = Arc::new(Context {
            state,
            head,
            statistics,
            dropped_classes,
            classifier,
            projection,
            mahalanobis,
            _held: held,
        });
        self.contexts.push(context.clone());
        Ok(Some(context))
    }

    fn spec<'a>(&self, context: &'a Context) -> SecondPassSpec<'a> {
        let options = &self.function.settings.options;
        SecondPassSpec {
            statistics: &context.statistics,
            head: context.classifier.as_ref(),
            use_bias: options.use_bias,
            decisions: self.function.needs(Need::Decisions),
            directional: self.function.needs(Need::Directional).then(|| options.variance_count()),
            hug_intra: self.function.needs(Need::HugIntra) && context.classifier.is_some(),
            projection: context.projection.as_ref(),
            mahalanobis: context.mahalanobis.as_ref(),
            // A pass is made for each batch, which is too few rows to learn anything of.
            expected_rows: 0,
            max_logit: options.neco_max_logit,
        }
    }

    fn enter(&mut self, group: usize, context: &Arc<Context>) -> Result<()> {
        match &self.groups[group].context {
            Some(known) if !Arc::ptr_eq(known, context) => {
                Err(Error::usage("the rows of a group come with several states or heads")
                    .help("one state and one head for each group: add what tells them apart to GROUP BY"))
            }
            Some(_) => Ok(()),
            None => {
                self.groups[group].context = Some(context.clone());
                Ok(())
            }
        }
    }

    fn findings(&self, group: &SecondPassGroup) -> Result<Option<(Arc<Context>, SecondPassResult)>> {
        let Some(context) = group.context.clone() else { return Ok(None) };
        let findings = SecondPass::new(&self.spec(&context))?.finish(&group.seen)?;
        Ok(Some((context, findings)))
    }

    fn metric(&self, key: &'static str, group: &SecondPassGroup) -> Result<Option<f64>> {
        let Some((context, findings)) = self.findings(group)? else { return Ok(None) };
        let evidence = Evidence {
            statistics: &context.statistics,
            significand_bits: 0,
            head: context.classifier.as_ref(),
            findings: Some(&findings),
            ood_mean: None,
            dropped_classes: context.dropped_classes,
            normalized: self.function.settings.normalize,
        };
        let selection = Selection::parse(&[key.to_owned()])?;
        let made = measure(&evidence, &self.function.settings.options, &selection, Extras::default())?;
        self.function.settings.doubts.note(&made, true);
        Ok(made.value(key))
    }
}

/// What is made of a group's state. Where its rows do not allow it, its metrics are null, and those of other groups as they are;
/// where its state lacks the scatter, the query is at fault.
fn made<T>(made: std::result::Result<T, &'static str>) -> Result<Option<T>> {
    match made {
        Ok(made) => Ok(Some(made)),
        Err("no_scatter") => {
            Err(Error::data("the state has no scatter, which this metric stands on").with("reason", "no_scatter").help(
                "nc_state keeps it, and nc_moments does not; nor does a state whose classes nc.min_count leaves out",
            ))
        }
        Err(_) => Ok(None),
    }
}

/// Fails if the labels of rows are of another kind than the classes: not one of them would be known.
fn check_kind(statistics: &Statistics, batch: &Batch<'_>) -> Result<()> {
    let found = batch.codes().first().map(|&code| batch.classes()[code as usize].kind());
    match statistics.labels.first().map(Label::kind).zip(found) {
        Some((known, found)) if known != found => {
            Err(Error::data("the rows have labels of another kind than the state")
                .with("labels", format!("{found}s"))
                .with("expected", format!("{known}s")))
        }
        _ => Ok(()),
    }
}

impl Aggregation for SecondPassGroups {
    type Group = SecondPassGroup;

    fn empty(&self) -> Self {
        Self::new(&self.function)
    }

    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, SecondPassGroup::default);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        group_of: &dyn Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let [features, labels, states, rest @ ..] = values else {
            return Err(Error::internal("a second pass without a state"));
        };
        let (ood, rest) = if self.function.takes_ood() { (rest.first(), &rest[1..]) } else { (None, rest) };
        let ood = ood.map(AsArray::as_boolean);
        let states = Shared::of(states)?;
        let heads = rest.first().filter(|head| head.data_type() != &DataType::Null).map(Shared::of).transpose()?;
        let rows = LabelledRows::of(features, labels, filter, &self.function.settings)?;
        // Rows by state, head, group and role.
        let mut parts: BTreeMap<(u32, Option<u32>, usize, bool), Vec<u32>> = BTreeMap::new();
        for &row in rows.kept() {
            let at = row as usize;
            let Some(state) = states.position(at) else { continue };
            let is_ood = ood.is_some_and(|ood| ood.is_valid(at) && ood.value(at));
            let head = heads.as_ref().and_then(|heads| heads.position(at));
            parts.entry((state, head, group_of(at), is_ood)).or_default().push(row);
        }
        let mut contexts: BTreeMap<(u32, Option<u32>), Arc<Context>> = BTreeMap::new();
        for &(state, head, ..) in parts.keys() {
            if let Entry::Vacant(entry) = contexts.entry((state, head)) {
                let value = head.and_then(|head| heads.as_ref().map(|heads| heads.value(head)));
                if let Some(context) = self.context(&states.value(state), value.as_ref())? {
                    entry.insert(context);
                }
            }
        }
        let mut passes = BTreeMap::new();
        for (key, context) in &contexts {
            passes.insert(*key, SecondPass::new(&self.spec(context))?);
        }
        for ((state, head, group, is_ood), members) in parts {
            let key = (state, head);
            let (Some(context), Some(pass)) = (contexts.get(&key), passes.get(&key)) else { continue };
            self.enter(group, context)?;
            let decided = self.function.needs(Need::Decisions) || self.function.needs(Need::Lda);
            let role = match (is_ood, decided || self.function.takes_ood()) {
                (true, _) => Role::Ood,
                (false, true) => Role::Eval,
                (false, false) => Role::Train,
            };
            let (seen, workspace) = (&mut self.groups[group].seen, &mut self.workspace);
            rows.each_batch(&members, |batch| {
                if batch.dim() != context.statistics.dim {
                    return Err(differ_in_length(context.statistics.dim, batch.dim()));
                }
                if !is_ood {
                    check_kind(&context.statistics, batch)?;
                }
                pass.update(role, batch, None, seen, None, workspace)
            })?;
        }
        Ok(())
    }

    fn merge(&mut self, values: &[ArrayRef], group_of: &dyn Fn(usize) -> usize) -> Result<()> {
        let partial = values[2].as_binary::<i32>();
        for row in 0..partial.len() {
            if partial.is_null(row) {
                continue;
            }
            let head = values[1].is_valid(row).then(|| values[1].slice(row, 1));
            let group = group_of(row);
            if let Some(context) = self.context(&values[0].slice(row, 1), head.as_ref())? {
                self.enter(group, &context)?;
                self.groups[group].seen.merge(&SecondPassState::decode(partial.value(row))?);
            }
        }
        Ok(())
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<SecondPassGroup> {
        emit_to.take_needed(&mut self.groups)
    }

    fn groups(&self) -> &[SecondPassGroup] {
        &self.groups
    }

    fn partial(&self, groups: &[SecondPassGroup]) -> Result<Vec<ArrayRef>> {
        let context = |group: &SecondPassGroup| group.context.clone();
        let states: Vec<_> = groups.iter().map(|group| context(group).map(|context| context.state.clone())).collect();
        let states = states.iter().map(|state| match state {
            Some(state) => States::of(state)?.get(0),
            None => Ok(None),
        });
        let states = states.collect::<Result<Vec<_>>>()?;
        let place = |group: &SecondPassGroup| -> Result<Option<HeadPlace>> {
            let Some(head) = context(group).and_then(|context| context.head.clone()) else { return Ok(None) };
            Ok(head::decode(&head)?.and_then(|mut places| places.pop().flatten()))
        };
        let heads: Vec<Option<HeadPlace>> = groups.iter().map(place).collect::<Result<_>>()?;
        let seen = groups.iter().map(|group| group.context.as_ref().map(|_| group.seen.encode()));
        Ok(vec![
            Arc::new(state_column::encode(states.iter().map(Option::as_ref))?),
            head::encode(heads.iter().map(Option::as_ref))?,
            Arc::new(seen.collect::<BinaryArray>()),
        ])
    }

    fn finish(&self, groups: &[SecondPassGroup]) -> Result<ArrayRef> {
        match self.function.output {
            Output::Decisions => {
                let found = |group: &SecondPassGroup| {
                    let found = self.findings(group)?;
                    Ok(found.and_then(|(context, findings)| Some((findings.decisions?, context.classifier.is_some()))))
                };
                decisions::encode(&groups.iter().map(found).collect::<Result<Vec<_>>>()?)
            }
            Output::Metric(key) => {
                let values: Vec<Option<f64>> =
                    groups.iter().map(|group| self.metric(key, group)).collect::<Result<_>>()?;
                Ok(Arc::new(Float64Array::from(values)))
            }
        }
    }

    fn bytes(&self) -> usize {
        let context =
            |context: &Arc<Context>| context.state.get_array_memory_size() + 8 * context.statistics.offsets.len();
        // What a pool of the session holds is not reported again: see `Budget`.
        let contexts: usize =
            if self.function.budget.is_pooled() { 0 } else { self.contexts.iter().map(context).sum() };
        contexts + self.groups.len() * size_of::<SecondPassGroup>()
    }
}
