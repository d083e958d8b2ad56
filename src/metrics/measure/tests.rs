//! The golden fixture whole, and every reason why there is no number.

use super::*;
use crate::error::ErrorKind;
use crate::metrics::fixture::{GOLDEN_OOD, assert_close, golden, golden_head, statistics};
use crate::metrics::{Centring, NecoDim, Normaliser, cards};
use crate::state::{Decisions, Head, SecondPassResult, Separation, Statistics};

fn select(words: &[&str]) -> Selection {
    Selection::parse(&words.iter().map(ToString::to_string).collect::<Vec<String>>()).unwrap()
}

/// All there is, the two metrics that cost a read of their own among it.
fn everything() -> Selection {
    select(&["nc1", "nc1_cdnv_directional", "nc2", "gnc2", "hug", "hug_intra", "nc3", "nc4", "nc5", "mse"])
}

fn bare(statistics: &Statistics) -> Evidence<'_> {
    Evidence { statistics, significand_bits: 53, head: None, findings: None, ood_mean: None, dropped_classes: 0 }
}

fn run(evidence: &Evidence<'_>, options: &Options, words: &[&str]) -> Measurements {
    let selection = if words.is_empty() { everything() } else { select(words) };
    measure(evidence, options, &selection, Extras::default()).unwrap()
}

#[track_caller]
fn found<'a>(measurements: &'a Measurements, key: &str) -> &'a Measured {
    measurements.metrics.iter().find(|metric| metric.key == key).unwrap()
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
        ..SecondPassResult::default()
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
        ("hug_intra", 3.182_398_268_736_244),
        ("mse_nc1", 0.028_074_235_159_616_337),
        ("mse_nc23", 0.010_179_414_791_519_492),
        ("mse_perp", 57.590_769_263_098_64),
    ] {
        assert_close(number(&all, key), expected, 1e-12);
    }
    assert_eq!(found(&all, "mse_nc1").flags, ["unbalanced"]);
    assert_eq!((all.classes, &all.flags[..]), (4, &[][..]));
    assert!(all.metrics.iter().all(|metric| metric.value.is_some()));
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
}

#[test]
fn the_default_is_each_of_its_keys_once_in_the_catalogue_s_order() {
    let statistics = golden();
    let all = measure(&bare(&statistics), &Options::default(), &Selection::default(), Extras::default()).unwrap();
    let keys: Vec<&str> = all.metrics.iter().map(|metric| metric.key).collect();
    let expected: Vec<&str> = cards().iter().filter(|card| !card.by_name_only).map(|card| card.key).collect();
    assert_eq!(keys, expected);
}

#[test]
fn what_lacks_an_input_says_which() {
    let (statistics, head) = (golden(), golden_head());
    let all = run(&bare(&statistics), &Options::default(), &[]);
    for metric in &all.metrics {
        let family = metric.key.split('_').next().unwrap_or_default();
        let expected = match (family, metric.key) {
            (_, "nc1_cdnv_directional") => Some("no_rows"),
            (_, "hug_intra" | "mse_perp") | ("nc3" | "unc3" | "nc4" | "ncc" | "classifier", _) => Some("no_head"),
            _ if metric.key.ends_with("_weights") => Some("no_head"),
            ("nc5", _) => Some("no_ood"),
            _ => None,
        };
        assert_eq!(reason(&all, metric.key), expected, "{}", metric.key);
    }
    assert_eq!(
        reason(&run(&bare(&statistics), &Options::default(), &["ncc_accuracy"]), "ncc_accuracy"),
        Some("no_decisions")
    );
    let with_head = Evidence { head: Some(&head), ood_mean: Some(&GOLDEN_OOD), ..bare(&statistics) };
    let all = run(&with_head, &Options::default(), &[]);
    for (key, expected) in [
        ("nc4_agreement", "no_decisions"),
        ("ncc_accuracy", "no_decisions"),
        ("nc5_neco_auroc", "no_decisions"),
        ("hug_intra", "no_rows"),
    ] {
        assert_eq!(reason(&all, key), Some(expected), "{key}");
    }
    let max_logit = Options { neco_max_logit: true, ..Options::default() };
    let headless = Evidence { head: None, ..with_head };
    assert_eq!(reason(&run(&headless, &max_logit, &["nc5"]), "nc5_neco_fpr95"), Some("no_head"));
}

