//! `nckit convert`: the rows of any input in Parquet, bit for bit.

use std::fs::{self, File};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, Date32Array, Float64Array, Int64Array, RecordBatch, UInt8Array};
use arrow::datatypes::{DataType, Float16Type, Float32Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::write::{Packed, arrow, batch, elements, features, labels, npy, npz, safetensors};
use crate::faults::{Place, ints, said, vectors};
use crate::rows::Random;
use safetensors::Dtype;

const DIM: usize = 6;

fn rows(seed: u64, count: usize) -> (Vec<f32>, Vec<i64>) {
    let mut random = Random::new(seed);
    let classes: Vec<i64> = (0..count as i64).map(|row| row % 3).collect();
    let values = (0..count * DIM).map(|at| (random.normal() + f64::from(u8::from(at % 7 == 0))) as f32).collect();
    (values, classes)
}

fn put(place: &Place, name: &str, bytes: impl AsRef<[u8]>) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn batches(place: &Place, name: &str) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(place.path(name)).unwrap()).unwrap();
    reader.build().unwrap().map(Result::unwrap).collect()
}

const METRICS: [&str; 4] = ["--metrics=nc1_trace_ratio,nc1_cdnv,nc2_etf_error", "--grid=-26", "--format=csv", "-q"];

fn measured(place: &Place, arguments: &[&str]) -> String {
    place.succeed(&[&["measure"], arguments, &METRICS[..]].concat())
}

#[test]
fn what_is_converted_measures_the_same() {
    let place = Place::new();
    let (values, classes) = rows(1, 5000);
    let column = || ints(classes.iter().map(|&class| class as i32).collect());
    place.write_columns("x.parquet", &[("feature", vectors(values.clone(), DIM)), ("label", column())], 700);
    put(&place, "x.npy", features(DIM, &values));
    put(&place, "y.npy", labels(&classes));
    let members = [("feature", features(DIM, &values)), ("label", labels(&classes))];
    put(&place, "x.npz", npz(&members, Packed::Deflated));
    let half = elements("<V2", &values.iter().map(|&value| value.into()).collect::<Vec<f64>>());
    put(&place, "bf16.npz", npz(&[("x", npy("<V2", &[5000, DIM], &half)), ("y", labels(&classes))], Packed::Stored));
    let half = elements("<f2", &values.iter().map(|&value| value.into()).collect::<Vec<f64>>());
    put(&place, "f16.npz", npz(&[("x", npy("<f2", &[5000, DIM], &half)), ("y", labels(&classes))], Packed::Stored));
    let names: Vec<String> = (0..DIM).map(|at| format!("f{at}")).collect();
    let lines = values.chunks(DIM).zip(&classes).map(|(vector, class)| {
        let vector: Vec<String> = vector.iter().map(|value| format!("{value:?}")).collect();
        format!("{},{class}\n", vector.join(","))
    });
    put(&place, "x.csv", format!("{},label\n{}", names.join(","), lines.collect::<String>()));
    for (input, flags) in [
        ("x.parquet", &[][..]),
        ("x.npy", &["--labels=y.npy"][..]),
        ("x.npz", &[]),
        ("bf16.npz", &[]),
        ("f16.npz", &[]),
        ("x.csv", &["--features=f*"]),
        ("x.csv", &["--features=f*", "--dtype=f32"]),
    ] {
        let convert = [&["convert", input, "-o", "out.parquet", "--overwrite"], flags].concat();
        let output = place.run(&convert);
        assert!(output.status.success(), "{input}: {}", said(&output));
        assert_eq!(said(&output).contains("bf16 becomes f32"), input == "bf16.npz", "{input}: {}", said(&output));
        let expected = measured(&place, &[&[input], flags].concat());
        assert_eq!(measured(&place, &["out.parquet"]), expected, "{input}");
        let state = |input: &str, flags: &[&str]| {
            place.succeed(&[&["accumulate", input, "-o", "s.ncst", "--overwrite", "--grid=-26", "-q"], flags].concat());
            place.succeed(&[&["finish", "s.ncst"][..], &METRICS[..1], &METRICS[2..]].concat())
        };
        assert_eq!(state("out.parquet", &[]), expected, "{input}");
        // Whole chunks, in place.
        let file = File::open(place.path("out.parquet")).unwrap();
        let metadata = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().clone();
        assert_eq!(metadata.num_row_groups(), 1);
        let columns = batches(&place, "out.parquet")[0].columns().to_vec();
        let kind = columns.iter().map(Array::data_type).find(|kind| kind.is_nested()).unwrap();
        let DataType::FixedSizeList(item, 6) = kind else { panic!("{kind}") };
        let element = match input {
            "f16.npz" => DataType::Float16,
            "x.csv" if flags.len() == 1 => DataType::Float64,
            _ => DataType::Float32,
        };
        assert_eq!(*item.data_type(), element, "{input}");
    }
    // The bits themselves, of those that are not finite too.
    let mut odd = values[..60 * DIM].to_vec();
    (odd[3], odd[9], odd[10]) = (f32::NAN, f32::NEG_INFINITY, -0.0);
    put(&place, "odd.npy", features(DIM, &odd));
    put(&place, "odd_labels.npy", labels(&classes[..60]));
    place.succeed(&["convert", "odd.npy", "--labels=odd_labels.npy", "-o", "odd.parquet", "-q"]);
    let found = batches(&place, "odd.parquet");
    let found = found[0].column(0).as_fixed_size_list().values().as_primitive::<Float32Type>().values().to_vec();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found), bits(&odd));
    place.succeed(&["convert", "f16.npz", "-o", "half.parquet", "-q"]);
    let half = batches(&place, "half.parquet");
    let stored = half[0].column(0).as_fixed_size_list().values().as_primitive::<Float16Type>().values().to_vec();
    assert_eq!(stored[..9], values[..9].iter().map(|&value| half::f16::from_f32(value)).collect::<Vec<_>>());
}

