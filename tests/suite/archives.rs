//! An archive with traits that hurt, written to files and measured, against a float64 two-pass of the same rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use nckit::archive::Request;
use nckit::metrics::Extras;
use nckit::pipeline::Job;
use nckit::report::Report;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::goldens::plain_job;
use crate::rows::Random;

/// Labelled rows of one length.
pub(crate) struct Table {
    pub(crate) dim: usize,
    pub(crate) values: Vec<f32>,
    pub(crate) labels: Vec<i64>,
}

impl Table {
    /// Rows of classes `counts`, sorted by class; class `k` has the spread `sigmas[k]` about a mean of norm 10.
    fn new(dim: usize, counts: &[usize], sigmas: &[f64], random: &mut Random) -> Self {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for (k, (&count, sigma)) in counts.iter().zip(sigmas).enumerate() {
            let direction: Vec<f64> = (0..dim).map(|_| random.normal()).collect();
            let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
            for _ in 0..count {
                labels.push(k as i64 * 7);
                let noise = sigma * 10.0 / (dim as f64).sqrt();
                values.extend(direction.iter().map(|x| (x * 10.0 / norm + random.normal() * noise) as f32));
            }
        }
        Self { dim, values, labels }
    }

    /// Writes the rows `from..to`, `row_group` rows in a group.
    pub(crate) fn write(&self, path: &Path, rows: std::ops::Range<usize>, row_group: usize) {
        let values = Float32Array::from(self.values[rows.start * self.dim..rows.end * self.dim].to_vec());
        let item = Arc::new(Field::new("item", DataType::Float32, false));
        let features = FixedSizeListArray::new(item, self.dim as i32, Arc::new(values), None);
        let labels = Int64Array::from(self.labels[rows].to_vec());
        let batch = RecordBatch::try_from_iter([
            ("feature", Arc::new(features) as ArrayRef),
            ("label", Arc::new(labels) as ArrayRef),
        ])
        .unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build();
        let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// Counts, means and variances by class, in two passes.
    fn two_pass(&self) -> BTreeMap<i64, (f64, Vec<f64>, f64)> {
        let mut classes: BTreeMap<i64, (f64, Vec<f64>, f64)> = BTreeMap::new();
        let rows = || self.labels.iter().zip(self.values.chunks_exact(self.dim));
        // About the class's first row, so that the mean keeps all its digits where rows hardly differ.
        let mut first: BTreeMap<i64, &[f32]> = BTreeMap::new();
        for (label, row) in rows() {
            let origin = first.entry(*label).or_insert(row);
            let (n, sum, _) = classes.entry(*label).or_insert((0.0, vec![0.0; self.dim], 0.0));
            *n += 1.0;
            sum.iter_mut().zip(row).zip(*origin).for_each(|((sum, x), o)| *sum += f64::from(*x) - f64::from(*o));
        }
        for (n, sum, _) in classes.values_mut() {
            for sum in sum {
                *sum /= *n;
            }
        }
        for (label, row) in rows() {
            let origin = first[label];
            let (n, mean, variance) = classes.get_mut(label).unwrap();
            let square: f64 = row
                .iter()
                .zip(origin)
                .zip(&*mean)
                .map(|((x, o), mean)| (f64::from(*x) - f64::from(*o) - mean).powi(2))
                .sum();
            *variance += square / *n;
        }
        for (label, (_, mean, _)) in &mut classes {
            mean.iter_mut().zip(first[label]).for_each(|(mean, o)| *mean += f64::from(*o));
        }
        classes
    }
}

fn measure(folder: &Path, metrics: &str, threads: usize) -> Report {
    let job = Job {
        extras: Extras { per_class: true, worst_pairs: 3, ..Extras::default() },
        threads,
        memory: 4 << 30,
        ..plain_job(vec![folder.to_str().unwrap().to_owned()], Request::default(), &[metrics])
    };
    job.run().unwrap()
}

fn check(table: &Table, folder: &Path, metrics: &str) {
    let report = measure(folder, metrics, 2);
    let group = &report.groups[0];
    let metric = |key: &str| {
        let found = group.metric(key).unwrap();
        found.value.unwrap_or_else(|| panic!("{key}: {:?}", found.reason))
    };
    let classes = table.two_pass();
    assert_eq!(group.measurements.per_class.len(), classes.len());
    // What the data do not allow is estimated, and estimates are about one standard deviation.
    let close = |what: &str, key: &str, found: f64, truth: f64| {
        let estimate = group.measurements.accuracy.get(key).copied().unwrap_or(0.0);
        let tolerance = f64::max(1e-6, 6.0 * estimate) * truth.abs();
        assert!((found - truth).abs() <= tolerance, "{what}: {found}, and not {truth}, at {estimate}");
    };
    for (row, (label, (n, _, variance))) in group.measurements.per_class.iter().zip(&classes) {
        assert_eq!(row.label.to_string(), label.to_string());
        assert_eq!(row.count as f64, *n);
        match row.variance {
            Some(found) => close(&format!("variance of {label}"), "class_variance_max", found, *variance),
            None => assert_eq!(row.count, 1),
        }
    }
    let (dim, k) = (table.dim, classes.len() as f64);
    let total: f64 = classes.values().map(|(n, ..)| n).sum();
    let mut global = vec![0.0; dim];
    for (_, mean, _) in classes.values() {
        global.iter_mut().zip(mean).for_each(|(g, m)| *g += m / k);
    }
    let within: f64 = classes.values().map(|(n, _, variance)| n * variance).sum::<f64>() / total;
    let between: f64 = classes
        .values()
        .map(|(_, mean, _)| mean.iter().zip(&global).map(|(m, g)| (m - g).powi(2)).sum::<f64>() / k)
        .sum();
    close("nc1_trace_ratio", "nc1_trace_ratio", metric("nc1_trace_ratio"), within / between);
    // CDNV leaves singletons out.
    let many: Vec<_> = classes.values().filter(|(n, ..)| *n > 1.0).collect();
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (i, (_, a, v)) in many.iter().enumerate() {
        for (_, b, w) in &many[..i] {
            let distance: f64 = a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum();
            sum += (v + w) / (2.0 * distance);
            pairs += 1.0;
        }
    }
    close("nc1_cdnv", "nc1_cdnv", metric("nc1_cdnv"), sum / pairs);
    assert!(metric("nc1_pinv") > 0.0);
    assert_eq!(group.measurements.worst_pairs.len(), 3);
    assert_eq!(measure(folder, metrics, 1).groups, report.groups, "threads change no bit");
}

/// Sorted by class, more classes than dimensions, several files, a singleton, and a class of 100,000 rows collapsed to
/// a millionth of its mean.
#[test]
fn sorted_and_collapsed_with_more_classes_than_dimensions() {
    let mut random = Random::new(1);
    let mut counts = vec![120; 40];
    let mut sigmas: Vec<f64> = (0..40).map(|k| 10_f64.powi(-(k % 4))).collect();
    (counts[3], counts[7], sigmas[7]) = (1, 100_000, 1e-6);
    let table = Table::new(16, &counts, &sigmas, &mut random);
    let folder = tempfile::tempdir().unwrap();
    let n = table.labels.len();
    for (part, rows) in [0..n / 3, n / 3..n / 2, n / 2..n].into_iter().enumerate() {
        table.write(&folder.path().join(format!("part-{part}.parquet")), rows, [7000, 30_000, 1 << 20][part]);
    }
    check(&table, folder.path(), "nc1,nc2,gnc2");
}

#[test]
fn wide_features() {
    let table = Table::new(4096, &[30, 1, 45, 24], &[0.1, 0.1, 1e-3, 0.5], &mut Random::new(2));
    let folder = tempfile::tempdir().unwrap();
    table.write(&folder.path().join("wide.parquet"), 0..table.labels.len(), 64);
    // Without nc1_vci, whose eigenvectors take a minute here.
    check(&table, folder.path(), "nc1_pinv,nc1_trace_ratio,nc1_cdnv");
}
