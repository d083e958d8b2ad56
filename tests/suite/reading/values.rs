//! Rows and values: what is used, what is skipped and counted, what is refused.

use arrow::array::{
    BooleanArray, Date32Array, DictionaryArray, FixedSizeBinaryArray, Float16Array, Float64Array, Int64Array,
    LargeListArray, LargeStringArray, StringViewArray, UInt64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::Int8Type;
use half::f16;
use nckit::archive::{Dtype, Policy, Skipped};

use super::*;

const BAD: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Lists of `D` values of any element type.
fn lists(values: ArrayRef, dim: usize, nulls: Option<Vec<bool>>) -> ArrayRef {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Arc::new(FixedSizeListArray::new(item, dim as i32, values, nulls.map(NullBuffer::from)))
}

fn of_type(kind: usize, values: &[f64]) -> ArrayRef {
    match kind {
        0 => Arc::new(Float16Array::from_iter_values(values.iter().map(|&value| f16::from_f64(value)))),
        1 => Arc::new(Float32Array::from_iter_values(values.iter().map(|&value| value as f32))),
        _ => Arc::new(Float64Array::from(values.to_vec())),
    }
}

#[test]
fn a_value_that_is_not_finite_is_found_wherever_it_is() {
    let (rows, dim) = (5, 3);
    for kind in 0..3 {
        let files = Files::new();
        for at in 0..rows * dim {
            let mut values = vec![1.0; rows * dim];
            values[at] = BAD[at % 3];
            let columns = [("x", lists(of_type(kind, &values), dim, None)), ("label", ints([7, 8, 7, 8, 7]))];
            // Two rows a group, so that the row in the group is not the row in the file.
            files.write("a.parquet", &columns, 2);
            let error = files.error(&Request::default());
            assert_kind(&error, ErrorKind::Data);
            let row = at / dim;
            assert_fact(&error, "row group", &(row / 2).to_string());
            assert_fact(&error, "row", &(row % 2).to_string());
            assert_fact(&error, "row in file", &row.to_string());
            assert_fact(&error, "dimension", &(at % dim).to_string());
            assert_fact(&error, "column", "x");
            assert_fact(&error, "file", &files.input("a.parquet"));
            assert!(error.advice().unwrap().contains("--nonfinite skip"));

            files.write("a.parquet", &columns, 100);
            let skip = Request { nonfinite: Policy::Skip, ..Request::default() };
            let chunk = only(files.read(&skip));
            assert_eq!(wide(&chunk.values), vec![1.0; (rows - 1) * dim]);
            let others: Vec<u64> = (0..rows as u64).filter(|&other| other != row as u64).collect();
            assert_eq!(chunk.file_rows, others);
            let label = Label::Int(if row % 2 == 0 { 7 } else { 8 });
            let expected = Skipped { nonfinite: [(label, 1)].into(), ..Skipped::default() };
            assert_eq!(chunk.parts[0].skipped, expected);
            assert_eq!(chunk.parts[0].rows, None);
        }
    }
}

#[test]
fn nulls_are_found_at_every_level_and_behind_a_slice() {
    let mut values: Vec<Option<f32>> = (0..14).map(|at| Some(at as f32)).collect();
    values[8] = None;
    // What lies under a null vector is no fault of its own.
    values[10] = Some(f32::NAN);
    let items: ArrayRef = Arc::new(Float32Array::from(values));
    let valid = vec![false, true, true, true, true, false, true];
    let features = lists(items, 2, Some(valid));
    let labels: ArrayRef = Arc::new(Int32Array::from(vec![None, None, Some(1), Some(2), Some(3), Some(4), Some(5)]));
    // Rows 1 to 6: null label, good, good, null element, null vector, good.
    let columns = [("feature", features.slice(1, 6)), ("label", labels.slice(1, 6))];
    let files = Files::new();
    files.write("a.parquet", &columns, 100);

    let chunk = only(files.read(&Request { nulls: Policy::Skip, ..Request::default() }));
    assert_eq!(wide(&chunk.values), [4.0, 5.0, 6.0, 7.0, 12.0, 13.0]);
    assert_eq!(labels_of(&chunk), [1, 2, 5].map(Label::Int));
    assert_eq!(chunk.classes.len(), 3, "labels of rows that went are gone");
    assert_eq!(chunk.file_rows, [1, 2, 5]);
    assert_eq!(chunk.parts[0].skipped, Skipped { nulls: 3, ..Skipped::default() });

    for (from, message) in [(1, "null label"), (4, "null in a feature vector"), (5, "null in a feature vector")] {
        files.write("a.parquet", &[("feature", features.slice(from, 2)), ("label", labels.slice(from, 2))], 100);
        let error = files.error(&Request { nonfinite: Policy::Skip, ..Request::default() });
        assert_eq!(error.message(), message);
        assert_fact(&error, "column", if from == 1 { "label" } else { "feature" });
        assert_kind(&error, ErrorKind::Data);
        assert_fact(&error, "row", "0");
        assert!(error.advice().unwrap().contains("--nulls skip"));
    }
}

#[test]
fn a_row_with_a_null_is_null_whatever_else_it_holds() {
    let files = Files::new();
    let items: ArrayRef =
        Arc::new(Float32Array::from(vec![Some(1.0), Some(2.0), Some(f32::NAN), None, None, Some(3.0)]));
    files.write("a.parquet", &[("feature", lists(items, 2, None)), ("label", ints([0, 1, 2]))], 9);
    let chunk = only(files.read(&Request { nulls: Policy::Skip, ..Request::default() }));
    assert_eq!(wide(&chunk.values), [1.0, 2.0]);
    assert_eq!(chunk.parts[0].skipped, Skipped { nulls: 2, ..Skipped::default() });
}

#[test]
fn a_ragged_row_is_refused_even_where_totals_match() {
    let files = Files::new();
    let mut lengths = vec![768; 20];
    (lengths[13], lengths[14]) = (767, 769);
    files.write("feats.parquet", &[("embedding", ragged(&lengths)), ("label", ints(0..20))], 8);
    let skip = Request { nulls: Policy::Skip, nonfinite: Policy::Skip, bad_files: Policy::Skip, ..Request::default() };
    let error = files.error(&skip);
    assert_kind(&error, ErrorKind::Data);
    assert_eq!(error.message(), "feature vector has the wrong length");
    for (name, value) in [("row group", "1"), ("row", "5"), ("row in file", "13"), ("column", "embedding")] {
        assert_fact(&error, name, value);
    }
    assert_fact(&error, "expected", "768 values");
    assert_fact(&error, "found", "767");
    // An empty list is as wrong.
    files.write("feats.parquet", &[("embedding", ragged(&[2, 0, 2])), ("label", ints(0..3))], 8);
    assert_fact(&files.error(&skip), "found", "0");
    files.write("feats.parquet", &[("embedding", ragged(&[0, 2])), ("label", ints(0..2))], 8);
    assert_kind(&files.error(&skip), ErrorKind::Data);
}

#[test]
fn lists_have_the_length_of_their_first_vector() {
    let files = Files::new();
    let item = Arc::new(Field::new("element", DataType::Float32, false));
    let values: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 2.0, 3.0]));
    let valid = NullBuffer::from(vec![false, false, true]);
    let large = LargeListArray::new(item, OffsetBuffer::from_lengths([0, 0, 3]), values, Some(valid));
    let columns: [(&str, ArrayRef); 2] = [("feature", Arc::new(large)), ("label", ints([0, 1, 2]))];
    files.write("a.parquet", &columns, 1);
    let skip = Request { nulls: Policy::Skip, ..Request::default() };
    let archive = files.open(&skip).unwrap();
    assert_eq!((archive.dim(), archive.file_dim(0).unwrap()), (None, Some(3)));
    assert_eq!(archive.features().kind, "large_list<f32>");
    let chunks = read(&archive).unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.codes.len()).collect::<Vec<_>>(), [0, 0, 1]);
    assert_eq!(wide(&chunks[2].values), [1.0, 2.0, 3.0]);
    // Without any vector there is no length, and no row.
    files.write("a.parquet", &[("feature", columns[0].1.slice(0, 2)), ("label", ints([0, 1]))], 9);
    let archive = files.open(&skip).unwrap();
    assert_eq!(archive.file_dim(0).unwrap(), None);
    let chunk = only(read(&archive));
    assert_eq!((chunk.codes.len(), chunk.parts[0].skipped.nulls), (0, 2));
}

