//! The flags of `nckit compare`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

use crate::cli::args::{Conventions, Exactness, Further, Input, Machine, ResultFlags};

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  nckit compare monday.ncst tuesday.ncst
  nckit compare 'all.ncst?epoch=10' 'all.ncst?epoch=200' --per-class drift.csv
  nckit compare 'archive?split=train' 'archive?split=test' \\
      --group-by layer,epoch
  nckit compare released.json candidate.parquet \\
      --fail-if 'nc1_pinv > 1.1x' --fail-if 'ncc_accuracy < base-0.01'

Exit codes: 0 no condition of --fail-if holds, 1 one holds; those of measure.";

#[derive(Debug, ClapArgs)]
#[command(mut_arg("inputs", |inputs| inputs.num_args(2..).value_names(["BASE", "OTHER"]).help(
    "What to compare with the first of them: state files, archives as in measure, or JSON that measure has written; \
     `?key=value&…` behind one picks groups"
)))]
pub(in crate::cli) struct Compare {
    #[command(flatten)]
    pub(in crate::cli) input: Input,
    #[command(flatten)]
    pub(in crate::cli) further: Further,
    #[command(flatten)]
    pub(in crate::cli) conventions: Conventions,
    /// Exit with 1 if this holds for any group: KEY > 1.1x, KEY < base-0.02, KEY >= 0.5, KEY differs, KEY worse or KEY
    /// better (beyond noise at 95 %; needs error bars); KEY can be any
    #[arg(long, value_name = "CONDITION", help_heading = "Output")]
    pub(in crate::cli) fail_if: Vec<String>,
    /// Write one row per class to this file: counts, drift, cosine
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(in crate::cli) per_class: Option<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) result: ResultFlags,
    #[command(flatten)]
    pub(in crate::cli) exactness: Exactness,
    #[command(flatten)]
    pub(in crate::cli) machine: Machine,
}
