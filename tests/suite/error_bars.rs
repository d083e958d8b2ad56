//! Error bars: blocks add up to what they are blocks of, nothing but rows decides them, and they are the jackknife's.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;

use nckit::store::{GroupState, StateFile};
use serde_json::Value;

use crate::faults::{Place, ints, vectors};
use crate::rows::Random;

/// All metrics of the first read.
const FIRST_READ: &str = "--metrics=nc1,nc2,gnc2,hug,nc3,mse,spectrum,separation,imbalance,transfer";
const FLAGS: [&str; 5] = [FIRST_READ, "--error-bars=jackknife:7", "--format=json", "-q", "--head=head.npy"];

/// An archive of three files, each of several row groups, and a classifier.
fn archive() -> Place {
    let place = Place::new();
    place.archive(3, 4);
    let mut random = Random::new(8);
    let weights: Vec<f32> = (0..4 * 8).map(|_| random.normal() as f32).collect();
    fs::write(place.path("head.npy"), npy(&weights, 8)).unwrap();
    place
}

fn npy(values: &[f32], columns: usize) -> Vec<u8> {
    let rows = values.len() / columns;
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

fn with<'a>(base: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    base.iter().chain(more).copied().collect()
}

/// The groups of a result in JSON.
fn groups(text: &str) -> Vec<Value> {
    serde_json::from_str::<Value>(text).unwrap()["groups"].as_array().unwrap().clone()
}

/// The metrics of a result, without what names its inputs.
fn metrics(text: &str) -> Vec<Value> {
    groups(text)
        .into_iter()
        .map(|group| Value::from(vec![group["metrics"].clone(), group["replicates"].clone()]))
        .collect()
}

#[test]
fn blocks_add_up_to_the_plain_state_byte_for_byte() {
    let place = archive();
    for (name, group_by) in [("one", &[][..]), ("two", &["--group-by=label"])] {
        for scatter in ["--metrics=all", "--metrics=nc2"] {
            let state = |file: &str, flags: &[&str]| {
                let base = ["accumulate", "in", "-q", "--overwrite", "-o", file, scatter];
                place.succeed(&with(&with(&base, group_by), flags));
                StateFile::read(&place.path(file)).unwrap()
            };
            let plain = state("plain.ncst", &[]);
            for flag in ["--error-bars=jackknife:7", "--error-bars=jackknife"] {
                let blocks = state("blocks.ncst", &[flag]);
                let mut merged: BTreeMap<_, GroupState> = BTreeMap::new();
                for (key, group) in &blocks.groups {
                    let (_, key) = key.split_last().unwrap();
                    let group = group.decode(plain.provenance.scatter).unwrap();
                    let all = merged.entry(key.to_vec()).or_insert_with(|| GroupState::new(plain.provenance.scatter));
                    all.merge(&group).unwrap();
                }
                assert!(blocks.groups.len() > plain.groups.len());
                assert_eq!(merged.len(), plain.groups.len());
                for (key, group) in merged {
                    assert!(group.encode().unwrap() == plain.groups[&key], "{name} {scatter} {flag} {key:?}");
                }
                // The ledger is of rows, whatever their blocks.
                assert!(blocks.ledger.rows() == plain.ledger.rows());
            }
        }
    }
}

#[test]
fn nothing_but_the_rows_decides_error_bars() {
    let place = archive();
    let run = |inputs: &[&str], more: &[&str]| {
        metrics(&place.succeed(&with(&with(&["measure"], inputs), &with(&FLAGS, more))))
    };
    let expected = run(&["in"], &["--threads=1"]);
    assert!(expected[0].to_string().contains("\"se\":0."), "there are error bars");
    for threads in ["--threads=2", "--threads=5"] {
        assert!(run(&["in"], &[threads]) == expected, "{threads}");
    }
    let turned = ["in/02.parquet", "in/00.parquet", "in/01.parquet"];
    assert!(run(&turned, &[]) == run(&["in/00.parquet", "in/01.parquet", "in/02.parquet"], &[]));
    // Elsewhere it is the same archive.
    fs::create_dir_all(place.path("else/where")).unwrap();
    fs::rename(place.path("in"), place.path("else/where/in")).unwrap();
    assert!(run(&["else/where/in"], &[]) == expected);
}

