//! Reasons why there is no number.

use super::*;
use crate::error::ErrorKind;

#[test]
fn what_lacks_an_input_says_which() {
    let (statistics, head) = (golden(), golden_head());
    let all = run(&bare(&statistics), &Options::default(), &[]);
    for metric in &all.metrics {
        let family = metric.key.split('_').next().unwrap_or_default();
        let expected = match (family, metric.key) {
            (_, "nc1_cdnv_directional") => Some("no_rows"),
            (_, "hug_intra" | "mse_perp" | "nc0_row_sum") | ("nc3" | "unc3" | "nc4" | "ncc" | "classifier", _) => {
                Some("no_head")
            }
            (_, "lda_accuracy") => Some("no_decisions"),
            _ if metric.key.ends_with("_weights") => Some("no_head"),
            ("nc5", _) => Some("no_ood"),
            (_, "spectrum_alpha_req") => Some("short_spectrum"),
            (_, "spectrum_pair_cosine") => Some("not_normalized"),
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
    let beside = run(&bare(&statistics), &Options::default(), &["spectrum", "separation", "imbalance", "transfer"]);
    for metric in &beside.metrics {
        let card = crate::metrics::card(metric.key).unwrap();
        let expected = if card.needs.contains(&crate::metrics::Need::Scatter) {
            Some("no_scatter")
        } else if metric.key == "spectrum_pair_cosine" {
            Some("not_normalized")
        } else {
            metric.key.ends_with("_weights").then_some("no_head")
        };
        assert_eq!(metric.reason, expected, "{}", metric.key);
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
    let head = Head { weights: vec![1.0, -1.0], bias: None, errors: Vec::new() };
    let findings = golden_findings();
    let evidence = Evidence {
        head: Some(&head),
        ood_mean: Some(&[1.0, 0.0]),
        findings: Some(&SecondPassResult { directional: None, ..findings }),
        ..bare(&statistics)
    };
    let all = run(&evidence, &Options::default(), &[]);
    for metric in &all.metrics {
        let alone = ["nc3_bias_collapse", "hug_intra"];
        let of_spectrum = metric.key.starts_with("spectrum_") && !metric.key.ends_with("_between");
        let of_rows = of_spectrum || metric.key.starts_with("nc5_") && !metric.key.starts_with("nc5_relative_");
        let expected = match metric.key {
            "spectrum_alpha_req" => Some("short_spectrum"),
            "spectrum_pair_cosine" => Some("not_normalized"),
            "separation_alignment" => None,
            "nc5_relative_mahalanobis_auroc" | "nc5_relative_mahalanobis_fpr95" => Some("single_class"),
            key => (!alone.contains(&key) && !of_rows).then_some("single_class"),
        };
        assert_eq!(reason(&all, metric.key), expected, "{}", metric.key);
    }
    assert_eq!(found(&all, "nc3_bias_collapse").flags, ["no_bias"]);
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let statistics = golden();
    let refused = |evidence: &Evidence<'_>| {
        measure(evidence, &Options::default(), &Selection::default(), Extras::default()).unwrap_err().kind()
    };
    let head = Head { weights: vec![0.0; 9], bias: None, errors: Vec::new() };
    assert_eq!(refused(&Evidence { head: Some(&head), ..bare(&statistics) }), ErrorKind::Data);
    let head = Head { weights: vec![0.0; 12], bias: Some(vec![0.0; 3]), errors: Vec::new() };
    assert_eq!(refused(&Evidence { head: Some(&head), ..bare(&statistics) }), ErrorKind::Data);
    assert_eq!(refused(&Evidence { ood_mean: Some(&[0.0; 2]), ..bare(&statistics) }), ErrorKind::Data);
}

#[test]
fn no_rows_no_number() {
    let all = run(&bare(&Statistics::default()), &Options::default(), &[]);
    assert_eq!(all.metrics.len(), cards().len());
    assert!(all.metrics.iter().all(|metric| metric.reason == Some("no_rows")));
}
