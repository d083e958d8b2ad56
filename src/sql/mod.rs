//! States and metrics as DataFusion functions, aggregates and tables.
//!
//! | function | what it makes |
//! |---|---|
//! | `nc_state(feature, label [, grid])` | a state with scatter, of which every metric of a first read can be made |
//! | `nc_moments(feature, label [, grid])` | a state of class sums alone, for metrics that need no D × D |
//! | `nc_merge(state)` | one state of several |
//! | `<key>(feature, label [, head] [, grid])` | the metric of that key |
//! | `nc_measure(feature, label [, head] [, grid])` | a struct of the metrics of a first read, those that `measure` makes by default |
//! | `<key>_of(state [, head or state])` | the metric of that key, of a state |
//! | `nc_measure_of(state [, head [, state]])` | the same of a state; the last argument is one of out-of-distribution rows |
//! | `nc_reason(state, key [, head [, state]])` | why a metric has no value |
//! | `nc_accuracy(state, key [, head [, state]])` | the relative error that rounding left in a metric, as far as it is estimated |
//! | `nc_flags(state, key [, head [, state]])` | the remarks of a metric, a list of strings |
//! | `nc_subtract(state, state)` | the first without the rows of the second |
//! | `nc_jackknife(array_agg(state), key [, head])` | a metric with its error bar, of the states of blocks: a struct |
//! | `nc_classes(state [, head])` | a list of structs, one a class |
//! | `nc_worst_pairs(state, n)` | the pairs of classes hardest to tell apart |
//! | `nc_spectrum(state)` | the eigenvalues of `Σ_W` and `Σ_B`, descending |
//! | `nc_decisions(feature, label, state [, head])` | decisions of nearest centre and classifier on rows |
//! | `<key>_of(decisions)`, `<key>(feature, label, state, head)` | a metric of NC4 |
//! | `nc1_cdnv_directional(feature, label, state)`, `hug_intra(feature, label, state, head)` | of the rows that made the state |
//! | `nc5_neco_auroc(feature, label, state, is_out_of_distribution [, head])` | NECO, and `nc5_neco_fpr95`; so are `nc5_mahalanobis_…` and `nc5_relative_mahalanobis_…` |
//! | `nc_head(path [, key [, transposed]])` | a classifier; a plain path is one too |
//! | `nc_share(x)` | a value that is joined to many rows, without a copy for each of them |
//!
//! A metric without a value is null. Conventions are [`Settings`], `SET nc.centring = 'sample'`; which row of a head is
//! which class is one of them, `SET nc.head_rows = 'one-based'`. `nc_measure` and `nc_measure_of` say beside the metrics
//! what stands beside them in the records of `nckit measure`: `flags` of the group, `accuracy` by metric or quantity, and
//! `metric_flags` by metric.
//!
//! # Where the grid comes from
//!
//! A row is rounded on the grid of its chunk of the archive, whatever batches it goes through. An [`ArchiveTable`] can show
//! a hidden column with that grid for any pair of a vector column and a label column; the analyzer's rule follows the
//! arguments of each aggregate down to the scan, shows the column there, carries it up through all that leaves rows what
//! they are, and hands it to the aggregate as one more argument. Where it cannot (another table, a computed label, rows
//! that a `DISTINCT` made anew), each batch counts as a chunk: the number is as accurate, its last bits depend on the
//! batches, and the state's field `grid` says `own`. `SET nc.require_grid = true` refuses that, and a grid as the last
//! argument, `nc_state(feature, label, -20)` for steps of `2^-20`, makes it the same bits again.
//!
//! # Sharing
//!
//! A metric of rows becomes its function of `nc_state` when a query is simplified, so that all metrics of the same rows
//! have one state, and metrics of one state in a projection become one call, so that it is finished once.

mod aggregates;
mod error;
mod functions;
mod rules;
mod session;
mod settings;
mod sources;
#[cfg(feature = "cluster")]
pub(crate) mod travel;
mod values;

pub use error::explain;
pub use functions::catalogue::{Function, functions};
pub use session::query::{Access, Answer, Query};
pub use session::register::register;
pub use session::{SessionOptions, conventions, doubts, session};
pub use settings::Settings;
pub use settings::doubts::{Doubt, Doubts};
pub use sources::archive_table::ArchiveTable;
pub use values::describe::describe;
