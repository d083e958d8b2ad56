//! As many classes as a language has words.

use std::ops::Range;

use nckit::metrics::{Evidence, Extras, Measurements, Options, Selection, measure};

use crate::archives::Table;
use crate::oracle::measured;
use crate::rows::{Random, Rows, Stored};

/// The classes of so many rows: each class once, and then by Zipf's law, in random order.
fn zipf(classes: usize, rows: usize, random: &mut Random) -> Vec<i64> {
    let mut below = 0.0;
    let shares: Vec<f64> = (1..=classes)
        .map(|rank| {
            below += 1.0 / rank as f64;
            below
        })
        .collect();
    let mut labels: Vec<i64> = (0..rows)
        .map(|row| {
            let mut drawn = || shares.partition_point(|&share| share < random.uniform() * below);
            (if row < classes { row } else { drawn().min(classes - 1) }) as i64
        })
        .collect();
    random.shuffle(&mut labels);
    labels
}

/// Rows about means of their classes; the last dimensions lie far from zero.
fn rows(classes: usize, rows: usize, dim: usize, seed: u64) -> Table {
    let mut random = Random::new(seed);
    let means: Vec<f32> = (0..classes * dim).map(|_| random.uniform() as f32 - 0.5).collect();
    let labels = zipf(classes, rows, &mut random);
    let mut value = |label: i64, j: usize| {
        let offset = if j * 4 >= dim * 3 { 10.0 } else { 0.0 };
        offset + means[label as usize * dim + j] + 0.3 * (random.uniform() as f32 - 0.5)
    };
    let values = labels.iter().flat_map(|&label| (0..dim).map(move |j| (label, j))).map(|(label, j)| value(label, j));
    Table { dim, values: values.collect(), labels }
}

/// Beside a plain sweep in double precision over all pairs, of the same means and variances, and of those that two passes over
/// the rows find.
#[test]
fn pairs_of_many_classes_are_those_of_a_plain_sweep() {
    const CHUNK: usize = 4000;
    let table = rows(3000, 12_000, 32, 11);
    let chunk = |rows: Range<usize>| {
        let values = table.values[rows.start * table.dim..rows.end * table.dim].to_vec();
        Rows::new(table.dim, Stored::F32(values), &table.labels[rows])
    };
    let chunks: Vec<Rows> = (0..table.labels.len()).step_by(CHUNK).map(|first| chunk(first..first + CHUNK)).collect();
    let statistics = measured(&chunks);
    assert_eq!(statistics.classes(), 3000);
    let selection = Selection::parse(&KEYS.map(str::to_owned)).unwrap();
    let found = measure(&Evidence::new(&statistics, 24), &Options::default(), &selection, Extras::default()).unwrap();
    let means = (0..statistics.classes()).flat_map(|class| statistics.mean(class)).collect();
    close(&found, &Classes { means, variances: statistics.variances.clone(), ..two_passes(&table) }.metrics(), 1e-9);
    close(&found, &two_passes(&table).metrics(), 1e-6);
}

const KEYS: [&str; 7] = [
    "nc1_cdnv",
    "nc2_etf_error",
    "nc2_max_angle",
    "gnc2_distance_mean",
    "gnc2_log_energy_mean",
    "gnc2_riesz_mean",
    "hug_inter",
];

fn close(found: &Measurements, expected: &[f64; 7], tolerance: f64) {
    for (key, expected) in KEYS.iter().zip(expected) {
        let found = found.value(key).unwrap();
        assert!((found - expected).abs() <= tolerance * expected.abs(), "{key}: {found}, and not {expected}");
    }
}

/// Classes of rows of length `dim`.
struct Classes {
    dim: usize,
    counts: Vec<f64>,
    means: Vec<f64>,
    variances: Vec<f64>,
}

