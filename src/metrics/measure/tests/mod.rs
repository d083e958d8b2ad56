//! The golden fixture whole, and what all tests of measuring share.

mod cards;
mod missing;
mod per_class;
mod shapes;

use super::*;
use crate::metrics::fixture::{GOLDEN_OOD, assert_close, golden, golden_head, statistics};
use crate::metrics::{Centring, NecoDim, Normaliser, cards};
use crate::state::{Decisions, Head, LdaDecisions, SecondPassResult, Separation, Statistics};

fn select(words: &[&str]) -> Selection {
    Selection::parse(&words.iter().map(ToString::to_string).collect::<Vec<String>>()).unwrap()
}

/// All there is, the two metrics that cost a read of their own among it.
fn everything() -> Selection {
    let named = cards().iter().filter(|card| card.by_name_only).map(|card| card.key);
    select(&["all"].into_iter().chain(named).collect::<Vec<_>>())
}

fn bare(statistics: &Statistics) -> Evidence<'_> {
    Evidence::new(statistics, 53)
}

fn run(evidence: &Evidence<'_>, options: &Options, words: &[&str]) -> Measurements {
    let selection = if words.is_empty() { everything() } else { select(words) };
    measure(evidence, options, &selection, Extras::default()).unwrap()
}

#[track_caller]
fn found<'a>(measurements: &'a Measurements, key: &str) -> &'a Measured {
    measurements.metric(key).unwrap()
}

#[track_caller]
fn number(measurements: &Measurements, key: &str) -> f64 {
    let metric = found(measurements, key);
    metric.value.unwrap_or_else(|| panic!("{key}: {:?}", metric.reason))
}

fn reason(measurements: &Measurements, key: &str) -> Option<&'static str> {
    let metric = found(measurements, key);
    assert_eq!(metric.value.is_none(), metric.reason.is_some(), "{key}");
    metric.reason
}

/// The decisions of METRICS 6: hits [3, 4, 5, 0] with a bias and without; the nearest mean is always right.
fn golden_findings() -> SecondPassResult {
    let tally = |(rows, hits): (u64, u64)| DecisionCounts {
        rows,
        ncc_right: rows,
        classifier_right: hits,
        both_right: hits,
        agreements: hits,
        agreements_no_bias: hits,
        ties: 0,
    };
    SecondPassResult {
        decisions: Some(Decisions {
            labels: (0..4).map(Label::Int).collect(),
            tallies: [(3, 3), (4, 4), (5, 5), (6, 0)].map(tally).to_vec(),
            unseen: 0,
        }),
        directional: Some(0.004_132_401_268_602_664),
        hug_intra: Some(3.182_398_268_736_244),
        neco: Some(Separation { auroc: 0.75, fpr95: 0.5, auroc_error: 0.0, fpr95_error: 0.0 }),
        mahalanobis: Some(Separation { auroc: 0.875, fpr95: 0.25, auroc_error: 0.0, fpr95_error: 0.0 }),
        relative_mahalanobis: Some(Separation { auroc: 1.0, fpr95: 0.0, auroc_error: 0.0, fpr95_error: 0.0 }),
        lda: Some(LdaDecisions { rows: 18, right: 17, unsure: 0, unseen: 0 }),
        ..SecondPassResult::default()
    }
}

/// A spread that is 0 after rounding may have been any smaller than the grid.
#[test]
fn a_spread_of_zero_is_nothing_but_rounding_where_rows_were_rounded() {
    let mut statistics = golden();
    statistics.variances.fill(0.0);
    for (noise, expected) in [(0.0, false), (1e-12, true)] {
        statistics.rounding_changed.fill(noise);
        let found = run(&bare(&statistics), &Options::default(), &["nc1_cdnv", "nc1_cdnv_q50", "nc1_trace_ratio"]);
        for metric in &found.metrics {
            assert_eq!(metric.value, Some(0.0), "{}", metric.key);
            assert_eq!(metric.flags.contains(&"nothing_but_rounding"), expected, "{}", metric.key);
        }
    }
}

