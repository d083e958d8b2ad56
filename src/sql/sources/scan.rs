//! Reading an archive's units, partition by partition.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as SqlResult, Statistics};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::EquivalenceProperties;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, ReplaceChildrenOptions};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PhysicalExpr, PlanProperties,
};

use crate::archive::{Table, TableReader, TableRows, Wanted};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::sql::error::external;
use crate::sql::values::grid_column::{self, Origin};

/// Reads units of an archive.
#[derive(Debug)]
pub(in crate::sql) struct ArchiveScan {
    table: Arc<Table>,
    /// The units of each partition.
    partitions: Vec<Vec<usize>>,
    wanted: Wanted,
    /// Where each column of the output is among the columns and then the grids that are read.
    order: Vec<usize>,
    properties: Arc<PlanProperties>,
    limit: Option<usize>,
}

impl ArchiveScan {
    pub(in crate::sql) fn new(
        table: Arc<Table>,
        units: &[usize],
        wanted: Wanted,
        order: Vec<usize>,
        schema: SchemaRef,
        partitions: usize,
        limit: Option<usize>,
    ) -> Self {
        let bytes: Vec<u64> = units.iter().map(|&unit| table.units()[unit].bytes).collect();
        let parts = split(&bytes, partitions).into_iter().map(|range| units[range].to_vec());
        let partitions: Vec<Vec<usize>> = parts.collect();
        let properties = streaming(schema, partitions.len());
        Self { table, partitions, wanted, order, properties, limit }
    }

    /// `D` of each group that each partition holds, the largest of its units, groups being told apart by these columns of
    /// the output; `None` if not all of them are constant within units, or the schemas do not tell `D`.
    pub(in crate::sql) fn group_dims(&self, columns: &[String]) -> Option<Vec<usize>> {
        let schema = self.schema();
        let names = |at: usize| self.wanted.columns.get(at).copied();
        let position = |name: &String| names(self.order[schema.index_of(name).ok()?]);
        let columns: Vec<usize> = columns.iter().map(position).collect::<Option<_>>()?;
        let vectors: Vec<usize> = self.wanted.grids.iter().map(|&(vector, _)| vector).collect();
        let mut dims = Vec::new();
        for units in &self.partitions {
            let mut groups: BTreeMap<Vec<&Label>, usize> = BTreeMap::new();
            for &unit in units {
                let constants = self.table.constants(unit);
                let key = columns.iter().map(|column| constants.get(column)).collect::<Option<_>>()?;
                let dim = vectors.iter().map(|&vector| self.table.dim(unit, vector)).collect::<Option<Vec<_>>>()?;
                let known = groups.entry(key).or_default();
                *known = dim.into_iter().chain([*known]).max().unwrap_or(0);
            }
            dims.extend(groups.into_values());
        }
        Some(dims)
    }

    #[cfg(feature = "cluster")]
    pub(in crate::sql) fn table(&self) -> &Table {
        &self.table
    }

    #[cfg(feature = "cluster")]
    pub(in crate::sql) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Where each column of the output is among the columns and then the grids that are read.
    #[cfg(feature = "cluster")]
    pub(in crate::sql) fn order(&self) -> &[usize] {
        &self.order
    }

    /// All units, in their order; `None` if only some rows of them are wanted.
    #[cfg(feature = "cluster")]
    pub(in crate::sql) fn all_units(&self) -> Option<Vec<usize>> {
        self.limit.is_none().then(|| self.partitions.concat())
    }

    fn rows(&self, partition: Option<usize>) -> usize {
        let units = self.partitions.iter().enumerate().filter(|(at, _)| partition.is_none_or(|wanted| wanted == *at));
        units.flat_map(|(_, units)| units).map(|&unit| self.table.units()[unit].rows as usize).sum()
    }
}

/// Splits items of these sizes into at most `parts` runs of about the same size; neighbours, which are mostly of one
/// group, stay together. There is always a run.
pub(in crate::sql) fn split(sizes: &[u64], parts: usize) -> Vec<Range<usize>> {
    let total: u128 = sizes.iter().map(|&size| u128::from(size)).sum();
    let parts = parts.min(sizes.len()).max(1) as u128;
    let (mut runs, mut start, mut seen) = (Vec::new(), 0, 0_u128);
    for (at, &size) in sizes.iter().enumerate() {
        seen += u128::from(size);
        let more = parts - runs.len() as u128 - 1;
        let full = seen * parts >= total * (runs.len() as u128 + 1);
        // Every run gets an item, however large the last ones are.
        let needed = (sizes.len() - at - 1) as u128 == more;
        if more > 0 && (full || needed) {
            runs.push(start..at + 1);
            start = at + 1;
        }
    }
    if start < sizes.len() || runs.is_empty() {
        runs.push(start..sizes.len());
    }
    runs
}

