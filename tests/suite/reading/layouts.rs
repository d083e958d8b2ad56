//! Whatever a writer chose, what is read is what was written, bit for bit.

use arrow::array::{
    DictionaryArray, FixedSizeBinaryArray, Float16Array, Float64Array, Int64Array, LargeListArray, UInt8Array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::Int32Type;
use half::f16;
use nckit::archive::{Dtype, Policy, chunk_rows};
use parquet::basic::{Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterVersion;
use proptest::prelude::*;

use super::*;
use crate::rows::Random;

/// What was written of one row.
struct Row {
    /// `None` for nulls at any level.
    vector: Option<Vec<f64>>,
    label: Option<Label>,
}

struct Layout {
    features: ArrayRef,
    labels: ArrayRef,
    rows: Vec<Row>,
    properties: WriterPropertiesBuilder,
    row_group: usize,
}

/// Any finite bits, zeros of both signs and subnormals among them; rarely what is not finite.
fn value(random: &mut Random, kind: usize) -> f64 {
    loop {
        let bits = random.bits();
        let value = match kind {
            0 => f16::from_bits(bits as u16).to_f64(),
            1 => f32::from_bits(bits as u32).into(),
            _ => f64::from_bits(bits),
        };
        if value.is_nan() || random.chance(7) {
            let values = [0.0, -0.0, 1.0, 0.5];
            return values[random.below(values.len())];
        }
        if value.is_finite() || random.chance(3) {
            return value;
        }
    }
}

fn layout(seed: u64) -> Layout {
    let mut random = Random::new(seed);
    let rows = 1 + random.below(300);
    let widest = if random.chance(4) { 70 } else { 9 };
    let dim = 1 + random.below(widest);
    let kind = random.below(3);
    let container = random.below(4);
    let (null_rows, null_items) = (random.chance(2), random.chance(2) && container < 3);
    // A fixed-size list keeps room for its nulls, the other lists do not.
    let length = |valid: bool| if valid || container == 0 { dim } else { 0 };
    let valid: Vec<bool> = (0..rows).map(|_| !(null_rows && random.chance(5))).collect();
    let mut items: Vec<Option<f64>> = Vec::new();
    let mut written = Vec::new();
    for &valid in &valid {
        let row: Vec<Option<f64>> = (0..length(valid))
            .map(|_| (!(null_items && random.chance(40))).then(|| value(&mut random, kind)))
            .collect();
        written.push(if valid { row.iter().copied().collect::<Option<Vec<f64>>>() } else { None });
        items.extend(row);
    }
    let values: ArrayRef = match kind {
        0 => Arc::new(items.iter().map(|item| item.map(f16::from_f64)).collect::<Float16Array>()),
        1 => Arc::new(items.iter().map(|item| item.map(|value| value as f32)).collect::<Float32Array>()),
        _ => Arc::new(items.iter().copied().collect::<Float64Array>()),
    };
    let name = if random.chance(2) { "item" } else { "element" };
    let item = Arc::new(Field::new(name, values.data_type().clone(), null_items || random.chance(2)));
    let nulls = null_rows.then(|| NullBuffer::from(valid.clone()));
    let lengths = valid.iter().map(|&valid| length(valid));
    let mut features: ArrayRef = match container {
        0 => Arc::new(FixedSizeListArray::new(item, dim as i32, values, nulls)),
        1 => Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), values, nulls)),
        2 => Arc::new(LargeListArray::new(item, OffsetBuffer::from_lengths(lengths), values, nulls)),
        _ => {
            let bytes =
                |row: &Vec<f64>| row.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect::<Vec<u8>>();
            for row in written.iter_mut().flatten() {
                for value in row {
                    *value = f64::from(*value as f32);
                }
            }
            let rows = written.iter().map(|row| row.as_ref().map(bytes));
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(rows, 4 * dim as i32).unwrap())
        }
    };
    let (mut labels, mut names) = labels(&mut random, rows);
    if random.chance(3) {
        let from = random.below(rows);
        let count = 1 + random.below(rows - from);
        (features, labels) = (features.slice(from, count), labels.slice(from, count));
        written = written.drain(from..from + count).collect();
        names = names.drain(from..from + count).collect();
    }
    let rows = written.into_iter().zip(names).map(|(vector, label)| Row { vector, label }).collect();
    let row_group = 1 + random.below(150);
    Layout { features, labels, rows, properties: properties(&mut random, row_group, container), row_group }
}

fn labels(random: &mut Random, rows: usize) -> (ArrayRef, Vec<Option<Label>>) {
    let values: Vec<Option<i64>> = (0..rows).map(|_| (!random.chance(20)).then(|| random.below(9) as i64)).collect();
    let ints = values.iter().map(|value| value.map(|value| Label::Int(value.into()))).collect();
    let words: Vec<Option<String>> = values.iter().map(|value| value.map(|value| format!("class {value}"))).collect();
    let texts = words.iter().map(|word| word.as_deref().map(text)).collect();
    match random.below(6) {
        0 => (Arc::new(Int64Array::from(values)), ints),
        1 => (Arc::new(values.iter().map(|value| value.map(|value| value as u8)).collect::<UInt8Array>()), ints),
        2 => (Arc::new(values.iter().map(|value| value.map(|value| value as f64)).collect::<Float64Array>()), ints),
        3 => {
            let integers: ArrayRef = Arc::new(Int64Array::from(values));
            let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int64));
            (cast(&integers, &kind).unwrap(), ints)
        }
        4 => (Arc::new(StringArray::from(words)), texts),
        _ => (Arc::new(words.iter().map(Option::as_deref).collect::<DictionaryArray<Int32Type>>()), texts),
    }
}

