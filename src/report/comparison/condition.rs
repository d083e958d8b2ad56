//! Conditions under which a comparison fails.

use std::collections::BTreeSet;
use std::fmt;

use super::change::{Change, LEVEL, Verdict};
use super::{Comparison, GroupPair};
use crate::error::{Error, Result};
use crate::metrics::{Family, advice, card};

/// A condition that a comparison is tried on, as `nc1_pinv > 1.1x`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// `None` is any metric.
    key: Option<&'static str>,
    test: Test,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Test {
    /// The value of the other is on this side of the bound.
    Bound(Order, Bound),
    /// They differ by more than noise, in a way.
    Beyond(Way),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    More,
    AtLeast,
    Less,
    AtMost,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    Number(f64),
    /// So many times the value of the base; by so much of its magnitude more where it is negative.
    Times(f64),
    /// So much more than the value of the base.
    Plus(f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Any,
    Better,
    Worse,
}

const HELP: &str = "write KEY > 1.1x, KEY < base-0.02, KEY >= 0.5, KEY differs, KEY worse, KEY better, or any for KEY";

impl Condition {
    /// Parses `KEY OP BOUND` or `KEY differs|worse|better`. `OP` is `>`, `>=`, `<` or `<=`; `BOUND` is a number, a number of
    /// times the base (`1.1x`), or the base and a number (`base+0.02`). `any` stands for every key that is compared.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for anything else, and for a key that is no metric.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = || Error::usage("the condition is not understood").with("condition", text).help(HELP);
        let end = text.find(|c: char| c.is_whitespace() || "<>=".contains(c)).ok_or_else(wrong)?;
        let (key, rest) = (&text[..end], text[end..].trim());
        let key = match key {
            "any" => None,
            key => Some(card(key).ok_or_else(|| no_metric(key))?.key),
        };
        let test = match rest {
            "differs" => Test::Beyond(Way::Any),
            "worse" => Test::Beyond(Way::Worse),
            "better" => Test::Beyond(Way::Better),
            _ => {
                let orders = [(">=", Order::AtLeast), ("<=", Order::AtMost), (">", Order::More), ("<", Order::Less)];
                let split = |&(sign, order): &(&str, Order)| rest.strip_prefix(sign).map(|bound| (order, bound.trim()));
                let (order, bound) = orders.iter().find_map(split).ok_or_else(wrong)?;
                Test::Bound(order, Bound::parse(bound).ok_or_else(wrong)?)
            }
        };
        if key.is_none() && matches!(test, Test::Bound(_, Bound::Number(_) | Bound::Plus(_))) {
            return Err(Error::usage("metrics have no bound in common")
                .with("condition", text)
                .help("any differs, any worse, or any > 1.1x"));
        }
        Ok(Self { key, test, text: text.to_owned() })
    }

    /// Whether it can only be told where noise is known.
    pub fn needs_noise(&self) -> bool {
        matches!(self.test, Test::Beyond(_))
    }

    /// Where the condition holds, a line each; empty if it holds nowhere. A metric without a value fulfils it, and one whose
    /// noise has to be known and is not: nobody knows that they do not. Of `any` those are meant that have a value in the
    /// base, and whose noise is known in some group.
    ///
    /// With `any`, the probability of 5 % that chance alone fulfils it is shared among all metrics and groups (Bonferroni).
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if the metric was not compared, or noise has to be known and is not.
    pub fn failures(&self, comparison: &Comparison) -> Result<Vec<String>> {
        let is_meant = |change: &Change| self.key.is_none_or(|key| key == change.key);
        let meant: Vec<(&GroupPair, &Change)> = comparison.changes().filter(|(_, change)| is_meant(change)).collect();
        if meant.is_empty() {
            let error =
                Error::usage("the metric of a condition is not among those compared").with("condition", &self.text);
            return Err(error.help("add it to --metrics"));
        }
        let known = meant.iter().filter(|(_, change)| change.p.is_some()).count();
        if self.needs_noise() && known == 0 && meant.iter().any(|(_, change)| change.difference().is_some()) {
            let error =
                Error::usage("whether metrics differ by more than noise is not known").with("condition", &self.text);
            // Error bars were asked for, and these metrics have none.
            let reason = meant
                .iter()
                .find_map(|(_, change)| change.reason.as_ref().filter(|_| change.verdict == Verdict::NoiseUnknown));
            return Err(match reason {
                Some(reason) => error.with("detail", reason).help("give it a bound such as > 1.1x"),
                None => error.help("--error-bars jackknife, or a bound such as > 1.1x"),
            });
        }
        let level = if self.key.is_none() { LEVEL / known.max(1) as f64 } else { LEVEL };
        let noisy: BTreeSet<&str> =
            meant.iter().filter(|(_, change)| change.p.is_some()).map(|(_, change)| change.key).collect();
        let failures = meant.into_iter().filter_map(|(pair, change)| {
            let why = self.failure(change, level, noisy.contains(change.key))?;
            let name = comparison.pair_name(pair);
            let of = if name.is_empty() { String::new() } else { format!(" ({name})") };
            Some(format!("{}: {why}{of}", change.key))
        });
        Ok(failures.collect())
    }

    /// What to say where single metrics are as the condition says, but none is once the 5 % are shared among all.
    pub fn remark(&self, comparison: &Comparison) -> Option<String> {
        let Test::Beyond(way) = self.test else { return None };
        let known: Vec<&Change> =
            comparison.changes().map(|(_, change)| change).filter(|change| change.p.is_some()).collect();
        let alone = known.iter().filter(|change| way.is(change.verdict)).count();
        (self.key.is_none() && alone > 0).then(|| {
            let numbers = known.len();
            format!(
                "{self}: {alone} of {numbers} numbers alone, at 95 %; none if the 5 % are shared among all {numbers}"
            )
        })
    }

    /// Why the condition holds for a change; `has_noise` says whether the noise of the metric is known in some group.
    fn failure(&self, change: &Change, level: f64, has_noise: bool) -> Option<String> {
        let (Some(base), Some(other)) = (change.base, change.other) else {
            // Of many metrics some never have a value.
            let is_meant = self.key.is_some() || change.base.is_some();
            return change.reason.clone().filter(|_| is_meant);
        };
        match self.test {
            Test::Bound(order, bound) => {
                let limit = bound.of(base);
                let fails = match order {
                    Order::More => other > limit,
                    Order::AtLeast => other >= limit,
                    Order::Less => other < limit,
                    Order::AtMost => other <= limit,
                };
                fails.then(|| format!("{other} {order} {limit}"))
            }
            Test::Beyond(_) if change.p.is_none() => {
                let is_close = matches!(change.verdict, Verdict::Same | Verdict::WithinRounding);
                let is_meant = self.key.is_some() || has_noise;
                (is_meant && !is_close).then(|| format!("{base} became {other}, noise unknown"))
            }
            Test::Beyond(way) => {
                let p = change.p.filter(|&p| way.is(change.verdict) && p < level)?;
                Some(format!("{base} became {other}, {}, p = {p:.2e}", change.verdict.words()))
            }
        }
    }
}

