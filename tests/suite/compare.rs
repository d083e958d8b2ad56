//! Two runs beside each other: archives, states and records, conditions and exit codes.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::cli::nckit;

const HIVE: &str = "tests/data/digits/hive";

fn compare(code: i32, arguments: &[&str]) -> Output {
    let output = nckit(&[&["compare"], arguments].concat());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn lines(output: &Output) -> Vec<Value> {
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A state of the training rows of one layer, a group an epoch.
fn state(folder: &std::path::Path) -> String {
    let path = folder.join("h3.ncst").to_string_lossy().into_owned();
    let made =
        nckit(&["accumulate", HIVE, "--where", "layer=h3", "--where", "split=train", "--group-by=epoch", "-o", &path]);
    assert!(made.status.success(), "{}", said(&made));
    path
}

#[test]
fn records_have_the_keys_in_the_order_of_the_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json").to_string_lossy().into_owned();
    let rows = [HIVE, "--where=split=train", "--where=layer=h3", "--where=layer=h2", "--group-by=layer,epoch"];
    let made = nckit(&[&["measure"], &rows[..], &["--metrics=nc1_cdnv", "-o", &path, "-q"]].concat());
    assert!(made.status.success(), "{}", said(&made));
    for sides in [[&path, &path], [&HIVE.to_owned(), &path]] {
        let flags = [sides[0], sides[1], "--format=csv", "--metrics=nc1_cdnv", "-q"];
        let of_rows = &rows[1..];
        let output =
            if sides[0] == sides[1] { compare(0, &flags) } else { compare(0, &[&flags[..], of_rows].concat()) };
        let csv = String::from_utf8(output.stdout).unwrap();
        assert!(csv.starts_with("layer,epoch,metric,"), "{csv}");
    }
}

#[test]
fn states_archives_and_records_give_the_same_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    let records = |epoch: &str| {
        let path = folder.path().join(format!("{epoch}.json")).to_string_lossy().into_owned();
        let filter = format!("epoch={epoch}");
        let flags = ["--where", "layer=h3", "--where", "split=train", "--where", &filter, "--metrics", "nc1,nc2"];
        assert!(nckit(&[&["measure", HIVE, "-o", &path], &flags[..]].concat()).status.success());
        path
    };
    let (early, late) = (records("0"), records("4000"));
    let of_records = lines(&compare(0, &[&early, &late, "--metrics", "nc1,nc2"]));
    let (first, last) = (format!("{state}?epoch=0"), format!("{state}?epoch=4000"));
    let of_states = lines(&compare(0, &[&first, &last, "--metrics", "nc1,nc2"]));
    let (first, last) = (format!("{HIVE}?epoch=0"), format!("{HIVE}?epoch=4000"));
    let flags = ["--where", "layer=h3", "--where", "split=train", "--metrics", "nc1,nc2"];
    let of_archives = lines(&compare(0, &[&[first.as_str(), &last], &flags[..]].concat()));
    assert!(of_records.len() > 10);
    assert_eq!(of_records, of_states);
    assert_eq!(of_records, of_archives);
    let pinv = of_states.iter().find(|line| line["metric"] == "nc1_pinv").unwrap();
    assert_eq!((&pinv["base"], &pinv["verdict"]), (&2.112_533_985_936_243_3.into(), &"better".into()));
    let ratio = pinv["other"].as_f64().unwrap() / pinv["base"].as_f64().unwrap();
    assert_eq!(pinv["ratio"].as_f64(), Some(ratio));
    // Records with many groups, as lines.
    let path = folder.path().join("all.ndjson").to_string_lossy().into_owned();
    assert!(nckit(&["finish", &state, "--metrics", "nc1", "-o", &path]).status.success());
    let all = lines(&compare(0, &[&path, &state, "--metrics", "nc1"]));
    assert_eq!(all.iter().filter(|line| line["metric"] == "nc1_pinv").count(), 5);
    assert!(all.iter().all(|line| line["base"] == line["other"] && line["verdict"] != "better"), "{all:?}");
}

