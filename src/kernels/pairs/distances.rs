//! Squared distances of all pairs of points, for whoever sums something of them.

use std::ops::Range;

use rayon::prelude::*;

use super::lanes::{squared_distance, sum};
use super::{NEAR, Points, TILE, Tile, UNRESOLVED, WAVE, products};

/// The distances of a point from points that come after it.
#[derive(Clone, Copy, Debug)]
pub struct Distances<'a> {
    /// The point.
    pub point: usize,
    /// The first of the others; the rest follow it.
    pub first: usize,
    /// The squared distance of each of the others, in units of the points squared.
    pub squared: &'a [f64],
}

impl Points<'_> {
    /// Whether two points that far apart are the same up to rounding: `d² ≤ 4 D ε (‖x‖² + ‖y‖²)`, or up to 32 times the noise
    /// of both.
    pub fn unresolved(&self, i: usize, j: usize, squared: f64) -> bool {
        let norms = self.norms[i] * self.norms[i] + self.norms[j] * self.norms[j];
        squared <= self.tolerance() * norms || squared <= UNRESOLVED * (self.noise[i] + self.noise[j])
    }
}

/// Sweeps all pairs once. `start` begins a part for the points of two ranges, `row` adds distances to it, and `merge` takes
/// the parts, in an order that no number of threads changes.
pub fn distances<T: Send>(
    points: &Points<'_>,
    start: impl Fn(&Range<usize>, &Range<usize>) -> T + Sync,
    row: impl Fn(&mut T, &Distances<'_>) + Sync,
    mut merge: impl FnMut(&Range<usize>, &Range<usize>, T),
) {
    let squares: Vec<f64> = (0..points.len()).map(|k| sum(points.row(k), |x| x * x)).collect();
    let span = |block: usize| block * TILE..((block + 1) * TILE).min(points.len());
    let blocks = points.len().div_ceil(TILE);
    let tiles: Vec<_> = (0..blocks).flat_map(|a| (a..blocks).map(move |b| (span(a), span(b)))).collect();
    for wave in tiles.chunks(WAVE) {
        let sweep = |room: &mut Vec<f64>, (rows, cols): &(Range<usize>, Range<usize>)| {
            products(points, rows, cols, room);
            let mut part = start(rows, cols);
            let mut squared = [0.0; TILE];
            let tile = Tile { rows: rows.clone(), cols: cols.clone(), products: room };
            for (point, others, products) in tile.pairs().filter(|(_, others, _)| !others.is_empty()) {
                let squared = &mut squared[..products.len()];
                for (at, (squared, product)) in squared.iter_mut().zip(products).enumerate() {
                    let both = squares[point] + squares[others.start + at];
                    *squared = both - 2.0 * product;
                    if *squared < NEAR * both {
                        *squared = squared_distance(points.row(point), 1.0, points.row(others.start + at), 1.0);
                    }
                }
                row(&mut part, &Distances { point, first: others.start, squared });
            }
            part
        };
        let parts: Vec<T> = wave.par_iter().map_init(Vec::new, sweep).collect();
        wave.iter().zip(parts).for_each(|((rows, cols), part)| merge(rows, cols, part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pairs that a sweep sees, in its order.
    fn pairs(dim: usize, values: &[f64], threads: usize) -> Vec<(usize, usize, f64)> {
        let norms: Vec<f64> = values.chunks(dim).map(|row| sum(row, |x| x * x).sqrt()).collect();
        let noise = vec![0.0; norms.len()];
        let points = Points { dim, values, norms: &norms, unit: 1.0, noise: &noise, along: 1.0 };
        let mut all = Vec::new();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            distances(
                &points,
                |_, _| Vec::new(),
                |part: &mut Vec<_>, row| {
                    part.extend(row.squared.iter().enumerate().map(|(at, &d)| (row.point, row.first + at, d)));
                },
                |_, _, part| all.extend(part),
            );
        });
        all
    }

    #[test]
    fn every_pair_is_seen_once_in_one_order() {
        let (dim, count) = (3, 2 * TILE + 7);
        let value = |at: usize| ((at * at * 31 + at * 7) % 1009) as f64 / 64.0;
        // The last point lies beside the first, where products would lose all digits.
        let mut values: Vec<f64> = (0..count * dim).map(value).collect();
        let near: Vec<f64> = values[..dim].iter().map(|x| x + 1e-9).collect();
        values[(count - 1) * dim..].copy_from_slice(&near);
        let seen = pairs(dim, &values, 1);
        assert_eq!(seen, pairs(dim, &values, 3));
        assert_eq!(seen.len(), count * (count - 1) / 2);
        for (i, j, squared) in seen {
            assert!(i < j);
            let row = |k: usize| &values[k * dim..][..dim];
            let expected: f64 = row(i).iter().zip(row(j)).map(|(a, b)| (a - b).powi(2)).sum();
            assert!((squared - expected).abs() <= 1e-11 * expected, "{i} {j}: {squared} {expected}");
        }
    }
}
