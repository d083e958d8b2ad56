//! Heads: which row is which class, and whose head it is. Every case gives the right value or is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int32Array, RecordBatch, StringArray};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tempfile::TempDir;

const EPOCHS: [u32; 2] = [9, 4000];
const METRICS: &str = "nc3_cos_mean,nc3_duality_error,nc4_agreement,classifier_accuracy";

fn digits(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits").join(path).to_str().unwrap().to_owned()
}

fn read(path: &str) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn vectors(values: Vec<f32>, dim: usize) -> ArrayRef {
    let item = Arc::new(Field::new("element", DataType::Float32, true));
    Arc::new(FixedSizeListArray::new(item, dim as i32, Arc::new(Float32Array::from(values)), None))
}

/// A directory in which `nckit` runs.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, columns: Vec<(&str, ArrayRef)>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    fn text(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The last layer's features at two epochs, under other labels; the first of them lacks the last class.
    fn features(&self, label: impl Fn(&Int32Array) -> ArrayRef) {
        for epoch in EPOCHS {
            let mut rows = read(&digits(&format!("hive/epoch={epoch}/layer=h3/split=train/part-0.parquet")));
            let labels = |rows: &RecordBatch| rows.column_by_name("label").unwrap().as_primitive::<Int32Type>().clone();
            if epoch == EPOCHS[0] {
                let kept = labels(&rows).iter().map(|label| label.map(|label| label < 9)).collect();
                rows = filter_record_batch(&rows, &kept).unwrap();
            }
            let feature = rows.column_by_name("feature").unwrap().clone();
            let name = format!("in/epoch={epoch}/a.parquet");
            self.write(&name, vec![("label", label(&labels(&rows))), ("feature", feature)]);
        }
    }

    /// The classifiers of these epochs without names of their rows, after `before` rows of nobody.
    fn heads(&self, before: usize) {
        for epoch in EPOCHS {
            let head = read(&digits(&format!("classifier/epoch={epoch}/classifier.parquet")));
            let class = head.column_by_name("class").unwrap();
            let head = take_record_batch(&head, &arrow::compute::sort_to_indices(class, None, None).unwrap()).unwrap();
            let weight = head.column_by_name("weight").unwrap();
            let dim = 64;
            let values = arrow::compute::cast(
                weight,
                &DataType::FixedSizeList(Arc::new(Field::new("element", DataType::Float32, true)), dim),
            );
            let values = values.unwrap().as_fixed_size_list().values().as_primitive::<Float32Type>().values().to_vec();
            let bias = arrow::compute::cast(head.column_by_name("bias").unwrap(), &DataType::Float32).unwrap();
            let bias = bias.as_primitive::<Float32Type>().values().to_vec();
            let nobody = vec![0.5; before * dim as usize];
            self.write(
                &format!("heads/{epoch}.parquet"),
                vec![
                    ("weight", vectors([nobody, values].concat(), dim as usize)),
                    ("bias", Arc::new(Float32Array::from([vec![-9.0; before], bias].concat()))),
                ],
            );
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_nckit")).args(arguments).current_dir(self.0.path()).output().unwrap()
    }

    fn succeed(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
    }

    /// Runs what must fail with that code, and returns what it says; lines that tell what to type fit a terminal.
    fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        let said = said(&output);
        for line in said.lines().filter(|line| line.contains("help: ") || line.starts_with("error: ")) {
            assert!(line.chars().count() <= 80, "{line}");
        }
        said
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.succeed(&[arguments, &["--format=json", "-q"]].concat()).0).unwrap()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Numbers by epoch and metric.
type Numbers = BTreeMap<(String, String), f64>;

fn numbers(records: &str) -> Numbers {
    let mut numbers = Numbers::new();
    for line in records.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        for metric in METRICS.split(',').filter(|metric| record.get(metric).is_some()) {
            let value = record[metric].as_f64().unwrap_or(f64::NAN);
            numbers.insert((record["epoch"].to_string(), metric.to_owned()), value);
        }
    }
    numbers
}

const HEADS: &str = "heads/{epoch}.parquet";

