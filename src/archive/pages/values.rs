//! Values as pages encode them.

use arrow::datatypes::ArrowNativeType;
use bytes::Bytes;
use half::f16;

use super::runs::{Run, bits_at, run_at};
use crate::grid::vectorised;

/// A type that vectors are stored in.
pub(in crate::archive) trait Float: ArrowNativeType {
    /// Its bytes.
    const BYTES: usize;
    /// Whether it is neither a NaN nor an infinity.
    fn finite(self) -> bool;
    /// The same number in `f64`.
    fn wide(self) -> f64;
    /// Appends values that lie one after the other, little-endian; bytes of a value that is not whole are left out.
    fn append_plain(bytes: &[u8], out: &mut Vec<Self>);
    /// Appends the values `from..to` of `all`, whose first bytes are all together, then all their second ones, and so
    /// on: `BYTE_STREAM_SPLIT`. `bytes` has all of them.
    fn append_split(bytes: &[u8], all: usize, from: usize, to: usize, out: &mut Vec<Self>);
}

macro_rules! floats {
    ($($type:ty, $bytes:literal, $exponent:literal;)*) => {$(
        impl Float for $type {
            const BYTES: usize = $bytes;

            #[inline]
            fn finite(self) -> bool {
                self.to_bits() & $exponent != $exponent
            }

            fn wide(self) -> f64 {
                self.into()
            }

            fn append_plain(bytes: &[u8], out: &mut Vec<Self>) {
                out.extend(bytes.as_chunks::<$bytes>().0.iter().map(|&bytes| Self::from_le_bytes(bytes)));
            }

            fn append_split(bytes: &[u8], all: usize, from: usize, to: usize, out: &mut Vec<Self>) {
                let streams: [&[u8]; $bytes] = std::array::from_fn(|at| &bytes[at * all + from..][..to - from]);
                vectorised(
                    #[inline(always)]
                    || {
                        let value = |at: usize| Self::from_le_bytes(std::array::from_fn(
                            #[inline(always)]
                            |byte| streams[byte][at],
                        ));
                        out.extend((0..to - from).map(value));
                    },
                );
            }
        }
    )*};
}
floats! {
    f16, 2, 0x7c00;
    f32, 4, 0x7f80_0000;
    f64, 8, 0x7ff0_0000_0000_0000;
}

/// Whether all values are finite, without a branch among them.
pub(in crate::archive) fn all_finite<V: Float>(values: &[V]) -> bool {
    values.iter().fold(true, |all, value| all & value.finite())
}

/// Indices into a dictionary, taken one run after the other.
#[derive(Debug)]
pub(super) struct Indices {
    bytes: Bytes,
    width: u32,
    /// Where the next run begins.
    at: usize,
    /// What is left of this one.
    run: Run,
}

/// Indices that are unpacked at a time.
const BLOCK: usize = 512;

impl Indices {
    /// The indices of a data page: their width, and their runs. `None` if they cannot be any.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        let width = u32::from(*bytes.first()?);
        (width <= 32).then_some(Self { bytes, width, at: 1, run: Run::Repeated { value: 0, count: 0 } })
    }

    /// Appends the values of the next `count` indices, each of which stands for `lanes` values of the dictionary.
    ///
    /// `None`, after some of them, if there are not so many or one lies outside of the dictionary.
    pub(super) fn append<V: Float>(
        &mut self,
        mut count: usize,
        lanes: usize,
        dictionary: &[V],
        out: &mut Vec<V>,
    ) -> Option<()> {
        let mut block = [0_u32; BLOCK];
        while count > 0 {
            match &mut self.run {
                Run::Repeated { count: 0, .. } | Run::Packed { count: 0, .. } => {
                    (self.run, self.at) = run_at(&self.bytes, self.at, self.width)?;
                }
                Run::Repeated { value, count: left } => {
                    let taken = count.min(*left);
                    let first = (*value as usize).checked_mul(lanes)?;
                    let entry = dictionary.get(first..first.checked_add(lanes)?)?;
                    match entry {
                        &[value] => out.extend(std::iter::repeat_n(value, taken)),
                        _ => (0..taken).for_each(|_| out.extend_from_slice(entry)),
                    }
                    *left -= taken;
                    count -= taken;
                }
                Run::Packed { start, count: left } => {
                    let block = &mut block[..count.min(*left).min(BLOCK)];
                    unpack(&self.bytes, *start, self.width, block);
                    gather(block, lanes, dictionary, out)?;
                    *start += block.len() * self.width as usize;
                    *left -= block.len();
                    count -= block.len();
                }
            }
        }
        Some(())
    }
}

/// The values of `width` bits from bit `start` on.
fn unpack(bytes: &[u8], start: usize, width: u32, out: &mut [u32]) {
    let mask = ((1_u64 << width) - 1) as u32;
    for (at, value) in out.iter_mut().enumerate() {
        *value = bits_at(bytes, start + at * width as usize) as u32 & mask;
    }
}