fn fixed(rows: &[Option<Vec<u8>>], width: i32) -> ArrayRef {
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows.iter().cloned(), width).unwrap())
}

#[test]
fn fixed_size_binary_is_of_the_type_that_is_named() {
    let files = Files::new();
    let values = [1.5, -2.0, 0.25, 1.0 / 3.0];
    let of = |dtype: Dtype| {
        let bytes = |value: f64| match dtype {
            Dtype::F16 => f16::from_f64(value).to_le_bytes().to_vec(),
            Dtype::Bf16 => half::bf16::from_f64(value).to_le_bytes().to_vec(),
            Dtype::F32 => (value as f32).to_le_bytes().to_vec(),
            Dtype::F64 => value.to_le_bytes().to_vec(),
        };
        let row = |values: &[f64]| Some(values.iter().flat_map(|&value| bytes(value)).collect::<Vec<u8>>());
        [row(&values[..2]), None, row(&values[2..])]
    };
    let third = [
        f16::from_f64(1.0 / 3.0).to_f64(),
        half::bf16::from_f64(1.0 / 3.0).to_f64(),
        f64::from(1.0_f32 / 3.0),
        1.0 / 3.0,
    ];
    for ((dtype, bits), third) in Dtype::ALL.into_iter().zip([11, 8, 24, 53]).zip(third) {
        let rows = of(dtype);
        let width = rows[0].as_ref().unwrap().len() as i32;
        files.write("a.parquet", &[("v", fixed(&rows, width)), ("y", ints([1, 2, 3]))], 9);
        let request =
            Request { features: Some("v".into()), dtype: Some(dtype), nulls: Policy::Skip, ..Request::default() };
        let archive = files.open(&request).unwrap();
        assert_eq!((archive.dim(), archive.significand_bits()), (Some(2), bits), "{dtype:?}");
        assert!(archive.features().kind.contains(dtype.name()), "{}", archive.features().kind);
        let chunk = only(read(&archive));
        assert_eq!(wide(&chunk.values), [1.5, -2.0, 0.25, third], "{dtype:?}");
        assert_eq!(chunk.parts[0].skipped.nulls, 1);
    }
}

