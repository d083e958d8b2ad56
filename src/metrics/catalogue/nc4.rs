//! The cards of NC4.

use super::Card;
use super::Formula::{Decisions, Group};
use super::papers::{MCLACHLAN, PAPYAN, WU};
use super::range::FRACTION;
use crate::metrics::{mahalanobis, nc4};

cards! {
    "nc4_agreement" = Decisions(nc4::agreement), Nc4, PAPYAN,
        "share of rows on which the classifier and the nearest class mean decide alike",
        Higher, ideal "1", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias ties unseen_classes];
    "nc4_agreement_macro" = Decisions(nc4::agreement_macro), Nc4, PAPYAN,
        "mean over classes of the share of rows decided alike",
        Higher, ideal "1", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias ties unseen_classes];
    "nc4_agreement_no_bias" = Decisions(nc4::agreement_no_bias), Nc4, WU,
        "nc4_agreement with the classifier's bias left out",
        Higher, ideal "1", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [ties unseen_classes];
    "nc4_mismatch" = Decisions(nc4::mismatch), Nc4, PAPYAN,
        "1 − nc4_agreement",
        Lower, ideal "0", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias ties unseen_classes];
    "nc4_both_right" = Decisions(nc4::both_right), Nc4, PAPYAN,
        "share of rows that both the classifier and the nearest class mean get right",
        Higher, ideal "", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias ties unseen_classes];
    "nc4_only_classifier" = Decisions(nc4::only_classifier), Nc4, PAPYAN,
        "share of rows that only the classifier gets right",
        Lower, ideal "0", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias ties unseen_classes];
    "nc4_only_ncc" = Decisions(nc4::only_ncc), Nc4, PAPYAN,
        "share of rows that only the nearest class mean gets right",
        Lower, ideal "0", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias ties unseen_classes];
    "nc4_both_wrong" = Decisions(nc4::both_wrong), Nc4, PAPYAN,
        "share of rows that neither gets right",
        Lower, ideal "", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias ties unseen_classes];
    "ncc_accuracy" = Decisions(nc4::ncc_accuracy), Nc4, PAPYAN,
        "share of rows whose nearest class mean is their own",
        Higher, ideal "", range FRACTION, unit "", needs [Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [ties unseen_classes];
    "classifier_accuracy" = Decisions(nc4::classifier_accuracy), Nc4, PAPYAN,
        "share of rows that the classifier gets right",
        Higher, ideal "", range FRACTION, unit "", needs [Head Decisions]
        null [no_head no_decisions single_class unseen_classes] flags [no_bias unseen_classes];
    "lda_accuracy" = Group(mahalanobis::lda_accuracy), Nc4, MCLACHLAN,
        "share of rows whose nearest class mean in the metric of Σ_W⁺ is their own: linear discriminant analysis with equal priors, no shrinkage",
        Higher, ideal "", range FRACTION, unit "", needs [Lda], by_name_only
        null [no_decisions single_class unseen_classes no_scatter filter_after_pooling zero_within out_of_range] flags [ties unseen_classes directions_dropped];
}
