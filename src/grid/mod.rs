//! The fixed-point grid: where every value is rounded, once, before all arithmetic becomes exact.
//!
//! A grid has one step per dimension, `g_j = 2^(e_j)`, and a value becomes `q = round_ties_even(x / g_j)`.

mod history;
mod integer;
mod simd;
mod spread;
mod value;

pub use history::{ExponentRows, History};
pub use integer::{bits_i128, bits_i256, divide, f64_from_i256, narrow, shift_left, shift_right, wide};
#[cfg(test)]
pub(crate) use simd::Registers;
pub(crate) use simd::vectorised;
pub use spread::Spread;
pub(crate) use value::Value;

/// Exponents stay where both a step and its inverse are ordinary `f64`; values below `2^-1022` round to 0.
pub const EXPONENTS: std::ops::RangeInclusive<i16> = -1022..=1000;

/// `|q|` stays below this, so that differences of two fit an `i64`.
pub const VALUE_BITS: u32 = 62;

/// What rounding takes off a value is kept to this many bits below the step, for means: they are exact to `2^-41` of
/// the spread, where rows lie within `2^21` steps.
pub const RESIDUAL_BITS: u32 = 20;

/// `|δ|` of a row about its class's shift stays below `2^42 − 2^21`: two slices of 21 bits, each below `2^21`.
pub const DELTA_LIMIT: i64 = (1 << 42) - (1 << 21);

/// The exponents of the steps of a grid, one per dimension.
///
/// `None` marks a dimension that holds nothing but zeros: they lie on every grid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grid(Vec<Option<i16>>);

impl Grid {
    /// The grid of these exponents.
    pub fn new(exponents: Vec<Option<i16>>) -> Self {
        Self(exponents)
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.0.len()
    }

    /// The exponents.
    pub fn exponents(&self) -> &[Option<i16>] {
        &self.0
    }

    /// The smallest exponent of all, which is the unit of sums over dimensions. `None` if all dimensions are zero.
    pub fn finest(&self) -> Option<i16> {
        self.0.iter().copied().flatten().min()
    }

    /// The step of each dimension; 1 where all values are zero and any step would do.
    pub fn steps(&self) -> Vec<f64> {
        self.0.iter().map(|&e| power_of_two(e.unwrap_or(0))).collect()
    }

    /// In each dimension the finer of both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let finer = |(&a, &b): (&Option<i16>, &Option<i16>)| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self(self.0.iter().zip(&other.0).map(finer).collect())
    }

    /// By how many bits integers on this grid are shifted left to lie on `finer`, per dimension.
    pub fn shifts_to(&self, finer: &Self) -> Vec<u32> {
        let shift = |(&from, &to): (&Option<i16>, &Option<i16>)| match (from, to) {
            (Some(from), Some(to)) => (i32::from(from) - i32::from(to)) as u32,
            _ => 0,
        };
        self.0.iter().zip(&finer.0).map(shift).collect()
    }

    /// `e_j − min e`, which weighs a dimension in sums over dimensions: `(g_j / g_min)² = 4^weight`.
    pub fn weights(&self) -> Vec<u32> {
        let finest = self.finest().unwrap_or(0);
        self.0.iter().map(|e| e.map_or(0, |e| (i32::from(e) - i32::from(finest)) as u32)).collect()
    }
}

/// `2^e`, exact for [`EXPONENTS`].
pub fn power_of_two(e: i16) -> f64 {
    debug_assert!((-1022..=1023).contains(&e));
    f64::from_bits(((i64::from(e) + 1023) as u64) << 52)
}

/// `ceil(log2 x)` for positive finite `x`, by the exponent bits.
pub(crate) fn ceil_log2(x: f64) -> i32 {
    debug_assert!(x > 0.0 && x.is_finite());
    // A subnormal number has no exponent of its own: multiplied by 2^54 it is normal.
    let (x, bias) = if x < f64::MIN_POSITIVE { (x * power_of_two(54), 1023 + 54) } else { (x, 1023) };
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i32 - bias;
    exponent + i32::from(bits & ((1 << 52) - 1) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_of_the_logarithm() {
        assert_eq!(ceil_log2(1.0), 0);
        assert_eq!(ceil_log2(1.5), 1);
        assert_eq!(ceil_log2(2.0), 1);
        assert_eq!(ceil_log2(0.75), 0);
        assert_eq!(ceil_log2(f64::MIN_POSITIVE), -1022);
        assert_eq!(ceil_log2(f64::from_bits(1)), -1074);
        assert_eq!(ceil_log2(f64::from_bits(3)), -1072);
        assert_eq!(ceil_log2(f64::MAX), 1024);
    }

    #[test]
    fn a_common_grid_is_the_finer_one_and_zeros_take_any() {
        let a = Grid::new(vec![Some(0), None, Some(-3), None]);
        let b = Grid::new(vec![Some(-2), Some(5), Some(1), None]);
        let common = a.common(&b);
        assert_eq!(common.exponents(), [Some(-2), Some(5), Some(-3), None]);
        assert_eq!(a.shifts_to(&common), [2, 0, 0, 0]);
        assert_eq!(b.shifts_to(&common), [0, 0, 4, 0]);
        assert_eq!(common.weights(), [1, 8, 0, 0]);
        assert_eq!(common.steps(), [0.25, 32.0, 0.125, 1.0]);
    }
}
