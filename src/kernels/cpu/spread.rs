//! One pass over a chunk that finds how its values spread.

use crate::batch::ByClass;
use crate::grid::{Spread, Value, ceil_log2, power_of_two, vectorised};

/// The spread of a chunk of so many dimensions, and the mean of each class; see [`Kernels::spread`](super::Kernels).
pub(super) fn spread<T: Value>(values: &[T], dim: usize, order: &ByClass, means: &mut Vec<f64>) -> Spread {
    let mut largest = vec![0.0; dim];
    if T::WIDE_RANGE {
        raise_all(&mut largest, values);
    }
    let scale: Vec<i32> = largest.iter().map(|&x| if x > 0.0 { ceil_log2(x).clamp(-1022, 1022) } else { 0 }).collect();
    let factors: Vec<f64> = scale.iter().map(|&p| power_of_two(-p as i16)).collect();

    let zeros = || vec![0.0; dim];
    // What the sums hold before the first row of their class does not matter.
    means.resize(order.counts().len() * dim, 0.0);
    let mut pass = Pass { values, dim, factors: &factors, sums: means, totals: [zeros(), zeros(), zeros(), largest] };
    let first: Vec<u32> = order.each().map(|rows| rows[0]).collect();
    vectorised(
        #[inline(always)]
        || {
            let whole = dim / LANES * LANES;
            // Loops and not iterators with closures, which might not be inlined.
            for (rows, classes) in order.rows().chunks(TILE_ROWS).zip(order.classes().chunks(TILE_ROWS)) {
                let tile = Tile { rows, classes, first: &first };
                for start in (0..whole).step_by(LANES) {
                    pass.add::<LANES>(&tile, start);
                }
                for start in whole..dim {
                    pass.add::<1>(&tile, start);
                }
            }
        },
    );
    let Pass { totals: [deviation, mut sigma, hits, largest], .. } = pass;

    let rows = order.rows().len();
    let freedom = rows - order.counts().len();
    vectorised(
        #[inline(always)]
        || {
            let (sigma, largest, factors) = (&mut sigma[..dim], &largest[..dim], &factors[..dim]);
            for (class, &count) in order.counts().iter().enumerate() {
                let (share, origin) = (1.0 / count as f64, &values[first[class] as usize * dim..][..dim]);
                let means = &mut means[class * dim..][..dim];
                for j in 0..dim {
                    let mean = means[j] * share;
                    sigma[j] -= means[j] * mean;
                    // Scaled as long as possible: the difference of two `f64` values may leave the range of `f64`.
                    let scaled = origin[j].widen() * factors[j] + mean;
                    let mean = if T::WIDE_RANGE { scaled / factors[j] } else { scaled };
                    means[j] = mean.max(-largest[j]).min(largest[j]);
                }
            }
        },
    );
    for sigma in &mut sigma {
        *sigma = if *sigma > 0.0 { (*sigma / freedom as f64).sqrt() } else { 0.0 };
    }
    let about_first = (freedom < Spread::MIN_FREEDOM).then(|| {
        let mut about = vec![0.0_f64; dim];
        for row in values.chunks_exact(dim) {
            for j in 0..dim {
                let delta = row[j].widen() * factors[j] - values[j].widen() * factors[j];
                about[j] = about[j].max(delta.abs());
            }
        }
        about
    });
    Spread { largest, scale, deviation, sigma, hits, rows, freedom, about_first }
}

/// Rows of a class that its mean is estimated from: it is off by about a quarter of a standard deviation.
const OUTLINE_ROWS: usize = 16;

/// The largest `|x|` of each dimension, and about where each class lies; see [`Kernels::outline`](super::Kernels).
pub(super) fn outline<T: Value>(values: &[T], dim: usize, order: &ByClass, means: &mut Vec<f64>) -> Vec<f64> {
    let mut largest = vec![0.0; dim];
    raise_all(&mut largest, values);
    means.resize(order.counts().len() * dim, 0.0);
    for (mean, rows) in means.chunks_exact_mut(dim).zip(order.each()) {
        class_mean(values, rows, &largest, mean);
    }
    largest
}

/// About where rows of a class lie: `mean`, D, becomes the mean of the first of them.
pub(in crate::kernels) fn class_mean<T: Value>(values: &[T], rows: &[u32], largest: &[f64], mean: &mut [f64]) {
    let dim = mean.len();
    mean.fill(0.0);
    let first = &rows[..rows.len().min(OUTLINE_ROWS)];
    for &row in first {
        let row = &values[row as usize * dim..][..dim];
        mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x.widen());
    }
    // A sum may have left the range of `f64`.
    let bounded = |(mean, &largest): (&mut f64, &f64)| {
        *mean = (*mean / first.len() as f64).clamp(-largest, largest);
    };
    mean.iter_mut().zip(largest).for_each(bounded);
}