#[test]
fn keys_and_other_single_values_are_kept_and_the_rest_is_named() {
    let place = Place::new();
    for epoch in 0..3 {
        let (values, classes) = rows(epoch, 60);
        let split = ints((0..60).map(|row| row % 2).collect());
        let columns = [
            ("feature", vectors(values.clone(), DIM)),
            ("other", vectors(values, DIM)),
            ("label", ints(classes.iter().map(|&class| class as i32).collect())),
            ("split", split),
        ];
        place.write_columns(&format!("in/epoch={epoch}/layer=h{epoch}/x.parquet"), &columns, 25);
    }
    let convert = ["convert", "in", "-o", "out.parquet", "--group-by=epoch,layer,split"];
    let output = place.run(&convert);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("left out") && said(&output).contains("other ("), "{}", said(&output));
    let groups = "--group-by=epoch,layer,split";
    let expected = measured(&place, &["in", "--features=feature", groups]);
    assert_eq!(expected.lines().count(), 1 + 6);
    assert_eq!(measured(&place, &["out.parquet", groups]), expected);
    // A row group has rows of one epoch, as a path has.
    let file = File::open(place.path("out.parquet")).unwrap();
    let metadata = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().metadata().clone();
    assert_eq!(metadata.num_row_groups(), 3);
    fs::create_dir(place.path("parts")).unwrap();
    // Rows that pass filters of both kinds, in several files.
    let filters = ["--where=epoch=1", "--where=epoch=2", "--where=split=1"];
    let expected = measured(&place, &[&["in", "--features=feature", groups], &filters[..]].concat());
    for (flag, counts) in [("--shards=4", &[15, 15, 15, 15][..]), ("--shard-rows=25", &[25, 25, 10])] {
        place.succeed(&[&["convert", "in", "-o", "parts/x.parquet", flag, "-q"], &filters[..]].concat());
        let names: Vec<String> =
            (0..counts.len()).map(|at| format!("parts/x-{at:05}-of-{:05}.parquet", counts.len())).collect();
        let found: Vec<usize> =
            names.iter().map(|name| batches(&place, name).iter().map(RecordBatch::num_rows).sum()).collect();
        assert_eq!(found, counts, "{flag}");
        assert_eq!(measured(&place, &["parts", groups]), expected, "{flag}");
        fs::remove_dir_all(place.path("parts")).unwrap();
        fs::create_dir(place.path("parts")).unwrap();
    }
}

#[test]
fn files_are_written_whole_or_not_at_all() {
    let place = Place::new();
    let (values, classes) = rows(1, 90);
    put(&place, "x.npy", features(DIM, &values));
    put(&place, "y.npy", labels(&classes));
    fs::create_dir(place.path("out")).unwrap();
    let empty = |place: &Place| fs::read_dir(place.path("out")).unwrap().count() == 0;
    // A file is cut off behind rows that were written already.
    let column = ints(classes.iter().map(|&class| class as i32).collect());
    place.write_columns("in/a.parquet", &[("feature", vectors(values.clone(), DIM)), ("label", column.clone())], 30);
    place.write_columns("in/b.parquet", &[("feature", vectors(values.clone(), DIM)), ("label", column)], 30);
    let mut bytes = fs::read(place.path("in/b.parquet")).unwrap();
    for byte in &mut bytes[4..60] {
        *byte ^= 0x55;
    }
    fs::write(place.path("in/b.parquet"), bytes).unwrap();
    place.fail(65, &["convert", "in", "-o", "out/x.parquet", "--shards=3"]);
    assert!(empty(&place));
    for (code, flags, words) in [
        (2, &["x.npy", "--labels=y.npy", "-o", "out/x.csv"][..], "to Parquet only"),
        (2, &["x.npy", "--labels=y.npy", "-o", "out/x.parquet", "--shards=91"], "more files than rows"),
        (2, &["x.npy", "--labels=y.npy", "-o", "out/x.parquet", "--group-by=epoch"], "no such key"),
        (66, &["in/a.parquet", "-o", "out/x.parquet", "--where=label=77"], "no row matches"),
        (2, &["in/a.parquet", "-o", "in/a.parquet", "--overwrite"], "one of the inputs"),
        (73, &["in/a.parquet", "-o", "in/b.parquet"], "exists"),
    ] {
        let told = place.fail(code, &[&["convert"], flags].concat());
        assert!(told.contains(words), "{flags:?}: {told}");
        assert!(empty(&place));
    }
    // Labels may be missing.
    fs::rename(place.path("x.npy"), place.path("lone.npy")).unwrap();
    fs::remove_file(place.path("y.npy")).unwrap();
    place.succeed(&["convert", "lone.npy", "-o", "out/x.parquet", "-q"]);
    assert_eq!(batches(&place, "out/x.parquet")[0].num_columns(), 1);
}

