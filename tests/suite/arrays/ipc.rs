//! Arrow IPC beside Parquet: the same batches give the same rows, the same labels and the same errors.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, FixedSizeBinaryArray, FixedSizeListArray, Float16Array, Float32Array,
    Float64Array, Int32Array, Int64Array, LargeListArray, LargeStringArray, ListArray, RecordBatch, StringArray,
    StringViewArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int8Type, Int32Type};
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow_ipc::{CompressionType, MetadataVersion};
use nckit::archive::{Archive, DecodedChunk, Dtype, Policy, Request, chunk_rows, is_damage};
use nckit::error::{Error, ErrorKind};
use parquet::arrow::ArrowWriter;

use super::write::{arrow, batch};
use super::{Files, chunks, error, read, rows};

const ROWS: usize = 23;
const DIM: usize = 5;

fn numbers(count: usize) -> Vec<f32> {
    (0..count).map(|at| ((at * 31) % 97) as f32 - 40.0).collect()
}

fn parquet(batches: &[RecordBatch]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batches[0].schema(), None).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    bytes
}

const FORMS: [(bool, Option<CompressionType>); 6] = [
    (false, None),
    (true, None),
    (false, Some(CompressionType::LZ4_FRAME)),
    (true, Some(CompressionType::LZ4_FRAME)),
    (false, Some(CompressionType::ZSTD)),
    (true, Some(CompressionType::ZSTD)),
];

fn fixed(values: ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Arc::new(FixedSizeListArray::new(item, DIM as i32, values, nulls))
}

fn lists(values: ArrayRef, lengths: &[usize], nulls: Option<NullBuffer>) -> ArrayRef {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths.iter().copied()), values, nulls))
}

fn large(values: ArrayRef, lengths: &[usize]) -> ArrayRef {
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    Arc::new(LargeListArray::new(item, OffsetBuffer::from_lengths(lengths.iter().copied()), values, None))
}

/// Chunks, but for where their rows lie.
fn said(found: Result<Vec<DecodedChunk>, Error>) -> String {
    match found {
        Ok(chunks) => {
            let parts: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.parts).collect();
            format!("{:?} {parts:?}", rows(&chunks))
        }
        Err(error) => {
            let facts = ["row", "row in file", "column", "expected", "found", "label", "dimension"];
            let facts: Vec<_> = facts.iter().map(|fact| error.fact(fact)).collect();
            format!("{:?} {} {facts:?} {:?}", error.kind(), error.message(), error.advice())
        }
    }
}

