//! The commands and their flags.
#![warn(clippy::wildcard_enum_match_arm)]
#![expect(clippy::doc_markdown, reason = "these are help texts, shown as they stand")]

use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::PossibleValue;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use crate::archive::{Dtype, Policy, Request};
use crate::kernels::DeviceChoice;
use crate::metrics::Extras;
use crate::pipeline::{ErrorBars, HeadRules, Resources, Rounding};
use crate::report::Format;

/// Measures neural collapse over archived embeddings, exactly and in one read.
#[derive(Debug, Parser)]
#[command(name = "nckit", version, max_term_width = 100)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) verb: Verb,
    #[command(flatten)]
    pub(super) display: Display,
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Read features and print the metrics of every group.
    #[command(after_help = MEASURE_EXAMPLES)]
    Measure(Box<Measure>),
    /// Describe an archive or a state file: columns, dimensions, classes, groups, and what measuring would take.
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// Write the rows of any input to Parquet that is read fastest, bit for bit.
    #[command(after_help = CONVERT_EXAMPLES)]
    Convert(Convert),
    /// Count rows into a state file, which can be resumed, extended, merged and finished later.
    #[command(after_help = ACCUMULATE_EXAMPLES)]
    Accumulate(Box<Accumulate>),
    /// Merge state files of shards and machines, or subtract one again.
    #[command(after_help = MERGE_EXAMPLES)]
    Merge(Merge),
    /// Print every metric of every group from state files, without reading their rows again; `report STATE -o page.html` is
    /// the same.
    #[command(visible_alias = "report", after_help = FINISH_EXAMPLES)]
    Finish(Box<Finish>),
    /// Say how two runs differ: their metrics, and how far their class means have moved.
    #[command(after_help = super::compare::args::EXAMPLES)]
    Compare(Box<super::compare::args::Compare>),
    /// Check a state file, and whether its inputs have changed.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(Verify),
    /// Query archives and stored states in SQL, with every metric as a function.
    #[cfg(feature = "sql")]
    #[command(after_help = super::sql::args::EXAMPLES)]
    Sql(Box<super::sql::args::Sql>),
    /// Give the tasks of a cluster to its executors.
    #[cfg(feature = "cluster")]
    #[command(after_help = super::cluster::args::SCHEDULER_EXAMPLES)]
    Scheduler(super::cluster::args::Scheduler),
    /// Count units for a cluster.
    #[cfg(feature = "cluster")]
    #[command(after_help = super::cluster::args::EXECUTOR_EXAMPLES)]
    Executor(super::cluster::args::Executor),
    /// Explain metrics: formula, range, direction, paper, needs, and why a value may be missing.
    #[command(after_help = METRICS_EXAMPLES)]
    Metrics(Metrics),
    /// Make an archive of any size, with what is true of it beside it.
    #[command(after_help = super::example::EXAMPLES)]
    Example(super::example::ExampleArgs),
    /// Measure how fast each part of a run is on this machine, beside what bounds it.
    #[command(after_help = BENCH_EXAMPLES)]
    Bench(Bench),
}

