//! How far a row may lie from the mean of its class and still be decided without a product.
//!
//! At a point `a` the candidate `c` leads every other by a margin `m_j = s_c(a) − s_j(a)`. At a distance `r` from `a` it
//! leads by at least `m_j − r ‖v_c − v_j‖`, so it is the best of all wherever `r < min_j m_j / ‖v_c − v_j‖`. For the nearest
//! mean, with `a = v_c`, that is half the distance of the next mean. Margins and distances are taken in single precision
//! and bounded, so a radius is never too large.
//!
//! Where margins do not tell the distances of candidates, these take a product of their own. At first they are bounded by the
//! lengths of both about the mean of all, which takes none: classes that lie well apart need no more.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::loops::above;
use super::single::{GROUP, Single, SingleRows, TileOffsets, UNIT};
use super::{Candidates, Offsets, Rule, TILE_ROWS, relative_error};
use crate::grid::vectorised;
use crate::kernels::dot::{norm, squared_distance};

/// From so many candidates on, a look at the radius takes less time than a product.
const FEWEST: usize = 64;

/// Fewer classes than this at a time make slow products.
pub(super) const AT_LEAST: usize = 16;

/// Rows that are looked at before the share of them that a radius spares is believed.
const TRIAL: u64 = 2000;

/// Where bounded distances spare a smaller share of rows than this, it is worth a product to know them.
const ENOUGH: f64 = 0.9;

/// Bits that no radius has: nobody has looked for it yet.
const UNMADE: u64 = u64::MAX;

/// The means of classes, and about each the radius within which all rows choose the candidate of their class.
///
/// Radii are made when rows of a class come. Which ones are there changes how long a choice takes, and never the choice.
#[derive(Debug)]
pub struct Anchors<'a> {
    pub(super) origin: &'a [f64],
    pub(super) means: &'a [f64],
    /// About how many rows of each class will come, `K`.
    rows: Vec<f64>,
    /// The bits of each radius, in feature units; 0 where there is none.
    radii: Vec<AtomicU64>,
    /// Rows that had a radius, and those that lay within it.
    tried: AtomicU64,
    held: AtomicU64,
    /// The first class that was not looked at yet when others were made that nobody had asked for.
    next: AtomicUsize,
    /// Whether distances of candidates are known, and not only bounded.
    pub(super) knows_distances: AtomicBool,
}

impl<'a> Anchors<'a> {
    /// Means about `origin`, `K × D`, and about how many rows of each class will come.
    pub fn new(origin: &'a [f64], means: &'a [f64], rows: Vec<f64>) -> Self {
        let radii = rows.iter().map(|_| AtomicU64::new(UNMADE)).collect();
        let (tried, held) = (AtomicU64::new(0), AtomicU64::new(0));
        let (next, knows_distances) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { origin, means, rows, radii, tried, held, next, knows_distances }
    }

    /// `μ_k − origin`.
    fn mean(&self, class: usize) -> &'a [f64] {
        let dim = self.origin.len();
        &self.means[class * dim..][..dim]
    }

    /// The radius of a class, once it is made.
    fn radius(&self, class: usize) -> Option<f64> {
        let bits = self.radii[class].load(Relaxed);
        (bits != UNMADE).then(|| f64::from_bits(bits))
    }

    fn is_unmade(&self, class: usize) -> bool {
        self.radii[class].load(Relaxed) == UNMADE
    }

    /// Adds classes to those whose radii are to be made, ascending, until they fill tiles: their rows come later, and a product
    /// of many is a fast one. It does so once it is known that radii spare rows.
    fn fill_up(&self, wanted: &mut Vec<usize>, each: f64) {
        if self.tried.load(Relaxed) < TRIAL {
            return;
        }
        let (asked, most) = (wanted.len(), wanted.len().next_multiple_of(TILE_ROWS));
        while wanted.len() < most {
            let class = self.next.fetch_add(1, Relaxed);
            if class >= self.radii.len() {
                return;
            }
            let is_asked = wanted[..asked].binary_search(&class).is_ok();
            if !is_asked && self.is_unmade(class) && self.pays(class, each) {
                wanted.push(class);
            }
        }
    }

    /// Begins again with distances that are known, once it has turned out that bounded ones spare too few rows. Returns whether
    /// they are to be known.
    fn learn_distances(&self) -> bool {
        let (tried, held) = (self.tried.load(Relaxed), self.held.load(Relaxed));
        if tried >= TRIAL && (held as f64) < ENOUGH * tried as f64 && !self.knows_distances.swap(true, Relaxed) {
            for count in [&self.tried, &self.held] {
                count.store(0, Relaxed);
            }
            self.next.store(0, Relaxed);
            self.radii.iter().for_each(|radius| radius.store(UNMADE, Relaxed));
        }
        self.knows_distances.load(Relaxed)
    }

    /// Whether a radius of this class is likely to spare more than it takes. It takes as many products as `each` rows.
    fn pays(&self, class: usize, each: f64) -> bool {
        let (tried, held) = (self.tried.load(Relaxed), self.held.load(Relaxed));
        let spared = if tried < TRIAL { 1.0 } else { held as f64 / tried as f64 };
        self.rows[class] * spared > each
    }
}