/// What `measure`, `measure --decisions` and `accumulate | finish --decisions` find, or how each refuses.
fn everywhere(place: &Place, more: &[&str]) -> Vec<Result<Numbers, String>> {
    let base = [&["--head", HEADS, "--metrics", METRICS, "-q"], more].concat();
    let decided = [&base[..], &["--decisions", "in"]].concat();
    place.succeed(&["accumulate", "in", "--group-by=epoch", "-o", "x.ncst", "--overwrite", "-q"]);
    let runs = [
        [&["measure", "in", "--group-by=epoch"], &base[..]].concat(),
        [&["measure", "in", "--group-by=epoch"], &decided[..]].concat(),
        [&["finish", "x.ncst"], &decided[..]].concat(),
    ];
    let outcome = |arguments: &Vec<&str>| {
        let output = place.run(arguments);
        match output.status.code() {
            Some(0) => Ok(numbers(&String::from_utf8(output.stdout).unwrap())),
            Some(2 | 65) => Err(said(&output)),
            other => panic!("{other:?}: {}", said(&output)),
        }
    };
    runs.iter().map(outcome).collect()
}

/// What is right: the rows under their own labels, the heads with names.
fn right() -> Numbers {
    let place = Place::new();
    place.features(|labels| Arc::new(labels.clone()));
    let head = digits("classifier/epoch={epoch}/classifier.parquet");
    let base = ["measure", "in", "--group-by=epoch", "--metrics", METRICS, "-q", "--head", &head];
    let right = numbers(&place.succeed(&base).0);
    assert_eq!(right.len(), 8);
    assert!(right[&("9".to_owned(), "nc3_cos_mean".to_owned())] > 0.9);
    assert!(right[&("9".to_owned(), "classifier_accuracy".to_owned())] > 0.97);
    right
}

fn close(found: &Numbers, right: &Numbers) {
    assert_eq!(found.keys().collect::<Vec<_>>(), right.keys().collect::<Vec<_>>());
    for (key, value) in found {
        // Classes in another order are summed in another order.
        assert!((value - right[key]).abs() <= 1e-12 * right[key].abs(), "{key:?}: {value} for {}", right[key]);
    }
}

fn all_right(place: &Place, more: &[&str]) {
    let right = right();
    for found in everywhere(place, more) {
        close(&found.unwrap_or_else(|said| panic!("{more:?}: {said}")), &right);
    }
}

fn all_refused(place: &Place, more: &[&str], hints: &[&str]) {
    for found in everywhere(place, more) {
        let said = found.expect_err("it is not clear which row is whose");
        assert!(hints.iter().all(|hint| said.contains(hint)), "{more:?}: {said}");
        assert!(said.lines().filter(|line| line.contains("help: ")).all(|line| line.chars().count() <= 80), "{said}");
    }
}

/// Other labels for the same rows.
#[cfg(feature = "sql")]
type Relabel<'a> = &'a dyn Fn(&Int32Array) -> ArrayRef;

fn shifted(by: i32) -> impl Fn(&Int32Array) -> ArrayRef {
    move |labels| Arc::new(labels.unary::<_, Int32Type>(|label| label + by))
}

const NAMES: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

fn named(labels: &Int32Array) -> ArrayRef {
    Arc::new(labels.values().iter().map(|&label| Some(NAMES[label as usize])).collect::<StringArray>())
}

#[test]
fn labels_that_are_numbers_of_rows_are_found_by_number() {
    let place = Place::new();
    place.features(shifted(0));
    place.heads(0);
    all_right(&place, &[]);
    all_right(&place, &["--head-rows=label"]);
    all_right(&place, &["--head-rows=rank"]);
    all_refused(&place, &["--head-rows=one-based"], &["class 0", "--head-rows label"]);
    // More rows than classes, and none of class 0.
    place.features(shifted(2));
    place.heads(2);
    all_right(&place, &[]);
    all_refused(&place, &["--head-rows=rank"], &["12 classes × 64", "labels 10"]);
}

#[test]
fn labels_from_one_are_not_read_as_numbers_of_rows() {
    let place = Place::new();
    place.features(shifted(1));
    place.heads(0);
    all_refused(&place, &[], &["1 to 10", "one-based: label 1 is row 0", "--head-rows one-based, rank or names:FILE"]);
    all_right(&place, &["--head-rows=one-based"]);
    // One epoch lacks a class; the ranks are of the run.
    all_right(&place, &["--head-rows=rank"]);
    all_refused(&place, &["--head-rows=label"], &["no row for a class", "class 10"]);
    // Alone the epoch without the last class looks like numbers of rows: that is said.
    let base = ["measure", "in", "--where=epoch=9", "--group-by=epoch", "--metrics=nc3", "--head", HEADS];
    let (_, said) = place.succeed(&base);
    assert!(said.contains("head rows label = number of the row") && said.contains("--head-rows one-based"), "{said}");
    let json = place.json(&base);
    assert_eq!(json["options"]["head_rows"], "label");
    assert!(json["options"]["head_notes"].as_str().unwrap().contains("no label is 0"), "{json}");
    assert_eq!(place.json(&[&base[..], &["--head-rows=one-based"]].concat())["options"]["head_notes"], Value::Null);
}

