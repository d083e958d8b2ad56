//! `nckit example`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args as ClapArgs, Subcommand};

use super::args::Display;
use super::console::{Console, counted};
use super::measure::time;
use super::progress::{Stopping, watched};
use crate::error::{Error, Result};
use crate::pipeline::{Example, ExampleKind, MadeExample};
use crate::store::{Output, write_together};

pub(super) const EXAMPLES: &str = "\
Examples:
  nckit example collapse run.parquet
  nckit measure run.parquet --group-by epoch --head run-head.parquet -o run.html
  nckit example zipf words.parquet --rows 300000 --classes 30000 --dim 768
  nckit measure words.parquet --head words-head.parquet

FILE.parquet gets features and labels, FILE-head.parquet the classifier of the nearest class mean, and FILE-truth.json
how they were made and what metrics have to be. The same flags make the same bytes.";

/// Flags of `nckit example`.
#[derive(Debug, ClapArgs)]
pub(super) struct ExampleArgs {
    #[command(subcommand)]
    kind: KindArgs,
}

#[derive(Debug, Subcommand)]
enum KindArgs {
    /// Classes of very unequal sizes, as the words of a language: class k has about 1/k as many rows as the first
    Zipf(Common),
    /// A training run: means on a simplex, equal classes, and each epoch half the spread of the one before
    Collapse {
        #[command(flatten)]
        common: Common,
        /// Epochs
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
        epochs: u32,
    },
}

#[derive(Debug, ClapArgs)]
struct Common {
    /// The Parquet file to write
    #[arg(value_name = "FILE.parquet")]
    output: PathBuf,
    /// Rows, of all epochs together
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rows: u64,
    /// Classes; of zipf some may get no row
    #[arg(long, value_name = "K", default_value_t = 10)]
    classes: u32,
    /// The length of the vectors
    #[arg(long, value_name = "D", default_value_t = 64)]
    dim: usize,
    /// How far rows lie from the mean of their class; 1 is half the usual distance between two means
    #[arg(long, value_name = "X", default_value_t = 0.5)]
    noise: f64,
    /// Another seed makes other rows
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Replace existing files
    #[arg(long)]
    overwrite: bool,
}

pub(super) fn run(args: &ExampleArgs, display: &Display, console: &Console) -> Result<()> {
    let (common, kind) = match &args.kind {
        KindArgs::Zipf(common) => (common, ExampleKind::Zipf),
        KindArgs::Collapse { common, epochs } => (common, ExampleKind::Collapse { epochs: *epochs }),
    };
    let Common { output, rows, classes, dim, noise, seed, overwrite } = common;
    if output.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("parquet")) {
        return Err(Error::usage("an example is written to Parquet")
            .with("file", output.display())
            .help("FILE.parquet"));
    }
    let example = Example { kind, rows: *rows, classes: *classes, dim: *dim, noise: *noise, seed: *seed };
    let made = MadeExample::new(example)?;
    let stem = output.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let beside = |ending: &str| output.with_file_name(format!("{stem}-{ending}"));
    let paths = [output.clone(), beside("head.parquet"), beside("truth.json")];
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let mut outputs = Output::reserve_all(&paths, *overwrite)?;
    let start = Instant::now();
    watched(display, made.bytes(), Stopping::AtOnce, |watch| {
        write_together(&mut outputs, |files| match files {
            [rows, head, truth] => {
                made.write_rows(*rows, watch)?;
                made.write_head(*head)?;
                let text = format!("{:#}\n", made.truth());
                truth
                    .write_all(text.as_bytes())
                    .map_err(|error| Error::io("cannot write the truth").with("detail", &error).caused_by(error))
            }
            _ => Err(Error::internal("an example has three files")),
        })
    })?;
    time(start, made.bytes(), console);
    let (rows, classes) = (counted(made.rows(), "row", "s"), counted(made.classes(), "class", "es"));
    console.fact("written", &format!("{rows} of {classes} to {}", output.display()));
    console.fact("beside it", &format!("{}, {}", paths[1].display(), paths[2].display()));
    Ok(())
}
