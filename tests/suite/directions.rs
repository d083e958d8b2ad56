//! Which directions and pairs of classes NC1 and its relatives count, and what they say of those that they leave out.

use half::f16;
use nckit::kernels::Workspace;
use nckit::metrics::{Evidence, Extras, Measured, Measurements, Options, Selection, measure};
use nckit::state::{Role, SecondPass, SecondPassSpec, SecondPassState};

use crate::definition::Truth;
use crate::oracle::measured;
use crate::rows::{Random, Rows, Stored};
use crate::stress::{Means, Recipe};

fn made(chunks: &[Rows]) -> Measurements {
    let statistics = measured(chunks);
    let evidence = Evidence {
        statistics: &statistics,
        significand_bits: bits_of(chunks),
        head: None,
        findings: None,
        ood_mean: None,
        dropped_classes: 0,
        normalized: false,
    };
    let keys = ["nc1", "gnc2", "hug_inter"].map(ToString::to_string);
    measure(&evidence, &Options::default(), &Selection::parse(&keys).unwrap(), Extras::default()).unwrap()
}

fn bits_of(chunks: &[Rows]) -> u32 {
    match chunks[0].values {
        Stored::F16(_) => 11,
        Stored::F32(_) => 24,
        Stored::F64(_) => 53,
    }
}

fn number(made: &Measurements, key: &str) -> f64 {
    let metric = metric(made, key);
    metric.value.unwrap_or_else(|| panic!("{key}: {:?}", metric.reason))
}

fn metric<'a>(made: &'a Measurements, key: &str) -> &'a Measured {
    made.metric(key).unwrap()
}

fn flags(made: &Measurements, key: &str) -> Vec<&'static str> {
    metric(made, key).flags.clone()
}

/// Directions that VCI left out, and those that it kept.
fn dropped_and_rank(made: &Measurements) -> (u64, u64) {
    let counts = &metric(made, "nc1_vci").counts;
    let count = |what: &str| counts.iter().find(|(name, _)| *name == what).map_or(0, |(_, count)| *count);
    (count("directions_dropped"), count("rank"))
}

/// Fails unless the number is within 1e-6 of the truth, or six times its estimate.
#[track_caller]
fn close(name: &str, made: &Measurements, key: &str, truth: f64) {
    let (found, estimate) = (number(made, key), made.accuracy.get(key).copied().unwrap_or(0.0));
    let error = (found / truth - 1.0).abs();
    println!("{name}, {key}: {found} for {truth}, error {error:.1e}, estimate {estimate:.1e}, {:?}", flags(made, key));
    assert!(error <= f64::max(1e-6, 6.0 * estimate), "{name}, {key}: {found} for {truth}, estimate {estimate:e}");
}

/// The rows with only the first dimensions.
fn first_dimensions(chunks: &[Rows], dim: usize) -> Vec<Rows> {
    let of_chunk = |rows: &Rows| {
        let values = (0..rows.len()).flat_map(|i| rows.row(i)[..dim].to_vec()).collect();
        Rows { dim, values: Stored::F64(values), ..rows.clone() }
    };
    chunks.iter().map(of_chunk).collect()
}

/// Rows at 8, in steps of 2^-7: rounding is seen in rows, hardly in means, and hides no direction.
#[test]
fn coarse_rows_about_an_offset() {
    let (classes, dim, count) = (200, 64, 8000);
    for spread in [0.05, 0.01] {
        let mut random = Random::new(3);
        let mut normal = |scale: f64| scale * random.normal();
        let means: Vec<f64> = (0..classes * dim).map(|_| normal(0.5 * spread)).collect();
        let labels: Vec<i64> = (0..count).map(|row| row % classes as i64).collect();
        let value = |(row, j): (usize, usize)| 8.0 + means[labels[row] as usize * dim + j];
        let values = (0..count as usize * dim).map(|at| f16::from_f64(value((at / dim, at % dim)) + normal(spread)));
        let chunks = [Rows::new(dim, Stored::F16(values.collect()), &labels)];
        let (made, truth) = (made(&chunks), Truth::of(&chunks));
        for key in ["nc1_pinv", "nc1_vci"] {
            assert!(!flags(&made, key).contains(&"directions_dropped"), "{key}");
        }
        close("f16 at 8", &made, "nc1_pinv", truth.nc1(&truth.equal_weights()));
        close("f16 at 8", &made, "nc1_vci", truth.vci().unwrap());
    }
}

