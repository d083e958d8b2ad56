//! Outputs: whole or not there, one file each, and no harm to what others have beside them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::{Place, said};

/// Metrics of a file in no time.
const MEASURE: [&str; 5] = ["measure", "in/00.parquet", "--metrics=nc1_trace_ratio", "--threads=1", "-q"];

fn measure<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&MEASURE[..], more].concat()
}

/// Runs a line of the shell, in which `$0` is the program.
fn shell(place: &Place, line: &str) -> Output {
    Command::new("sh").args(["-c", line, env!("CARGO_BIN_EXE_nckit")]).current_dir(place.0.path()).output().unwrap()
}

/// Runs what must not wait for anybody.
fn at_once(place: &Place, arguments: &[&str]) -> Output {
    let mut child = place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(30) {
            child.kill().unwrap();
            panic!("{arguments:?} waits");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

/// Waits until a file is there that a running process makes.
#[cfg(feature = "sql")]
fn wait_for(place: &Place, name: &str, child: &mut std::process::Child) {
    let start = Instant::now();
    while !place.path(name).exists() {
        if start.elapsed() > Duration::from_mins(1) || child.try_wait().unwrap().is_some() {
            child.kill().unwrap();
            panic!("there never was {name}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn make_pipe(place: &Place, name: &str) {
    assert!(Command::new("mkfifo").arg(place.path(name)).status().unwrap().success());
}

/// A statement that fails after most of its rows.
#[cfg(feature = "sql")]
const FAILING: &str =
    "SELECT CAST(CASE WHEN value = 29999 THEN 'x' ELSE '1' END AS INT) AS x FROM generate_series(0, 30000)";

#[cfg(feature = "sql")]
#[test]
fn fault_40_a_copy_that_fails_leaves_what_was_there() {
    let place = Place::new();
    let copy = |code: i32, statement: &str| place.fail(code, &["sql", "--allow-write", "-c", statement]);
    for name in ["new.csv", "new.parquet", "new.json", "new", "old.csv", "old.parquet"] {
        for statement in [
            format!("COPY ({FAILING}) TO '{name}' STORED AS {}", if name == "new" { "CSV" } else { &name[4..] }),
            format!("EXPLAIN ANALYZE COPY ({FAILING}) TO '{name}'"),
            format!("PREPARE p AS COPY ({FAILING}) TO '{name}'; EXECUTE p"),
            format!("COPY (SELECT x % 2 AS k, x FROM ({FAILING})) TO 'new' STORED AS CSV PARTITIONED BY (k)"),
        ] {
            fs::write(place.path("old.csv"), "old").unwrap();
            fs::write(place.path("old.parquet"), "old").unwrap();
            let output = place.run(&["sql", "--allow-write", "--overwrite", "-c", &statement]);
            assert!(!output.status.success(), "{statement}");
            assert_eq!(place.files(), ["old.csv", "old.parquet"], "{statement}");
            assert!(place.read("old.csv") == b"old" && place.read("old.parquet") == b"old", "{statement}");
        }
    }
    // Rows that are added to others one by one cannot be whole.
    fs::create_dir(place.path("full")).unwrap();
    fs::write(place.path("full/part.csv"), "x\n1\n").unwrap();
    let said = copy(73, "COPY (SELECT 1 AS x) TO 'full/' STORED AS CSV");
    assert!(said.contains("the output folder is not empty"), "{said}");
    let table = "CREATE EXTERNAL TABLE t (x INT) STORED AS PARQUET LOCATION 'full/'";
    let said = copy(2, &format!("{table}; INSERT INTO t SELECT 2"));
    assert!(said.contains("COPY (SELECT …)"), "{said}");
    assert_eq!(fs::read_dir(place.path("full")).unwrap().count(), 1);
    let sum = "CREATE TABLE m AS SELECT 1 AS x; INSERT INTO m SELECT 2; SELECT sum(x) AS x FROM m";
    let found = place.succeed(&["sql", "--allow-write", "-c", sum]);
    assert!(found.ends_with("{\"x\":3}\n"), "{found}");
}

#[cfg(feature = "sql")]
#[test]
fn fault_40_a_copy_that_succeeds_is_where_it_should_be() {
    let place = Place::new();
    let copy = |statement: &str| place.succeed(&["sql", "--allow-write", "--overwrite", "-c", statement]);
    let rows = "(SELECT value AS x, value % 3 AS k FROM generate_series(1, 9))";
    for target in ["a b*[1]?#%'é.csv", "./x.csv", "dir.csv/", "dir", "x.csv"] {
        let path = target.replace('\'', "''");
        assert_eq!(copy(&format!("COPY {rows} TO '{path}' STORED AS CSV")), "{\"count\":9}\n", "{target}");
        assert_eq!(place.path(target).is_file(), !target.starts_with("dir"), "{target}");
    }
    let said = place.fail(73, &["sql", "--allow-write", "-c", &format!("COPY {rows} TO 'x.csv'")]);
    assert!(said.contains("--overwrite replaces it"), "{said}");
    let absolute = place.path("y.csv");
    copy(&format!("COPY {rows} TO 'file://{}'", absolute.display()));
    copy(&format!("COPY {rows} TO '{}'", place.path("z.parquet").display()));
    copy(&format!("COPY {rows} TO 'parts' STORED AS CSV PARTITIONED BY (k)"));
    copy(&format!("COPY (SELECT * FROM {rows} WHERE false) TO 'none' STORED AS CSV PARTITIONED BY (k)"));
    assert!(place.path("none").is_dir());
    assert_eq!(place.read("y.csv"), place.read("x.csv"));
    let parts: Vec<_> = fs::read_dir(place.path("parts")).unwrap().map(|part| part.unwrap().file_name()).collect();
    assert_eq!(parts.len(), 3, "{parts:?}");
    let count = place.succeed(&["sql", "-c", "SELECT sum(x) AS n FROM 'z.parquet'"]);
    assert_eq!(count, "{\"n\":45}\n");
    let hidden: Vec<String> = place.files().into_iter().filter(|name| name.starts_with('.')).collect();
    assert!(hidden.is_empty(), "{hidden:?}");
    // Nothing is made where a plan is only shown.
    copy(&format!("EXPLAIN COPY {rows} TO 'shown.csv'"));
    assert!(!place.path("shown.csv").exists());
}

#[cfg(feature = "sql")]
#[test]
fn fault_40_an_interrupted_copy_leaves_nothing() {
    let place = Place::new();
    let endless = "COPY (SELECT a.value FROM generate_series(1, 100000000) a CROSS JOIN generate_series(1, 100) b)
        TO 'x.csv'";
    let mut child = place.command(&["sql", "--allow-write", "-c", endless]).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&place, ".x.csv.nckit.dir", &mut child);
    std::thread::sleep(Duration::from_millis(200));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(place.files().is_empty(), "{:?}", place.files());
    // What a killed one leaves is no output, and gone with the next.
    let mut child = place.command(&["sql", "--allow-write", "-c", endless]).spawn().unwrap();
    wait_for(&place, ".x.csv.nckit.dir", &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("x.csv").exists());
    place.succeed(&["sql", "--allow-write", "-c", "COPY (SELECT 1 AS x) TO 'x.csv'"]);
    assert_eq!(place.files(), ["x.csv"]);
}

#[test]
fn fault_41_a_result_that_nobody_gets_is_an_error_or_in_its_file() {
    let place = Place::new();
    place.archive(1, 1);
    let run = measure(&[]).join(" ");
    for (line, code) in [
        (format!("\"$0\" {run} >&-"), 74),
        (format!("\"$0\" {run} -o a.csv >&-"), 0),
        (format!("\"$0\" {run} -o b.csv --format csv >&-"), 74),
        (format!("\"$0\" {run} 1</dev/null"), 74),
        (format!("\"$0\" {run} >/dev/full"), 74),
        (format!("\"$0\" {run} --dry-run >&-"), 74),
        (format!("\"$0\" {run} >/dev/null"), 0),
        (format!("\"$0\" {run} </dev/null >&- 2>&-"), 74),
        (format!("\"$0\" {run} --progress json 2>/dev/full"), 0),
        (format!("\"$0\" {run} 2>&-"), 0),
        ("\"$0\" inspect in >&-".to_owned(), 74),
        ("\"$0\" --help >&-".to_owned(), 74),
        ("\"$0\" --help >/dev/full".to_owned(), 74),
        ("\"$0\" --version >&-".to_owned(), 74),
        ("\"$0\" accumulate in -o x.ncst -q >&-".to_owned(), 0),
        ("\"$0\" verify x.ncst >&-".to_owned(), 74),
        ("\"$0\" verify x.ncst >/dev/full".to_owned(), 74),
    ] {
        let output = shell(&place, &line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", said(&output));
    }
    assert!(place.path("a.csv").exists() && !place.path("b.csv").exists());
    // A program whose streams are all /dev/null, opened for both reading and writing, has an output.
    let null = || fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    let mut quiet = place.command(&MEASURE);
    assert!(quiet.stdin(null()).stdout(null()).stderr(null()).status().unwrap().success());
}

#[cfg(feature = "sql")]
#[test]
fn fault_41_files_are_written_when_nobody_reads_standard_output() {
    let place = Place::new();
    let many = "SELECT value FROM generate_series(1, 300000)";
    let lines = [
        format!("\"$0\" sql -c '{many}' --format csv -o a.csv | true"),
        format!("\"$0\" sql -c '{many}' --format json -o b.parquet | head -c 5"),
        format!("\"$0\" sql --allow-write -c \"{many}; COPY ({many}) TO 'c.csv'\" | true"),
        format!("\"$0\" sql --allow-write --format json -c \"COPY ({many}) TO 'd.csv'\" | true"),
        format!("\"$0\" sql --allow-write -c \"EXPLAIN ANALYZE COPY ({many}) TO 'e.csv'\" | true"),
    ];
    for line in &lines {
        let output = shell(&place, line);
        assert!(output.status.success() && said(&output).is_empty(), "{line}: {}", said(&output));
    }
    assert_eq!(place.files(), ["a.csv", "b.parquet", "c.csv", "d.csv", "e.csv"]);
    for name in ["a.csv", "b.parquet", "c.csv", "d.csv", "e.csv"] {
        let count = place.succeed(&["sql", "-c", &format!("SELECT count(*) AS n FROM '{name}'")]);
        assert_eq!(count, "{\"n\":300000}\n", "{name}");
    }
    for line in ["\"$0\" sql -c 'SELECT 1' >&-", "\"$0\" sql --list >&-", "\"$0\" sql -c 'SELECT 1' 1</dev/null"] {
        assert_eq!(shell(&place, line).status.code(), Some(74), "{line}");
    }
}

#[test]
fn fault_42_two_outputs_are_two_files() {
    let place = Place::new();
    place.archive(1, 1);
    fs::write(place.path("old.csv"), "old").unwrap();
    fs::hard_link(place.path("old.csv"), place.path("hard.csv")).unwrap();
    symlink("old.csv", place.path("link.csv")).unwrap();
    symlink(".", place.path("here")).unwrap();
    let pairs: [[&str; 4]; 7] = [
        ["-o", "b.csv", "-o", "b.csv"],
        ["-o", "b.csv", "-o", "./b.csv"],
        ["-o", "b.csv", "--per-class", "here/./b.csv"],
        ["--per-class", "here/b.csv", "-o", "b.csv"],
        ["-o", "b.parquet", "--scores", "./b.parquet"],
        ["-o", "old.csv", "-o", "hard.csv"],
        ["-o", "link.csv", "-o", "old.csv"],
    ];
    let before = place.files();
    // Not even the input is looked at.
    fs::rename(place.path("in"), place.path("away")).unwrap();
    for pair in pairs {
        let text = place.fail(2, &measure(&[&pair[..], &["--overwrite"]].concat()));
        assert!(text.contains("one file"), "{text}");
        #[cfg(feature = "sql")]
        if pair.iter().all(|word| !word.starts_with("--")) {
            place.fail(2, &[&["sql", "-c", "SELECT 1 FROM 'in'", "--overwrite"][..], &pair].concat());
        }
    }
    fs::rename(place.path("away"), place.path("in")).unwrap();
    assert_eq!(place.files(), before);
    assert_eq!(place.read("old.csv"), b"old");
}

#[test]
fn fault_42_no_output_is_an_input() {
    let place = Place::new();
    place.archive(2, 1);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    fs::hard_link(place.path("in/00.parquet"), place.path("hard.parquet")).unwrap();
    symlink("in/01.parquet", place.path("link.parquet")).unwrap();
    let head: [(&str, super::ArrayRef); 1] =
        [("weight", super::vectors((0..32_u8).map(|i| f32::from(i % 5)).collect(), 8))];
    place.write_columns("head.parquet", &head, 40);
    let bytes = |names: &[&str]| names.iter().map(|name| place.read(name)).collect::<Vec<_>>();
    let all = ["in/00.parquet", "in/01.parquet", "x.ncst", "head.parquet"];
    let before = bytes(&all);
    let runs: [&[&str]; 11] = [
        &["measure", "in", "-o", "in/01.parquet"],
        &["measure", "in", "-o", "hard.parquet"],
        &["measure", "in", "--per-class", "link.parquet"],
        &["measure", "in", "--scores", "link.parquet"],
        &["measure", "in/00.parquet", "--decisions", "in/01.parquet", "-o", "link.parquet"],
        &["measure", "in/00.parquet", "--ood", "in/01.parquet", "-o", "in/01.parquet"],
        &["measure", "in", "--head", "head.parquet", "-o", "head.parquet"],
        &["accumulate", "in", "-o", "in/00.parquet"],
        &["merge", "x.ncst", "-o", "./x.ncst"],
        &["finish", "x.ncst", "--head", "head.parquet", "-o", "head.parquet"],
        &["finish", "x.ncst", "--decisions", "in", "-o", "hard.parquet"],
    ];
    for run in runs {
        let text = place.fail(2, &[run, &["--overwrite"]].concat());
        assert!(text.contains("is one of the inputs"), "{run:?}: {text}");
    }
    #[cfg(feature = "sql")]
    for (statement, output) in [
        ("SELECT label FROM 'in'", "in/00.parquet"),
        ("CREATE VIEW v AS SELECT label FROM 'in/*.parquet'; SELECT label FROM v UNION ALL SELECT 1", "hard.parquet"),
        ("SELECT nc3_cos_mean(feature, label, 'head.parquet') FROM 'in'", "head.parquet"),
        ("SELECT 1 AS x WHERE 2 IN (SELECT label FROM 'in')", "link.parquet"),
        ("COPY (SELECT label FROM 'in') TO 'in/00.parquet'", ""),
        ("COPY (SELECT label FROM 'hard.parquet') TO 'in/00.parquet'", ""),
    ] {
        let files: &[&str] = if output.is_empty() { &[] } else { &["-o", output] };
        let run = [&["sql", "--allow-write", "--overwrite", "-c", statement][..], files].concat();
        let text = place.fail(2, &run);
        assert!(text.contains("is one of the inputs"), "{run:?}: {text}");
    }
    assert!(bytes(&all) == before);
}

#[test]
fn fault_42_one_of_many_processes_writes_an_output() {
    let place = Place::new();
    place.write("in/00.parquet", 1, 60_000, 32, 20_000);
    for (round, flags) in
        [&["-o", "x.csv"][..], &["-o", "x.csv", "--overwrite"]].into_iter().cycle().take(6).enumerate()
    {
        let run = measure(flags);
        let children: Vec<_> =
            (0..5).map(|_| place.command(&run).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()).collect();
        let codes: Vec<Option<i32>> = children
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().unwrap();
                let text = said(&output);
                let told =
                    ["another process is writing this output", "the output exists"].map(|what| text.contains(what));
                assert!(output.status.success() || told.contains(&true), "{text}");
                output.status.code()
            })
            .collect();
        let winners = codes.iter().filter(|code| **code == Some(0)).count();
        assert!(codes.iter().all(|code| matches!(code, Some(0 | 73 | 75))), "{codes:?}");
        // To replace it, several may come one after the other.
        assert!(winners == 1 || (winners > 1 && flags.len() > 2), "round {round}: {codes:?}");
        assert_eq!(place.files(), ["in", "x.csv"]);
        fs::remove_file(place.path("x.csv")).unwrap();
    }
}

#[test]
fn fault_43_what_is_replaced_leaves_its_mode_and_owner() {
    let place = Place::new();
    place.archive(1, 1);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    let files = ["a.csv", "b.parquet", "c.csv", "x.ncst", "y.ncst", "d.csv", "e.parquet"];
    let mut given = false;
    for name in &files {
        if *name != "x.ncst" {
            fs::write(place.path(name), "old").unwrap();
        }
        given |= std::os::unix::fs::chown(place.path(name), Some(7), Some(8)).is_ok();
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(0o640)).unwrap();
    }
    let outputs = ["-o", "a.csv", "--scores", "b.parquet", "--per-class", "c.csv", "--overwrite"];
    place.succeed(&measure(&outputs));
    place.succeed(&["merge", "x.ncst", "-o", "y.ncst", "--overwrite", "-q"]);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--overwrite", "--checkpoint-every=0s", "-q"]);
    #[cfg(feature = "sql")]
    {
        place.succeed(&["sql", "-c", "SELECT 1", "-o", "d.csv", "--overwrite"]);
        place.succeed(&["sql", "--allow-write", "--overwrite", "-c", "COPY (SELECT 1) TO 'e.parquet'"]);
    }
    for name in files {
        let metadata = place.path(name).metadata().unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o640, "{name}");
        assert!(!given || (metadata.uid(), metadata.gid()) == (7, 8), "{name}");
        assert!(cfg!(not(feature = "sql")) || place.read(name) != b"old", "{name}");
    }
}

#[test]
fn fault_44_a_full_disk_is_74_for_every_output() {
    let place = Place::new();
    place.write("in/00.parquet", 1, 4000, 96, 4000);
    fs::create_dir(place.path("small")).unwrap();
    // A limit of the size of files is a full disk, too; 4 blocks of 512 bytes.
    let limited = |run: &[&str]| {
        let words: Vec<String> = run.iter().map(|word| format!("'{}'", word.replace('\'', "'\\''"))).collect();
        shell(&place, &format!("ulimit -f 4; exec \"$0\" {}", words.join(" ")))
    };
    let mut runs: Vec<Vec<&str>> = vec![
        measure(&["--scores", "small/a.parquet"]),
        vec!["measure", "in", "--group-by=label", "-o", "small/a.json", "-q"],
        vec!["accumulate", "in", "-o", "small/a.ncst", "--overwrite", "-q"],
    ];
    let many = "SELECT value, value * 3 AS y, random() AS z FROM generate_series(1, 30000)";
    let copies = ["csv", "json", "parquet"].map(|kind| format!("COPY ({many}) TO 'small/a.{kind}'"));
    let parts = format!("COPY (SELECT value % 2 AS k, * FROM ({many})) TO 'small/a' STORED AS CSV PARTITIONED BY (k)");
    if cfg!(feature = "sql") {
        for name in ["small/a.csv", "small/a.json", "small/a.ndjson", "small/a.md", "small/a.parquet"] {
            runs.push(vec!["sql", "-c", many, "-o", name]);
        }
        runs.extend(
            copies.iter().chain([&parts]).map(|copy| vec!["sql", "--allow-write", "--overwrite", "-c", copy.as_str()]),
        );
    }
    let check = |run: &[&str], output: &Output| {
        assert_eq!(output.status.code(), Some(74), "{run:?}: {}", said(output));
        let left = fs::read_dir(place.path("small")).unwrap().map(|entry| entry.unwrap().file_name());
        // A state with nothing in it yet may be small enough.
        let ours = ["filler", "a.ncst", "a.ncst.lock"];
        let left: Vec<_> = left.filter(|name| !ours.iter().any(|ours| name == ours)).collect();
        assert!(left.is_empty(), "{run:?}: {left:?}");
    };
    for run in &runs {
        check(run, &limited(run));
    }
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
        .arg(place.path("small"))
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("partly skipped: no file system can be mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        for run in &runs {
            check(run, &place.run(run));
        }
        let mut filler = fs::File::create(place.path("small/filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok() {}
        for run in &runs {
            check(run, &place.run(run));
        }
    });
    // Another test that starts a program may hold its files for a moment.
    assert!(Command::new("umount").arg("-l").arg(place.path("small")).status().unwrap().success());
    outcome.unwrap();
}

#[cfg(debug_assertions)]
#[test]
fn fault_44_dying_at_any_step_leaves_the_old_output_or_the_new() {
    let place = Place::new();
    place.archive(1, 1);
    place.succeed(&measure(&["-o", "new.csv"]));
    let new = place.read("new.csv");
    let copy = "COPY (SELECT 1 AS x) TO 'x.csv'";
    let mut runs = vec![measure(&["-o", "x.csv", "--overwrite"])];
    if cfg!(feature = "sql") {
        runs.push(vec!["sql", "--allow-write", "--overwrite", "-c", copy]);
    }
    for run in runs {
        for point in ["create", "write", "sync", "rename", "sync_directory"] {
            for how in ["full", "abort"] {
                fs::write(place.path("x.csv"), "old").unwrap();
                let wish = format!("{point}:1:{how}");
                let output = place.command(&run).env("NCKIT_FAIL", &wish).output().unwrap();
                // DataFusion does its writing itself.
                let passed_by = run[0] == "sql" && point == "write";
                let code = if how == "full" { Some(74) } else { None };
                assert_eq!(output.status.code(), if passed_by { Some(0) } else { code }, "{wish}: {}", said(&output));
                let found = place.read("x.csv");
                let renamed = passed_by || point == "sync_directory";
                assert_eq!(found == b"old", !renamed, "{run:?} {wish}");
                assert!(!renamed || found == new || found == b"x\n1\n");
                // Whatever was left is gone with the next run.
                place.succeed(&run);
                assert_eq!(place.files(), ["in", "new.csv", "x.csv"], "{run:?} {wish}");
            }
        }
    }
}

#[test]
fn fault_45_files_of_others_are_left_alone() {
    let place = Place::new();
    place.archive(1, 1);
    let theirs = [".x.ncst.1-0.tmp", ".x.ncst.notes.tmp", ".x.ncst.y.ncst.2-0.tmp", ".x.csv.1-0.tmp", "x.ncst.tmp"];
    for name in &theirs {
        fs::write(place.path(name), "theirs").unwrap();
    }
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q", "--checkpoint-every=0s"]);
    place.succeed(&["merge", "x.ncst", "-o", "y.ncst", "-q"]);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--resume", "-q"]);
    place.succeed(&measure(&["-o", "x.csv"]));
    for name in theirs {
        assert_eq!(place.read(name), b"theirs", "{name}");
    }
    // Nor is what happens to lie in the way written into or through.
    symlink("x.csv", place.path(".z.csv.nckit.tmp")).unwrap();
    let before = place.read("x.csv");
    let text = place.fail(73, &measure(&["-o", "z.csv"]));
    assert!(text.contains(".z.csv.nckit.tmp"), "{text}");
    assert!(place.read("x.csv") == before);
}

#[test]
fn fault_46_pipes_and_devices_are_no_files() {
    let place = Place::new();
    place.archive(1, 1);
    for name in ["p.csv", "p.parquet", "p.ncst", "q.ncst.lock", ".q.csv.nckit.tmp"] {
        make_pipe(&place, name);
    }
    symlink("/dev/null", place.path("null.csv")).unwrap();
    symlink("/dev/full", place.path("full.ncst")).unwrap();
    symlink("p.csv", place.path("link.csv")).unwrap();
    let mut runs: Vec<(i32, Vec<&str>)> = vec![
        (73, measure(&["-o", "p.csv"])),
        (73, measure(&["-o", "link.csv", "--overwrite"])),
        (73, measure(&["--per-class", "null.csv", "--overwrite"])),
        (73, measure(&["--scores", "p.parquet", "--overwrite"])),
        (73, measure(&["-o", "q.csv"])),
        (73, vec!["accumulate", "in", "-o", "p.ncst"]),
        (73, vec!["accumulate", "in", "-o", "p.ncst", "--resume"]),
        (73, vec!["accumulate", "in", "-o", "full.ncst", "--overwrite"]),
        (73, vec!["accumulate", "in", "-o", "q.ncst"]),
        (73, vec!["merge", "p.ncst", "-o", "q.ncst"]),
        (65, vec!["merge", "p.ncst", "-o", "r.ncst"]),
        (65, vec!["finish", "p.ncst"]),
        (65, vec!["verify", "p.ncst"]),
    ];
    if cfg!(feature = "sql") {
        runs.push((73, vec!["sql", "-c", "SELECT 1", "-o", "p.csv", "--overwrite"]));
        runs.push((73, vec!["sql", "--allow-write", "-c", "COPY (SELECT 1) TO 'p.csv'"]));
        runs.push((73, vec!["sql", "--allow-write", "-c", "COPY (SELECT 1) TO 'null.csv'"]));
    }
    for (code, run) in runs {
        let output = at_once(&place, &run);
        assert_eq!(output.status.code(), Some(code), "{run:?}: {}", said(&output));
    }
}

#[test]
fn fault_47_a_lock_is_never_opened_through_a_link() {
    let place = Place::new();
    place.archive(1, 1);
    fs::write(place.path("victim"), "mine").unwrap();
    for (name, target) in [("a", "victim"), ("b", "nowhere"), ("c", "in"), ("d", "d.ncst.lock")] {
        symlink(target, place.path(&format!("{name}.ncst.lock"))).unwrap();
        let state = format!("{name}.ncst");
        for run in [&["accumulate", "in", "-o", &state][..], &["merge", "none.ncst", "-o", &state]] {
            let text = place.fail(73, run);
            assert!(text.contains(&format!("{name}.ncst.lock")), "{text}");
        }
        assert!(!place.path(&state).exists());
    }
    assert_eq!(place.read("victim"), b"mine");
    assert!(!place.path("nowhere").exists());
    assert_eq!(fs::metadata(place.path("victim")).unwrap().len(), 4);
}

#[test]
fn fault_49_places_that_cannot_be_are_found_before_the_first_row() {
    let place = Place::new();
    place.archive(1, 1);
    fs::create_dir(place.path("dir.csv")).unwrap();
    symlink("nowhere", place.path("dangling.csv")).unwrap();
    symlink("loop.csv", place.path("loop.csv")).unwrap();
    fs::rename(place.path("in"), place.path("away")).unwrap();
    let (longest, longer) = ("a".repeat(251) + ".csv", "a".repeat(252) + ".csv");
    for name in ["dir.csv", "new.csv/", "dangling.csv", "loop.csv", "no/such.csv", "away/00.parquet/x.csv", &longer] {
        place.fail(73, &measure(&["-o", name, "--overwrite"]));
        #[cfg(feature = "sql")]
        place.fail(73, &["sql", "-c", "SELECT 1 FROM 'in'", "-o", name, "--overwrite"]);
    }
    fs::rename(place.path("away"), place.path("in")).unwrap();
    place.succeed(&measure(&["-o", &longest]));
    let state = "b".repeat(250) + ".ncst";
    place.succeed(&["accumulate", "in", "-o", &state, "-q"]);
    place.succeed(&["accumulate", "in", "-o", &state, "-q", "--overwrite"]);
    #[cfg(feature = "sql")]
    place.succeed(&["sql", "--allow-write", "--overwrite", "-c", &format!("COPY (SELECT 1) TO '{longest}'")]);
}
