//! Which metrics were asked for, and what a run must do for them.

use super::catalogue::{Card, Family, Need, cards};
use super::{Extras, Needs, Normaliser, Options};
use crate::error::{Error, Result, did_you_mean};

/// The metrics of a first look, which answer the five questions; NC5 where there are out-of-distribution rows.
pub const HEADLINE: [&str; 11] = [
    "nc1_pinv",
    "nc1_cdnv",
    "nc1_cdnv_q50",
    "nc2_equinorm_cv",
    "nc2_equiangular_std",
    "nc2_etf_error",
    "nc3_duality_error",
    "nc4_agreement",
    "ncc_accuracy",
    "nc5_ortho_dev",
    "nc5_neco_auroc",
];

/// The metrics that stand on the decomposition of one matrix of `D × D`, for each such matrix.
const DECOMPOSING: [&[&str]; 6] = [
    &[
        "nc1_vci",
        "separation_fisher_trace",
        "separation_h_score",
        "separation_lda_error_mean",
        "separation_lda_error_max",
    ],
    &["spectrum_effective_rank", "spectrum_stable_rank", "spectrum_top_share", "spectrum_dim95", "spectrum_alpha_req"],
    &["spectrum_effective_rank_within"],
    &["spectrum_rankme", "spectrum_numerical_rank", "transfer_logme"],
    &["nc5_mahalanobis_auroc", "nc5_mahalanobis_fpr95", "lda_accuracy"],
    &["nc5_relative_mahalanobis_auroc", "nc5_relative_mahalanobis_fpr95"],
];

/// The word for every family.
const ALL: &str = "all";

/// The metrics that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// One for each card of the catalogue.
    choices: Vec<Choice>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Choice {
    Left,
    /// By default, or with its family.
    Taken,
    /// By its own key.
    Named,
}

impl Default for Selection {
    /// All metrics of neural collapse that cost no read of their own ([`Card::is_default`]).
    fn default() -> Self {
        Self::of(|card| if card.is_default() { Choice::Taken } else { Choice::Left })
    }
}

impl Selection {
    /// The [`HEADLINE`] metrics.
    pub fn headline() -> Self {
        Self::of(|card| if HEADLINE.contains(&card.key) { Choice::Taken } else { Choice::Left })
    }

    /// No metric.
    pub fn none() -> Self {
        Self::of(|_| Choice::Left)
    }