#[test]
fn a_condition_that_holds_exits_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    let (first, last) = (format!("{state}?epoch=9"), format!("{state}?epoch=4000"));
    compare(0, &[&first, &last, "--fail-if", "nc1_pinv > 1.1x", "--fail-if", "nc1_pinv > base"]);
    let output = compare(1, &[&last, &first, "--fail-if", "nc1_pinv > 1.1x", "--fail-if", "nc1_pinv < 0"]);
    assert!(said(&output).contains("fails: nc1_pinv: 0.0474"), "{}", said(&output));
    assert!(!lines(&output).is_empty(), "the result is printed all the same");
    let path = folder.path().join("c.json");
    let file = path.to_string_lossy().into_owned();
    compare(1, &[&last, &first, "--fail-if", "nc1_pinv > 1.1x", "-o", &file, "--format", "csv"]);
    let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(json["failures"].as_array().unwrap().len(), 1);
    // What has no value fulfils every condition on it.
    let without_head = ["--metrics", "nc1,nc3", "--fail-if", "nc3_duality_error > 100"];
    let output = compare(1, &[&[last.as_str(), &first], &without_head[..]].concat());
    assert!(said(&output).contains("no_head") || said(&output).contains("no head"), "{}", said(&output));
    for condition in ["nc1_pinf > 1", "nc1_pinv", "nc1_pinv > 1y", "nc4_both_right > 1", "any differs"] {
        compare(2, &[&last, &first, "--fail-if", condition]);
    }
}