impl Candidates<'_> {
    /// Makes the radii of classes that rows are of, where they pay.
    pub fn prepare(&self, classes: &[Option<usize>]) {
        let Some(anchors) = self.anchors.as_ref().filter(|_| self.len() >= FEWEST) else { return };
        // The products of an anchor with all candidates, and those of its candidate.
        let with_distances = !self.is_nearest_of(anchors) && anchors.learn_distances();
        let each = if with_distances { 2.75 } else { 1.5 };
        let mut wanted: Vec<usize> = classes.iter().filter_map(|&class| class).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|&class| anchors.is_unmade(class) && anchors.pays(class, each));
        if !wanted.is_empty() {
            anchors.fill_up(&mut wanted, each);
        }
        if wanted.len() < AT_LEAST {
            return;
        }
        let Some(single) = self.single.get_or_init(|| Single::new(self)) else { return };
        let mut scratch = Scratch::default();
        for classes in wanted.chunks(TILE_ROWS) {
            if !classes.iter().any(|&class| anchors.pays(class, each)) {
                return;
            }
            // Whoever else makes them meanwhile makes the same.
            let radii = self.radii(single, anchors, classes, with_distances, &mut scratch);
            for (&class, radius) in classes.iter().zip(radii) {
                anchors.radii[class].store(radius.to_bits(), Relaxed);
            }
        }
    }

    /// For each row the candidate of its class, if the row lies so near to the mean that it certainly is the best by every
    /// rule; nothing at all where no class is known.
    pub(super) fn certain(&self, rows: &[f64], classes: &[Option<usize>]) -> Vec<Option<u32>> {
        let Some(anchors) = &self.anchors else { return Vec::new() };
        let (mut tried, mut held) = (0, 0);
        let mut about = vec![0.0; self.dim];
        let mut of_row = |(row, class): (&[f64], &Option<usize>)| {
            let class = (*class)?;
            let radius = anchors.radius(class)?;
            tried += 1;
            for ((about, x), origin) in about.iter_mut().zip(row).zip(anchors.origin) {
                *about = x - origin;
            }
            let far = distance(&about, anchors.mean(class));
            held += u64::from(far < radius);
            (far < radius).then_some(class as u32)
        };
        let certain = rows.chunks_exact(self.dim).zip(classes).map(&mut of_row).collect();
        anchors.tried.fetch_add(tried, Relaxed);
        anchors.held.fetch_add(held, Relaxed);
        certain
    }

    /// Whether the candidates are the anchors, and the nearest one is chosen.
    fn is_nearest_of(&self, anchors: &Anchors<'_>) -> bool {
        std::ptr::eq(self.vectors, anchors.means)
            && self.origin.is_some_and(|origin| std::ptr::eq(origin, anchors.origin))
            && self.rules.iter().all(|rule| matches!(rule.offsets, Offsets::HalfSquares))
    }

    /// The radii about the means of some classes, in feature units; 0 where there is none. They are larger with the distances of
    /// candidates, which take products of their own where margins do not tell them.
    fn radii(
        &self,
        single: &Single,
        anchors: &Anchors<'_>,
        classes: &[usize],
        with_distances: bool,
        scratch: &mut Scratch,
    ) -> Vec<f64> {
        let Scratch { rows, own, to_anchors, to_own, offsets } = scratch;
        let means: Vec<f64> = classes.iter().flat_map(|&class| anchors.mean(class)).copied().collect();
        if !single.narrow(self, &means, rows) {
            return vec![0.0; classes.len()];
        }
        let is_nearest = self.is_nearest_of(anchors);
        own.clear();
        if with_distances {
            for &class in classes {
                own.extend_from_slice(single.vector(class).0);
            }
        }
        let mut radii = vec![f64::INFINITY; classes.len()];
        let blur = self.widest_blur();
        let leader = |(at, rule): (usize, &Rule<'_>), i: usize, offsets: &mut TileOffsets| {
            let (class, scale) = (classes[i], rows.scale * single.scale());
            let (vector, norm) = single.vector(class);
            single.offsets((at, rule), class..class + 1, rows.scale, offsets);
            let score = wide_dot(rows.row(i, self.dim), vector) + f64::from(offsets.offsets[0]);
            let before = crate::kernels::dot::norm(anchors.mean(class));
            Leader {
                score,
                off: above(rows.slopes[i] * norm + offsets.slack[0] + 2.0 * blur * scale * before),
                slope: rows.slopes[i],
                norm,
                between: single.between(norm),
                least: single.between_least(),
                step: 2.0 * blur * single.scale(),
                squares: 2.0 * single.scale() / rows.scale,
            }
        };
        let leaders: Vec<Vec<Leader>> = self
            .rules
            .iter()
            .enumerate()
            .map(|rule| (0..classes.len()).map(|i| leader(rule, i, offsets)).collect())
            .collect();
        for of_tile in single.tiles() {
            let width = of_tile.len();
            single.products(&rows.values, &of_tile, to_anchors);
            if with_distances {
                single.products(own, &of_tile, to_own);
            }
            for (rule, leaders) in self.rules.iter().enumerate().zip(&leaders) {
                single.offsets(rule, of_tile.clone(), rows.scale, offsets);
                for (i, leader) in leaders.iter().enumerate().filter(|&(i, _)| radii[i] > 0.0).collect::<Vec<_>>() {
                    let others = Others {
                        products: &to_anchors[i * width..][..width],
                        distances: match (is_nearest, with_distances) {
                            (true, _) => Distances::OfLeads,
                            (false, false) => Distances::Bounded,
                            (false, true) => Distances::OfProducts(&to_own[i * width..][..width]),
                        },
                        offsets: &offsets.offsets,
                        slack: &offsets.slack,
                        norms: single.norms(of_tile.clone()),
                    };
                    let mine = classes[i].wrapping_sub(of_tile.start).min(width);
                    for range in [0..mine, (mine + 1).min(width)..width] {
                        radii[i] = leader.least_over(&others.part(range), radii[i]);
                    }
                }
            }
        }
        // A little less than what was found, for the roundings on the way.
        radii.iter().map(|radius| radius / rows.scale * (1.0 - 1e-6)).collect()
    }

    /// By how much a score may be off within double precision, relative to the length of the row: so that a row within its
    /// radius would have left no other candidate in double precision either.
    fn widest_blur(&self) -> f64 {
        let norm = self.norms.iter().copied().fold(0.0, f64::max);
        self.blur() + 2.0 * relative_error(self.dim) * norm
    }
}

