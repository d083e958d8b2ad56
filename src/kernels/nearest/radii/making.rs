//! How radii are made: tile by tile of candidates, from products with the means of some classes.
//!
//! Products in eight bits come first, if there are any. Those candidates that may make a radius smaller, as far as these tell, get
//! products in single precision.

use std::ops::Range;

use super::Anchors;
use super::leads::{Distances, Leader, Others};
use crate::kernels::dot::norm;
use crate::kernels::nearest::int8::Int8Rows;
use crate::kernels::nearest::loops::{above, single_dot};
use crate::kernels::nearest::single::{GROUP, Single, SingleRows, TileOffsets};
use crate::kernels::nearest::{Candidates, Rule, relative_error};

/// Where more groups than one in so many are open after products in eight bits, all are made in single precision.
const MOST_OPEN: usize = 2;

/// Memory for the radii of some classes.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    rows: SingleRows,
    int8: Int8Rows,
    /// The candidates of the classes, classes × D.
    own: Vec<f32>,
    to_means: Vec<f32>,
    to_own: Vec<f32>,
    offsets: TileOffsets,
    /// The groups of a tile that are not settled, and the place of the class.
    open: Vec<(usize, Range<usize>)>,
}

/// A tile of candidates beside some classes, by one rule.
struct Tile<'a> {
    single: &'a Single,
    candidates: Range<usize>,
    classes: &'a [usize],
    leaders: &'a [Leader],
    offsets: &'a TileOffsets,
    is_nearest: bool,
    /// Classes × tile, the products of candidates; nothing if they are not known.
    to_own: &'a [f32],
}

impl Candidates<'_> {
    /// The radii about the means of some classes, in feature units; 0 where there is none. They are larger with the distances of
    /// candidates, which take products of their own where margins do not tell them.
    pub(super) fn radii(
        &self,
        single: &Single,
        anchors: &Anchors<'_>,
        classes: &[usize],
        with_distances: bool,
        scratch: &mut Scratch,
    ) -> Vec<f64> {
        let Scratch { rows, int8: rows8, own, to_means, to_own, offsets, open } = scratch;
        let means: Vec<f64> = classes.iter().flat_map(|&class| anchors.mean(class)).copied().collect();
        if !single.narrow(self, &means, rows) {
            return vec![0.0; classes.len()];
        }
        own.clear();
        if with_distances {
            for &class in classes {
                own.extend_from_slice(single.vector(class).0);
            }
        }
        let mut radii = vec![f64::INFINITY; classes.len()];
        let int8 = single.int8.as_ref();
        if let Some(int8) = int8 {
            int8.narrow(&rows.values, rows8);
        }
        let leaders: Vec<Vec<Leader>> = self
            .rules
            .iter()
            .enumerate()
            .map(|rule| self.leaders(single, anchors, classes, rule, rows, offsets))
            .collect();
        let exact = vec![0.0; single.largest_tile()];
        for of_tile in single.tiles() {
            match int8 {
                Some(int8) => int8.products(rows8, &of_tile, to_means),
                None => single.products(&rows.values, &of_tile, to_means),
            }
            if with_distances {
                single.products(own, &of_tile, to_own);
            }
            let mut coarse = int8.map(|int8| int8.off(of_tile.clone()));
            for (rule, leaders) in self.rules.iter().enumerate().zip(&leaders) {
                single.offsets(rule, of_tile.clone(), rows.scale, offsets);
                let is_nearest = self.is_nearest_of(anchors);
                let candidates = of_tile.clone();
                let tile = Tile { single, candidates, classes, leaders, offsets, is_nearest, to_own };
                if let Some(off) = coarse {
                    tile.find_open(to_means, (off, rows8), &radii, open);
                    if open.len() * GROUP * MOST_OPEN > leaders.len() * tile.candidates.len() {
                        single.products(&rows.values, &tile.candidates, to_means);
                        coarse = None;
                    } else {
                        tile.settle(to_means, (off, rows8), rows, open, &mut radii);
                    }
                }
                if coarse.is_none() {
                    tile.lower(to_means, &exact, &mut radii);
                }
            }
        }
        // A little less than what was found, for the roundings on the way.
        radii.iter().map(|radius| radius / rows.scale * (1.0 - 1e-6)).collect()
    }

    /// The candidates of some classes by one rule.
    fn leaders(
        &self,
        single: &Single,
        anchors: &Anchors<'_>,
        classes: &[usize],
        rule: (usize, &Rule<'_>),
        rows: &SingleRows,
        offsets: &mut TileOffsets,
    ) -> Vec<Leader> {
        let (blur, scale) = (self.widest_blur(), rows.scale * single.scale());
        let mut leader = |(i, &class): (usize, &usize)| {
            let (vector, norm_of_vector) = single.vector(class);
            single.offsets(rule, class..class + 1, rows.scale, offsets);
            let score = wide_dot(rows.row(i, self.dim), vector) + f64::from(offsets.offsets[0]);
            let before = norm(anchors.mean(class));
            Leader {
                score,
                off: above(rows.slopes[i] * norm_of_vector + offsets.slack[0] + 2.0 * blur * scale * before),
                slope: rows.slopes[i],
                norm: norm_of_vector,
                between: single.between(norm_of_vector),
                least: single.between_least(),
                step: 2.0 * blur * single.scale(),
                squares: 2.0 * single.scale() / rows.scale,
                length: 0.0,
            }
        };
        classes.iter().enumerate().map(&mut leader).collect()
    }

    /// By how much a score may be off within double precision, relative to the length of the row: so that a row within its
    /// radius would have left no other candidate in double precision either.
    fn widest_blur(&self) -> f64 {
        let norm = self.norms.iter().copied().fold(0.0, f64::max);
        self.blur() + 2.0 * relative_error(self.dim) * norm
    }
}

