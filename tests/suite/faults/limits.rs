//! Inputs that would take the stack, the memory, the address space or the day.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, StringArray};
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader, ParquetMetaDataWriter};
use parquet::file::properties::WriterProperties;

use super::{Place, ints, plain, said, vectors};

/// A file of no rows whose schema is a group within a group, so many times; each claims so many columns.
fn nested(depth: usize, claim: i64) -> Vec<u8> {
    let number = |value: i64| {
        let (mut bytes, mut raw) = (Vec::new(), (value << 1) as u64);
        while raw >= 0x80 {
            bytes.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        bytes.push(raw as u8);
        bytes
    };
    // Its repetition, its name, its number of columns.
    let group = [&[0x35, 0x02, 0x18, 0x01, b'g', 0x15][..], &number(claim), &[0]].concat();
    let root = [0x48, 0x01, b's', 0x15, 0x02, 0x00];
    let leaf = [0x15, 0x02, 0x25, 0x02, 0x18, 0x01, b'x', 0x00];
    let count = depth as u64 + 2;
    let mut footer = vec![0x15, 0x04, 0x19, 0xfc];
    footer.extend([count as u8 | 0x80, (count >> 7) as u8 | 0x80, (count >> 14) as u8]);
    footer.extend(root);
    (0..depth).for_each(|_| footer.extend(&group));
    footer.extend(leaf);
    // No rows, no row groups.
    footer.extend([0x16, 0x00, 0x19, 0x0c, 0x00]);
    [&b"PAR1"[..], &footer, &(footer.len() as u32).to_le_bytes(), b"PAR1"].concat()
}

#[test]
fn fault_29_a_schema_nested_without_end_is_refused() {
    let place = Place::new();
    for depth in [65, 10_000] {
        fs::write(place.path("a.parquet"), nested(depth, 1)).unwrap();
        for command in ["inspect", "measure"] {
            let text = place.fail(65, &[command, "a.parquet", "-q"]);
            assert!(text.contains("nested more than 64 deep"), "{depth}: {text}");
        }
    }
}

#[test]
fn fault_29_columns_that_are_claimed_take_no_memory() {
    let place = Place::new();
    for claim in [3, 1 << 20, i64::from(i32::MAX)] {
        fs::write(place.path("a.parquet"), nested(1, claim)).unwrap();
        let (output, peak) = peak(&place, &["inspect", "a.parquet", "-q"]);
        assert_eq!(output.status.code(), Some(65), "{}", said(&output));
        assert!(said(&output).contains(&format!("claims {claim} columns")), "{}", said(&output));
        assert!(peak < OWN, "{peak}");
    }
}

/// Writes the one row group of a file again and again.
fn repeat(path: &Path, times: usize) {
    let whole = fs::read(path).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&fs::File::open(path).unwrap()).unwrap();
    let length = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap()) as usize;
    let group = metadata.row_group(0).clone();
    let end =
        group.columns().iter().map(|column| column.byte_range().0 + column.byte_range().1).max().unwrap() as usize;
    assert!(end <= whole.len() - 8 - length);
    let body = &whole[4..end];
    let mut out = [b"PAR1", body.repeat(times).as_slice()].concat();
    let groups = (0..times).map(|at| {
        let columns = group.columns().iter().map(|column| {
            let offset = column.data_page_offset() + (at * body.len()) as i64;
            let column = column.clone().into_builder().set_data_page_offset(offset);
            let column = column.set_offset_index_offset(None).set_offset_index_length(None);
            column.set_column_index_offset(None).set_column_index_length(None).build().unwrap()
        });
        group.clone().into_builder().set_column_metadata(columns.collect()).build().unwrap()
    });
    let file = metadata.file_metadata();
    let file = parquet::file::metadata::FileMetaData::new(
        file.version(),
        group.num_rows() * times as i64,
        None,
        None,
        file.schema_descr_ptr(),
        None,
    );
    let metadata = parquet::file::metadata::ParquetMetaData::new(file, groups.collect());
    ParquetMetaDataWriter::new(&mut out, &metadata).finish().unwrap();
    fs::write(path, out).unwrap();
}