#[test]
fn tensors_are_found_through_the_index_of_their_files() {
    let place = Place::new();
    let (values, classes) = rows(1, 90);
    let features = || values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let numbers = || classes.iter().flat_map(|class| class.to_le_bytes()).collect::<Vec<u8>>();
    put(&place, "a-1.safetensors", safetensors(&[("features", Dtype::F32, &[90, DIM], features())]));
    let second = [("labels", Dtype::I64, &[90][..], numbers()), ("ids", Dtype::I64, &[90], numbers())];
    put(&place, "a-2.safetensors", safetensors(&second));
    let index = r#"{"metadata": {}, "weight_map": {"features": "a-1.safetensors", "labels": "a-2.safetensors",
        "ids": "a-2.safetensors", "gone": "../a-2.safetensors"}}"#;
    put(&place, "a.safetensors.index.json", index);
    let column = ints(classes.iter().map(|&class| class as i32).collect());
    place.write_columns("x.parquet", &[("feature", vectors(values.clone(), DIM)), ("label", column)], 700);
    let expected = measured(&place, &["x.parquet"]);
    put(&place, "y.npy", labels(&classes));
    for input in [
        "a.safetensors.index.json",
        "a.safetensors.index.json:features,labels",
        "a.safetensors.index.json:features,ids",
        "a.safetensors.index.json:features,y.npy",
    ] {
        assert_eq!(measured(&place, &[input]), expected, "{input}");
    }
    let told = place.fail(2, &["measure", "a.safetensors.index.json:none,labels"]);
    assert!(told.contains("features, gone, ids, labels"), "{told}");
    place.fail(65, &["measure", "a.safetensors.index.json:gone,labels"]);
    put(&place, "b.safetensors.index.json", "{}");
    let told = place.fail(65, &["measure", "b.safetensors.index.json"]);
    assert!(told.contains("no index of tensors"), "{told}");
}

#[test]
fn names_of_classes_in_the_schema_are_shown_and_change_nothing() {
    let place = Place::new();
    let (values, classes) = rows(1, 90);
    let whole = batch(DIM, &values, &classes);
    put(&place, "plain.arrow", super::write::arrow(std::slice::from_ref(&whole), true, None));
    let names = r#"{"info": {"features": {"label": {"names": ["cat", "dog", "eel"], "_type": "ClassLabel"}}}}"#;
    let metadata = [("huggingface".to_owned(), names.to_owned())].into();
    let schema = whole.schema().as_ref().clone().with_metadata(metadata);
    let named = RecordBatch::try_new(std::sync::Arc::new(schema), whole.columns().to_vec()).unwrap();
    put(&place, "named.arrow", super::write::arrow(std::slice::from_ref(&named), true, None));
    let run = |input: &str, flags: &[&str]| place.succeed(&[&["measure", input, METRICS[0], "-q"], flags].concat());
    assert_eq!(run("named.arrow", &["--format=json"]), run("plain.arrow", &["--format=json"]));
    let shown = run("named.arrow", &["--format=json", "--worst-pairs=1"]);
    assert!(shown.contains("cat") || shown.contains("dog") || shown.contains("eel"), "{shown}");
    assert!(!run("plain.arrow", &["--format=json", "--worst-pairs=1"]).contains("cat"));
    run("named.arrow", &["--format=json", "--per-class=c.csv"]);
    assert!(fs::read_to_string(place.path("c.csv")).unwrap().contains("eel"));
    let said = said(&place.run(&["measure", "named.arrow", METRICS[0]]));
    assert!(said.contains("cat, dog, eel   (3 names by the ClassLabel of the files)"), "{said}");
    assert!(place.succeed(&["inspect", "named.arrow", "-q"]).contains("cat, dog, eel"));
    // They stay with the rows.
    place.succeed(&["convert", "named.arrow", "-o", "named.parquet", "-q"]);
    assert!(place.succeed(&["inspect", "named.parquet", "-q"]).contains("cat, dog, eel"));
    // Names that somebody gives come first.
    put(&place, "own.txt", "a\nb\nc\n");
    let own = run("named.arrow", &["--format=json", "--worst-pairs=1", "--class-names=own.txt"]);
    assert!(!own.contains("cat") && !own.contains("dog"), "{own}");
}

