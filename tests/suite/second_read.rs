//! Decisions, directional variances, distances on the sphere and NECO scores, against definitions and a fixture, and
//! their independence of order, batches and threads.

use nckit::batch::Label;
use nckit::kernels::{Projection, Workspace};
use nckit::state::{
    ClassSums, Decision, DecisionCounts, Head, Merge, Role, SecondPass, SecondPassResult, SecondPassSpec,
    SecondPassState, Shifts, Statistics, Verdict,
};
use proptest::prelude::*;

use crate::rows::{Random, Rows, Stored, chunks};

/// METRICS section 6: rows in class order, `t` the running row.
fn fixture() -> (Rows, Head) {
    let base = [[5, -1, 0], [1, 3, 0], [1, -1, 4], [1, -1, 2]];
    let labels: Vec<i64> = (0..4).flat_map(|k| vec![k; 3 + k as usize]).collect();
    let value = |t: usize, j: usize| {
        let k = labels[t] as usize;
        f64::from(base[k][j]) + (((t * (j + 2) + k * k + j) % 7) as f64 - 3.0) / 8.0
    };
    let values = (0..labels.len() * 3).map(|at| value(at / 3, at % 3)).collect();
    let weights = vec![2.0, -1.0, 0.0, -1.0, 2.0, 0.5, 0.0, -0.5, 2.0, -1.0, -0.5, -2.5];
    let head = Head { weights, bias: Some(vec![0.5, -0.25, 0.0, 0.25]), errors: Vec::new() };
    (Rows::new(3, Stored::F64(values), &labels), head)
}

fn statistics(rows: &Rows) -> Statistics {
    rows.state::<ClassSums>(&Shifts::default()).statistics().unwrap()
}

/// Of all chunks; `None` where chunks differ so much in scale that the exact sums refuse them.
fn statistics_if_in_range(chunks: &[Rows]) -> Option<Statistics> {
    let shifts = Shifts::default();
    let mut all = ClassSums::identity();
    chunks.iter().try_for_each(|rows| all.merge(&rows.state(&shifts))).ok()?;
    all.statistics().ok()
}

fn spec<'a>(statistics: &'a Statistics, head: Option<&'a Head>) -> SecondPassSpec<'a> {
    SecondPassSpec {
        statistics,
        head,
        use_bias: true,
        decisions: true,
        directional: Some(1),
        hug_intra: head.is_some(),
        projection: None,
        mahalanobis: None,
        expected_rows: 0,
        max_logit: false,
    }
}

fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() <= 1e-13 * expected.abs(), "{found} is not {expected}");
}

/// What a pass finds in rows that are the group's own, decided, and, taken in half, out of distribution.
fn look(spec: &SecondPassSpec<'_>, chunks: &[Rows]) -> (SecondPassResult, Vec<Verdict>) {
    let pass = SecondPass::new(spec).unwrap();
    let (mut seen, mut verdicts) = (SecondPassState::default(), Vec::new());
    for rows in chunks {
        pass.update(Role::TrainAndEval, &rows.batch(), None, &mut seen, Some(&mut verdicts), &mut Workspace::default())
            .unwrap();
        pass.update(Role::Ood, &rows.batch(), Some(&every_other(rows)), &mut seen, None, &mut Workspace::default())
            .unwrap();
    }
    (pass.finish(&seen).unwrap(), verdicts)
}

fn every_other(rows: &Rows) -> Vec<u32> {
    (0..rows.len() as u32).step_by(2).collect()
}

