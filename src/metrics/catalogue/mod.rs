//! What every metric is: one table, in the order in which records show it.

/// The families that `--metrics` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Variability within classes.
    Nc1,
    /// Geometry of class means and of classifier rows.
    Nc2,
    /// Uniformity of class means and classifier rows on the sphere.
    Gnc2,
    /// Hyperspherical uniformity gap.
    Hug,
    /// Duality of classifier and class means, uniform duality with it.
    Nc3,
    /// Decisions by the nearest class centre.
    Nc4,
    /// Out-of-distribution rows.
    Nc5,
    /// The mean squared error's decomposition.
    Mse,
}

impl Family {
    /// All, in display order.
    pub const ALL: [Self; 8] =
        [Self::Nc1, Self::Nc2, Self::Gnc2, Self::Hug, Self::Nc3, Self::Nc4, Self::Nc5, Self::Mse];

    /// What `--metrics` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nc1 => "nc1",
            Self::Nc2 => "nc2",
            Self::Gnc2 => "gnc2",
            Self::Hug => "hug",
            Self::Nc3 => "nc3",
            Self::Nc4 => "nc4",
            Self::Nc5 => "nc5",
            Self::Mse => "mse",
        }
    }
}

/// Which way collapse lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Lower is more collapsed.
    Lower,
    /// Higher is more collapsed.
    Higher,
    /// Neither: a description.
    None,
}

/// What a metric stands on besides counts, means and class variances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The pooled scatter, `D × D`.
    Scatter,
    /// The classifier.
    Head,
    /// The sweep over pairs of classes.
    Pairs,
    /// A second read of the rows of the decisions.
    Decisions,
    /// A second read of the group's own rows, along the lines between means.
    Directional,
    /// A second read of the group's own rows, against the classifier's rows.
    HugIntra,
    /// The mean of out-of-distribution rows.
    OodMean,
    /// A second read of the rows of the decisions and of the out-of-distribution rows, for NECO scores.
    Neco,
}

/// A metric's card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its key in records, reports and SQL.
    pub key: &'static str,
    /// Its family.
    pub family: Family,
    /// Which way collapse lies.
    pub direction: Direction,
    /// Its unit; empty for a pure number.
    pub unit: &'static str,
    /// Its value at full collapse; empty where there is none.
    pub ideal: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What it stands on.
    pub needs: &'static [Need],
    /// Whether it is made only if asked for by its own key, because it costs a read of its own.
    pub by_name_only: bool,
    /// Formula and meaning, in a line.
    pub summary: &'static str,
}

/// The card of a key.
pub fn card(key: &str) -> Option<&'static Card> {
    CARDS.iter().find(|card| card.key == key)
}

/// All cards in display order.
pub fn cards() -> &'static [Card] {
    &CARDS
}

const PAPYAN: &str = "Papyan et al. 2020";
const HAN: &str = "Han et al. 2022";
const TIRER: &str = "Tirer et al. 2023";
const RANGAMANI: &str = "Rangamani et al. 2023";
const GALANTI: &str = "Galanti et al. 2021";
const XU: &str = "Xu & Liu 2023";
const WU: &str = "Wu & Papyan 2024";
const ZHU: &str = "Zhu et al. 2021";
const KOTHAPALLI: &str = "Kothapalli 2023";
const LIU: &str = "Liu et al. 2023";
const AMMAR: &str = "Ammar et al. 2024";

const LENGTH: &str = "feature";
const SQUARE: &str = "feature²";

macro_rules! catalogue {
    ($($key:literal $family:ident $direction:ident $unit:expr, $ideal:literal, $source:expr, [$($need:ident)*] $($by_name:ident)?
        : $summary:literal;)*) => {
        static CARDS: [Card; [$($key),*].len()] = [$(Card {
            key: $key,
            family: Family::$family,
            direction: Direction::$direction,
            unit: $unit,
            ideal: $ideal,
            source: $source,
            needs: &[$(Need::$need),*],
            by_name_only: catalogue!(@ $($by_name)?),
            summary: $summary,
        }),*];
    };
    (@) => { false };
    (@ by_name_only) => { true };
}

