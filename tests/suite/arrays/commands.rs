//! The program over files of arrays: the same numbers as over Parquet, and notes on what was found.

use std::fs;
use std::path::Path;

use arrow::array::{Array, AsArray, Float32Array};
use arrow_ipc::CompressionType;
use nckit::store::StateFile;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::torch;
use super::write::{Packed, arrow, batch, features, labels, npz, safetensors};
use safetensors::Dtype;

use crate::faults::{Place, ints, said, vectors};

/// Rows of a file of the digits.
struct Digits {
    dim: usize,
    values: Vec<f32>,
    labels: Vec<i64>,
}

fn digits(path: &Path) -> Digits {
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let mut digits = Digits { dim: 0, values: Vec::new(), labels: Vec::new() };
    for batch in reader {
        let batch = batch.unwrap();
        let feature = batch.column_by_name("feature").unwrap();
        let label =
            arrow::compute::cast(batch.column_by_name("label").unwrap(), &arrow::datatypes::DataType::Int64).unwrap();
        digits.labels.extend(label.as_primitive::<arrow::datatypes::Int64Type>().values());
        let values: &Float32Array = match feature.data_type() {
            arrow::datatypes::DataType::FixedSizeList(..) => feature.as_fixed_size_list().values().as_primitive(),
            _ => feature.as_list::<i32>().values().as_primitive(),
        };
        digits.values.extend(values.values());
        digits.dim = values.len() / feature.len();
    }
    digits
}

/// Writes a file of the digits, whose path has no extension yet.
type Write<'a> = &'a dyn Fn(&Path, &Digits);

/// The hive tree of the digits, every file in another format.
fn converted(place: &Place, write: Write<'_>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits/hive");
    let mut folders = vec![root.clone()];
    let mut count = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                let to = place.path("in").join(path.strip_prefix(&root).unwrap()).with_extension("");
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                write(&to, &digits(&path));
                count += 1;
            }
        }
    }
    assert!(count > 5);
}

