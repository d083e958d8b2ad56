//! What functions return, and what they refuse.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, FixedSizeListArray, Float32Array, Int32Array, Int64Array, LargeListArray, RecordBatch,
    StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Field, Fields, Float64Type, Int32Type, Int64Type, Schema, UInt64Type,
};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use nckit::archive::{HeadSource, Request};
use nckit::error::{Error, ErrorKind};
use nckit::pipeline::{Job, RowSource};

use crate::goldens::plain_job;

use super::{data, measured, query, session, try_query};

const ROWS: &str = "split = 'train' AND layer = 'h3'";

fn number(batch: &RecordBatch, column: usize) -> f64 {
    batch.column(column).as_primitive::<Float64Type>().value(0)
}

/// The error of this crate inside DataFusion's.
fn kind(error: &datafusion::error::DataFusionError) -> Option<ErrorKind> {
    match error.find_root() {
        datafusion::error::DataFusionError::External(error) => error.downcast_ref::<Error>().map(Error::kind),
        _ => None,
    }
}

fn refused(context: &SessionContext, sql: &str) -> String {
    try_query(context, sql).map(|_| ()).expect_err(sql).to_string()
}

/// Rows of four dimensions in two classes, in batches.
fn foreign(batches: &[usize]) -> SessionContext {
    let context = session(2, 8192);
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let schema = Arc::new(Schema::new(vec![
        Field::new("x", DataType::FixedSizeList(item.clone(), 4), true),
        Field::new("y", DataType::Int64, true),
    ]));
    let mut at = 0_u32;
    let made: Vec<RecordBatch> = batches
        .iter()
        .map(|&rows| {
            let labels: Vec<i64> = (0..rows as u32).map(|row| i64::from((at + row) % 2)).collect();
            let values: Vec<f32> = (0..4 * rows as u32)
                .map(|i| {
                    let (row, j) = (at + i / 4, i % 4);
                    ((row * 37 + j * 11) % 101) as f32 / 97.0 + if row % 2 == j { 3.0 } else { 0.0 }
                })
                .collect();
            at += rows as u32;
            let vectors = FixedSizeListArray::new(item.clone(), 4, Arc::new(Float32Array::from(values)), None);
            let columns: Vec<ArrayRef> = vec![Arc::new(vectors), Arc::new(Int64Array::from(labels))];
            RecordBatch::try_new(schema.clone(), columns).unwrap()
        })
        .collect();
    context.register_table("t", Arc::new(MemTable::try_new(schema, vec![made]).unwrap())).unwrap();
    context
}

#[test]
fn a_window_and_an_aggregate_above_it_have_their_grids_from_one_scan() {
    let context = session(2, 8192);
    query(&context, "SET nc.require_grid = true");
    let window = format!(
        "SELECT feature, label, nc1_pinv(feature, label) OVER (PARTITION BY split) AS w FROM features WHERE {ROWS} AND epoch = 9"
    );
    let both = query(&context, &format!("SELECT nc1_pinv(feature, label), max(w) FROM ({window})"));
    let once = query(&context, &format!("SELECT nc1_pinv(feature, label) FROM features WHERE {ROWS} AND epoch = 9"));
    assert_eq!((number(&both, 0), number(&both, 1)), (number(&once, 0), number(&once, 0)));
}

#[test]
fn one_read_serves_all_metrics() {
    let context = session(2, 8192);
    let plan = query(
        &context,
        &format!(
            "EXPLAIN SELECT epoch, nc2_etf_error(feature, label), nc1_pinv(feature, label), nc1_vci(feature, label), nc_measure(feature, label), nc_state(feature, label) FROM features WHERE {ROWS} AND epoch = 9 GROUP BY epoch"
        ),
    );
    let plan: Vec<&str> = plan.column(1).as_string::<i32>().iter().flatten().collect();
    let physical = plan[1];
    let aggregates = physical.lines().find(|line| line.contains("mode=Partial")).unwrap();
    assert_eq!(aggregates.matches("nc_state(").count() + aggregates.matches("nc_moments(").count(), 1, "{physical}");
    assert_eq!(physical.matches("ArchiveScan").count(), 1, "{physical}");
    assert!(physical.contains("row_groups=1 of"), "{physical}");
    assert_eq!(physical.matches("__nc_metrics_of").count(), 1, "{physical}");
}