fn properties(random: &mut Random, row_group: usize, container: usize) -> WriterPropertiesBuilder {
    let compression = [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
    ][random.below(5)];
    let dictionary = random.chance(2);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group))
        .set_compression(compression)
        .set_dictionary_enabled(dictionary)
        .set_dictionary_page_size_limit(1 << (4 + random.below(12)))
        .set_data_page_size_limit(1 << (4 + random.below(10)))
        .set_data_page_row_count_limit(1 + random.below(200))
        .set_write_batch_size(1 + random.below(64))
        .set_write_page_header_statistics(random.chance(2))
        .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][random.below(2)]);
    if !dictionary && random.chance(2) && container < 3 {
        let leaf = vec!["feature".into(), "list".into(), "item".into()];
        let element = vec!["feature".into(), "list".into(), "element".into()];
        return properties
            .set_column_encoding(leaf.into(), Encoding::BYTE_STREAM_SPLIT)
            .set_column_encoding(element.into(), Encoding::BYTE_STREAM_SPLIT);
    }
    properties
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_read_is_what_was_written(seed: u64) {
        let layout = layout(seed);
        let files = Files::new();
        let columns = [("feature", layout.features), ("label", layout.labels)];
        files.write_with("a.parquet", &columns, layout.properties);
        let binary = matches!(columns[0].1.data_type(), DataType::FixedSizeBinary(_));
        let skip = Request {
            features: binary.then(|| "feature".into()),
            dtype: binary.then_some(Dtype::F32),
            nulls: Policy::Skip,
            nonfinite: Policy::Skip,
            ..Request::default()
        };
        let archive = files.open(&skip).unwrap();
        prop_assert_eq!(archive.units().len(), layout.rows.len().div_ceil(layout.row_group));
        let chunks = read(&archive).unwrap();
        prop_assert_eq!(chunks.len(), archive.units().len());
        let (mut nulls, mut nonfinite) = (0, 0);
        let mut expected = Vec::new();
        for (at, row) in layout.rows.iter().enumerate() {
            match (&row.label, &row.vector) {
                (Some(label), Some(vector)) if vector.iter().all(|value| value.is_finite()) => {
                    expected.push((at as u64, label.clone(), vector.iter().map(|value| value.to_bits()).collect::<Vec<_>>()));
                }
                (Some(_), Some(_)) => nonfinite += 1,
                _ => nulls += 1,
            }
        }
        let mut found = Vec::new();
        for chunk in &chunks {
            let values: Vec<u64> = wide(&chunk.values).iter().map(|value| value.to_bits()).collect();
            let vectors = values.chunks(chunk.dim).map(<[u64]>::to_vec);
            for ((row, label), vector) in chunk.file_rows.iter().zip(labels_of(chunk)).zip(vectors) {
                found.push((*row, label, vector));
            }
            nulls -= chunk.parts[0].skipped.nulls;
            nonfinite -= chunk.parts[0].skipped.nonfinite.values().sum::<u64>();
        }
        prop_assert!(found == expected);
        prop_assert_eq!((nulls, nonfinite), (0, 0));
    }
}

#[test]
fn a_unit_is_cut_into_chunks_that_depend_on_nothing_but_the_dimension() {
    const DIM: usize = 64;
    let rows = chunk_rows(DIM) + 3;
    let values = Float32Array::from_iter_values((0..rows * DIM).map(|at| (at / DIM % 1000) as f32));
    let item = Arc::new(Field::new("element", DataType::Float32, false));
    let features: ArrayRef = Arc::new(FixedSizeListArray::new(item, DIM as i32, Arc::new(values), None));
    let files = Files::new();
    files.write("a.parquet", &[("feature", features), ("label", ints((0..rows as i32).map(|row| row % 5)))], rows);
    let chunks = files.read(&Request::default()).unwrap();
    assert_eq!(chunks.iter().map(|chunk| chunk.codes.len()).collect::<Vec<_>>(), [rows - 3, 3]);
    for chunk in &chunks {
        let values = wide(&chunk.values);
        for (vector, &row) in values.chunks(DIM).zip(&chunk.file_rows) {
            assert_eq!(vector, [(row % 1000) as f64; DIM], "{row}");
        }
    }
    assert_eq!(chunks[1].file_rows, [rows as u64 - 3, rows as u64 - 2, rows as u64 - 1]);
    assert_eq!(labels_of(&chunks[1])[0], Label::Int((rows as i128 - 3) % 5));
}