#[test]
fn a_state_of_shards_has_the_error_bars_of_the_rows() {
    let place = archive();
    let measured = metrics(&place.succeed(&with(&["measure", "in"], &FLAGS)));
    for part in ["0", "1", "2"] {
        let (shard, out) = (format!("--shard={part}/3"), format!("{part}.ncst"));
        place.succeed(&["accumulate", "in", &shard, "-o", &out, "--error-bars=jackknife:7", "-q"]);
    }
    let finished = |states: &[&str], flags: &[&str]| metrics(&place.succeed(&with(&with(&["finish"], states), flags)));
    assert!(finished(&["2.ncst", "0.ncst", "1.ncst"], &FLAGS) == measured);
    place.succeed(&["merge", "1.ncst", "2.ncst", "0.ncst", "-o", "all.ncst", "-q"]);
    // The state knows how many blocks it has.
    let flags: Vec<&str> =
        FLAGS.map(|flag| if flag.starts_with("--error") { "--error-bars=jackknife" } else { flag }).to_vec();
    assert!(finished(&["all.ncst"], &flags) == measured);
    // Without error bars it is a state as any other.
    let plain: Vec<&str> = FLAGS.into_iter().filter(|flag| !flag.starts_with("--error")).collect();
    place.succeed(&["accumulate", "in", "-o", "plain.ncst", "-q"]);
    assert!(finished(&["all.ncst"], &plain) == finished(&["plain.ncst"], &plain));
    // What is taken out again is out of its blocks.
    place.succeed(&["merge", "all.ncst", "--subtract", "1.ncst", "-o", "rest.ncst", "-q"]);
    place.succeed(&["merge", "2.ncst", "0.ncst", "-o", "others.ncst", "-q"]);
    assert!(place.read("rest.ncst") == place.read("others.ncst"));
    let text = place.fail(65, &["merge", "all.ncst", "plain.ncst", "-o", "x.ncst"]);
    assert!(text.contains("blocks: 7 and none"), "{text}");
}

#[test]
fn killed_and_resumed_it_ends_in_the_same_blocks() {
    let place = archive();
    let run =
        ["accumulate", "in", "-o", "x.ncst", "--resume", "--checkpoint-every=0s", "-q", "--error-bars=jackknife:5"];
    place.succeed(&run);
    let expected = place.read("x.ncst");
    let mut died = 0;
    for number in 1..6 {
        fs::remove_file(place.path("x.ncst")).unwrap();
        let fail = format!("rename:{number}:abort");
        let dead = place.command(&run).env("NCKIT_FAIL", fail).stderr(Stdio::null()).status().unwrap();
        died += usize::from(!dead.success());
        place.succeed(&run);
        assert!(place.read("x.ncst") == expected, "{number}");
    }
    assert!(died > 0 || !cfg!(debug_assertions));
    let text = place.fail(65, &["accumulate", "in", "-o", "x.ncst", "--extend", "-q"]);
    assert!(text.contains("blocks: 5 and none"), "{text}");
}

#[cfg(feature = "sql")]
#[test]
fn sql_has_the_error_bars_of_measure() {
    let place = archive();
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q", "--error-bars=jackknife:7"]);
    let measured = &groups(&place.succeed(&with(&["measure", "in"], &FLAGS)))[0];
    for key in ["nc1_pinv", "nc1_cdnv", "nc2_etf_error", "spectrum_effective_rank", "nc1_cdnv_q50", "nc3_duality_error"]
    {
        let head = if key.starts_with("nc3") { ", nc_head('head.npy')" } else { "" };
        let query = format!(
            "SELECT b.value, b.se, b.lo, b.hi, b.bias, b.reason, b.blocks FROM (SELECT nc_jackknife(array_agg(state), '{key}'{head}) AS b FROM 'x.ncst')"
        );
        let row: Value = serde_json::from_str(&place.succeed(&["sql", "-c", &query, "--format=ndjson", "-q"])).unwrap();
        let metric = &measured["metrics"][key];
        for name in ["value", "se", "lo", "hi", "bias"] {
            assert_eq!(row[name], metric[name], "{key} {name}");
        }
        assert_eq!((&row["reason"], &row["blocks"]), (&metric["no_error_bar"], &7.into()), "{key}");
        assert_eq!(row["se"].is_null(), key == "nc1_cdnv_q50");
    }
    let nothing = "SELECT nc_jackknife(array_agg(state), 'nc1_pinv') IS NULL AS n FROM 'x.ncst' WHERE block = 99";
    assert!(place.succeed(&["sql", "-c", nothing, "--format=ndjson", "-q"]).contains("true"));
    place.fail(2, &["sql", "-c", "SELECT nc_jackknife(array_agg(state), 'nc1_pinf') FROM 'x.ncst'"]);
    place.fail(2, &["sql", "-c", "SELECT nc_jackknife(state, 'nc1_pinv') FROM 'x.ncst'"]);
}

