//! One job: submitted, watched, and its states fetched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use ballista_core::client::BallistaClient;
use ballista_core::config::{
    BALLISTA_CLIENT_IO_RETRIES_TIMES, BALLISTA_CLIENT_IO_RETRY_WAIT_TIME_MS,
    BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, BALLISTA_SHUFFLE_SORT_BASED_BATCH_SIZE, BallistaConfig,
};
use ballista_core::extension::SessionConfigExt;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    CancelJobParams, CleanJobDataParams, ExecuteQueryParams, GetJobStatusParams, KeyValuePair, PartitionLocation,
    execute_query_params, execute_query_result, job_status,
};
use ballista_core::utils::{GrpcClientConfig, create_grpc_client_endpoint};
use ballista_core::version::{check_compatibility, insert_version_header, version_from_metadata};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::physical_expr::expressions::col;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::SessionConfig;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::StreamExt;
use tonic::transport::Channel;

use super::blocks::{Assembly, Ticket};
use super::codec::Codec;
use super::error::{of_engine, read};
use super::nodes::{Step, Work, descriptions, is_of_merging};
use crate::error::{Error, Result};
use crate::store::StateFile;

/// The most bytes of a message.
const MESSAGE: usize = 16 << 20;

/// How often the scheduler is asked how far a job has come.
const ASK: Duration = Duration::from_millis(50);

/// The words with which a job ends that no executor takes: our scheduler cancels it, or the engine has lost its executors.
const CANCELLED: &str = "Cancelled";
const LOST: &str = "all executors were lost";

/// States that come back without being merged before.
const FEW: usize = 4;

/// Where a job goes, and when it is given up.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    /// `http://HOST:PORT`.
    pub(super) scheduler: String,
    pub(super) session: String,
    /// How long a job may take.
    pub(super) deadline: Duration,
    /// How long the scheduler may be silent.
    pub(super) patience: Duration,
}

impl Desk {
    /// `df://HOST:PORT` of the scheduler, as users write it.
    fn address(&self) -> String {
        self.scheduler.replace("http://", "df://")
    }
}

/// The executors that gave the rows of a job.
pub(super) type Executors = BTreeSet<String>;

/// Takes the rows of a job as they come.
pub(super) type Take<'a> = &'a mut (dyn FnMut(RecordBatch) -> Result<()> + Send);

/// Why a job has given no rows.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// Whether the machines failed, so that the job may succeed another time.
    pub(super) by_machines: bool,
}

impl Failed {
    pub(super) fn by_machines(error: Error) -> Self {
        Self { error, by_machines: true }
    }

    pub(super) fn for_good(error: Error) -> Self {
        Self { error, by_machines: false }
    }
}

/// Encoded parts as a plan for the engine: a task counts one part, and where there are many, states are merged in buckets.
pub(super) fn plan(parts: &[Vec<u8>]) -> Result<Arc<dyn ExecutionPlan>> {
    let buckets = if parts.len() <= FEW { parts.len() } else { parts.len().isqrt() };
    let ticket = |at: usize| Ticket { bucket: (at % buckets.max(1)) as u32, state: at as u64 };
    let parts: Vec<(Ticket, Vec<u8>)> = parts.iter().enumerate().map(|(at, part)| (ticket(at), part.clone())).collect();
    let (schema, partitions) = descriptions(&parts)?;
    let source = MemorySourceConfig::try_new_exec(&partitions, schema, None).map_err(|error| of_engine(&error))?;
    let counted: Arc<dyn ExecutionPlan> = Arc::new(Step::new(Work::Count, source, None));
    if parts.len() <= FEW {
        return Ok(counted);
    }
    let by = col("bucket", &counted.schema()).map_err(|error| of_engine(&error))?;
    let dealt = RepartitionExec::try_new(counted, Partitioning::Hash(vec![by], buckets));
    let dealt = dealt.map_err(|error| of_engine(&error))?;
    Ok(Arc::new(Step::new(Work::Merge, Arc::new(dealt), None)))
}

fn settings() -> SessionConfig {
    SessionConfig::new_with_ballista()
        // A lost task repeats one part.
        .set_str(BALLISTA_SCHEDULER_MAX_PARTITIONS_PER_TASK, "1")
        // A row is a block of a state, and large enough for a message.
        .set_str(BALLISTA_SHUFFLE_SORT_BASED_BATCH_SIZE, "1")
        // An executor that does not answer is dead: the states that it had are made again.
        .set_str(BALLISTA_CLIENT_IO_RETRIES_TIMES, "2")
        .set_str(BALLISTA_CLIENT_IO_RETRY_WAIT_TIME_MS, "500")
}

