//! Which files, which columns, which groups: what the program chooses for the user, it says, and what it cannot choose it
//! refuses with the words to type.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int32Array, ListArray, StringArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use nckit::batch::{Batch, Features, Label};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use serde_json::Value;

use crate::faults::{Place, ints, plain, said, vectors};
use crate::rows::Random;

/// Some rows in classes of their own places, as columns.
fn rows(tag: u64, labels: &[i32]) -> [(&'static str, ArrayRef); 2] {
    let mut random = Random::new(tag);
    let value =
        |label: i32, j: usize| f64::from(label) * if j == label.unsigned_abs() as usize % 4 { 4.0 } else { 1.0 };
    let values = labels.iter().flat_map(|&label| (0..4).map(move |j| value(label, j)));
    let values: Vec<f32> = values.collect::<Vec<_>>().into_iter().map(|x| (x + random.normal()) as f32).collect();
    [("feature", vectors(values, 4)), ("label", ints(labels.to_vec()))]
}

fn three_classes() -> Vec<i32> {
    (0..30).map(|row| row % 3).collect()
}

/// Rows under a text column of a name.
fn with_column(tag: u64, name: &'static str, value: &str) -> Vec<(&'static str, ArrayRef)> {
    let labels = three_classes();
    let column: ArrayRef = Arc::new(StringArray::from(vec![value; labels.len()]));
    rows(tag, &labels).into_iter().chain([(name, column)]).collect()
}

fn measure<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [&["measure"], arguments, &["--metrics=nc1_trace_ratio,nc1_cdnv"]].concat()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What is said beside the result of a run that succeeds.
fn notes(place: &Place, arguments: &[&str]) -> String {
    let output = place.run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

#[test]
fn what_is_pooled_is_said_and_recorded() {
    let place = Place::new();
    for epoch in 0..3 {
        place.write_columns(&format!("hive/epoch={epoch}/x.parquet"), &rows(epoch, &three_classes()), 99);
        place.write_columns(&format!("named/epoch_00{epoch}.parquet"), &rows(epoch, &three_classes()), 99);
        place.write_columns(&format!("pieces/part-{epoch}.parquet"), &rows(epoch, &three_classes()), 99);
        let name = ["train", "val", "test"][epoch as usize];
        place.write_columns(&format!("splits/{name}.parquet"), &rows(epoch, &three_classes()), 99);
        place.write_columns(&format!("flat/{epoch}.parquet"), &with_column(epoch, "run", &format!("r{epoch}")), 99);
    }
    let said = |input: &str| notes(&place, &measure(&[input]));
    assert!(said("hive").contains("pools 3 values of epoch (0, 1, 2): --group-by epoch"), "{}", said("hive"));
    assert!(said("named").contains("differ in epoch (000, 001, 002)"), "{}", said("named"));
    assert!(said("splits").contains("differ in split (test, train, val)"), "{}", said("splits"));
    assert!(said("flat").contains("column run from r0 to r2: --group-by run"), "{}", said("flat"));
    assert!(!said("pieces").contains("pools"), "{}", said("pieces"));
    for parted in [&["hive", "--group-by=epoch"][..], &["hive", "--where=epoch=1"], &["flat", "--group-by=run"]] {
        let said = notes(&place, &measure(parted));
        assert!(!said.contains("pools"), "{parted:?}: {said}");
    }
    // The record says it too, whichever way it was made.
    let whole = place.succeed(&measure(&["hive", "--format=json", "-q"]));
    assert_eq!(json(&whole)["options"]["pooled"], "epoch (3 values)");
    let counted = place.run(&["accumulate", "hive", "-o", "x.ncst", "--metrics=nc1_trace_ratio,nc1_cdnv"]);
    assert!(crate::faults::said(&counted).contains("pools 3 values of epoch"), "{}", crate::faults::said(&counted));
    let finish = ["finish", "x.ncst", "--metrics=nc1_trace_ratio,nc1_cdnv", "--format=json"];
    assert_eq!(place.succeed(&finish), whole);
    assert!(notes(&place, &finish).contains("pools 3 values of epoch"));
}

/// What only rows say is said once they were read, in every format, and recorded.
#[test]
fn what_only_rows_show_to_be_pooled_is_said_and_recorded() {
    let place = Place::new();
    let labels: Vec<i32> = (0..48).map(|row| row % 3).collect();
    let texts = |value: &dyn Fn(usize) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from((0..labels.len()).map(value).collect::<Vec<_>>()))
    };
    let epochs = ("epoch", ints((0..labels.len() as i32).map(|row| row / 3 % 2).collect()));
    let with = |tag: u64, more: Vec<(&'static str, ArrayRef)>| -> Vec<(&'static str, ArrayRef)> {
        rows(tag, &labels).into_iter().chain(more).collect()
    };
    // Both values are in one row group.
    let split = ("split", texts(&|row| if row % 5 == 0 { "test" } else { "train" }));
    place.write_columns("mixed.parquet", &with(1, vec![epochs.clone(), split]), 99);
    place.write_columns("mix/train/a.parquet", &with(2, vec![epochs.clone()]), 99);
    place.write_columns("mix/test/a.parquet", &with(3, vec![epochs.clone()]), 99);
    // A run of its own at each epoch is not pooled.
    let run = ("run", texts(&|row| if row / 3 % 2 == 0 { "a" } else { "b" }));
    place.write_columns("runs.parquet", &with(4, vec![epochs, run]), 99);
    let line = |row: usize| format!("{},{}.5,{},{}\n", row % 7, row % 5, row % 3, row / 24);
    fs::write(place.path("x.csv"), format!("f0,f1,label,epoch\n{}", (0..48).map(line).collect::<String>())).unwrap();

    let by_epoch = "--group-by=epoch";
    for (input, more, text, record) in [
        ("mixed.parquet", &[by_epoch][..], "values of the column split from test to train", "split (test to train)"),
        ("mix", &[by_epoch], "differ in split (test, train)", "split (2 values)"),
        ("x.csv", &["--features=f*"], "values of the column epoch from 0 to 1", "epoch (0 to 1)"),
    ] {
        let run = [&measure(&[input])[..], more].concat();
        let said = notes(&place, &run);
        assert_eq!(said.matches(text).count(), 1, "{input}: {said}");
        let made = json(&place.succeed(&[&run[..], &["--format=json", "-q"]].concat()));
        assert_eq!(made["options"]["pooled"], record, "{input}");
        let state = format!("{input}.ncst");
        let counted = place.run(&[&["accumulate", input, "-o", &state][..], more].concat());
        assert!(crate::faults::said(&counted).contains(text), "{input}: {}", crate::faults::said(&counted));
        let told = place.run(&[&["inspect", input][..], more].concat());
        assert!(crate::faults::said(&told).contains(text), "{input}: {}", crate::faults::said(&told));
    }
    let filtered = ["mixed.parquet", by_epoch, "--where=split=train"];
    for parted in [&["runs.parquet", by_epoch][..], &filtered, &["mixed.parquet", "--group-by=epoch,split"]] {
        let said = notes(&place, &measure(parted));
        assert!(!said.contains("pools"), "{parted:?}: {said}");
    }
}

