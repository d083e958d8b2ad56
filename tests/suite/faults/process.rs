//! Processes and storage: signals, full disks, places that cannot be written, other writers.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use super::{Place, said};

/// Runs long enough to be signalled, and says so before it reads.
fn running(place: &Place, more: &[&str]) -> (Child, BufReader<std::process::ChildStderr>) {
    let arguments = [&["accumulate", "in", "-o", "x.ncst", "--threads=1"], more].concat();
    let mut child = place.command(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("plan") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "no plan was printed");
    }
    // Once there is a state signals are watched.
    while !place.path("x.ncst").exists() {
        std::thread::yield_now();
    }
    (child, said)
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn fault_02_a_signal_saves_the_state_and_says_how_to_go_on() {
    let place = Place::new();
    place.archive(40, 6);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    for (name, code, every) in [("-INT", 130, "0s"), ("-TERM", 143, "1h")] {
        let every = format!("--checkpoint-every={every}");
        // How soon is soon enough depends on the machine: a run is caught in the middle by waiting ever longer.
        let (text, saved) = (0..12)
            .find_map(|doubled| {
                let _ = fs::remove_file(place.path("x.ncst"));
                let (mut child, mut said) = running(&place, &[&every]);
                std::thread::sleep(std::time::Duration::from_micros(500 << doubled));
                signal(&child, name);
                let ended = child.wait().unwrap().code();
                let mut text = String::new();
                said.read_to_string(&mut text).unwrap();
                let saved = text.split("state saved (").nth(1).and_then(|rest| rest.split(" units)").next());
                let saved = saved.unwrap_or_else(|| panic!("{name}: {ended:?}: {text}")).to_owned();
                assert_eq!(ended, Some(code), "{name}");
                assert!(saved.ends_with(" of 240"), "{text}");
                (!saved.starts_with("0 ")).then_some((text, saved))
            })
            .unwrap_or_else(|| panic!("{name}: no unit was ever counted before the signal"));
        let command = text.lines().find_map(|line| line.trim().strip_prefix("resume: nckit ")).unwrap();
        assert_eq!(command, format!("accumulate in -o x.ncst --threads=1 {every} --resume"));
        let report = place.succeed(&["inspect", "x.ncst"]);
        assert!(report.contains(&format!("not finished: {saved} units")), "{report}");
        place.succeed(&command.split(' ').collect::<Vec<_>>());
        assert!(place.read("x.ncst") == place.read("whole.ncst"));
        fs::remove_file(place.path("x.ncst")).unwrap();
    }
}

#[test]
fn fault_02_a_second_signal_ends_at_once() {
    let place = Place::new();
    // One unit that takes a while: the first signal waits for its end.
    place.write("in/a.parquet", 1, 300_000, 32, 300_000);
    let (mut child, _said) = running(&place, &["--extra-bits=20", "--checkpoint-every=0s"]);
    signal(&child, "-INT");
    std::thread::sleep(std::time::Duration::from_millis(20));
    if child.try_wait().unwrap().is_none() {
        signal(&child, "-INT");
    }
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(130 | 0)), "{code:?}");
    // Whatever was saved is whole.
    place.succeed(&["verify", "x.ncst"]);
}

#[cfg(debug_assertions)]
#[test]
fn fault_03_a_full_disk_leaves_the_old_state() {
    let place = Place::new();
    place.archive(2, 2);
    place.succeed(&["accumulate", "in/00.parquet", "-o", "x.ncst", "-q"]);
    let before = place.read("x.ncst");
    for point in ["create", "write", "sync", "rename"] {
        let arguments = ["accumulate", "in", "-o", "x.ncst", "--extend", "-q"];
        let output = place.command(&arguments).env("NCKIT_FAIL", format!("{point}:1:full")).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(74), "{point}: {text}");
        assert!(text.contains("x.ncst") && text.contains("No space left") && text.contains("bytes needed"), "{text}");
        assert!(place.read("x.ncst") == before, "{point}");
        assert_eq!(place.files(), ["in", "x.ncst"], "{point}");
    }
    // Half-way, what was saved before stays, and can be resumed.
    let run = ["accumulate", "in", "-o", "y.ncst", "--resume", "--checkpoint-every=0s", "-q"];
    let output = place.command(&run).env("NCKIT_FAIL", "write:4:full").output().unwrap();
    assert_eq!(output.status.code(), Some(74), "{}", said(&output));
    place.succeed(&run);
    place.succeed(&["accumulate", "in", "-o", "z.ncst", "-q"]);
    assert!(place.read("y.ncst") == place.read("z.ncst"));
}

/// On a file system that is really full, where one can be mounted.
#[test]
fn fault_03_on_a_small_file_system() {
    let place = Place::new();
    place.archive(2, 2);
    fs::create_dir(place.path("small")).unwrap();
    let mount = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=32k", "tmpfs"])
        .arg(place.path("small"))
        .stderr(Stdio::null())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        println!("skipped: no file system can be mounted here");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        place.succeed(&["accumulate", "in", "-o", "small/x.ncst", "-q"]);
        let before = place.read("small/x.ncst");
        // As much as there is.
        let mut filler = fs::File::create(place.path("small/filler")).unwrap();
        while std::io::Write::write_all(&mut filler, &[1; 4096]).is_ok() {}
        let text = place.fail(74, &["accumulate", "in", "-o", "small/x.ncst", "--overwrite", "-q"]);
        assert!(text.contains("small/x.ncst") && text.contains("bytes needed"), "{text}");
        assert!(place.read("small/x.ncst") == before);
        let mut names: Vec<_> =
            fs::read_dir(place.path("small")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["filler", "x.ncst", "x.ncst.lock"]);
    });
    assert!(Command::new("umount").arg("-l").arg(place.path("small")).status().unwrap().success());
    outcome.unwrap();
}

