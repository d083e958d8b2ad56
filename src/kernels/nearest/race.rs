//! The candidates of a row that may still be the best.

/// Contenders kept before those that have fallen behind are dropped.
const CONTENDERS: usize = 64;

/// One row's candidates, one after the other: those that may still be among the best.
#[derive(Debug, Default)]
pub(super) struct Race {
    /// How many of the best are wanted, 1 or 2.
    pub(super) places: usize,
    /// The largest lower bounds of scores, as many as there are places, falling.
    least: [f64; 2],
    /// Candidates in order, with the upper bound of their score.
    contenders: Vec<(u32, f64)>,
    /// How many of them are looked through next.
    limit: usize,
}

impl Race {
    pub(super) fn start(&mut self, places: usize) {
        let mut contenders = std::mem::take(&mut self.contenders);
        contenders.clear();
        // Hardly any row has so many, and thousands of races are kept.
        contenders.shrink_to(CONTENDERS);
        *self = Self { places, least: [f64::NEG_INFINITY; 2], contenders, limit: CONTENDERS };
    }

    #[inline]
    pub(super) fn enter(&mut self, class: u32, score: f64, error: f64) {
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
    pub(super) fn left(&self) -> impl Iterator<Item = u32> {
        let least = self.least[self.places - 1];
        self.contenders.iter().filter(move |contender| !behind(contender.1, least)).map(|contender| contender.0)
    }
}

/// Whether a score of at most `highest` is certainly below `least`; never where either is not a number.
fn behind(highest: f64, least: f64) -> bool {
    highest < least
}
