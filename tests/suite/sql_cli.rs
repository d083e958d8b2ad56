//! `nckit sql` as people run it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use arrow::array::AsArray;
use arrow::datatypes::Float64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

#[cfg(unix)]
use super::cli::lose_interest;
use super::cli::nckit;

const FLAT: &str = "features=tests/data/digits/flat";
const NC1: &str = "SELECT split, nc1_pinv(feature, label) FROM features GROUP BY split ORDER BY split";

fn sql(arguments: &[&str]) -> Output {
    nckit(&[&["sql"], arguments].concat())
}

fn stdout(arguments: &[&str]) -> String {
    let output = sql(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs what must fail with that code, and returns what it says.
fn failure(code: i32, arguments: &[&str]) -> String {
    let output = sql(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains("error: "), "{said}");
    said
}

#[test]
fn a_pipe_gets_the_same_numbers_as_from_measure() {
    let measured = nckit(&["measure", "tests/data/digits/flat", "--group-by=split", "--metrics=nc1_pinv"]);
    let number = |line: &str| serde_json::from_str::<Value>(line).unwrap()["nc1_pinv"].to_string();
    let measured: Vec<String> = String::from_utf8(measured.stdout).unwrap().lines().map(number).collect();
    for threads in ["1", "2", "7"] {
        let found = stdout(&["-c", NC1, "--table", FLAT, "--threads", threads]);
        assert_eq!(found.lines().map(number).collect::<Vec<_>>(), measured);
    }
    assert_eq!(measured.len(), 3);
}

#[test]
fn a_table_says_which_files_it_passes_over() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    fs::create_dir(&archive).unwrap();
    fs::copy("tests/data/digits/flat/h3_final.parquet", archive.join("a.parquet")).unwrap();
    fs::write(archive.join("b.npy"), b"\x93NUMPY\x01\0v\0{'descr'").unwrap();
    let path = archive.to_str().unwrap();
    let from_path = format!("SELECT count(*) AS n FROM '{path}' a, '{path}' b WHERE a.label > b.label");
    let table = format!("t={path}");
    for arguments in
        [vec!["-c", &from_path], vec!["-c", "SELECT 1 AS n; SELECT count(*) AS n FROM t", "--table", &table]]
    {
        let output = sql(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{said}");
        assert_eq!(said.matches("passed over").count(), 1, "{said}");
        assert!(said.contains("b.npy (a NumPy array (.npy))"), "{said}");
    }
    assert!(sql(&["-q", "-c", &from_path]).stderr.is_empty());
}

#[test]
fn statements_come_from_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.sql");
    fs::write(&file, "SELECT 1 AS a;\n-- and\nSELECT 2 AS a").unwrap();
    assert_eq!(stdout(&["-f", file.to_str().unwrap()]), "{\"a\":1}\n{\"a\":2}\n");
    let mut child = Command::new(env!("CARGO_BIN_EXE_nckit"))
        .args(["sql", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT 3 AS a").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"a\n3\n");
}

#[test]
fn results_are_written_whole_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (json, csv, parquet) = (file("a.json"), file("a.csv"), file("a.parquet"));
    let base = ["-c", NC1, "--table", FLAT];
    let outputs = ["-o", &json, "-o", &csv, "-o", &parquet];
    assert_eq!(stdout(&[&base[..], &outputs].concat()), "", "what went to a file does not go to a pipe too");
    let whole: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(whole["rows"].as_array().unwrap().len(), 3);
    assert_eq!(whole["options"]["centring"], "class");
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(&parquet).unwrap()).unwrap();
    let rows = reader.build().unwrap().next().unwrap().unwrap();
    let number = rows.column(1).as_primitive::<Float64Type>().value(2);
    assert_eq!(whole["rows"][2]["nc1_pinv"].to_string(), number.to_string());
    let text = fs::read_to_string(&csv).unwrap();
    assert_eq!(text.lines().last().unwrap(), format!("train,{number}"));

    assert!(failure(73, &[&base[..], &["-o", &csv]].concat()).contains("--overwrite"));
    assert!(sql(&[&base[..], &["-o", &csv, "--overwrite"]].concat()).status.success());
    failure(73, &["-c", "SELECT * FROM 'no/such/archive'", "-o", &file("no/such/folder.csv")]);
    failure(2, &["-c", "SELECT 1; SELECT 2", "-o", &file("b.csv")]);
    failure(2, &["-c", "SELECT 1", "-o", &file("b.xyz")]);
    // An error in the middle leaves nothing behind.
    failure(65, &["-c", "SELECT nc1_pinv(feature, label) FROM 'tests/data/digits/hive'", "-o", &file("b.csv")]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn fault_25_a_session_only_reads_unless_it_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.parquet");
    let copy = format!("COPY (SELECT nc_state(feature, label) AS s FROM features) TO '{}'", file.display());
    assert!(failure(2, &["-c", &copy, "--table", FLAT]).contains("--allow-write"));
    assert!(!file.exists());
    stdout(&["-c", &copy, "--table", FLAT, "--allow-write"]);
    let again = format!("SELECT nc1_pinv_of(s) FROM '{}'", file.display());
    let once = stdout(&["-c", "SELECT nc1_pinv(feature, label) FROM features", "--table", FLAT]);
    assert_eq!(stdout(&["-c", &again]), once, "a state keeps every bit");
}

#[test]
fn errors_say_what_and_whose_fault() {
    let from = |select: &str| format!("SELECT {select} FROM features");
    let states = "(SELECT epoch, nc_state(feature, label) AS s FROM features GROUP BY epoch)";
    let head = "(SELECT 'tests/data/digits/classifier/epoch=0/classifier.parquet' AS h)";
    let nested = |open: &str, close: &str| format!("SELECT {}1{}", open.repeat(60), close.repeat(60));
    let cases: [(i32, String, &str); 20] = [
        (2, "SELEC 1".into(), "Line: 1"),
        (2, from("nc1_pinv(features, label)"), "did you mean feature?"),
        (2, from("nc1_pinf(feature, label)"), "did you mean nc1_pinv?"),
        (2, from("nc1_pinv(label, feature)"), "not a vector"),
        (2, from("nc1_pinv(feature)"), "nc1_pinv(feature, label [, grid])"),
        (2, from("layer, nc1_pinv(feature, label)"), "GROUP BY"),
        (2, from("nc1_pinv(DISTINCT feature, label)"), "DISTINCT"),
        (2, "SELECT 1 FROM feature".into(), "did you mean features?"),
        (2, "SELECT $x".into(), "--param x=VALUE"),
        (2, "SET nc.centering = 'sample'".into(), "centring"),
        (2, "SET nc.memory = 'much'".into(), "nc.memory"),
        (66, "SELECT 1 FROM 'no/such.parquet'".into(), "no/such.parquet"),
        (66, from("nc3_cos_mean(feature, label, 'no/such/head.npy')"), "head.npy"),
        (65, "SELECT nc1_pinv(feature, label) FROM 'tests/data/digits/hive'".into(), "GROUP BY"),
        (2, "SELECT CAST('x' AS INT)".into(), "x"),
        (2, format!("SELECT max(s) FROM {states}"), "have no order"),
        (2, format!("SELECT min(s) OVER () FROM {states}"), "have no order"),
        (2, format!("SELECT nc3_cos_mean(feature, label, h) FROM features CROSS JOIN {head}"), "add it to GROUP BY"),
        (2, nested("(", ")"), "nests too deep"),
        (2, nested("(SELECT ", ")"), "nests too deep"),
    ];
    for (code, statement, hint) in cases {
        let said = failure(code, &["-c", &statement, "--table", FLAT]);
        assert!(said.contains(hint), "{statement} says nothing of {hint}:\n{said}");
        for noise in ["DataFusion", "External error", "Error during planning", "datafusion.public"] {
            assert!(!said.contains(noise), "{statement} says {noise}:\n{said}");
        }
    }
    failure(2, &["-c", "SELECT 1", "--param", "x=1"]);
    assert!(failure(2, &["-c", "SELECT $x", "--param", "x=1", "--param", "x=2"]).contains("twice"));
    assert!(failure(2, &["-c", "SELECT 1", "--table", "t=a", "--table", "t=b"]).contains("twice"));
    failure(66, &["-c", "SELECT 1", "--table", "t=no/such/archive"]);
    failure(66, &["-f", "nc1_along_trainin", "--table", FLAT]);
    failure(2, &["--list", "nc1_along_trainin"]);
    failure(75, &["-c", NC1, "--table", FLAT, "--memory", "1KiB"]);
}

#[test]
fn statements_may_begin_with_a_comment_or_a_mark() {
    assert_eq!(stdout(&["-c", "-- one\nSELECT 1 AS a"]), "{\"a\":1}\n");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.sql");
    fs::write(&file, "\u{feff}SELECT 1 AS a;").unwrap();
    assert_eq!(stdout(&["-f", file.to_str().unwrap()]), "{\"a\":1}\n");
}

/// A state that a later version wrote.
#[test]
fn a_state_of_another_version_is_refused_by_its_version() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("states.parquet");
    let next = "SELECT named_struct('version', 3, 'grid', s.grid, 'significand_bits', s.significand_bits,
        'skipped_nulls', s.skipped_nulls, 'skipped_nonfinite', s.skipped_nonfinite, 'dim', s.dim, 'history', s.history,
        'label_kind', s.label_kind, 'labels', s.labels, 'counts', s.counts, 'shifts', s.shifts, 'sums', s.sums,
        'low', s.low, 'squares', s.squares, 'gram', s.gram) AS s FROM (SELECT nc_state(feature, label) AS s FROM features)";
    stdout(&["-c", next, "--table", FLAT, "-o", file.to_str().unwrap()]);
    for function in ["nc_merge(s)", "nc1_pinv_of(s)"] {
        let said = failure(65, &["-c", &format!("SELECT {function} FROM '{}'", file.display())]);
        assert!(said.contains("version 3") && said.contains("known 2"), "{said}");
    }
}

