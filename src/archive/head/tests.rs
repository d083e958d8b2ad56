use std::fs::{self, File};
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, FixedSizeListArray, Float32Array, Float64Array, Int32Array,
    LargeListArray, ListArray, RecordBatch, StringArray, StringViewArray, UInt64Array,
};
use arrow::datatypes::{Field, Float32Type, Float64Type, Int32Type};
use half::{bf16, f16};
use tempfile::TempDir;

use super::*;

/// Three classes in two dimensions; every number is exact in every type.
const WEIGHTS: [f64; 6] = [1.0, -2.0, 0.5, 4.0, -0.25, 8.0];
const BIAS: [f64; 3] = [0.5, -1.0, 2.0];

fn ints(labels: &[i128]) -> Vec<Label> {
    labels.iter().copied().map(Label::Int).collect()
}

fn texts(labels: &[&str]) -> Vec<Label> {
    labels.iter().map(|&label| Label::Text(label.into())).collect()
}

fn file(dir: &TempDir, name: &str, bytes: &[u8]) -> HeadPath {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    HeadPath { weights: path, bias: None, key: None, in_memory: None }
}

fn with_key(path: &HeadPath, key: &str) -> HeadPath {
    HeadPath { key: Some(key.to_owned()), ..path.clone() }
}

fn npy(descr: &str, column_major: bool, shape: &str, values: &[u8]) -> Vec<u8> {
    let order = if column_major { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values);
    bytes
}

/// A `.safetensors` file of `(name, type, shape, bytes)`.
fn tensors(tensors: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, dtype, shape, bytes) in tensors {
        let start = end;
        end += bytes.len();
        header.insert(
            (*name).to_owned(),
            serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    for (_, _, _, bytes) in tensors {
        file.extend(bytes);
    }
    file
}

fn f16s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes()).collect()
}

fn bf16s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| bf16::from_f64(value).to_le_bytes()).collect()
}

fn f32s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect()
}

fn f64s(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| value.to_le_bytes()).collect()
}

fn big_endian(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|&value| value.to_be_bytes()).collect()
}

fn parquet(dir: &TempDir, name: &str, columns: Vec<(&str, ArrayRef)>) -> HeadPath {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = dir.path().join(name);
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    HeadPath { weights: path, bias: None, key: None, in_memory: None }
}

fn fixed(values: &[f64], width: i32) -> ArrayRef {
    let values = Arc::new(values.iter().map(|&value| value as f32).collect::<Float32Array>());
    let field = Arc::new(Field::new("element", values.data_type().clone(), false));
    Arc::new(FixedSizeListArray::new(field, width, values, None))
}

fn lists(rows: &[&[f64]]) -> ArrayRef {
    let rows = rows.iter().map(|row| Some(row.iter().map(|&value| Some(value)).collect::<Vec<_>>()));
    Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
}

fn whole(path: &HeadPath) -> Head {
    StoredHead::read(path, false).unwrap().for_classes(&ints(&[0, 1, 2]), 2, &Naming::default()).unwrap()
}

fn expected() -> Head {
    Head { weights: WEIGHTS.to_vec(), bias: Some(BIAS.to_vec()), errors: Vec::new() }
}

fn refused(path: &HeadPath, transposed: bool) -> Error {
    StoredHead::read(path, transposed).unwrap_err()
}

