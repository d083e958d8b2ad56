//! The scan of an archive as a step above a list of units.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result as SqlResult, internal_err};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::execution_plan::ReplaceChildrenOptions;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PhysicalExpr, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::archive::{Dtype, Table, Wanted};
use crate::error::{Error, Result};
use crate::sql::error::external;
use crate::sql::sources::scan::{ArchiveScan, streaming};

/// Which columns of which archive are read.
#[derive(Clone, Debug)]
pub(crate) struct ScanDescription {
    inputs: Vec<String>,
    dtypes: Vec<(String, Dtype)>,
    /// [`Table::fingerprint`].
    fingerprint: u64,
    wanted: Wanted,
    order: Vec<usize>,
    schema: SchemaRef,
}

impl ScanDescription {
    /// That of a scan.
    pub(super) fn of(scan: &ArchiveScan, schema: SchemaRef) -> Result<Self> {
        let table = scan.table();
        let (inputs, dtypes) = table.opened_as();
        let absolute = |input: &String| -> Result<String> {
            if crate::objects::is_address(input.as_ref()) {
                return Ok(input.clone());
            }
            let path = std::path::absolute(input)
                .map_err(|error| Error::io("cannot find the working directory").caused_by(error))?;
            path.into_os_string().into_string().map_err(|_| Error::usage("the path of an input is not Unicode"))
        };
        Ok(Self {
            inputs: inputs.iter().map(absolute).collect::<Result<_>>()?,
            dtypes: dtypes.to_vec(),
            fingerprint: table.fingerprint(),
            wanted: scan.wanted().clone(),
            order: scan.order().to_vec(),
            schema,
        })
    }

    /// All but the schema, as text.
    pub(crate) fn write(&self) -> String {
        let dtypes: Vec<(&str, &str)> = self.dtypes.iter().map(|(name, dtype)| (name.as_str(), dtype.name())).collect();
        let Wanted { columns, grids, extra_bits, normalize } = &self.wanted;
        json!({
            "inputs": self.inputs, "dtypes": dtypes, "fingerprint": self.fingerprint, "columns": columns,
            "grids": grids, "extra_bits": extra_bits, "normalize": normalize, "order": self.order,
        })
        .to_string()
    }

    /// Reads what [`write`](Self::write) wrote.
    pub(crate) fn read(text: &[u8], schema: SchemaRef) -> Option<Self> {
        let all: Value = serde_json::from_slice(text).ok()?;
        let number = |value: &Value| usize::try_from(value.as_u64()?).ok();
        let numbers = |value: &Value| value.as_array()?.iter().map(number).collect::<Option<Vec<usize>>>();
        let pair = |value: &Value| Some((number(&value[0])?, number(&value[1])?));
        let dtype = |value: &Value| Some((value[0].as_str()?.to_owned(), Dtype::from_name(value[1].as_str()?)?));
        let input = |value: &Value| value.as_str().map(str::to_owned);
        Some(Self {
            inputs: all["inputs"].as_array()?.iter().map(input).collect::<Option<_>>()?,
            dtypes: all["dtypes"].as_array()?.iter().map(dtype).collect::<Option<_>>()?,
            fingerprint: all["fingerprint"].as_u64()?,
            wanted: Wanted {
                columns: numbers(&all["columns"])?,
                grids: all["grids"].as_array()?.iter().map(pair).collect::<Option<_>>()?,
                extra_bits: u32::try_from(all["extra_bits"].as_u64()?).ok()?,
                normalize: all["normalize"].as_bool()?,
            },
            order: numbers(&all["order"])?,
            schema,
        })
    }

    fn open(&self) -> Result<Table> {
        let table = Table::open(&self.inputs, &self.dtypes)?;
        if table.fingerprint() != self.fingerprint {
            return Err(Error::data("the files are not those that the query was planned with")
                .with("file", self.inputs.join(" "))
                .help("they have changed, or this machine sees others under the same path"));
        }
        Ok(table)
    }
}

/// The archives that a process has opened last, by their descriptions: all tasks of a query read the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenArchives(Arc<Mutex<Opened>>);

type Opened = VecDeque<(String, Arc<Table>)>;

/// Archives that are kept.
const KEPT: usize = 4;

