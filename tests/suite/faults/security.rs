//! Hostile names, wrong sizes, and the limit of memory.

use std::fs;
use std::process::Command;

use nckit::kernels::gram::scratch_bytes;

use super::{Place, ints, said, vectors};

#[test]
fn fault_24_names_are_only_names() {
    let place = Place::new();
    let hostile = "split='; COPY (select 1) TO 'x\u{1b}[31m\n";
    for (file, tag) in [("a", 1), ("b", 2)] {
        place.write(&format!("in/{hostile}/{file}\u{7}.parquet"), tag, 30, 8, 40);
    }
    let control = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    let output = place.run(&["accumulate", "in", "-o", "x.ncst", "--group-by=split"]);
    assert!(output.status.success() && !control(&said(&output)), "{}", said(&output));
    for verb in [
        &["inspect", "x.ncst"][..],
        &["verify", "x.ncst", "--inputs", "in"],
        &["finish", "x.ncst", "--format=table"],
        &["measure", "in", "--group-by=split", "--format=table"],
        &["inspect", "in", "--group-by=split"],
    ] {
        let output = place.run(verb);
        assert!(output.status.success(), "{verb:?}: {}", said(&output));
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(!control(&text) && !control(&said(&output)), "{verb:?}: {text}");
    }
    assert_eq!(place.files(), ["in", "x.ncst"], "nobody took a name for a command");
    let text = place.fail(65, &["merge", "x.ncst", "x.ncst", "-o", "y.ncst"]);
    assert!(!control(&text), "{text}");
    let rows = vectors(vec![0.5; 8], 8);
    place.write_columns("odd.parquet", &[("\u{1b}]0;x\u{7}", rows), ("label", ints(vec![0]))], 40);
    let output = place.run(&["inspect", "odd.parquet"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap() + &said(&output);
    assert!(output.status.success() && !control(&text), "{text}");
}

/// Runs in little memory: an allocation of what a header claims would end the process.
fn bounded(place: &Place, arguments: &[&str]) -> std::process::Output {
    // Address space that holds the program and its threads, and what products reserve, more of it where caches are large.
    let kib = ((1 << 30) + 4 * scratch_bytes()) >> 10;
    Command::new("sh")
        .args(["-c", &format!("ulimit -v {kib}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_nckit")])
        .args(arguments)
        .current_dir(place.0.path())
        .output()
        .unwrap()
}

#[test]
fn fault_26_sizes_that_lie_are_refused_before_memory_is_asked_for() {
    let place = Place::new();
    place.archive(1, 2);
    place.succeed(&["accumulate", "in", "-o", "good.ncst", "-q"]);
    let good = place.read("good.ncst");
    // The length of every section, and counts within them, claim 2^60 and 2^31.
    let mut at = 14;
    let mut lies = 0;
    while at + 16 <= good.len() {
        let length = u64::from_le_bytes(good[at + 4..at + 12].try_into().unwrap()) as usize;
        for (offset, width) in [(4, 8), (12, 8), (12, 4), (20, 4)] {
            for claim in [1_u64 << 60, 1 << 31, u64::MAX] {
                let mut bad = good.clone();
                if offset + width > length + 12 {
                    continue;
                }
                bad[at + offset..at + offset + width].copy_from_slice(&claim.to_le_bytes()[..width]);
                if offset > 4 {
                    let checksum = crc32(&bad[at..at + 12 + length]).to_le_bytes();
                    bad[at + 12 + length..at + 16 + length].copy_from_slice(&checksum);
                }
                if bad != good {
                    assert!(nckit::store::StateFile::decode(&bad).and_then(|state| state.shapes()).is_err());
                    lies += 1;
                }
                fs::write(place.path("bad.ncst"), bad).unwrap();
            }
        }
        at += length + 16;
    }
    assert!(lies > 20, "{lies}");
    let heads: [(&str, Vec<u8>); 4] = [
        ("a.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 8), }")),
        ("b.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1152921504606846976), }")),
        ("c.safetensors", [&(1_u64 << 62).to_le_bytes()[..], b"{}"].concat()),
        (
            "d.safetensors",
            safetensors(r#"{"weight":{"dtype":"F32","shape":[4,4611686018427387904],"data_offsets":[0,16]}}"#),
        ),
    ];
    for (name, bytes) in heads {
        fs::write(place.path(name), bytes).unwrap();
        let output = bounded(&place, &["finish", "good.ncst", "--head", name, "-q", "--threads=1"]);
        assert_eq!(output.status.code(), Some(65), "{name}: {}", said(&output));
    }
    let output = bounded(&place, &["verify", "bad.ncst"]);
    assert!(matches!(output.status.code(), Some(0 | 65)), "{}", said(&output));
    let output = bounded(&place, &["verify", "good.ncst"]);
    assert!(output.status.success(), "there is room for what is true: {}", said(&output));
}

fn npy(header: &str) -> Vec<u8> {
    let length = header.len() as u16 + 1;
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), b"\n", &[0; 64]].concat()
}