#[test]
fn the_fixture() {
    let (rows, head) = fixture();
    let statistics = statistics(&rows);
    let (findings, verdicts) = look(&spec(&statistics, Some(&head)), std::slice::from_ref(&rows));
    let decisions = findings.decisions.unwrap();
    let sum = |part: fn(&DecisionCounts) -> u64| decisions.tallies.iter().map(part).sum::<u64>();
    let agreements: Vec<u64> = decisions.tallies.iter().map(|tally| tally.agreements_no_bias).collect();
    assert_eq!(agreements, [3, 4, 5, 0]);
    assert_eq!(sum(|tally| tally.agreements), 12);
    assert_eq!((sum(|tally| tally.rows), sum(|tally| tally.ncc_right)), (18, 18));
    assert_eq!((sum(|tally| tally.classifier_right), sum(|tally| tally.both_right)), (12, 12));
    assert_eq!((sum(|tally| tally.ties), decisions.unseen), (0, 0));
    assert_eq!(decisions.labels, (0..4).map(Label::Int).collect::<Vec<_>>());
    close(findings.directional.unwrap(), 0.004_132_401_268_602_664);
    assert_eq!(findings.directional_degenerate_pairs, 0);
    close(findings.hug_intra.unwrap(), 3.182_398_268_736_244);
    assert_eq!(verdicts.len(), 18);
    assert_eq!(verdicts.iter().filter(|verdict| verdict.agreement() == Some(true)).count(), 12);
    // By hand: x = (4.625, −1.25, −0.125).
    let first = verdicts[0];
    assert_eq!((first.nearest.unwrap().class, first.classifier.unwrap().class), (0, 0));
    close(first.classifier.unwrap().margin.unwrap(), 11.0 - 0.375);
    let distance = |k: usize| {
        let mean = statistics.mean(k);
        rows.row(0).iter().zip(&mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>().sqrt()
    };
    close(first.nearest.unwrap().margin.unwrap(), distance(3) - distance(0));
}

#[test]
fn the_bias_is_used_if_asked_for() {
    let (rows, mut head) = fixture();
    head.bias = Some(vec![0.0, 0.0, 0.0, 1e3]);
    let statistics = statistics(&rows);
    let mut spec = spec(&statistics, Some(&head));
    let tallies = |spec: &SecondPassSpec<'_>| look(spec, std::slice::from_ref(&rows)).0.decisions.unwrap().tallies;
    let with = tallies(&spec);
    assert!(with.iter().take(3).all(|tally| tally.agreements == 0 && tally.classifier_right == 0));
    assert_eq!((with[3].agreements, with[3].classifier_right, with[3].agreements_no_bias), (6, 6, 0));
    spec.use_bias = false;
    let without = tallies(&spec);
    assert!(without.iter().all(|tally| tally.agreements == tally.agreements_no_bias));
    assert_eq!(without.iter().map(|tally| tally.agreements).collect::<Vec<_>>(), [3, 4, 5, 0]);
}

#[test]
fn without_a_classifier_only_the_nearest_centre_decides() {
    let (rows, _) = fixture();
    let statistics = statistics(&rows);
    let mut spec = spec(&statistics, None);
    let (findings, verdicts) = look(&spec, std::slice::from_ref(&rows));
    let tallies = findings.decisions.unwrap().tallies;
    assert!(
        tallies.iter().all(|tally| tally.ncc_right == tally.rows && tally.agreements + tally.classifier_right == 0)
    );
    assert_eq!((findings.hug_intra, verdicts[0].agreement()), (None, None));
    spec.hug_intra = true;
    assert!(SecondPass::new(&spec).is_err());
}

/// Rows of 150 classes on their means, of which some are the same; and rows about them, of which some lie between two, and some
/// are of classes that have no mean.
fn many_classes(dim: usize, seed: u64) -> (Rows, Vec<Rows>) {
    let (count, mut random) = (150, Random::new(seed));
    let mut means: Vec<Vec<f64>> = (0..count).map(|_| (0..dim).map(|_| random.normal()).collect()).collect();
    for k in (0..count).step_by(11) {
        let (before, after) = means.split_at_mut(k + 1);
        after[0].clone_from(&before[k]);
    }
    let mut make = |classes: usize, far: f64, rows: usize| {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let (k, other) = (random.below(classes), random.below(count));
            labels.push(k as i64);
            let half = if far > 0.0 && random.chance(8) { 0.5 } else { 0.0 };
            for (mean, other) in means[k % count].iter().zip(&means[other]) {
                let x = mean + half * (other - mean) + far * random.normal();
                values.push((x * 1024.0).round() / 1024.0);
            }
        }
        Rows::new(dim, Stored::F64(values), &labels)
    };
    (make(count, 0.0, 4000), vec![make(count, 0.05, 1500), make(count + 9, 0.6, 1500)])
}

