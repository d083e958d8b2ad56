//! Elementary functions and sums as plain loops that compile to vector code.
//!
//! Each operation is rounded once and in a fixed order, so the width of the registers cannot change a bit. Everything is
//! inlined into its caller, which chooses the instructions.

use std::f64::consts::{LN_2, LOG2_E, SQRT_2};

/// `LN_HIGH + LN_LOW = ln 2`; the first has so few bits that its product with an exponent is exact.
const LN_HIGH: f64 = f64::from_bits(LN_2.to_bits() & !0xffff_ffff);
const LN_LOW: f64 = (LN_2 - LN_HIGH) + 2.319_046_813_846_299_6e-17;

/// Added to a number, it leaves the nearest integer in the low bits of the sum.
const MAGIC: f64 = 6_755_399_441_055_744.0; // 1.5 · 2^52

/// `ln x` for normal `x > 0`, to about one unit in the last place.
///
/// `ln m = 2 artanh s` with `s = (m − 1)/(m + 1)`, for `m` between `√½` and `√2`.
#[inline(always)]
pub(super) fn ln(x: f64) -> f64 {
    let (significand, exponent) = parts(x);
    let large = significand > SQRT_2;
    let m = if large { 0.5 * significand } else { significand };
    let e = if large { exponent + 1.0 } else { exponent };
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    let mut series = 2.0 / 21.0;
    for k in (1..10).rev() {
        series = series * z + 2.0 / f64::from(2 * k + 1);
    }
    e * LN_HIGH + (2.0 * s + (s * (z * series) + e * LN_LOW))
}

/// `Σ ln x` of `x > 0`: the logarithm of products of significands, and the sum of exponents. Less than a normal number counts as
/// the least of these.
#[inline(always)]
pub(super) fn sum_ln(values: &[f64]) -> f64 {
    let mut total = 0.0;
    // A product of so many significands stays in range.
    for values in values.chunks(LANES * 512) {
        let (mut products, mut exponents) = ([1.0; LANES], [0.0; LANES]);
        let chunks = values.chunks_exact(LANES);
        let tail = chunks.remainder();
        for chunk in chunks {
            for lane in 0..LANES {
                let (significand, exponent) = parts(chunk[lane].max(f64::MIN_POSITIVE));
                products[lane] *= significand;
                exponents[lane] += exponent;
            }
        }
        for (lane, &x) in tail.iter().enumerate() {
            let (significand, exponent) = parts(x.max(f64::MIN_POSITIVE));
            products[lane] *= significand;
            exponents[lane] += exponent;
        }
        for product in products {
            total += ln(product);
        }
        total += exponents.iter().sum::<f64>() * LN_2;
    }
    total
}

/// The significand of a normal number, at least 1 and less than 2, and its exponent.
#[inline(always)]
fn parts(x: f64) -> (f64, f64) {
    let bits = x.to_bits();
    // The exponent in the low bits of 2^52.
    let exponent = f64::from_bits(bits >> 52 | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1023.0);
    (f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000), exponent)
}

/// `exp x`, to about two units in the last place; 0 below −708, infinite above 709.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    let inside = x.clamp(-708.0, 709.0);
    let k = (inside * LOG2_E + MAGIC) - MAGIC;
    let r = (inside - k * LN_HIGH) - k * LN_LOW;
    let mut series = 1.0 / 6_227_020_800.0; // 1/13!
    for inverse_factorial in INVERSE_FACTORIALS {
        series = series * r + inverse_factorial;
    }
    let power = f64::from_bits((k + 1023.0 + MAGIC).to_bits() << 52);
    let value = series * power;
    if x < -708.0 {
        0.0
    } else if x > 709.0 {
        f64::INFINITY
    } else {
        value
    }
}

/// `1/12!` down to `1/0!`.
const INVERSE_FACTORIALS: [f64; 13] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

/// Sums run in this many lanes.
const LANES: usize = 8;

/// `Σ f(x)`.
#[inline(always)]
pub(super) fn sum(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let mut tail = 0.0;
    for &x in chunks.remainder() {
        tail += f(x);
    }
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    for lane in lanes {
        tail += lane;
    }
    tail
}

