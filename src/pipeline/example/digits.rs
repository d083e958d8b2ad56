//! Real features, small enough to be part of the program.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The outputs of the last hidden layer of a network that was trained to collapse on pictures of digits, and its classifier;
/// `tests/data/digits/README.md` says how they were made.
const ROWS: &[u8] = include_bytes!("../../../tests/data/digits/flat/h3_final.parquet");
const HEAD: &[u8] = include_bytes!("../../../tests/data/digits/classifier/epoch=4000/classifier.parquet");

/// What was measured of them without this program.
const GOLDENS: &str = include_str!("../../../tests/data/digits/goldens.json");

/// What these measurements call the metrics.
const NAMES: [(&str, &str); 30] = [
    ("nc1_pinv", "nc1_pinv"),
    ("nc1_svd", "nc1_svd"),
    ("nc1_trace_ratio", "nc1_quotient"),
    ("nc1_cdnv", "cdnv_mean"),
    ("nc2_norm_mean", "norms_mean"),
    ("nc2_norm_var", "norms_var"),
    ("nc2_log_norm_mean", "lognorms_mean"),
    ("nc2_log_norm_var", "lognorms_var"),
    ("nc2_etf_error", "etf_error"),
    ("nc2_interference_mean", "interference_mean"),
    ("nc2_interference_var", "interference_var"),
    ("nc2_cos_mean", "cos_mean"),
    ("nc2_equiangular_std", "cos_std"),
    ("nc2_max_angle", "maxangle_dev_mean"),
    ("gnc2_distance_mean", "dist_mean"),
    ("gnc2_distance_var", "dist_var"),
    ("gnc2_log_energy_mean", "logdist_mean"),
    ("gnc2_log_energy_var", "logdist_var"),
    ("nc3_duality_error", "self_duality_error"),
    ("nc3_self_duality_sq", "papyan_duality"),
    ("nc3_dot_mean", "simdot_mean"),
    ("nc3_dot_var", "simdot_var"),
    ("nc3_cos_mean", "simcos_mean"),
    ("nc3_cos_var", "simcos_var"),
    ("nc3_dist_mean", "distnorm_mean"),
    ("nc3_dist_var", "distnorm_var"),
    ("nc4_agreement", "nc4_agree_bias_test"),
    ("nc4_agreement_no_bias", "nc4_agree_test"),
    ("ncc_accuracy", "nc4_ncc_acc_test"),
    ("nc5_ortho_dev", "nc5_ood_deviation"),
];

/// The example of real features.
#[derive(Clone, Copy, Debug)]
pub struct Digits;

impl Digits {
    /// How many rows there are, with those of the test set and those that are no digits.
    pub const COUNT: u64 = 2097;
    /// `K`.
    pub const CLASSES: u64 = 10;

    /// The rows, a file of Parquet: `feature`, `label`, and `split`, which is `train`, `test` or `ood`.
    pub fn rows(self) -> &'static [u8] {
        ROWS
    }

    /// The classifier, a file of Parquet.
    pub fn head(self) -> &'static [u8] {
        HEAD
    }

    /// The truth, as JSON: which rows are to be measured, decided and out of distribution, and the metrics of these, by two
    /// passes over them in double precision.
    ///
    /// # Errors
    ///
    /// [`Internal`](crate::error::ErrorKind::Internal) if the measurements are not there.
    pub fn truth(self) -> Result<Value> {
        let missing = || Error::internal("the digits are not as they were measured");
        let all: Value = serde_json::from_str(GOLDENS).map_err(|error| missing().caused_by(error))?;
        let goldens = all["goldens"].as_array().ok_or_else(missing)?;
        let of_rows = goldens.iter().find(|golden| golden["epoch"] == 4000 && golden["layer"] == "h3");
        let found = &of_rows.ok_or_else(missing)?["truth"];
        let metrics: Map<String, Value> =
            NAMES.iter().map(|&(key, name)| (key.to_owned(), found[name].clone())).collect();
        if !metrics.values().all(Value::is_f64) {
            return Err(missing());
        }
        Ok(serde_json::json!({
            "kind": "digits",
            "rows": Self::COUNT,
            "classes": Self::CLASSES,
            "dim": 64,
            "measured": "split=train",
            "decisions": "split=test",
            "ood": "split=ood",
            "conventions": all["conventions"],
            "groups": [{ "metrics": metrics }],
        }))
    }
}
