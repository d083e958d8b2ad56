//! The queries that come with the program: each is a page, and gives what was computed independently.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::cli::nckit;

/// The dozen, at least.
const FEWEST: usize = 12;

/// Names and texts.
fn queries() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| (name(&path), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn run(name: &str, arguments: &[&str]) -> Vec<Map<String, Value>> {
    let output = nckit(&[&["sql", "--format", "ndjson", "-f", name], arguments].concat());
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Goldens were made in float64 of the rows as they are; ours are rounded to the grid, which leaves 1e-7 here.
fn same(found: &Value, golden: &Value) -> bool {
    match (found, golden) {
        (Value::Object(state), Value::String(text)) => {
            let counts = state["counts"].as_array().unwrap();
            let rows: u64 = counts.iter().map(|count| count.as_u64().unwrap()).sum();
            *text == format!("state(N={rows}, K={}, D={})", counts.len(), state["dim"])
        }
        (Value::Number(found), Value::Number(golden)) if golden.is_f64() => {
            let (found, golden) = (found.as_f64().unwrap(), golden.as_f64().unwrap());
            (found - golden).abs() <= 1e-6 * golden.abs()
        }
        _ => found == golden,
    }
}

#[test]
fn every_query_gives_its_golden() {
    let queries = queries();
    assert!(queries.len() >= FEWEST, "{} queries", queries.len());
    let folder = tempfile::tempdir().unwrap();
    let states = folder.path().join("states.parquet");
    let states = states.to_str().unwrap();
    let hive = "features=tests/data/digits/hive";
    let stored = nckit(&["sql", "-f", "store_states", "--table", hive, "--param", "layer=h3", "-o", states]);
    assert!(stored.status.success(), "{}", String::from_utf8_lossy(&stored.stderr));
    for name in queries.keys() {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/queries/{name}.json"));
        let golden = fs::read_to_string(golden).unwrap_or_else(|error| panic!("{name} has no golden: {error}"));
        let golden: Value = serde_json::from_str(&golden).unwrap();
        let arguments = golden["arguments"].as_array().unwrap().iter();
        let arguments: Vec<String> = arguments.map(|text| text.as_str().unwrap().replace("{states}", states)).collect();
        let found = run(name, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let golden = golden["rows"].as_array().unwrap();
        assert_eq!(found.len(), golden.len(), "{name}");
        for (found, golden) in found.iter().zip(golden) {
            let golden = golden.as_object().unwrap();
            assert_eq!(found.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>(), "{name}");
            for (column, value) in golden {
                assert!(same(&found[column], value), "{name}: {column} is {}, and not {value}", found[column]);
            }
        }
    }
}

#[test]
fn every_query_is_a_page() {
    for (name, text) in queries() {
        let header: Vec<&str> = text.lines().take_while(|line| line.starts_with("--")).collect();
        assert!(header[0].starts_with(&format!("-- {name}: ")) && header[0].ends_with('?'), "{name}: {}", header[0]);
        for part in ["-- Source:  ", "-- Inputs:  ", "-- Outputs: "] {
            assert!(header.iter().any(|line| line.starts_with(part)), "{name} has no {part}");
        }
        let header = header.join(" ");
        let words = |text: &str| -> BTreeSet<String> {
            let parameters = text.split('$').skip(1);
            parameters.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
        };
        let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("--")).collect();
        assert_eq!(words(&header), words(&body.join("\n")), "{name}: parameters that are told and those that are used");
        assert!(text.lines().all(|line| line.len() <= 140), "{name} has a long line");
    }
}

#[test]
fn every_query_comes_with_the_program() {
    let listed = nckit(&["sql", "--list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names: BTreeSet<&str> =
        listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split(' ').next()).collect();
    let queries = queries();
    assert_eq!(names, queries.keys().map(String::as_str).collect());
    for (name, text) in queries {
        assert_eq!(String::from_utf8(nckit(&["sql", "--list", &name]).stdout).unwrap(), text);
    }
}
