//! NC4: does the classifier decide as the nearest class mean does? Papyan et al. (2020).
//!
//! Each formula of a catalogue's key is a function here.

use super::catalogue::{Card, Formula};
use super::outcome::Outcome;
use crate::state::{DecisionCounts, Decisions};

/// The decisions on all rows, and what there is to remark on them.
#[derive(Clone, Copy)]
pub(super) struct Decided {
    pub shares: Shares,
    /// Whether the classifier has no bias.
    pub no_bias: bool,
    /// Whether rows of classes without a mean were left out.
    pub unseen: bool,
}

/// `nc4_agreement`: the share of rows on which classifier and nearest mean agree.
pub(super) fn agreement(decided: &Decided) -> Outcome {
    decided.by_both(decided.shares.agreement)
}

/// `nc4_agreement_macro`: that share class by class, averaged over the classes that have rows.
pub(super) fn agreement_macro(decided: &Decided) -> Outcome {
    decided.by_both(decided.shares.agreement_macro)
}

/// `nc4_agreement_no_bias`: the share of rows on which the classifier without its bias and the nearest mean agree.
pub(super) fn agreement_no_bias(decided: &Decided) -> Outcome {
    decided.by_nearest(decided.shares.agreement_no_bias)
}

/// `nc4_mismatch`: the share of rows on which they disagree.
pub(super) fn mismatch(decided: &Decided) -> Outcome {
    decided.by_both(decided.shares.mismatch)
}

/// `nc4_both_right`: the share of rows that both get right.
pub(super) fn both_right(decided: &Decided) -> Outcome {
    decided.by_both(decided.shares.both_right)
}

/// `nc4_only_classifier`: the share of rows that only the classifier gets right.
pub(super) fn only_classifier(decided: &Decided) -> Outcome {
    decided.by_both(decided.shares.only_classifier)
}

/// `nc4_only_ncc`: the share of rows that only the nearest mean gets right.
pub(super) fn only_ncc(decided: &Decided) -> Outcome {
    decided.by_both(decided.shares.only_ncc)
}

/// `nc4_both_wrong`: the share of rows that neither gets right.
pub(super) fn both_wrong(decided: &Decided) -> Outcome {
    decided.by_both(decided.shares.both_wrong)
}

/// `ncc_accuracy`: the share of rows that the nearest mean gets right.
pub(super) fn ncc_accuracy(decided: &Decided) -> Outcome {
    decided.by_nearest(decided.shares.ncc_accuracy)
}

/// `classifier_accuracy`: the share of rows that the classifier gets right.
pub(super) fn classifier_accuracy(decided: &Decided) -> Outcome {
    decided.outcome(decided.shares.classifier_accuracy, true, 0.0)
}

impl Decided {
    /// A share that the classifier, with its bias, and the nearest mean make.
    fn by_both(&self, share: f64) -> Outcome {
        self.outcome(share, true, self.shares.tied)
    }

    /// A share that the nearest mean makes, and a bias does not.
    fn by_nearest(&self, share: f64) -> Outcome {
        self.outcome(share, false, self.shares.tied)
    }

    fn outcome(&self, share: f64, uses_bias: bool, tied: f64) -> Outcome {
        Outcome::from(share)
            .off_by(|_| tied)
            .flag_if(uses_bias && self.no_bias, "no_bias")
            .flag_if(tied > 0.0, "ties")
            .flag_if(self.unseen, "unseen_classes")
    }
}

/// The metric of NC4 with that card, from decisions alone; only `ncc_accuracy` needs no classifier.
///
/// Its value is null with the reason `single_class`, `no_rows`, `unseen_classes` or `no_head`; `not_of_decisions` for a card
/// of another family. Whether the classifier has a bias, decisions do not say.
pub(super) fn of_decisions(card: &Card, decisions: &Decisions, has_head: bool) -> Outcome {
    if decisions.labels.len() < 2 {
        return Outcome::null("single_class");
    }
    let Some(shares) = Shares::of(decisions) else { return Outcome::null(undecided(decisions.unseen)) };
    match card.formula {
        _ if card.needs_head() && !has_head => Outcome::null("no_head"),
        Formula::Decisions(formula) => formula(&Decided { shares, no_bias: false, unseen: decisions.unseen > 0 }),
        _ => Outcome::null("not_of_decisions"),
    }
}

