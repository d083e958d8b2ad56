//! Class means of special shapes: two, equal, a simplex, more than dimensions, singletons.

use super::*;

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
    let head = Head { weights: vec![1.0, 0.0, 0.0, 1.0], bias: None, errors: Vec::new() };
    let evidence = Evidence { head: Some(&head), ..bare(&statistics) };
    let all = run(&evidence, &Options::default(), &["nc1", "nc2", "gnc2", "hug", "nc3"]);
    assert_close(number(&all, "nc2_norm_mean"), 0.0, 0.0);
    assert_close(number(&all, "nc1_within_fraction"), 1.0, 0.0);
    for key in ["nc1_pinv", "nc1_trace_ratio", "nc2_etf_error", "nc2_cos_mean", "gnc2_distance_mean", "nc3_cos_mean"] {
        assert_eq!(reason(&all, key), Some("zero_between"), "{key}");
    }
    assert!(reason(&all, "nc1_cdnv").is_some());
    assert!(number(&all, "nc2_etf_error_weights") > 0.0);
    let zero = Head { weights: vec![0.0; 4], bias: None, errors: Vec::new() };
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
pub(super) fn simplex(classes: usize) -> Statistics {
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
    let head = Head { weights: statistics.offsets.clone(), bias: None, errors: Vec::new() };
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
            .filter(|metric| !metric.key.ends_with("_weights") && metric.key != "nc0_row_sum")
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
