//! The sweep against two plain loops.

use super::*;

struct Case {
    dim: usize,
    values: Vec<f64>,
    norms: Vec<f64>,
    noise: Vec<f64>,
    variances: Vec<f64>,
    used: Vec<bool>,
}

impl Case {
    /// Points at random, every eleventh class unused; with two points at the origin, a duplicate and near duplicates if
    /// there are enough.
    fn new(classes: usize, dim: usize) -> Self {
        let mut state = 5_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 23) - 1.0
        };
        let mut values: Vec<f64> = (0..classes * dim).map(|_| next()).collect();
        let variances: Vec<f64> = (0..classes).map(|k| if k % 7 == 3 { 0.0 } else { next().abs() }).collect();
        if classes > 100 {
            for k in [20, classes - 1] {
                values[k * dim..][..dim].fill(0.0);
            }
            values.copy_within(30 * dim..31 * dim, 60 * dim);
            for (at, step) in [(61, 1e-3), (62, 1e-6), (63, 1e-9)] {
                values.copy_within(30 * dim..31 * dim, at * dim);
                values[at * dim] += step;
            }
        }
        let norms = values.chunks(dim).map(|row| row.iter().map(|x| x * x).sum::<f64>().sqrt()).collect();
        let noise = (0..classes).map(|k| 1e-9 * (k % 3) as f64).collect();
        Self { dim, values, norms, noise, variances, used: (0..classes).map(|k| k % 11 != 5).collect() }
    }

    fn points(&self) -> Points<'_> {
        Points { dim: self.dim, values: &self.values, norms: &self.norms, unit: 1.0, noise: &self.noise, along: 0.25 }
    }

    fn variances(&self, exponent: f64) -> Variances<'_> {
        Variances { values: &self.variances, used: &self.used, exponent, worst: 5 }
    }

    fn squared(&self, i: usize, j: usize, unit: bool) -> f64 {
        let scale = |k: usize| if unit { 1.0 / self.norms[k] } else { 1.0 };
        let row = |k: usize| self.values[k * self.dim..][..self.dim].iter().map(move |x| x * scale(k));
        row(i).zip(row(j)).map(|(x, y)| (x - y).powi(2)).sum()
    }

    /// Of both points, or of their directions.
    fn noise(&self, i: usize, j: usize, unit: bool) -> f64 {
        let scale = |k: usize| if unit { self.norms[k].powi(-2) } else { 1.0 };
        self.noise[i] * scale(i) + self.noise[j] * scale(j)
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let classes = self.norms.len();
        (0..classes).flat_map(move |i| (i + 1..classes).map(move |j| (i, j)))
    }
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-11 * expected.abs().max(1e-3), "{found} is not {expected}");
}