/// Why no row was decided, where so many are of classes without a mean.
pub(super) fn undecided(unseen: u64) -> &'static str {
    if unseen > 0 { "unseen_classes" } else { "no_rows" }
}

/// Decisions of all classes together, in shares of the rows decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shares {
    /// Classifier and nearest mean agree.
    pub agreement: f64,
    /// The same, class by class, averaged over the classes that have rows.
    pub agreement_macro: f64,
    /// Classifier without its bias and nearest mean agree.
    pub agreement_no_bias: f64,
    /// They disagree.
    pub mismatch: f64,
    /// Both are right.
    pub both_right: f64,
    /// Only the classifier is.
    pub only_classifier: f64,
    /// Only the nearest mean is.
    pub only_ncc: f64,
    /// Neither is.
    pub both_wrong: f64,
    /// The nearest mean is right.
    pub ncc_accuracy: f64,
    /// The classifier is right.
    pub classifier_accuracy: f64,
    /// The share of rows that have two nearest means: of all rows, or class by class where that is more.
    pub tied: f64,
}

impl Shares {
    /// `None` if no row was decided.
    pub(super) fn of(decisions: &Decisions) -> Option<Self> {
        let sum = |count: fn(&DecisionCounts) -> u64| decisions.tallies.iter().map(count).sum::<u64>();
        let rows = sum(|tally| tally.rows);
        if rows == 0 {
            return None;
        }
        let share = |count: u64| count as f64 / rows as f64;
        let (agreements, both) = (sum(|tally| tally.agreements), sum(|tally| tally.both_right));
        let (ncc, classifier) = (sum(|tally| tally.ncc_right), sum(|tally| tally.classifier_right));
        let seen = || decisions.tallies.iter().filter(|tally| tally.rows > 0);
        let rates = seen().map(|tally| tally.agreements as f64 / tally.rows as f64);
        let ties = seen().map(|tally| tally.ties as f64 / tally.rows as f64);
        Some(Self {
            agreement: share(agreements),
            agreement_macro: rates.sum::<f64>() / seen().count() as f64,
            agreement_no_bias: share(sum(|tally| tally.agreements_no_bias)),
            mismatch: share(rows.saturating_sub(agreements)),
            both_right: share(both),
            only_classifier: share(classifier.saturating_sub(both)),
            only_ncc: share(ncc.saturating_sub(both)),
            both_wrong: share((rows + both).saturating_sub(classifier + ncc)),
            ncc_accuracy: share(ncc),
            classifier_accuracy: share(classifier),
            tied: f64::max(share(sum(|tally| tally.ties)), ties.sum::<f64>() / seen().count() as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Label;
    use crate::metrics::fixture::assert_close;

    fn decisions(tallies: &[DecisionCounts]) -> Decisions {
        let labels = (0..tallies.len()).map(|k| Label::Int(k as i128)).collect();
        Decisions { labels, tallies: tallies.to_vec(), unseen: 0 }
    }

    #[test]
    fn shares_of_two_classes_of_unlike_size() {
        let small = DecisionCounts {
            rows: 2,
            ncc_right: 1,
            classifier_right: 2,
            both_right: 1,
            agreements: 1,
            agreements_no_bias: 0,
            ties: 0,
        };
        let large = DecisionCounts {
            rows: 8,
            ncc_right: 6,
            classifier_right: 3,
            both_right: 3,
            agreements: 4,
            agreements_no_bias: 8,
            ties: 1,
        };
        let shares = Shares::of(&decisions(&[small, DecisionCounts::default(), large])).unwrap();
        let expected = Shares {
            agreement: 0.5,
            agreement_macro: 0.5,
            agreement_no_bias: 0.8,
            mismatch: 0.5,
            both_right: 0.4,
            only_classifier: 0.1,
            only_ncc: 0.3,
            both_wrong: 0.2,
            ncc_accuracy: 0.7,
            classifier_accuracy: 0.5,
            tied: 0.1,
        };
        assert_eq!(shares, expected);
        let one_right = DecisionCounts { agreements: 2, ..small };
        assert_close(Shares::of(&decisions(&[one_right, large])).unwrap().agreement_macro, 0.75, 0.0);
    }

    #[test]
    fn no_row_no_share() {
        assert_eq!(Shares::of(&decisions(&[DecisionCounts::default()])), None);
        assert_eq!(Shares::of(&decisions(&[])), None);
    }
}