#[test]
fn a_filter_of_the_input_says_what_it_does_not_reach() {
    let place = Place::new();
    for (tag, split) in ["train", "test", "ood"].into_iter().enumerate() {
        place.write_columns(&format!("in/split={split}/x.parquet"), &rows(tag as u64, &three_classes()), 99);
        place.write_columns(&format!("flat/{tag}.parquet"), &with_column(tag as u64, "split", split), 99);
    }
    for input in ["in", "flat"] {
        let run = ["measure", input, "--where=split=train", "--metrics=nc5", "--ood"];
        let said = notes(&place, &[&run[..], &[input]].concat());
        assert!(said.contains("--where filters INPUT alone, --ood reads split"), "{said}");
        assert!(said.contains(&format!("--ood '{input}?split=…' filters it")), "{said}");
        let said = notes(&place, &[&run[..], &[&format!("{input}?split=ood")]].concat());
        assert!(!said.contains("filters INPUT alone") && !said.contains("pools"), "{said}");
    }
    let head = place.path("head.parquet");
    let weight = vectors(vec![0.5; 12], 4);
    place.write_columns("head.parquet", &[("class", ints(vec![0, 1, 2])), ("weight", weight)], 99);
    let decisions = ["--decisions=in", "--metrics=nc4", "--head", head.to_str().unwrap()];
    let said = notes(&place, &[&["measure", "in", "--where=split=train"][..], &decisions].concat());
    assert!(said.contains("--decisions reads split"), "{said}");
}

/// Rows that are left out do not count towards the size of their class.
#[test]
fn classes_are_as_large_as_the_rows_that_are_left() {
    let place = Place::new();
    let labels: Vec<i32> = [vec![0; 3], vec![1; 4], vec![2; 5]].concat();
    let columns = |nulls: &[usize], nans: &[usize]| {
        let mut values: Vec<f32> = (0..48).map(|at| (at * at % 23) as f32).collect();
        for &row in nans {
            values[4 * row + 1] = f32::NAN;
        }
        let field = Arc::new(Field::new("item", DataType::Float32, true));
        let valid: NullBuffer = (0..12).map(|row| !nulls.contains(&row)).collect();
        let values = Arc::new(Float32Array::from(values));
        let list = FixedSizeListArray::new(field, 4, values, Some(valid));
        [("feature", Arc::new(list) as ArrayRef), ("label", ints(labels.clone()))]
    };
    let metrics = ["--metrics=nc1_trace_ratio,nc2_norm_mean", "--format=csv", "-q"];
    for (name, nulls, nans) in [("nulls", &[2_usize, 7][..], &[][..]), ("nans", &[], &[2, 7]), ("both", &[7], &[2])] {
        place.write_columns("x.parquet", &columns(nulls, nans), 5);
        let skip = ["x.parquet", "--nulls=skip", "--nonfinite=skip"];
        place.succeed(&[&["accumulate"], &skip[..], &["-o", "x.ncst", "--overwrite", "-q"]].concat());
        for limit in ["--min-count=3", "--min-count=4", "--max-count=2", "--max-count=4"] {
            let whole = place.succeed(&[&["measure"], &skip[..], &[limit], &metrics].concat());
            let finished = place.succeed(&[&["finish", "x.ncst", limit][..], &metrics].concat());
            assert_eq!(whole, finished, "{name} {limit}");
        }
    }
}

