use super::{Pinv, Traces, Vci, cdnv, classes};
use crate::kernels::pairs::{Cdnv, Points, Variances, sweep};
use crate::linalg;
use crate::metrics::fixture::{assert_close, centred, golden, golden_rows, statistics};
use crate::metrics::vectors::Vectors;
use crate::metrics::{Centring, Normaliser, Options, Value};
use crate::state::Statistics;

const F64: u32 = 53;

/// Centred means.
pub(super) fn means_of(statistics: &Statistics) -> Vectors {
    Vectors::centred(statistics, Centring::Class)
}

pub(super) fn cdnv_of(statistics: &Statistics, options: &Options) -> Cdnv {
    let used = classes::with_variance(statistics, options);
    let variances = Variances { values: &statistics.variances, used: &used, exponent: options.cdnv_exponent, worst: 3 };
    sweep(&means_of(statistics).points(), Some(&variances), None).cdnv.unwrap()
}

pub(super) fn trace_ratio_of(statistics: &Statistics, means: &Points<'_>, options: &Options) -> Value {
    Traces::of(statistics, means, options).and_then(Traces::ratio)
}

fn within_fraction_of(statistics: &Statistics, means: &Points<'_>, options: &Options) -> Value {
    Traces::of(statistics, means, options).and_then(Traces::within_fraction)
}

fn pinv_of(statistics: &Statistics) -> Result<Pinv, &'static str> {
    Pinv::of(statistics, &means_of(statistics).points(), F64, &Options::default())
}

fn vci_of(statistics: &Statistics) -> Value {
    Vci::of(statistics, F64, &Options::default()).map(|vci| vci.value)
}

/// Values between −1 and 1.
pub(super) fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 23) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// `rows_each` rows of each class about means at random, in single precision.
fn random(classes: usize, dim: usize, rows_each: usize, spread: f64) -> (Vec<f64>, Vec<u32>) {
    let (means, noise) = (numbers(classes * dim, 3), numbers(classes * rows_each * dim, 4));
    let labels: Vec<u32> = (0..classes * rows_each).map(|row| (row % classes) as u32).collect();
    let values = (0..noise.len()).map(|at| {
        let (row, j) = (at / dim, at % dim);
        f64::from((means[labels[row] as usize * dim + j] + spread * noise[at]) as f32)
    });
    (values.collect(), labels)
}

/// Rows times a matrix, `dim × cols`.
pub(super) fn times(rows: &[f64], matrix: &[f64], dim: usize) -> Vec<f64> {
    linalg::product(rows, matrix, dim, matrix.len() / dim)
}

/// An orthogonal matrix.
pub(super) fn rotation(dim: usize) -> Vec<f64> {
    let a = numbers(dim * dim, 9);
    let symmetric: Vec<f64> = (0..dim * dim).map(|at| a[at] + a[at % dim * dim + at / dim]).collect();
    linalg::symmetric_eigen(&symmetric, dim).unwrap().vectors
}

#[test]
#[expect(clippy::unreadable_literal, reason = "digits as the formula sheet has them")]
fn golden_values() {
    let (statistics, options) = (golden(), Options::default());
    let means = means_of(&statistics);
    let means = means.points();
    let nc1 = Pinv::of(&statistics, &means, F64, &options).unwrap();
    assert_close(nc1.value, 0.1033908142680865, 1e-12);
    assert_eq!((nc1.rank, nc1.flags()), (3, vec![]));
    assert_eq!((nc1.value_f64, nc1.value_reference_f32), (Some(nc1.value), Some(nc1.value)));
    assert_close(trace_ratio_of(&statistics, &means, &options).unwrap(), 0.02088789252071388, 1e-12);
    assert_close(within_fraction_of(&statistics, &means, &options).unwrap(), 0.02046051547260373, 1e-12);
    assert_close(Vci::of(&statistics, F64, &options).unwrap().value, 0.08905277954600843, 1e-12);
    for (class, v) in [0.13194444444444445, 0.2177734375, 0.17125, 0.17925347222222224].into_iter().enumerate() {
        assert_close(classes::variance(&statistics, class, &options).unwrap(), v, 1e-12);
    }
    let cdnv = cdnv_of(&statistics, &options);
    assert_close(cdnv::mean(&cdnv).unwrap(), 0.012875333731516095, 1e-12);
    assert_close(cdnv::strict_mean(&cdnv).unwrap(), 0.012875333731516095, 1e-12);
    assert_close(cdnv::log10_mean(&cdnv).unwrap(), -2.0361625776870955, 1e-12);
    assert_close(cdnv::max(&cdnv).unwrap(), 0.04202872000699472, 1e-12);
    let squared = cdnv_of(&statistics, &Options { cdnv_exponent: 2.0, ..options });
    assert_close(cdnv::mean(&squared).unwrap(), 0.0019315756304041044, 1e-12);
}

