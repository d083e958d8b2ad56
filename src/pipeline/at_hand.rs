//! Rows that a program holds in memory, and that a run looks at once more: those of NC4 and NC5.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::first_pass::at_row;
use super::scan::{Place, Watch, scan};
use crate::archive::{Archive, DecodedChunk, GroupRows, Skipped, Values, at_unit_length, chunk_rows, first_of_zeros};
use crate::batch::{Features, Label, LabelKind};
use crate::error::{Error, Result};

/// What settings and scores call such rows.
pub(super) const IN_MEMORY: &str = "in memory";

/// The rows in memory that a job looks at beside its states, each in place of rows in files.
#[derive(Clone, Debug, Default)]
pub struct AtHand {
    /// The rows that the states were made of.
    pub own: Option<RowsAtHand>,
    /// Those of [`Job::decisions`](super::Job::decisions).
    pub decisions: Option<RowsAtHand>,
    /// Those of [`Job::ood`](super::Job::ood).
    pub ood: Option<RowsAtHand>,
}

/// Who holds rows.
pub trait HoldsRows: Send + Sync {
    /// Rows × D, row-major; the same at every call.
    fn features(&self) -> Features<'_>;
}

/// Batches of rows in memory. Nothing is copied but the labels.
#[derive(Clone, Default)]
pub struct RowsAtHand {
    batches: Vec<Arc<Batch>>,
    dim: usize,
    /// Whether labels tell classes apart; else all rows are of one class.
    labelled: bool,
    skipped: Skipped,
}

struct Batch {
    holder: Box<dyn HoldsRows>,
    codes: Vec<u32>,
    classes: Vec<Label>,
    /// Rows of the batches before.
    first: u64,
}

/// A part of a batch that is worked on at a time.
#[derive(Clone, Copy)]
struct Piece {
    batch: usize,
    start: usize,
    end: usize,
}

impl RowsAtHand {
    /// Adds rows of `dim` values with their labels, or of one class without.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if shapes differ, labels have several types, or a value is not finite.
    pub fn add(
        &mut self,
        holder: impl HoldsRows + 'static,
        dim: usize,
        labels: Option<impl ExactSizeIterator<Item = Label>>,
    ) -> Result<()> {
        let features = holder.features();
        let rows = features.len() / dim.max(1);
        if rows == 0 {
            return Ok(());
        }
        if features.len() != rows * dim || (self.dim > 0 && self.dim != dim) {
            return Err(Error::data("feature vector has the wrong length")
                .with("expected", self.dim)
                .with("found", dim));
        }
        if let Some(at) = features.first_nonfinite() {
            return Err(Error::data("feature is not finite").with("row", at / dim).with("dimension", at % dim));
        }
        let labelled = labels.is_some();
        let (codes, classes) = labels.map_or_else(|| Ok((vec![0; rows], vec![Label::Int(0)])), coded)?;
        if codes.len() != rows {
            return Err(Error::data("there is not one label a row").with("rows", rows).with("labels", codes.len()));
        }
        if let (Some(kind), Some(label)) = (self.kind(), classes.iter().find(|label| Some(label.kind()) != self.kind()))
        {
            return Err(Error::data("the labels have several types").with("expected", kind).with("label", label));
        }
        (self.dim, self.labelled) = (dim, labelled);
        let first = self.rows();
        self.batches.push(Arc::new(Batch { holder: Box::new(holder), codes, classes, first }));
        Ok(())
    }

    /// Takes note of rows that were left out.
    pub fn leave_out(&mut self, skipped: &Skipped) {
        self.skipped.add(skipped);
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.batches.last().map_or(0, |batch| batch.first + batch.codes.len() as u64)
    }

    pub(super) fn has_labels(&self) -> bool {
        self.labelled
    }

    /// The type of the labels, once there is a row.
    pub(super) fn kind(&self) -> Option<LabelKind> {
        self.batches.first().and_then(|batch| batch.classes.first()).map(Label::kind)
    }

    pub(super) fn labels(&self) -> BTreeSet<Label> {
        self.batches.iter().flat_map(|batch| batch.classes.iter().cloned()).collect()
    }

