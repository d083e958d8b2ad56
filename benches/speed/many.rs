//! Many classes: decisions on rows and the sweep over pairs, beside plain products of the same size.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group};
use nckit::kernels::Workspace;
use nckit::kernels::nearest::{Anchors, Candidates, Offsets};
use nckit::kernels::pairs::{Points, Variances, sweep};
use nckit::linalg::outer_gram;

use crate::data::brief;

const DIM: usize = 768;

/// Rows that are decided at a time.
const ROWS: usize = 1024;

/// Numbers between −1 and 1 in no order.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The nearest mean of rows: without knowing their classes, within the radii of their classes, and making these radii.
fn decisions(c: &mut Criterion) {
    let mut group = c.benchmark_group("many classes: nearest mean");
    brief(&mut group);
    for classes in [1000, 12_000] {
        let (means, origin, noise) = (numbers(classes * DIM, 1), vec![0.0; DIM], numbers(ROWS * DIM, 2));
        let of_row: Vec<Option<usize>> = (0..ROWS).map(|row| Some(row * 7919 % classes)).collect();
        let mean = |row: usize| &means[row * 7919 % classes * DIM..][..DIM];
        let rows: Vec<f64> = (0..ROWS * DIM).map(|at| mean(at / DIM)[at % DIM] + 0.3 * noise[at]).collect();
        let anchors = || Anchors::new(&origin, &means, vec![9.0; classes]);
        let candidates = || Candidates::new(DIM, &means, Some(&origin), &[Offsets::HalfSquares]).near(anchors());
        let (far, near, mut workspace) = (candidates(), candidates(), Workspace::default());
        near.prepare(&of_row);
        let id = |name: &str| BenchmarkId::new(name, format!("rows={ROWS},K={classes},D={DIM}"));
        group.bench_function(id("products"), |b| b.iter(|| far.choose(black_box(&rows), false, &mut workspace)));
        group.bench_function(id("within radii"), |b| {
            b.iter(|| near.choose_of(black_box(&rows), &of_row, false, &mut workspace));
        });
        group.bench_function(id("radii"), |b| b.iter(|| candidates().prepare(black_box(&of_row))));
    }
    group.finish();
}

/// All metrics of pairs.
fn pairs(c: &mut Criterion) {
    let mut group = c.benchmark_group("many classes: pairs");
    brief(&mut group);
    for (classes, dim) in [(3000, DIM), (3000, 128)] {
        let values = numbers(classes * dim, 3);
        let norms: Vec<f64> = values.chunks(dim).map(|x| x.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let (noise, variances, used) = (vec![1e-20; classes], vec![1.0; classes], vec![true; classes]);
        let along = 1.0 / dim as f64;
        let points = Points { dim, values: &values, norms: &norms, unit: 1.0, noise: &noise, along };
        let variances = Variances { values: &variances, used: &used, exponent: 1.0, worst: 10 };
        let id = |name: &str| BenchmarkId::new(name, format!("K={classes},D={dim}"));
        group.bench_function(id("nckit"), |b| b.iter(|| sweep(black_box(&points), Some(&variances), Some(2.0))));
        group.bench_function(id("limit: product"), |b| b.iter(|| outer_gram(black_box(&values), dim)));
    }
    group.finish();
}

criterion_group!(benches, decisions, pairs);
