use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use std::{fs, io};

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array, Float64Array, ListArray,
    RecordBatch,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;

use super::super::file::ParquetFile;
use super::super::parquet_bytes::ParquetBytes;
use super::*;
use crate::archive::container::Container as _;
use crate::archive::dtype::Dtype;
use crate::archive::read_at::{ReadAt, Version, open};
use crate::archive::schema::Schema;

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

    fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// A file in memory, whose content never changes.
#[derive(Debug)]
struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        let bytes = self.0.get(start..start + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn version(&self) -> io::Result<Version> {
        Ok(Version { size: self.size(), modified: SystemTime::UNIX_EPOCH, tag: [0; 4] })
    }
}

/// What was read of a row group: bits of values and defects of each chunk, and whether that was all.
type Rows = Vec<(Vec<u64>, String)>;

struct Read {
    rows: Result<(Rows, bool)>,
    from_pages: bool,
}

/// Reads a row group of the first column in chunks of so many rows.
fn read(
    source: &ParquetBytes,
    file: &ParquetFile,
    row_group: usize,
    dim: usize,
    chunk: usize,
    arrow_only: bool,
) -> Result<Read> {
    let dtypes = [("feature".to_owned(), Dtype::F32)];
    let vectors = Schema::new(file.columns(), &dtypes).vectors(0).expect("a column of vectors");
    let unit = file.row_group(source.clone(), row_group);
    let mut reader = VectorReader::open(&unit, Column::of(&unit.metadata, 0), vectors, (dim, chunk))?;
    if arrow_only {
        reader.batches()?;
    }
    let mut left = file.rows(row_group) as usize;
    let mut chunks = Vec::new();
    let mut all = || {
        while left > 0 {
            let rows = left.min(chunk);
            let Vectors { values, defects } = reader.next(rows, reader.done as u64)?;
            let bits = match values {
                Values::F16(values) => values.iter().map(|x| x.to_bits().into()).collect(),
                Values::F32(values) => values.iter().map(|x| x.to_bits().into()).collect(),
                Values::F64(values) => values.iter().map(|x| x.to_bits()).collect(),
            };
            chunks.push((bits, format!("{defects:?}")));
            left -= rows;
        }
        reader.is_at_end()
    };
    let rows = all().map(|end| (std::mem::take(&mut chunks), end));
    Ok(Read { rows, from_pages: !matches!(reader.route, Route::Batches(_)) })
}

/// Reads all row groups both ways; `Some(true)` if all came from pages, `None` if the file could not be read.
fn same_both_ways(name: &Path, bytes: Arc<dyn ReadAt>, dim: usize, chunk: usize) -> Option<bool> {
    let source = ParquetBytes::new(bytes);
    let file = ParquetFile::open(&source).ok()?;
    let mut from_pages = true;
    let mut whole = true;
    for row_group in 0..file.units() {
        let fast = read(&source, &file, row_group, dim, chunk, false);
        let slow = read(&source, &file, row_group, dim, chunk, true);
        match (fast, slow) {
            (Ok(fast), Ok(slow)) => {
                match (&fast.rows, &slow.rows) {
                    (Ok(fast), Ok(slow)) => assert!(fast == slow, "{} {row_group}", name.display()),
                    (Err(_), Err(_)) => whole = false,
                    (fast, slow) => {
                        panic!("{} {row_group}: {:?} {:?}", name.display(), fast.as_ref().err(), slow.as_ref().err())
                    }
                }
                from_pages &= fast.from_pages;
            }
            (Err(_), Err(_)) => whole = false,
            (fast, slow) => panic!("{} {row_group}: {:?} {:?}", name.display(), fast.err(), slow.err()),
        }
    }
    whole.then_some(from_pages)
}

fn corpus() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/layouts");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
    files.sort();
    assert!(files.len() > 20);
    files
}

#[test]
fn files_of_pyarrow_are_read_from_pages() {
    for path in corpus() {
        for chunk in [1, 16, 64, 2048] {
            let from_pages = same_both_ways(&path, open(&path).unwrap().0, 19, chunk);
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert_eq!(from_pages, Some(!name.starts_with("null")), "{name} {chunk}");
        }
        // Rows of another length are told by the Arrow reader.
        assert_ne!(same_both_ways(&path, open(&path).unwrap().0, 20, 16), Some(true), "{}", path.display());
    }
}

#[test]
fn a_file_in_memory_is_read_as_the_file_itself() {
    for path in corpus() {
        let memory: Arc<dyn ReadAt> = Arc::new(Memory(fs::read(&path).unwrap()));
        let [on_disk, in_memory] = [open(&path).unwrap().0, memory].map(|bytes| {
            let source = ParquetBytes::new(bytes);
            let file = ParquetFile::open(&source).unwrap();
            let read = |row_group| read(&source, &file, row_group, 19, 16, false).unwrap().rows.unwrap();
            let rows: Vec<_> = (0..file.units()).map(read).collect();
            (file.fingerprint(), rows)
        });
        assert!(on_disk.1.iter().any(|(rows, end)| *end && !rows.is_empty()) && on_disk == in_memory);
    }
}

