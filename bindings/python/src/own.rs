//! The rows that Python hands over, in the type of the first of them.

use half::f16;
use nckit::archive::Skipped;
use nckit::batch::{Features, Label};
use nckit::error::{Error, Result};
use nckit::store::StateFile;
use nckit::{Collapse, RowsInMemory};
use pyo3::prelude::*;

use crate::rows::Labels;

/// Values that each thread rounds before signals are looked at again: the most that a chunk holds.
const PIECE: usize = 1 << 22;

/// The rows that were added here, in the type of the first of them.
#[derive(Clone)]
pub(crate) enum Own {
    None,
    Half(Box<Collapse<f16>>),
    Single(Box<Collapse<f32>>),
    Double(Box<Collapse<f64>>),
}

/// Why an update ends early.
pub(crate) enum Stop {
    Error(Error),
    Signal(PyErr),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The same for whatever type the rows have.
macro_rules! of_rows {
    ($own:expr, $none:expr, $rows:ident => $value:expr) => {
        match $own {
            Own::None => $none,
            Own::Half($rows) => $value,
            Own::Single($rows) => $value,
            Own::Double($rows) => $value,
        }
    };
}

impl Own {
    /// `N`.
    pub(crate) fn count(&self) -> u64 {
        of_rows!(self, 0, rows => rows.rows())
    }

    /// `D`, once there was a row.
    pub(crate) fn dim(&self) -> Option<usize> {
        of_rows!(self, None, rows => Some(rows.dim()))
    }

    /// Takes note of rows that were left out; without a row nobody can.
    pub(crate) fn leave_out(&mut self, skipped: &Skipped) {
        of_rows!(self, (), rows => rows.leave_out(skipped));
    }

    /// The state of all rows, if there are some.
    pub(crate) fn state(&mut self) -> Result<Option<StateFile>> {
        of_rows!(self, Ok(None), rows => (rows.rows() > 0).then(|| rows.state()).transpose())
    }

    /// Adds rows, which are counted like this if they are the first. `broken` says afterwards whether an error has left rows as
    /// nobody knows.
    pub(crate) fn add(
        &mut self,
        features: Features<'_>,
        dim: usize,
        new: New<'_>,
        how: &RowsInMemory,
        broken: &mut bool,
    ) -> Result<(), Stop> {
        check_all(features, dim, new.labels)?;
        if let Self::None = self {
            let how = how.clone();
            *self = match features {
                Features::F16(_) => Self::Half(Box::new(Collapse::counting(dim, how)?)),
                Features::F32(_) => Self::Single(Box::new(Collapse::counting(dim, how)?)),
                Features::F64(_) => Self::Double(Box::new(Collapse::counting(dim, how)?)),
            };
        }
        let (before, piece) = (self.type_name(), (PIECE * how.threads / dim).max(1));
        match (self, features) {
            (Self::Half(own), Features::F16(values)) => add(own, values, new, piece, broken),
            (Self::Single(own), Features::F32(values)) => add(own, values, new, piece, broken),
            (Self::Double(own), Features::F64(values)) => add(own, values, new, piece, broken),
            (_, features) => {
                let now = match features {
                    Features::F16(_) => "float16",
                    Features::F32(_) => "float32",
                    Features::F64(_) => "float64",
                };
                Err(Error::data("the features have another type than those before")
                    .with("before", before)
                    .with("now", now)
                    .help(format!("convert them with astype({before:?}), or make a State for each type and merge them"))
                    .into())
            }
        }
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Half(_) => "float16",
            Self::Single(_) => "float32",
            Self::Double(_) => "float64",
        }
    }
}

/// Checks what a batch must be, before the first of its pieces is added.
fn check_all(features: Features<'_>, dim: usize, labels: Labels<'_>) -> Result<()> {
    if let Some(at) = features.first_nonfinite() {
        let (row, dimension) = (at / dim, at % dim);
        return Err(Error::data("feature is not finite")
            .with("row", row)
            .with("dimension", dimension)
            .with("class", labels.label(row))
            .help("nonfinite=\"skip\" leaves such rows out and counts them"));
    }
    let negative = match labels {
        Labels::Int(labels) => labels.iter().position(|&label| label < 0),
        _ => None,
    };
    match negative {
        Some(row) => Err(Error::data("negative label")
            .with("row", row)
            .with("label", labels.label(row))
            .help(format!("ignore_label={} leaves such rows out and counts them", labels.label(row)))),
        None => Ok(()),
    }
}

/// What comes with the values of new rows.
#[derive(Clone, Copy)]
pub(crate) struct New<'a> {
    pub(crate) labels: Labels<'a>,
    /// The value of each row by which blocks are made.
    pub(crate) blocks: Option<&'a [Label]>,
}

/// Adds pieces of so many rows, and looks for signals between them.
fn add<T: Copy + Send + Sync>(
    own: &mut Collapse<T>,
    values: &[T],
    New { labels, blocks }: New<'_>,
    rows: usize,
    broken: &mut bool,
) -> Result<(), Stop>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    let dim = own.dim();
    for (number, values) in values.chunks(rows * dim).enumerate() {
        if number > 0 {
            Python::attach(|py| py.check_signals()).map_err(Stop::Signal)?;
        }
        let here = number * rows..number * rows + values.len() / dim;
        let before = own.rows();
        // A panic would leave half of a piece behind.
        *broken = true;
        let blocks = blocks.map(|blocks| &blocks[here.clone()]);
        let added = match labels {
            Labels::Int(labels) => add_piece(own, values, &labels[here], blocks),
            Labels::Unsigned(labels) => add_piece(own, values, &labels[here], blocks),
            Labels::Bool(labels) => add_piece(own, values, &labels[here], blocks),
            Labels::Text(labels) => add_piece(own, values, &labels[here], blocks),
        };
        // A batch that is refused adds no row; one that fails later leaves the state unspecified.
        *broken = added.is_err() && own.rows() != before;
        added?;
    }
    Ok(())
}

fn add_piece<T: Copy + Send + Sync, L: Clone + Into<Label>>(
    own: &mut Collapse<T>,
    values: &[T],
    labels: &[L],
    blocks: Option<&[Label]>,
) -> Result<()>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    match blocks {
        Some(blocks) => own.update_in_blocks(values, labels, blocks),
        None => own.update(values, labels),
    }
}
