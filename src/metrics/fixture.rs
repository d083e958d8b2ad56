//! Statistics for tests. They are made by updating a state with rows, as users make them.

use crate::batch::{Batch, Features, Label};
use crate::kernels::{Profile, Workspace};
use crate::state::{Accumulate, Chunk, Head, Merge, Scatter, Shifts, Statistics};

/// The statistics of rows in double precision, one label a row.
pub(crate) fn statistics(dim: usize, rows: &[f64], labels: &[u32]) -> Statistics {
    let classes: Vec<Label> = (0..=labels.iter().copied().max().unwrap()).map(|k| Label::Int(k.into())).collect();
    let batch = Batch::new(dim, Features::F64(rows), labels, &classes).unwrap();
    let mut state = Scatter::identity();
    let mut workspace = Workspace::default();
    let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
    state.update(&Chunk { batch, profile: &profile }, None, &Shifts::default(), &mut workspace).unwrap();
    state.statistics().unwrap()
}

/// The rows and labels of the golden fixture (METRICS 6); `D = 3`, `K = 4`.
pub(crate) fn golden_rows() -> (Vec<f64>, Vec<u32>) {
    let base = [[5, -1, 0], [1, 3, 0], [1, -1, 4], [1, -1, 2]];
    let (mut rows, mut labels) = (Vec::new(), Vec::new());
    for (k, count) in [3, 4, 5, 6].into_iter().enumerate() {
        for _ in 0..count {
            let t = labels.len();
            let noise = |j: usize| ((t * (j + 2) + k * k + j) % 7) as f64 - 3.0;
            rows.extend((0..3).map(|j| f64::from(base[k][j]) + noise(j) / 8.0));
            labels.push(k as u32);
        }
    }
    (rows, labels)
}

/// The golden fixture's statistics.
pub(crate) fn golden() -> Statistics {
    let (rows, labels) = golden_rows();
    statistics(3, &rows, &labels)
}

/// The golden fixture's classifier.
pub(crate) fn golden_head() -> Head {
    Head {
        weights: vec![2.0, -1.0, 0.0, -1.0, 2.0, 0.5, 0.0, -0.5, 2.0, -1.0, -0.5, -2.5],
        bias: Some(vec![0.5, -0.25, 0.0, 0.25]),
        errors: Vec::new(),
    }
}

/// The golden fixture's mean of out-of-distribution rows.
pub(crate) const GOLDEN_OOD: [f64; 3] = [1.0, 2.0, -3.0];

/// `c_k = μ_k − (1/K) Σ μ`, K × D.
pub(crate) fn centred(statistics: &Statistics) -> Vec<f64> {
    let (dim, classes) = (statistics.dim, statistics.classes());
    let centre: Vec<f64> =
        (0..dim).map(|j| statistics.offsets.iter().skip(j).step_by(dim).sum::<f64>() / classes as f64).collect();
    statistics.offsets.chunks(dim).flat_map(|row| row.iter().zip(&centre).map(|(x, centre)| x - centre)).collect()
}

/// Fails unless a value is what it should be, to a relative tolerance.
#[track_caller]
pub(crate) fn assert_close(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} is not {expected}");
}

#[test]
fn the_golden_rows_are_those_of_the_sheet() {
    let (rows, labels) = golden_rows();
    assert_eq!(rows[..3], [4.625, -1.25, -0.125]);
    assert_eq!(rows[rows.len() - 3..], [0.75, -0.75, 1.875]);
    let statistics = golden();
    assert_eq!(statistics.rows(), labels.len() as u64);
    assert_eq!(statistics.mean(1), [1.0, 3.03125, 0.0625]);
}
