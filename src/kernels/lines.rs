//! Spread along the lines between centres, without anything of size `K × K`.

use super::dot::{dot, dots, norm, squared_distance};
use super::pairs::UNRESOLVED;

/// How many lines are taken at a time: their directions stay in cache while rows pass.
const TILE: usize = 32;

/// Centres, and the lines between any two of them.
#[derive(Debug)]
pub struct Lines<'a> {
    dim: usize,
    centres: &'a [f64],
    /// The centres that take part.
    kept: Vec<u32>,
    /// `‖c_k‖²` about the mean of the kept centres, one for each kept centre.
    squares: Vec<f64>,
    /// The mean squared distance of each kept centre from the true one.
    noise: Vec<f64>,
}

impl<'a> Lines<'a> {
    /// The lines between those rows of `centres`, `K × D`, that `kept` lists. `noise` returns the mean squared distance
    /// by which rounding has moved a centre.
    pub fn new(dim: usize, centres: &'a [f64], noise: impl Fn(usize) -> f64, kept: Vec<u32>) -> Self {
        let mut mean = vec![0.0; dim];
        for &k in &kept {
            mean.iter_mut().zip(row(centres, dim, k)).for_each(|(mean, x)| *mean += x / kept.len() as f64);
        }
        let squares = kept.iter().map(|&k| squared_distance(row(centres, dim, k), &mean)).collect();
        let noise = kept.iter().map(|&k| noise(k as usize)).collect();
        Self { dim, centres, kept, squares, noise }
    }

    /// The centres that take part.
    pub fn kept(&self) -> &[u32] {
        &self.kept
    }

    /// Unordered pairs of centres too near to each other for a line between them.
    pub fn degenerate_pairs(&self) -> u64 {
        let norms: Vec<f64> = self.squares.iter().map(|square| square.sqrt()).collect();
        let mut pairs = 0;
        for a in 0..self.kept.len() {
            for b in 0..a {
                // Centres are at least as far apart as their distances from the mean differ; the factor 4 covers rounding.
                let apart = (norms[a] - norms[b]).powi(2);
                if apart <= 4.0 * self.too_near(a, b) {
                    let square = squared_distance(self.centre(a), self.centre(b));
                    pairs += u64::from(square <= self.too_near(a, b));
                }
            }
        }
        pairs
    }

    /// `Σ_j ((x − μ_i) · (μ_j − μ_i))² / ‖μ_j − μ_i‖⁴` for each row `x − μ_i` of `rows`, in order of `j`, over the
    /// centres that take part and are not too near. `own` is the place of `i` in [`kept`](Self::kept).
    ///
    /// A row gets the same bits whichever rows come with it.
    pub fn spread(&self, own: usize, rows: &[f64]) -> Vec<f64> {
        let dim = self.dim;
        let mut totals = vec![0.0; rows.len() / dim];
        let mut directions = Vec::with_capacity(TILE * dim);
        let mut products = [0.0; TILE];
        let others: Vec<usize> = (0..self.kept.len()).filter(|&j| j != own).collect();
        for tile in others.chunks(TILE) {
            directions.clear();
            let mut squares = Vec::with_capacity(TILE);
            for &j in tile {
                let square = squared_distance(self.centre(j), self.centre(own));
                if square > self.too_near(j, own) {
                    directions.extend(self.centre(j).iter().zip(self.centre(own)).map(|(theirs, own)| theirs - own));
                    squares.push(square);
                }
            }
            let products = &mut products[..squares.len()];
            for (total, row) in totals.iter_mut().zip(rows.chunks_exact(dim)) {
                dots(row, &directions, products);
                for (product, square) in products.iter().zip(&squares) {
                    *total += (product / square).powi(2);
                }
            }
        }
        totals
    }

