//! Inner products and norms whose bits depend on the numbers alone.
//!
//! Every sum runs over eight lanes that are folded in a fixed order, and no multiplication is fused with an addition, so
//! neither the width of the registers nor the neighbours of a row can change a result.

use crate::grid::vectorised;

/// Partial sums kept side by side; any register width divides it.
const LANES: usize = 8;

/// How many vectors are multiplied with a row at a time, so that additions need not wait for each other.
const ABREAST: usize = 4;

/// Sums of squares in this range are accurate: no term has overflowed, and terms that underflowed are too small to count.
const SAFE_SQUARES: std::ops::Range<f64> = 1e-280..1e280;

/// `Σ_j a_j b_j`.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (len, b) = (a.len(), &b[..a.len()]);
    vectorised(
        #[inline(always)]
        || sum(len, |j| a[j] * b[j]),
    )
}

/// `Σ_j x_j v_kj` for each row `v_k` of `vectors`: the same bits as [`dot`], faster.
pub fn dots(x: &[f64], vectors: &[f64], out: &mut [f64]) {
    let dim = x.len();
    vectorised(
        #[inline(always)]
        || {
            let mut groups = vectors.chunks_exact(ABREAST * dim);
            let mut outs = out.chunks_exact_mut(ABREAST);
            for (group, out) in groups.by_ref().zip(outs.by_ref()) {
                out.copy_from_slice(&sums_abreast(x, group));
            }
            for (vector, out) in groups.remainder().chunks_exact(dim).zip(outs.into_remainder()) {
                *out = sum(dim, |j| x[j] * vector[j]);
            }
        },
    );
}

/// `Σ_j (a_j − b_j)²`.
pub fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    let (len, b) = (a.len(), &b[..a.len()]);
    vectorised(
        #[inline(always)]
        || {
            sum(len, |j| {
                let difference = a[j] - b[j];
                difference * difference
            })
        },
    )
}

/// `‖x‖`, even if squares leave the range of `f64`.
pub fn norm(x: &[f64]) -> f64 {
    let squares = dot(x, x);
    if SAFE_SQUARES.contains(&squares) {
        return squares.sqrt();
    }
    let largest = x.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    if largest == 0.0 {
        return 0.0;
    }
    let len = x.len();
    let squares = sum(len, |j| (x[j] / largest) * (x[j] / largest));
    squares.sqrt() * largest
}

/// The terms `0..len`, summed in lanes.
#[inline(always)]
fn sum(len: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let whole = len / LANES * LANES;
    for j in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(j + lane);
        }
    }
    for (j, sum) in (whole..len).zip(&mut lanes) {
        *sum += term(j);
    }
    fold(lanes)
}

/// The product of `x` with each vector of `group`, summed as by [`sum`].
#[inline(always)]
fn sums_abreast(x: &[f64], group: &[f64]) -> [f64; ABREAST] {
    let dim = x.len();
    let whole = dim / LANES * LANES;
    let vectors: [&[f64]; ABREAST] = std::array::from_fn(|k| &group[k * dim..][..dim]);
    let mut lanes = [[0.0; LANES]; ABREAST];
    for j in (0..whole).step_by(LANES) {
        let x = &x[j..][..LANES];
        for (lanes, vector) in lanes.iter_mut().zip(vectors) {
            let vector = &vector[j..][..LANES];
            for lane in 0..LANES {
                lanes[lane] += x[lane] * vector[lane];
            }
        }
    }
    for (lanes, vector) in lanes.iter_mut().zip(vectors) {
        for (j, lane) in (whole..dim).zip(lanes) {
            *lane += x[j] * vector[j];
        }
    }
    lanes.map(fold)
}

#[inline(always)]
fn fold([a, b, c, d, e, f, g, h]: [f64; LANES]) -> f64 {
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// In (−1, 1), the same for the same seed.
    pub(crate) fn numbers(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn lanes_are_folded_in_the_order_written_down() {
        for dim in [1, 7, 8, 9, 100] {
            let (a, b) = (numbers(dim, 1), numbers(dim, 2));
            let mut lanes = [0.0; 8];
            for j in 0..dim {
                lanes[j % 8] += a[j] * b[j];
            }
            let [l0, l1, l2, l3, l4, l5, l6, l7] = lanes;
            let expected: f64 = ((l0 + l4) + (l2 + l6)) + ((l1 + l5) + (l3 + l7));
            assert_eq!(dot(&a, &b).to_bits(), expected.to_bits(), "{dim}");
        }
    }

    #[test]
    fn many_products_have_the_bits_of_one() {
        for (dim, count) in [(1, 5), (13, 4), (64, 11), (7, 3)] {
            let (x, vectors) = (numbers(dim, 3), numbers(dim * count, 4));
            let mut out = vec![0.0; count];
            dots(&x, &vectors, &mut out);
            for (out, vector) in out.iter().zip(vectors.chunks(dim)) {
                assert_eq!(out.to_bits(), dot(&x, vector).to_bits());
            }
        }
    }

    #[test]
    fn norms_and_distances() {
        assert_eq!(norm(&[3.0, 4.0]), 5.0);
        for scale in [1e200, 1e-200, 1e-320] {
            // Two roundings of each part and of the whole.
            let accuracy = 1e-15 + f64::from_bits(4) / scale;
            assert!((norm(&[3.0 * scale, 4.0 * scale]) / (5.0 * scale) - 1.0).abs() < accuracy);
        }
        assert_eq!(norm(&[0.0; 3]), 0.0);
        assert_eq!(squared_distance(&[1.0; 9], &[3.0; 9]), 36.0);
    }
}