/// Rows of documents of very different sizes; those of a document lie near each other.
fn documents(place: &Place, name: &str, without: Option<i32>) {
    let mut random = Random::new(4);
    let (mut values, mut labels, mut docs) = (Vec::new(), Vec::new(), Vec::new());
    for doc in 0..9 {
        let shift: Vec<f64> = (0..5).map(|_| 0.5 * random.normal()).collect();
        for row in 0..12 + 11 * doc {
            let label = row % 3;
            let row: Vec<f32> = shift
                .iter()
                .enumerate()
                .map(|(j, x)| (x + random.normal() + if j as i32 == label { 4.0 } else { 0.0 }) as f32)
                .collect();
            if without != Some(doc) {
                values.extend(row);
                labels.push(label);
                docs.push(doc);
            }
        }
    }
    place.write_columns(name, &[("feature", vectors(values, 5)), ("label", ints(labels)), ("doc", ints(docs))], 100);
}

/// The jackknife of unequal blocks by its definition, against runs that never saw the document.
#[test]
fn blocks_of_a_key_are_left_out_one_by_one() {
    let place = Place::new();
    let keys = ["nc1_trace_ratio", "nc1_pinv", "nc1_cdnv_log10_mean", "nc2_etf_error", "spectrum_participation_within"];
    let keys_flag = format!("--metrics={}", keys.join(","));
    // One grid for all, as the files differ in their chunks.
    let flags = ["--grid=-30", "--format=json", "-q", &keys_flag];
    documents(&place, "all.parquet", None);
    let found = &groups(&place.succeed(&with(&["measure", "all.parquet", "--block-by=doc"], &flags)))[0];
    let rows: Vec<f64> = (0..9).map(|doc| f64::from(12 + 11 * doc)).collect();
    let total: f64 = rows.iter().sum();
    assert_eq!(found["rows"], total as u64);
    assert_eq!(found["replicates"]["rows"], Value::from(rows.iter().map(|&n| n as u64).collect::<Vec<_>>()));
    let without = (0..9).map(|doc| {
        documents(&place, "less.parquet", Some(doc));
        groups(&place.succeed(&with(&["measure", "less.parquet"], &flags)))[0]["metrics"].clone()
    });
    let without: Vec<Value> = without.collect();
    for key in keys {
        let metric = &found["metrics"][key];
        let value = metric["value"].as_f64().unwrap();
        let number = |name: &str| metric[name].as_f64().unwrap_or_else(|| panic!("{key} has no {name}: {metric}"));
        let pseudo = without.iter().zip(&rows).map(|(replicate, n)| {
            let h = total / n;
            (h * value - (h - 1.0) * replicate[key]["value"].as_f64().unwrap(), h)
        });
        let pseudo: Vec<(f64, f64)> = pseudo.collect();
        let mean = pseudo.iter().map(|(x, _)| x).sum::<f64>() / 9.0;
        let square = pseudo.iter().map(|(x, h)| (x - mean).powi(2) / (h - 1.0)).sum::<f64>() / 9.0;
        let close = |name: &str, expected: f64, scale: f64| {
            assert!((number(name) - expected).abs() <= 1e-8 * scale, "{key} {name}: {} and {expected}", number(name));
        };
        close("se", square.sqrt(), square.sqrt());
        close("bias", value - mean, square.sqrt());
        assert!(number("lo") < value - number("bias") && value - number("bias") < number("hi"), "{key}");
    }
    // Of states it is the same, whether the key is a group's or was dealt as a whole.
    place.succeed(&["accumulate", "all.parquet", "-o", "x.ncst", "--group-by=doc", "--grid=-30", "-q"]);
    let finish = |flags: &[&str]| metrics(&place.succeed(&with(flags, &["--format=json", "-q", &keys_flag])));
    let expected = metrics(&place.succeed(&with(&["measure", "all.parquet", "--block-by=doc"], &flags)));
    assert_eq!(finish(&["finish", "x.ncst", "--block-by=doc"]), expected);
    let dealt = ["--block-by=doc", "--error-bars=jackknife:4"];
    let expected = metrics(&place.succeed(&with(&with(&["measure", "all.parquet"], &dealt), &flags)));
    assert_eq!(finish(&with(&["finish", "x.ncst"], &dealt)), expected);
    place.succeed(&with(&["accumulate", "all.parquet", "-o", "y.ncst", "--grid=-30", "-q"], &dealt));
    assert_eq!(finish(&["finish", "y.ncst", "--error-bars=jackknife"]), expected);
    // Documents differ, so that single rows know less than they seem to.
    let se = |flags: &[&str]| {
        let text = place.succeed(&with(
            &with(&["measure", "all.parquet", "--metrics=nc2_norm_mean"], flags),
            &["--format=json", "-q"],
        ));
        groups(&text)[0]["metrics"]["nc2_norm_mean"]["se"].as_f64().unwrap()
    };
    assert!(se(&["--block-by=doc"]) > 0.0 && se(&["--error-bars=jackknife"]) > 0.0);
}

