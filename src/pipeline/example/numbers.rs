//! Random numbers that are found by their place, so that rows can be made in any order.

/// Numbers of a seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(mixed(seed ^ 0x6e63_6b69_7400_0001))
    }

    /// Bits of a place.
    pub(super) fn bits(self, a: u64, b: u64) -> u64 {
        mixed(mixed(self.0 ^ mixed(a)) ^ b)
    }

    /// A number of row `row`, evenly between 0 and 1.
    pub(super) fn share(self, row: u64) -> f64 {
        (self.bits(u64::MAX, row) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Numbers of mean 0 and variance 1, nearly normal: sums of four even ones.
    pub(super) fn stream(self, a: u64, b: u64) -> impl Iterator<Item = f64> {
        // The variance of an even number between 0 and 65536 is 65536² / 12.
        const SCALE: f64 = 1.0 / 37_837.227_8;
        let mut state = self.bits(a, b);
        std::iter::repeat_with(move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let bits = mixed(state);
            let sum = (bits & 0xffff) + ((bits >> 16) & 0xffff) + ((bits >> 32) & 0xffff) + (bits >> 48);
            (sum as f64 - 131_070.0) * SCALE
        })
    }
}

/// Every bit depends on every bit (Steele et al. 2014, as `SplitMix64` ends).
fn mixed(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_mean_0_and_variance_1_and_differ() {
        let numbers = Numbers::new(3);
        let stream = |a: u64, b: u64| numbers.stream(a, b).take(20_000).collect::<Vec<f64>>();
        let (one, other) = (stream(1, 2), stream(2, 1));
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / 20_000.0;
        assert!(one.iter().sum::<f64>().abs() / 20_000.0 < 0.03);
        assert!((product(&one, &one) - 1.0).abs() < 0.03);
        assert!(product(&one, &other).abs() < 0.03);
        assert_ne!(one, Numbers::new(4).stream(1, 2).take(20_000).collect::<Vec<f64>>());
        assert!((0..1000).map(|row| numbers.share(row)).all(|share| (0.0..1.0).contains(&share)));
    }
}
