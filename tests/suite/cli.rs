//! The program as people run it: sessions, exit codes, errors that say what mends them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use arrow::array::{Array, AsArray};
use serde_json::Value;

pub(crate) fn nckit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_nckit"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .output()
        .unwrap()
}

/// Runs the program with its output closed at once, which is no failure.
#[cfg(unix)]
pub(crate) fn lose_interest(arguments: &[&str]) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_nckit"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Runs what must succeed, and returns its records.
fn records(arguments: &[&str]) -> Vec<Value> {
    let output = nckit(arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Runs what must fail with that code, and returns what it says.
fn failure(code: i32, arguments: &[&str]) -> String {
    let output = nckit(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
    assert!(output.stdout.is_empty(), "a failed run prints no result");
    let said = stderr(&output);
    assert!(said.contains("error: "), "{said}");
    said
}

const HIVE: &str = "tests/data/digits/hive";
const FLAT: &str = "tests/data/digits/flat/h3_final.parquet";
const TRAIN: [&str; 7] = ["measure", HIVE, "--where", "layer=h3", "--where", "split=train", "--group-by=epoch"];

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    base.iter().chain(more).copied().collect()
}

#[test]
fn a_pipe_gets_one_record_a_group_sorted_by_key() {
    let records = records(&with(&TRAIN, &["--metrics", "nc1"]));
    let epochs: Vec<i64> = records.iter().map(|record| record["epoch"].as_i64().unwrap()).collect();
    assert_eq!(epochs, [0, 9, 53, 300, 4000]);
    for record in &records {
        assert_eq!(record["rows"], 1257);
        assert_eq!(record["classes"], 10);
        assert!(record["nc1_pinv"].as_f64().unwrap() > 0.0);
        assert!(record.get("nc2_etf_error").is_none());
    }
}

#[test]
fn no_result_depends_on_threads() {
    let head = "tests/data/digits/classifier/epoch={epoch}/classifier.parquet";
    let all = |threads| {
        let ood = "tests/data/digits/hive?layer=h3&split=ood";
        let metrics = ["--metrics=all", "--format=json", "--threads", threads];
        nckit(&with(&TRAIN, &[&["--head", head, "--ood", ood][..], &metrics].concat())).stdout
    };
    let one = all("1");
    assert!(!one.is_empty());
    assert_eq!(all("2"), one);
    assert_eq!(all("7"), one);
}

/// What is asked for by the names of families is the same of rows and of a state, and is not asked for by default.
#[test]
fn families_beside_neural_collapse_of_rows_and_of_a_state() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("a.ncst");
    let state = state.to_str().unwrap();
    let train = &TRAIN[1..];
    let made = nckit(&[&["accumulate"][..], train, &["-o", state, "-q"]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    let head = "--head=tests/data/digits/classifier/epoch={epoch}/classifier.parquet";
    let asked = ["--metrics=spectrum,separation,imbalance,transfer", head, "--format=csv", "-q"];
    let measured = stdout(&nckit(&with(&TRAIN, &asked)));
    assert_eq!(measured, stdout(&nckit(&[&["finish", state][..], &asked].concat())));
    assert!(measured.contains("transfer_logme") && !measured.contains("nc1_pinv"), "{measured}");
    let by_default = stdout(&nckit(&with(&TRAIN, &["--format=csv", "-q"])));
    assert!(by_default.contains("nc1_pinv") && !by_default.contains("spectrum_"), "{by_default}");
}

#[test]
fn outputs_are_written_whole_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (json, csv, parquet, classes) = (file("a.json"), file("a.csv"), file("a.parquet"), file("classes.csv"));
    let outputs = ["-o", &json, "-o", &csv, "-o", &parquet, "--per-class", &classes];
    let output = nckit(&with(&TRAIN, &outputs));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout.is_empty(), "what went to a file does not go to a pipe too");
    let whole: Value = serde_json::from_str(&fs::read_to_string(&json).unwrap()).unwrap();
    assert_eq!(whole["groups"].as_array().unwrap().len(), 5);
    assert!(whole["groups"][0]["metrics"]["nc1_pinv"]["value"].is_f64());
    assert_eq!(whole["groups"][0]["metrics"]["nc3_cos_mean"]["reason"], "no_head");
    assert_eq!(fs::read_to_string(&csv).unwrap().lines().count(), 6);
    assert_eq!(fs::read_to_string(&classes).unwrap().lines().count(), 51);

    let before = fs::read(&csv).unwrap();
    let said = failure(73, &with(&TRAIN, &["-o", &csv]));
    assert!(said.contains("--overwrite"), "{said}");
    assert_eq!(fs::read(&csv).unwrap(), before);
    assert!(nckit(&with(&TRAIN, &["-o", &csv, "--overwrite"])).status.success());
    failure(73, &with(&TRAIN, &["-o", &file("no/such/folder.csv")]));
    failure(2, &with(&TRAIN, &["-o", &file("a.xyz")]));
    let leftovers: Vec<PathBuf> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(leftovers.len(), 4, "{leftovers:?}");
}

#[test]
fn wrong_requests_say_what_there_is() {
    let cases: [(i32, &[&str], &str); 12] = [
        (66, &["measure", "no/such/file.parquet"], "no/such/file.parquet"),
        (66, &["measure", "tests/data/*.nothing"], "nothing"),
        (2, &["measure", HIVE, "--group-by", "layers"], "layer"),
        (66, &["measure", HIVE, "--where", "layer=h9"], "h1"),
        (2, &["measure", FLAT, "--features", "embedding"], "feature"),
        (2, &["measure", FLAT, "--labels", "klass"], "label"),
        (2, &["measure", FLAT, "--metrics", "nc1_pin"], "nc1_pinv"),
        (2, &["measure", FLAT, "--option", "riesz=3"], "riesz_s"),
        (2, &["measure", FLAT, "--where", "layer"], "KEY=VALUE"),
        (2, &["measure", HIVE, "--head", "heads/{epoch}.parquet"], "--group-by epoch"),
        (66, &["measure", FLAT, "--head", "no/such/head.npy"], "head.npy"),
        (75, &["measure", FLAT, "--memory", "1MiB"], "--memory"),
    ];
    for (code, arguments, hint) in cases {
        let said = failure(code, arguments);
        assert!(said.contains(hint), "{arguments:?} says nothing of {hint}:\n{said}");
    }
}

#[test]
fn a_head_of_another_shape_is_refused_with_both_shapes() {
    let head = "tests/data/digits/classifier/epoch=4000/classifier.parquet";
    let base = ["measure", HIVE, "--where", "layer=h1", "--where", "split=train", "--head", head];
    let said = failure(65, &base);
    assert!(said.contains("64") && said.contains("128"), "{said}");
}

#[test]
fn rows_of_different_length_need_a_key_that_tells_them_apart() {
    let said = failure(65, &["measure", HIVE, "--where", "split=train", "--where", "epoch=4000"]);
    assert!(said.contains("--group-by") && said.contains("128") && said.contains("64"), "{said}");
    let records = records(&["measure", HIVE, "--where=split=train", "--where=epoch=4000", "--group-by=layer"]);
    assert_eq!(records.len(), 3);
}

#[test]
fn files_that_are_damaged_fail_or_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("a.parquet");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(FLAT), &good).unwrap();
    let bytes = fs::read(&good).unwrap();
    fs::write(folder.path().join("b.parquet"), &bytes[..bytes.len() - 5]).unwrap();
    let input = folder.path().to_str().unwrap();
    let said = failure(65, &["measure", input, "--metrics", "nc1_trace_ratio"]);
    assert!(said.contains("b.parquet") && said.contains("--on-bad-file"), "{said}");
    let output = nckit(&["measure", input, "--metrics", "nc1_trace_ratio", "--on-bad-file", "skip"]);
    assert!(output.status.success() && stderr(&output).contains("b.parquet"), "{}", stderr(&output));
}

