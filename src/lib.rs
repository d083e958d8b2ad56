//! Neural collapse (NC1 to NC5) over archived embeddings, exactly, in one read.
//!
//! When a classifier trains past zero error, the features of a class shrink to their mean (NC1), the means form a
//! simplex (NC2), the classifier aligns with them (NC3), and decisions become nearest-class-centre (NC4); NC5 says how
//! out-of-distribution data sits beside them. This crate measures that from features in Parquet files too large for
//! memory.
//!
//! # The flow
//!
//! ```text
//! archive ─▶ batch ─▶ state ─▶ merge ─▶ linalg ─▶ metrics ─▶ report
//! Parquet    N×D      update   monoid   faer      NC1…NC5    table, JSON, CSV, Parquet
//!            └───── map ────┘└ reduce ┘└────────── present ────────────┘
//! ```
//!
//! The state is the only thing that crosses a thread, a process or a machine. It is made of integers: every row is
//! rounded once, to a grid that only its own chunk of the file decides, and from there on all arithmetic is exact. So
//! merging is addition, and equal rows give equal bits, whatever the order, the threads, the batches or the shards. The
//! one rounding's share in every number is estimated and reported beside it.
//!
//! # The rooms
//!
//! A room imports only from rooms above it.
//!
//! | room | purpose |
//! |---|---|
//! | [`error`] | one opaque error: whose fault, what, where, what mends it |
//! | [`batch`] | labelled rows in memory, checked once at the rim |
//! | [`grid`] | the fixed-point grid, how a chunk's is chosen, and the exact integers on it |
//! | [`kernels`] | what hardware does: rounding, exact Gram matrices, nearest centres, sweeps over pairs; a worker's workspace |
//! | [`state`] | the laws of merging, and the states that obey them |
//! | [`linalg`] | eigenvalues, solves and products of small dense matrices |
//! | [`metrics`] | one formula, one pure function of states |
//! | [`archive`] | which files, which columns, which groups, which head; the only reader |
//! | [`store`] | state files and what is written whole or not at all |
//! | [`report`] | named numbers with reasons, and their forms |
//! | `sql` | one adapter for every state, one for every metric, with the feature `sql` |
//! | [`pipeline`] | a job becomes a plan, a plan runs, a run gives a report |
//! | `cli` | what was typed becomes a job, with the feature `cli` |
//!
//! # Invariants
//!
//! - No result depends on threads, order, or how rows were batched; nothing but the reader decides what a chunk is.
//! - Memory depends on classes, dimensions, threads and the groups open at once, never on the number of rows. Nothing is
//!   K×K, except where K < D.
//! - What works on rows is chosen once for a run, by [`kernels::Device`]; each worker owns a [`kernels::Workspace`], and
//!   nothing keeps memory behind a caller's back.
//! - Only [`linalg`] and [`kernels`] know faer; nothing above [`archive`] knows Parquet, [`report`] excepted, which
//!   writes it; only `sql` and the command that opens it know DataFusion, and all else builds without it.
//! - A number that cannot be had is absent, with a reason. Rows are used, left out by the user's own flag and counted,
//!   or the run fails and says where.
//!
//! # Choices that are not the obvious ones
//!
//! - A dimension that is constant within the classes of a chunk is rounded 36 bits below its largest value, whatever
//!   the stored type: the rounding error is shared by all rows, and no average takes it away.
//! - No step of a chunk is more than 32 bits finer than the coarsest, so that one short chunk of tiny values cannot push
//!   the exact sums out of range.
//! - `nc1_pinv` takes singular values of the centred means, not eigenvalues of `Σ_B`: one path for any K and D, nothing
//!   K×K, and twice the digits on steep spectra.
//! - The out-of-distribution mean is the mean of class means where there are labels, as the reference has it.
//! - Groups are read in batches whose states fit into memory together, with a barrier between them: simpler than counting
//!   each group's outstanding chunks, and free as long as a batch is much longer than a chunk.
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
pub mod error;
pub mod grid;
pub mod kernels;
pub mod linalg;
pub mod metrics;
pub mod pipeline;
pub mod report;
#[cfg(feature = "sql")]
pub mod sql;
pub mod state;
pub mod store;

pub use pipeline::{Accumulator, Job};
