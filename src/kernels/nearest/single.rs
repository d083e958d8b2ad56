//! Bounds on scores by products in single precision, which take half the time.
//!
//! Scores are compared within a row, so what all candidates share may be taken off: a point from the row, and a point
//! from the candidates. `x · v_k + o_k` and `(x − p) · (v_k − c) + (o_k + p · v_k)` differ by the same number for all `k`.
//! What is left is short, and so is the bound on its error, which is proportional to the lengths.
//!
//! Where the machine has instructions for it, products in eight bits (`int8`) come first.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef};

use super::int8::{Int8, Int8Rows};
use super::loops::{above, larger, largest_about, largest_sum, mean, norm_of, scale_of, single_dot};
use super::{Candidates, Contenders, Race, Rule, TileScratch, relative_error};
use crate::grid::vectorised;
use crate::kernels::dot::{dot, norm};

/// With fewer candidates than this a product takes no longer than what is done around it.
const FEWEST: usize = 64;

/// The longest vectors for which the bound on the error of a product holds: `D u` has to be small.
const LONGEST: usize = 1 << 17;

/// Half the distance from 1 to the next number in single precision.
pub(super) const UNIT: f64 = 1.0 / 16_777_216.0;

/// Candidates whose scores are compared with the best one together: few enough for their largest to say something.
pub(super) const GROUP: usize = 64;

/// Candidates of a tile.
const TILE: usize = 1024;

/// The candidates about their mean, in single precision.
#[derive(Debug)]
pub(super) struct Single {
    dim: usize,
    /// What is taken from a row besides the point near which rows lie, `D`; empty if nothing.
    inner: Vec<f64>,
    /// `(v_k − c) · scale`, `K × D`.
    values: Vec<f32>,
    /// A power of two, after which the largest value lies between 1 and 2.
    scale: f64,
    /// Upper bounds on the lengths of the rows of `values`, `K`.
    norms: Vec<f64>,
    /// The same candidates in eight bits, where that pays.
    pub(super) int8: Option<Int8>,
    /// One for each rule.
    rules: Vec<SingleRule>,
}

#[derive(Debug)]
struct SingleRule {
    /// `o_k + p · v_k`, `K`.
    offsets: Vec<f64>,
    /// How far the offsets may be off, and how far the score may be for other reasons, without what is proportional to the
    /// length of the row, `K`.
    slack: Vec<f64>,
}

/// Offsets and bounds of a tile of candidates for rows of one scale.
#[derive(Debug, Default)]
pub(super) struct TileOffsets {
    /// The offsets; `−∞` for a candidate that another one represents.
    pub(super) offsets: Vec<f32>,
    /// The bounds on the errors of scores, without what is proportional to the length of the row.
    pub(super) slack: Vec<f64>,
    /// The largest of them in each group, and the largest norm.
    group_slack: Vec<f64>,
    group_norms: Vec<f64>,
}

/// Rows in single precision.
#[derive(Debug, Default)]
pub(super) struct SingleRows {
    /// `(x − p) · scale`, rows × D.
    pub(super) values: Vec<f32>,
    /// A power of two.
    pub(super) scale: f64,
    /// For each row what times the norm of a candidate bounds the error of a score.
    pub(super) slopes: Vec<f64>,
    /// For each row by how much the errors of candidates may move any score.
    pub(super) blurs: Vec<f64>,
}

impl SingleRows {
    pub(super) fn row(&self, i: usize, dim: usize) -> &[f32] {
        &self.values[i * dim..][..dim]
    }
}

/// Memory for a tile of rows.
#[derive(Debug, Default)]
pub(super) struct SingleScratch {
    rows: SingleRows,
    int8: Int8Rows,
    /// A tile of rows in double precision, as rules are written for.
    shifted: Vec<f64>,
    /// The products of a tile of rows with a tile of candidates.
    products: Vec<f32>,
    offsets: TileOffsets,
    /// The candidates that a row leaves, each with the upper bound of its score.
    left: Vec<(u32, f64)>,
}

/// How far products of a row may be off for a reason that single precision has not: by `of_row ‖b‖ + length · off` for a candidate
/// that may be off by `off`.
#[derive(Clone, Copy, Default)]
struct Coarse {
    of_row: f64,
    length: f64,
}

impl Single {
    /// `None` where single precision does not pay, or its range is too small.
    pub(super) fn new(candidates: &Candidates<'_>) -> Option<Self> {
        (candidates.len() >= FEWEST).then(|| Self::of_any(candidates)).flatten()
    }