#[test]
fn digits_in_every_format_are_the_same_states() {
    let hive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits/hive");
    let hive = hive.to_str().unwrap();
    let rows = ["--group-by=epoch,layer,split", "--grid=-30", "-q"];
    let counted = |place: &Place, input: &str| {
        place.succeed(&[&["accumulate", input, "-o", "x.ncst", "--overwrite"], &rows[..]].concat());
        let state = StateFile::read(&place.path("x.ncst")).unwrap();
        let verified = place.run(&["verify", "x.ncst", "--deep", "--inputs", input]);
        assert!(verified.status.success(), "{}", said(&verified));
        // Everything but the identities of files.
        (state.groups, state.provenance.shown())
    };
    let measured =
        |place: &Place, input: &str| place.succeed(&[&["measure", input, "--format=csv"], &rows[..]].concat());
    let place = Place::new();
    let expected = (counted(&place, hive), measured(&place, hive));
    let formats: [(&str, Write<'_>); 8] = [
        ("npy", &|to, digits| {
            fs::write(to.with_extension("features.npy"), features(digits.dim, &digits.values)).unwrap();
            fs::write(to.with_extension("labels.npy"), labels(&digits.labels)).unwrap();
        }),
        ("npz", &|to, digits| {
            let members = [("feature", features(digits.dim, &digits.values)), ("label", labels(&digits.labels))];
            fs::write(to.with_extension("npz"), npz(&members, Packed::Stored)).unwrap();
        }),
        ("compressed npz", &|to, digits| {
            let members = [("feature", features(digits.dim, &digits.values)), ("label", labels(&digits.labels))];
            fs::write(to.with_extension("npz"), npz(&members, Packed::Deflated)).unwrap();
        }),
        ("safetensors", &|to, digits| {
            let rows = digits.labels.len();
            let values = digits.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let labels = digits.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
            let tensors =
                [("feature", Dtype::F32, &[rows, digits.dim][..], values), ("label", Dtype::I64, &[rows], labels)];
            fs::write(to.with_extension("safetensors"), safetensors(&tensors)).unwrap();
        }),
        ("pt", &|to, digits| {
            let rows = digits.labels.len();
            let features = digits.values.iter().flat_map(|value| value.to_le_bytes()).collect();
            let labels = digits.labels.iter().flat_map(|label| label.to_le_bytes()).collect();
            let saved = [
                ("feature", torch::whole("FloatStorage", 0, &[rows, digits.dim])),
                ("label", torch::whole("LongStorage", 1, &[rows])),
            ];
            fs::write(to.with_extension("pt"), torch::pt(&torch::dict(saved), &[features, labels])).unwrap();
        }),
        ("pt in batches", &|to, digits| {
            let (mut features, mut labels, mut storages) = (Vec::new(), Vec::new(), Vec::new());
            for (values, classes) in digits.values.chunks(100 * digits.dim).zip(digits.labels.chunks(100)) {
                features.push(torch::whole("FloatStorage", storages.len(), &[classes.len(), digits.dim]));
                storages.push(values.iter().flat_map(|value| value.to_le_bytes()).collect());
                labels.push(torch::whole("LongStorage", storages.len(), &[classes.len()]));
                storages.push(classes.iter().flat_map(|class| class.to_le_bytes()).collect());
            }
            let saved = [("feature", torch::Py::List(features)), ("label", torch::Py::List(labels))];
            fs::write(to.with_extension("pt"), torch::pt(&torch::dict(saved), &storages)).unwrap();
        }),
        ("arrow", &|to, digits| {
            let batch = batch(digits.dim, &digits.values, &digits.labels);
            fs::write(
                to.with_extension("arrow"),
                arrow(&[batch.slice(0, 99), batch.slice(99, batch.num_rows() - 99)], false, None),
            )
            .unwrap();
        }),
        ("compressed stream", &|to, digits| {
            let batch = batch(digits.dim, &digits.values, &digits.labels);
            fs::write(to.with_extension("arrow"), arrow(&[batch], true, Some(CompressionType::ZSTD))).unwrap();
        }),
    ];
    for (name, write) in formats {
        let place = Place::new();
        converted(&place, write);
        assert!(counted(&place, "in") == expected.0, "{name}");
        assert_eq!(measured(&place, "in"), expected.1, "{name}");
        // In SQL the metrics of the same rows are the same numbers.
        #[cfg(feature = "sql")]
        {
            let of = |input: &str| {
                // Chunks are others, so they are rounded otherwise.
                let query = format!(
                    "SELECT epoch, layer, split, round(nc1_cdnv(feature, label), 6) AS v FROM '{input}' \
                     GROUP BY epoch, layer, split ORDER BY epoch, layer, split"
                );
                place.succeed(&["sql", "-q", "-c", &query])
            };
            assert_eq!(of("in"), of(hive), "{name}");
        }
    }
}

fn rows(seed: u64, count: usize) -> (Vec<f32>, Vec<i64>) {
    let mut random = crate::rows::Random::new(seed);
    let classes: Vec<i64> = (0..count as i64).map(|row| row % 3).collect();
    let values = classes.iter().flat_map(|&class| (0..4).map(move |j| if j == class as usize { 5.0 } else { 0.0 }));
    let values: Vec<f64> = values.collect();
    (values.into_iter().map(|value| (value + random.normal()) as f32).collect(), classes)
}

fn put(place: &Place, name: &str, bytes: Vec<u8>) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

const METRICS: &str = "--metrics=nc1_trace_ratio,nc1_cdnv";

#[test]
fn labels_are_found_beside_features_and_it_is_said() {
    let place = Place::new();
    let (values, classes) = rows(1, 60);
    put(&place, "one/train_features.npy", features(4, &values));
    put(&place, "one/train_labels.npy", labels(&classes));
    let whole =
        place.succeed(&["measure", "one/train_features.npy,one/train_labels.npy", METRICS, "--format=csv", "-q"]);
    for input in [
        &["one"][..],
        &["one/*.npy"],
        &["one/train_features.npy"],
        &["one/train_features.npy", "--labels=one/train_labels.npy"],
    ] {
        let output = place.run(&[&["measure"], input, &[METRICS, "--format=csv"]].concat());
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), whole, "{input:?}");
        let note = "the labels of one/train_features.npy are those of one/train_labels.npy";
        assert_eq!(said(&output).contains(note), input.len() == 1, "{}", said(&output));
    }
    // One file of labels for every epoch.
    for epoch in 0..3 {
        put(&place, &format!("epochs/epoch={epoch}/h.npy"), features(4, &rows(epoch, 60).0));
    }
    let run = ["measure", "epochs", "--labels=one/train_labels.npy", "--group-by=epoch", METRICS, "--format=csv", "-q"];
    let each = place.succeed(&run);
    assert_eq!(each.lines().count(), 1 + 3, "{each}");
    // Without labels the way to give them is told; others with as many rows are not taken.
    let told = place.fail(2, &["measure", "epochs", METRICS]);
    assert!(told.contains("--labels labels.npy"), "{told}");
    let told = place.fail(65, &["measure", "one/train_features.npy", "--labels=epochs/epoch=0/h.npy", METRICS]);
    assert!(told.contains("one-hot"), "{told}");
    put(&place, "short.npy", labels(&classes[..59]));
    let told = place.fail(65, &["measure", "one/train_features.npy", "--labels=short.npy", METRICS]);
    assert!(
        told.contains("rows of features 60") && told.contains("rows of labels 59") && told.contains("short.npy"),
        "{told}"
    );
    let told = place.fail(66, &["measure", "one", "--labels=none.npy", METRICS]);
    assert!(told.contains("there is no such file of labels"), "{told}");
    put(&place, "one/train_targets.npy", labels(&classes));
    let told = place.fail(2, &["measure", "one/train_features.npy", METRICS]);
    assert!(told.contains("several files") && told.contains("--labels one/train_labels.npy"), "{told}");
}

