//! Made-up archives of any size, with what is true of them beside them.
//!
//! Rows come in pairs on either side of the mean of their class, all at one distance from it. So the mean of a class is what
//! it was made with, its variance is known exactly, and numbers that are made of these can be written down before any row
//! is: a check of this program and of others.

mod digits;
mod numbers;
mod truth;

pub use digits::Digits;

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, Float64Array, Int32Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use rayon::prelude::*;

use self::numbers::Numbers;
use super::{Resources, Watch};
use crate::archive::chunk_rows;
use crate::error::{Error, Result};
use crate::report::RowWriter;

/// What the classes of an archive are like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Class `k` has about `1/k` as many rows as the first, as words of a language; means lie in random directions.
    Zipf,
    /// Equally many rows a class, means on a simplex, and a number of epochs, each of half the spread of the one before.
    Collapse {
        /// How many epochs.
        epochs: u32,
    },
}

/// An archive to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What the classes are like.
    pub kind: Kind,
    /// How many rows, of all epochs together.
    pub rows: u64,
    /// How many classes there may be.
    pub classes: u32,
    /// `D`.
    pub dim: usize,
    /// The distance of a row from its class mean, in units of half the usual distance between two means: below 1 a row lies
    /// nearer to its own.
    pub noise: f64,
    /// Other seeds make other rows.
    pub seed: u64,
}

/// An archive that is settled, down to the class of every row.
#[derive(Debug)]
pub struct Made {
    example: Example,
    /// Rows of each class in each epoch.
    counts: Vec<u32>,
    /// How far rows lie from their mean in each epoch.
    radii: Vec<f64>,
    numbers: Numbers,
    /// Cumulated shares of the classes; empty where all are equal.
    shares: Vec<f64>,
}

/// How long the means of a collapse are.
const LENGTH: f64 = 10.0;

/// Rows that a thread makes at a time.
const PART: usize = 256;

impl Made {
    /// Settles which row is of which class.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for numbers of which nothing can be made;
    /// [`Resource`](crate::error::ErrorKind::Resource) for rows and classes that do not fit memory.
    pub fn new(example: Example) -> Result<Self> {
        let Example { kind, rows, classes, dim, noise, seed } = example;
        let wrong = |why: String| Err(Error::usage("no such example can be made").with("detail", why));
        if rows == 0 || classes < 2 || dim == 0 {
            return wrong("there are rows, two classes and a dimension at least".to_owned());
        }
        if !(0.0..=1e6).contains(&noise) {
            return wrong(format!("--noise lies between 0 and a million, not {noise}"));
        }
        check_memory(dim, classes, Resources::default())?;
        let numbers = Numbers::new(seed);
        let classes_f = f64::from(classes);
        let half = match kind {
            // Components of the means have a variance of 1.
            Kind::Zipf => (2.0 * dim as f64).sqrt() / 2.0,
            Kind::Collapse { .. } => LENGTH * (2.0 * classes_f / (classes_f - 1.0)).sqrt() / 2.0,
        };
        let (radii, shares, counts) = match kind {
            Kind::Zipf => {
                let mut shares: Vec<f64> = (1..=classes).map(|rank| 1.0 / f64::from(rank)).collect();
                let total: f64 = shares.iter().sum();
                let mut below = 0.0;
                for share in &mut shares {
                    below += *share / total;
                    *share = below;
                }
                let mut counts = vec![0; classes as usize];
                for row in 0..rows {
                    counts[class_of(&shares, numbers.share(row))] += 1;
                }
                (vec![noise * half], shares, counts)
            }
            Kind::Collapse { epochs } => {
                if classes as usize > dim {
                    return wrong(format!(
                        "this construction of a simplex needs as many dimensions as classes, {classes}"
                    ));
                }
                let each = rows / (u64::from(epochs) * u64::from(classes)).max(1) / 2 * 2;
                if each == 0 {
                    return wrong(format!("{epochs} epochs of {classes} classes need two rows each"));
                }
                let each = u32::try_from(each).map_err(|_| Error::usage("too many rows for so few classes"))?;
                let radii = (0..epochs).map(|epoch| noise * half * 0.5_f64.powi(epoch as i32)).collect();
                (radii, Vec::new(), vec![each; classes as usize])
            }
        };
        Ok(Self { example, counts, radii, numbers, shares })
    }

    /// How many rows are written: a collapse has whole pairs of every class.
    pub fn rows(&self) -> u64 {
        self.epoch_rows() * self.radii.len() as u64
    }

    /// Bytes of the vectors.
    pub fn bytes(&self) -> u64 {
        self.rows() * self.example.dim as u64 * 4
    }

