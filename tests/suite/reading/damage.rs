//! Files that are cut, flipped or lying: an error with the file, never a panic, never wrong rows where it can be told.

use std::collections::BTreeSet;

use nckit::archive::{Policy, is_damage};
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnChunkMetaDataBuilder, ParquetMetaDataReader, ParquetMetaDataWriter,
};

use super::*;
use crate::rows::Random;

/// What a data page says about itself.
struct Page {
    uncompressed: i64,
    compressed: i64,
    values: i64,
    checksum: Option<u32>,
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn zigzag(value: i64, out: &mut Vec<u8>) {
    varint(((value << 1) ^ (value >> 63)) as u64, out);
}

fn read_zigzag(bytes: &[u8], at: &mut usize) -> i64 {
    let (mut raw, mut shift) = (0_u64, 0);
    loop {
        let byte = bytes[*at];
        *at += 1;
        raw |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return (raw >> 1) as i64 ^ -((raw & 1) as i64);
        }
    }
}

/// The checksum of gzip, which is that of Parquet.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

/// Writes the file again with other page headers. It has one row group, and each column one page without a dictionary.
fn rewrite(path: &Path, edit: impl Fn(&mut Page, &[u8])) {
    let bytes = fs::read(path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(path).unwrap()).unwrap();
    let group = metadata.row_group(0);
    let mut out = b"PAR1".to_vec();
    let mut columns = Vec::new();
    for chunk in group.columns() {
        let (start, length) = chunk.byte_range();
        let old = &bytes[start as usize..(start + length) as usize];
        let (mut at, mut fields) = (0, Vec::new());
        for _ in 0..3 {
            assert_eq!(old[at], 0x15, "an i32, the next field");
            at += 1;
            fields.push(read_zigzag(old, &mut at));
        }
        let body = &old[old.len() - fields[2] as usize..];
        assert_eq!(old[at..at + 2], [0x2c, 0x15], "the header of a data page, and its number of values");
        let mut rest = at + 2;
        let values = read_zigzag(old, &mut rest);
        let mut page = Page { uncompressed: fields[1], compressed: fields[2], values, checksum: None };
        edit(&mut page, body);
        let offset = out.len();
        for value in [fields[0], page.uncompressed, page.compressed] {
            out.push(0x15);
            zigzag(value, &mut out);
        }
        if let Some(checksum) = page.checksum {
            out.push(0x15);
            zigzag(i64::from(checksum as i32), &mut out);
        }
        out.extend([if page.checksum.is_some() { 0x1c } else { 0x2c }, 0x15]);
        zigzag(page.values, &mut out);
        out.extend(&old[rest..old.len() - body.len()]);
        out.extend(body);
        let chunk = chunk.clone().into_builder().set_data_page_offset(offset as i64);
        let chunk = chunk.set_total_compressed_size((out.len() - offset) as i64);
        let chunk = chunk.set_offset_index_offset(None).set_offset_index_length(None);
        columns.push(chunk.set_column_index_offset(None).set_column_index_length(None).build().unwrap());
    }
    let group = group.clone().into_builder().set_column_metadata(columns).build().unwrap();
    let metadata = metadata.into_builder().set_row_groups(vec![group]).set_column_index(None).set_offset_index(None);
    ParquetMetaDataWriter::new(&mut out, &metadata.build()).finish().unwrap();
    fs::write(path, out).unwrap();
}

fn plain(files: &Files, compressed: bool) -> PathBuf {
    let columns = [("feature", vectors(64, 4)), ("label", ints((0..64).map(|row| row % 3)))];
    let compression =
        if compressed { parquet::basic::Compression::SNAPPY } else { parquet::basic::Compression::UNCOMPRESSED };
    let properties = WriterProperties::builder().set_dictionary_enabled(false).set_compression(compression);
    files.write_with("a.parquet", &columns, properties)
}

