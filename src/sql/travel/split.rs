//! Takes the first halves of aggregations out of a plan.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use datafusion::common::Result as SqlResult;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::functions::all_default_functions;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateMode};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, replace_children_if_necessary};

use super::scan::{ScanDescription, ScanUnits, first_unit};
use crate::sql::aggregates::of_rows::RowAggregate;
use crate::sql::error::external;
use crate::sql::sources::scan::{ArchiveScan, split};

/// The first half of an aggregation, down to a list of units: a plan that can be sent to other machines.
#[derive(Clone, Debug)]
pub(crate) struct FirstHalf {
    pub(crate) plan: Arc<dyn ExecutionPlan>,
    /// How many units it reads.
    pub(crate) units: usize,
    /// The first unit of each of its parts.
    pub(crate) parts: Vec<u32>,
}

/// Aggregates of plain values whose states are exact, and do not depend on the order of rows.
const EXACT: [&str; 3] = ["count", "min", "max"];

/// Puts what `elsewhere` makes of them in the place of the first halves of aggregations over archives. A task reads about
/// so many bytes. Returns the plan, and for each scan that stays why.
pub(crate) fn take_first_halves(
    plan: Arc<dyn ExecutionPlan>,
    task_bytes: u64,
    elsewhere: &dyn Fn(FirstHalf) -> Arc<dyn ExecutionPlan>,
) -> SqlResult<(Arc<dyn ExecutionPlan>, Vec<String>)> {
    let mut stay = Vec::new();
    let taken = plan.transform_down(|node| {
        if node.is::<ArchiveScan>() {
            stay.push("its rows are not aggregated as they come from the archive".to_owned());
            return Ok(Transformed::no(node));
        }
        let Some(aggregate) = node.downcast_ref::<AggregateExec>() else { return Ok(Transformed::no(node)) };
        if !has_scan(&node) || *aggregate.mode() != AggregateMode::Partial {
            return Ok(Transformed::no(node));
        }
        match first_half(&node, aggregate, task_bytes)? {
            Ok(half) => Ok(Transformed::new(elsewhere(half), true, TreeNodeRecursion::Jump)),
            Err(reason) => {
                stay.push(reason);
                Ok(Transformed::new(node, false, TreeNodeRecursion::Jump))
            }
        }
    });
    Ok((taken.data()?, stay))
}

fn has_scan(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.is::<ArchiveScan>() || plan.children().into_iter().any(has_scan)
}

/// The half as a plan of its own, or why it cannot be one.
fn first_half(
    node: &Arc<dyn ExecutionPlan>,
    aggregate: &AggregateExec,
    task_bytes: u64,
) -> SqlResult<Result<FirstHalf, String>> {
    for call in aggregate.aggr_expr() {
        let function = call.fun();
        let ours = function.inner().is::<RowAggregate>();
        if call.is_distinct() || !(ours || EXACT.contains(&function.name())) {
            return Ok(Err(format!("{} depends on the order of rows, or is not known elsewhere", call.name())));
        }
        if let Some(reason) = call.expressions().iter().find_map(foreign) {
            return Ok(Err(reason));
        }
    }
    let groups = aggregate.group_expr().expr().iter().map(|(expression, _)| expression);
    let filters = aggregate.filter_expr().iter().flatten();
    if let Some(reason) = groups.chain(filters).find_map(foreign) {
        return Ok(Err(reason));
    }
    match below(aggregate.input(), task_bytes)? {
        Ok((input, units)) => {
            let parts = (0..input.output_partitioning().partition_count()).filter_map(|part| first_unit(&input, part));
            let parts = parts.collect();
            let plan = replace_children_if_necessary(node.clone(), vec![input])?;
            Ok(Ok(FirstHalf { plan, units, parts }))
        }
        Err(reason) => Ok(Err(reason)),
    }
}

type Below = Result<(Arc<dyn ExecutionPlan>, usize), String>;

/// What lies below an aggregation, above a list of units in the place of the scan.
fn below(node: &Arc<dyn ExecutionPlan>, task_bytes: u64) -> SqlResult<Below> {
    if let Some(scan) = node.downcast_ref::<ArchiveScan>() {
        let Some(units) = scan.all_units() else { return Ok(Err("only some of its rows are wanted".to_owned())) };
        let bytes: Vec<u64> = units.iter().map(|&unit| scan.table().units()[unit].bytes).collect();
        let tasks = bytes.iter().sum::<u64>().div_ceil(task_bytes.max(1)).clamp(1, units.len().max(1) as u64);
        if units.len() < 2 || tasks < 2 {
            return Ok(Err("there is too little of it".to_owned()));
        }
        let parts: Vec<Vec<usize>> =
            split(&bytes, tasks as usize).into_iter().map(|range| units[range].to_vec()).collect();
        let description = ScanDescription::of(scan, scan.schema()).map_err(external)?;
        let scan = ScanUnits::over(description, &parts)?;
        return Ok(Ok((Arc::new(scan), units.len())));
    }
    // The list has as many partitions as there are tasks.
    if let Some(dealt) = node.downcast_ref::<RepartitionExec>() {
        return below(dealt.input(), task_bytes);
    }
    let mut reason = None;
    if !(node.is::<ProjectionExec>() || node.is::<FilterExec>() || node.is::<CooperativeExec>()) {
        return Ok(Err(format!("{} stands between its rows and their sums", node.name())));
    }
    node.apply_expressions(&mut |expression| {
        reason = reason.take().or_else(|| foreign(expression));
        Ok(TreeNodeRecursion::Continue)
    })?;
    if let Some(reason) = reason {
        return Ok(Err(reason));
    }
    let children = node.children();
    let [input] = children.as_slice() else { return Ok(Err("it is joined".to_owned())) };
    match below(input, task_bytes)? {
        Ok((input, units)) => Ok(Ok((replace_children_if_necessary(node.clone(), vec![input])?, units))),
        Err(reason) => Ok(Err(reason)),
    }
}

/// The function in an expression that other machines do not know, if there is one.
fn foreign(expression: &Arc<dyn PhysicalExpr>) -> Option<String> {
    static KNOWN: LazyLock<HashSet<String>> =
        LazyLock::new(|| all_default_functions().iter().map(|function| function.name().to_owned()).collect());
    let mut found = None;
    let looked = expression.apply(|part| {
        if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>()
            && !KNOWN.contains(call.fun().name())
        {
            found = Some(format!("{} is made here alone", call.fun().name()));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    looked.ok().and(found)
}
