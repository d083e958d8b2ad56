//! Distances, angles and energies of unit vectors.

use super::lanes::{compact, exp, ln, max, min, squared_distance, sum};
use super::{Buffers, Moments, NEAR, Points, ScaledMoments, Tile, UNRESOLVED};
use crate::grid::vectorised;

/// Distances and angles over unordered pairs of points that have a direction; unit vectors throughout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Angles {
    /// Points with a direction.
    pub points: usize,
    /// Points without a direction.
    pub zeros: usize,
    /// Pairs whose directions differ by no more than rounding: that of this arithmetic, or 32 times the noise of the
    /// points. Both energies leave them out.
    pub degenerate: u64,
    /// `cos`.
    pub cos: Moments,
    /// The mean of `|cos + 1/(K − 1)|`; 0 without pairs.
    pub simplex_deviation: f64,
    /// `‖u_i − u_j‖`.
    pub distance: Moments,
    /// `−ln ‖u_i − u_j‖`.
    pub log_energy: Moments,
    /// `s`.
    pub riesz_s: f64,
    /// `‖u_i − u_j‖^−s`.
    pub riesz: ScaledMoments,
    /// The least `‖u_i − u_j‖`, degenerate pairs included; `None` without pairs.
    pub min_distance: Option<f64>,
    /// The errors that the noise of the points causes in these numbers.
    pub errors: AngleErrors,
}

/// Moments of the estimated errors of single pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AngleErrors {
    /// Of `‖u_i − u_j‖`, absolute.
    pub distance: Moments,
    /// Of `ln ‖u_i − u_j‖`, absolute, without degenerate pairs.
    pub ln: Moments,
    /// The same times `‖u_i − u_j‖^−s`.
    pub riesz: ScaledMoments,
    /// Of the least `‖u_i − u_j‖`, absolute.
    pub min_distance: f64,
}

/// What some tiles add up to.
#[derive(Clone, Debug)]
pub(super) struct AngleSums {
    degenerate: u64,
    cos: Moments,
    simplex_deviation: f64,
    distance: Moments,
    log_energy: Moments,
    riesz: ScaledMoments,
    /// The smallest squared distance, and the estimated error of the distance.
    min_distance: (f64, f64),
    distance_errors: Moments,
    ln_errors: Moments,
    riesz_errors: ScaledMoments,
}

impl Default for AngleSums {
    fn default() -> Self {
        Self {
            degenerate: 0,
            cos: Moments::default(),
            simplex_deviation: 0.0,
            distance: Moments::default(),
            log_energy: Moments::default(),
            riesz: ScaledMoments::default(),
            min_distance: (f64::INFINITY, 0.0),
            distance_errors: Moments::default(),
            ln_errors: Moments::default(),
            riesz_errors: ScaledMoments::default(),
        }
    }
}

impl AngleSums {
    pub(super) fn merge(&mut self, other: &Self) {
        self.degenerate += other.degenerate;
        self.cos.merge(&other.cos);
        self.simplex_deviation += other.simplex_deviation;
        self.distance.merge(&other.distance);
        self.log_energy.merge(&other.log_energy);
        self.riesz.merge(&other.riesz);
        if other.min_distance.0 < self.min_distance.0 {
            self.min_distance = other.min_distance;
        }
        self.distance_errors.merge(&other.distance_errors);
        self.ln_errors.merge(&other.ln_errors);
        self.riesz_errors.merge(&other.riesz_errors);
    }
}

/// The relative error of a distance that noise hides: no error is less than 0.
const LEFT_OUT: f64 = -1.0;

#[inline(always)]
fn is_left_out(relative: f64) -> bool {
    relative < 0.0
}

pub(super) struct Task<'a> {
    points: Points<'a>,
    /// `1/‖x‖`, and 0 for a point without direction.
    inverse_norms: Vec<f64>,
    /// The noise of directions, squared.
    noise: Vec<f64>,
    riesz_s: f64,
    /// Points with a direction, and as many of all that they are some of.
    directed: usize,
    directions: usize,
}

