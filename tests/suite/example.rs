//! Made-up archives: what is measured of them is what is said of them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::cli::nckit;

fn run(arguments: &[&str]) -> String {
    let output = nckit(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let output = nckit(arguments);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn truth(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Measures what the truth speaks of, and compares.
fn holds(rows: &Path, truth: &Value, more: &[&str]) {
    let groups = truth["groups"].as_array().unwrap();
    let keys: Vec<&str> = groups[0]["metrics"].as_object().unwrap().keys().map(String::as_str).collect();
    let head = rows.with_file_name(format!("{}-head.parquet", rows.file_stem().unwrap().to_str().unwrap()));
    let metrics = keys.join(",");
    let arguments = [&["measure", text(rows), "--head", text(&head), "--metrics", &metrics, "-q"], more].concat();
    let measured: Vec<Value> = run(&arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(measured.len(), groups.len());
    for (measured, group) in measured.iter().zip(groups) {
        assert_eq!(measured["epoch"], group["epoch"]);
        for (key, expected) in group["metrics"].as_object().unwrap() {
            let (found, expected) = (measured[key].as_f64().unwrap(), expected.as_f64().unwrap());
            assert!((found - expected).abs() <= 2e-6 * (1.0 + expected.abs()), "{key}: {found} {expected}");
        }
    }
}

#[test]
fn what_is_said_of_a_collapse_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("run.parquet");
    let sizes = ["--rows", "4200", "--classes", "12", "--dim", "20", "--epochs", "4", "--noise", "0.9"];
    run(&[&["example", "collapse", text(&rows)], &sizes[..]].concat());
    let truth = truth(&folder.path().join("run-truth.json"));
    // Pairs of each class in each epoch: 86 rows.
    assert_eq!((&truth["rows"], &truth["classes"], &truth["kind"]), (&4128.into(), &12.into(), &"collapse".into()));
    assert_eq!(truth["groups"].as_array().unwrap().len(), 4);
    holds(&rows, &truth, &["--group-by", "epoch"]);
}

#[test]
fn what_is_said_of_words_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("words.parquet");
    run(&["example", "zipf", text(&rows), "--rows", "9000", "--classes", "700", "--dim", "24", "--seed", "5"]);
    let truth = truth(&folder.path().join("words-truth.json"));
    assert!(truth["classes"].as_u64().unwrap() > 500 && truth["classes_of_one_row"].as_u64().unwrap() > 10);
    assert!(truth["largest_class"].as_u64().unwrap() > 900);
    holds(&rows, &truth, &[]);
}

#[test]
fn digits_are_measured_as_they_were_without_this_program() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("digits.parquet");
    run(&["example", "digits", text(&rows)]);
    let truth = truth(&folder.path().join("digits-truth.json"));
    assert_eq!((&truth["rows"], truth["groups"][0]["metrics"].as_object().unwrap().len()), (&2097.into(), 30));
    let filter = |of: &str| truth[of].as_str().unwrap().to_owned();
    let further = |of: &str| format!("{}?{}", text(&rows), filter(of));
    let (measured, decisions, ood) = (filter("measured"), further("decisions"), further("ood"));
    holds(&rows, &truth, &["--where", &measured, "--decisions", &decisions, "--ood", &ood]);
    let again = nckit(&["example", "digits", text(&rows)]);
    assert_eq!(again.status.code(), Some(73));
    run(&["example", "digits", text(&rows), "--overwrite"]);
}

#[test]
fn examples_are_the_same_for_the_same_flags_and_only_for_them() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        run(&[&["example", "zipf", text(&path), "--rows", "500", "--classes", "40", "--dim", "8"], more].concat());
        ["", "-head", "-truth"].map(|part| {
            let extension = if part == "-truth" { "json" } else { "parquet" };
            fs::read(path.with_file_name(format!("{}{part}.{extension}", path.file_stem().unwrap().to_str().unwrap())))
                .unwrap()
        })
    };
    let first = make("a.parquet", &[]);
    assert_eq!(first, make("b.parquet", &["--seed", "0"]));
    let other = make("c.parquet", &["--seed", "1"]);
    assert!(first.iter().zip(&other).all(|(first, other)| first != other));
}

