//! What tells rows from other rows without keeping them.

use arrow::datatypes::ToByteSlice;

use crate::archive::{DecodedChunk, Values};
use crate::batch::{Features, Label};

/// An odd number without pattern: the golden ratio in 64 bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// The share of a chunk in its unit's digest: chunks are hashed in any order, and their shares are added, wrapping.
///
/// Ledgers keep it, so it is the same in every version of this crate.
pub(super) fn share(chunk: &DecodedChunk, number: usize) -> u64 {
    let features = match &chunk.values {
        Values::F16(values) => Features::F16(values),
        Values::F32(values) => Features::F32(values),
        Values::F64(values) => Features::F64(values),
    };
    share_of_rows(features, &chunk.codes, &chunk.classes, number)
}

/// The same of rows in memory.
pub(super) fn share_of_rows(features: Features<'_>, codes: &[u32], classes: &[Label], number: usize) -> u64 {
    let values = match features {
        Features::F16(values) => hash(values.to_byte_slice()),
        Features::F32(values) => hash(values.to_byte_slice()),
        Features::F64(values) => hash(values.to_byte_slice()),
    };
    // Codes mean nothing outside of their chunk; labels do.
    let classes: Vec<u64> = classes.iter().map(of_label).collect();
    let labels: Vec<u64> = codes.iter().map(|&code| classes[code as usize]).collect();
    [number as u64, values, hash(labels.as_slice().to_byte_slice())].into_iter().fold(MIX, mixed)
}

/// Mixes a word into a state.
pub(super) fn mixed(state: u64, word: u64) -> u64 {
    // The finaliser of splitmix64 (Steele et al. 2014).
    let mut z = (state ^ word).wrapping_mul(MIX);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash of a label.
pub(super) fn of_label(label: &Label) -> u64 {
    match label {
        Label::Bool(value) => mixed(1, u64::from(*value)),
        Label::Int(value) => mixed(mixed(2, *value as u64), (*value >> 64) as u64),
        Label::Text(text) => mixed(3, of_text(text)),
    }
}

/// The hash of a text.
pub(super) fn of_text(text: &str) -> u64 {
    hash(text.as_bytes())
}

/// Words of eight bytes, little-endian, in four lanes that do not wait for each other.
fn hash(bytes: &[u8]) -> u64 {
    let mut lanes = [1_u64, 2, 3, 4];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            *lane = (lane.rotate_left(23) ^ u64_of(word)).wrapping_mul(MIX);
        }
    }
    let rest = blocks.remainder().chunks(8).map(u64_of);
    lanes.into_iter().chain(rest).fold(bytes.len() as u64, mixed)
}

fn u64_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(values: &[f32], codes: &[u32], classes: &[i128]) -> DecodedChunk {
        DecodedChunk {
            dim: 2,
            values: Values::F32(values.to_vec()),
            codes: codes.to_vec(),
            classes: classes.iter().map(|&class| Label::Int(class)).collect(),
            file_rows: Vec::new(),
            parts: Vec::new(),
        }
    }

    #[test]
    fn rows_decide_and_codes_do_not() {
        let one = chunk(&[1.0, 2.0, 3.0, 4.0], &[0, 1], &[7, 8]);
        assert_eq!(share(&one, 0), share(&chunk(&[1.0, 2.0, 3.0, 4.0], &[1, 0], &[8, 7]), 0));
        let others = [
            chunk(&[1.0, 2.0, 3.0, 4.0], &[0, 1], &[8, 7]),
            chunk(&[3.0, 4.0, 1.0, 2.0], &[1, 0], &[7, 8]),
            chunk(&[1.0, 2.0, 3.0, -4.0], &[0, 1], &[7, 8]),
        ];
        assert!(others.iter().all(|other| share(other, 0) != share(&one, 0)));
        assert_ne!(share(&one, 1), share(&one, 0));
        // Ledgers of all versions agree.
        assert_eq!(share(&one, 0), 16_993_113_631_121_550_271);
    }

    #[test]
    fn every_byte_counts() {
        let bytes: Vec<u8> = (0..75).collect();
        let whole = hash(&bytes);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_ne!(hash(&changed), whole, "{at}");
            assert_ne!(hash(&bytes[..at]), whole);
        }
    }
}