    /// The same for any number of candidates.
    pub(super) fn of_any(candidates: &Candidates<'_>) -> Option<Self> {
        let (dim, vectors) = (candidates.dim, candidates.vectors);
        if dim > LONGEST {
            return None;
        }
        let centre = mean(vectors, dim);
        let inner = candidates.anchors.as_ref().map_or_else(Vec::new, |anchors| mean(anchors.means, dim));
        let largest = largest_about(vectors, &centre);
        let scale = scale_of(largest)?;
        let mut values = vec![0.0_f32; vectors.len()];
        vectorised(
            #[inline(always)]
            || {
                for (values, vector) in values.chunks_exact_mut(dim).zip(vectors.chunks_exact(dim)) {
                    for j in 0..dim {
                        values[j] = ((vector[j] - centre[j]) * scale) as f32;
                    }
                }
            },
        );
        let norms = values.chunks_exact(dim).map(|values| above(norm_of(values))).collect();
        let int8 = Int8::new(&values, dim);
        let rules = candidates.rules.iter().map(|rule| SingleRule::new(candidates, rule, &inner)).collect();
        Some(Self { dim, inner, values, scale, norms, int8, rules })
    }

    /// `A` in the bound `A ‖b_k‖` on the error of a product with a row of this length, in units of both scales.
    ///
    /// Rounding moves each entry of both by `u` of it, the product is off by `D u / (1 − D u)` in any order and fused or not
    /// (Higham 2002, 3.5), and the addition of the offset by `u` once more: `D + 3` in all, and 13 more for what follows.
    fn relative(&self) -> f64 {
        (self.dim as f64 + 16.0) * 1.02 * UNIT
    }

    /// What the least numbers of single precision may change in a score, whether they are kept or become 0: each of `2 D`
    /// entries, times less than 2, each of `D` products, and each of their sums.
    fn underflow(&self) -> f64 {
        self.dim as f64 * f64::from(f32::MIN_POSITIVE) * 16.0
    }

    /// Brings rows into single precision; `false` if they are out of its range. `about_point` is rows × D, and that
    /// point is taken from them already.
    pub(super) fn narrow(&self, candidates: &Candidates<'_>, about_point: &[f64], rows: &mut SingleRows) -> bool {
        let Some(scale) = scale_of(largest_about(about_point, &self.inner)) else { return false };
        let dim = self.dim;
        rows.scale = scale;
        rows.values.resize(about_point.len(), 0.0);
        vectorised(
            #[inline(always)]
            || {
                for (values, row) in rows.values.chunks_exact_mut(dim).zip(about_point.chunks_exact(dim)) {
                    if self.inner.is_empty() {
                        for j in 0..dim {
                            values[j] = (row[j] * scale) as f32;
                        }
                    } else {
                        for j in 0..dim {
                            values[j] = ((row[j] - self.inner[j]) * scale) as f32;
                        }
                    }
                }
            },
        );
        let both = rows.scale * self.scale;
        let blur = candidates.blur() * both;
        (rows.slopes, rows.blurs) = (Vec::new(), Vec::new());
        for (values, row) in rows.values.chunks_exact(dim).zip(about_point.chunks_exact(dim)) {
            let length: f64 = norm_of(values);
            let before = norm(row);
            // Two differences in double precision come before the rounding to single precision.
            rows.slopes.push(above(self.relative() * above(length) + 2.0 * f64::EPSILON * before * scale));
            rows.blurs.push(above(blur * before));
        }
        true
    }