#[test]
fn one_head_is_the_same_in_every_form() {
    let dir = TempDir::new().unwrap();
    for (dtype, encode) in [("F16", f16s as fn(&[f64]) -> Vec<u8>), ("BF16", bf16s), ("F32", f32s), ("F64", f64s)] {
        let bytes =
            tensors(&[("fc.bias", dtype, &[3], encode(&BIAS)), ("fc.weight", dtype, &[3, 2], encode(&WEIGHTS))]);
        let path = file(&dir, &format!("{dtype}.safetensors"), &bytes);
        assert_eq!(whole(&path), expected(), "{dtype}");
        assert_eq!(whole(&with_key(&path, "fc")), expected(), "{dtype}");
        assert_eq!(whole(&with_key(&path, "fc.weight")), expected(), "{dtype}");
    }
    // Fortran order stores columns.
    let columns = [1.0, 0.5, -0.25, -2.0, 4.0, 8.0];
    for (name, bytes) in [
        ("f2", npy("<f2", false, "(3, 2)", &f16s(&WEIGHTS))),
        ("f4", npy("<f4", false, "(3, 2)", &f32s(&WEIGHTS))),
        ("f8", npy("<f8", false, "(3, 2)", &f64s(&WEIGHTS))),
        ("big", npy(">f8", false, "(3, 2)", &big_endian(&WEIGHTS))),
        ("columns", npy("<f4", true, "(3, 2)", &f32s(&columns))),
    ] {
        let mut path = file(&dir, &format!("{name}.npy"), &bytes);
        assert_eq!(whole(&path), Head { bias: None, ..expected() }, "{name}");
        path.bias = Some(file(&dir, "bias.npy", &npy("<f8", false, "(3,)", &f64s(&BIAS))).weights);
        assert_eq!(whole(&path), expected(), "{name}");
    }
    let bias: ArrayRef = Arc::new(Float32Array::from(vec![0.5, -1.0, 2.0]));
    let classes: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2]));
    let rows: [&[f64]; 3] = [&[1.0, -2.0], &[0.5, 4.0], &[-0.25, 8.0]];
    let large = rows.iter().map(|row| Some(row.iter().map(|&value| Some(value)).collect::<Vec<_>>()));
    for (name, weights) in [
        ("fixed", fixed(&WEIGHTS, 2)),
        ("list", lists(&rows)),
        ("large", Arc::new(LargeListArray::from_iter_primitive::<Float64Type, _, _>(large)) as ArrayRef),
    ] {
        let name = format!("{name}.parquet");
        let named = vec![("class", classes.clone()), ("weight", weights.clone()), ("bias", bias.clone())];
        assert_eq!(whole(&parquet(&dir, &name, named)), expected(), "{name}");
        let bare = vec![("bias", bias.clone()), ("other", classes.clone()), ("weight", weights)];
        assert_eq!(whole(&parquet(&dir, &name, bare)), expected(), "{name}");
    }
}

#[test]
fn rows_are_chosen_by_class() {
    let dir = TempDir::new().unwrap();
    let last = Head { weights: vec![1.0, -2.0, -0.25, 8.0], bias: None, errors: Vec::new() };
    // Rows stand in another order than labels.
    let weights = || fixed(&[-0.25, 8.0, 0.5, 4.0, 1.0, -2.0], 2);
    let columns: [(ArrayRef, Vec<Label>); 5] = [
        (Arc::new(UInt64Array::from(vec![u64::MAX, 7, 3])), ints(&[3, u64::MAX.into()])),
        (Arc::new(Float64Array::from(vec![9.0, 7.0, -3.0])), ints(&[-3, 9])),
        (Arc::new(StringArray::from(vec!["owl", "cat", "ant"])), texts(&["ant", "owl"])),
        (Arc::new(["owl", "cat", "ant"].into_iter().collect::<DictionaryArray<Int32Type>>()), texts(&["ant", "owl"])),
        (Arc::new(StringViewArray::from(vec!["owl", "cat", "ant"])), texts(&["ant", "owl"])),
    ];
    for (classes, labels) in columns {
        let path = parquet(&dir, "named.parquet", vec![("class", classes), ("weight", weights())]);
        assert_eq!(StoredHead::read(&path, false).unwrap().for_classes(&labels, 2, &Naming::default()).unwrap(), last);
    }
    let classes: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
    let path = parquet(&dir, "bools.parquet", vec![("class", classes), ("weight", fixed(&[3.0, 4.0, 1.0, 2.0], 2))]);
    let head = StoredHead::read(&path, false).unwrap();
    let both = head.for_classes(&[Label::Bool(false), Label::Bool(true)], 2, &Naming::default()).unwrap();
    assert_eq!(both.weights, [1.0, 2.0, 3.0, 4.0]);

    // A vocabulary without names: row i is class i.
    let path = file(&dir, "vocabulary.npy", &npy("<f8", false, "(3, 2)", &f64s(&WEIGHTS)));
    let head = StoredHead::read(&path, false).unwrap();
    assert_eq!(head.for_classes(&ints(&[0, 2]), 2, &Naming::default()).unwrap(), last);
    let error = head.for_classes(&texts(&["ant", "owl"]), 2, &Naming::default()).unwrap_err();
    assert_eq!(error.message(), "the head does not say which of its rows is which class");
    let error = head.for_classes(&ints(&[0, 3]), 2, &Naming::default()).unwrap_err();
    assert_eq!((error.kind(), error.fact("class")), (ErrorKind::Data, Some("3")));
    let error = head.for_classes(&ints(&[0, 1, 2, 3]), 2, &Naming::default()).unwrap_err();
    assert_eq!(error.message(), "the head has fewer rows than there are classes");
}