impl Tile<'_> {
    /// All candidates, beside class `i`. Their products may be off for one reason more by what is proportional to `off`.
    fn others<'b>(&'b self, i: usize, to_means: &'b [f32], off: &'b [f64]) -> Others<'b> {
        let width = self.candidates.len();
        Others {
            products: &to_means[i * width..][..width],
            distances: match (self.is_nearest, self.to_own.is_empty()) {
                (true, _) => Distances::OfLeads,
                (false, true) => Distances::Bounded,
                (false, false) => Distances::OfProducts(&self.to_own[i * width..][..width]),
            },
            offsets: &self.offsets.offsets,
            slack: &self.offsets.slack,
            norms: self.single.norms(self.candidates.clone()),
            off: &off[..width],
        }
    }

    /// All but the candidate of class `i` itself.
    fn ranges(&self, i: usize) -> [Range<usize>; 2] {
        let width = self.candidates.len();
        let mine = self.classes[i].wrapping_sub(self.candidates.start).min(width);
        [0..mine, (mine + 1).min(width)..width]
    }

    /// Finds the groups of candidates that may make a radius smaller, as far as products in eight bits tell.
    fn find_open(
        &self,
        to_means: &[f32],
        (off, rows8): (&[f64], &Int8Rows),
        radii: &[f64],
        open: &mut Vec<(usize, Range<usize>)>,
    ) {
        open.clear();
        for (i, leader) in self.leaders.iter().enumerate().filter(|&(i, _)| radii[i] > 0.0) {
            let (others, leader) = (self.others(i, to_means, off), leader.in_eight_bits(rows8, i));
            for range in self.ranges(i) {
                open.extend(leader.open(&others, range, radii[i]).map(|group| (i, group)));
            }
        }
    }

    /// Makes radii smaller where candidates of open groups ask for it: each that may gets a product in single precision.
    fn settle(
        &self,
        to_means: &[f32],
        (off, rows8): (&[f64], &Int8Rows),
        rows: &SingleRows,
        open: &[(usize, Range<usize>)],
        radii: &mut [f64],
    ) {
        for (i, group) in open.iter().map(|(i, group)| (*i, group.clone())) {
            let (leader, others) = (&self.leaders[i], self.others(i, to_means, off));
            let coarse = leader.in_eight_bits(rows8, i);
            for j in group {
                let other = others.part(j..j + 1);
                if radii[i] > 0.0 && coarse.may_be_less(&other, radii[i]) {
                    let vector = self.single.vector(self.candidates.start + j).0;
                    let products = [single_dot(rows.row(i, self.single.dim()), vector)];
                    radii[i] = leader.least_over(&Others { products: &products, ..other }, radii[i]);
                }
            }
        }
    }

    /// Makes radii smaller where candidates ask for it by products in single precision.
    fn lower(&self, to_means: &[f32], exact: &[f64], radii: &mut [f64]) {
        for ((i, leader), radius) in self.leaders.iter().enumerate().zip(radii).filter(|(_, radius)| **radius > 0.0) {
            let others = self.others(i, to_means, exact);
            for range in self.ranges(i) {
                *radius = leader.least_over(&others.part(range), *radius);
            }
        }
    }
}

/// The inner product of two vectors of single precision, in double precision.
fn wide_dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
