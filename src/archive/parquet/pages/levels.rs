//! Checks that levels carry no information: no nulls, and `D` elements per row.

use super::runs::{Run, bits_at, run_at};

/// Whether the first `count` levels, of values up to `most`, are all `most`: every value is there.
pub(super) fn all_defined(bytes: &[u8], count: usize, most: u8) -> bool {
    let width = width(most);
    // `most` side by side; bits that no level takes are 0.
    let packed = (0..64 / width).fold(0, |word, _| word << width | u64::from(most));
    walk(bytes, count, width, |run, count| match run {
        Run::Repeated { value, .. } => value == u32::from(most),
        Run::Packed { start, .. } => {
            let (bits, step) = (count * width as usize, (48 / width * width) as usize);
            (0..bits).step_by(step).all(|bit| {
                let mask = mask(step.min(bits - bit));
                (bits_at(bytes, start + bit) ^ packed) & mask == 0
            })
        }
    })
}

/// Whether the first `count` levels are 0 exactly at multiples of `dim`, and 1 elsewhere; the first level is the
/// `at`-th of all.
pub(super) fn rows_of(bytes: &[u8], count: usize, mut at: u64, dim: u64) -> bool {
    walk(bytes, count, 1, |run, count| {
        let first = at;
        at += count as u64;
        match run {
            Run::Repeated { value: 0, .. } => dim == 1 || count == 1 && first.is_multiple_of(dim),
            Run::Repeated { value: 1, .. } => !first.is_multiple_of(dim) && first % dim + count as u64 <= dim,
            Run::Repeated { .. } => false,
            Run::Packed { start, .. } => {
                let mut next_row = first.div_ceil(dim) * dim - first;
                (0..count).step_by(48).all(|bit| {
                    let end = (bit + 48).min(count);
                    let mut levels = mask(end - bit);
                    while next_row < end as u64 {
                        levels ^= 1 << (next_row - bit as u64);
                        next_row += dim;
                    }
                    bits_at(bytes, start + bit) & mask(end - bit) == levels
                })
            }
        }
    })
}

/// How many of the `count` levels are `wanted`, if none is more than `most` and there is nothing else in `bytes`.
pub(super) fn count(bytes: &[u8], count: usize, most: u8, wanted: u8) -> Option<usize> {
    let width = width(most);
    let (mut left, mut at, mut found) = (count, 0, 0);
    while left > 0 {
        let (run, next) = run_at(bytes, at, width)?;
        let (Run::Repeated { count, .. } | Run::Packed { count, .. }) = run;
        let count = count.min(left);
        match run {
            Run::Repeated { value, .. } => {
                (value <= u32::from(most)).then_some(())?;
                found += if value == u32::from(wanted) { count } else { 0 };
            }
            Run::Packed { start, .. } => {
                let equal = |level: u8| equal(bytes, start, count, width, level);
                (most + 1..=((1_u16 << width) - 1) as u8).all(|level| equal(level) == 0).then_some(())?;
                found += equal(wanted);
            }
        }
        left -= count;
        at = next;
    }
    (at == bytes.len()).then_some(found)
}

/// How many of the `count` levels of `width` bits, packed from bit `start` on, are `level`.
fn equal(bytes: &[u8], start: usize, count: usize, width: u32, level: u8) -> usize {
    let lanes = 48 / width as usize;
    let repeated = |value: u64| (0..lanes).fold(0, |word, _| word << width | value);
    let (pattern, lowest) = (repeated(level.into()), repeated(1));
    (0..count).step_by(lanes).fold(0, |found, first| {
        let lanes = lanes.min(count - first);
        let differs = bits_at(bytes, start + first * width as usize) ^ pattern;
        let differs = (0..width).fold(0, |any, bit| any | differs >> bit) & lowest & mask(lanes * width as usize);
        found + lanes - differs.count_ones() as usize
    })
}

/// How many bits a level takes.
pub(super) fn width(most: u8) -> u32 {
    8 - most.leading_zeros()
}

fn mask(bits: usize) -> u64 {
    (1 << bits) - 1
}

