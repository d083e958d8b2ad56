//! What every state of real rows satisfies. Integers that do not satisfy it are refused.
//!
//! Comparisons in `f64` leave room for their own rounding. The checks cover counts, signs, parities and definiteness; they
//! do not prove that rows exist with exactly these sums.

use super::class_sums::{ClassSums, MAX_ROWS};
use crate::grid::{ExponentRows, RESIDUAL_BITS, VALUE_BITS, f64_from_i256, shift_left};
use crate::kernels::cholesky::factorize;
use crate::kernels::gram::packed_column;

/// Room for the rounding of comparisons in `f64`: sums of up to 2^32 squares are at least this accurate.
const ROOM: f64 = 1.0 + 1e-6;

/// Dimensions whose products are tested at once. With more dimensions the test is made in blocks, of neighbours and of
/// dimensions spread evenly, because it would otherwise take longer than everything else.
const BLOCK_DIMS: usize = 1024;

/// A property of all states of real rows.
type Check = fn(&ClassSums) -> bool;

/// Says why these cannot be the sums of real rows in canonical form. The caller checks the trace of a scatter.
pub(super) fn contradiction(sums: &ClassSums, gram: Option<&[i128]>) -> Option<&'static str> {
    let checks: [(&'static str, Check); 6] = [
        ("its classes are out of order, of several types, or empty", classes_are_sound),
        ("its shifts are not the means of its rows", shifts_are_means),
        ("a dimension of zeros has sums", zeros_have_no_sums),
        ("its residuals are larger than rounding leaves", residuals_are_small),
        ("its squares do not agree with its sums", squares_are_of_sums),
        ("its history leaves out rows that are not zero", |sums| history_is_whole(sums, None)),
    ];
    let of_sums = checks.into_iter().find(|(_, holds)| !holds(sums)).map(|(why, _)| why);
    of_sums.or_else(|| {
        let gram = gram?;
        let whole =
            diagonals_are_of_sums(sums, gram) && products_are_bounded(sums, gram) && is_semidefinite(gram, sums.dim);
        match (whole, whole && history_is_whole(sums, Some(gram))) {
            (false, _) => Some("its scatter matrix is not that of any rows"),
            (_, false) => Some("its history leaves out rows that are not zero"),
            _ => None,
        }
    })
}

fn classes_are_sound(sums: &ClassSums) -> bool {
    sums.rows() <= MAX_ROWS
        && sums.history.covers_at_most(sums.rows())
        && sums.labels.windows(2).all(|pair| pair[0] < pair[1] && pair[0].kind() == pair[1].kind())
        && sums.counts.iter().all(|&n| n > 0)
}

/// The shift is the mean, rounded to even: the sums about it are at most half a step a row.
fn shifts_are_means(sums: &ClassSums) -> bool {
    (0..sums.shifts.len()).all(|at| {
        let (n, c, twice) = (sums.counts[at / sums.dim], sums.shifts[at], u128::from(sums.sums[at].unsigned_abs()) * 2);
        let centred = twice < u128::from(n) || (twice == u128::from(n) && c & 1 == 0);
        centred && c.unsigned_abs() < 1 << VALUE_BITS
    })
}

fn zeros_have_no_sums(sums: &ClassSums) -> bool {
    let exponents = sums.grid.exponents();
    (0..sums.shifts.len()).all(|at| exponents[at % sums.dim].is_some() || (sums.shifts[at] == 0 && sums.sums[at] == 0))
}

/// Each residual is at most half a step of the grid that its row was rounded on, and 0 if rounding did not change the row.
fn residuals_are_small(sums: &ClassSums) -> bool {
    let mut left: Vec<(u128, u128)> = sums.history.tallies().iter().map(|tallies| most(tallies)).collect();
    (0..sums.low.len()).all(|at| {
        let (total, each) = &mut left[at % sums.dim];
        let size = sums.low.get(at).unsigned_abs();
        let rest = total.checked_sub(size);
        *total = rest.unwrap_or(0);
        rest.is_some() && size <= each.saturating_mul(sums.counts[at / sums.dim].into())
    })
}

/// The largest possible sum of all residuals of a dimension, and the largest possible single one.
fn most(tallies: &[ExponentRows]) -> (u128, u128) {
    let finest = tallies.first().map_or(0, |tally| tally.exponent);
    let half = |tally: &ExponentRows| {
        let bits = RESIDUAL_BITS - 1 + (i32::from(tally.exponent) - i32::from(finest)) as u32;
        if bits < 127 { 1_u128 << bits } else { u128::MAX }
    };
    let resolved = tallies.iter().filter(|tally| tally.changed > tally.unresolved);
    resolved.fold((0, 0), |(total, each), tally| {
        let rows = u128::from(tally.changed - tally.unresolved);
        (total.saturating_add(rows.saturating_mul(half(tally))), each.max(half(tally)))
    })
}

/// `t = Σ_j (g_j / g_min)² Σ δ_j²` is at least the mean's share in it, and 0 for a single row. It is odd if and only if
/// `Σ δ` over the dimensions of the finest step is, since a square is odd where its root is.
fn squares_are_of_sums(sums: &ClassSums) -> bool {
    let weights = sums.grid.weights();
    sums.squares.iter().enumerate().all(|(k, &t)| {
        let (s, n) = (&sums.sums[k * sums.dim..][..sums.dim], sums.counts[k]);
        let weighted = s.iter().zip(&weights).filter(|(s, _)| **s != 0);
        let of_mean: f64 = weighted.map(|(&s, &w)| (s as f64).powi(2) / n as f64 * 4_f64.powi(w as i32)).sum();
        let odd = s.iter().zip(&weights).filter(|(s, w)| **w == 0 && **s & 1 == 1).count() & 1;
        let (low_bits, _) = t.to_parts();
        !t.is_negative()
            && shift_left(t, 0).is_some()
            && of_mean <= f64_from_i256(t) * ROOM
            && low_bits & 1 == odd as u128
            && (n > 1 || low_bits == 0 && f64_from_i256(t) == 0.0)
    })
}

