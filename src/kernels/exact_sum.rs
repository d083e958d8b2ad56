//! Sums of floating-point numbers, and of their products, without any rounding until they are read.

use std::cmp::Ordering;

/// Bits in a word; a bin holds the sum of many words.
const WORD: i32 = 64;

/// The bit that `2^0` stands at: a multiple of a word, below the lowest bit of the product of two subnormals.
const ORIGIN: i32 = 35 * WORD;

/// An exact sum: adding and merging are associative and commutative, bit for bit (Kulisch 2011).
///
/// The sum is `Σ_i bins[i] · 2^(64 (first + i) − 2240)`. Each term adds less than `2^64` to a bin, so bins of 128 bits
/// hold `2^63` terms before any carry has to be made.
#[derive(Clone, Debug, Default)]
pub struct ExactSum {
    first: usize,
    bins: Vec<i128>,
}

impl ExactSum {
    /// `self ← self + x`; `x` is finite.
    pub fn add(&mut self, x: f64) {
        let (significand, exponent) = parts(x);
        self.add_magnitude(u128::from(significand), exponent, x.is_sign_negative());
    }

    /// `self ← self + a b 2^scale`; `a` and `b` are finite, `scale` is 0 or 1.
    pub fn add_product(&mut self, a: f64, b: f64, scale: i32) {
        let ((a_significand, a_exponent), (b_significand, b_exponent)) = (parts(a), parts(b));
        let product = u128::from(a_significand) * u128::from(b_significand);
        self.add_magnitude(product, a_exponent + b_exponent + scale, a.is_sign_negative() != b.is_sign_negative());
    }

    /// `self ← self + other`.
    pub fn merge(&mut self, other: &Self) {
        self.accumulate(other, false);
    }

    /// The position of the first bin and the bins, for [`from_parts`](Self::from_parts) to read again.
    pub fn parts(&self) -> (usize, &[i128]) {
        (self.first, &self.bins)
    }

    /// The sum with these bins; `None` if no sum of `f64` numbers has them.
    pub fn from_parts(first: usize, bins: Vec<i128>) -> Option<Self> {
        // No term is larger than the product of two of the largest f64, and a carry takes two words.
        let most = (ORIGIN + 2 * 1025) as usize / WORD as usize + 2;
        let held = bins.iter().all(|bin| bin.unsigned_abs() < 1 << 127);
        (first.checked_add(bins.len())? <= most && held).then_some(Self { first, bins })
    }

    /// Compares two sums exactly.
    pub fn compare(&self, other: &Self) -> Ordering {
        let mut difference = self.clone();
        difference.accumulate(other, true);
        let (negative, words) = difference.magnitude();
        match (words.is_empty(), negative) {
            (true, _) => Ordering::Equal,
            (false, true) => Ordering::Less,
            (false, false) => Ordering::Greater,
        }
    }

    /// The nearest `f64`, ties to even; infinite beyond its range.
    pub fn value(&self) -> f64 {
        let (negative, words) = self.magnitude();
        let Some(&top) = words.last() else { return 0.0 };
        let word = |i: usize| words.get(i).copied().unwrap_or(0);
        // The position of the highest bit, and of the lowest that an `f64` of this size keeps.
        let highest = WORD * (words.len() + self.first) as i32 - 1 - top.leading_zeros() as i32 - ORIGIN;
        let lowest = (highest - 52).max(-1074);
        let at = lowest + ORIGIN - WORD * self.first as i32;
        // Nothing lies below the first bin, so a value that begins above `lowest` moves left and is exact.
        let (kept, above_half, half) = if at <= 0 {
            (words[0] << -at, false, false)
        } else {
            let (i, bit) = ((at / WORD) as usize, at % WORD);
            let kept = word(i) >> bit | if bit == 0 { 0 } else { word(i + 1) << (WORD - bit) };
            let (below, below_bit) = (((at - 1) / WORD) as usize, (at - 1) % WORD);
            let rest =
                word(below) & ((1 << below_bit) - 1) != 0 || words[..below.min(words.len())].iter().any(|&w| w != 0);
            (kept, rest, word(below) >> below_bit & 1 == 1)
        };
        let rounded = kept + u64::from(half && (above_half || kept & 1 == 1));
        // In two steps, since one factor cannot be 2^lowest where that is below the range of `f64`.
        let magnitude = rounded as f64 * 2f64.powi(lowest.div_euclid(2)) * 2f64.powi(lowest - lowest.div_euclid(2));
        if negative { -magnitude } else { magnitude }
    }