    /// Classes that have rows.
    pub fn classes(&self) -> u64 {
        self.counts.iter().filter(|&&count| count > 0).count() as u64
    }

    fn epoch_rows(&self) -> u64 {
        self.counts.iter().map(|&count| u64::from(count)).sum()
    }

    /// Writes the rows, `features` and `label`, and `epoch` where there are several.
    ///
    /// # Errors
    ///
    /// [`Io`](crate::error::ErrorKind::Io) if they cannot be written; [`Interrupted`](crate::error::ErrorKind::Interrupted).
    pub fn write_rows(&self, out: &mut (dyn Write + Send), watch: &Watch) -> Result<()> {
        let dim = self.example.dim;
        let has_epochs = matches!(self.example.kind, Kind::Collapse { .. });
        let mut fields = vec![vectors("features", dim)?, Field::new("label", DataType::Int32, false)];
        if has_epochs {
            fields.push(Field::new("epoch", DataType::Int32, false));
        }
        let schema = Arc::new(Schema::new(fields));
        let most = rows_at_a_time(dim);
        let mut writer = RowWriter::new(out, schema.clone(), "features", most)?;
        for (epoch, &radius) in self.radii.iter().enumerate() {
            // Which row of its class the next one is.
            let mut seen = vec![0_u32; self.counts.len()];
            let rows = self.epoch_rows();
            for first in (0..rows).step_by(most) {
                watch.check()?;
                let of_chunk = (most as u64).min(rows - first) as usize;
                let class = |row: u64| {
                    let class = self.class(epoch, row);
                    seen[class] += 1;
                    (class, seen[class] - 1)
                };
                let places: Vec<(usize, u32)> = (first..first + of_chunk as u64).map(class).collect();
                let mut values = vec![0.0_f32; of_chunk * dim];
                values.par_chunks_mut(PART * dim).zip(places.par_chunks(PART)).for_each(|(values, places)| {
                    let mut room = vec![0.0; dim];
                    for (row, &place) in values.chunks_exact_mut(dim).zip(places) {
                        self.row(epoch, radius, place, &mut room, row);
                    }
                });
                let labels = Int32Array::from_iter_values(places.iter().map(|&(class, _)| class as i32));
                let mut columns = vec![list(&schema, 0, values)?, Arc::new(labels) as ArrayRef];
                if has_epochs {
                    columns.push(Arc::new(Int32Array::from(vec![epoch as i32; of_chunk])));
                }
                writer.write(&RecordBatch::try_new(schema.clone(), columns).map_err(cannot_make)?)?;
                watch.bytes.fetch_add((of_chunk * dim * 4) as u64, std::sync::atomic::Ordering::Relaxed);
            }
            writer.end_group()?;
        }
        writer.finish()
    }

    /// Writes the classifier of the nearest class mean: `w_k = μ_k` and `b_k = −½ ‖μ_k‖²`.
    ///
    /// # Errors
    ///
    /// Those of [`write_rows`](Self::write_rows).
    pub fn write_head(&self, out: &mut (dyn Write + Send)) -> Result<()> {
        let dim = self.example.dim;
        let fields = [
            Field::new("class", DataType::Int32, false),
            vectors("weight", dim)?,
            Field::new("bias", DataType::Float64, false),
        ];
        let schema = Arc::new(Schema::new(fields.to_vec()));
        let most = rows_at_a_time(dim);
        let mut writer = RowWriter::new(out, schema.clone(), "weight", most)?;
        let classes: Vec<usize> = (0..self.counts.len()).collect();
        for classes in classes.chunks(most) {
            let mut values = vec![0.0_f32; classes.len() * dim];
            values.par_chunks_mut(dim).zip(classes).for_each(|(values, &class)| self.mean(class, values));
            let square = |mean: &[f32]| mean.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>();
            let bias = Float64Array::from_iter_values(values.chunks(dim).map(|mean| -0.5 * square(mean)));
            let labels = Int32Array::from_iter_values(classes.iter().map(|&class| class as i32));
            let columns: Vec<ArrayRef> = vec![Arc::new(labels), list(&schema, 1, values)?, Arc::new(bias)];
            writer.write(&RecordBatch::try_new(schema.clone(), columns).map_err(cannot_make)?)?;
        }
        writer.finish()
    }

    fn class(&self, epoch: usize, row: u64) -> usize {
        if self.shares.is_empty() {
            // Each class once, in an order that differs from round to round.
            let classes = self.counts.len() as u64;
            let turn = self.numbers.bits(epoch as u64, row / classes) % classes;
            ((row + turn) % classes) as usize
        } else {
            class_of(&self.shares, self.numbers.share(row))
        }
    }

