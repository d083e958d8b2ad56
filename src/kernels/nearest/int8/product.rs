//! Products of vectors of eight bits.

/// Candidates of a block: 32-bit numbers of a register.
pub(super) const LANES: usize = 16;

/// Dimensions of which one instruction adds up the products.
pub(super) const QUAD: usize = 4;

/// What is multiplied. Candidates lie in blocks, of which the last may have some that do not count.
pub(super) struct Sides<'a> {
    /// Multiples of candidates plus 128, blocks × quads × [`LANES`] × [`QUAD`].
    pub(super) packed: &'a [u8],
    /// One step for each candidate that counts.
    pub(super) steps: &'a [f32],
    /// Multiples of rows, four to a word, rows × quads.
    pub(super) words: &'a [i32],
    /// The steps of rows.
    pub(super) row_steps: &'a [f32],
    /// The sums of their multiples, each times 128.
    pub(super) row_sums: &'a [i32],
}

/// Whether the machine has an instruction for it.
pub(super) fn is_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    return vnni::is_there();
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// All products, rows × candidates.
pub(super) fn products(sides: &Sides<'_>, out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    if vnni::is_there() {
        #[expect(unsafe_code, reason = "the compiler cannot know that the test above has found these instructions")]
        // SAFETY: `vnni::products` is compiled for the features that `is_there` has found, and no others.
        unsafe {
            vnni::products(sides, out);
        }
        return;
    }
    plain(sides, out);
}

/// The same on any machine.
fn plain(sides: &Sides<'_>, out: &mut [f32]) {
    let Sides { packed, steps, words, row_steps, row_sums } = *sides;
    let quads = words.len() / row_steps.len().max(1);
    for (i, out) in out.chunks_exact_mut(steps.len().max(1)).enumerate() {
        let words = &words[i * quads..][..quads];
        for (block, (out, steps)) in
            packed.chunks_exact(quads * LANES * QUAD).zip(out.chunks_mut(LANES).zip(steps.chunks(LANES)))
        {
            for (lane, (out, step)) in out.iter_mut().zip(steps).enumerate() {
                let quad = |(word, block): (&i32, &[u8])| -> i32 {
                    let multiples = word.to_le_bytes().into_iter().zip(&block[lane * QUAD..][..QUAD]);
                    multiples.map(|(a, &b)| i32::from(a.cast_signed()) * i32::from(b)).sum()
                };
                let sum: i32 = words.iter().zip(block.chunks_exact(LANES * QUAD)).map(quad).sum();
                *out = (sum - row_sums[i]) as f32 * (row_steps[i] * step);
            }
        }
    }
}

/// By the instruction of x86 that adds products of four bytes to 32 bits.
#[cfg(target_arch = "x86_64")]
mod vnni {
    use std::arch::x86_64::{
        __m512i, _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi32,
        _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps, _mm512_sub_epi32,
    };

    use super::{LANES, QUAD, Sides};

    /// Bytes of a register.
    const BYTES: usize = LANES * QUAD;

    /// Rows and blocks whose products are added up side by side: as many sums as keep the multipliers busy.
    const ROWS: usize = 8;
    const BLOCKS: usize = 2;

    pub(super) fn is_there() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni")
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) fn products(sides: &Sides<'_>, out: &mut [f32]) {
        let (rows, width) = (sides.row_steps.len(), sides.steps.len());
        let quads = sides.words.len() / rows.max(1);
        for (at, blocks) in sides.packed.chunks(BLOCKS * quads * BYTES).enumerate() {
            let (blocks, first) = (blocks.split_at(quads * BYTES), at * BLOCKS * LANES);
            let mut row = 0;
            while row + ROWS <= rows {
                group::<ROWS>(sides, blocks, (row, first), width, out);
                row += ROWS;
            }
            for row in row..rows {
                group::<1>(sides, blocks, (row, first), width, out);
            }
        }
    }

    /// The products of some rows with two blocks, of which the second may be empty.
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn group<const N: usize>(
        sides: &Sides<'_>,
        (one, other): (&[u8], &[u8]),
        (row, first): (usize, usize),
        width: usize,
        out: &mut [f32],
    ) {
        let quads = one.len() / BYTES;
        let other = if other.is_empty() { one } else { other };
        let words: [&[i32]; N] = std::array::from_fn(|n| &sides.words[(row + n) * quads..][..quads]);
        let mut sums = [[_mm512_setzero_si512(); BLOCKS]; N];
        for (quad, (one, other)) in one.chunks_exact(BYTES).zip(other.chunks_exact(BYTES)).enumerate() {
            let (one, other) = (load(one), load(other));
            for n in 0..N {
                let word = _mm512_set1_epi32(words[n][quad]);
                sums[n][0] = _mm512_dpbusd_epi32(sums[n][0], one, word);
                sums[n][1] = _mm512_dpbusd_epi32(sums[n][1], other, word);
            }
        }
        for (n, sums) in sums.into_iter().enumerate() {
            let (sum_of_row, step) = (_mm512_set1_epi32(sides.row_sums[row + n]), sides.row_steps[row + n]);
            let out = &mut out[(row + n) * width..][..width];
            for (block, sum) in sums.into_iter().enumerate() {
                let first = first + block * LANES;
                if first >= width {
                    break;
                }
                let count = LANES.min(width - first);
                let mut steps = [0.0; LANES];
                steps[..count].copy_from_slice(&sides.steps[first..first + count]);
                let both = _mm512_mul_ps(_mm512_set1_ps(step), load_steps(&steps));
                let products = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sum, sum_of_row)), both);
                let mut stored = [0.0; LANES];
                #[expect(unsafe_code, reason = "registers are stored by pointers alone")]
                // SAFETY: the array has the 64 bytes of a register, and stores need not be aligned.
                unsafe {
                    _mm512_storeu_ps(stored.as_mut_ptr(), products);
                }
                out[first..first + count].copy_from_slice(&stored[..count]);
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "registers are loaded by pointers alone")]
    fn load(bytes: &[u8]) -> __m512i {
        assert_eq!(bytes.len(), BYTES);
        // SAFETY: these are the 64 bytes of a register, and loads need not be aligned.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx512f")]
    #[expect(unsafe_code, reason = "registers are loaded by pointers alone")]
    fn load_steps(steps: &[f32; LANES]) -> std::arch::x86_64::__m512 {
        // SAFETY: these are the 64 bytes of a register, and loads need not be aligned.
        unsafe { std::arch::x86_64::_mm512_loadu_ps(steps.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_with_and_without_the_instruction_agree() {
        for (width, rows, quads) in [(1, 1, 1), (16, 8, 3), (33, 19, 7), (100, 9, 192)] {
            let blocks = usize::div_ceil(width, LANES);
            let packed: Vec<u8> = (0..blocks * quads * LANES * QUAD).map(|at| (1 + at * 7919 % 255) as u8).collect();
            let steps: Vec<f32> = (0..width).map(|k| 1.0 / (1 + k) as f32).collect();
            let words: Vec<i32> = (0..rows * quads).map(|at| (at as i32).wrapping_mul(0x0123_4567)).collect();
            let row_steps: Vec<f32> = (0..rows).map(|i| 0.3 * i as f32).collect();
            let row_sums: Vec<i32> = (0..rows as i32).map(|i| 128 * i).collect();
            let sides =
                Sides { packed: &packed, steps: &steps, words: &words, row_steps: &row_steps, row_sums: &row_sums };
            let (mut found, mut expected) = (vec![0.0; rows * width], vec![0.0; rows * width]);
            products(&sides, &mut found);
            plain(&sides, &mut expected);
            assert_eq!(found, expected);
        }
    }
}
