//! Flags and accuracy: SQL, `measure` and `accumulate | finish` say the same of the same rows.

use std::fs;

use serde_json::Value;

use crate::cli::nckit;

const FLAT: &str = "tests/data/digits/flat";

fn json(arguments: &[&str]) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    let output = nckit(&[arguments, &["-o", file.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// Everything that both say of a group.
fn assert_same(group: &Value, struct_of_sql: &Value) {
    assert_eq!(struct_of_sql["flags"], group["flags"]);
    assert_eq!(struct_of_sql["accuracy"], group["accuracy"]);
    for count in ["rows", "classes", "dim"] {
        assert_eq!(struct_of_sql[count], group[count]);
    }
    let mut metrics = 0;
    for (key, metric) in group["metrics"].as_object().unwrap() {
        let Some(value) = struct_of_sql.get(key) else { continue };
        assert_eq!(*value, metric["value"], "{key}");
        let none = Value::Array(Vec::new());
        assert_eq!(*struct_of_sql["metric_flags"].get(key).unwrap_or(&none), metric["flags"], "{key}");
        metrics += 1;
    }
    assert!(metrics > 40, "{metrics}");
    assert!(!group["accuracy"].as_object().unwrap().is_empty());
}

#[test]
fn flags_and_accuracy_are_those_of_measure_and_finish() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("a.ncst");
    let state = state.to_str().unwrap();
    let measured = json(&["measure", FLAT, "--group-by=split", "-q"]);
    assert!(nckit(&["accumulate", FLAT, "--group-by=split", "-o", state, "-q"]).status.success());
    let finished = json(&["finish", state, "-q"]);
    let rows = json(&[
        "sql",
        "-c",
        &format!("SELECT split, nc_measure(feature, label) AS m FROM '{FLAT}' GROUP BY split ORDER BY split"),
    ]);
    let kept = json(&[
        "sql",
        "-c",
        &format!(
            "SELECT split, nc_measure_of(state) AS m, nc_accuracy(state, 'nc1_pinv') AS a, nc_flags(state, 'nc1_pinv') AS f FROM '{state}' ORDER BY split"
        ),
    ]);
    for at in 0..3 {
        let group = &measured["groups"][at];
        assert_eq!(group["accuracy"], finished["groups"][at]["accuracy"]);
        assert_same(group, &rows["rows"][at]["m"]);
        assert_same(group, &kept["rows"][at]["m"]);
        assert_eq!(kept["rows"][at]["a"], group["accuracy"]["nc1_pinv"]);
        assert_eq!(kept["rows"][at]["f"], group["metrics"]["nc1_pinv"]["flags"]);
    }
}

/// Two classes a unit apart whose rows differ by the size `spread`: the grid is made for the larger of both.
fn rows(spread: &str) -> String {
    format!(
        "(SELECT value % 2 AS label, CASE WHEN value % 3 = 0 THEN 'a' ELSE 'b' END AS part,
            make_array(value % 2 + {spread} * sin(value), {spread} * cos(value * value)) AS x
          FROM generate_series(1, 300))"
    )
}

fn said(sql: &str) -> (String, String) {
    let output = nckit(&["sql", "--format", "csv", "-c", sql]);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, said) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{sql}: {said}");
    (out, said)
}

#[test]
fn a_doubtful_number_is_noted_with_its_column_and_row() {
    // Steps of 2^-8 are coarse for rows that differ by a tenth.
    let from = rows("0.1");
    let (_, noted) =
        said(&format!("SELECT part, nc1_pinv(x, label, -8) AS shown FROM {from} GROUP BY part ORDER BY part DESC"));
    let line = noted.lines().find(|line| line.contains("shown")).unwrap_or_else(|| panic!("{noted}"));
    assert!(line.starts_with("note: ") && line.contains("nc1_pinv") && line.contains("rounding error"), "{line}");
    assert!(line.contains("row ") && line.contains("part="), "{line}");
    // What is made of it is doubtful too, though it is another number.
    let (_, noted) = said(&format!("SELECT ln(nc1_pinv(x, label, -8)) AS l FROM {from}"));
    assert!(noted.contains("nc1_pinv, from which the result is computed, 1 number: rounding error"), "{noted}");
    let (_, noted) = said(&format!("SELECT nc_measure(x, label, -8) AS m FROM {from}"));
    assert!(noted.contains("m.nc1_pinv") && !noted.contains("m.nc2_norm_mean"), "{noted}");
    let state = format!("SELECT nc_state(x, label, -8) AS s FROM {from}");
    let (out, _) = said(&format!("SELECT nc_accuracy(s, 'nc1_pinv') > 1e-6 AS a FROM ({state})"));
    assert_eq!(out, "a\ntrue\n");
    // Nothing is noted of good numbers, nor of those of another statement.
    let coarse = format!("SELECT count(*) AS n FROM (SELECT nc1_pinv(x, label, -8) AS p FROM {from}) WHERE p > 0");
    let (_, noted) = said(&format!("{coarse}; SELECT nc1_pinv(x, label) AS fine FROM {from}"));
    assert_eq!(noted.matches("rounding error").count(), 1, "{noted}");
    assert!(!noted.contains("fine"), "{noted}");
}

