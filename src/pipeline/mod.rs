//! A job becomes a plan, a plan runs, a run gives a report.
//!
//! The first read makes a state of every group ([`CheckpointedPass`] keeps them in a file); a second one, of the same rows or
//! others, is made only for metrics that need means or classifier beside each row. Groups are taken in batches that fit
//! into memory, and the states of a batch are gone before the next begins. Measuring is both in one process, and [`Finish`] is
//! the second half alone.

mod accumulator;
mod at_hand;
mod bench;
mod checkpointed;
mod collapse;
mod convert;
mod differences;
mod digest;
mod elsewhere;
mod error_bars;
mod estimate;
mod evaluate;
mod example;
mod finish;
mod first_pass;
mod gathered;
mod group_batches;
mod heads;
mod job;
mod memory;
mod part;
mod plan;
mod provenance;
mod resources;
mod scan;
mod second_pass;
mod task;

pub use accumulator::Accumulator;
pub use at_hand::{AtHand, HoldsRows, RowsAtHand};
pub use bench::{Bench, ManyStage, Stage, bench, bench_many};
pub use checkpointed::{CheckpointedPass, Saving};
pub use collapse::{Collapse, RowsInMemory};
pub use convert::{Conversion, Shards};
pub use differences::{Comparison, differences};
pub use elsewhere::{Elsewhere, PartSize};
pub use error_bars::ErrorBars;
pub use example::{Digits, Example, Kind as ExampleKind, Made as MadeExample};
pub use finish::Finish;
pub use first_pass::{Rounding, Summary};
pub use heads::{HeadRules, HeadSummary};
pub use job::{Job, RowSource};
pub use part::Part;
pub use plan::{Decompositions, Plan, ScoreSink};
pub use resources::Resources;
pub use scan::{ClusterWatch, Watch};
pub use task::Task;