#[test]
fn what_needs_no_vectors_reads_none() {
    let context = session(2, 8192);
    let plan = query(&context, "EXPLAIN SELECT layer, max(label) FROM features WHERE epoch = 4000 GROUP BY layer");
    let text = plan.column(1).as_string::<i32>().value(1).to_owned();
    assert!(text.contains("columns=[label, layer]"), "{text}");
    let count = query(&context, "SELECT count(*), count(feature) FROM features WHERE layer = 'h3'");
    assert_eq!(count.column(0).as_primitive::<Int64Type>().value(0), 5 * 2097);
    assert_eq!(count.column(1).as_primitive::<Int64Type>().value(0), 5 * 2097);
}

#[test]
fn a_group_without_rows_has_no_value() {
    let context = session(2, 8192);
    let found = query(
        &context,
        "SELECT nc1_pinv(feature, label), nc_state(feature, label), nc_measure(feature, label) FROM features WHERE epoch = 12345",
    );
    assert_eq!(found.num_rows(), 1);
    assert!(found.columns().iter().all(|column| column.is_null(0)), "{found:?}");
    let found = query(&context, "SELECT nc1_pinv_of(NULL), nc_classes(NULL), nc_subtract(NULL, NULL)");
    assert!(found.columns().iter().all(|column| column.is_null(0)), "{found:?}");
}

#[test]
fn why_there_is_no_value_can_be_asked() {
    let context = session(2, 8192);
    let found = query(
        &context,
        &format!(
            "SELECT nc_reason(s, 'nc1_pinv'), nc_reason(nc_moments, 'nc1_pinv'), nc_reason(s, 'nc1_vci'), nc1_pinv_of(nc_moments) FROM (SELECT nc_state(feature, label) AS s, nc_moments(feature, label) AS nc_moments FROM features WHERE {ROWS} AND epoch = 9 AND label = 3)"
        ),
    );
    assert_eq!(found.column(0).as_string::<i32>().value(0), "single_class");
    assert_eq!(found.column(2).as_string::<i32>().value(0), "single_class");
    assert!(found.column(3).is_null(0));
}

#[test]
fn classes_pairs_and_spectra() {
    let context = session(2, 8192);
    let classes = query(
        &context,
        &format!(
            "SELECT c.label, c.count, c.variance, c.worst_neighbour FROM (SELECT unnest(nc_classes(nc_state(feature, label))) AS c FROM features WHERE {ROWS} AND epoch = 9)"
        ),
    );
    assert_eq!(classes.num_rows(), 10);
    let rows: u64 = classes.column(1).as_primitive::<UInt64Type>().values().iter().sum();
    assert_eq!(rows, 1257);
    let expected =
        measured(&["epoch"], &["split=train", "layer=h3", "epoch=9"], None, &["nc1_cdnv_max", "nc1_trace_ratio"]);
    let pairs = query(
        &context,
        &format!(
            "SELECT p.first, p.second, p.cdnv FROM (SELECT unnest(nc_worst_pairs(nc_state(feature, label), 3)) AS p FROM features WHERE {ROWS} AND epoch = 9)"
        ),
    );
    assert_eq!(pairs.num_rows(), 3);
    assert_eq!(Some(number(&pairs, 2)), expected.groups[0].metric("nc1_cdnv_max").unwrap().value);
    let spectrum = query(
        &context,
        &format!(
            "SELECT s.within, s.between FROM (SELECT nc_spectrum(nc_state(feature, label)) AS s FROM features WHERE {ROWS} AND epoch = 9)"
        ),
    );
    let sum = |column: usize| {
        spectrum.column(column).as_list::<i64>().value(0).as_primitive::<Float64Type>().values().iter().sum::<f64>()
    };
    let ratio = expected.groups[0].metric("nc1_trace_ratio").unwrap().value.unwrap();
    assert!((sum(0) / sum(1) / ratio - 1.0).abs() < 1e-12);
}