/// Bytes behind the header of a page: the footer is whole, and nothing is amiss until the page is decompressed.
#[test]
fn files_with_damaged_pages_fail_or_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let original = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(FLAT)).unwrap();
    fs::write(folder.path().join("a.parquet"), &original).unwrap();
    let mut bytes = original.clone();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2000].fill(0x5a);
    fs::write(folder.path().join("b.parquet"), &bytes).unwrap();
    let input = folder.path().to_str().unwrap();
    let said = failure(65, &["measure", input, "--metrics", "nc1_trace_ratio"]);
    assert!(said.contains("b.parquet"), "{said}");
    let output = nckit(&["measure", input, "--metrics", "nc1_trace_ratio", "--on-bad-file", "skip"]);
    assert!(output.status.success() && stderr(&output).contains("b.parquet"), "{}", stderr(&output));
    let alone = nckit(&["measure", FLAT, "--metrics", "nc1_trace_ratio"]);
    assert_eq!(stdout(&output), stdout(&alone), "no row of a file that is left out counts");
}

#[test]
fn min_count_leaves_out_classes_before_anything_is_pooled() {
    let all = records(&["measure", FLAT, "--where=split=train", "--metrics=nc1"]);
    let same = records(&["measure", FLAT, "--where=split=train", "--metrics=nc1", "--min-count=5"]);
    assert_eq!(all[0]["nc1_pinv"], same[0]["nc1_pinv"]);
    let none = failure(66, &["measure", FLAT, "--where=split=train", "--metrics=nc1", "--min-count=500"]);
    assert!(none.contains("no rows"), "{none}");
    let fewer = records(&["measure", FLAT, "--where=split=train", "--metrics=nc1", "--max-count=126"]);
    assert!(fewer[0]["dropped_classes"].as_u64().unwrap() > 0);
    assert_eq!(fewer[0]["classes"].as_u64().unwrap() + fewer[0]["dropped_classes"].as_u64().unwrap(), 10);
}

