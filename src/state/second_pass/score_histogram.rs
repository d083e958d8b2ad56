//! A multiset of scores that keeps its size: exact while it can be, then coarser.

use super::Separation;

/// Scores in order, each with how often it occurred.
///
/// Scores are kept to the last bit until more than `LIMIT` are different. Then just enough low bits are dropped, which
/// merges scores that are near to each other relative to their size. How many bits are dropped is a function of the
/// multiset alone, so merging is associative and commutative, bit for bit.
#[derive(Clone, Debug, Default)]
pub(super) struct ScoreHistogram<const LIMIT: usize = { 1 << 20 }> {
    /// Low bits dropped.
    level: u32,
    /// Keys without the low bits, ascending, with their counts.
    bins: Vec<(u64, u64)>,
    /// Keys that are not in the bins yet.
    fresh: Vec<u64>,
}

/// Fresh keys that are sorted at a time, unless there are more bins than eight times that.
const FRESH: usize = 4096;

impl<const LIMIT: usize> ScoreHistogram<LIMIT> {
    /// Adds a score, which is not NaN.
    pub(super) fn add(&mut self, score: f64) {
        self.fresh.push(key(score));
        if self.fresh.len() >= FRESH.max(self.bins.len() / 8) {
            self.settle();
        }
    }

    /// `self ← self · other`.
    pub(super) fn merge(&mut self, other: &Self) {
        self.settle();
        let theirs = other.settled();
        let level = self.level.max(theirs.level);
        self.bins = merged(&self.at_level(level), &theirs.at_level(level));
        self.level = level;
        self.fit();
    }

    /// The low bits dropped, and the keys without them, ascending, each with its count.
    pub(super) fn parts(&self) -> (u32, Vec<(u64, u64)>) {
        let settled = self.settled();
        (settled.level, settled.bins)
    }

    /// The histogram that [`parts`](Self::parts) returned; `None` if these cannot be its parts.
    pub(super) fn from_parts(level: u32, bins: Vec<(u64, u64)>) -> Option<Self> {
        let ascending = bins.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let fits =
            level < 64 && bins.len() <= LIMIT && bins.iter().all(|&(key, count)| count > 0 && key <= u64::MAX >> level);
        (ascending && fits).then(|| Self { level, bins, fresh: Vec::new() })
    }

    /// Moves fresh keys into the bins.
    fn settle(&mut self) {
        self.fresh.sort_unstable();
        let fresh: Vec<(u64, u64)> = self.fresh.drain(..).map(|key| (key >> self.level, 1)).collect();
        if !fresh.is_empty() {
            self.bins = merged(&self.bins, &fresh);
            self.fit();
        }
    }

    fn settled(&self) -> Self {
        let mut settled = self.clone();
        settled.settle();
        settled
    }

    /// Drops the fewest low bits that leave no more than `LIMIT` bins.
    fn fit(&mut self) {
        while self.bins.len() > LIMIT {
            self.bins = self.at_level(self.level + 1);
            self.level += 1;
        }
    }

    /// The bins with `level` low bits dropped, no fewer than now.
    fn at_level(&self, level: u32) -> Vec<(u64, u64)> {
        let coarse: Vec<(u64, u64)> =
            self.bins.iter().map(|&(key, count)| (key >> (level - self.level), count)).collect();
        if level == self.level { coarse } else { merged(&coarse, &[]) }
    }
}

/// Equal multisets.
impl<const LIMIT: usize> PartialEq for ScoreHistogram<LIMIT> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.settled(), other.settled());
        (a.level, a.bins) == (b.level, b.bins)
    }
}

/// How well scores tell `positive` rows, which should have the larger ones, from `negative` rows. `None` if either has
/// no rows.
///
/// Counts are exact; scores that were merged count as equal, half for and half against. Each score may be off by `error`.
pub(super) fn separate<const LIMIT: usize>(
    positive: &ScoreHistogram<LIMIT>,
    negative: &ScoreHistogram<LIMIT>,
    error: f64,
) -> Option<Separation> {
    separate_within(positive, negative, |_| error)
}

