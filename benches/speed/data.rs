//! Archives to measure, made from a seed, and the loops that bound them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Int32Array, ListArray, RecordBatch,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use criterion::BenchmarkGroup;
use criterion::measurement::WallTime;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use tempfile::TempDir;

/// Rows of every archive: a quarter of a gigabyte at D = 512, so that ten samples take seconds.
pub(crate) const ROWS: usize = 1 << 17;

/// Rows of a row group, as the largest writers choose it.
const GROUP: usize = 1 << 16;

/// How the vectors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Fixed-size lists, PLAIN, not compressed.
    Fixed,
    /// Lists of nullable items, as pyarrow has them, PLAIN, not compressed.
    List,
    /// The same in data pages of version 2.
    V2,
    /// The first mebibyte as a dictionary, then PLAIN; snappy: pyarrow's defaults.
    Defaults,
    /// PLAIN, zstd at level 1.
    Zstd,
    /// `BYTE_STREAM_SPLIT`, not compressed.
    Split,
    /// Fixed-size binary, PLAIN.
    Binary,
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Sorted,
    Random,
}

/// A file that goes with the directory.
pub(crate) struct Archive {
    pub(crate) path: PathBuf,
    _directory: TempDir,
}

/// Normal noise about normal class means; one row in `long` has a value 3000 times as large.
pub(crate) fn archive(layout: Layout, classes: usize, dim: usize, order: Order, long: Option<usize>) -> Archive {
    let directory = tempfile::tempdir().expect("a directory for the archive");
    let path = directory.path().join("features.parquet");
    let mut random = Random(5);
    let means: Vec<f32> = (0..classes * dim).map(|_| 2.0 * random.normal()).collect();
    let noise: Vec<f32> = (0..1 << 20).map(|_| random.normal()).collect();
    let mut labels: Vec<i32> = (0..ROWS).map(|_| (random.bits() % classes as u64) as i32).collect();
    if order == Order::Sorted {
        labels.sort_unstable();
    }
    let mut writer: Option<ArrowWriter<File>> = None;
    for labels in labels.chunks(GROUP / 16) {
        let mut values = Vec::with_capacity(labels.len() * dim);
        for &label in labels {
            // Noise from a table: drawing it would take longer than all benchmarks.
            let from = (random.bits() % (noise.len() - dim) as u64) as usize;
            let mean = &means[label as usize * dim..][..dim];
            values.extend(mean.iter().zip(&noise[from..]).map(|(mean, noise)| mean + noise));
            if long.is_some_and(|one_in| random.bits().is_multiple_of(one_in as u64)) {
                let last = values.len() - 1;
                values[last] *= 3000.0;
            }
        }
        let columns = [
            ("label", Arc::new(Int32Array::from(labels.to_vec())) as ArrayRef),
            ("feature", vectors(layout, dim, values)),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
        let writer = writer.get_or_insert_with(|| {
            let file = File::create(&path).expect("a file in the directory");
            ArrowWriter::try_new(file, batch.schema(), Some(properties(layout).build())).expect("a schema of Parquet")
        });
        writer.write(&batch).expect("room on the disk");
    }
    writer.expect("rows").close().expect("room on the disk");
    Archive { path, _directory: directory }
}

fn vectors(layout: Layout, dim: usize, values: Vec<f32>) -> ArrayRef {
    let rows = values.len() / dim;
    match layout {
        Layout::Binary => Arc::new(FixedSizeBinaryArray::new(4 * dim as i32, Buffer::from_vec(values), None)),
        Layout::List | Layout::V2 | Layout::Defaults => {
            let item = Arc::new(Field::new("element", DataType::Float32, true));
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(dim, rows));
            Arc::new(ListArray::new(item, offsets, Arc::new(Float32Array::from(values)), None))
        }
        Layout::Fixed | Layout::Zstd | Layout::Split => {
            let item = Arc::new(Field::new("element", DataType::Float32, false));
            Arc::new(FixedSizeListArray::new(item, dim as i32, Arc::new(Float32Array::from(values)), None))
        }
    }
}

fn properties(layout: Layout) -> WriterPropertiesBuilder {
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP))
        .set_dictionary_enabled(layout == Layout::Defaults);
    match layout {
        Layout::Zstd => properties.set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("a level"))),
        Layout::Defaults => properties.set_compression(Compression::SNAPPY),
        Layout::Split => properties.set_encoding(Encoding::BYTE_STREAM_SPLIT),
        Layout::V2 => properties.set_writer_version(WriterVersion::PARQUET_2_0).set_encoding(Encoding::PLAIN),
        Layout::Fixed | Layout::List | Layout::Binary => properties,
    }
}

/// Reads the file from its beginning to its end, a mebibyte at a time, as pages are read.
pub(crate) fn read_file(path: &Path) -> u64 {
    use std::os::unix::fs::FileExt;
    let file = File::open(path).expect("the file is there");
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        match file.read_at(&mut buffer, at).expect("the file can be read") {
            0 => return at,
            read => at += read as u64,
        }
    }
}

/// Few samples, since each of them is long.
pub(crate) fn brief(group: &mut BenchmarkGroup<'_, WallTime>) {
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(2));
}

/// splitmix64, Steele et al. 2014.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn normal(&mut self) -> f32 {
        let uniform = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
        let radius = (-2.0 * (1.0 - uniform(self.bits())).ln()).sqrt();
        (radius * (std::f64::consts::TAU * uniform(self.bits())).cos()) as f32
    }
}