/// Runs the job that counts encoded parts; returns their states.
pub(super) async fn count(
    desk: &Desk,
    parts: &[Vec<u8>],
    cancel: &AtomicBool,
) -> Result<(Vec<StateFile>, Executors), Failed> {
    let plan = plan(parts).map_err(Failed::for_good)?;
    let mut assembly = Assembly::default();
    let mut states = Vec::new();
    let mut take = |batch: RecordBatch| {
        for (_, bytes) in assembly.take(&batch)? {
            states.push(StateFile::decode(&bytes)?);
        }
        Ok(())
    };
    let executors = run(desk, plan, cancel, &mut take).await?;
    assembly.finish().map_err(Failed::by_machines)?;
    Ok((states, executors))
}

/// Runs a job to its end, and takes its rows. `cancel` cancels it.
pub(super) async fn run(
    desk: &Desk,
    plan: Arc<dyn ExecutionPlan>,
    cancel: &AtomicBool,
    take: Take<'_>,
) -> Result<Executors, Failed> {
    let begun = Instant::now();
    let mut scheduler = connect(desk).await.map_err(Failed::for_good)?;
    let job = submit(desk, &mut scheduler, plan).await?;
    let locations = watch(desk, &mut scheduler, &job, cancel, begun).await?;
    let left = desk.deadline.saturating_sub(begun.elapsed());
    let fetched = tokio::time::timeout(left, fetch(&locations, take)).await;
    fetched.unwrap_or_else(|_| Err(too_long(desk))).map_err(Failed::by_machines)?;
    // What is not removed now is removed later.
    let _ = scheduler.clean_job_data(CleanJobDataParams { job_id: job, remove_stage_ids: Vec::new() }).await;
    let executors = locations.iter().filter_map(|location| Some(location.executor_meta.as_ref()?.id.clone()));
    Ok(executors.collect())
}

fn too_long(desk: &Desk) -> Error {
    Error::resource("a job of the cluster has taken too long").with("allowed", format!("{} s", desk.deadline.as_secs()))
}

/// Connects to the scheduler.
///
/// # Errors
///
/// [`Io`](crate::error::ErrorKind::Io) if it does not answer.
pub(super) async fn connect(desk: &Desk) -> Result<SchedulerGrpcClient<Channel>> {
    let unreachable = |error: &dyn std::error::Error| {
        let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        Error::io("the scheduler does not answer")
            .with("address", desk.address())
            .with("detail", cause)
            .help("nckit scheduler starts one, and nckit executor the machines that count")
    };
    let config = GrpcClientConfig { connect_timeout_seconds: 5, ..GrpcClientConfig::from(&BallistaConfig::default()) };
    let endpoint = create_grpc_client_endpoint(desk.scheduler.clone(), Some(&config));
    let endpoint = endpoint.map_err(|error| unreachable(&error))?;
    let channel = endpoint.connect().await.map_err(|error| unreachable(&error))?;
    Ok(SchedulerGrpcClient::new(channel).max_encoding_message_size(MESSAGE).max_decoding_message_size(MESSAGE))
}

async fn submit(
    desk: &Desk,
    scheduler: &mut SchedulerGrpcClient<Channel>,
    plan: Arc<dyn ExecutionPlan>,
) -> Result<String, Failed> {
    let mut bytes = Vec::new();
    let message = PhysicalPlanNode::try_from_physical_plan(plan, Codec::new(None).as_ref());
    let written = message.and_then(|message| message.try_encode(&mut bytes));
    written.map_err(|error| Failed::for_good(of_engine(&error)))?;
    let config = settings();
    let entries = config.options().entries().into_iter();
    let settings = entries.map(|entry| KeyValuePair { key: entry.key, value: entry.value }).collect();
    let mut request = tonic::Request::new(ExecuteQueryParams {
        session_id: desk.session.clone(),
        settings,
        operation_id: String::new(),
        query: Some(execute_query_params::Query::PhysicalPlan(bytes)),
    });
    insert_version_header(request.metadata_mut());
    let reply = scheduler.execute_query(request).await.map_err(|status| Failed::by_machines(silent(desk, &status)))?;
    let versions = check_compatibility(Some(ballista_core::BALLISTA_VERSION), version_from_metadata(reply.metadata()));
    versions.map_err(|detail| {
        Failed::for_good(Error::usage("the scheduler is of another version").with("detail", detail))
    })?;
    match reply.into_inner().result {
        Some(execute_query_result::Result::Success(accepted)) => Ok(accepted.job_id),
        refused => {
            let detail = format!("{refused:?}");
            let error = read(&detail).unwrap_or_else(|| {
                Error::usage("the scheduler refuses the job")
                    .with("detail", detail)
                    .help("start the scheduler with the nckit of this version: nckit scheduler")
            });
            Err(Failed::for_good(error))
        }
    }
}

