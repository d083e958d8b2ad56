//! Labels in files of their own: which kinds of files, what is missing in them, and what is said of those that do not serve.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use safetensors::Dtype;

use super::torch::{dict, pt, whole};
use super::write::{Packed, arrow, elements, features, labels, npy, npz, safetensors};
use crate::faults::Place;

fn rows(count: usize) -> (Vec<f32>, Vec<i64>) {
    let classes: Vec<i64> = (0..count).map(|row| (row * 7 % 4) as i64).collect();
    let value =
        |row: usize, j: usize| (classes[row] * if j == 0 { 5 } else { 1 }) as f32 + ((row * (j + 3)) % 11) as f32;
    ((0..count).flat_map(|row| (0..3).map(move |j| (row, j))).map(|(row, j)| value(row, j)).collect(), classes)
}

fn put(place: &Place, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(place.path(name), bytes).unwrap();
}

fn measured(place: &Place, arguments: &[&str]) -> String {
    place
        .succeed(&[&["measure", "x.npy", "--metrics=nc1_cdnv", "--format=csv", "-q", "--grid=-20"], arguments].concat())
}

fn place() -> (Place, Vec<i64>) {
    let place = Place::new();
    let (values, classes) = rows(60);
    put(&place, "x.npy", features(3, &values));
    put(&place, "y.npy", labels(&classes));
    (place, classes)
}

fn lines(classes: &[i64], line: impl Fn(usize, i64) -> String) -> String {
    classes.iter().enumerate().map(|(row, &class)| line(row, class) + "\n").collect()
}

#[test]
fn a_file_that_is_there_is_a_file_of_labels() {
    let (place, classes) = place();
    let expected = measured(&place, &["--labels=y.npy"]);
    let column: ArrayRef = Arc::new(Int64Array::from(classes.clone()));
    let batch = RecordBatch::try_from_iter([("label", column)]).unwrap();
    put(&place, "l.feather", arrow(&[batch], false, None));
    put(&place, "l.jsonl", lines(&classes, |_, class| format!("{{\"label\": {class}}}")));
    let bytes: Vec<u8> = classes.iter().flat_map(|class| class.to_le_bytes()).collect();
    put(&place, "l.safetensors", safetensors(&[("label", Dtype::I64, &[60], bytes)]));
    for file in ["l.feather", "l.jsonl", "l.safetensors"] {
        assert_eq!(measured(&place, &["--labels", file]), expected, "{file}");
        let said = String::from_utf8(place.run(&["measure", "x.npy", "--labels", file]).stderr).unwrap();
        assert!(said.contains(&format!("(of {file})")), "the plan names the file: {said}");
    }
    put(&place, "l.json", format!("{classes:?}"));
    let said = place.fail(65, &["measure", "x.npy", "--labels=l.json"]);
    assert!(said.contains("JSON") && said.contains(".npy") && said.contains("l.json"), "{said}");
    // One that is not there is a column.
    place.fail(2, &["measure", "x.npy", "--labels=no.feather"]);
}

#[test]
fn an_empty_line_is_no_label() {
    let (place, classes) = place();
    let some = |row: usize| row % 10 != 3 && row != 4;
    let field = |row: usize, class: i64| if some(row) { class.to_string() } else { String::new() };
    put(
        &place,
        "l.csv",
        "id,label\n".to_owned() + &lines(&classes, |row, class| format!("{row},{}", field(row, class))),
    );
    let expected = measured(&place, &["--labels=l.csv", "--nulls=skip"]);
    let text = lines(&classes, field);
    for (text, end) in [(text.clone(), ""), (text.clone(), "\n\n"), (text.replace('\n', "\r\n"), "\r\n"), (text, "\n")]
    {
        for header in ["", "label\n"] {
            put(&place, "l.txt", format!("{header}{text}{end}"));
            assert_eq!(measured(&place, &["--labels=l.txt", "--nulls=skip"]), expected, "{header:?} {end:?}");
        }
    }
    assert!(place.fail(65, &["measure", "x.npy", "--labels=l.txt"]).contains("null label"));
    // Lines at the beginning, and labels in quotes over several lines.
    let words = lines(&classes, |row, class| match row {
        0 => String::new(),
        _ => format!("\"a \"\"{class}\"\",\nb\""),
    });
    put(&place, "l.txt", words);
    let expected = lines(&classes, |row, class| if row == 0 { String::new() } else { format!("a{class}") });
    put(&place, "m.txt", expected);
    assert_eq!(
        measured(&place, &["--labels=l.txt", "--nulls=skip"]),
        measured(&place, &["--labels=m.txt", "--nulls=skip"])
    );
}