#[test]
fn names_of_files_are_never_sql() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = folder.path().join("'; COPY (select 1) TO 'x");
    fs::create_dir(&hostile).unwrap();
    let flat = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits/flat/h3_final.parquet");
    fs::copy(flat, hostile.join("a\u{1b}[31m.parquet")).unwrap();
    let table = format!("t={}", hostile.display());
    assert_eq!(stdout(&["-c", "SELECT count(*) AS n FROM t", "--table", &table, "--allow-write"]), "{\"n\":2097}\n");
    let said = failure(2, &["-c", "SELECT x FROM t", "--table", &table]);
    assert!(!said.contains('\u{1b}'), "{said}");
    fs::write(hostile.join("b.parquet"), "no parquet").unwrap();
    let said = failure(65, &["-c", "SELECT 1 FROM t", "--table", &table]);
    assert!(said.contains("b.parquet"), "{said}");
    assert!(!Path::new("x").exists());
}

#[test]
fn a_table_is_for_reading() {
    let statement = "SELECT epoch, nc1_pinv(feature, label), nc_state(feature, label) AS s, max(feature) AS m
        FROM features WHERE split = 'train' GROUP BY epoch";
    let shown = stdout(&["-c", statement, "--table", FLAT, "--format", "table"]);
    assert!(shown.contains("0.0007473") && shown.contains("state(N=1257, K=10, D=64)"), "{shown}");
    assert!(shown.contains("64 in all"), "{shown}");
    let empty = stdout(&["-c", "SELECT nc1_pinv(feature, label) FROM features WHERE epoch = 5", "--table", FLAT]);
    assert_eq!(empty, "{\"nc1_pinv\":null}\n");
    let plan =
        stdout(&["-c", "EXPLAIN SELECT nc1_pinv(feature, label) FROM features", "--table", FLAT, "--format=table"]);
    assert!(plan.lines().any(|line| line.trim_start().starts_with("ArchiveScan: row_groups=5 of 5")), "{plan}");
}