#[test]
fn labels_with_gaps_are_refused_or_counted_through() {
    let place = Place::new();
    place.features(|labels| Arc::new(labels.unary::<_, Int32Type>(|label| 10 * label + 3)));
    place.heads(0);
    all_refused(&place, &[], &["labels 3 to ", "--head-rows rank or names:FILE"]);
    all_right(&place, &["--head-rows=rank"]);
    let names: Vec<String> = (0..10).map(|label| (10 * label + 3).to_string()).collect();
    place.text("names.txt", &names.join("\n"));
    all_right(&place, &["--head-rows=names:names.txt"]);
}

#[test]
fn names_find_the_rows_of_a_model_by_its_own_list() {
    let place = Place::new();
    place.features(named);
    place.heads(0);
    all_refused(&place, &[], &["\"eight\" to \"zero\"", "--head-rows rank or names:FILE", "as texts sort"]);
    place.text("names.txt", &NAMES.join("\n"));
    let labels: serde_json::Map<_, _> = (0..10).map(|at| (at.to_string(), NAMES[at].into())).collect();
    place.text("config.json", &serde_json::json!({"architectures": ["x"], "id2label": labels}).to_string());
    for flag in ["--class-names=names.txt", "--head-rows=names:names.txt", "--class-names=config.json"] {
        all_right(&place, &[flag]);
    }
    place.text("nine.txt", &NAMES[..9].join("\n"));
    all_refused(&place, &["--class-names=nine.txt"], &[]);
    place.text("other.txt", &NAMES.join("\n").replace("seven", "sevn"));
    all_refused(&place, &["--class-names=other.txt"], &["\"seven\"", "did you mean \"sevn\"?"]);
}

#[test]
fn numbers_as_texts_are_not_sorted_as_texts() {
    let place = Place::new();
    place.features(|labels| {
        Arc::new(labels.values().iter().map(|&label| Some((label + 2).to_string())).collect::<StringArray>())
    });
    place.heads(2);
    all_refused(&place, &[], &["label: the number is the row", "--head-rows label, one-based, rank or names:FILE"]);
    all_right(&place, &["--head-rows=label"]);
}

