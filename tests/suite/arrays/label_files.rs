//! Labels in files of their own: which kinds of files, what is missing in them, and what is said of those that do not serve.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use safetensors::Dtype;

use super::write::{arrow, features, labels, npy, safetensors};
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
