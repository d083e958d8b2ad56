//! Features and labels in files of arrays: read as they were written, found where they lie, or refused with what to do.

#[cfg(feature = "cli")]
mod commands;
#[cfg(feature = "cli")]
mod convert;
mod damage;
#[cfg(feature = "cli")]
mod found;
mod ipc;
#[cfg(feature = "cli")]
mod label_files;
mod nested;
mod pt;
mod tensors;
mod text;
pub(crate) mod torch;
mod values;
pub(crate) mod write;

use std::fs;

use nckit::archive::{Archive, DecodedChunk, Request, Values};
use nckit::batch::Label;
use nckit::error::{Error, Result};

/// A directory of files that goes with the test.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// The path of a file, as an input.
    fn at(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.at(name);
        fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn read(inputs: &[String], request: &Request) -> Result<Vec<DecodedChunk>> {
    chunks(&Archive::open(inputs, request)?)
}

fn chunks(archive: &Archive) -> Result<Vec<DecodedChunk>> {
    let mut chunks = Vec::new();
    for unit in 0..archive.units().len() {
        let mut reader = archive.read(unit)?;
        while let Some(chunk) = reader.next()? {
            chunk.batch()?;
            chunks.push(chunk);
        }
    }
    Ok(chunks)
}

/// All values and all labels.
fn rows(chunks: &[DecodedChunk]) -> (Vec<f64>, Vec<Label>) {
    let wide = |chunk: &DecodedChunk| -> Vec<f64> {
        match &chunk.values {
            Values::F16(values) => values.iter().map(|value| value.to_f64()).collect(),
            Values::F32(values) => values.iter().map(|&value| value.into()).collect(),
            Values::F64(values) => values.clone(),
        }
    };
    let labels = |chunk: &DecodedChunk| -> Vec<Label> {
        chunk.codes.iter().map(|&code| chunk.classes[code as usize].clone()).collect()
    };
    (chunks.iter().flat_map(wide).collect(), chunks.iter().flat_map(labels).collect())
}

/// The error of an input that is opened and read.
fn error(input: &str) -> Error {
    read(&[input.to_owned()], &Request::default()).unwrap_err()
}
