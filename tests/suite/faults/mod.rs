//! What must survive, and what must be refused: the name of every test carries the number of its fault.

mod bits;
mod inputs;
mod kills;
mod limits;
mod mutations;
mod no_cloud;
#[cfg(feature = "cloud")]
mod objects;
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
use nckit::store::StateFile;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tempfile::TempDir;

use crate::rows::Random;

/// Numbers of classes and dimensions of each group of a state.
fn classes_and_dims(state: &StateFile) -> Vec<(usize, usize)> {
    state.shapes().unwrap().iter().map(|shape| (shape.classes, shape.dim)).collect()
}

#[test]
fn every_fault_has_a_test() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite");
    let faults = fs::read_dir(suite.join("faults")).unwrap().map(|entry| entry.unwrap().path());
    // Those of SQL and of devices stand beside their commands.
    let files = faults.chain([suite.join("sql_cli.rs"), suite.join("cuda/program.rs")]);
    let text: String = files.map(|file| fs::read_to_string(file).unwrap()).collect();
    // The rows of the page's table: number, fault, what happens.
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md")).unwrap();
    let cells = page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let faults: Vec<(u32, String)> =
        cells.filter_map(|cells| Some((cells.get(1)?.parse().ok()?, cells.get(2)?.to_string()))).collect();
    assert!(faults.len() > 40, "the page lists only {} faults", faults.len());
    for (number, fault) in faults {
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

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
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