    fn centre(&self, place: usize) -> &'a [f64] {
        row(self.centres, self.dim, self.kept[place])
    }

    /// The squared distance up to which two centres count as one, because rounding may have moved them apart.
    fn too_near(&self, a: usize, b: usize) -> f64 {
        let arithmetic = 4.0 * self.dim as f64 * f64::EPSILON * (self.squares[a] + self.squares[b]);
        arithmetic.max(UNRESOLVED * (self.noise[a] + self.noise[b]))
    }
}

fn row(values: &[f64], dim: usize, k: u32) -> &[f64] {
    &values[k as usize * dim..][..dim]
}

/// `‖a/‖a‖ − b/‖b‖‖`, from the differences, so that near directions keep their digits. `None` if either vector is zero.
pub fn unit_distance(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a_norm, b_norm) = (norm(a), norm(b));
    if a_norm == 0.0 || b_norm == 0.0 {
        return None;
    }
    let difference: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / a_norm - b / b_norm).collect();
    Some(dot(&difference, &difference).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn centres(count: usize, dim: usize) -> Vec<f64> {
        (0..count * dim).map(|at| ((at * at + 3 * at) % 17) as f64 / 4.0).collect()
    }

    #[test]
    fn spread_is_the_sum_over_lines_and_sees_no_neighbours() {
        let (dim, count) = (5, 2 * TILE + 4);
        let centres = centres(count, dim);
        let kept: Vec<u32> = (0..count as u32).filter(|k| k % 7 != 3).collect();
        let lines = Lines::new(dim, &centres, |_| 0.0, kept.clone());
        let rows: Vec<f64> = (0..3 * dim).map(|at| (at as f64).sin()).collect();
        let own = 4;
        let expected = |y: &[f64]| -> f64 {
            let mu = |place: usize, l: usize| centres[kept[place] as usize * dim + l];
            let term = |j: usize| {
                let d: Vec<f64> = (0..dim).map(|l| mu(j, l) - mu(own, l)).collect();
                let square: f64 = d.iter().map(|d| d * d).sum();
                let along: f64 = d.iter().zip(y).map(|(d, y)| d * y).sum();
                if square == 0.0 { 0.0 } else { along * along / (square * square) }
            };
            (0..kept.len()).filter(|&j| j != own).map(term).sum()
        };
        let together = lines.spread(own, &rows);
        for (total, row) in together.iter().zip(rows.chunks(dim)) {
            assert!((total / expected(row) - 1.0).abs() < 1e-13);
            assert_eq!(total.to_bits(), lines.spread(own, row)[0].to_bits());
        }
    }

    #[test]
    fn equal_centres_have_no_line() {
        let centres = [1.0, 0.0, 1.0, 1e-16, 0.0, 5.0, 1.0, 0.0];
        let lines = Lines::new(2, &centres, |_| 0.0, vec![0, 1, 2, 3]);
        assert_eq!(lines.degenerate_pairs(), 3);
        let with_one = Lines::new(2, &centres, |_| 0.0, vec![0, 2]);
        assert_eq!(with_one.degenerate_pairs(), 0);
        assert_eq!(lines.spread(0, &[0.5, 0.25]), with_one.spread(0, &[0.5, 0.25]));
        assert_eq!(Lines::new(2, &[3.0; 6], |_| 0.0, vec![0, 1, 2]).degenerate_pairs(), 3);
        // The one at (0, 5) is √26 from all others, 26 = 32 · 0.8125.
        let pairs = |noise: f64| Lines::new(2, &centres, |k| if k == 2 { noise } else { 0.0 }, vec![0, 1, 2, 3]);
        assert_eq!((pairs(0.81).degenerate_pairs(), pairs(0.82).degenerate_pairs()), (3, 6));
    }

    #[test]
    fn distances_on_the_sphere() {
        assert_eq!(unit_distance(&[2.0, 0.0], &[0.0, -3.0]), Some(2f64.sqrt()));
        assert_eq!(unit_distance(&[0.0, 0.0], &[0.0, -3.0]), None);
        let near = unit_distance(&[1.0, 0.0], &[1e9, 1.0]).unwrap();
        assert!((near / 1e-9 - 1.0).abs() < 1e-15);
    }
}