    /// The mean of a class.
    fn mean(&self, class: usize, mean: &mut [f32]) {
        match self.example.kind {
            Kind::Zipf => {
                let stream = self.numbers.stream(0, class as u64);
                mean.iter_mut().zip(stream).for_each(|(mean, x)| *mean = x as f32);
            }
            Kind::Collapse { .. } => {
                // A corner of the simplex of K unit vectors, less their mean.
                let classes = self.counts.len();
                let length = LENGTH * (classes as f64 / (classes as f64 - 1.0)).sqrt();
                for (j, mean) in mean.iter_mut().enumerate() {
                    let unit = f64::from(u8::from(j == class)) - if j < classes { 1.0 / classes as f64 } else { 0.0 };
                    *mean = (length * unit) as f32;
                }
            }
        }
    }

    /// The row of a class with this number: every other one lies opposite to the one before, and the last of an odd number on
    /// the mean itself.
    fn row(&self, epoch: usize, radius: f64, (class, at): (usize, u32), room: &mut [f64], row: &mut [f32]) {
        self.mean(class, row);
        if at % 2 == 0 && at + 1 == self.counts[class] {
            return;
        }
        let pair = (u64::from(at / 2) << 16) | epoch as u64;
        let stream = self.numbers.stream(1 + class as u64, pair);
        room.iter_mut().zip(stream).for_each(|(room, x)| *room = x);
        let length = room.iter().map(|x| x * x).sum::<f64>().sqrt();
        let step = if at % 2 == 0 { radius } else { -radius } / length;
        row.iter_mut().zip(room).for_each(|(x, direction)| *x = (f64::from(*x) + step * *direction) as f32);
    }
}

/// Bytes of the vectors that are made, and written as a row group, at a time, as long as one vector takes no more.
const AT_A_TIME: usize = 64 << 20;

/// The rows of a chunk, as far as they fit.
fn rows_at_a_time(dim: usize) -> usize {
    chunk_rows(dim).min(AT_A_TIME / dim.saturating_mul(4)).max(1)
}

/// Fails if classes, and vectors of this length, need more memory than there is: those made at a time, the same as they are
/// written, and one in double precision for each thread.
fn check_memory(dim: usize, classes: u32, Resources { threads, memory }: Resources) -> Result<()> {
    let vectors = (3 * 4 * rows_at_a_time(dim) as u64 + 8 * threads as u64).saturating_mul(dim as u64);
    let needed = vectors.saturating_add(32 * u64::from(classes));
    if needed <= memory {
        return Ok(());
    }
    Err(Error::resource("the example needs more memory than there is")
        .with("needed", format!("{needed} bytes"))
        .with("allowed", format!("{memory} bytes"))
        .help("a smaller --dim, or fewer --classes"))
}

/// The class whose share holds this number between 0 and 1.
fn class_of(shares: &[f64], at: f64) -> usize {
    shares.partition_point(|&below| below <= at).min(shares.len() - 1)
}

fn vectors(name: &str, dim: usize) -> Result<Field> {
    let dim = i32::try_from(dim).map_err(|_| Error::usage("vectors are too long").with("dim", dim))?;
    let item = Arc::new(Field::new("element", DataType::Float32, false));
    Ok(Field::new(name, DataType::FixedSizeList(item, dim), false))
}

fn list(schema: &SchemaRef, at: usize, values: Vec<f32>) -> Result<ArrayRef> {
    let DataType::FixedSizeList(item, dim) = schema.field(at).data_type() else {
        return Err(Error::internal("vectors are no lists"));
    };
    let values = Arc::new(Float32Array::from(values));
    Ok(Arc::new(FixedSizeListArray::try_new(item.clone(), *dim, values, None).map_err(cannot_make)?))
}

fn cannot_make(error: arrow::error::ArrowError) -> Error {
    Error::internal("made-up rows do not fit their columns").with("detail", &error).caused_by(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_vectors_are_made_a_few_at_a_time_and_refused_where_they_do_not_fit() {
        for (dim, rows) in [(768, 4096), (8192, 2048), (1 << 20, 16), (1 << 24, 1), (1 << 30, 1)] {
            assert_eq!(rows_at_a_time(dim), rows);
        }
        let little = Resources { threads: 2, memory: 1 << 30 };
        assert!(check_memory(1_000_000, 10, little).is_ok());
        let error = check_memory(1 << 26, 10, little).unwrap_err();
        // Three rows in single precision, and one in double precision for each thread.
        assert_eq!(error.fact("needed"), Some(&*format!("{} bytes", (3 * 4 + 2 * 8) * (1_u64 << 26) + 320)));
        assert!(check_memory(64, u32::MAX, little).is_err());
    }
}
