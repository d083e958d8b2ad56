//! SQL has the bits of `measure`, whatever the query makes of its rows on the way.

#[cfg(feature = "cli")]
mod beside;
mod clauses;
mod same_bits;
mod tables;
mod values;

use std::path::Path;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::prelude::{SessionConfig, SessionContext};
use nckit::archive::{HeadSource, Request};
use nckit::pipeline::Job;
use nckit::report::Report;
use nckit::sql::ArchiveTable;

use crate::goldens::plain_job;

pub(crate) fn data(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits").join(path).to_str().unwrap().to_owned()
}

/// A session with all functions.
pub(crate) fn register_session(partitions: usize, batch_size: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(batch_size);
    let context = SessionContext::new_with_config(config);
    nckit::sql::register(&context);
    context
}

/// A session with digits as `features`.
pub(crate) fn session(partitions: usize, batch_size: usize) -> SessionContext {
    let context = register_session(partitions, batch_size);
    let table = ArchiveTable::open(&[data("hive")]).unwrap();
    context.register_table("features", Arc::new(table)).unwrap();
    context
}

/// What a query finds.
pub(crate) fn query(context: &SessionContext, sql: &str) -> RecordBatch {
    try_query(context, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

pub(crate) fn try_query(context: &SessionContext, sql: &str) -> datafusion::error::Result<RecordBatch> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_stack_size(8 << 20).build();
    runtime.unwrap().block_on(async {
        let frame = context.sql(sql).await?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await?;
        let schema = batches.first().map_or(schema, RecordBatch::schema);
        Ok(datafusion::arrow::compute::concat_batches(&schema, &batches)?)
    })
}

/// `nckit measure` of the same archive.
pub(crate) fn measured(group_by: &[&str], filters: &[&str], head: Option<&str>, metrics: &[&str]) -> Report {
    let pair = |text: &&str| text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).unwrap();
    let request = Request {
        group_by: group_by.iter().map(ToString::to_string).collect(),
        filters: filters.iter().map(pair).collect(),
        ..Request::default()
    };
    let head = head.map(|head| HeadSource::parse(&data(head)).unwrap());
    run(vec![data("hive")], request, head, metrics)
}

/// `nckit measure` of any files.
pub(crate) fn job(inputs: Vec<String>, request: Request, metrics: &[&str]) -> Report {
    run(inputs, request, None, metrics)
}

fn run(inputs: Vec<String>, request: Request, head: Option<HeadSource>, metrics: &[&str]) -> Report {
    let job = Job { head, ..plain_job(inputs, request, metrics) };
    job.run().unwrap()
}
