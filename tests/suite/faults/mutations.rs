//! Damage at random, to everything that is read: `fuzz/` has the corpus.

use std::fs;
use std::path::{Path, PathBuf};

use nckit::archive::{HeadSource, Policy, Request, Spellings, StoredHead};
use nckit::error::{Error, ErrorKind, Result};
use nckit::store::StateFile;

use super::bits::rows_read;
use super::states::seal;
use crate::rows::Random;

/// Trials of each kind of input; a long run sets more.
fn trials() -> usize {
    std::env::var("NCKIT_TRIALS").ok().and_then(|number| number.parse().ok()).unwrap_or(500)
}

fn corpus(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(kind);
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut seeds: Vec<(String, Vec<u8>)> =
        paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect();
    seeds.sort();
    assert!(seeds.len() > 1);
    seeds
}

/// What was done to an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Damage {
    Flips,
    Cut,
    Spliced,
    Noise,
}

pub(super) fn damage(random: &mut Random, bytes: &[u8], other: &[u8]) -> (Damage, Vec<u8>) {
    let mut damaged = bytes.to_vec();
    match random.below(8) {
        0 => {
            damaged.truncate(random.below(bytes.len()));
            (Damage::Cut, damaged)
        }
        1 => {
            // A piece of another file, or of another place.
            let length = 1 + random.below(other.len().min(bytes.len()));
            let (from, to) = (random.below(other.len() - length + 1), random.below(bytes.len() - length + 1));
            damaged[to..to + length].copy_from_slice(&other[from..from + length]);
            (Damage::Spliced, damaged)
        }
        2 => {
            let at = random.below(bytes.len());
            let length = random.below(bytes.len() - at) + 1;
            for byte in &mut damaged[at..at + length] {
                *byte = random.bits() as u8;
            }
            (Damage::Noise, damaged)
        }
        _ => {
            for _ in 0..=random.below(3) {
                // Beginnings and ends say how long the rest is.
                let at = if random.chance(2) {
                    random.below(bytes.len())
                } else {
                    let near = random.below(bytes.len().min(200));
                    if random.chance(2) { near } else { bytes.len() - 1 - near }
                };
                damaged[at] ^= 1 << random.below(8);
            }
            (Damage::Flips, damaged)
        }
    }
}

/// Damages every seed of a kind in turn, and hands it to `look`.
fn each(kind: &str, mut look: impl FnMut(&str, &[u8], Damage, &[u8])) {
    let seeds = corpus(kind);
    let mut random = Random::new(kind.len() as u64);
    for trial in 0..trials() {
        let (name, bytes) = &seeds[trial % seeds.len()];
        let other = &seeds[random.below(seeds.len())].1;
        let (how, damaged) = damage(&mut random, bytes, other);
        if damaged != *bytes {
            look(name, bytes, how, &damaged);
        }
    }
}

/// Bad data is bad data, and no fault of ours or of the disk.
fn blames_the_data(error: &Error) {
    let kinds = [ErrorKind::Data, ErrorKind::Missing, ErrorKind::Usage, ErrorKind::Resource];
    assert!(kinds.contains(&error.kind()), "{error:?}");
}

#[test]
fn fault_23_damaged_state_files_are_refused() {
    let mut sealed = 0;
    each("state", |name, _, how, damaged| {
        let error = StateFile::decode(damaged).expect_err(&format!("{name} {how:?}"));
        blames_the_data(&error);
        let mut bytes = damaged.to_vec();
        seal(&mut bytes);
        match StateFile::decode(&bytes).and_then(|file| file.shapes().map(|_| file)) {
            Ok(file) => {
                let written = file.encode().unwrap();
                // What an older version wrote is written anew.
                let renewed = written[8..10] != bytes[8..10] && StateFile::decode(&written).unwrap() == file;
                assert!(written == bytes || renewed, "{name} {how:?}");
                sealed += 1;
            }
            Err(error) => blames_the_data(&error),
        }
    });
    println!("state: {sealed} of {} passed with checksums made again, as other states", trials());
}

/// All rows, as read.
fn rows(path: &Path) -> Result<Vec<String>> {
    let request = Request { nonfinite: Policy::Skip, nulls: Policy::Skip, ..Request::default() };
    rows_read(path, &request)
}

