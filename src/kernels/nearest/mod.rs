//! Which candidate a row belongs to: the exact answer, mostly by ordinary matrix products.
//!
//! A row near the mean of its class needs no product: within a radius (`radii`) about the mean every row chooses the same.
//! For others, a product of a tile of rows with a tile of candidates gives every score to within a bound that is known, in
//! eight bits (`int8`) or in single precision (`single`) first. Where that leaves one candidate, the answer is certain; where it leaves several, their
//! scores are taken in double precision, and where these leave several, exactly. So a decision depends on the numbers
//! alone: not on tiles, threads, order of summation or fused operations, nor on which of these ways has led to it.

mod alike;
mod contenders;
mod int8;
mod loops;
mod race;
mod radii;
mod single;

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef};

use self::alike::{alike, join, seconds};
pub use self::contenders::Contenders;
use self::race::Race;
pub use self::radii::Anchors;
use self::single::{Single, SingleScratch};
use super::dot::{dot, norm};
use super::exact_sum::ExactSum;
use crate::error::{Error, Result};
use crate::grid::vectorised;
use crate::kernels::Workspace;

/// Rows of a tile: their scores with a tile of candidates take 4 MiB, which stay in cache.
pub(super) const TILE_ROWS: usize = 256;

/// Fewer rows than this are not worth another form of all candidates.
const FEW_ROWS: usize = 32;

/// Candidates of a tile.
const TILE_CANDIDATES: usize = 2048;

/// What is added to the inner product of row and candidate.
#[derive(Clone, Copy, Debug)]
pub enum Offsets<'a> {
    /// Nothing.
    None,
    /// One number for each candidate, `K`.
    Given(&'a [f64]),
    /// `−½ ‖v_k‖²`, which makes the largest score the nearest candidate.
    HalfSquares,
}

/// `K` vectors, from which a row chooses the one of the largest score, `(x − origin) · v_k + o_k`.
///
/// Some candidates count as one: those of the same bits, and means that lie within their errors of each other. The first
/// of them represents them all. Only representatives compete, each with its own score: so a choice is a function of the
/// numbers alone, however many candidates the kernels leave.
#[derive(Debug)]
pub struct Candidates<'a> {
    id: u64,
    dim: usize,
    pub(super) vectors: &'a [f64],
    pub(super) origin: Option<&'a [f64]>,
    pub(super) norms: Vec<f64>,
    /// How far each vector may lie from the true one; `None` if the vectors are exact.
    errors: Option<Vec<f64>>,
    pub(super) rules: Vec<Rule<'a>>,
    /// The means of the classes that rows are of, if they are known.
    anchors: Option<Anchors<'a>>,
    /// The candidates in single precision, once they are needed; `None` where that does not pay.
    single: OnceLock<Option<Single>>,
}

/// The numbers of all candidates that were made.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Scores count as different if they differ by more than this many times the error that the vectors cause in them.
const DEVIATIONS: f64 = 3.0;

/// Bounds on scores allow each vector to be off by this many times its error: as far as vectors count as one, and scores
/// as equal.
const BLUR: f64 = 6.0;

/// One rule of choice, and what it needs for each candidate.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    offsets: Offsets<'a>,
    /// The offsets, rounded.
    pub(super) rounded: Vec<f64>,
    /// The bound on the error of a score, without the parts that are proportional to the norm of the row.
    pub(super) slack: Vec<f64>,
    /// For each candidate the one that represents it: the first of those that count as one.
    pub(super) alike: Vec<u32>,
    /// For each representative of several candidates the next of them.
    seconds: HashMap<u32, u32>,
}

/// The choice of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The candidate of the largest score; the first of equals.
    pub best: u32,
    /// The best of the others, if asked for and there is one; the first of equals. A candidate that counts as one with
    /// the best is as good as it.
    pub second: Option<u32>,
    /// Whether another candidate counts as one with the best, or has the same score: exactly, or within the errors of the
    /// vectors.
    pub tied: bool,
}

