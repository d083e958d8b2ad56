//! Values as pages encode them.

use bytes::Bytes;

use super::runs::{Run, bits_at, run_at};
use crate::archive::floats::Float;

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