/// Units begin at lines, empty ones too.
#[test]
fn empty_lines_are_read_in_many_units() {
    let place = Place::new();
    let count = 300_000;
    let classes: Vec<i64> = (0..count).map(|row| row as i64 % 3).collect();
    let values: Vec<f32> = (0..count).map(|row| (row % 3) as f32 + (row % 7) as f32 / 8.0).collect();
    put(&place, "x.npy", features(1, &values));
    let is_none = |row: usize| row % 2048 < 2 || row % 777 == 5;
    put(&place, "l.txt", lines(&classes, |row, class| if is_none(row) { String::new() } else { class.to_string() }));
    let floats: Vec<f64> =
        classes.iter().enumerate().map(|(row, &class)| if is_none(row) { f64::NAN } else { class as f64 }).collect();
    let bytes: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
    put(&place, "l.npy", npy("<f8", &[count], &bytes));
    assert_eq!(
        measured(&place, &["--labels=l.txt", "--nulls=skip"]),
        measured(&place, &["--labels=l.npy", "--nulls=skip"])
    );
}

#[test]
fn a_nan_is_a_label_that_is_missing() {
    let (place, classes) = place();
    let floats = |nan: i64| {
        let value = move |class: &i64| if *class == nan { f64::NAN } else { *class as f64 };
        classes.iter().map(value).collect::<Vec<f64>>()
    };
    let write = |name: &str, values: Vec<f64>| {
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        place.write_columns(name, &[("label", column)], 99);
    };
    write("l.parquet", floats(2));
    write("all.parquet", floats(-1));
    let said = place.fail(65, &["measure", "x.npy", "--labels=l.parquet"]);
    assert!(said.contains("NaN") && said.contains("--nulls skip"), "{said}");
    let expected = measured(&place, &["--labels=y.npy", "--ignore-label=2"]);
    assert!(measured(&place, &["--labels=l.parquet", "--nulls=skip"]) == expected);
    assert!(measured(&place, &["--labels=all.parquet", "--ignore-label=2.0"]) == expected);
    let said = place.run(&["measure", "x.npy", "--labels=l.parquet", "--nulls=skip", "--format=csv"]);
    assert!(String::from_utf8(said.stderr).unwrap().contains("15"), "they are counted");
    assert!(place.fail(2, &["measure", "x.npy", "--labels=l.parquet", "--ignore-label=nan"]).contains("--nulls skip"));
    place.fail(2, &["measure", "x.npy", "--labels=all.parquet", "--ignore-label=2.5"]);
}

