//! The rule that binds a session's settings to our aggregates, and brings each row's grid to them unseen.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result as SqlResult};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    AggregateUDF, AggregateUDFImpl, Expr, ExprSchemable, LogicalPlan, WindowFunctionDefinition,
};
use datafusion::optimizer::AnalyzerRule;

use crate::error::Error;
use crate::sql::aggregates::merge::MergeStates;
use crate::sql::aggregates::of_rows::{RowAggregate, distinct};
use crate::sql::aggregates::second_pass::SecondPassAggregate;
use crate::sql::error::external;
use crate::sql::functions::share::ShareFunction;
use crate::sql::rules::propagate_grid::{Kind, columns, project, propagate_grid, source};
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;
use crate::sql::values::decisions::are_decisions;
use crate::sql::values::grid_column;
use crate::sql::values::head::may_be_least_squares;
use crate::sql::values::rows::no_grid;
use crate::sql::values::shared::shared;
use crate::sql::values::state_column::is_state;

/// Binds each aggregate of rows to the session's settings and to the grids of its rows.
#[derive(Debug)]
pub(in crate::sql) struct BindAggregates;

impl AnalyzerRule for BindAggregates {
    fn name(&self) -> &'static str {
        "nc_bind_aggregates"
    }

    fn analyze(&self, plan: LogicalPlan, config: &ConfigOptions) -> SqlResult<LogicalPlan> {
        let settings = Settings::of(config);
        let budget = Budget::of(&settings);
        let mut rewriter = Rewriter { settings, budget, names: 0 };
        plan.transform_up_with_subqueries(|plan| rewriter.rewrite(plan)).map(|transformed| transformed.data)
    }
}

struct Rewriter {
    settings: Settings,
    budget: Budget,
    /// Hidden columns of the current node.
    names: usize,
}

/// The rows of a call: equal for calls that can share a state.
type RowArguments = (Vec<Expr>, Option<Box<Expr>>);

impl Rewriter {
    fn rewrite(&mut self, plan: LogicalPlan) -> SqlResult<Transformed<LogicalPlan>> {
        let input = match &plan {
            LogicalPlan::Aggregate(aggregate) => aggregate.input.clone(),
            LogicalPlan::Window(window) => window.input.clone(),
            _ => return Ok(Transformed::no(plan)),
        };
        let mut calls = Vec::new();
        for expression in plan.expressions() {
            expression.apply(|part| {
                check_order(part, input.schema())?;
                if let Some(call) = Call::of(part)? {
                    calls.push(call);
                }
                Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
            })?;
        }
        let of_states =
            |part: &Expr| Ok(called::<SecondPassAggregate>(part).is_some() || called::<MergeStates>(part).is_some());
        let others = plan.expressions().into_iter().map(|expression| expression.exists(of_states));
        let others = others.collect::<SqlResult<Vec<bool>>>()?.contains(&true);
        if calls.is_empty() && !others {
            return Ok(Transformed::no(plan));
        }
        let mut scatter: HashMap<RowArguments, bool> = HashMap::new();
        for call in calls.iter().filter(|call| call.aggregate.shares()) {
            *scatter.entry(call.rows()).or_default() |= call.aggregate.scatter() || call.may_solve()?;
        }
        // Hidden columns end here, and equal subqueries stay equal.
        self.names = 0;
        let (carried, grids) = self.carry_all(input.as_ref().clone(), &calls)?;
        let names = NamePreserver::new_for_projection();
        let rewritten = plan.expressions().into_iter().map(|expression| {
            let name = names.save(&expression);
            let bound = expression.transform_up(|part| {
                if let Some(function) = called::<MergeStates>(&part) {
                    let bound = AggregateUDF::new_from_impl(function.bound(&self.settings, &self.budget));
                    return Ok(Transformed::yes(with_call(part, bound, Ok)?));
                }
                if let Some(function) = called::<SecondPassAggregate>(&part) {
                    let bound = AggregateUDF::new_from_impl(function.bound(&self.settings, &self.budget));
                    let shared = with_call(part, bound, |args| share_states(args, input.schema()))?;
                    return Ok(Transformed::yes(shared));
                }
                let Some(call) = Call::of(&part)? else { return Ok(Transformed::no(part)) };
                let shared = scatter.get(&call.rows()).copied().unwrap_or(false);
                let bound = call.aggregate.bound(&self.settings, shared, &self.budget);
                let grid = grids.get(&call.args[..2]).cloned().map(Expr::Column);
                let with_grid = |mut args: Vec<Expr>| {
                    args.extend(grid);
                    Ok(args)
                };
                Ok(Transformed::yes(with_call(part, AggregateUDF::new_from_impl(bound), with_grid)?))
            })?;
            Ok(name.restore(bound.data))
        });
        let rewritten: Vec<Expr> = rewritten.collect::<SqlResult<_>>()?;
        let bound = plan.with_new_exprs(rewritten, vec![carried])?;
        if bound.schema().fields().len() == plan.schema().fields().len() {
            return Ok(Transformed::yes(bound));
        }
        // A window shows what comes into it; the grids are nobody's business.
        Ok(Transformed::yes(project(columns(&plan).collect(), bound)?))
    }