#[test]
fn a_head_of_the_state_itself() {
    let keys = ["nc3_cos_mean", "nc3_duality_error", "nc2_etf_error_weights", "nc4_agreement", "classifier_accuracy"];
    let filters = ["split=train", "layer=h2", "epoch=4000"];
    let request = Request {
        filters: filters.iter().map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.into(), v.into())).collect(),
        ..Request::default()
    };
    let rows = "features WHERE split = 'train' AND layer = 'h2' AND epoch = 4000";
    let state = format!("(SELECT nc_state(feature, label) FROM {rows})");
    for head in ["lstsq", "lstsq:0.5"] {
        let job = plain_job(vec![data("hive")], request.clone(), &keys);
        let expected = Job { head: Some(HeadSource::parse(head).unwrap()), ..job }.run().unwrap();
        let expected = |key: &str| expected.groups[0].metric(key).unwrap().value;
        for partitions in [1, 3] {
            let context = session(partitions, 100);
            let sql = format!(
                "SELECT nc3_cos_mean(feature, label, '{head}'), nc3_duality_error(feature, label, nc_head('{head}')), \
                 nc2_etf_error_weights_of(nc_state(feature, label), '{head}'), \
                 nc4_agreement(feature, label, {state}, '{head}'), \
                 classifier_accuracy(feature, label, {state}, '{head}') FROM {rows}"
            );
            let found = query(&context, &sql);
            for (at, key) in keys.into_iter().enumerate() {
                assert_eq!(Some(number(&found, at)), expected(key), "{head}: {key}");
            }
        }
    }
    let context = session(1, 8192);
    let bare = format!("SELECT nc_reason(nc_moments(feature, label), 'nc3_cos_mean', 'lstsq') FROM {rows}");
    assert_eq!(query(&context, &bare).column(0).as_string::<i32>().value(0), "no_scatter");
    let bare = format!("(SELECT nc_moments(feature, label) FROM {rows})");
    let sql = format!("SELECT nc4_agreement(feature, label, {bare}, 'lstsq') FROM {rows}");
    assert!(refused(&context, &sql).contains("the state has no scatter"));
    let sql = format!("SELECT nc3_cos_mean(feature, label, nc_head('lstsq', NULL, true)) FROM {rows}");
    assert!(refused(&context, &sql).contains("not transposed"));
    assert!(
        refused(&context, &format!("SELECT nc3_cos_mean(feature, label, 'lstsq:x') FROM {rows}"))
            .contains("no number from 0")
    );
}

const SCORED: [&str; 4] = [
    "nc5_mahalanobis_auroc",
    "nc5_mahalanobis_fpr95",
    "nc5_relative_mahalanobis_auroc",
    "nc5_relative_mahalanobis_fpr95",
];

#[test]
fn out_of_distribution_rows() {
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|&(key, value)| (key.into(), value.into())).collect();
    let rows = |split| RowSource { path: data("hive"), filters: pairs(&[("split", split), ("layer", "h3")]) };
    let request = Request {
        group_by: vec!["epoch".into()],
        filters: pairs(&[("split", "train"), ("layer", "h3"), ("epoch", "53")]),
        ..Request::default()
    };
    let job = Job {
        head: Some(HeadSource::parse(&data("classifier/epoch={epoch}/classifier.parquet")).unwrap()),
        decisions: Some(rows("test")),
        ood: Some(rows("ood")),
        ..plain_job(vec![data("hive")], request, &["nc5", SCORED[0], SCORED[1], SCORED[2], SCORED[3], "lda_accuracy"])
    };
    let expected = job.run().unwrap();
    let state = |split: &str| {
        format!(
            "(SELECT nc_state(feature, label) FROM features WHERE epoch = 53 AND layer = 'h3' AND split = '{split}')"
        )
    };
    let sql = format!(
        "SELECT nc5_ortho_dev_of({}, {}), nc5_neco_auroc(feature, label, {}, split = 'ood'), nc5_neco_fpr95(feature, label, {}, split = 'ood') FROM features WHERE epoch = 53 AND layer = 'h3' AND split <> 'train'",
        state("train"),
        state("ood"),
        state("train"),
        state("train")
    );
    let scored: Vec<String> =
        SCORED.iter().map(|key| format!("{key}(feature, label, {}, split = 'ood')", state("train"))).collect();
    let scored = format!(
        "SELECT {}, lda_accuracy(feature, label, {}) FILTER (WHERE split = 'test') FROM features WHERE epoch = 53 AND layer = 'h3' AND split <> 'train'",
        scored.join(", "),
        state("train")
    );
    for partitions in [1, 7] {
        let found = query(&session(partitions, 100), &sql);
        for (at, key) in ["nc5_ortho_dev", "nc5_neco_auroc", "nc5_neco_fpr95"].into_iter().enumerate() {
            assert_eq!(Some(number(&found, at)), expected.groups[0].metric(key).unwrap().value, "{key}");
        }
        let found = query(&session(partitions, 100), &scored);
        for (at, key) in SCORED.into_iter().chain(["lda_accuracy"]).enumerate() {
            let expected = expected.groups[0].metric(key).unwrap().value;
            assert!(expected.is_some_and(|value| value > 0.0), "{key}: {expected:?}");
            assert_eq!(Some(number(&found, at)), expected, "{key}");
        }
    }
}