/// Whether there are `count` levels and nothing else, and `holds` is true of every run and what of it counts.
fn walk(bytes: &[u8], count: usize, width: u32, mut holds: impl FnMut(Run, usize) -> bool) -> bool {
    let (mut left, mut at) = (count, 0);
    while left > 0 {
        let Some((run, next)) = run_at(bytes, at, width) else { return false };
        let (Run::Repeated { count, .. } | Run::Packed { count, .. }) = run;
        let count = count.min(left);
        if !holds(run, count) {
            return false;
        }
        left -= count;
        at = next;
    }
    at == bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Levels as runs: all packed in one, or those that repeat eight times and more apart.
    fn encoded(levels: &[u8], width: u32, repeat: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = levels;
        while let Some(&first) = rest.first() {
            let same = rest.iter().take_while(|&&level| level == first).count();
            if repeat && same >= 8 {
                let same = same.min(63);
                bytes.extend([(same as u8) << 1, first]);
                rest = &rest[same..];
                continue;
            }
            let (run, tail) = rest.split_at(if repeat { rest.len().min(8) } else { rest.len() });
            let groups = run.len().div_ceil(8);
            assert!(groups < 64);
            bytes.push((groups as u8) << 1 | 1);
            for group in 0..groups {
                // What fills the last group means nothing.
                let level = |at: usize| u32::from(run.get(8 * group + at).copied().unwrap_or((1 << width) - 1));
                let word = (0..8).fold(0, |word, at| word | level(at) << (at as u32 * width));
                bytes.extend(&word.to_le_bytes()[..width as usize]);
            }
            rest = tail;
        }
        bytes
    }

    #[test]
    fn a_level_below_the_highest_is_found_anywhere() {
        for most in 1..=7 {
            for repeat in [false, true] {
                let levels = vec![most; 61];
                let defined = |levels: &[u8], count| all_defined(&encoded(levels, width(most), repeat), count, most);
                assert!(defined(&levels, 61) && defined(&levels, 3) && !defined(&levels, 65));
                for at in 0..61 {
                    let mut levels = levels.clone();
                    levels[at] -= 1;
                    assert!(!defined(&levels, 61), "{at}");
                    let found =
                        |wanted| super::count(&encoded(&levels, width(most), repeat), 61, most, wanted).unwrap();
                    assert_eq!((found(most), found(most - 1)), (60, 1));
                }
            }
        }
        assert!(all_defined(&[3, 0xff, 0xff], 8, 3) && !all_defined(&[3, 0xff], 8, 3));
        assert!(!all_defined(&[16, 4], 8, 3), "a level that cannot be");
        assert!(!all_defined(&[16, 3, 0], 8, 3), "a byte more");
        // Eight levels of 0 to 3, of which 2 is the highest there may be.
        assert_eq!(count(&[3, 0b1110_0100, 0], 8, 3, 0), Some(5));
        assert_eq!(count(&[3, 0b1110_0100, 0], 8, 2, 0), None);
        assert_eq!(
            (count(&[16, 2], 8, 2, 2), count(&[16, 3], 8, 2, 2), count(&[16, 2, 0], 8, 2, 2)),
            (Some(8), None, None)
        );
    }

    #[test]
    fn rows_begin_where_they_must_and_nowhere_else() {
        for dim in [1, 2, 3, 8, 9, 47, 48, 50, 100] {
            for at in [0, 1, dim - 1, 3 * dim + 1] {
                let levels: Vec<u8> = (0..150).map(|j| u8::from((at + j) % dim != 0)).collect();
                for repeat in [false, true] {
                    let rows = |levels: &[u8]| rows_of(&encoded(levels, 1, repeat), levels.len(), at, dim);
                    assert!(rows(&levels), "{dim} {at}");
                    for j in 0..levels.len() {
                        let mut levels = levels.clone();
                        levels[j] ^= 1;
                        assert!(!rows(&levels), "{dim} {at} {j}");
                    }
                }
            }
        }
        assert!(!rows_of(&[16, 2], 8, 1, 100), "a level that cannot be");
        assert!(!rows_of(&[17, 1], 9, 1, 100), "too few");
    }
}
