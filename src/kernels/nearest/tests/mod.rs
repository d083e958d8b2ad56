use super::*;
use crate::kernels::dot::tests::numbers;
use proptest::prelude::*;

mod single;

fn choose(candidates: &Candidates<'_>, rows: &[f64], second: bool) -> Vec<Vec<Choice>> {
    candidates.choose(rows, second, &mut Workspace::default()).unwrap()
}

/// By exact arithmetic alone, one candidate after the other.
fn naive(candidates: &Candidates<'_>, rule: usize, row: &[f64], second: bool) -> Choice {
    let rule = &candidates.rules[rule];
    let scores: Vec<ExactSum> = (0..candidates.norms.len()).map(|k| candidates.exact_score(rule, k, row)).collect();
    let best_of = |except: Option<usize>| {
        (0..scores.len())
            .filter(|&k| Some(k) != except)
            .reduce(|best, k| if scores[k].compare(&scores[best]) == Ordering::Greater { k } else { best })
    };
    let best = best_of(None).unwrap();
    let tied = (0..scores.len()).any(|k| k != best && scores[k] == scores[best]);
    let second = if second { best_of(Some(best)).map(|k| k as u32) } else { None };
    Choice { best: best as u32, second, tied }
}

fn agree(candidates: &Candidates<'_>, rows: &[f64]) {
    for second in [false, true] {
        for (rule, choices) in choose(candidates, rows, second).iter().enumerate() {
            for (choice, row) in choices.iter().zip(rows.chunks(candidates.dim)) {
                assert_eq!(*choice, naive(candidates, rule, row, second));
            }
        }
    }
}

#[test]
fn more_candidates_and_rows_than_a_tile() {
    let (dim, count) = (3, TILE_CANDIDATES + 37);
    let (vectors, rows, origin) = (numbers(dim * count, 1), numbers(dim * (TILE_ROWS + 5), 2), numbers(dim, 3));
    let bias = numbers(count, 4);
    let nearest = Candidates::new(dim, &vectors, Some(&origin), &[Offsets::HalfSquares]);
    let choices = choose(&nearest, &rows, true).remove(0);
    let largest = Candidates::new(dim, &vectors, None, &[Offsets::None, Offsets::Given(&bias)]);
    let logits = choose(&largest, &rows, false);
    let argmax = |score: &dyn Fn(usize) -> f64| (0..count).max_by(|&a, &b| score(a).total_cmp(&score(b))).unwrap();
    for (i, row) in rows.chunks(dim).enumerate() {
        let dot = |k: usize| (0..dim).map(|j| row[j] * vectors[k * dim + j]).sum::<f64>();
        let distance =
            |k: usize| -> f64 { (0..dim).map(|j| (row[j] - origin[j] - vectors[k * dim + j]).powi(2)).sum() };
        let best = argmax(&|k| -distance(k));
        assert_eq!(choices[i].best as usize, best);
        let second = argmax(&|k| if k == best { f64::NEG_INFINITY } else { -distance(k) });
        assert_eq!(choices[i].second.unwrap() as usize, second);
        assert_eq!(logits[0][i].best as usize, argmax(&dot));
        assert_eq!(logits[1][i].best as usize, argmax(&|k| dot(k) + bias[k]));
    }
}

/// The usual expansion `‖x‖² − 2 x·μ + ‖μ‖²` puts a row that sits on the second mean into the first class.
#[test]
fn a_large_common_offset_costs_no_digits() {
    let dim = 5;
    let origin = vec![2000.0; dim];
    let vectors = [vec![0.0; dim], vec![0.1 / 5f64.sqrt(); dim]].concat();
    let rows: Vec<f64> = [0.0, 0.1, 0.04, 0.06].iter().flat_map(|t| vec![2000.0 + t / 5f64.sqrt(); dim]).collect();
    let candidates = Candidates::new(dim, &vectors, Some(&origin), &[Offsets::HalfSquares]);
    let best: Vec<u32> = choose(&candidates, &rows, false)[0].iter().map(|choice| choice.best).collect();
    assert_eq!(best, [0, 1, 0, 1]);
    // Centres so near to each other that rounding the row decides: still the exact answer.
    let vectors = [vec![0.0; dim], vec![1e-13; dim]].concat();
    let candidates = Candidates::new(dim, &vectors, Some(&origin), &[Offsets::HalfSquares]);
    agree(&candidates, &[vec![2000.0; dim], vec![2000.0 + 5e-13; dim], vec![2000.0 - 5e-13; dim]].concat());
    agree(&candidates, &vec![1e9; dim]);
}

#[test]
fn ties_go_to_the_first_and_are_told() {
    let vectors = [1.0, 0.0, -1.0, 0.0, 0.0, 3.0, -1.0, 0.0];
    let candidates = Candidates::new(2, &vectors, None, &[Offsets::HalfSquares, Offsets::None]);
    let choices = choose(&candidates, &[0.0, 0.0, -1.0, 0.0, 2.0, 0.0, 0.0, -7.0], true);
    let choice = |best, second, tied| Choice { best, second: Some(second), tied };
    assert_eq!(choices[0], [choice(0, 1, true), choice(1, 3, true), choice(0, 1, false), choice(0, 1, true)]);
    assert_eq!(choices[1][0], choice(0, 1, true));
    // The best is there twice, and between the two lies another that is as near.
    assert_eq!(choose(&candidates, &[-2.0, 2.0], true)[0], [choice(1, 2, true)]);
    // Equal to the last bit: 0.1 + 0.2 against 0.3, which `f64` sums tell apart and exact ones too.
    let candidates = Candidates::new(2, &[1.0, 1.0, 3.0, 0.0], None, &[Offsets::None]);
    agree(&candidates, &[0.1, 0.2, 0.2, 0.4, 1.0, 2.0, 3.0, 6.0]);
    assert!(choose(&candidates, &[1.0, 2.0], false)[0][0].tied);
}

