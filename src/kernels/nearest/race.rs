//! The candidates of a row that may still be the best.

/// How many contenders are kept before those that have fallen behind are dropped.
const CONTENDERS: usize = 64;

/// The candidates of one row, seen one after the other: it keeps those that may be among the best.
#[derive(Debug, Default)]
pub(super) struct Race {
    /// How many of the best are wanted, 1 or 2.
    pub(super) places: usize,
    /// The two largest lower bounds of scores, descending.
    least: [f64; 2],
    /// The candidates that may still win, ascending, each with the upper bound of its score.
    contenders: Vec<(u32, f64)>,
    /// Contenders that have fallen behind are dropped when there are this many.
    limit: usize,
}

impl Race {
    pub(super) fn start(&mut self, places: usize) {
        let mut contenders = std::mem::take(&mut self.contenders);
        contenders.clear();
        // Hardly any row has more, and the memory of thousands of races is kept.
        contenders.shrink_to(CONTENDERS);
        *self = Self { places, least: [f64::NEG_INFINITY; 2], contenders, limit: CONTENDERS };
    }

    /// Whether a score of at most `highest` is certainly not among the best; `false` if it is NaN.
    #[inline]
    pub(super) fn is_behind(&self, highest: f64) -> bool {
        behind(highest, self.least[self.places - 1])
    }

    #[inline]
    pub(super) fn enter(&mut self, class: u32, score: f64, error: f64) {
        // A score that has left the range of `f64` has no bounds, so the candidate stays.
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
    pub(super) fn left(&self) -> impl Iterator<Item = u32> {
        self.left_at_most().map(|contender| contender.0)
    }

    /// Puts candidates in order that entered otherwise.
    pub(super) fn sort(&mut self) {
        self.contenders.sort_unstable_by_key(|contender| contender.0);
    }

    /// The same, each with the upper bound of its score.
    pub(super) fn left_at_most(&self) -> impl Iterator<Item = (u32, f64)> {
        let least = self.least[self.places - 1];
        self.contenders.iter().copied().filter(move |contender| !behind(contender.1, least))
    }
}

/// Whether a score of at most `highest` is certainly below `least`; `false` if either is NaN.
fn behind(highest: f64, least: f64) -> bool {
    highest < least
}
