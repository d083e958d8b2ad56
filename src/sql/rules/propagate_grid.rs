//! Carrying a hidden column from the scans of archives up through a plan.

use std::sync::Arc;

use datafusion::common::{Column, JoinType, Result as SqlResult};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{
    Cast, Expr, ExprSchemable, LogicalPlan, Projection, SubqueryAlias, TableScanBuilder, Union, lit,
};
use datafusion::scalar::ScalarValue;

use crate::sql::sources::archive_table::ArchiveTable;
use crate::sql::values::grid_column;
use crate::sql::values::rows::is_vector;

/// Adds the hidden grid column to the output of a plan, for the rows whose vector and label are the columns at these
/// positions. Returns the new plan and the column; `None` if the two columns are not from one archive, or if the plan
/// makes new rows on the way.
///
/// `names` numbers the columns of a query, so that no two have one name.
pub(in crate::sql) fn propagate_grid(
    plan: &LogicalPlan,
    feature: usize,
    label: usize,
    names: &mut usize,
) -> SqlResult<Option<(LogicalPlan, Column)>> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let Ok(provider) = source_as_provider(&scan.source) else { return Ok(None) };
            let Some(table) = provider.downcast_ref::<ArchiveTable>() else { return Ok(None) };
            let name = |at: usize| plan.schema().field(at).name();
            // A window further up may have had its grids from the same scan.
            let mut hidden = next(names);
            while scan.source.schema().index_of(&hidden).is_ok() {
                hidden = next(names);
            }
            let Some(wide) = table.with_grid(name(feature), name(label), &hidden) else { return Ok(None) };
            let shown = scan.source.schema().fields().len();
            let mut projection = scan.projection.clone().unwrap_or_else(|| (0..shown).collect());
            projection.push(shown);
            let source = provider_as_source(Arc::new(wide));
            let scan = TableScanBuilder::new(scan.table_name.clone(), source)
                .with_projection(Some(projection))
                .with_filters(scan.filters.clone())
                .with_fetch(scan.fetch)
                .build()?;
            Ok(with_last(LogicalPlan::TableScan(scan)))
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let Some((input, _)) = carried_last(&alias.input, feature, label, names)? else { return Ok(None) };
            Ok(with_last(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?)))
        }
        LogicalPlan::Projection(projection) => {
            let input = &projection.input;
            let source = |at: usize, of: Kind| source(&projection.expr[at], input, of);
            let (Some(feature), Some(label)) = (source(feature, Kind::Vector)?, source(label, Kind::Label)?) else {
                return Ok(None);
            };
            let Some((input, column)) = propagate_grid(input, feature, label, names)? else { return Ok(None) };
            let expressions = projection.expr.iter().cloned().chain([Expr::Column(column)]).collect();
            Ok(with_last(project(expressions, input)?))
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_) | LogicalPlan::Repartition(_) => {
            let Some((input, column)) = propagate_grid(plan.inputs()[0], feature, label, names)? else {
                return Ok(None);
            };
            Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, column)))
        }
        LogicalPlan::Window(window) => {
            let width = window.input.schema().fields().len();
            if feature >= width || label >= width {
                return Ok(None);
            }
            let Some((input, column)) = propagate_grid(&window.input, feature, label, names)? else { return Ok(None) };
            Ok(Some((plan.with_new_exprs(plan.expressions(), vec![input])?, column)))
        }
        LogicalPlan::Join(join) => {
            let left = match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 0,
                _ => join.left.schema().fields().len(),
            };
            let inputs = plan.inputs();
            let (left_input, right_input) = (inputs[0], inputs[1]);
            let (carried, inputs) = if feature < left && label < left {
                let Some((input, column)) = propagate_grid(left_input, feature, label, names)? else { return Ok(None) };
                (column, vec![input, right_input.clone()])
            } else if feature >= left && label >= left {
                let from = propagate_grid(right_input, feature - left, label - left, names)?;
                let Some((input, column)) = from else { return Ok(None) };
                (column, vec![left_input.clone(), input])
            } else {
                return Ok(None);
            };
            let joined = plan.with_new_exprs(plan.expressions(), inputs)?;
            // A semi-join of the other side shows none of this one's columns.
            let shown = joined.schema().has_column(&carried);
            Ok(shown.then_some((joined, carried)))
        }
        LogicalPlan::Union(union) => {
            let mut inputs = Vec::with_capacity(union.inputs.len());
            let mut any = false;
            let name = next(names);
            for input in &union.inputs {
                let (input, grid) = match propagate_grid(input, feature, label, names)? {
                    Some((carried, column)) => {
                        any = true;
                        (carried, Expr::Column(column))
                    }
                    None => (input.as_ref().clone(), lit(ScalarValue::try_from(&grid_column::data_type())?)),
                };
                inputs.push((input, grid));
            }
            if !any {
                return Ok(None);
            }
            let projected = inputs.into_iter().zip(&union.inputs).map(|((input, grid), before)| {
                let expressions = columns(before).chain([grid.alias(&name)]).collect();
                Ok(Arc::new(project(expressions, input)?))
            });
            let projected = projected.collect::<SqlResult<_>>()?;
            Ok(with_last(LogicalPlan::Union(Union::try_new_with_loose_types(projected)?)))
        }
        _ => Ok(None),
    }
}

/// [`propagate_grid`], with the new column last.
fn carried_last(
    plan: &LogicalPlan,
    feature: usize,
    label: usize,
    names: &mut usize,
) -> SqlResult<Option<(LogicalPlan, Column)>> {
    let Some((carried, column)) = propagate_grid(plan, feature, label, names)? else { return Ok(None) };
    let last = carried.schema().columns().last() == Some(&column);
    if last {
        return Ok(Some((carried, column)));
    }
    let expressions = columns(plan).chain([Expr::Column(column)]).collect();
    Ok(with_last(project(expressions, carried)?))
}

fn with_last(plan: LogicalPlan) -> Option<(LogicalPlan, Column)> {
    let column = plan.schema().columns().pop();
    column.map(|column| (plan, column))
}

/// `SELECT expressions FROM input`.
pub(in crate::sql) fn project(expressions: Vec<Expr>, input: LogicalPlan) -> SqlResult<LogicalPlan> {
    Ok(LogicalPlan::Projection(Projection::try_new(expressions, Arc::new(input))?))
}

fn next(names: &mut usize) -> String {
    *names += 1;
    format!("__nc_grid_{names}")
}

/// The columns of a plan's output.
pub(in crate::sql) fn columns(plan: &LogicalPlan) -> impl Iterator<Item = Expr> {
    plan.schema().columns().into_iter().map(Expr::Column)
}

/// What a column has to stay through a cast.
#[derive(Clone, Copy)]
pub(in crate::sql) enum Kind {
    Vector,
    Label,
}

/// The column of `input` that an expression shows with the same values, if it does no more than that.
pub(in crate::sql) fn source(expression: &Expr, input: &LogicalPlan, kind: Kind) -> SqlResult<Option<usize>> {
    match expression {
        Expr::Column(column) => Ok(input.schema().maybe_index_of_column(column)),
        Expr::Alias(alias) => source(&alias.expr, input, kind),
        Expr::Cast(Cast { expr, field }) => {
            let (from, to) = (expr.get_type(input.schema())?, field.data_type());
            let same = match kind {
                Kind::Vector => is_vector(&from) && is_vector(to),
                Kind::Label => (from.is_integer() && to.is_integer()) || (from.is_string() && to.is_string()),
            };
            if same { source(expr, input, kind) } else { Ok(None) }
        }
        _ => Ok(None),
    }
}
