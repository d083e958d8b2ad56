//! The definition, in two passes and twice the precision of `f64`, beside what the state says.
//!
//! No number is worse than 1e-6, or six times the estimate printed beside it (METRICS 4.7).

use std::collections::BTreeMap;

use nckit::metrics::{Evidence, Extras, Options, Selection, measure};
use nckit::state::{Head, Merge, Scatter, Shifts, Statistics};

use crate::accuracy::judge::{Verdict, judge};
use crate::accuracy::{beside, raw_rows};

use crate::definition::Truth;
use crate::rows::{Random, Rows, Stored};
use crate::stress::{Means, Noise, Recipe, Sizes};

/// What a state made of all chunks says.
pub(crate) fn measured(chunks: &[Rows]) -> Statistics {
    let shifts = Shifts::default();
    let mut state = chunks[0].state::<Scatter>(&shifts);
    for rows in &chunks[1..] {
        state.merge(&rows.state(&shifts)).unwrap();
    }
    state.statistics().unwrap()
}

/// What METRICS 4.7 says of a variance `v` of `n` rows, not divided by it.
fn estimate(v: f64, bias: f64, random: f64, n: f64) -> f64 {
    if v > 0.0 { v * (2.0 * (random / v / n).sqrt() + bias / v) } else { bias }
}

/// The largest of `|found − true|`, in units of what is allowed, and of 1e-6 of the truth.
#[derive(Default)]
struct Worst {
    allowed: f64,
    relative: f64,
}

impl Worst {
    fn see(&mut self, found: f64, truth: f64, estimate: f64) {
        let error = (found - truth).abs();
        if error > 0.0 {
            self.allowed = self.allowed.max(error / (1e-6 * truth).max(6.0 * estimate));
            self.relative = self.relative.max(error / truth);
        }
    }
}

/// Worst relative errors.
struct Errors {
    dimensions: f64,
    classes: f64,
    /// NC1, VCI, CDNV and the trace ratio, those of them that there are.
    metrics: f64,
}

/// What a state says against the truth, within the estimates.
fn check(name: &str, chunks: &[Rows]) -> Errors {
    let (truth, found) = (Truth::of(chunks), measured(chunks));
    let (dim, rows) = (found.dim, found.rows() as f64);
    assert_eq!(found.labels, truth.labels, "{name}");
    assert!(found.counts.iter().zip(&truth.counts).all(|(&n, &m)| n == m as u64), "{name}");
    let scatter = found.scatter.as_ref().unwrap();
    let variances: Vec<f64> = (0..dim).map(|j| scatter[j * dim + j] / rows).collect();
    let mut dimensions = Worst::default();
    for (j, &v) in variances.iter().enumerate() {
        dimensions.see(v, truth.dimensions[j], estimate(v, found.rounding[j], found.rounding_changed[j], rows));
    }
    let total: f64 = variances.iter().sum();
    let bias: f64 = found.rounding.iter().sum();
    let weighted = found.rounding_changed.iter().zip(&variances).map(|(noise, v)| noise * (v / total)).sum::<f64>();
    let mut classes = Worst::default();
    for (k, &v) in found.variances.iter().enumerate() {
        classes.see(v, truth.classes[k], estimate(v, bias, weighted, truth.counts[k]));
    }
    let metrics = metrics(name, &truth, &found, chunks);
    if (2..=FAMILIES).contains(&found.classes()) && found.dim <= FAMILIES {
        families_of(name, &truth, &found, chunks);
    }
    println!(
        "{name}: dimensions {:.1e} ({:.2} of allowed), classes {:.1e} ({:.2}), metrics {:.1e} ({:.2})",
        dimensions.relative, dimensions.allowed, classes.relative, classes.allowed, metrics.relative, metrics.allowed
    );
    assert!(dimensions.allowed <= 1.0 && classes.allowed <= 1.0 && metrics.allowed <= 1.0, "{name}");
    Errors { dimensions: dimensions.relative, classes: classes.relative, metrics: metrics.relative }
}