#[test]
#[cfg(feature = "sql")]
fn sql_finds_rows_by_the_same_rules() {
    let sql = |place: &Place, rule: &str| {
        let set = if rule.is_empty() { String::new() } else { format!("SET nc.{rule};") };
        let of = |metric: &str| format!("{metric}(feature, label, 'heads/' || epoch || '.parquet') AS {metric}");
        let query =
            format!("{set} SELECT epoch, {}, {} FROM 'in' GROUP BY epoch", of("nc3_cos_mean"), of("nc3_duality_error"));
        place.run(&["sql", "-c", &query])
    };
    let decided = |place: &Place, rule: &str| {
        let state = "(SELECT nc_state(feature, label) FROM 'in' WHERE epoch = 9)";
        let query = format!(
            "SET nc.{rule}; SELECT 9 AS epoch, classifier_accuracy(feature, label, {state}, 'heads/9.parquet') AS \
             classifier_accuracy FROM 'in' WHERE epoch = 9"
        );
        numbers(&place.succeed(&["sql", "-c", &query]).0)
    };
    let mut right = right();
    let accuracy = ("9".to_owned(), "classifier_accuracy".to_owned());
    let accurate = Numbers::from([(accuracy.clone(), right[&accuracy])]);
    right.retain(|(_, metric), _| metric.starts_with("nc3"));
    let place = Place::new();
    place.heads(0);
    place.text("names.txt", &NAMES.join("\n"));
    let gaps = |labels: &Int32Array| Arc::new(labels.unary::<_, Int32Type>(|label| 10 * label + 3)) as ArrayRef;
    let labels: [(Relabel<'_>, &str, &[&str]); 3] = [
        (&shifted(1), "SET nc.head_rows = 'one-based', 'rank' or 'names:FILE'", &["head_rows = 'one-based'"]),
        (&gaps, "SET nc.head_rows = 'rank' or 'names:FILE'", &[]),
        (&named, "SET nc.head_rows = ", &["class_names = 'names.txt'", "head_rows = 'names:names.txt'"]),
    ];
    for (label, hint, rules) in labels {
        place.features(label);
        let output = sql(&place, "");
        assert_eq!(output.status.code(), Some(65), "{}", said(&output));
        assert!(said(&output).contains(hint), "{}", said(&output));
        for rule in rules {
            let output = sql(&place, rule);
            assert!(output.status.success(), "{}", said(&output));
            close(&numbers(&String::from_utf8(output.stdout).unwrap()), &right);
            close(&decided(&place, rule), &accurate);
        }
        // What a state lacks is not known to be lacking: there are nine labels and ten rows.
        assert_eq!(sql(&place, "head_rows = 'rank'").status.code(), Some(65));
    }
    let output = place.run(&["sql", "-c", "SET nc.head_rows = 'ranks'"]);
    assert!(said(&output).contains("did you mean rank"), "{}", said(&output));
    let output = place.run(&["sql", "-c", "SELECT nc3_cos_mean(feature, label, 'heads/{epoch}.parquet') FROM 'in'"]);
    assert!(said(&output).contains("|| epoch ||"), "{}", said(&output));
    // Rows of another kind of label.
    place.features(shifted(0));
    place.write("texts.parquet", {
        let rows = read(place.path("in/epoch=9/a.parquet").to_str().unwrap());
        let labels = arrow::compute::cast(rows.column_by_name("label").unwrap(), &DataType::Utf8).unwrap();
        vec![("label", labels), ("feature", rows.column_by_name("feature").unwrap().clone())]
    });
    let query = "SELECT ncc_accuracy(feature, label, (SELECT nc_state(feature, label) FROM 'in')) FROM 'texts.parquet'";
    let output = place.run(&["sql", "-c", query]);
    assert_eq!(output.status.code(), Some(65), "{}", said(&output));
    let base = ["measure", "in", "--metrics=nc4", "--decisions=texts.parquet"];
    assert!(place.fail(65, &base).contains("labels strings, expected integers"));
}

/// A head that names these classes, whose rows are `3 e_k` of eight dimensions.
fn classifier(place: &Place, name: &str, classes: &[i32]) {
    let row = |class: &i32| (0..8).map(|j| if j == class % 8 { 3.0 } else { 0.0 }).collect::<Vec<f32>>();
    let class: ArrayRef = Arc::new(Int32Array::from(classes.to_vec()));
    place.write(name, vec![("class", class), ("weight", vectors(classes.iter().flat_map(row).collect(), 8))]);
}

#[test]
fn groups_of_different_classes_have_heads_of_their_own() {
    let place = Place::new();
    let tasks: [(&str, [i32; 3]); 2] = [("a", [0, 1, 2]), ("b", [5, 6, 7])];
    for (task, classes) in tasks {
        let labels: Vec<i32> = (0..30).map(|row| classes[row % 3]).collect();
        let value = |label: i32, j: i32, row: usize| if j == label { 4.0 } else { (row * 7 % 5) as f32 * 0.1 };
        let rows = labels.iter().enumerate();
        let values = rows.flat_map(|(row, &label)| (0..8).map(move |j| value(label, j, row))).collect();
        let label: ArrayRef = Arc::new(Int32Array::from(labels));
        place.write(&format!("in/task={task}/a.parquet"), vec![("label", label), ("feature", vectors(values, 8))]);
        classifier(&place, &format!("{task}.parquet"), &classes);
    }
    let measure = ["measure", "in", "--group-by=task", "--metrics=nc3_cos_mean", "--head={task}.parquet"];
    place.succeed(&["accumulate", "in", "--group-by=task", "-o", "x.ncst", "-q"]);
    let finish = ["finish", "x.ncst", "--metrics=nc3_cos_mean", "--head={task}.parquet"];
    for arguments in [&measure[..], &finish[..]] {
        let json = place.json(arguments);
        for group in [0, 1] {
            let cosine = json["groups"][group]["metrics"]["nc3_cos_mean"]["value"].as_f64().unwrap();
            // Between `e_k` and the same less the mean of three of its kind.
            assert!((cosine - (2.0_f64 / 3.0).sqrt()).abs() < 1e-6, "{cosine}");
        }
    }
    // A head lacks a class of one group: the group is named.
    classifier(&place, "b.parquet", &[5, 7]);
    for arguments in [&measure[..], &finish[..]] {
        let said = place.fail(65, arguments);
        assert!(said.contains("task=b") && said.contains("class 6"), "{said}");
    }
}

/// The three hidden layers at the last epoch; the head is of `h3`, and `h2` is as wide.
fn layers<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let base = ["measure", "hive", "--where=epoch=4000", "--where=split=train", "--group-by=layer", "--metrics=nc3"];
    [&base, more].concat()
}