#[test]
fn arrays_beside_tables_are_passed_over() {
    let place = Place::new();
    let (values, classes) = rows(1, 60);
    let column = ints(classes.iter().map(|&class| class as i32).collect());
    place.write_columns("in/a.parquet", &[("feature", vectors(values.clone(), 4)), ("label", column)], 99);
    let alone = place.succeed(&["measure", "in", METRICS, "--format=csv", "-q"]);
    put(&place, "in/features.npy", features(4, &values));
    put(&place, "in/labels.npy", labels(&classes));
    put(&place, "in/mean.npz", npz(&[("mean", features(4, &values[..4]))], Packed::Stored));
    let output = place.run(&["measure", "in", METRICS, "--format=csv"]);
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), alone);
    assert!(said(&output).contains("1 × NumPy arrays (.npz), 2 × a NumPy array (.npy)"), "{}", said(&output));
    // A table can have its labels in another file too: they are used instead of its own.
    put(&place, "other.npy", labels(&classes.iter().map(|class| class % 2).collect::<Vec<_>>()));
    let inspected = place.succeed(&["inspect", "in/a.parquet", "--labels=other.npy", "-q"]);
    assert!(inspected.contains("label   int64") && inspected.contains("K = 2"), "{inspected}");
}

#[test]
fn further_rows_have_labels_of_their_own() {
    let place = Place::new();
    let write = |name: &str, seed: u64, count: usize| {
        let (values, classes) = rows(seed, count);
        put(&place, &format!("{name}_features.npy"), features(4, &values));
        put(&place, &format!("{name}_y.npy"), labels(&classes));
        let column = ints(classes.iter().map(|&class| class as i32).collect());
        place.write_columns(&format!("{name}.parquet"), &[("feature", vectors(values, 4)), ("label", column)], 999);
    };
    write("train", 1, 60);
    write("test", 2, 30);
    write("ood", 3, 20);
    let weight: Vec<f32> = (0..12).map(|at| if at % 5 == 0 { 1.0 } else { 0.0 }).collect();
    put(&place, "w.npy", features(4, &weight));
    let common = ["--head=w.npy", "--metrics=nc1_cdnv,nc4,nc5", "--format=csv", "-q", "--grid=-20"];
    let measured = |input: &[&str]| place.succeed(&[&["measure"], input, &common].concat());
    let expected = measured(&["train.parquet", "--decisions=test.parquet", "--ood=ood.parquet"]);
    let npy = ["train_features.npy", "--decisions=test_features.npy", "--ood=ood_features.npy"];
    assert_eq!(measured(&npy), expected);
    let named = [
        "train_features.npy",
        "--labels=train_y.npy",
        "--decisions=test_features.npy,test_y.npy",
        "--ood=ood_features.npy",
    ];
    assert_eq!(measured(&named), expected);
    // The labels are an input that no output may replace.
    let told = place.fail(2, &["accumulate", "train_features.npy", "-o", "train_y.npy", "--overwrite"]);
    assert!(told.contains("train_y.npy"), "{told}");
    let state = ["accumulate", "train_features.npy", "--labels=train_y.npy", "-o", "t.ncst", "-q", "--grid=-20"];
    place.succeed(&state);
    let finished = ["finish", "t.ncst", "--decisions=test_features.npy", "--ood=ood_features.npy"];
    assert_eq!(place.succeed(&[&finished[..], &common[..4]].concat()), expected);
    place.succeed(&["verify", "t.ncst", "--inputs", "train_features.npy,train_y.npy", "--deep"]);
    // Other labels are other rows.
    put(&place, "train_y.npy", labels(&rows(1, 60).1.iter().map(|class| (class * 2) % 3).collect::<Vec<_>>()));
    let verified = place.run(&["verify", "t.ncst", "--inputs", "train_features.npy,train_y.npy"]);
    assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
}

