//! What the sweep adds up, tile by tile.

use std::ops::Range;

use super::WorstPair;

/// What one tile adds up to.
pub(in crate::kernels::pairs) struct TileSums {
    pub(super) rows: ClassPairs,
    pub(super) cols: ClassPairs,
    pub(super) all: PairSums,
}

/// What the tiles of a sweep add up to.
pub(in crate::kernels::pairs) struct SweepSums {
    pub(super) by_class: ClassPairs,
    pub(super) all: PairSums,
}

/// What pairs add up to, whichever classes they are of.
pub(super) struct PairSums {
    /// `Σ ln V` over `positive` pairs.
    pub(super) ln: f64,
    pub(super) positive: u64,
    pub(super) degenerate: u64,
    pub(super) errors: Errors,
    /// All values of `V`, if they are kept for exact quantiles.
    pub(super) values: Vec<f64>,
    pub(super) worst: Worst,
}

/// Sums over pairs of twice the relative errors of distances.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Errors {
    pub(super) plain: f64,
    /// The same, each times `V`.
    pub(super) weighted: f64,
}

impl SweepSums {
    pub(in crate::kernels::pairs) fn merge(&mut self, rows: &Range<usize>, cols: &Range<usize>, part: TileSums) {
        self.by_class.merge(rows.start, &part.rows);
        self.by_class.merge(cols.start, &part.cols);
        self.all.merge(part.all);
    }
}

impl PairSums {
    /// No pairs, and room for so many of the worst.
    pub(super) fn new(worst: usize) -> Self {
        let (errors, worst) = (Errors::default(), Worst::new(worst));
        Self { ln: 0.0, positive: 0, degenerate: 0, errors, values: Vec::new(), worst }
    }

    fn merge(&mut self, part: Self) {
        self.ln += part.ln;
        self.positive += part.positive;
        self.degenerate += part.degenerate;
        self.errors.plain += part.errors.plain;
        self.errors.weighted += part.errors.weighted;
        self.values.extend(part.values);
        part.worst.pairs.into_iter().for_each(|pair| self.worst.push(pair));
    }
}

/// Sums over the pairs that each class is in.
#[derive(Clone, Debug)]
pub(super) struct ClassPairs {
    pub(super) pairs: Vec<f64>,
    pub(super) cdnv: Vec<f64>,
    pub(super) inverse: Vec<f64>,
    pub(super) worst: Vec<f64>,
    pub(super) neighbour: Vec<u64>,
}

impl ClassPairs {
    pub(super) fn new(points: usize) -> Self {
        let zero = || vec![0.0; points];
        let worst = vec![-1.0; points];
        Self { pairs: zero(), cdnv: zero(), inverse: zero(), worst, neighbour: vec![0; points] }
    }

    /// Adds the sums of a tile for the points from `start` on.
    fn merge(&mut self, start: usize, part: &Self) {
        let add = |mine: &mut [f64], theirs: &[f64]| mine.iter_mut().zip(theirs).for_each(|(mine, x)| *mine += x);
        add(&mut self.pairs[start..], &part.pairs);
        add(&mut self.cdnv[start..], &part.cdnv);
        add(&mut self.inverse[start..], &part.inverse);
        for (at, (&worst, &neighbour)) in (start..).zip(part.worst.iter().zip(&part.neighbour)) {
            if worst > self.worst[at] {
                self.worst[at] = worst;
                self.neighbour[at] = neighbour;
            }
        }
    }
}

/// The worst pairs so far.
pub(super) struct Worst {
    pub(super) limit: usize,
    pub(super) pairs: Vec<WorstPair>,
    /// A pair below this is not among the worst.
    pub(super) threshold: f64,
}

impl Worst {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, pairs: Vec::new(), threshold: if limit == 0 { f64::INFINITY } else { 0.0 } }
    }

    pub(super) fn push(&mut self, pair: WorstPair) {
        if pair.cdnv >= self.threshold && self.limit > 0 {
            self.pairs.push(pair);
            if self.pairs.len() >= 2 * self.limit {
                self.trim();
            }
        }
    }

    pub(super) fn trim(&mut self) {
        self.pairs.sort_unstable_by(|a, b| b.cdnv.total_cmp(&a.cdnv).then(a.classes.cmp(&b.classes)));
        self.pairs.truncate(self.limit);
        if let (true, Some(last)) = (self.pairs.len() == self.limit, self.pairs.last()) {
            self.threshold = last.cdnv;
        }
    }
}
