//! Rows in memory give the state of a file with these rows, however they are split.

use std::ops::Range;

use half::f16;
use nckit::archive::chunk_rows;
use nckit::batch::{Features, Label};
use nckit::error::Error;
use nckit::kernels::{Profile, Workspace};
use nckit::pipeline::{Accumulator, CheckpointedPass, Finish, Job, Rounding, Saving, Task, Watch};
use nckit::state::{Accumulate, Chunk, ClassSums, Merge, Scatter, Shifts};
use nckit::store::StateFile;

use crate::archives::Table;
use crate::rows::{Random, Rows, Stored};

/// Rows of two chunks and a few. Each chunk is four times as wide as the one before, so that a single row in
/// the wrong chunk changes its grid.
fn table(dim: usize) -> Table {
    let mut random = Random::new(1);
    let chunk = chunk_rows(dim);
    let labels: Vec<i64> = (0..2 * chunk + 100).map(|_| random.below(5) as i64).collect();
    let mut values = Vec::with_capacity(labels.len() * dim);
    for (row, &label) in labels.iter().enumerate() {
        let scale = 4_f32.powi((row / chunk) as i32);
        values.extend((0..dim).map(|_| label as f32 + scale * (random.uniform() as f32 - 0.5)));
    }
    Table { dim, values, labels }
}

/// The state file that `accumulate` makes of a Parquet file with these rows.
fn accumulated(table: &Table, scatter: bool) -> StateFile {
    let folder = tempfile::tempdir().unwrap();
    let (rows, state) = (folder.path().join("rows.parquet"), folder.path().join("rows.ncst"));
    table.write(&rows, 0..table.labels.len(), table.labels.len());
    let task = Task { scatter, threads: 2, ..Task::new([&rows]) };
    CheckpointedPass::begin(&task, None).unwrap().run(&Watch::default(), &Saving::new(&state)).unwrap();
    StateFile::read(&state).unwrap()
}

/// All rows at once; some rows alone, up to the end of a chunk; batches of one size; batches that end beside chunks.
fn splits(chunk: usize) -> [Vec<usize>; 4] {
    let ones = [vec![1; 100], vec![0, chunk - 101, 1, 1]].concat();
    [vec![], ones, vec![999; 2 * chunk / 999], vec![chunk, chunk - 1, 2]]
}

/// The state of rows in batches of these sizes, and one of what is left.
fn in_memory<S: Accumulate, T: Copy>(dim: usize, values: &[T], labels: &[i64], sizes: &[usize]) -> Vec<u8>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    let mut rows = Accumulator::<S, T>::new(dim);
    let mut at = 0;
    let mut add = |batch: Range<usize>| {
        rows.update(&values[batch.start * dim..batch.end * dim], &labels[batch]).unwrap();
    };
    for size in sizes {
        let end = (at + size).min(labels.len());
        add(at..end);
        at = end;
    }
    add(at..labels.len());
    rows.finish().unwrap().encode().unwrap()
}

fn any_split_is_the_file<S: Accumulate>(table: &Table, of_file: &[u8]) {
    for sizes in splits(chunk_rows(table.dim)) {
        let state = in_memory::<S, f32>(table.dim, &table.values, &table.labels, &sizes);
        assert!(state == of_file, "batches of {:?} …", &sizes[..sizes.len().min(5)]);
    }
}

#[test]
fn class_sums_in_memory_are_those_of_a_file() {
    let table = table(520);
    let file = accumulated(&table, false);
    let state = file.groups[&Vec::new()].decode(false).unwrap().state;
    any_split_is_the_file::<ClassSums>(&table, &state.encode().unwrap());
}

#[test]
fn a_scatter_in_memory_is_that_of_a_file() {
    let table = table(33);
    let file = accumulated(&table, true);
    let state = file.groups[&Vec::new()].decode(true).unwrap().state;
    any_split_is_the_file::<Scatter>(&table, &state.encode().unwrap());
}

#[test]
fn all_types_of_features_are_gathered() {
    let mut random = Random::new(3);
    let labels: Vec<i64> = (0..300).map(|_| random.below(3) as i64).collect();
    let doubles: Vec<f64> = (0..900).map(|_| random.normal()).collect();
    let halves: Vec<f16> = doubles.iter().map(|&x| f16::from_f64(x)).collect();
    let sizes = [7; 40];
    assert!(in_memory::<Scatter, _>(3, &halves, &labels, &sizes) == in_memory::<Scatter, _>(3, &halves, &labels, &[]));
    assert!(
        in_memory::<Scatter, _>(3, &doubles, &labels, &sizes) == in_memory::<Scatter, _>(3, &doubles, &labels, &[])
    );
}

