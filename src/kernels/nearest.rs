//! Which candidate a row belongs to: the exact answer, mostly by ordinary matrix products.
//!
//! A product of a tile of rows with a tile of candidates gives every score to within a bound that is known. Where that
//! leaves one candidate, the answer is certain; where it leaves several, their scores are taken exactly. So a decision
//! depends on the numbers alone: not on tiles, threads, order of summation or fused operations.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef};

use super::dot::{dot, norm, squared_distance};
use super::exact_sum::ExactSum;
use super::pairs::UNRESOLVED;
use crate::grid::vectorised;

/// Rows of a tile: with the candidates' 4 MiB of scores, which stay in cache.
pub const TILE_ROWS: usize = 256;

/// Candidates of a tile.
const TILE_CANDIDATES: usize = 2048;

/// Contenders kept before those that have fallen behind are dropped.
const CONTENDERS: usize = 64;

/// What is added to the inner product of row and candidate.
#[derive(Clone, Copy, Debug)]
pub enum Offsets<'a> {
    /// Nothing.
    None,
    /// A number a candidate, `K`.
    Given(&'a [f64]),
    /// `−½ ‖v_k‖²`, which makes the largest score the nearest candidate.
    HalfSquares,
}

/// `K` vectors, from which a row chooses the one of the largest score, `(x − origin) · v_k + o_k`.
#[derive(Debug)]
pub struct Candidates<'a> {
    dim: usize,
    vectors: &'a [f64],
    origin: Option<&'a [f64]>,
    norms: Vec<f64>,
    /// How far each vector may lie from the true one, if that is not nowhere.
    errors: Option<Vec<f64>>,
    rules: Vec<Rule<'a>>,
}

/// Scores are told apart if they differ by more than this many times what the errors of vectors make of them.
const DEVIATIONS: f64 = 3.0;

/// How many times its error a vector may be moved by before another one is certainly not meant: as far as vectors are
/// one, and as scores are not told apart.
const BLUR: f64 = 6.0;

/// One way to choose, and what it needs to know of each candidate.
#[derive(Debug)]
struct Rule<'a> {
    offsets: Offsets<'a>,
    /// The offsets, rounded.
    rounded: Vec<f64>,
    /// What the error of a score has besides its part in `‖x‖ ‖v_k‖`.
    slack: Vec<f64>,
    /// The first candidate with the same vector and offset.
    alike: Vec<u32>,
}

/// What a row has chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The candidate of the largest score; the first of equals.
    pub best: u32,
    /// The best of the others, if asked for and there is one; the first of equals.
    pub second: Option<u32>,
    /// Whether another candidate has the same score as the best: exactly, or as far as the errors of vectors let one tell.
    pub tied: bool,
}

