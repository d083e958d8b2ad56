//! What a run takes for its rows: which files, which lines, which labels.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, Int64Array, StringArray};

use super::write::{arrow, batch, features, labels};
use crate::faults::{Place, ints, said, vectors};

const METRICS: &str = "--metrics=nc1_trace_ratio,nc1_cdnv";

/// Rows of four classes, and their classes.
fn rows(count: usize) -> (Vec<f32>, Vec<i64>) {
    let classes: Vec<i64> = (0..count).map(|row| (row * 7 % 4) as i64).collect();
    let values = classes.iter().enumerate().flat_map(|(row, class)| {
        (0..3).map(move |j| (*class as f32) * if j == 0 { 5.0 } else { 1.0 } + ((row * (j + 3)) % 11) as f32 / 8.0)
    });
    (values.collect(), classes)
}

fn put(place: &Place, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::create_dir_all(place.path(name).parent().unwrap()).unwrap();
    std::fs::write(place.path(name), bytes).unwrap();
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line + "\n").collect()
}

fn measured(place: &Place, arguments: &[&str]) -> String {
    place.succeed(&[&["measure", METRICS, "--format=csv", "-q", "--grid=-20"], arguments].concat())
}

/// Parquet of the rows, whose labels are texts.
fn in_words(place: &Place, name: &str, words: &[&str]) {
    let (values, classes) = rows(60);
    let labels: ArrayRef = Arc::new(StringArray::from_iter_values(classes.iter().map(|&class| words[class as usize])));
    place.write_columns(name, &[("feature", vectors(values, 3)), ("label", labels)], 99);
}

#[test]
fn a_line_of_a_text_is_a_label_as_it_stands() {
    let place = Place::new();
    let (values, classes) = rows(60);
    put(&place, "x.npy", features(3, &values));
    for words in [["cat", "dog, brown", "dog, white", "emu"], ["the", " the", "the ", "x"], ["y", "n", "a", "b"]] {
        let text = lines(classes.iter().map(|&class| words[class as usize].to_owned()));
        put(&place, "l.txt", text);
        in_words(&place, "x.parquet", &words);
        assert_eq!(measured(&place, &["x.npy", "--labels=l.txt"]), measured(&place, &["x.parquet"]), "{words:?}");
    }
    // The fields of a table, too.
    let words = ["the", " the", "\"the, thy\"", "x"];
    let table = lines(classes.iter().enumerate().map(|(row, &class)| format!("{row},{}", words[class as usize])));
    put(&place, "l.csv", format!("id,label\n{table}"));
    in_words(&place, "x.parquet", &["the", " the", "the, thy", "x"]);
    assert_eq!(measured(&place, &["x.npy", "--labels=l.csv"]), measured(&place, &["x.parquet"]));
    put(&place, "l.csv", format!("id,label\n{table}60,x,y\n"));
    let text = place.fail(65, &["measure", "x.npy", "--labels=l.csv"]);
    assert!(text.contains("not as many fields as the header") && text.contains("line 62"), "{text}");
}

#[test]
fn an_empty_field_of_a_table_is_no_label() {
    let place = Place::new();
    let (values, classes) = rows(60);
    put(&place, "x.npy", features(3, &values));
    let field = |row: usize| if row % 10 == 3 { String::new() } else { classes[row].to_string() };
    put(&place, "l.csv", format!("id,label\n{}", lines((0..60).map(|row| format!("{row},{}", field(row))))));
    let nullable: ArrayRef =
        Arc::new((0..60).map(|row| (row % 10 != 3).then_some(classes[row] as i32)).collect::<Int32Array>());
    place.write_columns("l.parquet", &[("label", nullable)], 99);
    for labels in ["--labels=l.csv", "--labels=l.parquet"] {
        let text = place.fail(65, &["measure", "x.npy", labels]);
        assert!(text.contains("null label"), "{text}");
    }
    let skip = |labels| measured(&place, &["x.npy", labels, "--nulls=skip"]);
    assert_eq!(skip("--labels=l.csv"), skip("--labels=l.parquet"));
}

