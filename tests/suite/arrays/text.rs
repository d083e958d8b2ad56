//! Tables in text: the rows of a `.npy` file, whichever way they are written, and errors with their line.

use std::fmt::Write as _;

use nckit::archive::{Archive, Dtype, Policy, Request, is_damage};
use nckit::error::ErrorKind;

use super::write::{features, labels, npy};
use super::{Files, chunks, error, read, rows};
use crate::rows::Random;

const DIM: usize = 5;

/// Numbers of all sizes, and their labels.
fn numbers(count: usize) -> (Vec<f64>, Vec<i64>) {
    let mut random = Random::new(7);
    let mut values: Vec<f64> = (0..count * DIM).map(|at| random.normal() * 10_f64.powi(at as i32 % 40 - 20)).collect();
    values[3] = -0.0;
    values[4] = f64::MIN_POSITIVE / 8.0;
    (values, (0..count as i64).map(|row| row % 3).collect())
}

/// One line a row, by what `line` makes of it.
fn lines(values: &[f64], classes: &[i64], line: impl Fn(&[f64], i64) -> String) -> String {
    values.chunks(DIM).zip(classes).map(|(vector, &class)| line(vector, class) + "\n").collect()
}

fn joined(vector: &[f64], between: &str) -> String {
    vector.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(between)
}

/// The same rows in every form, with the flags that they take.
fn forms(values: &[f64], classes: &[i64]) -> Vec<(&'static str, String, Option<&'static str>)> {
    let names = |mark: &str| (0..DIM).map(|at| format!("f{at}")).collect::<Vec<_>>().join(mark);
    let wide = |mark: &'static str| {
        format!("{}{mark}label\n", names(mark))
            + &lines(values, classes, |vector, class| format!("{}{mark}{class}", joined(vector, mark)))
    };
    let listed = lines(values, classes, |vector, class| format!("{class},\"[{}]\"", joined(vector, ", ")));
    let printed = lines(values, classes, |vector, class| {
        format!("\"[ {} \n {}]\",{class}", joined(&vector[..2], "  "), joined(&vector[2..], " "))
    });
    let numbered = (0..DIM).map(|at| at.to_string()).collect::<Vec<_>>().join(",");
    let numbered = format!(",{numbered},label\n")
        + &lines(values, classes, |vector, class| format!("9,{},{class}", joined(vector, ",")));
    let object =
        |vector: &[f64], class: i64| format!("{{\"feature\": [{}], \"label\": {class}}}", joined(vector, ", "));
    let columns = |vector: &[f64], class: i64| {
        let members = vector.iter().enumerate().map(|(at, value)| format!("\"f{at}\":{value:?}"));
        format!("{{{},\"label\":{class}}}", members.collect::<Vec<_>>().join(","))
    };
    let nested = |vector: &[f64], class: i64| {
        format!("{{\"label\":{class},\"e\":{{\"feature\":[{}],\"k\":\"x\"}}}}", joined(vector, ","))
    };
    vec![
        ("wide.csv", wide(","), Some("f*")),
        ("wide.tsv", wide("\t"), Some("f?")),
        ("semicolons.csv", wide(";"), Some("f*")),
        ("by_content", wide(","), Some("f*")),
        ("crlf.csv", wide(",").replace('\n', "\r\n"), Some("f*")),
        ("marked.csv", format!("\u{feff}{}", wide(",")), Some("f*")),
        ("numbered.csv", numbered, Some("[0-9]*")),
        ("list.csv", format!("label,emb\n{listed}"), None),
        ("numpy.csv", format!("feature,label\n{printed}"), None),
        ("list.jsonl", lines(values, classes, object), None),
        ("list.ndjson", lines(values, classes, object).replace('\n', "\n\n"), None),
        ("wide.jsonl", lines(values, classes, columns), Some("f*")),
        ("nested.jsonl", lines(values, classes, nested), Some("e.feature")),
    ]
}

