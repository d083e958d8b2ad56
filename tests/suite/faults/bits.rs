//! Every bit of small files whose pages carry checksums: footers and page headers have none of their own.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nckit::archive::{Archive, Dtype, Policy, Request, Table, Wanted};
use nckit::error::{ErrorKind, Result};
use rayon::prelude::*;

use super::mutations::{Damage, damage};
use crate::rows::Random;

/// What came of reading damaged bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    refused: usize,
    same: usize,
    different: usize,
    crashed: usize,
    /// Took longer than anything that small may.
    hung: usize,
}

impl Counts {
    fn add(self, other: Self) -> Self {
        Self {
            refused: self.refused + other.refused,
            same: self.same + other.same,
            different: self.different + other.different,
            crashed: self.crashed + other.crashed,
            hung: self.hung + other.hung,
        }
    }
}

const LONG: Duration = Duration::from_secs(5);

/// The files, by their names.
fn files() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/checked");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    let mut files: Vec<(String, Vec<u8>)> =
        paths.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect();
    files.sort();
    assert_eq!(files.len(), 10);
    files
}

/// All rows of a request, chunk by chunk, and what was left out.
pub(super) fn rows_read(path: &Path, request: &Request) -> Result<Vec<String>> {
    let archive = Archive::open(&[path.to_str().unwrap().to_owned()], request)?;
    let mut rows = Vec::new();
    for unit in 0..archive.units().len() {
        let mut reader = archive.read(unit)?;
        while let Some(chunk) = reader.next()? {
            let labels = chunk.codes.iter().map(|&code| chunk.classes[code as usize].to_string());
            rows.push(format!(
                "{:?} {:?} {:?} {:?}",
                chunk.values,
                labels.collect::<Vec<_>>(),
                chunk.file_rows,
                chunk.parts
            ));
        }
    }
    Ok(rows)
}

/// Every row that these filters let through: its group, its label and its vector, and what was left out.
fn rows(path: &Path, filters: &[(&str, &str)]) -> Result<Vec<String>> {
    // Bytes are vectors where somebody says so.
    let dtype = path.ends_with("plain-binary.parquet").then_some(Dtype::F32);
    let request = Request {
        features: dtype.map(|_| "feature".to_owned()),
        dtype,
        nulls: Policy::Skip,
        nonfinite: Policy::Skip,
        group_by: vec!["epoch".to_owned()],
        keys_optional: true,
        filters: filters.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ..Request::default()
    };
    rows_read(path, &request)
}

/// All columns, as SQL gets them.
fn table(path: &Path) -> Result<Vec<String>> {
    let table = Arc::new(Table::open(&[path.to_str().unwrap().to_owned()], &[])?);
    let wanted = Wanted { columns: (0..table.columns().len()).collect(), ..Wanted::default() };
    let mut rows = Vec::new();
    for unit in 0..table.units().len() {
        let mut reader = table.read(unit, &wanted)?;
        while let Some(read) = reader.next()? {
            rows.push(format!("{:?}", read.columns));
        }
    }
    Ok(rows)
}

type Reading = Result<Vec<String>>;

/// The ways in which a file is read.
fn readings(path: &Path) -> [Reading; 3] {
    [rows(path, &[]), rows(path, &[("epoch", "8")]), table(path)]
}

/// One damaged file after the other, in the place of a sound one.
struct Bench {
    path: PathBuf,
    expected: [Reading; 3],
}

impl Bench {
    fn new(folder: &Path, name: &str, whole: &[u8]) -> Self {
        let path = folder.join(format!("{name}.parquet"));
        fs::write(&path, whole).unwrap();
        let expected = readings(&path);
        assert!(expected[0].is_ok() && expected[2].is_ok(), "{name}: {expected:?}");
        Self { path, expected }
    }