impl<'a> Task<'a> {
    pub(super) fn new(points: &Points<'a>, riesz_s: f64, directions: usize) -> Self {
        let inverse = |&norm: &f64| if norm > 0.0 { 1.0 / norm } else { 0.0 };
        let inverse_norms: Vec<f64> = points.norms.iter().map(inverse).collect();
        let directed = inverse_norms.iter().filter(|&&inverse| inverse > 0.0).count();
        let noise = points.noise.iter().zip(&inverse_norms).map(|(noise, inverse)| noise * inverse * inverse).collect();
        Self { points: *points, inverse_norms, noise, riesz_s, directed, directions }
    }

    /// The magnitude of the cosine of any pair in a simplex.
    fn simplex(&self) -> f64 {
        1.0 / (self.directions as f64 - 1.0)
    }

    pub(super) fn tile(&self, tile: &Tile<'_>, buffers: &mut Buffers) -> AngleSums {
        let mut part = AngleSums::default();
        vectorised(
            #[inline(always)]
            || self.sweep(tile, buffers, &mut part),
        );
        part
    }

    #[inline(always)]
    fn sweep(&self, tile: &Tile<'_>, buffers: &mut Buffers, part: &mut AngleSums) {
        let all = self.inverse_norms[tile.cols.clone()].iter().all(|&inverse| inverse > 0.0);
        for (i, cols, products) in tile.pairs() {
            if self.inverse_norms[i] > 0.0 && !cols.is_empty() {
                self.row(i, cols.start, products, all, buffers, part);
            }
        }
    }

    #[inline(always)]
    #[expect(clippy::needless_bitwise_bool, reason = "a branch would keep the loop from being vectorised")]
    fn row(&self, i: usize, first: usize, products: &[f64], all: bool, buffers: &mut Buffers, part: &mut AngleSums) {
        let Buffers([cos, squared, distances, errors, relative, inverse]) = buffers;
        let mut count = products.len();
        let (cos, squared, errors) = (&mut cos[..count], &mut squared[..count], &mut errors[..count]);
        let mine = self.inverse_norms[i];
        let others = &self.inverse_norms[first..][..count];
        let (own_noise, noise) = (self.noise[i], &self.noise[first..][..count]);
        let mut near = false;
        for j in 0..count {
            cos[j] = products[j] * mine * others[j];
            squared[j] = 2.0 - 2.0 * cos[j];
            near |= squared[j] < 2.0 * NEAR;
        }
        if near {
            for j in 0..count {
                if squared[j] < 2.0 * NEAR {
                    let (x, y) = (self.points.row(i), self.points.row(first + j));
                    squared[j] = squared_distance(x, mine, y, others[j]);
                    cos[j] = 1.0 - 0.5 * squared[j];
                }
            }
        }
        // The noise of both points; with a minus, even if it is 0, where the pair is one of those left out.
        let tolerance = 2.0 * self.points.tolerance();
        let mut hidden = false;
        for j in 0..count {
            let both = own_noise + noise[j];
            let unresolved = (squared[j] <= tolerance) | (squared[j] <= UNRESOLVED * both);
            hidden |= unresolved & (others[j] > 0.0);
            errors[j] = if unresolved { -both } else { both };
        }
        if !all {
            for values in [&mut *squared, &mut *errors] {
                compact(values, |j, _| others[j] > 0.0);
            }
            count = compact(cos, |j, _| others[j] > 0.0);
        }
        let (cos, squared, errors) = (&cos[..count], &mut squared[..count], &mut errors[..count]);
        let (distances, relative) = (&mut distances[..count], &mut relative[..count]);
        let inverse = &mut inverse[..count];
        self.distances(squared, errors, hidden, (distances, inverse, relative));
        let simplex = self.simplex();
        part.simplex_deviation += sum(cos, |cos| (cos + simplex).abs());
        part.cos.merge(&Moments::of(cos));
        part.distance.merge(&Moments::of(distances));
        part.distance_errors.merge(&Moments::of(errors));
        let least = min(squared);
        if least < part.min_distance.0
            && let Some(at) = squared.iter().position(|&squared| squared <= least)
        {
            part.min_distance = (least, errors[at]);
        }

        if hidden {
            for values in [&mut *squared, &mut *inverse] {
                compact(values, |j, _| !is_left_out(relative[j]));
            }
            let kept = compact(relative, |_, relative| !is_left_out(relative));
            part.degenerate += (count - kept) as u64;
            count = kept;
        }
        let (squared, relative, inverse) = (&squared[..count], &relative[..count], &mut inverse[..count]);
        let (energies, errors) = (&mut distances[..count], &mut errors[..count]);
        for (energy, &squared) in energies.iter_mut().zip(squared) {
            *energy = -0.5 * ln(squared);
        }
        let ln_scale = self.riesz(squared, energies, inverse);
        for j in 0..count {
            errors[j] = relative[j] * inverse[j];
        }
        part.ln_errors.merge(&Moments::of(relative));
        part.log_energy.merge(&Moments::of(energies));
        part.riesz.merge(&ScaledMoments { ln_scale, moments: Moments::of(inverse) });
        part.riesz_errors.merge(&ScaledMoments { ln_scale, moments: Moments::of(errors) });
    }

