//! Which files are found, what they are called, and how a later run recognises them.

use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use nckit::archive::Policy;

use super::*;

/// A file whose rows begin with `tag`, so that no two are the same.
fn write(files: &Files, name: &str, tag: i32) -> PathBuf {
    files.write(name, &[("feature", vectors(3, 2)), ("label", ints([tag, tag + 1, tag]))], 2)
}

fn names(archive: &Archive) -> Vec<&str> {
    archive.files().iter().map(|file| file.name.as_str()).collect()
}

#[test]
fn directories_are_searched_and_markers_passed_over() {
    let files = Files::new();
    for (tag, name) in ["b/part-10.parquet", "b/part-9.parquet", "a.parquet"].iter().enumerate() {
        write(&files, name, tag as i32);
    }
    for name in ["_SUCCESS", ".hidden.parquet", "b/_metadata", "b/part-9.parquet.crc", "README.md"] {
        fs::write(files.path(name), "").unwrap();
    }
    fs::create_dir(files.path("_temporary")).unwrap();
    fs::write(files.path("_temporary/x.parquet"), "").unwrap();
    // A link that leads up again does not circle.
    symlink(files.path(""), files.path("b/up")).unwrap();
    let archive = files.open(&Request::default()).unwrap();
    assert_eq!(names(&archive), ["a.parquet", "b/part-9.parquet", "b/part-10.parquet"]);
    let units: Vec<_> = archive.units().iter().map(|unit| (unit.file, unit.row_group, unit.rows)).collect();
    assert_eq!(units, [(0, 0, 2), (0, 1, 1), (1, 0, 2), (1, 1, 1), (2, 0, 2), (2, 1, 1)]);
    assert!(archive.units().iter().all(|unit| unit.bytes > 0));
}

/// Parquet's writer of Arrow C++ says of a column without values that its pages begin at 0.
#[test]
fn a_row_group_without_rows_is_none() {
    let files = Files::new();
    write(&files, "a.parquet", 1);
    let empty = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/empty-row-group.parquet");
    fs::copy(empty, files.path("b.parquet")).unwrap();
    let archive = files.open(&Request::default()).unwrap();
    assert_eq!(archive.units().iter().map(|unit| unit.rows).sum::<u64>(), 3);
}

#[test]
fn patterns_are_expanded_and_order_does_not_matter() {
    let files = Files::new();
    for tag in 0..3 {
        write(&files, &format!("run={tag}/x[1].parquet"), tag);
    }
    let forward = Archive::open(&[files.input("run=*/*.parquet")], &Request::default()).unwrap();
    assert_eq!(names(&forward), ["run=0/x[1].parquet", "run=1/x[1].parquet", "run=2/x[1].parquet"]);
    // What exists as it is written is no pattern; a hive key stays in the name.
    let inputs: Vec<String> = [2, 0, 1].iter().map(|tag| files.input(&format!("run={tag}/x[1].parquet"))).collect();
    let backward = Archive::open(&inputs, &Request::default()).unwrap();
    assert_eq!(names(&backward), names(&forward));
    let keys = Request { group_by: vec!["run".into()], ..Request::default() };
    let archive = Archive::open(&[files.input("run=1")], &keys).unwrap();
    assert_eq!(archive.units()[0].key, Some(vec![Label::Int(1)]));
    assert_eq!(names(&archive), ["run=1/x[1].parquet"]);
}

#[test]
fn what_is_not_there_is_missing() {
    let files = Files::new();
    fs::create_dir(files.path("empty")).unwrap();
    for name in ["none.parquet", "empty", "*.parquet", "none/*.parquet"] {
        let error = Archive::open(&[files.input(name)], &Request::default()).unwrap_err();
        assert_kind(&error, ErrorKind::Missing);
        assert_fact(&error, "input", &files.input(name));
    }
    assert_kind(&Archive::open(&[], &Request::default()).unwrap_err(), ErrorKind::Usage);
    files.write("zero.parquet", &[("feature", vectors(0, 2)), ("label", ints([]))], 9);
    assert_kind(&files.error(&Request::default()), ErrorKind::Missing);
    // Beside others, a file without rows is one file more, and two of them are no duplicates.
    files.write("zero2.parquet", &[("feature", vectors(0, 2)), ("label", ints([]))], 9);
    write(&files, "a.parquet", 0);
    assert_eq!(files.open(&Request::default()).unwrap().units().len(), 2);
}

