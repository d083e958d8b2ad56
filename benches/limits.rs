use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, MatMut, MatRef, Par};
use nckit::kernels::gram;

fn integers(count: usize) -> Vec<f64> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 43) as i64 as f64 - 1_048_576.0
    };
    (0..count).map(|_| next()).collect()
}

fn syrk(c: &mut Criterion) {
    let mut group = c.benchmark_group("gram");
    group.sample_size(10).warm_up_time(std::time::Duration::from_millis(300)).measurement_time(std::time::Duration::from_secs(1));
    for dim in [512, 768, 1024, 2048] {
        let rows = 2048;
        let block = integers(rows * dim);
        group.throughput(Throughput::Elements((rows * dim * (dim + 1)) as u64));
        let mut out = vec![0.0; dim * dim];
        group.bench_function(BenchmarkId::new("plain", dim), |b| {
            b.iter(|| {
                let a = MatRef::from_row_major_slice(&block, rows, dim);
                matmul(MatMut::from_column_major_slice_mut(&mut out, dim, dim), BlockStructure::TriangularLower, Accum::Replace, a.transpose(), BlockStructure::Rectangular, a, BlockStructure::Rectangular, 1.0, Par::Seq);
            });
        });
        let mut acc = vec![0_i64; gram::packed_len(dim)];
        group.bench_function(BenchmarkId::new("exact", dim), |b| {
            b.iter(|| gram::add_block(&mut acc, &block, dim, gram::Par::Seq).unwrap());
        });
    }
}

criterion_group!(benches, syrk);
criterion_main!(benches);