#[test]
fn a_group_whose_rows_are_all_left_out_is_there_with_its_counts() {
    let place = Place::new();
    place.write_columns("in/g=1/x.parquet", &rows(1, &three_classes()), 99);
    place.write_columns("in/g=2/x.parquet", &rows(2, &[-1; 20]), 99);
    let mut nan = rows(3, &three_classes());
    nan[0].1 = vectors(vec![f32::NAN; 120], 4);
    place.write_columns("in/g=3/x.parquet", &nan, 99);
    place.write_columns("in/g=4/x.parquet", &rows(4, &[0, 1, 2, 3, 4]), 99);
    let rows = ["in", "--group-by=g", "--ignore-label=-1", "--nonfinite=skip"];
    let metrics = "--metrics=nc1_trace_ratio,nc2_etf_error";
    let more = [metrics, "--format=json", "-q"];
    let whole = place.succeed(&[&["measure"], &rows[..], &["--min-count=2"], &more].concat());
    let groups = json(&whole)["groups"].as_array().unwrap().clone();
    let found: Vec<_> = groups
        .iter()
        .map(|group| {
            let nonfinite: u64 =
                group["skipped"]["nonfinite"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
            let skipped = ["ignored", "filtered"].map(|reason| group["skipped"][reason].as_u64().unwrap());
            (group["key"]["g"].as_i64().unwrap(), group["rows"].as_u64().unwrap(), skipped, nonfinite)
        })
        .collect();
    assert_eq!(found, [(1, 30, [0, 0], 0), (2, 0, [20, 0], 0), (3, 0, [0, 0], 30), (4, 0, [0, 5], 0)]);
    for group in &groups[1..] {
        assert_eq!(group["metrics"]["nc1_trace_ratio"]["value"], Value::Null);
        assert_eq!(group["metrics"]["nc1_trace_ratio"]["reason"], "no_rows");
    }
    assert_eq!(groups[3]["dropped_classes"], 5);
    // A state keeps them, and a table shows them.
    place.succeed(&[&["accumulate"], &rows[..], &[metrics, "-o", "x.ncst", "-q"]].concat());
    place.succeed(&["verify", "x.ncst"]);
    assert_eq!(place.succeed(&[&["finish", "x.ncst", "--min-count=2"][..], &more].concat()), whole);
    let table =
        place.succeed(&[&["measure"], &rows[..], &["--metrics=nc1_trace_ratio", "--format=table", "-q"]].concat());
    assert!(table.contains("no rows") && table.contains("20 rows with the ignored label"), "{table}");
    // Alone they are nothing to measure.
    let said = place.fail(66, &["measure", "in/g=2", "--ignore-label=-1"]);
    assert!(said.contains("rows ignored 20") && said.contains("--ignore-label"), "{said}");
}

#[test]
fn files_are_known_by_what_is_in_them() {
    let place = Place::new();
    for (tag, name) in ["a.parquet", "b.pq", "c", "d.PARQUET", "e.snappy"].into_iter().enumerate() {
        place.write_columns(&format!("in/{name}"), &rows(tag as u64, &three_classes()), 99);
    }
    fs::write(place.path("in/README.md"), "# Rows\n\nof a model.\n").unwrap();
    fs::write(place.path("in/weights.npy"), b"\x93NUMPY\x01\0").unwrap();
    fs::write(place.path("in/nothing"), "").unwrap();
    fs::write(place.path("in/_SUCCESS"), "").unwrap();
    fs::copy(place.path("in/a.parquet"), place.path("in/_metadata")).unwrap();
    let said = notes(&place, &measure(&["in"]));
    assert!(said.contains("5 files · 150 rows"), "{said}");
    assert!(said.contains("over 3 files (1 × a NumPy array (.npy), 1 × empty, 1 × text); -v names them"), "{said}");
    let said = notes(&place, &measure(&["in", "-v"]));
    for file in
        ["in/README.md   text", "in/weights.npy   a NumPy array", "in/nothing   empty", "in/_SUCCESS", "in/_metadata"]
    {
        assert!(said.contains(file), "no {file:?} in {said}");
    }
    assert!(notes(&place, &measure(&["in/*"])).contains("5 files · 150 rows"));
    // What was set aside by its name is news.
    fs::copy(place.path("in/a.parquet"), place.path("in/_more.parquet")).unwrap();
    let said = notes(&place, &measure(&["in"]));
    assert!(said.contains("features, but hidden by its name"), "{said}");
    // A cut file is no other file, whatever it is called.
    let bytes = fs::read(place.path("in/c")).unwrap();
    fs::write(place.path("in/c"), &bytes[..bytes.len() - 3]).unwrap();
    assert!(place.fail(65, &measure(&["in"])).contains("truncated"));
    fs::create_dir(place.path("none")).unwrap();
    fs::write(place.path("none/x.h5"), b"\x89HDF\r\n\x1a\n\0\0").unwrap();
    let said = place.fail(66, &measure(&["none"]));
    assert!(
        said.contains("found 1 × an HDF5 file") && said.contains("\n    f, d = h5py.File(\"none/x.h5\")"),
        "{said}"
    );
    // A cut array is one all the same.
    fs::write(place.path("none/x.npy"), b"\x93NUMPY\x01\0").unwrap();
    assert!(place.fail(65, &measure(&["none"])).contains("truncated"));
    fs::create_dir(place.path("store")).unwrap();
    fs::write(place.path("store/.zgroup"), "{}").unwrap();
    let said = place.fail(66, &measure(&["store"]));
    assert!(said.contains("found a zarr store") && said.contains("zarr.open(\"store\""), "{said}");
}

/// The output of a command that must end, and soon.
fn in_time(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = place.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_mins(1) {
            child.kill().unwrap();
            panic!("{arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), said(&output))
}

#[test]
fn what_is_no_file_is_refused_before_it_is_opened() {
    let place = Place::new();
    place.archive(1, 1);
    let fifo = |name: &str| assert!(Command::new("mkfifo").arg(place.path(name)).status().unwrap().success());
    fifo("fifo");
    fifo("in/pipe");
    for verb in ["measure", "inspect"] {
        let (code, said) = in_time(&place, &[verb, "fifo"]);
        assert!(code == Some(2) && said.contains("it is a FIFO"), "{verb}: {said}");
    }
    let (code, said) = in_time(&place, &["measure", "/dev/zero"]);
    assert!(code == Some(2) && said.contains("it is a device"), "{said}");
    let (code, said) = in_time(&place, &measure(&["in", "-v"]));
    assert!(code == Some(0) && said.contains("in/pipe   a FIFO"), "{said}");
    // By its name this would be data.
    fifo("in/x.parquet");
    let (code, said) = in_time(&place, &measure(&["in"]));
    assert!(code == Some(2) && said.contains("in/x.parquet") && said.contains("FIFO"), "{said}");
    #[cfg(feature = "sql")]
    {
        let (code, said) = in_time(&place, &["sql", "-c", "SELECT count(*) FROM 'fifo'"]);
        assert!(code != Some(0) && said.contains("it is a FIFO"), "{said}");
    }
}

#[test]
fn links_that_loop_do_not_keep_a_pattern() {
    let place = Place::new();
    place.archive(2, 1);
    for name in ["in/one", "in/two"] {
        symlink(place.path("in"), place.path(name)).unwrap();
    }
    for input in ["in/**/*.parquet", "**/*.parquet", "in/**", "in"] {
        let (code, said) = in_time(&place, &measure(&[input]));
        assert!(code == Some(0) && said.contains("2 files"), "{input}: {said}");
    }
}

#[test]
fn files_without_rows_conflict_with_nobody() {
    let place = Place::new();
    place.write_columns("in/b=1/x.parquet", &rows(1, &three_classes()), 99);
    let none: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    // First by name, of another schema, and under a key of another type and of no such name.
    place.write_columns("in/a=text/x.parquet", &[("something", none.clone())], 99);
    place.write_columns("in/b=text/x.parquet", &[("label", none), ("feature", vectors(Vec::new(), 9))], 99);
    let said = notes(&place, &measure(&["in", "--group-by=b", "--where=b=1"]));
    assert!(said.contains("1 file · 30 rows"), "{said}");
    let said = notes(&place, &measure(&["in", "--group-by=b"]));
    assert!(said.contains("1 file · 30 rows") && said.contains("2 × without rows"), "{said}");
    assert!(place.succeed(&["inspect", "in", "-q"]).contains("N = 30"));
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    let said = place.succeed(&["verify", "x.ncst", "--inputs", "in"]);
    assert!(said.contains("match what was counted (1 file, by size and footer)"), "{said}");
    #[cfg(feature = "sql")]
    assert_eq!(
        place.succeed(&["sql", "-c", "SELECT b, count(*) AS n FROM 'in' GROUP BY b", "-q"]),
        "{\"b\":1,\"n\":30}\n"
    );
}

#[test]
fn equal_content_is_of_two_groups_or_refused() {
    let place = Place::new();
    place.write_columns("in/epoch=1/x.parquet", &rows(1, &three_classes()), 99);
    fs::create_dir(place.path("in/epoch=2")).unwrap();
    fs::copy(place.path("in/epoch=1/x.parquet"), place.path("in/epoch=2/x.parquet")).unwrap();
    let said = place.fail(65, &measure(&["in"]));
    assert!(said.contains("--group-by epoch makes two groups of them"), "{said}");
    let records = place.succeed(&measure(&["in", "--group-by=epoch", "-q"]));
    let records: Vec<Value> = records.lines().map(json).collect();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0]["nc1_cdnv"], records[1]["nc1_cdnv"]);
    // In one run, one after the other, and in two states.
    let accumulate = |input: &str, state: &str, more: &[&str]| {
        place.succeed(&[&["accumulate", input, "--group-by=epoch", "-o", state, "-q"][..], more].concat());
    };
    accumulate("in", "whole.ncst", &[]);
    accumulate("in/epoch=1", "one.ncst", &[]);
    accumulate("in/epoch=2", "two.ncst", &[]);
    place.succeed(&["merge", "one.ncst", "two.ncst", "-o", "both.ncst", "-q"]);
    accumulate("in", "one.ncst", &["--extend"]);
    let bytes = |name: &str| fs::read(place.path(name)).unwrap();
    assert!(bytes("both.ncst") == bytes("whole.ncst") && bytes("one.ncst") == bytes("whole.ncst"));
    // Within a group it is counted once or not at all.
    fs::copy(place.path("in/epoch=1/x.parquet"), place.path("in/epoch=1/y.parquet")).unwrap();
    let said = place.fail(65, &measure(&["in", "--group-by=epoch"]));
    assert!(said.contains("the same content under two names"), "{said}");
}

#[test]
fn a_path_and_a_column_that_say_different_things_are_refused() {
    for statistics in [EnabledStatistics::Chunk, EnabledStatistics::None] {
        let place = Place::new();
        let properties = || WriterProperties::builder().set_statistics_enabled(statistics).build();
        let write =
            |name: &str, tag, value: &str| place.write_with(name, &with_column(tag, "split", value), properties());
        write("in/split=train/x.parquet", 1, "train");
        write("in/split=test/x.parquet", 2, "test");
        let same = place.succeed(&measure(&["in", "--group-by=split", "-q"]));
        assert_eq!(same.lines().count(), 2);
        write("in/split=test/x.parquet", 2, "train");
        for arguments in [&["in", "--group-by=split"][..], &["in", "--where=split=test"]] {
            let said = place.fail(65, &measure(arguments));
            assert!(said.contains("in/split=test/x.parquet") && said.contains("in the path test"), "{said}");
            assert!(said.contains("in the column train"), "{said}");
        }
        // A file that is not asked for is not looked at.
        place.succeed(&measure(&["in", "--where=split=train", "-q"]));
        #[cfg(feature = "sql")]
        {
            let query = "SELECT nc1_cdnv(feature, label) FROM 'in' WHERE split = 'test'";
            let said = place.fail(65, &["sql", "-c", query]);
            assert!(said.contains("in the path test"), "{said}");
        }
    }
    // The same number, however it is written.
    let place = Place::new();
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![3; 30]));
    let columns: Vec<_> = rows(1, &three_classes()).into_iter().chain([("epoch", numbers)]).collect();
    place.write_columns("in/epoch=003/x.parquet", &columns, 99);
    place.succeed(&measure(&["in", "--group-by=epoch", "-q"]));
}