#[test]
fn a_file_named_twice_counts_once_with_a_warning() {
    let files = Files::new();
    let path = write(&files, "a.parquet", 0);
    symlink(&path, files.path("b.parquet")).unwrap();
    let inputs = [files.input("./a.parquet"), files.input("*.parquet"), files.input("a.parquet")];
    let archive = Archive::open(&inputs, &Request::default()).unwrap();
    assert_eq!(archive.files().len(), 1);
    assert_eq!(archive.warnings().len(), 1);
    assert!(archive.warnings()[0].contains("and 2 more"), "{:?}", archive.warnings());
    let mut reversed = inputs;
    reversed.reverse();
    let again = Archive::open(&reversed, &Request::default()).unwrap();
    assert_eq!((names(&again), &again.files()[0].shown), (names(&archive), &archive.files()[0].shown));
}

#[test]
fn equal_content_under_two_names_is_refused() {
    let files = Files::new();
    let path = write(&files, "k=1/a.parquet", 0);
    fs::create_dir(files.path("k=2")).unwrap();
    fs::copy(&path, files.path("k=2/b.parquet")).unwrap();
    let error = files.error(&Request::default());
    assert_kind(&error, ErrorKind::Data);
    assert_fact(&error, "file", &files.input("k=1/a.parquet"));
    assert_fact(&error, "same as", &files.input("k=2/b.parquet"));
    assert!(error.advice().unwrap().contains("--allow-duplicates"));
    let allow = Request { allow_duplicates: true, ..Request::default() };
    assert_eq!(files.open(&allow).unwrap().units().len(), 4);
    // A link into another group says nothing about which group is meant.
    fs::remove_file(files.path("k=2/b.parquet")).unwrap();
    symlink(&path, files.path("k=2/b.parquet")).unwrap();
    assert_kind(&files.error(&Request::default()), ErrorKind::Data);
    assert_eq!(files.open(&allow).unwrap().files().len(), 2);
    // Equal size and footer alone are no reason.
    fs::remove_file(files.path("k=2/b.parquet")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[6] ^= 1;
    fs::write(files.path("k=2/b.parquet"), bytes).unwrap();
    assert_eq!(files.open(&Request::default()).unwrap().files().len(), 2);
}

#[test]
fn files_of_one_name_are_told_apart() {
    let files = Files::new();
    write(&files, "x/a.parquet", 0);
    write(&files, "y/a.parquet", 1);
    let archive = Archive::open(&[files.input("y/a.parquet"), files.input("x/a.parquet")], &Request::default());
    assert_eq!(names(&archive.unwrap()), ["x/a.parquet", "y/a.parquet"]);
}

#[test]
fn hive_keys_group_and_filter_whole_files() {
    let files = Files::new();
    for (tag, name) in ["epoch=10/layer=h1", "epoch=9/layer=h1", "epoch=9/layer=h%2F2"].iter().enumerate() {
        write(&files, &format!("{name}/p.parquet"), tag as i32);
    }
    // A file that no filter lets through is never opened.
    fs::create_dir_all(files.path("epoch=11/layer=h1")).unwrap();
    fs::write(files.path("epoch=11/layer=h1/p.parquet"), "no Parquet").unwrap();
    let filters = vec![("epoch".to_owned(), "9".to_owned()), ("epoch".to_owned(), "010".to_owned())];
    let request = Request { filters, group_by: vec!["layer".into(), "epoch".into()], ..Request::default() };
    let archive = files.open(&request).unwrap();
    let keys: Vec<_> = archive.units().iter().step_by(2).map(|unit| unit.key.clone().unwrap()).collect();
    let key = |layer, epoch| vec![text(layer), Label::Int(epoch)];
    assert_eq!(keys, [key("h/2", 9), key("h1", 9), key("h1", 10)]);
    let chunks = read(&archive).unwrap();
    assert!(chunks.iter().all(|chunk| chunk.parts.len() == 1 && chunk.parts[0].rows.is_none()));

    let filter = |value: &str| Request { filters: vec![("epoch".into(), value.into())], ..Request::default() };
    let error = files.error(&filter("12"));
    assert_kind(&error, ErrorKind::Missing);
    assert_fact(&error, "values", "9, 10, 11");
    assert_kind(&files.error(&filter("nine")), ErrorKind::Usage);
    let unknown =
        Request { group_by: vec!["step".into()], filters: vec![("epoch".into(), "9".into())], ..Request::default() };
    let error = files.error(&unknown);
    assert_kind(&error, ErrorKind::Usage);
    assert_fact(&error, "hive keys", "epoch, layer");
    assert_fact(&error, "columns", "label");
}

#[test]
fn hive_values_are_integers_only_if_all_of_a_key_are() {
    let files = Files::new();
    for (tag, name) in ["k=9", "k=x", "k=10"].iter().enumerate() {
        write(&files, &format!("{name}/p.parquet"), tag as i32);
    }
    // Nor does a filter make them integers.
    let filters = vec![("k".into(), "10".into()), ("k".into(), "9".into())];
    let archive = files.open(&Request { filters, group_by: vec!["k".into()], ..Request::default() }).unwrap();
    let keys: Vec<_> = archive.units().iter().step_by(2).map(|unit| unit.key.clone().unwrap()).collect();
    assert_eq!(keys, [vec![text("9")], vec![text("10")]]);
}

#[test]
fn columns_are_chosen_or_asked_for() {
    let files = Files::new();
    let three = |names: [&'static str; 3]| {
        let columns = [(names[0], vectors(2, 2)), (names[1], vectors(2, 3)), (names[2], ints([0, 1]))];
        files.write("a.parquet", &columns, 9);
    };
    three(["emb", "other", "target"]);
    let archive = files.open(&Request::default()).unwrap();
    assert_eq!((archive.features().name.as_str(), archive.features().why), ("emb", "well-known name"));
    assert_eq!(archive.features().kind, "fixed_size_list<f32>");
    assert_eq!((archive.dim(), archive.labels().unwrap().kind.as_str()), (Some(2), "int32"));
    for names in [["emb", "vector", "y"], ["a", "b", "y"]] {
        three(names);
        let error = files.error(&Request::default());
        assert_kind(&error, ErrorKind::Usage);
        assert_fact(&error, "columns", &names[..2].join(", "));
        let named = Request { features: Some(names[1].into()), ..Request::default() };
        assert_eq!(files.open(&named).unwrap().dim(), Some(3));
    }
    for request in [
        Request { features: Some("nope".into()), ..Request::default() },
        Request { features: Some("y".into()), ..Request::default() },
        Request { features: Some("a".into()), labels: Some("b".into()), ..Request::default() },
    ] {
        assert_kind(&files.error(&request), ErrorKind::Usage);
    }
}

#[test]
fn files_must_agree() {
    let files = Files::new();
    write(&files, "a.parquet", 0);
    let wide: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![5, 6]));
    files.write("b.parquet", &[("label", wide), ("feature", vectors(2, 7))], 9);
    // Other widths of integers and of vectors, another order of columns: all are fine here.
    assert_eq!(files.read(&Request::default()).unwrap().len(), 3);
    files.write("b.parquet", &[("label", texts(&["5"])), ("feature", vectors(1, 2))], 9);
    let error = files.error(&Request::default());
    assert_kind(&error, ErrorKind::Data);
    assert_fact(&error, "file", &files.input("b.parquet"));
    files.write("b.parquet", &[("feature", vectors(1, 2))], 9);
    assert_kind(&files.error(&Request::default()), ErrorKind::Data);
}

