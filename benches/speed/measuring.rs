//! Whole runs, beside what bounds them: reading the file, and a plain `f64` matrix product of as many rows.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use nckit::kernels::gram::{BLOCK_ROWS, plain_product};
use nckit::metrics::Selection;
use nckit::pipeline::Job;

use crate::data::{Archive, Layout, Order, ROWS, archive, brief, read_file};

/// All of NC1 to NC3, and what of it needs no `D × D` matrix.
const ALL: [&str; 3] = ["nc1", "nc2", "nc3"];
pub(crate) const SUMS: [&str; 2] = ["nc1_cdnv", "nc2_etf_error"];

pub(crate) fn measure(path: &Path, metrics: &[&str], threads: usize) {
    let metrics: Vec<String> = metrics.iter().map(|&name| name.to_owned()).collect();
    let selection = Selection::parse(&metrics).expect("names of metrics");
    let report = Job { selection, threads, memory: 4 << 30, ..Job::new([path]) }.run().expect("a report");
    assert_eq!(report.groups[0].rows, ROWS as u64);
}

/// `XᵀX` of `ROWS` rows, block by block: the same one again and again, which lies in cache, each thread its share.
fn syrk(block: &[f64], dim: usize, threads: usize) {
    let share = || {
        let mut product = vec![0.0; dim * dim];
        for _ in 0..ROWS / BLOCK_ROWS / threads {
            plain_product(black_box(&mut product), block, dim);
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(share)).collect();
        share();
        for other in others {
            drop(other.join());
        }
    });
}

fn id(name: &str, classes: usize, dim: usize, threads: usize) -> BenchmarkId {
    BenchmarkId::new(name, format!("N={ROWS},K={classes},D={dim},threads={threads}"))
}

/// No second read of the rows: NC4 is not asked for.
fn scatter(c: &mut Criterion) {
    for (classes, dim) in [(10, 512), (100, 768)] {
        let archive = archive(Layout::Fixed, classes, dim, Order::Random, None);
        let block: Vec<f64> = (0..BLOCK_ROWS * dim).map(|at| ((at * at) % 1_000_003) as f64 - 5e5).collect();
        let mut group = c.benchmark_group("NC1 to NC3");
        brief(&mut group);
        group.throughput(Throughput::Bytes((4 * ROWS * dim) as u64));
        for threads in [1, 2] {
            group.bench_function(id("nckit", classes, dim, threads), |b| {
                b.iter(|| measure(&archive.path, &ALL, threads));
            });
            group.bench_function(id("limit: SYRK", classes, dim, threads), |b| b.iter(|| syrk(&block, dim, threads)));
        }
    }
}

fn sums(c: &mut Criterion) {
    for classes in [10, 1000] {
        let archive = archive(Layout::Fixed, classes, 512, Order::Random, None);
        let mut group = c.benchmark_group("class sums");
        brief(&mut group);
        group.throughput(Throughput::Bytes((4 * ROWS * 512) as u64));
        for threads in [1, 2] {
            group.bench_function(id("nckit", classes, 512, threads), |b| {
                b.iter(|| measure(&archive.path, &SUMS, threads));
            });
        }
        group.bench_function(id("limit: file read", classes, 512, 1), |b| b.iter(|| read_file(&archive.path)));
    }
}

/// What should make no difference, or little.
fn variations(c: &mut Criterion) {
    let cases: [(&str, Archive); 5] = [
        ("sorted", archive(Layout::Fixed, 1000, 512, Order::Sorted, None)),
        ("random", archive(Layout::Fixed, 1000, 512, Order::Random, None)),
        ("one long row in 100", archive(Layout::Fixed, 1000, 512, Order::Random, Some(100))),
        ("zstd", archive(Layout::Zstd, 1000, 512, Order::Random, None)),
        ("pyarrow's defaults", archive(Layout::Defaults, 1000, 512, Order::Random, None)),
    ];
    for (name, metrics) in [("class sums", &SUMS[..]), ("NC1 to NC3", &ALL)] {
        let mut group = c.benchmark_group(format!("variations of {name}"));
        brief(&mut group);
        for (case, archive) in &cases {
            group.bench_function(id(case, 1000, 512, 2), |b| b.iter(|| measure(&archive.path, metrics, 2)));
        }
    }
}

criterion_group!(benches, scatter, sums, variations);