#[test]
fn options_change_what_they_say() {
    let statistics = golden();
    let means = means_of(&statistics);
    let means = means.points();
    let default = Options::default();
    let nc1 = |options: Options| Pinv::of(&statistics, &means, F64, &options).map(|nc1| nc1.value);
    let plain = nc1(default).unwrap();
    assert_close(nc1(Options { divide_by_k: false, ..default }).unwrap(), 4.0 * plain, 1e-14);
    let unbiased = Options { normaliser: Normaliser::RowsLessClasses, ..default };
    assert_close(nc1(unbiased).unwrap(), 18.0 / 14.0 * plain, 1e-14);
    let ratio = |options| trace_ratio_of(&statistics, &means, &options).unwrap();
    assert_close(ratio(unbiased), 18.0 / 14.0 * ratio(default), 1e-14);
    let balanced = Options { normaliser: Normaliser::Balanced, ..default };
    let between = statistics.variances.iter().zip(&statistics.counts).map(|(v, &n)| v * n as f64).sum::<f64>()
        / 18.0
        / ratio(default);
    assert_close(ratio(balanced), statistics.variances.iter().sum::<f64>() / 4.0 / between, 1e-14);
    assert_eq!(nc1(balanced), Err("needs_per_class_scatter"));
    assert_eq!(Vci::of(&statistics, F64, &balanced), Err("needs_per_class_scatter"));
}

#[test]
fn few_dimensions_and_few_classes_agree() {
    // D > K: the same rows in a larger space; padding and rotation change nothing.
    let (rows, labels) = random(5, 3, 40, 0.3);
    let small = statistics(3, &rows, &labels);
    let embed: Vec<f64> = rotation(8)[..3 * 8].to_vec();
    let large = statistics(8, &times(&rows, &embed, 3), &labels);
    let (a, b) = (pinv_of(&small).unwrap(), pinv_of(&large).unwrap());
    assert_eq!((a.rank, b.rank), (3, 3));
    assert_close(b.value, a.value, 1e-6);
    assert_close(vci_of(&large).unwrap(), vci_of(&small).unwrap(), 1e-6);
}

#[test]
fn invariances() {
    let (classes, dim) = (6, 4);
    let (rows, labels) = random(classes, dim, 50, 0.2);
    let make = |rows: &[f64]| {
        let statistics = statistics(dim, rows, &labels);
        let means = means_of(&statistics);
        let options = Options::default();
        [
            pinv_of(&statistics).unwrap().value,
            vci_of(&statistics).unwrap(),
            trace_ratio_of(&statistics, &means.points(), &options).unwrap(),
            cdnv::mean(&cdnv_of(&statistics, &options)).unwrap(),
            cdnv::quantile(&cdnv_of(&statistics, &options), 0.9).unwrap(),
        ]
    };
    let plain = make(&rows);
    let moved: Vec<f64> = rows.iter().map(|x| 8.0 * x + 512.0).collect();
    // The moved rows are rounded alike; the turned ones differ by a millionth of a standard deviation a row, which the
    // least eigenvalue of Σ_B magnifies.
    for (other, tolerance) in [(moved, 1e-11), (times(&rows, &rotation(dim), dim), 1e-5)] {
        make(&other).iter().zip(&plain).for_each(|(a, b)| assert_close(*a, *b, tolerance));
    }
    // VCI, and NC1 of full rank, also survive any invertible map.
    let map: Vec<f64> =
        numbers(dim * dim, 1).iter().enumerate().map(|(at, x)| x + f64::from(u8::from(at % 5 == 0))).collect();
    let mapped = make(&times(&rows, &map, dim));
    assert_close(mapped[0], plain[0], 1e-5);
    assert_close(mapped[1], plain[1], 1e-5);
}

