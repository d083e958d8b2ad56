//! How fast the parts of a run are on this machine, beside what bounds each.

mod many;

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use super::Rounding;
use crate::archive::{Archive, DecodedChunk, GroupRows, Skipped, Values, chunk_rows};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::kernels::gram::{BLOCK_ROWS, add_block, packed_len, plain_product};
use crate::kernels::{ChunkTimes, Device, Workspace};
use crate::objects::is_address;
use crate::state::{Shifts, State};

pub use self::many::{ManyStage, bench_many};

/// A part of a run, and the simplest thing that does as much.
#[derive(Clone, Debug)]
pub struct Stage {
    /// What is measured.
    pub name: &'static str,
    /// Seconds for the chunk.
    pub seconds: f64,
    /// What bounds it.
    pub limit: &'static str,
    /// Seconds of that.
    pub limit_seconds: f64,
}

/// What was measured, on one thread.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Rows of the chunk.
    pub rows: usize,
    /// `D`.
    pub dim: usize,
    /// Classes in the chunk.
    pub classes: usize,
    /// Bytes of its vectors.
    pub bytes: u64,
    /// Its parts.
    pub stages: Vec<Stage>,
    /// The parts of the work of each device, by its name.
    pub on_devices: Vec<(String, Vec<Stage>)>,
}

/// Each part is measured so often, and its best time counts: what else the machine does only adds.
const REPEATS: usize = 9;

/// D of the vectors that are measured where there is no archive.
const DIM: usize = 512;

/// Measures the parts of a run on the first chunk of an archive, or on one of 512 dimensions and ten classes, on one thread;
/// and what a device takes for the same chunk.
///
/// # Errors
///
/// Those of the chunk.
pub fn bench(archive: Option<&Archive>, device: &Device) -> Result<Bench> {
    let chunk = archive.map_or_else(|| Ok(made()), first_chunk)?;
    let (rows, dim) = (chunk.codes.len(), chunk.dim);
    let bytes = chunk.finite_batch()?.features().bytes() as u64;
    let mut copy = vec![0_u8; bytes as usize];
    let from = copy.clone();
    let copying = best(&mut || {
        black_box(&mut copy).copy_from_slice(black_box(&from));
        Ok(())
    })?;
    let mut stages = Vec::new();
    let (mut reading, mut decoding) = (0.0, 0.0);
    if let Some(archive) = archive {
        let unit = &archive.units()[0];
        let stored = (u128::from(unit.bytes) * rows as u128 / u128::from(unit.rows.max(1))) as usize;
        if is_address(&archive.files()[unit.file].path) {
            return Err(Error::usage("bench measures files of this machine").help("fetch the file first"));
        }
        let file = File::open(&archive.files()[unit.file].path).map_err(unreadable)?;
        let mut page = vec![0; 1 << 20];
        reading = best(&mut || {
            for at in (0..stored).step_by(page.len()) {
                file.read_at(&mut page, at as u64).map_err(unreadable)?;
            }
            Ok(())
        })?;
        decoding = best(&mut || first_chunk(archive).map(|chunk| archive.recycle(chunk)))?;
        stages.push(Stage { name: "read", seconds: reading, limit: "copying", limit_seconds: copying });
        stages.push(Stage { name: "decode", seconds: decoding, limit: "reading", limit_seconds: reading });
    }
    let seconds = add(&chunk, false)?;
    stages.push(Stage { name: "class sums", seconds, limit: "copying", limit_seconds: copying });
    let blocks = rows as f64 / BLOCK_ROWS as f64;
    let block: Vec<f64> = (0..BLOCK_ROWS * dim).map(|at| (at % 1_000_003) as f64).collect();
    let mut out = vec![0.0; dim * dim];
    let product = blocks
        * best(&mut || {
            plain_product(black_box(&mut out), &block, dim);
            Ok(())
        })?;
    let mut sums = vec![0; packed_len(dim)];
    let seconds = blocks * best(&mut || add_block(black_box(&mut sums), &block, dim))?;
    stages.push(Stage { name: "Gram", seconds, limit: "a plain f64 product", limit_seconds: product });
    let seconds = decoding + add(&chunk, true)?;
    let limit = if archive.is_some() { "reading and a plain f64 product" } else { "a plain f64 product" };
    stages.push(Stage { name: "total", seconds, limit, limit_seconds: reading + product });
    let mut on_devices = Vec::new();
    for (name, times) in device.times(&chunk.finite_batch()?)? {
        on_devices.push((name, device_stages(&times, copying, decoding)));
    }
    Ok(Bench { rows, dim, classes: chunk.classes.len(), bytes, stages, on_devices })
}

/// The parts of a device's work. Uploads and kernels of different chunks overlap, and so does decoding.
fn device_stages(times: &ChunkTimes, copying: f64, decoding: f64) -> Vec<Stage> {
    let stage = |name, seconds, limit, limit_seconds| Stage { name, seconds, limit, limit_seconds };
    let kernels = times.spread + times.rounding + times.gram;
    let on_device = "copying on the device";
    vec![
        stage("upload", times.upload, "copying", copying),
        stage("spread", times.spread, on_device, times.copy),
        stage("class sums", times.rounding, on_device, times.copy),
        stage("Gram", times.gram, "products alone", times.products),
        stage("total", times.upload.max(kernels), "decoding or upload", times.upload.max(decoding)),
    ]
}

fn first_chunk(archive: &Archive) -> Result<DecodedChunk> {
    archive.read(0)?.next()?.filter(|chunk| !chunk.codes.is_empty()).ok_or_else(|| Error::missing("no row is usable"))
}

/// Seconds to add a chunk to a state, with or without a scatter matrix, that has it already.
fn add(chunk: &DecodedChunk, scatter: bool) -> Result<f64> {
    let (mut state, shifts, mut workspace) = (State::new(scatter), Shifts::default(), Workspace::default());
    best(&mut || Rounding::default().add(chunk, &mut state, &shifts, &mut workspace))
}

fn best(work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    best_of(REPEATS, work)
}

/// The best time of so many.
fn best_of(repeats: usize, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..repeats {
        let start = Instant::now();
        work()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

fn unreadable(error: std::io::Error) -> Error {
    Error::io("cannot read").with("detail", error.kind()).caused_by(error)
}

/// Rows of pseudo-random numbers about ten means.
fn made() -> DecodedChunk {
    let (rows, classes) = (chunk_rows(DIM), 10);
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 16_777_216.0
    };
    let codes: Vec<usize> = (0..rows).map(|row| row * 7 % classes).collect();
    let values = codes.iter().flat_map(|&code| vec![code as f32; DIM]).map(|mean| mean + next()).collect();
    of_labels(DIM, values, &codes)
}

/// A chunk of rows of these classes.
fn of_labels(dim: usize, values: Vec<f32>, labels: &[usize]) -> DecodedChunk {
    let mut codes: HashMap<usize, u32> = HashMap::new();
    let mut classes = Vec::new();
    let code = |&label: &usize| {
        *codes.entry(label).or_insert_with(|| {
            classes.push(Label::Int(label as i128));
            classes.len() as u32 - 1
        })
    };
    let codes: Vec<u32> = labels.iter().map(code).collect();
    let part = GroupRows { key: Vec::new(), rows: None, skipped: Skipped::default() };
    DecodedChunk {
        dim,
        values: Values::F32(values),
        file_rows: (0..codes.len() as u64).collect(),
        codes,
        classes,
        parts: vec![part],
    }
}
