//! Student's t distribution.

use std::f64::consts::{FRAC_PI_2, PI};

/// Halvings of the angle's interval: as many as an `f64` has digits.
const HALVINGS: usize = 60;

/// The number that a variable with Student's t distribution of `freedom` degrees of freedom exceeds in magnitude with
/// probability 5 %; `freedom` is at least 1.
pub(super) fn two_sided_5_percent(freedom: u64) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    for _ in 0..HALVINGS {
        let angle = f64::midpoint(low, high);
        if within(angle, freedom) < 0.95 { low = angle } else { high = angle }
    }
    (freedom as f64).sqrt() * f64::midpoint(low, high).tan()
}

/// The probability that `|t| ≤ √freedom · tan(angle)`.
///
/// ```text
/// odd:   2/π (θ + sin θ (cos θ + 2/3 cos³ θ + … + 2·4·…·(ν−3)/(3·5·…·(ν−2)) cos^(ν−2) θ))
/// even:  sin θ (1 + 1/2 cos² θ + … + 1·3·…·(ν−3)/(2·4·…·(ν−2)) cos^(ν−2) θ)
/// ```
///
/// (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4).
fn within(angle: f64, freedom: u64) -> f64 {
    let (sine, cosine) = angle.sin_cos();
    let odd = freedom % 2 == 1;
    let mut term = if odd { cosine } else { 1.0 };
    let mut sum = if freedom == 1 { 0.0 } else { term };
    let mut power = u64::from(odd);
    while power + 2 + 2 <= freedom {
        power += 2;
        term *= cosine * cosine * (power - 1) as f64 / power as f64;
        if term < sum * f64::EPSILON {
            break;
        }
        sum += term;
    }
    if odd { 2.0 / PI * (angle + sine * sum) } else { sine * sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::assert_close;

    #[test]
    fn the_numbers_of_tables() {
        for (freedom, expected) in [
            (1, 12.706_204_736_174_69),
            (2, 4.302_652_729_749_46),
            (3, 3.182_446_305_283_71),
            (4, 2.776_445_105_197_79),
            (9, 2.262_157_162_798_2),
            (31, 2.039_513_446_396_41),
            (100, 1.983_971_518_523_56),
            (100_000, 1.959_987_707_534_61),
        ] {
            assert_close(two_sided_5_percent(freedom), expected, 1e-12);
        }
    }
}
