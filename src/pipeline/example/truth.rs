//! What is known of an example before any row is measured.

use serde_json::{Map, Value, json};

use super::{Kind, LENGTH, Made};

impl Made {
    /// The truth, as JSON: how the archive was made, and the metrics of each group that follow from it. Rows are rounded to
    /// `f32`, which moves them by about 1e-7 of themselves.
    pub fn truth(&self) -> Value {
        let example = &self.example;
        let kind = match example.kind {
            Kind::Zipf => "zipf",
            Kind::Collapse { .. } => "collapse",
        };
        let groups: Vec<Value> = match example.kind {
            Kind::Zipf => vec![json!({ "metrics": self.of_zipf() })],
            Kind::Collapse { .. } => {
                let epoch =
                    |(epoch, &radius): (usize, &f64)| json!({ "epoch": epoch, "metrics": self.of_collapse(radius) });
                self.radii.iter().enumerate().map(epoch).collect()
            }
        };
        json!({
            "kind": kind,
            "seed": example.seed,
            "rows": self.rows(),
            "classes": self.classes(),
            "dim": example.dim,
            "noise": example.noise,
            "largest_class": self.counts.iter().max(),
            "classes_of_one_row": self.counts.iter().filter(|&&count| count == 1).count(),
            "groups": groups,
        })
    }

    /// Rows in pairs at one distance: `tr Σ_W` counts the pairs, and `tr Σ_B` is that of the means of the classes that have
    /// rows.
    fn of_zipf(&self) -> Map<String, Value> {
        let dim = self.example.dim;
        let (mut sum, mut squares, mut classes) = (vec![0.0; dim], 0.0, 0.0);
        let mut mean = vec![0.0_f32; dim];
        for class in (0..self.counts.len()).filter(|&class| self.counts[class] > 0) {
            self.mean(class, &mut mean);
            for (sum, &x) in sum.iter_mut().zip(&mean) {
                *sum += f64::from(x);
                squares += f64::from(x) * f64::from(x);
            }
            classes += 1.0;
        }
        let between = squares / classes - sum.iter().map(|x| (x / classes).powi(2)).sum::<f64>();
        let pairs: u64 = self.counts.iter().map(|&count| u64::from(count / 2)).sum();
        let within = 2.0 * pairs as f64 * self.radii[0] * self.radii[0] / self.rows() as f64;
        metrics(&[("nc1_trace_ratio", within / between), ("nc1_within_fraction", within / (within + between))])
    }

    /// Means on a simplex, all rows at one distance from theirs, and the classifier of the nearest mean.
    fn of_collapse(&self, radius: f64) -> Map<String, Value> {
        let classes = self.counts.len() as f64;
        let ratio = radius * radius / (LENGTH * LENGTH);
        let distance = LENGTH * LENGTH * 2.0 * classes / (classes - 1.0);
        let mut known = vec![
            ("nc1_trace_ratio", ratio),
            ("nc1_within_fraction", ratio / (1.0 + ratio)),
            ("nc1_cdnv", radius * radius / distance),
            ("nc1_cdnv_max", radius * radius / distance),
            ("nc2_norm_mean", LENGTH),
            ("nc2_equinorm_cv", 0.0),
            ("nc2_equiangular_std", 0.0),
            ("nc2_cos_mean", -1.0 / (classes - 1.0)),
            ("nc2_etf_error", 0.0),
            ("nc3_cos_mean", 1.0),
            ("nc3_duality_error", 0.0),
        ];
        if radius * radius < distance / 4.0 {
            known.extend([("nc4_agreement", 1.0), ("ncc_accuracy", 1.0), ("classifier_accuracy", 1.0)]);
        }
        metrics(&known)
    }
}

fn metrics(known: &[(&str, f64)]) -> Map<String, Value> {
    known.iter().map(|&(key, value)| (key.to_owned(), value.into())).collect()
}