impl<'a> Candidates<'a> {
    /// Prepares to choose among the rows of `vectors`, `K × D`, for each kind of offsets. `origin` is taken off a row
    /// before anything else; with it, a large offset that rows and candidates share costs no digits.
    ///
    /// All numbers are finite, and `K` is at least 1.
    pub fn new(dim: usize, vectors: &'a [f64], origin: Option<&'a [f64]>, offsets: &[Offsets<'a>]) -> Self {
        let norms: Vec<f64> = vectors.chunks_exact(dim).map(norm).collect();
        let rules = offsets.iter().map(|&offsets| Rule::new(dim, vectors, offsets)).collect();
        Self { dim, vectors, origin, norms, errors: None, rules }
    }

    /// The same where the vectors are means of which each may lie as far as `errors`, `K`, from the true one; for the rule
    /// of the nearest alone. Vectors no farther from each other than that are one, and the first of them is chosen; a row
    /// that is as near to another vector as the errors let one tell is tied.
    #[must_use]
    pub fn off_by(mut self, errors: Vec<f64>) -> Self {
        for rule in &mut self.rules {
            join(self.dim, self.vectors, &errors, &mut rule.alike);
            let blurs = errors.iter().zip(&self.norms).map(|(error, norm)| BLUR * error * norm);
            rule.slack.iter_mut().zip(blurs).for_each(|(slack, blur)| *slack += blur);
        }
        self.errors = Some(errors);
        self
    }

    /// What each row chooses, for each kind of offsets. `rows` is rows × D, row-major, finite.
    pub fn choose(&self, rows: &[f64], second: bool) -> Vec<Vec<Choice>> {
        let mut choices = vec![Vec::with_capacity(rows.len() / self.dim); self.rules.len()];
        for tile in rows.chunks(TILE_ROWS * self.dim) {
            for (choices, of_tile) in choices.iter_mut().zip(self.choose_tile(tile, second)) {
                choices.extend(of_tile);
            }
        }
        choices
    }

    fn choose_tile(&self, rows: &[f64], second: bool) -> Vec<Vec<Choice>> {
        let dim = self.dim;
        let Scratch { mut shifted, mut scores, mut races } = SCRATCH.take();
        let about_origin = match self.origin {
            Some(origin) => {
                shifted.resize(rows.len(), 0.0);
                shift(rows, origin, &mut shifted);
                shifted.as_slice()
            }
            None => rows,
        };
        let count = rows.len() / dim;
        let lengths: Vec<f64> = about_origin.chunks_exact(dim).map(norm).collect();
        let blur = self.errors.iter().flatten().fold(0.0, |most: f64, error| most.max(BLUR * error));
        races.resize_with(count * self.rules.len(), Race::default);
        for race in &mut races {
            race.start(if second { 2 } else { 1 });
        }
        scores.resize(scores.len().max(count * TILE_CANDIDATES.min(self.norms.len())), 0.0);
        for (tile, vectors) in self.vectors.chunks(TILE_CANDIDATES * dim).enumerate() {
            let (first, width) = (tile * TILE_CANDIDATES, vectors.len() / dim);
            let scores = &mut scores[..count * width];
            matmul(
                MatMut::from_row_major_slice_mut(scores, count, width),
                Accum::Replace,
                MatRef::from_row_major_slice(about_origin, count, dim),
                MatRef::from_row_major_slice(vectors, width, dim).transpose(),
                1.0,
                faer::Par::Seq,
            );
            for (rule, races) in self.rules.iter().zip(races.chunks_exact_mut(count)) {
                let of_tile = first..first + width;
                let (norms, offsets) = (&self.norms[of_tile.clone()], &rule.rounded[of_tile.clone()]);
                let slack = &rule.slack[of_tile];
                for ((race, scores), &length) in races.iter_mut().zip(scores.chunks_exact(width)).zip(&lengths) {
                    let (slope, blur) = (length * relative_error(dim), length * blur);
                    for k in 0..width {
                        race.enter((first + k) as u32, scores[k] + offsets[k], slope * norms[k] + (slack[k] + blur));
                    }
                }
            }
        }
        let decide = |(rule, races): (&Rule<'_>, &[Race])| {
            races.iter().zip(rows.chunks_exact(dim)).map(|(race, row)| self.decide(rule, race, row)).collect()
        };
        let choices = self.rules.iter().zip(races.chunks_exact(count)).map(decide).collect();
        SCRATCH.set(Scratch { shifted, scores, races });
        choices
    }

    /// Decides among the candidates that the bound has left.
    fn decide(&self, rule: &Rule<'_>, race: &Race, row: &[f64]) -> Choice {
        let mut left = race.left();
        if let (Some(best), None) = (left.next(), left.next()) {
            return Choice { best, second: None, tied: false };
        }
        // Candidates alike have the same score, so one of them speaks for all.
        let mut scored: Vec<(u32, ExactSum)> = Vec::new();
        let mut entries: Vec<(u32, usize)> = Vec::new();
        let mut known = HashMap::new();
        for class in race.left() {
            let speaker = rule.alike[class as usize];
            let at = *known.entry(speaker).or_insert_with(|| {
                scored.push((speaker, self.exact_score(rule, speaker as usize, row)));
                scored.len() - 1
            });
            entries.push((class, at));
        }
        let compare = |a: usize, b: usize| if a == b { Ordering::Equal } else { scored[a].1.compare(&scored[b].1) };
        // The best of the entries, the first of equals: entries are in order of class.
        let champion = |except: Option<u32>| {
            entries
                .iter()
                .filter(|entry| Some(entry.0) != except)
                .copied()
                .reduce(|best, entry| if compare(entry.1, best.1) == Ordering::Greater { entry } else { best })
        };
        let Some(best) = champion(None) else { return Choice { best: 0, second: None, tied: false } };
        let same = |entry: &(u32, usize)| {
            compare(entry.1, best.1) == Ordering::Equal || self.as_near(row, entry.0 as usize, best.0 as usize)
        };
        let tied = entries.iter().any(|entry| entry.0 != best.0 && same(entry));
        let second = if race.places > 1 { champion(Some(best.0)).map(|entry| entry.0) } else { None };
        Choice { best: best.0, second, tied }
    }

    /// Whether the errors of two vectors could make either the nearer one:
    /// `½ |‖y − a‖² − ‖y − b‖²| = ½ |(a − b) · ((y − a) + (y − b))|` against what they make of it, `‖y − a‖ e_a + ‖y − b‖ e_b`.
    fn as_near(&self, row: &[f64], a: usize, b: usize) -> bool {
        let Some(errors) = &self.errors else { return false };
        let vector = |k: usize| &self.vectors[k * self.dim..][..self.dim];
        let y = |j: usize| row[j] - self.origin.map_or(0.0, |origin| origin[j]);
        let (mut apart, mut to_a, mut to_b) = (0.0, 0.0, 0.0);
        for (j, (a, b)) in vector(a).iter().zip(vector(b)).enumerate() {
            let (from_a, from_b) = (y(j) - a, y(j) - b);
            apart += (a - b) * (from_a + from_b);
            to_a += from_a * from_a;
            to_b += from_b * from_b;
        }
        0.5 * apart.abs() <= DEVIATIONS * (to_a.sqrt() * errors[a] + to_b.sqrt() * errors[b])
    }

    /// Twice the score.
    fn exact_score(&self, rule: &Rule<'_>, class: usize, row: &[f64]) -> ExactSum {
        let vector = &self.vectors[class * self.dim..][..self.dim];
        let mut score = ExactSum::default();
        row.iter().zip(vector).for_each(|(&x, &v)| score.add_product(x, v, 1));
        if let Some(origin) = self.origin {
            origin.iter().zip(vector).for_each(|(&origin, &v)| score.add_product(-origin, v, 1));
        }
        match rule.offsets {
            Offsets::None => {}
            Offsets::Given(offsets) => score.add_product(offsets[class], 1.0, 1),
            Offsets::HalfSquares => vector.iter().for_each(|&v| score.add_product(-v, v, 0)),
        }
        score
    }
}

impl<'a> Rule<'a> {
    fn new(dim: usize, vectors: &'a [f64], offsets: Offsets<'a>) -> Self {
        let candidates = vectors.chunks_exact(dim);
        let rounded: Vec<f64> = match offsets {
            Offsets::None => vec![0.0; candidates.len()],
            Offsets::Given(offsets) => offsets.to_vec(),
            Offsets::HalfSquares => candidates.clone().map(|vector| -0.5 * dot(vector, vector)).collect(),
        };
        // Products that underflow lose at most 2^-1074 each, whatever their size.
        let underflow = dim as f64 * f64::MIN_POSITIVE;
        let slack = rounded.iter().map(|offset| offset.abs() * relative_error(dim) + underflow).collect();
        Self { offsets, slack, alike: alike(dim, vectors, &rounded), rounded }
    }
}

/// What bounds the error of a computed score, as a part of `‖x − origin‖ ‖v_k‖ + |o_k|`.
///
/// A product of length `D`, summed in any order and fused or not, is off by at most `D u / (1 − D u)` of the sum of
/// magnitudes (Higham 2002, 3.5), which is at most the product of the norms; the rounding of `x − origin`, of the
/// offset, of the last addition, of the norms and of the bound itself add a few more `u = ε / 2`.
fn relative_error(dim: usize) -> f64 {
    (dim as f64 + 8.0) * 0.51 * f64::EPSILON
}

/// For each candidate the first with the same bits.
fn alike(dim: usize, vectors: &[f64], offsets: &[f64]) -> Vec<u32> {
    let hasher = RandomState::new();
    let vector = |k: usize| &vectors[k * dim..][..dim];
    let mut firsts: HashMap<u64, Vec<u32>> = HashMap::new();
    let first_alike = |(k, offset): (usize, &f64)| {
        let bits = || vector(k).iter().map(|x| x.to_bits());
        let hash = bits().fold(hasher.hash_one(offset.to_bits()), |hash, bits| {
            (hash.rotate_left(5) ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let same = |&other: &u32| {
            let other = other as usize;
            offsets[other].to_bits() == offset.to_bits() && vector(other).iter().map(|x| x.to_bits()).eq(bits())
        };
        let known = firsts.entry(hash).or_default();
        known.iter().copied().find(same).unwrap_or_else(|| {
            known.push(k as u32);
            k as u32
        })
    };
    offsets.iter().enumerate().map(first_alike).collect()
}

/// Makes those alike that lie no farther from each other than their errors let one tell, and the first stand for all.
fn join(dim: usize, vectors: &[f64], errors: &[f64], alike: &mut [u32]) {
    let vector = |k: usize| &vectors[k * dim..][..dim];
    // Vectors that are near to each other are so along any line.
    let line: Vec<f64> = (1..=dim).map(|j| (j as f64 * 0.618_033_988_749_895).fract() - 0.5).collect();
    let length = norm(&line);
    let mut places: Vec<(f64, usize)> =
        (0..alike.len()).filter(|&k| alike[k] as usize == k).map(|k| (dot(vector(k), &line) / length, k)).collect();
    places.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let largest = errors.iter().copied().fold(0.0, f64::max);
    for (at, &(place, k)) in places.iter().enumerate() {
        let slack = 2.0 * relative_error(dim) * norm(vector(k));
        for &(_, other) in places[at + 1..].iter().take_while(|next| next.0 - place <= 2.0 * BLUR * largest + slack) {
            let both = errors[k] * errors[k] + errors[other] * errors[other];
            if squared_distance(vector(k), vector(other)) <= UNRESOLVED * both {
                let (first, second) = (root(alike, k), root(alike, other));
                alike[first.max(second)] = first.min(second) as u32;
            }
        }
    }
    (0..alike.len()).for_each(|k| alike[k] = root(alike, k) as u32);
}

/// The one that stands for `k`.
fn root(alike: &[u32], mut k: usize) -> usize {
    while alike[k] as usize != k {
        k = alike[k] as usize;
    }
    k
}

/// Memory of a tile, which may be some mebibytes: asked for once and not for every tile.
#[derive(Default)]
struct Scratch {
    shifted: Vec<f64>,
    scores: Vec<f64>,
    /// Those of one rule after those of the other.
    races: Vec<Race>,
}

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

/// `x − origin` of every row.
fn shift(rows: &[f64], origin: &[f64], shifted: &mut [f64]) {
    let dim = origin.len();
    vectorised(
        #[inline(always)]
        || {
            for (shifted, row) in shifted.chunks_exact_mut(dim).zip(rows.chunks_exact(dim)) {
                for j in 0..dim {
                    shifted[j] = row[j] - origin[j];
                }
            }
        },
    );
}

/// One row's candidates, one after the other: those that may still be among the best.
#[derive(Debug, Default)]
struct Race {
    /// How many of the best are wanted, 1 or 2.
    places: usize,
    /// The largest lower bounds of scores, as many as there are places, falling.
    least: [f64; 2],
    /// Candidates in order, with the upper bound of their score.
    contenders: Vec<(u32, f64)>,
    /// How many of them are looked through next.
    limit: usize,
}

impl Race {
    fn start(&mut self, places: usize) {
        let mut contenders = std::mem::take(&mut self.contenders);
        contenders.clear();
        // Hardly any row has so many, and thousands of races are kept.
        contenders.shrink_to(CONTENDERS);
        *self = Self { places, least: [f64::NEG_INFINITY; 2], contenders, limit: CONTENDERS };
    }

    #[inline]
    fn enter(&mut self, class: u32, score: f64, error: f64) {
        // Where the score has left the range of `f64` nothing is known of it, and the candidate stays.
        let error = if score.is_finite() { error } else { f64::NAN };
        let highest = score + error;
        if highest < self.least[self.places - 1] {
            return;
        }
        let lowest = score - error;
        if lowest > self.least[0] {
            self.least = [lowest, self.least[0]];
        } else if lowest > self.least[1] {
            self.least[1] = lowest;
        }
        self.contenders.push((class, highest));
        if self.contenders.len() >= self.limit {
            let least = self.least[self.places - 1];
            self.contenders.retain(|contender| !behind(contender.1, least));
            self.limit = CONTENDERS.max(2 * self.contenders.len());
        }
    }

    /// The candidates left, in order.
    fn left(&self) -> impl Iterator<Item = u32> {
        let least = self.least[self.places - 1];
        self.contenders.iter().filter(move |contender| !behind(contender.1, least)).map(|contender| contender.0)
    }
}

/// Whether a score of at most `highest` is certainly below `least`; never where either is not a number.
fn behind(highest: f64, least: f64) -> bool {
    highest < least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::dot::tests::numbers;
    use proptest::prelude::*;

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
            for (rule, choices) in candidates.choose(rows, second).iter().enumerate() {
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
        let choices = nearest.choose(&rows, true).remove(0);
        let largest = Candidates::new(dim, &vectors, None, &[Offsets::None, Offsets::Given(&bias)]);
        let logits = largest.choose(&rows, false);
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

    /// The reference's own expansion puts a row that sits on the second mean into the first class.
    #[test]
    fn a_large_common_offset_costs_no_digits() {
        let dim = 5;
        let origin = vec![2000.0; dim];
        let vectors = [vec![0.0; dim], vec![0.1 / 5f64.sqrt(); dim]].concat();
        let rows: Vec<f64> = [0.0, 0.1, 0.04, 0.06].iter().flat_map(|t| vec![2000.0 + t / 5f64.sqrt(); dim]).collect();
        let candidates = Candidates::new(dim, &vectors, Some(&origin), &[Offsets::HalfSquares]);
        let best: Vec<u32> = candidates.choose(&rows, false)[0].iter().map(|choice| choice.best).collect();
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
        let choices = candidates.choose(&[0.0, 0.0, -1.0, 0.0, 2.0, 0.0, 0.0, -7.0], true);
        let choice = |best, second, tied| Choice { best, second: Some(second), tied };
        assert_eq!(choices[0], [choice(0, 1, true), choice(1, 3, true), choice(0, 1, false), choice(0, 1, true)]);
        assert_eq!(choices[1][0], choice(0, 1, true));
        // Equal to the last bit: 0.1 + 0.2 against 0.3, which `f64` sums tell apart and exact ones too.
        let candidates = Candidates::new(2, &[1.0, 1.0, 3.0, 0.0], None, &[Offsets::None]);
        agree(&candidates, &[0.1, 0.2, 0.2, 0.4, 1.0, 2.0, 3.0, 6.0]);
        assert!(candidates.choose(&[1.0, 2.0], false)[0][0].tied);
    }

    #[test]
    fn what_the_errors_of_vectors_hide_is_a_tie() {
        // The first and the third are one; the second is another, and as near to 0.5 as the first to within the errors.
        let vectors = [0.0, 0.0, 1.0, 0.0, 1e-9, 0.0];
        let plain = Candidates::new(2, &vectors, None, &[Offsets::HalfSquares]);
        let rows = [1e-9, 0.0, 0.5 + 1e-9, 0.0, 0.6, 0.0, 0.4, 3.0];
        let best = |choices: &[Choice]| choices.iter().map(|choice| (choice.best, choice.tied)).collect::<Vec<_>>();
        assert_eq!(best(&plain.choose(&rows, false)[0]), [(2, false), (1, false), (1, false), (2, false)]);
        let blurred = plain.off_by(vec![1e-9; 3]);
        assert_eq!(best(&blurred.choose(&rows, false)[0]), [(0, true), (1, true), (1, false), (0, true)]);
        // The same with errors too small to matter.
        let sharp = Candidates::new(2, &vectors, None, &[Offsets::HalfSquares]).off_by(vec![1e-12; 3]);
        assert_eq!(best(&sharp.choose(&rows, false)[0]), [(2, false), (1, false), (1, false), (2, false)]);
    }

    #[test]
    fn a_chain_of_vectors_that_are_one_has_one_speaker() {
        let vectors: Vec<f64> = (0..9).rev().map(|k| f64::from(k) * 1e-9).collect();
        let candidates = Candidates::new(1, &vectors, None, &[Offsets::HalfSquares]).off_by(vec![1e-9; 9]);
        assert_eq!(candidates.rules[0].alike, [0; 9]);
    }

    #[test]
    fn one_candidate_has_no_second() {
        let candidates = Candidates::new(1, &[4.0], None, &[Offsets::HalfSquares]);
        assert_eq!(candidates.choose(&[1.0], true)[0], [Choice { best: 0, second: None, tied: false }]);
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
            let together = largest.choose(&rows, true);
            let apart: Vec<Choice> = rows.chunks(dim).map(|row| largest.choose(row, true)[0][0]).collect();
            prop_assert_eq!(&together[0], &apart);
        }
    }
}