/// Memory for the radii of a tile of classes.
#[derive(Debug, Default)]
struct Scratch {
    rows: SingleRows,
    /// The candidates of the classes, classes × D.
    own: Vec<f32>,
    to_anchors: Vec<f32>,
    to_own: Vec<f32>,
    offsets: TileOffsets,
}

/// The candidate of a class at the mean of the class, by one rule. Scores are in units of both scales.
#[derive(Clone, Copy)]
struct Leader {
    score: f64,
    /// How far the score may be off, and a lead be moved by the errors of both vectors.
    off: f64,
    /// What times the norm of another candidate bounds the error of its score.
    slope: f64,
    norm: f64,
    /// What times the norm of another candidate bounds the error of their product, and what is added to that.
    between: f64,
    least: f64,
    /// By how much a lead shrinks on a step of length 1 because of the errors of vectors.
    step: f64,
    /// What turns a lead into the squared distance of two candidates, where that is the same.
    squares: f64,
}

/// The other candidates of a tile.
struct Others<'a> {
    /// Their products with the mean of the class.
    products: &'a [f32],
    distances: Distances<'a>,
    offsets: &'a [f32],
    slack: &'a [f64],
    norms: &'a [f64],
}

/// What tells how far other candidates are from that of the class.
#[derive(Clone, Copy)]
enum Distances<'a> {
    /// Its lead over another is half their squared distance.
    OfLeads,
    /// The lengths of both.
    Bounded,
    /// Their products with it.
    OfProducts(&'a [f32]),
}

