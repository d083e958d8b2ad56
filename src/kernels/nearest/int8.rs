//! Bounds on products by integers of eight bits, of which some machines multiply four times as many at once as numbers of
//! single precision.
//!
//! Vectors of single precision are rounded to multiples of a 127th of their largest number. Sums of products of such
//! multiples are exact. So a product of two vectors is off by no more than what rounding took from each,
//! `|a · b − â · b̂| ≤ ‖a − â‖ ‖b‖ + ‖â‖ ‖b − b̂‖`: a few hundredths of `‖a‖ ‖b‖`, which settles all candidates but a few.

mod product;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use self::product::{LANES, QUAD, Sides};
use super::loops::above;
use crate::grid::vectorised;

/// With fewer candidates a product takes no longer than what is done around it.
const FEWEST: usize = 256;

/// The longest vectors of which sums of products stay within 32 bits: each is below `2^15`.
const LONGEST: usize = 1 << 16;

/// Rows that are looked at before the number of candidates that they leave is believed.
const TRIAL: u64 = 1000;

/// Where rows leave a larger share of the candidates than one in so many, products in single precision take less.
const MOST_LEFT: u64 = 16;

/// The largest multiple.
const LARGEST: f32 = 127.0;

/// Candidates in eight bits.
#[derive(Debug)]
pub(super) struct Int8 {
    dim: usize,
    /// Multiples plus 128, in blocks of candidates: for each four dimensions the four numbers of one candidate, then those of
    /// the next.
    packed: Vec<u8>,
    /// `b̂` over its multiples, `K`.
    steps: Vec<f32>,
    /// Upper bounds on `‖b − b̂‖`, `K`.
    off: Vec<f64>,
    /// Rows that were looked at, and candidates that these have left.
    rows: AtomicU64,
    left: AtomicU64,
}

/// Rows in eight bits.
#[derive(Debug, Default)]
pub(super) struct Int8Rows {
    /// Multiples, four to a word, rows × words.
    words: Vec<i32>,
    /// `â` over its multiples.
    steps: Vec<f32>,
    /// The sums of multiples, each times 128.
    sums: Vec<i32>,
    /// Upper bounds on `‖a − â‖`.
    pub(super) off: Vec<f64>,
    /// Upper bounds on `‖â‖`.
    pub(super) lengths: Vec<f64>,
}

/// A vector in eight bits.
struct Rounded {
    step: f32,
    /// Upper bounds on `‖x − x̂‖` and `‖x̂‖`.
    off: f64,
    length: f64,
}

impl Int8 {
    /// Candidates of single precision, `K × D`; `None` where that does not pay.
    pub(super) fn new(values: &[f32], dim: usize) -> Option<Self> {
        (values.len() >= FEWEST * dim && product::is_fast()).then(|| Self::of_any(values, dim)).flatten()
    }

    /// The same for any number of candidates, on any machine.
    pub(super) fn of_any(values: &[f32], dim: usize) -> Option<Self> {
        if dim > LONGEST {
            return None;
        }
        let (count, quads) = (values.len() / dim, dim.div_ceil(QUAD));
        let mut packed = vec![128; count.div_ceil(LANES) * quads * LANES * QUAD];
        let (mut steps, mut off) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut multiples = vec![0; dim];
        for (k, values) in values.chunks_exact(dim).enumerate() {
            let rounded = round(values, &mut multiples);
            let block = &mut packed[k / LANES * quads * LANES * QUAD..][..quads * LANES * QUAD];
            let lane = k % LANES * QUAD;
            for (to, from) in block.chunks_exact_mut(LANES * QUAD).zip(multiples.chunks(QUAD)) {
                for (to, from) in to[lane..].iter_mut().zip(from) {
                    *to = from.cast_unsigned() ^ 128;
                }
            }
            steps.push(rounded.step);
            off.push(rounded.off);
        }
        Some(Self { dim, packed, steps, off, rows: AtomicU64::new(0), left: AtomicU64::new(0) })
    }

    /// Rounds rows of single precision, rows × D.
    pub(super) fn narrow(&self, values: &[f32], rows: &mut Int8Rows) {
        let Int8Rows { words, steps, sums, off, lengths } = rows;
        words.clear();
        steps.clear();
        sums.clear();
        off.clear();
        lengths.clear();
        let mut multiples = vec![0; self.dim];
        for values in values.chunks_exact(self.dim) {
            let rounded = round(values, &mut multiples);
            words.extend(multiples.chunks(QUAD).map(|quad| {
                let mut bytes = [0; QUAD];
                bytes.iter_mut().zip(quad).for_each(|(byte, multiple)| *byte = multiple.cast_unsigned());
                i32::from_le_bytes(bytes)
            }));
            sums.push(128 * multiples.iter().map(|&multiple| i32::from(multiple)).sum::<i32>());
            steps.push(rounded.step);
            off.push(rounded.off);
            lengths.push(rounded.length);
        }
    }

