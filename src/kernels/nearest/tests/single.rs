//! Single precision and radii against double precision and exact arithmetic.

use super::*;
use crate::kernels::nearest::int8::Int8;
use crate::kernels::nearest::radii::AT_LEAST;
use crate::kernels::nearest::single::{SingleRows, TileOffsets};

/// What rows choose among the candidates that single precision leaves, however few these candidates are. It is the same with
/// products in eight bits first.
fn by_single(candidates: &Candidates<'_>, rows: &[f64], second: bool) -> Option<Vec<Vec<Choice>>> {
    let mut single = Single::of_any(candidates)?;
    let places = if second { 2 } else { 1 };
    let chosen = |single: &Single| {
        let mut lists = Contenders::default();
        let done = candidates.bound_scores_single(single, rows, places, &mut TileScratch::default(), &mut lists);
        done.then(|| decided(candidates, rows, places, &lists))
    };
    single.int8 = None;
    let found = chosen(&single);
    single.int8 = Int8::of_any(single.vectors(), candidates.dim);
    assert_eq!(chosen(&single), found);
    found
}

/// What they choose among those that double precision leaves.
fn by_double(candidates: &Candidates<'_>, rows: &[f64], second: bool) -> Vec<Vec<Choice>> {
    let (mut lists, places) = (Contenders::default(), if second { 2 } else { 1 });
    candidates.bound_scores(rows, places, &mut TileScratch::default(), &mut lists);
    decided(candidates, rows, places, &lists)
}

fn decided(candidates: &Candidates<'_>, rows: &[f64], places: usize, lists: &Contenders) -> Vec<Vec<Choice>> {
    let rules = candidates.rules.len();
    let of_rule = |at: usize| {
        let each = rows.chunks(candidates.dim).enumerate();
        each.map(|(i, row)| candidates.decide(&candidates.rules[at], lists.list(i * rules + at), places, row).unwrap())
            .collect()
    };
    (0..rules).map(of_rule).collect()
}

/// Single precision chooses as double precision does, and both as exact arithmetic where vectors are exact.
fn same(candidates: &Candidates<'_>, rows: &[f64]) {
    for second in [false, true] {
        let double = by_double(candidates, rows, second);
        assert_eq!(by_single(candidates, rows, second).unwrap(), double);
        if candidates.errors.is_none() {
            for (rule, choices) in double.iter().enumerate() {
                for (choice, row) in choices.iter().zip(rows.chunks(candidates.dim)) {
                    assert_eq!(*choice, naive(candidates, rule, row, second));
                }
            }
        }
    }
}

/// Means of classes far from 0, in clusters of three of which two are `step` apart, and the third is the first again.
fn clusters(count: usize, dim: usize, step: f64, seed: u64) -> Vec<f64> {
    let (centres, noise) = (numbers(dim * count, seed), numbers(dim * count, seed ^ 7));
    (0..dim * count)
        .map(|at| {
            let (k, j) = (at / dim, at % dim);
            let moved = if k % 3 == 1 { step * noise[at] } else { 0.0 };
            centres[k / 3 * 3 * dim + j] + moved
        })
        .collect()
}

/// Rows at and between means: on the mean, near to it, in the middle of two, and anywhere.
fn rows_among(means: &[f64], origin: &[f64], seed: u64) -> (Vec<f64>, Vec<Option<usize>>) {
    let (dim, count) = (origin.len(), means.len() / origin.len());
    let noise = numbers(4 * means.len(), seed);
    let (mut rows, mut classes) = (Vec::new(), Vec::new());
    for k in 0..count {
        let other = (k + 1 + (seed % 5) as usize) % count;
        for (kind, far) in [0.0, 1e-3, 0.3, 0.0].into_iter().enumerate() {
            let at = |j: usize| {
                let mean = means[k * dim + j];
                let middle = if kind == 3 { 0.5 * (means[other * dim + j] - mean) } else { 0.0 };
                origin[j] + (mean + middle + far * noise[(4 * k + kind) * dim + j])
            };
            rows.extend((0..dim).map(at));
            classes.push((kind != 2 || k % 2 == 0).then_some(k));
        }
    }
    (rows, classes)
}