#[test]
fn every_form_has_the_rows_of_an_array() {
    let files = Files::new();
    let (values, classes) = numbers(40);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    files.put("x.npy", npy("<f8", &[40, DIM], &bytes));
    files.put("y.npy", labels(&classes));
    let narrow: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    files.put("n.npy", features(DIM, &narrow));
    let named = |name: &str| [format!("{},{}", files.at(name), files.at("y.npy"))];
    let expected = rows(&read(&named("x.npy"), &Request::default()).unwrap());
    let rounded = rows(&read(&named("n.npy"), &Request::default()).unwrap());
    for (name, text, pattern) in forms(&values, &classes) {
        let input = [files.put(name, text)];
        let request = Request { features: pattern.map(str::to_owned), ..Request::default() };
        let archive = Archive::open(&input, &request).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!((archive.file_dim(0).unwrap(), archive.significand_bits()), (Some(DIM), 53), "{name}");
        let found = rows(&chunks(&archive).unwrap_or_else(|error| panic!("{name}: {error:?}")));
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&found.0), &found.1), (bits(&expected.0), &expected.1), "{name}");
        let planned: Vec<_> = archive.files().iter().map(|file| file.planned().unwrap()).collect();
        assert_eq!(rows(&chunks(&Archive::reopen(&planned, &request).unwrap()).unwrap()), found, "{name}");
        // As f32, each decimal is rounded once.
        let features = archive.features().name.clone();
        let request = Request { features: Some(features), dtype: Some(Dtype::F32), ..Request::default() };
        assert_eq!(rows(&read(&input, &request).unwrap()), rounded, "{name}");
        if pattern.is_none() {
            let unnamed = Request { dtype: Some(Dtype::F32), ..Request::default() };
            assert_eq!(rows(&read(&input, &unnamed).unwrap()), rounded, "{name}");
        }
        let request = Request { dtype: Some(Dtype::F16), ..request };
        assert_eq!(read(&input, &request).unwrap_err().kind(), ErrorKind::Usage, "{name}");
    }
}

#[test]
fn units_begin_where_rows_do_whatever_is_in_them() {
    let files = Files::new();
    let (count, dim) = (5000, 2100);
    let value = |row: usize, at: usize| f64::from(u8::from(at == row % 7)) + row as f64 / 64.0;
    let mut text = String::from("note,label,emb\n");
    for row in 0..count {
        let list: Vec<String> = (0..dim).map(|at| value(row, at).to_string()).collect();
        // A text with a line end, a mark and quotes.
        write!(text, "\"{row}\n,\"\"x\"\"\",c{},\"[{}]\"\n", row % 7, list.join(",")).unwrap();
    }
    let input = files.put("x.csv", text);
    let archive = Archive::open(&[input], &Request::default()).unwrap();
    let units: Vec<(u64, u64)> = archive.units().iter().map(|unit| (unit.first, unit.rows)).collect();
    assert_eq!(units, [(0, 2048), (2048, 2048), (4096, 904)]);
    // In any order.
    for unit in [2, 0, 1] {
        let mut reader = archive.read(unit).unwrap();
        let mut row = archive.units()[unit].first as usize;
        while let Some(chunk) = reader.next().unwrap() {
            let (values, labels) = rows(std::slice::from_ref(&chunk));
            for (vector, label) in values.chunks(dim).zip(labels) {
                assert_eq!(label.to_string(), format!("c{}", row % 7));
                assert!(vector.iter().enumerate().all(|(at, &found)| found == value(row, at)), "{row}");
                row += 1;
            }
        }
    }
}

