//! Values, labels, shapes and heads.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array,
    Int32Array, Int64Array, ListArray, StringArray, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int8Type};
use half::f16;
use serde_json::Value;

use super::{Place, ints, vectors};

pub(super) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn of(values: ArrayRef, dim: i32, nulls: Option<Vec<bool>>) -> ArrayRef {
    let item = Arc::new(Field::new("element", values.data_type().clone(), true));
    Arc::new(FixedSizeListArray::new(item, dim, values, nulls.map(NullBuffer::from)))
}

/// Measures `a.parquet`, and returns its one record.
fn record(place: &Place, more: &[&str]) -> Value {
    let text = place.succeed(&[&["measure", "a.parquet", "--format=ndjson", "-q"], more].concat());
    serde_json::from_str(text.trim()).unwrap()
}

fn write(place: &Place, features: ArrayRef, labels: ArrayRef) {
    place.write_columns("a.parquet", &[("feature", features), ("label", labels)], 40);
}

#[test]
fn fault_13_a_value_that_is_not_finite_fails_or_is_counted() {
    let place = Place::new();
    let labels = || ints((0..6).map(|row| row % 2).collect());
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for at in [0, 7, 11] {
            let values: Vec<f64> = (0..12).map(|i| if i == at { bad } else { f64::from(i) }).collect();
            let arrays: [ArrayRef; 3] = [
                Arc::new(Float16Array::from_iter_values(values.iter().map(|&value| f16::from_f64(value)))),
                Arc::new(Float32Array::from_iter_values(values.iter().map(|&value| value as f32))),
                Arc::new(Float64Array::from_iter_values(values.iter().copied())),
            ];
            for array in arrays {
                write(&place, of(array, 2, None), labels());
                let text = place.fail(65, &["accumulate", "a.parquet", "-o", "new.ncst"]);
                let (row, dimension) = (format!("row {}", at / 2), format!("dimension {}", at % 2));
                assert!(text.contains("a.parquet") && text.contains(&row) && text.contains(&dimension), "{text}");
                place.succeed(&["accumulate", "a.parquet", "-o", "x.ncst", "--overwrite", "--nonfinite=skip", "-q"]);
                let report = place.succeed(&["finish", "x.ncst", "--format=json", "-q"]);
                let report: Value = serde_json::from_str(&report).unwrap();
                let label = (at / 2 % 2).to_string();
                assert_eq!(report["groups"][0]["rows"], 5);
                assert_eq!(report["groups"][0]["skipped"]["nonfinite"][&label], 1, "{report}");
            }
        }
    }
}

#[test]
fn fault_14_a_null_at_any_level_fails_or_is_counted() {
    let place = Place::new();
    let values = || Arc::new(Float32Array::from((0..12).map(|i| i as f32).collect::<Vec<_>>())) as ArrayRef;
    let hole = Arc::new(Float32Array::from((0..12).map(|i| (i != 5).then_some(i as f32)).collect::<Vec<_>>()));
    let labels = || ints((0..6).map(|row| row % 2).collect());
    let null_label = Arc::new(Int32Array::from((0..6).map(|row| (row != 2).then_some(row % 2)).collect::<Vec<_>>()));
    let missing = Some((0..6).map(|row| row != 2).collect::<Vec<bool>>());
    let cases: [(&str, ArrayRef, ArrayRef); 3] = [
        ("null in a feature vector", of(values(), 2, missing), labels()),
        ("null in a feature vector", of(hole, 2, None), labels()),
        ("null label", of(values(), 2, None), null_label),
    ];
    for (what, features, labels) in cases {
        // Behind an offset too, where validity does not begin at a byte.
        for offset in [0, 1] {
            write(&place, features.slice(offset, 6 - offset), labels.slice(offset, 6 - offset));
            let text = place.fail(65, &["accumulate", "a.parquet", "-o", "new.ncst"]);
            assert!(text.contains(what) && text.contains(&format!("row {}", 2 - offset)), "{text}");
            place.succeed(&["accumulate", "a.parquet", "-o", "x.ncst", "--overwrite", "--nulls=skip", "-q"]);
            let report = place.succeed(&["finish", "x.ncst", "--format=json", "-q"]);
            let report: Value = serde_json::from_str(&report).unwrap();
            assert_eq!(
                (&report["groups"][0]["rows"], &report["groups"][0]["skipped"]["nulls"]),
                (&(5 - offset).into(), &1.into())
            );
        }
    }
}