/// A column of `count` times what `array` has.
fn of_days(count: usize) -> ArrayRef {
    Arc::new(Date32Array::from(vec![18_000; count]))
}

#[test]
fn numbers_of_two_types_become_the_type_that_holds_both() {
    let (values, classes) = rows(3, 40);
    let small: ArrayRef = ints(classes.iter().map(|&class| class as i32).collect());
    let wide: ArrayRef = Arc::new(Int64Array::from(classes.clone()));
    let bytes: ArrayRef = Arc::new(UInt8Array::from(classes.iter().map(|&class| class as u8).collect::<Vec<_>>()));
    let floats: ArrayRef = Arc::new(Float64Array::from(classes.iter().map(|&class| class as f64).collect::<Vec<_>>()));
    let broken: ArrayRef = Arc::new(Float64Array::from(vec![0.5; 40]));
    let write = |one: &ArrayRef, other: &ArrayRef| {
        let place = Place::new();
        for (name, label) in [("in/a.parquet", one), ("in/b.parquet", other)] {
            let mut values = values.clone();
            values[0] += if name == "in/b.parquet" { 1.0 } else { 0.0 };
            place.write_columns(name, &[("feature", vectors(values, DIM)), ("label", label.clone())], 40);
        }
        place
    };
    for (one, other) in
        [(&small, &wide), (&wide, &small), (&bytes, &wide), (&bytes, &small), (&floats, &wide), (&wide, &floats)]
    {
        let place = write(one, other);
        place.succeed(&["convert", "in", "-o", "out.parquet", "-q"]);
        let found = batches(&place, "out.parquet");
        assert_eq!(found[0].column(1).data_type(), &DataType::Int64);
        assert_eq!(measured(&place, &["out.parquet"]), measured(&place, &["in"]));
    }
    let said = write(&wide, &broken).fail(65, &["convert", "in", "-o", "out.parquet"]);
    assert!(said.contains("does not fit") && said.contains("b.parquet") && said.contains("label"), "{said}");
    let said = write(&wide, &of_days(40)).fail(65, &["convert", "in", "-o", "out.parquet"]);
    assert!(said.contains("label"), "{said}");
}

#[test]
fn all_that_is_left_out_is_named_whatever_file_has_it() {
    let place = Place::new();
    for (name, more) in [("in/a.parquet", "early"), ("in/b.parquet", "late")] {
        let (values, classes) = rows(name.len() as u64 + u64::from(more == "late"), 40);
        let label = ints(classes.iter().map(|&class| class as i32).collect());
        let columns =
            [("feature", vectors(values, DIM)), ("label", label), (more, ints(vec![7; 40])), ("when", of_days(40))];
        place.write_columns(name, &columns, 40);
    }
    let output = place.run(&["convert", "in", "-o", "out.parquet"]);
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    for words in ["early (only in some files)", "late (only in some files)", "when (date32: a type that is not kept)"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(batches(&place, "out.parquet")[0].num_columns(), 2);
    // Arrow names what it has besides as well, and labels that can be none.
    let (values, _) = rows(5, 40);
    let columns = [("feature", vectors(values, DIM)), ("label", of_days(40)), ("when", of_days(40))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    put(&place, "x.arrow", arrow(&[batch], false, None));
    let output = place.run(&["convert", "x.arrow", "-o", "x.parquet"]);
    let said = self::said(&output);
    assert!(output.status.success() && said.contains("when (date32"), "{said}");
    assert!(said.contains("no labels: those of label (date32"), "{said}");
    // A measure says what it did not look at.
    let said = place.fail(2, &["measure", "x.arrow"]);
    assert!(said.contains("of types that are not read label (date32), when (date32)"), "{said}");
}

#[test]
fn vectors_that_are_null_are_counted() {
    let place = Place::new();
    put(&place, "x.csv", "f0,f1,label\n1,,0\n2,3,1\n4,,1\n");
    let output = place.run(&["convert", "x.csv", "--features=f*", "-o", "x.parquet"]);
    assert!(output.status.success());
    assert!(said(&output).contains("2 vectors are null: one with a null element"), "{}", said(&output));
    assert_eq!(batches(&place, "x.parquet")[0].column_by_name("feature").unwrap().null_count(), 2);
}