/// Classes whose means differ by less than the stored type's rounding says so instead of a wrong number.
#[test]
fn what_rounding_hides_is_counted() {
    let (classes, dim, count) = (40, 8, 400);
    let mut random = Random::new(5);
    let labels: Vec<i64> = (0..count).map(|row| row % classes).collect();
    let mut value = |j: usize, label: i64| match j {
        7 => 8.0 + f64::from(u8::from(random.chance(30))) * 2_f64.powi(-7),
        _ => 8.0 + (label as f64 * (j + 1) as f64).sin() + 0.3 * random.normal(),
    };
    let values = (0..count as usize * dim).map(|at| f16::from_f64(value(at % dim, labels[at / dim])));
    let chunks = [Rows::new(dim, Stored::F16(values.collect()), &labels)];
    let made = made(&chunks);
    assert_eq!(flags(&made, "nc1_pinv"), ["directions_dropped", "pinv_tolerance_sensitive"]);
    assert_eq!(flags(&made, "nc1_vci"), ["directions_dropped", "rank_lowered"]);
    assert!(flags(&made, "nc1_svd").contains(&"directions_dropped"));
    // Means do not differ in the eighth dimension; rows within classes do.
    for (key, full_rank) in [("nc1_pinv", 7), ("nc1_vci", 8)] {
        let expected = [("directions_dropped", 1), ("rank", 7), ("full_rank", full_rank)];
        assert_eq!(metric(&made, key).counts, expected, "{key}");
    }
}

#[test]
fn steep_spectra_within_classes() {
    for bits in [32, 64] {
        for decay in [1.0, 2.5, 5.0, 8.0] {
            for (rotated, collapse) in [(false, 1.0), (true, 1.0), (true, 1e-2)] {
                let name = format!("j^-{decay}, f{bits}, rotated {rotated}, {collapse:e}");
                let recipe = Recipe { decay, rotated, bits, classes: 30, ..Recipe::new(name, 48, collapse) };
                let chunks = Recipe { chunks: vec![1500; 2], ..recipe.clone() }.rows();
                let (made, truth) = (made(&chunks), Truth::of(&chunks));
                if flags(&made, "nc1_vci").contains(&"directions_dropped") {
                    println!("{}: {:?} {:?}", recipe.name, number(&made, "nc1_vci"), truth.vci());
                } else {
                    close(&recipe.name, &made, "nc1_vci", truth.vci().unwrap());
                }
            }
        }
    }
}

/// Layer normalisation leaves one direction without variation, which rounding to the stored type fills.
#[test]
fn layer_normalisation_costs_one_direction() {
    let dim = 24;
    for bits in [16, 32] {
        for affine in [false, true] {
            for collapse in [1.0, 1e-1, 1e-3] {
                // Below the steps of f16, in which all rows of a class are one.
                if bits == 16 && collapse < 1e-2 {
                    continue;
                }
                for classes in [12, 60] {
                    let name = format!("layer norm, f{bits}, affine {affine}, {collapse}, {classes} classes");
                    let recipe = Recipe { layer_norm: true, bits, classes, ..Recipe::new(name, dim, collapse) };
                    let exact = Recipe { bits: 64, ..recipe.clone() }.rows();
                    let factor = |j: usize| if affine { 0.5 + (j as f64 * 0.7).sin().abs() } else { 1.0 };
                    let shift = |j: usize| if affine { (j as f64).cos() } else { 0.0 };
                    let change = |rows: &Rows| {
                        let row =
                            |i| rows.row(i).into_iter().enumerate().map(|(j, x)| x * factor(j) + shift(j)).collect();
                        let values = (0..rows.len()).flat_map(|i| -> Vec<f64> { row(i) }).collect();
                        Rows { values: recipe.stored(values), ..rows.clone() }
                    };
                    let chunks: Vec<Rows> = exact.iter().map(change).collect();
                    let fewer = Truth::of(&first_dimensions(&chunks, dim - 1));
                    let (made, truth) = (made(&chunks), fewer.vci().unwrap());
                    let rank = (classes - 1).min(dim - 1) as u64;
                    assert_eq!(dropped_and_rank(&made), (1, rank), "{}", recipe.name);
                    let vci = number(&made, "nc1_vci");
                    println!("{}: {:e}", recipe.name, (vci / truth - 1.0).abs());
                    assert!(flags(&made, "nc1_vci").contains(&"directions_dropped"));
                    let limit = if bits == 16 { 1e-2 } else { 1e-6 / collapse };
                    assert!((vci / truth - 1.0).abs() < limit, "{}: {vci} for {truth}", recipe.name);
                }
            }
        }
    }
}