impl<'a> Candidates<'a> {
    /// Prepares to choose among the rows of `vectors`, `K × D`, by one rule for each kind of offsets. `origin` is
    /// subtracted from each row first: so a large offset that rows and candidates share costs no digits.
    ///
    /// All numbers are finite, and `K` is at least 1.
    pub fn new(dim: usize, vectors: &'a [f64], origin: Option<&'a [f64]>, offsets: &[Offsets<'a>]) -> Self {
        let norms: Vec<f64> = vectors.chunks_exact(dim).map(norm).collect();
        let rules = offsets.iter().map(|&offsets| Rule::new(dim, vectors, offsets)).collect();
        let id = NEXT.fetch_add(1, Relaxed);
        Self { id, dim, vectors, origin, norms, errors: None, rules, anchors: None, single: OnceLock::new() }
    }

    /// The same for rows of classes whose means are known: those near to the mean of their class need no product. Candidate
    /// `k` is that of class `k`.
    #[must_use]
    pub fn near(self, anchors: Anchors<'a>) -> Self {
        Self { anchors: Some(anchors), single: OnceLock::new(), ..self }
    }

    /// The same for vectors that are means and may each lie as far from the true mean as `errors`, `K`, says; only for the
    /// rule of the nearest. Vectors that lie within these errors of each other count as one, and so do all vectors of a
    /// chain whose neighbours do: the first of them represents them, and is chosen. A row is tied if the errors could make
    /// another representative the nearest.
    #[must_use]
    pub fn off_by(mut self, errors: Vec<f64>) -> Self {
        for rule in &mut self.rules {
            join(self.dim, self.vectors, &errors, &mut rule.alike);
            let blurs = errors.iter().zip(&self.norms).map(|(error, norm)| BLUR * error * norm);
            rule.slack.iter_mut().zip(blurs).for_each(|(slack, blur)| *slack += blur);
            rule.seconds = seconds(&rule.alike);
        }
        Self { id: NEXT.fetch_add(1, Relaxed), errors: Some(errors), single: OnceLock::new(), ..self }
    }

    /// A number that no other candidates of the process have. A device that holds candidates knows them by it.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// `K`.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// Whether there is no candidate.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// How many rules of choice there are, one for each kind of offsets.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// What each row chooses, for each kind of offsets. `rows` is rows × D, row-major, finite.
    ///
    /// # Errors
    ///
    /// Those of the [kernels](crate::kernels::Kernels).
    pub fn choose(&self, rows: &[f64], second: bool, workspace: &mut Workspace) -> Result<Vec<Vec<Choice>>> {
        self.choose_of(rows, &[], second, workspace)
    }

    /// The same for rows of these classes, one for each row or none at all; a row's class may be unknown. It gives the same
    /// choices, sooner.
    ///
    /// # Errors
    ///
    /// Those of the [kernels](crate::kernels::Kernels).
    pub fn choose_of(
        &self,
        rows: &[f64],
        classes: &[Option<usize>],
        second: bool,
        workspace: &mut Workspace,
    ) -> Result<Vec<Vec<Choice>>> {
        let (places, rules) = (if second { 2 } else { 1 }, self.rules.len());
        // Within its radius a row's best candidate is known, but not its second.
        let certain = if second { Vec::new() } else { self.certain(rows, classes) };
        let is_left = |i: usize| certain.get(i).is_none_or(Option::is_none);
        let rest: Vec<f64>;
        let left = if certain.iter().any(Option::is_some) {
            let each = rows.chunks_exact(self.dim).enumerate();
            rest = each.filter(|&(i, _)| is_left(i)).flat_map(|(_, row)| row).copied().collect();
            &rest
        } else {
            rows
        };
        let Workspace { kernels, contenders, .. } = workspace;
        contenders.clear();
        kernels.contenders(self, left, places, contenders)?;
        if contenders.lists() != left.len() / self.dim * rules {
            return Err(Error::internal("the kernels have not looked at every row"));
        }
        let decide = |(at, rule): (usize, &Rule<'_>)| {
            let mut next = 0;
            let choice = |(i, row): (usize, &[f64])| {
                if let Some(best) = certain.get(i).copied().flatten() {
                    return self.decide(rule, &[best], places, row);
                }
                next += 1;
                self.decide(rule, contenders.list((next - 1) * rules + at), places, row)
            };
            rows.chunks_exact(self.dim).enumerate().map(choice).collect()
        };
        let choices: Option<_> = self.rules.iter().enumerate().map(decide).collect();
        choices.ok_or_else(|| Error::internal("the kernels have left no candidate of a row"))
    }

    /// Bounds the scores of a tile of rows, at most [`TILE_ROWS`], and pushes a list for each row and rule.
    pub(super) fn bound(&self, rows: &[f64], places: usize, scratch: &mut TileScratch, lists: &mut Contenders) {
        // For a few rows it does not pay to bring all candidates into single precision.
        if self.single.get().is_some() || rows.len() >= FEW_ROWS * self.dim {
            let single = self.single.get_or_init(|| Single::new(self));
            if let Some(single) = single
                && self.bound_scores_single(single, rows, places, scratch, lists)
            {
                return;
            }
        }
        self.bound_scores(rows, places, scratch, lists);
    }

    /// By how much the errors of vectors may move a score, relative to the norm of the row.
    pub(super) fn blur(&self) -> f64 {
        self.errors.iter().flatten().fold(0.0, |most: f64, error| most.max(BLUR * error))
    }

    /// The same by a matrix product in double precision for each tile of candidates.
    fn bound_scores(&self, rows: &[f64], places: usize, scratch: &mut TileScratch, lists: &mut Contenders) {
        let dim = self.dim;
        let TileScratch { shifted, scores, races, .. } = scratch;
        let about_origin = match self.origin {
            Some(origin) => {
                shifted.resize(rows.len(), 0.0);
                shift(rows, origin, shifted);
                shifted.as_slice()
            }
            None => rows,
        };
        let count = rows.len() / dim;
        let lengths: Vec<f64> = about_origin.chunks_exact(dim).map(norm).collect();
        let blur = self.blur();
        races.resize_with(count * self.rules.len(), Race::default);
        for race in races.iter_mut() {
            race.start(places);
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
                let (slack, alike) = (&rule.slack[of_tile.clone()], &rule.alike[of_tile]);
                for ((race, scores), &length) in races.iter_mut().zip(scores.chunks_exact(width)).zip(&lengths) {
                    let (slope, blur) = (length * relative_error(dim), length * blur);
                    for k in (0..width).filter(|&k| alike[k] as usize == first + k) {
                        race.enter(alike[k], scores[k] + offsets[k], slope * norms[k] + (slack[k] + blur));
                    }
                }
            }
        }
        for row in 0..count {
            for races in races.chunks_exact(count) {
                lists.push(races[row].left());
            }
        }
    }

