//! Brings everything of this room into a session.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::SessionContext;

use crate::sql::aggregates::merge::MergeStates;
use crate::sql::aggregates::of_rows::RowAggregate;
use crate::sql::aggregates::second_pass::SecondPassAggregate;
use crate::sql::functions::decisions::DecisionsFunction;
use crate::sql::functions::jackknife::JackknifeFunction;
use crate::sql::functions::of_state::StateFunction;
use crate::sql::functions::share::{HeadFunction, ShareFunction};
use crate::sql::rules::bind::BindAggregates;
use crate::sql::rules::fuse::FuseMetrics;
use crate::sql::rules::memory::CheckMemory;
use crate::sql::rules::yielding::YieldOften;
use crate::sql::settings::Settings;

/// Registers all functions, and what brings the grids of archives to them, with a session.
///
/// ```
/// use std::sync::Arc;
///
/// use datafusion::prelude::SessionContext;
/// use nckit::sql::{ArchiveTable, register};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let context = SessionContext::new();
/// register(&context);
/// let archive = ArchiveTable::open(&["tests/data/digits/hive".to_owned()])?;
/// context.register_table("features", Arc::new(archive))?;
/// let query = "SELECT epoch, nc1_pinv(feature, label) AS nc1, nc2_etf_error(feature, label) AS nc2
///              FROM features WHERE split = 'train' AND layer = 'h3' GROUP BY epoch ORDER BY epoch";
/// let frame = context.sql(query).await?;
/// assert_eq!(frame.count().await?, 5);
/// # Ok(())
/// # })
/// # }
/// ```
pub fn register(context: &SessionContext) {
    let state = context.state();
    let state = SessionStateBuilder::new_from_existing(state)
        .with_physical_optimizer_rule(Arc::new(CheckMemory))
        .with_physical_optimizer_rule(Arc::new(YieldOften));
    *context.state_ref().write() = state.build();
    for function in RowAggregate::all() {
        context.register_udaf(AggregateUDF::new_from_impl(function));
    }
    context.register_udaf(AggregateUDF::new_from_impl(MergeStates::new()));
    for function in StateFunction::all() {
        context.register_udf(ScalarUDF::new_from_impl(function));
    }
    context.register_udf(ScalarUDF::new_from_impl(JackknifeFunction::new()));
    for function in SecondPassAggregate::all() {
        context.register_udaf(AggregateUDF::new_from_impl(function));
    }
    for function in DecisionsFunction::all() {
        context.register_udf(ScalarUDF::new_from_impl(function));
    }
    context.register_udf(ScalarUDF::new_from_impl(HeadFunction::new()));
    context.register_udf(ScalarUDF::new_from_impl(ShareFunction::new()));
    context.state_ref().write().config_mut().options_mut().extensions.insert(Settings::default());
    context.add_analyzer_rule(Arc::new(BindAggregates));
    context.add_optimizer_rule(Arc::new(FuseMetrics));
}
