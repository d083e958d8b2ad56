//! What a worker of a second read has found so far.

use super::decisions::DecisionCounts;
use super::result::LdaDecisions;
use super::score_histogram::ScoreHistogram;
use crate::error::{Error, Result};
use crate::kernels::ExactSum;

/// A part of a second read, filled by [`SecondPass::update`](super::SecondPass::update).
///
/// It holds counts and exact sums: merging is associative and commutative, bit for bit, and states of the same rows are
/// equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SecondPassState {
    /// Decisions by class; empty before the first.
    pub(super) tallies: Vec<DecisionCounts>,
    /// Rows of the decisions whose class has no centre.
    pub(super) unseen: u64,
    /// The group's own rows by class; empty before the first.
    pub(super) own: Vec<TrainRows>,
    /// NECO scores of the rows of the decisions.
    pub(super) eval: ScoreHistogram,
    /// NECO scores of the out-of-distribution rows.
    pub(super) ood: ScoreHistogram,
    /// Mahalanobis scores and relative ones, of the rows of the decisions and of the out-of-distribution rows.
    pub(super) mahalanobis: [[ScoreHistogram; 2]; 2],
    /// Decisions by Mahalanobis distances.
    pub(super) lda: LdaDecisions,
}

/// The group's own rows of one class.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TrainRows {
    /// Rows looked at.
    pub(super) rows: u64,
    /// `Σ r(x)`, the spread along the lines to the other means.
    pub(super) spread: ExactSum,
    /// `Σ ‖x̂ − ŵ‖`.
    pub(super) distances: ExactSum,
    /// Rows that `distances` leaves out.
    pub(super) zero_rows: u64,
}

impl SecondPassState {
    /// `self ← self · other`; both are of the same pass.
    pub fn merge(&mut self, other: &Self) {
        let classes = self.tallies.len().max(other.tallies.len());
        self.tallies.resize(classes, DecisionCounts::default());
        self.tallies.iter_mut().zip(&other.tallies).for_each(|(mine, theirs)| mine.merge(theirs));
        self.unseen += other.unseen;
        let classes = self.own.len().max(other.own.len());
        self.own.resize(classes, TrainRows::default());
        for (mine, theirs) in self.own.iter_mut().zip(&other.own) {
            mine.rows += theirs.rows;
            mine.spread.merge(&theirs.spread);
            mine.distances.merge(&theirs.distances);
            mine.zero_rows += theirs.zero_rows;
        }
        self.eval.merge(&other.eval);
        self.ood.merge(&other.ood);
        let theirs = other.mahalanobis.iter().flatten();
        self.mahalanobis.iter_mut().flatten().zip(theirs).for_each(|(mine, theirs)| mine.merge(theirs));
        self.lda.rows += other.lda.rows;
        self.lda.right += other.lda.right;
        self.lda.unsure += other.lda.unsure;
    }
}

/// Bytes, for passing states between processes in a query: little-endian, each length before its items.
impl SecondPassState {
    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let put = |out: &mut Vec<u8>, number: u64| out.extend(number.to_le_bytes());
        put(&mut out, self.tallies.len() as u64);
        for tally in &self.tallies {
            let DecisionCounts { rows, ncc_right, classifier_right, both_right, agreements, agreements_no_bias, ties } =
                *tally;
            for number in [rows, ncc_right, classifier_right, both_right, agreements, agreements_no_bias, ties] {
                put(&mut out, number);
            }
        }
        put(&mut out, self.unseen);
        put(&mut out, self.own.len() as u64);
        for own in &self.own {
            put(&mut out, own.rows);
            put(&mut out, own.zero_rows);
            for sum in [&own.spread, &own.distances] {
                let (first, bins) = sum.parts();
                put(&mut out, first as u64);
                put(&mut out, bins.len() as u64);
                out.extend(bins.iter().flat_map(|bin| bin.to_le_bytes()));
            }
        }
        let LdaDecisions { rows, right, unsure, .. } = self.lda;
        for number in [rows, right, unsure] {
            put(&mut out, number);
        }
        for scores in [&self.eval, &self.ood].into_iter().chain(self.mahalanobis.iter().flatten()) {
            let (level, bins) = scores.parts();
            put(&mut out, level.into());
            put(&mut out, bins.len() as u64);
            for (key, count) in bins {
                put(&mut out, key);
                put(&mut out, count);
            }
        }
        out
    }

    /// The state that [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Input(bytes);
        let decoded = (|| {
            let tallies = input.many(56, |input| {
                Some(DecisionCounts {
                    rows: input.number()?,
                    ncc_right: input.number()?,
                    classifier_right: input.number()?,
                    both_right: input.number()?,
                    agreements: input.number()?,
                    agreements_no_bias: input.number()?,
                    ties: input.number()?,
                })
            })?;
            let unseen = input.number()?;
            let own = input.many(48, |input| {
                let (rows, zero_rows) = (input.number()?, input.number()?);
                let mut sum = || {
                    let first = usize::try_from(input.number()?).ok()?;
                    ExactSum::from_parts(first, input.many(16, |input| Some(i128::from_le_bytes(input.take()?)))?)
                };
                Some(TrainRows { rows, spread: sum()?, distances: sum()?, zero_rows })
            })?;
            let (rows, right, unsure) = (input.number()?, input.number()?, input.number()?);
            let lda = LdaDecisions { rows, right, unsure, unseen: 0 };
            let mut scores = || {
                let level = u32::try_from(input.number()?).ok()?;
                ScoreHistogram::from_parts(level, input.many(16, |input| Some((input.number()?, input.number()?)))?)
            };
            let (eval, ood) = (scores()?, scores()?);
            let mahalanobis = [[scores()?, scores()?], [scores()?, scores()?]];
            Some(Self { tallies, unseen, own, eval, ood, mahalanobis, lda })
        })();
        decoded.filter(|_| input.0.is_empty()).ok_or_else(|| Error::data("a part of a second read is damaged"))
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take()?))
    }

    /// Reads a number, and then that many items of at least `size` bytes each; `None` if there are too few bytes.
    fn many<T>(&mut self, size: u64, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.number()?;
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.0.len() as u64) {
            return None;
        }
        (0..count).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial() -> SecondPassState {
        let mut seen = SecondPassState { unseen: 3, ..SecondPassState::default() };
        seen.tallies = vec![
            DecisionCounts { rows: 5, ncc_right: 4, ties: 1, ..DecisionCounts::default() },
            DecisionCounts::default(),
        ];
        seen.own = vec![TrainRows::default(), TrainRows { rows: 7, zero_rows: 2, ..TrainRows::default() }];
        for x in [1e300, -1e-300, 0.1] {
            seen.own[1].spread.add(x);
            seen.eval.add(x);
        }
        seen.ood.add(-0.5);
        seen.mahalanobis[1][0].add(-7.0);
        seen.lda = LdaDecisions { rows: 9, right: 8, unsure: 1, unseen: 0 };
        seen
    }

    #[test]
    fn bytes_give_back_what_was_seen() {
        let seen = partial();
        assert_eq!(SecondPassState::decode(&seen.encode()).unwrap(), seen);
        assert_eq!(SecondPassState::decode(&SecondPassState::default().encode()).unwrap(), SecondPassState::default());
    }

    #[test]
    fn damaged_bytes_are_refused_or_are_another_state() {
        let bytes = partial().encode();
        for length in 0..bytes.len() {
            assert!(SecondPassState::decode(&bytes[..length]).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x80;
            if let Ok(seen) = SecondPassState::decode(&damaged) {
                assert_ne!(seen.encode(), bytes, "{at}");
            }
        }
    }
}