#[test]
fn data_sets_as_hugging_face_saves_them_have_splits_for_a_key() {
    let place = Place::new();
    for (split, seed) in [("train", 1), ("test", 2)] {
        let (values, classes) = rows(seed, 60);
        let whole = batch(4, &values, &classes);
        for (part, rows) in [whole.slice(0, 40), whole.slice(40, 20)].into_iter().enumerate() {
            put(&place, &format!("set/{split}/data-0000{part}-of-00002.arrow"), arrow(&[rows], true, None));
        }
        put(&place, &format!("set/{split}/state.json"), b"{}".to_vec());
        put(&place, &format!("set/{split}/dataset_info.json"), b"{}".to_vec());
        let column = ints(classes.iter().map(|&class| class as i32).collect());
        let columns = [("feature", vectors(values, 4)), ("label", column)];
        place.write_columns(&format!("hive/split={split}/x.parquet"), &columns, 99);
    }
    put(&place, "set/dataset_dict.json", b"{\"splits\": [\"train\", \"test\"]}".to_vec());
    let by_split =
        |input: &str| place.run(&["measure", input, "--group-by=split", METRICS, "--format=csv", "--grid=-20"]);
    let (found, expected) = (by_split("set"), by_split("hive"));
    assert!(found.status.success(), "{}", said(&found));
    assert_eq!(found.stdout, expected.stdout);
    assert!(!said(&found).contains("passed"), "{}", said(&found));
    let one = |input: &str| {
        place.succeed(&["measure", input, "--where=split=test", METRICS, "--format=csv", "--grid=-20", "-q"])
    };
    assert_eq!(one("set"), one("hive"));
}

#[cfg(feature = "sql")]
#[test]
fn tables_have_their_labels_behind_a_comma() {
    let place = Place::new();
    let (values, classes) = rows(1, 60);
    put(&place, "h.npy", features(4, &values));
    put(&place, "l.csv", classes.iter().map(|class| format!("{class}\n")).collect::<Vec<_>>().concat().into_bytes());
    put(&place, "both.npz", npz(&[("a", features(4, &values)), ("b", labels(&classes))], Packed::Stored));
    let of = |table: &str| {
        place.succeed(&[
            "sql",
            "-q",
            "-c",
            &format!("SELECT count(*) AS n, nc1_cdnv(feature, label) AS v FROM '{table}'"),
        ])
    };
    let found = of("h.npy,l.csv");
    assert!(found.contains("\"n\":60"), "{found}");
    assert_eq!(of("both.npz:a,b"), found);
}
