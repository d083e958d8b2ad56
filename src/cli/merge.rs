//! `nckit merge`.

use std::path::PathBuf;

use super::args::Merge;
use super::console::{Console, bytes, counted};
use crate::error::{Error, Result};
use crate::store::{Lock, StateFile, refuse_inputs};

pub(super) fn run(args: &Merge, console: &Console) -> Result<()> {
    let _lock = Lock::acquire(&args.output)?;
    if StateFile::size_at(&args.output)?.is_some() && !args.overwrite {
        return Err(Error::output("the state file already exists")
            .with("file", args.output.display())
            .help("--overwrite replaces it, another -o keeps it"));
    }
    let inputs = args.states.iter().chain(&args.subtract).cloned();
    refuse_inputs([args.output.as_path()], inputs)?;
    let mut merged = read(&args.states, args.allow_duplicates)?;
    let name = names(&args.states);
    for path in &args.subtract {
        let other = StateFile::read(path)?;
        merged.subtract(&name, (&path.display().to_string(), &other))?;
    }
    merged.write(&args.output, args.overwrite)?;
    let size = StateFile::size_at(&args.output)?.unwrap_or(0);
    let units = counted(merged.ledger.units() as u64, "unit", "s");
    let groups = counted(merged.groups.len() as u64, "group", "s");
    console.fact("state", &format!("{}   {units} · {groups} · {}", args.output.display(), bytes(size)));
    Ok(())
}

fn names(paths: &[PathBuf]) -> String {
    match paths {
        [path] => path.display().to_string(),
        _ => format!("the merge of {} states", paths.len()),
    }
}

/// Reads states and merges them.
pub(super) fn read(paths: &[PathBuf], allow_duplicates: bool) -> Result<StateFile> {
    let mut files = paths.iter().map(|path| Ok((path.display().to_string(), StateFile::read(path)?)));
    let (name, mut merged): (String, StateFile) =
        files.next().ok_or_else(|| Error::usage("no state is given")).flatten()?;
    let others: Vec<(String, StateFile)> = files.collect::<Result<_>>()?;
    merged.merge(&name, &others, allow_duplicates)?;
    Ok(merged)
}
