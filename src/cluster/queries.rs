//! Queries whose archives are aggregated by a cluster.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as EngineResult, internal_err};
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SessionStateBuilder, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::{Handle, Runtime};

use super::client::{ATTEMPTS, LAST_WORDS, Settings};
use super::job::{self, Desk, Failed, connect};
use super::stamped::{Stamped, Unstamped};
use super::{StopOnDrop, runtime};
use crate::error::{Error, Result};
use crate::sql::travel::{FirstHalf, take_first_halves};

/// A cluster that aggregates the archives of queries.
#[derive(Debug)]
pub struct QueryCluster {
    runtime: Runtime,
    desk: Desk,
    task_bytes: u64,
    notes: Notes,
    /// How many jobs are on their way.
    jobs: Jobs,
}

/// What is to be said of the last queries.
type Notes = Arc<Mutex<Vec<String>>>;

/// How many jobs have not ended.
type Jobs = Arc<AtomicUsize>;

/// Counts as a job until it is dropped.
struct Counted(Jobs);

impl Counted {
    fn new(jobs: &Jobs) -> Self {
        jobs.fetch_add(1, Ordering::Relaxed);
        Self(jobs.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl QueryCluster {
    /// A cluster whose scheduler answers; a task reads about so many bytes of columns.
    ///
    /// # Errors
    ///
    /// Those of [`Cluster::new`](super::Cluster::new).
    pub fn new(settings: &Settings, task_bytes: u64) -> Result<Self> {
        let desk = settings.desk()?;
        let runtime = runtime(2)?;
        runtime.block_on(connect(&desk))?;
        Ok(Self { runtime, desk, task_bytes, notes: Notes::default(), jobs: Arc::default() })
    }

    /// Lets the queries of a session use the cluster, for as long as this lives.
    pub fn attach(&self, session: &SessionContext) {
        let rule = Distribute {
            handle: self.runtime.handle().clone(),
            desk: self.desk.clone(),
            task_bytes: self.task_bytes,
            notes: self.notes.clone(),
            jobs: self.jobs.clone(),
        };
        let mut state = session.state();
        // An aggregation has two halves where its rows have several partitions.
        let partitions = state.config().target_partitions().max(2);
        state.config_mut().options_mut().execution.target_partitions = partitions;
        let state = SessionStateBuilder::new_from_existing(state).with_physical_optimizer_rule(Arc::new(rule));
        *session.state_ref().write() = state.build();
    }

    /// Says what was done where since this was asked last.
    pub fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for QueryCluster {
    /// Waits until jobs that nobody wants any more are cancelled.
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.jobs.load(Ordering::Relaxed) > 0 && begun.elapsed() < LAST_WORDS {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Sends the first halves of aggregations to the cluster.
#[derive(Debug)]
struct Distribute {
    handle: Handle,
    desk: Desk,
    task_bytes: u64,
    notes: Notes,
    jobs: Jobs,
}

impl PhysicalOptimizerRule for Distribute {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let elsewhere = |half: FirstHalf| -> Arc<dyn ExecutionPlan> { Arc::new(OnCluster::new(half, self)) };
        let (plan, stay) = take_first_halves(plan, self.task_bytes, &elsewhere)?;
        let said = stay.into_iter().map(|reason| format!("an archive is read by this process: {reason}"));
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).extend(said);
        Ok(plan)
    }

    fn name(&self) -> &'static str {
        "nc_distribute"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The first half of an aggregation, made by the cluster.
#[derive(Debug)]
struct OnCluster {
    half: FirstHalf,
    handle: Handle,
    desk: Desk,
    notes: Notes,
    jobs: Jobs,
    properties: Arc<PlanProperties>,
}

impl OnCluster {
    fn new(half: FirstHalf, rule: &Distribute) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(half.plan.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let Distribute { handle, desk, notes, jobs, .. } = rule;
        let (handle, desk, notes, jobs) = (handle.clone(), desk.clone(), notes.clone(), jobs.clone());
        Self { half, handle, desk, notes, jobs, properties: Arc::new(properties) }
    }
}

impl DisplayAs for OnCluster {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnCluster: row_groups={}", self.half.units)
    }
}

impl ExecutionPlan for OnCluster {
    fn name(&self) -> &'static str {
        "OnCluster"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> EngineResult<SendableRecordBatchStream> {
        if partition != 0 {
            return internal_err!("there is one partition");
        }
        let cancelled = StopOnDrop::default();
        let (desk, half, flag) = (self.desk.clone(), self.half.clone(), cancelled.0.clone());
        let (notes, units) = (self.notes.clone(), self.half.units);
        let counted = Counted::new(&self.jobs);
        // The threads of a session send no messages.
        let job = self.handle.spawn(async move {
            let _counted = counted;
            let (batches, executors) = aggregate(&desk, &half, &flag).await?;
            let said =
                format!("{units} row groups were aggregated by the cluster; states came from {executors} executors");
            notes.lock().unwrap_or_else(PoisonError::into_inner).push(said);
            Ok(batches)
        });
        let rows = async move {
            // Whoever drops the rows cancels the job.
            let _cancelled = cancelled;
            let batches: Result<Vec<RecordBatch>> =
                job.await.unwrap_or_else(|_| Err(Error::internal("a worker panicked")));
            let batches = batches.map_err(|error| DataFusionError::External(Box::new(error)))?;
            Ok::<_, DataFusionError>(futures::stream::iter(batches).map(Ok))
        };
        let stream = futures::stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.half.plan.schema(), stream)))
    }
}

/// The rows of a plan, and how many executors gave them. What machines have failed with is tried again.
async fn aggregate(desk: &Desk, half: &FirstHalf, cancel: &AtomicBool) -> Result<(Vec<RecordBatch>, usize)> {
    let mut attempts = 1;
    let stamped: Arc<dyn ExecutionPlan> = Arc::new(Stamped::new(half.plan.clone(), None));
    loop {
        let mut rows = Unstamped::new(half.plan.schema(), half.parts.iter().copied());
        let run = job::run(desk, stamped.clone(), cancel, &mut |batch| rows.take(&batch)).await;
        let failed = match run.map(|executors| (rows.finish(), executors.len())) {
            Ok((Ok(batches), executors)) => return Ok((batches, executors)),
            Ok((Err(error), _)) => Failed::by_machines(error),
            Err(failed) => failed,
        };
        if !failed.by_machines || attempts >= ATTEMPTS {
            return Err(failed.error);
        }
        attempts += 1;
    }
}
