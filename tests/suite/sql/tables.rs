//! Archives as tables: several vector columns, rows that cannot be used, labels of every type.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int64Array, ListArray, StringArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Float32Type, Float64Type, Int64Type, UInt64Type};
use datafusion::prelude::SessionContext;
use nckit::archive::{Policy, Request};
use nckit::sql::ArchiveTable;

use super::{job, query, register_session, try_query};
use crate::reading::Files;

fn open(files: &Files, batch_size: usize) -> SessionContext {
    let context = register_session(2, batch_size);
    context.register_table("t", Arc::new(ArchiveTable::open(&[files.input("")]).unwrap())).unwrap();
    context
}

fn vectors(rows: usize, dim: usize, value: impl Fn(usize, usize) -> f32) -> ArrayRef {
    let values = (0..rows * dim).map(|i| value(i / dim, i % dim));
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values = Arc::new(Float32Array::from_iter_values(values));
    Arc::new(FixedSizeListArray::new(item, dim as i32, values, None))
}

fn measured(files: &Files, request: Request, key: &str) -> Option<f64> {
    let report = job(vec![files.input("")], request, &[key]);
    report.groups[0].metric(key).unwrap().value
}

#[test]
fn two_vector_columns_have_chunks_of_their_own() {
    // Chunks of 4096 rows beside one of all, and classes that do not begin with a chunk.
    let files = Files::new();
    let rows = 4300;
    let noise = |row: usize, j: usize| ((row * 31 + j * 17) % 113) as f32 / 100.0 + (row % 2 * 5 + j % 5) as f32;
    let class = |row: i64| if row < 4096 { row / 2000 } else { 3 + row % 2 };
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows as i64).map(class)));
    let (wide, narrow) = (vectors(rows, 1024, noise), vectors(rows, 3, noise));
    files.write("a.parquet", &[("wide", wide), ("narrow", narrow), ("label", label)], rows);
    for column in ["wide", "narrow"] {
        let request = Request { features: Some(column.into()), ..Request::default() };
        let expected = measured(&files, request, "nc1_trace_ratio");
        for batch_size in [100, 8192] {
            let found = query(
                &open(&files, batch_size),
                "SELECT nc1_trace_ratio(wide, label), nc1_trace_ratio(narrow, label) FROM t",
            );
            let found = found.column(usize::from(column == "narrow")).as_primitive::<Float64Type>().value(0);
            assert_eq!(Some(found), expected, "{column}, batches of {batch_size}");
        }
    }
}

#[test]
fn rows_that_cannot_be_used_are_nulls_or_errors_and_leave_the_grid_alone() {
    let files = Files::new();
    let rows: Vec<Option<Vec<Option<f32>>>> = (0..50_usize)
        .map(|row| match row {
            7 => None,
            8 => Some(vec![Some(1.0), None]),
            9 => Some(vec![Some(f32::NAN), Some(1.0)]),
            _ => Some(vec![Some((row % 7) as f32), Some((row % 5 + row % 2 * 9) as f32 / 3.0)]),
        })
        .collect();
    let feature: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows));
    let label: ArrayRef = Arc::new((0..50).map(|row| (row != 10).then_some(row % 2)).collect::<Int64Array>());
    files.write("a.parquet", &[("feature", feature), ("label", label)], 50);
    let context = open(&files, 8);
    let shown = query(&context, "SELECT count(*), count(feature), count(label) FROM t");
    let counts: Vec<i64> = shown.columns().iter().map(|column| column.as_primitive::<Int64Type>().value(0)).collect();
    assert_eq!(counts, [50, 48, 49]);
    let sql = "SELECT nc1_pinv_of(s), s['skipped_nulls'], s['skipped_nonfinite'], s['grid'] FROM (SELECT nc_state(feature, label) AS s FROM t)";
    let error = try_query(&context, sql).unwrap_err().to_string();
    assert!(error.contains("null in a feature vector"), "{error}");
    query(&context, "SET nc.nulls = 'skip'");
    let error = try_query(&context, sql).unwrap_err().to_string();
    assert!(error.contains("not finite"), "{error}");
    query(&context, "SET nc.nonfinite = 'skip'");
    let found = query(&context, sql);
    let request = Request { nulls: Policy::Skip, nonfinite: Policy::Skip, ..Request::default() };
    assert_eq!(Some(found.column(0).as_primitive::<Float64Type>().value(0)), measured(&files, request, "nc1_pinv"));
    let skipped = |column: usize| found.column(column).as_primitive::<UInt64Type>().value(0);
    assert_eq!((skipped(1), skipped(2)), (3, 1));
    assert_eq!(found.column(3).as_string::<i32>().value(0), "chunk");
}

#[test]
fn strings_are_labels_and_hive_keys_too() {
    let files = Files::new();
    let feature = |shift: usize| {
        vectors(40, 4, move |row, j| ((row * 7 + j * 3 + shift) % 11) as f32 + if row % 2 == j { 4.0 } else { 0.0 })
    };
    let names: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..40).map(|row| if row % 2 == 0 { "cat" } else { "é" })));
    files.write("kind=a/x.parquet", &[("feature", feature(0)), ("label", names.clone())], 40);
    files.write("kind=b/x.parquet", &[("feature", feature(5)), ("label", names)], 40);
    let context = open(&files, 8192);
    let found = query(
        &context,
        "SELECT nc1_pinv(feature, label), nc1_pinv_of(nc_state(feature, kind)), nc_state(feature, kind)['grid'] FROM t",
    );
    let number = |column: usize| found.column(column).as_primitive::<Float64Type>().value(0);
    assert_eq!(Some(number(0)), measured(&files, Request::default(), "nc1_pinv"));
    assert!(number(1).is_finite() && number(1) != number(0));
    assert_eq!(found.column(2).as_string::<i32>().value(0), "chunk");
    let cast = query(&context, "SELECT nc1_pinv(feature, arrow_cast(label, 'LargeUtf8')) FROM t");
    assert!((cast.column(0).as_primitive::<Float64Type>().value(0) / number(0) - 1.0).abs() < 1e-6);
}

#[test]
fn a_vector_of_another_length_is_named_with_its_place() {
    let files = Files::new();
    let rows = |bad: bool| (0..20).map(move |row| Some(vec![Some(row as f32); if bad && row == 13 { 3 } else { 2 }]));
    let label: ArrayRef = Arc::new(Int64Array::from_iter_values((0..20).map(|row| row % 2)));
    let feature: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows(true)));
    files.write("a.parquet", &[("feature", feature), ("label", label)], 20);
    let error = try_query(&open(&files, 8), "SELECT nc1_pinv(feature, label) FROM t").unwrap_err().to_string();
    assert!(error.contains("wrong length") && error.contains("row=13") && error.contains("a.parquet"), "{error}");
}