#[test]
fn no_rows_are_the_state_of_no_rows() {
    let nothing = in_memory::<Scatter, f32>(3, &[], &[], &[]);
    assert_eq!(nothing, Scatter::identity().encode().unwrap());
}

#[test]
fn a_fixed_grid_is_that_of_the_rounding() {
    let (values, labels) = ([0.3_f32, 0.9, 1.3], [0_i64, 0, 1]);
    let rows = Rows::new(1, Stored::F32(values.to_vec()), &labels);
    let mut workspace = Workspace::default();
    let profile = Profile::with_exponent(&rows.batch(), -2, &mut workspace).unwrap();
    let mut expected = ClassSums::identity();
    let chunk = Chunk { batch: rows.batch(), profile: &profile };
    expected.update(&chunk, None, &Shifts::default(), &mut workspace).unwrap();
    let mut rows = Accumulator::<ClassSums>::rounded(1, Rounding { exponent: Some(-2), extra_bits: 0 });
    rows.update(&values, &labels).unwrap();
    assert!(rows.finish().unwrap() == expected);
}

#[test]
fn rows_that_cannot_be_used_are_refused_with_their_number() {
    let add = |features: &[f32], labels: &[Label]| -> Error {
        let mut rows = Accumulator::<Scatter>::new(2);
        rows.update(&[1.0, 2.0], &[1]).unwrap();
        rows.update(features, labels).unwrap_err()
    };
    let error = add(&[0.0, 1.0, f32::NAN, 2.0], &[1.into(), 1.into()]);
    assert_eq!((error.fact("row"), error.fact("dimension")), (Some("1"), Some("0")));
    let error = add(&[0.0; 4], &[1.into(), (-1).into()]);
    assert_eq!((error.message(), error.fact("row")), ("negative label", Some("1")));
    assert_eq!(add(&[0.0; 2], &["cat".into()]).message(), "the labels have several types");
    assert!(add(&[0.0; 3], &[1.into()]).fact("values").is_some());
}

#[test]
fn rows_in_memory_are_measured_as_those_of_a_file() {
    let table = table(520);
    let file = accumulated(&table, true);
    let mut rows = nckit::Collapse::new(table.dim);
    let half = table.labels.len() / 2;
    rows.update(&table.values[..half * table.dim], &table.labels[..half]).unwrap();
    // What is looked at on the way changes nothing.
    let early = rows.state().unwrap();
    assert_eq!(rows.rows(), half as u64);
    rows.update(&table.values[half * table.dim..], &table.labels[half..]).unwrap();
    let state = rows.state().unwrap();
    assert_eq!(state.groups, file.groups);
    assert_eq!(state.ledger.rows(), file.ledger.rows());
    let digests = |state: &StateFile| -> Vec<u64> {
        state.ledger.files().flat_map(|(_, units)| units.values().map(|entry| entry.digest)).collect()
    };
    assert_eq!(digests(&state), digests(&file));
    let report = Finish::new(Job::new::<&str>([]), file).unwrap().run(&Watch::default()).unwrap();
    let measured = rows.measure().unwrap();
    assert_eq!(measured.measurements, report.groups[0].measurements);
    // States of other rows add up, and the same rows are noticed.
    let mut other = nckit::Collapse::new(table.dim);
    other.update(&table.values[..3 * table.dim], &table.labels[..3]).unwrap();
    let mut merged = state.clone();
    merged.merge("all", &[("some".to_owned(), other.state().unwrap())], false).unwrap();
    merged.subtract("merged", ("some", &other.state().unwrap())).unwrap();
    assert_eq!(merged, state);
    assert!(merged.merge("all", &[("again".to_owned(), state.clone())], false).is_err());
    assert_ne!(early, state);
}

#[test]
fn a_batch_that_is_refused_leaves_no_trace() {
    let mut rows = nckit::Collapse::new(2);
    assert!(rows.update(&[f32::NAN, 0.0], &["a"]).is_err());
    // No row has had a label of text.
    rows.update(&[1.0, 2.0, 3.0, 4.0], &[0, 1]).unwrap();
    let before = rows.state().unwrap();
    for (values, labels) in
        [(vec![1.0, f32::INFINITY], vec![5]), (vec![1.0], vec![0]), (vec![1.0, 2.0], vec![-1]), (vec![], vec![0])]
    {
        assert!(rows.update(&values, &labels).is_err(), "{values:?}");
    }
    rows.update(&[], &[0; 0]).unwrap();
    assert_eq!(rows.state().unwrap(), before);
    let empty = nckit::Collapse::<f32>::new(2).measure().unwrap_err();
    assert_eq!(empty.kind(), nckit::error::ErrorKind::Missing);
}
