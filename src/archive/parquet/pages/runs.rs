//! Runs of the RLE / bit-packing hybrid, in which levels and dictionary indices are stored.

/// Several values at once: as many of one value, or packed side by side from the lowest bit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// `count` times the same.
    Repeated { value: u32, count: usize },
    /// `count` values from bit `start` on.
    Packed { start: usize, count: usize },
}

/// The run that begins at byte `at`, of values of `width` bits, and where the next one begins.
///
/// `None` if it is not whole, empty, or no run at all.
pub(super) fn run_at(bytes: &[u8], at: usize, width: u32) -> Option<(Run, usize)> {
    let (head, at) = varint(bytes, at)?;
    let count = usize::try_from(head >> 1).ok().filter(|&count| count > 0)?;
    if head & 1 == 0 {
        let end = at.checked_add(width.div_ceil(8) as usize)?;
        let value = bytes.get(at..end)?.iter().rev().fold(0, |value, &byte| value << 8 | u32::from(byte));
        Some((Run::Repeated { value, count }, end))
    } else {
        let end = count.checked_mul(width as usize).and_then(|length| at.checked_add(length))?;
        (end <= bytes.len()).then_some(())?;
        Some((Run::Packed { start: 8 * at, count: count.checked_mul(8)? }, end))
    }
}

fn varint(bytes: &[u8], mut at: usize) -> Option<(u32, usize)> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, at));
        }
    }
    None
}

/// The 64 bits from bit `bit` on; what lies behind the end is 0. Below 57 of them are whole.
#[inline]
pub(super) fn bits_at(bytes: &[u8], bit: usize) -> u64 {
    let tail = bytes.get(bit / 8..).unwrap_or_default();
    let word = match tail.first_chunk::<8>() {
        Some(&word) => u64::from_le_bytes(word),
        None => tail.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    word >> (bit % 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_both_kinds() {
        // 100 times 3; then 8 values of 3 bits: 0 to 7, as in the format's own example.
        let bytes = [0xc8, 0x01, 3, 0x03, 0b1000_1000, 0b1100_0110, 0b1111_1010];
        assert_eq!(run_at(&bytes, 0, 3), Some((Run::Repeated { value: 3, count: 100 }, 3)));
        assert_eq!(run_at(&bytes, 3, 3), Some((Run::Packed { start: 32, count: 8 }, 7)));
        let values: Vec<u64> = (0..8).map(|at| bits_at(&bytes, 32 + 3 * at) & 7).collect();
        assert_eq!(values, [0, 1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn what_is_no_run() {
        assert_eq!(run_at(&[], 0, 1), None);
        assert_eq!(run_at(&[0x80], 0, 1), None, "the count is not whole");
        assert_eq!(run_at(&[0, 7], 0, 1), None, "no value");
        assert_eq!(run_at(&[4], 0, 1), None, "its value is missing");
        assert_eq!(run_at(&[5, 0xff], 0, 1), None, "16 bits in a byte");
        assert_eq!(run_at(&[0xff, 0xff, 0xff, 0xff, 0x1f, 1], 0, 1), None, "more than 32 bits");
        assert_eq!(run_at(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1], 0, 20), None, "2^31 groups");
    }
}