/// A second read and out-of-distribution rows go on as without blocks.
#[test]
fn what_has_no_error_bar_is_the_same_beside_it() {
    let place = Place::new();
    documents(&place, "all.parquet", None);
    let mut random = Random::new(8);
    fs::write(place.path("head.npy"), npy(&(0..15).map(|_| random.normal() as f32).collect::<Vec<_>>(), 5)).unwrap();
    let flags = [
        "measure",
        "all.parquet",
        "--metrics=all,nc1_cdnv_directional,hug_intra",
        "--head=head.npy",
        "--ood=all.parquet",
        "--format=json",
        "-q",
    ];
    let plain = &groups(&place.succeed(&flags))[0]["metrics"];
    for bars in [&["--error-bars=jackknife"][..], &["--block-by=doc"], &["--block-by=doc", "--error-bars=jackknife:3"]]
    {
        let found = &groups(&place.succeed(&with(&flags, bars)))[0]["metrics"];
        for (key, metric) in plain.as_object().unwrap() {
            assert_eq!(found[key]["value"], metric["value"], "{bars:?} {key}");
            let has = [&found[key]["se"], &found[key]["no_error_bar"]];
            assert!(has.iter().filter(|x| x.is_null()).count() == 1, "{bars:?} {key}: an error bar or a reason");
        }
        for (key, reason) in [
            ("ncc_accuracy", "second_read"),
            ("nc5_ortho_dev", "further_rows"),
            ("nc2_norm_mean_weights", "of_classifier_alone"),
            ("nc1_cdnv_q90", "quantile"),
            ("gnc2_min_distance", "extreme"),
            ("spectrum_dim95", "count"),
            ("separation_lda_error_mean", "heavy_tail"),
            ("transfer_logme", "depends_on_row_count"),
        ] {
            assert_eq!(found[key]["no_error_bar"], reason, "{bars:?} {key}");
        }
    }
}

/// Few small classes take no part, and it is said so; with more of them the error bar would be that of another number.
#[test]
fn small_classes_take_no_part() {
    let place = Place::new();
    let mut random = Random::new(6);
    let mut write = |name: &str, classes: i32, small: i32| {
        let rows = classes * 20;
        let labels: Vec<i32> = (0..rows).map(|row| row % classes).chain(classes..classes + small).collect();
        let docs: Vec<i32> = (0..rows).map(|row| row / classes % 10).chain((0..small).map(|_| 3)).collect();
        let values = labels.iter().flat_map(|&label| (0..6).map(move |j| (label, j)));
        let values: Vec<f32> = values
            .map(|(label, j)| (random.normal() + 3.0 * (f64::from(label * (j + 7)) * 0.7).sin()) as f32)
            .collect();
        place.write_columns(
            name,
            &[("feature", vectors(values, 6)), ("label", ints(labels)), ("doc", ints(docs))],
            500,
        );
    };
    write("few.parquet", 120, 1);
    write("many.parquet", 120, 2);
    let keys = ["nc1_cdnv", "nc1_trace_ratio", "nc2_norm_mean"];
    let run = |name: &str, more: &[&str]| {
        let metrics = format!("--metrics={}", keys.join(","));
        let base = ["measure", name, "--block-by=doc", &metrics, "--format=json", "-q"];
        groups(&place.succeed(&with(&base, more)))[0].clone()
    };
    let few = run("few.parquet", &[]);
    assert_eq!((&few["classes"], &few["replicates"]["classes_left_out"]), (&121.into(), &1.into()));
    assert!(few["flags"].to_string().contains("classes_without_error_bars"));
    assert_eq!(few["replicates"]["rows"][3], 240, "rows of classes that take no part do not weigh");
    let without = run("few.parquet", &["--min-count=10"]);
    assert!(!without["flags"].to_string().contains("classes_without_error_bars"));
    for key in keys {
        let number = |group: &Value, of: &str| group["metrics"][key][of].as_f64().unwrap();
        // The scatter holds its row all the same.
        assert!((number(&few, "se") / number(&without, "se") - 1.0).abs() < 0.05, "{key}");
        let middle = f64::midpoint(number(&few, "lo"), number(&few, "hi"));
        let centre = number(&few, "value") - number(&few, "bias");
        assert!((middle - centre).abs() < 1e-9 * centre.abs(), "{key}: {middle} {centre}");
    }
    let many = run("many.parquet", &[]);
    for key in keys {
        assert_eq!(many["metrics"][key]["no_error_bar"], "small_classes", "{key}");
    }
}

