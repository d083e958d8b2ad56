//! The values that a metric can take.

use std::f64::consts::{LN_2, SQRT_2};
use std::fmt;

/// The least and the largest value that a metric can take, infinite where there is no bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ValueRange {
    /// The least value.
    pub least: f64,
    /// The largest value.
    pub most: f64,
}

/// All numbers.
pub(super) const ANY: ValueRange = ValueRange::new(f64::NEG_INFINITY, f64::INFINITY);
/// 0 and above.
pub(super) const NOT_NEGATIVE: ValueRange = ValueRange::new(0.0, f64::INFINITY);
/// From 0 to 1.
pub(super) const FRACTION: ValueRange = ValueRange::new(0.0, 1.0);

impl ValueRange {
    pub(super) const fn new(least: f64, most: f64) -> Self {
        Self { least, most }
    }

    /// Whether a value lies in the range, up to the rounding of a computation that ends at a bound.
    pub fn contains(&self, value: f64) -> bool {
        let slack = 1e-12 * value.abs().max(1.0);
        self.least - slack <= value && value <= self.most + slack
    }
}

impl fmt::Display for ValueRange {
    /// `[0, √2]`, `[0, ∞)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) =
            (if self.least.is_finite() { '[' } else { '(' }, if self.most.is_finite() { ']' } else { ')' });
        write!(f, "{open}{}, {}{close}", bound(self.least), bound(self.most))
    }
}

fn bound(value: f64) -> String {
    let size = value.abs();
    let text = if size == f64::INFINITY {
        "∞".to_owned()
    } else if size == SQRT_2 {
        "√2".to_owned()
    } else if size == LN_2 {
        "ln 2".to_owned()
    } else {
        size.to_string()
    };
    if value < 0.0 { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_in_the_notation_of_papers() {
        let text = |least, most| ValueRange::new(least, most).to_string();
        assert_eq!([ANY.to_string(), NOT_NEGATIVE.to_string(), FRACTION.to_string()], ["(−∞, ∞)", "[0, ∞)", "[0, 1]"]);
        assert_eq!([text(0.0, SQRT_2), text(-LN_2, 0.25), text(-1.0, 1.0)], ["[0, √2]", "[−ln 2, 0.25]", "[−1, 1]"]);
    }

    #[test]
    fn only_rounding_may_pass_a_bound() {
        assert!(FRACTION.contains(1.0 + 1e-15) && FRACTION.contains(-1e-15));
        assert!(!FRACTION.contains(1.0 + 1e-9) && !NOT_NEGATIVE.contains(f64::NAN));
    }
}