    /// What a tile of candidates adds to the products with rows of a scale.
    pub(super) fn offsets(
        &self,
        (at, rule): (usize, &Rule<'_>),
        of_tile: Range<usize>,
        rows_scale: f64,
        out: &mut TileOffsets,
    ) {
        let TileOffsets { offsets, slack, group_slack, group_norms } = out;
        for values in [&mut *slack, &mut *group_slack, &mut *group_norms] {
            values.clear();
        }
        offsets.clear();
        for k in of_tile.clone() {
            let (offset, off) = self.offset((at, rule), k, self.scale * rows_scale);
            offsets.push(offset);
            slack.push(off);
        }
        let largest = |values: &[f64]| values.iter().fold(0.0, |most, &x| larger(most, x));
        group_slack.extend(slack.chunks(GROUP).map(largest));
        group_norms.extend(self.norms[of_tile].chunks(GROUP).map(largest));
    }

    /// The offset of candidate `k` in units of both scales, and the bound on the error of a score without what is proportional to the
    /// length of the row; `−∞` for a candidate that another one represents.
    fn offset(&self, (at, rule): (usize, &Rule<'_>), k: usize, scale: f64) -> (f32, f64) {
        if rule.alike[k] as usize != k {
            return (f32::NEG_INFINITY, 0.0);
        }
        let offset = self.rules[at].offsets[k] * scale;
        let off = above(self.rules[at].slack[k] * scale + 6.0 * UNIT * offset.abs() + self.underflow());
        (offset as f32, if (offset as f32).is_finite() { off } else { f64::INFINITY })
    }

    /// The products of rows with candidates: rows × candidates.
    pub(super) fn products(&self, rows: &[f32], of_tile: &Range<usize>, out: &mut Vec<f32>) {
        let (dim, count, width) = (self.dim, rows.len() / self.dim, of_tile.len());
        out.resize(out.len().max(count * width), 0.0);
        matmul(
            MatMut::from_row_major_slice_mut(&mut out[..count * width], count, width),
            Accum::Replace,
            MatRef::from_row_major_slice(rows, count, dim),
            MatRef::from_row_major_slice(&self.values[of_tile.start * dim..of_tile.end * dim], width, dim).transpose(),
            1.0,
            faer::Par::Seq,
        );
    }

    /// How many candidates a tile has at most.
    pub(super) fn largest_tile(&self) -> usize {
        TILE.min(self.norms.len())
    }

    /// Tiles of candidates.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Range<usize>> {
        let count = self.norms.len();
        (0..count).step_by(TILE).map(move |first| first..(first + TILE).min(count))
    }

    /// All candidates, `K × D`.
    #[cfg(test)]
    pub(super) fn vectors(&self) -> &[f32] {
        &self.values
    }

    /// `D`.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// The rows of candidate `k`, its norm, and the scale of both.
    pub(super) fn vector(&self, k: usize) -> (&[f32], f64) {
        (&self.values[k * self.dim..][..self.dim], self.norms[k])
    }

    pub(super) fn norms(&self, of_tile: Range<usize>) -> &[f64] {
        &self.norms[of_tile]
    }

    pub(super) fn scale(&self) -> f64 {
        self.scale
    }

    /// The bound on the error of the product of two candidates, of which one has this norm, over the norm of the other.
    pub(super) fn between(&self, norm: f64) -> f64 {
        above(self.relative() * norm)
    }

    /// See [`underflow`](Self::underflow): for products of two candidates.
    pub(super) fn between_least(&self) -> f64 {
        self.underflow()
    }
}

impl SingleRule {
    fn new(candidates: &Candidates<'_>, rule: &Rule<'_>, inner: &[f64]) -> Self {
        let (dim, relative) = (candidates.dim, relative_error(candidates.dim));
        // What is taken from rows before scores are defined does not count.
        let outer = match (candidates.origin, &candidates.anchors) {
            (None, Some(anchors)) => anchors.origin,
            _ => &[],
        };
        let taken = [outer, inner];
        let lengths: Vec<f64> = taken.iter().map(|point| norm(point)).collect();
        let mut offsets = Vec::with_capacity(candidates.len());
        let mut slack = Vec::with_capacity(candidates.len());
        for (k, vector) in candidates.vectors.chunks_exact(dim).enumerate() {
            let (mut offset, mut off) = (rule.rounded[k], rule.slack[k]);
            for (point, length) in taken.iter().zip(&lengths).filter(|(point, _)| !point.is_empty()) {
                offset += dot(point, vector);
                // The product, and the addition; products that underflow.
                off += relative * (length * candidates.norms[k] + offset.abs()) + dim as f64 * f64::MIN_POSITIVE;
            }
            offsets.push(offset);
            slack.push(off);
        }
        Self { offsets, slack }
    }
}

impl Candidates<'_> {
    /// The same as [`bound_scores`](Self::bound_scores) by products in single precision; candidates that these leave are
    /// looked at in double precision. `false`, and nothing is added, if rows are out of the range of single precision.
    pub(super) fn bound_scores_single(
        &self,
        single: &Single,
        rows: &[f64],
        places: usize,
        scratch: &mut TileScratch,
        lists: &mut Contenders,
    ) -> bool {
        let (dim, count) = (self.dim, rows.len() / self.dim);
        let TileScratch { races, single: scratch, .. } = scratch;
        let SingleScratch { rows: narrow, int8: rows8, shifted, products, offsets, left } = scratch;
        let about_point = self.about_point(rows, shifted);
        if !single.narrow(self, about_point, narrow) {
            return false;
        }
        races.resize_with(count * self.rules.len(), Race::default);
        for race in races.iter_mut() {
            race.start(places);
        }
        let int8 = single.int8.as_ref().filter(|int8| int8.pays());
        if let Some(int8) = int8 {
            int8.narrow(&narrow.values, rows8);
        }
        let exact = [0.0; TILE];
        for of_tile in single.tiles() {
            match int8 {
                Some(int8) => int8.products(rows8, &of_tile, products),
                None => single.products(&narrow.values, &of_tile, products),
            }
            let (first, width) = (of_tile.start, of_tile.len());
            let norms = &single.norms[of_tile.clone()];
            let off = int8.map_or(&exact[..width], |int8| int8.off(of_tile.clone()));
            let group_off: Vec<f64> = off.chunks(GROUP).map(|off| off.iter().copied().fold(0.0, larger)).collect();
            for (at, (rule, races)) in self.rules.iter().zip(races.chunks_exact_mut(count)).enumerate() {
                single.offsets((at, rule), of_tile.clone(), narrow.scale, offsets);
                for (i, (race, products)) in races.iter_mut().zip(products.chunks_exact(width)).enumerate() {
                    let coarse =
                        int8.map_or(Coarse::default(), |_| Coarse { of_row: rows8.off[i], length: rows8.lengths[i] });
                    let (slope, blur) = (narrow.slopes[i] + coarse.of_row, narrow.blurs[i]);
                    for (group, off_of_group) in group_off.iter().enumerate() {
                        let range = group * GROUP..((group + 1) * GROUP).min(width);
                        let largest = f64::from(largest_sum(&products[range.clone()], &offsets.offsets[range.clone()]));
                        let most = slope * offsets.group_norms[group] + coarse.length * off_of_group;
                        if race.is_behind(largest + (most + (offsets.group_slack[group] + blur))) {
                            continue;
                        }
                        for k in range.filter(|&k| rule.alike[first + k] as usize == first + k) {
                            let score = f64::from(products[k]) + f64::from(offsets.offsets[k]);
                            let error = slope * norms[k] + coarse.length * off[k] + (offsets.slack[k] + blur);
                            race.enter((first + k) as u32, score, error);
                        }
                    }
                }
            }
        }
        if let Some(int8) = int8 {
            let mut looked_at = 0;
            for (rule, races) in self.rules.iter().enumerate().zip(races.chunks_exact_mut(count)) {
                for (i, race) in races.iter_mut().enumerate() {
                    looked_at += self.in_single_precision(single, rule, race, (narrow, i), left);
                }
            }
            int8.count(count * self.rules.len(), looked_at);
        }
        let as_defined = if self.origin.is_some() { about_point } else { rows };
        for (i, row) in as_defined.chunks_exact(dim).enumerate() {
            for (rule, races) in self.rules.iter().zip(races.chunks_exact(count)) {
                self.bound_again(rule, &races[i], row, places, lists);
            }
        }
        true
    }