#[test]
fn labels_of_an_unusable_type_are_refused_by_their_type() {
    let files = Files::new();
    let days: ArrayRef = Arc::new(Date32Array::from(vec![18_000; 2]));
    files.write("a.parquet", &[("v", vectors(2, 3)), ("label", days)], 9);
    let error = files.error(&Request::default());
    assert_eq!(error.fact("column"), Some("label"), "{error:?}");
    assert!(error.fact("type").unwrap().to_lowercase().contains("date32"), "{error:?}");
}

#[test]
fn fixed_size_binary_is_never_chosen_by_itself() {
    let files = Files::new();
    let hashes = fixed(&[Some(vec![1; 16]), Some(vec![2; 16])], 16);
    files.write("a.parquet", &[("hash", hashes.clone()), ("y", ints([1, 2]))], 9);
    for request in [Request::default(), Request { features: Some("hash".into()), ..Request::default() }] {
        let error = files.error(&request);
        assert_kind(&error, ErrorKind::Usage);
        assert!(error.advice().unwrap().contains("--features hash --dtype f32"), "{error:?}");
    }
    // Beside a vector column it is no candidate.
    files.write("a.parquet", &[("hash", hashes), ("v", vectors(2, 3)), ("y", ints([1, 2]))], 9);
    assert_eq!(files.open(&Request::default()).unwrap().features().name, "v");
    // A type that does not fit, and one for a column that says its own.
    files.write("a.parquet", &[("v", fixed(&[Some(vec![0; 6])], 6)), ("w", vectors(1, 2)), ("y", ints([1]))], 9);
    let asked = |column: &str, dtype| {
        files.error(&Request { features: Some(column.into()), dtype: Some(dtype), ..Request::default() })
    };
    assert!(asked("v", Dtype::F32).advice().unwrap().contains("--dtype f16 or bf16"), "{:?}", asked("v", Dtype::F32));
    assert!(asked("w", Dtype::F64).advice().unwrap().contains("leave --dtype out"));
    let unnamed = Request { dtype: Some(Dtype::F32), ..Request::default() };
    assert!(
        files.error(&unnamed).advice().unwrap().contains("--features v --dtype f32"),
        "{:?}",
        files.error(&unnamed)
    );
    // The only column that it can be for needs no name.
    files.write("a.parquet", &[("v", fixed(&[Some(vec![0; 8])], 8)), ("y", ints([1]))], 9);
    let archive = files.open(&unnamed).unwrap();
    assert_eq!((archive.features().name.as_str(), archive.dim()), ("v", Some(2)));
    assert!(archive.features().kind.contains("as f32"), "{}", archive.features().kind);
}

