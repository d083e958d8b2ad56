//! The shapes that kernels and their callers share, and how much memory of a device they take.

use crate::kernels::MAX_LEFT;
use crate::kernels::gram::packed_len;

/// Dimensions of a side of a tile of the Gram matrix, and positions that a block of it takes at a time.
pub(super) const GRAM_TILE: usize = 64;

/// How many different `left` there are.
pub(super) const LEFTS: usize = MAX_LEFT as usize + 1;

/// Exponents this far apart share a sum of squares.
pub(super) const BAND: u32 = 6;

/// The digits of rows that go through the Gram matrix together take at most so many bytes. The Gram matrix is added to its
/// sums after each such part of a chunk.
pub(super) const PLANE_BYTES: usize = 128 << 20;

/// Products of a part are summed in 64 bits: so many rows are exact, `2^20 · 2^42 < 2^63`.
const PART_ROWS: usize = 1 << 20;

/// How many rows of a chunk go through the Gram matrix together, where their digits may take so many bytes: a multiple of
/// the rows of a block.
pub(super) fn part_rows(dim: usize, plane_bytes: usize) -> usize {
    const BLOCK: usize = 128;
    let rows = (plane_bytes / (3 * padded(dim))).min(PART_ROWS);
    (rows / BLOCK * BLOCK).max(BLOCK)
}

/// Rounded up to whole tiles.
pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(GRAM_TILE)
}

/// How many 64-bit integers a slot has: `Σ δ` and the residuals, and the squares in bands of 128 bits.
pub(super) fn slot_words(dim: usize, bands: usize) -> usize {
    2 * dim + 2 * bands
}

/// How many bands of squares there are if weights on the grid of the sums go up to `weight`.
pub(super) fn bands(weight: u32) -> usize {
    ((weight + MAX_LEFT) / BAND + 1) as usize
}

/// More slots are allocated than asked for, so that few allocations are needed.
pub(super) fn slot_capacity(slots: usize) -> usize {
    slots + slots / 2
}

/// Rows and candidates of a tile of scores.
#[cfg(feature = "cuda")]
pub(super) const NEAR_TILE: usize = GRAM_TILE;

/// How many candidates the device lists for a row at most.
#[cfg(feature = "cuda")]
pub(super) const LIST: usize = 16;

/// How many rows the device looks at together: a multiple of a tile. Of each row it keeps 20 bytes for each tile of
/// candidates and rule.
#[cfg(feature = "cuda")]
pub(super) fn near_rows(dim: usize, tiles: usize) -> usize {
    const ROWS: usize = 1 << 13;
    const VALUES: usize = 1 << 22;
    const BYTES: usize = 64 << 20;
    let rows = ROWS.min(VALUES / dim).min(BYTES / (20 * tiles.max(1)));
    (rows / NEAR_TILE * NEAR_TILE).max(NEAR_TILE)
}

/// The bytes of a device that the buffers of one worker take for chunks of so many rows, whose values have so many bytes.
///
/// The host pins about twice the bytes of a chunk beside it.
pub fn session_bytes(rows: usize, dim: usize, value_bytes: usize, gram: bool) -> u64 {
    let (rows, dim) = (rows as u64, dim as u64);
    // Features; rows, classes and the first row of each class, or slots; long rows; the sums of each class.
    let chunk = rows * dim * value_bytes as u64 + 13 * rows + 4 + rows * dim * 8;
    let vectors = 16 * 10 * dim;
    let part = (part_rows(dim as usize, PLANE_BYTES) as u64).min(rows);
    let wide = padded(dim as usize) as u64;
    let product = if gram { 3 * wide * padded(part as usize) as u64 + 8 * wide * wide + 4 * (part + dim) } else { 0 };
    chunk + vectors + product
}

/// The bytes of a device that sums with so many slots take at most, while they grow.
pub fn sums_bytes(slots: usize, dim: usize, gram: bool) -> u64 {
    // The steps of a grid lie at most 2^64 apart.
    let words = dim + slot_words(dim, bands(64));
    // The old memory of slots stays until the new one is there.
    let slots = 2 * slot_capacity(slots) as u64 * words as u64 * 8;
    slots + (LEFTS * dim * 8) as u64 + if gram { 16 * packed_len(dim) as u64 } else { 0 } + 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "cuda")]
    #[test]
    fn blocks_of_rows_are_whole_tiles() {
        for (dim, tiles) in [(1, 1), (64, 2), (768, 938), (4096, 16), (100_000, 1), (10, 1 << 20)] {
            let rows = near_rows(dim, tiles);
            assert!(rows.is_multiple_of(NEAR_TILE) && rows > 0, "{dim}, {tiles}: {rows}");
        }
        assert_eq!((near_rows(768, 1), near_rows(512, 938)), (5440, 3520));
    }

    #[test]
    fn parts_are_whole_blocks_and_exact() {
        for dim in [1, 64, 65, 768, 4096, 100_000] {
            let rows = part_rows(dim, PLANE_BYTES);
            assert!(rows.is_multiple_of(128) && (128..=PART_ROWS).contains(&rows), "{dim}: {rows}");
        }
        assert_eq!(part_rows(768, 1 << 20), (1 << 20) / (3 * 768) / 128 * 128);
    }
}