    /// Hands each chunk of the rows to one of the workers that `worker` makes; returns the workers. The chunks are those of a
    /// file that has each batch as a row group.
    fn scan<W: Send>(
        &self,
        normalize: bool,
        threads: usize,
        watch: &Watch,
        worker: impl Fn() -> W + Sync,
        look: impl Fn(&mut W, Place, &DecodedChunk) -> Result<()> + Sync,
    ) -> Result<Vec<W>> {
        let pieces = self.pieces();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut state = worker();
            while let Some((at, &piece)) =
                Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|at| Some((at, pieces.get(at)?)))
            {
                let place = Place { unit: piece.batch, chunk: at };
                let looked = watch.check().and_then(|()| look(&mut state, place, &self.chunk(piece, normalize)?));
                looked.map_err(|error| (at, error))?;
            }
            Ok(state)
        };
        let outcomes: Vec<std::result::Result<W, (usize, Error)>> = std::thread::scope(|scope| {
            let handles: Vec<_> = (1..threads.min(pieces.len())).map(|_| scope.spawn(work)).collect();
            let panicked = |_| Err((0, Error::internal("a worker panicked")));
            let first = work();
            std::iter::once(first)
                .chain(handles.into_iter().map(|handle| handle.join().unwrap_or_else(panicked)))
                .collect()
        });
        let (workers, errors): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(std::result::Result::is_ok);
        // That of the first rows, whichever thread was sooner.
        match errors.into_iter().filter_map(std::result::Result::err).min_by_key(|(at, _)| *at) {
            Some((_, error)) => Err(error),
            None => Ok(workers.into_iter().flatten().collect()),
        }
    }

    fn pieces(&self) -> Vec<Piece> {
        let size = chunk_rows(self.dim);
        let of_batch = |(batch, rows): (usize, &Arc<Batch>)| {
            let rows = rows.codes.len();
            (0..rows).step_by(size).map(move |start| Piece { batch, start, end: (start + size).min(rows) })
        };
        self.batches.iter().enumerate().flat_map(of_batch).collect()
    }

    fn chunk(&self, Piece { batch, start, end }: Piece, normalize: bool) -> Result<DecodedChunk> {
        let Batch { holder, codes, classes, first } = &*self.batches[batch];
        let dim = self.dim;
        let values = start * dim..end * dim;
        let features = match holder.features() {
            Features::F16(all) => Features::F16(&all[values]),
            Features::F32(all) => Features::F32(&all[values]),
            Features::F64(all) => Features::F64(&all[values]),
        };
        let values = if normalize {
            if let Some(row) = first_of_zeros(features, dim) {
                return Err(Error::data("a row of zeros has no length to be divided by").with("row", start + row));
            }
            Values::F64(at_unit_length(features, dim).0)
        } else {
            match features {
                Features::F16(values) => Values::F16(values.to_vec()),
                Features::F32(values) => Values::F32(values.to_vec()),
                Features::F64(values) => Values::F64(values.to_vec()),
            }
        };
        Ok(DecodedChunk {
            dim,
            values,
            codes: codes[start..end].to_vec(),
            classes: classes.clone(),
            file_rows: (start..end).map(|row| first + row as u64).collect(),
            parts: vec![GroupRows { key: Vec::new(), rows: None, skipped: Skipped::default() }],
        })
    }
}

impl fmt::Debug for RowsAtHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows × {} in memory", self.rows(), self.dim)
    }
}

/// The code of each label, and the label of each code.
fn coded(labels: impl Iterator<Item = Label>) -> Result<(Vec<u32>, Vec<Label>)> {
    let (mut code_of, mut classes): (HashMap<Label, u32>, Vec<Label>) = (HashMap::new(), Vec::new());
    let code = |label: Label| {
        if let Some(&code) = code_of.get(&label) {
            return Ok(code);
        }
        let code = u32::try_from(classes.len()).map_err(|_| Error::data("more classes than can be counted"))?;
        classes.push(label.clone());
        code_of.insert(label, code);
        Ok(code)
    };
    let codes = labels.map(code).collect::<Result<_>>()?;
    Ok((codes, classes))
}