fn metrics(name: &str, truth: &Truth, found: &Statistics, chunks: &[Rows]) -> Worst {
    let mut worst = Worst::default();
    if found.classes() < 2 {
        return worst;
    }
    let evidence = Evidence {
        statistics: found,
        significand_bits: bits_of(chunks),
        head: None,
        findings: None,
        ood_mean: None,
        dropped_classes: 0,
        normalized: false,
    };
    // At thousands of dimensions the eigenvectors of VCI alone take a minute.
    let keys = ["nc1_pinv", "nc1_trace_ratio", "nc1_cdnv", "nc1_vci"].map(ToString::to_string);
    let selection = Selection::parse(&keys[..if found.dim < 1000 { 4 } else { 3 }]).unwrap();
    let made = measure(&evidence, &Options::default(), &selection, Extras::default()).unwrap();
    let metric = |key: &str| made.metric(key).unwrap();
    let mut see = |key: &str, truth: f64| {
        let value = metric(key).value.unwrap();
        worst.see(value, truth, made.accuracy.get(key).map_or(0.0, |estimate| estimate * value));
    };
    // What lies below the rounding of the stored type is no rank, and says so.
    let flags = &metric("nc1_pinv").flags;
    if flags.contains(&"directions_dropped") || flags.contains(&"rank_lowered") {
        assert!(flags.contains(&"pinv_tolerance_sensitive"), "{name}");
    } else {
        see("nc1_pinv", truth.nc1(&truth.equal_weights()));
    }
    see("nc1_trace_ratio", truth.trace_ratio(&truth.equal_weights()));
    // Pairs whose means are the same up to rounding are left out, and counted.
    let cdnv = metric("nc1_cdnv");
    if cdnv.value.is_some() && !cdnv.flags.contains(&"degenerate_pairs") {
        let pairs = truth.cdnv(1.0);
        see("nc1_cdnv", pairs.iter().sum::<f64>() / pairs.len() as f64);
    }
    // VCI leaves out directions in which rows vary by less than eight roundings of the stored type.
    let resolved = made.accuracy["quantisation_floor"] < 1.0 / 64.0;
    let vci = made.metric("nc1_vci").filter(|metric| metric.value.is_some());
    if vci.is_some_and(|vci| resolved && !vci.flags.contains(&"directions_dropped"))
        && let Some(expected) = truth.vci()
    {
        see("nc1_vci", expected);
    }
    worst
}

/// Classes and dimensions up to which the families beside neural collapse are looked at, with all rows for each class.
const FAMILIES: usize = 60;

/// The families beside neural collapse: right, or they say themselves that they may not be.
fn families_of(name: &str, truth: &Truth, found: &Statistics, chunks: &[Rows]) -> Vec<(&'static str, Verdict)> {
    let weights: Vec<f64> =
        (0..found.classes() * found.dim).map(|at| ((at * at * 7 + at) % 31) as f64 - 15.0).collect();
    let head = Head { weights, bias: None, errors: Vec::new() };
    let significand_bits = bits_of(chunks);
    let evidence = Evidence { head: Some(&head), ..Evidence::new(found, significand_bits) };
    let words = ["spectrum", "separation", "imbalance", "transfer"].map(ToString::to_string);
    let made = measure(&evidence, &Options::default(), &Selection::parse(&words).unwrap(), Extras::default()).unwrap();
    let (rows, classes) = raw_rows(chunks, truth);
    let expected: BTreeMap<_, _> = beside(truth, &truth.equal_weights(), &head, &rows, &classes).into_iter().collect();
    let verdicts = judge(&made, &expected);
    let wrong: Vec<_> = verdicts.iter().filter(|(_, verdict)| verdict.is_wrong()).collect();
    assert!(wrong.is_empty(), "{name}: {wrong:?}");
    verdicts
}

fn bits_of(chunks: &[Rows]) -> u32 {
    match chunks[0].values {
        Stored::F16(_) => 11,
        Stored::F32(_) => 24,
        Stored::F64(_) => 53,
    }
}

/// Sets on which every number is good without an excuse.
fn tight(recipe: &Recipe) {
    let errors = check(&recipe.name, &recipe.rows());
    let good = errors.dimensions < 2e-6 && errors.classes < 1e-6 && errors.metrics < 1e-6;
    assert!(good, "{}: {:e}, {:e}, {:e}", recipe.name, errors.dimensions, errors.classes, errors.metrics);
}

#[test]
fn collapse() {
    for bits in [16, 32, 64] {
        for exponent in 1..=6 {
            for sorted in [false, true] {
                let name = format!("f{bits}, collapsed to 1e-{exponent}, sorted {sorted}");
                tight(&Recipe { bits, sorted, ..Recipe::new(name, 24, 10_f64.powi(-exponent)) });
            }
        }
    }
}

/// Rows that the grid holds exactly leave nothing but the formulas: nine digits, and hardly a number without.
#[test]
fn families_of_rows_that_are_not_rounded() {
    for (classes, dim, means) in [(10, 24, Means::Spread), (40, 12, Means::Spread), (6, 110, Means::Near(0.3))] {
        let name = format!("{classes} classes, {dim} dimensions, exact");
        let recipe = Recipe { bits: 64, classes, means, sizes: Sizes::Zipf, ..Recipe::new(name.clone(), dim, 0.3) };
        let even = |rows: Rows| {
            let values = (0..rows.len()).flat_map(|i| rows.row(i)).map(|x| (x * 256.0).round() / 256.0);
            Rows { values: Stored::F64(values.collect()), ..rows }
        };
        let chunks: Vec<Rows> = Recipe { chunks: vec![700, 700], ..recipe }.rows().into_iter().map(even).collect();
        let (truth, found) = (Truth::of(&chunks), measured(&chunks));
        let verdicts = families_of(&name, &truth, &found, &chunks);
        let right = verdicts.iter().filter(|(key, verdict)| match verdict {
            Verdict::Right { error } => {
                assert!(*error < 1e-9, "{name}, {key}: {error:e}");
                true
            }
            _ => false,
        });
        let (right, all) = (right.count(), verdicts.len());
        println!("{name}: {right} of {all} {verdicts:?}");
        assert!(right + 4 >= all, "{name}: {verdicts:?}");
    }
}