/// The same of scores that may each be off by what `error` says of them.
pub(super) fn separate_within<const LIMIT: usize>(
    positive: &ScoreHistogram<LIMIT>,
    negative: &ScoreHistogram<LIMIT>,
    error: impl Fn(f64) -> f64,
) -> Option<Separation> {
    let (positive, negative) = (positive.settled(), negative.settled());
    let level = positive.level.max(negative.level);
    let (positive, negative) = (positive.at_level(level), negative.at_level(level));
    let total = |bins: &[(u64, u64)]| bins.iter().map(|bin| u128::from(bin.1)).sum::<u128>();
    let (positives, negatives) = (total(&positive), total(&negative));
    if positives == 0 || negatives == 0 {
        return None;
    }

    // Twice the pairs in the right order, ties once.
    let (mut twice_right, mut below, mut rest) = (0_u128, 0_u128, negative.as_slice());
    for &(key, count) in &positive {
        while let [(theirs, number), tail @ ..] = rest
            && *theirs < key
        {
            below += u128::from(*number);
            rest = tail;
        }
        let equal = rest.first().filter(|bin| bin.0 == key).map_or(0, |bin| u128::from(bin.1));
        twice_right += u128::from(count) * (2 * below + equal);
    }

    // The largest score that at least 95 % of the positive rows reach.
    let mut reached = 0_u128;
    let threshold = positive.iter().rev().find(|&&(_, count)| {
        reached += u128::from(count);
        reached * 100 >= positives * 95
    })?;
    let false_positives = total(&negative[negative.partition_point(|bin| bin.0 < threshold.0)..]);
    let near = Near::new(&negative, level, error);
    let unsure = positive.iter().map(|&(key, count)| near.to(key) * count as f64).sum::<f64>();
    Some(Separation {
        auroc: twice_right as f64 / (2 * positives * negatives) as f64,
        fpr95: false_positives as f64 / negatives as f64,
        auroc_error: 0.5 * unsure / (positives as f64 * negatives as f64),
        fpr95_error: near.to(threshold.0) / negatives as f64,
    })
}

/// How many scores lie near another one.
struct Near<'a, E> {
    bins: &'a [(u64, u64)],
    /// Scores below each bin.
    below: Vec<f64>,
    level: u32,
    error: E,
}

impl<'a, E: Fn(f64) -> f64> Near<'a, E> {
    fn new(bins: &'a [(u64, u64)], level: u32, error: E) -> Self {
        let mut below = vec![0.0; bins.len() + 1];
        for (at, bin) in bins.iter().enumerate() {
            below[at + 1] = below[at] + bin.1 as f64;
        }
        Self { bins, below, level, error }
    }

    fn to(&self, wanted: u64) -> f64 {
        let score = score(wanted << self.level);
        let reach = 2.0 * (self.error)(score);
        if reach == 0.0 {
            return 0.0;
        }
        let (low, high) = (key(score - reach) >> self.level, key(score + reach) >> self.level);
        let first = self.bins.partition_point(|bin| bin.0 < low);
        let last = self.bins.partition_point(|bin| bin.0 <= high);
        self.below[last] - self.below[first]
    }
}