/// The largest value; `−∞` without values.
#[inline(always)]
pub(super) fn max(values: &[f64]) -> f64 {
    let mut lanes = [f64::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x > *lane { x } else { *lane };
        }
    }
    let mut largest = f64::NEG_INFINITY;
    for &x in lanes.iter().chain(tail) {
        largest = if x > largest { x } else { largest };
    }
    largest
}

/// The smallest value; `∞` without values.
#[inline(always)]
pub(super) fn min(values: &[f64]) -> f64 {
    let mut lanes = [f64::INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = if x < *lane { x } else { *lane };
        }
    }
    let mut smallest = f64::INFINITY;
    for &x in lanes.iter().chain(tail) {
        smallest = if x < smallest { x } else { smallest };
    }
    smallest
}

/// `Σ (a x_l − b y_l)²`.
#[inline(always)]
pub(super) fn squared_distance(x: &[f64], a: f64, y: &[f64], b: f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let tail: f64 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| (a * x - b * y).powi(2)).sum();
    for (x, y) in xs.zip(ys) {
        for l in 0..LANES {
            let difference = a * x[l] - b * y[l];
            lanes[l] += difference * difference;
        }
    }
    lanes.iter().sum::<f64>() + tail
}

/// Moves the values for which `keep` holds to the front, and returns how many they are.
#[inline(always)]
pub(super) fn compact(values: &mut [f64], keep: impl Fn(usize, f64) -> bool) -> usize {
    let mut kept = 0;
    for at in 0..values.len() {
        let x = values[at];
        values[kept] = x;
        kept += usize::from(keep(at, x));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn elementary_functions_agree_with_the_library() {
        let mut x = 1e-300_f64;
        while x < 1e300 {
            let near_one = 1.0 + x.min(0.4);
            for x in [x, near_one, 1.0 / near_one] {
                let expected = x.ln();
                assert!((ln(x) - expected).abs() <= 2.0 * f64::EPSILON * expected.abs(), "ln {x}");
            }
            x *= 1.000_7_f64.powi(1 + (x.to_bits() % 2000) as i32);
        }
        for step in -70_000..70_900 {
            let x = f64::from(step) / 100.0 + 1e-3;
            let expected = x.exp();
            assert!((exp(x) - expected).abs() <= 4.0 * f64::EPSILON * expected, "exp {x}");
        }
        assert_eq!((exp(0.0), exp(-1000.0), exp(1000.0)), (1.0, 0.0, f64::INFINITY));
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn logarithms_add_up_however_many_and_large() {
        for (count, ratio) in [(0, 1.0), (1, 1.3), (19, 0.7), (256, 1.4), (9001, 1.99)] {
            let value = |at: usize| (1.0 + (at * 7919 % 1009) as f64) * f64::powi(ratio, (at % 700) as i32 - 350);
            let values: Vec<f64> = (0..count).map(value).collect();
            let expected: f64 = values.iter().map(|x| x.ln()).sum();
            let size: f64 = values.iter().map(|x| x.ln().abs()).sum();
            assert!((sum_ln(&values) - expected).abs() <= 1e-14 * size, "{count}");
        }
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "these are exact")]
    fn sums_and_maxima_see_every_value() {
        let values: Vec<f64> = (1..=19).map(f64::from).collect();
        assert_eq!(sum(&values, |x| x), 190.0);
        assert_eq!(max(&values), 19.0);
        assert_eq!(max(&[]), f64::NEG_INFINITY);
        assert_eq!((min(&values), min(&values[3..]), min(&[])), (1.0, 4.0, f64::INFINITY));
        assert_eq!(squared_distance(&values, 2.0, &values, 1.0), sum(&values, |x| x * x));
        let mut kept = values.clone();
        assert_eq!(compact(&mut kept, |_, x| x % 5.0 == 0.0), 3);
        assert_eq!(kept[..3], [5.0, 10.0, 15.0]);
    }
}