#[test]
fn class_means_are_compared_across_layers_and_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    let (path, classes) = (folder.path().join("c.json"), folder.path().join("drift.csv"));
    let (first, last) = (format!("{state}?epoch=0"), format!("{state}?epoch=4000"));
    let outputs = ["-o", path.to_str().unwrap(), "--per-class", classes.to_str().unwrap()];
    compare(0, &[&[first.as_str(), &last], &outputs[..]].concat());
    let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let means = &json["pairs"][0]["class_means"];
    let cka = means["cka"].as_f64().unwrap();
    assert!(cka > 0.2 && cka < 0.999, "{means}");
    assert_eq!((&means["classes"], &means["only_base"]), (&10.into(), &0.into()));
    let csv = fs::read_to_string(&classes).unwrap();
    assert_eq!(csv.lines().next(), Some("class,base_count,other_count,drift,cosine"));
    let drifts: Vec<f64> = csv.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse().unwrap()).collect();
    assert_eq!(drifts.len(), 10);
    assert_eq!(drifts.iter().copied().fold(0.0, f64::max), means["most_drift"].as_f64().unwrap());
    // A group beside itself has not moved.
    let path = folder.path().join("same.json");
    compare(0, &[&first, &first, "-o", path.to_str().unwrap()]);
    let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let means = &json["pairs"][0]["class_means"];
    assert!(means["most_drift"] == 0.0 && means["cka"].as_f64().unwrap() > 1.0 - 1e-12, "{means}");
    // Layers of other widths.
    let (raw, h1) = (format!("{HIVE}?layer=h1"), format!("{HIVE}?layer=h3"));
    let output = compare(0, &[&raw, &h1, "--where", "split=train", "--where", "epoch=4000", "--format", "json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(json["pairs"][0]["class_means"]["cka"].as_f64().unwrap() > 0.3, "{json}");
}

#[test]
fn differences_are_held_against_noise() {
    let train = ["--where", "layer=h3", "--where", "split=train", "--error-bars", "jackknife:16"];
    let (first, last) = (format!("{HIVE}?epoch=300"), format!("{HIVE}?epoch=4000"));
    let compared =
        |code: i32, more: &[&str]| lines(&compare(code, &[&[first.as_str(), &last], &train[..], more].concat()));
    let rows = compared(1, &["--fail-if", "nc1_pinv better"]);
    let of = |metric: &str| rows.iter().find(|row| row["metric"] == metric).unwrap();
    assert_eq!(of("nc1_pinv")["verdict"], "better");
    assert!(of("nc1_pinv")["hi"].as_f64().unwrap() < 0.0 && of("nc1_pinv")["p"].as_f64().unwrap() < 1e-6);
    assert_eq!((&of("nc1_cdnv_q50")["verdict"], &of("nc1_cdnv_q50")["p"]), (&"noise_unknown".into(), &Value::Null));
    compared(0, &["--fail-if", "any worse"]);
    compared(1, &["--fail-if", "any differs"]);
    // States and records that hold blocks give the same, whatever the other side is.
    let folder = tempfile::tempdir().unwrap();
    let (state, record) = (folder.path().join("a.ncst"), folder.path().join("b.json"));
    let (state, record) = (state.to_str().unwrap(), record.to_str().unwrap());
    let by = ["--where", "epoch=300"];
    assert!(nckit(&[&["accumulate", HIVE, "-o", state], &train[..], &by].concat()).status.success());
    let by = ["--where", "epoch=4000"];
    assert!(nckit(&[&["measure", HIVE, "-o", record], &train[..], &by].concat()).status.success());
    let mixed = lines(&compare(0, &[state, record, "--error-bars", "jackknife"]));
    for row in rows.iter().filter(|row| !row["p"].is_null()) {
        let other = mixed.iter().find(|other| other["metric"] == row["metric"]).unwrap();
        assert_eq!(row, other);
    }
    // The same rows beside themselves, and other rows of the same kind.
    let same = lines(&compare(0, &[&[last.as_str(), &last], &train[..], &["--fail-if", "any differs"]].concat()));
    assert!(same.iter().all(|row| ["same", "unknown"].contains(&row["verdict"].as_str().unwrap())), "{same:?}");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let state = state(folder.path());
    let not_json = folder.path().join("x.json");
    fs::write(&not_json, "{\"nckit\": 3}").unwrap();
    let path = folder.path().join("o.json").to_string_lossy().into_owned();
    for (code, arguments, expected) in [
        (2, vec![state.as_str()], "2 values required"),
        (
            2,
            vec![&state, HIVE, "--where", "split=train", "--where", "layer=h3", "--group-by=epoch,split"],
            "different keys",
        ),
        (66, vec![&state, "nowhere.ncst"], "no such file"),
        (65, vec![&state, not_json.to_str().unwrap()], "no records"),
        (66, vec![&state, &format!("{state}?epoch=5")], "no group has these keys"),
        (2, vec![&state, &format!("{state}?layer=h3")], "no such key"),
        (2, vec![&state, &state, "--per-class", "x.html"], "not written as a page"),
        (2, vec![&state, &state, "-o", &state], "extension"),
    ] {
        let output = compare(code, &arguments);
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    // What the groups of the other are made by, and records that lack what is compared.
    let output = compare(2, &[&state, HIVE, "--where=split=train", "--where=layer=h3", "--group-by=layer"]);
    assert!(!said(&output).contains("makes such groups"), "{}", said(&output));
    let records = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let (json, csv) = (records("r.json"), records("r.csv"));
    assert!(nckit(&["finish", &state, "--metrics", "nc1", "-o", &json, "-o", &csv, "-q"]).status.success());
    let output = compare(2, &[&json, HIVE, "--where=split=train", "--group-by=layer,epoch"]);
    assert!(said(&output).contains("--group-by layer,epoch makes such groups"), "{}", said(&output));
    let output = compare(2, &[&json, HIVE, "--where=split=train", "--group-by=layer"]);
    assert!(said(&output).contains("help: pick one value"), "{}", said(&output));
    let output = compare(2, &[&csv, HIVE]);
    assert!(said(&output).contains("numbers in CSV are not compared"), "{}", said(&output));
    // Other conventions.
    assert!(nckit(&["finish", &state, "--metrics", "nc1", "--centring", "sample", "-o", &path]).status.success());
    let output = compare(2, &[&state, &path, "--metrics", "nc1"]);
    assert!(said(&output).contains("centring"), "{}", said(&output));
    // An output that is an input.
    let output = compare(73, &[&state, &path, "-o", &path]);
    assert!(said(&output).contains("--overwrite") || said(&output).contains("input"), "{}", said(&output));
}