#[test]
fn rows_of_rank_40_in_128_dimensions() {
    let recipe = Recipe { rank: 40, bits: 64, classes: 60, ..Recipe::new("rank 40 of 128", 128, 1.0) };
    let truth = Truth::of(&first_dimensions(&recipe.rows(), 40)).vci().unwrap();
    for bits in [32, 64] {
        let chunks = Recipe { rotated: true, bits, ..recipe.clone() }.rows();
        let made = made(&chunks);
        let vci = number(&made, "nc1_vci");
        println!("{bits}: {vci} for {truth}, {:e}", (vci / truth - 1.0).abs());
        assert_eq!(dropped_and_rank(&made), (88, 40));
        assert!((vci / truth - 1.0).abs() < 1e-6);
    }
}

/// A column that is constant within classes, in chunks that round it differently: what varies is rounding alone.
#[test]
fn rounding_is_no_variation_within_classes() {
    let mut random = Random::new(9);
    let mut chunk = |classes: usize| {
        let labels: Vec<i64> = (0..300).map(|row| (row % classes) as i64).collect();
        let constants = [0.1_f32, 0.7, 0.33, 1000.1];
        let row = |&label: &i64| [random.normal() as f32, random.normal() as f32, constants[label as usize]];
        let values = labels.iter().flat_map(row).collect();
        Rows::new(3, Stored::F32(values), &labels)
    };
    let chunks = [chunk(3), chunk(4)];
    let statistics = measured(&chunks);
    assert!(statistics.scatter.as_ref().unwrap()[8] > 0.0, "rounding made no difference");
    assert_eq!(metric(&made(&chunks), "nc1_vci").reason, Some("within_singular"));
}

/// The same rows under two labels, in chunks of different grids.
#[test]
fn twins_are_no_pair() {
    for (bits, scale) in [(32, 1e4), (32, 1e-4), (64, 1e4), (64, 3.0)] {
        let name = format!("twins, f{bits}, {scale}");
        let recipe =
            Recipe { twins: true, sorted: true, bits, chunk_scales: vec![1.0, scale], ..Recipe::new(name, 16, 0.3) };
        let chunks = recipe.rows();
        let (made, truth) = (made(&chunks), Truth::of(&chunks));
        let mut pairs = truth.cdnv(1.0);
        pairs.retain(|v| v.is_finite());
        close(&recipe.name, &made, "nc1_cdnv", pairs.iter().sum::<f64>() / pairs.len() as f64);
        for key in
            ["nc1_cdnv", "nc1_cdnv_q50", "gnc2_log_energy_mean", "gnc2_riesz_mean", "gnc2_min_distance", "hug_inter"]
        {
            let metric = metric(&made, key);
            assert!(metric.flags.contains(&"degenerate_pairs"), "{}, {key}", recipe.name);
            assert_eq!(metric.counts, [("degenerate_pairs", 1)], "{}, {key}", recipe.name);
        }
        // The pair is not among the directions either.
        assert_eq!(dropped_and_rank(&made).1, 9, "{}", recipe.name);
        assert!(flags(&made, "nc1_vci").contains(&"rank_lowered"));
    }
}