#[test]
fn a_class_without_a_row_is_named() {
    let dir = TempDir::new().unwrap();
    let classes: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 5]));
    let path = parquet(&dir, "gap.parquet", vec![("class", classes), ("weight", fixed(&WEIGHTS, 2))]);
    let head = StoredHead::read(&path, false).unwrap();
    let error = head.for_classes(&ints(&[0, 2, 3, 5]), 2, &Naming::default()).unwrap_err();
    assert_eq!(
        (error.fact("class"), error.fact("missing"), error.fact("head")),
        (Some("2"), Some("2 of 4 classes"), Some("3 classes × 2"))
    );
    let error = head.for_classes(&texts(&["zero"]), 2, &Naming::default()).unwrap_err();
    assert_eq!(error.advice(), Some("the head's classes are integers, the labels strings"));
    // Written alike is called alike.
    assert_eq!(head.for_classes(&texts(&["1", "5"]), 2, &Naming::default()).unwrap().weights, WEIGHTS[2..]);

    let classes: ArrayRef = Arc::new(Int32Array::from(vec![4, 1, 4]));
    let path = parquet(&dir, "twice.parquet", vec![("class", classes), ("weight", fixed(&WEIGHTS, 2))]);
    assert_eq!(refused(&path, false).fact("rows"), Some("0 and 2"));
}

#[test]
fn a_head_on_its_side_is_told() {
    let dir = TempDir::new().unwrap();
    let columns = [1.0, 0.5, -0.25, -2.0, 4.0, 8.0];
    let labels = ints(&[0, 1, 2]);
    let bytes = tensors(&[("fc.bias", "F64", &[3], f64s(&BIAS)), ("fc.weight", "F64", &[2, 3], f64s(&columns))]);
    let path = file(&dir, "side.safetensors", &bytes);
    let error = refused(&path, false);
    assert_eq!((error.fact("weights"), error.fact("bias")), (Some("2 × 3"), Some("3")));
    assert!(error.advice().unwrap().contains("say --head-transposed"));
    let head = StoredHead::read(&path, true).unwrap();
    assert_eq!(head.for_classes(&labels, 2, &Naming::default()).unwrap(), expected());

    let path = file(&dir, "side.npy", &npy("<f8", false, "(2, 3)", &f64s(&columns)));
    let error = StoredHead::read(&path, false).unwrap().for_classes(&labels, 2, &Naming::default()).unwrap_err();
    assert_eq!((error.fact("head"), error.fact("features")), (Some("2 classes × 3"), Some("3 classes × 2")));
    assert!(error.advice().unwrap().contains("say --head-transposed"));
    assert_eq!(
        StoredHead::read(&path, true).unwrap().for_classes(&labels, 2, &Naming::default()).unwrap().weights,
        WEIGHTS
    );
    // Neither way.
    let error = StoredHead::read(&path, false).unwrap().for_classes(&labels, 5, &Naming::default()).unwrap_err();
    assert_eq!(error.advice(), None);
    // The right way round, but called transposed.
    let path = file(&dir, "right.npy", &npy("<f8", false, "(3, 2)", &f64s(&WEIGHTS)));
    let error = StoredHead::read(&path, true).unwrap().for_classes(&labels, 2, &Naming::default()).unwrap_err();
    assert!(error.advice().unwrap().contains("leave --head-transposed out"));
    // In Fortran order as well.
    let path = file(&dir, "columns.npy", &npy("<f8", true, "(2, 3)", &f64s(&WEIGHTS)));
    assert_eq!(
        StoredHead::read(&path, true).unwrap().for_classes(&labels, 2, &Naming::default()).unwrap().weights,
        WEIGHTS
    );

    let square = [1.0, 2.0, 3.0, 4.0];
    let path = file(&dir, "square.npy", &npy("<f8", false, "(2, 2)", &f64s(&square)));
    let head = StoredHead::read(&path, false).unwrap();
    assert_eq!(head.for_classes(&ints(&[0, 1]), 2, &Naming::default()).unwrap().weights, square);
    assert!(head.outline().is_square());
    let head = StoredHead::read(&path, true).unwrap();
    assert_eq!(head.for_classes(&ints(&[0, 1]), 2, &Naming::default()).unwrap().weights, [1.0, 3.0, 2.0, 4.0]);
    assert!(!head.outline().is_square());
}