#[test]
fn fault_08_damaged_archives_give_an_error_or_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let (mut refused, mut same, mut silent) = (0, 0, Vec::new());
    each("parquet", |name, whole, how, damaged| {
        fs::write(&path, whole).unwrap();
        let expected = rows(&path).unwrap();
        fs::write(&path, damaged).unwrap();
        match rows(&path) {
            Err(error) => {
                blames_the_data(&error);
                refused += 1;
            }
            Ok(rows) if rows == expected => same += 1,
            Ok(_) => {
                let at: Vec<usize> = (0..whole.len()).filter(|&at| damaged.get(at) != Some(&whole[at])).collect();
                silent.push((name.to_owned(), how, at));
            }
        }
    });
    let unchecked = silent.iter().filter(|(name, ..)| name == "plain.parquet").count();
    println!(
        "parquet: {refused} refused, {same} the same, {unchecked} changed without checksums, {} in all",
        silent.len()
    );
    silent.retain(|(name, ..)| name != "plain.parquet");
    // The footer has no checksum in any file: what it says of types, names and places can be changed into what is also possible.
    println!("changed in spite of checksums on pages: {silent:?}");
    assert!(silent.len() * 200 <= trials(), "{silent:?}");
}

/// Archives of a format that has checksums only where `checked` says so; every file is read as `name`.
fn arrays(kind: &str, name: &str, checked: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(folder.path().join("a_labels.txt"), "0\n1\n2\n".repeat(4)).unwrap();
    let (mut refused, mut same, mut changed, mut silent) = (0, 0, 0, Vec::new());
    each(kind, |seed, whole, how, damaged| {
        fs::write(&path, whole).unwrap();
        let expected = rows(&path).unwrap();
        fs::write(&path, damaged).unwrap();
        match rows(&path) {
            Err(error) => {
                blames_the_data(&error);
                refused += 1;
            }
            Ok(rows) if rows == expected => same += 1,
            Ok(_) if checked.contains(&seed) => {
                let at: Vec<usize> = (0..whole.len()).filter(|&at| damaged.get(at) != Some(&whole[at])).collect();
                silent.push((seed.to_owned(), how, at));
            }
            Ok(_) => changed += 1,
        }
    });
    println!("{kind}: {refused} refused, {same} the same, {changed} changed without checksums, {silent:?} with them");
    assert!(refused > trials() / 8);
    // The directory has no checksum.
    assert!(silent.len() * 100 <= trials(), "{silent:?}");
}

#[test]
fn fault_08_damaged_npy_features_are_no_panic() {
    arrays("arrays", "a_features.npy", &[]);
}

#[test]
fn fault_08_damaged_npz_features_are_no_panic_and_checksums_hold() {
    arrays("npz", "a.npz", &["deflated.npz", "stored.npz", "wide.npz"]);
}

#[test]
fn fault_08_damaged_safetensors_features_are_no_panic() {
    arrays("tensors", "a.safetensors", &[]);
}

#[test]
fn fault_08_damaged_torch_features_are_no_panic_and_checksums_hold() {
    // What is not looked at of a tensor that was saved is not read, and then nothing is compared.
    arrays("pt", "a.pt", &["batches.pt", "dict.pt"]);
}

#[test]
fn fault_20_damaged_torch_heads_are_no_panic() {
    heads("pth");
}

#[test]
fn fault_08_damaged_arrow_files_and_streams_are_no_panic() {
    arrays("ipc", "a.arrow", &[]);
}

#[test]
fn fault_08_damaged_tables_in_text_are_no_panic() {
    arrays("csv", "a.csv", &[]);
}

#[test]
fn fault_08_damaged_lines_of_json_are_no_panic() {
    arrays("jsonl", "a.jsonl", &[]);
}

#[test]
fn fault_08_damaged_structs_and_lists_of_integers_are_no_panic() {
    arrays("structs", "a.parquet", &["spark.parquet", "struct.parquet"]);
}

fn heads(kind: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(format!("head.{kind}"));
    let (mut refused, mut read) = (0, 0);
    each(kind, |_, _, _, damaged| {
        fs::write(&path, damaged).unwrap();
        let source = HeadSource::parse(path.to_str().unwrap()).unwrap().fill(&[], &Spellings::default()).unwrap();
        match StoredHead::read(&source, false) {
            Err(error) => {
                blames_the_data(&error);
                refused += 1;
            }
            Ok(_) => read += 1,
        }
    });
    println!("{kind}: {refused} refused, {read} read: the format has no checksum");
    assert!(refused > read / 4);
}

#[test]
fn fault_20_damaged_heads_in_safetensors_are_no_panic() {
    heads("safetensors");
}

#[test]
fn fault_20_damaged_heads_in_npy_are_no_panic() {
    heads("npy");
}
