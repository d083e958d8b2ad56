//! The cards of NC1.

use super::Card;
use super::Formula::Group;
use super::papers::{GALANTI, HAN, PAPYAN, RANGAMANI, TIRER, XU};
use super::range::{ANY, FRACTION, NOT_NEGATIVE};
use crate::metrics::nc1;

cards! {
    "nc1_pinv" = Group(nc1::pinv), Nc1, PAPYAN,
        "tr(Σ_W Σ_B⁺)/K: variability within classes against that between them",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [single_class zero_between no_scatter filter_after_pooling needs_per_class_scatter no_degrees_of_freedom out_of_range]
        flags [directions_dropped rank_lowered pinv_tolerance_sensitive singleton_classes];
    "nc1_svd" = Group(nc1::svd), Nc1, HAN,
        "tr(Σ_W Σ_B⁺)/K over the min(K − 1, D) leading directions of Σ_B",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [single_class zero_between no_scatter filter_after_pooling needs_per_class_scatter no_degrees_of_freedom out_of_range]
        flags [directions_dropped rank_lowered pinv_tolerance_sensitive singleton_classes];
    "nc1_trace_ratio" = Group(nc1::trace_ratio), Nc1, TIRER,
        "tr Σ_W / tr Σ_B",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs []
        null [single_class zero_between no_degrees_of_freedom out_of_range] flags [];
    "nc1_within_fraction" = Group(nc1::within_fraction), Nc1, RANGAMANI,
        "tr Σ_W / (tr Σ_W + tr Σ_B): the share of variance that lies within classes, 0 to 1",
        Lower, ideal "0", range FRACTION, unit "", needs []
        null [single_class zero_variance no_degrees_of_freedom out_of_range] flags [];
    "nc1_cdnv" = Group(nc1::cdnv), Nc1, GALANTI,
        "mean over pairs of (v_i + v_j) / (2 ‖μ_i − μ_j‖²ᵖ), without means equal up to rounding",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class too_few_rows degenerate_pairs out_of_range]
        flags [degenerate_pairs classes_left_out frequent_classes sampled_classes];
    "nc1_cdnv_strict" = Group(nc1::cdnv_strict), Nc1, GALANTI,
        "nc1_cdnv over all pairs; infinite, hence null, if two means are equal",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class too_few_rows degenerate_pairs out_of_range]
        flags [degenerate_pairs classes_left_out frequent_classes sampled_classes];
    "nc1_cdnv_log10_mean" = Group(nc1::cdnv_log10_mean), Nc1, GALANTI,
        "mean of the decimal logarithm of CDNV over pairs where it is not 0",
        Lower, ideal "", range ANY, unit "", needs [Pairs]
        null [single_class too_few_rows degenerate_pairs zero_within out_of_range]
        flags [degenerate_pairs classes_left_out zero_pairs frequent_classes sampled_classes];
    "nc1_cdnv_q50" = Group(nc1::cdnv_q50), Nc1, GALANTI,
        "median of CDNV over pairs",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class too_few_rows degenerate_pairs out_of_range]
        flags [degenerate_pairs classes_left_out binned frequent_classes sampled_classes],
        no_error_bar quantile;
    "nc1_cdnv_q90" = Group(nc1::cdnv_q90), Nc1, GALANTI,
        "90 % quantile of CDNV over pairs",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class too_few_rows degenerate_pairs out_of_range]
        flags [degenerate_pairs classes_left_out binned frequent_classes sampled_classes],
        no_error_bar quantile;
    "nc1_cdnv_q99" = Group(nc1::cdnv_q99), Nc1, GALANTI,
        "99 % quantile of CDNV over pairs",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class too_few_rows degenerate_pairs out_of_range]
        flags [degenerate_pairs classes_left_out binned frequent_classes sampled_classes],
        no_error_bar quantile;
    "nc1_cdnv_max" = Group(nc1::cdnv_max), Nc1, GALANTI,
        "largest CDNV of a pair: the two classes hardest to tell apart",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class too_few_rows degenerate_pairs out_of_range]
        flags [degenerate_pairs classes_left_out frequent_classes sampled_classes],
        no_error_bar extreme;
    "nc1_cdnv_directional" = Group(nc1::cdnv_directional), Nc1, GALANTI,
        "mean over ordered pairs of the variance of class i towards μ_j over ‖μ_j − μ_i‖²",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Directional], by_name_only
        null [single_class zero_between degenerate_pairs too_few_rows] flags [degenerate_pairs classes_left_out];
    "nc1_vci" = Group(nc1::vci), Nc1, XU,
        "variability collapse index, 1 − tr(Σ_T⁺ Σ_B)/rank Σ_B, Σ_B weighted by class sizes; 0 to 1",
        Lower, ideal "0", range FRACTION, unit "", needs [Scatter]
        null [single_class zero_between within_singular no_scatter filter_after_pooling needs_per_class_scatter out_of_range]
        flags [directions_dropped rank_lowered];
}