/// The one row group as `(labels, values)`, or the error.
fn rows(files: &Files) -> Result<(Vec<Label>, Vec<f64>)> {
    let request = Request { nonfinite: Policy::Skip, ..Request::default() };
    let chunks = files.read(&request)?;
    Ok((chunks.iter().flat_map(labels_of).collect(), chunks.iter().flat_map(|chunk| wide(&chunk.values)).collect()))
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let files = Files::new();
    let path = plain(&files, true);
    let bytes = fs::read(&path).unwrap();
    let cuts: BTreeSet<usize> =
        (0..16).chain((0..bytes.len()).step_by(37)).chain(bytes.len() - 16..bytes.len()).collect();
    for cut in cuts {
        fs::write(&path, &bytes[..cut]).unwrap();
        let error = files.error(&Request::default());
        assert!(is_damage(&error), "{cut}: {error:?}");
        assert_fact(&error, "file", &name_of(&path));
        assert!(error.advice().unwrap().contains("--on-bad-file skip"));
    }
    fs::write(files.path("b.parquet"), b"not what it is called").unwrap();
    fs::write(&path, &bytes).unwrap();
    let archive = files.open(&Request { bad_files: Policy::Skip, ..Request::default() }).unwrap();
    assert_eq!(archive.files().len(), 1);
    let (bad, reason) = &archive.bad_files()[0];
    assert_eq!((bad.as_str(), reason.as_str()), (files.input("b.parquet").as_str(), "it is text"));
}

#[test]
fn flips_end_in_rows_or_in_an_error() {
    let files = Files::new();
    let mut random = Random::new(8);
    for compressed in [false, true] {
        let path = plain(&files, compressed);
        let bytes = fs::read(&path).unwrap();
        for trial in 0..150 {
            let mut flipped = bytes.clone();
            // Half of them in the footer, where decoders break.
            let at = if trial % 2 == 0 {
                random.below(bytes.len())
            } else {
                bytes.len() - 1 - random.below(1000.min(bytes.len()))
            };
            flipped[at] ^= 1 << random.below(8);
            fs::write(&path, flipped).unwrap();
            if let Err(error) = rows(&files) {
                assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Io), "{error:?}");
            }
        }
    }
}

#[test]
fn checksums_catch_every_flip_in_a_page() {
    let files = Files::new();
    for compressed in [false, true] {
        let path = plain(&files, compressed);
        let expected = rows(&files).unwrap();
        assert!(!files.open(&Request::default()).unwrap().checksums(0).unwrap());
        rewrite(&path, |page, body| page.checksum = Some(crc32(body)));
        assert_eq!(rows(&files).unwrap(), expected, "the rewritten file is whole");
        assert!(files.open(&Request::default()).unwrap().checksums(0).unwrap());

        let bytes = fs::read(&path).unwrap();
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(&path).unwrap()).unwrap();
        for column in metadata.row_group(0).columns() {
            let (start, length) = column.byte_range();
            // Headers are shorter than 60 bytes; what comes behind is under the checksum.
            for at in (start + 60..start + length).step_by(11) {
                let mut flipped = bytes.clone();
                flipped[at as usize] ^= 1 << (at % 8);
                fs::write(&path, flipped).unwrap();
                let error = rows(&files).unwrap_err();
                assert!(is_damage(&error), "{error:?}");
                assert_fact(&error, "file", &name_of(&path));
                assert_fact(&error, "row group", "0");
            }
        }
    }
}

type Lie = fn(&mut Page);

#[test]
fn pages_that_lie_are_refused_before_memory_is_asked_for() {
    let files = Files::new();
    let lies: [(&str, Lie); 6] = [
        ("uncompressed bytes", |page| page.uncompressed = i64::from(i32::MAX)),
        ("uncompressed bytes", |page| page.uncompressed = -1),
        ("bytes", |page| page.compressed = i64::from(i32::MAX)),
        ("bytes", |page| page.compressed = -1),
        ("values", |page| page.values = i64::from(i32::MAX)),
        ("values", |page| page.values = -1),
    ];
    for (what, lie) in lies {
        for compressed in [false, true] {
            let path = plain(&files, compressed);
            rewrite(&path, |page, _| lie(page));
            let error = rows(&files).unwrap_err();
            assert!(is_damage(&error), "{error:?}");
            let detail = error.fact("detail").unwrap();
            assert!(detail.starts_with("a page claims") && detail.ends_with(what), "{error:?}");
        }
    }
    // A size that could be, but is not.
    let path = plain(&files, true);
    rewrite(&path, |page, _| page.uncompressed -= 1);
    assert!(is_damage(&rows(&files).unwrap_err()));
}