#[test]
fn a_file_that_changes_is_found_out() {
    let files = Files::new();
    let path = write(&files, "a.parquet", 0);
    let original = fs::read(&path).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let set_time = |time: SystemTime| fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let refused = |outcome: Result<()>| {
        let error = outcome.unwrap_err();
        assert_kind(&error, ErrorKind::Data);
        assert!(error.message().contains("changed"), "{error:?}");
        assert_fact(&error, "file", &name_of(&path));
    };
    let open = || files.open(&Request::default()).unwrap();

    let archive = open();
    set_time(modified + Duration::from_secs(1));
    refused(archive.read(0).map(drop));
    let archive = open();
    fs::write(&path, [&original[..], b"more"].concat()).unwrap();
    refused(archive.read(0).map(drop));
    fs::write(&path, &original).unwrap();
    set_time(modified);
    let archive = open();
    // Another file of the same size and time, but another footer.
    write(&files, "a.parquet", 1);
    assert_eq!(fs::metadata(&path).unwrap().len(), original.len() as u64);
    set_time(modified);
    refused(archive.read(0).map(drop));
    // A true copy is the same file.
    fs::remove_file(&path).unwrap();
    fs::write(&path, &original).unwrap();
    set_time(modified);
    let archive = open();
    fs::rename(&path, files.path("aside")).unwrap();
    fs::copy(files.path("aside"), &path).unwrap();
    set_time(modified);
    read(&archive).unwrap();

    // During the unit: nothing is wrong until the end of it.
    for change in [
        &(|| set_time(modified + Duration::from_secs(2))) as &dyn Fn(),
        &|| drop(write(&files, "a.parquet", 3)),
        &|| fs::remove_file(&path).unwrap(),
    ] {
        write(&files, "a.parquet", 2);
        let archive = open();
        let mut reader = archive.read(0).unwrap();
        reader.next().unwrap().unwrap();
        change();
        refused(reader.next().map(drop));
    }
}

