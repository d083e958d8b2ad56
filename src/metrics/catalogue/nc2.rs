//! The cards of NC2.

use std::f64::consts::SQRT_2;

use super::Formula::{Group, Means, Weights};
use super::papers::{KOTHAPALLI, NC0, PAPYAN, TIRER, WU, ZHU};
use super::range::{ANY, FRACTION, NOT_NEGATIVE};
use super::{Card, LENGTH, SQUARE, ValueRange};
use crate::metrics::nc2;

cards! {
    "nc0_row_sum" = Weights(nc2::row_sum), Nc2, NC0,
        "NC0: ‖Σ_k w_k‖/(√K ‖W‖), the rows of the classifier summed; the paper sets the sum to 0, this normaliser is ours",
        Lower, ideal "0", range FRACTION, unit "", needs [Head]
        null [no_head single_class zero_weights] flags [];
    "nc2_norm_mean" = Means(nc2::norm_mean), Nc2, PAPYAN,
        "mean of ‖c_k‖",
        None, ideal "", range NOT_NEGATIVE, unit LENGTH, needs []
        null [single_class] flags [];
    "nc2_norm_mean_weights" = Weights(nc2::norm_mean), Nc2, PAPYAN,
        "mean of ‖w_k‖",
        None, ideal "", range NOT_NEGATIVE, unit "weight", needs [Head]
        null [no_head single_class out_of_range] flags [];
    "nc2_norm_var" = Means(nc2::norm_var), Nc2, PAPYAN,
        "variance of ‖c_k‖ over classes, divisor K − 1",
        Lower, ideal "0", range NOT_NEGATIVE, unit SQUARE, needs []
        null [single_class] flags [];
    "nc2_norm_var_weights" = Weights(nc2::norm_var), Nc2, PAPYAN,
        "variance of ‖w_k‖ over classes, divisor K − 1",
        Lower, ideal "0", range NOT_NEGATIVE, unit "weight²", needs [Head]
        null [no_head single_class out_of_range] flags [];
    "nc2_log_norm_mean" = Means(nc2::log_norm_mean), Nc2, WU,
        "mean of ln ‖c_k‖",
        None, ideal "", range ANY, unit "ln feature", needs []
        null [single_class zero_between too_few_directions] flags [zero_norm_classes];
    "nc2_log_norm_mean_weights" = Weights(nc2::log_norm_mean), Nc2, WU,
        "mean of ln ‖w_k‖",
        None, ideal "", range ANY, unit "ln weight", needs [Head]
        null [no_head single_class zero_weights too_few_directions] flags [zero_norm_classes];
    "nc2_log_norm_var" = Means(nc2::log_norm_var), Nc2, WU,
        "variance of ln ‖c_k‖ over classes, divisor K − 1",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs []
        null [single_class zero_between too_few_directions] flags [zero_norm_classes];
    "nc2_log_norm_var_weights" = Weights(nc2::log_norm_var), Nc2, WU,
        "variance of ln ‖w_k‖ over classes, divisor K − 1",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Head]
        null [no_head single_class zero_weights too_few_directions] flags [zero_norm_classes];
    "nc2_equinorm_cv" = Means(nc2::equinorm_cv), Nc2, PAPYAN,
        "std ‖c_k‖ / mean ‖c_k‖, divisor K − 1: are the means equally long?",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs []
        null [single_class zero_between] flags [];
    "nc2_equinorm_cv_weights" = Weights(nc2::equinorm_cv), Nc2, PAPYAN,
        "std ‖w_k‖ / mean ‖w_k‖, divisor K − 1: are the classifier's rows equally long?",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Head]
        null [no_head single_class zero_weights] flags [];
    "nc2_log_norm_cv" = Means(nc2::log_norm_cv), Nc2, WU,
        "std ln ‖c_k‖ / mean ln ‖c_k‖, divisor K − 1; depends on the scale, prefer nc2_equinorm_cv",
        Lower, ideal "0", range ANY, unit "", needs []
        null [single_class zero_between too_few_directions zero_mean] flags [zero_norm_classes];
    "nc2_log_norm_cv_weights" = Weights(nc2::log_norm_cv), Nc2, WU,
        "std ln ‖w_k‖ / mean ln ‖w_k‖, divisor K − 1; depends on the scale, prefer nc2_equinorm_cv_weights",
        Lower, ideal "0", range ANY, unit "", needs [Head]
        null [no_head single_class zero_weights too_few_directions zero_mean] flags [zero_norm_classes];
    "nc2_cos_mean" = Means(nc2::cos_mean), Nc2, PAPYAN,
        "mean over pairs of cos(c_i, c_j)",
        Lower, ideal "−1/(K−1)", range ValueRange::new(-1.0, 1.0), unit "", needs []
        null [single_class zero_between too_few_directions] flags [zero_norm_classes];
    "nc2_cos_mean_weights" = Weights(nc2::cos_mean), Nc2, PAPYAN,
        "mean over pairs of cos(w_i, w_j)",
        Lower, ideal "−1/(K−1)", range ValueRange::new(-1.0, 1.0), unit "", needs [Head]
        null [no_head single_class zero_weights too_few_directions] flags [zero_norm_classes];
    "nc2_equiangular_std" = Means(nc2::equiangular_std), Nc2, PAPYAN,
        "standard deviation over pairs of cos(c_i, c_j): are all angles equal? 1/√D for random directions",
        Lower, ideal "0", range FRACTION, unit "", needs []
        null [single_class zero_between too_few_directions] flags [zero_norm_classes];
    "nc2_equiangular_std_weights" = Weights(nc2::equiangular_std), Nc2, PAPYAN,
        "standard deviation over pairs of cos(w_i, w_j)",
        Lower, ideal "0", range FRACTION, unit "", needs [Head]
        null [no_head single_class zero_weights too_few_directions] flags [zero_norm_classes];
    "nc2_max_angle" = Means(nc2::max_angle), Nc2, PAPYAN,
        "mean over pairs of |cos(c_i, c_j) + 1/(K−1)|: are all angles the largest possible?",
        Lower, ideal "0", range ValueRange::new(0.0, 2.0), unit "", needs [Pairs]
        null [single_class zero_between too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "nc2_max_angle_weights" = Weights(nc2::max_angle), Nc2, PAPYAN,
        "mean over pairs of |cos(w_i, w_j) + 1/(K−1)|",
        Lower, ideal "0", range ValueRange::new(0.0, 2.0), unit "", needs [Head Pairs]
        null [no_head single_class zero_weights too_few_directions]
        flags [zero_norm_classes degenerate_pairs frequent_classes sampled_classes];
    "nc2_interference_mean" = Means(nc2::interference_mean), Nc2, WU,
        "mean over pairs of c_i·c_j; with class centring it is −mean ‖c_k‖²/(K−1) whatever the angles",
        None, ideal "", range ANY, unit SQUARE, needs []
        null [single_class zero_between] flags [];
    "nc2_interference_var" = Means(nc2::interference_var), Nc2, WU,
        "variance over pairs of c_i·c_j",
        Lower, ideal "0", range NOT_NEGATIVE, unit "feature⁴", needs []
        null [single_class zero_between out_of_range] flags [];
    "nc2_interference_cv" = Means(nc2::interference_cv), Nc2, WU,
        "std / mean over pairs of cos(c_i, c_j); ill-conditioned, as the mean is near 0",
        None, ideal "0", range ANY, unit "", needs []
        null [single_class zero_between too_few_directions zero_mean] flags [zero_norm_classes ill_conditioned];
    "nc2_etf_error" = Means(nc2::etf_error), Nc2, KOTHAPALLI,
        "‖S/‖S‖ − P/√(K−1)‖ with S = C Cᵀ: distance to a simplex equiangular tight frame, 0 to √2",
        Lower, ideal "0", range ValueRange::new(0.0, SQRT_2), unit "", needs []
        null [single_class zero_between] flags [];
    "nc2_etf_error_weights" = Weights(nc2::etf_error), Nc2, ZHU,
        "‖S/‖S‖ − P/√(K−1)‖ with S = W Wᵀ, 0 to √2",
        Lower, ideal "0", range ValueRange::new(0.0, SQRT_2), unit "", needs [Head]
        null [no_head single_class zero_weights] flags [];
    "nc2_of_error" = Group(nc2::of_error), Nc2, TIRER,
        "‖S/‖S‖ − I/√K‖ with S = M Mᵀ, means not centred: distance to an orthogonal frame, 0 to √2",
        Lower, ideal "0", range ValueRange::new(0.0, SQRT_2), unit "", needs []
        null [single_class zero_means] flags [];
    "nc2_of_error_weights" = Weights(nc2::of_error_weights), Nc2, TIRER,
        "‖S/‖S‖ − I/√K‖ with S = W Wᵀ, 0 to √2",
        Lower, ideal "0", range ValueRange::new(0.0, SQRT_2), unit "", needs [Head]
        null [no_head single_class zero_weights] flags [];
    "nc2_participation_ratio" = Means(nc2::participation_ratio), Nc2, KOTHAPALLI,
        "(tr CᵀC)²/‖CᵀC‖²: effective rank of the centred means, at most min(D, K−1)",
        Higher, ideal "K−1", range ValueRange::new(1.0, f64::INFINITY), unit "", needs []
        null [single_class zero_between] flags [];
    "nc2_participation_ratio_weights" = Weights(nc2::participation_ratio), Nc2, KOTHAPALLI,
        "(tr WᵀW)²/‖WᵀW‖²: effective rank of the classifier",
        Higher, ideal "K−1", range ValueRange::new(1.0, f64::INFINITY), unit "", needs [Head]
        null [no_head single_class zero_weights] flags [];
}