#[test]
fn rows_near_their_means_are_decided_as_if_all_means_were_looked_at() {
    for (dim, seed) in [(12, 1), (3, 2), (40, 3)] {
        let (train, decided) = many_classes(dim, seed);
        let statistics = statistics(&train);
        let mut random = Random::new(seed ^ 9);
        let weights: Vec<f64> = statistics.offsets.iter().map(|x| x + 0.05 * random.normal()).collect();
        let bias = weights.chunks(dim).map(|w| -0.5 * w.iter().map(|x| x * x).sum::<f64>()).collect();
        let head = Head { weights, bias: Some(bias), errors: Vec::new() };
        let seen = |expected_rows: u64| {
            let spec =
                SecondPassSpec { directional: None, hug_intra: false, expected_rows, ..spec(&statistics, Some(&head)) };
            let pass = SecondPass::new(&spec).unwrap();
            let mut seen = SecondPassState::default();
            for rows in &decided {
                pass.update(Role::Eval, &rows.batch(), None, &mut seen, None, &mut Workspace::default()).unwrap();
            }
            pass.finish(&seen).unwrap().decisions.unwrap()
        };
        let (all, near) = (seen(0), seen(1_000_000));
        assert_eq!(all, near);
        assert!(all.unseen > 0 && all.tallies.iter().any(|tally| tally.ties > 0));
        // By the definition, where nothing is near a tie.
        let mut right = 0;
        for rows in &decided {
            for (at, &code) in rows.codes.iter().enumerate() {
                let x = rows.row(at);
                let distance = |k: usize| {
                    let mean = statistics.mean(k);
                    x.iter().zip(&mean).map(|(x, m)| (x - m).powi(2)).sum::<f64>()
                };
                let nearest = (0..statistics.classes()).min_by(|&a, &b| distance(a).total_cmp(&distance(b))).unwrap();
                right += u64::from(statistics.labels[nearest] == rows.classes[code as usize]);
            }
        }
        let found: u64 = all.tallies.iter().map(|tally| tally.ncc_right).sum();
        let ties: u64 = all.tallies.iter().map(|tally| tally.ties).sum();
        assert!(found.abs_diff(right) <= ties, "{found} {right} {ties}");
    }
}

#[test]
fn classes_without_a_centre_are_unseen_and_never_chosen() {
    let (rows, head) = fixture();
    let all = statistics(&rows);
    let kept = all.retain(|k| k != 3);
    let head = Head { weights: head.weights[..9].to_vec(), bias: None, errors: Vec::new() };
    let (findings, verdicts) = look(&spec(&kept, Some(&head)), std::slice::from_ref(&rows));
    let decisions = findings.decisions.unwrap();
    assert_eq!((decisions.unseen, decisions.labels.len()), (6, 3));
    assert_eq!(decisions.tallies.iter().map(|tally| tally.rows).sum::<u64>(), 12);
    assert_eq!(verdicts.len(), 18);
    assert!(verdicts.iter().all(|verdict| verdict.nearest.unwrap().class < 3));
    // Nor are they NECO's positives: with the rows of class 3 outside, none of them is equal to one inside.
    let axes = vec![0.0, 0.0, 1.0];
    let projection = Projection { mean: vec![0.0; 3], scale: vec![1.0; 3], axes, raw_denominator: false, error: 0.0 };
    let asked = SecondPassSpec { projection: Some(&projection), directional: None, ..spec(&kept, None) };
    let pass = SecondPass::new(&asked).unwrap();
    let mut seen = SecondPassState::default();
    pass.update(Role::Eval, &rows.batch(), None, &mut seen, None, &mut Workspace::default()).unwrap();
    pass.update(Role::Ood, &rows.batch(), Some(&[12, 13, 14, 15, 16, 17]), &mut seen, None, &mut Workspace::default())
        .unwrap();
    let share = |i: usize| rows.row(i)[2].abs() / rows.row(i).iter().map(|x| x * x).sum::<f64>().sqrt();
    let right = (0..12).flat_map(|i| (12..18).map(move |j| (i, j))).filter(|&(i, j)| share(i) > share(j)).count();
    close(pass.finish(&seen).unwrap().neco.unwrap().auroc, right as f64 / 72.0);
}