#[cfg(unix)]
#[test]
fn a_reader_that_stops_is_no_failure() {
    lose_interest(&["sql", "-c", "SELECT feature FROM features; SELECT feature FROM features", "--table", FLAT]);
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_query_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a.csv");
    let endless =
        "SELECT count(*) AS n FROM generate_series(1, 100000000) a CROSS JOIN generate_series(1, 100000000) b";
    let mut child = Command::new(env!("CARGO_BIN_EXE_nckit"))
        .args(["sql", "-c", endless, "-o", output.to_str().unwrap()])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Signals are watched once the query runs.
    let status = format!("/proc/{}/status", child.id());
    let is_watched = || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.is_none_or(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 2 != 0)
    };
    while fs::read_dir(folder.path()).unwrap().count() == 0 || !is_watched() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_state_file_is_a_table_of_its_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ncst");
    let file = path.to_str().unwrap();
    let arguments = ["--group-by=split", "-o", file, "-q"];
    let output = nckit(&[&["accumulate", "tests/data/digits/flat"], &arguments[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let query = format!("SELECT split, nc1_pinv_of(state) AS nc1_pinv FROM '{file}' ORDER BY split");
    assert_eq!(stdout(&["-c", &query]), stdout(&["-c", NC1, "--table", FLAT]));
    let all = format!("SELECT nc1_pinv_of(nc_merge(state)) AS nc1_pinv FROM '{file}'");
    let whole = "SELECT nc1_pinv(feature, label) AS nc1_pinv FROM features";
    assert_eq!(stdout(&["-c", &all]), stdout(&["-c", whole, "--table", FLAT]));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(failure(65, &["-c", &query]).contains("x.ncst"));
}
