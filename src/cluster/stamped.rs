//! Rows that say of which part of an archive they are made, so that no part counts twice and none is lost.
//!
//! The engine may hand over the rows of a task twice, or not at all, after machines have died. States that are counted into a
//! file have a ledger against that; the rows of a query have a stamp, and the last row of each part says that it is the last.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as EngineResult, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};

use super::error::to_engine;
use super::nodes::Host;
use crate::error::{Error, Result};
use crate::sql::explain;
use crate::sql::travel::{first_unit, only, streaming};

/// Stamps the rows of its input.
#[derive(Debug)]
pub(super) struct Stamped {
    input: Arc<dyn ExecutionPlan>,
    /// Executors have one, the client and the scheduler do not.
    host: Option<Host>,
    properties: Arc<PlanProperties>,
}

/// The same columns, each of which may be null, and the two of the stamp.
fn stamped(schema: &Schema) -> SchemaRef {
    let columns = schema.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true)));
    let stamp = [Field::new("nc_part", DataType::UInt32, false), Field::new("nc_end", DataType::Boolean, false)];
    Arc::new(Schema::new(columns.chain(stamp.map(Arc::new)).collect::<Vec<_>>()))
}

impl Stamped {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, host: Option<Host>) -> Self {
        let properties = streaming(stamped(&input.schema()), input.output_partitioning().partition_count());
        Self { input, host, properties }
    }

    fn above(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> EngineResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(only(children)?, self.host.clone())))
    }
}

impl DisplayAs for Stamped {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl ExecutionPlan for Stamped {
    fn name(&self) -> &'static str {
        "Stamped"
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
        let Some(Host { name, .. }) = self.host.clone() else {
            return internal_err!("archives are read by executors alone");
        };
        let Some(part) = first_unit(&self.input, partition) else { return internal_err!("a part has no unit") };
        let schema = self.schema();
        let stamp = {
            let schema = schema.clone();
            move |batch: RecordBatch| {
                let rows = batch.num_rows();
                let stamp: [ArrayRef; 2] =
                    [Arc::new(UInt32Array::from(vec![part; rows])), Arc::new(BooleanArray::from(vec![false; rows]))];
                let columns = batch.columns().iter().cloned().chain(stamp).collect();
                Ok(RecordBatch::try_new(schema.clone(), columns)?)
            }
        };
        let rows = self.input.execute(partition, context)?.map(move |batch| match batch {
            Ok(batch) => stamp(batch),
            Err(error) => Err(to_engine(&explain(error).with_default("executor", &name))),
        });
        let end = {
            let schema = schema.clone();
            async move {
                let nulls = schema.fields()[..schema.fields().len() - 2].iter();
                let nulls = nulls.map(|field| new_null_array(field.data_type(), 1));
                let stamp: [ArrayRef; 2] =
                    [Arc::new(UInt32Array::from(vec![part])), Arc::new(BooleanArray::from(vec![true]))];
                let columns = nulls.chain(stamp).collect();
                Ok(RecordBatch::try_new(schema, columns)?)
            }
        };
        // An error ends the rows before their end.
        let all = rows.chain(futures::stream::once(end));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, all.into_stream())))
    }
}

/// Rows that have come, by their stamps.
#[derive(Debug)]
pub(super) struct Unstamped {
    schema: SchemaRef,
    /// Parts whose last row has not come.
    missing: BTreeSet<u32>,
    batches: Vec<RecordBatch>,
}

impl Unstamped {
    /// Awaits rows of a schema from these parts.
    pub(super) fn new(schema: SchemaRef, parts: impl IntoIterator<Item = u32>) -> Self {
        Self { schema, missing: parts.into_iter().collect(), batches: Vec::new() }
    }

    /// Takes a batch.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) for a part that has come before.
    pub(super) fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let broken = || Error::io("a row of a cluster has no stamp");
        let at = self.schema.fields().len();
        let stamp = (batch.columns().get(at), batch.columns().get(at + 1));
        let (Some(parts), Some(ends)) = stamp else { return Err(broken()) };
        let parts = parts.as_primitive_opt::<UInt32Type>().ok_or_else(broken)?;
        let ends = ends.as_boolean_opt().ok_or_else(broken)?;
        let mut rows = 0;
        for row in 0..batch.num_rows() {
            let part = parts.value(row);
            if !self.missing.contains(&part) {
                return Err(Error::io("a cluster has handed over rows twice").with("unit", part));
            }
            if ends.value(row) {
                self.missing.remove(&part);
                self.keep(&batch.slice(row - rows, rows))?;
                rows = 0;
            } else {
                rows += 1;
            }
        }
        self.keep(&batch.slice(batch.num_rows() - rows, rows))
    }

    fn keep(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() > 0 {
            let columns = rows.columns()[..self.schema.fields().len()].to_vec();
            let rows = RecordBatch::try_new(self.schema.clone(), columns);
            self.batches.push(rows.map_err(|error| Error::io("rows of a cluster are damaged").caused_by(error))?);
        }
        Ok(())
    }

    /// The rows of all parts.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if the rows of a part have not come to their end.
    pub(super) fn finish(self) -> Result<Vec<RecordBatch>> {
        match self.missing.first() {
            None => Ok(self.batches),
            Some(part) => Err(Error::io("a cluster has lost rows").with("unit", part)),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    fn batch(rows: &[(Option<i64>, u32, bool)]) -> RecordBatch {
        let plain = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
        let values: Int64Array = rows.iter().map(|row| row.0).collect();
        let parts: UInt32Array = rows.iter().map(|row| Some(row.1)).collect();
        let ends: BooleanArray = rows.iter().map(|row| Some(row.2)).collect();
        RecordBatch::try_new(stamped(&plain), vec![Arc::new(values), Arc::new(parts), Arc::new(ends)]).unwrap()
    }

    fn unstamped() -> Unstamped {
        Unstamped::new(Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)])), [0, 7])
    }

    #[test]
    fn every_part_counts_once() {
        let (first, end) =
            (batch(&[(Some(1), 0, false), (Some(2), 0, false), (None, 0, true)]), batch(&[(None, 7, true)]));
        let mut rows = unstamped();
        rows.take(&first).unwrap();
        rows.take(&end).unwrap();
        let kept = rows.finish().unwrap();
        assert_eq!(kept.iter().map(RecordBatch::num_rows).collect::<Vec<_>>(), [2]);
        // Twice, and not at all.
        let mut rows = unstamped();
        rows.take(&first).unwrap();
        assert!(rows.take(&first).unwrap_err().message().contains("twice"));
        let mut rows = unstamped();
        rows.take(&first).unwrap();
        assert_eq!(rows.finish().unwrap_err().fact("unit"), Some("7"));
        // Cut before its end.
        let mut rows = unstamped();
        rows.take(&batch(&[(Some(1), 0, false)])).unwrap();
        rows.take(&end).unwrap();
        assert!(rows.finish().is_err());
    }
}