#[test]
fn roles_count_what_is_theirs() {
    let (rows, head) = fixture();
    let statistics = statistics(&rows);
    let pass = SecondPass::new(&spec(&statistics, Some(&head))).unwrap();
    let (mut apart, mut together, mut each) = (SecondPassState::default(), SecondPassState::default(), Vec::new());
    pass.update(Role::Train, &rows.batch(), None, &mut apart, Some(&mut each), &mut Workspace::default()).unwrap();
    assert!(pass.finish(&apart).unwrap().decisions.unwrap().tallies.iter().all(|tally| tally.rows == 0));
    assert_eq!(each, vec![Verdict::default(); 18]);
    pass.update(Role::Eval, &rows.batch(), None, &mut apart, None, &mut Workspace::default()).unwrap();
    pass.update(Role::TrainAndEval, &rows.batch(), None, &mut together, None, &mut Workspace::default()).unwrap();
    assert_eq!(pass.finish(&apart).unwrap(), pass.finish(&together).unwrap());
    // A row too many, or too few, is another group.
    pass.update(Role::Train, &rows.batch(), Some(&[7]), &mut apart, None, &mut Workspace::default()).unwrap();
    assert!(pass.finish(&apart).is_err());
    assert!(pass.finish(&SecondPassState::default()).is_err());
}

#[test]
fn neco_separates_and_follows_the_largest_logit() {
    let (rows, head) = fixture();
    let statistics = statistics(&rows);
    let axes = vec![1.0, 0.0, 0.0];
    let projection = Projection { mean: vec![0.0; 3], scale: vec![1.0; 3], axes, raw_denominator: false, error: 0.0 };
    let mut spec = spec(&statistics, Some(&head));
    spec.projection = Some(&projection);
    let (findings, verdicts) = look(&spec, std::slice::from_ref(&rows));
    let score = |i: usize| {
        let row = rows.row(i);
        row[0].abs() / row.iter().map(|x| x * x).sum::<f64>().sqrt()
    };
    (0..18).for_each(|i| close(verdicts[i].neco.unwrap(), score(i)));
    let pairs = |i: usize| (0..18).step_by(2).map(move |j| (score(i).total_cmp(&score(j)) as i32 + 1) as u32);
    let twice: u32 = (0..18).flat_map(pairs).sum();
    close(findings.neco.unwrap().auroc, f64::from(twice) / f64::from(2 * 18 * 9));

    spec.max_logit = true;
    let (_, with_logits) = look(&spec, std::slice::from_ref(&rows));
    for (i, verdict) in with_logits.iter().enumerate() {
        let logits = head.weights.chunks(3).zip(head.bias.as_ref().unwrap());
        let logit = |(w, b): (&[f64], &f64)| w.iter().zip(rows.row(i)).map(|(w, x)| w * x).sum::<f64>() + b;
        close(verdict.neco.unwrap(), score(i) * logits.map(logit).fold(f64::NEG_INFINITY, f64::max));
    }
    spec.head = None;
    spec.hug_intra = false;
    assert!(SecondPass::new(&spec).is_err());
}

/// Zero rows and zero weights have no direction; equal means have no line between them.
#[test]
fn what_has_no_direction_is_left_out_and_counted() {
    let values = vec![1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 2.0, 0.0, 2.0, 0.0, 1.0, 2.0];
    let rows = Rows::new(2, Stored::F64(values), &[0, 0, 1, 1, 2, 3]);
    let statistics = statistics(&rows);
    let head = Head { weights: vec![1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 3.0, 6.0], bias: None, errors: Vec::new() };
    let mut asked = spec(&statistics, Some(&head));
    let (findings, verdicts) = look(&asked, std::slice::from_ref(&rows));
    assert_eq!(verdicts[0].nearest, Some(Decision { class: 0, margin: Some(0.0) }));
    // Classes 0 and 1 both have the mean (1, 0).
    assert_eq!((findings.directional_degenerate_pairs, findings.hug_zero_rows), (1, 2));
    close(findings.hug_intra.unwrap(), (2.0 - 2f64.sqrt()).sqrt() + 2f64.sqrt());
    // Class 0 varies by 1 along (0, 1), class 1 by 1 along (1, 0); of 12 ordered pairs 10 are left.
    let expected = (1.0 / 4.0 + 1.0) / 10.0;
    close(findings.directional.unwrap(), expected);
    // Singletons out: one pair, and no line.
    asked.directional = Some(2);
    let (findings, _) = look(&asked, std::slice::from_ref(&rows));
    assert_eq!((findings.directional, findings.directional_degenerate_pairs), (None, 1));
    let ties: Vec<u64> = findings.decisions.unwrap().tallies.iter().map(|tally| tally.ties).collect();
    assert_eq!(ties, [2, 1, 0, 0]); // Row (2, 0) sits on class 2's mean.
}

