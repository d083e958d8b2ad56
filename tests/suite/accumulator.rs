//! Rows in memory give the state of a file with these rows, however they are split.

use std::ops::Range;

use half::f16;
use nckit::archive::{Policy, Request, Skipped, chunk_rows};
use nckit::batch::{Features, Label};
use nckit::error::{Error, ErrorKind};
use nckit::kernels::{Profile, Workspace};
use nckit::pipeline::{Accumulator, CheckpointedPass, ErrorBars, Finish, Job, Rounding, Saving, Task, Watch};
use nckit::state::{Accumulate, Chunk, ClassSums, Merge, Scatter, Shifts};
use nckit::store::{Dealing, StateFile};
use nckit::{Collapse, RowsInMemory};

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
    accumulated_as(table, |task| Task { scatter, ..task })
}

/// The same for a task that differs from the default.
fn accumulated_as(table: &Table, change: impl Fn(Task) -> Task) -> StateFile {
    let folder = tempfile::tempdir().unwrap();
    let (rows, state) = (folder.path().join("memory"), folder.path().join("rows.ncst"));
    table.write(&rows, 0..table.labels.len(), table.labels.len());
    let task = change(Task { threads: 2, ..Task::new([&rows]) });
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

/// The state of rows in batches of these sizes, and one of what is left.
fn collapsed(table: &Table, sizes: &[usize], how: &RowsInMemory) -> StateFile {
    let mut rows = Collapse::counting(table.dim, how.clone()).unwrap();
    let mut at = 0_usize;
    for &size in sizes.iter().chain([&usize::MAX]) {
        let end = at.max(table.labels.len().min(at.saturating_add(size)));
        rows.update(&table.values[at * table.dim..end * table.dim], &table.labels[at..end]).unwrap();
        at = end;
    }
    rows.state().unwrap()
}

#[test]
fn threads_and_batches_change_no_bit() {
    // Two whole chunks at once, one after the other, and across their ends.
    for (dim, scatter) in [(520, true), (33, false)] {
        let table = table(dim);
        let file = accumulated(&table, scatter);
        let one = RowsInMemory { scatter, threads: 1, ..RowsInMemory::default() };
        let expected = collapsed(&table, &[], &one);
        assert_eq!(expected.groups, file.groups);
        for threads in [1, 2, 3, 16] {
            for sizes in splits(chunk_rows(dim)).iter().step_by(if threads == 3 { 1 } else { 3 }) {
                let state = collapsed(&table, sizes, &RowsInMemory { threads, ..one.clone() });
                assert!(state == expected, "{threads} threads, batches of {:?} …", &sizes[..sizes.len().min(5)]);
            }
        }
    }
}

#[test]
fn rows_in_memory_are_dealt_as_those_of_a_file() {
    let table = table(130);
    let error_bars = Some(ErrorBars::parse("jackknife:5").unwrap());
    let file = accumulated_as(&table, |task| Task { error_bars: error_bars.clone(), ..task });
    for (threads, sizes) in [(1, vec![]), (3, vec![]), (2, vec![70, 50_000])] {
        let how = RowsInMemory { error_bars: error_bars.clone(), threads, ..RowsInMemory::default() };
        let state = collapsed(&table, &sizes, &how);
        assert_eq!(state.groups.len(), 5);
        assert!(state.groups == file.groups, "{threads} threads");
        let job = Job { error_bars: error_bars.clone(), ..Job::new::<&str>([]) };
        let run = |state: StateFile| Finish::new(job.clone(), state).unwrap().run(&Watch::default()).unwrap();
        let (mut made, mut expected) = (run(state), run(file.clone()));
        let (made, expected) = (made.groups.remove(0), expected.groups.remove(0));
        assert!(made.metric("nc1_cdnv").unwrap().bar().is_some());
        assert_eq!(made.measurements, expected.measurements);
    }
}

#[test]
fn values_of_a_key_lie_in_one_block() {
    let table = table(130);
    let by = |key: &str| Some(ErrorBars { blocks: Some(6), block_by: Some(key.to_owned()) });
    let how = RowsInMemory { error_bars: by("document"), threads: 2, ..RowsInMemory::default() };
    let documents: Vec<Label> = (0..table.labels.len()).map(|row| Label::from(row as i64 / 1000)).collect();
    let mut rows = Collapse::counting(table.dim, how.clone()).unwrap();
    // In two batches, the first of which does not fill a chunk.
    for part in [0..10_000, 10_000..table.labels.len()] {
        let values = &table.values[part.start * table.dim..part.end * table.dim];
        rows.update_in_blocks(values, &table.labels[part.clone()], &documents[part]).unwrap();
    }
    let state = rows.state().unwrap();
    assert_eq!(state.provenance.blocks, Some(Dealing { blocks: 6, key: Some("document".to_owned()) }));
    // A document has 1,000 rows, but for the last.
    let last = (table.labels.len() % 1000) as u64;
    let odd: Vec<u64> = state.groups.values().map(|group| group.rows() % 1000).filter(|&rows| rows != 0).collect();
    assert_eq!(odd, [last]);
    // All blocks together are the rows.
    let mut all = nckit::state::State::new(true);
    state.groups.values().for_each(|group| all.merge(&group.decode(true).unwrap().state).unwrap());
    let plain = collapsed(&table, &[], &RowsInMemory { error_bars: None, ..how.clone() });
    let plain = plain.groups.values().next().unwrap().decode(true).unwrap().state;
    assert!(all.encode().unwrap() == plain.encode().unwrap());
    // Rows and blocks come together, or not at all.
    let before = rows.rows();
    let error = rows.update(&vec![0.5; 130], &[1]).unwrap_err();
    assert_eq!((error.kind(), error.fact("key")), (ErrorKind::Usage, Some("document")));
    assert!(rows.update_in_blocks(&vec![0.5; 130], &[1], &[]).unwrap_err().fact("values").is_some());
    assert_eq!(rows.rows(), before);
    let mut without = Collapse::new(130);
    assert_eq!(without.update_in_blocks(&vec![0.5; 130], &[1], &[1.into()]).unwrap_err().kind(), ErrorKind::Usage);
    let no_number = RowsInMemory { error_bars: Some(ErrorBars { blocks: None, ..by("document").unwrap() }), ..how };
    assert_eq!(Collapse::<f32>::counting(130, no_number).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn rows_in_memory_have_length_one_as_those_of_a_file() {
    let table = table(520);
    let request = Request { normalize: true, ..Request::default() };
    let file = accumulated_as(&table, |task| Task { request: request.clone(), ..task });
    for threads in [1, 2] {
        let how = RowsInMemory { normalize: true, threads, ..RowsInMemory::default() };
        let state = collapsed(&table, &[5000], &how);
        assert!(state.groups == file.groups && state.provenance.normalize);
    }
    let mut rows = Collapse::counting(2, RowsInMemory { normalize: true, ..RowsInMemory::default() }).unwrap();
    let error = rows.update(&[1.0_f32, 0.0, 0.0, -0.0], &["a", "b"]).unwrap_err();
    assert_eq!(error.message(), "a row of zeros has no length to be divided by");
    assert_eq!(error.fact("row"), Some("1"));
    rows.update(&[1.0, 0.0], &[0]).unwrap();
    assert_eq!(rows.rows(), 1);
}

#[test]
fn sums_that_do_not_fit_are_refused_before_they_are_made() {
    // A matrix of 20 GB, for each thread and for their sum.
    let how = RowsInMemory { memory: 1 << 30, threads: 4, ..RowsInMemory::default() };
    let mut rows = Collapse::counting(50_000, how.clone()).unwrap();
    let error = rows.update(&vec![0.5_f32; 50_000], &[1]).unwrap_err();
    assert_eq!((error.kind(), error.fact("dimensions"), rows.rows()), (ErrorKind::Resource, Some("50000"), 0));
    let mut without = Collapse::counting(50_000, RowsInMemory { scatter: false, ..how.clone() }).unwrap();
    without.update(&vec![0.5_f32; 50_000], &[1]).unwrap();
    // Fewer threads work where those of all would take too much; the sums are the same.
    let table = table(520);
    let few = RowsInMemory { memory: 8 << 20, threads: 16, ..RowsInMemory::default() };
    assert!(collapsed(&table, &[5000], &few) == collapsed(&table, &[5000], &RowsInMemory::default()));
    // The metrics of a state take more than the state does.
    let state = collapsed(&table, &[], &RowsInMemory::default());
    let job = Job { memory: 16 << 20, ..Job::new::<&str>([]) };
    assert!(Finish::new(job.clone(), state.clone()).unwrap().run(&Watch::default()).is_ok());
    let error = Finish::new(job, state).unwrap().within_memory().run(&Watch::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Resource);
}

#[test]
fn rows_that_the_caller_leaves_out_are_told_of() {
    let how = RowsInMemory {
        ignore_label: Some("-100".to_owned()),
        nonfinite: Policy::Skip,
        columns: Some(["x".to_owned(), "y".to_owned()]),
        error_bars: Some(ErrorBars::parse("jackknife:2").unwrap()),
        ..RowsInMemory::default()
    };
    let mut rows = Collapse::counting(1, how).unwrap();
    rows.update(&[1.0_f32, 2.0, 4.0, 3.0, 5.0, 7.0], &[0, 0, 0, 1, 1, 1]).unwrap();
    let skipped = Skipped { ignored: 2, nonfinite: [(Label::Int(1), 3)].into(), ..Skipped::default() };
    rows.leave_out(&skipped);
    let state = rows.state().unwrap();
    assert_eq!(state.ledger.rows(), (6, 5));
    let provenance = &state.provenance;
    assert_eq!((&*provenance.features, provenance.labels.as_deref()), ("x", Some("y")));
    assert_eq!(provenance.ignore_label.as_deref(), Some("-100"));
    let report = rows.measure().unwrap();
    assert_eq!((report.rows, report.skipped), (6, skipped));
}