#[test]
fn the_nearest_mean_alone_needs_no_head() {
    let (statistics, findings) = (golden(), golden_findings());
    let evidence = Evidence { findings: Some(&findings), ..bare(&statistics) };
    let all = run(&evidence, &Options::default(), &["nc4"]);
    assert_close(number(&all, "ncc_accuracy"), 1.0, 0.0);
    assert_eq!(reason(&all, "nc4_agreement"), Some("no_head"));
    assert_eq!(reason(&all, "classifier_accuracy"), Some("no_head"));
}

#[test]
fn without_the_scatter_what_needs_none_is_made() {
    let mut statistics = golden();
    statistics.scatter = None;
    let all = run(&bare(&statistics), &Options::default(), &["nc1", "nc2", "mse"]);
    for key in ["nc1_pinv", "nc1_svd", "nc1_vci", "mse_nc1", "mse_nc23", "mse_perp"] {
        assert_eq!(reason(&all, key), Some("no_scatter"), "{key}");
    }
    assert_close(number(&all, "nc1_trace_ratio"), 0.020_887_892_520_713_88, 1e-12);
    assert_close(number(&all, "nc1_cdnv"), 0.012_875_333_731_516_095, 1e-12);
    let filtered = Options { min_count: Some(3), ..Options::default() };
    let evidence = Evidence { dropped_classes: 1, ..bare(&statistics) };
    let all = run(&evidence, &filtered, &["nc1", "mse"]);
    assert_eq!(reason(&all, "nc1_pinv"), Some("filter_after_pooling"));
    assert_eq!(reason(&all, "mse_nc1"), Some("filter_after_pooling"));
    let balanced = Options { normaliser: Normaliser::Balanced, ..filtered };
    assert_eq!(reason(&run(&evidence, &balanced, &["nc1_pinv"]), "nc1_pinv"), Some("needs_per_class_scatter"));
}

#[test]
fn one_class_has_no_between() {
    let statistics = statistics(2, &[1.0, 2.0, 2.0, 2.0, 3.0, 5.0], &[0, 0, 0]);
    let head = Head { weights: vec![1.0, -1.0], bias: None };
    let findings = golden_findings();
    let evidence = Evidence {
        head: Some(&head),
        ood_mean: Some(&[1.0, 0.0]),
        findings: Some(&SecondPassResult { directional: None, ..findings }),
        ..bare(&statistics)
    };
    let all = run(&evidence, &Options::default(), &[]);
    for metric in &all.metrics {
        let alone = ["nc3_bias_collapse", "nc5_ortho_dev", "nc5_neco_auroc", "nc5_neco_fpr95", "hug_intra"];
        let expected = (!alone.contains(&metric.key)).then_some("single_class");
        assert_eq!(reason(&all, metric.key), expected, "{}", metric.key);
    }
    assert_eq!(found(&all, "nc3_bias_collapse").flags, ["no_bias"]);
}

#[test]
fn two_classes_are_one_pair() {
    let statistics = statistics(2, &[0.0, 0.0, 0.0, 1.0, 4.0, 0.0, 4.0, 1.0], &[0, 0, 1, 1]);
    let all = run(&bare(&statistics), &Options::default(), &["nc1", "nc2", "gnc2", "hug"]);
    assert_close(number(&all, "nc1_cdnv"), 0.25 / 16.0, 1e-14);
    assert_close(number(&all, "nc1_pinv"), 0.0, 1e-14);
    assert_close(number(&all, "nc2_cos_mean"), -1.0, 1e-14);
    assert_close(number(&all, "gnc2_distance_mean"), 2.0, 1e-14);
    assert_close(number(&all, "nc2_participation_ratio"), 1.0, 1e-14);
    assert_close(number(&all, "hug_inter"), 0.25, 1e-14);
    assert_eq!(found(&all, "hug_inter").floor, Some(0.25));
    for key in ["nc2_equiangular_std", "nc2_etf_error", "nc2_max_angle", "gnc2_distance_var", "nc2_norm_var"] {
        assert!(number(&all, key).abs() < 1e-14, "{key}");
    }
}

