//! CDNV, `V_ij = (v_i + v_j) / (2 ‖μ_i − μ_j‖^2p)` (Galanti et al. 2021).

mod sums;

use self::sums::{ClassPairs, PairSums};
pub(super) use self::sums::{SweepSums, TileSums};
use super::distribution::{Distribution, Histogram, Values};
use super::lanes::{compact, exp, ln, max, min, squared_distance, sum, sum_ln};
use super::{Buffers, NEAR, Points, Tile, UNRESOLVED, Variances};
use crate::grid::vectorised;

/// Classes of which all pairs are kept for exact quantiles: half a million.
const EXACT_CLASSES: usize = 1024;

/// CDNV over unordered pairs of the classes used, in feature units to the power `2 − 2p`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cdnv {
    /// Classes used.
    pub classes: usize,
    /// Pairs counted in all that follows.
    pub pairs: u64,
    /// Pairs left out because their means are the same up to rounding: `d² ≤ 4 D ε (‖c_i‖² + ‖c_j‖²)`, or up to 32 times
    /// the noise of both.
    pub degenerate: u64,
    /// The mean; 0 without pairs. Not finite if any pair's is not, and then nothing else holds.
    pub mean: f64,
    /// The largest; 0 without pairs.
    pub max: f64,
    /// The mean of `log10 V` over pairs with `V > 0`; `None` without such pairs.
    pub log10_mean: Option<f64>,
    /// The estimated relative error that the noise of the means causes in the mean.
    pub mean_error: f64,
    /// The same for a single `V`, on average over pairs.
    pub typical_error: f64,
    /// The distribution of all `V`.
    pub distribution: Distribution,
    /// One entry for each class, used or not.
    pub by_class: Vec<ClassCdnv>,
    /// The worst pairs, worst first; pairs with equal `V` in the order of their classes.
    pub worst: Vec<WorstPair>,
}

/// The CDNV of one class with the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassCdnv {
    /// How many other classes count: those with which it is not a degenerate pair.
    pub pairs: u64,
    /// The mean over these classes; 0 without any.
    pub mean: f64,
    /// The largest `V`, and the other class of that pair.
    pub worst: Option<(f64, usize)>,
    /// `Σ_i 1/(2 ‖μ_k − μ_i‖^2p)` over them.
    pub inverse_distances: f64,
}

/// Two classes and their CDNV.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorstPair {
    /// The classes, in their order.
    pub classes: (usize, usize),
    /// `V_ij`.
    pub cdnv: f64,
    /// `‖μ_i − μ_j‖`, feature units.
    pub distance: f64,
}

impl Cdnv {
    /// The same as of some classes among `count`: `classes` says which they are, ascending.
    #[must_use]
    pub fn among(self, classes: &[usize], count: usize) -> Self {
        let mut by_class = vec![ClassCdnv::default(); count];
        for (&class, of_class) in classes.iter().zip(self.by_class) {
            let worst = of_class.worst.map(|(cdnv, other)| (cdnv, classes[other]));
            by_class[class] = ClassCdnv { worst, ..of_class };
        }
        let named = |pair: WorstPair| WorstPair { classes: (classes[pair.classes.0], classes[pair.classes.1]), ..pair };
        Self { by_class, worst: self.worst.into_iter().map(named).collect(), ..self }
    }
}

pub(super) struct Task<'a> {
    points: Points<'a>,
    /// `‖x‖²`; 0 for a point whose norm is set to 0, even if rounding has left some value in it.
    squares: Vec<f64>,
    /// In units of the points, squared.
    variances: Vec<f64>,
    /// 1 for a class used, else 0.
    used: Vec<f64>,
    classes: usize,
    exponent: f64,
    worst: usize,
}

impl<'a> Task<'a> {
    pub(super) fn new(points: &Points<'a>, variances: &Variances<'_>) -> Self {
        let square = |k: usize| if points.norms[k] > 0.0 { sum(points.row(k), |x| x * x) } else { 0.0 };
        let squares = (0..points.len()).map(square).collect();
        let used: Vec<f64> = variances.used.iter().map(|&used| f64::from(u8::from(used))).collect();
        Self {
            points: *points,
            squares,
            variances: variances.values.iter().map(|v| v / points.unit / points.unit).collect(),
            classes: variances.used.iter().filter(|&&used| used).count(),
            used,
            exponent: variances.exponent,
            worst: variances.worst,
        }
    }

    /// Whether pairs are too many to keep for exact quantiles.
    pub(super) fn binned(&self) -> bool {
        self.classes > EXACT_CLASSES
    }