    /// Carries the grids of all calls up to here; those whose rows bring none are not among the columns returned.
    fn carry_all(
        &mut self,
        mut input: LogicalPlan,
        calls: &[Call],
    ) -> SqlResult<(LogicalPlan, HashMap<Vec<Expr>, Column>)> {
        let mut grids: HashMap<Vec<Expr>, Column> = HashMap::new();
        for call in calls {
            let pair = call.args[..2].to_vec();
            let mut given = false;
            for argument in &call.args[2..] {
                let data_type = argument.get_type(input.schema())?;
                given |= data_type.is_integer() || data_type == grid_column::data_type();
            }
            if given || grids.contains_key(&pair) {
                continue;
            }
            let feature = source(&pair[0], &input, Kind::Vector)?;
            let label = source(&pair[1], &input, Kind::Label)?;
            let carried = match feature.zip(label) {
                Some((feature, label)) => propagate_grid(&input, feature, label, &mut self.names)?,
                None => None,
            };
            match carried {
                Some((plan, column)) => {
                    input = plan;
                    grids.insert(pair, column);
                }
                None if self.settings.require_grid => return Err(external(no_grid())),
                None => {}
            }
        }
        Ok((input, grids))
    }
}

/// A call of one of our aggregates of rows.
struct Call {
    aggregate: RowAggregate,
    args: Vec<Expr>,
    filter: Option<Box<Expr>>,
}

impl Call {
    fn of(expression: &Expr) -> SqlResult<Option<Self>> {
        let (function, args, filter, is_distinct) = match expression {
            Expr::AggregateFunction(AggregateFunction { func, params }) => {
                (func, &params.args, &params.filter, params.distinct)
            }
            Expr::WindowFunction(call) => match &call.fun {
                WindowFunctionDefinition::AggregateUDF(function) => {
                    (function, &call.params.args, &call.params.filter, call.params.distinct)
                }
                WindowFunctionDefinition::WindowUDF(_) => return Ok(None),
            },
            _ => return Ok(None),
        };
        let Some(aggregate) = function.inner().downcast_ref::<RowAggregate>() else { return Ok(None) };
        if is_distinct {
            return distinct(function.name());
        }
        if args.len() < 2 {
            return Ok(None);
        }
        Ok(Some(Self { aggregate: aggregate.clone(), args: args.clone(), filter: filter.clone() }))
    }

    /// Whether its head may be the least-squares one of the state, which stands on the scatter.
    fn may_solve(&self) -> SqlResult<bool> {
        let names_it = |part: &Expr| match part {
            Expr::Literal(value, _) => Ok(value.try_as_str().flatten().is_some_and(may_be_least_squares)),
            _ => Ok(false),
        };
        self.args[2..].iter().map(|argument| argument.exists(names_it)).try_fold(false, |any, one| Ok(any || one?))
    }

    /// Heads are no part of the rows, but a grid that is given is.
    fn rows(&self) -> RowArguments {
        let grid = self.args[2..]
            .iter()
            .filter(|argument| matches!(argument, Expr::Literal(value, _) if value.data_type().is_integer()));
        (self.args[..2].iter().chain(grid).cloned().collect(), self.filter.clone())
    }
}

/// Refuses the least and the greatest of values that have no order.
fn check_order(expression: &Expr, schema: &DFSchema) -> SqlResult<()> {
    let (name, args) = match expression {
        Expr::AggregateFunction(call) => (call.func.name(), &call.params.args),
        Expr::WindowFunction(call) => (call.fun.name(), &call.params.args),
        _ => return Ok(()),
    };
    if !["min", "max"].contains(&name) {
        return Ok(());
    }
    for argument in args {
        let data_type = argument.get_type(schema)?;
        if data_type != DataType::Null && (is_state(shared(&data_type)) || are_decisions(&data_type)) {
            return Err(external(
                Error::usage("states and decisions have no order")
                    .with("function", name)
                    .help("nc_merge(state) adds states up; one of equal ones is first_value(state)"),
            ));
        }
    }
    Ok(())
}

/// The aggregate of that type that an expression calls, if it does.
fn called<F: AggregateUDFImpl>(expression: &Expr) -> Option<&F> {
    let function = match expression {
        Expr::AggregateFunction(call) => &call.func,
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => function,
            WindowFunctionDefinition::WindowUDF(_) => return None,
        },
        _ => return None,
    };
    function.inner().downcast_ref::<F>()
}

/// Wraps states and heads beside rows, so that rows share them.
fn share_states(args: Vec<Expr>, schema: &DFSchema) -> SqlResult<Vec<Expr>> {
    let share = |(at, argument): (usize, Expr)| {
        // A path is as short as what stands for it.
        let large = at >= 2 && matches!(argument.get_type(schema)?, DataType::Struct(_));
        Ok(if large { ShareFunction::call(argument) } else { argument })
    };
    args.into_iter().enumerate().map(share).collect()
}

/// The same call of another function, with other arguments.
fn with_call(
    expression: Expr,
    function: AggregateUDF,
    arguments: impl FnOnce(Vec<Expr>) -> SqlResult<Vec<Expr>>,
) -> SqlResult<Expr> {
    let function = Arc::new(function);
    Ok(match expression {
        Expr::AggregateFunction(mut call) => {
            call.func = function;
            call.params.args = arguments(call.params.args)?;
            Expr::AggregateFunction(call)
        }
        Expr::WindowFunction(call) => {
            let WindowFunction { mut params, .. } = *call;
            params.args = arguments(params.args)?;
            let fun = WindowFunctionDefinition::AggregateUDF(function);
            Expr::WindowFunction(Box::new(WindowFunction { fun, params }))
        }
        other => other,
    })
}