/// Rows whose `Σ_W` and `Σ_B` are known: classes at `±e_j` for each of `axes` axes, rows at `± spread_j` from their mean
/// along every axis in turn; `Σ_W = diag(spread²)/dim`, `Σ_B = I/axes`.
fn cross(dim: usize, axes: usize, spread: impl Fn(usize) -> f64) -> (Vec<f64>, Vec<u32>) {
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for class in 0..2 * axes {
        for (axis, sign) in (0..2 * dim).map(|side| (side / 2, if side % 2 == 0 { 1.0 } else { -1.0 })) {
            let mut row = vec![0.0; dim];
            row[class / 2] = if class % 2 == 0 { 1.0 } else { -1.0 };
            row[axis] += sign * spread(axis);
            rows.extend(row);
            labels.push(class as u32);
        }
    }
    (rows, labels)
}

#[test]
fn vci_keeps_its_digits_where_one_minus_a_trace_loses_them() {
    // A power of two near what makes VCI 1e-4, 1e-8 and 1e-12, so that the rows lie on the grid.
    for exponent in [-6, -13, -19] {
        let (dim, axes) = (5, 3);
        let spread = 2_f64.powi(exponent);
        let (rows, labels) = cross(dim, axes, |j| spread * (j + 1) as f64);
        let statistics = statistics(dim, &rows, &labels);
        let ratio = |j: usize| 1.0 / axes as f64 / (spread * spread * ((j + 1) * (j + 1)) as f64 / dim as f64);
        let expected = (0..axes).map(|j| 1.0 / (1.0 + ratio(j))).sum::<f64>() / axes as f64;
        let found = Vci::of(&statistics, F64, &Options::default()).unwrap();
        assert_eq!(found.rank, axes);
        assert_close(found.value, expected, 1e-9);
        // NC1: (1/K) Σ Σ_W,jj / (1/axes)
        let within = (0..axes).map(|j| spread * spread * ((j + 1) * (j + 1)) as f64 / dim as f64).sum::<f64>();
        assert_close(pinv_of(&statistics).unwrap().value, within * axes as f64 / (2 * axes) as f64, 1e-12);
    }
}

#[test]
fn correlated_variation_keeps_its_digits_too() {
    // An invertible map of integers leaves VCI as it is, and the rows on the grid.
    let (dim, axes, spread) = (5, 3, 2_f64.powi(-13));
    let (rows, labels) = cross(dim, axes, |j| spread * (j + 1) as f64);
    let map: Vec<f64> =
        (0..dim * dim).map(|at| f64::from(u8::from(at / dim <= at % dim)) * (1 + at % 3) as f64).collect();
    let plain = statistics(dim, &rows, &labels);
    let mapped = statistics(dim, &times(&rows, &map, dim), &labels);
    assert!(mapped.rounding.iter().all(|&noise| noise < 1e-25), "the rows lie on the grid");
    assert_close(vci_of(&mapped).unwrap(), vci_of(&plain).unwrap(), 1e-9);
}

