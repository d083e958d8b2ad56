//! Sums in twice the precision of `f64`, about 106 bits: what an oracle is made of.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub, SubAssign};

/// `high + low`, `|low|` at most half a unit in the last place of `high` (Dekker 1971).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Double {
    high: f64,
    low: f64,
}

impl Double {
    pub(crate) fn value(self) -> f64 {
        self.high + self.low
    }

    /// `a + b` without error (Knuth).
    fn sum(a: f64, b: f64) -> Self {
        let high = a + b;
        let from_b = high - a;
        Self { high, low: (a - (high - from_b)) + (b - from_b) }
    }

    /// `a · b` without error, `|a|, |b| < 2^990` (Veltkamp, Dekker).
    pub(crate) fn product(a: f64, b: f64) -> Self {
        let halves = |x: f64| {
            let scaled = x * 134_217_729.0; // 2^27 + 1
            let high = scaled - (scaled - x);
            (high, x - high)
        };
        let high = a * b;
        let ((ah, al), (bh, bl)) = (halves(a), halves(b));
        Self { high, low: ((ah * bh - high) + ah * bl + al * bh) + al * bl }
    }

    pub(crate) fn over(self, divisor: f64) -> Self {
        let high = self.high / divisor;
        let rest = self - Self::product(high, divisor);
        Self::sum(high, rest.value() / divisor)
    }

    pub(crate) fn squared(self) -> Self {
        self * self
    }

    pub(crate) fn sqrt(self) -> Self {
        let root = self.high.sqrt();
        if root == 0.0 {
            return Self::default();
        }
        Self::sum(root, (self - Self::product(root, root)).value() / (2.0 * root))
    }
}

impl From<f64> for Double {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

impl Add for Double {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let sum = Self::sum(self.high, other.high);
        Self::sum(sum.high, sum.low + self.low + other.low)
    }
}

impl Sub for Double {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + Self { high: -other.high, low: -other.low }
    }
}

impl Mul for Double {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let product = Self::product(self.high, other.high);
        Self::sum(product.high, product.low + self.high * other.low + self.low * other.high)
    }
}

impl Div for Double {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let quotient = self.high / other.high;
        let rest = self - other * quotient.into();
        Self::sum(quotient, rest.value() / other.high)
    }
}

impl Neg for Double {
    type Output = Self;
    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl SubAssign for Double {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl AddAssign for Double {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

#[test]
fn keeps_what_an_f64_loses() {
    let (large, small) = (Double::from(1e16), Double::from(0.3));
    assert!(((large + small - large).value() - 0.3).abs() < 1e-16);
    let third = Double::from(1.0).over(3.0);
    assert!((third + third + third - Double::from(1.0)).value().abs() < 1e-31);
    let (two, three) = (Double::from(2.0), Double::from(3.0));
    assert!(((two.sqrt() * two.sqrt() - two).value()).abs() < 1e-31);
    assert!((two / three * three - two).value().abs() < 1e-31);
    let square = (Double::from(1.0) + Double::from(1e-20)).squared() - Double::from(1.0);
    assert!((square.value() / 2e-20 - 1.0).abs() < 1e-10);
}
