//! A real archive against values that were made independently, in float64 and two passes.

use std::collections::BTreeMap;
use std::path::Path;

use nckit::archive::{HeadSource, Request};
use nckit::batch::Label;
use nckit::metrics::{Options, Selection};
use nckit::pipeline::{Job, Rounding, RowSource};
use nckit::report::{GroupReport, Report};

/// Names of `goldens.json` and the keys that they are here.
const KEYS: [(&str, &str); 27] = [
    ("nc1_pinv", "nc1_pinv"),
    ("nc1_svd", "nc1_svd"),
    ("nc1_quotient", "nc1_trace_ratio"),
    ("cdnv_mean", "nc1_cdnv"),
    ("norms_mean", "nc2_norm_mean"),
    ("norms_var", "nc2_norm_var"),
    ("lognorms_mean", "nc2_log_norm_mean"),
    ("lognorms_var", "nc2_log_norm_var"),
    ("etf_error", "nc2_etf_error"),
    ("interference_mean", "nc2_interference_mean"),
    ("interference_var", "nc2_interference_var"),
    ("cos_mean", "nc2_cos_mean"),
    ("cos_std", "nc2_equiangular_std"),
    ("maxangle_dev_mean", "nc2_max_angle"),
    ("dist_mean", "gnc2_distance_mean"),
    ("dist_var", "gnc2_distance_var"),
    ("logdist_mean", "gnc2_log_energy_mean"),
    ("logdist_var", "gnc2_log_energy_var"),
    ("self_duality_error", "nc3_duality_error"),
    ("papyan_duality", "nc3_self_duality_sq"),
    ("simdot_mean", "nc3_dot_mean"),
    ("simdot_var", "nc3_dot_var"),
    ("simcos_mean", "nc3_cos_mean"),
    ("simcos_var", "nc3_cos_var"),
    ("distnorm_mean", "nc3_dist_mean"),
    ("distnorm_var", "nc3_dist_var"),
    ("nc5_ood_deviation", "nc5_ortho_dev"),
];

fn data(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digits").join(path).to_str().unwrap().to_owned()
}

fn filters(text: &[&str]) -> Vec<(String, String)> {
    text.iter().map(|pair| pair.split_once('=').unwrap()).map(|(key, value)| (key.into(), value.into())).collect()
}

