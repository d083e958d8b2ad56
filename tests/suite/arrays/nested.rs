//! Fields of structs and lists of integers, in Parquet and in Arrow IPC.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, LargeListArray, ListArray,
    RecordBatch, StringArray, StructArray, UInt8Array, UInt16Array, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use arrow_ipc::CompressionType;
use nckit::archive::{Archive, Policy, Request};
use nckit::error::ErrorKind;
use parquet::arrow::ArrowWriter;

use super::write::{arrow, batch};
use super::{Files, chunks, error, read, rows};

const ROWS: usize = 21;
const DIM: usize = 3;

fn values() -> Vec<f32> {
    (0..ROWS * DIM).map(|at| ((at * 37) % 101) as f32 - 50.0).collect()
}

fn classes() -> Vec<i64> {
    (0..ROWS as i64).map(|row| row % 4).collect()
}

fn lists(values: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(DIM, ROWS));
    Arc::new(ListArray::new(item, offsets, values, nulls))
}

fn structs(fields: &[(&str, ArrayRef)], nulls: Option<NullBuffer>) -> ArrayRef {
    let types: Fields = fields.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    Arc::new(StructArray::new(types, fields.iter().map(|(_, array)| array.clone()).collect(), nulls))
}

fn parquet(batches: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    bytes
}

/// The columns in Parquet and in every form of Arrow IPC.
fn put(files: &Files, name: &str, columns: &[(&str, ArrayRef)]) -> Vec<String> {
    let fields: Fields =
        columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let arrays = columns.iter().map(|(_, array)| array.clone()).collect();
    let whole = RecordBatch::try_new(Arc::new(arrow::datatypes::Schema::new(fields)), arrays).unwrap();
    let batches = [whole.slice(0, 8), whole.slice(8, ROWS - 8)];
    let put = |end: &str, bytes: Vec<u8>| files.put(&format!("{name}.{end}"), bytes);
    vec![
        put("parquet", parquet(&batches)),
        put("pq", parquet(&batches[..])),
        put("arrow", arrow(&batches, false, None)),
        put("arrows", arrow(&batches, true, Some(CompressionType::ZSTD))),
    ]
}

#[test]
fn vectors_and_labels_within_structs_are_columns() {
    let files = Files::new();
    let (values, classes) = (values(), classes());
    let expected = {
        let whole = [batch(DIM, &values, &classes)];
        rows(&read(&[files.put("expected.parquet", parquet(&whole))], &Request::default()).unwrap())
    };
    let features = lists(Arc::new(Float32Array::from(values.clone())), None);
    let labels: ArrayRef = Arc::new(Int64Array::from(classes.clone()));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("r{}", row % 2))));
    let inner = structs(&[("text", texts), ("values", features), ("label", labels.clone())], None);
    let outer = structs(&[("id", Arc::new(Int32Array::from(vec![1; ROWS]))), ("emb", inner.clone())], None);
    for (name, field, columns) in [
        ("beside", "emb.values", vec![("emb", inner.clone()), ("label", labels.clone())]),
        ("within", "emb.values", vec![("emb", inner)]),
        ("deep", "x.emb.values", vec![("first", labels.clone()), ("x", outer)]),
    ] {
        let of_labels = match name {
            "beside" => None,
            "within" => Some("emb.label".to_owned()),
            _ => Some("x.emb.label".to_owned()),
        };
        for input in put(&files, name, &columns) {
            for features in [None, Some(field.to_owned()), field.rsplit_once('.').map(|(outer, _)| outer.to_owned())] {
                // The struct around a struct is a column too, and the one within is not.
                if features.as_deref().is_some_and(|features| name == "deep" && features == "x.emb") {
                    continue;
                }
                let request = Request { features, labels: of_labels.clone(), ..Request::default() };
                let archive = Archive::open(std::slice::from_ref(&input), &request)
                    .unwrap_or_else(|error| panic!("{input} {request:?} {error:?}"));
                assert_eq!(archive.features().name, field);
                assert_eq!(rows(&chunks(&archive).unwrap()), expected, "{input}");
            }
            let group = columns.last().map(|(outer, _)| if *outer == "x" { "x.emb.text" } else { "emb.text" });
            let request = Request {
                labels: of_labels.clone(),
                group_by: vec![group.unwrap_or("emb.text").to_owned()],
                ..Request::default()
            };
            if name != "beside" {
                let found = read(std::slice::from_ref(&input), &request).unwrap();
                assert_eq!(found[0].parts.len(), 2, "{input}");
            }
        }
    }
}

#[test]
fn a_null_struct_is_a_null_row() {
    let files = Files::new();
    let features = lists(Arc::new(Float32Array::from(values())), Some((0..ROWS).map(|row| row != 3).collect()));
    let labels: ArrayRef = Arc::new(Int64Array::from(classes()));
    let some_null: NullBuffer = (0..ROWS).map(|row| row % 10 != 9).collect();
    let emb = structs(&[("values", features), ("label", labels.clone())], Some(some_null));
    let outer = structs(&[("emb", emb)], Some((0..ROWS).map(|row| row != 12).collect()));
    for input in put(&files, "nulls", &[("o", outer), ("label", labels)]) {
        let of = |labels: &str| Request { labels: Some(labels.to_owned()), ..Request::default() };
        let found = read(std::slice::from_ref(&input), &of("label")).unwrap_err();
        assert_eq!((found.fact("row"), found.fact("column")), (Some("3"), Some("o.emb.values")), "{found:?}");
        let kept: Vec<usize> = (0..ROWS).filter(|row| ![3, 9, 12, 19].contains(row)).collect();
        let expected: Vec<f64> =
            kept.iter().flat_map(|row| values()[row * DIM..][..DIM].to_vec()).map(f64::from).collect();
        // Whether the vector alone is null, or the label too.
        for labels in ["label", "o.emb.label"] {
            let request = Request { nulls: Policy::Skip, ..of(labels) };
            let found = read(std::slice::from_ref(&input), &request).unwrap();
            assert_eq!(rows(&found).0, expected, "{input} {labels}");
        }
    }
}