#[test]
fn labels_that_do_not_serve_are_named_with_what_mends_them() {
    let (place, classes) = place();
    let latin: Vec<u8> = lines(&classes, |_, class| format!("{class}\u{e9}")).chars().map(|c| c as u8).collect();
    put(&place, "latin.txt", latin);
    let wide: Vec<u8> = std::iter::once(0xfeff_u16)
        .chain(lines(&classes, |_, class| class.to_string()).encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    put(&place, "wide.txt", wide);
    for (file, encoding) in [("latin.txt", "LATIN1"), ("wide.txt", "UTF-16")] {
        let said = place.fail(65, &["measure", "x.npy", "--labels", file]);
        assert!(said.contains(file) && said.contains(&format!("iconv -f {encoding}")), "{said}");
    }
    for (shape, descr, bytes) in [([60, 4], "|b1", 240), ([1, 60], "<i8", 480)] {
        put(&place, "z.npy", npy(descr, &shape, &vec![0; bytes]));
        let said = place.fail(65, &["measure", "x.npy", "--labels=z.npy"]);
        assert!(said.contains("no labels") && said.contains("argmax") && !said.contains("float32"), "{said}");
    }
    put(&place, "short.npy", labels(&classes[1..]));
    assert!(place.fail(65, &["measure", "x.npy", "--labels=short.npy"]).contains("at the same place"));
}

#[test]
fn a_file_of_labels_in_another_format_is_named_and_not_the_features() {
    let (place, _) = place();
    for (name, begin, words) in [
        ("l.h5", &b"\x89HDF\r\n\x1a\n\0\0"[..], ["an HDF5 file", "numpy.save"]),
        ("l.csv.gz", b"\x1f\x8b\x08\x00", ["compressed with gzip", "unpack it"]),
        ("l.pkl", b"\x80\x04\x95\x00", ["a Python pickle", "numpy.save"]),
        ("l.npy", b"\x1f\x8b\x08\x00", ["compressed with gzip", "unpack it"]),
    ] {
        put(&place, name, begin);
        let said = place.fail(65, &["measure", "x.npy", "--labels", name]);
        let of_labels = said.contains(&format!("{name}: it is {}", words[0])) && said.contains(words[1]);
        assert!(of_labels && !said.contains("Parquet: it") && !said.contains("x.npy:"), "{said}");
        let said = place.fail(66, &["measure", "x.npy", "--labels", name, "--on-bad-file=skip"]);
        assert!(said.contains(&format!("its labels {name}: it is {}", words[0])), "{said}");
    }
    put(&place, "l.npy", b"\x93NUMPY\x01\0");
    let said = place.fail(65, &["measure", "x.npy", "--labels=l.npy"]);
    assert!(said.contains("l.npy: it ends") && said.contains("features x.npy"), "{said}");
}

#[test]
fn damaged_labels_are_left_out_with_their_features_and_it_is_said() {
    let place = Place::new();
    for folder in ["f", "l"] {
        std::fs::create_dir(place.path(folder)).unwrap();
    }
    for run in 0..3 {
        let (mut values, classes) = rows(60);
        values[run] += 1.0;
        put(&place, &format!("f/{run}.npy"), features(3, &values));
        put(&place, &format!("l/{run}.npy"), labels(&classes));
    }
    let skip =
        ["measure", "f/{i}.npy", "--labels=l/{i}.npy", "--group-by=i", "--metrics=nc1_cdnv", "--on-bad-file=skip"];
    put(&place, "l/1.npy", b"\x1f\x8b\x08\x00");
    let output = place.run(&skip);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("f/1.npy: its labels l/1.npy: it is compressed with gzip"), "{said}");
    assert!(said.contains("rows and labels are left out"), "{said}");
    // Damage that is found when rows are read says the same.
    let sound = std::fs::read(place.path("l/2.npy")).unwrap();
    put(&place, "l/1.npz", npz(&[("y", sound)], Packed::Deflated));
    let mut bytes = std::fs::read(place.path("l/1.npz")).unwrap();
    let at = bytes.windows(4).position(|four| four == b"PK\x01\x02").unwrap() - 4;
    bytes[at] ^= 0x40;
    put(&place, "l/1.npy", bytes);
    let said = String::from_utf8(place.run(&skip).stderr).unwrap();
    assert!(said.contains("f/1.npy: its labels l/1.npy: "), "{said}");
}

#[test]
fn one_of_several_arrays_of_labels_is_named_behind_a_colon() {
    let (place, classes) = place();
    let expected = measured(&place, &["--labels=y.npy"]);
    let other: Vec<i64> = classes.iter().rev().copied().collect();
    put(&place, "l.npz", npz(&[("foo", labels(&classes)), ("bar", labels(&other))], Packed::Stored));
    let bytes = |values: &[i64]| elements("<i8", &values.iter().map(|&value| value as f64).collect::<Vec<_>>());
    let both = dict([("foo", whole("LongStorage", 0, &[60])), ("bar", whole("LongStorage", 1, &[60]))]);
    put(&place, "l.pt", pt(&both, &[bytes(&classes), bytes(&other)]));
    let columns: [ArrayRef; 2] = [Arc::new(Int64Array::from(classes)), Arc::new(Int64Array::from(other))];
    let [foo, bar] = columns;
    place.write_columns("l.parquet", &[("foo", foo), ("bar", bar)], 60);
    for file in ["l.npz", "l.pt", "l.parquet"] {
        assert_eq!(measured(&place, &["--labels", &format!("{file}:foo")]), expected, "{file}");
        let said = place.fail(2, &["measure", "x.npy", "--labels", file]);
        assert!(said.contains(&format!("name one behind a colon: {file}:")), "{said}");
        let said = place.fail(2, &["measure", "x.npy", "--labels", &format!("{file}:baz")]);
        assert!(said.contains("baz") && said.contains(file), "{said}");
        let whole = ["measure", &format!("x.npy,{file}:foo"), "--metrics=nc1_cdnv", "--format=csv", "-q", "--grid=-20"];
        assert_eq!(place.succeed(&whole), expected, "{file}");
    }
    place.fail(66, &["measure", "x.npy", "--labels=no.npz:foo"]);
    let features = std::fs::read(place.path("x.npy")).unwrap();
    put(
        &place,
        "x.npz",
        npz(&[("X_test", features), ("y_test", std::fs::read(place.path("y.npy")).unwrap())], Packed::Stored),
    );
    let both = ["measure", "x.npz:X_test,l.npz:foo", "--metrics=nc1_cdnv", "--format=csv", "-q", "--grid=-20"];
    assert_eq!(place.succeed(&both), expected);
    let said = place.fail(2, &["measure", "x.npz:X_test", "--labels=y_test"]);
    assert!(said.contains("x.npz:X_test,y_test"), "{said}");
}