/// A classifier and a subspace of any kind for these classes.
fn head_and_projection(statistics: &Statistics, random: &mut Random) -> (Head, Projection) {
    let (dim, classes) = (statistics.dim, statistics.classes());
    let weights = (0..classes * dim).map(|_| (random.normal() * 4.0).round() / 4.0).collect();
    let bias = Some((0..classes).map(|_| random.below(3) as f64).collect());
    let head = Head { weights, bias, errors: Vec::new() };
    let mut axes = vec![0.0; dim];
    axes[random.below(dim)] = 1.0;
    (head, Projection { mean: statistics.mean(0), scale: vec![1.5; dim], axes, raw_denominator: false, error: 0.0 })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    /// Any order, any batches, any workers: the same bits.
    #[test]
    fn order_batches_and_threads_change_nothing(seed: u64) {
        let mut random = Random::new(seed);
        let chunks = chunks(seed);
        let Some(statistics) = statistics_if_in_range(&chunks) else { return Ok(()) };
        // In a third of all cases some rows are of a class without a centre.
        let statistics = statistics.retain(|k| k > 0 || seed % 3 > 0 || statistics.classes() == 1);
        let (head, projection) = head_and_projection(&statistics, &mut random);
        let mut spec = spec(&statistics, Some(&head));
        (spec.projection, spec.max_logit) = (Some(&projection), seed % 2 == 0);
        let (expected, verdicts) = look(&spec, &chunks);
        let pass = SecondPass::new(&spec).unwrap();

        for size in [1, 5, 257] {
            let parts: Vec<(SecondPassState, Vec<(u32, Verdict)>)> = std::thread::scope(|scope| {
                let work = |rows: &Rows, mut order: Vec<u32>, role| {
                    let (mut seen, mut found) = (SecondPassState::default(), Vec::new());
                    Random::new(seed ^ size as u64).shuffle(&mut order);
                    for batch in order.chunks(size) {
                        let mut each = Vec::new();
                        pass.update(role, &rows.batch(), Some(batch), &mut seen, Some(&mut each), &mut Workspace::default()).unwrap();
                        found.extend(batch.iter().copied().zip(each));
                    }
                    found.sort_by_key(|(row, _)| *row);
                    (seen, if role == Role::Ood { Vec::new() } else { found })
                };
                let spawn = |rows, order, role| scope.spawn(move || work(rows, order, role));
                let workers: Vec<_> = chunks.iter().flat_map(|rows| {
                    let everything = (0..rows.len() as u32).collect();
                    [spawn(rows, everything, Role::TrainAndEval), spawn(rows, every_other(rows), Role::Ood)]
                }).collect();
                workers.into_iter().map(|worker| worker.join().unwrap()).collect()
            });
            let apart: Vec<Verdict> = parts.iter().flat_map(|(_, found)| found).map(|(_, verdict)| *verdict).collect();
            prop_assert_eq!(&apart, &verdicts);
            let merge = |mut a: SecondPassState, b: &SecondPassState| {
                a.merge(b);
                a
            };
            let forwards = parts.iter().fold(SecondPassState::default(), |a, (b, _)| merge(a, b));
            let backwards = parts.iter().rev().fold(SecondPassState::default(), |a, (b, _)| merge(b.clone(), &a));
            prop_assert!(forwards == backwards);
            prop_assert_eq!(&pass.finish(&forwards).unwrap(), &expected);
        }
    }

    /// The definitions, one row after the other, in `f64`.
    #[test]
    fn findings_are_those_of_the_definitions(seed: u64) {
        let chunks = chunks(seed);
        let Some(statistics) = statistics_if_in_range(&chunks) else { return Ok(()) };
        let (head, _) = head_and_projection(&statistics, &mut Random::new(seed));
        let (findings, verdicts) = look(&spec(&statistics, Some(&head)), &chunks);
        let classes = statistics.classes();
        let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        let (mut spread, mut distances, mut zero_rows) = (vec![0.0; classes], vec![0.0; classes], vec![0; classes]);
        let mut verdicts = verdicts.iter();
        for rows in &chunks {
            for (i, &code) in rows.codes.iter().enumerate() {
                let x = rows.row(i);
                let y: Vec<f64> = x.iter().zip(&statistics.origin).map(|(x, o)| x - o).collect();
                let class = statistics.labels.binary_search(&rows.classes[code as usize]).unwrap();
                let from = |k: usize| y.iter().zip(statistics.offset(k)).map(|(y, m)| y - m).collect::<Vec<f64>>();
                let verdict = verdicts.next().unwrap();
                let nearest = verdict.nearest.unwrap();
                let least = (0..classes).map(|k| norm(&from(k))).fold(f64::INFINITY, f64::min);
                // Rounding of the definition itself, and of the means: those within their noise count as one. Where the
                // definition can tell, it must agree.
                let noise = (0..classes).map(|k| statistics.mean_noise(k).sqrt()).fold(0.0, f64::max);
                let slack = 1e-14 * (norm(&y) + norm(&from(nearest.class as usize))) + 24.0 * noise;
                prop_assert!(norm(&from(nearest.class as usize)) <= least + slack);
                let dim = statistics.dim;
                let w = |k: usize| &head.weights[k * dim..][..dim];
                let logit = |k: usize| {
                    let bias = head.bias.as_ref().unwrap()[k];
                    x.iter().zip(w(k)).map(|(x, w)| x * w).sum::<f64>() + bias
                };
                let classifier = verdict.classifier.unwrap();
                let most = (0..classes).map(logit).fold(f64::NEG_INFINITY, f64::max);
                prop_assert!(logit(classifier.class as usize) >= most - 1e-13 * (1.0 + norm(&x) * 16.0));
                for j in (0..classes).filter(|&j| j != class) {
                    let d: Vec<f64> =
                        statistics.offset(j).iter().zip(statistics.offset(class)).map(|(a, b)| a - b).collect();
                    let along: f64 = d.iter().zip(from(class)).map(|(d, y)| d * y).sum();
                    if norm(&d) > 0.0 {
                        spread[class] += (along / norm(&d).powi(2)).powi(2);
                    }
                }
                if norm(&x) > 0.0 && norm(w(class)) > 0.0 {
                    let parts = x.iter().zip(w(class)).map(|(a, b)| a / norm(&x) - b / norm(w(class)));
                    distances[class] += norm(&parts.collect::<Vec<_>>());
                } else {
                    zero_rows[class] += 1;
                }
            }
        }
        prop_assert_eq!(findings.hug_zero_rows, zero_rows.iter().sum::<u64>());
        let n = |k: usize| statistics.counts[k] as f64;
        let hug = |k: usize| if zero_rows[k] < statistics.counts[k] { distances[k] / (n(k) - zero_rows[k] as f64) } else { 0.0 };
        let expected: f64 = (0..classes).map(hug).sum();
        // A sum of at most 1500 terms, each to a few units of rounding.
        prop_assert!((findings.hug_intra.unwrap_or(0.0) - expected).abs() <= 1e-12 * expected);
        if let (Some(directional), 0) = (findings.directional, findings.directional_degenerate_pairs) {
            let expected = (0..classes).map(|k| spread[k] / n(k)).sum::<f64>() / (classes * (classes - 1)) as f64;
            prop_assert!((directional - expected).abs() <= 1e-9 * expected, "{} {}", directional, expected);
        }
    }
}