/// Rows that are not in the history of a dimension are zero there, so they lie as far from their class's shift as zero does.
///
/// So there are no more classes with another value than rows in the history, and the squares of the others' distance,
/// in the classes that are nearest to zero, are in the sums of squares.
fn history_is_whole(sums: &ClassSums, gram: Option<&[i128]>) -> bool {
    let (dim, weights) = (sums.dim, sums.grid.weights());
    let squares: f64 = sums.squares.iter().map(|&t| f64_from_i256(t)).sum();
    let mut of_zeros = 0.0;
    for (j, tallies) in sums.history.tallies().iter().enumerate() {
        let rows: u64 = tallies.iter().map(|tally| tally.rows).sum();
        if rows == sums.rows() || tallies.is_empty() {
            continue;
        }
        let cell = |k: usize| k * dim + j;
        let other = |k: usize| sums.shifts[cell(k)] != 0 || sums.sums[cell(k)] != 0 || sums.low.get(cell(k)) != 0;
        let classes = 0..sums.classes();
        if classes.clone().filter(|&k| other(k)).count() as u64 > rows {
            return false;
        }
        let mut nearest: Vec<(u64, u64)> =
            classes.map(|k| (sums.shifts[cell(k)].unsigned_abs(), sums.counts[k] - u64::from(other(k)))).collect();
        nearest.sort_unstable();
        let mut zeros = sums.rows() - rows;
        let least: f64 = nearest
            .into_iter()
            .map(|(distance, rows)| {
                let here = rows.min(zeros);
                zeros -= here;
                here as f64 * (distance as f64).powi(2)
            })
            .sum();
        if gram.is_some_and(|gram| least > gram[packed_column(dim, j)] as f64 * ROOM) {
            return false;
        }
        of_zeros += least * 4_f64.powi(weights[j] as i32);
    }
    of_zeros <= squares * ROOM
}

/// The diagonal of `Q` has the properties of `t`, dimension by dimension, and is 0 in a dimension of zeros.
fn diagonals_are_of_sums(sums: &ClassSums, gram: &[i128]) -> bool {
    let mut of_means = vec![0.0; sums.dim];
    let mut odd = vec![0; sums.dim];
    for (at, &s) in sums.sums.iter().enumerate() {
        of_means[at % sums.dim] += (s as f64).powi(2) / sums.counts[at / sums.dim] as f64;
        odd[at % sums.dim] ^= i128::from(s & 1);
    }
    diagonal(gram, sums.dim).enumerate().all(|(j, entry)| {
        let on_grid = sums.grid.exponents()[j].is_some() || entry == 0;
        entry >= 0 && on_grid && entry & 1 == odd[j] && of_means[j] <= entry as f64 * ROOM
    })
}

/// The diagonal bounds all other entries.
fn products_are_bounded(sums: &ClassSums, gram: &[i128]) -> bool {
    let bound: Vec<f64> = diagonal(gram, sums.dim).map(|entry| (entry as f64).sqrt() * ROOM).collect();
    (0..sums.dim).all(|j| {
        let column = &gram[packed_column(sums.dim, j)..][..sums.dim - j];
        column.iter().zip(&bound[j..]).all(|(&entry, row)| entry.unsigned_abs() as f64 <= row * bound[j])
    })
}

/// No direction has a negative sum of squares, to the rounding of `f64`, among the dimensions of a block.
fn is_semidefinite(gram: &[i128], dim: usize) -> bool {
    let scale: Vec<f64> = diagonal(gram, dim).map(|entry| 1.0 / (entry as f64).sqrt()).collect();
    let varied: Vec<usize> = (0..dim).filter(|&j| scale[j].is_finite()).collect();
    let blocks = varied.len().div_ceil(BLOCK_DIMS).max(1);
    let neighbours = varied.chunks(varied.len().div_ceil(blocks).max(1)).map(<[usize]>::to_vec);
    let every = |first: usize| varied.iter().skip(first).step_by(blocks).copied().collect();
    let scattered = (0..blocks).filter(|_| blocks > 1).map(every);
    neighbours.chain(scattered).all(|dims: Vec<usize>| {
        let size = dims.len();
        let mut scaled = vec![0.0; size * size];
        for (at, &j) in dims.iter().enumerate() {
            let column = &gram[packed_column(dim, j)..];
            for (&i, entry) in dims[at..].iter().zip(&mut scaled[at * size + at..]) {
                *entry = column[i - j] as f64 * scale[i] * scale[j];
            }
            // More than the factorization itself may lose (Higham 2002, theorem 10.7).
            scaled[at * size + at] += 2.0 * f64::EPSILON * (size * size) as f64;
        }
        factorize(&mut scaled, size)
    })
}

/// The diagonal of a lower triangle by columns.
fn diagonal(gram: &[i128], dim: usize) -> impl Iterator<Item = i128> {
    (0..dim).map(move |j| gram[packed_column(dim, j)])
}