/// The choices of rows of known classes are those without that knowledge, with radii from products in eight bits and without.
/// Returns how many rows needed no product.
fn same_with_classes(candidates: &Candidates<'_>, rows: &[f64], classes: &[Option<usize>]) -> usize {
    if let Some(mut single) = Single::of_any(candidates).filter(|_| candidates.single.get().is_none()) {
        // Every second time, by the numbers themselves.
        let in_eight_bits = rows.first().is_some_and(|x| x.to_bits() % 2 == 0);
        single.int8 = if in_eight_bits { Int8::of_any(single.vectors(), candidates.dim) } else { None };
        candidates.single.set(Some(single)).unwrap();
    }
    candidates.prepare(classes);
    let found = candidates.choose_of(rows, classes, false, &mut Workspace::default()).unwrap();
    assert_eq!(found, by_double(candidates, rows, false));
    let certain = candidates.certain(rows, classes);
    for (i, class) in certain.iter().enumerate().filter_map(|(i, class)| Some((i, (*class)?))) {
        assert_eq!(Some(class as usize), classes[i]);
        for (choices, rule) in found.iter().zip(&candidates.rules) {
            assert_eq!((choices[i].best, choices[i].tied), (class, rule.seconds.contains_key(&class)));
        }
    }
    certain.iter().flatten().count()
}

#[test]
fn single_precision_leaves_every_candidate_that_double_precision_leaves() {
    for (dim, count, step) in [(3, 90, 1e-9), (16, 300, 1e-4), (5, 70, 0.0), (40, 1100, 1e-14)] {
        let means = clusters(count, dim, step, dim as u64);
        let origin: Vec<f64> = numbers(dim, 9).iter().map(|x| 1000.0 * x).collect();
        let (rows, _) = rows_among(&means, &origin, 5);
        let rows = &rows[..rows.len().min(60 * dim)];
        let nearest = || Candidates::new(dim, &means, Some(&origin), &[Offsets::HalfSquares]);
        same(&nearest(), rows);
        same(&nearest().near(Anchors::new(&origin, &means, vec![9.0; count])), rows);
        same(&nearest().off_by(vec![1e-9; count]), rows);
        let bias = numbers(count, 4);
        let rules = [Offsets::Given(&bias), Offsets::None];
        same(&Candidates::new(dim, &means, None, &rules), rows);
        same(&Candidates::new(dim, &means, None, &rules).near(Anchors::new(&origin, &means, vec![9.0; count])), rows);
    }
}

#[test]
fn far_away_the_errors_of_means_make_ties_in_single_precision_too() {
    // No two means are near to each other, so that a tie is one between rows alone.
    let (dim, count) = (3, 90);
    let means = numbers(dim * count, 21);
    let rows: Vec<f64> = numbers(dim * 200, 22).iter().map(|x| 300.0 * x).collect();
    let ties = |errors: f64| {
        let nearest =
            Candidates::new(dim, &means, Some(&[0.0; 3]), &[Offsets::HalfSquares]).off_by(vec![errors; count]);
        same(&nearest, &rows);
        by_double(&nearest, &rows, false)[0].iter().filter(|choice| choice.tied).count()
    };
    assert_eq!(ties(1e-9), 0);
    assert!((10..190).contains(&ties(1e-3)));
}

#[test]
fn bounds_hold_where_roundings_add_up() {
    // Once a sum is above 64, what each product has beyond 1 is less than half a unit of its last place, and lost.
    let (dim, count) = (3000, 70);
    let x = 1.0 + 31.0 / 8_388_608.0;
    let vectors: Vec<f64> = (0..dim * count).map(|at| if (at / dim) % 2 == 0 { x } else { -x }).collect();
    let bias = numbers(count, 2);
    let candidates = Candidates::new(dim, &vectors, None, &[Offsets::Given(&bias)]);
    let single = Single::of_any(&candidates).unwrap();
    let row = vec![1.0; dim];
    let (mut rows, mut offsets, mut products) = (SingleRows::default(), TileOffsets::default(), Vec::new());
    assert!(single.narrow(&candidates, &row, &mut rows));
    single.offsets((0, &candidates.rules[0]), 0..count, rows.scale, &mut offsets);
    single.products(&rows.values, &(0..count), &mut products);
    let scale = rows.scale * single.scale();
    for k in (0..count).filter(|&k| candidates.rules[0].alike[k] as usize == k) {
        let exact = dot(&row, &vectors[k * dim..][..dim]) + bias[k];
        let off = (f64::from(products[k]) + f64::from(offsets.offsets[k])) / scale - exact;
        let bound = (rows.slopes[0] * single.vector(k).1 + offsets.slack[k]) / scale;
        assert!(off.abs() <= bound, "{k}: {off} {bound}");
    }
    same(&candidates, &row);
}