#[derive(Debug, ClapArgs)]
pub(super) struct Metrics {
    /// Metrics or families; without any, all are listed
    #[arg(value_name = "KEY")]
    pub(super) words: Vec<String>,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Bench {
    /// File, directory or glob whose first chunk is measured [default: made-up rows in memory]
    #[arg(value_name = "INPUT")]
    pub(super) input: Option<String>,
    /// The vector column [default: the only one, or one with a well-known name]
    #[arg(long, value_name = "COLUMN", requires = "input")]
    features: Option<String>,
    /// The label column [default: one with a well-known name]
    #[arg(long, value_name = "COLUMN", requires = "input")]
    labels: Option<String>,
    /// Measure these devices too: cuda or cuda:N
    #[arg(long, value_name = "DEVICE", default_value_t, env = "NCKIT_DEVICE")]
    pub(super) device: DeviceChoice,
    /// Measure what very many classes take instead: sums, pairs, decisions. It takes 16 bytes a class and dimension
    #[arg(long, value_name = "K", conflicts_with = "input")]
    pub(super) classes: Option<usize>,
    /// The length of their vectors
    #[arg(long, value_name = "D", default_value_t = 768, requires = "classes")]
    pub(super) dim: usize,
}

impl Bench {
    pub(super) fn request(&self) -> Request {
        let (features, labels) = (self.features.clone(), self.labels.clone());
        Request { features, labels, labels_optional: true, ..Request::default() }
    }
}

const MEASURE_EXAMPLES: &str = "\
Examples:
  nckit measure features.parquet
  nckit measure train_features.npy --labels train_labels.npy
  nckit measure archive --group-by layer,epoch -o collapse.html
  nckit measure archive --group-by layer,epoch -o nc1.svg --plot nc1_pinv
  nckit measure 'archive/**/*.parquet' --group-by layer,epoch \\
      --metrics nc1,nc2 -o collapse.csv
  nckit measure 'feats/{run}/epoch_{epoch}.npy' --labels 'labels/{run}.npy' \\
      --group-by run,epoch --head 'ckpt/{run}/e{epoch}.safetensors:fc'
  nckit measure archive --where split=train --group-by epoch \\
      --head 'heads/epoch={epoch}.safetensors:fc' \\
      --decisions 'archive?split=test' --ood 'archive?split=ood'
  nckit measure archive --group-by epoch --error-bars jackknife
  nckit measure archive --group-by epoch --block-by document
  nckit measure archive --group-by layer --head fc.npy,bias.npy \\
      --head-for layer=h3 --class-names config.json

Exit codes: 0 done, 2 usage, 65 bad data, 66 no input, 70 a bug, 73 cannot
create the output, 74 I/O, 75 more memory needed or another process writes the
output, 130 interrupted.";

const INSPECT_EXAMPLES: &str = "\
Examples:
  nckit inspect features.parquet
  nckit inspect archive --group-by layer,epoch
  nckit inspect all.ncst";

const METRICS_EXAMPLES: &str = "\
Examples:
  nckit metrics
  nckit metrics nc1_pinv nc2_etf_error
  nckit metrics nc5 --json";

const BENCH_EXAMPLES: &str = "\
Examples:
  nckit bench
  nckit bench features.parquet
  nckit bench --device cuda
  nckit bench --classes 50000 --dim 768";

const CONVERT_EXAMPLES: &str = "\
Examples:
  nckit convert train_features.npy --labels train_labels.npy -o train.parquet
  nckit convert embeddings.csv --features 'f*' --dtype f32 \\
      -o embeddings.parquet
  nckit convert archive --where split=train -o train.parquet --shards 8

Columns of single values and the keys in paths become columns. Numbers keep
their type: f16 stays f16, bf16 becomes f32 exactly. Rows with nulls, NaN or
infinities are kept, but a vector with a null element is null as a whole.";

const ACCUMULATE_EXAMPLES: &str = "\
Examples:
  nckit accumulate 'emb/*.parquet' -o lm.ncst
  nckit accumulate 'emb/*.parquet' -o lm.ncst --resume
  nckit accumulate 'emb/*.parquet' -o lm.ncst --extend
  nckit accumulate 'emb/*.parquet' -o lm.ncst --error-bars jackknife
  srun -N8 bash -c 'nckit accumulate \"emb/*.parquet\" \\
      --shard $SLURM_PROCID/$SLURM_NTASKS -o part-$SLURM_PROCID.ncst'

Ctrl-C and SIGTERM finish the row groups in hand and save the state; a second
signal ends the program at once. The lock of a state is STATE.lock beside it.
Exit codes: those of measure; 143 terminated, 75 another process is writing the
state.";

const MERGE_EXAMPLES: &str = "\
Examples:
  nckit merge part-*.ncst -o all.ncst
  nckit merge all.ncst --subtract part-3.ncst -o rest.ncst";

const FINISH_EXAMPLES: &str = "\
Examples:
  nckit finish all.ncst --head model.safetensors:lm_head -o nc.parquet
  nckit finish 'all.ncst?epoch=10' --metrics nc1
  nckit finish all.ncst --head fc.npy --head-rows one-based
  nckit finish part-*.ncst --metrics nc1,nc2
  nckit finish all.ncst --error-bars jackknife
  nckit report all.ncst -o collapse.html";

const VERIFY_EXAMPLES: &str = "\
Examples:
  nckit verify all.ncst
  nckit verify all.ncst --inputs 'emb/*.parquet'
  nckit verify all.ncst --inputs 'emb/*.parquet' --deep

Exit codes: 0 no difference, 1 the inputs differ from what was counted, 65 the
state is damaged.";

#[derive(Debug, ClapArgs)]
pub(super) struct Measure {
    #[command(flatten)]
    pub(super) input: Input,