#[test]
fn fault_30_more_row_groups_than_can_be_numbered_are_read() {
    const GROUPS: usize = 32_768 + 3;
    let place = Place::new();
    let columns = [("feature", vectors(vec![0.0, 1.0, 4.0, 1.0], 2)), ("label", ints(vec![0, 1]))];
    place.write_with("a.parquet", &columns, plain());
    repeat(&place.path("a.parquet"), GROUPS);
    let text = place.succeed(&["inspect", "a.parquet", "-q"]);
    assert!(text.contains("32,771 row groups") && text.contains("N = 65,542"), "{text}");
}

/// What the program takes by itself, with its threads and its buffers for the smallest of inputs, in KiB.
const OWN: u64 = 96 << 10;

/// Runs a command and looks how much memory it ever held, in KiB.
fn peak(place: &Place, arguments: &[&str]) -> (Output, u64) {
    let mut child = place.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let ended = loop {
        // What was the peak stays in the file until the process is waited for.
        if let Ok(text) = fs::read_to_string(&status)
            && let Some(line) = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            most = most.max(line.trim().strip_suffix("kB").unwrap().trim().parse().unwrap());
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    child.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    (Output { status: ended, stdout, stderr }, most)
}

/// Runs within `limit` MiB and what the program takes by itself: to its end, or to a refusal with the number.
fn within(place: &Place, limit: u64, arguments: &[&str]) -> bool {
    let memory = format!("--memory={limit}MiB");
    let (output, peak) = peak(place, &[arguments, &[memory.as_str(), "-q"]].concat());
    println!("{arguments:?} in {limit} MiB: {:?}, peak {} MiB", output.status.code(), peak >> 10);
    assert!(matches!(output.status.code(), Some(0 | 75)), "{arguments:?}: {}", said(&output));
    if !output.status.success() {
        assert!(said(&output).contains("--memory"), "{}", said(&output));
    }
    assert!(peak <= (limit << 10) + OWN, "{arguments:?} in {limit} MiB: {} MiB", peak >> 10);
    output.status.success()
}

fn texts(rows: usize, length: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("{row:0>length$}"))))
}

#[test]
fn fault_31_memory_is_kept_whatever_the_number_of_classes() {
    let place = Place::new();
    let rows = 40_000;
    let values: Vec<f32> = (0..rows * 8).map(|at| (at % 1009) as f32).collect();
    let words = texts(rows, 200);
    place.write_columns("words.parquet", &[("feature", vectors(values[..rows].to_vec(), 1)), ("label", words)], rows);
    let labels = ints((0..rows as i32).collect());
    place.write_columns("many.parquet", &[("feature", vectors(values, 8)), ("label", labels)], rows);
    for file in ["many.parquet", "words.parquet"] {
        let accumulate = ["accumulate", file, "--threads=1", "-o", "x.ncst", "--overwrite"];
        for arguments in [&accumulate[..], &["measure", file, "--threads=1"]] {
            assert!(!within(&place, 60, arguments), "{arguments:?}: there is no room for so many classes");
        }
        assert!(within(&place, 1000, &accumulate), "{file}: there is room");
    }
}

#[test]
fn fault_31_memory_is_kept_whatever_the_footer_holds() {
    let place = Place::new();
    let note = KeyValue::new("note".to_owned(), "x".repeat(40 << 20));
    let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![note])).build();
    let columns = [("feature", vectors(vec![0.0, 1.0, 4.0, 2.0], 1)), ("label", ints(vec![0, 0, 1, 1]))];
    place.write_with("a.parquet", &columns, properties);
    for command in ["measure", "inspect"] {
        assert!(!within(&place, 60, &[command, "a.parquet", "--threads=1"]));
        assert!(within(&place, 800, &[command, "a.parquet", "--threads=1"]));
    }
}

