//! The cards of GNC2 and HUG.

use std::f64::consts::LN_2;

use super::Formula::{Group, Means, Weights};
use super::papers::{LIU, WU};
use super::range::{ANY, FRACTION, NOT_NEGATIVE};
use super::{Card, ValueRange};
use crate::metrics::{gnc2, hug};

cards! {
    "gnc2_distance_mean" = Means(gnc2::distance_mean), Gnc2, WU,
        "mean over pairs of ‖u_i − u_j‖",
        Higher, ideal "√(2K/(K−1))", range ValueRange::new(0.0, 2.0), unit "", needs [Pairs]
        null [single_class zero_between too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_distance_mean_weights" = Weights(gnc2::distance_mean), Gnc2, WU,
        "mean over pairs of ‖w_i/‖w_i‖ − w_j/‖w_j‖‖",
        Higher, ideal "√(2K/(K−1))", range ValueRange::new(0.0, 2.0), unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_distance_var" = Means(gnc2::distance_var), Gnc2, WU,
        "variance over pairs of ‖u_i − u_j‖",
        Lower, ideal "0", range FRACTION, unit "", needs [Pairs]
        null [single_class zero_between too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_distance_var_weights" = Weights(gnc2::distance_var), Gnc2, WU,
        "variance over pairs of ‖w_i/‖w_i‖ − w_j/‖w_j‖‖",
        Lower, ideal "0", range FRACTION, unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_log_energy_mean" = Means(gnc2::log_energy_mean), Gnc2, WU,
        "mean over pairs of −ln ‖u_i − u_j‖: lower is more uniform; near −½ ln 2 for random directions",
        Lower, ideal "−½ ln(2K/(K−1))", range ValueRange::new(-LN_2, f64::INFINITY), unit "", needs [Pairs]
        null [single_class zero_between too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs random_baseline frequent_classes sampled_classes];
    "gnc2_log_energy_mean_weights" = Weights(gnc2::log_energy_mean), Gnc2, WU,
        "mean over pairs of −ln distance of unit classifier rows",
        Lower, ideal "−½ ln(2K/(K−1))", range ValueRange::new(-LN_2, f64::INFINITY), unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs random_baseline frequent_classes sampled_classes];
    "gnc2_log_energy_var" = Means(gnc2::log_energy_var), Gnc2, WU,
        "variance over pairs of −ln ‖u_i − u_j‖",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class zero_between too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_log_energy_var_weights" = Weights(gnc2::log_energy_var), Gnc2, WU,
        "variance over pairs of −ln distance of unit classifier rows",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_log_energy_cv" = Means(gnc2::log_energy_cv), Gnc2, WU,
        "std / mean over pairs of −ln ‖u_i − u_j‖; negative where the mean is",
        None, ideal "0", range ANY, unit "", needs [Pairs]
        null [single_class zero_between too_few_directions degenerate_pairs zero_mean]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_log_energy_cv_weights" = Weights(gnc2::log_energy_cv), Gnc2, WU,
        "std / mean over pairs of −ln distance of unit classifier rows",
        None, ideal "0", range ANY, unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions degenerate_pairs zero_mean]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_riesz_mean" = Means(gnc2::riesz_mean), Gnc2, LIU,
        "mean over pairs of sign(s) ‖u_i − u_j‖⁻ˢ, Riesz energy; the log energy for s = 0",
        Lower, ideal "(2K/(K−1))^(−s/2)", range ANY, unit "", needs [Pairs]
        null [single_class zero_between too_few_directions degenerate_pairs out_of_range]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_riesz_mean_weights" = Weights(gnc2::riesz_mean), Gnc2, LIU,
        "Riesz energy of unit classifier rows",
        Lower, ideal "(2K/(K−1))^(−s/2)", range ANY, unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions degenerate_pairs out_of_range]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_riesz_var" = Means(gnc2::riesz_var), Gnc2, LIU,
        "variance over pairs of ‖u_i − u_j‖⁻ˢ",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class zero_between too_few_directions degenerate_pairs out_of_range]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_riesz_var_weights" = Weights(gnc2::riesz_var), Gnc2, LIU,
        "variance over pairs of the Riesz kernel of unit classifier rows",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions degenerate_pairs out_of_range]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_riesz_ln_mean" = Means(gnc2::riesz_ln_mean), Gnc2, LIU,
        "logarithm of the mean over pairs of ‖u_i − u_j‖⁻ˢ; holds where the mean itself leaves f64",
        Lower, ideal "−(s/2) ln(2K/(K−1))", range ANY, unit "", needs [Pairs]
        null [single_class zero_between too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_riesz_ln_mean_weights" = Weights(gnc2::riesz_ln_mean), Gnc2, LIU,
        "logarithm of the Riesz energy of unit classifier rows",
        Lower, ideal "−(s/2) ln(2K/(K−1))", range ANY, unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "gnc2_min_distance" = Means(gnc2::min_distance), Gnc2, LIU,
        "smallest ‖u_i − u_j‖: maximum hyperspherical separation",
        Higher, ideal "√(2K/(K−1))", range ValueRange::new(0.0, 2.0), unit "", needs [Pairs]
        null [single_class zero_between too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes],
        no_error_bar extreme;
    "gnc2_min_distance_weights" = Weights(gnc2::min_distance), Gnc2, LIU,
        "smallest distance of unit classifier rows",
        Higher, ideal "√(2K/(K−1))", range ValueRange::new(0.0, 2.0), unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "hug_inter" = Means(hug::inter), Hug, LIU,
        "mean over pairs of ‖u_i − u_j‖⁻²: minimum hyperspherical energy of the means",
        Lower, ideal "(K−1)/(2K)", range ValueRange::new(0.25, f64::INFINITY), unit "", needs [Pairs]
        null [single_class zero_between too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "hug_inter_weights" = Weights(hug::inter), Hug, LIU,
        "mean over pairs of the inverse squared distance of unit classifier rows",
        Lower, ideal "(K−1)/(2K)", range ValueRange::new(0.25, f64::INFINITY), unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions degenerate_pairs]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "hug_intra" = Group(hug::intra), Hug, LIU,
        "sum over classes of the mean distance of unit rows to their unit classifier row",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Head HugIntra], by_name_only
        null [no_head zero_rows] flags [zero_rows];
}