    /// The metrics of these families and keys, of every family for `all`; the default if there are no words.
    ///
    /// A word may hold several, separated by commas. A family leaves out what costs a read of its own
    /// ([`Card::by_name_only`]).
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for a word that is neither, with similar ones as advice.
    pub fn parse(words: &[String]) -> Result<Self> {
        let words: Vec<&str> = words.iter().flat_map(|word| word.split(',')).map(str::trim).collect();
        let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Ok(Self::default());
        }
        let mut selection = Self::of(|_| Choice::Left);
        for word in words {
            let family = Family::ALL.into_iter().find(|family| family.name() == word);
            let mut known = family.is_some() || word == ALL;
            for (card, choice) in cards().iter().zip(&mut selection.choices) {
                if card.key == word {
                    *choice = Choice::Named;
                    known = true;
                } else if (word == ALL || Some(card.family) == family) && !card.by_name_only {
                    *choice = (*choice).max(Choice::Taken);
                }
            }
            if !known {
                return Err(Error::usage("no such metric").with("metric", word).help(advice(word)));
            }
        }
        Ok(selection)
    }

    /// The same with a metric more; a key that is none changes nothing.
    #[must_use]
    pub fn with(mut self, key: &str) -> Self {
        let chosen = cards().iter().zip(&mut self.choices).find(|(card, _)| card.key == key);
        if let Some((_, choice)) = chosen {
            *choice = Choice::Named;
        }
        self
    }

    /// The metrics with these keys.
    pub(super) fn of_keys(keys: &[&str]) -> Self {
        Self::of(|card| if keys.contains(&card.key) { Choice::Taken } else { Choice::Left })
    }

    /// The keys, in the catalogue's order.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.cards().map(|card| card.key)
    }

    /// Whether the metric of that key was asked for.
    pub fn contains(&self, key: &str) -> bool {
        self.keys().any(|chosen| chosen == key)
    }

    /// The metrics that were asked for and stand on the decomposition of a matrix of `D × D`, for each such matrix.
    pub fn decomposing(&self) -> Vec<Vec<&'static str>> {
        let chosen = |keys: &&[&'static str]| keys.iter().copied().filter(|key| self.contains(key)).collect();
        DECOMPOSING.iter().map(chosen).filter(|keys: &Vec<_>| !keys.is_empty()).collect()
    }

    /// Whether it was asked for by its own key.
    pub(super) fn names(&self, key: &str) -> bool {
        cards().iter().zip(&self.choices).any(|(card, &choice)| card.key == key && choice == Choice::Named)
    }

    /// Whether some metric that was asked for needs this.
    pub fn asks_for(&self, need: Need) -> bool {
        self.cards().any(|card| card.needs.contains(&need))
    }

    /// Whether there are metrics, and each needs one of these.
    pub fn always_needs(&self, needs: &[Need]) -> bool {
        self.cards().next().is_some() && self.cards().all(|card| card.needs.iter().any(|need| needs.contains(need)))
    }

    /// The cards, in the catalogue's order.
    pub(super) fn cards(&self) -> impl Iterator<Item = &'static Card> {
        cards().iter().zip(&self.choices).filter(|(_, choice)| **choice != Choice::Left).map(|(card, _)| card)
    }

    /// What a run must do, given its inputs: a classifier, out-of-distribution rows, rows to decide.
    ///
    /// A metric that lacks an input asks for nothing. `--per-class` shows decisions, so it asks for them where there is a
    /// classifier; without one, rows are decided only if `ncc_accuracy` was asked for by its key.
    pub fn needs(
        &self,
        has_head: bool,
        has_ood: bool,
        has_decisions: bool,
        extras: Extras,
        options: &Options,
    ) -> Needs {
        let given = |need: Need| match need {
            Need::Head => has_head,
            Need::OodMean => has_ood,
            Need::Decisions | Need::Lda => has_decisions,
            Need::Neco => has_ood && has_decisions && (has_head || !options.neco_max_logit),
            Need::Mahalanobis => has_ood && has_decisions,
            // That convention needs the scatter of each class, which is never kept, and has no use for the pooled one.
            Need::Scatter => options.normaliser != Normaliser::Balanced,
            Need::Pairs | Need::Directional | Need::HugIntra => true,
        };
        let asked = |need: Need| {
            self.cards().any(|card| card.needs.contains(&need) && card.needs.iter().all(|&other| given(other)))
        };
        let (neco, mahalanobis, lda) = (asked(Need::Neco), asked(Need::Mahalanobis), asked(Need::Lda));
        Needs {
            scatter: asked(Need::Scatter) || neco || mahalanobis || lda || (extras.spectrum && given(Need::Scatter)),
            decisions: has_decisions
                && if has_head { asked(Need::Decisions) || extras.per_class } else { self.names("ncc_accuracy") },
            directional: asked(Need::Directional),
            hug_intra: asked(Need::HugIntra),
            neco,
            mahalanobis,
            lda,
        }
    }

    fn of(choice: impl Fn(&Card) -> Choice) -> Self {
        Self { choices: cards().iter().map(choice).collect() }
    }
}

/// The families and keys most like `word`.
pub(crate) fn advice(word: &str) -> String {
    let names = families().chain(cards().iter().map(|card| card.key));
    did_you_mean(word, names).unwrap_or_else(|| {
        let families: Vec<&str> = families().collect();
        format!("the families are {}", families.join(", "))
    })
}

