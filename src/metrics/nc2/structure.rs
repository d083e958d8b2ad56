//! Lengths, inner products and frames of vectors `x_k`, `K × D`: centred class means, or classifier rows as they are.

use crate::linalg;
use crate::metrics::vectors::{Vectors, dot, mean_and_variance};

/// Lengths of the vectors and their logarithms; variances over vectors, divisor `K − 1`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::metrics) struct Lengths {
    /// Mean length.
    pub mean: f64,
    /// Variance of the lengths.
    pub var: f64,
    /// Their standard deviation over their mean, which has no unit; `None` if all have length 0.
    pub cv: Option<f64>,
    /// Mean and variance of the natural logarithm, over vectors that have a length; if two do.
    pub log: Option<(f64, f64)>,
}

impl Lengths {
    /// `None` for fewer than two vectors.
    pub(in crate::metrics) fn of(vectors: &Vectors) -> Option<Self> {
        let (mean, var) = mean_and_variance(&vectors.norms)?;
        let unit = vectors.unit;
        // Two centred means are equally long but for rounding.
        let beyond_rounding = |var: f64, scale: f64| if var > (8.0 * f64::EPSILON * scale).powi(2) { var } else { 0.0 };
        let logs: Vec<f64> =
            vectors.norms.iter().filter(|norm| **norm > 0.0).map(|norm| norm.ln() + unit.ln()).collect();
        let log =
            mean_and_variance(&logs).and_then(|(mean, var)| Some((mean, beyond_rounding(var?, 1.0 + mean.abs()))));
        let var = beyond_rounding(var?, mean);
        let cv = (mean > 0.0).then(|| var.sqrt() / mean);
        Some(Self { mean: mean * unit, var: var * unit * unit, cv, log })
    }
}

/// Standard deviation over mean; `None` if the mean is 0.
pub(in crate::metrics) fn variation((mean, var): (f64, f64)) -> Option<f64> {
    (mean != 0.0).then(|| var.sqrt() / mean)
}

/// Mean and population variance over pairs `i < j` of `x_i · x_j`; `None` for fewer than two vectors.
///
/// With `m` the mean of the vectors, `d_i = x_i − m`, `a_i = m · d_i` and `e_ij = x_i · x_j − ‖m‖² = a_i + a_j + d_i · d_j`,
///
/// ```text
/// Σ_ij e_ij = 0        Σ_ij e_ij² = 2K Σ a_i² + ‖DᵀD‖²        e_ii = 2 a_i + ‖d_i‖²
/// ```
///
/// so the sums over pairs need no more than a `D × D` Gram, and do not cancel when all vectors are nearly the same. Near a
/// simplex they do; that takes `K ≤ D + 1`, where the products themselves are the smaller matrix.
pub(in crate::metrics) fn pair_products(vectors: &Vectors) -> Option<(f64, f64)> {
    let classes = vectors.len();
    if classes < 2 {
        return None;
    }
    let square = vectors.unit * vectors.unit;
    if vectors.few() {
        let pairs = (classes * (classes - 1)) as f64;
        let products = linalg::outer_gram(&vectors.values, vectors.dim);
        let above = || (0..classes).flat_map(|i| &products[i * classes + i + 1..(i + 1) * classes]);
        let mean = above().sum::<f64>() * 2.0 / pairs;
        let var = above().map(|product| (product - mean).powi(2)).sum::<f64>() * 2.0 / pairs;
        return Some((mean * square, var * square * square));
    }
    let rows = (0..classes).map(|k| vectors.row(k).iter().copied());
    let (mean, var) = products_of_many(vectors.dim, rows);
    Some((mean * square, var * square * square))
}

/// The same of the cosines; `None` for fewer than two vectors with a direction.
pub(in crate::metrics) fn pair_cosines(vectors: &Vectors) -> Option<(f64, f64)> {
    if vectors.len() - vectors.zeros() <= vectors.dim + 1 {
        return pair_products(&vectors.units());
    }
    Some(products_of_many(vectors.dim, (0..vectors.len()).filter_map(|k| vectors.unit_row(k))))
}

/// Rows that are held at a time besides the vectors.
const PANEL: usize = 16_384;