/// Raises `largest`, D, to the magnitudes of rows.
fn raise_all<T: Value>(largest: &mut [f64], values: &[T]) {
    vectorised(
        #[inline(always)]
        || values.chunks_exact(largest.len()).for_each(|row| raise(largest, row)),
    );
}

/// Takes the larger magnitudes.
#[inline(always)]
fn raise<T: Value>(largest: &mut [f64], row: &[T]) {
    let largest = &mut largest[..row.len()];
    for j in 0..row.len() {
        let x = row[j].widen().abs();
        largest[j] = if x > largest[j] { x } else { largest[j] };
    }
}

/// Dimensions that are summed in registers while a tile of rows passes.
const LANES: usize = 8;

/// Rows of a tile, which stays in the nearest cache.
const TILE_ROWS: usize = 8;

/// Some rows of a chunk in the order of classes.
struct Tile<'a> {
    rows: &'a [u32],
    classes: &'a [u32],
    /// The first row of each class.
    first: &'a [u32],
}

/// The rows of a chunk, and what they add up to.
struct Pass<'a, T> {
    values: &'a [T],
    dim: usize,
    factors: &'a [f64],
    /// `Σ δ`, classes × D; undefined before the first row of a class.
    sums: &'a mut [f64],
    /// Largest |δ|, `Σ δ²`, rows with `δ ≠ 0` and largest |x|, each D.
    totals: [Vec<f64>; 4],
}

impl<T: Value> Pass<'_, T> {
    /// Adds `N` dimensions of some rows, from `start` on.
    #[inline(always)]
    fn add<const N: usize>(&mut self, tile: &Tile<'_>, start: usize) {
        let factors: [f64; N] = load(self.factors, start);
        // One by one: a closure might not be inlined.
        let [deviation, squares, hits, largest] = &self.totals;
        let (mut deviation, mut squares) = (load::<N>(deviation, start), load::<N>(squares, start));
        let (mut hits, mut largest) = (load::<N>(hits, start), load::<N>(largest, start));
        let (mut at, mut class) = (0, usize::MAX);
        let (mut origin, mut sums) = ([0.0; N], [0.0; N]);
        while at < tile.rows.len() {
            let row = tile.rows[at] as usize;
            if tile.classes[at] as usize != class {
                if class != usize::MAX {
                    self.sums[class * self.dim + start..][..N].copy_from_slice(&sums);
                }
                class = tile.classes[at] as usize;
                let first = tile.first[class] as usize;
                origin = self.scaled(first, start, &factors).1;
                sums = if row == first { [0.0; N] } else { load(self.sums, class * self.dim + start) };
            }
            let (x, scaled) = self.scaled(row, start, &factors);
            for lane in 0..N {
                let delta = scaled[lane] - origin[lane];
                let (size, distance) = (x[lane].abs(), delta.abs());
                largest[lane] = if size > largest[lane] { size } else { largest[lane] };
                deviation[lane] = if distance > deviation[lane] { distance } else { deviation[lane] };
                squares[lane] += delta * delta;
                hits[lane] += if delta == 0.0 { 0.0 } else { 1.0 };
                sums[lane] += delta;
            }
            at += 1;
        }
        self.sums[class * self.dim + start..][..N].copy_from_slice(&sums);
        for (total, lanes) in self.totals.iter_mut().zip([&deviation, &squares, &hits, &largest]) {
            total[start..start + N].copy_from_slice(lanes);
        }
    }

    /// Values of a row, and the same as differences are taken of.
    #[inline(always)]
    fn scaled<const N: usize>(&self, row: usize, start: usize, factors: &[f64; N]) -> ([f64; N], [f64; N]) {
        let values = &self.values[row * self.dim + start..][..N];
        let (mut x, mut scaled) = ([0.0; N], [0.0; N]);
        for lane in 0..N {
            x[lane] = values[lane].widen();
            scaled[lane] = if T::WIDE_RANGE { x[lane] * factors[lane] } else { x[lane] };
        }
        (x, scaled)
    }
}

#[inline(always)]
fn load<const N: usize>(values: &[f64], start: usize) -> [f64; N] {
    let mut lanes = [0.0; N];
    lanes.copy_from_slice(&values[start..start + N]);
    lanes
}