#[test]
fn numbers_beyond_single_precision_are_decided_all_the_same() {
    let vectors = clusters(66, 4, 1e-3, 3);
    for (vector_scale, row_scale) in [(1e-100, 1e90), (1e100, 1e100), (1e-30, 1e-60), (1e-200, 1.0), (1.0, 1e250)] {
        let scaled: Vec<f64> = vectors.iter().map(|x| x * vector_scale).collect();
        let rows: Vec<f64> = numbers(4 * 30, 6).iter().map(|x| x * row_scale).collect();
        // An offset that no product comes near to, and one that is lost beside them.
        for offset in [1e300, 1e-300] {
            let mut bias = vec![0.0; 66];
            bias[5] = offset;
            let candidates = Candidates::new(4, &scaled, None, &[Offsets::Given(&bias), Offsets::HalfSquares]);
            agree(&candidates, &rows);
            if let Some(found) = by_single(&candidates, &rows, false) {
                assert_eq!(found, by_double(&candidates, &rows, false));
            }
        }
    }
    // One row of a tile is far larger than the others.
    let mut rows = numbers(4 * 30, 6);
    rows[3] = 1e200;
    agree(&Candidates::new(4, &vectors, None, &[Offsets::None]), &rows);
    rows[3] = 1e60;
    same(&Candidates::new(4, &vectors, None, &[Offsets::None]), &rows);
}

#[test]
fn rows_near_to_their_mean_need_no_product_and_choose_the_same() {
    for (dim, count, step, errors) in
        [(24, 99, 0.5, 0.0), (24, 99, 1e-3, 1e-9), (8, 1200, 1e-12, 1e-9), (24, 99, 0.0, 1e-15), (3, 300, 0.1, 0.05)]
    {
        let means = clusters(count, dim, step, 11 + dim as u64);
        let origin: Vec<f64> = numbers(dim, 9).iter().map(|x| 100.0 * x).collect();
        let (rows, classes) = rows_among(&means, &origin, 3);
        let anchors = || Anchors::new(&origin, &means, vec![9.0; count]);
        let nearest = Candidates::new(dim, &means, Some(&origin), &[Offsets::HalfSquares]).near(anchors());
        let certain = same_with_classes(&nearest, &rows, &classes);
        assert!(step < 0.1 || certain > count, "{certain} of {count}");
        let blurred = Candidates::new(dim, &means, Some(&origin), &[Offsets::HalfSquares]).off_by(vec![errors; count]);
        same_with_classes(&blurred.near(anchors()), &rows, &classes);
        // A classifier that points at the means, from the mean of all.
        let weights: Vec<f64> = means.iter().map(|x| 2.0 * x).collect();
        let bias: Vec<f64> = means
            .chunks(dim)
            .map(|mean| -mean.iter().zip(&origin).map(|(m, origin)| m * m + 2.0 * m * origin).sum::<f64>())
            .collect();
        let rules = [Offsets::Given(&bias), Offsets::None];
        same_with_classes(&Candidates::new(dim, &weights, None, &rules[..1]).near(anchors()), &rows, &classes);
        same_with_classes(&Candidates::new(dim, &weights, None, &rules).near(anchors()), &rows, &classes);
    }
}