#[test]
fn fault_15_labels_that_are_no_classes_are_refused() {
    let place = Place::new();
    let float = |value: f64| Arc::new(Float64Array::from(vec![0.0, value])) as ArrayRef;
    let int = |value: i64| Arc::new(Int64Array::from(vec![0, value])) as ArrayRef;
    let cases: [(ArrayRef, Option<&str>); 9] = [
        (int(-1), Some("negative label")),
        (int(-100), Some("negative label")),
        (int(i64::MIN), Some("negative label")),
        (Arc::new(UInt64Array::from(vec![0, u64::MAX])), None),
        (float(3.0), None),
        (float(3.5), Some("label")),
        (float(f64::NAN), Some("label")),
        (float(2_f64.powi(53) + 2.0), Some("label")),
        (int((1 << 53) + 1), None),
    ];
    for (at, (labels, refused)) in cases.into_iter().enumerate() {
        write(&place, vectors(vec![0.0, 1.0, 2.0, 4.0], 2), labels);
        match refused {
            Some(what) => {
                let text = place.fail(65, &["measure", "a.parquet"]);
                assert!(text.contains(what) && text.contains("row 1"), "{at}: {text}");
            }
            None => assert_eq!(record(&place, &["--metrics=nc2_cos_mean"])["classes"], 2, "{at}"),
        }
    }
    write(&place, vectors(vec![0.0, 1.0, 2.0, 4.0], 2), int(-100));
    assert_eq!(record(&place, &["--metrics=nc1_trace_ratio", "--ignore-label=-100"])["rows"], 1);
}

#[test]
fn fault_16_labels_of_any_type_are_ordered_by_value() {
    let place = Place::new();
    let names = ["pear", "apple", "fig", "apple", "pear", "fig"];
    let values: Vec<f32> = (0..12).map(|i| (i * i % 7) as f32).collect();
    let features = || vectors(values.clone(), 2);
    let dictionary = |order: [&str; 3]| {
        let codes = names.map(|name| order.iter().position(|known| *known == name).unwrap() as i8);
        let keys = arrow::array::Int8Array::from(codes.to_vec());
        Arc::new(DictionaryArray::<Int8Type>::new(keys, texts(&order))) as ArrayRef
    };
    let states =
        [texts(&names), dictionary(["pear", "apple", "fig"]), dictionary(["fig", "apple", "pear"])].map(|labels| {
            write(&place, features(), labels);
            place.succeed(&["accumulate", "a.parquet", "-o", "x.ncst", "--overwrite", "-q"]);
            nckit::store::StateFile::read(&place.path("x.ncst")).unwrap().groups
        });
    assert!(states[0] == states[1] && states[0] == states[2]);
    // The order of files means nothing either.
    for (name, rows) in [("in/a.parquet", [0, 1, 2]), ("in/b.parquet", [3, 4, 5])] {
        let values = rows.iter().flat_map(|&row| [values[2 * row], values[2 * row + 1]]).collect();
        place.write_columns(
            name,
            &[("feature", vectors(values, 2)), ("label", texts(&rows.map(|row| names[row])))],
            40,
        );
    }
    place.succeed(&["accumulate", "in/a.parquet", "in/b.parquet", "-o", "x.ncst", "--overwrite", "-q"]);
    place.succeed(&["accumulate", "in/b.parquet", "in/a.parquet", "-o", "y.ncst", "-q"]);
    assert!(place.read("x.ncst") == place.read("y.ncst"));
    write(&place, features(), Arc::new(BooleanArray::from(vec![true, false, true, false, true, false])));
    assert_eq!(record(&place, &["--metrics=nc1_trace_ratio"])["classes"], 2);
}

fn ragged(lengths: &[usize]) -> ArrayRef {
    let values: Vec<f32> = (0..lengths.iter().sum::<usize>()).map(|at| at as f32).collect();
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    Arc::new(ListArray::new(item, offsets, Arc::new(Float32Array::from(values)), None))
}

