//! The cards of NC3 and UNC3.

use super::Formula::{Duality, Group};
use super::papers::{PAPYAN, WU, ZHU};
use super::range::{ANY, NOT_NEGATIVE};
use super::{Card, ValueRange};
use crate::metrics::nc3;

cards! {
    "nc3_self_duality_sq" = Duality(nc3::self_duality_sq), Nc3, PAPYAN,
        "‖W/‖W‖ − C/‖C‖‖²: are classifier and means the same up to scale? 0 to 4",
        Lower, ideal "0", range ValueRange::new(0.0, 4.0), unit "", needs [Head]
        null [no_head single_class zero_between zero_weights] flags [];
    "nc3_duality_error" = Duality(nc3::duality_error), Nc3, ZHU,
        "‖S/‖S‖ − P/√(K−1)‖ with S = W Cᵀ, 0 to 2",
        Lower, ideal "0", range ValueRange::new(0.0, 2.0), unit "", needs [Head]
        null [no_head single_class zero_between zero_weights orthogonal_spaces] flags [];
    "nc3_dot_mean" = Duality(nc3::dot_mean), Nc3, WU,
        "mean of w_k·c_k",
        None, ideal "", range ANY, unit "logit", needs [Head]
        null [no_head single_class zero_between zero_weights out_of_range] flags [];
    "nc3_dot_var" = Duality(nc3::dot_var), Nc3, WU,
        "variance of w_k·c_k over classes, divisor K − 1",
        Lower, ideal "0", range NOT_NEGATIVE, unit "logit²", needs [Head]
        null [no_head single_class zero_between zero_weights out_of_range] flags [];
    "nc3_cos_mean" = Duality(nc3::cos_mean), Nc3, WU,
        "mean of cos(w_k, c_k)",
        Higher, ideal "1", range ValueRange::new(-1.0, 1.0), unit "", needs [Head]
        null [no_head single_class zero_between zero_weights too_few_directions] flags [zero_norm_classes];
    "nc3_cos_var" = Duality(nc3::cos_var), Nc3, WU,
        "variance of cos(w_k, c_k) over classes, divisor K − 1",
        Lower, ideal "0", range ValueRange::new(0.0, 2.0), unit "", needs [Head]
        null [no_head single_class zero_between zero_weights too_few_directions] flags [zero_norm_classes];
    "nc3_dist_mean" = Duality(nc3::dist_mean), Nc3, WU,
        "mean of ‖w_k/‖w_k‖ − u_k‖",
        Lower, ideal "0", range ValueRange::new(0.0, 2.0), unit "", needs [Head]
        null [no_head single_class zero_between zero_weights too_few_directions] flags [zero_norm_classes];
    "nc3_dist_var" = Duality(nc3::dist_var), Nc3, WU,
        "variance of ‖w_k/‖w_k‖ − u_k‖ over classes, divisor K − 1",
        Lower, ideal "0", range ValueRange::new(0.0, 2.0), unit "", needs [Head]
        null [no_head single_class zero_between zero_weights too_few_directions] flags [zero_norm_classes];
    "nc3_bias_collapse" = Group(nc3::bias_collapse), Nc3, ZHU,
        "‖W μ_G + b‖",
        Lower, ideal "0", range NOT_NEGATIVE, unit "logit", needs [Head]
        null [no_head out_of_range] flags [no_bias];
    "unc3_dot_var" = Duality(nc3::dot_var), Nc3, WU,
        "uniform duality: variance of w_k·c_k over classes, divisor K − 1",
        Lower, ideal "0", range NOT_NEGATIVE, unit "logit²", needs [Head]
        null [no_head single_class zero_between zero_weights out_of_range] flags [];
    "unc3_cos_cv" = Duality(nc3::cos_cv), Nc3, WU,
        "uniform duality: std / mean of cos(w_k, c_k), divisor K − 1",
        Lower, ideal "0", range ANY, unit "", needs [Head]
        null [no_head single_class zero_between zero_weights too_few_directions zero_mean] flags [zero_norm_classes];
}