impl OpenArchives {
    /// The archive of a description. A file that changes later is noticed when it is read.
    fn open(&self, description: &ScanDescription) -> Result<Arc<Table>> {
        let key = description.write();
        // Others wait, and need not open it again.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = known.iter().find(|(found, _)| *found == key) {
            return Ok(table.clone());
        }
        let table = Arc::new(description.open()?);
        known.truncate(KEPT - 1);
        known.push_front((key, table.clone()));
        Ok(table)
    }
}

/// Reads the units that its input lists.
#[derive(Debug)]
pub(crate) struct ScanUnits {
    description: ScanDescription,
    input: Arc<dyn ExecutionPlan>,
    archives: OpenArchives,
    properties: Arc<PlanProperties>,
}

impl ScanUnits {
    pub(crate) fn new(description: ScanDescription, input: Arc<dyn ExecutionPlan>, archives: OpenArchives) -> Self {
        let properties = streaming(description.schema.clone(), input.output_partitioning().partition_count());
        Self { description, input, archives, properties }
    }

    /// The same above units that lie in memory, those of each partition.
    pub(super) fn over(description: ScanDescription, units: &[Vec<usize>]) -> SqlResult<Self> {
        let schema = Arc::new(Schema::new(vec![Field::new("unit", DataType::UInt32, false)]));
        let batch = |units: &Vec<usize>| -> SqlResult<Vec<RecordBatch>> {
            let column: ArrayRef = Arc::new(UInt32Array::from_iter_values(units.iter().map(|&unit| unit as u32)));
            Ok(vec![RecordBatch::try_new(schema.clone(), vec![column])?])
        };
        let partitions = units.iter().map(batch).collect::<SqlResult<Vec<_>>>()?;
        let source = MemorySourceConfig::try_new_exec(&partitions, schema.clone(), None)?;
        Ok(Self::new(description, source, OpenArchives::default()))
    }

    pub(crate) fn description(&self) -> &ScanDescription {
        &self.description
    }

    fn above(&self, children: Vec<Arc<dyn ExecutionPlan>>) -> SqlResult<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(Self::new(self.description.clone(), only(children)?, self.archives.clone())))
    }
}

/// The only input of a step.
pub(crate) fn only(children: Vec<Arc<dyn ExecutionPlan>>) -> SqlResult<Arc<dyn ExecutionPlan>> {
    match <[_; 1]>::try_from(children) {
        Ok([input]) => Ok(input),
        Err(children) => internal_err!("a step has one input, not {}", children.len()),
    }
}

/// The first unit that a partition of a plan reads, above the one scan of which there is nothing that mixes partitions.
pub(crate) fn first_unit(plan: &Arc<dyn ExecutionPlan>, partition: usize) -> Option<u32> {
    let children = plan.children();
    let [input] = children.as_slice() else { return None };
    if !plan.is::<ScanUnits>() {
        return first_unit(input, partition);
    }
    let source: &dyn Any = input.downcast_ref::<DataSourceExec>()?.data_source().as_ref();
    let batches = source.downcast_ref::<MemorySourceConfig>()?.partitions().get(partition)?;
    batches.first()?.column(0).as_primitive_opt::<UInt32Type>()?.values().first().copied()
}

impl DisplayAs for ScanUnits {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanUnits")
    }
}

impl ExecutionPlan for ScanUnits {
    fn name(&self) -> &'static str {
        "ScanUnits"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> SqlResult<TreeNodeRecursion>,
    ) -> SqlResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        self.above(children)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> SqlResult<Arc<dyn ExecutionPlan>> {
        self.above(children)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> SqlResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context.clone())?;
        let (description, archives) = (self.description.clone(), self.archives.clone());
        let schema = description.schema.clone();
        let opened = async move {
            let mut units = Vec::new();
            let mut input = input;
            while let Some(batch) = input.next().await.transpose()? {
                let Some(column) = batch.column(0).as_primitive_opt::<UInt32Type>() else {
                    return internal_err!("units are listed by their numbers");
                };
                units.extend(column.values().iter().map(|&unit| unit as usize));
            }
            let described = description.clone();
            let opened = tokio::task::spawn_blocking(move || archives.open(&described)).await;
            let opened = opened.unwrap_or_else(|_| Err(Error::internal("a worker panicked")));
            let table = opened.map_err(external)?;
            let ScanDescription { wanted, order, schema, .. } = description;
            ArchiveScan::new(table, &units, wanted, order, schema, 1, None).execute(0, context)
        };
        let stream = futures::stream::once(opened).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }
}