#[test]
fn the_null_partition_is_null() {
    let place = Place::new();
    place.write_columns("in/epoch=3/x.parquet", &rows(1, &three_classes()), 99);
    place.write_columns("in/epoch=__HIVE_DEFAULT_PARTITION__/x.parquet", &rows(2, &three_classes()), 99);
    let said = place.fail(65, &measure(&["in", "--group-by=epoch"]));
    assert!(said.contains("null in a group key") && said.contains("--where epoch="), "{said}");
    // The others are numbers all the same.
    let record = place.succeed(&measure(&["in", "--group-by=epoch", "--where=epoch=03", "-q"]));
    assert_eq!(json(&record)["epoch"], 3);
    #[cfg(feature = "sql")]
    {
        let query = "SELECT epoch, count(*) AS n FROM 'in' GROUP BY epoch ORDER BY epoch NULLS LAST";
        assert_eq!(place.succeed(&["sql", "-c", query, "-q"]), "{\"epoch\":3,\"n\":30}\n{\"epoch\":null,\"n\":30}\n");
        let query = "SELECT count(*) AS n FROM 'in' WHERE epoch IS NULL";
        assert_eq!(place.succeed(&["sql", "-c", query, "-q"]), "{\"n\":30}\n");
    }
}

#[test]
fn bytes_are_vectors_once_their_type_is_named() {
    let place = Place::new();
    let labels = three_classes();
    let mut random = Random::new(7);
    let values: Vec<half::bf16> = labels
        .iter()
        .flat_map(|&label| [label, -label])
        .map(|x| half::bf16::from_f64(f64::from(x) + random.normal()))
        .collect();
    let wide: Vec<f32> = values.iter().map(|value| value.to_f32()).collect();
    let bytes = values.chunks(2).map(|row| row.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    let bytes: ArrayRef = Arc::new(arrow::array::FixedSizeBinaryArray::try_from_iter(bytes).unwrap());
    place.write_columns("bytes.parquet", &[("emb", bytes), ("label", ints(labels.clone()))], 99);
    place.write_columns("lists.parquet", &[("emb", vectors(wide, 2)), ("label", ints(labels))], 99);
    let said = place.fail(2, &measure(&["bytes.parquet"]));
    assert!(said.contains("--features emb --dtype f32 (or f16, bf16, f64)"), "{said}");
    let numbers = ["--metrics=nc1_trace_ratio,nc1_cdnv,nc1_pinv", "--format=csv", "-q"];
    let expected = place.succeed(&[&["measure", "lists.parquet"][..], &numbers].concat());
    let typed = ["bytes.parquet", "--features=emb", "--dtype=bf16"];
    assert_eq!(place.succeed(&[&["measure"], &typed[..], &numbers].concat()), expected);
    // What rounding to bf16 left in them is known, by whichever way they come.
    let record = place.succeed(&[&["measure"], &typed[..], &["--format=json", "-q"]].concat());
    assert!(record.contains("\"significand_bits\": 8"), "{record}");
    let said = notes(&place, &measure(&typed));
    assert!(said.contains("fixed_size_binary(4) as bf16, widened to f32"), "{said}");
    // A state knows the type, for rows that are read beside it and for those that are read again.
    place.succeed(&[&["accumulate"], &typed[..], &["-o", "x.ncst", "-q"]].concat());
    place.succeed(&["finish", "x.ncst", "--ood=bytes.parquet", "--metrics=nc5_ortho_dev", "-q"]);
    place.succeed(&["verify", "x.ncst", "--inputs", "bytes.parquet", "--deep"]);
    #[cfg(feature = "sql")]
    {
        let query =
            |from: &str| format!("SELECT nc1_trace_ratio(emb, label) AS t, nc1_cdnv(emb, label) AS c FROM '{from}'");
        let same = place.succeed(&["sql", "-c", &query("lists.parquet"), "-q"]);
        for (from, bits) in [("lists.parquet", 24), ("bytes.parquet?emb=bf16", 8), ("x.ncst", 8)] {
            let state = if from.ends_with("ncst") { "state" } else { "nc_state(emb, label)" };
            let query = format!("SELECT s.significand_bits AS bits FROM (SELECT {state} AS s FROM '{from}')");
            assert_eq!(place.succeed(&["sql", "-c", &query, "-q"]), format!("{{\"bits\":{bits}}}\n"), "{from}");
        }
        assert_eq!(place.succeed(&["sql", "-c", &query("bytes.parquet?emb=bf16"), "-q"]), same);
        let said = place.fail(2, &["sql", "-c", &query("bytes.parquet")]);
        assert!(said.contains("?COLUMN=f32"), "{said}");
        let said = place.fail(2, &["sql", "-c", &query("bytes.parquet?emb=f8")]);
        assert!(said.contains("bf16"), "{said}");
        let said = place.fail(2, &["sql", "-c", &query("bytes.parquet?label=f32")]);
        assert!(said.contains("label"), "{said}");
    }
}

#[test]
fn rows_out_of_distribution_need_no_labels() {
    let place = Place::new();
    place.write_columns("in.parquet", &rows(1, &three_classes()), 99);
    let feature = || rows(2, &[0; 20])[0].clone();
    let of = |labels: ArrayRef| vec![feature(), ("label", labels)];
    let nulls: ArrayRef = Arc::new((0..20).map(|row| (row % 4 > 0).then_some(1)).collect::<Int32Array>());
    let both = ints((0..20).collect());
    let cases: [(&str, Vec<(&str, ArrayRef)>); 8] = [
        ("none", vec![feature()]),
        ("null", of(Arc::new(Int32Array::from(vec![None; 20])))),
        ("some", of(nulls)),
        ("negative", of(ints(vec![-1; 20]))),
        ("floats", of(Arc::new(Float64Array::from(vec![0.5; 20])))),
        ("texts", of(Arc::new(StringArray::from(vec!["svhn"; 20])))),
        ("lists", of(vectors(vec![0.0; 40], 2))),
        ("two", vec![feature(), ("y", both.clone()), ("target", both)]),
    ];
    let run = |name: &str, more: &[&str]| {
        place.succeed(&[&["measure", "in.parquet", "--metrics=nc5_ortho_dev", "--ood", name, "-q"][..], more].concat())
    };
    for (name, columns) in cases {
        place.write_columns(name, &columns, 99);
        // Labels of one value, or none, change nothing: the mean of all rows is that of the one class.
        let value = run(name, &["--features=feature"]);
        if name != "some" {
            assert_eq!(value, run("none", &["--features=feature"]), "{name}");
        }
    }
    // The rows without a label are a class of their own.
    assert_ne!(run("some", &[]), run("none", &[]));
    assert_eq!(run("some", &["--option=ood_mean=rows"]), run("none", &["--option=ood_mean=rows"]));
    let said = notes(&place, &["measure", "in.parquet", "--metrics=nc5_ortho_dev", "--ood=some"]);
    assert!(said.contains("mean of the means by label"), "{said}");
    // Named columns are those of the input.
    run("none", &["--labels=label"]);
    let said = place.fail(66, &["measure", "in.parquet", "--metrics=nc5", "--ood=negative", "--ignore-label=-1"]);
    assert!(said.contains("no out-of-distribution row is left") && said.contains("rows ignored 20"), "{said}");
}

#[test]
fn a_batch_takes_no_nan() {
    let labels = [Label::Int(0)];
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let wide = [0.0, 1.0, 2.0, bad];
        let single: Vec<f32> = wide.iter().map(|&x| x as f32).collect();
        let half: Vec<half::f16> = wide.iter().map(|&x| half::f16::from_f64(x)).collect();
        for features in [Features::F64(&wide), Features::F32(&single), Features::F16(&half)] {
            let error = Batch::new(2, features, &[0, 0], &labels).unwrap_err();
            assert_eq!((error.fact("row"), error.fact("dimension")), (Some("1"), Some("1")), "{bad}");
        }
    }
    assert!(Batch::new(2, Features::F64(&[f64::MAX, f64::MIN_POSITIVE]), &[0], &labels).is_ok());
}

