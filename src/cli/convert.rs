//! `nckit convert`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::{Convert, Display};
use super::console::{Console, counted};
use super::measure::{describe_columns, time};
use super::progress::{Stopping, watched};
use crate::archive::{escaped, would_read};
use crate::error::{Error, ErrorKind, Result};
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
    let conversion = Conversion::plan(&args.inputs, &args.request()?).map_err(|error| {
        let is_no_flag = error.advice().is_some_and(|advice| advice.contains("--on-bad-file"));
        if is_no_flag { error.help("leave the file out of INPUT, or write it again") } else { error }
    })?;
    let paths = conversion.outputs(&args.output, shards)?;
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let mut outputs = Output::reserve_all(&paths, args.overwrite)?;
    refuse_inputs(outputs.iter().map(Output::path), conversion.inputs())?;
    if let Some(input) = paths.iter().find_map(|path| would_read(&args.inputs, path)) {
        return Err(Error::usage("the output would be among its own inputs: the next run would count its rows twice")
            .with("file", args.output.display())
            .with("input", escaped(input))
            .help("write it to another folder"));
    }
    let inputs: Vec<PathBuf> = conversion.inputs().collect();
    if let [first, others @ ..] = left_of_series(&args.output, &paths, &inputs).as_slice() {
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        console.warn(&format!(
            "files of another series of this name stay beside it: {}{more}. Who reads the folder counts their rows too",
            first.display()
        ));
    }
    describe_columns(conversion.archive(), console);
    console.fact("kept", &conversion.kept_text());
    if !conversion.left_out().is_empty() {
        console.warn(&format!("left out: {}", conversion.left_out().join(", ")));
    }
    conversion.warnings().iter().for_each(|warning| console.warn(warning));
    let start = Instant::now();
    watched(display, conversion.bytes(), Stopping::AtOnce, |watch| {
        write_together(&mut outputs, |files| conversion.run(shards, files, watch))
    })
    .map_err(|error| match error.kind() {
        // Which of several files it was to be does not matter: none of them is there.
        ErrorKind::Io => error.with_default("file", args.output.display()),
        _ => error,
    })?;
    time(start, conversion.bytes(), console);
    match conversion.null_vectors() {
        0 => {}
        1 => console.warn("1 vector is null: one with a null element is null as a whole"),
        nulls => console.warn(&format!("{nulls} vectors are null: one with a null element is null as a whole")),
    }
    let files = match &paths[..] {
        [only] => only.display().to_string(),
        paths => format!("{}, {} and so on", counted(paths.len() as u64, "file", "s"), paths[0].display()),
    };
    console.fact("written", &format!("{} to {files}", counted(conversion.rows(), "row", "s")));
    Ok(())
}

/// Files of an earlier run with other shards, `x-00000-of-00003.parquet` beside `x.parquet`, which are neither written nor
/// read now.
fn left_of_series(output: &Path, written: &[&Path], inputs: &[PathBuf]) -> Vec<PathBuf> {
    let (Some(stem), Some(extension)) = (output.file_stem(), output.extension()) else { return Vec::new() };
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (stem, extension) = (stem.to_string_lossy(), extension.to_string_lossy());
    let is_number = |text: &str| text.len() >= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_of_series = |name: &str| {
        let place = name.strip_prefix(&*stem).and_then(|rest| rest.strip_prefix('-'));
        let place = place.and_then(|rest| rest.strip_suffix(&*extension)).and_then(|rest| rest.strip_suffix('.'));
        place.and_then(|place| place.split_once("-of-")).is_some_and(|(at, of)| is_number(at) && is_number(of))
    };
    let known = |path: &Path| {
        written.iter().any(|written| written.file_name() == path.file_name())
            || inputs.iter().any(|input| {
                input.canonicalize().ok().is_some_and(|input| path.canonicalize().is_ok_and(|path| path == input))
            })
    };
    // A folder that cannot be listed, as one of an object store, counts as empty.
    let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of_series = listed.filter(|entry| entry.file_name().to_str().is_some_and(is_of_series));
    let mut left: Vec<PathBuf> = of_series.map(|entry| entry.path()).filter(|path| !known(path)).collect();
    left.sort();
    left
}