#[test]
fn labels_of_every_type_are_one_by_value() {
    let files = Files::new();
    let dictionary: DictionaryArray<Int8Type> = ["b", "a", "b"].into_iter().collect();
    let abstract_texts: [ArrayRef; 4] = [
        texts(&["b", "a", "b"]),
        Arc::new(LargeStringArray::from(vec!["b", "a", "b"])),
        Arc::new(StringViewArray::from(vec!["b", "a", "b"])),
        Arc::new(dictionary),
    ];
    for column in abstract_texts {
        files.write("a.parquet", &[("feature", vectors(3, 2)), ("label", column)], 9);
        assert_eq!(labels_of(&only(files.read(&Request::default()))), ["b", "a", "b"].map(text));
    }
    let same_ints: [ArrayRef; 4] = [
        ints([3, 0, 3]),
        Arc::new(UInt64Array::from(vec![3, 0, 3])),
        Arc::new(Float64Array::from(vec![3.0, -0.0, 3.0])),
        Arc::new(Float16Array::from(vec![f16::from_f32(3.0), f16::ZERO, f16::from_f32(3.0)])),
    ];
    for column in same_ints {
        files.write("a.parquet", &[("feature", vectors(3, 2)), ("label", column)], 9);
        assert_eq!(labels_of(&only(files.read(&Request::default()))), [3, 0, 3].map(Label::Int));
    }
    let wide_ints: ArrayRef = Arc::new(UInt64Array::from(vec![u64::MAX, 1 << 63]));
    files.write("a.parquet", &[("feature", vectors(2, 2)), ("label", wide_ints)], 9);
    let expected = [u64::MAX, 1 << 63].map(|value| Label::Int(value.into()));
    assert_eq!(labels_of(&only(files.read(&Request::default()))), expected);
    let bools: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    files.write("a.parquet", &[("feature", vectors(2, 2)), ("label", bools)], 9);
    assert_eq!(labels_of(&only(files.read(&Request::default()))), [true, false].map(Label::Bool));
}

#[test]
fn labels_that_are_no_classes_are_refused() {
    let files = Files::new();
    for value in [3.5, f64::NAN, 9_007_199_254_740_993.0] {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, value]));
        files.write("a.parquet", &[("feature", vectors(2, 2)), ("label", column)], 9);
        let error = files.error(&Request::default());
        assert_kind(&error, ErrorKind::Data);
        assert_fact(&error, "row", "1");
        assert_fact(&error, "column", "label");
    }
    for value in [-1, -100, i64::MIN] {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![4, value]));
        files.write("a.parquet", &[("feature", vectors(2, 2)), ("label", column)], 9);
        let error = files.error(&Request::default());
        assert_kind(&error, ErrorKind::Data);
        assert!(error.advice().unwrap().contains(&format!("--ignore-label {value}")));
        let ignore = |label: &str| Request { ignore_label: Some(label.into()), ..Request::default() };
        let chunk = only(files.read(&ignore(&value.to_string())));
        // The row stays for the grid and is in no group.
        assert_eq!(wide(&chunk.values).len(), 4);
        assert_eq!(chunk.parts[0].rows, Some(vec![0]));
        assert_eq!(chunk.parts[0].skipped, Skipped { ignored: 1, ..Skipped::default() });
        assert_kind(&files.error(&ignore("4")), ErrorKind::Data);
        assert_kind(&files.error(&ignore("four")), ErrorKind::Usage);
    }
}

#[test]
fn an_ignored_row_need_not_be_in_order() {
    let files = Files::new();
    let features = lists(of_type(2, &[1.0, f64::NAN, 2.0]), 1, None);
    files.write("a.parquet", &[("feature", features), ("label", ints([0, -1, 1]))], 9);
    let chunk = only(files.read(&Request { ignore_label: Some("-1".into()), ..Request::default() }));
    assert_eq!(wide(&chunk.values), [1.0, 2.0]);
    assert_eq!(chunk.parts[0].skipped, Skipped { ignored: 1, ..Skipped::default() });
}

