//! `nckit merge`.

use std::path::{Path, PathBuf};

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
    let mut merged = merged(args.states.iter().map(|path| (path.as_path(), &[][..])), args.allow_duplicates)?;
    let name = names(&args.states);
    for path in &args.subtract {
        let other = StateFile::read(path)?;
        merged.subtract(&name, (&path.display().to_string(), &other))?;
    }
    merged.write(&args.output, args.overwrite)?;
    let size = StateFile::size_at(&args.output)?.unwrap_or(0);
    let units = counted(merged.ledger.units() as u64, "unit", "s");
    let groups = groups(&merged);
    console.fact("state", &format!("{}   {units} · {groups} · {}", args.output.display(), bytes(size)));
    Ok(())
}

fn names(paths: &[PathBuf]) -> String {
    match paths {
        [path] => path.display().to_string(),
        _ => format!("the merge of {} states", paths.len()),
    }
}

/// How many groups there are, and how many blocks each of them has: `2 groups of 32 blocks`.
pub(super) fn groups(states: &StateFile) -> String {
    let groups = counted(states.group_count() as u64, "group", "s");
    match &states.provenance.blocks {
        Some(dealing) => format!("{groups} of {} blocks", dealing.blocks),
        None => groups,
    }
}

/// Reads states, leaves the groups of each that are asked for, and merges them.
pub(super) fn merged<'a>(
    states: impl Iterator<Item = (&'a Path, &'a [(String, String)])>,
    allow_duplicates: bool,
) -> Result<StateFile> {
    let mut files = states.map(|(path, filters)| {
        let mut state = StateFile::read(path)?;
        state.pick(filters).map_err(|error| error.with("file", path.display()))?;
        Ok((path.display().to_string(), state))
    });
    let (name, mut merged): (String, StateFile) =
        files.next().ok_or_else(|| Error::usage("no state is given")).flatten()?;
    let others: Vec<(String, StateFile)> = files.collect::<Result<_>>()?;
    merged.merge(&name, &others, allow_duplicates)?;
    Ok(merged)
}
