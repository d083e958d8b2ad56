//! The two forms in which DataFusion runs an aggregation: over many groups at once, and over one.

use std::fmt;

use arrow::array::{ArrayRef, BooleanArray};
use datafusion::error::Result as SqlResult;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};
use crate::sql::error::external;

/// An aggregation of rows into groups, from which both forms follow.
pub(in crate::sql) trait Aggregation: Send + Sync + 'static {
    /// A group.
    type Group;

    /// Whether rows can be taken out again, as windows that slide do.
    const RETRACTS: bool = false;

    /// The same aggregation without a group.
    fn empty(&self) -> Self;

    /// Makes room for so many groups.
    fn resize(&mut self, groups: usize);

    /// Adds rows, all or those that `filter` lets through; row `i` belongs to group `group_of(i)`.
    fn update(
        &mut self,
        values: &[ArrayRef],
        group_of: &dyn Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()>;

    /// Adds partial states, as [`partial`](Self::partial) made them.
    fn merge(&mut self, states: &[ArrayRef], group_of: &dyn Fn(usize) -> usize) -> Result<()>;

    /// Takes rows out of the only group again.
    fn retract(&mut self, _values: &[ArrayRef]) -> Result<()> {
        Err(Error::internal("this aggregation cannot take rows out again"))
    }

    /// Completes the groups, as far as a device holds parts of them.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// Takes groups away, which are complete.
    fn take(&mut self, emit_to: EmitTo) -> Vec<Self::Group>;

    /// All groups.
    fn groups(&self) -> &[Self::Group];

    /// The partial states of groups, as columns.
    fn partial(&self, groups: &[Self::Group]) -> Result<Vec<ArrayRef>>;

    /// The final values of groups.
    fn finish(&self, groups: &[Self::Group]) -> Result<ArrayRef>;

    /// Bytes in memory that no pool of the session counts already.
    fn bytes(&self) -> usize;
}

/// Many groups at once.
pub(in crate::sql) struct ManyGroups<A>(pub(in crate::sql) A);

impl<A: Aggregation> GroupsAccumulator for ManyGroups<A> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> SqlResult<()> {
        self.0.resize(total_num_groups);
        self.0.update(values, &|row| group_indices[row], opt_filter).map_err(external)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> SqlResult<ArrayRef> {
        self.0.settle().map_err(external)?;
        let groups = self.0.take(emit_to);
        self.0.finish(&groups).map_err(external)
    }

    fn state(&mut self, emit_to: EmitTo) -> SqlResult<Vec<ArrayRef>> {
        self.0.settle().map_err(external)?;
        let groups = self.0.take(emit_to);
        self.0.partial(&groups).map_err(external)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> SqlResult<()> {
        self.0.resize(total_num_groups);
        self.0.merge(values, &|row| group_indices[row]).map_err(external)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> SqlResult<Vec<ArrayRef>> {
        let mut each = Self(self.0.empty());
        each.0.resize(values[0].len());
        each.0.update(values, &|row| row, opt_filter).map_err(external)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        self.0.bytes()
    }
}

/// All rows are one group.
pub(in crate::sql) struct OneGroup<A>(A);

impl<A: Aggregation> OneGroup<A> {
    pub(in crate::sql) fn new(mut aggregation: A) -> Self {
        aggregation.resize(1);
        Self(aggregation)
    }
}

impl<A> fmt::Debug for OneGroup<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneGroup").finish_non_exhaustive()
    }
}

impl<A: Aggregation> Accumulator for OneGroup<A> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        self.0.update(values, &|_| 0, None).map_err(external)
    }

    fn evaluate(&mut self) -> SqlResult<ScalarValue> {
        self.0.settle().map_err(external)?;
        // A window asks for the value again after every step, so the group stays.
        ScalarValue::try_from_array(&self.0.finish(self.0.groups()).map_err(external)?, 0)
    }

    fn size(&self) -> usize {
        self.0.bytes()
    }

    fn state(&mut self) -> SqlResult<Vec<ScalarValue>> {
        self.0.settle().map_err(external)?;
        let columns = self.0.partial(self.0.groups()).map_err(external)?;
        columns.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> SqlResult<()> {
        self.0.merge(states, &|_| 0).map_err(external)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        self.0.retract(values).map_err(external)
    }

    fn supports_retract_batch(&self) -> bool {
        A::RETRACTS
    }
}