#[test]
fn equal_means_have_no_geometry() {
    let statistics = statistics(2, &[0.0, 0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 2.0], &[0, 0, 1, 1]);
    let head = Head { weights: vec![1.0, 0.0, 0.0, 1.0], bias: None };
    let evidence = Evidence { head: Some(&head), ..bare(&statistics) };
    let all = run(&evidence, &Options::default(), &["nc1", "nc2", "gnc2", "hug", "nc3"]);
    assert_close(number(&all, "nc2_norm_mean"), 0.0, 0.0);
    assert_close(number(&all, "nc1_within_fraction"), 1.0, 0.0);
    for key in ["nc1_pinv", "nc1_trace_ratio", "nc2_etf_error", "nc2_cos_mean", "gnc2_distance_mean", "nc3_cos_mean"] {
        assert_eq!(reason(&all, key), Some("zero_between"), "{key}");
    }
    assert!(reason(&all, "nc1_cdnv").is_some());
    assert!(number(&all, "nc2_etf_error_weights") > 0.0);
    let zero = Head { weights: vec![0.0; 4], bias: None };
    let all = run(&Evidence { head: Some(&zero), ..evidence }, &Options::default(), &["nc2"]);
    assert_eq!(reason(&all, "nc2_etf_error_weights"), Some("zero_weights"));
}

#[test]
fn a_head_with_a_row_of_zeros_and_without_bias() {
    let statistics = golden();
    let mut head = golden_head();
    head.weights[..3].fill(0.0);
    head.bias = None;
    let findings = golden_findings();
    let evidence = Evidence { head: Some(&head), findings: Some(&findings), ..bare(&statistics) };
    let all = run(&evidence, &Options::default(), &[]);
    for key in ["nc3_cos_mean", "nc2_cos_mean_weights", "gnc2_distance_mean_weights", "nc2_log_norm_mean_weights"] {
        assert_eq!(found(&all, key).flags, ["zero_norm_classes"], "{key}");
        assert!(found(&all, key).value.is_some(), "{key}");
    }
    assert!(found(&all, "nc2_cos_mean").flags.is_empty());
    for key in ["nc3_bias_collapse", "nc4_agreement", "mse_perp"] {
        assert!(found(&all, key).flags.contains(&"no_bias"), "{key}");
    }
    assert!(found(&all, "nc4_agreement_no_bias").flags.is_empty());
}

/// `K` corners of a simplex, two rows each, a little apart along the last dimension.
fn simplex(classes: usize) -> Statistics {
    let dim = classes + 1;
    let row = |row: usize| {
        (0..dim).map(move |j| {
            let apart = if row.is_multiple_of(2) { 0.125 } else { -0.125 };
            if j == classes { apart } else { f64::from(u8::from(j == row / 2)) * 4.0 }
        })
    };
    let labels: Vec<u32> = (0..2 * classes as u32).map(|row| row / 2).collect();
    statistics(dim, &(0..2 * classes).flat_map(row).collect::<Vec<f64>>(), &labels)
}

#[test]
fn an_exact_simplex_reaches_every_ideal() {
    let statistics = simplex(6);
    let head = Head { weights: statistics.offsets.clone(), bias: None };
    let evidence = Evidence { head: Some(&head), ..bare(&statistics) };
    let all = run(&evidence, &Options::default(), &["nc1", "nc2", "gnc2", "hug"]);
    for key in [
        "nc2_etf_error",
        "nc2_equiangular_std",
        "nc2_max_angle",
        "nc2_equinorm_cv",
        "nc2_norm_var",
        "nc2_interference_var",
        "gnc2_distance_var",
        "gnc2_log_energy_var",
    ] {
        assert!(number(&all, key).abs() < 1e-13, "{key}");
    }
    let distance = 12.0_f64 / 5.0;
    for (key, ideal) in [
        ("nc2_cos_mean", -0.2),
        ("nc2_participation_ratio", 5.0),
        ("gnc2_distance_mean", distance.sqrt()),
        ("gnc2_min_distance", distance.sqrt()),
        ("gnc2_log_energy_mean", -0.5 * distance.ln()),
        ("gnc2_riesz_mean", 1.0 / distance),
        ("gnc2_riesz_ln_mean", -distance.ln()),
        ("hug_inter", 5.0 / 12.0),
    ] {
        assert_close(number(&all, key), ideal, 1e-13);
    }
    assert_eq!(found(&all, "nc2_etf_error").floor, Some(0.0));
    assert_close(found(&all, "gnc2_log_energy_mean").floor.unwrap(), -0.5 * distance.ln(), 1e-14);
    assert!(found(&all, "gnc2_log_energy_mean").flags.is_empty());
}

