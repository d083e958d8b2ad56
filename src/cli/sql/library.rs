//! The queries that come with the program.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Error, Result, did_you_mean};

macro_rules! library {
    ($($name:literal),* $(,)?) => {
        /// Names and texts, by name.
        const QUERIES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../queries/", $name, ".sql")))),*];
    };
}

library![
    "classes",
    "confusable_pairs",
    "early_stopping",
    "leave_one_out",
    "merge_states",
    "nc1_along_training",
    "nc2_against_gnc2",
    "nc3_with_heads",
    "nc4_with_heads",
    "nc5_out_of_distribution",
    "rare_and_frequent",
    "reference_results",
    "runs",
    "store_states",
];

/// The text of a file or, if there is no such file, of the query with that name.
pub(super) fn read(name: &str) -> Result<String> {
    let path = Path::new(name);
    if !path.exists()
        && let Some((_, text)) = QUERIES.iter().find(|(known, _)| *known == name.trim_end_matches(".sql"))
    {
        return Ok((*text).to_owned());
    }
    std::fs::read_to_string(path).map_err(|error| {
        if error.kind() != std::io::ErrorKind::NotFound {
            return Error::io("cannot read the statements").with("file", path.display()).with("detail", &error);
        }
        let missing = Error::missing("no such file or query").with("file", path.display());
        let near = did_you_mean(name, QUERIES.iter().map(|(name, _)| *name));
        missing.help(near.unwrap_or_else(|| "nckit sql --list shows the queries that come with nckit".to_owned()))
    })
}

/// The text of a query; the names of all queries with their questions if the name is empty.
pub(super) fn list(name: &str) -> Result<String> {
    if !name.is_empty() {
        let known = QUERIES.iter().find(|(known, _)| *known == name.trim_end_matches(".sql"));
        return known.map(|(_, text)| (*text).to_owned()).ok_or_else(|| {
            let near = did_you_mean(name, QUERIES.iter().map(|(name, _)| *name));
            let help = near.unwrap_or_else(|| "--list without a name shows all".to_owned());
            Error::usage("unknown query").with("query", name).help(help)
        });
    }
    let width = QUERIES.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, query) in QUERIES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:width$}  {}", question(query));
    }
    text.push_str("\nnckit sql --list NAME shows one, with its tables and parameters;\nnckit sql -f NAME --table features=PATH --param NAME=VALUE runs it\n");
    Ok(text)
}

/// The question of a query, from its first line.
fn question(query: &str) -> &str {
    let first = query.lines().next().unwrap_or_default();
    first.split_once(": ").map_or(first, |(_, question)| question)
}