/// A class that takes no part is still in the pooled scatter: where it makes much of that, there is no error bar.
#[test]
fn a_wide_class_that_takes_no_part_leaves_no_error_bar() {
    let place = Place::new();
    let mut random = Random::new(12);
    let write = |name: &str, spread: f64, random: &mut Random| {
        let labels: Vec<i32> = (0..130 * 8).map(|row| row % 130).chain([130; 3]).collect();
        let docs: Vec<i32> = (0..130 * 8).map(|row| row / 130 % 4).chain([1; 3]).collect();
        let mut value = |label: i32, j: i32| {
            let spread = if label == 130 { spread } else { 1.0 };
            (spread * random.normal() + 9.0 * (f64::from(label * (j + 5)) * 0.9).sin()) as f32
        };
        let values = labels.iter().flat_map(|&label| (0..4).map(move |j| (label, j)));
        let values: Vec<f32> = values.map(|(label, j)| value(label, j)).collect();
        let columns = [("feature", vectors(values, 4)), ("label", ints(labels)), ("doc", ints(docs))];
        place.write_columns(name, &columns, 400);
        let flags = ["--block-by=doc", "--metrics=nc1_pinv,nc1_trace_ratio", "--format=json", "-q"];
        groups(&place.succeed(&with(&["measure", name], &flags)))[0]["metrics"].clone()
    };
    let narrow = write("narrow.parquet", 1.0, &mut random);
    assert!(narrow["nc1_pinv"]["se"].as_f64().is_some_and(|se| se > 0.0), "{narrow}");
    let wide = write("wide.parquet", 100.0, &mut random);
    for key in ["nc1_pinv", "nc1_trace_ratio"] {
        assert_eq!(wide[key]["no_error_bar"], "small_classes");
    }
}

/// A replicate has to span the dimensions with rows of its own.
#[test]
fn too_few_rows_without_a_block_leave_no_error_bar() {
    let place = Place::new();
    let mut random = Random::new(13);
    let mut run = |rows: i32| {
        let labels: Vec<i32> = (0..rows).map(|row| row % 2).collect();
        let docs: Vec<i32> = (0..rows).map(|row| row / 2 % 2).collect();
        let values = labels.iter().flat_map(|&label| (0..16).map(move |j| (label, j)));
        let values: Vec<f32> =
            values.map(|(label, j)| (random.normal() + if label == j { 3.0 } else { 0.0 }) as f32).collect();
        let columns = [("feature", vectors(values, 16)), ("label", ints(labels)), ("doc", ints(docs))];
        place.write_columns("rows.parquet", &columns, 500);
        let flags = ["--metrics=nc1_vci,separation_fisher_trace,separation_h_score,nc1_cdnv", "--format=json", "-q"];
        groups(&place.succeed(&with(&["measure", "rows.parquet", "--block-by=doc"], &flags)))[0]["metrics"].clone()
    };
    let (few, many) = (run(24), run(80));
    for key in ["nc1_vci", "separation_fisher_trace", "separation_h_score"] {
        assert!(few[key]["value"].is_number() && few[key]["se"].is_null(), "{}", few[key]);
        assert_eq!(few[key]["no_error_bar"], "replicate_without_value");
        assert!(many[key]["se"].as_f64().is_some_and(|se| se > 0.0), "{}", many[key]);
    }
    assert!(few["nc1_cdnv"]["se"].is_number());
}

