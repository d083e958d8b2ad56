//! Clauses that DataFusion's parser knows and its planner forgets.

use nckit::error::{Error, ErrorKind};
use nckit::sql::{Access, Query, SessionOptions};

use super::data;

/// Runs statements; how many rows the last one has.
fn run(sql: &str) -> Result<usize, Error> {
    let tables = vec![("f".to_owned(), data("flat"))];
    let options = SessionOptions { threads: 2, tables, ..SessionOptions::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_stack_size(8 << 20).build();
    runtime.unwrap().block_on(async {
        let context = nckit::sql::session(&options).await?;
        let mut rows = 0;
        for query in Query::parse(sql)? {
            rows = 0;
            let mut answer = query.run(&context, Access::Write).await?;
            while let Some(batch) = answer.next().await? {
                rows += batch.num_rows();
            }
        }
        Ok(rows)
    })
}

#[test]
fn what_would_be_ignored_is_refused_with_what_to_write() {
    for (clause, sql) in [
        ("TABLESAMPLE", "SELECT count(*) FROM f TABLESAMPLE (10 PERCENT)"),
        ("TABLESAMPLE", "SELECT count(*) FROM f TABLESAMPLE BERNOULLI (10)"),
        ("SAMPLE", "SELECT count(*) FROM f SAMPLE 0.1"),
        ("SAMPLE", "SELECT count(*) FROM (SELECT * FROM f) TABLESAMPLE (5 ROWS)"),
        ("PREWHERE", "SELECT count(*) FROM f PREWHERE label = 3"),
        ("PARTITION", "SELECT count(*) FROM f PARTITION (p0)"),
        ("CONNECT BY", "SELECT label FROM f START WITH label = 1 CONNECT BY label = epoch"),
        ("WITH ROLLUP", "SELECT label, count(*) FROM f GROUP BY label WITH ROLLUP"),
        ("WITH CUBE", "SELECT label, count(*) FROM f GROUP BY label WITH CUBE"),
        ("WITH TOTALS", "SELECT label, count(*) FROM f GROUP BY label WITH TOTALS"),
        ("FOR UPDATE", "SELECT label FROM f FOR UPDATE"),
        ("FOR UPDATE", "SELECT label FROM f FOR SHARE SKIP LOCKED"),
        ("SETTINGS", "SELECT label FROM f SETTINGS max_threads = 1"),
        ("FORMAT", "SELECT label FROM f FORMAT JSONCompact"),
        ("FROM without SELECT", "FROM f"),
        ("* ILIKE", "SELECT * ILIKE 'lab%' FROM f"),
        ("WITH (", "SELECT label FROM f WITH (NOLOCK)"),
        ("OVER (name", "SELECT sum(1) OVER (w ORDER BY label) FROM f WINDOW w AS (PARTITION BY split)"),
        ("OVER name", "SELECT max(label) AS m FROM f WINDOW w AS (PARTITION BY split) ORDER BY sum(label) OVER w"),
        (
            "WITH RECURSIVE",
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 10 LIMIT 3) SELECT n FROM t",
        ),
        ("GLOBAL JOIN", "SELECT 1 FROM f GLOBAL JOIN f g ON f.label = g.label"),
        ("INTO", "SELECT 1 AS a INTO x UNION SELECT 2"),
        ("DISTINCT of abs", "SELECT abs(DISTINCT label) FROM f"),
        ("FILTER of abs", "SELECT abs(label) FILTER (WHERE label > 3) FROM f"),
        ("OVER of abs", "SELECT abs(label) OVER (PARTITION BY split) FROM f"),
        ("FILTER of nc1_pinv_of", "SELECT nc1_pinv_of(nc_state(feature, label)) FILTER (WHERE false) FROM f"),
        ("ORDER BY of abs", "SELECT abs(label ORDER BY epoch) FROM f"),
        ("NULLS of sum", "SELECT sum(label) IGNORE NULLS OVER () FROM f"),
        ("NULLS of nc1_pinv", "SELECT nc1_pinv(feature, label) RESPECT NULLS OVER () FROM f"),
        ("VARCHAR(3)", "SELECT CAST('abcdef' AS VARCHAR(3))"),
        ("CHAR(1)", "SELECT 'abc'::CHAR(1)"),
        ("FLOAT(53)", "SELECT CAST(0.1 AS FLOAT(53))"),
        ("types of", "SELECT a FROM (SELECT 1.5) AS t(a INT)"),
        ("MATERIALIZED", "CREATE MATERIALIZED VIEW v AS SELECT 1"),
        ("TABLESAMPLE", "EXPLAIN SELECT count(*) FROM f TABLESAMPLE (10 PERCENT)"),
        ("TABLESAMPLE", "CREATE VIEW v AS SELECT count(*) FROM f TABLESAMPLE (10 PERCENT)"),
        ("TABLESAMPLE", "SELECT 1 WHERE EXISTS (WITH t AS (SELECT * FROM f TABLESAMPLE (1 PERCENT)) SELECT * FROM t)"),
        ("WITH ROLLUP", "COPY (SELECT label FROM f GROUP BY label WITH ROLLUP) TO '/nowhere/x.csv'"),
    ] {
        let error = run(sql).expect_err(sql);
        let found = error.fact("clause").unwrap_or_default();
        assert!(error.kind() == ErrorKind::Usage && found.contains(clause), "{sql}: {error}");
        assert!(error.advice().is_some_and(|help| !help.is_empty()), "{sql}");
    }
}

