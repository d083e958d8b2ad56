//! Decoding vectors, beside what bounds it: reading the file, and what the Arrow reader makes of the same columns.

use std::fs::File;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use nckit::archive::{Archive, Request};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::data::{Layout, Order, ROWS, archive, brief, read_file};

const DIM: usize = 512;

fn decode(path: &Path) -> usize {
    let input = path.to_str().expect("a path of ASCII").to_owned();
    let archive = Archive::open(&[input], &Request::default()).expect("an archive");
    let mut rows = 0;
    for unit in 0..archive.units().len() {
        let mut reader = archive.read(unit).expect("a unit");
        while let Some(chunk) = reader.next().expect("a chunk") {
            rows += chunk.codes.len();
            archive.recycle(chunk);
        }
    }
    rows
}

fn arrow(path: &Path) -> usize {
    let file = File::open(path).expect("the file is there");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a Parquet file").with_batch_size(512);
    reader.build().expect("a reader").map(|batch| batch.expect("a batch").num_rows()).sum()
}

fn reading(c: &mut Criterion) {
    let layouts =
        [Layout::Fixed, Layout::List, Layout::V2, Layout::Defaults, Layout::Zstd, Layout::Split, Layout::Binary];
    for layout in layouts {
        let archive = archive(layout, 10, DIM, Order::Random, None);
        let mut group = c.benchmark_group(format!("decode/{layout:?}"));
        brief(&mut group);
        group.throughput(Throughput::Bytes((4 * ROWS * DIM) as u64));
        let id = |name| BenchmarkId::new(name, format!("N={ROWS},D={DIM},threads=1"));
        group.bench_function(id("nckit"), |b| b.iter(|| assert_eq!(decode(&archive.path), ROWS)));
        group.bench_function(id("limit: file read"), |b| b.iter(|| read_file(&archive.path)));
        group.bench_function(id("arrow"), |b| b.iter(|| assert_eq!(arrow(&archive.path), ROWS)));
    }
    let mut group = c.benchmark_group("memcpy");
    brief(&mut group);
    let from = vec![1.0_f32; 1 << 22];
    let mut to = vec![0.0_f32; 1 << 22];
    group.throughput(Throughput::Bytes(4 << 22));
    group.bench_function("16 MiB", |b| b.iter(|| black_box(&mut to).copy_from_slice(black_box(&from))));
}

criterion_group!(benches, reading);
