//! Exact shifts of wide integers.

use arrow::datatypes::i256;

/// `value · 2^shift`, exact; `None` beyond 252 bits.
pub fn wide(value: i128, shift: u32) -> Option<i256> {
    shift_left(i256::from_i128(value), shift)
}

/// `value · 2^shift`, exact; `None` beyond 252 bits.
pub fn shift_left(value: i256, shift: u32) -> Option<i256> {
    if value == i256::ZERO {
        return Some(value);
    }
    (bits_i256(value).saturating_add(shift) <= 252).then(|| value << shift as u8)
}

/// `value / 2^shift`; `None` unless exact.
pub fn shift_right(value: i256, shift: u32) -> Option<i256> {
    if value == i256::ZERO {
        return Some(value);
    }
    (value.trailing_zeros() >= shift).then(|| value >> shift as u8)
}

/// `value · 2^shift`, exact; `None` beyond 126 bits.
pub fn narrow(value: i128, shift: u32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    (bits_i128(value).saturating_add(shift) <= 126).then(|| value << shift)
}

/// `value / 2^shift`; `None` unless exact.
pub fn divide(value: i128, shift: u32) -> Option<i128> {
    if value == 0 {
        return Some(0);
    }
    (value.trailing_zeros() >= shift).then(|| value >> shift)
}

/// How many bits the magnitude takes; 0 for 0.
pub fn bits_i128(value: i128) -> u32 {
    128 - value.unsigned_abs().leading_zeros()
}

/// How many bits the magnitude takes; 0 for 0.
pub fn bits_i256(value: i256) -> u32 {
    256 - value.wrapping_abs().leading_zeros()
}

/// The nearest `f64` to within one unit in the last place.
pub fn f64_from_i256(value: i256) -> f64 {
    let (low, high) = value.wrapping_abs().to_parts();
    let magnitude = high as f64 * 2f64.powi(128) + low as f64;
    if value.is_negative() { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "powers of two are exact")]
    fn widening_keeps_sign_and_refuses_what_does_not_fit() {
        assert_eq!(wide(-3, 4), Some(i256::from_i128(-48)));
        assert_eq!(wide(0, 255), Some(i256::ZERO));
        assert_eq!(f64_from_i256(wide(-3, 200).unwrap()), -3.0 * 2f64.powi(200));
        assert_eq!(wide(1, 252), None);
        assert_eq!(shift_right(i256::from_i128(-48), 4), Some(i256::from_i128(-3)));
        assert_eq!(shift_right(i256::from_i128(-48), 5), None);
        assert_eq!(bits_i256(i256::from_i128(-8)), 4);
        assert_eq!((narrow(-3, 124), narrow(-3, 125), narrow(0, 4000)), (Some(-3 << 124), None, Some(0)));
        assert_eq!((divide(-48, 4), divide(-48, 5), divide(0, 4000)), (Some(-3), None, Some(0)));
    }
}