#[test]
fn what_is_heeded_is_not_refused() {
    for (rows, sql) in [
        (11, "SELECT label, count(*) FROM f GROUP BY ROLLUP (label)"),
        (11, "SELECT label, count(*) FROM f GROUP BY GROUPING SETS ((label), ())"),
        (3, "SELECT DISTINCT ON (split) split, label FROM f ORDER BY split, label"),
        (3, "SELECT split FROM f QUALIFY row_number() OVER (PARTITION BY split ORDER BY label) = 1"),
        (1, "SELECT sum(label) OVER w FROM f WINDOW w AS (PARTITION BY split ORDER BY label) LIMIT 1"),
        (10, "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 10) SELECT n FROM t LIMIT 10"),
        (1, "SELECT first_value(label) IGNORE NULLS OVER (ORDER BY label) FROM f LIMIT 1"),
        (
            1,
            "SELECT count(DISTINCT label), sum(label) FILTER (WHERE label > 3), array_agg(label ORDER BY epoch) FROM f",
        ),
        (1, "SELECT CAST('abcdef' AS VARCHAR), CAST(0.1 AS DOUBLE), CAST(1 AS DECIMAL(10, 2))"),
        (2, "SELECT * EXCLUDE (feature) FROM f LIMIT 2"),
        (1, "CREATE VIEW v AS SELECT 1 AS a; SELECT a FROM v"),
        (2, "SELECT 1 AS a UNION ALL SELECT 0 ORDER BY 1"),
    ] {
        assert_eq!(run(sql).unwrap_or_else(|error| panic!("{sql}: {error}")), rows, "{sql}");
    }
}

#[test]
fn a_cast_of_a_label_makes_no_second_column_of_a_name() {
    let cast = |metric: &str, kind: &str| format!("{metric}(feature, CAST(label AS {kind}))");
    for (first, second) in
        [("nc1_pinv", "nc1_pinv"), ("nc1_pinv", "nc1_vci"), ("nc1_pinv", "nc_state"), ("nc1_cdnv", "nc1_cdnv")]
    {
        let (first, second) = (cast(first, "INT"), cast(second, "BIGINT"));
        assert_eq!(run(&format!("SELECT {first} AS a, {second} AS b FROM f")).unwrap(), 1);
        assert_eq!(run(&format!("SELECT {first}, {second} FROM f GROUP BY split")).unwrap(), 3);
        assert_eq!(run(&format!("SELECT {first} AS a, {second} AS b FROM f HAVING {first} > 0")).unwrap(), 1);
        assert!(
            run(&format!(
                "SELECT {first} OVER (PARTITION BY split) AS a, {second} OVER (PARTITION BY split) AS b FROM f LIMIT 1"
            ))
            .is_ok()
        );
    }
    assert_eq!(
        run("SELECT nc1_pinv(feature, label), nc1_pinv(feature, label), nc1_cdnv(feature, label) FROM f").unwrap(),
        1
    );
}

#[test]
fn functions_are_shown_with_what_they_are() {
    let of = |filter: &str| run(&format!("SHOW FUNCTIONS {filter}")).unwrap();
    let ours = nckit::sql::functions();
    for function in ours {
        assert_eq!(of(&format!("LIKE '{}'", function.name.replace('_', "\\_"))), 1, "{}", function.name);
        let summary = function.summary.replace('\'', "''");
        let signature = function.signature.replace('\'', "''");
        let told = format!(
            "function_name = '{}' AND description = '{summary}' AND syntax_example = '{signature}'",
            function.name
        );
        assert_eq!(of(&format!("WHERE {told}")), 1, "{}", function.name);
        // One query each is slow; the others are told by the same code.
        if function.name.starts_with("nc2") {
            break;
        }
    }
    assert!(of("") > ours.len() + 100);
    assert!(of("ILIKE 'NC1%'") >= 10);
    assert_eq!(of("LIKE 'x'' OR true --'"), 0);
}