    pub(super) fn total(&self) -> SweepSums {
        SweepSums { by_class: ClassPairs::new(self.points.len()), all: PairSums::new(self.worst) }
    }

    pub(super) fn tile(&self, tile: &Tile<'_>, buffers: &mut Buffers, counts: &mut Option<Histogram>) -> TileSums {
        let mut part = TileSums {
            rows: ClassPairs::new(tile.rows.len()),
            cols: ClassPairs::new(tile.cols.len()),
            all: PairSums::new(self.worst),
        };
        vectorised(
            #[inline(always)]
            || self.sweep(tile, buffers, counts, &mut part),
        );
        part
    }

    #[inline(always)]
    fn sweep(&self, tile: &Tile<'_>, buffers: &mut Buffers, counts: &mut Option<Histogram>, part: &mut TileSums) {
        for (i, cols, products) in tile.pairs() {
            if self.used[i] > 0.0 && !cols.is_empty() {
                let place = (i - tile.rows.start, cols.start - tile.cols.start);
                let positive = self.row(i, cols.start, products, place, buffers, part);
                match counts {
                    Some(histogram) => histogram.add(positive),
                    None => part.all.values.extend_from_slice(positive),
                }
            }
        }
    }

    /// Sweeps the pairs of point `i` with the points from `first` on, whose columns in the tile begin at `col`. Returns
    /// the positive values of `V`.
    #[inline(always)]
    fn row<'b>(
        &self,
        i: usize,
        first: usize,
        products: &[f64],
        (row, col): (usize, usize),
        buffers: &'b mut Buffers,
        part: &mut TileSums,
    ) -> &'b [f64] {
        let count = products.len();
        let Buffers([squared, inverse, cdnv, errors, nearness, weighted]) = buffers;
        let (squared, inverse, cdnv) = (&mut squared[..count], &mut inverse[..count], &mut cdnv[..count]);
        let (errors, nearness, weighted) = (&mut errors[..count], &mut nearness[..count], &mut weighted[..count]);
        let degenerate = self.squared_distances(i, first, products, squared, inverse);
        part.all.degenerate += degenerate;
        let (mine, noise) = (self.points.noise[i], &self.points.noise[first..][..count]);
        for j in 0..count {
            nearness[j] = 1.0 / squared[j];
            errors[j] = inverse[j] * 2.0 * self.points.error((mine + noise[j]) * nearness[j]);
        }

        // `inverse` holds 1 for a pair that counts, else 0.
        let (cols, variance) = (&mut part.cols, self.variances[i]);
        let (pairs, sums) = (&mut cols.pairs[col..][..count], &mut cols.cdnv[col..][..count]);
        let (inverses, worst) = (&mut cols.inverse[col..][..count], &mut cols.worst[col..][..count]);
        let neighbour = &mut cols.neighbour[col..][..count];
        let variances = &self.variances[first..][..count];
        for (pairs, counts) in pairs.iter_mut().zip(&*inverse) {
            *pairs += counts;
        }
        part.all.errors.plain += sum(errors, |error| error);
        part.rows.pairs[row] += sum(inverse, |counts| counts);
        self.inverse_powers(squared, nearness, inverse);
        for j in 0..count {
            let v = (variance + variances[j]) * inverse[j];
            sums[j] += v;
            inverses[j] += inverse[j];
            cdnv[j] = v;
            weighted[j] = errors[j] * v;
            // A pair that does not count must not become a worst pair, not even if all other pairs of a class are 0.
            let v = if inverse[j] > 0.0 { v } else { -1.0 };
            neighbour[j] = if v > worst[j] { i as u64 } else { neighbour[j] };
            worst[j] = if v > worst[j] { v } else { worst[j] };
        }
        part.all.errors.weighted += sum(weighted, |error| error);
        part.rows.cdnv[row] += sum(cdnv, |v| v);
        part.rows.inverse[row] += sum(inverse, |x| x);
        let largest = max(cdnv);
        if let Some(j) = (0..count).find(|&j| inverse[j] > 0.0 && cdnv[j] >= largest) {
            part.rows.worst[row] = largest;
            part.rows.neighbour[row] = (first + j) as u64;
        }
        if largest >= part.all.worst.threshold {
            for j in 0..count {
                if inverse[j] > 0.0 {
                    let distance = squared[j].sqrt() * self.points.unit;
                    part.all.worst.push(WorstPair { classes: (i, first + j), cdnv: cdnv[j], distance });
                }
            }
        }
        let positive = if min(cdnv) > 0.0 { count } else { compact(cdnv, |_, v| v > 0.0) };
        part.all.ln += sum_ln(&cdnv[..positive]);
        part.all.positive += positive as u64;
        &cdnv[..positive]
    }

    /// Computes squared distances, and sets `counts` to 1 for a pair that counts, else to 0. Returns how many pairs are
    /// degenerate.
    #[inline(always)]
    fn squared_distances(
        &self,
        i: usize,
        first: usize,
        products: &[f64],
        squared: &mut [f64],
        counts: &mut [f64],
    ) -> u64 {
        let (mine, count) = (self.squares[i], products.len());
        let (others, used) = (&self.squares[first..][..count], &self.used[first..][..count]);
        let noise = &self.points.noise[first..][..count];
        let unresolved = |j: usize| UNRESOLVED * (self.points.noise[i] + noise[j]);
        let mut near = false;
        for j in 0..count {
            let both = mine + others[j];
            squared[j] = both - 2.0 * products[j];
            near |= (squared[j] < NEAR * both) | (squared[j] <= unresolved(j));
        }
        let tolerance = self.points.tolerance();
        let mut degenerate = 0.0;
        if near || mine == 0.0 {
            for j in 0..count {
                let both = mine + others[j];
                if squared[j] < NEAR * both {
                    squared[j] = squared_distance(self.points.row(i), 1.0, self.points.row(first + j), 1.0);
                }
                let apart = both > 0.0 && squared[j] > tolerance * both && squared[j] > unresolved(j);
                squared[j] = if apart { squared[j] } else { 1.0 };
                counts[j] = if apart { used[j] } else { 0.0 };
                degenerate += used[j] - counts[j];
            }
        } else {
            counts.copy_from_slice(used);
        }
        degenerate as u64
    }

    /// `1/(2 d^2p)` for the pairs that count, 0 for others; `nearness` is `1/d²`.
    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "these exponents need no exponential, and only exactly these")]
    fn inverse_powers(&self, squared: &[f64], nearness: &[f64], counts: &mut [f64]) {
        let p = self.exponent;
        if p == 1.0 {
            for (counts, nearness) in counts.iter_mut().zip(nearness) {
                *counts *= 0.5 * nearness;
            }
        } else if p == 2.0 {
            for (counts, squared) in counts.iter_mut().zip(squared) {
                *counts *= 0.5 / (squared * squared);
            }
        } else {
            for (counts, &squared) in counts.iter_mut().zip(squared) {
                *counts *= 0.5 * exp(-p * ln(squared));
            }
        }
    }

    pub(super) fn finish(&self, total: SweepSums, counts: impl Iterator<Item = Histogram>) -> Cdnv {
        let SweepSums { by_class: sums, all } = total;
        let PairSums { ln, positive, degenerate, errors, values, mut worst } = all;
        // In units of the points up to here.
        let inverse_factor = self.points.unit.powf(-2.0 * self.exponent);
        let factor = self.points.unit * self.points.unit * inverse_factor;
        let pairs = (sums.pairs.iter().sum::<f64>() / 2.0) as u64;
        let mean = |sum: f64, pairs: f64| if pairs > 0.0 { sum / pairs * factor } else { 0.0 };
        let distribution = Distribution {
            zeros: pairs - positive.min(pairs),
            positive,
            values: if self.binned() {
                let mut all = Histogram::new();
                counts.for_each(|counts| all.merge(&counts));
                Values::Binned(all)
            } else {
                Values::exact(values)
            },
            factor,
        };
        worst.trim();
        for pair in &mut worst.pairs {
            pair.cdnv *= factor;
        }
        let over = |sum: f64, total: f64| if total > 0.0 { self.exponent * sum / total } else { 0.0 };
        let by_class = (0..self.points.len()).map(|k| ClassCdnv {
            pairs: sums.pairs[k] as u64,
            mean: mean(sums.cdnv[k], sums.pairs[k]),
            worst: (sums.pairs[k] > 0.0).then(|| (sums.worst[k] * factor, sums.neighbour[k] as usize)),
            inverse_distances: sums.inverse[k] * inverse_factor,
        });
        Cdnv {
            classes: self.classes,
            pairs,
            degenerate,
            mean: mean(sums.cdnv.iter().sum::<f64>() / 2.0, pairs as f64),
            mean_error: over(errors.weighted, sums.cdnv.iter().sum::<f64>() / 2.0),
            typical_error: over(errors.plain, pairs as f64),
            max: sums.worst.iter().fold(0.0, |max: f64, &worst| max.max(worst)) * factor,
            log10_mean: (positive > 0).then(|| (ln / positive as f64 + factor.ln()) / std::f64::consts::LN_10),
            distribution,
            by_class: by_class.collect(),
            worst: worst.pairs,
        }
    }
}