    /// Adds `magnitude · 2^exponent` with a sign.
    fn add_magnitude(&mut self, magnitude: u128, exponent: i32, negative: bool) {
        if magnitude == 0 {
            return;
        }
        let at = exponent + ORIGIN;
        let (first, shift) = ((at / WORD) as usize, at % WORD);
        let rest = magnitude >> (WORD - shift);
        let words = [(magnitude << shift) as u64, rest as u64, (rest >> WORD) as u64];
        let used = words.iter().rposition(|&word| word != 0).unwrap_or(0) + 1;
        self.reserve(first, first + used);
        for (bin, &word) in self.bins[first - self.first..].iter_mut().zip(&words[..used]) {
            *bin += if negative { -i128::from(word) } else { i128::from(word) };
        }
    }

    fn accumulate(&mut self, other: &Self, negated: bool) {
        if other.bins.is_empty() {
            return;
        }
        self.reserve(other.first, other.first + other.bins.len());
        for (bin, &theirs) in self.bins[other.first - self.first..].iter_mut().zip(&other.bins) {
            *bin += if negated { -theirs } else { theirs };
        }
    }

    /// Makes room for the words `start..end`.
    fn reserve(&mut self, start: usize, end: usize) {
        if self.bins.is_empty() {
            self.first = start;
        }
        if start < self.first {
            self.bins.splice(0..0, std::iter::repeat_n(0, self.first - start));
            self.first = start;
        }
        if end > self.first + self.bins.len() {
            self.bins.resize(end - self.first, 0);
        }
    }

    /// The sign, and the words of the magnitude from the first bin up, with all carries made; the last word is not 0.
    fn magnitude(&self) -> (bool, Vec<u64>) {
        let carried = |negated: bool| {
            let mut words = Vec::with_capacity(self.bins.len() + 2);
            let mut carry = 0_i128;
            for &bin in &self.bins {
                let sum = carry + if negated { -bin } else { bin };
                words.push(sum as u64);
                carry = sum >> WORD;
            }
            (carry, words)
        };
        let (mut carry, mut words) = carried(false);
        let negative = carry < 0;
        if negative {
            (carry, words) = carried(true);
        }
        words.extend([carry as u64, (carry >> WORD) as u64]);
        let used = words.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
        words.truncate(used);
        (negative, words)
    }
}

/// Sums are equal if their values are, whatever their terms.
impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