#[test]
fn fault_17_a_row_of_another_length_is_refused_even_where_totals_match() {
    let place = Place::new();
    write(&place, ragged(&[768, 767, 769, 768]), ints(vec![0, 1, 0, 1]));
    let text = place.fail(65, &["accumulate", "a.parquet", "-o", "x.ncst"]);
    assert!(text.contains("row 1") && text.contains("768") && text.contains("767"), "{text}");
}

#[test]
fn fault_18_groups_may_differ_in_length_and_rows_of_one_may_not() {
    let place = Place::new();
    place.write("in/layer=a/x.parquet", 1, 30, 8, 40);
    place.write("in/layer=b/x.parquet", 2, 30, 6, 40);
    let text = place.fail(65, &["accumulate", "in", "-o", "x.ncst"]);
    assert!(text.contains("--group-by") && text.contains('8') && text.contains('6'), "{text}");
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--group-by=layer", "-q"]);
    let state = nckit::store::StateFile::read(&place.path("x.ncst")).unwrap();
    assert_eq!(super::classes_and_dims(&state), [(4, 8), (4, 6)]);
    // One after the other it is found as well.
    place.succeed(&["accumulate", "in/layer=a", "-o", "y.ncst", "-q"]);
    let text = place.fail(65, &["accumulate", "in/layer=b", "-o", "y.ncst", "--extend", "--allow-duplicates"]);
    assert!(text.contains("D = 8") || text.contains("differ in length"), "{text}");
}

#[test]
fn fault_19_little_data_gives_reasons_and_never_a_wrong_number() {
    let place = Place::new();
    std::fs::create_dir(place.path("empty")).unwrap();
    for input in ["empty", "none/*.parquet", "no.parquet"] {
        place.fail(66, &["accumulate", input, "-o", "x.ncst"]);
        place.fail(66, &["measure", input]);
    }
    write(&place, vectors(Vec::new(), 2), ints(Vec::new()));
    place.fail(66, &["accumulate", "a.parquet", "-o", "x.ncst"]);
    // All rows left out is a state without rows, and no result.
    write(&place, vectors(vec![f32::NAN; 4], 2), ints(vec![0, 1]));
    place.succeed(&["accumulate", "a.parquet", "-o", "x.ncst", "--nonfinite=skip", "-q"]);
    place.fail(66, &["finish", "x.ncst"]);

    let cases: [(&str, Vec<f32>, Vec<i32>); 5] = [
        ("one class", vec![0.0, 1.0, 2.0, 3.0, 5.0, 8.0], vec![0; 3]),
        ("singletons", vec![0.0, 1.0, 2.0, 3.0, 5.0, 8.0], vec![0, 1, 2]),
        ("gaps", vec![0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 9.0, 9.5], vec![3, 900, 3, 900]),
        ("equal features", vec![2.0; 12], vec![0, 1, 2, 0, 1, 2]),
        ("many classes", (0..20).map(|i| (i * i % 11) as f32).collect(), (0..10).map(|row| row / 2).collect()),
    ];
    for (what, values, labels) in cases {
        let classes = labels.iter().collect::<std::collections::BTreeSet<_>>().len();
        write(&place, vectors(values, 2), ints(labels));
        place.succeed(&["accumulate", "a.parquet", "-o", "x.ncst", "--overwrite", "-q"]);
        let text = place.succeed(&["finish", "x.ncst", "--format=json", "-q"]);
        let report: Value = serde_json::from_str(&text).unwrap();
        let group = &report["groups"][0];
        assert_eq!(group["classes"], classes, "{what}");
        for (key, metric) in group["metrics"].as_object().unwrap() {
            let (value, reason) = (&metric["value"], &metric["reason"]);
            assert!(value.is_f64() != reason.is_string(), "{what}: {key} {metric}");
        }
        let number = |key: &str| group["metrics"][key]["value"].as_f64();
        match what {
            "one class" | "equal features" => {
                assert!(number("nc2_etf_error").is_none() && number("nc1_pinv").is_none());
            }
            "singletons" => assert_eq!(number("nc1_trace_ratio"), Some(0.0)),
            _ => assert!(number("nc1_pinv").is_some() && number("nc2_etf_error").is_some(), "{what}"),
        }
    }
}