fn gather<V: Float>(indices: &[u32], lanes: usize, dictionary: &[V], out: &mut Vec<V>) -> Option<()> {
    let largest = indices.iter().fold(0, |largest, &index| largest.max(index)) as usize;
    dictionary.get(largest.checked_mul(lanes)?..largest.checked_add(1)?.checked_mul(lanes)?)?;
    if lanes == 1 {
        out.extend(indices.iter().map(|&index| dictionary[index as usize]));
    } else {
        for &index in indices {
            out.extend_from_slice(&dictionary[index as usize * lanes..][..lanes]);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_type_as_they_lie_and_split() {
        fn check<V: Float + PartialEq + std::fmt::Debug>(bytes: &[u8], finite: &[bool]) {
            let (mut plain, mut split) = (Vec::<V>::new(), Vec::new());
            V::append_plain(bytes, &mut plain);
            assert_eq!(plain.iter().map(|value| value.finite()).collect::<Vec<_>>(), finite);
            assert_eq!(all_finite(&plain), finite.iter().all(|&finite| finite));
            let streams: Vec<u8> =
                (0..V::BYTES).flat_map(|byte| bytes.iter().skip(byte).step_by(V::BYTES).copied()).collect();
            V::append_split(&streams, finite.len(), 1, finite.len(), &mut split);
            assert_eq!(format!("{split:?}"), format!("{:?}", &plain[1..]));
        }
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        check::<f32>(&bytes(&[1.5, -0.0, f32::NAN, 3e38, f32::NEG_INFINITY]), &[true, true, false, true, false]);
        check::<f32>(&bytes(&[1.5, 2.5]), &[true; 2]);
        check::<f16>(&[0, 0x3c, 0xff, 0xfb, 0, 0x7c, 1, 0xfe], &[true, true, false, false]);
        let wide: Vec<u8> = [f64::MAX, f64::INFINITY, -5e-324].iter().flat_map(|value| value.to_le_bytes()).collect();
        check::<f64>(&wide, &[true, false, true]);
    }

    /// Of width 3: five times 2; 16 packed; a run of one.
    const INDICES: [u8; 12] = [3, 10, 2, 5, 0b1000_1000, 0b1100_0110, 0b1111_1010, 0, 0, 0, 2, 7];

    #[test]
    fn indices_become_values_however_they_are_asked_for() {
        let dictionary: Vec<f32> = (0..8_u8).map(f32::from).collect();
        let expected: Vec<f32> =
            [&[2_u8; 5][..], &[0, 1, 2, 3, 4, 5, 6, 7], &[0; 8], &[7]].concat().into_iter().map(f32::from).collect();
        for step in 1..=22 {
            let mut indices = Indices::new(Bytes::from_static(&INDICES)).unwrap();
            let mut out = Vec::new();
            while out.len() < 22 {
                let count = step.min(22 - out.len());
                indices.append(count, 1, &dictionary, &mut out).unwrap();
            }
            assert_eq!(out, expected, "{step}");
            assert_eq!(indices.append(1, 1, &dictionary, &mut out), None, "there are no more");
        }
        let pairs: Vec<f32> = (0..16_u8).map(f32::from).collect();
        let mut out = Vec::new();
        Indices::new(Bytes::from_static(&INDICES)).unwrap().append(22, 2, &pairs, &mut out).unwrap();
        assert_eq!((out.len(), &out[..4], &out[42..]), (44, &[4.0, 5.0, 4.0, 5.0][..], &[14.0, 15.0][..]));
    }

    #[test]
    fn indices_outside_of_the_dictionary_are_refused() {
        let append = |bytes: &'static [u8], dictionary: &[f32], lanes| {
            Indices::new(Bytes::from_static(bytes))
                .and_then(|mut indices| indices.append(8, lanes, dictionary, &mut Vec::new()))
        };
        assert_eq!(append(&[], &[0.0; 8], 1), None, "no width");
        assert_eq!(append(&[0, 16], &[1.0], 1), Some(()), "a width of 0 bits");
        assert_eq!(append(&[0, 16], &[], 1), None);
        assert_eq!(append(&[3, 16, 7], &[0.0; 7], 1), None);
        assert_eq!(append(&[3, 16, 3], &[0.0; 7], 2), None);
        assert_eq!(append(&[3, 3, 0, 0, 0xe0], &[0.0; 7], 1), None);
        assert_eq!(append(&[3, 3, 0, 0, 0xc0], &[0.0; 7], 1), Some(()));
        assert_eq!(append(&[33, 16, 0, 0, 0, 0, 0], &[0.0; 7], 1), None, "wider than indices are");
    }
}
