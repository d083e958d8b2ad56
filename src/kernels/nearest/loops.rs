//! Loops over numbers of both precisions, and their bounds.

use crate::grid::{power_of_two, vectorised};

/// Numbers up to this power of two, or its inverse, can be brought near to 1.
const WIDEST: i32 = 400;

/// The largest `s_k + o_k`; `−∞` if all are NaN.
pub(super) fn largest_sum(scores: &[f32], offsets: &[f32]) -> f32 {
    const LANES: usize = 16;
    let len = scores.len().min(offsets.len());
    vectorised(
        #[inline(always)]
        || {
            let mut lanes = [f32::NEG_INFINITY; LANES];
            let whole = len / LANES * LANES;
            for at in (0..whole).step_by(LANES) {
                let (scores, offsets) = (&scores[at..][..LANES], &offsets[at..][..LANES]);
                for lane in 0..LANES {
                    let sum = scores[lane] + offsets[lane];
                    lanes[lane] = if sum > lanes[lane] { sum } else { lanes[lane] };
                }
            }
            for (at, lane) in (whole..len).zip(&mut lanes) {
                let sum = scores[at] + offsets[at];
                *lane = if sum > *lane { sum } else { *lane };
            }
            lanes.iter().fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most })
        },
    )
}

/// The length of a row of numbers of at most 2.
pub(super) fn norm_of(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let squares = vectorised(
        #[inline(always)]
        || {
            let mut lanes = [0.0_f64; LANES];
            let whole = values.len() / LANES * LANES;
            for at in (0..whole).step_by(LANES) {
                let values = &values[at..][..LANES];
                for lane in 0..LANES {
                    lanes[lane] += f64::from(values[lane]) * f64::from(values[lane]);
                }
            }
            for (value, lane) in values[whole..].iter().zip(&mut lanes) {
                *lane += f64::from(*value) * f64::from(*value);
            }
            lanes.iter().sum::<f64>()
        },
    );
    squares.sqrt()
}

/// The inner product of two vectors of single precision.
pub(super) fn single_dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let len = a.len().min(b.len());
    vectorised(
        #[inline(always)]
        || {
            let (mut lanes, whole) = ([0.0_f32; LANES], len / LANES * LANES);
            for at in (0..whole).step_by(LANES) {
                let (a, b) = (&a[at..][..LANES], &b[at..][..LANES]);
                for lane in 0..LANES {
                    lanes[lane] += a[lane] * b[lane];
                }
            }
            for (at, lane) in (whole..len).zip(&mut lanes) {
                *lane += a[at] * b[at];
            }
            lanes.iter().sum()
        },
    )
}

/// A number that is larger by far more than a few roundings.
pub(super) fn above(x: f64) -> f64 {
    x * (1.0 + 1e-9)
}

/// The mean of vectors, each a row of `values`.
pub(super) fn mean(values: &[f64], dim: usize) -> Vec<f64> {
    let share = 1.0 / (values.len() / dim).max(1) as f64;
    let mut mean = vec![0.0; dim];
    vectorised(
        #[inline(always)]
        || {
            for vector in values.chunks_exact(dim) {
                for j in 0..dim {
                    mean[j] += vector[j] * share;
                }
            }
        },
    );
    mean
}

/// The largest `|x − centre|` of rows; NaN or infinite if any is. An empty centre is 0.
pub(super) fn largest_about(rows: &[f64], centre: &[f64]) -> f64 {
    const LANES: usize = 8;
    if centre.is_empty() {
        return rows.iter().fold(0.0, |most, x| larger(most, x.abs()));
    }
    let mut lanes = [0.0_f64; LANES];
    vectorised(
        #[inline(always)]
        || {
            for row in rows.chunks_exact(centre.len()) {
                for (row, centre) in row.chunks(LANES).zip(centre.chunks(LANES)) {
                    for ((lane, x), centre) in lanes.iter_mut().zip(row).zip(centre) {
                        *lane = larger(*lane, (x - centre).abs());
                    }
                }
            }
        },
    );
    lanes.into_iter().fold(0.0, larger)
}

/// The larger of two numbers; NaN if either is.
#[inline(always)]
pub(super) fn larger(most: f64, x: f64) -> f64 {
    if x <= most || most.is_nan() { most } else { x }
}

/// The power of two that brings the largest of some numbers between 1 and 2; `None` if they are too far from 1.
pub(super) fn scale_of(largest: f64) -> Option<f64> {
    if largest == 0.0 {
        return Some(1.0);
    }
    let exponent = if largest.is_normal() { (largest.to_bits() >> 52) as i32 - 1023 } else { i32::MAX };
    (exponent.abs() <= WIDEST).then(|| power_of_two(-exponent as i16))
}