/// An integer in the order of the scores; both zeros are one.
fn key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// The score of a key.
fn score(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

/// Merges both lists, and adds the counts of equal keys.
fn merged(a: &[(u64, u64)], b: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut all: Vec<(u64, u64)> = Vec::with_capacity(a.len() + b.len());
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    loop {
        let next = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.0 <= y.0 => a.next(),
            (_, Some(_)) => b.next(),
            (_, None) => a.next(),
        };
        let Some(&(key, count)) = next else { return all };
        match all.last_mut() {
            Some(last) if last.0 == key => last.1 += count,
            _ => all.push((key, count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of<const LIMIT: usize>(scores: &[f64]) -> ScoreHistogram<LIMIT> {
        let mut all = ScoreHistogram::default();
        for &score in scores {
            all.add(score);
        }
        all
    }

    fn naive(positive: &[f64], negative: &[f64]) -> Separation {
        let twice: u64 =
            positive.iter().flat_map(|p| negative.iter().map(move |n| if p > n { 2 } else { u64::from(p == n) })).sum();
        let reach = |t: f64| positive.iter().filter(|p| **p >= t).count() * 100 >= positive.len() * 95;
        let threshold = positive.iter().copied().filter(|&t| reach(t)).fold(f64::NEG_INFINITY, f64::max);
        Separation {
            auroc: twice as f64 / (2 * positive.len() * negative.len()) as f64,
            fpr95: negative.iter().filter(|n| **n >= threshold).count() as f64 / negative.len() as f64,
            auroc_error: 0.0,
            fpr95_error: 0.0,
        }
    }

    #[test]
    fn separation_of_a_few() {
        let separation = separate(&of::<99>(&[1.0, 2.0, 3.0]), &of(&[-1.0, 0.0, 2.0, 5.0]), 0.0).unwrap();
        // Right: 2 + 2.5 + 3 of 12 pairs. All three reach 1, two of four others do.
        assert_eq!(separation, Separation { auroc: 7.5 / 12.0, fpr95: 0.5, auroc_error: 0.0, fpr95_error: 0.0 });
        assert_eq!(separate(&of::<99>(&[]), &of(&[1.0]), 0.0), None);
        assert_eq!(separate(&of::<99>(&[1.0]), &of(&[]), 0.0), None);
        // One of twenty may fall short.
        let twenty: Vec<f64> = (0..20).map(f64::from).collect();
        assert_eq!(separate(&of::<99>(&twenty), &of(&[0.5, 1.0]), 0.0).unwrap().fpr95, 0.5);
        assert_eq!(separate(&of::<99>(&[-0.0]), &of(&[0.0]), 0.0).unwrap().auroc, 0.5);
    }

    #[test]
    fn neighbours_below_one_are_told_apart() {
        let below = 1.0 - f64::EPSILON / 2.0;
        let found = separate(&of::<9>(&[1.0]), &of(&[below]), 0.0).unwrap();
        assert_eq!((found.auroc, found.fpr95), (1.0, 0.0));
    }

    #[test]
    fn scores_as_near_as_they_may_be_off_are_doubtful() {
        let found = separate(&of::<99>(&[0.5, 0.9]), &of(&[0.1, 0.51, 0.89, -0.5]), 0.01).unwrap();
        // Two of eight pairs, which may turn from right to wrong or back; 0.5 is the threshold, and 0.51 near it.
        assert_eq!((found.auroc_error, found.fpr95_error), (0.5 * 2.0 / 8.0, 0.25));
        for value in [0.0, 1.5, -2.0, 1e-300] {
            assert_eq!(score(key(value)), value);
        }
    }

    #[test]
    fn coarse_scores_keep_their_order_and_number() {
        let scores: Vec<f64> = (0..10_000).map(|i| 0.9 + f64::from(i) * 1e-6).collect();
        let coarse = of::<64>(&scores);
        let settled = coarse.settled();
        assert!(settled.bins.len() <= 64 && settled.bins.len() > 32);
        assert_eq!(settled.bins.iter().map(|bin| bin.1).sum::<u64>(), 10_000);
        let (low, high) = scores.split_at(4000);
        let mut halves = of::<64>(high);
        halves.merge(&of(low));
        assert!(halves == coarse);
        let separation = separate(&of::<64>(high), &of(low), 0.0).unwrap();
        assert!(separation.auroc > 0.99 && separation.fpr95 == 0.0, "{separation:?}");
    }

    fn scores() -> impl Strategy<Value = Vec<f64>> {
        let score = prop_oneof![-3.0..3.0, 0.999..1.0, (0..6).prop_map(f64::from), Just(-0.0)];
        prop::collection::vec(score, 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn counts_are_exact(positive in scores(), negative in scores()) {
            let separation = separate(&of::<1000>(&positive), &of(&negative), 0.0);
            let expected = (!positive.is_empty() && !negative.is_empty()).then(|| naive(&positive, &negative));
            prop_assert_eq!(separation, expected);
        }

        /// With room for few, so that every merge makes scores coarser.
        #[test]
        fn merging_is_a_commutative_monoid(a in scores(), b in scores(), c in scores()) {
            let whole = of::<8>(&[a.clone(), b.clone(), c.clone()].concat());
            let (a, b, c) = (of::<8>(&a), of::<8>(&b), of::<8>(&c));
            let merge = |x: &ScoreHistogram<8>, y: &ScoreHistogram<8>| {
                let mut x = x.clone();
                x.merge(y);
                x
            };
            let left = merge(&merge(&a, &b), &c);
            prop_assert!(left == merge(&a, &merge(&b, &c)));
            prop_assert!(left == merge(&c, &merge(&b, &a)));
            prop_assert!(left == whole);
            prop_assert!(merge(&whole, &ScoreHistogram::default()) == whole);
            prop_assert!(merge(&ScoreHistogram::default(), &whole) == whole);
        }
    }
}