#[test]
fn numbers_in_a_text_are_the_labels_that_they_are_elsewhere() {
    let place = Place::new();
    let (values, classes) = rows(60);
    put(&place, "x.npy", features(3, &values));
    put(&place, "l.npy", labels(&classes));
    let expected = measured(&place, &["x.npy", "--labels=l.npy"]);
    let lines = |line: &dyn Fn(i64) -> String| lines(classes.iter().map(|&class| line(class)));
    for text in [
        lines(&|class| format!("{:.18e}", class as f64)),
        lines(&|class| format!("{class}.0")),
        lines(&|class| format!(" {class} ")),
    ] {
        put(&place, "l.txt", &text);
        assert_eq!(measured(&place, &["x.npy", "--labels=l.txt"]), expected, "{text}");
        put(&place, "l.txt", format!("\u{feff}{text}"));
        assert_eq!(measured(&place, &["x.npy", "--labels=l.txt"]), expected, "{text}");
    }
    put(&place, "l.txt", lines(&|class| format!("{class}.5")));
    let text = place.fail(65, &["measure", "x.npy", "--labels=l.txt"]);
    assert!(text.contains("not a whole number that its type holds exactly"), "{text}");
    // Classes beyond 63 bits.
    let large = |class: i64| (u64::MAX - class as u64).to_string();
    put(&place, "l.txt", lines(&|class| large(class)));
    let classes = place.succeed(&["measure", "x.npy", "--labels=l.txt", "--per-class=c.csv", METRICS, "-q"]);
    assert!(classes.contains("\"classes\":4"), "{classes}");
    assert!(String::from_utf8(place.read("c.csv")).unwrap().contains(&large(3)));
}

#[test]
fn a_data_set_is_the_files_that_it_names() {
    let place = Place::new();
    let (values, classes) = rows(60);
    let whole = batch(3, &values, &classes);
    let state = "{\"_data_files\": [{\"filename\": \"data-00000-of-00002.arrow\"}, {\"filename\": \"data-00001-of-00002.arrow\"}]}";
    for split in ["train", "test"] {
        put(&place, &format!("set/{split}/data-00000-of-00002.arrow"), arrow(&[whole.slice(0, 30)], true, None));
        put(&place, &format!("set/{split}/data-00001-of-00002.arrow"), arrow(&[whole.slice(30, 30)], true, None));
        put(&place, &format!("set/{split}/state.json"), state);
    }
    let expected = measured(&place, &["set/train"]);
    // What `map` has left there, and a folder that is no split.
    put(&place, "set/train/cache-1a2b.arrow", arrow(&[whole.slice(3, 20)], true, None));
    put(&place, "set/old/data-00000-of-00001.arrow", arrow(&[whole.slice(3, 20)], true, None));
    put(&place, "set/dataset_dict.json", "{\"splits\": [\"train\", \"test\"]}");
    assert_eq!(measured(&place, &["set/train"]), expected);
    assert_eq!(measured(&place, &["set/train/*.arrow"]), expected);
    assert_eq!(measured(&place, &["set", "--where=split=train"]), expected);
    let shown = said(&place.run(&["measure", "set", "--group-by=split", METRICS, "-v"]));
    assert!(shown.contains("set/old") && shown.contains("cache-1a2b.arrow"), "{shown}");
    std::fs::remove_file(place.path("set/test/data-00001-of-00002.arrow")).unwrap();
    let text = place.fail(66, &["measure", "set/test"]);
    assert!(text.contains("data-00001-of-00002.arrow"), "{text}");
    let picked =
        format!("{}, \"_indices_data_files\": [{{\"filename\": \"indices.arrow\"}}]}}", &state[..state.len() - 1]);
    put(&place, "set/train/state.json", picked);
    let text = place.fail(65, &["measure", "set/train"]);
    assert!(text.contains("flatten_indices"), "{text}");
}

#[test]
fn files_of_a_folder_are_known_by_what_is_in_them() {
    let place = Place::new();
    let (values, classes) = rows(60);
    let part = |from: usize, to: usize| {
        let labels = classes[from..to].iter().map(|&class| class as i32).collect();
        [("feature", vectors(values[3 * from..3 * to].to_vec(), 3)), ("label", ints(labels))]
    };
    place.write_columns("all/x.parquet", &part(0, 60), 99);
    place.write_columns("in/a.parquet", &part(0, 20), 99);
    place.write_columns("in/b.csv", &part(20, 40), 99);
    place.write_columns("in/c.npy", &part(40, 60), 99);
    assert_eq!(measured(&place, &["in"]), measured(&place, &["all"]));
    // A file of labels makes no format of its folder.
    put(&place, "pair/features.npy", features(3, &values));
    place.write_columns(
        "pair/labels.parquet",
        &[("label", ints(classes.iter().map(|&class| class as i32).collect()))],
        99,
    );
    assert_eq!(measured(&place, &["pair"]), measured(&place, &["all"]));
}