#[test]
fn names_of_strangers_are_only_names() {
    let files = Files::new();
    let name = "'; COPY (select 1) TO 'x/k=\u{1b}[31m$(rm)/\n.parquet";
    write(&files, name, 0);
    let request = Request { group_by: vec!["k".into()], ..Request::default() };
    let archive = files.open(&request).unwrap();
    assert_eq!(archive.files()[0].name, "'; COPY (select 1) TO 'x/k=\\u{1b}[31m$(rm)/\\n.parquet");
    assert_eq!(archive.units()[0].key, Some(vec![text("\u{1b}[31m$(rm)")]), "values stay what they are");
    read(&archive).unwrap();
    fs::write(files.path(name), "").unwrap();
    let error = files.error(&request);
    assert!(!error.to_string().contains(char::is_control), "{error}");
    let skip = Request { bad_files: Policy::Skip, ..request };
    assert_kind(&files.error(&skip), ErrorKind::Missing);
}

/// pyarrow writes equal texts of a category once, and leaves room for all of them.
#[test]
fn a_dictionary_may_end_with_room_for_texts() {
    let path = format!("{}/tests/data/names-twice.parquet", env!("CARGO_MANIFEST_DIR"));
    let archive = nckit::archive::Archive::open(&[path], &Request::default()).unwrap();
    let labels = archive.all_labels().unwrap();
    assert_eq!(labels.iter().map(ToString::to_string).collect::<Vec<_>>(), ["cat", "dog", "emu"]);
    let mut counts = std::collections::BTreeMap::new();
    archive
        .read_labels(0, &mut |_, label, rows| {
            counts.insert(label.to_string(), rows);
        })
        .unwrap();
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [12, 6, 6]);
}