#[test]
fn a_radius_ends_before_the_middle_of_two_means() {
    // Means on a line, 1 apart: the radius of each is a half, less what single precision may be off.
    let (count, dim) = (80, 1);
    let means: Vec<f64> = (0..count).map(f64::from).collect();
    let origin = [3.0];
    let anchors = Anchors::new(&origin, &means, vec![5.0; count as usize]);
    let nearest = Candidates::new(dim, &means, Some(&origin), &[Offsets::HalfSquares]).near(anchors);
    let classes: Vec<Option<usize>> = (0..count as usize).map(Some).collect();
    let rows = |far: f64| means.iter().map(|mean| 3.0 + mean + far).collect::<Vec<f64>>();
    nearest.prepare(&classes);
    assert!(nearest.certain(&rows(0.49), &classes).iter().all(Option::is_some));
    for far in [0.5, 0.5 - 1e-15, 0.500_001] {
        assert!(nearest.certain(&rows(far), &classes).iter().all(Option::is_none), "{far}");
        same_with_classes(&nearest, &rows(far), &classes);
    }
    // Rows that carry the wrong class lie outside its radius.
    let wrong: Vec<Option<usize>> = (0..count as usize).map(|k| Some((k + 7) % count as usize)).collect();
    assert_eq!(same_with_classes(&nearest, &rows(0.1), &wrong), 0);
}

#[test]
fn distances_are_learnt_where_bounds_on_them_spare_too_few_rows() {
    // Means at the corners of a simplex, 10 √2 apart: a row may lie 5 √2 from its own. With the distance of two weights bounded
    // by their lengths, some 10 each, that is 5.
    let (count, dim) = (80, 80);
    let means: Vec<f64> = (0..count * dim).map(|at| if at % (dim + 1) == 0 { 10.0 } else { 0.0 }).collect();
    let (origin, bias) = (vec![0.0; dim], vec![-50.0; count]);
    let anchors = Anchors::new(&origin, &means, vec![50.0; count]);
    let candidates = Candidates::new(dim, &means, None, &[Offsets::Given(&bias)]).near(anchors);
    let classes: Vec<Option<usize>> = (0..count).map(Some).collect();
    let rows = |far: f64| {
        let towards = |at: usize| (means[(at + dim) % (count * dim)] - means[at]) / 200_f64.sqrt();
        (0..count * dim).map(|at| means[at] + far * towards(at)).collect::<Vec<f64>>()
    };
    let held = |far: f64| candidates.certain(&rows(far), &classes).iter().flatten().count();
    candidates.prepare(&classes);
    assert_eq!((held(4.9), held(6.9)), (count, 0));
    for _ in 0..30 {
        candidates.certain(&rows(6.9), &classes);
    }
    candidates.prepare(&classes);
    assert_eq!((held(6.9), held(7.08)), (count, 0));
    assert_eq!(same_with_classes(&candidates, &rows(6.9), &classes), count);
}

#[test]
fn radii_are_as_large_from_products_in_eight_bits() {
    for (dim, count, step) in [(64, 300, 0.5), (64, 1500, 0.01), (200, 90, 1.0), (16, 1100, 0.0)] {
        let means = clusters(count, dim, step, 3);
        let (origin, bias) = (numbers(dim, 9), numbers(count, 4));
        let classes: Vec<Option<usize>> = (0..count).map(Some).collect();
        let radii = |in_eight_bits: bool, nearest: bool, thorough: bool| {
            let anchors = Anchors::new(&origin, &means, vec![9.0; count]);
            anchors.knows_distances.store(thorough, std::sync::atomic::Ordering::Relaxed);
            let candidates = if nearest {
                Candidates::new(dim, &means, Some(&origin), &[Offsets::HalfSquares])
            } else {
                Candidates::new(dim, &means, None, &[Offsets::Given(&bias), Offsets::None])
            };
            let candidates = candidates.near(anchors);
            let mut single = Single::of_any(&candidates).unwrap();
            single.int8 = in_eight_bits.then(|| Int8::of_any(single.vectors(), dim).unwrap());
            candidates.single.set(Some(single)).unwrap();
            candidates.prepare(&classes);
            candidates.anchors.unwrap().made()
        };
        for (nearest, thorough) in [(true, false), (false, false), (false, true)] {
            let (coarse, fine) = (radii(true, nearest, thorough), radii(false, nearest, thorough));
            assert!(fine.iter().any(|&radius| radius > 0.0) || step == 0.0);
            for (coarse, fine) in coarse.iter().zip(&fine) {
                // Roundings in single precision differ.
                assert!((coarse - fine).abs() <= 0.02 * fine, "{nearest} {thorough}: {coarse} {fine}");
            }
        }
    }
}