#[test]
fn a_head_that_is_not_finite_is_refused_where_it_is_used() {
    let dir = TempDir::new().unwrap();
    let mut weights = WEIGHTS;
    weights[3] = f64::NAN;
    let bias = [0.0, 0.0, f64::INFINITY];
    let bytes = tensors(&[("bias", "F64", &[3], f64s(&bias)), ("weight", "F64", &[3, 2], f64s(&weights))]);
    let head = StoredHead::read(&file(&dir, "nan.safetensors", &bytes), false).unwrap();
    let error = head.for_classes(&ints(&[0, 1]), 2, &Naming::default()).unwrap_err();
    assert_eq!((error.fact("class"), error.fact("at")), (Some("1"), Some("weight, dimension 1")));
    let error = head.for_classes(&ints(&[0, 2]), 2, &Naming::default()).unwrap_err();
    assert_eq!((error.kind(), error.fact("class"), error.fact("at")), (ErrorKind::Data, Some("2"), Some("bias")));
    assert!(head.for_classes(&ints(&[0]), 2, &Naming::default()).is_ok());
}

#[test]
fn tensors_are_found_or_listed() {
    let dir = TempDir::new().unwrap();
    let bytes = tensors(&[
        ("a.weight", "F32", &[3, 2], f32s(&WEIGHTS)),
        ("b.bias", "F32", &[3], f32s(&BIAS)),
        ("b.weight", "F32", &[3, 2], f32s(&WEIGHTS)),
        ("ids", "I64", &[1], vec![0; 8]),
    ]);
    let path = file(&dir, "two.safetensors", &bytes);
    let error = refused(&path, false);
    assert_eq!(
        (error.kind(), error.fact("candidates")),
        (ErrorKind::Usage, Some("a.weight (3 × 2), b.weight (3 × 2)"))
    );
    assert!(StoredHead::read(&with_key(&path, "a"), false).unwrap().bias.is_none());
    assert_eq!(whole(&with_key(&path, "b")), expected());
    let error = refused(&with_key(&path, "c"), false);
    assert_eq!((error.kind(), error.fact("matrices")), (ErrorKind::Usage, Some("a.weight (3 × 2), b.weight (3 × 2)")));
    assert_eq!(refused(&with_key(&path, "b.bias"), false).fact("shape"), Some("3"));
    assert_eq!(refused(&with_key(&path, "ids"), false).fact("type"), Some("I64"));
    let npy = file(&dir, "head.npy", &npy("<f8", false, "(3, 2)", &f64s(&WEIGHTS)));
    assert_eq!(refused(&with_key(&npy, "b"), false).kind(), ErrorKind::Usage);
}

#[test]
fn sizes_that_lie_are_refused_before_anything_is_allocated() {
    let dir = TempDir::new().unwrap();
    let good = tensors(&[("weight", "F64", &[3, 2], f64s(&WEIGHTS))]);
    let mut long = good.clone();
    long[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut cut = good.clone();
    cut.pop();
    let mut extra = good.clone();
    extra.push(0);
    let huge = br#"{"weight":{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#;
    let huge = [&(huge.len() as u64).to_le_bytes()[..], huge].concat();
    let beyond = br#"{"weight":{"dtype":"F64","shape":[1099511627776,2],"data_offsets":[0,17592186044416]}}"#;
    let beyond = [&(beyond.len() as u64).to_le_bytes()[..], beyond].concat();
    for bytes in [long, cut, extra, huge, beyond, b"short".to_vec(), Vec::new()] {
        let error = refused(&file(&dir, "bad.safetensors", &bytes), false);
        assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "the head's file is damaged"));
    }
    let values = f64s(&WEIGHTS);
    let mut long = npy("<f8", false, "(3, 2)", &values);
    long[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    for bytes in [
        long,
        npy("<f8", false, "(3, 3)", &values),
        npy("<f8", false, "(3, 1)", &values),
        npy("<f8", false, "(18446744073709551615, 18446744073709551615)", &values),
        npy("<f8", false, "(99999999999999999999999, 2)", &values),
        // Eight times these is 48 again, but for an overflow.
        npy("<f8", false, "(2305843009213693955, 2)", &values),
        npy("<f8", false, "(-3, 2)", &values),
        npy("<f8", false, &"(".repeat(9000), &values),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
        b"\x93NUMPY\x09\x00".to_vec(),
        b"no".to_vec(),
    ] {
        let error = refused(&file(&dir, "bad.npy", &bytes), false);
        assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "the head's file is damaged"));
    }
    let error = refused(&file(&dir, "whole.npy", &npy("<i8", false, "(3, 2)", &values)), false);
    assert_eq!(error.fact("type"), Some("<i8"));
    assert!(refused(&file(&dir, "empty.npy", &npy("<f8", false, "(0, 2)", &[])), false).fact("weights").is_some());
}

