//! `nc_merge(state)`: states that were made apart, added.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Documentation, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::error::Result;
use crate::sql::aggregates::of_rows::distinct;
use crate::sql::error::external;
use crate::sql::functions::catalogue;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::{Budget, Held};
use crate::sql::values::state_column::{self, States};
use crate::sql::values::summary::Summary;

/// The aggregate of states.
#[derive(Clone, Debug)]
pub(in crate::sql) struct MergeStates {
    /// Bytes that states may take; none until the analyzer has seen the call.
    memory: Option<u64>,
    budget: Budget,
    signature: Signature,
}

impl PartialEq for MergeStates {
    fn eq(&self, other: &Self) -> bool {
        self.memory == other.memory
    }
}

impl Eq for MergeStates {}

impl Hash for MergeStates {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.memory.hash(state);
    }
}

impl MergeStates {
    pub(in crate::sql) fn new() -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { memory: None, budget: Budget::default(), signature }
    }

    /// The same aggregate in a query.
    pub(in crate::sql) fn bound(&self, settings: &Settings, budget: &Budget) -> Self {
        Self { memory: settings.memory, budget: budget.clone(), ..self.clone() }
    }

    fn merged(&self) -> Merged {
        Merged { groups: Vec::new(), memory: self.memory, budget: self.budget.clone() }
    }
}

impl AggregateUDFImpl for MergeStates {
    fn name(&self) -> &'static str {
        "nc_merge"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        Ok(state_column::data_type())
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        match types {
            [state] if state_column::is_state(state) => Ok(types.to_vec()),
            [other] => plan_err!("nc_merge takes a state, as nc_state makes, and not {other}"),
            _ => plan_err!("nc_merge takes one state: nc_merge(state)"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> SqlResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return distinct("nc_merge");
        }
        let mut merged = self.merged();
        merged.groups.push(MergedGroup::default());
        Ok(Box::new(Single(merged)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> SqlResult<Vec<FieldRef>> {
        Ok(vec![Field::new(format_state_name(args.name, "state"), state_column::data_type(), true).into()])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> SqlResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.merged()))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        catalogue::documentation(self.name())
    }
}

/// The states of groups so far.
#[derive(Debug)]
struct Merged {
    groups: Vec<MergedGroup>,
    memory: Option<u64>,
    budget: Budget,
}

#[derive(Debug, Default)]
struct MergedGroup {
    summary: Summary,
    held: Option<Held>,
}

impl Merged {
    fn add(
        &mut self,
        states: &ArrayRef,
        filter: Option<&BooleanArray>,
        group_of: &dyn Fn(usize) -> usize,
    ) -> Result<()> {
        let states = States::of(states)?;
        for row in 0..states.len() {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            if let Some(state) = states.get(row)? {
                let group = &mut self.groups[group_of(row)];
                group.summary.merge(&state)?;
                let bytes = group.summary.bytes();
                self.budget.keep(&mut group.held, bytes, self.memory)?;
            }
        }
        Ok(())
    }

    /// States as a column, which is there beside them for a while.
    fn encoded(&self, groups: &[MergedGroup]) -> Result<ArrayRef> {
        let bytes = groups.iter().map(|group| group.summary.bytes()).sum();
        let _columns = self.budget.hold(bytes, self.memory)?;
        Ok(Arc::new(state_column::encode(groups.iter().map(|group| Some(&group.summary)))?))
    }
}

impl GroupsAccumulator for Merged {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> SqlResult<()> {
        self.groups.resize_with(total_num_groups, MergedGroup::default);
        self.add(&values[0], opt_filter, &|row| group_indices[row]).map_err(external)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> SqlResult<ArrayRef> {
        let groups = emit_to.take_needed(&mut self.groups);
        self.encoded(&groups).map_err(external)
    }

    fn state(&mut self, emit_to: EmitTo) -> SqlResult<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> SqlResult<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> SqlResult<Vec<ArrayRef>> {
        let mut each = Self { groups: Vec::new(), memory: self.memory, budget: self.budget.clone() };
        let rows: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &rows, opt_filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        // What a pool of the session holds is not reported again: see `Budget`.
        let held = |group: &MergedGroup| if self.budget.is_pooled() { 0 } else { group.summary.bytes() as usize };
        self.groups.iter().map(|group| size_of::<MergedGroup>() + held(group)).sum()
    }
}

/// All states are one group.
#[derive(Debug)]
struct Single(Merged);

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        self.0.add(&values[0], None, &|_| 0).map_err(external)
    }

    fn evaluate(&mut self) -> SqlResult<ScalarValue> {
        // A window asks for the value again after every step.
        ScalarValue::try_from_array(&self.0.encoded(&self.0.groups).map_err(external)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> SqlResult<Vec<ScalarValue>> {
        Ok(vec![self.evaluate()?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> SqlResult<()> {
        self.update_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        let mut leaving =
            Merged { groups: vec![MergedGroup::default()], memory: self.0.memory, budget: self.0.budget.clone() };
        leaving.add(&values[0], None, &|_| 0).map_err(external)?;
        self.0.groups[0].summary.subtract(&leaving.groups[0].summary).map_err(external)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
