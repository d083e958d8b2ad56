//! `nckit sql` as a function: tables go in, and the rows of the answer come out.

use std::collections::BTreeMap;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;

use super::queries;
use super::remarks::Remarks;
use super::run::runtime;
use super::watch::PATIENCE;
use crate::cli::bug;
use crate::cli::console::Console;
use crate::error::{Error, Result};
use crate::kernels::DeviceChoice;
use crate::pipeline::{Resources, Watch};
use crate::sql::{Access, Query, SessionOptions, doubts, explain, session};

/// The name of a table in memory, its columns, and its rows.
pub type TableInMemory = (String, SchemaRef, Vec<RecordBatch>);

/// What is asked of which tables.
#[derive(Debug, Default)]
pub struct Question {
    /// Statements, separated by semicolons; the last one that returns rows is the question.
    pub text: String,
    /// Values of its parameters, `$name`.
    pub params: BTreeMap<String, String>,
    /// Names of tables, and the files, directories or patterns that they stand for.
    pub tables: Vec<(String, String)>,
    /// Names of tables that are in memory.
    pub rows: Vec<TableInMemory>,
    /// Partitions that run at once; all cores without it.
    pub threads: Option<usize>,
    /// Bytes that the query may take.
    pub memory: Option<u64>,
}

/// The rows that came of a question.
#[derive(Debug)]
pub struct Table {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// What the command writes to standard error as warnings.
    pub warnings: Vec<String>,
}

/// Answers a question. Statements that write are refused.
///
/// # Errors
///
/// Those of `nckit sql`; [`Resource`](crate::error::ErrorKind::Resource) in a process that was forked from one which has asked
/// something: threads that it shares with all queries are gone then.
pub fn answer(question: Question, watch: &Watch) -> Result<Table> {
    static ASKED: OnceLock<u32> = OnceLock::new();
    if *ASKED.get_or_init(std::process::id) != std::process::id() {
        return Err(Error::resource("SQL was used before this process was forked")
            .help("start processes with the method spawn, or use SQL after the fork alone"));
    }
    let Question { text, params, tables, rows, threads, memory } = question;
    let queries = queries(&text, &params)?;
    let Resources { threads, memory } = Resources::new(threads, memory);
    let options = SessionOptions { threads, memory: Some(memory), device: DeviceChoice::default(), tables };
    let runtime = runtime(threads)?;
    let (sender, receiver) = channel();
    let work = runtime.spawn(async move {
        // Nobody may be waiting any more.
        let _ = sender.send(answers(queries, options, rows).await);
    });
    let outcome = loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(outcome) => break outcome,
            Err(RecvTimeoutError::Timeout) => {
                if let Err(stopped) = watch.check() {
                    work.abort();
                    break Err(stopped);
                }
            }
            // A task that panics closes the channel without a message.
            Err(RecvTimeoutError::Disconnected) => {
                break runtime.block_on(work).map_or_else(
                    |error| Err(error.try_into_panic().map_or_else(|_| ended(), |panic| bug(panic.as_ref()))),
                    |()| Err(ended()),
                );
            }
        }
    };
    runtime.shutdown_background();
    outcome
}

fn ended() -> Error {
    Error::internal("a query ended without an answer")
}

/// What the last statement that returns rows returns.
async fn answers(queries: Vec<Query>, options: SessionOptions, rows: Vec<TableInMemory>) -> Result<Table> {
    let context = session(&options).await?;
    for (name, schema, batches) in rows {
        let table = MemTable::try_new(schema, parted(&batches, options.threads)).map_err(explain)?;
        context.register_table(name.as_str(), Arc::new(table)).map_err(explain)?;
    }
    let mut table = Table { schema: Arc::new(Schema::empty()), batches: Vec::new(), warnings: Vec::new() };
    for query in queries {
        let returns_rows = query.returns_rows();
        let made = run(query, &context).await?;
        if returns_rows {
            table = Table { warnings: [table.warnings, made.warnings].concat(), ..made };
        }
    }
    Ok(table)
}

async fn run(query: Query, context: &SessionContext) -> Result<Table> {
    let doubts = doubts(context);
    doubts.clear();
    let (mut remarks, console) = (Remarks::new(&doubts), Console::keeping());
    let mut answer = query.run(context, Access::Read).await?;
    let (schema, mut batches) = (answer.schema().clone(), Vec::new());
    while let Some(batch) = answer.next().await? {
        remarks.look(&batch);
        batches.push(batch);
    }
    doubts.take_warnings().iter().for_each(|warning| console.warn(warning));
    remarks.tell(&console);
    Ok(Table { schema, batches, warnings: console.into_warnings() })
}

/// Batches in as many parts as threads read them.
fn parted(batches: &[RecordBatch], parts: usize) -> Vec<Vec<RecordBatch>> {
    let size = batches.len().div_ceil(parts.max(1)).max(1);
    let parted: Vec<Vec<RecordBatch>> = batches.chunks(size).map(<[RecordBatch]>::to_vec).collect();
    if parted.is_empty() { vec![Vec::new()] } else { parted }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Float32Array, Int64Array};
    use arrow::datatypes::{DataType, Field, Float64Type};

    use super::*;
    use crate::error::ErrorKind;

    const DIGITS: &str = "tests/data/digits/flat/h3_final.parquet";

    fn ask(text: &str) -> Result<Table> {
        let fields = vec![Field::new("y", DataType::Int64, false), Field::new("x", DataType::Float32, false)];
        let schema = Arc::new(Schema::new(fields));
        let columns: (Int64Array, Float32Array) = (vec![0, 1, 1].into(), vec![0.5, 2.0, 4.0].into());
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(columns.0), Arc::new(columns.1)]).unwrap();
        let question = Question {
            text: text.to_owned(),
            params: BTreeMap::from([("split".to_owned(), "train".to_owned())]),
            tables: vec![("digits".to_owned(), DIGITS.to_owned())],
            rows: vec![("mine".to_owned(), schema, vec![batch])],
            threads: Some(2),
            memory: None,
        };
        answer(question, &Watch::default())
    }

    #[test]
    fn tables_of_files_and_of_memory_are_asked_together() {
        let text = "SET nc.centring = 'sample';
            SELECT nc1_cdnv(feature, label), (SELECT sum(x) FROM mine) AS s FROM digits WHERE split = $split";
        let table = ask(text).unwrap();
        assert_eq!(table.schema.field(0).name(), "nc1_cdnv");
        assert_eq!(table.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
        let number = |column: usize| table.batches[0].column(column).as_primitive::<Float64Type>().value(0);
        assert!((number(0) - 0.000_565_074_835_316_864_8).abs() < 1e-7 && number(1) == 6.5);
    }

    #[test]
    fn what_cannot_be_answered_is_an_error() {
        assert_eq!(ask("SELECT nothing FROM mine WHERE $split = 'a'").unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(ask("CREATE TABLE t AS SELECT $split").unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(ask("").unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(ask("SELECT 1").unwrap_err().fact("parameter"), Some("$split"));
    }
}
