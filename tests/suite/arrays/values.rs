//! Every type, order and version.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
use nckit::archive::{Archive, Policy, Request, chunk_rows};
use nckit::batch::Label;
use parquet::arrow::ArrowWriter;

use super::write::{Packed, elements, features, labels, npy, npy_of, npz, transposed};
use super::{Files, chunks, error, read, rows};

const DIM: usize = 3;

/// Integers that all types hold.
fn small() -> Vec<f64> {
    (0..7 * DIM).map(|at| ((at * 37) % 120) as f64).collect()
}

/// As many labels.
fn classes() -> Vec<i64> {
    (0..7).map(|row| row % 3).collect()
}

fn ints(values: &[i64]) -> Vec<Label> {
    values.iter().map(|&value| Label::Int(value.into())).collect()
}

#[test]
fn vectors_of_every_type_order_and_version_are_the_numbers_that_were_saved() {
    let files = Files::new();
    let values = small();
    for (descr, bits) in [
        ("<f2", 11),
        (">f2", 11),
        ("<f4", 24),
        (">f4", 24),
        ("<f8", 53),
        (">f8", 53),
        ("<V2", 8),
        (">V2", 8),
        ("|i1", 24),
        ("|u1", 24),
    ] {
        for version in 1..=3 {
            for fortran in [false, true] {
                let ordered = if fortran { transposed(&values, DIM) } else { values.clone() };
                let array = npy_of(version, descr, fortran, &[7, DIM], &elements(descr, &ordered));
                let beside = files.put("x.npy", &array);
                files.put("y.npy", labels(&classes()));
                let mut inputs = vec![beside];
                for packed in [Packed::Stored, Packed::Deflated, Packed::Large] {
                    if packed != Packed::Deflated || !fortran {
                        let members = [("features", array.clone()), ("labels", labels(&classes()))];
                        inputs.push(files.put(&format!("{packed:?}.npz"), npz(&members, packed)));
                    }
                }
                for input in inputs {
                    let archive = Archive::open(std::slice::from_ref(&input), &Request::default()).unwrap();
                    let what = format!("{input} {descr} {version} {fortran}");
                    assert_eq!(archive.significand_bits(), bits, "{what}");
                    let found = rows(&chunks(&archive).unwrap());
                    assert_eq!(found, (values.clone(), ints(&classes())), "{what}");
                }
            }
        }
    }
}

#[test]
fn half_numbers_are_widened_without_loss() {
    let files = Files::new();
    let all: Vec<u8> = (0..=u16::MAX).filter(|bits| bits & 0x7f80 != 0x7f80).flat_map(u16::to_le_bytes).collect();
    let count = all.len() / 2;
    let path = files.put("x.npy", npy("<V2", &[count, 1], &all));
    files.put("y.npy", labels(&vec![0; count]));
    let (values, _) = rows(&read(&[path], &Request::default()).unwrap());
    for (value, bits) in values.iter().zip(all.chunks(2)) {
        let wide = f32::from_bits(u32::from(u16::from_le_bytes([bits[0], bits[1]])) << 16);
        assert_eq!(value.to_bits(), f64::from(wide).to_bits());
    }
}

fn texts(order: &str, values: &[&str], width: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for value in values {
        let mut codes: Vec<u32> = value.chars().map(u32::from).collect();
        codes.resize(width, 0);
        for code in codes {
            all.extend(if order == ">" { code.to_be_bytes() } else { code.to_le_bytes() });
        }
    }
    all
}

