//! The tail of the normal distribution.

use std::f64::consts::{PI, SQRT_2};

/// Below this `x/√2` the series of the error function is used.
const SMALL: f64 = 1.0;

/// The step of the trapezoidal rule, and how many of its terms matter in double precision.
const STEP: f64 = 0.5;
const TERMS: i32 = 13;

/// `Φ(−x)` for `x ≥ 0`: the share of a normal distribution that lies more than `x` standard deviations above its mean. It
/// has all digits, also far out.
///
/// ```text
/// erfc(z) = 2hz/π e^(−z²) (1/(2z²) + Σ_n e^(−n²h²)/(n²h² + z²)) − 2/(e^(2πz/h) − 1)
/// ```
///
/// is the trapezoidal rule with the step `h` for an integral of `e^(−t²)/(t² + z²)` (Chiarella & Reichel 1968). The last
/// term is the residue of its pole, which counts for `z < π/h`.
pub(super) fn upper_tail(x: f64) -> f64 {
    let z = x / SQRT_2;
    let square = 0.5 * x * x;
    let decay = (-square).exp();
    if z < SMALL {
        // erf(z) = 2/√π e^(−z²) Σ_n 2ⁿ z^(2n+1) / (1·3·…·(2n+1))
        let (mut term, mut sum) = (z, z);
        for n in 1..40 {
            term *= 2.0 * square / f64::from(2 * n + 1);
            sum += term;
        }
        return 0.5 - decay * sum / PI.sqrt();
    }
    let squared_step = STEP * STEP;
    let term = |n: i32| {
        let square_of_n = f64::from(n * n) * squared_step;
        (-square_of_n).exp() / (square_of_n + square)
    };
    let sum = 0.5 / square + (1..=TERMS).map(term).sum::<f64>();
    let tail = STEP * z / PI * decay * sum;
    if z < PI / STEP { tail - 1.0 / (2.0 * PI * z / STEP).exp_m1() } else { tail }
}

/// `φ(x)`, the density of the normal distribution.
pub(super) fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::assert_close;

    #[test]
    fn known_tails() {
        for (x, expected) in [
            (0.0, 0.5),
            (1e-9, 0.5 - 3.989_422_804_014_327e-10),
            (0.1, 0.460_172_162_722_971),
            (1.0, 0.158_655_253_931_457_05),
            (1.414, 0.078_680_951_241_157_69),
            (1.415, 0.078_534_248_017_048_1),
            (3.0, 1.349_898_031_630_094_5e-3),
            (10.0, 7.619_853_024_160_526e-24),
            (37.0, 5.725_571_222_524_577e-300),
        ] {
            assert_close(upper_tail(x), expected, 2e-14);
        }
        assert_eq!(upper_tail(1e6), 0.0);
    }

    #[test]
    fn the_density_is_the_slope_of_the_tail() {
        for x in [0.3, 1.4, 2.0, 8.0] {
            let slope = (upper_tail(x - 1e-5) - upper_tail(x + 1e-5)) / 2e-5;
            assert_close(density(x), slope, 1e-8);
        }
    }
}