/// Means that differ by no more than rounding left in them are one mean, for pairs, lines and directions alike.
#[test]
fn means_within_their_noise_are_one() {
    let rows = Rows::new(2, Stored::F64(vec![1.0, 2.0, 3.0, 5.0, 1.0, 2.0, 3.0, 5.0]), &[0, 0, 1, 1]);
    let mut statistics = measured(std::slice::from_ref(&rows));
    statistics.offsets[0] += 1e-7;
    for (noise, equal) in [(1e-14, true), (1e-20, false)] {
        statistics.mean_rounding = vec![noise; 2];
        let keys = ["nc1_cdnv", "nc1_pinv", "nc1_vci", "nc2_etf_error", "gnc2_distance_mean"].map(ToString::to_string);
        let evidence = Evidence {
            statistics: &statistics,
            significand_bits: 53,
            head: None,
            findings: None,
            ood_mean: None,
            dropped_classes: 0,
            normalized: false,
        };
        let selection = Selection::parse(&keys).unwrap();
        let made = measure(&evidence, &Options::default(), &selection, Extras::default()).unwrap();
        let reasons: Vec<_> = made.metrics.iter().map(|metric| (metric.key, metric.reason)).collect();
        assert!(reasons.iter().all(|(key, reason)| *key == "nc1_vci" || reason.is_some() == equal), "{reasons:?}");
        let questions = SecondPassSpec {
            statistics: &statistics,
            head: None,
            use_bias: true,
            decisions: false,
            directional: Some(2),
            hug_intra: false,
            projection: None,
            mahalanobis: None,
            expected_rows: 0,
            max_logit: false,
        };
        let pass = SecondPass::new(&questions).unwrap();
        let mut seen = SecondPassState::default();
        pass.update(Role::TrainAndEval, &rows.batch(), None, &mut seen, None, &mut Workspace::default()).unwrap();
        assert_eq!(pass.finish(&seen).unwrap().directional.is_none(), equal);
    }
}

/// Means 1e-3 to 1e-6 apart: right, or as wrong as they say.
#[test]
fn near_means_say_how_near() {
    for exponent in 1..=6 {
        for bits in [32, 64] {
            let name = format!("means 1e-{exponent} apart, f{bits}");
            let recipe = Recipe { means: Means::Near(10_f64.powi(-exponent)), bits, ..Recipe::new(name, 16, 1e-3) };
            let chunks = Recipe { chunk_scales: vec![1.0, 0.1], ..recipe.clone() }.rows();
            let (made, truth) = (made(&chunks), Truth::of(&chunks));
            let pairs = truth.cdnv(1.0);
            if !flags(&made, "nc1_cdnv").contains(&"degenerate_pairs") {
                close(&recipe.name, &made, "nc1_cdnv", pairs.iter().sum::<f64>() / pairs.len() as f64);
                let logs = pairs.iter().map(|v| v.log10()).sum::<f64>() / pairs.len() as f64;
                close(&recipe.name, &made, "nc1_cdnv_log10_mean", logs);
                close(&recipe.name, &made, "nc1_cdnv_max", pairs.iter().copied().fold(0.0, f64::max));
            }
            close(&recipe.name, &made, "nc1_trace_ratio", truth.trace_ratio(&truth.equal_weights()));
            close(&recipe.name, &made, "nc1_within_fraction", truth.within_fraction(&truth.equal_weights()));
        }
    }
}

/// All hot values are rounded by the same, which no average takes away.
#[test]
fn rows_that_are_rounded_alike() {
    let (dim, count) = (8, 4000);
    let mut random = Random::new(11);
    let labels: Vec<i64> = (0..count).map(|row| row % 4).collect();
    let mut values = vec![0.0; count as usize * dim];
    for (row, label) in labels.iter().enumerate() {
        values[row * dim + (*label as usize + random.below(3)) % dim] = 0.13;
    }
    let chunks = [Rows::new(dim, Stored::F64(values), &labels)];
    let (made, truth) = (made(&chunks), Truth::of(&chunks));
    let within = truth.nc1(&truth.equal_weights());
    let error = (number(&made, "nc1_pinv") / within - 1.0).abs();
    assert!(error > 1e-6, "the case is one: {error:e}");
    close("one-hot", &made, "nc1_pinv", within);
}