#[test]
fn foreign_tables_say_that_batches_made_their_grid() {
    let sql = "SELECT nc1_pinv_of(s), s['grid'] FROM (SELECT nc_state(x, y) AS s FROM t)";
    let (one, other) = (query(&foreign(&[300]), sql), query(&foreign(&[7, 193, 100]), sql));
    assert_eq!(one.column(1).as_string::<i32>().value(0), "own");
    assert!((number(&one, 0) / number(&other, 0) - 1.0).abs() < 1e-6);
    // It stays said when such a state is merged with others, and rows keep their own grids beside foreign ones.
    let rows = "SELECT feature, label FROM features WHERE epoch = 9 AND layer = 'h3' AND split = 'train'";
    let foreign_rows = "SELECT feature, label FROM copied";
    let context = session(1, 8192);
    query(&context, &format!("CREATE TABLE copied AS {rows}"));
    let grids = |from: &str| query(&context, &format!("SELECT nc_merge(s)['grid'] FROM ({from})"));
    let state = |from: &str| format!("SELECT nc_state(feature, label) AS s FROM ({from})");
    for (from, grid) in [
        (state(rows), "chunk"),
        (state(foreign_rows), "own"),
        (format!("{} UNION ALL {}", state(rows), state(foreign_rows)), "own"),
        (format!("{} UNION ALL {}", state(foreign_rows), state(rows)), "own"),
        (state(&format!("{rows} UNION ALL {foreign_rows}")), "own"),
    ] {
        assert_eq!(grids(&from).column(0).as_string::<i32>().value(0), grid, "{from}");
    }
    // One step for all rows makes them the same to the last bit.
    let sql = "SELECT nc1_pinv_of(s), s['grid'] FROM (SELECT nc_state(x, y, -20) AS s FROM t)";
    let (one, other) = (query(&foreign(&[300]), sql), query(&foreign(&[7, 193, 100]), sql));
    assert_eq!(one.column(1).as_string::<i32>().value(0), "chunk");
    assert_eq!(number(&one, 0), number(&other, 0));
    let context = foreign(&[300]);
    query(&context, "SET nc.require_grid = true");
    assert!(refused(&context, "SELECT nc1_pinv(x, y) FROM t").contains("bring no grid along"));
    assert!(try_query(&context, "SELECT nc1_pinv(x, y, -20) FROM t").is_ok());
    assert!(
        try_query(&context, &format!("SELECT nc1_pinv(feature, label) FROM features WHERE {ROWS} AND epoch = 9"))
            .is_ok()
    );
    assert!(refused(&context, "SELECT nc1_pinv(feature, label % 2) FROM features WHERE epoch = 9").contains("grid"));
    assert!(
        refused(
            &context,
            "SELECT nc1_pinv(feature, label) FROM (SELECT DISTINCT feature, label FROM features WHERE epoch = 9)"
        )
        .contains("grid")
    );
}