/// Every column of features with every column of labels, behind columns that are passed over.
#[test]
fn batches_are_read_as_parquet_reads_them() {
    let files = Files::new();
    let values = numbers(ROWS * DIM);
    let floats: ArrayRef = Arc::new(Float32Array::from(values.clone()));
    let halves: ArrayRef =
        Arc::new(Float16Array::from_iter_values(values.iter().map(|&value| half::f16::from_f32(value))));
    let doubles: ArrayRef = Arc::new(Float64Array::from_iter_values(values.iter().map(|&value| f64::from(value))));
    let with_nulls: ArrayRef = Arc::new(
        values.iter().enumerate().map(|(at, &value)| (at != 2 * DIM + 1).then_some(value)).collect::<Float32Array>(),
    );
    let mut not_finite = values.clone();
    not_finite[7 * DIM + 2] = f32::INFINITY;
    let not_finite: ArrayRef = Arc::new(Float32Array::from(not_finite));
    let some_null = || Some((0..ROWS).map(|row| row % 9 != 4).collect::<NullBuffer>());
    let mut lengths = vec![DIM; ROWS];
    let equal = lengths.clone();
    (lengths[8], lengths[9]) = (DIM - 1, DIM + 1);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let bytes: ArrayRef =
        Arc::new(FixedSizeBinaryArray::try_from_iter(bytes.chunks(4 * DIM).map(<[u8]>::to_vec)).unwrap());
    let features: Vec<ArrayRef> = vec![
        fixed(floats.clone(), None),
        fixed(halves, None),
        fixed(doubles.clone(), some_null()),
        fixed(with_nulls.clone(), None),
        fixed(not_finite, None),
        lists(floats.clone(), &equal, None),
        lists(floats.clone(), &equal, some_null()),
        lists(with_nulls, &equal, some_null()),
        lists(floats.clone(), &lengths, None),
        large(doubles, &equal),
        bytes,
    ];
    let classes: Vec<i64> = (0..ROWS as i64).map(|row| row % 4).collect();
    let words: Vec<String> = classes.iter().map(|class| format!("a class with a long name, {class}")).collect();
    let keys = classes.iter().map(|&class| (class != 3).then_some(class as i32)).collect::<Int32Array>();
    let names: ArrayRef = Arc::new(StringArray::from(vec!["cat", "dog", "bird"]));
    let dictionary: DictionaryArray<Int8Type> = words.iter().map(|word| Some(word.as_str())).collect();
    let labels: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(classes.clone())),
        Arc::new(classes.iter().map(|&class| (class != 2).then_some(class as i32)).collect::<Int32Array>()),
        Arc::new(Int64Array::from(classes.iter().map(|class| class - 1).collect::<Vec<_>>())),
        Arc::new(classes.iter().map(|&class| Some(class > 1)).collect::<BooleanArray>()),
        Arc::new(Float64Array::from_iter_values(classes.iter().map(|&class| class as f64))),
        Arc::new(StringArray::from(words.clone())),
        Arc::new(LargeStringArray::from(words.clone())),
        Arc::new(StringViewArray::from_iter_values(&words)),
        Arc::new(DictionaryArray::<Int32Type>::new(keys, names)),
        Arc::new(dictionary),
    ];
    let view: ArrayRef = Arc::new(StringViewArray::from_iter_values(&words));
    let before: ArrayRef = Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Utf8View, true)), view),
        (
            Arc::new(Field::new("b", floats.data_type().clone(), true)),
            Arc::new(Float32Array::from(vec![0.5; ROWS])) as ArrayRef,
        ),
    ]));
    let nested = lists(floats, &[DIM * ROWS].into_iter().chain(vec![0; ROWS - 1]).collect::<Vec<_>>(), None);
    let nested = lists(nested, &[1; ROWS], None);
    let mut compared = 0;
    for (at, features) in features.iter().enumerate() {
        for (other, labels) in labels.iter().enumerate() {
            if at > 1 && other > 2 {
                continue;
            }
            let columns = [("before", &before), ("nested", &nested), ("feature", features), ("label", labels)];
            let columns = columns.map(|(name, array)| (name, array.clone(), true));
            let whole = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
            let batches = [whole.slice(0, 9), whole.slice(9, 1), whole.slice(10, ROWS - 10)];
            let table = files.put("x.parquet", parquet(&batches));
            for (is_stream, compression) in FORMS {
                let path = files.put("x.arrow", arrow(&batches, is_stream, compression));
                for policy in [Policy::Fail, Policy::Skip] {
                    let dtype = matches!(features.data_type(), DataType::FixedSizeBinary(_)).then_some(Dtype::F32);
                    let request = Request {
                        features: Some("feature".to_owned()),
                        dtype,
                        nulls: policy,
                        nonfinite: policy,
                        ..Request::default()
                    };
                    let expected = said(read(std::slice::from_ref(&table), &request));
                    let found = said(read(std::slice::from_ref(&path), &request));
                    assert_eq!(found, expected, "features {at} labels {other} {is_stream} {compression:?}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 400);
}

#[test]
fn units_are_rows_whatever_the_batches_are() {
    let files = Files::new();
    let dim = 64;
    let count = 2 * chunk_rows(dim) + 1000;
    let values: Vec<f32> =
        (0..count).flat_map(|row| (0..dim).map(move |j| if j == 0 { row as f32 } else { 0.5 })).collect();
    let classes: Vec<i64> = (0..count).map(|row| (row / 777) as i64).collect();
    let whole = batch(dim, &values, &classes);
    let pieces = |rows: usize| -> Vec<RecordBatch> {
        (0..count).step_by(rows).map(|start| whole.slice(start, rows.min(count - start))).collect()
    };
    let mut expected: Option<Vec<String>> = None;
    for (rows, is_stream, compression, units) in [
        (count, false, None, 3),
        (1000, true, None, 3),
        (70_001, false, None, 3),
        (999, false, Some(CompressionType::LZ4_FRAME), 3),
        (70_001, true, Some(CompressionType::ZSTD), 2),
    ] {
        let path = files.put("x.arrow", arrow(&pieces(rows), is_stream, compression));
        let archive = Archive::open(&[path], &Request::default()).unwrap();
        assert_eq!(archive.units().len(), units, "{rows} {compression:?}");
        let mut found = Vec::new();
        for chunk in chunks(&archive).unwrap() {
            for (row, &code) in chunk.codes.iter().enumerate() {
                let label = nckit::batch::Label::Int((chunk.file_rows[row] / 777).into());
                assert_eq!(chunk.classes[code as usize], label);
            }
            found.push(format!("{:?} {:?}", chunk.values, chunk.file_rows.first()));
        }
        match &expected {
            None => expected = Some(found),
            Some(expected) => assert!(found == *expected, "{rows} {compression:?}"),
        }
    }
}

#[test]
fn files_that_are_cut_or_lie_are_damage() {
    let files = Files::new();
    let rows = batch(DIM, &numbers(ROWS * DIM), &[1; ROWS]);
    for (is_stream, compression) in FORMS {
        let sound = arrow(&[rows.clone(), rows.slice(0, 3)], is_stream, compression);
        for length in 0..sound.len() {
            let cut = files.put("x.arrow", &sound[..length]);
            match read(&[cut], &Request::default()) {
                // A stream may end behind any batch.
                Ok(chunks) => assert!(is_stream && chunks[0].codes.len() >= ROWS, "{length}"),
                Err(error) => assert!(
                    is_damage(&error) || (is_stream && error.kind() == ErrorKind::Missing) || length < 6,
                    "{length}: {error:?}"
                ),
            }
        }
    }
    // A schema that claims vectors of two thousand million elements.
    let mut sound = arrow(std::slice::from_ref(&rows), true, Some(CompressionType::ZSTD));
    let sizes: Vec<usize> = (0..400).filter(|&at| sound[at..at + 4] == (DIM as i32).to_le_bytes()).collect();
    let mut refused = 0;
    for at in sizes {
        let before: [u8; 4] = sound[at..at + 4].try_into().unwrap();
        sound[at..at + 4].copy_from_slice(&i32::MAX.to_le_bytes());
        // The same number may stand for something else too.
        if let Err(error) = read(&[files.put("wide.arrow", &sound)], &Request::default()) {
            assert!(![ErrorKind::Internal, ErrorKind::Resource].contains(&error.kind()), "{error:?}");
            refused += usize::from(is_damage(&error));
        }
        sound[at..at + 4].copy_from_slice(&before);
    }
    assert!(refused > 0);
    // A batch that claims more rows than its bytes can hold.
    let mut many = arrow(std::slice::from_ref(&rows), true, None);
    let counts: Vec<usize> =
        (0..many.len() - 8).filter(|&at| many[at..at + 8] == (ROWS as u64).to_le_bytes()).collect();
    assert!(counts.len() > 1);
    for at in &counts {
        many[*at..at + 8].copy_from_slice(&(1_u64 << 50).to_le_bytes());
    }
    assert!(is_damage(&error(&files.put("many.arrow", many))));
    let big = [&[0xff; 4][..], &i32::MAX.to_le_bytes(), &[0; 64]].concat();
    assert!(is_damage(&error(&files.put("big.arrow", big))));
    let footer = [&b"ARROW1\0\0"[..], &[0; 64], &i32::MAX.to_le_bytes(), b"ARROW1"].concat();
    assert!(is_damage(&error(&files.put("footer.arrow", footer))));
}

#[test]
fn columns_of_elements_are_vectors_by_a_pattern() {
    let files = Files::new();
    let count = 12;
    let classes: Vec<i64> = (0..40).map(|row| row % 4).collect();
    let value = |row: usize, dimension: usize| (row * 16 + dimension) as f32 / 8.0;
    let column = |dimension: usize| -> ArrayRef {
        match dimension {
            3 => Arc::new(Int32Array::from_iter_values((0..40).map(|row| row + 3))),
            5 => Arc::new((0..40).map(|row| (row != 6).then_some(value(row, 5))).collect::<Float32Array>()),
            _ => Arc::new(Float32Array::from_iter_values((0..40).map(|row| value(row, dimension)))),
        }
    };
    // In an order that is not that of the numbers.
    let mut names: Vec<usize> = (0..count).rev().collect();
    names.swap(1, 7);
    let mut columns: Vec<(String, ArrayRef)> = names.iter().map(|&at| (format!("f{at}"), column(at))).collect();
    columns.insert(4, ("label".to_owned(), Arc::new(Int64Array::from(classes))));
    let whole =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let batches = [whole.slice(0, 17), whole.slice(17, 23)];
    let inputs = [
        files.put("x.parquet", parquet(&batches)),
        files.put("x.arrow", arrow(&batches, true, Some(CompressionType::ZSTD))),
    ];
    for input in inputs {
        let request = Request { features: Some("f*".to_owned()), nulls: Policy::Skip, ..Request::default() };
        let archive = Archive::open(std::slice::from_ref(&input), &request).unwrap();
        assert_eq!((archive.dim(), archive.significand_bits()), (Some(count), 53));
        let planned: Vec<_> = archive.files().iter().map(|file| file.planned().unwrap()).collect();
        for archive in [archive, Archive::reopen(&planned, &request).unwrap()] {
            let (values, labels) = rows(&chunks(&archive).unwrap());
            assert_eq!(labels.len(), 39);
            for (at, found) in values.iter().enumerate() {
                let row = if at / count < 6 { at / count } else { at / count + 1 };
                let expected = if at % count == 3 { row as f64 + 3.0 } else { f64::from(value(row, at % count)) };
                assert_eq!(*found, expected, "{input} {row} {}", at % count);
            }
        }
        let found = error(&input);
        assert!(found.advice().unwrap().contains("--features 'f*'"), "{found:?}");
        let request = Request { features: Some("g*".to_owned()), ..Request::default() };
        assert!(read(std::slice::from_ref(&input), &request).unwrap_err().message().contains("no column matches"));
        let request = Request { features: Some("*".to_owned()), ..Request::default() };
        let found = read(std::slice::from_ref(&input), &request).unwrap_err();
        assert_eq!(found.fact("column"), Some("label"), "{found:?}");
    }
}

/// A flipped bit may change a value, but neither how many rows there are nor how long they are.
#[test]
fn flipped_bits_leave_no_row_out() {
    let files = Files::new();
    let rows = batch(DIM, &numbers(6 * DIM), &[1, 2, 3, 4, 5, 6]);
    for (is_stream, compression) in FORMS {
        let sound = arrow(&[rows.clone(), rows.slice(0, 4)], is_stream, compression);
        let shape = |bytes: &[u8]| {
            let path = files.put("x.arrow", bytes);
            let chunks = read(&[path], &Request::default()).ok()?;
            Some((chunks.iter().map(|chunk| chunk.codes.len()).sum::<usize>(), chunks[0].dim))
        };
        assert_eq!(shape(&sound), Some((10, DIM)));
        let mut refused = 0;
        // Not all of them, for the sake of time; of a compressed form fewer.
        for bit in (0..8 * sound.len()).step_by(if compression.is_none() { 3 } else { 11 }) {
            let mut flipped = sound.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match shape(&flipped) {
                Some(found) => assert_eq!(found, (10, DIM), "byte {} bit {}", bit / 8, bit % 8),
                None => refused += 1,
            }
        }
        assert!(refused > 50, "{refused}");
    }
}

#[test]
fn a_stream_ends_with_its_mark_and_a_file_holds_one() {
    let files = Files::new();
    let rows = batch(DIM, &numbers(ROWS * DIM), &(0..ROWS as i64).map(|row| row % 4).collect::<Vec<_>>());
    let whole = arrow(std::slice::from_ref(&rows), true, None);
    assert!(read(&[files.put("x.arrows", &whole)], &Request::default()).is_ok());
    let two = error(&files.put("two.arrows", [&whole[..], &whole].concat()));
    assert!(is_damage(&two) && format!("{two}").contains("follow the end of its stream"), "{two}");
    let cut = error(&files.put("cut.arrows", &whole[..whole.len() - 8]));
    assert!(is_damage(&cut) && format!("{cut}").contains("without the mark"), "{cut}");
}

#[test]
fn streams_of_the_first_versions_are_read() {
    let files = Files::new();
    let classes: Vec<i64> = (0..ROWS).map(|row| row as i64 % 3).collect();
    let batch = batch(DIM, &numbers(ROWS * DIM), &classes);
    let mut bytes = Vec::new();
    let options = IpcWriteOptions::try_new(8, true, MetadataVersion::V4).unwrap();
    let mut writer = StreamWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    assert_ne!(bytes[..4], [0xff; 4]);
    let path = files.put("x.arrow", &bytes);
    assert_eq!(rows(&read(&[path], &Request::default()).unwrap()).1.len(), ROWS);
}
