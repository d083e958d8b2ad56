//! How fast the parts of a run with very many classes are, beside what bounds each.

use std::hint::black_box;
use std::time::Instant;

use rayon::ThreadPoolBuilder;

use super::{Stage, add, best_of, of_labels};
use crate::archive::chunk_rows;
use crate::error::{Error, Result};
use crate::kernels::Workspace;
use crate::kernels::nearest::{Anchors, Candidates, Offsets};
use crate::kernels::pairs::{Points, Variances, sweep};
use crate::linalg::{outer_gram, product_transposed};

/// A part of a run with many classes.
#[derive(Clone, Debug)]
pub struct ManyStage {
    /// What is measured for each row, class or pair of classes; seconds are of one of them.
    pub stage: Stage,
    /// `row`, `class` or `pair`.
    pub each: &'static str,
}

/// Rows that are decided, and classes whose radii are made, at a time.
const ROWS: usize = 256;

/// Classes whose pairs are swept; more take as long for each pair.
const SWEPT: usize = 2048;

/// Candidates of a plain product: more at once would be no faster, and take memory.
const TILE: usize = 4096;

/// Each part is measured so often.
const REPEATS: usize = 3;

const PRODUCT: &str = "a plain f64 product";

/// Measures the parts of a run with so many classes of vectors of length `dim`, made up in memory, on one thread. It takes 16
/// bytes a class and dimension.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) for fewer than two classes, or no dimension.
pub fn bench_many(classes: usize, dim: usize) -> Result<Vec<ManyStage>> {
    if classes < 2 || dim == 0 {
        return Err(Error::usage("there are two classes and a dimension at least"));
    }
    let pool = ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| Error::internal("no thread can be started").with("detail", &error))?;
    pool.install(|| {
        let means = numbers(classes * dim, 1);
        let mut stages = vec![class_sums(classes, dim)?, pairs(&means, dim)?];
        stages.extend(decisions(&means, dim)?);
        Ok(stages)
    })
}

fn class_sums(classes: usize, dim: usize) -> Result<ManyStage> {
    let rows = chunk_rows(dim);
    // Each class as often as every other, in an order that jumps.
    let codes: Vec<usize> = (0..rows).map(|row| (row * 7_919_993) % classes).collect();
    let values = numbers(rows * dim, 2).into_iter().map(|x| x as f32).collect();
    let chunk = of_labels(dim, values, &codes);
    let copying = copying(rows * dim * 4)?;
    Ok(each("row", rows, "class sums, random order", add(&chunk, false)?, "copying", copying))
}

fn pairs(means: &[f64], dim: usize) -> Result<ManyStage> {
    let values = &means[..means.len().min(SWEPT * dim)];
    let norms: Vec<f64> = values.chunks_exact(dim).map(|x| x.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
    let classes = norms.len();
    let (noise, variances, used) = (vec![1e-20; classes], vec![1.0; classes], vec![true; classes]);
    let points = Points { dim, values, norms: &norms, unit: 1.0, noise: &noise, along: 1.0 / dim as f64 };
    let variances = Variances { values: &variances, used: &used, exponent: 1.0, worst: 10 };
    let seconds = best_of(REPEATS, &mut || {
        black_box(sweep(&points, Some(&variances), Some(2.0)));
        Ok(())
    })?;
    let limit = best_of(REPEATS, &mut || {
        black_box(outer_gram(values, dim));
        Ok(())
    })?;
    Ok(each("pair", classes * (classes - 1) / 2, "pairs, every metric of them", seconds, PRODUCT, limit))
}

/// Nearest mean and classifier: by products, within a radius, and making the radius.
fn decisions(means: &[f64], dim: usize) -> Result<Vec<ManyStage>> {
    let classes = means.len() / dim;
    let (origin, noise) = (vec![0.0; dim], numbers(ROWS * dim, 3));
    let of_row: Vec<Option<usize>> = (0..ROWS).map(|row| Some((row * 7_919_993) % classes)).collect();
    let mean = |row: usize| &means[of_row[row].unwrap_or(0) * dim..][..dim];
    let rows: Vec<f64> = (0..ROWS * dim).map(|at| mean(at / dim)[at % dim] + 0.1 * noise[at]).collect();
    let product = best_of(REPEATS, &mut || {
        means.chunks(TILE * dim).for_each(|means| drop(black_box(product_transposed(&rows, means, dim))));
        Ok(())
    })?;
    let copying = copying(ROWS * dim * 4)?;
    let bias: Vec<f64> = means.chunks_exact(dim).map(|mean| -0.5 * mean.iter().map(|x| x * x).sum::<f64>()).collect();
    let centres = || Candidates::new(dim, means, Some(&origin), &[Offsets::HalfSquares]);
    let classifier = || Candidates::new(dim, means, None, &[Offsets::Given(&bias)]);
    let names = [
        ["nearest mean, by products", "within its radius", "making the radius"],
        ["classifier, by products", "within its radius", "making the radius"],
    ];
    let mut stages = Vec::new();
    for ([by_products, within, making], candidates) in names.into_iter().zip([centres(), classifier()]) {
        // Enough rows of each class to come that a radius pays.
        let candidates = candidates.near(Anchors::new(&origin, means, vec![1e3; classes]));
        let mut workspace = Workspace::default();
        let mut choose = |of_row: &[Option<usize>]| {
            best_of(REPEATS, &mut || candidates.choose_of(black_box(&rows), of_row, false, &mut workspace).map(drop))
        };
        let seconds = choose(&[])?;
        stages.push(each("row", ROWS, by_products, seconds, PRODUCT, product));
        let start = Instant::now();
        candidates.prepare(&of_row);
        let preparing = start.elapsed().as_secs_f64();
        stages.push(each("row", ROWS, within, choose(&of_row)?, "copying", copying));
        stages.push(each("class", ROWS.min(classes), making, preparing, PRODUCT, product));
    }
    Ok(stages)
}

/// Seconds in which so many bytes are copied.
fn copying(bytes: usize) -> Result<f64> {
    let bytes = vec![0_u8; bytes];
    let mut copy = bytes.clone();
    best_of(REPEATS, &mut || {
        black_box(&mut copy).copy_from_slice(black_box(&bytes));
        Ok(())
    })
}

/// A part that takes so many seconds for so many rows, classes or pairs.
fn each(
    each: &'static str,
    count: usize,
    name: &'static str,
    seconds: f64,
    limit: &'static str,
    limit_seconds: f64,
) -> ManyStage {
    let count = count as f64;
    ManyStage { stage: Stage { name, seconds: seconds / count, limit, limit_seconds: limit_seconds / count }, each }
}

/// Numbers between −1 and 1 in no order.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    };
    (0..count).map(|_| next()).collect()
}