fn layers_place() -> Place {
    let place = Place::new();
    std::os::unix::fs::symlink(digits("hive"), place.path("hive")).unwrap();
    std::os::unix::fs::symlink(digits("classifier/epoch=4000/classifier.parquet"), place.path("fc.parquet")).unwrap();
    place
}

fn outcomes(json: &Value) -> Vec<(String, Option<f64>, Option<String>)> {
    let outcome = |group: &Value| {
        let metric = &group["metrics"]["nc3_cos_mean"];
        let reason = metric["reason"].as_str().map(str::to_owned);
        (group["key"]["layer"].as_str().unwrap().to_owned(), metric["value"].as_f64(), reason)
    };
    json["groups"].as_array().unwrap().iter().map(outcome).collect()
}

#[test]
fn a_head_is_of_one_layer() {
    let place = layers_place();
    let head = ["--head", "fc.parquet"];
    let said = place.fail(2, &layers(&head));
    assert!(said.contains("one head fits several layers") && said.contains("layer: h2, h3"), "{said}");
    assert!(said.contains("--head-for layer=h3"), "{said}");
    let alone = place.json(&layers(&["--where=layer=h3", "--head", "fc.parquet"]));
    let value = outcomes(&alone)[0].1;
    assert!(value.is_some_and(|value| value > 0.9));
    let reasons = |reason: &str, layers: &[&str]| {
        let blank = |layer: &&str| ((*layer).to_owned(), None, Some(reason.to_owned()));
        layers.iter().map(blank).chain([("h3".to_owned(), value, None)]).collect::<Vec<_>>()
    };
    let given = place.json(&layers(&["--head", "fc.parquet", "--head-for=layer=h3"]));
    assert_eq!(outcomes(&given), reasons("head_not_for_group", &["h1", "h2"]));
    assert_eq!(given["options"]["head_for"], "layer=h3");
    // The width leaves no choice; that is said.
    let two = layers(&["--head", "fc.parquet", "--where=layer=h1", "--where=layer=h3"]);
    let fitted = place.json(&two);
    assert_eq!(outcomes(&fitted), reasons("head_does_not_fit", &["h1"]));
    assert!(place.succeed(&two).1.contains("the head fits layer=h3 alone"));
    assert!(fitted["options"]["head_notes"].as_str().unwrap().contains("layer=h3"));

    // And the same of a state.
    let all = ["hive", "--where=epoch=4000", "--where=split=train", "--group-by=layer", "-q"];
    place.succeed(&[&["accumulate", "-o", "x.ncst"], &all[..]].concat());
    let finish = ["finish", "x.ncst", "--metrics=nc3", "--head=fc.parquet"];
    assert!(place.fail(2, &finish).contains("--head-for layer=h3"));
    let finished = place.json(&[&finish[..], &["--head-for=layer=h3"]].concat());
    assert_eq!(outcomes(&finished), reasons("head_not_for_group", &["h1", "h2"]));

    // Where no key looks like a layer's, the error says how to tell the groups apart.
    let said = place.fail(65, &layers(&["--head", "fc.parquet", "--head-for=layer=h1", "--head-for=layer=h3"]));
    assert!(said.contains("not as wide") && said.contains("--head-for layer=h3"), "{said}");
    let said = place.fail(2, &layers(&["--head", "fc.parquet", "--head-for=layr=h3"]));
    assert!(said.contains("--head-for layer="), "{said}");
    let said = place.fail(2, &layers(&["--head", "fc.parquet", "--head-for=layer=h33"]));
    assert!(said.contains("layer has h1, h2, h3") && said.contains("did you mean --head-for layer=h3?"), "{said}");
    let said = place.fail(2, &layers(&["--head", "{layr}.parquet"]));
    assert!(said.contains("did you mean {layer}?"), "{said}");
}

/// Tensors of zeros, by name and shape.
fn safetensors(tensors: &[(&str, &[u64])]) -> Vec<u8> {
    let (mut header, mut length) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let end = length + 4 * shape.iter().product::<u64>();
        let tensor = serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [length, end] });
        header.insert((*name).to_owned(), tensor);
        length = end;
    }
    let header = Value::from(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; length as usize]].concat()
}