/// [`pair_products`] by the closed form over the `D × D` Gram matrix, of two vectors or more.
fn products_of_many<R: Iterator<Item = f64>>(dim: usize, rows: impl Iterator<Item = R> + Clone) -> (f64, f64) {
    let (mut mean, mut k) = (vec![0.0; dim], 0.0);
    for row in rows.clone() {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        k += 1.0;
    }
    for sum in &mut mean {
        *sum /= k;
    }
    let pairs = k * (k - 1.0);
    let (mut along, mut diagonal, mut diagonal_squares) = (0.0, 0.0, 0.0);
    let (mut gram, mut deviations): (Vec<f64>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut rows = rows.peekable();
    while let Some(row) = rows.next() {
        let first = deviations.len();
        deviations.extend(row.zip(&mean).map(|(x, m)| x - m));
        let d = &deviations[first..];
        let a = dot(&mean, d);
        let e = 2.0 * a + dot(d, d);
        along += a * a;
        diagonal += e;
        diagonal_squares += e * e;
        if deviations.len() == PANEL * dim || rows.peek().is_none() {
            let panel = linalg::gram(&deviations, dim);
            if gram.is_empty() {
                gram = panel;
            } else {
                gram.iter_mut().zip(&panel).for_each(|(sum, x)| *sum += x);
            }
            deviations.clear();
        }
    }
    let shift = -diagonal / pairs;
    let second = (2.0 * k * along + squared_norm(&gram) - diagonal_squares) / pairs;
    (dot(&mean, &mean) + shift, (second - shift * shift).max(0.0))
}

/// The ideal of a structure `S` of the classes, up to scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::metrics) enum Frame {
    /// `P = I − 11ᵀ/K`, the simplex equiangular tight frame.
    Simplex,
    /// `I`, the orthogonal frame.
    Orthogonal,
}

/// `‖S/‖S‖ − F/‖F‖‖` with `S = A Bᵀ`; `None` if `S` or `F` is 0. In `[0, 2]`, and in `[0, √2]` when `A` is `B`.
///
/// ```text
/// e² = 2 − 2 ⟨S, F⟩ / (‖S‖ ‖F‖)
/// ⟨S, I⟩ = Σ a_k · b_k        ⟨S, P⟩ = Σ a_k · b_k − (1ᵀA)·(1ᵀB)/K        ‖S‖² = ⟨AᵀA, BᵀB⟩
/// ```
///
/// This is used when `K > D + 1`, where the rank of `S` keeps `e` away from 0; otherwise the `K × K` difference is formed.
pub(in crate::metrics) fn frame_error(a: &Vectors, b: &Vectors, frame: Frame) -> Option<f64> {
    let classes = a.len();
    let k = classes as f64;
    let (off_diagonal, frame_norm) = match frame {
        Frame::Simplex => (-1.0 / k, (k - 1.0).sqrt()),
        Frame::Orthogonal => (0.0, k.sqrt()),
    };
    if classes == 0 || frame_norm == 0.0 {
        return None;
    }
    if a.few() {
        let mut structure = linalg::product_transposed(&a.values, &b.values, a.dim);
        let norm = squared_norm(&structure).sqrt();
        for (at, s) in structure.iter_mut().enumerate() {
            let ideal = f64::from(at / classes == at % classes) + off_diagonal;
            *s = *s / norm - ideal / frame_norm;
        }
        return (norm > 0.0).then(|| squared_norm(&structure).sqrt());
    }
    let norm = structure_norm(a, b);
    let inner =
        if std::ptr::eq(a, b) { a.square() } else { dot(&a.values, &b.values) } + off_diagonal * dot(a.sum(), b.sum());
    (norm > 0.0).then(|| (2.0 - 2.0 * inner / (norm * frame_norm)).max(0.0).sqrt())
}

/// `‖A Bᵀ‖`, in units of both.
pub(in crate::metrics) fn structure_norm(a: &Vectors, b: &Vectors) -> f64 {
    dot(a.gram(), b.gram()).max(0.0).sqrt()
}

/// The least [`frame_error`] from a simplex that `K` vectors of length `D` can have, 0 for `K ≤ D + 1`:
/// `√(2 − 2 √(min(D, K−1)/(K−1)))`, since the rank of `S` is bounded.
pub(in crate::metrics) fn simplex_floor(classes: usize, dim: usize) -> Option<f64> {
    rank_floor(classes.checked_sub(1)?, dim)
}

