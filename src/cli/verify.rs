//! `nckit verify`.

use std::fmt::Write as _;
use std::path::Path;

use super::args::Verify;
use super::console::{Console, count, counted};
use super::merge::groups;
use super::stdout;
use crate::archive::escaped;
use crate::error::Result;
use crate::pipeline::{Comparison, differences};
use crate::store::{Shape, StateFile};

/// The most differences that are listed; the rest are counted.
const LISTED: usize = 20;

/// The most groups that are listed.
const LISTED_GROUPS: usize = 50;

/// Checks the states; whether they match their inputs.
pub(super) fn run(args: &Verify, console: &Console) -> Result<bool> {
    let mut sound = true;
    for path in &args.states {
        let state = StateFile::read(path)?;
        // Decoding checks every state against itself and the ledger.
        state.shapes().map_err(|error| error.with_default("file", path.display()))?;
        let mut text = String::new();
        let compared = if args.inputs.is_empty() { None } else { Some(differences(&state, &args.inputs, args.deep)?) };
        let name = escaped(&path.to_string_lossy());
        let _ = writeln!(text, "{name}   {}", verdict(&state, compared.as_ref(), args.deep));
        let differences = compared.map_or_else(Vec::new, |compared| compared.differences);
        for difference in differences.iter().take(LISTED) {
            let _ = writeln!(text, "  {}", escaped(difference));
        }
        if differences.len() > LISTED {
            let _ = writeln!(text, "  … and {} more", count((differences.len() - LISTED) as u64));
        }
        sound &= differences.is_empty();
        if let Some(plan) = &state.unfinished {
            let units = counted(plan.units, "unit", "s");
            console.warn(&format!("{}: not finished, {} of {units}", path.display(), state.ledger.units()));
        }
        stdout::print(&text)?;
    }
    Ok(sound)
}

fn verdict(state: &StateFile, compared: Option<&Comparison>, deep: bool) -> String {
    let (used, skipped) = state.ledger.rows();
    let left_out = if skipped > 0 { format!(" and {} left out", count(skipped)) } else { String::new() };
    let holds = format!(
        "{}{left_out} · {} · {} · checksums and sums agree",
        counted(used, "row", "s"),
        counted(state.ledger.units() as u64, "unit", "s"),
        groups(state),
    );
    let Some(compared) = compared else { return format!("ok: {holds}") };
    let n = compared.differences.len();
    if n > 0 {
        return format!("{} from the inputs: {holds}", counted(n as u64, "difference", "s"));
    }
    let files = counted(compared.files as u64, "file", "s");
    let by = if deep {
        format!(
            "size, footer, and the features and labels of {}",
            counted(compared.row_groups as u64, "row group", "s")
        )
    } else {
        "size and footer".to_owned()
    };
    format!("ok: {holds}, and the inputs match what was counted ({files}, by {by})")
}

/// Describes a state file.
pub(super) fn describe(path: &Path) -> Result<String> {
    let state = StateFile::read(path)?;
    let shapes = state.shapes().map_err(|error| error.with_default("file", path.display()))?;
    let (used, skipped) = state.ledger.rows();
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<13}{}", escaped(&value));
    };
    line(
        "state",
        match &state.unfinished {
            Some(plan) => {
                format!("not finished: {} of {}", count(state.ledger.units() as u64), counted(plan.units, "unit", "s"))
            }
            None => "finished".to_owned(),
        },
    );
    line(
        "files",
        format!(
            "{} · {}",
            count(state.ledger.files().count() as u64),
            counted(state.ledger.units() as u64, "row group", "s")
        ),
    );
    line("rows", format!("N = {}", count(used)));
    if skipped > 0 {
        line("left out", counted(skipped, "row", "s"));
    }
    for name in state.ledger.left_out() {
        line("damaged", name.to_owned());
    }
    for (name, value) in state.provenance.shown().into_iter().filter(|(_, value)| !value.is_empty()) {
        line(&name, value);
    }
    line("groups", count(shapes.len() as u64));
    for Shape { key, rows, classes, dim, blocks, rows_of_blocks } in shapes.iter().take(LISTED_GROUPS) {
        let pairs = state.provenance.group_by.iter().zip(key).map(|(name, value)| format!("{name}={value}"));
        let name = pairs.map(|pair| pair + " ").collect::<String>();
        let mut shape = format!("N = {} · K = {} · D = {}", count(*rows), count(*classes as u64), count(*dim as u64));
        if state.provenance.blocks.is_some() {
            let (fewest, most) = (count(*rows_of_blocks.start()), counted(*rows_of_blocks.end(), "row", "s"));
            let _ = write!(shape, "   ({} of {fewest} to {most})", counted(*blocks as u64, "block", "s"));
        }
        line("", format!("{name}{}{shape}", if name.is_empty() { "" } else { "  " }));
    }
    if shapes.len() > LISTED_GROUPS {
        line("", format!("… and {} more", count((shapes.len() - LISTED_GROUPS) as u64)));
    }
    Ok(text)
}