#[test]
fn damaged_pages_are_read_as_arrow_reads_them() {
    let mut random = Random(3);
    let mut outcomes = [0; 3];
    for original in corpus() {
        let bytes = fs::read(&original).unwrap();
        let source = ParquetBytes::new(Arc::new(Memory(bytes.clone())));
        let file = ParquetFile::open(&source).unwrap();
        for trial in 0..60 {
            let group = file.metadata().row_group(random.below(file.units()));
            let (start, length) = group.column(0).byte_range();
            // Half of them near the beginning, where headers, dictionaries and levels are.
            let reach = if trial % 2 == 0 { length as usize } else { (length as usize).min(300) };
            let mut damaged = bytes.clone();
            damaged[start as usize + random.below(reach)] ^= 1 << random.below(8);
            let outcome = same_both_ways(&original, Arc::new(Memory(damaged)), 19, 32);
            outcomes[match outcome {
                None => 0,
                Some(false) => 1,
                Some(true) => 2,
            }] += 1;
        }
    }
    assert!(outcomes.iter().all(|&count| count > 50), "{outcomes:?}");
}

/// Writes one column of random shape, with nulls in one of two; its `D`, and whether it has any.
fn write(random: &mut Random, path: &Path) -> (usize, bool) {
    let rows = 1 + random.below(200);
    let widest = [4, 20, 150][random.below(3)];
    let dim = 1 + random.below(widest);
    let (kind, container) = (random.below(3), random.below(3));
    let binary = container == 2;
    let distinct = [2, 300, 1 << 30][random.below(3)];
    // They may come late, when much has been read from pages already.
    let null_rows = random.chance(4);
    let null_items = !binary && random.chance(4);
    let valid: Vec<bool> = (0..rows).map(|_| !(null_rows && random.chance(60))).collect();
    let lengths: Vec<usize> = valid.iter().map(|&valid| if valid || container == 0 { dim } else { 0 }).collect();
    let count: usize = lengths.iter().sum();
    let item = |random: &mut Random| (!(null_items && random.chance(2000))).then(|| random.below(distinct));
    let items: Vec<Option<usize>> = (0..count).map(|_| item(random)).collect();
    let nulls = valid.contains(&false) || items.contains(&None);
    let pick = |index: usize| (index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let features: ArrayRef = if binary {
        let row =
            |row: usize| valid[row].then(|| (0..4 * dim).map(|at| (pick(row % distinct) >> (at % 57)) as u8).collect());
        let rows: Vec<Option<Vec<u8>>> = (0..rows).map(row).collect();
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows.into_iter(), 4 * dim as i32).unwrap())
    } else {
        let values: ArrayRef = match kind {
            0 => Arc::new(items.iter().map(|i| i.map(|i| f16::from_bits(pick(i) as u16))).collect::<Float16Array>()),
            1 => Arc::new(items.iter().map(|i| i.map(|i| f32::from_bits(pick(i) as u32))).collect::<Float32Array>()),
            _ => Arc::new(items.iter().map(|i| i.map(|i| f64::from_bits(pick(i)))).collect::<Float64Array>()),
        };
        let field = Arc::new(Field::new("element", values.data_type().clone(), null_items || random.chance(2)));
        let validity = null_rows.then(|| NullBuffer::from(valid.clone()));
        if container == 0 {
            Arc::new(FixedSizeListArray::new(field, dim as i32, values, validity))
        } else {
            Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), values, validity))
        }
    };
    let nullable = null_rows || random.chance(2);
    let batch = RecordBatch::try_from_iter_with_nullable([("feature", features, nullable)]).unwrap();
    let split = !binary && random.chance(3);
    let compression = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
    ][random.below(5)];
    let mut properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(1 + random.below(rows)))
        .set_compression(compression)
        .set_dictionary_enabled(!split && !random.chance(3))
        .set_dictionary_page_size_limit(1 << (4 + random.below(12)))
        .set_data_page_size_limit(1 << (4 + random.below(12)))
        .set_data_page_row_count_limit(1 + random.below(200))
        .set_write_batch_size(1 + random.below(64))
        .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][random.below(2)]);
    if split {
        properties = properties.set_encoding(Encoding::BYTE_STREAM_SPLIT);
    } else if !binary {
        // Version 2 would encode f16 by differences, which is not read from pages.
        properties = properties.set_encoding(Encoding::PLAIN);
    }
    let mut writer =
        ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (dim, nulls || matches!(features_type(&batch), DataType::FixedSizeBinary(_)))
}

fn features_type(batch: &RecordBatch) -> DataType {
    batch.column(0).data_type().clone()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(250) })]

    #[test]
    fn pages_give_the_bits_that_arrow_gives(seed: u64) {
        let mut random = Random(seed);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.parquet");
        let (dim, arrow_may) = write(&mut random, &path);
        for chunk in [1, 8, 1 << random.below(9)] {
            let from_pages = same_both_ways(&path, open(&path).unwrap().0, dim, chunk);
            prop_assert!(from_pages == Some(true) || arrow_may && from_pages.is_some(), "{:?}", from_pages);
        }
    }
}
