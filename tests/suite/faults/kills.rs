//! Runs that die, and go on.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::Place;
use crate::rows::Random;

const RUN: [&str; 9] =
    ["accumulate", "in", "-o", "x.ncst", "--group-by=label", "--resume", "--checkpoint-every=0s", "--threads=2", "-q"];

/// Trials; a long run sets more.
fn trials(few: usize) -> usize {
    std::env::var("NCKIT_TRIALS").ok().and_then(|number| number.parse().ok()).unwrap_or(few)
}

/// The bytes of a run that nothing happened to, and how long it took.
fn unbroken(place: &Place) -> (Vec<u8>, Duration) {
    let start = Instant::now();
    place.succeed(&RUN);
    let took = start.elapsed();
    let bytes = place.read("x.ncst");
    fs::remove_file(place.path("x.ncst")).unwrap();
    (bytes, took)
}

#[test]
fn fault_01_killed_at_any_moment_and_resumed_it_ends_in_the_same_bytes() {
    let place = Place::new();
    place.archive(8, 4);
    let (expected, took) = unbroken(&place);
    let mut random = Random::new(71);
    let mut killed = 0;
    for trial in 0..trials(6) {
        for _ in 0..=random.below(4) {
            let mut child = place.command(&RUN).stderr(Stdio::null()).spawn().unwrap();
            std::thread::sleep(took.mul_f64(random.uniform()));
            // SIGKILL; what has ended already is as good.
            child.kill().unwrap();
            killed += usize::from(!child.wait().unwrap().success());
        }
        place.succeed(&RUN);
        assert!(place.read("x.ncst") == expected, "trial {trial}");
        assert_eq!(place.files(), ["in", "x.ncst"], "trial {trial}");
        fs::remove_file(place.path("x.ncst")).unwrap();
    }
    assert!(killed > 0, "none was killed in time");
    println!("{killed} kills");
}

/// Every operation on the disk, the first time, the second, and so on until the run gets through.
#[cfg(debug_assertions)]
#[test]
fn fault_01_dying_at_each_write_sync_and_rename_it_ends_in_the_same_bytes() {
    let place = Place::new();
    place.archive(2, 2);
    let (expected, _) = unbroken(&place);
    for point in ["create", "write", "sync", "rename", "sync_directory"] {
        let mut died = 0;
        for number in 1.. {
            let run = place.command(&RUN).env("NCKIT_FAIL", format!("{point}:{number}:abort")).output().unwrap();
            if run.status.success() {
                break;
            }
            assert_eq!(run.status.code(), None, "{point} {number}: it died by a signal");
            died += 1;
            place.succeed(&RUN);
            assert!(place.read("x.ncst") == expected, "{point} {number}");
            assert_eq!(place.files(), ["in", "x.ncst"], "{point} {number}");
            fs::remove_file(place.path("x.ncst")).unwrap();
        }
        // At the start, after each of the four units but the last, and at the end.
        assert!(died >= 5, "{point}: {died}");
        fs::remove_file(place.path("x.ncst")).unwrap();
    }
}

/// An extension that dies holds the old rows and some of the new ones, each once.
#[cfg(debug_assertions)]
#[test]
fn fault_01_an_extension_that_dies_is_resumed() {
    let place = Place::new();
    place.archive(4, 2);
    let (expected, _) = unbroken(&place);
    for number in 1..5 {
        for file in [2, 3] {
            fs::rename(place.path(&format!("in/0{file}.parquet")), place.path(&format!("{file}.parquet"))).unwrap();
        }
        place.succeed(&["accumulate", "in", "-o", "x.ncst", "--group-by=label", "-q"]);
        for file in [2, 3] {
            fs::rename(place.path(&format!("{file}.parquet")), place.path(&format!("in/0{file}.parquet"))).unwrap();
        }
        let extend =
            ["accumulate", "in", "-o", "x.ncst", "--group-by=label", "--extend", "--checkpoint-every=0s", "-q"];
        let run = place.command(&extend).env("NCKIT_FAIL", format!("rename:{number}:abort")).output().unwrap();
        assert_eq!(run.status.code(), None);
        // Before the first rename the old state is whole; after it there is something to resume.
        let goes_on = if number == 1 {
            extend
        } else {
            ["accumulate", "in", "-o", "x.ncst", "--group-by=label", "--resume", "--checkpoint-every=0s", "-q"]
        };
        place.succeed(&goes_on);
        assert!(place.read("x.ncst") == expected, "{number}");
        fs::remove_file(place.path("x.ncst")).unwrap();
    }
}