/// The error for a word that is no key of a metric.
fn no_metric(word: &str) -> Error {
    if Family::ALL.iter().any(|family| family.name() == word) {
        return Error::usage("a condition is about one metric, and this is a family of them")
            .with("family", word)
            .help(format!("nckit metrics {word} lists its metrics; any stands for all that are compared"));
    }
    Error::usage("no such metric").with("metric", word).help(advice(word))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::More => ">",
            Self::AtLeast => "≥",
            Self::Less => "<",
            Self::AtMost => "≤",
        })
    }
}

impl Way {
    fn is(self, verdict: Verdict) -> bool {
        match self {
            Self::Any => verdict.is_difference(),
            Self::Better => verdict == Verdict::Better,
            Self::Worse => verdict == Verdict::Worse,
        }
    }
}

impl Bound {
    fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| text.parse().ok().filter(|number: &f64| number.is_finite());
        if let Some(times) = text.strip_suffix('x') {
            return number(times.trim()).map(Self::Times);
        }
        match text.strip_prefix("base") {
            Some("") => Some(Self::Plus(0.0)),
            Some(rest) => {
                let rest: String = rest.split_whitespace().collect();
                number(&rest).filter(|_| rest.starts_with(['+', '-'])).map(Self::Plus)
            }
            None => number(text).map(Self::Number),
        }
    }

    fn of(self, base: f64) -> f64 {
        match self {
            Self::Number(number) => number,
            Self::Times(times) if base < 0.0 => (2.0 - times) * base,
            Self::Times(times) => times * base,
            Self::Plus(more) => base + more,
        }
    }
}