#[test]
fn the_golden_fixture() {
    let (statistics, head, findings) = (golden(), golden_head(), golden_findings());
    let evidence =
        Evidence { head: Some(&head), findings: Some(&findings), ood_mean: Some(&GOLDEN_OOD), ..bare(&statistics) };
    let options = Options { neco_dim: NecoDim::Axes(2), ..Options::default() };
    let all = run(&evidence, &options, &[]);
    for (key, expected) in [
        ("nc1_pinv", 0.103_390_814_268_086_5),
        ("nc1_svd", 0.103_390_814_268_086_5),
        ("nc1_trace_ratio", 0.020_887_892_520_713_88),
        ("nc1_within_fraction", 0.020_460_515_472_603_73),
        ("nc1_cdnv", 0.012_875_333_731_516_095),
        ("nc1_cdnv_strict", 0.012_875_333_731_516_095),
        ("nc1_cdnv_log10_mean", -2.036_162_577_687_095_5),
        ("nc1_cdnv_max", 0.042_028_720_006_994_72),
        ("nc1_cdnv_directional", 0.004_132_401_268_602_664),
        ("nc1_vci", 0.089_052_779_546_008_43),
        ("nc0_row_sum", 0.0),
        ("nc2_norm_mean", 2.793_423_253_165_620_2),
        ("nc2_norm_var", 0.939_156_850_152_767_4),
        ("nc2_log_norm_mean", 0.968_204_648_227_895_8),
        ("nc2_log_norm_var", 0.179_654_593_885_812_04),
        ("nc2_log_norm_cv", 0.437_776_051_797_719_45),
        ("nc2_equinorm_cv", 0.346_922_383_316_950_8),
        ("nc2_equinorm_cv_weights", 0.123_630_497_192_715_06),
        ("nc2_cos_mean", -0.287_501_296_231_264_36),
        ("nc2_equiangular_std", 0.455_068_627_325_688_6),
        ("nc2_max_angle", 0.304_723_317_322_760_03),
        ("nc2_cos_mean_weights", -0.326_290_452_202_217_6),
        ("nc2_equiangular_std_weights", 0.362_863_940_789_941_7),
        ("nc2_max_angle_weights", 0.325_505_392_116_199_17),
        ("nc2_interference_mean", -2.835_860_369_646_990_6),
        ("nc2_interference_var", 8.006_002_865_295_809),
        ("nc2_etf_error", 0.570_044_957_183_104),
        ("nc2_etf_error_weights", 0.505_767_382_657_678_7),
        ("nc2_of_error", 0.679_422_440_247_108_2),
        ("nc2_participation_ratio", 2.104_341_228_092_346),
        ("gnc2_distance_mean", 1.562_534_071_581_622_5),
        ("gnc2_distance_var", 0.133_489_867_609_086_32),
        ("gnc2_log_energy_mean", -0.406_220_837_940_050_87),
        ("gnc2_log_energy_var", 0.096_653_824_969_221_72),
        ("gnc2_riesz_mean", 0.576_501_848_038_057_8),
        ("gnc2_min_distance", 0.750_556_153_873_707_4),
        ("nc3_self_duality_sq", 0.602_369_316_816_863_7),
        ("nc3_duality_error", 0.759_205_151_683_109_9),
        ("nc3_dot_mean", 4.780_208_333_333_333),
        ("nc3_dot_var", 8.907_185_646_339_7),
        ("unc3_dot_var", 8.907_185_646_339_7),
        ("nc3_cos_mean", 0.683_576_358_827_386_1),
        ("nc3_cos_var", 0.154_195_026_898_580_86),
        ("unc3_cos_cv", 0.574_444_597_142_804_2),
        ("nc3_dist_mean", 0.694_598_189_339_063_3),
        ("nc3_dist_var", 0.200_507_516_949_496_9),
        ("nc3_bias_collapse", 7.909_469_581_821_224),
        ("nc4_agreement", 2.0 / 3.0),
        ("nc4_agreement_macro", 0.75),
        ("nc4_agreement_no_bias", 2.0 / 3.0),
        ("nc4_mismatch", 1.0 / 3.0),
        ("ncc_accuracy", 1.0),
        ("classifier_accuracy", 2.0 / 3.0),
        ("nc5_ortho_dev", 0.566_119_158_736_322_6),
        ("nc5_neco_auroc", 0.75),
        ("nc5_neco_fpr95", 0.5),
        ("hug_inter", 0.576_501_848_038_057_8),
        ("hug_inter_weights", 0.405_287_335_382_904),
        ("lda_accuracy", 17.0 / 18.0),
        ("nc5_mahalanobis_auroc", 0.875),
        ("hug_intra", 3.182_398_268_736_244),
        ("mse_nc1", 0.028_074_235_159_616_337),
        ("mse_nc23", 0.010_179_414_791_519_492),
        ("mse_perp", 57.590_769_263_098_64),
        ("spectrum_effective_rank", 2.311_954_255_838_628),
        ("spectrum_effective_rank_within", 2.728_928_812_026_719_4),
        ("spectrum_effective_rank_between", 2.219_110_684_712_206_6),
        ("spectrum_rankme", 2.882_974_028_536_388),
        ("spectrum_participation", 2.126_997_183_089_814),
        ("spectrum_participation_within", 2.529_007_949_812_249_3),
        ("spectrum_stable_rank", 1.775_054_681_900_573),
        ("spectrum_numerical_rank", 3.0),
        ("spectrum_top_share", 0.563_362_926_334_915_8),
        ("spectrum_dim95", 2.0),
        ("separation_calinski_harabasz", 194.256_506_282_395_78),
        ("separation_davies_bouldin_rms", 0.301_197_575_560_896_94),
        ("separation_fisher_trace", 180.246_883_763_558_12),
        ("separation_h_score", 2.732_841_661_361_974),
        ("separation_lidar", 2.034_248_843_804_974),
        ("separation_lda_error_mean", 1.244_210_465_474_344_4e-7),
        ("separation_lda_error_max", 7.465_262_792_846_065e-7),
        ("separation_alignment", 0.458_723_958_333_333_35),
        ("imbalance_seli_error", 0.497_577_600_546_873_7),
        ("imbalance_seli_error_weights", 0.488_893_924_042_326_95),
        ("imbalance_minority_cos", -0.352_713_701_076_412_64),
        ("imbalance_minority_cos_weights", -0.780_720_058_358_826_5),
        ("transfer_logme", -0.021_643_937_792_974_688),
    ] {
        assert_close(number(&all, key), expected, 1e-12);
    }
    assert_eq!(found(&all, "mse_nc1").flags, ["unbalanced"]);
    assert_eq!((all.classes, &all.flags[..]), (4, &[][..]));
    // Three dimensions have no tail.
    let null = all.metrics.iter().filter(|metric| metric.value.is_none()).map(|metric| metric.key);
    assert_eq!(null.collect::<Vec<_>>(), ["spectrum_pair_cosine", "spectrum_alpha_req"]);
}