#[test]
fn what_cannot_be_made_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("x.parquet");
    let path = text(&rows);
    for (arguments, said) in [
        (vec!["collapse", path, "--classes", "65"], "this construction of a simplex needs as many dimensions"),
        (vec!["collapse", path, "--rows", "99"], "two rows each"),
        (vec!["zipf", path, "--noise=-1"], "--noise"),
        (vec!["zipf", path, "--noise", "NaN"], "--noise"),
        (vec!["zipf", path, "--rows", "0"], "at least"),
        (vec!["zipf", path, "--classes", "1"], "two classes"),
        (vec!["zipf", "x.csv"], "FILE.parquet"),
    ] {
        let error = refused(&[&["example"], &arguments[..]].concat());
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    run(&["example", "zipf", path, "--rows", "20"]);
    let before = fs::read(&rows).unwrap();
    let again = nckit(&["example", "zipf", path, "--rows", "30"]);
    assert_eq!(again.status.code(), Some(73));
    assert_eq!(fs::read(&rows).unwrap(), before);
    run(&["example", "zipf", path, "--rows", "30", "--overwrite"]);
}

/// Many classes: by radii, in single precision, and with classes that share a state between threads.
#[test]
fn many_classes_give_the_same_bits_whatever_the_threads() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("many.parquet");
    let path = text(&rows);
    run(&["example", "zipf", path, "--rows", "20000", "--classes", "3000", "--dim", "256", "--noise", "0.9"]);
    let head = text(&folder.path().join("many-head.parquet")).to_owned();
    let measure = |more: &[&str]| {
        let metrics = "nc1_cdnv,nc2_max_angle,nc4,ncc_accuracy";
        run(&[&["measure", path, "--head", &head, "--metrics", metrics, "-q"], more].concat())
    };
    let one = measure(&["--threads", "1"]);
    for threads in ["2", "3"] {
        assert_eq!(measure(&["--threads", threads]), one);
        // A thread's own state is shared from 16 MiB on, and these take 25 MiB a thread.
        assert_eq!(measure(&["--threads", threads, "--memory", "200MiB"]), one);
    }
    let sampled: Value =
        serde_json::from_str(&measure(&["--sweep-sample", "800:3", "--sweep-min-count", "2"])).unwrap();
    let whole: Value = serde_json::from_str(&one).unwrap();
    let flags = sampled["flags"].as_str().unwrap();
    assert!(flags.contains("frequent_classes:") && flags.contains("sampled_classes:"), "{flags}");
    let number = |of: &Value, key: &str| of[key].as_f64().unwrap();
    let apart = (number(&sampled, "nc1_cdnv") - number(&whole, "nc1_cdnv")).abs();
    assert!(apart < 5.0 * number(&sampled, "nc1_cdnv_se"), "{sampled}");
    let error = refused(&["measure", path, "--sweep-sample", "800", "--error-bars", "jackknife"]);
    assert!(error.contains("leave out one of them"), "{error}");
}

#[test]
fn bins_are_written_by_measure_and_by_finish() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("words.parquet");
    run(&["example", "zipf", text(&rows), "--rows", "4000", "--classes", "300", "--dim", "16"]);
    let (state, head) = (folder.path().join("words.ncst"), folder.path().join("words-head.parquet"));
    let (measured, finished) = (folder.path().join("m.csv"), folder.path().join("f.csv"));
    run(&["measure", text(&rows), "--head", text(&head), "--per-class-bins", text(&measured), "-q"]);
    run(&["accumulate", text(&rows), "-o", text(&state), "-q"]);
    let decided = ["--head", text(&head), "--decisions", text(&rows)];
    run(&[&["finish", text(&state), "--per-class-bins", text(&finished), "-q"], &decided[..]].concat());
    let bins = fs::read_to_string(&measured).unwrap();
    assert_eq!(bins, fs::read_to_string(&finished).unwrap());
    let sum = |column: usize| {
        bins.lines().skip(1).map(|line| line.split(',').nth(column).unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    assert_eq!((sum(3), sum(4)), (4000, 4000), "{bins}");
    let error = refused(&["measure", text(&rows), "--per-class-bins", "x.html"]);
    assert!(error.contains("--per-class-bins FILE.csv"), "{error}");
}