#[test]
fn directions_without_variation_are_taken_out() {
    // As after layer normalisation: rows sum to 0 up to rounding to the grid. With few and wide rows that rounding fills
    // the missing direction of Σ_B far above the rounding of double precision.
    let (dim, classes) = (9, 20);
    for (rows_each, spread) in [(60, 0.1), (4, 2.0)] {
        let (mut rows, labels) = random(classes, dim, rows_each, spread);
        for row in rows.chunks_mut(dim) {
            let mean = row.iter().sum::<f64>() / dim as f64;
            for x in row {
                *x = f64::from((*x - mean) as f32);
            }
        }
        let full = statistics(dim, &rows, &labels);
        let dropped: Vec<f64> = rows.chunks(dim).flat_map(|row| row[..dim - 1].to_vec()).collect();
        let fewer = statistics(dim - 1, &dropped, &labels);
        let options = Options::default();
        let (a, b) = (Vci::of(&full, 24, &options).unwrap(), Vci::of(&fewer, 24, &options).unwrap());
        assert_eq!((a.rank, b.rank), (dim - 1, dim - 1));
        assert_close(a.value, b.value, 1e-6);
        assert_eq!(Pinv::of(&full, &means_of(&full).points(), 24, &options).unwrap().rank, dim - 1);
    }
}

#[test]
fn dependent_means_do_not_count_twice() {
    // Four classes on a line, shifted off the grid of doubles: rank 1.
    let (dim, rows_each) = (3, 40);
    let noise = numbers(4 * rows_each * dim, 8);
    let labels: Vec<u32> = (0..4 * rows_each).map(|row| row as u32 % 4).collect();
    let steps = |row: usize| f64::from(labels[row]) * 0.7;
    let mut rows: Vec<f64> = (0..noise.len()).map(|at| steps(at / dim) * [1.0, 0.3, -0.2][at % dim]).collect();
    // The same noise in every class leaves the means on the line.
    for (at, x) in rows.iter_mut().enumerate() {
        *x += 0.01 * noise[at % dim + at / dim / 4 * dim];
    }
    let statistics = statistics(dim, &rows, &labels);
    let found = Vci::of(&statistics, F64, &Options::default()).unwrap();
    assert_eq!(found.rank, 1);
    assert!(found.value < 1e-3);
    let nc1 = pinv_of(&statistics).unwrap();
    assert_eq!(nc1.rank, 1);
}

#[test]
fn tiny_eigenvalues_are_told() {
    let (dim, axes) = (3, 2);
    let (mut rows, labels) = cross(dim, axes, |_| 0.25);
    rows.chunks_mut(dim).for_each(|row| row[1] *= 2_f64.powi(-12));
    // Along the second axis Σ_B is 2^-24 of the first: kept in f64, dropped at the cut-off of `neural_collapse` in f32.
    let statistics = statistics(dim, &rows, &labels);
    let nc1 = pinv_of(&statistics).unwrap();
    assert_eq!(nc1.rank, 2);
    assert_close(nc1.condition, 2_f64.powi(24), 1e-9);
    assert!(nc1.cut_off >= 3.0 * f64::EPSILON && nc1.cut_off < 1e-9);
    assert_close(nc1.value_reference_f32.unwrap(), nc1.value / 2.0, 1e-9);
    assert_eq!(nc1.flags(), ["pinv_tolerance_sensitive"]);
}

