//! `nckit convert`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::{Convert, Display};
use super::console::{Console, counted};
use super::measure::{describe_columns, time};
use super::progress::{Stopping, watched};
use crate::error::{Error, Result};
use crate::pipeline::{Conversion, Shards};
use crate::store::{Output, refuse_inputs, write_together};

pub(super) fn run(args: &Convert, display: &Display, console: &Console) -> Result<()> {
    if args.output.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("parquet")) {
        return Err(Error::usage("rows are converted to Parquet only")
            .with("file", args.output.display())
            .help("-o FILE.parquet"));
    }
    let shards = match (args.shards, args.shard_rows) {
        (Some(count), _) => Shards::Count(count),
        (None, Some(rows)) => Shards::Rows(rows),
        (None, None) => Shards::One,
    };
    let conversion = Conversion::plan(&args.inputs, &args.request()?)?;
    let paths = conversion.outputs(&args.output, shards)?;
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let mut outputs = Output::reserve_all(&paths, args.overwrite)?;
    refuse_inputs(outputs.iter().map(Output::path), conversion.inputs())?;
    describe_columns(conversion.archive(), console);
    console.fact("kept", &conversion.kept_text());
    if !conversion.left_out().is_empty() {
        console.warn(&format!("left out: {}", conversion.left_out().join(", ")));
    }
    let start = Instant::now();
    watched(display, conversion.bytes(), Stopping::AtOnce, |watch| {
        write_together(&mut outputs, |files| conversion.run(shards, files, watch))
    })?;
    time(start, conversion.bytes(), console);
    let files = match &paths[..] {
        [only] => only.display().to_string(),
        paths => format!("{}, {} and so on", counted(paths.len() as u64, "file", "s"), paths[0].display()),
    };
    console.fact("written", &format!("{} to {files}", counted(conversion.rows(), "row", "s")));
    Ok(())
}
