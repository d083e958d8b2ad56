//! A room imports only from rooms above it, and faer stays where it belongs.

use std::fs;
use std::path::{Path, PathBuf};

/// From the bottom of the import graph to its top; `main` and `lib` may see all.
const ROOMS: [&str; 13] = [
    "error", "batch", "grid", "kernels", "state", "linalg", "metrics", "archive", "store", "report", "sql", "pipeline",
    "cli",
];

/// Inside `sql`, from the bottom to the top; `sql` itself, which registers everything, may see all.
const SQL: [&str; 8] = ["error", "settings", "values", "functions", "aggregates", "sources", "rules", "session"];

/// Rooms that may know a package which is not for everybody.
const OWNERS: [(&str, &[&str]); 11] = [
    ("faer", &["kernels", "linalg"]),
    ("datafusion", &["sql", "cli"]),
    ("tokio", &["sql", "cli"]),
    ("parquet", &["archive", "report"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustyline", &["cli"]),
    ("signal_hook", &["cli"]),
    ("terminal_size", &["cli"]),
    ("comfy_table", &["report"]),
    ("safetensors", &["archive"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The room of a file: its first component below `src`.
fn room(path: &Path, root: &Path) -> String {
    let first = path.strip_prefix(root).unwrap().iter().next().unwrap();
    Path::new(first).file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The rooms that a line of code names: `crate::state`, and each of `crate::{batch, state::Merge}`.
fn rooms_named(code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && !c.is_whitespace() => {
                        named.push(word(&group[i..]));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            named.push(word(rest));
        }
    }
    named
}

/// Code without comments and doc links.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

/// What a file of a folder imports from folders above it in the order of its room.
fn inner_offences(room: &str, order: &[&str], folder: &str, text: &str) -> Vec<String> {
    let place = |name: &str| order.iter().position(|known| *known == name);
    let Some(own) = place(folder) else { return Vec::new() };
    let start = format!("crate::{room}::");
    // Tests may stand on everything.
    let text = code(text.split("#[cfg(test)]").next().unwrap_or(text));
    let named = text.match_indices(&start).map(|(at, _)| {
        let rest = &text[at + start.len()..];
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>()
    });
    let above = named.filter(|named| place(named).is_none_or(|other| other > own));
    above.map(|named| format!("{room}::{folder} imports {room}::{named}")).collect()
}

/// The folder or file of a room that a path lies in.
fn folder(path: &Path, root: &Path) -> Option<String> {
    let inner = path.strip_prefix(root).ok()?.iter().nth(1)?;
    Some(Path::new(inner).file_stem()?.to_str()?.to_owned())
}

fn offences(room: &str, text: &str) -> Vec<String> {
    let Some(own) = ROOMS.iter().position(|known| *known == room) else { return Vec::new() };
    let text = code(text);
    let below = rooms_named(&text)
        .into_iter()
        .filter(|named| ROOMS.iter().position(|known| known == named).is_some_and(|other| other > own))
        .map(|named| format!("{room} imports {named}"));
    let foreign = OWNERS
        .iter()
        .filter(|(package, owners)| text.contains(&format!("{package}::")) && !owners.contains(&room))
        .map(|(package, _)| format!("{room} knows {package}"));
    below.chain(foreign).collect()
}

#[test]
fn rooms_import_only_from_rooms_above() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut seen: Vec<String> = files.iter().map(|path| room(path, &root)).collect();
    seen.sort();
    seen.dedup();
    for room in &seen {
        assert!(ROOMS.contains(&room.as_str()) || room == "lib" || room == "main", "{room} has no place in the order");
    }
    for room in ROOMS {
        assert!(seen.iter().any(|found| found == room), "there is no room {room}");
    }
    let all: Vec<String> = files
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            let room = room(path, &root);
            let mut found = offences(&room, &text);
            if room == "sql" {
                let folder = folder(path, &root).unwrap();
                found.extend(inner_offences("sql", &SQL, &folder, &text));
                assert!(folder == "mod" || SQL.contains(&folder.as_str()), "sql::{folder} has no place in the order");
            }
            found.into_iter().map(move |offence| format!("{}: {offence}", path.display()))
        })
        .collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// Lines of the command line that name SQL without its feature: `#[cfg]` stands on one of the three lines before.
fn ungated(text: &str) -> Vec<usize> {
    let text = code(text);
    let lines: Vec<&str> = text.lines().collect();
    let is_gated = |at: usize| lines[at.saturating_sub(3)..at].iter().any(|line| line.contains("feature = \"sql\""));
    (0..lines.len()).filter(|&at| lines[at].contains("sql::") && !is_gated(at)).map(|at| at + 1).collect()
}

#[test]
fn the_command_line_names_sql_behind_its_feature() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.retain(|path| !path.starts_with(root.join("sql")));
    assert!(files.len() > 10, "the command line lies elsewhere");
    for path in files {
        let lines = ungated(&fs::read_to_string(&path).unwrap());
        assert!(lines.is_empty(), "{}: SQL without its feature in lines {lines:?}", path.display());
    }
    assert_eq!(ungated("use crate::sql::Query;\n#[cfg(feature = \"sql\")]\nuse crate::sql::Access;"), [1]);
}

/// Clippy refuses `_ =>` on an enum where this stands, so that a new format compiles only once every place handles it.
#[test]
fn no_match_on_the_format_has_a_wildcard() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let texts = files.iter().map(|path| (path, fs::read_to_string(path).unwrap()));
    let imports = |text: &str| {
        let mut lines =
            text.lines().filter(|line| line.contains("crate::report::") || line.contains("super::format::"));
        lines.any(|line| line.starts_with("use ") && line.contains("Format"))
    };
    let matching: Vec<_> = texts.filter(|(path, text)| imports(text) || path.ends_with("report/format.rs")).collect();
    assert!(matching.len() >= 4, "the format is matched on elsewhere");
    for (path, text) in matching {
        assert!(text.contains("[warn(clippy::wildcard_enum_match_arm)]"), "{}", path.display());
    }
}

#[test]
fn offences_are_seen() {
    assert_eq!(offences("state", "use crate::{batch::Label, metrics::{nc1, nc2}};"), ["state imports metrics"]);
    assert_eq!(offences("metrics", "let x = crate::archive::open();"), ["metrics imports archive"]);
    assert_eq!(offences("metrics", "use faer::Mat;"), ["metrics knows faer"]);
    assert!(offences("cli", "use crate::{archive::{Archive, Key}, error};").is_empty());
    assert!(offences("batch", "// as crate::metrics::card does").is_empty());
    let text =
        "use crate::sql::error::external;\nuse crate::sql::rules::fuse::FuseMetrics;\nuse crate::sql::values::head;";
    assert_eq!(inner_offences("sql", &SQL, "values", text), ["sql::values imports sql::rules"]);
    assert_eq!(inner_offences("sql", &SQL, "rules", text), Vec::<String>::new());
    assert_eq!(
        inner_offences("sql", &SQL, "values", "use crate::sql::register;"),
        ["sql::values imports sql::register"]
    );
}
