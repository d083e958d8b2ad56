//! What must survive, and what must be refused: the name of every test carries the number of its fault.

mod bits;
mod inputs;
mod kills;
mod limits;
mod mutations;
mod outputs;
mod process;
mod security;
mod states;
mod terminal;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field};
use nckit::error::Error;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::rows::Random;

/// All faults there are. What each promises stands where it is tested.
const FAULTS: [(u32, &str); 44] = [
    (1, "the process is killed"),
    (2, "interrupt and termination"),
    (3, "the disk is full"),
    (4, "the output cannot be written"),
    (5, "two writers of one state"),
    (6, "the output exists"),
    (7, "a file is cut"),
    (8, "bits of pages rot"),
    (9, "a file changes"),
    (10, "a file vanishes or appears"),
    (11, "the same rows under two names"),
    (12, "the same rows in two states"),
    (13, "values that are not finite"),
    (14, "nulls"),
    (15, "labels that are no classes"),
    (16, "labels of other types"),
    (17, "rows of different length"),
    (18, "groups of different length"),
    (19, "no rows, one class, singletons, gaps, equal features, many classes"),
    (20, "a head that does not fit"),
    (21, "states that differ"),
    (22, "a newer version of the state file"),
    (23, "a damaged state file"),
    (24, "names of strangers"),
    (25, "SQL that writes"),
    (26, "sizes that lie"),
    (27, "the limit of memory"),
    (28, "bits of footers and page headers rot"),
    (29, "a schema that is nested without end, or claims columns that are not there"),
    (30, "more row groups than can be numbered"),
    (31, "classes, labels and footers without end"),
    (32, "many files of one size"),
    (33, "threads without end"),
    (34, "the limit of address space"),
    (40, "a COPY that fails"),
    (41, "standard output that takes nothing"),
    (42, "outputs that are one file, or an input, or another process's"),
    (43, "an output is replaced"),
    (44, "the disk is full, for every output"),
    (45, "files of others beside an output"),
    (46, "pipes and devices as outputs"),
    (47, "a lock that is a link"),
    (48, "text that commands a terminal"),
    (49, "places that cannot be outputs"),
];

#[test]
fn every_fault_has_a_test() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let faults = fs::read_dir(suite.join("faults")).unwrap().map(|entry| entry.unwrap().path());
    // Those of SQL stand beside the command.
    let files = faults.chain([suite.join("sql_cli.rs")]);
    let text: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    for (number, fault) in FAULTS {
        assert!(text.contains(&format!("fn fault_{number:02}_")), "no test of fault {number}: {fault}");
    }
}

/// A directory in which `nckit` runs.
pub(crate) struct Place(pub(crate) TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nckit"));
        command.args(arguments).current_dir(self.0.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must succeed; returns what it prints.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs what must fail with this code; returns what it says.
    pub(crate) fn fail(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
        said(&output)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The names of all files, but for locks.
    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.filter(|name| Path::new(name).extension().is_none_or(|extension| extension != "lock")).collect();
        names.sort();
        names
    }

    /// Writes rows of `dim` values in four classes; equal tags are equal rows.
    pub(crate) fn write(&self, name: &str, tag: u64, rows: usize, dim: usize, row_group: usize) {
        let mut random = Random::new(tag);
        let labels: Vec<i32> = (0..rows).map(|_| random.below(4) as i32).collect();
        let values = labels.iter().flat_map(|&label| (0..dim).map(move |j| (label, j)));
        let values: Vec<f32> = values
            .map(|(label, j)| {
                (f64::from(label) * if j % 4 == label as usize { 8.0 } else { 0.0 } + random.normal()) as f32
            })
            .collect();
        self.write_columns(name, &[("feature", vectors(values, dim)), ("label", ints(labels))], row_group);
    }

    pub(crate) fn write_columns(&self, name: &str, columns: &[(&str, ArrayRef)], row_group: usize) {
        self.write_with(
            name,
            columns,
            WriterProperties::builder().set_max_row_group_row_count(Some(row_group)).build(),
        );
    }

    pub(crate) fn write_with(&self, name: &str, columns: &[(&str, ArrayRef)], properties: WriterProperties) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let fields = columns.iter().map(|(name, array)| (*name, array.clone(), true));
        let batch = RecordBatch::try_from_iter_with_nullable(fields).unwrap();
        let mut writer =
            ArrowWriter::try_new(fs::File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }

    /// `files` files of `row_groups` row groups in the directory `in`.
    pub(crate) fn archive(&self, files: u64, row_groups: usize) {
        for file in 0..files {
            self.write(&format!("in/{file:02}.parquet"), file, 40 * row_groups - 7, 8, 40);
        }
    }
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn vectors(values: Vec<f32>, dim: usize) -> ArrayRef {
    let item = Arc::new(Field::new("element", DataType::Float32, true));
    Arc::new(FixedSizeListArray::new(item, dim as i32, Arc::new(Float32Array::from(values)), None))
}

pub(crate) fn ints(values: Vec<i32>) -> ArrayRef {
    Arc::new(Int32Array::from(values))
}

/// Properties under which bytes on disk are the values themselves.
pub(crate) fn plain() -> WriterProperties {
    WriterProperties::builder().set_compression(Compression::UNCOMPRESSED).set_dictionary_enabled(false).build()
}

fn fact<'a>(error: &'a Error, name: &str) -> &'a str {
    error.fact(name).unwrap_or_else(|| panic!("no {name} in {error:?}"))
}
