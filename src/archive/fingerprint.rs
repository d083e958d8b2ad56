//! Hashes by which ledgers recognise files.

use super::read_at::{ReadAt, read_exact_at};
use crate::error::Result;

/// The 64-bit hash of Fowler, Noll and Vo: the same in every version of this crate, since ledgers keep it.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    continued(0xcbf2_9ce4_8422_2325, bytes)
}

/// The hash of bytes that follow those of `hash`.
fn continued(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// How many samples [`sampled`] takes of a large file, and the bytes of one.
const SAMPLES: u64 = 16;
const SAMPLE: u64 = 4096;

/// A hash of a file that does not describe its content: of its size, and of 16 samples of 4096 bytes at even distances, the
/// first and the last bytes among them. Of a file of no more bytes than that, all are hashed.
///
/// # Errors
///
/// Those of [`read_exact_at`].
pub(super) fn sampled(bytes: &dyn ReadAt) -> Result<u64> {
    let size = bytes.size();
    let mut hash = fnv1a(&size.to_le_bytes());
    let mut add = |from: u64, length: u64| -> Result<()> {
        let mut buffer = vec![0; length as usize];
        read_exact_at(bytes, from, &mut buffer)?;
        hash = continued(hash, &buffer);
        Ok(())
    };
    if size <= SAMPLES * SAMPLE {
        add(0, size)?;
    } else {
        // In u128: the product of a size and 15 need not fit.
        let start = |at: u64| (u128::from(size - SAMPLE) * u128::from(at) / u128::from(SAMPLES - 1)) as u64;
        (0..SAMPLES).for_each(|at| bytes.announce(start(at), start(at) + SAMPLE));
        (0..SAMPLES).try_for_each(|at| add(start(at), SAMPLE))?;
    }
    Ok(hash)
}

/// One hash of several.
pub(super) fn joined(hashes: &[u64]) -> u64 {
    fnv1a(&hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