#[test]
fn a_tensor_that_could_be_the_head_is_suggested_as_it_would_be_typed() {
    let place = layers_place();
    let made = place.json(&["measure", "hive", "--where=epoch=4000", "--where=layer=h3", "--metrics=nc1_trace_ratio"]);
    let dim = made["groups"][0]["dim"].as_u64().unwrap();
    fs::create_dir(place.path("ckpt")).unwrap();
    let tensors = [
        ("backbone.weight", &[dim, 8][..]),
        ("fc.bias", &[10]),
        ("fc.weight", &[10, dim]),
        ("neck.weight", &[dim, 8]),
        ("optimizer_states.0.state.0.exp_avg", &[10, dim]),
    ];
    fs::write(place.path("ckpt/h3.safetensors"), safetensors(&tensors)).unwrap();
    for head in ["ckpt/{layer}.safetensors", "ckpt/{layer}.safetensors:classifier"] {
        let said = place.fail(2, &layers(&["--where=layer=h3", "--head", head]));
        assert!(said.contains("as --head ckpt/{layer}.safetensors:fc"), "{said}");
        assert!(said.contains("backbone.weight") && !said.contains("exp_avg"), "{said}");
    }
    // None of these fits.
    fs::write(place.path("ckpt/h3.safetensors"), safetensors(&[tensors[0], tensors[3]])).unwrap();
    let said = place.fail(2, &layers(&["--where=layer=h3", "--head", "ckpt/{layer}.safetensors:classifier"]));
    assert!(said.contains("no such tensor") && !said.contains("as --head"), "{said}");
}

#[test]
fn a_group_without_a_head_has_a_reason_in_every_family() {
    let place = layers_place();
    let base = [
        "measure",
        "hive",
        "--where=epoch=4000",
        "--where=split=train",
        "--group-by=layer",
        "--head=fc.parquet",
        "--head-for=layer=h3",
        "--ood=hive?epoch=4000&split=ood",
        "--metrics=nc3,nc4,nc5,hug,mse,nc2_etf_error_weights,hug_intra",
        "--option=neco_max_logit=true",
    ];
    let json = place.json(&base);
    let metrics = json["groups"][1]["metrics"].as_object().unwrap();
    for key in ["nc3_cos_mean", "nc4_agreement", "hug_intra", "mse_perp", "nc2_etf_error_weights", "nc5_neco_auroc"] {
        assert_eq!(metrics[key]["reason"], "head_not_for_group", "{key}");
        assert!(json["groups"][2]["metrics"][key]["value"].is_f64(), "{key}");
    }
    assert!(metrics["nc5_ortho_dev"]["value"].is_f64());
}

#[test]
fn every_layer_has_a_head_of_its_own_state() {
    let place = layers_place();
    let metrics = "--metrics=nc3_cos_mean,nc4_agreement,classifier_accuracy,nc2_etf_error_weights,mse_perp";
    let base = ["hive", "--where=epoch=4000", "--where=split=train", "--group-by=layer"];
    let measure = [&["measure"], &base[..], &[metrics]].concat();
    let values = |json: &Value, key: &str| -> Vec<Value> {
        json["groups"].as_array().unwrap().iter().map(|group| group["metrics"][key]["value"].clone()).collect()
    };
    for head in ["lstsq", "lstsq:1e-6"] {
        let json = place.json(&[&measure[..], &["--head", head]].concat());
        for key in ["nc3_cos_mean", "nc4_agreement", "classifier_accuracy", "nc2_etf_error_weights", "mse_perp"] {
            assert!(values(&json, key).iter().all(Value::is_f64), "{head}: {key}");
        }
        assert!(values(&json, "classifier_accuracy")[2].as_f64().unwrap() > 0.99);
        place.succeed(&[&["accumulate", "-o", "x.ncst", "-q", "--overwrite"], &base[..]].concat());
        let finish = ["finish", "x.ncst", metrics, "--head", head, "--decisions=hive?epoch=4000&split=train"];
        let finished = place.json(&finish);
        assert_eq!(finished["groups"][0]["metrics"], json["groups"][0]["metrics"], "{head}");
        assert_eq!(finished["groups"][2]["metrics"], json["groups"][2]["metrics"], "{head}");
    }
    let table = [&measure[..], &["--head=lstsq", "--format=table"]].concat();
    assert!(
        place
            .succeed(&table)
            .0
            .contains("the classifier is each group's own, ridge regression on its classes with λ = 0.025")
    );
    let said = place.json(&[&measure[..], &["--head=lstsq", "--head-for=layer=h2"]].concat());
    assert_eq!(said["options"]["head"], "lstsq:0.025");
    assert_eq!(said["groups"][0]["metrics"]["nc3_cos_mean"]["reason"], "head_not_for_group");
    assert!(said["groups"][1]["metrics"]["nc3_cos_mean"]["value"].is_f64());

    for flags in [&["--head-rows=rank"][..], &["--head-transposed"], &["--on-missing-head=null"]] {
        let said = place.fail(2, &[&measure[..], &["--head=lstsq"], flags].concat());
        assert!(said.contains("has no effect on a least-squares head"), "{said}");
    }
    assert!(place.fail(2, &[&measure[..], &["--head=lstsq:x"]].concat()).contains("./lstsq:x"));
    assert!(place.fail(66, &[&measure[..], &["--head=./lstsq"]].concat()).contains("there is no such head"));

    // What a state does not hold is a reason, not a number.
    place.succeed(&[&["accumulate", "-o", "sums.ncst", "-q", "--metrics=nc1_cdnv"], &base[..]].concat());
    let bare = place.json(&["finish", "sums.ncst", "--metrics=nc3_cos_mean", "--head=lstsq"]);
    assert_eq!(bare["groups"][0]["metrics"]["nc3_cos_mean"]["reason"], "no_scatter");
    let filtered = place.json(&["finish", "x.ncst", "--metrics=nc3_cos_mean", "--head=lstsq", "--min-count=126"]);
    assert_eq!(filtered["groups"][0]["metrics"]["nc3_cos_mean"]["reason"], "filter_after_pooling");
}