#[test]
fn verify_says_what_it_compared_and_deep_compares_rows() {
    let place = Place::new();
    place.write_with("in/a.parquet", &rows(1, &three_classes()), plain());
    place.write_columns("in/b.parquet", &rows(2, &three_classes()), 15);
    place.write_columns("in/c.parquet", &rows(3, &three_classes()), 15);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    let verify = |more: &[&str]| place.run(&[&["verify", "x.ncst", "--inputs", "in"][..], more].concat());
    let text = |output: &std::process::Output| String::from_utf8(output.stdout.clone()).unwrap();
    let said = text(&verify(&[]));
    assert!(said.contains("(3 files, by size and footer)"), "{said}");
    let said = text(&verify(&["--deep"]));
    assert!(said.contains("(3 files, by size, footer, and the features and labels of 5 row groups)"), "{said}");
    // A value changes, and nothing that the file system or the footer tells.
    let path = place.path("in/a.parquet");
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let value = rows(1, &three_classes())[0].1.clone();
    let value = arrow::array::AsArray::as_fixed_size_list(&value).value(7);
    let value = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float32Type>(&value).value(2).to_le_bytes();
    let at = bytes.windows(4).position(|window| window == value).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::open(&path).unwrap().set_modified(written).unwrap();
    assert!(verify(&[]).status.success());
    let output = verify(&["--deep"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("a.parquet: row group 0: its rows are not those that were counted"),
        "{}",
        text(&output)
    );
}

#[test]
fn row_groups_that_nobody_asked_for_are_no_difference() {
    let place = Place::new();
    // Row groups that statistics exclude, those in which no row passes, and a file of which nothing is asked for.
    let labels: Vec<i32> = three_classes();
    let split = |rows: std::ops::Range<usize>| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.map(|row| if row < 10 { "train" } else { "test" })))
    };
    let columns = |tag, rows_of| rows(tag, &labels).into_iter().chain([("split", split(rows_of))]).collect::<Vec<_>>();
    place.write_columns("in/a.parquet", &columns(1, 0..30), 10);
    place.write_columns("in/b.parquet", &columns(2, 30..60), 10);
    for (where_, state) in [("split=train", "one.ncst"), ("split=test", "other.ncst")] {
        place.succeed(&["accumulate", "in", "--where", where_, "-o", state, "-q"]);
        let said = place.succeed(&["verify", state, "--inputs", "in", "--deep"]);
        assert!(said.contains("ok: "), "{said}");
    }
    place.succeed(&["merge", "one.ncst", "other.ncst", "-o", "both.ncst", "-q"]);
    let said = place.succeed(&["verify", "both.ncst", "--inputs", "in", "--deep"]);
    assert!(said.contains("the features and labels of 6 row groups"), "{said}");
    // What was not counted is told: a new file, and a shard's other part.
    place.write_columns("in/c.parquet", &columns(3, 0..30), 10);
    let output = place.run(&["verify", "one.ncst", "--inputs", "in"]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("c.parquet: not counted"));
}