/// The properties of a step whose rows come as they are made, in no order that it knows of.
pub(crate) fn streaming(schema: SchemaRef, partitions: usize) -> Arc<PlanProperties> {
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(schema),
        Partitioning::UnknownPartitioning(partitions),
        EmissionType::Incremental,
        Boundedness::Bounded,
    ))
}

impl DisplayAs for ArchiveScan {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units: usize = self.partitions.iter().map(Vec::len).sum();
        let all = self.table.units().len();
        let schema = self.schema();
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        match format {
            DisplayFormatType::TreeRender => write!(f, "row groups={units} of {all}"),
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(
                f,
                "ArchiveScan: row_groups={units} of {all}, partitions={}, columns=[{}]",
                self.partitions.len(),
                columns.join(", ")
            ),
        }
    }
}

impl ExecutionPlan for ArchiveScan {
    fn name(&self) -> &'static str {
        "ArchiveScan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> SqlResult<TreeNodeRecursion>,
    ) -> SqlResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn ExecutionPlan>>) -> SqlResult<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> SqlResult<SendableRecordBatchStream> {
        let batches = Batches {
            table: self.table.clone(),
            units: self.partitions[partition].clone().into_iter(),
            wanted: self.wanted.clone(),
            order: self.order.clone(),
            schema: self.schema(),
            reader: None,
            left: self.limit.unwrap_or(usize::MAX),
            size: context.session_config().batch_size().max(1),
            pending: None,
            held: MemoryConsumer::new("rows of the archive").register(context.memory_pool()),
        };
        let stream = futures::stream::iter(batches);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }

    fn statistics_from_inputs(&self, _: &[Arc<Statistics>], args: &StatisticsArgs) -> SqlResult<Arc<Statistics>> {
        let rows = self.rows(args.partition());
        let rows = match self.limit {
            Some(limit) if limit < rows => Precision::Inexact(limit),
            _ => Precision::Exact(rows),
        };
        Ok(Arc::new(Statistics::new_unknown(&self.schema()).with_num_rows(rows)))
    }
}

/// The batches of a partition.
struct Batches {
    table: Arc<Table>,
    units: std::vec::IntoIter<usize>,
    wanted: Wanted,
    order: Vec<usize>,
    schema: SchemaRef,
    reader: Option<(TableReader, Origin)>,
    /// Rows still wanted.
    left: usize,
    /// Rows of a batch.
    size: usize,
    /// What was read and not handed on yet, and how much of it was.
    pending: Option<(RecordBatch, usize)>,
    /// The memory of that.
    held: MemoryReservation,
}

impl Batches {
    fn read(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if self.reader.is_none() {
                let Some(unit) = self.units.next() else { return Ok(None) };
                let (file, row_group) = self.table.place(unit);
                let origin = Origin { file: file.to_owned(), row_group: row_group as u32 };
                self.reader = Some((self.table.read(unit, &self.wanted)?, origin));
            }
            if let Some((reader, origin)) = &mut self.reader {
                match reader.next()? {
                    Some(rows) => return batch(rows, origin, &self.order, &self.schema).map(Some),
                    None => self.reader = None,
                }
            }
        }
    }
}

impl Batches {
    fn read_held(&mut self) -> SqlResult<Option<RecordBatch>> {
        self.held.free();
        let batch = self.read().map_err(external)?;
        if let Some(batch) = &batch {
            self.held.try_grow(batch.get_array_memory_size())?;
        }
        Ok(batch)
    }
}

fn batch(rows: TableRows, origin: &Origin, order: &[usize], schema: &SchemaRef) -> Result<RecordBatch> {
    let TableRows { rows, mut columns, grids } = rows;
    for chunks in &grids {
        columns.push(grid_column::encode(chunks, origin)?);
    }
    let columns: Vec<ArrayRef> = order.iter().map(|&at| columns[at].clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .map_err(|error| Error::internal("cannot build a batch of the columns of an archive").caused_by(error))
}

impl Iterator for Batches {
    type Item = SqlResult<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let (batch, done) = match self.pending.take() {
            Some(pending) => pending,
            None => match self.read_held() {
                Ok(Some(batch)) => (batch, 0),
                Ok(None) => return None,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            },
        };
        let rows = self.size.min(batch.num_rows() - done).min(self.left);
        let part = batch.slice(done, rows);
        self.left -= rows;
        if done + rows < batch.num_rows() {
            self.pending = Some((batch, done + rows));
        }
        Some(Ok(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_split_evenly_and_in_order() {
        assert_eq!(split(&[1, 1, 1, 1], 2), [0..2, 2..4]);
        assert_eq!(split(&[10, 1, 1], 2), [0..1, 1..3]);
        assert_eq!(split(&[1, 1, 10], 2), [0..2, 2..3]);
        assert_eq!(split(&[1, 1, 10], 3), [0..1, 1..2, 2..3]);
        assert_eq!(split(&[5], 7).first(), Some(&(0..1)));
        assert_eq!(split(&[], 7).first(), Some(&(0..0)));
        assert_eq!(split(&[0, 0, 0], 2), [0..1, 1..3]);
    }
}