#[test]
fn heads_that_are_missing_are_listed_or_leave_blanks() {
    let place = Place::new();
    place.features(shifted(0));
    place.heads(0);
    fs::remove_file(place.path("heads/9.parquet")).unwrap();
    let base = ["measure", "in", "--group-by=epoch", "--metrics=nc3_cos_mean", "--head", HEADS];
    let said = place.fail(66, &base);
    assert!(said.contains("missing 1 of 2") && said.contains("heads/9.parquet"), "{said}");
    assert!(said.contains("--on-missing-head null"), "{said}");
    place.succeed(&["accumulate", "in", "--group-by=epoch", "-o", "x.ncst", "-q"]);
    let finish = ["finish", "x.ncst", "--metrics=nc3_cos_mean", "--head", HEADS];
    assert!(place.fail(66, &finish).contains("--on-missing-head null"));
    for base in [&base[..], &finish[..]] {
        let json = place.json(&[base, &["--on-missing-head=null"]].concat());
        let cosines: Vec<&Value> = [0, 1].iter().map(|&at| &json["groups"][at]["metrics"]["nc3_cos_mean"]).collect();
        assert_eq!((&cosines[0]["value"], &cosines[0]["reason"]), (&Value::Null, &"head_missing".into()));
        assert!(cosines[1]["value"].as_f64().unwrap() > 0.9);
        assert_eq!(json["options"]["head_notes"], "1 of 2 heads are not there");
    }
    fs::remove_file(place.path("heads/4000.parquet")).unwrap();
    let said = place.fail(66, &[&base[..], &["--on-missing-head=null"]].concat());
    assert!(said.contains("missing 2 of 2") && said.contains("heads/4000.parquet"), "{said}");
}

#[test]
fn a_template_is_filled_as_directories_are_written() {
    let place = Place::new();
    place.features(shifted(0));
    place.heads(0);
    fs::rename(place.path("in/epoch=9"), place.path("in/epoch=0009")).unwrap();
    fs::rename(place.path("heads/9.parquet"), place.path("heads/0009.parquet")).unwrap();
    let right = right();
    place.succeed(&["accumulate", "in", "--group-by=epoch", "-o", "x.ncst", "-q"]);
    for head in [HEADS, "heads/{epoch:04}.parquet"] {
        let more = ["--metrics", METRICS, "-q", "--head", head];
        let found = place.succeed(&[&["measure", "in", "--group-by=epoch"], &more[..]].concat()).0;
        close(&numbers(&found), &right);
        let found = place.succeed(&[&["finish", "x.ncst", "--decisions=in"], &more[..]].concat()).0;
        close(&numbers(&found), &right);
    }
    let said = place.fail(2, &["measure", "in", "--group-by=epoch", "--head", "heads/{epoch:4}.parquet"]);
    assert!(said.contains("{epoch:4}") && said.contains("{epoch:03}"), "{said}");
}

#[test]
fn a_key_does_not_lead_out_of_its_directory() {
    let place = Place::new();
    place.features(shifted(0));
    place.heads(0);
    fs::create_dir_all(place.path("a/heads")).unwrap();
    fs::rename(place.path("heads/9.parquet"), place.path("secret.parquet")).unwrap();
    fs::create_dir_all(place.path("tree/run=..%2F..%2Fsecret")).unwrap();
    fs::rename(place.path("in/epoch=9/a.parquet"), place.path("tree/run=..%2F..%2Fsecret/a.parquet")).unwrap();
    let head = ["--group-by=run", "--metrics=nc3", "--head", "a/heads/{run}.parquet"];
    let said = place.fail(2, &[&["measure", "tree"], &head[..]].concat());
    assert!(said.contains("cannot stand in the path of a head"), "{said}");
    place.succeed(&["accumulate", "tree", "--group-by=run", "-o", "x.ncst", "-q"]);
    let said = place.fail(2, &["finish", "x.ncst", "--head", "a/heads/{run}.parquet"]);
    assert!(said.contains("cannot stand in the path of a head"), "{said}");
}