// key, family, direction, unit, value at full collapse, source, needs: summary. In formulas c_k = μ_k − μ_G, u_k = c_k/‖c_k‖.
catalogue! {
    "nc1_pinv" Nc1 Lower "", "0", PAPYAN, [Scatter]:
        "tr(Σ_W Σ_B⁺)/K: variability within classes against that between them";
    "nc1_svd" Nc1 Lower "", "0", HAN, [Scatter]:
        "tr(Σ_W Σ_B⁺)/K over the min(K − 1, D) leading directions of Σ_B";
    "nc1_trace_ratio" Nc1 Lower "", "0", TIRER, []:
        "tr Σ_W / tr Σ_B";
    "nc1_within_fraction" Nc1 Lower "", "0", RANGAMANI, []:
        "tr Σ_W / (tr Σ_W + tr Σ_B): the share of variance that lies within classes, 0 to 1";
    "nc1_cdnv" Nc1 Lower "", "0", GALANTI, [Pairs]:
        "mean over pairs of (v_i + v_j) / (2 ‖μ_i − μ_j‖²ᵖ), without means equal up to rounding";
    "nc1_cdnv_strict" Nc1 Lower "", "0", GALANTI, [Pairs]:
        "nc1_cdnv over all pairs; infinite, hence null, if two means are equal";
    "nc1_cdnv_log10_mean" Nc1 Lower "", "", GALANTI, [Pairs]:
        "mean over pairs of the decimal logarithm of CDNV";
    "nc1_cdnv_q50" Nc1 Lower "", "0", GALANTI, [Pairs]:
        "median of CDNV over pairs";
    "nc1_cdnv_q90" Nc1 Lower "", "0", GALANTI, [Pairs]:
        "90 % quantile of CDNV over pairs";
    "nc1_cdnv_q99" Nc1 Lower "", "0", GALANTI, [Pairs]:
        "99 % quantile of CDNV over pairs";
    "nc1_cdnv_max" Nc1 Lower "", "0", GALANTI, [Pairs]:
        "largest CDNV of a pair: the two classes hardest to tell apart";
    "nc1_cdnv_directional" Nc1 Lower "", "0", GALANTI, [Directional] by_name_only:
        "mean over ordered pairs of the variance of class i towards μ_j over ‖μ_j − μ_i‖²";
    "nc1_vci" Nc1 Lower "", "0", XU, [Scatter]:
        "variability collapse index, 1 − tr(Σ_T⁺ Σ_B)/rank Σ_B, Σ_B weighted by class sizes; 0 to 1";

    "nc2_norm_mean" Nc2 None LENGTH, "", PAPYAN, []:
        "mean of ‖c_k‖";
    "nc2_norm_mean_weights" Nc2 None "weight", "", PAPYAN, [Head]:
        "mean of ‖w_k‖";
    "nc2_norm_var" Nc2 Lower SQUARE, "0", PAPYAN, []:
        "variance of ‖c_k‖ over classes, divisor K − 1";
    "nc2_norm_var_weights" Nc2 Lower "weight²", "0", PAPYAN, [Head]:
        "variance of ‖w_k‖ over classes, divisor K − 1";
    "nc2_log_norm_mean" Nc2 None "ln feature", "", WU, []:
        "mean of ln ‖c_k‖";
    "nc2_log_norm_mean_weights" Nc2 None "ln weight", "", WU, [Head]:
        "mean of ln ‖w_k‖";
    "nc2_log_norm_var" Nc2 Lower "", "0", WU, []:
        "variance of ln ‖c_k‖ over classes, divisor K − 1";
    "nc2_log_norm_var_weights" Nc2 Lower "", "0", WU, [Head]:
        "variance of ln ‖w_k‖ over classes, divisor K − 1";
    "nc2_equinorm_cv" Nc2 Lower "", "0", PAPYAN, []:
        "std ‖c_k‖ / mean ‖c_k‖, divisor K − 1: are the means equally long?";
    "nc2_equinorm_cv_weights" Nc2 Lower "", "0", PAPYAN, [Head]:
        "std ‖w_k‖ / mean ‖w_k‖, divisor K − 1: are the classifier's rows equally long?";
    "nc2_log_norm_cv" Nc2 Lower "", "0", WU, []:
        "std ln ‖c_k‖ / mean ln ‖c_k‖, divisor K − 1; depends on the scale, prefer nc2_equinorm_cv";
    "nc2_log_norm_cv_weights" Nc2 Lower "", "0", WU, [Head]:
        "std ln ‖w_k‖ / mean ln ‖w_k‖, divisor K − 1; depends on the scale, prefer nc2_equinorm_cv_weights";
    "nc2_cos_mean" Nc2 Lower "", "−1/(K−1)", PAPYAN, []:
        "mean over pairs of cos(c_i, c_j)";
    "nc2_cos_mean_weights" Nc2 Lower "", "−1/(K−1)", PAPYAN, [Head]:
        "mean over pairs of cos(w_i, w_j)";
    "nc2_equiangular_std" Nc2 Lower "", "0", PAPYAN, []:
        "standard deviation over pairs of cos(c_i, c_j): are all angles equal? 1/√D for random directions";
    "nc2_equiangular_std_weights" Nc2 Lower "", "0", PAPYAN, [Head]:
        "standard deviation over pairs of cos(w_i, w_j)";
    "nc2_max_angle" Nc2 Lower "", "0", PAPYAN, [Pairs]:
        "mean over pairs of |cos(c_i, c_j) + 1/(K−1)|: are all angles the largest possible?";
    "nc2_max_angle_weights" Nc2 Lower "", "0", PAPYAN, [Head Pairs]:
        "mean over pairs of |cos(w_i, w_j) + 1/(K−1)|";
    "nc2_interference_mean" Nc2 None SQUARE, "", WU, []:
        "mean over pairs of c_i·c_j; with class centring −mean ‖c_k‖²/(K−1), so it says nothing about angles";
    "nc2_interference_var" Nc2 Lower "feature⁴", "0", WU, []:
        "variance over pairs of c_i·c_j";
    "nc2_interference_cv" Nc2 None "", "0", WU, []:
        "std / mean over pairs of cos(c_i, c_j); ill-conditioned, as the mean is near 0";
    "nc2_etf_error" Nc2 Lower "", "0", KOTHAPALLI, []:
        "‖S/‖S‖ − P/√(K−1)‖ with S = C Cᵀ: distance to a simplex equiangular tight frame, 0 to √2";
    "nc2_etf_error_weights" Nc2 Lower "", "0", ZHU, [Head]:
        "‖S/‖S‖ − P/√(K−1)‖ with S = W Wᵀ, 0 to √2";
    "nc2_of_error" Nc2 Lower "", "0", TIRER, []:
        "‖S/‖S‖ − I/√K‖ with S = M Mᵀ, means not centred: distance to an orthogonal frame, 0 to √2";
    "nc2_of_error_weights" Nc2 Lower "", "0", TIRER, [Head]:
        "‖S/‖S‖ − I/√K‖ with S = W Wᵀ, 0 to √2";
    "nc2_participation_ratio" Nc2 Higher "", "K−1", KOTHAPALLI, []:
        "(tr CᵀC)²/‖CᵀC‖²: effective rank of the centred means, at most min(D, K−1)";
    "nc2_participation_ratio_weights" Nc2 Higher "", "K−1", KOTHAPALLI, [Head]:
        "(tr WᵀW)²/‖WᵀW‖²: effective rank of the classifier";

    "gnc2_distance_mean" Gnc2 Higher "", "√(2K/(K−1))", WU, [Pairs]:
        "mean over pairs of ‖u_i − u_j‖";
    "gnc2_distance_mean_weights" Gnc2 Higher "", "√(2K/(K−1))", WU, [Head Pairs]:
        "mean over pairs of ‖w_i/‖w_i‖ − w_j/‖w_j‖‖";
    "gnc2_distance_var" Gnc2 Lower "", "0", WU, [Pairs]:
        "variance over pairs of ‖u_i − u_j‖";
    "gnc2_distance_var_weights" Gnc2 Lower "", "0", WU, [Head Pairs]:
        "variance over pairs of ‖w_i/‖w_i‖ − w_j/‖w_j‖‖";
    "gnc2_log_energy_mean" Gnc2 Lower "", "−½ ln(2K/(K−1))", WU, [Pairs]:
        "mean over pairs of −ln ‖u_i − u_j‖: lower is more uniform; near −½ ln 2 for random directions";
    "gnc2_log_energy_mean_weights" Gnc2 Lower "", "−½ ln(2K/(K−1))", WU, [Head Pairs]:
        "mean over pairs of −ln distance of unit classifier rows";
    "gnc2_log_energy_var" Gnc2 Lower "", "0", WU, [Pairs]:
        "variance over pairs of −ln ‖u_i − u_j‖";
    "gnc2_log_energy_var_weights" Gnc2 Lower "", "0", WU, [Head Pairs]:
        "variance over pairs of −ln distance of unit classifier rows";
    "gnc2_log_energy_cv" Gnc2 None "", "0", WU, [Pairs]:
        "std / mean over pairs of −ln ‖u_i − u_j‖; negative where the mean is";
    "gnc2_log_energy_cv_weights" Gnc2 None "", "0", WU, [Head Pairs]:
        "std / mean over pairs of −ln distance of unit classifier rows";
    "gnc2_riesz_mean" Gnc2 Lower "", "(2K/(K−1))^(−s/2)", LIU, [Pairs]:
        "mean over pairs of sign(s) ‖u_i − u_j‖⁻ˢ, Riesz energy; the log energy for s = 0";
    "gnc2_riesz_mean_weights" Gnc2 Lower "", "(2K/(K−1))^(−s/2)", LIU, [Head Pairs]:
        "Riesz energy of unit classifier rows";
    "gnc2_riesz_var" Gnc2 Lower "", "0", LIU, [Pairs]:
        "variance over pairs of ‖u_i − u_j‖⁻ˢ";
    "gnc2_riesz_var_weights" Gnc2 Lower "", "0", LIU, [Head Pairs]:
        "variance over pairs of the Riesz kernel of unit classifier rows";
    "gnc2_riesz_ln_mean" Gnc2 Lower "", "−(s/2) ln(2K/(K−1))", LIU, [Pairs]:
        "logarithm of the mean over pairs of ‖u_i − u_j‖⁻ˢ; holds where the mean itself leaves f64";
    "gnc2_riesz_ln_mean_weights" Gnc2 Lower "", "−(s/2) ln(2K/(K−1))", LIU, [Head Pairs]:
        "logarithm of the Riesz energy of unit classifier rows";
    "gnc2_min_distance" Gnc2 Higher "", "√(2K/(K−1))", LIU, [Pairs]:
        "smallest ‖u_i − u_j‖: maximum hyperspherical separation";
    "gnc2_min_distance_weights" Gnc2 Higher "", "√(2K/(K−1))", LIU, [Head Pairs]:
        "smallest distance of unit classifier rows";

    "hug_inter" Hug Lower "", "(K−1)/(2K)", LIU, [Pairs]:
        "mean over pairs of ‖u_i − u_j‖⁻²: minimum hyperspherical energy of the means";
    "hug_inter_weights" Hug Lower "", "(K−1)/(2K)", LIU, [Head Pairs]:
        "mean over pairs of the inverse squared distance of unit classifier rows";
    "hug_intra" Hug Lower "", "0", LIU, [Head HugIntra] by_name_only:
        "sum over classes of the mean distance of unit rows to their unit classifier row";

    "nc3_self_duality_sq" Nc3 Lower "", "0", PAPYAN, [Head]:
        "‖W/‖W‖ − C/‖C‖‖²: are classifier and means the same up to scale? 0 to 4";
    "nc3_duality_error" Nc3 Lower "", "0", ZHU, [Head]:
        "‖S/‖S‖ − P/√(K−1)‖ with S = W Cᵀ, 0 to 2";
    "nc3_dot_mean" Nc3 None "logit", "", WU, [Head]:
        "mean of w_k·c_k";
    "nc3_dot_var" Nc3 Lower "logit²", "0", WU, [Head]:
        "variance of w_k·c_k over classes, divisor K − 1";
    "nc3_cos_mean" Nc3 Higher "", "1", WU, [Head]:
        "mean of cos(w_k, c_k)";
    "nc3_cos_var" Nc3 Lower "", "0", WU, [Head]:
        "variance of cos(w_k, c_k) over classes, divisor K − 1";
    "nc3_dist_mean" Nc3 Lower "", "0", WU, [Head]:
        "mean of ‖w_k/‖w_k‖ − u_k‖";
    "nc3_dist_var" Nc3 Lower "", "0", WU, [Head]:
        "variance of ‖w_k/‖w_k‖ − u_k‖ over classes, divisor K − 1";
    "nc3_bias_collapse" Nc3 Lower "logit", "0", ZHU, [Head]:
        "‖W μ_G + b‖";
    "unc3_dot_var" Nc3 Lower "logit²", "0", WU, [Head]:
        "uniform duality: variance of w_k·c_k over classes, divisor K − 1";
    "unc3_cos_cv" Nc3 Lower "", "0", WU, [Head]:
        "uniform duality: std / mean of cos(w_k, c_k), divisor K − 1";

    "nc4_agreement" Nc4 Higher "", "1", PAPYAN, [Head Decisions]:
        "share of rows on which the classifier and the nearest class mean decide alike";
    "nc4_agreement_macro" Nc4 Higher "", "1", PAPYAN, [Head Decisions]:
        "mean over classes of the share of rows decided alike";
    "nc4_agreement_no_bias" Nc4 Higher "", "1", WU, [Head Decisions]:
        "nc4_agreement with the classifier's bias left out";
    "nc4_mismatch" Nc4 Lower "", "0", PAPYAN, [Head Decisions]:
        "1 − nc4_agreement";
    "nc4_both_right" Nc4 Higher "", "", PAPYAN, [Head Decisions]:
        "share of rows that both the classifier and the nearest class mean get right";
    "nc4_only_classifier" Nc4 Lower "", "0", PAPYAN, [Head Decisions]:
        "share of rows that only the classifier gets right";
    "nc4_only_ncc" Nc4 Lower "", "0", PAPYAN, [Head Decisions]:
        "share of rows that only the nearest class mean gets right";
    "nc4_both_wrong" Nc4 Lower "", "", PAPYAN, [Head Decisions]:
        "share of rows that neither gets right";
    "ncc_accuracy" Nc4 Higher "", "", PAPYAN, [Decisions]:
        "share of rows whose nearest class mean is their own";
    "classifier_accuracy" Nc4 Higher "", "", PAPYAN, [Head Decisions]:
        "share of rows that the classifier gets right";

    "nc5_ortho_dev" Nc5 Lower "", "0", AMMAR, [OodMean]:
        "mean of |cos(μ_k, o)|, o the mean of the out-of-distribution class means";
    "nc5_neco_auroc" Nc5 Higher "", "1", AMMAR, [Neco]:
        "area under the ROC curve of NECO scores, in-distribution rows positive";
    "nc5_neco_fpr95" Nc5 Lower "", "0", AMMAR, [Neco]:
        "share of out-of-distribution rows above the NECO score that 95 % of the others reach";

    "mse_nc1" Mse Lower "", "0", HAN, [Scatter]:
        "part of the regularised MSE loss of the least-squares classifier that is due to Σ_W";
    "mse_nc23" Mse Lower "", "", HAN, [Scatter]:
        "part of the loss of the least-squares classifier that is due to the class means";
    "mse_perp" Mse Lower "", "0", HAN, [Head Scatter]:
        "part of the loss that is due to the classifier not being the least-squares one";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_once_and_no_family_is_torn() {
        for (at, card) in CARDS.iter().enumerate() {
            assert_eq!(CARDS.iter().filter(|other| other.key == card.key).count(), 1, "{}", card.key);
            assert_eq!(super::card(card.key), Some(card));
            assert!(!card.summary.is_empty() && !card.source.is_empty(), "{}", card.key);
            let later = CARDS[at..].iter().skip_while(|other| other.family == card.family);
            assert!(later.clone().all(|other| other.family != card.family), "{}", card.key);
        }
        let families: Vec<&str> = Family::ALL.into_iter().map(Family::name).collect();
        let mut shown: Vec<&str> = CARDS.iter().map(|card| card.family.name()).collect();
        shown.dedup();
        assert_eq!(shown, families);
        assert_eq!(super::card("nc1"), None);
    }

    #[test]
    fn what_is_made_of_weights_needs_a_head_and_has_a_twin() {
        for card in &CARDS {
            if let Some(twin) = card.key.strip_suffix("_weights").map(|key| super::card(key).unwrap()) {
                assert!(card.needs.contains(&Need::Head) && !twin.needs.contains(&Need::Head), "{}", card.key);
                assert_eq!(
                    (card.family, card.direction, card.ideal),
                    (twin.family, twin.direction, twin.ideal),
                    "{}",
                    card.key
                );
            }
        }
    }
}