fn safetensors(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &[0; 16]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[test]
fn fault_27_the_need_is_known_before_the_run() {
    let place = Place::new();
    place.write("in/a.parquet", 1, 60, 512, 40);
    let plan = place.succeed(&["accumulate", "in", "-o", "x.ncst", "--dry-run", "--threads=2"]);
    assert!(plan.contains("memory") && plan.contains("MiB on 2 threads"), "{plan}");
    assert!(!place.path("x.ncst").exists());
    let text = place.fail(75, &["accumulate", "in", "-o", "x.ncst", "--memory=1MiB"]);
    assert!(text.contains("needed") && text.contains("--memory"), "{text}");
    assert!(!place.path("x.ncst").exists());
    // What the error asks for suffices, on fewer threads first.
    let needed = text.split("--memory ").nth(1).unwrap().split(|c: char| c == ',' || c.is_whitespace()).next().unwrap();
    let less = place.succeed(&["accumulate", "in", "-o", "x.ncst", "--dry-run", "--threads=8", "--memory", needed]);
    assert!(less.contains("on 1 thread,"), "{less}");
    place.succeed(&["accumulate", "in", "-o", "x.ncst", "--threads=8", "--memory", needed, "-q"]);
    place.succeed(&["accumulate", "in", "-o", "y.ncst", "-q"]);
    assert!(place.read("x.ncst") == place.read("y.ncst"));
}

/// With no memory to spare every group is a wave of its own, and its state is put away before the next begins.
#[test]
fn fault_27_groups_are_taken_one_after_the_other_if_they_must() {
    let place = Place::new();
    for epoch in 0..3 {
        for file in 0..2 {
            place.write(&format!("in/epoch={epoch}/{file}.parquet"), 10 * epoch + file, 60, 512, 40);
        }
    }
    let base = ["accumulate", "in", "--group-by=epoch", "-q"];
    place.succeed(&[&base[..], &["-o", "x.ncst"]].concat());
    let text = place.fail(75, &[&base[..], &["-o", "y.ncst", "--memory=1MiB"]].concat());
    let needed = text.split("--memory ").nth(1).unwrap().split(|c: char| c == ',' || c.is_whitespace()).next().unwrap();
    for every in ["0s", "1h"] {
        let more = ["-o", "y.ncst", "--overwrite", "--memory", needed, "--checkpoint-every", every];
        place.succeed(&[&base[..], &more].concat());
        assert!(place.read("x.ncst") == place.read("y.ncst"), "{every}");
    }
    let finished = place.succeed(&["finish", "x.ncst", "--format=json", "-q", "--memory=1MiB"]);
    assert_eq!(finished, place.succeed(&["finish", "x.ncst", "--format=json", "-q"]));
}

/// Little address space: the run ends well, or says that it wants more.
#[test]
fn fault_27_a_limit_of_the_system_is_no_crash() {
    let place = Place::new();
    place.archive(2, 2);
    let output = bounded(&place, &["accumulate", "in", "-o", "x.ncst", "--threads=2", "--memory=64MiB", "-q"]);
    assert!(output.status.success(), "{}", said(&output));
    place.succeed(&["accumulate", "in", "-o", "y.ncst", "-q"]);
    assert!(place.read("x.ncst") == place.read("y.ncst"));
}