    /// The products `â · b̂` of rows with the candidates of a tile, which begins at a multiple of 32: rows × candidates.
    pub(super) fn products(&self, rows: &Int8Rows, of_tile: &Range<usize>, out: &mut Vec<f32>) {
        let block_bytes = self.dim.div_ceil(QUAD) * LANES * QUAD;
        let blocks = of_tile.start / LANES..of_tile.end.div_ceil(LANES);
        let (count, width) = (rows.steps.len(), of_tile.len());
        out.resize(out.len().max(count * width), 0.0);
        let sides = Sides {
            packed: &self.packed[blocks.start * block_bytes..blocks.end * block_bytes],
            steps: &self.steps[of_tile.clone()],
            words: &rows.words,
            row_steps: &rows.steps,
            row_sums: &rows.sums,
        };
        product::products(&sides, &mut out[..count * width]);
    }

    /// Upper bounds on `‖b − b̂‖` of the candidates of a tile.
    pub(super) fn off(&self, of_tile: Range<usize>) -> &[f64] {
        &self.off[of_tile]
    }

    /// Whether rows leave few enough candidates, as far as is known.
    pub(super) fn pays(&self) -> bool {
        let (rows, left) = (self.rows.load(Relaxed), self.left.load(Relaxed));
        rows < TRIAL || left * MOST_LEFT < rows * self.steps.len() as u64
    }

    /// Counts rows that were looked at, and the candidates that they have left.
    pub(super) fn count(&self, rows: usize, left: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
        self.left.fetch_add(left as u64, Relaxed);
    }
}

/// Rounds a vector to multiples.
fn round(values: &[f32], multiples: &mut [i8]) -> Rounded {
    let dim = values.len();
    let multiples = &mut multiples[..dim];
    let step = vectorised(
        #[inline(always)]
        || {
            let largest = values.iter().fold(0.0_f32, |most, x| if x.abs() > most { x.abs() } else { most });
            let step = largest / LARGEST;
            let inverse = if step.is_normal() { 1.0 / step } else { 0.0 };
            for j in 0..dim {
                multiples[j] = (values[j] * inverse).round_ties_even() as i8;
            }
            step
        },
    );
    let (off, length): (f64, f64) = vectorised(
        #[inline(always)]
        || {
            let (mut offs, mut lengths) = ([0.0_f64; 8], [0.0_f64; 8]);
            let whole = dim / 8 * 8;
            for at in (0..whole).step_by(8) {
                let (values, multiples) = (&values[at..][..8], &multiples[at..][..8]);
                for lane in 0..8 {
                    let rounded = f64::from(step) * f64::from(multiples[lane]);
                    let left = f64::from(values[lane]) - rounded;
                    offs[lane] += left * left;
                    lengths[lane] += rounded * rounded;
                }
            }
            for j in whole..dim {
                let rounded = f64::from(step) * f64::from(multiples[j]);
                let left = f64::from(values[j]) - rounded;
                offs[0] += left * left;
                lengths[0] += rounded * rounded;
            }
            (offs.iter().sum(), lengths.iter().sum())
        },
    );
    Rounded { step, off: above(off.sqrt()), length: above(length.sqrt()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::dot::tests::numbers;

    /// Numbers of unequal sizes.
    fn vectors(count: usize, dim: usize, seed: u64) -> Vec<f32> {
        numbers(count * dim, seed).iter().enumerate().map(|(at, x)| (x * f64::from(1 << (at % 7))) as f32).collect()
    }

    #[test]
    fn products_lie_within_their_bounds() {
        for (count, rows, dim) in [(70, 9, 1), (33, 17, 5), (300, 40, 64), (64, 8, 767), (31, 3, 2048)] {
            let (mut b, mut a) = (vectors(count, dim, 3), vectors(rows, dim, 5));
            // A vector of zeros, and one that is too small to be rounded.
            b[..dim].fill(0.0);
            a[..dim].fill(1e-41);
            let int8 = Int8::of_any(&b, dim).unwrap();
            let (mut narrow, mut found) = (Int8Rows::default(), Vec::new());
            int8.narrow(&a, &mut narrow);
            let of_tile = 0..count;
            int8.products(&narrow, &of_tile, &mut found);
            for (i, a) in a.chunks(dim).enumerate() {
                for (k, b) in b.chunks(dim).enumerate() {
                    let exact: f64 = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
                    let norm = b.iter().map(|&b| f64::from(b) * f64::from(b)).sum::<f64>().sqrt();
                    let bound = narrow.off[i] * norm + narrow.lengths[i] * int8.off(of_tile.clone())[k];
                    let rounding = 2e-7 * narrow.lengths[i] * norm + 1e-37;
                    let off = (f64::from(found[i * count + k]) - exact).abs();
                    assert!(off <= bound + rounding, "{dim} {i} {k}: {off} {bound}");
                    let length = a.iter().map(|&a| f64::from(a) * f64::from(a)).sum::<f64>().sqrt();
                    assert!(i == 0 || bound <= 0.06 * length * norm, "{dim} {i} {k}");
                }
            }
        }
    }

    #[test]
    fn a_product_that_leaves_many_candidates_does_not_pay() {
        let int8 = Int8::of_any(&vectors(320, 4, 1), 4).unwrap();
        int8.count(999, 999 * 320);
        assert!(int8.pays());
        int8.count(1, 0);
        assert!(!int8.pays());
        int8.count(100_000, 10);
        assert!(int8.pays());
    }
}
