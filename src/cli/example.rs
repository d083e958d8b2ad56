//! `nckit example`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args as ClapArgs, Subcommand};
use serde_json::Value;

use super::args::Display;
use super::console::{Console, counted};
use super::measure::time;
use super::progress::{Stopping, watched};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{Digits, Example, ExampleKind, MadeExample};
use crate::store::{Output, write_together};

const ZIPF_EXAMPLES: &str = "\
Examples:
  nckit example zipf words.parquet --rows 300000 --classes 30000 --dim 768
  nckit measure words.parquet --head words-head.parquet";

const COLLAPSE_EXAMPLES: &str = "\
Examples:
  nckit example collapse run.parquet --epochs 10
  nckit measure run.parquet --group-by epoch --head run-head.parquet -o run.html";

const DIGITS_EXAMPLES: &str = "\
Examples:
  nckit example digits digits.parquet
  nckit measure digits.parquet --where split=train \\
      --decisions 'digits.parquet?split=test' --head digits-head.parquet";

pub(super) const EXAMPLES: &str = "\
Examples:
  nckit example collapse run.parquet
  nckit measure run.parquet --group-by epoch --head run-head.parquet -o run.html
  nckit example zipf words.parquet --rows 300000 --classes 30000 --dim 768
  nckit measure words.parquet --head words-head.parquet
  nckit example digits digits.parquet
  nckit measure digits.parquet --where split=train \\
      --decisions 'digits.parquet?split=test' --head digits-head.parquet

FILE.parquet gets features and labels, FILE-head.parquet the classifier, made-up
ones that of the nearest class mean, and FILE-truth.json how they were made and
what metrics have to be. The same flags make the same bytes.";

/// Flags of `nckit example`.
#[derive(Debug, ClapArgs)]
pub(super) struct ExampleArgs {
    #[command(subcommand)]
    kind: KindArgs,
}

#[derive(Debug, Subcommand)]
enum KindArgs {
    /// Classes of very unequal sizes, as the words of a language: class k has about 1/k as many rows as the first
    #[command(after_help = ZIPF_EXAMPLES)]
    Zipf(Common),
    /// A training run: means on a simplex, equal classes, and each epoch half the spread of the one before
    #[command(after_help = COLLAPSE_EXAMPLES)]
    Collapse {
        #[command(flatten)]
        common: Common,
        /// Epochs
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
        epochs: u32,
    },
    /// Real features: a network that was trained to collapse on pictures of digits, with rows of a test set, and of no digits
    #[command(after_help = DIGITS_EXAMPLES)]
    Digits(Outputs),
}

/// Where an example goes.
#[derive(Debug, ClapArgs)]
struct Outputs {
    /// The Parquet file to write
    #[arg(value_name = "FILE.parquet")]
    output: PathBuf,
    /// Replace existing files
    #[arg(long)]
    overwrite: bool,
}

#[derive(Debug, ClapArgs)]
struct Common {
    #[command(flatten)]
    outputs: Outputs,
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
}

pub(super) fn run(args: &ExampleArgs, display: &Display, console: &Console) -> Result<()> {
    let (common, kind) = match &args.kind {
        KindArgs::Zipf(common) => (common, ExampleKind::Zipf),
        KindArgs::Collapse { common, epochs } => (common, ExampleKind::Collapse { epochs: *epochs }),
        KindArgs::Digits(outputs) => return digits(outputs, console),
    };
    let Common { outputs, rows, classes, dim, noise, seed } = common;
    let files = Files::new(outputs)?;
    let example = Example { kind, rows: *rows, classes: *classes, dim: *dim, noise: *noise, seed: *seed };
    let made = MadeExample::new(example)?;
    let start = Instant::now();
    watched(display, made.bytes(), Stopping::AtOnce, |watch| {
        files.write(|rows, head| {
            made.write_rows(rows, watch)?;
            made.write_head(head)?;
            Ok(made.truth())
        })
    })?;
    time(start, made.bytes(), console);
    files.report(made.rows(), made.classes(), console);
    Ok(())
}

fn digits(outputs: &Outputs, console: &Console) -> Result<()> {
    let files = Files::new(outputs)?;
    let failed = |error: std::io::Error| Error::io("cannot write the example").with("detail", &error).caused_by(error);
    files.write(|rows, head| {
        rows.write_all(Digits.rows()).map_err(failed)?;
        head.write_all(Digits.head()).map_err(failed)?;
        Digits.truth()
    })?;
    files.report(Digits::COUNT, Digits::CLASSES, console);
    Ok(())
}

/// The files of an example: rows, classifier and truth.
struct Files {
    paths: [PathBuf; 3],
    overwrite: bool,
}

type Sink<'a> = &'a mut (dyn Write + Send);

impl Files {
    fn new(Outputs { output, overwrite }: &Outputs) -> Result<Self> {
        if output.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("parquet")) {
            return Err(Error::usage("an example is written to Parquet")
                .with("file", output.display())
                .help("FILE.parquet"));
        }
        let stem = output.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let beside = |ending: &str| output.with_file_name(format!("{stem}-{ending}"));
        Ok(Self { paths: [output.clone(), beside("head.parquet"), beside("truth.json")], overwrite: *overwrite })
    }

    /// Writes all of them, or none; `make` writes the first two and returns the third.
    fn write(&self, make: impl FnOnce(Sink<'_>, Sink<'_>) -> Result<Value>) -> Result<()> {
        let paths: Vec<&Path> = self.paths.iter().map(PathBuf::as_path).collect();
        let mut outputs = Output::reserve_all(&paths, self.overwrite)?;
        write_together(&mut outputs, |files| match files {
            [rows, head, truth] => {
                let text = format!("{:#}\n", make(*rows, *head)?);
                truth
                    .write_all(text.as_bytes())
                    .map_err(|error| Error::io("cannot write the truth").with("detail", &error).caused_by(error))
            }
            _ => Err(Error::internal("an example has three files")),
        })
        .map_err(|error| match error.kind() {
            // Which of them it was does not matter: none is there.
            ErrorKind::Io => error.with_default("file", self.paths[0].display()),
            _ => error,
        })
    }

    fn report(&self, rows: u64, classes: u64, console: &Console) {
        let (rows, classes) = (counted(rows, "row", "s"), counted(classes, "class", "es"));
        let [output, head, truth] = &self.paths;
        console.fact("written", &format!("{rows} of {classes} to {}", output.display()));
        console.fact("beside it", &format!("{}, {}", head.display(), truth.display()));
    }
}
