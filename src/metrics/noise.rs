//! How much variance rounding alone can make.

use crate::grid::{power_of_two, vectorised};
use crate::state::Statistics;

/// A variance of rows along a direction counts if it is more than this many times the variance that rounding makes there.
/// The largest eigenvalue of a covariance of noise alone stays below that (Marchenko & Pastur 1967).
pub(super) const SIGNIFICANT: f64 = 4.0;

/// The same for a variance of class means. Fewer classes than dimensions gather the noise of all dimensions in fewer
/// directions, at most `(1 + √(D/K))²` times as much.
pub(super) fn significant_of_means(classes: usize, dim: usize) -> f64 {
    SIGNIFICANT.max((1.0 + (dim as f64 / classes as f64).sqrt()).powi(2))
}

/// The distance of neighbouring stored values about `x`; 0 at 0.
#[inline(always)]
pub(super) fn ulp(x: f64, significand_bits: u32) -> f64 {
    let least = match significand_bits {
        11 => -14,
        0..=24 => -126,
        _ => -1022,
    };
    let exponent = ((x.abs().to_bits() >> 52) as i32 - 1023).max(least);
    // In two steps, for the first may be the smallest ordinary number.
    let ulp = f64::from_bits(((exponent + 1023) as u64) << 52) * power_of_two(1 - significand_bits as i16);
    if x == 0.0 { 0.0 } else { ulp }
}

/// Per dimension what rounding, to the grid or to the stored type where that is coarser, adds to the variance of rows
/// within classes, `Σ_W,jj` with the normaliser `N`.
pub(super) fn of_rows(statistics: &Statistics, significand_bits: u32) -> Vec<f64> {
    let rows = statistics.rows() as f64;
    let mut stored = vec![0.0; statistics.dim];
    for (class, &count) in statistics.counts.iter().enumerate() {
        add_storage(statistics, class, significand_bits, count as f64 / rows, &mut stored);
    }
    stored.iter().zip(&statistics.rounding).map(|(&stored, &rounding)| stored.max(rounding)).collect()
}

/// Per dimension the mean squared error of class means, each class with the weight `weight(n_k)`: what rounding of rows
/// leaves in them (`Γ_j/n_k`) and their own rounding to `f64`.
///
/// With `significand_bits`, also what rounding to the stored type left in them before they were stored, where that is
/// more: the stored values are exact as data, but nobody meant this part of their variance.
pub(super) fn of_means(
    statistics: &Statistics,
    significand_bits: Option<u32>,
    weight: impl Fn(f64) -> f64,
) -> Vec<f64> {
    let dim = statistics.dim;
    let mut noise = vec![0.0; dim];
    for (class, &count) in statistics.counts.iter().enumerate() {
        let n = count as f64;
        let weight = weight(n);
        vectorised(
            #[inline(always)]
            || {
                let (noise, rounding) = (&mut noise[..dim], &statistics.mean_rounding[..dim]);
                let offset = &statistics.offset(class)[..dim];
                for j in 0..dim {
                    let own = f64::EPSILON * offset[j];
                    noise[j] += weight * (rounding[j] / n + own * own);
                }
            },
        );
    }
    if let Some(bits) = significand_bits {
        let mut stored = vec![0.0; dim];
        for (class, &count) in statistics.counts.iter().enumerate() {
            add_storage(statistics, class, bits, weight(count as f64) / count as f64, &mut stored);
        }
        noise.iter_mut().zip(stored).for_each(|(noise, stored)| *noise = noise.max(stored));
    }
    noise
}

/// Adds `ulp(μ_kj)²/12` with a weight: the mean squared error of a row of that class that was rounded to the stored type.
fn add_storage(statistics: &Statistics, class: usize, significand_bits: u32, weight: f64, stored: &mut [f64]) {
    let dim = statistics.dim;
    vectorised(
        #[inline(always)]
        || {
            let (stored, origin) = (&mut stored[..dim], &statistics.origin[..dim]);
            let offset = &statistics.offset(class)[..dim];
            for j in 0..dim {
                let ulp = ulp(offset[j] + origin[j], significand_bits);
                stored[j] += weight * (ulp * ulp / 12.0);
            }
        },
    );
}

/// `Σ_j u_j² noise_j`.
pub(super) fn along(direction: &[f64], noise: &[f64]) -> f64 {
    direction.iter().zip(noise).map(|(u, noise)| u * u * noise).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn units_in_the_last_place() {
        assert_eq!(ulp(1.0, 53), f64::EPSILON);
        assert_eq!(ulp(-1.5, 24), f64::from(f32::EPSILON));
        assert_eq!(ulp(1000.0, 11), 0.5);
        assert_eq!(ulp(1e-6, 11), 2_f64.powi(-24));
        assert_eq!(ulp(1000.0, 8), 4.0);
        assert_eq!(ulp(1e-6, 8), 2_f64.powi(-27));
        assert_eq!(ulp(0.0, 24), 0.0);
        assert_eq!(ulp(f64::MIN_POSITIVE, 53), f64::from_bits(1));
    }
}
