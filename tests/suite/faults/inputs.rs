//! Files that are cut, rot, change, vanish, or are there twice.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};

use nckit::archive::{Archive, Request, is_damage};
use nckit::store::StateFile;
use parquet::file::properties::WriterProperties;

use super::{Place, fact, ints, plain, vectors};
use crate::rows::Random;

#[test]
fn fault_07_a_file_cut_anywhere_is_refused_or_left_out_and_listed() {
    let place = Place::new();
    place.archive(2, 2);
    place.succeed(&["accumulate", "in/00.parquet", "-o", "good.ncst", "-q"]);
    let path = place.path("in/01.parquet");
    let bytes = fs::read(&path).unwrap();
    let inputs = [place.path("in").to_str().unwrap().to_owned()];
    let cuts: BTreeSet<usize> = (0..bytes.len()).step_by(97).chain(bytes.len() - 12..bytes.len()).collect();
    for &cut in &cuts {
        fs::write(&path, &bytes[..cut]).unwrap();
        let error = Archive::open(&inputs, &Request::default()).unwrap_err();
        assert!(is_damage(&error), "{cut}: {error:?}");
        assert_eq!(fact(&error, "file"), path.to_str().unwrap());
    }
    let text = place.fail(65, &["accumulate", "in", "-o", "x.ncst"]);
    assert!(text.contains("in/01.parquet") && text.contains("--on-bad-file skip"), "{text}");
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--on-bad-file=skip", "-q"]);
    let state = StateFile::read(&place.path("x.ncst")).unwrap();
    assert_eq!(state.ledger.left_out().collect::<Vec<_>>(), ["01.parquet"]);
    assert_eq!(state.groups, StateFile::read(&place.path("good.ncst")).unwrap().groups);
    let report = place.succeed(&["finish", "x.ncst", "--format=json", "-q"]);
    assert!(report.contains("01.parquet"), "the result lists it");
    // Shards together list it once, and a repaired file takes it off the list.
    for part in ["0/2", "1/2"] {
        let name = format!("{}.ncst", &part[..1]);
        place.succeed(&["accumulate", "in", "-o", &name, "--on-bad-file=skip", "--shard", part, "-q"]);
    }
    place.succeed(&["merge", "1.ncst", "0.ncst", "-o", "shards.ncst", "-q"]);
    assert!(place.read("shards.ncst") == place.read("x.ncst"));
    fs::write(&path, &bytes).unwrap();
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--extend", "-q"]);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
}

/// With checksums every flip is found. Without them it is found, or the numbers change: which the ledger shows.
#[test]
fn fault_08_flipped_bits_are_found_where_pages_carry_checksums() {
    let place = Place::new();
    let mut random = Random::new(5);
    let values: Vec<f32> = (0..200 * 8).map(|_| random.normal() as f32).collect();
    let labels: Vec<i32> = (0..200).map(|row| row % 4).collect();
    let columns = [("feature", vectors(values, 8)), ("label", ints(labels))];
    place.write_with("in/a.parquet", &columns, plain());
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    let whole = StateFile::read(&place.path("whole.ncst")).unwrap();
    assert!(
        place.succeed(&["inspect", "in", "-q"]).contains("checksums none"),
        "inspect says that flips cannot be seen"
    );
    let path = place.path("in/a.parquet");
    let bytes = fs::read(&path).unwrap();
    let mut silent = 0;
    for trial in 0..40 {
        let mut flipped = bytes.clone();
        // Pages come first, and take most of the file.
        let at = 4 + random.below(bytes.len() / 2);
        flipped[at] ^= 1 << random.below(8);
        fs::write(&path, &flipped).unwrap();
        let output = place.run(&["accumulate", "in", "-o", "x.ncst", "--overwrite", "-q"]);
        match output.status.code() {
            Some(0) => {
                let state = StateFile::read(&place.path("x.ncst")).unwrap();
                // A flip may vanish in rounding; what does not is seen in the digest.
                assert!(state.groups == whole.groups || state.ledger != whole.ledger, "trial {trial}, byte {at}");
                silent += usize::from(state.groups != whole.groups);
            }
            Some(65) => {}
            code => panic!("trial {trial}, byte {at}: {code:?}"),
        }
    }
    println!("{silent} of 40 flips changed numbers in pages without checksums, and digests in the ledger");
    assert!(silent > 0, "the test flips nothing that matters");
}

/// Runs a third of the way, and stops; the file stays as it was saved.
#[cfg(debug_assertions)]
fn interrupted(place: &Place) -> [&'static str; 7] {
    let run = ["accumulate", "in", "-o", "x.ncst", "--resume", "--checkpoint-every=0s", "-q"];
    let output = place.command(&run).env("NCKIT_FAIL", "rename:3:abort").output().unwrap();
    assert_eq!(output.status.code(), None);
    run
}