#[test]
fn inspect_estimates_the_whole_run() {
    let place = Place::new();
    place.archive(2, 1);
    let said = notes(&place, &["inspect", "in"]);
    assert!(said.contains("less than a second to measure all metrics, in 1 pass"), "{said}");
}

#[test]
fn what_is_no_parquet_is_named_with_the_way_to_parquet() {
    let place = Place::new();
    place.archive(1, 1);
    place.succeed(&["accumulate", "in", "-o", "all.ncst", "-q"]);
    let torch = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let cases: [(&str, &[u8], &str, &str); 8] = [
        ("x.pt", torch, "a PyTorch file in the format before version 1.6", "torch.load(\"x.pt\""),
        ("x.pkl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0", "a Python pickle", "pickle.load(open(\"x.pkl\", \"rb\"))"),
        ("x.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0", "an HDF5 file", "h5py.File(\"x.h5\")"),
        ("x.json", b"{\"feature\": [1.0, 2.0]}", "JSON", "json.load(open(\"x.json\"))"),
        ("x.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0\0\0", "compressed with gzip", "unpack it first"),
        ("x.zst", b"\x28\xb5\x2f\xfd\0\0\0\0\0\0\0\0", "compressed with zstd", "unpack it first"),
        (
            "lfs.parquet",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "a pointer of Git LFS",
            "git lfs pull",
        ),
        ("page.parquet", b"<!DOCTYPE html><html></html>", "a web page", "fetch it again"),
    ];
    for (name, bytes, what, help) in cases {
        fs::write(place.path(name), bytes).unwrap();
        let said = place.fail(65, &["measure", name]);
        assert!(said.contains(what) && said.contains(help), "{name}: {said}");
        let output = place.run(&["measure", "in", name, "--on-bad-file=skip", "--metrics=nc1_cdnv"]);
        assert!(
            output.status.success() && crate::faults::said(&output).contains(what),
            "{}",
            crate::faults::said(&output)
        );
    }
    let said = place.fail(65, &["measure", "all.ncst"]);
    assert!(said.contains("an nckit state file") && said.contains("nckit finish all.ncst"), "{said}");
    for (input, help) in [
        ("s3a://bucket/emb/x.parquet", "write s3://bucket/emb/x.parquet"),
        ("gcs://bucket/emb", "write gs://bucket/emb"),
        ("hf://datasets/user/set", "hf download user/set"),
        ("ftp://host/x.parquet", "curl -LO"),
    ] {
        let said = place.fail(2, &["measure", input]);
        assert!(said.contains("nckit does not read from there") && said.contains(help), "{said}");
    }
}