#[test]
fn one_block_is_one_block() {
    let place = Place::new();
    let labels: Vec<i32> = (0..60).map(|row| row % 3).collect();
    let values = (0..120).map(|at| (at * 7 % 11) as f32).collect();
    let columns = [("feature", vectors(values, 2)), ("label", ints(labels)), ("doc", ints(vec![4; 60]))];
    place.write_columns("one.parquet", &columns, 60);
    let measure = ["measure", "one.parquet", "--block-by=doc", "--metrics=nc1_cdnv", "-q"];
    let group = groups(&place.succeed(&with(&measure, &["--format=json"])))[0].clone();
    assert_eq!(group["metrics"]["nc1_cdnv"]["no_error_bar"], "too_few_blocks");
    assert_eq!(
        (&group["replicates"]["blocks"], &group["flags"]),
        (&Value::from(vec![4]), &Value::from(Vec::<u8>::new()))
    );
    let table = place.succeed(&with(&measure, &["--format=table"]));
    assert!(table.contains("jackknife over 1 block; none for nc1_cdnv (too few blocks)"), "{table}");
    assert!(!table.contains("some classes have too few rows"), "{table}");
}

/// A block in which one dimension of small scale lies elsewhere: without it that dimension has its own digits.
#[test]
fn a_small_dimension_keeps_its_digits_without_a_block_that_lies_elsewhere() {
    let place = Place::new();
    let mut random = Random::new(14);
    let (mut values, mut labels, mut docs) = (Vec::new(), Vec::new(), Vec::new());
    for doc in 0..4 {
        for row in 0..60 {
            let small = 1e-5 * random.normal() + if doc == 0 { 1e3 } else { 0.0 };
            let wide = 1e4 * random.normal() + 1e4 * f64::from(row % 3);
            values.extend([wide, 1e4 * random.normal(), small].map(|x| x as f32));
            labels.push(row % 3);
            docs.push(doc);
        }
    }
    let write = |name: &str, rows: std::ops::Range<usize>| {
        let pick = |all: &[i32]| ints(all[rows.clone()].to_vec());
        let features = vectors(values[3 * rows.start..3 * rows.end].to_vec(), 3);
        place.write_columns(name, &[("feature", features), ("label", pick(&labels)), ("doc", pick(&docs))], 60);
    };
    write("all.parquet", 0..240);
    write("rest.parquet", 60..240);
    let flags = ["--metrics=nc1_vci,separation_fisher_trace", "--format=json", "-q"];
    let all = groups(&place.succeed(&with(&["measure", "all.parquet", "--block-by=doc"], &flags)))[0].clone();
    let rest = groups(&place.succeed(&with(&["measure", "rest.parquet"], &flags)))[0].clone();
    for key in ["nc1_vci", "separation_fisher_trace"] {
        let (found, expected) = (all["replicates"]["values"][key][0].as_f64(), rest["metrics"][key]["value"].as_f64());
        let (found, expected) = (found.unwrap(), expected.unwrap());
        assert!((found - expected).abs() < 1e-6 * expected, "{key}: {found} {expected}");
    }
}

/// What a block weighs are the rows that its metrics are made of: the same whether small and large classes are left out
/// before rows are counted, or from states.
#[test]
fn classes_that_are_left_out_weigh_nothing() {
    let place = Place::new();
    let mut random = Random::new(17);
    // Seven classes in blocks 0 to 4, and a large one in blocks 3 to 9.
    let labels: Vec<i32> = (0..700).map(|row| row % 7).chain((0..900).map(|_| 7)).collect();
    let docs: Vec<i32> = (0..700).map(|row| row / 7 % 5).chain((0..900).map(|row| 3 + row % 7)).collect();
    let values = labels.iter().flat_map(|&label| (0..5).map(move |j| (label, j)));
    let values: Vec<f32> =
        values.map(|(label, j)| (random.normal() + if label == j { 4.0 } else { 0.0 }) as f32).collect();
    place.write_columns(
        "rows.parquet",
        &[("feature", vectors(values, 5)), ("label", ints(labels)), ("doc", ints(docs))],
        300,
    );
    let tail = ["--max-count=200", "--metrics=nc1_cdnv,nc2_norm_mean", "--format=json", "-q"];
    let measured = place.succeed(&with(&["measure", "rows.parquet", "--block-by=doc"], &tail));
    place.succeed(&["accumulate", "rows.parquet", "--group-by=doc", "-o", "docs.ncst", "-q"]);
    let finished = place.succeed(&with(&["finish", "docs.ncst", "--block-by=doc"], &tail));
    let (measured, finished) = (groups(&measured)[0].clone(), groups(&finished)[0].clone());
    assert_eq!(measured["metrics"], finished["metrics"]);
    assert_eq!(measured["replicates"]["rows"], serde_json::json!([140, 140, 140, 140, 140]));
    assert_eq!(measured["replicates"], finished["replicates"]);
}