#[test]
fn footers_that_lie_are_refused_before_memory_is_asked_for() {
    let files = Files::new();
    let path = files.path("a.parquet");
    // Version 2; a schema of one empty element; no rows; 2^31 - 1 row groups.
    let mut footer = vec![0x15, 0x04, 0x19, 0x1c, 0x48, 0x01, b's', 0x15, 0x00, 0x00, 0x16, 0x00, 0x19, 0xfc];
    varint((1 << 31) - 1, &mut footer);
    footer.push(0);
    for claimed in [footer.len() as u32, u32::MAX, 1 << 31] {
        let bytes = [&b"PAR1"[..], &footer, &claimed.to_le_bytes(), b"PAR1"].concat();
        fs::write(&path, bytes).unwrap();
        assert!(is_damage(&files.error(&Request::default())));
    }
}

#[test]
fn a_footer_that_miscounts_rows_is_found_out() {
    let files = Files::new();
    let path = plain(&files, true);
    let whole = fs::read(&path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(&path).unwrap()).unwrap();
    let length = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap()) as usize;
    for claimed in [63, 65, 1 << 40] {
        let group = metadata.row_group(0).clone().into_builder().set_num_rows(claimed).build().unwrap();
        let file = metadata.file_metadata();
        let file = parquet::file::metadata::FileMetaData::new(
            file.version(),
            claimed,
            None,
            None,
            file.schema_descr_ptr(),
            None,
        );
        let metadata = parquet::file::metadata::ParquetMetaData::new(file, vec![group]);
        let mut bytes = whole[..whole.len() - 8 - length].to_vec();
        ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().unwrap();
        fs::write(&path, bytes).unwrap();
        let error = rows(&files).unwrap_err();
        assert!(is_damage(&error), "{claimed}: {error:?}");
    }
}

/// Writes the file again with every column of its footer changed.
fn edit_columns(path: &Path, edit: impl Fn(ColumnChunkMetaDataBuilder) -> ColumnChunkMetaDataBuilder) {
    let whole = fs::read(path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(path).unwrap()).unwrap();
    let length = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap()) as usize;
    let edited = |chunk: &ColumnChunkMetaData| edit(chunk.clone().into_builder()).build().unwrap();
    let columns = metadata.row_group(0).columns().iter().map(edited).collect();
    let group = metadata.row_group(0).clone().into_builder().set_column_metadata(columns).build().unwrap();
    let metadata = metadata.into_builder().set_row_groups(vec![group]).build();
    let mut bytes = whole[..whole.len() - 8 - length].to_vec();
    ParquetMetaDataWriter::new(&mut bytes, &metadata).finish().unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn columns_that_lie_elsewhere_are_refused() {
    let files = Files::new();
    edit_columns(&plain(&files, true), |column| column.set_file_path("b.parquet".into()));
    assert_fact(&files.error(&Request::default()), "detail", "its columns lie in other files");
    for (offset, size) in [(1 << 40, 100), (-5, 100), (4, 1 << 40), (4, -1), (i64::MAX, 1 << 40)] {
        edit_columns(&plain(&files, true), |column| {
            column.set_data_page_offset(offset).set_total_compressed_size(size)
        });
        assert!(is_damage(&files.error(&Request::default())));
    }
}

#[test]
fn a_compression_that_is_not_supported_is_no_damage() {
    let files = Files::new();
    edit_columns(&plain(&files, true), |column| column.set_compression(parquet::basic::Compression::LZO));
    let error = files.open(&Request::default()).unwrap_err();
    assert_kind(&error, ErrorKind::Data);
    assert!(!is_damage(&error));
    assert_fact(&error, "compression", "LZO");
}