#[test]
fn massive_dimensions() {
    for collapse in [1e-1, 1e-3, 1e-5] {
        let recipe = Recipe::new(format!("four dimensions times 1000, {collapse:e}"), 32, collapse);
        tight(&Recipe { factors: vec![1000.0; 4], ..recipe });
    }
}

#[test]
fn spectra() {
    for decay in [2.0, 4.0] {
        for rotated in [false, true] {
            let recipe = Recipe::new(format!("spectrum j^-{decay}, rotated {rotated}"), 512, 1.0);
            let recipe = Recipe { decay, rotated, chunks: vec![700, 700], ..recipe };
            // Rotated, the directions along which rows hardly vary, and VCI lives, share steps with all others.
            if rotated && decay > 2.0 {
                check(&recipe.name, &recipe.rows());
            } else {
                tight(&recipe);
            }
        }
    }
}

#[test]
fn zeros() {
    for threshold in [0.0, 1.0, 3.0] {
        let recipe = Recipe::new(format!("zeros below {threshold} sigma"), 32, 1.0);
        let rows = Recipe { noise: Noise::Relu(threshold), ..recipe }.rows();
        check(&format!("zeros below {threshold} sigma"), &rows);
    }
    let recipe = Recipe::new("one-hot rows", 40, 1.0);
    tight(&Recipe { noise: Noise::OneHot, ..recipe });
}

#[test]
fn heavy_tails() {
    for bits in [32, 64] {
        tight(&Recipe { noise: Noise::HeavyTails, bits, ..Recipe::new(format!("t3 tails, f{bits}"), 24, 1e-2) });
    }
}

#[test]
fn chunks_of_different_scale() {
    for bits in [32, 64] {
        for sorted in [false, true] {
            let recipe = Recipe::new(format!("chunks 1e4 apart, f{bits}, sorted {sorted}"), 16, 1e-2);
            tight(&Recipe { chunk_scales: vec![1.0, 1e4, 1e-4, 3.0], bits, sorted, ..recipe });
        }
    }
}

#[test]
fn classes_of_different_scale() {
    let recipe = Recipe::new("classes 1e4 tighter", 16, 1e-2);
    let errors = check("classes 1e4 tighter", &Recipe { class_scales: vec![1.0, 1e-4], ..recipe }.rows());
    assert!(errors.dimensions < 2e-6, "{:e}", errors.dimensions);
}

#[test]
fn many_classes_and_short_chunks() {
    let recipe = Recipe::new("", 16, 1e-2);
    for (name, classes, chunks) in [
        ("singletons among 900 classes", 900, vec![1500, 800]),
        ("a last chunk of one row", 5, vec![2000, 1]),
        ("a last chunk of two rows", 5, vec![2000, 2]),
        ("chunks of seven rows", 3, vec![7; 100]),
        ("no class twice in a chunk", 50, vec![8; 60]),
        ("rows one by one", 4, vec![1; 300]),
    ] {
        for bits in [16, 32, 64] {
            check(
                &format!("{name}, f{bits}"),
                &Recipe { classes, chunks: chunks.clone(), bits, ..recipe.clone() }.rows(),
            );
        }
    }
}

#[test]
fn many_dimensions() {
    tight(&Recipe { chunks: vec![150, 50], classes: 3, ..Recipe::new("4096 dimensions", 4096, 1e-1) });
}

/// Columns that are zero, constant, constant within classes, or hardly ever differ from zero.
#[test]
fn columns_that_hardly_vary() {
    let mut random = Random::new(11);
    let dim = 6;
    let chunks: Vec<Rows> = (0..3)
        .map(|chunk| {
            let labels: Vec<i64> = (0..500).map(|_| random.below(4) as i64).collect();
            let mut values = Vec::new();
            for (i, &label) in labels.iter().enumerate() {
                let rare = if i % 211 == chunk { random.normal() as f32 } else { 0.0 };
                let constant = [0.1_f32, 0.7, 1.3e-5, 40.4][label as usize];
                values.extend([random.normal() as f32, 0.0, 0.3, constant, rare, 1e-3 * random.normal() as f32]);
            }
            Rows::new(dim, Stored::F32(values), &labels)
        })
        .collect();
    check("columns that hardly vary", &chunks);
    let found = measured(&chunks);
    let scatter = found.scatter.unwrap();
    for j in 1..4 {
        assert_eq!(scatter[j * dim + j].to_bits(), 0, "column {j} does not vary within classes");
    }
}

/// Values at the ends of their types.
#[test]
fn extreme_magnitudes() {
    for (bits, scale) in [(32, 1e-42), (32, 1e-38), (32, 1e30), (64, 1e-100), (64, 1e90), (16, 1e-6), (16, 1e3)] {
        let recipe = Recipe::new(format!("f{bits} times {scale:e}"), 12, 1.0);
        tight(&Recipe { chunk_scales: vec![scale], bits, ..recipe });
    }
}