#[test]
fn damage_anywhere_in_a_parquet_head_is_an_error_or_harmless() {
    let dir = TempDir::new().unwrap();
    let classes: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2]));
    let path = parquet(&dir, "good.parquet", vec![("class", classes), ("weight", fixed(&WEIGHTS, 2))]);
    let good = fs::read(&path.weights).unwrap();
    for cut in (0..good.len()).step_by(7) {
        let error = refused(&file(&dir, "bad.parquet", &good[..cut]), false);
        assert_eq!(error.kind(), ErrorKind::Data);
    }
    for at in (0..good.len()).step_by(3) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        // Where it goes unnoticed, the number of rows holds.
        if let Ok(head) = StoredHead::read(&file(&dir, "bad.parquet", &bytes), false) {
            assert_eq!(head.outline().rows, 3);
        }
    }
}

#[test]
fn rows_of_parquet_heads_are_checked_one_by_one() {
    let dir = TempDir::new().unwrap();
    // Five numbers a row would fit the total of the last two.
    let path = parquet(&dir, "ragged.parquet", vec![("weight", lists(&[&[1.0; 5], &[2.0; 4], &[3.0; 6]]))]);
    let error = refused(&path, false);
    assert_eq!((error.fact("row"), error.fact("expected"), error.fact("found")), (Some("1"), Some("5"), Some("4")));

    let rows = [Some(vec![Some(1.0), Some(2.0)]), Some(vec![Some(3.0), None])];
    let nulls: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows));
    let error = refused(&parquet(&dir, "null.parquet", vec![("weight", nulls)]), false);
    assert_eq!((error.fact("row"), error.fact("dimension")), (Some("1"), Some("1")));

    let rows = [Some(vec![Some(1.0), Some(2.0)]), None];
    let nulls: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows));
    assert_eq!(refused(&parquet(&dir, "null.parquet", vec![("weight", nulls)]), false).fact("row"), Some("1"));

    let classes: ArrayRef = Arc::new(Float64Array::from(vec![0.0, 1.5, 2.0]));
    let path = parquet(&dir, "half.parquet", vec![("class", classes.clone()), ("weight", fixed(&WEIGHTS, 2))]);
    assert_eq!(refused(&path, false).fact("label"), Some("1.5"));
    let error = refused(&parquet(&dir, "none.parquet", vec![("class", classes)]), false);
    assert_eq!(error.fact("columns"), Some("class"));
    let classes: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2]));
    let path = parquet(&dir, "named.parquet", vec![("class", classes), ("weight", fixed(&WEIGHTS, 2))]);
    assert_eq!(refused(&path, true).kind(), ErrorKind::Usage);
}