#[test]
fn radii_are_made_only_where_they_pay() {
    let (dim, count) = (6, 120);
    let means = clusters(count, dim, 0.5, 1);
    let origin = vec![0.0; dim];
    let classes: Vec<Option<usize>> = (0..count).map(Some).collect();
    let near = |rows: f64| {
        let anchors = Anchors::new(&origin, &means, vec![rows; count]);
        Candidates::new(dim, &means, Some(&origin), &[Offsets::HalfSquares]).near(anchors)
    };
    let made = |candidates: &Candidates<'_>| candidates.certain(&means, &classes).iter().flatten().count();
    let (once, often) = (near(1.0), near(3.0));
    once.prepare(&classes);
    often.prepare(&classes[..AT_LEAST - 1]);
    assert_eq!((made(&once), made(&often)), (0, 0));
    often.prepare(&classes[..60]);
    assert!((20..60).contains(&made(&often)));
    // Many rows have come, and hardly any of them was near.
    let far: Vec<f64> = means.iter().map(|x| x + 100.0).collect();
    for _ in 0..100 {
        often.certain(&far, &classes);
    }
    let before = made(&often);
    often.prepare(&classes);
    assert_eq!(made(&often), before);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    /// Near-ties as in double precision, however near.
    #[test]
    fn near_ties_in_single_precision(seed: u64, dim in 1_usize..40, count in 1_usize..12, scale in 0_i32..54) {
        let centre = numbers(dim, seed);
        let noise = numbers(dim * count, seed ^ 1);
        let step = 2f64.powi(-scale);
        let vectors: Vec<f64> =
            noise.iter().enumerate().map(|(at, e)| centre[at % dim] + (4.0 * e).round() * step).collect();
        let rows: Vec<f64> =
            numbers(dim * 30, seed ^ 2).iter().enumerate().map(|(at, e)| centre[at % dim] + e * step).collect();
        let bias: Vec<f64> = vectors.iter().step_by(dim).map(|v| -v).collect();
        let origin = if seed % 2 == 0 { vec![0.0; dim] } else { centre.clone() };
        same(&Candidates::new(dim, &vectors, Some(&origin), &[Offsets::HalfSquares]), &rows);
        let anchors = Anchors::new(&origin, &vectors, vec![1.0; count]);
        same(&Candidates::new(dim, &vectors, None, &[Offsets::Given(&bias), Offsets::None]).near(anchors), &rows);
    }

    /// Radii never speak for a row that another candidate could have.
    #[test]
    fn near_ties_within_radii(seed: u64, dim in 1_usize..20, scale in 0_i32..40, blur in 0_i32..60) {
        let count = 64 + (seed % 20) as usize;
        let means = clusters(count, dim, 2f64.powi(-scale), seed);
        let origin = numbers(dim, seed ^ 3);
        let (rows, classes) = rows_among(&means, &origin, seed);
        let errors = vec![2f64.powi(-blur - 4); count];
        let anchors = || Anchors::new(&origin, &means, vec![4.0; count]);
        let nearest = || Candidates::new(dim, &means, Some(&origin), &[Offsets::HalfSquares]);
        same_with_classes(&nearest().near(anchors()), &rows, &classes);
        same_with_classes(&nearest().off_by(errors).near(anchors()), &rows, &classes);
        let bias = numbers(count, seed ^ 8);
        let rules = [Offsets::Given(&bias), Offsets::None];
        let chosen = || Candidates::new(dim, &means, None, &rules);
        same_with_classes(&chosen().near(anchors()), &rows, &classes);
        let knowing = anchors();
        knowing.knows_distances.store(true, std::sync::atomic::Ordering::Relaxed);
        same_with_classes(&chosen().near(knowing), &rows, &classes);
    }
}