    /// Distances, `1/d²` and the relative errors of distances, from squared distances and their noise, which becomes the
    /// absolute errors. Where the noise hides a pair, as `hidden` says that it does somewhere, its root is the absolute error,
    /// and [`LEFT_OUT`] the relative one.
    #[inline(always)]
    fn distances(
        &self,
        squared: &[f64],
        noise: &mut [f64],
        hidden: bool,
        (distances, inverse, relative): (&mut [f64], &mut [f64], &mut [f64]),
    ) {
        let count = squared.len();
        let (noise, distances) = (&mut noise[..count], &mut distances[..count]);
        let (inverse, relative) = (&mut inverse[..count], &mut relative[..count]);
        for j in 0..count {
            distances[j] = squared[j].sqrt();
            inverse[j] = 1.0 / squared[j];
            relative[j] = self.points.error(noise[j] * inverse[j]);
        }
        if hidden {
            for j in 0..count {
                let is_hidden = noise[j].is_sign_negative();
                noise[j] = if is_hidden { (-noise[j]).sqrt() } else { distances[j] * relative[j] };
                relative[j] = if is_hidden { LEFT_OUT } else { relative[j] };
            }
        } else {
            for j in 0..count {
                noise[j] = distances[j] * relative[j];
            }
        }
    }

    /// `‖u_i − u_j‖^−s` in the place of `‖u_i − u_j‖^−2`, over `exp` of the number that is returned; from squared distances and
    /// log energies.
    #[inline(always)]
    #[expect(clippy::float_cmp, reason = "these exponents need no exponential, and only exactly these")]
    fn riesz(&self, squared: &[f64], energies: &[f64], values: &mut [f64]) -> f64 {
        let s = self.riesz_s;
        let mut ln_scale = 0.0;
        if s == 1.0 {
            for (value, squared) in values.iter_mut().zip(squared) {
                *value = 1.0 / squared.sqrt();
            }
        } else if s != 2.0 && !values.is_empty() {
            for (value, energy) in values.iter_mut().zip(energies) {
                *value = s * energy;
            }
            ln_scale = max(values);
            for value in &mut *values {
                *value = exp(*value - ln_scale);
            }
        }
        ln_scale
    }

    pub(super) fn finish(&self, part: &AngleSums) -> Angles {
        let pairs = part.cos.count;
        Angles {
            points: self.directed,
            zeros: self.points.len() - self.directed,
            degenerate: part.degenerate,
            cos: part.cos,
            simplex_deviation: if pairs > 0 { part.simplex_deviation / pairs as f64 } else { 0.0 },
            distance: part.distance,
            log_energy: part.log_energy,
            riesz_s: self.riesz_s,
            riesz: part.riesz,
            min_distance: (pairs > 0).then(|| part.min_distance.0.sqrt()),
            errors: AngleErrors {
                distance: part.distance_errors,
                ln: part.ln_errors,
                riesz: part.riesz_errors,
                min_distance: part.min_distance.1,
            },
        }
    }
}