    /// Decides among the representatives that are left of a row, in ascending order; `None` if none is left.
    fn decide(&self, rule: &Rule<'_>, left: &[u32], places: usize, row: &[f64]) -> Option<Choice> {
        let mut competitors = left.iter().copied().filter(|&class| rule.alike[class as usize] == class);
        let first = competitors.next()?;
        let (mut best, mut other, mut tied) = (first, None, false);
        if let Some(next) = competitors.next() {
            let scored: Vec<(u32, ExactSum)> = [first, next]
                .into_iter()
                .chain(competitors)
                .map(|class| (class, self.exact_score(rule, class as usize, row)))
                .collect();
            // The best of them, and the first of equals: they are in order of class.
            let champion = |except: Option<u32>| {
                let others = scored.iter().filter(|entry| Some(entry.0) != except);
                others.reduce(|best, entry| if entry.1.compare(&best.1) == Ordering::Greater { entry } else { best })
            };
            if let Some((class, score)) = champion(None) {
                best = *class;
                other = if places > 1 { champion(Some(best)).map(|(other, its)| (*other, its == score)) } else { None };
                tied = scored
                    .iter()
                    .filter(|entry| entry.0 != best)
                    .any(|entry| entry.1 == *score || self.as_near(row, entry.0 as usize, best as usize));
            }
        }
        let alike = rule.seconds.get(&best).copied();
        let second = match (alike, other) {
            (Some(alike), Some((other, true))) => Some(alike.min(other)),
            (Some(alike), _) => Some(alike),
            (None, other) => other.map(|(other, _)| other),
        };
        Some(Choice { best, second: second.filter(|_| places > 1), tied: tied || alike.is_some() })
    }

    /// Whether, within the errors of two vectors, either could be the nearer one. Compares
    /// `½ |‖y − a‖² − ‖y − b‖²| = ½ |(a − b) · ((y − a) + (y − b))|` with its error, `‖y − a‖ e_a + ‖y − b‖ e_b`.
    fn as_near(&self, row: &[f64], a: usize, b: usize) -> bool {
        let Some(errors) = &self.errors else { return false };
        let vector = |k: usize| &self.vectors[k * self.dim..][..self.dim];
        let measured = |unit: f64| {
            let y = |j: usize| unit * row[j] - self.origin.map_or(0.0, |origin| unit * origin[j]);
            let (mut apart, mut to_a, mut to_b) = (0.0, 0.0, 0.0);
            for (j, (a, b)) in vector(a).iter().zip(vector(b)).enumerate() {
                let (from_a, from_b) = (y(j) - unit * a, y(j) - unit * b);
                apart += (unit * a - unit * b) * (from_a + from_b);
                to_a += from_a * from_a;
                to_b += from_b * from_b;
            }
            let error = to_a.sqrt() * (unit * errors[a]) + to_b.sqrt() * (unit * errors[b]);
            (0.5 * f64::abs(apart), DEVIATIONS * error)
        };
        let (apart, error) = measured(1.0);
        // In a larger unit no square leaves the range of `f64`.
        let (apart, error) = if (apart + error).is_finite() { (apart, error) } else { measured(2f64.powi(-600)) };
        apart <= error
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
        let alike = alike(dim, vectors, &rounded);
        Self { offsets, slack, seconds: seconds(&alike), alike, rounded }
    }
}

/// A bound on the error of a computed score, relative to `‖x − origin‖ ‖v_k‖ + |o_k|`.
///
/// A product of length `D`, summed in any order and fused or not, is off by at most `D u / (1 − D u)` of the sum of
/// magnitudes (Higham 2002, 3.5), which is at most the product of the norms; the rounding of `x − origin`, of the
/// offset, of the last addition, of the norms and of the bound itself add a few more `u = ε / 2`.
pub(super) fn relative_error(dim: usize) -> f64 {
    (dim as f64 + 8.0) * 0.51 * f64::EPSILON
}

/// The memory of a tile, which may take some mebibytes.
#[derive(Debug, Default)]
pub(super) struct TileScratch {
    shifted: Vec<f64>,
    scores: Vec<f64>,
    /// All rows under the first rule, then all under the next.
    races: Vec<Race>,
    single: SingleScratch,
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

#[cfg(test)]
mod tests;