#[test]
fn what_there_is_no_estimate_of_is_null() {
    let state = format!("SELECT nc_state(feature, label) AS s FROM '{FLAT}'");
    let (out, _) = said(&format!(
        "SELECT nc_accuracy(s, 'nc2_etf_error') AS a, nc_accuracy(NULL, 'nc1_pinv') AS n FROM ({state})"
    ));
    assert_eq!(out, "a,n\n,\n");
    let output = nckit(&["sql", "-c", &format!("SELECT nc_flags(s, 'nc1_pinw') FROM ({state})")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean nc1_pinv?"));
}

/// Rows of two classes, `label`, in two parts, `e`; of `more` rows nothing is known.
fn files(more: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let own: Vec<String> = (0..40)
        .map(|at| {
            format!(
                "{},{},\"[{}, {}]\"\n",
                at % 2,
                at / 20,
                f64::from(at % 2 * 10) + f64::from(at % 5) * 0.1,
                f64::from(at * at % 7) * 0.1
            )
        })
        .collect();
    let (header, own) = ("label,e,x\n", own.concat());
    fs::write(folder.path().join("own.csv"), format!("{header}{own}")).unwrap();
    fs::write(folder.path().join("more.csv"), format!("{header}{own}{more}")).unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn remarks_of_a_second_read_are_noted_where_they_belong() {
    let (_folder, path) = files("7,0,\"[5, 5]\"\n");
    let state = format!("(SELECT nc_state(x, label) AS s FROM '{path}/own.csv')");
    let (out, noted) = said(&format!(
        "SELECT ncc_accuracy(x, label, s) AS a, lda_accuracy(x, label, s) AS l, 1.0 AS one, \
         ncc_accuracy_of(nc_decisions(x, label, s)) AS d FROM '{path}/more.csv' CROSS JOIN {state}"
    ));
    assert_eq!(out, "a,l,one,d\n1.0,1.0,1.0,1.0\n");
    for (column, metric) in [("a", "ncc_accuracy"), ("l", "lda_accuracy"), ("d", "ncc_accuracy")] {
        let line = format!("column {column} ({metric}), row 1: unseen_classes");
        assert!(noted.contains(&line), "{line}: {noted}");
    }
    assert!(!noted.contains("column one"), "{noted}");
    // Of two rows that show the same number one is beyond doubt.
    let (out, noted) = said(&format!(
        "SELECT e, lda_accuracy(x, label, s) AS l FROM '{path}/more.csv' CROSS JOIN {state} GROUP BY e ORDER BY e"
    ));
    assert_eq!(out, "e,l\n0,1.0\n1,1.0\n");
    assert!(noted.contains("or one that shows the same number, the worst of at most 2 rows"), "{noted}");
}

#[test]
fn a_group_without_distances_is_null_and_the_others_are_not() {
    let (_folder, path) = files("3,2,\"[1, 1]\"\n3,2,\"[1, 1]\"\n");
    let (out, _) = said(&format!(
        "SELECT e, lda_accuracy(x, label, s) AS l, nc5_mahalanobis_auroc(x, label, s, label = 1) AS m, \
           nc5_neco_auroc(x, label, s, label = 1) AS n, ncc_accuracy(x, label, s) AS a \
         FROM '{path}/more.csv' JOIN (SELECT e AS part, nc_state(x, label) AS s FROM '{path}/more.csv' GROUP BY e) \
         ON e = part GROUP BY e ORDER BY e"
    ));
    let rows: Vec<Vec<&str>> = out.lines().skip(1).map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 3, "{out}");
    assert_eq!(rows[2], ["2", "", "", "", ""], "{out}");
    assert!(rows[..2].iter().all(|row| row[1] == "1.0" && row[4] == "1.0"), "{out}");
}

#[test]
fn rows_are_those_of_the_classes_that_are_left() {
    let (_folder, path) = files("7,0,\"[5, 5]\"\n");
    let (out, _) = said(&format!(
        "SET nc.min_count = 5; SELECT m['rows'] AS r, m['classes'] AS c, m['dropped_classes'] AS d \
         FROM (SELECT nc_measure(x, label) AS m FROM '{path}/more.csv')"
    ));
    assert_eq!(out, "r,c,d\n40,2,1\n");
}

#[test]
fn a_label_that_is_nan_is_missing_where_nulls_are_skipped() {
    let (_folder, path) = files("");
    let labels = "CASE WHEN e = 1 AND label = 0 THEN CAST('NaN' AS DOUBLE) ELSE CAST(label AS DOUBLE) END";
    let skip = "SET nc.nulls = 'skip'";
    let (out, _) = said(&format!(
        "{skip}; SELECT s['skipped_nulls'] AS n FROM (SELECT nc_state(x, {labels}) AS s FROM '{path}/own.csv')"
    ));
    assert_eq!(out, "n\n10\n");
    let table = format!("{path}/nan.parquet");
    let written = format!("SELECT x, {labels} AS label FROM '{path}/own.csv'");
    assert!(nckit(&["sql", "-c", &written, "-o", &table]).status.success());
    let query = format!("SELECT nc1_pinv(x, label) AS p FROM '{table}'");
    let (stored, _) = said(&format!("{skip}; {query}"));
    let measured = nckit(&["measure", &table, "--nulls=skip", "--metrics=nc1_pinv", "--format=csv", "-q"]);
    let measured = String::from_utf8(measured.stdout).unwrap();
    let number = |text: &str| text.trim().rsplit([',', '\n']).next().unwrap().to_owned();
    assert_eq!(number(&stored), number(&measured), "{stored} {measured}");
    let refused = nckit(&["sql", "-c", &query]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(65) && said.contains("SET nc.nulls = 'skip'"), "{said}");
}