#[test]
fn columns_of_elements_have_the_same_names_in_all_files() {
    let place = Place::new();
    let table = |names: &str| format!("{names},label\n1,2,3,0\n2,1,3,0\n4,5,6,1\n4,6,6,1\n");
    put(&place, "same/a.csv", table("f0,f1,f2"));
    put(&place, "same/b.csv", table("f2,f0,f1"));
    put(&place, "other/a.csv", table("f0,f1,f2"));
    put(&place, "other/b.csv", table("f1,f2,f3"));
    put(&place, "strange/a.csv", table("f0,f1,fold"));
    place.succeed(&["measure", "same", "--features=f*", METRICS, "-q"]);
    let text = place.fail(65, &["measure", "other", "--features=f*"]);
    assert!(text.contains("f0, f1, f2") && text.contains("f1, f2, f3"), "{text}");
    let text = place.fail(2, &["measure", "strange", "--features=f*"]);
    assert!(text.contains("fold") && text.contains("--features 'f[0-9]*'"), "{text}");
    place.succeed(&["measure", "strange", "--features=f[0-9]*", METRICS, "-q"]);
}

#[test]
fn a_key_of_the_path_is_a_label() {
    let place = Place::new();
    let (values, classes) = rows(60);
    let of = |class: i64| classes.iter().zip(values.chunks(3)).filter(move |row| *row.0 == class);
    for class in 0..4 {
        let own: Vec<f32> = of(class).flat_map(|(_, row)| row.to_vec()).collect();
        place.write_columns(&format!("in/class={class}/x.parquet"), &[("feature", vectors(own.clone(), 3))], 7);
        put(&place, &format!("named/class=c{class}/x.npy"), features(3, &own));
    }
    put(&place, "x.npy", features(3, &values));
    put(&place, "l.npy", labels(&classes));
    let expected = measured(&place, &["x.npy", "--labels=l.npy"]);
    assert_eq!(measured(&place, &["in", "--labels=class"]), expected);
    assert_eq!(measured(&place, &["named", "--labels=class"]), expected);
    // The plan of a state knows it, too.
    place.succeed(&["accumulate", "in", "--labels=class", "-o", "x.ncst", "--grid=-20", "-q"]);
    let finished = place.succeed(&["finish", "x.ncst", METRICS, "--format=csv", "-q"]);
    assert_eq!(finished, expected);
    place.succeed(&["verify", "x.ncst", "--inputs", "in"]);
}

/// The dictionary of a file may lie behind the rows.
#[test]
fn categories_of_polars_are_labels() {
    let place = Place::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ipc/categorical.arrow");
    let found = place.succeed(&["measure", path, METRICS, "--per-class=c.csv", "-q"]);
    assert!(found.contains("\"rows\":12,\"classes\":3"), "{found}");
    let classes = String::from_utf8(place.read("c.csv")).unwrap();
    assert!(classes.contains("\na,"), "{classes}");
}

/// It leaves eight zeros behind the values of every page.
#[test]
fn files_of_fastparquet_are_read() {
    let place = Place::new();
    in_words(&place, "x.parquet", &["ant", "bee", "cat", "dog"]);
    let expected = measured(&place, &["x.parquet"]);
    for name in ["texts", "categories"] {
        let path = format!("{}/tests/data/fastparquet/{name}.parquet", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(measured(&place, &[&path, "--features=f*"]), expected, "{name}");
        place.succeed(&["convert", &path, "--features=f*", "-o", "y.parquet", "--overwrite", "-q"]);
        assert_eq!(measured(&place, &["y.parquet"]), expected, "{name}");
    }
}

#[test]
fn rows_left_out_are_counted_wherever_they_stand() {
    let place = Place::new();
    let (mut values, classes) = rows(60);
    put(&place, "x.npy", features(3, &values));
    put(&place, "l.npy", labels(&classes));
    values[7] = f32::NAN;
    put(&place, "d.npy", features(3, &values));
    let ignored = classes.iter().filter(|&&class| class == 3).count();
    let run = place.run(&[
        "measure",
        "x.npy,l.npy",
        "--decisions=d.npy,l.npy",
        "--ood=d.npy,l.npy",
        "--nonfinite=skip",
        "--ignore-label=3",
        "--metrics=ncc_accuracy,nc5_ortho_dev",
    ]);
    let text = said(&run);
    assert!(run.status.success(), "{text}");
    for flag in ["--decisions", "--ood"] {
        assert!(
            text.contains(&format!("rows of {flag} are left out: {ignored} by --ignore-label, 1 by --nonfinite")),
            "{text}"
        );
    }
    assert!(text.contains(&format!("left out  rows: {ignored} by --ignore-label")), "{text}");
}

fn count<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["accumulate", "x.parquet", "-o", "x.ncst", "-q"], more].concat()
}