/// The same for the orthogonal frame, 0 for `K ≤ D`: `√(2 − 2 √(min(D, K)/K))`.
pub(in crate::metrics) fn orthogonal_floor(classes: usize, dim: usize) -> Option<f64> {
    rank_floor(classes, dim)
}

fn rank_floor(full: usize, dim: usize) -> Option<f64> {
    (full > 0).then(|| (2.0 - 2.0 * (full.min(dim) as f64 / full as f64).sqrt()).sqrt())
}

/// `(tr XᵀX)² / ‖XᵀX‖²`: how many directions the vectors fill evenly; `None` if all are 0.
pub(in crate::metrics) fn participation_ratio(vectors: &Vectors) -> Option<f64> {
    let trace = vectors.square();
    (trace > 0.0).then(|| trace * trace / vectors.squared_gram())
}

fn squared_norm(values: &[f64]) -> f64 {
    dot(values, values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Centring;
    use crate::metrics::fixture::{assert_close, golden, golden_head};

    fn vectors(dim: usize, values: &[f64]) -> Vectors {
        Vectors::new(dim, values.to_vec(), 0.0)
    }

    fn golden_means() -> Vectors {
        Vectors::centred(&golden(), Centring::Class)
    }

    /// `K` corners of a simplex in `K` dimensions, one longer by `stretch`, centred again, `extra` coordinates of 0.
    fn simplex(classes: usize, extra: usize, stretch: f64) -> Vectors {
        let corner = |i: usize, j: usize| f64::from(i == j) * if i == 0 { 1.0 + stretch } else { 1.0 };
        let centre = |j: usize| corner(j, j) / classes as f64;
        let row =
            |i: usize| (0..classes + extra).map(move |j| if j < classes { corner(i, j) - centre(j) } else { 0.0 });
        vectors(classes + extra, &(0..classes).flat_map(row).collect::<Vec<f64>>())
    }

    /// Vectors about a common one.
    fn cloud(classes: usize, dim: usize, common: f64, spread: f64) -> Vectors {
        let value = |at: usize| common * (at % dim) as f64 + spread * ((at * at * 7 + at * 3) % 101) as f64 / 50.0;
        vectors(dim, &(0..classes * dim).map(value).collect::<Vec<f64>>())
    }

    /// Mean and variance over pairs, pair by pair.
    fn pair_by_pair(vectors: &Vectors) -> (f64, f64) {
        let pairs = || (0..vectors.len()).flat_map(|i| (i + 1..vectors.len()).map(move |j| (i, j)));
        let count = pairs().count() as f64;
        let mean = pairs().map(|(i, j)| dot(vectors.row(i), vectors.row(j))).sum::<f64>() / count;
        let squares = pairs().map(|(i, j)| (dot(vectors.row(i), vectors.row(j)) - mean).powi(2)).sum::<f64>();
        (mean * vectors.unit.powi(2), squares / count * vectors.unit.powi(4))
    }

    #[test]
    fn lengths_of_the_golden_fixture() {
        let lengths = Lengths::of(&golden_means()).unwrap();
        assert_close(lengths.mean, 2.793_423_253_165_620_2, 1e-12);
        assert_close(lengths.var, 0.939_156_850_152_767_4, 1e-12);
        assert_close(lengths.cv.unwrap(), 0.346_922_383_316_950_8, 1e-12);
        let (mean, var) = lengths.log.unwrap();
        assert_close(mean, 0.968_204_648_227_895_8, 1e-12);
        assert_close(var, 0.179_654_593_885_812_04, 1e-12);
        assert_close(lengths.log.and_then(variation).unwrap(), 0.437_776_051_797_719_45, 1e-12);
        let weights = Lengths::of(&vectors(3, &golden_head().weights)).unwrap();
        assert_close(weights.cv.unwrap(), 0.123_630_497_192_715_06, 1e-12);
        for power in [-530, 530] {
            let scaled: Vec<f64> = golden_head().weights.iter().map(|w| w * 2_f64.powi(power)).collect();
            assert_eq!(Lengths::of(&vectors(3, &scaled)).unwrap().cv, weights.cv, "2^{power}");
        }
    }

    #[test]
    fn a_vector_of_length_0_has_no_logarithm() {
        let lengths = Lengths::of(&vectors(2, &[0.0, 0.0, 3.0, 4.0, 0.0, 5.0])).unwrap();
        assert_close(lengths.mean, 10.0 / 3.0, 1e-15);
        let (mean, var) = lengths.log.unwrap();
        assert_close(mean, 5_f64.ln(), 1e-15);
        assert!(var < 1e-30);
        assert_eq!(Lengths::of(&vectors(2, &[0.0, 0.0, 3.0, 4.0])).unwrap().log, None);
        assert_eq!(
            Lengths::of(&vectors(1, &[1.0, 1.0])).unwrap().log.and_then(variation),
            None,
            "the mean of the logarithms is 0"
        );
        assert_eq!(Lengths::of(&vectors(1, &[1.0])), None);
    }

    #[test]
    fn products_and_frames_of_the_golden_fixture() {
        let means = golden_means();
        let weights = vectors(3, &golden_head().weights);
        let (mean, var) = pair_products(&means).unwrap();
        assert_close(mean, -2.835_860_369_646_990_6, 1e-12);
        assert_close(var, 8.006_002_865_295_809, 1e-12);
        let (mean, var) = pair_products(&means.units()).unwrap();
        assert_close(mean, -0.287_501_296_231_264_36, 1e-12);
        assert_close(var.sqrt(), 0.455_068_627_325_688_6, 1e-12);
        let (mean, var) = pair_products(&weights.units()).unwrap();
        assert_close(mean, -0.326_290_452_202_217_6, 1e-12);
        assert_close(var.sqrt(), 0.362_863_940_789_941_7, 1e-12);
        assert_close(frame_error(&means, &means, Frame::Simplex).unwrap(), 0.570_044_957_183_104, 1e-12);
        assert_close(frame_error(&weights, &weights, Frame::Simplex).unwrap(), 0.505_767_382_657_678_7, 1e-12);
        assert_close(frame_error(&weights, &means, Frame::Simplex).unwrap(), 0.759_205_151_683_109_9, 1e-12);
        assert_close(participation_ratio(&means).unwrap(), 2.104_341_228_092_346, 1e-12);
        let statistics = golden();
        let uncentred = vectors(3, &(0..4).flat_map(|class| statistics.mean(class)).collect::<Vec<f64>>());
        assert_close(frame_error(&uncentred, &uncentred, Frame::Orthogonal).unwrap(), 0.679_422_440_247_108_2, 1e-12);
    }

    #[test]
    fn interference_is_the_lengths_again_under_class_centring() {
        let means = golden_means();
        let squares: f64 = means.norms.iter().map(|norm| (norm * means.unit).powi(2)).sum();
        assert_close(pair_products(&means).unwrap().0, -squares / 4.0 / 3.0, 1e-14);
    }

    #[test]
    fn closed_forms_agree_with_pairs_whether_vectors_are_spread_or_nearly_one() {
        for (classes, dim) in [(7, 3), (40, 5), (6, 5), (4, 9)] {
            for (common, spread, tolerance) in [(0.0, 1.0, 1e-12), (1.0, 1.0, 1e-12), (1.0, 1e-5, 1e-9)] {
                let vectors = cloud(classes, dim, common, spread).units();
                let (mean, var) = pair_products(&vectors).unwrap();
                let (expected_mean, expected_var) = pair_by_pair(&vectors);
                assert_close(mean, expected_mean, 1e-13);
                // Two products of nearly equal vectors differ by spread², of which rounding takes 1e-16.
                assert!((var.sqrt() - expected_var.sqrt()).abs() <= tolerance * expected_var.sqrt() + 1e-15);
            }
        }
    }

    #[test]
    fn the_frame_s_closed_form_agrees_with_the_difference() {
        let (classes, dim) = (9, 4);
        let (a, b) = (cloud(classes, dim, 0.3, 1.0), cloud(classes, dim, -0.2, 2.0));
        for frame in [Frame::Simplex, Frame::Orthogonal] {
            let closed = frame_error(&a, &b, frame).unwrap();
            // Coordinates of 0 change no product, and let the K × K difference be formed.
            let wide = |v: &Vectors| {
                let row = |k: usize| v.row(k).iter().copied().chain([0.0; 6]);
                vectors(dim + 6, &(0..classes).flat_map(row).collect::<Vec<f64>>())
            };
            assert_close(closed, frame_error(&wide(&a), &wide(&b), frame).unwrap(), 1e-12);
            assert_close(participation_ratio(&a).unwrap(), participation_ratio(&wide(&a)).unwrap(), 1e-12);
        }
        let floor = simplex_floor(classes, dim).unwrap();
        assert!(frame_error(&a, &a, Frame::Simplex).unwrap() > floor);
    }

    #[test]
    fn a_simplex_is_a_simplex() {
        for (classes, extra) in [(2, 0), (3, 0), (10, 3), (64, 0)] {
            let simplex = simplex(classes, extra, 0.0);
            let (mean, var) = pair_products(&simplex.units()).unwrap();
            assert_close(mean, -1.0 / (classes as f64 - 1.0), 1e-14);
            assert!(var.sqrt() < 1e-15, "{var}");
            assert!(frame_error(&simplex, &simplex, Frame::Simplex).unwrap() < 1e-14);
            assert_close(participation_ratio(&simplex).unwrap(), classes as f64 - 1.0, 1e-13);
            assert!(Lengths::of(&simplex).unwrap().cv.unwrap() < 1e-14);
        }
    }

    #[test]
    fn strong_collapse_keeps_its_digits() {
        let error = |stretch| {
            let simplex = simplex(5, 2, stretch);
            let var = pair_products(&simplex.units()).unwrap().1;
            (frame_error(&simplex, &simplex, Frame::Simplex).unwrap(), var.sqrt())
        };
        // The distance is linear in the stretch, as is the spread of angles.
        let (near, far) = (error(1e-9), error(1e-5));
        assert_close(near.0 * 1e4, far.0, 1e-4);
        assert_close(near.1 * 1e4, far.1, 1e-4);
    }

    #[test]
    fn an_orthogonal_frame_is_one_and_floors_are_attained() {
        let frame = vectors(3, &[2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0]);
        assert!(frame_error(&frame, &frame, Frame::Orthogonal).unwrap() < 1e-15);
        assert_eq!((simplex_floor(4, 3), orthogonal_floor(3, 3)), (Some(0.0), Some(0.0)));
        // K = 29,233 (METRICS 1): 1.3807 at D = 64, 1.2750 at D = 1024.
        assert_close(simplex_floor(29_233, 64).unwrap(), 1.3807, 5e-5);
        assert_close(simplex_floor(29_233, 1024).unwrap(), 1.2750, 5e-5);
        // Four vectors at right angles in the plane fill it evenly.
        let cross = vectors(2, &[1.0, 0.0, 0.0, 1.0, -1.0, 0.0, 0.0, -1.0]);
        assert_close(frame_error(&cross, &cross, Frame::Simplex).unwrap(), simplex_floor(4, 2).unwrap(), 1e-14);
        assert_close(frame_error(&cross, &cross, Frame::Orthogonal).unwrap(), orthogonal_floor(4, 2).unwrap(), 1e-14);
        assert_eq!((simplex_floor(1, 3), simplex_floor(0, 3)), (None, None));
    }

    #[test]
    fn nothing_is_said_of_nothing() {
        let zero = vectors(2, &[0.0; 6]);
        assert_eq!(frame_error(&zero, &zero, Frame::Simplex), None);
        assert_eq!(participation_ratio(&zero), None);
        let one = vectors(2, &[1.0, 2.0]);
        assert_eq!(frame_error(&one, &one, Frame::Simplex), None);
        assert_eq!(pair_products(&one), None);
    }

    #[test]
    fn scales_far_from_1_leave_pure_numbers_alone() {
        let plain = cloud(6, 4, 0.2, 1.0);
        for scale in [1e-120, 1e120] {
            let scaled = vectors(4, &plain.values.iter().map(|x| x * plain.unit * scale).collect::<Vec<f64>>());
            assert_close(
                frame_error(&scaled, &scaled, Frame::Simplex).unwrap(),
                frame_error(&plain, &plain, Frame::Simplex).unwrap(),
                1e-12,
            );
            assert_close(participation_ratio(&scaled).unwrap(), participation_ratio(&plain).unwrap(), 1e-12);
            assert_close(Lengths::of(&scaled).unwrap().mean, Lengths::of(&plain).unwrap().mean * scale, 1e-12);
        }
    }
}
