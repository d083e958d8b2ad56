//! Class sums over the same rows in every format that is read in place, beside Parquet PLAIN.

use std::fs;
use std::path::{Path, PathBuf};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use nckit::archive::{Archive, Request, Values};
use nckit::batch::Label;
use safetensors::Dtype;

use crate::data::{Layout, Order, ROWS, archive, brief};
use crate::measuring::{SUMS, measure};
use crate::{torch, write};

const DIM: usize = 512;

/// All rows of a file.
pub(crate) fn rows(path: &Path) -> (Vec<f32>, Vec<i64>) {
    let input = path.to_str().expect("a path of ASCII").to_owned();
    let archive = Archive::open(&[input], &Request::default()).expect("an archive");
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for unit in 0..archive.units().len() {
        let mut reader = archive.read(unit).expect("a unit");
        while let Some(chunk) = reader.next().expect("a chunk") {
            let Values::F32(chunk_values) = &chunk.values else { panic!("not f32") };
            values.extend_from_slice(chunk_values);
            labels.extend(chunk.codes.iter().map(|&code| match chunk.classes[code as usize] {
                Label::Int(class) => class as i64,
                _ => panic!("not integers"),
            }));
        }
    }
    (values, labels)
}

fn formats(c: &mut Criterion) {
    let parquet = archive(Layout::Fixed, 10, DIM, Order::Random, None);
    let (values, labels) = rows(&parquet.path);
    let folder = tempfile::tempdir().expect("a directory for the files");
    let put = |name: &str, bytes: Vec<u8>| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("room on the disk");
        path
    };
    let bytes = || values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let label_bytes = || labels.iter().flat_map(|label| label.to_le_bytes()).collect::<Vec<u8>>();
    let tensors =
        [("feature", Dtype::F32, &[ROWS, DIM][..], bytes()), ("label", Dtype::I64, &[ROWS][..], label_bytes())];
    let saved = [
        ("feature", torch::whole("FloatStorage", 0, &[ROWS, DIM])),
        ("label", torch::whole("LongStorage", 1, &[ROWS])),
    ];
    let batch = write::batch(DIM, &values, &labels);
    put("x_labels.npy", write::labels(&labels));
    let files = [
        ("Parquet PLAIN", parquet.path.clone()),
        ("npy", put("x_features.npy", write::features(DIM, &values))),
        ("safetensors", put("x.safetensors", write::safetensors(&tensors))),
        ("Arrow IPC", put("x.arrow", write::arrow(&[batch], false, None))),
        ("pt", put("x.pt", torch::pt(&torch::dict(saved), &[bytes(), label_bytes()]))),
    ];
    let mut group = c.benchmark_group("formats");
    brief(&mut group);
    group.throughput(Throughput::Bytes((4 * ROWS * DIM) as u64));
    for (name, path) in &files {
        let id = BenchmarkId::new(*name, format!("N={ROWS},K=10,D={DIM},threads=2"));
        group.bench_function(id, |b| b.iter(|| measure(path, &SUMS, 2)));
    }
}

criterion_group!(benches, formats);
