//! The cards of separation.

use super::Formula::Group;
use super::papers::{BAO, CALINSKI, DAVIES, FUKUNAGA, MCLACHLAN, THILAK, WANG};
use super::range::NOT_NEGATIVE;
use super::{Card, SQUARE, ValueRange};
use crate::metrics::separation;

/// Errors of a decision between two classes.
const ERROR: ValueRange = ValueRange::new(0.0, 0.5);

cards! {
    "separation_calinski_harabasz" = Group(separation::calinski_harabasz), Separation, CALINSKI,
        "(tr S_B/(K−1)) / (tr S_W/(N−K)), S_B weighted by class sizes",
        Higher, ideal "∞", range NOT_NEGATIVE, unit "", needs []
        null [single_class no_degrees_of_freedom zero_within out_of_range] flags [],
        no_error_bar depends_on_row_count;
    "separation_davies_bouldin_rms" = Group(separation::davies_bouldin), Separation, DAVIES,
        "mean over classes of the largest (s_i + s_j)/‖μ_i − μ_j‖, s = √v; scikit-learn takes mean distances for s, which a state does not hold",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Pairs]
        null [single_class degenerate_pairs out_of_range] flags [singleton_classes],
        no_error_bar extreme;
    "separation_fisher_trace" = Group(separation::fisher_trace), Separation, FUKUNAGA,
        "tr(S_W⁻¹ S_B), S_B weighted by class sizes",
        Higher, ideal "∞", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [single_class zero_between within_singular no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [directions_dropped rank_lowered];
    "separation_h_score" = Group(separation::h_score), Separation, BAO,
        "tr(Σ_T⁺ Σ_B), Σ_B weighted by class sizes; rank Σ_B · (1 − nc1_vci)",
        Higher, ideal "K−1", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [single_class zero_between within_singular no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [directions_dropped rank_lowered];
    "separation_lidar" = Group(separation::lidar), Separation, THILAK,
        "LiDAR as published: exp(−Σ q ln q), q_r = λ_r/Σλ + 10⁻⁷ over the eigenvalues of S^(−½) Σ_B S^(−½), S = S_W/(N−K) + 10⁻⁴ I, Σ_B = CᵀC/(K−1); depends on the scale by the 10⁻⁴",
        None, ideal "", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [single_class zero_between no_degrees_of_freedom singular no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "separation_lda_error_mean" = Group(separation::lda_error_mean), Separation, MCLACHLAN,
        "mean over pairs of Φ(−Δ/2), Δ² = (μ_i − μ_j)ᵀ Σ_W⁻¹ (μ_i − μ_j): the error between two classes, were they normal, equally frequent and of one covariance",
        Lower, ideal "0", range ERROR, unit "", needs [Scatter]
        null [single_class zero_between within_singular no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [directions_dropped rank_lowered],
        no_error_bar heavy_tail;
    "separation_lda_error_max" = Group(separation::lda_error_max), Separation, MCLACHLAN,
        "largest Φ(−Δ/2) of a pair",
        Lower, ideal "0", range ERROR, unit "", needs [Scatter]
        null [single_class zero_between within_singular no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [directions_dropped rank_lowered],
        no_error_bar extreme;
    "separation_alignment" = Group(separation::alignment), Separation, WANG,
        "mean over classes of the mean ‖x − y‖² over pairs of different rows, 2 n v/(n−1); published on rows of length 1 (--normalize), else of rows as they are",
        Lower, ideal "0", range NOT_NEGATIVE, unit SQUARE, needs []
        null [too_few_rows out_of_range] flags [classes_left_out];
}