    /// Reads the damaged bytes in every way; the worst outcome counts.
    fn read(&self, damaged: &[u8]) -> Counts {
        fs::write(&self.path, damaged).unwrap();
        let start = Instant::now();
        let Ok(found) = catch_unwind(AssertUnwindSafe(|| readings(&self.path))) else {
            return Counts { crashed: 1, ..Counts::default() };
        };
        let mut counts = Counts { hung: usize::from(start.elapsed() > LONG), ..Counts::default() };
        let pairs = || found.iter().zip(&self.expected);
        for error in found.iter().filter_map(|found| found.as_ref().err()) {
            let kinds = [ErrorKind::Data, ErrorKind::Missing, ErrorKind::Usage, ErrorKind::Resource];
            assert!(kinds.contains(&error.kind()), "{error:?}");
        }
        let differs = |(found, expected): (&Reading, &Reading)| match (found, expected) {
            (Ok(found), Ok(expected)) => found != expected,
            (Ok(_), Err(_)) => true,
            (Err(_), _) => false,
        };
        let refused = |(found, expected): (&Reading, &Reading)| found.is_err() && expected.is_ok();
        if pairs().any(differs) {
            counts.different = 1;
        } else if pairs().any(refused) {
            counts.refused = 1;
        } else {
            counts.same = 1;
        }
        counts
    }
}

/// Flips every `step`th bit of a file, one at a time; returns what came of it, and the bits that made other rows.
fn flip(name: &str, whole: &[u8], step: usize) -> (Counts, Vec<(usize, usize)>) {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(folder.path(), name, whole);
    let (mut counts, mut silent) = (Counts::default(), Vec::new());
    for bit in (0..8 * whole.len()).step_by(step) {
        let mut damaged = whole.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let outcome = bench.read(&damaged);
        if outcome.different > 0 {
            silent.push((bit / 8, bit % 8));
        }
        counts = counts.add(outcome);
    }
    (counts, silent)
}

/// Damages a file at random, so many times.
fn damage_at_random(name: &str, whole: &[u8], other: &[u8], trials: usize) -> (Counts, Vec<Damage>) {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(folder.path(), name, whole);
    let mut random = Random::new(name.len() as u64);
    let (mut counts, mut silent) = (Counts::default(), Vec::new());
    for _ in 0..trials {
        let (how, damaged) = damage(&mut random, whole, other);
        let outcome = bench.read(&damaged);
        if outcome.different > 0 {
            silent.push(how);
        }
        counts = counts.add(outcome);
    }
    (counts, silent)
}

#[test]
fn fault_28_bits_of_footers_and_page_headers_are_seen_or_make_no_difference() {
    // A prime, so that every bit of a byte has its turn.
    let found: Vec<_> = files().into_par_iter().map(|(name, whole)| (flip(&name, &whole, 61), name)).collect();
    for ((counts, silent), name) in found {
        assert_eq!((counts.different, counts.crashed, counts.hung), (0, 0, 0), "{name}: {silent:?}");
        assert!(counts.refused > counts.same, "{name}: {counts:?}");
    }
}

#[test]
#[ignore = "takes minutes: its counts stand in docs/faults.md"]
fn fault_28_every_bit_of_ten_files() {
    let files = files();
    let row = |name: &str, counts: Counts| {
        let Counts { refused, same, different, crashed, hung } = counts;
        println!("| {name} | {refused} | {same} | {different} | {crashed} | {hung} |");
    };
    let flipped: Vec<_> = files.par_iter().map(|(name, whole)| (flip(name, whole, 1), name)).collect();
    let mut all = Counts::default();
    for ((counts, silent), name) in flipped {
        row(name, counts);
        println!("  other rows after byte and bit {silent:?}");
        all = all.add(counts);
    }
    row("all bits", all);
    let others = files.iter().cycle().skip(1);
    let damaged: Vec<_> = files
        .iter()
        .zip(others)
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(|((name, whole), (_, other))| (damage_at_random(name, whole, other, 2000), name))
        .collect();
    let mut random = Counts::default();
    for ((counts, silent), name) in damaged {
        println!("  {name} at random: {counts:?}, other rows after {silent:?}");
        random = random.add(counts);
    }
    row("at random", random);
    let all = all.add(random);
    assert_eq!((all.crashed, all.hung), (0, 0));
}
