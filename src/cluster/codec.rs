//! How the steps of a job are written into messages.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow_ipc::convert::{IpcSchemaEncoder, fb_to_schema};
use arrow_ipc::root_as_schema;
use arrow_ipc::writer::DictionaryTracker;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::common::{Result as EngineResult, internal_err};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::AggregateUDF;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use super::nodes::{Host, Step, Work};
use super::stamped::Stamped;
use crate::sql::travel::{OpenArchives, ScanDescription, ScanUnits, read_aggregate, write_aggregate};

/// What a step of ours begins with; Ballista's begin with the number of a field.
const MAGIC: &[u8] = b"\0nckit ";

/// Writes and reads our steps, and leaves all others to Ballista.
#[derive(Debug)]
pub(super) struct Codec {
    ballista: BallistaPhysicalExtensionCodec,
    host: Option<Host>,
    archives: OpenArchives,
}

impl Codec {
    /// The codec of an executor, or with `None` of a client or a scheduler, where steps are only handed on.
    pub(super) fn new(host: Option<Host>) -> Arc<Self> {
        Arc::new(Self { ballista: BallistaPhysicalExtensionCodec::default(), host, archives: OpenArchives::default() })
    }
}

const COUNT: &[u8] = b"count";
const MERGE: &[u8] = b"merge";
const STAMP: &[u8] = b"stamp";
const SCAN: &[u8] = b"scan ";

/// A scan as bytes: the length of its description, that, and the schema of its rows.
fn write_scan(description: &ScanDescription, schema: &SchemaRef) -> Vec<u8> {
    let text = description.write();
    let mut bytes = SCAN.to_vec();
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.into_bytes());
    let mut dictionaries = DictionaryTracker::new(false);
    let schema = IpcSchemaEncoder::new().with_dictionary_tracker(&mut dictionaries).schema_to_fb(schema);
    bytes.extend(schema.finished_data());
    bytes
}

fn read_scan(bytes: &[u8]) -> Option<ScanDescription> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, schema) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let schema = fb_to_schema(root_as_schema(schema).ok()?);
    ScanDescription::read(text, Arc::new(schema))
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        let Some(written) = bytes.strip_prefix(MAGIC) else {
            return self.ballista.try_decode(bytes, inputs, context, converter);
        };
        let [input] = inputs else { return internal_err!("a step has one input, not {}", inputs.len()) };
        let step = |work| Step::new(work, input.clone(), self.host.clone());
        match (written, written.strip_prefix(SCAN).and_then(read_scan)) {
            (COUNT, _) => Ok(Arc::new(step(Work::Count))),
            (STAMP, _) => Ok(Arc::new(Stamped::new(input.clone(), self.host.clone()))),
            (MERGE, _) => Ok(Arc::new(step(Work::Merge))),
            (_, Some(scan)) => Ok(Arc::new(ScanUnits::new(scan, input.clone(), self.archives.clone()))),
            _ => internal_err!("a step of another version of nckit"),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> EngineResult<()> {
        let written = if let Some(step) = node.downcast_ref::<Step>() {
            match step.work() {
                Work::Count => COUNT.to_vec(),
                Work::Merge => MERGE.to_vec(),
            }
        } else if node.is::<Stamped>() {
            STAMP.to_vec()
        } else if let Some(scan) = node.downcast_ref::<ScanUnits>() {
            write_scan(scan.description(), &scan.schema())
        } else {
            return self.ballista.try_encode(node, bytes, converter);
        };
        bytes.extend(MAGIC);
        bytes.extend(written);
        Ok(())
    }

    fn try_encode_udaf(&self, function: &AggregateUDF, bytes: &mut Vec<u8>) -> EngineResult<()> {
        match write_aggregate(function) {
            Some(written) => {
                bytes.extend(written);
                Ok(())
            }
            None => self.ballista.try_encode_udaf(function, bytes),
        }
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> EngineResult<Arc<AggregateUDF>> {
        match read_aggregate(name, bytes)? {
            Some(function) => Ok(Arc::new(function)),
            None => self.ballista.try_decode_udaf(name, bytes),
        }
    }
}