#[test]
fn a_state_is_extended_by_whole_row_groups_alone() {
    let place = Place::new();
    let (values, classes) = rows(60);
    let epochs = ints((0..60).map(|row| row / 30).collect());
    let labels = ints(classes.iter().map(|&class| class as i32).collect());
    place.write_columns("x.parquet", &[("feature", vectors(values, 3)), ("label", labels), ("epoch", epochs)], 20);
    place.succeed(&count(&["--where=epoch=0"]));
    // The second row group has rows of both.
    let text = place.fail(65, &count(&["--where=epoch=1", "--extend"]));
    assert!(text.contains("x.parquet") && text.contains("row group 1") && text.contains("epoch=0"), "{text}");
    let text = place.fail(65, &count(&["--extend"]));
    assert!(text.contains("other rows of the same row group"), "{text}");
    place.succeed(&count(&["--where=epoch=0", "--extend"]));
    // A state that is finished was made under settings, too.
    let text = place.fail(65, &count(&["--where=epoch=0", "--resume", "--grid=-3"]));
    assert!(text.contains("grid"), "{text}");
    place.succeed(&count(&["--where=epoch=0", "--resume"]));
}

#[test]
fn what_is_suggested_serves() {
    let place = Place::new();
    let (values, classes) = rows(60);
    let column = |j: usize| -> ArrayRef {
        Arc::new(Float32Array::from(values.iter().skip(j).step_by(3).copied().collect::<Vec<_>>()))
    };
    let label: ArrayRef = Arc::new(Int64Array::from(classes.clone()));
    let mut columns = vec![("f_0", column(0)), ("f_1", column(1)), ("f_2", column(2)), ("label", label.clone())];
    columns.push(("f_0_norm", column(0)));
    place.write_columns("one.parquet", &columns, 60);
    let said = place.fail(2, &["measure", "one.parquet", "--features=f_*"]);
    assert!(said.contains("--features 'f_[0-9]'"), "{said}");
    place.succeed(&["measure", "one.parquet", "--features=f_[0-9]", "--metrics=nc1_cdnv", "-q"]);
    columns.push(("f_10", column(1)));
    place.write_columns("two.parquet", &columns, 60);
    let said = place.fail(2, &["measure", "two.parquet", "--features=f_*"]);
    assert!(said.contains("give f_0_norm another name"), "{said}");
    // Two columns of one name cannot be told apart by it.
    let list = vectors(values.clone(), 3);
    place.write_columns("twice.parquet", &[("feature", list.clone()), ("feature", list), ("label", label)], 60);
    let said = place.fail(65, &["measure", "twice.parquet"]);
    assert!(said.contains("two columns have one name"), "{said}");
    // The memory that is asked for first is enough.
    put(&place, "m.npy", features(3, &values));
    put(&place, "m_labels.npy", labels(&classes));
    let said = place.fail(75, &["measure", "m.npy", "--memory=1KiB", "--metrics=nc1_cdnv"]);
    let memory = said.split("--memory ").nth(1).unwrap().split_whitespace().next().unwrap();
    place.succeed(&["measure", "m.npy", "--memory", memory, "--metrics=nc1_cdnv", "-q"]);
}

#[test]
fn a_file_that_an_index_names_and_that_is_not_there_is_named() {
    let place = Place::new();
    let index = r#"{"weight_map": {"features": "m-1.safetensors", "labels": "m-2.safetensors"}}"#;
    put(&place, "m.safetensors.index.json", index);
    let said = place.fail(66, &["measure", "m.safetensors.index.json:features,labels"]);
    assert!(said.contains("m-1.safetensors") && said.contains("the index names"), "{said}");
}
