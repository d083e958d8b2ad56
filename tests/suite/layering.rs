//! A room imports only from rooms before it in this list, and some packages are known to their owners alone.
//!
//! The tables of `lib.rs` show the same order, from top to bottom.

use std::fs;
use std::path::{Path, PathBuf};

/// In the order of imports: each room may import from those before it. `main` and `lib` may see all.
const ROOMS: [&str; 15] = [
    "error", "batch", "grid", "kernels", "state", "linalg", "metrics", "objects", "archive", "store", "report", "sql",
    "pipeline", "cluster", "cli",
];

/// The same inside `sql`. `sql` itself may see all.
const SQL: [&str; 9] =
    ["error", "settings", "values", "functions", "aggregates", "sources", "travel", "rules", "session"];

/// Rooms that may know a package which is not for everybody.
const OWNERS: [(&str, &[&str]); 21] = [
    ("cudarc", &["kernels"]),
    ("faer", &["kernels", "linalg"]),
    ("datafusion", &["sql", "cluster", "cli"]),
    ("datafusion_proto", &["cluster"]),
    ("ballista_core", &["cluster"]),
    ("ballista_scheduler", &["cluster"]),
    ("ballista_executor", &["cluster"]),
    ("tonic", &["cluster"]),
    ("object_store", &["objects"]),
    ("tokio", &["objects", "sql", "cluster", "cli"]),
    ("parquet", &["archive", "report"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustyline", &["cli"]),
    ("signal_hook", &["cli"]),
    ("terminal_size", &["cli"]),
    ("comfy_table", &["report"]),
    ("safetensors", &["archive"]),
    ("flate2", &["archive"]),
    ("lz4_flex", &["archive"]),
    ("zstd", &["archive"]),
];

/// The same inside `archive`; its `mod` names them all.
const ARCHIVE: [&str; 63] = [
    "escape",
    "foreign",
    "braces",
    "captures",
    "dtype",
    "damage",
    "read_at",
    "fingerprint",
    "zip",
    "checksums",
    "names",
    "natural",
    "passed",
    "request",
    "rows",
    "codes",
    "row_policy",
    "vectors",
    "normalise",
    "container",
    "schema",
    "floats",
    "nested",
    "class_names",
    "arrays",
    "parquet",
    "npy",
    "safetensors",
    "pt",
    "ipc",
    "text",
    "rows_format",
    "formats",
    "tensor_index",
    "labelled",
    "wide",
    "label_files",
    "by_path",
    "source",
    "places",
    "siblings",
    "pattern",
    "many",
    "discover",
    "keys",
    "unusable",
    "choose",
    "open_files",
    "catalogue",
    "file_columns",
    "grouping",
    "head",
    "duplicates",
    "unit_rows",
    "chunk",
    "rows_seen",
    "opened",
    "pooling",
    "planner",
    "plan",
    "read",
    "labels",
    "table",
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

/// What code names after a prefix as `crate::`: `state` in `crate::state`, and each of `crate::{batch, state::Merge}`.
fn named_after(prefix: &str, code: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut named = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let rest = &code[at + prefix.len()..];
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
    let below = named_after("crate::", &text)
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

/// The names that `archive` hands on, and the modules that they come from.
fn handed_on(text: &str) -> Vec<(String, String)> {
    let lines = code(text).replace('\n', " ");
    let uses = lines.split(';').filter_map(|line| line.rsplit_once("use ").map(|(_, path)| path.trim().to_owned()));
    let mut known = Vec::new();
    for path in uses.filter(|path| !path.starts_with("crate::")) {
        let Some((module, names)) = path.split_once("::") else { continue };
        for name in names.trim_matches(['{', '}']).split(',') {
            let name = name.rsplit(" as ").next().unwrap_or(name).trim();
            known.push((name.to_owned(), module.to_owned()));
        }
    }
    known
}

/// What a file of `archive` may not import or know. Its path begins below `archive`.
fn archive_offences(path: &Path, text: &str, handed_on: &[(String, String)]) -> Vec<String> {
    let parts: Vec<&str> = path.iter().map(|part| part.to_str().unwrap()).collect();
    let own = parts[0].trim_end_matches(".rs");
    let text = code(text);
    let is_crate = |at: usize| !text[..at].ends_with(|c: char| c == ':' || c == '_' || c.is_alphanumeric());
    let mut offences = Vec::new();
    if own != "parquet" && path != Path::new("head/parquet.rs") {
        let known = text.match_indices("parquet::").any(|(at, _)| is_crate(at));
        offences.extend(known.then(|| format!("{own} knows parquet")));
    }
    if own != "ipc" && text.contains("arrow_ipc::") {
        offences.push(format!("{own} knows arrow_ipc"));
    }
    let Some(place) = ARCHIVE.iter().position(|known| *known == own) else { return offences };
    let depth = parts.len() - usize::from(path.ends_with("mod.rs"));
    let named = [named_after("crate::archive::", &text), named_after(&"super::".repeat(depth), &text)].concat();
    for name in named {
        let module = handed_on.iter().find(|(known, _)| *known == name).map_or(&name, |(_, module)| module);
        if ARCHIVE.iter().position(|known| known == module).is_some_and(|other| other > place) {
            offences.push(format!("{own} imports {module}"));
        }
    }
    offences
}

#[test]
fn modules_of_the_archive_import_only_from_modules_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/archive");
    let handed_on = handed_on(&fs::read_to_string(root.join("mod.rs")).unwrap());
    assert!(handed_on.contains(&("pooled_summary".to_owned(), "pooling".to_owned())), "{handed_on:?}");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let mut seen = Vec::new();
    let mut all = Vec::new();
    for path in &files {
        let below = path.strip_prefix(&root).unwrap();
        // Tests may look at everything.
        if below.ends_with("tests.rs") || below == Path::new("mod.rs") {
            continue;
        }
        seen.push(room(path, &root));
        let offences = archive_offences(below, &fs::read_to_string(path).unwrap(), &handed_on);
        all.extend(offences.into_iter().map(|offence| format!("{}: {offence}", path.display())));
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
    for module in ARCHIVE {
        assert!(seen.iter().any(|found| found == module), "there is no module {module}");
    }
    for module in seen {
        assert!(ARCHIVE.contains(&module.as_str()), "{module} has no place in the order");
    }
}

#[test]
fn offences_in_the_archive_are_seen() {
    let handed_on = [("Archive".to_owned(), "opened".to_owned())];
    let offences = |path: &str, text: &str| archive_offences(Path::new(path), text, &handed_on);
    assert_eq!(offences("keys.rs", "use super::planner::Planner;"), ["keys imports planner"]);
    assert_eq!(offences("keys.rs", "use super::{Archive, dtype::Dtype};"), ["keys imports opened"]);
    assert_eq!(offences("parquet/file.rs", "use crate::archive::discover::Found;"), ["parquet imports discover"]);
    assert_eq!(offences("parquet/pages/mod.rs", "use super::super::discover::Found;"), ["parquet imports discover"]);
    assert_eq!(offences("plan.rs", "let x = parquet::basic::Type::FLOAT;"), ["plan knows parquet"]);
    assert!(offences("plan.rs", "use super::parquet::footer;\nuse super::planner::Planner;").is_empty());
    assert!(offences("parquet/pages/mod.rs", "use super::source::Source;\nuse parquet::basic::Type;").is_empty());
    assert!(offences("head/parquet.rs", "use parquet::arrow::ProjectionMask;").is_empty());
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
