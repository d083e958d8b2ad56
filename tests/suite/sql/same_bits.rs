//! Every metric, through every shape of query.

use datafusion::arrow::array::{Array, AsArray, RecordBatch};
use datafusion::arrow::datatypes::{Float64Type, Int64Type};
use datafusion::prelude::SessionContext;
use nckit::metrics::{Need, cards};
use nckit::report::Report;

use super::{measured, query, session};

/// The metrics whose needs are all among these.
fn keys(given: &[Need]) -> Vec<&'static str> {
    let served = |needs: &[Need]| needs.iter().all(|need| given.contains(need));
    cards().iter().filter(|card| served(card.needs)).map(|card| card.key).collect()
}

fn of_states() -> Vec<&'static str> {
    keys(&[Need::Scatter, Need::Pairs])
}

/// Compares rows of `epoch, metrics…` with a report's groups, bit for bit.
fn assert_same(found: &RecordBatch, expected: &Report, keys: &[&str], what: &str) {
    assert_eq!(found.num_rows(), expected.groups.len(), "{what}");
    let epochs = found.column(0).as_primitive::<Int64Type>();
    for (row, group) in expected.groups.iter().enumerate() {
        assert_eq!(epochs.value(row).to_string(), group.key[0].1.to_string(), "{what}");
        for (at, key) in keys.iter().enumerate() {
            let column = found.column(at + 1).as_primitive::<Float64Type>();
            let value = column.is_valid(row).then(|| column.value(row));
            let metric = group.metric(key).unwrap();
            assert_eq!(value.map(f64::to_bits), metric.value.map(f64::to_bits), "{what}: {key} {value:?} {metric:?}");
        }
    }
}

fn calls(keys: &[&str], call: impl Fn(&str) -> String) -> String {
    keys.iter().map(|key| call(key)).collect::<Vec<_>>().join(", ")
}

const PARTITIONS: [usize; 3] = [1, 2, 7];
const BATCHES: [usize; 3] = [1, 100, 8192];

fn everywhere(test: impl Fn(&SessionContext, &str)) {
    for partitions in PARTITIONS {
        for batch_size in BATCHES {
            test(&session(partitions, batch_size), &format!("{partitions} partitions, batches of {batch_size}"));
        }
    }
}

#[test]
fn aggregates_of_rows() {
    let keys = of_states();
    let expected = measured(&["epoch"], &["split=train", "layer=h3"], None, &keys);
    let calls = calls(&keys, |key| format!("{key}(feature, label)"));
    let sql = format!(
        "SELECT epoch, {calls} FROM features WHERE split = 'train' AND layer = 'h3' GROUP BY epoch ORDER BY epoch"
    );
    everywhere(|context, what| assert_same(&query(context, &sql), &expected, &keys, what));
}