/// `|x| = significand · 2^exponent`.
fn parts(x: f64) -> (u64, i32) {
    debug_assert!(x.is_finite());
    let bits = x.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(terms: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        for &x in terms {
            sum.add(x);
        }
        sum
    }

    #[test]
    fn what_cancels_leaves_the_rest() {
        assert_eq!(sum(&[1e308, 1.0, 1e308, -1e308, 3e-320, -1e308, -1.0]).value(), 3e-320);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]).value(), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]).value(), f64::INFINITY);
        assert_eq!(sum(&[0.1, -0.1]).value(), 0.0);
        assert_eq!(sum(&[]).value(), 0.0);
        assert_eq!(sum(&[-0.1; 10]).value(), -1.0);
    }

    #[test]
    fn halves_go_to_even_unless_something_lies_below() {
        let ulp = f64::EPSILON;
        assert_eq!(sum(&[1.0, ulp / 2.0]).value(), 1.0);
        assert_eq!(sum(&[1.0 + ulp, ulp / 2.0]).value(), 1.0 + 2.0 * ulp);
        assert_eq!(sum(&[1.0, ulp / 2.0, f64::from_bits(1)]).value(), 1.0 + ulp);
        assert_eq!(sum(&[1.0, ulp / 2.0, -f64::from_bits(1)]).value(), 1.0);
        assert_eq!(sum(&[2.0, -ulp / 4.0]).value(), 2.0);
        assert_eq!(sum(&[f64::from_bits(5), f64::MIN_POSITIVE]).value(), f64::from_bits(5) + f64::MIN_POSITIVE);
    }

    #[test]
    fn products_keep_all_their_bits() {
        let mut square = ExactSum::default();
        let x = 1.0 + f64::EPSILON;
        square.add_product(x, x, 1);
        square.add(-2.0);
        square.add(-4.0 * f64::EPSILON);
        assert_eq!(square.value(), 2.0 * f64::EPSILON * f64::EPSILON);
        let mut tiny = ExactSum::default();
        tiny.add_product(f64::from_bits(1), f64::from_bits(1), 0);
        assert_eq!((tiny.value(), tiny.compare(&ExactSum::default())), (0.0, Ordering::Greater));
        // A hair above half of the least subnormal, which must not be rounded twice.
        let mut half = tiny.clone();
        half.add_product(2f64.powi(-500), 2f64.powi(-575), 0);
        assert_eq!(half.value(), f64::from_bits(1));
        tiny.add_product(f64::MAX, -f64::MAX, 0);
        assert_eq!((tiny.value(), tiny.compare(&square)), (f64::NEG_INFINITY, Ordering::Less));
    }

    fn finite() -> impl Strategy<Value = f64> {
        any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |x| x.is_finite())
    }

    /// Integers times a power of two, whose sum an `i128` knows.
    fn scaled(terms: &[i64], exponent: i32) -> Vec<f64> {
        terms.iter().map(|&term| (term >> 11) as f64 * 2f64.powi(exponent)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn one_number_comes_back(x in finite()) {
            prop_assert_eq!(sum(&[x]).value(), x);
        }

        #[test]
        fn order_and_partition_change_nothing(terms in prop::collection::vec(finite(), 0..40), cut: prop::sample::Index) {
            let mut backwards = terms.clone();
            backwards.reverse();
            let (left, right) = terms.split_at(if terms.is_empty() { 0 } else { cut.index(terms.len()) });
            let mut merged = sum(right);
            merged.merge(&sum(left));
            let whole = sum(&terms);
            prop_assert_eq!(whole.value().to_bits(), sum(&backwards).value().to_bits());
            prop_assert_eq!(whole.value().to_bits(), merged.value().to_bits());
            prop_assert!(whole == merged);
            // What is added and taken off again leaves nothing.
            merged.merge(&sum(&terms.iter().map(|x| -x).collect::<Vec<_>>()));
            prop_assert_eq!(merged.value(), 0.0);
        }

        #[test]
        fn sums_are_those_of_integers(terms in prop::collection::vec(any::<i64>(), 1..40), exponent in -1074..900) {
            let exact: i128 = terms.iter().map(|&term| i128::from(term >> 11)).sum();
            // An `i128` becomes the nearest `f64`, and the power of two is exact while nothing is subnormal.
            prop_assert_eq!(sum(&scaled(&terms, 0)).value(), exact as f64);
            if exponent >= -1022 {
                prop_assert_eq!(sum(&scaled(&terms, exponent)).value(), exact as f64 * 2f64.powi(exponent));
            }
        }

        #[test]
        fn products_are_those_of_integers(pairs in prop::collection::vec(any::<(i32, i32)>(), 1..40)) {
            let mut sum = ExactSum::default();
            let mut exact = 0_i128;
            for (a, b) in pairs {
                sum.add_product(f64::from(a), f64::from(b), 0);
                exact += i128::from(a) * i128::from(b);
            }
            prop_assert_eq!(sum.value(), exact as f64);
        }
    }
}
