//! The rule that makes several metrics of one state at once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result as SqlResult, exec_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::sql::functions::arguments::Arguments;
use crate::sql::functions::of_state::{StateFunction, metric_call};

/// Turns the calls of several metrics of the same arguments in one projection into fields of one call. DataFusion then
/// evaluates that call once, so a state is decoded once, and the work that metrics share is done once.
#[derive(Debug)]
pub(in crate::sql) struct FuseMetrics;

impl OptimizerRule for FuseMetrics {
    fn name(&self) -> &'static str {
        "nc_fuse_metrics"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> SqlResult<Transformed<LogicalPlan>> {
        if !matches!(plan, LogicalPlan::Projection(_)) {
            return Ok(Transformed::no(plan));
        }
        let mut keys: HashMap<Vec<Expr>, BTreeSet<&'static str>> = HashMap::new();
        for expression in plan.expressions() {
            expression.apply(|part| {
                if let Expr::ScalarFunction(call) = part
                    && let Some(key) = metric_call(call)
                {
                    keys.entry(call.args.clone()).or_default().insert(key);
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        keys.retain(|_, keys| keys.len() > 1);
        if keys.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let names = NamePreserver::new_for_projection();
        let fused = plan.expressions().into_iter().map(|expression| {
            let name = names.save(&expression);
            let fused = expression.transform_up(|part| {
                let Expr::ScalarFunction(call) = &part else { return Ok(Transformed::no(part)) };
                let Some((key, keys)) = metric_call(call).zip(keys.get(&call.args)) else {
                    return Ok(Transformed::no(part));
                };
                let all = StateFunction::of_several(keys.iter().copied().collect()).call(call.args.clone());
                Ok(Transformed::yes(Pick::call(key, all)))
            })?;
            Ok(name.restore(fused.data))
        });
        let fused: Vec<Expr> = fused.collect::<SqlResult<_>>()?;
        let inputs = plan.inputs().into_iter().cloned().collect();
        Ok(Transformed::yes(plan.with_new_exprs(fused, inputs)?))
    }
}

/// A field of the metrics that were made together.
///
/// `get_field` would be pushed down to where the struct is made, which would then be made for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pick {
    key: &'static str,
    signature: Signature,
}

impl Pick {
    fn call(key: &'static str, metrics: Expr) -> Expr {
        let pick = Self { key, signature: Signature::any(1, Volatility::Immutable) };
        Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(ScalarUDF::new_from_impl(pick)), vec![metrics]))
    }
}

impl ScalarUDFImpl for Pick {
    fn name(&self) -> &'static str {
        self.key
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> SqlResult<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> SqlResult<ColumnarValue> {
        let arguments = Arguments::of(&args)?;
        let metrics = arguments.array(0).as_struct_opt();
        let Some(column) = metrics.and_then(|metrics| metrics.column_by_name(self.key)) else {
            return exec_err!("{} is not among the metrics made", self.key);
        };
        arguments.give_back(column.clone())
    }
}
