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

use crate::error::Result;
use crate::sql::aggregates::accumulator::{Aggregation, ManyGroups, OneGroup};
use crate::sql::aggregates::of_rows::distinct;
use crate::sql::functions::catalogue;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::{Budget, Held};
use crate::sql::values::sql_state::SqlState;
use crate::sql::values::state_column::{self, States};

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
        Ok(Box::new(OneGroup::new(self.merged())))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> SqlResult<Vec<FieldRef>> {
        Ok(vec![Field::new(format_state_name(args.name, "state"), state_column::data_type(), true).into()])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> SqlResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(ManyGroups(self.merged())))
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
    summary: SqlState,
    held: Option<Held>,
}

impl Aggregation for Merged {
    type Group = MergedGroup;

    const RETRACTS: bool = true;

    fn empty(&self) -> Self {
        Self { groups: Vec::new(), memory: self.memory, budget: self.budget.clone() }
    }

    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, MergedGroup::default);
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        group_of: &dyn Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let states = States::of(&values[0])?;
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

    fn merge(&mut self, states: &[ArrayRef], group_of: &dyn Fn(usize) -> usize) -> Result<()> {
        self.update(states, group_of, None)
    }

    fn retract(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut leaving = self.empty();
        leaving.resize(1);
        leaving.update(values, &|_| 0, None)?;
        self.groups[0].summary.subtract(&leaving.groups[0].summary)
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<MergedGroup> {
        emit_to.take_needed(&mut self.groups)
    }

    fn groups(&self) -> &[MergedGroup] {
        &self.groups
    }

    fn partial(&self, groups: &[MergedGroup]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(groups)?])
    }

    fn finish(&self, groups: &[MergedGroup]) -> Result<ArrayRef> {
        // The column is made while the groups are still there.
        let bytes = groups.iter().map(|group| group.summary.bytes()).sum();
        let _columns = self.budget.hold(bytes, self.memory)?;
        Ok(Arc::new(state_column::encode(groups.iter().map(|group| Some(&group.summary)))?))
    }

    fn bytes(&self) -> usize {
        // What a pool of the session holds is not reported again: see `Budget`.
        let held = |group: &MergedGroup| if self.budget.is_pooled() { 0 } else { group.summary.bytes() as usize };
        self.groups.iter().map(|group| size_of::<MergedGroup>() + held(group)).sum()
    }
}