#[test]
fn without_labels_all_rows_are_of_class_0() {
    let files = Files::new();
    files.write("a.parquet", &[("feature", vectors(3, 2)), ("other", ints(0..3))], 9);
    assert_kind(&files.error(&Request::default()), ErrorKind::Usage);
    let chunk = only(files.read(&Request { labels_optional: true, ..Request::default() }));
    assert_eq!(labels_of(&chunk), [0, 0, 0].map(Label::Int));
}

#[test]
fn columns_group_and_filter_the_rows_of_a_chunk() {
    let files = Files::new();
    let split = texts(&["test", "train", "train", "test", "train"]);
    let epoch = ints([1, 1, 2, 2, 3]);
    let columns = [("feature", vectors(5, 2)), ("label", ints([0, 1, 0, 1, 0])), ("split", split), ("epoch", epoch)];
    files.write("a.parquet", &columns, 9);
    let filters = [("split", "train"), ("epoch", "1"), ("epoch", "2")];
    let filters = filters.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let request = Request { group_by: vec!["epoch".into(), "split".into()], ..Request::default() };
    let chunk = only(files.read(&Request { filters, ..request.clone() }));
    assert_eq!(wide(&chunk.values).len(), 10, "the grid is of the whole chunk");
    let parts: Vec<_> = chunk.parts.iter().map(|part| (part.key.clone(), part.rows.clone().unwrap())).collect();
    let key = |epoch, split| vec![Label::Int(epoch), text(split)];
    assert_eq!(parts, [(key(1, "train"), vec![1]), (key(2, "train"), vec![2])]);

    let all = only(files.read(&request));
    assert_eq!(all.parts.len(), 5);
    assert_eq!(all.parts[0].key, key(1, "test"));

    let archive = files.open(&request).unwrap();
    let mut counted = Vec::new();
    archive.read_labels(0, &mut |key, label, rows| counted.push((key.clone(), label.clone(), rows))).unwrap();
    assert_eq!(counted.len(), 5);
    assert_eq!(counted[1], (key(1, "train"), Label::Int(1), 1));
}

#[test]
fn rows_outside_the_filters_may_be_bad() {
    let files = Files::new();
    let features = lists(of_type(1, &[1.0, f64::NAN, 2.0]), 1, None);
    let labels: ArrayRef = Arc::new(Int32Array::from(vec![Some(-5), Some(0), Some(1)]));
    let key: ArrayRef = Arc::new(StringArray::from(vec![Some("no"), None, Some("yes")]));
    files.write("a.parquet", &[("feature", features), ("label", labels), ("key", key)], 9);
    let filters = vec![("key".to_owned(), "yes".to_owned())];
    let group_by = vec!["key".to_owned()];
    let chunk = only(files.read(&Request { filters, group_by: group_by.clone(), ..Request::default() }));
    assert_eq!((wide(&chunk.values), chunk.parts[0].rows.clone()), (vec![1.0, 2.0], Some(vec![1])));
    assert_eq!(chunk.parts[0].skipped, Skipped::default());
    // Without the filter the null key is nobody's.
    assert_eq!(files.error(&Request { group_by, ..Request::default() }).message(), "null in a group column");
}

#[test]
fn statistics_tell_the_group_of_a_unit() {
    let files = Files::new();
    let columns =
        [("feature", vectors(6, 2)), ("label", ints(0..6)), ("split", texts(&["a", "a", "b", "b", "b", "a"]))];
    files.write("a.parquet", &columns, 2);
    let request = Request { group_by: vec!["split".into()], ..Request::default() };
    let archive = files.open(&request).unwrap();
    let keys: Vec<_> = archive.units().iter().map(|unit| unit.key.clone()).collect();
    assert_eq!(keys, [Some(vec![text("a")]), Some(vec![text("b")]), None]);
    let with_null: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
    files.write("b.parquet", &[("feature", vectors(2, 2)), ("label", ints([9, 8])), ("split", with_null)], 2);
    assert_eq!(files.open(&request).unwrap().units()[3].key, None);
    fs::remove_file(files.path("b.parquet")).unwrap();
    let filters = vec![("split".into(), "a".into())];
    let archive = files.open(&Request { filters, ..request }).unwrap();
    assert_eq!(archive.units().iter().map(|unit| unit.row_group).collect::<Vec<_>>(), [0, 2]);
    let chunks = read(&archive).unwrap();
    assert_eq!(chunks[1].file_rows, [4, 5]);
    assert_eq!(chunks[1].parts[0].rows, Some(vec![1]));
}
