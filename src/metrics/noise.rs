//! How much of a variance may be nothing but rounding.

use crate::grid::power_of_two;
use crate::state::Statistics;

/// A variance along a direction counts if it is this many times what rounding makes there.
pub(super) const SIGNIFICANT: f64 = 64.0;

/// The distance of neighbouring stored values about `x`; 0 at 0.
pub(super) fn ulp(x: f64, significand_bits: u32) -> f64 {
    let least = match significand_bits {
        0..=11 => -14,
        12..=24 => -126,
        _ => -1022,
    };
    if x == 0.0 {
        return 0.0;
    }
    let exponent = ((x.abs().to_bits() >> 52) as i32 - 1023).max(least);
    // In two steps, for the first may be the smallest ordinary number.
    power_of_two(exponent as i16) * power_of_two(1 - significand_bits as i16)
}

/// Per dimension the noise that rounding to the grid, or to the stored type where that is coarser, leaves in a sum over
/// classes of squared errors, each with the weight `weight(n_k)`.
pub(super) fn noise(statistics: &Statistics, significand_bits: u32, weight: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut stored = vec![0.0; statistics.dim];
    let mut total = 0.0;
    for (class, &count) in statistics.counts.iter().enumerate() {
        let weight = weight(count as f64);
        total += weight;
        let mean = statistics.offset(class).iter().zip(&statistics.origin).map(|(offset, origin)| offset + origin);
        for (stored, mean) in stored.iter_mut().zip(mean) {
            *stored += weight * ulp(mean, significand_bits).powi(2) / 12.0;
        }
    }
    stored.iter().zip(&statistics.rounding).map(|(&stored, rounding)| stored.max(total * rounding)).collect()
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
        assert_eq!(ulp(0.0, 24), 0.0);
        assert_eq!(ulp(f64::MIN_POSITIVE, 53), f64::from_bits(1));
    }
}