#[test]
fn conventions_of_the_golden_fixture() {
    let (statistics, head) = (golden(), golden_head());
    let evidence = Evidence { head: Some(&head), ..bare(&statistics) };
    let squared = Options { cdnv_exponent: 2.0, riesz_s: 1.0, ..Options::default() };
    let all = run(&evidence, &squared, &["nc1", "gnc2", "hug"]);
    assert_close(number(&all, "nc1_cdnv"), 0.001_931_575_630_404_104_4, 1e-12);
    assert_close(number(&all, "gnc2_riesz_mean"), 0.705_493_342_805_818_1, 1e-12);
    assert_close(number(&all, "gnc2_riesz_var"), 0.078_780_991_294_730_11, 1e-12);
    assert_close(number(&all, "hug_inter"), 0.576_501_848_038_057_8, 1e-12);
    assert_close(number(&all, "hug_inter_weights"), 0.405_287_335_382_904, 1e-12);
    let sample = Options { centring: Centring::Sample, ..Options::default() };
    let all = run(&evidence, &sample, &["nc3_bias_collapse"]);
    assert_close(number(&all, "nc3_bias_collapse"), 8.018_715_148_399_576, 1e-12);
    // Σ_W over n − K for n: N/(N − K) = 18/14.
    let unbiased = Options { normaliser: Normaliser::RowsLessClasses, ..Options::default() };
    let all = run(&evidence, &unbiased, &["nc1", "mse"]);
    assert_close(number(&all, "nc1_trace_ratio"), 0.020_887_892_520_713_88 * 18.0 / 14.0, 1e-12);
    assert_close(number(&all, "nc1_pinv"), 0.103_390_814_268_086_5 * 18.0 / 14.0, 1e-12);
    assert!(number(&all, "mse_nc1") > 0.028_1);
    let sum = Options { divide_by_k: false, ..Options::default() };
    let all = run(&evidence, &sum, &["nc1_pinv"]);
    assert_close(number(&all, "nc1_pinv"), 0.103_390_814_268_086_5 * 4.0, 1e-12);
    // The mean of v_k over that of ‖c_k‖².
    let balanced = Options { normaliser: Normaliser::Balanced, ..Options::default() };
    let all = run(&evidence, &balanced, &["nc1", "nc2_interference_mean", "mse"]);
    let variance = statistics.variances.iter().sum::<f64>() / 4.0;
    let between = -3.0 * number(&all, "nc2_interference_mean");
    assert_close(number(&all, "nc1_trace_ratio"), variance / between, 1e-12);
    for key in ["nc1_pinv", "nc1_svd", "nc1_vci", "mse_nc1", "mse_nc23", "mse_perp"] {
        assert_eq!(reason(&all, key), Some("needs_per_class_scatter"), "{key}");
    }
    let all = run(&evidence, &balanced, &["spectrum", "separation", "transfer"]);
    for metric in all.metrics.iter().filter(|metric| metric.key != "spectrum_pair_cosine") {
        let of_scatter = crate::metrics::card(metric.key).unwrap().needs.contains(&crate::metrics::Need::Scatter);
        assert_eq!(metric.reason, of_scatter.then_some("needs_per_class_scatter"), "{}", metric.key);
    }
    // Of the new ones, only the error between two classes has a divisor of its own: Δ² falls with it.
    let all = run(&evidence, &unbiased, &["spectrum", "separation"]);
    let plain = run(&evidence, &Options::default(), &["spectrum", "separation"]);
    for (a, b) in all.metrics.iter().zip(&plain.metrics) {
        assert_eq!(a.value == b.value, !a.key.starts_with("separation_lda_error"), "{}", a.key);
    }
    assert!(number(&all, "separation_lda_error_max") > number(&plain, "separation_lda_error_max"));
}

#[test]
fn the_default_is_each_of_its_keys_once_in_the_catalogue_s_order() {
    let statistics = golden();
    let all = measure(&bare(&statistics), &Options::default(), &Selection::default(), Extras::default()).unwrap();
    let keys: Vec<&str> = all.metrics.iter().map(|metric| metric.key).collect();
    let expected: Vec<&str> = cards().iter().filter(|card| card.is_default()).map(|card| card.key).collect();
    assert_eq!(keys, expected);
}
