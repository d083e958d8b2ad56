//! Clusters that fail.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::servers::{LIMIT, Servers, wait};
use super::{run, sorted};
use crate::faults::{Place, said};
use crate::rows::Random;

fn begin(place: &Place, servers: &Servers, arguments: &[&str]) -> Child {
    let mut command = place.command(arguments);
    command.args(["--cluster", &servers.address]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until the state at a path holds units.
fn wait_for_units(place: &Place, name: &str) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < LIMIT, "no checkpoint came");
        if place.path(name).exists() {
            let said = String::from_utf8(place.run(&["inspect", name]).stdout).unwrap();
            if !said.is_empty() && !said.contains("not finished: 0 of") {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn damage_is_named_with_its_executor_and_not_tried_again() {
    let place = Place::new();
    place.archive(3, 4);
    let servers = Servers::start(&place, 2);
    // The bytes of a page, behind the header of its row group.
    let mut bytes = place.read("in/01.parquet");
    let middle = bytes.len() / 3;
    bytes[middle..middle + 400].fill(0xff);
    fs::write(place.path("in/01.parquet"), bytes).unwrap();
    let output = run(&place, &servers, &["accumulate", "in", "-o", "x.ncst", "--task-size=1kB"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(65), "{text}");
    for fact in ["in/01.parquet", "row group", "executor", "127.0.0.1:"] {
        assert!(text.contains(fact), "no {fact} in {text}");
    }
}

#[test]
fn a_scheduler_that_is_not_there_is_named() {
    let place = Place::new();
    place.archive(1, 1);
    let text = place.fail(74, &["accumulate", "in", "-o", "x.ncst", "--cluster=df://127.0.0.1:1"]);
    assert!(text.contains("the scheduler does not answer") && text.contains("nckit scheduler"), "{text}");
    let text = place.fail(2, &["accumulate", "in", "-o", "x.ncst", "--cluster=127.0.0.1:1"]);
    assert!(text.contains("df://HOST:PORT"), "{text}");
    assert!(!place.path("x.ncst").exists());
}

#[test]
fn executors_that_are_killed_lose_no_rows_and_count_none_twice() {
    let place = Place::new();
    sorted(&place, "in/a.parquet", (6_000, 64, 300), 20);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    let whole = place.read("whole.ncst");
    let trials = std::env::var("NCKIT_TRIALS").ok().and_then(|number| number.parse().ok()).unwrap_or(3);
    let mut random = Random::new(20);
    let mut servers = Servers::start(&place, 3);
    let mut failed = 0;
    for trial in 0..trials {
        let _ = fs::remove_file(place.path("x.ncst"));
        let run = ["accumulate", "in", "-o", "x.ncst", "--task-size=1kB", "--checkpoint-every=1s"];
        let child = begin(&place, &servers, &run);
        for _ in 0..=random.below(3) {
            std::thread::sleep(Duration::from_millis(random.below(700) as u64));
            let victim = random.below(servers.executors.len());
            servers.executors[victim].kill();
            servers.executors.swap_remove(victim);
            servers.add();
        }
        let output = wait(child);
        if output.status.success() {
            assert!(place.read("x.ncst") == whole, "trial {trial}");
        } else {
            failed += 1;
            let text = said(&output);
            assert_eq!(output.status.code(), Some(74), "trial {trial}: {text}");
            place.succeed(&[&run[..], &["--resume", "-q"]].concat());
            assert!(place.read("x.ncst") == whole, "trial {trial}: {text}");
        }
    }
    assert!(failed <= trials / 2, "{failed} of {trials} failed");
}

#[test]
fn all_executors_are_killed_and_new_ones_go_on() {
    let place = Place::new();
    sorted(&place, "in/a.parquet", (6_000, 64, 300), 20);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    let mut servers = Servers::start(&place, 2);
    let child = begin(&place, &servers, &["accumulate", "in", "-o", "x.ncst", "--task-size=1kB"]);
    std::thread::sleep(Duration::from_millis(500));
    servers.executors.clear();
    servers.add();
    let output = wait(child);
    assert!(output.status.success(), "{}", said(&output));
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
}

#[test]
fn a_scheduler_that_is_killed_leaves_what_was_merged() {
    let place = Place::new();
    sorted(&place, "in/a.parquet", (20_000, 64, 300), 20);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    let mut servers = Servers::start(&place, 2);
    let words = ["accumulate", "in", "-o", "x.ncst", "--task-size=1kB", "--checkpoint-every=100ms", "--patience=2s"];
    let child = begin(&place, &servers, &words);
    wait_for_units(&place, "x.ncst");
    servers.scheduler.kill();
    let output = wait(child);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(74), "{text}");
    assert!(text.contains("the scheduler") && text.contains("--resume"), "{text}");
    // Another cluster or this machine alone goes on.
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--resume", "-q"]);
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
}

#[test]
fn a_signal_cancels_the_job_and_saves_what_was_merged() {
    let place = Place::new();
    sorted(&place, "in/a.parquet", (20_000, 64, 300), 20);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    let servers = Servers::start(&place, 2);
    let words = ["accumulate", "in", "-o", "x.ncst", "--task-size=1kB", "--checkpoint-every=100ms"];
    let child = begin(&place, &servers, &words);
    wait_for_units(&place, "x.ncst");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = wait(child);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("state saved (") && text.contains("--resume"), "{text}");
    let output = run(&place, &servers, &[&words[..], &["--resume"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
}

#[test]
fn a_job_has_a_deadline() {
    let place = Place::new();
    place.archive(2, 2);
    // A scheduler without executors.
    let servers = Servers::start(&place, 0);
    let start = Instant::now();
    let output = run(&place, &servers, &["accumulate", "in", "-o", "x.ncst", "--job-deadline=1s"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(75), "{text}");
    assert!(text.contains("too long"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_cluster_without_executors_is_not_waited_for() {
    let place = Place::new();
    place.archive(2, 4);
    let servers = Servers::start(&place, 0);
    let query = ["sql", "--task-size=1kB", "-c", "SELECT nc1_cdnv(feature, label) FROM 'in'"];
    for words in [&["accumulate", "in", "-o", "x.ncst"][..], &query] {
        let output = run(&place, &servers, words);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(74), "{text}");
        assert!(text.contains("no executor takes the tasks") && text.contains("nckit executor"), "{text}");
    }
    // Nor does an executor wait for a scheduler, or listen on the port of another one.
    let port = servers.address.rsplit(':').next().unwrap();
    let text = place.fail(74, &["executor", "--scheduler", &servers.address, "--port", port]);
    assert!(text.contains("cannot listen"), "{text}");
}

#[test]
fn a_signal_cancels_the_job_of_a_query() {
    let place = Place::new();
    sorted(&place, "in/a.parquet", (20_000, 64, 300), 20);
    let servers = Servers::start(&place, 1);
    let query = "SELECT label % 7 AS part, nc1_cdnv(feature, label) FROM 'in' GROUP BY part";
    let child = begin(&place, &servers, &["sql", "--task-size=1kB", "-c", query]);
    std::thread::sleep(Duration::from_secs(3));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = wait(child);
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    // The executor has its hands free.
    let start = Instant::now();
    let output = run(&place, &servers, &["sql", "-c", "SELECT count(*) AS n, nc1_cdnv(feature, label) FROM 'in'"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(start.elapsed() < Duration::from_secs(20), "it took {} s", start.elapsed().as_secs());
}
