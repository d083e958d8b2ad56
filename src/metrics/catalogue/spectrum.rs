//! The cards of the spectrum.

use super::Formula::{Group, Means};
use super::papers::{AGRAWAL, ETHAYARAJH, GARRIDO, JOLLIFFE, KOTHAPALLI, MASARCZYK, ROY, RUDELSON};
use super::range::{FRACTION, NOT_NEGATIVE};
use super::{Card, ValueRange};
use crate::metrics::spectrum;

/// Cosines.
const COSINE: ValueRange = ValueRange::new(-1.0, 1.0);

/// Counts of directions.
const COUNT: ValueRange = ValueRange::new(1.0, f64::INFINITY);

cards! {
    "spectrum_effective_rank" = Group(spectrum::effective_rank), Spectrum, ROY,
        "exp(−Σ p ln p), p_r = λ_r/Σλ over the eigenvalues of Σ_T, rows centred; some tools call this RankMe, which is another number",
        None, ideal "K−1", range COUNT, unit "", needs [Scatter]
        null [zero_variance no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "spectrum_effective_rank_within" = Group(spectrum::effective_rank_within), Spectrum, ROY,
        "exp(−Σ p ln p), p_r = λ_r/Σλ over the eigenvalues of Σ_W",
        None, ideal "", range COUNT, unit "", needs [Scatter]
        null [zero_within no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "spectrum_effective_rank_between" = Means(spectrum::effective_rank_between), Spectrum, ROY,
        "exp(−Σ p ln p), p_r = λ_r/Σλ over the eigenvalues of Σ_B",
        Higher, ideal "K−1", range COUNT, unit "", needs []
        null [single_class zero_between] flags [];
    "spectrum_rankme" = Group(spectrum::rankme), Spectrum, GARRIDO,
        "RankMe as published: exp(−Σ q ln q), q_r = σ_r/Σσ + 10⁻⁷ over the min(N, D) singular values of the rows, not centred",
        None, ideal "", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [zero_rows no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "spectrum_pair_cosine" = Group(spectrum::pair_cosine), Spectrum, ETHAYARAJH,
        "mean cosine over pairs of different rows, 1 − N tr Σ_T/(N−1); of rows at length 1 (--normalize)",
        None, ideal "", range COSINE, unit "", needs []
        null [not_normalized too_few_rows] flags [];
    "spectrum_participation" = Group(spectrum::participation), Spectrum, KOTHAPALLI,
        "(tr Σ_T)²/‖Σ_T‖², takes no eigenvalues; that of Σ_B is nc2_participation_ratio",
        None, ideal "K−1", range COUNT, unit "", needs [Scatter]
        null [zero_variance no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "spectrum_participation_within" = Group(spectrum::participation_within), Spectrum, KOTHAPALLI,
        "(tr Σ_W)²/‖Σ_W‖²",
        None, ideal "", range COUNT, unit "", needs [Scatter]
        null [zero_within no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "spectrum_stable_rank" = Group(spectrum::stable_rank), Spectrum, RUDELSON,
        "Σλ/λ_1 over the eigenvalues of Σ_T",
        None, ideal "K−1", range COUNT, unit "", needs [Scatter]
        null [zero_variance no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "spectrum_numerical_rank" = Group(spectrum::numerical_rank), Spectrum, MASARCZYK,
        "how many singular values of the rows, not centred, are above 10⁻³ of the largest",
        None, ideal "", range COUNT, unit "", needs [Scatter]
        null [zero_rows no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [],
        no_error_bar count;
    "spectrum_top_share" = Group(spectrum::top_share), Spectrum, ETHAYARAJH,
        "λ_1/Σλ: the share of the variance of Σ_T along its first direction",
        None, ideal "1/(K−1)", range FRACTION, unit "", needs [Scatter]
        null [zero_variance no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
    "spectrum_dim95" = Group(spectrum::dim95), Spectrum, JOLLIFFE,
        "how many directions of Σ_T hold 95 % of its variance",
        None, ideal "", range COUNT, unit "", needs [Scatter]
        null [zero_variance no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [],
        no_error_bar count;
    "spectrum_alpha_req" = Group(spectrum::alpha_req), Spectrum, AGRAWAL,
        "α-ReQ: α of λ_r ∝ r^−α of Σ_T, fitted to ln λ_r over ln r for r from 10 to 99 with weights 1/r",
        None, ideal "", range NOT_NEGATIVE, unit "", needs [Scatter]
        null [zero_variance short_spectrum no_scatter filter_after_pooling needs_per_class_scatter out_of_range] flags [];
}