#[test]
fn more_classes_than_a_simplex_has_corners() {
    let rows: Vec<f64> = (0..40).map(|at| f64::from((at * at * 7 + at) % 31)).collect();
    let labels: Vec<u32> = (0..20).map(|row| row / 2).collect();
    let statistics = statistics(2, &rows, &labels);
    let all = run(&bare(&statistics), &Options::default(), &["nc1", "nc2", "gnc2"]);
    assert_eq!(all.flags, ["simplex_unattainable"]);
    let error = found(&all, "nc2_etf_error");
    assert_close(error.floor.unwrap(), (2.0 - 2.0 * (2.0_f64 / 9.0).sqrt()).sqrt(), 1e-14);
    assert!(error.value > error.floor);
    assert_eq!(found(&all, "gnc2_log_energy_mean").flags, ["random_baseline"]);
    assert!(
        all.metrics
            .iter()
            .filter(|metric| !metric.key.ends_with("_weights"))
            .all(|metric| metric.value.is_some() || metric.key == "nc1_cdnv_directional")
    );
}

#[test]
fn singletons_are_left_out_of_variances_unless_typed() {
    let statistics = statistics(1, &[0.0, 2.0, 10.0, 12.0, 50.0], &[0, 0, 1, 1, 2]);
    let all = run(&bare(&statistics), &Options::default(), &["nc1"]);
    assert_eq!(all.flags, ["singleton_classes", "simplex_unattainable"]);
    assert_close(number(&all, "nc1_cdnv"), 1.0 / 100.0, 1e-14);
    assert_eq!(found(&all, "nc1_cdnv").flags, ["classes_left_out"]);
    let typed = Options { min_count: Some(1), ..Options::default() };
    let all = run(&bare(&statistics), &typed, &["nc1"]);
    let all_pairs = (0.01 + 0.5 / 49.0_f64.powi(2) + 0.5 / 39.0_f64.powi(2)) / 3.0;
    assert_close(number(&all, "nc1_cdnv"), all_pairs, 1e-14);
    assert!(found(&all, "nc1_cdnv").flags.is_empty());
}

