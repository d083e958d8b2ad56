use std::fs;
use std::path::Path;

use arrow::array::{FixedSizeListArray, Float32Array, RecordBatch};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::archive::{Archive, Policy, Request, Table, Wanted};
use crate::kernels::{Profile, Workspace};
use crate::state::{Accumulate as _, Chunk, ClassSums, Merge as _, Shifts};

const DIM: usize = 6;

/// So many rows of a file, with a NaN here and there, and now and then a label that is ignored.
fn rows(seed: u64, count: usize) -> (Vec<i64>, Vec<f32>) {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    let labels = (0..count).map(|_| next() as i64 % 5 - 1).collect();
    let value = |bits: u64| if bits.is_multiple_of(997) { f32::NAN } else { bits as f32 / 1e9 - 0.7 };
    (labels, (0..count * DIM).map(|_| value(next())).collect())
}

fn write_parquet(path: &Path, unit_rows: usize, (labels, values): &(Vec<i64>, Vec<f32>)) {
    let item = Arc::new(Field::new_list_field(DataType::Float32, true));
    let values = Arc::new(Float32Array::from(values.clone()));
    let features: ArrayRef = Arc::new(FixedSizeListArray::new(item, DIM as i32, values, None));
    let labels: ArrayRef = Arc::new(Int64Array::from(labels.clone()));
    let batch = RecordBatch::try_from_iter([("label", labels), ("feature", features)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(unit_rows)).build();
    let mut writer = ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// The same rows twice: all in Parquet, and one of the two files in the other format.
fn twice() -> (tempfile::TempDir, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let inputs = ["parquet", "mixed"].map(|name| folder.path().join(name));
    let some = [rows(1, 2500), rows(2, 1100)];
    for input in &inputs {
        for epoch in 0..2 {
            fs::create_dir_all(input.join(format!("epoch={epoch}"))).unwrap();
        }
        write_parquet(&input.join("epoch=0/a.parquet"), 1000, &some[0]);
    }
    write_parquet(&inputs[0].join("epoch=1/b.parquet"), 400, &some[1]);
    fs::write(inputs[1].join("epoch=1/b.bin"), file_of(400, DIM, &some[1].0, &some[1].1)).unwrap();
    (folder, inputs.map(|input| input.to_str().unwrap().to_owned()))
}

fn request() -> Request {
    let group_by = vec!["epoch".to_owned()];
    Request { group_by, nonfinite: Policy::Skip, ignore_label: Some("-1".to_owned()), ..Request::default() }
}

/// Every chunk of an archive in words, and the states of its groups in bytes.
fn measured(archive: &Archive) -> (Vec<String>, Vec<Vec<u8>>) {
    let (mut chunks, mut states) = (Vec::new(), vec![ClassSums::identity(); 2]);
    let mut workspace = Workspace::default();
    for unit in 0..archive.units().len() {
        let mut reader = archive.read(unit).unwrap();
        while let Some(chunk) = reader.next().unwrap() {
            let batch = chunk.batch().unwrap();
            let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
            for part in &chunk.parts {
                let Label::Int(epoch) = part.key[0] else { panic!("{:?}", part.key) };
                let chunk = Chunk { batch, profile: &profile };
                states[epoch as usize]
                    .update(&chunk, part.rows.as_deref(), &Shifts::default(), &mut workspace)
                    .unwrap();
            }
            chunks.push(format!("{unit} {chunk:?}"));
        }
    }
    let bytes = states.iter().map(|state| state.encode().unwrap());
    (chunks, bytes.collect())
}

#[test]
fn rows_are_the_same_in_any_container() {
    let (_folder, inputs) = twice();
    let [parquet, mixed] = inputs.map(|input| Archive::open(&[input], &request()).unwrap());
    let units = |archive: &Archive| {
        archive.units().iter().map(|unit| (unit.row_group, unit.rows, unit.key.clone())).collect::<Vec<_>>()
    };
    assert_eq!((units(&parquet).len(), units(&parquet)), (6, units(&mixed)));
    assert_eq!((parquet.dim(), mixed.dim()), (Some(DIM), Some(DIM)));
    let all: Vec<usize> = (0..6).collect();
    assert_eq!(parquet.count_labels(&all).unwrap(), mixed.count_labels(&all).unwrap());
    let (chunks, states) = measured(&parquet);
    assert!(chunks.iter().any(|chunk| chunk.contains("ignored: 1")) && chunks.len() == 6, "{chunks:?}");
    assert_eq!((chunks, states), measured(&mixed));
}

#[test]
fn a_planned_file_is_found_again_and_its_change_is_seen_in_any_container() {
    let (_folder, [_, input]) = twice();
    let archive = Archive::open(std::slice::from_ref(&input), &request()).unwrap();
    let planned: Vec<_> = archive.files().iter().map(|file| file.planned().unwrap()).collect();
    let again = Archive::reopen(&planned, &request()).unwrap();
    assert_eq!(measured(&archive), measured(&again));
    let path = Path::new(&input).join("epoch=1/b.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[40] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().append(true).open(&path).unwrap().set_modified(planned[1].modified).unwrap();
    let error = Archive::reopen(&planned, &request()).unwrap_err();
    assert_eq!(error.fact("detail"), Some("its footer"));
    assert_eq!(archive.read(5).unwrap_err().fact("detail"), Some("its footer"));
}

#[test]
fn tables_are_the_same_over_any_container() {
    let (_folder, inputs) = twice();
    let [parquet, mixed] = inputs.map(|input| {
        let table = Arc::new(Table::open(&[input], &[]).unwrap());
        let at = |name: &str| table.columns().iter().position(|column| column.name == name).unwrap();
        let columns = vec![at("feature"), at("label"), at("epoch")];
        let wanted = Wanted { grids: vec![(columns[0], columns[1])], columns, extra_bits: 0, normalize: false };
        let mut rows = Vec::new();
        for unit in 0..table.units().len() {
            let mut reader = table.read(unit, &wanted).unwrap();
            while let Some(some) = reader.next().unwrap() {
                rows.push(some);
            }
        }
        (table.columns().to_vec(), rows)
    });
    assert_eq!(parquet.0, mixed.0);
    assert_eq!(format!("{:?}", parquet.1), format!("{:?}", mixed.1));
}
