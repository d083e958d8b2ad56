//! NC1 of rounded rows against NC1 of the rows themselves: the same formulas on statistics of two passes in `f64`.

use super::tests::{cdnv_of, means_of, numbers, rotation, times, trace_ratio_of};
use super::{Pinv, Vci, cdnv};
use crate::kernels::pairs::Cdnv;
use crate::linalg;
use crate::metrics::fixture::statistics;
use crate::metrics::{Options, accuracy};
use crate::state::Statistics;

const F32: u32 = 24;

/// Means and scatter by their definitions, without rounding; relative to the first row.
fn two_pass(dim: usize, rows: &[f64], labels: &[u32]) -> Statistics {
    let mut truth = statistics(dim, rows, labels);
    let classes = truth.classes();
    let origin = &rows[..dim];
    let mut offsets = vec![0.0; classes * dim];
    for (row, &label) in rows.chunks(dim).zip(labels) {
        let count = truth.counts[label as usize] as f64;
        let sums = &mut offsets[label as usize * dim..][..dim];
        sums.iter_mut().zip(row.iter().zip(origin)).for_each(|(sum, (x, origin))| *sum += (x - origin) / count);
    }
    let deviations: Vec<f64> = rows
        .chunks(dim)
        .zip(labels)
        .flat_map(|(row, &label)| {
            let offset = &offsets[label as usize * dim..][..dim];
            row.iter().zip(origin).zip(offset).map(|((x, origin), offset)| (x - origin) - offset).collect::<Vec<_>>()
        })
        .collect();
    truth.variances = vec![0.0; classes];
    for (row, &label) in deviations.chunks(dim).zip(labels) {
        let square = row.iter().map(|x| x * x).sum::<f64>();
        truth.variances[label as usize] += square / truth.counts[label as usize] as f64;
    }
    truth.scatter = Some(linalg::gram(&deviations, dim));
    truth.origin = origin.to_vec();
    truth.offsets = offsets;
    truth
}

struct Found {
    pinv: Pinv,
    vci: Vci,
    cdnv: Cdnv,
    trace_ratio: f64,
}

fn found(statistics: &Statistics) -> Found {
    let options = Options::default();
    let means = means_of(statistics);
    Found {
        pinv: Pinv::of(statistics, &means.points(), F32, &options).unwrap(),
        vci: Vci::of(statistics, F32, &options).unwrap(),
        cdnv: cdnv_of(statistics, &options),
        trace_ratio: trace_ratio_of(statistics, &means.points(), &options).unwrap(),
    }
}

/// Fails unless every number of the rounded rows is within `limit`, or six times its own estimate.
fn check(name: &str, dim: usize, rows: &[f64], labels: &[u32], limit: f64) {
    let rounded = statistics(dim, rows, labels);
    let (a, b) = (found(&rounded), found(&two_pass(dim, rows, labels)));
    let (estimates, _) = accuracy::estimate(&accuracy::Inputs {
        statistics: &rounded,
        means: &means_of(&rounded).points(),
        options: &Options::default(),
        significand_bits: F32,
        pinv: Some(&a.pinv),
        vci: Some(&a.vci),
        cdnv: Some(&a.cdnv),
        directional: None,
        angles: None,
        energy: None,
    });
    assert_eq!((a.pinv.rank, a.vci.rank), (b.pinv.rank, b.vci.rank), "{name}");
    for (key, a, b) in [
        ("nc1_pinv", a.pinv.value, b.pinv.value),
        ("nc1_vci", a.vci.value, b.vci.value),
        ("nc1_cdnv", cdnv::mean(&a.cdnv).unwrap(), cdnv::mean(&b.cdnv).unwrap()),
        ("nc1_trace_ratio", a.trace_ratio, b.trace_ratio),
    ] {
        let error = (a / b - 1.0).abs();
        assert!(error <= limit.max(6.0 * estimates[key]), "{name}, {key}: {error:e}, estimate {:e}", estimates[key]);
    }
}

/// Rows of classes at random with `spread(j)` within and between along axis `j`, `sigma` of it within, then `finish`.
fn rows(
    (classes, dim, count): (usize, usize, usize),
    sigma: f64,
    spread: impl Fn(usize) -> f64,
    finish: impl Fn(Vec<f64>) -> Vec<f64>,
) -> (Vec<f64>, Vec<u32>) {
    let (means, noise) = (numbers(classes * dim, 21), numbers(count * dim, 22));
    let labels: Vec<u32> = (0..count).map(|row| ((row + row * row % 97) % classes) as u32).collect();
    let values = noise.iter().enumerate().map(|(at, noise)| {
        let (row, j) = (at / dim, at % dim);
        spread(j) * (means[labels[row] as usize * dim + j] + sigma * noise)
    });
    let stored = finish(values.collect()).into_iter().map(|x| f64::from(x as f32));
    (stored.collect(), labels)
}

#[test]
fn collapsed_rows() {
    for exponent in 0..=6 {
        let (rows, labels) = rows((5, 12, 1500), 10_f64.powi(-exponent), |_| 1.0, |rows| rows);
        check(&format!("1e-{exponent}"), 12, &rows, &labels, 1e-6);
    }
}

#[test]
fn spectra_along_the_axes_and_turned() {
    let dim = 24;
    for decay in [-1, -2] {
        let spread = |j: usize| ((j + 1) as f64).powi(decay);
        let (straight, labels) = rows((60, dim, 3000), 0.3, spread, |rows| rows);
        check(&format!("{decay}"), dim, &straight, &labels, 1e-6);
        let (turned, labels) = rows((60, dim, 3000), 0.3, spread, |rows| times(&rows, &rotation(dim), dim));
        check(&format!("{decay}, turned"), dim, &turned, &labels, 1e-6);
    }
}

#[test]
fn large_dimensions_and_zeros() {
    let dim = 16;
    let (large, labels) = rows((30, dim, 2000), 0.2, |j| if j < 4 { 1000.0 } else { 1.0 }, |rows| rows);
    check("large", dim, &large, &labels, 1e-6);
    let relu = |rows: Vec<f64>| rows.into_iter().map(|x| x.max(0.0)).collect();
    let (zeros, labels) = rows((30, dim, 2000), 1.0, |_| 1.0, relu);
    check("relu", dim, &zeros, &labels, 1e-6);
}

#[test]
fn a_common_offset_costs_no_digits_but_those_stored() {
    let (rows, labels) = rows((8, 10, 1500), 1e-2, |_| 1.0, |rows| rows.into_iter().map(|x| x + 100.0).collect());
    check("offset", 10, &rows, &labels, 1e-6);
}