/// Queries of these metrics by epoch.
fn shapes(keys: [&'static str; 4], rows: &str) -> Vec<(&'static str, String)> {
    let calls = |feature: &str, label: &str| calls(&keys, |key| format!("{key}({feature}, {label})"));
    let (plain, renamed) = (calls("feature", "label"), calls("x", "y"));
    vec![
        (
            "cte",
            format!(
                "WITH r AS (SELECT feature AS x, label AS y, epoch FROM features WHERE {rows}) SELECT epoch, {renamed} FROM r GROUP BY epoch ORDER BY epoch"
            ),
        ),
        ("view", format!("SELECT epoch, {plain} FROM train GROUP BY epoch ORDER BY epoch")),
        (
            "halves",
            format!(
                "SELECT epoch, {plain} FROM (SELECT * FROM features WHERE {rows} AND label < 5 UNION ALL SELECT * FROM features WHERE {rows} AND label >= 5) GROUP BY epoch ORDER BY epoch"
            ),
        ),
        (
            "join",
            format!(
                "SELECT f.epoch, {} FROM runs r JOIN features f ON f.epoch = r.epoch WHERE f.{} GROUP BY f.epoch ORDER BY f.epoch",
                calls("f.feature", "f.label"),
                rows.replace("AND ", "AND f.")
            ),
        ),
        (
            "self join",
            format!(
                "SELECT a.epoch, {} FROM features a JOIN (SELECT DISTINCT epoch, layer FROM features) b ON a.epoch = b.epoch AND a.layer = b.layer WHERE a.split = 'train' AND a.layer = 'h3' GROUP BY a.epoch ORDER BY a.epoch",
                calls("a.feature", "a.label")
            ),
        ),
        (
            "filter",
            format!(
                "SELECT epoch, {} FROM features WHERE layer = 'h3' GROUP BY epoch ORDER BY epoch",
                keys.map(|key| format!("{key}(feature, label) FILTER (WHERE split = 'train')")).join(", ")
            ),
        ),
        (
            "having",
            format!(
                "SELECT epoch, {plain} FROM features WHERE {rows} GROUP BY epoch HAVING nc1_pinv(feature, label) > 0 ORDER BY nc1_pinv(feature, label) * 0, epoch"
            ),
        ),
        (
            "states",
            format!(
                "SELECT epoch, {} FROM (SELECT epoch, nc_state(feature, label) AS s FROM features WHERE {rows} GROUP BY epoch) ORDER BY epoch",
                keys.map(|key| format!("{key}_of(s)")).join(", ")
            ),
        ),
        (
            "merged",
            format!(
                "SELECT epoch, {} FROM (SELECT epoch, nc_merge(s) AS s FROM (SELECT epoch, label % 3, nc_state(feature, label) AS s FROM features WHERE {rows} GROUP BY epoch, label % 3) GROUP BY epoch) ORDER BY epoch",
                keys.map(|key| format!("{key}_of(s)")).join(", ")
            ),
        ),
        (
            "subtracted",
            format!(
                "SELECT a.epoch, {} FROM (SELECT epoch, nc_state(feature, label) AS s FROM features WHERE layer = 'h3' GROUP BY epoch) a JOIN (SELECT epoch, nc_state(feature, label) AS s FROM features WHERE layer = 'h3' AND split <> 'train' GROUP BY epoch) b ON a.epoch = b.epoch ORDER BY a.epoch",
                keys.map(|key| format!("{key}_of(nc_subtract(a.s, b.s))")).join(", ")
            ),
        ),
        (
            "sorted and limited",
            format!(
                "SELECT epoch, {plain} FROM (SELECT * FROM (SELECT feature, label, epoch FROM features WHERE {rows} ORDER BY label DESC) LIMIT 100000) GROUP BY epoch ORDER BY epoch"
            ),
        ),
        (
            "window inside",
            format!(
                "SELECT epoch, {plain} FROM (SELECT feature, label, epoch, row_number() OVER (PARTITION BY epoch) AS n FROM features WHERE {rows}) WHERE n > 0 GROUP BY epoch ORDER BY epoch"
            ),
        ),
        (
            "window",
            format!(
                "SELECT DISTINCT epoch, {} FROM features WHERE {rows} ORDER BY epoch",
                keys.map(|key| format!("{key}(feature, label) OVER (PARTITION BY epoch)")).join(", ")
            ),
        ),
        (
            "scalar subquery",
            format!(
                "SELECT 4000 AS epoch, {} UNION ALL SELECT epoch, {plain} FROM features WHERE {rows} AND epoch < 4000 GROUP BY epoch ORDER BY epoch",
                keys.map(|key| format!("(SELECT {key}(feature, label) FROM features WHERE {rows} AND epoch = 4000)"))
                    .join(", ")
            ),
        ),
    ]
}

#[test]
fn shapes_of_queries() {
    let keys = ["nc1_pinv", "nc1_vci", "nc2_etf_error", "nc1_cdnv"];
    let rows = "split = 'train' AND layer = 'h3'";
    let expected = measured(&["epoch"], &["split=train", "layer=h3"], None, &keys);
    let shapes = shapes(keys, rows);
    for partitions in [1, 7] {
        for batch_size in [100, 8192] {
            let context = session(partitions, batch_size);
            query(&context, &format!("CREATE VIEW train AS SELECT * FROM features WHERE {rows}"));
            query(
                &context,
                "CREATE TABLE runs AS SELECT column1 AS epoch, column2 AS rate FROM (VALUES (0, 0.1), (9, 0.1), (53, 0.1), (300, 0.01), (4000, 0.01))",
            );
            for (shape, sql) in &shapes {
                let what = format!("{shape}, {partitions} partitions, batches of {batch_size}");
                assert_same(&query(&context, sql), &expected, &keys, &what);
            }
        }
    }
}

#[test]
fn layers_of_different_length() {
    let keys = ["nc1_pinv", "nc2_cos_mean"];
    let expected = measured(&["layer"], &["split=train", "epoch=4000"], None, &keys);
    let found = query(
        &session(2, 8192),
        "SELECT arrow_cast(substr(layer, 2), 'Int64') AS l, nc1_pinv(feature, label), nc2_cos_mean(feature, label) FROM features WHERE split = 'train' AND epoch = 4000 GROUP BY layer ORDER BY layer",
    );
    for (row, group) in expected.groups.iter().enumerate() {
        for (at, key) in keys.iter().enumerate() {
            let value = found.column(at + 1).as_primitive::<Float64Type>().value(row);
            assert_eq!(Some(value), group.metric(key).unwrap().value, "{key} {:?}", group.key);
        }
    }
}

#[test]
fn metrics_with_heads() {
    let keys = keys(&[Need::Head, Need::Scatter, Need::Pairs]);
    let keys: Vec<&str> =
        keys.into_iter().filter(|key| nckit::metrics::card(key).unwrap().needs.contains(&Need::Head)).collect();
    let path = "classifier/epoch={epoch}/classifier.parquet";
    let expected = measured(&["epoch"], &["split=train", "layer=h3"], Some(path), &keys);
    let root = super::data("classifier");
    let head = format!("'{root}/epoch=' || epoch || '/classifier.parquet'");
    let calls = calls(&keys, |key| format!("{key}(feature, label, {head})"));
    let sql = format!(
        "SELECT epoch, {calls} FROM features WHERE split = 'train' AND layer = 'h3' GROUP BY epoch ORDER BY epoch"
    );
    assert_same(&query(&session(2, 100), &sql), &expected, &keys, "a path for each group");
    let calls = keys.iter().map(|key| format!("{key}_of(s, nc_head({head}))")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT epoch, {calls} FROM (SELECT epoch, nc_state(feature, label) AS s FROM features WHERE split = 'train' AND layer = 'h3' GROUP BY epoch) ORDER BY epoch"
    );
    assert_same(&query(&session(2, 100), &sql), &expected, &keys, "nc_head of a group's path");
}

#[test]
fn decisions_beside_a_state_and_a_head() {
    let keys = keys(&[Need::Decisions, Need::Head]);
    let keys: Vec<&str> =
        keys.into_iter().filter(|key| nckit::metrics::card(key).unwrap().needs.contains(&Need::Decisions)).collect();
    let expected = measured(
        &["epoch"],
        &["split=train", "layer=h3", "epoch=9"],
        Some("classifier/epoch={epoch}/classifier.parquet"),
        &keys,
    );
    let head = format!("nc_head('{}/epoch=9/classifier.parquet')", super::data("classifier"));
    let rows = "split = 'train' AND layer = 'h3' AND epoch = 9";
    let state = format!("(SELECT nc_state(feature, label) FROM features WHERE {rows})");
    let single = calls(&keys, |key| format!("{key}(feature, label, {state}, {head})"));
    let of_decisions = calls(&keys, |key| format!("{key}_of(d)"));
    everywhere(|context, what| {
        let found = query(context, &format!("SELECT epoch, {single} FROM features WHERE {rows} GROUP BY epoch"));
        assert_same(&found, &expected, &keys, what);
        let found = query(
            context,
            &format!(
                "SELECT epoch, {of_decisions} FROM (SELECT epoch, nc_decisions(feature, label, {state}, {head}) AS d FROM features WHERE {rows} GROUP BY epoch)"
            ),
        );
        assert_same(&found, &expected, &keys, what);
    });
}

#[test]
fn decisions_of_every_epoch_in_one_query() {
    let keys = ["nc4_agreement", "classifier_accuracy", "ncc_accuracy"];
    let path = "classifier/epoch={epoch}/classifier.parquet";
    let expected = measured(&["epoch"], &["split=train", "layer=h3"], Some(path), &keys);
    let head = format!("'{}/epoch=' || f.epoch || '/classifier.parquet'", super::data("classifier"));
    let calls = calls(&keys, |key| format!("{key}(f.feature, f.label, s.state, {head})"));
    let sql = format!(
        "SELECT f.epoch, {calls} FROM features f JOIN (SELECT epoch, nc_share(nc_state(feature, label)) AS state FROM features WHERE split = 'train' AND layer = 'h3' GROUP BY epoch) s ON f.epoch = s.epoch WHERE f.split = 'train' AND f.layer = 'h3' GROUP BY f.epoch ORDER BY f.epoch"
    );
    for (partitions, batch_size) in [(1, 8192), (7, 100)] {
        assert_same(&query(&session(partitions, batch_size), &sql), &expected, &keys, &format!("{partitions}"));
    }
}

#[test]
fn rows_of_the_group_itself() {
    let path = "classifier/epoch={epoch}/classifier.parquet";
    let keys = ["nc1_cdnv_directional", "hug_intra"];
    let expected = measured(&["epoch"], &["split=train", "layer=h3", "epoch=53"], Some(path), &keys);
    let head = format!("'{}/epoch=53/classifier.parquet'", super::data("classifier"));
    let rows = "split = 'train' AND layer = 'h3' AND epoch = 53";
    let state = format!("(SELECT nc_state(feature, label) FROM features WHERE {rows})");
    let sql = format!(
        "SELECT epoch, nc1_cdnv_directional(feature, label, {state}), hug_intra(feature, label, {state}, {head}) FROM features WHERE {rows} GROUP BY epoch"
    );
    everywhere(|context, what| assert_same(&query(context, &sql), &expected, &keys, what));
}

#[test]
fn a_stored_state_is_merged_later() {
    let keys = ["nc1_pinv", "nc1_vci", "nc2_etf_error"];
    let expected = measured(&["epoch"], &["split=train", "layer=h3"], None, &keys);
    let folder = tempfile::tempdir().unwrap();
    let context = session(2, 8192);
    for (name, rows) in [("even", "label % 2 = 0"), ("odd", "label % 2 = 1")] {
        let path = folder.path().join(format!("{name}.parquet"));
        query(
            &context,
            &format!(
                "COPY (SELECT epoch, nc_state(feature, label) AS s FROM features WHERE split = 'train' AND layer = 'h3' AND {rows} GROUP BY epoch) TO '{}' STORED AS PARQUET",
                path.display()
            ),
        );
    }
    query(&context, &format!("CREATE EXTERNAL TABLE states STORED AS PARQUET LOCATION '{}'", folder.path().display()));
    let calls = calls(&keys, |key| format!("{key}_of(nc_merge(s))"));
    let found = query(&context, &format!("SELECT epoch, {calls} FROM states GROUP BY epoch ORDER BY epoch"));
    assert_same(&found, &expected, &keys, "stored and merged");
}