#[test]
fn labels_of_every_type_are_the_labels_that_were_saved() {
    let files = Files::new();
    let numbers: Vec<f64> = classes().iter().map(|&class| class as f64).collect();
    let mut cases: Vec<(String, Vec<u8>, Vec<Label>)> = Vec::new();
    for descr in ["|i1", "<i2", ">i2", "<i4", ">i4", "<i8", ">i8", "|u1", "<u2", "<u4", ">u8", "<f2", "<f4", ">f8"] {
        cases.push((descr.to_owned(), npy(descr, &[7], &elements(descr, &numbers)), ints(&classes())));
    }
    for descr in ["<i8", "|u1"] {
        cases.push((format!("{descr} in a column"), npy(descr, &[7, 1], &elements(descr, &numbers)), ints(&classes())));
    }
    let booleans = classes().iter().map(|&class| Label::Bool(class != 0)).collect();
    cases.push(("bool".to_owned(), npy("|b1", &[7], &elements("|b1", &numbers)), booleans));
    let words = ["a", "é", "longer", "", "a", "日本", "x y"];
    let expected: Vec<Label> = words.iter().map(|&word| Label::Text(word.into())).collect();
    for order in ["<", ">"] {
        let array = npy(&format!("{order}U6"), &[7], &texts(order, &words, 6));
        cases.push((format!("{order}U6"), array, expected.clone()));
    }
    let padded: Vec<u8> = words.iter().flat_map(|word| format!("{word:\0<8}").into_bytes()[..8].to_vec()).collect();
    let ascii: Vec<u8> = ["a", "bb", "ccc", "", "a", "bb", "dddd"]
        .iter()
        .flat_map(|word| [word.as_bytes(), &vec![0; 4 - word.len()]].concat())
        .collect();
    assert_eq!(padded.len(), 56);
    let expected = ["a", "bb", "ccc", "", "a", "bb", "dddd"].map(|word| Label::Text(word.into())).to_vec();
    cases.push(("|S4".to_owned(), npy("|S4", &[7], &ascii), expected));
    let values: Vec<f32> = small().iter().map(|&value| value as f32).collect();
    for (what, array, expected) in cases {
        let path = files.put("x.npy", features(DIM, &values));
        files.put("y.npy", &array);
        let in_npz = files.put("z.npz", npz(&[("x", features(DIM, &values)), ("y", array)], Packed::Deflated));
        for input in [path, in_npz] {
            let (_, found) = rows(&read(&[input], &Request::default()).unwrap());
            assert_eq!(found, expected, "{what}");
        }
    }
}

