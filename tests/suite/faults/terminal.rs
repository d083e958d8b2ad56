//! Text from outside that would command a terminal, wherever it is shown.

use std::fs;

use super::{Place, ints, said, vectors};

/// Colours, a cleared screen, a title, text that runs backwards, text that is not seen, further lines.
const HOSTILE: &str = "zz\u{1b}[31m\u{9b}2J\u{1b}]0;x\u{7}\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}\nerror: y";

fn commands(text: &str) -> bool {
    let plain =
        |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{2066}\u{200b}\u{2028}\u{feff}\u{e0041}".contains(c));
    !text.chars().all(plain)
}

#[test]
fn fault_48_no_text_from_outside_commands_a_terminal() {
    let place = Place::new();
    let (h, file) = (HOSTILE, format!("{HOSTILE}/a.parquet"));
    place.write(&format!("{h}/a.parquet"), 1, 40, 8, 40);
    place.write(&format!("hive/k={h}/a.parquet"), 1, 40, 8, 40);
    let columns =
        [(h, vectors((0..80_u8).map(f32::from).collect(), 8)), ("label", ints((0..10).map(|i| i % 2).collect()))];
    place.write_columns("column.parquet", &columns, 40);
    place.write_columns(&format!("{h}/several.parquet"), &[(h, columns[0].1.clone()), ("b", columns[0].1.clone())], 40);
    fs::write(place.path(&format!("{h}.ncst")), "no state").unwrap();
    fs::write(place.path(&format!("damaged{h}.parquet")), "no Parquet").unwrap();
    let (state, flag) = (format!("{h}/s.ncst"), format!("--{h}"));
    let damaged = format!("damaged{h}.parquet");
    let all = |text: &str, around: &str| around.replace('%', text);
    let (head, pair, source) = (all(h, "%.npy"), all(h, "%=1"), all(h, "%?%=1"));
    let (fill, broken) = (all(h, "{%}.npy"), all(h, "%.ncst"));
    let mut runs: Vec<Vec<&str>> = vec![
        vec!["accumulate", &file, "-o", &state],
        vec!["accumulate", &file, "-o", &state],
        vec!["accumulate", &file, "-o", &state, "--resume"],
        vec!["accumulate", "column.parquet", "-o", &state, "--extend", "--features", h],
        vec!["verify", &state],
        vec!["verify", &state, "--inputs", "column.parquet"],
        vec!["verify", &state, "--inputs", h],
        vec!["inspect", &state],
        vec!["inspect", &file],
        vec!["inspect", h],
        vec!["inspect", "column.parquet"],
        vec!["inspect", "hive", "--group-by=k"],
        vec!["merge", &state, &state, "-o", "m.ncst"],
        vec!["finish", &state, "--format=table", "-v"],
        vec!["finish", &broken],
        vec!["measure", &file, "--format=table", "-v"],
        vec!["measure", h],
        vec!["measure", &damaged],
        vec!["measure", &damaged, "hive", "--on-bad-file=skip", "--format=table"],
        vec!["measure", "hive", "--group-by=k", "--format=table", "--worst-pairs=3"],
        vec!["measure", "hive", "--group-by=k", "--format=markdown"],
        vec!["measure", "hive", "--group-by", h],
        vec!["measure", "hive", "--where", &pair],
        vec!["measure", "hive", "--features", h],
        vec!["measure", "hive", "--labels", h],
        vec!["measure", "hive", "--metrics", h],
        vec!["measure", "hive", "--option", &pair],
        vec!["measure", "hive", "--head", &head],
        vec!["measure", "hive", "--head", &fill],
        vec!["measure", "hive", "--ood", &source],
        vec!["measure", "hive", "--decisions", h],
        vec!["measure", "hive", "--ignore-label", h],
        vec!["measure", "hive", "--threads", h],
        vec!["measure", "hive", "-o", h],
        vec!["measure", "hive", "-o", &file],
        vec!["measure", "hive", "--dry-run", "--head", h],
        vec!["measure", &flag],
        vec!["measure", &damaged, "--log-format=json"],
        vec!["accumulate", &damaged, "-o", "n.ncst", "--log-format=json"],
        vec![h],
        vec!["bench", h],
    ];
    let statements = [
        format!("SELECT nope FROM '{h}'"),
        format!("SELECT nope FROM 'no/{h}.parquet'"),
        format!("SELECT 1 FROM '{damaged}'"),
        format!("SELECT \"{h}\""),
        format!("SELECT 1 AS \"{h}\""),
        format!("SELECT '{h}' AS x, ['{h}'] AS y, named_struct('{h}', '{h}') AS z"),
        format!("SELECT CAST('{h}' AS INT)"),
        format!("SELECT nc1_pinv(feature, label, '{h}') FROM 'hive'"),
        format!("SELECT nc3_cos_mean(feature, label, '{h}.npy') FROM 'hive'"),
        format!("EXPLAIN SELECT 1 AS \"{h}\" FROM 'hive'"),
        format!("SELECT {h}"),
        format!("SET nc.centring = '{h}'"),
        format!("SHOW \"{h}\""),
        format!("COPY (SELECT 1) TO '{h}/no/x.csv'"),
        format!("SELECT max(\"{h}\") FROM 'column.parquet'"),
        "SELECT k FROM 'hive'".to_owned(),
        "DESCRIBE 'column.parquet'".to_owned(),
    ];
    if cfg!(feature = "sql") {
        runs.extend(statements.iter().map(|text| vec!["sql", "--allow-write", "--format=table", "-c", text.as_str()]));
        runs.push(vec!["sql", "-c", "SELECT 1", "--param", &pair]);
        runs.push(vec!["sql", "-c", "SELECT 1", "--table", &source]);
        runs.push(vec!["sql", "-f", h]);
        runs.push(vec!["sql", "--list", h]);
    }
    for run in &runs {
        let output = place.run(run);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(!commands(&text) && !commands(&said(&output)), "{run:?}: {text:?} {:?}", said(&output));
        // Nor can a name make a line that looks like one of ours.
        assert!(!format!("{text}{}", said(&output)).lines().any(|line| line.starts_with("error: y")), "{run:?}");
    }
    // What is for programs keeps every character.
    assert!(place.path(&state).exists());
    let records = place.succeed(&["measure", "hive", "--group-by=k", "--metrics=nc1_trace_ratio", "-q"]);
    let record: serde_json::Value = serde_json::from_str(&records).unwrap();
    assert_eq!(record["k"], h);
    place.succeed(&["measure", "hive", "--group-by=k", "--metrics=nc1_trace_ratio", "-q", "-o", "x.csv"]);
    assert!(String::from_utf8(place.read("x.csv")).unwrap().contains(h));
}