#[test]
fn what_was_chosen_is_said_and_kept() {
    let place = Place::new();
    place.features(shifted(0));
    place.heads(0);
    let base = ["measure", "in", "--group-by=epoch", "--metrics=nc3"];
    let (_, said) = place.succeed(&[&base[..], &["--head", HEADS]].concat());
    assert!(said.contains("head rows label = number of the row, from 0"), "{said}");
    let (_, said) = place.succeed(&[&base[..], &["--head", "heads/4000.parquet"]].concat());
    assert!(said.contains("one head for 2 values of epoch"), "{said}");

    // A square head, and as many dimensions as classes.
    let rows = read(place.path("in/epoch=4000/a.parquet").to_str().unwrap());
    let feature = rows.column_by_name("feature").unwrap().as_fixed_size_list();
    let values = feature.values().as_primitive::<Float32Type>().values();
    let short: Vec<f32> = values.chunks(64).flat_map(|row| row[..10].to_vec()).collect();
    place.write(
        "short.parquet",
        vec![("label", rows.column_by_name("label").unwrap().clone()), ("feature", vectors(short, 10))],
    );
    let weights: Vec<f32> = (0..100).map(|at| (at * at % 17) as f32).collect();
    place.write("square.parquet", vec![("weight", vectors(weights, 10))]);
    let square = ["measure", "short.parquet", "--metrics=nc3_cos_mean", "--head=square.parquet"];
    assert!(place.succeed(&square).1.contains("square and read as class × dim"));
    let json = place.json(&square);
    assert!(json["options"]["head_notes"].as_str().unwrap().contains("--head-transposed"), "{json}");
    let other = place.json(&[&square[..], &["--head-transposed"]].concat());
    assert_eq!((&other["options"]["head_notes"], &other["options"]["head_transposed"]), (&Value::Null, &"true".into()));
    let value = |json: &Value| json["groups"][0]["metrics"]["nc3_cos_mean"]["value"].clone();
    assert_ne!(value(&json), value(&other));
}

#[test]
fn classes_are_called_by_their_names() {
    let place = Place::new();
    place.features(shifted(1));
    place.heads(0);
    place.text("names.txt", &NAMES.join("\n"));
    let base = ["measure", "in", "--group-by=epoch", "--metrics=nc1", "--class-names=names.txt"];
    let rest = ["--head-rows=one-based", "--per-class=classes.csv", "--worst-pairs=1"];
    let json = place.json(&[&base[..], &rest].concat());
    let pair = &json["groups"][1]["worst_pairs"][0];
    let name = |label: &Value| NAMES[label.as_u64().unwrap() as usize - 1];
    assert_eq!(
        (pair["first_name"].as_str(), pair["second_name"].as_str()),
        (Some(name(&pair["first"])), Some(name(&pair["second"])))
    );
    let classes = fs::read_to_string(place.path("classes.csv")).unwrap();
    let mut lines = classes.lines();
    assert!(lines.next().unwrap().starts_with("epoch,class,name,count,"), "{classes}");
    assert!(lines.next().unwrap().starts_with("9,1,zero,"), "{classes}");
    assert!(classes.lines().next().unwrap().contains("worst_neighbour,worst_neighbour_name,"));
    assert_eq!(json["options"]["class_names"], "names.txt");
    // Ten names are those of 0 to 9.
    let said = place.fail(65, &[&base[..], &["--worst-pairs=1"]].concat());
    assert!(said.contains("class 10") && said.contains("--head-rows one-based"), "{said}");
    // Ranks are of all labels of the run, whichever a group has.
    let ranked = place.json(&[&base[..], &rest[2..], &["--head-rows=rank", "--head", HEADS]].concat());
    assert_eq!(ranked["groups"][1]["worst_pairs"], json["groups"][1]["worst_pairs"]);
    place.fail(2, &[&base[..], &["--worst-pairs=1", "--head-rows=rank"]].concat());
    // Flags that would do nothing.
    place.fail(2, &base);
    place.fail(2, &["measure", "in", "--group-by=epoch", "--head-rows=rank"]);
}