/// The names of families, and the word for all.
fn families() -> impl Iterator<Item = &'static str> {
    Family::ALL.into_iter().map(Family::name).chain([ALL])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn parse(words: &[&str]) -> Selection {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        Selection::parse(&words).unwrap()
    }

    fn needs(words: &[&str], has_head: bool, has_ood: bool, has_decisions: bool) -> Needs {
        parse(words).needs(has_head, has_ood, has_decisions, Extras::default(), &Options::default())
    }

    #[test]
    fn the_default_is_neural_collapse_without_what_costs_a_read_of_its_own() {
        let left = |words: &[&str]| -> Vec<&str> {
            cards().iter().map(|card| card.key).filter(|key| !parse(words).contains(key)).collect()
        };
        let own_read = [
            "nc1_cdnv_directional",
            "hug_intra",
            "lda_accuracy",
            "nc5_mahalanobis_auroc",
            "nc5_mahalanobis_fpr95",
            "nc5_relative_mahalanobis_auroc",
            "nc5_relative_mahalanobis_fpr95",
        ];
        assert_eq!(left(&["all"]), own_read);
        let (beside, others): (Vec<&str>, Vec<&str>) = left(&[]).into_iter().partition(|key| {
            ["spectrum_", "separation_", "imbalance_", "transfer_"].iter().any(|family| key.starts_with(family))
        });
        assert_eq!((beside.len(), others), (25, own_read.to_vec()));
        assert!(parse(&["all", "hug_intra"]).contains("hug_intra"));
        assert_eq!(parse(&["", " , "]), Selection::default());
    }

    #[test]
    fn the_headline_is_of_metrics_that_are_there() {
        let mut headline: Vec<&str> = Selection::headline().keys().collect();
        let mut keys = HEADLINE;
        headline.sort_unstable();
        keys.sort_unstable();
        assert_eq!(headline, keys);
    }

    #[test]
    fn what_shares_a_decomposition_stands_together() {
        assert!(DECOMPOSING.concat().iter().all(|key| super::super::card(key).is_some()));
        assert_eq!(parse(&[]).decomposing(), [["nc1_vci"]]);
        let beside = parse(&["transfer", "separation_h_score", "separation_calinski_harabasz", "spectrum_rankme"]);
        assert_eq!(beside.decomposing(), [vec!["separation_h_score"], vec!["spectrum_rankme", "transfer_logme"]]);
        assert!(parse(&["nc2", "imbalance", "spectrum_participation"]).decomposing().is_empty());
    }

    #[test]
    fn families_and_keys_in_the_catalogue_s_order() {
        let keys: Vec<&str> = parse(&["nc5", "nc2_etf_error,nc1_cdnv_directional"]).keys().collect();
        assert_eq!(
            keys,
            ["nc1_cdnv_directional", "nc2_etf_error", "nc5_ortho_dev", "nc5_neco_auroc", "nc5_neco_fpr95"]
        );
        assert!(!parse(&["nc2"]).contains("gnc2_distance_mean"));
        assert!(parse(&["nc3"]).contains("unc3_cos_cv"));
        assert!(parse(&["nc4"]).contains("classifier_accuracy"));
        assert!(!parse(&["nc1"]).contains("nc1_cdnv_directional"));
        assert!(parse(&["nc1", "nc1_cdnv_directional"]).contains("nc1_cdnv_directional"));
    }

    #[test]
    fn a_word_that_is_no_metric_is_answered_with_those_like_it() {
        let advice = |word: &str| {
            let error = Selection::parse(&[word.to_owned()]).unwrap_err();
            assert_eq!((error.kind(), error.fact("metric")), (ErrorKind::Usage, Some(word)));
            error.advice().unwrap_or_default().to_owned()
        };
        assert_eq!(advice("nc1_pinf"), "did you mean nc1_pinv?");
        assert_eq!(advice("etf_error"), "did you mean nc2_etf_error, nc2_etf_error_weights?");
        assert_eq!(
            advice("zzz"),
            "the families are nc1, nc2, gnc2, hug, nc3, nc4, nc5, mse, spectrum, separation, imbalance, transfer, all"
        );
    }

    #[test]
    fn a_run_does_only_what_the_metrics_need() {
        let nothing = Needs::default();
        assert_eq!(needs(&["nc1_cdnv", "nc1_trace_ratio", "nc2", "gnc2", "nc3", "hug"], true, true, true), nothing);
        assert_eq!(needs(&["nc1_pinv"], false, false, false), Needs { scatter: true, ..nothing });
        assert_eq!(needs(&["nc1_vci"], false, false, false), Needs { scatter: true, ..nothing });
        let of_sums = [
            "separation_calinski_harabasz",
            "separation_davies_bouldin_rms",
            "separation_alignment",
            "spectrum_effective_rank_between",
            "imbalance",
        ];
        assert_eq!(needs(&of_sums, true, true, true), nothing);
        for word in ["spectrum", "separation", "transfer"] {
            assert_eq!(needs(&[word], false, false, false), Needs { scatter: true, ..nothing }, "{word}");
        }
        assert_eq!(needs(&["mse_perp"], false, false, false), nothing);
        assert_eq!(needs(&["mse_perp"], true, false, false), Needs { scatter: true, ..nothing });
        assert_eq!(needs(&["nc4"], true, false, true), Needs { decisions: true, ..nothing });
        assert_eq!(needs(&["nc4"], true, false, false), nothing);
        assert_eq!(needs(&["nc4"], false, false, true), nothing);
        assert_eq!(needs(&["ncc_accuracy"], false, false, true), Needs { decisions: true, ..nothing });
        assert_eq!(needs(&["nc5"], true, true, true), Needs { scatter: true, neco: true, ..nothing });
        assert_eq!(needs(&["nc5"], true, false, true), nothing);
        let lda = Needs { scatter: true, lda: true, ..nothing };
        assert_eq!(
            (needs(&["lda_accuracy"], false, false, true), needs(&["lda_accuracy"], true, true, false)),
            (lda, nothing)
        );
        let scored = Needs { scatter: true, mahalanobis: true, ..nothing };
        for key in ["nc5_mahalanobis_auroc", "nc5_relative_mahalanobis_fpr95"] {
            assert_eq!((needs(&[key], false, true, true), needs(&[key], false, false, true)), (scored, nothing));
        }
        assert_eq!(needs(&["nc1_cdnv_directional"], false, false, true), Needs { directional: true, ..nothing });
        assert_eq!(needs(&["hug_intra"], true, false, true), Needs { hug_intra: true, ..nothing });
        assert_eq!(needs(&["hug_intra"], false, false, true), nothing);
        assert_eq!(needs(&[], true, true, true), Needs { scatter: true, decisions: true, neco: true, ..nothing });
        assert_eq!(needs(&[], false, false, true), Needs { scatter: true, ..nothing });
    }

    #[test]
    fn conventions_and_extras_change_what_is_needed() {
        let balanced = Options { normaliser: Normaliser::Balanced, ..Options::default() };
        let max_logit = Options { neco_max_logit: true, ..Options::default() };
        let per_class = Extras { per_class: true, worst_pairs: 3, ..Extras::default() };
        let none = Extras::default();
        assert!(!parse(&["nc1", "mse"]).needs(true, false, false, none, &balanced).scatter);
        assert!(parse(&["nc5"]).needs(false, true, true, none, &balanced).scatter, "NECO takes the covariance of rows");
        assert!(!parse(&["nc5"]).needs(false, true, true, none, &max_logit).neco, "no logit without a classifier");
        assert!(parse(&["nc5"]).needs(true, true, true, none, &max_logit).neco);
        let options = Options::default();
        assert!(parse(&["nc1"]).needs(true, false, true, per_class, &options).decisions);
        assert!(!parse(&["nc1"]).needs(false, false, true, per_class, &options).decisions);
    }
}