#[test]
fn lists_of_integers_are_vectors_if_they_are_named() {
    let files = Files::new();
    let labels: ArrayRef = Arc::new(Int64Array::from(classes()));
    let numbers: Vec<i64> = values().into_iter().map(|value| value as i64 + 50).collect();
    let edge = |most: i64| numbers.iter().map(move |&value| if value == 0 { most } else { value });
    let arrays: [(ArrayRef, i64, u32); 7] = [
        (Arc::new(Int8Array::from_iter_values(edge(-128).map(|value| value as i8))), -128, 24),
        (Arc::new(UInt8Array::from_iter_values(edge(255).map(|value| value as u8))), 255, 24),
        (Arc::new(Int16Array::from_iter_values(edge(-32768).map(|value| value as i16))), -32768, 24),
        (Arc::new(UInt16Array::from_iter_values(edge(65535).map(|value| value as u16))), 65535, 24),
        (Arc::new(Int32Array::from_iter_values(edge(i32::MIN.into()).map(|value| value as i32))), i32::MIN.into(), 53),
        (Arc::new(UInt32Array::from_iter_values(edge(u32::MAX.into()).map(|value| value as u32))), u32::MAX.into(), 53),
        (Arc::new(Int64Array::from_iter_values(edge(7))), 7, 0),
    ];
    for (array, most, bits) in arrays {
        let kind = array.data_type().clone();
        let expected: Vec<f64> = edge(most).map(|value| value as f64).collect();
        let large = {
            let item = Arc::new(Field::new("item", kind.clone(), true));
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(DIM, ROWS));
            Arc::new(LargeListArray::new(item, offsets, array.clone(), None)) as ArrayRef
        };
        for column in [lists(array.clone(), None), large] {
            for input in put(&files, "ints", &[("tokens", column.clone()), ("label", labels.clone())]) {
                let request = Request { features: Some("tokens".to_owned()), ..Request::default() };
                if bits == 0 {
                    let found = read(std::slice::from_ref(&input), &request).unwrap_err();
                    assert_eq!(found.kind(), ErrorKind::Usage, "{found:?}");
                    continue;
                }
                let archive = Archive::open(std::slice::from_ref(&input), &request).unwrap();
                assert_eq!(archive.significand_bits(), bits, "{kind}");
                assert_eq!(rows(&chunks(&archive).unwrap()).0, expected, "{kind} {input}");
                // Tokens and masks are no vectors unless somebody says so; a well-known name does.
                let found = error(&input);
                assert!(found.advice().unwrap().contains("--features tokens"), "{found:?}");
            }
            if bits > 0 {
                for input in put(&files, "known", &[("emb", column.clone()), ("label", labels.clone())]) {
                    assert_eq!(rows(&read(&[input], &Request::default()).unwrap()).0, expected, "{kind}");
                }
            }
        }
    }
    // Beside vectors of floats they are not asked about.
    let floats = lists(Arc::new(Float32Array::from(values())), None);
    let mask = lists(Arc::new(Int8Array::from(vec![1; ROWS * DIM])), None);
    for input in put(&files, "mask", &[("attention_mask", mask), ("emb", floats), ("label", labels)]) {
        let archive = Archive::open(&[input], &Request::default()).unwrap();
        assert_eq!(archive.features().name, "emb");
    }
}

/// A `VectorUDT` of Spark ML with these types of vectors.
fn spark(types: &[i8]) -> ArrayRef {
    let doubles: ArrayRef = Arc::new(Float64Array::from_iter_values(values().into_iter().map(f64::from)));
    let none: ArrayRef = Arc::new(Int32Array::from(vec![None::<i32>; ROWS]));
    let indices =
        arrow::array::new_null_array(&DataType::List(Arc::new(Field::new("item", DataType::Int32, true))), ROWS);
    let kinds: ArrayRef = Arc::new(Int8Array::from(types.to_vec()));
    structs(&[("type", kinds), ("size", none), ("indices", indices), ("values", lists(doubles, None))], None)
}

#[test]
fn dense_vectors_of_spark_are_read_and_sparse_ones_refused() {
    let files = Files::new();
    let labels: ArrayRef = Arc::new(Int64Array::from(classes()));
    let whole = |vectors: ArrayRef, name: &str| put(&files, name, &[("features", vectors), ("label", labels.clone())]);
    let dense = whole(spark(&[1; ROWS]), "dense");
    for features in [None, Some("features".to_owned()), Some("features.values".to_owned())] {
        let request = Request { features, ..Request::default() };
        let found = rows(&read(&dense[..1], &request).unwrap());
        assert_eq!(found.0, values().into_iter().map(f64::from).collect::<Vec<_>>());
    }
    let mut types = [1; ROWS];
    types[13] = 0;
    let found = error(&whole(spark(&types), "sparse")[0]);
    assert_eq!((found.fact("row in file"), found.kind()), (Some("13"), ErrorKind::Data), "{found:?}");
    assert!(found.advice().unwrap().contains("vector_to_array"), "{found:?}");
    // Elements beside indices are not the vector.
    let floats = lists(Arc::new(Float32Array::from(values())), None);
    let indices = lists(Arc::new(Int32Array::from(vec![1; ROWS * DIM])), None);
    let sparse = structs(&[("indices", indices), ("values", floats)], None);
    for input in whole(sparse, "top") {
        assert_eq!(error(&input).kind(), ErrorKind::Usage);
    }
}