#[test]
fn nulls_and_numbers_that_are_not_finite_are_defects_of_their_rows() {
    let files = Files::new();
    let wide = "a0,a1,label\n1,2,0\n,2,1\n3,NaN,0\n5,6,\n-inf,1,1\n7,8,1\n";
    let list = "e,label\n\"[1,2]\",0\n,1\n\"[3,nan]\",0\n\"[5,6]\",\n\"[-Infinity,1]\",1\n\"[7,8]\",1\n";
    let json = "{\"e\":[1,2],\"label\":0}\n{\"e\":null,\"label\":1}\n{\"e\":[3,NaN],\"label\":0}\n{\"e\":[5,6]}\n\
                {\"e\":[-Infinity,1],\"label\":1}\n{\"e\":[7,8],\"label\":1}\n";
    for (name, text, pattern) in [("w.csv", wide, Some("a*")), ("l.csv", list, None), ("j.jsonl", json, None)] {
        let input = [files.put(name, text)];
        let request = Request { features: pattern.map(str::to_owned), ..Request::default() };
        let refused = read(&input, &request).unwrap_err();
        assert_eq!((refused.fact("row"), refused.kind()), (Some("1"), ErrorKind::Data), "{refused:?}");
        let request = Request { nulls: Policy::Skip, ..request };
        assert_eq!(read(&input, &request).unwrap_err().fact("row"), Some("2"), "{name}");
        let request = Request { nonfinite: Policy::Skip, ..request };
        let found = read(&input, &request).unwrap();
        assert_eq!(rows(&found).0, [1.0, 2.0, 7.0, 8.0], "{name}");
        let skipped = &found[0].parts[0].skipped;
        assert_eq!((skipped.nulls, skipped.nonfinite.values().sum::<u64>()), (2, 2), "{name}");
    }
    // A null within a list, and negative labels, which are refused as everywhere.
    let input = [files.put("n.jsonl", "{\"e\":[1,null],\"label\":0}\n{\"e\":[1,2],\"label\":1}\n")];
    let request = Request { nulls: Policy::Skip, ..Request::default() };
    assert_eq!(rows(&read(&input, &request).unwrap()).0, [1.0, 2.0]);
    let found = error(&files.put("m.csv", "e,label\n\"[1,2]\",-1\n"));
    assert!(found.fact("row") == Some("0") && found.fact("label") == Some("-1"), "{found:?}");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let files = Files::new();
    let cases: [(&str, &str, &str, Option<&str>); 12] = [
        ("a.csv", "a0,a1,label\n1,2,0\n1,2\n", "not as many fields", Some("3")),
        ("b.csv", "a0,a1,label\n1,2,0\n\n1,2,3,0\n", "not as many fields", Some("3")),
        ("c.csv", "1.5,2.5,0\n1,2,0\n", "needs a header", None),
        ("d.csv", "e,label\n\"[1,2]\",0\n\"[1,2,3]\",0\n", "wrong length", Some("3")),
        ("e.csv", "e,label\n\"[1,x]\",0\n", "is no number", Some("2")),
        ("f.csv", "e,label\n\"[1 ... 2]\",0\n", "cut short", Some("2")),
        ("g.csv", "e,label\n[],0\n", "is empty", None),
        ("h.jsonl", "{\"e\":[1,2],\"label\":0}\n{\"e\":[1,2],\n", "no object of JSON", Some("2")),
        ("i.jsonl", "{\"e\":[1,2],\"label\":0}\n{\"e\":[1],\"label\":0}\n", "wrong length", Some("2")),
        ("j.jsonl", "{\"e\":[1,2],\"e\":[1,2],\"label\":0}\n", "twice", Some("1")),
        ("k.jsonl", "[{\"e\":[1,2],\"label\":0},\n", "ends before its array", Some("2")),
        ("l.jsonl", "{\"e\":[[1],[2]],\"label\":0}\n", "no column holds vectors", None),
    ];
    for (name, text, said, line) in cases {
        let input = files.put(name, text);
        let request = Request { features: name.starts_with(['a', 'b']).then(|| "a*".to_owned()), ..Request::default() };
        let found = read(&[input], &request).unwrap_err();
        let words = format!("{} {}", found.message(), found.fact("detail").unwrap_or_default());
        assert!(words.contains(said), "{name}: {found:?}");
        assert_eq!(found.fact("line"), line, "{name}: {found:?}");
    }
    // A column that turns out not to hold numbers, and one whose digits are none.
    let request = Request { features: Some("a*".to_owned()), ..Request::default() };
    let input = [files.put("m.csv", "a0,a1,label\n1,2,0\n1,two,0\n")];
    assert_eq!(read(&input, &request).unwrap_err().fact("column"), Some("a1"));
    let input = [files.put("n.csv", "a0,a1,label\n1.5,2,0\n1-2,2,0\n")];
    let found = read(&input, &request).unwrap_err();
    assert!(is_damage(&found) && found.fact("line") == Some("3") && found.fact("row") == Some("1"), "{found:?}");
    // A quote that is never closed makes one record of all that follows.
    let long = format!("e,label\n\"[1,2]\",0\n\"{}", "1,2\n".repeat(20 << 20));
    let found = error(&files.put("o.csv", long));
    assert!(is_damage(&found) && found.fact("detail").unwrap().contains("too long"), "{found:?}");
}

#[test]
fn numbers_of_any_form_are_labels_as_in_files_of_labels() {
    let files = Files::new();
    for (name, column, kinds) in [
        ("i", ["3", "0", "3"], "Int(3) Int(0) Int(3)"),
        ("f", ["3.0", "0", "3e0"], "Int(3) Int(0) Int(3)"),
        ("t", ["cat", "12", "cat"], "Text(\"cat\") Text(\"12\") Text(\"cat\")"),
        ("b", ["true", "false", "true"], "Bool(true) Bool(false) Bool(true)"),
    ] {
        let lines = column.map(|label| format!("\"[1, 2]\",{label}\n")).concat();
        let input = [files.put(&format!("{name}.csv"), format!("e,label\n{lines}"))];
        let (_, labels) = rows(&read(&input, &Request::default()).unwrap());
        let found: Vec<String> = labels.iter().map(|label| format!("{label:?}")).collect();
        assert_eq!(found.join(" "), kinds);
    }
    // In JSON a text is a text, whatever is in it.
    let input = [files.put("q.jsonl", "{\"e\":[1],\"label\":\"3\"}\n{\"e\":[2],\"label\":\"4\"}\n")];
    assert_eq!(format!("{:?}", rows(&read(&input, &Request::default()).unwrap()).1[0]), "Text(\"3\")");
}