#[test]
fn fault_04_a_place_that_cannot_be_written_is_found_before_reading() {
    let place = Place::new();
    // Not even readable: nothing is opened before the place of the output is known.
    fs::create_dir(place.path("in")).unwrap();
    fs::write(place.path("in/a.parquet"), "no Parquet").unwrap();
    fs::create_dir(place.path("dir.ncst")).unwrap();
    for output in ["no/such/folder.ncst", "dir.ncst", "in/a.parquet/x.ncst", "/proc/x.ncst"] {
        let text = place.fail(73, &["accumulate", "in", "-o", output]);
        assert!(text.contains(output), "{text}");
    }
    for output in ["no/such/folder.csv", "in/a.parquet/x.csv", "/proc/x.csv"] {
        place.fail(73, &["measure", "in", "-o", output]);
    }
    fs::set_permissions(place.path("dir.ncst"), fs::Permissions::from_mode(0o555)).unwrap();
    // Root may write there all the same.
    if fs::write(place.path("dir.ncst/probe"), "").is_err() {
        place.fail(73, &["accumulate", "in", "-o", "dir.ncst/x.ncst"]);
    }
    fs::set_permissions(place.path("dir.ncst"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn fault_05_one_of_many_writers_goes_on() {
    let place = Place::new();
    place.archive(6, 4);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    for round in 0..4 {
        let run = ["accumulate", "in", "-o", "x.ncst", "--resume", "--checkpoint-every=0s", "--threads=1"];
        let children: Vec<Child> =
            (0..5).map(|_| place.command(&run).stderr(Stdio::piped()).spawn().unwrap()).collect();
        let mut ended = 0;
        for child in children {
            let output = child.wait_with_output().unwrap();
            match output.status.code() {
                Some(0) => ended += 1,
                Some(75) => assert!(said(&output).contains("another process"), "{}", said(&output)),
                code => panic!("{code:?}: {}", said(&output)),
            }
        }
        assert!(ended > 0, "round {round}: nobody wrote");
        assert!(place.read("x.ncst") == place.read("whole.ncst"), "round {round}");
        fs::remove_file(place.path("x.ncst")).unwrap();
    }
}

#[test]
fn fault_05_the_lock_dies_with_its_process() {
    let place = Place::new();
    place.archive(40, 6);
    let (mut child, _said) = running(&place, &["--checkpoint-every=0s"]);
    let text = place.fail(75, &["accumulate", "in", "-o", "x.ncst", "--overwrite"]);
    assert!(text.contains("another process is writing this state"), "{text}");
    place.fail(75, &["merge", "x.ncst", "-o", "./x.ncst", "--overwrite"]);
    child.kill().unwrap();
    child.wait().unwrap();
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--overwrite", "-q"]);
}

#[test]
fn fault_06_what_exists_is_kept_unless_a_flag_says_otherwise() {
    let place = Place::new();
    place.archive(2, 2);
    let run = ["accumulate", "in", "-o", "x.ncst", "-q"];
    place.succeed(&run);
    let before = place.read("x.ncst");
    let text = place.fail(73, &run);
    assert!(text.contains("--resume") && text.contains("--overwrite"), "{text}");
    place.fail(73, &["merge", "x.ncst", "-o", "x.ncst"]);
    assert!(place.read("x.ncst") == before);
    // What is finished needs nothing.
    place.succeed(&[&run[..], &["--resume"]].concat());
    place.succeed(&[&run[..], &["--overwrite"]].concat());
    assert!(place.read("x.ncst") == before);
}

#[cfg(debug_assertions)]
#[test]
fn fault_06_other_settings_do_not_resume() {
    let place = Place::new();
    place.archive(2, 2);
    place.succeed(&["accumulate", "in/00.parquet", "-o", "other.ncst", "-q"]);
    let base = ["accumulate", "in", "-o", "x.ncst", "-q", "--resume", "--checkpoint-every=0s"];
    let output = place.command(&base).env("NCKIT_FAIL", "rename:3:abort").output().unwrap();
    assert_eq!(output.status.code(), None);
    let before = place.read("x.ncst");
    let others: [(&[&str], &str); 7] = [
        (&["--grid=-10"], "grid: chunk then, -10 now"),
        (&["--extra-bits=1"], "extra_bits: 0 then, 1 now"),
        (&["--nulls=skip"], "nulls: fail then, skip now"),
        (&["--metrics=nc2"], "scatter: true then, false now"),
        (&["--group-by=label"], "group-by: none then, label now"),
        (&["--shard=0/2"], "shard: none then, 0/2 now"),
        (&["--ignore-label=-1"], "ignore_label: none then, -1 now"),
    ];
    for (flags, difference) in others {
        let text = place.fail(65, &[&base[..], flags].concat());
        assert!(text.contains(difference), "{text}");
    }
    let text = place.fail(65, &["accumulate", "in/01.parquet", "-o", "x.ncst", "--resume"]);
    assert!(text.contains("inputs: in then, in/01.parquet now"), "{text}");
    assert!(place.read("x.ncst") == before);
    let text = place.fail(65, &["accumulate", "in/01.parquet", "-o", "other.ncst", "--resume"]);
    assert!(text.contains("--extend"), "{text}");
    place.succeed(&base);
}