/// A file, its columns, and what is said of it.
type Case<'a> = (&'a str, Vec<(&'a str, ArrayRef)>, &'a str, &'a str);

#[test]
fn columns_that_cannot_be_used_are_told_with_their_types_and_the_way_in_sql() {
    let place = Place::new();
    let label = ints(vec![0, 1]);
    let inner = arrow::array::AsArray::as_fixed_size_list(&vectors((0..8).map(|x| x as f32).collect(), 2)).clone();
    let lists = |values: ArrayRef, lengths: [usize; 2]| -> ArrayRef {
        let item = Arc::new(Field::new("item", values.data_type().clone(), true));
        Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), values, None))
    };
    let nested = lists(Arc::new(inner), [2, 2]);
    let numbers = lists(Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3, 4])), [2, 2]);
    let single = |x: f64| -> ArrayRef { Arc::new(Float64Array::from(vec![x, x + 1.0])) };
    let cases: [Case<'_>; 3] = [
        ("nested", vec![("emb", nested)], "emb list<fixed_size_list<f32>>", "nc1_pinv(flatten(emb), label)"),
        ("numbers", vec![("emb", numbers)], "emb list<int64>", "nc1_pinv(arrow_cast(emb, 'List(Float64)'), label)"),
        (
            "flat",
            ["f0", "f1", "f2", "f3"].map(|name| (name, single(name.len() as f64))).to_vec(),
            "f0 float64",
            "make_array(f0, …, f3)",
        ),
    ];
    for (name, columns, kind, way) in cases {
        let columns: Vec<_> = columns.into_iter().chain([("label", label.clone())]).collect();
        place.write_columns(name, &columns, 99);
        let said = place.fail(2, &["measure", name]);
        assert!(said.contains(kind) && said.contains(way), "{name}: {said}");
        // The way is one.
        #[cfg(feature = "sql")]
        {
            let vectors = way.trim_start_matches("nc1_pinv(").trim_end_matches(", label)").replace('…', "f1, f2");
            let query = format!("SELECT nc_state({vectors}, label) AS s FROM '{name}'");
            place.succeed(&["sql", "-c", &query, "-q"]);
        }
    }
    let said = place.fail(2, &["measure", "nested", "--features=emb"]);
    assert!(said.contains("flatten(emb)"), "{said}");
    assert_eq!(DataType::Int32, *label.data_type());
}

#[test]
fn names_that_are_nearly_there_are_proposed() {
    let place = Place::new();
    place.write_columns("in/epoch=1/x.parquet", &rows(1, &three_classes()), 99);
    for (arguments, near) in [
        (&["in", "--features=featrue"][..], "did you mean feature?"),
        (&["in", "--labels=lable"], "did you mean label?"),
        (&["in", "--group-by=epochs"], "did you mean epoch?"),
        (&["in", "--where=Epoch=1"], "did you mean epoch?"),
    ] {
        let said = place.fail(2, &measure(arguments));
        assert!(said.contains(near), "{arguments:?}: {said}");
    }
}
