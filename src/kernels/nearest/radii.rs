//! How far a row may lie from the mean of its class and still be decided without a product.
//!
//! At a point `a` the candidate `c` leads every other by a margin `m_j = s_c(a) − s_j(a)`. At a distance `r` from `a` it
//! leads by at least `m_j − r ‖v_c − v_j‖`, so it is the best of all wherever `r < min_j m_j / ‖v_c − v_j‖`. For the nearest
//! mean, with `a = v_c`, that is half the distance of the next mean. Margins and distances are taken in single precision
//! and bounded, so a radius is never too large.
//!
//! Where margins do not tell the distances of candidates, these take a product of their own. At first they are bounded by the
//! lengths of both about the mean of all, which takes none: classes that lie well apart need no more.

mod leads;
mod making;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use super::loops::above;
use super::single::Single;
use super::{Candidates, Offsets, TILE_ROWS};
use crate::kernels::dot::{norm, squared_distance};
use making::Scratch;

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

    /// All radii that are made.
    #[cfg(test)]
    pub(super) fn made(&self) -> Vec<f64> {
        (0..self.radii.len()).filter_map(|class| self.radius(class)).collect()
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
}

/// An upper bound on `‖a − b‖`, if `a` may be off by a rounding.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    // Squares that underflow are less than the last term.
    above(squared_distance(a, b).sqrt()) + 4.0 * f64::EPSILON * norm(a) + 1e-140
}