#[test]
fn labels_lie_in_files_of_many_formats() {
    let files = Files::new();
    let values: Vec<f32> = small().iter().map(|&value| value as f32).collect();
    let path = files.put("in.npy", features(DIM, &values));
    let lines = |values: &[i64]| values.iter().map(|value| format!("{value}\n")).collect::<Vec<_>>().concat();
    let table = |mark: &str| {
        let rows = classes().iter().map(|class| format!("a.png{mark}{class}\n")).collect::<Vec<_>>().concat();
        format!("path{mark}label\n{rows}")
    };
    let columns = |name: &str, array: ArrayRef| {
        let batch = RecordBatch::try_from_iter([(name, array)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes
    };
    let integers: ArrayRef = Arc::new(Int32Array::from_iter_values(classes().iter().map(|&class| class as i32)));
    let words: Vec<String> = classes().iter().map(|class| format!("class {class}")).collect();
    let texts: ArrayRef = Arc::new(StringArray::from(words.clone()));
    let in_words: Vec<Label> = words.iter().map(|word| Label::Text(word.as_str().into())).collect();
    for (name, content, expected) in [
        ("l.txt", lines(&classes()).into_bytes(), ints(&classes())),
        ("l2.txt", lines(&classes()).trim_end().replace('\n', "\r\n").into_bytes(), ints(&classes())),
        ("l3.txt", words.join("\n").into_bytes(), in_words.clone()),
        ("l.csv", format!("label\n{}", lines(&classes())).into_bytes(), ints(&classes())),
        ("l2.csv", format!("anything\n{}", lines(&classes())).into_bytes(), ints(&classes())),
        ("l3.csv", table(",").into_bytes(), ints(&classes())),
        ("l4.csv", table(",").replacen("path", "\u{feff}path", 1).into_bytes(), ints(&classes())),
        ("l.tsv", table("\t").into_bytes(), ints(&classes())),
        ("l.parquet", columns("anything", integers), ints(&classes())),
        ("l2.parquet", columns("label", texts), in_words),
        ("l.npz", npz(&[("arr_0", labels(&classes()))], Packed::Deflated), ints(&classes())),
    ] {
        let labels = files.put(name, content);
        let request = Request { labels: Some(labels.clone()), ..Request::default() };
        let (found, classes) = rows(&read(std::slice::from_ref(&path), &request).unwrap());
        assert_eq!((found, classes), (small(), expected.clone()), "{name}");
        // The same in one word, and for a second opening by what the ledger keeps.
        let archive = Archive::open(&[format!("{path},{labels}")], &Request::default()).unwrap();
        let planned: Vec<_> = archive.files().iter().map(|file| file.planned().unwrap()).collect();
        let again = Archive::reopen(&planned, &Request::default()).unwrap();
        assert_eq!(rows(&chunks(&again).unwrap()), (small(), expected), "{name}");
    }
}

/// Rows of more than two units, with labels that a text of several units holds.
#[test]
fn rows_beyond_a_unit_keep_their_labels() {
    let files = Files::new();
    let dim = 64;
    let count = 2 * chunk_rows(dim) + 1000;
    assert!(count > 1 << 17);
    let values: Vec<f32> =
        (0..count).flat_map(|row| (0..dim).map(move |j| if j == 0 { row as f32 } else { 0.5 })).collect();
    let classes: Vec<i64> = (0..count).map(|row| (row / 777) as i64).collect();
    let text = classes.iter().map(|class| format!("{class}\n")).collect::<Vec<_>>().concat();
    let path = files.put("x.npy", features(dim, &values));
    let array: ArrayRef = Arc::new(arrow::array::Int64Array::from(classes.clone()));
    let batch = RecordBatch::try_from_iter([("label", array)]).unwrap();
    let mut parquet = Vec::new();
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(50_000)).build();
    let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let transposed: Vec<u8> =
        (0..dim).flat_map(|j| values.iter().skip(j).step_by(dim).flat_map(|value| value.to_le_bytes())).collect();
    let column_major = files.put("f.npy", npy_of(1, "<f4", true, &[count, dim], &transposed));
    let labels_npy = files.put("l.npy", labels(&classes));
    let whole = npz(&[("x", features(dim, &values)), ("y", labels(&classes))], Packed::Stored);
    let packed = npz(&[("x", features(dim, &values)), ("y", labels(&classes))], Packed::Deflated);
    let inputs = [
        format!("{path},{labels_npy}"),
        format!("{path},{}", files.put("l.txt", text)),
        format!("{path},{}", files.put("l.parquet", parquet)),
        format!("{path},{}", files.put("l.npz", npz(&[("y", labels(&classes))], Packed::Deflated))),
        format!("{column_major},{labels_npy}"),
        files.put("s.npz", whole),
        files.put("d.npz", packed),
    ];
    let mut expected: Option<Vec<String>> = None;
    for (at, input) in inputs.iter().enumerate() {
        let archive = Archive::open(std::slice::from_ref(input), &Request::default()).unwrap();
        assert_eq!(archive.units().len(), if at == 6 { 1 } else { 3 }, "{input}");
        let mut found = Vec::new();
        for chunk in chunks(&archive).unwrap() {
            for (row, &code) in chunk.codes.iter().enumerate() {
                let number = chunk.file_rows[row];
                assert_eq!(chunk.classes[code as usize], Label::Int((number / 777).into()), "{input}");
            }
            found.push(format!("{:?} {:?}", chunk.values, chunk.file_rows.first()));
        }
        // The same chunks, compressed or not.
        match &expected {
            None => expected = Some(found),
            Some(expected) => assert!(found == *expected, "{input}"),
        }
    }
}

#[test]
fn rows_that_cannot_be_used_are_refused_in_the_words_of_parquet() {
    let files = Files::new();
    let mut values: Vec<f32> = small().iter().map(|&value| value as f32).collect();
    values[7] = f32::NAN;
    let path = files.put("x.npy", features(DIM, &values));
    files.put("y.npy", labels(&classes()));
    let found = error(&path);
    assert_eq!(found.message(), "feature is not finite");
    assert_eq!(
        (found.fact("row"), found.fact("dimension"), found.fact("column")),
        (Some("2"), Some("1"), Some("feature"))
    );
    assert_eq!(found.fact("file"), Some(&*path));
    let request = Request { nonfinite: Policy::Skip, ..Request::default() };
    let chunks = read(std::slice::from_ref(&path), &request).unwrap();
    assert_eq!(rows(&chunks).1.len(), 6);
    assert_eq!(chunks[0].parts[0].skipped.nonfinite[&Label::Int(2)], 1);

    values[7] = 0.0;
    files.put("x.npy", features(DIM, &values));
    files.put("y.npy", labels(&[0, 1, -100, 1, 0, 1, 0]));
    let found = error(&path);
    assert_eq!((found.message(), found.fact("row"), found.fact("label")), ("negative label", Some("2"), Some("-100")));
    let request = Request { ignore_label: Some("-100".to_owned()), ..Request::default() };
    assert_eq!(read(std::slice::from_ref(&path), &request).unwrap()[0].parts[0].skipped.ignored, 1);

    files.put("y.npy", npy("<f8", &[7], &elements("<f8", &[0.0, 1.5, 0.0, 1.0, 0.0, 1.0, 0.0])));
    let found = error(&path);
    assert_eq!(
        (found.message(), found.fact("row")),
        ("a label is a float, and not a whole number that its type holds exactly", Some("1"))
    );
}

#[test]
fn arrays_are_chosen_by_name_or_by_what_is_behind_the_colon() {
    let files = Files::new();
    let values: Vec<f32> = small().iter().map(|&value| value as f32).collect();
    let half: Vec<f32> = values[..3 * DIM].to_vec();
    let members = [
        ("X_train", features(DIM, &values)),
        ("y_train", labels(&classes())),
        ("X_test", features(DIM, &half)),
        ("y_test", labels(&classes()[..3])),
    ];
    let path = files.put("split.npz", npz(&members, Packed::Stored));
    let found = error(&path);
    assert!(found.advice().unwrap().contains("split.npz:FEATURES,LABELS"), "{found:?}");
    for (names, count) in [("X_train,y_train", 7), ("X_test,y_test", 3)] {
        let chunks = read(&[format!("{path}:{names}")], &Request::default()).unwrap();
        assert_eq!(rows(&chunks).1.len(), count);
    }
    // Two parts of one file are two inputs.
    let both = [format!("{path}:X_train,y_train"), format!("{path}:X_test,y_test")];
    assert_eq!(rows(&read(&both, &Request::default()).unwrap()).1.len(), 10);
    let found = error(&format!("{path}:X_train,y_test"));
    assert_eq!((found.fact("rows of features"), found.fact("rows of labels")), (Some("7"), Some("3")));
    let found = error(&format!("{path}:X_trian,y_train"));
    assert!(found.advice().unwrap().contains("X_train"), "{found:?}");
    assert!(found.fact("arrays").unwrap().contains("X_test (3 × 3, <f4)"), "{found:?}");

    let two = [("a", features(DIM, &values)), ("b", features(DIM, &values)), ("labels", labels(&classes()))];
    let path = files.put("two.npz", npz(&two, Packed::Stored));
    let found = error(&path);
    assert!(found.advice().unwrap().contains("--features a"), "{found:?}");
    let request = Request { features: Some("b".to_owned()), ..Request::default() };
    assert_eq!(rows(&read(std::slice::from_ref(&path), &request).unwrap()).0, small());
    let positional = [("arr_0", features(DIM, &values)), ("arr_1", labels(&classes()))];
    let path = files.put("positional.npz", npz(&positional, Packed::Stored));
    assert!(error(&path).advice().unwrap().contains("--labels arr_1"), "{:?}", error(&path));
    // Another array of as many rows is a column, by which rows can be grouped.
    let keyed = [
        ("x", features(DIM, &values)),
        ("y", labels(&classes())),
        ("epoch", labels(&[1, 1, 1, 2, 2, 2, 2])),
        ("mean", npy("<f4", &[DIM], &[0; 4 * DIM])),
    ];
    let path = files.put("keyed.npz", npz(&keyed, Packed::Deflated));
    let request = Request { group_by: vec!["epoch".to_owned()], ..Request::default() };
    let chunks = read(&[path], &request).unwrap();
    assert_eq!(chunks[0].parts.iter().map(|part| part.rows.as_ref().unwrap().len()).collect::<Vec<_>>(), [3, 4]);
}
