//! Neural collapse (NC1 to NC5) over archived embeddings, exactly, in one read.
//!
//! When a classifier trains past zero error, the features of a class shrink to their mean (NC1), the means form a
//! simplex (NC2), the classifier aligns with them (NC3), and decisions become nearest-class-centre (NC4); NC5 says how
//! out-of-distribution data sits beside them. This crate measures that from features in files too large for memory.
//!
//! # The flow
//!
//! ```text
//! archive ─▶ batch ─▶ state ─▶ merge ─▶ statistics ─▶ metrics ─▶ report
//! files      N×D      update   add      linalg        NC1…NC5    table, JSON, CSV, Parquet
//!            └───── map ────┘└ reduce ┘└────────────── finish ────────────┘
//! ```
//!
//! Only states cross a thread, a process or a machine. A state is made of integers: the program rounds every row once, to
//! a grid that the row's own chunk of the file decides, and all arithmetic after that is exact. So merging is addition,
//! and equal rows give equal bits, whatever the order, the threads, the batches or the shards. Where that one rounding may
//! have changed a number, the report estimates beside it by how much. `docs/design.md` explains this in two pages.
//!
//! # The rooms
//!
//! A room imports only from rooms above it; `tests/suite/layering.rs` checks that.
//!
//! | room | purpose |
//! |---|---|
//! | [`error`] | one opaque error: whose fault, what, where, what mends it |
//! | [`batch`] | labelled rows in memory, checked once |
//! | [`grid`] | the fixed-point grid, how a chunk chooses its own, and the exact integers on it |
//! | [`kernels`] | what hardware does: rounding, exact Gram matrices, nearest centres, sweeps over pairs; a worker's workspace |
//! | [`state`] | the laws of merging, the state of the first pass, and the second pass |
//! | [`linalg`] | eigenvalues, solves and products of small dense matrices |
//! | [`metrics`] | one formula, one function of statistics; the catalogue of all of them |
//! | `objects` | files in object stores and on web servers: what is there, their bytes, and writing them (feature `cloud`) |
//! | [`archive`] | which files, which columns, which groups, which head; the only reader |
//! | [`store`] | state files, and outputs that are written whole or not at all |
//! | [`report`] | named numbers with reasons, and the forms in which they are written |
//! | `sql` | DataFusion's view: functions, aggregates, tables (feature `sql`) |
//! | [`pipeline`] | a job becomes a plan, a plan runs, a run gives a report |
//! | `cluster` | Ballista's view: units counted on other machines (feature `cluster`) |
//! | `cli` | what was typed becomes a job (feature `cli`) |
//!
//! # Where to find …
//!
//! | question | start at |
//! |---|---|
//! | the formula of a metric | `metrics/catalogue/`, a file a family: each card names its function |
//! | which rows are used, refused or left out | `archive/row_policy.rs`; whole classes (`--min-count`): `metrics/options.rs`, asked by `pipeline/first_pass/count.rs`, and by `pipeline/finish.rs` and SQL for states that exist already |
//! | where a page of Parquet is decoded | `archive/parquet/pages`; pages with nulls and rare encodings: `archive/parquet/batches.rs` |
//! | where a new format of files goes | `archive/container.rs`, `docs/adding-a-format.md` |
//! | what rows of one group differ in though nobody asked, as epochs | `archive/pooling.rs`, by names and statistics; by rows that were read: `archive/rows_seen.rs` |
//! | where tables in text are read | `archive/text/`: `survey.rs` finds columns and units in one pass, `streams.rs` reads rows |
//! | where fields of structs become columns | `archive/nested.rs`; the leaves of Parquet: `archive/parquet/columns.rs` |
//! | how rows become Parquet (`nckit convert`) | `pipeline/convert.rs`, written by `report/rows.rs` |
//! | where arrays are read | `archive/npy/`, `archive/safetensors/` and `archive/pt/` their headers, `archive/arrays/` their rows; labels in a second file: `archive/labelled.rs`; their checksums: `archive/checksums.rs` |
//! | how a row is decided among very many classes | `kernels/nearest`: by a radius (`radii.rs`), in eight bits (`int8.rs`), in single precision (`single.rs`), in double, exactly; `docs/many-classes.md` |
//! | which classes pairs are made of | `metrics/swept.rs`: all, frequent ones, a sample; the sweep: `kernels/pairs` |
//! | when threads share a state | `pipeline/first_pass/shared.rs` |
//! | what `nckit example` makes | `pipeline/example` |
//! | where error bars are made | `metrics/error_bars`; which block a row lies in: `pipeline/first_pass/blocks.rs`; `docs/error-bars.md` |
//! | what SQL makes of `nc1_pinv(feature, label)` | `sql/aggregates/of_rows.rs` (`simplify`): it becomes `nc1_pinv_of(nc_state(feature, label))`, which `sql/functions/of_state.rs` hands to `metrics::measure` |
//! | where a device takes over | [`kernels::Kernels`], [`kernels::DeviceSums`]; which rows go there: `state/device_parts.rs`; the CUDA kernels: `kernels/cuda`, `docs/gpu.md` |
//! | how two runs are held beside each other | `report/comparison/`: sides, changes, conditions; class means: `metrics/class_means.rs`; `cli/compare/` |
//! | how rows in memory are measured | `pipeline/collapse/`; batches become chunks: `pipeline/gathered.rs`; looked at once more: `pipeline/at_hand.rs` |
//! | which paths are addresses, and what is asked of a store | `objects/mod.rs` |
//! | what a state file holds, byte by byte | `store/format.rs`, `docs/state-file.md` |
//! | what travels to a cluster, and what comes back | `pipeline/part.rs` and `pipeline/elsewhere.rs`; `cluster/`, `docs/cluster.md` |
//! | what happens to damaged input | `docs/faults.md` |
//! | what programs in other languages call | `cli/library.rs`; the Python package: `bindings/python`, `docs/python.md` |
//!
//! # Invariants
//!
//! - No result depends on threads, order, or how rows were batched. The reader alone decides what a chunk is.
//! - Memory depends on classes, dimensions, threads and the groups open at once, never on the number of rows. No array is
//!   K×K, except where K ≤ D + 1.
//! - A [`kernels::Device`] is chosen once for each read. Each worker owns a [`kernels::Workspace`], and no function keeps memory
//!   between calls in any other place; only `objects` remembers connections, and what it has learned of objects, since
//!   all that is read has to be of one version.
//! - Only [`linalg`] and [`kernels`] know faer. Only [`archive`] reads Parquet, and only [`report`] writes it
//!   (`COPY` in SQL is DataFusion's). Only `objects` makes requests. Only `sql`
//!   and its command know DataFusion, and only `cluster` knows Ballista; all else builds without them.
//! - A number that cannot be computed is absent and has a reason. Rows are used, left out by the user's own flag and
//!   counted, or the run fails and says where.
//!
//! # Symbols
//!
//! `N` rows, `K` classes, `D` dimensions, `n_k` rows of a class, `μ_k` its mean, `μ_G` the global mean, `Σ_W` and `Σ_B`
//! the covariances within and between classes, `W` and `b` the classifier. A *scatter* is a sum, a *covariance* is
//! divided.
pub mod archive;
pub mod batch;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg(feature = "cluster")]
pub mod cluster;
pub mod error;
pub mod grid;
pub mod kernels;
pub mod linalg;
pub mod metrics;
mod objects;
pub mod pipeline;
pub mod report;
#[cfg(feature = "sql")]
pub mod sql;
pub mod state;
pub mod store;

pub use pipeline::{Accumulator, Collapse, Job, RowsInMemory};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