#[test]
fn scores_are_the_rows_behind_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scores.parquet");
    let head = "tests/data/digits/classifier/epoch={epoch}/classifier.parquet";
    let more = [
        "--head",
        head,
        "--decisions",
        "tests/data/digits/hive?layer=h3&split=test",
        "--ood",
        "tests/data/digits/hive?layer=h3&split=ood",
        "--metrics=nc4,nc5",
        "--scores",
        path.to_str().unwrap(),
    ];
    let records = records(&with(&TRAIN, &more));
    let file = fs::File::open(&path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let (mut agreed, mut decided, mut outside) = (vec![0.0; 5], vec![0.0; 5], 0);
    for batch in reader {
        let batch = batch.unwrap();
        let column = |name: &str| batch.column_by_name(name).unwrap();
        let (epochs, rows) = (column("epoch").as_string::<i32>(), column("rows").as_string::<i32>());
        for row in 0..batch.num_rows() {
            if rows.value(row) == "ood" {
                assert!(column("label").is_null(row) && !column("neco").is_null(row));
                outside += 1;
                continue;
            }
            let epoch: i64 = epochs.value(row).parse().unwrap();
            let group = records.iter().position(|record| record["epoch"] == epoch).unwrap();
            decided[group] += 1.0;
            agreed[group] += f64::from(u8::from(column("agreement").as_boolean().value(row)));
        }
    }
    assert_eq!((outside, &decided), (1500, &vec![540.0; 5]));
    for (group, record) in records.iter().enumerate() {
        // serde_json reads a number to within one unit in the last place.
        let share = agreed[group] / decided[group];
        assert!((share - record["nc4_agreement"].as_f64().unwrap()).abs() < 2e-16);
    }
    failure(73, &with(&TRAIN, &["--scores", path.to_str().unwrap()]));
    failure(2, &with(&TRAIN, &["--scores", "scores.csv"]));
}

#[cfg(unix)]
#[test]
fn an_interrupt_stops_the_run_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("copies"), folder.path().join("a.csv"));
    fs::create_dir(&input).unwrap();
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(FLAT)).unwrap();
    for copy in 0..400 {
        fs::write(input.join(format!("{copy}.parquet")), &bytes).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_nckit"))
        .args(["measure", input.to_str().unwrap(), "--allow-duplicates", "--metrics=nc1", "--threads=1"])
        .args(["-o", output.to_str().unwrap(), "--head"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits/classifier/epoch=4000/classifier.parquet"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The plan is printed once signals are about to be watched; reading takes far longer than that.
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("plan") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "no plan was printed");
    }
    std::thread::sleep(std::time::Duration::from_millis(100));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no output, whole or in part");
}

#[test]
fn a_dry_run_measures_nothing_and_tells_the_plan() {
    let output = nckit(&with(&TRAIN, &["--dry-run"]));
    let said = stdout(&output);
    assert!(output.status.success() && said.contains("5 files · 6,285 rows") && said.contains("1 pass"), "{said}");
    assert!(said.contains("time    less than a second"), "{said}");
}

#[test]
fn inspect_tells_what_an_archive_holds() {
    let output = nckit(&["inspect", HIVE, "--where=layer=h3", "--group-by=split"]);
    let said = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    for part in ["N = 10,485", "D = 64", "K = 10, 0 to 9", "split=train   N = 6,285", "epoch = "] {
        assert!(said.contains(part), "no {part:?} in\n{said}");
    }
}

#[test]
fn help_and_version_are_results() {
    for arguments in
        [&["--help"][..], &["measure", "--help"], &["inspect", "--help"], &["bench", "--help"], &["--version"]]
    {
        let output = nckit(arguments);
        assert!(output.status.success() && !output.stdout.is_empty() && output.stderr.is_empty());
    }
    assert!(stdout(&nckit(&["measure", "--help"])).contains("Examples:"));
    assert_eq!(nckit(&["measure"]).status.code(), Some(2));
    assert_eq!(nckit(&["measure", FLAT, "--device", "cuda"]).status.code(), Some(2));
}

#[cfg(unix)]
#[test]
fn a_reader_that_stops_is_no_failure() {
    lose_interest(&with(&TRAIN, &["--format=json"]));
}