/// The relative error of a distance.
fn error(squared: f64, noise: f64) -> f64 {
    (0.25 * noise / squared).sqrt() + 0.5 * noise / squared
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[track_caller]
fn close_moments(found: &Moments, values: &[f64]) {
    assert_eq!(found.count, values.len() as u64);
    if !values.is_empty() {
        let expected = mean(values);
        close(found.mean, expected);
        close(found.variance().unwrap(), mean(&values.iter().map(|x| (x - expected).powi(2)).collect::<Vec<_>>()));
    }
}

#[test]
fn cdnv_equals_two_plain_loops() {
    for (classes, exponent) in [(1, 1.0), (2, 1.0), (17, 2.0), (256, 1.5), (257, 1.0), (600, 1.0), (513, 2.0)] {
        let case = Case::new(classes, 6);
        let cdnv = sweep(&case.points(), Some(&case.variances(exponent)), None).cdnv.unwrap();
        let (mut all, mut degenerate, mut by_class) = (Vec::new(), 0, vec![Vec::new(); classes]);
        let mut inverse = vec![0.0; classes];
        let mut errors = Vec::new();
        for (i, j) in case.pairs().filter(|&(i, j)| case.used[i] && case.used[j]) {
            let squared = case.squared(i, j, false);
            let noise = case.noise(i, j, false);
            let tolerance = 24.0 * f64::EPSILON * (case.norms[i].powi(2) + case.norms[j].powi(2));
            if squared <= tolerance.max(32.0 * noise) {
                degenerate += 1;
                continue;
            }
            errors.push(2.0 * exponent * error(squared, noise));
            let v = (case.variances[i] + case.variances[j]) / (2.0 * squared.powf(exponent));
            for (k, other) in [(i, j), (j, i)] {
                by_class[k].push((v, other));
                inverse[k] += 0.5 / squared.powf(exponent);
            }
            all.push((v, i, j));
        }
        if !all.is_empty() {
            close(cdnv.typical_error, mean(&errors));
            let weighted: Vec<f64> = errors.iter().zip(&all).map(|(error, (v, ..))| error * v).collect();
            let of_v = mean(&all.iter().map(|pair| pair.0).collect::<Vec<_>>());
            assert!((cdnv.mean_error / mean(&weighted) * of_v - 1.0).abs() < 1e-10);
        }
        assert_eq!((cdnv.pairs, cdnv.degenerate), (all.len() as u64, degenerate));
        assert_eq!(cdnv.classes, case.used.iter().filter(|&&used| used).count());
        all.sort_by(|a, b| b.0.total_cmp(&a.0));
        let values: Vec<f64> = all.iter().map(|pair| pair.0).collect();
        if !values.is_empty() {
            close(cdnv.mean, mean(&values));
            close(cdnv.max, values[0]);
            close(cdnv.distribution.quantile(1.0).unwrap(), values[0]);
            close(cdnv.distribution.quantile(0.0).unwrap(), values[values.len() - 1]);
            let logs: Vec<f64> = values.iter().filter(|&&v| v > 0.0).map(|v| v.log10()).collect();
            close(cdnv.log10_mean.unwrap(), mean(&logs));
        }
        assert_eq!(cdnv.worst.len(), all.len().min(5));
        for (pair, (v, i, j)) in cdnv.worst.iter().zip(&all) {
            assert_eq!(pair.classes, (*i, *j));
            close(pair.cdnv, *v);
            close(pair.distance, case.squared(*i, *j, false).sqrt());
        }
        for (k, (found, expected)) in cdnv.by_class.iter().zip(&by_class).enumerate() {
            assert_eq!(found.pairs, expected.len() as u64);
            close(found.inverse_distances, inverse[k]);
            if let Some(worst) = expected.iter().map(|x| x.0).max_by(f64::total_cmp) {
                close(found.mean, mean(&expected.iter().map(|x| x.0).collect::<Vec<_>>()));
                let (v, neighbour) = found.worst.unwrap();
                close(v, worst);
                assert!(expected.iter().any(|x| x.1 == neighbour && (x.0 - worst).abs() <= 1e-11 * worst));
            } else {
                assert_eq!(found.worst, None);
            }
        }
    }
}

#[test]
fn angles_equal_two_plain_loops() {
    for (classes, s) in [(1, 2.0), (2, 2.0), (17, 1.0), (256, 2.0), (257, 3.5), (600, 1.0), (300, 0.0)] {
        let case = Case::new(classes, 6);
        let angles = sweep(&case.points(), None, Some(s)).angles.unwrap();
        let directed = |k: usize| case.norms[k] > 0.0;
        let points = (0..classes).filter(|&k| directed(k)).count();
        assert_eq!((angles.points, angles.zeros), (points, classes - points));
        let directed_pairs = || case.pairs().filter(|&(i, j)| directed(i) && directed(j));
        let squared: Vec<f64> = directed_pairs().map(|(i, j)| case.squared(i, j, true)).collect();
        let noise: Vec<f64> = directed_pairs().map(|(i, j)| case.noise(i, j, true)).collect();
        let both = || squared.iter().copied().zip(noise.iter().copied());
        let resolved = |&(d, noise): &(f64, f64)| d > f64::max(48.0 * f64::EPSILON, 32.0 * noise);
        let (apart, hidden): (Vec<_>, Vec<_>) = both().partition(resolved);
        let errors: Vec<f64> = apart.iter().map(|&(d, noise)| error(d, noise)).collect();
        let of_distance = |pair: (f64, f64)| {
            if resolved(&pair) { pair.0.sqrt() * error(pair.0, pair.1) } else { pair.1.sqrt() }
        };
        assert_eq!(angles.degenerate, hidden.len() as u64);
        assert!(classes < 100 || (hidden.len() > 1 && hidden.iter().any(|&(d, _)| d > 1e-13)));
        let powers = apart.iter().zip(&errors).map(|((d, _), error)| d.powf(-0.5 * s) * error).collect::<Vec<_>>();
        let found = &angles.errors;
        for (found, expected) in [
            (found.distance.mean, mean(&both().map(of_distance).collect::<Vec<_>>())),
            (found.ln.mean, mean(&errors)),
            (found.riesz.moments.mean * found.riesz.ln_scale.exp(), mean(&powers)),
        ] {
            assert!(squared.is_empty() || (found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
        }
        let apart: Vec<f64> = apart.into_iter().map(|(d, _)| d).collect();
        close_moments(&angles.cos, &squared.iter().map(|d| 1.0 - 0.5 * d).collect::<Vec<_>>());
        close_moments(&angles.distance, &squared.iter().map(|d| d.sqrt()).collect::<Vec<_>>());
        close_moments(&angles.log_energy, &apart.iter().map(|d| -0.5 * d.ln()).collect::<Vec<_>>());
        let riesz = angles.riesz.moments.scaled(angles.riesz.ln_scale.exp());
        close_moments(&riesz, &apart.iter().map(|d| d.powf(-0.5 * s)).collect::<Vec<_>>());
        if squared.is_empty() {
            assert_eq!(angles.min_distance, None);
        } else {
            let simplex = 1.0 / (points as f64 - 1.0);
            let deviations: Vec<f64> = squared.iter().map(|d| (1.0 - 0.5 * d + simplex).abs()).collect();
            close(angles.simplex_deviation, mean(&deviations));
            let least = both().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            close(angles.min_distance.unwrap(), least.0.sqrt());
            close(angles.errors.min_distance, of_distance(least));
        }
    }
}

#[test]
fn many_classes_are_binned_and_the_unit_cancels() {
    let case = Case::new(1200, 3);
    let unscaled = sweep(&case.points(), Some(&case.variances(2.0)), None).cdnv.unwrap();
    let halves: Vec<f64> = case.values.iter().map(|x| x * 8.0).collect();
    let norms: Vec<f64> = case.norms.iter().map(|x| x * 8.0).collect();
    let noise: Vec<f64> = case.noise.iter().map(|x| x * 64.0).collect();
    let points = Points { dim: 3, values: &halves, norms: &norms, unit: 0.125, noise: &noise, along: 0.25 };
    let scaled = sweep(&points, Some(&case.variances(2.0)), None).cdnv.unwrap();
    let mut values: Vec<f64> = case
        .pairs()
        .map(|(i, j)| (i, j, case.squared(i, j, false)))
        .filter(|&(i, j, squared)| {
            case.used[i] && case.used[j] && squared > f64::max(1e-13, 32.0 * case.noise(i, j, false))
        })
        .map(|(i, j, squared)| f64::midpoint(case.variances[i], case.variances[j]) / squared.powi(2))
        .collect();
    values.sort_by(f64::total_cmp);
    assert_eq!(values.len() as u64, unscaled.pairs);
    for q in [0.5, 0.9, 0.99] {
        let (a, b) = (unscaled.distribution.quantile(q).unwrap(), scaled.distribution.quantile(q).unwrap());
        close(a, b);
        assert!((a / values[(q * (values.len() - 1) as f64) as usize] - 1.0).abs() < 2e-3);
    }
    close(scaled.mean, unscaled.mean);
    close(scaled.mean_error, unscaled.mean_error);
    close(scaled.max, unscaled.max);
    close(scaled.log10_mean.unwrap(), unscaled.log10_mean.unwrap());
    assert_eq!(scaled.worst, unscaled.worst);
    close(scaled.by_class[7].inverse_distances, unscaled.by_class[7].inverse_distances);
}

#[test]
fn large_exponents_leave_the_range_of_f64_but_not_of_logarithms() {
    let values = [1.0, 0.0, 0.0, 1.0, -1.0, 0.0];
    let points = Points { dim: 2, values: &values, norms: &[1.0, 1.0, 1.0], unit: 1.0, noise: &[0.0; 3], along: 1.0 };
    let angles = sweep(&points, None, Some(3000.0)).angles.unwrap();
    // Squared distances of 2, 2 and 4.
    let ln_mean = angles.riesz.ln_scale + angles.riesz.moments.mean.ln();
    close(ln_mean, -1500.0 * 2_f64.ln() + (2.0_f64 / 3.0).ln());
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for classes in [700, 1100] {
        let case = Case::new(classes, 5);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sweep(&case.points(), Some(&case.variances(1.0)), Some(2.0)))
        };
        let one = run(1);
        assert_eq!(one, run(2));
        assert_eq!(one, run(7));
    }
}
