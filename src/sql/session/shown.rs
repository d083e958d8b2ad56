//! Which metrics each column of a query may show: a number alone does not tell whose it is.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode as _, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result as SqlResult};
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan};

use crate::metrics::card;
use crate::sql::functions::evaluate::keys_of_states;

/// Keys of metrics.
pub(in crate::sql) type Metrics = BTreeSet<&'static str>;

/// The metrics that each column of a plan may show, in the order of its columns.
pub(in crate::sql) fn shown(plan: &LogicalPlan) -> SqlResult<Vec<Metrics>> {
    let found = match plan {
        LogicalPlan::Projection(node) => of_each(node.expr.iter(), &node.input)?,
        LogicalPlan::Aggregate(node) => of_each(node.group_expr.iter().chain(&node.aggr_expr), &node.input)?,
        LogicalPlan::Window(node) => [shown(&node.input)?, of_each(node.window_expr.iter(), &node.input)?].concat(),
        LogicalPlan::Filter(node) => shown(&node.input)?,
        LogicalPlan::Sort(node) => shown(&node.input)?,
        LogicalPlan::Limit(node) => shown(&node.input)?,
        LogicalPlan::Repartition(node) => shown(&node.input)?,
        LogicalPlan::SubqueryAlias(node) => shown(&node.input)?,
        LogicalPlan::Subquery(node) => shown(&node.subquery)?,
        LogicalPlan::Distinct(Distinct::All(input)) => shown(input)?,
        LogicalPlan::Join(node) => [shown(&node.left)?, shown(&node.right)?].concat(),
        LogicalPlan::Union(node) => {
            let mut inputs = node.inputs.iter().map(|input| shown(input));
            let first = inputs.next().transpose()?.unwrap_or_default();
            inputs.try_fold(first, |mut all, one| -> SqlResult<_> {
                all.iter_mut().zip(one?).for_each(|(all, one)| all.extend(one));
                Ok(all)
            })?
        }
        LogicalPlan::TableScan(scan) => match (scan.source.get_logical_plan(), &scan.projection) {
            (Some(view), None) => shown(&view)?,
            (Some(view), Some(projection)) => {
                let all = shown(&view)?;
                projection.iter().filter_map(|&at| all.get(at).cloned()).collect()
            }
            (None, _) => vec![Metrics::new(); scan.projected_schema.fields().len()],
        },
        _ => Vec::new(),
    };
    // Of any other step it is only known what is called somewhere below.
    let columns = plan.schema().fields().len();
    if found.len() == columns { Ok(found) } else { Ok(vec![called(plan)?; columns]) }
}

fn of_each<'a>(expressions: impl Iterator<Item = &'a Expr>, input: &LogicalPlan) -> SqlResult<Vec<Metrics>> {
    let below = shown(input)?;
    expressions.map(|expression| of(expression, input.schema(), &below)).collect()
}

/// The metrics that the value of an expression may be, or be made of; `below` are those of its columns.
fn of(expression: &Expr, schema: &DFSchema, below: &[Metrics]) -> SqlResult<Metrics> {
    let mut found = Metrics::new();
    expression.apply(|part| {
        match part {
            Expr::Column(column) => {
                let at = schema.maybe_index_of_column(column);
                found.extend(at.and_then(|at| below.get(at)).into_iter().flatten());
            }
            Expr::ScalarSubquery(query) => found.extend(shown(&query.subquery)?.into_iter().flatten()),
            _ => found.extend(made_by(part)),
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The metrics that a call makes, if the expression is one.
fn made_by(expression: &Expr) -> Vec<&'static str> {
    let name = match expression {
        Expr::ScalarFunction(call) => call.func.name(),
        Expr::AggregateFunction(call) => call.func.name(),
        Expr::WindowFunction(call) => call.fun.name(),
        _ => return Vec::new(),
    };
    match name {
        "nc_measure" | "nc_measure_of" => keys_of_states(),
        _ => card(name.strip_suffix("_of").unwrap_or(name)).map(|card| card.key).into_iter().collect(),
    }
}

/// The metrics that are called anywhere in a plan.
fn called(plan: &LogicalPlan) -> SqlResult<Metrics> {
    let mut found = Metrics::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                found.extend(made_by(part));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}