fn silent(desk: &Desk, status: &tonic::Status) -> Error {
    Error::io("the scheduler has failed").with("address", desk.address()).with("detail", status.message())
}

/// Waits for the end of a job.
async fn watch(
    desk: &Desk,
    scheduler: &mut SchedulerGrpcClient<Channel>,
    job: &str,
    cancel: &AtomicBool,
    begun: Instant,
) -> Result<Vec<PartitionLocation>, Failed> {
    let mut heard = Instant::now();
    loop {
        let late = begun.elapsed() > desk.deadline;
        if late || cancel.load(Ordering::Relaxed) {
            let asked = scheduler.cancel_job(CancelJobParams { job_id: job.to_owned() });
            let _ = tokio::time::timeout(desk.patience, asked).await;
            let error = if late { too_long(desk) } else { Error::interrupted("stopped before the end") };
            return Err(Failed::for_good(error));
        }
        let asked = scheduler.get_job_status(GetJobStatusParams { job_id: job.to_owned() });
        let reply = match tokio::time::timeout(desk.patience, asked).await {
            Ok(Ok(reply)) => Ok(reply.into_inner().status.and_then(|status| status.status)),
            Ok(Err(status)) => Err(silent(desk, &status)),
            Err(_) => Err(silent(desk, &tonic::Status::deadline_exceeded("it does not answer"))),
        };
        match reply {
            Ok(Some(job_status::Status::Successful(done))) => return Ok(done.partition_location),
            Ok(Some(job_status::Status::Failed(failed))) => {
                return Err(match read(&failed.error) {
                    Some(error) if is_of_merging(&error) => Failed::by_machines(error),
                    Some(error) => Failed::for_good(error),
                    None if failed.error.contains(CANCELLED) || failed.error.contains(LOST) => Failed::by_machines(
                        Error::io("no executor takes the tasks of a job")
                            .with("address", desk.address())
                            .help(format!("nckit executor --scheduler {}", desk.address())),
                    ),
                    None => {
                        Failed::by_machines(Error::io("a job of the cluster has failed").with("detail", failed.error))
                    }
                });
            }
            Ok(Some(job_status::Status::Queued(_) | job_status::Status::Running(_))) => heard = Instant::now(),
            // A scheduler that was started anew has forgotten the jobs before.
            Ok(None) if heard.elapsed() > desk.patience => {
                return Err(Failed::by_machines(Error::io("the scheduler has lost a job")));
            }
            Err(error) if heard.elapsed() > desk.patience => return Err(Failed::by_machines(error)),
            Ok(None) | Err(_) => {}
        }
        tokio::time::sleep(ASK).await;
    }
}

/// Fetches the rows that lie on executors.
async fn fetch(locations: &[PartitionLocation], take: Take<'_>) -> Result<()> {
    for location in locations {
        batches(location).await?.into_iter().try_for_each(&mut *take)?;
    }
    Ok(())
}

async fn batches(location: &PartitionLocation) -> Result<Vec<RecordBatch>> {
    let incomplete = || Error::io("the scheduler does not say where states are");
    let executor = location.executor_meta.as_ref().ok_or_else(incomplete)?;
    let partition = location.partition_id.clone().ok_or_else(incomplete)?;
    let failed = |error: &(dyn std::error::Error + 'static)| {
        of_engine(error).with_default("executor", format!("{}:{}", executor.host, executor.port))
    };
    let client = BallistaClient::try_new(&executor.host, executor.port as u16, MESSAGE, false, None, 1, 0, 0, 0);
    let mut client = client.await.map_err(|error| failed(&error))?;
    // Blocks of files, whose messages are not bound.
    let stream =
        client.fetch_partition(&executor.id, &partition.into(), location.file_id, location.layout(), false).await;
    let mut stream = stream.map_err(|error| failed(&error))?;
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch.map_err(|error| failed(&error))?);
    }
    Ok(batches)
}