#[test]
fn sliding_windows_subtract() {
    let context = foreign(&[100, 100, 100]);
    let window = "OVER (ORDER BY n ROWS BETWEEN 19 PRECEDING AND CURRENT ROW)";
    let rows = "SELECT x, y, row_number() OVER () AS n FROM t";
    let slid = query(&context, &format!("SELECT n, nc1_pinv(x, y, -20) {window} AS v FROM ({rows}) ORDER BY n"));
    for at in [20, 150, 299] {
        let whole = query(
            &context,
            &format!("SELECT nc1_pinv(x, y, -20) FROM ({rows}) WHERE n BETWEEN {} AND {}", at + 1 - 19, at + 1),
        );
        assert_eq!(slid.column(1).as_primitive::<Float64Type>().value(at), number(&whole, 0), "{at}");
    }
    assert!(refused(&context, &format!("SELECT nc1_pinv(x, y) {window} FROM ({rows})")).contains("grid"));
}

#[test]
fn conventions_are_set() {
    let context = session(2, 8192);
    let sql = format!(
        "SELECT nc1_pinv(feature, label), nc1_pinv_of(nc_state(feature, label)) FROM features WHERE {ROWS} AND epoch = 9"
    );
    let plain = number(&query(&context, &sql), 0);
    query(&context, "SET nc.divide_by_k = false");
    let found = query(&context, &sql);
    assert!((number(&found, 0) / plain - 10.0).abs() < 1e-12);
    assert_eq!(number(&found, 0), number(&found, 1));
    // In a window, too, where the metric is an accumulator of its own.
    let windowed = query(
        &context,
        &format!("SELECT nc1_pinv(feature, label) OVER () FROM features WHERE {ROWS} AND epoch = 9 LIMIT 1"),
    );
    assert_eq!(number(&windowed, 0), number(&found, 0));
    query(&context, "SET nc.divide_by_k = default");
    assert_eq!(number(&query(&context, &sql), 0), plain);
    assert!(refused(&context, "SET nc.centring = 'mean'").contains("does not take this value"));
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let context = session(2, 8192);
    for (sql, words) in [
        ("SELECT nc1_pinv(DISTINCT feature, label) FROM features", "DISTINCT"),
        ("SELECT nc1_pinv(label, feature) FROM features", "the first argument is not a vector"),
        ("SELECT nc1_pinv(feature, feature) FROM features", "the second argument is not a label"),
        ("SELECT nc1_pinv(feature) FROM features", "takes a vector and a label"),
        ("SELECT nc3_cos_mean(feature, label) FROM features", "nc3_cos_mean(feature, label, head"),
        ("SELECT nc3_cos_mean_of(nc_state(feature, label)) FROM features", "nc3_cos_mean_of(state, head)"),
        ("SELECT nc5_ortho_dev_of(nc_state(feature, label)) FROM features", "state of out-of-distribution rows"),
        ("SELECT nc1_pinv_of(feature) FROM features", "nc1_pinv_of(state)"),
        ("SELECT nc_merge(feature) FROM features", "takes a state"),
        ("SELECT nc1_pinv(feature, label) FROM features WHERE epoch = 4000", "differ in length"),
        ("SELECT nc1_pinv(feature, label - 5) FROM features WHERE epoch = 9", "negative label"),
        ("SELECT nc1_pinv(feature, label, 5000) FROM features", "out of range"),
        ("SELECT nc3_cos_mean(feature, label, 'nowhere.parquet') FROM features WHERE epoch = 9", "no such head"),
        (
            "SELECT nc3_cos_mean(feature, label, nc_head('nowhere.parquet')) FROM features WHERE epoch = 9",
            "no such head",
        ),
        ("SELECT nc4_agreement(feature, label, nc_state(feature, label), 'x') FROM features", ""),
        ("SELECT nc_reason(nc_state(feature, label), 'nc9') FROM features WHERE epoch = 9", "no such metric"),
    ] {
        let found = refused(&context, sql);
        assert!(found.contains(words), "{sql}: {found}");
    }
}