#[test]
fn flat_records_have_columns_only_if_asked_for() {
    let place = archive();
    let run = |more: &[&str]| {
        place.succeed(&with(&["measure", "in", "--metrics=nc1_cdnv,nc1_cdnv_q50", "--format=csv", "-q"], more))
    };
    assert!(run(&[]).starts_with("rows,classes,dim,dropped_classes,flags,nc1_cdnv,nc1_cdnv_q50\n"));
    let with_bars = run(&["--error-bars=jackknife"]);
    let head = "rows,classes,dim,dropped_classes,flags,nc1_cdnv,nc1_cdnv_se,nc1_cdnv_lo,nc1_cdnv_hi,nc1_cdnv_q50\n";
    assert!(with_bars.starts_with(head), "{with_bars}");
    let table = place.succeed(&["measure", "in", "--error-bars=jackknife", "--format=table", "-q"]);
    assert!(table.contains(" ± ") && table.contains("jackknife over 32 blocks"), "{table}");
}

#[test]
fn what_cannot_have_error_bars_is_refused_with_what_mends_it() {
    let place = archive();
    documents(&place, "docs.parquet", None);
    let says = |code: i32, arguments: &[&str], words: &[&str]| {
        let text = place.fail(code, arguments);
        for word in words {
            assert!(text.contains(word), "{arguments:?}: {text}");
        }
    };
    for wrong in ["jackknife:1", "jackknife:0", "jackknife:x", "bootstrap", "jackknife:100000"] {
        says(2, &["measure", "in", "--error-bars", wrong], &["--error-bars jackknife:32"]);
    }
    says(2, &["measure", "in", "--block-by=doc"], &["doc"]);
    says(2, &["measure", "docs.parquet", "--block-by=doc", "--group-by=doc"], &["each group would be a single block"]);
    says(2, &["accumulate", "docs.parquet", "-o", "x.ncst", "--block-by=doc"], &["--group-by doc"]);
    place.succeed(&["accumulate", "in", "-o", "plain.ncst", "-q"]);
    says(
        2,
        &["finish", "plain.ncst", "--error-bars=jackknife"],
        &["the state has no blocks", "accumulate --error-bars jackknife"],
    );
    says(2, &["finish", "plain.ncst", "--block-by=doc"], &["no such key", "--group-by of accumulate"]);
    place.succeed(&["accumulate", "in", "-o", "blocks.ncst", "-q", "--error-bars=jackknife:6"]);
    says(2, &["finish", "blocks.ncst", "--error-bars=jackknife:7"], &["other blocks", "jackknife:6"]);
    says(75, &["measure", "in", "--error-bars=jackknife:1000", "--memory=24MiB"], &["MiB"]);
    // More blocks than rows: those without rows count for nothing.
    let text = place.succeed(&[
        "measure",
        "in/00.parquet",
        "--error-bars=jackknife:1000",
        "--metrics=nc2_etf_error",
        "--format=json",
        "-q",
    ]);
    let group = &groups(&text)[0];
    let blocks = group["replicates"]["blocks"].as_array().unwrap().len();
    assert!(blocks <= 153 && blocks > 100, "{blocks}");
    assert!(group["metrics"]["nc2_etf_error"]["se"].as_f64().unwrap() > 0.0);
    // A single row has a block, and no error bar.
    place.write_columns("one.parquet", &[("feature", vectors(vec![1.0, 2.0], 2)), ("label", ints(vec![1]))], 9);
    let text = place.succeed(&[
        "measure",
        "one.parquet",
        "--error-bars=jackknife",
        "--metrics=separation_alignment,nc2_norm_mean,spectrum_rankme",
        "--format=json",
        "-q",
    ]);
    assert_eq!(groups(&text)[0]["metrics"]["spectrum_rankme"]["no_error_bar"], "too_few_blocks", "{text}");
}