/// From a state classes can be left out of what is not pooled, and of what is pooled if they had no share in it.
#[test]
fn fault_19_classes_left_out_of_a_state_leave_numbers_or_reasons() {
    let place = Place::new();
    let values = (0..44).map(|i| (i * i % 13) as f32).collect();
    write(&place, vectors(values, 2), ints((0..22).map(|row| if row < 20 { row % 3 } else { row }).collect()));
    place.succeed(&["accumulate", "a.parquet", "-o", "x.ncst", "-q"]);
    let read = |arguments: &[&str]| -> Value {
        let text = place.succeed(&[arguments, &["--metrics=nc1,nc2", "--format=json", "-q"]].concat());
        serde_json::from_str::<Value>(&text).unwrap()["groups"][0].clone()
    };
    for (flag, dropped, pooled) in
        [("--min-count=2", 2, true), ("--min-count=7", 3, false), ("--max-count=6", 2, false)]
    {
        let (measured, finished) = (read(&["measure", "a.parquet", flag]), read(&["finish", "x.ncst", flag]));
        assert_eq!(finished["dropped_classes"], dropped, "{flag}");
        for count in ["rows", "classes", "dropped_classes", "skipped"] {
            assert_eq!(finished[count], measured[count], "{flag} {count}");
        }
        for key in ["nc1_trace_ratio", "nc1_cdnv", "nc2_etf_error", "nc2_cos_mean"] {
            // About another class's mean, the last digit may be another.
            let number = |group: &Value| group["metrics"][key]["value"].as_f64();
            let both = number(&finished).zip(number(&measured));
            assert!(both.is_none_or(|(a, b)| (a - b).abs() <= 1e-14 * (1.0 + b.abs())), "{flag} {key}: {both:?}");
            assert_eq!(number(&finished).is_some(), number(&measured).is_some(), "{flag} {key}");
        }
        let pinv = &finished["metrics"]["nc1_pinv"];
        if pooled {
            assert_eq!(pinv["value"], measured["metrics"]["nc1_pinv"]["value"], "{flag}");
        } else {
            assert_eq!((&pinv["value"], &pinv["reason"]), (&Value::Null, &"filter_after_pooling".into()), "{flag}");
        }
    }
    place.fail(66, &["finish", "x.ncst", "--min-count=500"]);
}

#[test]
fn fault_20_a_head_that_does_not_fit_is_refused_with_both_shapes() {
    let place = Place::new();
    place.write("in/a.parquet", 1, 60, 8, 40);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    let head = |name: &str, classes: usize, dim: usize, value: f32| {
        let weights = (0..classes * dim).map(|at| value + at as f32).collect();
        place.write_columns(name, &[("weight", vectors(weights, dim))], 40);
    };
    head("fits.parquet", 4, 8, 0.0);
    head("transposed.parquet", 8, 4, 0.0);
    head("few.parquet", 3, 8, 0.0);
    head("long.parquet", 4, 9, 0.0);
    head("nan.parquet", 4, 8, f32::NAN);
    place.succeed(&["finish", "x.ncst", "--head=fits.parquet", "-q"]);
    for (name, code, hints) in [
        ("transposed.parquet", 65, &["--head-transposed"][..]),
        ("few.parquet", 65, &["class"]),
        ("long.parquet", 65, &["8", "9"]),
        ("nan.parquet", 65, &["finite"]),
        ("none.parquet", 66, &["none.parquet"]),
        ("fits.parquet:fc", 2, &[]),
    ] {
        let output = place.run(&["finish", "x.ncst", "--head", name]);
        let text = super::said(&output);
        assert!(
            output.status.code() == Some(code) || (name.contains(':') && !output.status.success()),
            "{name}: {text}"
        );
        assert!(hints.iter().all(|hint| text.contains(hint)), "{name}: {text}");
        // And the same where rows are read.
        assert_eq!(place.run(&["measure", "in", "--head", name]).status.code(), output.status.code(), "{name}");
    }
}