#[test]
fn a_path_is_filled_from_the_group() {
    let key = vec![("epoch".to_owned(), Label::Int(12)), ("layer".to_owned(), Label::Text("h3".into()))];
    let fill = |text: &str| HeadSource::parse(text).unwrap().fill(&key, &Spellings::default()).unwrap();
    assert_eq!(HeadSource::parse("{layer}/e={epoch}.npy").unwrap().keys(), ["layer", "epoch"]);
    assert_eq!(fill("{layer}/e={epoch}.npy").to_string(), "h3/e=12.npy");
    let path = fill("e={epoch}.safetensors:{layer}.fc");
    assert_eq!((path.weights.to_str(), path.key.as_deref()), (Some("e=12.safetensors"), Some("h3.fc")));
    let path = fill("w{epoch}.npy,b{epoch}.npy");
    assert_eq!(path.weights.to_str(), Some("w12.npy"));
    assert_eq!(path.bias.unwrap().to_str(), Some("b12.npy"));
    assert_eq!(fill("a:b/head.npy").weights.to_str(), Some("a:b/head.npy"));

    let error = HeadSource::parse("{fold}.npy").unwrap().fill(&key, &Spellings::default()).unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Usage, Some("--group-by fold")));
    for text in ["", "{epoch.npy", "{}.npy"] {
        assert_eq!(HeadSource::parse(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
    }
}

#[test]
fn the_head_of_a_state_itself_is_no_file() {
    let lambda = |text: &str| HeadSource::parse(text).map(|source| source.least_squares());
    for (text, expected) in
        [("lstsq", Some(0.025)), ("lstsq:0.5", Some(0.5)), ("lstsq:0", Some(0.0)), ("./lstsq", None)]
    {
        assert_eq!(lambda(text).unwrap(), expected, "{text}");
    }
    assert_eq!((lambda("lstsq.npy").unwrap(), lambda("./lstsq:1.npy").unwrap()), (None, None));
    let source = HeadSource::parse("lstsq").unwrap();
    assert_eq!((source.to_string(), source.keys()), ("lstsq:0.025".to_owned(), Vec::new()));
    assert_eq!(source.fill(&[], &Spellings::default()).unwrap_err().kind(), ErrorKind::Usage);
    for text in ["lstsq:", "lstsq:-1", "lstsq:nan", "lstsq:inf", "lstsq:fc.npy"] {
        let error = lambda(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
        assert!(error.advice().unwrap().contains(&format!("./{text}")), "{text}");
    }
}

#[test]
fn a_file_with_colons_and_commas_is_a_file() {
    let dir = TempDir::new().unwrap();
    for name in ["a.safetensors:fc", "w.npy,b.npy"] {
        let text = dir.path().join(name).to_str().unwrap().to_owned();
        let source = HeadSource::parse(&text).unwrap();
        let path = source.fill(&[], &Spellings::default()).unwrap();
        assert!(path.key.is_some() || path.bias.is_some());
        assert_eq!(refused(&path, false).kind(), ErrorKind::Missing);
        fs::write(&text, b"").unwrap();
        assert_eq!(source.fill(&[], &Spellings::default()).unwrap().weights.to_str(), Some(text.as_str()));
    }
    let path = HeadPath { weights: dir.path().join("head.xyz"), bias: None, key: None, in_memory: None };
    assert_eq!(refused(&path, false).kind(), ErrorKind::Usage);
    let folder = dir.path().join("folder.npy");
    fs::create_dir(&folder).unwrap();
    assert_eq!(
        refused(&HeadPath { weights: folder, bias: None, key: None, in_memory: None }, false).kind(),
        ErrorKind::Missing
    );
}

/// A head of these weights without names.
fn nameless(dir: &TempDir, rows: usize) -> StoredHead {
    let values: Vec<f64> = (0..rows * 2).map(|at| (at / 2) as f64).collect();
    let path = file(dir, "nameless.npy", &npy("<f8", false, &format!("({rows}, 2)"), &f64s(&values)));
    StoredHead::read(&path, false).unwrap()
}

/// Which rows these classes find.
fn found(head: &StoredHead, labels: &[Label], naming: &Naming) -> Result<Vec<usize>> {
    let weights = head.for_classes(labels, 2, naming)?.weights;
    Ok(weights.chunks(2).map(|row| row[0] as usize).collect())
}

fn by(rows: &str) -> Naming {
    Naming { rows: Some(HeadRows::parse(rows).unwrap()), ..Naming::default() }
}

#[test]
fn a_class_has_the_same_row_whichever_others_are_there() {
    let dir = TempDir::new().unwrap();
    let head = nameless(&dir, 4);
    let all = ints(&[1, 2, 3, 4]);
    // Integers below the number of rows are rows; one that is not makes the rest doubtful.
    assert_eq!(found(&head, &all[..3], &Naming::default()).unwrap(), [1, 2, 3]);
    let error = found(&head, &all, &Naming::default()).unwrap_err();
    assert_eq!((error.kind(), error.fact("class"), error.fact("labels")), (ErrorKind::Data, Some("4"), Some("1 to 4")));
    assert_eq!(error.fact("detail"), Some("one-based: label 1 is row 0; rank: 1 is row 0"));
    assert_eq!(error.advice(), Some("--head-rows one-based, rank or names:FILE"));
    assert_eq!(found(&head, &all, &by("one-based")).unwrap(), [0, 1, 2, 3]);
    assert_eq!(found(&head, &all[1..3], &by("one-based")).unwrap(), [1, 2]);
    let error = found(&head, &ints(&[0, 1]), &by("one-based")).unwrap_err();
    assert_eq!((error.fact("class"), error.fact("expected")), (Some("0"), Some("labels 1 to 4")));

    // Ranks are of the whole run.
    let ranks =
        Naming { labels: Some(std::sync::Arc::new(ints(&[3, 7, 20, 100]).into_iter().collect())), ..by("rank") };
    assert_eq!(found(&head, &ints(&[3, 7, 20]), &ranks).unwrap(), [0, 1, 2]);
    assert_eq!(found(&head, &ints(&[7, 100]), &ranks).unwrap(), [1, 3]);
    let error = found(&head, &ints(&[7, 100]), &by("rank")).unwrap_err();
    assert_eq!((error.fact("labels"), error.fact("head")), (Some("2"), Some("4 classes × 2")));
    let error = found(&head, &ints(&[3, 7, 20, 100]), &Naming::default()).unwrap_err();
    assert_eq!(error.advice(), Some("--head-rows rank or names:FILE"));
}

#[test]
fn texts_find_no_row_by_chance() {
    let dir = TempDir::new().unwrap();
    let head = nameless(&dir, 12);
    let digits: Vec<Label> = (0..12).map(|digit: usize| Label::Text(digit.to_string().into())).collect();
    let mut sorted = digits.clone();
    sorted.sort();
    let error = found(&head, &sorted, &Naming::default()).unwrap_err();
    assert_eq!(error.fact("detail"), Some("label: the number is the row; rank: \"0\" is row 0, as texts sort"));
    assert_eq!(error.advice(), Some("--head-rows label, rank or names:FILE"));
    assert_eq!(found(&head, &sorted, &by("label")).unwrap(), [0, 1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(found(&head, &sorted, &by("rank")).unwrap(), (0..12).collect::<Vec<_>>());
    let error = found(&head, &texts(&["07", "7"]), &by("label")).unwrap_err();
    assert_eq!(error.fact("classes"), Some("\"07\" and \"7\""));
    let error = found(&head, &texts(&["ant"]), &by("label")).unwrap_err();
    assert!(error.advice().unwrap().contains("names:FILE"));

    let pair = nameless(&dir, 2);
    assert_eq!(found(&pair, &[Label::Bool(true)], &Naming::default()).unwrap(), [1]);
    assert!(found(&head, &[Label::Bool(true)], &Naming::default()).is_err());
}

#[test]
fn names_are_read_from_lines_and_from_a_model_s_configuration() {
    let dir = TempDir::new().unwrap();
    let head = nameless(&dir, 3);
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for text in [
        "owl\ncat\nant\n",
        "\u{feff}owl\r\ncat\r\nant",
        r#"{"model_type": "vit", "id2label": {"1": "cat", "0": "owl", "2": "ant"}}"#,
        r#"{"2": "ant", "0": "owl", "1": "cat"}"#,
        r#"["owl", "cat", "ant"]"#,
    ] {
        let file = write("names", text);
        let names = by(&format!("names:{file}"));
        assert_eq!(found(&head, &texts(&["ant", "cat"]), &names).unwrap(), [2, 1], "{text}");
        let naming = Naming { names: Some(ClassNames::read(Path::new(&file)).unwrap()), ..Naming::default() };
        assert_eq!(found(&head, &texts(&["ant", "owl"]), &naming).unwrap(), [2, 0]);
        assert_eq!(found(&head, &ints(&[0, 2]), &naming).unwrap(), [0, 2]);
        assert_eq!((naming.name(&Label::Int(2)), naming.name(&Label::Text("ant".into()))), (Some("ant"), None));
        assert!(naming.check_names(&ints(&[0, 1, 2])).is_ok());
        let error = naming.check_names(&ints(&[1, 2, 3])).unwrap_err();
        assert_eq!(
            (error.fact("class"), error.advice()),
            (Some("3"), Some("if labels count from 1: --head-rows one-based"))
        );
        let error = found(&head, &texts(&["ants"]), &naming).unwrap_err();
        assert_eq!(error.advice(), Some("did you mean \"ant\"?"));
        let from_one = Naming { rows: Some(HeadRows::OneBased), ..naming };
        assert_eq!(from_one.name(&Label::Int(3)), Some("ant"));
    }
    let four = write("four", "a\nb\nc\nd\n");
    let error = found(&head, &texts(&["a"]), &by(&format!("names:{four}"))).unwrap_err();
    assert!(error.message().contains("as many rows as there are names"), "{error}");
    let twice = write("twice", "a\nb\na\n");
    assert!(found(&head, &texts(&["a"]), &by(&format!("names:{twice}"))).unwrap_err().message().contains("one name"));
    assert_eq!(found(&head, &texts(&["b"]), &by(&format!("names:{twice}"))).unwrap(), [1]);
    for (name, text) in [("hole", "a\n\nb\n"), ("none", ""), ("other", r#"{"labels": 3}"#)] {
        let path = write(name, text);
        assert_eq!(ClassNames::read(Path::new(&path)).unwrap_err().kind(), ErrorKind::Data, "{name}");
    }
    assert_eq!(ClassNames::read(Path::new("no/such")).unwrap_err().kind(), ErrorKind::Missing);
    let error = HeadRows::parse("one_based").unwrap_err();
    assert!(error.advice().unwrap().starts_with("did you mean one-based?"));
}

#[test]
fn a_head_that_names_its_rows_takes_no_other_rule() {
    let dir = TempDir::new().unwrap();
    let classes: ArrayRef = Arc::new(Int32Array::from(vec![2, 1, 0]));
    let path = parquet(&dir, "named.parquet", vec![("class", classes), ("weight", fixed(&WEIGHTS, 2))]);
    let head = StoredHead::read(&path, false).unwrap();
    let error = head.for_classes(&ints(&[0]), 2, &by("label")).unwrap_err();
    assert_eq!((error.kind(), error.advice()), (ErrorKind::Usage, Some("leave --head-rows out")));
}

#[test]
fn an_outline_is_the_shape_of_the_head() {
    let dir = TempDir::new().unwrap();
    let bytes = tensors(&[("fc.bias", "F32", &[3], f32s(&BIAS)), ("fc.weight", "F32", &[3, 2], f32s(&WEIGHTS))]);
    let classes: ArrayRef = Arc::new(Int32Array::from(vec![0, 1, 2]));
    let bias: ArrayRef = Arc::new(Float32Array::from(vec![0.5, -1.0, 2.0]));
    let named = vec![("class", classes), ("weight", fixed(&WEIGHTS, 2)), ("bias", bias)];
    for path in [
        file(&dir, "fc.safetensors", &bytes),
        parquet(&dir, "named.parquet", named),
        HeadPath {
            bias: Some(file(&dir, "b.npy", &npy("<f4", false, "(3,)", &f32s(&BIAS))).weights),
            ..file(&dir, "w.npy", &npy("<f4", false, "(3, 2)", &f32s(&WEIGHTS)))
        },
    ] {
        let outline = Outline::read(&path, false).unwrap();
        assert_eq!((outline.rows, outline.dim()), (3, 2), "{path}");
    }
    let path = file(&dir, "flat.npy", &npy("<f8", false, "(3,)", &f64s(&BIAS)));
    let error = Outline::read(&path, false).unwrap_err();
    assert_eq!(
        (error.fact("shape"), error.advice()),
        (Some("3"), Some("a bias goes second: --head WEIGHT.npy,BIAS.npy"))
    );
}

#[test]
fn an_index_leads_to_the_file_of_a_tensor() {
    let dir = TempDir::new().unwrap();
    file(&dir, "model-1.safetensors", &tensors(&[("lm_head.weight", "F64", &[3, 2], f64s(&WEIGHTS))]));
    file(&dir, "model-2.safetensors", &tensors(&[("lm_head.bias", "F64", &[3], f64s(&BIAS))]));
    let index = |map: &str| file(&dir, "model.safetensors.index.json", format!("{{\"weight_map\": {map}}}").as_bytes());
    let good =
        r#"{"lm_head.weight": "model-1.safetensors", "lm_head.bias": "model-2.safetensors", "embed.weight": "x"}"#;
    let path = index(good);
    assert_eq!(whole(&with_key(&path, "lm_head")), expected());
    let error = refused(&path, false);
    assert_eq!((error.kind(), error.fact("layers")), (ErrorKind::Usage, Some("embed, lm_head")));
    let error = refused(&with_key(&path, "lmhead"), false);
    assert_eq!(error.advice(), Some("did you mean lm_head?"));
    for elsewhere in ["../model-1.safetensors", "/etc/passwd", ".."] {
        let path = index(&format!("{{\"lm_head.weight\": \"{elsewhere}\"}}"));
        let error = refused(&with_key(&path, "lm_head"), false);
        assert_eq!((error.kind(), error.message()), (ErrorKind::Data, "the head's file is damaged"));
    }
    let path = file(&dir, "config.json", br#"{"id2label": {"0": "a"}}"#);
    assert!(refused(&path, false).advice().unwrap().contains("--class-names"));
}

#[test]
fn numbers_stand_in_a_path_as_directories_write_them() {
    let dir = TempDir::new().unwrap();
    let key = vec![("epoch".to_owned(), Label::Int(3))];
    let source = HeadSource::parse(dir.path().join("e{epoch}.npy").to_str().unwrap()).unwrap();
    let spellings = Spellings::of([("epoch", "003")].into_iter());
    let name = |path: HeadPath| path.weights.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name(source.fill(&key, &spellings).unwrap()), "e003.npy");
    // Where only the plain one is there, it is meant.
    file(&dir, "e3.npy", b"");
    assert_eq!(name(source.fill(&key, &spellings).unwrap()), "e3.npy");
    file(&dir, "e003.npy", b"");
    assert_eq!(name(source.fill(&key, &spellings).unwrap()), "e003.npy");
    let both = Spellings::of([("epoch", "003"), ("epoch", "3")].into_iter());
    assert_eq!(source.fill(&key, &both).unwrap_err().kind(), ErrorKind::Usage);
}
