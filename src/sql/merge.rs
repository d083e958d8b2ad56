//! `nc_merge(state)`: states that were made apart, added.

use arrow::array::{Array, ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result as SqlResult, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};
use datafusion::scalar::ScalarValue;
use std::sync::Arc;

use super::aggregate::distinct;
use super::columns::{self, States};
use super::external;
use super::summary::Summary;
use crate::error::Result;

/// The aggregate of states.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct MergeStates {
    signature: Signature,
}

impl MergeStates {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
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
        Ok(columns::data_type())
    }

    fn coerce_types(&self, types: &[DataType]) -> SqlResult<Vec<DataType>> {
        match types {
            [state] if columns::is_state(state) => Ok(types.to_vec()),
            [other] => plan_err!("nc_merge takes a state, as nc_state makes, and not {other}"),
            _ => plan_err!("nc_merge takes one state: nc_merge(state)"),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> SqlResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return distinct("nc_merge");
        }
        Ok(Box::new(Single::new()))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> SqlResult<Vec<FieldRef>> {
        Ok(vec![Field::new(format_state_name(args.name, "state"), columns::data_type(), true).into()])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(&self, _: AccumulatorArgs<'_>) -> SqlResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Merged(Vec::new())))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The states of groups so far.
#[derive(Debug)]
struct Merged(Vec<Summary>);

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
                self.0[group_of(row)].merge(&state)?;
            }
        }
        Ok(())
    }
}

fn encoded(groups: &[Summary]) -> SqlResult<ArrayRef> {
    Ok(Arc::new(columns::encode(groups.iter().map(Some)).map_err(external)?))
}

impl GroupsAccumulator for Merged {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> SqlResult<()> {
        self.0.resize_with(total_num_groups, Summary::default);
        self.add(&values[0], opt_filter, &|row| group_indices[row]).map_err(external)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> SqlResult<ArrayRef> {
        encoded(&emit_to.take_needed(&mut self.0))
    }

    fn state(&mut self, emit_to: EmitTo) -> SqlResult<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(emit_to)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> SqlResult<()> {
        self.update_batch(values, group_indices, None, total_num_groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> SqlResult<Vec<ArrayRef>> {
        let mut each = Self(Vec::new());
        let rows: Vec<usize> = (0..values[0].len()).collect();
        each.update_batch(values, &rows, opt_filter, rows.len())?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.0.iter().map(Summary::bytes).sum()
    }
}

/// All states are one group.
#[derive(Debug)]
struct Single(Merged);

impl Single {
    fn new() -> Self {
        Self(Merged(vec![Summary::default()]))
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        self.0.add(&values[0], None, &|_| 0).map_err(external)
    }

    fn evaluate(&mut self) -> SqlResult<ScalarValue> {
        // A window asks for the value again after every step.
        ScalarValue::try_from_array(&encoded(&self.0.0)?, 0)
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
        let mut leaving = Self::new();
        leaving.update_batch(values)?;
        self.0.0[0].subtract(&leaving.0.0[0]).map_err(external)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
