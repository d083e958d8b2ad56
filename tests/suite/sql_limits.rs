//! Queries that are too deep, too large or too long end, and say why.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cli::nckit;

fn sql(text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.sql");
    fs::write(&file, text).unwrap();
    let output = nckit(&["sql", "--format", "csv", "-f", file.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap() + &String::from_utf8_lossy(&output.stdout);
    (output.status.code(), said)
}

fn chain(one: &str, between: &str, times: usize) -> String {
    vec![one; times].join(between)
}

#[test]
fn deep_statements_are_refused_and_no_stack_ends() {
    let from = "FROM generate_series(1, 3) t(a)";
    for deep in [
        format!("SELECT a {from} WHERE {}", chain("a = 1", " OR ", 8_000)),
        format!("SELECT a {from} WHERE {}", chain("a > 0", " AND ", 10_000)),
        format!("SELECT {} {from}", chain("a", " + ", 20_000)),
        format!("SELECT a{} {from}", "::INT".repeat(20_000)),
        format!("SELECT {}a{} {from}", "(".repeat(20_000), ")".repeat(20_000)),
        chain("SELECT 1 AS a", " UNION ALL ", 3_000),
        chain("SELECT 1 AS a", " EXCEPT ", 3_000),
        format!("SELECT 1 FROM {}", chain("generate_series(1, 1)", " CROSS JOIN ", 3_000)),
        format!("SELECT 1 FROM {}1{}", "(SELECT ".repeat(3_000), ") t".repeat(3_000)),
    ] {
        let (code, said) = sql(&deep);
        assert!(code == Some(2) && said.contains("too deep"), "{code:?} {}: {said:.300}", &deep[..60]);
        assert!(said.contains("help: "), "{said:.300}");
    }
}

#[test]
fn statements_as_deep_as_they_may_be_run() {
    let from = "FROM generate_series(1, 3) t(a)";
    for (rows, deep) in [
        (1, format!("SELECT a {from} WHERE {}", chain("a = 1", " OR ", 400))),
        (3, format!("SELECT a {from} WHERE {}", chain("a > 0", " AND ", 400))),
        (
            1,
            format!(
                "SELECT a {from} WHERE {}",
                (0..400).map(|n| format!("a = {}", n + 3)).collect::<Vec<_>>().join(" OR ")
            ),
        ),
        (3, format!("SELECT {} AS s {from}", chain("a", " + ", 990))),
        (199, chain("SELECT 1 AS a", " UNION ALL ", 199)),
        (
            3,
            format!(
                "SELECT a {from} WHERE a IN ({})",
                (1..5_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
            ),
        ),
    ] {
        let (code, said) = sql(&deep);
        assert_eq!((code, said.lines().count()), (Some(0), rows + 1), "{}: {said:.500}", &deep[..60]);
    }
}

/// The most memory that a child held of its own, and how it ended.
fn peak(mut child: Child) -> (u64, Option<i32>) {
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        if let Some(ended) = child.try_wait().unwrap() {
            return (most, ended.code());
        }
        let now = fs::read_to_string(&status).unwrap_or_default();
        let held =
            now.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        most = most.max(1024 * held.unwrap_or(0_u64));
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nckit"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_that_of_the_whole_query() {
    let limit = 96_u64 << 20;
    let many = "FROM generate_series(1, 12000000) t(a)";
    for (codes, query) in [
        (&[75][..], format!("SELECT length(string_agg(lpad(CAST(a AS VARCHAR), 30), ',')) {many}")),
        (&[75], format!("SELECT array_length(array_agg(a)) {many}")),
        (&[75], "SELECT array_length(array_repeat(1.5, 400000000))".to_owned()),
        (&[75], "SELECT length(repeat('x', 1900000000))".to_owned()),
        (&[75], format!("SELECT count(*) FROM (SELECT a, sum(a) OVER (ORDER BY a ROWS BETWEEN 1 PRECEDING AND UNBOUNDED FOLLOWING) s {many}) WHERE s > 0")),
        (&[75], format!("SELECT count(*) FROM (SELECT a {many}) l JOIN (SELECT a + 1 AS a {many}) r USING (a)")),
        (&[75], format!("SELECT max(b) FROM (SELECT a, -a AS b {many} ORDER BY b LIMIT 9000000)")),
        // It goes on in files.
        (&[0], "SELECT max(s) FROM (SELECT lpad(CAST(a AS VARCHAR), 90) AS s, row_number() OVER (ORDER BY -a) AS n FROM generate_series(1, 1500000) t(a)) WHERE n > 0".to_owned()),
    ] {
        let (most, code) = peak(start(&["sql", "-c", &query, "--memory", "96MiB", "--threads", "2", "-q"]));
        assert!(codes.contains(&code.unwrap_or(-1)), "{query}: {code:?}, {} MiB", most >> 20);
        // What is beyond the limit, a quarter and 64 MiB ends the query as soon as it is seen; a value of gigabytes grows
        // fast, and on a busy machine it is seen late.
        assert!(most < limit + limit / 4 + (64 << 20) + (1 << 30), "{query}: {} MiB", most >> 20);
    }
}

#[test]
fn states_are_accounted_where_they_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.parquet");
    let file = file.to_str().unwrap();
    let make =
        "SELECT epoch, nc_state(feature, label) AS s FROM 'tests/data/digits/hive' WHERE layer = 'h3' GROUP BY epoch";
    assert!(nckit(&["sql", "-c", make, "-o", file]).status.success());
    let merge = format!("SELECT nc_merge(s) FROM '{file}'");
    assert!(nckit(&["sql", "-c", &format!("SET nc.memory = 10000000; {merge}")]).status.success());
    let output = nckit(&["sql", "-c", &format!("SET nc.memory = 20000; {merge}")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(75) && said.contains("MiB") && said.contains("help: "), "{said}");
    let output = nckit(&["sql", "-c", "SET datafusion.runtime.memory_limit = '1G'"]);
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("--memory"));
}

/// Plans that do not look up for long, and one whose output nobody reads.
const ENDLESS: [&str; 4] = [
    "SELECT count(*) AS n FROM generate_series(1, 100000000) a CROSS JOIN generate_series(1, 100000000) b",
    "SELECT count(*) AS n FROM generate_series(1, 3000000) a(x) JOIN generate_series(1, 3000000) b(x) ON sqrt(a.x * b.x) < 0",
    "SELECT sum(x) AS n FROM (SELECT unnest(range(1, 1000)) AS x FROM generate_series(1, 100000000))",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n > 0) SELECT max(n) AS n FROM t",
];

fn ends_within_a_second(child: &mut Child, signal: &str) -> Option<i32> {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let asked = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        // A second is promised; machines that build beside the tests are slow.
        if asked.elapsed() > Duration::from_secs(4) {
            let _ = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_any_plan_and_leaves_nothing() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        for endless in ENDLESS {
            let folder = tempfile::tempdir().unwrap();
            let output = folder.path().join("a.csv");
            let mut child = start(&["sql", "-c", endless, "-o", output.to_str().unwrap(), "--memory", "4GiB"]);
            wait_for_files(folder.path(), &mut child);
            std::thread::sleep(Duration::from_millis(300));
            assert_eq!(ends_within_a_second(&mut child, signal), Some(code), "{endless}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{endless}");
        }
    }
}

/// The temporary file is there once the query runs.
fn wait_for_files(folder: &Path, child: &mut Child) {
    while fs::read_dir(folder).unwrap().count() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_query_whose_output_nobody_reads() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_nckit"))
            .args(["sql", "-c", "SELECT value FROM generate_series(1, 1000000000)"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(ends_within_a_second(&mut child, signal), Some(code));
    }
}