#[test]
fn states_of_another_version_are_refused() {
    let context = session(2, 8192);
    let state = format!("(SELECT nc_state(feature, label) AS s FROM features WHERE {ROWS} AND epoch = 9)");
    let fields = [
        "grid",
        "significand_bits",
        "skipped_nulls",
        "skipped_nonfinite",
        "dim",
        "history",
        "label_kind",
        "labels",
        "counts",
        "shifts",
        "sums",
        "low",
        "squares",
        "gram",
    ];
    let rest = |changed: &str, to: &str| {
        let field =
            |name: &&str| if *name == changed { format!("'{name}', {to}") } else { format!("'{name}', s['{name}']") };
        fields.iter().map(field).collect::<Vec<_>>().join(", ")
    };
    let rebuilt = |version: &str, changed: &str, to: &str| {
        format!("SELECT nc1_pinv_of(named_struct('version', {version}, {})) FROM {state}", rest(changed, to))
    };
    let whole = query(&context, &rebuilt("2", "", ""));
    assert_eq!(number(&whole, 0), number(&query(&context, &format!("SELECT nc1_pinv_of(s) FROM {state}")), 0));
    let error = try_query(&context, &rebuilt("3", "", "")).unwrap_err();
    assert!(error.to_string().contains("another version") && kind(&error) == Some(ErrorKind::Data), "{error}");
    for (field, to) in [
        ("dim", "63"),
        ("dim", "NULL"),
        ("counts", "make_array(1)"),
        ("grid", "'mine'"),
        ("labels", "array_reverse(s['labels'])"),
        ("gram", "array_reverse(s['gram'])"),
        ("significand_bits", "1073741824"),
        ("significand_bits", "2147483648"),
        ("significand_bits", "0"),
        ("labels", "array_prepend('-1', array_pop_front(s['labels']))"),
        ("labels", "array_prepend('x', array_pop_front(s['labels']))"),
        ("history", "array_pop_front(s['history'])"),
        ("gram", "array_repeat(s['gram'][1], array_length(s['gram']))"),
        ("low", "NULL"),
        ("low", "make_array(0)"),
        ("low", "array_repeat(1000000000000, array_length(s['sums']))"),
    ] {
        let error = try_query(&context, &rebuilt("2", field, to)).expect_err(field);
        assert_eq!(kind(&error), Some(ErrorKind::Data), "{field}: {error}");
    }
}

/// A state in a table, with some of its fields made anew or left out.
fn stored(state: &StructArray, change: impl Fn(&str, &ArrayRef) -> Option<ArrayRef>) -> SessionContext {
    let fields = state.fields().iter().zip(state.columns());
    let changed = fields.filter_map(|(field, column)| Some((field.name(), change(field.name(), column)?)));
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) =
        changed.map(|(name, column)| (Field::new(name, column.data_type().clone(), true), column)).unzip();
    let state: ArrayRef = Arc::new(StructArray::try_new(fields.into(), columns, None).unwrap());
    let batch = RecordBatch::try_from_iter([("s", state)]).unwrap();
    let context = session(2, 8192);
    context.register_table("t", Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap())).unwrap();
    context
}

/// The items of a list of structs without the last field, as states of version 1 had their history.
fn without_last_field(list: &ArrayRef) -> ArrayRef {
    let list = list.as_list::<i64>();
    let items = list.values().as_struct();
    let fields: Fields = items.fields().iter().take(4).cloned().collect();
    let items = StructArray::new(fields, items.columns()[..4].to_vec(), None);
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    Arc::new(LargeListArray::new(item, list.offsets().clone(), Arc::new(items), None))
}

