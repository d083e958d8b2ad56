//! Values as pages encode them.

use arrow::datatypes::ArrowNativeType;
use bytes::Bytes;
use half::f16;
use zerocopy::{FromBytes, IntoBytes};

use super::runs::{Run, bits_at, run_at};
use crate::grid::vectorised;

/// A type that vectors are stored in.
pub(in crate::archive::parquet) trait Float:
    ArrowNativeType + FromBytes + IntoBytes
{
    /// Its bytes.
    const BYTES: usize;
    /// Whether it is neither a NaN nor an infinity.
    fn finite(self) -> bool;
    /// Whether all are.
    fn all_finite(values: &[Self]) -> bool;
    /// The same number in `f64`.
    fn wide(self) -> f64;
    /// Fills `values` with what `fill` puts in their place, little-endian.
    fn fill_plain<E>(values: &mut [Self], fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E>;
    /// Fills `values` with those from `from` on of `all`, whose first bytes are all together, then all their second
    /// ones, and so on: `BYTE_STREAM_SPLIT`. `bytes` has all of them.
    fn fill_split(values: &mut [Self], bytes: &[u8], all: usize, from: usize);
}

macro_rules! floats {
    ($($type:ty, $bits:ty, $bytes:literal, $exponent:literal;)*) => {$(
        impl Float for $type {
            const BYTES: usize = $bytes;

            #[inline]
            fn finite(self) -> bool {
                self.to_bits() & $exponent != $exponent
            }

            fn all_finite(values: &[Self]) -> bool {
                vectorised(
                    #[inline(always)]
                    || {
                        let mut largest: $bits = 0;
                        for value in values {
                            largest = largest.max(value.to_bits() & $exponent);
                        }
                        largest < $exponent
                    },
                )
            }

            fn wide(self) -> f64 {
                self.into()
            }

            fn fill_plain<E>(values: &mut [Self], fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E> {
                fill(values.as_mut_bytes())?;
                // Nothing where numbers are little-endian.
                for value in values {
                    *value = Self::from_bits(<$bits>::from_le(value.to_bits()));
                }
                Ok(())
            }

            fn fill_split(values: &mut [Self], bytes: &[u8], all: usize, from: usize) {
                let streams: [&[u8]; $bytes] = std::array::from_fn(|at| &bytes[at * all + from..][..values.len()]);
                vectorised(
                    #[inline(always)]
                    || {
                        for at in 0..values.len() {
                            let mut value = [0; $bytes];
                            for byte in 0..$bytes {
                                value[byte] = streams[byte][at];
                            }
                            values[at] = Self::from_le_bytes(value);
                        }
                    },
                );
            }
        }
    )*};
}
floats! {
    f16, u16, 2, 0x7c00;
    f32, u32, 4, 0x7f80_0000;
    f64, u64, 8, 0x7ff0_0000_0000_0000;
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

    /// Fills `values` with what the next indices stand for, `lanes` values of the dictionary each.
    ///
    /// `None`, after some of them, if there are not so many or one lies outside of the dictionary.
    pub(super) fn fill<V: Float>(&mut self, mut values: &mut [V], lanes: usize, dictionary: &[V]) -> Option<()> {
        let mut block = [0_u32; BLOCK];
        while !values.is_empty() {
            let wanted = values.len() / lanes;
            match &mut self.run {
                Run::Repeated { count: 0, .. } | Run::Packed { count: 0, .. } => {
                    (self.run, self.at) = run_at(&self.bytes, self.at, self.width)?;
                }
                Run::Repeated { value, count: left } => {
                    let taken = wanted.min(*left);
                    let first = (*value as usize).checked_mul(lanes)?;
                    let entry = dictionary.get(first..first.checked_add(lanes)?)?;
                    let part = values.split_off_mut(..taken * lanes)?;
                    match entry {
                        &[value] => part.fill(value),
                        _ => part.chunks_exact_mut(lanes).for_each(|part| part.copy_from_slice(entry)),
                    }
                    *left -= taken;
                }
                Run::Packed { start, count: left } => {
                    let block = &mut block[..wanted.min(*left).min(BLOCK)];
                    unpack(&self.bytes, *start, self.width, block);
                    gather(block, lanes, dictionary, values.split_off_mut(..block.len() * lanes)?)?;
                    *start += block.len() * self.width as usize;
                    *left -= block.len();
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

fn gather<V: Float>(indices: &[u32], lanes: usize, dictionary: &[V], values: &mut [V]) -> Option<()> {
    let largest = indices.iter().fold(0, |largest, &index| largest.max(index)) as usize;
    dictionary.get(largest.checked_mul(lanes)?..largest.checked_add(1)?.checked_mul(lanes)?)?;
    if lanes == 1 {
        values.iter_mut().zip(indices).for_each(|(value, &index)| *value = dictionary[index as usize]);
    } else {
        for (values, &index) in values.chunks_exact_mut(lanes).zip(indices) {
            values.copy_from_slice(&dictionary[index as usize * lanes..][..lanes]);
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
            let mut plain = vec![V::default(); finite.len()];
            let copy = |place: &mut [u8]| {
                place.copy_from_slice(bytes);
                Ok::<_, ()>(())
            };
            V::fill_plain(&mut plain, copy).unwrap();
            assert_eq!(plain.iter().map(|value| value.finite()).collect::<Vec<_>>(), finite);
            assert_eq!(V::all_finite(&plain), finite.iter().all(|&finite| finite));
            let streams: Vec<u8> =
                (0..V::BYTES).flat_map(|byte| bytes.iter().skip(byte).step_by(V::BYTES).copied()).collect();
            let mut split = vec![V::default(); finite.len() - 1];
            V::fill_split(&mut split, &streams, finite.len(), 1);
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
            let mut out = [0.0; 22];
            out.chunks_mut(step).for_each(|part| indices.fill(part, 1, &dictionary).unwrap());
            assert_eq!(out[..], expected, "{step}");
            assert_eq!(indices.fill(&mut out[..1], 1, &dictionary), None, "there are no more");
        }
        let pairs: Vec<f32> = (0..16_u8).map(f32::from).collect();
        let mut out = [0.0; 44];
        Indices::new(Bytes::from_static(&INDICES)).unwrap().fill(&mut out, 2, &pairs).unwrap();
        assert_eq!((&out[..4], &out[42..]), (&[4.0, 5.0, 4.0, 5.0][..], &[14.0, 15.0][..]));
    }

    #[test]
    fn indices_outside_of_the_dictionary_are_refused() {
        let fill = |bytes: &'static [u8], dictionary: &[f32], lanes: usize| {
            Indices::new(Bytes::from_static(bytes))
                .and_then(|mut indices| indices.fill(&mut vec![0.0; 8 * lanes], lanes, dictionary))
        };
        assert_eq!(fill(&[], &[0.0; 8], 1), None, "no width");
        assert_eq!(fill(&[0, 16], &[1.0], 1), Some(()), "a width of 0 bits");
        assert_eq!(fill(&[0, 16], &[], 1), None);
        assert_eq!(fill(&[3, 16, 7], &[0.0; 7], 1), None);
        assert_eq!(fill(&[3, 16, 3], &[0.0; 7], 2), None);
        assert_eq!(fill(&[3, 3, 0, 0, 0xe0], &[0.0; 7], 1), None);
        assert_eq!(fill(&[3, 3, 0, 0, 0xc0], &[0.0; 7], 1), Some(()));
        assert_eq!(fill(&[33, 16, 0, 0, 0, 0, 0], &[0.0; 7], 1), None, "wider than indices are");
    }
}
