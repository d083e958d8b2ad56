//! A session with everything registered: what `nckit sql` runs queries in.

pub(super) mod clauses;
pub(super) mod copy;
pub(super) mod nesting;
pub(super) mod query;
pub(super) mod register;
mod shown;

use std::sync::Arc;

use datafusion::catalog::{DynamicFileCatalog, UrlTableFactory};
use datafusion::common::TableReference;
use datafusion::common::config::ConfigExtension as _;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use serde_json::Value;

use crate::archive::{Policy, escaped};
use crate::error::Result;
use crate::kernels::DeviceChoice;
use crate::sql::error::{explain, in_sql};
use crate::sql::session::register::register;
use crate::sql::settings::doubts::Doubts;
use crate::sql::settings::{Pool, Settings};
use crate::sql::sources::paths::{self, PathTables};

/// What a session is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionOptions {
    /// Partitions of a query that run at once; 0 is one a core.
    pub threads: usize,
    /// Bytes that the states of a query, what is read for it and the operators of its plan may take together; `None` is no
    /// limit. What a function makes of a row, as `repeat` and `array_repeat` do, is not counted.
    pub memory: Option<u64>,
    /// What works on the rows of aggregates; [`DeviceChoice::Auto`] is the CPU.
    pub device: DeviceChoice,
    /// Names of tables and the files, directories or patterns that they stand for.
    pub tables: Vec<(String, String)>,
}

/// A session that knows all functions, reads tables straight from paths (`FROM 'archive/**/*.parquet'`), and has these
/// tables.
///
/// Files are read by the archive's reader, whether they hold vectors, stored states or anything else; hive keys are columns.
///
/// Memory comes out of one pool, first come, first served: sorts, joins and aggregations of plain values go on in files below
/// the system's directory for temporary files once it is full (`SET datafusion.runtime.temp_directory = 'DIR'`, at most
/// `max_temp_directory_size`, 100 GB), and whatever cannot do so fails. States never do.
///
/// # Errors
///
/// Those of opening the tables.
///
/// ```
/// use nckit::sql::{SessionOptions, session};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let context = session(&SessionOptions::default()).await?;
/// let query = "SELECT layer, nc1_cdnv(feature, label) FROM 'tests/data/digits/hive' WHERE epoch = 4000 GROUP BY layer";
/// assert_eq!(context.sql(query).await?.count().await?, 3);
/// # Ok(())
/// # })
/// # }
/// ```
pub async fn session(options: &SessionOptions) -> Result<SessionContext> {
    let mut config = SessionConfig::new().with_information_schema(true);
    if options.threads > 0 {
        config = config.with_target_partitions(options.threads);
    }
    let mut runtime = RuntimeEnvBuilder::new();
    let pool = options.memory.map(|memory| Arc::new(GreedyMemoryPool::new(memory as usize)) as Arc<dyn MemoryPool>);
    if let Some(pool) = &pool {
        runtime = runtime.with_memory_pool(pool.clone());
    }
    let runtime = runtime.build_arc().map_err(explain)?;
    let state =
        SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().build();
    let doubts = Doubts::default();
    let factory: Arc<dyn UrlTableFactory> = Arc::new(PathTables { doubts: doubts.clone() });
    let catalogs = Arc::new(DynamicFileCatalog::new(state.catalog_list().clone(), factory));
    let state = SessionStateBuilder::new_from_existing(state).with_catalog_list(catalogs).build();
    let context = SessionContext::new_with_state(state);
    register(&context);
    let set = |key: &str, value: String| {
        let (key, state) = (format!("{}.{key}", Settings::PREFIX), context.state_ref());
        state.write().config_mut().options_mut().set(&key, &value).map_err(explain)
    };
    options.memory.map(|memory| set("memory", memory.to_string())).transpose()?;
    if options.device != DeviceChoice::Auto {
        set("device", options.device.to_string())?;
    }
    if let Some(settings) = context.state_ref().write().config_mut().options_mut().extensions.get_mut::<Settings>() {
        settings.doubts = doubts.clone();
        if let Some(pool) = pool {
            settings.pool = Pool::from(pool);
        }
    }
    for (name, path) in &options.tables {
        let table = paths::open(path, &doubts).map_err(|error| in_sql(error).with("table", escaped(name)))?;
        context.register_table(TableReference::bare(name.as_str()), table).map_err(explain)?;
    }
    Ok(context)
}

/// What is to be said of the numbers that a session's queries make, from now on.
pub fn doubts(context: &SessionContext) -> Doubts {
    Settings::of(context.state().config_options()).doubts
}

/// The conventions of a session's numbers, and the rules for its rows.
pub fn conventions(context: &SessionContext) -> Vec<(String, Value)> {
    let settings = Settings::of(context.state().config_options());
    let skips = |policy| if policy == Policy::Skip { "skip" } else { "fail" };
    let rules = [
        ("extra_bits", settings.extra_bits.into()),
        ("nulls", skips(settings.nulls).into()),
        ("nonfinite", skips(settings.nonfinite).into()),
    ];
    let normalize = settings.normalize.then_some(("normalize", Value::from(true)));
    settings
        .options
        .describe()
        .into_iter()
        .chain(rules)
        .chain(normalize)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