#[test]
fn classes_and_pairs_one_by_one() {
    let (statistics, head, findings) = (golden(), golden_head(), golden_findings());
    let evidence = Evidence { head: Some(&head), findings: Some(&findings), ..bare(&statistics) };
    let extras = Extras { per_class: true, worst_pairs: 2 };
    let all = measure(&evidence, &Options::default(), &select(&["nc2_norm_mean"]), extras).unwrap();
    assert_eq!(all.metrics.len(), 1);
    let rows = &all.per_class;
    assert_eq!(rows.iter().map(|row| row.count).collect::<Vec<u64>>(), [3, 4, 5, 6]);
    assert_close(rows[1].variance.unwrap(), 0.217_773_437_5, 1e-12);
    assert_close(rows[1].snr.unwrap(), rows[1].distance.powi(2) / 0.217_773_437_5, 1e-12);
    let mean = rows.iter().map(|row| row.distance).sum::<f64>() / 4.0;
    assert_close(mean, number(&all, "nc2_norm_mean"), 1e-14);
    assert_close(rows.iter().map(|row| row.cdnv_mean.unwrap()).sum::<f64>() / 4.0, 0.012_875_333_731_516_095, 1e-12);
    // Classes 2 and 3 are nearest to each other.
    assert_eq!(rows[2].worst_neighbour, Some(Label::Int(3)));
    assert_close(rows[3].cdnv_worst.unwrap(), 0.042_028_720_006_994_72, 1e-12);
    assert_close(rows.iter().map(|row| row.cos_head.unwrap()).sum::<f64>() / 4.0, 0.683_576_358_827_386_1, 1e-12);
    assert_close(rows.iter().map(|row| row.dot_head.unwrap()).sum::<f64>() / 4.0, 4.780_208_333_333_333, 1e-12);
    let hits = rows.iter().map(|row| (row.decisions, row.ncc_hits, row.classifier_hits, row.agreements));
    assert_eq!(hits.collect::<Vec<_>>()[3], (Some(6), Some(6), Some(0), Some(0)));

    assert_eq!(all.worst_pairs.len(), 2);
    let worst = &all.worst_pairs[0];
    assert_eq!((&worst.first, &worst.second), (&Label::Int(2), &Label::Int(3)));
    assert_close(worst.cdnv, 0.042_028_720_006_994_72, 1e-12);
    assert_close(worst.cdnv, f64::midpoint(0.171_25, 0.179_253_472_222_222_24) / worst.distance.powi(2), 1e-12);
    assert!(worst.cdnv > all.worst_pairs[1].cdnv);

    let alone = measure(&bare(&statistics), &Options::default(), &select(&["nc1"]), extras).unwrap();
    let row = &alone.per_class[0];
    assert_eq!((row.cos_head, row.decisions, row.agreements), (None, None, None));
    let nothing = measure(&evidence, &Options::default(), &select(&["nc1"]), Extras::default()).unwrap();
    assert!(nothing.per_class.is_empty() && nothing.worst_pairs.is_empty());
}

#[test]
fn decisions_are_matched_by_label() {
    let mut statistics = golden();
    let findings = golden_findings();
    statistics = statistics.retain(|class| class != 1);
    let evidence = Evidence { findings: Some(&findings), ..bare(&statistics) };
    let extras = Extras { per_class: true, worst_pairs: 0 };
    let all = measure(&evidence, &Options::default(), &select(&["nc2_norm_mean"]), extras).unwrap();
    assert!(all.per_class.iter().all(|row| row.cdnv_mean.is_some()), "classes show what no metric asked for");
    let rows: Vec<Option<u64>> = all.per_class.iter().map(|row| row.decisions).collect();
    assert_eq!(rows, [Some(3), Some(5), Some(6)]);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let statistics = golden();
    let refused = |evidence: &Evidence<'_>| {
        measure(evidence, &Options::default(), &Selection::default(), Extras::default()).unwrap_err().kind()
    };
    let head = Head { weights: vec![0.0; 9], bias: None };
    assert_eq!(refused(&Evidence { head: Some(&head), ..bare(&statistics) }), ErrorKind::Data);
    let head = Head { weights: vec![0.0; 12], bias: Some(vec![0.0; 3]) };
    assert_eq!(refused(&Evidence { head: Some(&head), ..bare(&statistics) }), ErrorKind::Data);
    assert_eq!(refused(&Evidence { ood_mean: Some(&[0.0; 2]), ..bare(&statistics) }), ErrorKind::Data);
}

#[test]
fn no_rows_no_number() {
    let all = run(&bare(&Statistics::default()), &Options::default(), &[]);
    assert_eq!(all.metrics.len(), cards().len());
    assert!(all.metrics.iter().all(|metric| metric.reason == Some("no_rows")));
}

#[test]
fn remarks_on_decisions() {
    let (statistics, head) = (golden(), golden_head());
    let mut findings = golden_findings();
    let remarks = |findings: &SecondPassResult| {
        let evidence = Evidence { head: Some(&head), findings: Some(findings), ..bare(&statistics) };
        found(&run(&evidence, &Options::default(), &["nc4"]), "nc4_agreement").clone()
    };
    assert!(remarks(&findings).flags.is_empty());
    let decisions = findings.decisions.as_mut().unwrap();
    decisions.tallies[2].ties = 1;
    decisions.unseen = 7;
    assert_eq!(remarks(&findings).flags, ["ties", "unseen_classes", ROUNDED]);
    findings.decisions.as_mut().unwrap().tallies.fill(DecisionCounts::default());
    assert_eq!(remarks(&findings).reason, Some("no_rows"));
}