/// A job of these metrics, all of them if none is named, with nothing else asked for.
pub(crate) fn plain_job(inputs: Vec<String>, request: Request, metrics: &[&str]) -> Job {
    let selection = Selection::parse(&metrics.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    Job { request, selection, threads: 2, memory: 1 << 30, ..Job::new(inputs) }
}

/// The job of all of `h3`, or of the layers.
pub(crate) fn job(layer: &str, head: Option<&str>) -> Job {
    let rows = |split: &str| RowSource {
        path: data("hive"),
        filters: filters(&[&format!("split={split}"), &format!("layer={layer}")]),
    };
    let request = Request {
        group_by: vec!["epoch".into(), "layer".into()],
        filters: filters(&["split=train", &format!("layer={layer}")]),
        ..Request::default()
    };
    Job {
        head: head.map(|head| HeadSource::parse(&data(head)).unwrap()),
        decisions: Some(rows("test")),
        ood: Some(rows("ood")),
        ..plain_job(vec![data("hive")], request, &[])
    }
}

fn run(job: Job) -> Report {
    job.run().unwrap()
}

type Goldens = BTreeMap<(i64, String), serde_json::Value>;

fn goldens() -> Goldens {
    let text = std::fs::read_to_string(data("goldens.json")).unwrap();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entry = |golden: &serde_json::Value| {
        ((golden["epoch"].as_i64().unwrap(), golden["layer"].as_str().unwrap().to_owned()), golden.clone())
    };
    all["goldens"].as_array().unwrap().iter().map(entry).collect()
}

fn key_of(group: &GroupReport) -> (i64, String) {
    match [&group.key[0].1, &group.key[1].1] {
        [Label::Int(epoch), Label::Text(layer)] => (*epoch as i64, layer.to_string()),
        other => panic!("{other:?}"),
    }
}

/// Compares the keys that the golden has; returns how many.
fn compare(group: &GroupReport, golden: &serde_json::Value, pairs: &[(&str, &str)]) -> usize {
    let mut compared = 0;
    for (name, key) in pairs {
        let Some(truth) = golden[*name].as_f64() else { continue };
        let found = group.value(key).unwrap_or_else(|| panic!("{key} of {:?} is absent", group.key));
        assert!((found - truth).abs() <= 1e-6 * truth.abs(), "{key} of {:?}: {found}, and not {truth}", group.key);
        compared += 1;
    }
    compared
}

#[test]
fn every_golden_of_the_last_layer_with_its_heads() {
    let goldens = goldens();
    let report = run(job("h3", Some("classifier/epoch={epoch}/classifier.parquet")));
    assert_eq!(report.groups.len(), 5);
    let decisions = [
        ("nc4_agree_bias_test", "nc4_agreement"),
        ("nc4_agree_test", "nc4_agreement_no_bias"),
        ("nc4_ncc_acc_test", "ncc_accuracy"),
    ];
    for group in &report.groups {
        let golden = &goldens[&key_of(group)]["truth"];
        assert_eq!(compare(group, golden, &KEYS), KEYS.len(), "{:?}", group.key);
        assert_eq!(compare(group, golden, &decisions), 3);
    }
}

#[test]
fn without_other_rows_the_groups_own_are_decided() {
    let goldens = goldens();
    let mut own = job("h3", Some("classifier/epoch={epoch}/classifier.parquet"));
    own.decisions = None;
    let decisions = [
        ("nc4_agree_bias_train", "nc4_agreement"),
        ("nc4_agree_train", "nc4_agreement_no_bias"),
        ("nc4_ncc_acc_train", "ncc_accuracy"),
        ("nc4_clf_bias_acc_train", "classifier_accuracy"),
    ];
    for group in run(own).groups {
        assert_eq!(compare(&group, &goldens[&key_of(&group)]["truth"], &decisions), 4);
    }
}

#[test]
fn layers_without_a_head() {
    let goldens = goldens();
    for layer in ["h1", "h2"] {
        let report = run(job(layer, None));
        let golden = &goldens[&(4000, layer.to_owned())]["truth"];
        assert_eq!(compare(&report.groups[0], golden, &KEYS), 19);
        assert_eq!(report.groups[0].value("nc3_dot_mean"), None);
    }
}

#[test]
fn the_other_global_mean() {
    let goldens = goldens();
    let mut options = Options::default();
    options.set("centring", "sample").unwrap();
    let report = run(Job { options, ..job("h3", Some("classifier/epoch={epoch}/classifier.parquet")) });
    for group in &report.groups {
        let golden = &goldens[&key_of(group)]["truth_sample_weighted_gmean"];
        assert!(compare(group, golden, &KEYS) >= 10);
    }
}

#[test]
fn a_head_in_three_forms_is_one_head() {
    let of = |head: &str| {
        let mut job = job("h3", Some(head));
        job.request.filters.push(("epoch".into(), "4000".into()));
        run(job).groups
    };
    let parquet = of("classifier/epoch=4000/classifier.parquet");
    assert_eq!(parquet, of("classifier/epoch=4000/classifier.safetensors:classifier"));
    let weights = data("classifier/epoch=4000/weight.npy");
    let bias = data("classifier/epoch=4000/bias.npy");
    let mut npy = job("h3", None);
    npy.head = Some(HeadSource::parse(&format!("{weights},{bias}")).unwrap());
    npy.request.filters.push(("epoch".into(), "4000".into()));
    assert_eq!(parquet, run(npy).groups);
    assert!(parquet[0].value("nc3_duality_error").is_some());
}

/// The same rows in other files and row groups, on one grid: the same bits.
#[test]
fn hive_and_flat_are_the_same_rows() {
    for threads in [1, 2, 7] {
        let rounding = Rounding { exponent: Some(-30), extra_bits: 0 };
        let mut hive = job("h3", Some("classifier/epoch=4000/classifier.parquet"));
        hive.request.filters.push(("epoch".into(), "4000".into()));
        (hive.rounding, hive.threads) = (rounding, threads);
        let mut flat = job("h3", Some("classifier/epoch=4000/classifier.parquet"));
        flat.inputs = vec![data("flat/h3_final.parquet")];
        (flat.rounding, flat.threads) = (rounding, threads);
        let rows = |split: &str| {
            Some(RowSource { path: data("flat"), filters: filters(&[&format!("split={split}"), "layer=h3"]) })
        };
        (flat.decisions, flat.ood) = (rows("test"), rows("ood"));
        assert_eq!(run(hive).groups, run(flat).groups, "{threads} threads");
    }
}