    #[command(flatten)]
    pub(super) further: Further,
    #[command(flatten)]
    pub(super) conventions: Conventions,
    #[command(flatten)]
    pub(super) outputs: Outputs,
    /// Print the plan and stop
    #[arg(long, help_heading = "Output")]
    pub(super) dry_run: bool,

    #[command(flatten)]
    pub(super) exactness: Exactness,
    #[command(flatten)]
    pub(super) machine: Machine,
}

/// The classifier and further rows.
#[derive(Debug, ClapArgs)]
pub(super) struct Further {
    /// The classifier: Parquet, .safetensors[:KEY], .pt[:KEY], or weight.npy[,bias.npy]; `{epoch}` becomes the group's epoch as its
    /// path writes it, `{epoch:03}` pads it to three digits. `lstsq[:λ]`: no file, but the least-squares classifier of each
    /// group itself [default λ: 0.025]
    #[arg(long, value_name = "FILE[:KEY]", help_heading = "Classifier and further rows")]
    pub(super) head: Option<String>,
    /// Where a head without a column `class` has the row of a class: at its `label`, `one-based` (its label − 1), by the
    /// `rank` of its label among the run's labels, `names:FILE` (the line of its name) [default: label, for integers only]
    #[arg(long, value_name = "RULE", help_heading = "Classifier and further rows")]
    pub(super) head_rows: Option<String>,
    /// Names of classes 0, 1, …: one per line, or `id2label` of a config.json. Heads, --per-class, --worst-pairs and
    /// pages use them
    #[arg(long, value_name = "FILE", help_heading = "Classifier and further rows")]
    pub(super) class_names: Option<PathBuf>,
    /// Use the head for groups with this key only; different keys must all match, one key matches any of its values
    #[arg(long, value_name = "KEY=VALUE", requires = "head", help_heading = "Classifier and further rows")]
    pub(super) head_for: Vec<String>,
    /// What to do if heads of groups are missing: list them and fail, or give no value to metrics that need a head
    #[arg(long, value_enum, default_value_t = HeadRules::default().missing.into(), requires = "head", help_heading = "Classifier and further rows")]
    pub(super) on_missing_head: MissingName,
    /// The head is stored as dimension × class
    #[arg(long, requires = "head", help_heading = "Classifier and further rows")]
    pub(super) head_transposed: bool,
    /// Rows whose decisions are compared (NC4), `PATH[?key=value&…]`, with keys in braces as in INPUT [default of measure: the
    /// rows of INPUT]
    #[arg(long, value_name = "INPUT", help_heading = "Classifier and further rows")]
    pub(super) decisions: Option<String>,
    /// Out-of-distribution rows (NC5), `PATH[?key=value&…]`, with keys in braces as in INPUT
    #[arg(long, value_name = "INPUT", help_heading = "Classifier and further rows")]
    pub(super) ood: Option<String>,
}

/// Which metrics, and how they are defined.
#[derive(Debug, ClapArgs)]
pub(super) struct Conventions {
    /// Families (nc1 nc2 gnc2 nc3 nc4 nc5 hug mse, and beside neural collapse spectrum separation imbalance transfer),
    /// single keys, or all [default: in a table a headline of about ten, else nc1 to mse as far as the inputs allow]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "Metrics")]
    pub(super) metrics: Vec<String>,
    /// Leave out classes with fewer rows [default: 2 for CDNV and class variances, 1 for all others]
    #[arg(long, value_name = "N", help_heading = "Metrics")]
    pub(super) min_count: Option<u64>,
    /// Leave out classes with more rows
    #[arg(long, value_name = "N", help_heading = "Metrics")]
    pub(super) max_count: Option<u64>,
    /// Make metrics of pairs of classes (CDNV, GNC2, HUG, nc2_max_angle) of those with at least N rows; all others keep all
    /// classes
    #[arg(long, value_name = "N", help_heading = "Metrics")]
    pub(super) sweep_min_count: Option<u64>,
    /// Make them of M classes drawn at random where there are more, and say how far others would move them
    #[arg(long, value_name = "M[:SEED]", help_heading = "Metrics")]
    pub(super) sweep_sample: Option<String>,
    /// Take the global mean over the class means, or over all rows
    #[arg(long, value_name = "WHICH", value_parser = ["class", "sample"], help_heading = "Metrics")]
    pub(super) centring: Option<String>,
    /// The divisor of the within-class scatter
    #[arg(long, value_name = "WHICH", value_parser = ["n", "n-k", "balanced"], help_heading = "Metrics")]
    pub(super) normaliser: Option<String>,
    /// Further conventions: cdnv_exponent, divide_by_k, riesz_s, use_bias, ood_centred,
    /// ood_mean, neco_dim, neco_scale, neco_denominator, neco_max_logit, weight_decay; an unknown key lists them all
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Metrics")]
    pub(super) option: Vec<String>,
    #[command(flatten)]
    pub(super) error_bars: ErrorBarFlags,
}

/// How far metrics would move with other rows.
#[derive(Debug, ClapArgs)]
pub(super) struct ErrorBarFlags {
    /// Give metrics of the first read a standard error and a 95 % interval: jackknife leaves out each of 32 blocks of rows in
    /// turn, jackknife:B each of B blocks. States need blocks for it: accumulate with this flag, or --block-by
    #[arg(long, value_name = "jackknife[:B]", help_heading = "Metrics")]
    error_bars: Option<String>,
    /// Keep rows together that share this key, as a document or a patient: each of its values is a block, or with
    /// --error-bars jackknife:B whole values share B blocks. In finish it is a key of the states
    #[arg(long, value_name = "KEY", help_heading = "Metrics")]
    block_by: Option<String>,
}

impl ErrorBarFlags {
    /// The error bars that the flags ask for.
    pub(super) fn parse(&self) -> crate::error::Result<Option<ErrorBars>> {
        let typed = self.error_bars.as_deref().map(ErrorBars::parse).transpose()?;
        Ok(match (typed, &self.block_by) {
            (None, None) => None,
            (bars, key) => Some(ErrorBars { block_by: key.clone(), ..bars.unwrap_or_default() }),
        })
    }
}

/// Where the result goes.
#[derive(Debug, ClapArgs)]
pub(super) struct Outputs {
    /// Write one row per class to this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) per_class: Option<PathBuf>,
    /// Whether a program gets the classes, which no word says.
    #[arg(skip)]
    pub(super) classes_to_program: bool,
    /// Write one row for the classes of each range of sizes to this file, from rare to frequent: NC1, CDNV, accuracy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) per_class_bins: Option<PathBuf>,
    /// Write the decisions (NC4) and NECO score of every row of --decisions and --ood to this Parquet file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(super) scores: Option<PathBuf>,
    /// Show the N pairs of classes that are hardest to tell apart
    #[arg(long, value_name = "N", default_value_t = Extras::default().worst_pairs, help_heading = "Output")]
    pub(super) worst_pairs: usize,
    #[command(flatten)]
    pub(super) result: ResultFlags,
    /// The figure that -o FILE.svg gets: a metric's key, over the groups; map:KEY, a row for each line; spectrum,
    /// spectrum-within, spectrum-between, class-variance, class-distance, class-cosines, cosine-histogram or class-projection, of
    /// the groups at the last step
    #[arg(long, value_name = "FIGURE", help_heading = "Output")]
    pub(super) plot: Option<String>,
}

/// Where the result goes.
#[derive(Clone, Debug, ClapArgs)]
pub(super) struct ResultFlags {
    /// Also write the result to this file, in the format of its extension: json, ndjson, csv, md, parquet; of measure,
    /// finish and compare also html (a page with figures); of measure and finish also svg (one figure, --plot)
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(super) output: Vec<PathBuf>,
    /// Replace existing outputs; they keep their mode, and their owner where the system permits it
    #[arg(long, help_heading = "Output")]
    pub(super) overwrite: bool,
    /// The format of standard output; automatic: a table on a terminal, ndjson in a pipe, nothing in a pipe beside -o
    #[arg(long, value_enum, default_value_t = FormatName::Automatic, help_heading = "Output")]
    pub(super) format: FormatName,
}

/// How rows are rounded.
#[derive(Debug, ClapArgs)]
pub(super) struct Exactness {
    /// Round all rows and dimensions to the step 2^E of one fixed-point grid [default: each chunk has its own grid]
    #[arg(long, value_name = "E", allow_negative_numbers = true, value_parser = clap::value_parser!(i16).range(-1022..=1000), help_heading = "Exactness")]
    pub(super) grid: Option<i16>,
    /// Make every chunk's own grid finer by this many bits; up to four times slower
    #[arg(long, value_name = "B", default_value_t = Rounding::default().extra_bits, conflicts_with = "grid", value_parser = clap::value_parser!(u32).range(0..=20), help_heading = "Exactness")]
    pub(super) extra_bits: u32,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Accumulate {
    #[command(flatten)]
    pub(super) input: Input,

    /// The state file
    #[arg(short, long, value_name = "STATE", required = true, help_heading = "State")]
    pub(super) output: PathBuf,
    /// Continue an unfinished state; begin one if there is none
    #[arg(long, conflicts_with_all = ["overwrite", "extend"], help_heading = "State")]
    pub(super) resume: bool,
    /// Add the inputs that a state does not hold yet
    #[arg(long, conflicts_with = "overwrite", help_heading = "State")]
    pub(super) extend: bool,
    /// Replace an existing state
    #[arg(long, help_heading = "State")]
    pub(super) overwrite: bool,
    /// How often to save the state: 90s, 5m, 1h; 0s saves it after every row group
    #[arg(long, value_name = "DUR", default_value = "60s", value_parser = super::units::parse_duration, help_heading = "State")]
    pub(super) checkpoint_every: std::time::Duration,
    /// Count the I-th of N parts of the rows, 0-based; all parts must see the same files
    #[arg(long, value_name = "I/N", value_parser = shard, help_heading = "State")]
    pub(super) shard: Option<(u32, u32)>,
    /// The metrics that the state will serve, as in measure; it is smaller if none needs the D × D scatter matrix
    #[arg(long, value_name = "NAMES", value_delimiter = ',', help_heading = "State")]
    pub(super) metrics: Vec<String>,
    #[command(flatten)]
    pub(super) error_bars: ErrorBarFlags,
    /// Print the plan and stop
    #[arg(long, help_heading = "State")]
    pub(super) dry_run: bool,

    #[cfg(feature = "cluster")]
    #[command(flatten)]
    pub(super) cluster: super::cluster::args::ClusterFlags,
    #[command(flatten)]
    pub(super) exactness: Exactness,
    #[command(flatten)]
    pub(super) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Convert {
    /// Files of any format that is read, directories or quoted globs
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<String>,
    /// The Parquet file to write
    #[arg(short, long, value_name = "FILE", required = true)]
    pub(super) output: PathBuf,
    /// The vector column, or a quoted pattern of columns that hold one element each, as in measure
    #[arg(long, value_name = "COL", help_heading = "Rows")]
    features: Option<String>,
    /// The type of numbers that have none, in fixed-size binary or in text
    #[arg(long, value_name = "TYPE", value_parser = dtype, help_heading = "Rows")]
    dtype: Option<Dtype>,
    /// The label column, or a file with one label a row [default: as in measure; there may be none]
    #[arg(long, value_name = "COL|FILE", help_heading = "Rows")]
    labels: Option<String>,
    /// Keys that have to be there; all keys are kept, named or not
    #[arg(long, value_name = "KEYS", value_delimiter = ',', help_heading = "Rows")]
    group_by: Vec<String>,
    /// Write only rows whose key has this value; different keys must all match, one key matches any of its values
    #[arg(long = "where", value_name = "KEY=VALUE", help_heading = "Rows")]
    filters: Vec<String>,
    /// Write N files of almost equally many rows, FILE-00000-of-0000N.parquet and so on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "shard_rows")]
    pub(super) shards: Option<u32>,
    /// Write files of N rows each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) shard_rows: Option<u64>,
    /// Replace existing files
    #[arg(long)]
    pub(super) overwrite: bool,
}

impl Convert {
    /// The request that the flags describe.
    pub(super) fn request(&self) -> crate::error::Result<Request> {
        check_named("--group-by", &self.group_by)?;
        Ok(Request {
            features: self.features.clone(),
            dtype: self.dtype,
            labels: self.labels.clone(),
            group_by: self.group_by.clone(),
            filters: self.filters.iter().map(|text| pair("--where", text)).collect::<crate::error::Result<_>>()?,
            ..Request::default()
        })
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct Merge {
    /// State files
    #[arg(required = true, value_name = "STATE")]
    pub(super) states: Vec<PathBuf>,
    /// The state file to write
    #[arg(short, long, value_name = "STATE", required = true)]
    pub(super) output: PathBuf,
    /// Subtract the rows of this state
    #[arg(long, value_name = "STATE")]
    pub(super) subtract: Vec<PathBuf>,
    /// Replace an existing state
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Count content twice that appears under two names
    #[arg(long)]
    pub(super) allow_duplicates: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Finish {
    /// State files; several are merged first. `?key=value&…` behind one picks groups
    #[arg(required = true, value_name = "STATE")]
    pub(super) states: Vec<PathBuf>,
    /// Count content twice that appears under two names
    #[arg(long)]
    pub(super) allow_duplicates: bool,
    #[command(flatten)]
    pub(super) further: Further,
    #[command(flatten)]
    pub(super) conventions: Conventions,
    #[command(flatten)]
    pub(super) outputs: Outputs,
    #[command(flatten)]
    pub(super) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Verify {
    /// State files
    #[arg(required = true, value_name = "STATE")]
    pub(super) states: Vec<PathBuf>,
    /// Compare these files, directories or patterns with the ledger, by their sizes and footers; keys in braces as when they
    /// were counted
    #[arg(long, value_name = "INPUT", num_args = 1..)]
    pub(super) inputs: Vec<String>,
    /// Read all rows again and compare them as well, by their digests
    #[arg(long, requires = "inputs")]
    pub(super) deep: bool,
}

fn shard(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    match parsed {
        Some((part, parts)) if part < parts => Ok((part, parts)),
        _ => Err("expected I/N with 0 ≤ I < N, such as 0/8".to_owned()),
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct Inspect {
    #[command(flatten)]
    pub(super) input: Input,
    #[command(flatten)]
    pub(super) machine: Machine,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Input {
    /// Files (Parquet, Arrow IPC, .npy, .npz, .safetensors, .pt, CSV, JSON lines), directories (hive trees too) or quoted globs;
    /// x.npz:X,Y names its arrays of features and labels, and x.npy,y.npy the file of labels. Braces in a name capture keys for
    /// --group-by and --where: 'run_{run}/epoch_{epoch}.npy'; `{epoch:03}` is a number of three digits. All files can be
    /// addresses, of states and outputs too: s3://, gs://, az://, http(s)://
    #[arg(required = true, value_name = "INPUT")]
    pub(super) inputs: Vec<String>,
    /// The vector column, the field of a struct as emb.values, or a quoted pattern of columns that hold one element each, as 'f*'
    /// [default: the only one, or one with a well-known name]
    #[arg(long, value_name = "COL", help_heading = "Rows")]
    pub(super) features: Option<String>,
    /// The type of numbers that have none: f16, bf16, f32 or f64 in fixed-size binary, little-endian; f64 or f32 in text, of which
    /// f64 is the default, since it keeps most digits
    #[arg(long, value_name = "TYPE", value_parser = dtype, help_heading = "Rows")]
    pub(super) dtype: Option<Dtype>,
    /// The label column, or a file with one label a row: .npy, Parquet, CSV or text [default: a column with a well-known
    /// name; of .npy features the file beside them, as train_labels.npy of train_features.npy]; 'labels/{run}.npy' is filled
    /// with the keys of each file of features
    #[arg(long, value_name = "COL|FILE", help_heading = "Rows")]
    pub(super) labels: Option<String>,
    /// Columns, hive keys or keys captured by braces whose values make the groups
    #[arg(long, value_name = "KEYS", value_delimiter = ',', help_heading = "Rows")]
    pub(super) group_by: Vec<String>,
    /// Read only rows whose key has this value; different keys must all match, one key matches any of its values
    #[arg(long = "where", value_name = "KEY=VALUE", help_heading = "Rows")]
    pub(super) filters: Vec<String>,
    /// Leave out rows with this label, as of padding, and count them
    #[arg(long, value_name = "V", allow_hyphen_values = true, help_heading = "Rows")]
    pub(super) ignore_label: Option<String>,
    /// What to do with rows that have a null label, vector or element
    #[arg(long, value_enum, default_value_t = Request::default().nulls.into(), help_heading = "Rows")]
    pub(super) nulls: PolicyName,
    /// What to do with rows that have a NaN or an infinity
    #[arg(long, value_enum, default_value_t = Request::default().nonfinite.into(), help_heading = "Rows")]
    pub(super) nonfinite: PolicyName,
    /// What to do with files that are damaged or of no known format; to skip them, all files are decoded once in advance
    #[arg(long, value_enum, default_value_t = Request::default().bad_files.into(), help_heading = "Rows")]
    pub(super) on_bad_file: PolicyName,
    /// Divide each row by its length before it is rounded; rows of zeros count as not finite. Holds for --decisions and --ood
    /// too, and is kept with states
    #[arg(long, help_heading = "Rows")]
    pub(super) normalize: bool,
    /// Count content twice that appears under two names
    #[arg(long, help_heading = "Rows")]
    pub(super) allow_duplicates: bool,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Machine {
    /// Worker threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Machine")]
    pub(super) threads: Option<u16>,
    /// The most memory to use, such as 8GiB [default: 60 % of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = super::units::parse_size, help_heading = "Machine")]
    pub(super) memory: Option<u64>,
    /// Where rows are worked on: auto, cpu, or an NVIDIA GPU, cuda or cuda:N; auto looks for one where it would pay
    #[arg(long, value_name = "DEVICE", default_value_t, env = "NCKIT_DEVICE", help_heading = "Machine")]
    pub(super) device: DeviceChoice,
}

impl Machine {
    /// What the run may use.
    pub(super) fn resources(&self) -> Resources {
        Resources::new(self.threads.map(usize::from), self.memory)
    }
}

fn dtype(text: &str) -> Result<Dtype, String> {
    Dtype::from_name(text).ok_or_else(|| "expected f16, bf16, f32 or f64".to_owned())
}

/// What goes to standard error, and how it looks.
#[derive(Debug, ClapArgs)]
pub(super) struct Display {
    /// Print nothing but the result and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Display")]
    pub(super) quiet: bool,
    /// Print times and details too
    #[arg(short, long, global = true, help_heading = "Display")]
    pub(super) verbose: bool,
    /// How to show progress; auto: a bar on a terminal, else a line every 30 seconds
    #[arg(long, global = true, value_enum, default_value_t = ProgressName::Auto, help_heading = "Display")]
    pub(super) progress: ProgressName,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = ColorName::Auto, help_heading = "Display")]
    pub(super) color: ColorName,
    /// The format of standard error
    #[arg(long, global = true, value_enum, default_value_t = LogName::Text, help_heading = "Display")]
    pub(super) log_format: LogName,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum PolicyName {
    /// Stop with an error
    Fail,
    /// Leave them out and count them
    Skip,
}

impl From<Policy> for PolicyName {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Fail => Self::Fail,
            Policy::Skip => Self::Skip,
        }
    }
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Fail => Self::Fail,
            PolicyName::Skip => Self::Skip,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum MissingName {
    /// Stop with an error
    Fail,
    /// Go on without it
    Null,
}

impl From<Policy> for MissingName {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Fail => Self::Fail,
            Policy::Skip => Self::Null,
        }
    }
}

impl From<MissingName> for Policy {
    fn from(name: MissingName) -> Self {
        match name {
            MissingName::Fail => Self::Fail,
            MissingName::Null => Self::Skip,
        }
    }
}

/// What standard output gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FormatName {
    Automatic,
    Named(Format),
}

impl ValueEnum for FormatName {
    fn value_variants<'a>() -> &'a [Self] {
        static NAMES: LazyLock<Vec<FormatName>> = LazyLock::new(|| {
            let text = Format::ALL.into_iter().filter(|format| format.is_text()).map(FormatName::Named);
            std::iter::once(FormatName::Automatic).chain(text).collect()
        });
        &NAMES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Automatic => "automatic",
            Self::Named(format) => format.name(),
        }))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ProgressName {
    Auto,
    Plain,
    Json,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorName {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogName {
    Text,
    Json,
}

impl Input {
    /// The request that the flags describe.
    pub(super) fn request(&self) -> crate::error::Result<Request> {
        check_named("--group-by", &self.group_by)?;
        Ok(Request {
            features: self.features.clone(),
            dtype: self.dtype,
            labels: self.labels.clone(),
            labels_optional: false,
            any_labels: false,
            notice: Vec::new(),
            group_by: self.group_by.clone(),
            keys_optional: false,
            filters: self.filters.iter().map(|text| pair("--where", text)).collect::<crate::error::Result<_>>()?,
            nulls: self.nulls.into(),
            nonfinite: self.nonfinite.into(),
            normalize: self.normalize,
            bad_files: self.on_bad_file.into(),
            ignore_label: self.ignore_label.clone(),
            filters_optional: false,
            allow_duplicates: self.allow_duplicates,
            memory: None,
        })
    }
}

/// Refuses a flag whose words are all empty. One that was not given has no words, and is left alone.
pub(super) fn check_named(flag: &'static str, words: &[String]) -> crate::error::Result<()> {
    let is_empty = |word: &String| word.split(',').all(|name| name.trim().is_empty());
    if words.is_empty() || !words.iter().all(is_empty) {
        return Ok(());
    }
    Err(crate::error::Error::usage(format!("{flag} is empty")).help("put a name there, or leave the flag out"))
}

/// Splits the `KEY=VALUE` of a flag.
pub(super) fn pair(flag: &'static str, text: &str) -> crate::error::Result<(String, String)> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => {
            let error = crate::error::Error::usage("expected KEY=VALUE").with("flag", flag).with("value", text);
            Err(if flag == "--where" {
                error.help("rows are picked by equality: --where KEY=VALUE for each value")
            } else {
                error
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::{accumulate, outputs};
    use crate::pipeline::{Job, Saving, Task};

    #[test]
    fn a_command_without_flags_is_the_job_of_the_library() {
        let Verb::Measure(args) = Args::parse_from(["nckit", "measure", "a"]).verb else { panic!("another verb") };
        let parts = (&args.further, &args.conventions, &args.outputs);
        let (request, rounding) = (args.input.request().unwrap(), args.exactness.rounding());
        let job = outputs::job(&args.input.inputs, request, rounding, parts, &args.machine).unwrap();
        assert_eq!(format!("{job:?}"), format!("{:?}", Job::new(["a"])));
        let Verb::Accumulate(args) = Args::parse_from(["nckit", "accumulate", "a", "-o", "b"]).verb else {
            panic!("another verb")
        };
        assert_eq!(format!("{:?}", accumulate::task(&args).unwrap()), format!("{:?}", Task::new(["a"])));
        assert_eq!(args.checkpoint_every, Saving::new("b").every);
    }

    #[test]
    fn help_names_every_format_of_files() {
        let mut command = Args::command();
        let measure = command.find_subcommand_mut("measure").unwrap();
        let output = measure.get_arguments().find(|argument| argument.get_id() == "output").unwrap();
        let help = output.get_help().unwrap().to_string();
        for format in Format::ALL {
            assert!(format.extensions().first().is_none_or(|extension| help.contains(extension)), "{help}: {format:?}");
        }
    }
}
