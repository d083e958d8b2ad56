//! How far the candidate of a class leads the others at the mean of the class, and how far from there it still leads.

use std::ops::Range;

use crate::grid::vectorised;
use crate::kernels::nearest::int8::Int8Rows;
use crate::kernels::nearest::single::{GROUP, UNIT};

/// The candidate of a class at the mean of the class, by one rule. Scores are in units of both scales.
#[derive(Clone, Copy)]
pub(super) struct Leader {
    pub(super) score: f64,
    /// How far the score may be off, and a lead be moved by the errors of both vectors.
    pub(super) off: f64,
    /// What times the norm of another candidate bounds the error of its score.
    pub(super) slope: f64,
    pub(super) norm: f64,
    /// What times the norm of another candidate bounds the error of their product, and what is added to that.
    pub(super) between: f64,
    pub(super) least: f64,
    /// By how much a lead shrinks on a step of length 1 because of the errors of vectors.
    pub(super) step: f64,
    /// What turns a lead into the squared distance of two candidates, where that is the same.
    pub(super) squares: f64,
    /// What times the `off` of another candidate bounds the error of their product that comes to those of single precision.
    pub(super) length: f64,
}

/// The other candidates of a tile.
pub(super) struct Others<'a> {
    /// Their products with the mean of the class.
    pub(super) products: &'a [f32],
    pub(super) distances: Distances<'a>,
    pub(super) offsets: &'a [f32],
    pub(super) slack: &'a [f64],
    pub(super) norms: &'a [f64],
    /// How far each may be off its vector, where products are not those of single precision.
    pub(super) off: &'a [f64],
}

/// What tells how far other candidates are from that of the class.
#[derive(Clone, Copy)]
pub(super) enum Distances<'a> {
    /// Its lead over another is half their squared distance. The larger the lead, the longer the step on which it is lost: so a lead
    /// at least makes a step at least.
    OfLeads,
    /// The lengths of both.
    Bounded,
    /// Their products with it.
    OfProducts(&'a [f32]),
}

impl Leader {
    /// The least length of a step from the mean on which the lead over another candidate may get lost, or `least` if that is less;
    /// 0 if there is no lead. A candidate that another one represents has a score of `−∞`, and leads over none.
    pub(super) fn least_over(&self, others: &Others<'_>, mut least: f64) -> f64 {
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

    /// The groups of others over which the lead may get lost on a step shorter than `least`.
    pub(super) fn open(
        &self,
        others: &Others<'_>,
        within: Range<usize>,
        least: f64,
    ) -> impl Iterator<Item = Range<usize>> {
        let end = within.end;
        let group = move |first: usize| first..(first + GROUP).min(end);
        within.step_by(GROUP).map(group).filter(move |group| self.may_be_less(&others.part(group.clone()), least))
    }

    /// The same leader, of the class at place `i` of some, for products in eight bits.
    pub(super) fn in_eight_bits(&self, rows: &Int8Rows, i: usize) -> Self {
        Self { slope: self.slope + rows.off[i], length: rows.lengths[i], ..*self }
    }

    /// The lead over another candidate at least.
    #[inline(always)]
    fn lead(&self, (product, offset): (f32, f32), (norm, slack, off): (f64, f64, f64)) -> f64 {
        let lead = self.score - (f64::from(product) + f64::from(offset));
        lead - (self.off + (self.slope * norm + slack) + self.length * off)
    }

    /// Whether some step may be shorter than `least`; `true` where there is no lead.
    #[expect(clippy::needless_bitwise_bool, reason = "a branch would keep the loop from being vectorised")]
    pub(super) fn may_be_less(&self, others: &Others<'_>, least: f64) -> bool {
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
                        let is_certain = (lead > 0.0) & (lead >= least * (distance + leader.step));
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
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        Self {
            products: &self.products[range.clone()],
            distances: match self.distances {
                Distances::OfProducts(products) => Distances::OfProducts(&products[range.clone()]),
                others => others,
            },
            offsets: &self.offsets[range.clone()],
            slack: &self.slack[range.clone()],
            norms: &self.norms[range.clone()],
            off: &self.off[range],
        }
    }

    /// The certain lead over each, and how far it is from the leader.
    #[inline(always)]
    fn each(&self, leader: &Leader, mut work: impl FnMut(f64, Far)) {
        let len = self.products.len();
        let Self { products, offsets, slack, norms, off, .. } = *self;
        let (products, offsets) = (&products[..len], &offsets[..len]);
        let (slack, norms, off) = (&slack[..len], &norms[..len], &off[..len]);
        match self.distances {
            Distances::OfLeads => {
                for j in 0..len {
                    let lead = leader.lead((products[j], offsets[j]), (norms[j], slack[j], off[j]));
                    work(lead, Far::Squared(leader.squares * lead));
                }
            }
            Distances::Bounded => {
                for j in 0..len {
                    let lead = leader.lead((products[j], offsets[j]), (norms[j], slack[j], off[j]));
                    // Rounding to single precision may have made both shorter.
                    work(lead, Far::AtMost((leader.norm + norms[j]) * (1.0 + 4.0 * UNIT) + leader.least));
                }
            }
            Distances::OfProducts(between) => {
                let between = &between[..len];
                for j in 0..len {
                    let off_square = 2.0 * (leader.between * norms[j] + leader.least);
                    let both = leader.norm * leader.norm + norms[j] * norms[j];
                    let lead = leader.lead((products[j], offsets[j]), (norms[j], slack[j], off[j]));
                    work(lead, Far::Squared(both - 2.0 * f64::from(between[j]) + off_square));
                }
            }
        }
    }
}
