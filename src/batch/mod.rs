//! Labelled rows in memory, checked once when they are made.
//!
//! Everything else relies on these checks: rows are finite and of one length, and every row has a label.

mod by_class;
mod label;

pub use by_class::ByClass;
pub use label::{Label, LabelKind};

use std::sync::atomic::{AtomicU64, Ordering};

use half::f16;

use crate::error::{Error, Result};

/// The number of the next batch that is made.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// The feature values of some rows, row-major, in the type in which they were stored.
#[derive(Clone, Copy, Debug)]
pub enum Features<'a> {
    /// IEEE half precision.
    F16(&'a [f16]),
    /// IEEE single precision.
    F32(&'a [f32]),
    /// IEEE double precision.
    F64(&'a [f64]),
}

impl<'a> From<&'a [f16]> for Features<'a> {
    fn from(values: &'a [f16]) -> Self {
        Self::F16(values)
    }
}

impl<'a> From<&'a [f32]> for Features<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::F32(values)
    }
}

impl<'a> From<&'a [f64]> for Features<'a> {
    fn from(values: &'a [f64]) -> Self {
        Self::F64(values)
    }
}

impl Features<'_> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F16(values) => values.len(),
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// How many bytes they take.
    pub fn bytes(&self) -> usize {
        self.len()
            * match self {
                Self::F16(_) => 2,
                Self::F32(_) => 4,
                Self::F64(_) => 8,
            }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the first NaN or infinity is.
    pub fn first_nonfinite(&self) -> Option<usize> {
        match self {
            Self::F16(values) => first_without(values, f16::is_finite),
            Self::F32(values) => first_without(values, f32::is_finite),
            Self::F64(values) => first_without(values, f64::is_finite),
        }
    }
}

/// Where the first value is that has not some property. All of a block are looked at, which takes vectors.
fn first_without<T: Copy>(values: &[T], has: impl Fn(T) -> bool) -> Option<usize> {
    const BLOCK: usize = 512;
    let lacks = |block: &[T]| !block.iter().fold(true, |all, &value| all & has(value));
    let block = values.chunks(BLOCK).position(lacks)? * BLOCK;
    values[block..].iter().position(|&value| !has(value)).map(|at| block + at)
}

/// Labelled rows: `N × D` finite values, row-major, and the class of each row.
///
/// `codes[i]` is an index into `classes`. The order of `classes` has no meaning and may differ from batch to batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    id: u64,
    dim: usize,
    features: Features<'a>,
    codes: &'a [u32],
    classes: &'a [Label],
}

impl<'a> Batch<'a> {
    /// Checks shapes, codes and values, and leaves labels as they are: rows of any label may shape a grid, or be measured
    /// as out-of-distribution. Readers refuse rows of labels that are no [classes](Label::is_class), and so do state files.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the number of values is not `codes.len() · dim`, a code has no class,
    /// there are `2^32` rows or more, or a value is NaN or infinite; the error names its row and dimension.
    pub fn new(dim: usize, features: Features<'a>, codes: &'a [u32], classes: &'a [Label]) -> Result<Self> {
        let batch = Self::of_finite(dim, features, codes, classes)?;
        match features.first_nonfinite() {
            Some(at) => Err(Error::data("feature is not finite").with("row", at / dim).with("dimension", at % dim)),
            None => Ok(batch),
        }
    }

    /// The same for values that are known to be finite, such as those that a reader has checked.
    pub(crate) fn of_finite(
        dim: usize,
        features: Features<'a>,
        codes: &'a [u32],
        classes: &'a [Label],
    ) -> Result<Self> {
        if codes.len().checked_mul(dim) != Some(features.len()) || dim == 0 {
            return Err(Error::data("the values do not make whole rows")
                .with("values", features.len())
                .with("rows", codes.len())
                .with("dim", dim));
        }
        if u32::try_from(codes.len()).is_err() {
            return Err(Error::data("more rows than a batch holds").with("rows", codes.len()));
        }
        if let Some(row) = codes.iter().position(|&code| code as usize >= classes.len()) {
            return Err(Error::data("a row's class code has no class").with("row", row).with("code", codes[row]));
        }
        Ok(Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), dim, features, codes, classes })
    }

    /// A number that copies of this batch share, and no other batch of the process has. A device that holds rows knows by it
    /// whether they are those of a batch.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// `N`, the number of rows.
    pub fn rows(&self) -> usize {
        self.codes.len()
    }

    /// `D`, the number of dimensions.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The values, `N × D`, row-major.
    pub fn features(&self) -> Features<'a> {
        self.features
    }

    /// The class of each row, as an index into [`classes`](Self::classes).
    pub fn codes(&self) -> &'a [u32] {
        self.codes
    }

    /// The labels that the codes stand for.
    pub fn classes(&self) -> &'a [Label] {
        self.classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_that_is_not_finite_is_found() {
        for at in [0, 1, 511, 512, 513, 1299] {
            let mut values = vec![1.0_f32; 1300];
            assert_eq!(Features::F32(&values).first_nonfinite(), None);
            values[at] = f32::NAN;
            values[1299] = f32::INFINITY;
            assert_eq!(Features::F32(&values).first_nonfinite(), Some(at));
            let halves: Vec<f16> = values.iter().map(|&x| f16::from_f32(x)).collect();
            assert_eq!(Features::F16(&halves).first_nonfinite(), Some(at));
            let doubles: Vec<f64> = values.iter().map(|&x| x.into()).collect();
            assert_eq!(Features::F64(&doubles).first_nonfinite(), Some(at));
        }
        assert_eq!(Features::F64(&[]).first_nonfinite(), None);
    }
}