/// Rows that can be read, wherever they lie.
#[derive(Clone, Copy)]
pub(super) enum Readable<'a> {
    Stored(&'a Archive),
    AtHand(&'a RowsAtHand),
}

impl<'a> Readable<'a> {
    /// What was left out before the rows were at hand; of stored rows, reading tells.
    pub(super) fn skipped(self) -> Option<&'a Skipped> {
        match self {
            Self::Stored(_) => None,
            Self::AtHand(rows) => Some(&rows.skipped),
        }
    }

    /// Hands each chunk of the rows, of these units if they are stored, to one of the workers that `worker` makes; returns the
    /// workers.
    ///
    /// # Errors
    ///
    /// Those of `look` and of reading, with the place of the row; [`Interrupted`](crate::error::ErrorKind::Interrupted).
    pub(super) fn scan<W: Send>(
        self,
        units: &[usize],
        (normalize, threads): (bool, usize),
        watch: &Watch,
        worker: impl Fn() -> W + Sync,
        look: impl Fn(&mut W, Place, &DecodedChunk) -> Result<()> + Sync,
    ) -> Result<Vec<W>> {
        match self {
            Self::Stored(archive) => scan(archive, units, threads, watch, worker, |worker, place, chunk| {
                look(worker, place, chunk).map_err(|error| at_row(error, archive, units[place.unit], chunk))
            }),
            Self::AtHand(rows) => rows.scan(normalize, threads, watch, worker, look),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held(Vec<f32>);

    impl HoldsRows for Held {
        fn features(&self) -> Features<'_> {
            Features::F32(&self.0)
        }
    }

    fn labels(values: &[i64]) -> impl ExactSizeIterator<Item = Label> {
        values.iter().map(|&value| Label::from(value))
    }

    #[test]
    fn batches_are_read_chunk_by_chunk() {
        let mut rows = RowsAtHand::default();
        rows.add(Held(vec![1.0; 3 << 20]), 1 << 10, Some(labels(&(0..3072).map(|row| row % 5).collect::<Vec<_>>())))
            .unwrap();
        rows.add(Held(vec![2.0; 1 << 10]), 1 << 10, Some(labels(&[7]))).unwrap();
        // What has no rows is nothing.
        rows.add(Held(Vec::new()), 1 << 10, Some(labels(&[]))).unwrap();
        assert_eq!((rows.rows(), rows.kind(), rows.labels().len()), (3073, Some(LabelKind::Int), 6));
        for threads in [1, 3] {
            let seen = rows.scan(false, threads, &Watch::default(), Vec::new, |seen, _, chunk| {
                let last = chunk.classes[chunk.codes[chunk.codes.len() - 1] as usize].clone();
                seen.push((chunk.file_rows[0], chunk.codes.len(), last));
                Ok(())
            });
            let mut seen = seen.unwrap().concat();
            seen.sort();
            // Chunks of 16 MiB hold 4096 rows; they end with their batch.
            assert_eq!(seen, [(0, 3072, Label::Int(1)), (3072, 1, Label::Int(7))]);
        }
        let unit = rows.chunk(Piece { batch: 1, start: 0, end: 1 }, true).unwrap();
        assert!(matches!(&unit.values, Values::F64(values) if **values == [1.0 / 32.0; 1 << 10]));
    }

    #[test]
    fn rows_that_cannot_be_used_are_refused() {
        let mut rows = RowsAtHand::default();
        rows.add(Held(vec![1.0, 2.0]), 2, Some(labels(&[0]))).unwrap();
        let refused = |rows: &RowsAtHand, values: &[f32], dim, labels: &[i64]| {
            rows.clone().add(Held(values.to_vec()), dim, Some(self::labels(labels))).unwrap_err().message().to_owned()
        };
        assert_eq!(refused(&rows, &[1.0, 2.0, 3.0], 3, &[0]), "feature vector has the wrong length");
        assert_eq!(refused(&rows, &[1.0, f32::NAN], 2, &[0]), "feature is not finite");
        assert_eq!(refused(&rows, &[1.0, 2.0], 2, &[0, 1]), "there is not one label a row");
        let texts = ["a"].into_iter().map(Label::from);
        assert_eq!(
            rows.clone().add(Held(vec![1.0, 2.0]), 2, Some(texts)).unwrap_err().message(),
            "the labels have several types"
        );
        rows.add(Held(vec![0.0; 2]), 2, Some(labels(&[0]))).unwrap();
        let looked = rows.scan(true, 1, &Watch::default(), || (), |(), _, _| Ok(()));
        assert_eq!(looked.unwrap_err().message(), "a row of zeros has no length to be divided by");
    }
}
