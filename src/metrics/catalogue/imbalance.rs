//! The cards of imbalance, and of LogME.

use std::f64::consts::SQRT_2;

use super::Formula::Group;
use super::papers::{FANG, THRAMPOULIDIS, YOU};
use super::range::ANY;
use super::{Card, ValueRange};
use crate::metrics::{imbalance, transfer};

/// Distances of two matrices of norm 1, both positive semidefinite.
const DISTANCE: ValueRange = ValueRange::new(0.0, SQRT_2);
const COSINE: ValueRange = ValueRange::new(-1.0, 1.0);

cards! {
    "imbalance_seli_error" = Group(imbalance::seli_error), Imbalance, THRAMPOULIDIS,
        "‖G/‖G‖ − G*/‖G*‖‖ with G = C Cᵀ, G* = (P diag(n) P)^(+½): distance to the geometry that unequal sizes call for; nc2_etf_error if they are equal",
        Lower, ideal "0", range DISTANCE, unit "", needs []
        null [single_class zero_between seli_unattainable] flags [];
    "imbalance_seli_error_weights" = Group(imbalance::seli_error_weights), Imbalance, THRAMPOULIDIS,
        "‖G/‖G‖ − G*/‖G*‖‖ with G = W Wᵀ, G* = (P diag(n) P)^½",
        Lower, ideal "0", range DISTANCE, unit "", needs [Head]
        null [no_head single_class zero_weights seli_unattainable] flags [],
        no_error_bar of_classifier_alone;
    "imbalance_minority_cos" = Group(imbalance::minority_cos), Imbalance, FANG,
        "mean cos(c_i, c_j) among the classes with fewer rows than the median class: do the small ones fall together?",
        Lower, ideal "−1/(K−1)", range COSINE, unit "", needs []
        null [single_class zero_between balanced too_few_directions] flags [zero_norm_classes];
    "imbalance_minority_cos_weights" = Group(imbalance::minority_cos_weights), Imbalance, FANG,
        "mean cos(w_i, w_j) among the classes with fewer rows than the median class",
        Lower, ideal "−1/(K−1)", range COSINE, unit "", needs [Head]
        null [no_head single_class zero_weights balanced too_few_directions] flags [zero_norm_classes],
        no_error_bar of_classifier_alone;
    "transfer_logme" = Group(transfer::logme), Transfer, YOU,
        "LogME: mean over classes of the log evidence of Bayesian ridge regression on the class's indicator, over N, at the fixed point of both precisions",
        Higher, ideal "", range ANY, unit "", needs [Scatter]
        null [single_class zero_rows no_fixed_point no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [],
        no_error_bar depends_on_row_count;
}