    /// The candidates of a race of row `i` that single precision leaves. Returns how many products that took.
    fn in_single_precision(
        &self,
        single: &Single,
        (at, rule): (usize, &Rule<'_>),
        race: &mut Race,
        (rows, i): (&SingleRows, usize),
        left: &mut Vec<(u32, f64)>,
    ) -> usize {
        left.clear();
        left.extend(race.left_at_most());
        if left.len() <= race.places {
            return 0;
        }
        // The most promising first: those that cannot reach them need no product.
        left.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        race.start(race.places);
        let (row, scale) = (rows.row(i, self.dim), single.scale * rows.scale);
        let mut products = 0;
        for &(class, highest) in left.iter() {
            if race.is_behind(highest) {
                break;
            }
            let (vector, norm) = single.vector(class as usize);
            let (offset, slack) = single.offset((at, rule), class as usize, scale);
            let score = f64::from(single_dot(row, vector)) + f64::from(offset);
            race.enter(class, score, rows.slopes[i] * norm + (slack + rows.blurs[i]));
            products += 1;
        }
        race.sort();
        products
    }

    /// Pushes the candidates of a race that double precision leaves. The row is that of the definition of scores.
    fn bound_again(&self, rule: &Rule<'_>, race: &Race, row: &[f64], places: usize, lists: &mut Contenders) {
        if race.left().take(places + 1).count() <= places {
            return lists.push(race.left());
        }
        let length = norm(row);
        let (slope, blur) = (length * relative_error(self.dim), length * self.blur());
        let mut again = Race::default();
        again.start(places);
        for class in race.left() {
            let k = class as usize;
            let score = dot(row, &self.vectors[k * self.dim..][..self.dim]) + rule.rounded[k];
            again.enter(class, score, slope * self.norms[k] + (rule.slack[k] + blur));
        }
        lists.push(again.left());
    }

    /// Rows less the point near which they lie: the origin of scores, or else that of the anchors.
    pub(super) fn about_point<'r>(&self, rows: &'r [f64], shifted: &'r mut Vec<f64>) -> &'r [f64] {
        let point = self.origin.or(self.anchors.as_ref().map(|anchors| anchors.origin));
        let Some(point) = point else { return rows };
        shifted.resize(rows.len(), 0.0);
        super::shift(rows, point, shifted);
        shifted
    }
}
