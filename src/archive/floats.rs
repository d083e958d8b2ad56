//! The types of stored vectors in memory, and which of their values are not finite.

use arrow::datatypes::ArrowNativeType;
use half::f16;
use zerocopy::{FromBytes, IntoBytes};

use super::row_policy::RowDefect;
use crate::grid::vectorised;

/// A type that vectors are stored in.
pub(super) trait Float: ArrowNativeType + FromBytes + IntoBytes {
    /// Its bytes.
    const BYTES: usize;
    /// Whether it is neither a NaN nor an infinity.
    fn finite(self) -> bool;
    /// Whether all are.
    fn all_finite(values: &[Self]) -> bool;
    /// The same number in `f64`.
    fn wide(self) -> f64;
    /// The nearest number to one in `f64`.
    fn of_wide(value: f64) -> Self;
    /// Fills `values` with what `fill` puts in their place, little-endian.
    fn fill_plain<E>(values: &mut [Self], fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<(), E>;
    /// Fills `values` with those from `from` on of `all`, whose first bytes are all together, then all their second
    /// ones, and so on: `BYTE_STREAM_SPLIT`. `bytes` has all of them.
    fn fill_split(values: &mut [Self], bytes: &[u8], all: usize, from: usize);
}

macro_rules! floats {
    ($($type:ty, $bits:ty, $bytes:literal, $exponent:literal, $of_wide:expr;)*) => {$(
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

            fn of_wide(value: f64) -> Self {
                $of_wide(value)
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
    f16, u16, 2, 0x7c00, f16::from_f64;
    f32, u32, 4, 0x7f80_0000, |value| value as f32;
    f64, u64, 8, 0x7ff0_0000_0000_0000, |value| value;
}

/// Adds the rows that hold a NaN or an infinity and have no other defect; the first row is row `first` of the chunk.
pub(super) fn find_nonfinite<V: Float>(values: &[V], dim: usize, first: usize, defects: &mut Vec<(u32, RowDefect)>) {
    // One pass without branches. Values are almost always finite, and then the loop below is not needed.
    if V::all_finite(values) {
        return;
    }
    let mut more = Vec::new();
    for (row, vector) in values.chunks_exact(dim).enumerate() {
        let row = (first + row) as u32;
        if let Some(dimension) = vector.iter().position(|value| !value.finite())
            && defects.binary_search_by_key(&row, |&(at, _)| at).is_err()
        {
            more.push((row, RowDefect::NonFinite { dimension, value: vector[dimension].wide() }));
        }
    }
    defects.extend(more);
    defects.sort_unstable_by_key(|&(row, _)| row);
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
}
