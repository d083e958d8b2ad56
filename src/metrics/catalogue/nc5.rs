//! The cards of NC5 and the decomposed MSE loss.

use super::Card;
use super::Formula::Group;
use super::papers::{AMMAR, HAN, LEE, REN};
use super::range::{FRACTION, NOT_NEGATIVE};
use crate::metrics::{mahalanobis, mse, nc5};

cards! {
    "nc5_ortho_dev" = Group(nc5::ortho_dev), Nc5, AMMAR,
        "mean of |cos(μ_k, o)|, o the mean of the out-of-distribution class means",
        Lower, ideal "0", range FRACTION, unit "", needs [OodMean]
        null [no_ood zero_ood_mean zero_means] flags [zero_norm_classes];
    "nc5_neco_auroc" = Group(nc5::neco_auroc), Nc5, AMMAR,
        "area under the ROC curve of NECO scores, in-distribution rows positive",
        Higher, ideal "1", range FRACTION, unit "", needs [Neco]
        null [no_ood no_head no_decisions no_scatter filter_after_pooling zero_variance neco_dim_above_dim neco_all_axes not_converged]
        flags [];
    "nc5_neco_fpr95" = Group(nc5::neco_fpr95), Nc5, AMMAR,
        "share of out-of-distribution rows above the NECO score that 95 % of the others reach",
        Lower, ideal "0", range FRACTION, unit "", needs [Neco]
        null [no_ood no_head no_decisions no_scatter filter_after_pooling zero_variance neco_dim_above_dim neco_all_axes not_converged]
        flags [];
    "nc5_mahalanobis_auroc" = Group(mahalanobis::auroc), Nc5, LEE,
        "area under the ROC curve of −min_k (x−μ_k)ᵀ Σ_W⁺ (x−μ_k), in-distribution rows positive; no shrinkage",
        Higher, ideal "1", range FRACTION, unit "", needs [Mahalanobis], by_name_only
        null [no_ood no_decisions no_scatter filter_after_pooling zero_within out_of_range] flags [directions_dropped];
    "nc5_mahalanobis_fpr95" = Group(mahalanobis::fpr95), Nc5, LEE,
        "share of out-of-distribution rows above the Mahalanobis score that 95 % of the others reach",
        Lower, ideal "0", range FRACTION, unit "", needs [Mahalanobis], by_name_only
        null [no_ood no_decisions no_scatter filter_after_pooling zero_within out_of_range] flags [directions_dropped];
    "nc5_relative_mahalanobis_auroc" = Group(mahalanobis::relative_auroc), Nc5, REN,
        "nc5_mahalanobis_auroc of the score plus (x−μ)ᵀ Σ_T⁺ (x−μ), μ the mean of all rows",
        Higher, ideal "1", range FRACTION, unit "", needs [Mahalanobis], by_name_only
        null [no_ood single_class no_decisions no_scatter filter_after_pooling zero_within out_of_range] flags [directions_dropped];
    "nc5_relative_mahalanobis_fpr95" = Group(mahalanobis::relative_fpr95), Nc5, REN,
        "nc5_mahalanobis_fpr95 of the score plus (x−μ)ᵀ Σ_T⁺ (x−μ), μ the mean of all rows",
        Lower, ideal "0", range FRACTION, unit "", needs [Mahalanobis], by_name_only
        null [no_ood single_class no_decisions no_scatter filter_after_pooling zero_within out_of_range] flags [directions_dropped];
    "mse_nc1" = Group(mse::nc1), Mse, HAN,
        "part of the regularised MSE loss of the least-squares classifier that is due to Σ_W",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [single_class no_scatter filter_after_pooling needs_per_class_scatter no_degrees_of_freedom singular]
        flags [unbalanced];
    "mse_nc23" = Group(mse::nc23), Mse, HAN,
        "part of the loss of the least-squares classifier that is due to the class means",
        Lower, ideal "", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [single_class no_scatter filter_after_pooling needs_per_class_scatter no_degrees_of_freedom singular]
        flags [unbalanced];
    "mse_perp" = Group(mse::perp), Mse, HAN,
        "part of the loss that is due to the classifier not being the least-squares one",
        Lower, ideal "0", range NOT_NEGATIVE, unit "", needs [Head Scatter]
        null [no_head single_class no_scatter filter_after_pooling needs_per_class_scatter no_degrees_of_freedom singular out_of_range]
        flags [no_bias unbalanced];
}
