//! The steps of a job: units become states, and states are merged.
//!
//! Both steps stand above a source in memory. The scheduler gives each task its share of the partitions of such a source; of
//! a source of another kind it would give every task the whole, and rows would count several times.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::{ArrayRef, AsArray, BinaryArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type, UInt64Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as EngineResult, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties,
};
use futures::StreamExt;

use super::StopOnDrop;
use super::blocks::{Assembly, Ticket, blocks, schema};
use super::error::to_engine;
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::pipeline::{Part, Watch};
use crate::sql::travel::{only, streaming};
use crate::store::StateFile;

/// What a process that counts units gives to each of them.
#[derive(Clone, Debug)]
pub(super) struct Host {
    /// How errors call it.
    pub(super) name: String,
    pub(super) device: Device,
    /// Bytes for each task.
    pub(super) memory: u64,
}

/// What a step does with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Counts units; its input are [descriptions](parts) of them.
    Count,
    /// Merges the states of each partition.
    Merge,
}

/// A step of a job.
#[derive(Debug)]
pub(super) struct Step {
    work: Work,
    input: Arc<dyn ExecutionPlan>,
    /// Executors have one, the client and the scheduler do not.
    host: Option<Host>,
    properties: Arc<PlanProperties>,
}

impl Step {
    pub(super) fn new(work: Work, input: Arc<dyn ExecutionPlan>, host: Option<Host>) -> Self {
        let properties = streaming(schema(), input.output_partitioning().partition_count());
        Self { work, input, host, properties }
    }

    pub(super) fn work(&self) -> Work {
        self.work
    }

    fn above(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.work, only(children)?, self.host.clone())))
    }
}

impl DisplayAs for Step {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for Step {
    fn name(&self) -> &'static str {
        match self.work {
            Work::Count => "CountUnits",
            Work::Merge => "MergeStates",
        }
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> EngineResult<TreeNodeRecursion>,
    ) -> EngineResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.above(children)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        self.above(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> EngineResult<SendableRecordBatchStream> {
        let Some(host) = self.host.clone() else { return internal_err!("units are counted by executors alone") };
        let mut input = self.input.execute(partition, context)?;
        let mut builder = RecordBatchReceiverStream::builder(schema(), 2);
        let output = builder.tx();
        let work = self.work;
        builder.spawn(async move {
            // Dropped with the task, when the job is cancelled.
            let stop = StopOnDrop::default();
            let mut merger = Merger::default();
            while let Some(batch) = input.next().await {
                let batch = batch?;
                let results = match work {
                    Work::Count => {
                        let (host, stop) = (host.clone(), stop.0.clone());
                        on_a_thread(&host.name.clone(), move || count(&batch, &host, &stop)).await?
                    }
                    Work::Merge => {
                        merger = on_a_thread(&host.name, move || merger.take(&batch).map_err(of_merging)).await?;
                        continue;
                    }
                };
                for batch in results {
                    if output.send(Ok(batch)).await.is_err() {
                        return Ok(());
                    }
                }
            }
            for batch in on_a_thread(&host.name, move || merger.finish().map_err(of_merging)).await? {
                if output.send(Ok(batch)).await.is_err() {
                    break;
                }
            }
            Ok(())
        });
        Ok(builder.build())
    }
}

/// Does work that takes long away from the threads that answer messages.
async fn on_a_thread<T: Send + 'static>(
    executor: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> EngineResult<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.unwrap_or_else(|_| Err(Error::internal("a worker panicked")));
    done.map_err(|error| to_engine(&error.with_default("executor", executor)))
}

/// The columns of units that are to be counted.
fn description_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("bucket", DataType::UInt32, false),
        Field::new("state", DataType::UInt64, false),
        Field::new("units", DataType::Binary, false),
    ]))
}

/// Descriptions of units, a partition each: their schema, and the batches of each partition.
pub(super) fn descriptions(parts: &[(Ticket, Vec<u8>)]) -> Result<(SchemaRef, Vec<Vec<RecordBatch>>)> {
    let schema = description_schema();
    let batch = |(ticket, units): &(Ticket, Vec<u8>)| {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt32Array::from(vec![ticket.bucket])),
            Arc::new(UInt64Array::from(vec![ticket.state])),
            Arc::new(BinaryArray::from(vec![units.as_slice()])),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns);
        batch.map(|batch| vec![batch]).map_err(|error| Error::internal("cannot describe units").caused_by(error))
    };
    let partitions = parts.iter().map(batch).collect::<Result<_>>()?;
    Ok((schema, partitions))
}

/// Counts the units of each row.
fn count(batch: &RecordBatch, host: &Host, stop: &Arc<AtomicBool>) -> Result<Vec<RecordBatch>> {
    let broken = || Error::data("the description of units is damaged");
    let [buckets, states, units] = batch.columns() else { return Err(broken()) };
    let buckets = buckets.as_primitive_opt::<UInt32Type>().ok_or_else(broken)?;
    let states = states.as_primitive_opt::<UInt64Type>().ok_or_else(broken)?;
    let units = units.as_binary_opt::<i32>().ok_or_else(broken)?;
    let watch = Watch { stop: stop.clone(), ..Watch::default() };
    let mut results = Vec::new();
    for row in 0..batch.num_rows() {
        let part = Part::decode(units.value(row))?;
        let counted = part.count(&host.device, 1, host.memory, &watch)?;
        let ticket = Ticket { bucket: buckets.value(row), state: states.value(row) };
        results.extend(blocks(ticket, &counted.encode()?)?);
    }
    Ok(results)
}

/// The name of the step that an error arose in.
const STEP: &str = "step";

/// Marks an error of merging. Each state was sound where it was counted, so what does not fit now has come twice, or has been
/// damaged on its way.
fn of_merging(error: Error) -> Error {
    error.with(STEP, "merging")
}

pub(super) fn is_of_merging(error: &Error) -> bool {
    error.fact(STEP).is_some()
}

/// States that are decoded before they are merged: merging takes all of them apart.
const AT_ONCE: usize = 8;

/// Merges the states of a partition.
#[derive(Default)]
struct Merger {
    assembly: Assembly,
    merged: Option<(Ticket, StateFile)>,
    waiting: Vec<(String, StateFile)>,
}

impl Merger {
    /// Takes the blocks of a batch.
    fn take(mut self, batch: &RecordBatch) -> Result<Self> {
        for (ticket, bytes) in self.assembly.take(batch)? {
            let state = StateFile::decode(&bytes)?;
            if self.merged.is_none() {
                self.merged = Some((ticket, state));
            } else {
                self.waiting.push((format!("state {}", ticket.state), state));
            }
            if self.waiting.len() >= AT_ONCE {
                self.merge()?;
            }
        }
        Ok(self)
    }

    fn merge(&mut self) -> Result<()> {
        let others = std::mem::take(&mut self.waiting);
        match &mut self.merged {
            // Whoever planned the units has compared their bytes.
            Some((_, merged)) => merged.merge("the states before", &others, true),
            None => Ok(()),
        }
    }

    /// The blocks of the merged state, if there was one.
    fn finish(mut self) -> Result<Vec<RecordBatch>> {
        self.assembly.finish()?;
        self.merge()?;
        match self.merged {
            Some((ticket, merged)) => blocks(ticket, &merged.encode()?),
            None => Ok(Vec::new()),
        }
    }
}