#[test]
fn what_the_errors_of_vectors_hide_is_a_tie() {
    // The first and the third are one; the second is another, and as near to 0.5 as the first to within the errors.
    let vectors = [0.0, 0.0, 1.0, 0.0, 1e-9, 0.0];
    let plain = Candidates::new(2, &vectors, None, &[Offsets::HalfSquares]);
    let rows = [1e-9, 0.0, 0.5 + 1e-9, 0.0, 0.6, 0.0, 0.4, 3.0];
    let best = |choices: &[Choice]| choices.iter().map(|choice| (choice.best, choice.tied)).collect::<Vec<_>>();
    assert_eq!(best(&choose(&plain, &rows, false)[0]), [(2, false), (1, false), (1, false), (2, false)]);
    let blurred = plain.off_by(vec![1e-9; 3]);
    assert_eq!(best(&choose(&blurred, &rows, false)[0]), [(0, true), (1, true), (1, false), (0, true)]);
    // The same with errors too small to matter.
    let sharp = Candidates::new(2, &vectors, None, &[Offsets::HalfSquares]).off_by(vec![1e-12; 3]);
    assert_eq!(best(&choose(&sharp, &rows, false)[0]), [(2, false), (1, false), (1, false), (2, false)]);
}

#[test]
fn the_first_of_a_chain_represents_all() {
    let vectors: Vec<f64> = (0..9).rev().map(|k| f64::from(k) * 1e-9).collect();
    let candidates = Candidates::new(1, &vectors, None, &[Offsets::HalfSquares]).off_by(vec![1e-9; 9]);
    assert_eq!(candidates.rules[0].alike, [0; 9]);
    // Though the row lies on the last of them, and the first is farther from it than the errors reach.
    let choice = Choice { best: 0, second: Some(1), tied: true };
    assert_eq!(choose(&candidates, &[0.0], true)[0], [choice]);
}

#[test]
fn one_candidate_has_no_second() {
    let candidates = Candidates::new(1, &[4.0], None, &[Offsets::HalfSquares]);
    assert_eq!(choose(&candidates, &[1.0], true)[0], [Choice { best: 0, second: None, tied: false }]);
}

#[test]
fn values_out_of_range_are_decided_exactly() {
    let vectors = [1e200, -1e200, 1e200, 1e200, 1e-200, 0.0, 2e-200, 0.0];
    let candidates = Candidates::new(2, &vectors, None, &[Offsets::HalfSquares, Offsets::None]);
    agree(&candidates, &[1e200, 3.0, -1e300, 1e300, 1e-200, 1e-200, 1.4e-200, 0.0, f64::MAX, -f64::MAX, 0.0, 0.0]);
    let wide = Candidates::new(1, &[1.7e308, -1.7e308], Some(&[-1.7e308]), &[Offsets::HalfSquares]);
    agree(&wide, &[1.7e308, 0.0, -1.7e308]);
    // The first scores are smaller than the last, though partial sums overflow; norms do not.
    let vectors = [1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, 1.0, 1.04, 0.0, 0.0];
    agree(&Candidates::new(3, &vectors, None, &[Offsets::None]), &[1e308, 1e308, 1e308]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]
    /// Candidates a few units of rounding apart, some the same: the exact choice, and in any company the same.
    #[test]
    fn near_ties_are_decided_exactly(seed: u64, dim in 1_usize..20, count in 1_usize..12, scale in 0_i32..54) {
        let centre = numbers(dim, seed);
        let noise = numbers(dim * count, seed ^ 1);
        let step = 2f64.powi(-scale);
        let vectors: Vec<f64> =
            noise.iter().enumerate().map(|(at, e)| centre[at % dim] + (4.0 * e).round() * step).collect();
        let rows: Vec<f64> =
            numbers(dim * 30, seed ^ 2).iter().enumerate().map(|(at, e)| centre[at % dim] + e * step).collect();
        let bias: Vec<f64> = vectors.iter().step_by(dim).map(|v| -v).collect();
        let origin = if seed % 2 == 0 { vec![0.0; dim] } else { centre.clone() };
        let nearest = Candidates::new(dim, &vectors, Some(&origin), &[Offsets::HalfSquares]);
        agree(&nearest, &rows);
        let largest = Candidates::new(dim, &vectors, None, &[Offsets::Given(&bias), Offsets::None]);
        agree(&largest, &rows);
        let together = choose(&largest, &rows, true);
        let apart: Vec<Choice> = rows.chunks(dim).map(|row| choose(&largest, row, true)[0][0]).collect();
        prop_assert_eq!(&together[0], &apart);
    }
}