impl Leader {
    /// The least length of a step from the mean on which the lead over another candidate may get lost, or `least` if that is less;
    /// 0 if there is no lead. A candidate that another one represents has a score of `−∞`, and leads over none.
    fn least_over(&self, others: &Others<'_>, mut least: f64) -> f64 {
        let len = others.products.len();
        for first in (0..len).step_by(GROUP) {
            let group = others.part(first..(first + GROUP).min(len));
            // Roots and quotients are only taken where one may be the least: soon hardly anywhere.
            if self.may_be_less(&group, least) {
                least = self.least_of(&group).min(least);
            }
            if least == 0.0 {
                break;
            }
        }
        least
    }

    /// The lead over another candidate, and how far that may be off.
    #[inline(always)]
    fn lead(&self, (product, offset): (f32, f32), (norm, slack): (f64, f64)) -> (f64, f64) {
        let lead = self.score - (f64::from(product) + f64::from(offset));
        (lead, self.off + (self.slope * norm + slack))
    }

    /// Whether some step may be shorter than `least`; `true` where there is no lead.
    fn may_be_less(&self, others: &Others<'_>, least: f64) -> bool {
        // `√x ≤ ½ (x/a + a)` for any `a`: with one near the distance of the candidate that is met first.
        let half = 0.5 / (2.0 * least);
        vectorised(
            #[inline(always)]
            || {
                let (leader, mut may) = (*self, false);
                others.each(
                    &leader,
                    #[inline(always)]
                    |lead, far| {
                        let distance = match far {
                            Far::Squared(square) => square * half + least,
                            Far::AtMost(distance) => distance,
                        };
                        let is_certain = lead >= least * (distance + leader.step);
                        may |= !is_certain;
                    },
                );
                may
            },
        )
    }

    fn least_of(&self, others: &Others<'_>) -> f64 {
        vectorised(
            #[inline(always)]
            || {
                let (leader, mut least, mut leads) = (*self, f64::INFINITY, true);
                others.each(
                    &leader,
                    #[inline(always)]
                    |lead, far| {
                        let distance = match far {
                            Far::Squared(square) => square.max(0.0).sqrt(),
                            Far::AtMost(distance) => distance,
                        };
                        let step = lead / (distance + leader.step);
                        // Against a candidate that another one represents the lead is infinite, and so may be the distance.
                        leads &= lead > 0.0;
                        least = if step < least { step } else { least };
                    },
                );
                if leads { least } else { 0.0 }
            },
        )
    }
}

/// How far another candidate is at most.
#[derive(Clone, Copy)]
enum Far {
    Squared(f64),
    AtMost(f64),
}

impl Others<'_> {
    /// Some of them.
    fn part(&self, range: Range<usize>) -> Self {
        Self {
            products: &self.products[range.clone()],
            distances: match self.distances {
                Distances::OfProducts(products) => Distances::OfProducts(&products[range.clone()]),
                others => others,
            },
            offsets: &self.offsets[range.clone()],
            slack: &self.slack[range.clone()],
            norms: &self.norms[range],
        }
    }

    /// The certain lead over each, and how far it is from the leader.
    #[inline(always)]
    fn each(&self, leader: &Leader, mut work: impl FnMut(f64, Far)) {
        let len = self.products.len();
        let Self { products, offsets, slack, norms, .. } = *self;
        let (products, offsets, slack, norms) = (&products[..len], &offsets[..len], &slack[..len], &norms[..len]);
        match self.distances {
            Distances::OfLeads => {
                for j in 0..len {
                    let (lead, off) = leader.lead((products[j], offsets[j]), (norms[j], slack[j]));
                    work(lead - off, Far::Squared(leader.squares * (lead + off)));
                }
            }
            Distances::Bounded => {
                for j in 0..len {
                    let (lead, off) = leader.lead((products[j], offsets[j]), (norms[j], slack[j]));
                    // Rounding to single precision may have made both shorter.
                    work(lead - off, Far::AtMost((leader.norm + norms[j]) * (1.0 + 4.0 * UNIT) + leader.least));
                }
            }
            Distances::OfProducts(between) => {
                let between = &between[..len];
                for j in 0..len {
                    let (lead, off) = leader.lead((products[j], offsets[j]), (norms[j], slack[j]));
                    let off_square = 2.0 * (leader.between * norms[j] + leader.least);
                    let both = leader.norm * leader.norm + norms[j] * norms[j];
                    work(lead - off, Far::Squared(both - 2.0 * f64::from(between[j]) + off_square));
                }
            }
        }
    }
}

/// The inner product of two vectors of single precision, in double precision.
fn wide_dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// An upper bound on `‖a − b‖`, if `a` may be off by a rounding.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    // Squares that underflow are less than the last term.
    above(squared_distance(a, b).sqrt()) + 4.0 * f64::EPSILON * norm(a) + 1e-140
}