fn two_passes(table: &Table) -> Classes {
    let (dim, classes) = (table.dim, 1 + *table.labels.iter().max().unwrap() as usize);
    let rows = || table.labels.iter().map(|&label| label as usize).zip(table.values.chunks_exact(table.dim));
    let (mut counts, mut means) = (vec![0.0; classes], vec![0.0; classes * dim]);
    for (label, row) in rows() {
        counts[label] += 1.0;
        means[label * dim..][..dim].iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    for (mean, count) in means.chunks_exact_mut(dim).zip(&counts) {
        for sum in mean.iter_mut() {
            *sum /= count;
        }
    }
    let mut variances = vec![0.0; classes];
    for (label, row) in rows() {
        let mean = &means[label * dim..][..dim];
        let square: f64 = row.iter().zip(mean).map(|(&x, mean)| (f64::from(x) - mean).powi(2)).sum();
        variances[label] += square / counts[label];
    }
    Classes { dim, counts, means, variances }
}

impl Classes {
    /// The metrics of [`KEYS`], pair by pair.
    fn metrics(&self) -> [f64; 7] {
        let (dim, classes) = (self.dim, self.counts.len());
        let k = classes as f64;
        let mut centre = vec![0.0; dim];
        for mean in self.means.chunks_exact(dim) {
            centre.iter_mut().zip(mean).for_each(|(centre, x)| *centre += x / k);
        }
        let centred: Vec<f64> =
            self.means.chunks_exact(dim).flat_map(|row| row.iter().zip(&centre).map(|(x, c)| x - c)).collect();
        let row = |class: usize| &centred[class * dim..][..dim];
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let norms: Vec<f64> = (0..classes).map(|class| dot(row(class), row(class)).sqrt()).collect();
        let (mut cdnv, mut varied, mut pairs) = (0.0, 0.0, 0.0);
        let (mut deviation, mut distances, mut logs, mut riesz, mut squares) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for i in 0..classes {
            for j in 0..i {
                let product = dot(row(i), row(j));
                if self.counts[i] > 1.0 && self.counts[j] > 1.0 {
                    let apart: f64 = row(i).iter().zip(row(j)).map(|(a, b)| (a - b).powi(2)).sum();
                    cdnv += (self.variances[i] + self.variances[j]) / (2.0 * apart);
                    varied += 1.0;
                }
                let cos = product / (norms[i] * norms[j]);
                let apart = 2.0 - 2.0 * cos;
                deviation += (cos + 1.0 / (k - 1.0)).abs();
                distances += apart.sqrt();
                logs -= 0.5 * apart.ln();
                riesz += 1.0 / apart;
                squares += 2.0 * product * product;
                pairs += 1.0;
            }
        }
        let trace: f64 = norms.iter().map(|norm| norm * norm).sum();
        squares += norms.iter().map(|norm| norm.powi(4)).sum::<f64>();
        let etf = (2.0 - 2.0 * trace / (squares.sqrt() * (k - 1.0).sqrt())).sqrt();
        [cdnv / varied, etf, deviation / pairs, distances / pairs, logs / pairs, riesz / pairs, riesz / pairs]
    }
}

#[cfg(feature = "cli")]
mod program {
    use super::rows;
    use crate::archives::Table;
    use crate::faults::Place;

    /// Three files, and labels that come in another order in each.
    fn write(place: &Place, table: &Table, row_group: usize) -> [&'static str; 3] {
        let names = ["a.parquet", "b.parquet", "c.parquet"];
        let rows = table.labels.len();
        for (at, name) in names.iter().enumerate() {
            table.write(&place.path(name), at * rows / 3..(at + 1) * rows / 3, row_group);
        }
        names
    }

    #[test]
    fn thirty_thousand_classes_give_the_same_bits_whatever_the_threads_and_the_order() {
        let place = Place::new();
        let [a, b, c] = write(&place, &rows(30_000, 75_000, 24, 7), 12_000);
        rows(30_000, 30_300, 24, 7).write(&place.path("few.parquet"), 0..300, 300);
        let measure = |files: [&str; 3], more: &[&str]| {
            let metrics = "nc1_trace_ratio,nc1_pinv,nc2_etf_error,nc1_cdnv,gnc2_log_energy_mean,nc3,nc4";
            let decided = ["--head=lstsq", "--decisions=few.parquet", "--sweep-sample=1500", "-q"];
            place.succeed(&[&["measure"], &files[..], &["--metrics", metrics], &decided[..], more].concat())
        };
        let state = |files: [&str; 3], more: &[&str]| {
            place.succeed(&[&["accumulate"], &files[..], &["-o", "x.ncst", "--overwrite", "-q"], more].concat());
            place.read("x.ncst")
        };
        let (numbers, bytes) = (measure([a, b, c], &["--threads=1"]), state([a, b, c], &["--threads=1"]));
        assert!(numbers.contains("\"classes\":30000"), "{numbers}");
        for (files, threads) in [([b, c, a], "--threads=2"), ([c, b, a], "--threads=3")] {
            // A thread's own state is shared from 16 MiB on; those of all classes take 28 MB.
            let more = [threads, "--memory=160MiB"];
            assert_eq!(measure(files, &more), numbers, "{files:?} {more:?}");
            assert!(state(files, &more) == bytes, "{files:?} {more:?}");
        }
        // A part of the files by each of two runs, in either order.
        for files in [["a.ncst", "bc.ncst"], ["bc.ncst", "a.ncst"]] {
            place.succeed(&["accumulate", a, "-o", "a.ncst", "--overwrite", "-q"]);
            place.succeed(&["accumulate", b, c, "-o", "bc.ncst", "--overwrite", "-q"]);
            place.succeed(&["merge", files[0], files[1], "-o", "merged.ncst", "--overwrite", "-q"]);
            assert!(place.read("merged.ncst") == bytes, "{files:?}");
        }
    }

    /// States of more than 100 MB.
    #[test]
    fn large_states_are_resumed_merged_and_finished() {
        let place = Place::new();
        let [a, b, c] = write(&place, &rows(30_000, 60_000, 512, 3), 20_000);
        let counted = ["--metrics=nc1_trace_ratio,nc2_etf_error", "-q"];
        let accumulate = |files: &[&str], more: &[&str]| {
            place.succeed(&[&["accumulate"], files, more, &counted[..], &["--overwrite"]].concat());
        };
        accumulate(&[a, b, c], &["-o", "whole.ncst"]);
        let whole = place.read("whole.ncst");
        assert!(whole.len() > 100_000_000, "{}", whole.len());
        accumulate(&[a], &["-o", "a.ncst"]);
        accumulate(&[b, c], &["-o", "bc.ncst"]);
        place.succeed(&["merge", "bc.ncst", "a.ncst", "-o", "merged.ncst", "-q"]);
        assert!(place.read("merged.ncst") == whole);
        #[cfg(debug_assertions)]
        {
            // It dies at its second checkpoint, and what the first one has saved is not read again.
            let run = ["accumulate", a, b, c, "-o", "x.ncst", "--checkpoint-every=0s", "--threads=1", "--resume"];
            let run = [&run[..], &counted[..]].concat();
            let died = place.command(&run).env("NCKIT_FAIL", "rename:3:abort").output().unwrap();
            assert_eq!(died.status.code(), None);
            assert!(place.succeed(&["inspect", "x.ncst"]).contains("1 of 3"));
            place.succeed(&run);
            assert!(place.read("x.ncst") == whole);
        }
        let metrics = "--metrics=nc1_trace_ratio,nc2_etf_error";
        let finished = place.succeed(&["finish", "merged.ncst", metrics, "-q"]);
        assert_eq!(finished, place.succeed(&["measure", a, b, c, metrics, "-q"]));
    }
}