#[test]
fn what_cannot_be_computed_says_why() {
    let options = Options::default();
    let (rows, labels) = golden_rows();
    let everything = |statistics: &Statistics| {
        let means = means_of(statistics);
        [
            pinv_of(statistics).map(|nc1| nc1.value),
            vci_of(statistics),
            trace_ratio_of(statistics, &means.points(), &options),
            within_fraction_of(statistics, &means.points(), &options),
            cdnv::mean(&cdnv_of(statistics, &options)),
        ]
    };
    let single = statistics(3, &rows[..9], &labels[..3]);
    assert_eq!(everything(&single), [Err("single_class"); 5]);
    // All means equal: only the share of the total is known.
    let equal = statistics(1, &[0.1, 0.3, 0.1, 0.3, 0.3, 0.1], &[0, 0, 1, 1, 2, 2]);
    let degenerate = "degenerate_pairs";
    assert_eq!(
        everything(&equal),
        [Err("zero_between"), Err("zero_between"), Err("zero_between"), Ok(1.0), Err(degenerate)]
    );
    // Full collapse.
    let collapsed = statistics(1, &[1.0, 1.0, 2.0, 2.0], &[0, 0, 1, 1]);
    assert_eq!(everything(&collapsed), [Ok(0.0), Err("within_singular"), Ok(0.0), Ok(0.0), Ok(0.0)]);
    assert_eq!(cdnv::log10_mean(&cdnv_of(&collapsed, &options)), Err("zero_within"));
    assert_eq!(classes::snr(&collapsed, &means_of(&collapsed).points(), 0, &options), Err("zero_within"));
    // Singletons.
    let singletons = statistics(2, &[1.0, 1.0, 2.0, 0.0], &[0, 1]);
    assert_eq!(cdnv::mean(&cdnv_of(&singletons, &options)), Err("too_few_rows"));
    assert_eq!(classes::variance(&singletons, 0, &options), Err("too_few_rows"));
    let all = Options { min_count: Some(1), ..options };
    assert_eq!(cdnv::mean(&cdnv_of(&singletons, &all)), Ok(0.0));
    let unbiased = Options { normaliser: Normaliser::RowsLessClasses, ..options };
    let means = means_of(&singletons);
    assert_eq!(trace_ratio_of(&singletons, &means.points(), &unbiased), Err("no_degrees_of_freedom"));
    assert_eq!(pinv_of(&singletons).unwrap().flags(), ["singleton_classes"]);
    // No scatter.
    let mut sums = golden();
    sums.scatter = None;
    assert_eq!((pinv_of(&sums).err(), vci_of(&sums)), (Some("no_scatter"), Err("no_scatter")));
}

#[test]
fn duplicate_means_are_counted_and_left_out() {
    let rows = [0.0, 2.0, 0.0, 2.0, 5.0, 7.0];
    let statistics = statistics(1, &rows, &[0, 0, 1, 1, 2, 2]);
    let cdnv = cdnv_of(&statistics, &Options::default());
    // v = 1 each, d² = 25 for two pairs.
    assert_close(cdnv::mean(&cdnv).unwrap(), 1.0 / 25.0, 1e-14);
    assert_eq!(cdnv::strict_mean(&cdnv), Err("degenerate_pairs"));
    assert_eq!((cdnv.pairs, cdnv.degenerate), (2, 1));
    assert_close(classes::cdnv_mean(&cdnv, 0).unwrap(), 1.0 / 25.0, 1e-14);
    assert_eq!(classes::cdnv_worst(&cdnv, 1).unwrap().1, 2);
    assert_eq!(pinv_of(&statistics).unwrap().rank, 1);
}

#[test]
fn two_classes_and_more_classes_than_dimensions() {
    // Σ_W = 1/4, means ±1: Σ_B = 1, NC1 = 1/8, VCI = (1/4)/(5/4).
    let two = statistics(1, &[0.5, 1.5, -0.5, -1.5], &[0, 0, 1, 1]);
    assert_close(pinv_of(&two).unwrap().value, 0.125, 1e-14);
    assert_close(vci_of(&two).unwrap(), 0.2, 1e-14);
    let (rows, labels) = random(30, 4, 10, 0.3);
    let many = statistics(4, &rows, &labels);
    assert_eq!((pinv_of(&many).unwrap().rank, Vci::of(&many, F64, &Options::default()).unwrap().rank), (4, 4));
    // VCI by its definition, which is good enough away from collapse.
    let (dim, n) = (4, many.rows() as f64);
    // Equal counts: both centres are the same.
    let between: Vec<f64> = linalg::gram(&centred(&many), dim).iter().map(|x| x / 30.0).collect();
    let total: Vec<f64> = many.scatter.as_ref().unwrap().iter().zip(&between).map(|(w, b)| w / n + b).collect();
    let mut solved = between.clone();
    linalg::Cholesky::new(&total, dim).unwrap().solve(&mut solved);
    let trace: f64 = (0..dim).map(|j| solved[j * dim + j]).sum();
    assert_close(vci_of(&many).unwrap(), 1.0 - trace / 4.0, 1e-12);
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (rows, labels) = random(300, 20, 3, 0.3);
    let statistics = statistics(20, &rows, &labels);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (pinv_of(&statistics).unwrap(), Vci::of(&statistics, F64, &Options::default()).unwrap()))
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(7));
}