#[cfg(debug_assertions)]
#[test]
fn fault_09_a_file_that_changed_between_checkpoint_and_resume_is_found() {
    let place = Place::new();
    place.archive(3, 2);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    let path = place.path("in/01.parquet");
    let bytes = fs::read(&path).unwrap();
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    let restore = || {
        fs::write(&path, &bytes).unwrap();
        fs::File::open(&path).unwrap().set_modified(written).unwrap();
    };
    let changes: [(&str, &dyn Fn()); 4] = [
        ("replaced", &|| place.write("in/01.parquet", 99, 73, 8, 40)),
        ("appended to", &|| fs::write(&path, [&bytes[..], b"more"].concat()).unwrap()),
        ("touched", &|| {
            fs::File::open(&path).unwrap().set_modified(SystemTime::now() + Duration::from_secs(9)).unwrap();
        }),
        ("gone", &|| fs::remove_file(&path).unwrap()),
    ];
    let run = interrupted(&place);
    let before = place.read("x.ncst");
    for (what, change) in changes {
        change();
        let text = place.fail(65, &run);
        assert!(
            text.contains("has changed since the plan was made") && text.contains("in/01.parquet"),
            "{what}: {text}"
        );
        assert!(place.read("x.ncst") == before, "{what}: nothing is merged");
        restore();
    }
    place.succeed(&run);
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
}

#[test]
fn fault_09_a_file_that_changed_after_it_was_counted_is_not_counted_again() {
    let place = Place::new();
    place.archive(2, 2);
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "-q"]);
    place.succeed(&["verify", "x.ncst", "--inputs", "in"]);
    place.write("in/01.parquet", 99, 73, 8, 40);
    let text = place.fail(65, &["accumulate", "in", "-o", "x.ncst", "--extend"]);
    assert!(text.contains("01.parquet") && text.contains("counted before"), "{text}");
    let output = place.run(&["verify", "x.ncst", "--inputs", "in"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("01.parquet: has changed since it was counted"), "{text}");
    fs::remove_file(place.path("in/01.parquet")).unwrap();
    place.write("in/02.parquet", 98, 73, 8, 40);
    let text = String::from_utf8(place.run(&["verify", "x.ncst", "--inputs", "in"]).stdout).unwrap();
    assert!(text.contains("01.parquet: not among the inputs") && text.contains("02.parquet: not counted"), "{text}");
}

#[cfg(debug_assertions)]
#[test]
fn fault_10_the_plan_is_frozen_when_the_run_begins() {
    let place = Place::new();
    place.archive(3, 2);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    let run = interrupted(&place);
    // A file that appears would come first, change the type of labels, and make another name of all.
    place.write_columns(
        "in/00/00.parquet",
        &[("feature", vectors(vec![1.0; 8], 8)), ("label", super::values::texts(&["a"]))],
        40,
    );
    place.succeed(&run);
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
    // What comes later is for `--extend`, which is told.
    fs::remove_dir_all(place.path("in/00")).unwrap();
    place.write("in/07.parquet", 7, 73, 8, 40);
    let output = place.run(&run[..6]);
    assert!(output.status.success());
    assert!(
        super::said(&output).contains("2 row groups of the inputs are not in the state"),
        "{}",
        super::said(&output)
    );
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--extend", "-q"]);
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "--overwrite", "-q"]);
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
}