/// Each distinct text is in memory once, however many rows have it.
#[test]
fn fault_31_long_labels_are_not_copied_for_every_row() {
    let place = Place::new();
    let words = Arc::new(StringArray::from_iter_values((0..1500).map(|row| "abc"[row % 3..][..1].repeat(100_000))));
    let values = (0..1500).map(|at| (at % 7) as f32).collect();
    place.write_columns("long.parquet", &[("feature", vectors(values, 1)), ("label", words)], 1500);
    assert!(within(&place, 60, &["accumulate", "long.parquet", "-o", "x.ncst", "--threads=1"]));
}

#[test]
fn fault_32_many_files_of_one_size_take_no_time() {
    let place = Place::new();
    let columns = [("feature", vectors(vec![0.0, 1.0, 4.0, 2.0], 1)), ("label", ints(vec![0, 0, 1, 1]))];
    // Without statistics, all their footers are the same.
    let properties =
        plain().into_builder().set_statistics_enabled(parquet::file::properties::EnabledStatistics::None).build();
    place.write_with("in/0.parquet", &columns, properties);
    let bytes = fs::read(place.path("in/0.parquet")).unwrap();
    let at = bytes.windows(4).position(|value| value == 4.0_f32.to_le_bytes()).unwrap();
    for file in 1..1500_u32 {
        let mut other = bytes.clone();
        other[at..at + 4].copy_from_slice(&(4.0 + file as f32).to_le_bytes());
        fs::write(place.path(&format!("in/{file}.parquet")), other).unwrap();
    }
    let run = ["accumulate", "in", "-o", "x.ncst", "--dry-run", "-q"];
    let time = |more: &[&str]| {
        let start = Instant::now();
        let text = place.succeed(&[&run[..], more].concat());
        assert!(text.contains("1,500 files"), "{text}");
        start.elapsed()
    };
    let (unlooked, took) = (time(&["--allow-duplicates"]), time(&[]));
    println!("1,500 files of one size and footer: {took:?}, {unlooked:?} without looking for duplicates");
    assert!(took < 5 * unlooked + Duration::from_secs(2), "{took:?} against {unlooked:?}");
    // Two in the midst are the same, and no others.
    fs::copy(place.path("in/700.parquet"), place.path("in/900.parquet")).unwrap();
    let text = place.fail(65, &run);
    assert!(text.contains("in/700.parquet") && text.contains("in/900.parquet"), "{text}");
}

#[test]
fn fault_33_more_threads_than_are_of_use_are_not_started() {
    let place = Place::new();
    place.archive(1, 1);
    let output = place.run(&["measure", "in", "--threads=5000", "--format=json"]);
    assert!(output.status.success() && said(&output).contains("--threads 5000"), "{}", said(&output));
    let few = place.succeed(&["measure", "in", "--threads=1", "--format=json", "-q"]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), few);
}

/// In so many KiB of address space.
fn bounded(place: &Place, kib: u64, arguments: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", "ulimit -v $0; exec \"$@\"", &kib.to_string(), env!("CARGO_BIN_EXE_nckit")])
        .args(arguments)
        .current_dir(place.0.path())
        .output()
        .unwrap()
}

#[test]
fn fault_34_little_address_space_is_an_error_and_no_abort() {
    let place = Place::new();
    place.archive(2, 2);
    let expected = place.succeed(&["measure", "in", "--format=json", "-q"]);
    let (mut refused, mut done) = (0, 0);
    // The system loads no program into less than its own bytes, which are more with a cluster.
    let least = if cfg!(feature = "cluster") { 224 } else { 160 };
    let all = [160, 192, 224, 256, 320, 384, 448, 512, 768, 1024, 2048, 8192];
    for mib in all.into_iter().filter(|&mib| mib >= least) {
        let output = bounded(&place, mib << 10, &["measure", "in", "--format=json", "-q", "--threads=2"]);
        match output.status.code() {
            Some(0) => {
                assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{mib} MiB");
                done += 1;
            }
            Some(75) => {
                let text = said(&output);
                assert!(text.contains("ulimit -v") || text.contains("--memory"), "{mib} MiB: {text}");
                refused += 1;
            }
            // The system has no room for the program itself.
            Some(127) => {}
            code => panic!("{mib} MiB: {code:?} {}", said(&output)),
        }
    }
    println!("{refused} refused, {done} done");
    assert!(refused > 0 && done > 0);
}