#[test]
fn states_of_version_1_are_read() {
    let sql = format!("SELECT nc_state(feature, label) AS s FROM features WHERE {ROWS} AND epoch = 9");
    let state = query(&session(2, 8192), &sql);
    let state = state.column(0).as_struct();
    let old = stored(state, |name, column| match name {
        "version" => Some(Arc::new(Int32Array::from(vec![1]))),
        "low" => None,
        "history" => Some(without_last_field(column)),
        _ => Some(column.clone()),
    });
    let new = stored(state, |_, column| Some(column.clone()));
    let of = |context: &SessionContext, sql: &str| number(&query(context, sql), 0);
    let ask = "SELECT nc1_pinv_of(s) FROM (SELECT nc_merge(s) AS s FROM t)";
    let (old_value, new_value) = (of(&old, ask), of(&new, ask));
    assert!(old_value != new_value && (old_value / new_value - 1.0).abs() < 1e-6, "{old_value}, {new_value}");
    // A state without residuals stays one, whoever writes it again.
    let merged = query(&old, "SELECT nc_merge(s) AS s FROM t");
    let merged = merged.column(0).as_struct();
    let low = merged.column_by_name("low").unwrap().as_list::<i64>().value(0);
    assert!(low.as_primitive::<Decimal128Type>().values().iter().all(|&low| low == 0));
    assert_eq!(merged.column_by_name("version").unwrap().as_primitive::<Int32Type>().value(0), 2);
    assert_eq!(of(&stored(merged, |_, column| Some(column.clone())), ask), old_value);
    // An old state that says it is a new one, and the other way round.
    for (version, low) in [(2, None), (1, Some(()))] {
        let mixed = stored(state, |name, column| match name {
            "version" => Some(Arc::new(Int32Array::from(vec![version]))),
            "low" => low.map(|()| column.clone()),
            _ => Some(column.clone()),
        });
        assert!(refused(&mixed, ask).contains("damaged"), "{version}");
    }
}

/// Other engines keep integers of 76 digits as doubles. Equal values would not help: the next ones would not be exact.
#[test]
fn states_in_doubles_are_refused_by_their_type() {
    let sql = format!("SELECT nc_state(feature, label) AS s FROM features WHERE {ROWS} AND epoch = 9");
    let state = query(&session(2, 8192), &sql);
    let state = state.column(0).as_struct();
    let doubles = DataType::new_large_list(DataType::Float64, true);
    for field in ["squares", "gram", "low", "sums", "shifts", "counts"] {
        let context = stored(state, |name, column| {
            Some(if name == field { cast(column, &doubles).unwrap() } else { column.clone() })
        });
        for ask in ["SELECT nc1_pinv_of(s) FROM t", "SELECT nc1_pinv_of(nc_merge(s)) FROM t"] {
            let error = try_query(&context, ask).expect_err(field);
            assert_eq!(kind(&error), Some(ErrorKind::Data), "{field}: {error}");
            let text = error.to_string();
            assert!(text.contains("another type") && text.contains(field) && text.contains("Float64"), "{text}");
        }
    }
    // Integers of another width, and texts and lists of other kinds, are what they were.
    let wide = DataType::new_list(DataType::Decimal256(76, 0), true);
    let context = stored(state, |name, column| {
        Some(match name {
            "sums" | "gram" | "low" => cast(column, &wide).unwrap(),
            "grid" | "label_kind" => cast(column, &DataType::Utf8View).unwrap(),
            "dim" => cast(column, &DataType::UInt8).unwrap(),
            _ => column.clone(),
        })
    });
    let ask = "SELECT nc1_pinv_of(s) FROM t";
    let plain = stored(state, |_, column| Some(column.clone()));
    assert_eq!(number(&query(&context, ask), 0), number(&query(&plain, ask), 0));
}

#[test]
fn states_have_to_fit_into_memory() {
    // D = 64: 16 · 64 · 65 / 2 bytes of scatter, three times, for each of five groups.
    let context = session(1, 8192);
    let sql = format!("SELECT epoch, nc_state(feature, label) FROM features WHERE {ROWS} GROUP BY epoch");
    query(&context, "SET nc.memory = 500000");
    // What is refused is refused before a row is read: there is no plan to be run.
    let plans = |context: &SessionContext| query(context, &format!("EXPLAIN {sql}")).num_rows();
    let error = try_query(&context, &sql).unwrap_err();
    assert_eq!((kind(&error), plans(&context)), (Some(ErrorKind::Resource), 1), "{error}");
    query(&context, "SET nc.memory = 600000");
    assert_eq!(plans(&context), 2);
    let moments = sql.replace("nc_state", "nc_moments");
    query(&context, "SET nc.memory = 300000");
    assert!(try_query(&context, &moments).is_ok());
    // A label makes as many groups as it likes: that is seen when they come.
    let error = try_query(&context, &sql.replace("epoch", "label")).unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::Resource), "{error}");
}
