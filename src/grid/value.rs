//! The storage types of features.
#![expect(clippy::inline_always, reason = "a call in loops over values would keep them from being vectorised")]

use half::f16;

/// A storage type of features; all are exact in `f64`.
pub(crate) trait Value: Copy + Send + Sync + 'static {
    /// Whether squares of differences can leave the range of `f64`.
    const WIDE_RANGE: bool;
    /// The same number in `f64`.
    fn widen(self) -> f64;
}

impl Value for f16 {
    const WIDE_RANGE: bool = false;
    #[inline(always)]
    fn widen(self) -> f64 {
        // Shifted to their places in an f32, exponent and significand are off by 2^-112, those of subnormals too.
        let bits = u32::from(self.to_bits());
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits((112 + 127) << 23);
        f64::from(f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16))
    }
}

impl Value for f32 {
    const WIDE_RANGE: bool = false;
    #[inline(always)]
    fn widen(self) -> f64 {
        f64::from(self)
    }
}

impl Value for f64 {
    const WIDE_RANGE: bool = true;
    #[inline(always)]
    fn widen(self) -> f64 {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_widens_to_itself() {
        for bits in 0..=u16::MAX {
            let x = f16::from_bits(bits);
            if x.is_finite() {
                assert_eq!(Value::widen(x).to_bits(), x.to_f64().to_bits());
            }
        }
    }
}
