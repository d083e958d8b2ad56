//! Whether the states of a query fit into memory, before a row is read.

use std::sync::Arc;

use datafusion::common::Result as SqlResult;
use datafusion::common::config::ConfigOptions;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::projection::ProjectionExec;

use crate::sql::aggregates::of_rows::RowAggregate;
use crate::sql::error::external;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::too_large;
use crate::sql::sources::scan::ArchiveScan;
use crate::state::State;

/// A state is there as integers, as columns on its way between partitions, and as integers again.
const COPIES: u64 = 3;

/// Refuses a query whose states take more than `nc.memory`, as far as a plan tells: by the groups that hive keys and
/// statistics make, and by `D`; not by classes, which are not known before the rows are read.
#[derive(Debug)]
pub(in crate::sql) struct CheckMemory;

impl PhysicalOptimizerRule for CheckMemory {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> SqlResult<Arc<dyn ExecutionPlan>> {
        if let Some(limit) = Settings::of(config).memory {
            let needed = needed(&plan);
            if needed > limit {
                return Err(external(too_large(needed, limit)));
            }
        }
        Ok(plan)
    }

    fn name(&self) -> &'static str {
        "nc_check_memory"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Bytes that the states of a plan take at once.
fn needed(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let below: u64 = plan.children().into_iter().map(needed).sum();
    let Some(aggregate) = plan.downcast_ref::<AggregateExec>() else { return below };
    let states = aggregate.aggr_expr().iter().filter_map(|call| call.fun().inner().downcast_ref::<RowAggregate>());
    let scatter: Vec<bool> = states.map(RowAggregate::scatter).collect();
    let group_by: Option<Vec<String>> = aggregate
        .group_expr()
        .expr()
        .iter()
        .map(|(key, _)| Some(key.downcast_ref::<Column>()?.name().to_owned()))
        .collect();
    let dims = group_by.and_then(|keys| group_dims(aggregate.input(), keys)).unwrap_or_default();
    let bytes = |dim: &usize| scatter.iter().map(|&scatter| State::bytes(scatter, 1, *dim)).sum::<usize>() as u64;
    below + COPIES * dims.iter().map(bytes).sum::<u64>()
}

/// Follows columns down to the scan of an archive.
fn group_dims(plan: &Arc<dyn ExecutionPlan>, columns: Vec<String>) -> Option<Vec<usize>> {
    if let Some(scan) = plan.downcast_ref::<ArchiveScan>() {
        return scan.group_dims(&columns);
    }
    let columns = match plan.downcast_ref::<ProjectionExec>() {
        None => columns,
        Some(projection) => {
            let source = |name: &String| {
                let shown = projection.expr().iter().find(|shown| shown.alias == *name)?;
                Some(shown.expr.downcast_ref::<Column>()?.name().to_owned())
            };
            columns.iter().map(source).collect::<Option<_>>()?
        }
    };
    match plan.children()[..] {
        [only] => group_dims(only, columns),
        _ => None,
    }
}