/// Two directories, two times, two ways to name the input: equal work is equal bytes.
#[test]
fn fault_10_a_finished_state_says_nothing_of_the_run() {
    let place = Place::new();
    place.archive(3, 2);
    fs::create_dir(place.path("elsewhere")).unwrap();
    for file in 0..3 {
        let (from, to) = (format!("in/0{file}.parquet"), format!("elsewhere/0{file}.parquet"));
        fs::copy(place.path(&from), place.path(&to)).unwrap();
        fs::File::open(place.path(&to)).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    place.succeed(&["accumulate", "in", "-o", "a.ncst", "--threads=1", "-q"]);
    let absolute = place.path("elsewhere");
    place.succeed(&["accumulate", absolute.to_str().unwrap(), "-o", "b.ncst", "--threads=3", "-q"]);
    place.succeed(&["accumulate", "in/*.parquet", "-o", "c.ncst", "--checkpoint-every=0s", "--memory=1GiB", "-q"]);
    assert!(place.read("a.ncst") == place.read("b.ncst"));
    assert!(place.read("a.ncst") == place.read("c.ncst"));
    let bytes = place.read("a.ncst");
    let root = place.0.path().to_str().unwrap().as_bytes();
    assert!(!bytes.windows(root.len()).any(|window| window == root));
}

#[test]
fn fault_11_a_file_named_twice_counts_once() {
    let place = Place::new();
    place.archive(2, 2);
    place.succeed(&["accumulate", "in", "-o", "a.ncst", "-q"]);
    symlink(place.path("in/00.parquet"), place.path("in/link.parquet")).unwrap();
    let output = place.run(&["accumulate", "in", "./in/../in/*.parquet", "in/00.parquet", "-o", "b.ncst"]);
    assert!(output.status.success() && super::said(&output).contains("counted once"), "{}", super::said(&output));
    assert!(place.read("a.ncst") == place.read("b.ncst"));
}

#[test]
fn fault_11_equal_content_under_two_names_is_refused() {
    let place = Place::new();
    place.archive(2, 2);
    place.succeed(&["accumulate", "in", "-o", "a.ncst", "-q"]);
    fs::copy(place.path("in/00.parquet"), place.path("copy.parquet")).unwrap();
    fs::copy(place.path("in/00.parquet"), place.path("in/copy.parquet")).unwrap();
    let text = place.fail(65, &["accumulate", "in", "-o", "x.ncst"]);
    assert!(text.contains("the same content under two names"), "{text}");
    // The copy is found in another state, and behind a state, where no bytes can be compared any more.
    place.succeed(&["accumulate", "copy.parquet", "-o", "copy.ncst", "-q"]);
    let text = place.fail(65, &["merge", "a.ncst", "copy.ncst", "-o", "x.ncst"]);
    assert!(text.contains("00.parquet of a.ncst, copy.parquet of copy.ncst"), "{text}");
    let text = place.fail(65, &["accumulate", "copy.parquet", "-o", "a.ncst", "--extend"]);
    assert!(text.contains("the same content under two names"), "{text}");
    place.succeed(&["merge", "a.ncst", "copy.ncst", "-o", "x.ncst", "--allow-duplicates", "-q"]);
    place.succeed(&["accumulate", "in", "-o", "y.ncst", "--allow-duplicates", "-q"]);
    assert!(place.read("x.ncst") == place.read("y.ncst"));
}

/// Size and footer only nominate: without statistics and compression, other rows of the same shape have the same.
#[test]
fn fault_11_equal_footers_are_no_equal_content() {
    let place = Place::new();
    let properties = || {
        WriterProperties::builder()
            .set_compression(parquet::basic::Compression::UNCOMPRESSED)
            .set_dictionary_enabled(false)
            .set_statistics_enabled(parquet::file::properties::EnabledStatistics::None)
            .build()
    };
    for (file, value) in [("a", 1.0), ("b", 2.0)] {
        let values = (0..64).map(|at| value + at as f32).collect();
        let columns = [("feature", vectors(values, 4)), ("label", ints((0..16).map(|row| row % 2).collect()))];
        place.write_with(&format!("in/{file}.parquet"), &columns, properties());
    }
    place.succeed(&["accumulate", "in", "-o", "whole.ncst", "-q"]);
    for file in ["a", "b"] {
        place.succeed(&["accumulate", &format!("in/{file}.parquet"), "-o", &format!("{file}.ncst"), "-q"]);
    }
    place.succeed(&["merge", "a.ncst", "b.ncst", "-o", "x.ncst", "-q"]);
    assert!(place.read("x.ncst") == place.read("whole.ncst"));
    let ledger = StateFile::read(&place.path("x.ncst")).unwrap().ledger;
    let fingerprints: BTreeSet<(u64, u64)> =
        ledger.files().map(|(source, _)| (source.size, source.footer_hash)).collect();
    assert_eq!(fingerprints.len(), 1, "the test makes equal footers");
}

#[test]
fn fault_12_states_that_overlap_do_not_merge() {
    let place = Place::new();
    place.archive(5, 3);
    let mut random = Random::new(12);
    for part in 0..5 {
        let shard = format!("{part}/5");
        place.succeed(&["accumulate", "in", "-o", &format!("p{part}.ncst"), "--shard", &shard, "-q"]);
    }
    let text = place.fail(65, &["merge", "p3.ncst", "p3.ncst", "-o", "x.ncst"]);
    assert!(text.contains("p3.ncst and p3.ncst both contain 0"), "{text}");
    let parts = |set: &[usize]| set.iter().map(|part| format!("p{part}.ncst")).collect::<Vec<_>>();
    for trial in 0..8 {
        let choose = |random: &mut Random| (0..5).filter(|_| !random.chance(2)).collect::<Vec<usize>>();
        let (one, other) = (choose(&mut random), choose(&mut random));
        if one.is_empty() || other.is_empty() {
            continue;
        }
        for (name, set) in [("one.ncst", &one), ("other.ncst", &other)] {
            let parts = parts(set);
            let parts = parts.iter().map(String::as_str).chain(["-o", name, "--overwrite", "-q"]);
            place.succeed(&[&["merge"], parts.collect::<Vec<_>>().as_slice()].concat());
        }
        let output = place.run(&["merge", "one.ncst", "other.ncst", "-o", "both.ncst", "--overwrite"]);
        let overlap = one.iter().any(|part| other.contains(part));
        assert_eq!(output.status.code(), Some(if overlap { 65 } else { 0 }), "{trial}: {one:?} {other:?}");
        if overlap {
            assert!(super::said(&output).contains("one.ncst and other.ncst both contain"), "{}", super::said(&output));
        }
        place.fail(65, &["finish", "one.ncst", "one.ncst"]);
    }
}
